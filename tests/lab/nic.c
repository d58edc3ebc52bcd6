// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest's network driver tells and takes, where busybox has no ethtool.
 *
 *     nic stats IFNAME               the driver's own counters, NAME VALUE a line (rx_queue_0_packets 17)
 *     nic channels IFNAME [COUNT]    queue pairs in use and possible, `1 2`; set to COUNT before
 */
#include <err.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int sock;
static struct ifreq request;

static void ask(void *what, const char *name)
{
	request.ifr_data = what;
	if (ioctl(sock, SIOCETHTOOL, &request))
		err(1, "%s: %s", request.ifr_name, name);
}

static void show_stats(void)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	ask(&info, "driver");
	struct ethtool_gstrings *names = calloc(1, sizeof(*names) + (size_t)info.n_stats * ETH_GSTRING_LEN);
	struct ethtool_stats *values = calloc(1, sizeof(*values) + info.n_stats * sizeof(values->data[0]));
	if (!names || !values)
		err(1, "stats");
	*names = (struct ethtool_gstrings){.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = info.n_stats};
	*values = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = info.n_stats};
	ask(names, "names of counters");
	ask(values, "counters");
	for (unsigned i = 0; i < info.n_stats; i++)
		printf("%.*s %llu\n", ETH_GSTRING_LEN, (const char *)names->data + (size_t)i * ETH_GSTRING_LEN, values->data[i]);
	free(names);
	free(values);
}

static void set_channels(const char *count)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	ask(&channels, "channels");
	if (count) {
		channels.cmd = ETHTOOL_SCHANNELS;
		channels.combined_count = (unsigned)strtoul(count, NULL, 10);
		ask(&channels, "channels");
	}
	printf("%u %u\n", channels.combined_count, channels.max_combined);
}

int main(int argc, char **argv)
{
	if (argc < 3 || argc > 4)
		errx(2, "nic stats IFNAME | nic channels IFNAME [COUNT]");
	sock = socket(AF_INET, SOCK_DGRAM, 0);
	if (sock < 0)
		err(1, "socket");
	strncpy(request.ifr_name, argv[2], sizeof(request.ifr_name) - 1);
	if (!strcmp(argv[1], "stats"))
		show_stats();
	else if (!strcmp(argv[1], "channels"))
		set_channels(argv[3]);
	else
		errx(2, "%s?", argv[1]);
	return 0;
}

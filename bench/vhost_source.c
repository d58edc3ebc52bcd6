/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source and sink of frames over vhost-user, for benchmarks: as cheap as it can be, so that what it measures is the switch.
 *
 *        A1 -- vhost-user --+--------+-- vhost-user -- B1
 *        A2 -- vhost-user --| switch |-- vhost-user -- B2        one core, which plays all ends
 *                           +--------+
 *
 * How an end works: vhost_end.h. What its frames are: traffic.h. What is done with them and how it is counted: phases.h.
 * `--mode ceiling` says what the source itself can do: two of its ends, and between them a back end that only moves indices, in
 * between or, with --null-core, on another core, as a switch's worker would be: then the rings' cache lines are fought for as well.
 *
 * Sockets that do not exist are made and listened on, all of them before the first is served, so that a switch may connect to
 * them in any order; `--connect` is for switches that listen.
 */
#include "vhost_end.h"
#include "phases.h"

#include <pthread.h>

#define IDLE_RING 256

static const char help[] =
	"usage: vhost_source --pair PATH,PATH [--pair ...] [options]\n"
	"\n"
	"Send frames through a switch between vhost-user ports, count what comes out, and print one line of JSON. All\n"
	"ends are played by one core.\n"
	"\n"
	"  --pair A,B         two ends that send to each other; each is a socket path\n"
	"  --idle PATH        this one too, and say nothing (repeat for more)\n"
	"  --connect          the switch listens (default: it connects to us)\n"
	"  --huge             guest memory of huge pages (default: ordinary ones)\n"
	"  --null-core N      mode ceiling: move the indices on CPU N\n"
	"  --plain            do not acknowledge mergeable receive buffers\n"
	"  --size BYTES       of a frame, without FCS (60-9216, default 64)\n" HELP_COMMON "\n"
	"For `dpdk-testpmd --forward-mode=io` give its ports as --vdev=net_vhost0,iface=PATH,client=1 ...; for Open vSwitch\n"
	"as interfaces of type dpdkvhostuserclient with options:vhost-server-path=PATH.\n" HELP_OUTPUT;

static void path_copy(char to[108], const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n >= 108)
		die("%s: not a socket path", text);
	memcpy(to, text, n + 1);
}

static void pair_parse(char *text)
{
	char *comma = strchr(text, ',');

	if (!comma || n_ends + 2 > MAX_ENDS)
		die("--pair %s: two ends, with a comma between them", text);
	*comma = '\0';
	ends = grow(ends, (n_ends + 2) * sizeof(*ends));
	memset(&ends[n_ends], 0, 2 * sizeof(*ends));
	path_copy(ends[n_ends].path, text);
	path_copy(ends[n_ends + 1].path, comma + 1);
	n_ends += 2;
}

static void idle_parse(const char *text)
{
	idle_ends = grow(idle_ends, (n_idle_ends + 1) * sizeof(*idle_ends));
	memset(&idle_ends[n_idle_ends], 0, sizeof(*idle_ends));
	path_copy(idle_ends[n_idle_ends++].path, text);
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = {OPTIONS_COMMON,
					      {"connect", 0, NULL, 'C'},
					      {"huge", 0, NULL, 'H'},
					      {"null-core", 1, NULL, 'N'},
					      {"plain", 0, NULL, 'P'},
					      {"help", 0, NULL, 'h'},
					      {0}};
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'p')
			pair_parse(optarg);
		else if (o == 'i')
			idle_parse(optarg);
		else if (o == 'C')
			vhost_opt.connect = true;
		else if (o == 'H')
			vhost_opt.huge = true;
		else if (o == 'N')
			vhost_opt.null_core = atoi(optarg);
		else if (o == 'P')
			vhost_opt.features &= ~FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF);
		else if (!option_common(o, help))
			exit(2);
	}
	options_check(MAX_SIZE, FRONT_MAX_RING);
}

/* A switch that looks at nothing, copies nothing, and never ends. */
static void *null_switch(void *arg)
{
	pin(vhost_opt.null_core);
	for (;;) {
		for (unsigned i = 0; i < n_ends; i++)
			hand_over(&ends[i], &ends[i ^ 1]);
	}
	return NULL;
}

static void null_switch_start(void)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, null_switch, NULL);

	if (rc)
		die("thread: %s", strerror(rc));
}

int main(int argc, char **argv)
{
	int status;

	options(argc, argv);
	pin(opt.core);
	tsc_calibrate();
	if (opt.mode == MODE_CEILING) {
		vhost_opt.connect = true; /* to nobody: no socket is made */
		n_idle_ends = 0;
	}
	for (unsigned i = 0; i < n_ends; i++) {
		end_place(i);
		end_make(&ends[i], opt.ring, false);
	}
	for (unsigned i = 0; i < n_idle_ends; i++)
		end_make(&idle_ends[i], IDLE_RING, true);
	for (unsigned i = 0; i < n_ends + n_idle_ends; i++) {
		struct end *e = i < n_ends ? &ends[i] : &idle_ends[i - n_ends];

		if (opt.mode == MODE_CEILING)
			received_already(e);
		else
			end_connect(e);
	}
	if (opt.mode == MODE_CEILING && vhost_opt.null_core >= 0)
		null_switch_start();
	status = measure();
	for (unsigned i = 0; i < n_ends + n_idle_ends && opt.mode != MODE_CEILING; i++)
		front_close(i < n_ends ? &ends[i].front : &idle_ends[i - n_ends].front);
	return status;
}

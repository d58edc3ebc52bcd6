/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trunk netdev that is a tap: made to stay (TUNSETPERSIST) when nobody has it open, so that addresses and routes on it outlive the switch, which
 * attaches to it by its name. Always of several queues and with vnet headers, for a later reader's flags must be those of its maker.
 */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <sys/ioctl.h>

#define TUN_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)

const char *tun_lacks(char *why, size_t size)
{
	unsigned features = 0;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	bool known;

	if (fd < 0) {
		snprintf(why, size, "/dev/net/tun: %s", strerror(errno));
		return why;
	}
	known = ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & TUN_FLAGS) == TUN_FLAGS;
	close(fd);
	return known ? NULL : "taps without vnet headers or several queues";
}

const char *vhost_net_lacks(char *why, size_t size)
{
	/* Opening it loads its module. */
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		snprintf(why, size, "/dev/vhost-net: %s", strerror(errno));
		return why;
	}
	close(fd);
	return tun_lacks(why, size);
}

/*
 * It is named before it is told to stay: whoever is killed in between leaves nothing.
 */
static int make(struct kern *e, const char *name, const char *alias, uint16_t mtu, const uint8_t *mac)
{
	struct ifreq ifr = {.ifr_flags = (short)(TUN_FLAGS | IFF_TUN_EXCL)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), r = 0;
	uint32_t ifindex;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr))
		r = -errno;
	ifindex = if_nametoindex(name);
	if (r == 0)
		r = veth_set_alias(&e->nl, ifindex, alias);
	if (r == 0)
		r = veth_set_mtu(&e->nl, ifindex, mtu);
	if (r == 0 && mac)
		r = veth_set_mac(&e->nl, ifindex, mac);
	if (r == 0 && ioctl(fd, TUNSETPERSIST, 1))
		r = -errno;
	close(fd);
	return r;
}

static bool is_half_made(const struct veth_link *link)
{
	return false;
}

/* What is still to do in a frame crosses with it, whatever the backend: there is nothing to turn off. */
static int settle(struct kern *e, const struct veth_link *link, bool offload, char *far)
{
	snprintf(far, 16, "%s", link->ifname);
	return veth_set_up(&e->nl, link->ifindex);
}

const struct trunk_family trunk_tun = {"tun", "a tap", make, is_half_made, settle};

/* SPDX-License-Identifier: Apache-2.0 */
/* A trunk netdev that is a veth pair: its near end is the host's, its far end the switch opens. */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

/* Ask for one of a netdev's settings, or change it. */
static int ask_ethtool(int fd, const char *ifname, struct ethtool_value *v)
{
	struct ifreq ifr = {.ifr_data = (void *)v};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	return ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

/* One feature. With an XDP program on the far end it may be off, and not ours to turn on or off: that is as good as having turned it off. */
static int set_feature(int fd, const char *ifname, uint32_t get, uint32_t set, bool on)
{
	struct ethtool_value wanted = {.cmd = set, .data = on}, is = {.cmd = get};
	int r = ask_ethtool(fd, ifname, &wanted);

	return r < 0 && ask_ethtool(fd, ifname, &is) == 0 && !is.data == !on ? 0 : r;
}

/* May a frame's tag cross beside it, as a number? XDP sees bytes only, and would lose it. */
static int set_tags_beside(int fd, const char *ifname, bool on)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GFLAGS};
	int r = ask_ethtool(fd, ifname, &v);

	v.cmd = ETHTOOL_SFLAGS;
	v.data = on ? v.data | ETH_FLAG_TXVLAN : v.data & ~(uint32_t)ETH_FLAG_TXVLAN;
	return r < 0 ? r : ask_ethtool(fd, ifname, &v);
}

/* Without checksum offload the kernel keeps no segmentation either: it finishes frames before they cross. With it, they come in this order. */
static int set_offloads(const char *ifname, bool on)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r, tso, tags;

	if (fd < 0)
		return -errno;
	r = set_feature(fd, ifname, ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, on);
	tso = set_feature(fd, ifname, ETHTOOL_GTSO, ETHTOOL_STSO, on);
	tags = set_tags_beside(fd, ifname, on);
	close(fd);
	return r < 0 ? r : tso < 0 ? tso : tags;
}

static int make(struct kern *e, const char *name, const char *alias, uint16_t mtu, const uint8_t *mac)
{
	char far[16];
	int r;

	kern_trunk_far(name, far);
	r = veth_pair_here(&e->nl, name, far, mtu, mac);
	if (r == 0)
		tc_silence(far);
	return r;
}

/* Nobody else makes a pair of these names. */
static bool is_half_made(const struct veth_link *link)
{
	char far[16];

	kern_trunk_far(link->ifname, far);
	return link->peer && link->peer_nsid < 0 && link->peer == if_nametoindex(far);
}

static int settle(struct kern *e, const struct veth_link *link, bool offload, char *far)
{
	int r;

	/* The pair is ours alone, so whatever program is there was a killed switch's. It would keep offloads from being turned on. */
	bpf_xdp_detach((int)link->peer, 0, NULL);
	if ((r = set_offloads(link->ifname, offload)) < 0 || (r = veth_set_up(&e->nl, link->ifindex)) < 0 ||
	    (r = veth_set_up(&e->nl, link->peer)) < 0)
		return r;
	if (!if_indextoname(link->peer, far))
		kern_trunk_far(link->ifname, far);
	return 0;
}

const struct trunk_family trunk_pair = {"veth", "a veth pair", make, is_half_made, settle};

/* SPDX-License-Identifier: Apache-2.0 */
/* The trunk netdev: a veth pair whose near end is the host's, and whose far end the switch opens. */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sys/ioctl.h>

#define TRUNK_ALIAS "/trunk" /* no port's name has a slash */

/* Without checksum offload the kernel keeps no segmentation either: it finishes frames before they cross. With it, they come in this order. */
static int set_offloads(const char *ifname, bool on)
{
	static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;
	struct ethtool_value v = {0};
	struct ifreq ifr = {0};

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	ifr.ifr_data = (void *)&v;
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		v.cmd = commands[i];
		v.data = on;
		if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
			r = -errno;
	}
	close(fd);
	return r;
}

static int create(struct kern *e, const char *name, const char *peer_name, uint16_t mtu)
{
	struct ifinfomsg ifi = {0};
	struct nl *nl = &e->nl;
	size_t info, data, peer;

	nl_start(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	nl_put_str(nl, IFLA_IFNAME, name);
	nl_put_u32(nl, IFLA_MTU, mtu);
	info = nl_nest(nl, IFLA_LINKINFO);
	nl_put(nl, IFLA_INFO_KIND, "veth", 4);
	data = nl_nest(nl, IFLA_INFO_DATA);
	peer = nl_nest(nl, VETH_INFO_PEER);
	nl_raw(nl, &ifi, sizeof(ifi));
	nl_put_str(nl, IFLA_IFNAME, peer_name);
	nl_put_u32(nl, IFLA_MTU, mtu);
	nl_end(nl, peer);
	nl_end(nl, data);
	nl_end(nl, info);
	return nl_talk(nl);
}

/* Its maker was killed before he could name it: nobody else makes a pair of these names. */
static bool is_half_made(const struct veth_link *link, const char *peer_name)
{
	return link->peer && link->peer_nsid < 0 && link->peer == if_nametoindex(peer_name);
}

int kern_trunk_netdev(struct kern *e, const char *name, uint16_t mtu, bool offload, char *peer, struct kern_error *err)
{
	char peer_name[16], alias[128];
	struct veth_link link;
	uint32_t ifindex;
	bool made = false;
	int r;

	if (err)
		memset(err, 0, sizeof(*err));
	if (strlen(name) < 1 || strlen(name) > 12)
		return kern_fail(err, -EINVAL, "invalid", "trunk_name", "1-12 characters", "trunk netdev name %s", name);
	snprintf(peer_name, sizeof(peer_name), "%s-dp", name);
	port_alias(e, TRUNK_ALIAS, alias);
	ifindex = if_nametoindex(name);
	if (!ifindex) {
		r = create(e, name, peer_name, mtu ? mtu : KERN_MTU_DEFAULT);
		if (r < 0)
			return kern_fail_nl(err, r, &e->nl, "trunk_name", "trunk %s", name);
		made = true;
		ifindex = if_nametoindex(name);
		tc_silence(peer_name);
	}
	r = veth_link(e, ifindex, &link);
	if (r < 0)
		goto unmake;
	if (!link.alias[0] && is_half_made(&link, peer_name))
		r = veth_set_alias(&e->nl, ifindex, alias);
	else if (strcmp(link.alias, alias) != 0)
		return kern_fail(err, -EEXIST, "in-use", "trunk_name", "another trunk-name", "%s is somebody else's netdev", name);
	if (r < 0 || (r = set_offloads(name, offload)) < 0 || (r = veth_set_up(&e->nl, ifindex, true)) < 0 ||
	    (r = veth_set_up(&e->nl, link.peer, true)) < 0)
		goto unmake;
	if (peer && !if_indextoname(link.peer, peer))
		snprintf(peer, 16, "%s", peer_name);
	return 0;

unmake:
	if (made)
		veth_unmake(e, ifindex);
	return kern_fail_nl(err, r, &e->nl, "trunk_name", "trunk %s", name);
}

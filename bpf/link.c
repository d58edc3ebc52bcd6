/* SPDX-License-Identifier: Apache-2.0 */
/* Netdevs, whatever they are for: looked at, made in pairs, changed, deleted. */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>

#define GROUP_DYING 0x51c0de /* netdevs that are deleted in one go */
#define LOOKS_MAX   100

/* --- looking ----------------------------------------------------------------------------------------------------------------- */

static void take_link(struct nl_object *object, void *arg)
{
	struct rtnl_link *link = (struct rtnl_link *)object;
	const char *name = rtnl_link_get_name(link), *alias = rtnl_link_get_ifalias(link);
	struct nl_addr *mac = rtnl_link_get_addr(link);
	struct veth_link *out = arg;
	int32_t nsid;

	memset(out, 0, sizeof(*out));
	out->ifindex = rtnl_link_get_ifindex(link);
	out->up = rtnl_link_get_flags(link) & IFF_UP;
	out->lower_up = rtnl_link_get_flags(link) & (1u << 16); /* IFF_LOWER_UP */
	out->peer = rtnl_link_get_link(link);
	out->peer_nsid = rtnl_link_get_link_netnsid(link, &nsid) == 0 ? nsid : -1;
	out->mtu = rtnl_link_get_mtu(link);
	snprintf(out->ifname, sizeof(out->ifname), "%s", name ? name : "");
	snprintf(out->alias, sizeof(out->alias), "%s", alias ? alias : "");
	if (mac && nl_addr_get_len(mac) == 6)
		memcpy(out->mac, nl_addr_get_binary_addr(mac), 6);
}

int veth_parse(struct nl_msg *msg, struct veth_link *out)
{
	return netlink_errno(nl_msg_parse(msg, take_link, out));
}

static int parse_one(void *arg, struct nl_msg *msg)
{
	return veth_parse(msg, arg);
}

int veth_link_in(struct netlink *nl, uint32_t ifindex, struct veth_link *out)
{
	struct nl_msg *msg = NULL;
	int r;

	if (!ifindex)
		return -ENODEV;
	r = rtnl_link_build_get_request((int)ifindex, NULL, &msg);
	return netlink_ask(nl, r, msg, parse_one, out);
}

int veth_link(struct kern *e, uint32_t ifindex, struct veth_link *out)
{
	return veth_link_in(&e->nl, ifindex, out);
}

struct links {
	struct veth_link *at;
	size_t n, room;
};

static int collect(void *arg, struct nl_msg *msg)
{
	struct links *links = arg;

	if (links->n == links->room) {
		size_t room = links->room ? links->room * 2 : 64;
		struct veth_link *more = realloc(links->at, room * sizeof(more[0]));

		if (!more)
			return -ENOMEM;
		links->at = more;
		links->room = room;
	}
	return veth_parse(msg, &links->at[links->n++]);
}

int veth_each(struct netlink *nl, void (*each)(void *arg, const struct veth_link *link), void *arg)
{
	static const struct ifinfomsg all;
	struct links links = {0};
	int r = -EINTR;

	/* Whoever is missing here is taken for lost, so a list that others' netdevs came and went under is not good enough. */
	for (unsigned i = 0; i < LOOKS_MAX && r == -EINTR; i++) {
		links.n = 0;
		r = netlink_ask(nl, 0, netlink_request(RTM_GETLINK, NLM_F_DUMP, &all, sizeof(all)), collect, &links);
	}
	for (size_t i = 0; i < links.n && r == 0; i++)
		each(arg, &links.at[i]);
	free(links.at);
	return r;
}

/* --- changing ---------------------------------------------------------------------------------------------------------------- */

/* Takes `change` over; NULL: there was no memory for it. */
static int change_link(struct netlink *nl, uint32_t ifindex, struct rtnl_link *change)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int r = change && link ? 0 : -NLE_NOMEM;
	struct nl_msg *msg = NULL;

	if (r == 0) {
		rtnl_link_set_ifindex(link, (int)ifindex);
		r = rtnl_link_build_change_request(link, change, 0, &msg);
	}
	rtnl_link_put(link);
	rtnl_link_put(change);
	return netlink_talk(nl, r, msg);
}

int veth_set_up(struct netlink *nl, uint32_t ifindex)
{
	struct rtnl_link *change = rtnl_link_alloc();

	if (change)
		rtnl_link_set_flags(change, IFF_UP);
	return change_link(nl, ifindex, change);
}

int veth_set_alias(struct netlink *nl, uint32_t ifindex, const char *alias)
{
	struct rtnl_link *change = rtnl_link_alloc();

	if (change)
		rtnl_link_set_ifalias(change, alias);
	if (change && !rtnl_link_get_ifalias(change)) {
		rtnl_link_put(change);
		change = NULL;
	}
	return change_link(nl, ifindex, change);
}

int veth_set_mtu(struct netlink *nl, uint32_t ifindex, uint16_t mtu)
{
	struct rtnl_link *change = rtnl_link_alloc();

	if (change)
		rtnl_link_set_mtu(change, mtu);
	return change_link(nl, ifindex, change);
}

/* 0, or -NLE_NOMEM. */
static int give_mac(struct rtnl_link *link, const uint8_t mac[6])
{
	struct nl_addr *addr = nl_addr_build(AF_LLC, mac, 6);

	if (!addr)
		return -NLE_NOMEM;
	rtnl_link_set_addr(link, addr);
	nl_addr_put(addr);
	return 0;
}

int veth_set_mac(struct netlink *nl, uint32_t ifindex, const uint8_t mac[6])
{
	struct rtnl_link *change = rtnl_link_alloc();

	if (change && give_mac(change, mac) < 0) {
		rtnl_link_put(change);
		change = NULL;
	}
	return change_link(nl, ifindex, change);
}

/* --- making and unmaking -------------------------------------------------------------------------------------------------------- */

static int describe(struct rtnl_link *link, const struct veth_end *end)
{
	if (end->ifname)
		rtnl_link_set_name(link, end->ifname);
	if (end->mtu)
		rtnl_link_set_mtu(link, end->mtu);
	if (end->ns_fd > 0)
		rtnl_link_set_ns_fd(link, end->ns_fd);
	return end->mac ? give_mac(link, end->mac) : 0;
}

static int unmake(struct netlink *nl, uint32_t ifindex)
{
	struct rtnl_link *link = rtnl_link_alloc();
	struct nl_msg *msg = NULL;
	int r = -NLE_NOMEM;

	if (link) {
		rtnl_link_set_ifindex(link, (int)ifindex);
		r = rtnl_link_build_delete_request(link, &msg);
	}
	rtnl_link_put(link);
	return netlink_talk(nl, r, msg);
}

int veth_pair(struct netlink *nl, const struct veth_end *near, const struct veth_end *far)
{
	struct rtnl_link *link = rtnl_link_veth_alloc(), *peer = link ? rtnl_link_veth_get_peer(link) : NULL;
	int r = peer ? describe(link, near) : -NLE_NOMEM;
	bool taken = if_nametoindex(near->ifname);
	struct nl_msg *msg = NULL;

	if (r == 0)
		r = describe(peer, far);
	if (r == 0)
		r = rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL, &msg);
	rtnl_link_put(peer);
	rtnl_link_put(link);
	r = netlink_talk(nl, r, msg);
	/* It may have been made, and what failed is to hear of it. */
	if (nl->unheard && !taken && if_nametoindex(near->ifname))
		unmake(nl, if_nametoindex(near->ifname));
	return r;
}

int veth_pair_here(struct netlink *nl, const char *near, const char *far, uint16_t mtu, const uint8_t *mac)
{
	return veth_pair(nl, &(struct veth_end){.ifname = near, .mtu = mtu, .mac = mac},
			 &(struct veth_end){.ifname = far, .mtu = mtu});
}

void veth_unmake(struct kern *e, uint32_t ifindex)
{
	int r = unmake(&e->nl, ifindex);

	/* Gone already is what was wanted: its other end's namespace went. */
	if (r < 0 && r != -ENODEV)
		kern_log(e, LOG_ERR, "netdev %u is not deleted: %s", ifindex, strerror(-r));
}

static int unmake_group(struct netlink *nl, uint32_t group)
{
	static const struct ifinfomsg all;
	struct nl_msg *msg = netlink_request(RTM_DELLINK, 0, &all, sizeof(all));
	int r = msg ? nla_put_u32(msg, IFLA_GROUP, group) : -NLE_NOMEM;

	return netlink_talk(nl, r, msg);
}

static int join_dying(struct netlink *nl, uint32_t ifindex)
{
	struct rtnl_link *change = rtnl_link_alloc();

	if (change)
		rtnl_link_set_group(change, GROUP_DYING);
	return change_link(nl, ifindex, change);
}

void veth_unmake_all(struct kern *e, const uint32_t *ifindexes, unsigned n)
{
	unsigned together = 0;

	/* Each deletion waits for grace periods; one of a whole group waits for them once. */
	for (unsigned i = 0; i < n; i++) {
		if (n > 2 && join_dying(&e->nl, ifindexes[i]) == 0)
			together++;
		else
			veth_unmake(e, ifindexes[i]);
	}
	if (!together || unmake_group(&e->nl, GROUP_DYING) == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		veth_unmake(e, ifindexes[i]);
}

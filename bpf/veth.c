/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's pair of netdevs.
 *
 *   host end   slcXXXX.IDX   in our namespace; its alias names the engine and the port, and is how both are known again
 *   inner end  as configured, made in the container's namespace from the start: moving a netdev costs a grace period, making it there none
 *
 * The pair is made with its host end down: the container sees a netdev without carrier, with all its addresses and routes, until the port is
 * published and the host end goes up. Deleting either end, or the container's namespace, takes both.
 */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/veth.h>

#define GROUP_DYING 0x51c0de /* netdevs that are deleted in one go */

/* --- links ------------------------------------------------------------------------------------------------------------------- */

void veth_parse(const struct nlmsghdr *msg, struct veth_link *out)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(msg);
	struct rtattr *at[IFLA_MAX + 1];

	nl_attrs(msg, sizeof(*ifi), at, IFLA_MAX);
	memset(out, 0, sizeof(*out));
	out->ifindex = ifi->ifi_index;
	out->up = ifi->ifi_flags & IFF_UP;
	out->lower_up = ifi->ifi_flags & (1u << 16); /* IFF_LOWER_UP */
	out->peer_nsid = -1;
	if (at[IFLA_IFNAME])
		snprintf(out->ifname, sizeof(out->ifname), "%s", (const char *)RTA_DATA(at[IFLA_IFNAME]));
	if (at[IFLA_IFALIAS])
		snprintf(out->alias, sizeof(out->alias), "%s", (const char *)RTA_DATA(at[IFLA_IFALIAS]));
	if (at[IFLA_LINK])
		out->peer = *(const uint32_t *)RTA_DATA(at[IFLA_LINK]);
	if (at[IFLA_LINK_NETNSID])
		out->peer_nsid = *(const int *)RTA_DATA(at[IFLA_LINK_NETNSID]);
	if (at[IFLA_ADDRESS] && RTA_PAYLOAD(at[IFLA_ADDRESS]) == 6)
		memcpy(out->mac, RTA_DATA(at[IFLA_ADDRESS]), 6);
	if (at[IFLA_MTU])
		out->mtu = *(const uint32_t *)RTA_DATA(at[IFLA_MTU]);
}

static int take_link(void *arg, const struct nlmsghdr *msg)
{
	veth_parse(msg, arg);
	return 0;
}

static int link_by_index(struct nl *nl, uint32_t ifindex, struct veth_link *out)
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex};

	nl_start(nl, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	return nl_ask(nl, take_link, out);
}

int veth_link(struct kern *e, uint32_t ifindex, struct veth_link *out)
{
	return link_by_index(&e->nl, ifindex, out);
}

struct each_link {
	void (*each)(void *arg, const struct veth_link *link);
	void *arg;
};

static int hand_link(void *arg, const struct nlmsghdr *msg)
{
	struct each_link *el = arg;
	struct veth_link link;

	if (msg->nlmsg_type != RTM_NEWLINK)
		return 0;
	veth_parse(msg, &link);
	el->each(el->arg, &link);
	return 0;
}

int veth_each(struct nl *nl, void (*each)(void *arg, const struct veth_link *link), void *arg)
{
	struct each_link el = {each, arg};
	struct ifinfomsg ifi = {0};

	nl_start(nl, RTM_GETLINK, NLM_F_DUMP, &ifi, sizeof(ifi));
	return nl_ask(nl, hand_link, &el);
}

int veth_set_up(struct nl *nl, uint32_t ifindex, bool up)
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex, .ifi_flags = up ? IFF_UP : 0, .ifi_change = IFF_UP};

	nl_start(nl, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	return nl_talk(nl);
}

int veth_set_alias(struct nl *nl, uint32_t ifindex, const char *alias)
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex};

	nl_start(nl, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	nl_put(nl, IFLA_IFALIAS, alias, strlen(alias));
	return nl_talk(nl);
}

int veth_set_mtu(struct nl *nl, uint32_t ifindex, uint16_t mtu)
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex};

	nl_start(nl, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	nl_put_u32(nl, IFLA_MTU, mtu);
	return nl_talk(nl);
}

static int set_mac(struct nl *nl, uint32_t ifindex, const uint8_t mac[6])
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex};

	nl_start(nl, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	nl_put(nl, IFLA_ADDRESS, mac, 6);
	return nl_talk(nl);
}

/* --- making ------------------------------------------------------------------------------------------------------------------ */

static int create_pair(struct kern *e, const struct kern_port_conf *c, const char *host, int ns_fd)
{
	struct ifinfomsg ifi = {0};
	struct nl *nl = &e->nl;
	size_t info, data, peer;

	nl_start(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	nl_put_str(nl, IFLA_IFNAME, host);
	nl_put_u32(nl, IFLA_MTU, c->mtu);
	info = nl_nest(nl, IFLA_LINKINFO);
	nl_put(nl, IFLA_INFO_KIND, "veth", 4);
	data = nl_nest(nl, IFLA_INFO_DATA);
	peer = nl_nest(nl, VETH_INFO_PEER);
	nl_raw(nl, &ifi, sizeof(ifi));
	nl_put_str(nl, IFLA_IFNAME, c->ifname);
	nl_put_u32(nl, IFLA_MTU, c->mtu);
	nl_put_u32(nl, IFLA_NET_NS_FD, ns_fd);
	if (c->has_mac)
		nl_put(nl, IFLA_ADDRESS, c->mac, 6);
	nl_end(nl, peer);
	nl_end(nl, data);
	nl_end(nl, info);
	return nl_talk(nl);
}

static int change_addr(struct nl *nl, uint16_t type, uint32_t ifindex, const struct kern_ip *ip)
{
	struct ifaddrmsg ifa = {
		.ifa_family = ip->family,
		.ifa_prefixlen = ip->prefix,
		/* The scheduler owns the addresses: nobody is asked whether they are free, and they are usable at once. */
		.ifa_flags = ip->family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_index = ifindex,
	};
	size_t len = ip->family == AF_INET ? 4 : 16;

	nl_start(nl, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0, &ifa, sizeof(ifa));
	nl_put(nl, IFA_LOCAL, &ip->v4, len);
	nl_put(nl, IFA_ADDRESS, &ip->v4, len);
	if (ip->family == AF_INET && ip->prefix < 31 && type == RTM_NEWADDR) {
		struct in_addr bcast = {ip->v4.s_addr | htonl(UINT32_MAX >> ip->prefix)};

		nl_put(nl, IFA_BROADCAST, &bcast, sizeof(bcast));
	}
	return nl_talk(nl);
}

static int change_route(struct nl *nl, uint16_t type, uint32_t ifindex, uint8_t family, const void *gateway)
{
	struct rtmsg rt = {
		.rtm_family = family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};

	nl_start(nl, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0, &rt, sizeof(rt));
	nl_put(nl, RTA_GATEWAY, gateway, family == AF_INET ? 4 : 16);
	nl_put_u32(nl, RTA_OIF, ifindex);
	return nl_talk(nl);
}

static bool has_addr(const struct kern_port_conf *c, const struct kern_ip *ip)
{
	for (unsigned i = 0; c && i < c->n_addrs; i++) {
		if (memcmp((const void *)&c->addrs[i], (const void *)ip, sizeof(*ip)) == 0)
			return true;
	}
	return false;
}

static int addr_failed(struct kern_error *err, int r, const struct nl *nl, const struct kern_ip *ip, const char *name)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(ip->family, &ip->v4, text, sizeof(text));
	return kern_fail_nl(err, r, nl, "addr", "port %s: address %s/%u", name, text, ip->prefix);
}

/* From the addresses and routes of `old` (NULL: none) to those of c. In the container's namespace, its netdev is up. */
static int set_addresses(struct nl *nl, uint32_t ifindex, const struct kern_port_conf *old, const struct kern_port_conf *c,
			 struct kern_error *err)
{
	int r;

	for (unsigned i = 0; old && i < old->n_addrs; i++) {
		if (!has_addr(c, &old->addrs[i])) {
			r = change_addr(nl, RTM_DELADDR, ifindex, &old->addrs[i]);
			if (r < 0 && r != -EADDRNOTAVAIL)
				return addr_failed(err, r, nl, &old->addrs[i], c->name);
		}
	}
	for (unsigned i = 0; i < c->n_addrs; i++) {
		if (!has_addr(old, &c->addrs[i])) {
			r = change_addr(nl, RTM_NEWADDR, ifindex, &c->addrs[i]);
			if (r < 0)
				return addr_failed(err, r, nl, &c->addrs[i], c->name);
		}
	}
	/* A route that is there stays; a replaced one is never missing. The kernel takes a route along with its gateway's address. */
	if (c->has_gateway4)
		r = change_route(nl, RTM_NEWROUTE, ifindex, AF_INET, &c->gateway4);
	else
		r = old && old->has_gateway4 ? change_route(nl, RTM_DELROUTE, ifindex, AF_INET, &old->gateway4) : 0;
	if (r < 0 && r != -ESRCH)
		return kern_fail_nl(err, r, nl, "gateway", "port %s: default route", c->name);
	if (c->has_gateway6)
		r = change_route(nl, RTM_NEWROUTE, ifindex, AF_INET6, &c->gateway6);
	else
		r = old && old->has_gateway6 ? change_route(nl, RTM_DELROUTE, ifindex, AF_INET6, &old->gateway6) : 0;
	if (r < 0 && r != -ESRCH)
		return kern_fail_nl(err, r, nl, "gateway", "port %s: default IPv6 route", c->name);
	return 0;
}

/* What is done in the container's namespace. `old` NULL: the netdev is new. */
static int furnish(struct kern *e, struct port *p, int ns_fd, const struct kern_port_conf *old, const struct kern_port_conf *c,
		   struct kern_error *err)
{
	struct nl nl;
	int back, r;

	r = netns_enter(ns_fd, &back);
	if (r < 0)
		return kern_fail_nl(err, r, NULL, "netns", "port %s: entering %s", c->name, c->netns);
	r = nl_open(&nl, 0);
	netns_leave(back);
	if (r < 0)
		return kern_fail_nl(err, r, NULL, NULL, "port %s: netlink", c->name);
	if (old && c->has_mac && (!old->has_mac || memcmp(old->mac, c->mac, 6) != 0)) {
		r = set_mac(&nl, p->peer, c->mac);
		if (r < 0)
			kern_fail_nl(err, r, &nl, "mac", "port %s: MAC of %s", c->name, c->ifname);
	}
	if (r == 0 && old && old->mtu != c->mtu) {
		r = veth_set_mtu(&nl, p->peer, c->mtu);
		if (r < 0)
			kern_fail_nl(err, r, &nl, "mtu", "port %s: mtu %u of %s", c->name, c->mtu, c->ifname);
	}
	/* New, or found without a configuration (which has no name): its maker may have been killed before he came to this. */
	if (r == 0 && (!old || !old->name[0])) {
		r = veth_set_up(&nl, p->peer, true);
		if (r < 0)
			kern_fail_nl(err, r, &nl, "ifname", "port %s: bringing up %s", c->name, c->ifname);
	}
	if (r == 0)
		r = set_addresses(&nl, p->peer, old, c, err);
	nl_close(&nl);
	return r;
}

static int open_netns(const struct kern_port_conf *c, struct kern_error *err)
{
	int fd = netns_open(c->netns);

	if (fd == -EINVAL)
		return kern_fail(err, fd, "no-such-namespace", "netns", NULL, "port %s: %s is not a network namespace", c->name,
				 c->netns);
	if (fd < 0)
		return kern_fail(err, fd, "no-such-namespace", "netns", "a path, a pid, or a name that `ip netns` lists",
				 "port %s: namespace %s: %s", c->name, c->netns, strerror(-fd));
	if (netns_is_own(fd)) {
		close(fd);
		return kern_fail(err, -EINVAL, "own-namespace", "netns", NULL, "port %s: %s is the node's own namespace", c->name,
				 c->netns);
	}
	return fd;
}

/* A netdev of our name without an alias was left half made by somebody who was killed there. */
static int remove_half_made(struct kern *e, const char *host)
{
	uint32_t ifindex = if_nametoindex(host);
	struct veth_link link;

	if (!ifindex || link_by_index(&e->nl, ifindex, &link) < 0 || link.alias[0])
		return -EEXIST;
	veth_unmake(e, ifindex);
	return 0;
}

static int make_pair(struct kern *e, struct port *p, int ns_fd, struct kern_error *err)
{
	const struct kern_port_conf *c = &p->rec.conf;
	int r = create_pair(e, c, p->host_ifname, ns_fd);

	if (r == -EEXIST && if_nametoindex(p->host_ifname) && remove_half_made(e, p->host_ifname) == 0)
		r = create_pair(e, c, p->host_ifname, ns_fd);
	if (r == -EEXIST)
		return kern_fail(err, r, "in-use", "ifname", "another ifname, or remove the netdev that has it",
				 "port %s: namespace %s has a netdev %s already", c->name, c->netns, c->ifname);
	if (r < 0)
		return kern_fail_nl(err, r, &e->nl, "ifname", "port %s: making %s in %s", c->name, c->ifname, c->netns);
	p->ifindex = if_nametoindex(p->host_ifname);
	return p->ifindex ? 0 : kern_fail_nl(err, -ENODEV, NULL, NULL, "port %s: %s", c->name, p->host_ifname);
}

int veth_make(struct kern *e, struct port *p, struct kern_error *err)
{
	const struct kern_port_conf *c = &p->rec.conf;
	struct veth_link link;
	char alias[128];
	int ns_fd, r;

	snprintf(p->host_ifname, sizeof(p->host_ifname), "%s.%u", e->stem, p->idx);
	ns_fd = open_netns(c, err);
	if (ns_fd < 0)
		return ns_fd;
	r = make_pair(e, p, ns_fd, err);
	if (r < 0)
		goto close_ns;
	port_alias(e, c->name, alias);
	tc_silence(p->host_ifname);
	if ((r = veth_set_alias(&e->nl, p->ifindex, alias)) < 0 || (r = link_by_index(&e->nl, p->ifindex, &link)) < 0 ||
	    (r = tc_attach(e, p->ifindex, PROG_PORT_IN)) < 0) {
		kern_fail_nl(err, r, &e->nl, NULL, "port %s: %s", c->name, p->host_ifname);
		goto unmake;
	}
	p->peer = link.peer;
	p->host_up = false;
	r = furnish(e, p, ns_fd, NULL, c, err);
	if (r < 0)
		goto unmake;
	close(ns_fd);
	return 0;

unmake:
	veth_unmake(e, p->ifindex);
	p->ifindex = p->peer = 0;
close_ns:
	close(ns_fd);
	return r;
}

int veth_change(struct kern *e, struct port *p, const struct kern_port_conf *from, const struct kern_port_conf *to,
		struct kern_error *err)
{
	bool mtu = from->mtu != to->mtu;
	int ns_fd, r;

	/* Nothing that concerns the netdevs: do not look for the namespace, which a pid may no longer lead to. */
	if (!mtu && from->has_mac == to->has_mac && memcmp(from->mac, to->mac, 6) == 0 && from->n_addrs == to->n_addrs &&
	    memcmp((const void *)from->addrs, (const void *)to->addrs, sizeof(from->addrs)) == 0 &&
	    from->has_gateway4 == to->has_gateway4 && from->has_gateway6 == to->has_gateway6 &&
	    memcmp(&from->gateway4, &to->gateway4, 4) == 0 && memcmp(&from->gateway6, &to->gateway6, 16) == 0)
		return 0;
	ns_fd = open_netns(to, err);
	if (ns_fd < 0)
		return ns_fd;
	r = furnish(e, p, ns_fd, from, to, err);
	if (r == 0 && mtu) {
		r = veth_set_mtu(&e->nl, p->ifindex, to->mtu);
		if (r < 0)
			kern_fail_nl(err, r, &e->nl, "mtu", "port %s: mtu %u", to->name, to->mtu);
	}
	close(ns_fd);
	return r;
}

int veth_up(struct kern *e, struct port *p)
{
	int r = p->host_up ? 0 : veth_set_up(&e->nl, p->ifindex, true);

	p->host_up = r == 0;
	return r;
}

int veth_is_there(struct kern *e, const struct port *p)
{
	int ns_fd = netns_open(p->rec.conf.netns), back, r;
	struct veth_link link;
	struct nl nl;

	if (ns_fd < 0)
		return ns_fd;
	r = netns_enter(ns_fd, &back);
	if (r == 0) {
		r = nl_open(&nl, 0);
		netns_leave(back);
	}
	if (r == 0) {
		/* The same index may be another netdev in another namespace; that its peer is our host end tells. */
		r = link_by_index(&nl, p->peer, &link) == 0 && link.peer == p->ifindex &&
		    strcmp(link.ifname, p->rec.conf.ifname) == 0;
		nl_close(&nl);
	}
	close(ns_fd);
	return r;
}

/* --- unmaking ---------------------------------------------------------------------------------------------------------------- */

void veth_unmake(struct kern *e, uint32_t ifindex)
{
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex};

	nl_start(&e->nl, RTM_DELLINK, 0, &ifi, sizeof(ifi));
	nl_talk(&e->nl);
}

void veth_unmake_all(struct kern *e, const uint32_t *ifindexes, unsigned n)
{
	struct ifinfomsg ifi = {0};
	unsigned together = 0;

	/* Each deletion waits for grace periods; one of a whole group waits for them once. */
	for (unsigned i = 0; i < n && n > 2; i++) {
		struct ifinfomsg one = {.ifi_index = (int)ifindexes[i]};

		nl_start(&e->nl, RTM_NEWLINK, 0, &one, sizeof(one));
		nl_put_u32(&e->nl, IFLA_GROUP, GROUP_DYING);
		together += nl_talk(&e->nl) == 0;
	}
	if (together) {
		nl_start(&e->nl, RTM_DELLINK, 0, &ifi, sizeof(ifi));
		nl_put_u32(&e->nl, IFLA_GROUP, GROUP_DYING);
		if (nl_talk(&e->nl) == 0)
			return;
	}
	for (unsigned i = 0; i < n; i++)
		veth_unmake(e, ifindexes[i]);
}

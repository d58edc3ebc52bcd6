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
#include <netlink/route/addr.h>
#include <netlink/route/route.h>

/* --- making ------------------------------------------------------------------------------------------------------------------ */

static int create_pair(struct kern *e, const struct kern_port_conf *c, const char *host, int ns_fd)
{
	struct veth_end near = {.ifname = host, .mtu = c->mtu};
	struct veth_end far = {.ifname = c->ifname, .mtu = c->mtu, .ns_fd = ns_fd, .mac = c->has_mac ? c->mac : NULL};

	return veth_pair(&e->nl, &near, &far);
}

/* -NLE_*; `to` is the object's setter. */
static int give_addr(struct rtnl_addr *object, int (*to)(struct rtnl_addr *, struct nl_addr *), uint8_t family, const void *bytes,
		     uint8_t prefix)
{
	struct nl_addr *addr = nl_addr_build(family, bytes, family == AF_INET ? 4 : 16);
	int r = -NLE_NOMEM;

	if (addr) {
		nl_addr_set_prefixlen(addr, prefix);
		r = to(object, addr);
	}
	nl_addr_put(addr);
	return r;
}

static int describe_addr(struct rtnl_addr *object, uint32_t ifindex, const struct kern_ip *ip)
{
	int r = give_addr(object, rtnl_addr_set_local, ip->family, &ip->v4, ip->prefix);

	rtnl_addr_set_ifindex(object, (int)ifindex);
	rtnl_addr_set_scope(object, RT_SCOPE_UNIVERSE);
	/* The scheduler owns the addresses: nobody is asked whether they are free, and they are usable at once. */
	if (ip->family == AF_INET6)
		rtnl_addr_set_flags(object, IFA_F_NODAD);
	if (r == 0 && ip->family == AF_INET && ip->prefix < 31) {
		struct in_addr bcast = {ip->v4.s_addr | htonl(UINT32_MAX >> ip->prefix)};

		r = give_addr(object, rtnl_addr_set_broadcast, AF_INET, &bcast, ip->prefix);
	}
	return r;
}

static int change_addr(struct netlink *nl, uint16_t type, uint32_t ifindex, const struct kern_ip *ip)
{
	struct rtnl_addr *object = rtnl_addr_alloc();
	int r = object ? describe_addr(object, ifindex, ip) : -NLE_NOMEM;
	struct nl_msg *msg = NULL;

	if (r == 0)
		r = type == RTM_NEWADDR ? rtnl_addr_build_add_request(object, NLM_F_REPLACE, &msg)
					: rtnl_addr_build_delete_request(object, 0, &msg);
	rtnl_addr_put(object);
	return netlink_talk(nl, r, msg);
}

/* A default route: its destination is an address of no length. */
static int describe_route(struct rtnl_route *route, uint32_t ifindex, uint8_t family, const void *gateway)
{
	struct nl_addr *to = nl_addr_build(family, NULL, 0), *via = nl_addr_build(family, gateway, family == AF_INET ? 4 : 16);
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	int r = to && via && hop ? rtnl_route_set_dst(route, to) : -NLE_NOMEM;

	if (r == 0) {
		rtnl_route_set_table(route, RT_TABLE_MAIN);
		rtnl_route_set_protocol(route, RTPROT_STATIC);
		rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
		rtnl_route_set_type(route, RTN_UNICAST);
		rtnl_route_nh_set_gateway(hop, via);
		rtnl_route_nh_set_ifindex(hop, (int)ifindex);
		/* Takes it over. */
		rtnl_route_add_nexthop(route, hop);
	} else if (hop) {
		rtnl_route_nh_free(hop);
	}
	nl_addr_put(to);
	nl_addr_put(via);
	return r;
}

static int change_route(struct netlink *nl, uint16_t type, uint32_t ifindex, uint8_t family, const void *gateway)
{
	struct rtnl_route *route = rtnl_route_alloc();
	int r = route ? describe_route(route, ifindex, family, gateway) : -NLE_NOMEM;
	struct nl_msg *msg = NULL;

	if (r == 0)
		r = type == RTM_NEWROUTE ? rtnl_route_build_add_request(route, NLM_F_REPLACE, &msg)
					 : rtnl_route_build_del_request(route, 0, &msg);
	rtnl_route_put(route);
	return netlink_talk(nl, r, msg);
}

static bool has_addr(const struct kern_port_conf *c, const struct kern_ip *ip)
{
	for (unsigned i = 0; c && i < c->n_addrs; i++) {
		if (memcmp((const void *)&c->addrs[i], (const void *)ip, sizeof(*ip)) == 0)
			return true;
	}
	return false;
}

static int addr_failed(struct kern_error *err, int r, const struct netlink *nl, const struct kern_ip *ip, const char *name)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(ip->family, &ip->v4, text, sizeof(text));
	return kern_fail_nl(err, r, nl, "addr", "port %s: address %s/%u", name, text, ip->prefix);
}

/* From the addresses and routes of `old` (NULL: none) to those of c. In the container's namespace, its netdev is up. */
static int set_addresses(struct netlink *nl, uint32_t ifindex, const struct kern_port_conf *old, const struct kern_port_conf *c,
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
	struct netlink nl;
	int back, r;

	r = netns_enter(ns_fd, &back);
	if (r < 0)
		return kern_fail_nl(err, r, NULL, "netns", "port %s: entering %s", c->name, c->netns);
	r = netlink_open(&nl);
	netns_leave(back);
	if (r < 0)
		return kern_fail_nl(err, r, NULL, NULL, "port %s: netlink", c->name);
	if (old && c->has_mac && (!old->has_mac || memcmp(old->mac, c->mac, 6) != 0)) {
		r = veth_set_mac(&nl, p->peer, c->mac);
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
		r = veth_set_up(&nl, p->peer);
		if (r < 0)
			kern_fail_nl(err, r, &nl, "ifname", "port %s: bringing up %s", c->name, c->ifname);
	}
	if (r == 0)
		r = set_addresses(&nl, p->peer, old, c, err);
	netlink_close(&nl);
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

	if (!ifindex || veth_link(e, ifindex, &link) < 0 || link.alias[0])
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
	if ((r = veth_set_alias(&e->nl, p->ifindex, alias)) < 0 || (r = veth_link(e, p->ifindex, &link)) < 0 ||
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
	int r = p->host_up ? 0 : veth_set_up(&e->nl, p->ifindex);

	p->host_up = r == 0;
	return r;
}

int veth_is_there(struct kern *e, const struct port *p)
{
	int ns_fd = netns_open(p->rec.conf.netns), back, r;
	struct veth_link link;
	struct netlink nl;

	if (ns_fd < 0)
		return ns_fd;
	r = netns_enter(ns_fd, &back);
	if (r == 0) {
		r = netlink_open(&nl);
		netns_leave(back);
	}
	if (r == 0) {
		/* The same index may be another netdev in another namespace; that its peer is our host end tells. */
		r = veth_link_in(&nl, p->peer, &link) == 0 && link.peer == p->ifindex &&
		    strcmp(link.ifname, p->rec.conf.ifname) == 0;
		netlink_close(&nl);
	}
	close(ns_fd);
	return r;
}

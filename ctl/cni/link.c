/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>

#include "link.h"
#include "netns.h"

#define LOOKS_MAX 10 /* at what changes while we look */

/* --- the socket --------------------------------------------------------------------------------------------------------------- */

static int open_in(struct netlink *nl, int ns)
{
	int back, ret = netns_enter(ns, &back);

	close(ns);
	if (ret < 0)
		return ret;
	ret = netlink_open(nl);
	netns_leave(back);
	return ret;
}

int link_open(struct netlink *nl, const char *path, struct cni_error *err)
{
	int ns = path ? netns_open(path) : 0, ret;

	memset(nl, 0, sizeof(*nl));
	if (ns == -EINVAL)
		return cni_fail(err, CNI_BAD_ENVIRONMENT, NULL, "invalid environment: CNI_NETNS %.300s: not a network namespace",
				path);
	if (ns < 0)
		return cni_fail(err, ns == -ENOENT || ns == -ENOTDIR ? CNI_UNKNOWN_CONTAINER : CNI_IO, NULL,
				"network namespace %.300s: %s", path, strerror(-ns));
	ret = path ? open_in(nl, ns) : netlink_open(nl);
	return ret < 0 ? cni_fail(err, CNI_IO, NULL, "network namespace %.300s: %s", path ? path : "of the node", strerror(-ret))
		       : 0;
}

/* --- links -------------------------------------------------------------------------------------------------------------------- */

static int take_link(void *arg, struct nl_msg *msg)
{
	const struct ifinfomsg *ifi = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *at[IFLA_MAX + 1];
	struct link *link = arg;
	const uint8_t *b;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*ifi), at, IFLA_MAX, NULL) < 0)
		return -EPROTO;
	link->ifindex = ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	if (at[IFLA_IFNAME])
		nla_strlcpy(link->name, at[IFLA_IFNAME], sizeof(link->name));
	if (at[IFLA_MTU])
		nla_memcpy(&link->mtu, at[IFLA_MTU], sizeof(link->mtu));
	if (at[IFLA_LINK])
		nla_memcpy(&link->peer, at[IFLA_LINK], sizeof(link->peer));
	if (at[IFLA_ADDRESS] && nla_len(at[IFLA_ADDRESS]) == 6) {
		b = nla_data(at[IFLA_ADDRESS]);
		snprintf(link->mac, sizeof(link->mac), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	}
	return 0;
}

/* By its index, or by its name if that is 0. */
static int look(struct netlink *nl, int ifindex, const char *name, struct link *link)
{
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct nl_msg *msg = netlink_request(RTM_GETLINK, 0, &ifi, sizeof(ifi));
	int ret = msg && name ? nla_put_string(msg, IFLA_IFNAME, name) : 0;

	memset(link, 0, sizeof(*link));
	return netlink_ask(nl, ret, msg, take_link, link);
}

int link_find(struct netlink *nl, const char *name, struct link *link)
{
	return look(nl, 0, name, link);
}

int link_by_index(struct netlink *nl, int ifindex, struct link *link)
{
	return look(nl, ifindex, NULL, link);
}

/* --- addresses ---------------------------------------------------------------------------------------------------------------- */

static size_t addr_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

bool link_addr_parse(const char *text, bool bare, struct link_addr *addr)
{
	const char *slash = strchr(text, '/');
	char ip[INET6_ADDRSTRLEN];
	unsigned long prefix;
	char *end;

	memset(addr, 0, sizeof(*addr));
	addr->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if ((!slash && !bare) || (size_t)snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text, "/"), text) >= sizeof(ip) ||
	    inet_pton(addr->family, ip, addr->bytes) != 1)
		return false;
	addr->prefix = addr_size(addr->family) * 8;
	if (!slash)
		return true;
	prefix = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end || prefix > addr->prefix)
		return false;
	addr->prefix = prefix;
	return true;
}

/* What is looked for in a dump. */
struct search {
	int ifindex;
	struct link_addr addr;
	bool found;
};

static bool is(const struct search *s, const struct nlattr *at)
{
	size_t size = addr_size(s->addr.family);

	return at && nla_len(at) == (int)size && !memcmp(nla_data(at), s->addr.bytes, size);
}

static int search(struct netlink *nl, int type, const void *header, size_t len, netlink_each *each, struct search *s)
{
	int ret = -EINTR;

	/* What is missing from a list that things came and went under may be there all the same. */
	for (int i = 0; i < LOOKS_MAX && ret == -EINTR && !s->found; i++)
		ret = netlink_ask(nl, 0, netlink_request(type, NLM_F_DUMP, header, len), each, s);
	return s->found ? 1 : ret;
}

static int take_addr(void *arg, struct nl_msg *msg)
{
	const struct ifaddrmsg *ifa = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *at[IFA_MAX + 1];
	struct search *s = arg;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*ifa), at, IFA_MAX, NULL) < 0)
		return -EPROTO;
	if ((int)ifa->ifa_index == s->ifindex && ifa->ifa_family == s->addr.family && ifa->ifa_prefixlen == s->addr.prefix)
		s->found |= is(s, at[IFA_LOCAL] ? at[IFA_LOCAL] : at[IFA_ADDRESS]);
	return 0;
}

int link_has_addr(struct netlink *nl, int ifindex, const struct link_addr *addr)
{
	struct ifaddrmsg ifa = {.ifa_family = addr->family};
	struct search s = {ifindex, *addr, false};

	return search(nl, RTM_GETADDR, &ifa, sizeof(ifa), take_addr, &s);
}

/* --- routes ------------------------------------------------------------------------------------------------------------------- */

/* Its destination with the bits behind the prefix cleared, as the kernel keeps it. */
static struct link_addr network_of(struct link_addr dst)
{
	for (unsigned bit = dst.prefix; bit < 128; bit++)
		dst.bytes[bit / 8] &= ~(0x80 >> bit % 8);
	return dst;
}

static int take_route(void *arg, struct nl_msg *msg)
{
	const struct rtmsg *rt = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *at[RTA_MAX + 1];
	struct search *s = arg;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*rt), at, RTA_MAX, NULL) < 0)
		return -EPROTO;
	if (rt->rtm_family == s->addr.family && rt->rtm_dst_len == s->addr.prefix)
		s->found |= s->addr.prefix ? is(s, at[RTA_DST]) : rt->rtm_type == RTN_UNICAST;
	return 0;
}

int link_has_route(struct netlink *nl, const struct link_addr *dst)
{
	struct search s = {.addr = network_of(*dst)};
	struct rtmsg rt = {.rtm_family = dst->family};

	return search(nl, RTM_GETROUTE, &rt, sizeof(rt), take_route, &s);
}

/* 0, or what the first that failed returned. */
static int put_route(struct nl_msg *msg, int ifindex, const struct link_route *r, const struct link_addr *net)
{
	size_t size = addr_size(net->family);
	struct nlattr *metrics;

	if (net->prefix)
		NLA_PUT(msg, RTA_DST, size, net->bytes);
	if (r->has_gw)
		NLA_PUT(msg, RTA_GATEWAY, size, r->gw);
	NLA_PUT_U32(msg, RTA_OIF, ifindex);
	if (r->priority)
		NLA_PUT_U32(msg, RTA_PRIORITY, r->priority);
	if (r->table)
		NLA_PUT_U32(msg, RTA_TABLE, r->table);
	if (!r->mtu && !r->advmss)
		return 0;
	metrics = nla_nest_start(msg, RTA_METRICS);
	if (!metrics)
		goto nla_put_failure;
	if (r->mtu)
		NLA_PUT_U32(msg, RTAX_MTU, r->mtu);
	if (r->advmss)
		NLA_PUT_U32(msg, RTAX_ADVMSS, r->advmss);
	return nla_nest_end(msg, metrics);
nla_put_failure:
	return -NLE_NOMEM;
}

int link_add_route(struct netlink *nl, int ifindex, const struct link_route *r)
{
	struct link_addr net = network_of(r->dst);
	struct rtmsg rt = {
		.rtm_family = net.family,
		.rtm_dst_len = net.prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = r->has_scope			   ? r->scope
			     : r->has_gw || net.family == AF_INET6 ? RT_SCOPE_UNIVERSE
								   : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	/* Appended: one of several ways to one place does not take the others' place. */
	struct nl_msg *msg = netlink_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &rt, sizeof(rt));
	int ret = msg ? put_route(msg, ifindex, r, &net) : 0;

	ret = netlink_talk(nl, ret, msg);
	return ret == -EEXIST ? 0 : ret;
}

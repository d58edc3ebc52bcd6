/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_LINK_H
#define CTL_CNI_LINK_H

/*
 * What is really there: netdevs, addresses and routes of a namespace, by rtnetlink.
 *
 * The container's namespace is entered once, for the time of opening a socket (netns.h), and left again; everything else is asked and
 * answered from outside, and nothing of this program ever runs in there.
 *
 * Messages are libnl-3's, asked by netlink.h, without libnl-route's objects: of an answer a field or two is looked at, one message (a route's)
 * changes anything, and a program that is started for each container need not load them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/if.h>
#include <netinet/in.h>

#include "cni.h"
#include "netlink.h"

struct link {
	int ifindex, peer; /* peer: of a veth, its other end's index, in the other end's namespace; 0 if it has none */
	char name[IF_NAMESIZE];
	char mac[18];
	uint32_t mtu;
	bool up;
};

/* An address and how much of it counts: of an interface, or where a route leads. */
struct link_addr {
	int family; /* AF_INET, AF_INET6 */
	uint8_t prefix;
	uint8_t bytes[16];
};

struct link_route {
	struct link_addr dst;
	bool has_gw;
	uint8_t gw[16];
	/* 0: the kernel's own idea. */
	uint32_t mtu, advmss, priority, table;
	bool has_scope;
	uint8_t scope;
};

/*
 * Open a netlink socket in the namespace at `path`, or in our own if it is NULL. 0, or with *err: UNKNOWN_CONTAINER if nothing is there,
 * BAD_ENVIRONMENT if it is not a network namespace, IO; it is closed then.
 */
int link_open(struct netlink *nl, const char *path, struct cni_error *err);

/* 0, -ENODEV if there is none of that name, or another negative errno. */
int link_find(struct netlink *nl, const char *name, struct link *link);
int link_by_index(struct netlink *nl, int ifindex, struct link *link);
/* 1 if the address is on the netdev, 0 if not, or a negative errno. */
int link_has_addr(struct netlink *nl, int ifindex, const struct link_addr *addr);
/* The same of a route to exactly this destination, in any table, by any gateway. */
int link_has_route(struct netlink *nl, const struct link_addr *dst);
/* 0, also if exactly this route is there, or a negative errno; nl->why says more. */
int link_add_route(struct netlink *nl, int ifindex, const struct link_route *route);

/* "10.0.0.11/24", "fd00::1/64"; without a prefix only if `bare`, and then it is the whole address. */
bool link_addr_parse(const char *text, bool bare, struct link_addr *addr);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_NETLINK_H
#define BPF_NETLINK_H

/*
 * rtnetlink, by libnl-3 and libnl-route-3: the thin layer between their objects and the kernel's answers.
 *
 *   link = rtnl_link_alloc(); rtnl_link_set_...(link, ...)   an object says what is wanted
 *   r = rtnl_link_build_add_request(link, flags, &msg);      libnl makes the message of it
 *   r = netlink_talk(nl, r, msg);                            0 or the kernel's own -errno; nl->why is its text, or ""
 *   ... nl_msg_parse(msg, take_object, arg) ...              and of an answer the object
 *
 * Why not the calls that do all of it (rtnl_link_add(), nl_send_sync()): they answer with classes, into which several errnos fall (a route that is
 * not there and a qdisc kind that is not there are one), and without the kernel's extended text; what a person needs to mend a refused address
 * or name is in those two. Both pass by the callbacks that libnl has for it, so that is where they are taken.
 *
 * By hand, from a header and attributes (netlink_request()), is what libnl-route-3 (3.7) builds no message for: the dump of all links, one traffic class,
 * a netdev's filters (it has them in caches only, which it fills itself and with errors of its own), and the deletion of a group of links.
 *
 * Memory. libnl allocates objects and messages, and each allocation may fail: -ENOMEM here. Some of its setters do not say so (those that
 * copy a string, and that a message is then made of): who uses them looks whether the string is there. A message handed to a function here is
 * taken over in any case. Memory may also be short when the answer comes: an error then does not mean that nothing was done (`unheard`), and
 * undoing is for who asked.
 *
 * Who is root in a container's namespace may write to sockets that were opened there. Only the kernel is listened to.
 *
 * A socket belongs to the namespace in which it was opened. One question at a time; not for several threads. struct netlink does not move
 * while it is open. A callback may not ask on the socket that it is called for.
 *
 * When a listening socket is full the kernel drops what comes, and the next netlink_hear() says -ENOBUFS: ask for everything again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netlink/msg.h>
#include <netlink/netlink.h>

#define NETLINK_BURST 64

/* A message of an answer, or that was heard. Negative: see the callers. */
typedef int netlink_each(void *arg, struct nl_msg *msg);

struct netlink {
	struct nl_sock *sock; /* NULL: closed */
	char why[128];	      /* the kernel's text to the last error, or "" */

	/* The question that is being asked. */
	uint32_t seq;
	bool listens, answered, torn;
	bool unheard; /* it was sent, and the answer could not be read: what was asked for may have been done, or not */
	int result;
	netlink_each *each;
	void *arg;
};

/* A socket that asks. 0 or -errno, and it is closed. */
int netlink_open(struct netlink *nl);
/* One that only listens to a group (RTNLGRP_*), without blocking. */
int netlink_listen(struct netlink *nl, int group);
/* Also of one that is closed, or all zero. */
void netlink_close(struct netlink *nl);
int netlink_fd(const struct netlink *nl);

/* What a function of libnl returned, as -errno. Only for those that make no system call: of an answer's error it knows the class alone. */
int netlink_errno(int code);
/* A message by hand: type, NLM_F_*, the family's header. NULL when out of memory. */
struct nl_msg *netlink_request(int type, int flags, const void *header, size_t len);

/* Send, and wait for the acknowledgement. `built`: what the builder of msg returned; if it failed, that, and nothing is sent. */
int netlink_talk(struct netlink *nl, int built, struct nl_msg *msg);
/*
 * Send, and hand each message of the answer to `each`; from its first return below zero on it is not called any more, and that is the result.
 * -EINTR: a dump during which things changed, so that it may lack some.
 */
int netlink_ask(struct netlink *nl, int built, struct nl_msg *msg, netlink_each *each, void *arg);
/*
 * Messages that have come to a listening socket, NETLINK_BURST at most: the rest is for the next call, and the descriptor is readable until then, so that a
 * swarm of netdevs keeps nobody else waiting. -ENOBUFS when some were lost, or what `each` said below zero; others are handed on all the same.
 */
int netlink_hear(struct netlink *nl, netlink_each *each, void *arg);

#endif

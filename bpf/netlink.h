/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_NETLINK_H
#define BPF_NETLINK_H

/*
 * rtnetlink: build a request, send it, read the answer.
 *
 *   nl_start(nl, RTM_NEWLINK, NLM_F_CREATE, &ifi, sizeof(ifi));
 *   nl_put_str(nl, IFLA_IFNAME, "a");
 *   at = nl_nest(nl, IFLA_LINKINFO); ... nl_end(nl, at);
 *   r = nl_talk(nl);                         0 or the kernel's own -errno; nl->why is its text, or ""
 *
 * Why not libnl: its calls return error classes of their own, into which several errnos fall, and not the kernel's text; what a person
 * needs to mend a refused address or name is in those two. What is left of netlink is in this file.
 *
 * A socket belongs to the namespace in which it was opened. One message at a time; not for several threads.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

struct nl {
	int fd;
	uint32_t seq;
	char why[128]; /* the kernel's text to the last error, or "" */
	bool overflow; /* the message grew too long: nl_talk() says -EMSGSIZE */
	union {
		struct nlmsghdr head;
		char buf[8192];
	};
};

/* Groups: bits of RTMGRP_*, for a socket that only listens (non-blocking); 0 for one that asks. 0 or -errno */
int nl_open(struct nl *nl, uint32_t groups);
void nl_close(struct nl *nl);

void nl_start(struct nl *nl, uint16_t type, uint16_t flags, const void *header, size_t len);
void nl_put(struct nl *nl, uint16_t type, const void *data, size_t len);
void nl_put_u32(struct nl *nl, uint16_t type, uint32_t value);
void nl_put_u64(struct nl *nl, uint16_t type, uint64_t value);
void nl_put_str(struct nl *nl, uint16_t type, const char *text);
/* Begin and end a nested attribute. */
size_t nl_nest(struct nl *nl, uint16_t type);
void nl_end(struct nl *nl, size_t at);
/* Room inside a nested attribute for a header of its own (VETH_INFO_PEER). */
void nl_raw(struct nl *nl, const void *data, size_t len);

/* Send, and wait for the acknowledgement. */
int nl_talk(struct nl *nl);
/* Send, and hand each message of the answer to `each` (its return value below zero ends the reading and is returned). */
int nl_ask(struct nl *nl, int (*each)(void *arg, const struct nlmsghdr *msg), void *arg);
/* Messages that have come to a listening socket; returns 0, -ENOBUFS when some were lost. */
int nl_hear(struct nl *nl, void (*each)(void *arg, const struct nlmsghdr *msg), void *arg);

/* Attributes of a message behind a header of `len` bytes, by type; at[0..max]. */
void nl_attrs(const struct nlmsghdr *msg, size_t len, struct rtattr **at, unsigned max);
void nl_nested(const struct rtattr *nest, struct rtattr **at, unsigned max);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_XSK_H
#define DATAPLANE_XSK_H

/*
 * The descriptors of DPDK's AF_XDP driver: it neither shows them nor closes them all.
 *
 * To sleep until a frame comes, a worker needs the XDP socket, which the driver keeps to itself. And when it closes a port, the driver of
 * DPDK 22.11 counts the users of its buffer area wrong by one and leaves the area's socket, a BPF map and a program open; the
 * netdev's queue stays taken, so the port could not be made again until the daemon restarts. Closing opens a further program, to look at
 * it, and forgets that one as well.
 *
 * So what the driver opened is found out: the descriptors of these types that were not there before. Each is remembered with what it
 * refers to (a socket's inode, a map's or program's id, from /proc/self), so that a number which the driver did close, and
 * somebody else got since, is left alone. Control thread, which alone opens and closes descriptors of these types.
 */

#include <stdint.h>

#define XSK_MAX 512 /* descriptors looked at in a process: 32 devices with their queues */

struct xsk_fd {
	int fd;
	char what[64]; /* "socket:[123]", "anon_inode:bpf-map 7" */
};

struct xsk_set {
	unsigned n;
	struct xsk_fd fd[XSK_MAX];
};

/* All XDP sockets, BPF maps, programs and links that this process has open. */
void xsk_list(struct xsk_set *all);
/* Take from *all what is in *before too. */
void xsk_subtract(struct xsk_set *all, const struct xsk_set *before);
/* The n-th XDP socket of the set, or -1. The driver opens its queues in order. */
int xsk_socket(const struct xsk_set *set, unsigned n);
/* Close what is still open of the set, and still the same. Returns how many were. */
unsigned xsk_close(struct xsk_set *set);

#endif

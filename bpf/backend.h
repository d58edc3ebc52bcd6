/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_BACKEND_H
#define BPF_BACKEND_H

/*
 * Trunk backends: how the netdev `slc0` leads to the DPDK switch. One row each, the best first.
 *
 *                    host's stack, containers                     the switch (dp_port_conf.carrier)
 *      veth          slc0 ==== veth pair ==== slc0-dp ----------- af-packet: our packet sockets, requests for offloads cross
 *      veth-xdp      slc0 ==== the same ===== slc0-dp ----------- af-xdp: DPDK's XDP sockets; none cross, offloads are off on slc0
 *      tap           slc0, a tap -------------------------------- tap: our reader of /dev/net/tun, requests cross
 *
 * A netdev is of a family (trunk_family): what it is made as. Backends of one family take each other's over, with the addresses and routes on it;
 * to go from one family to another is the operator's decision (`sluiced --cleanup` first), for it costs him those. The netdev itself
 * says what it is: its alias that it is ours, its driver's name of which family.
 *
 * Automatic choice. The first row that the kernel can do, of the family of the netdev that is there, if one is. What the rows above it
 * lack is reported.
 *
 * To add a backend: its number in enum kern_trunk_by (kern.h), a row in backend.c, a name in ctl/daemon/config.c, a row of the switch's kind
 * "trunk" (dataplane/kind.c).
 */

#include "inside.h"

struct trunk_family {
	const char *driver; /* as ethtool -i tells it */
	const char *what;   /* for people: "a veth pair" */
	/* Make NAME, with `alias` or without. 0, or -errno with nothing left behind. */
	int (*make)(struct kern *e, const char *name, const char *alias, uint16_t mtu);
	/* A netdev of this family without an alias: was it left by a maker who was killed before he could name it? */
	bool (*is_half_made)(const struct veth_link *link);
	/* Into its working state, made or found. `far` (16 bytes): the netdev that the switch opens. 0 or -errno */
	int (*settle)(struct kern *e, const struct veth_link *link, bool offload, char *far);
};

struct trunk_backend {
	const char *name;
	const char *carrier;
	const struct trunk_family *family;
	/* Frames may reach the switch with checksums and segmentation still to do. Without, the kernel finishes them on slc0; containers keep theirs. */
	bool offload;
	/* What this kernel lacks for it, for people; NULL: nothing. `why`: room for the text. Makes nothing that stays. */
	const char *(*lacks)(char *why, size_t size);
};

extern const struct trunk_family trunk_pair, trunk_tun;

/* The `lacks` of backends on a tap. */
const char *tun_lacks(char *why, size_t size);

/* What drives the netdev ("veth", "tun"), or "". `driver`: 32 bytes. */
void trunk_driver(const char *ifname, char *driver);

#endif

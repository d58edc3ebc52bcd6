/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_BACKEND_H
#define BPF_BACKEND_H

/*
 * Trunk backends: how the netdev `slc0` leads to the DPDK switch. One row each, the best first.
 *
 *                    host's stack, containers                     the switch (dp_port_conf.carrier)
 *      veth          slc0 ==== veth pair ==== slc0-dp ----------- af-packet: our packet sockets, requests for offloads cross
 *      vhost-net     slc0, a tap ==== the kernel's vhost thread = vhost-net: rings in our memory (DPDK's virtio_user), requests cross
 *      tap           slc0, a tap -------------------------------- tap: our reader of /dev/net/tun, requests cross
 *      veth-xdp      slc0 ==== the pair ===== slc0-dp ----------- af-xdp: DPDK's XDP sockets; none cross, offloads are off on slc0
 *
 * Why in this order. bench/trunk.py, Linux 6.18, 2 cores, the worker polling on one, sender and receiver on the other; the median
 * [lowest..highest] of five alternating rounds of 2 s:
 *
 *                                               veth                 tap                  veth-xdp
 *      14 bytes there and back, p50, us         39.4 [38.7..57.5]    40.5 [38.8..48.6]    39.6 [39.5..43.5]
 *      64 bytes out of a container, kpps        276 [265..291]       321 [305..341]       247 [230..259]
 *      ... into one, kpps                       287 [281..334]       293 [270..301]       280 [279..334]
 *      what one out costs the worker, ns        285 [236..475]       2103 [1915..2350]    350 [266..470]
 *      ... one in, the way up included          3401 [2959..3478]    3181 [3098..3282]    3442 [2927..3475]
 *      one TCP connection out, Gbit/s           12.7 [11.4..14.6]    13.0 [10.1..14.1]    1.7 [1.5..2.0]
 *      ... in                                   13.8 [10.9..14.0]    11.7 [11.2..15.4]    2.6 [2.5..2.7]
 *
 * On two cores the sender is the limit, and veth and tap are as good; but a tap's frames are read one system call each, which costs the worker seven times
 * what a ring costs it, and the worker has guests to serve. XDP sockets cost it as little, and lose six sevenths of TCP, for segmentation must be done
 * before them. Latency is the same within what the machine moves.
 *
 * The kernel of that machine has no vhost-net. The same on Debian's 6.1, emulated (trunk.py --lab), two CPUs of a machine with ten
 * times the work that it could do, the worker sleeping when idle (--poll adaptive): three alternating rounds, of which the ratios to veth are worth
 * something, the median of those of each round:
 *
 *                                               veth                 vhost-net             tap                 vhost-net / veth   tap / veth
 *      14 bytes there and back, p50, ms         16.1 [7.9..24.4]     28.1 [4.2..46.2]      12.3 [11.9..60.2]   1.74               1.55
 *      64 bytes out of a container, kpps        13 [12..13]          1 [0..4]              6 [5..7]            0.07               0.53
 *      ... into one, kpps                       7 [7..10]            6 [5..7]              6 [4..8]            0.88               0.84
 *      what one in costs the worker, us         135 [88..138]        12 [3..81]            135 [85..142]       0.09               1.05
 *      one TCP connection out, Mbit/s           80 [70..80]          80 [20..80]           30 [10..70]         1.03               0.37
 *      ... in                                   50 [0..50]           40 [30..50]           60 [10..120]        0.96               2.39
 *
 * With vhost-net the kernel's half is a thread's, which wants a CPU of its own: the worker's share of a frame into a container falls to a tenth, for it
 * no longer walks the kernel; TCP is as good; but small frames out of a container starve where sender and worker have both CPUs to themselves, it
 * seems because the thread gets none. So veth, which needs no third, comes first; a node with CPUs to spare and a worker that has not asks for
 * vhost-net. tap costs the worker most.
 *
 * A netdev is of a family (trunk_family): what it is made as. Backends of one family take each other's over, with the addresses and routes on it;
 * to go from one family to another is the operator's decision (`sluiced --cleanup` first), for it costs him those. The netdev itself
 * says what it is: its alias that it is ours, its driver's name of which family.
 *
 * Lost. What an operator's mistake removes (`ip link del slc0`) is told to the daemon (kern_config.trunk_lost), which has it made again, for the
 * same backend, with the MAC and the MTU that it had, and the switch open it: containers' traffic goes on within a second, counters too. What the operator
 * had put on it, addresses, routes, qdiscs, went with it. Somebody else's netdev of the name is left alone; ours comes back when that one has gone.
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
	/* Make NAME, with `alias` or without. `mac` NULL: as the kernel gives it. 0, or -errno with nothing left behind. */
	int (*make)(struct kern *e, const char *name, const char *alias, uint16_t mtu, const uint8_t *mac);
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
const char *vhost_net_lacks(char *why, size_t size);

/* What drives the netdev ("veth", "tun"), or "". `driver`: 32 bytes. */
void trunk_driver(const char *ifname, char *driver);

#endif

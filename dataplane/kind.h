/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_KIND_H
#define DATAPLANE_KIND_H

/*
 * Port kinds: what stands between the switch and the outside, a row each.
 *
 *      forward.c            kind.c: the table of rows            outside
 *   +-------------+   rx   +-----------------------------+
 *   |   worker    | <----- | memif      memif/           | ==== a DPDK application's shared memory
 *   |   (burst)   | -----> | af-packet  packet/          | ==== a netdev of this namespace, vnet header
 *   +-------------+   tx   | tap        tap/             | ==== a netdev that we made, vnet header
 *                          | af-xdp nic      ethdev.c    | ==== a DPDK poll mode driver
 *                          | vhost-user vhost/           | ==== a guest
 *                          | trunk      one of the above | ==== containers, the host's own stack
 *                          +-----------------------------+
 *
 * The switch sees every kind through two function pointers with the signature of a DPDK driver's own burst functions
 * (eth_rx_burst_t). For an ethdev they are the driver's, taken out of rte_eth_fp_ops after start, so the common case pays one
 * indirect call and nothing else; a kind that is not an ethdev (memif, af-packet, vhost-user) provides its own and is not counted
 * against RTE_MAX_ETHPORTS, which is 32 in Debian's DPDK.
 *
 * The contract of a burst function, whatever the kind:
 *  - rx returns up to n frames. The mbuf is the worker's alone (reference count 1, direct). The first segment holds
 *    min(pkt_len, KIND_MIN_HEAD) bytes at least. Only these flags may be set: RTE_MBUF_F_RX_VLAN|_STRIPPED with vlan_tci (the tag
 *    beside the frame; the switch puts it back), and as a request from the sender RTE_MBUF_F_TX_* with l2_len, l3_len, l4_len,
 *    tso_segsz exactly as a DPDK sender sets them (checksum field holding the pseudo header's sum): a kind that learns of an
 *    offload request from a vnet header writes it so, after checking that every length lies inside the frame, and always sets
 *    RTE_MBUF_F_TX_IPV4 or _IPV6 with it.
 *  - tx takes ownership of the frames it returns as taken, in order, and frees them; the rest stay the caller's, who drops them as
 *    TX_FULL. It never waits. Frames may be shared (reference count over 1) or chained and must not be written to.
 *  - a frame that the kind itself drops is added to its counters (struct kind_lost), never lost silently.
 *  - one rx queue is polled by one worker; one tx queue is used by one worker. No locks between them and the control thread:
 *    reconfiguration (a peer connects, disconnects, a ring changes) goes through kind_quiesce(), below.
 *
 * Waiting. A worker with nothing to do sleeps on its queues' descriptors. Before it sleeps it calls rx_arm() on each: "from now on
 * make fd readable when a frame comes". rx_arm returns 1 if frames are already there (the worker goes on polling), 0 if it may sleep,
 * and the fd's readiness must survive the race between the two. After waking it calls rx_disarm() on each, where the kind asks its peer for no more
 * notifications and may drain the descriptor; then rx_woke() on those whose descriptors it was told of; and only then it looks for frames. A kind that
 * has no descriptor returns -1 from rx_fd() and is polled on a timer; `node show` says so.
 *
 * Control events. A kind with sockets of its own (memif, vhost-user) registers them with the control thread's epoll set by
 * kind_watch(); its callback runs on the control thread.
 *
 * Memory: a kind allocates its per-port state in open() and hangs it on port->priv; close() frees everything that open() and later
 * events made. The control thread guarantees that no worker is inside rx or tx when close() runs (the queues were unpublished and a
 * grace period has passed).
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane.h"

#define KIND_MIN_HEAD	128 /* bytes that a frame's first segment holds, if the frame has them */
#define KIND_MAX_QUEUES 16

/* Same shape as DPDK's eth_rx_burst_t and eth_tx_burst_t. Worker. */
typedef uint16_t (*kind_burst)(void *queue, struct rte_mbuf **frames, uint16_t n);

/*
 * Admission before the copy. A kind whose frames lie in somebody else's memory may ask, with the first bytes of each (copied: nobody
 * changes them any more), which ones the switch wants; the others cost no mbuf. It is asked for every frame exactly once.
 *
 *      rx_gated(queue, frames, n, gate, ctx)
 *          heads, lengths --> gate(ctx, ...) --> which are wanted --> mbufs, copies --> frames[]
 *
 * heads[i]: the first KIND_HEAD bytes, zeros behind the frame's end. len[i]: of the whole frame. Bit i of `asks`: it comes with an
 * offload request. Returns a bit for each frame that is wanted; those that are not have been counted by the switch. n <= 64.
 *
 * frames[] holds the wanted frames in the order in which they were asked for; NULL for one that the kind then lost (and counted). What
 * was looked at is what the frame gets. rx_gated returns how many, NULLs too, n at most. Worker.
 */
#define KIND_HEAD 32
typedef uint64_t (*kind_gate)(void *ctx, const uint8_t (*heads)[KIND_HEAD], const uint32_t *len, uint64_t asks, uint16_t n);
typedef uint16_t (*kind_gated_burst)(void *queue, struct rte_mbuf **frames, uint16_t n, kind_gate gate, void *ctx);

/* What a peer or device can be left to do with a frame that we send: TX_* requests that it takes. */
enum {
	KIND_CAP_CSUM_L4 = 1 << 0,   /* completes TCP and UDP checksums (RTE_MBUF_F_TX_TCP_CKSUM, _UDP_CKSUM) */
	KIND_CAP_TSO4 = 1 << 1,	     /* segments TCP over IPv4 (RTE_MBUF_F_TX_TCP_SEG with _IPV4) */
	KIND_CAP_TSO6 = 1 << 2,	     /* segments TCP over IPv6 */
	KIND_CAP_MULTI_SEG = 1 << 3, /* takes chained mbufs */
	KIND_CAP_CSUM_IP = 1 << 4,   /* completes the IPv4 header checksum */
	KIND_CAP_USO = 1 << 5,	     /* segments UDP into datagrams (RTE_MBUF_F_TX_UDP_SEG; to rte_gso it means IP fragments) */
};

/* What a queue of this kind lost, counted where it happened. Written by the queue's worker only, read by anybody: plain 64-bit loads. */
struct kind_lost {
	uint64_t rx_missed;	 /* dropped by kernel or device before we saw it */
	uint64_t rx_no_buffer;	 /* no mbuf */
	uint64_t rx_error;	 /* reported by the device */
	uint64_t truncated;	 /* longer than the device's buffer */
	uint64_t malformed;	 /* vnet header that contradicts the frame */
	uint64_t bad_descriptor; /* shared-memory descriptor refused */
	uint64_t tx_error;	 /* accepted by tx and then failed */
	uint64_t rx_disabled;	 /* sent by a queue that the peer itself has disabled */
};

/* sum += what a queue lost, whose worker runs. Any thread whose *sum is. */
static inline void kind_lost_add(struct kind_lost *sum, const struct kind_lost *lost)
{
	const uint64_t *from = (const uint64_t *)lost;
	uint64_t *to = (uint64_t *)sum;

	_Static_assert(sizeof(*lost) % sizeof(*from) == 0, "kind_lost holds 64-bit counters only");
	for (unsigned i = 0; i < sizeof(*lost) / sizeof(*from); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

/* What a kind tells the switch about an open port. Filled by open(); queue pointers may change only between kind_quiesce() calls. */
struct kind_port {
	uint16_t n_queues; /* queue pairs, 1..KIND_MAX_QUEUES */
	kind_burst rx, tx;
	kind_gated_burst rx_gated; /* instead of rx, or NULL */
	void *rxq[KIND_MAX_QUEUES];
	void *txq[KIND_MAX_QUEUES];
	uint32_t caps; /* KIND_CAP_*; may change between kind_quiesce() calls (a guest negotiates) */
	struct rte_mempool
		*pool;	   /* where a copy for this port is best made (a buffer holds its largest frame), or NULL: the switch's */
	uint16_t max_mtu;  /* largest MTU that the port can carry, bytes of payload */
	bool partial_csum; /* frames may come with an unfinished checksum and no request saying so: see offload.h */
	void *priv;	   /* the kind's own */
};

struct kind_env {
	struct rte_mempool *pool; /* standard buffers: RTE_MBUF_DEFAULT_BUF_SIZE, any thread may allocate */
	struct dp *dp;
};

struct port_kind {
	const char *name;
	const char *carrier; /* of a trunk row: dp_port_conf.carrier */
	bool poll_link;	     /* changes of the link are not announced by kind_changed(): it is asked for once a second */
	/*
	 * Check the attributes that belong to this kind, with no side effect. Control thread.
	 * 0, or -errno with *err filled (attr, message, hint).
	 */
	int (*validate)(const struct dp_port_conf *conf, struct dp_error *err);
	/*
	 * Make the port: device open, buffers there, ready to run but not yet polled by anyone. `n_queues` queue pairs are wanted;
	 * fewer may be given. The MTU in conf is set on the device. Control thread. 0, or -errno with *err filled and nothing left behind.
	 */
	int (*open)(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		    struct dp_error *err);
	/*
	 * The device was opened for a port that is there and had lost its own (device.h): what open() filled is at `kp` from now on. Control thread,
	 * before anything else is called. NULL: the kind keeps no pointer to it.
	 */
	void (*moved)(struct kind_port *kp);
	/* Undo open(). Control thread; no worker touches the port any more. */
	void (*close)(struct kind_port *kp);
	/* The peer is there and the carrier up. Control thread. */
	bool (*link_up)(struct kind_port *kp);
	/* Change the MTU of an open port. 0 or -errno. Control thread. NULL: the kind has no MTU of its own to set. */
	int (*set_mtu)(struct kind_port *kp, uint16_t mtu);
	/* Descriptor that becomes readable when queue q has frames and is armed; -1 if there is none (now). Any thread. */
	int (*rx_fd)(struct kind_port *kp, uint16_t q);
	/* Worker of queue q. See Waiting above. NULL where the descriptor needs no arming (readable while frames wait). */
	int (*rx_arm)(struct kind_port *kp, uint16_t q);
	void (*rx_disarm)(struct kind_port *kp, uint16_t q);
	/* The queue's descriptor is readable. It may stay so: the next sleep ends at once then. NULL where disarming does it, or reception. */
	void (*rx_woke)(struct kind_port *kp, uint16_t q);
	/* Sum up what the port lost. Control thread, while workers run. */
	void (*lost)(struct kind_port *kp, struct kind_lost *out);
	/* What became of those who connected. *out is zero. Control thread. NULL: nobody connects. */
	void (*peer)(struct kind_port *kp, struct dp_port_peer *out);
};

/*
 * The row of that kind, or NULL. A row whose open is NULL is a kind that this build does not have yet. Kind "trunk" has a row for each way in which a
 * trunk's netdev is reached (bpf/backend.h is the other half of each), of which the configuration's carrier names one.
 */
const struct port_kind *kind_find(const char *name, const char *carrier);
/* Rows in order, NULL past the last. All trunk rows are one. */
const struct port_kind *kind_at(unsigned i);

/*
 * Services of the dataplane to its kinds. Control thread only.
 *
 * kind_watch: call `cb(arg, epoll_events)` on the control thread when fd is ready for `events` (EPOLLIN, ...). 0 or -errno.
 * kind_unwatch: no further call, also not one that is already pending; safe inside cb. The fd stays the caller's.
 * kind_timer: call `cb(arg)` once after delay_ms; returns a handle for kind_timer_cancel (NULL when out of memory).
 * kind_quiesce: returns when every worker has passed a quiescent state: whatever a worker picked up before is no longer in use.
 * kind_changed: the port's rx_fd, queue pointers, caps or link changed; workers take the new ones at their next loop, and
 *      whoever watches the port's link is told.
 */
int kind_watch(struct dp *dp, int fd, uint32_t events, void (*cb)(void *arg, uint32_t events), void *arg);
int kind_rewatch(struct dp *dp, int fd, uint32_t events);
void kind_unwatch(struct dp *dp, int fd);
struct kind_timer *kind_timer(struct dp *dp, unsigned delay_ms, void (*cb)(void *arg), void *arg);
void kind_timer_cancel(struct dp *dp, struct kind_timer *t);
void kind_quiesce(struct dp *dp);
void kind_changed(struct kind_port *kp);

#endif

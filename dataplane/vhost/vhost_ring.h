/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_RING_H
#define DATAPLANE_VHOST_RING_H

/*
 * Frames through split virtqueues (virtio 1.1, 2.6).
 *
 *      the switch's queue               one life of a ring                     shared with the guest
 *      struct vhost_queue -- live -->   struct vhost_vq  -->  descriptors, available ring, used ring, buffers
 *      lives with the port              from start to stop
 *
 * A queue lives as long as its port. What belongs to a running ring hangs on one pointer, `live`: NULL while the ring is stopped or
 * nobody is connected. The control thread builds a vq completely, stores the pointer, and takes it away again before it waits for the
 * workers and unmaps; so the hot path pays one load for all that may happen to a connection. A vq is never changed while it is live:
 * another eventfd, other memory, other features make a new vq that goes on where the old one ended.
 *
 * A ring that we send by does so without a gap, in which frames would be lost: the new vq takes the old one's place in `live` while the worker
 * may still be in the old one. It does not know yet where that will end (VHOST_FRESH): the worker that meets it reads the used index, which
 * nobody moves any more then. A ring that we receive by is stopped for that moment; its frames wait in it.
 *
 * Buffers are given back in the order in which they were taken, within the call that took them. So one number, `next`, is our place
 * in the available and in the used ring, and a ring that lost its back end (killed, restarted) goes on at the used index that is in
 * memory: nothing is taken twice, nothing is left behind.
 *
 * Trust. Everything that is shared may change between any two instructions, by a guest that means harm. Therefore:
 *  - the available index is loaded once a call. It may not be further ahead than the ring is long; if it is, the vq is marked broken
 *    and the control thread closes the connection;
 *  - an entry of the available ring and a descriptor are loaded once, and from then on the copy is used: its address is translated
 *    with its length (vhost_mem.h), a chain is bounded by the ring's size, by VHOST_CHAIN pieces and by VHOST_FRAME_MAX bytes, an
 *    indirect table by its own length and the same bounds, and there is no table in a table;
 *  - the network header and the first KIND_HEAD bytes of a frame are copied before they are looked at, and what was looked at is what
 *    the frame gets: the copy is laid over what was copied with the rest;
 *  - our own indices are private and only ever written to the ring.
 * A descriptor that lies costs its frame, counted, and nothing else: its buffer is given back empty.
 *
 * The common frame, one descriptor, goes through loops over the burst: entries, descriptors, heads, admission, copies. Each loop's loads
 * overlap, and each prefetches for the next. The first frame that is anything else (a chain, an indirect table, longer than one mbuf)
 * sends itself and the rest of the burst through the slow path, frame by frame. Admission (kind.h, kind_gate) is asked with the heads
 * alone, so a frame that it refuses costs no mbuf and no copy.
 *
 * A guest that has disabled a queue which it transmits by wants back what it goes on to send ("Ring states" in the vhost-user protocol): the
 * entries are given back, counted, without a look at what they name; and it sleeps and is called like any other. It costs no mbuf, and rings
 * that are enabled no instruction: the one test for what is out of the ordinary (`aside`) covers it.
 *
 * Towards the guest, a frame takes one buffer, or with MRG_RXBUF as many as it needs; only if there are enough are they taken.
 *
 * Notification. Kicks are off while the worker polls, and on between vhost_rx_arm() and vhost_rx_disarm(). A call is made once a
 * burst, if the guest asked for one (event index, or its flag). The eventfds are the guest's: written by bell.h, which cannot block, and
 * never read but watched edge-triggered through an epoll set of ours.
 *
 * More queues than the guest has rings running: receive queues beyond stay silent; sending queues beyond share the rings that there
 * are, and only then is there a lock, held for a burst.
 *
 * Packed rings are another vq with the same two bursts; `live` would point to either by its kind's functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_spinlock.h>

#include "frames.h"
#include "kind.h"
#include "vhost_log.h"
#include "vhost_mem.h"

#define VHOST_BURST	64    /* frames taken or sent by one call at most */
#define VHOST_CHAIN	512   /* pieces of one frame at most: 64 KiB in pages, each half used, and more */
#define VHOST_FRAME_MAX 65562 /* 64 KiB of payload, Ethernet and two tags */

enum { VHOST_BROKEN = 1, VHOST_DISABLED = 2, VHOST_FRESH = 4 };

struct vhost_vq {
	const union virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t mask;
	uint16_t next;	 /* entry of both rings that we take next */
	uint16_t called; /* used index at the last call that was considered */
	uint8_t hdr_len; /* 10 or 12 */
	bool event_idx;	 /* VIRTIO_BIT_EVENT_IDX */
	bool indirect;	 /* VIRTIO_BIT_INDIRECT_DESC */
	bool mergeable;	 /* VIRTIO_BIT_MRG_RXBUF */
	bool kicks;	 /* the guest was asked to kick, when it passes `wish` */
	uint16_t wish;
	uint8_t aside; /* VHOST_*, out of the ordinary: written by the worker, read by the control thread */
	bool shared;   /* several of our queues send by this ring */
	bool ecn;      /* VIRTIO_BIT_GUEST_ECN */
	uint32_t caps; /* KIND_CAP_*: requests that the guest takes */
	int call_fd;   /* -1: none */
	int kick_fd;   /* -1: none, the ring is polled on a timer */
	int alarm_fd;  /* tells the control thread that the vq is broken */
	unsigned hint; /* vhost_mem_gpa()'s */
	uint32_t size;
	const struct vhost_mem *mem;
	struct vhost_log *log; /* NULL: no migration */
	uint64_t log_used;     /* guest physical address of the used ring, for the log; 0: not logged */
	rte_spinlock_t lock;   /* if shared */
} __rte_cache_aligned;

/* One queue of a port, receive or send. */
struct vhost_queue {
	struct vhost_vq *live;	    /* atomic; NULL: stopped */
	struct rte_mbuf *inject;    /* rx: a frame of the control thread's to be received once; atomic */
	struct frame_source source; /* rx */
	bool armed;		    /* rx: the worker relies on being woken. This and the next two are its own */
	bool rung;		    /* rx: wake_fd may be readable for frames that were taken already */
	uint8_t idle_wakes;	    /* rx: times that it was disarmed with no frame there */
	int wake_fd;		    /* rx: an epoll set of ours around the ring's kick eventfd */
	struct kind_lost lost;
} __rte_cache_aligned;

/* What a vq is made from. Addresses are checked: whole, and aligned as virtio 1.1, 2.6 asks (16, 2, 4). */
struct vhost_vq_conf {
	uint32_t size;
	union virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint64_t features; /* by bit */
	const struct vhost_mem *mem;
	struct vhost_log *log;
	uint64_t log_used;
	int call_fd, kick_fd, alarm_fd;
	bool disabled;	 /* a ring that the guest transmits by: what it sends is given back unread */
	bool takes_over; /* from a vq that the worker may still be in; a ring that we send by, and no other queue does */
};

/* A vq that goes on at the used index in memory; kicks are off. NULL: out of memory. Control thread. */
struct vhost_vq *vhost_vq_new(const struct vhost_vq_conf *conf);
/* Is it for frames, or only there to give them back? Any thread. */
static inline bool vhost_vq_enabled(const struct vhost_vq *v)
{
	return !(__atomic_load_n(&v->aside, __ATOMIC_RELAXED) & VHOST_DISABLED);
}
/* The place in the ring that it has come to. No worker is in it. */
uint16_t vhost_vq_next(const struct vhost_vq *v);
/* No worker has it any more. */
void vhost_vq_free(struct vhost_vq *v);

/* What a guest with these features takes, as KIND_CAP_*. */
uint32_t vhost_caps(uint64_t features);

/* kind.h's burst functions. Worker of the queue. `queue` is a struct vhost_queue. */
uint16_t vhost_rx(void *queue, struct rte_mbuf **frames, uint16_t n, kind_gate gate, void *ctx);
uint16_t vhost_tx(void *queue, struct rte_mbuf **frames, uint16_t n);

/* kind.h's rx_arm and rx_disarm. Worker of the queue. It may receive in between, as long as it does not sleep after it got something. */
int vhost_rx_arm(struct vhost_queue *q);
void vhost_rx_disarm(struct vhost_queue *q);

#endif

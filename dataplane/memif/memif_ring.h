/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_MEMIF_RING_H
#define DATAPLANE_MEMIF_RING_H

/*
 * Frames through memif rings.
 *
 *      kp->rxq[q] --> struct memif_queue -- live --> struct memif_end --> ring, buffers (shared with the peer)
 *                     lives with the port            lives with the connection
 *
 * The switch holds pointers to queues, which live as long as the port. What belongs to a connection hangs on one pointer,
 * `live`: NULL while there is no peer. The control thread builds an end completely, stores the pointer, and takes it away again
 * before it waits for the workers (kind_quiesce) and unmaps; so the hot path pays one load for all that may happen to a
 * connection.
 *
 * Trust. Everything in the ring may change between any two instructions, by a peer that means harm. Therefore:
 *  - the peer's index is loaded once a burst. It may not claim more than the ring has. If it does, what is to be received is
 *    dropped whole and reading starts afresh; an end to send by is marked broken, for the control thread to hang up;
 *  - our own index is kept in private and only ever written to the ring, never read back;
 *  - a descriptor is loaded once, in two 8-byte loads, and from then on the copy is used: region, offset and length are checked
 *    against the region table, with a sum that cannot overflow. As client we know our buffers and take only length and flags;
 *  - a chain is bounded by the slots that there are and by MEMIF_MAX_FRAME.
 * A descriptor that lies costs its frame, counted, and nothing else. What is in a buffer is copied once, so that the switch
 * looks at bytes that nobody can change under it; and never more than the frame's length goes out: what lies behind it is
 * another tenant's.
 *
 * The common frame, in one descriptor and one buffer, takes a path of two loops: look at all descriptors of the burst (their
 * loads overlap, the payloads are prefetched), then copy. The first frame that is anything else sends itself and the rest of
 * the burst through the slow path, frame by frame. Indices are written once a burst: their cache line is the one that two cores
 * fight for.
 *
 * As client our index runs a whole ring ahead (we offer buffers), as server it does not; `ahead` is that difference, and the
 * arithmetic is the same for both.
 *
 * Notification. See memif_rx_arm(). The peer's eventfd is written by bell.h, in a way that it cannot block.
 *
 * More queues than the peer has rings: receive queues beyond stay silent; sending queues beyond share the peer's rings, and
 * only then is there a lock, held for a burst. (Losing what those workers send would be the alternative.)
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_spinlock.h>

#include "frames.h"
#include "kind.h"
#include "memif_shm.h"

#define MEMIF_BURST	64  /* frames taken or sent by one call at most */
#define MEMIF_MAX_CHAIN 512 /* slots that one sent frame may take: 64 KiB in buffers of 128 bytes */

/* One ring, from our side, for one connection. */
struct memif_end {
	struct memif_ring *ring;
	uint16_t *peer, *own; /* the two indices, in the ring */
	uint16_t next;	      /* slot that we take or fill next: what *own is made from */
	uint16_t mask;
	uint32_t size;
	uint32_t ahead; /* client: size. server: 0 */
	const struct memif_region *region;
	uint16_t n_regions;
	bool unmasked; /* rx: the peer was asked to write to the eventfd */
	bool broken;   /* tx: written by the worker, read by the control thread */

	/* As client: our buffers, one for each slot. */
	uint8_t *buffers;
	uint32_t buffer_offset, buffer_size, buffer_stride;

	int bell_fd;  /* the ring's eventfd. tx: rung by us; rx: watched */
	int alarm_fd; /* tells the control thread that the end is broken */
	bool shared;  /* tx: several queues send by this ring */
	rte_spinlock_t lock;
} __rte_cache_aligned;

/* One queue of a port, receive or send. */
struct memif_queue {
	struct memif_end *live;	    /* atomic; NULL: no peer */
	struct frame_source source; /* rx */
	bool armed;		    /* rx: the worker relies on being woken. This and the next two are its own */
	bool rung;		    /* rx: wake_fd may be readable for frames that were taken already */
	uint8_t idle_wakes;	    /* rx: times that it was disarmed with no frame there */
	int wake_fd;		    /* rx: an epoll set of ours around the ring's eventfd; see memif_rx_arm() */
	struct kind_lost lost;
} __rte_cache_aligned;

/*
 * Make *e the end of `ring`: the receiving (rx) or the sending one, as client or as server. Takes the indices as they are in
 * the ring, which as server is what the client left there. As client, `shm` says where the buffers are; call memif_end_offer()
 * when the server is ready. Control thread, before anybody else knows *e.
 */
void memif_end_init(struct memif_end *e, const struct memif_shm *shm, struct memif_ring *ring, uint8_t log2_size, bool client,
		    bool rx, uint16_t q);
/* As client: (re)start a ring, rx: with all buffers offered. Control thread, before the end is published. */
void memif_end_offer(struct memif_end *e, bool rx);

/* Burst functions, with `struct memif_queue` as the queue; see kind.h for their contract. Worker. */
uint16_t memif_rx_client(void *queue, struct rte_mbuf **frames, uint16_t n);
uint16_t memif_rx_server(void *queue, struct rte_mbuf **frames, uint16_t n);
uint16_t memif_tx_client(void *queue, struct rte_mbuf **frames, uint16_t n);
uint16_t memif_tx_server(void *queue, struct rte_mbuf **frames, uint16_t n);

/*
 * Ask the peer to wake us: returns 1 if frames are there already, 0 if wake_fd will become readable when they come. Worker of
 * the queue.
 *
 * wake_fd is an epoll set that holds the ring's eventfd edge-triggered, for three reasons. It is the same descriptor for as
 * long as the port lives, so nobody's epoll set is left with one of a connection that is gone (closing does not remove it
 * there: the peer has it too). Draining it is a call on a descriptor of ours, while a read of the peer's eventfd could block:
 * its O_NONBLOCK is the peer's to clear. And the counter of an eventfd in semaphore mode could not be drained at all.
 *
 * A ring starts unmasked, so a worker that sleeps while a peer connects is woken by its first frame. It stays so until frames
 * come: a worker that wakes for one of its queues disarms and arms all others, hundreds perhaps, and for each that had nothing
 * both must cost no more than a look at the peer's index. The first burst that brings frames masks the ring.
 */
int memif_rx_arm(struct kind_port *kp, uint16_t index);
/* Poll again. Worker of the queue. */
void memif_rx_disarm(struct kind_port *kp, uint16_t index);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_DEV_H
#define DATAPLANE_VHOST_DEV_H

/*
 * A vhost-user network device: what its messages say, and the rings that run because of them.
 *
 *      messages, descriptors --> vhost_dev_message() --> features, memory, log, rings configured
 *                                        |                      |
 *                                        v                      v  a ring has size, addresses, memory and a kick
 *                                      reply            ops->ring_up(vq) ... ops->ring_down(), ops->quiesce()
 *
 * It knows no socket and no switch: vhost_conn.c brings the messages and takes the replies, vhost_kind.c gives the rings to workers.
 *
 * Rings come and go by the messages ("Ring states" in the protocol): a ring starts when its last missing piece arrives, with any piece
 * as the last, and stops at GET_VRING_BASE or a reset. Whatever changes under a running ring (memory, log,
 * features, an eventfd, addresses, as QEMU does when a migration starts) gives it a new vq that goes on where the old one was: by ring_swap(),
 * or ring_down() and ring_up(). In either case the old vq and what it was made from are used until quiesce() has returned, and not after. A
 * ring that gets a vq calls its guest once: whoever served it before may not have got to it.
 *
 * SET_VRING_ENABLE decides what a started ring is good for. A disabled one that the guest receives by gets nothing: for our part it does not
 * run. A disabled one that it transmits by runs, and gives back what it is sent, unread (vhost_ring.h). A ring of which no message has said
 * anything yet waits: front ends that start their rings before they enable them (DPDK's) would lose at each reconnection what lies in them.
 *
 * Rings are in pairs, named from the guest: ring 2n is what it receives by, 2n + 1 what it transmits by.
 *
 * Trust. A message's size and descriptors have been counted against its row (vhost_proto.h) before its handler runs; the handler checks
 * indices, sizes, addresses, features. A message that is wrong in itself is a fault with a name; the caller counts it and closes the
 * connection. A message that only cannot be granted (an MTU too large) is answered, where the front end wants answers, and refused.
 * Every descriptor is taken over or closed, whatever happens.
 *
 * Control thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "vhost_ring.h"

/* X(SYMBOL, "name", "what happened") */
#define VHOST_FAULTS(X)                                                                                      \
	X(HEADER, "bad-header", "a message of another version, or a reply where a request belongs")          \
	X(REQUEST, "unknown-request", "a request that was not offered")                                      \
	X(SIZE, "bad-size", "a message that is longer or shorter than its kind")                             \
	X(FDS, "bad-descriptors", "more or fewer file descriptors than the message has, or of a wrong kind") \
	X(FEATURES, "bad-features", "features that were not offered")                                        \
	X(MEMORY, "bad-memory", "a memory region that is impossible")                                        \
	X(LOG, "bad-log", "a dirty log that is impossible")                                                  \
	X(RING, "bad-ring", "a ring's number, size or address is impossible")                                \
	X(INDEX, "impossible-index", "the guest claims more than its ring holds")                            \
	X(LOST, "memory-lost", "memory that was shared has been cut off")                                    \
	X(REPLY, "reply-not-read", "the front end does not read its replies")                                \
	X(NO_MEMORY, "no-memory", "we are out of memory or descriptors")

enum vhost_fault {
#define X(sym, name, doc) VHOST_FAULT_##sym,
	VHOST_FAULTS(X)
#undef X
		VHOST_FAULT_N
};

const char *vhost_fault_name(enum vhost_fault f);

/* The most that we offer; a port offers less if it is told to. */
#define VHOST_BIT(b) (1ull << (b))
#define VHOST_FEATURES                                                                                              \
	(VHOST_BIT(VIRTIO_BIT_CSUM) | VHOST_BIT(VIRTIO_BIT_GUEST_CSUM) | VHOST_BIT(VIRTIO_BIT_MTU) |                \
	 VHOST_BIT(VIRTIO_BIT_GUEST_TSO4) | VHOST_BIT(VIRTIO_BIT_GUEST_TSO6) | VHOST_BIT(VIRTIO_BIT_GUEST_ECN) |    \
	 VHOST_BIT(VIRTIO_BIT_HOST_TSO4) | VHOST_BIT(VIRTIO_BIT_HOST_TSO6) | VHOST_BIT(VIRTIO_BIT_HOST_ECN) |       \
	 VHOST_BIT(VIRTIO_BIT_MRG_RXBUF) | VHOST_BIT(VIRTIO_BIT_STATUS) | VHOST_BIT(VIRTIO_BIT_CTRL_VQ) |           \
	 VHOST_BIT(VIRTIO_BIT_CTRL_RX) | VHOST_BIT(VIRTIO_BIT_CTRL_VLAN) | VHOST_BIT(VIRTIO_BIT_GUEST_ANNOUNCE) |   \
	 VHOST_BIT(VIRTIO_BIT_MQ) | VHOST_BIT(VIRTIO_BIT_CTRL_MAC_ADDR) | VHOST_BIT(VIRTIO_BIT_LOG_ALL) |           \
	 VHOST_BIT(VIRTIO_BIT_ANY_LAYOUT) | VHOST_BIT(VIRTIO_BIT_INDIRECT_DESC) | VHOST_BIT(VIRTIO_BIT_EVENT_IDX) | \
	 VHOST_BIT(VIRTIO_BIT_PROTOCOL_FEATURES) | VHOST_BIT(VIRTIO_BIT_VERSION_1) | VHOST_BIT(VIRTIO_BIT_RING_RESET))
#define VHOST_PROTOCOL_FEATURES                                                                                \
	(VHOST_BIT(VHOST_PROTO_MQ) | VHOST_BIT(VHOST_PROTO_LOG_SHMFD) | VHOST_BIT(VHOST_PROTO_RARP) |          \
	 VHOST_BIT(VHOST_PROTO_REPLY_ACK) | VHOST_BIT(VHOST_PROTO_MTU) | VHOST_BIT(VHOST_PROTO_RESET_DEVICE) | \
	 VHOST_BIT(VHOST_PROTO_CONFIGURE_MEM_SLOTS))

struct vhost_ops {
	/* The ring runs: vq is live from now on. */
	void (*ring_up)(void *arg, unsigned ring, struct vhost_vq *vq);
	/* It does not any more; workers may still be in it until quiesce() returns. */
	void (*ring_down)(void *arg, unsigned ring);
	void (*quiesce)(void *arg);
	/* A ring that we send by goes on by another vq, and workers may still be in the old one until quiesce() returns. False: it cannot. */
	bool (*ring_swap)(void *arg, unsigned ring, struct vhost_vq *vq);
	/* All that a message changed about rings and features is done. */
	void (*changed)(void *arg);
	/* The guest speaks for this address from here on: it was moved here. */
	void (*announce)(void *arg, const uint8_t mac[6]);
	/* The guest was promised this MTU. False: it cannot be had. */
	bool (*mtu)(void *arg, uint16_t mtu);
};

struct vhost_vring {
	uint32_t num;  /* 0: not told */
	uint32_t base; /* available entries taken before it stopped, or as told */
	struct vhost_vring_addr addr;
	bool has_addr, has_kick;
	bool enabled, told;   /* told: it was said so, not only not yet enabled */
	int kick_fd, call_fd; /* -1: none */
	struct vhost_vq *vq;  /* NULL: stopped */
};

struct vhost_dev {
	const struct vhost_ops *ops;
	void *arg;
	unsigned n_pairs;
	int alarm_fd;
	uint64_t features, protocol; /* acknowledged */
	struct vhost_mem *mem;
	struct vhost_log *log;
	struct vhost_vring ring[VHOST_MAX_VRINGS];
	const char *why; /* of the last fault: one line */
};

/* A device with n_pairs queue pairs at most (1-16). `alarm_fd`: an eventfd, see guard.h and vhost_ring.h. 0 or -ENOMEM. */
int vhost_dev_init(struct vhost_dev *d, const struct vhost_ops *ops, void *arg, unsigned n_pairs, int alarm_fd);
/* Stop every ring and release everything. */
void vhost_dev_fini(struct vhost_dev *d);

/*
 * Check a header. Its row's payload size is msg->h.size then (or less than sizeof(union vhost_payload), for a table). 0, or a
 * fault + 1.
 */
int vhost_dev_check(struct vhost_dev *d, const struct vhost_header *h);

/*
 * Handle one message whose header was checked and whose payload is all there, with its n_fds descriptors (taken over). *reply: *msg
 * holds the answer, to be sent. 0, or a fault + 1 with d->why; a fault may have an answer, too.
 */
int vhost_dev_message(struct vhost_dev *d, struct vhost_msg *msg, int *fds, unsigned n_fds, bool *reply);

/* Is something wrong with what is shared? A fault + 1: INDEX, LOST; or 0. */
int vhost_dev_fault(const struct vhost_dev *d);

#endif

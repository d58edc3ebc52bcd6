/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_WALK_H
#define DATAPLANE_VHOST_WALK_H

/*
 * What both directions of a ring share: loading what the guest wrote, following its chains, giving buffers back, calling it.
 *
 * A chain becomes a list of pieces, translated and checked, in private memory; after that the ring is not read for it again.
 * Worker of the queue; see vhost_ring.h for what is trusted.
 */

#include <rte_atomic.h>
#include <rte_prefetch.h>

#include "bell.h"
#include "vhost_ring.h"

/* What one call may cost, so that a guest with long frames or chains of nothing does not hold up the worker's other ports. */
#define VHOST_CALL_BYTES (256u * 1024)
#define VHOST_CALL_DESCS 2048u

struct vhost_piece {
	uint8_t *at;
	uint32_t len;
	uint64_t gpa;
};

struct vhost_chain {
	unsigned n;	/* pieces */
	unsigned descs; /* descriptors that were looked at */
	uint64_t bytes;
	struct vhost_piece piece[VHOST_CHAIN];
};

/*
 * Follow the chain that begins at descriptor `head` and append it to *c, whose numbers the caller has set. Every buffer must be one
 * that we may write to (`write`), or none. False: the chain lies; *c is then of no use.
 */
bool vhost_walk(struct vhost_vq *v, uint16_t head, bool write, struct vhost_chain *c);

/* The control thread closes the connection. Counted once for each life of a ring. */
void vhost_break(struct vhost_queue *q, struct vhost_vq *v);

/* Ask the guest for no more kicks. */
void vhost_kicks_off(struct vhost_vq *v);

/*
 * Entries were taken after the guest was asked to kick, and the worker will not hear of it (none was a frame): ask anew, and wake it if
 * there is more by then.
 */
void vhost_kicks_again(struct vhost_vq *v);

/* Load a descriptor once: two loads that the compiler may neither repeat nor split. */
static __rte_always_inline union virtq_desc vhost_desc_load(const struct vhost_vq *v, uint16_t head)
{
	union virtq_desc d;

	d.word[0] = __atomic_load_n(&v->desc[head].word[0], __ATOMIC_RELAXED);
	d.word[1] = __atomic_load_n(&v->desc[head].word[1], __ATOMIC_RELAXED);
	return d;
}

/* The entry of the available ring, `i` places on from where we are. */
static __rte_always_inline uint16_t vhost_head(const struct vhost_vq *v, uint16_t i)
{
	return __atomic_load_n(&v->avail->ring[(uint16_t)(v->next + i) & v->mask], __ATOMIC_RELAXED);
}

/* Entries that the guest has made available; more than the ring has: impossible. Pairs with the guest's barrier before its index. */
static __rte_always_inline uint16_t vhost_available(const struct vhost_vq *v)
{
	return (uint16_t)(__atomic_load_n(&v->avail->idx, __ATOMIC_ACQUIRE) - v->next);
}

/* Fill the used ring's entry `i` places on; seen by the guest after vhost_publish(). */
static __rte_always_inline void vhost_use(struct vhost_vq *v, uint16_t i, uint16_t head, uint32_t len)
{
	struct virtq_used_elem *e = &v->used->ring[(uint16_t)(v->next + i) & v->mask];

	__atomic_store_n(&e->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&e->len, len, __ATOMIC_RELAXED);
}

/* Log what vhost_use() and vhost_publish() have written, for the last `n` entries before v->next. */
void vhost_log_use(struct vhost_vq *v, uint16_t n);

/* Show the guest `n` more used entries, and call it if it wants to be called. */
static __rte_always_inline void vhost_publish(struct vhost_vq *v, uint16_t n)
{
	uint16_t old = v->called;
	bool call;

	v->next = (uint16_t)(v->next + n);
	/* Pairs with the guest's acquire of the used index: entries and payload before it are there. */
	__atomic_store_n(&v->used->idx, v->next, __ATOMIC_RELEASE);
	if (unlikely(v->log != NULL))
		vhost_log_use(v, n);
	if (v->call_fd < 0)
		return;
	/* Our index before the guest's wish: pairs with its barrier between wish and index. */
	rte_smp_mb();
	if (v->event_idx) {
		uint16_t event = __atomic_load_n(&v->avail->ring[v->size], __ATOMIC_RELAXED);

		/* virtio 1.1, 2.6.7.2: the wish lies in what was added since the last time. */
		call = (uint16_t)(v->next - event - 1) < (uint16_t)(v->next - old);
		v->called = v->next;
	} else {
		call = !(__atomic_load_n(&v->avail->flags, __ATOMIC_RELAXED) & VIRTQ_AVAIL_NO_INTERRUPT);
	}
	if (unlikely(call))
		bell_ring(v->call_fd);
}

#endif

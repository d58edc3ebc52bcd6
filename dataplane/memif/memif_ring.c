/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_ring.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <rte_atomic.h>
#include <rte_branch_prediction.h>
#include <rte_pause.h>
#include <rte_prefetch.h>

#include "bell.h"
#include "frames.h"

/*
 * What one call may cost, so that a peer with long frames, or one that sends chains of nothing, does not hold up the other
 * ports that the worker polls. A burst of common frames is far below both.
 */
#define CALL_BYTES (256 * 1024)
#define CALL_SLOTS MEMIF_MAX_CHAIN

/* How long a peer's store of its index may still be on its way after we read the old one: a cache miss or two. In pauses. */
#define STORE_DRAIN_PAUSES 8

/* Wakes without a frame after which wake_fd is drained: a peer that rings for nothing costs few calls, and idle queues fewer. */
#define IDLE_WAKES 8

/* How long to wait for another worker that sends by the same ring: longer than a burst takes. In pauses. */
#define SHARED_PAUSES 1000

/* --- shared by both directions ------------------------------------------------------------------------------------- */

/* Load a descriptor once: two loads that the compiler may neither repeat nor split. */
static __rte_always_inline union memif_desc desc_load(const struct memif_end *e, uint16_t slot)
{
	const union memif_desc *shared = &e->ring->desc[slot & e->mask];
	union memif_desc d;

	d.word[0] = __atomic_load_n(&shared->word[0], __ATOMIC_RELAXED);
	d.word[1] = __atomic_load_n(&shared->word[1], __ATOMIC_RELAXED);
	return d;
}

/* Say that a slot holds `length` bytes. The buffer's place stays as it is. */
static __rte_always_inline void desc_store(struct memif_end *e, uint16_t slot, uint16_t flags, uint16_t region, uint32_t length)
{
	union memif_desc d = {.flags = flags, .region = region, .length = length};

	__atomic_store_n(&e->ring->desc[slot & e->mask].word[0], d.word[0], __ATOMIC_RELAXED);
}

/* Where a slot's buffer is; false if the descriptor lies. */
static __rte_always_inline bool desc_place(const struct memif_end *e, uint16_t slot, union memif_desc d, bool client,
					   uint8_t **place)
{
	const struct memif_region *r;

	if (client) {
		*place = e->buffers + (size_t)(slot & e->mask) * e->buffer_stride;
		return d.length <= e->buffer_size;
	}
	if (unlikely(d.region >= e->n_regions))
		return false;
	r = &e->region[d.region];
	*place = r->base + d.offset;
	return (uint64_t)d.offset + d.length <= r->size;
}

/* The peer took what we never sent, or offers more than there is: it cannot be sent to any more. The control thread hangs up. */
static __rte_noinline uint16_t tx_break(struct memif_queue *q, struct memif_end *e)
{
	if (!e->broken) {
		__atomic_store_n(&e->broken, true, __ATOMIC_RELEASE);
		frames_count(&q->lost.bad_descriptor, 1);
		if (write(e->alarm_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0) {
			/* Full, so it is readable, which is all that is wanted. */
		}
	}
	return 0;
}

void memif_end_init(struct memif_end *e, const struct memif_shm *shm, struct memif_ring *ring, uint8_t log2_size, bool client,
		    bool rx, uint16_t q)
{
	bool c2s = client ? !rx : rx;

	memset(e, 0, sizeof(*e));
	e->ring = ring;
	e->own = client ? &ring->head : &ring->tail;
	e->peer = client ? &ring->tail : &ring->head;
	e->size = 1u << log2_size;
	e->mask = (uint16_t)(e->size - 1);
	e->region = shm->region;
	e->n_regions = shm->n;
	e->bell_fd = -1;
	rte_spinlock_init(&e->lock);
	if (client) {
		e->ahead = e->size;
		e->buffer_offset = memif_shm_own_buffer_offset(shm, c2s, q);
		e->buffers = shm->region[0].base + e->buffer_offset;
		e->buffer_size = shm->buffer_size;
		e->buffer_stride = shm->buffer_stride;
	} else {
		e->next = __atomic_load_n(e->own, __ATOMIC_RELAXED);
	}
	if (rx) {
		__atomic_store_n(&ring->flags, 0, __ATOMIC_RELAXED);
		e->unmasked = true;
	}
}

void memif_end_offer(struct memif_end *e, bool rx)
{
	e->next = __atomic_load_n(e->peer, __ATOMIC_ACQUIRE);
	__atomic_store_n(e->own, rx ? (uint16_t)(e->next + e->size) : e->next, __ATOMIC_RELEASE);
}

/* --- receive ------------------------------------------------------------------------------------------------------- */

/*
 * Take one frame of any shape from slot e->next on; `avail` slots have frames. Returns the slots used, 0 if there is no buffer
 * (the frame stays in the ring: the peer feels it as a full ring, and nothing is lost). *out is NULL for a frame that was
 * dropped.
 */
static uint16_t rx_frame(struct memif_queue *q, struct memif_end *e, uint16_t avail, bool client, struct rte_mbuf **out)
{
	struct frame_build a = {NULL, NULL};
	uint64_t *drop = NULL;
	uint32_t total = 0;
	uint16_t used = 0;
	union memif_desc d;

	do {
		uint8_t *data;

		if (used == avail || used == MEMIF_MAX_CHAIN) { /* a chain without end */
			drop = &q->lost.bad_descriptor;
			break;
		}
		d = desc_load(e, (uint16_t)(e->next + used));
		if (drop) {
			/* the rest of a chain that is dropped already */
		} else if (!desc_place(e, (uint16_t)(e->next + used), d, client, &data)) {
			drop = &q->lost.bad_descriptor;
		} else if (d.length > MEMIF_MAX_FRAME - total) {
			drop = &q->lost.malformed;
		} else {
			total += d.length;
			if (!frame_append(&q->source, &a, data, d.length)) {
				rte_pktmbuf_free(a.head);
				return 0;
			}
		}
		used++;
	} while (d.flags & MEMIF_DESC_NEXT);

	if (!drop && total == 0)
		drop = &q->lost.malformed;
	if (drop) {
		frames_count(drop, 1);
		rte_pktmbuf_free(a.head);
		a.head = NULL;
	}
	*out = a.head;
	return used;
}

/* As client: make `n` slots from `slot` on empty buffers again, whatever the peer has made of their descriptors. */
static __rte_always_inline void rx_offer(struct memif_end *e, uint16_t slot, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++, slot++) {
		union memif_desc *shared = &e->ring->desc[slot & e->mask];
		union memif_desc d = {.length = e->buffer_size, .offset = e->buffer_offset + (slot & e->mask) * e->buffer_stride};

		__atomic_store_n(&shared->word[0], d.word[0], __ATOMIC_RELAXED);
		__atomic_store_n(&shared->word[1], d.word[1], __ATOMIC_RELAXED);
	}
}

static __rte_noinline uint16_t rx_slow(struct memif_queue *q, struct memif_end *e, struct rte_mbuf **frames, uint16_t n,
				       uint16_t avail, bool client)
{
	uint32_t slots = 0, bytes = 0;
	uint16_t done = 0;

	while (done < n && slots < avail && slots < CALL_SLOTS && bytes < CALL_BYTES) {
		struct rte_mbuf *m;
		uint16_t used = rx_frame(q, e, (uint16_t)(avail - slots), client, &m);

		if (used == 0)
			break;
		if (client)
			rx_offer(e, e->next, used);
		e->next = (uint16_t)(e->next + used);
		slots += used;
		if (m) {
			bytes += m->pkt_len;
			frames[done++] = m;
		}
	}
	return done;
}

static void rx_mask(struct memif_queue *q, struct memif_end *e)
{
	__atomic_store_n(&e->ring->flags, MEMIF_RING_MASK_INT, __ATOMIC_RELAXED);
	e->unmasked = false;
	q->rung = true;
}

/*
 * The peer claims more frames than the ring has slots: it has overwritten some that we had not taken, and nobody can say which. All
 * of them are dropped, as one bad descriptor, and reading goes on where the peer writes. (Hanging up would be simpler. But DPDK's
 * driver does this when a chained frame meets a full ring, for it counts free slots wrongly, and it does not connect again.)
 */
static __rte_noinline uint16_t rx_resync(struct memif_queue *q, struct memif_end *e, uint16_t avail, bool client)
{
	e->next = (uint16_t)(e->next + avail);
	if (client)
		rx_offer(e, e->next, (uint16_t)e->size);
	__atomic_store_n(e->own, (uint16_t)(e->next + e->ahead), __ATOMIC_RELEASE);
	frames_count(&q->lost.bad_descriptor, 1);
	return 0;
}

static __rte_always_inline uint16_t rx_burst(struct memif_queue *q, struct rte_mbuf **frames, uint16_t n, const bool client)
{
	struct memif_end *e = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);
	const uint8_t *data[MEMIF_BURST];
	uint32_t len[MEMIF_BURST];
	uint16_t avail, whole, got = 0, i;

	if (unlikely(!e))
		return 0;
	/* Pairs with the peer's release of its index: descriptors and payload before it are there. */
	avail = (uint16_t)(__atomic_load_n(e->peer, __ATOMIC_ACQUIRE) - e->next);
	if (avail == 0)
		return 0;
	if (unlikely(avail > e->size))
		return rx_resync(q, e, avail, client);
	if (unlikely(e->unmasked && !q->armed))
		rx_mask(q, e);
	n = RTE_MIN(RTE_MIN(n, avail), MEMIF_BURST);

	for (whole = 0; whole < n; whole++) {
		uint16_t slot = (uint16_t)(e->next + whole);
		union memif_desc d = desc_load(e, slot);
		uint8_t *place;

		/* length - 1: a frame of no bytes is not a common one */
		if (unlikely((d.flags & MEMIF_DESC_NEXT) || d.length - 1 >= q->source.seg_room ||
			     !desc_place(e, slot, d, client, &place)))
			break;
		rte_prefetch0(place);
		data[whole] = place;
		len[whole] = d.length;
	}

	if (likely(whole > 0)) {
		got = frames_get(&q->source, frames, whole);
		for (i = 0; i < got; i++) {
			frames_reset(&q->source, frames[i], len[i]);
			frames_copy(rte_pktmbuf_mtod(frames[i], uint8_t *), data[i], len[i]);
		}
		if (client)
			rx_offer(e, e->next, got);
		e->next = (uint16_t)(e->next + got);
	}
	if (unlikely(whole < n && got == whole))
		got = (uint16_t)(got + rx_slow(q, e, frames + got, (uint16_t)(n - got), (uint16_t)(avail - got), client));

	/* Pairs with the peer's acquire: the buffers are its own again only after we have copied. */
	__atomic_store_n(e->own, (uint16_t)(e->next + e->ahead), __ATOMIC_RELEASE);
	return got;
}

uint16_t memif_rx_client(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	return rx_burst(queue, frames, n, true);
}

uint16_t memif_rx_server(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	return rx_burst(queue, frames, n, false);
}

/* --- sleep --------------------------------------------------------------------------------------------------------- */

static void rx_drain(struct memif_queue *q)
{
	struct epoll_event ignored;

	epoll_wait(q->wake_fd, &ignored, 1, 0);
	q->rung = false;
	q->idle_wakes = 0;
}

static inline bool rx_pending(const struct memif_end *e)
{
	return __atomic_load_n(e->peer, __ATOMIC_ACQUIRE) != e->next;
}

int memif_rx_arm(struct kind_port *kp, uint16_t index)
{
	struct memif_queue *q = kp->rxq[index];
	struct memif_end *e = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);

	q->armed = true;
	if (q->rung)
		rx_drain(q);
	if (!e)
		return 0; /* the ring of the next connection starts unmasked */
	if (!e->unmasked) {
		e->unmasked = true;
		__atomic_store_n(&e->ring->flags, 0, __ATOMIC_RELAXED);
		/*
		 * Pairs with the barrier between index and flag in the sender's tx_done(): one of the two sees the other's
		 * store.
		 */
		rte_smp_mb();
		/*
		 * DPDK's and VPP's senders have no such barrier: their index may still be in a store buffer after they saw the
		 * ring masked.
		 */
		for (unsigned i = 0; i < STORE_DRAIN_PAUSES && !rx_pending(e); i++)
			rte_pause();
	}
	return rx_pending(e);
}

void memif_rx_disarm(struct kind_port *kp, uint16_t index)
{
	struct memif_queue *q = kp->rxq[index];
	struct memif_end *e = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);

	if (!q->armed)
		return;
	q->armed = false;
	if (e && e->unmasked && rx_pending(e))
		rx_mask(q, e);
	else if (++q->idle_wakes == IDLE_WAKES)
		rx_drain(q); /* in case that it was rung for nothing */
}

/* --- send ---------------------------------------------------------------------------------------------------------- */

/* Give back `n` slots from e->next on with nothing in them: the peer's buffers there cannot be used. */
static void tx_retire(struct memif_end *e, const union memif_desc *d, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		desc_store(e, (uint16_t)(e->next + i), 0, d[i].region, 0);
}

/*
 * Send one frame of any shape, with `room` slots free. Returns the slots used and *taken; 0 slots and not taken: no room yet. A
 * frame that can never go is taken and counted.
 */
static uint16_t tx_frame(struct memif_queue *q, struct memif_end *e, const struct rte_mbuf *m, uint16_t room, bool client,
			 bool *taken)
{
	union memif_desc d[MEMIF_MAX_CHAIN];
	struct frame_read r = {m, 0};
	uint32_t left = m->pkt_len;
	uint64_t capacity = 0;
	uint16_t n = 0;
	uint8_t *place;

	*taken = true;
	if (left > MEMIF_MAX_FRAME) {
		frames_count(&q->lost.truncated, 1);
		return 0;
	}
	/* Enough slots first: a descriptor that was shortened for a frame that then does not fit would stay short. */
	do {
		if (n == room || n == MEMIF_MAX_CHAIN) {
			if (n == MEMIF_MAX_CHAIN || room == e->size)
				frames_count(&q->lost.truncated, 1); /* more than the whole ring, or than a chain may be, holds */
			else
				*taken = false;
			return 0;
		}
		if (client)
			d[n] = (union memif_desc){.length = e->buffer_size};
		else
			d[n] = desc_load(e, (uint16_t)(e->next + n));
		if (!desc_place(e, (uint16_t)(e->next + n), d[n], client, &place)) {
			frames_count(&q->lost.bad_descriptor, 1);
			tx_retire(e, d, (uint16_t)(n + 1));
			return (uint16_t)(n + 1);
		}
		capacity += d[n++].length;
	} while (capacity < left);

	for (uint16_t i = 0; i < n; i++) {
		uint32_t fill = RTE_MIN(left, d[i].length);

		desc_place(e, (uint16_t)(e->next + i), d[i], client, &place);
		frame_take(&r, place, fill);
		left -= fill;
		desc_store(e, (uint16_t)(e->next + i), i + 1 < n ? MEMIF_DESC_NEXT : 0, d[i].region, fill);
	}
	return n;
}

static __rte_noinline uint16_t tx_slow(struct memif_queue *q, struct memif_end *e, struct rte_mbuf **frames, uint16_t n,
				       uint16_t room, bool client)
{
	uint16_t done = 0;

	while (done < n) {
		bool taken;
		uint16_t used = tx_frame(q, e, frames[done], room, client, &taken);

		if (!taken)
			break;
		e->next = (uint16_t)(e->next + used);
		room = (uint16_t)(room - used);
		rte_pktmbuf_free(frames[done++]);
		if (room == 0)
			break;
	}
	return done;
}

static __rte_always_inline void tx_done(struct memif_end *e)
{
	/* Pairs with the peer's acquire of our index. */
	__atomic_store_n(e->own, e->next, __ATOMIC_RELEASE);
	/* Pairs with the barrier in the receiver's memif_rx_arm(). */
	rte_smp_mb();
	if (unlikely(!(__atomic_load_n(&e->ring->flags, __ATOMIC_RELAXED) & MEMIF_RING_MASK_INT)))
		bell_ring(e->bell_fd);
}

static __rte_always_inline uint16_t tx_end(struct memif_queue *q, struct memif_end *e, struct rte_mbuf **frames, uint16_t n,
					   const bool client)
{
	uint16_t room, fit, whole, sent, region[MEMIF_BURST];
	uint8_t *place[MEMIF_BURST];

	room = (uint16_t)(__atomic_load_n(e->peer, __ATOMIC_ACQUIRE) + e->ahead - e->next);
	if (unlikely(room > e->size || e->broken))
		return tx_break(q, e);
	n = RTE_MIN(n, MEMIF_BURST);
	if (unlikely(room == 0 || n == 0))
		return 0;

	fit = RTE_MIN(n, room);
	for (whole = 0; whole < fit; whole++) {
		uint16_t slot = (uint16_t)(e->next + whole);
		union memif_desc d = {.length = e->buffer_size};

		if (!client)
			d = desc_load(e, slot);
		if (unlikely(frames[whole]->nb_segs != 1 || frames[whole]->data_len > d.length ||
			     !desc_place(e, slot, d, client, &place[whole])))
			break;
		__builtin_prefetch(place[whole], 1);
		region[whole] = d.region;
	}
	for (uint16_t i = 0; i < whole; i++) {
		frames_copy(place[i], rte_pktmbuf_mtod(frames[i], const uint8_t *), frames[i]->data_len);
		desc_store(e, (uint16_t)(e->next + i), 0, region[i], frames[i]->data_len);
	}
	sent = whole;
	if (likely(whole > 0)) {
		e->next = (uint16_t)(e->next + whole);
		frames_put(frames, whole);
	}
	if (unlikely(whole < fit))
		sent = (uint16_t)(sent + tx_slow(q, e, frames + whole, (uint16_t)(n - whole), (uint16_t)(room - whole), client));
	tx_done(e);
	return sent;
}

/* Several of our queues, one ring of the peer's. */
static __rte_noinline uint16_t tx_shared(struct memif_queue *q, struct memif_end *e, struct rte_mbuf **frames, uint16_t n,
					 bool client)
{
	uint16_t sent;

	for (unsigned i = 0; !rte_spinlock_trylock(&e->lock); i++) {
		if (i == SHARED_PAUSES)
			return 0;
		rte_pause();
	}
	sent = tx_end(q, e, frames, n, client);
	rte_spinlock_unlock(&e->lock);
	return sent;
}

static __rte_always_inline uint16_t tx_burst(struct memif_queue *q, struct rte_mbuf **frames, uint16_t n, const bool client)
{
	struct memif_end *e = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);

	if (unlikely(!e))
		return 0;
	if (unlikely(e->shared))
		return tx_shared(q, e, frames, n, client);
	return tx_end(q, e, frames, n, client);
}

uint16_t memif_tx_client(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	return tx_burst(queue, frames, n, true);
}

uint16_t memif_tx_server(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	return tx_burst(queue, frames, n, false);
}

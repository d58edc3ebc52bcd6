/* SPDX-License-Identifier: Apache-2.0 */
/* To the guest: its receive rings. */
#include <linux/virtio_net.h>

#include <rte_pause.h>

#include "offload.h"
#include "vhost_walk.h"
#include "vnet.h"

/* How long to wait for another worker that sends by the same ring: longer than a burst takes. In pauses. */
#define SHARED_PAUSES 1000

/* Buffers that one frame may take (MRG_RXBUF): the longest frame in buffers of 256 bytes. */
#define BUFFERS_MAX 260

/* --- any frame -------------------------------------------------------------------------------------------------------- */

/* The buffers for one frame: their chains, one behind the other. */
struct buffers {
	uint16_t at; /* entries of the ring before the first, of frames before this one */
	unsigned n;
	uint16_t head[BUFFERS_MAX];
	uint16_t end[BUFFERS_MAX]; /* pieces of the chain up to and with this buffer's */
	struct vhost_chain chain;
};

enum outcome { SENT, NO_ROOM, TOO_LONG, LIE };

/* Buffers for `len` bytes from the `avail` entries behind b->at. LIE: the last of b->n is bad. */
static enum outcome buffers_find(struct vhost_vq *v, uint16_t avail, uint64_t len, struct buffers *b)
{
	uint16_t most = v->mergeable ? (uint16_t)RTE_MIN(avail, BUFFERS_MAX) : 1;

	b->n = 0;
	b->chain.n = b->chain.descs = 0;
	b->chain.bytes = 0;
	do {
		if (b->n == most)
			return !v->mergeable || most == BUFFERS_MAX || most == v->size ? TOO_LONG : NO_ROOM;
		b->head[b->n] = vhost_head(v, (uint16_t)(b->at + b->n));
		/* Pieces that run out are the frame's fault, not the buffer's. */
		if (b->chain.n == VHOST_CHAIN || b->chain.descs == VHOST_CHAIN)
			return TOO_LONG;
		if (!vhost_walk(v, b->head[b->n], true, &b->chain)) {
			b->n++;
			return LIE;
		}
		b->end[b->n++] = (uint16_t)b->chain.n;
	} while (b->chain.bytes < len);
	return SENT;
}

/* Put `len` bytes at `at` of the chain, wherever its pieces break. */
static void chain_put(const struct vhost_chain *c, uint64_t at, const void *bytes, uint32_t len)
{
	const uint8_t *from = bytes;

	for (unsigned i = 0; i < c->n && len > 0; i++) {
		const struct vhost_piece *p = &c->piece[i];
		uint32_t part;

		if (at >= p->len) {
			at -= p->len;
			continue;
		}
		part = (uint32_t)RTE_MIN((uint64_t)len, p->len - at);
		memcpy(p->at + at, from, part);
		from += part;
		len -= part;
		at = 0;
	}
}

/* The frame's bytes behind the header's place. Fills in what each buffer got. */
static void buffers_fill(struct vhost_vq *v, const struct buffers *b, const struct rte_mbuf *m)
{
	struct frame_read r = {m, 0};
	uint32_t left = m->pkt_len, skip = v->hdr_len;
	unsigned piece = 0;

	for (unsigned i = 0; i < b->n; i++) {
		uint32_t got = 0;

		for (; piece < b->end[i]; piece++) {
			const struct vhost_piece *p = &b->chain.piece[piece];
			uint32_t hdr = RTE_MIN(skip, p->len), part = RTE_MIN(left, p->len - hdr);

			frame_take(&r, p->at + hdr, part);
			skip -= hdr;
			left -= part;
			got += hdr + part;
		}
		vhost_use(v, (uint16_t)(b->at + i), b->head[i], got);
	}
}

/* All that was written to them: `len` bytes. */
static __rte_noinline void buffers_log(const struct vhost_vq *v, const struct buffers *b, uint32_t len)
{
	for (unsigned i = 0; i < b->chain.n && len > 0; i++) {
		uint32_t part = RTE_MIN(len, b->chain.piece[i].len);

		vhost_log_write(v->log, b->chain.piece[i].gpa, part);
		len -= part;
	}
}

/* Give the buffers back with nothing in them. */
static void buffers_return(struct vhost_vq *v, const struct buffers *b)
{
	for (unsigned i = 0; i < b->n; i++)
		vhost_use(v, (uint16_t)(b->at + i), b->head[i], 0);
}

static bool request_fits(const struct vhost_vq *v, const struct rte_mbuf *m)
{
	uint32_t need = 0;

	if (m->ol_flags & RTE_MBUF_F_TX_L4_MASK)
		need |= KIND_CAP_CSUM_L4;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		need |= m->ol_flags & RTE_MBUF_F_TX_IPV6 ? KIND_CAP_TSO6 : KIND_CAP_TSO4;
	if (m->ol_flags & RTE_MBUF_F_TX_UDP_SEG)
		need |= KIND_CAP_USO;
	return (v->caps & need) == need;
}

/*
 * One frame of any shape. *used, the entries that are done with, grows by those that it took; `avail` counts from the first. A frame that can never go is taken and counted, and so is one
 * whose buffers lie.
 */
static enum outcome tx_frame(struct vhost_queue *q, struct vhost_vq *v, const struct rte_mbuf *m, uint16_t avail, uint16_t *used)
{
	struct virtio_net_hdr_v1 h = {0};
	struct virtio_net_hdr legacy;
	struct buffers b;
	enum outcome o;
	uint32_t edit;
	uint16_t value;

	b.at = *used;
	/* The switch asks for what the guest takes; a frame that was on its way while the guest changed its mind is lost here. */
	if (!request_fits(v, m) || vnet_from_mbuf(m, &legacy, &edit, &value) < 0) {
		frames_count(&q->lost.tx_error, 1);
		return SENT;
	}
	o = buffers_find(v, (uint16_t)(avail - *used), (uint64_t)v->hdr_len + m->pkt_len, &b);
	switch (o) {
	case NO_ROOM:
		return o;
	case TOO_LONG:
		frames_count(&q->lost.truncated, 1);
		return o;
	case LIE:
		frames_count(&q->lost.bad_descriptor, 1);
		buffers_return(v, &b);
		*used = (uint16_t)(*used + b.n);
		return o;
	case SENT:
		break;
	}
	buffers_fill(v, &b, m);
	if (!v->ecn)
		legacy.gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	memcpy(&h, &legacy, sizeof(legacy));
	h.num_buffers = (uint16_t)b.n;
	chain_put(&b.chain, 0, &h, v->hdr_len);
	if (edit)
		chain_put(&b.chain, v->hdr_len + edit, &value, sizeof(value));
	if (unlikely(v->log != NULL))
		buffers_log(v, &b, v->hdr_len + m->pkt_len);
	*used = (uint16_t)(*used + b.n);
	return SENT;
}

/* How many of the frames are done with. *used counts entries, as in tx_frame(). */
static __rte_noinline uint16_t tx_slow(struct vhost_queue *q, struct vhost_vq *v, struct rte_mbuf **frames, uint16_t n,
				       uint16_t avail, uint16_t *used)
{
	uint16_t done = 0;

	while (done < n && *used < avail) {
		if (tx_frame(q, v, frames[done], avail, used) == NO_ROOM)
			break;
		rte_pktmbuf_free(frames[done++]);
	}
	return done;
}

/* --- the common frame: one segment, no request, one descriptor ------------------------------------------------------------ */

static __rte_always_inline void header_put(uint8_t *at, uint32_t hdr_len)
{
	/* No flags, no request; num_buffers is 1. */
	static const uint8_t none[VIRTIO_HDR_LEN] = {[10] = 1};

	if (likely(hdr_len == VIRTIO_HDR_LEN))
		memcpy(at, none, VIRTIO_HDR_LEN);
	else
		memset(at, 0, VIRTIO_HDR_LEN_LEGACY);
}

static __rte_noinline void log_plain(struct vhost_vq *v, const uint64_t *gpa, struct rte_mbuf *const *frames, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		vhost_log_write(v->log, gpa[i], v->hdr_len + frames[i]->data_len);
}

static __rte_always_inline uint16_t tx_plain(struct vhost_vq *v, struct rte_mbuf **frames, uint16_t n)
{
	const uint32_t hdr_len = v->hdr_len;
	uint16_t head[VHOST_BURST], i;
	uint8_t *at[VHOST_BURST];
	uint64_t gpa[VHOST_BURST];

	for (i = 0; i < n; i++)
		head[i] = vhost_head(v, i);
	for (i = 0; i < n; i++) {
		const struct rte_mbuf *m = frames[i];
		union virtq_desc d;
		uint8_t *place;

		if (unlikely(head[i] >= v->size || m->nb_segs != 1 || offload_asks(m)))
			break;
		d = vhost_desc_load(v, head[i]);
		if (unlikely((d.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE | VIRTQ_DESC_INDIRECT)) != VIRTQ_DESC_WRITE ||
			     d.len < hdr_len + m->data_len))
			break;
		place = vhost_mem_gpa(v->mem, &v->hint, d.addr, d.len);
		if (unlikely(!place))
			break;
		__builtin_prefetch(place, 1);
		__builtin_prefetch(place + hdr_len + 32, 1);
		at[i] = place;
		gpa[i] = d.addr;
	}
	n = i;
	for (i = 0; i < n; i++) {
		header_put(at[i], hdr_len);
		frames_copy(at[i] + hdr_len, rte_pktmbuf_mtod(frames[i], const uint8_t *), frames[i]->data_len);
		vhost_use(v, i, head[i], hdr_len + frames[i]->data_len);
	}
	if (unlikely(v->log != NULL))
		log_plain(v, gpa, frames, n);
	return n;
}

/* A vq that takes over begins; one that breaks, or is broken, is of no use: false. */
static __rte_noinline bool tx_aside(struct vhost_queue *q, struct vhost_vq *v)
{
	if (v->aside & VHOST_FRESH) {
		v->next = v->called = __atomic_load_n(&v->used->idx, __ATOMIC_RELAXED);
		__atomic_store_n(&v->aside, (uint8_t)(v->aside & ~VHOST_FRESH), __ATOMIC_RELAXED);
	}
	if (vhost_available(v) <= v->size && !(v->aside & VHOST_BROKEN))
		return true;
	vhost_break(q, v);
	return false;
}

static __rte_always_inline uint16_t tx_vq(struct vhost_queue *q, struct vhost_vq *v, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t avail = vhost_available(v), done, used;

	if (unlikely(avail > v->size || v->aside)) {
		if (!tx_aside(q, v))
			return 0;
		avail = vhost_available(v);
		if (unlikely(avail > v->size))
			return 0; /* since a moment ago: found at the next burst */
	}
	n = RTE_MIN(n, (uint16_t)VHOST_BURST);
	if (unlikely(avail == 0 || n == 0))
		return 0;
	done = used = tx_plain(v, frames, RTE_MIN(n, avail));
	if (likely(done > 0))
		frames_put(frames, done);
	if (unlikely(done < RTE_MIN(n, avail)))
		done = (uint16_t)(done + tx_slow(q, v, frames + done, (uint16_t)(n - done), avail, &used));
	if (likely(used > 0))
		vhost_publish(v, used);
	return done;
}

/* Several of our queues, one ring of the guest's. */
static __rte_noinline uint16_t tx_shared(struct vhost_queue *q, struct vhost_vq *v, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t sent;

	for (unsigned i = 0; !rte_spinlock_trylock(&v->lock); i++) {
		if (i == SHARED_PAUSES)
			return 0;
		rte_pause();
	}
	sent = tx_vq(q, v, frames, n);
	rte_spinlock_unlock(&v->lock);
	return sent;
}

uint16_t vhost_tx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_queue *q = queue;
	struct vhost_vq *v = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);

	if (unlikely(!v))
		return 0;
	if (unlikely(v->shared))
		return tx_shared(q, v, frames, n);
	return tx_vq(q, v, frames, n);
}

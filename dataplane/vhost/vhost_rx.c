/* SPDX-License-Identifier: Apache-2.0 */
/* From the guest: its transmit rings. */
#include <linux/virtio_net.h>

#include "vhost_walk.h"
#include "vnet.h"

/* Segments that a frame can need; a pool whose buffers are smaller than this allows refuses the longest frames. */
#define SEGS_MAX 64

/* The header as it was loaded: 16 bytes are, in one go, of which the first 10 are the header's. */
union head_load {
	struct virtio_net_hdr vh;
	uint8_t bytes[16];
	uint64_t word[2];
};

static __rte_always_inline bool asks(const union head_load *h)
{
	return h->vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || h->vh.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/* --- any frame -------------------------------------------------------------------------------------------------------- */

/* A place in a chain that is being read. */
struct reader {
	const struct vhost_piece *piece;
	uint32_t at;
};

/* Copy the next len bytes, which the chain has, to `to`; NULL: skip them. */
static void reader_take(struct reader *r, uint8_t *to, uint32_t len)
{
	while (len > 0) {
		uint32_t part = RTE_MIN(len, r->piece->len - r->at);

		if (to) {
			rte_memcpy(to, r->piece->at + r->at, part); /* see frames.h */
			to += part;
		}
		len -= part;
		r->at += part;
		if (r->at == r->piece->len) {
			r->piece++;
			r->at = 0;
		}
	}
}

/* Fill the segments with the frame; its first bytes are those that were looked at. */
static struct rte_mbuf *build(const struct frame_source *s, struct rte_mbuf **seg, unsigned n_segs, struct reader *r,
			      const uint8_t *head, uint32_t len)
{
	uint32_t left = len;

	for (unsigned i = 0; i < n_segs; i++) {
		uint32_t part = RTE_MIN(left, s->seg_room);

		frames_reset(s, seg[i], part);
		reader_take(r, rte_pktmbuf_mtod(seg[i], uint8_t *), part);
		left -= part;
		if (i > 0)
			seg[i - 1]->next = seg[i];
	}
	memcpy(rte_pktmbuf_mtod(seg[0], uint8_t *), head, RTE_MIN(len, (uint32_t)KIND_HEAD));
	seg[0]->pkt_len = len;
	seg[0]->nb_segs = (uint16_t)n_segs;
	return seg[0];
}

/*
 * The header's request becomes the mbuf's. A checksum that no mbuf can name is finished here, wherever the guest says that it belongs: not
 * in what admission was decided by.
 */
static bool request_take(const struct virtio_net_hdr *vh, struct rte_mbuf *m, const uint8_t *head)
{
	return vnet_to_mbuf(vh, m) == 0 &&
	       memcmp(rte_pktmbuf_mtod(m, const uint8_t *), head, RTE_MIN(m->pkt_len, (uint32_t)KIND_HEAD)) == 0;
}

enum outcome { TAKEN, REFUSED, NO_BUFFER };

/*
 * The frame of a chain: TAKEN with *m, which is NULL if the request in its header was malformed; REFUSED by admission, or counted as
 * lost; NO_BUFFER: the frame stays in the ring (the guest feels a full ring, and nothing is lost).
 */
static enum outcome rx_chain(struct vhost_queue *q, const struct vhost_vq *v, const struct vhost_chain *c, struct rte_mbuf **m,
			     kind_gate gate, void *ctx)
{
	struct reader r = {c->piece, 0};
	struct rte_mbuf *seg[SEGS_MAX];
	uint8_t head[1][KIND_HEAD] = {{0}};
	union head_load h = {0};
	uint32_t len;
	unsigned n;

	if (c->bytes <= v->hdr_len || c->bytes - v->hdr_len > VHOST_FRAME_MAX) {
		frames_count(&q->lost.malformed, 1);
		return REFUSED;
	}
	len = (uint32_t)c->bytes - v->hdr_len;
	n = (len + q->source.seg_room - 1) / q->source.seg_room;
	if (n > SEGS_MAX) {
		frames_count(&q->lost.malformed, 1);
		return REFUSED;
	}
	if (rte_mempool_get_bulk(q->source.pool, (void **)seg, n) < 0)
		return NO_BUFFER;
	reader_take(&r, h.bytes, VIRTIO_HDR_LEN_LEGACY);
	reader_take(&r, NULL, v->hdr_len - VIRTIO_HDR_LEN_LEGACY);
	reader_take(&(struct reader){r.piece, r.at}, head[0], RTE_MIN(len, (uint32_t)KIND_HEAD));
	if (!gate(ctx, head, &len, asks(&h), 1)) {
		rte_mempool_put_bulk(q->source.pool, (void **)seg, n);
		return REFUSED;
	}
	*m = build(&q->source, seg, n, &r, head[0], len);
	if (asks(&h) && !request_take(&h.vh, *m, head[0])) {
		frames_count(&q->lost.malformed, 1);
		rte_pktmbuf_free(*m);
		*m = NULL;
	}
	return TAKEN;
}

/* Up to n frames, `avail` entries from v->next + *used on. *used counts the entries that are done with. */
static __rte_noinline uint16_t rx_slow(struct vhost_queue *q, struct vhost_vq *v, struct rte_mbuf **frames, uint16_t n,
				       uint16_t avail, uint16_t *used, kind_gate gate, void *ctx)
{
	uint32_t bytes = 0, descs = 0;
	struct vhost_chain c;
	uint16_t got = 0;

	for (; got < n && *used < avail && bytes < VHOST_CALL_BYTES && descs < VHOST_CALL_DESCS; (*used)++) {
		uint16_t head = vhost_head(v, *used);

		c.n = c.descs = 0;
		c.bytes = 0;
		if (unlikely(!vhost_walk(v, head, false, &c))) {
			frames_count(&q->lost.bad_descriptor, 1);
		} else {
			enum outcome o = rx_chain(q, v, &c, &frames[got], gate, ctx);

			if (unlikely(o == NO_BUFFER))
				break;
			got += o == TAKEN;
		}
		vhost_use(v, *used, head, 0);
		bytes += (uint32_t)RTE_MIN(c.bytes, (uint64_t)VHOST_FRAME_MAX);
		descs += c.descs;
	}
	return got;
}

/* --- the common frame ------------------------------------------------------------------------------------------------- */

/* A burst of frames of one descriptor each. */
struct plain {
	uint16_t head[VHOST_BURST];
	const uint8_t *data[VHOST_BURST]; /* behind the header */
	uint32_t len[VHOST_BURST];
	union head_load hdr[VHOST_BURST];
	uint8_t start[VHOST_BURST][KIND_HEAD] __rte_aligned(32);
};

/* Look at up to n descriptors; how many in a row are plain. Their frames' first lines are on the way. */
static __rte_always_inline uint16_t plain_find(const struct vhost_queue *q, struct vhost_vq *v, struct plain *b, uint16_t n)
{
	const uint32_t hdr_len = v->hdr_len, longest = q->source.seg_room - KIND_HEAD;
	uint16_t i;

	for (i = 0; i < n; i++)
		b->head[i] = vhost_head(v, i);
	for (i = 0; i < n; i++) {
		union virtq_desc d;
		uint8_t *at;

		if (unlikely(b->head[i] >= v->size))
			break;
		d = vhost_desc_load(v, b->head[i]);
		/* Between one head and one buffer long; unsigned, so that what is shorter is far too long. */
		if (unlikely((d.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE | VIRTQ_DESC_INDIRECT)) ||
			     d.len - hdr_len - KIND_HEAD > longest))
			break;
		at = vhost_mem_gpa(v->mem, &v->hint, d.addr, d.len);
		if (unlikely(!at))
			break;
		rte_prefetch0(at);
		rte_prefetch0(at + hdr_len + 32);
		b->data[i] = at + hdr_len;
		b->len[i] = d.len - hdr_len;
	}
	return i;
}

/* Copy what will be looked at. Which frames carry a request, by bit. */
static __rte_always_inline uint64_t plain_heads(const struct vhost_vq *v, struct plain *b, uint16_t n)
{
	const uint32_t hdr_len = v->hdr_len;
	uint64_t asking = 0;

	for (uint16_t i = 0; i < n; i++) {
		rte_mov16(b->hdr[i].bytes, b->data[i] - hdr_len);
		rte_mov32(b->start[i], b->data[i]);
		rte_compiler_barrier();
		asking |= (uint64_t)asks(&b->hdr[i]) << i;
	}
	return asking;
}

/* The frame behind its first bytes, and these from where they were looked at. */
static __rte_always_inline void plain_copy(uint8_t *to, const struct plain *b, uint16_t i)
{
	uint32_t len = b->len[i];

	if (likely(len <= 2 * KIND_HEAD))
		rte_mov32(to + len - KIND_HEAD, b->data[i] + len - KIND_HEAD);
	else
		frames_copy(to + KIND_HEAD, b->data[i] + KIND_HEAD, len - KIND_HEAD);
	rte_mov32(to, b->start[i]);
}

static __rte_noinline void plain_request(struct vhost_queue *q, const struct plain *b, uint16_t i, struct rte_mbuf **m)
{
	if (request_take(&b->hdr[i].vh, *m, b->start[i]))
		return;
	frames_count(&q->lost.malformed, 1);
	rte_pktmbuf_free(*m);
	*m = NULL;
}

/* Frames into `frames`, *used entries done with. */
static __rte_always_inline uint16_t rx_plain(struct vhost_queue *q, struct vhost_vq *v, struct rte_mbuf **frames, uint16_t n,
					     uint16_t *used, kind_gate gate, void *ctx)
{
	struct rte_mbuf *m[VHOST_BURST];
	uint64_t asking, wanted;
	struct plain b;
	uint16_t got = 0;

	n = plain_find(q, v, &b, n);
	if (unlikely(n == 0))
		return 0;
	/* Only their addresses are taken here: what is refused goes back without having been touched. */
	n = frames_get(&q->source, m, n);
	if (unlikely(n == 0))
		return 0;
	asking = plain_heads(v, &b, n);
	wanted = gate(ctx, (const uint8_t(*)[KIND_HEAD])b.start, b.len, asking, n);
	for (uint16_t i = 0; i < n; i++) {
		if (likely(wanted >> i & 1)) {
			frames_reset(&q->source, m[got], b.len[i]);
			plain_copy(rte_pktmbuf_mtod(m[got], uint8_t *), &b, i);
			frames[got] = m[got];
			if (unlikely(asking >> i & 1))
				plain_request(q, &b, i, &frames[got]);
			got++;
		}
		vhost_use(v, i, b.head[i], 0);
	}
	if (unlikely(got < n))
		rte_mempool_put_bulk(q->source.pool, (void **)&m[got], n - got);
	*used = n;
	return got;
}

/* A frame of the control thread's: the guest did not send it, but for the switch it comes from here. */
static __rte_noinline uint16_t rx_injected(struct vhost_queue *q, struct rte_mbuf **frames, kind_gate gate, void *ctx)
{
	struct rte_mbuf *m = __atomic_exchange_n(&q->inject, NULL, __ATOMIC_ACQ_REL);
	uint8_t head[1][KIND_HEAD] = {{0}};

	if (!m)
		return 0;
	memcpy(head[0], rte_pktmbuf_mtod(m, uint8_t *), RTE_MIN(m->data_len, KIND_HEAD));
	frames[0] = m;
	if (gate(ctx, (const uint8_t(*)[KIND_HEAD])head, &m->pkt_len, 0, 1))
		return 1;
	rte_pktmbuf_free(m);
	return 0;
}

/* A ring that breaks, or is broken, or disabled. Entries that were given back for nothing, `n` at most. */
static __rte_noinline uint16_t rx_aside(struct vhost_queue *q, struct vhost_vq *v, uint16_t avail, uint16_t n)
{
	if (avail > v->size || v->aside & VHOST_BROKEN) {
		vhost_break(q, v);
		return 0;
	}
	for (uint16_t i = 0; i < n; i++)
		vhost_use(v, i, vhost_head(v, i), 0);
	frames_count(&q->lost.rx_disabled, n);
	return n;
}

uint16_t vhost_rx(void *queue, struct rte_mbuf **frames, uint16_t n, kind_gate gate, void *ctx)
{
	struct vhost_queue *q = queue;
	struct vhost_vq *v = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);
	uint16_t avail, used = 0, got, ready;

	if (unlikely(__atomic_load_n(&q->inject, __ATOMIC_RELAXED) != NULL && n > 0))
		return rx_injected(q, frames, gate, ctx);
	if (unlikely(!v))
		return 0;
	avail = vhost_available(v);
	if (avail == 0)
		return 0;
	if (unlikely(v->kicks && !q->armed)) {
		vhost_kicks_off(v);
		q->rung = true;
	}
	n = RTE_MIN(n, (uint16_t)VHOST_BURST);
	ready = RTE_MIN(n, avail);
	if (unlikely(avail > v->size || v->aside)) {
		got = 0;
		used = rx_aside(q, v, avail, ready);
	} else {
		got = rx_plain(q, v, frames, ready, &used, gate, ctx);
		if (unlikely(used < ready))
			got = (uint16_t)(got + rx_slow(q, v, frames + got, (uint16_t)(n - got), avail, &used, gate, ctx));
	}
	if (likely(used > 0))
		vhost_publish(v, used);
	if (unlikely(v->kicks && used > 0 && got == 0))
		vhost_kicks_again(v);
	return got;
}

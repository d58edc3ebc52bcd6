/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path: a frame's journey from a receive queue to the ports that it leaves by.
 *
 *   receive -> admit (headers, VLAN) -> check (spoofing, in limits; only on ports that have any) -> learn -> look up -> send or flood
 *
 * A burst goes through each stage together, so that the cache misses of its look-ups overlap: the buckets of all its addresses are
 * prefetched while it is admitted.
 */
#include <unistd.h>

#include "dp.h"
#include "limit.h"

/* What mbuf flags mean work at admission; all others are a driver's notes that nobody reads. */
#define FLAGS_WORK (RTE_MBUF_F_RX_VLAN_STRIPPED | OFFLOAD_REQUEST)

#define FRAME_MAX (DP_MTU_MAX + 14 + 8) /* with two tags */

/* The parts of a burst that the stages hand on. n frames are alive, at the front. */
struct burst {
	unsigned n;
	struct rte_mbuf *m[WORKER_BURST];
	struct vlan_frame f[WORKER_BURST];
	uint64_t src[WORKER_BURST], dst[WORKER_BURST];		 /* FDB keys; the address's first byte is the lowest */
	uint64_t src_hash[WORKER_BURST], dst_hash[WORKER_BURST]; /* undefined for group addresses */
};

/* Addresses as they are loaded: six bytes, the first lowest. */
#define MAC_BITS  0xffffffffffffull
#define MAC_GROUP 1ull
/* 01:80:c2:00:00:00 to 0f: never forwarded by a bridge (802.1Q table 8-1). */
#define MAC_RESERVED	  0x000000c28001ull
#define MAC_RESERVED_BITS 0xf0ffffffffffull

static inline uint64_t load_mac(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v & MAC_BITS;
}

/* Flags that ask for work: most frames have none. */
static enum slc_drop admit_flags(struct rte_mbuf *m)
{
	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED && !vlan_restore(m))
		return SLC_DROP_MALFORMED;
	if (offload_asks(m) && offload_check(m) < 0)
		return SLC_DROP_MALFORMED;
	return SLC_DROP_N;
}

/* Admission of a frame that is not plain, or is none at all: every check, in order. May move the frame's start. */
static __rte_noinline enum slc_drop admit_further(const struct port *in, const struct port_rt *rt, struct rte_mbuf *m,
						  struct vlan_frame *f)
{
	const uint8_t *data;
	enum slc_drop why;

	if (m->pkt_len < 14)
		return SLC_DROP_RUNT;
	if (m->data_len < 22 && m->data_len != m->pkt_len)
		return SLC_DROP_MALFORMED;
	why = admit_flags(m);
	if (why != SLC_DROP_N)
		return why;
	if (m->pkt_len > FRAME_MAX && !(m->ol_flags & OFFLOAD_SEGMENT))
		return SLC_DROP_OVERSIZE;
	data = rte_pktmbuf_mtod(m, const uint8_t *);
	if (data[6] & 1)
		return SLC_DROP_SRC_MULTICAST;
	if ((load_mac(data) & MAC_RESERVED_BITS) == MAC_RESERVED)
		return SLC_DROP_RESERVED_DST;
	why = vlan_admit(&rt->vlan, data, m->pkt_len, f);
	if (in->kp.partial_csum && why == SLC_DROP_N)
		offload_detect_partial(m, 14 + 4 * f->n_tags, f->ethertype);
	return why;
}

/* A burst that is being admitted. */
struct admission {
	const struct fdb *fdb;
	const struct port *in;
	const struct port_rt *rt;
	struct port_counters *c;
	struct burst *b;
	struct vlan_frame untagged;
	bool plain_port;
	/* Runs of one flow are common, and their hashes already here. */
	uint64_t last_src, last_dst, src_hash, dst_hash;
	uint64_t bytes, asks; /* asks: which of b's frames carry a request, where that is not in an mbuf yet */
	unsigned n;	      /* frames received */
};

static __rte_always_inline void admission_begin(struct admission *a, const struct worker *w, const struct rxq *q,
						const struct port_rt *rt, struct port_counters *c, struct burst *b)
{
	const struct port *in = q->port;

	*a = (struct admission){
		.fdb = w->dp->fdb,
		.in = in,
		.rt = rt,
		.c = c,
		.b = b,
		.untagged = vlan_untagged(&rt->vlan, 0),
		.plain_port = !rt->vlan.refuses_untagged && !in->kp.partial_csum,
		.last_src = UINT64_MAX,
		.last_dst = UINT64_MAX,
	};
	b->n = 0;
}

/* Is there anything seldom about a frame's first 14 bytes? One branch for all of it: joined, it is always predicted. */
static __rte_always_inline int seldom_head(uint64_t src, uint64_t dst, uint16_t type)
{
	return (int)(src & MAC_GROUP) | (int)((dst & MAC_RESERVED_BITS) == MAC_RESERVED) | (int)vlan_is_tpid(type);
}

/* Frame k of the burst has these addresses, in the VLAN of b->f[k]: its look-ups begin. */
static __rte_always_inline void admission_note(struct admission *a, unsigned k, uint64_t src, uint64_t dst)
{
	struct burst *b = a->b;

	src |= (uint64_t)b->f[k].vid << 48;
	dst |= (uint64_t)b->f[k].vid << 48;
	if (src != a->last_src) {
		a->last_src = src;
		a->src_hash = fdb_hash(a->fdb, src);
		fdb_prefetch(a->fdb, a->src_hash);
	}
	if (dst != a->last_dst) {
		a->last_dst = dst;
		a->dst_hash = fdb_hash(a->fdb, dst);
		fdb_prefetch(a->fdb, a->dst_hash);
	}
	b->src[k] = src;
	b->dst[k] = dst;
	b->src_hash[k] = a->src_hash;
	b->dst_hash[k] = a->dst_hash;
}

static __rte_always_inline void admission_end(struct admission *a)
{
	a->c->rx_frames += a->n;
	a->c->rx_bytes += a->bytes;
}

/* Receive and admit. b->n of the frames received are alive then. */
static inline void receive(struct admission *a, const struct rxq *q)
{
	struct port *in = q->port;
	struct burst *b = a->b;
	struct rte_mbuf *received[WORKER_BURST];
	unsigned k = 0;

	a->n = in->kp.rx(CMM_LOAD_SHARED(in->kp.rxq[q->index]), received, WORKER_BURST);
	for (unsigned i = 0; i < a->n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(received[i], void *));

	for (unsigned i = 0; i < a->n; i++) {
		struct rte_mbuf *m = received[i];
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
		uint64_t src, dst;
		uint16_t type;
		int seldom;

		a->bytes += m->pkt_len;
		/* Every buffer has these 14 bytes, whether the frame does or not; what they say counts only if it does. */
		dst = load_mac(data);
		src = load_mac(data + 6);
		type = vlan_rd16(data + 12);
		seldom = (int)!a->plain_port | (int)(m->data_len < 22) | (int)((m->ol_flags & FLAGS_WORK) != 0) |
			 (int)(m->pkt_len > FRAME_MAX) | seldom_head(src, dst, type);
		if (likely(!seldom)) {
			b->f[k] = a->untagged;
			b->f[k].ethertype = type;
		} else {
			enum slc_drop why = admit_further(in, a->rt, m, &b->f[k]);

			if (why != SLC_DROP_N) {
				a->c->drops[why]++;
				rte_pktmbuf_free(m);
				continue;
			}
			data = rte_pktmbuf_mtod(m, const uint8_t *);
			dst = load_mac(data);
			src = load_mac(data + 6);
		}
		b->m[k] = m;
		admission_note(a, k, src, dst);
		k++;
	}
	b->n = k;
	if (a->n)
		admission_end(a);
}

/* --- admission before the copy (kind.h) ----------------------------------------------------------------------------------- */

static __rte_noinline enum slc_drop gate_further(const struct port_rt *rt, const uint8_t *head, uint32_t len, bool asks,
						 struct vlan_frame *f)
{
	if (len < 14)
		return SLC_DROP_RUNT;
	if (len > FRAME_MAX && !asks)
		return SLC_DROP_OVERSIZE;
	if (head[6] & 1)
		return SLC_DROP_SRC_MULTICAST;
	if ((load_mac(head) & MAC_RESERVED_BITS) == MAC_RESERVED)
		return SLC_DROP_RESERVED_DST;
	return vlan_admit(&rt->vlan, head, len, f);
}

/* A struct kind_gate: what receive() does, with the heads alone. */
static uint64_t gate(void *ctx, const uint8_t (*heads)[KIND_HEAD], const uint32_t *len, uint64_t asks, uint16_t n)
{
	struct admission *a = ctx, local = *a;
	struct burst *b = a->b;
	uint64_t wanted = 0;
	unsigned k = b->n;

	for (unsigned i = 0; i < n; i++) {
		uint64_t dst = load_mac(heads[i]), src = load_mac(heads[i] + 6);
		uint16_t type = vlan_rd16(heads[i] + 12);
		int seldom = (int)!a->plain_port | (int)(len[i] < 22) | (int)(len[i] > FRAME_MAX) | (int)a->rt->down |
			     seldom_head(src, dst, type);

		local.bytes += len[i];
		if (likely(!seldom)) {
			b->f[k] = a->untagged;
			b->f[k].ethertype = type;
		} else {
			enum slc_drop why = gate_further(a->rt, heads[i], len[i], asks >> i & 1, &b->f[k]);

			if (why == SLC_DROP_N && a->rt->down)
				why = SLC_DROP_RX_DOWN;
			if (why != SLC_DROP_N) {
				a->c->drops[why]++;
				continue;
			}
		}
		admission_note(&local, k, src, dst);
		local.asks |= (asks >> i & 1) << k;
		wanted |= 1ull << i;
		k++;
	}
	local.n += n;
	b->n = k;
	*a = local;
	return wanted;
}

static void burst_move(struct burst *b, unsigned to, unsigned from)
{
	b->m[to] = b->m[from];
	b->f[to] = b->f[from];
	b->src[to] = b->src[from];
	b->dst[to] = b->dst[from];
	b->src_hash[to] = b->src_hash[from];
	b->dst_hash[to] = b->dst_hash[from];
}

/* Requests, which can only be judged in the frame; and frames that the kind lost after they were admitted. */
static __rte_noinline void gated_settle(struct admission *a)
{
	struct burst *b = a->b;
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (!b->m[i])
			continue;
		if (offload_asks(b->m[i]) && offload_check(b->m[i]) < 0) {
			a->c->drops[SLC_DROP_MALFORMED]++;
			rte_pktmbuf_free(b->m[i]);
			continue;
		}
		burst_move(b, k++, i);
	}
	b->n = k;
}

static inline void receive_gated(struct admission *a, const struct rxq *q)
{
	struct port *in = q->port;

	in->kp.rx_gated(CMM_LOAD_SHARED(in->kp.rxq[q->index]), a->b->m, WORKER_BURST, gate, a);
	if (a->n == 0)
		return;
	if (unlikely(a->asks))
		gated_settle(a);
	admission_end(a);
}

/* Drop the frames that have a reason; SLC_DROP_N keeps. */
static void keep(struct burst *b, const uint8_t *why, struct port_counters *c)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (why[i] != SLC_DROP_N) {
			c->drops[why[i]]++;
			rte_pktmbuf_free(b->m[i]);
			continue;
		}
		burst_move(b, k++, i);
	}
	b->n = k;
}

static void limits_in(struct worker *w, const struct port_rt *rt, struct port_counters *c, struct burst *b)
{
	uint64_t admit = limit_charge(rt->in_bps, rt->in_pps, b->m, b->n, w->now_tsc);
	uint8_t why[WORKER_BURST];

	if (admit == (1ull << b->n) - 1)
		return;
	for (unsigned i = 0; i < b->n; i++)
		why[i] = admit >> i & 1 ? SLC_DROP_N : SLC_DROP_LIMIT_IN;
	keep(b, why, c);
}

/* What only some ports ask for: administratively down, anti-spoofing, in limits. */
static __rte_noinline void check(struct worker *w, const struct port_rt *rt, struct port_counters *c, struct burst *b)
{
	uint8_t why[WORKER_BURST];
	unsigned dropped = 0;

	for (unsigned i = 0; i < b->n; i++) {
		why[i] = SLC_DROP_N;
		if (rt->down)
			why[i] = SLC_DROP_RX_DOWN;
		else if (rt->spoof_on)
			why[i] = spoof_check(&rt->spoof, b->m[i], 14 + 4 * b->f[i].n_tags, b->f[i].ethertype);
		dropped += why[i] != SLC_DROP_N;
	}
	if (dropped)
		keep(b, why, c);
	if (b->n && (rt->in_bps || rt->in_pps))
		limits_in(w, rt, c, b);
}

/* What came of learning, but for -EAGAIN. */
static void learned(struct worker *w, const struct port *in, uint64_t key, int r, uint16_t from)
{
	const struct feed *feed = rcu_dereference(w->dp->feed);
	struct port_counters *c = &in->counters[w->id];

	if (r < 0)
		c->learn_refused++;
	if (r == 1) {
		struct port *was = rcu_dereference(w->dp->ports[from]);

		c->moved++;
		/* Written when it changes, and read by one who looks once a second. */
		if (was && !CMM_LOAD_SHARED(was->left))
			CMM_STORE_SHARED(was->left, true);
	}
	if (unlikely(feed) && r >= 0 && from != in->idx)
		feed_learned(w, feed, key, in, from);
}

/* Learn a new or moved address; if somebody else is writing, later. */
static __rte_noinline void learn(struct worker *w, struct port *in, uint64_t key)
{
	uint16_t from = FDB_NO_PORT;
	int r = fdb_learn_from(w->dp->fdb, key, in->idx, w->now_s, &from);

	if (unlikely(fdb_wants_room(w->dp->fdb)) && !atomic_load_explicit(&w->dp->attention, memory_order_relaxed) &&
	    !atomic_exchange(&w->dp->attention, true)) {
		uint64_t one = 1;
		/* Once for each doubling of the table. It cannot fail but for a full counter, which is readable too. */
		ssize_t written = write(w->dp->attention_fd, &one, sizeof(one));

		(void)written;
	}
	if (r == -EAGAIN && w->n_retry < WORKER_RETRY) {
		w->retry[w->n_retry].key = key;
		w->retry[w->n_retry].gen = in->gen;
		w->retry[w->n_retry++].port = in->idx;
	} else {
		learned(w, in, key, r, from);
	}
}

void forward_learn_retry(struct worker *w)
{
	unsigned n = w->n_retry, left = 0;

	for (unsigned i = 0; i < n; i++) {
		struct port *p = rcu_dereference(w->dp->ports[w->retry[i].port]);
		uint16_t from = FDB_NO_PORT;
		int r;

		/* Read-side sections have passed since; the port may have gone, or left the VLAN. */
		if (!p || p->gen != w->retry[i].gen ||
		    !vlan_carries(&rcu_dereference(p->rt)->vlan, w->retry[i].key >> 48 & VLAN_VID))
			continue;
		r = fdb_learn_from(w->dp->fdb, w->retry[i].key, p->idx, w->now_s, &from);
		if (r == -EAGAIN)
			w->retry[left++] = w->retry[i];
		else
			learned(w, p, w->retry[i].key, r, from);
	}
	w->n_retry = left;
}

/* Hear every source. Frames whose source is bound to another port go. */
static inline void hear(struct worker *w, struct port *in, struct port_counters *c, struct burst *b)
{
	uint64_t last = UINT64_MAX; /* no key: they have 60 bits */
	uint8_t why[WORKER_BURST];
	bool bound = false;

	for (unsigned i = 0; i < b->n; i++) {
		why[i] = SLC_DROP_N;
		if (b->src[i] == last)
			continue;
		last = b->src[i];
		switch (fdb_hear(w->dp->fdb, b->src[i], b->src_hash[i], in->idx, w->now_s)) {
		case FDB_KNOWN:
			break;
		case FDB_NEW:
			learn(w, in, b->src[i]);
			break;
		case FDB_BOUND:
			why[i] = SLC_DROP_SRC_BOUND;
			bound = true;
			last = UINT64_MAX;
			break;
		}
	}
	if (unlikely(bound))
		keep(b, why, c);
}

/* Look up every destination and send. */
static inline void dispatch(struct worker *w, struct port *in, const struct port_rt *rt, struct port_counters *c, struct burst *b)
{
	struct exit x = {.port = NULL};
	uint64_t last = UINT64_MAX;
	struct port *out = NULL;

	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->m[i];

		if (unlikely(b->dst[i] & MAC_GROUP)) {
			egress_flood(w, in, rt, m, &b->f[i]);
			continue;
		}
		if (b->dst[i] != last) {
			struct fdb_hit hit = fdb_lookup(w->dp->fdb, b->dst[i], b->dst_hash[i]);

			last = b->dst[i];
			/* An entry may outlive its port for a moment: the address is unknown then. */
			out = likely(hit.port != FDB_NO_PORT) ? rcu_dereference(w->dp->ports[hit.port]) : NULL;
		}
		if (likely(out && egress_repeat(w, &x, out, m, &b->f[i])))
			continue;
		if (!out) {
			egress_flood(w, in, rt, m, &b->f[i]);
		} else if (out == in) {
			c->drops[SLC_DROP_SAME_PORT]++;
			rte_pktmbuf_free(m);
		} else {
			egress_send(w, rt, out, m, &b->f[i], &x);
		}
	}
}

unsigned forward_queue(struct worker *w, struct rxq *q)
{
	struct port *in = q->port;
	const struct port_rt *rt = rcu_dereference(in->rt);
	struct port_counters *c = &in->counters[w->id];
	struct admission a;
	struct burst b;

	admission_begin(&a, w, q, rt, c, &b);
	if (in->kp.rx_gated)
		receive_gated(&a, q);
	else
		receive(&a, q);
	if (a.n == 0)
		return 0;
	if (unlikely(rt->checks) && b.n)
		check(w, rt, c, &b);
	hear(w, in, c, &b);
	dispatch(w, in, rt, c, &b);
	egress_flush(w);
	return a.n;
}

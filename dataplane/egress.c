/* SPDX-License-Identifier: Apache-2.0 */
#include "dp.h"
#include "limit.h"

static inline struct port_counters *counters(const struct worker *w, struct port *p)
{
	return &p->counters[w->id];
}

static void drop(struct worker *w, struct port *p, enum slc_drop why, struct rte_mbuf *m)
{
	counters(w, p)->drops[why]++;
	rte_pktmbuf_free(m);
}

/* Hand frames to the port's queue, which is ours. Consumes them. */
static void transmit(struct worker *w, struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	struct port_counters *c = counters(w, p);
	uint64_t bytes = 0;
	uint16_t sent;

	/* The kind frees what it takes, so lengths are read before. */
	for (unsigned i = 0; i < n; i++)
		bytes += m[i]->pkt_len;
	sent = p->kp.tx(CMM_LOAD_SHARED(p->kp.txq[queue]), m, n);
	if (unlikely(sent < n)) {
		for (unsigned i = sent; i < n; i++)
			bytes -= m[i]->pkt_len;
		c->drops[SLC_DROP_TX_FULL] += n - sent;
		rte_pktmbuf_free_bulk(m + sent, n - sent);
	}
	c->tx_frames += sent;
	c->tx_bytes += bytes;
}

/* Another worker owns the queue. Consumes the frames. */
static void hand_over(struct worker *w, struct port *p, unsigned owner, struct rte_mbuf **m, uint16_t n)
{
	struct worker *to = w->dp->workers[owner];
	struct handoff h[WORKER_BURST];
	unsigned taken;

	for (unsigned i = 0; i < n; i++)
		h[i] = (struct handoff){.m = m[i], .port = p->idx, .gen = p->gen};
	taken = rte_ring_sp_enqueue_burst_elem(w->flooding ? to->flood_inbox[w->id] : to->inbox[w->id], h, sizeof(h[0]), n, NULL);
	if (unlikely(taken < n)) {
		counters(w, p)->drops[SLC_DROP_TX_HANDOFF] += n - taken;
		rte_pktmbuf_free_bulk(m + taken, n - taken);
	}
	worker_wake(to);
}

/* Drop what is over the out limits; returns how many are left. */
static uint16_t out_limits(struct worker *w, struct port *p, const struct port_rt *rt, struct rte_mbuf **m, uint16_t n)
{
	uint64_t admit = limit_charge(rt->out_bps, rt->out_pps, m, n, w->now_tsc);
	uint16_t kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (admit >> i & 1)
			m[kept++] = m[i];
		else
			drop(w, p, SLC_DROP_LIMIT_OUT, m[i]);
	}
	return kept;
}

void egress_flush_port(struct worker *w, struct port *p, struct tx_buffer *b)
{
	const struct port_rt *rt = rcu_dereference(p->rt);
	const struct port_tx *tx = &p->tx[w->id];
	uint16_t n = b->n;

	b->n = 0;
	if (unlikely(rt->out_bps || rt->out_pps))
		n = out_limits(w, p, rt, b->m, n);
	if (unlikely(n == 0))
		return;
	if (likely(tx->owner == w->id))
		transmit(w, p, tx->queue, b->m, n);
	else
		hand_over(w, p, tx->owner, b->m, n);
}

/* A port's own buffers may go only where the port itself sends them: what another worker holds would outlive them. */
static struct rte_mempool *completion_pool(const struct worker *w, const struct port *p)
{
	struct rte_mempool *own = CMM_LOAD_SHARED(p->kp.pool);

	return own && p->tx[w->id].owner == w->id ? own : w->dp->pool;
}

/* The frame has its final bytes; what the port cannot do for it is done here. */
static __rte_noinline void enqueue_completed(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	struct rte_mbuf *out[OFFLOAD_MAX_SEGS];
	struct offload_done done = {0};
	int n = offload_complete(m, CMM_LOAD_SHARED(p->kp.caps), completion_pool(w, p), out, OFFLOAD_MAX_SEGS, &done);

	if (n < 0) {
		counters(w, p)->drops[n == -ENOMEM ? SLC_DROP_TX_NO_BUFFER : SLC_DROP_TX_OFFLOAD]++;
		return;
	}
	counters(w, p)->csum_completed += done.csums;
	counters(w, p)->segmented += done.segments;
	for (int i = 0; i < n; i++)
		egress_enqueue(w, p, out[i]);
}

static inline void enqueue_final(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	if (likely(offload_fits(m, CMM_LOAD_SHARED(p->kp.caps))))
		egress_enqueue(w, p, m);
	else
		enqueue_completed(w, p, m);
}

/* Is there anything but its VLAN that keeps the frame from leaving by this port? SLC_DROP_N if not. */
static inline enum slc_drop egress_check(const struct port *p, const struct port_rt *rt, const struct rte_mbuf *m,
					 const struct vlan_frame *f)
{
	if (unlikely(rt->down || !CMM_LOAD_SHARED(p->link_up)))
		return SLC_DROP_TX_DOWN;
	/* Tags are not payload; looking at the plain length first keeps the common case to one compare. */
	if (unlikely(m->pkt_len > rt->mtu + 14u) && offload_l3_len(m, 14 + 4 * f->n_tags) > rt->mtu)
		return SLC_DROP_MTU;
	return SLC_DROP_N;
}

void egress_send(struct worker *w, const struct port_rt *in_rt, struct port *out, struct rte_mbuf *m, const struct vlan_frame *f,
		 struct exit *x)
{
	const struct port_rt *rt = rcu_dereference(out->rt);
	enum slc_drop why;
	struct vlan_form form;

	if (unlikely(!vlan_egress_ok(&rt->vlan, f))) {
		drop(w, out, SLC_DROP_VLAN_EGRESS, m);
		return;
	}
	if (unlikely(rt->isolated && in_rt->isolated)) {
		drop(w, out, SLC_DROP_ISOLATED, m);
		return;
	}
	why = egress_check(out, rt, m, f);
	if (unlikely(why != SLC_DROP_N)) {
		drop(w, out, why, m);
		return;
	}
	form = vlan_egress_form(&rt->vlan, f);
	*x = (struct exit){
		.port = out,
		.shape = vlan_shape(f),
		.max_len = rt->mtu + 14 + 4 * f->n_tags,
		.max_segs = CMM_LOAD_SHARED(out->kp.caps) & KIND_CAP_MULTI_SEG ? UINT16_MAX : 1,
		.form = form,
	};
	if (form.strip | form.push) {
		if (unlikely(!vlan_rewrite(m, f, form))) {
			struct rte_mbuf *copy = vlan_rewrite_shared(m, f, form, w->dp->pool);

			rte_pktmbuf_free(m);
			if (!copy) {
				counters(w, out)->drops[SLC_DROP_TX_NO_BUFFER]++;
				return;
			}
			m = copy;
		}
	}
	enqueue_final(w, out, m);
}

/* Forms that a flooded frame was made into so far, shared by all members that need the same. Three exist at most: see vlan_egress_form(). */
struct forms {
	unsigned n;
	struct {
		struct vlan_form form;
		struct rte_mbuf *m;
	} made[4];
};

static struct rte_mbuf *form_get(struct worker *w, struct forms *fs, struct rte_mbuf *m, const struct vlan_frame *f,
				 struct vlan_form form)
{
	for (unsigned i = 0; i < fs->n; i++) {
		if (fs->made[i].form.strip == form.strip && fs->made[i].form.push == form.push) {
			rte_pktmbuf_refcnt_update(fs->made[i].m, 1);
			return fs->made[i].m;
		}
	}
	if (fs->n == RTE_DIM(fs->made))
		return NULL;
	if (!(form.strip | form.push)) {
		rte_pktmbuf_refcnt_update(m, 1);
	} else {
		m = vlan_rewrite_shared(m, f, form, w->dp->pool);
		if (!m)
			return NULL;
	}
	fs->made[fs->n].form = form;
	fs->made[fs->n++].m = m;
	rte_pktmbuf_refcnt_update(m, 1);
	return m;
}

static bool storm_over(struct worker *w, struct meter *storm, uint16_t vid)
{
	uint64_t admit = 1;

	meter_charge(storm, NULL, 1, &admit, w->now_tsc);
	if (admit)
		return false;
	/* Shared by the workers, but written only for frames that are being dropped. */
	__atomic_fetch_add(&w->dp->storm_drops[vid], 1, __ATOMIC_RELAXED);
	return true;
}

/*
 * A flooded frame for a port that another worker sends for: by the ring of flooded frames, so that what one broadcast becomes cannot take
 * the room of other ports' unicast. What waits in the buffer goes first, by its own ring.
 */
static void flood_over(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	struct tx_buffer *b = &w->tx[p->idx];

	if (b->n)
		egress_flush_port(w, p, b);
	w->flooding = true;
	enqueue_final(w, p, m);
	if (b->n)
		egress_flush_port(w, p, b);
	w->flooding = false;
}

void egress_flood(struct worker *w, struct port *in, const struct port_rt *in_rt, struct rte_mbuf *m, const struct vlan_frame *f)
{
	const struct vlan_members *vm = rcu_dereference(w->dp->vlans[f->vid]);
	struct forms fs = {.n = 0};
	unsigned reached = 0;

	if (unlikely(vm->storm && storm_over(w, vm->storm, f->vid))) {
		drop(w, in, SLC_DROP_STORM, m);
		return;
	}
	counters(w, in)->flooded++;

	for (unsigned i = 0; i < vm->n; i++) {
		struct port *p = rcu_dereference(w->dp->ports[vm->port[i]]);
		const struct port_rt *rt;
		struct rte_mbuf *copy;
		enum slc_drop why;

		if (!p || p == in)
			continue;
		rt = rcu_dereference(p->rt);
		/* Not meant for this member: no drop. (The list is by VLAN; what is inside, and a configuration newer than the list, is checked here.) */
		if (!vlan_egress_ok(&rt->vlan, f) || (rt->isolated && in_rt->isolated))
			continue;
		reached++;
		why = egress_check(p, rt, m, f);
		if (why != SLC_DROP_N) {
			counters(w, p)->drops[why]++;
			continue;
		}
		copy = form_get(w, &fs, m, f, vlan_egress_form(&rt->vlan, f));
		if (unlikely(!copy)) {
			counters(w, p)->drops[SLC_DROP_TX_NO_BUFFER]++;
			continue;
		}
		if (p->tx[w->id].owner == w->id)
			enqueue_final(w, p, copy);
		else
			flood_over(w, p, copy);
	}
	for (unsigned i = 0; i < fs.n; i++)
		rte_pktmbuf_free(fs.made[i].m);
	if (reached)
		rte_pktmbuf_free(m);
	else
		drop(w, in, SLC_DROP_NO_MEMBER, m);
}

static void drop_gone(struct worker *w, struct rte_mbuf **m, unsigned n)
{
	w->c.gone += n;
	rte_pktmbuf_free_bulk(m, n);
}

void egress_flush(struct worker *w)
{
	for (unsigned i = 0; i < w->n_touched; i++) {
		struct tx_buffer *b = &w->tx[w->touched[i]];

		b->touched = false;
		if (b->n) {
			/* The pointer was valid when the frame was enqueued, in this same read-side section. */
			struct port *p = rcu_dereference(w->dp->ports[w->touched[i]]);

			if (likely(p != NULL)) {
				egress_flush_port(w, p, b);
			} else {
				drop_gone(w, b->m, b->n);
				b->n = 0;
			}
		}
	}
	w->n_touched = 0;
}

/* One burst of what another worker handed over. */
static unsigned inbox_burst(struct worker *w, struct rte_ring *ring)
{
	struct rte_mbuf *m[WORKER_BURST];
	struct handoff h[WORKER_BURST];
	unsigned n = rte_ring_sc_dequeue_burst_elem(ring, h, sizeof(h[0]), WORKER_BURST, NULL), run;

	for (unsigned i = 0; i < n; i += run) {
		struct port *p = rcu_dereference(w->dp->ports[h[i].port]);

		for (run = 0; i + run < n && h[i + run].port == h[i].port && h[i + run].gen == h[i].gen; run++)
			m[run] = h[i + run].m;
		if (likely(p && p->gen == h[i].gen))
			transmit(w, p, p->tx[w->id].queue, m, run);
		else
			drop_gone(w, m, run);
	}
	return n;
}

static unsigned inbox_drain(struct worker *w, struct rte_ring *ring)
{
	unsigned total = 0, n = WORKER_BURST;

	for (unsigned i = 0; i < WORKER_INBOX && n == WORKER_BURST; i++) {
		n = inbox_burst(w, ring);
		total += n;
	}
	return total;
}

unsigned egress_inbox(struct worker *w)
{
	unsigned total = 0;

	for (unsigned from = 0; from < w->dp->n_workers; from++) {
		if (from == w->id)
			continue;
		total += inbox_drain(w, w->inbox[from]);
		total += inbox_drain(w, w->flood_inbox[from]);
	}
	return total;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_EGRESS_H
#define DATAPLANE_EGRESS_H

/*
 * Out: from a decision (this frame leaves by that port) to the port's queue.
 *
 *   egress_send()/egress_flood()      egress_flush(), end of each burst
 *      checks: VLAN, isolation,  -->  tx buffer     -->  out limits --> own queue: the kind's tx
 *      MTU, down; tags; offloads      (per port)                   `--> another worker's queue: handoff ring --> egress_inbox()
 *
 * Between two workers there are two rings, one for unicast and one for flooded frames: a broadcast to a hundred members of another worker
 * must not take the room of its other ports' unicast.
 *
 * Frames wait in a buffer for each port until the burst ends, so the kind sees bursts too, and a burst is sent before the worker looks
 * for the next: nothing lingers. A port whose queue is full loses its own frames (TX_FULL); nobody waits for it.
 *
 * Flood. The members of the VLAN are a list; each that passes the checks needs the frame in one of two forms: with the
 * switch's tag or without. One form is the frame itself, shared by reference count; the other is a small first segment in front of a
 * reference to the same data (vlan.h). The payload is never copied, whatever the number of members.
 *
 * Every function: worker, inside a read-side section. They consume the frame.
 */

#include "offload.h"
#include "worker.h"

/* The members of a VLAN and its storm meter: immutable, RCU; never NULL in dp->vlans[]. */
struct vlan_members {
	struct meter *storm; /* NULL: no limit */
	unsigned n;
	uint16_t port[];
};

/* Append to the port's buffer a frame that is ready to leave. */
static inline void egress_enqueue(struct worker *w, struct port *p, struct rte_mbuf *m);

/*
 * Unicast, where the way out was worked out before.
 *
 * Frames come in runs: what was found out about the last one (its port's configuration, its VLAN there, the change of its tags, the
 * longest frame) holds for the next of the same shape to the same port. An exit remembers it, within one burst of one port:
 * a match costs four compares.
 */
struct exit {
	struct port *port; /* NULL: nothing is remembered */
	uint64_t shape;	   /* of the frames that it is good for */
	uint32_t max_len;  /* of those frames, tags included */
	uint16_t max_segs;
	struct vlan_form form;
};

/* Unicast to port `out`, which is not `in`; drops are charged to `out`. Remembers the way in *x if it has no obstacle. */
void egress_send(struct worker *w, const struct port_rt *in_rt, struct port *out, struct rte_mbuf *m, const struct vlan_frame *f,
		 struct exit *x);

/* Send by the exit, if it is good for this frame. false: use egress_send(). */
static inline bool egress_repeat(struct worker *w, const struct exit *x, const struct port *out, struct rte_mbuf *m,
				 const struct vlan_frame *f)
{
	/* Joined into one branch; ints, because clang takes `|` between truth values for a slip. */
	int other = (int)(x->port != out) | (int)(x->shape != vlan_shape(f)) | (int)(m->pkt_len > x->max_len) |
		    (int)(m->nb_segs > x->max_segs) | (int)offload_asks(m);

	if (unlikely(other))
		return false;
	if ((x->form.strip | x->form.push) && unlikely(!vlan_rewrite(m, f, x->form)))
		return false;
	egress_enqueue(w, x->port, m);
	return true;
}

/* To every other member of the VLAN, under its storm limit. STORM and NO_MEMBER are charged to `in`. */
void egress_flood(struct worker *w, struct port *in, const struct port_rt *in_rt, struct rte_mbuf *m, const struct vlan_frame *f);

/* Send what one port's buffer holds: it is full. */
void egress_flush_port(struct worker *w, struct port *p, struct tx_buffer *b);

static inline void egress_enqueue(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	struct tx_buffer *b = &w->tx[p->idx];

	if (unlikely(!b->touched)) {
		b->touched = true;
		w->touched[w->n_touched++] = p->idx;
	}
	b->m[b->n++] = m;
	if (unlikely(b->n == WORKER_BURST))
		egress_flush_port(w, p, b);
}

/* Send everything that the buffers hold. */
void egress_flush(struct worker *w);

/* Send what other workers handed over. Returns the number of frames. */
unsigned egress_inbox(struct worker *w);

#endif

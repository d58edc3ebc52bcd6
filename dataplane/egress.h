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
 * Frames wait in a buffer for each port until the burst ends, so the kind sees bursts too, and a burst is sent before the worker looks
 * for the next: nothing lingers. A port whose queue is full loses its own frames (TX_FULL); nobody waits for it.
 *
 * Flood. The members of the VLAN are a list; each that passes the checks needs the frame in one of two forms: with the
 * switch's tag or without. One form is the frame itself, shared by reference count; the other is a small first segment in front of a
 * reference to the same data (vlan.h). The payload is never copied, whatever the number of members.
 *
 * Every function: worker, inside a read-side section. They consume the frame.
 */

#include "worker.h"

/* The members of a VLAN and its storm meter: immutable, RCU; never NULL in dp->vlans[]. */
struct vlan_members {
	struct meter *storm; /* NULL: no limit */
	unsigned n;
	uint16_t port[];
};

/* Unicast to port `out`, which is not `in`. Drops are charged to `out`. */
void egress_send(struct worker *w, const struct port_rt *in_rt, struct port *out, struct rte_mbuf *m, const struct vlan_frame *f);

/* To every other member of the VLAN, under its storm limit. STORM and NO_MEMBER are charged to `in`. */
void egress_flood(struct worker *w, struct port *in, const struct port_rt *in_rt, struct rte_mbuf *m, const struct vlan_frame *f);

/* Send everything that the buffers hold. */
void egress_flush(struct worker *w);

/* Send what other workers handed over. Returns the number of frames. */
unsigned egress_inbox(struct worker *w);

#endif

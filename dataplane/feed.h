/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_FEED_H
#define DATAPLANE_FEED_H

/*
 * The event feed: how what happens on workers and ports becomes dp_event (dataplane.h), while somebody listens.
 *
 *      worker 0: learn() --> ring --+
 *      worker 1: learn() --> ring --+--> drained every tick, oldest first --> rate limit --+--> the listener's callback
 *      fdb_tend(): aged  --> ring --+                          (what is over it: a count)  |
 *      port_refresh(), txn_retire(): link notes ------ at the next dp_dispatch() ----------+
 *      counters of ports, compared once a second ------------------------------------------+
 *
 * Cost. dp->feed is NULL while nobody listens, and a worker looks at it only where it has just learned an address, which is off the
 * common path. With a listener it writes 32 bytes into a ring of its own that one thread reads: no lock, no wake-up, no system call.
 * A full ring loses the note and counts it: the feed tells of learning, the forwarding database itself is what is true.
 *
 * Names. A note holds port numbers and generations; the name is looked up when the note is drained. A note whose port has gone meanwhile
 * is dropped; dp_commit() has them drained before ports go. Link notes wait for the next dispatch rather than being told by whoever
 * found out, so that a listener hears of a port from the one who applied it before it hears of its link.
 *
 * Full. FEED_RING notes a worker between two ticks (100 ms), FEED_FDB_RATE address events a second; both end in one
 * DP_EVENT_FDB_OMITTED a second. FEED_LINKS link notes between two dispatches; beyond that the links are compared instead, so a
 * port that went down and up again between two dispatches is not told, but the last state always is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"

#define FEED_RING     1024
#define FEED_LINKS    1024
#define FEED_FDB_RATE 1000 /* address events a second, and so many at once */

struct port;
struct worker;

struct feed_note {
	uint64_t key, tsc;
	uint32_t gen, from_gen; /* of the ports, as in struct port */
	uint16_t port, from;	/* from: FDB_NO_PORT if the address is new */
};

/* One writer, one reader. */
struct feed_ring {
	uint32_t head __attribute__((aligned(64))); /* the writer's; pairs with the reader's acquire */
	uint64_t lost;
	uint32_t tail __attribute__((aligned(64))); /* the reader's; pairs with the writer's acquire */
	struct feed_note notes[FEED_RING] __attribute__((aligned(64)));
};

struct feed;

/* Worker `w` learned `key` behind `p`; `from` is where it was, FDB_NO_PORT: nowhere. Read-side section. Call if dp->feed is not NULL. */
void feed_learned(struct worker *w, const struct feed *feed, uint64_t key, const struct port *p, uint16_t from);

/* The rest is the control thread's. Each is a no-op while nobody listens. */

/* The port's link may differ from what was told last. */
void feed_link(struct port *p);
/* Once a tick; `second`: this is also the tick that begins a second. */
void feed_tick(struct dp *dp, bool second);

#endif

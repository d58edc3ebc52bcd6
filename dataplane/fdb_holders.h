/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_FDB_HOLDERS_H
#define DATAPLANE_FDB_HOLDERS_H

/*
 * Which port holds which learned entries, and which port holds most: what a full forwarding database needs to be fair.
 *
 *   heap (max at 0)      holders, one a port           links, one a slot of the table
 *   +---+---+---+-       +-----------------------+
 *   | 7 | 2 | 5 |        | 7: n, oldest, newest  | ---> 19 <-> 4 <-> 1023 <-> 77      order of learning
 *   +---+---+---+-       +-----------------------+
 *     `--- at <----------'
 *
 * The lists run through an array of index pairs that lies beside the table and is as long; it is handed in with each call, since
 * growth replaces it. Every port is in the heap, those that hold nothing too: they sink to its end and cost nothing there.
 *
 * Only the holder of the writer flag calls these (see fdb.h). Nothing allocates but fdb_holders_init(). Work is bounded by log2 of
 * the number of ports. `n` is also read by other threads, by plain atomic loads.
 */

#include <stdint.h>

#define FDB_NONE UINT32_MAX /* no slot */

struct fdb_link {
	uint32_t prev, next; /* slot numbers: towards the oldest, towards the newest; FDB_NONE at the ends */
};

struct fdb_holder {
	uint32_t n;	  /* learned entries */
	uint32_t statics; /* static entries: counted here, on no list */
	uint32_t limit;	  /* learned entries at most, 0: none */
	uint32_t oldest, newest;
	uint16_t at; /* place in the heap */
};

struct fdb_holders {
	struct fdb_holder *port;
	uint16_t *heap;
	uint16_t n_ports;
};

/* 0 or -ENOMEM. */
int fdb_holders_init(struct fdb_holders *h, uint16_t n_ports);
void fdb_holders_fini(struct fdb_holders *h);

/* `slot` is now the newest entry of `port`. */
void fdb_holders_add(struct fdb_holders *h, struct fdb_link *links, uint16_t port, uint32_t slot);
/* `slot`, an entry of `port`, goes. */
void fdb_holders_del(struct fdb_holders *h, struct fdb_link *links, uint16_t port, uint32_t slot);
/* The entry of `port` in slot `from` went to slot `to`; its place in the list stays. */
void fdb_holders_renumber(struct fdb_holders *h, struct fdb_link *links, uint16_t port, uint32_t from, uint32_t to);

/* The port that holds most learned entries; one of them if there are several. */
static inline uint16_t fdb_holders_largest(const struct fdb_holders *h)
{
	return h->heap[0];
}

#endif

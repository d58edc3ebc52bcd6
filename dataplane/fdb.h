/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_FDB_H
#define DATAPLANE_FDB_H

/*
 * The forwarding database: behind which port is (VLAN, MAC).
 *
 * One table for the node. Every worker looks two addresses up for every frame, so a look-up costs one cache line, no lock and no
 * write; a new or moved address is learned by the worker that saw it, at once, so that the answer to the first frame is not
 * flooded.
 *
 *   key (60 bits) = vlan << 48 | mac                        slot: 16 bytes, four to a cache line
 *        |                                                  +----------------------+----------------------+
 *        | mixed with two secret odd multipliers            | key | USED           | port | flags | heard  |
 *        v                                                  +----------------------+----------------------+
 *   bucket i ----------> [slot][slot][slot][slot]   <- first choice: filled first, so most look-ups touch only this line
 *   bucket j (!= i) ---> [slot][slot][slot][slot]   <- second choice
 *
 * The hash is keyed with random numbers because a guest chooses its addresses: with a public or a linear hash (CRC, whatever its
 * seed) it could fill the two buckets of a neighbour's address. If both buckets are full, one entry is moved to its other bucket,
 * or there after one that moves first; if that does not help, the newcomer replaces an entry of the larger holder among the ports
 * concerned, by the rule below.
 *
 * Readers and the one writer. A slot is cleared key first and written value first, key last (release), and its value counts its
 * turns; a reader loads the value, the key and the value again (acquire), and believes them if the turn is the same. A slot that
 * changes hands between these loads is seen as a miss or as the new entry, never as a mixture; should a reader still act on an
 * entry that died a moment ago, the egress port's VLAN check stands behind it. An entry that is moved between its buckets is in
 * both for a moment; a reader that finds it in neither looks at a count of moves and, if it has changed, looks again. So a known
 * address is never missed, and a static one never passes for unknown. "When heard" is part of the value: any worker refreshes it
 * with a compare-and-swap, at most once a second, and does not care if that fails.
 *
 * Everything else (insert, move, remove, count) is done by one thread at a time: whoever takes the writer flag, by one
 * compare-and-swap. A worker that does not get it never waits: fdb_learn() returns -EAGAIN, the caller keeps the address in a small
 * list of its own and tries again at its next burst; the frame is forwarded meanwhile. What a worker does under the flag is
 * bounded: two buckets, rarely the eight that their entries could go to, at worst the forty beyond; and the heap of holders (log2
 * of the ports). The control thread takes the same flag for at most FDB_CHUNK slots at a time, and is next once it has said that it
 * waits.
 *
 * Full. Each port's entries hang on a list in the order in which they were learned (index links in an array beside the table,
 * touched only by the writer), and the ports are a max-heap by count. When the table holds `max`, the newcomer replaces an entry of
 * the port that holds most: of the FDB_LOOK oldest on its list, the one not heard of for longest. A port that holds as many as any
 * gives of its own. So a port that floods addresses ends up as the largest holder and evicts its own; a port with ten addresses
 * keeps its ten. If it is the two buckets that are full, the same holds among the ports of their eight entries; a newcomer whose
 * port has none there and holds as many as any of them is not learned (-ENOSPC). Static entries are on no list and are never
 * evicted. A port or VLAN at its own limit learns nothing new (-ENOSPC) until entries age; limits count learned entries only.
 *
 * Growth. The table starts small (it is dense then, which is what a cache likes) and doubles when it is half full, up to what
 * `max` needs: the control thread copies it while it holds the flag (learning pauses, look-ups do not), publishes the new
 * pointer, and frees the old table after a grace period. The worker that notices only raises fdb_wants_room(); until
 * fdb_tend() has come, the table fills on, to about nine tenths, moving entries to make room. It never shrinks: what a flood has
 * grown is mapped, and not touched by look-ups.
 *
 * Memory: anonymous, transparent huge pages asked for; 16 + 8 bytes a slot, so 48 MB for a million addresses, and 72 MB while
 * the last doubling is copied.
 *
 * Time: now_s is a monotonic clock's second, below 2^32. The workers' and the control thread's may differ by one.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>

#define FDB_CHUNK   4096 /* slots the control thread looks at while it holds the writer flag */
#define FDB_LOOK    8	 /* candidates for eviction */
#define FDB_NO_PORT 0xffff

/* Where an address is: what a look-up returns, by value. */
struct fdb_hit {
	uint16_t port; /* index, or FDB_NO_PORT: unknown */
	bool is_static;
};

struct fdb;

/* The key of an address. `vlan` 0-4095. */
static inline uint64_t fdb_key(uint16_t vlan, const struct rte_ether_addr *mac)
{
	uint32_t hi;
	uint16_t lo;

	__builtin_memcpy(&hi, mac->addr_bytes, 4);
	__builtin_memcpy(&lo, mac->addr_bytes + 4, 2);
	return (uint64_t)vlan << 48 | (uint64_t)lo << 32 | hi;
}

/* A key's VLAN and address again. */
void fdb_key_split(uint64_t key, uint16_t *vlan, struct rte_ether_addr *mac);

/*
 * Make a table for `max` entries at most (1..16M) of ports 0..n_ports-1. Control thread. NULL when out of memory.
 * `quiesce(arg)` must return when every reader has passed a quiescent state.
 */
struct fdb *fdb_new(uint32_t max, uint16_t n_ports, void (*quiesce)(void *arg), void *arg);
/* No reader is left. */
void fdb_free(struct fdb *f);

/*
 * Look-ups, in three steps so that a burst's cache misses overlap:
 *   h[i] = fdb_hash(f, key[i]); fdb_prefetch(f, h[i]);   for the whole burst
 *   hit = fdb_lookup(f, key[i], h[i]);                   for the whole burst
 *
 * Any worker, inside one read-side section (between two quiescent states); never blocks. A hash is valid for every size of the
 * table.
 */
static inline uint64_t fdb_hash(const struct fdb *f, uint64_t key);
static inline void fdb_prefetch(const struct fdb *f, uint64_t hash);
static inline struct fdb_hit fdb_lookup(const struct fdb *f, uint64_t key, uint64_t hash);

/* What came of hearing an address. */
enum fdb_heard {
	FDB_KNOWN = 0, /* it was here already (and is now marked as heard at now_s) */
	FDB_NEW,       /* unknown, or known elsewhere and not static: call fdb_learn() */
	FDB_BOUND,     /* statically bound to another port: the frame must not pass */
};

/*
 * A frame with source `key` came in by `port` at now_s. The common case (known, heard within this second) writes nothing. Any
 * worker, read-side section.
 */
static inline enum fdb_heard fdb_hear(struct fdb *f, uint64_t key, uint64_t hash, uint16_t port, uint32_t now_s);

/*
 * Learn that `key` is behind `port` (below the table's n_ports), or move it there. Any worker, read-side section; never waits.
 * 0 learned, or there already; 1 moved from another port; -EAGAIN another thread is writing, try at the next burst; -ENOSPC the
 * port's or VLAN's limit, or the table is full and nobody holds more: a known address then stays where it is; -EPERM bound
 * statically elsewhere.
 */
int fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s);

/* The same, and *from says where the address was: FDB_NO_PORT if it was new, `port` if it was here. Unchanged on an error. */
int fdb_learn_from(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s, uint16_t *from);

/*
 * The table is more than half full and can grow: whoever sees this after learning wakes the control thread, to call fdb_tend() now
 * rather than at its next second. Any thread.
 */
bool fdb_wants_room(const struct fdb *f);

/* --- control thread only from here: these wait for the writer flag ----------------------------------------------------------- */

/* Learned entries at most; 0: no limit but the table. Entries over a new, lower limit stay until they age. */
void fdb_limit_port(struct fdb *f, uint16_t port, uint32_t limit);
void fdb_limit_vlan(struct fdb *f, uint16_t vlan, uint32_t limit);
/* Seconds without a frame until an entry of this VLAN is removed. */
void fdb_aging_vlan(struct fdb *f, uint16_t vlan, uint32_t aging_s);

/* From now on tell of each entry that ages, under the writer flag: `aged` must be quick and call nothing of this table. NULL: nobody. */
void fdb_on_age(struct fdb *f, void (*aged)(void *arg, uint64_t key, uint16_t port), void *arg);

/*
 * Bind an address to a port for good. Replaces a learned entry of the same address; in a full table, another one by the rule above.
 * 0, also if it is bound to this port already (binds are not counted: one fdb_unbind() undoes them); -EEXIST it is bound to another
 * port; -ENOSPC the table holds `max` static entries. fdb_reserve() makes room beforehand, so that `n` fdb_bind() calls after it
 * cannot fail for lack of it: 0, -ENOSPC, -ENOMEM. ("Cannot": with the slots at most half taken by static entries, that forty
 * random buckets are full has a chance below 1e-30.) Both may grow the table, which waits for a grace period.
 */
int fdb_reserve(struct fdb *f, uint32_t n);
int fdb_bind(struct fdb *f, uint64_t key, uint16_t port);
/* Undo fdb_bind(). -ENOENT if it is not bound to this port. */
int fdb_unbind(struct fdb *f, uint64_t key, uint16_t port);

/*
 * Remove learned entries: of a port, of a VLAN, of both (-1: any). Works in chunks of FDB_CHUNK. Returns how many. What was there
 * at the call is gone at the return; what workers learn meanwhile may stay or go.
 */
uint32_t fdb_flush(struct fdb *f, int port, int vlan);

/*
 * Housekeeping, called about once a second: remove what has aged (at most `budget` slots are looked at, going round), grow if more
 * than half full. Returns true if the round is not over, since the table is larger than the budget: come back soon; false if the
 * next second will do. Without memory to grow it goes on at the old size and tries again in another second.
 */
bool fdb_tend(struct fdb *f, uint32_t now_s, uint32_t budget);

struct fdb_entry {
	uint64_t key;
	uint16_t port;
	bool is_static;
	uint32_t heard_s; /* time of the last frame; 0 for static ones */
};

/*
 * The next entry at or after *cursor (start with 0), moving *cursor past it. false at the end, and from then on. Takes no flag: see
 * dp_fdb_walk(). A cursor stays good when the table grows.
 */
bool fdb_next(const struct fdb *f, uint64_t *cursor, struct fdb_entry *e);

/* The entry of this address, if it has one. */
bool fdb_get(const struct fdb *f, uint64_t key, struct fdb_entry *e);

/* Entries, static ones too, and slots of the table. Any thread. */
uint32_t fdb_count(const struct fdb *f);
uint32_t fdb_count_port(const struct fdb *f, uint16_t port);
uint32_t fdb_count_vlan(const struct fdb *f, uint16_t vlan);
uint32_t fdb_slots(const struct fdb *f);

#include "fdb_inline.h"

#endif

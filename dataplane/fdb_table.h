/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_FDB_TABLE_H
#define DATAPLANE_FDB_TABLE_H

/*
 * The writer's side of the forwarding database, private to fdb*.c: what fdb.h calls "everything else".
 *
 *   fdb.c          the rules: who may learn, who is bound, who is evicted
 *   fdb_tend.c     the control thread's rounds: flushing, ageing, growing, showing
 *   fdb_table.c    the slots: finding, making room in two buckets, growing
 *   fdb_holders.c  the ports: their lists and which is the largest
 *
 * All of it is called by whoever has the writer flag, unless said otherwise. A slot is known by its number: bucket * FDB_WAYS +
 * way.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "fdb.h"
#include "fdb_holders.h"

#define FDB_LEAST_SLOTS 64

/* One table of slots and the links beside it, in one mapping. */
struct fdb_table {
	struct fdb_slot *slots;
	struct fdb_link *links;
	uint32_t n_slots; /* power of two */
	unsigned shift;	  /* 32 - log2(buckets) */
	void *map;
	size_t map_bytes;
};

struct fdb_vlan {
	uint32_t n;	  /* learned entries */
	uint32_t statics; /* static entries */
	uint32_t limit;	  /* learned entries at most, 0: none */
	uint32_t aging_s;
};

/*
 * The writer flag. Workers take it from 0 only, so that the control thread, once it has said that it waits, is next however many
 * workers learn.
 */
enum { FDB_HELD = 1, FDB_WAITED = 2 };

struct fdb_writer {
	unsigned flag __attribute__((aligned(FDB_LINE)));
	bool wants_room; /* set by the writer, cleared by fdb_tend(); read by anybody */

	struct fdb_table t __attribute__((aligned(FDB_LINE)));
	uint32_t max, max_slots;
	uint32_t count;	  /* entries */
	uint32_t statics; /* of these, static ones */
	bool no_memory;	  /* the last attempt to grow failed, at no_memory_s */
	uint32_t no_memory_s;
	uint32_t age_at; /* slot where fdb_tend() goes on */
	struct fdb_holders holders;
	/* A flush that goes through the table now: an entry that it means is removed instead of moved, lest it slip past. */
	struct {
		bool on;
		int port, vlan;
		uint32_t removed;
	} flush;
	void (*quiesce)(void *arg);
	void *arg;
	void (*aged)(void *arg, uint64_t key, uint16_t port); /* NULL: nobody wants to know */
	void *aged_arg;
	struct fdb_vlan vlan[DP_VLAN_N];
};

/* --- the flag ------------------------------------------------------------------------------------------------------------- */

/* Worker: false if another thread writes or the control thread waits to. */
bool fdb_writer_try(struct fdb_writer *w);
/* Control thread. Waits. */
void fdb_writer_take(struct fdb_writer *w);
/* Either. */
void fdb_writer_drop(struct fdb_writer *w);

/* --- the table (fdb_table.c) ------------------------------------------------------------------------------------------------ */

/* Map a table of n_slots (power of two, >= 2 * FDB_WAYS), zeroed and with every page there. 0 or -ENOMEM. Needs no flag. */
int fdb_table_map(struct fdb_table *t, uint32_t n_slots);
void fdb_table_unmap(struct fdb_table *t);
/* What readers are to see of it. */
uintptr_t fdb_table_pack(const struct fdb_table *t);

/* Slot of key, or FDB_NONE. */
uint32_t fdb_table_find(const struct fdb *f, uint64_t key, uint64_t hash);
/* First slots of the two buckets of a hash. */
void fdb_table_buckets(const struct fdb_table *t, uint64_t hash, uint32_t first[2]);
/*
 * A free slot in one of the hash's two buckets, made by moving other entries if need be: one entry to its other bucket, or one
 * after another. At most 2 * FDB_WAYS * (1 + FDB_WAYS) buckets are looked at. FDB_NONE if that does not help.
 */
uint32_t fdb_table_room(struct fdb *f, uint64_t hash);

/* Write an entry into a free slot; change its value; clear it. Nothing is counted. */
void fdb_slot_fill(struct fdb_slot *s, uint64_t key, uint64_t val);
void fdb_slot_change(struct fdb_slot *s, uint64_t val);
void fdb_slot_clear(struct fdb_slot *s);

/*
 * Go over to a table of n_slots, larger than this one. Control thread, WITHOUT the flag: takes it for the copy, and waits a grace
 * period after it. 0, or -ENOMEM and nothing has changed.
 */
int fdb_table_grow(struct fdb *f, uint32_t n_slots);

/* The least table with so many slots. */
static inline uint32_t fdb_table_size(uint64_t at_least)
{
	uint64_t n = FDB_LEAST_SLOTS;

	while (n < at_least)
		n *= 2;
	return (uint32_t)n;
}

/* --- entries (fdb.c) -------------------------------------------------------------------------------------------------------- */

/* Remove the entry in `slot`, static or learned, from table, list and counts. */
void fdb_forget(struct fdb *f, uint32_t slot);
/* Is this a learned entry that the running flush means? (fdb_tend.c) */
bool fdb_flush_means(const struct fdb_writer *w, uint64_t key, uint64_t val);

static inline uint16_t fdb_key_vlan(uint64_t key)
{
	return key >> 48 & 0xfff;
}

static inline uint64_t fdb_slot_val(const struct fdb_slot *s)
{
	return __atomic_load_n(&s->val, __ATOMIC_RELAXED);
}

/* Counts are written under the flag and read by anybody. */
static inline void fdb_add(uint32_t *count, int by)
{
	__atomic_store_n(count, *count + (uint32_t)by, __ATOMIC_RELAXED);
}

#endif

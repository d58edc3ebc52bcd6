/* SPDX-License-Identifier: Apache-2.0 */
#include "fdb_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES (2u << 20)
#define PAGE_BYTES 4096u

/* --- memory ----------------------------------------------------------------------------------------------------------------- */

int fdb_table_map(struct fdb_table *t, uint32_t n_slots)
{
	size_t slot_bytes = (size_t)n_slots * sizeof(struct fdb_slot);
	size_t bytes = slot_bytes + (size_t)n_slots * sizeof(struct fdb_link);
	bool huge = bytes >= HUGE_BYTES;
	char *base;

	/* A huge page must begin at a multiple of its size, which older kernels do not see to by themselves. */
	t->map_bytes = bytes + (huge ? HUGE_BYTES : 0);
	t->map = mmap(NULL, t->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->map == MAP_FAILED)
		return -ENOMEM;
	base = t->map;
	if (huge) {
		base = (char *)(((uintptr_t)base + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
		/* Refused where the kernel has no huge pages: it works with small ones too. */
		(void)madvise(base, bytes, MADV_HUGEPAGE);
	}
	/* Fault the pages in now: the copy, which learning waits for, should not. */
	for (size_t i = 0; i < bytes; i += PAGE_BYTES)
		*(volatile char *)(base + i) = 0;
	t->slots = (struct fdb_slot *)base;
	t->links = (struct fdb_link *)(base + slot_bytes);
	t->n_slots = n_slots;
	t->shift = 32 - (unsigned)__builtin_ctz(n_slots / FDB_WAYS);
	return 0;
}

void fdb_table_unmap(struct fdb_table *t)
{
	munmap(t->map, t->map_bytes);
}

uintptr_t fdb_table_pack(const struct fdb_table *t)
{
	return (uintptr_t)t->slots | t->shift;
}

/* --- slots ------------------------------------------------------------------------------------------------------------------ */

/* These pair with fdb_match(). What the caller's value has for a turn does not matter. */
void fdb_slot_fill(struct fdb_slot *s, uint64_t key, uint64_t val)
{
	uint64_t turn = (fdb_slot_val(s) + FDB_TURN) & FDB_TURNS;

	__atomic_store_n(&s->val, (val & ~FDB_TURNS) | turn, __ATOMIC_RELEASE);
	__atomic_store_n(&s->key, key | FDB_USED, __ATOMIC_RELEASE);
}

void fdb_slot_change(struct fdb_slot *s, uint64_t val)
{
	__atomic_store_n(&s->val, (val & ~FDB_TURNS) | (fdb_slot_val(s) & FDB_TURNS), __ATOMIC_RELEASE);
}

void fdb_slot_clear(struct fdb_slot *s)
{
	__atomic_store_n(&s->key, 0, __ATOMIC_RELEASE);
}

void fdb_table_buckets(const struct fdb_table *t, uint64_t hash, uint32_t first[2])
{
	first[0] = ((uint32_t)hash >> t->shift) * FDB_WAYS;
	first[1] = ((uint32_t)(hash >> 32) >> t->shift) * FDB_WAYS;
}

uint32_t fdb_table_find(const struct fdb *f, uint64_t key, uint64_t hash)
{
	const struct fdb_table *t = &f->w->t;
	uint32_t first[2];

	fdb_table_buckets(t, hash, first);
	for (unsigned b = 0; b < 2; b++)
		for (uint32_t s = first[b]; s < first[b] + FDB_WAYS; s++)
			if (t->slots[s].key == (key | FDB_USED))
				return s;
	return FDB_NONE;
}

static uint32_t free_slot(const struct fdb_table *t, uint32_t first)
{
	for (uint32_t s = first; s < first + FDB_WAYS; s++)
		if (t->slots[s].key == 0)
			return s;
	return FDB_NONE;
}

/* First slot of the bucket where the entry in `slot` could be as well. */
static uint32_t other_bucket(const struct fdb *f, uint32_t slot)
{
	const struct fdb_table *t = &f->w->t;
	uint32_t first[2];

	fdb_table_buckets(t, fdb_hash(f, t->slots[slot].key & ~FDB_USED), first);
	return first[0] == slot - slot % FDB_WAYS ? first[1] : first[0];
}

/* Move the entry in `from` to the free slot `to`: at every moment a reader finds it in one of them. See struct fdb, moves. */
static void displace(struct fdb *f, uint32_t from, uint32_t to)
{
	struct fdb_writer *w = f->w;
	struct fdb_slot *s = &w->t.slots[from];
	uint64_t key = s->key & ~FDB_USED, val = fdb_slot_val(s);

	if (w->flush.on && fdb_flush_means(w, key, val)) {
		fdb_forget(f, from);
		w->flush.removed++;
		return;
	}
	fdb_slot_fill(&w->t.slots[to], key, val);
	__atomic_store_n(&f->moves, f->moves + 1, __ATOMIC_RELEASE);
	fdb_slot_clear(s);
	if (!(val & FDB_FIXED))
		fdb_holders_renumber(&w->holders, w->t.links, (uint16_t)val, from, to);
}

uint32_t fdb_table_room(struct fdb *f, uint64_t hash)
{
	const struct fdb_table *t = &f->w->t;
	uint32_t first[2], other[2 * FDB_WAYS], to;

	fdb_table_buckets(t, hash, first);
	for (unsigned b = 0; b < 2; b++)
		if ((to = free_slot(t, first[b])) != FDB_NONE)
			return to;
	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		other[i] = other_bucket(f, first[i / FDB_WAYS] + i % FDB_WAYS);
		__builtin_prefetch(&t->slots[other[i]]);
	}
	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		uint32_t from = first[i / FDB_WAYS] + i % FDB_WAYS;

		if ((to = free_slot(t, other[i])) == FDB_NONE)
			continue;
		displace(f, from, to);
		return from;
	}
	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		uint32_t from = first[i / FDB_WAYS] + i % FDB_WAYS;

		for (uint32_t mid = other[i]; mid < other[i] + FDB_WAYS; mid++) {
			if ((to = free_slot(t, other_bucket(f, mid))) == FDB_NONE)
				continue;
			displace(f, mid, to);
			displace(f, from, mid);
			return from;
		}
	}
	return FDB_NONE;
}

/* --- growth ----------------------------------------------------------------------------------------------------------------- */

/*
 * Copy every entry to the bucket of the same choice. A bucket's entries go to its own descendants, which nobody else's entries go
 * to, so there is always a free slot. `went[slot]` is where its entry went.
 */
static void copy_entries(const struct fdb *f, const struct fdb_table *from, struct fdb_table *to, uint32_t *went)
{
	for (uint32_t s = 0; s < from->n_slots; s++) {
		uint64_t key = from->slots[s].key & ~FDB_USED, hash;
		uint32_t was[2], is[2];

		went[s] = FDB_NONE;
		if (from->slots[s].key == 0)
			continue;
		hash = fdb_hash(f, key);
		fdb_table_buckets(from, hash, was);
		fdb_table_buckets(to, hash, is);
		went[s] = free_slot(to, is[was[0] != s - s % FDB_WAYS]);
		to->slots[went[s]] = (struct fdb_slot){.key = key | FDB_USED, .val = fdb_slot_val(&from->slots[s])};
	}
}

/* Bring entries of second choice home where there is room now: a look-up of theirs then touches one line. */
static void bring_home(const struct fdb *f, struct fdb_table *t, uint32_t *went, uint32_t n)
{
	for (uint32_t s = 0; s < n; s++) {
		uint32_t first[2], at = went[s], home;

		if (at == FDB_NONE)
			continue;
		fdb_table_buckets(t, fdb_hash(f, t->slots[at].key & ~FDB_USED), first);
		if (first[0] == at - at % FDB_WAYS || (home = free_slot(t, first[0])) == FDB_NONE)
			continue;
		t->slots[home] = t->slots[at];
		t->slots[at].key = 0;
		went[s] = home;
	}
}

static uint32_t follow(const uint32_t *went, uint32_t slot)
{
	return slot == FDB_NONE ? FDB_NONE : went[slot];
}

static void copy_lists(struct fdb_holders *h, const struct fdb_table *from, struct fdb_table *to, const uint32_t *went)
{
	for (uint32_t s = 0; s < from->n_slots; s++) {
		if (went[s] == FDB_NONE || to->slots[went[s]].val & FDB_FIXED)
			continue;
		to->links[went[s]].prev = follow(went, from->links[s].prev);
		to->links[went[s]].next = follow(went, from->links[s].next);
	}
	for (uint16_t p = 0; p < h->n_ports; p++) {
		h->port[p].oldest = follow(went, h->port[p].oldest);
		h->port[p].newest = follow(went, h->port[p].newest);
	}
}

int fdb_table_grow(struct fdb *f, uint32_t n_slots)
{
	struct fdb_writer *w = f->w;
	struct fdb_table new, old;
	uint32_t *went;

	went = malloc((size_t)w->t.n_slots * sizeof(*went));
	if (!went)
		return -ENOMEM;
	if (fdb_table_map(&new, n_slots) < 0) {
		free(went);
		return -ENOMEM;
	}
	fdb_writer_take(w);
	old = w->t;
	copy_entries(f, &old, &new, went);
	bring_home(f, &new, went, old.n_slots);
	copy_lists(&w->holders, &old, &new, went);
	w->t = new;
	w->age_at = w->age_at / FDB_WAYS * (new.n_slots / old.n_slots) * FDB_WAYS;
	__atomic_store_n(&f->table, fdb_table_pack(&new), __ATOMIC_RELEASE);
	fdb_writer_drop(w);
	w->quiesce(w->arg);
	fdb_table_unmap(&old);
	free(went);
	return 0;
}

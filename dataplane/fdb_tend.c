/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread's rounds through the forwarding database: flushing, ageing, growing, showing. */
#include "fdb_table.h"

/* --- flushing ---------------------------------------------------------------------------------------------------------------- */

bool fdb_flush_means(const struct fdb_writer *w, uint64_t key, uint64_t val)
{
	return !(val & FDB_FIXED) && (w->flush.port < 0 || w->flush.port == (uint16_t)val) &&
	       (w->flush.vlan < 0 || w->flush.vlan == fdb_key_vlan(key));
}

/* All of one port: its list is shorter than the table. What is learned meanwhile joins at the end, so a count is enough to stop. */
static uint32_t flush_port(struct fdb *f, uint16_t port)
{
	struct fdb_writer *w = f->w;
	const struct fdb_holder *p = &w->holders.port[port];
	uint32_t left = __atomic_load_n(&p->n, __ATOMIC_RELAXED), removed = 0;

	while (left) {
		uint32_t n = left < FDB_CHUNK ? left : FDB_CHUNK;

		left -= n;
		fdb_writer_take(w);
		for (; n && p->oldest != FDB_NONE; n--, removed++)
			fdb_forget(f, p->oldest);
		if (n)
			left = 0;
		fdb_writer_drop(w);
	}
	return removed;
}

uint32_t fdb_flush(struct fdb *f, int port, int vlan)
{
	struct fdb_writer *w = f->w;
	const uint32_t n_slots = w->t.n_slots; /* only this thread changes it */

	if (port >= w->holders.n_ports || vlan >= DP_VLAN_N)
		return 0;
	if (port >= 0 && vlan < 0)
		return flush_port(f, (uint16_t)port);
	for (uint32_t at = 0; at < n_slots;) {
		uint32_t end = n_slots - at < FDB_CHUNK ? n_slots : at + FDB_CHUNK;

		fdb_writer_take(w);
		if (at == 0) {
			w->flush.on = true;
			w->flush.port = port;
			w->flush.vlan = vlan;
			w->flush.removed = 0;
		}
		for (; at < end; at++) {
			const struct fdb_slot *s = &w->t.slots[at];

			if (s->key == 0 || !fdb_flush_means(w, s->key, fdb_slot_val(s)))
				continue;
			fdb_forget(f, at);
			w->flush.removed++;
		}
		if (at == n_slots)
			w->flush.on = false;
		fdb_writer_drop(w);
	}
	return w->flush.removed;
}

/* --- housekeeping ----------------------------------------------------------------------------------------------------------- */

static bool has_aged(const struct fdb_writer *w, const struct fdb_slot *s, uint32_t now_s)
{
	uint64_t key = __atomic_load_n(&s->key, __ATOMIC_RELAXED), val = fdb_slot_val(s);
	uint32_t heard_s = fdb_val_heard(val);

	/* A worker's clock may be ahead of ours. */
	return key && !(val & FDB_FIXED) && heard_s < now_s && now_s - heard_s >= w->vlan[fdb_key_vlan(key)].aging_s;
}

/* Looks without the flag first: most of the time nothing has aged, and the workers need not notice that somebody looked. */
static void age_slots(struct fdb *f, uint32_t at, uint32_t end, uint32_t now_s)
{
	struct fdb_writer *w = f->w;

	while (at < end && !has_aged(w, &w->t.slots[at], now_s))
		at++;
	if (at == end)
		return;
	fdb_writer_take(w);
	for (; at < end; at++)
		if (has_aged(w, &w->t.slots[at], now_s)) {
			const struct fdb_slot *s = &w->t.slots[at];

			if (w->aged)
				w->aged(w->aged_arg, s->key & ~FDB_USED, (uint16_t)fdb_slot_val(s));
			fdb_forget(f, at);
		}
	fdb_writer_drop(w);
}

/* At half full: double; when learning has run ahead of us, as often as it takes to have room again. */
static void grow_if_needed(struct fdb *f, uint32_t now_s)
{
	struct fdb_writer *w = f->w;
	uint32_t count = __atomic_load_n(&w->count, __ATOMIC_RELAXED), n_slots;
	int r;

	if (count <= w->t.n_slots / 2 || w->t.n_slots >= w->max_slots)
		return;
	if (w->no_memory && w->no_memory_s == now_s)
		return;
	n_slots = fdb_table_size((uint64_t)count * 3);
	r = fdb_table_grow(f, n_slots < w->max_slots ? n_slots : w->max_slots);
	if (!r && !w->no_memory)
		return;
	fdb_writer_take(w);
	w->no_memory = r < 0;
	w->no_memory_s = now_s;
	fdb_writer_drop(w);
}

bool fdb_tend(struct fdb *f, uint32_t now_s, uint32_t budget)
{
	struct fdb_writer *w = f->w;

	/* Cleared before counting: what a worker asks for after it is asked again. */
	if (fdb_wants_room(f))
		__atomic_store_n(&w->wants_room, false, __ATOMIC_RELAXED);
	grow_if_needed(f, now_s);
	while (budget) {
		uint32_t n = w->t.n_slots - w->age_at;

		n = n < budget ? n : budget;
		n = n < FDB_CHUNK ? n : FDB_CHUNK;
		age_slots(f, w->age_at, w->age_at + n, now_s);
		w->age_at += n;
		budget -= n;
		if (w->age_at == w->t.n_slots) {
			w->age_at = 0;
			return false;
		}
	}
	return true;
}

static void entry_of(uint64_t key, uint64_t val, struct fdb_entry *e)
{
	e->key = key;
	e->port = (uint16_t)val;
	e->is_static = val & FDB_FIXED;
	e->heard_s = fdb_val_heard(val);
}

/* The table does not grow meanwhile: that is this thread's doing. */
bool fdb_get(const struct fdb *f, uint64_t key, struct fdb_entry *e)
{
	uint64_t val = fdb_find(f, key, fdb_hash(f, key));

	if (val == FDB_MISS)
		return false;
	entry_of(key, val, e);
	return true;
}

/*
 * The cursor is a place in the hash's 32 bits, with the size of the table that it was taken from, so that it stays good when the
 * table grows: place << 16 | shift << 2 | way.
 */
bool fdb_next(const struct fdb *f, uint64_t *cursor, struct fdb_entry *e)
{
	const struct fdb_table *t = &f->w->t;
	uint64_t bucket = *cursor >> 16 >> t->shift;
	unsigned way = (*cursor >> 2 & 31) == t->shift ? *cursor & 3 : 0;

	for (uint64_t s = bucket * FDB_WAYS + way; s < t->n_slots; s++) {
		const struct fdb_slot *slot = &t->slots[s];
		uint64_t before = __atomic_load_n(&slot->val, __ATOMIC_ACQUIRE);
		uint64_t key = __atomic_load_n(&slot->key, __ATOMIC_ACQUIRE), val = __atomic_load_n(&slot->val, __ATOMIC_ACQUIRE);

		if (key == 0 || ((before ^ val) & FDB_TURNS)) /* see fdb_match() */
			continue;
		entry_of(key & ~FDB_USED, val, e);
		s++;
		*cursor = s / FDB_WAYS << t->shift << 16 | (uint64_t)t->shift << 2 | s % FDB_WAYS;
		return true;
	}
	*cursor = 1ULL << 48;
	return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fdb_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include <rte_pause.h>

#define START_SLOTS 2048 /* 32 KB of slots */
#define MAX_ENTRIES (16u << 20)

void fdb_key_split(uint64_t key, uint16_t *vlan, struct rte_ether_addr *mac)
{
	uint32_t hi = (uint32_t)key;
	uint16_t lo = (uint16_t)(key >> 32);

	*vlan = fdb_key_vlan(key);
	__builtin_memcpy(mac->addr_bytes, &hi, 4);
	__builtin_memcpy(mac->addr_bytes + 4, &lo, 2);
}

/* --- making and unmaking ---------------------------------------------------------------------------------------------------- */

static int make_secrets(struct fdb *f)
{
	size_t got = 0;

	while (got < sizeof(f->secret)) {
		ssize_t n = getrandom((char *)f->secret + got, sizeof(f->secret) - got, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			got += (size_t)n;
	}
	f->secret[1] |= 1;
	f->secret[3] |= 1;
	return 0;
}

struct fdb *fdb_new(uint32_t max, uint16_t n_ports, void (*quiesce)(void *arg), void *arg)
{
	struct fdb *f;
	struct fdb_writer *w;

	if (max < 1 || max > MAX_ENTRIES || n_ports < 1 || n_ports == FDB_NO_PORT)
		return NULL;
	f = aligned_alloc(FDB_LINE, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct fdb){0};
	w = aligned_alloc(FDB_LINE, sizeof(*w));
	if (!w)
		goto no_writer;
	__builtin_memset(w, 0, sizeof(*w));
	f->w = w;
	w->max = max;
	w->max_slots = fdb_table_size((uint64_t)max * 2);
	w->quiesce = quiesce;
	w->arg = arg;
	for (unsigned v = 0; v < DP_VLAN_N; v++)
		w->vlan[v].aging_s = DP_AGING_DEFAULT_S;
	if (make_secrets(f) < 0)
		goto no_secrets;
	if (fdb_holders_init(&w->holders, n_ports) < 0)
		goto no_holders;
	if (fdb_table_map(&w->t, w->max_slots < START_SLOTS ? w->max_slots : START_SLOTS) < 0)
		goto no_table;
	f->table = fdb_table_pack(&w->t);
	return f;

no_table:
	fdb_holders_fini(&w->holders);
no_holders:
no_secrets:
	free(w);
no_writer:
	free(f);
	return NULL;
}

void fdb_free(struct fdb *f)
{
	if (!f)
		return;
	fdb_table_unmap(&f->w->t);
	fdb_holders_fini(&f->w->holders);
	free(f->w);
	free(f);
}

/* --- the writer flag -------------------------------------------------------------------------------------------------------- */

bool fdb_writer_try(struct fdb_writer *w)
{
	unsigned free_flag = 0;

	/* Look before leaping: a failed compare-and-swap still takes the line away from the one who writes. */
	if (__atomic_load_n(&w->flag, __ATOMIC_RELAXED) != 0)
		return false;
	return __atomic_compare_exchange_n(&w->flag, &free_flag, FDB_HELD, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void fdb_writer_take(struct fdb_writer *w)
{
	const struct timespec nap = {.tv_nsec = 20000};
	unsigned tries = 0, was;

	if (fdb_writer_try(w))
		return;
	__atomic_fetch_or(&w->flag, FDB_WAITED, __ATOMIC_RELAXED);
	for (;;) {
		was = FDB_WAITED;
		if (__atomic_compare_exchange_n(&w->flag, &was, FDB_HELD, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		/* A worker keeps the flag for microseconds, unless it shares its CPU with us and waits for us to go. */
		if (++tries < 1000)
			rte_pause();
		else
			nanosleep(&nap, NULL);
	}
}

void fdb_writer_drop(struct fdb_writer *w)
{
	__atomic_fetch_and(&w->flag, ~(unsigned)FDB_HELD, __ATOMIC_RELEASE);
}

/* --- readers, off the hot path ---------------------------------------------------------------------------------------------- */

uint64_t fdb_find_further(const struct fdb *f, uint64_t key, uint64_t hash, struct fdb_slot **slot)
{
	uintptr_t table = fdb_table_word(f);
	struct fdb_slot *first = fdb_bucket(table, (uint32_t)hash), *second = fdb_bucket(table, (uint32_t)(hash >> 32)), *s;
	uint64_t val, moves;

	s = fdb_match(second, key | FDB_USED, &val);
	while (!s) {
		moves = __atomic_load_n(&f->moves, __ATOMIC_ACQUIRE);
		s = fdb_match(first, key | FDB_USED, &val);
		if (!s)
			s = fdb_match(second, key | FDB_USED, &val);
		/* Again only if the writer has moved something meanwhile, which it seldom does: nobody waits for anybody here. */
		if (!s && __atomic_load_n(&f->moves, __ATOMIC_RELAXED) == moves)
			return FDB_MISS;
	}
	if (slot)
		*slot = s;
	return val;
}

enum fdb_heard fdb_hear_further(struct fdb *f, uint64_t key, uint64_t hash, uint16_t port, uint32_t now_s)
{
	struct fdb_slot *s;
	uint64_t val;

	s = fdb_match(fdb_bucket(fdb_table_word(f), (uint32_t)hash), key | FDB_USED, &val);
	if (!s)
		val = fdb_find_further(f, key, hash, &s);
	if (val == FDB_MISS)
		return FDB_NEW;
	if (val & FDB_FIXED)
		return (uint16_t)val == port ? FDB_KNOWN : FDB_BOUND;
	if ((uint16_t)val != port)
		return FDB_NEW;
	/*
	 * If it fails, another worker heard the address in this second too, or the entry has changed; both are fine. Later only:
	 * two workers whose clocks differ by a second must not set it to and fro.
	 */
	if (fdb_val_heard(val) < now_s)
		__atomic_compare_exchange_n(&s->val, &val, fdb_val(port, now_s) | (val & FDB_TURNS), false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	return FDB_KNOWN;
}

/* --- entries come and go (writer flag held) --------------------------------------------------------------------------------- */

static void enter(struct fdb *f, uint32_t slot, uint64_t key, uint64_t val)
{
	struct fdb_writer *w = f->w;
	struct fdb_vlan *v = &w->vlan[fdb_key_vlan(key)];
	uint16_t port = (uint16_t)val;

	if (val & FDB_FIXED) {
		fdb_add(&w->statics, 1);
		fdb_add(&w->holders.port[port].statics, 1);
		fdb_add(&v->statics, 1);
	} else {
		fdb_holders_add(&w->holders, w->t.links, port, slot);
		fdb_add(&v->n, 1);
	}
	fdb_add(&w->count, 1);
	fdb_slot_fill(&w->t.slots[slot], key, val);
	if (w->count > w->t.n_slots / 2 && w->t.n_slots < w->max_slots && !w->no_memory)
		__atomic_store_n(&w->wants_room, true, __ATOMIC_RELAXED);
}

void fdb_forget(struct fdb *f, uint32_t slot)
{
	struct fdb_writer *w = f->w;
	struct fdb_slot *s = &w->t.slots[slot];
	uint64_t val = fdb_slot_val(s);
	struct fdb_vlan *v = &w->vlan[fdb_key_vlan(s->key)];
	uint16_t port = (uint16_t)val;

	fdb_slot_clear(s);
	if (val & FDB_FIXED) {
		fdb_add(&w->statics, -1);
		fdb_add(&w->holders.port[port].statics, -1);
		fdb_add(&v->statics, -1);
	} else {
		fdb_holders_del(&w->holders, w->t.links, port, slot);
		fdb_add(&v->n, -1);
	}
	fdb_add(&w->count, -1);
}

/*
 * Whom to evict from a table that holds `max`: of the oldest entries of the largest holder, the one not heard of for longest.
 * `port` is the newcomer's, FDB_NO_PORT for a static one. A port that holds as many as the largest gives of its own: else two
 * floods would take turns in pushing each other, and a third party, down.
 */
static uint32_t victim_of_all(const struct fdb_writer *w, uint16_t port)
{
	const struct fdb_holders *h = &w->holders;
	uint16_t from = fdb_holders_largest(h);
	uint32_t best = FDB_NONE, best_heard = 0;

	if (port != FDB_NO_PORT && h->port[port].n >= h->port[from].n)
		from = port;
	for (uint32_t s = h->port[from].oldest, i = 0; s != FDB_NONE && i < FDB_LOOK; s = w->t.links[s].next, i++) {
		uint32_t heard_s = fdb_val_heard(fdb_slot_val(&w->t.slots[s]));

		if (best == FDB_NONE || heard_s < best_heard) {
			best = s;
			best_heard = heard_s;
		}
	}
	return best;
}

/*
 * Whom to evict when the newcomer's two buckets are full and nothing in them can move: the entry of the larger holder, and of
 * several the one not heard of for longest. Never one of another port that holds no more than the newcomer's, or a flood would
 * still push a small neighbour's entries out, one lucky bucket at a time.
 */
static uint32_t victim_of_buckets(const struct fdb_writer *w, uint64_t hash, uint16_t port)
{
	const struct fdb_holder *holder = w->holders.port;
	uint32_t first[2], best = FDB_NONE;
	uint64_t best_val = 0;

	fdb_table_buckets(&w->t, hash, first);
	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		uint32_t s = first[i / FDB_WAYS] + i % FDB_WAYS;
		uint64_t val = fdb_slot_val(&w->t.slots[s]);
		uint16_t p = (uint16_t)val, best_p = (uint16_t)best_val;

		if (val & FDB_FIXED)
			continue;
		if (port != FDB_NO_PORT && p != port && holder[p].n <= holder[port].n)
			continue;
		if (best != FDB_NONE && holder[p].n < holder[best_p].n)
			continue;
		if (best != FDB_NONE && holder[p].n == holder[best_p].n && fdb_val_heard(val) >= fdb_val_heard(best_val))
			continue;
		best = s;
		best_val = val;
	}
	return best;
}

/* A free slot for a newcomer, by eviction if there is no other way. FDB_NONE: nobody may be evicted for it. */
static uint32_t make_place(struct fdb *f, uint64_t hash, uint16_t port)
{
	struct fdb_writer *w = f->w;
	uint32_t slot = fdb_table_room(f, hash), victim = FDB_NONE;

	if (slot == FDB_NONE)
		slot = victim = victim_of_buckets(w, hash, port);
	else if (w->count >= w->max)
		victim = victim_of_all(w, port);
	else
		return slot;
	if (victim == FDB_NONE)
		return FDB_NONE;
	fdb_forget(f, victim);
	return slot;
}

/* --- learning --------------------------------------------------------------------------------------------------------------- */

static bool at_limit(uint32_t n, uint32_t limit)
{
	return limit && n >= limit;
}

static int learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s, uint16_t *from)
{
	struct fdb_writer *w = f->w;
	struct fdb_holder *holder = w->holders.port;
	const struct fdb_vlan *v = &w->vlan[fdb_key_vlan(key)];
	uint64_t hash = fdb_hash(f, key), val;
	uint32_t slot = fdb_table_find(f, key, hash);

	if (slot == FDB_NONE) {
		if (at_limit(holder[port].n, holder[port].limit) || at_limit(v->n, v->limit))
			return -ENOSPC;
		slot = make_place(f, hash, port);
		if (slot == FDB_NONE)
			return -ENOSPC;
		enter(f, slot, key, fdb_val(port, now_s));
		*from = FDB_NO_PORT;
		return 0;
	}
	val = fdb_slot_val(&w->t.slots[slot]);
	if ((val & FDB_FIXED) && (uint16_t)val != port)
		return -EPERM;
	if ((uint16_t)val == port) {
		*from = port;
		return 0; /* another worker was faster, or it is static */
	}
	if (at_limit(holder[port].n, holder[port].limit))
		return -ENOSPC;
	fdb_holders_del(&w->holders, w->t.links, (uint16_t)val, slot);
	fdb_slot_change(&w->t.slots[slot], fdb_val(port, now_s));
	fdb_holders_add(&w->holders, w->t.links, port, slot);
	*from = (uint16_t)val;
	return 1;
}

int fdb_learn_from(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s, uint16_t *from)
{
	int r;

	if (!fdb_writer_try(f->w))
		return -EAGAIN;
	r = learn(f, key, port, now_s, from);
	fdb_writer_drop(f->w);
	return r;
}

int fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	uint16_t from;

	return fdb_learn_from(f, key, port, now_s, &from);
}

bool fdb_wants_room(const struct fdb *f)
{
	return __atomic_load_n(&f->w->wants_room, __ATOMIC_RELAXED);
}

/* --- control thread --------------------------------------------------------------------------------------------------------- */

void fdb_limit_port(struct fdb *f, uint16_t port, uint32_t limit)
{
	fdb_writer_take(f->w);
	f->w->holders.port[port].limit = limit;
	fdb_writer_drop(f->w);
}

void fdb_limit_vlan(struct fdb *f, uint16_t vlan, uint32_t limit)
{
	fdb_writer_take(f->w);
	f->w->vlan[vlan].limit = limit;
	fdb_writer_drop(f->w);
}

void fdb_aging_vlan(struct fdb *f, uint16_t vlan, uint32_t aging_s)
{
	/* Read by fdb_tend() only, which is the control thread's too. */
	f->w->vlan[vlan].aging_s = aging_s;
}

void fdb_on_age(struct fdb *f, void (*aged)(void *arg, uint64_t key, uint16_t port), void *arg)
{
	/* Read by fdb_tend() only, likewise. */
	f->w->aged = aged;
	f->w->aged_arg = arg;
}

int fdb_reserve(struct fdb *f, uint32_t n)
{
	struct fdb_writer *w = f->w;
	uint64_t want = (uint64_t)w->statics + n; /* static ones come and go by this thread only */
	uint32_t n_slots;

	if (want > w->max)
		return -ENOSPC;
	n_slots = fdb_table_size(want * 2);
	return n_slots > w->t.n_slots ? fdb_table_grow(f, n_slots) : 0;
}

static int bind_key(struct fdb *f, uint64_t key, uint16_t port)
{
	struct fdb_writer *w = f->w;
	uint64_t hash = fdb_hash(f, key), val;
	uint32_t slot = fdb_table_find(f, key, hash);

	if (slot != FDB_NONE) {
		struct fdb_vlan *v = &w->vlan[fdb_key_vlan(key)];

		val = fdb_slot_val(&w->t.slots[slot]);
		if (val & FDB_FIXED)
			return (uint16_t)val == port ? 0 : -EEXIST;
		/* In place, by one store: there is no moment at which the address is unknown. */
		fdb_holders_del(&w->holders, w->t.links, (uint16_t)val, slot);
		fdb_add(&v->n, -1);
		fdb_slot_change(&w->t.slots[slot], fdb_val(port, 0) | FDB_FIXED);
		fdb_add(&v->statics, 1);
		fdb_add(&w->holders.port[port].statics, 1);
		fdb_add(&w->statics, 1);
		return 0;
	}
	slot = make_place(f, hash, FDB_NO_PORT);
	if (slot == FDB_NONE)
		return -ENOSPC;
	enter(f, slot, key, fdb_val(port, 0) | FDB_FIXED);
	return 0;
}

int fdb_bind(struct fdb *f, uint64_t key, uint16_t port)
{
	int r;

	/* Without memory to grow it may still fit; if it replaces a learned entry it certainly does. */
	(void)fdb_reserve(f, 1);
	fdb_writer_take(f->w);
	r = bind_key(f, key, port);
	fdb_writer_drop(f->w);
	return r;
}

int fdb_unbind(struct fdb *f, uint64_t key, uint16_t port)
{
	struct fdb_writer *w = f->w;
	uint32_t slot;
	int r = -ENOENT;

	fdb_writer_take(w);
	slot = fdb_table_find(f, key, fdb_hash(f, key));
	if (slot != FDB_NONE && (fdb_slot_val(&w->t.slots[slot]) & (FDB_FIXED | 0xffff)) == (FDB_FIXED | port)) {
		fdb_forget(f, slot);
		r = 0;
	}
	fdb_writer_drop(w);
	return r;
}

/* --- counts ----------------------------------------------------------------------------------------------------------------- */

uint32_t fdb_count(const struct fdb *f)
{
	return __atomic_load_n(&f->w->count, __ATOMIC_RELAXED);
}

uint32_t fdb_count_port(const struct fdb *f, uint16_t port)
{
	const struct fdb_holder *p = &f->w->holders.port[port];

	return __atomic_load_n(&p->n, __ATOMIC_RELAXED) + __atomic_load_n(&p->statics, __ATOMIC_RELAXED);
}

uint32_t fdb_count_vlan(const struct fdb *f, uint16_t vlan)
{
	const struct fdb_vlan *v = &f->w->vlan[vlan];

	return __atomic_load_n(&v->n, __ATOMIC_RELAXED) + __atomic_load_n(&v->statics, __ATOMIC_RELAXED);
}

uint32_t fdb_slots(const struct fdb *f)
{
	return (uint32_t)(FDB_WAYS << (32 - (fdb_table_word(f) & 31)));
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FDB_CHECK_H
#define TESTS_UNIT_FDB_CHECK_H

/* What the tests of the forwarding database share: keys by number, and a look at the inside that must always add up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fdb.h"
#include "fdb_table.h"

static inline uint64_t key_of(uint16_t vlan, uint32_t n)
{
	struct rte_ether_addr mac = {{0x02, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};

	return fdb_key(vlan, &mac);
}

static inline struct fdb_hit find(const struct fdb *f, uint64_t key)
{
	uint64_t hash = fdb_hash(f, key);

	fdb_prefetch(f, hash);
	return fdb_lookup(f, key, hash);
}

static inline uint16_t port_of(const struct fdb *f, uint64_t key)
{
	return find(f, key).port;
}

static inline enum fdb_heard hear(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	return fdb_hear(f, key, fdb_hash(f, key), port, now_s);
}

/* xorshift: a test that fails should fail again. */
static inline uint32_t any(uint64_t *seed, uint32_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)((*seed >> 32) * below >> 32);
}

/* Every entry is in one of its buckets and, if learned, on its port's list once; counts and heap agree. Nobody is writing. */
static inline void fdb_check(const struct fdb *f)
{
	const struct fdb_writer *w = f->w;
	const struct fdb_holders *h = &w->holders;
	uint32_t *vlan_n = calloc(2 * DP_VLAN_N, sizeof(*vlan_n)), *vlan_statics = vlan_n + DP_VLAN_N;
	uint32_t *port_n = calloc(2 * h->n_ports, sizeof(*port_n)), *port_statics = port_n + h->n_ports;
	uint32_t count = 0, statics = 0;

	assert_int_equal(w->flag, 0);
	assert_true(f->table == fdb_table_pack(&w->t));
	for (uint32_t s = 0; s < w->t.n_slots; s++) {
		const struct fdb_slot *slot = &w->t.slots[s];
		uint32_t first[2];

		if (!slot->key)
			continue;
		fdb_table_buckets(&w->t, fdb_hash(f, slot->key & ~FDB_USED), first);
		assert_true(first[0] != first[1]);
		assert_true(first[0] == s - s % FDB_WAYS || first[1] == s - s % FDB_WAYS);
		assert_int_equal(fdb_table_find(f, slot->key & ~FDB_USED, fdb_hash(f, slot->key & ~FDB_USED)), s);
		count++;
		statics += !!(slot->val & FDB_FIXED);
		(slot->val & FDB_FIXED ? vlan_statics : vlan_n)[fdb_key_vlan(slot->key)]++;
		(slot->val & FDB_FIXED ? port_statics : port_n)[(uint16_t)slot->val]++;
	}
	assert_int_equal(count, w->count);
	assert_true(count <= w->max);
	assert_int_equal(statics, w->statics);
	for (unsigned v = 0; v < DP_VLAN_N; v++) {
		assert_int_equal(vlan_n[v], w->vlan[v].n);
		assert_int_equal(vlan_statics[v], w->vlan[v].statics);
	}
	for (uint16_t p = 0; p < h->n_ports; p++) {
		uint32_t n = 0, last = FDB_NONE;

		assert_int_equal(port_n[p], h->port[p].n);
		assert_int_equal(port_statics[p], h->port[p].statics);
		for (uint32_t s = h->port[p].oldest; s != FDB_NONE; last = s, s = w->t.links[s].next) {
			assert_true(s < w->t.n_slots && w->t.slots[s].key != 0);
			assert_true((w->t.slots[s].val & (FDB_FIXED | 0xffff)) == p);
			assert_int_equal(w->t.links[s].prev, last);
			assert_true(n++ < port_n[p]);
		}
		assert_int_equal(n, port_n[p]);
		assert_int_equal(h->port[p].newest, last);
		assert_int_equal(h->heap[h->port[p].at], p);
		assert_true(h->port[p].at == 0 || h->port[h->heap[(h->port[p].at - 1) / 2]].n >= h->port[p].n);
	}
	free(vlan_n);
	free(port_n);
}

/* The next key from *n on whose buckets are i and j (FDB_NONE: any); or j and i, if `either`. */
static inline uint64_t colliding(const struct fdb *f, uint32_t *n, uint32_t i, uint32_t j, bool either)
{
	uint32_t first[2];
	uint64_t key;

	for (;;) {
		key = key_of(1, (*n)++);
		fdb_table_buckets(&f->w->t, fdb_hash(f, key), first);
		if (first[0] == i && (j == FDB_NONE || first[1] == j))
			return key;
		if (either && first[0] == j && first[1] == i)
			return key;
	}
}

#endif

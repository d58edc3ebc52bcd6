/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarding database's table: what shares buckets, what growth does, and walking over it. */
#include "fdb_alone.h"

#include <errno.h>

/* --- collisions ------------------------------------------------------------------------------------------------------------- */

/* The next key whose first bucket is 32 and whose second one is not 1024. */
static uint64_t movable(const struct fdb *f, uint32_t *n)
{
	uint32_t first[2];
	uint64_t key;

	do {
		key = colliding(f, n, 32, FDB_NONE, false);
		fdb_table_buckets(&f->w->t, fdb_hash(f, key), first);
	} while (first[1] == 1024);
	return key;
}

static void colliding_addresses_go_to_their_second_bucket(void **state)
{
	struct fdb *f = make(1000);
	uint64_t key[8];
	uint32_t n = 0;

	(void)state;
	for (unsigned k = 0; k < 8; k++) {
		key[k] = colliding(f, &n, 32, FDB_NONE, false);
		assert_int_equal(fdb_learn(f, key[k], 1 + k, 1), 0);
	}
	for (unsigned k = 0; k < 8; k++)
		assert_int_equal(port_of(f, key[k]), 1 + k);
	done(f);
}

static void colliding_addresses_move_others_out_of_their_way(void **state)
{
	struct fdb *f = make(1000);
	uint64_t key[9];
	uint32_t n = 0;

	(void)state;
	/* Four that stand in bucket 32 and could stand elsewhere, then five that can stand in 32 and 1024 only. */
	for (unsigned k = 0; k < 9; k++) {
		key[k] = k < 4 ? movable(f, &n) : colliding(f, &n, 32, 1024, true);
		assert_int_equal(fdb_learn(f, key[k], 1 + k, 1), 0);
	}
	for (unsigned k = 0; k < 9; k++)
		assert_int_equal(port_of(f, key[k]), 1 + k);
	assert_int_equal(f->moves, 1);
	done(f);
}

static void entry_meant_by_a_running_flush_does_not_move_past_it(void **state)
{
	struct fdb *f = make(1000);
	uint64_t key[9];
	uint32_t n = 0;

	(void)state;
	/* As above, between two chunks of a flush of port 1: whichever of the first four would have moved is gone instead. */
	for (unsigned k = 0; k < 9; k++) {
		key[k] = k < 4 ? movable(f, &n) : colliding(f, &n, 32, 1024, true);
		if (k == 8) {
			f->w->flush.on = true;
			f->w->flush.port = 1;
			f->w->flush.vlan = -1;
		}
		assert_int_equal(fdb_learn(f, key[k], k < 4 ? 1 : 2, 1), 0);
	}
	assert_int_equal(f->moves, 0);
	assert_int_equal(f->w->flush.removed, 1);
	assert_int_equal(fdb_count_port(f, 1), 3);
	for (unsigned k = 4; k < 9; k++)
		assert_int_equal(port_of(f, key[k]), 2);
	f->w->flush.on = false;
	done(f);
}

static void colliding_addresses_that_cannot_move_cost_the_larger_holder(void **state)
{
	struct fdb *f = make(1000);
	uint64_t key[8], late[5];
	uint32_t n = 0, kept[PORTS] = {0};

	(void)state;
	for (unsigned k = 0; k < 8; k++) {
		key[k] = colliding(f, &n, 32, 1024, true);
		assert_int_equal(fdb_learn(f, key[k], k < 5 ? 1 : 2, 10 + k), 0);
	}
	for (unsigned k = 0; k < 5; k++)
		late[k] = colliding(f, &n, 32, 1024, true);
	/* Port 1 holds 5, and its first is the longest unheard. */
	assert_int_equal(fdb_learn(f, late[0], 3, 20), 0);
	assert_int_equal(port_of(f, key[0]), FDB_NO_PORT);
	assert_int_equal(port_of(f, late[0]), 3);
	/* The largest gives of its own. */
	assert_int_equal(fdb_learn(f, late[1], 1, 20), 0);
	assert_int_equal(port_of(f, key[1]), FDB_NO_PORT);
	assert_int_equal(fdb_count_port(f, 1), 4);
	/* One that holds as many as any of these, elsewhere, gets none of theirs. */
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(fdb_learn(f, key_of(2, i), 9, 20), 0);
	assert_int_equal(fdb_learn(f, late[2], 9, 20), -ENOSPC);
	assert_int_equal(fdb_flush(f, 9, 2), 4);
	/* A static one takes from the largest; eight of them give way to nobody. */
	for (unsigned k = 0; k < 8; k++) {
		uint64_t fixed = k < 5 ? late[k] : key[k];

		assert_int_equal(fdb_bind(f, fixed, 4), 0);
	}
	assert_int_equal(fdb_learn(f, key[0], 5, 30), -ENOSPC);
	assert_int_equal(fdb_bind(f, key[0], 5), -ENOSPC);
	for (unsigned k = 0; k < 8; k++)
		kept[port_of(f, k < 5 ? late[k] : key[k])]++;
	assert_int_equal(kept[4], 8);
	done(f);
}

static void hash_differs_from_table_to_table(void **state)
{
	struct fdb *a = make(1000), *b = make(1000);
	unsigned same = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		same += fdb_bucket(a->table, (uint32_t)fdb_hash(a, key_of(1, i))) - a->w->t.slots ==
			fdb_bucket(b->table, (uint32_t)fdb_hash(b, key_of(1, i))) - b->w->t.slots;
	/* One in 512 by chance. */
	assert_in_range(same, 0, 30);
	done(a);
	done(b);
}

/* --- growth ----------------------------------------------------------------------------------------------------------------- */

static void learning_goes_on_past_half_without_growth(void **state)
{
	struct fdb *f = make(1000000);
	uint32_t n = fdb_slots(f) * 3 / 4;

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(fdb_learn(f, key_of(1, i), 1 + i % 9, 1), 0);
	assert_int_equal(fdb_count(f), n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(port_of(f, key_of(1, i)), 1 + i % 9);
	assert_true(f->moves > 0);
	done(f);
}

static void growth_loses_no_entry(void **state)
{
	struct fdb *f = make(50000);
	uint32_t grown = fdb_slots(f), n = 0;

	(void)state;
	/* Learning runs ahead, so that the table is packed when it grows. */
	while (grown < 131072) {
		while (fdb_count(f) < fdb_slots(f) * 3 / 4 && n < 50000) {
			assert_int_equal(fdb_learn(f, key_of(n % 5, n), n % PORTS, n), 0);
			n++;
		}
		fdb_tend(f, n, 0);
		assert_true(fdb_slots(f) > grown);
		grown = fdb_slots(f);
		fdb_check(f);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(port_of(f, key_of(i % 5, i)), i % PORTS);
		/* The order of learning is kept, too: the oldest of port 0 is key 0. */
		assert_int_equal(f->w->t.slots[f->w->holders.port[0].oldest].key & ~FDB_USED, key_of(0, 0));
	}
	fdb_tend(f, n, 0);
	assert_int_equal(fdb_slots(f), grown);
	done(f);
}

static bool is_home(const struct fdb *f, uint64_t key)
{
	uint64_t val;

	return fdb_match(fdb_bucket(f->table, (uint32_t)fdb_hash(f, key)), key | FDB_USED, &val) != NULL;
}

static void one_million_entries_fit(void **state)
{
	struct fdb *f = make(DP_FDB_MAX);
	uint32_t home = 0;

	(void)state;
	for (uint32_t i = 0; i < DP_FDB_MAX; i++)
		assert_int_equal(learn_tended(f, key_of(i % 4095, i), i % PORTS, i >> 10), 0);
	assert_int_equal(fdb_count(f), DP_FDB_MAX);
	assert_int_equal(fdb_slots(f), 2u << 20);
	for (uint32_t i = 0; i < DP_FDB_MAX; i++) {
		uint64_t key = key_of(i % 4095, i);

		assert_int_equal(port_of(f, key), i % PORTS);
		home += is_home(f, key);
	}
	/* "Most look-ups touch one line." */
	assert_in_range(home, DP_FDB_MAX / 100 * 85, DP_FDB_MAX);
	/* The next one costs one. */
	assert_int_equal(fdb_learn(f, key_of(4095, 0), 1, 0), 0);
	assert_int_equal(fdb_count(f), DP_FDB_MAX);
	done(f);
}

static void cursor_walks_over_every_entry_once(void **state)
{
	struct fdb *f = make(100000);
	uint8_t *seen = calloc(10000, 1);
	struct fdb_entry e;
	uint64_t cursor = 0;
	uint32_t n = 0, id;
	struct rte_ether_addr mac;
	uint16_t vlan;

	(void)state;
	assert_false(fdb_next(f, &cursor, &e));
	for (uint32_t i = 0; i < 10000; i++)
		learn_tended(f, key_of(7, i), i % PORTS, 77);
	fdb_bind(f, key_of(7, 5), 5);
	assert_false(fdb_next(f, &cursor, &e)); /* the end is the end */
	for (cursor = 0; fdb_next(f, &cursor, &e); n++) {
		fdb_key_split(e.key, &vlan, &mac);
		assert_int_equal(vlan, 7);
		id = (uint32_t)mac.addr_bytes[4] << 8 | mac.addr_bytes[5];
		assert_false(seen[id]++);
		assert_int_equal(e.port, id % PORTS);
		assert_int_equal(e.is_static, id == 5);
		assert_int_equal(e.heard_s, id == 5 ? 0 : 77);
	}
	assert_int_equal(n, 10000);
	assert_false(fdb_next(f, &cursor, &e));
	free(seen);
	done(f);
}

static void cursor_goes_on_in_a_grown_table(void **state)
{
	struct fdb_entry e;
	struct rte_ether_addr mac;
	uint16_t vlan;

	(void)state;
	for (uint32_t stop = 0; stop < 900; stop += 9) {
		struct fdb *f = make(100000);
		uint8_t seen[900] = {0}, home[900];
		uint64_t cursor = 0;

		for (uint32_t i = 0; i < 900; i++)
			fdb_learn(f, key_of(7, i), 1, 1);
		for (uint32_t i = 0; i < 900; i++)
			home[i] = is_home(f, key_of(7, i));
		for (uint32_t n = 0; fdb_next(f, &cursor, &e); n++) {
			fdb_key_split(e.key, &vlan, &mac);
			seen[mac.addr_bytes[4] << 8 | mac.addr_bytes[5]]++;
			if (n == stop)
				assert_int_equal(fdb_reserve(f, 2048), 0);
		}
		assert_int_equal(fdb_slots(f), 4096);
		/* What stood in its second bucket may have been brought home meanwhile, past the cursor. */
		for (uint32_t i = 0; i < 900; i++)
			assert_in_range(seen[i], home[i] ? 1 : 0, 2);
		done(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(colliding_addresses_go_to_their_second_bucket),
		cmocka_unit_test(colliding_addresses_move_others_out_of_their_way),
		cmocka_unit_test(entry_meant_by_a_running_flush_does_not_move_past_it),
		cmocka_unit_test(colliding_addresses_that_cannot_move_cost_the_larger_holder),
		cmocka_unit_test(hash_differs_from_table_to_table),
		cmocka_unit_test(learning_goes_on_past_half_without_growth),
		cmocka_unit_test(growth_loses_no_entry),
		cmocka_unit_test(one_million_entries_fit),
		cmocka_unit_test(cursor_walks_over_every_entry_once),
		cmocka_unit_test(cursor_goes_on_in_a_grown_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

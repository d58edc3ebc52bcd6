/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding database's rules: learning, limits, ageing, what happens when it is full. Beside it: collisions and growth in
 * test_fdb_table.c, random operations against a model in test_fdb_model.c, threads in test_fdb_threads.c.
 */
#include "fdb_alone.h"

#include <errno.h>
#include <sys/mman.h>

static uint32_t heard_s(const struct fdb *f, uint64_t key)
{
	uint32_t slot = fdb_table_find(f, key, fdb_hash(f, key));

	assert_true(slot != FDB_NONE);
	return fdb_val_heard(f->w->t.slots[slot].val);
}

/* --- addresses -------------------------------------------------------------------------------------------------------------- */

static void key_splits_into_vlan_and_address(void **state)
{
	struct rte_ether_addr mac = {{0xfe, 0x80, 0x01, 0x00, 0xff, 0x7f}}, got;
	uint16_t vlan;

	(void)state;
	for (uint16_t v = 0; v < 4096; v += 585) {
		fdb_key_split(fdb_key(v, &mac), &vlan, &got);
		assert_int_equal(vlan, v);
		assert_memory_equal(&got, &mac, sizeof(mac));
	}
}

static void learned_address_is_found_in_its_vlan_only(void **state)
{
	struct fdb *f = make(100);
	const struct rte_ether_addr zero = {{0}};

	(void)state;
	assert_int_equal(port_of(f, key_of(10, 1)), FDB_NO_PORT);
	assert_int_equal(fdb_learn(f, key_of(10, 1), 5, 1), 0);
	assert_int_equal(port_of(f, key_of(10, 1)), 5);
	assert_false(find(f, key_of(10, 1)).is_static);
	assert_int_equal(port_of(f, key_of(11, 1)), FDB_NO_PORT);
	/* The key of all zeros, at the second 0, behind port 0, is an entry like others: nothing of it means "empty". */
	assert_int_equal(port_of(f, fdb_key(0, &zero)), FDB_NO_PORT);
	assert_int_equal(fdb_learn(f, fdb_key(0, &zero), 0, 0), 0);
	assert_int_equal(port_of(f, fdb_key(0, &zero)), 0);
	assert_int_equal(hear(f, fdb_key(0, &zero), 0, 0), FDB_KNOWN);
	done(f);
}

static void entry_tells_where_and_when(void **state)
{
	struct fdb *f = make(100);
	struct fdb_entry e;

	(void)state;
	assert_false(fdb_get(f, key_of(1, 1), &e));
	assert_int_equal(fdb_learn(f, key_of(1, 1), 5, 7), 0);
	assert_true(fdb_get(f, key_of(1, 1), &e));
	assert_true(e.key == key_of(1, 1) && e.port == 5 && e.heard_s == 7 && !e.is_static);
	assert_int_equal(fdb_learn(f, key_of(1, 1), 6, 9), 1);
	assert_true(fdb_get(f, key_of(1, 1), &e));
	assert_true(e.port == 6 && e.heard_s == 9);
	assert_int_equal(fdb_bind(f, key_of(1, 1), 3), 0);
	assert_true(fdb_get(f, key_of(1, 1), &e));
	assert_true(e.port == 3 && e.is_static);
	assert_false(fdb_get(f, key_of(2, 1), &e));
	done(f);
}

static void heard_address_is_new_known_or_bound(void **state)
{
	struct fdb *f = make(100);

	(void)state;
	assert_int_equal(hear(f, key_of(1, 1), 5, 1), FDB_NEW);
	assert_int_equal(fdb_learn(f, key_of(1, 1), 5, 1), 0);
	assert_int_equal(hear(f, key_of(1, 1), 5, 1), FDB_KNOWN);
	assert_int_equal(hear(f, key_of(1, 1), 5, 2), FDB_KNOWN);
	assert_int_equal(hear(f, key_of(1, 1), 6, 2), FDB_NEW);
	assert_int_equal(fdb_bind(f, key_of(1, 2), 5), 0);
	assert_int_equal(hear(f, key_of(1, 2), 5, 2), FDB_KNOWN);
	assert_int_equal(hear(f, key_of(1, 2), 6, 2), FDB_BOUND);
	done(f);
}

static void age_is_written_at_most_once_a_second(void **state)
{
	struct fdb *f = make(100);
	const struct fdb_table *t = &f->w->t;
	uint64_t learned = key_of(1, 1), bound = key_of(1, 2);

	(void)state;
	fdb_learn(f, learned, 5, 100);
	fdb_bind(f, bound, 5);
	assert_int_equal(hear(f, learned, 5, 101), FDB_KNOWN);
	assert_int_equal(heard_s(f, learned), 101);
	/* Any write now is a segmentation fault. */
	assert_int_equal(mprotect(t->map, t->map_bytes, PROT_READ), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(hear(f, learned, 5, 101), FDB_KNOWN);
		assert_int_equal(hear(f, learned, 5, 100), FDB_KNOWN); /* a worker whose clock is behind */
		assert_int_equal(hear(f, bound, 5, 102), FDB_KNOWN);
		assert_int_equal(hear(f, learned, 6, 102), FDB_NEW);
	}
	assert_int_equal(mprotect(t->map, t->map_bytes, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(hear(f, learned, 5, 102), FDB_KNOWN);
	assert_int_equal(heard_s(f, learned), 102);
	assert_int_equal(heard_s(f, bound), 0);
	done(f);
}

static void moved_address_takes_its_count_along(void **state)
{
	struct fdb *f = make(100);

	(void)state;
	assert_int_equal(fdb_learn(f, key_of(1, 1), 5, 1), 0);
	assert_int_equal(fdb_learn(f, key_of(1, 2), 5, 1), 0);
	assert_int_equal(fdb_learn(f, key_of(1, 1), 6, 2), 1);
	assert_int_equal(fdb_learn(f, key_of(1, 1), 6, 2), 0);
	assert_int_equal(port_of(f, key_of(1, 1)), 6);
	assert_int_equal(heard_s(f, key_of(1, 1)), 2);
	assert_int_equal(fdb_count_port(f, 5), 1);
	assert_int_equal(fdb_count_port(f, 6), 1);
	assert_int_equal(fdb_count_vlan(f, 1), 2);
	assert_int_equal(fdb_count(f), 2);
	done(f);
}

static void worker_that_finds_another_writing_is_told_to_come_again(void **state)
{
	struct fdb *f = make(100);

	(void)state;
	fdb_learn(f, key_of(1, 1), 5, 1);
	fdb_writer_take(f->w);
	assert_int_equal(fdb_learn(f, key_of(1, 2), 5, 1), -EAGAIN);
	assert_int_equal(port_of(f, key_of(1, 1)), 5);
	assert_int_equal(hear(f, key_of(1, 1), 5, 2), FDB_KNOWN);
	fdb_writer_drop(f->w);
	assert_int_equal(fdb_learn(f, key_of(1, 2), 5, 1), 0);
	/* The control thread waits: it is next, before any worker. */
	f->w->flag = FDB_WAITED;
	assert_int_equal(fdb_learn(f, key_of(1, 3), 5, 1), -EAGAIN);
	fdb_writer_take(f->w);
	fdb_writer_drop(f->w);
	assert_int_equal(fdb_learn(f, key_of(1, 3), 5, 1), 0);
	done(f);
}

/* --- limits, ageing, flushing ----------------------------------------------------------------------------------------------- */

static void limits_of_port_and_vlan(void **state)
{
	struct fdb *f = make(1000);

	(void)state;
	fdb_limit_port(f, 5, 3);
	fdb_limit_vlan(f, 10, 4);
	assert_int_equal(fdb_bind(f, key_of(10, 100), 5), 0); /* counts towards no limit */
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(fdb_learn(f, key_of(10, i), 5, 1), 0);
	assert_int_equal(fdb_learn(f, key_of(10, 3), 5, 1), -ENOSPC);
	assert_int_equal(fdb_learn(f, key_of(11, 3), 5, 1), -ENOSPC);
	assert_int_equal(fdb_learn(f, key_of(10, 3), 6, 1), 0);
	assert_int_equal(fdb_learn(f, key_of(10, 4), 6, 1), -ENOSPC);
	assert_int_equal(fdb_learn(f, key_of(11, 4), 6, 1), 0);
	/* A move counts at the port it goes to, and not again in its VLAN. */
	assert_int_equal(fdb_learn(f, key_of(10, 3), 5, 1), -ENOSPC);
	assert_int_equal(port_of(f, key_of(10, 3)), 6);
	assert_int_equal(fdb_learn(f, key_of(10, 0), 6, 1), 1);
	assert_int_equal(fdb_learn(f, key_of(10, 3), 5, 1), 1);
	assert_int_equal(fdb_count_port(f, 5), 4);
	assert_int_equal(fdb_count_vlan(f, 10), 5);
	/* A lower limit removes nothing; no limit lets all in. */
	fdb_limit_port(f, 5, 1);
	assert_int_equal(fdb_count_port(f, 5), 4);
	assert_int_equal(fdb_learn(f, key_of(12, 5), 5, 1), -ENOSPC);
	fdb_limit_port(f, 5, 0);
	assert_int_equal(fdb_learn(f, key_of(12, 5), 5, 1), 0);
	fdb_limit_vlan(f, 10, 0);
	assert_int_equal(fdb_learn(f, key_of(10, 6), 5, 1), 0);
	done(f);
}

static void entry_unheard_for_its_vlans_age_is_removed(void **state)
{
	struct fdb *f = make(1000);

	(void)state;
	fdb_aging_vlan(f, 20, 10);
	fdb_learn(f, key_of(10, 1), 5, 1000); /* 300 s unless told */
	fdb_learn(f, key_of(20, 1), 5, 1000);
	fdb_learn(f, key_of(20, 2), 5, 1000);
	fdb_learn(f, key_of(20, 3), 5, 1020); /* a worker's clock that is ahead */
	fdb_bind(f, key_of(20, 4), 5);
	assert_false(fdb_tend(f, 1009, UINT32_MAX));
	assert_int_equal(fdb_count(f), 5);
	assert_int_equal(hear(f, key_of(20, 2), 5, 1005), FDB_KNOWN);
	assert_false(fdb_tend(f, 1010, UINT32_MAX));
	assert_int_equal(port_of(f, key_of(20, 1)), FDB_NO_PORT);
	assert_int_equal(port_of(f, key_of(20, 2)), 5);
	assert_false(fdb_tend(f, 1299, UINT32_MAX));
	assert_int_equal(fdb_count_vlan(f, 20), 1);
	assert_int_equal(port_of(f, key_of(10, 1)), 5);
	assert_false(fdb_tend(f, 1300, UINT32_MAX));
	assert_int_equal(fdb_count(f), 1);
	assert_true(find(f, key_of(20, 4)).is_static);
	done(f);
}

static void ageing_goes_round_within_its_budget(void **state)
{
	struct fdb *f = make(1000);
	unsigned calls = 1;

	(void)state;
	for (uint32_t i = 0; i < 700; i++)
		assert_int_equal(fdb_learn(f, key_of(1, i), 5, 1), 0);
	assert_int_equal(fdb_slots(f), 2048);
	while (fdb_tend(f, 1000, 100)) {
		assert_true(fdb_count(f) + calls * 100 >= 700);
		calls++;
	}
	assert_int_equal(calls, 21);
	assert_int_equal(fdb_count(f), 0);
	done(f);
}

static void flush_by_port_and_vlan(void **state)
{
	struct fdb *f = make(100000);

	(void)state;
	for (uint32_t i = 0; i < 24000; i++)
		learn_tended(f, key_of(10 + i % 3, i), 1 + i % 4, 1);
	for (uint16_t p = 1; p <= 4; p++)
		fdb_bind(f, key_of(10, 100000 + p), p);
	assert_int_equal(fdb_flush(f, 1, 10), 2000);
	fdb_check(f);
	assert_int_equal(fdb_count_port(f, 1), 4001);
	assert_int_equal(fdb_flush(f, 2, -1), 6000);
	fdb_check(f);
	assert_int_equal(fdb_count_port(f, 2), 1);
	assert_int_equal(fdb_flush(f, -1, 11), 6000);
	fdb_check(f);
	assert_int_equal(fdb_count_vlan(f, 11), 0);
	assert_int_equal(port_of(f, key_of(12, 2)), 3);
	assert_int_equal(fdb_flush(f, PORTS, -1), 0);
	assert_int_equal(fdb_flush(f, -1, -1), 10000);
	assert_int_equal(fdb_count(f), 4);
	for (uint16_t p = 1; p <= 4; p++)
		assert_int_equal(port_of(f, key_of(10, 100000 + p)), p);
	done(f);
}

/* --- full ------------------------------------------------------------------------------------------------------------------- */

static void full_fdb_evicts_from_the_largest_holder(void **state)
{
	struct fdb *f = make(100);

	(void)state;
	for (uint32_t i = 0; i < 60; i++)
		fdb_learn(f, key_of(1, i), 1, 1);
	for (uint32_t i = 60; i < 100; i++)
		fdb_learn(f, key_of(1, i), 2, 1);
	for (uint32_t i = 0; i < 25; i++) {
		assert_int_equal(fdb_learn(f, key_of(2, i), 3, 2), 0);
		assert_int_equal(fdb_count(f), 100);
	}
	/* Port 1 sank to port 2's size, then the two gave in turn. */
	assert_int_equal(fdb_count_port(f, 3), 25);
	assert_in_range(fdb_count_port(f, 1), 37, 38);
	assert_in_range(fdb_count_port(f, 2), 37, 38);
	done(f);
}

static void full_fdb_evicts_the_longest_unheard_of_the_oldest(void **state)
{
	struct fdb *f = make(100);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		fdb_learn(f, key_of(1, i), 1, 10 + i);
	/* Of the FDB_LOOK first learned all but one spoke again. Others are silent for longer than these, but not among them. */
	for (uint32_t i = 0; i < FDB_LOOK; i++)
		if (i != 5)
			hear(f, key_of(1, i), 1, 200);
	fdb_learn(f, key_of(1, 1000), 2, 201);
	assert_int_equal(port_of(f, key_of(1, 5)), FDB_NO_PORT);
	assert_int_equal(fdb_count(f), 100);
	for (uint32_t i = 0; i < 100; i++)
		if (i != 5)
			assert_int_equal(port_of(f, key_of(1, i)), 1);
	done(f);
}

static void flood_by_one_port_keeps_the_others_entries(void **state)
{
	struct fdb *f = make(1000);

	(void)state;
	for (uint16_t p = 1; p <= 20; p++)
		for (uint32_t i = 0; i < 10; i++)
			fdb_learn(f, key_of(1, p * 100u + i), p, 1);
	for (uint32_t i = 0; i < 50000; i++)
		assert_int_equal(learn_tended(f, key_of(2, i), 30, 2), 0);
	for (uint16_t p = 1; p <= 20; p++)
		for (uint32_t i = 0; i < 10; i++)
			assert_int_equal(port_of(f, key_of(1, p * 100u + i)), p);
	assert_int_equal(fdb_count_port(f, 30), 800);
	/* Two that flood share what the others leave. */
	for (uint32_t i = 0; i < 50000; i++)
		learn_tended(f, key_of(3, i), 31 - i % 2, 3);
	assert_int_equal(fdb_count_port(f, 30), 400);
	assert_int_equal(fdb_count_port(f, 31), 400);
	done(f);
}

static void flood_into_a_table_not_yet_grown_keeps_the_others_entries(void **state)
{
	struct fdb *f = make(100000);
	uint32_t refused = 0;

	(void)state;
	for (uint16_t p = 1; p <= 20; p++)
		for (uint32_t i = 0; i < 10; i++)
			fdb_learn(f, key_of(1, p * 100u + i), p, 1);
	for (uint32_t i = 0; i < 50000; i++)
		refused += fdb_learn(f, key_of(2, i), 30, 2) == -ENOSPC;
	assert_true(fdb_wants_room(f));
	assert_int_equal(fdb_slots(f), 2048);
	/* Its eight entries are seldom all of others. */
	assert_in_range(refused, 0, 100);
	for (uint16_t p = 1; p <= 20; p++)
		for (uint32_t i = 0; i < 10; i++)
			assert_int_equal(port_of(f, key_of(1, p * 100u + i)), p);
	fdb_check(f);
	fdb_tend(f, 3, 0);
	assert_false(fdb_wants_room(f));
	assert_in_range(fdb_slots(f), 2 * fdb_count(f), 8192);
	done(f);
}

static void static_entry_is_never_evicted_or_moved(void **state)
{
	struct fdb *f = make(1000);

	(void)state;
	assert_int_equal(fdb_reserve(f, 900), 0);
	for (uint32_t i = 0; i < 900; i++)
		assert_int_equal(fdb_bind(f, key_of(1, i), 1), 0);
	for (uint32_t i = 0; i < 20000; i++)
		learn_tended(f, key_of(2, i), 2 + i % 7, 2);
	assert_int_equal(fdb_count(f), 1000);
	for (uint32_t i = 0; i < 900; i++) {
		assert_int_equal(hear(f, key_of(1, i), 2, 3), FDB_BOUND);
		assert_int_equal(fdb_learn(f, key_of(1, i), 2, 3), -EPERM);
	}
	fdb_flush(f, 1, -1);
	fdb_flush(f, -1, -1);
	fdb_tend(f, 1000000, UINT32_MAX);
	assert_int_equal(fdb_count(f), 900);
	for (uint32_t i = 0; i < 900; i++) {
		assert_int_equal(port_of(f, key_of(1, i)), 1);
		assert_true(find(f, key_of(1, i)).is_static);
	}
	done(f);
}

static void bound_address_replaces_a_learned_one(void **state)
{
	struct fdb *f = make(10);

	(void)state;
	fdb_learn(f, key_of(1, 1), 5, 1);
	assert_int_equal(fdb_bind(f, key_of(1, 1), 6), 0);
	assert_int_equal(fdb_bind(f, key_of(1, 1), 6), 0);
	assert_int_equal(fdb_bind(f, key_of(1, 1), 7), -EEXIST);
	assert_int_equal(port_of(f, key_of(1, 1)), 6);
	assert_int_equal(fdb_count_port(f, 5), 0);
	assert_int_equal(fdb_count_port(f, 6), 1);
	assert_int_equal(fdb_unbind(f, key_of(1, 1), 5), -ENOENT);
	assert_int_equal(fdb_unbind(f, key_of(1, 2), 6), -ENOENT);
	assert_int_equal(fdb_unbind(f, key_of(1, 1), 6), 0);
	assert_int_equal(fdb_unbind(f, key_of(1, 1), 6), -ENOENT);
	assert_int_equal(port_of(f, key_of(1, 1)), FDB_NO_PORT);
	fdb_learn(f, key_of(1, 1), 5, 1);
	assert_int_equal(fdb_unbind(f, key_of(1, 1), 5), -ENOENT);
	done(f);
}

static void bound_address_makes_room_in_a_full_fdb(void **state)
{
	struct fdb *f = make(100);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		fdb_learn(f, key_of(1, i), i < 60 ? 1 : 2, 1);
	/* Fairness is among learners: port 2 is not the largest, and gets its static entry from port 1. */
	assert_int_equal(fdb_bind(f, key_of(2, 0), 2), 0);
	assert_int_equal(fdb_count_port(f, 1), 59);
	assert_int_equal(fdb_reserve(f, 99), 0);
	assert_int_equal(fdb_reserve(f, 100), -ENOSPC);
	for (uint32_t i = 1; i < 100; i++)
		assert_int_equal(fdb_bind(f, key_of(2, i), 3), 0);
	assert_int_equal(fdb_bind(f, key_of(2, 100), 3), -ENOSPC);
	assert_int_equal(fdb_learn(f, key_of(1, 0), 1, 1), -ENOSPC);
	assert_int_equal(fdb_count(f), 100);
	done(f);
}

static void reserved_room_is_there_without_growing(void **state)
{
	struct fdb *f = make(100000);
	unsigned before;

	(void)state;
	assert_int_equal(fdb_reserve(f, 50000), 0);
	before = grace_periods;
	for (uint32_t i = 0; i < 50000; i++)
		assert_int_equal(fdb_bind(f, key_of(1, i), i % PORTS), 0);
	assert_int_equal(grace_periods, before);
	done(f);
}

static void sizes_outside_the_range_are_refused(void **state)
{
	(void)state;
	assert_null(fdb_new(0, 1, quiesce, NULL));
	assert_null(fdb_new((16u << 20) + 1, 1, quiesce, NULL));
	assert_null(fdb_new(1, 0, quiesce, NULL));
	assert_null(fdb_new(1, FDB_NO_PORT, quiesce, NULL));
	fdb_free(NULL);
	done(make(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_splits_into_vlan_and_address),
		cmocka_unit_test(learned_address_is_found_in_its_vlan_only),
		cmocka_unit_test(entry_tells_where_and_when),
		cmocka_unit_test(heard_address_is_new_known_or_bound),
		cmocka_unit_test(age_is_written_at_most_once_a_second),
		cmocka_unit_test(moved_address_takes_its_count_along),
		cmocka_unit_test(worker_that_finds_another_writing_is_told_to_come_again),
		cmocka_unit_test(limits_of_port_and_vlan),
		cmocka_unit_test(entry_unheard_for_its_vlans_age_is_removed),
		cmocka_unit_test(ageing_goes_round_within_its_budget),
		cmocka_unit_test(flush_by_port_and_vlan),
		cmocka_unit_test(full_fdb_evicts_from_the_largest_holder),
		cmocka_unit_test(full_fdb_evicts_the_longest_unheard_of_the_oldest),
		cmocka_unit_test(flood_by_one_port_keeps_the_others_entries),
		cmocka_unit_test(flood_into_a_table_not_yet_grown_keeps_the_others_entries),
		cmocka_unit_test(static_entry_is_never_evicted_or_moved),
		cmocka_unit_test(bound_address_replaces_a_learned_one),
		cmocka_unit_test(bound_address_makes_room_in_a_full_fdb),
		cmocka_unit_test(reserved_room_is_there_without_growing),
		cmocka_unit_test(sizes_outside_the_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding database under several workers and the control thread, registered with liburcu's QSBR as in the daemon. The work
 * is counted, not timed. Run it under ThreadSanitizer too (make tsan).
 */
#include "fdb_check.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <urcu/urcu-qsbr.h>

#define PORTS	16
#define WORKERS 3
#define BURST	32

#ifdef __SANITIZE_THREAD__
#define SLOWER 20
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOWER 20
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

/* ThreadSanitizer does not see liburcu's grace periods order anything; this pair of marks tells it. */
static unsigned passed;

static void quiescent(void)
{
	__atomic_fetch_add(&passed, 1, __ATOMIC_RELEASE);
	urcu_qsbr_quiescent_state();
}

static void quiesce(void *arg)
{
	(void)arg;
	urcu_qsbr_synchronize_rcu();
	(void)__atomic_load_n(&passed, __ATOMIC_ACQUIRE);
}

struct worker {
	pthread_t thread;
	struct fdb *f;
	const struct side *side;
	uint64_t seed;
	unsigned rounds;
	/* Faults are counted, and asserted by the main thread: cmocka's jump must not leave another thread's stack. */
	unsigned wrong, missed, odd, learned;
};

struct side {
	void (*round)(struct worker *w);
	void (*control)(struct fdb *f, unsigned i);
	unsigned rounds; /* of a worker, at least */
	unsigned turns;	 /* of the control thread, at least: on a busy machine one may be done before the other has begun */
};

static unsigned working, turns;
static uint32_t now_s; /* the control thread's clock, read by all */

static uint32_t now(void)
{
	return __atomic_load_n(&now_s, __ATOMIC_RELAXED);
}

/* Here workers outnumber CPUs, so the one that writes may be asleep: let it run, or the others would be done without learning. */
static int learn(struct fdb *f, uint64_t key, uint16_t port)
{
	int r = fdb_learn(f, key, port, now());

	if (r == -EAGAIN)
		sched_yield();
	return r;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	urcu_qsbr_register_thread();
	for (unsigned i = 0; i < w->side->rounds / SLOWER || __atomic_load_n(&turns, __ATOMIC_RELAXED) < w->side->turns; i++) {
		w->side->round(w);
		quiescent();
	}
	quiescent();
	urcu_qsbr_unregister_thread();
	__atomic_fetch_sub(&working, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Workers go their rounds; the control thread, which this is, goes its own until they are done. */
static void run(struct fdb *f, const struct side *side, struct worker *w, unsigned workers)
{
	memset(w, 0, workers * sizeof(*w));
	working = workers;
	__atomic_store_n(&turns, 0, __ATOMIC_RELAXED);
	urcu_qsbr_register_thread();
	for (unsigned i = 0; i < workers; i++) {
		w[i].f = f;
		w[i].side = side;
		w[i].seed = 0x2545f4914f6cdd1d * (i + 1);
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; __atomic_load_n(&working, __ATOMIC_ACQUIRE); i++) {
		side->control(f, i);
		__atomic_store_n(&turns, i + 1, __ATOMIC_RELAXED);
		quiescent();
		sched_yield();
	}
	urcu_qsbr_thread_offline();
	for (unsigned i = 0; i < workers; i++)
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
	urcu_qsbr_thread_online();
	urcu_qsbr_unregister_thread();
	fdb_check(f);
}

/* --- every address has one right port --------------------------------------------------------------------------------------- */

#define ADDRESSES 20000
#define BOUND	  64 /* the first ones are bound and unbound by the control thread, to the same port */

static uint64_t address(uint32_t n)
{
	return key_of(1 + n % 8, n);
}

static uint16_t right_port(uint32_t n)
{
	return n % 7 * n % PORTS;
}

static void hear_learn_look_up(struct worker *w)
{
	uint64_t key[BURST], hash[BURST];
	uint32_t n[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		n[i] = any(&w->seed, ADDRESSES);
		key[i] = address(n[i]);
		hash[i] = fdb_hash(w->f, key[i]);
		fdb_prefetch(w->f, hash[i]);
	}
	for (unsigned i = 0; i < BURST; i++) {
		struct fdb_hit hit = fdb_lookup(w->f, key[i], hash[i]);

		w->wrong += hit.port != FDB_NO_PORT && hit.port != right_port(n[i]);
		w->odd += hit.is_static && n[i] >= BOUND;
	}
	for (unsigned i = 0; i < BURST; i++) {
		enum fdb_heard heard = fdb_hear(w->f, key[i], hash[i], right_port(n[i]), now());
		int r;

		w->odd += heard == FDB_BOUND;
		if (heard != FDB_NEW)
			continue;
		r = learn(w->f, key[i], right_port(n[i]));
		w->learned += r == 0;
		w->odd += r != 0 && r != -EAGAIN && r != -ENOSPC;
	}
}

static void bind_flush_tend(struct fdb *f, unsigned i)
{
	uint64_t seed = 0xda942042e4dd58b5 + i;
	uint32_t n = any(&seed, BOUND);

	any(&seed, 1);
	if (fdb_bind(f, address(n), right_port(n)) == 0 && any(&seed, 2))
		fdb_unbind(f, address(n), right_port(n));
	if (i % 16 == 0)
		fdb_flush(f, (int)any(&seed, PORTS + 1) - 1, (int)any(&seed, 9) - 1);
	if (i % 8 == 0) {
		__atomic_store_n(&now_s, now_s + 1, __ATOMIC_RELAXED);
		fdb_limit_port(f, (uint16_t)any(&seed, PORTS), any(&seed, 2) * any(&seed, 3000));
	}
	fdb_tend(f, now_s, 1000);
}

static void readers_never_see_a_wrong_port_while_writers_run(void **state)
{
	const struct side side = {hear_learn_look_up, bind_flush_tend, 20000, 100};
	struct fdb *f = fdb_new(6000, PORTS, quiesce, NULL); /* less than a third of the addresses: it evicts */
	struct worker w[WORKERS];
	struct fdb_entry e;
	uint64_t cursor = 0;

	(void)state;
	assert_non_null(f);
	for (uint16_t v = 0; v < 9; v++)
		fdb_aging_vlan(f, v, 3);
	run(f, &side, w, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(w[i].wrong, 0);
		assert_int_equal(w[i].odd, 0);
		assert_true(w[i].learned > 0);
	}
	while (fdb_next(f, &cursor, &e)) {
		struct rte_ether_addr mac;
		uint16_t vlan;

		fdb_key_split(e.key, &vlan, &mac);
		assert_int_equal(e.port, right_port((uint32_t)mac.addr_bytes[3] << 16 | (uint32_t)mac.addr_bytes[4] << 8 |
						    mac.addr_bytes[5]));
	}
	fdb_free(f);
}

/* --- nothing that is known is ever missed ----------------------------------------------------------------------------------- */

#define KNOWN 400 /* half learned, half static, on a VLAN of their own */

static void look_up_and_flood(struct worker *w)
{
	for (unsigned i = 0; i < BURST; i++) {
		uint32_t n = any(&w->seed, KNOWN);
		uint64_t key = key_of(100, n);
		uint16_t port = n % PORTS;

		w->missed += port_of(w->f, key) != port;
		w->wrong += hear(w->f, key, port, now()) != FDB_KNOWN;
		if (n < KNOWN / 2)
			w->wrong += hear(w->f, key, (port + 1) % PORTS, now()) != FDB_BOUND;
	}
	/* New addresses behind one port: they push the others from bucket to bucket, and the table from size to size. */
	for (unsigned i = 0; i < BURST; i++)
		w->learned += learn(w->f, key_of(200, any(&w->seed, UINT32_MAX)), PORTS) == 0;
}

static void tend_and_start_over(struct fdb *f, unsigned i)
{
	(void)i;
	/* Come late, so that the tables are packed by then, and entries pushed about. */
	if (fdb_count(f) < fdb_slots(f) / 5 * 4 && fdb_count(f) < 60000)
		return;
	__atomic_store_n(&now_s, now_s + 1, __ATOMIC_RELAXED);
	fdb_tend(f, now_s, 0);
	if (fdb_count(f) >= 60000)
		fdb_flush(f, -1, 200);
}

static void known_address_is_never_missed_while_others_come_and_the_table_grows(void **state)
{
	const struct side side = {look_up_and_flood, tend_and_start_over, 10000, 10};
	struct worker w[WORKERS];
	unsigned grown = 0, moves = 0, learned = 0;

	(void)state;
	for (unsigned again = 0; again < 3; again++) {
		struct fdb *f = fdb_new(1000000, PORTS + 1, quiesce, NULL);

		assert_non_null(f);
		for (uint32_t n = 0; n < KNOWN; n++) {
			if (n < KNOWN / 2)
				assert_int_equal(fdb_bind(f, key_of(100, n), n % PORTS), 0);
			else
				assert_int_equal(fdb_learn(f, key_of(100, n), n % PORTS, now()), 0);
		}
		run(f, &side, w, WORKERS);
		for (unsigned i = 0; i < WORKERS; i++) {
			assert_int_equal(w[i].missed, 0);
			assert_int_equal(w[i].wrong, 0);
			learned += w[i].learned;
		}
		grown += fdb_slots(f) > 2048;
		moves += f->moves;
		for (uint32_t n = 0; n < KNOWN; n++)
			assert_int_equal(port_of(f, key_of(100, n)), n % PORTS);
		fdb_free(f);
	}
	/* It was a test: */
	assert_int_equal(grown, 3);
	assert_true(moves > 100);
	assert_true(learned > 10000);
}

/* --- stations that move ----------------------------------------------------------------------------------------------------- */

#define ROAMING 64

static void roam(struct worker *w)
{
	for (unsigned i = 0; i < BURST; i++) {
		uint32_t n = any(&w->seed, ROAMING);
		uint16_t port = (uint16_t)any(&w->seed, 4), was = port_of(w->f, key_of(1, n));
		int r;

		/* Address n is heard behind port 4 * (n % 3) and the three after it, nowhere else. */
		w->missed += was == FDB_NO_PORT;
		w->wrong += was != FDB_NO_PORT && was / 4 != n % 3;
		port = (uint16_t)(port + n % 3 * 4);
		if (hear(w->f, key_of(1, n), port, now()) == FDB_KNOWN)
			continue;
		r = learn(w->f, key_of(1, n), port);
		w->learned += r == 1;
		w->odd += r < 0 && r != -EAGAIN;
	}
}

static void tick(struct fdb *f, unsigned i)
{
	__atomic_store_n(&now_s, now_s + 1, __ATOMIC_RELAXED);
	fdb_limit_vlan(f, 2, i);
}

static void moving_address_is_always_behind_one_of_its_ports(void **state)
{
	const struct side side = {roam, tick, 10000, 100};
	struct fdb *f = fdb_new(1000, PORTS, quiesce, NULL);
	struct worker w[WORKERS];

	(void)state;
	assert_non_null(f);
	for (uint32_t n = 0; n < ROAMING; n++)
		assert_int_equal(fdb_learn(f, key_of(1, n), n % 3 * 4, now()), 0);
	run(f, &side, w, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(w[i].missed, 0);
		assert_int_equal(w[i].wrong, 0);
		assert_int_equal(w[i].odd, 0);
		assert_true(w[i].learned > 0);
	}
	assert_int_equal(fdb_count(f), ROAMING);
	fdb_free(f);
}

/* --- two races, aimed at ---------------------------------------------------------------------------------------------------- */

/*
 * One reader, and a control thread that does always the same: both know the one address or the one pair of buckets that matters, so
 * that the window of a few instructions is hit many times in a run.
 */
static uint64_t aim[3];
static uint16_t aimed_port[2];

static void look_up_one_of_two(struct worker *w)
{
	for (unsigned i = 0; i < BURST; i++) {
		uint16_t port = port_of(w->f, aim[i % 2]);

		w->wrong += port != FDB_NO_PORT && port != aimed_port[i % 2];
		w->learned += port != FDB_NO_PORT;
	}
}

/* Two addresses take turns in the first slot of one bucket; the first stays in between. */
static void take_turns(struct fdb *f, unsigned i)
{
	for (unsigned n = 0; n < 200; n++) {
		fdb_unbind(f, aim[n % 2], aimed_port[n % 2]);
		fdb_bind(f, aim[!(n % 2)], aimed_port[!(n % 2)]);
	}
}

static void slot_that_changes_hands_is_never_read_as_a_mixture(void **state)
{
	const struct side side = {look_up_one_of_two, take_turns, 100000, 200};
	struct fdb *f = fdb_new(100, PORTS, quiesce, NULL);
	struct worker w[WORKERS];
	uint32_t n = 0;

	(void)state;
	assert_non_null(f);
	for (unsigned i = 0; i < 2; i++) {
		aim[i] = colliding(f, &n, 32, FDB_NONE, false);
		aimed_port[i] = (uint16_t)(3 + i);
	}
	run(f, &side, w, 1);
	assert_int_equal(w[0].wrong, 0);
	assert_true(w[0].learned > 0);
	fdb_free(f);
}

static void look_up_the_displaced(struct worker *w)
{
	for (unsigned i = 0; i < BURST; i++)
		w->missed += port_of(w->f, aim[0]) != 1;
}

/*
 * Address 0 stands in bucket A or B. 1 and 2 want A and B, where it is the only one that can move: each pushes it into the other.
 */
static void push_to_and_fro(struct fdb *f, unsigned i)
{
	for (unsigned n = 0; n < 200; n++) {
		fdb_bind(f, aim[1 + n % 2], 2);
		fdb_unbind(f, aim[1 + n % 2], 2);
	}
}

static void entry_on_its_way_to_its_other_bucket_is_not_missed(void **state)
{
	const struct side side = {look_up_the_displaced, push_to_and_fro, 100000, 200};
	struct fdb *f = fdb_new(100, PORTS, quiesce, NULL);
	const uint32_t a = 0, b = 128, beside_a = 132, beside_b = 4;
	struct worker w[WORKERS];
	uint32_t n = 0;

	(void)state;
	assert_non_null(f);
	assert_int_equal(fdb_slots(f), 256);
	aim[0] = colliding(f, &n, a, b, false);
	aim[1] = colliding(f, &n, a, beside_a, true);
	aim[2] = colliding(f, &n, b, beside_b, true);
	assert_int_equal(fdb_bind(f, aim[0], 1), 0);
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(fdb_bind(f, colliding(f, &n, a, beside_a, true), 3), 0);
		assert_int_equal(fdb_bind(f, colliding(f, &n, b, beside_b, true), 3), 0);
	}
	run(f, &side, w, 1);
	assert_int_equal(w[0].missed, 0);
	assert_true(f->moves > 100);
	fdb_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_never_see_a_wrong_port_while_writers_run),
		cmocka_unit_test(known_address_is_never_missed_while_others_come_and_the_table_grows),
		cmocka_unit_test(moving_address_is_always_behind_one_of_its_ports),
		cmocka_unit_test(slot_that_changes_hands_is_never_read_as_a_mixture),
		cmocka_unit_test(entry_on_its_way_to_its_other_bucket_is_not_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

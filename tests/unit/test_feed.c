/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The event feed on a switch of which only ports, FDB and event loop are there: the test is the workers.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "dp.h"
#include "feed.h"

#define N_PORTS	  4
#define N_WORKERS 2

static struct dp *dp;
static struct port ports[N_PORTS];
static struct port_rt rts[N_PORTS];
static struct port_counters counters[N_PORTS][N_WORKERS];
static struct worker *workers[N_WORKERS];

static struct dp_event told[8192];
static unsigned n_told;

static void listener(const struct dp_event *e, void *arg)
{
	assert_ptr_equal(arg, &n_told);
	assert_true(n_told < 8192);
	told[n_told++] = *e;
}

static void no_quiesce(void *arg)
{
	(void)arg;
}

static int setup(void **state)
{
	(void)state;
	dp = calloc(1, sizeof(*dp));
	assert_non_null(dp);
	assert_int_equal(events_init(&dp->events), 0);
	dp->fdb = fdb_new(65536, DP_MAX_PORTS, no_quiesce, NULL);
	assert_non_null(dp->fdb);
	dp->tsc_hz = 1000000000;
	dp->n_workers = N_WORKERS;
	memset(ports, 0, sizeof(ports));
	memset(rts, 0, sizeof(rts));
	memset(counters, 0, sizeof(counters));
	for (unsigned i = 0; i < N_WORKERS; i++) {
		workers[i] = calloc(1, sizeof(*workers[i]));
		assert_non_null(workers[i]);
		workers[i]->id = i;
		workers[i]->dp = dp;
		dp->workers[i] = workers[i];
	}
	for (unsigned i = 0; i < N_PORTS; i++) {
		ports[i].idx = i;
		ports[i].gen = 100 + i;
		ports[i].dp = dp;
		ports[i].rt = &rts[i];
		ports[i].counters = counters[i];
		snprintf(ports[i].name, sizeof(ports[i].name), "p%u", i);
		dp->ports[i] = &ports[i];
	}
	n_told = 0;
	assert_int_equal(dp_events_start(dp, listener, &n_told), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dp_events_stop(dp);
	fdb_free(dp->fdb);
	events_fini(&dp->events);
	for (unsigned i = 0; i < N_WORKERS; i++)
		free(workers[i]);
	free(dp);
	return 0;
}

static uint64_t key(unsigned n)
{
	struct rte_ether_addr mac = {.addr_bytes = {2, 0, 0, 0, n >> 8, n & 255}};

	return fdb_key(100, &mac);
}

static void learns(unsigned worker, unsigned n, unsigned port, uint16_t from, uint64_t tsc)
{
	workers[worker]->now_tsc = tsc;
	feed_learned(workers[worker], dp->feed, key(n), &ports[port], from);
}

static void addresses_are_told_in_the_order_of_their_time(void **state)
{
	uint64_t now = rte_rdtsc();

	(void)state;
	learns(0, 1, 0, FDB_NO_PORT, now - 3000);
	learns(0, 1, 1, 0, now - 1000);
	learns(1, 2, 2, FDB_NO_PORT, now - 2000);
	assert_int_equal(n_told, 0);
	feed_tick(dp, false);
	assert_int_equal(n_told, 3);
	assert_int_equal(told[0].type, DP_EVENT_FDB_LEARN);
	assert_string_equal(told[0].port, "p0");
	assert_int_equal(told[0].vlan, 100);
	assert_memory_equal(told[0].mac, "\2\0\0\0\0\1", 6);
	assert_string_equal(told[1].port, "p2");
	assert_int_equal(told[2].type, DP_EVENT_FDB_MOVE);
	assert_string_equal(told[2].port, "p1");
	assert_string_equal(told[2].from, "p0");
	assert_true(told[0].time_us <= told[1].time_us && told[1].time_us <= told[2].time_us);
	/* Each once. */
	feed_tick(dp, false);
	assert_int_equal(n_told, 3);
}

static void what_ages_is_told(void **state)
{
	(void)state;
	fdb_aging_vlan(dp->fdb, 100, 10);
	assert_int_equal(fdb_learn(dp->fdb, key(7), 3, 1), 0);
	fdb_tend(dp->fdb, 5, 1u << 20);
	feed_tick(dp, false);
	assert_int_equal(n_told, 0);
	fdb_tend(dp->fdb, 11, 1u << 20);
	feed_tick(dp, false);
	assert_int_equal(n_told, 1);
	assert_int_equal(told[0].type, DP_EVENT_FDB_AGE);
	assert_string_equal(told[0].port, "p3");
	assert_memory_equal(told[0].mac, "\2\0\0\0\0\7", 6);
}

static void a_port_that_has_gone_is_not_named(void **state)
{
	(void)state;
	learns(0, 1, 0, FDB_NO_PORT, 1);
	learns(0, 2, 1, 2, 2);
	ports[0].gen = 999; /* another port has its place */
	dp->ports[2] = NULL;
	feed_tick(dp, false);
	assert_int_equal(n_told, 1);
	assert_string_equal(told[0].port, "p1");
	assert_int_equal(told[0].type, DP_EVENT_FDB_MOVE);
	assert_string_equal(told[0].from, "");
}

static void what_is_over_the_rate_is_a_count(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FEED_RING + 50; i++)
		learns(0, i, 0, FDB_NO_PORT, i);
	for (unsigned i = 0; i < FEED_RING; i++)
		learns(1, i, 1, FDB_NO_PORT, i);
	feed_tick(dp, true);
	assert_int_equal(n_told, FEED_FDB_RATE + 1);
	assert_int_equal(told[FEED_FDB_RATE].type, DP_EVENT_FDB_OMITTED);
	/* Those beyond the rate, and those that found the ring full. */
	assert_int_equal(told[FEED_FDB_RATE].count, 2 * FEED_RING + 50 - FEED_FDB_RATE);
	feed_tick(dp, true);
	assert_int_equal(n_told, FEED_FDB_RATE + 1);
	learns(0, 1, 0, FDB_NO_PORT, 1);
	feed_tick(dp, true);
	assert_int_equal(n_told, FEED_FDB_RATE + 2);
}

static void link_is(unsigned port, bool up)
{
	ports[port].link_up = up;
	feed_link(&ports[port]);
}

static void every_change_of_a_link_is_told_at_the_next_dispatch(void **state)
{
	(void)state;
	link_is(0, true);
	link_is(0, true);
	link_is(0, false);
	link_is(1, true);
	rts[1].down = true; /* administratively: the link that counts is down */
	feed_link(&ports[1]);
	assert_int_equal(n_told, 0);
	dp_dispatch(dp);
	assert_int_equal(n_told, 4);
	assert_true(told[0].link_up && !told[1].link_up && told[2].link_up && !told[3].link_up);
	assert_string_equal(told[1].port, "p0");
	assert_string_equal(told[3].port, "p1");
	dp_dispatch(dp);
	assert_int_equal(n_told, 4);
}

static void more_changes_than_fit_end_with_the_true_state(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FEED_LINKS; i++)
		link_is(0, !ports[0].link_up);
	link_is(1, true);
	link_is(2, true);
	link_is(2, false);
	dp_dispatch(dp);
	assert_int_equal(n_told, FEED_LINKS + 1);
	assert_string_equal(told[FEED_LINKS].port, "p1");
	assert_true(told[FEED_LINKS].link_up);
}

static void poll_tells_all_that_was(void **state)
{
	(void)state;
	link_is(0, true);
	learns(1, 1, 1, FDB_NO_PORT, 1);
	dp_events_poll(dp);
	assert_int_equal(n_told, 2);
	dp_dispatch(dp);
	feed_tick(dp, false);
	assert_int_equal(n_told, 2);
}

static void counters_are_told_once_a_second_as_what_came_since(void **state)
{
	(void)state;
	counters[2][0].drops[SLC_DROP_SPOOF_MAC] = 3;
	counters[2][1].drops[SLC_DROP_SPOOF_MAC] = 4;
	counters[2][0].drops[SLC_DROP_LIMIT_OUT] = 5;
	counters[2][0].drops[SLC_DROP_RUNT] = 6; /* nobody's business here */
	counters[1][0].learn_refused = 7;
	feed_tick(dp, false);
	assert_int_equal(n_told, 0);
	feed_tick(dp, true);
	assert_int_equal(n_told, 3);
	assert_int_equal(told[0].type, DP_EVENT_LIMIT);
	assert_string_equal(told[0].port, "p1");
	assert_string_equal(told[0].reason, "learn-refused");
	assert_int_equal(told[0].count, 7);
	assert_int_equal(told[1].type, DP_EVENT_SPOOF);
	assert_string_equal(told[1].reason, "spoof-mac");
	assert_int_equal(told[1].count, 7);
	assert_string_equal(told[2].reason, "limit-out");
	feed_tick(dp, true);
	assert_int_equal(n_told, 3);
	counters[2][1].drops[SLC_DROP_SPOOF_MAC]++;
	feed_tick(dp, true);
	assert_int_equal(n_told, 4);
	assert_int_equal(told[3].count, 1);
}

static void who_starts_to_listen_hears_nothing_old(void **state)
{
	(void)state;
	dp_events_stop(dp);
	assert_null(dp->feed);
	counters[2][0].drops[SLC_DROP_SPOOF_MAC] = 3;
	link_is(0, true);
	assert_int_equal(dp_events_start(dp, listener, &n_told), 0);
	assert_int_equal(dp_events_start(dp, listener, &n_told), -EBUSY);
	feed_tick(dp, true);
	dp_dispatch(dp);
	assert_int_equal(n_told, 0);
	link_is(0, false);
	dp_dispatch(dp);
	assert_int_equal(n_told, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(addresses_are_told_in_the_order_of_their_time),
		TEST(what_ages_is_told),
		TEST(a_port_that_has_gone_is_not_named),
		TEST(what_is_over_the_rate_is_a_count),
		TEST(every_change_of_a_link_is_told_at_the_next_dispatch),
		TEST(more_changes_than_fit_end_with_the_true_state),
		TEST(poll_tells_all_that_was),
		TEST(counters_are_told_once_a_second_as_what_came_since),
		TEST(who_starts_to_listen_hears_nothing_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

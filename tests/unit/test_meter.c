/* SPDX-License-Identifier: Apache-2.0 */

/* Meters against simulated time: no test here waits, or depends on the speed of the machine. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "meter.h"

#define HZ    UINT64_C(2900000000)
#define START UINT64_C(0x123456789abcd) /* not a round number, and long after boot */

static const uint32_t frame_sizes[] = {64, 1500, 9216, 65536};
static const uint64_t rates_bps[] = {64000, 1000000, 10000000, 33333333, 1000000000, 25000000000, 100000000000, 400000000000};

/* Offer bursts of `n` frames of `size` (0: a meter of frames) every `step` for `cycles`; returns bytes (frames) admitted. */
static uint64_t offer(struct meter *m, uint32_t size, unsigned n, uint64_t from, uint64_t cycles, uint64_t step)
{
	uint32_t cost[64];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 64; i++)
		cost[i] = size;
	for (uint64_t t = 0; t < cycles; t += step) {
		uint64_t admit = n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX;

		meter_charge(m, size ? cost : NULL, n, &admit, from + t);
		sum += (uint64_t)__builtin_popcountll(admit) * (size ? size : 1);
	}
	return sum;
}

/*
 * A step at which bursts of n offer at least twice the rate, and that is short beside the meter's burst (else what the bucket cannot hold
 * between two offers is lost, and rightly so).
 */
static uint64_t step_for(const struct meter *m, uint64_t rate, uint64_t unit, unsigned n)
{
	double step = (double)n * (double)unit * (double)HZ / (double)rate / 2, most = (double)m->burst / 256 / 4;

	return step > most ? (uint64_t)most : step < 1 ? 1 : (uint64_t)step;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The full bucket is not the rate: spend it. */
static void spend(struct meter *m, uint32_t size, uint64_t now)
{
	while (offer(m, size, 64, now, 1, 1))
		;
}

static void within(uint64_t got, uint64_t want, uint64_t slack_units)
{
	uint64_t slack = want / 1000 + slack_units;

	if (got + slack < want || got > want + slack)
		fail_msg("got %lu, wanted %lu give or take %lu", got, want, slack);
}

static void rate_set_is_rate_got(void **state)
{
	for (unsigned r = 0; r < sizeof(rates_bps) / sizeof(rates_bps[0]); r++) {
		for (unsigned f = 0; f < sizeof(frame_sizes) / sizeof(frame_sizes[0]); f++) {
			uint64_t rate = rates_bps[r] / 8, cycles = 10 * HZ, step, got;
			uint32_t size = frame_sizes[f];
			struct meter m;

			meter_init_bps(&m, rates_bps[r], 0, HZ, START);
			spend(&m, size, START);
			step = least(step_for(&m, rate, size, 32), cycles / 1000);
			/* Ten seconds, or less where they are millions of bursts. */
			if (cycles / step > 100000)
				cycles = step * 100000;
			got = offer(&m, size, 32, START, cycles, step);
			within(got, (uint64_t)((double)rate * (double)cycles / (double)HZ), size);
		}
	}
}

static void ten_megabits_are_ten_megabits_at_every_frame_size(void **state)
{
	for (unsigned f = 0; f < sizeof(frame_sizes) / sizeof(frame_sizes[0]); f++) {
		uint32_t size = frame_sizes[f];
		uint64_t got, burst = METER_BURST_MIN;
		struct meter m;

		meter_init_bps(&m, 10000000, 0, HZ, START);
		got = offer(&m, size, 32, START, 10 * HZ, HZ / 40000);
		/* The burst is part of the first ten seconds; one frame may be owed at their end. */
		assert_true(got >= 12500000 - 12500);
		assert_true(got <= 12500000 + 12500 + burst + size);
	}
}

static void packets_set_are_packets_got(void **state)
{
	static const uint64_t rates[] = {1, 100, 12345, 1000000, 14880952, 600000000};

	for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		uint64_t cycles = 10 * HZ, step, got;
		struct meter m;

		meter_init_pps(&m, rates[r], HZ, START);
		spend(&m, 0, START);
		step = least(step_for(&m, rates[r], 1, 32), cycles / 1000);
		if (cycles / step > 1000000)
			cycles = step * 1000000;
		got = offer(&m, 0, 32, START, cycles, step);
		within(got, (uint64_t)((double)rates[r] * (double)cycles / (double)HZ), 1);
	}
}

static void first_second_brings_the_rate_and_one_burst(void **state)
{
	for (unsigned r = 0; r < sizeof(rates_bps) / sizeof(rates_bps[0]) && rates_bps[r] <= 1000000000; r++) {
		uint64_t rate = rates_bps[r] / 8, burst = rate / 100 > METER_BURST_MIN ? rate / 100 : METER_BURST_MIN, got;
		struct meter m;

		meter_init_bps(&m, rates_bps[r], 0, HZ, START);
		got = offer(&m, 1500, 32, START, HZ, step_for(&m, rate, 1500, 32) / 8);
		assert_true(got <= rate + burst + 1500);
		assert_true(got >= rate + burst - rate / 1000 - 1500);
	}
}

static void burst_set_is_burst_got(void **state)
{
	struct meter m;
	uint64_t got = 0;

	meter_init_bps(&m, 8000000, 100000, HZ, START);
	for (unsigned i = 0; i < 100; i++)
		got += offer(&m, 1000, 64, START, 1, 1);
	assert_int_equal(got, 101000); /* the burst, and the frame that went into debt */
}

static void silence_earns_one_burst_and_no_more(void **state)
{
	struct meter m;
	uint64_t now = START, got;

	meter_init_bps(&m, 8000000, 100000, HZ, now);
	for (unsigned s = 1; s < 1000; s *= 3) {
		spend(&m, 1000, now);
		now += s * HZ;
		got = 0;
		for (unsigned i = 0; i < 1000; i++)
			got += offer(&m, 1000, 1, now, 1, 1);
		assert_int_equal(got, 101000);
	}
}

/* 2.56 units a frame: a thousand bursts of one frame must not be charged two each, which would be a quarter above the rate. */
static void cost_is_rounded_to_the_nearest(void **state)
{
	struct meter m;

	meter_init(&m, UINT64_C(100000000000), 1000000, 1000000000, START);
	assert_int_equal(offer(&m, 0, 1, START, 1, 1), 1);
	assert_int_equal(m.tat - START * 256, 3);
	assert_int_equal(offer(&m, 0, 64, START, 1, 1), 64);
	assert_int_equal(m.tat - START * 256, 3 + 164);
}

static void meter_of_one_bit_a_second_works(void **state)
{
	struct meter m;
	uint64_t admit = 1;
	uint32_t cost = 125;

	meter_init_bps(&m, 1, 125, HZ, START);
	meter_charge(&m, &cost, 1, &admit, START);
	assert_int_equal(admit, 1);
	meter_charge(&m, &cost, 1, &admit, START);
	assert_int_equal(admit, 1);
	meter_charge(&m, &cost, 1, &admit, START);
	assert_int_equal(admit, 0);
	admit = 1;
	meter_charge(&m, &cost, 1, &admit, START + 999 * HZ);
	assert_int_equal(admit, 0);
	admit = 1;
	meter_charge(&m, &cost, 1, &admit, START + 1001 * HZ);
	assert_int_equal(admit, 1);
}

static void frame_larger_than_the_burst_passes_and_is_owed(void **state)
{
	struct meter m;
	uint64_t admit = 1;
	uint32_t cost = 65536;

	meter_init_bps(&m, 1000000, 1000, HZ, START); /* 65536 bytes take 0.524 s */
	meter_charge(&m, &cost, 1, &admit, START);
	assert_int_equal(admit, 1);
	cost = 64;
	meter_charge(&m, &cost, 1, &admit, START + HZ / 2); /* 524 - 8 ms is when it fits the burst again */
	assert_int_equal(admit, 0);
	admit = 1;
	meter_charge(&m, &cost, 1, &admit, START + HZ * 517 / 1000);
	assert_int_equal(admit, 1);
}

static void refused_frames_cost_nothing(void **state)
{
	struct meter m;
	uint64_t tat, admit;
	uint32_t cost[3] = {1000, 500, 60};

	meter_init_bps(&m, 8000, 1000, HZ, START);
	admit = 7;
	meter_charge(&m, cost, 3, &admit, START);
	assert_int_equal(admit, 3); /* 1000 fill it, 500 pass at the very edge, 60 come too late */
	tat = m.tat;
	assert_int_equal(tat, (START + HZ + HZ / 2) * 256);
	admit = 7;
	meter_charge(&m, cost, 3, &admit, START);
	assert_int_equal(admit, 0);
	assert_int_equal(m.tat, tat);
}

static void only_frames_still_admitted_are_charged_and_other_bits_stay(void **state)
{
	struct meter m;
	uint64_t admit = (UINT64_C(1) << 40) | 5;
	uint32_t cost[3] = {100, 1000000, 100};

	meter_init_bps(&m, 8000, 10000, HZ, START);
	meter_charge(&m, cost, 3, &admit, START);
	assert_true(admit == ((UINT64_C(1) << 40) | 5));
	assert_int_equal(m.tat, (START + HZ / 5) * 256);
	admit = UINT64_MAX;
	meter_charge(&m, NULL, 64, &admit, START);
	assert_true(admit == UINT64_MAX);
	admit = 0;
	meter_charge(&m, cost, 3, &admit, START);
	assert_int_equal(admit, 0);
}

static void refund_gives_back_what_was_charged(void **state)
{
	struct meter m;
	uint64_t admit = 15, tat;
	uint32_t cost[4] = {64, 1500, 700, 9216};

	meter_init_bps(&m, 10000000, 0, HZ, START);
	meter_charge(&m, cost, 4, &admit, START);
	assert_int_equal(admit, 15);
	tat = m.tat;
	meter_refund(&m, cost, 10);
	assert_in_range(tat - m.tat, (uint64_t)(256.0 * HZ * 10716 / 1250000) - 2, (uint64_t)(256.0 * HZ * 10716 / 1250000) + 2);
	meter_refund(&m, cost, 5);
	assert_in_range(m.tat - START * 256 + 2, 0, 4);
	meter_refund(&m, cost, 0);
	assert_in_range(m.tat - START * 256 + 2, 0, 4);
}

/* The clock's word wraps every 287 days at this frequency: go over it with traffic, and while idle. */
static void rate_holds_while_the_clock_wraps(void **state)
{
	uint64_t wrap = UINT64_C(1) << 56, from = wrap - 5 * HZ;
	struct meter m;
	uint64_t got;

	meter_init_bps(&m, 10000000, 0, HZ, from);
	got = offer(&m, 1500, 32, from, 10 * HZ, HZ / 40000);
	assert_in_range(got, 12500000 - 12500, 12500000 + 12500 + METER_BURST_MIN + 1500);
}

static void idle_for_years_and_touched_hourly_is_idle_and_nothing_more(void **state)
{
	uint64_t now = START, hour = 3600 * HZ, spent = 0;
	struct meter m;

	meter_init_bps(&m, 10000000, 0, HZ, now);
	offer(&m, 1500, 32, now, HZ, HZ / 1000);
	for (unsigned h = 0; h < 3 * 8760; h++) {
		now += hour;
		meter_touch(&m, now);
		if (h % 1000)
			continue;
		spent = 0;
		for (unsigned i = 0; i < 100; i++)
			spent += offer(&m, 1500, 32, now, 1, 1);
		assert_in_range(spent, METER_BURST_MIN, METER_BURST_MIN + 1500);
	}
	assert_true(spent != 0);
}

static void touch_leaves_a_debt_alone(void **state)
{
	struct meter m;
	uint64_t tat;

	meter_init_bps(&m, 8000, 1000, HZ, START);
	offer(&m, 9216, 1, START, 1, 1);
	tat = m.tat;
	meter_touch(&m, START + HZ);
	assert_int_equal(m.tat, tat);
}

/* Several workers with one clock, which moves one step with every burst that anybody offers. */
#define SHARED_WORKERS 2
#define SHARED_BURSTS  300000
#define SHARED_N       32

struct shared {
	struct meter m;
	uint64_t clock;
	uint64_t got;
};

static void *shared_worker(void *arg)
{
	struct shared *s = arg;
	uint32_t cost[SHARED_N];
	uint64_t sum = 0;

	for (unsigned i = 0; i < SHARED_N; i++)
		cost[i] = 1500;
	for (unsigned b = 0; b < SHARED_BURSTS; b++) {
		uint64_t admit = UINT32_MAX, now = __atomic_add_fetch(&s->clock, HZ / 100000, __ATOMIC_RELAXED);

		meter_charge(&s->m, cost, SHARED_N, &admit, now);
		/* A later check that refuses one in sixteen. */
		if (b % 16 == 0 && admit) {
			uint64_t back = admit & -admit;

			meter_refund(&s->m, cost, back);
			admit &= ~back;
		}
		sum += (uint64_t)__builtin_popcountll(admit) * 1500;
	}
	__atomic_add_fetch(&s->got, sum, __ATOMIC_RELAXED);
	return NULL;
}

static void workers_sharing_a_meter_share_its_rate(void **state)
{
	struct shared s = {.clock = START};
	pthread_t t[SHARED_WORKERS];
	uint64_t want, burst = 1000000;

	/* 10 us a burst offer 4.8 GB/s: almost five times the rate. */
	meter_init_bps(&s.m, 8000000000, burst, HZ, START);
	for (unsigned i = 0; i < SHARED_WORKERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, shared_worker, &s), 0);
	for (unsigned i = 0; i < SHARED_WORKERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	want = (uint64_t)((double)(s.clock - START) / HZ * 1000000000);
	/* At most one call's burst a colliding worker too much, and at the end only: what was too much before then was owed and paid. */
	assert_true(s.got <= want + burst + 1500 + SHARED_WORKERS * SHARED_N * 1500);
	assert_true(s.got >= want - want / 1000);
}

/* Whoever wins a collision: what both admitted is in the word afterwards, to the unit. */
static void charges_that_collide_are_all_owed(void **state)
{
	struct shared s = {.clock = START};
	uint64_t owed;
	pthread_t t[SHARED_WORKERS];

	/* A unit a byte, nothing ever paid back, a burst without end: the meter counts bytes. */
	meter_init(&s.m, 1000, UINT64_C(1) << 50, HZ, START);
	s.m.cost = 1;
	s.m.cost_frac = 0;
	s.m.burst = UINT64_C(1) << 57;
	s.m.tat = START * 256 + (UINT64_C(1) << 55);
	for (unsigned i = 0; i < SHARED_WORKERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, shared_worker, &s), 0);
	for (unsigned i = 0; i < SHARED_WORKERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	owed = s.m.tat - (START * 256 + (UINT64_C(1) << 55));
	assert_int_equal(owed, s.got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_set_is_rate_got),
		cmocka_unit_test(ten_megabits_are_ten_megabits_at_every_frame_size),
		cmocka_unit_test(packets_set_are_packets_got),
		cmocka_unit_test(first_second_brings_the_rate_and_one_burst),
		cmocka_unit_test(burst_set_is_burst_got),
		cmocka_unit_test(silence_earns_one_burst_and_no_more),
		cmocka_unit_test(cost_is_rounded_to_the_nearest),
		cmocka_unit_test(meter_of_one_bit_a_second_works),
		cmocka_unit_test(frame_larger_than_the_burst_passes_and_is_owed),
		cmocka_unit_test(refused_frames_cost_nothing),
		cmocka_unit_test(only_frames_still_admitted_are_charged_and_other_bits_stay),
		cmocka_unit_test(refund_gives_back_what_was_charged),
		cmocka_unit_test(rate_holds_while_the_clock_wraps),
		cmocka_unit_test(idle_for_years_and_touched_hourly_is_idle_and_nothing_more),
		cmocka_unit_test(touch_leaves_a_debt_alone),
		cmocka_unit_test(workers_sharing_a_meter_share_its_rate),
		cmocka_unit_test(charges_that_collide_are_all_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

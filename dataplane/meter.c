/* SPDX-License-Identifier: Apache-2.0 */

#include "meter.h"

#define UNITS_PER_TSC 256

/*
 * What one charge can owe at most, and what a burst can hold: about a day at 3 GHz. The clock's half range is half a year, so a debt of
 * every worker at once stays far from where a wrapped comparison would turn it into credit. Only rates of a few bits a second get there.
 */
#define COST_MAX  (UINT64_C(1) << 56)
#define BURST_MAX (UINT64_C(1) << 57)

static uint64_t units(uint64_t tsc)
{
	return tsc * UNITS_PER_TSC;
}

/* Is a before b? Right as long as they are less than half the clock's range apart, whatever either's value. */
static bool before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

/* Time that `n` bytes (frames) take, rounded to the nearest unit: always up would be 0.1 % of a small frame at 400 Gbit/s. */
static uint64_t cost_of(const struct meter *m, uint64_t n)
{
	unsigned __int128 t = (unsigned __int128)m->cost * n + ((unsigned __int128)m->cost_frac * n >> 64);
	uint64_t half = (uint64_t)((unsigned __int128)m->cost_frac * n) >> 63;

	t += half;
	return t < COST_MAX ? (uint64_t)t : COST_MAX;
}

/* A byte (frame) costs per_second / rate units. */
static void init(struct meter *m, uint64_t per_second, uint64_t rate, uint64_t burst, uint64_t now_tsc)
{
	unsigned __int128 t;

	m->cost = per_second / rate;
	m->cost_frac = (uint64_t)(((unsigned __int128)(per_second % rate) << 64) / rate);
	t = (unsigned __int128)m->cost * burst + ((unsigned __int128)m->cost_frac * burst >> 64);
	m->burst = t < BURST_MAX ? (uint64_t)t : BURST_MAX;
	m->tat = units(now_tsc);
}

void meter_init(struct meter *m, uint64_t rate, uint64_t burst, uint64_t tsc_hz, uint64_t now_tsc)
{
	init(m, units(tsc_hz), rate, burst, now_tsc);
}

void meter_init_bps(struct meter *m, uint64_t bps, uint64_t burst_bytes, uint64_t tsc_hz, uint64_t now_tsc)
{
	if (burst_bytes == 0) {
		burst_bytes = bps / 8 / 100;
		if (burst_bytes < METER_BURST_MIN)
			burst_bytes = METER_BURST_MIN;
	}
	/* The factor of 8 goes to the cost and not to the rate: 12 bit/s are not 8. */
	init(m, units(tsc_hz) * 8, bps, burst_bytes, now_tsc);
}

void meter_init_pps(struct meter *m, uint64_t pps, uint64_t tsc_hz, uint64_t now_tsc)
{
	uint64_t burst = pps / 100;

	init(m, units(tsc_hz), pps, burst < METER_BURST_MIN_FRAMES ? METER_BURST_MIN_FRAMES : burst, now_tsc);
}

static uint64_t sum_of(const uint32_t *cost, uint64_t frames)
{
	uint64_t sum = 0;

	if (!cost)
		return (uint64_t)__builtin_popcountll(frames);
	/* All from the first on, the common case: a loop that needs no look at the bits. */
	if ((frames & (frames + 1)) == 0) {
		unsigned n = (unsigned)__builtin_popcountll(frames);

		for (unsigned i = 0; i < n; i++)
			sum += cost[i];
		return sum;
	}
	for (; frames; frames &= frames - 1)
		sum += cost[__builtin_ctzll(frames)];
	return sum;
}

void meter_charge(struct meter *m, const uint32_t *cost, unsigned n, uint64_t *admit, uint64_t now_tsc)
{
	uint64_t now = units(now_tsc), limit = now + m->burst;
	uint64_t frames = n < 64 ? *admit & ((UINT64_C(1) << n) - 1) : *admit;
	uint64_t seen = __atomic_load_n(&m->tat, __ATOMIC_RELAXED);
	uint64_t start = before(seen, now) ? now : seen;
	uint64_t total = sum_of(cost, frames), refused = 0, charge, tat;

	if (frames == 0)
		return;
	charge = cost_of(m, total);
	/* Room for all of them is the common case and needs no look at each. */
	if (before(limit, start + charge)) {
		total = 0;
		for (uint64_t left = frames; left; left &= left - 1) {
			unsigned i = (unsigned)__builtin_ctzll(left);

			if (before(limit, start + cost_of(m, total)))
				refused |= UINT64_C(1) << i;
			else
				total += cost ? cost[i] : 1;
		}
		*admit &= ~refused;
		if (refused == frames)
			return;
		charge = cost_of(m, total);
	}
	/*
	 * What is admitted stays admitted if another worker came between: it is owed on top of theirs, and the next burst pays. Looping
	 * beats adding blindly, which would lose the charge into the idle past if it was a refund that came between.
	 */
	do {
		tat = (before(seen, now) ? now : seen) + charge;
	} while (!__atomic_compare_exchange_n(&m->tat, &seen, tat, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void meter_refund(struct meter *m, const uint32_t *cost, uint64_t back)
{
	if (back)
		__atomic_fetch_sub(&m->tat, cost_of(m, sum_of(cost, back)), __ATOMIC_RELAXED);
}

void meter_touch(struct meter *m, uint64_t now_tsc)
{
	uint64_t now = units(now_tsc), seen = __atomic_load_n(&m->tat, __ATOMIC_RELAXED);

	/* An arrival time in the past means the same as one now. If a worker moves the word meanwhile, the meter is not idle. */
	if (before(seen, now))
		__atomic_compare_exchange_n(&m->tat, &seen, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

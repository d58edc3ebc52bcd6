/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_METER_BPF_H
#define BPF_METER_BPF_H

/*
 * Policers: frames a second, by token buckets that all CPUs share.
 *
 * Under a spin lock: an unlocked pair of level and time loses updates. The level is kept in units * 1e9, so a pause of any nanoseconds
 * adds a whole number and nothing is lost to rounding at any rate. A frame passes when the bucket is not empty, and takes what it costs,
 * even if that leaves a debt: a segmentation request of 45 frames is late at 10 frames/s, not refused for ever. Bits/s are not policed
 * but shaped, see bpf/shape.h.
 */

#include "maps.bpf.h"

/* May `units` pass? A bucket never used is full, for its last time is the boot. */
static __always_inline bool meter_take(u32 bucket, const struct slc_k_rate *rate, u32 units)
{
	struct bucket *b = bpf_map_lookup_elem(&slc_buckets, &bucket);
	u64 per_s = rate->per_s, now, pause;
	s64 cap = rate->cap;
	bool pass;

	if (!b || !per_s)
		return true;
	now = bpf_ktime_get_ns();
	bpf_spin_lock(&b->lock);
	/* Another CPU may have read the clock after us and been here before. */
	pause = now > b->last_ns ? now - b->last_ns : 0;
	if (now > b->last_ns)
		b->last_ns = now;
	if (pause > rate->max_ns)
		pause = rate->max_ns;
	b->level += pause * per_s;
	if (b->level > cap)
		b->level = cap;
	pass = b->level > 0;
	if (pass)
		b->level -= (u64)units * 1000000000;
	bpf_spin_unlock(&b->lock);
	return pass;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_METER_H
#define DATAPLANE_METER_H

/*
 * Meters: rates in bits/s and frames/s, policed.
 *
 * The generic cell rate algorithm (ITU-T I.371 annex A, "virtual scheduling"): a meter is one number, the time at which all that was
 * admitted so far would have been sent at the rate exactly.
 *
 *        now            now + burst
 *    -----|------------------|---------> time        tat <= now + burst: admit, and tat = max(tat, now) + cost
 *                 ^ tat                              tat >  now + burst: drop, tat stays
 *
 * It is a token bucket with the bucket's level written as a time, and so one 64-bit word holds level and clock together: several
 * workers share a meter with one compare-and-swap a burst (not a frame) and lose no update, which an unlocked pair of level and time
 * stamp does.
 *
 * Admission looks at the meter before the frame's cost is added, so a frame larger than the burst passes when the meter is not in
 * debt, and its whole cost is owed afterwards: a 64 KB segmentation request at 1 Mbit/s is late, not refused for ever.
 *
 * Time is the TSC, counted in 1/256 cycles so that a frame's cost at 400 Gbit/s still has 3 digits; costs are computed with a 64-bit
 * fraction, so that the rate is exact at every frame size. The word wraps after months; meter_touch() brings idle meters forward, and
 * must be called on each at least once an hour.
 *
 * A frame costs its layer 2 bytes without FCS, as Linux tc counts (skb->len at the qdisc); a segmentation request costs what its
 * segments will, see offload.h's offload_wire(). No charge is ever cut into an admitted and a refused half: frames pass or do not.
 *
 * The default burst is 10 ms of the rate, and at least METER_BURST_MIN bytes (or METER_BURST_MIN_FRAMES frames for frames/s) so that one
 * receive burst fits: over five seconds that is 0.2 % above the rate, and at 10 Mbit/s the first second brings 1.2 % more.
 */

#include <stdbool.h>
#include <stdint.h>

#define METER_BURST_MIN	       15140 /* bytes: ten frames of 1514 */
#define METER_BURST_MIN_FRAMES 32

struct meter {
	uint64_t tat;	    /* theoretical arrival time, 1/256 TSC cycles; the only word that changes */
	uint64_t cost;	    /* 1/256 cycles a byte or frame: integer part ... */
	uint64_t cost_frac; /* ... and 64 fraction bits */
	uint64_t burst;	    /* 1/256 cycles */
};

/*
 * A meter of `rate` bytes (or frames) a second, `burst` bytes (or frames), that starts with its whole burst. rate > 0. What a charge can
 * owe and a burst can hold ends at 2^56 and 2^57 units, about a day: only rates of a few bits a second notice. Any thread, before the
 * meter is published.
 */
void meter_init(struct meter *m, uint64_t rate, uint64_t burst, uint64_t tsc_hz, uint64_t now_tsc);
/* Meters of a limit in bits/s (> 0) and frames/s (> 0), with the default burst, for bits/s where burst_bytes is 0. */
void meter_init_bps(struct meter *m, uint64_t bps, uint64_t burst_bytes, uint64_t tsc_hz, uint64_t now_tsc);
void meter_init_pps(struct meter *m, uint64_t pps, uint64_t tsc_hz, uint64_t now_tsc);

/*
 * Charge a burst of frames: cost[i] bytes (or frames) each, NULL: 1 each. Clears in *admit the bit of each frame that is over
 * the rate, and charges only those whose bit is set and stays; bits at n and above are left alone. n <= 64. One load, and one
 * compare-and-swap if anything was admitted (a meter that refuses all is only read). Any worker; concurrent calls are safe: at most
 * the burst of one call too much is admitted when two collide, and it is owed. `now_tsc` may be a little behind other workers'.
 */
void meter_charge(struct meter *m, const uint32_t *cost, unsigned n, uint64_t *admit, uint64_t now_tsc);
/* Take back what a charge took: the frames whose bits are in `back`, all admitted by it, were refused by a later check. Any worker. */
void meter_refund(struct meter *m, const uint32_t *cost, uint64_t back);
/* Keep an idle meter from wrapping. Control thread, at least hourly. */
void meter_touch(struct meter *m, uint64_t now_tsc);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_LIMIT_H
#define DATAPLANE_LIMIT_H

/*
 * A limit: the two meters of one direction of a port, bits/s and frames/s, charged together with a burst.
 *
 * A frame passes if both admit it. What the first charged for a frame that the second refused is given back, so that a limit on frames does not
 * eat into the bits that the others may use.
 */

#include "meter.h"
#include "offload.h"

#define LIMIT_BURST 32

/* Bit i is set if m[i] may pass. bps, pps: NULL: no limit. n <= LIMIT_BURST. Any worker. */
static inline uint64_t limit_charge(struct meter *bps, struct meter *pps, struct rte_mbuf *const *m, unsigned n, uint64_t now_tsc)
{
	uint32_t frames[LIMIT_BURST], bytes[LIMIT_BURST];
	uint64_t admit = (1ull << n) - 1, before;

	for (unsigned i = 0; i < LIMIT_BURST && i < n; i++)
		offload_wire(m[i], &frames[i], &bytes[i]);
	if (bps)
		meter_charge(bps, bytes, n, &admit, now_tsc);
	before = admit;
	if (pps)
		meter_charge(pps, frames, n, &admit, now_tsc);
	if (bps && before != admit)
		meter_refund(bps, bytes, before & ~admit);
	return admit;
}

#endif

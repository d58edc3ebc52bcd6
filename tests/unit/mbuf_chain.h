/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_MBUF_CHAIN_H
#define TESTS_UNIT_MBUF_CHAIN_H

/* Frames as mbufs, in as many segments as a test wants. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rte_mbuf.h>

/* First segment filled first, as a port kind delivers; `room` bytes in each. An empty frame has one segment. */
static inline struct rte_mbuf *mbuf_chain(struct rte_mempool *pool, const uint8_t *bytes, uint32_t len, uint32_t room)
{
	struct rte_mbuf *m = NULL, *last = NULL;

	for (uint32_t at = 0; at < len || !m; at += room) {
		struct rte_mbuf *s = rte_pktmbuf_alloc(pool);
		uint32_t n = RTE_MIN(room, len - at);

		assert_non_null(s);
		memcpy(rte_pktmbuf_append(s, (uint16_t)n), bytes + at, n);
		if (m) {
			last->next = s;
			m->nb_segs++;
			m->pkt_len += n;
		} else {
			m = s;
		}
		last = s;
	}
	return m;
}

#endif

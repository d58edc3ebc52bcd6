/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_OFFLOAD_FRAMES_H
#define TESTS_UNIT_OFFLOAD_FRAMES_H

/*
 * Frames for the tests of offload.h: made of a short description, in chains cut anywhere, and judged by a checksum and a header reader of
 * the tests' own. After each test the pool holds as many buffers as before it.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "offload.h"

#define ROOM	   2048				 /* of one buffer */
#define CHAINED	   (ROOM + RTE_PKTMBUF_HEADROOM) /* of one behind another */
#define POOL_SIZE  511
#define TCP	   6
#define UDP	   17
#define F_FIN_PSH  0x09
#define F_CWR	   0x80
#define F_ACK	   0x10
#define CAPS_CHAIN KIND_CAP_MULTI_SEG

static struct rte_mempool *pool;
static struct offload_done done;
static struct rte_mbuf *out[OFFLOAD_MAX_SEGS];

/* --- frames -------------------------------------------------------------------------------------------------------------- */

/* What a frame is made of; all lengths in bytes. */
struct spec {
	unsigned tags;
	bool v6;
	uint8_t proto;
	unsigned l3_more, l4_more; /* IP options or extension headers, TCP options */
	unsigned payload;
};

struct frame {
	uint8_t b[66000];
	unsigned len, l2, l3, l4; /* lengths of the headers */
	struct spec s;
};

static uint32_t random_state = 1;

static inline uint32_t any(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

static inline void w16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline unsigned r16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline unsigned r32(const uint8_t *p)
{
	return r16(p) << 16 | r16(p + 2);
}

/* The reference: RFC 1071 a byte at a time, and folded only at the end. */
static inline unsigned long ref_sum(const uint8_t *p, unsigned len)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (unsigned)p[i] << 8;
	return sum;
}

static inline unsigned ref_fold(unsigned long sum)
{
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return (unsigned)sum;
}

static inline unsigned long ref_pseudo(const uint8_t *l3, bool v6, uint8_t proto, unsigned len)
{
	return (v6 ? ref_sum(l3 + 8, 32) : ref_sum(l3 + 12, 8)) + proto + len;
}

static inline unsigned csum_at(const struct frame *f)
{
	return f->l2 + f->l3 + (f->s.proto == TCP ? 16 : 6);
}

/* The frame as a sender leaves it: valid IP header, pseudo header's sum in the layer 4 checksum. */
static inline struct frame *build(struct spec s)
{
	static struct frame f;
	uint8_t *l3, *l4;

	memset(&f, 0, sizeof(f));
	f.s = s;
	f.l2 = 14 + 4 * s.tags;
	f.l3 = (s.v6 ? 40 : 20) + s.l3_more;
	f.l4 = s.proto == TCP ? 20 + s.l4_more : 8;
	f.len = f.l2 + f.l3 + f.l4 + s.payload;
	assert_true(f.len <= sizeof(f.b));
	for (unsigned i = 0; i < f.len; i++)
		f.b[i] = (uint8_t)any();
	for (unsigned i = 0; i < s.tags; i++)
		w16(&f.b[12 + 4 * i], i + 1 < s.tags ? 0x88a8 : 0x8100);
	w16(&f.b[f.l2 - 2], s.v6 ? 0x86dd : 0x0800);
	l3 = &f.b[f.l2];
	l4 = l3 + f.l3;
	if (s.v6) {
		w16(l3, 0x6000);
		w16(l3 + 4, f.len - f.l2 - 40);
		l3[6] = s.l3_more ? 60 : s.proto;
		if (s.l3_more) {
			l3[40] = s.proto;
			l3[41] = (uint8_t)(s.l3_more / 8 - 1);
		}
	} else {
		l3[0] = (uint8_t)(0x40 | f.l3 / 4);
		w16(l3 + 2, f.len - f.l2);
		w16(l3 + 4, 0xfffe); /* the identification wraps soon */
		w16(l3 + 6, 0x4000);
		l3[9] = s.proto;
		w16(l3 + 10, 0);
		w16(l3 + 10, ~ref_fold(ref_sum(l3, f.l3)));
	}
	if (s.proto == TCP) {
		w16(l4 + 4, 0xffff); /* and the sequence number too */
		l4[12] = (uint8_t)(f.l4 / 4 << 4);
		l4[13] = F_FIN_PSH | F_CWR | F_ACK;
	} else {
		w16(l4 + 4, f.len - f.l2 - f.l3);
	}
	w16(&f.b[csum_at(&f)], ref_fold(ref_pseudo(l3, s.v6, s.proto, f.len - f.l2 - f.l3)));
	return &f;
}

/* A chain with pieces of `first` bytes and then `rest` each. */
static inline struct rte_mbuf *chain(const uint8_t *b, unsigned len, unsigned first, unsigned rest)
{
	struct rte_mbuf *head = NULL, *m;

	for (unsigned at = 0; at < len || !head;) {
		unsigned n = at ? rest : first;

		n = at + n > len ? len - at : n;
		m = rte_pktmbuf_alloc(pool);
		assert_non_null(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), b + at, n);
		if (!head)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
		at += n;
	}
	return head;
}

static inline uint64_t family(const struct frame *f)
{
	return f->s.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
}

static inline uint64_t csum_flag(const struct frame *f)
{
	return f->s.proto == TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
}

static inline uint64_t seg_flag(const struct frame *f)
{
	return f->s.proto == TCP ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_UDP_SEG;
}

static inline struct rte_mbuf *request(struct rte_mbuf *m, const struct frame *f, uint64_t flags, uint16_t segsz)
{
	m->ol_flags |= flags | family(f);
	m->l2_len = f->l2;
	m->l3_len = f->l3;
	m->l4_len = f->l4;
	m->tso_segsz = segsz;
	return m;
}

static inline struct rte_mbuf *whole(const struct frame *f)
{
	return chain(f->b, f->len, ROOM, ROOM);
}

static inline void flatten(const struct rte_mbuf *m, uint8_t *to)
{
	const void *p = rte_pktmbuf_read(m, 0, m->pkt_len, to);

	rte_mbuf_sanity_check(m, 1);
	if (p != to)
		memcpy(to, p, m->pkt_len);
}

static inline void free_block(void *addr, void *opaque)
{
	free(addr);
	free(opaque);
}

/* In one piece of exactly that size on the heap. */
static inline struct rte_mbuf *heap(const uint8_t *b, unsigned len)
{
	struct rte_mbuf_ext_shared_info *info = calloc(1, sizeof(*info));
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *block = malloc(len);

	assert_non_null(info);
	assert_non_null(m);
	assert_non_null(block);
	memcpy(block, b, len);
	info->free_cb = free_block;
	info->fcb_opaque = info;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(m, block, RTE_BAD_IOVA, (uint16_t)len, info);
	m->data_off = 0;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	return m;
}

/* Frames of every kind that can be asked for: TCP and UDP, IPv4 and IPv6, tags, options. */
static const struct spec kinds[] = {
	{0, false, TCP, 0, 0, 0},   {0, false, UDP, 0, 0, 0},  {0, true, TCP, 0, 0, 0},	  {0, true, UDP, 0, 0, 0},
	{1, false, TCP, 0, 12, 0},  {1, true, TCP, 0, 12, 0},  {2, false, UDP, 0, 0, 0},  {2, true, UDP, 0, 0, 0},
	{2, false, TCP, 40, 40, 0}, {0, false, UDP, 12, 0, 0}, {1, true, TCP, 16, 20, 0}, {0, true, UDP, 8, 0, 0},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static inline struct frame *kind(unsigned i, unsigned payload)
{
	struct spec s = kinds[i];

	s.payload = payload;
	return build(s);
}

/* --- verdicts ------------------------------------------------------------------------------------------------------------ */

/* A finished frame of one of our kinds: lengths and checksums as a receiver wants them. */
static inline void assert_finished(const struct frame *f, const uint8_t *b, unsigned len)
{
	const uint8_t *l3 = b + f->l2, *l4 = l3 + f->l3;
	unsigned l4_len = len - f->l2 - f->l3;

	if (f->s.v6) {
		assert_int_equal(r16(l3 + 4), len - f->l2 - 40);
	} else {
		assert_int_equal(r16(l3 + 2), len - f->l2);
		assert_int_equal(ref_fold(ref_sum(l3, f->l3)), 0xffff);
	}
	if (f->s.proto == UDP) {
		assert_int_equal(r16(l4 + 4), l4_len);
		assert_int_not_equal(r16(l4 + 6), 0);
	}
	assert_int_equal(ref_fold(ref_pseudo(l3, f->s.v6, f->s.proto, l4_len) + ref_sum(l4, l4_len)), 0xffff);
}

static inline void assert_no_request(const struct rte_mbuf *m)
{
	assert_int_equal(m->ol_flags & (RTE_MBUF_F_TX_OFFLOAD_MASK | RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL), 0);
	assert_int_equal(m->tx_offload, 0);
}

/* The one frame that came of m: as f but for its checksum, which is right. */
static inline void assert_completes(struct rte_mbuf *m, const struct frame *f, uint32_t caps)
{
	static uint8_t b[66000];

	assert_int_equal(offload_complete(m, caps, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
	assert_int_equal(done.csums, 1);
	assert_int_equal(done.segments, 0);
	assert_int_equal(out[0]->pkt_len, f->len);
	assert_no_request(out[0]);
	if (!(caps & CAPS_CHAIN))
		assert_int_equal(out[0]->nb_segs, 1);
	flatten(out[0], b);
	assert_finished(f, b, f->len);
	memcpy(b + csum_at(f), f->b + csum_at(f), 2);
	assert_memory_equal(b, f->b, f->len);
	rte_pktmbuf_free(out[0]);
}

static inline void refused(struct rte_mbuf *m)
{
	assert_int_equal(offload_check(m), -EINVAL);
	rte_pktmbuf_free(m);
}

/* --- every test ---------------------------------------------------------------------------------------------------------- */

static unsigned avail_before;

static inline int before_test(void **state)
{
	avail_before = rte_mempool_avail_count(pool);
	return 0;
}

static inline int after_test(void **state)
{
	return rte_mempool_avail_count(pool) == avail_before ? 0 : -1;
}

static inline int start(void **state)
{
	char *argv[] = {"test_offload",	  "--no-huge",	   "-m", "128", "--no-shconf", "--no-pci",
			"--no-telemetry", "--log-level=4", NULL};

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", POOL_SIZE, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static inline int stop(void **state)
{
	rte_mempool_free(pool);
	return rte_eal_cleanup() < 0 ? -1 : 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, before_test, after_test)

#endif

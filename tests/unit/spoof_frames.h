/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SPOOF_FRAMES_H
#define TESTS_UNIT_SPOOF_FRAMES_H

/*
 * Frames for the tests of spoof.h, and the question: may this port say that? Every verdict is asked for several shapes of the same frame
 * (in one piece, cut in two at each byte, in pieces of one byte, at an odd address), which must not matter; each piece is a heap block of
 * exactly its size, so that a read past it is seen by ASan.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "spoof.h"

#define OUR_MAC	  "\x02\x11\x22\x33\x44\x55"
#define OTHER_MAC "\x02\x11\x22\x33\x44\x56"
#define ANY_MAC	  "\xff\xff\xff\xff\xff\xff"
#define OUR_LL	  "fe80::11:22ff:fe33:4455"

static struct rte_mempool *pool;

/* --- frames -------------------------------------------------------------------------------------------------------------- */

struct frame {
	uint8_t b[2048];
	unsigned len, l2, ip6; /* ip6: where the IPv6 header is, 0: nowhere */
	uint16_t type;
};

static inline void put(struct frame *f, const void *data, unsigned n)
{
	assert_true(f->len + n <= sizeof(f->b));
	memcpy(&f->b[f->len], data, n);
	f->len += n;
}

static inline void put8(struct frame *f, unsigned v)
{
	uint8_t b = (uint8_t)v;

	put(f, &b, 1);
}

static inline void put16(struct frame *f, unsigned v)
{
	put8(f, v >> 8);
	put8(f, v & 0xff);
}

static inline void zeros(struct frame *f, unsigned n)
{
	while (n--)
		put8(f, 0);
}

static inline void put_ip(struct frame *f, const char *text)
{
	uint8_t addr[16];
	bool v6 = strchr(text, ':');

	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, addr), 1);
	put(f, addr, v6 ? 16 : 4);
}

static inline struct frame eth(const char *src_mac, uint16_t type)
{
	struct frame f = {.type = type};

	put(&f, ANY_MAC, 6);
	put(&f, src_mac, 6);
	put16(&f, type);
	f.l2 = f.len;
	return f;
}

/* One tag in front of what comes. */
static inline struct frame eth_tagged(const char *src_mac, uint16_t type)
{
	struct frame f = eth(src_mac, 0x8100);

	put16(&f, 100);
	put16(&f, type);
	f.l2 = f.len;
	f.type = type;
	return f;
}

static inline struct frame arp_of(uint16_t ethertype, unsigned op, const char *sha, const char *sip)
{
	struct frame f = eth(OUR_MAC, ethertype);

	put16(&f, 1);
	put16(&f, 0x0800);
	put8(&f, 6);
	put8(&f, 4);
	put16(&f, op);
	put(&f, sha, 6);
	put_ip(&f, sip);
	zeros(&f, 6);
	put_ip(&f, "10.0.0.99");
	return f;
}

static inline struct frame arp(unsigned op, const char *sha, const char *sip)
{
	return arp_of(0x0806, op, sha, sip);
}

static inline void ip4(struct frame *f, const char *src, const char *dst, uint8_t proto)
{
	put8(f, 0x45);
	zeros(f, 7);
	put8(f, 64);
	put8(f, proto);
	put16(f, 0);
	put_ip(f, src);
	put_ip(f, dst);
}

static inline void udp(struct frame *f, uint16_t sport, uint16_t dport)
{
	put16(f, sport);
	put16(f, dport);
	put16(f, 8);
	put16(f, 0);
}

static inline struct frame udp4(const char *src, const char *dst, uint16_t sport, uint16_t dport)
{
	struct frame f = eth(OUR_MAC, 0x0800);

	ip4(&f, src, dst, 17);
	udp(&f, sport, dport);
	return f;
}

static inline struct frame ip6(const char *src, const char *dst, uint8_t next)
{
	struct frame f = eth(OUR_MAC, 0x86dd);

	f.ip6 = f.len;
	put16(&f, 0x6000);
	zeros(&f, 4);
	put8(&f, next);
	put8(&f, 255);
	put_ip(&f, src);
	put_ip(&f, dst);
	return f;
}

/* The payload length, once the packet is whole. */
static inline struct frame done(struct frame f)
{
	unsigned n = f.len - f.ip6 - 40;

	f.b[f.ip6 + 4] = (uint8_t)(n >> 8);
	f.b[f.ip6 + 5] = (uint8_t)n;
	return f;
}

/* Extension header of `words` * 8 bytes. */
static inline void ext(struct frame *f, uint8_t next, unsigned words)
{
	put8(f, next);
	put8(f, words - 1);
	zeros(f, words * 8 - 2);
}

static inline void fragment(struct frame *f, uint8_t next, unsigned offset, bool more)
{
	put8(f, next);
	put8(f, 0);
	put16(f, offset << 3 | more);
	zeros(f, 4);
}

static inline void icmp6(struct frame *f, uint8_t type, unsigned more)
{
	put8(f, type);
	zeros(f, 7 + more);
}

static inline void nd_target(struct frame *f, uint8_t type, const char *target)
{
	icmp6(f, type, 0);
	put_ip(f, target);
}

static inline void nd_option(struct frame *f, uint8_t type, const char *mac)
{
	put8(f, type);
	put8(f, 1);
	put(f, mac, 6);
}

#define RS	 133
#define RA	 134
#define NS	 135
#define NA	 136
#define REDIRECT 137

/* A whole ND message; option 0: none. */
static inline struct frame nd(uint8_t type, const char *src, const char *target, uint8_t option, const char *mac)
{
	struct frame f = ip6(src, "ff02::1", 58);

	if (type == RS)
		icmp6(&f, type, 0);
	else if (type == RA)
		icmp6(&f, type, 8);
	else
		nd_target(&f, type, target);
	if (type == REDIRECT)
		put_ip(&f, "2001:db8::7");
	if (option)
		nd_option(&f, option, mac);
	return done(f);
}

/* --- the ports that ask -------------------------------------------------------------------------------------------------- */

static inline void add_ip(struct dp_port_conf *c, const char *text, uint8_t prefix)
{
	struct dp_ip *ip = &c->ips[c->n_ips++];

	ip->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	ip->prefix = prefix;
	assert_int_equal(inet_pton(ip->family, text, &ip->v6), 1);
}

static inline struct spoof port(bool mac, bool v4, bool v6)
{
	struct dp_port_conf c = {.has_mac = mac};
	struct spoof s;

	memcpy(c.mac, OUR_MAC, 6);
	if (v4)
		add_ip(&c, "10.0.0.1", 32);
	if (v6)
		add_ip(&c, "2001:db8::1", 128);
	spoof_init(&s, &c);
	return s;
}

static inline void free_block(void *addr, void *opaque)
{
	free(addr);
	free(opaque);
}

/* A piece of a frame, in a block that ends where it ends; `shift` bytes after the block's start. */
static inline struct rte_mbuf *piece(const uint8_t *data, unsigned len, unsigned shift)
{
	struct rte_mbuf_ext_shared_info *info = calloc(1, sizeof(*info));
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *block = malloc(len + shift);

	assert_non_null(info);
	assert_non_null(m);
	assert_non_null(block);
	memcpy(block + shift, data, len);
	info->free_cb = free_block;
	info->fcb_opaque = info;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(m, block, RTE_BAD_IOVA, (uint16_t)(len + shift), info);
	m->data_off = (uint16_t)shift;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	return m;
}

static inline enum slc_drop ask_one(const struct spoof *s, const struct frame *f, unsigned len, unsigned first, unsigned rest,
				    unsigned shift)
{
	struct rte_mbuf *m = piece(f->b, first, shift);
	enum slc_drop d;

	for (unsigned at = first; at < len; at += rest) {
		unsigned n = at + rest > len ? len - at : rest;

		assert_int_equal(rte_pktmbuf_chain(m, piece(&f->b[at], n, shift)), 0);
	}
	d = spoof_check(s, m, (uint16_t)f->l2, f->type);
	rte_pktmbuf_free(m);
	return d;
}

/* The verdict on the frame's first `len` bytes, in all shapes. */
static inline enum slc_drop ask_cut(const struct spoof *s, const struct frame *f, unsigned len)
{
	enum slc_drop d = ask_one(s, f, len, len, 1, 0);

	assert_int_equal(ask_one(s, f, len, len, 1, 1), d);
	for (unsigned cut = 1; cut < len; cut++)
		assert_int_equal(ask_one(s, f, len, cut, len - cut, 0), d);
	if (len <= 128)
		assert_int_equal(ask_one(s, f, len, 1, 1, 0), d);
	return d;
}

static inline enum slc_drop ask(const struct spoof *s, struct frame f)
{
	return ask_cut(s, &f, f.len);
}

#define PASSES(s, f)	   assert_int_equal(ask(s, f), SLC_DROP_N)
#define REFUSED(s, f, why) assert_int_equal(ask(s, f), SLC_DROP_##why)

/* --- every test ---------------------------------------------------------------------------------------------------------- */

static inline int start(void **state)
{
	char *argv[] = {"test_spoof", "--no-huge", "-m", "128", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=4", NULL};

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, 0, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static inline int stop(void **state)
{
	/* Nothing above may have kept a frame. */
	int leaked = pool && rte_mempool_in_use_count(pool) != 0;

	rte_mempool_free(pool);
	return rte_eal_cleanup() < 0 || leaked ? -1 : 0;
}

#endif

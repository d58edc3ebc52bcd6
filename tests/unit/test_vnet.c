/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offload requests of the af-packet kind: vnet header to mbuf and back, and every way in which a header can contradict its
 * frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "mbuf_chain.h"
#include "vnet.h"

#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define GSO4 VIRTIO_NET_HDR_GSO_TCPV4
#define GSO6 VIRTIO_NET_HDR_GSO_TCPV6
#define GSOU VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN  VIRTIO_NET_HDR_GSO_ECN

static struct rte_mempool *pool;

/* --- making frames ---------------------------------------------------------------------------------------------------- */

struct frame {
	uint8_t b[70000];
	uint32_t len, l2, l4;
};

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put(struct frame *f, const void *bytes, uint32_t n)
{
	memcpy(f->b + f->len, bytes, n);
	f->len += n;
}

static void ethernet(struct frame *f, unsigned tags, uint16_t type)
{
	memset(f, 0, sizeof(*f));
	put(f, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	for (unsigned i = 0; i < tags; i++, f->len += 4) {
		put16(f->b + f->len, i + 1 == tags ? 0x8100 : 0x88a8);
		put16(f->b + f->len + 2, 100 + i);
	}
	put16(f->b + f->len, type);
	f->len += 2;
	f->l2 = f->len;
}

static void ipv4(struct frame *f, unsigned tags, uint8_t proto, uint32_t l4_bytes)
{
	uint8_t h[20] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};

	ethernet(f, tags, 0x0800);
	put16(h + 2, 20 + l4_bytes);
	put(f, h, sizeof(h));
	f->l4 = f->len;
}

/* ext: bytes of a destination options header in front of the transport header. */
static void ipv6(struct frame *f, unsigned tags, uint8_t proto, uint32_t ext, uint32_t l4_bytes)
{
	uint8_t h[40] = {0x60, 0, 0, 0, 0, 0, ext ? 60 : proto, 64, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2};
	uint8_t o[512] = {proto, ext ? ext / 8 - 1 : 0};

	ethernet(f, tags, 0x86dd);
	put16(h + 4, ext + l4_bytes);
	put(f, h, sizeof(h));
	put(f, o, ext);
	f->l4 = f->len;
}

static void payload(struct frame *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		f->b[f->len++] = i * 7 + 3;
}

/* The sum that a Linux sender leaves in the checksum field: the pseudo header's, length included. */
static uint16_t pseudo(const struct frame *f)
{
	uint32_t l4_bytes = f->len - f->l4, sum = htons(l4_bytes);
	const uint8_t *l3 = f->b + f->l2;

	if (l3[0] >> 4 == 4)
		sum += rte_raw_cksum(l3 + 12, 8) + htons(l3[9]);
	else
		sum += rte_raw_cksum(l3 + 8, 32) + htons(l3[6] == 60 ? l3[40] : l3[6]);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static void tcp(struct frame *f, uint32_t options, uint32_t n)
{
	uint8_t h[60] = {0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 1, (5 + options / 4) << 4, 0x18, 0xff, 0xff};
	uint16_t sum;

	put(f, h, 20 + options);
	payload(f, n);
	sum = pseudo(f);
	memcpy(f->b + f->l4 + 16, &sum, 2);
}

static void udp(struct frame *f, uint32_t n)
{
	uint8_t h[8] = {0, 80, 0, 81};
	uint16_t sum;

	put16(h + 4, 8 + n);
	put(f, h, 8);
	payload(f, n);
	sum = pseudo(f);
	memcpy(f->b + f->l4 + 6, &sum, 2);
}

static void tcp4(struct frame *f, unsigned tags, uint32_t n)
{
	ipv4(f, tags, 6, 20 + n);
	tcp(f, 0, n);
}

static struct rte_mbuf *mbuf_of(const struct frame *f, uint32_t room)
{
	return mbuf_chain(pool, f->b, f->len, room);
}

static void bytes_of(const struct rte_mbuf *m, struct frame *f)
{
	f->len = 0;
	for (; m; m = m->next)
		put(f, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
}

static struct virtio_net_hdr csum_at(uint32_t start, uint16_t offset)
{
	return (struct virtio_net_hdr){.flags = CSUM, .csum_start = start, .csum_offset = offset};
}

static struct virtio_net_hdr gso(uint8_t type, uint32_t start, uint16_t offset, uint16_t size)
{
	struct virtio_net_hdr vh = csum_at(start, offset);

	vh.gso_type = type;
	vh.gso_size = size;
	vh.hdr_len = 128; /* a hint, and from Linux a wrong one: the length of its linear part */
	return vh;
}

static struct frame f, g;

/* --- requests that an mbuf can name ----------------------------------------------------------------------------------- */

static void no_request_leaves_the_frame_alone(void **state)
{
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_DATA_VALID};
	struct rte_mbuf *m;

	tcp4(&f, 0, 100);
	m = mbuf_of(&f, 2048);
	assert_int_equal(vnet_to_mbuf(&vh, m), 0);
	assert_int_equal(m->ol_flags, 0);
	bytes_of(m, &g);
	assert_memory_equal(f.b, g.b, f.len);
	rte_pktmbuf_free(m);
}

/* The request becomes `flags` with these lengths, and the way back gives what the kernel gave. */
static void expect_request(struct virtio_net_hdr vh, uint64_t flags, uint32_t l2, uint32_t l3, uint32_t l4, uint16_t segsz)
{
	struct rte_mbuf *m = mbuf_of(&f, 2048);
	struct virtio_net_hdr back;
	uint16_t value, field;
	uint32_t edit;

	assert_int_equal(vnet_to_mbuf(&vh, m), 0);
	assert_true(m->ol_flags == flags);
	assert_int_equal(m->l2_len, l2);
	assert_int_equal(m->l3_len, l3);
	assert_int_equal(m->l4_len, l4);
	if (segsz)
		assert_int_equal(m->tso_segsz, segsz);

	assert_int_equal(vnet_from_mbuf(m, &back, &edit, &value), 0);
	assert_int_equal(back.flags, CSUM);
	assert_int_equal(back.gso_type, vh.gso_type);
	assert_int_equal(back.csum_start, vh.csum_start);
	assert_int_equal(back.csum_offset, vh.csum_offset);
	if (segsz) {
		assert_int_equal(back.gso_size, segsz);
		assert_int_equal(back.hdr_len, l2 + l3 + l4);
	}
	bytes_of(m, &g);
	assert_int_equal(g.len, f.len);
	memcpy(&field, f.b + f.l4 + vh.csum_offset, 2);
	if (edit) {
		assert_int_equal(edit, f.l4 + vh.csum_offset);
		assert_int_equal(value, field);
		memcpy(g.b + edit, &value, 2);
	}
	assert_memory_equal(f.b, g.b, f.len);
	rte_pktmbuf_free(m);
}

static void checksum_requests_are_named(void **state)
{
	const uint64_t t4 = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM, u4 = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	const uint64_t t6 = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM, u6 = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;

	for (unsigned tags = 0; tags < 3; tags++) {
		uint32_t l2 = 14 + 4 * tags;

		tcp4(&f, tags, 1000);
		expect_request(csum_at(f.l4, 16), t4, l2, 20, 20, 0);
		ipv4(&f, tags, 17, 8 + 0);
		udp(&f, 0);
		expect_request(csum_at(f.l4, 6), u4, l2, 20, 8, 0);
		ipv6(&f, tags, 6, 0, 32 + 9000);
		tcp(&f, 12, 9000);
		expect_request(csum_at(f.l4, 16), t6, l2, 40, 32, 0);
		ipv6(&f, tags, 17, 24, 8 + 33);
		udp(&f, 33);
		expect_request(csum_at(f.l4, 6), u6, l2, 64, 8, 0);
	}
}

static void segmentation_requests_are_named(void **state)
{
	const uint64_t t4 = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
	const uint64_t t6 = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
	const uint64_t u4 = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_UDP_SEG;
	const uint64_t u6 = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_UDP_SEG;

	for (unsigned tags = 0; tags < 3; tags++) {
		uint32_t l2 = 14 + 4 * tags;

		tcp4(&f, tags, 65000);
		expect_request(gso(GSO4, f.l4, 16, 1448), t4, l2, 20, 20, 1448);
		f.b[f.l4 + 13] |= 0x80; /* CWR */
		expect_request(gso(GSO4 | ECN, f.l4, 16, 1448), t4, l2, 20, 20, 1448);
		ipv6(&f, tags, 6, 8, 32 + 65000);
		tcp(&f, 12, 65000);
		expect_request(gso(GSO6, f.l4, 16, 1428), t6, l2, 48, 32, 1428);
		ipv4(&f, tags, 17, 8 + 5000);
		udp(&f, 5000);
		expect_request(gso(GSOU, f.l4, 6, 1200), u4, l2, 20, 8, 1200);
		ipv6(&f, tags, 17, 0, 8 + 5000);
		udp(&f, 5000);
		expect_request(gso(GSOU, f.l4, 6, 1200), u6, l2, 40, 8, 1200);
	}
}

static void segmented_tcp_holds_the_pseudo_sum_as_dpdk_writes_it(void **state)
{
	struct rte_mbuf *m;
	struct virtio_net_hdr vh;
	uint16_t field;

	tcp4(&f, 0, 65000);
	m = mbuf_of(&f, 2048);
	vh = gso(GSO4, f.l4, 16, 1448);
	assert_int_equal(vnet_to_mbuf(&vh, m), 0);
	memcpy(&field, rte_pktmbuf_mtod_offset(m, void *, f.l4 + 16), 2);
	assert_int_equal(field, rte_ipv4_phdr_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), m->ol_flags));
	rte_pktmbuf_free(m);
}

/* A virtio guest's frame carries the sum with the length, a DPDK sender's without: the kernel gets the right one of either. */
static void segmented_frames_of_both_schools_go_out_right(void **state)
{
	struct virtio_net_hdr vh;
	uint16_t want, value;
	struct rte_mbuf *m;
	uint32_t edit;

	for (unsigned udp_seg = 0; udp_seg < 2; udp_seg++) {
		if (udp_seg) { /* shorter than an IPv6 header would be */
			ipv4(&f, 0, 17, 8 + 3);
			udp(&f, 3);
		} else {
			tcp4(&f, 0, 5000);
		}
		m = mbuf_of(&f, 2048);
		memcpy(&want, f.b + f.l4 + (udp_seg ? 6 : 16), 2);
		m->l2_len = 14;
		m->l3_len = 20;
		m->l4_len = udp_seg ? 8 : 20;
		m->tso_segsz = 2;
		m->ol_flags = RTE_MBUF_F_TX_IPV4 | (udp_seg ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG);
		assert_int_equal(vnet_from_mbuf(m, &vh, &edit, &value), 0);
		assert_int_equal(value, want);
		rte_pktmbuf_free(m);
	}
}

/* GRO may hand on a merged frame whose checksum was verified rather than left open. */
static void segmentation_of_a_finished_checksum_gets_its_pseudo_sum(void **state)
{
	struct virtio_net_hdr vh, back;
	uint16_t want, value;
	struct rte_mbuf *m;
	uint32_t edit;

	tcp4(&f, 1, 3000);
	memcpy(&want, f.b + f.l4 + 16, 2);
	f.b[f.l4 + 16] = 0x12;
	m = mbuf_of(&f, 2048);
	vh = gso(GSO4, 0, 0, 1448);
	vh.flags = 0;
	assert_int_equal(vnet_to_mbuf(&vh, m), 0);
	assert_int_equal(vnet_from_mbuf(m, &back, &edit, &value), 0);
	assert_int_equal(value, want);
	assert_int_equal(back.csum_start, f.l4);
	rte_pktmbuf_free(m);
}

static void one_segment_is_only_a_checksum(void **state)
{
	tcp4(&f, 0, 1448);
	struct rte_mbuf *m = mbuf_of(&f, 2048);
	struct virtio_net_hdr vh = gso(GSO4, f.l4, 16, 1448);

	assert_int_equal(vnet_to_mbuf(&vh, m), 0);
	assert_true(m->ol_flags == (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM));
	bytes_of(m, &g);
	assert_memory_equal(f.b, g.b, f.len);
	rte_pktmbuf_free(m);
}

/* --- requests that it cannot: finished in software -------------------------------------------------------------------- */

/* Finished: no request is left, the bytes from start to the end sum up to all ones, and nothing but the field changed. */
static void expect_completed(uint32_t start, uint16_t offset, uint32_t room)
{
	struct virtio_net_hdr vh = csum_at(start, offset);
	struct rte_mbuf *m = mbuf_of(&f, room);
	uint16_t before, after, sum;

	memcpy(&before, f.b + start + offset, 2);
	sum = ~rte_raw_cksum(f.b + start, f.len - start);
	assert_int_equal(vnet_to_mbuf(&vh, m), 0);
	assert_true(m->ol_flags == 0);
	bytes_of(m, &g);
	memcpy(&after, g.b + start + offset, 2);
	assert_int_equal(after, sum ? sum : 0xffff);
	memcpy(g.b + start + offset, &before, 2);
	assert_int_equal(g.len, f.len);
	assert_memory_equal(g.b, f.b, f.len);
	rte_pktmbuf_free(m);
}

static void unnameable_checksums_are_finished_here(void **state)
{
	/* VXLAN: UDP outside, the request inside. */
	ipv4(&f, 0, 17, 8 + 8 + 14 + 20 + 28);
	udp(&f, 8 + 14 + 20 + 28);
	expect_completed(f.l4 + 8 + 8 + 14 + 20, 6, 2048);
	/* GRE with a checksum. */
	ipv4(&f, 1, 47, 60);
	payload(&f, 60);
	expect_completed(f.l4, 4, 2048);
	/* A first fragment. */
	ipv4(&f, 0, 17, 8 + 100);
	udp(&f, 100);
	put16(f.b + 14 + 6, 0x2000);
	expect_completed(f.l4, 6, 2048);
	/* Padding behind the packet: Linux sums it too. */
	tcp4(&f, 0, 10);
	payload(&f, 9);
	expect_completed(f.l4, 16, 2048);
	/* A UDP length that is not IP's. */
	ipv4(&f, 0, 17, 8 + 100);
	udp(&f, 100);
	put16(f.b + f.l4 + 4, 50);
	expect_completed(f.l4, 6, 2048);
	/* Not IP at all. */
	ethernet(&f, 0, 0x88b5);
	payload(&f, 100);
	expect_completed(20, 10, 2048);
	/* Anywhere in a chain, the field across the border of two segments, segments of odd length. */
	ethernet(&f, 0, 0x88b5);
	payload(&f, 1000);
	for (uint32_t start = 14; start < 400; start += 7)
		expect_completed(start, 2 * (start % 50) + 16, 101);
	expect_completed(14, 100 - 14, 101);
	expect_completed(14, 998, 101);
}

/* RFC 3720's vector is the CRC32c of 32 zero bytes; an SCTP packet is covered whole, with zero in its own field. */
static void sctp_gets_its_crc32c(void **state)
{
	for (uint32_t room = 35; room < 80; room++) {
		struct virtio_net_hdr vh;
		struct rte_mbuf *m;
		uint32_t crc;

		ipv4(&f, 0, 132, 32);
		f.len += 32;
		f.b[f.l4 + 8] = 0x55; /* whatever stood in the field must not count */
		m = mbuf_of(&f, room);
		vh = csum_at(f.l4, 8);
		assert_int_equal(vnet_to_mbuf(&vh, m), 0);
		assert_true(m->ol_flags == 0);
		bytes_of(m, &g);
		memcpy(&crc, g.b + f.l4 + 8, 4);
		assert_int_equal(rte_le_to_cpu_32(crc), 0x8a9136aa);
		rte_pktmbuf_free(m);
	}
}

static uint16_t finished(uint16_t raw)
{
	return raw == 0xffff ? 0xffff : (uint16_t)~raw;
}

/* As DPDK's virtio driver leaves it: the sum reaches as far as the first buffer does. */
static void a_checksum_over_the_first_segment_is_finished_over_all(void **state)
{
	for (uint32_t room = 90; room < 600; room++) {
		uint32_t start = 54 + room % 2;
		uint16_t part, whole, got;
		struct rte_mbuf *m;

		ipv4(&f, 1, 47, 1000);
		payload(&f, 1000);
		part = finished(rte_raw_cksum(f.b + start, room - start));
		whole = finished(rte_raw_cksum(f.b + start, f.len - start));
		memcpy(f.b + start + 6, &part, 2);
		m = mbuf_of(&f, room);
		assert_int_equal(vnet_csum_rest(m, start, 6), 0);
		bytes_of(m, &g);
		memcpy(&got, g.b + start + 6, 2);
		assert_int_equal(got, whole);
		memcpy(g.b + start + 6, &part, 2);
		assert_memory_equal(f.b, g.b, f.len);
		rte_pktmbuf_free(m);
	}
}

static void a_checksum_field_in_another_segment_is_malformed(void **state)
{
	struct rte_mbuf *m;

	tcp4(&f, 0, 200);
	m = mbuf_of(&f, 100);
	assert_int_equal(vnet_csum_rest(m, 80, 19), -EINVAL);
	assert_int_equal(vnet_csum_rest(m, 80, 18), 0);
	rte_pktmbuf_free(m);
}

/* --- contradictions --------------------------------------------------------------------------------------------------- */

static void expect_malformed(struct virtio_net_hdr vh)
{
	struct rte_mbuf *m = mbuf_of(&f, 2048);

	assert_int_equal(vnet_to_mbuf(&vh, m), -EINVAL);
	rte_pktmbuf_free(m);
}

static void checksum_outside_the_frame_is_malformed(void **state)
{
	tcp4(&f, 0, 100);
	expect_malformed(csum_at(0, 16));
	expect_malformed(csum_at(13, 16));
	expect_malformed(csum_at(f.len, 0));
	expect_malformed(csum_at(f.len - 1, 0));
	expect_malformed(csum_at(f.l4, f.len - f.l4 - 1));
	expect_malformed(csum_at(0xffff, 0xffff));
	expect_malformed(csum_at(f.len - 10, 8)); /* a CRC32c needs four bytes */
}

static void segmentation_of_what_is_not_that_is_malformed(void **state)
{
	tcp4(&f, 0, 5000);
	expect_malformed(gso(GSO4, f.l4, 16, 0));
	expect_malformed(gso(GSO4, f.l4, 16, VNET_MIN_TCP_SEG - 1));
	expect_malformed(gso(GSO4, f.l4, 6, 1448));
	expect_malformed(gso(GSO4, f.l4 + 2, 16, 1448));
	expect_malformed(gso(GSO4, f.l4 + 4000, 16, 1448));
	expect_malformed(gso(GSO6, f.l4, 16, 1448));
	expect_malformed(gso(GSOU, f.l4, 16, 1448));
	expect_malformed(gso(3, f.l4, 16, 1448)); /* GSO_UDP */
	expect_malformed(gso(2, f.l4, 16, 1448));
	expect_malformed(gso(0x7f, f.l4, 16, 1448));
	expect_malformed(gso(ECN, f.l4, 16, 1448));
	f.b[f.l4 + 12] = 0x40; /* TCP header of 16 bytes */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	tcp4(&f, 0, 5000);
	put16(f.b + 14 + 6, 0x2000); /* a fragment */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	tcp4(&f, 0, 5000);
	put16(f.b + 14 + 2, 5041); /* longer than the frame */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	put16(f.b + 14 + 2, 5039); /* something behind it */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	put16(f.b + 14 + 2, 0); /* BIG TCP */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	tcp4(&f, 0, 5000);
	f.b[14] = 0x44; /* IP header of 16 bytes */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	f.b[14] = 0x4f; /* of 60 */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	f.b[14] = 0x65;
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	tcp4(&f, 0, 0); /* nothing to segment */
	expect_malformed(gso(GSO4, f.l4, 16, 1448));
	ethernet(&f, 0, 0x88b5);
	payload(&f, 4000);
	expect_malformed(gso(GSO4, 34, 16, 1448));
	ethernet(&f, 40, 0x0800); /* more tags than l2_len can count */
	payload(&f, 4000);
	expect_malformed(gso(GSO4, f.len - 100, 16, 1448));
	f.len = 10; /* shorter than Ethernet's header */
	expect_malformed(gso(GSO4, 34, 16, 1448));
}

static void udp_segmentation_contradictions_are_malformed(void **state)
{
	ipv4(&f, 0, 17, 8 + 5000);
	udp(&f, 5000);
	expect_malformed(gso(GSOU | ECN, f.l4, 6, 1200));
	expect_malformed(gso(GSO4, f.l4, 6, 1200));
	expect_malformed(gso(GSOU, f.l4, 16, 1200));
	expect_malformed(gso(GSOU, f.l4, 6, 39)); /* 129 datagrams */
	put16(f.b + f.l4 + 4, 5007);
	expect_malformed(gso(GSOU, f.l4, 6, 1200));
	/* TCP inside VXLAN: the outer headers are what would be segmented. */
	ipv4(&f, 0, 17, 8 + 8 + 14 + 20 + 20 + 5000);
	udp(&f, 8 + 14 + 20 + 20 + 5000);
	expect_malformed(gso(GSO4, f.l4 + 8 + 8 + 14 + 20, 16, 1398));
}

static void ipv6_chains_that_end_nowhere_are_malformed(void **state)
{
	ipv6(&f, 0, 6, 8, 20 + 5000);
	tcp(&f, 0, 5000);
	f.b[14 + 40 + 1] = 255; /* beyond l3_len's range */
	expect_malformed(gso(GSO6, f.l4, 16, 1400));
	ipv6(&f, 0, 6, 8, 20 + 5000);
	tcp(&f, 0, 5000);
	f.b[14 + 6] = 44; /* a fragment header */
	expect_malformed(gso(GSO6, f.l4, 16, 1400));
	ethernet(&f, 0, 0x86dd);
	put(&f, (uint8_t[40]){0x60, 0, 0, 0, 0, 4, 60}, 40);
	payload(&f, 4); /* half an extension header */
	expect_malformed(gso(GSO6, 54, 16, 1400));
}

static void requests_to_send_are_checked(void **state)
{
	struct virtio_net_hdr vh;
	struct rte_mbuf *m;
	uint32_t edit;
	uint16_t value;
	const uint64_t tso = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	const struct {
		uint64_t flags;
		uint16_t l2, l3, l4, segsz;
	} bad[] = {
		{RTE_MBUF_F_TX_TCP_CKSUM, 0, 0, 0, 0},
		{RTE_MBUF_F_TX_UDP_CKSUM, 120, 500, 0, 0},
		{RTE_MBUF_F_TX_SCTP_CKSUM, 14, 20, 0, 0},
		{tso, 14, 20, 20, 0},
		{tso, 14, 20, 16, 100},
		{tso, 14, 500, 20, 100},
		{tso | RTE_MBUF_F_TX_UDP_SEG, 14, 20, 20, 1},
		{tso, 14, 380, 255, 100},
	};

	tcp4(&f, 0, 400);
	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		m = mbuf_of(&f, 2048);
		m->ol_flags = bad[i].flags;
		m->l2_len = bad[i].l2;
		m->l3_len = bad[i].l3;
		m->l4_len = bad[i].l4;
		m->tso_segsz = bad[i].segsz;
		assert_int_equal(vnet_from_mbuf(m, &vh, &edit, &value), -EINVAL);
		rte_pktmbuf_free(m);
	}
}

/* --- anything --------------------------------------------------------------------------------------------------------- */

/* Frames and headers that are nearly right, with bytes changed at random: a request that comes out lies inside the frame. */
static void whatever_comes_out_lies_inside_the_frame(void **state)
{
	unsigned named = 0, refused = 0;

	srandom(1);
	for (int round = 0; round < 60000; round++) {
		static const uint8_t types[] = {0, GSO4, GSO6, GSOU, GSO4 | ECN, 3};
		uint32_t n = random() % 3000;
		struct virtio_net_hdr vh, back;
		struct rte_mbuf *m;
		uint16_t value;
		uint32_t edit;

		switch (random() % 3) {
		case 0:
			tcp4(&f, random() % 4, n);
			break;
		case 1:
			ipv6(&f, random() % 4, 6, 8 * (random() % 4), 20 + n);
			tcp(&f, 0, n);
			break;
		default:
			ipv4(&f, random() % 4, 17, 8 + n);
			udp(&f, n);
		}
		vh = gso(types[random() % RTE_DIM(types)], f.l4, f.b[f.l4 - 11] == 17 ? 6 : 16, random() % 1500);
		for (int i = random() % 4; i > 0; i--)
			f.b[random() % RTE_MIN(f.len, 100u)] = random();
		for (int i = random() % 3; i > 0; i--)
			((uint8_t *)&vh)[random() % sizeof(vh)] = random();
		if (random() % 4 == 0)
			f.len = random() % (f.len + 1);
		m = mbuf_of(&f, 1024);
		if (vnet_to_mbuf(&vh, m)) {
			refused++;
		} else if (m->ol_flags) {
			named++;
			assert_true(m->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6));
			assert_true(m->l2_len >= 14 && m->l3_len >= 20 && m->l4_len >= 8);
			assert_true((uint32_t)m->l2_len + m->l3_len + m->l4_len <= m->data_len);
			assert_int_equal(vnet_from_mbuf(m, &back, &edit, &value), 0);
		}
		rte_pktmbuf_free(m);
	}
	assert_true(named > 5000 && refused > 5000);
}

static int set_up(void **state)
{
	char *argv[] = {
		"test",		  "--no-huge",	       "-m128",	     "--no-shconf", "--no-pci",
		"--no-telemetry", "--log-level=error", "--lcores=0", "-d",	    (SLUICE_PMD_DIR "/librte_mempool_ring.so")};

	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("frames", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static int tear_down(void **state)
{
	return rte_mempool_avail_count(pool) == 1023 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_request_leaves_the_frame_alone),
		cmocka_unit_test(checksum_requests_are_named),
		cmocka_unit_test(segmentation_requests_are_named),
		cmocka_unit_test(segmented_tcp_holds_the_pseudo_sum_as_dpdk_writes_it),
		cmocka_unit_test(segmented_frames_of_both_schools_go_out_right),
		cmocka_unit_test(segmentation_of_a_finished_checksum_gets_its_pseudo_sum),
		cmocka_unit_test(one_segment_is_only_a_checksum),
		cmocka_unit_test(unnameable_checksums_are_finished_here),
		cmocka_unit_test(sctp_gets_its_crc32c),
		cmocka_unit_test(checksum_outside_the_frame_is_malformed),
		cmocka_unit_test(a_checksum_over_the_first_segment_is_finished_over_all),
		cmocka_unit_test(a_checksum_field_in_another_segment_is_malformed),
		cmocka_unit_test(segmentation_of_what_is_not_that_is_malformed),
		cmocka_unit_test(udp_segmentation_contradictions_are_malformed),
		cmocka_unit_test(ipv6_chains_that_end_nowhere_are_malformed),
		cmocka_unit_test(requests_to_send_are_checked),
		cmocka_unit_test(whatever_comes_out_lies_inside_the_frame),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

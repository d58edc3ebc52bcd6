/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from an honest guest: every shape arrives unchanged, in order, once.
 */
#include "test_vhost_env.h"
#include "vnet.h"

static const uint64_t headers[] = {0, MODERN, MERGE, MODERN | MERGE | EVENTS | TABLES};

static void header_is_of_10_or_12_bytes(void **state)
{
	static const uint32_t len[] = {10, 12, 12, 12};
	struct rig rig;

	for (unsigned i = 0; i < COUNT(headers); i++) {
		rig_open(&rig, 8, 0, headers[i]);
		assert_int_equal(rig.hdr_len, len[i]);
		rig_close(&rig);
	}
}

static void plain_frames_of_every_size_arrive_unchanged(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	for (unsigned h = 0; h < COUNT(headers); h++) {
		rig_open(&rig, 16, 0, headers[h]);
		for (uint32_t len = 1; len <= 65562; len += len < 2200 ? 1 : len < 65500 ? 977 : 1) {
			gate_reset(0);
			guest_sends(&rig, 0, len, len);
			assert_int_equal(rig_rx(&rig, &m, 1), 1);
			assert_int_equal(gate_seen.asked, 1);
			assert_int_equal(gate_seen.len[0], len);
			for (unsigned i = 0; i < KIND_HEAD; i++)
				assert_int_equal(gate_seen.head[0][i], i < len ? pattern(len, i) : 0);
			frame_expect(m, len, len);
			expect_used(&rig, 0, 0);
		}
		rig_close(&rig);
	}
}

static void bursts_of_all_shapes_keep_their_order(void **state)
{
	struct rte_mbuf *m[64];
	struct rig rig;

	rig_open(&rig, 64, 0xffe0, MODERN | TABLES);
	for (uint16_t n = 1; n <= 64; n++) {
		gate_reset(0);
		for (uint16_t i = 0; i < n; i++)
			guest_sends(&rig, i, i, i % 7 == 3 ? 1900 : i % 7 == 5 ? 20 : 64u + i);
		assert_int_equal(rig_rx(&rig, m, 64), n);
		assert_int_equal(gate_seen.asked, n);
		for (uint16_t i = 0; i < n; i++) {
			frame_expect(m[i], i, i % 7 == 3 ? 1900 : i % 7 == 5 ? 20 : 64u + i);
			expect_used(&rig, i, 0);
		}
	}
	rig_close(&rig);
}

/* Cut the message at `at`, header and frame, into descriptors of these lengths, the last of which takes the rest. */
static unsigned guest_chain(struct rig *rig, union virtq_desc *table, uint64_t at, uint32_t len, const uint32_t *parts, unsigned n)
{
	unsigned i = 0;

	for (uint32_t done = 0; done < len; i++) {
		uint32_t part = i < n ? RTE_MIN(parts[i], len - done) : len - done;

		table[i] = (union virtq_desc){
			.addr = guest_gpa(&rig->g, at + done), .len = part, .flags = VIRTQ_DESC_NEXT, .next = (uint16_t)(i + 1)};
		done += part;
	}
	table[i - 1].flags = 0;
	return i;
}

static void chains_are_put_together_wherever_they_are_cut(void **state)
{
	static const uint32_t cuts[][6] = {
		{12, 1000, 1000}, {1, 1, 1, 1, 1, 1}, {5, 7, 3}, {10, 2, 31, 1}, {11, 2, 0, 40}, {13}, {60}};
	static const uint32_t lens[] = {1, 20, 32, 60, 64, 1514, 2048, 2049, 9014, 65562};
	struct rte_mbuf *m;
	struct rig rig;

	for (unsigned h = 0; h < COUNT(headers); h++) {
		rig_open(&rig, 16, 0xfffe, headers[h]);
		for (unsigned c = 0; c < COUNT(cuts); c++) {
			for (unsigned l = 0; l < COUNT(lens); l++) {
				gate_reset(0);
				guest_write(&rig, RIG_BUFFERS, c, lens[l]);
				guest_chain(&rig, rig.r.desc, RIG_BUFFERS, rig.hdr_len + lens[l], cuts[c], 6);
				guest_give(&rig.r, 0);
				assert_int_equal(rig_rx(&rig, &m, 1), 1);
				frame_expect(m, c, lens[l]);
				expect_used(&rig, 0, 0);
				/* The same in a table, where there may be one; it lies at any address. */
				guest_chain(&rig, (union virtq_desc *)(rig.g.mem + RIG_TABLES + 8), RIG_BUFFERS,
					    rig.hdr_len + lens[l], cuts[c], 6);
				guest_desc(&rig.r, 9, RIG_TABLES + 8, 7 * sizeof(union virtq_desc), VIRTQ_DESC_INDIRECT, 77);
				guest_give(&rig.r, 9);
				if (headers[h] & TABLES) {
					assert_int_equal(rig_rx(&rig, &m, 1), 1);
					frame_expect(m, c, lens[l]);
				} else {
					assert_int_equal(rig_rx(&rig, &m, 1), 0);
				}
				expect_used(&rig, 9, 0);
			}
		}
		assert_int_equal(rig.q.lost.bad_descriptor, headers[h] & TABLES ? 0 : COUNT(cuts) * COUNT(lens));
		rig_close(&rig);
	}
}

static void buffer_may_lie_in_regions_that_follow_each_other(void **state)
{
	/* 100 bytes, then 37, then the rest: one after the other for the guest, elsewhere in the file. */
	static const struct vhost_mem_region region[] = {
		{GUEST_GPA, RIG_BUFFERS + 100, GUEST_UVA, 0},
		{GUEST_GPA + RIG_BUFFERS + 100, 37, GUEST_UVA + (1ull << 30), 3u << 20},
		{GUEST_GPA + RIG_BUFFERS + 137, 1u << 19, GUEST_UVA + (2ull << 30), 2u << 20},
	};
	struct rte_mbuf *m;
	struct rig rig;

	for (uint32_t len = 60; len < 3000; len += 119) {
		rig_open_regions(&rig, 16, 0, MODERN, region, COUNT(region));
		for (uint32_t i = 0; i < len; i++) {
			uint32_t at = i + 12;

			rig.g.mem[at < 100   ? RIG_BUFFERS + at
				  : at < 137 ? (3u << 20) + at - 100
					     : (2u << 20) + at - 137] = pattern(len, i);
		}
		rig.r.desc[3] = (union virtq_desc){.addr = GUEST_GPA + RIG_BUFFERS, .len = 12 + len};
		guest_give(&rig.r, 3);
		assert_int_equal(rig_rx(&rig, &m, 1), 1);
		frame_expect(m, len, len);
		expect_used(&rig, 3, 0);
		rig_close(&rig);
	}
}

static void refused_frames_cost_no_buffer_and_their_entries_are_given_back(void **state)
{
	const uint64_t refuse[] = {UINT64_MAX, 0x5555555555555555, 1, 0x80000000};
	struct rte_mbuf *m[32];
	struct rig rig;

	for (unsigned k = 0; k < COUNT(refuse); k++) {
		for (unsigned lens = 0; lens < 2; lens++) { /* by the common way, and by the other */
			unsigned wanted = 0, got;

			rig_open(&rig, 32, 0, MODERN);
			gate_reset(refuse[k]);
			for (uint16_t i = 0; i < 32; i++)
				guest_sends(&rig, i, i, lens ? 20 : 64);
			got = rig_rx(&rig, m, 32);
			for (uint16_t i = 0; i < 32; i++)
				wanted += !(refuse[k] >> i & 1);
			assert_int_equal(got, wanted);
			assert_int_equal(rte_mempool_in_use_count(pool), wanted);
			for (uint16_t i = 0, at = 0; i < 32; i++) {
				expect_used(&rig, i, 0);
				if (!(refuse[k] >> i & 1))
					frame_expect(m[at++], i, lens ? 20 : 64);
			}
			assert_int_equal(gate_seen.asked, 32);
			rig_close(&rig);
		}
	}
}

/* One gate call may not be told what another burst's frames are, so nobody is asked when there is nothing to build a frame in. */
static void without_buffers_frames_wait_in_the_ring(void **state)
{
	static struct rte_mbuf *hoard[8192];
	struct rte_mbuf *m[8];
	unsigned n = 0;
	struct rig rig;

	rig_open(&rig, 16, 0, MODERN);
	for (uint16_t i = 0; i < 4; i++)
		guest_sends(&rig, i, i, 64);
	while ((hoard[n] = rte_pktmbuf_alloc(pool)))
		n++;
	assert_int_equal(rig_rx(&rig, m, 8), 0);
	assert_int_equal(gate_seen.calls, 0);
	assert_int_equal(guest_used(&rig.r), 0);
	rte_pktmbuf_free(hoard[--n]);
	assert_int_equal(rig_rx(&rig, m, 8), 1);
	frame_expect(m[0], 0, 64);
	rte_pktmbuf_free_bulk(hoard, n);
	assert_int_equal(rig_rx(&rig, m, 8), 3);
	for (uint16_t i = 1; i < 4; i++)
		frame_expect(m[i - 1], i, 64);
	rig_close(&rig);
}

static void no_more_is_taken_than_was_asked_for(void **state)
{
	struct rte_mbuf *m[64];
	struct rig rig;

	rig_open(&rig, 256, 0, MODERN);
	assert_int_equal(rig_rx(&rig, m, 64), 0);
	for (uint16_t i = 0; i < 256; i++)
		guest_sends(&rig, i, i, 64);
	for (uint16_t want = 0, next = 0; want < 20; want++) {
		gate_reset(0);
		assert_int_equal(rig_rx(&rig, m, want), want);
		for (uint16_t i = 0; i < want; i++, next++)
			frame_expect(m[i], next, 64);
		assert_int_equal(guest_used(&rig.r), next);
	}
	rig_close(&rig);
}

static void indices_wrap_around(void **state)
{
	struct rte_mbuf *m[64];
	struct rig rig;

	for (unsigned events = 0; events < 2; events++) {
		rig_open(&rig, 64, 0, MODERN | (events ? EVENTS : 0));
		for (uint32_t sent = 0; sent < 2 * 65536 + 64; sent += 63) {
			gate_reset(0);
			for (uint16_t i = 0; i < 63; i++)
				guest_sends(&rig, i, sent + i, 64);
			assert_int_equal(rig_rx(&rig, m, 64), 63);
			for (uint16_t i = 0; i < 63; i++) {
				frame_expect(m[i], sent + i, 64);
				expect_used(&rig, i, 0);
			}
		}
		rig_close(&rig);
	}
}

static void ring_of_32768_is_served_whole(void **state)
{
	struct rte_mbuf *m[64];
	struct rig rig;

	rig_open(&rig, 32768, 0x1234, MODERN);
	guest_write(&rig, RIG_BUFFERS, 9, 64);
	for (unsigned i = 0; i < 32768; i++) {
		guest_desc(&rig.r, (uint16_t)i, RIG_BUFFERS, 76, 0, 0);
		guest_give(&rig.r, (uint16_t)i);
	}
	for (unsigned i = 0; i < 32768; i += 64) {
		gate_reset(0);
		assert_int_equal(rig_rx(&rig, m, 64), 64);
		for (unsigned k = 0; k < 64; k++) {
			expect_used(&rig, i + k, 0);
			frame_expect(m[k], 9, 64);
		}
	}
	assert_int_equal(rig_rx(&rig, m, 64), 0);
	rig_close(&rig);
}

static void ring_goes_on_at_the_used_index_in_memory(void **state)
{
	struct rte_mbuf *m[8];
	struct rig rig;

	rig_open(&rig, 8, 0xfffd, MODERN);
	for (uint16_t i = 0; i < 8; i++)
		guest_sends(&rig, i, i, 64);
	assert_int_equal(rig_rx(&rig, m, 5), 5);
	for (uint16_t i = 0; i < 5; i++)
		frame_expect(m[i], i, 64);
	rig_stop(&rig); /* killed, say */
	rig_start(&rig);
	assert_int_equal(rig_rx(&rig, m, 8), 3);
	for (uint16_t i = 0; i < 3; i++)
		frame_expect(m[i], 5 + i, 64);
	for (uint16_t i = 0; i < 8; i++)
		expect_used(&rig, i, 0);
	rig_close(&rig);
}

static void injected_frame_is_received_once_and_passes_the_gate(void **state)
{
	struct rte_mbuf *m[8];
	struct rig rig;

	rig_open(&rig, 8, 0, MODERN);
	for (unsigned refuse = 0; refuse < 2; refuse++) {
		for (unsigned stopped = 0; stopped < 2; stopped++) {
			gate_reset(refuse);
			rig.q.live = stopped ? NULL : rig.v;
			rig.q.inject = frame_new(5, 60, UINT32_MAX);
			assert_int_equal(vhost_rx_arm(&rig.q), 1);
			vhost_rx_disarm(&rig.q);
			assert_int_equal(rig_rx(&rig, m, 0), 0);
			assert_non_null(rig.q.inject);
			assert_int_equal(rig_rx(&rig, m, 8), !refuse);
			assert_int_equal(gate_seen.asked, 1);
			assert_int_equal(gate_seen.len[0], 60);
			if (!refuse)
				frame_expect(m[0], 5, 60);
			assert_int_equal(rig_rx(&rig, m, 8), 0);
		}
	}
	rig.q.live = rig.v;
	rig_close(&rig);
}

/* --- what a frame asks for -------------------------------------------------------------------------------------------------- */

/* TCP over IPv4 (54 bytes of headers) or IPv6 (74), with the pseudo header's sum as Linux leaves it. */
static uint32_t tcp_frame(uint8_t *p, bool v6, uint32_t payload)
{
	uint32_t l4 = 14 + (v6 ? 40 : 20), len = l4 + 20 + payload, sum = 6 + 20 + payload;

	memset(p, 0, len);
	memset(p, 2, 12);
	p[12] = v6 ? 0x86 : 0x08;
	p[13] = v6 ? 0xdd : 0x00;
	p[14] = v6 ? 0x60 : 0x45;
	if (v6) {
		p[18] = (uint8_t)((len - 54) >> 8);
		p[19] = (uint8_t)(len - 54);
		p[20] = 6;
		memset(p + 22, 0xfd, 32);
	} else {
		p[16] = (uint8_t)((len - 14) >> 8);
		p[17] = (uint8_t)(len - 14);
		p[23] = 6;
		memset(p + 26, 10, 8);
	}
	for (uint32_t i = v6 ? 22 : 26; i < l4; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	p[l4 + 12] = 0x50;
	p[l4 + 16] = (uint8_t)(sum >> 8);
	p[l4 + 17] = (uint8_t)sum;
	for (uint32_t i = 0; i < payload; i++)
		p[l4 + 20 + i] = pattern(77, i);
	return len;
}

static void request_becomes_the_mbufs(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, 8, 0, MODERN);
	for (unsigned k = 0; k < 8; k++) {
		bool v6 = k & 1, tso = k & 2;
		uint32_t payload = k & 4 ? 60000 : 1400, l4 = v6 ? 54 : 34, len;
		struct virtio_net_hdr_v1 h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = (uint16_t)l4, .csum_offset = 16};

		gate_reset(0);
		len = tcp_frame(rig.g.mem + RIG_BUFFERS + 12, v6, payload);
		if (tso) {
			h.gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
			h.gso_size = 700;
		}
		memcpy(rig.g.mem + RIG_BUFFERS, &h, 12);
		guest_desc(&rig.r, 0, RIG_BUFFERS, 12 + len, 0, 0);
		guest_give(&rig.r, 0);
		assert_int_equal(rig_rx(&rig, &m, 1), 1);
		assert_int_equal(gate_seen.asks, 1);
		assert_int_equal(m->pkt_len, len);
		assert_int_equal(m->ol_flags, (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) | RTE_MBUF_F_TX_TCP_CKSUM |
						      (tso ? RTE_MBUF_F_TX_TCP_SEG : 0));
		assert_int_equal(m->l2_len, 14);
		assert_int_equal(m->l3_len, v6 ? 40 : 20);
		assert_int_equal(m->l4_len, 20);
		if (tso)
			assert_int_equal(m->tso_segsz, 700);
		rte_pktmbuf_free(m);
		expect_used(&rig, 0, 0);
	}
	rig_close(&rig);
}

static void request_that_points_outside_costs_its_frame(void **state)
{
	static const struct virtio_net_hdr lies[] = {
		{.flags = 1, .csum_start = 80, .csum_offset = 16},
		{.flags = 1, .csum_start = 65535, .csum_offset = 65535},
		{.flags = 1, .csum_start = 0, .csum_offset = 0},
		{.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0},
		{.gso_type = 0x7f, .gso_size = 1000},
	};
	struct rte_mbuf *m[4];
	struct rig rig;

	rig_open(&rig, 8, 0, MODERN);
	for (unsigned i = 0; i < COUNT(lies); i++) {
		for (unsigned chained = 0; chained < 2; chained++) {
			gate_reset(0);
			guest_sends(&rig, 0, 1, 64);
			guest_write(&rig, buffer_at(1), 2, 64);
			memcpy(rig.g.mem + buffer_at(1), &lies[i], sizeof(lies[i]));
			guest_desc(&rig.r, 1, buffer_at(1), chained ? 40 : 76, chained ? VIRTQ_DESC_NEXT : 0, 2);
			guest_desc(&rig.r, 2, buffer_at(1) + 40, 36, 0, 0);
			guest_give(&rig.r, 1);
			guest_sends(&rig, 3, 3, 64);
			/* It was admitted, so its place is there, with nothing in it. */
			assert_int_equal(rig_rx(&rig, m, 4), 3);
			assert_int_equal(gate_seen.asked, 3);
			frame_expect(m[0], 1, 64);
			assert_null(m[1]);
			frame_expect(m[2], 3, 64);
			assert_int_equal(rig.q.lost.malformed, 2 * i + chained + 1);
		}
	}
	rig_close(&rig);
}

/* The VLAN tag was looked at when the frame was admitted; a checksum whose place is the tag would make another of it. */
static void checksum_is_not_written_into_what_admission_was_decided_by(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, 8, 0, MODERN);
	for (uint16_t place = 14; place < 40; place++) {
		struct virtio_net_hdr h = {.flags = 1, .csum_start = 14, .csum_offset = (uint16_t)(place - 14)};

		gate_reset(0);
		guest_write(&rig, RIG_BUFFERS, 3, 64);
		memcpy(rig.g.mem + RIG_BUFFERS + 12 + 12, "\x81\x00\x00\x64", 4);
		memcpy(rig.g.mem + RIG_BUFFERS, &h, sizeof(h));
		guest_desc(&rig.r, 0, RIG_BUFFERS, 76, 0, 0);
		guest_give(&rig.r, 0);
		assert_int_equal(rig_rx(&rig, &m, 1), 1);
		assert_int_equal(m == NULL, place < KIND_HEAD);
		if (m)
			assert_memory_equal(rte_pktmbuf_mtod(m, const void *), gate_seen.head[0], KIND_HEAD);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(rig.q.lost.malformed, KIND_HEAD - 14);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_of_10_or_12_bytes),
		cmocka_unit_test(plain_frames_of_every_size_arrive_unchanged),
		cmocka_unit_test(bursts_of_all_shapes_keep_their_order),
		cmocka_unit_test(chains_are_put_together_wherever_they_are_cut),
		cmocka_unit_test(buffer_may_lie_in_regions_that_follow_each_other),
		cmocka_unit_test(refused_frames_cost_no_buffer_and_their_entries_are_given_back),
		cmocka_unit_test(without_buffers_frames_wait_in_the_ring),
		cmocka_unit_test(no_more_is_taken_than_was_asked_for),
		cmocka_unit_test(indices_wrap_around),
		cmocka_unit_test(ring_of_32768_is_served_whole),
		cmocka_unit_test(ring_goes_on_at_the_used_index_in_memory),
		cmocka_unit_test(injected_frame_is_received_once_and_passes_the_gate),
		cmocka_unit_test(request_becomes_the_mbufs),
		cmocka_unit_test(request_that_points_outside_costs_its_frame),
		cmocka_unit_test(checksum_is_not_written_into_what_admission_was_decided_by),
	};

	return cmocka_run_group_tests_name("vhost_ring", tests, env_setup, env_teardown);
}

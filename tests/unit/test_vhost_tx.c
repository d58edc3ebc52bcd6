/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to an honest guest: into whatever buffers it offers, with the header that belongs to them.
 */
#include "test_vhost_env.h"

#include <linux/virtio_net.h>

static const uint64_t headers[] = {0, MODERN, MERGE, MODERN | MERGE | EVENTS | TABLES};

static struct virtio_net_hdr_v1 header_at(const struct rig *rig, uint64_t at)
{
	struct virtio_net_hdr_v1 h = {0};

	memcpy(&h, rig->g.mem + at, rig->hdr_len);
	return h;
}

static void frames_of_every_size_arrive_unchanged(void **state)
{
	static const uint32_t segs[] = {UINT32_MAX, 1000, 61};
	struct rig rig;

	for (unsigned h = 0; h < COUNT(headers); h++) {
		rig_open(&rig, 16, 0xfff0, headers[h]);
		for (uint32_t len = 14; len <= 65562; len += len < 2200 ? 7 : 977) {
			struct rte_mbuf *m = frame_new(len, len, segs[len < 9000 ? len % 3 : len % 2]);
			struct virtio_net_hdr_v1 got;

			guest_offers(&rig, 0, 70000);
			assert_int_equal(rig_tx(&rig, &m, 1), 1);
			expect_used(&rig, 0, rig.hdr_len + len);
			got = header_at(&rig, RIG_BUFFERS);
			assert_int_equal(got.flags | got.gso_type | got.gso_size | got.csum_start | got.csum_offset, 0);
			assert_int_equal(got.num_buffers, rig.hdr_len == 12);
			expect_bytes(&rig, RIG_BUFFERS + rig.hdr_len, len, 0, len);
			/* And not a byte more. */
			assert_int_equal(rig.g.mem[RIG_BUFFERS + rig.hdr_len + len], 0xee);
		}
		rig_close(&rig);
	}
}

static void buffer_that_just_suffices_is_filled_to_its_last_byte(void **state)
{
	struct rig rig;

	for (unsigned h = 0; h < COUNT(headers); h++) {
		rig_open(&rig, 16, 0, headers[h]);
		for (uint32_t len = 60; len < 300; len += 17) {
			struct rte_mbuf *m = frame_new(1, len, UINT32_MAX);

			guest_offers(&rig, 0, rig.hdr_len + len + 1);
			rig.r.desc[0].len--;
			assert_int_equal(rig_tx(&rig, &m, 1), 1);
			expect_used(&rig, 0, rig.hdr_len + len);
			expect_bytes(&rig, RIG_BUFFERS + rig.hdr_len, 1, 0, len);
			assert_int_equal(rig.g.mem[RIG_BUFFERS + rig.hdr_len + len], 0xee);
			/* One byte less is too short, and without mergeable buffers that is the end of the frame. */
			if (!(headers[h] & MERGE)) {
				m = frame_new(1, len + 1, UINT32_MAX);
				guest_offers(&rig, 0, rig.hdr_len + len);
				assert_int_equal(rig_tx(&rig, &m, 1), 1);
				assert_int_equal(guest_used(&rig.r), 0);
				m = frame_new(1, len, UINT32_MAX); /* which the buffer is still there for */
				assert_int_equal(rig_tx(&rig, &m, 1), 1);
				expect_used(&rig, 0, rig.hdr_len + len);
			}
		}
		if (!(headers[h] & MERGE))
			assert_true(rig.q.lost.truncated > 0);
		assert_int_equal(rig.q.lost.tx_error + rig.q.lost.bad_descriptor, 0);
		rig_close(&rig);
	}
}

static void chains_take_header_and_frame_wherever_they_are_cut(void **state)
{
	static const uint32_t cuts[][4] = {{12, 1000, 1000, 4000}, {1, 1, 1, 70000}, {5, 7, 3, 70000}, {10, 70000}, {13, 70000}};
	struct rig rig;

	for (unsigned h = 0; h < COUNT(headers); h++) {
		for (unsigned table = 0; table <= (headers[h] & TABLES ? 1 : 0); table++) {
			rig_open(&rig, 16, 0xffff, headers[h]);
			for (unsigned c = 0; c < COUNT(cuts); c++) {
				struct rte_mbuf *m = frame_new(c, 5000, UINT32_MAX);
				uint64_t at = RIG_BUFFERS;
				union virtq_desc *d = table ? (union virtq_desc *)(rig.g.mem + RIG_TABLES) : rig.r.desc;
				unsigned n = 0;

				for (; n < 4 && cuts[c][n]; at += cuts[c][n++])
					d[n] = (union virtq_desc){.addr = guest_gpa(&rig.g, at),
								  .len = cuts[c][n],
								  .flags = VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT,
								  .next = (uint16_t)(n + 1)};
				d[n - 1].flags = VIRTQ_DESC_WRITE;
				if (table)
					guest_desc(&rig.r, 0, RIG_TABLES, 4 * sizeof(*d), VIRTQ_DESC_INDIRECT, 0);
				guest_give(&rig.r, 0);
				assert_int_equal(rig_tx(&rig, &m, 1), 1);
				expect_used(&rig, 0, rig.hdr_len + 5000);
				expect_bytes(&rig, RIG_BUFFERS + rig.hdr_len, c, 0, 5000);
				assert_int_equal(header_at(&rig, RIG_BUFFERS).num_buffers, rig.hdr_len == 12);
			}
			rig_close(&rig);
		}
	}
}

static void long_frame_takes_as_many_mergeable_buffers_as_it_needs(void **state)
{
	static const struct {
		uint32_t len, buffer;
	} cases[] = {{2000, 256}, {9014, 2048}, {65562, 2048}, {65562, 260}, {100, 112},
		     {101, 112},  {1514, 1526}, {30, 12},      {7, 1}};
	struct rig rig;

	for (unsigned c = 0; c < COUNT(cases); c++) {
		uint32_t need = (12 + cases[c].len + cases[c].buffer - 1) / cases[c].buffer, left = 12 + cases[c].len;
		struct rte_mbuf *m = frame_new(c, cases[c].len, UINT32_MAX);

		rig_open(&rig, 512, 0xff80, MODERN | MERGE);
		/* One too few: nothing is taken, and the frame stays the caller's. */
		for (unsigned i = 0; i + 1 < need; i++)
			guest_offers(&rig, (uint16_t)i, cases[c].buffer);
		assert_int_equal(rig_tx(&rig, &m, 1), 0);
		assert_int_equal(guest_used(&rig.r), 0);
		guest_offers(&rig, (uint16_t)(need - 1), cases[c].buffer);
		guest_offers(&rig, (uint16_t)need, cases[c].buffer);
		assert_int_equal(rig_tx(&rig, &m, 1), 1);
		assert_int_equal(guest_used(&rig.r), need);
		for (unsigned i = 0; i < need; i++) {
			uint32_t part = RTE_MIN(left, cases[c].buffer), from = i * cases[c].buffer;

			expect_used(&rig, i, part);
			for (uint32_t k = 0; k < part; k++) {
				if (from + k >= 12)
					assert_int_equal(rig.g.mem[buffer_at(i) + k], pattern(c, from + k - 12));
				else
					assert_int_equal(rig.g.mem[buffer_at(i) + k], from + k == 10   ? (uint8_t)need
										      : from + k == 11 ? need >> 8
												       : 0);
			}
			left -= part;
		}
		assert_int_equal(rig.q.lost.truncated, 0);
		rig_close(&rig);
	}
}

static void frame_that_no_ring_of_that_length_can_hold_is_dropped_and_counted(void **state)
{
	struct rte_mbuf *m[2] = {frame_new(1, 9014, UINT32_MAX), frame_new(2, 64, UINT32_MAX)};
	struct rig rig;

	rig_open(&rig, 4, 0, MODERN | MERGE);
	for (uint16_t i = 0; i < 4; i++)
		guest_offers(&rig, i, 2048);
	assert_int_equal(rig_tx(&rig, m, 2), 2);
	assert_int_equal(rig.q.lost.truncated, 1);
	expect_used(&rig, 0, 76);
	expect_bytes(&rig, buffer_at(0) + 12, 2, 0, 64);
	rig_close(&rig);
}

static void bursts_of_all_shapes_keep_their_order(void **state)
{
	struct rte_mbuf *m[64];
	struct rig rig;

	for (unsigned h = 0; h < COUNT(headers); h++) {
		rig_open(&rig, 256, 0xffc0, headers[h]);
		for (uint16_t n = 1; n <= 64; n++) {
			for (uint16_t i = 0; i < n; i++) {
				guest_offers(&rig, i, RIG_BUFFER);
				m[i] = frame_new(i, 64 + i * 10u, i % 5 == 4 ? 100 : UINT32_MAX);
			}
			assert_int_equal(rig_tx(&rig, m, n), n);
			for (uint16_t i = 0; i < n; i++) {
				expect_used(&rig, i, rig.hdr_len + 64 + i * 10u);
				expect_bytes(&rig, buffer_at(i) + rig.hdr_len, i, 0, 64 + i * 10u);
			}
		}
		rig_close(&rig);
	}
}

static void without_buffers_nothing_is_taken(void **state)
{
	struct rte_mbuf *m[8];
	struct rig rig;

	rig_open(&rig, 8, 0, MODERN);
	for (uint16_t i = 0; i < 8; i++)
		m[i] = frame_new(i, 64, UINT32_MAX);
	assert_int_equal(rig_tx(&rig, m, 8), 0);
	for (uint16_t i = 0; i < 3; i++)
		guest_offers(&rig, i, RIG_BUFFER);
	assert_int_equal(rig_tx(&rig, m, 8), 3);
	assert_int_equal(rig_tx(&rig, m + 3, 5), 0);
	rig.q.live = NULL;
	assert_int_equal(rig_tx(&rig, m + 3, 5), 0);
	rte_pktmbuf_free_bulk(m + 3, 5);
	rig_close(&rig);
}

static void shared_frames_are_not_written_to_and_stay_with_their_other_holders(void **state)
{
	struct rig rig;

	rig_open(&rig, 8, 0, MODERN | MERGE | TSO);
	for (uint32_t len = 64; len <= 9000; len += 4468) {
		struct rte_mbuf *m = frame_new(1, len, UINT32_MAX), *clone = rte_pktmbuf_clone(m, pool), *out = m;

		for (struct rte_mbuf *s = m; s; s = s->next)
			rte_mbuf_refcnt_update(s, 1);
		guest_offers(&rig, 0, 16384);
		guest_offers(&rig, 1, 16384);
		assert_int_equal(rig_tx(&rig, &out, 1), 1);
		assert_int_equal(rig_tx(&rig, &clone, 1), 1);
		expect_used(&rig, 0, 12 + len);
		expect_used(&rig, 1, 12 + len);
		frame_expect(m, 1, len);
	}
	rig_close(&rig);
}

/* --- offloads --------------------------------------------------------------------------------------------------------------- */

/* Asks to be finished as TCP behind an IPv4 or IPv6 header; only what a header needs is right about it. */
static struct rte_mbuf *request(bool v6, uint64_t what, uint32_t len)
{
	struct rte_mbuf *m = frame_new(4, len, UINT32_MAX);

	m->ol_flags = what | (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	m->l2_len = 14;
	m->l3_len = v6 ? 40 : 20;
	m->l4_len = 20;
	m->tso_segsz = 1400;
	rte_pktmbuf_mtod(m, uint8_t *)[14 + m->l3_len + 13] = 0x90; /* CWR */
	return m;
}

static void request_becomes_the_header_and_the_sum_is_edited_in_the_copy(void **state)
{
	struct rig rig;

	for (unsigned k = 0; k < 8; k++) {
		bool v6 = k & 1, tso = k & 2, ecn = k & 4;
		struct rte_mbuf *m = request(v6, tso ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_TCP_CKSUM, 5000), *other = m;
		uint32_t start = v6 ? 54 : 34, sum = 6 + 5000 - start, field;
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
		struct virtio_net_hdr_v1 h;

		rig_open(&rig, 16, 0, MODERN | MERGE | TSO | (ecn ? VHOST_BIT(VIRTIO_BIT_GUEST_ECN) : 0));
		for (struct rte_mbuf *s = m; s; s = s->next)
			rte_mbuf_refcnt_update(s, 1);
		for (uint16_t i = 0; i < 4; i++)
			guest_offers(&rig, i, RIG_BUFFER);
		assert_int_equal(rig_tx(&rig, &other, 1), 1);
		assert_int_equal(guest_used(&rig.r), 3);
		h = header_at(&rig, RIG_BUFFERS);
		assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(h.csum_start, start);
		assert_int_equal(h.csum_offset, 16);
		assert_int_equal(h.num_buffers, 3);
		assert_int_equal(h.gso_size, tso ? 1400 : 0);
		assert_int_equal(h.gso_type, !tso ? 0
						  : (v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4) |
							     (ecn ? VIRTIO_NET_HDR_GSO_ECN : 0));
		for (uint32_t i = v6 ? 22 : 26; i < start; i += 2)
			sum += (uint32_t)(p[i] << 8 | p[i + 1]);
		while (sum > 0xffff)
			sum = (sum >> 16) + (sum & 0xffff);
		field = (uint32_t)(rig.g.mem[RIG_BUFFERS + 12 + start + 16] << 8 | rig.g.mem[RIG_BUFFERS + 12 + start + 17]);
		if (tso)
			assert_int_equal(field, sum); /* with the length, as Linux has it */
		/* The frame itself has other holders. */
		assert_int_equal(p[start + 16], pattern(4, start + 16));
		assert_int_equal(p[start + 17], pattern(4, start + 17));
		rte_pktmbuf_free(m);
		rig_close(&rig);
	}
}

/* Over the border of two buffers, a byte in each. */
static void sum_may_lie_across_two_buffers(void **state)
{
	struct rte_mbuf *m, *whole;
	uint8_t expect[2];
	struct rig rig;

	rig_open(&rig, 64, 0, MODERN | MERGE | TSO);
	whole = request(false, RTE_MBUF_F_TX_TCP_SEG, 2000);
	guest_offers(&rig, 0, 4096);
	assert_int_equal(rig_tx(&rig, &whole, 1), 1);
	memcpy(expect, rig.g.mem + RIG_BUFFERS + 12 + 50, 2);
	expect_used(&rig, 0, 2012);
	m = request(false, RTE_MBUF_F_TX_TCP_SEG, 2000);
	guest_offers(&rig, 0, 12 + 51);
	guest_offers(&rig, 1, 2000);
	assert_int_equal(rig_tx(&rig, &m, 1), 1);
	assert_int_equal(rig.g.mem[buffer_at(0) + 12 + 50], expect[0]);
	assert_int_equal(rig.g.mem[buffer_at(1)], expect[1]);
	rig_close(&rig);
}

static void request_that_the_guest_does_not_take_is_counted(void **state)
{
	static const struct {
		uint64_t features, what;
		bool v6, sent;
	} cases[] = {
		{MODERN, RTE_MBUF_F_TX_TCP_CKSUM, false, false},
		{MODERN | CSUM, RTE_MBUF_F_TX_TCP_CKSUM, false, true},
		{MODERN | CSUM, RTE_MBUF_F_TX_UDP_CKSUM, true, true},
		{MODERN | CSUM, RTE_MBUF_F_TX_TCP_SEG, false, false},
		{MODERN | CSUM | VHOST_BIT(VIRTIO_BIT_GUEST_TSO4), RTE_MBUF_F_TX_TCP_SEG, false, true},
		{MODERN | CSUM | VHOST_BIT(VIRTIO_BIT_GUEST_TSO4), RTE_MBUF_F_TX_TCP_SEG, true, false},
		{MODERN | VHOST_BIT(VIRTIO_BIT_GUEST_TSO4), RTE_MBUF_F_TX_TCP_SEG, false, false}, /* not without checksums */
		{MODERN | TSO, RTE_MBUF_F_TX_UDP_SEG, false, false},
		{MODERN | TSO, RTE_MBUF_F_TX_SCTP_CKSUM, false, false},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct rte_mbuf *m = request(cases[i].v6, cases[i].what, 3000);
		struct rig rig;

		rig_open(&rig, 8, 0, cases[i].features);
		guest_offers(&rig, 0, 4096);
		assert_int_equal(rig_tx(&rig, &m, 1), 1);
		assert_int_equal(guest_used(&rig.r), cases[i].sent);
		assert_int_equal(rig.q.lost.tx_error, !cases[i].sent);
		rig_close(&rig);
	}
}

static void caps_follow_features(void **state)
{
	assert_int_equal(vhost_caps(0), KIND_CAP_MULTI_SEG);
	assert_int_equal(vhost_caps(CSUM), KIND_CAP_MULTI_SEG | KIND_CAP_CSUM_L4);
	assert_int_equal(vhost_caps(TSO), KIND_CAP_MULTI_SEG | KIND_CAP_CSUM_L4 | KIND_CAP_TSO4 | KIND_CAP_TSO6);
	assert_int_equal(vhost_caps(TSO & ~CSUM), KIND_CAP_MULTI_SEG);
}

/* --- several queues, one ring ----------------------------------------------------------------------------------------------- */

#define EACH 5000

struct sender {
	struct vhost_queue q;
	unsigned sent;
};

static void *send_many(void *arg)
{
	struct sender *s = arg;

	rte_thread_register();
	while (s->sent < EACH) {
		struct rte_mbuf *m[8];
		uint16_t n = 0, done, want = (uint16_t)(1 + s->sent % 8);

		for (; n < want; n++)
			m[n] = frame_new(s->sent % 100, n % 3 ? 64 : 3000, UINT32_MAX);
		done = vhost_tx(&s->q, m, n);
		s->sent += done;
		rte_pktmbuf_free_bulk(m + done, n - done);
		if (!done)
			sched_yield();
	}
	rte_thread_unregister();
	return NULL;
}

static void two_workers_share_a_ring_and_every_frame_arrives_whole(void **state)
{
	static struct sender senders[2];
	uint32_t frames = 0, bytes = 0;
	pthread_t thread[2];
	struct rig rig;

	rig_open(&rig, 128, 0, MODERN | MERGE);
	rig.v->shared = true;
	for (uint16_t i = 0; i < 128; i++)
		guest_offers(&rig, i, RIG_BUFFER);
	for (unsigned i = 0; i < 2; i++) {
		senders[i] = (struct sender){.q.live = rig.v};
		assert_int_equal(pthread_create(&thread[i], NULL, send_many, &senders[i]), 0);
	}
	while (frames < 2 * EACH) {
		struct virtq_used_elem e;
		uint64_t at;
		unsigned n;

		if (!guest_used(&rig.r)) {
			sched_yield();
			continue;
		}
		at = buffer_at(rig.r.used->ring[rig.r.seen % rig.r.size].id);
		n = rig.g.mem[at + 10];
		bytes = 0;
		while (guest_used(&rig.r) < n)
			sched_yield();
		for (unsigned i = 0; i < n; i++) {
			e = guest_take(&rig.r);
			bytes += e.len;
			guest_give(&rig.r, (uint16_t)e.id);
		}
		assert_true(bytes == 76 || bytes == 3012);
		assert_int_equal(n, bytes == 76 ? 1 : 2);
		frames++;
	}
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	/* A last burst may have been more than was asked for. */
	assert_true(senders[0].sent + senders[1].sent >= frames);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_every_size_arrive_unchanged),
		cmocka_unit_test(buffer_that_just_suffices_is_filled_to_its_last_byte),
		cmocka_unit_test(chains_take_header_and_frame_wherever_they_are_cut),
		cmocka_unit_test(long_frame_takes_as_many_mergeable_buffers_as_it_needs),
		cmocka_unit_test(frame_that_no_ring_of_that_length_can_hold_is_dropped_and_counted),
		cmocka_unit_test(bursts_of_all_shapes_keep_their_order),
		cmocka_unit_test(without_buffers_nothing_is_taken),
		cmocka_unit_test(shared_frames_are_not_written_to_and_stay_with_their_other_holders),
		cmocka_unit_test(request_becomes_the_header_and_the_sum_is_edited_in_the_copy),
		cmocka_unit_test(sum_may_lie_across_two_buffers),
		cmocka_unit_test(request_that_the_guest_does_not_take_is_counted),
		cmocka_unit_test(caps_follow_features),
		cmocka_unit_test(two_workers_share_a_ring_and_every_frame_arrives_whole),
	};

	return cmocka_run_group_tests_name("vhost_tx", tests, env_setup, env_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Requests: which are admitted, and checksums. (Segments: test_offload_segment.c) */

#include "offload_frames.h"

/* --- admission ----------------------------------------------------------------------------------------------------------- */

static void frame_that_asks_for_nothing_loses_inert_flags(void **state)
{
	struct rte_mbuf *m = whole(kind(0, 100));

	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TUNNEL_VXLAN | RTE_MBUF_F_TX_VLAN | RTE_MBUF_F_RX_VLAN;
	m->tx_offload = UINT64_MAX;
	assert_int_equal(offload_check(m), 0);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_RX_VLAN);
	assert_int_equal(m->tx_offload, 0);
	rte_pktmbuf_free(m);
}

static void good_requests_are_admitted_and_brought_to_one_form(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 3000);
		struct rte_mbuf *m = request(whole(f), f, csum_flag(f) | RTE_MBUF_F_TX_OUTER_IPV4, 77);

		assert_int_equal(offload_check(m), 0);
		assert_int_equal(m->ol_flags, csum_flag(f) | family(f));
		assert_int_equal(m->tso_segsz, 0);
		m->l4_len = 0; /* need not be there */
		assert_int_equal(offload_check(m), 0);
		assert_int_equal(m->l4_len, f->l4);
		request(m, f, seg_flag(f), 1000);
		m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK; /* implied */
		assert_int_equal(offload_check(m), 0);
		assert_int_equal(m->ol_flags, csum_flag(f) | seg_flag(f) | family(f));
		rte_pktmbuf_free(m);
	}
}

static void lengths_must_be_those_of_the_headers(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 3000);
		struct rte_mbuf *m = whole(f);

		for (unsigned seg = 0; seg <= 1; seg++) {
			for (unsigned l2 = 0; l2 < 128; l2++) {
				request(m, f, csum_flag(f) | (seg ? seg_flag(f) : 0), 1000);
				m->l2_len = l2;
				assert_int_equal(offload_check(m), l2 == f->l2 ? 0 : -EINVAL);
			}
			for (unsigned l3 = 0; l3 < 512; l3++) {
				request(m, f, csum_flag(f) | (seg ? seg_flag(f) : 0), 1000);
				m->l3_len = l3;
				assert_int_equal(offload_check(m), l3 == f->l3 ? 0 : -EINVAL);
			}
			for (unsigned l4 = 0; l4 < 256; l4++) {
				request(m, f, csum_flag(f) | (seg ? seg_flag(f) : 0), 1000);
				m->l4_len = l4;
				assert_int_equal(offload_check(m), l4 == f->l4 || (l4 == 0 && !seg) ? 0 : -EINVAL);
			}
		}
		rte_pktmbuf_free(m);
	}
}

static void truncated_frame_is_refused_at_every_byte(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 9);

		for (unsigned n = 1; n < f->len; n++) {
			refused(request(heap(f->b, n), f, csum_flag(f), 0));
			refused(request(heap(f->b, n), f, csum_flag(f) | seg_flag(f), 4));
			if (n < f->l2 + f->l3 && !f->s.v6)
				refused(request(heap(f->b, n), f, RTE_MBUF_F_TX_IP_CKSUM, 0));
		}
	}
}

static void headers_must_be_those_that_the_flags_name(void **state)
{
	static const uint64_t bad[] = {
		RTE_MBUF_F_TX_SCTP_CKSUM,
		RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG,
		RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_CKSUM,
		RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_TCP_CKSUM,
	};

	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 3000);
		struct rte_mbuf *m;

		for (unsigned j = 0; j < sizeof(bad) / sizeof(bad[0]); j++)
			refused(request(whole(f), f, bad[j], 1000));
		refused(request(whole(f), f, csum_flag(f) ^ RTE_MBUF_F_TX_TCP_CKSUM ^ RTE_MBUF_F_TX_UDP_CKSUM, 0));
		refused(request(whole(f), f, seg_flag(f) == RTE_MBUF_F_TX_TCP_SEG ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG,
				1000));
		m = request(whole(f), f, csum_flag(f), 0);
		m->ol_flags ^= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6; /* the other family */
		refused(m);
		m = request(whole(f), f, csum_flag(f), 0);
		m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6; /* both */
		refused(m);
		m = request(whole(f), f, csum_flag(f), 0);
		m->ol_flags &= ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6); /* neither */
		refused(m);
		if (f->s.v6)
			refused(request(whole(f), f, csum_flag(f) | RTE_MBUF_F_TX_IP_CKSUM, 0));
		f->b[f->l2] ^= 0x20; /* version */
		refused(request(whole(f), f, csum_flag(f), 0));
		f->b[f->l2] ^= 0x20;
		if (f->s.proto == TCP)
			f->b[f->l2 + f->l3 + 12] = 0x40; /* a TCP header of 16 bytes */
		else
			f->b[f->l2 + f->l3 + 5]--; /* a datagram shorter than its packet */
		refused(request(whole(f), f, csum_flag(f), 0));
	}
}

/* A tunnelled packet: the tags must lead to the header, not merely a good header be there. */
static void request_for_a_packet_inside_a_packet_is_refused(void **state)
{
	struct frame inner = *kind(0, 500), *f = kind(0, 20 + 20 + 500);
	unsigned at = f->len - 540;
	struct rte_mbuf *m;

	memcpy(&f->b[at], &inner.b[14], 540);
	m = request(whole(f), f, csum_flag(f), 0);
	assert_int_equal(offload_check(m), 0);
	m->l2_len = at;
	refused(m);
	w16(&f->b[at - 2], 0x0800);
	m = request(whole(f), f, csum_flag(f), 0);
	m->l2_len = at;
	refused(m);
}

/* Four tags are the most, which leaves room in l2_len for those that the switch adds. */
static void tags_are_followed_to_a_limit(void **state)
{
	for (unsigned tags = 0; tags <= OFFLOAD_MAX_TAGS + 1; tags++) {
		struct frame *f = build((struct spec){.tags = tags, .proto = TCP, .payload = 100});
		struct rte_mbuf *m = request(whole(f), f, csum_flag(f), 0);

		assert_int_equal(offload_check(m), tags <= OFFLOAD_MAX_TAGS ? 0 : -EINVAL);
		rte_pktmbuf_free(m);
	}
}

static void packet_longer_than_its_frame_is_refused(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 1000);
		uint8_t *len = &f->b[f->l2 + (f->s.v6 ? 4 : 2)];

		w16(len, r16(len) + 1);
		refused(request(whole(f), f, csum_flag(f), 0));
		refused(request(whole(f), f, csum_flag(f) | seg_flag(f), 100));
		w16(len, 0);
		refused(request(whole(f), f, csum_flag(f), 0));
		refused(request(whole(f), f, csum_flag(f) | seg_flag(f), 100));
	}
}

static void fragments_cannot_ask(void **state)
{
	struct frame *f = kind(0, 1000);

	f->b[f->l2 + 6] = 0x20;
	refused(request(whole(f), f, csum_flag(f), 0));
	refused(request(whole(f), f, csum_flag(f) | seg_flag(f), 100));
	f->b[f->l2 + 6] = 0;
	f->b[f->l2 + 7] = 1;
	refused(request(whole(f), f, csum_flag(f), 0));
	f = kind(10, 1000);
	f->b[f->l2 + 6] = 44;
	f->b[f->l2 + 41] = 0;
	refused(request(whole(f), f, csum_flag(f), 0));
	f->b[f->l2 + 6] = 51; /* nor what an authentication header covers */
	f->b[f->l2 + 41] = 2;
	refused(request(whole(f), f, csum_flag(f), 0));
}

static void extension_headers_are_followed_to_a_limit(void **state)
{
	for (unsigned n = 1; n <= 10; n++) {
		struct frame *f = build((struct spec){.v6 = true, .proto = TCP, .l3_more = 8 * n, .payload = 100});
		uint8_t *ext = &f->b[f->l2 + 40];
		struct rte_mbuf *m;

		for (unsigned i = 0; i < n; i++) {
			ext[8 * i] = i + 1 < n ? 60 : TCP;
			ext[8 * i + 1] = 0;
		}
		m = request(whole(f), f, csum_flag(f), 0);
		assert_int_equal(offload_check(m), n <= 8 ? 0 : -EINVAL);
		rte_pktmbuf_free(m);
	}
}

static void segment_size_must_make_sense(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 1280);

		refused(request(whole(f), f, seg_flag(f), 0));
		refused(request(whole(f), f, seg_flag(f), 1));
		refused(request(whole(f), f, seg_flag(f), 9)); /* 143 segments */
		for (unsigned size = 10; size < 1280; size += 127) {
			struct rte_mbuf *m = request(whole(f), f, seg_flag(f), (uint16_t)size);

			assert_int_equal(offload_check(m), 0);
			assert_true(m->ol_flags & OFFLOAD_SEGMENT);
			rte_pktmbuf_free(m);
		}
		/* Padding would become payload. */
		f->len += 3;
		refused(request(whole(f), f, seg_flag(f), 100));
	}
}

static void request_for_one_segment_becomes_one_for_a_checksum(void **state)
{
	static const unsigned sizes[] = {100, 101, 65535};

	for (unsigned i = 0; i < N_KINDS; i++) {
		for (unsigned j = 0; j < 3; j++) {
			for (unsigned payload = 0; payload <= 100; payload += 50) {
				struct frame *f = kind(i, payload);
				struct rte_mbuf *m;

				/* As DPDK writes it: without the length. Cut where headers may be cut. */
				w16(&f->b[csum_at(f)], ref_fold(ref_pseudo(&f->b[f->l2], f->s.v6, f->s.proto, 0)));
				m = request(chain(f->b, f->len, csum_at(f) + 1, 7), f, seg_flag(f), (uint16_t)sizes[j]);
				assert_int_equal(offload_check(m), 0);
				assert_int_equal(m->ol_flags, csum_flag(f) | family(f));
				assert_int_equal(m->tso_segsz, 0);
				assert_completes(m, f, CAPS_CHAIN);
			}
		}
	}
}

static void routing_header_stands_against_segmentation_only(void **state)
{
	struct frame *f = kind(10, 1000);
	struct rte_mbuf *m;

	f->b[f->l2 + 6] = 43;
	f->b[f->l2 + 43] = 1; /* segments left */
	m = request(whole(f), f, csum_flag(f), 0);
	assert_int_equal(offload_check(m), 0);
	assert_completes(m, f, 0); /* the sender knows the last destination: here it is the header's */
	refused(request(whole(f), f, seg_flag(f), 100));
	f->b[f->l2 + 43] = 0;
	m = request(whole(f), f, seg_flag(f), 100);
	assert_int_equal(offload_check(m), 0);
	rte_pktmbuf_free(m);
}

static void ip_checksum_alone_is_for_any_ipv4_packet(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 333);
		struct rte_mbuf *m;
		uint8_t b[1000];

		f->b[f->l2 + 10] ^= 0x55;
		f->b[f->l2 + 6] = 0x20; /* also a fragment, also of a protocol that we never heard of */
		f->b[f->l2 + 9] = 200;
		m = request(chain(f->b, f->len, f->l2 + 11, 50), f, RTE_MBUF_F_TX_IP_CKSUM, 5);
		if (f->s.v6) {
			refused(m);
			continue;
		}
		m->l3_len += 4;
		assert_int_equal(offload_check(m), -EINVAL);
		m->l3_len -= 4;
		assert_int_equal(offload_check(m), 0);
		assert_int_equal(offload_complete(m, 0, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
		assert_no_request(out[0]);
		assert_int_equal(done.csums, 1);
		flatten(out[0], b);
		assert_int_equal(ref_fold(ref_sum(b + f->l2, f->l3)), 0xffff);
		assert_memory_equal(b + f->l2 + f->l3, f->b + f->l2 + f->l3, f->len - f->l2 - f->l3);
		rte_pktmbuf_free(out[0]);
	}
}

/* --- partial checksums that nobody tells us of ---------------------------------------------------------------------------- */

static void unannounced_partial_checksum_is_found(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		for (unsigned pad = 0; pad <= 6; pad += 3) {
			struct frame *f = kind(i, 101);
			struct rte_mbuf *m;
			uint64_t offload;

			memset(f->b + f->len, 0x5a, pad);
			m = chain(f->b, f->len + pad, f->l2 + 13, 1000);
			offload_detect_partial(m, (uint16_t)f->l2, f->s.v6 ? 0x86dd : 0x0800);
			assert_int_equal(m->ol_flags, csum_flag(f) | family(f));
			offload = m->tx_offload;
			assert_int_equal(offload_check(m), 0);
			assert_int_equal(m->tx_offload, offload);
			if (pad == 0) {
				assert_completes(m, f, CAPS_CHAIN);
				continue;
			}
			/* The padding has no part in it. */
			assert_int_equal(offload_complete(m, CAPS_CHAIN, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
			flatten(out[0], f->b);
			assert_finished(f, f->b, f->len);
			rte_pktmbuf_free(out[0]);
		}
	}
}

static void other_frames_are_not_taken_for_partial(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 101);
		struct rte_mbuf *m;
		uint16_t type = f->s.v6 ? 0x86dd : 0x0800;

		for (unsigned n = 1; n < f->len; n++) {
			m = heap(f->b, n);
			offload_detect_partial(m, (uint16_t)f->l2, type);
			assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK, 0);
			rte_pktmbuf_free(m);
		}
		m = whole(f);
		offload_detect_partial(m, (uint16_t)f->l2, 0x0806);
		assert_int_equal(m->ol_flags, 0);
		rte_pktmbuf_free(m);
		f->b[csum_at(f)] ^= 1;
		m = whole(f);
		offload_detect_partial(m, (uint16_t)f->l2, type);
		assert_int_equal(m->ol_flags, 0);
		rte_pktmbuf_free(m);
		f->b[csum_at(f)] ^= 1;
		if (!f->s.v6) {
			f->b[f->l2 + 6] = 0x20;
			m = whole(f);
			offload_detect_partial(m, (uint16_t)f->l2, type);
			assert_int_equal(m->ol_flags, 0);
			rte_pktmbuf_free(m);
		}
	}
}

static void finished_checksum_that_looks_partial_stays_what_it_is(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 100);
		uint8_t *l4 = &f->b[f->l2 + f->l3];
		unsigned n = f->len - f->l2 - f->l3, p = ref_fold(ref_pseudo(&f->b[f->l2], f->s.v6, f->s.proto, n)), have;
		struct rte_mbuf *m;
		uint8_t b[1000];

		/* Choose the last two bytes so that the finished checksum is p: everything else must sum to ~p. */
		w16(&f->b[f->len - 2], 0);
		have = ref_fold(p + ref_sum(l4, n));
		w16(&f->b[f->len - 2], ref_fold(0xffffUL + 0xffff - have));
		assert_int_equal(ref_fold(p + ref_sum(l4, n)), 0xffff);
		m = whole(f);
		offload_detect_partial(m, (uint16_t)f->l2, f->s.v6 ? 0x86dd : 0x0800);
		assert_true(offload_asks(m));
		assert_int_equal(offload_complete(m, 0, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
		flatten(out[0], b);
		assert_memory_equal(b, f->b, f->len);
		rte_pktmbuf_free(out[0]);
	}
}

static void pseudo_sum_behind_a_routing_header_is_not_guessed(void **state)
{
	struct frame *f = kind(10, 1000);
	struct rte_mbuf *m;

	f->b[f->l2 + 6] = 43;
	for (unsigned left = 0; left <= 1; left++) {
		f->b[f->l2 + 43] = (uint8_t)left;
		m = whole(f);
		offload_detect_partial(m, (uint16_t)f->l2, 0x86dd);
		assert_int_equal(offload_asks(m), !left);
		rte_pktmbuf_free(m);
	}
}

/* --- checksums ----------------------------------------------------------------------------------------------------------- */

static void checksum_is_right_wherever_the_frame_is_cut(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		for (unsigned payload = 0; payload <= 61; payload += 61) {
			struct frame *f = kind(i, payload);

			for (unsigned cut = 1; cut <= f->len; cut++) {
				for (unsigned caps = 0; caps <= CAPS_CHAIN; caps += CAPS_CHAIN) {
					struct rte_mbuf *m = request(chain(f->b, f->len, cut, f->len), f, csum_flag(f), 0);

					assert_int_equal(offload_check(m), 0);
					assert_completes(m, f, caps);
				}
			}
			for (unsigned piece = 1; piece < 12; piece++) {
				struct rte_mbuf *m = request(chain(f->b, f->len, piece, piece), f, csum_flag(f), 0);

				assert_int_equal(offload_check(m), 0);
				assert_completes(m, f, CAPS_CHAIN);
			}
		}
	}
}

static void checksum_of_a_jumbo_frame_is_right(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 9001);
		struct rte_mbuf *m;

		/* The worst sum: all ones. */
		memset(&f->b[f->len - 9001], 0xff, 9001);
		m = request(chain(f->b, f->len, 1999, 1001), f, csum_flag(f), 0);
		assert_int_equal(offload_check(m), 0);
		assert_completes(m, f, CAPS_CHAIN);
	}
}

static void udp_checksum_of_zero_is_sent_as_all_ones(void **state)
{
	for (unsigned v6 = 0; v6 <= 1; v6++) {
		struct frame *f = build((struct spec){.v6 = v6, .proto = UDP, .payload = 64});
		uint8_t *l4 = &f->b[f->l2 + f->l3];
		struct rte_mbuf *m;

		/* The last two bytes bring the sum to 0xffff, whose complement is 0. */
		w16(&f->b[f->len - 2], 0);
		w16(&f->b[f->len - 2], 0xffff - ref_fold(ref_sum(l4, 72)));
		m = request(whole(f), f, csum_flag(f), 0);
		assert_int_equal(offload_check(m), 0);
		assert_int_equal(offload_complete(m, 0, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
		assert_int_equal(r16(rte_pktmbuf_mtod_offset(out[0], uint8_t *, csum_at(f))), 0xffff);
		rte_pktmbuf_free(out[0]);
	}
}

static void what_the_port_can_do_is_left_to_it(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 3000);
		uint32_t tso = f->s.proto == UDP ? KIND_CAP_USO : f->s.v6 ? KIND_CAP_TSO6 : KIND_CAP_TSO4;
		uint32_t others = (KIND_CAP_USO | KIND_CAP_TSO4 | KIND_CAP_TSO6) & ~tso;
		struct rte_mbuf *m = request(whole(f), f, csum_flag(f), 0), copy;
		uint8_t b[4000];

		assert_int_equal(offload_check(m), 0);
		copy = *m;
		assert_int_equal(offload_complete(m, KIND_CAP_CSUM_L4 | CAPS_CHAIN, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
		assert_ptr_equal(out[0], m);
		assert_memory_equal(m, &copy, sizeof(copy));
		assert_int_equal(done.csums, 0);

		if (!f->s.v6) {
			request(m, f, csum_flag(f) | RTE_MBUF_F_TX_IP_CKSUM, 0);
			assert_int_equal(offload_check(m), 0);
			copy = *m;
			assert_int_equal(offload_complete(m, KIND_CAP_CSUM_L4 | KIND_CAP_CSUM_IP | CAPS_CHAIN, pool, out,
							  OFFLOAD_MAX_SEGS, &done),
					 1);
			assert_ptr_equal(out[0], m);
			assert_memory_equal(m, &copy, sizeof(copy));
			m->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
		}
		request(m, f, seg_flag(f), 1000);
		assert_int_equal(offload_check(m), 0);
		copy = *m;
		assert_int_equal(offload_complete(m, tso | CAPS_CHAIN, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
		assert_ptr_equal(out[0], m);
		assert_memory_equal(m, &copy, sizeof(copy));
		flatten(m, b);
		assert_memory_equal(b, f->b, f->len);
		/* The other segmentations are not this one. */
		assert_int_equal(offload_complete(m, others | CAPS_CHAIN, pool, out, OFFLOAD_MAX_SEGS, &done), 3);
		rte_pktmbuf_free_bulk(out, 3);
	}
}

static void port_that_segments_but_makes_no_ip_checksum_gets_it_made(void **state)
{
	struct frame *f = kind(4, 3000);
	struct rte_mbuf *m;
	uint8_t b[4000];

	f->b[f->l2 + 10] ^= 0x55;
	m = request(whole(f), f, seg_flag(f) | RTE_MBUF_F_TX_IP_CKSUM, 1000);
	assert_int_equal(offload_check(m), 0);
	assert_int_equal(offload_complete(m, KIND_CAP_TSO4 | CAPS_CHAIN, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
	assert_int_equal(out[0]->ol_flags, seg_flag(f) | csum_flag(f) | family(f));
	assert_int_equal(out[0]->tso_segsz, 1000);
	flatten(out[0], b);
	assert_int_equal(ref_fold(ref_sum(b + f->l2, f->l3)), 0xffff);
	rte_pktmbuf_free(out[0]);
}

/* --- shared data --------------------------------------------------------------------------------------------------------- */

static void shared_data_is_never_written(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		for (unsigned how = 0; how < 5; how++) {
			struct frame *f = kind(i, 700);
			struct rte_mbuf *m = chain(f->b, f->len, how == 4 ? 20 : 2000, 2000), *other = NULL, before;
			uint8_t b[1000];

			request(m, f, csum_flag(f), 0);
			assert_int_equal(offload_check(m), 0);
			if (how == 0 || how == 3) { /* by reference, as a flood does */
				rte_pktmbuf_refcnt_update(m, 1);
				other = m;
			} else if (how == 1) { /* the reference is ours, the data another's */
				other = m;
				m = rte_pktmbuf_clone(other, pool);
			} else if (how == 2) { /* the data is ours, but another refers to it */
				other = rte_pktmbuf_clone(m, pool);
			} else { /* a second segment, where the checksum is, that is shared */
				rte_mbuf_refcnt_update(m->next, 1);
			}
			before = other ? *other : *m;
			if (how == 4)
				other = m->next;
			assert_completes(m, f, how == 3 ? 0 : CAPS_CHAIN);
			if (how == 4) {
				assert_memory_equal(rte_pktmbuf_mtod(other, uint8_t *), f->b + 20, f->len - 20);
				rte_pktmbuf_free_seg(other);
				continue;
			}
			flatten(other, b);
			assert_memory_equal(b, f->b, f->len);
			assert_int_equal(other->ol_flags, before.ol_flags);
			assert_int_equal(other->tx_offload, before.tx_offload);
			rte_pktmbuf_free(other);
		}
	}
}

static void external_data_is_never_written(void **state)
{
	struct frame *f = kind(0, 700);
	struct rte_mbuf *m = request(heap(f->b, f->len), f, csum_flag(f), 0), *other;

	assert_int_equal(offload_check(m), 0);
	other = rte_pktmbuf_clone(m, pool);
	assert_completes(m, f, 0);
	assert_memory_equal(rte_pktmbuf_mtod(other, void *), f->b, f->len);
	rte_pktmbuf_free(other);
}

/* --- chains -------------------------------------------------------------------------------------------------------------- */

static void chain_becomes_one_piece_for_a_port_that_takes_none(void **state)
{
	static const unsigned lens[] = {60, 1514, ROOM, ROOM + 1, 9000};

	for (unsigned i = 0; i < 5; i++) {
		struct frame *f = build((struct spec){.proto = UDP, .payload = lens[i] - 42});
		struct rte_mbuf *m = chain(f->b, f->len, 33, 1000);
		int ret = offload_complete(m, KIND_CAP_CSUM_L4, pool, out, OFFLOAD_MAX_SEGS, &done);

		assert_int_equal(done.csums, 0);
		if (lens[i] > ROOM) {
			assert_int_equal(ret, -EINVAL);
			continue;
		}
		assert_int_equal(ret, 1);
		assert_int_equal(out[0]->nb_segs, 1);
		assert_int_equal(out[0]->pkt_len, f->len);
		assert_int_equal(out[0]->data_len, f->len);
		assert_memory_equal(rte_pktmbuf_mtod(out[0], void *), f->b, f->len);
		rte_pktmbuf_free(out[0]);
	}
}

static void linearized_frame_keeps_the_request_that_the_port_takes(void **state)
{
	struct frame *f = kind(1, 700);
	struct rte_mbuf *m = request(chain(f->b, f->len, 33, 100), f, csum_flag(f), 0);

	assert_int_equal(offload_check(m), 0);
	assert_int_equal(offload_complete(m, KIND_CAP_CSUM_L4, pool, out, OFFLOAD_MAX_SEGS, &done), 1);
	assert_int_equal(out[0]->nb_segs, 1);
	assert_int_equal(out[0]->ol_flags, csum_flag(f) | family(f));
	assert_int_equal(out[0]->l2_len, f->l2);
	assert_int_equal(out[0]->l3_len, f->l3);
	rte_pktmbuf_free(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frame_that_asks_for_nothing_loses_inert_flags),
		TEST(good_requests_are_admitted_and_brought_to_one_form),
		TEST(lengths_must_be_those_of_the_headers),
		TEST(truncated_frame_is_refused_at_every_byte),
		TEST(headers_must_be_those_that_the_flags_name),
		TEST(request_for_a_packet_inside_a_packet_is_refused),
		TEST(tags_are_followed_to_a_limit),
		TEST(packet_longer_than_its_frame_is_refused),
		TEST(fragments_cannot_ask),
		TEST(extension_headers_are_followed_to_a_limit),
		TEST(segment_size_must_make_sense),
		TEST(request_for_one_segment_becomes_one_for_a_checksum),
		TEST(routing_header_stands_against_segmentation_only),
		TEST(ip_checksum_alone_is_for_any_ipv4_packet),
		TEST(unannounced_partial_checksum_is_found),
		TEST(other_frames_are_not_taken_for_partial),
		TEST(pseudo_sum_behind_a_routing_header_is_not_guessed),
		TEST(finished_checksum_that_looks_partial_stays_what_it_is),
		TEST(checksum_is_right_wherever_the_frame_is_cut),
		TEST(checksum_of_a_jumbo_frame_is_right),
		TEST(udp_checksum_of_zero_is_sent_as_all_ones),
		TEST(what_the_port_can_do_is_left_to_it),
		TEST(port_that_segments_but_makes_no_ip_checksum_gets_it_made),
		TEST(shared_data_is_never_written),
		TEST(external_data_is_never_written),
		TEST(chain_becomes_one_piece_for_a_port_that_takes_none),
		TEST(linearized_frame_keeps_the_request_that_the_port_takes),
	};

	return cmocka_run_group_tests(tests, start, stop);
}

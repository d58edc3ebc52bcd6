/* SPDX-License-Identifier: Apache-2.0 */

/* Segments, and what happens when a buffer is missing or the request makes no sense. */

#include "offload_frames.h"

/* --- segments ------------------------------------------------------------------------------------------------------------- */

/* Cut m, made of f, and look at each segment as its receiver would. */
static void assert_segments(struct rte_mbuf *m, struct frame *f, uint16_t size, uint32_t caps)
{
	unsigned header = f->l2 + f->l3 + f->l4, payload = f->len - header, count = (payload + size - 1) / size, off = 0;
	uint32_t frames, bytes, sum = 0, l3_len = offload_l3_len(m, 0), longest = 0;
	static uint8_t b[66000];

	offload_wire(m, &frames, &bytes);
	assert_int_equal(frames, count);
	assert_int_equal(offload_complete(m, caps, pool, out, OFFLOAD_MAX_SEGS, &done), count);
	assert_int_equal(done.segments, count);
	assert_int_equal(done.csums, caps & KIND_CAP_CSUM_L4 ? 0 : count);
	for (unsigned i = 0; i < count; i++, off += size) {
		unsigned want = payload - off < size ? payload - off : size;
		uint8_t *l3 = b + f->l2, *l4 = l3 + f->l3;
		struct rte_mbuf *s = out[i];

		assert_int_equal(s->pkt_len, header + want);
		assert_int_equal(s->nb_segs, s->pkt_len > ROOM ? (s->pkt_len - ROOM + CHAINED - 1) / CHAINED + 1 : 1);
		assert_true(rte_pktmbuf_headroom(s) >= RTE_PKTMBUF_HEADROOM);
		sum += s->pkt_len;
		longest = RTE_MAX(longest, s->pkt_len - f->l2);
		flatten(s, b);
		if (caps & KIND_CAP_CSUM_L4) {
			assert_int_equal(s->ol_flags, csum_flag(f) | family(f));
			assert_int_equal(s->l2_len, f->l2);
			assert_int_equal(s->l3_len, f->l3);
			assert_int_equal(s->l4_len, f->l4);
			assert_int_equal(s->tso_segsz, 0);
			/* What is left is exactly the pseudo header's sum: finish as the port will. */
			assert_int_equal(r16(b + csum_at(f)),
					 ref_fold(ref_pseudo(l3, f->s.v6, f->s.proto, s->pkt_len - f->l2 - f->l3)));
			w16(b + csum_at(f), ~ref_fold(ref_sum(l4, s->pkt_len - f->l2 - f->l3)));
		} else {
			assert_no_request(s);
		}
		assert_finished(f, b, s->pkt_len);
		assert_memory_equal(b + header, f->b + header + off, want);
		if (!f->s.v6)
			assert_int_equal(r16(l3 + 4), (0xfffe + i) & 0xffff);
		if (f->s.proto == TCP) {
			uint8_t flags = (uint8_t)(F_ACK | (i ? 0 : F_CWR) | (i == count - 1 ? F_FIN_PSH : 0));

			assert_int_equal(r32(l4 + 4), (uint32_t)(r32(&f->b[f->l2 + f->l3 + 4]) + off));
			assert_int_equal(l4[13], flags);
			/* What a segment has of its own; the rest is the big frame's. */
			memcpy(l4 + 4, &f->b[f->l2 + f->l3 + 4], 4);
			l4[13] = f->b[f->l2 + f->l3 + 13];
		} else {
			memcpy(l4 + 4, &f->b[f->l2 + f->l3 + 4], 2);
		}
		memcpy(b + csum_at(f), f->b + csum_at(f), 2);
		if (f->s.v6) {
			memcpy(l3 + 4, &f->b[f->l2 + 4], 2);
		} else {
			memcpy(l3 + 2, &f->b[f->l2 + 2], 4);
			memcpy(l3 + 10, &f->b[f->l2 + 10], 2);
		}
		assert_memory_equal(b, f->b, header);
	}
	assert_int_equal(sum, bytes);
	assert_int_equal(longest, l3_len);
	rte_pktmbuf_free_bulk(out, count);
}

static void segments_are_what_their_receiver_wants(void **state)
{
	static const uint32_t caps[] = {0, CAPS_CHAIN, KIND_CAP_CSUM_L4, KIND_CAP_CSUM_L4 | KIND_CAP_CSUM_IP | CAPS_CHAIN};
	static const uint16_t sizes[] = {48, 100, 999, 1460, 1899};

	for (unsigned i = 0; i < N_KINDS; i++) {
		for (unsigned c = 0; c < 4; c++) {
			for (unsigned j = 0; j < 5; j++) {
				struct frame *f = kind(i, 4001);
				struct rte_mbuf *m = request(chain(f->b, f->len, 2000, 1999), f, seg_flag(f), sizes[j]);

				assert_int_equal(offload_check(m), 0);
				assert_segments(m, f, sizes[j], caps[c]);
			}
		}
	}
}

static void segments_are_right_wherever_the_frame_is_cut(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 257);

		for (unsigned cut = 1; cut <= f->len; cut++) {
			struct rte_mbuf *m = request(chain(f->b, f->len, cut, 101), f, seg_flag(f), 64);

			assert_int_equal(offload_check(m), 0);
			assert_segments(m, f, 64, 0);
		}
	}
}

static void largest_request_fits(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 65535 - 40 - 60 - 16 - 20);
		struct rte_mbuf *m = request(chain(f->b, f->len, 1000, 2048), f, seg_flag(f), 1448);

		assert_int_equal(offload_check(m), 0);
		assert_segments(m, f, 1448, 0);
		m = request(chain(f->b, f->len, 1000, 2048), f, seg_flag(f), 512);
		assert_int_equal(offload_check(m), 0);
		assert_segments(m, f, 512, 0);
		m = request(chain(f->b, f->len, 1000, 2048), f, seg_flag(f), 511);
		if ((f->len - f->l2 - f->l3 - f->l4 + 510) / 511 > OFFLOAD_MAX_SEGS)
			assert_int_equal(offload_check(m), -EINVAL);
		rte_pktmbuf_free(m);
	}
}

static void jumbo_segments_are_chains_or_refused(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 20000);
		struct rte_mbuf *m = request(chain(f->b, f->len, 1000, 2000), f, seg_flag(f), 8948);

		assert_int_equal(offload_check(m), 0);
		rte_pktmbuf_refcnt_update(m, 2);
		assert_segments(m, f, 8948, CAPS_CHAIN);
		/* Buffers behind the first hold no headroom: 2048 + 2 * 2176 bytes are three. */
		m->tso_segsz = 6200;
		assert_segments(m, f, 6200, CAPS_CHAIN);
		m->tso_segsz = 8948;
		assert_int_equal(offload_complete(m, KIND_CAP_CSUM_L4, pool, out, OFFLOAD_MAX_SEGS, &done), -EINVAL);
		assert_int_equal(done.segments, 0);
	}
}

static void port_that_segments_but_takes_no_chains_gets_segments(void **state)
{
	struct frame *f = kind(0, 5000);
	struct rte_mbuf *m = request(chain(f->b, f->len, 1000, 2000), f, seg_flag(f), 1448);

	assert_int_equal(offload_check(m), 0);
	assert_segments(m, f, 1448, KIND_CAP_TSO4 | KIND_CAP_CSUM_L4);
}

static void request_follows_its_frame_through_tags(void **state)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		struct frame *f = kind(i, 3000);
		struct rte_mbuf *m = request(whole(f), f, seg_flag(f), 1000);
		char *p;

		assert_int_equal(offload_check(m), 0);
		/* Push a tag. */
		p = rte_pktmbuf_prepend(m, 4);
		assert_non_null(p);
		memmove(p, p + 4, 12);
		memcpy(p + 12, "\x81\x00\x01\x23", 4); /* NOLINT(bugprone-not-null-terminated-result): four bytes, no string */
		offload_l2_moved(m, 4);
		memmove(f->b + 16, f->b + 12, f->len - 12);
		memcpy(f->b + 12, "\x81\x00\x01\x23", 4);
		f->len += 4;
		f->l2 += 4;
		assert_segments(m, f, 1000, 0);
	}
}

static void frame_that_asks_for_nothing_is_one_frame_on_the_wire(void **state)
{
	struct frame *f = kind(4, 1000);
	struct rte_mbuf *m = whole(f);
	uint32_t frames, bytes;

	for (unsigned i = 0; i < 2; i++) {
		offload_wire(m, &frames, &bytes);
		assert_int_equal(frames, 1);
		assert_int_equal(bytes, f->len);
		assert_int_equal(offload_l3_len(m, (uint16_t)f->l2), f->len - f->l2);
		assert_int_equal(offload_fits(m, 0), i == 0);
		request(m, f, csum_flag(f), 0);
	}
	rte_pktmbuf_free(m);
	m = chain(f->b, f->len, 100, 2000);
	assert_false(offload_fits(m, 0));
	assert_true(offload_fits(m, CAPS_CHAIN));
	rte_pktmbuf_free(m);
}

/* --- faults -------------------------------------------------------------------------------------------------------------- */

/* The same with the Nth buffer missing, for every N. */
static void no_buffer_leaves_nothing_behind(void **state)
{
	struct rte_mbuf *held[POOL_SIZE];

	for (unsigned mode = 0; mode < 3; mode++) {
		for (unsigned n = 0;; n++) {
			struct frame *f = kind(0, mode == 2 ? 20000 : 700);
			struct rte_mbuf *m = request(chain(f->b, f->len, 1000, 2000), f, mode ? seg_flag(f) : csum_flag(f),
						     mode == 2 ? 8000 : 100);
			unsigned n_held, avail, made = 0;
			int ret;

			assert_int_equal(offload_check(m), 0);
			rte_pktmbuf_refcnt_update(m, 1); /* so that a copy is needed, and m outlives it */
			n_held = rte_mempool_avail_count(pool) - n;
			assert_int_equal(rte_pktmbuf_alloc_bulk(pool, held, n_held), 0);
			ret = offload_complete(m, CAPS_CHAIN, pool, out, OFFLOAD_MAX_SEGS, &done);
			avail = rte_mempool_avail_count(pool);
			rte_pktmbuf_free_bulk(held, n_held);
			if (ret > 0)
				rte_pktmbuf_free_bulk(out, (unsigned)ret);
			else
				assert_int_equal(avail, n);
			assert_int_equal(rte_mbuf_refcnt_read(m), 1);
			rte_pktmbuf_free(m);
			if (ret > 0) {
				assert_true(n > 0);
				break;
			}
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(done.csums, 0);
			assert_int_equal(done.segments, 0);
			made++;
			assert_true(made < POOL_SIZE);
		}
	}
}

/* Any flags, lengths and bytes: what is admitted can be completed, and nothing is read outside the frame. */
static void arbitrary_requests_are_refused_or_completed(void **state)
{
	unsigned admitted = 0, segmented = 0;

	for (unsigned round = 0; round < 60000; round++) {
		struct frame *f = kind(any() % N_KINDS, any() % 300);
		uint32_t caps = any() & 63, frames, bytes, sum = 0;
		struct rte_mbuf *m;
		int ret;

		for (unsigned hits = any() % 3; hits; hits--)
			f->b[any() % 80 % f->len] = (uint8_t)any();
		m = heap(f->b, any() % 4 ? f->len : 1 + any() % f->len);
		request(m, f, any() % 4 ? csum_flag(f) : 0, (uint16_t)(any() % 300));
		if (any() % 2)
			m->ol_flags |= seg_flag(f);
		if (any() % 4 == 0)
			m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
		if (any() % 8 == 0)
			m->ol_flags ^= RTE_BIT64(any() % 19 + 45) & RTE_MBUF_F_TX_OFFLOAD_MASK;
		if (any() % 8 == 0)
			m->l3_len += any() % 3 - 1;
		if (any() % 8 == 0)
			m->l4_len += any() % 3 - 1;
		if (any() % 4 == 0)
			offload_detect_partial(m, (uint16_t)f->l2, f->s.v6 ? 0x86dd : 0x0800);
		ret = offload_check(m);
		if (ret) {
			assert_int_equal(ret, -EINVAL);
			rte_pktmbuf_free(m);
			continue;
		}
		admitted++;
		offload_wire(m, &frames, &bytes);
		assert_in_range(frames, 1, OFFLOAD_MAX_SEGS);
		ret = offload_complete(m, caps, pool, out, OFFLOAD_MAX_SEGS, &done);
		assert_true(ret >= 1);
		if (ret > 1) {
			segmented++;
			assert_int_equal(ret, frames);
			for (int i = 0; i < ret; i++)
				sum += out[i]->pkt_len;
			assert_int_equal(sum, bytes);
		}
		rte_pktmbuf_free_bulk(out, (unsigned)ret);
	}
	/* The test is worth something only if both happen a lot. */
	assert_in_range(admitted, 10000, 50000);
	assert_true(segmented > 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(segments_are_what_their_receiver_wants),
		TEST(segments_are_right_wherever_the_frame_is_cut),
		TEST(largest_request_fits),
		TEST(jumbo_segments_are_chains_or_refused),
		TEST(port_that_segments_but_takes_no_chains_gets_segments),
		TEST(request_follows_its_frame_through_tags),
		TEST(frame_that_asks_for_nothing_is_one_frame_on_the_wire),
		TEST(no_buffer_leaves_nothing_behind),
		TEST(arbitrary_requests_are_refused_or_completed),
	};

	return cmocka_run_group_tests(tests, start, stop);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings of a guest that lies: a lie costs its frame, is counted, and its buffer is given back; what is before and behind it arrives.
 */
#include "test_vhost_env.h"

#define AT (GUEST_GPA + RIG_BUFFERS)

static void descriptor_that_lies_costs_its_frame(void **state)
{
	static const struct {
		union virtq_desc d;
		bool malformed; /* a frame that cannot be, in a buffer that is there */
	} lies[] = {
		{{{.addr = 0, .len = 76}}, false},
		{{{.addr = GUEST_GPA - 1, .len = 76}}, false},
		{{{.addr = GUEST_GPA + RIG_SIZE - 75, .len = 76}}, false},
		{{{.addr = GUEST_GPA + RIG_SIZE, .len = 1}}, false},
		{{{.addr = UINT64_MAX, .len = 76}}, false},
		{{{.addr = UINT64_MAX - 75, .len = 76}}, false},
		{{{.addr = AT, .len = UINT32_MAX}}, false},
		{{{.addr = AT, .len = 76, .flags = VIRTQ_DESC_WRITE}}, false},
		{{{.addr = AT, .len = 76, .flags = VIRTQ_DESC_NEXT, .next = 1}}, false}, /* itself */
		{{{.addr = AT, .len = 76, .flags = VIRTQ_DESC_NEXT, .next = 16}}, false},
		{{{.addr = AT, .len = 76, .flags = VIRTQ_DESC_NEXT, .next = UINT16_MAX}}, false},
		{{{.addr = GUEST_GPA, .len = 16, .flags = VIRTQ_DESC_INDIRECT | VIRTQ_DESC_NEXT}}, false},
		{{{.addr = GUEST_GPA, .len = 0, .flags = VIRTQ_DESC_INDIRECT}}, false},
		{{{.addr = GUEST_GPA, .len = 17, .flags = VIRTQ_DESC_INDIRECT}}, false},
		{{{.addr = GUEST_GPA + 16, .len = 16, .flags = VIRTQ_DESC_INDIRECT}}, false}, /* a table in a table: itself */
		{{{.addr = GUEST_GPA + RIG_SIZE, .len = 16, .flags = VIRTQ_DESC_INDIRECT}}, false},
		{{{.addr = AT, .len = 0}}, true},
		{{{.addr = AT, .len = 12}}, true},
		{{{.addr = AT, .len = 12 + VHOST_FRAME_MAX + 1}}, true},
	};
	struct rte_mbuf *m[4];
	struct rig rig;

	for (unsigned i = 0; i < COUNT(lies); i++) {
		rig_open(&rig, 16, 0xfffe, MODERN | TABLES);
		guest_sends(&rig, 0, 1, 64);
		rig.r.desc[1] = lies[i].d;
		guest_give(&rig.r, 1);
		guest_give(&rig.r, 999); /* there is no such descriptor */
		guest_sends(&rig, 3, 3, 64);
		assert_int_equal(rig_rx(&rig, m, 4), 2);
		frame_expect(m[0], 1, 64);
		frame_expect(m[1], 3, 64);
		assert_int_equal(rig.q.lost.malformed, lies[i].malformed);
		assert_int_equal(rig.q.lost.bad_descriptor, 1 + !lies[i].malformed);
		expect_used(&rig, 0, 0);
		expect_used(&rig, 1, 0);
		expect_used(&rig, 999, 0);
		expect_used(&rig, 3, 0);
		rig_close(&rig);
	}
}

static void impossible_index_breaks_the_ring_and_raises_the_alarm_once(void **state)
{
	static const uint16_t jumps[] = {17, 100, 0x7fff, 0x8000, UINT16_MAX};

	for (unsigned i = 0; i < COUNT(jumps); i++) {
		for (unsigned tx = 0; tx < 2; tx++) {
			struct rte_mbuf *m = frame_new(1, 64, UINT32_MAX), *none;
			struct rig rig;

			rig_open(&rig, 16, 5, MODERN);
			guest_publish(&rig.r, jumps[i]);
			for (unsigned again = 0; again < 3; again++)
				assert_int_equal(tx ? rig_tx(&rig, &m, 1) : rig_rx(&rig, &none, 1), 0);
			assert_true(rig.v->aside & VHOST_BROKEN);
			assert_int_equal(rung(rig.alarm_fd), 1);
			assert_int_equal(rig.q.lost.bad_descriptor, 1);
			/* An index that is right again does not mend it. */
			rig.r.avail->idx = 6;
			assert_int_equal(tx ? rig_tx(&rig, &m, 1) : rig_rx(&rig, &none, 1), 0);
			rte_pktmbuf_free(m);
			rig_close(&rig);
		}
	}
}

static void memory_that_is_cut_off_under_the_worker_is_survived(void **state)
{
	for (unsigned tx = 0; tx < 2; tx++) {
		struct rte_mbuf *m = NULL;
		struct rig rig;

		rig_open(&rig, 16, 0, MODERN);
		if (tx) {
			guest_offers(&rig, 0, RIG_BUFFER);
			m = frame_new(1, 64, UINT32_MAX);
		} else {
			guest_sends(&rig, 0, 1, 64);
		}
		assert_int_equal(ftruncate(rig.g.memfd, RIG_BUFFERS), 0); /* the ring stays */
		if (tx) {
			if (!rig_tx(&rig, &m, 1))
				rte_pktmbuf_free(m);
		} else if (rig_rx(&rig, &m, 1)) {
			rte_pktmbuf_free(m);
		}
		assert_true(vhost_mem_lost(rig.mem));
		assert_true(rung(rig.alarm_fd) > 0);
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptor_that_lies_costs_its_frame),
		cmocka_unit_test(impossible_index_breaks_the_ring_and_raises_the_alarm_once),
		cmocka_unit_test(memory_that_is_cut_off_under_the_worker_is_survived),
	};

	return cmocka_run_group_tests_name("vhost_hostile", tests, env_setup, env_teardown);
}

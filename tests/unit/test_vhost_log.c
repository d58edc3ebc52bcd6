/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is being moved: what the rings log.
 *
 * The log of these tests is a migration that never waits: whatever is logged is copied to the other machine in that moment, and not again.
 * So a byte that is logged before it is written, or not at all, is missing there in the end.
 */
#include "test_vhost_env.h"

static struct rig *moved;
static uint8_t *there; /* the memory on the other machine */
static uint64_t copied;

/* Instead of vhost_log.c's, which is not linked then. */
void vhost_log_write(struct vhost_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t at = gpa - GUEST_GPA;

	assert_non_null(log);
	assert_true(at <= RIG_SIZE && len <= RIG_SIZE - at);
	memcpy(there + at, moved->g.mem + at, len);
	copied += len;
}

static void move_begins(struct rig *rig, uint16_t base, uint64_t features)
{
	rig_open(rig, 64, base, features);
	moved = rig;
	there = malloc(RIG_SIZE);
	assert_non_null(there);
}

static void everything_is_copied_at_first(void)
{
	memcpy(there, moved->g.mem, RIG_SIZE);
	copied = 0;
}

static void nothing_is_missing(uint64_t at_most)
{
	for (uint64_t at = 0; at < RIG_SIZE; at++) {
		if (there[at] != moved->g.mem[at])
			fail_msg("byte at %#lx was not logged after it was written", (unsigned long)at);
	}
	assert_true(copied <= at_most);
}

static void move_ends(struct rig *rig)
{
	rig_close(rig);
	free(there);
}

/* The ring's part of a call: entries, index and flags, event. */
#define RING_BYTES(entries) (8ull * (entries) + 4 + 2)

static const uint64_t features[] = {0, MODERN, MERGE, MODERN | MERGE | EVENTS | TABLES | TSO};

static void every_byte_written_is_logged_after_it_was_written(void **state)
{
	struct rte_mbuf *m[32];
	struct rig rig;

	for (unsigned f = 0; f < COUNT(features); f++) {
		move_begins(&rig, 0xffe0, features[f]);
		rig_stop(&rig);
		rig.log = (struct vhost_log *)&rig; /* never looked into */
		everything_is_copied_at_first();
		rig_start(&rig);
		nothing_is_missing(RING_BYTES(0));
		for (unsigned round = 0; round < 200; round++) {
			uint16_t n = (uint16_t)(1 + round % 32);
			uint32_t bytes = 0;

			for (uint16_t i = 0; i < n; i++) {
				/* Some in several segments, some with a checksum to be made. */
				uint32_t len = round % 3 ? 64u + i : 300 + i * 50u;

				guest_offers(&rig, i, len + 12);
				m[i] = frame_new(round + i, len, 700);
				if (features[f] & CSUM && round % 7 == 6) {
					m[i]->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
					m[i]->l2_len = 14;
					m[i]->l3_len = 20;
				}
				bytes += m[i]->pkt_len + 12;
			}
			everything_is_copied_at_first();
			assert_int_equal(rig_tx(&rig, m, n), n);
			assert_int_equal(guest_used(&rig.r), n);
			nothing_is_missing(bytes + RING_BYTES(1) * n);
			rig.r.seen = (uint16_t)(rig.r.seen + n);
		}
		move_ends(&rig);
	}
}

static void frames_over_many_buffers_are_logged_whole(void **state)
{
	struct rig rig;

	for (unsigned tso = 0; tso < 2; tso++) {
		struct rte_mbuf *m = frame_new(3, 9000, UINT32_MAX);

		move_begins(&rig, 0xfffe, MODERN | MERGE | TSO);
		rig.v->log = (struct vhost_log *)&rig;
		rig.v->log_used = guest_gpa(&rig.g, rig.r.used_at);
		if (tso) {
			m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4;
			m->l2_len = 14;
			m->l3_len = m->l4_len = 20;
			m->tso_segsz = 1000;
		}
		for (uint16_t i = 0; i < 64; i++)
			guest_offers(&rig, i, 400);
		everything_is_copied_at_first();
		assert_int_equal(rig_tx(&rig, &m, 1), 1);
		assert_int_equal(guest_used(&rig.r), 23);
		nothing_is_missing(9012 + RING_BYTES(23));
		move_ends(&rig);
	}
}

static void receiving_logs_the_ring_and_nothing_else(void **state)
{
	struct rte_mbuf *m[32];
	struct rig rig;

	for (unsigned f = 0; f < COUNT(features); f++) {
		move_begins(&rig, 0xffd5, features[f]);
		rig.v->log = (struct vhost_log *)&rig;
		rig.v->log_used = guest_gpa(&rig.g, rig.r.used_at);
		for (unsigned round = 0; round < 100; round++) {
			uint16_t n = (uint16_t)(1 + round % 32);

			gate_reset(round % 2 ? 0 : 0x22222222);
			for (uint16_t i = 0; i < n; i++)
				guest_sends(&rig, i, i, round % 3 ? 64 : 20);
			everything_is_copied_at_first();
			/* Also what asks for kicks is written to the ring. */
			vhost_rx_arm(&rig.q);
			vhost_rx_disarm(&rig.q);
			n = rig_rx(&rig, m, 32);
			nothing_is_missing(RING_BYTES(0) * 2 + RING_BYTES(1) * 32);
			rte_pktmbuf_free_bulk(m, n);
		}
		move_ends(&rig);
	}
}

static void ring_whose_place_is_not_told_is_not_logged(void **state)
{
	struct rte_mbuf *m = frame_new(1, 64, UINT32_MAX);
	struct rig rig;

	move_begins(&rig, 0, MODERN);
	rig.v->log = (struct vhost_log *)&rig;
	rig.v->log_used = 0;
	guest_offers(&rig, 0, 100);
	everything_is_copied_at_first();
	assert_int_equal(rig_tx(&rig, &m, 1), 1);
	assert_int_equal(copied, 76);
	expect_bytes(&rig, RIG_BUFFERS + 12, 1, 0, 64);
	move_ends(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_written_is_logged_after_it_was_written),
		cmocka_unit_test(frames_over_many_buffers_are_logged_whole),
		cmocka_unit_test(receiving_logs_the_ring_and_nothing_else),
		cmocka_unit_test(ring_whose_place_is_not_told_is_not_logged),
	};

	return cmocka_run_group_tests_name("vhost_log", tests, env_setup, env_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kicks and calls: made when the other side asks for them, and only then; and no sleeper is forgotten.
 */
#include "test_vhost_env.h"

/* A guest's own rule (virtio 1.1, 2.6.10.1, 2.6.10.2): does it kick after it has made `idx` available, having been at `old`? */
static bool guest_would_kick(struct guest_ring *r, bool events, uint16_t old)
{
	uint16_t idx = r->avail->idx;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!events)
		return !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) & VIRTQ_USED_NO_NOTIFY);
	return (uint16_t)(idx - __atomic_load_n(guest_avail_event(r), __ATOMIC_RELAXED) - 1) < (uint16_t)(idx - old);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void send_one(struct rig *rig, uint32_t len)
{
	guest_sends(rig, rig->r.avail->idx % rig->r.size, 1, len);
}

static void receive_all(struct rig *rig, unsigned n)
{
	struct rte_mbuf *m[64];

	gate_reset(0);
	assert_int_equal(rig_rx(rig, m, 64), n);
	rte_pktmbuf_free_bulk(m, n);
}

static void guest_is_asked_to_kick_only_while_the_worker_may_sleep(void **state)
{
	struct rig rig;

	for (unsigned events = 0; events < 2; events++) {
		for (uint32_t base = 0; base < 65536; base += 0x3fff) {
			rig_open(&rig, 16, (uint16_t)base, MODERN | (events ? EVENTS : 0));
			if (!events)
				assert_false(guest_would_kick(&rig.r, events, rig.r.avail->idx));
			for (unsigned round = 0; round < 40; round++) {
				uint16_t old = rig.r.avail->idx;

				assert_int_equal(vhost_rx_arm(&rig.q), 0);
				send_one(&rig, 64);
				assert_true(guest_would_kick(&rig.r, events, old));
				vhost_rx_disarm(&rig.q);
				old = rig.r.avail->idx;
				send_one(&rig, 64);
				assert_false(guest_would_kick(&rig.r, events, old));
				receive_all(&rig, 2);
				rig.r.seen = rig.r.used->idx;
			}
			rig_close(&rig);
		}
	}
}

static void frames_that_are_there_already_keep_the_worker_awake(void **state)
{
	struct rig rig;

	rig_open(&rig, 16, 0, MODERN | EVENTS);
	send_one(&rig, 64);
	assert_int_equal(vhost_rx_arm(&rig.q), 1);
	vhost_rx_disarm(&rig.q);
	receive_all(&rig, 1);
	assert_int_equal(vhost_rx_arm(&rig.q), 0);
	vhost_rx_disarm(&rig.q);
	rig_close(&rig);
}

static void kick_wakes_and_what_was_taken_wakes_no_more(void **state)
{
	struct rig rig;

	rig_open(&rig, 16, 0, MODERN | EVENTS);
	assert_int_equal(vhost_rx_arm(&rig.q), 0);
	assert_false(readable(rig.q.wake_fd));
	send_one(&rig, 64);
	bell_ring(rig.kick_fd);
	assert_true(readable(rig.q.wake_fd));
	vhost_rx_disarm(&rig.q);
	receive_all(&rig, 1);
	assert_int_equal(vhost_rx_arm(&rig.q), 0);
	assert_false(readable(rig.q.wake_fd));
	/* The counter is the guest's, and it is never read: it may be full. */
	assert_int_equal(write(rig.kick_fd, &(uint64_t){UINT64_MAX - 2}, 8), 8);
	assert_true(readable(rig.q.wake_fd));
	vhost_rx_disarm(&rig.q);
	rig_close(&rig);
}

static void kicks_for_nothing_do_not_keep_the_worker_awake_for_ever(void **state)
{
	unsigned wakes = 0;
	struct rig rig;

	rig_open(&rig, 16, 0, MODERN | EVENTS);
	bell_ring(rig.kick_fd);
	for (; readable(rig.q.wake_fd) && wakes < 100; wakes++) {
		assert_int_equal(vhost_rx_arm(&rig.q), 0);
		vhost_rx_disarm(&rig.q);
	}
	assert_in_range(wakes, 1, 16);
	rig_close(&rig);
}

/* A worker looks once more between arming and sleeping. What it takes then was asked for with a kick that will not come again. */
static void frame_taken_between_arming_and_sleeping_leaves_nobody_deaf(void **state)
{
	struct rig rig;

	for (unsigned lie = 0; lie < 2; lie++) {
		for (unsigned idle = 0; idle < 12; idle++) {
			uint16_t old;

			rig_open(&rig, 16, 0xfff8, MODERN | EVENTS);
			assert_int_equal(vhost_rx_arm(&rig.q), 0);
			send_one(&rig, lie ? 0 : 64);
			bell_ring(rig.kick_fd);
			receive_all(&rig, lie ? 0 : 1);
			if (!lie)
				vhost_rx_disarm(&rig.q); /* it got something, and does not sleep */
			for (unsigned i = 0; i < idle; i++) {
				if (!lie || i > 0)
					assert_int_equal(vhost_rx_arm(&rig.q), 0);
				vhost_rx_disarm(&rig.q);
			}
			if (!lie || idle)
				assert_int_equal(vhost_rx_arm(&rig.q), 0);
			old = rig.r.avail->idx;
			send_one(&rig, 64);
			assert_true(guest_would_kick(&rig.r, true, old) || readable(rig.q.wake_fd));
			vhost_rx_disarm(&rig.q);
			rig_close(&rig);
		}
	}
}

/* --- calls ------------------------------------------------------------------------------------------------------------------ */

static void guest_is_called_once_a_burst_unless_it_wants_no_calls(void **state)
{
	struct rte_mbuf *m[16];
	struct rig rig;

	rig_open(&rig, 16, 0, MODERN);
	for (uint16_t flags = 0; flags < 2; flags++) {
		rig.r.avail->flags = flags;
		for (unsigned i = 0; i < 8; i++)
			send_one(&rig, 64);
		receive_all(&rig, 8);
		assert_int_equal(rung(rig.call_fd), !flags);
		receive_all(&rig, 0); /* nothing used, nothing to say */
		assert_int_equal(rung(rig.call_fd), 0);
		for (uint16_t i = 0; i < 8; i++) {
			guest_offers(&rig, i, RIG_BUFFER);
			m[i] = frame_new(i, 64, UINT32_MAX);
		}
		assert_int_equal(rig_tx(&rig, m, 8), 8);
		assert_int_equal(rung(rig.call_fd), !flags);
	}
	rig_close(&rig);
}

static void with_the_event_index_the_guest_is_called_when_its_event_is_passed(void **state)
{
	static const uint16_t bases[] = {0, 1, 0x7fff, 0x8000, 0xfff0, 0xfffb, 0xffff};
	struct rig rig;

	for (unsigned b = 0; b < COUNT(bases); b++) {
		for (int ahead = -3; ahead < 8; ahead++) {
			uint16_t event = (uint16_t)(bases[b] + ahead);

			rig_open(&rig, 16, bases[b], MODERN | EVENTS);
			*guest_used_event(&rig.r) = event;
			for (unsigned i = 0; i < 4; i++)
				send_one(&rig, 64);
			receive_all(&rig, 4);
			assert_int_equal(rung(rig.call_fd), ahead >= 0 && ahead < 4);
			/* What was passed without having been wanted is not called for later. */
			send_one(&rig, 64);
			receive_all(&rig, 1);
			assert_int_equal(rung(rig.call_fd), ahead == 4);
			rig_close(&rig);
		}
	}
}

static void call_does_not_wait_for_a_guest_that_fills_its_eventfd(void **state)
{
	struct rig rig;

	rig_open(&rig, 16, 0, MODERN);
	assert_int_equal(fcntl(rig.call_fd, F_SETFL, 0), 0); /* a write would block */
	assert_int_equal(write(rig.call_fd, &(uint64_t){UINT64_MAX - 1}, 8), 8);
	send_one(&rig, 64);
	receive_all(&rig, 1);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_is_asked_to_kick_only_while_the_worker_may_sleep),
		cmocka_unit_test(frames_that_are_there_already_keep_the_worker_awake),
		cmocka_unit_test(kick_wakes_and_what_was_taken_wakes_no_more),
		cmocka_unit_test(kicks_for_nothing_do_not_keep_the_worker_awake_for_ever),
		cmocka_unit_test(frame_taken_between_arming_and_sleeping_leaves_nobody_deaf),
		cmocka_unit_test(guest_is_called_once_a_burst_unless_it_wants_no_calls),
		cmocka_unit_test(with_the_event_index_the_guest_is_called_when_its_event_is_passed),
		cmocka_unit_test(call_does_not_wait_for_a_guest_that_fills_its_eventfd),
	};

	return cmocka_run_group_tests_name("vhost_wake", tests, env_setup, env_teardown);
}

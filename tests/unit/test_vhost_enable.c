/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings that are started and disabled ("Ring states" in the vhost-user protocol): what the guest sends by one is given back and goes nowhere,
 * and it receives nothing.
 */
#include "test_vhost_dev_env.h"

static void enable(unsigned i, bool on)
{
	assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, i, on), 0);
}

static void running(uint64_t features)
{
	assert_int_equal(say_u64(VHOST_SET_FEATURES, features, -1), 0);
	start_ring(0);
	start_ring(1);
}

/* The queue that polls ring 1 finds nothing for the switch, and the guest has its n frames back. */
static void gives_back(struct vhost_queue *q, uint16_t n)
{
	struct rte_mbuf *m[64];
	unsigned buffers = rte_mempool_in_use_count(pool);
	uint64_t before = q->lost.rx_disabled;

	gate_reset(0);
	for (uint16_t left = n; left > 0; left = left > 64 ? (uint16_t)(left - 64) : 0)
		assert_int_equal(vhost_rx(q, m, 64, gate, NULL), 0);
	assert_int_equal(gate_seen.calls, 0);
	assert_int_equal(rte_mempool_in_use_count(pool), buffers);
	assert_int_equal(q->lost.rx_disabled - before, n);
	assert_int_equal(guest_used(&ring[1]), n);
	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(guest_take(&ring[1]).len, 0);
}

static void disabled_ring_gives_back_what_it_is_sent(void **state)
{
	struct vhost_queue q;

	running(VHOST_FEATURES);
	pair_carries(0, 1);
	enable(1, false);
	assert_non_null(up[1]);
	q = queue_of(1);
	for (unsigned round = 0; round < 100; round++) {
		for (uint32_t i = 0; i <= round % 64; i++)
			guest_sends_by(1, i);
		gives_back(&q, (uint16_t)(round % 64 + 1));
	}
	enable(1, true);
	pair_carries(0, 2);
	assert_int_equal(get_base(1), ring[1].used->idx);
}

/* Nothing is read but the entries: there is no lie about a frame that nobody looks at. */
static void disabled_ring_does_not_look_at_descriptors(void **state)
{
	struct vhost_queue q;
	struct rte_mbuf *m;

	running(VHOST_FEATURES);
	enable(1, false);
	q = queue_of(1);
	for (uint16_t i = 0; i < 64; i++) {
		guest_desc(&ring[1], i, 0, UINT32_MAX, VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT | VIRTQ_DESC_WRITE, i);
		guest_give(&ring[1], i);
	}
	gives_back(&q, 64);
	assert_int_equal(q.lost.bad_descriptor, 0);
	guest_publish(&ring[1], 65);
	assert_int_equal(vhost_rx(&q, &m, 1, gate, NULL), 0);
	assert_int_equal(vhost_dev_fault(&dev), VHOST_FAULT_INDEX + 1);
}

static void guest_is_called_for_what_it_gets_back(void **state)
{
	int call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct vhost_queue q;

	for (unsigned events = 0; events < 2; events++) {
		running(VHOST_FEATURES & ~(events ? 0 : EVENTS));
		assert_int_equal(say_u64(VHOST_SET_VRING_CALL, 1, call_fd), 0);
		enable(1, false);
		assert_true(rung(call_fd) > 0); /* what starts calls */
		q = queue_of(1);
		*guest_used_event(&ring[1]) = (uint16_t)(ring[1].used->idx + 1);
		guest_sends_by(1, 1);
		gives_back(&q, 1);
		assert_int_equal(rung(call_fd), events ? 0 : 1);
		guest_sends_by(1, 2);
		gives_back(&q, 1);
		assert_int_equal(rung(call_fd), 1);
		get_base(0);
		get_base(1);
	}
	close(call_fd);
}

/* The worker sleeps on a disabled ring as on any other: armed, it is kicked; what it gave back on the way to sleep is not forgotten. */
static void worker_sleeps_on_a_disabled_ring(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct vhost_queue q;
	struct rte_mbuf *m;

	running(VHOST_FEATURES);
	enable(1, false);
	q = queue_of(1);
	q.wake_fd = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(q.wake_fd, EPOLL_CTL_ADD, up[1]->kick_fd, &ev), 0);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(vhost_rx_arm(&q), 0);
		assert_int_equal(*guest_avail_event(&ring[1]), ring[1].avail->idx);
		guest_sends_by(1, i);
		if (i % 2)
			assert_int_equal(vhost_rx(&q, &m, 1, gate, NULL), 0); /* the look between arming and sleeping */
		else
			vhost_rx_disarm(&q);
		assert_int_equal(vhost_rx(&q, &m, 1, gate, NULL), 0);
		assert_int_equal(guest_used(&ring[1]), 1);
		guest_take(&ring[1]);
		if (i % 2) {
			assert_int_equal(*guest_avail_event(&ring[1]), ring[1].avail->idx); /* and it may sleep */
			vhost_rx_disarm(&q);
		}
	}
	close(q.wake_fd);
}

static void disabled_ring_to_receive_by_is_left_alone(void **state)
{
	running(VHOST_FEATURES);
	enable(0, false);
	assert_null(up[0]);
	enable(0, true);
	pair_carries(0, 1);
	enable(0, false);
	enable(1, false);
	assert_null(up[0]);
	assert_non_null(up[1]);
	enable(1, true);
	guest_sends_by(1, 2);
	switch_receives_by(1, 2);
}

/* As DPDK's virtio_user does at each connection: what lay in the ring is not lost for it. */
static void ring_that_was_never_spoken_of_waits(void **state)
{
	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	guest_sends_by(1, 7);
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(piece(k, 1), 0);
	assert_null(up[1]);
	enable(1, true);
	switch_receives_by(1, 7);
}

/* And QEMU, before it starts the rings of a pair that the guest does not use. */
static void ring_that_is_disabled_before_it_starts_discards_when_it_has_started(void **state)
{
	struct vhost_queue q;

	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	enable(1, false);
	assert_null(up[1]);
	guest_sends_by(1, 7);
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(piece(k, 1), 0);
	q = queue_of(1);
	gives_back(&q, 1);
	assert_int_equal(get_base(1), 101);
	assert_null(up[1]); /* stopped is stopped, and the state is remembered */
	assert_int_equal(piece(3, 1), 0);
	assert_false(vhost_vq_enabled(up[1]));
}

static void without_the_transports_features_all_rings_are_enabled_at_once(void **state)
{
	struct vhost_queue q;

	running(VHOST_FEATURES);
	enable(0, false);
	enable(1, false);
	q = queue_of(1);
	guest_sends_by(1, 7);
	gives_back(&q, 1);
	assert_int_equal(say_u64(VHOST_SET_FEATURES, MODERN, -1), 0);
	pair_carries(0, 8);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(disabled_ring_gives_back_what_it_is_sent),
		CASE(disabled_ring_does_not_look_at_descriptors),
		CASE(guest_is_called_for_what_it_gets_back),
		CASE(worker_sleeps_on_a_disabled_ring),
		CASE(disabled_ring_to_receive_by_is_left_alone),
		CASE(ring_that_was_never_spoken_of_waits),
		CASE(ring_that_is_disabled_before_it_starts_discards_when_it_has_started),
		CASE(without_the_transports_features_all_rings_are_enabled_at_once),
	};

	return cmocka_run_group_tests_name("vhost_enable", tests, env_setup, env_teardown);
}

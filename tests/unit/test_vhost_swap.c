/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running ring is made from changes under it, as QEMU changes it at the beginning of every migration: no frame to the guest is lost.
 */
#include "test_vhost_dev_env.h"

#include <sched.h>

static int call_fd, log_fd;

/* Messages to a running device, each of which gives ring 0 a new vq. */
static int say_features(void)
{
	return say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1);
}

static int say_other_features(void)
{
	return say_u64(VHOST_SET_FEATURES, VHOST_FEATURES & ~VHOST_BIT(VIRTIO_BIT_LOG_ALL), -1);
}

static int say_address(void)
{
	return say_addr(0);
}

static int say_call(void)
{
	return say_u64(VHOST_SET_VRING_CALL, 0, call_fd);
}

static int say_kick(void)
{
	return say_u64(VHOST_SET_VRING_KICK, 0, event_fd);
}

static int say_log(void)
{
	struct vhost_log_base base = {.size = 4096};

	/* The log covers what is below 4096 * 8 pages; the guest's memory is not, and what is outside is not logged. */
	return say(VHOST_SET_LOG_BASE, &base, sizeof(base), log_fd);
}

static int (*const messages[])(void) = {say_features, say_address, say_memory, say_call, say_other_features, say_log, say_kick};

static int swap_setup(void **state)
{
	call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(log_fd, 4096), 0);
	on_quiet = NULL;
	if (setup(state) < 0)
		return -1;
	assert_int_equal(say_features(), 0);
	start_ring(0);
	return 0;
}

static int swap_teardown(void **state)
{
	on_quiet = NULL;
	close(log_fd);
	close(call_fd);
	fds_before -= 2;
	return teardown(state);
}

/* The guest has seen that many frames since, in order, and each in the buffer that it had offered next. */
static void expect_frames(uint32_t first, uint32_t n)
{
	assert_int_equal(guest_used(&ring[0]), n);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = dev_buffer(2, (uint16_t)ring[0].seen % 64);
		struct virtq_used_elem e = guest_take(&ring[0]);

		assert_int_equal(e.len, VIRTIO_HDR_LEN + 64);
		for (uint32_t k = 0; k < 64; k++)
			assert_int_equal(guest.mem[at + VIRTIO_HDR_LEN + k], pattern(first + i, k));
	}
}

static void offer(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t slot = ring[0].avail->idx % 64;

		guest_desc(&ring[0], slot, dev_buffer(2, slot), 2048, VIRTQ_DESC_WRITE, 0);
		guest_give(&ring[0], slot);
	}
}

static bool send_by(struct vhost_vq *v, uint32_t seed)
{
	struct vhost_queue q = {.live = v};
	struct rte_mbuf *m = frame_new(seed, 64, UINT32_MAX);

	if (vhost_tx(&q, &m, 1) == 1)
		return true;
	rte_pktmbuf_free(m);
	return false;
}

/* --- one thread, in the worst order -------------------------------------------------------------------------------------------------- */

static struct vhost_vq *before;
static uint32_t seed, old_sends, new_sends;

/* The worker was in the old vq, and is in the new one before the control thread has gone on. */
static void worker_goes_on(void)
{
	assert_non_null(up[0]);
	assert_ptr_not_equal(up[0], before);
	for (uint32_t i = 0; i < old_sends; i++)
		assert_true(send_by(before, seed++));
	for (uint32_t i = 0; i < new_sends; i++)
		assert_true(send_by(up[0], seed++));
}

static void frames_go_on_in_order_through_both(void **state)
{
	on_quiet = worker_goes_on;
	for (unsigned k = 0; k < 400; k++) {
		uint32_t first = seed;

		old_sends = k / 7 % 3;
		new_sends = k / 3 % 2;
		before = up[0];
		offer(old_sends + new_sends + 2);
		assert_true(send_by(up[0], seed++));
		assert_int_equal(messages[k % COUNT(messages)](), 0);
		assert_true(send_by(up[0], seed++));
		expect_frames(first, seed - first);
	}
}

/* The index is asked for when no frame has gone by the new vq yet. */
static void place_is_known_though_the_new_one_was_never_used(void **state)
{
	on_quiet = worker_goes_on;
	old_sends = 3;
	new_sends = 0;
	offer(20);
	for (unsigned k = 0; k < COUNT(messages); k++) {
		before = up[0];
		old_sends = (k + 1) % 3;
		assert_int_equal(messages[k](), 0);
	}
	on_quiet = NULL;
	assert_int_equal(get_base(0), ring[0].used->idx);
	assert_int_equal(ring[0].used->idx, 1 + 2 + 0 + 1 + 2 + 0 + 1);
}

static void ring_that_can_not_go_on_is_stopped(void **state)
{
	struct vhost_mem_table none = {.n = 0};
	struct vhost_vring_addr a = {.index = 0, .desc = GUEST_UVA + 1, .avail = GUEST_UVA, .used = GUEST_UVA};

	assert_int_equal(say(VHOST_SET_MEM_TABLE, &none, 8, -1), 0);
	assert_null(up[0]);
	assert_int_equal(say_memory(), 0);
	assert_non_null(up[0]);
	assert_int_equal(say(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1), VHOST_FAULT_RING + 1);
	assert_null(up[0]);
}

/* A used entry that was published before there was an eventfd is called for, and an index that cannot be is still found. */
static void new_one_calls_and_breaks_like_any_other(void **state)
{
	*guest_used_event(&ring[0]) = 0;
	offer(1);
	assert_true(send_by(up[0], 1));
	assert_int_equal(say_call(), 0);
	assert_int_equal(rung(call_fd), 1);
	expect_frames(1, 1);
	assert_int_equal(say_features(), 0);
	guest_publish(&ring[0], 65);
	assert_false(send_by(up[0], 2));
	assert_int_equal(vhost_dev_fault(&dev), VHOST_FAULT_INDEX + 1);
}

/* --- two threads ------------------------------------------------------------------------------------------------------------------------ */

static struct {
	uint32_t credit, sent; /* frames that there are buffers for, and that were sent: atomic */
	unsigned long loops;
	bool refused, stop;
} sender;

static void *send_for_ever(void *arg)
{
	rte_thread_register();
	while (!__atomic_load_n(&sender.stop, __ATOMIC_ACQUIRE)) {
		if (sender.sent != __atomic_load_n(&sender.credit, __ATOMIC_ACQUIRE)) {
			sender.refused |= !send_by(__atomic_load_n(&up[0], __ATOMIC_ACQUIRE), sender.sent);
			__atomic_store_n(&sender.sent, sender.sent + 1, __ATOMIC_RELEASE);
		} else {
			sched_yield();
		}
		__atomic_fetch_add(&sender.loops, 1, __ATOMIC_SEQ_CST);
	}
	rte_thread_unregister();
	return NULL;
}

static void wait_for_sender(void)
{
	unsigned long now = __atomic_load_n(&sender.loops, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&sender.loops, __ATOMIC_SEQ_CST) < now + 2)
		sched_yield();
}

static void worker_that_sends_meanwhile_is_never_refused(void **state)
{
	pthread_t thread;

	memset(&sender, 0, sizeof(sender));
	on_quiet = wait_for_sender;
	assert_int_equal(pthread_create(&thread, NULL, send_for_ever, NULL), 0);
	for (unsigned k = 0; k < 1000; k++) {
		uint32_t first = sender.credit;

		offer(12);
		__atomic_store_n(&sender.credit, first + 12, __ATOMIC_RELEASE);
		assert_int_equal(messages[k % COUNT(messages)](), 0);
		while (__atomic_load_n(&sender.sent, __ATOMIC_ACQUIRE) != sender.credit)
			sched_yield();
		assert_false(sender.refused);
		expect_frames(first, 12);
	}
	__atomic_store_n(&sender.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, swap_setup, swap_teardown)
	const struct CMUnitTest tests[] = {
		CASE(frames_go_on_in_order_through_both),	    CASE(place_is_known_though_the_new_one_was_never_used),
		CASE(ring_that_can_not_go_on_is_stopped),	    CASE(new_one_calls_and_breaks_like_any_other),
		CASE(worker_that_sends_meanwhile_is_never_refused),
	};

	return cmocka_run_group_tests_name("vhost_swap", tests, env_setup, env_teardown);
}

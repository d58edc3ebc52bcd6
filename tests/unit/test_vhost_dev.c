/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a front end's messages do: rings start with their last missing piece, stop when they are told to, and nothing that is wrong gets through.
 */
#include "test_vhost_dev_env.h"

static void ring_starts_with_its_last_missing_piece_whichever_it_is(void **state)
{
	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	for (unsigned last = 0; last < 5; last++) {
		for (unsigned k = 0; k < 5; k++) {
			if (k == last)
				continue;
			assert_int_equal(piece(k, 1), 0);
			assert_null(up[1]);
		}
		assert_int_equal(piece(last, 1), 0);
		assert_non_null(up[1]);
		teardown(state);
		setup(state);
		assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	}
}

static void without_the_transports_features_rings_are_enabled(void **state)
{
	assert_int_equal(say_u64(VHOST_SET_FEATURES, MODERN, -1), 0);
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(piece(k, 0), 0);
	assert_non_null(up[0]);
}

static void get_vring_base_stops_the_ring_and_says_where_it_was(void **state)
{
	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	start_ring(1);
	assert_int_equal(get_base(1), 100);
	assert_null(up[1]);
	/* It starts again at a kick, and its being enabled is remembered. */
	assert_int_equal(piece(3, 1), 0);
	assert_non_null(up[1]);
}

/* A guest that was moved while it used one pair of two would find the other's index gone. */
static void ring_that_was_disabled_remembers_where_it_was(void **state)
{
	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	start_ring(3);
	start_ring(2);
	for (unsigned i = 2; i < 4; i++) {
		assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, i, 0), 0);
		assert_int_equal(get_base(i), 100 * i);
		assert_int_equal(get_base(i), 100 * i);
	}
	assert_int_equal(say_state(VHOST_SET_VRING_BASE, 1, 777), 0); /* never started here */
	assert_int_equal(get_base(1), 777);
}

static void memory_changes_under_running_rings(void **state)
{
	struct vhost_mem_single more = {.region = {GUEST_GPA + (1 << 20), 1 << 20, GUEST_UVA + (1 << 20), 0}};
	unsigned before;

	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	start_ring(0);
	before = n_up;
	assert_int_equal(say_memory(), 0);
	assert_int_equal(say(VHOST_ADD_MEM_REG, &more, sizeof(more), guest.memfd), 0);
	assert_int_equal(say(VHOST_ADD_MEM_REG, &more, sizeof(more), guest.memfd), 0); /* each pair of QEMU's says it */
	assert_int_equal(say(VHOST_REM_MEM_REG, &more, sizeof(more), -1), 0);
	assert_int_equal(say(VHOST_REM_MEM_REG, &more, sizeof(more), event_fd), 0);
	assert_int_equal(n_up - before, 5);
	assert_int_equal(n_quiet, n_down);
	assert_non_null(up[0]);
	assert_int_equal(up[0]->next, 0);
	assert_int_equal(say(VHOST_REM_MEM_REG, &more, sizeof(more), -1), VHOST_FAULT_MEMORY + 1);
}

static void every_message_is_refused_with_another_size_or_too_many_descriptors(void **state)
{
	static const struct {
		uint32_t request;
		uint16_t size, fds;
	} rows[] = {
#define X(number, name, size, fds) {number, size, fds},
		VHOST_REQUESTS(X)
#undef X
	};

	for (unsigned i = 0; i < COUNT(rows); i++) {
		struct vhost_msg m = {0};
		bool reply;

		if (rows[i].size != VHOST_ANY) {
			assert_int_equal(say_m(&m, rows[i].request, rows[i].size + 1u, -1, 0, &reply), VHOST_FAULT_SIZE + 1);
			assert_int_equal(say_m(&m, rows[i].request, rows[i].size - 1u, -1, 0, &reply), VHOST_FAULT_SIZE + 1);
		}
		if (rows[i].fds < VHOST_TABLE_REGIONS)
			assert_int_equal(say_m(&m, rows[i].request, rows[i].size, event_fd, rows[i].fds + 1u, &reply),
					 VHOST_FAULT_FDS + 1);
	}
	assert_int_equal(say(0, "", 0, -1), VHOST_FAULT_REQUEST + 1);
	assert_int_equal(say(35, "", 0, -1), VHOST_FAULT_REQUEST + 1);
	assert_int_equal(say(UINT32_MAX, "", 0, -1), VHOST_FAULT_REQUEST + 1);
}

static void rings_that_are_not_there_are_refused(void **state)
{
	static const uint32_t state_requests[] = {VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE, VHOST_GET_VRING_BASE,
						  VHOST_SET_VRING_ENABLE};
	static const uint32_t indices[] = {RINGS, 32, 255, UINT32_MAX};

	for (unsigned i = 0; i < COUNT(indices); i++) {
		struct vhost_vring_addr a = {.index = indices[i]};

		for (unsigned k = 0; k < COUNT(state_requests); k++)
			assert_int_equal(say_state(state_requests[k], indices[i], 1), VHOST_FAULT_RING + 1);
		assert_int_equal(say(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1), VHOST_FAULT_RING + 1);
		for (uint32_t r = VHOST_SET_VRING_KICK; r <= VHOST_SET_VRING_ERR; r++)
			assert_int_equal(say_u64(r, indices[i], event_fd), VHOST_FAULT_RING + 1);
	}
	assert_int_equal(say_state(VHOST_SET_VRING_NUM, 0, 0), VHOST_FAULT_RING + 1);
	assert_int_equal(say_state(VHOST_SET_VRING_NUM, 0, 63), VHOST_FAULT_RING + 1);
	assert_int_equal(say_state(VHOST_SET_VRING_NUM, 0, 65536), VHOST_FAULT_RING + 1);
	assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, 0, 2), VHOST_FAULT_RING + 1);
	assert_int_equal(say_u64(VHOST_SET_VRING_KICK, 0, guest.memfd), VHOST_FAULT_FDS + 1);
	assert_int_equal(say_u64(VHOST_SET_VRING_CALL, 0, -1), VHOST_FAULT_FDS + 1);
	assert_int_equal(say_u64(VHOST_SET_VRING_CALL, VHOST_VRING_NOFD, -1), 0);
}

static void refusals_are_answered_where_answers_are_wanted(void **state)
{
	struct vhost_msg m = {.h.flags = VHOST_FLAG_NEED_REPLY, .p.u64 = 9001};
	bool reply;

	assert_int_equal(say_m(&m, VHOST_NET_SET_MTU, 8, -1, 0, &reply), 0);
	assert_false(reply); /* REPLY_ACK was not agreed upon */
	assert_int_equal(say_u64(VHOST_SET_PROTOCOL_FEATURES, VHOST_BIT(VHOST_PROTO_REPLY_ACK), -1), 0);
	for (unsigned fine = 0; fine < 2; fine++) {
		m = (struct vhost_msg){.h.flags = VHOST_FLAG_NEED_REPLY, .p.u64 = fine ? 9000 : 9001};
		assert_int_equal(say_m(&m, VHOST_NET_SET_MTU, 8, -1, 0, &reply), 0);
		assert_true(reply);
		assert_int_equal(m.p.u64 != 0, !fine);
		assert_int_equal(m.h.flags, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY);
	}
	assert_int_equal(say_u64(VHOST_SEND_RARP, 0x010000000002ull, -1), 0);
	assert_int_equal(n_announced, 1);
	assert_int_equal(say_u64(VHOST_SET_FEATURES, 1ull << 63, -1), VHOST_FAULT_FEATURES + 1);
	assert_int_equal(say_u64(VHOST_SET_PROTOCOL_FEATURES, 1ull << 9, -1), VHOST_FAULT_FEATURES + 1);
}

/* A log on huge pages is unmapped whole, and may be cut off like any other. Needs a free huge page. */
static void log_on_huge_pages_is_survived_and_unmapped(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_HUGETLB);
	const char *why = "";
	struct vhost_log *log;
	void *probe = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, 2 << 20) == 0)
		probe = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (probe == MAP_FAILED) {
		print_message("skipped: no free huge page\n");
		if (fd >= 0)
			close(fd);
		skip();
	}
	munmap(probe, 2 << 20);
	for (unsigned cut = 0; cut < 2; cut++) {
		log = vhost_log_open(fd, 4096, 8192, alarm_fd, &why);
		assert_non_null(log);
		if (cut)
			assert_int_equal(ftruncate(fd, 0), 0);
		vhost_log_write(log, 4096 * 8, 1);
		assert_int_equal(vhost_log_lost(log), cut);
		vhost_log_close(log);
	}
	close(fd);
}

/* --- starting calls ----------------------------------------------------------------------------------------------------------- */

/* What a back end published and was killed before it called for. */
static void ring_that_starts_calls_its_guest_once(void **state)
{
	int call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(say_u64(VHOST_SET_VRING_CALL, i, call_fd), 0);
		assert_int_equal(rung(call_fd), 0);
		start_ring(i);
		assert_int_equal(rung(call_fd), 1);
		assert_int_equal(piece(1, i), VHOST_FAULT_RING + 1); /* a message that starts nothing calls nobody */
		assert_int_equal(piece(4, i), 0);
		assert_int_equal(rung(call_fd), 0);
		get_base(i);
		assert_int_equal(rung(call_fd), 0);
		assert_int_equal(piece(3, i), 0);
		assert_int_equal(rung(call_fd), 1);
		get_base(i);
	}
	close(call_fd);
}

/* Between SET_VRING_KICK and SET_VRING_CALL, where a ring runs, there is nothing to call by. */
static void guest_is_called_for_what_was_used_before_there_was_an_eventfd(void **state)
{
	int call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	start_ring(1);
	*guest_used_event(&ring[1]) = 100;
	guest_sends_by(1, 1);
	switch_receives_by(1, 1);
	assert_int_equal(say_u64(VHOST_SET_VRING_CALL, 1, call_fd), 0);
	assert_int_equal(rung(call_fd), 1);
	close(call_fd);
}

/* --- resets, and memory that is another --------------------------------------------------------------------------------------------- */

static void reset_forgets_the_rings_and_keeps_the_memory(void **state)
{
	static const uint32_t resets[] = {VHOST_RESET_DEVICE, VHOST_RESET_OWNER};

	for (unsigned r = 0; r < COUNT(resets); r++) {
		unsigned fds;

		assert_int_equal(say_memory(), 0);
		fds = count_fds();
		for (unsigned again = 0; again < 2; again++) {
			assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
			for (unsigned i = 0; i < 2; i++) {
				assert_int_equal(say_u64(VHOST_SET_VRING_CALL, i, event_fd), 0);
				for (unsigned k = 1; k < 5; k++)
					assert_int_equal(piece(k, i), 0);
			}
			pair_carries(0, again);
			assert_int_equal(say(resets[r], "", 0, -1), 0);
			assert_null(up[0]);
			assert_null(up[1]);
			assert_int_equal(dev.features, 0);
			assert_int_equal(count_fds(), fds);
			/* None of the pieces that were told before counts any more. */
			assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
			assert_int_equal(piece(3, 0), 0);
			assert_int_equal(piece(4, 0), 0);
			assert_null(up[0]);
			assert_int_equal(say(resets[r], "", 0, -1), 0);
		}
	}
}

static int say_table(const struct vhost_mem_region *region, uint32_t n)
{
	struct vhost_msg m = {.p.table.n = n};
	bool reply;

	memcpy(m.p.table.region, region, n * sizeof(*region));
	return say_m(&m, VHOST_SET_MEM_TABLE, (uint32_t)(8 + n * sizeof(*region)), guest.memfd, n, &reply);
}

static void other_memory_is_in_force_with_the_next_frame(void **state)
{
	/* The same bytes in two parts, in another order; and without those in which buffers lie. */
	const struct vhost_mem_region whole = guest.region[0],
				      parts[] = {{GUEST_GPA + BUFFERS, BUFFERS, GUEST_UVA + BUFFERS, BUFFERS},
						 {GUEST_GPA, BUFFERS, GUEST_UVA, 0}};
	struct rte_mbuf *m = NULL;
	struct vhost_queue q;

	assert_int_equal(say_u64(VHOST_SET_FEATURES, VHOST_FEATURES, -1), 0);
	start_ring(0);
	start_ring(1);
	for (uint32_t k = 0; k < 10; k++) {
		pair_carries(0, k);
		guest_sends_by(1, k); /* not yet taken when the memory is swapped */
		assert_int_equal(k % 2 ? say_table(&whole, 1) : say_table(parts, 2), 0);
		switch_receives_by(1, k);
	}
	guest_sends_by(1, 11);
	assert_int_equal(say_table(&parts[1], 1), 0);
	q = queue_of(1);
	gate_reset(0);
	assert_int_equal(vhost_rx(&q, &m, 1, gate, NULL), 0);
	assert_int_equal(q.lost.bad_descriptor, 1);
	/* Where its rings are not there a front end is not talked to any more, and nothing runs. */
	assert_int_equal(say_table(parts, 1), VHOST_FAULT_RING + 1);
	assert_null(up[0]);
	assert_null(up[1]);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(ring_starts_with_its_last_missing_piece_whichever_it_is),
		CASE(without_the_transports_features_rings_are_enabled),
		CASE(get_vring_base_stops_the_ring_and_says_where_it_was),
		CASE(ring_that_was_disabled_remembers_where_it_was),
		CASE(memory_changes_under_running_rings),
		CASE(every_message_is_refused_with_another_size_or_too_many_descriptors),
		CASE(rings_that_are_not_there_are_refused),
		CASE(refusals_are_answered_where_answers_are_wanted),
		CASE(log_on_huge_pages_is_survived_and_unmapped),
		CASE(ring_that_starts_calls_its_guest_once),
		CASE(guest_is_called_for_what_was_used_before_there_was_an_eventfd),
		CASE(reset_forgets_the_rings_and_keeps_the_memory),
		CASE(other_memory_is_in_force_with_the_next_frame),
	};

	return cmocka_run_group_tests_name("vhost_dev", tests, env_setup, env_teardown);
}

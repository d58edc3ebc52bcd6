/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a front end's messages do: rings start with their last missing piece, stop when they are told to, and nothing that is wrong gets through.
 */
#include "test_vhost_env.h"

#define PAIRS 2
#define RINGS (2 * PAIRS)

static struct guest guest;
static struct guest_ring ring[RINGS];
static struct vhost_dev dev;
static struct vhost_vq *up[RINGS];
static unsigned n_up, n_down, n_quiet, n_announced;
static int event_fd, alarm_fd, fds_before;

static void ring_up(void *arg, unsigned i, struct vhost_vq *vq)
{
	assert_true(i < RINGS && !up[i]);
	up[i] = vq;
	n_up++;
}

static void ring_down(void *arg, unsigned i)
{
	assert_true(i < RINGS && up[i]);
	up[i] = NULL;
	n_down++;
}

static void quiesce(void *arg)
{
	n_quiet++;
}

static void changed(void *arg)
{
}

static void announce(void *arg, const uint8_t mac[6])
{
	assert_memory_equal(mac, "\x02\0\0\0\0\x01", 6);
	n_announced++;
}

static bool mtu(void *arg, uint16_t bytes)
{
	return bytes <= 9000;
}

static const struct vhost_ops ops = {ring_up, ring_down, quiesce, changed, announce, mtu};

static int setup(void **state)
{
	memset(up, 0, sizeof(up));
	n_up = n_down = n_quiet = n_announced = 0;
	guest_init(&guest, 1 << 20);
	for (unsigned i = 0; i < RINGS; i++)
		guest_ring_init(&guest, &ring[i], 64, i * 0x4000, (uint16_t)(100 * i));
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fds_before = (int)count_fds();
	return vhost_dev_init(&dev, &ops, NULL, PAIRS, alarm_fd);
}

static int teardown(void **state)
{
	vhost_dev_fini(&dev);
	assert_int_equal(n_up, n_down);
	assert_int_equal(count_fds(), fds_before);
	close(event_fd);
	close(alarm_fd);
	guest_fini(&guest);
	return 0;
}

/* A message with `n` descriptors like `fd`. A fault + 1, or 0; the answer, if any, in *m. */
static int say_m(struct vhost_msg *m, uint32_t request, uint32_t size, int fd, unsigned n, bool *reply)
{
	int fds[VHOST_TABLE_REGIONS], ret;

	m->h = (struct vhost_header){request, m->h.flags | VHOST_FLAG_VERSION, size};
	*reply = false;
	ret = vhost_dev_check(&dev, &m->h);
	if (ret)
		return ret;
	for (unsigned i = 0; i < n; i++)
		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return vhost_dev_message(&dev, m, fds, n, reply);
}

static int say(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_msg m = {0};
	bool reply;

	memcpy(&m.p, payload, size);
	return say_m(&m, request, size, fd, fd >= 0, &reply);
}

static int say_u64(uint32_t request, uint64_t v, int fd)
{
	return say(request, &v, sizeof(v), fd);
}

static int say_state(uint32_t request, uint32_t index, uint32_t num)
{
	return say(request, &(struct vhost_vring_state){index, num}, 8, -1);
}

static int say_memory(void)
{
	struct vhost_mem_table t = {.n = 1, .region[0] = guest.region[0]};

	return say(VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), guest.memfd);
}

static int say_addr(unsigned i)
{
	struct vhost_vring_addr a = {.index = i,
				     .desc = guest_uva(&guest, ring[i].at),
				     .avail = guest_uva(&guest, ring[i].avail_at),
				     .used = guest_uva(&guest, ring[i].used_at)};

	return say(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
}

/* The pieces that a ring needs, by number. */
static int piece(unsigned which, unsigned i)
{
	switch (which) {
	case 0:
		return say_memory();
	case 1:
		return say_state(VHOST_SET_VRING_NUM, i, 64);
	case 2:
		return say_addr(i);
	case 3:
		return say_u64(VHOST_SET_VRING_KICK, i, event_fd);
	default:
		return say_state(VHOST_SET_VRING_ENABLE, i, 1);
	}
}

static uint32_t get_base(unsigned i)
{
	struct vhost_msg m = {.p.state.index = i};
	bool reply;

	assert_int_equal(say_m(&m, VHOST_GET_VRING_BASE, 8, -1, 0, &reply), 0);
	assert_true(reply);
	assert_int_equal(m.h.size, 8);
	assert_int_equal(m.p.state.index, i);
	return m.p.state.num;
}

static void start_ring(unsigned i)
{
	for (unsigned k = 0; k < 5; k++)
		assert_int_equal(piece(k, i), 0);
	assert_non_null(up[i]);
}

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
	assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, 3, 0), 0);
	assert_null(up[3]);
	assert_int_equal(get_base(3), 300);
	assert_int_equal(get_base(3), 300);
	assert_int_equal(say_state(VHOST_SET_VRING_BASE, 2, 777), 0); /* never started here */
	assert_int_equal(get_base(2), 777);
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
	};

	return cmocka_run_group_tests_name("vhost_dev", tests, env_setup, env_teardown);
}

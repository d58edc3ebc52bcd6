/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user ports are rid of front ends that lie, by messages, memory or rings: under a name, with a penalty, and nobody else notices.
 */
#include "test_vhost_peer.h"

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static void junk_costs_its_sender_the_connection_and_nobody_else_anything(void **state)
{
	uint32_t x = 2463534242;
	unsigned cut = 0;

	open_and_meet();
	for (unsigned round = 0; round < 500; round++) {
		uint8_t junk[600];
		uint32_t len = 12 + next_random(&x) % (sizeof(junk) - 12), header[3];
		uint64_t faults = port_faults(NULL);

		if (round % 3 == 0)
			peer_start(&peer);
		for (uint32_t i = 0; i < len; i++)
			junk[i] = (uint8_t)next_random(&x);
		/* Half of it begins like a message. */
		header[0] = next_random(&x) % 40;
		header[1] = VHOST_FLAG_VERSION;
		header[2] = next_random(&x) % 64;
		if (round % 2)
			memcpy(junk, header, sizeof(header));
		assert_int_equal(peer_send_raw(&peer, junk, len, peer.g.memfd, round % 5), len);
		loop_idle();
		if (peer_is_cut(&peer)) {
			assert_int_equal(port_faults(NULL), faults + 1);
			assert_false(port_is_up());
			loop_advance(VHOST_PENALTY_MS);
			cut++;
		} else { /* it waits for more */
			assert_int_equal(port_faults(NULL), faults);
			peer_leave(&peer);
			loop_idle();
			loop_advance(VHOST_RETRY_MS);
		}
		assert_true(peer_accept(&peer, listener));
	}
	assert_true(cut > 250);
	peer_start(&peer);
	pass_frames(&peer, 0, 1);
	port_close();
}

/* --- each by its name ------------------------------------------------------------------------------------------------------------------------ */

static void says_another_version(struct peer *p)
{
	struct vhost_msg m = peer_msg(VHOST_GET_FEATURES, "", 0);

	m.h.flags = 2;
	peer_send_raw(p, &m.h, sizeof(m.h), -1, 0);
}

static void says_what_was_not_offered(struct peer *p)
{
	peer_tell(p, 24, "", 0, -1);
}

static void says_too_little(struct peer *p)
{
	peer_tell(p, VHOST_SET_FEATURES, "seven b", 7, -1);
}

static void passes_what_is_no_eventfd(struct peer *p)
{
	peer_tell(p, VHOST_SET_VRING_KICK, &(uint64_t){0}, 8, p->g.memfd);
}

static void passes_more_than_any_message_has(struct peer *p)
{
	struct vhost_msg m = peer_msg(VHOST_SET_OWNER, "", 0);

	peer_send_raw(p, &m.h, sizeof(m.h), p->call_fd, UNIX_SOCK_MAX_FDS);
}

static void takes_what_was_not_offered(struct peer *p)
{
	peer_tell(p, VHOST_SET_FEATURES, &(uint64_t){1ull << 63}, 8, -1);
}

static void has_memory_that_is_impossible(struct peer *p)
{
	struct vhost_mem_table t = {.n = 1, .region[0] = {GUEST_GPA, UINT64_MAX, GUEST_UVA, 0}};

	peer_tell(p, VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), p->g.memfd);
}

static void has_a_log_that_is_impossible(struct peer *p)
{
	peer_tell(p, VHOST_SET_LOG_BASE, &(struct vhost_log_base){UINT64_MAX, 4096}, 16, p->g.memfd);
}

static void claims_more_than_its_ring_holds(struct peer *p)
{
	struct rte_mbuf *m;

	peer_start(p);
	guest_publish(&p->r[1], PEER_RING + 1);
	gate_reset(0);
	assert_int_equal(port.rx_gated(port.rxq[0], &m, 1, gate, NULL), 0);
}

/* The rest of its memory is made anew: the next round needs it. */
static void cuts_its_memory_off(struct peer *p)
{
	struct rte_mbuf *m = NULL;

	peer_start(p);
	guest_desc(&p->r[1], 0, peer_buffer(1, 0), VIRTIO_HDR_LEN + 64, 0, 0);
	guest_give(&p->r[1], 0);
	assert_int_equal(ftruncate(p->g.memfd, 0x40000), 0);
	gate_reset(0);
	if (port.rx_gated(port.rxq[0], &m, 1, gate, NULL))
		rte_pktmbuf_free(m);
	loop_idle();
	assert_int_equal(ftruncate(p->g.memfd, (off_t)p->g.size), 0);
}

static void reads_no_answer(struct peer *p)
{
	struct vhost_msg m = peer_msg(VHOST_GET_FEATURES, "", 0);
	unsigned i;

	for (i = 0; i < 10000 && peer_send_raw(p, &m.h, sizeof(m.h), -1, 0) == sizeof(m.h); i++)
		loop_idle();
	assert_true(i < 10000); /* the port did not wait either */
}

static void fault_has_a_name_a_counter_a_line_and_a_penalty(void **state)
{
	static const struct {
		const char *name;
		void (*lie)(struct peer *p);
	} lies[] = {
		{"bad-header", says_another_version},
		{"unknown-request", says_what_was_not_offered},
		{"bad-size", says_too_little},
		{"bad-descriptors", passes_what_is_no_eventfd},
		{"bad-descriptors", passes_more_than_any_message_has},
		{"bad-features", takes_what_was_not_offered},
		{"bad-memory", has_memory_that_is_impossible},
		{"bad-log", has_a_log_that_is_impossible},
		{"bad-ring", has_a_ring_of_63},
		{"impossible-index", claims_more_than_its_ring_holds},
		{"memory-lost", cuts_its_memory_off},
		{"reply-not-read", reads_no_answer},
	};

	for (unsigned server = 0; server < 2; server++) {
		for (unsigned i = 0; i < COUNT(lies); i++) {
			if (!server)
				listener = peer_listen();
			port_open(server, 1);
			for (uint64_t times = 1; times <= 3; times++) {
				loop_advance(0);
				if (server)
					peer.sock = unix_sock_connect(sock_path("vm.sock"), SOCK_STREAM);
				else
					peer_accept(&peer, listener);
				assert_true(peer.sock >= 0);
				loop_idle();
				assert_int_equal(port_connects(), times);
				lies[i].lie(&peer);
				loop_idle();
				assert_true(peer_is_cut(&peer));
				assert_false(port_is_up());
				assert_int_equal(port_faults(lies[i].name), times);
				assert_int_equal(port_faults(NULL), times);
				assert_non_null(strstr(last_log, lies[i].name));
				assert_non_null(strstr(last_log, "vhost-user vm: hung up"));
				/* It is not talked to for so long, and then it is. */
				peer_leave(&peer);
				loop_advance(VHOST_PENALTY_MS - 1);
				if (!server)
					assert_int_equal(port_connects(), times);
				loop_advance(1);
			}
			if (!server)
				peer_unlisten(listener);
			listener = -1;
			port_close();
		}
	}
}

/* An accepted connection is answered only after the penalty. */
static void server_lets_the_next_front_end_wait_for_the_penalty(void **state)
{
	struct vhost_msg m;

	port_open(true, 1);
	loop_advance(0);
	peer.sock = unix_sock_connect(sock_path("vm.sock"), SOCK_STREAM);
	loop_idle();
	says_what_was_not_offered(&peer);
	assert_true(peer_is_cut(&peer));
	peer_leave(&peer);
	peer.sock = unix_sock_connect(sock_path("vm.sock"), SOCK_STREAM);
	peer_tell(&peer, VHOST_GET_FEATURES, "", 0, -1);
	loop_advance(VHOST_PENALTY_MS - 1);
	assert_false(peer_answer(&peer, &m));
	loop_advance(1);
	assert_true(peer_answer(&peer, &m));
	peer_start(&peer);
	port_close();
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(junk_costs_its_sender_the_connection_and_nobody_else_anything),
		CASE(fault_has_a_name_a_counter_a_line_and_a_penalty),
		CASE(server_lets_the_next_front_end_wait_for_the_penalty),
	};

	return cmocka_run_group_tests_name("vhost_faults", tests, env_setup, env_teardown);
}

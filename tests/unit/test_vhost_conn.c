/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user ports over real sockets: they find their front ends, hear them out however their bytes come, and leave nothing behind.
 */
#include "test_vhost_peer.h"

#define RECONNECTS 1000

/* --- meeting ---------------------------------------------------------------------------------------------------------------- */

static void port_connects_within_100_ms_of_the_sockets_appearing(void **state)
{
	port_open(false, 1);
	for (unsigned phase = 0; phase < 60; phase++) {
		loop_advance(1000 + phase);
		assert_int_equal(port_connects(), phase);
		if (phase % 2) /* of one that was killed: the file is there, and nobody listens */
			close(peer_listen());
		loop_advance(200);
		assert_int_equal(port_connects(), phase);
		listener = peer_listen();
		loop_advance(100);
		assert_true(peer_accept(&peer, listener));
		peer_start(&peer);
		pass_frames(&peer, 0, phase);
		peer_unlisten(listener);
		listener = -1;
		peer_leave(&peer);
		loop_idle();
		assert_false(port_is_up());
	}
	assert_int_equal(port_faults(NULL), 0);
	port_close();
}

static void server_serves_one_front_end_at_a_time(void **state)
{
	struct peer second;
	struct vhost_msg m;

	peer_init(&second);
	port_open(true, 1);
	loop_advance(0);
	for (uint32_t i = 0; i < 20; i++) {
		peer.sock = unix_sock_connect(sock_path("vm.sock"), SOCK_STREAM);
		assert_true(peer.sock >= 0);
		loop_advance(VHOST_RETRY_MS);
		peer_start(&peer);
		pass_frames(&peer, 0, i);
		second.sock = unix_sock_connect(sock_path("vm.sock"), SOCK_STREAM);
		assert_true(second.sock >= 0);
		peer_tell(&second, VHOST_GET_FEATURES, "", 0, -1);
		loop_advance(5000);
		assert_false(peer_answer(&second, &m));
		pass_frames(&peer, 0, i);
		peer_leave(&peer);
		loop_idle();
		assert_false(port_is_up());
		loop_advance(VHOST_RETRY_MS);
		assert_true(peer_answer(&second, &m)); /* to what it said long ago */
		peer_start(&second);
		pass_frames(&second, 0, i);
		peer_leave(&second);
		loop_idle();
	}
	assert_int_equal(port_connects(), 40);
	assert_int_equal(port_faults(NULL), 0);
	port_close();
	assert_int_equal(access(sock_path("vm.sock"), F_OK), -1);
	peer_fini(&second);
}

static void server_replaces_the_socket_of_the_dead_and_no_other(void **state)
{
	struct dp_error err = {0};

	listener = peer_listen();
	assert_int_equal(port_try((struct dp_port_conf){.server = true, .queues = 1}, &err), -EADDRINUSE);
	assert_string_equal(err.attr, "path");
	close(listener);
	listener = -1;
	port_open(true, 1);
	port_close();
	assert_int_equal(access(sock_path("vm.sock"), F_OK), -1);
}

static void queue_pairs_run_over_one_connection(void **state)
{
	listener = peer_listen();
	port_open(false, 2);
	loop_advance(0);
	assert_true(peer_accept(&peer, listener));
	peer_start_in(&peer, 0, 2);
	for (uint32_t i = 0; i < 200; i++)
		pass_frames(&peer, i % 2, i);
	port_close();
}

/* --- bytes as they come -------------------------------------------------------------------------------------------------------- */

static void messages_in_pieces_of_any_size_are_the_same_messages(void **state)
{
	open_and_meet();
	for (uint32_t piece = 1; piece <= 60; piece++) {
		peer_start_in(&peer, piece, 1);
		assert_true(port_is_up());
		pass_frames(&peer, 0, piece);
		peer_leave(&peer);
		loop_idle();
		meet_again();
	}
	assert_int_equal(port_faults(NULL), 0);
	port_close();
}

/* With descriptors that have come already, or a header whose payload never comes. */
static void front_end_that_is_gone_in_the_middle_of_a_message_leaves_nothing(void **state)
{
	struct vhost_mem_table t = {.n = 1, .region[0] = peer.g.region[0]};
	struct vhost_msg m = peer_msg(VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]));
	uint32_t len = (uint32_t)sizeof(m.h) + m.h.size;
	unsigned n_open;

	open_and_meet();
	n_open = count_fds();
	for (unsigned running = 0; running < 2; running++) {
		for (uint32_t cut = 1; cut < len; cut++) {
			if (running)
				peer_start(&peer);
			assert_int_equal(peer_send_raw(&peer, &m.h, cut, peer.g.memfd, 1), cut);
			if (cut % 2)
				loop_idle(); /* else all of it is found at once */
			peer_leave(&peer);
			loop_idle();
			assert_false(port_is_up());
			meet_again();
			assert_int_equal(count_fds(), n_open);
		}
	}
	peer_start(&peer);
	pass_frames(&peer, 0, 1);
	assert_int_equal(port_faults(NULL), 0);
	port_close();
}

/* A socket that is shut down for writing only is one whose front end is gone, too. */
static void half_closed_connection_is_ended(void **state)
{
	open_and_meet();
	peer_start(&peer);
	assert_int_equal(shutdown(peer.sock, SHUT_WR), 0);
	loop_idle();
	assert_true(peer_is_cut(&peer));
	assert_false(port_is_up());
	meet_again();
	peer_start(&peer);
	port_close();
}

/* --- many of them ------------------------------------------------------------------------------------------------------------------ */

static void ten_thousand_messages_are_answered_in_turns_that_end(void **state)
{
	struct vhost_msg m = peer_msg(VHOST_GET_QUEUE_NUM, "", 0);
	unsigned answered = 0, turns = 0;

	open_and_meet();
	for (unsigned i = 0; i < 10000; i += 100) {
		for (unsigned k = 0; k < 100; k++)
			assert_int_equal(peer_send_raw(&peer, &m.h, sizeof(m.h), -1, 0), sizeof(m.h));
		/* Others have their turn in between. */
		for (; loop_once(); turns++) {
			unsigned n = 0;

			while (peer_answer(&peer, &m))
				n++;
			assert_true(n <= 32);
			answered += n;
		}
		m = peer_msg(VHOST_GET_QUEUE_NUM, "", 0);
	}
	assert_int_equal(answered, 10000);
	assert_true(turns >= 300);
	peer_start(&peer);
	for (uint32_t i = 0; i < 10000; i++)
		peer_tell(&peer, VHOST_SET_VRING_ENABLE, &(struct vhost_vring_state){i % 2, i / 2 % 2}, 8, -1);
	assert_true(port_is_up());
	pass_frames(&peer, 0, 1);
	assert_int_equal(port_faults(NULL), 0);
	port_close();
}

/* --- leaks, and the end ------------------------------------------------------------------------------------------------------------ */

static void thousand_reconnects_leave_no_descriptor_and_no_mapping(void **state)
{
	unsigned n_fds, n_maps;
	uint64_t faults = 0;

	open_and_meet();
	n_fds = count_fds();
	n_maps = count_maps();
	for (unsigned i = 0; i < RECONNECTS; i++) {
		if (i % 4)
			peer_start(&peer);
		if (i % 4 == 2)
			pass_frames(&peer, 0, i);
		if (i % 4 == 3) {
			has_a_ring_of_63(&peer);
			faults++;
			loop_advance(VHOST_PENALTY_MS);
		} else {
			peer_leave(&peer);
			loop_idle();
			loop_advance(VHOST_RETRY_MS);
		}
		assert_true(peer_accept(&peer, listener));
	}
	assert_int_equal(port_connects(), RECONNECTS + 1);
	assert_int_equal(port_faults(NULL), faults);
	assert_int_equal(count_fds(), n_fds);
	assert_int_equal(count_maps(), n_maps);
	peer_start(&peer);
	pass_frames(&peer, 0, 1);
	port_close();
}

static void port_may_be_closed_at_any_moment(void **state)
{
	struct vhost_mem_table t = {.n = 1, .region[0] = peer.g.region[0]};
	struct vhost_msg m = peer_msg(VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]));

	enum { AT_ONCE, WAITING, CONNECTED, STARTED, HALF_A_MESSAGE, PUNISHING, GONE, MOMENTS };

	for (unsigned server = 0; server < 2; server++) {
		for (unsigned moment = 0; moment < MOMENTS; moment++) {
			unsigned n_fds = count_fds();

			port_open(server, 1);
			if (moment >= WAITING)
				loop_advance(10 * VHOST_RETRY_MS + 1);
			if (moment >= CONNECTED) {
				if (server) {
					peer.sock = unix_sock_connect(sock_path("vm.sock"), SOCK_STREAM);
					loop_idle();
				} else {
					listener = peer_listen();
					meet_again();
				}
				assert_int_equal(port_connects(), 1);
			}
			if (moment >= STARTED)
				peer_start(&peer);
			if (moment == HALF_A_MESSAGE) {
				assert_int_equal(peer_send_raw(&peer, &m.h, 20, peer.g.memfd, 1), 20);
				loop_idle();
			}
			if (moment == PUNISHING) {
				has_a_ring_of_63(&peer);
				loop_advance(VHOST_PENALTY_MS / 2);
			}
			if (moment == GONE) {
				peer_leave(&peer);
				loop_idle();
			}
			port_close();
			if (peer.sock >= 0)
				assert_true(peer_is_cut(&peer));
			peer_leave(&peer);
			if (listener >= 0)
				peer_unlisten(listener);
			listener = -1;
			assert_int_equal(access(sock_path("vm.sock"), F_OK), -1);
			assert_int_equal(count_fds(), n_fds);
			assert_int_equal(count_maps(), maps_before);
		}
	}
}

/* --- changes under running rings ------------------------------------------------------------------------------------------------ */

static unsigned n_meanwhile;

/* A worker sends while the control thread waits for it. */
static void send_meanwhile(void)
{
	struct guest_ring *rx = &peer.r[0];
	uint16_t slot = rx->avail->idx % PEER_RING;
	struct rte_mbuf *m = frame_new(n_meanwhile, 100, UINT32_MAX);

	guest_desc(rx, slot, peer_buffer(0, slot), 0x800, VIRTQ_DESC_WRITE, 0);
	guest_give(rx, slot);
	assert_int_equal(port.tx(port.txq[0], &m, 1), 1);
	assert_int_equal(guest_take(rx).len, VIRTIO_HDR_LEN + 100);
	n_meanwhile++;
}

/* What QEMU says when a migration begins, and when it is given up: the port sends on, with its link up all the time. */
static void port_sends_while_its_front_end_changes_things(void **state)
{
	struct vhost_mem_table t = {.n = 1};

	open_and_meet();
	peer_start(&peer);
	t.region[0] = peer.g.region[0];
	n_meanwhile = 0;
	for (uint32_t k = 0; k < 50; k++) {
		on_quiesce = send_meanwhile;
		peer_tell(&peer, VHOST_SET_FEATURES, &(uint64_t){PEER_FEATURES | (k % 2 ? VHOST_BIT(VIRTIO_BIT_LOG_ALL) : 0)}, 8,
			  -1);
		for (uint32_t i = 0; i < 2; i++) {
			struct vhost_vring_addr a = {.index = i,
						     .desc = guest_uva(&peer.g, peer.r[i].at),
						     .avail = guest_uva(&peer.g, peer.r[i].avail_at),
						     .used = guest_uva(&peer.g, peer.r[i].used_at)};

			peer_tell(&peer, VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
			peer_tell(&peer, VHOST_SET_VRING_CALL, &(uint64_t){i}, 8, peer.call_fd);
		}
		peer_tell(&peer, VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), peer.g.memfd);
		loop_idle();
		on_quiesce = NULL;
		assert_true(port_is_up());
		pass_frames(&peer, 0, k);
	}
	assert_int_equal(n_meanwhile, 50 * 6); /* once a message */
	assert_int_equal(port_faults(NULL), 0);
	port_close();
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(port_connects_within_100_ms_of_the_sockets_appearing),
		CASE(server_serves_one_front_end_at_a_time),
		CASE(server_replaces_the_socket_of_the_dead_and_no_other),
		CASE(queue_pairs_run_over_one_connection),
		CASE(messages_in_pieces_of_any_size_are_the_same_messages),
		CASE(front_end_that_is_gone_in_the_middle_of_a_message_leaves_nothing),
		CASE(half_closed_connection_is_ended),
		CASE(ten_thousand_messages_are_answered_in_turns_that_end),
		CASE(thousand_reconnects_leave_no_descriptor_and_no_mapping),
		CASE(port_sends_while_its_front_end_changes_things),
		CASE(port_may_be_closed_at_any_moment),
	};

	return cmocka_run_group_tests_name("vhost_conn", tests, env_setup, env_teardown);
}

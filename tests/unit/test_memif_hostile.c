/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif's control channel against peers that lie: they are hung up on, and nothing else is disturbed.
 */
#include "test_memif_peer.h"

#include <linux/magic.h>
#include <sys/vfs.h>

static struct kind_port server;		/* the port that is lied to */
static struct kind_port other, friend_; /* a pair beside it, on the same path */
static unsigned fds;

static int setup(void **state)
{
	port_open(&server, (struct dp_port_conf){.queues = 2});
	port_open(&other, (struct dp_port_conf){.id = 9, .queues = 2});
	port_open(&friend_, (struct dp_port_conf){.id = 9, .client = true});
	WAIT_FOR(is_up(&other) && is_up(&friend_));
	pass_frame(&other, &friend_, 1, 64, UINT32_MAX); /* what is opened at the first use is open now */
	fds = count_fds();
	return 0;
}

static int teardown(void **state)
{
	/* Whatever happened: the pair works, no descriptor is left, and an honest client finds the port ready. */
	struct kind_port honest;

	loop_idle();
	pass_frame(&other, &friend_, 1, 64, UINT32_MAX);
	pass_frame(&friend_, &other, 2, 9000, UINT32_MAX);
	assert_int_equal(count_fds(), fds);
	port_open(&honest, (struct dp_port_conf){.client = true});
	WAIT_FOR(is_up(&honest) && is_up(&server));
	pass_frame(&server, &honest, 3, 64, UINT32_MAX);
	memif_kind.close(&honest);
	memif_kind.close(&friend_);
	memif_kind.close(&other);
	memif_kind.close(&server);
	loop_idle();
	return 0;
}

/* After `messages` of the honest handshake this one is refused. */
static void refused(unsigned messages, struct memif_msg msg, int fd)
{
	struct peer p;

	peer_init(&p);
	peer_handshake(&p, messages);
	memif_sock_send(p.sock, &msg, fd);
	peer_expect_hung_up(&p);
	peer_fini(&p);
	assert_false(is_up(&server));
}

static void init_that_does_not_fit_is_refused(void **state)
{
	struct memif_msg msg = msg_init(0);

	msg.init.version = 0x0100;
	refused(0, msg, -1);
	msg = msg_init(0);
	msg.init.mode = 1; /* IP */
	refused(0, msg, -1);
	refused(0, msg_init(1234), -1);
	refused(0, msg_init(9), -1); /* has its peer */
	refused(1, msg_init(0), -1); /* a second time */
}

static void regions_that_lie_are_refused(void **state)
{
	int good = sealed_memfd(PEER_SIZE, F_SEAL_SHRINK), unsealed = sealed_memfd(PEER_SIZE, 0), pipes[2], file;
	int read_only = sealed_memfd(PEER_SIZE, F_SEAL_SHRINK | F_SEAL_WRITE);

	assert_int_equal(pipe(pipes), 0);
	file = open("/proc/self/exe", O_RDONLY);
	refused(1, msg_region(0, 0), good);
	refused(1, msg_region(0, UINT64_MAX), good);
	refused(1, msg_region(0, UINT64_MAX - 4095), good);
	refused(1, msg_region(0, 1ull << 63), good);
	refused(1, msg_region(0, PEER_SIZE + 1), good);
	refused(1, msg_region(1, PEER_SIZE), good);
	refused(1, msg_region(UINT16_MAX, PEER_SIZE), good);
	refused(2, msg_region(0, PEER_SIZE), good);
	refused(1, msg_region(0, PEER_SIZE), -1);
	refused(1, msg_region(0, PEER_SIZE), unsealed);
	refused(1, msg_region(0, PEER_SIZE), read_only);
	refused(1, msg_region(0, PEER_SIZE), pipes[0]);
	refused(1, msg_region(0, 64), file);
	refused(1, msg_region(0, 64), loop_fd);
	close(good);
	close(unsealed);
	close(read_only);
	close(pipes[0]);
	close(pipes[1]);
	close(file);
}

/* A page fault in a file of FUSE lasts as long as its server likes; of a disk, as long as the disk. */
static void region_that_is_not_of_memory_is_refused(void **state)
{
	int file = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct memif_msg msg = msg_region(1, 4096);
	struct statfs fs;
	struct peer p;

	if (file < 0 || fstatfs(file, &fs) < 0 || fs.f_type == TMPFS_MAGIC) {
		if (file >= 0)
			close(file);
		skip();
	}
	assert_int_equal(ftruncate(file, 4096), 0);
	peer_init(&p);
	peer_handshake(&p, 2);
	memif_sock_send(p.sock, &msg, file);
	peer_expect_hung_up(&p);
	peer_fini(&p);
	close(file);
}

static void more_regions_than_there_may_be_are_refused(void **state)
{
	struct memif_msg msg;
	struct peer p;

	peer_init(&p);
	peer_handshake(&p, 2);
	for (uint16_t i = 1; i < 16; i++) {
		msg = msg_region(i, PEER_SIZE);
		assert_int_equal(peer_say(&p, &msg, p.memfd), MEMIF_MSG_ACK);
	}
	msg = msg_region(16, PEER_SIZE);
	memif_sock_send(p.sock, &msg, p.memfd);
	peer_expect_hung_up(&p);
	peer_fini(&p);
}

static void regions_of_more_than_8_gib_together_are_refused(void **state)
{
	int huge = sealed_memfd(1ull << 40, F_SEAL_SHRINK); /* sparse */
	struct memif_msg msg;
	struct peer p;

	peer_init(&p);
	peer_handshake(&p, 2);
	msg = msg_region(1, 1ull << 40); /* of which 4 GiB can be addressed and are mapped */
	assert_int_equal(peer_say(&p, &msg, huge), MEMIF_MSG_ACK);
	msg.add_region.index = 2;
	memif_sock_send(p.sock, &msg, huge);
	peer_expect_hung_up(&p);
	peer_fini(&p);
	close(huge);
}

static void rings_that_lie_are_refused(void **state)
{
	struct memif_msg msg;
	int bell = eventfd(0, EFD_NONBLOCK), pipes[2];

	assert_int_equal(pipe(pipes), 0);
	refused(2, msg_ring(true, 0, PEER_SIZE), bell);
	refused(2, msg_ring(true, 0, PEER_SIZE - PEER_RING + 16), bell);
	refused(2, msg_ring(true, 0, UINT32_MAX - 15), bell);
	refused(2, msg_ring(true, 0, 8), bell);
	refused(2, msg_ring(true, 0, PEER_BUFFERS), bell); /* no cookie there */
	refused(2, msg_ring(true, 2, 0), bell);		   /* the port has two queues */
	refused(2, msg_ring(true, UINT16_MAX, 0), bell);
	refused(3, msg_ring(true, 0, 0), bell); /* twice */
	refused(1, msg_ring(true, 0, 0), bell); /* before its region */
	refused(2, msg_ring(true, 0, 0), -1);
	refused(2, msg_ring(true, 0, 0), pipes[1]);
	refused(2, msg_ring(true, 0, 0), loop_fd);
	for (unsigned log2 = 0; log2 < 256; log2 += log2 < 20 ? 1 : 47) {
		if (log2 >= 1 && log2 <= 14)
			continue;
		msg = msg_ring(true, 0, 0);
		msg.add_ring.log2_size = (uint8_t)log2;
		refused(2, msg, bell);
	}
	msg = msg_ring(true, 0, 0);
	msg.add_ring.region = 1;
	refused(2, msg, bell);
	msg.add_ring.region = UINT16_MAX;
	refused(2, msg, bell);
	close(bell);
	close(pipes[0]);
	close(pipes[1]);
}

static void ring_in_a_region_without_a_seal_is_refused(void **state)
{
	int unsealed = sealed_memfd(PEER_SIZE, 0);
	struct memif_msg msg = msg_region(1, PEER_SIZE);
	struct peer p;

	peer_init(&p);
	assert_int_equal(pwrite(unsealed, p.mem, PEER_BUFFERS, 0), PEER_BUFFERS); /* cookies and all */
	peer_handshake(&p, 2);
	assert_int_equal(peer_say(&p, &msg, unsealed), MEMIF_MSG_ACK);
	msg = msg_ring(true, 0, 0);
	msg.add_ring.region = 1;
	memif_sock_send(p.sock, &msg, p.bell[0]);
	peer_expect_hung_up(&p);
	peer_fini(&p);
	close(unsealed);
}

static void connect_without_all_rings_is_refused(void **state)
{
	struct memif_msg connect = {.type = MEMIF_MSG_CONNECT}, ring = msg_ring(true, 1, 0);
	struct peer p;

	refused(1, connect, -1);
	refused(2, connect, -1);
	refused(3, connect, -1); /* nothing from us to it */
	/* Ring 1 without ring 0. */
	peer_init(&p);
	peer_handshake(&p, 2);
	assert_int_equal(peer_say(&p, &ring, p.bell[0]), MEMIF_MSG_ACK);
	ring = msg_ring(false, 0, PEER_S2C);
	assert_int_equal(peer_say(&p, &ring, p.bell[1]), MEMIF_MSG_ACK);
	memif_sock_send(p.sock, &connect, -1);
	peer_expect_hung_up(&p);
	peer_fini(&p);
}

static void messages_out_of_turn_are_refused(void **state)
{
	/* What may come next after so many honest messages; everything else of 0..12 may not. */
	static const uint16_t fine[][3] = {
		{MEMIF_MSG_INIT},
		{MEMIF_MSG_ADD_REGION, MEMIF_MSG_ADD_RING, MEMIF_MSG_CONNECT},
		{MEMIF_MSG_ADD_REGION, MEMIF_MSG_ADD_RING, MEMIF_MSG_CONNECT},
		{MEMIF_MSG_ADD_REGION, MEMIF_MSG_ADD_RING, MEMIF_MSG_CONNECT},
		{MEMIF_MSG_ADD_REGION, MEMIF_MSG_ADD_RING, MEMIF_MSG_CONNECT},
		{0},
	};

	for (unsigned messages = 0; messages < COUNT(fine); messages++) {
		for (uint16_t type = 0; type < 12; type++) {
			bool skip = false;

			for (unsigned i = 0; i < 3; i++)
				skip |= type && type == fine[messages][i];
			if (!skip)
				refused(messages, (struct memif_msg){.type = type}, -1);
		}
		refused(messages, (struct memif_msg){.type = UINT16_MAX}, -1);
	}
}

static void messages_of_a_wrong_size_are_refused(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 64, 127, 129, 4096};
	uint8_t junk[4096];
	struct peer p;

	for (unsigned i = 0; i < COUNT(sizes); i++) {
		memset(junk, MEMIF_MSG_INIT, sizeof(junk));
		peer_init(&p);
		peer_handshake(&p, i % 3);
		assert_int_equal(send(p.sock, junk, sizes[i], 0), sizes[i]);
		peer_expect_hung_up(&p);
		peer_fini(&p);
	}
}

static void every_descriptor_of_a_message_is_closed(void **state)
{
	static const unsigned counts[] = {2, 3, 100, 253};
	int many[253];
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(many))];
	} control;
	struct peer p;

	for (unsigned i = 0; i < COUNT(many); i++)
		many[i] = loop_fd;
	for (unsigned i = 0; i < COUNT(counts); i++) {
		struct memif_msg msg = msg_init(0);
		struct iovec iov = {&msg, sizeof(msg)};
		struct msghdr mh = {.msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = CMSG_SPACE(counts[i] * sizeof(int))};

		memset(&control, 0, sizeof(control));
		control.head = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(counts[i] * sizeof(int))};
		memcpy(CMSG_DATA(&control.head), many, counts[i] * sizeof(int));
		peer_init(&p);
		peer_handshake(&p, 0);
		assert_int_equal(sendmsg(p.sock, &mh, 0), sizeof(msg));
		peer_expect_hung_up(&p);
		peer_fini(&p);
		assert_int_equal(count_fds(), fds);
	}
	/* One, where none belongs, is taken and closed. */
	peer_init(&p);
	peer_handshake(&p, 0);
	assert_int_equal(peer_say(&p, &(struct memif_msg){.type = MEMIF_MSG_INIT, .init.version = MEMIF_VERSION}, loop_fd),
			 MEMIF_MSG_ACK);
	peer_fini(&p);
}

static void silent_peer_is_hung_up_on_in_time(void **state)
{
	struct peer p;

	for (unsigned messages = 0; messages < 5; messages++) {
		peer_init(&p);
		peer_handshake(&p, messages);
		loop_advance(MEMIF_HANDSHAKE_MS - 1);
		assert_int_equal(peer_heard(&p), -EAGAIN);
		loop_advance(2);
		peer_expect_hung_up(&p);
		peer_fini(&p);
	}
	/* Connected, it may be silent for as long as it likes. */
	peer_connect(&p);
	loop_advance(100 * MEMIF_HANDSHAKE_MS);
	assert_true(is_up(&server));
	peer_fini(&p);
}

static void ten_thousand_connections_leave_nothing_behind(void **state)
{
	static int socks[10000];
	unsigned lines = n_logs, open_most = 0, n = 0;

	for (unsigned i = 0; i < COUNT(socks); i++) {
		socks[n] = memif_sock_connect(sock_path("a.sock"));
		if (socks[n] >= 0)
			n++;
		if (i % 50 == 0) {
			loop_idle();
			open_most = RTE_MAX(open_most, count_fds() - fds - n);
		}
		if (n >= 200) { /* ours have a limit too */
			for (unsigned k = 0; k < n; k++)
				close(socks[k]);
			n = 0;
		}
	}
	for (unsigned k = 0; k < n; k++)
		close(socks[k]);
	loop_idle();
	assert_in_range(open_most, 1, 32);
	assert_int_equal(count_fds(), fds);
	assert_in_range(n_logs - lines, 1, 40); /* 10,000 would be a flood of its own */
}

static void what_a_peer_calls_itself_is_made_printable(void **state)
{
	struct peer p;

	peer_connect(&p);
	assert_non_null(strstr(last_log, "peer?%s"));
	assert_null(strchr(last_log, '\n'));
	peer_fini(&p);
}

static void dead_peer_makes_room_at_once(void **state)
{
	struct peer first, second;

	peer_connect(&first);
	peer_init(&second);
	assert_int_equal(peer_heard(&second), MEMIF_MSG_HELLO);
	/* It dies and its successor speaks before we were told. */
	struct memif_msg init = msg_init(0);

	memif_sock_send(second.sock, &init, -1);
	close(first.sock);
	assert_int_equal(peer_heard(&second), MEMIF_MSG_ACK);
	peer_fini(&second);
	first.sock = eventfd(0, 0);
	peer_fini(&first);
}

/* --- the other role: a server that lies ---------------------------------------------------------------------------- */

static void server_that_lies_is_left_and_tried_again(void **state)
{
	static const struct memif_hello hello = {
		.min_version = MEMIF_VERSION, .max_version = MEMIF_VERSION, .max_log2_ring_size = 14};
	const struct memif_msg good = {.type = MEMIF_MSG_HELLO, .hello = hello};
	struct memif_msg first[8];
	struct kind_port client;
	struct dp_port_conf conf = {.client = true, .queues = 4};
	int listener;

	for (unsigned i = 0; i < COUNT(first); i++)
		first[i] = good;
	first[0].hello.max_version = 0x0100;
	first[1].hello.min_version = 0x0300;
	first[2].hello.max_log2_ring_size = 0;
	first[3].type = MEMIF_MSG_ACK;
	first[4].type = MEMIF_MSG_CONNECTED;
	first[5].type = MEMIF_MSG_INIT;
	first[6].type = MEMIF_MSG_DISCONNECT;
	memset(first[6].disconnect.reason, 'x', sizeof(first[6].disconnect.reason)); /* without an end */
	first[7].type = UINT16_MAX;

	snprintf(conf.path, sizeof(conf.path), "%s", sock_path("liar.sock"));
	listener = memif_sock_listen(conf.path);
	assert_true(listener >= 0);
	port_open(&client, conf);
	for (unsigned i = 0; i < COUNT(first) + 2; i++) {
		struct memif_msg msg;
		int sock = -1, fd;

		loop_advance(MEMIF_RETRY_MS);
		sock = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		assert_true(sock >= 0);
		if (i < COUNT(first)) {
			memif_sock_send(sock, &first[i], -1);
		} else if (i == COUNT(first)) { /* CONNECTED in answer to INIT */
			memif_sock_send(sock, &good, -1);
			loop_idle();
			assert_int_equal(memif_sock_recv(sock, &msg, &fd), 0);
			assert_int_equal(msg.type, MEMIF_MSG_INIT);
			memif_sock_send(sock, &(struct memif_msg){.type = MEMIF_MSG_CONNECTED}, -1);
		} else { /* ACK for ever: it sends each of its messages once and then hangs up */
			memif_sock_send(sock, &good, -1);
			for (unsigned k = 0; k < 100; k++) {
				memif_sock_send(sock, &(struct memif_msg){.type = MEMIF_MSG_ACK}, -1);
				loop_idle();
			}
		}
		loop_idle();
		while ((fd = -1, memif_sock_recv(sock, &msg, &fd)) == 0) {
			if (fd >= 0)
				close(fd);
		}
		assert_int_equal(recv(sock, &msg, sizeof(msg), MSG_DONTWAIT), 0);
		close(sock);
		assert_false(is_up(&client));
	}
	memif_kind.close(&client);
	close(listener);
	unlink(conf.path);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(init_that_does_not_fit_is_refused),
		CASE(regions_that_lie_are_refused),
		CASE(region_that_is_not_of_memory_is_refused),
		CASE(more_regions_than_there_may_be_are_refused),
		CASE(regions_of_more_than_8_gib_together_are_refused),
		CASE(rings_that_lie_are_refused),
		CASE(ring_in_a_region_without_a_seal_is_refused),
		CASE(connect_without_all_rings_is_refused),
		CASE(messages_out_of_turn_are_refused),
		CASE(messages_of_a_wrong_size_are_refused),
		CASE(every_descriptor_of_a_message_is_closed),
		CASE(silent_peer_is_hung_up_on_in_time),
		CASE(ten_thousand_connections_leave_nothing_behind),
		CASE(what_a_peer_calls_itself_is_made_printable),
		CASE(dead_peer_makes_room_at_once),
		CASE(server_that_lies_is_left_and_tried_again),
	};

	return cmocka_run_group_tests_name("memif_hostile", tests, env_setup, env_teardown);
}

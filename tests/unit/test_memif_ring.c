/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif rings against peers that write what they like into shared memory: a lie costs its frame, and nothing else.
 */
#include "test_memif_peer.h"

#include <signal.h>
#include <sys/wait.h>

#include "guard.h"

static struct kind_port server;
static struct peer peer;

static int setup(void **state)
{
	port_open(&server, (struct dp_port_conf){0});
	peer_connect(&peer);
	assert_true(is_up(&server));
	return 0;
}

static int teardown(void **state)
{
	peer_fini(&peer);
	memif_kind.close(&server);
	loop_idle();
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return 0;
}

static uint8_t *buffer_of(union memif_desc d)
{
	return peer.mem + d.offset;
}

/* Fill slot i of C2S with a frame of the pattern, without telling the server. */
static void peer_fill(uint16_t slot, uint32_t seed, uint32_t from, uint32_t len, uint16_t flags)
{
	union memif_desc *d = &peer.c2s->desc[slot % PEER_SLOTS];

	*d = (union memif_desc){.flags = flags, .length = len, .offset = PEER_BUFFERS + (slot % PEER_SLOTS) * PEER_BUFFER};
	for (uint32_t i = 0; i < len; i++)
		buffer_of(*d)[i] = pattern(seed, from + i);
}

static void peer_publish(uint16_t slots)
{
	__atomic_store_n(&peer.c2s->head, (uint16_t)(peer.c2s->head + slots), __ATOMIC_RELEASE);
}

/* An honest frame still comes through, and the server has taken all before it. */
static void still_receives(void)
{
	struct rte_mbuf *m;

	peer_fill(peer.c2s->head, 77, 0, 100, 0);
	peer_publish(1);
	assert_int_equal(port_rx(&server, &m, 1), 1);
	frame_expect(m, 77, 100);
	assert_int_equal(peer.c2s->head, peer.c2s->tail);
	assert_true(is_up(&server));
}

/* A descriptor of C2S that lies: its frame is dropped and counted, the honest one before and those behind it arrive. */
static void rx_lie(union memif_desc lie, uint64_t bad, uint64_t malformed)
{
	struct kind_lost before = lost_of(&server), after;
	struct rte_mbuf *m[8];
	uint16_t at = peer.c2s->head;

	peer_fill(at, 1, 0, 64, 0);
	peer_fill((uint16_t)(at + 1), 2, 0, 64, 0);
	peer.c2s->desc[(at + 1) % PEER_SLOTS] = lie;
	peer_fill((uint16_t)(at + 2), 3, 0, 64, 0);
	peer_fill((uint16_t)(at + 3), 4, 0, 64, 0);
	peer_publish(4);
	assert_int_equal(port_rx(&server, m, 8), 3);
	frame_expect(m[0], 1, 64);
	frame_expect(m[1], 3, 64);
	frame_expect(m[2], 4, 64);
	after = lost_of(&server);
	assert_int_equal(after.bad_descriptor - before.bad_descriptor, bad);
	assert_int_equal(after.malformed - before.malformed, malformed);
	still_receives();
}

static void descriptor_that_points_outside_costs_its_frame(void **state)
{
	static const union memif_desc lies[] = {
		{.region = 1, .length = 64, .offset = PEER_BUFFERS},
		{.region = 255, .length = 64, .offset = PEER_BUFFERS},
		{.region = UINT16_MAX, .length = 64},
		{.length = 64, .offset = PEER_SIZE - 63},
		{.length = 64, .offset = PEER_SIZE},
		{.length = 64, .offset = UINT32_MAX},
		{.length = 64, .offset = UINT32_MAX - 63},
		{.length = PEER_SIZE + 1, .offset = 0},
		{.length = UINT32_MAX, .offset = 0},
		{.length = UINT32_MAX, .offset = UINT32_MAX},
		{.length = UINT32_MAX - PEER_BUFFERS + 1, .offset = PEER_BUFFERS},
	};

	for (unsigned i = 0; i < COUNT(lies); i++)
		rx_lie(lies[i], 1, 0);
}

static void frame_of_no_bytes_or_too_many_costs_itself(void **state)
{
	rx_lie((union memif_desc){.length = 0, .offset = PEER_BUFFERS}, 0, 1);
	rx_lie((union memif_desc){.length = 65537, .offset = PEER_BUFFERS}, 0, 1);
	rx_lie((union memif_desc){.length = PEER_SIZE, .offset = 0}, 0, 1);
}

static void unknown_flags_mean_nothing(void **state)
{
	struct rte_mbuf *m;

	peer_fill(0, 5, 0, 64, 0xfffe);
	peer_publish(1);
	assert_int_equal(port_rx(&server, &m, 1), 1);
	frame_expect(m, 5, 64);
}

static void chain_is_put_together(void **state)
{
	struct rte_mbuf *m;

	peer_fill(0, 5, 0, 1, MEMIF_DESC_NEXT);
	peer_fill(1, 5, 1, 0, MEMIF_DESC_NEXT);
	peer_fill(2, 5, 1, 1999, MEMIF_DESC_NEXT);
	peer_fill(3, 5, 2000, 2048, MEMIF_DESC_NEXT);
	peer_fill(4, 5, 4048, 952, 0);
	peer_publish(5);
	assert_int_equal(port_rx(&server, &m, 1), 1);
	frame_expect(m, 5, 5000);
	still_receives();
}

static void chain_without_an_end_costs_what_it_claims(void **state)
{
	struct rte_mbuf *m[4];

	/* The whole ring points on and on. */
	for (uint16_t i = 0; i < PEER_SLOTS; i++)
		peer_fill(i, 0, 0, 64, MEMIF_DESC_NEXT);
	peer_publish(PEER_SLOTS);
	assert_int_equal(port_rx(&server, m, 4), 0);
	assert_int_equal(lost_of(&server).bad_descriptor, 1);
	still_receives();
}

static void lie_in_the_middle_of_a_chain_costs_all_of_it(void **state)
{
	struct rte_mbuf *m[4];

	for (uint16_t i = 0; i < 5; i++)
		peer_fill(i, 0, 0, 2048, i < 4 ? MEMIF_DESC_NEXT : 0);
	peer.c2s->desc[2].region = 7;
	peer_fill(5, 6, 0, 60, 0);
	peer_publish(6);
	assert_int_equal(port_rx(&server, m, 4), 1);
	frame_expect(m[0], 6, 60);
	assert_int_equal(lost_of(&server).bad_descriptor, 1);
	still_receives();
}

static void chain_of_more_than_64_kib_costs_itself(void **state)
{
	struct rte_mbuf *m[4];

	/* Eleven times the same 6000 bytes. */
	for (uint16_t i = 0; i < 11; i++) {
		peer_fill(i, 0, 0, 6000, i < 10 ? MEMIF_DESC_NEXT : 0);
		peer.c2s->desc[i].offset = PEER_BUFFERS;
	}
	peer_publish(11);
	assert_int_equal(port_rx(&server, m, 4), 0);
	assert_int_equal(lost_of(&server).malformed, 1);
	still_receives();
}

/* DPDK's driver overruns a full ring when it sends chained frames. */
static void sender_that_overruns_the_ring_loses_what_was_in_it_and_no_more(void **state)
{
	static const uint16_t claims[] = {PEER_SLOTS + 1, PEER_SLOTS + 100, 0x8000, UINT16_MAX};
	struct rte_mbuf *m[8];

	for (unsigned i = 0; i < COUNT(claims); i++) {
		peer_publish(claims[i]);
		assert_int_equal(port_rx(&server, m, 8), 0);
		assert_int_equal(peer.c2s->tail, peer.c2s->head);
		assert_int_equal(lost_of(&server).bad_descriptor, i + 1);
		still_receives();
	}
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static void peer_offer(uint16_t slots)
{
	__atomic_store_n(&peer.s2c->head, (uint16_t)(peer.s2c->head + slots), __ATOMIC_RELEASE);
}

static void still_sends(void)
{
	uint16_t at = peer.s2c->tail;
	struct rte_mbuf *m = frame_new(8, 64, UINT32_MAX);
	union memif_desc *d = &peer.s2c->desc[at % PEER_SLOTS];

	peer_offer((uint16_t)(at + 1 - peer.s2c->head));
	*d = (union memif_desc){.length = PEER_BUFFER, .offset = PEER_BUFFERS};
	assert_int_equal(port_tx(&server, &m, 1), 1);
	assert_int_equal(peer.s2c->tail, (uint16_t)(at + 1));
	assert_int_equal(d->length, 64);
	assert_int_equal(d->flags, 0);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(buffer_of(*d)[i], pattern(8, i));
}

static void buffer_that_points_outside_costs_one_frame(void **state)
{
	static const union memif_desc lies[] = {
		{.region = 1, .length = 2048, .offset = PEER_BUFFERS},
		{.region = UINT16_MAX, .length = 2048, .offset = PEER_BUFFERS},
		{.length = 2048, .offset = PEER_SIZE - 2047},
		{.length = 2048, .offset = UINT32_MAX - 10},
		{.length = UINT32_MAX, .offset = PEER_BUFFERS},
	};

	for (unsigned i = 0; i < COUNT(lies); i++) {
		uint16_t at = peer.s2c->tail;
		struct rte_mbuf *m[2] = {frame_new(0, 64, UINT32_MAX), frame_new(1, 64, UINT32_MAX)};

		peer.s2c->desc[at % PEER_SLOTS] = lies[i];
		peer.s2c->desc[(at + 1) % PEER_SLOTS] = (union memif_desc){.length = PEER_BUFFER, .offset = PEER_BUFFERS};
		peer_offer(2);
		assert_int_equal(port_tx(&server, m, 2), 2);
		assert_int_equal(lost_of(&server).bad_descriptor, i + 1);
		assert_int_equal(peer.s2c->desc[at % PEER_SLOTS].length, 0); /* given back with nothing in it */
		assert_int_equal(peer.s2c->desc[(at + 1) % PEER_SLOTS].length, 64);
		still_sends();
	}
}

static void small_buffers_are_chained(void **state)
{
	struct rte_mbuf *m = frame_new(4, 150, UINT32_MAX);

	for (unsigned i = 0; i < PEER_SLOTS; i++)
		peer.s2c->desc[i].length = 64;
	peer_offer(3);
	assert_int_equal(port_tx(&server, &m, 1), 1);
	assert_int_equal(peer.s2c->tail, 3);
	for (uint32_t i = 0; i < 150; i++)
		assert_int_equal(buffer_of(peer.s2c->desc[i / 64])[i % 64], pattern(4, i));
	assert_int_equal(peer.s2c->desc[0].flags, MEMIF_DESC_NEXT);
	assert_int_equal(peer.s2c->desc[1].flags, MEMIF_DESC_NEXT);
	assert_int_equal(peer.s2c->desc[2].flags, 0);
	assert_int_equal(peer.s2c->desc[2].length, 150 - 128);
	still_sends();
}

static void frame_that_the_whole_ring_cannot_hold_is_dropped_and_counted(void **state)
{
	struct rte_mbuf *m = frame_new(4, 9000, UINT32_MAX);

	for (unsigned i = 0; i < PEER_SLOTS; i++)
		peer.s2c->desc[i].length = i % 2 ? 64 : 0;
	peer_offer(PEER_SLOTS - 1);
	assert_int_equal(port_tx(&server, &m, 1), 0); /* it might yet */
	peer_offer(1);
	assert_int_equal(port_tx(&server, &m, 1), 1);
	assert_int_equal(lost_of(&server).truncated, 1);
	assert_int_equal(peer.s2c->tail, 0);
	still_sends();
}

static void impossible_offer_ends_the_connection_and_the_next_peer_is_served(void **state)
{
	static const uint16_t heads[] = {PEER_SLOTS + 1, 0x8000, UINT16_MAX};

	for (unsigned i = 0; i < COUNT(heads); i++) {
		struct rte_mbuf *m = frame_new(0, 64, UINT32_MAX);

		peer.s2c->head = heads[i];
		assert_int_equal(port_tx(&server, &m, 1), 0);
		rte_pktmbuf_free(m);
		loop_idle();
		assert_false(is_up(&server));
		peer_expect_hung_up(&peer);
		peer_fini(&peer);
		peer_connect(&peer);
		still_sends();
	}
	assert_int_equal(lost_of(&server).bad_descriptor, COUNT(heads));
}

/* What lies behind a frame in its buffer belongs to somebody else. */
static void not_a_byte_beyond_the_frame_is_sent(void **state)
{
	for (uint32_t len = 1; len < 300; len++) {
		uint16_t at = peer.s2c->tail;
		union memif_desc *d = &peer.s2c->desc[at % PEER_SLOTS];
		struct rte_mbuf *m = frame_new(1, len, UINT32_MAX);

		memset(rte_pktmbuf_mtod_offset(m, uint8_t *, len), 0xee, 200);
		*d = (union memif_desc){.length = PEER_BUFFER, .offset = PEER_BUFFERS};
		memset(buffer_of(*d), 0x11, 600);
		peer_offer(1);
		assert_int_equal(port_tx(&server, &m, 1), 1);
		for (uint32_t i = 0; i < 600; i++)
			assert_int_equal(buffer_of(*d)[i], i < len ? pattern(1, i) : 0x11);
	}
}

/* --- memory that goes away, bells that block ----------------------------------------------------------------------- */

static void file_that_is_cut_off_ends_the_connection_and_not_the_switch(void **state)
{
	int soft = sealed_memfd(PEER_SIZE, 0);
	struct memif_msg msg = msg_region(1, PEER_SIZE),
			 rest[] = {msg_ring(true, 0, 0), msg_ring(false, 0, PEER_S2C), {.type = MEMIF_MSG_CONNECT}};
	struct rte_mbuf *m = frame_new(0, 64, UINT32_MAX), *out = NULL;
	uint16_t n;

	for (unsigned way = 0; way < 2; way++) {
		/* As a zero-copy client: frames in a second region, which DPDK does not seal. */
		peer_fini(&peer);
		peer_init(&peer);
		assert_int_equal(ftruncate(soft, PEER_SIZE), 0);
		peer_handshake(&peer, 2);
		assert_int_equal(peer_say(&peer, &msg, soft), MEMIF_MSG_ACK);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(peer_say(&peer, &rest[i], i < 2 ? peer.bell[i] : -1),
					 i < 2 ? MEMIF_MSG_ACK : MEMIF_MSG_CONNECTED);
		peer.c2s->desc[0] = peer.s2c->desc[0] = (union memif_desc){.region = 1, .length = 64};
		still_sends();
		peer.s2c->desc[1] = (union memif_desc){.region = 1, .length = 64};

		assert_int_equal(ftruncate(soft, 0), 0);
		peer_publish(1);
		peer_offer(1);
		if (way) {
			assert_int_equal(port_tx(&server, &m, 1), 1);
		} else {
			n = port_rx(&server, &out, 1);
			assert_int_equal(n, 1); /* of zeros */
			rte_pktmbuf_free(out);
		}
		loop_idle();
		assert_false(is_up(&server));
		assert_non_null(strstr(last_log, "took away memory"));
		peer_expect_hung_up(&peer);
	}
	close(soft);
}

static void fault_that_is_not_a_peers_kills_as_ever(void **state)
{
	int status, soft = sealed_memfd(4096, 0);
	volatile uint8_t *mine = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, soft, 0);
	pid_t child = fork();

	if (child == 0) {
		signal(SIGBUS, SIG_DFL); /* cmocka has a handler of its own */
		guard_add(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096, loop_fd);
		if (ftruncate(soft, 0) == 0)
			mine[0] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap((void *)mine, 4096);
	close(soft);
}

static void bell_that_would_block_does_not(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	uint64_t n;

	/* The peer shares the open file: it makes it blocking and fills it. A plain write would now wait for ever. */
	assert_int_equal(fcntl(peer.bell[1], F_SETFL, 0), 0);
	assert_int_equal(write(peer.bell[1], &full, sizeof(full)), sizeof(full));
	still_sends();
	assert_int_equal(read(peer.bell[1], &n, sizeof(n)), sizeof(n));
	/* And the one that we are rung by, empty. */
	assert_int_equal(fcntl(peer.bell[0], F_SETFL, 0), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(memif_kind.rx_arm(&server, 0), 0);
		memif_kind.rx_disarm(&server, 0);
	}
	still_receives();
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void bell_that_rings_for_nothing_does_not_keep_a_worker_awake(void **state)
{
	int fd = memif_kind.rx_fd(&server, 0);
	unsigned awake = 0;

	still_receives();
	assert_int_equal(memif_kind.rx_arm(&server, 0), 0);
	memif_kind.rx_disarm(&server, 0);
	assert_false(readable(fd));
	assert_int_equal(eventfd_write(peer.bell[0], UINT64_MAX - 1), 0);
	assert_true(readable(fd));
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(memif_kind.rx_arm(&server, 0), 0);
		awake += readable(fd);
		memif_kind.rx_disarm(&server, 0);
	}
	assert_in_range(awake, 0, 10);
}

static void bell_of_a_peer_that_left_wakes_nobody(void **state)
{
	int bell = dup(peer.bell[0]);

	peer_fini(&peer);
	peer_connect(&peer);
	assert_int_equal(eventfd_write(bell, 1), 0);
	assert_false(readable(memif_kind.rx_fd(&server, 0)));
	assert_int_equal(eventfd_write(peer.bell[0], 1), 0);
	assert_true(readable(memif_kind.rx_fd(&server, 0)));
	close(bell);
}

static void ring_is_masked_while_it_is_polled_and_rings_when_armed(void **state)
{
	int fd = memif_kind.rx_fd(&server, 0);
	struct rte_mbuf *m;

	assert_int_equal(peer.c2s->flags, 0); /* whoever sleeps while a peer connects is woken */
	still_receives();
	assert_int_equal(peer.c2s->flags, MEMIF_RING_MASK_INT);
	assert_int_equal(memif_kind.rx_arm(&server, 0), 0);
	assert_int_equal(peer.c2s->flags, 0);
	assert_false(readable(fd));
	peer_fill(peer.c2s->head, 3, 0, 64, 0);
	peer_publish(1);
	assert_int_equal(eventfd_write(peer.bell[0], 1), 0);
	assert_true(readable(fd));
	memif_kind.rx_disarm(&server, 0);
	assert_int_equal(peer.c2s->flags, MEMIF_RING_MASK_INT);
	assert_int_equal(memif_kind.rx_arm(&server, 0), 1); /* frames are there: no sleep */
	assert_int_equal(port_rx(&server, &m, 1), 1);
	frame_expect(m, 3, 64);
	memif_kind.rx_disarm(&server, 0);
	assert_int_equal(memif_kind.rx_arm(&server, 0), 0);
	assert_false(readable(fd));
}

static void peer_that_polls_is_not_rung(void **state)
{
	peer.s2c->flags = MEMIF_RING_MASK_INT;
	still_sends();
	assert_false(readable(peer.bell[1]));
	peer.s2c->flags = 0;
	still_sends();
	assert_true(readable(peer.bell[1]));
}

/* --- the other role ------------------------------------------------------------------------------------------------ */

/* A hostile server: our client's region, mapped by it. */
static void client_believes_only_length_and_flags(void **state)
{
	struct dp_port_conf conf = {.client = true, .ring = 64};
	struct memif_ring *c2s = NULL, *s2c = NULL;
	struct rte_mbuf *m[4];
	struct kind_port client;
	struct memif_msg msg;
	uint8_t *mem = NULL;
	int listener, sock, fd;

	snprintf(conf.path, sizeof(conf.path), "%s", sock_path("b.sock"));
	listener = memif_sock_listen(conf.path);
	port_open(&client, conf);
	loop_advance(MEMIF_RETRY_MS);
	sock = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	msg = (struct memif_msg){.type = MEMIF_MSG_HELLO,
				 .hello = {.min_version = 0x0200, .max_version = 0x0200, .max_log2_ring_size = 14}};
	memif_sock_send(sock, &msg, -1);
	for (;;) {
		loop_idle();
		assert_int_equal(memif_sock_recv(sock, &msg, &fd), 0);
		if (msg.type == MEMIF_MSG_ADD_REGION) {
			mem = mmap(NULL, msg.add_region.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			assert_ptr_not_equal(mem, MAP_FAILED);
			assert_int_equal(ftruncate(fd, 0), -1); /* sealed: we cannot harm a server either */
		} else if (msg.type == MEMIF_MSG_ADD_RING) {
			*(msg.add_ring.flags & MEMIF_ADD_RING_C2S ? &c2s : &s2c) = (struct memif_ring *)(mem + msg.add_ring.offset);
		}
		if (fd >= 0)
			close(fd);
		if (msg.type == MEMIF_MSG_CONNECT)
			break;
		memif_sock_send(sock, &(struct memif_msg){.type = MEMIF_MSG_ACK}, -1);
	}
	memif_sock_send(sock, &(struct memif_msg){.type = MEMIF_MSG_CONNECTED}, -1);
	loop_idle();
	assert_true(is_up(&client));
	if (!c2s || !s2c) {
		fail_msg("no rings");
		return;
	}
	assert_int_equal(s2c->head, 64); /* all buffers offered */

	/* A frame longer than its buffer, one of a foreign place, and an honest one. */
	for (uint32_t i = 0; i < 64; i++)
		mem[s2c->desc[1].offset + i] = mem[s2c->desc[2].offset + i] = pattern(6, i);
	s2c->desc[0].length = 2049;
	s2c->desc[1].length = 64;
	s2c->desc[1].region = 77;
	s2c->desc[1].offset = UINT32_MAX;
	s2c->desc[2].length = 64;
	__atomic_store_n(&s2c->tail, 3, __ATOMIC_RELEASE);
	assert_int_equal(port_rx(&client, m, 4), 2);
	frame_expect(m[0], 6, 64);
	frame_expect(m[1], 6, 64);
	assert_int_equal(lost_of(&client).bad_descriptor, 1);
	assert_int_equal(s2c->desc[1].region, 0); /* offered again as it should be */
	assert_int_equal(s2c->desc[0].length, 2048);

	/* It claims more than the ring has: dropped, and all buffers are offered again. */
	s2c->desc[40].region = 9;
	s2c->tail = (uint16_t)(s2c->head + 5);
	assert_int_equal(port_rx(&client, m, 4), 0);
	assert_int_equal(lost_of(&client).bad_descriptor, 2);
	assert_int_equal(s2c->head, (uint16_t)(s2c->tail + 64));
	assert_int_equal(s2c->desc[40].region, 0);

	/* It took more than was sent. */
	c2s->tail = 1;
	m[0] = frame_new(0, 64, UINT32_MAX);
	assert_int_equal(port_tx(&client, m, 1), 0);
	rte_pktmbuf_free(m[0]);
	loop_idle();
	assert_false(is_up(&client));
	munmap(mem, 1);
	memif_kind.close(&client);
	close(sock);
	close(listener);
	unlink(conf.path);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(descriptor_that_points_outside_costs_its_frame),
		CASE(frame_of_no_bytes_or_too_many_costs_itself),
		CASE(unknown_flags_mean_nothing),
		CASE(chain_is_put_together),
		CASE(chain_without_an_end_costs_what_it_claims),
		CASE(lie_in_the_middle_of_a_chain_costs_all_of_it),
		CASE(chain_of_more_than_64_kib_costs_itself),
		CASE(sender_that_overruns_the_ring_loses_what_was_in_it_and_no_more),
		CASE(buffer_that_points_outside_costs_one_frame),
		CASE(small_buffers_are_chained),
		CASE(frame_that_the_whole_ring_cannot_hold_is_dropped_and_counted),
		CASE(impossible_offer_ends_the_connection_and_the_next_peer_is_served),
		CASE(not_a_byte_beyond_the_frame_is_sent),
		CASE(file_that_is_cut_off_ends_the_connection_and_not_the_switch),
		CASE(fault_that_is_not_a_peers_kills_as_ever),
		CASE(bell_that_would_block_does_not),
		CASE(bell_that_rings_for_nothing_does_not_keep_a_worker_awake),
		CASE(bell_of_a_peer_that_left_wakes_nobody),
		CASE(ring_is_masked_while_it_is_polled_and_rings_when_armed),
		CASE(peer_that_polls_is_not_rung),
		CASE(client_believes_only_length_and_flags),
	};

	return cmocka_run_group_tests_name("memif_ring", tests, env_setup, env_teardown);
}

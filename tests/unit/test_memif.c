/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif ports against each other: what goes in at one end comes out at the other.
 */
#include "test_memif_env.h"

static void frames_of_every_size_arrive_unchanged_both_ways(void **state)
{
	static const uint32_t more[] = {1, 13, 14, 31, 32, 33, 2047, 2048, 2049, 4096, 4097, 65535, 65536};
	struct pair p;

	pair_open(&p, 0, 1);
	for (uint32_t len = 60; len <= 9216; len += len < 2200 ? 1 : 37) {
		pass_frame(&p.client, &p.server, len, len, UINT32_MAX);
		pass_frame(&p.server, &p.client, len + 1, len, UINT32_MAX);
	}
	for (unsigned i = 0; i < COUNT(more); i++) {
		pass_frame(&p.client, &p.server, i, more[i], UINT32_MAX);
		pass_frame(&p.server, &p.client, i, more[i], UINT32_MAX);
	}
	pair_close(&p);
}

static void bursts_keep_their_order(void **state)
{
	struct rte_mbuf *m[64];
	struct pair p;

	pair_open(&p, 256, 1);
	for (uint16_t n = 1; n <= 64; n++) {
		/* Every fifth frame is long, so that common and slow path alternate. */
		for (uint16_t i = 0; i < n; i++)
			m[i] = frame_new(i, i % 5 == 4 ? 5000 : 64u + i, UINT32_MAX);
		assert_int_equal(port_tx(&p.server, m, n), n);
		assert_int_equal(port_rx(&p.client, m, 64), n);
		for (uint16_t i = 0; i < n; i++)
			frame_expect(m[i], i, i % 5 == 4 ? 5000 : 64u + i);
	}
	pair_close(&p);
}

static void chained_frames_are_sent_in_one_piece(void **state)
{
	static const uint32_t segs[] = {1, 7, 64, 128, 1000, 2048};
	struct pair p;

	pair_open(&p, 0, 1);
	for (unsigned i = 0; i < COUNT(segs); i++) {
		for (uint32_t len = 60; len <= (segs[i] < 7 ? 300 : 9216); len += 311) {
			pass_frame(&p.client, &p.server, i, len, segs[i]);
			pass_frame(&p.server, &p.client, i, len, segs[i]);
		}
	}
	pair_close(&p);
}

static void empty_segments_are_passed_over(void **state)
{
	struct rte_mbuf *m, *empty;
	struct pair p;

	pair_open(&p, 0, 1);
	m = frame_new(3, 600, 300);
	empty = rte_pktmbuf_alloc(pool);
	empty->next = m->next;
	m->next = empty;
	m->nb_segs++;
	assert_int_equal(port_tx(&p.client, &m, 1), 1);
	assert_int_equal(port_rx(&p.server, &m, 1), 1);
	frame_expect(m, 3, 600);
	pair_close(&p);
}

static void shared_frames_are_sent_unwritten_and_stay_with_their_other_holders(void **state)
{
	struct rte_mbuf *m, *out, *clone;
	struct pair p;

	pair_open(&p, 0, 1);
	for (uint32_t len = 64; len <= 9000; len += 4468) {
		m = frame_new(1, len, UINT32_MAX);
		clone = rte_pktmbuf_clone(m, pool); /* indirect, as a flood makes them */
		for (struct rte_mbuf *s = m; s; s = s->next)
			rte_mbuf_refcnt_update(s, 1);
		out = m;
		assert_int_equal(port_tx(&p.server, &out, 1), 1);
		assert_int_equal(port_rx(&p.client, &out, 1), 1);
		frame_expect(out, 1, len);
		out = clone;
		assert_int_equal(port_tx(&p.server, &out, 1), 1);
		assert_int_equal(port_rx(&p.client, &out, 1), 1);
		frame_expect(out, 1, len);
		assert_int_equal(rte_mbuf_refcnt_read(m), 1);
		frame_expect(m, 1, len);
	}
	pair_close(&p);
}

static void indices_wrap_around(void **state)
{
	struct rte_mbuf *m[32];
	struct pair p;

	pair_open(&p, 64, 1);
	for (uint32_t sent = 0; sent < 3 * 65536;) {
		for (unsigned way = 0; way < 2; way++) {
			struct kind_port *from = way ? &p.server : &p.client, *to = way ? &p.client : &p.server;

			for (unsigned i = 0; i < 31; i++)
				m[i] = frame_new(sent + i, 64, UINT32_MAX);
			assert_int_equal(port_tx(from, m, 31), 31);
			assert_int_equal(port_rx(to, m, 32), 31);
			for (unsigned i = 0; i < 31; i++)
				frame_expect(m[i], sent + i, 64);
		}
		sent += 31;
	}
	pair_close(&p);
}

static void full_ring_takes_no_more_and_loses_nothing(void **state)
{
	struct rte_mbuf *m[64], *extra;
	struct pair p;

	pair_open(&p, 64, 1);
	for (unsigned way = 0; way < 2; way++) {
		struct kind_port *from = way ? &p.server : &p.client, *to = way ? &p.client : &p.server;

		for (unsigned i = 0; i < 64; i++)
			m[i] = frame_new(i, 100, UINT32_MAX);
		assert_int_equal(port_tx(from, m, 64), 64);
		extra = frame_new(64, 100, UINT32_MAX);
		assert_int_equal(port_tx(from, &extra, 1), 0);
		assert_int_equal(port_rx(to, m, 1), 1);
		frame_expect(m[0], 0, 100);
		assert_int_equal(port_tx(from, &extra, 1), 1);
		assert_int_equal(port_rx(to, m, 64), 64);
		for (unsigned i = 0; i < 64; i++)
			frame_expect(m[i], i + 1, 100);
	}
	pair_close(&p);
}

/* A sender that starts to fill slots before it knows that they suffice leaves them short. */
static void frame_that_does_not_fit_leaves_the_buffers_whole(void **state)
{
	struct rte_mbuf *m[64], *big;
	struct pair p;

	pair_open(&p, 64, 1);
	for (unsigned way = 0; way < 2; way++) {
		struct kind_port *from = way ? &p.server : &p.client, *to = way ? &p.client : &p.server;

		for (unsigned i = 0; i < 62; i++)
			m[i] = frame_new(i, 60, UINT32_MAX);
		assert_int_equal(port_tx(from, m, 62), 62);
		big = frame_new(99, 9216, UINT32_MAX);
		assert_int_equal(port_tx(from, &big, 1), 0); /* two slots are free, five needed */
		m[62] = frame_new(62, 2048, UINT32_MAX);
		m[63] = frame_new(63, 2048, UINT32_MAX);
		assert_int_equal(port_tx(from, m + 62, 2), 2);
		assert_int_equal(port_rx(to, m, 64), 64);
		for (unsigned i = 0; i < 64; i++)
			frame_expect(m[i], i, i < 62 ? 60 : 2048);
		assert_int_equal(port_tx(from, &big, 1), 1);
		assert_int_equal(port_rx(to, m, 1), 1);
		frame_expect(m[0], 99, 9216);
	}
	pair_close(&p);
}

static void frame_longer_than_64_kib_is_dropped_and_counted(void **state)
{
	struct rte_mbuf *m[2];
	struct pair p;

	pair_open(&p, 64, 1);
	m[0] = frame_new(0, 65537, UINT32_MAX);
	m[1] = frame_new(1, 64, UINT32_MAX);
	assert_int_equal(port_tx(&p.server, m, 2), 2);
	assert_int_equal(lost_of(&p.server).truncated, 1);
	assert_int_equal(port_rx(&p.client, m, 2), 1);
	frame_expect(m[0], 1, 64);
	pair_close(&p);
}

static void without_buffers_frames_wait_in_the_ring(void **state)
{
	static struct rte_mbuf *hoard[8192];
	struct rte_mbuf *m[8];
	unsigned n = 0;
	struct pair p;

	pair_open(&p, 64, 1);
	for (unsigned i = 0; i < 8; i++)
		m[i] = frame_new(i, i == 5 ? 9000 : 64, UINT32_MAX);
	assert_int_equal(port_tx(&p.client, m, 8), 8);
	while ((hoard[n] = rte_pktmbuf_alloc(pool)))
		n++;
	assert_int_equal(port_rx(&p.server, m, 8), 0);
	rte_pktmbuf_free(hoard[--n]);
	assert_int_equal(port_rx(&p.server, m, 8), 1);
	frame_expect(m[0], 0, 64); /* which frees one buffer again */
	rte_pktmbuf_free_bulk(hoard, n);
	assert_int_equal(port_rx(&p.server, m, 8), 7);
	for (unsigned i = 0; i < 7; i++)
		frame_expect(m[i], i + 1, i + 1 == 5 ? 9000 : 64);
	pair_close(&p);
}

/* --- connections --------------------------------------------------------------------------------------------------- */

static void without_a_peer_nothing_is_taken_or_received(void **state)
{
	struct kind_port server;
	struct rte_mbuf *m = frame_new(0, 64, UINT32_MAX), *out;

	port_open(&server, (struct dp_port_conf){0});
	assert_false(is_up(&server));
	assert_int_equal(port_tx(&server, &m, 1), 0);
	assert_int_equal(port_rx(&server, &out, 1), 0);
	assert_int_equal(memif_kind.rx_arm(&server, 0), 0);
	memif_kind.rx_disarm(&server, 0);
	rte_pktmbuf_free(m);
	memif_kind.close(&server);
}

static void client_waits_for_its_server(void **state)
{
	struct pair p;

	port_open(&p.client, (struct dp_port_conf){.client = true});
	loop_advance(3000);
	assert_false(is_up(&p.client));
	port_open(&p.server, (struct dp_port_conf){0});
	WAIT_FOR(is_up(&p.server) && is_up(&p.client));
	pass_frame(&p.client, &p.server, 1, 64, UINT32_MAX);
	pair_close(&p);
}

static unsigned count_shared_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	char line[512];

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "sluice-memif") != NULL;
	fclose(f);
	return n;
}

static void either_side_may_come_back(void **state)
{
	unsigned fds = 0;
	struct pair p;

	pair_open(&p, 0, 2);
	for (unsigned i = 0; i < 20; i++) {
		if (i == 1)
			fds = count_fds();
		n_changed = n_quiesced = 0;
		if (i % 2) {
			memif_kind.close(&p.server);
			WAIT_FOR(!is_up(&p.client));
			port_open(&p.server, (struct dp_port_conf){.queues = 2});
		} else {
			memif_kind.close(&p.client);
			WAIT_FOR(!is_up(&p.server));
			port_open(&p.client, (struct dp_port_conf){.client = true, .queues = 2});
		}
		/* The side that stayed told of the loss, and waited for the workers before it let go. */
		assert_int_equal(n_changed, 1);
		assert_int_equal(n_quiesced, 1);
		WAIT_FOR(is_up(&p.server) && is_up(&p.client));
		pass_frame(&p.client, &p.server, i, 1500, UINT32_MAX);
		pass_frame(&p.server, &p.client, i, 9000, UINT32_MAX);
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_shared_maps(), 2); /* of one region: the client's and the server's */
	pair_close(&p);
}

static void frames_in_the_ring_of_a_lost_peer_are_gone_and_nothing_leaks(void **state)
{
	struct rte_mbuf *m[32];
	struct pair p;

	pair_open(&p, 0, 1);
	for (unsigned i = 0; i < 32; i++)
		m[i] = frame_new(i, 64, UINT32_MAX);
	assert_int_equal(port_tx(&p.client, m, 32), 32);
	memif_kind.close(&p.client);
	WAIT_FOR(!is_up(&p.server));
	assert_int_equal(port_rx(&p.server, m, 32), 0);
	port_open(&p.client, (struct dp_port_conf){.client = true});
	WAIT_FOR(is_up(&p.server) && is_up(&p.client));
	assert_int_equal(port_rx(&p.server, m, 32), 0);
	pass_frame(&p.client, &p.server, 5, 64, UINT32_MAX);
	pair_close(&p);
}

static void secret_decides_who_may_connect(void **state)
{
	static const struct {
		const char *server, *client;
		bool up;
	} cases[] = {
		{"", "", true},
		{"", "unasked", true},
		{"open sesame", "open sesame", true},
		{"open sesame", "open sesam", false},
		{"open sesame", "open sesame!", false},
		{"open sesame", "", false},
		{"twenty-four characters!!", "twenty-four characters!!", true},
		{"twenty-four characters!!", "twenty-four characters!?", false},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct dp_port_conf server = {0}, client = {.client = true};
		struct pair p;

		snprintf(server.secret, sizeof(server.secret), "%s", cases[i].server);
		snprintf(client.secret, sizeof(client.secret), "%s", cases[i].client);
		port_open(&p.server, server);
		port_open(&p.client, client);
		loop_advance(500);
		assert_int_equal(is_up(&p.server), cases[i].up);
		assert_int_equal(is_up(&p.client), cases[i].up);
		pair_close(&p);
	}
}

static void ids_share_one_path_and_each_gets_its_own(void **state)
{
	struct kind_port server[3], client[3], twin;
	struct dp_error err = {0};

	for (uint32_t i = 0; i < 3; i++)
		port_open(&server[i], (struct dp_port_conf){.id = i * 7});
	assert_int_equal(port_try(&twin, (struct dp_port_conf){.id = 7}, 1, &err), -EEXIST);
	assert_string_equal(err.attr, "id");
	for (uint32_t i = 0; i < 3; i++)
		port_open(&client[i], (struct dp_port_conf){.id = (2 - i) * 7, .client = true});
	WAIT_FOR(is_up(&server[0]) && is_up(&server[1]) && is_up(&server[2]));
	WAIT_FOR(is_up(&client[0]) && is_up(&client[1]) && is_up(&client[2]));
	for (uint32_t i = 0; i < 3; i++)
		pass_frame(&client[i], &server[2 - i], i, 64, UINT32_MAX);

	/* One of them goes; the others do not notice. */
	memif_kind.close(&server[1]);
	loop_idle();
	assert_false(is_up(&client[1]));
	pass_frame(&client[0], &server[2], 1, 64, UINT32_MAX);
	pass_frame(&server[0], &client[2], 2, 64, UINT32_MAX);
	port_open(&twin, (struct dp_port_conf){.id = 7});
	WAIT_FOR(is_up(&twin) && is_up(&client[1]));
	for (uint32_t i = 0; i < 3; i++)
		memif_kind.close(&client[i]);
	memif_kind.close(&twin);
	memif_kind.close(&server[0]);
	memif_kind.close(&server[2]);
	loop_idle();
}

static void wrong_id_is_refused(void **state)
{
	struct kind_port server, client;

	port_open(&server, (struct dp_port_conf){.id = 1});
	port_open(&client, (struct dp_port_conf){.id = 2, .client = true});
	loop_advance(200);
	assert_false(is_up(&server) || is_up(&client));
	memif_kind.close(&client);
	memif_kind.close(&server);
	loop_idle();
}

static void second_client_of_an_id_is_refused_until_the_first_leaves(void **state)
{
	struct kind_port second;
	struct pair p;

	pair_open(&p, 0, 1);
	port_open(&second, (struct dp_port_conf){.client = true});
	loop_advance(200);
	assert_false(is_up(&second));
	pass_frame(&p.client, &p.server, 1, 64, UINT32_MAX);
	memif_kind.close(&p.client);
	WAIT_FOR(is_up(&second) && is_up(&p.server));
	pass_frame(&second, &p.server, 2, 64, UINT32_MAX);
	memif_kind.close(&second);
	memif_kind.close(&p.server);
	loop_idle();
}

static void socket_file_of_the_dead_is_replaced_and_of_the_living_is_not(void **state)
{
	struct kind_port first, second;
	struct dp_error err = {0};
	char stale[96];
	int sock, file;

	/* What a killed process leaves. */
	snprintf(stale, sizeof(stale), "%s", sock_path("a.sock"));
	sock = memif_sock_listen(stale);
	assert_true(sock >= 0);
	close(sock);
	port_open(&first, (struct dp_port_conf){0});
	memif_kind.close(&first);
	assert_int_equal(access(stale, F_OK), -1);

	/* Somebody else's listener, and somebody's file. */
	sock = memif_sock_listen(stale);
	assert_int_equal(port_try(&second, (struct dp_port_conf){0}, 1, &err), -EADDRINUSE);
	assert_string_equal(err.attr, "path");
	close(sock);
	unlink(stale);
	file = open(stale, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(port_try(&second, (struct dp_port_conf){0}, 1, &err), -EADDRINUSE);
	assert_int_equal(access(stale, F_OK), 0);
	close(file);
	unlink(stale);
}

static void queues_are_as_many_as_both_have(void **state)
{
	static const uint16_t cases[][2] = {{1, 4}, {4, 1}, {3, 3}, {16, 2}, {2, 16}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		uint16_t both = RTE_MIN(cases[i][0], cases[i][1]);
		struct pair p;

		port_open(&p.server, (struct dp_port_conf){.queues = cases[i][0]});
		port_open(&p.client, (struct dp_port_conf){.queues = cases[i][1], .client = true, .ring = 64});
		WAIT_FOR(is_up(&p.server) && is_up(&p.client));
		for (unsigned way = 0; way < 2; way++) {
			struct kind_port *from = way ? &p.server : &p.client, *to = way ? &p.client : &p.server;

			/* Every queue can send: those beyond use the rings that there are. */
			for (uint16_t q = 0; q < from->n_queues; q++) {
				struct rte_mbuf *m = frame_new(q, 64, UINT32_MAX), *out = NULL;

				assert_int_equal(from->tx(from->txq[q], &m, 1), 1);
				for (uint16_t r = 0; r < to->n_queues; r++)
					assert_int_equal(to->rx(to->rxq[r], &out, 1), r == q % both);
				frame_expect(out, q, 64);
			}
		}
		pair_close(&p);
	}
}

static void attributes_of_other_kinds_are_refused(void **state)
{
	static const struct {
		struct dp_port_conf conf;
		const char *attr; /* NULL: accepted */
	} cases[] = {
		{{.path = "/run/a"}, NULL},
		{{.path = "/run/a", .ring = 64, .queues = 16, .secret = "s", .id = UINT32_MAX}, NULL},
		{{.path = "/run/a", .ring = 16384}, NULL},
		{{.path = ""}, "path"},
		{{.path = "/run/a", .ring = 100}, "ring"},
		{{.path = "/run/a", .ring = 32}, "ring"},
		{{.path = "/run/a", .ring = 32768}, "ring"},
		{{.path = "/run/a", .queues = 17}, "queues"},
		{{.path = "/run/a", .ifname = "eth0"}, "ifname"},
		{{.path = "/run/a", .devargs = "net_null0"}, "devargs"},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct dp_error err = {0};

		assert_int_equal(memif_kind.validate(&cases[i].conf, &err), cases[i].attr ? -EINVAL : 0);
		assert_string_equal(err.attr, cases[i].attr ? cases[i].attr : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_every_size_arrive_unchanged_both_ways),
		cmocka_unit_test(bursts_keep_their_order),
		cmocka_unit_test(chained_frames_are_sent_in_one_piece),
		cmocka_unit_test(empty_segments_are_passed_over),
		cmocka_unit_test(shared_frames_are_sent_unwritten_and_stay_with_their_other_holders),
		cmocka_unit_test(indices_wrap_around),
		cmocka_unit_test(full_ring_takes_no_more_and_loses_nothing),
		cmocka_unit_test(frame_that_does_not_fit_leaves_the_buffers_whole),
		cmocka_unit_test(frame_longer_than_64_kib_is_dropped_and_counted),
		cmocka_unit_test(without_buffers_frames_wait_in_the_ring),
		cmocka_unit_test(without_a_peer_nothing_is_taken_or_received),
		cmocka_unit_test(client_waits_for_its_server),
		cmocka_unit_test(either_side_may_come_back),
		cmocka_unit_test(frames_in_the_ring_of_a_lost_peer_are_gone_and_nothing_leaks),
		cmocka_unit_test(secret_decides_who_may_connect),
		cmocka_unit_test(ids_share_one_path_and_each_gets_its_own),
		cmocka_unit_test(wrong_id_is_refused),
		cmocka_unit_test(second_client_of_an_id_is_refused_until_the_first_leaves),
		cmocka_unit_test(socket_file_of_the_dead_is_replaced_and_of_the_living_is_not),
		cmocka_unit_test(queues_are_as_many_as_both_have),
		cmocka_unit_test(attributes_of_other_kinds_are_refused),
	};

	return cmocka_run_group_tests_name("memif", tests, env_setup, env_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bursts of kind tap, on one end of a socket that keeps messages apart as a tap does: what the other end writes is what a kernel might say,
 * and more. Taps themselves are in tests/system/test_tap.py.
 */
#include "test_kind_env.h"

#include <rte_ether.h>

#include "tap/tap.h"

#define ROOM   (RTE_MBUF_DEFAULT_DATAROOM) /* of a buffer of the pool */
#define LONG   (TAP_MAX_FRAME)
#define MANY   32
#define HEADER sizeof(struct virtio_net_hdr)

static struct tap_queue *q;
static int peer;
static uint8_t out[HEADER + LONG + 2], in[HEADER + LONG + 2];

static unsigned in_use(struct rte_mempool *from)
{
	return rte_mempool_in_use_count(from);
}

static int open_on(struct rte_mempool *from)
{
	int size = 4 << 20, ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends))
		return -1;
	for (unsigned i = 0; i < 2; i++)
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	peer = ends[1];
	return tap_queue_new(&q, ends[0], from);
}

static int setup(void **state)
{
	return open_on(pool);
}

static int teardown(void **state)
{
	tap_queue_free(q);
	close(peer);
	return in_use(pool); /* whatever happened, every buffer is back */
}

/* The kernel hands over a frame of `len` bytes, of its own pattern. */
static void give(const struct virtio_net_hdr *vh, uint32_t len, uint32_t seed)
{
	static const struct virtio_net_hdr none;

	memcpy(out, vh ? vh : &none, HEADER);
	for (uint32_t i = 0; i < len; i++)
		out[HEADER + i] = pattern(seed, i);
	assert_int_equal(send(peer, out, HEADER + len, 0), HEADER + len);
}

static void assert_frame(struct rte_mbuf *m, uint32_t len, uint32_t seed)
{
	uint32_t at = 0;
	unsigned segs = 0;

	assert_int_equal(m->pkt_len, len);
	for (struct rte_mbuf *s = m; s; s = s->next, segs++)
		for (unsigned i = 0; i < s->data_len; i++, at++)
			assert_int_equal(*rte_pktmbuf_mtod_offset(s, uint8_t *, i), pattern(seed, at));
	assert_int_equal(at, len);
	assert_int_equal(m->nb_segs, segs);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
}

static void frames_of_every_length_arrive_whole(void **state)
{
	static const uint32_t lengths[] = {14, 60, 1514, ROOM - 1, ROOM, ROOM + 1, 2 * ROOM, 9234, 65550, LONG};
	struct rte_mbuf *m[MANY];

	/* Twice, so that what a long frame took has been replaced. */
	for (unsigned k = 0; k < 2 * COUNT(lengths); k++) {
		give(NULL, lengths[k % COUNT(lengths)], k);
		assert_int_equal(tap_rx(&q->rx, m, MANY), 1);
		assert_frame(m[0], lengths[k % COUNT(lengths)], k);
		rte_pktmbuf_free(m[0]);
	}
	assert_int_equal(tap_rx(&q->rx, m, MANY), 0);
	assert_int_equal(q->rx.truncated + q->rx.no_buffer + q->rx.malformed, 0);
}

static void a_burst_is_bounded_and_in_order(void **state)
{
	struct rte_mbuf *m[MANY];

	for (unsigned i = 0; i < MANY + 8; i++)
		give(NULL, 60 + i, i);
	assert_int_equal(tap_rx(&q->rx, m, MANY), MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_frame(m[i], 60 + i, i);
	rte_pktmbuf_free_bulk(m, MANY);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 8);
	rte_pktmbuf_free_bulk(m, 8);
}

static void junk_counts_against_the_burst(void **state)
{
	/* Segmentation of what is no TCP at all. */
	struct virtio_net_hdr junk = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000, .hdr_len = 54};
	struct rte_mbuf *m[MANY];

	for (unsigned i = 0; i < MANY; i++)
		give(&junk, 3000, i);
	give(NULL, 60, 1);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 0);
	assert_int_equal(q->rx.malformed, MANY);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 1);
	assert_frame(m[0], 60, 1);
	rte_pktmbuf_free(m[0]);
}

static void what_is_too_long_is_truncated_and_counted(void **state)
{
	uint32_t most = q->rx.full * q->rx.room;
	struct rte_mbuf *m[MANY];
	uint8_t *big = calloc(1, HEADER + most + 1000);

	assert_true(most >= LONG);
	assert_int_equal(send(peer, big, HEADER + most + 1, 0), HEADER + most + 1);
	assert_int_equal(send(peer, big, HEADER + most + 1000, 0), HEADER + most + 1000);
	assert_int_equal(send(peer, big, HEADER + most, 0), HEADER + most);
	free(big);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 1);
	assert_int_equal(m[0]->pkt_len, most);
	assert_int_equal(q->rx.truncated, 2);
	rte_pktmbuf_free(m[0]);
}

static void a_message_without_a_frame_is_none(void **state)
{
	struct rte_mbuf *m[MANY];

	give(NULL, 0, 0);
	give(NULL, 60, 1);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 1);
	rte_pktmbuf_free(m[0]);
}

/* The queue on a pool of its own, all of whose buffers that it does not hold are kept from it. */
struct scarce {
	struct rte_mempool *pool;
	struct rte_mbuf *kept[64];
	unsigned n;
};

static struct scarce open_scarce(void **state)
{
	struct scarce s = {.pool = rte_pktmbuf_pool_create("scarce", 60, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY)};

	assert_non_null(s.pool);
	assert_int_equal(teardown(state), 0);
	assert_int_equal(open_on(s.pool), 0);
	while ((s.kept[s.n] = rte_pktmbuf_alloc(s.pool)))
		s.n++;
	return s;
}

static void close_scarce(struct scarce *s, void **state)
{
	rte_pktmbuf_free_bulk(s->kept, s->n);
	tap_queue_free(q);
	close(peer);
	assert_int_equal(in_use(s->pool), 0);
	rte_mempool_free(s->pool);
	assert_int_equal(setup(state), 0);
}

/* With 60 buffers in all: the queue holds what 64 KB take, and the rest is soon out. */
static void without_buffers_frames_are_lost_counted_and_the_queue_recovers(void **state)
{
	struct scarce scarce = open_scarce(state);
	struct rte_mbuf *m[MANY];

	/* One frame of all that is held, then nothing is left: the next are lost. */
	give(NULL, LONG, 1);
	give(NULL, 60, 2);
	give(NULL, 3000, 3);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 1);
	assert_frame(m[0], LONG, 1);
	assert_int_equal(q->rx.no_buffer, 2);
	/* Some come back: frames as long as they reach. */
	rte_pktmbuf_free(scarce.kept[--scarce.n]);
	rte_pktmbuf_free(m[0]);
	give(NULL, 60, 4);
	give(NULL, 5000, 5);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 2);
	assert_frame(m[0], 60, 4);
	assert_frame(m[1], 5000, 5);
	rte_pktmbuf_free_bulk(m, 2);
	close_scarce(&scarce, state);
}

/* Buffers run out in the middle: what is held shrinks from the front, and what is left is used. */
static void held_buffers_shrink_and_grow(void **state)
{
	struct scarce scarce = open_scarce(state);
	struct rte_mbuf *m[MANY];
	unsigned full = q->rx.held;

	for (unsigned i = 0; i < 5; i++)
		give(NULL, ROOM + 100 + i, i);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_frame(m[i], ROOM + 100 + i, i);
	assert_int_equal(q->rx.held, full - 10);
	rte_pktmbuf_free_bulk(m, 5);
	give(NULL, LONG, 9);
	assert_int_equal(tap_rx(&q->rx, m, MANY), 1);
	assert_frame(m[0], LONG, 9);
	rte_pktmbuf_free(m[0]);
	close_scarce(&scarce, state);
}

/* --- sending ---------------------------------------------------------------------------------------------------------- */

static void chains_are_sent_whole(void **state)
{
	struct rte_mbuf *m[3] = {frame_new(1, 60, 60), frame_new(2, 9000, 1800), frame_new(3, 62700, 1900)};
	uint32_t lengths[3];

	for (unsigned i = 0; i < 3; i++)
		lengths[i] = m[i]->pkt_len;
	assert_int_equal(tap_tx(&q->tx, m, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(recv(peer, in, sizeof(in), 0), HEADER + lengths[i]);
		for (unsigned k = 0; k < HEADER; k++)
			assert_int_equal(in[k], 0);
		for (uint32_t k = 0; k < lengths[i]; k++)
			assert_int_equal(in[HEADER + k], pattern(i + 1, k));
	}
}

static void what_finds_no_room_stays_the_callers(void **state)
{
	struct rte_mbuf *m[4096];
	unsigned n = 0, taken = 0, got;

	do {
		for (n = 0; n < 64; n++)
			m[n] = frame_new(n, 1500, 1500);
		got = tap_tx(&q->tx, m, 64);
		taken += got;
		assert_true(taken < 1000000);
	} while (got == 64);
	rte_pktmbuf_free_bulk(m + got, 64 - got);
	assert_int_equal(q->tx.error, 0);
	for (unsigned i = 0; i < taken; i++)
		assert_int_equal(recv(peer, in, sizeof(in), 0), HEADER + 1500);
	assert_int_equal(recv(peer, in, sizeof(in), 0), -1);
}

static void a_request_outside_the_frame_is_an_error_of_that_frame(void **state)
{
	struct rte_mbuf *m[2] = {frame_new(1, 60, 60), frame_new(2, 60, 60)};

	m[0]->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	m[0]->l2_len = 14;
	m[0]->l3_len = 200;
	assert_int_equal(tap_tx(&q->tx, m, 2), 2);
	assert_int_equal(q->tx.error, 1);
	assert_int_equal(recv(peer, in, sizeof(in), 0), HEADER + 60);
	assert_int_equal(in[HEADER + 59], pattern(2, 59));
	assert_int_equal(recv(peer, in, sizeof(in), 0), -1);
}

static void a_shared_frame_is_not_written_to(void **state)
{
	struct rte_mbuf *m = frame_new(7, 2000, 1000);

	rte_mbuf_refcnt_set(m, 2);
	rte_mbuf_refcnt_set(m->next, 2);
	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->tso_segsz = 500;
	assert_int_equal(tap_tx(&q->tx, &m, 1), 1);
	assert_int_equal(recv(peer, in, sizeof(in), 0), HEADER + 2000);
	assert_int_equal(((struct virtio_net_hdr *)in)->gso_type & ~VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(((struct virtio_net_hdr *)in)->gso_size, 500);
	for (uint32_t k = 0; k < 1000; k++)
		assert_int_equal(*rte_pktmbuf_mtod_offset(m, uint8_t *, k), pattern(7, k));
	for (uint32_t k = 0; k < 2000; k++)
		if (k != 14 + 20 + 16 && k != 14 + 20 + 17) /* the checksum's place */
			assert_int_equal(in[HEADER + k], pattern(7, k));
	rte_pktmbuf_free(m);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_of_every_length_arrive_whole),  TEST(a_burst_is_bounded_and_in_order),
		TEST(junk_counts_against_the_burst),	    TEST(what_is_too_long_is_truncated_and_counted),
		TEST(a_message_without_a_frame_is_none),    TEST(without_buffers_frames_are_lost_counted_and_the_queue_recovers),
		TEST(held_buffers_shrink_and_grow),	    TEST(chains_are_sent_whole),
		TEST(what_finds_no_room_stays_the_callers), TEST(a_request_outside_the_frame_is_an_error_of_that_frame),
		TEST(a_shared_frame_is_not_written_to),
	};

	return cmocka_run_group_tests(tests, env_setup, env_teardown);
}

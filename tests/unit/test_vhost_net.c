/* SPDX-License-Identifier: Apache-2.0 */
/* The trunk's bursts by vhost-net, with a driver that does what DPDK's does: flags of its own, and the kernel's header left before the frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <linux/virtio_net.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "offload.h"
#include "vhost_net_inside.h"

#define L2	 14
#define HEADS	 (L2 + 20 + 20)
#define SEGMENT	 1448
#define MAX_SENT 8

static struct rte_mempool *pool;

/* --- the driver ----------------------------------------------------------------------------------------------------------- */

static struct rte_mbuf *arriving[MAX_SENT], *sent[MAX_SENT];
static uint16_t n_arriving, n_sent, room;

static uint16_t driver_rx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t got = n_arriving;

	memcpy(frames, arriving, got * sizeof(frames[0]));
	n_arriving = 0;
	return got;
}

static uint16_t driver_tx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t taken = RTE_MIN(n, (uint16_t)(room - n_sent));

	memcpy(sent + n_sent, frames, taken * sizeof(frames[0]));
	n_sent += taken;
	return taken;
}

static struct vhost_net_queue q;

static int start(void **state)
{
	q = (struct vhost_net_queue){.rx = driver_rx, .tx = driver_tx, .pool = pool};
	n_arriving = n_sent = 0;
	room = MAX_SENT;
	return 0;
}

static int nothing_is_lost(void **state)
{
	while (n_sent)
		rte_pktmbuf_free(sent[--n_sent]);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return 0;
}

/* --- frames --------------------------------------------------------------------------------------------------------------- */

/* TCP over IPv4, of segments of 2,000 bytes, the checksum field 0. */
static struct rte_mbuf *tcp(uint32_t payload)
{
	uint8_t head[HEADS] = {
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, [22] = 64, [23] = IPPROTO_TCP, [26] = 10, 0, 0, 1, 10, 0, 0, 2};
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;

	head[16] = (HEADS - L2 + payload) >> 8;
	head[17] = HEADS - L2 + payload;
	head[L2 + 20 + 12] = 5 << 4;
	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, HEADS), head, HEADS);
	for (uint32_t n; payload; payload -= n) {
		if (last->data_len == 2000) {
			last->next = rte_pktmbuf_alloc(pool);
			assert_non_null(last->next);
			last = last->next;
			m->nb_segs++;
		}
		n = RTE_MIN(payload, 2000u - last->data_len);
		memset(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len), 7, n);
		last->data_len += n;
		m->pkt_len += n;
	}
	return m;
}

static uint16_t *checksum(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, uint16_t *, L2 + 20 + offsetof(struct rte_tcp_hdr, cksum));
}

/* What Linux puts there: the sum of the pseudo header, the length included. */
static uint16_t pseudo(const struct rte_mbuf *m)
{
	return rte_ipv4_phdr_cksum(rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, L2), 0);
}

static void arrives(struct rte_mbuf *m, struct virtio_net_hdr header, uint64_t flags)
{
	memset(rte_pktmbuf_mtod_offset(m, void *, -12), 0, 12);
	memcpy(rte_pktmbuf_mtod_offset(m, void *, -12), &header, sizeof(header));
	m->ol_flags = flags;
	arriving[n_arriving++] = m;
}

static struct virtio_net_hdr needs_csum(void)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = L2 + 20, .csum_offset = 16, .hdr_len = HEADS};
}

static struct virtio_net_hdr to_segment(void)
{
	struct virtio_net_hdr header = needs_csum();

	header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	header.gso_size = SEGMENT;
	return header;
}

/* --- receiving ------------------------------------------------------------------------------------------------------------ */

static void what_the_kernel_left_to_do_is_a_request(void **state)
{
	struct rte_mbuf *got[MAX_SENT];

	arrives(tcp(100), (struct virtio_net_hdr){0}, 0);
	arrives(tcp(100), needs_csum(), RTE_MBUF_F_RX_L4_CKSUM_NONE);
	arrives(tcp(40000), to_segment(), RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
	assert_int_equal(vhost_net_rx(&q, got, MAX_SENT), 3);
	assert_true(got[0]->ol_flags == 0);
	assert_true(got[1]->ol_flags == (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM));
	assert_true(got[2]->ol_flags == (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG));
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(got[i]->l2_len, L2);
		assert_int_equal(got[i]->l3_len, 20);
		assert_int_equal(got[i]->l4_len, 20);
	}
	assert_int_equal(got[2]->tso_segsz, SEGMENT);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(offload_check(got[i]), 0);
		rte_pktmbuf_free(got[i]);
	}
}

static void what_the_driver_found_good_asks_for_nothing(void **state)
{
	struct rte_mbuf *got[MAX_SENT];

	arrives(tcp(100), (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID}, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	assert_int_equal(vhost_net_rx(&q, got, MAX_SENT), 1);
	assert_true(got[0]->ol_flags == 0);
	rte_pktmbuf_free(got[0]);
}

/* Inside a tunnel the driver sums by itself, over the first buffer: right if there is no other. */
static void a_sum_of_the_drivers_own_is_mended_if_it_is_short(void **state)
{
	static const uint32_t payloads[] = {1000, 5000, 5001};
	struct rte_mbuf *got[MAX_SENT];
	uint16_t part, whole = 0;

	for (unsigned i = 0; i < RTE_DIM(payloads); i++) {
		struct rte_mbuf *m = tcp(payloads[i]);

		*checksum(m) = 0x1234;
		assert_int_equal(rte_raw_cksum_mbuf(m, L2 + 20, m->pkt_len - L2 - 20, &whole), 0);
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, uint8_t *, L2 + 20), m->data_len - L2 - 20);
		*checksum(m) = ~part;
		arrives(m, needs_csum(), 0);
		assert_int_equal(vhost_net_rx(&q, got, MAX_SENT), 1);
		assert_int_equal(*checksum(got[0]), (uint16_t)~whole);
		assert_true(got[0]->ol_flags == 0);
		rte_pktmbuf_free(got[0]);
	}
}

static void contradictions_are_counted_and_dropped(void **state)
{
	struct virtio_net_hdr outside = needs_csum(), datagrams = to_segment();
	struct rte_mbuf *got[MAX_SENT];

	outside.csum_start = 5000;
	datagrams.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	arrives(tcp(100), outside, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	arrives(tcp(100), (struct virtio_net_hdr){0}, 0);
	arrives(tcp(5000), datagrams, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	assert_int_equal(vhost_net_rx(&q, got, MAX_SENT), 1);
	assert_int_equal(got[0]->pkt_len, HEADS + 100);
	assert_int_equal(q.malformed, 2);
	rte_pktmbuf_free(got[0]);
}

/* --- sending -------------------------------------------------------------------------------------------------------------- */

static struct rte_mbuf *large(uint32_t payload)
{
	struct rte_mbuf *m = tcp(payload);

	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
	m->l2_len = L2;
	m->l3_len = m->l4_len = 20;
	m->tso_segsz = SEGMENT;
	return m;
}

static void a_segments_checksum_field_is_as_linux_wants_it(void **state)
{
	struct rte_mbuf *m = large(40000);

	assert_int_equal(vhost_net_tx(&q, &m, 1), 1);
	assert_ptr_equal(sent[0], m);
	assert_int_equal(*checksum(sent[0]), pseudo(sent[0]));
}

static void a_shared_frame_is_not_written_to(void **state)
{
	struct rte_mbuf *m = large(40000), *mine = m;

	rte_pktmbuf_refcnt_update(m, 1);
	assert_int_equal(vhost_net_tx(&q, &m, 1), 1);
	assert_ptr_not_equal(sent[0], mine);
	assert_int_equal(*checksum(mine), 0);
	assert_int_equal(*checksum(sent[0]), pseudo(mine));
	assert_int_equal(sent[0]->pkt_len, mine->pkt_len);
	assert_true(sent[0]->ol_flags == mine->ol_flags && sent[0]->tx_offload == mine->tx_offload);
	rte_pktmbuf_free(mine);
}

static void a_frame_that_cannot_be_sent_holds_nobody_up(void **state)
{
	struct rte_mbuf *frames[] = {tcp(100), large(40000), tcp(101)};

	frames[1]->l4_len = 0;
	assert_int_equal(vhost_net_tx(&q, frames, 3), 3);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[1]->pkt_len, HEADS + 101);
	assert_int_equal(q.tx_error, 1);
}

static void what_has_no_room_stays_the_callers(void **state)
{
	struct rte_mbuf *frames[] = {tcp(100), large(40000), tcp(101)};

	room = 1;
	assert_int_equal(vhost_net_tx(&q, frames, 3), 1);
	assert_int_equal(q.tx_error, 0);
	rte_pktmbuf_free(frames[1]);
	rte_pktmbuf_free(frames[2]);
}

/* --- queues --------------------------------------------------------------------------------------------------------------- */

static void no_more_queues_than_the_driver_has(void **state)
{
	assert_int_equal(vhost_net_queues(0), 1);
	assert_int_equal(vhost_net_queues(1), 1);
	assert_int_equal(vhost_net_queues(8), 8);
	assert_int_equal(vhost_net_queues(9), 8);
	assert_int_equal(vhost_net_queues(KIND_MAX_QUEUES), 8);
}

static int setup(void **state)
{
	char *argv[] = {
		"test",		  "--no-huge",	       "-m128",	     "--no-shconf", "--no-pci",
		"--no-telemetry", "--log-level=error", "--lcores=0", "-d",	    (SLUICE_PMD_DIR "/librte_mempool_ring.so")};

	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("frames", 512, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, nothing_is_lost)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_kernel_left_to_do_is_a_request),
		TEST(what_the_driver_found_good_asks_for_nothing),
		TEST(a_sum_of_the_drivers_own_is_mended_if_it_is_short),
		TEST(contradictions_are_counted_and_dropped),
		TEST(a_segments_checksum_field_is_as_linux_wants_it),
		TEST(a_shared_frame_is_not_written_to),
		TEST(a_frame_that_cannot_be_sent_holds_nobody_up),
		TEST(what_has_no_room_stays_the_callers),
		TEST(no_more_queues_than_the_driver_has),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The af-packet kind carrying frames: in, out, long, tagged, with offload requests; and what it says of those that it loses. */
#include "test_packet_rig.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>

static struct frame f, g;
static struct virtio_net_hdr vh;

static const uint16_t tag[] = {0x8100, 0}, service_tag[] = {0x88a8, 0}, two_tags[] = {0x88a8, 0x8100, 0},
		      same_tags[] = {0x8100, 0x8100, 0};
static const uint16_t *const taggings[] = {NULL, tag, service_tag, two_tags, same_tags};

/* Take an offload from pk0, as from a NIC that lacks it: what the port asks for is then done by the kernel on the way out. */
static void without_offload(uint32_t command)
{
	struct ethtool_value value = {.cmd = command};
	struct ifreq ifr = {.ifr_name = "pk0", .ifr_data = (char *)&value};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCETHTOOL, &ifr), 0);
	close(fd);
}

/* --- in --------------------------------------------------------------------------------------------------------------- */

static void frames_of_every_length_come_in_whole(void **state)
{
	need_rig();
	port_open(DP_MTU_MAX, 1);
	for (uint32_t len = 14; len <= 9216 + 14; len += len < 60 || (len > 1900 && len < 2100) ? 1 : len > 9100 ? 7 : 61) {
		struct rte_mbuf *m;

		plain(&f, NULL, len, len);
		peer_send(&f, NULL);
		m = port_receive();
		assert_true(m->ol_flags == 0);
		expect_bytes(m, f.b, f.len);
	}
}

static void short_and_long_frames_keep_their_order(void **state)
{
	need_rig();
	port_open(DP_MTU_MAX, 1);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 60; i++) {
			plain(&f, NULL, i % 3 ? 64 + i : 3000 + 100 * i, i);
			peer_send(&f, NULL);
		}
		for (unsigned i = 0; i < 60; i++) {
			plain(&f, NULL, i % 3 ? 64 + i : 3000 + 100 * i, i);
			expect_bytes(port_receive(), f.b, f.len);
		}
	}
}

static void segmentation_requests_come_in_whole(void **state)
{
	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		uint16_t want;
		struct rte_mbuf *m;
		void *field;

		transport(&f, NULL, v6, 6, 65000);
		vh = open_request(&f, 6, v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4, 1400);
		peer_send(&f, &vh);
		m = port_receive();
		assert_true(m->ol_flags ==
			    (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4)));
		assert_int_equal(m->tso_segsz, 1400);
		assert_int_equal(m->l2_len + m->l3_len, f.l4);
		assert_int_equal(m->l4_len, 20);
		/* The one difference: DPDK's pseudo sum. */
		field = rte_pktmbuf_mtod_offset(m, void *, f.l4 + 16);
		want = v6 ? rte_ipv6_phdr_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), m->ol_flags)
			  : rte_ipv4_phdr_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), m->ol_flags);
		assert_memory_equal(field, &want, 2);
		memcpy(f.b + f.l4 + 16, &want, 2);
		expect_bytes(m, f.b, f.len);
	}
}

static void udp_segmentation_comes_in_where_the_kernel_has_it(void **state)
{
	struct rte_mbuf *m;

	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	if (!(kp.caps & KIND_CAP_USO)) {
		print_message("skipped: this kernel's packet sockets have no UDP segmentation\n");
		skip();
	}
	transport(&f, NULL, false, 17, 10000);
	vh = open_request(&f, 17, VIRTIO_NET_HDR_GSO_UDP_L4, 1200);
	peer_send(&f, &vh);
	m = port_receive();
	assert_true(m->ol_flags == (RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4));
	assert_int_equal(m->tso_segsz, 1200);
	expect_bytes(m, f.b, f.len);
}

/* Tag and request together, for short and long frames: l2_len counts what is in the bytes. */
static void tags_come_in_beside_the_frame_or_inside(void **state)
{
	need_rig();
	port_open(DP_MTU_MAX, 1);
	for (unsigned i = 0; i < RTE_DIM(taggings); i++) {
		for (uint32_t n = 10; n < 9000; n += 4000) {
			bool beside = taggings[i] && taggings[i][0] == 0x8100;
			struct rte_mbuf *m;

			transport(&f, taggings[i], false, 17, n);
			vh = open_request(&f, 17, VIRTIO_NET_HDR_GSO_NONE, 0);
			peer_send(&f, &vh);
			m = port_receive();
			assert_true((m->ol_flags & ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED)) ==
				    (RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4));
			assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_RX_VLAN), beside);
			assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED), beside);
			assert_int_equal(m->l2_len, f.l2 - (beside ? 4 : 0));
			if (beside) {
				assert_int_equal(m->vlan_tci, 0x6000 | 101);
				memmove(f.b + 12, f.b + 16, f.len - 16);
				f.len -= 4;
			}
			expect_bytes(m, f.b, f.len);
		}
	}
}

/* --- out -------------------------------------------------------------------------------------------------------------- */

static void frames_go_out_in_any_shape_and_are_not_written_to(void **state)
{
	need_rig();
	port_open(DP_MTU_MAX, 1);
	for (uint32_t room = 130; room <= 2048; room += 487) {
		for (uint32_t len = 14; len <= 9216 + 14; len += 1024) {
			struct rte_mbuf *m;

			plain(&f, NULL, len, len);
			m = mbuf_of(&f, room);
			rte_pktmbuf_refcnt_update(m, 1); /* of every segment */
			assert_int_equal(port_send(m), 1);
			peer_receive(&g, &vh);
			assert_int_equal(vh.flags, 0);
			assert_int_equal(g.len, f.len);
			assert_memory_equal(g.b, f.b, f.len);
			expect_bytes(m, f.b, f.len); /* and our reference is the last */
		}
	}
}

/* Give the mbuf the request that these bytes stand for. */
static void ask(struct rte_mbuf *m, const struct frame *of, bool v6, uint8_t proto, uint16_t segsz)
{
	m->l2_len = of->l2;
	m->l3_len = of->l4 - of->l2;
	m->l4_len = proto == 6 ? 20 : 8;
	m->ol_flags |=
		(v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) | (proto == 6 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	if (!segsz)
		return;
	m->tso_segsz = segsz;
	m->ol_flags |= proto == 6 ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_UDP_SEG;
	if (proto == 6) {
		void *l3 = rte_pktmbuf_mtod_offset(m, void *, of->l2);
		uint16_t sum = v6 ? rte_ipv6_phdr_cksum(l3, m->ol_flags) : rte_ipv4_phdr_cksum(l3, m->ol_flags);

		memcpy(rte_pktmbuf_mtod_offset(m, void *, of->l4 + 16), &sum, 2);
	}
}

static void segmentation_requests_go_out_whole(void **state)
{
	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct frame *sent = &f;
		struct rte_mbuf *m;

		transport(sent, tag, v6, 6, 64000);
		m = mbuf_of(sent, 2048);
		ask(m, sent, v6, 6, 1400);
		assert_int_equal(port_send(m), 1);
		peer_receive(&g, &vh);
		assert_int_equal(vh.gso_type, v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(vh.gso_size, 1400);
		assert_int_equal(vh.csum_start, sent->l4);
		assert_int_equal(g.len, sent->len);
		assert_memory_equal(g.b, sent->b, sent->len); /* pseudo sum as Linux wants it */
	}
}

/* A checksum that the wire would carry: the pseudo header and all of the segment sum up to all ones. */
static void expect_checksum(const struct frame *of, uint32_t l2, bool v6, uint8_t proto)
{
	uint32_t l4 = l2 + (v6 ? 40 : 20), bytes = of->len - l4, sum = htons(bytes) + htons(proto);

	sum += v6 ? rte_raw_cksum(of->b + l2 + 8, 32) : rte_raw_cksum(of->b + l2 + 12, 8);
	sum += rte_raw_cksum(of->b + l4, bytes);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
	assert_int_equal(get16(of->b + l2 + (v6 ? 4 : 2)), v6 ? bytes : 20 + bytes);
	if (!v6)
		assert_int_equal(rte_raw_cksum(of->b + l2, 20), 0xffff);
}

static void what_the_netdev_lacks_is_done_on_the_way_behind_any_tags(void **state)
{
	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	without_offload(ETHTOOL_STSO);
	without_offload(ETHTOOL_STXCSUM);
	for (unsigned i = 0; i < RTE_DIM(taggings); i++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct rte_mbuf *m;

			transport(&f, taggings[i], v6, 17, 777);
			m = mbuf_of(&f, 300);
			ask(m, &f, v6, 17, 0);
			assert_int_equal(port_send(m), 1);
			peer_receive(&g, &vh);
			assert_int_equal(vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
			assert_memory_equal(g.b, f.b, f.l4 + 6);
			expect_checksum(&g, f.l2, v6, 17);

			transport(&f, taggings[i], v6, 6, 30000);
			m = mbuf_of(&f, 2048);
			ask(m, &f, v6, 6, 1400);
			assert_int_equal(port_send(m), 1);
			for (uint32_t at = 0; at < 30000; at += 1400) {
				uint32_t n = RTE_MIN(1400u, 30000 - at);

				peer_receive(&g, &vh);
				assert_int_equal(vh.gso_type, VIRTIO_NET_HDR_GSO_NONE);
				assert_int_equal(vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
				assert_int_equal(g.len, f.l4 + 20 + n);
				assert_memory_equal(g.b, f.b, f.l2);
				assert_int_equal(get16(g.b + f.l4 + 6), at); /* low half of the sequence number */
				assert_memory_equal(g.b + f.l4 + 20, f.b + f.l4 + 20 + at, n);
				expect_checksum(&g, f.l2, v6, 6);
			}
		}
	}
	assert_int_equal(lost().tx_error, 0);
}

static void udp_segments_leave_as_datagrams_of_their_own(void **state)
{
	struct rte_mbuf *m;

	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	if (!(kp.caps & KIND_CAP_USO)) {
		print_message("skipped: this kernel's packet sockets have no UDP segmentation\n");
		skip();
	}
	sh("ethtool -K pk0 tx-udp-segmentation off >/dev/null");
	without_offload(ETHTOOL_STXCSUM);
	transport(&f, two_tags, true, 17, 5000);
	m = mbuf_of(&f, 2048);
	ask(m, &f, true, 17, 1200);
	assert_int_equal(port_send(m), 1);
	for (uint32_t at = 0; at < 5000; at += 1200) {
		peer_receive(&g, &vh);
		assert_int_equal(g.len, f.l4 + 8 + RTE_MIN(1200u, 5000 - at));
		expect_checksum(&g, f.l2, true, 17);
	}
}

static void a_burst_goes_out_in_order(void **state)
{
	struct rte_mbuf *burst[100];

	need_rig();
	port_open(DP_MTU_MAX, 1);
	for (unsigned i = 0; i < RTE_DIM(burst); i++) {
		plain(&f, NULL, 64 + i * 11, i);
		burst[i] = mbuf_of(&f, 40); /* many segments: more than one batch's iovecs */
	}
	assert_int_equal(kp.tx(kp.txq[0], burst, RTE_DIM(burst)), RTE_DIM(burst));
	for (unsigned i = 0; i < RTE_DIM(burst); i++) {
		plain(&f, NULL, 64 + i * 11, i);
		peer_receive(&g, &vh);
		assert_int_equal(g.len, f.len);
		assert_memory_equal(g.b, f.b, f.len);
	}
}

/* --- losses ----------------------------------------------------------------------------------------------------------- */

static void frame_that_the_kernel_refuses_is_counted_and_the_next_passes(void **state)
{
	struct rte_mbuf *burst[4];

	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	plain(&f, NULL, 100, 1);
	burst[0] = mbuf_of(&f, 2048);
	burst[3] = mbuf_of(&f, 2048);
	plain(&f, NULL, 5000, 1); /* longer than the netdev's MTU */
	burst[1] = mbuf_of(&f, 2048);
	plain(&f, NULL, 100, 1);
	burst[2] = mbuf_of(&f, 2048);
	burst[2]->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM; /* in a frame without layers */
	assert_int_equal(kp.tx(kp.txq[0], burst, 4), 4);
	assert_int_equal(lost().tx_error, 2);
	for (int i = 0; i < 2; i++) {
		peer_receive(&g, &vh);
		assert_memory_equal(g.b, f.b, f.len);
	}
}

static void full_queue_takes_no_more_and_never_waits(void **state)
{
	unsigned taken = 0;

	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	sh("tc qdisc add dev pk0 root tbf rate 8kbit burst 1600 limit 8000");
	for (unsigned i = 0; i < 200; i++) {
		struct rte_mbuf *m;

		plain(&f, NULL, 500, i);
		m = mbuf_of(&f, 2048);
		if (port_send(m))
			taken++;
		else
			rte_pktmbuf_free(m);
	}
	assert_true(taken > 0 && taken < 100);
	assert_int_equal(lost().tx_error, 0);
}

static void frames_that_the_ring_has_no_room_for_are_counted(void **state)
{
	unsigned got = 0;

	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	plain(&f, NULL, 200, 1);
	for (unsigned i = 0; i < 256 + 100; i++)
		peer_send(&f, NULL);
	UNTIL(lost().rx_missed == 100, ); /* the ring is full, and everything has arrived */
	for (; packet_kind.rx_arm(&kp, 0); got++)
		expect_bytes(port_receive(), f.b, f.len);
	assert_int_equal(got, 256);
	assert_int_equal(lost().rx_missed, 100); /* reading does not forget */
	peer_send(&f, NULL);
	expect_bytes(port_receive(), f.b, f.len);
}

static void without_buffers_frames_are_dropped_counted_and_stay_in_step(void **state)
{
	static struct rte_mbuf *all[RIG_BUFFERS], *burst[MAX_RX_BURST];

	need_rig();
	port_open(DP_MTU_MAX, 1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, all, RIG_BUFFERS), 0);
	for (unsigned i = 0; i < 9; i++) {
		plain(&f, NULL, i % 3 ? 100 : 6000, i);
		peer_send(&f, NULL);
	}
	UNTIL(lost().rx_no_buffer == 9, assert_int_equal(kp.rx(kp.rxq[0], burst, MAX_RX_BURST), 0));
	assert_int_equal(packet_kind.rx_arm(&kp, 0), 0);
	rte_pktmbuf_free_bulk(all, RIG_BUFFERS);
	plain(&f, NULL, 7000, 77);
	peer_send(&f, NULL);
	expect_bytes(port_receive(), f.b, f.len);
}

static void frames_cut_short_by_the_kernel_are_dropped_counted_and_stay_in_step(void **state)
{
	int fd, small = 1, large = PACKET_SOCKBUF;
	unsigned got = 0;
	struct rte_mbuf *m;

	need_rig();
	port_open(DP_MTU_MAX, 1);
	fd = packet_kind.rx_fd(&kp, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small)), 0);
	plain(&f, NULL, 9000, 5);
	for (unsigned i = 0; i < 10; i++)
		peer_send(&f, NULL);
	UNTIL(
		got + lost().truncated == 10, if (kp.rx(kp.rxq[0], &m, 1)) {
			expect_bytes(m, f.b, f.len);
			got++;
		});
	assert_true(got >= 1 && got < 10);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)), 0);
	plain(&f, NULL, 8000, 6);
	peer_send(&f, NULL);
	expect_bytes(port_receive(), f.b, f.len);
}

static void request_that_contradicts_its_frame_is_malformed(void **state)
{
	need_rig();
	port_open(DP_MTU_DEFAULT, 1);
	/* The kernel takes these from any sender: an IP packet that ends inside the first segment, and a fragment. */
	transport(&f, NULL, false, 6, 8000);
	vh = open_request(&f, 6, VIRTIO_NET_HDR_GSO_TCPV4, 1400);
	put16(f.b + f.l2 + 2, 500);
	peer_send(&f, &vh);
	put16(f.b + f.l2 + 2, 8040);
	put16(f.b + f.l2 + 6, 0x2000);
	peer_send(&f, &vh);
	plain(&f, NULL, 100, 1);
	peer_send(&f, NULL);
	expect_bytes(port_receive(), f.b, f.len);
	assert_int_equal(lost().malformed, 2);
}

#define TRAFFIC(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRAFFIC(frames_of_every_length_come_in_whole),
		TRAFFIC(short_and_long_frames_keep_their_order),
		TRAFFIC(segmentation_requests_come_in_whole),
		TRAFFIC(udp_segmentation_comes_in_where_the_kernel_has_it),
		TRAFFIC(tags_come_in_beside_the_frame_or_inside),
		TRAFFIC(frames_go_out_in_any_shape_and_are_not_written_to),
		TRAFFIC(segmentation_requests_go_out_whole),
		TRAFFIC(what_the_netdev_lacks_is_done_on_the_way_behind_any_tags),
		TRAFFIC(udp_segments_leave_as_datagrams_of_their_own),
		TRAFFIC(a_burst_goes_out_in_order),
		TRAFFIC(frame_that_the_kernel_refuses_is_counted_and_the_next_passes),
		TRAFFIC(full_queue_takes_no_more_and_never_waits),
		TRAFFIC(frames_that_the_ring_has_no_room_for_are_counted),
		TRAFFIC(without_buffers_frames_are_dropped_counted_and_stay_in_step),
		TRAFFIC(frames_cut_short_by_the_kernel_are_dropped_counted_and_stay_in_step),
		TRAFFIC(request_that_contradicts_its_frame_is_malformed),
	};

	return cmocka_run_group_tests(tests, rig_set_up, NULL);
}

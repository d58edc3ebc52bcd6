/* SPDX-License-Identifier: Apache-2.0 */
/* The af-packet kind's life: what it refuses, MTU, queues, and a netdev that goes down, away, and comes back. */
#include "test_packet_rig.h"

#include <fcntl.h>
#include <linux/if_tun.h>

static struct frame f, g;
static struct virtio_net_hdr vh;
static struct dp_error err;
static int tap = -1;

static int netdev_mtu(const char *name)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &ifr), 0);
	close(fd);
	return ifr.ifr_mtu;
}

/* Both directions work. */
static void expect_traffic(void)
{
	plain(&f, NULL, 333, now_ms());
	peer_send(&f, NULL);
	expect_bytes(port_receive(), f.b, f.len);
	assert_int_equal(port_send(mbuf_of(&f, 2048)), 1);
	peer_receive(&g, &vh);
	assert_int_equal(g.len, f.len);
	assert_memory_equal(g.b, f.b, f.len);
}

/* --- refusals --------------------------------------------------------------------------------------------------------- */

static void only_its_own_attributes_are_valid(void **state)
{
	const struct dp_port_conf good = {.kind = "af-packet", .ifname = "eth0", .queues = 16, .ring = 16384};
	struct dp_port_conf c = good;

	assert_int_equal(packet_kind.validate(&c, &err), 0);
#define REFUSED(change, attribute)                               \
	do {                                                     \
		c = good;                                        \
		change;                                          \
		assert_true(packet_kind.validate(&c, &err) < 0); \
		assert_string_equal(err.attr, attribute);        \
	} while (0)
	REFUSED(c.ifname[0] = '\0', "ifname");
	REFUSED(strcpy(c.ifname, ".."), "ifname");
	REFUSED(strcpy(c.ifname, "a/b"), "ifname");
	REFUSED(strcpy(c.ifname, "a b"), "ifname");
	REFUSED(memset(c.ifname, 'x', sizeof(c.ifname)), "ifname");
	REFUSED(c.queues = 17, "queues");
	REFUSED(c.ring = 32, "ring");
	REFUSED(c.ring = 100, "ring");
	REFUSED(c.ring = 32768, "ring");
	REFUSED(strcpy(c.path, "/x"), "path");
	REFUSED(strcpy(c.devargs, "x"), "devargs");
	REFUSED(strcpy(c.secret, "x"), "secret");
	REFUSED(c.id = 1, "id");
	REFUSED(c.client = true, "client");
}

static void refused_netdevs_leave_nothing_behind(void **state)
{
	struct kind_env env = {.pool = pool};
	struct dp_port_conf conf = {.ifname = "nosuch"};

	need_rig();
	assert_int_equal(packet_kind.open(&kp, &env, &conf, 1, &err), -ENODEV);
	assert_string_equal(err.name, "no-such-device");
	strcpy(conf.ifname, "lo");
	assert_int_equal(packet_kind.open(&kp, &env, &conf, 1, &err), -EINVAL);
	assert_string_equal(err.name, "unsupported");
	assert_null(kp.priv); /* tear-down checks descriptors and watches */
}

static void socket_that_cannot_be_made_leaves_nothing_behind(void **state)
{
	struct kind_env env = {.pool = pool};
	struct dp_port_conf conf = {.ifname = "pk0"};

	need_rig();
	/* Whichever socket of the four fails. */
	for (unsigned n = 0; n < 4; n++) {
		struct packet_queue *q[4];
		int before = open_fds();

		assert_true(packet_queues_open(q, n + 1, 999999, 64, pool) < 0);
		assert_int_equal(open_fds(), before);
		assert_null(q[0]);
	}
	conf.ring = 256;
	assert_int_equal(packet_kind.open(&kp, &env, &conf, 1, &err), 0);
}

/* --- MTU -------------------------------------------------------------------------------------------------------------- */

static void netdev_is_raised_to_carry_two_tags_and_never_lowered(void **state)
{
	need_rig();
	assert_int_equal(netdev_mtu("pk0"), 1500);
	port_open(1500, 1);
	assert_int_equal(netdev_mtu("pk0"), 1508);
	assert_int_equal(packet_kind.set_mtu(&kp, 9216), 0);
	assert_int_equal(netdev_mtu("pk0"), 9224);
	assert_int_equal(packet_kind.set_mtu(&kp, 1500), 0);
	assert_int_equal(netdev_mtu("pk0"), 9224);
	packet_kind.close(&kp);
	assert_int_equal(netdev_mtu("pk0"), 9224);
}

static void full_frames_pass_behind_two_service_tags(void **state)
{
	static const uint16_t tags[] = {0x88a8, 0x88a8, 0};

	need_rig();
	port_open(1500, 1);
	plain(&f, tags, 22 + 1500, 1);
	assert_int_equal(port_send(mbuf_of(&f, 2048)), 1);
	peer_receive(&g, &vh);
	assert_int_equal(g.len, f.len);
	assert_memory_equal(g.b, f.b, f.len);
	assert_int_equal(lost().tx_error, 0);
}

/* --- queues ----------------------------------------------------------------------------------------------------------- */

static void queues_share_the_frames_by_flow(void **state)
{
	enum { FLOWS = 32, ROUNDS = 4 };
	uint16_t where[FLOWS], q, used = 0;

	need_rig();
	port_open(1500, 4);
	assert_int_equal(kp.n_queues, 4);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned flow = 0; flow < FLOWS; flow++) {
			transport(&f, NULL, false, 17, 100);
			put16(f.b + f.l4, 1000 + flow);
			memset(f.b + f.l4 + 6, 0, 2);
			peer_send(&f, NULL);
			expect_bytes(port_receive_from(&q), f.b, f.len);
			if (round == 0)
				where[flow] = q;
			assert_int_equal(q, where[flow]);
			used |= 1 << q;
		}
	}
	assert_true(used & (used - 1)); /* more than one queue */
	for (q = 0; q < 4; q++) {	/* and nobody got a copy */
		struct rte_mbuf *m;

		assert_int_equal(kp.rx(kp.rxq[q], &m, 1), 0);
		m = mbuf_of(&f, 2048);
		assert_int_equal(kp.tx(kp.txq[q], &m, 1), 1);
		peer_receive(&g, &vh);
	}
}

/* Fanout groups belong to the namespace: a neighbour's must not swallow our frames. */
static void ports_with_queues_do_not_share_a_group(void **state)
{
	struct kind_env env = {.pool = pool};
	struct dp_port_conf conf = {.ifname = "pk2", .ring = 64};
	struct kind_port other = {0};
	uint16_t q;

	need_rig();
	sh("ip link add pk2 type veth peer name pk3 && ip link set pk3 up");
	port_open(1500, 2);
	assert_int_equal(packet_kind.open(&other, &env, &conf, 2, &err), 0);
	for (unsigned flow = 0; flow < 16; flow++) {
		transport(&f, NULL, false, 17, 100);
		put16(f.b + f.l4, flow);
		peer_send(&f, NULL);
		expect_bytes(port_receive_from(&q), f.b, f.len);
	}
	for (q = 0; q < 2; q++)
		assert_int_equal(packet_kind.rx_arm(&other, q), 0);
	packet_kind.close(&other);
	sh("ip link del pk2");
}

/* --- the netdev's comings and goings ---------------------------------------------------------------------------------- */

static void link_follows_the_carrier(void **state)
{
	unsigned told;

	need_rig();
	port_open(1500, 1);
	pump(link_is_up);
	told = rig_dp.changed;
	sh("ip link set pk1 down");
	pump(link_is_down);
	assert_true(rig_dp.changed > told);
	sh("ip link set pk1 up");
	pump(link_is_up);
	expect_traffic();
}

/* The descriptor is not ready for nothing for ever, and nothing is taken while the netdev is down. */
static void netdev_taken_down_makes_no_busy_loop(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct rte_mbuf *m;
	unsigned wakes = 0;

	need_rig();
	port_open(1500, 1);
	pump(link_is_up);
	sh("ip link set pk0 down");
	pump(link_is_down);
	p.fd = packet_kind.rx_fd(&kp, 0);
	while (poll(&p, 1, 0) > 0 && wakes++ < 1000) {
		assert_int_equal(kp.rx(kp.rxq[0], &m, 1), 0);
		assert_int_equal(packet_kind.rx_arm(&kp, 0), 0);
		packet_kind.rx_disarm(&kp, 0);
	}
	assert_in_range(wakes, 1, 100);
	plain(&f, NULL, 100, 1);
	m = mbuf_of(&f, 2048);
	assert_int_equal(port_send(m), 0);
	rte_pktmbuf_free(m);
	assert_int_equal(lost().tx_error, 0);
	sh("ip link set pk0 up");
	pump(link_is_up);
	expect_traffic();
}

/* An error left on the socket must not be taken for the loss of a long frame that waits. */
static void long_frame_survives_the_link_going_down(void **state)
{
	need_rig();
	port_open(9000, 1);
	pump(link_is_up);
	plain(&f, NULL, 8000, 1);
	peer_send(&f, NULL);
	sh("ip link set pk0 down");
	expect_bytes(port_receive(), f.b, f.len);
	assert_int_equal(lost().rx_error, 0);
}

static void vanish_and_return(uint16_t queues)
{
	struct rte_mbuf *m;
	unsigned quiesced = rig_dp.quiesced;

	port_open(9000, queues);
	pump(link_is_up);
	/* Something in the counters, to see that they go on. */
	transport(&f, NULL, false, 6, 8000);
	put16(f.b + f.l2 + 2, 500); /* the IP packet ends inside its first segment */
	vh = open_request(&f, 6, VIRTIO_NET_HDR_GSO_TCPV4, 1400);
	peer_send(&f, &vh);
	UNTIL(lost().malformed == 1, for (uint16_t q = 0; q < queues; q++) if (kp.rx(kp.rxq[q], &m, 1)) rte_pktmbuf_free(m));
	expect_traffic();

	for (unsigned round = 1; round < 3; round++) {
		sh("ip link del pk0");
		pump(link_is_down);
		for (uint16_t q = 0; q < queues; q++) {
			plain(&f, NULL, 100, 1);
			m = mbuf_of(&f, 2048);
			assert_int_equal(kp.tx(kp.txq[q], &m, 1), 0);
			rte_pktmbuf_free(m);
			assert_int_equal(kp.rx(kp.rxq[q], &m, 1), 0);
		}
		assert_int_equal(packet_kind.set_mtu(&kp, 8000 + round), 0);
		close(peer);
		make_pair();
		peer = peer_open();
		pump(link_is_up);
		assert_int_equal(rig_dp.quiesced, quiesced + round);
		assert_int_equal(netdev_mtu("pk0"), 8008 + round);
		expect_traffic();
		assert_int_equal(lost().malformed, 1);
	}
}

static void vanished_netdev_is_taken_again_when_it_is_back(void **state)
{
	need_rig();
	vanish_and_return(1);
}

static void vanished_netdev_is_taken_again_with_all_queues(void **state)
{
	need_rig();
	vanish_and_return(3);
}

static void renamed_netdev_stays_the_ports(void **state)
{
	need_rig();
	port_open(1500, 1);
	pump(link_is_up);
	sh("ip link set pk0 down && ip link set pk0 name pkx");
	pump(link_is_down);
	sh("ip link set pkx up");
	pump(link_is_up);
	expect_traffic();
	assert_int_equal(packet_kind.set_mtu(&kp, 2000), 0);
	assert_int_equal(netdev_mtu("pkx"), 2008);
	sh("ip link del pkx");
	pump(link_is_down);
}

static bool port_has_failed(void)
{
	return ((struct packet_port *)kp.priv)->failed != 0;
}

/* A netdev of the right name that is no Ethernet: not taken, not given up, and no loop. */
static void unusable_netdev_of_the_same_name_is_passed_over(void **state)
{
	need_rig();
	port_open(1500, 1);
	pump(link_is_up);
	sh("ip link del pk0");
	pump(link_is_down);
	close(peer);
	if (system("ip tuntap add dev pk0 mode tun 2>/dev/null") == 0) {
		pump(port_has_failed);
		assert_true(link_is_down());
		sh("ip link del pk0");
	}
	make_pair();
	peer = peer_open();
	pump(link_is_up);
	expect_traffic();
}

static bool frame_comes_in(void)
{
	struct rte_mbuf *m;
	struct virtio_net_hdr none = {0};
	struct iovec iov[] = {{&none, sizeof(none)}, {f.b, f.len}};

	assert_true(writev(tap, iov, 2) > 0);
	if (!kp.rx(kp.rxq[0], &m, 1))
		return false;
	expect_bytes(m, f.b, f.len);
	return true;
}

/* Kernels that have no name for a frame's segmentation may lose a slot by it, and the ring with it. A tap's user can cause that. */
static void ring_stuck_on_a_frame_without_a_name_is_replaced(void **state)
{
	struct kind_env env = {.pool = pool};
	struct dp_port_conf conf = {.ifname = "tp0", .ring = 64};
	struct ifreq ifr = {.ifr_name = "tp0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	struct iovec iov[] = {{&vh, sizeof(vh)}, {f.b, 0}};

	need_rig();
	tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &ifr)) {
		print_message("skipped: no tap devices here\n");
		skip();
	}
	assert_int_equal(packet_kind.open(&kp, &env, &conf, 1, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t missed = lost().rx_missed;

		transport(&f, NULL, false, 17, 5000);
		vh = open_request(&f, 17, VIRTIO_NET_HDR_GSO_UDP, 1400);
		iov[1].iov_len = f.len;
		assert_true(writev(tap, iov, 2) > 0);
		UNTIL(lost().rx_missed == missed + 1, );
		plain(&f, NULL, 100, i);
		pump(frame_comes_in);
	}
	packet_kind.close(&kp);
	close(tap);
}

static void port_closed_without_its_netdev_leaves_nothing_behind(void **state)
{
	need_rig();
	port_open(1500, 2);
	sh("ip link del pk0");
	pump(link_is_down);
	packet_kind.close(&kp);
}

#define LIFE(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_its_own_attributes_are_valid),
		LIFE(refused_netdevs_leave_nothing_behind),
		LIFE(socket_that_cannot_be_made_leaves_nothing_behind),
		LIFE(netdev_is_raised_to_carry_two_tags_and_never_lowered),
		LIFE(full_frames_pass_behind_two_service_tags),
		LIFE(queues_share_the_frames_by_flow),
		LIFE(ports_with_queues_do_not_share_a_group),
		LIFE(link_follows_the_carrier),
		LIFE(netdev_taken_down_makes_no_busy_loop),
		LIFE(long_frame_survives_the_link_going_down),
		LIFE(vanished_netdev_is_taken_again_when_it_is_back),
		LIFE(vanished_netdev_is_taken_again_with_all_queues),
		LIFE(renamed_netdev_stays_the_ports),
		LIFE(unusable_netdev_of_the_same_name_is_passed_over),
		LIFE(ring_stuck_on_a_frame_without_a_name_is_replaced),
		LIFE(port_closed_without_its_netdev_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, rig_set_up, NULL);
}

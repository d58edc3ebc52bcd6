/* SPDX-License-Identifier: Apache-2.0 */
/* A port whose device is lost, and the one that comes in its place: the trunk by a tap, in a network namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dataplane.h"
#include "tap/tap.h"

#define NETDEV "trunk0"

static struct dp *dp;
static uint32_t all_buffers;

static uint32_t buffers_free(void)
{
	struct dp_node_info info;

	dp_node_info(dp, &info);
	return info.buffers_free;
}

/* As bpf/tun.c makes it: it stays. Its index. */
static unsigned make_netdev(void)
{
	struct ifreq ifr = {.ifr_name = NETDEV, .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_TUN_EXCL};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	return if_nametoindex(NETDEV);
}

/* As an operator does it, under whoever has it open. */
static void remove_netdev(void)
{
	assert_int_equal(system("ip link del " NETDEV), 0);
	assert_int_equal(if_nametoindex(NETDEV), 0);
}

/* A descriptor on it. 0 or more; -errno */
static int open_on(unsigned *ifindex, bool *uso)
{
	int fd = tap_device_open(), r;

	assert_true(fd >= 0);
	r = tap_netdev_take(fd, NETDEV, ifindex, uso);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* --- queues ------------------------------------------------------------------------------------------------------------------ */

static void later_queue_makes_no_netdev_of_its_own(void **state)
{
	unsigned first = make_netdev(), ifindex = first;
	bool uso;
	int fd = open_on(&ifindex, &uso), second;

	assert_true(fd >= 0);
	second = open_on(&ifindex, &uso);
	assert_true(second >= 0);
	assert_int_equal(ifindex, first);
	close(second);
	remove_netdev();
	assert_int_equal(open_on(&ifindex, &uso), -ESTALE);
	assert_int_equal(if_nametoindex(NETDEV), 0);
	close(fd);
}

static void later_queue_takes_no_netdev_of_anothers(void **state)
{
	unsigned ifindex = make_netdev(), others;
	bool uso;

	remove_netdev();
	others = make_netdev();
	assert_int_equal(open_on(&ifindex, &uso), -ESTALE);
	assert_int_equal(if_nametoindex(NETDEV), others);
	remove_netdev();
}

static void netdev_that_is_made_is_new(void **state)
{
	unsigned there = make_netdev(), ifindex = 0;
	bool uso;
	int fd;

	assert_int_equal(open_on(&ifindex, &uso), -EBUSY);
	remove_netdev();
	ifindex = 0;
	fd = open_on(&ifindex, &uso);
	assert_true(fd >= 0 && ifindex && ifindex != there && ifindex == if_nametoindex(NETDEV));
	close(fd);
	assert_int_equal(if_nametoindex(NETDEV), 0);
}

/* --- a port ------------------------------------------------------------------------------------------------------------------ */

static struct dp_port_conf trunk(unsigned ifindex)
{
	return (struct dp_port_conf){.name = "t",
				     .kind = "trunk",
				     .carrier = "tap",
				     .ifname = NETDEV,
				     .ifindex = ifindex,
				     .vlan_mode = DP_VLAN_TRUNK,
				     .queues = 2};
}

static int apply_one(enum dp_op_type type, const void *object, struct dp_error *lack)
{
	struct dp_op op = {.type = type, .port = object, .lack = lack};
	struct dp_error err = {0};

	return dp_apply(dp, &op, 1, false, &err);
}

static struct dp_port_state port_state(void)
{
	struct dp_port_state s = {0};

	assert_int_equal(dp_port_state(dp, "t", &s), 0);
	return s;
}

static uint64_t rx_frames(void)
{
	struct dp_port_stats s;

	assert_int_equal(dp_port_stats(dp, "t", &s), 0);
	return s.rx_frames;
}

/* The daemon's loop, for a moment. */
static void turn(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(0);

	epoll_ctl(ep, EPOLL_CTL_ADD, dp_fd(dp), &ev);
	epoll_wait(ep, &ev, 1, 10);
	close(ep);
	dp_dispatch(dp);
}

static uint64_t missed(void)
{
	struct dp_port_stats s;

	assert_int_equal(dp_port_stats(dp, "t", &s), 0);
	return s.drops[SLC_DROP_RX_MISSED];
}

/* Frames by the netdev, whether it takes them or not. */
static void give(int fd, unsigned ifindex, unsigned n)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_halen = 6};
	uint8_t frame[60] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0xb5};

	for (unsigned i = 0; i < n; i++)
		(void)!sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
}

/* Frames that the netdev sends come to the port. */
static void carries(unsigned ifindex)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint64_t from = rx_frames();

	for (unsigned i = 0; i < 1000 && (!port_state().link_up || rx_frames() == from); i++) {
		give(fd, ifindex, 1);
		turn();
	}
	close(fd);
	assert_true(port_state().link_up);
	assert_true(rx_frames() > from);
}

/* More of them than the worker, which was asleep, is in time for. */
static void loses_some(unsigned ifindex)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint64_t from = missed();

	for (unsigned i = 0; i < 1000 && missed() == from; i++) {
		turn();
		give(fd, ifindex, 4000);
	}
	close(fd);
	assert_true(missed() > from);
}

static void what_each_device_lost_stays_counted(void **state)
{
	struct dp_port_conf conf = trunk(make_netdev());
	uint64_t before;

	conf.ring = 64;
	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), 0);
	carries(conf.ifindex);
	loses_some(conf.ifindex);
	before = missed();
	/* The second loses nothing. */
	for (unsigned i = 0; i < 2; i++) {
		remove_netdev();
		assert_int_equal(dp_port_lose(dp, "t"), 0);
		assert_true(missed() >= before);
		conf.ifindex = make_netdev();
		assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), 0);
		assert_true(missed() >= before);
	}
	carries(conf.ifindex);
	loses_some(conf.ifindex);
	assert_true(missed() > before);
	assert_int_equal(apply_one(DP_PORT_DEL, &conf, NULL), 0);
	remove_netdev();
}

static void port_goes_on_without_its_device_and_with_the_next(void **state)
{
	struct dp_mac behind = {"t", 100, {2, 0, 0, 0, 0, 1}};
	struct dp_port_conf conf = trunk(make_netdev());
	struct dp_error lack = {0};
	uint64_t before;

	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), 0);
	assert_int_equal(apply_one(DP_MAC_ADD, &behind, NULL), 0);
	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), -EEXIST);
	carries(conf.ifindex);
	before = rx_frames();

	remove_netdev();
	assert_int_equal(dp_port_lose(dp, "no-such"), -ENOENT);
	assert_int_equal(dp_port_lose(dp, "t"), 0);
	assert_int_equal(dp_port_lose(dp, "t"), 0);
	assert_false(port_state().link_up);
	assert_true(rx_frames() >= before);
	assert_int_equal(buffers_free(), all_buffers);

	/* Lacking, it is changed all the same; refused, not. */
	conf.mtu = 2000;
	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), -ENODEV);
	assert_int_equal(port_state().mtu, 1500);
	conf.ifindex = 0;
	assert_int_equal(apply_one(DP_PORT_ADD, &conf, &lack), 0);
	assert_string_equal(lack.name, "no-such-device");
	assert_int_equal(port_state().mtu, 2000);
	conf.mtu = 2001;
	assert_int_equal(apply_one(DP_PORT_SET, &conf, NULL), 0);
	assert_int_equal(port_state().mtu, 2001);
	conf.queues = 1;
	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), -EINVAL);
	conf.queues = 2;

	for (unsigned i = 0; i < 3; i++) {
		conf.ifindex = make_netdev();
		lack = (struct dp_error){0};
		assert_int_equal(apply_one(DP_PORT_ADD, &conf, &lack), 0);
		assert_null(lack.name);
		assert_true(rx_frames() >= before);
		carries(conf.ifindex);
		before = rx_frames();
		remove_netdev();
		assert_int_equal(dp_port_lose(dp, "t"), 0);
	}
	assert_int_equal(port_state().queues, 2);
	assert_int_equal(port_state().macs >= 1, 1);
	assert_int_equal(apply_one(DP_PORT_DEL, &conf, NULL), -EBUSY);
	assert_int_equal(apply_one(DP_MAC_DEL, &behind, NULL), 0);
	assert_int_equal(apply_one(DP_PORT_DEL, &conf, NULL), 0);
	assert_int_equal(buffers_free(), all_buffers);
}

/* What was opened in a change that fails elsewhere is closed, and the port has no device still. */
static void device_of_a_change_that_fails_is_let_go(void **state)
{
	struct dp_port_conf conf = trunk(make_netdev()),
			    bad = {.name = "b", .kind = "af-packet", .ifname = "no-such-dev", .vlan_mode = DP_VLAN_TRUNK};
	struct dp_error err = {0};

	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), 0);
	remove_netdev();
	assert_int_equal(dp_port_lose(dp, "t"), 0);
	conf.ifindex = make_netdev();
	assert_int_equal(dp_apply(dp, (struct dp_op[]){{DP_PORT_ADD, .port = &conf}, {DP_PORT_ADD, .port = &bad}}, 2, false, &err),
			 -ENODEV);
	assert_int_equal(err.op, 1);
	assert_false(port_state().link_up);
	assert_int_equal(buffers_free(), all_buffers);
	assert_int_equal(apply_one(DP_PORT_ADD, &conf, NULL), 0);
	carries(conf.ifindex);
	assert_int_equal(apply_one(DP_PORT_DEL, &conf, NULL), 0);
	remove_netdev();
}

static int start_switch(void **state)
{
	struct dp_config config = {.memory = DP_MEMORY_PLAIN, .buffers = 8192};
	struct dp_error err = {0};

	if (unshare(CLONE_NEWNET) < 0 || dp_open(&dp, &config, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	all_buffers = buffers_free();
	return 0;
}

static int stop_switch(void **state)
{
	dp_close(dp);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_queue_makes_no_netdev_of_its_own),
		cmocka_unit_test(later_queue_takes_no_netdev_of_anothers),
		cmocka_unit_test(netdev_that_is_made_is_new),
		cmocka_unit_test(port_goes_on_without_its_device_and_with_the_next),
		cmocka_unit_test(device_of_a_change_that_fails_is_let_go),
		cmocka_unit_test(what_each_device_lost_stays_counted),
	};

	return cmocka_run_group_tests(tests, start_switch, stop_switch);
}

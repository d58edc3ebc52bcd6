/* SPDX-License-Identifier: Apache-2.0 */

/*
 * rtnetlink: errors are the kernel's own, and memory that fails undoes what was begun.
 *
 * In a network namespace and a mount namespace of the test's own, so nothing of it is left. libnl is linked statically, and its allocations pass
 * through here (--wrap, see the Makefile), together with ours.
 */

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/pkt_sched.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <netlink/attr.h>
#include <netlink/errno.h>

#include "inside.h"
#include "netdev_stats.h"

/* --- memory that fails --------------------------------------------------------------------------------------------------------- */

static unsigned long fail_at; /* 0: never */
static bool failed;

static bool fails(void)
{
	if (!fail_at || --fail_at)
		return false;
	failed = true;
	return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
	return fails() ? (errno = ENOMEM, NULL) : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? (errno = ENOMEM, NULL) : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? (errno = ENOMEM, NULL) : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? (errno = ENOMEM, NULL) : __real_strdup(s);
}

/* --- rig ------------------------------------------------------------------------------------------------------------------------ */

static struct kern rig_kern; /* for its socket */
#define nl rig_kern.nl
static int inner_fd; /* a namespace for the container */

/* All that is to be undone is undone when the process ends: both namespaces are its own. */
static int rig(void **state)
{
	int back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (geteuid() != 0 || back < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	inner_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	close(back);
	if (inner_fd < 0 || unshare(CLONE_NEWNET) < 0)
		return -1;
	/* A bpffs of our own over that of the machine. */
	return mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL);
}

static int open_nl(void **state)
{
	return netlink_open(&nl);
}

static int close_nl(void **state)
{
	uint32_t left = if_nametoindex("t0");

	if (left)
		veth_unmake(&rig_kern, left);
	netlink_close(&nl);
	return 0;
}

static uint32_t make_pair(void)
{
	struct veth_end near = {.ifname = "t0"}, far = {.ifname = "t1"};

	assert_int_equal(veth_pair(&nl, &near, &far), 0);
	return if_nametoindex("t0");
}

/* A qdisc of that kind, by hand: libnl would refuse one that it does not know. */
static int add_qdisc(uint32_t ifindex, const char *kind)
{
	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_ROOT, .tcm_handle = 0x10000};
	struct nl_msg *msg = netlink_request(RTM_NEWQDISC, NLM_F_CREATE, &tc, sizeof(tc));

	return netlink_talk(&nl, nla_put_string(msg, TCA_KIND, kind), msg);
}

static int add_addr(uint16_t type, uint32_t ifindex, const char *text)
{
	struct ifaddrmsg ifa = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = ifindex};
	struct nl_msg *msg = netlink_request(type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0, &ifa, sizeof(ifa));
	struct in_addr a;

	inet_pton(AF_INET, text, &a);
	return netlink_talk(&nl, nla_put(msg, IFA_LOCAL, sizeof(a), &a), msg);
}

/* --- errors ---------------------------------------------------------------------------------------------------------------------- */

/* libnl has one class for each of these pairs: EEXIST and EADDRINUSE, ENOENT and ESRCH, EADDRNOTAVAIL and "no address"; and none for ERANGE's like. */
static void errors_are_the_kernels_own(void **state)
{
	struct veth_end near = {.ifname = "t0"}, far = {.ifname = "t2"};
	struct veth_link link;
	uint32_t t0 = make_pair();

	assert_int_equal(veth_pair(&nl, &near, &far), -EEXIST);
	assert_int_equal(veth_link_in(&nl, t0 + 1000, &link), -ENODEV);
	assert_int_equal(add_qdisc(t0, "nosuch"), -ENOENT);
	assert_int_equal(add_addr(RTM_DELADDR, t0, "10.0.0.1"), -EADDRNOTAVAIL);
	assert_int_equal(add_addr(RTM_NEWADDR, t0, "10.0.0.1"), 0);
	assert_int_equal(add_addr(RTM_NEWADDR, t0, "10.0.0.1"), -EEXIST);
	/* A socket that is no socket is the system's error, not the kernel's answer. */
	assert_int_equal(dup2(inner_fd, netlink_fd(&nl)), netlink_fd(&nl));
	assert_int_equal(veth_link_in(&nl, t0, &link), -ENOTSOCK);
	netlink_close(&nl);
	assert_int_equal(netlink_open(&nl), 0);
}

/* Write a verdict to a socket, as who has power over its namespace can. A socket's number is mostly its process's. */
static void lie_to(uint32_t port, uint32_t seq)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr verdict;
	} lie = {{.nlmsg_len = sizeof(lie), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = seq}, {.error = -EPERM}};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = port};
	int liar = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	assert_int_equal(sendto(liar, &lie, sizeof(lie), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(lie));
	close(liar);
}

static void only_the_kernel_answers(void **state)
{
	uint32_t t0 = make_pair();
	struct veth_link link;

	/* The number of the next question, and of one after it. */
	lie_to(nl_socket_get_local_port(nl.sock), nl.seq + 1);
	lie_to(nl_socket_get_local_port(nl.sock), nl.seq + 2);
	assert_int_equal(veth_link_in(&nl, t0, &link), 0);
	assert_int_equal(link.ifindex, t0);
	assert_int_equal(veth_set_up(&nl, t0), 0);
}

static void only_the_kernel_counts(void **state)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl at = {.nl_family = AF_NETLINK};
	socklen_t len = sizeof(at);
	struct rtnl_link_stats64 stats;

	assert_int_equal(bind(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(sock, (struct sockaddr *)&at, &len), 0);
	for (unsigned i = 0; i < 3; i++)
		lie_to(at.nl_pid, 0);
	assert_int_equal(netdev_stats(sock, if_nametoindex("lo"), &stats), 0);
	lie_to(at.nl_pid, 0);
	assert_int_equal(netdev_stats(sock, 99999, &stats), -ENODEV);
	close(sock);
}

static void the_kernels_text_is_kept_until_the_next_question(void **state)
{
	uint32_t t0 = make_pair();
	struct kern_error err;

	assert_int_equal(veth_set_mtu(&nl, t0, 10), -EINVAL);
	assert_non_null(strstr(nl.why, "mtu"));
	kern_fail_nl(&err, -EINVAL, &nl, "mtu", "port a");
	assert_non_null(strstr(err.msg, nl.why));
	assert_int_equal(add_qdisc(t0, "nosuch"), -ENOENT);
	assert_non_null(strstr(nl.why, "kind"));
	assert_int_equal(veth_set_up(&nl, t0), 0);
	assert_string_equal(nl.why, "");
}

static void what_was_not_built_is_not_sent(void **state)
{
	struct ifinfomsg ifi = {.ifi_index = 1};

	assert_int_equal(netlink_talk(&nl, 0, NULL), -ENOMEM);
	assert_int_equal(netlink_talk(&nl, -NLE_NOMEM, NULL), -ENOMEM);
	assert_int_equal(netlink_talk(&nl, -NLE_MISSING_ATTR, netlink_request(RTM_DELLINK, 0, &ifi, sizeof(ifi))), -EINVAL);
	assert_int_equal(netlink_talk(&nl, -NLE_MSGSIZE, NULL), -EMSGSIZE);
}

/* --- looking, listening ------------------------------------------------------------------------------------------------------------ */

static int stop_at_two(void *arg, struct nl_msg *msg)
{
	return ++*(unsigned *)arg == 2 ? -EDOM : 0;
}

static void a_walk_ends_with_what_its_caller_says(void **state)
{
	static const struct ifinfomsg all;
	struct veth_link link;
	unsigned n = 0;
	uint32_t t0 = make_pair();

	assert_int_equal(netlink_ask(&nl, 0, netlink_request(RTM_GETLINK, NLM_F_DUMP, &all, sizeof(all)), stop_at_two, &n), -EDOM);
	assert_int_equal(n, 2);
	/* The rest of that answer does not come as the next one. */
	assert_int_equal(veth_link_in(&nl, t0, &link), 0);
	assert_string_equal(link.ifname, "t0");
}

static void a_link_is_seen_as_it_is(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	struct veth_end near = {.ifname = "t0", .mtu = 1400, .mac = mac}, far = {.ifname = "t1", .ns_fd = inner_fd};
	struct veth_link link;

	assert_int_equal(veth_pair(&nl, &near, &far), 0);
	assert_int_equal(veth_set_alias(&nl, if_nametoindex("t0"), "an alias"), 0);
	assert_int_equal(veth_link_in(&nl, if_nametoindex("t0"), &link), 0);
	assert_string_equal(link.ifname, "t0");
	assert_string_equal(link.alias, "an alias");
	assert_memory_equal(link.mac, mac, 6);
	assert_int_equal(link.mtu, 1400);
	assert_true(link.peer && link.peer_nsid >= 0 && !link.up && !link.lower_up);
	assert_int_equal(veth_set_up(&nl, link.ifindex), 0);
	assert_int_equal(veth_link_in(&nl, link.ifindex, &link), 0);
	assert_true(link.up && !link.lower_up);
}

static int count(void *arg, struct nl_msg *msg)
{
	++*(unsigned *)arg;
	return 0;
}

static void a_full_listener_is_told_so_and_hears_on(void **state)
{
	uint32_t t0 = make_pair();
	struct netlink ear;
	unsigned n = 0;
	int least = 0;

	assert_int_equal(netlink_listen(&ear, RTNLGRP_LINK), 0);
	assert_int_equal(netlink_hear(&ear, count, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(setsockopt(netlink_fd(&ear), SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(veth_set_mtu(&nl, t0, 1400 + i), 0);
	assert_int_equal(netlink_hear(&ear, count, &n), -ENOBUFS);
	assert_int_equal(netlink_hear(&ear, count, &n), 0);
	assert_in_range(n, 1, 63);
	n = 0;
	assert_int_equal(veth_set_mtu(&nl, t0, 1300), 0);
	assert_int_equal(netlink_hear(&ear, count, &n), 0);
	assert_in_range(n, 1, 4);
	/* More than fits into one call is for the next ones. */
	least = 1 << 20;
	assert_int_equal(setsockopt(netlink_fd(&ear), SOL_SOCKET, SO_RCVBUFFORCE, &least, sizeof(least)), 0);
	for (unsigned i = 0; i < NETLINK_BURST; i++)
		assert_int_equal(veth_set_mtu(&nl, t0, 1400 + i), 0);
	assert_int_equal(veth_set_mtu(&nl, t0, 1300), 0);
	n = 0;
	assert_int_equal(netlink_hear(&ear, count, &n), 0);
	assert_int_equal(n, NETLINK_BURST);
	assert_int_equal(netlink_hear(&ear, count, &n), 0);
	assert_true(n > NETLINK_BURST);
	netlink_close(&ear);
	netlink_close(&ear);
}

/* --- memory ------------------------------------------------------------------------------------------------------------------------ */

static void quiet(int priority, const char *text)
{
}

static struct kern_port_conf everything(const char *name)
{
	struct kern_port_conf c = {
		.vlan = 100,
		.has_mac = true,
		.mac = {2, 0, 0, 0, 0, 1},
		.mtu = 1400,
		.n_addrs = 2,
		.has_gateway4 = true,
		.has_gateway6 = true,
		.in = {.bps = 1000000},
		.out = {.bps = 2000000},
	};

	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.netns, sizeof(c.netns), "/proc/self/fd/%d", inner_fd);
	snprintf(c.ifname, sizeof(c.ifname), "eth0");
	c.addrs[0] = (struct kern_ip){.family = AF_INET, .prefix = 24};
	c.addrs[1] = (struct kern_ip){.family = AF_INET6, .prefix = 64};
	inet_pton(AF_INET, "10.0.0.1", &c.addrs[0].v4);
	inet_pton(AF_INET6, "2001:db8::1", &c.addrs[1].v6);
	inet_pton(AF_INET, "10.0.0.2", &c.gateway4);
	inet_pton(AF_INET6, "2001:db8::2", &c.gateway6);
	return c;
}

/* Netdevs of the node's namespace, and of the container's. */
static unsigned n_links(void)
{
	struct if_nameindex *all = if_nameindex();
	unsigned n = 0;

	assert_non_null(all);
	while (all[n].if_index)
		n++;
	if_freenameindex(all);
	return n;
}

static unsigned n_links_inside(void)
{
	unsigned n;
	int back;

	assert_int_equal(netns_enter(inner_fd, &back), 0);
	n = n_links();
	netns_leave(back);
	return n;
}

/*
 * A port is added, changed and deleted, with the Nth allocation failing, for every N there is: what failed says so and has left nothing, and
 * what did not is whole.
 */
static void each_allocation_may_fail(void **state)
{
	struct kern_port_conf first = everything("a"), then = everything("a");
	struct kern_op add = {.type = KERN_PORT_ADD, .port = &first}, set = {.type = KERN_PORT_SET, .port = &then};
	struct kern_op del = {.type = KERN_PORT_DEL, .port = &first};
	struct kern_config config = {.bpf_dir = "/sys/fs/bpf/faults", .log = quiet};
	unsigned before, inside_before;
	struct kern_error err;
	struct kern *e;
	unsigned long n = 0, refused = 0;

	then.mac[5] = 7;
	then.mtu = 1300;
	then.n_addrs = 1;
	then.has_gateway6 = false;
	then.in.bps = 3000000;
	assert_int_equal(kern_open(&e, &config, &err), 0);
	before = n_links();
	inside_before = n_links_inside();
	do {
		int r;

		failed = false;
		fail_at = ++n;
		r = kern_apply(e, &add, 1, false, &err);
		if (r == 0)
			r = kern_apply(e, &set, 1, false, &err);
		fail_at = 0;
		if (r < 0) {
			refused++;
			assert_int_equal(r, -ENOMEM);
			assert_true(failed && err.msg[0]);
		}
		if (!kern_port_conf(e, "a")) {
			assert_int_equal(n_links(), before);
			assert_int_equal(n_links_inside(), inside_before);
		}
		/* As if nothing had been. */
		assert_int_equal(kern_apply(e, &set, 1, false, &err) == 0 || kern_apply(e, &add, 1, false, &err) == 0, 1);
		assert_int_equal(n_links_inside(), inside_before + 1);
		assert_int_equal(kern_apply(e, &del, 1, false, &err), 0);
		assert_int_equal(n_links_inside(), inside_before);
	} while (failed);
	print_message("%lu allocations, %lu refused\n", n - 1, refused);
	assert_true(refused > 50);
	kern_close(e);
	assert_int_equal(kern_cleanup(config.bpf_dir), 0);
	assert_int_equal(n_links(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(errors_are_the_kernels_own, open_nl, close_nl),
		cmocka_unit_test_setup_teardown(only_the_kernel_answers, open_nl, close_nl),
		cmocka_unit_test(only_the_kernel_counts),
		cmocka_unit_test_setup_teardown(the_kernels_text_is_kept_until_the_next_question, open_nl, close_nl),
		cmocka_unit_test_setup_teardown(what_was_not_built_is_not_sent, open_nl, close_nl),
		cmocka_unit_test_setup_teardown(a_walk_ends_with_what_its_caller_says, open_nl, close_nl),
		cmocka_unit_test_setup_teardown(a_link_is_seen_as_it_is, open_nl, close_nl),
		cmocka_unit_test_setup_teardown(a_full_listener_is_told_so_and_hears_on, open_nl, close_nl),
		cmocka_unit_test(each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, rig, NULL);
}

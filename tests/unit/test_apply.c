/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dp_apply() on a running switch: all or nothing, references, and nothing left behind. The devices are DPDK's null driver: it receives
 * endless frames, so every removal here is the removal of a port that is receiving.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane.h"

static struct dp *dp;
static uint32_t all_buffers;

static uint32_t buffers_free(void)
{
	struct dp_node_info info;

	dp_node_info(dp, &info);
	return info.buffers_free;
}

static uint32_t ports(void)
{
	struct dp_node_info info;

	dp_node_info(dp, &info);
	return info.ports;
}

static struct dp_port_conf null_port(const char *name, uint16_t vlan)
{
	static unsigned unit;
	struct dp_port_conf c = {.kind = "nic", .vlan_mode = vlan ? DP_VLAN_ACCESS : DP_VLAN_TRUNK, .vlan = vlan};

	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.devargs, sizeof(c.devargs), "net_null%u,size=64", unit++);
	return c;
}

static struct dp_port_conf silent_port(const char *name, uint16_t vlan)
{
	struct dp_port_conf c = null_port(name, vlan);

	snprintf(c.devargs + strlen(c.devargs), sizeof(c.devargs) - strlen(c.devargs), ",no-rx=1");
	return c;
}

static int apply_one(enum dp_op_type type, const void *object, struct dp_error *err)
{
	struct dp_op op = {.type = type, .port = object};

	return dp_apply(dp, &op, 1, false, err);
}

static void must(int r, const struct dp_error *err)
{
	if (r)
		print_error("%s: %s\n", err->name, err->msg);
	assert_int_equal(r, 0);
}

static void add_vlan(uint16_t id)
{
	struct dp_vlan_conf v = {.id = id};
	struct dp_error err = {0};

	must(apply_one(DP_VLAN_SET, &v, &err), &err);
}

/* Nothing of an earlier test is left. */
static int clean_slate(void **state)
{
	struct dp_error err;

	for (uint16_t id = 1; id < 4095; id++) {
		struct dp_vlan_state s;
		struct dp_vlan_conf v = {.id = id};

		if (dp_vlan_state(dp, id, &s) == 0 && apply_one(DP_VLAN_DEL, &v, &err) < 0)
			return -1;
	}
	return ports() == 0 && buffers_free() == all_buffers ? 0 : -1;
}

static void del_port(const char *name)
{
	struct dp_port_conf c = {0};
	struct dp_error err = {0};

	snprintf(c.name, sizeof(c.name), "%s", name);
	must(apply_one(DP_PORT_DEL, &c, &err), &err);
}

/* --- atomic ---------------------------------------------------------------------------------------------------------------------- */

static void failing_operation_undoes_those_before_it(void **state)
{
	struct dp_vlan_conf v = {.id = 100}, old = {.id = 200, .mac_limit = 7};
	struct dp_vlan_conf changed = {.id = 200, .mac_limit = 9};
	struct dp_port_conf a = null_port("a", 100), bad = null_port("b", 100);
	struct dp_vlan_state s;
	struct dp_error err = {0};
	struct dp_op ops[] = {
		{DP_VLAN_SET, .vlan = &v}, {DP_VLAN_SET, .vlan = &changed}, {DP_PORT_ADD, .port = &a}, {DP_PORT_ADD, .port = &bad}};

	must(apply_one(DP_VLAN_SET, &old, &err), &err);
	snprintf(bad.devargs, sizeof(bad.devargs), "net_nothing0");
	assert_true(dp_apply(dp, ops, 4, false, &err) < 0);
	assert_int_equal(err.op, 3);
	assert_string_equal(err.name, "no-such-driver");
	assert_string_equal(err.attr, "devargs");
	assert_int_equal(ports(), 0);
	assert_int_equal(dp_vlan_state(dp, 100, &s), -ENOENT);
	assert_int_equal(dp_vlan_state(dp, 200, &s), 0);
	assert_int_equal(dp_port_state(dp, "a", &(struct dp_port_state){0}), -ENOENT);
	assert_int_equal(buffers_free(), all_buffers);
}

static struct dp_port_conf lacking_port(const char *name, uint16_t vlan)
{
	struct dp_port_conf c = {.kind = "af-packet", .ifname = "no-such-dev", .vlan_mode = DP_VLAN_ACCESS, .vlan = vlan};

	snprintf(c.name, sizeof(c.name), "%s", name);
	return c;
}

static void lacking_device_leaves_its_port_out_and_nothing_else(void **state)
{
	struct dp_vlan_conf v = {.id = 100};
	struct dp_port_conf a = silent_port("a", 100), b = lacking_port("b", 100), c = silent_port("c", 100);
	struct dp_error err = {0}, lack = {0}, none = {0};
	struct dp_op ops[] = {{DP_VLAN_SET, .vlan = &v},
			      {DP_PORT_ADD, .port = &a, .lack = &none},
			      {DP_PORT_ADD, .port = &b, .lack = &lack},
			      {DP_PORT_ADD, .port = &c}};
	struct dp_vlan_state s;

	/* Its addresses are not bound, so another may have them. */
	b.has_mac = true;
	b.mac[0] = 2;
	must(dp_apply(dp, ops, 4, false, &err), &err);
	assert_string_equal(lack.name, "no-such-device");
	assert_string_equal(lack.attr, "ifname");
	assert_int_equal(lack.op, 2);
	assert_null(none.name);
	assert_int_equal(ports(), 2);
	assert_int_equal(dp_port_state(dp, "b", &(struct dp_port_state){0}), -ENOENT);
	dp_vlan_state(dp, 100, &s);
	assert_int_equal(s.members, 2);
	assert_int_equal(s.macs, 0);
	/* Without a place to say so it fails the apply. */
	assert_int_equal(apply_one(DP_PORT_ADD, &b, &err), -ENODEV);
	assert_string_equal(err.name, "no-such-device");
	del_port("a");
	del_port("c");
}

static void port_replaced_by_a_lacking_one_goes(void **state)
{
	struct dp_port_conf a = null_port("a", 100), b = lacking_port("a", 100);
	struct dp_error err = {0}, lack = {0};
	struct dp_op ops[] = {{DP_PORT_DEL, .port = &a}, {DP_PORT_ADD, .port = &b, .lack = &lack}};

	add_vlan(100);
	must(apply_one(DP_PORT_ADD, &a, &err), &err);
	must(dp_apply(dp, ops, 2, false, &err), &err);
	assert_string_equal(lack.name, "no-such-device");
	assert_int_equal(ports(), 0);
	/* What is left out does not hold its VLAN. */
	must(apply_one(DP_VLAN_DEL, &(struct dp_vlan_conf){.id = 100}, &err), &err);
}

static void prepared_change_is_seen_when_committed_and_gone_when_aborted(void **state)
{
	struct dp_vlan_conf v = {.id = 100};
	struct dp_port_conf a = null_port("a", 100);
	struct dp_error err = {0};
	struct dp_op ops[] = {{DP_VLAN_SET, .vlan = &v}, {DP_PORT_ADD, .port = &a}};
	struct dp_change *change;

	must(dp_prepare(dp, ops, 2, &change, &err), &err);
	assert_int_equal(ports(), 0);
	dp_abort(change);
	assert_int_equal(buffers_free(), all_buffers);
	snprintf(a.devargs, sizeof(a.devargs), "%s", null_port("a", 100).devargs);
	must(dp_prepare(dp, ops, 2, &change, &err), &err);
	dp_commit(change);
	assert_int_equal(ports(), 1);
	del_port("a");
}

static void dry_run_checks_and_changes_nothing(void **state)
{
	struct dp_vlan_conf v = {.id = 100};
	struct dp_port_conf a = null_port("a", 100);
	struct dp_error err = {0};
	struct dp_op ops[] = {{DP_VLAN_SET, .vlan = &v}, {DP_PORT_ADD, .port = &a}};

	must(dp_apply(dp, ops, 2, true, &err), &err);
	assert_int_equal(ports(), 0);
	a.vlan = 101;
	assert_int_equal(dp_apply(dp, ops, 2, true, &err), -ENOENT);
	assert_int_equal(err.op, 1);
	assert_string_equal(err.attr, "vlan");
}

static void port_needs_its_vlan_and_keeps_it_in_use(void **state)
{
	struct dp_vlan_conf v = {.id = 100};
	struct dp_port_conf a = null_port("a", 100);
	struct dp_error err = {0};
	struct dp_op both[] = {{DP_VLAN_DEL, .vlan = &v}, {DP_PORT_DEL, .port = &a}};

	assert_int_equal(apply_one(DP_PORT_ADD, &a, &err), -ENOENT);
	add_vlan(100);
	must(apply_one(DP_PORT_ADD, &a, &err), &err);
	assert_int_equal(apply_one(DP_VLAN_DEL, &v, &err), -EBUSY);
	assert_string_equal(err.name, "in-use");
	/* In one apply the order does not matter. */
	must(dp_apply(dp, both, 2, false, &err), &err);
	assert_int_equal(ports(), 0);
}

static void operations_of_one_apply_build_on_each_other(void **state)
{
	struct dp_port_conf a = silent_port("a", 100), again = silent_port("a", 200);
	struct dp_error err = {0};
	struct dp_op ops[] = {{DP_PORT_ADD, .port = &a}, {DP_PORT_DEL, .port = &a}, {DP_PORT_ADD, .port = &again}};
	struct dp_vlan_state s;

	add_vlan(100);
	add_vlan(200);
	must(dp_apply(dp, ops, 3, false, &err), &err);
	dp_vlan_state(dp, 100, &s);
	assert_int_equal(s.members, 0);
	dp_vlan_state(dp, 200, &s);
	assert_int_equal(s.members, 1);
	/* And a port that is replaced by one of its name. */
	again = silent_port("a", 100);
	ops[0] = (struct dp_op){DP_PORT_DEL, .port = &again};
	ops[1] = (struct dp_op){DP_PORT_ADD, .port = &again};
	must(dp_apply(dp, ops, 2, false, &err), &err);
	dp_vlan_state(dp, 100, &s);
	assert_int_equal(s.members, 1);
	assert_int_equal(ports(), 1);
	del_port("a");
}

static void impossible_configurations_name_the_attribute(void **state)
{
	const struct {
		const char *attr;
		struct dp_port_conf conf;
	} cases[] = {
		{"kind", {.name = "p", .kind = "carrier-pigeon"}},
		{"kind", {.name = "p", .kind = "vhost", .path = "/run/x"}},
		{"path", {.name = "p", .kind = "vhost-user", .vlan_mode = DP_VLAN_TRUNK}},
		{"ring", {.name = "p", .kind = "vhost-user", .path = "/run/x", .vlan_mode = DP_VLAN_TRUNK, .ring = 256}},
		{"role", {.name = "p", .kind = "vhost-user", .path = "/run/x", .vlan_mode = DP_VLAN_TRUNK, .client = true}},
		{"server", {.name = "p", .kind = "memif", .path = "/run/x", .vlan_mode = DP_VLAN_TRUNK, .server = true}},
		{"ifname", {.name = "p", .kind = "af-packet", .vlan = 5}},
		{"devargs", {.name = "p", .kind = "nic", .vlan = 5}},
		{"path", {.name = "p", .kind = "nic", .devargs = "net_null9", .path = "/x"}},
		{"secret", {.name = "p", .kind = "tap", .ifname = "t0", .secret = "x"}},
		{"vlan", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_ACCESS}},
		{"vlan", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .vlan = 5}},
		{"vlan", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_ACCESS, .vlan = 4095}},
		{"trunks",
		 {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_ACCESS, .vlan = 5, .trunks.given = true}},
		{"cvlans", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .cvlans.given = true}},
		{"mtu", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .mtu = 67}},
		{"mtu", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .mtu = 9217}},
		{"queues", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .queues = 17}},
		{"ring", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .ring = 1000}},
		{"mac", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .has_mac = true, .mac = {1}}},
		{"in_burst_bytes", {.name = "p", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK, .in.burst_bytes = 9}},
		{"name", {.name = "no spaces", .kind = "tap", .ifname = "t0", .vlan_mode = DP_VLAN_TRUNK}},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dp_error err = {0};

		assert_true(apply_one(DP_PORT_ADD, &cases[i].conf, &err) < 0);
		assert_string_equal(err.attr, cases[i].attr);
		assert_true(err.msg[0] && err.name[0]);
	}
	assert_int_equal(ports(), 0);
}

static void attributes_of_the_device_are_fixed(void **state)
{
	struct dp_port_conf a = silent_port("a", 100), changed;
	struct dp_error err = {0};

	add_vlan(100);
	must(apply_one(DP_PORT_ADD, &a, &err), &err);
	changed = a;
	changed.queues = 2;
	assert_int_equal(apply_one(DP_PORT_SET, &changed, &err), -EINVAL);
	assert_string_equal(err.name, "fixed-attribute");
	assert_string_equal(err.attr, "queues");
	changed = a;
	changed.isolated = true;
	must(apply_one(DP_PORT_SET, &changed, &err), &err);
	del_port("a");
}

static void address_is_bound_to_one_port_of_a_vlan(void **state)
{
	struct dp_port_conf a = silent_port("a", 100), b = silent_port("b", 100), c = silent_port("c", 200);
	struct dp_error err = {0};
	struct dp_fdb_entry e[8];
	uint64_t cursor = 0;

	memcpy(a.mac, "\x02\0\0\0\0\x01", 6);
	a.has_mac = true;
	memcpy(b.mac, a.mac, 6);
	b.has_mac = true;
	memcpy(c.mac, a.mac, 6);
	c.has_mac = true;
	add_vlan(100);
	add_vlan(200);
	must(apply_one(DP_PORT_ADD, &a, &err), &err);
	assert_int_equal(apply_one(DP_PORT_ADD, &b, &err), -EEXIST);
	assert_string_equal(err.attr, "mac");
	must(apply_one(DP_PORT_ADD, &c, &err), &err);
	assert_int_equal(dp_fdb_walk(dp, &cursor, -1, NULL, NULL, e, 8), 2);
	/* Named twice by one port, it is bound once, and gone when both are. */
	a.n_static_macs = 1;
	a.static_macs[0].vlan = 100;
	memcpy(a.static_macs[0].mac, a.mac, 6);
	must(apply_one(DP_PORT_SET, &a, &err), &err);
	a.n_static_macs = 0;
	must(apply_one(DP_PORT_SET, &a, &err), &err);
	cursor = 0;
	assert_int_equal(dp_fdb_walk(dp, &cursor, 100, "a", NULL, e, 8), 1);
	/* It moves from one port to another in one apply. */
	a.has_mac = false;
	must(dp_apply(dp, (struct dp_op[]){{DP_PORT_ADD, .port = &b}, {DP_PORT_SET, .port = &a}}, 2, false, &err), &err);
	cursor = 0;
	assert_int_equal(dp_fdb_walk(dp, &cursor, 100, NULL, a.mac, e, 8), 1);
	assert_string_equal(e[0].port, "b");
	assert_true(e[0].is_static);
	del_port("a");
	del_port("b");
	del_port("c");
	cursor = 0;
	assert_int_equal(dp_fdb_walk(dp, &cursor, -1, NULL, NULL, e, 8), 0);
}

static unsigned fdb_entries(const char *port)
{
	struct dp_fdb_entry e[8];
	uint64_t cursor = 0;

	return (unsigned)dp_fdb_walk(dp, &cursor, -1, port, NULL, e, 8);
}

static void others_addresses_behind_a_port_are_bound_and_hold_it(void **state)
{
	struct dp_port_conf a = silent_port("a", 100), b = silent_port("b", 100);
	struct dp_mac one = {"a", 100, {2, 0, 0, 0, 0, 1}}, two = {"a", 200, {2, 0, 0, 0, 0, 2}}, there = one;
	struct dp_error err = {0};

	a.vlan_mode = DP_VLAN_NATIVE_UNTAGGED;
	snprintf(there.port, sizeof(there.port), "b");
	add_vlan(100);
	must(dp_apply(dp,
		      (struct dp_op[]){{DP_PORT_ADD, .port = &a},
				       {DP_PORT_ADD, .port = &b},
				       {DP_MAC_ADD, .mac = &one},
				       {DP_MAC_ADD, .mac = &two}},
		      4, false, &err),
	     &err);
	assert_int_equal(fdb_entries("a"), 2);
	assert_int_equal(apply_one(DP_MAC_ADD, &one, &err), -EEXIST);
	assert_int_equal(apply_one(DP_MAC_ADD, &there, &err), -EEXIST);
	assert_int_equal(apply_one(DP_PORT_DEL, &a, &err), -EBUSY);
	assert_string_equal(err.name, "in-use");
	/* A change of the port's configuration leaves them; an address moves to another port in one change. */
	a.mtu = 2000;
	must(apply_one(DP_PORT_SET, &a, &err), &err);
	assert_int_equal(fdb_entries("a"), 2);
	must(dp_apply(dp, (struct dp_op[]){{DP_MAC_DEL, .mac = &one}, {DP_MAC_ADD, .mac = &there}}, 2, false, &err), &err);
	assert_int_equal(fdb_entries("a"), 1);
	assert_int_equal(fdb_entries("b"), 1);
	/* What is not there is not missed. */
	must(apply_one(DP_MAC_DEL, &one, &err), &err);
	must(dp_apply(dp, (struct dp_op[]){{DP_MAC_DEL, .mac = &two}, {DP_PORT_DEL, .port = &a}}, 2, false, &err), &err);
	must(apply_one(DP_MAC_DEL, &there, &err), &err);
	del_port("b");
	assert_int_equal(fdb_entries(NULL), 0);
	one.mac[0] = 1;
	assert_int_equal(apply_one(DP_MAC_ADD, &one, &err), -EINVAL);
	two.vlan = 4095;
	assert_int_equal(apply_one(DP_MAC_ADD, &two, &err), -EINVAL);
	assert_int_equal(apply_one(DP_MAC_ADD, &there, &err), -ENOENT);
}

/* --- under traffic --------------------------------------------------------------------------------------------------------------- */

/* Wait until the port has received that many frames more. The daemon's loop, with a deadline: the null device receives without end. */
static void wait_frames(const char *name, uint64_t n)
{
	struct dp_port_stats s;
	uint64_t from;

	assert_int_equal(dp_port_stats(dp, name, &s), 0);
	from = s.rx_frames;
	for (unsigned i = 0; i < 10000; i++) {
		struct epoll_event ev;
		int ep = epoll_create1(0);

		ev.events = EPOLLIN;
		epoll_ctl(ep, EPOLL_CTL_ADD, dp_fd(dp), &ev);
		epoll_wait(ep, &ev, 1, 1);
		close(ep);
		dp_dispatch(dp);
		dp_port_stats(dp, name, &s);
		if (s.rx_frames - from >= n)
			return;
	}
	fail_msg("port %s receives nothing", name);
}

static void port_that_is_receiving_leaves_nothing_behind(void **state)
{
	struct dp_port_conf stay = null_port("stay", 100);
	struct dp_error err = {0};
	struct dp_node_info before, after;

	add_vlan(100);
	must(apply_one(DP_PORT_ADD, &stay, &err), &err);
	for (unsigned i = 0; i < 100; i++) {
		struct dp_port_conf come = null_port("come", 100);

		must(apply_one(DP_PORT_ADD, &come, &err), &err);
		wait_frames("come", 64);
		del_port("come");
	}
	wait_frames("stay", 64);
	dp_node_info(dp, &before);
	del_port("stay");
	dp_node_info(dp, &after);
	assert_int_equal(after.ports, 0);
	assert_int_equal(after.fdb_used, 0);
	assert_int_equal(after.buffers_free, all_buffers);
}

static void changes_while_receiving_count_every_frame_once(void **state)
{
	struct dp_port_conf a = null_port("a", 100);
	struct dp_port_stats s;
	struct dp_error err = {0};
	uint64_t drops = 0;

	add_vlan(100);
	add_vlan(200);
	must(apply_one(DP_PORT_ADD, &a, &err), &err);
	for (unsigned i = 0; i < 50; i++) {
		a.vlan = i & 1 ? 100 : 200;
		a.in.pps = i & 2 ? 1000 : 0;
		a.isolated = i & 4;
		a.down = i & 8;
		must(apply_one(DP_PORT_SET, &a, &err), &err);
		wait_frames("a", 64);
	}
	a.down = true;
	must(apply_one(DP_PORT_SET, &a, &err), &err);
	wait_frames("a", 64);
	/* The driver's source and destination are the same address, so every frame is dropped under one reason or another. */
	for (unsigned tries = 0; tries < 1000; tries++) {
		drops = 0;
		dp_port_stats(dp, "a", &s);
		for (unsigned r = 0; r < SLC_DROP_N; r++)
			drops += s.drops[r];
		if (drops == s.rx_frames)
			break;
	}
	assert_true(s.drops[SLC_DROP_RX_DOWN] > 0);
	assert_true(s.drops[SLC_DROP_LIMIT_IN] > 0);
	assert_true(drops <= s.rx_frames && s.rx_frames - drops <= 32);
	del_port("a");
}

static void node_counters_keep_those_of_removed_ports(void **state)
{
	struct dp_port_conf a = null_port("a", 100);
	struct dp_port_stats before, s, after;
	struct dp_error err = {0};

	add_vlan(100);
	dp_node_stats(dp, &before);
	must(apply_one(DP_PORT_ADD, &a, &err), &err);
	wait_frames("a", 1000);
	dp_port_stats(dp, "a", &s);
	del_port("a");
	dp_node_stats(dp, &after);
	assert_true(after.rx_frames >= before.rx_frames + s.rx_frames);
}

static void devices_are_counted_and_the_33rd_refused_by_number(void **state)
{
	struct dp_port_conf conf[33];
	struct dp_op ops[33];
	struct dp_error err = {0};
	char name[16];

	add_vlan(100);
	for (unsigned i = 0; i < 33; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		conf[i] = silent_port(name, 100);
		ops[i] = (struct dp_op){DP_PORT_ADD, .port = &conf[i]};
	}
	assert_true(dp_apply(dp, ops, 33, false, &err) < 0);
	assert_int_equal(err.op, 32);
	assert_string_equal(err.name, "too-many");
	assert_int_equal(ports(), 0);
	must(dp_apply(dp, ops, 32, false, &err), &err);
	for (unsigned i = 0; i < 32; i++)
		ops[i].type = DP_PORT_DEL;
	must(dp_apply(dp, ops, 32, false, &err), &err);
	assert_int_equal(ports(), 0);
}

static int start_switch(void **state)
{
	struct dp_config config = {.memory = DP_MEMORY_PLAIN, .buffers = 8192};
	struct dp_error err = {0};

	if (dp_open(&dp, &config, &err) < 0) {
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, NULL, clean_slate)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(failing_operation_undoes_those_before_it),
		TEST(lacking_device_leaves_its_port_out_and_nothing_else),
		TEST(port_replaced_by_a_lacking_one_goes),
		TEST(prepared_change_is_seen_when_committed_and_gone_when_aborted),
		TEST(dry_run_checks_and_changes_nothing),
		TEST(port_needs_its_vlan_and_keeps_it_in_use),
		TEST(operations_of_one_apply_build_on_each_other),
		TEST(impossible_configurations_name_the_attribute),
		TEST(attributes_of_the_device_are_fixed),
		TEST(address_is_bound_to_one_port_of_a_vlan),
		TEST(others_addresses_behind_a_port_are_bound_and_hold_it),
		TEST(port_that_is_receiving_leaves_nothing_behind),
		TEST(changes_while_receiving_count_every_frame_once),
		TEST(node_counters_keep_those_of_removed_ports),
		TEST(devices_are_counted_and_the_33rd_refused_by_number),
	};

	return cmocka_run_group_tests(tests, start_switch, stop_switch);
}

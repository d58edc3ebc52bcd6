/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The trunk's netdev and the far end that it has where it is a pair are the trunk's, whatever it is made as: no port is put on them.
 */

#include "kern.h"
#include "restart_rig.h"

#define ADD_ON(name, kind, ifname)                                                                                             \
	"{\"op\":\"add\",\"object\":\"port\",\"name\":\"" name "\",\"attrs\":{\"kind\":\"" kind "\",\"ifname\":\"" ifname "\"" \
	"}}"

static const struct object *port(const char *name)
{
	return table_find(&ctl.store.objects, &schema_port, name);
}

static void far_end_is_called_after_the_trunk(void **state)
{
	char far[16];

	kern_trunk_far("slc0", far);
	assert_string_equal(far, "slc0-dp");
	kern_trunk_far("twelve-chars", far);
	assert_string_equal(far, "twelve-chars-dp");
}

static void no_port_is_put_on_the_trunks_netdevs(void **state)
{
	static const char *const wrong[] = {
		OPS(ADD_ON("p", "af-packet", "slc0")), OPS(ADD_ON("p", "af-packet", "slc0-dp")), OPS(ADD_ON("p", "af-xdp", "slc0")),
		OPS(ADD_ON("p", "af-xdp", "slc0-dp")), OPS(ADD_ON("p", "tap", "slc0")),		 OPS(ADD_ON("p", "tap", "slc0-dp")),
	};
	json_t *reply;

	make_trunk();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		reply = call("apply", wrong[i]);
		assert_non_null(strstr(json_string_value(json_object_get(json_object_get(reply, "error"), "message")),
				       "is taken by port slc0"));
		assert_error(reply, RPC_REFUSED, "in-use", "ops[0].attrs.ifname");
	}
	/* What is only called alike is another's. */
	apply(OPS(ADD_ON("p", "af-packet", "slc0-d") "," ADD_ON("q", "tap", "slc0-dp0")), 2);
}

static void trunk_is_refused_where_a_port_is_on_its_netdev(void **state)
{
	struct txn_error bad;

	apply(OPS(ADD_ON("p", "af-packet", "slc0")), 1);
	assert_int_equal(try_trunk(&bad), -EEXIST);
	assert_string_equal(bad.fault.name, "in-use");
	assert_string_equal(bad.fault.msg, "port slc0: ifname slc0 is taken by port p");
	assert_null(port("slc0"));
}

/* Other builds let a port onto the trunk's netdev. Its node starts with all that it had, and lets go of the port as of any other. */
static void port_that_was_let_onto_the_trunk_is_no_damage(void **state)
{
	static const struct state_row port_row = {"port", "p", "me", 1, "{\"kind\":\"af-packet\",\"ifname\":\"slc0\"}"};
	static const struct state_row twin = {"port", "q", "you", 1, "{\"kind\":\"tap\",\"ifname\":\"slc0\"}"};

	make_trunk();
	assert_int_equal(state_begin(ctl.state), 0);
	assert_int_equal(state_put(ctl.state, &port_row), 0);
	assert_int_equal(state_commit(ctl.state, 1), 0);
	restart();
	assert_int_equal(fake_dp.n_ports, 2);
	assert_non_null(port("p"));
	apply(OPS(DEL("port", "p")), 2);
	assert_error(call("apply", OPS(ADD_ON("p", "af-packet", "slc0"))), RPC_REFUSED, "in-use", "ops[0].attrs.ifname");
	restart();
	assert_int_equal(fake_dp.n_ports, 1);
	/* Two clients' ports on one netdev are: no build lets that in. */
	assert_int_equal(state_begin(ctl.state), 0);
	assert_int_equal(state_put(ctl.state, &port_row), 0);
	assert_int_equal(state_put(ctl.state, &twin), 0);
	assert_int_equal(state_commit(ctl.state, 2), 0);
	restart();
	assert_int_equal(rig_count("*.damaged", NULL, 0), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(far_end_is_called_after_the_trunk),
		TEST(no_port_is_put_on_the_trunks_netdevs),
		TEST(trunk_is_refused_where_a_port_is_on_its_netdev),
		TEST(port_that_was_let_onto_the_trunk_is_no_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

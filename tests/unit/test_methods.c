/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the methods of the control socket do: apply and replace, get, stats, fdb, and the table behind them.
 */

#include "rpc_rig.h"

/* --- apply ----------------------------------------------------------------------------------------------------------------------- */

static void adding_what_is_so_succeeds_and_what_differs_is_refused(void **state)
{
	apply(OPS(ADD_VLAN("100") "," ADD_PORT("p", ",\"vlan\":100,\"ips\":[\"10.0.0.2\",\"10.0.0.1\"]")), 1);
	apply(OPS(ADD_PORT("p", ",\"vlan\":100,\"ips\":[\"10.0.0.1\",\"10.0.0.2\"]")), 1);
	assert_int_equal(fake_dp.applies, 1);
	assert_error(call("apply", OPS(ADD_PORT("p", ",\"vlan\":101"))), RPC_REFUSED, "exists", "ops[0].name");
	assert_int_equal(fake_dp.ports[0].vlan, 100);
}

static void set_changes_what_is_named_and_keeps_the_rest(void **state)
{
	apply(OPS(ADD_VLAN("100") "," ADD_PORT("p", ",\"vlan\":100,\"path\":\"/a\"")), 1);
	apply(OPS("{\"op\":\"set\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"in_bps\":5}}"), 2);
	assert_int_equal(fake_dp.ports[0].in.bps, 5);
	assert_int_equal(fake_dp.ports[0].vlan, 100);
	assert_int_equal(fake_dp.op_types[0], DP_PORT_SET);
	/* Nothing new: nothing to do. */
	apply(OPS("{\"op\":\"set\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"in_bps\":5}}"), 2);
	assert_int_equal(fake_dp.applies, 2);
	assert_error(call("apply", OPS("{\"op\":\"set\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"path\":\"/b\"}}")),
		     RPC_INVALID_PARAMS, "fixed-attribute", "ops[0].attrs.path");
	assert_error(call("apply", OPS("{\"op\":\"set\",\"object\":\"port\",\"name\":\"q\",\"attrs\":{}}")), RPC_REFUSED,
		     "not-found", "ops[0].name");
}

static void deleting_what_is_not_there_succeeds(void **state)
{
	apply(OPS("{\"op\":\"del\",\"object\":\"port\",\"name\":\"p\"}"), 0);
	apply(OPS(ADD_PORT("p", "")), 1);
	apply(OPS("{\"op\":\"del\",\"object\":\"port\",\"name\":\"p\"}"), 2);
	apply(OPS("{\"op\":\"del\",\"object\":\"port\",\"name\":\"p\"}"), 2);
	assert_int_equal(fake_dp.n_ports, 0);
	assert_error(call("apply", OPS("{\"op\":\"del\",\"object\":\"vlan\",\"name\":\"4095\"}")), RPC_INVALID_PARAMS,
		     "out-of-range", "ops[0].name");
	assert_error(call("apply", OPS("{\"op\":\"del\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{}}")), RPC_INVALID_PARAMS,
		     "unknown-parameter", "ops[0].attrs");
}

static void operations_see_what_those_before_them_did(void **state)
{
	apply(OPS(ADD_PORT("p", ",\"in_bps\":1") "," SET("port", "p", "\"in_bps\":2") "," DEL("port", "p") "," ADD_PORT(
		      "p", ",\"path\":\"/again\"")),
	      1);
	assert_string_equal(path_of("p"), "/again");
	/* The switch is asked for what it comes to. */
	assert_int_equal(fake_dp.n_ops, 1);
	assert_int_equal(fake_dp.op_types[0], DP_PORT_ADD);
	assert_non_null(table_find(&ctl.store.objects, &schema_port, "p"));
	/* Exists within the transaction. */
	assert_error(call("apply", OPS(ADD_PORT("q", "") "," ADD_PORT("q", ",\"in_bps\":2"))), RPC_REFUSED, "exists",
		     "ops[1].name");
	/* Coming and going is nothing, and going and coming is a new port. */
	apply(OPS(ADD_PORT("q", "") "," DEL("port", "q")), 1);
	apply(OPS(DEL("port", "p") "," ADD_PORT("p", ",\"path\":\"/again\"")), 2);
	assert_int_equal(fake_dp.n_ops, 2);
	assert_int_equal(fake_dp.op_types[0], DP_PORT_DEL);
	assert_int_equal(fake_dp.op_types[1], DP_PORT_ADD);
}

static void all_operations_or_none(void **state)
{
	fake_dp.refuse_port = "bad";
	fake_dp.refuse_attr = "path";
	assert_error(call("apply",
			  OPS("{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"5\"}," ADD_PORT("p", "") "," ADD_PORT("bad", ""))),
		     RPC_REFUSED, "in-use", "ops[2].attrs.path");
	assert_int_equal(fake_dp.n_ports, 0);
	assert_int_equal(ctl.store.objects.n, 0);
	assert_int_equal(ctl.store.generation, 0);
	/* And when it is the schema that refuses, the switch is not even asked. */
	assert_error(call("apply", OPS(ADD_PORT("p", "") "," ADD_PORT("q", ",\"vlan\":4095"))), RPC_INVALID_PARAMS, "out-of-range",
		     "ops[1].attrs.vlan");
	assert_int_equal(fake_dp.applies, 1);
}

static void the_dataplanes_error_names_the_operation_not_the_step(void **state)
{
	apply(OPS(ADD_PORT("p", "")), 1);
	/* The first operation is no step, so the second is the first one of the switch. */
	assert_error(
		call("apply", OPS(ADD_PORT("p", "") "," ADD_VLAN("5") "," ADD_PORT("q", ",\"vlan\":5,\"vlan_mode\":\"trunk\""))),
		RPC_REFUSED, "not-allowed", "ops[2].attrs.vlan");
}

static void a_dry_run_asks_and_changes_nothing(void **state)
{
	apply("{\"dry_run\":true,\"ops\":[" ADD_PORT("p", "") "]}", 0);
	assert_int_equal(fake_dp.applies, 1);
	assert_int_equal(fake_dp.n_ports, 0);
	assert_int_equal(ctl.store.objects.n, 0);
	assert_error(call("apply", "{\"dry_run\":true,\"ops\":[" ADD_PORT("p", ",\"vlan_mode\":\"access\"") "]}"), RPC_REFUSED,
		     "missing", "ops[0].attrs.vlan");
}

static void an_expected_generation_must_be_the_current_one(void **state)
{
	apply("{\"expect_generation\":0,\"ops\":[" ADD_PORT("p", "") "]}", 1);
	assert_error(call("apply", "{\"expect_generation\":0,\"ops\":[" ADD_PORT("q", "") "]}"), RPC_REFUSED, "generation-mismatch",
		     "expect_generation");
	assert_int_equal(fake_dp.n_ports, 1);
}

static void a_malformed_operation_is_refused_where_it_is_wrong(void **state)
{
	static const struct {
		const char *op, *name, *path;
	} bad[] = {
		{"5", "wrong-type", "ops[0]"},
		{"{}", "missing-parameter", "ops[0].op"},
		{"{\"op\":\"add\"}", "missing-parameter", "ops[0].object"},
		{"{\"op\":\"add\",\"object\":\"port\"}", "missing-parameter", "ops[0].name"},
		{"{\"op\":1,\"object\":\"port\",\"name\":\"p\"}", "wrong-type", "ops[0].op"},
		{"{\"op\":\"mend\",\"object\":\"port\",\"name\":\"p\"}", "bad-value", "ops[0].op"},
		{"{\"op\":\"add\",\"object\":\"toaster\",\"name\":\"p\"}", "unknown-object", "ops[0].object"},
		{"{\"op\":\"add\",\"object\":\"port\",\"name\":\"p\",\"x\":1}", "unknown-parameter", "ops[0]"},
		{"{\"op\":\"add\",\"object\":\"port\",\"name\":\"p\",\"attrs\":[]}", "wrong-type", "ops[0].attrs"},
		{"{\"op\":\"add\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{}}", "missing-attribute", "ops[0].attrs.kind"},
		{"{\"op\":\"add\",\"object\":\"port\",\"name\":\"a/b\"}", "bad-name", "ops[0].name"},
		{"{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"5000\"}", "out-of-range", "ops[0].name"},
	};
	char params[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(params, sizeof(params), "{\"ops\":[%s]}", bad[i].op);
		assert_error(call("apply", params), RPC_INVALID_PARAMS, bad[i].name, bad[i].path);
	}
	assert_error(call("apply", OPS("{\"op\":\"add\",\"object\":\"node\",\"name\":\"node\"}")), RPC_REFUSED, "read-only-object",
		     "ops[0].object");
	assert_error(call("apply", "{}"), RPC_INVALID_PARAMS, "missing-parameter", "");
	assert_error(call("apply", "{\"ops\":[],\"replace\":{\"objects\":[]}}"), RPC_INVALID_PARAMS, "bad-value", "");
}

/* --- replace ------------------------------------------------------------------------------------------------------------------ */

#define PORT(name, more) "{\"object\":\"port\",\"name\":\"" name "\",\"attrs\":{\"kind\":\"memif\"" more "}}"
#define VLAN(id)	 "{\"object\":\"vlan\",\"name\":\"" id "\"}"
#define REPLACE(objects) "{\"replace\":{\"objects\":[" objects "]}}"

static void replace_makes_the_owners_set_exactly_that(void **state)
{
	struct rpc_session other;

	rpc_session_init(&other, &ctl, false);
	hello(&session, "a");
	hello(&other, "b");
	apply_as(&other, OPS(ADD_PORT("theirs", "")), 1);
	apply(REPLACE(PORT("p1", ",\"path\":\"/1\"") "," PORT("p2", ",\"path\":\"/2\"") "," VLAN("100")), 2);
	/* VLANs are made before the ports that may need them, whatever the order of the list. */
	assert_int_equal(fake_dp.op_types[0], DP_VLAN_SET);
	apply(REPLACE(PORT("p1", ",\"path\":\"/1\"") "," PORT("p2", ",\"path\":\"/2\"") "," VLAN("100")), 2);
	/* p1 changes, p2 must be made anew for its path, p3 is new, the VLAN goes, the other client's port stays. */
	apply(REPLACE(PORT("p1", ",\"path\":\"/1\",\"in_bps\":5") "," PORT("p2", ",\"path\":\"/3\"") "," PORT("p3", "")), 3);
	assert_int_equal(fake_dp.n_ops, 5);
	assert_int_equal(fake_dp.op_types[0], DP_PORT_DEL);
	assert_int_equal(fake_dp.op_types[1], DP_VLAN_DEL);
	assert_string_equal(path_of("p2"), "/3");
	assert_non_null(path_of("theirs"));
	assert_false(fake_dp.has_vlan[100]);
	apply(REPLACE(""), 4);
	assert_int_equal(fake_dp.n_ports, 1);
}

static void replace_leaves_to_others_what_is_theirs(void **state)
{
	struct rpc_session other;

	rpc_session_init(&other, &ctl, false);
	hello(&session, "a");
	hello(&other, "b");
	apply_as(&other, OPS(ADD_PORT("shared", ",\"in_bps\":5")), 1);
	apply(REPLACE(PORT("shared", ",\"in_bps\":5")), 1);
	assert_error(call("apply", REPLACE(PORT("mine", "") "," PORT("shared", ",\"in_bps\":6"))), RPC_REFUSED, "owned",
		     "replace.objects[1].name");
	assert_int_equal(fake_dp.n_ports, 1);
	apply(REPLACE(""), 1);
	assert_string_equal(table_find(&ctl.store.objects, &schema_port, "shared")->owner, "b");
}

static void replace_refuses_a_list_that_contradicts_itself(void **state)
{
	assert_error(call("apply", REPLACE(PORT("p", "") "," PORT("p", ""))), RPC_INVALID_PARAMS, "duplicate",
		     "replace.objects[1].name");
	assert_error(call("apply", REPLACE("{\"op\":\"add\",\"object\":\"port\",\"name\":\"p\"}")), RPC_INVALID_PARAMS,
		     "unknown-parameter", "replace.objects[0]");
	assert_error(call("apply", "{\"replace\":{}}"), RPC_INVALID_PARAMS, "bad-value", "replace");
	assert_error(call("apply", "{\"replace\":{\"objects\":[],\"x\":1}}"), RPC_INVALID_PARAMS, "bad-value", "replace");
	assert_error(call("apply", REPLACE(PORT("p", ",\"vlan\":1,\"vlan_mode\":\"trunk\"") "," VLAN("1"))), RPC_REFUSED,
		     "not-allowed", "replace.objects[0].attrs.vlan");
}

/* --- reading -------------------------------------------------------------------------------------------------------------------- */

static void get_answers_as_the_contract_shows(void **state)
{
	json_t *result, *object;

	hello(&session, "cap");
	apply(OPS("{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\"}," ADD_PORT("vm1", ",\"vlan\":100")), 1);
	result = result_as(&session, "get", "{\"object\":\"port\",\"name\":\"vm1\"}");
	assert_int_equal(json_integer_value(json_object_get(result, "applied")), 1);
	assert_int_equal(json_array_size(json_object_get(result, "objects")), 1);
	object = json_array_get(json_object_get(result, "objects"), 0);
	assert_string_equal(json_string_value(json_object_get(object, "owner")), "cap");
	assert_string_equal(json_string_value(json_object_get(json_object_get(object, "state"), "link")), "up");
	assert_string_equal(json_string_value(json_object_get(json_object_get(object, "attrs"), "vlan_mode")), "access");
	assert_true(json_is_null(json_object_get(object, "error")));
	json_decref(result);
	result = result_as(&session, "get", "{}");
	assert_int_equal(json_array_size(json_object_get(result, "objects")), 2);
	json_decref(result);
}

static void get_refuses_what_is_not_there(void **state)
{
	assert_error(call("get", "{\"object\":\"port\",\"name\":\"x\"}"), RPC_REFUSED, "not-found", "name");
	assert_error(call("get", "{\"object\":\"toaster\"}"), RPC_INVALID_PARAMS, "unknown-object", "object");
	assert_error(call("get", "{\"name\":\"x\"}"), RPC_INVALID_PARAMS, "missing-parameter", "object");
	assert_error(call("get", "{\"object\":\"vlan\",\"name\":\"5000\"}"), RPC_INVALID_PARAMS, "out-of-range", "name");
	assert_error(call("get", "{\"object\":\"port\",\"cursor\":\"what\"}"), RPC_INVALID_PARAMS, "bad-value", "cursor");
	assert_error(call("get", "{\"object\":\"node\",\"name\":\"x\"}"), RPC_REFUSED, "not-found", "name");
}

static void get_goes_through_everything_page_by_page(void **state)
{
	char seen[256] = "", params[128] = "{\"limit\":2}";

	apply(OPS(ADD_PORT("p10", "") "," ADD_PORT("p9", "") "," ADD_PORT(
		      "p1", "") ",{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"30\"}"
				",{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"4\"}"),
	      1);
	for (int page = 0; page < 3; page++) {
		json_t *result = result_as(&session, "get", params), *object;
		const char *cursor = json_string_value(json_object_get(result, "cursor"));
		size_t i;

		json_array_foreach (json_object_get(result, "objects"), i, object) {
			snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s ",
				 json_string_value(json_object_get(object, "name")));
		}
		assert_int_equal(cursor != NULL, page < 2);
		if (cursor)
			snprintf(params, sizeof(params), "{\"limit\":2,\"cursor\":\"%s\"}", cursor);
		json_decref(result);
	}
	assert_string_equal(seen, "4 30 p1 p9 p10 ");
}

static void secrets_stay_on_the_control_socket(void **state)
{
	struct rpc_session reader;
	json_t *result;
	char *text;

	rpc_session_init(&reader, &ctl, true);
	apply(OPS(ADD_PORT("p", ",\"secret\":\"hush\"")), 1);
	result = result_as(&reader, "get", "{\"all\":true}");
	text = json_dumps(result, 0);
	assert_null(strstr(text, "hush"));
	free(text);
	json_decref(result);
	result = result_as(&session, "get", "{}");
	text = json_dumps(result, 0);
	assert_non_null(strstr(text, "hush"));
	free(text);
	json_decref(result);
}

static void the_node_says_what_it_is_and_lacks(void **state)
{
	json_t *result, *node;

	ctl_note(&ctl, "trunk", "not in this build");
	result = result_as(&session, "get", "{\"object\":\"node\"}");
	node = json_object_get(json_array_get(json_object_get(result, "objects"), 0), "state");
	assert_string_equal(json_string_value(json_object_get(json_object_get(node, "memory"), "why")), "a test");
	assert_int_equal(json_array_size(json_object_get(node, "workers")), 2);
	/* The switch's two, and containers. */
	assert_int_equal(json_array_size(json_object_get(node, "kinds")), 3);
	assert_int_equal(json_array_size(json_object_get(node, "notes")), 1);
	json_decref(result);
}

static void stats_hold_counters_and_the_drops_that_happened(void **state)
{
	json_t *result, *port, *drops;

	apply(OPS("{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\"}," ADD_PORT("p", "")), 1);
	result = result_as(&session, "stats", "{\"object\":\"port\",\"name\":\"p\"}");
	port = json_array_get(json_object_get(result, "stats"), 0);
	drops = json_object_get(port, "drops");
	assert_int_equal(json_integer_value(json_object_get(port, "rx_frames")), 10);
	assert_int_equal(json_object_size(drops), 2);
	assert_int_equal(json_integer_value(json_object_get(drops, "runt")), 2);
	assert_int_equal(json_integer_value(json_object_get(port, "drops_total")), 7);
	json_decref(result);
	result = result_as(&session, "stats", "{}");
	assert_int_equal(json_array_size(json_object_get(result, "stats")), 5); /* node, two workers, VLAN, port */
	json_decref(result);
	assert_error(call("stats", "{\"object\":\"port\",\"name\":\"q\"}"), RPC_REFUSED, "not-found", "name");
	assert_error(call("stats", "{\"object\":\"worker\",\"name\":\"2\"}"), RPC_REFUSED, "not-found", "name");
	assert_error(call("stats", "{\"object\":\"worker\",\"name\":\"-1\"}"), RPC_REFUSED, "not-found", "name");
	assert_error(call("stats", "{\"object\":\"soup\"}"), RPC_INVALID_PARAMS, "unknown-object", "object");
}

static void the_fdb_is_walked_page_by_page(void **state)
{
	char params[64] = "{}";
	size_t n = 0;
	int pages = 0;

	for (bool more = true; more; pages++) {
		json_t *result = result_as(&session, "fdb", params), *cursor = json_object_get(result, "cursor");

		n += json_array_size(json_object_get(result, "entries"));
		more = json_is_string(cursor);
		assert_true(more || json_is_null(cursor));
		snprintf(params, sizeof(params), "{\"cursor\":\"%s\"}", more ? json_string_value(cursor) : "");
		json_decref(result);
	}
	assert_int_equal(n, FAKE_ENTRIES);
	assert_int_equal(pages, 3);
}

static void the_fdb_is_filtered_and_refuses_what_makes_no_sense(void **state)
{
	json_t *result = result_as(&session, "fdb", "{\"mac\":\"02:00:00:00:00:07\",\"limit\":10000}");

	assert_int_equal(json_array_size(json_object_get(result, "entries")), 1);
	json_decref(result);
	assert_error(call("fdb", "{\"mac\":\"02\"}"), RPC_INVALID_PARAMS, "bad-value", "mac");
	assert_error(call("fdb", "{\"cursor\":\"\"}"), RPC_INVALID_PARAMS, "bad-value", "cursor");
	assert_error(call("fdb", "{\"cursor\":\"-1\"}"), RPC_INVALID_PARAMS, "bad-value", "cursor");
	assert_error(call("fdb", "{\"cursor\":\"99999999999999999999999\"}"), RPC_INVALID_PARAMS, "bad-value", "cursor");
	assert_error(call("fdb", "{\"port\":\"x\"}"), RPC_REFUSED, "not-found", "port");
}

/* --- the store --------------------------------------------------------------------------------------------------------------- */

static void the_table_finds_each_of_many_and_lists_them_as_people_count(void **state)
{
	struct table t = {0};
	struct object **list;
	char name[16];
	size_t n;

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(table_reserve(&t, 1), 0);
		table_insert(&t, object_new(&schema_port, name, "", NULL));
	}
	assert_null(table_find(&t, &schema_vlan, "p7"));
	for (int i = 0; i < 5000; i += 2) {
		snprintf(name, sizeof(name), "p%d", i);
		object_free(table_remove(&t, &schema_port, name));
		assert_null(table_find(&t, &schema_port, name));
	}
	list = table_list(&t, &schema_port, &n);
	assert_int_equal(n, 2500);
	assert_string_equal(list[0]->name, "p1");
	assert_string_equal(list[4]->name, "p9");
	assert_string_equal(list[5]->name, "p11");
	free(list);
	table_clear(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(adding_what_is_so_succeeds_and_what_differs_is_refused),
		TEST(set_changes_what_is_named_and_keeps_the_rest),
		TEST(deleting_what_is_not_there_succeeds),
		TEST(operations_see_what_those_before_them_did),
		TEST(all_operations_or_none),
		TEST(the_dataplanes_error_names_the_operation_not_the_step),
		TEST(a_dry_run_asks_and_changes_nothing),
		TEST(an_expected_generation_must_be_the_current_one),
		TEST(a_malformed_operation_is_refused_where_it_is_wrong),
		TEST(replace_makes_the_owners_set_exactly_that),
		TEST(replace_leaves_to_others_what_is_theirs),
		TEST(replace_refuses_a_list_that_contradicts_itself),
		TEST(get_answers_as_the_contract_shows),
		TEST(get_refuses_what_is_not_there),
		TEST(get_goes_through_everything_page_by_page),
		TEST(secrets_stay_on_the_control_socket),
		TEST(the_node_says_what_it_is_and_lacks),
		TEST(stats_hold_counters_and_the_drops_that_happened),
		TEST(the_fdb_is_walked_page_by_page),
		TEST(the_fdb_is_filtered_and_refuses_what_makes_no_sense),
		TEST(the_table_finds_each_of_many_and_lists_them_as_people_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Classes: what every node has, who may change it, and how a class's code point gets to the ports that name it. The switch is fake_dp.h's.
 */

#include "rpc_rig.h"
#include "daemon/load.h"
#include "daemon/notify.h"
#include "daemon/reconcile.h"
#include "state_rig.h"

#define ADD_CLASS(name, pcp) "{\"op\":\"add\",\"object\":\"class\",\"name\":\"" name "\",\"attrs\":{\"pcp\":" pcp "}}"
#define ADD_P(name, more)    ADD_PORT(name, ",\"path\":\"/" name "\"" more)
#define IN(class)	     ",\"class\":\"" class "\""

static char told[1024]; /* events since the last assert_told() */

static void on_event(struct ctl_listener *l, const struct ctl_event *ev)
{
	size_t at = strlen(told);

	snprintf(told + at, sizeof(told) - at, "%d %s;", ev->type, ev->name ? ev->name : "");
}

static struct ctl_listener listener = {.tell = on_event};

static void load(void)
{
	struct state *s;

	if (state_open(&s, rig_path, rig_why, sizeof(rig_why)) < 0)
		fail_msg("%s", rig_why);
	assert_int_equal(ctl_load(&ctl, s), 0);
}

static int start(void **state)
{
	if (rig_make() < 0 || setup(state) < 0)
		return -1;
	load();
	return 0;
}

static int stop(void **state)
{
	rpc_session_fini(&session);
	teardown(state);
	rig_remove();
	return 0;
}

static void restart(void)
{
	rpc_session_fini(&session);
	ctl_fini(&ctl);
	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	load();
}

/* The code point that the switch's port has; -1: none. */
static int pcp_of(const char *port)
{
	int i = fake_port_index(&fake_dp, port);

	assert_true(i >= 0);
	return fake_dp.ports[i].has_pcp ? fake_dp.ports[i].pcp : -1;
}

static const struct object *class_of(const char *name)
{
	return table_find(&ctl.store.objects, &schema_class, name);
}

static unsigned pcp_of_class(const char *name)
{
	assert_non_null(class_of(name));
	return ((const struct class_conf *)class_of(name)->conf)->pcp;
}

/* --- what every node has ---------------------------------------------------------------------------------------------------- */

static void four_classes_are_there_and_nobodys(void **state)
{
	assert_int_equal(ctl.store.objects.n, 4);
	assert_int_equal(ctl.store.generation, 0);
	assert_int_equal(pcp_of_class("image"), 1);
	assert_int_equal(pcp_of_class("default"), 0);
	assert_int_equal(pcp_of_class("migration"), 2);
	assert_int_equal(pcp_of_class("online"), 4);
	assert_string_equal(class_of("online")->owner, "");
	/* They need no row of the state, and come to nothing if they are asked for as they are. */
	apply(OPS(ADD_CLASS("online", "4")), 0);
}

static void anybody_sets_them_and_nobody_deletes_them(void **state)
{
	json_t *reply;

	hello(&session, "cap");
	apply(OPS(SET("class", "online", "\"pcp\":5")), 1);
	assert_string_equal(class_of("online")->owner, "");
	hello(&session, "app");
	apply(OPS(SET("class", "online", "\"pcp\":6")), 2);
	reply = call("apply", "{\"force\":true,\"ops\":[" DEL("class", "online") "]}");
	assert_non_null(strstr(json_string_value(json_object_get(json_object_get(json_object_get(reply, "error"), "data"), "hint")),
			       "set"));
	assert_error(reply, RPC_REFUSED, "in-use", "ops[0].name");
	assert_error(call("apply", OPS(ADD_CLASS("online", "3"))), RPC_REFUSED, "exists", "ops[0].name");
}

static void replace_neither_takes_them_nor_deletes_them(void **state)
{
	hello(&session, "cap");
	apply("{\"replace\":{\"objects\":[{\"object\":\"class\",\"name\":\"online\",\"attrs\":{\"pcp\":6}},"
	      "{\"object\":\"class\",\"name\":\"gold\",\"attrs\":{\"pcp\":3}}]}}",
	      1);
	assert_int_equal(pcp_of_class("online"), 6);
	assert_string_equal(class_of("online")->owner, "");
	assert_string_equal(class_of("gold")->owner, "cap");
	apply("{\"replace\":{\"objects\":[]}}", 2);
	assert_null(class_of("gold"));
	assert_int_equal(pcp_of_class("online"), 6);
}

static void restart_keeps_what_was_set(void **state)
{
	apply(OPS(SET("class", "online", "\"pcp\":7") "," ADD_CLASS("gold", "3") "," ADD_P("a", IN("online")) "," ADD_P(
		      "b", IN("gold")) "," ADD_P("c", IN("image"))),
	      1);
	restart();
	assert_int_equal(rig_count("*.damaged", NULL, 0), 0);
	assert_int_equal(ctl.store.generation, 1);
	assert_int_equal(pcp_of_class("online"), 7);
	assert_string_equal(class_of("online")->owner, "");
	assert_int_equal(pcp_of_class("image"), 1);
	assert_int_equal(pcp_of("a"), 7);
	assert_int_equal(pcp_of("b"), 3);
	assert_int_equal(pcp_of("c"), 1);
	assert_error(call("apply", OPS(DEL("class", "gold"))), RPC_REFUSED, "in-use", "ops[0]");
}

static void state_that_is_put_aside_leaves_them(void **state)
{
	apply(OPS(ADD_CLASS("gold", "3") "," ADD_P("b", IN("gold"))), 1);
	assert_int_equal(state_begin(ctl.state), 0);
	assert_int_equal(state_del(ctl.state, &(struct state_row){.object = "class", .name = "gold"}), 0);
	assert_int_equal(state_commit(ctl.state, 1), 0);
	restart();
	assert_int_equal(rig_count("*.damaged", NULL, 0), 1);
	assert_int_equal(ctl.store.objects.n, 4);
	apply(OPS(ADD_P("b", IN("online"))), 1);
	assert_int_equal(pcp_of("b"), 4);
}

/* --- ports that name one ---------------------------------------------------------------------------------------------------- */

static void port_has_the_code_point_of_its_class(void **state)
{
	apply(OPS(ADD_P("a", "") "," ADD_P("b", IN("online")) "," ADD_P("c", IN("default"))), 1);
	assert_int_equal(pcp_of("a"), -1);
	assert_int_equal(pcp_of("b"), 4);
	assert_int_equal(pcp_of("c"), 0);
	apply(OPS(SET("port", "a", "\"class\":\"image\"") "," SET("port", "b", "\"mac_limit\":5") "," SET("port", "c",
													  "\"class\":null")),
	      2);
	assert_int_equal(pcp_of("a"), 1);
	assert_int_equal(pcp_of("b"), 4);
	assert_int_equal(pcp_of("c"), -1);
	/* Said again it changes nothing. */
	apply(OPS(ADD_P("a", IN("image"))), 2);
	apply(OPS(SET("port", "a", "\"class\":\"image\"")), 2);
}

static void class_that_is_not_there_is_refused(void **state)
{
	json_t *reply = call("apply", OPS(ADD_P("a", IN("gold"))));
	const json_t *error = json_object_get(reply, "error");

	assert_non_null(strstr(json_string_value(json_object_get(error, "message")), "class gold: there is none"));
	assert_non_null(strstr(json_string_value(json_object_get(json_object_get(error, "data"), "hint")), "add it first"));
	assert_error(reply, RPC_REFUSED, "not-found", "ops[0].attrs.class");
	assert_int_equal(fake_dp.n_ports, 0);
	apply(OPS(ADD_P("a", IN("gold")) "," ADD_CLASS("gold", "3")), 1);
	assert_int_equal(pcp_of("a"), 3);
	assert_error(call("apply", OPS(ADD_CLASS("8", "8"))), RPC_INVALID_PARAMS, "out-of-range", "ops[0].attrs.pcp");
}

static void class_is_there_until_the_last_port_leaves_it(void **state)
{
	json_t *result;

	apply(OPS(ADD_CLASS("gold", "3") "," ADD_P("a", IN("gold")) "," ADD_P("b", IN("gold"))), 1);
	result = result_as(&session, "get", "{\"object\":\"class\",\"name\":\"gold\"}");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(json_array_get(json_object_get(result, "objects"), 0), "state"), "members")),
			 2);
	json_decref(result);
	assert_error(call("apply", OPS(DEL("class", "gold"))), RPC_REFUSED, "in-use", "ops[0]");
	apply(OPS(DEL("port", "a")), 2);
	assert_error(call("apply", OPS(DEL("class", "gold"))), RPC_REFUSED, "in-use", "ops[0]");
	apply(OPS(SET("port", "b", "\"class\":\"online\"") "," DEL("class", "gold")), 3);
	assert_null(class_of("gold"));
	assert_int_equal(pcp_of("b"), 4);
}

/* --- a class that changes --------------------------------------------------------------------------------------------------- */

static void change_of_a_class_reaches_its_ports_at_once(void **state)
{
	json_t *result;

	apply(OPS(ADD_P("a", IN("online")) "," ADD_P("b", IN("online")) "," ADD_P("c", IN("image")) "," ADD_P("d", "")), 1);
	ctl_listen(&ctl, &listener);
	told[0] = '\0';
	result = result_as(&session, "apply", OPS(SET("class", "online", "\"pcp\":6")));
	assert_int_equal(json_integer_value(json_object_get(result, "changes")), 1);
	assert_int_equal(json_integer_value(json_object_get(result, "applied")), 2);
	json_decref(result);
	assert_int_equal(pcp_of("a"), 6);
	assert_int_equal(pcp_of("b"), 6);
	assert_int_equal(pcp_of("c"), 1);
	assert_int_equal(pcp_of("d"), -1);
	/* One change of the switch, of those two ports; and one event, about the class. */
	assert_int_equal(fake_dp.n_ops, 2);
	assert_string_equal(told, "0 online;3 ;");
	assert_int_equal(table_find(&ctl.store.objects, &schema_port, "a")->generation, 1);
	ctl_unlisten(&ctl, &listener);
	/* The ports are as they were told: nothing is left to do. */
	apply(OPS(SET("port", "a", "\"class\":\"online\"")), 2);
	restart();
	assert_int_equal(pcp_of("a"), 6);
}

static void class_and_its_ports_change_together(void **state)
{
	apply(OPS(ADD_CLASS("gold", "3") "," ADD_P("a", IN("online")) "," ADD_P("b", IN("online")) "," ADD_P("c", IN("online"))),
	      1);
	apply(OPS(SET("port", "a", "\"in_pps\":7") "," SET("class", "online", "\"pcp\":6") "," SET(
		      "port", "b", "\"class\":\"gold\"") "," SET("class", "gold", "\"pcp\":5") "," DEL("port", "c")),
	      2);
	assert_int_equal(pcp_of("a"), 6);
	assert_int_equal(pcp_of("b"), 5);
	assert_int_equal(fake_port_index(&fake_dp, "c"), -1);
	/* There and back is nothing. */
	apply(OPS(SET("class", "online", "\"pcp\":1") "," SET("class", "online", "\"pcp\":6")), 2);
	/* Deleted and made again under its ports. */
	apply(OPS(DEL("class", "gold") "," ADD_CLASS("gold", "2")), 3);
	assert_int_equal(pcp_of("b"), 2);
}

static void refused_or_tried_change_of_a_class_changes_nothing(void **state)
{
	apply(OPS(ADD_P("a", IN("online"))), 1);
	json_decref(result_as(&session, "apply", "{\"dry_run\":true,\"ops\":[" SET("class", "online", "\"pcp\":6") "]}"));
	assert_int_equal(pcp_of("a"), 4);
	assert_int_equal(pcp_of_class("online"), 4);
	fake_dp.refuse_port = "a";
	fake_dp.refuse_attr = "class";
	assert_error(call("apply", OPS(SET("class", "online", "\"pcp\":6"))), RPC_REFUSED, "in-use", NULL);
	assert_int_equal(pcp_of("a"), 4);
	assert_int_equal(pcp_of_class("online"), 4);
	fake_dp.refuse_port = NULL;
	apply(OPS(SET("class", "online", "\"pcp\":6")), 2);
	assert_int_equal(pcp_of("a"), 6);
}

static void port_that_waits_is_made_with_what_its_class_says_then(void **state)
{
	fake_dp.lacking_path = "/a";
	apply(OPS(ADD_P("a", IN("online")) "," ADD_P("b", IN("online"))), 1);
	assert_int_equal(fake_port_index(&fake_dp, "a"), -1);
	apply(OPS(SET("class", "online", "\"pcp\":6")), 2);
	assert_int_equal(pcp_of("b"), 6);
	fake_dp.lacking_path = NULL;
	ctl_tick(&ctl, ctl_now_us() + RECONCILE_MAX_US);
	assert_int_equal(pcp_of("a"), 6);
}

/* The switch leaves the trunk's frames alone: they are containers', with code points of their own. */
static void class_of_the_trunk_is_the_hosts_own_stacks(void **state)
{
	struct class_conf class = {.name = "online", .pcp = 4};
	struct port_conf port;

	schema_defaults(&schema_port, &port);
	snprintf(port.dp.kind, sizeof(port.dp.kind), "trunk");
	schema_port.derive(&port, &schema_class, &class);
	assert_false(port.dp.has_pcp);
	assert_true(port.host_has_pcp);
	assert_int_equal(port.host_pcp, 4);
	schema_port.settle(&port);
	assert_false(port.host_has_pcp);
	snprintf(port.dp.kind, sizeof(port.dp.kind), "veth");
	schema_port.derive(&port, &schema_class, &class);
	assert_true(port.dp.has_pcp && !port.host_has_pcp);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(four_classes_are_there_and_nobodys),
		TEST(anybody_sets_them_and_nobody_deletes_them),
		TEST(replace_neither_takes_them_nor_deletes_them),
		TEST(restart_keeps_what_was_set),
		TEST(state_that_is_put_aside_leaves_them),
		TEST(port_has_the_code_point_of_its_class),
		TEST(class_that_is_not_there_is_refused),
		TEST(class_is_there_until_the_last_port_leaves_it),
		TEST(change_of_a_class_reaches_its_ports_at_once),
		TEST(class_and_its_ports_change_together),
		TEST(refused_or_tried_change_of_a_class_changes_nothing),
		TEST(port_that_waits_is_made_with_what_its_class_says_then),
		TEST(class_of_the_trunk_is_the_hosts_own_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Desired and in force: what is accepted before it can be, what brings it about, who may change it, and what is known again after a
 * restart. The switch is fake_dp.h's, time is the test's.
 */

#include "rpc_rig.h"
#include "daemon/load.h"
#include "daemon/notify.h"
#include "daemon/reconcile.h"
#include "state_rig.h"

static char told[2048]; /* events since the last assert_told() */

static void on_event(struct ctl_listener *l, const struct ctl_event *ev)
{
	static const char *const types[] = {"object", "applied", "error", "generation"}, *const changes[] = {"add", "set", "del"};
	size_t at = strlen(told);

	if (ev->type == CTL_GENERATION)
		snprintf(told + at, sizeof(told) - at, "generation %llu/%llu;", (unsigned long long)ev->applied,
			 (unsigned long long)ev->generation);
	else
		snprintf(told + at, sizeof(told) - at, "%s %s%s%s%s%s;", types[ev->type],
			 ev->type == CTL_OBJECT ? changes[ev->change] : "", ev->type == CTL_OBJECT ? " " : "", ev->name,
			 ev->type == CTL_ERROR ? " " : "", ev->type == CTL_ERROR ? ev->fault->name : "");
}

static struct ctl_listener listener = {.tell = on_event};

static void assert_told(const char *expected)
{
	assert_string_equal(told, expected);
	told[0] = '\0';
}

static int start(void **state)
{
	told[0] = '\0';
	return rig_make() || setup(state);
}

static int stop(void **state)
{
	rpc_session_fini(&session);
	teardown(state);
	rig_remove();
	return 0;
}

/* --- helpers --------------------------------------------------------------------------------------------------------------- */

static json_int_t number_of(const char *method, const char *params, const char *key)
{
	json_t *result = result_as(&session, method, params);
	json_int_t n = json_integer_value(json_object_get(result, key));

	json_decref(result);
	return n;
}

static json_int_t applied(void)
{
	return number_of("get", "{}", "applied");
}

/* The name of an object's error, "" for none. */
static const char *error_of(const char *object, const char *name)
{
	static char text[64];
	char params[128];
	json_t *result, *o;

	snprintf(params, sizeof(params), "{\"object\":\"%s\",\"name\":\"%s\"}", object, name);
	result = result_as(&session, "get", params);
	o = json_array_get(json_object_get(result, "objects"), 0);
	snprintf(text, sizeof(text), "%s",
		 json_is_null(json_object_get(o, "error"))
			 ? ""
			 : json_string_value(json_object_get(json_object_get(o, "error"), "name")));
	json_decref(result);
	return text;
}

static const char *owner_of(const char *name)
{
	return table_find(&ctl.store.objects, &schema_port, name)->owner;
}

/* As if so much time had passed. */
static void pass(uint64_t us)
{
	ctl_tick(&ctl, ctl_now_us() + us);
}

static void load(void)
{
	struct state *s;

	if (state_open(&s, rig_path, rig_why, sizeof(rig_why)) < 0)
		fail_msg("%s", rig_why);
	assert_int_equal(ctl_load(&ctl, s), 0);
}

/* The daemon ends and starts again, with a switch that has nothing. */
static void restart(void)
{
	rpc_session_fini(&session);
	ctl_fini(&ctl);
	fake_dp.n_ports = 0;
	memset(fake_dp.has_vlan, 0, sizeof(fake_dp.has_vlan));
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	load();
}

static char *whole_state(void)
{
	json_t *result = result_as(&session, "get", "{}"), *o;
	char *text;
	size_t i;

	json_array_foreach (json_object_get(result, "objects"), i, o)
		json_object_del(o, "state");
	text = json_dumps(result, JSON_SORT_KEYS);
	json_decref(result);
	return text;
}

/* --- accepted is not yet in force ------------------------------------------------------------------------------------------------ */

static void port_whose_device_is_lacking_is_accepted_and_shows_why(void **state)
{
	fake_dp.lacking_path = "/no/dir";
	assert_int_equal(
		number_of("apply", OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"path\":\"/no/dir\"") "," ADD_PORT("q", "")), "applied"),
		0);
	assert_int_equal(number_of("get", "{}", "generation"), 1);
	assert_string_equal(error_of("port", "p"), "no-such-path");
	assert_string_equal(error_of("port", "q"), "");
	assert_string_equal(error_of("vlan", "5"), "");
	assert_non_null(path_of("q"));
	assert_null(path_of("p"));
	/* Later generations are applied no more than the first that is not. */
	apply(OPS(ADD_VLAN("6")), 2);
	assert_int_equal(applied(), 0);
}

static void lacking_port_comes_into_force_when_its_device_does(void **state)
{
	ctl_listen(&ctl, &listener);
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"")), 1);
	assert_told("object add p;error p no-such-path;generation 0/1;");
	pass(RECONCILE_MIN_US);
	/* The same is not said twice. */
	assert_told("");
	fake_dp.lacking_path = NULL;
	pass(RECONCILE_MAX_US);
	assert_told("applied p;generation 1/1;");
	assert_non_null(path_of("p"));
	assert_string_equal(error_of("port", "p"), "");
	assert_int_equal(applied(), 1);
	assert_true(ctl_due(&ctl) == UINT64_MAX);
}

static void tries_come_after_longer_and_longer_and_at_a_hint_at_once(void **state)
{
	uint64_t now = ctl_now_us();
	unsigned tries;

	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"")), 1);
	tries = fake_dp.applies;
	/* Ten minutes: 100 ms doubling up to 5 s, then every 5 s. */
	for (uint64_t end = now + 600000000; now < end;) {
		uint64_t due = ctl_due(&ctl);

		assert_true(due > now || now == 0);
		assert_true(due <= now + RECONCILE_MAX_US);
		now = due;
		ctl_tick(&ctl, now);
	}
	tries = (fake_dp.applies - tries) / 2; /* a check and a change each */
	assert_in_range(tries, 600 / 5, 600 / 5 + 8);
	assert_int_equal(fake_dp.commits, 1);
	/* What a try did itself is no hint, for the object that it was about. */
	assert_non_null(ctl.store.pending);
	assert_true(ctl.store.pending->deaf_until_us > 0);
	ctl.store.pending->deaf_until_us = ctl_now_us() + 1000000;
	reconcile_hint(&ctl);
	assert_true(ctl_due(&ctl) >= now);
	ctl.store.pending->deaf_until_us = 0;
	reconcile_hint(&ctl);
	assert_true(ctl_due(&ctl) <= ctl_now_us() + RECONCILE_HINT_US);
}

static void what_is_lost_is_made_again_and_holds_up_no_generation(void **state)
{
	apply(OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"")), 1);
	assert_int_equal(applied(), 1);
	fake_dp.lacking_path = "/no/dir";
	fake_dp.n_ports = 0;
	reconcile_lost(&ctl, table_find(&ctl.store.objects, &schema_port, "p"));
	assert_true(ctl_due(&ctl) <= ctl_now_us());
	ctl_tick(&ctl, ctl_now_us());
	assert_int_equal(fake_dp.n_ports, 0);
	assert_int_equal(ctl.store.n_pending, 1);
	assert_int_equal(applied(), 1);
	fake_dp.lacking_path = NULL;
	ctl_tick(&ctl, ctl_due(&ctl));
	assert_int_equal(fake_dp.n_ports, 1);
	assert_int_equal(ctl.store.n_pending, 0);
	assert_int_equal(applied(), 1);
}

static void pending_port_can_be_changed_and_deleted(void **state)
{
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_VLAN("5") "," ADD_VLAN("6") "," ADD_PORT("p", ",\"path\":\"/no/dir\",\"vlan\":5")), 1);
	apply(OPS(SET("port", "p", "\"vlan\":6")), 2);
	/* In force are still generations up to none: it never was. */
	assert_int_equal(applied(), 0);
	assert_error(call("apply", OPS(DEL("vlan", "6"))), RPC_REFUSED, "in-use", "ops[0]");
	apply(OPS(DEL("vlan", "5")), 3);
	fake_dp.lacking_path = NULL;
	apply(OPS(SET("port", "p", "\"in_bps\":7")), 4);
	assert_int_equal(applied(), 4);
	assert_int_equal(fake_dp.ports[0].vlan, 6);
	assert_int_equal(fake_dp.ports[0].in.bps, 7);
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_PORT("q", ",\"path\":\"/no/dir\",\"id\":1")), 5);
	assert_int_equal(applied(), 4);
	apply(OPS(DEL("port", "q")), 6);
	assert_int_equal(applied(), 6);
	assert_true(ctl_due(&ctl) == UINT64_MAX);
}

static void what_is_wrong_with_the_request_is_refused(void **state)
{
	fake_dp.refuse_port = "bad";
	fake_dp.refuse_attr = "path";
	fake_dp.lacking_path = "/no/dir";
	assert_error(call("apply", OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"") "," ADD_PORT("bad", ""))), RPC_REFUSED, "in-use",
		     "ops[1].attrs.path");
	assert_int_equal(ctl.store.objects.n, 0);
	assert_int_equal(ctl.store.n_pending, 0);
}

/* --- needs and claims --------------------------------------------------------------------------------------------------------- */

static void what_a_pending_port_takes_is_taken(void **state)
{
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"path\":\"/no/dir\",\"vlan\":5,\"mac\":\"02:00:00:00:00:01\"")), 1);
	assert_error(call("apply", OPS(ADD_PORT("q", ",\"path\":\"/no/dir\""))), RPC_REFUSED, "in-use", "ops[0].attrs.path");
	assert_error(call("apply", OPS(ADD_PORT("q", ",\"path\":\"/q\",\"vlan\":5,\"mac\":\"02:00:00:00:00:01\""))), RPC_REFUSED,
		     "in-use", "ops[0].attrs.mac");
	/* Between two new ones, and between one and what the same apply lets go. */
	assert_error(call("apply", OPS(ADD_PORT("q", ",\"path\":\"/q\"") "," ADD_PORT("r", ",\"path\":\"/q\""))), RPC_REFUSED,
		     "in-use", "ops[1].attrs.path");
	apply(OPS(ADD_PORT("q", ",\"path\":\"/q\",\"vlan\":5,\"mac\":\"02:00:00:00:00:01\"") "," SET("port", "p", "\"mac\":null")),
	      2);
	assert_error(call("apply", OPS(SET("port", "p", "\"static_macs\":[\"5/02:00:00:00:00:01\"]"))), RPC_REFUSED, "in-use",
		     "ops[0].attrs.static_macs");
	/* Another id on the path, and the same address named twice by one port, are no conflict. */
	apply(OPS(ADD_PORT("r", ",\"path\":\"/q\",\"id\":1") "," SET(
		      "port", "q", "\"static_macs\":[\"5/02:00:00:00:00:01\",\"5/02:00:00:00:00:02\"]")),
	      3);
	apply(OPS(DEL("port", "q") "," SET("port", "p", "\"static_macs\":[\"5/02:00:00:00:00:02\"]")), 4);
}

static void vlan_is_there_until_the_last_port_leaves_it(void **state)
{
	apply(OPS(ADD_VLAN("5") "," ADD_VLAN("6") "," ADD_PORT("p", ",\"vlan\":5") "," ADD_PORT("q",
												",\"vlan\":5,\"path\":\"/q\"")),
	      1);
	assert_error(call("apply", OPS(DEL("vlan", "5") "," DEL("port", "p"))), RPC_REFUSED, "in-use", "ops[0]");
	assert_error(call("apply", OPS(DEL("vlan", "5") "," DEL("port", "p") "," SET("port", "q", "\"in_bps\":1"))), RPC_REFUSED,
		     "not-found", "ops[2].attrs.vlan");
	apply(OPS(DEL("vlan", "5") "," DEL("port", "p") "," SET("port", "q", "\"vlan\":6")), 2);
	assert_error(call("apply", OPS(DEL("vlan", "6"))), RPC_REFUSED, "in-use", "ops[0]");
	/* A VLAN that is changed keeps being needed. */
	apply(OPS(SET("vlan", "6", "\"mac_limit\":3")), 3);
	assert_error(call("apply", OPS(DEL("vlan", "6"))), RPC_REFUSED, "in-use", "ops[0]");
	apply(OPS(DEL("port", "q") "," DEL("vlan", "6")), 4);
}

/* --- owners ------------------------------------------------------------------------------------------------------------------- */

static void others_objects_are_changed_by_force_only(void **state)
{
	struct rpc_session other;

	rpc_session_init(&other, &ctl, false);
	hello(&session, "a");
	hello(&other, "b");
	apply(OPS(ADD_PORT("p", ",\"in_bps\":1")), 1);
	assert_error(call_as(&other, "apply", OPS(SET("port", "p", "\"in_bps\":2"))), RPC_REFUSED, "owned", "ops[0].name");
	assert_error(call_as(&other, "apply", OPS(DEL("port", "p"))), RPC_REFUSED, "owned", "ops[0].name");
	assert_error(call_as(&other, "apply", OPS(ADD_PORT("p", ",\"in_bps\":2"))), RPC_REFUSED, "owned", "ops[0].name");
	/* Wanting what is so is no change. */
	apply_as(&other, OPS(ADD_PORT("p", ",\"in_bps\":1")), 1);
	assert_string_equal(owner_of("p"), "a");
	apply_as(&other, "{\"force\":true,\"ops\":[" SET("port", "p", "\"in_bps\":2") "]}", 2);
	assert_string_equal(owner_of("p"), "a");
	assert_error(call_as(&other, "apply", "{\"force\":true,\"ops\":[" ADD_PORT("p", ",\"in_bps\":3") "]}"), RPC_REFUSED,
		     "exists", "ops[0].name");
	apply_as(&other, "{\"force\":true,\"ops\":[" DEL("port", "p") "]}", 3);
	assert_int_equal(ctl.store.objects.n, 0);
}

static void forced_replace_takes_what_it_lists_and_nothing_else(void **state)
{
	struct rpc_session other;

	rpc_session_init(&other, &ctl, false);
	hello(&session, "a");
	hello(&other, "b");
	apply(OPS(ADD_PORT("p", ",\"path\":\"/1\"") "," ADD_PORT("q", ",\"path\":\"/2\"")), 1);
	apply_as(&other,
		 "{\"force\":true,\"replace\":{\"objects\":[{\"object\":\"port\",\"name\":\"p\",\"attrs\":"
		 "{\"kind\":\"memif\",\"path\":\"/3\"}}]}}",
		 2);
	assert_string_equal(owner_of("p"), "b");
	assert_string_equal(path_of("p"), "/3");
	assert_string_equal(owner_of("q"), "a");
}

/* --- the plan ----------------------------------------------------------------------------------------------------------------- */

static void dry_run_answers_with_what_would_change(void **state)
{
	json_t *result;
	char *plan;

	apply(OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"vlan\":5,\"in_bps\":1") "," ADD_PORT("old", ",\"path\":\"/old\"")), 1);
	ctl_listen(&ctl, &listener);
	result = result_as(
		&session, "apply",
		"{\"dry_run\":true,\"ops\":[" ADD_VLAN("5") "," DEL("port", "old") "," DEL("port", "absent") "," SET(
			"port", "p", "\"in_bps\":2,\"vlan\":5") "," ADD_PORT("q",
									     ",\"path\":\"/q\",\"vlan\":6") "," ADD_VLAN("6") "]"
															      "}");
	plan = json_dumps(json_object_get(result, "plan"), JSON_COMPACT);
	assert_string_equal(plan,
			    "[{\"op\":\"del\",\"object\":\"port\",\"name\":\"old\"},"
			    "{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"6\",\"attrs\":{}},"
			    "{\"op\":\"set\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"in_bps\":2}},"
			    "{\"op\":\"add\",\"object\":\"port\",\"name\":\"q\",\"attrs\":{\"kind\":\"memif\",\"path\":\"/q\","
			    "\"vlan_mode\":\"access\",\"vlan\":6}}]");
	assert_int_equal(json_integer_value(json_object_get(result, "changes")), 4);
	assert_int_equal(json_integer_value(json_object_get(result, "generation")), 1);
	json_decref(result);
	assert_told("");
	/* It can be applied as it is, and then there is nothing left to do. */
	result = json_pack("{s:o, s:b}", "ops", json_loads(plan, 0, NULL), "dry_run", 0);
	free(plan);
	plan = json_dumps(result, 0);
	apply(plan, 2);
	apply(plan, 2);
	free(plan);
	json_decref(result);
}

static void empty_plan_is_an_empty_list(void **state)
{
	json_t *result = result_as(&session, "apply", "{\"dry_run\":true,\"ops\":[]}");

	assert_true(json_is_array(json_object_get(result, "plan")));
	assert_int_equal(json_array_size(json_object_get(result, "plan")), 0);
	json_decref(result);
}

/* --- wait --------------------------------------------------------------------------------------------------------------------- */

static char answer[1024];

static void take_answer(struct rpc_session *s, char *line, size_t len)
{
	assert_non_null(line);
	snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%.*s", (int)len, line);
	free(line);
}

static void ask_to_wait(int id, const char *params)
{
	char line[256];
	size_t len;
	char *text;
	int n = snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"wait\",\"params\":%s}", id, params);

	session.send = take_answer;
	answer[0] = '\0';
	assert_int_equal(rpc_handle(&session, line, n, &text, &len), 0);
	assert_null(text);
}

static void wait_for_what_is_applied_is_answered_at_once(void **state)
{
	apply(OPS(ADD_VLAN("5")), 1);
	assert_int_equal(number_of("wait", "{}", "applied"), 1);
	assert_int_equal(number_of("wait", "{\"generation\":0}", "generation"), 1);
}

static void wait_is_answered_when_the_generation_is_in_force(void **state)
{
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"")), 1);
	ask_to_wait(9, "{}");
	pass(RECONCILE_MIN_US);
	assert_string_equal(answer, "");
	fake_dp.lacking_path = NULL;
	pass(RECONCILE_MAX_US);
	assert_string_equal(answer, "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{\"generation\":1,\"applied\":1}}\n");
	assert_null(session.holds);
}

static void wait_ends_with_names_when_its_time_is_up(void **state)
{
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"")), 1);
	ask_to_wait(9, "{\"timeout_ms\":500}");
	pass(400000);
	assert_string_equal(answer, "");
	pass(500000);
	assert_non_null(strstr(answer, "\"id\":9,\"error\":{\"code\":-32000,\"message\":\"generation 1 is not applied: "
				       "port p (no-such-path)\",\"data\":{\"name\":\"timeout\""));
	/* A generation that has not come. */
	ask_to_wait(10, "{\"generation\":7,\"timeout_ms\":0}");
	pass(0);
	assert_non_null(strstr(answer, "generation 7: the configuration is at generation 1"));
}

static void wait_of_a_client_that_went_is_forgotten(void **state)
{
	fake_dp.lacking_path = "/no/dir";
	apply(OPS(ADD_PORT("p", ",\"path\":\"/no/dir\"")), 1);
	ask_to_wait(9, "{\"timeout_ms\":1}");
	assert_true(rpc_session_busy(&session));
	rpc_session_fini(&session);
	assert_false(rpc_session_busy(&session));
	fake_dp.lacking_path = NULL;
	pass(RECONCILE_MAX_US);
	assert_string_equal(answer, "");
	assert_true(ctl_due(&ctl) == UINT64_MAX);
}

static void session_holds_so_many_and_no_more(void **state)
{
	ask_to_wait(1, "{\"generation\":100}");
	for (unsigned i = 1; i < RPC_HOLDS_MAX; i++)
		ask_to_wait(1, "{\"generation\":100}");
	assert_error(call("wait", "{\"generation\":100}"), RPC_REFUSED, "too-many", "");
}

/* --- restart ------------------------------------------------------------------------------------------------------------------- */

#define EVERYTHING                                                                                                              \
	",\"vlan\":5,\"vlan_mode\":\"native-tagged\",\"trunks\":[7,\"9-12\"],\"id\":3,\"role\":\"server\",\"secret\":\"hush\"," \
	"\"queues\":2,\"ring\":512,\"mac\":\"02:00:00:00:00:01\",\"ips\":[\"10.0.0.1\",\"fd00::/64\"],"                         \
	"\"static_macs\":[\"7/"                                                                                                 \
	"02:00:00:00:00:09\"],\"mac_limit\":9,\"isolated\":true,\"mtu\":9000,\"admin\":\"down\",\"in_bps\":1,"                  \
	"\"in_pps\":2,\"in_burst_bytes\":3,\"out_bps\":4,\"out_pps\":5,\"out_burst_bytes\":6,\"path\":\"/all\""

static void restart_brings_back_what_was_committed(void **state)
{
	struct port_conf conf;
	char *before, *after;

	load();
	hello(&session, "cap");
	apply(OPS(ADD_VLAN("5") "," ADD_PORT("plain", "") "," ADD_PORT("all", EVERYTHING)), 1);
	apply(OPS(SET("vlan", "5", "\"name\":\"web\",\"mac_limit\":10,\"aging_s\":60,\"storm_pps\":1000")), 2);
	apply(OPS(SET("port", "plain", "\"in_bps\":9") "," ADD_VLAN("6")), 3);
	apply(OPS(DEL("vlan", "6")), 4);
	memcpy(&conf, table_find(&ctl.store.objects, &schema_port, "all")->conf, sizeof(conf));
	before = whole_state();
	restart();
	after = whole_state();
	assert_string_equal(before, after);
	assert_int_equal(ctl.store.generation, 4);
	assert_memory_equal(&conf, table_find(&ctl.store.objects, &schema_port, "all")->conf, sizeof(conf));
	assert_int_equal(table_find(&ctl.store.objects, &schema_vlan, "5")->generation, 2);
	assert_int_equal(fake_dp.n_ports, 2);
	assert_true(fake_dp.has_vlan[5] && !fake_dp.has_vlan[6]);
	/* Needs and claims are known again too. */
	hello(&session, "cap");
	assert_error(call("apply", OPS(DEL("vlan", "5"))), RPC_REFUSED, "in-use", "ops[0]");
	assert_error(call("apply", OPS(ADD_PORT("q", ",\"path\":\"/all\",\"id\":3"))), RPC_REFUSED, "in-use", "ops[0].attrs.id");
	free(before);
	free(after);
}

static void restart_makes_what_it_can_and_says_what_it_cannot(void **state)
{
	load();
	apply(OPS(ADD_PORT("a", ",\"path\":\"/a\"") "," ADD_PORT("b", ",\"path\":\"/b\"")), 1);
	apply(OPS(ADD_PORT("c", ",\"path\":\"/c\"") "," ADD_PORT("d", ",\"path\":\"/d\"")), 2);
	/* One lacks its device, and one is refused by this build. */
	fake_dp.lacking_path = "/c";
	fake_dp.refuse_port = "b";
	fake_dp.refuse_attr = "kind";
	restart();
	assert_int_equal(fake_dp.n_ports, 2);
	assert_string_equal(error_of("port", "a"), "");
	assert_string_equal(error_of("port", "b"), "in-use");
	assert_string_equal(error_of("port", "c"), "no-such-path");
	assert_string_equal(error_of("port", "d"), "");
	assert_int_equal(number_of("get", "{}", "generation"), 2);
	assert_int_equal(applied(), 0);
	fake_dp.refuse_port = NULL;
	pass(RECONCILE_MAX_US);
	assert_int_equal(applied(), 1);
	fake_dp.lacking_path = NULL;
	pass(2 * RECONCILE_MAX_US);
	assert_int_equal(applied(), 2);
}

static void state_that_contradicts_itself_is_put_aside(void **state)
{
	static const struct state_row bad[] = {
		{"vlan", "x", "me", 1, "{}"},
		{"vlan", "5", "me", 1, "{\"mac_limit\":-1}"},
		{"vlan", "5", "me", 1, "[]"},
		{"vlan", "5", "me", 1, "{\"mac_limit\":1,\"mac_limit\":2}"},
		{"vlan", "5", "", 1, "{}"},
		{"node", "node", "me", 1, "{}"},
		{"port", "p", "me", 1, "{\"kind\":\"memif\",\"vlan\":5}"},
		{"port", "p", "me", 1, "{}"},
	};
	struct state *s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(state_open(&s, rig_path, rig_why, sizeof(rig_why)), 0);
		assert_int_equal(state_load(s, NULL, NULL), 0);
		assert_int_equal(state_begin(s), 0);
		assert_int_equal(state_put(s, &(struct state_row){"vlan", "1", "me", 1, "{}"}), 0);
		assert_int_equal(state_put(s, &bad[i]), 0);
		assert_int_equal(state_commit(s, 1), 0);
		state_close(s);
		restart();
		assert_int_equal(ctl.store.objects.n, SCHEMA_N_CLASSES);
		assert_int_equal(ctl.store.generation, 0);
		assert_int_equal(rig_count("*.damaged", NULL, 0), 1);
		apply(OPS(ADD_VLAN("5")), 1);
		ctl_fini(&ctl);
		rig_empty();
	}
}

static void state_of_a_later_daemon_is_put_aside_as_such(void **state)
{
	static const struct state_row later[] = {{"toaster", "x", "me", 1, "{}"}, {"vlan", "5", "me", 1, "{\"colour\":1}"}};
	struct state *s;
	json_t *result;

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		assert_int_equal(state_open(&s, rig_path, rig_why, sizeof(rig_why)), 0);
		assert_int_equal(state_load(s, NULL, NULL), 0);
		assert_int_equal(state_begin(s), 0);
		assert_int_equal(state_put(s, &later[i]), 0);
		assert_int_equal(state_commit(s, 1), 0);
		state_close(s);
		restart();
		assert_int_equal(rig_count("*.future", NULL, 0), 1);
		/* And `get node` says where it is. */
		result = result_as(&session, "get", "{\"object\":\"node\"}");
		assert_non_null(strstr(
			json_string_value(json_object_get(
				json_object_get(json_object_get(json_array_get(json_object_get(result, "objects"), 0), "state"),
						"state_file"),
				"aside")),
			".future"));
		json_decref(result);
		ctl_fini(&ctl);
		rig_empty();
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_whose_device_is_lacking_is_accepted_and_shows_why),
		TEST(lacking_port_comes_into_force_when_its_device_does),
		TEST(tries_come_after_longer_and_longer_and_at_a_hint_at_once),
		TEST(what_is_lost_is_made_again_and_holds_up_no_generation),
		TEST(pending_port_can_be_changed_and_deleted),
		TEST(what_is_wrong_with_the_request_is_refused),
		TEST(what_a_pending_port_takes_is_taken),
		TEST(vlan_is_there_until_the_last_port_leaves_it),
		TEST(others_objects_are_changed_by_force_only),
		TEST(forced_replace_takes_what_it_lists_and_nothing_else),
		TEST(dry_run_answers_with_what_would_change),
		TEST(empty_plan_is_an_empty_list),
		TEST(wait_for_what_is_applied_is_answered_at_once),
		TEST(wait_is_answered_when_the_generation_is_in_force),
		TEST(wait_ends_with_names_when_its_time_is_up),
		TEST(wait_of_a_client_that_went_is_forgotten),
		TEST(session_holds_so_many_and_no_more),
		TEST(restart_brings_back_what_was_committed),
		TEST(restart_makes_what_it_can_and_says_what_it_cannot),
		TEST(state_that_contradicts_itself_is_put_aside),
		TEST(state_of_a_later_daemon_is_put_aside_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

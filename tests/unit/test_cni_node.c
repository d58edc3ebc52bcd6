/* SPDX-License-Identifier: Apache-2.0 */

/* sluice-cni's talk with the daemon, line by line, and what becomes of each answer. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cni/gc.h"
#include "fake_server.h"

static char dir[32], path[64];
static struct fake_server server;
static struct cni_conf conf;
static struct cni_error err;
static struct node node;
static json_t *attrs;
static const struct cni_env gc_env = {.command = CNI_GC};

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sluice-cni-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	conf = (struct cni_conf){.socket = path, .timeout_ms = 20000};
	node = (struct node){0};
	attrs = json_pack("{s:s, s:i}", "kind", "veth", "vlan", 100);
	return 0;
}

static int teardown(void **state)
{
	node_close(&node);
	json_decref(attrs);
	return rmdir(dir);
}

static void play(const char *const *script)
{
	assert_true(fake_start(&server, path, script));
	if (node_open(&node, &conf, &err))
		fail_msg("%s", err.msg);
}

#define PLAY(...) play((const char *const[]){FAKE_HELLO, __VA_ARGS__, NULL})

static void played_to_the_end(void)
{
	node_close(&node);
	assert_true(fake_stop(&server));
}

static void assert_failed(int ret, int code, const char *says)
{
	assert_int_equal(ret, code);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, says))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

#define VLAN	    "{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\"}"
#define ADD	    "{\"op\":\"add\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"kind\":\"veth\",\"vlan\":100}}"
#define DEL	    "{\"op\":\"del\",\"object\":\"port\",\"name\":\"p\"}"
#define ANEW	    DEL "," ADD
#define APPLY(ops)  ("<\"method\":\"apply\",\"params\":{\"ops\":[" ops "]}")
#define AT(n, done) FAKE_OK("{\"generation\":" #n ",\"applied\":" #done ",\"changes\":1}")
#define PORT(error) \
	FAKE_OK("{\"generation\":7,\"applied\":6,\"objects\":[{\"object\":\"port\",\"name\":\"p\",\"error\":" error "}]}")
#define PENDING "{\"name\":\"no-trunk\",\"message\":\"there is no trunk\",\"hint\":\"make one\"}"

/* --- add ---------------------------------------------------------------------------------------------------------------------- */

static void vlan_and_port_are_one_transaction_and_what_is_left_goes(void **state)
{
	PLAY(APPLY(VLAN "," ANEW), AT(7, 7));
	assert_int_equal(node_add(&node, "p", attrs, 100, &err), 0);
	played_to_the_end();
}

static void a_vlan_of_somebody_else_is_used(void **state)
{
	PLAY(APPLY(VLAN "," ANEW), FAKE_ERROR(-32000, "owned", "ops[0].name", "vlan 100: belongs to cap", ""), APPLY(ANEW),
	     AT(7, 7));
	assert_int_equal(node_add(&node, "p", attrs, 100, &err), 0);
	played_to_the_end();
}

static void a_port_of_somebody_else_is_not(void **state)
{
	PLAY(APPLY(VLAN "," ANEW), FAKE_ERROR(-32000, "owned", "ops[1].name", "port p: belongs to cap", "h"));
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_REFUSED, "port p: belongs to cap");
	assert_string_equal(err.details, "h");
	played_to_the_end();
}

static void a_daemon_that_always_refuses_is_not_asked_for_ever(void **state)
{
	PLAY(APPLY(VLAN "," ANEW), FAKE_ERROR(-32000, "exists", "ops[0].name", "vlan", ""), APPLY(ANEW),
	     FAKE_ERROR(-32000, "exists", "ops[0].name", "port", ""));
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_REFUSED, "port");
	played_to_the_end();
}

static void a_bad_value_is_the_configurations_fault(void **state)
{
	PLAY("<apply", FAKE_ERROR(-32602, "out-of-range", "ops[1].attrs.mtu", "mtu 1: out of range (68-9216)", ""));
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_BAD_CONFIG, "mtu 1: out of range");
	played_to_the_end();
}

/* --- waiting ------------------------------------------------------------------------------------------------------------------ */

static void others_that_wait_are_not_waited_for(void **state)
{
	PLAY(APPLY(VLAN "," ANEW), AT(7, 3), "<\"watch\"", FAKE_OK("{}"), "<\"get\"", PORT("null"));
	assert_int_equal(node_add(&node, "p", attrs, 100, &err), 0);
	played_to_the_end();
}

static void events_of_the_port_are_waited_for(void **state)
{
	PLAY("<apply", AT(7, 6), "<\"watch\"", FAKE_OK("{}"), "<\"get\"", PORT(PENDING),
	     FAKE_EVENT("{\"type\":\"object.applied\",\"object\":\"port\",\"name\":\"other\"}"),
	     FAKE_EVENT("{\"type\":\"object.error\",\"object\":\"port\",\"name\":\"p\"}"), "<\"get\"", PORT(PENDING),
	     FAKE_EVENT("{\"type\":\"resync\",\"missed\":1}"), "<\"get\"", PORT("null"));
	assert_int_equal(node_add(&node, "p", attrs, 100, &err), 0);
	played_to_the_end();
}

static void in_vain_the_port_goes_and_its_error_is_told(void **state)
{
	PLAY("<apply", AT(7, 6), "<\"watch\"", FAKE_OK("{}"), "<\"get\"", PORT(PENDING), APPLY(DEL), AT(8, 8));
	node.timeout_ms = 100;
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_TRY_AGAIN, "there is no trunk");
	assert_string_equal(err.details, "make one");
	played_to_the_end();
}

static void a_port_that_somebody_takes_away_is_no_success(void **state)
{
	PLAY("<apply", AT(7, 6), "<\"watch\"", FAKE_OK("{}"), "<\"get\"",
	     FAKE_ERROR(-32000, "not-found", "name", "port p: not found", ""), APPLY(DEL), AT(8, 8));
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_REFUSED, "deleted by somebody else");
	played_to_the_end();
}

static void no_answer_in_time_takes_back_what_may_have_happened(void **state)
{
	PLAY("<apply", APPLY(DEL), AT(8, 8));
	sluice_set_timeout(node.s, 1000);
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_TRY_AGAIN, "timed out");
	played_to_the_end();
}

/* --- set ---------------------------------------------------------------------------------------------------------------------- */

#define SET "{\"op\":\"set\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"kind\":\"veth\",\"vlan\":100}}"

static void a_change_is_waited_for(void **state)
{
	PLAY(APPLY(SET), AT(8, 7), "<\"watch\"", FAKE_OK("{}"), "<\"get\"", PORT(PENDING),
	     FAKE_EVENT("{\"type\":\"object.applied\",\"object\":\"port\",\"name\":\"p\"}"), "<\"get\"", PORT("null"));
	assert_int_equal(node_set(&node, "p", attrs, &err), 0);
	played_to_the_end();
}

static void a_change_may_follow_an_add_that_was_waited_for(void **state)
{
	PLAY("<apply", AT(7, 6), "<\"watch\"", FAKE_OK("{}"), "<\"get\"", PORT("null"), APPLY(SET), AT(8, 7), "<\"watch\"",
	     FAKE_OK("{}"), "<\"get\"", PORT("null"));
	assert_int_equal(node_add(&node, "p", attrs, 100, &err), 0);
	assert_int_equal(node_set(&node, "p", attrs, &err), 0);
	played_to_the_end();
}

static void a_change_that_is_refused_is_left_to_the_caller(void **state)
{
	PLAY(APPLY(SET), FAKE_ERROR(-32602, "gateway-outside", "ops[0].attrs.gateway", "gateway 10.9.0.1: outside", ""));
	assert_failed(node_set(&node, "p", attrs, &err), CNI_BAD_CONFIG, "gateway 10.9.0.1");
	played_to_the_end();
}

/* --- the rest ----------------------------------------------------------------------------------------------------------------- */

static void deleting_leaves_alone_what_is_anothers(void **state)
{
	PLAY(APPLY(DEL), AT(7, 7), APPLY(DEL), FAKE_ERROR(-32000, "owned", "ops[0].name", "port p: belongs to cap", ""), "<apply",
	     FAKE_ERROR(-32000, "no-space", "", "the disk is full", ""));
	assert_int_equal(node_del(&node, "p", &err), 0);
	assert_int_equal(node_del(&node, "p", &err), 0);
	assert_failed(node_del(&node, "p", &err), CNI_REFUSED, "the disk is full");
	played_to_the_end();
}

static void a_daemon_that_is_started_anew_is_asked_again(void **state)
{
	PLAY("<apply", "-", FAKE_HELLO, APPLY(VLAN "," ANEW), AT(7, 7), "-", FAKE_HELLO, APPLY(DEL), AT(8, 8));
	assert_int_equal(node_add(&node, "p", attrs, 100, &err), 0);
	assert_int_equal(node_del(&node, "p", &err), 0);
	played_to_the_end();
}

static void what_a_daemon_that_went_left_undecided_is_taken_back_from_the_next(void **state)
{
	PLAY(APPLY(VLAN "," ANEW), AT(7, 6), "<watch", "-", FAKE_HELLO, APPLY(DEL), AT(8, 8));
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_TRY_AGAIN, "closed the connection");
	played_to_the_end();
}

static void a_daemon_that_goes_for_good_is_gone(void **state)
{
	PLAY("<apply");
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_TRY_AGAIN, "");
	assert_true(fake_stop(&server));
	assert_failed(node_del(&node, "p", &err), CNI_TRY_AGAIN, "no daemon");
}

static void gc_deletes_the_stale_of_one_network(void **state)
{
	char stale[PORT_NAME_SIZE], valid[PORT_NAME_SIZE], other[PORT_NAME_SIZE], answer[1024], want[256];
	json_t *names = json_object();

	conf.name = "red";
	conf_port_name(stale, "red", "a", "eth0");
	conf_port_name(valid, "red", "b", "eth0");
	conf_port_name(other, "blue", "a", "eth0");
	json_object_set_new(names, valid, json_true());
	snprintf(answer, sizeof(answer),
		 FAKE_OK("{\"objects\":[{\"name\":\"%s\",\"owner\":\"cni\"},{\"name\":\"%s\",\"owner\":\"cni\"},{\"name\":\"%s\","
			 "\"owner\":"
			 "\"cni\"},{\"name\":\"%s\",\"owner\":\"cap\"},{\"name\":5},{},7]}"),
		 stale, valid, other, stale);
	snprintf(want, sizeof(want), APPLY("{\"op\":\"del\",\"object\":\"port\",\"name\":\"%s\"}"), stale);
	PLAY("<\"get\",\"params\":{\"object\":\"port\"}", answer, want, AT(7, 7), "<\"get\"", FAKE_OK("{\"objects\":[]}"));
	assert_int_equal(gc_ports(&node, &conf, &gc_env, names, &err), 0);
	/* Nothing stale: nothing is written. */
	assert_int_equal(gc_ports(&node, &conf, &gc_env, names, &err), 0);
	played_to_the_end();
	json_decref(names);
}

static void gc_does_not_ask_a_daemon_that_fails_again_and_again(void **state)
{
	char first[PORT_NAME_SIZE], second[PORT_NAME_SIZE], answer[512];
	json_t *none = json_object();

	conf.name = "red";
	conf_port_name(first, "red", "a", "eth0");
	conf_port_name(second, "red", "b", "eth0");
	snprintf(answer, sizeof(answer),
		 FAKE_OK("{\"objects\":[{\"name\":\"%s\",\"owner\":\"cni\"},{\"name\":\"%s\",\"owner\":\"cni\"}]}"), first, second);
	PLAY("<\"get\"", answer, "<apply", FAKE_ERROR(-32000, "no-space", "", "the disk is full", ""), "|");
	assert_failed(gc_ports(&node, &conf, &gc_env, none, &err), CNI_REFUSED, "the disk is full");
	played_to_the_end();
	json_decref(none);
}

#define KINDS(kinds) FAKE_OK("{\"objects\":[{\"object\":\"node\",\"state\":{\"kinds\":[" kinds "]}}]}")

static void status_looks_for_the_kind(void **state)
{
	static const char ask[] = "<\"get\",\"params\":{\"object\":\"node\"}";

	PLAY(ask, KINDS("{\"kind\":\"tap\",\"available\":false},{\"kind\":\"veth\",\"available\":true}"), ask,
	     KINDS("{\"kind\":\"tap\",\"available\":true},{\"kind\":\"veth\",\"available\":false}"), ask,
	     KINDS("{\"kind\":\"tap\",\"available\":true}"), ask, FAKE_OK("[]"));
	assert_int_equal(node_status(&node, &err), 0);
	for (int i = 0; i < 3; i++)
		assert_failed(node_status(&node, &err), CNI_NOT_AVAILABLE, "no ports of kind veth");
	played_to_the_end();
}

static void a_full_daemon_is_asked_again(void **state)
{
	static const char full[] =
		">{\"id\":null,\"error\":{\"code\":-32000,\"message\":\"full\",\"data\":{\"name\":\"too-many-clients\"}}}";

	assert_true(fake_start(&server, path, (const char *const[]){full, "-", full, "-", FAKE_HELLO, NULL}));
	assert_int_equal(node_open(&node, &conf, &err), 0);
	played_to_the_end();
}

static void a_daemon_that_talks_nonsense_is_an_io_error(void **state)
{
	PLAY("<apply", ">hello", "|");
	assert_failed(node_add(&node, "p", attrs, 100, &err), CNI_IO, "not JSON");
	played_to_the_end();
}

static void a_daemon_that_is_not_there_may_be_there_soon(void **state)
{
	assert_failed(node_open(&node, &conf, &err), CNI_TRY_AGAIN, "no daemon is running there");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(vlan_and_port_are_one_transaction_and_what_is_left_goes),
		TEST(a_vlan_of_somebody_else_is_used),
		TEST(a_port_of_somebody_else_is_not),
		TEST(a_daemon_that_always_refuses_is_not_asked_for_ever),
		TEST(a_bad_value_is_the_configurations_fault),
		TEST(others_that_wait_are_not_waited_for),
		TEST(events_of_the_port_are_waited_for),
		TEST(in_vain_the_port_goes_and_its_error_is_told),
		TEST(a_port_that_somebody_takes_away_is_no_success),
		TEST(no_answer_in_time_takes_back_what_may_have_happened),
		TEST(a_change_is_waited_for),
		TEST(a_change_may_follow_an_add_that_was_waited_for),
		TEST(a_change_that_is_refused_is_left_to_the_caller),
		TEST(deleting_leaves_alone_what_is_anothers),
		TEST(a_daemon_that_is_started_anew_is_asked_again),
		TEST(what_a_daemon_that_went_left_undecided_is_taken_back_from_the_next),
		TEST(a_daemon_that_goes_for_good_is_gone),
		TEST(gc_deletes_the_stale_of_one_network),
		TEST(gc_does_not_ask_a_daemon_that_fails_again_and_again),
		TEST(status_looks_for_the_kind),
		TEST(a_full_daemon_is_asked_again),
		TEST(a_daemon_that_talks_nonsense_is_an_io_error),
		TEST(a_daemon_that_is_not_there_may_be_there_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

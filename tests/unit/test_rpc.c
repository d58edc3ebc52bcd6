/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The control protocol without its sockets: lines, envelopes, and what the methods do to a switch that is not there.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ctl.h"
#include "daemon/line.h"
#include "daemon/methods.h"
#include "daemon/rpc.h"
#include "fake_dp.h"
#include "schema/objects.h"

static struct ctl ctl;
static struct rpc_session session;

static int setup(void **state)
{
	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	return 0;
}

static int teardown(void **state)
{
	ctl_fini(&ctl);
	return 0;
}

/* --- helpers --------------------------------------------------------------------------------------------------------------- */

/* The answer to a line of `len` bytes, or NULL when there is none. */
static json_t *answer_to(struct rpc_session *s, const char *line, size_t len)
{
	json_error_t where;
	json_t *reply;
	char *text;
	size_t n;

	assert_int_equal(rpc_handle(s, line, len, &text, &n), 0);
	if (!text)
		return NULL;
	assert_int_equal(text[n - 1], '\n');
	reply = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
	assert_non_null(reply);
	assert_string_equal(json_string_value(json_object_get(reply, "jsonrpc")), "2.0");
	free(text);
	return reply;
}

static void assert_error(json_t *reply, int code, const char *name, const char *path)
{
	const json_t *error = json_object_get(reply, "error"), *data = json_object_get(error, "data");

	if (!error)
		fail_msg("no error, but %s", json_dumps(reply, JSON_COMPACT));
	assert_int_equal(json_integer_value(json_object_get(error, "code")), code);
	assert_string_equal(json_string_value(json_object_get(data, "name")), name);
	if (path)
		assert_string_equal(json_string_value(json_object_get(data, "path")), path);
	assert_true(json_string_length(json_object_get(error, "message")) > 0);
	json_decref(reply);
}

static void assert_line_error(const char *line, int code, const char *name)
{
	assert_error(answer_to(&session, line, strlen(line)), code, name, NULL);
}

static json_t *call_as(struct rpc_session *s, const char *method, const char *params)
{
	char *line = NULL;
	json_t *reply;
	int n = asprintf(&line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}", method, params);

	reply = answer_to(s, line, n);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 7);
	free(line);
	return reply;
}

static json_t *call(const char *method, const char *params)
{
	return call_as(&session, method, params);
}

/* The result of a call that must succeed. */
static json_t *result_as(struct rpc_session *s, const char *method, const char *params)
{
	json_t *reply = call_as(s, method, params), *result = json_object_get(reply, "result");

	if (!result)
		fail_msg("%s %s: %s", method, params, json_dumps(reply, JSON_COMPACT));
	json_incref(result);
	json_decref(reply);
	return result;
}

static void apply_as(struct rpc_session *s, const char *params, int generation)
{
	json_t *result = result_as(s, "apply", params);

	assert_int_equal(json_integer_value(json_object_get(result, "generation")), generation);
	json_decref(result);
}

static void apply(const char *params, int generation)
{
	apply_as(&session, params, generation);
}

static void hello(struct rpc_session *s, const char *client)
{
	char params[128];

	snprintf(params, sizeof(params), "{\"client\":\"%s\",\"api_major\":1}", client);
	json_decref(result_as(s, "hello", params));
}

static const char *path_of(const char *port)
{
	int i = fake_port_index(&fake_dp, port);

	return i < 0 ? NULL : fake_dp.ports[i].path;
}

#define ADD_PORT(name, more) "{\"op\":\"add\",\"object\":\"port\",\"name\":\"" name "\",\"attrs\":{\"kind\":\"memif\"" more "}}"
#define OPS(ops)	     "{\"ops\":[" ops "]}"

/* --- lines ------------------------------------------------------------------------------------------------------------------- */

static void feed(struct line_buf *b, const char *data, size_t n)
{
	while (n) {
		size_t room;
		char *to = line_room(b, &room);
		size_t part = n < room ? n : room;

		assert_non_null(to);
		memcpy(to, data, part);
		line_filled(b, part);
		data += part;
		n -= part;
	}
}

static void assert_line(struct line_buf *b, const char *expected)
{
	const char *line;
	size_t n;

	assert_int_equal(line_next(b, &line, &n), LINE_OK);
	assert_int_equal(n, strlen(expected));
	assert_memory_equal(line, expected, n);
}

static void assert_no_line(struct line_buf *b, bool partial)
{
	const char *line;
	size_t n;

	assert_int_equal(line_next(b, &line, &n), LINE_NONE);
	assert_int_equal(line_partial(b), partial);
}

static void a_line_may_come_in_pieces_and_several_at_once(void **state)
{
	struct line_buf b;

	line_init(&b, 100);
	assert_no_line(&b, false);
	feed(&b, "on", 2);
	assert_no_line(&b, true);
	feed(&b, "e\ntwo\n\nfo", 9);
	assert_line(&b, "one");
	assert_line(&b, "two");
	assert_line(&b, "");
	assert_no_line(&b, true);
	feed(&b, "ur\n", 3);
	assert_line(&b, "four");
	assert_no_line(&b, false);
	line_fini(&b);
}

static void the_longest_line_is_a_line_and_one_byte_more_is_reported_once(void **state)
{
	char *long_line = malloc(RPC_LINE_MAX + 2);
	struct line_buf b;
	const char *line;
	size_t n;

	memset(long_line, 'x', RPC_LINE_MAX + 2);
	line_init(&b, RPC_LINE_MAX);
	feed(&b, long_line, RPC_LINE_MAX);
	assert_no_line(&b, true);
	feed(&b, "\n", 1);
	assert_int_equal(line_next(&b, &line, &n), LINE_OK);
	assert_int_equal(n, RPC_LINE_MAX);

	/* One more: given up before its end is there, and what follows is a line again. */
	feed(&b, long_line, RPC_LINE_MAX + 1);
	assert_int_equal(line_next(&b, &line, &n), LINE_TOO_LONG);
	assert_no_line(&b, true);
	feed(&b, long_line, RPC_LINE_MAX + 2);
	assert_no_line(&b, true);
	feed(&b, "x\nnext\n", 7);
	assert_line(&b, "next");
	assert_no_line(&b, false);
	line_fini(&b);
	free(long_line);
}

static void a_long_line_that_is_there_whole_is_given_up_too(void **state)
{
	struct line_buf b;
	const char *line;
	size_t n;

	line_init(&b, 4);
	feed(&b, "12345\n1234\n123456\n", 18);
	assert_int_equal(line_next(&b, &line, &n), LINE_TOO_LONG);
	assert_line(&b, "1234");
	assert_int_equal(line_next(&b, &line, &n), LINE_TOO_LONG);
	assert_no_line(&b, false);
	line_fini(&b);
}

static void the_buffer_stays_within_what_a_line_needs(void **state)
{
	char chunk[65536];
	struct line_buf b;
	const char *line;
	size_t n;

	memset(chunk, 'x', sizeof(chunk));
	line_init(&b, RPC_LINE_MAX);
	for (int i = 0; i < 200; i++) {
		feed(&b, chunk, sizeof(chunk));
		line_next(&b, &line, &n);
		assert_true(b.room <= 4 * RPC_LINE_MAX);
	}
	feed(&b, "\n", 1);
	assert_no_line(&b, false);
	line_room(&b, &n);
	assert_true(b.room <= 65536);
	line_fini(&b);
}

/* --- envelopes ----------------------------------------------------------------------------------------------------------------- */

static void what_is_not_json_is_a_parse_error(void **state)
{
	static const char *const junk[] = {
		"",	   " ",	       "hello", "{",
		"{} {}",   "\"get\"",  "7",	"{\"a\":01}",
		"{'a':1}", "\x80\xff", "nul",	"{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"method\":\"get\"}",
		"]",	   "}}}}"};

	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
		assert_line_error(junk[i], RPC_PARSE_ERROR, "parse-error");
}

static void a_key_given_twice_is_refused(void **state)
{
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"get\"}", RPC_PARSE_ERROR, "duplicate-key");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\",\"params\":{\"name\":\"a\",\"name\":\"b\"}}",
			  RPC_PARSE_ERROR, "duplicate-key");
}

static void a_nul_is_refused_raw_and_escaped(void **state)
{
	static const char raw[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"g\0et\"}";

	assert_error(answer_to(&session, raw, sizeof(raw) - 1), RPC_PARSE_ERROR, "nul", "");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"g\\u0000et\"}", RPC_PARSE_ERROR, "nul");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\",\"params\":{\"\\u0000\":1}}", RPC_PARSE_ERROR, "nul");
}

/* A request whose whole is nested to `depth`. */
static char *nested(unsigned depth)
{
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":{\"ops\":";
	char *line = malloc(2 * depth + 100);
	size_t n = sizeof(head) - 1;

	assert_non_null(line);
	memcpy(line, head, sizeof(head));
	for (unsigned i = 0; i + 2 < depth; i++)
		line[n++] = '[';
	for (unsigned i = 0; i + 2 < depth; i++)
		line[n++] = ']';
	strcpy(line + n, "}}");
	return line;
}

static void depth_ends_at_16(void **state)
{
	char *line = nested(16);

	assert_line_error(line, RPC_INVALID_PARAMS, "wrong-type");
	free(line);
	line = nested(17);
	assert_line_error(line, RPC_PARSE_ERROR, "too-deep");
	free(line);
	line = nested(100000);
	assert_line_error(line, RPC_PARSE_ERROR, "too-deep");
	free(line);
	/* Brackets in strings do not nest, and an escaped quote does not end one. */
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[\"}", RPC_METHOD_NOT_FOUND,
			  "unknown-method");
}

static void an_envelope_holds_its_four_members_only(void **state)
{
	assert_line_error("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\"}]", RPC_INVALID_REQUEST, "batch");
	assert_line_error("[]", RPC_INVALID_REQUEST, "batch");
	assert_line_error("{}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"id\":1,\"method\":\"get\"}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"get\"}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":2.0,\"id\":1,\"method\":\"get\"}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\",\"extra\":0}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"get\"}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"get\"}", RPC_INVALID_REQUEST, "invalid-request");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\",\"params\":[]}", RPC_INVALID_PARAMS, "wrong-type");
	assert_line_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"explode\"}", RPC_METHOD_NOT_FOUND, "unknown-method");
}

static void the_id_comes_back_as_it_was(void **state)
{
	static const char *const ids[] = {"1", "-9223372036854775808", "\"a\"", "\"\"", "null"};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char line[128], *back;
		json_t *reply;

		snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"get\"}", ids[i]);
		reply = answer_to(&session, line, strlen(line));
		back = json_dumps(json_object_get(reply, "id"), JSON_ENCODE_ANY);
		assert_string_equal(back, ids[i]);
		assert_non_null(json_object_get(reply, "result"));
		free(back);
		json_decref(reply);
	}
}

static void a_notification_is_done_and_not_answered(void **state)
{
	static const char *const lines[] = {
		"{\"jsonrpc\":\"2.0\",\"method\":\"explode\"}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"apply\",\"params\":" OPS(ADD_PORT("p", "")) "}",
	};

	for (size_t i = 0; i < 2; i++)
		assert_null(answer_to(&session, lines[i], strlen(lines[i])));
	assert_int_equal(fake_dp.n_ports, 1);
	assert_int_equal(ctl.store.generation, 1);
}

static void what_came_in_broken_goes_out_as_valid_text(void **state)
{
	char name[400];
	json_t *reply;

	/* Long enough to be cut in the middle of a character when it is quoted. */
	strcpy(name, "{\"vlaan");
	for (int i = 0; i < 90; i++)
		strcat(name, "\xe6\xbc\xa2");
	strcat(name, "\":1}");
	reply = call("get", name);
	assert_error(reply, RPC_INVALID_PARAMS, "unknown-parameter", NULL);
}

static void the_read_only_socket_takes_no_writes(void **state)
{
	struct rpc_session reader;

	rpc_session_init(&reader, &ctl, true);
	assert_error(call_as(&reader, "apply", OPS("")), RPC_REFUSED, "read-only", "");
	json_decref(result_as(&reader, "get", "{}"));
	json_decref(result_as(&reader, "stats", "{}"));
	json_decref(result_as(&reader, "describe", "{}"));
	hello(&reader, "reader");
}

static void every_method_of_the_schema_has_a_handler(void **state)
{
	for (const struct schema_method *m = schema_methods; m->name; m++) {
		json_t *reply = call(m->name, "{}"), *error = json_object_get(reply, "error");

		assert_int_not_equal(json_integer_value(json_object_get(error, "code")), RPC_METHOD_NOT_FOUND);
		json_decref(reply);
	}
}

static void hello_tells_who_answers(void **state)
{
	json_t *result = result_as(&session, "hello", "{\"client\":\"cap\",\"api_major\":1}");

	assert_string_equal(json_string_value(json_object_get(result, "boot_id")), ctl.boot_id);
	assert_int_equal(json_integer_value(json_object_get(result, "generation")), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "limits"), "line_bytes")), RPC_LINE_MAX);
	assert_true(json_array_size(json_object_get(result, "features")) > 3);
	assert_string_equal(session.client, "cap");
	json_decref(result);
	assert_error(call("hello", "{\"client\":\"cap\",\"api_major\":2}"), RPC_REFUSED, "unsupported-version", "api_major");
	assert_error(call("hello", "{\"client\":\"a b\",\"api_major\":1}"), RPC_INVALID_PARAMS, "bad-name", "client");
}

/* --- apply ----------------------------------------------------------------------------------------------------------------------- */

static void adding_what_is_so_succeeds_and_what_differs_is_refused(void **state)
{
	apply(OPS(ADD_PORT("p", ",\"vlan\":100,\"ips\":[\"10.0.0.2\",\"10.0.0.1\"]")), 1);
	apply(OPS(ADD_PORT("p", ",\"vlan\":100,\"ips\":[\"10.0.0.1\",\"10.0.0.2\"]")), 1);
	assert_int_equal(fake_dp.applies, 1);
	assert_error(call("apply", OPS(ADD_PORT("p", ",\"vlan\":101"))), RPC_REFUSED, "exists", "ops[0].name");
	assert_int_equal(fake_dp.ports[0].vlan, 100);
}

static void set_changes_what_is_named_and_keeps_the_rest(void **state)
{
	apply(OPS(ADD_PORT("p", ",\"vlan\":100,\"path\":\"/a\"")), 1);
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
	apply(OPS(ADD_PORT("p", ",\"vlan\":1") ",{\"op\":\"set\",\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"vlan\":2}},"
					       "{\"op\":\"del\",\"object\":\"port\",\"name\":\"p\"}," ADD_PORT(
						       "p", ",\"path\":\"/again\"")),
	      1);
	assert_string_equal(path_of("p"), "/again");
	assert_int_equal(fake_dp.n_ops, 4);
	assert_non_null(table_find(&ctl.store.objects, &schema_port, "p"));
	/* Exists within the transaction. */
	assert_error(call("apply", OPS(ADD_PORT("q", "") "," ADD_PORT("q", ",\"vlan\":2"))), RPC_REFUSED, "exists", "ops[1].name");
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
	assert_error(call("apply", OPS(ADD_PORT("p", "") "," ADD_PORT("q", ",\"vlan\":5,\"vlan_mode\":\"trunk\""))), RPC_REFUSED,
		     "not-allowed", "ops[1].attrs.vlan");
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
	apply_as(&other, OPS(ADD_PORT("shared", ",\"vlan\":5")), 1);
	apply(REPLACE(PORT("shared", ",\"vlan\":5")), 1);
	assert_error(call("apply", REPLACE(PORT("mine", "") "," PORT("shared", ",\"vlan\":6"))), RPC_REFUSED, "owned",
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
	assert_error(call("apply", REPLACE(PORT("p", ",\"vlan\":1,\"vlan_mode\":\"trunk\""))), RPC_REFUSED, "not-allowed",
		     "replace.objects[0].attrs.vlan");
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
			strcat(seen, json_string_value(json_object_get(object, "name")));
			strcat(seen, " ");
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
	assert_int_equal(json_array_size(json_object_get(node, "kinds")), 2);
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
		TEST(a_line_may_come_in_pieces_and_several_at_once),
		TEST(the_longest_line_is_a_line_and_one_byte_more_is_reported_once),
		TEST(a_long_line_that_is_there_whole_is_given_up_too),
		TEST(the_buffer_stays_within_what_a_line_needs),
		TEST(what_is_not_json_is_a_parse_error),
		TEST(a_key_given_twice_is_refused),
		TEST(a_nul_is_refused_raw_and_escaped),
		TEST(depth_ends_at_16),
		TEST(an_envelope_holds_its_four_members_only),
		TEST(the_id_comes_back_as_it_was),
		TEST(a_notification_is_done_and_not_answered),
		TEST(what_came_in_broken_goes_out_as_valid_text),
		TEST(the_read_only_socket_takes_no_writes),
		TEST(every_method_of_the_schema_has_a_handler),
		TEST(hello_tells_who_answers),
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

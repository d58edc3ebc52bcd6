/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The control protocol without its sockets: lines, envelopes, and memory that runs out.
 */

#include "rpc_rig.h"

#include "daemon/line.h"

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

static void a_line_that_waits_is_known_before_it_is_taken(void **state)
{
	struct line_buf b;
	const char *line;
	size_t n;

	line_init(&b, 4);
	assert_int_equal(line_waiting(&b), 0);
	feed(&b, "ab", 2);
	assert_int_equal(line_waiting(&b), 0);
	feed(&b, "c\nde\nf", 6);
	assert_int_equal(line_waiting(&b), 4);
	assert_int_equal(line_waiting(&b), 4);
	assert_line(&b, "abc");
	assert_int_equal(line_waiting(&b), 3);
	assert_line(&b, "de");
	assert_int_equal(line_waiting(&b), 0);
	/* One that is to be given up is to be said so once; then its rest is nothing. */
	feed(&b, "ghij", 4);
	assert_int_equal(line_waiting(&b), 5);
	assert_int_equal(line_next(&b, &line, &n), LINE_TOO_LONG);
	feed(&b, "klm", 3);
	assert_int_equal(line_waiting(&b), 0);
	feed(&b, "n\nok\n", 5);
	assert_int_equal(line_waiting(&b), 3);
	assert_line(&b, "ok");
	assert_int_equal(line_waiting(&b), 0);
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
	memcpy(line + n, "}}", 3);
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

/* Commas inside strings are none. */
static void values_end_at_131072(void **state)
{
	char *line = malloc(RPC_LINE_MAX);
	size_t n;

	assert_non_null(line);
	n = sprintf(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\",\"params\":{\"x\":[");
	/* Of the head itself: two objects, a list, three commas. */
	for (unsigned i = 6; i < RPC_VALUES_MAX; i++)
		n += sprintf(line + n, "1,");
	sprintf(line + n, "\",,,\"]}}");
	assert_error(answer_to(&session, line, strlen(line)), RPC_INVALID_PARAMS, "unknown-parameter", NULL);
	sprintf(line + n, "1,\",,,\"]}}");
	assert_error(answer_to(&session, line, strlen(line)), RPC_PARSE_ERROR, "too-many-values", NULL);
	free(line);
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
	char name[400] = "{\"vlaan";
	size_t n = strlen(name);
	json_t *reply;

	/* Long enough to be cut in the middle of a character when it is quoted. */
	for (int i = 0; i < 90; i++)
		n += snprintf(name + n, sizeof(name) - n, "\xe6\xbc\xa2");
	snprintf(name + n, sizeof(name) - n, "\":1}");
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

/* --- memory -------------------------------------------------------------------------------------------------------------------- */

static long allocations_left;

static void *failing_malloc(size_t size)
{
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

/* One request with the n-th allocation of JSON failing, and those after it. True when none failed any more. */
static bool survives_failure(const char *line, long n)
{
	char *reply = NULL;
	size_t len;
	int ret;

	setup(NULL);
	allocations_left = n;
	json_set_alloc_funcs(failing_malloc, free);
	ret = rpc_handle(&session, line, strlen(line), &reply, &len);
	json_set_alloc_funcs(malloc, free);
	assert_true(ret == 0 || ret == -ENOMEM);
	/* Whatever became of the answer, switch and store agree. */
	assert_int_equal(fake_dp.n_ports, table_count(&ctl.store.objects, &schema_port));
	assert_int_equal(ctl.store.generation, fake_dp.n_ports ? 1 : 0);
	free(reply);
	teardown(NULL);
	return allocations_left > 0;
}

static void running_out_of_memory_at_any_point_leaves_nothing_half_done(void **state)
{
	static const char *const requests[] = {
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":" OPS(ADD_PORT("p", ",\"ips\":[\"10.0.0.1\"]")) "}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":" OPS(ADD_PORT("p", ",\"vlan\":4095")) "}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"client\":\"a\",\"api_major\":1}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get\",\"params\":{\"object\":\"node\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stats\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fdb\",\"params\":{\"limit\":3}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"describe\"}",
	};

	teardown(NULL);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		for (long n = 0; !survives_failure(requests[i], n); n++)
			;
	setup(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_may_come_in_pieces_and_several_at_once),
		TEST(the_longest_line_is_a_line_and_one_byte_more_is_reported_once),
		TEST(a_long_line_that_is_there_whole_is_given_up_too),
		TEST(a_line_that_waits_is_known_before_it_is_taken),
		TEST(the_buffer_stays_within_what_a_line_needs),
		TEST(what_is_not_json_is_a_parse_error),
		TEST(a_key_given_twice_is_refused),
		TEST(a_nul_is_refused_raw_and_escaped),
		TEST(depth_ends_at_16),
		TEST(values_end_at_131072),
		TEST(an_envelope_holds_its_four_members_only),
		TEST(the_id_comes_back_as_it_was),
		TEST(a_notification_is_done_and_not_answered),
		TEST(what_came_in_broken_goes_out_as_valid_text),
		TEST(the_read_only_socket_takes_no_writes),
		TEST(every_method_of_the_schema_has_a_handler),
		TEST(hello_tells_who_answers),
		TEST(running_out_of_memory_at_any_point_leaves_nothing_half_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

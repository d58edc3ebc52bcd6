/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RPC_RIG_H
#define TESTS_RPC_RIG_H

/*
 * A client without a socket: requests straight into rpc_handle(), on a switch that is not there. Included once by a test program.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ctl.h"
#include "daemon/rpc.h"
#include "fake_dp.h"
#include "schema/objects.h"

static struct ctl ctl;
static struct rpc_session session;

static inline int setup(void **state)
{
	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	return 0;
}

static inline int teardown(void **state)
{
	ctl_fini(&ctl);
	return 0;
}

/* --- helpers --------------------------------------------------------------------------------------------------------------- */

/* The answer to a line of `len` bytes, or NULL when there is none. */
static inline json_t *answer_to(struct rpc_session *s, const char *line, size_t len)
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

static inline void assert_error(json_t *reply, int code, const char *name, const char *path)
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

static inline void assert_line_error(const char *line, int code, const char *name)
{
	assert_error(answer_to(&session, line, strlen(line)), code, name, NULL);
}

static inline json_t *call_as(struct rpc_session *s, const char *method, const char *params)
{
	char *line = NULL;
	json_t *reply;
	int n = asprintf(&line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}", method, params);

	reply = answer_to(s, line, n);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 7);
	free(line);
	return reply;
}

static inline json_t *call(const char *method, const char *params)
{
	return call_as(&session, method, params);
}

/* The result of a call that must succeed. */
static inline json_t *result_as(struct rpc_session *s, const char *method, const char *params)
{
	json_t *reply = call_as(s, method, params), *result = json_object_get(reply, "result");

	if (!result)
		fail_msg("%s %s: %s", method, params, json_dumps(reply, JSON_COMPACT));
	json_incref(result);
	json_decref(reply);
	return result;
}

static inline void apply_as(struct rpc_session *s, const char *params, int generation)
{
	json_t *result = result_as(s, "apply", params);

	assert_int_equal(json_integer_value(json_object_get(result, "generation")), generation);
	json_decref(result);
}

static inline void apply(const char *params, int generation)
{
	apply_as(&session, params, generation);
}

static inline void hello(struct rpc_session *s, const char *client)
{
	char params[128];

	snprintf(params, sizeof(params), "{\"client\":\"%s\",\"api_major\":1}", client);
	json_decref(result_as(s, "hello", params));
}

static inline const char *path_of(const char *port)
{
	int i = fake_port_index(&fake_dp, port);

	return i < 0 ? NULL : fake_dp.ports[i].path;
}

#define ADD_PORT(name, more)	 "{\"op\":\"add\",\"object\":\"port\",\"name\":\"" name "\",\"attrs\":{\"kind\":\"memif\"" more "}}"
#define ADD_VLAN(id)		 "{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"" id "\"}"
#define DEL(object, name)	 "{\"op\":\"del\",\"object\":\"" object "\",\"name\":\"" name "\"}"
#define SET(object, name, attrs) "{\"op\":\"set\",\"object\":\"" object "\",\"name\":\"" name "\",\"attrs\":{" attrs "}}"
#define OPS(ops)		 "{\"ops\":[" ops "]}"

#endif

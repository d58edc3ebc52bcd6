/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_memory.h"
#include "methods.h"
#include "rpc.h"

/* --- errors --------------------------------------------------------------------------------------------------------------- */

void *rpc_fail(struct rpc_error *err, int code, const char *name, const char *path, const char *hint, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	err->name = name;
	snprintf(err->path, sizeof(err->path), "%s", path);
	snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return NULL;
}

void *rpc_fail_schema(struct rpc_error *err, const char *prefix, const struct schema_error *schema)
{
	char path[160];

	snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix && *schema->path ? "." : "", schema->path);
	return rpc_fail(err, RPC_INVALID_PARAMS, schema->name, path, schema->hint, "%s", schema->msg);
}

/* Messages quote what came in and are cut to size, so they may hold broken UTF-8, which JSON does not take. */
json_t *rpc_text(const char *text)
{
	json_t *s = json_string(text);
	char ascii[sizeof(((struct rpc_error *)0)->msg)];
	size_t n = 0;

	if (s)
		return s;
	for (; n < sizeof(ascii) - 1 && text[n]; n++)
		ascii[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
	ascii[n] = '\0';
	return json_string(ascii);
}

static json_t *error_json(const struct rpc_error *err)
{
	return json_pack("{s:i, s:o, s:{s:s, s:o, s:o}}", "code", err->code, "message", rpc_text(err->msg), "data", "name",
			 err->name, "path", rpc_text(err->path), "hint", rpc_text(err->hint));
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

/* Text of a whole answer with its LF. Takes over `reply`, which may be NULL. */
static char *dump_line(json_t *reply, size_t *len)
{
	char *text = json_text(reply, JSON_COMPACT | JSON_REAL_PRECISION(6));

	json_decref(reply);
	if (!text)
		return NULL;
	/* json_text() leaves no room behind its NUL: the LF takes the NUL's place, the length says the rest. */
	*len = strlen(text) + 1;
	text[*len - 1] = '\n';
	return text;
}

static char *error_line(json_t *id, const struct rpc_error *err, size_t *len)
{
	return dump_line(json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "error", error_json(err)), len);
}

char *rpc_error_line(const struct rpc_error *err, size_t *len)
{
	return error_line(json_null(), err, len);
}

/* Takes over `result`. */
static char *result_line(json_t *id, json_t *result, size_t *len)
{
	struct rpc_error err = {0};
	char *text = dump_line(json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", result), len);

	if (!text || *len <= RPC_REPLY_MAX)
		return text;
	rpc_fail(&err, RPC_REFUSED, "too-large", "", "ask for less: a name, or a limit and the cursor of each answer",
		 "the answer has %zu bytes (at most %u)", *len, RPC_REPLY_MAX);
	free(text);
	return error_line(id, &err, len);
}

/* --- from bytes to JSON ----------------------------------------------------------------------------------------------------- */

/*
 * jansson's own depth limit is 2048, compiled in, and it recurses. So nesting is counted before it sees the line; brackets inside
 * strings do not count. A NUL outside of a string would be a parse error anyway, but deserves its name.
 */
static bool scan(const char *line, size_t len, struct rpc_error *err)
{
	bool string = false;
	unsigned depth = 0, values = 0;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (!c)
			return rpc_fail(err, RPC_PARSE_ERROR, "nul", "", NULL, "a NUL byte at offset %zu", i), false;
		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
			continue;
		}
		if (c == '"')
			string = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth)
			depth--;
		values += c == ',' || c == '{' || c == '[';
		if (values > RPC_VALUES_MAX)
			return rpc_fail(err, RPC_PARSE_ERROR, "too-many-values", "", "send several requests", "more than %u values",
					RPC_VALUES_MAX),
			       false;
		if (depth > RPC_DEPTH_MAX)
			return rpc_fail(err, RPC_PARSE_ERROR, "too-deep", "", NULL, "nested deeper than %u", RPC_DEPTH_MAX), false;
	}
	return true;
}

static json_t *parse(const char *line, size_t len, struct rpc_error *err)
{
	const char *name = "parse-error";
	json_error_t where = {0};
	json_t *json;

	if (!scan(line, len, err))
		return NULL;
	json_memory_reset();
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
	if (json_memory_failed()) {
		json_decref(json);
		return NULL;
	}
	if (json)
		return json;
	if (json_error_code(&where) == json_error_duplicate_key)
		name = "duplicate-key";
	else if (json_error_code(&where) == json_error_null_character || json_error_code(&where) == json_error_null_byte_in_key)
		name = "nul";
	return rpc_fail(err, RPC_PARSE_ERROR, name, "", NULL, "not JSON at byte %d: %s", where.position, where.text);
}

/* --- the envelope ----------------------------------------------------------------------------------------------------------- */

struct request {
	json_t *id; /* NULL: a notification. Borrowed */
	const char *method;
	json_t *params; /* NULL: none. Borrowed */
};

static bool invalid(struct rpc_error *err, const char *name, const char *path, const char *msg)
{
	rpc_fail(err, RPC_INVALID_REQUEST, name, path, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{...}}", "%s",
		 msg);
	return false;
}

static bool is_envelope_key(const char *key)
{
	return !strcmp(key, "jsonrpc") || !strcmp(key, "id") || !strcmp(key, "method") || !strcmp(key, "params");
}

static bool open_envelope(json_t *json, struct request *r, struct rpc_error *err)
{
	const char *key, *version;
	json_t *value, *id = json_object_get(json, "id");

	r->id = NULL;
	if (json_is_array(json))
		return invalid(err, "batch", "", "batches are not taken: send one object per line");
	/* Known first: an error in the rest of the envelope is answered under its id. */
	if (id && !json_is_string(id) && !json_is_integer(id) && !json_is_null(id))
		return invalid(err, "invalid-request", "id", "id: must be a string, an integer or null");
	r->id = id;
	json_object_foreach (json, key, value) {
		if (!is_envelope_key(key))
			return invalid(err, "invalid-request", "", "a request has jsonrpc, id, method and params, nothing else");
	}
	version = json_string_value(json_object_get(json, "jsonrpc"));
	if (!version || strcmp(version, "2.0") != 0)
		return invalid(err, "invalid-request", "jsonrpc", "jsonrpc: must be \"2.0\"");
	r->method = json_string_value(json_object_get(json, "method"));
	if (!r->method)
		return invalid(err, "invalid-request", "method", "method: must be a string");
	r->params = json_object_get(json, "params");
	if (r->params && !json_is_object(r->params)) {
		rpc_fail(err, RPC_INVALID_PARAMS, "wrong-type", "", NULL, "params: must be an object");
		return false;
	}
	return true;
}

static json_t *call(struct rpc_session *s, const struct request *r, struct rpc_error *err)
{
	const struct schema_method *m = schema_method_find(r->method);
	struct schema_error bad;
	char quoted[64];
	json_t *name;

	if (!m) {
		name = json_string(r->method);
		rpc_fail(err, RPC_METHOD_NOT_FOUND, "unknown-method", "", "`describe` lists the methods", "%s: unknown method",
			 schema_quote(name, quoted, sizeof(quoted)));
		json_decref(name);
		return NULL;
	}
	if (m->writes && s->read_only)
		return rpc_fail(err, RPC_REFUSED, "read-only", "", "use the control socket", "%s: this socket is read-only",
				m->name);
	if (schema_check_params(m, r->params, &bad) < 0)
		return rpc_fail_schema(err, "", &bad);
	return methods_call(m, s, r->params, err);
}

void rpc_session_init(struct rpc_session *s, struct ctl *ctl, bool read_only)
{
	*s = (struct rpc_session){
		.ctl = ctl, .read_only = read_only, .client = RPC_ANONYMOUS, .clients_per_uid = RPC_CLIENTS_PER_UID};
}

/* No result and nothing said about why means that memory ran out on the way. */
static void settle_error(struct rpc_error *err)
{
	if (!err->code)
		rpc_fail(err, RPC_INTERNAL_ERROR, "no-memory", "", NULL, "out of memory");
}

/* Takes over `result`; without one *err is the answer. */
static char *answer_line(json_t *id, json_t *result, struct rpc_error *err, size_t *len)
{
	if (result)
		return result_line(id, result, len);
	settle_error(err);
	return error_line(id, err, len);
}

/* --- later ------------------------------------------------------------------------------------------------------------------ */

int rpc_bind(struct rpc_session *s, struct rpc_hold *hold, void (*gone)(struct rpc_hold *hold), struct rpc_error *err)
{
	if (s->n_holds == RPC_HOLDS_MAX) {
		rpc_fail(err, RPC_REFUSED, "too-many", "", "wait for an answer first",
			 "too many requests of this connection are not answered yet (at most %u)", RPC_HOLDS_MAX);
		return -EBUSY;
	}
	*hold = (struct rpc_hold){.next = s->holds, .link = &s->holds, .session = s, .gone = gone};
	if (s->holds)
		s->holds->link = &hold->next;
	s->holds = hold;
	s->n_holds++;
	return 0;
}

int rpc_defer(struct rpc_session *s, struct rpc_hold *hold, void (*gone)(struct rpc_hold *hold), struct rpc_error *err)
{
	int ret = rpc_bind(s, hold, gone, err);

	if (ret == 0)
		hold->id = json_incref(s->request_id);
	return ret;
}

json_t *rpc_deferred(struct rpc_error *err)
{
	err->code = RPC_DEFERRED;
	return NULL;
}

void rpc_release(struct rpc_hold *hold)
{
	*hold->link = hold->next;
	if (hold->next)
		hold->next->link = hold->link;
	hold->session->n_holds--;
	json_decref(hold->id);
	hold->id = NULL;
}

void rpc_answer(struct rpc_hold *hold, json_t *result, struct rpc_error *err)
{
	struct rpc_session *s = hold->session;
	json_t *id = json_incref(hold->id);
	struct rpc_error none = {0};
	char *line = NULL;
	size_t len = 0;

	rpc_release(hold);
	if (id && s->send)
		line = answer_line(id, result, err ? err : &none, &len);
	else
		json_decref(result);
	/* NULL: no memory even for saying so. The owner of the connection closes it rather than leave the client waiting. */
	if (id && s->send)
		s->send(s, line, len);
	json_decref(id);
}

bool rpc_session_busy(const struct rpc_session *s)
{
	return s->holds;
}

void rpc_session_fini(struct rpc_session *s)
{
	while (s->holds) {
		struct rpc_hold *hold = s->holds;

		rpc_release(hold);
		hold->gone(hold);
	}
}

/* --- a line ----------------------------------------------------------------------------------------------------------------- */

int rpc_handle(struct rpc_session *s, const char *line, size_t len, char **reply, size_t *reply_len)
{
	struct rpc_error err = {0};
	struct request r = {0};
	json_t *json = parse(line, len, &err), *result = NULL;
	bool request = json && open_envelope(json, &r, &err), silent;

	*reply = NULL;
	*reply_len = 0;
	if (request) {
		s->request_id = r.id;
		result = call(s, &r, &err);
		s->request_id = NULL;
	}
	silent = (request && !r.id) || err.code == RPC_DEFERRED;
	if (silent)
		json_decref(result);
	else
		*reply = answer_line(r.id ? r.id : json_null(), result, &err, reply_len);
	json_decref(json);
	return *reply || silent ? 0 : -ENOMEM;
}

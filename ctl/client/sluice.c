/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls and events on a wire: numbering requests, telling apart what comes, and the functions of sluice/sluice.h.
 *
 *      line --> JSON object --> "method":"event" ------> the queue of events
 *                          |--> "id" of this call -----> the answer
 *                          |--> an earlier "id" -------> came late: dropped
 *                          |--> "id":null and "error" -> about the connection: the answer
 *                          +--> anything else ---------> SLUICE_BROKEN
 */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "events.h"
#include "slice.h"
#include "wire.h"

#define WAIT_GRACE_MS 2000    /* by which the daemon's own end of a wait comes before ours */
#define WAIT_STEP_MS  3600000 /* what the daemon takes at most; longer waits are several */

struct sluice {
	struct wire wire;
	int timeout_ms;
	json_int_t last_id;
	bool watching;
	struct events events;
	struct sluice_error over; /* kind is not SLUICE_OK: why the connection is of no further use */
};

/* A line that came, and its tree. */
struct message {
	const char *line;
	size_t len;
	json_t *json;
};

/* What to do with a message. */
enum verdict { OURS, EVENT, LATE, STRANGE };

/* --- the state of the connection ----------------------------------------------------------------------------------------------- */

static int check_over(const struct sluice *s, struct sluice_error *err)
{
	if (s->over.kind != SLUICE_OK)
		*err = s->over;
	return s->over.kind;
}

/* Remember an error after which nothing can be relied upon. */
static int settle(struct sluice *s, int ret, const struct sluice_error *err)
{
	if (ret == SLUICE_GONE || ret == SLUICE_BROKEN || ret == SLUICE_NO_MEMORY)
		s->over = *err;
	return ret;
}

static int copy_slice(const char *text, size_t len, char **out, struct sluice_error *err)
{
	*out = malloc(len + 1);
	if (!*out)
		return wire_no_memory(err);
	memcpy(*out, text, len);
	(*out)[len] = '\0';
	return 0;
}

/* --- what comes ------------------------------------------------------------------------------------------------------------------ */

static int read_message(struct sluice *s, struct message *m, int64_t deadline, struct sluice_error *err)
{
	json_error_t where;
	char *line;
	int ret = slc_wire_read(&s->wire, &line, &m->len, deadline, err);

	m->json = NULL;
	if (ret)
		return ret;
	m->line = line;
	m->json = json_loadb(line, m->len, JSON_REJECT_DUPLICATES, &where);
	if (json_is_object(m->json))
		return 0;
	if (m->json)
		ret = wire_error(err, SLUICE_BROKEN, "what the daemon sent is not a JSON object");
	else if (!where.text[0] || json_error_code(&where) == json_error_out_of_memory)
		ret = wire_no_memory(err);
	else
		ret = wire_error(err, SLUICE_BROKEN, "what the daemon sent is not JSON: %s", where.text);
	json_decref(m->json);
	m->json = NULL;
	return ret;
}

/* `waiting`: the id of the call whose answer is waited for; 0: none is. */
static enum verdict judge(const struct sluice *s, const struct message *m, json_int_t waiting)
{
	const json_t *id = json_object_get(m->json, "id");
	const char *method = json_string_value(json_object_get(m->json, "method"));

	if (!id && method)
		return strcmp(method, "event") == 0 && s->watching ? EVENT : LATE;
	if (json_is_null(id) && json_object_get(m->json, "error"))
		return OURS;
	if (!json_is_integer(id) || json_integer_value(id) <= 0 || json_integer_value(id) > s->last_id)
		return STRANGE;
	return json_integer_value(id) == waiting ? OURS : LATE;
}

static int strange(struct sluice_error *err)
{
	return wire_error(err, SLUICE_BROKEN, "the daemon answered a question that was not asked");
}

static void copy_string(char *to, size_t size, const json_t *from)
{
	slc_wire_copy_text(to, size, json_is_string(from) ? json_string_value(from) : "");
}

static int refused(const json_t *error, struct sluice_error *err)
{
	const json_t *data = json_object_get(error, "data");

	memset(err, 0, sizeof(*err));
	err->kind = SLUICE_REFUSED;
	err->code = (int)json_integer_value(json_object_get(error, "code"));
	copy_string(err->message, sizeof(err->message), json_object_get(error, "message"));
	copy_string(err->name, sizeof(err->name), json_object_get(data, "name"));
	copy_string(err->path, sizeof(err->path), json_object_get(data, "path"));
	copy_string(err->hint, sizeof(err->hint), json_object_get(data, "hint"));
	if (!err->message[0])
		return wire_error(err, SLUICE_BROKEN, "the daemon's error says nothing");
	return SLUICE_REFUSED;
}

/* --- calling ---------------------------------------------------------------------------------------------------------------------- */

/* Its text with LF, for the caller to free(). Takes over params, NULL for none. */
static int make_request(struct sluice *s, const char *method, json_t *params, char **text, size_t *len, struct sluice_error *err)
{
	json_t *name = json_string(method), *json = json_object();
	bool failed = !json;

	*text = NULL;
	if (!name) {
		json_decref(params);
		json_decref(json);
		return wire_error(err, SLUICE_INVALID, "the method's name is not UTF-8, or there is no memory");
	}
	failed |= json_object_set_new(json, "jsonrpc", json_string("2.0")) < 0;
	failed |= json_object_set_new(json, "id", json_integer(s->last_id + 1)) < 0;
	failed |= json_object_set_new(json, "method", name) < 0;
	if (params)
		failed |= json_object_set_new(json, "params", params) < 0;
	*text = failed ? NULL : json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!*text)
		return wire_no_memory(err);
	*len = strlen(*text);
	if (*len > SLUICE_LINE_MAX) {
		free(*text);
		return wire_error(err, SLUICE_INVALID, "the request has %zu bytes (the daemon takes %u)", *len, SLUICE_LINE_MAX);
	}
	(*text)[(*len)++] = '\n'; /* in the place of the NUL */
	return 0;
}

static int send_request(struct sluice *s, const char *text, size_t len, int64_t deadline, struct sluice_error *err)
{
	bool sent_any;
	int ret = slc_wire_send(&s->wire, text, len, deadline, &sent_any, err);

	/* Half a request cannot be taken back. */
	if (ret == SLUICE_TIMEOUT && sent_any)
		s->over = *err;
	return ret;
}

/* *result is the answer's tree, and *text its text if `text` is not NULL. */
static int take_answer(const struct message *m, json_t **result, char **text, struct sluice_error *err)
{
	const json_t *error = json_object_get(m->json, "error");
	json_t *tree = json_object_get(m->json, "result");
	const char *slice;
	size_t len;
	int ret = 0;

	if (error)
		return refused(error, err);
	if (!tree || !slc_slice_member(m->line, m->len, "result", &slice, &len))
		return wire_error(err, SLUICE_BROKEN, "the daemon's answer has no result");
	if (text)
		ret = copy_slice(slice, len, text, err);
	if (ret == 0)
		*result = json_incref(tree);
	return ret;
}

static void keep_event(struct sluice *s, const struct message *m)
{
	const char *slice;
	size_t len;

	if (json_is_object(json_object_get(m->json, "params")) && slc_slice_member(m->line, m->len, "params", &slice, &len))
		slc_events_put(&s->events, slice, len);
}

static int read_answer(struct sluice *s, json_int_t id, int64_t deadline, json_t **result, char **text, struct sluice_error *err)
{
	for (;;) {
		enum verdict verdict;
		struct message m;
		int ret = read_message(s, &m, deadline, err);

		if (ret)
			return ret;
		verdict = judge(s, &m, id);
		if (verdict == OURS)
			ret = take_answer(&m, result, text, err);
		else if (verdict == EVENT)
			keep_event(s, &m);
		else if (verdict == STRANGE)
			ret = strange(err);
		json_decref(m.json);
		if (verdict == OURS || ret)
			return ret;
		if (slc_wire_now_ms() >= deadline)
			return wire_error(err, SLUICE_TIMEOUT, "timed out");
	}
}

/* Takes over params. *result is a new reference. `text` may be NULL. */
static int call(struct sluice *s, const char *method, json_t *params, int timeout_ms, json_t **result, char **text,
		struct sluice_error *err)
{
	int64_t deadline = slc_wire_deadline(timeout_ms);
	char *request = NULL;
	size_t len = 0;
	int ret = check_over(s, err);

	*result = NULL;
	if (text)
		*text = NULL;
	if (ret) {
		json_decref(params);
		return ret;
	}
	/* Until something is sent, being out of memory does the connection no harm. */
	ret = make_request(s, method, params, &request, &len, err);
	if (ret)
		return ret;
	s->last_id++;
	ret = send_request(s, request, len, deadline, err);
	free(request);
	if (ret == 0)
		ret = read_answer(s, s->last_id, deadline, result, text, err);
	return settle(s, ret, err);
}

/* The caller's text to a tree. 0, SLUICE_INVALID, SLUICE_NO_MEMORY. */
static int parse(const char *what, const char *text, json_type type, json_t **json, struct sluice_error *err)
{
	json_error_t where;

	*json = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	if (!*json && !where.text[0])
		return wire_no_memory(err);
	if (!*json)
		return wire_error(err, SLUICE_INVALID, "%s: not JSON: line %d column %d: %s", what, where.line, where.column,
				  where.text);
	if (json_typeof(*json) == type)
		return 0;
	json_decref(*json);
	*json = NULL;
	return wire_error(err, SLUICE_INVALID, "%s: must be a JSON %s", what, type == JSON_OBJECT ? "object" : "list");
}

/* --- the functions of the header: connections ---------------------------------------------------------------------------------- */

const char *sluice_version(void)
{
	return SLUICE_VERSION;
}

int sluice_open(struct sluice **out, const char *path, int timeout_ms, struct sluice_error *err)
{
	struct sluice *s = calloc(1, sizeof(*s));
	struct sluice_error ignored = {0};
	int ret;

	*out = NULL;
	err = err ? err : &ignored;
	if (!s)
		return wire_no_memory(err);
	s->timeout_ms = timeout_ms;
	slc_events_init(&s->events);
	ret = slc_wire_open(&s->wire, path ? path : SLUICE_CONTROL_SOCKET, slc_wire_deadline(timeout_ms), err);
	if (ret)
		free(s);
	else
		*out = s;
	return ret;
}

void sluice_close(struct sluice *s)
{
	if (!s)
		return;
	slc_wire_close(&s->wire);
	slc_events_clear(&s->events);
	free(s);
}

void sluice_set_timeout(struct sluice *s, int timeout_ms)
{
	s->timeout_ms = timeout_ms;
}

void sluice_free(char *text)
{
	free(text);
}

int sluice_fd(const struct sluice *s)
{
	return s->wire.fd;
}

/* --- calls ------------------------------------------------------------------------------------------------------------------------ */

int sluice_call(struct sluice *s, const char *method, const char *params, char **result, struct sluice_error *err)
{
	struct sluice_error ignored = {0};
	json_t *json = NULL, *tree;
	int ret = 0;

	err = err ? err : &ignored;
	if (result)
		*result = NULL;
	if (params)
		ret = parse("params", params, JSON_OBJECT, &json, err);
	if (ret)
		return ret;
	ret = call(s, method, json, s->timeout_ms, &tree, result, err);
	json_decref(tree);
	return ret;
}

int sluice_hello(struct sluice *s, const char *client, char **result, struct sluice_error *err)
{
	struct sluice_error ignored = {0};
	json_t *params = json_object(), *tree;
	int ret;

	err = err ? err : &ignored;
	if (result)
		*result = NULL;
	if (!params || json_object_set_new(params, "api_major", json_integer(SLUICE_API_MAJOR)) < 0 ||
	    json_object_set_new(params, "client", json_string(client)) < 0) {
		json_decref(params);
		return wire_error(err, SLUICE_INVALID, "the client's name is not UTF-8, or there is no memory");
	}
	ret = call(s, "hello", params, s->timeout_ms, &tree, result, err);
	json_decref(tree);
	return ret;
}

static json_t *apply_params(json_t *list, unsigned flags, int64_t expect_generation)
{
	json_t *params = json_object(), *replace;
	bool failed = false;

	if (flags & SLUICE_REPLACE) {
		replace = json_object();
		failed |= json_object_set_new(replace, "objects", list) < 0;
		failed |= json_object_set_new(params, "replace", replace) < 0;
	} else {
		failed |= json_object_set_new(params, "ops", list) < 0;
	}
	if (flags & SLUICE_FORCE)
		failed |= json_object_set_new(params, "force", json_true()) < 0;
	if (flags & SLUICE_DRY_RUN)
		failed |= json_object_set_new(params, "dry_run", json_true()) < 0;
	if (expect_generation >= 0)
		failed |= json_object_set_new(params, "expect_generation", json_integer(expect_generation)) < 0;
	if (!failed)
		return params;
	json_decref(params);
	return NULL;
}

/* A daemon that does not say what is applied has applied it before it answered. */
static int read_generation(const json_t *result, struct sluice_generation *at, struct sluice_error *err)
{
	const json_t *generation = json_object_get(result, "generation"), *applied = json_object_get(result, "applied");

	if (!json_is_integer(generation) || (applied && !json_is_integer(applied)))
		return wire_error(err, SLUICE_BROKEN, "the daemon's answer has no generation");
	if (!at)
		return 0;
	at->generation = json_integer_value(generation);
	at->applied = applied ? json_integer_value(applied) : at->generation;
	at->changes = json_integer_value(json_object_get(result, "changes"));
	return 0;
}

int sluice_apply(struct sluice *s, const char *list, unsigned flags, int64_t expect_generation, struct sluice_generation *at,
		 struct sluice_error *err)
{
	struct sluice_error ignored = {0};
	json_t *json, *params, *result;
	int ret;

	err = err ? err : &ignored;
	if (flags & ~(unsigned)(SLUICE_REPLACE | SLUICE_FORCE | SLUICE_DRY_RUN))
		return wire_error(err, SLUICE_INVALID, "flags %#x: unknown", flags);
	if (expect_generation < SLUICE_ANY_GENERATION)
		return wire_error(err, SLUICE_INVALID, "expect_generation: must not be negative");
	ret = parse("list", list, JSON_ARRAY, &json, err);
	if (ret)
		return ret;
	params = apply_params(json, flags, expect_generation);
	if (!params)
		return wire_no_memory(err);
	ret = call(s, "apply", params, s->timeout_ms, &result, NULL, err);
	if (ret == 0)
		ret = settle(s, read_generation(result, at, err), err);
	json_decref(result);
	return ret;
}

static int wait_once(struct sluice *s, int64_t generation, int timeout_ms, struct sluice_generation *at, struct sluice_error *err)
{
	json_t *params = json_object(), *result;
	int ret;

	if (json_object_set_new(params, "generation", json_integer(generation)) < 0 ||
	    json_object_set_new(params, "timeout_ms", json_integer(timeout_ms)) < 0) {
		json_decref(params);
		return wire_no_memory(err);
	}
	/* The daemon's own end of the wait comes first, so that its answer is not taken for a dead daemon's silence. */
	ret = call(s, "wait", params, timeout_ms + WAIT_GRACE_MS, &result, NULL, err);
	if (ret == 0)
		ret = settle(s, read_generation(result, at, err), err);
	json_decref(result);
	return ret;
}

int sluice_wait(struct sluice *s, int64_t generation, int timeout_ms, struct sluice_generation *at, struct sluice_error *err)
{
	struct sluice_error ignored = {0};
	int64_t left = timeout_ms, end = slc_wire_now_ms() + timeout_ms;
	int ret;

	err = err ? err : &ignored;
	if (generation < 0 || timeout_ms < 0)
		return wire_error(err, SLUICE_INVALID, "generation, timeout_ms: must not be negative");
	for (;;) {
		int step = left > WAIT_STEP_MS ? WAIT_STEP_MS : (int)left;

		ret = wait_once(s, generation, step, at, err);
		if (ret != SLUICE_REFUSED || strcmp(err->name, "timeout") != 0)
			return ret;
		if (left <= step)
			return err->kind = SLUICE_TIMEOUT;
		left = end - slc_wire_now_ms();
		left = left > 0 ? left : 0;
	}
}

/* --- events ------------------------------------------------------------------------------------------------------------------------ */

int sluice_watch(struct sluice *s, const char *params, char **snapshot, struct sluice_error *err)
{
	bool before = s->watching;
	int ret;

	/* Already during the call: its answer may bring the first event along. */
	s->watching = true;
	ret = sluice_call(s, "watch", params, snapshot, err);
	if (ret)
		s->watching = before;
	return ret;
}

/* One message on the way to an event: 0 with *event if it is one, 0 without if not. */
static int event_step(struct sluice *s, int64_t deadline, char **event, struct sluice_error *err)
{
	enum verdict verdict;
	struct message m;
	int ret = read_message(s, &m, deadline, err);

	if (ret)
		return ret;
	verdict = judge(s, &m, 0);
	if (verdict == EVENT)
		keep_event(s, &m);
	else if (verdict == STRANGE)
		ret = strange(err);
	else if (verdict == OURS)
		ret = refused(json_object_get(m.json, "error"), err);
	json_decref(m.json);
	if (ret)
		return ret;
	ret = slc_events_take(&s->events, event);
	return ret == SLUICE_NO_MEMORY ? wire_no_memory(err) : 0;
}

int sluice_next_event(struct sluice *s, int timeout_ms, char **event, struct sluice_error *err)
{
	int64_t deadline = slc_wire_deadline(timeout_ms);
	struct sluice_error ignored = {0};
	int ret;

	err = err ? err : &ignored;
	*event = NULL;
	/* What came before the connection ended is still worth telling. */
	ret = slc_events_take(&s->events, event);
	if (ret == SLUICE_NO_MEMORY)
		return wire_no_memory(err);
	if (ret == 0)
		return 0;
	ret = check_over(s, err);
	if (ret == 0 && !s->watching)
		return wire_error(err, SLUICE_INVALID, "this connection does not watch");
	while (ret == 0 && !*event) {
		ret = settle(s, event_step(s, deadline, event, err), err);
		if (ret == 0 && !*event && slc_wire_now_ms() >= deadline)
			ret = wire_error(err, SLUICE_TIMEOUT, "timed out");
	}
	return ret;
}

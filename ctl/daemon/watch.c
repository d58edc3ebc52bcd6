/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "kern.h"
#include "schema/objects.h"
#include "schema/types.h"
#include "watch.h"

#define FILTERS_MAX 32

struct watch {
	struct rpc_hold hold;
	struct watch *next;
	struct watch_hub *hub;
	/* Types of objects, of events: all, or those in the list. Both are static strings. */
	bool all_objects, all_events;
	const struct schema_object *objects[FILTERS_MAX];
	char events[FILTERS_MAX][STORE_NAME_MAX];
	unsigned n_objects, n_events;
	uint64_t missed; /* events since one was refused; 0: none was */
};

struct watch_hub {
	struct ctl *ctl;
	struct ctl_listener listener;
	struct watch *first;
};

/* --- an event ------------------------------------------------------------------------------------------------------------------ */

/* An event on its way to the watchers. Lines are made when the first one wants it. */
struct event {
	const char *type;
	const struct schema_object *object; /* that it is about; NULL: none */
	const char *name;		    /* NULL: about no one object */
	uint64_t generation, time_us;
	/* The further members: a new object; `secrets`: with those. */
	json_t *(*members)(const struct event *e, bool secrets);
	const struct ctl_event *ctl;
	const struct dp_event *dp;
	const char *state;
	uint64_t number;
	bool flag;
	char *line[2]; /* [secrets] */
	size_t len[2];
};

static uint64_t realtime_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static json_t *event_json(const struct event *e, bool secrets)
{
	json_t *params = json_pack("{s:s}", "type", e->type), *members = e->members(e, secrets);
	bool failed = !params || !members;

	if (!failed && e->name)
		failed = json_object_set_new(params, "object", json_string(e->object->name)) < 0 ||
			 json_object_set_new(params, "name", json_string(e->name)) < 0;
	if (!failed)
		failed = json_object_set_new(params, "generation", json_integer((json_int_t)e->generation)) < 0 ||
			 json_object_set_new(params, "time_us", json_integer((json_int_t)e->time_us)) < 0 ||
			 json_object_update(params, members) < 0;
	json_decref(members);
	if (!failed)
		return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params", params);
	json_decref(params);
	return NULL;
}

/* The event as a line for this kind of client, or NULL when out of memory. */
static const char *event_line(struct event *e, bool secrets)
{
	json_t *json;

	if (e->line[secrets])
		return e->line[secrets];
	json = event_json(e, secrets);
	e->line[secrets] = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!e->line[secrets])
		return NULL;
	e->len[secrets] = strlen(e->line[secrets]) + 1;
	e->line[secrets][e->len[secrets] - 1] = '\n';
	return e->line[secrets];
}

/* --- to whom --------------------------------------------------------------------------------------------------------------------- */

/* "port.link" is meant by "port.link" and by "port". */
static bool type_means(const char *filter, const char *type)
{
	size_t n = strlen(filter);

	return !strncmp(type, filter, n) && (type[n] == '\0' || type[n] == '.');
}

static bool wants(const struct watch *w, const struct event *e)
{
	bool object = w->all_objects || !e->object, type = w->all_events;

	for (unsigned i = 0; i < w->n_objects; i++)
		object |= w->objects[i] == e->object;
	for (unsigned i = 0; i < w->n_events; i++)
		type |= type_means(w->events[i], e->type);
	return object && type;
}

static void tell(struct watch *w, struct event *e)
{
	struct rpc_session *s = w->hold.session;
	const bool secrets = !s->read_only;
	const char *line;
	char *copy;

	if (w->missed) {
		w->missed++;
		return;
	}
	line = event_line(e, secrets);
	copy = line ? malloc(e->len[secrets]) : NULL;
	if (!copy) {
		s->send(s, NULL, 0);
		return;
	}
	memcpy(copy, line, e->len[secrets]);
	if (!s->tell(s, copy, e->len[secrets]))
		w->missed = 1;
}

static void tell_all(struct watch_hub *hub, struct event *e)
{
	e->generation = hub->ctl->store.generation;
	for (struct watch *w = hub->first; w; w = w->next)
		if (wants(w, e))
			tell(w, e);
	free(e->line[0]);
	free(e->line[1]);
}

/* --- resync ------------------------------------------------------------------------------------------------------------------------ */

static json_t *resync_members(const struct event *e, bool secrets)
{
	return json_pack("{s:s, s:I}", "reason", "slow-reader", "missed", (json_int_t)e->number);
}

/* All that waited has left. */
static void told(struct rpc_session *s)
{
	struct watch *w = s->watch;
	struct event e = {.type = "resync", .members = resync_members, .time_us = realtime_us()};

	if (!w->missed)
		return;
	e.number = w->missed;
	e.generation = w->hub->ctl->store.generation;
	w->missed = 0;
	tell(w, &e);
	free(e.line[0]);
	free(e.line[1]);
}

/* --- the configuration's events ------------------------------------------------------------------------------------------------------ */

static json_t *object_members(const struct event *e, bool secrets)
{
	const struct ctl_event *ev = e->ctl;

	if (ev->change == CTL_DEL)
		return json_pack("{s:s}", "owner", ev->owner);
	return json_pack("{s:s, s:o}", "owner", ev->owner, "attrs", schema_encode(ev->object, ev->after, false, secrets));
}

static json_t *error_members(const struct event *e, bool secrets)
{
	const struct fault *f = e->ctl->fault;

	return json_pack("{s:{s:s, s:s, s:s}}", "error", "name", f->name, "message", f->msg, "hint", f->hint);
}

static json_t *no_members(const struct event *e, bool secrets)
{
	return json_object();
}

static json_t *generation_members(const struct event *e, bool secrets)
{
	return json_pack("{s:I}", "applied", (json_int_t)e->ctl->applied);
}

static void on_ctl(struct ctl_listener *l, const struct ctl_event *ev)
{
	static const char *const changes[] = {[CTL_ADD] = "object.add", [CTL_SET] = "object.set", [CTL_DEL] = "object.del"};
	struct watch_hub *hub = (struct watch_hub *)((char *)l - offsetof(struct watch_hub, listener));
	struct event e = {.ctl = ev, .object = ev->object, .name = ev->name, .time_us = realtime_us()};

	switch (ev->type) {
	case CTL_OBJECT:
		e.type = changes[ev->change];
		e.members = object_members;
		break;
	case CTL_APPLIED:
		e.type = "object.applied";
		e.members = no_members;
		break;
	case CTL_ERROR:
		e.type = "object.error";
		e.members = error_members;
		break;
	case CTL_GENERATION:
		e.type = "generation";
		e.name = NULL;
		e.members = generation_members;
		break;
	}
	tell_all(hub, &e);
}

/* --- the switch's events --------------------------------------------------------------------------------------------------------------- */

static json_t *link_members(const struct event *e, bool secrets)
{
	return json_pack("{s:s}", "state", e->dp->link_up ? "up" : "down");
}

static json_t *fdb_members(const struct event *e, bool secrets)
{
	char mac[MAC_TEXT_SIZE];

	mac_format(e->dp->mac, mac);
	return json_pack("{s:i, s:s, s:s}", "vlan", e->dp->vlan, "mac", mac, "port", e->dp->port);
}

static json_t *move_members(const struct event *e, bool secrets)
{
	json_t *members = fdb_members(e, secrets);

	if (members && json_object_set_new(members, "from", e->dp->from[0] ? json_string(e->dp->from) : json_null()) == 0)
		return members;
	json_decref(members);
	return NULL;
}

static json_t *count_members(const struct event *e, bool secrets)
{
	return json_pack("{s:I}", "count", (json_int_t)e->dp->count);
}

static json_t *reason_members(const struct event *e, bool secrets)
{
	return json_pack("{s:s, s:I}", "reason", e->dp->reason, "count", (json_int_t)e->dp->count);
}

static const struct {
	const char *type;
	json_t *(*members)(const struct event *e, bool secrets);
	bool named; /* after the port */
} dp_types[] = {
	[DP_EVENT_LINK] = {"port.link", link_members, true},
	[DP_EVENT_FDB_LEARN] = {"fdb.learn", fdb_members, false},
	[DP_EVENT_FDB_MOVE] = {"fdb.move", move_members, false},
	[DP_EVENT_FDB_AGE] = {"fdb.age", fdb_members, false},
	[DP_EVENT_FDB_OMITTED] = {"fdb.omitted", count_members, false},
	[DP_EVENT_SPOOF] = {"port.spoof", reason_members, true},
	[DP_EVENT_LIMIT] = {"port.limit", reason_members, true},
};

static void on_dp(const struct dp_event *dp, void *arg)
{
	struct event e = {.type = dp_types[dp->type].type,
			  .object = &schema_port,
			  .name = dp_types[dp->type].named ? dp->port : NULL,
			  .time_us = dp->time_us,
			  .members = dp_types[dp->type].members,
			  .dp = dp};

	tell_all(arg, &e);
}

/* --- the kernel engine's --------------------------------------------------------------------------------------------------------------- */

static json_t *state_members(const struct event *e, bool secrets)
{
	return json_pack("{s:s}", "state", e->state);
}

void watch_port_link(struct ctl *ctl, const char *port, const char *state)
{
	struct event e = {.type = "port.link",
			  .object = &schema_port,
			  .name = port,
			  .time_us = realtime_us(),
			  .members = state_members,
			  .state = state};

	if (ctl->hub)
		tell_all(ctl->hub, &e);
}

/* --- the node's ------------------------------------------------------------------------------------------------------------------------- */

static json_t *health_members(const struct event *e, bool secrets)
{
	return json_pack("{s:I, s:s}", "worker", (json_int_t)e->number, "state", e->flag ? "stuck" : "ok");
}

void watch_health(struct ctl *ctl, unsigned worker, bool stuck)
{
	struct event e = {
		.type = "node.health", .time_us = realtime_us(), .members = health_members, .number = worker, .flag = stuck};

	if (ctl->hub)
		tell_all(ctl->hub, &e);
}

/* --- watchers come and go ------------------------------------------------------------------------------------------------------------------ */

static int hub_open(struct ctl *ctl, struct rpc_error *err)
{
	struct watch_hub *hub = calloc(1, sizeof(*hub));
	int ret = hub ? dp_events_start(ctl->dp, on_dp, hub) : -ENOMEM;

	if (ret < 0) {
		rpc_fail(err, RPC_REFUSED, ret == -ENOMEM ? "no-memory" : "failed", "", NULL, "watch: %s", strerror(-ret));
		free(hub);
		return ret;
	}
	hub->ctl = ctl;
	hub->listener.tell = on_ctl;
	ctl_listen(ctl, &hub->listener);
	ctl->hub = hub;
	return 0;
}

/* Nobody watches any more: nothing needs to be told. */
static void hub_rest(struct ctl *ctl)
{
	struct watch_hub *hub = ctl->hub;

	if (!hub || hub->first)
		return;
	ctl_unlisten(ctl, &hub->listener);
	dp_events_stop(ctl->dp);
	ctl->hub = NULL;
	free(hub);
}

/* Its hold has been released, or ends with its session. */
static void watch_free(struct watch *w)
{
	struct rpc_session *s = w->hold.session;
	struct watch **link = &w->hub->first;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	s->watch = NULL;
	s->told = NULL;
	free(w);
}

static void gone(struct rpc_hold *hold)
{
	struct ctl *ctl = hold->session->ctl;

	watch_free((struct watch *)((char *)hold - offsetof(struct watch, hold)));
	hub_rest(ctl);
}

/* Make `w` the session's watch, in place of one that it may have. */
static int watch_begin(struct rpc_session *s, struct watch *w, struct rpc_error *err)
{
	if (rpc_bind(s, &w->hold, gone, err) < 0)
		return -EBUSY;
	w->hub = s->ctl->hub;
	w->next = w->hub->first;
	w->hub->first = w;
	s->watch = w;
	s->told = told;
	return 0;
}

static void watch_end(struct rpc_session *s)
{
	if (!s->watch)
		return;
	rpc_release(&s->watch->hold);
	watch_free(s->watch);
}

/* --- parameters -------------------------------------------------------------------------------------------------------------------------------- */

/* The list's i-th, a string; NULL with *err. */
static const char *element(const json_t *list, const char *param, size_t i, struct rpc_error *err)
{
	const json_t *v = json_array_get(list, i);
	char path[32], quoted[64];

	snprintf(path, sizeof(path), "%s[%zu]", param, i);
	if (i >= FILTERS_MAX)
		return rpc_fail(err, RPC_INVALID_PARAMS, "out-of-range", path, NULL, "%s: at most %d", param, FILTERS_MAX);
	if (json_is_string(v))
		return json_string_value(v);
	return rpc_fail(err, RPC_INVALID_PARAMS, "wrong-type", path, NULL, "%s: must be a string",
			schema_quote(v, quoted, sizeof(quoted)));
}

static void *unknown(const json_t *list, const char *param, size_t i, const char *name, struct rpc_error *err)
{
	char path[32], quoted[64];

	snprintf(path, sizeof(path), "%s[%zu]", param, i);
	return rpc_fail(err, RPC_INVALID_PARAMS, name, path, "`describe` lists them", "%s: unknown in %s",
			schema_quote(json_array_get(list, i), quoted, sizeof(quoted)), param);
}

static bool read_objects(struct watch *w, const json_t *list, struct rpc_error *err)
{
	w->all_objects = !list;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = element(list, "objects", i, err);
		const struct schema_object *type = name ? schema_object_find(name) : NULL;

		if (!name)
			return false;
		if (!type)
			return unknown(list, "objects", i, "unknown-object", err);
		w->objects[w->n_objects++] = type;
	}
	return true;
}

static bool known_event(const char *filter)
{
	for (const struct schema_event *e = schema_events; e->name; e++)
		if (type_means(filter, e->name))
			return true;
	return false;
}

static bool read_events(struct watch *w, const json_t *list, struct rpc_error *err)
{
	w->all_events = !list;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *filter = element(list, "events", i, err);

		if (!filter)
			return false;
		if (!known_event(filter) || strlen(filter) >= sizeof(w->events[0]))
			return unknown(list, "events", i, "unknown-event", err);
		snprintf(w->events[w->n_events++], sizeof(w->events[0]), "%s", filter);
	}
	return true;
}

/* --- the answer ---------------------------------------------------------------------------------------------------------------------------------- */

/* What `get` answers for this type (NULL: for all). */
static json_t *snapshot_of(struct rpc_session *s, const struct schema_object *type, struct rpc_error *err)
{
	json_t *params = type ? json_pack("{s:s}", "object", type->name) : json_object();
	json_t *answer = params ? get_method(s, params, err) : NULL;

	json_decref(params);
	return answer;
}

/* {generation, applied, objects}, with the objects that the watch wants. */
static json_t *snapshot(struct rpc_session *s, const struct watch *w, bool full, struct rpc_error *err)
{
	json_t *answer, *objects = json_array(), *one;
	bool failed = !objects;

	/* The generations come with any answer of get's; the node's is the shortest. */
	answer = snapshot_of(s, w->all_objects && full ? NULL : &schema_node, err);
	if (w->all_objects && full)
		failed |= json_array_extend(objects, json_object_get(answer, "objects")) < 0;
	for (unsigned i = 0; full && !failed && i < w->n_objects; i++) {
		one = snapshot_of(s, w->objects[i], err);
		failed = json_array_extend(objects, json_object_get(one, "objects")) < 0;
		json_decref(one);
	}
	if (!failed && answer) {
		json_object_del(answer, "cursor");
		if (json_object_set_new(answer, "objects", objects) == 0)
			return answer;
		objects = NULL;
	}
	json_decref(answer);
	json_decref(objects);
	return NULL;
}

json_t *watch_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	const json_t *full = json_object_get(params, "snapshot");
	struct watch *w = calloc(1, sizeof(*w));
	json_t *answer = NULL;
	bool listens;

	if (!w || !read_objects(w, json_object_get(params, "objects"), err) ||
	    !read_events(w, json_object_get(params, "events"), err))
		goto out;
	if (!s->tell) {
		rpc_fail(err, RPC_REFUSED, "failed", "", NULL, "watch: needs a connection");
		goto out;
	}
	listens = w->all_events || w->n_events;
	/* What was before the snapshot is told to those who watch already, and is no news afterwards. */
	if (s->ctl->kern)
		kern_dispatch(s->ctl->kern);
	if (s->ctl->hub)
		dp_events_poll(s->ctl->dp);
	else if (listens && hub_open(s->ctl, err) < 0)
		goto out;
	answer = snapshot(s, w, !full || json_is_true(full), err);
	if (!answer)
		goto out;
	watch_end(s);
	if (listens && watch_begin(s, w, err) < 0) {
		json_decref(answer);
		answer = NULL;
	} else if (listens) {
		return answer;
	}
out:
	free(w);
	hub_rest(s->ctl);
	return answer;
}

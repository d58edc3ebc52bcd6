/* SPDX-License-Identifier: Apache-2.0 */

/*
 * get: configuration and state of objects.
 *
 * The answer is {generation, applied, objects, cursor}. `applied` is the newest generation of which everything is in force; an object that
 * is not has an `error`: {name, message, hint}. Objects come in the order of the schema and by name. With `limit` the answer may end
 * early: then `cursor` is where to go on, else it is null. The cursor names the last object shown, so objects that come and go between
 * two calls are neither repeated nor lose others.
 *
 * `attrs` holds what differs from the default, so it can be sent back as it is; all of it with `all`. Secrets are shown on the control
 * socket only.
 */

#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "kernel.h"
#include "methods.h"
#include "schema/objects.h"

static json_t *vlan_state(struct ctl *ctl, const struct object *o)
{
	const struct vlan_conf *conf = o->conf;
	struct dp_vlan_state state = {0};

	if (dp_vlan_state(ctl->dp, conf->dp.id, &state) < 0)
		return json_object();
	return json_pack("{s:I, s:I}", "macs", (json_int_t)state.macs, "members", (json_int_t)state.members);
}

static json_t *class_state(struct ctl *ctl, const struct object *o)
{
	return json_pack("{s:I}", "members", (json_int_t)o->refs);
}

/* Who connected, and who was hung up on and why: only faults that happened. */
static json_t *peer_state(const struct dp_port_peer *peer)
{
	json_t *faults = json_object();

	for (unsigned i = 0; i < peer->n_faults; i++)
		if (peer->fault[i].count)
			json_object_set_new(faults, peer->fault[i].name, json_integer((json_int_t)peer->fault[i].count));
	return json_pack("{s:I, s:o}", "connects", (json_int_t)peer->connects, "faults", faults);
}

static json_t *port_state(struct ctl *ctl, const struct object *o)
{
	struct dp_port_state state = {0};
	json_t *json;

	json = kernel_is_veth(o->conf) ? kernel_port_state(ctl, o->name) : NULL;
	if (json)
		return json;
	/* Not made yet: `error` says why. */
	if (dp_port_state(ctl->dp, o->name, &state) < 0)
		return json_pack("{s:s}", "link", "down");
	json = json_pack("{s:s, s:s, s:i, s:i, s:I}", "link", state.link_up ? "up" : "down", "wake",
			 state.wake ? state.wake : "timer", "queues", state.queues, "mtu", state.mtu, "macs",
			 (json_int_t)state.macs);
	if (json && state.peer.n_faults)
		json_object_set_new(json, "peer", peer_state(&state.peer));
	return json;
}

static const struct {
	const struct schema_object *type;
	json_t *(*state)(struct ctl *ctl, const struct object *o);
} states[] = {{&schema_vlan, vlan_state}, {&schema_class, class_state}, {&schema_port, port_state}};

static json_t *object_state(struct ctl *ctl, const struct object *o)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (states[i].type == o->type)
			return states[i].state(ctl, o);
	return json_object();
}

/* null for an object that is in force. */
static json_t *fault_json(const struct object *o)
{
	static const struct fault untried = {.name = "pending", .msg = "not brought into force yet"};
	const struct fault *f = o->fault && o->fault->name ? o->fault : &untried;

	if (!o->pending_link)
		return json_null();
	return json_pack("{s:s, s:o, s:o}", "name", f->name, "message", rpc_text(f->msg), "hint", rpc_text(f->hint));
}

static json_t *object_json(struct rpc_session *s, const struct object *o, bool all)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "object", o->type->name, "name", o->name, "owner", o->owner, "attrs",
			 schema_encode(o->type, o->conf, all, !s->read_only), "state", object_state(s->ctl, o), "error",
			 fault_json(o));
}

/* Takes over `objects` and `cursor`. */
static json_t *answer(struct ctl *ctl, json_t *objects, json_t *cursor)
{
	return json_pack("{s:I, s:I, s:o, s:o}", "generation", (json_int_t)ctl->store.generation, "applied",
			 (json_int_t)store_applied(&ctl->store), "objects", objects, "cursor", cursor);
}

static json_t *get_node(struct ctl *ctl, const char *name, struct rpc_error *err)
{
	if (name && strcmp(name, "node") != 0)
		return rpc_fail(err, RPC_REFUSED, "not-found", "name", NULL, "node: there is one, called node");
	return answer(ctl,
		      json_pack("[{s:s, s:s, s:s, s:{}, s:o, s:n}]", "object", "node", "name", "node", "owner", "", "attrs",
				"state", node_state(ctl), "error"),
		      json_null());
}

static json_t *get_one(struct rpc_session *s, const struct schema_object *type, const char *name, bool all, struct rpc_error *err)
{
	const struct object *o = table_find(&s->ctl->store.objects, type, name);
	struct schema_error bad;

	if (schema_check_name(type, name, &bad) < 0)
		return rpc_fail_schema(err, "", &bad);
	if (!o)
		return rpc_fail(err, RPC_REFUSED, "not-found", "name", NULL, "%s %s: not found", type->name, name);
	return answer(s->ctl, json_pack("[o]", object_json(s, o, all)), json_null());
}

/* --- lists ------------------------------------------------------------------------------------------------------------------ */

struct cursor {
	const struct schema_object *type; /* NULL: start at the beginning */
	const char *name;
};

/* "port/vm1". */
static bool cursor_parse(const char *text, struct cursor *c, struct rpc_error *err)
{
	const char *slash = text ? strchr(text, '/') : NULL;

	*c = (struct cursor){NULL, NULL};
	if (!text)
		return true;
	for (const struct schema_object *const *o = schema_objects; slash && *o; o++)
		if (strlen((*o)->name) == (size_t)(slash - text) && !strncmp((*o)->name, text, slash - text))
			*c = (struct cursor){*o, slash + 1};
	if (!c->type)
		rpc_fail(err, RPC_INVALID_PARAMS, "bad-value", "cursor", NULL, "cursor: not one that this method gave");
	return c->type;
}

static bool behind(const struct object *o, const struct cursor *c)
{
	return !c->type || object_compare(o->type, o->name, c->type, c->name) > 0;
}

static json_t *get_list(struct rpc_session *s, const struct schema_object *type, const json_t *params, const struct cursor *from)
{
	int64_t left = param_int(params, "limit", INT64_MAX);
	size_t n, i = 0;
	struct object **list = table_list(&s->ctl->store.objects, type, &n);
	json_t *objects = json_array(), *cursor = NULL;
	bool failed = !objects || !list;

	if (!list)
		n = 0;
	while (i < n && !behind(list[i], from))
		i++;
	for (; i < n && left > 0 && !failed; i++, left--)
		failed = json_array_append_new(objects, object_json(s, list[i], param_bool(params, "all"))) < 0;
	if (!failed)
		cursor = i < n ? json_sprintf("%s/%s", list[i - 1]->type->name, list[i - 1]->name) : json_null();
	free(list);
	return answer(s->ctl, objects, cursor);
}

json_t *get_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	const char *object = param_string(params, "object"), *name = param_string(params, "name");
	const struct schema_object *type = object ? schema_object_find(object) : NULL;
	struct cursor from;
	char quoted[64];

	if (object && !type)
		return rpc_fail(err, RPC_INVALID_PARAMS, "unknown-object", "object", "`describe` lists the objects",
				"%s: unknown object", schema_quote(json_object_get(params, "object"), quoted, sizeof(quoted)));
	if (name && !type)
		return rpc_fail(err, RPC_INVALID_PARAMS, "missing-parameter", "object", NULL, "name: needs object");
	if (type == &schema_node)
		return get_node(s->ctl, name, err);
	if (name)
		return get_one(s, type, name, param_bool(params, "all"), err);
	return cursor_parse(param_string(params, "cursor"), &from, err) ? get_list(s, type, params, &from) : NULL;
}

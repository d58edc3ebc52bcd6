/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "methods.h"
#include "watch.h"

static const struct {
	const char *name;
	rpc_handler handle;
} handlers[] = {
	{"hello", hello_method}, {"describe", describe_method}, {"apply", apply_method}, {"get", get_method},
	{"wait", wait_method},	 {"stats", stats_method},	{"fdb", fdb_method},	 {"watch", watch_method},
};

json_t *methods_call(const struct schema_method *m, struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (!strcmp(handlers[i].name, m->name))
			return handlers[i].handle(s, params, err);
	return rpc_fail(err, RPC_METHOD_NOT_FOUND, "unknown-method", "", NULL, "%s: not in this build", m->name);
}

const char *param_string(const json_t *params, const char *name)
{
	return json_string_value(json_object_get(params, name));
}

int64_t param_int(const json_t *params, const char *name, int64_t absent)
{
	const json_t *v = json_object_get(params, name);

	return v ? json_integer_value(v) : absent;
}

bool param_bool(const json_t *params, const char *name)
{
	return json_is_true(json_object_get(params, name));
}

/* --- hello, describe ---------------------------------------------------------------------------------------------------------- */

/* "object.vlan", "method.fdb", "apply.replace": what a client may rely on, without comparing versions. */
static json_t *features(void)
{
	static const char *const others[] = {"apply.replace", "apply.dry_run", "apply.plan", "apply.expect_generation",
					     "apply.force"};
	json_t *list = json_array();
	bool failed = !list;

	for (const struct schema_object *const *o = schema_objects; *o; o++)
		failed |= json_array_append_new(list, json_sprintf("object.%s", (*o)->name)) < 0;
	for (const struct schema_method *m = schema_methods; m->name; m++)
		failed |= json_array_append_new(list, json_sprintf("method.%s", m->name)) < 0;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		failed |= json_array_append_new(list, json_string(others[i])) < 0;
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *limits(const struct rpc_session *s)
{
	struct dp_node_info info = {0};

	dp_node_info(s->ctl->dp, &info);
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I}", "line_bytes", RPC_LINE_MAX, "reply_bytes", RPC_REPLY_MAX,
			 "depth", RPC_DEPTH_MAX, "clients", RPC_CLIENTS, "clients_per_uid", (int)s->clients_per_uid,
			 "partial_line_ms", RPC_PARTIAL_LINE_S * 1000, "ports", (json_int_t)info.max_ports, "fdb",
			 (json_int_t)info.fdb_max);
}

json_t *hello_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	const char *client = param_string(params, "client");
	int64_t major = param_int(params, "api_major", 0);

	if (!schema_name_valid(client))
		return rpc_fail(err, RPC_INVALID_PARAMS, "bad-name", "client", NULL, "client: a name is 1-63 of a-z A-Z 0-9 . _ -");
	if (major != SCHEMA_API_MAJOR)
		return rpc_fail(err, RPC_REFUSED, "unsupported-version", "api_major", NULL, "api_major %lld: this daemon speaks %d",
				(long long)major, SCHEMA_API_MAJOR);
	snprintf(s->client, sizeof(s->client), "%s", client);
	return json_pack("{s:s, s:i, s:s, s:I, s:o, s:o}", "version", SLUICE_VERSION, "api_major", SCHEMA_API_MAJOR, "boot_id",
			 s->ctl->boot_id, "generation", (json_int_t)s->ctl->store.generation, "features", features(), "limits",
			 limits(s));
}

json_t *describe_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	return schema_describe();
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * apply: the only write. Here requests become the steps of a transaction (txn.h) and errors find their place in the request.
 *
 * What changes something becomes a step; adding what is so already and deleting what is not there become none. A request without
 * steps succeeds and leaves the generation where it is. `set` starts from the object as the operations before it leave it, and changes
 * the attributes that are named.
 *
 * `replace` compares what the client owns with the list. An object whose fixed attributes differ is deleted and made again.
 *
 * Owners. An object belongs to the client that added it. Another's is left alone if it is as the request wants it (two schedulers may both
 * want VLAN 100), and the request is refused as "owned" if it would change or delete it, unless it says `force`. A forced `set` leaves
 * the object its owner's; a forced `replace` makes it the client's, for it is now in the client's list.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "methods.h"
#include "schema/objects.h"
#include "txn.h"

/* A request that is being read. */
struct request {
	struct rpc_session *s;
	struct rpc_error *err;
	struct txn txn;
	const char *list; /* how paths into it begin: "ops" or "replace.objects" */
	bool with_op;	  /* entries are operations, not objects */
	bool force;	  /* others' objects too */
};

/* One entry of its list. */
struct entry {
	const char *op; /* "add", "set", "del" */
	const struct schema_object *type;
	const char *name;
	const json_t *attrs; /* may be NULL */
	size_t index;
};

/* --- errors ------------------------------------------------------------------------------------------------------------------ */

static int no_memory(struct request *r)
{
	rpc_fail(r->err, RPC_REFUSED, "no-memory", "", NULL, "out of memory");
	return -ENOMEM;
}

/* Where an entry is: "ops[3]" and what comes below it. */
static void entry_path(const struct request *r, size_t index, const char *below, char *out, size_t size)
{
	if (index == TXN_NO_INDEX)
		snprintf(out, size, "%s", r->list);
	else
		snprintf(out, size, "%s[%zu]%s", r->list, index, below);
}

static int entry_fail_schema(struct request *r, const struct entry *e, const char *below, const struct schema_error *bad)
{
	char prefix[64];

	entry_path(r, e->index, below, prefix, sizeof(prefix));
	rpc_fail_schema(r->err, prefix, bad);
	return -EINVAL;
}

__attribute__((format(printf, 7, 8))) static void entry_error(struct request *r, const struct entry *e, int code, const char *name,
							      const char *below, const char *hint, const char *fmt, ...)
{
	char path[96], msg[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	entry_path(r, e->index, below, path, sizeof(path));
	rpc_fail(r->err, code, name, path, hint, "%s", msg);
}

/* An expression, so that it is plain to compilers and checkers what comes back. */
#define entry_fail(...) (entry_error(__VA_ARGS__), -EINVAL)

/* The transaction's error, which names an entry. */
static void fail_txn(struct request *r, const struct txn_error *bad)
{
	char path[96], below[48] = "";

	if (bad->fault.attr[0])
		snprintf(below, sizeof(below), ".attrs.%s", bad->fault.attr);
	entry_path(r, bad->index, below, path, sizeof(path));
	rpc_fail(r->err, RPC_REFUSED, bad->fault.name, bad->index == TXN_NO_INDEX && r->with_op ? "" : path, bad->fault.hint, "%s",
		 bad->fault.msg);
}

/* 0 if this client may change the object. */
static int check_owner(struct request *r, const struct entry *e, const struct object *o)
{
	if (r->force || !o->owner[0] || !strcmp(o->owner, r->s->client))
		return 0;
	return entry_fail(r, e, RPC_REFUSED, "owned", ".name", "force changes it all the same", "%s %s: belongs to %s",
			  e->type->name, e->name, o->owner);
}

/* --- reading an entry ---------------------------------------------------------------------------------------------------------- */

/* A key that must be a string, or NULL. */
static const char *entry_string(struct request *r, const struct entry *e, const json_t *item, const char *key)
{
	const json_t *v = json_object_get(item, key);
	char quoted[64], below[16];

	if (json_is_string(v))
		return json_string_value(v);
	snprintf(below, sizeof(below), ".%s", key);
	if (v)
		entry_error(r, e, RPC_INVALID_PARAMS, "wrong-type", below, NULL, "%s %s: must be a string", key,
			    schema_quote(v, quoted, sizeof(quoted)));
	else
		entry_error(r, e, RPC_INVALID_PARAMS, "missing-parameter", below, NULL, "%s: missing", key);
	return NULL;
}

static int check_keys(struct request *r, const struct entry *e, const json_t *item)
{
	char quoted[64];
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)item, key, value) {
		if (!strcmp(key, "object") || !strcmp(key, "name") || !strcmp(key, "attrs") || (r->with_op && !strcmp(key, "op")))
			continue;
		json_t *bad = json_string(key);

		entry_error(r, e, RPC_INVALID_PARAMS, "unknown-parameter", "", NULL, "%s: unknown key of %s",
			    schema_quote(bad, quoted, sizeof(quoted)), r->list);
		json_decref(bad);
		return -EINVAL;
	}
	return 0;
}

static int read_type(struct request *r, struct entry *e, const json_t *item)
{
	const char *object = entry_string(r, e, item, "object");
	char quoted[64];

	if (!object)
		return -EINVAL;
	schema_quote(json_object_get(item, "object"), quoted, sizeof(quoted));
	e->type = schema_object_find(object);
	if (!e->type)
		return entry_fail(r, e, RPC_INVALID_PARAMS, "unknown-object", ".object", "`describe` lists the objects",
				  "%s: unknown object", quoted);
	if (e->type->read_only)
		return entry_fail(r, e, RPC_REFUSED, "read-only-object", ".object", NULL, "%s: cannot be changed", quoted);
	return 0;
}

/* 0, or -EINVAL with the request's error. */
static int read_entry(struct request *r, struct entry *e, const json_t *item)
{
	struct schema_error bad;
	char quoted[64];

	if (!json_is_object(item))
		return entry_fail(r, e, RPC_INVALID_PARAMS, "wrong-type", "", NULL, "%s: must be an object",
				  schema_quote(item, quoted, sizeof(quoted)));
	if (check_keys(r, e, item) < 0)
		return -EINVAL;
	e->op = r->with_op ? entry_string(r, e, item, "op") : "add";
	if (!e->op || read_type(r, e, item) < 0)
		return -EINVAL;
	e->name = entry_string(r, e, item, "name");
	if (!e->name)
		return -EINVAL;
	if (schema_check_name(e->type, e->name, &bad) < 0)
		return entry_fail_schema(r, e, "", &bad);
	e->attrs = json_object_get(item, "attrs");
	if (e->attrs && !json_is_object(e->attrs))
		return entry_fail(r, e, RPC_INVALID_PARAMS, "wrong-type", ".attrs", NULL, "attrs %s: must be an object",
				  schema_quote(e->attrs, quoted, sizeof(quoted)));
	return 0;
}

/* The new configuration of an entry: over `old` if there is one, else over the defaults. NULL with the request's error. */
static void *make_conf(struct request *r, const struct entry *e, const void *old)
{
	struct schema_error bad;
	void *conf = malloc(e->type->size);

	if (!conf) {
		no_memory(r);
		return NULL;
	}
	if (old)
		memcpy(conf, old, e->type->size);
	else
		schema_defaults(e->type, conf);
	schema_set_name(e->type, conf, e->name, NULL);
	if (schema_decode(e->type, e->attrs, old, conf, &bad) == 0)
		return conf;
	entry_fail_schema(r, e, ".attrs", &bad);
	free(conf);
	return NULL;
}

static int put(struct request *r, const struct entry *e, const char *owner, void *conf)
{
	return txn_put(&r->txn, e->type, e->name, owner, conf, e->index) < 0 ? no_memory(r) : 0;
}

static int del(struct request *r, const struct entry *e)
{
	return txn_del(&r->txn, e->type, e->name, e->index) < 0 ? no_memory(r) : 0;
}

/* --- ops --------------------------------------------------------------------------------------------------------------------- */

static int op_add(struct request *r, const struct entry *e)
{
	const struct object *old = txn_view(&r->txn, e->type, e->name);
	void *conf = make_conf(r, e, NULL);
	bool equal;

	if (!conf)
		return -EINVAL;
	if (!old)
		return put(r, e, r->s->client, conf);
	equal = schema_equal(e->type, old->conf, conf);
	free(conf);
	if (equal)
		return 0;
	if (check_owner(r, e, old) < 0)
		return -EINVAL;
	return entry_fail(r, e, RPC_REFUSED, "exists", ".name", "use set to change it, or del first",
			  "%s %s: exists and is configured differently", e->type->name, e->name);
}

static int op_set(struct request *r, const struct entry *e)
{
	const struct object *old = txn_view(&r->txn, e->type, e->name);
	void *conf;

	if (!old)
		return entry_fail(r, e, RPC_REFUSED, "not-found", ".name", "use add to make it", "%s %s: not found", e->type->name,
				  e->name);
	if (check_owner(r, e, old) < 0)
		return -EINVAL;
	conf = make_conf(r, e, old->conf);
	return conf ? put(r, e, old->owner, conf) : -EINVAL;
}

/* What may be done instead of deleting an object of the node's own. */
static const char *own_hint(const struct schema_object *type)
{
	return type == &schema_class ? "every node has it; set changes it" : "sluiced --trunk none";
}

static int op_del(struct request *r, const struct entry *e)
{
	const struct object *old = txn_view(&r->txn, e->type, e->name);

	if (e->attrs)
		return entry_fail(r, e, RPC_INVALID_PARAMS, "unknown-parameter", ".attrs", NULL, "attrs: not taken by del");
	if (!old)
		return 0;
	if (!old->owner[0])
		return entry_fail(r, e, RPC_REFUSED, "in-use", ".name", own_hint(e->type), "%s %s: is the node's own",
				  e->type->name, e->name);
	return check_owner(r, e, old) < 0 ? -EINVAL : del(r, e);
}

static const struct {
	const char *name;
	int (*run)(struct request *r, const struct entry *e);
} ops[] = {{"add", op_add}, {"set", op_set}, {"del", op_del}};

static int run_op(struct request *r, const struct entry *e)
{
	char quoted[64];
	json_t *op;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(ops[i].name, e->op))
			return ops[i].run(r, e);
	op = json_string(e->op);
	entry_error(r, e, RPC_INVALID_PARAMS, "bad-value", ".op", NULL, "op %s: not one of add, set, del",
		    schema_quote(op, quoted, sizeof(quoted)));
	json_decref(op);
	return -EINVAL;
}

static int read_ops(struct request *r, const json_t *list)
{
	int ret = 0;

	r->list = "ops";
	r->with_op = true;
	for (size_t i = 0; ret == 0 && i < json_array_size(list); i++) {
		struct entry e = {.index = i};

		ret = read_entry(r, &e, json_array_get(list, i));
		if (ret == 0)
			ret = run_op(r, &e);
	}
	return ret;
}

/* --- replace ------------------------------------------------------------------------------------------------------------------ */

/* Read the list into a table of what is wanted, each object with its decoded conf. */
static int read_wanted(struct request *r, const json_t *list, struct table *wanted)
{
	if (table_reserve(wanted, json_array_size(list)) < 0)
		return no_memory(r);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct entry e = {.index = i};
		struct object *o;
		void *conf;

		if (read_entry(r, &e, json_array_get(list, i)) < 0)
			return -EINVAL;
		if (table_find(wanted, e.type, e.name))
			return entry_fail(r, &e, RPC_INVALID_PARAMS, "duplicate", ".name", NULL, "%s %s: in the list twice",
					  e.type->name, e.name);
		conf = make_conf(r, &e, NULL);
		if (!conf)
			return -EINVAL;
		o = object_new(e.type, e.name, r->s->client, conf);
		if (!o) {
			free(conf);
			return no_memory(r);
		}
		table_insert(wanted, o);
	}
	return 0;
}

/* Delete what the client owns and the list does not want, or wants with other fixed attributes. */
static int delete_unwanted(struct request *r, const struct table *wanted)
{
	size_t n;
	struct object **list = table_list(&r->txn.ctl->store.objects, NULL, &n);
	int ret = list ? 0 : no_memory(r);

	while (ret == 0 && n-- > 0) {
		const struct object *o = list[n], *want = table_find(wanted, o->type, o->name);
		struct entry e = {.type = o->type, .name = o->name, .index = TXN_NO_INDEX};

		if (strcmp(o->owner, r->s->client) != 0 || (want && !schema_fixed_differ(o->type, o->conf, want->conf)))
			continue;
		ret = del(r, &e);
	}
	free(list);
	return ret;
}

/* Bring one wanted object about. Its conf moves into the step if one is needed. */
static int bring_about(struct request *r, const struct entry *e, struct object *want)
{
	const struct object *now = txn_view(&r->txn, e->type, e->name);
	bool own = now && !now->owner[0];
	void *conf = want->conf;

	if (now && schema_equal(e->type, now->conf, conf))
		return 0;
	if (now && check_owner(r, e, now) < 0)
		return -EINVAL;
	/* Forced upon another's: its fixed attributes have not been looked at yet. */
	if (now && schema_fixed_differ(e->type, now->conf, conf) && del(r, e) < 0)
		return -EINVAL;
	want->conf = NULL;
	/* What is the node's own stays so: nobody's next replace is to delete it. */
	return put(r, e, own ? STORE_NOBODY : r->s->client, conf);
}

/* In the order in which objects are made, and within a type as the list has them. */
static int bring_all_about(struct request *r, const json_t *list, struct table *wanted)
{
	for (const struct schema_object *const *type = schema_objects; *type; type++) {
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *item = json_array_get(list, i);
			struct entry e = {.type = *type, .name = json_string_value(json_object_get(item, "name")), .index = i};
			int ret;

			if (strcmp(json_string_value(json_object_get(item, "object")), (*type)->name) != 0)
				continue;
			ret = bring_about(r, &e, table_find(wanted, e.type, e.name));
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static const json_t *replace_list(struct request *r, const json_t *replace)
{
	const json_t *list = json_object_get(replace, "objects");

	if (json_is_array(list) && json_object_size(replace) == 1)
		return list;
	return rpc_fail(r->err, RPC_INVALID_PARAMS, "bad-value", "replace", NULL, "replace: must be {\"objects\": [...]}");
}

static int read_replace(struct request *r, const json_t *replace)
{
	const json_t *list = replace_list(r, replace);
	struct table wanted = {0};
	int ret;

	if (!list)
		return -EINVAL;
	r->list = "replace.objects";
	r->with_op = false;
	ret = read_wanted(r, list, &wanted);
	if (ret == 0)
		ret = delete_unwanted(r, &wanted);
	if (ret == 0)
		ret = bring_all_about(r, list, &wanted);
	table_clear(&wanted);
	return ret;
}

/* --- the method ----------------------------------------------------------------------------------------------------------------- */

static int check_generation(struct request *r, const json_t *params)
{
	uint64_t now = r->s->ctl->store.generation;
	int64_t expected = param_int(params, "expect_generation", -1);

	if (expected < 0 || (uint64_t)expected == now)
		return 0;
	rpc_fail(r->err, RPC_REFUSED, "generation-mismatch", "expect_generation", "read it again with get",
		 "expect_generation %lld: the configuration is at generation %llu", (long long)expected, (unsigned long long)now);
	return -EINVAL;
}

static int read_request(struct request *r, const json_t *params)
{
	const json_t *list = json_object_get(params, "ops"), *replace = json_object_get(params, "replace");

	if (!list == !replace) {
		rpc_fail(r->err, RPC_INVALID_PARAMS, list ? "bad-value" : "missing-parameter", "", NULL,
			 "apply takes either ops or replace");
		return -EINVAL;
	}
	if (check_generation(r, params) < 0)
		return -EINVAL;
	return list ? read_ops(r, list) : read_replace(r, replace);
}

/* Takes over `plan`, which may be NULL: none. */
static json_t *result(const struct request *r, json_t *plan)
{
	const struct store *store = &r->s->ctl->store;
	json_t *json = json_pack("{s:I, s:I, s:I}", "generation", (json_int_t)store->generation, "applied",
				 (json_int_t)store_applied(store), "changes", (json_int_t)r->txn.n_plan);

	if (!plan || !json)
		return json;
	if (json_object_set_new(json, "plan", plan) == 0)
		return json;
	json_decref(json);
	return NULL;
}

json_t *apply_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	struct request r = {.s = s, .err = err, .force = param_bool(params, "force")};
	bool dry_run = param_bool(params, "dry_run");
	struct txn_error bad = {0};
	json_t *json = NULL;

	txn_init(&r.txn, s->ctl);
	if (read_request(&r, params) == 0) {
		if (txn_run(&r.txn, dry_run, &bad) < 0)
			fail_txn(&r, &bad);
		else
			json = result(&r, dry_run ? plan_json(&r.txn) : NULL);
	}
	txn_free(&r.txn);
	return json;
}

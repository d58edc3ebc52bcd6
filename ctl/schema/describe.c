/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole schema as JSON: the answer to `describe`. Everything is taken from the tables; a client that reads it needs no other list.
 */

#include <stdio.h>

#include "sluice/drop.h"
#include "types.h"

/* Puts `value` (stolen, also on failure) under `key` into a list of pairs of which any may have failed. */
static void put(json_t *object, const char *key, json_t *value, bool *failed)
{
	if (json_object_set_new(object, key, value) < 0)
		*failed = true;
}

/* The object if all of it was built; else NULL, with nothing leaked. */
static json_t *whole(json_t *object, bool failed)
{
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *describe_choices(const struct schema_choice *choices)
{
	json_t *list = json_array();

	for (; list && choices->name; choices++)
		if (json_array_append_new(list, json_string(choices->name)) < 0)
			return whole(list, true);
	return list;
}

static json_t *describe_default(const struct schema_attr *a)
{
	if (a->type == SCHEMA_BOOL)
		return json_boolean(a->def);
	if (a->type == SCHEMA_U64)
		return a->def < a->min || a->def > a->max ? json_null() : json_integer(a->def);
	if (a->type == SCHEMA_ENUM && !(a->flags & SCHEMA_IMPLIED))
		for (const struct schema_choice *c = a->choices; c->name; c++)
			if (c->value == a->def)
				return json_string(c->name);
	return json_null();
}

static json_t *describe_attr(const struct schema_attr *a)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "name", a->name, "type", schema_type_name(a->type), "doc", a->doc);
	bool failed = false;

	put(o, "default", describe_default(a), &failed);
	if (a->unit)
		put(o, "unit", json_string(schema_unit_name(a->unit)), &failed);
	if (a->type == SCHEMA_U64) {
		put(o, "min", json_integer(a->min), &failed);
		put(o, "max", json_integer(a->max), &failed);
	}
	if (a->type == SCHEMA_STRING)
		put(o, "max_length", json_integer(a->size - 1), &failed);
	if (a->type == SCHEMA_ENUM)
		put(o, "choices", describe_choices(a->choices), &failed);
	put(o, "required", json_boolean(a->flags & SCHEMA_REQUIRED), &failed);
	put(o, "fixed", json_boolean(a->flags & SCHEMA_FIXED), &failed);
	put(o, "secret", json_boolean(a->flags & SCHEMA_SECRET), &failed);
	return whole(o, failed);
}

static json_t *describe_object(const struct schema_object *o)
{
	json_t *attrs = json_array();

	for (const struct schema_attr *a = o->attrs; attrs && a->name; a++)
		if (json_array_append_new(attrs, describe_attr(a)) < 0)
			return whole(attrs, true);
	return json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", o->name, "doc", o->doc, "name_doc", o->name_doc, "read_only",
			 o->read_only, "attrs", attrs);
}

static json_t *describe_param(const struct schema_param *p)
{
	json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "name", p->name, "type", p->type, "required", p->required, "doc", p->doc);
	bool failed = false;

	if (p->max) {
		put(o, "min", json_integer(p->min), &failed);
		put(o, "max", json_integer(p->max), &failed);
	}
	return whole(o, failed);
}

static json_t *describe_method(const struct schema_method *m)
{
	json_t *params = json_array();

	for (const struct schema_param *p = m->params; params && p->name; p++)
		if (json_array_append_new(params, describe_param(p)) < 0)
			return whole(params, true);
	return json_pack("{s:s, s:s, s:b, s:o}", "name", m->name, "doc", m->doc, "writes", m->writes, "params", params);
}

static json_t *describe_events(void)
{
	json_t *list = json_array();

	for (const struct schema_event *e = schema_events; list && e->name; e++)
		if (json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", e->name, "fields", e->fields, "doc", e->doc)) <
		    0)
			return whole(list, true);
	return list;
}

static json_t *describe_drops(void)
{
	static const struct {
		const char *name, *side, *doc;
	} reasons[] = {
#define X(sym, name, doc) {name, "rx", doc},
		SLC_DROP_RX(X)
#undef X
#define X(sym, name, doc) {name, "tx", doc},
			SLC_DROP_TX(X)
#undef X
	};
	json_t *list = json_array();

	for (size_t i = 0; list && i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", reasons[i].name, "side", reasons[i].side,
							  "doc", reasons[i].doc)) < 0)
			return whole(list, true);
	return list;
}

json_t *schema_describe(void)
{
	json_t *objects = json_array(), *methods = json_array();
	bool failed = !objects || !methods;

	for (const struct schema_object *const *o = schema_objects; *o; o++)
		failed |= json_array_append_new(objects, describe_object(*o)) < 0;
	for (const struct schema_method *m = schema_methods; m->name; m++)
		failed |= json_array_append_new(methods, describe_method(m)) < 0;
	if (failed) {
		json_decref(objects);
		json_decref(methods);
		return NULL;
	}
	return json_pack("{s:i, s:o, s:o, s:o, s:o}", "api_major", SCHEMA_API_MAJOR, "objects", objects, "methods", methods,
			 "events", describe_events(), "drops", describe_drops());
}

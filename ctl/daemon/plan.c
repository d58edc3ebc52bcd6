/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The plan of a transaction: what it comes to, in an order in which it can be done. Deletions come first, what needs others before what
 * it needs; then additions and changes, the other way round; within a type as they were asked for.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "txn.h"

/* Byte for byte, so that saying what followed by itself (vlan_mode=access) is remembered as said. */
static bool changes_nothing(const struct change *c)
{
	if (!c->before || !c->after)
		return !c->before && !c->after;
	return !c->anew && !memcmp(c->before->conf, c->after->conf, c->type->size) && !strcmp(c->before->owner, c->after->owner);
}

/* What changes nothing leaves the list and the buckets. */
static void drop_unchanged(struct txn *t)
{
	size_t n = 0;

	if (t->n)
		memset(t->buckets, 0, t->n_buckets * sizeof(struct change *));
	for (size_t i = 0; i < t->n; i++) {
		struct change *c = t->list[i];

		if (changes_nothing(c)) {
			object_free(c->after);
			free(c);
			continue;
		}
		c->next = t->buckets[c->hash & (t->n_buckets - 1)];
		t->buckets[c->hash & (t->n_buckets - 1)] = c;
		t->list[n++] = c;
	}
	t->n = n;
}

static bool is_deletion(const struct change *c)
{
	return c->before && (!c->after || c->anew);
}

static size_t n_types(void)
{
	size_t n = 0;

	while (schema_objects[n])
		n++;
	return n;
}

static void append(struct txn *t, struct change *c, enum ctl_change kind)
{
	t->plan[t->n_plan++] = (struct planned){c, kind};
}

int plan_make(struct txn *t)
{
	drop_unchanged(t);
	t->plan = calloc(2 * t->n + 1, sizeof(t->plan[0]));
	if (!t->plan)
		return -ENOMEM;
	for (size_t type = n_types(); type-- > 0;)
		for (size_t i = 0; i < t->n; i++)
			if (t->list[i]->type == schema_objects[type] && is_deletion(t->list[i]))
				append(t, t->list[i], CTL_DEL);
	for (size_t type = 0; schema_objects[type]; type++)
		for (size_t i = 0; i < t->n; i++)
			if (t->list[i]->type == schema_objects[type] && t->list[i]->after)
				append(t, t->list[i], t->list[i]->before && !t->list[i]->anew ? CTL_SET : CTL_ADD);
	return 0;
}

/* --- for people ------------------------------------------------------------------------------------------------------------- */

/* The attributes whose values differ. NULL when out of memory. */
static json_t *differing(const struct change *c)
{
	json_t *before = schema_encode(c->type, c->before->conf, true, true),
	       *after = schema_encode(c->type, c->after->conf, true, true);
	json_t *attrs = before && after ? json_object() : NULL, *value;
	const char *key;

	json_object_foreach (attrs ? after : NULL, key, value) {
		if (json_equal(value, json_object_get(before, key)))
			continue;
		if (json_object_set(attrs, key, value) < 0) {
			json_decref(attrs);
			attrs = NULL;
			break;
		}
	}
	json_decref(before);
	json_decref(after);
	return attrs;
}

static json_t *entry_json(const struct planned *p)
{
	static const char *const ops[] = {[CTL_ADD] = "add", [CTL_SET] = "set", [CTL_DEL] = "del"};
	const struct change *c = p->change;
	json_t *attrs, *entry = json_pack("{s:s, s:s, s:s}", "op", ops[p->kind], "object", c->type->name, "name", c->name);

	if (p->kind == CTL_DEL)
		return entry;
	attrs = p->kind == CTL_ADD ? schema_encode(c->type, c->after->conf, false, true) : differing(c);
	if (!entry || json_object_set_new(entry, "attrs", attrs) < 0) {
		json_decref(entry);
		return NULL;
	}
	return entry;
}

json_t *plan_json(const struct txn *t)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < t->n_plan; i++) {
		if (json_array_append_new(list, entry_json(&t->plan[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "follow.h"
#include "json_memory.h"
#include "load.h"
#include "log.h"
#include "schema/objects.h"
#include "reconcile.h"
#include "state.h"
#include "uses.h"

static int load_conf(const struct schema_object *type, const struct state_row *row, unsigned version, void *conf)
{
	struct schema_error bad = {0};
	json_t *attrs;
	int ret;

	json_memory_reset();
	attrs = json_loads(row->attrs, JSON_REJECT_DUPLICATES, NULL);
	if (json_memory_failed()) {
		json_decref(attrs);
		return -ENOMEM;
	}
	ret = json_is_object(attrs) ? schema_set_name(type, conf, row->name, &bad) : -EINVAL;
	if (ret == 0)
		ret = schema_decode(type, attrs, NULL, conf, &bad);
	if (ret == 0 && version < 2 && type->unsay)
		type->unsay(conf);
	json_decref(attrs);
	if (ret < 0 && bad.name && !strcmp(bad.name, "unknown-attribute"))
		return -ENOTSUP;
	return ret < 0 ? -EBADMSG : 0;
}

/* An object of its own memory, linked nowhere. */
static int load_object(const struct schema_object *type, const struct state_row *row, unsigned version, struct object **object)
{
	void *conf = malloc(type->size);
	int ret;

	if (!conf)
		return -ENOMEM;
	schema_defaults(type, conf);
	ret = load_conf(type, row, version, conf);
	*object = ret == 0 ? object_new(type, row->name, row->owner, conf) : NULL;
	if (!*object) {
		free(conf);
		return ret < 0 ? ret : -ENOMEM;
	}
	(*object)->generation = row->generation;
	ret = claims_make(*object);
	if (ret < 0)
		object_free(*object);
	return ret;
}

/* What the node takes for itself may have been a port's before this build, or this trunk-name: that port stays until somebody deletes it. */
static bool claims_free_to_take(const struct store *s, const struct object *o)
{
	for (const struct claim *k = o->claims; k; k = k->more) {
		const struct claim *held = claims_find(&s->claims, k);

		if (!held)
			continue;
		if (o->owner[0] && held->holder->owner[0])
			return false;
		log_printf(LOG_WARNING, "%s is both %s %s's and %s %s's; delete the one that is not the node's own", k->key,
			   held->holder->type->name, held->holder->name, o->type->name, o->name);
	}
	return true;
}

/* The node's own are the trunk's port and what every node has. */
static bool owner_valid(const struct schema_object *type, const struct state_row *row)
{
	return row->owner[0] ? schema_name_valid(row->owner) : type == &schema_port || builtin_is(type, row->name);
}

static int load_row(void *arg, const struct state_row *row)
{
	const struct schema_object *type = schema_object_find(row->object);
	struct ctl *ctl = arg;
	struct store *s = &ctl->store;
	struct object *o;
	int ret;

	if (!type)
		return -ENOTSUP;
	if (type->read_only || !owner_valid(type, row) || table_find(&s->objects, type, row->name))
		return -EBADMSG;
	ret = load_object(type, row, state_version(ctl->state), &o);
	if (ret < 0)
		return ret;
	if (!claims_free_to_take(s, o)) {
		object_free(o);
		return -EBADMSG;
	}
	if (table_reserve(&s->objects, 1) < 0 || claims_reserve(&s->claims, claims_count(o)) < 0) {
		object_free(o);
		return -ENOMEM;
	}
	table_insert(&s->objects, o);
	claims_link(&s->claims, o);
	store_pend(s, o, o->generation);
	return 0;
}

struct needs {
	const struct table *objects;
	bool missing;
};

static void find_missing(void *arg, const struct schema_use *use)
{
	struct needs *n = arg;

	n->missing |= use->kind == SCHEMA_NEEDS && !table_find(n->objects, use->object, use->key);
}

static const struct object *find_in_table(const void *arg, const struct schema_object *type, const char *name)
{
	return table_find(arg, type, name);
}

/* All that is needed is there; count who needs it, and fill in what follows from it. */
static int link_needs(struct store *s)
{
	struct needs n = {.objects = &s->objects};

	for (struct object *o = s->pending; o; o = o->pending_next) {
		if (!o->type->uses)
			continue;
		o->type->uses(o->conf, find_missing, &n);
		refs_count(&s->objects, o->type, o->conf, 1);
		follow_derive(o->type, o->conf, find_in_table, &s->objects);
	}
	return n.missing ? -EBADMSG : 0;
}

int ctl_load(struct ctl *ctl, struct state *state)
{
	int ret;

	ctl->state = state;
	ret = state_load(state, load_row, ctl);
	if (ret == 0)
		ret = builtin_make(ctl);
	if (ret == 0)
		ret = link_needs(&ctl->store);
	if (ret == 0)
		ret = state_adopt(state);
	if (ret == -EBADMSG || ret == -ENOTSUP) {
		store_clear(&ctl->store);
		ret = state_set_aside(state, ret == -ENOTSUP);
		if (ret == 0)
			ret = builtin_make(ctl);
	}
	if (state_aside(state))
		log_printf(LOG_ERR, "the state file could not be used and was put aside as %s; this node starts empty",
			   state_aside(state));
	if (ret < 0)
		return ret;
	ctl->store.generation = state_generation(state);
	reconcile_run(ctl, UINT64_MAX);
	return 0;
}

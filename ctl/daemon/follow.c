/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"
#include "txn.h"

struct deriving {
	const struct schema_object *type;
	void *conf;
	follow_find *find;
	const void *arg;
};

static void derive_one(void *arg, const struct schema_use *use)
{
	const struct deriving *d = arg;
	const struct object *needed =
		use->kind == SCHEMA_NEEDS && use->object->followed ? d->find(d->arg, use->object, use->key) : NULL;

	if (needed)
		d->type->derive(d->conf, use->object, needed->conf);
}

void follow_derive(const struct schema_object *type, void *conf, follow_find *find, const void *arg)
{
	struct deriving d = {type, conf, find, arg};

	if (type->derive)
		type->uses(conf, derive_one, &d);
}

static const struct object *find_in_view(const void *arg, const struct schema_object *type, const char *name)
{
	return txn_view(arg, type, name);
}

void follow_settle(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i]->after)
			follow_derive(t->list[i]->type, t->list[i]->after->conf, find_in_view, t);
}

/* --- followers -------------------------------------------------------------------------------------------------------------- */

/* Something changed that objects outside of the transaction follow. */
static bool leads(const struct change *c)
{
	return c->type->followed && c->before && c->after && c->before->refs > c->released;
}

static int add(struct txn *t, struct object *o, void *conf)
{
	if (t->n_followers == t->followers_room) {
		size_t room = t->followers_room ? 2 * t->followers_room : 16;
		struct follower *more = realloc(t->followers, room * sizeof(more[0]));

		if (!more)
			return -ENOMEM;
		t->followers = more;
		t->followers_room = room;
	}
	t->followers[t->n_followers++] = (struct follower){o, conf};
	return 0;
}

/* An object of the store's that this transaction does not change: does it follow? */
static int consider(struct txn *t, struct object *o)
{
	void *conf;
	int ret = 0;

	if (!o->type->derive || txn_change(t, o->type, o->name))
		return 0;
	conf = malloc(o->type->size);
	if (!conf)
		return -ENOMEM;
	memcpy(conf, o->conf, o->type->size);
	follow_derive(o->type, conf, find_in_view, t);
	if (memcmp(conf, o->conf, o->type->size) != 0) {
		ret = add(t, o, conf);
		if (ret == 0)
			return 0;
	}
	free(conf);
	return ret;
}

int follow_collect(struct txn *t)
{
	const struct table *objects = &t->ctl->store.objects;
	bool any = false;
	int ret = 0;

	for (size_t i = 0; i < t->n; i++)
		any |= leads(t->list[i]);
	for (size_t i = 0; any && ret == 0 && i < objects->n_buckets; i++)
		for (struct object *o = objects->buckets[i]; o && ret == 0; o = o->next)
			ret = consider(t, o);
	return ret;
}

void follow_commit(struct txn *t)
{
	for (size_t i = 0; i < t->n_followers; i++) {
		struct follower *f = &t->followers[i];

		free(f->object->conf);
		f->object->conf = f->conf;
		f->conf = NULL;
	}
}

void follow_free(struct txn *t)
{
	for (size_t i = 0; i < t->n_followers; i++)
		free(t->followers[i].conf);
	free(t->followers);
}

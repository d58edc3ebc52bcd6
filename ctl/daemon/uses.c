/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uses.h"

#define BUCKETS_MIN 64

static uint32_t hash_of(const char *key)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 16777619u;
	return h;
}

struct making {
	struct object *object;
	int ret;
};

static void make_one(void *arg, const struct schema_use *use)
{
	struct making *m = arg;
	size_t len = strlen(use->key);
	struct claim *c;

	if (use->kind != SCHEMA_TAKES || m->ret < 0)
		return;
	c = malloc(sizeof(*c) + len + 1);
	if (!c) {
		m->ret = -ENOMEM;
		return;
	}
	*c = (struct claim){.more = m->object->claims, .holder = m->object, .hash = hash_of(use->key), .attr = use->attr};
	memcpy(c->key, use->key, len + 1);
	m->object->claims = c;
}

int claims_make(struct object *o)
{
	struct making m = {.object = o};

	if (o->type->uses)
		o->type->uses(o->conf, make_one, &m);
	return m.ret;
}

void claims_free(struct claim *list)
{
	while (list) {
		struct claim *more = list->more;

		free(list);
		list = more;
	}
}

size_t claims_count(const struct object *o)
{
	size_t n = 0;

	for (const struct claim *c = o->claims; c; c = c->more)
		n++;
	return n;
}

int claims_reserve(struct claims *c, size_t extra)
{
	size_t want = c->n_buckets ? c->n_buckets : BUCKETS_MIN;
	struct claim **buckets;

	while (want < c->n + extra)
		want *= 2;
	if (want == c->n_buckets)
		return 0;
	buckets = calloc(want, sizeof(struct claim *));
	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_buckets; i++) {
		for (struct claim *k = c->buckets[i], *next; k; k = next) {
			next = k->next;
			k->next = buckets[k->hash & (want - 1)];
			buckets[k->hash & (want - 1)] = k;
		}
	}
	free(c->buckets);
	c->buckets = buckets;
	c->n_buckets = want;
	return 0;
}

void claims_link(struct claims *c, struct object *o)
{
	for (struct claim *k = o->claims; k; k = k->more) {
		struct claim **head = &c->buckets[k->hash & (c->n_buckets - 1)];

		k->next = *head;
		*head = k;
		c->n++;
	}
}

void claims_unlink(struct claims *c, struct object *o)
{
	for (struct claim *k = o->claims; k; k = k->more) {
		struct claim **link = &c->buckets[k->hash & (c->n_buckets - 1)];

		while (*link != k)
			link = &(*link)->next;
		*link = k->next;
		c->n--;
	}
}

const struct claim *claims_find(const struct claims *c, const struct claim *like)
{
	const struct claim *k = c->n_buckets ? c->buckets[like->hash & (c->n_buckets - 1)] : NULL;

	while (k && (k->hash != like->hash || strcmp(k->key, like->key) != 0))
		k = k->next;
	return k;
}

struct counting {
	struct table *objects;
	int by;
};

static void count_one(void *arg, const struct schema_use *use)
{
	const struct counting *c = arg;
	struct object *o = use->kind == SCHEMA_NEEDS ? table_find(c->objects, use->object, use->key) : NULL;

	if (o)
		o->refs += c->by;
}

void refs_count(struct table *objects, const struct schema_object *type, const void *conf, int by)
{
	struct counting c = {objects, by};

	if (type->uses)
		type->uses(conf, count_one, &c);
}

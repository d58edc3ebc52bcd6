/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "uses.h"

#define BUCKETS_MIN 64

uint32_t object_hash(const struct schema_object *type, const char *name)
{
	uint32_t h = 2166136261u;

	/* FNV-1a over "type\0name". */
	for (const char *p = type->name; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	h *= 16777619u;
	for (const char *p = name; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return h;
}

struct object *object_new(const struct schema_object *type, const char *name, const char *owner, void *conf)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->type = type;
	o->hash = object_hash(type, name);
	snprintf(o->name, sizeof(o->name), "%s", name);
	snprintf(o->owner, sizeof(o->owner), "%s", owner);
	o->conf = conf;
	return o;
}

void object_free(struct object *o)
{
	if (!o)
		return;
	claims_free(o->claims);
	free(o->fault);
	free(o->conf);
	free(o);
}

int table_reserve(struct table *t, size_t extra)
{
	size_t want = t->n_buckets ? t->n_buckets : BUCKETS_MIN;
	struct object **buckets;

	while (want < t->n + extra)
		want *= 2;
	if (want == t->n_buckets)
		return 0;
	buckets = calloc(want, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_buckets; i++) {
		for (struct object *o = t->buckets[i], *next; o; o = next) {
			next = o->next;
			o->next = buckets[o->hash & (want - 1)];
			buckets[o->hash & (want - 1)] = o;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->n_buckets = want;
	return 0;
}

void table_insert(struct table *t, struct object *o)
{
	struct object **head = &t->buckets[o->hash & (t->n_buckets - 1)];

	o->next = *head;
	*head = o;
	t->n++;
}

/* The link that points to the object, or to the NULL at the end of its chain; NULL before the first reserve. */
static struct object **find_link(const struct table *t, const struct schema_object *type, const char *name)
{
	uint32_t hash = object_hash(type, name);
	struct object **link;

	if (!t->n_buckets)
		return NULL;
	for (link = &t->buckets[hash & (t->n_buckets - 1)]; *link; link = &(*link)->next)
		if ((*link)->hash == hash && (*link)->type == type && !strcmp((*link)->name, name))
			break;
	return link;
}

struct object *table_find(const struct table *t, const struct schema_object *type, const char *name)
{
	struct object **link = find_link(t, type, name);

	return link ? *link : NULL;
}

struct object *table_remove(struct table *t, const struct schema_object *type, const char *name)
{
	struct object **link = find_link(t, type, name);
	struct object *o = link ? *link : NULL;

	if (!o)
		return NULL;
	*link = o->next;
	t->n--;
	return o;
}

void table_clear(struct table *t)
{
	for (size_t i = 0; i < t->n_buckets; i++) {
		for (struct object *o = t->buckets[i], *next; o; o = next) {
			next = o->next;
			object_free(o);
		}
	}
	free(t->buckets);
	memset(t, 0, sizeof(*t));
}

static int type_rank(const struct schema_object *type)
{
	int i = 0;

	while (schema_objects[i] && schema_objects[i] != type)
		i++;
	return i;
}

int object_compare(const struct schema_object *type_a, const char *name_a, const struct schema_object *type_b, const char *name_b)
{
	int order = type_a == type_b ? strverscmp(name_a, name_b) : type_rank(type_a) - type_rank(type_b);

	/* strverscmp gives 0 for equal strings only; strcmp makes sure of a total order on any libc. */
	return order ? order : strcmp(name_a, name_b);
}

static int compare_links(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	return object_compare(x->type, x->name, y->type, y->name);
}

struct object **table_list(const struct table *t, const struct schema_object *type, size_t *n)
{
	struct object **list = malloc((t->n + 1) * sizeof(struct object *));

	*n = 0;
	if (!list)
		return NULL;
	for (size_t i = 0; i < t->n_buckets; i++)
		for (struct object *o = t->buckets[i]; o; o = o->next)
			if (!type || o->type == type)
				list[(*n)++] = o;
	qsort(list, *n, sizeof(*list), compare_links);
	return list;
}

size_t table_count(const struct table *t, const struct schema_object *type)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_buckets; i++)
		for (const struct object *o = t->buckets[i]; o; o = o->next)
			n += o->type == type;
	return n;
}

/* --- pending ----------------------------------------------------------------------------------------------------------------- */

uint64_t store_applied(const struct store *s)
{
	uint64_t applied = s->generation;

	for (const struct object *o = s->pending; o; o = o->pending_next)
		if (o->since && o->since - 1 < applied)
			applied = o->since - 1;
	return applied;
}

void store_pend(struct store *s, struct object *o, uint64_t since)
{
	if (o->pending_link)
		return;
	o->since = since;
	o->pending_next = s->pending;
	o->pending_link = &s->pending;
	if (s->pending)
		s->pending->pending_link = &o->pending_next;
	s->pending = o;
	s->n_pending++;
}

void store_settle(struct store *s, struct object *o)
{
	if (!o->pending_link)
		return;
	*o->pending_link = o->pending_next;
	if (o->pending_next)
		o->pending_next->pending_link = o->pending_link;
	o->pending_link = NULL;
	o->pending_next = NULL;
	s->n_pending--;
	free(o->fault);
	o->fault = NULL;
}

void store_clear(struct store *s)
{
	/* The claims are the objects'; their index goes first. */
	free(s->claims.buckets);
	table_clear(&s->objects);
	*s = (struct store){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_STORE_H
#define CTL_STORE_H

/*
 * The desired state: which objects there are, whose they are, and how they are configured.
 *
 *      store
 *        generation 7
 *        table: (type, name) --hash--> object -> object -> ...
 *                                        |
 *                                        +-- owner "cap", conf -> struct port_conf
 *
 * Objects of all types are in one table, keyed by type and name. The table knows nothing of what a conf holds. The same table serves
 * apply.c to collect what a transaction would leave behind.
 *
 * A change is committed when nothing can fail any more: whoever inserts has allocated the object before and has reserved its place
 * by table_reserve(); insertion itself only links.
 *
 * The generation counts the transactions that changed something, from 0 at the daemon's start. It is not kept over a restart by this
 * build; `boot_id` tells clients so.
 *
 * Control thread only.
 */

#include <stddef.h>
#include <stdint.h>

#include "schema/schema.h"

#define STORE_NAME_MAX 64

/* Why an object is not in force, as `get` shows it. */
struct fault {
	const char *name; /* stable, static */
	char attr[32];	  /* at fault, or "" */
	char msg[256];
	char hint[192];
};

struct object {
	struct object *next;
	uint32_t hash;
	const struct schema_object *type;
	char name[STORE_NAME_MAX];
	char owner[STORE_NAME_MAX];
	void *conf; /* the type's struct; freed with the object */
};

struct table {
	struct object **buckets;
	size_t n_buckets; /* power of two, or 0 before the first reserve */
	size_t n;
};

struct store {
	struct table objects;
	uint64_t generation;
};

/* A new object that takes over `conf`, or NULL when out of memory (then conf is still the caller's). */
struct object *object_new(const struct schema_object *type, const char *name, const char *owner, void *conf);
/* Free it and its conf. NULL is fine. */
void object_free(struct object *o);

/* Make room for `extra` more objects. 0 or -ENOMEM; what is in the table is untouched either way. */
int table_reserve(struct table *t, size_t extra);
/* Link an object whose key is not in the table. Room must have been reserved. */
void table_insert(struct table *t, struct object *o);
struct object *table_find(const struct table *t, const struct schema_object *type, const char *name);
/* Unlink and return, or NULL. */
struct object *table_remove(struct table *t, const struct schema_object *type, const char *name);
/* Free all objects and the table's memory; what is left is an empty table. */
void table_clear(struct table *t);

/*
 * The objects of a type (NULL: of all, in the order of schema_objects), sorted by name as people count: vm2 before vm10.
 * A list for the caller to free(), valid until the table changes; *n entries. NULL when out of memory (also *n = 0 gives a list).
 */
struct object **table_list(const struct table *t, const struct schema_object *type, size_t *n);
/* The order of table_list(). */
int object_compare(const struct schema_object *type_a, const char *name_a, const struct schema_object *type_b, const char *name_b);
size_t table_count(const struct table *t, const struct schema_object *type);

#endif

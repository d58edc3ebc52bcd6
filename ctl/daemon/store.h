/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_STORE_H
#define CTL_STORE_H

/*
 * The desired state: which objects there are, whose they are, how they are configured, and what of it is not in force yet.
 *
 *      store
 *        generation 7
 *        objects: (type, name) --hash--> object -> object -> ...
 *                                          |
 *                                          +-- owner "cap", conf -> struct port_conf, generation 5
 *                                          +-- made: bit of each engine that has it in force
 *                                          +-- claims, refs: what it takes and who needs it (uses.h)
 *        pending: object <-> object <-> ...   not in force as configured: since when, why, when to try again (reconcile.h)
 *        claims:  "ifname eth1" --hash--> object
 *
 * Objects of all types are in one table, keyed by type and name. The table knows nothing of what a conf holds.
 *
 * A change is committed when nothing can fail any more: whoever inserts has allocated the object before and has reserved its place
 * by table_reserve(); insertion itself only links.
 *
 * The generation counts the transactions that changed something. It is kept with the objects (state.h), so it goes on over a restart; it
 * begins at 0 with an empty state. `applied` is the newest generation of which everything is in force: one less than the oldest that
 * brought an object which is pending now.
 *
 * Control thread only.
 */

#include <stddef.h>
#include <stdint.h>

#include "schema/schema.h"

#define STORE_NAME_MAX 64
#define STORE_NOBODY \
	"" /* owner of what the node itself made (the trunk's port, the four classes): anybody may change it, nobody deletes it */

/* Why an object is not in force, as `get` shows it. */
struct fault {
	const char *name; /* stable, static */
	char attr[32];	  /* at fault, or "" */
	char msg[256];
	char hint[192];
};

struct claim;

struct object {
	struct object *next;
	uint32_t hash;
	const struct schema_object *type;
	char name[STORE_NAME_MAX];
	char owner[STORE_NAME_MAX];
	void *conf;	     /* the type's struct; freed with the object */
	uint64_t generation; /* that changed it last */

	uint32_t refs;	      /* objects that need this one */
	struct claim *claims; /* what it takes for itself */

	unsigned made; /* engines that have it in force, by bit */
	/* While it is pending: */
	struct object *pending_next, **pending_link; /* link NULL: it is not */
	uint64_t since;				     /* generation that is not applied for its sake */
	uint64_t retry_us;			     /* when to try again, CLOCK_BOOTTIME */
	uint64_t deaf_until_us;			     /* to hints: its own try may have made them */
	uint32_t delay_us;			     /* how long the last wait was */
	struct fault *fault;			     /* why, or NULL before the first try */
};

struct table {
	struct object **buckets;
	size_t n_buckets; /* power of two, or 0 before the first reserve */
	size_t n;
};

struct claims {
	struct claim **buckets;
	size_t n_buckets, n;
};

struct store {
	struct table objects;
	struct claims claims;
	struct object *pending;
	size_t n_pending;
	uint64_t generation;
};

/* Newest generation that is in force. Walks over what is pending. */
uint64_t store_applied(const struct store *s);
/* Put an object that is in the table among the pending, or take it out (its fault goes). Either may be so already. */
void store_pend(struct store *s, struct object *o, uint64_t since);
void store_settle(struct store *s, struct object *o);
/* Free everything. */
void store_clear(struct store *s);

/* A new object that takes over `conf`, or NULL when out of memory (then conf is still the caller's). */
struct object *object_new(const struct schema_object *type, const char *name, const char *owner, void *conf);
/* Free it and its conf. NULL is fine. */
void object_free(struct object *o);

/* What objects and tables are hashed by. */
uint32_t object_hash(const struct schema_object *type, const char *name);

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

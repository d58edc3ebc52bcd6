/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_FOLLOW_H
#define CTL_FOLLOW_H

/*
 * What follows from another object: a port carries the code point of the class that it names.
 *
 *      class online {pcp 4}                            engines know ports, and no classes
 *         ^ needs
 *      port web1 {class online}  --derive-->  its conf: code point 4  -->  dataplane, kernel
 *
 * The schema says whose configuration holds what of whom (schema_object.derive, .followed). It is derived when an object comes from a request
 * or from the state file, and when the object that it follows from changes: then every object that needs that one is a follower. A
 * follower's engines are told in the same transaction; nothing else about it has changed, so it is not in the plan, has no event, no
 * new generation and nothing to write.
 *
 * Changing an object that others follow walks over the store; no other change does.
 *
 * Control thread only.
 */

#include "store.h"

struct txn;

struct follower {
	struct object *object; /* the store's */
	void *conf;	       /* what it will have; ours until the commit */
};

/* How `derive` finds what an object needs: NULL when there is none. */
typedef const struct object *follow_find(const void *arg, const struct schema_object *type, const char *name);

/* Fill in what follows in a configuration from the objects that it needs. */
void follow_derive(const struct schema_object *type, void *conf, follow_find *find, const void *arg);

/* For all that a transaction adds and changes. Before the plan is made. */
void follow_settle(struct txn *t);
/* Find the transaction's followers. 0 or -ENOMEM. */
int follow_collect(struct txn *t);
/* They have what follows. */
void follow_commit(struct txn *t);
void follow_free(struct txn *t);

#endif

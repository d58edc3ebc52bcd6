/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_USES_H
#define CTL_USES_H

/*
 * What objects need of each other, and what they take for themselves, in the desired state: also of objects that no engine has yet.
 *
 *      port vm1 {vlan 100, ifname eth1}
 *         needs  vlan "100"      -->  object (vlan, 100).refs++        a VLAN with refs is not deleted
 *         takes  "ifname eth1"   -->  claim in store.claims            one object for each claim
 *
 * Which those are the schema says (schema_object.uses). Both are kept up to date at each commit, so that checking a change costs what
 * the change costs and not what the node holds. The engines check what they carry once more; here is what spans engines.
 *
 * Control thread only.
 */

#include "store.h"

struct claim {
	struct claim *next; /* in its bucket */
	struct claim *more; /* of the same object */
	const struct object *holder;
	uint32_t hash;
	const char *attr;
	char key[];
};

/* Make the object's list of claims from its conf. 0 or -ENOMEM. */
int claims_make(struct object *o);
void claims_free(struct claim *list);

/* Room for `extra` more claims. 0 or -ENOMEM. */
int claims_reserve(struct claims *c, size_t extra);
/* Put an object's claims in; room must have been reserved. Take them out again. */
void claims_link(struct claims *c, struct object *o);
void claims_unlink(struct claims *c, struct object *o);
/* Who has taken this, or NULL. */
const struct claim *claims_find(const struct claims *c, const struct claim *like);
size_t claims_count(const struct object *o);

/* Add `by` (1 or -1) to the refs of what `conf` needs. Objects that are not in the table are passed over. */
void refs_count(struct table *objects, const struct schema_object *type, const void *conf, int by);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_TXN_H
#define CTL_TXN_H

/*
 * A transaction: steps that are collected, then done all or not at all.
 *
 *      txn_add/_set/_del  -->  steps  -->  txn_run: dp_apply()  -->  commit
 *             |                  |              |                       |
 *        txn_view()         all memory     validates, opens        links and unlinks,
 *        sees them         is allocated    devices, publishes        cannot fail
 *
 * Each step is judged against the view: what the steps before it would leave behind, a table of what they touched in front of the
 * store. A step holds all that its commit will need, so the store follows the dataplane's yes without a chance to fail.
 *
 * Control thread only; nothing else may change the store between txn_init() and txn_free().
 */

#include "ctl.h"

#define TXN_NO_INDEX SIZE_MAX

enum step_kind { STEP_ADD, STEP_SET, STEP_DEL };

struct step {
	enum step_kind kind;
	const struct schema_object *type;
	char name[STORE_NAME_MAX];
	void *conf;	       /* SET: the new configuration, until the commit hands it over */
	struct object *object; /* ADD: the object to link, with its conf */
	size_t index;	       /* the caller's mark: which of its entries made this step, or TXN_NO_INDEX */
};

struct txn {
	struct ctl *ctl;
	const char *owner;    /* of what is added */
	struct table touched; /* what the steps would leave; conf is borrowed from them, NULL: deleted */
	struct step *steps;
	struct dp_op *ops; /* one for each step */
	size_t n, room, n_adds;
};

void txn_init(struct txn *t, struct ctl *ctl, const char *owner);
void txn_free(struct txn *t);

/* Whether objects of this type can be changed at all. */
bool txn_takes(const struct schema_object *type);
/* The object as the steps so far would leave it, or NULL. Valid until the next step. */
const struct object *txn_view(const struct txn *t, const struct schema_object *type, const char *name);

/*
 * Append a step. Takes over `conf` (also on failure), which is the whole new configuration and NULL for STEP_DEL. ADD: the view has no
 * such object. SET, DEL: it has. 0 or -ENOMEM.
 */
int txn_step(struct txn *t, enum step_kind kind, const struct schema_object *type, const char *name, void *conf, size_t index);

/*
 * Do all steps, or none. With `dry_run` nothing changes, whatever is returned. 0; -ENOMEM; or the dataplane's -errno with *err, whose
 * `op` is the index of a step.
 */
int txn_run(struct txn *t, bool dry_run, struct dp_error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_TXN_H
#define CTL_TXN_H

/*
 * A transaction: changes that are collected, then made all or not at all.
 *
 *   txn_put, txn_del --> changes, one net change an object --> txn_run:
 *          |                                                    follow    fill in what follows from other objects (follow.h)
 *          |                                                    settle    drop what changes nothing; put the rest in order: the plan
 *       txn_view                                                check     what each needs and takes, in the state that results (uses.h)
 *       sees them                                               prepare   the engines: devices, memory (engine.h)
 *                                                               write     to disk: from here on it survives (state.h)
 *                                                               commit    engines and store; cannot fail
 *                                                               tell      events (notify.h)
 *
 * Before the write nothing has changed for anybody, and a failure takes back what was prepared. After it nothing can fail. An object whose
 * device is lacking is committed all the same and becomes pending.
 *
 * Requests are judged step by step: each sees what the steps before it would leave (txn_view). What goes to disk and engines is the
 * difference between the store and the end, so an object that is added and deleted again was never there. An object that is deleted
 * and put again is made anew, with fresh counters and without what was learned behind it.
 *
 * Control thread only; nothing else may change the store between txn_init() and txn_free().
 */

#include "ctl.h"
#include "follow.h"

#define TXN_NO_INDEX SIZE_MAX

/* Net change of one object. */
struct change {
	struct change *next; /* in its bucket */
	uint32_t hash;
	const struct schema_object *type;
	char name[STORE_NAME_MAX];
	struct object *before; /* the store's, or NULL */
	struct object *after;  /* ours until the commit; NULL: deleted */
	bool anew;	       /* both, and yet deleted and made again */
	bool was_pending;      /* before */
	uint32_t released;     /* changed objects that needed it before */
	size_t index;	       /* the caller's mark: which of its entries touched it last, or TXN_NO_INDEX */
};

struct planned {
	struct change *change;
	enum ctl_change kind;
};

struct txn {
	struct ctl *ctl;
	struct change **list, **buckets; /* in order of first touch; by hash */
	size_t n, room, n_buckets;
	/* From txn_run() on: */
	struct planned *plan;
	size_t n_plan;
	struct follower *followers; /* objects that are not changed, but whose engines are told */
	size_t n_followers, followers_room;
	/* Inside of it: */
	struct engine_op *ops;
	struct change **op_change; /* of each operation */
	struct fault *lacks;
	size_t n_ops;
};

/* Why a transaction was refused. */
struct txn_error {
	size_t index; /* the mark of the change at fault, TXN_NO_INDEX: none in particular */
	struct fault fault;
};

void txn_init(struct txn *t, struct ctl *ctl);
void txn_free(struct txn *t);

/* The object as the steps so far would leave it, or NULL. Valid until the next step. */
const struct object *txn_view(const struct txn *t, const struct schema_object *type, const char *name);

/*
 * The object is to be there with this whole configuration and owner. Takes over `conf`, also on failure. 0 or -ENOMEM.
 */
int txn_put(struct txn *t, const struct schema_object *type, const char *name, const char *owner, void *conf, size_t index);
/* The object, which the view has, is to go. 0 or -ENOMEM. */
int txn_del(struct txn *t, const struct schema_object *type, const char *name, size_t index);

/*
 * Make all changes, or none. With `dry_run` nothing changes, whatever is returned; the plan is there. 0, or -errno with *err.
 */
int txn_run(struct txn *t, bool dry_run, struct txn_error *err);

/* --- its parts ------------------------------------------------------------------------------------------------------------- */

/* plan.c: drop what changes nothing and fill the plan. 0 or -ENOMEM. */
int plan_make(struct txn *t);
/* plan.c: the plan as operations that apply takes: additions whole, of a change what differs. NULL when out of memory. */
json_t *plan_json(const struct txn *t);
/* check.c: needs and claims in the state that results. 0, or -errno with *err. */
int txn_check(struct txn *t, struct txn_error *err);
struct change *txn_change(const struct txn *t, const struct schema_object *type, const char *name);

int txn_fail(struct txn_error *err, int code, size_t index, const char *name, const char *attr, const char *hint, const char *fmt,
	     ...) __attribute__((format(printf, 7, 8)));

#endif

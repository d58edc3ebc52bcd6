/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the objects of a transaction need and take, judged in the state that results: uses.h says what is kept for that. The cost is the
 * transaction's, whatever the node holds.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "txn.h"
#include "uses.h"

struct checking {
	struct txn *txn;
	struct txn_error *err;
	struct change *of;
	int ret;
};

/* --- needs ------------------------------------------------------------------------------------------------------------------ */

static void need_one(void *arg, const struct schema_use *use)
{
	struct checking *c = arg;

	if (use->kind != SCHEMA_NEEDS || c->ret < 0 || txn_view(c->txn, use->object, use->key))
		return;
	c->ret =
		txn_fail(c->err, -ENOENT, c->of->index, "not-found", use->attr,
			 txn_change(c->txn, use->object, use->key) ? "this apply deletes it" : "add it first, or in the same apply",
			 "%s %s: %s %s: there is none", c->of->type->name, c->of->name, use->object->name, use->key);
}

static void release_one(void *arg, const struct schema_use *use)
{
	struct checking *c = arg;
	struct change *needed = use->kind == SCHEMA_NEEDS ? txn_change(c->txn, use->object, use->key) : NULL;

	if (needed)
		needed->released++;
}

static int check_needs(struct checking *c)
{
	struct txn *t = c->txn;

	for (size_t i = 0; i < t->n && c->ret == 0; i++) {
		c->of = t->list[i];
		if (!c->of->type->uses)
			continue;
		if (c->of->after)
			c->of->type->uses(c->of->after->conf, need_one, c);
		if (c->of->before)
			c->of->type->uses(c->of->before->conf, release_one, c);
	}
	for (size_t i = 0; i < t->n && c->ret == 0; i++) {
		const struct change *gone = t->list[i];

		/* Whoever needs it and is changed has been asked above. */
		if (!gone->after && gone->before && gone->before->refs > gone->released)
			c->ret = txn_fail(c->err, -EBUSY, gone->index, "in-use", NULL,
					  "move or delete what needs it first, or in the same apply", "%s %s: in use by %u others",
					  gone->type->name, gone->name, gone->before->refs - gone->released);
	}
	return c->ret;
}

/* --- claims ----------------------------------------------------------------------------------------------------------------- */

static int taken(struct checking *c, const struct claim *k, const struct object *by)
{
	return txn_fail(c->err, -EEXIST, c->of->index, "in-use", k->attr, NULL, "%s %s: %s is taken by %s %s", c->of->type->name,
			c->of->name, k->key, by->type->name, by->name);
}

/* Whoever holds it in the store is not part of this transaction; who is has its new claims in `ours`. */
static int check_claim(struct checking *c, const struct claims *ours, const struct claim *k)
{
	const struct claim *held = claims_find(ours, k);

	if (!held) {
		held = claims_find(&c->txn->ctl->store.claims, k);
		if (held && txn_change(c->txn, held->holder->type, held->holder->name))
			held = NULL;
	}
	return held ? taken(c, k, held->holder) : 0;
}

static int check_claims(struct checking *c)
{
	struct txn *t = c->txn;
	struct claims ours = {0};

	for (size_t i = 0; i < t->n && c->ret == 0; i++) {
		c->of = t->list[i];
		if (!c->of->after)
			continue;
		if (claims_reserve(&ours, claims_count(c->of->after)) < 0)
			c->ret = txn_fail(c->err, -ENOMEM, TXN_NO_INDEX, "no-memory", NULL, NULL, "out of memory");
		for (const struct claim *k = c->of->after->claims; k && c->ret == 0; k = k->more)
			c->ret = check_claim(c, &ours, k);
		if (c->ret == 0)
			claims_link(&ours, c->of->after);
	}
	free(ours.buckets);
	return c->ret;
}

int txn_check(struct txn *t, struct txn_error *err)
{
	struct checking c = {.txn = t, .err = err};

	return check_needs(&c) < 0 ? c.ret : check_claims(&c);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/objects.h"
#include "txn.h"

/* Objects that the dataplane carries. Other engines (cgroups, classes) will be further tables beside this one. */
static const struct engine {
	const struct schema_object *type;
	enum dp_op_type op[3]; /* by step_kind */
} engines[] = {
	{&schema_vlan, {DP_VLAN_SET, DP_VLAN_SET, DP_VLAN_DEL}},
	{&schema_port, {DP_PORT_ADD, DP_PORT_SET, DP_PORT_DEL}},
};

static const struct engine *engine_find(const struct schema_object *type)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (engines[i].type == type)
			return &engines[i];
	return NULL;
}

bool txn_takes(const struct schema_object *type)
{
	return engine_find(type);
}

void txn_init(struct txn *t, struct ctl *ctl, const char *owner)
{
	*t = (struct txn){.ctl = ctl, .owner = owner};
}

void txn_free(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->steps[i].conf);
		object_free(t->steps[i].object);
	}
	/* The confs in here were the steps'. */
	for (size_t i = 0; i < t->touched.n_buckets; i++)
		for (struct object *o = t->touched.buckets[i]; o; o = o->next)
			o->conf = NULL;
	table_clear(&t->touched);
	free(t->steps);
	free(t->ops);
}

const struct object *txn_view(const struct txn *t, const struct schema_object *type, const char *name)
{
	const struct object *o = table_find(&t->touched, type, name);

	if (o)
		return o->conf ? o : NULL;
	return table_find(&t->ctl->store.objects, type, name);
}

/* Room for one more step and for what it touches. */
static int reserve(struct txn *t)
{
	size_t room = t->room ? t->room * 2 : 16;
	struct step *steps;
	struct dp_op *ops;

	if (table_reserve(&t->touched, 1) < 0)
		return -ENOMEM;
	if (t->n < t->room)
		return 0;
	steps = realloc(t->steps, room * sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	t->steps = steps;
	ops = realloc(t->ops, room * sizeof(*ops));
	if (!ops)
		return -ENOMEM;
	t->ops = ops;
	t->room = room;
	return 0;
}

/* Remember what a step leaves. The table has room. */
static int touch(struct txn *t, const struct step *step, const char *owner, void *conf)
{
	struct object *o = table_find(&t->touched, step->type, step->name);

	if (!o) {
		o = object_new(step->type, step->name, owner, NULL);
		if (!o)
			return -ENOMEM;
		table_insert(&t->touched, o);
	}
	o->conf = conf;
	snprintf(o->owner, sizeof(o->owner), "%s", owner);
	return 0;
}

static void set_op(struct dp_op *op, const struct step *step, const void *conf)
{
	op->type = engine_find(step->type)->op[step->kind];
	/* The dataplane's struct is the first member of each conf. */
	if (step->type == &schema_vlan)
		op->vlan = conf;
	else
		op->port = conf;
}

int txn_step(struct txn *t, enum step_kind kind, const struct schema_object *type, const char *name, void *conf, size_t index)
{
	const struct object *old = txn_view(t, type, name);
	/* A deletion names what it deletes by its configuration, which is an earlier step's or the store's: both outlast dp_apply(). */
	const void *for_op = kind == STEP_DEL ? old->conf : conf;
	char owner[STORE_NAME_MAX] = "";
	struct step *step;

	snprintf(owner, sizeof(owner), "%s", kind == STEP_ADD ? t->owner : old->owner);
	if (reserve(t) < 0)
		goto fail;
	step = &t->steps[t->n];
	*step = (struct step){.kind = kind, .type = type, .index = index};
	snprintf(step->name, sizeof(step->name), "%s", name);
	if (kind == STEP_ADD) {
		step->object = object_new(type, name, owner, conf);
		if (!step->object)
			goto fail;
	} else {
		step->conf = conf;
	}
	set_op(&t->ops[t->n], step, for_op);
	t->n++; /* from here on txn_free() frees conf */
	t->n_adds += kind == STEP_ADD;
	return touch(t, step, owner, conf);
fail:
	free(conf);
	return -ENOMEM;
}

static void commit_step(struct table *objects, struct step *step)
{
	struct object *o;

	switch (step->kind) {
	case STEP_ADD:
		table_insert(objects, step->object);
		step->object = NULL;
		break;
	case STEP_SET:
		o = table_find(objects, step->type, step->name);
		free(o->conf);
		o->conf = step->conf;
		step->conf = NULL;
		break;
	case STEP_DEL:
		object_free(table_remove(objects, step->type, step->name));
		break;
	}
}

int txn_run(struct txn *t, bool dry_run, struct dp_error *err)
{
	struct store *store = &t->ctl->store;
	int ret;

	if (!t->n)
		return 0;
	ret = table_reserve(&store->objects, t->n_adds);
	if (ret < 0)
		return ret;
	ret = dp_apply(t->ctl->dp, t->ops, t->n, dry_run, err);
	if (ret < 0 || dry_run)
		return ret;
	for (size_t i = 0; i < t->n; i++)
		commit_step(&store->objects, &t->steps[i]);
	store->generation++;
	return 0;
}

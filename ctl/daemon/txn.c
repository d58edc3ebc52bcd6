/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "json_memory.h"
#include "reconcile.h"
#include "state.h"
#include "txn.h"
#include "uses.h"

#define BUCKETS_MIN 16

int txn_fail(struct txn_error *err, int code, size_t index, const char *name, const char *attr, const char *hint, const char *fmt,
	     ...)
{
	va_list ap;

	err->index = index;
	err->fault.name = name;
	snprintf(err->fault.attr, sizeof(err->fault.attr), "%s", attr ? attr : "");
	snprintf(err->fault.hint, sizeof(err->fault.hint), "%s", hint ? hint : "");
	va_start(ap, fmt);
	vsnprintf(err->fault.msg, sizeof(err->fault.msg), fmt, ap);
	va_end(ap);
	return code;
}

static int no_memory(struct txn_error *err)
{
	return txn_fail(err, -ENOMEM, TXN_NO_INDEX, "no-memory", NULL, NULL, "out of memory");
}

/* --- collecting ------------------------------------------------------------------------------------------------------------- */

void txn_init(struct txn *t, struct ctl *ctl)
{
	*t = (struct txn){.ctl = ctl};
}

void txn_free(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		object_free(t->list[i]->after);
		free(t->list[i]);
	}
	follow_free(t);
	free(t->list);
	free(t->buckets);
	free(t->plan);
	free(t->ops);
	free(t->op_change);
	free(t->lacks);
}

struct change *txn_change(const struct txn *t, const struct schema_object *type, const char *name)
{
	uint32_t hash = object_hash(type, name);
	struct change *c = t->n_buckets ? t->buckets[hash & (t->n_buckets - 1)] : NULL;

	while (c && (c->hash != hash || c->type != type || strcmp(c->name, name) != 0))
		c = c->next;
	return c;
}

const struct object *txn_view(const struct txn *t, const struct schema_object *type, const char *name)
{
	const struct change *c = txn_change(t, type, name);

	return c ? c->after : table_find(&t->ctl->store.objects, type, name);
}

/* Room for one more change. */
static int reserve(struct txn *t)
{
	size_t room = t->room ? t->room * 2 : BUCKETS_MIN;
	struct change **list, **buckets;

	if (t->n < t->room)
		return 0;
	list = realloc(t->list, room * sizeof(struct change *));
	if (!list)
		return -ENOMEM;
	t->list = list;
	buckets = calloc(room, sizeof(struct change *));
	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		list[i]->next = buckets[list[i]->hash & (room - 1)];
		buckets[list[i]->hash & (room - 1)] = list[i];
	}
	free(t->buckets);
	t->buckets = buckets;
	t->n_buckets = t->room = room;
	return 0;
}

/* The object's change, made at its first touch. NULL when out of memory. */
static struct change *touch(struct txn *t, const struct schema_object *type, const char *name)
{
	struct change *c = txn_change(t, type, name);

	if (c)
		return c;
	if (reserve(t) < 0)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->type = type;
	c->hash = object_hash(type, name);
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->before = table_find(&t->ctl->store.objects, type, name);
	c->next = t->buckets[c->hash & (t->n_buckets - 1)];
	t->buckets[c->hash & (t->n_buckets - 1)] = c;
	t->list[t->n++] = c;
	return c;
}

int txn_put(struct txn *t, const struct schema_object *type, const char *name, const char *owner, void *conf, size_t index)
{
	bool there = txn_view(t, type, name) != NULL;
	struct object *o = object_new(type, name, owner, conf);
	struct change *c;

	if (!o) {
		free(conf);
		return -ENOMEM;
	}
	c = claims_make(o) == 0 ? touch(t, type, name) : NULL;
	if (!c) {
		object_free(o);
		return -ENOMEM;
	}
	c->anew |= c->before && !there;
	object_free(c->after);
	c->after = o;
	c->index = index;
	return 0;
}

int txn_del(struct txn *t, const struct schema_object *type, const char *name, size_t index)
{
	struct change *c = touch(t, type, name);

	if (!c)
		return -ENOMEM;
	object_free(c->after);
	c->after = NULL;
	c->index = index;
	return 0;
}

/* --- to the engines --------------------------------------------------------------------------------------------------------- */

static void add_op(struct txn *t, struct change *c, enum engine_op_kind kind, unsigned engine)
{
	t->op_change[t->n_ops] = c;
	t->ops[t->n_ops] = (struct engine_op){
		.kind = kind,
		.engine = engine,
		.type = c->type,
		.name = c->name,
		.before = c->before ? c->before->conf : NULL,
		.conf = kind == ENGINE_DEL ? NULL : c->after->conf,
		.lack = kind == ENGINE_ADD ? &t->lacks[t->n_ops] : NULL,
	};
	t->n_ops++;
}

/* What one entry of the plan is to the engines, by what they have in force and what they are to carry. */
static void add_ops(struct txn *t, const struct planned *p)
{
	struct change *c = p->change;
	unsigned had = c->before && (p->kind == CTL_DEL || !c->anew) ? c->before->made : 0, shall = 0;

	if (p->kind != CTL_DEL)
		shall = engines_carrying(&t->ctl->engines, c->type, c->after->conf);
	for (unsigned e = 0; e < t->ctl->engines.n; e++) {
		bool old = had >> e & 1, new = shall >> e & 1;

		if (old || new)
			add_op(t, c, !old ? ENGINE_ADD : new ? ENGINE_SET : ENGINE_DEL, e);
	}
}

/* What follows from a change, to the engines that have the follower in force. One that is not in force is made so with what it has then. */
static void add_follower_ops(struct txn *t, const struct follower *f)
{
	for (unsigned e = 0; e < t->ctl->engines.n; e++) {
		if (!(f->object->made >> e & 1))
			continue;
		t->ops[t->n_ops++] = (struct engine_op){
			.kind = ENGINE_SET,
			.engine = e,
			.type = f->object->type,
			.name = f->object->name,
			.before = f->object->conf,
			.conf = f->conf,
		};
	}
}

/* The operations, and with them the memory of every fault that may be found. */
static int make_ops(struct txn *t)
{
	size_t room = (t->n_plan + t->n_followers) * t->ctl->engines.n;

	t->ops = calloc(room + 1, sizeof(t->ops[0]));
	t->op_change = calloc(room + 1, sizeof(t->op_change[0]));
	t->lacks = calloc(room + 1, sizeof(t->lacks[0]));
	if (!t->ops || !t->op_change || !t->lacks)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_plan; i++)
		add_ops(t, &t->plan[i]);
	for (size_t i = 0; i < t->n_followers; i++)
		add_follower_ops(t, &t->followers[i]);
	for (size_t i = 0; i < t->n_ops; i++) {
		const struct change *c = t->op_change[i];
		struct object *after = c ? c->after : NULL;

		if (t->ops[i].kind != ENGINE_ADD || !after || after->fault)
			continue;
		after->fault = calloc(1, sizeof(*after->fault));
		if (!after->fault)
			return -ENOMEM;
	}
	return 0;
}

static int fail_engine(struct txn *t, int ret, const struct engine_error *bad, struct txn_error *err)
{
	const struct change *c = bad->op < t->n_ops ? t->op_change[bad->op] : NULL;

	err->index = c ? c->index : TXN_NO_INDEX;
	err->fault = bad->fault;
	return ret;
}

/* --- to disk ---------------------------------------------------------------------------------------------------------------- */

static int write_object(struct state *state, const struct object *o, uint64_t generation)
{
	json_t *attrs = schema_encode_given(o->type, o->conf);
	char *text = json_text(attrs, JSON_COMPACT);
	struct state_row row = {o->type->name, o->name, o->owner, generation, text};
	int ret = text ? state_put(state, &row) : -ENOMEM;

	json_decref(attrs);
	free(text);
	return ret;
}

static int write_change(struct state *state, const struct change *c, uint64_t generation)
{
	if (c->after)
		return write_object(state, c->after, generation);
	return state_del(state, &(struct state_row){.object = c->type->name, .name = c->name});
}

/* The file is of an earlier version, and so is what it says of objects that this transaction does not touch. */
static int write_anew(struct txn *t)
{
	const struct table *objects = &t->ctl->store.objects;
	int ret = 0;

	for (size_t i = 0; i < objects->n_buckets; i++)
		for (const struct object *o = objects->buckets[i]; o && ret == 0; o = o->next)
			/* What nobody has changed yet is in no file. */
			ret = o->generation ? write_object(t->ctl->state, o, o->generation) : 0;
	return ret < 0 ? ret : state_upgrade(t->ctl->state);
}

static int write_all(struct txn *t, uint64_t generation, struct txn_error *err)
{
	struct state *state = t->ctl->state;
	int ret;

	if (!state)
		return 0;
	ret = state_begin(state);
	if (ret == 0 && state_version(state) < STATE_VERSION)
		ret = write_anew(t);
	for (size_t i = 0; ret == 0 && i < t->n; i++)
		ret = write_change(state, t->list[i], generation);
	if (ret == 0)
		ret = state_commit(state, generation);
	if (ret == 0)
		return 0;
	state_rollback(state);
	if (ret == -ENOMEM)
		return no_memory(err);
	return txn_fail(err, ret, TXN_NO_INDEX, ret == -ENOSPC ? "disk-full" : "disk", NULL,
			ret == -ENOSPC ? "make room on the file system of the state file" : "see the daemon's log", "%s",
			state_why(state));
}

/* --- commit ----------------------------------------------------------------------------------------------------------------- */

static int reserve_store(struct txn *t)
{
	size_t objects = 0, claims = 0;

	for (size_t i = 0; i < t->n; i++) {
		objects += !t->list[i]->before;
		claims += t->list[i]->after ? claims_count(t->list[i]->after) : 0;
	}
	return table_reserve(&t->ctl->store.objects, objects) < 0 ? -ENOMEM : claims_reserve(&t->ctl->store.claims, claims);
}

/* What the engines have of it now. An ADD that lacked something leaves its fault. */
static void take_results(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct change *c = t->list[i];

		if (c->after)
			c->after->made = c->before && !c->anew ? c->before->made : 0;
	}
	for (size_t i = 0; i < t->n_ops; i++) {
		const struct change *c = t->op_change[i];
		struct object *after = c ? c->after : NULL;
		const struct engine_op *op = &t->ops[i];

		if (!after || (op->kind == ENGINE_DEL && c->anew))
			continue;
		if (op->kind == ENGINE_DEL)
			after->made &= ~(1u << op->engine);
		else if (op->kind == ENGINE_ADD && op->lack->name)
			*after->fault = *op->lack;
		else
			after->made |= 1u << op->engine;
	}
}

static void unlink_before(struct store *s, struct change *c)
{
	if (!c->before)
		return;
	c->was_pending = c->before->pending_link != NULL;
	if (c->after) {
		c->after->refs = c->before->refs;
		/* What was not in force goes on not being so, since when it was not; a new fault replaces the old. */
		c->after->since = c->was_pending && !c->anew ? c->before->since : 0;
	}
	store_settle(s, c->before);
	claims_unlink(&s->claims, c->before);
	table_remove(&s->objects, c->type, c->name);
}

static void link_after(struct ctl *ctl, struct change *c)
{
	struct object *o = c->after;

	if (!o)
		return;
	o->generation = ctl->store.generation;
	table_insert(&ctl->store.objects, o);
	claims_link(&ctl->store.claims, o);
	if (o->made != engines_carrying(&ctl->engines, o->type, o->conf)) {
		store_pend(&ctl->store, o, o->since ? o->since : o->generation);
		reconcile_schedule(ctl, o, c->anew);
	} else {
		free(o->fault);
		o->fault = NULL;
	}
}

static void commit_store(struct txn *t, uint64_t generation)
{
	struct store *s = &t->ctl->store;

	s->generation = generation;
	follow_commit(t);
	/* Needs are counted while the objects needed are in the table: the old ones, then the new. */
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i]->before)
			refs_count(&s->objects, t->list[i]->type, t->list[i]->before->conf, -1);
	for (size_t i = 0; i < t->n; i++)
		unlink_before(s, t->list[i]);
	for (size_t i = 0; i < t->n; i++)
		link_after(t->ctl, t->list[i]);
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i]->after)
			refs_count(&s->objects, t->list[i]->type, t->list[i]->after->conf, 1);
}

static void tell(struct txn *t)
{
	struct ctl_event base = {.generation = t->ctl->store.generation, .applied = store_applied(&t->ctl->store)};

	for (size_t i = 0; i < t->n_plan; i++) {
		const struct change *c = t->plan[i].change;
		struct ctl_event ev = base;

		ev.type = CTL_OBJECT;
		ev.change = t->plan[i].kind;
		ev.object = c->type;
		ev.name = c->name;
		ev.owner = ev.change == CTL_DEL ? c->before->owner : c->after->owner;
		ev.before = ev.change == CTL_ADD ? NULL : c->before->conf;
		ev.after = ev.change == CTL_DEL ? NULL : c->after->conf;
		ctl_notify(t->ctl, &ev);
		/* A change that brings a pending object into force, and one that leaves one out. */
		ev.type = CTL_APPLIED;
		ev.fault = ev.change == CTL_DEL ? NULL : c->after->fault;
		if (ev.fault && ev.fault->name)
			ev.type = CTL_ERROR;
		else if (ev.change == CTL_DEL || !c->was_pending || c->after->pending_link)
			continue;
		ctl_notify(t->ctl, &ev);
	}
	base.type = CTL_GENERATION;
	ctl_notify(t->ctl, &base);
}

/* The store has what was ours, and we what was its. */
static void hand_over(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		object_free(t->list[i]->before);
		t->list[i]->before = t->list[i]->after = NULL;
	}
}

static int prepare(struct txn *t, bool dry_run, struct engines_change *change, struct txn_error *err)
{
	const struct engines *engines = &t->ctl->engines;
	struct engine_error bad;
	int ret;

	if (follow_collect(t) < 0 || make_ops(t) < 0 || reserve_store(t) < 0)
		return no_memory(err);
	ret = dry_run ? engines_check(engines, t->ops, t->n_ops, &bad) : engines_prepare(change, engines, t->ops, t->n_ops, &bad);
	return ret < 0 ? fail_engine(t, ret, &bad, err) : 0;
}

int txn_run(struct txn *t, bool dry_run, struct txn_error *err)
{
	uint64_t generation = t->ctl->store.generation + 1;
	struct engines_change change;
	int ret;

	err->index = TXN_NO_INDEX;
	follow_settle(t);
	if (plan_make(t) < 0)
		return no_memory(err);
	if (!t->n_plan)
		return 0;
	ret = txn_check(t, err);
	if (ret == 0)
		ret = prepare(t, dry_run, &change, err);
	if (ret < 0 || dry_run)
		return ret;
	ret = write_all(t, generation, err);
	if (ret < 0) {
		engines_abort(&change);
		return ret;
	}
	engines_commit(&change);
	take_results(t);
	commit_store(t, generation);
	tell(t);
	hand_over(t);
	ctl_rearm(t->ctl);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "log.h"
#include "reconcile.h"

/* One try: the objects that are due, and one operation for each engine that lacks one. */
struct
try {
	struct ctl *ctl;
	struct object **objects;
	size_t n;
	struct engine_op *ops;
	struct object **op_object;
	struct fault *lacks; /* `room` of them */
	size_t n_ops, room;
};

void reconcile_schedule(struct ctl *ctl, struct object *o, bool soon)
{
	o->delay_us = RECONCILE_MIN_US;
	o->retry_us = ctl_now_us() + (soon ? 0 : RECONCILE_MIN_US);
}

void reconcile_lost(struct ctl *ctl, struct object *o)
{
	o->made = 0;
	store_pend(&ctl->store, o, 0);
	reconcile_schedule(ctl, o, true);
	ctl_rearm(ctl);
}

void reconcile_hint(struct ctl *ctl)
{
	uint64_t now_us = ctl_now_us(), soon = now_us + RECONCILE_HINT_US;

	for (struct object *o = ctl->store.pending; o; o = o->pending_next)
		if (o->retry_us > soon && o->deaf_until_us <= now_us)
			o->retry_us = soon;
	ctl_rearm(ctl);
}

uint64_t reconcile_due(const struct ctl *ctl)
{
	uint64_t due = UINT64_MAX;

	for (const struct object *o = ctl->store.pending; o; o = o->pending_next)
		if (o->retry_us < due)
			due = o->retry_us;
	return due;
}

/* --- results ---------------------------------------------------------------------------------------------------------------- */

static void tell(struct ctl *ctl, enum ctl_event_type type, const struct object *o)
{
	struct ctl_event ev = {
		.type = type,
		.generation = ctl->store.generation,
		.applied = store_applied(&ctl->store),
	};

	if (o) {
		ev.object = o->type;
		ev.name = o->name;
		ev.owner = o->owner;
		ev.after = o->conf;
		ev.fault = o->fault;
	}
	ctl_notify(ctl, &ev);
}

static bool same_fault(const struct fault *a, const struct fault *b)
{
	return a && a->name && !strcmp(a->name, b->name) && !strcmp(a->msg, b->msg);
}

static void wait_longer(struct object *o, uint64_t now_us)
{
	o->delay_us = o->delay_us ? o->delay_us * 2 : RECONCILE_MIN_US;
	if (o->delay_us > RECONCILE_MAX_US)
		o->delay_us = RECONCILE_MAX_US;
	o->retry_us = now_us + o->delay_us;
}

/* It cannot be made now. Without memory to remember why, the old reason stays. */
static void take_fault(struct ctl *ctl, struct object *o, const struct fault *fault)
{
	bool news = !same_fault(o->fault, fault);

	if (!o->fault)
		o->fault = calloc(1, sizeof(*o->fault));
	if (!o->fault)
		return;
	*o->fault = *fault;
	if (!news)
		return;
	log_printf(LOG_WARNING, "%s %s: not in force: %s: %s", o->type->name, o->name, fault->name, fault->msg);
	tell(ctl, CTL_ERROR, o);
}

static void take_made(struct ctl *ctl, struct object *o)
{
	bool had_fault = o->fault && o->fault->name;

	if (o->made != engines_carrying(&ctl->engines, o->type, o->conf))
		return;
	store_settle(&ctl->store, o);
	if (had_fault)
		log_printf(LOG_NOTICE, "%s %s: in force", o->type->name, o->name);
	tell(ctl, CTL_APPLIED, o);
}

/* --- trying ----------------------------------------------------------------------------------------------------------------- */

static void try_free(struct try *t)
{
	free(t->objects);
	free(t->ops);
	free(t->op_object);
	free(t->lacks);
}

static int rank(const struct schema_object *type)
{
	int i = 0;

	while (schema_objects[i] && schema_objects[i] != type)
		i++;
	return i;
}

/* What others need comes first; and what was first, so that two who want one thing get it in that order. */
static int by_need(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	if (x->type != y->type)
		return rank(x->type) - rank(y->type);
	return x->generation < y->generation ? -1 : x->generation > y->generation;
}

static int collect_due(struct try *t, uint64_t now_us)
{
	t->objects = malloc((t->ctl->store.n_pending + 1) * sizeof(struct object *));
	if (!t->objects)
		return -ENOMEM;
	for (struct object *o = t->ctl->store.pending; o; o = o->pending_next)
		if (o->retry_us <= now_us)
			t->objects[t->n++] = o;
	qsort(t->objects, t->n, sizeof(t->objects[0]), by_need);
	return 0;
}

static int make_ops(struct try *t)
{
	const struct engines *engines = &t->ctl->engines;

	t->room = t->n * engines->n + 1;
	t->ops = calloc(t->room, sizeof(t->ops[0]));
	t->op_object = calloc(t->room, sizeof(t->op_object[0]));
	t->lacks = calloc(t->room, sizeof(t->lacks[0]));
	if (!t->ops || !t->op_object || !t->lacks)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		struct object *o = t->objects[i];
		unsigned missing = engines_carrying(engines, o->type, o->conf) & ~o->made;

		for (unsigned e = 0; e < engines->n; e++) {
			if (!(missing >> e & 1))
				continue;
			t->op_object[t->n_ops] = o;
			t->ops[t->n_ops] = (struct engine_op){.kind = ENGINE_ADD,
							      .engine = e,
							      .type = o->type,
							      .name = o->name,
							      .conf = o->conf,
							      .lack = &t->lacks[t->n_ops]};
			t->n_ops++;
		}
	}
	return 0;
}

/* Leave out every operation on the object that operation `at` is on. */
static void leave_out(struct try *t, size_t at)
{
	const struct object *o = t->op_object[at];
	size_t n = 0;

	for (size_t i = 0; i < t->n_ops; i++) {
		if (t->op_object[i] == o)
			continue;
		t->op_object[n] = t->op_object[i];
		t->ops[n++] = t->ops[i];
	}
	t->n_ops = n;
}

/*
 * Ask the engines until they refuse nothing, each refusal costing one object. Refusals are found by checking, which opens nothing; what
 * only preparing finds comes one by one too, but is rare. 0 with the change prepared, 1 when nothing is left, -errno.
 */
static int prepare(struct try *t, struct engines_change *change)
{
	struct engine_error bad;
	bool checked = false;

	while (t->n_ops) {
		int ret;

		memset(t->lacks, 0, t->room * sizeof(t->lacks[0]));
		ret = checked ? engines_prepare(change, &t->ctl->engines, t->ops, t->n_ops, &bad)
			      : engines_check(&t->ctl->engines, t->ops, t->n_ops, &bad);

		if (ret == 0 && checked)
			return 0;
		if (ret == 0) {
			checked = true;
			continue;
		}
		/* Nobody in particular: all wait. */
		if (bad.op >= t->n_ops) {
			for (size_t i = 0; i < t->n_ops; i++)
				take_fault(t->ctl, t->op_object[i], &bad.fault);
			return ret;
		}
		take_fault(t->ctl, t->op_object[bad.op], &bad.fault);
		leave_out(t, bad.op);
	}
	return 1;
}

static bool all_lack(const struct try *t)
{
	for (size_t i = 0; i < t->n_ops; i++)
		if (!t->ops[i].lack->name)
			return false;
	return true;
}

static void finish(struct try *t, struct engines_change *change)
{
	/* Nothing to publish: spare the workers a grace period. */
	if (all_lack(t))
		engines_abort(change);
	else
		engines_commit(change);
	for (size_t i = 0; i < t->n_ops; i++)
		if (!t->ops[i].lack->name)
			t->op_object[i]->made |= 1u << t->ops[i].engine;
	for (size_t i = 0; i < t->n_ops; i++) {
		const struct fault *lack = t->ops[i].lack;
		bool more = i + 1 < t->n_ops && t->op_object[i + 1] == t->op_object[i] && t->ops[i + 1].lack->name;

		/* One of several, or each try would have them take turns as the news. */
		if (lack->name && !more)
			take_fault(t->ctl, t->op_object[i], lack);
	}
}

/* A try that failed for this has made nothing, because what it was to be made on, or by what name, is not to be had. */
static bool made_nothing(const struct fault *fault)
{
	static const char *const names[] = {"no-such-namespace", "no-such-device", "in-use", "exists"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], fault->name))
			return true;
	return false;
}

static void after_try(struct ctl *ctl, struct object *o)
{
	take_made(ctl, o);
	if (o->pending_link && o->fault && !made_nothing(o->fault))
		o->deaf_until_us = ctl_now_us() + RECONCILE_DEAF_US;
}

void reconcile_run(struct ctl *ctl, uint64_t now_us)
{
	uint64_t applied = store_applied(&ctl->store);
	struct try t = {.ctl = ctl};
	struct engines_change change;

	if (!ctl->store.pending)
		return;
	if (collect_due(&t, now_us) < 0) {
		/* All of them, or the timer would fire without end. */
		for (struct object *o = ctl->store.pending; o; o = o->pending_next)
			wait_longer(o, now_us);
		return;
	}
	for (size_t i = 0; i < t.n; i++)
		wait_longer(t.objects[i], now_us);
	if (t.n && make_ops(&t) == 0 && prepare(&t, &change) == 0)
		finish(&t, &change);
	for (size_t i = 0; i < t.n; i++)
		after_try(ctl, t.objects[i]);
	try_free(&t);
	if (store_applied(&ctl->store) != applied)
		tell(ctl, CTL_GENERATION, NULL);
}

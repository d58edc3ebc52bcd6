/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "methods.h"
#include "wait.h"

#define TIMEOUT_DEFAULT_MS 10000
#define NAMES_SHOWN	   3

struct wait {
	struct rpc_hold hold; /* first: a hold is its wait */
	struct wait *next, **link;
	struct ctl *ctl;
	uint64_t generation, due_us;
};

static void wait_free(struct wait *w)
{
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	free(w);
}

static void on_gone(struct rpc_hold *hold)
{
	wait_free((struct wait *)hold);
}

static json_t *result(const struct ctl *ctl)
{
	return json_pack("{s:I, s:I}", "generation", (json_int_t)ctl->store.generation, "applied",
			 (json_int_t)store_applied(&ctl->store));
}

/* --- time is up --------------------------------------------------------------------------------------------------------------- */

static int by_since(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	if (x->since != y->since)
		return x->since < y->since ? -1 : 1;
	return object_compare(x->type, x->name, y->type, y->name);
}

/* "port vm1 (no-such-device), port vm2 (no-such-path) and 5 more": those that hold up this generation. */
static void name_pending(const struct ctl *ctl, uint64_t generation, char *out, size_t size)
{
	struct object **list = malloc((ctl->store.n_pending + 1) * sizeof(struct object *));
	size_t n = 0, at = 0;

	out[0] = '\0';
	if (!list)
		return;
	for (struct object *o = ctl->store.pending; o; o = o->pending_next)
		if (o->since <= generation)
			list[n++] = o;
	qsort(list, n, sizeof(struct object *), by_since);
	for (size_t i = 0; i < n && i < NAMES_SHOWN && at < size; i++)
		at += snprintf(out + at, size - at, "%s%s %s (%s)", i ? ", " : "", list[i]->type->name, list[i]->name,
			       list[i]->fault && list[i]->fault->name ? list[i]->fault->name : "not tried yet");
	if (n > NAMES_SHOWN && at < size)
		snprintf(out + at, size - at, " and %zu more", n - NAMES_SHOWN);
	free(list);
}

static void time_out(struct wait *w)
{
	struct rpc_error err = {0};
	char names[256];

	name_pending(w->ctl, w->generation, names, sizeof(names));
	if (w->generation > w->ctl->store.generation)
		rpc_fail(&err, RPC_REFUSED, "timeout", "generation", NULL,
			 "generation %llu: the configuration is at generation %llu", (unsigned long long)w->generation,
			 (unsigned long long)w->ctl->store.generation);
	else
		rpc_fail(&err, RPC_REFUSED, "timeout", "", "`get` shows the error of each", "generation %llu is not applied: %s",
			 (unsigned long long)w->generation, names);
	rpc_answer(&w->hold, NULL, &err);
	wait_free(w);
}

/* --- in force --------------------------------------------------------------------------------------------------------------- */

static void on_event(struct ctl_listener *l, const struct ctl_event *ev)
{
	struct ctl *ctl = (struct ctl *)((char *)l - offsetof(struct ctl, waits.listener));

	if (ev->type != CTL_GENERATION)
		return;
	for (struct wait *w = ctl->waits.list, *next; w; w = next) {
		next = w->next;
		if (w->generation > ev->applied)
			continue;
		rpc_answer(&w->hold, result(ctl), NULL);
		wait_free(w);
	}
}

uint64_t wait_due(const struct ctl *ctl)
{
	uint64_t due = UINT64_MAX;

	for (const struct wait *w = ctl->waits.list; w; w = w->next)
		if (w->due_us < due)
			due = w->due_us;
	return due;
}

void wait_run(struct ctl *ctl, uint64_t now_us)
{
	for (struct wait *w = ctl->waits.list, *next; w; w = next) {
		next = w->next;
		if (w->due_us <= now_us)
			time_out(w);
	}
}

void wait_fini(struct ctl *ctl)
{
	for (struct wait *w = ctl->waits.list, *next; w; w = next) {
		next = w->next;
		rpc_release(&w->hold);
		wait_free(w);
	}
}

json_t *wait_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	struct ctl *ctl = s->ctl;
	uint64_t generation = param_int(params, "generation", ctl->store.generation);
	struct wait *w;

	if (store_applied(&ctl->store) >= generation)
		return result(ctl);
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	if (rpc_defer(s, &w->hold, on_gone, err) < 0) {
		free(w);
		return NULL;
	}
	/* With the first: a daemon that nobody waits for does not listen. */
	if (!ctl->waits.listener.tell) {
		ctl->waits.listener.tell = on_event;
		ctl_listen(ctl, &ctl->waits.listener);
	}
	w->ctl = ctl;
	w->generation = generation;
	w->due_us = ctl_now_us() + param_int(params, "timeout_ms", TIMEOUT_DEFAULT_MS) * 1000;
	w->next = ctl->waits.list;
	w->link = &ctl->waits.list;
	if (w->next)
		w->next->link = &w->next;
	ctl->waits.list = w;
	ctl_rearm(ctl);
	return rpc_deferred(err);
}

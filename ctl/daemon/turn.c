/* SPDX-License-Identifier: Apache-2.0 */

#include <stddef.h>

#include "turn.h"

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void turn_init(const struct turns *ts, struct turn *t, uint64_t due_ns)
{
	*t = (struct turn){.due_ns = later(due_ns, ts->now_ns)};
}

void turn_want(struct turns *ts, struct turn *t, uint64_t guess_ns)
{
	t->guess_ns = guess_ns;
	if (t->waiting)
		return;
	/* Time that he did not use is not saved up. */
	t->due_ns = later(t->due_ns, ts->now_ns);
	t->seq = ts->seq++;
	t->waiting = true;
	t->next = ts->first;
	ts->first = t;
}

static bool before(const struct turn *a, const struct turn *b)
{
	uint64_t x = a->due_ns + a->guess_ns, y = b->due_ns + b->guess_ns;

	return x != y ? x < y : a->seq < b->seq;
}

static void unlink_turn(struct turns *ts, struct turn *t)
{
	struct turn **link = &ts->first;

	while (*link && *link != t)
		link = &(*link)->next;
	if (*link)
		*link = t->next;
	t->waiting = false;
}

struct turn *turn_next(struct turns *ts)
{
	struct turn *best = ts->first;

	for (struct turn *t = best; t; t = t->next)
		if (before(t, best))
			best = t;
	if (!best)
		return NULL;
	unlink_turn(ts, best);
	ts->now_ns = later(ts->now_ns, best->due_ns);
	return best;
}

void turn_charge(struct turn *t, uint64_t took_ns)
{
	t->due_ns += took_ns;
}

uint64_t turn_leave(struct turns *ts, struct turn *t)
{
	if (t->waiting)
		unlink_turn(ts, t);
	return t->due_ns > ts->now_ns ? t->due_ns - ts->now_ns : 0;
}

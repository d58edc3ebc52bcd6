/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

unsigned engines_carrying(const struct engines *e, const struct schema_object *type, const void *conf)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < e->n; i++)
		if (e->at[i].type->carries(type, conf))
			mask |= 1u << i;
	return mask;
}

static void free_parts(struct engines_change *c)
{
	for (unsigned i = 0; i < ENGINES_MAX; i++) {
		free(c->part[i].ops);
		free(c->part[i].index);
	}
}

/* Copy to each engine's part what is for it. */
static int divide(struct engines_change *c, const struct engine_op *ops, size_t n)
{
	for (unsigned i = 0; i < c->engines->n; i++) {
		struct engines_part *part = &c->part[i];

		part->ops = malloc((n + 1) * sizeof(part->ops[0]));
		part->index = malloc((n + 1) * sizeof(part->index[0]));
		if (!part->ops || !part->index)
			return -ENOMEM;
		for (size_t k = 0; k < n; k++) {
			if (ops[k].engine != i)
				continue;
			part->ops[part->n] = ops[k];
			part->index[part->n++] = k;
		}
	}
	return 0;
}

static int run_part(const struct engine *e, struct engines_part *part, bool check_only, struct engine_error *err)
{
	int ret;

	if (!part->n)
		return 0;
	err->op = SIZE_MAX;
	ret = check_only ? e->type->check(e->self, part->ops, part->n, err)
			 : e->type->prepare(e->self, part->ops, part->n, &part->change, err);
	part->prepared = ret == 0 && !check_only;
	if (ret < 0)
		err->op = err->op < part->n ? part->index[err->op] : SIZE_MAX;
	return ret;
}

static int run_parts(struct engines_change *c, const struct engines *e, const struct engine_op *ops, size_t n, bool check_only,
		     struct engine_error *err)
{
	int ret;

	*c = (struct engines_change){.engines = e};
	*err = (struct engine_error){.op = SIZE_MAX};
	ret = divide(c, ops, n);
	for (unsigned i = 0; ret == 0 && i < e->n; i++)
		ret = run_part(&e->at[i], &c->part[i], check_only, err);
	if (ret < 0 && !err->fault.name) {
		err->fault.name = ret == -ENOMEM ? "no-memory" : "failed";
		snprintf(err->fault.msg, sizeof(err->fault.msg), "%s", ret == -ENOMEM ? "out of memory" : strerror(-ret));
	}
	return ret;
}

int engines_check(const struct engines *e, const struct engine_op *ops, size_t n, struct engine_error *err)
{
	struct engines_change c;
	int ret = run_parts(&c, e, ops, n, true, err);

	free_parts(&c);
	return ret;
}

int engines_prepare(struct engines_change *c, const struct engines *e, const struct engine_op *ops, size_t n,
		    struct engine_error *err)
{
	int ret = run_parts(c, e, ops, n, false, err);

	if (ret < 0)
		engines_abort(c);
	return ret;
}

void engines_commit(struct engines_change *c)
{
	for (unsigned i = 0; i < c->engines->n; i++)
		if (c->part[i].prepared)
			c->engines->at[i].type->commit(c->engines->at[i].self, c->part[i].change);
	free_parts(c);
}

void engines_abort(struct engines_change *c)
{
	for (unsigned i = c->engines->n; i-- > 0;)
		if (c->part[i].prepared)
			c->engines->at[i].type->abort(c->engines->at[i].self, c->part[i].change);
	free_parts(c);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The DPDK switch as an engine. Its structs are the first members of the objects' (schema/objects.h), so an operation is handed over as a
 * pointer and not translated.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "schema/objects.h"

static const struct {
	const struct schema_object *type;
	enum dp_op_type op[3]; /* by engine_op_kind */
} rows[] = {
	{&schema_vlan, {DP_VLAN_SET, DP_VLAN_SET, DP_VLAN_DEL}},
	{&schema_port, {DP_PORT_ADD, DP_PORT_SET, DP_PORT_DEL}},
};

struct prepared {
	struct dp_op *ops;
	struct dp_error *lacks; /* one for each operation */
	struct dp_change *change;
};

static int row_of(const struct schema_object *type)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].type == type)
			return i;
	return -1;
}

/* Every port, until a kind is another engine's; and the VLANs of all. */
static bool carries(const struct schema_object *type, const void *conf)
{
	return row_of(type) >= 0;
}

static void fill_op(struct dp_op *to, const struct engine_op *op, struct dp_error *lack)
{
	const void *conf = op->kind == ENGINE_DEL ? op->before : op->conf;

	to->type = rows[row_of(op->type)].op[op->kind];
	to->lack = op->kind == ENGINE_ADD ? lack : NULL;
	if (op->type == &schema_vlan)
		to->vlan = conf;
	else
		to->port = conf;
}

static void fault_of(struct fault *to, const struct dp_error *from, int ret)
{
	to->name = from->name ? from->name : ret == -ENOMEM ? "no-memory" : "failed";
	snprintf(to->attr, sizeof(to->attr), "%s", from->attr);
	snprintf(to->msg, sizeof(to->msg), "%s", from->name ? from->msg : strerror(-ret));
	snprintf(to->hint, sizeof(to->hint), "%s", from->hint);
}

static void prepared_free(struct prepared *p)
{
	free(p->ops);
	free(p->lacks);
	free(p);
}

static struct prepared *prepared_new(const struct engine_op *ops, size_t n)
{
	struct prepared *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->ops = calloc(n, sizeof(p->ops[0]));
	p->lacks = calloc(n, sizeof(p->lacks[0]));
	if (!p->ops || !p->lacks) {
		prepared_free(p);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		fill_op(&p->ops[i], &ops[i], &p->lacks[i]);
	return p;
}

/* `change` NULL: a dry run. */
static int run(struct dp *dp, const struct engine_op *ops, size_t n, struct prepared **prepared, struct engine_error *err)
{
	struct dp_error bad = {.op = SIZE_MAX};
	struct prepared *p = prepared_new(ops, n);
	int ret;

	if (!p)
		return -ENOMEM;
	ret = prepared ? dp_prepare(dp, p->ops, n, &p->change, &bad) : dp_apply(dp, p->ops, n, true, &bad);
	for (size_t i = 0; ret == 0 && prepared && i < n; i++)
		if (ops[i].lack && p->lacks[i].name)
			fault_of(ops[i].lack, &p->lacks[i], -ENODEV);
	if (ret < 0) {
		err->op = bad.op;
		fault_of(&err->fault, &bad, ret);
	}
	if (ret == 0 && prepared)
		*prepared = p;
	else
		prepared_free(p);
	return ret;
}

static int check(void *self, const struct engine_op *ops, size_t n, struct engine_error *err)
{
	return run(self, ops, n, NULL, err);
}

static int prepare(void *self, struct engine_op *ops, size_t n, void **change, struct engine_error *err)
{
	struct prepared *p = NULL;
	int ret = run(self, ops, n, &p, err);

	*change = p;
	return ret;
}

static void commit(void *self, void *change)
{
	struct prepared *p = change;

	dp_commit(p->change);
	prepared_free(p);
}

static void abort_change(void *self, void *change)
{
	struct prepared *p = change;

	dp_abort(p->change);
	prepared_free(p);
}

const struct engine_type dataplane_engine = {
	.name = "dataplane",
	.carries = carries,
	.check = check,
	.prepare = prepare,
	.commit = commit,
	.abort = abort_change,
};

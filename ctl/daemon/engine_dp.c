/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The DPDK switch as an engine. Its structs are the first members of the objects' (schema/objects.h), so an operation is handed over as a
 * pointer and not translated; but for the trunk's, which is told on what netdev it is (kernel.h).
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "kernel.h"
#include "schema/objects.h"

static const struct {
	const struct schema_object *type;
	enum dp_op_type op[3]; /* by engine_op_kind */
} rows[] = {
	{&schema_vlan, {DP_VLAN_SET, DP_VLAN_SET, DP_VLAN_DEL}},
	{&schema_port, {DP_PORT_ADD, DP_PORT_SET, DP_PORT_DEL}},
};

struct prepared {
	const char *trunk; /* name of the port that containers are behind; NULL: there is none */
	struct dp_op *ops;
	size_t *index;		/* of each in the caller's list */
	struct dp_mac *macs;	/* what those about addresses point to */
	struct dp_error *lacks; /* one for each of the caller's */
	struct dp_port_conf *trunks;
	size_t n_trunks;
	size_t n;
	struct dp_change *change;
};

static int row_of(const struct schema_object *type)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].type == type)
			return i;
	return -1;
}

static bool is_veth(const struct schema_object *type, const void *conf)
{
	return type == &schema_port && kernel_is_veth(conf);
}

/* The VLANs of all; every port but containers, and of those the addresses. */
static bool carries(const struct schema_object *type, const void *conf)
{
	return row_of(type) >= 0;
}

/* As it will be, or as it was when it goes. */
static const void *conf_of(const struct engine_op *op)
{
	return op->kind == ENGINE_DEL ? op->before : op->conf;
}

static void add_op(const struct ctl *ctl, struct prepared *p, const struct engine_op *op, size_t index)
{
	struct dp_op *to = &p->ops[p->n];
	const void *conf = conf_of(op);

	to->type = rows[row_of(op->type)].op[op->kind];
	to->lack = op->kind == ENGINE_ADD ? &p->lacks[index] : NULL;
	if (op->type == &schema_vlan) {
		to->vlan = conf;
	} else if (kernel_is_trunk(conf)) {
		to->port = &p->trunks[p->n_trunks];
		kernel_trunk_conf(ctl, conf, &p->trunks[p->n_trunks++]);
	} else {
		to->port = conf;
	}
	p->index[p->n++] = index;
}

static void add_mac(struct prepared *p, enum dp_op_type type, uint16_t vlan, const uint8_t mac[6], size_t index)
{
	struct dp_mac *m = &p->macs[p->n];

	snprintf(m->port, sizeof(m->port), "%s", p->trunk);
	m->vlan = vlan;
	memcpy(m->mac, mac, 6);
	p->ops[p->n] = (struct dp_op){.type = type, .mac = m};
	p->index[p->n++] = index;
}

/* The addresses of a container, each once. */
static void add_macs(struct prepared *p, enum dp_op_type type, const struct port_conf *conf, size_t index)
{
	const struct dp_port_conf *c = conf ? &conf->dp : NULL;

	if (!c || !p->trunk)
		return;
	if (c->has_mac && c->vlan)
		add_mac(p, type, c->vlan, c->mac, index);
	for (unsigned i = 0; i < c->n_static_macs; i++) {
		const struct dp_static_mac *m = &c->static_macs[i];

		if (!(c->has_mac && m->vlan == c->vlan && !memcmp(m->mac, c->mac, 6)))
			add_mac(p, type, m->vlan, m->mac, index);
	}
}

static unsigned macs_of(const struct port_conf *conf)
{
	return conf ? 1u + conf->dp.n_static_macs : 0;
}

static bool is_among(const struct engine_op *ops, size_t n, const struct object *o)
{
	for (size_t i = 0; i < n; i++)
		if (ops[i].type == o->type && !strcmp(ops[i].name, o->name))
			return true;
	return false;
}

/*
 * The trunk's port is made after containers were, for the node lacked its netdev: their addresses are bound now. `p` NULL: how many operations that takes, at
 * most.
 */
static size_t add_earlier_macs(const struct ctl *ctl, struct prepared *p, const struct engine_op *ops, size_t n, size_t index)
{
	const struct table *objects = &ctl->store.objects;
	size_t room = 0;

	for (size_t i = 0; i < objects->n_buckets; i++) {
		for (const struct object *o = objects->buckets[i]; o; o = o->next) {
			if (!is_veth(o->type, o->conf) || !(o->made >> ops[index].engine & 1) || is_among(ops, n, o))
				continue;
			room += macs_of(o->conf);
			if (p)
				add_macs(p, DP_MAC_ADD, o->conf, index);
		}
	}
	return room;
}

/* Is this the trunk's port, and the switch has none yet? One that has lost its device has kept its addresses. */
static bool is_new_trunk(const struct ctl *ctl, const struct engine_op *op)
{
	struct dp_port_state state;

	return op->type == &schema_port && op->kind == ENGINE_ADD && kernel_is_trunk(op->conf) && ctl->trunk &&
	       !strcmp(op->name, ctl->trunk) && dp_port_state(ctl->dp, ctl->trunk, &state) < 0;
}

/* Operations that these become, at most. */
static size_t room_for(const struct ctl *ctl, const struct engine_op *ops, size_t n)
{
	size_t room = 0;

	for (size_t i = 0; i < n; i++) {
		bool before = is_veth(ops[i].type, ops[i].before), after = is_veth(ops[i].type, ops[i].conf);

		room += 1 + (before ? macs_of(ops[i].before) : 0) + (after ? macs_of(ops[i].conf) : 0);
		if (is_new_trunk(ctl, &ops[i]))
			room += add_earlier_macs(ctl, NULL, ops, n, i);
	}
	return room;
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
	free(p->index);
	free(p->macs);
	free(p->lacks);
	free(p->trunks);
	free(p);
}

static size_t count_trunks(const struct engine_op *ops, size_t n)
{
	size_t trunks = 0;

	for (size_t i = 0; i < n; i++)
		trunks += ops[i].type == &schema_port && kernel_is_trunk(conf_of(&ops[i]));
	return trunks;
}

/* The port that containers are behind: it is there, or these operations make it. NULL: nowhere to bind their addresses to. */
static const char *trunk_of(const struct ctl *ctl, const struct engine_op *ops, size_t n)
{
	struct dp_port_state state;

	if (!ctl->trunk)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (ops[i].type == &schema_port && ops[i].kind == ENGINE_ADD && !strcmp(ops[i].name, ctl->trunk))
			return ctl->trunk;
	return dp_port_state(ctl->dp, ctl->trunk, &state) == 0 ? ctl->trunk : NULL;
}

static struct prepared *prepared_new(const struct ctl *ctl, const struct engine_op *ops, size_t n)
{
	struct prepared *p = calloc(1, sizeof(*p));
	size_t room = room_for(ctl, ops, n);

	if (!p)
		return NULL;
	p->trunk = trunk_of(ctl, ops, n);
	p->ops = calloc(room + 1, sizeof(p->ops[0]));
	p->index = calloc(room + 1, sizeof(p->index[0]));
	p->macs = calloc(room + 1, sizeof(p->macs[0]));
	p->lacks = calloc(n + 1, sizeof(p->lacks[0]));
	p->trunks = calloc(count_trunks(ops, n) + 1, sizeof(p->trunks[0]));
	if (!p->ops || !p->index || !p->macs || !p->lacks || !p->trunks) {
		prepared_free(p);
		return NULL;
	}
	/* Addresses last: the port that they are behind may be made here. */
	for (size_t i = 0; i < n; i++)
		if (!is_veth(ops[i].type, conf_of(&ops[i])))
			add_op(ctl, p, &ops[i], i);
	for (size_t i = 0; i < n; i++) {
		if (is_new_trunk(ctl, &ops[i]))
			add_earlier_macs(ctl, p, ops, n, i);
		if (!is_veth(ops[i].type, conf_of(&ops[i])))
			continue;
		add_macs(p, DP_MAC_DEL, ops[i].before, i);
		add_macs(p, DP_MAC_ADD, ops[i].conf, i);
	}
	return p;
}

/* `change` NULL: a dry run. */
static int run(struct ctl *ctl, const struct engine_op *ops, size_t n, struct prepared **prepared, struct engine_error *err)
{
	struct dp_error bad = {.op = SIZE_MAX};
	struct prepared *p;
	int ret;

	for (size_t i = 0; prepared && i < n; i++)
		kernel_trunk_make(ctl, &ops[i]);
	p = prepared_new(ctl, ops, n);
	if (!p)
		return -ENOMEM;
	ret = prepared ? dp_prepare(ctl->dp, p->ops, p->n, &p->change, &bad) : dp_apply(ctl->dp, p->ops, p->n, true, &bad);
	for (size_t i = 0; ret == 0 && prepared && i < n; i++)
		if (ops[i].lack && p->lacks[i].name)
			fault_of(ops[i].lack, &p->lacks[i], -ENODEV);
	if (ret < 0) {
		err->op = bad.op < p->n ? p->index[bad.op] : SIZE_MAX;
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

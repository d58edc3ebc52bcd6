/* SPDX-License-Identifier: Apache-2.0 */
/* dp_apply(): what is wanted, and whether it is possible. The whole journey is drawn in change.h. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "device.h"

/* --- names -------------------------------------------------------------------------------------------------------------------- */

int port_by_name(const void *a, const void *b)
{
	return strcmp(((const struct port *)a)->name, ((const struct port *)b)->name);
}

static int by_change_name(const void *a, const void *b)
{
	return strcmp(((const struct port_change *)a)->name, ((const struct port_change *)b)->name);
}

struct port *dp_port(struct dp *dp, const char *name)
{
	struct port key;
	void *node;

	snprintf(key.name, sizeof(key.name), "%s", name);
	node = tfind(&key, &dp->names, port_by_name);
	return node ? *(struct port **)node : NULL;
}

static bool name_valid(const char *name)
{
	size_t n = strnlen(name, DP_NAME_MAX);

	return n > 0 && n < DP_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* --- collapse ------------------------------------------------------------------------------------------------------------------ */

static struct port_change *port_change(struct txn *t, const char *name, size_t op)
{
	struct port_change *pc = &t->ports[t->n_ports];
	void *node;

	snprintf(pc->name, sizeof(pc->name), "%s", name);
	node = tsearch(pc, &t->by_name, by_change_name);
	if (!node)
		return NULL;
	if (*(struct port_change **)node == pc) {
		pc->old = dp_port(t->dp, name);
		pc->want = pc->same = pc->old != NULL;
		if (pc->old)
			pc->conf = pc->old->rt->conf;
		t->n_ports++;
	}
	pc = *(struct port_change **)node;
	pc->op = op;
	return pc;
}

static int collapse_port(struct txn *t, const struct dp_op *op, size_t i)
{
	struct port_change *pc;
	int r;

	if (!name_valid(op->port->name))
		return dp_fail(t->err, -EINVAL, "bad-value", "name", "1-63 of a-z A-Z 0-9 . _ -", "port: not a name");
	pc = port_change(t, op->port->name, i);
	if (!pc)
		return dp_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	switch (op->type) {
	case DP_PORT_DEL:
		if (!pc->want)
			return dp_fail(t->err, -ENOENT, "not-found", NULL, NULL, "port %s: no such port", pc->name);
		pc->want = pc->same = false;
		return 0;
	case DP_PORT_ADD:
		if (pc->want && !(pc->same && device_is_lost(pc->old)))
			return dp_fail(t->err, -EEXIST, "exists", NULL, NULL, "port %s: exists", pc->name);
		pc->mends = pc->want;
		pc->want = true;
		pc->lack = op->lack;
		pc->conf = *op->port;
		r = port_conf_check(&pc->conf, t->err);
		if (!r && pc->mends)
			r = port_conf_check_change(&pc->old->rt->conf, &pc->conf, t->err);
		return r;
	default:
		if (!pc->want)
			return dp_fail(t->err, -ENOENT, "not-found", NULL, NULL, "port %s: no such port", pc->name);
		pc->conf = *op->port;
		r = port_conf_check(&pc->conf, t->err);
		if (!r && pc->same)
			r = port_conf_check_change(&pc->old->rt->conf, &pc->conf, t->err);
		return r;
	}
}

static int collapse_vlan(struct txn *t, const struct dp_op *op, size_t i)
{
	struct vlan_change *vc;
	uint16_t id = op->vlan->id;

	if (id < 1 || id > 4094)
		return dp_fail(t->err, -EINVAL, "out-of-range", "id", NULL, "vlan %u: out of range (1-4094)", id);
	vc = t->vlan_at[id];
	if (!vc) {
		vc = t->vlan_at[id] = &t->vlans[t->n_vlans++];
		vc->id = id;
		vc->want = t->dp->vlan_conf[id] != NULL;
	}
	vc->op = i;
	if (op->type == DP_VLAN_DEL) {
		if (!vc->want)
			return dp_fail(t->err, -ENOENT, "not-found", NULL, NULL, "vlan %u: no such VLAN", id);
		vc->want = false;
		return 0;
	}
	vc->want = true;
	vc->conf = *op->vlan;
	if (!vc->conf.aging_s)
		vc->conf.aging_s = DP_AGING_DEFAULT_S;
	if (vc->conf.aging_s > 1000000)
		return dp_fail(t->err, -EINVAL, "out-of-range", "aging_s", NULL, "aging_s %u: out of range (1-1000000)",
			       vc->conf.aging_s);
	return 0;
}

static int collapse_mac(struct txn *t, const struct dp_op *op, size_t i)
{
	struct mac_change *mc = &t->macs[t->n_macs];
	struct rte_ether_addr mac;

	memcpy(mac.addr_bytes, op->mac->mac, sizeof(mac.addr_bytes));
	if (mac.addr_bytes[0] & 1 || op->mac->vlan < 1 || op->mac->vlan > 4094)
		return dp_fail(t->err, -EINVAL, "bad-value", "mac", NULL, "not an address of one station, or of no VLAN");
	mc->b = (struct binding){
		.key = fdb_key(op->mac->vlan, &mac), .pc = port_change(t, op->mac->port, i), .attr = "mac", .extra = true};
	mc->want = op->type == DP_MAC_ADD;
	if (!mc->b.pc)
		return dp_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	if (!mc->b.pc->want)
		return dp_fail(t->err, -ENOENT, "not-found", NULL, NULL, "port %s: no such port", op->mac->port);
	t->n_macs++;
	return 0;
}

static int collapse(struct txn *t, const struct dp_op *ops, size_t n)
{
	static int (*const collapse_one[])(struct txn * t, const struct dp_op *op, size_t i) = {
		[DP_VLAN_SET] = collapse_vlan, [DP_VLAN_DEL] = collapse_vlan, [DP_PORT_ADD] = collapse_port,
		[DP_PORT_SET] = collapse_port, [DP_PORT_DEL] = collapse_port, [DP_MAC_ADD] = collapse_mac,
		[DP_MAC_DEL] = collapse_mac,
	};

	for (size_t i = 0; i < n; i++) {
		int r = collapse_one[ops[i].type](t, &ops[i], i);

		if (r < 0) {
			if (t->err)
				t->err->op = i;
			return r;
		}
	}
	return 0;
}

/* --- validate what results ----------------------------------------------------------------------------------------------------- */

int txn_fail_at(struct txn *t, size_t op, int r)
{
	if (t->err)
		t->err->op = op;
	return r;
}

static bool vlan_will_be(const struct txn *t, uint16_t id)
{
	return t->vlan_at[id] ? t->vlan_at[id]->want : t->dp->vlan_conf[id] != NULL;
}

static int check_references(struct txn *t)
{
	int32_t delta[DP_VLAN_N] = {0};

	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old && pc->old->rt->conf.vlan)
			delta[pc->old->rt->conf.vlan]--;
		if (!pc->want || !pc->conf.vlan)
			continue;
		delta[pc->conf.vlan]++;
		if (!vlan_will_be(t, pc->conf.vlan))
			return txn_fail_at(t, pc->op,
					   dp_fail(t->err, -ENOENT, "not-found", "vlan",
						   t->vlan_at[pc->conf.vlan] ? "this apply deletes it"
									     : "add the VLAN first, or in the same apply",
						   "port %s: vlan %u: no such VLAN", pc->name, pc->conf.vlan));
	}
	for (unsigned i = 0; i < t->n_vlans; i++) {
		struct vlan_change *vc = &t->vlans[i];

		if (!vc->want && (int64_t)t->dp->vlan_refs[vc->id] + delta[vc->id] > 0)
			return txn_fail_at(t, vc->op,
					   dp_fail(t->err, -EBUSY, "in-use", NULL,
						   "move or delete its ports first, or in the same apply",
						   "vlan %u: in use by ports", vc->id));
	}
	return 0;
}

static void bindings_of(const struct dp_port_conf *c, struct port_change *pc, struct binding *list, unsigned *n)
{
	struct rte_ether_addr mac;

	/* A trunk's mac is only a check: it would have to be bound in every VLAN. */
	if (c->has_mac && c->vlan) {
		memcpy(mac.addr_bytes, c->mac, 6);
		list[(*n)++] = (struct binding){.key = fdb_key(c->vlan, &mac), .pc = pc, .attr = "mac"};
	}
	for (unsigned i = 0; i < c->n_static_macs; i++) {
		memcpy(mac.addr_bytes, c->static_macs[i].mac, 6);
		list[(*n)++] = (struct binding){.key = fdb_key(c->static_macs[i].vlan, &mac), .pc = pc, .attr = "static_macs"};
	}
}

int binding_by_key(const void *a, const void *b)
{
	uint64_t x = ((const struct binding *)a)->key, y = ((const struct binding *)b)->key;

	return x < y ? -1 : x > y;
}

static int bound_elsewhere(struct txn *t, const struct binding *b)
{
	uint16_t vlan;
	struct rte_ether_addr mac;

	fdb_key_split(b->key, &vlan, &mac);
	return txn_fail_at(t, b->pc->op,
			   dp_fail(t->err, -EEXIST, "in-use", b->attr, NULL,
				   "port %s: " RTE_ETHER_ADDR_PRT_FMT " in VLAN %u is another port's", b->pc->name,
				   RTE_ETHER_ADDR_BYTES(&mac), vlan));
}

/* Those of DP_MAC_ADD and _DEL. */
static void bindings_extra(struct txn *t)
{
	for (unsigned i = 0; i < t->n_macs; i++) {
		const struct mac_change *mc = &t->macs[i];
		struct binding *list = mc->want ? t->add : t->del;

		list[mc->want ? t->n_add++ : t->n_del++] = mc->b;
	}
}

static int check_leavers(struct txn *t)
{
	for (unsigned i = 0; i < t->n_ports; i++) {
		const struct port_change *pc = &t->ports[i];
		unsigned gone = 0;

		if (!pc->old || pc->same || !pc->old->n_macs)
			continue;
		for (unsigned k = 0; k < t->n_del; k++)
			gone += t->del[k].extra && t->del[k].pc == pc;
		if (gone < pc->old->n_macs)
			return txn_fail_at(t, pc->op,
					   dp_fail(t->err, -EBUSY, "in-use", NULL, "take the addresses behind it away first",
						   "port %s: others have addresses behind it", pc->name));
	}
	return 0;
}

static int check_bindings(struct txn *t)
{
	unsigned n = t->n_macs;

	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old)
			n += 1 + pc->old->rt->conf.n_static_macs;
		if (pc->want)
			n += 1 + pc->conf.n_static_macs;
	}
	t->add = calloc(n + 1, sizeof(t->add[0]));
	t->del = calloc(n + 1, sizeof(t->del[0]));
	if (!t->add || !t->del)
		return dp_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old)
			bindings_of(&pc->old->rt->conf, pc, t->del, &t->n_del);
		if (pc->want)
			bindings_of(&pc->conf, pc, t->add, &t->n_add);
	}
	bindings_extra(t);
	qsort(t->add, t->n_add, sizeof(t->add[0]), binding_by_key);
	qsort(t->del, t->n_del, sizeof(t->del[0]), binding_by_key);
	/* An address that a port names twice, as its `mac` and in static_macs, is one. */
	for (unsigned i = 1; i < t->n_add; i++) {
		if (t->add[i].key == t->add[i - 1].key && t->add[i].pc == t->add[i - 1].pc) {
			memmove(&t->add[i], &t->add[i + 1], (t->n_add - i - 1) * sizeof(t->add[0]));
			t->n_add--;
			i--;
		}
	}
	for (unsigned i = 0; i < t->n_add; i++) {
		struct binding *b = &t->add[i];
		struct fdb_hit hit = fdb_lookup(t->dp->fdb, b->key, fdb_hash(t->dp->fdb, b->key));

		if (i && t->add[i - 1].key == b->key)
			return bound_elsewhere(t, b);
		if (hit.port != FDB_NO_PORT && hit.is_static && !bsearch(b, t->del, t->n_del, sizeof(*b), binding_by_key))
			return bound_elsewhere(t, b);
	}
	return check_leavers(t);
}

/* The port that holds a device goes with this change. */
static bool goes(const struct txn *t, const struct port *p)
{
	for (unsigned i = 0; i < t->n_ports; i++)
		if (t->ports[i].old == p)
			return !t->ports[i].same;
	return false;
}

/* Two ports on one device would take each other's frames. One that is let go by this very change can be had after it. */
static int check_devices(struct txn *t)
{
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (!pc->want || pc->same || !pc->conf.ifname[0])
			continue;
		for (unsigned j = 0; j < DP_MAX_PORTS; j++) {
			struct port *p = t->dp->ports[j];

			if (!p || strcmp(p->rt->conf.ifname, pc->conf.ifname) != 0)
				continue;
			pc->lacks = pc->lack && goes(t, p);
			dp_fail(pc->lacks ? pc->lack : t->err, -EBUSY, "in-use", "ifname",
				"delete that port in an apply of its own first", "port %s: ifname %s is port %s's", pc->name,
				pc->conf.ifname, p->name);
			if (!pc->lacks)
				return txn_fail_at(t, pc->op, -EBUSY);
		}
		for (unsigned j = 0; j < i; j++) {
			if (t->ports[j].want && !t->ports[j].same && !strcmp(t->ports[j].conf.ifname, pc->conf.ifname))
				return txn_fail_at(t, pc->op,
						   dp_fail(t->err, -EBUSY, "in-use", "ifname", NULL,
							   "port %s: ifname %s is port %s's", pc->name, pc->conf.ifname,
							   t->ports[j].name));
		}
	}
	return 0;
}

/* --- the whole -------------------------------------------------------------------------------------------------------------------- */

static void keep_tree(void *node)
{
	(void)node;
}

static void txn_free(struct txn *t)
{
	tdestroy(t->by_name, keep_tree);
	free(t->add);
	free(t->del);
	free(t->ports);
	free(t->vlans);
	free(t->macs);
	free(t);
}

/* Collapse and validate. NULL with *r and *err. */
static struct txn *txn_new(struct dp *dp, const struct dp_op *ops, size_t n_ops, struct dp_error *err, int *r)
{
	struct txn *t = calloc(1, sizeof(*t));

	*r = -ENOMEM;
	if (!t) {
		dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
		return NULL;
	}
	t->dp = dp;
	t->err = err;
	t->ports = calloc(n_ops + 1, sizeof(t->ports[0]));
	t->vlans = calloc(n_ops + 1, sizeof(t->vlans[0]));
	t->macs = calloc(n_ops + 1, sizeof(t->macs[0]));
	if (!t->ports || !t->vlans || !t->macs)
		dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	else if (!(*r = collapse(t, ops, n_ops)) && !(*r = check_references(t)) && !(*r = check_bindings(t)))
		*r = check_devices(t);
	if (!*r)
		return t;
	txn_free(t);
	return NULL;
}

/* Put the new ports' names into the tree: the one allocation that is made in place, so the last. */
static int add_names(struct txn *t)
{
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port *p = t->ports[i].port;

		if (p && !t->ports[i].old && !tsearch(p, &t->dp->names, port_by_name))
			return dp_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	}
	return 0;
}

static void txn_abort(struct txn *t)
{
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port *p = t->ports[i].port;

		if (p && dp_port(t->dp, t->ports[i].name) == p)
			tdelete(p, &t->dp->names, port_by_name);
	}
	txn_undo(t);
	txn_free(t);
}

int dp_prepare(struct dp *dp, const struct dp_op *ops, size_t n_ops, struct dp_change **change, struct dp_error *err)
{
	int r;
	struct txn *t = txn_new(dp, ops, n_ops, err, &r);

	if (!t)
		return r;
	r = txn_make(t);
	if (!r)
		r = add_names(t);
	if (r) {
		txn_abort(t);
		return r;
	}
	*change = (struct dp_change *)t;
	return 0;
}

void dp_commit(struct dp_change *change)
{
	struct txn *t = (struct txn *)change;

	/* What has happened to ports that go is told while they have names. */
	dp_events_poll(t->dp);
	txn_publish(t);
	txn_retire(t);
	txn_free(t);
}

void dp_abort(struct dp_change *change)
{
	txn_abort((struct txn *)change);
}

int dp_apply(struct dp *dp, const struct dp_op *ops, size_t n_ops, bool dry_run, struct dp_error *err)
{
	struct dp_change *change;
	struct txn *t;
	int r;

	if (dry_run) {
		t = txn_new(dp, ops, n_ops, err, &r);
		if (t)
			txn_free(t);
		return r;
	}
	r = dp_prepare(dp, ops, n_ops, &change, err);
	if (!r)
		dp_commit(change);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes: collapse the operations to one net change for each port, validate, allocate, publish.
 *
 * Netdevs are made in prepare, and can be seen by an operator then; the host ends are down until commit. What prepare changes on netdevs that are in
 * use (an MTU, an address, a rate) cannot wait without failing later, and is put back by abort.
 */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

struct change {
	size_t op;
	bool want, same;
	struct kern_port_conf conf; /* wanted */
	struct port *old;	    /* there before, or NULL */
	struct port *made;	    /* new, for want && !same */
	bool veth_changed, in_changed, out_changed;
	bool was_shaped_in, was_shaped_out;
};

struct kern_txn {
	struct kern *e;
	struct kern_error *err;
	struct change *changes;
	unsigned n_changes;
	const struct kern_vlan_conf **vlans; /* n_ops entries; NULL where the operation is another */
	struct kern_vlan_conf *vlan_confs;
	unsigned n_vlans;
	bool trunk_set, trunk_attached;
	struct kern_trunk_conf trunk;
	struct veth_link trunk_link;
	uint16_t trunk_mtu_was; /* of the netdev, if it was changed; 0: it was not */
};

/* --- collapse ------------------------------------------------------------------------------------------------------------------ */

static struct change *find_change(struct kern_txn *t, const char *name)
{
	for (unsigned i = 0; i < t->n_changes; i++) {
		if (strcmp(t->changes[i].conf.name, name) == 0)
			return &t->changes[i];
	}
	return NULL;
}

static struct change *get_change(struct kern_txn *t, const char *name, size_t op)
{
	struct change *ch = find_change(t, name);

	if (!ch) {
		ch = &t->changes[t->n_changes++];
		snprintf(ch->conf.name, sizeof(ch->conf.name), "%s", name);
		ch->old = port_find(t->e, name);
		ch->want = ch->old != NULL;
		if (ch->old)
			ch->conf = ch->old->rec.conf;
	}
	ch->op = op;
	return ch;
}

static int collapse_port(struct kern_txn *t, const struct kern_op *op, size_t i)
{
	struct kern_port_conf conf = *op->port;
	struct change *ch;
	int r;

	if (op->type == KERN_PORT_DEL) {
		if (port_find(t->e, conf.name) || find_change(t, conf.name))
			get_change(t, conf.name, i)->want = false;
		return 0;
	}
	r = check_port(&conf, t->err);
	if (r < 0)
		return r;
	port_defaults(&conf);
	ch = get_change(t, conf.name, i);
	if (op->type == KERN_PORT_SET && !ch->want)
		return kern_fail(t->err, -ENOENT, "no-such-object", NULL, NULL, "port %s: there is none", conf.name);
	if (op->type == KERN_PORT_ADD && ch->want && !(ch->old && (ch->old->adopted || ch->old->orphan)) &&
	    memcmp((const void *)&ch->conf, (const void *)&conf, sizeof(conf)) != 0)
		return kern_fail(t->err, -EEXIST, "exists", NULL, "use set", "port %s: it is there, and differs", conf.name);
	ch->want = true;
	ch->conf = conf;
	return 0;
}

static int collapse(struct kern_txn *t, const struct kern_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = 0;

		if (t->err)
			t->err->op = i;
		switch (ops[i].type) {
		case KERN_TRUNK_SET:
			r = check_trunk(ops[i].trunk, t->err);
			t->trunk_set = true;
			t->trunk = *ops[i].trunk;
			break;
		case KERN_VLAN_SET:
			r = check_vlan(ops[i].vlan, t->err);
			t->vlan_confs[t->n_vlans++] = *ops[i].vlan;
			break;
		case KERN_VLAN_DEL:
			/* Its ports stay members; what it said about limits goes. */
			t->vlan_confs[t->n_vlans++] = (struct kern_vlan_conf){.id = ops[i].vlan->id};
			r = check_vlan(&t->vlan_confs[t->n_vlans - 1], t->err);
			break;
		case KERN_PORT_ADD:
		case KERN_PORT_SET:
		case KERN_PORT_DEL:
			r = collapse_port(t, &ops[i], i);
			break;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- validate ------------------------------------------------------------------------------------------------------------------ */

struct binding {
	uint64_t key;
	const struct kern_port_conf *conf;
	size_t op;
};

struct bindings {
	struct binding *b;
	size_t n, room;
	bool no_memory;
	const struct kern_port_conf *conf;
	size_t op;
};

static void collect(void *arg, uint16_t vid, const uint8_t mac[6])
{
	struct bindings *bs = arg;
	uint64_t key = vid;

	for (unsigned i = 0; i < 6; i++)
		key = key << 8 | mac[i];
	if (bs->n == bs->room) {
		size_t room = bs->room ? bs->room * 2 : 1024;
		struct binding *b = realloc(bs->b, room * sizeof(*b));

		if (!b) {
			bs->no_memory = true;
			return;
		}
		bs->b = b;
		bs->room = room;
	}
	bs->b[bs->n++] = (struct binding){key, bs->conf, bs->op};
}

static int by_key(const void *a, const void *b)
{
	const struct binding *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static const struct kern_port_conf *future(struct kern_txn *t, const struct port *p, size_t *op)
{
	struct change *ch = find_change(t, p->rec.conf.name);

	*op = ch ? ch->op : 0;
	if (ch)
		return ch->want ? &ch->conf : NULL;
	return p->orphan ? NULL : &p->rec.conf;
}

/* No address in two places, in the state that would result. */
static int check_bindings(struct kern_txn *t)
{
	struct bindings bs = {0};
	int r = 0;

	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (t->e->ports[i] && (bs.conf = future(t, t->e->ports[i], &bs.op)))
			port_each_mac(bs.conf, collect, &bs);
	}
	for (unsigned i = 0; i < t->n_changes; i++) {
		struct change *ch = &t->changes[i];

		bs.conf = &ch->conf;
		bs.op = ch->op;
		if (ch->want && !ch->old)
			port_each_mac(bs.conf, collect, &bs);
	}
	if (bs.no_memory)
		r = kern_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	if (bs.n)
		qsort(bs.b, bs.n, sizeof(bs.b[0]), by_key);
	for (size_t i = 1; i < bs.n && r == 0; i++) {
		struct binding *a = &bs.b[i - 1], *b = &bs.b[i];

		if (a->key != b->key || a->conf == b->conf)
			continue;
		if (t->err)
			t->err->op = a->op > b->op ? a->op : b->op;
		r = kern_fail(t->err, -EEXIST, "in-use", "mac", NULL, "ports %s and %s: the same MAC in vlan %u", a->conf->name,
			      b->conf->name, (unsigned)(a->key >> 48));
	}
	if (r == 0 && bs.n > SLC_K_STATIC_MAX)
		r = kern_fail(t->err, -ENOSPC, "too-many", "mac", NULL, "more than %u bound addresses", SLC_K_STATIC_MAX);
	free(bs.b);
	return r;
}

static int check_carried(struct kern_txn *t)
{
	for (unsigned i = 0; i < t->n_changes; i++) {
		const struct kern_port_conf *c = &t->changes[i].conf;

		for (unsigned k = 0; t->changes[i].want && k < c->n_static_macs; k++) {
			if (port_carries(c, c->static_macs[k].vlan))
				continue;
			if (t->err)
				t->err->op = t->changes[i].op;
			return kern_fail(t->err, -EINVAL, "conflict", "static_macs", NULL,
					 "port %s: static MAC in vlan %u, which it does not carry", c->name,
					 c->static_macs[k].vlan);
		}
	}
	return 0;
}

/* --- allocate ------------------------------------------------------------------------------------------------------------------ */

static bool limit_same(const struct kern_limit *a, const struct kern_limit *b)
{
	return a->bps == b->bps && a->burst_bytes == b->burst_bytes;
}

static int free_index(struct kern *e)
{
	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (!e->ports[i])
			return (int)i;
	}
	return -ENOSPC;
}

static void forget_port(struct kern *e, struct port *p)
{
	shape_in_del(e, p);
	if (p->ifindex)
		maps_ifs_del(e, p->ifindex);
	maps_record_del(e, p->idx);
	e->ports[p->idx] = NULL;
	free(p);
}

static int make_port(struct kern_txn *t, struct change *ch)
{
	struct kern *e = t->e;
	int idx = free_index(e), r;
	struct port *p;

	if (idx < 0)
		return kern_fail(t->err, idx, "too-many", NULL, NULL, "port %s: %u ports are there", ch->conf.name,
				 SLC_K_PORTS - SLC_K_FIRST);
	p = calloc(1, sizeof(*p));
	if (!p)
		return kern_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	p->idx = idx;
	p->rec.conf = ch->conf;
	/* The index is taken from here on. */
	e->ports[idx] = p;
	r = veth_make(e, p, t->err);
	if (r < 0)
		goto forget;
	maps_count_clear(e, idx);
	if ((r = maps_ifs_set(e, p->ifindex, idx)) < 0 || (r = maps_record_put(e, idx, &p->rec)) < 0) {
		kern_fail_nl(t->err, r, NULL, NULL, "port %s: maps", ch->conf.name);
		goto unmake;
	}
	if (ch->conf.out.bps && (r = shape_out_set(e, p, &ch->conf.out, t->err)) < 0)
		goto unmake;
	if (ch->conf.in.bps && (r = shape_in_set(e, p, &ch->conf.in, t->err)) < 0)
		goto unmake;
	ch->made = p;
	return 0;

unmake:
	veth_unmake(e, p->ifindex);
forget:
	forget_port(e, p);
	return r;
}

/* A port whose netdevs stay. */
static int change_port(struct kern_txn *t, struct change *ch)
{
	struct kern *e = t->e;
	struct port *p = ch->old;
	/* Of an orphan nothing is known but that it is there: everything is set anew. */
	static const struct kern_port_conf unknown;
	const struct kern_port_conf *from = p->orphan ? &unknown : &p->rec.conf, *to = &ch->conf;
	int r;

	ch->was_shaped_in = p->shaped_in;
	ch->was_shaped_out = p->shaped_out;
	ch->veth_changed = true;
	r = veth_change(e, p, from, to, t->err);
	/* Of a port that was taken over, the record may say more than its maker came to do. */
	if (r == 0 && to->out.bps && (p->orphan || p->adopted || !p->shaped_out || !limit_same(&from->out, &to->out))) {
		ch->out_changed = true;
		r = shape_out_set(e, p, &to->out, t->err);
	}
	if (r == 0 && to->in.bps && (p->orphan || p->adopted || !p->shaped_in || !limit_same(&from->in, &to->in))) {
		ch->in_changed = true;
		r = shape_in_set(e, p, &to->in, t->err);
	}
	if (r == 0 && p->orphan && (r = maps_ifs_set(e, p->ifindex, p->idx)) == 0)
		r = tc_attach(e, p->ifindex, PROG_PORT_IN);
	return r;
}

static void change_port_back(struct kern *e, struct change *ch)
{
	const struct kern_port_conf *was = &ch->old->rec.conf;
	struct port *p = ch->old;
	struct kern_error err;

	/* Of an orphan it is not known what its classes were. */
	if (ch->in_changed && was->in.bps)
		shape_in_set(e, p, &was->in, &err);
	else if (ch->in_changed && ch->was_shaped_in && !p->orphan)
		shape_in_lift(e, p);
	else if (ch->in_changed && !ch->was_shaped_in)
		shape_in_del(e, p);
	if (ch->out_changed && was->out.bps)
		shape_out_set(e, p, &was->out, &err);
	else if (ch->out_changed && ch->was_shaped_out && !p->orphan)
		shape_out_lift(e, p);
	else if (ch->out_changed && !ch->was_shaped_out)
		shape_out_del(e, p);
	if (ch->veth_changed && !p->orphan && veth_change(e, p, &ch->conf, &p->rec.conf, &err) < 0)
		kern_log(e, LOG_ERR, "%s; it was to be put back after a change that failed", err.msg);
}

static bool same_netdev(struct kern *e, struct change *ch)
{
	struct port *p = ch->old, as_wanted;
	bool same_place = strcmp(p->rec.conf.netns, ch->conf.netns) == 0 && strcmp(p->rec.conf.ifname, ch->conf.ifname) == 0;
	int there;

	if (!p->ifindex)
		return false;
	if (!p->orphan && !p->adopted)
		return same_place;
	/* Found at the start: the same reference may lead elsewhere by now, or nowhere, as a pid does whose process has ended. */
	as_wanted = *p;
	as_wanted.rec.conf = ch->conf;
	there = veth_is_there(e, &as_wanted);
	return there < 0 ? same_place && !p->orphan : there;
}

static int attach_trunk(struct kern_txn *t)
{
	struct kern *e = t->e;
	uint32_t ifindex;
	int r;

	if (!t->trunk.ifname[0])
		return 0;
	ifindex = if_nametoindex(t->trunk.ifname);
	if (!ifindex)
		return kern_fail(t->err, -ENODEV, "no-such-device", "ifname", NULL, "trunk: there is no netdev %s",
				 t->trunk.ifname);
	t->trunk_attached = ifindex != e->node->trunk_ifindex;
	r = veth_link(e, ifindex, &t->trunk_link);
	if (r == 0 && trunk_is_kept(e, t->trunk.ifname) && !trunk_is_ours(e, &t->trunk_link)) {
		t->trunk_attached = false;
		return kern_fail(t->err, -EEXIST, "in-use", "ifname", NULL, "%s is somebody else's netdev", t->trunk.ifname);
	}
	if (r < 0 || (r = maps_ifs_set(e, ifindex, SLC_K_TRUNK)) < 0 || (r = tc_attach(e, ifindex, PROG_TRUNK_IN)) < 0 ||
	    (r = tc_attach(e, ifindex, PROG_TRUNK_OUT)) < 0)
		return kern_fail_nl(t->err, r, &e->nl, "ifname", "trunk %s", t->trunk.ifname);
	if (!t->trunk.mtu || t->trunk.mtu == t->trunk_link.mtu)
		return 0;
	if ((r = veth_set_mtu(&e->nl, ifindex, t->trunk.mtu)) < 0)
		return kern_fail_nl(t->err, r, &e->nl, "mtu", "trunk %s", t->trunk.ifname);
	t->trunk_mtu_was = t->trunk_link.mtu;
	t->trunk_link.mtu = t->trunk.mtu;
	return 0;
}

static int allocate(struct kern_txn *t)
{
	int r;

	for (unsigned i = 0; i < t->n_changes; i++) {
		struct change *ch = &t->changes[i];

		if (t->err)
			t->err->op = ch->op;
		if (!ch->want)
			continue;
		ch->same = ch->old && same_netdev(t->e, ch);
		r = ch->same ? change_port(t, ch) : make_port(t, ch);
		if (r < 0)
			return r;
	}
	return t->trunk_set ? attach_trunk(t) : 0;
}

/* --- publish ------------------------------------------------------------------------------------------------------------------- */

static void commit_made(struct kern *e, struct port *p)
{
	port_publish(e, p, NULL);
	if (veth_up(e, p) < 0)
		kern_log(e, LOG_ERR, "port %s: %s does not come up", p->rec.conf.name, p->host_ifname);
	announce(e, p);
}

static void commit_same(struct kern *e, struct change *ch)
{
	struct port *p = ch->old;
	struct kern_port_conf old = p->rec.conf;
	bool orphan = p->orphan, unknown = p->orphan || p->adopted;

	p->rec.conf = ch->conf;
	p->orphan = p->adopted = false;
	port_publish(e, p, orphan ? NULL : &old);
	/* One that was found may have a class of which its record says nothing. */
	if (!ch->conf.in.bps && (unknown || old.in.bps))
		shape_in_lift(e, p);
	if (!ch->conf.out.bps && (unknown || old.out.bps))
		shape_out_lift(e, p);
	maps_record_put(e, p->idx, &p->rec);
	veth_up(e, p);
	if (orphan || !old.has_mac || memcmp(old.mac, ch->conf.mac, 6) != 0 ||
	    memcmp((const void *)old.addrs, (const void *)ch->conf.addrs, sizeof(old.addrs)) != 0)
		announce(e, p);
}

static uint32_t commit_gone(struct kern *e, struct port *p)
{
	uint32_t ifindex = p->ifindex;

	if (!p->orphan)
		port_retract(e, p, &p->rec.conf);
	forget_port(e, p);
	return ifindex;
}

static void free_txn(struct kern_txn *t)
{
	free(t->changes);
	free(t->vlan_confs);
	free(t);
}

static void commit_trunk(struct kern_txn *t)
{
	struct kern *e = t->e;
	uint32_t before = e->node->trunk_ifindex;

	trunk_publish(e, &t->trunk, &t->trunk_link);
	if (before && before != e->node->trunk_ifindex) {
		maps_ifs_del(e, before);
		tc_detach_all(&e->nl, before);
	}
}

void kern_commit(struct kern_txn *t)
{
	struct kern *e = t->e;
	uint32_t *gone = calloc(t->n_changes + 2, sizeof(gone[0])), shaper;
	unsigned n_gone = 0;

	if (t->trunk_set)
		commit_trunk(t);
	for (unsigned i = 0; i < t->n_vlans; i++)
		vlan_publish(e, &t->vlan_confs[i]);
	/* First out, then in: an address may move from one port to another. */
	for (unsigned i = 0; i < t->n_changes; i++) {
		struct change *ch = &t->changes[i];

		if (ch->old && (!ch->want || !ch->same)) {
			uint32_t ifindex = commit_gone(e, ch->old);

			if (ifindex && gone)
				gone[n_gone++] = ifindex;
			else if (ifindex)
				veth_unmake(e, ifindex);
			ch->old = NULL;
		}
	}
	for (unsigned i = 0; i < t->n_changes; i++) {
		if (t->changes[i].same && t->changes[i].old)
			commit_same(e, &t->changes[i]);
		else if (t->changes[i].made)
			commit_made(e, t->changes[i].made);
	}
	port_share(e);
	shaper = shaper_retire(e);
	if (shaper && gone)
		gone[n_gone++] = shaper;
	else if (shaper)
		veth_unmake(e, shaper);
	if (n_gone)
		veth_unmake_all(e, gone, n_gone);
	free(gone);
	free_txn(t);
	events_committed(e);
}

void kern_abort(struct kern_txn *t)
{
	struct kern *e = t->e;
	uint32_t shaper;

	for (unsigned i = t->n_changes; i-- > 0;) {
		struct change *ch = &t->changes[i];

		if (ch->made) {
			veth_unmake(e, ch->made->ifindex);
			forget_port(e, ch->made);
		} else if (ch->same) {
			change_port_back(e, ch);
		}
	}
	if (t->trunk_mtu_was)
		veth_set_mtu(&e->nl, t->trunk_link.ifindex, t->trunk_mtu_was);
	if (t->trunk_attached && t->trunk_link.ifindex) {
		maps_ifs_del(e, t->trunk_link.ifindex);
		tc_detach_all(&e->nl, t->trunk_link.ifindex);
	}
	shaper = shaper_retire(e);
	if (shaper)
		veth_unmake(e, shaper);
	free_txn(t);
}

static int validate(struct kern *e, const struct kern_op *ops, size_t n_ops, struct kern_txn **txn, struct kern_error *err)
{
	struct kern_txn *t = calloc(1, sizeof(*t));
	int r;

	*txn = NULL;

	if (err)
		memset(err, 0, sizeof(*err));
	if (t) {
		t->e = e;
		t->err = err;
		t->changes = calloc(n_ops + 1, sizeof(t->changes[0]));
		t->vlan_confs = calloc(n_ops + 1, sizeof(t->vlan_confs[0]));
	}
	if (!t || !t->changes || !t->vlan_confs) {
		if (t)
			free_txn(t);
		return kern_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	}
	if ((r = collapse(t, ops, n_ops)) < 0 || (r = check_carried(t)) < 0 || (r = check_bindings(t)) < 0) {
		free_txn(t);
		return r;
	}
	*txn = t;
	return 0;
}

int kern_prepare(struct kern *e, const struct kern_op *ops, size_t n_ops, struct kern_txn **txn, struct kern_error *err)
{
	int r = validate(e, ops, n_ops, txn, err);

	if (!*txn)
		return r;
	r = allocate(*txn);
	if (r < 0) {
		kern_abort(*txn);
		*txn = NULL;
	}
	return r;
}

int kern_apply(struct kern *e, const struct kern_op *ops, size_t n_ops, bool dry_run, struct kern_error *err)
{
	struct kern_txn *t = NULL;
	int r;

	if (dry_run) {
		r = validate(e, ops, n_ops, &t, err);
		if (t)
			free_txn(t);
		return r;
	}
	r = kern_prepare(e, ops, n_ops, &t, err);
	if (r == 0 && t)
		kern_commit(t);
	return r;
}

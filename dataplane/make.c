/* SPDX-License-Identifier: Apache-2.0 */
/* Allocate what a change needs, and take it back: see change.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "change.h"
#include "device.h"

struct vlan_members *vlan_members_new(unsigned n)
{
	struct vlan_members *vm = malloc(sizeof(*vm) + n * sizeof(vm->port[0]));

	if (vm) {
		vm->storm = NULL;
		vm->n = n;
	}
	return vm;
}

static void mark_dirty(struct txn *t, const struct vlan_port *vp)
{
	for (unsigned i = 0; i < DP_VLAN_N / 64; i++)
		t->dirty[i] |= vp->trunks[i];
}

/*
 * What opening a device can lack, by the name of its error: it may come without anybody changing the request. All other errors say that
 * the request is wrong, or that this process is short of something.
 */
static bool is_lack(const char *name)
{
	static const char *const names[] = {
		"no-such-device", /* the netdev or the PCI device is not there */
		"no-such-path",	  /* the socket's directory is not there */
		"in-use",	  /* somebody else listens there, or holds the device */
		"exists",	  /* the netdev that a tap would make is there */
		"device",	  /* the driver could not start it */
		"device-error",	  /* the kernel could not */
	};

	for (unsigned i = 0; i < RTE_DIM(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

/* Tell of a device that is not to be had where it belongs: to the operation, if that is a lack and it allows it, or as the change's error. */
static bool tell_lack(struct txn *t, const struct port_change *pc, struct dp_error *bad)
{
	bool lacks = pc->lack && bad->name && is_lack(bad->name);

	bad->op = pc->op;
	if (lacks)
		*pc->lack = *bad;
	else if (t->err)
		*t->err = *bad;
	return lacks;
}

/* Make the port of a change, or leave it out if its device is lacking and the operation allows it. */
static int open_port(struct txn *t, struct port_change *pc)
{
	struct dp_error bad = {0};

	if (!pc->lacks)
		pc->port = port_new(t->dp, &pc->conf, &bad);
	if (!pc->port && !pc->lacks)
		pc->lacks = tell_lack(t, pc, &bad);
	if (pc->port)
		mark_dirty(t, &pc->port->rt->vlan);
	else if (pc->lacks)
		pc->want = false;
	return pc->port || pc->lacks ? 0 : -ENODEV;
}

/* A device for a port that lost its own. Where it is lacking the port is changed all the same, and goes on without. */
static int open_again(struct txn *t, struct port_change *pc)
{
	struct dp_error bad = {0};
	int r = device_open(t->dp, &pc->conf, &pc->device, &bad);

	/* Who polls and sends by which queue was settled when the port was made. */
	if (r == 0 && pc->device.n_queues != pc->old->kp.n_queues) {
		kind_find(pc->conf.kind, pc->conf.carrier)->close(&pc->device);
		r = dp_fail(&bad, -ENODEV, "device", "queues", NULL, "port %s: %u queue pairs, where it had %u", pc->name,
			    pc->device.n_queues, pc->old->kp.n_queues);
	}
	pc->opened = r == 0;
	return r == 0 || tell_lack(t, pc, &bad) ? 0 : r;
}

/* Addresses of ports that are left out are nobody's yet. */
static void unbind_lacking(struct txn *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_add; i++)
		if (!t->add[i].pc->lacks)
			t->add[n++] = t->add[i];
	t->n_add = n;
}

static int allocate_ports(struct txn *t)
{
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->want && pc->same) {
			const struct port_rt *old = pc->old->rt;

			pc->rt = port_rt_new(t->dp, &pc->conf, old);
			if (!pc->rt)
				return txn_fail_at(t, pc->op, dp_fail(t->err, -ENOMEM, "no-memory", NULL, NULL, "out of memory"));
			if (pc->mends) {
				int r = open_again(t, pc);

				if (r)
					return r;
			} else if (pc->conf.mtu != old->conf.mtu && pc->old->kind->set_mtu) {
				int r = pc->old->kind->set_mtu(&pc->old->kp, pc->conf.mtu);

				if (r < 0)
					return txn_fail_at(t, pc->op,
							   dp_fail(t->err, r, "device", "mtu", NULL, "port %s: mtu %u: %s",
								   pc->name, pc->conf.mtu, strerror(-r)));
				pc->mtu_set = true;
			}
			for (unsigned w = 0; w < DP_VLAN_N / 64; w++)
				t->dirty[w] |= pc->rt->vlan.trunks[w] ^ old->vlan.trunks[w];
		} else {
			if (pc->want) {
				int r = open_port(t, pc);

				if (r)
					return r;
			}
			if (pc->old)
				mark_dirty(t, &pc->old->rt->vlan);
		}
	}
	unbind_lacking(t);
	return 0;
}

/* Ports as they will be, by index; NULL where there will be none. */
static struct port **future_ports(struct txn *t, const struct port_rt **rts)
{
	struct port **f = malloc(DP_MAX_PORTS * sizeof(f[0]));

	if (!f)
		return NULL;
	memcpy(f, t->dp->ports, DP_MAX_PORTS * sizeof(f[0]));
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		rts[i] = f[i] ? f[i]->rt : NULL;
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old && !pc->same) {
			f[pc->old->idx] = NULL;
			rts[pc->old->idx] = NULL;
		}
		if (pc->port) {
			f[pc->port->idx] = pc->port;
			rts[pc->port->idx] = pc->port->rt;
		}
		if (pc->rt)
			rts[pc->old->idx] = pc->rt;
	}
	return f;
}

static int allocate_members(struct txn *t, struct port **f, const struct port_rt **rts)
{
	uint16_t *live = malloc(DP_MAX_PORTS * sizeof(live[0])), *list = malloc(DP_MAX_PORTS * sizeof(list[0]));
	unsigned n_live = 0;
	int r = live && list ? 0 : -ENOMEM;

	for (unsigned i = 0; i < DP_MAX_PORTS && !r; i++) {
		if (f[i])
			live[n_live++] = i;
	}
	for (unsigned vid = 0; vid < DP_VLAN_N && !r; vid++) {
		struct vlan_members *vm;
		unsigned n = 0;

		if (!vlan_bit(t->dirty, vid))
			continue;
		for (unsigned i = 0; i < n_live; i++) {
			if (vlan_carries(&rts[live[i]]->vlan, vid))
				list[n++] = live[i];
		}
		vm = t->members[vid] = vlan_members_new(n);
		if (!vm) {
			r = -ENOMEM;
			break;
		}
		memcpy(vm->port, list, n * sizeof(list[0]));
		vm->storm = t->dp->vlans[vid]->storm;
	}
	free(live);
	free(list);
	return r;
}

static int allocate_vlans(struct txn *t)
{
	for (unsigned i = 0; i < t->n_vlans; i++) {
		struct vlan_change *vc = &t->vlans[i];
		const struct dp_vlan_conf *old = t->dp->vlan_conf[vc->id];
		uint64_t pps = vc->want ? vc->conf.storm_pps : 0;

		if (vc->want) {
			vc->made = malloc(sizeof(*vc->made));
			if (!vc->made)
				return -ENOMEM;
			*vc->made = vc->conf;
		}
		/* The storm meter hangs on the member list: a new one needs a new list. */
		if (pps != (old ? old->storm_pps : 0))
			t->dirty[vc->id >> 6] |= 1ull << (vc->id & 63);
	}
	return 0;
}

static int allocate_storms(struct txn *t)
{
	for (unsigned i = 0; i < t->n_vlans; i++) {
		struct vlan_change *vc = &t->vlans[i];
		const struct dp_vlan_conf *old = t->dp->vlan_conf[vc->id];
		uint64_t pps = vc->want ? vc->conf.storm_pps : 0;
		struct meter *m = NULL;

		if (pps == (old ? old->storm_pps : 0))
			continue;
		if (pps) {
			m = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*m), RTE_CACHE_LINE_SIZE));
			if (!m)
				return -ENOMEM;
			meter_init_pps(m, pps, t->dp->tsc_hz, rte_rdtsc());
		}
		t->members[vc->id]->storm = m;
	}
	return 0;
}

static int allocate_pollsets(struct txn *t, struct port **f)
{
	unsigned n[DP_MAX_WORKERS] = {0};

	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port *p[2] = {t->ports[i].port, t->ports[i].same ? NULL : t->ports[i].old};

		for (unsigned k = 0; k < 2; k++) {
			for (unsigned q = 0; p[k] && q < p[k]->kp.n_queues; q++)
				t->touched[p[k]->rxq[q].worker] = true;
		}
	}
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		for (unsigned q = 0; f[i] && q < f[i]->kp.n_queues; q++)
			n[f[i]->rxq[q].worker]++;
	}
	for (unsigned w = 0; w < t->dp->n_workers; w++) {
		if (t->touched[w]) {
			t->sets[w] = pollset_new(n[w]);
			if (!t->sets[w])
				return -ENOMEM;
			t->sets[w]->n = 0;
		}
	}
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		for (unsigned q = 0; f[i] && q < f[i]->kp.n_queues; q++) {
			struct pollset *ps = t->sets[f[i]->rxq[q].worker];

			if (ps)
				ps->q[ps->n++] = &f[i]->rxq[q];
		}
	}
	return 0;
}

/* Addresses that are not bound yet. */
static unsigned n_new_bindings(const struct txn *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_add; i++)
		n += !bsearch(&t->add[i], t->del, t->n_del, sizeof(t->del[0]), binding_by_key);
	return n;
}

int txn_make(struct txn *t)
{
	const struct port_rt **rts = calloc(DP_MAX_PORTS, sizeof(rts[0]));
	struct port **f = NULL;
	int r = rts ? allocate_ports(t) : -ENOMEM;

	if (r && rts) {
		free(rts);
		return r; /* *err is filled */
	}
	if (!r)
		f = future_ports(t, rts);
	if (!f)
		r = -ENOMEM;
	if (!r)
		r = allocate_vlans(t);
	if (!r)
		r = allocate_members(t, f, rts);
	if (!r)
		r = allocate_storms(t);
	if (!r)
		r = allocate_pollsets(t, f);
	if (!r)
		r = fdb_reserve(t->dp->fdb, n_new_bindings(t));
	free(f);
	free(rts);
	if (r == -ENOSPC)
		return dp_fail(t->err, r, "too-many", "static_macs", NULL, "the FDB has no room for %u more static addresses",
			       t->n_add);
	return r ? dp_fail(t->err, r, "no-memory", NULL, NULL, "out of memory") : 0;
}

/* Take back what allocate() made; the reverse order. */
void txn_undo(struct txn *t)
{
	for (unsigned w = 0; w < DP_MAX_WORKERS; w++)
		free(t->sets[w]);
	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		if (t->members[vid] && t->members[vid]->storm != t->dp->vlans[vid]->storm)
			free(t->members[vid]->storm);
		free(t->members[vid]);
	}
	for (unsigned i = 0; i < t->n_vlans; i++)
		free(t->vlans[i].made);
	for (unsigned i = t->n_ports; i-- > 0;) {
		struct port_change *pc = &t->ports[i];

		if (pc->opened)
			kind_find(pc->conf.kind, pc->conf.carrier)->close(&pc->device);
		if (pc->mtu_set)
			pc->old->kind->set_mtu(&pc->old->kp, pc->old->rt->conf.mtu);
		if (pc->rt)
			port_rt_free(pc->rt, pc->old->rt);
		if (pc->port)
			port_free(pc->port);
	}
}

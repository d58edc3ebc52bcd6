/* SPDX-License-Identifier: Apache-2.0 */
/* Make a change the state, and retire what it replaced: see change.h. */
#include <search.h>
#include <stdlib.h>

#include "change.h"
#include "device.h"

#define FLUSH_EACH 4 /* VLANs that a port leaves, flushed one by one */

static void publish_vlans(struct txn *t)
{
	struct dp *dp = t->dp;

	for (unsigned i = 0; i < t->n_vlans; i++) {
		struct vlan_change *vc = &t->vlans[i];

		vc->old = dp->vlan_conf[vc->id];
		dp->vlan_conf[vc->id] = vc->made;
		fdb_limit_vlan(dp->fdb, vc->id, vc->made ? vc->made->mac_limit : 0);
		fdb_aging_vlan(dp->fdb, vc->id, vc->made ? vc->made->aging_s : DP_AGING_DEFAULT_S);
	}
	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		if (t->members[vid]) {
			t->old_members[vid] = dp->vlans[vid];
			rcu_assign_pointer(dp->vlans[vid], t->members[vid]);
		}
	}
}

void txn_publish(struct txn *t)
{
	struct dp *dp = t->dp;

	/* New ports and new configurations first: what follows refers to them. */
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old && pc->old->rt->conf.vlan)
			dp->vlan_refs[pc->old->rt->conf.vlan]--;
		if (pc->want && pc->conf.vlan)
			dp->vlan_refs[pc->conf.vlan]++;
		if (pc->port) {
			fdb_limit_port(dp->fdb, pc->port->idx, pc->conf.mac_limit);
			rcu_assign_pointer(dp->ports[pc->port->idx], pc->port);
		}
		if (pc->old && pc->rt) {
			fdb_limit_port(dp->fdb, pc->old->idx, pc->conf.mac_limit);
			pc->old_rt = pc->old->rt;
			rcu_assign_pointer(pc->old->rt, pc->rt);
		}
	}
	/* An address that stays bound to the same port is not unbound in between: a frame would be flooded. */
	for (unsigned i = 0; i < t->n_del; i++) {
		struct binding *b = &t->del[i], *again = bsearch(b, t->add, t->n_add, sizeof(*b), binding_by_key);

		struct port *old = b->pc->old;
		struct fdb_hit hit = fdb_lookup(dp->fdb, b->key, fdb_hash(dp->fdb, b->key));

		if (!old || !hit.is_static || hit.port != old->idx)
			continue;
		old->n_macs -= b->extra;
		if (!again || again->pc != b->pc || !b->pc->same)
			fdb_unbind(dp->fdb, b->key, old->idx);
	}
	for (unsigned i = 0; i < t->n_add; i++) {
		struct binding *b = &t->add[i];
		struct port *p = b->pc->port ? b->pc->port : b->pc->old;

		fdb_bind(dp->fdb, b->key, p->idx);
		p->n_macs += b->extra;
	}
	publish_vlans(t);
	for (unsigned w = 0; w < dp->n_workers; w++) {
		if (t->sets[w]) {
			t->old_sets[w] = dp->workers[w]->pollset;
			rcu_assign_pointer(dp->workers[w]->pollset, t->sets[w]);
		}
	}
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old && !pc->same) {
			port_fds_del(pc->old);
			/* A port that is replaced by one of its name leaves it the place in the tree. */
			if (pc->port)
				*(struct port **)tfind(pc->old, &dp->names, port_by_name) = pc->port;
			else
				tdelete(pc->old, &dp->names, port_by_name);
			dp->n_ports--;
			rcu_assign_pointer(dp->ports[pc->old->idx], NULL);
		}
		if (pc->port)
			dp->n_ports++;
	}
}

/* Learned addresses in VLANs that a port no longer carries would swallow frames until they age. */
static void flush_left_vlans(struct txn *t, const struct port_change *pc)
{
	uint16_t left[FLUSH_EACH];
	unsigned n = 0;

	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		if (!vlan_bit(pc->old_rt->vlan.trunks, vid) || vlan_bit(pc->rt->vlan.trunks, vid) ||
		    !fdb_count_vlan(t->dp->fdb, vid))
			continue;
		/* Each is a walk of the whole table; many cost more than learning the port's other addresses again. */
		if (n == FLUSH_EACH) {
			fdb_flush(t->dp->fdb, pc->old->idx, -1);
			return;
		}
		left[n++] = vid;
	}
	for (unsigned i = 0; i < n; i++)
		fdb_flush(t->dp->fdb, pc->old->idx, left[i]);
}

void txn_retire(struct txn *t)
{
	struct dp *dp = t->dp;
	bool gone = false;

	for (unsigned w = 0; w < dp->n_workers; w++)
		worker_wake(dp->workers[w]);
	dp_quiesce(dp);

	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];

		if (pc->old && !pc->same) {
			gone = true;
			fdb_flush(dp->fdb, pc->old->idx, -1);
		}
		if (pc->old && pc->old_rt) {
			flush_left_vlans(t, pc);
			port_rt_free(pc->old_rt, pc->rt);
			feed_link(pc->old); /* administratively up or down */
			if (pc->opened)
				device_take(pc->old, &pc->device);
		}
	}
	/* Who looked an address up before it was flushed has sent its frame by now. */
	if (gone) {
		for (unsigned w = 0; w < dp->n_workers; w++)
			worker_wake(dp->workers[w]);
		dp_quiesce(dp);
	}
	for (unsigned i = 0; i < t->n_ports; i++) {
		struct port_change *pc = &t->ports[i];
		struct dp_port_stats last;

		if (pc->old && !pc->same) {
			port_sum(pc->old, &last);
			port_stats_add(&dp->gone, &last);
			port_free(pc->old);
		}
		if (pc->port)
			port_refresh(pc->port);
	}
	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		if (t->old_members[vid]) {
			if (t->old_members[vid]->storm != dp->vlans[vid]->storm)
				free(t->old_members[vid]->storm);
			free(t->old_members[vid]);
		}
	}
	for (unsigned w = 0; w < dp->n_workers; w++)
		free(t->old_sets[w]);
	for (unsigned i = 0; i < t->n_vlans; i++)
		free(t->vlans[i].old);
}

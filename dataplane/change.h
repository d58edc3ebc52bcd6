/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_CHANGE_H
#define DATAPLANE_CHANGE_H

/*
 * dp_apply() from the inside: validate all, allocate all, publish what cannot fail.
 *
 *   apply.c    collapse   the operations, in order, to one net change for each object: what was, and what is wanted
 *              validate   each wanted configuration on its own, then references and addresses in the state that results
 *   make.c     allocate   devices are opened; runtime forms, member lists and poll sets are made; the FDB makes room.
 *                         Ports whose device is not to be had now are left out, if the operation allows it; those that had lost theirs
 *                         are changed, and go on without
 *              undo       the same in reverse, when something failed
 *   publish.c  publish    pointers are swung, static addresses bound, limits set
 *              retire     after a grace period: descriptors, devices and memory of what was replaced
 *
 * The order of publishing and retiring keeps two promises. A port is in the port table before it is in a member list or the FDB, and
 * out of those before it leaves the table. And a frame that one worker has handed to another finds its port or nobody, for it names the
 * port's generation. Learned addresses are flushed after a first grace period, when nobody learns for the port any more, and its device
 * is closed after a second, when nobody has looked up what was flushed.
 *
 * Control thread only.
 */

#include "dp.h"

/* Net change of one port. */
struct port_change {
	char name[DP_NAME_MAX];
	struct port *old;	  /* there before, or NULL */
	bool want;		  /* there afterwards */
	bool same;		  /* old stays, with a new configuration; otherwise old goes and a new one comes */
	bool mtu_set;		  /* the device has the new MTU: undo on failure */
	bool lacks;		  /* wanted, and left out: *lack says why */
	bool mends;		  /* same, and it had lost its device: one is to be opened */
	bool opened;		  /* ... and is: `device` */
	struct dp_error *lack;	  /* the operation's, or NULL. Not valid after dp_prepare() */
	size_t op;		  /* the operation that touched it last */
	struct dp_port_conf conf; /* wanted */
	struct port *port;	  /* made */
	struct port_rt *rt;	  /* made, for `same` */
	struct port_rt *old_rt;	  /* replaced */
	struct kind_port device;  /* opened */
};

struct vlan_change {
	uint16_t id;
	size_t op;
	bool want;
	struct dp_vlan_conf conf;
	struct dp_vlan_conf *made, *old;
};

/* A static address: of a wanted port, or of one that goes. */
struct binding {
	uint64_t key;
	struct port_change *pc;
	const char *attr;
	bool extra; /* by DP_MAC_ADD or _DEL, not by the configuration */
};

/* Known outside as struct dp_change. */
struct txn {
	struct dp *dp;
	struct dp_error *err;
	struct port_change *ports;
	unsigned n_ports;
	void *by_name; /* tsearch tree of struct port_change */
	struct vlan_change *vlans;
	unsigned n_vlans;
	struct vlan_change *vlan_at[DP_VLAN_N];
	struct binding *add, *del;
	unsigned n_add, n_del;
	struct mac_change {
		struct binding b;
		bool want;
	} * macs;
	unsigned n_macs;
	uint64_t dirty[DP_VLAN_N / 64]; /* VLANs whose member list changes */
	struct vlan_members *members[DP_VLAN_N], *old_members[DP_VLAN_N];
	struct pollset *sets[DP_MAX_WORKERS], *old_sets[DP_MAX_WORKERS];
	unsigned gained[DP_MAX_WORKERS]; /* queues that a worker gets or loses */
	bool touched[DP_MAX_WORKERS];
};

/* For qsort and bsearch over bindings. */
int binding_by_key(const void *a, const void *b);
/* The tree of ports by name. */
int port_by_name(const void *a, const void *b);

/* Blame operation `op` for the error that *t->err holds; returns r. */
int txn_fail_at(struct txn *t, size_t op, int r);

/* Make all that the new state needs. 0, or -errno with *t->err; then txn_undo() takes back what was made. */
int txn_make(struct txn *t);
void txn_undo(struct txn *t);

/* Make it the state. Cannot fail. */
void txn_publish(struct txn *t);
/* Wait until nobody uses what was replaced, and free it. */
void txn_retire(struct txn *t);

#endif

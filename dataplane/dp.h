/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_DP_H
#define DATAPLANE_DP_H

/*
 * The switch's inside: what the files of dataplane/ share. Nobody outside includes it.
 *
 * Who may touch what:
 *   ports[], vlans[]    written by apply.c on the control thread with rcu_assign_pointer; read by workers with rcu_dereference
 *   fdb                 see fdb.h
 *   pool                DPDK's, any thread
 *   everything else     the control thread
 */

/* Inline versions of liburcu's read side (its headers allow it for any licence). */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu-qsbr.h>

#include "egress.h"
#include "events.h"
#include "feed.h"
#include "worker.h"

struct dp {
	/* Read by workers. */
	struct port *ports[DP_MAX_PORTS];      /* RCU */
	struct vlan_members *vlans[DP_VLAN_N]; /* RCU, never NULL */
	struct fdb *fdb;
	struct rte_mempool *pool;
	uint64_t tsc_hz, epoch_tsc; /* seconds count from 1 at epoch_tsc, for workers and the FDB's ageing alike */
	struct worker *workers[DP_MAX_WORKERS];
	unsigned n_workers, n_started;
	bool busy_poll;
	struct feed *feed; /* RCU; NULL: nobody listens */
	void (*worker_init)(void);
	int attention_fd; /* written by a worker that needs the control thread, once: see attend() */
	atomic_bool attention;

	/* Control thread. */
	struct events events;
	void *names; /* tsearch tree of struct port by name */
	unsigned n_ports;
	bool reserved[DP_MAX_PORTS];		   /* indices in use, by ports that are still being made or taken down too */
	unsigned load[DP_MAX_WORKERS];		   /* queues of each worker, likewise */
	struct dp_vlan_conf *vlan_conf[DP_VLAN_N]; /* NULL: not declared */
	uint32_t vlan_refs[DP_VLAN_N];		   /* ports whose `vlan` it is */
	uint64_t storm_drops[DP_VLAN_N];	   /* written by workers, relaxed; a count for people */
	struct dp_port_stats gone;		   /* counters of removed ports */
	const char *memory_why;
	bool huge;
	uint64_t memory_bytes;
	uint32_t buffers, fdb_max;
	struct kind_timer *tick;
	unsigned ticks;
	struct {
		char port[DP_NAME_MAX];
		void (*cb)(void *arg); /* NULL: nobody asked */
		void *arg;
	} leave;
	unsigned look_ticks; /* for so many, a link that is down is asked for at each: a device came that is about to have one */
};

/* The grace period, as fdb.h and kind.h want it. Control thread. */
void dp_quiesce(void *dp);

/* vlans[] of a switch without ports, made by dp_open(). */
struct vlan_members *vlan_members_new(unsigned n);

/* The port of that name, or NULL. Control thread. */
struct port *dp_port(struct dp *dp, const char *name);

#endif

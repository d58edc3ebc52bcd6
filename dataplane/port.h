/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PORT_H
#define DATAPLANE_PORT_H

/*
 * A port, as workers and the control thread share it.
 *
 *   struct port       lives from add to delete: device, queues, counters. Found by index in dp->ports[], an RCU pointer.
 *     |-- rt          what is configured, ready to use: struct port_rt, an RCU pointer; replaced whole by `set`
 *     |-- kp          what its kind told: burst functions, queues, capabilities
 *     |-- rxq[]       one for each receive queue: who polls it, and how long it has been silent
 *     |-- counters[]  one block for each worker: written by that worker only
 *     `-- tx[]        for each worker: the queue that it sends by, or the worker that it must hand frames to
 *
 * Meters are words that workers write, so they are not part of the immutable port_rt but hang on it; a `set` that leaves a limit as it was
 * carries its meter over, so that changing a port's MTU does not hand out a fresh burst.
 *
 * Queues and workers. Receive queue q of a port is polled by one worker, the one with the fewest queues when the port was made. If the port has
 * as many queue pairs as there are workers, each sends by its own. If it has fewer, the worker that polls the pair owns its sending half too,
 * and the others pass frames to it through a ring: no lock, and a frame order that is right for each sender (see egress.h).
 */

#include <rte_ether.h>

#include "kind.h"
#include "meter.h"
#include "spoof.h"
#include "vlan.h"

struct worker;

#define FEED_COUNTERS 10 /* counters that the event feed compares */

/* Configuration in its runtime form. Immutable once published, but for the meters. */
struct port_rt {
	struct vlan_port vlan;
	uint16_t mtu;
	bool down, isolated;
	bool checks; /* any of: down, spoof, meters in. Off the common path. */
	bool spoof_on;
	struct spoof spoof;
	struct meter *in_bps, *in_pps, *out_bps, *out_pps; /* NULL: no limit */
	struct dp_port_conf conf;			   /* what it was made from. Control thread. */
};

/* Counters of one port written by one worker. Read by the control thread with plain 64-bit loads. */
struct port_counters {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t flooded, learn_refused, moved, csum_completed, segmented;
	uint64_t drops[SLC_DROP_N];
} __rte_cache_aligned;

struct rxq {
	struct port *port;
	uint16_t index;
	uint16_t worker; /* who polls it */
	/* The rest is the polling worker's alone. */
	bool active;
	bool armed;
	uint64_t last_tsc; /* when it last had frames */
};

struct port_tx {
	uint16_t owner; /* worker that sends: the index itself if that is us */
	uint16_t queue;
};

struct port {
	uint16_t idx;
	uint32_t gen;	    /* differs from every other port that had or will have this index */
	bool link_up;	    /* written by the control thread, read by workers */
	bool left;	    /* an address behind it was heard behind another: set by workers, cleared by who looks */
	struct port_rt *rt; /* RCU */
	struct kind_port kp;
	struct port_tx tx[DP_MAX_WORKERS];
	struct rxq rxq[KIND_MAX_QUEUES];
	struct port_counters *counters; /* [n_workers] */
	/* Read by workers around a sleep; changed by the control thread when the device goes or comes (device.h). */
	const struct port_kind *kind;
	int fds[KIND_MAX_QUEUES]; /* in the pollers' epoll sets, -1: none */

	/* Control thread only. */
	struct dp *dp;
	struct kind_lost past; /* by devices that it had and lost (device.h) */
	unsigned n_macs;       /* static entries by DP_MAC_ADD */
	struct {
		bool link;
		uint64_t counters[FEED_COUNTERS];
	} told; /* what the event feed told last (feed.c) */
	char name[DP_NAME_MAX];
};

/* Open the device and make everything around it; not yet visible to any worker. Control thread. NULL with *err. */
struct port *port_new(struct dp *dp, const struct dp_port_conf *conf, struct dp_error *err);
/* Close the device. No worker knows the port any more. */
void port_free(struct port *p);

/* Runtime form of a configuration; meters of limits that are the same in `old` (may be NULL) are carried over. NULL: out of memory. */
struct port_rt *port_rt_new(const struct dp *dp, const struct dp_port_conf *conf, const struct port_rt *old);
/* Free what `kept` (may be NULL) does not carry on. */
void port_rt_free(struct port_rt *rt, const struct port_rt *kept);

/* Is the configuration possible, on its own? 0 or -errno with *err (attr, message, hint). Fills in defaults that are zero. */
int port_conf_check(struct dp_port_conf *conf, struct dp_error *err);
/* May an existing port change from `old` to `conf`? Attributes of its kind are fixed. */
int port_conf_check_change(const struct dp_port_conf *old, const struct dp_port_conf *conf, struct dp_error *err);

/*
 * Put the queues' descriptors into the epoll sets of the workers that poll them, and take the link state over: called when the port is
 * published, and by kind_changed() later. port_fds_del() takes them out again. Control thread.
 */
void port_refresh(struct port *p);
void port_fds_del(struct port *p);

/* Sum of the workers' counters and what the kind lost. Control thread. */
void port_sum(const struct port *p, struct dp_port_stats *out);
/* sum += s */
void port_stats_add(struct dp_port_stats *sum, const struct dp_port_stats *s);

#endif

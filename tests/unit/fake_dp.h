/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_DP_H
#define TESTS_FAKE_DP_H

/*
 * A switch that is not there: the functions of dataplane.h that the control plane calls, kept in memory.
 *
 * It holds what it was told to, refuses what a test asks it to refuse, and aborts when the control plane breaks its own promises (adding
 * what is there, changing what is not). Include it in one file of a program; the linker then takes nothing from the dataplane.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane.h"

#define FAKE_PORTS   64
#define FAKE_ENTRIES 2500

struct dp {
	struct dp_port_conf ports[FAKE_PORTS];
	unsigned n_ports;
	struct dp_vlan_conf vlans[DP_VLAN_N];
	bool has_vlan[DP_VLAN_N];
	unsigned applies;	      /* calls of dp_apply() and dp_prepare() */
	size_t n_ops;		      /* of the last one */
	enum dp_op_type op_types[64]; /* and what they were */
	/* Refuse the operation on the port of this name. */
	const char *refuse_port, *refuse_attr;
	dp_event_cb cb; /* of who listens */
	void *cb_arg;
	unsigned polls; /* calls of dp_events_poll() */
	uint64_t beats[2];
	unsigned vlan_states; /* calls of dp_vlan_state() */
	/* The device of a port of this path is not to be had. */
	const char *lacking_path;
	unsigned commits, aborts;
};

/* What dp_prepare() made: the switch as it will be. */
struct dp_change {
	struct dp *dp, next;
};

static struct dp fake_dp;

static int fake_port_index(const struct dp *dp, const char *name)
{
	for (unsigned i = 0; i < dp->n_ports; i++)
		if (!strcmp(dp->ports[i].name, name))
			return i;
	return -1;
}

static void fake_must(bool held)
{
	if (!held)
		abort();
}

static int fake_refuse(struct dp_error *err, size_t op, int code, const char *name, const char *attr, const char *msg)
{
	memset(err, 0, sizeof(*err));
	err->op = op;
	err->name = name;
	strncpy(err->attr, attr, sizeof(err->attr) - 1);
	strncpy(err->msg, msg, sizeof(err->msg) - 1);
	return code;
}

static int fake_port_op(struct dp *dp, const struct dp_op *op, size_t index, struct dp_error *err)
{
	int i = fake_port_index(dp, op->port->name);

	if (op->type == DP_PORT_DEL) {
		fake_must(i >= 0);
		dp->ports[i] = dp->ports[--dp->n_ports];
		return 0;
	}
	if (dp->refuse_port && !strcmp(dp->refuse_port, op->port->name))
		return fake_refuse(err, index, -EBUSY, "in-use", dp->refuse_attr, "path: in use");
	if (op->port->vlan_mode == DP_VLAN_TRUNK && op->port->vlan)
		return fake_refuse(err, index, -EINVAL, "not-allowed", "vlan", "vlan: not on a trunk");
	if (op->port->vlan_mode == DP_VLAN_ACCESS && !op->port->vlan)
		return fake_refuse(err, index, -EINVAL, "missing", "vlan", "vlan: missing on an access port");
	if (op->type == DP_PORT_SET) {
		fake_must(i >= 0);
		dp->ports[i] = *op->port;
		return 0;
	}
	fake_must(i < 0);
	if (dp->lacking_path && !strcmp(dp->lacking_path, op->port->path)) {
		fake_must(op->lack);
		return fake_refuse(op->lack, index, 0, "no-such-path", "path", "path: there is no such directory");
	}
	if (dp->n_ports == FAKE_PORTS)
		return fake_refuse(err, index, -ENOSPC, "too-many", "", "too many ports");
	dp->ports[dp->n_ports++] = *op->port;
	return 0;
}

static void fake_vlan_op(struct dp *dp, const struct dp_op *op)
{
	fake_must(op->vlan->id >= 1 && op->vlan->id <= 4094);
	if (op->type == DP_VLAN_DEL)
		fake_must(dp->has_vlan[op->vlan->id]);
	dp->has_vlan[op->vlan->id] = op->type == DP_VLAN_SET;
	dp->vlans[op->vlan->id] = *op->vlan;
}

/* As the switch would be. */
static int fake_next(const struct dp *dp, struct dp *next, const struct dp_op *ops, size_t n_ops, struct dp_error *err)
{
	int ret = 0;

	*next = *dp;
	for (size_t i = 0; ret == 0 && i < n_ops; i++) {
		if (ops[i].type == DP_VLAN_SET || ops[i].type == DP_VLAN_DEL)
			fake_vlan_op(next, &ops[i]);
		else
			ret = fake_port_op(next, &ops[i], i, err);
	}
	next->n_ops = n_ops;
	for (size_t i = 0; i < n_ops && i < 64; i++)
		next->op_types[i] = ops[i].type;
	return ret;
}

int dp_prepare(struct dp *dp, const struct dp_op *ops, size_t n_ops, struct dp_change **change, struct dp_error *err)
{
	struct dp_change *c = malloc(sizeof(*c));
	int ret = c ? fake_next(dp, &c->next, ops, n_ops, err) : -ENOMEM;

	dp->applies++;
	if (ret < 0) {
		free(c);
		return c ? ret : fake_refuse(err, SIZE_MAX, -ENOMEM, "no-memory", "", "out of memory");
	}
	c->dp = dp;
	*change = c;
	return 0;
}

void dp_commit(struct dp_change *change)
{
	change->next.applies = change->dp->applies;
	change->next.commits++;
	*change->dp = change->next;
	free(change);
}

void dp_abort(struct dp_change *change)
{
	change->dp->aborts++;
	free(change);
}

int dp_apply(struct dp *dp, const struct dp_op *ops, size_t n_ops, bool dry_run, struct dp_error *err)
{
	struct dp *next = malloc(sizeof(*next));
	int ret = next ? fake_next(dp, next, ops, n_ops, err) : -ENOMEM;

	fake_must(dry_run);
	dp->applies++;
	free(next);
	return next ? ret : fake_refuse(err, SIZE_MAX, -ENOMEM, "no-memory", "", "out of memory");
}

int dp_port_state(struct dp *dp, const char *name, struct dp_port_state *out)
{
	if (fake_port_index(dp, name) < 0)
		return -ENOENT;
	*out = (struct dp_port_state){.link_up = true, .wake = "fd", .queues = 1, .mtu = 1500, .macs = 3};
	return 0;
}

int dp_port_stats(struct dp *dp, const char *name, struct dp_port_stats *out)
{
	if (fake_port_index(dp, name) < 0)
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	out->rx_frames = 10;
	out->drops[SLC_DROP_RUNT] = 2;
	out->drops[SLC_DROP_MTU] = 5;
	return 0;
}

void dp_node_stats(struct dp *dp, struct dp_port_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->rx_frames = 1000;
}

int dp_worker_stats(struct dp *dp, unsigned worker, struct dp_worker_stats *out)
{
	if (worker >= 2)
		return -ENOENT;
	*out = (struct dp_worker_stats){
		.core = worker, .queues = 1, .polls = 10, .polls_busy = 5, .frames = 50, .busy_us = 25, .idle_us = 75};
	return 0;
}

/* A test that wants a worker to be stuck leaves its beat alone. */
int dp_worker_beat(struct dp *dp, unsigned worker, uint64_t *beat)
{
	if (worker >= 2)
		return -ENOENT;
	*beat = dp->beats[worker];
	return 0;
}

int dp_vlan_state(struct dp *dp, uint16_t id, struct dp_vlan_state *out)
{
	dp->vlan_states++;
	*out = (struct dp_vlan_state){.macs = 7, .members = dp->n_ports};
	return 0;
}

void dp_node_info(struct dp *dp, struct dp_node_info *out)
{
	*out = (struct dp_node_info){
		.dpdk_version = "DPDK 0.0.0",
		.memory = "plain",
		.memory_why = "a test",
		.memory_bytes = 1 << 20,
		.buffers = 100,
		.buffers_free = 99,
		.fdb_max = 1000,
		.ports = dp->n_ports,
		.max_ports = FAKE_PORTS,
		.workers = 2,
		.poll = "adaptive",
	};
}

int dp_fdb_walk(struct dp *dp, uint64_t *cursor, int vlan, const char *port, const uint8_t mac[6], struct dp_fdb_entry *out,
		size_t n)
{
	size_t got = 0;

	if (port && fake_port_index(dp, port) < 0)
		return -ENOENT;
	for (; *cursor < FAKE_ENTRIES && got < n; (*cursor)++) {
		struct dp_fdb_entry e = {.vlan = 100, .mac = {2, 0, 0, 0, *cursor >> 8, *cursor & 255}, .age_s = 1, .port = "m1"};

		if ((vlan < 0 || vlan == e.vlan) && (!mac || !memcmp(mac, e.mac, 6)))
			out[got++] = e;
	}
	if (*cursor >= FAKE_ENTRIES)
		*cursor = UINT64_MAX;
	return got;
}

int dp_port_lose(struct dp *dp, const char *name)
{
	return fake_port_index(dp, name) < 0 ? -ENOENT : 0;
}

int dp_fdb_flush(struct dp *dp, const char *port)
{
	return fake_port_index(dp, port) < 0 ? -ENOENT : 0;
}

bool dp_fdb_find(struct dp *dp, uint16_t vlan, const uint8_t mac[6], struct dp_fdb_entry *out)
{
	return false;
}

void dp_fdb_on_leave(struct dp *dp, const char *port, void (*cb)(void *arg), void *arg)
{
}

/* --- events: a test calls fake_dp.cb itself --- */

int dp_events_start(struct dp *dp, dp_event_cb cb, void *arg)
{
	fake_must(!dp->cb);
	dp->cb = cb;
	dp->cb_arg = arg;
	return 0;
}

void dp_events_stop(struct dp *dp)
{
	dp->cb = NULL;
}

void dp_events_poll(struct dp *dp)
{
	fake_must(dp->cb);
	dp->polls++;
}

const char *dp_kind_name(unsigned i, bool *available)
{
	static const char *const names[] = {"memif", "vhost-user"};

	*available = i == 0;
	return i < 2 ? names[i] : NULL;
}

const char *dp_drop_name(unsigned reason)
{
	static const char *const names[] = {
#define X(sym, name, doc) name,
		SLC_DROP_REASONS(X)
#undef X
	};

	return reason < SLC_DROP_N ? names[reason] : NULL;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */

#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "schema/objects.h"

static bool is_veth(const struct port_conf *conf)
{
	return !strcmp(conf->dp.kind, "veth");
}

bool kernel_is_veth(const struct port_conf *conf)
{
	return conf && is_veth(conf);
}

bool kernel_is_trunk(const struct port_conf *conf)
{
	return conf && !strcmp(conf->dp.kind, "trunk");
}

/*
 * The node has one trunk, and that is its own. A port of this kind by another name (a client's, or of a trunk-name before) lacks its device, which
 * the switch says; the kernel engine would take whatever netdev has that name for its trunk.
 */
static bool is_our_trunk(const struct ctl *ctl, const struct port_conf *conf)
{
	return ctl->trunk && !strcmp(conf->dp.name, ctl->trunk);
}

void kernel_trunk_conf(const struct ctl *ctl, const struct port_conf *conf, struct dp_port_conf *out)
{
	const struct kern_trunk_netdev *netdev = &ctl->trunk_netdev;

	*out = conf->dp;
	out->ifname[0] = '\0';
	if (!is_our_trunk(ctl, conf) || !netdev->carrier)
		return;
	snprintf(out->carrier, sizeof(out->carrier), "%s", netdev->carrier);
	snprintf(out->ifname, sizeof(out->ifname), "%s", netdev->far);
	out->ifindex = netdev->far_ifindex;
}

/* Those that have attributes of a container, too: to be told that they must not. */
static bool carries(const struct schema_object *type, const void *conf)
{
	const struct port_conf *port = conf;

	if (type == &schema_vlan)
		return true;
	return type == &schema_port &&
	       (is_veth(port) || kernel_is_trunk(port) || port->netns[0] || port->n_addrs || port->n_gateways);
}

/* --- translation ------------------------------------------------------------------------------------------------------------- */

static struct kern_ip ip_of(const struct dp_ip *from)
{
	struct kern_ip to = {.family = from->family, .prefix = from->prefix};

	if (from->family == AF_INET)
		to.v4 = from->v4;
	else
		to.v6 = from->v6;
	return to;
}

static struct kern_limit limit_of(const struct dp_limit *from)
{
	return (struct kern_limit){.bps = from->bps, .pps = from->pps, .burst_bytes = from->burst_bytes};
}

static void vlans_of(struct kern_vlan_set *to, const struct dp_vlan_set *from)
{
	memcpy(to->bits, from->bits, sizeof(to->bits));
	to->given = from->given;
}

static void speakers_of(struct kern_port_conf *to, const struct dp_port_conf *from)
{
	to->has_mac = from->has_mac;
	memcpy(to->mac, from->mac, sizeof(to->mac));
	to->n_ips = from->n_ips;
	for (unsigned i = 0; i < from->n_ips; i++)
		to->ips[i] = ip_of(&from->ips[i]);
	to->n_static_macs = from->n_static_macs;
	for (unsigned i = 0; i < from->n_static_macs; i++) {
		to->static_macs[i].vlan = from->static_macs[i].vlan;
		memcpy(to->static_macs[i].mac, from->static_macs[i].mac, 6);
	}
	to->mac_limit = from->mac_limit;
	to->isolated = from->isolated;
}

static const enum kern_vlan_mode modes[] = {
	[DP_VLAN_ACCESS] = KERN_VLAN_ACCESS,
	[DP_VLAN_TRUNK] = KERN_VLAN_TRUNK,
	[DP_VLAN_NATIVE_TAGGED] = KERN_VLAN_NATIVE_TAGGED,
	[DP_VLAN_NATIVE_UNTAGGED] = KERN_VLAN_NATIVE_UNTAGGED,
	[DP_VLAN_DOT1Q_TUNNEL] = KERN_VLAN_DOT1Q_TUNNEL,
};

static void port_of(struct kern_port_conf *to, const struct port_conf *from)
{
	const struct dp_port_conf *dp = &from->dp;

	memset(to, 0, sizeof(*to));
	snprintf(to->name, sizeof(to->name), "%s", dp->name);
	snprintf(to->netns, sizeof(to->netns), "%s", from->netns);
	snprintf(to->ifname, sizeof(to->ifname), "%s", dp->ifname);
	to->n_addrs = from->n_addrs;
	for (unsigned i = 0; i < from->n_addrs; i++)
		to->addrs[i] = ip_of(&from->addrs[i]);
	for (unsigned i = 0; i < from->n_gateways; i++) {
		if (from->gateways[i].family == AF_INET) {
			to->has_gateway4 = true;
			to->gateway4 = from->gateways[i].v4;
		} else {
			to->has_gateway6 = true;
			to->gateway6 = from->gateways[i].v6;
		}
	}
	to->vlan_mode = modes[dp->vlan_mode];
	to->vlan = dp->vlan;
	vlans_of(&to->trunks, &dp->trunks);
	vlans_of(&to->cvlans, &dp->cvlans);
	to->qinq_ethertype = dp->qinq_ethertype;
	speakers_of(to, dp);
	to->mtu = dp->mtu;
	to->down = dp->down;
	to->has_pcp = dp->has_pcp;
	to->pcp = dp->pcp;
	to->in = limit_of(&dp->in);
	to->out = limit_of(&dp->out);
}

static void vlan_of(struct kern_vlan_conf *to, const struct dp_vlan_conf *from)
{
	*to = (struct kern_vlan_conf){
		.id = from->id,
		.mac_limit = from->mac_limit,
		.aging_s = from->aging_s,
		.storm_pps = from->storm_pps,
	};
}

static void trunk_of(struct kern_trunk_conf *to, const struct port_conf *from)
{
	*to = (struct kern_trunk_conf){
		.vlan = from->dp.vlan,
		.mtu = from->dp.mtu,
		.down = from->dp.down,
		.has_pcp = from->host_has_pcp,
		.pcp = from->host_pcp,
	};
	snprintf(to->ifname, sizeof(to->ifname), "%.15s", from->dp.name);
}

/* --- what goes together ---------------------------------------------------------------------------------------------------------- */

static int refuse(struct engine_error *err, size_t op, const char *attr, const char *hint, const char *msg)
{
	err->op = op;
	err->fault = (struct fault){.name = "conflict"};
	snprintf(err->fault.attr, sizeof(err->fault.attr), "%s", attr);
	snprintf(err->fault.msg, sizeof(err->fault.msg), "%s: %s", attr, msg);
	snprintf(err->fault.hint, sizeof(err->fault.hint), "%s", hint);
	return -EINVAL;
}

/* Attributes belong to kinds, as in the dataplane. */
static int check_attributes(const struct port_conf *c, size_t op, struct engine_error *err)
{
	const struct dp_port_conf *dp = &c->dp;
	const struct {
		bool set;
		const char *attr;
	} others[] = {
		{dp->path[0], "path"},	    {dp->devargs[0], "devargs"}, {dp->id, "id"},
		{dp->client, "role"},	    {dp->server, "server"},	 {dp->secret[0], "secret"},
		{dp->queues > 1, "queues"}, {dp->ring, "ring"},
	};
	unsigned v4 = 0;

	if (!is_veth(c))
		return refuse(err, op,
			      c->netns[0]  ? "netns"
			      : c->n_addrs ? "addr"
					   : "gateway",
			      "kind=veth", "an attribute of kind veth");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].set)
			return refuse(err, op, others[i].attr, "", "not an attribute of kind veth");
	if (!c->netns[0])
		return refuse(err, op, "netns", "netns=web1", "kind veth needs the container's network namespace");
	if (!dp->ifname[0])
		return refuse(err, op, "ifname", "ifname=eth0", "kind veth needs the name of the netdev inside");
	for (unsigned i = 0; i < c->n_gateways; i++) {
		if (c->gateways[i].prefix != (c->gateways[i].family == AF_INET ? 32 : 128))
			return refuse(err, op, "gateway", "10.0.0.1", "an address without a prefix");
		v4 += c->gateways[i].family == AF_INET;
	}
	return c->n_gateways == 2 && v4 != 1 ? refuse(err, op, "gateway", "", "one IPv4 and one IPv6 at most") : 0;
}

/* --- an engine --------------------------------------------------------------------------------------------------------------------- */

/* One operation, with room for whatever it is about. */
union translated {
	struct kern_port_conf port;
	struct kern_vlan_conf vlan;
	struct kern_trunk_conf trunk;
};

struct prepared {
	bool leaves; /* containers go away, or leave a VLAN, that may have had addresses of others behind them */
	struct kern_op *ops;
	size_t *index; /* in the caller's list */
	union translated *confs;
	size_t n;
	struct kern_txn *txn; /* NULL: there was nothing to do */
};

static void prepared_free(struct prepared *p)
{
	if (!p)
		return;
	free(p->ops);
	free(p->index);
	free(p->confs);
	free(p);
}

/*
 * The switch learned them behind the trunk, where the kernel will not know them any more. A port with `mac` has no other, and that one is bound,
 * in its own VLAN.
 */
static bool leaves_addresses(const struct engine_op *op)
{
	const struct port_conf *before = op->before, *after = op->kind == ENGINE_DEL ? NULL : op->conf;

	if (op->type != &schema_port || op->kind == ENGINE_ADD || !is_veth(before))
		return false;
	if (before->dp.has_mac && before->dp.vlan_mode == DP_VLAN_ACCESS)
		return false;
	return !after || before->dp.vlan != after->dp.vlan || before->dp.vlan_mode != after->dp.vlan_mode ||
	       memcmp((const void *)&before->dp.trunks, (const void *)&after->dp.trunks, sizeof(before->dp.trunks)) != 0;
}

static void add_op(const struct ctl *ctl, struct prepared *p, const struct engine_op *op, size_t index)
{
	const void *conf = op->kind == ENGINE_DEL ? op->before : op->conf;
	static const enum kern_op_type port_ops[] = {KERN_PORT_ADD, KERN_PORT_SET, KERN_PORT_DEL};
	struct kern_op *to = &p->ops[p->n];
	union translated *c = &p->confs[p->n];

	if (op->type == &schema_vlan) {
		vlan_of(&c->vlan, &((const struct vlan_conf *)conf)->dp);
		*to = (struct kern_op){.type = op->kind == ENGINE_DEL ? KERN_VLAN_DEL : KERN_VLAN_SET, .vlan = &c->vlan};
	} else if (kernel_is_trunk(conf)) {
		if (!is_our_trunk(ctl, conf))
			return;
		trunk_of(&c->trunk, conf);
		if (op->kind == ENGINE_DEL)
			c->trunk.ifname[0] = '\0';
		*to = (struct kern_op){.type = KERN_TRUNK_SET, .trunk = &c->trunk};
	} else {
		port_of(&c->port, conf);
		*to = (struct kern_op){.type = port_ops[op->kind], .port = &c->port};
	}
	p->index[p->n++] = index;
}

static struct prepared *prepared_new(const struct ctl *ctl, const struct engine_op *ops, size_t n)
{
	struct prepared *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->ops = calloc(n + 1, sizeof(p->ops[0]));
	p->index = calloc(n + 1, sizeof(p->index[0]));
	p->confs = calloc(n + 1, sizeof(p->confs[0]));
	if (!p->ops || !p->index || !p->confs) {
		prepared_free(p);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		p->leaves |= leaves_addresses(&ops[i]);
		add_op(ctl, p, &ops[i], i);
	}
	return p;
}

static void fault_of(struct fault *to, const struct kern_error *from, int ret)
{
	to->name = from->name ? from->name : ret == -ENOMEM ? "no-memory" : "failed";
	snprintf(to->attr, sizeof(to->attr), "%s", from->attr);
	snprintf(to->msg, sizeof(to->msg), "%s", from->name ? from->msg : strerror(-ret));
	snprintf(to->hint, sizeof(to->hint), "%s", from->hint);
}

static int blame(const struct prepared *p, const struct kern_error *bad, int ret, struct engine_error *err)
{
	err->op = bad->op < p->n ? p->index[bad->op] : SIZE_MAX;
	fault_of(&err->fault, bad, ret);
	return ret;
}

static int no_kernel(size_t op, struct engine_error *err)
{
	err->op = op;
	err->fault = (struct fault){
		.name = "unsupported", .attr = "kind", .hint = "sluiced --trunk auto; `sluicectl node show` says what is missing"};
	snprintf(err->fault.msg, sizeof(err->fault.msg), "kind veth: this node has no kernel engine");
	return -EOPNOTSUPP;
}

/* Before anything is prepared: bpf/ is told of containers only, whatever the object's kind. */
static int check_all(const struct ctl *ctl, const struct engine_op *ops, size_t n, struct engine_error *err)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (ops[i].type != &schema_port || ops[i].kind == ENGINE_DEL || kernel_is_trunk(ops[i].conf))
			continue;
		ret = check_attributes(ops[i].conf, i, err);
		if (ret == 0 && !ctl->kern)
			ret = no_kernel(i, err);
	}
	return ret;
}

static int check(void *self, const struct engine_op *ops, size_t n, struct engine_error *err)
{
	struct kern_error bad = {.op = SIZE_MAX};
	struct ctl *ctl = self;
	int ret = check_all(ctl, ops, n, err);
	struct prepared *p;

	if (ret < 0 || !ctl->kern)
		return ret;
	p = prepared_new(ctl, ops, n);
	if (!p)
		return -ENOMEM;
	ret = kern_apply(ctl->kern, p->ops, p->n, true, &bad);
	if (ret < 0)
		blame(p, &bad, ret, err);
	prepared_free(p);
	return ret;
}

/* What may come by itself: a namespace that is not there yet, a name that somebody in it still has. */
static bool is_lack(const char *name)
{
	static const char *const names[] = {"no-such-namespace", "no-such-device", "in-use", "exists"};

	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static void take_out(struct prepared *p, size_t at)
{
	p->n--;
	memmove(&p->ops[at], &p->ops[at + 1], (p->n - at) * sizeof(p->ops[0]));
	memmove(&p->index[at], &p->index[at + 1], (p->n - at) * sizeof(p->index[0]));
}

/* Leave out the operation that failed, if the node lacks something for it and the caller can live without. */
static bool leave_out(struct prepared *p, struct engine_op *ops, const struct kern_error *bad, int ret)
{
	struct engine_op *op = bad->op < p->n ? &ops[p->index[bad->op]] : NULL;

	if (!op || !op->lack || !is_lack(bad->name))
		return false;
	fault_of(op->lack, bad, ret);
	take_out(p, bad->op);
	return true;
}

static bool lacks_trunk(const struct ctl *ctl, const struct engine_op *op)
{
	return ctl->kern && op->type == &schema_port && op->kind == ENGINE_ADD && kernel_is_trunk(op->conf) &&
	       is_our_trunk(ctl, op->conf) && !ctl->trunk_netdev.far_ifindex;
}

void kernel_trunk_make(struct ctl *ctl, const struct engine_op *op)
{
	struct kern_trunk_netdev netdev;
	struct kern_error bad = {0};
	int ret;

	if (!lacks_trunk(ctl, op))
		return;
	ret = kern_trunk_netdev(ctl->kern, ctl->trunk, ctl->trunk_by, 0, &netdev, &bad);
	if (ret < 0) {
		fault_of(&ctl->trunk_lack, &bad, ret);
		return;
	}
	/* The choice was made with the first. */
	if (ctl->trunk_netdev.by)
		memcpy(netdev.why, ctl->trunk_netdev.why, sizeof(netdev.why));
	log_printf(LOG_NOTICE, "trunk %s: made %s: %s (%s)", ctl->trunk, ctl->trunk_netdev.by ? "anew" : "at last", netdev.by,
		   netdev.why);
	ctl_unnote(ctl, "trunk");
	ctl->trunk_netdev = netdev;
}

/* Whatever kept the trunk's netdev from being made is the node's lack, and no fault of the request's. */
static void leave_out_trunk(struct ctl *ctl, struct prepared *p, struct engine_op *ops)
{
	for (size_t i = p->n; i-- > 0;) {
		struct engine_op *op = &ops[p->index[i]];

		if (!op->lack || !lacks_trunk(ctl, op))
			continue;
		*op->lack = ctl->trunk_lack;
		take_out(p, i);
	}
}

static int prepare(void *self, struct engine_op *ops, size_t n, void **change, struct engine_error *err)
{
	struct kern_error bad = {.op = SIZE_MAX};
	struct ctl *ctl = self;
	int ret = check_all(ctl, ops, n, err);
	struct prepared *p;

	if (ret < 0)
		return ret;
	p = prepared_new(ctl, ops, ctl->kern ? n : 0);
	if (!p)
		return -ENOMEM;
	leave_out_trunk(ctl, p, ops);
	do {
		bad = (struct kern_error){.op = SIZE_MAX};
		ret = p->n ? kern_prepare(ctl->kern, p->ops, p->n, &p->txn, &bad) : 0;
	} while (ret < 0 && leave_out(p, ops, &bad, ret));
	if (ret < 0) {
		blame(p, &bad, ret, err);
		prepared_free(p);
		return ret;
	}
	*change = p;
	return 0;
}

static void commit(void *self, void *change)
{
	const struct ctl *ctl = self;
	struct prepared *p = change;

	if (p->txn)
		kern_commit(p->txn);
	/* As with a port of the switch's own that goes. What is still behind the trunk is flooded to, and learned with its next frame. */
	if (p->leaves && ctl->trunk)
		dp_fdb_flush(ctl->dp, ctl->trunk);
	prepared_free(p);
}

static void abort_change(void *self, void *change)
{
	struct prepared *p = change;

	if (p->txn)
		kern_abort(p->txn);
	prepared_free(p);
}

const struct engine_type kernel_engine = {
	.name = "kernel",
	.carries = carries,
	.check = check,
	.prepare = prepare,
	.commit = commit,
	.abort = abort_change,
};

/* --- state and counters -------------------------------------------------------------------------------------------------------------- */

json_t *kernel_port_state(struct ctl *ctl, const char *name)
{
	struct kern_port_state s = {0};

	if (!ctl->kern || kern_port_state(ctl->kern, name, &s) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:i, s:I}", "link",
			 s.lost	     ? "lost"
			 : s.link_up ? "up"
				     : "down",
			 "host_ifname", s.host_ifname, "mtu", s.mtu, "macs", (json_int_t)s.macs);
}

int kernel_port_stats(struct ctl *ctl, const char *name, struct dp_port_stats *out)
{
	struct slc_k_count s;
	int ret = ctl->kern ? kern_port_stats(ctl->kern, name, &s) : -ENOENT;

	if (ret < 0)
		return ret;
	*out = (struct dp_port_stats){
		.rx_frames = s.rx_frames,
		.rx_bytes = s.rx_bytes,
		.tx_frames = s.tx_frames,
		.tx_bytes = s.tx_bytes,
		.flooded = s.flooded,
		.learn_refused = s.learn_refused,
		.moved = s.moved,
	};
	memcpy(out->drops, s.drops, sizeof(out->drops));
	return 0;
}

void kernel_trunk_drops(struct ctl *ctl, struct dp_port_stats *sum)
{
	static const char *const ends[] = {"trunk", "host"};
	struct dp_port_stats st;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (kernel_port_stats(ctl, ends[i], &st) < 0)
			continue;
		for (unsigned reason = 0; reason < SLC_DROP_N; reason++)
			sum->drops[reason] += st.drops[reason];
	}
}

void kernel_node_stats(struct ctl *ctl, struct dp_port_stats *sum)
{
	const uint64_t *from;
	uint64_t *to = (uint64_t *)sum;
	struct dp_port_stats st;
	unsigned cursor = 0;
	const char *name;

	kernel_trunk_drops(ctl, sum);
	while (ctl->kern && (name = kern_port_walk(ctl->kern, &cursor))) {
		if (kernel_port_stats(ctl, name, &st) < 0)
			continue;
		/* The struct is counters and nothing else. */
		from = (const uint64_t *)&st;
		for (size_t i = 0; i < sizeof(st) / sizeof(*from); i++)
			to[i] += from[i];
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <rte_cycles.h>

#include "device.h"
#include "dp.h"
#include "log.h"

/* --- configuration: is it possible? --------------------------------------------------------------------------------------- */

static int check_vlan(struct dp_port_conf *c, struct dp_error *err)
{
	bool trunks_ok =
		c->vlan_mode == DP_VLAN_TRUNK || c->vlan_mode == DP_VLAN_NATIVE_TAGGED || c->vlan_mode == DP_VLAN_NATIVE_UNTAGGED;

	if (c->vlan_mode > DP_VLAN_DOT1Q_TUNNEL)
		return dp_fail(err, -EINVAL, "bad-value", "vlan_mode", NULL, "vlan_mode %d: unknown", c->vlan_mode);
	if (c->vlan_mode == DP_VLAN_TRUNK && c->vlan)
		return dp_fail(err, -EINVAL, "conflict", "vlan", "native-untagged or native-tagged carry a VLAN of their own",
			       "vlan %u: a trunk port has no VLAN of its own", c->vlan);
	if (c->vlan_mode != DP_VLAN_TRUNK && !c->vlan)
		return dp_fail(err, -EINVAL, "missing-attribute", "vlan", "vlan=1-4094, or vlan_mode trunk",
			       "this vlan_mode needs a vlan");
	if (c->vlan > 4094)
		return dp_fail(err, -EINVAL, "out-of-range", "vlan", NULL, "vlan %u: out of range (1-4094)", c->vlan);
	if (c->trunks.given && !trunks_ok)
		return dp_fail(err, -EINVAL, "conflict", "trunks", "vlan_mode trunk, native-tagged or native-untagged",
			       "trunks: this vlan_mode carries one VLAN");
	if (c->cvlans.given && c->vlan_mode != DP_VLAN_DOT1Q_TUNNEL)
		return dp_fail(err, -EINVAL, "conflict", "cvlans", NULL, "cvlans: only a dot1q-tunnel port has customer VLANs");
	if (c->qinq_ethertype && c->qinq_ethertype != VLAN_TPID_S && c->qinq_ethertype != VLAN_TPID_C)
		return dp_fail(err, -EINVAL, "bad-value", "qinq_ethertype", NULL, "qinq_ethertype 0x%04x: 802.1ad or 802.1q",
			       c->qinq_ethertype);
	if (c->has_pcp && c->pcp > 7)
		return dp_fail(err, -EINVAL, "out-of-range", "class", NULL, "code point %u: out of range (0-7)", c->pcp);
	return 0;
}

static int check_addresses(const struct dp_port_conf *c, struct dp_error *err)
{
	if (c->has_mac && (c->mac[0] & 1))
		return dp_fail(err, -EINVAL, "bad-value", "mac", NULL, "mac: a group address is nobody's source");
	for (unsigned i = 0; i < c->n_static_macs; i++) {
		const struct dp_static_mac *s = &c->static_macs[i];
		struct vlan_port vp;

		vlan_port_init(&vp, c);
		if (s->mac[0] & 1)
			return dp_fail(err, -EINVAL, "bad-value", "static_macs", NULL,
				       "static_macs: a group address is behind no port");
		if (!vlan_carries(&vp, s->vlan))
			return dp_fail(err, -EINVAL, "conflict", "static_macs", NULL,
				       "static_macs: the port does not carry VLAN %u", s->vlan);
	}
	return 0;
}

static int check_limit(const struct dp_limit *l, const char *attr, struct dp_error *err)
{
	if (l->burst_bytes && !l->bps)
		return dp_fail(err, -EINVAL, "conflict", attr, NULL, "%s: a burst without a rate", attr);
	return 0;
}

/* Attributes belong to kinds; one that the kind does not know would be silently ignored, so it is refused. */
static int check_kind_attributes(const struct dp_port_conf *c, struct dp_error *err)
{
	bool memif = !strcmp(c->kind, "memif"), vhost = !strcmp(c->kind, "vhost-user"), nic = !strcmp(c->kind, "nic");
	const struct {
		bool set, allowed;
		const char *attr;
	} rules[] = {
		{c->path[0], memif || vhost, "path"}, {c->ifname[0], !memif && !vhost && !nic, "ifname"},
		{c->devargs[0], nic, "devargs"},      {c->id != 0, memif, "id"},
		{c->client, memif, "role"},	      {c->secret[0], memif, "secret"},
		{c->server, vhost, "server"},
	};

	for (unsigned i = 0; i < RTE_DIM(rules); i++) {
		if (rules[i].set && !rules[i].allowed)
			return dp_fail(err, -EINVAL, "conflict", rules[i].attr, NULL, "%s: not an attribute of kind %s",
				       rules[i].attr, c->kind);
	}
	return 0;
}

int port_conf_check(struct dp_port_conf *c, struct dp_error *err)
{
	const struct port_kind *kind = kind_find(c->kind, c->carrier);
	int r;

	if (!kind)
		return dp_fail(err, -EINVAL, "bad-value", "kind", "vhost-user, memif, af-packet, af-xdp, tap or nic",
			       "kind %s: unknown", c->kind);
	if (!kind->open)
		return dp_fail(err, -ENOTSUP, "not-supported", "kind", NULL, "kind %s: not in this build", c->kind);
	if (!c->mtu)
		c->mtu = DP_MTU_DEFAULT;
	if (!c->queues)
		c->queues = 1;
	if (c->mtu < DP_MTU_MIN || c->mtu > DP_MTU_MAX)
		return dp_fail(err, -EINVAL, "out-of-range", "mtu", NULL, "mtu %u: out of range (%d-%d)", c->mtu, DP_MTU_MIN,
			       DP_MTU_MAX);
	if (c->queues > KIND_MAX_QUEUES)
		return dp_fail(err, -EINVAL, "out-of-range", "queues", NULL, "queues %u: out of range (1-%d)", c->queues,
			       KIND_MAX_QUEUES);
	if (c->ring && (c->ring < 64 || c->ring > 16384 || c->ring & (c->ring - 1)))
		return dp_fail(err, -EINVAL, "out-of-range", "ring", NULL, "ring %u: a power of two from 64 to 16384", c->ring);
	if ((r = check_kind_attributes(c, err)) || (r = check_vlan(c, err)) || (r = check_addresses(c, err)) ||
	    (r = check_limit(&c->in, "in_burst_bytes", err)) || (r = check_limit(&c->out, "out_burst_bytes", err)))
		return r;
	return kind->validate ? kind->validate(c, err) : 0;
}

int port_conf_check_change(const struct dp_port_conf *o, const struct dp_port_conf *n, struct dp_error *err)
{
	const struct {
		bool differs;
		const char *attr;
	} fixed[] = {
		{strcmp(o->kind, n->kind) != 0 || strcmp(o->carrier, n->carrier) != 0, "kind"},
		{strcmp(o->path, n->path) != 0, "path"},
		{strcmp(o->ifname, n->ifname) != 0, "ifname"},
		{strcmp(o->devargs, n->devargs) != 0, "devargs"},
		{strcmp(o->secret, n->secret) != 0, "secret"},
		{o->id != n->id, "id"},
		{o->client != n->client, "role"},
		{o->server != n->server, "server"},
		{o->queues != n->queues, "queues"},
		{o->ring != n->ring, "ring"},
	};

	for (unsigned i = 0; i < RTE_DIM(fixed); i++) {
		if (fixed[i].differs)
			return dp_fail(err, -EINVAL, "fixed-attribute", fixed[i].attr, "delete the port and add it again",
				       "%s: cannot be changed", fixed[i].attr);
	}
	return 0;
}

/* --- runtime form ------------------------------------------------------------------------------------------------------------ */

static struct meter *meter_alloc(void)
{
	return aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(struct meter), RTE_CACHE_LINE_SIZE));
}

/* A meter of a limit, or the old one if the limit did not change. false: out of memory. */
static bool limit_meters(const struct dp *dp, const struct dp_limit *l, const struct dp_limit *old, struct meter *old_bps,
			 struct meter *old_pps, struct meter **bps, struct meter **pps)
{
	uint64_t now = rte_rdtsc();

	*bps = *pps = NULL;
	if (l->bps) {
		if (old && old->bps == l->bps && old->burst_bytes == l->burst_bytes) {
			*bps = old_bps;
		} else {
			*bps = meter_alloc();
			if (!*bps)
				return false;
			meter_init_bps(*bps, l->bps, l->burst_bytes, dp->tsc_hz, now);
		}
	}
	if (l->pps) {
		if (old && old->pps == l->pps) {
			*pps = old_pps;
		} else {
			*pps = meter_alloc();
			if (!*pps)
				return false;
			meter_init_pps(*pps, l->pps, dp->tsc_hz, now);
		}
	}
	return true;
}

struct port_rt *port_rt_new(const struct dp *dp, const struct dp_port_conf *conf, const struct port_rt *old)
{
	struct port_rt *rt = calloc(1, sizeof(*rt));

	if (!rt)
		return NULL;
	rt->conf = *conf;
	vlan_port_init(&rt->vlan, conf);
	rt->mtu = conf->mtu;
	rt->down = conf->down;
	rt->isolated = conf->isolated;
	rt->spoof_on = conf->has_mac || conf->n_ips;
	spoof_init(&rt->spoof, conf);
	if (!limit_meters(dp, &conf->in, old ? &old->conf.in : NULL, old ? old->in_bps : NULL, old ? old->in_pps : NULL,
			  &rt->in_bps, &rt->in_pps) ||
	    !limit_meters(dp, &conf->out, old ? &old->conf.out : NULL, old ? old->out_bps : NULL, old ? old->out_pps : NULL,
			  &rt->out_bps, &rt->out_pps)) {
		port_rt_free(rt, old);
		return NULL;
	}
	rt->checks = rt->down || rt->spoof_on || rt->in_bps || rt->in_pps;
	return rt;
}

void port_rt_free(struct port_rt *rt, const struct port_rt *kept)
{
	if (!rt)
		return;
	if (!kept || kept->in_bps != rt->in_bps)
		free(rt->in_bps);
	if (!kept || kept->in_pps != rt->in_pps)
		free(rt->in_pps);
	if (!kept || kept->out_bps != rt->out_bps)
		free(rt->out_bps);
	if (!kept || kept->out_pps != rt->out_pps)
		free(rt->out_pps);
	free(rt);
}

/* --- life --------------------------------------------------------------------------------------------------------------------- */

static int free_index(const struct dp *dp)
{
	for (int i = 0; i < DP_MAX_PORTS; i++) {
		if (!dp->ports[i] && !dp->reserved[i])
			return i;
	}
	return -1;
}

/* The worker with the fewest queues, those of ports that are being made included. */
static uint16_t least_loaded(const struct dp *dp)
{
	uint16_t best = 0;

	for (uint16_t i = 1; i < dp->n_workers; i++) {
		if (dp->load[i] < dp->load[best])
			best = i;
	}
	return best;
}

static void assign_queues(struct dp *dp, struct port *p)
{
	for (uint16_t q = 0; q < p->kp.n_queues; q++) {
		uint16_t w = least_loaded(dp);

		dp->load[w]++;
		p->rxq[q] = (struct rxq){.port = p, .index = q, .worker = w, .active = true, .last_tsc = rte_rdtsc()};
	}
	for (unsigned w = 0; w < dp->n_workers; w++) {
		uint16_t q;

		if (p->kp.n_queues >= dp->n_workers) {
			p->tx[w] = (struct port_tx){.owner = w, .queue = w};
			continue;
		}
		q = w % RTE_MAX(p->kp.n_queues, 1);
		/* Its own pair if it polls one; else it hands frames to a worker that does, who sends them by its own. */
		for (uint16_t i = 0; i < p->kp.n_queues; i++) {
			if (p->rxq[i].worker == w)
				q = i;
		}
		p->tx[w] = (struct port_tx){.owner = p->rxq[q].worker, .queue = q};
	}
}

struct port *port_new(struct dp *dp, const struct dp_port_conf *conf, struct dp_error *err)
{
	static uint32_t last_gen;
	int idx = free_index(dp), r;
	struct port *p;

	if (idx < 0) {
		dp_fail(err, -ENOSPC, "too-many", NULL, NULL, "a node has %d ports at most", DP_MAX_PORTS);
		return NULL;
	}
	p = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*p), RTE_CACHE_LINE_SIZE));
	if (!p)
		goto no_memory;
	memset(p, 0, sizeof(*p));
	p->idx = idx;
	p->gen = ++last_gen;
	p->dp = dp;
	p->kind = kind_find(conf->kind, conf->carrier);
	for (unsigned q = 0; q < KIND_MAX_QUEUES; q++)
		p->fds[q] = -1;
	snprintf(p->name, sizeof(p->name), "%s", conf->name);
	p->counters = aligned_alloc(RTE_CACHE_LINE_SIZE, dp->n_workers * sizeof(p->counters[0]));
	p->rt = port_rt_new(dp, conf, NULL);
	if (!p->counters || !p->rt)
		goto no_memory;
	memset(p->counters, 0, dp->n_workers * sizeof(p->counters[0]));

	r = device_open(dp, conf, &p->kp, err);
	if (r < 0)
		goto fail;
	assign_queues(dp, p);
	dp->reserved[idx] = true;
	return p;

no_memory:
	dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
fail:
	if (p) {
		port_rt_free(p->rt, NULL);
		free(p->counters);
		free(p);
	}
	return NULL;
}

void port_free(struct port *p)
{
	for (uint16_t q = 0; q < p->kp.n_queues; q++)
		p->dp->load[p->rxq[q].worker]--;
	p->dp->reserved[p->idx] = false;
	p->kind->close(&p->kp);
	port_rt_free(p->rt, NULL);
	free(p->counters);
	free(p);
}

/* --- descriptors and link ------------------------------------------------------------------------------------------------------ */

static void fd_set_to(struct port *p, uint16_t q, int fd)
{
	struct worker *w = p->dp->workers[p->rxq[q].worker];
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = worker_event(p->gen, p->idx, q)};

	if (p->fds[q] == fd)
		return;
	/* The old one may be closed already, and has left the set with that. */
	if (p->fds[q] >= 0)
		epoll_ctl(w->epfd, EPOLL_CTL_DEL, p->fds[q], NULL);
	if (fd >= 0 && epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		dp_log(LOG_WARNING, "port %s: cannot wait on its descriptor (%s): polled on a timer when idle", p->name,
		       strerror(errno));
		fd = -1;
	}
	CMM_STORE_SHARED(p->fds[q], fd);
}

void port_refresh(struct port *p)
{
	bool up = p->kind->link_up(&p->kp);

	if (p->dp->ports[p->idx] != p)
		return; /* not published yet, or no longer */
	for (uint16_t q = 0; q < p->kp.n_queues; q++)
		fd_set_to(p, q, p->kind->rx_fd(&p->kp, q));
	if (up != p->link_up)
		dp_log(LOG_INFO, "port %s: link %s", p->name, up ? "up" : "down");
	CMM_STORE_SHARED(p->link_up, up);
	feed_link(p);
	for (uint16_t q = 0; q < p->kp.n_queues; q++)
		worker_wake(p->dp->workers[p->rxq[q].worker]);
}

void port_fds_del(struct port *p)
{
	for (uint16_t q = 0; q < p->kp.n_queues; q++)
		fd_set_to(p, q, -1);
}

/* --- counters ------------------------------------------------------------------------------------------------------------------ */

void port_sum(const struct port *p, struct dp_port_stats *out)
{
	struct kind_lost lost = {0};

	memset(out, 0, sizeof(*out));
	for (unsigned w = 0; w < p->dp->n_workers; w++) {
		const struct port_counters *c = &p->counters[w];

		out->rx_frames += CMM_LOAD_SHARED(c->rx_frames);
		out->rx_bytes += CMM_LOAD_SHARED(c->rx_bytes);
		out->tx_frames += CMM_LOAD_SHARED(c->tx_frames);
		out->tx_bytes += CMM_LOAD_SHARED(c->tx_bytes);
		out->flooded += CMM_LOAD_SHARED(c->flooded);
		out->learn_refused += CMM_LOAD_SHARED(c->learn_refused);
		out->moved += CMM_LOAD_SHARED(c->moved);
		out->csum_completed += CMM_LOAD_SHARED(c->csum_completed);
		out->segmented += CMM_LOAD_SHARED(c->segmented);
		for (unsigned r = 0; r < SLC_DROP_N; r++)
			out->drops[r] += CMM_LOAD_SHARED(c->drops[r]);
	}
	if (p->kind->lost)
		p->kind->lost((struct kind_port *)&p->kp, &lost);
	kind_lost_add(&lost, &p->past);
	out->drops[SLC_DROP_RX_MISSED] += lost.rx_missed;
	out->drops[SLC_DROP_RX_NO_BUFFER] += lost.rx_no_buffer;
	out->drops[SLC_DROP_RX_ERROR] += lost.rx_error;
	out->drops[SLC_DROP_TRUNCATED] += lost.truncated;
	out->drops[SLC_DROP_MALFORMED] += lost.malformed;
	out->drops[SLC_DROP_BAD_DESCRIPTOR] += lost.bad_descriptor;
	out->drops[SLC_DROP_TX_ERROR] += lost.tx_error;
	out->drops[SLC_DROP_RX_DISABLED] += lost.rx_disabled;
}

void port_stats_add(struct dp_port_stats *sum, const struct dp_port_stats *s)
{
	const uint64_t *from = (const uint64_t *)s;
	uint64_t *to = (uint64_t *)sum;

	/* The struct is counters and nothing else. */
	_Static_assert(sizeof(*s) % sizeof(*from) == 0, "dp_port_stats holds 64-bit counters only");
	for (unsigned i = 0; i < sizeof(*s) / sizeof(*from); i++)
		to[i] += from[i];
}

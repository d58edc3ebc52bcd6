/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <search.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_version.h>

#include "device.h"
#include "dp.h"
#include "eal.h"
#include "log.h"

#define BUFFERS_DEFAULT	   16384
#define BUFFER_BYTES	   2496		  /* an mbuf of the default size with its mempool header */
#define MEMORY_BASE	   (64ull << 20)  /* rings, device structures */
#define MEMORY_PLAIN_SPARE (512ull << 20) /* ordinary memory cannot grow later; what is not touched costs nothing */
#define TICK_MS		   100
#define TICKS_A_SECOND	   (1000 / TICK_MS)
#define TICKS_AN_HOUR	   (3600 * TICKS_A_SECOND)
#define TEND_SLOTS	   16384 /* FDB slots looked at for age in a tick */

int dp_fail(struct dp_error *err, int code, const char *name, const char *attr, const char *hint, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->name = name;
	snprintf(err->attr, sizeof(err->attr), "%s", attr ? attr : "");
	snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return code;
}

/* --- drop reasons ------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name, *doc;
} drop_reasons[SLC_DROP_N] = {
#define X(sym, name, doc) {name, doc},
	SLC_DROP_REASONS(X)
#undef X
};

const char *dp_drop_name(unsigned reason)
{
	return reason < SLC_DROP_N ? drop_reasons[reason].name : NULL;
}

const char *dp_drop_doc(unsigned reason)
{
	return reason < SLC_DROP_N ? drop_reasons[reason].doc : NULL;
}

/* --- housekeeping ------------------------------------------------------------------------------------------------------------ */

void dp_quiesce(void *arg)
{
	(void)arg;
	synchronize_rcu();
}

static uint32_t now_s(const struct dp *dp)
{
	return 1 + (rte_rdtsc() - dp->epoch_tsc) / dp->tsc_hz;
}

static void touch_meters(struct dp *dp)
{
	uint64_t now = rte_rdtsc();

	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		const struct port_rt *rt = dp->ports[i] ? dp->ports[i]->rt : NULL;
		struct meter *m[4];

		if (!rt)
			continue;
		m[0] = rt->in_bps;
		m[1] = rt->in_pps;
		m[2] = rt->out_bps;
		m[3] = rt->out_pps;
		for (unsigned k = 0; k < 4; k++) {
			if (m[k])
				meter_touch(m[k], now);
		}
	}
	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		if (dp->vlans[vid]->storm)
			meter_touch(dp->vlans[vid]->storm, now);
	}
}

/* A worker found the FDB too small: it must not wait for the next tick, in which thousands of addresses can come. */
static void attend(void *arg, uint32_t events)
{
	struct dp *dp = arg;
	uint64_t n;

	(void)events;
	if (read(dp->attention_fd, &n, sizeof(n)) < 0)
		return;
	atomic_store(&dp->attention, false);
	fdb_tend(dp->fdb, now_s(dp), 0);
}

static void look_for_left(struct dp *dp)
{
	struct port *p = dp->leave.cb ? dp_port(dp, dp->leave.port) : NULL;

	if (!p || !CMM_LOAD_SHARED(p->left))
		return;
	/* Before the look: what leaves during it is looked for a second later. */
	CMM_STORE_SHARED(p->left, false);
	dp->leave.cb(dp->leave.arg);
}

/* `all`, or those of the trunk that are down. */
static void poll_links(struct dp *dp, bool all)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct port *p = dp->ports[i];

		if (p && p->kind->poll_link && (all || (!p->link_up && p->rt->conf.carrier[0])))
			port_refresh(p);
	}
}

static void tick(void *arg)
{
	struct dp *dp = arg;

	dp->tick = events_timer(&dp->events, TICK_MS, tick, dp);
	if (!dp->tick)
		dp_log(LOG_CRIT, "out of memory: addresses will not age");
	fdb_tend(dp->fdb, now_s(dp), TEND_SLOTS);
	dp->ticks++;
	feed_tick(dp, dp->ticks % TICKS_A_SECOND == 0);
	if (dp->ticks % TICKS_A_SECOND == 0 || dp->look_ticks)
		poll_links(dp, dp->ticks % TICKS_A_SECOND == 0);
	if (dp->look_ticks)
		dp->look_ticks--;
	if (dp->ticks % TICKS_A_SECOND == 0)
		look_for_left(dp);
	if (dp->ticks % (TICKS_AN_HOUR / 2) == 0)
		touch_meters(dp);
}

int dp_fd(struct dp *dp)
{
	return dp->events.epfd;
}

void dp_dispatch(struct dp *dp)
{
	events_dispatch(&dp->events);
}

/* --- start and stop ---------------------------------------------------------------------------------------------------------- */

static int choose_cores(const struct dp_config *config, uint16_t *cores, unsigned *n, struct dp_error *err)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return dp_fail(err, -errno, "system", NULL, NULL, "sched_getaffinity: %s", strerror(errno));
	*n = config->n_cores;
	for (unsigned i = 0; i < *n; i++) {
		cores[i] = config->cores[i];
		if (cores[i] >= CPU_SETSIZE || !CPU_ISSET(cores[i], &set))
			return dp_fail(err, -EINVAL, "out-of-range", "cores", NULL, "cores: CPU %u is not there, or not ours",
				       cores[i]);
		for (unsigned j = 0; j < i; j++) {
			if (cores[j] == cores[i])
				return dp_fail(err, -EINVAL, "bad-value", "cores", NULL, "cores: CPU %u twice", cores[i]);
		}
	}
	if (*n)
		return 0;
	/* Interrupts and everybody's programs gather on the low CPUs. */
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (CPU_ISSET(cpu, &set)) {
			cores[0] = cpu;
			*n = 1;
			return 0;
		}
	}
	return dp_fail(err, -EINVAL, "bad-value", "cores", NULL, "cores: no CPU may be used");
}

static int make_tables(struct dp *dp, struct dp_error *err)
{
	int r = events_init(&dp->events);

	if (r < 0)
		return dp_fail(err, r, "system", NULL, NULL, "epoll: %s", strerror(-r));
	dp->attention_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (dp->attention_fd < 0 || (r = events_watch(&dp->events, dp->attention_fd, EPOLLIN, attend, dp)) < 0)
		return dp_fail(err, r ? r : -errno, "system", NULL, NULL, "eventfd: %s", strerror(r ? -r : errno));
	dp->fdb = fdb_new(dp->fdb_max, DP_MAX_PORTS, dp_quiesce, NULL);
	if (!dp->fdb)
		return dp_fail(err, -ENOMEM, "no-memory", "fdb_max", NULL, "no memory for an FDB of %u addresses", dp->fdb_max);
	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		dp->vlans[vid] = vlan_members_new(0);
		if (!dp->vlans[vid])
			return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
		fdb_aging_vlan(dp->fdb, vid, DP_AGING_DEFAULT_S);
	}
	dp->pool = rte_pktmbuf_pool_create("frames", dp->buffers, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!dp->pool)
		return dp_fail(err, -ENOMEM, "no-memory", "buffers", NULL, "no memory for %u packet buffers: %s", dp->buffers,
			       rte_strerror(rte_errno));
	return 0;
}

static int start_workers(struct dp *dp, const uint16_t *cores, struct dp_error *err)
{
	for (unsigned i = 0; i < dp->n_workers; i++) {
		dp->workers[i] = worker_new(dp, i, cores[i], i + 1);
		if (!dp->workers[i])
			return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "no memory for worker %u", i);
	}
	/* All exist before one runs: they hand frames to each other. */
	for (unsigned i = 0; i < dp->n_workers; i++) {
		int r = worker_start(dp->workers[i]);

		if (r < 0)
			return dp_fail(err, r, "system", "cores", NULL, "starting worker %u on CPU %u: %s", i, cores[i],
				       strerror(-r));
		dp->n_started++;
	}
	return 0;
}

int dp_open(struct dp **out, const struct dp_config *config, struct dp_error *err)
{
	struct dp *dp = calloc(1, sizeof(*dp));
	uint16_t cores[DP_MAX_WORKERS] = {0};
	struct eal_result eal = {0};
	int r;

	if (!dp)
		return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	dp_log_sink(config->log);
	dp->buffers = config->buffers ? config->buffers : BUFFERS_DEFAULT;
	dp->fdb_max = config->fdb_max ? config->fdb_max : DP_FDB_MAX;
	dp->busy_poll = config->poll == DP_POLL_BUSY;
	dp->worker_init = config->worker_init;
	r = choose_cores(config, cores, &dp->n_workers, err);
	if (!r)
		r = eal_start(config, cores, dp->n_workers, (uint64_t)dp->buffers * BUFFER_BYTES + MEMORY_BASE, MEMORY_PLAIN_SPARE,
			      &eal, err);
	if (r < 0) {
		free(dp);
		return r;
	}
	dp->huge = eal.huge;
	dp->memory_why = eal.why;
	dp->memory_bytes = eal.memory_bytes;
	dp->tsc_hz = rte_get_tsc_hz();
	dp->epoch_tsc = rte_rdtsc();
	r = make_tables(dp, err);
	if (!r)
		r = start_workers(dp, cores, err);
	if (!r) {
		dp->tick = events_timer(&dp->events, TICK_MS, tick, dp);
		if (!dp->tick)
			r = dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	}
	if (r < 0) {
		dp_close(dp);
		return r;
	}
	dp_log(LOG_INFO, "dataplane: %u worker%s, %s, %u buffers in %s memory (%s)", dp->n_workers, dp->n_workers > 1 ? "s" : "",
	       dp->busy_poll ? "always polling" : "polling adaptively", dp->buffers, dp->huge ? "huge page" : "ordinary",
	       dp->memory_why);
	*out = dp;
	return 0;
}

static void keep_ports(void *node)
{
	(void)node;
}

void dp_close(struct dp *dp)
{
	for (unsigned i = 0; i < dp->n_started; i++)
		worker_stop(dp->workers[i]);
	dp_events_stop(dp);
	tdestroy(dp->names, keep_ports);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct port *p = dp->ports[i];

		if (!p)
			continue;
		port_fds_del(p);
		dp->ports[i] = NULL;
		port_free(p);
	}
	for (unsigned i = 0; i < dp->n_workers; i++)
		worker_free(dp->workers[i]);
	for (unsigned vid = 0; vid < DP_VLAN_N; vid++) {
		if (dp->vlans[vid])
			free(dp->vlans[vid]->storm);
		free(dp->vlans[vid]);
		free(dp->vlan_conf[vid]);
	}
	if (dp->fdb)
		fdb_free(dp->fdb);
	rte_mempool_free(dp->pool);
	if (dp->events.epfd > 0)
		events_fini(&dp->events);
	if (dp->attention_fd > 0)
		close(dp->attention_fd);
	rte_eal_cleanup();
	free(dp);
}

/* --- state and counters ------------------------------------------------------------------------------------------------------- */

int dp_port_state(struct dp *dp, const char *name, struct dp_port_state *out)
{
	const struct port *p = dp_port(dp, name);

	if (!p)
		return -ENOENT;
	out->link_up = p->link_up && !p->rt->down;
	out->wake = p->fds[0] >= 0 ? "fd" : p->link_up ? "timer" : "none";
	out->queues = p->kp.n_queues;
	out->mtu = p->rt->mtu;
	out->macs = fdb_count_port(dp->fdb, p->idx);
	memset(&out->peer, 0, sizeof(out->peer));
	if (p->kind->peer)
		p->kind->peer((struct kind_port *)&p->kp, &out->peer);
	return 0;
}

int dp_port_lose(struct dp *dp, const char *name)
{
	struct port *p = dp_port(dp, name);

	if (!p)
		return -ENOENT;
	if (!p->rt->conf.carrier[0])
		return -EINVAL;
	device_lose(p);
	return 0;
}

int dp_port_stats(struct dp *dp, const char *name, struct dp_port_stats *out)
{
	const struct port *p = dp_port(dp, name);

	if (!p)
		return -ENOENT;
	port_sum(p, out);
	return 0;
}

void dp_node_stats(struct dp *dp, struct dp_port_stats *out)
{
	*out = dp->gone;
	for (unsigned i = 0; i < dp->n_workers; i++)
		out->drops[SLC_DROP_TX_GONE] += CMM_LOAD_SHARED(dp->workers[i]->c.gone);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct dp_port_stats s;

		if (dp->ports[i]) {
			port_sum(dp->ports[i], &s);
			port_stats_add(out, &s);
		}
	}
}

int dp_worker_stats(struct dp *dp, unsigned id, struct dp_worker_stats *out)
{
	uint64_t us = dp->tsc_hz / 1000000;
	const struct worker *w;

	if (id >= dp->n_workers)
		return -ENOENT;
	w = dp->workers[id];
	*out = (struct dp_worker_stats){
		.core = w->core,
		.queues = w->pollset->n,
		.polls = CMM_LOAD_SHARED(w->c.polls),
		.polls_busy = CMM_LOAD_SHARED(w->c.polls_busy),
		.frames = CMM_LOAD_SHARED(w->c.frames),
		.sleeps = CMM_LOAD_SHARED(w->c.sleeps),
		.busy_us = CMM_LOAD_SHARED(w->c.busy_tsc) / us,
		.idle_us = CMM_LOAD_SHARED(w->c.idle_tsc) / us,
		.sleep_us = CMM_LOAD_SHARED(w->c.sleep_tsc) / us,
	};
	return 0;
}

int dp_worker_beat(struct dp *dp, unsigned id, uint64_t *beat)
{
	struct worker *w;

	if (id >= dp->n_workers)
		return -ENOENT;
	w = dp->workers[id];
	/* Each round adds to one of the first two. */
	*beat = CMM_LOAD_SHARED(w->c.busy_tsc) + CMM_LOAD_SHARED(w->c.idle_tsc) + CMM_LOAD_SHARED(w->c.sleeps);
	worker_wake(w);
	return 0;
}

int dp_vlan_state(struct dp *dp, uint16_t id, struct dp_vlan_state *out)
{
	if (id >= DP_VLAN_N || !dp->vlan_conf[id])
		return -ENOENT;
	out->macs = fdb_count_vlan(dp->fdb, id);
	out->members = dp->vlans[id]->n;
	out->storm_drops = __atomic_load_n(&dp->storm_drops[id], __ATOMIC_RELAXED);
	return 0;
}

void dp_node_info(struct dp *dp, struct dp_node_info *out)
{
	*out = (struct dp_node_info){
		.dpdk_version = rte_version(),
		.memory = dp->huge ? "huge" : "plain",
		.memory_why = dp->memory_why,
		.memory_bytes = dp->memory_bytes,
		.buffers = dp->buffers,
		.buffers_free = rte_mempool_avail_count(dp->pool),
		.fdb_max = dp->fdb_max,
		.fdb_used = fdb_count(dp->fdb),
		.ports = dp->n_ports,
		.max_ports = DP_MAX_PORTS,
		.workers = dp->n_workers,
		.poll = dp->busy_poll ? "busy" : "adaptive",
	};
}

int dp_fdb_flush(struct dp *dp, const char *port)
{
	const struct port *p = dp_port(dp, port);

	if (!p)
		return -ENOENT;
	fdb_flush(dp->fdb, p->idx, -1);
	return 0;
}

void dp_fdb_on_leave(struct dp *dp, const char *port, void (*cb)(void *arg), void *arg)
{
	snprintf(dp->leave.port, sizeof(dp->leave.port), "%s", port);
	dp->leave.cb = cb;
	dp->leave.arg = arg;
}

/* false: of a port that is being taken down. */
static bool tell_entry(const struct dp *dp, const struct fdb_entry *e, uint32_t now, struct dp_fdb_entry *out)
{
	const struct port *p = e->port < DP_MAX_PORTS ? dp->ports[e->port] : NULL;
	struct rte_ether_addr addr;

	if (!p)
		return false;
	fdb_key_split(e->key, &out->vlan, &addr);
	memcpy(out->mac, addr.addr_bytes, 6);
	out->is_static = e->is_static;
	out->age_s = e->is_static || e->heard_s > now ? 0 : now - e->heard_s;
	snprintf(out->port, sizeof(out->port), "%s", p->name);
	return true;
}

bool dp_fdb_find(struct dp *dp, uint16_t vlan, const uint8_t mac[6], struct dp_fdb_entry *out)
{
	struct rte_ether_addr addr;
	struct fdb_entry e;

	memcpy(addr.addr_bytes, mac, 6);
	return fdb_get(dp->fdb, fdb_key(vlan, &addr), &e) && tell_entry(dp, &e, now_s(dp), out);
}

int dp_fdb_walk(struct dp *dp, uint64_t *cursor, int vlan, const char *port, const uint8_t mac[6], struct dp_fdb_entry *out,
		size_t n)
{
	const struct port *only = port ? dp_port(dp, port) : NULL;
	uint32_t now = now_s(dp);
	struct fdb_entry e;
	size_t found = 0;

	if (port && !only)
		return -ENOENT;
	while (found < n) {
		struct rte_ether_addr addr;
		uint16_t vid;

		if (!fdb_next(dp->fdb, cursor, &e)) {
			*cursor = UINT64_MAX;
			break;
		}
		fdb_key_split(e.key, &vid, &addr);
		if ((only && e.port != only->idx) || (vlan >= 0 && vid != vlan) || (mac && memcmp(addr.addr_bytes, mac, 6) != 0))
			continue;
		found += tell_entry(dp, &e, now, &out[found]);
	}
	return found;
}

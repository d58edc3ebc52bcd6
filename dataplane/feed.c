/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "dp.h"
#include "feed.h"

struct link_note {
	uint64_t time_us;
	uint32_t gen;
	uint16_t port;
	bool up;
};

struct feed {
	dp_event_cb cb;
	void *arg;
	int wake_fd;		 /* link notes are waiting */
	struct feed_ring *rings; /* one a worker, and the last for what ages */
	struct link_note links[FEED_LINKS];
	unsigned n_links;
	bool links_full;
	unsigned tokens; /* address events that may still be told in this second */
	uint64_t omitted;
	uint64_t lost[DP_MAX_WORKERS + 1]; /* of the rings, as told */
};

static uint64_t realtime_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* --- writing notes ----------------------------------------------------------------------------------------------------------- */

static void ring_put(struct feed_ring *r, const struct feed_note *note)
{
	uint32_t head = r->head;

	/* Acquire: pairs with the reader's release in ring_pop(); the slot has been read before it is written again. */
	if (head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) == FEED_RING) {
		__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
		return;
	}
	r->notes[head % FEED_RING] = *note;
	/* Release: pairs with the reader's acquire in drain_fdb(); who sees the head sees the note. */
	__atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
}

void feed_learned(struct worker *w, const struct feed *feed, uint64_t key, const struct port *p, uint16_t from)
{
	const struct port *was = from != FDB_NO_PORT ? rcu_dereference(w->dp->ports[from]) : NULL;
	struct feed_note note = {
		.key = key, .tsc = w->now_tsc, .gen = p->gen, .from_gen = was ? was->gen : 0, .port = p->idx, .from = from};

	ring_put(&feed->rings[w->id], &note);
}

static void aged(void *arg, uint64_t key, uint16_t port)
{
	struct dp *dp = arg;
	const struct port *p = dp->ports[port];
	struct feed_note note = {.key = key, .tsc = rte_rdtsc(), .gen = p ? p->gen : 0, .port = port, .from = FDB_NO_PORT};

	if (p)
		ring_put(&dp->feed->rings[dp->n_workers], &note);
}

static bool link_of(const struct port *p)
{
	return p->link_up && !p->rt->down;
}

void feed_link(struct port *p)
{
	struct feed *f = p->dp->feed;
	bool up = link_of(p);
	uint64_t one = 1;

	if (!f || up == p->told.link)
		return;
	if (f->n_links == FEED_LINKS) {
		f->links_full = true;
		return;
	}
	p->told.link = up;
	f->links[f->n_links++] = (struct link_note){.time_us = realtime_us(), .gen = p->gen, .port = p->idx, .up = up};
	/* It cannot fail but for a full counter, which is readable too. */
	if (write(f->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* --- telling ------------------------------------------------------------------------------------------------------------------ */

static const struct port *port_at(const struct dp *dp, uint16_t idx, uint32_t gen)
{
	const struct port *p = idx < DP_MAX_PORTS ? dp->ports[idx] : NULL;

	return p && p->gen == gen ? p : NULL;
}

static void tell(const struct feed *f, struct dp_event *e, const struct port *p)
{
	snprintf(e->port, sizeof(e->port), "%s", p ? p->name : "");
	f->cb(e, f->arg);
}

static void tell_link(const struct feed *f, const struct port *p, uint64_t time_us, bool up)
{
	struct dp_event e = {.type = DP_EVENT_LINK, .time_us = time_us, .link_up = up};

	tell(f, &e, p);
}

static void drain_links(struct dp *dp, struct feed *f)
{
	for (unsigned i = 0; i < f->n_links; i++) {
		const struct link_note *n = &f->links[i];
		const struct port *p = port_at(dp, n->port, n->gen);

		if (p)
			tell_link(f, p, n->time_us, n->up);
	}
	f->n_links = 0;
	if (!f->links_full)
		return;
	f->links_full = false;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct port *p = dp->ports[i];

		if (!p || link_of(p) == p->told.link)
			continue;
		p->told.link = link_of(p);
		tell_link(f, p, realtime_us(), p->told.link);
	}
}

static void tell_fdb(struct dp *dp, struct feed *f, const struct feed_note *n, bool is_age, uint64_t time_us)
{
	const struct port *p = port_at(dp, n->port, n->gen), *from = port_at(dp, n->from, n->from_gen);
	struct dp_event e = {.type = DP_EVENT_FDB_LEARN, .time_us = time_us};
	struct rte_ether_addr mac;

	if (!p)
		return;
	if (!f->tokens) {
		f->omitted++;
		return;
	}
	f->tokens--;
	if (is_age)
		e.type = DP_EVENT_FDB_AGE;
	else if (n->from != FDB_NO_PORT)
		e.type = DP_EVENT_FDB_MOVE;
	fdb_key_split(n->key, &e.vlan, &mac);
	memcpy(e.mac, mac.addr_bytes, sizeof(e.mac));
	snprintf(e.from, sizeof(e.from), "%s", from ? from->name : "");
	tell(f, &e, p);
}

/* Of the rings' heads as they were at the start: a worker that goes on learning does not keep us here. */
static void drain_fdb(struct dp *dp, struct feed *f)
{
	uint64_t now_us = realtime_us(), now_tsc = rte_rdtsc(), tsc_us = dp->tsc_hz / 1000000;
	unsigned n_rings = dp->n_workers + 1;
	uint32_t heads[DP_MAX_WORKERS + 1];

	for (unsigned i = 0; i < n_rings; i++)
		heads[i] = __atomic_load_n(&f->rings[i].head, __ATOMIC_ACQUIRE);
	for (;;) {
		struct feed_note note = {.tsc = UINT64_MAX};
		unsigned best = n_rings;

		for (unsigned i = 0; i < n_rings; i++) {
			const struct feed_ring *r = &f->rings[i];

			if (r->tail == heads[i] || r->notes[r->tail % FEED_RING].tsc >= note.tsc)
				continue;
			note = r->notes[r->tail % FEED_RING];
			best = i;
		}
		if (best == n_rings)
			return;
		__atomic_store_n(&f->rings[best].tail, f->rings[best].tail + 1, __ATOMIC_RELEASE);
		/* The worker's clock may be ahead of the one read above. */
		tell_fdb(dp, f, &note, best == dp->n_workers, now_us - (now_tsc > note.tsc ? (now_tsc - note.tsc) / tsc_us : 0));
	}
}

static void tell_omitted(struct dp *dp, struct feed *f)
{
	struct dp_event e = {.type = DP_EVENT_FDB_OMITTED, .count = f->omitted};

	for (unsigned i = 0; i <= dp->n_workers; i++) {
		uint64_t lost = __atomic_load_n(&f->rings[i].lost, __ATOMIC_RELAXED);

		e.count += lost - f->lost[i];
		f->lost[i] = lost;
	}
	f->omitted = 0;
	f->tokens = FEED_FDB_RATE;
	if (!e.count)
		return;
	e.time_us = realtime_us();
	tell(f, &e, NULL);
}

/* --- counters ------------------------------------------------------------------------------------------------------------------- */

/* What a port does too much of. Those without a drop are addresses that were not learned. */
static const struct {
	enum dp_event_type type;
	unsigned drop;
} watched[FEED_COUNTERS] = {
	{DP_EVENT_SPOOF, SLC_DROP_SPOOF_MAC}, {DP_EVENT_SPOOF, SLC_DROP_SPOOF_IPV4}, {DP_EVENT_SPOOF, SLC_DROP_SPOOF_IPV6},
	{DP_EVENT_SPOOF, SLC_DROP_SPOOF_ARP}, {DP_EVENT_SPOOF, SLC_DROP_SPOOF_ND},   {DP_EVENT_SPOOF, SLC_DROP_SRC_BOUND},
	{DP_EVENT_LIMIT, SLC_DROP_LIMIT_IN},  {DP_EVENT_LIMIT, SLC_DROP_LIMIT_OUT},  {DP_EVENT_LIMIT, SLC_DROP_STORM},
	{DP_EVENT_LIMIT, SLC_DROP_N},
};

static uint64_t counter_of(const struct port *p, unsigned i)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < p->dp->n_workers; w++)
		sum += watched[i].drop == SLC_DROP_N ? CMM_LOAD_SHARED(p->counters[w].learn_refused)
						     : CMM_LOAD_SHARED(p->counters[w].drops[watched[i].drop]);
	return sum;
}

static void compare_counters(struct feed *f, struct port *p)
{
	for (unsigned i = 0; i < FEED_COUNTERS; i++) {
		uint64_t now = counter_of(p, i);
		struct dp_event e = {.type = watched[i].type, .count = now - p->told.counters[i]};

		if (!e.count)
			continue;
		p->told.counters[i] = now;
		e.reason = watched[i].drop == SLC_DROP_N ? "learn-refused" : dp_drop_name(watched[i].drop);
		e.time_us = realtime_us();
		tell(f, &e, p);
	}
}

void feed_tick(struct dp *dp, bool second)
{
	struct feed *f = dp->feed;

	if (!f)
		return;
	drain_fdb(dp, f);
	if (!second)
		return;
	tell_omitted(dp, f);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		if (dp->ports[i])
			compare_counters(f, dp->ports[i]);
	}
}

/* --- listening ------------------------------------------------------------------------------------------------------------------ */

static void on_wake(void *arg, uint32_t events)
{
	struct dp *dp = arg;
	uint64_t n;

	(void)events;
	if (read(dp->feed->wake_fd, &n, sizeof(n)) < 0)
		return;
	drain_links(dp, dp->feed);
}

void dp_events_poll(struct dp *dp)
{
	if (!dp->feed)
		return;
	drain_links(dp, dp->feed);
	drain_fdb(dp, dp->feed);
}

/* What is so now has been told, by whoever starts to listen. */
static void forget_the_past(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct port *p = dp->ports[i];

		if (!p)
			continue;
		p->told.link = link_of(p);
		for (unsigned k = 0; k < FEED_COUNTERS; k++)
			p->told.counters[k] = counter_of(p, k);
	}
}

static struct feed *feed_new(struct dp *dp)
{
	size_t n_rings = dp->n_workers + 1;
	struct feed *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f->rings = aligned_alloc(64, n_rings * sizeof(f->rings[0]));
	if (f->wake_fd >= 0 && f->rings && events_watch(&dp->events, f->wake_fd, EPOLLIN, on_wake, dp) == 0) {
		memset(f->rings, 0, n_rings * sizeof(f->rings[0]));
		f->tokens = FEED_FDB_RATE;
		return f;
	}
	if (f->wake_fd >= 0)
		close(f->wake_fd);
	free(f->rings);
	free(f);
	return NULL;
}

int dp_events_start(struct dp *dp, dp_event_cb cb, void *arg)
{
	struct feed *f;

	if (dp->feed)
		return -EBUSY;
	f = feed_new(dp);
	if (!f)
		return -ENOMEM;
	f->cb = cb;
	f->arg = arg;
	forget_the_past(dp);
	fdb_on_age(dp->fdb, aged, dp);
	rcu_assign_pointer(dp->feed, f);
	return 0;
}

void dp_events_stop(struct dp *dp)
{
	struct feed *f = dp->feed;

	if (!f)
		return;
	fdb_on_age(dp->fdb, NULL, NULL);
	rcu_assign_pointer(dp->feed, NULL);
	dp_quiesce(dp);
	events_unwatch(&dp->events, f->wake_fd);
	close(f->wake_fd);
	free(f->rings);
	free(f);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>

#include "dp.h"

struct pollset *pollset_new(unsigned n)
{
	static uint64_t last_gen;
	struct pollset *ps = malloc(sizeof(*ps) + 3ull * n * sizeof(ps->q[0]));

	if (!ps)
		return NULL;
	ps->gen = ++last_gen;
	ps->n = n;
	ps->active = ps->q + n;
	ps->silent = ps->active + n;
	return ps;
}

void worker_wake(struct worker *w)
{
	uint64_t one = 1;

	/* Pairs with the fence in sleep_round(): either we see that it sleeps, or it sees what we left for it. */
	atomic_thread_fence(memory_order_seq_cst);
	if (unlikely(atomic_load_explicit(&w->sleeping, memory_order_relaxed))) {
		/* An eventfd's write fails only when its counter is full, and then it is readable anyway. */
		ssize_t r = write(w->wake_fd, &one, sizeof(one));

		(void)r;
	}
}

static void disarm_all(struct worker *w)
{
	for (unsigned i = 0; i < w->seen->n; i++) {
		struct rxq *q = w->seen->q[i];

		if (q->armed) {
			q->armed = false;
			CMM_LOAD_SHARED(q->port->kind)->rx_disarm(&q->port->kp, q->index);
		}
	}
}

/* Take over a new poll set. A queue that was known keeps its state, a new one starts active. */
static void adopt(struct worker *w, struct pollset *ps)
{
	w->seen = ps;
	w->seen_gen = ps->gen;
	w->n_active = w->n_silent = w->next_silent = 0;
	for (unsigned i = 0; i < ps->n; i++) {
		if (ps->q[i]->active)
			ps->active[w->n_active++] = ps->q[i];
		else
			ps->silent[w->n_silent++] = ps->q[i];
	}
	/* Armed for a sleep from which a newer set woke us. */
	disarm_all(w);
}

static void set_active(struct worker *w, unsigned silent_index)
{
	struct pollset *ps = w->seen;
	struct rxq *q = ps->silent[silent_index];

	q->active = true;
	ps->silent[silent_index] = ps->silent[--w->n_silent];
	ps->active[w->n_active++] = q;
}

static void set_silent(struct worker *w, unsigned active_index)
{
	struct pollset *ps = w->seen;
	struct rxq *q = ps->active[active_index];

	q->active = false;
	ps->active[active_index] = ps->active[--w->n_active];
	ps->silent[w->n_silent++] = q;
}

static inline unsigned poll_queue(struct worker *w, struct rxq *q)
{
	unsigned n = forward_queue(w, q);

	w->c.polls++;
	if (n) {
		w->c.polls_busy++;
		w->c.frames += n;
		q->last_tsc = w->now_tsc;
	}
	return n;
}

/* Every active queue, some silent ones, and what other workers handed over. Returns the number of frames. */
static unsigned poll_round(struct worker *w, uint64_t silent_tsc)
{
	struct pollset *ps = w->seen;
	unsigned frames = 0, polls;

	for (unsigned i = 0; i < w->n_active;) {
		struct rxq *q = ps->active[i];
		unsigned n = poll_queue(w, q);

		frames += n;
		if (unlikely(n == 0 && w->now_tsc - q->last_tsc > silent_tsc))
			set_silent(w, i);
		else
			i++;
	}
	polls = RTE_MIN(w->n_silent, (unsigned)WORKER_SILENT_POLLS);
	for (unsigned i = 0; i < polls && w->n_silent; i++) {
		unsigned n;

		if (w->next_silent >= w->n_silent)
			w->next_silent = 0;
		n = poll_queue(w, ps->silent[w->next_silent]);
		if (unlikely(n))
			set_active(w, w->next_silent);
		else
			w->next_silent++;
		frames += n;
	}
	if (w->dp->n_workers > 1)
		frames += egress_inbox(w);
	return frames;
}

/* Every queue once, after a sleep or before one: nobody waits for his turn. */
static unsigned poll_all(struct worker *w)
{
	struct pollset *ps = w->seen;
	unsigned frames = 0;

	for (unsigned i = 0; i < w->n_silent;) {
		unsigned n = poll_queue(w, ps->silent[i]);

		if (n)
			set_active(w, i);
		else
			i++;
		frames += n;
	}
	for (unsigned i = 0; i < w->n_active; i++)
		frames += poll_queue(w, ps->active[i]);
	if (w->dp->n_workers > 1)
		frames += egress_inbox(w);
	return frames;
}

static inline bool set_is_current(struct worker *w)
{
	return rcu_dereference(w->pollset)->gen == w->seen_gen;
}

static bool must_stay(struct worker *w)
{
	return atomic_load(&w->stop) || w->n_retry || !set_is_current(w);
}

/* Arm every queue. Returns true if one has frames already; *timed: one has no descriptor. */
static bool arm_all(struct worker *w, bool *timed)
{
	bool ready = false;

	*timed = false;
	for (unsigned i = 0; i < w->seen->n && !ready; i++) {
		struct rxq *q = w->seen->q[i];
		const struct port_kind *kind = CMM_LOAD_SHARED(q->port->kind);

		if (CMM_LOAD_SHARED(q->port->fds[q->index]) < 0 && CMM_LOAD_SHARED(q->port->link_up))
			*timed = true;
		if (kind->rx_arm) {
			q->armed = true;
			ready = kind->rx_arm(&q->port->kp, q->index) != 0;
		}
	}
	return ready;
}

/*
 * A descriptor is readable: our own is read here, the others by kinds that leave it to us (ethdev.c's eventfds). Reading one takes back the wake-up
 * that it stands for, so it must come before the look at the queue's ring that follows every sleep; it does. Not reading one loses nothing: what
 * became readable after the list was made, had no place on it, or was left because frames were found before the sleep stays readable, and the next
 * sleep, which ends at once, is told of it. So only what is known to be readable is read, and not each queue's at each wake.
 */
static void woken_by(struct worker *w, uint64_t event)
{
	const struct port_kind *kind;
	struct port *p;
	uint64_t rung;

	if (event == 0) {
		if (read(w->wake_fd, &rung, sizeof(rung)) < 0)
			return; /* read already, with an earlier wake-up */
	} else {
		p = rcu_dereference(w->dp->ports[event >> 16 & UINT16_MAX]);
		kind = p ? CMM_LOAD_SHARED(p->kind) : NULL; /* that of no device, from one moment to the next */
		if (kind && p->gen == event >> 32 && kind->rx_woke)
			kind->rx_woke(&p->kp, event & UINT16_MAX);
	}
}

/* Nothing to do: sleep until somebody has something for us. Called and left in a read-side section. */
static void sleep_round(struct worker *w)
{
	struct epoll_event ev[WORKER_EVENTS];
	uint64_t start, woken;
	bool timed;
	int n;

	atomic_store_explicit(&w->sleeping, true, memory_order_relaxed);
	/* Pairs with worker_wake(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (arm_all(w, &timed) || must_stay(w) || poll_all(w)) {
		atomic_store_explicit(&w->sleeping, false, memory_order_relaxed);
		disarm_all(w);
		return;
	}

	start = rte_rdtsc();
	rcu_thread_offline();
	n = epoll_wait(w->epfd, ev, RTE_DIM(ev), timed ? WORKER_NAP_US / 1000 : -1);
	rcu_thread_online();
	atomic_store_explicit(&w->sleeping, false, memory_order_relaxed);
	/* Poll sets may have changed while we were off-line: what is gone must not be touched, so only a set that is still current is disarmed. */
	if (set_is_current(w))
		disarm_all(w);
	/* Behind that: who was asked not to does not ring again. */
	for (int i = 0; i < n; i++)
		woken_by(w, ev[i].data.u64);
	woken = rte_rdtsc();
	w->now_tsc = woken;
	w->c.sleeps++;
	w->c.sleep_tsc += woken - start;
}

static void update_clock(struct worker *w)
{
	w->now_tsc = rte_rdtsc();
	while (unlikely((int64_t)(w->now_tsc - w->next_s_tsc) >= 0)) {
		w->now_s++;
		w->next_s_tsc += w->dp->tsc_hz;
	}
}

static int worker_main(void *arg)
{
	struct worker *w = arg;
	const uint64_t spin_tsc = w->dp->tsc_hz / 1000000 * WORKER_SPIN_US;
	const uint64_t silent_tsc = w->dp->tsc_hz / 1000000 * WORKER_SILENT_US;
	uint64_t last_busy, before;

	if (w->dp->worker_init)
		w->dp->worker_init();
	rcu_register_thread();
	update_clock(w);
	last_busy = before = w->now_tsc;
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		struct pollset *ps = rcu_dereference(w->pollset);
		unsigned frames;

		if (unlikely(ps->gen != w->seen_gen))
			adopt(w, ps);
		frames = poll_round(w, silent_tsc);
		if (unlikely(w->n_retry))
			forward_learn_retry(w);
		rcu_quiescent_state();

		update_clock(w);
		if (frames) {
			w->c.busy_tsc += w->now_tsc - before;
			last_busy = w->now_tsc;
		} else {
			w->c.idle_tsc += w->now_tsc - before;
			if (!w->dp->busy_poll && w->now_tsc - last_busy > spin_tsc && !must_stay(w)) {
				uint64_t from = w->now_tsc, slept = w->c.sleep_tsc;

				sleep_round(w);
				update_clock(w);
				/* One whole look at everybody before the next sleep. */
				if (set_is_current(w) && poll_all(w))
					last_busy = w->now_tsc;
				/* Arming and looking around is time awake. */
				update_clock(w);
				w->c.idle_tsc += w->now_tsc - from - (w->c.sleep_tsc - slept);
			}
		}
		before = w->now_tsc;
	}
	rcu_unregister_thread();
	return 0;
}

struct worker *worker_new(struct dp *dp, unsigned id, unsigned core, unsigned lcore)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0};
	struct worker *w = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*w), RTE_CACHE_LINE_SIZE));

	if (!w)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->id = id;
	w->core = core;
	w->lcore = lcore;
	w->dp = dp;
	w->now_s = 1;
	w->next_s_tsc = dp->epoch_tsc + dp->tsc_hz;
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->pollset = pollset_new(0);
	w->tx = calloc(DP_MAX_PORTS, sizeof(w->tx[0]));
	w->touched = calloc(DP_MAX_PORTS, sizeof(w->touched[0]));
	if (w->pollset)
		adopt(w, w->pollset);
	if (w->epfd < 0 || w->wake_fd < 0 || !w->pollset || !w->tx || !w->touched ||
	    epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0) {
		worker_free(w);
		return NULL;
	}
	for (unsigned from = 0; from < dp->n_workers; from++) {
		char name[RTE_RING_NAMESIZE];

		if (from == id)
			continue;
		snprintf(name, sizeof(name), "flood_%u_%u", from, id);
		w->flood_inbox[from] = rte_ring_create_elem(name, sizeof(struct handoff), WORKER_HANDOFF, SOCKET_ID_ANY,
							    RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(name, sizeof(name), "handoff_%u_%u", from, id);
		w->inbox[from] = rte_ring_create_elem(name, sizeof(struct handoff), WORKER_HANDOFF, SOCKET_ID_ANY,
						      RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!w->inbox[from] || !w->flood_inbox[from]) {
			worker_free(w);
			return NULL;
		}
	}
	return w;
}

int worker_start(struct worker *w)
{
	return rte_eal_remote_launch(worker_main, w, w->lcore);
}

void worker_stop(struct worker *w)
{
	atomic_store(&w->stop, true);
	worker_wake(w);
	rte_eal_wait_lcore(w->lcore);
}

static void inbox_free(struct rte_ring *ring)
{
	struct handoff h;

	while (ring && rte_ring_sc_dequeue_burst_elem(ring, &h, sizeof(h), 1, NULL))
		rte_pktmbuf_free(h.m);
	rte_ring_free(ring);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	for (unsigned from = 0; from < DP_MAX_WORKERS; from++) {
		inbox_free(w->inbox[from]);
		inbox_free(w->flood_inbox[from]);
	}
	if (w->epfd >= 0)
		close(w->epfd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free(w->pollset);
	free(w->tx);
	free(w->touched);
	free(w);
}

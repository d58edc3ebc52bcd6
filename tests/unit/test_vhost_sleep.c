/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads, a worker and a guest, that sleep until the other wakes them: whatever the moment at which one of them lies down, it is woken.
 *
 *      guest  publishes an entry, looks whether it is asked to kick, kicks            worker  asks for kicks, looks for entries, sleeps
 *      worker publishes used entries, looks whether it is asked to call, calls        guest   asks for a call, looks for used entries, sleeps
 *
 * Each side is awake, and turns over for a while that differs from round to round, before it lies down, so that each of its steps meets each
 * of the other's. A sleep that nobody ends within DEADLINE_MS is a wake-up that was lost. Everything is bounded: the rounds by ROUNDS, a wait
 * that is not a sleep by the other's sleeps. On a machine that is busy with others, where a wake-up takes milliseconds, ENOUGH_S are enough.
 */
#include "test_vhost_env.h"

#include <rte_pause.h>

#define ROUNDS	    20000
#define DEADLINE_MS 20000
#define ENOUGH_S    2
#define RING	    64
#define BUSY	    24

struct side {
	struct rig *rig;
	bool events;   /* by event index, or by flags */
	bool disabled; /* the ring is: nothing arrives, and all comes back */
	unsigned rounds, sleeps, sent;
	bool late, wrong;
	unsigned *taken; /* by the guest, of what the worker has sent: atomic */
	bool *over;	 /* the other side has given up: atomic */
};

static uint64_t want_all(void *ctx, const uint8_t (*heads)[KIND_HEAD], const uint32_t *len, uint64_t asks, uint16_t n)
{
	return UINT64_MAX >> (64 - n);
}

/* Returns false, and ends the test, when nobody wakes us. */
static bool sleep_on(struct side *s, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	s->sleeps++;
	if (poll(&p, 1, DEADLINE_MS) == 1)
		return true;
	s->late = true;
	__atomic_store_n(s->over, true, __ATOMIC_RELEASE);
	return false;
}

static bool enough(time_t start, unsigned rounds)
{
	return rounds == ROUNDS || (rounds % 64 == 0 && seconds_now() > start + ENOUGH_S);
}

static bool over(const struct side *s)
{
	return __atomic_load_n(s->over, __ATOMIC_ACQUIRE);
}

static void turn_over(unsigned round, unsigned step, unsigned most)
{
	for (unsigned i = round * step % most; i > 0; i--)
		rte_pause();
}

/* --- the guest ---------------------------------------------------------------------------------------------------------------- */

/* As virtio 1.1, 2.6.7 and 2.6.8 have it: the wish, a barrier, and then one more look. */
static void wish_call(struct side *s)
{
	struct guest_ring *r = &s->rig->r;

	if (s->events)
		__atomic_store_n(guest_used_event(r), r->seen, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&r->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Until there is a used entry. */
static bool wait_used(struct side *s)
{
	struct guest_ring *r = &s->rig->r;

	while (guest_used(r) == 0) {
		wish_call(s);
		if (guest_used(r) == 0 && !sleep_on(s, s->rig->call_fd))
			return false;
		rung(s->rig->call_fd);
		if (!s->events)
			__atomic_store_n(&r->avail->flags, VIRTQ_AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
	}
	return true;
}

/* Make a head available. Is a kick asked for? */
static bool give(struct side *s, uint16_t head)
{
	struct guest_ring *r = &s->rig->r;
	uint16_t old = r->avail->idx;

	guest_give(r, head);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (s->events)
		return __atomic_load_n(guest_avail_event(r), __ATOMIC_RELAXED) == old;
	return !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) & VIRTQ_USED_NO_NOTIFY);
}

/*
 * Send one frame after another, so many as lets the worker come to rest between two of them; sleep until all their buffers are back. Every
 * seventh is a lie, of which the worker has no frame to show.
 */
static void *guest_transmits(void *arg)
{
	struct side *s = arg;
	struct rig *rig = s->rig;
	time_t start = seconds_now();
	bool woken = true;

	side_by_side(1);
	for (s->rounds = 0; woken && !enough(start, s->rounds); s->rounds++) {
		uint16_t n = (uint16_t)(1 + s->rounds % (RING / 2));

		for (uint16_t head = 0; head < n; head++) {
			guest_desc(&rig->r, head, buffer_at(head), (s->rounds + head) % 7 ? rig->hdr_len + 64 : 1, 0, 0);
			turn_over(s->rounds, 7 + 3u * head, 61);
			if (give(s, head))
				bell_ring(rig->kick_fd);
			s->sent++;
		}
		turn_over(s->rounds, 11, 199);
		for (uint16_t head = 0; head < n && woken; head++) {
			woken = wait_used(s);
			s->wrong |= woken && guest_take(&rig->r).id != head;
		}
	}
	__atomic_store_n(s->over, true, __ATOMIC_RELEASE);
	/* So that the other side finds out. */
	bell_ring(rig->kick_fd);
	return NULL;
}

static void *guest_receives(void *arg)
{
	struct side *s = arg;
	struct rig *rig = s->rig;
	time_t start = seconds_now();

	side_by_side(1);
	for (s->rounds = 0; !enough(start, s->rounds); s->rounds++) {
		turn_over(s->rounds, 13, 307);
		if (!wait_used(s))
			break;
		s->wrong |= guest_take(&rig->r).len != rig->hdr_len + 64;
		guest_give(&rig->r, (uint16_t)(s->rounds % RING));
		__atomic_store_n(s->taken, s->rounds + 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(s->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* --- the worker --------------------------------------------------------------------------------------------------------------- */

static unsigned receive_all(struct side *s)
{
	struct rte_mbuf *m[VHOST_BURST];
	uint16_t n = vhost_rx(&s->rig->q, m, VHOST_BURST, want_all, NULL);

	for (uint16_t i = 0; i < n; i++)
		rte_pktmbuf_free(m[i]);
	s->wrong |= s->disabled && n > 0;
	return n;
}

/* As worker.c: poll a while, arm, look once more (which it may leave out), sleep, disarm, look. */
static void *worker_receives(void *arg)
{
	struct side *s = arg;

	side_by_side(0);
	rte_thread_register();
	for (s->rounds = 0; !over(s); s->rounds++) {
		bool ready, awake = true;

		for (unsigned i = s->rounds * 13 % 23; i > 0; i--) {
			receive_all(s);
			rte_pause();
		}
		ready = vhost_rx_arm(&s->rig->q) != 0;
		if (!ready && !over(s) && (s->rounds % 3 || receive_all(s) == 0))
			awake = sleep_on(s, s->rig->q.wake_fd);
		vhost_rx_disarm(&s->rig->q);
		if (!awake)
			break;
		receive_all(s);
	}
	rte_thread_unregister();
	return NULL;
}

/* A frame, when the guest has seen the one before and is perhaps about to sleep. */
static void *worker_transmits(void *arg)
{
	struct side *s = arg;

	side_by_side(0);
	rte_thread_register();
	for (s->rounds = 0; !over(s); s->rounds++) {
		struct rte_mbuf *m = frame_new(1, 64, UINT32_MAX);

		while (__atomic_load_n(s->taken, __ATOMIC_ACQUIRE) != s->rounds && !over(s))
			sched_yield();
		turn_over(s->rounds, 7, 401);
		if (vhost_tx(&s->rig->q, &m, 1) != 1) {
			rte_pktmbuf_free(m);
			s->wrong = !over(s);
			break;
		}
	}
	if (s->wrong)
		__atomic_store_n(s->over, true, __ATOMIC_RELEASE);
	rte_thread_unregister();
	return NULL;
}

/* --- the two steps of both, at the same time ------------------------------------------------------------------------------------- */

/*
 * Without any sleep: one side does what it does last before a sleep while the other does what it would be woken by, again and again, begun
 * by both within nanoseconds. Whoever of them comes first, one must have noticed the other.
 */
enum meeting { GUEST_SENDS, SWITCH_SENDS, SWITCH_GIVES_BACK };

struct meet {
	struct rig rig;
	enum meeting what;
	bool events;
	unsigned arrived; /* atomic: how often one of both has come to a line */
	unsigned overlooked;
	bool ended;	/* told before the first line of a round that is none */
	bool saw, told; /* in this round: the sleeper sees what is there; it is told */
	struct {
		unsigned word __rte_cache_aligned;
	} busy[BUSY];
};

/*
 * What the switch stores next waits behind these, which are in no cache and come from memory; what it loads next does not wait, if no barrier
 * makes it. Without them a store is on its way for less time than the guest's step takes, and a missing barrier shows once in a million
 * rounds; so it shows in one of ten.
 */
static void be_busy(struct meet *m, unsigned round)
{
	for (unsigned i = 0; i < BUSY; i++)
		__atomic_store_n(&m->busy[i].word, round, __ATOMIC_RELAXED);
}

static void out_of_the_caches(struct meet *m)
{
#ifdef __SSE2__
	for (unsigned i = 0; i < BUSY; i++)
		__builtin_ia32_clflush(&m->busy[i]);
	__builtin_ia32_mfence();
#endif
}

/* Returns when both have come to line number `line`. */
static void wait_for_both(struct meet *m, unsigned line)
{
	__atomic_fetch_add(&m->arrived, 1, __ATOMIC_ACQ_REL);
	for (unsigned i = 1; __atomic_load_n(&m->arrived, __ATOMIC_ACQUIRE) < 2 * line; i++) {
		if (i % 1024 == 0)
			sched_yield();
	}
}

static void guest_step(struct meet *m, struct side *guest, uint16_t slot)
{
	struct guest_ring *r = &m->rig.r;

	if (m->what == GUEST_SENDS) {
		m->told = give(guest, slot);
		return;
	}
	wish_call(guest);
	m->saw = guest_used(r) > 0;
}

static void switch_step(struct meet *m, struct rte_mbuf *frame)
{
	struct rte_mbuf *got;

	if (m->what == GUEST_SENDS) {
		m->saw = vhost_rx_arm(&m->rig.q) != 0;
		return;
	}
	if (m->what == SWITCH_SENDS)
		vhost_tx(&m->rig.q, &frame, 1);
	else if (vhost_rx(&m->rig.q, &got, 1, want_all, NULL) == 1)
		rte_pktmbuf_free(got);
}

static void *guest_meets(void *arg)
{
	struct meet *m = arg;
	struct side guest = {.rig = &m->rig, .events = m->events};

	side_by_side(1);
	for (unsigned round = 0;; round++) {
		out_of_the_caches(m);
		wait_for_both(m, 2 * round + 1);
		if (m->ended)
			break;
		turn_over(round, 7, 13);
		guest_step(m, &guest, (uint16_t)(round % RING));
		wait_for_both(m, 2 * round + 2);
	}
	return NULL;
}

/* What the round began with: a frame from the guest to be given back, or a buffer of its to be filled. */
static void round_begins(struct meet *m, unsigned round)
{
	struct rig *rig = &m->rig;
	uint16_t slot = (uint16_t)(round % RING);

	m->saw = m->told = false;
	if (m->what == SWITCH_SENDS)
		guest_desc(&rig->r, slot, buffer_at(slot), RIG_BUFFER, VIRTQ_DESC_WRITE, 0);
	else
		guest_desc(&rig->r, slot, buffer_at(slot), rig->hdr_len + 64, 0, 0);
	if (m->what != GUEST_SENDS)
		guest_give(&rig->r, slot);
	else if (round % 2)
		receive_all(&(struct side){.rig = rig}); /* it was awake before */
}

static void round_ends(struct meet *m)
{
	struct rig *rig = &m->rig;

	if (m->what == GUEST_SENDS) {
		vhost_rx_disarm(&rig->q);
		receive_all(&(struct side){.rig = rig});
		/* Or the next arming would drain it, and a system call is a barrier. */
		epoll_wait(rig->q.wake_fd, &(struct epoll_event){0}, 1, 0);
		rig->q.rung = false;
	} else {
		m->told = rung(rig->call_fd) > 0;
		if (!m->events)
			__atomic_store_n(&rig->r.avail->flags, VIRTQ_AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
	}
	m->overlooked += !m->saw && !m->told;
	assert_int_equal(guest_used(&rig->r), 1);
	guest_take(&rig->r);
}

/* Index and wish of either side in cache lines of their own, as in a ring of a usual size: what is in one line crosses together. */
static void lines_apart(struct rig *rig)
{
	struct guest_ring *r = &rig->r;

	rig_stop(rig);
	r->used_at += 1024;
	r->used = (struct virtq_used *)(r->g->mem + r->used_at);
	rig_start(rig);
}

static void meet(enum meeting what, bool events)
{
	struct meet m = {.what = what, .events = events};
	time_t start = seconds_now();
	unsigned round = 0;
	cpu_set_t before;
	pthread_t thread;

	rig_open(&m.rig, RING, 0, MODERN | (events ? EVENTS : 0));
	lines_apart(&m.rig);
	m.rig.r.avail->flags = VIRTQ_AVAIL_NO_INTERRUPT;
	for (uint16_t i = 0; i < RING; i++)
		guest_write(&m.rig, buffer_at(i), i, 64);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(pthread_create(&thread, NULL, guest_meets, &m), 0);
	side_by_side(0);
	for (; !enough(start, round); round++) {
		struct rte_mbuf *frame = what == SWITCH_SENDS ? frame_new(round, 64, UINT32_MAX) : NULL;

		round_begins(&m, round);
		wait_for_both(&m, 2 * round + 1);
		turn_over(round, 5, 11);
		be_busy(&m, round);
		switch_step(&m, frame);
		wait_for_both(&m, 2 * round + 2);
		round_ends(&m);
	}
	m.ended = true;
	wait_for_both(&m, 2 * round + 1);
	pthread_join(thread, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(m.overlooked, 0);
	rig_close(&m.rig);
}

static void nobody_overlooks_the_other(void **state)
{
	for (unsigned events = 0; events < 2; events++) {
		meet(GUEST_SENDS, events);
		meet(SWITCH_SENDS, events);
		meet(SWITCH_GIVES_BACK, events);
	}
}

/* --- the tests ------------------------------------------------------------------------------------------------------------------ */

static void run(struct rig *rig, struct side *guest, void *(*guest_main)(void *), struct side *worker, void *(*worker_main)(void *))
{
	unsigned taken = 0;
	bool ended = false;
	pthread_t thread[2];

	guest->rig = worker->rig = rig;
	guest->taken = worker->taken = &taken;
	guest->over = worker->over = &ended;
	assert_int_equal(pthread_create(&thread[0], NULL, worker_main, worker), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, guest_main, guest), 0);
	pthread_join(thread[1], NULL);
	pthread_join(thread[0], NULL);
	assert_false(guest->late);
	assert_false(worker->late);
	assert_false(guest->wrong);
	assert_false(worker->wrong);
	assert_true(guest->rounds >= 64);
}

static void transmit(unsigned how, bool disabled)
{
	struct side guest = {.events = how}, worker = {.events = how, .disabled = disabled};
	struct rig rig;

	rig_open(&rig, RING, (uint16_t)(0 - ROUNDS / 2), MODERN | (how ? EVENTS : 0));
	if (disabled)
		rig.v->aside = VHOST_DISABLED;
	for (uint16_t i = 0; i < RING; i++)
		guest_write(&rig, buffer_at(i), i, 64);
	run(&rig, &guest, guest_transmits, &worker, worker_receives);
	/* Both did lie down, or it was no test. */
	assert_true(worker.sleeps > 0 && guest.sleeps > 0);
	assert_int_equal(rig.q.lost.rx_disabled, disabled ? guest.sent : 0);
	rig_close(&rig);
}

static void guest_that_transmits_wakes_and_is_woken(void **state)
{
	for (unsigned how = 0; how < 2; how++)
		transmit(how, false);
}

static void so_it_is_by_a_disabled_ring(void **state)
{
	for (unsigned how = 0; how < 2; how++)
		transmit(how, true);
}

static void guest_that_receives_is_woken(void **state)
{
	for (unsigned how = 0; how < 2; how++) {
		struct side guest = {.events = how}, worker = {.events = how};
		struct rig rig;

		rig_open(&rig, RING, (uint16_t)(0 - ROUNDS / 2), MODERN | (how ? EVENTS : 0));
		for (uint16_t i = 0; i < RING; i++)
			guest_offers(&rig, i, RIG_BUFFER);
		run(&rig, &guest, guest_receives, &worker, worker_transmits);
		assert_true(guest.sleeps > 0);
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_overlooks_the_other),
		cmocka_unit_test(guest_that_transmits_wakes_and_is_woken),
		cmocka_unit_test(so_it_is_by_a_disabled_ring),
		cmocka_unit_test(guest_that_receives_is_woken),
	};

	return cmocka_run_group_tests_name("vhost_sleep", tests, env_setup, env_teardown);
}

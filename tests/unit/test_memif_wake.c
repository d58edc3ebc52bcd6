/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif with real workers: threads that sleep and are woken, and threads that poll while peers come and go.
 */
#include "test_memif_env.h"

#include <rte_pause.h>

#define ROUNDS	    20000
#define ENOUGH_S    2	  /* on a machine that is busy with others */
#define DEADLINE_MS 10000 /* a wake-up that takes so long was lost */

struct worker {
	struct kind_port *port;
	bool echo;  /* send back what comes, rather than send first, on the second CPU */
	bool *over; /* the next frame is the last: atomic */
	unsigned rounds, sleeps;
	bool late;
};

/*
 * Receive one frame, asleep until it is there; now and then after some polling, so that the frame meets every step of going to
 * sleep.
 */
static struct rte_mbuf *receive_asleep(struct worker *w, unsigned spin)
{
	struct pollfd fd = {.fd = memif_kind.rx_fd(w->port, 0), .events = POLLIN};
	struct rte_mbuf *m;

	for (unsigned i = 0; i < spin; i++) {
		if (port_rx(w->port, &m, 1))
			return m;
		rte_pause();
	}
	while (!port_rx(w->port, &m, 1)) {
		if (memif_kind.rx_arm(w->port, 0) == 0) {
			w->sleeps++;
			if (poll(&fd, 1, DEADLINE_MS) != 1) {
				w->late = true;
				return NULL;
			}
		}
		memif_kind.rx_disarm(w->port, 0);
	}
	return m;
}

/* The source decides when it has been enough, before it sends its last frame; the echo looks after it has received one. */
static bool echo_one(struct worker *w)
{
	struct rte_mbuf *m = receive_asleep(w, w->rounds * 13 % 97);
	bool last = __atomic_load_n(w->over, __ATOMIC_ACQUIRE);

	return m && port_tx(w->port, &m, 1) && ++w->rounds && !last;
}

static bool send_one(struct worker *w, time_t end)
{
	struct rte_mbuf *m = frame_new(w->rounds, 64, UINT32_MAX);
	bool last = w->rounds + 1 == ROUNDS || (w->rounds % 64 == 63 && seconds_now() > end);

	__atomic_store_n(w->over, last, __ATOMIC_RELEASE);
	if (!port_tx(w->port, &m, 1))
		return false;
	m = receive_asleep(w, w->rounds * 7 % 89);
	if (!m)
		return false;
	rte_pktmbuf_free(m);
	w->rounds++;
	return !last;
}

static void *ping_pong(void *arg)
{
	struct worker *w = arg;
	time_t end = seconds_now() + ENOUGH_S;

	side_by_side(w->echo);
	rte_thread_register();
	w->rounds = 0;
	while (w->echo ? echo_one(w) : send_one(w, end))
		;
	rte_thread_unregister();
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	bool over;
	struct worker echo = {.echo = true, .over = &over}, source = {.over = &over};
	pthread_t threads[2];
	struct pair p;

	pair_open(&p, 64, 1);
	for (unsigned way = 0; way < 2; way++) {
		over = false;
		echo.port = way ? &p.server : &p.client;
		source.port = way ? &p.client : &p.server;
		assert_int_equal(pthread_create(&threads[0], NULL, ping_pong, &echo), 0);
		assert_int_equal(pthread_create(&threads[1], NULL, ping_pong, &source), 0);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		assert_false(echo.late || source.late);
		assert_int_equal(echo.rounds, source.rounds);
		assert_true(source.rounds >= 64);
		assert_true(echo.sleeps + source.sleeps > 0);
	}
	pair_close(&p);
}

static void sleeper_is_woken_by_the_first_frame_of_a_peer_that_connects_meanwhile(void **state)
{
	struct pollfd fd = {.events = POLLIN};
	struct rte_mbuf *m;
	struct pair p;

	for (unsigned way = 0; way < 2; way++) {
		struct kind_port *sleeper = way ? &p.server : &p.client, *comer = way ? &p.client : &p.server;

		port_open(sleeper, (struct dp_port_conf){.client = !way});
		assert_int_equal(memif_kind.rx_arm(sleeper, 0), 0); /* and sleeps */
		fd.fd = memif_kind.rx_fd(sleeper, 0);
		port_open(comer, (struct dp_port_conf){.client = way});
		WAIT_FOR(is_up(&p.server) && is_up(&p.client));
		assert_int_equal(poll(&fd, 1, 0), 0);
		m = frame_new(1, 64, UINT32_MAX);
		assert_int_equal(port_tx(comer, &m, 1), 1);
		assert_int_equal(poll(&fd, 1, 0), 1);
		assert_int_equal(memif_kind.rx_fd(sleeper, 0), fd.fd);
		memif_kind.rx_disarm(sleeper, 0);
		assert_int_equal(port_rx(sleeper, &m, 1), 1);
		frame_expect(m, 1, 64);
		pair_close(&p);
	}
}

/* --- a worker that polls while the control thread takes connections away ------------------------------------------- */

static struct {
	struct kind_port *port;
	unsigned long loops; /* quiescent states passed */
	unsigned long frames;
	bool stop;
} poller;

static void *poll_for_ever(void *arg)
{
	struct rte_mbuf *m[32];

	rte_thread_register();
	while (!__atomic_load_n(&poller.stop, __ATOMIC_ACQUIRE)) {
		uint16_t n = poller.port->rx(poller.port->rxq[0], m, 32), sent = 0;

		if (n)
			sent = poller.port->tx(poller.port->txq[0], m, n);
		if (sent < n)
			rte_pktmbuf_free_bulk(m + sent, n - sent);
		__atomic_fetch_add(&poller.frames, n, __ATOMIC_RELAXED);
		__atomic_fetch_add(&poller.loops, 1, __ATOMIC_SEQ_CST);
		if (n == 0)
			sched_yield();
	}
	rte_thread_unregister();
	return NULL;
}

static void wait_for_poller(void)
{
	unsigned long now = __atomic_load_n(&poller.loops, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&poller.loops, __ATOMIC_SEQ_CST) < now + 2)
		sched_yield();
}

static void no_worker_is_in_memory_that_is_unmapped(void **state)
{
	unsigned long served = 0;
	struct rte_mbuf *m[16];
	pthread_t thread;
	struct pair p;

	pair_open(&p, 64, 1);
	poller.port = &p.server;
	on_quiesce = wait_for_poller;
	assert_int_equal(pthread_create(&thread, NULL, poll_for_ever, NULL), 0);
	for (unsigned i = 0; i < 200; i++) {
		unsigned long seen = __atomic_load_n(&poller.frames, __ATOMIC_RELAXED);

		for (unsigned k = 0; k < 16; k++)
			m[k] = frame_new(k, k == 7 ? 5000 : 64, UINT32_MAX);
		assert_int_equal(port_tx(&p.client, m, 16), 16);
		if (i % 2) { /* half of the times the connection goes while frames are in it */
			wait_for_poller();
			wait_for_poller();
			served += __atomic_load_n(&poller.frames, __ATOMIC_RELAXED) - seen;
		}
		memif_kind.close(&p.client);
		WAIT_FOR(!is_up(&p.server));
		port_open(&p.client, (struct dp_port_conf){.client = true, .ring = 64});
		WAIT_FOR(is_up(&p.server) && is_up(&p.client));
	}
	__atomic_store_n(&poller.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	on_quiesce = NULL;
	assert_true(served >= 100 * 16);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(sleeper_is_woken_by_the_first_frame_of_a_peer_that_connects_meanwhile),
		cmocka_unit_test(no_worker_is_in_memory_that_is_unmapped),
	};

	return cmocka_run_group_tests_name("memif_wake", tests, env_setup, env_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

/*
 * Workers: pinned threads that poll receive queues and carry what they find to the end.
 *
 * One round of a worker:
 *
 *      poll set changed? --> active queues: a burst each --> a few silent queues --> frames handed over by other workers
 *            ^                                                                                 |
 *            |       busy: at once           quiet for WORKER_SPIN_US: arm, look once more,    v
 *            +------------------------------------------- sleep on the descriptors <--- quiescent state
 *
 * Bounded polls. A queue that had no frames for WORKER_SILENT_US is silent; each round polls all active queues and at most
 * WORKER_SILENT_POLLS of the silent ones, going round. A thousand silent ports therefore cost a round four polls, not a thousand;
 * the price is that a silent port's first frame under full load waits for its turn (ports / 4 rounds of a few microseconds).
 *
 * Sleep (mode adaptive). Each queue's kind is asked to notify (rx_arm), every queue is polled once more to close the race, and the worker goes
 * off-line for RCU and waits in epoll. A queue without a descriptor (a driver that has none) makes the sleep a timed one of
 * WORKER_NAP_US. Whoever hands a worker something, or changes its poll set, wakes it through its eventfd if it sleeps.
 *
 * What a worker may read is published through RCU (QSBR): everything it picked up is dropped at the quiescent state that ends each round,
 * at the latest. It never locks, logs or allocates from the heap; it makes a system call only inside a kind that needs one, to sleep,
 * and to wake a sleeping worker.
 */

#include <pthread.h>
#include <stdatomic.h>

#include <rte_ring.h>

#include "fdb.h"
#include "port.h"

#define WORKER_BURST	    32
#define WORKER_SILENT_US    1000
#define WORKER_SILENT_POLLS 4
#define WORKER_SPIN_US	    200
#define WORKER_NAP_US	    1000
#define WORKER_HANDOFF	    2048 /* slots of the ring between two workers */
#define WORKER_INBOX	    8	 /* bursts taken from each sender in a round: a round of theirs can bring many */
#define WORKER_RETRY	    64	 /* addresses waiting to be learned */
#define WORKER_EVENTS	    32	 /* descriptors that a sleep is told of when it ends */

/* Frames on their way out by one port. */
struct tx_buffer {
	uint16_t n;
	bool touched; /* in worker->touched[] */
	struct rte_mbuf *m[WORKER_BURST];
};

/*
 * What goes through a handoff ring. The port travels beside the mbuf because a flooded mbuf is shared by several ports; with its generation,
 * because the frame may be found when the port has gone and another has its index, in other VLANs.
 */
struct handoff {
	struct rte_mbuf *m;
	uint32_t port, gen;
};

/* Receive queues of a worker. q[] is immutable; the two lists belong to the worker that adopts the set. */
struct pollset {
	uint64_t gen; /* differs from every other set's: an address may come again, and a worker can sleep through two changes */
	unsigned n;
	struct rxq **active, **silent; /* room for n each, behind q[] */
	struct rxq *q[];
};

/* Written by the worker, read by the control thread. */
struct worker_counters {
	uint64_t polls, polls_busy, frames, sleeps;
	uint64_t busy_tsc, idle_tsc, sleep_tsc;
	uint64_t gone; /* frames for ports that were removed meanwhile */
};

struct worker {
	unsigned id, core, lcore;
	struct dp *dp;
	struct pollset *pollset;		      /* RCU */
	struct rte_ring *inbox[DP_MAX_WORKERS];	      /* from each other worker: unicast ... */
	struct rte_ring *flood_inbox[DP_MAX_WORKERS]; /* ... and flooded frames: one broadcast may be hundreds */
	bool flooding;				      /* frames handed over now are flooded ones */
	int epfd, wake_fd;
	atomic_bool sleeping; /* pairs with worker_wake() */
	atomic_bool stop;

	/* The worker's alone. */
	uint64_t now_tsc;
	uint32_t now_s;
	uint64_t next_s_tsc;
	struct pollset *seen; /* poll set in use, and its generation */
	uint64_t seen_gen;
	unsigned n_active, n_silent, next_silent;
	uint16_t *touched; /* ports with frames in tx[] */
	unsigned n_touched;
	struct tx_buffer *tx; /* [DP_MAX_PORTS] */
	struct {
		uint64_t key;
		uint32_t gen;
		uint16_t port;
	} retry[WORKER_RETRY];
	unsigned n_retry;
	struct worker_counters c;
} __rte_cache_aligned;

/* Make worker `id`; it runs once worker_start() was called. Control thread. NULL: out of memory or descriptors. */
struct worker *worker_new(struct dp *dp, unsigned id, unsigned core, unsigned lcore);
int worker_start(struct worker *w);
/* Ask it to end and wait until it has. */
void worker_stop(struct worker *w);
void worker_free(struct worker *w);

/*
 * What a queue's descriptor carries in the worker's epoll set: never 0, which is the worker's own eventfd. Not an address, for the port may be
 * gone by the time that it is read.
 */
static inline uint64_t worker_event(uint32_t gen, uint16_t port, uint16_t q)
{
	return (uint64_t)gen << 32 | (uint64_t)port << 16 | q;
}

/* End its sleep, if it sleeps. Any thread. */
void worker_wake(struct worker *w);

/*
 * A poll set with room for n queues, and for the worker's own lists of them: they are part of it, so that adopting a new set needs no
 * memory. NULL: out of memory. Control thread; free() it a grace period after it was replaced.
 */
struct pollset *pollset_new(unsigned n);

/* forward.c: one burst of a queue, from receive to send. Returns the frames received. Worker, read-side section. */
unsigned forward_queue(struct worker *w, struct rxq *q);
/* forward.c: try again to learn what another thread's writing kept us from. */
void forward_learn_retry(struct worker *w);

#endif

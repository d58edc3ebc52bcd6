/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_EVENTS_H
#define DATAPLANE_EVENTS_H

/*
 * The control thread's own event sources inside the dataplane: peers' sockets, timers.
 *
 * One epoll descriptor, which the daemon watches as a whole (dp_fd()), so that the dataplane depends on no event library and the daemon
 * learns of no socket of a port kind. Sources are found by their descriptor. Timers are a list in the order in which they are due, and share
 * one timerfd armed for the first; as most have one of a few delays, a new one belongs at the end or near it, so that a thousand ports that
 * wait for their peers cost what their attempts cost.
 *
 * A callback may remove any source, its own too: what is removed is only marked while callbacks run, and freed afterwards. Control thread only.
 */

#include <stdint.h>
#include <sys/queue.h>

struct event_source;
struct kind_timer;

struct events {
	int epfd, timer_fd;
	unsigned dispatching;
	struct event_source **by_fd; /* [n_fds] */
	unsigned n_fds;
	LIST_HEAD(event_sources, event_source) dead_sources;
	TAILQ_HEAD(event_timers, kind_timer) timers; /* by due_ns */
	TAILQ_HEAD(event_dead_timers, kind_timer) dead_timers;
};

int events_init(struct events *e);
void events_fini(struct events *e);
/* Run callbacks that are due, without waiting. */
void events_dispatch(struct events *e);

int events_watch(struct events *e, int fd, uint32_t mask, void (*cb)(void *arg, uint32_t events), void *arg);
int events_rewatch(struct events *e, int fd, uint32_t mask);
void events_unwatch(struct events *e, int fd);
struct kind_timer *events_timer(struct events *e, unsigned delay_ms, void (*cb)(void *arg), void *arg);
void events_timer_cancel(struct events *e, struct kind_timer *t);

#endif

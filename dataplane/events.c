/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

struct event_source {
	LIST_ENTRY(event_source) link;
	int fd;
	bool dead;
	void (*cb)(void *arg, uint32_t events);
	void *arg;
};

struct kind_timer {
	TAILQ_ENTRY(kind_timer) link;
	uint64_t due_ns;
	bool dead;
	void (*cb)(void *arg);
	void *arg;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

int events_init(struct events *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	LIST_INIT(&e->dead_sources);
	TAILQ_INIT(&e->timers);
	TAILQ_INIT(&e->dead_timers);
	e->by_fd = NULL;
	e->n_fds = 0;
	e->dispatching = 0;
	e->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (e->epfd < 0)
		return -errno;
	e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (e->timer_fd < 0 || epoll_ctl(e->epfd, EPOLL_CTL_ADD, e->timer_fd, &ev) < 0) {
		int r = -errno;

		if (e->timer_fd >= 0)
			close(e->timer_fd);
		close(e->epfd);
		e->epfd = -1;
		return r;
	}
	return 0;
}

/* Free what was removed; only when no callback is on the stack. */
static void sweep(struct events *e)
{
	struct event_source *s;
	struct kind_timer *t;

	while ((s = LIST_FIRST(&e->dead_sources))) {
		LIST_REMOVE(s, link);
		free(s);
	}
	while ((t = TAILQ_FIRST(&e->dead_timers))) {
		TAILQ_REMOVE(&e->dead_timers, t, link);
		free(t);
	}
}

static void source_die(struct events *e, struct event_source *s)
{
	s->dead = true;
	e->by_fd[s->fd] = NULL;
	LIST_INSERT_HEAD(&e->dead_sources, s, link);
}

static void timer_die(struct events *e, struct kind_timer *t)
{
	t->dead = true;
	TAILQ_REMOVE(&e->timers, t, link);
	TAILQ_INSERT_TAIL(&e->dead_timers, t, link);
}

void events_fini(struct events *e)
{
	struct kind_timer *t;

	for (unsigned fd = 0; fd < e->n_fds; fd++) {
		if (e->by_fd[fd])
			source_die(e, e->by_fd[fd]);
	}
	while ((t = TAILQ_FIRST(&e->timers)))
		timer_die(e, t);
	sweep(e);
	free(e->by_fd);
	close(e->timer_fd);
	close(e->epfd);
}

static void arm(struct events *e)
{
	const struct kind_timer *first = TAILQ_FIRST(&e->timers);
	struct itimerspec its = {0};

	if (first) {
		its.it_value.tv_sec = first->due_ns / 1000000000ull;
		its.it_value.tv_nsec = first->due_ns % 1000000000ull;
	}
	timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void run_timers(struct events *e)
{
	uint64_t now = now_ns(), ticks;
	struct kind_timer *t;

	if (read(e->timer_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return;
	/* What a callback makes is due later than `now`, so no callback can keep the loop here. */
	while ((t = TAILQ_FIRST(&e->timers)) && t->due_ns <= now) {
		timer_die(e, t);
		t->cb(t->arg);
	}
}

void events_dispatch(struct events *e)
{
	struct epoll_event ev[64];
	int n = epoll_wait(e->epfd, ev, 64, 0);

	e->dispatching++;
	for (int i = 0; i < n; i++) {
		struct event_source *s = ev[i].data.ptr;

		if (!s)
			run_timers(e);
		else if (!s->dead)
			s->cb(s->arg, ev[i].events);
	}
	if (--e->dispatching == 0)
		sweep(e);
	arm(e);
}

/* Room for the descriptor in by_fd[]. */
static int fd_room(struct events *e, int fd)
{
	unsigned n = e->n_fds ? e->n_fds : 64;
	struct event_source **by_fd;

	while (n <= (unsigned)fd)
		n *= 2;
	if (n == e->n_fds)
		return 0;
	by_fd = realloc(e->by_fd, n * sizeof(struct event_source *));
	if (!by_fd)
		return -ENOMEM;
	memset(by_fd + e->n_fds, 0, (n - e->n_fds) * sizeof(struct event_source *));
	e->by_fd = by_fd;
	e->n_fds = n;
	return 0;
}

int events_watch(struct events *e, int fd, uint32_t mask, void (*cb)(void *, uint32_t), void *arg)
{
	struct event_source *s = calloc(1, sizeof(*s));
	struct epoll_event ev = {.events = mask, .data.ptr = s};
	int r = s ? fd_room(e, fd) : -ENOMEM;

	if (r < 0)
		goto fail;
	s->fd = fd;
	s->cb = cb;
	s->arg = arg;
	if (epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		r = -errno;
		goto fail;
	}
	e->by_fd[fd] = s;
	return 0;
fail:
	free(s);
	return r;
}

static struct event_source *find(struct events *e, int fd)
{
	return fd >= 0 && (unsigned)fd < e->n_fds ? e->by_fd[fd] : NULL;
}

int events_rewatch(struct events *e, int fd, uint32_t mask)
{
	struct event_source *s = find(e, fd);
	struct epoll_event ev = {.events = mask, .data.ptr = s};

	if (!s)
		return -ENOENT;
	return epoll_ctl(e->epfd, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
}

void events_unwatch(struct events *e, int fd)
{
	struct event_source *s = find(e, fd);

	if (!s)
		return;
	epoll_ctl(e->epfd, EPOLL_CTL_DEL, fd, NULL);
	source_die(e, s);
	if (!e->dispatching)
		sweep(e);
}

struct kind_timer *events_timer(struct events *e, unsigned delay_ms, void (*cb)(void *), void *arg)
{
	struct kind_timer *t = calloc(1, sizeof(*t)), *before;

	if (!t)
		return NULL;
	t->due_ns = now_ns() + delay_ms * 1000000ull;
	t->cb = cb;
	t->arg = arg;
	before = TAILQ_LAST(&e->timers, event_timers);
	while (before && before->due_ns > t->due_ns)
		before = TAILQ_PREV(before, event_timers, link);
	if (before) {
		TAILQ_INSERT_AFTER(&e->timers, before, t, link);
	} else {
		TAILQ_INSERT_HEAD(&e->timers, t, link);
		arm(e);
	}
	return t;
}

void events_timer_cancel(struct events *e, struct kind_timer *t)
{
	if (!t || t->dead)
		return;
	timer_die(e, t);
	if (!e->dispatching)
		sweep(e);
	arm(e);
}

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
	LIST_ENTRY(kind_timer) link;
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

	LIST_INIT(&e->sources);
	LIST_INIT(&e->timers);
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
	struct event_source *s, *s_next;
	struct kind_timer *t, *t_next;

	for (s = LIST_FIRST(&e->sources); s; s = s_next) {
		s_next = LIST_NEXT(s, link);
		if (s->dead) {
			LIST_REMOVE(s, link);
			free(s);
		}
	}
	for (t = LIST_FIRST(&e->timers); t; t = t_next) {
		t_next = LIST_NEXT(t, link);
		if (t->dead) {
			LIST_REMOVE(t, link);
			free(t);
		}
	}
}

void events_fini(struct events *e)
{
	struct event_source *s;
	struct kind_timer *t;

	LIST_FOREACH (s, &e->sources, link)
		s->dead = true;
	LIST_FOREACH (t, &e->timers, link)
		t->dead = true;
	sweep(e);
	close(e->timer_fd);
	close(e->epfd);
}

static void arm(struct events *e)
{
	struct itimerspec its = {0};
	struct kind_timer *t;
	uint64_t due = UINT64_MAX;

	/* The analyzer loses track of sweep(), which unlinks what it frees. */
	LIST_FOREACH (t, &e->timers, link) {
		if (!t->dead && t->due_ns < due) /* NOLINT(clang-analyzer-unix.Malloc) */
			due = t->due_ns;
	}
	if (due != UINT64_MAX) {
		its.it_value.tv_sec = due / 1000000000ull;
		its.it_value.tv_nsec = due % 1000000000ull;
	}
	timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void run_timers(struct events *e)
{
	uint64_t now = now_ns(), ticks;
	struct kind_timer *t;

	if (read(e->timer_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return;
	/* A timer that a callback makes is put at the front, so it is not seen in this pass: no callback can keep the loop here. */
	LIST_FOREACH (t, &e->timers, link) {
		if (!t->dead && t->due_ns <= now) {
			t->dead = true;
			t->cb(t->arg);
		}
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

int events_watch(struct events *e, int fd, uint32_t mask, void (*cb)(void *, uint32_t), void *arg)
{
	struct event_source *s = calloc(1, sizeof(*s));
	struct epoll_event ev = {.events = mask, .data.ptr = s};

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->cb = cb;
	s->arg = arg;
	if (epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;

		free(s);
		return r;
	}
	LIST_INSERT_HEAD(&e->sources, s, link);
	return 0;
}

static struct event_source *find(struct events *e, int fd)
{
	struct event_source *s;

	LIST_FOREACH (s, &e->sources, link) {
		if (s->fd == fd && !s->dead)
			return s;
	}
	return NULL;
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
	s->dead = true;
	if (!e->dispatching)
		sweep(e);
}

struct kind_timer *events_timer(struct events *e, unsigned delay_ms, void (*cb)(void *), void *arg)
{
	struct kind_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->due_ns = now_ns() + delay_ms * 1000000ull;
	t->cb = cb;
	t->arg = arg;
	LIST_INSERT_HEAD(&e->timers, t, link);
	arm(e);
	return t;
}

void events_timer_cancel(struct events *e, struct kind_timer *t)
{
	if (!t)
		return;
	t->dead = true;
	if (!e->dispatching)
		sweep(e);
	arm(e);
}

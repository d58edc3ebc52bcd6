/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_KIND_LOOP_H
#define TEST_KIND_LOOP_H

/*
 * The services of kind.h, small: for programs that try a port kind without a switch around it.
 *
 * They are weak and defined in the program itself, so the linker does not take the real ones out of the library. Time is made
 * up: it passes when loop_advance() says so. A handshake that times out costs no waiting, and nothing depends on how fast the
 * machine is.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "kind.h"

#define MAX_WATCH 256

static struct watch {
	int fd;
	void (*cb)(void *, uint32_t);
	void *arg;
} watches[MAX_WATCH];

struct kind_timer {
	uint64_t due_ms;
	void (*cb)(void *);
	void *arg;
	struct kind_timer *next;
};

static struct kind_timer *timers;
static uint64_t clock_ms;
static int loop_fd = -1;
static unsigned n_changed, n_quiesced;
static void (*on_quiesce)(void); /* a test's worker thread is waited for here */

__attribute__((weak)) int kind_watch(struct dp *dp, int fd, uint32_t events, void (*cb)(void *arg, uint32_t events), void *arg)
{
	struct epoll_event ev = {.events = events};

	for (unsigned i = 0; i < MAX_WATCH; i++) {
		if (watches[i].cb)
			continue;
		ev.data.u32 = i;
		if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
			return -errno;
		watches[i] = (struct watch){fd, cb, arg};
		return 0;
	}
	return -ENOSPC;
}

__attribute__((weak)) void kind_unwatch(struct dp *dp, int fd)
{
	for (unsigned i = 0; i < MAX_WATCH; i++) {
		if (watches[i].cb && watches[i].fd == fd) {
			watches[i].cb = NULL;
			epoll_ctl(loop_fd, EPOLL_CTL_DEL, fd, NULL);
		}
	}
}

__attribute__((weak)) struct kind_timer *kind_timer(struct dp *dp, unsigned delay_ms, void (*cb)(void *arg), void *arg)
{
	struct kind_timer *t = malloc(sizeof(*t)), **at = &timers;

	*t = (struct kind_timer){clock_ms + delay_ms, cb, arg, NULL};
	while (*at && (*at)->due_ms <= t->due_ms)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
	return t;
}

__attribute__((weak)) void kind_timer_cancel(struct dp *dp, struct kind_timer *t)
{
	struct kind_timer **at = &timers;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
}

__attribute__((weak)) void kind_quiesce(struct dp *dp)
{
	n_quiesced++;
	if (on_quiesce)
		on_quiesce();
}

__attribute__((weak)) void kind_changed(struct kind_port *kp)
{
	n_changed++;
}

__attribute__((weak)) int dp_fail(struct dp_error *err, int code, const char *name, const char *attr, const char *hint,
				  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (err) {
		memset(err, 0, sizeof(*err));
		err->name = name;
		snprintf(err->attr, sizeof(err->attr), "%s", attr ? attr : "");
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	}
	va_end(ap);
	return code;
}

/* Run what is ready. False if nothing was. */
static inline bool loop_once(void)
{
	struct epoll_event ev[16];
	int n = epoll_wait(loop_fd, ev, 16, 0);

	for (int i = 0; i < n; i++) {
		struct watch *w = &watches[ev[i].data.u32];

		if (w->cb)
			w->cb(w->arg, ev[i].events);
	}
	return n > 0;
}

/* Run until nothing is left to do, without letting time pass. */
static inline void loop_idle(void)
{
	while (loop_once())
		;
}

/* Let so much time pass. */
static inline void loop_advance(unsigned ms)
{
	uint64_t until = clock_ms + ms;

	loop_idle();
	while (timers && timers->due_ms <= until) {
		struct kind_timer *t = timers;

		timers = t->next;
		clock_ms = t->due_ms;
		t->cb(t->arg);
		free(t);
		loop_idle();
	}
	clock_ms = until;
}

#endif

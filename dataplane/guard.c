/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK 64 /* entries */

struct guard {
	_Atomic uintptr_t start; /* 0: free. Stored last when made, first when deleted */
	size_t len;
	int alarm_fd;
	atomic_bool hit;
};

struct block {
	struct guard entry[BLOCK];
	_Atomic(struct block *) next;
};

static struct block first;
static struct sigaction previous;
static __thread bool asking; /* the previous handler, which may have ours as its previous one */

static bool guard_catch(uintptr_t addr)
{
	const uint64_t one = 1;

	for (struct block *b = &first; b; b = atomic_load_explicit(&b->next, memory_order_acquire)) {
		for (unsigned i = 0; i < BLOCK; i++) {
			struct guard *g = &b->entry[i];
			uintptr_t start = atomic_load_explicit(&g->start, memory_order_acquire);

			if (!start || addr < start || addr - start >= g->len)
				continue;
			if (mmap((void *)start, g->len, PROT_READ | PROT_WRITE,
				 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
				return false;
			atomic_store_explicit(&g->hit, true, memory_order_release);
			if (write(g->alarm_fd, &one, sizeof(one)) < 0) {
				/* The counter is full: then it is readable, which is all that is wanted. */
			}
			return true;
		}
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if (!guard_catch((uintptr_t)info->si_addr)) {
		bool by_info = previous.sa_flags & SA_SIGINFO;

		if (asking || (!by_info && (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN))) {
			signal(SIGBUS, SIG_DFL); /* returning runs the instruction again: it dies as it would have */
		} else {
			asking = true;
			if (by_info)
				previous.sa_sigaction(sig, info, context);
			else
				previous.sa_handler(sig);
			asking = false;
		}
	}
	errno = saved;
}

/* Looked after each time, for others install handlers too: EAL while it allocates huge pages, a test runner. */
static void install(void)
{
	struct sigaction now, sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &now) == 0 && !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)) {
		previous = now;
		sigaction(SIGBUS, &sa, NULL);
	}
}

struct guard *guard_add(void *addr, size_t len, int alarm_fd)
{
	struct block *b = &first;

	install();
	for (;;) {
		struct block *next;

		for (unsigned i = 0; i < BLOCK; i++) {
			struct guard *g = &b->entry[i];

			if (atomic_load_explicit(&g->start, memory_order_relaxed))
				continue;
			g->len = len;
			g->alarm_fd = alarm_fd;
			atomic_store_explicit(&g->hit, false, memory_order_relaxed);
			atomic_store_explicit(&g->start, (uintptr_t)addr, memory_order_release);
			return g;
		}
		next = atomic_load_explicit(&b->next, memory_order_relaxed);
		if (!next) {
			next = calloc(1, sizeof(*next));
			if (!next)
				return NULL;
			atomic_store_explicit(&b->next, next, memory_order_release);
		}
		b = next;
	}
}

void guard_del(struct guard *g)
{
	atomic_store_explicit(&g->start, 0, memory_order_release);
}

bool guard_hit(const struct guard *g)
{
	return atomic_load_explicit(&g->hit, memory_order_acquire);
}

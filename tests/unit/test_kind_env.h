/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_KIND_ENV_H
#define TEST_KIND_ENV_H

/*
 * What the tests of a port kind stand on: EAL with a pool, the control thread's services (test_kind_loop.h), a directory for sockets, and
 * frames that can be told from each other byte for byte.
 *
 * One thread plays both control thread and worker, but where a test says otherwise.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "frames.h"
#include "kind.h"
#include "log.h"
#include "test_kind_loop.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct rte_mempool *pool;
static char dir[64]; /* for sockets */
static char last_log[512];
static unsigned n_logs;

/* Run, with as much made-up time as it takes (a minute at most), until the condition holds. */
#define WAIT_FOR(condition)                                                           \
	do {                                                                          \
		loop_idle();                                                          \
		for (unsigned waited_ = 0; !(condition) && waited_ < 6000; waited_++) \
			loop_advance(10);                                             \
		assert_true(condition);                                               \
	} while (0)

/* --- EAL, pool ----------------------------------------------------------------------------------------------------- */

static inline void keep_log(int priority, const char *text)
{
	snprintf(last_log, sizeof(last_log), "%s", text);
	n_logs++;
}

/* What the program was given: DPDK leaves the main thread only one, and threads inherit it. */
static cpu_set_t cpus;

/* On a CPU of its own, if there are two: where they take turns, their steps never meet. */
static inline void side_by_side(unsigned which)
{
	cpu_set_t one;
	unsigned n = 0;

	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
		if (CPU_ISSET(cpu, &cpus) && n++ == which)
			CPU_SET(cpu, &one);
	}
	if (CPU_COUNT(&one) == 1)
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static inline time_t seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static inline int env_setup(void **state)
{
	char *argv[] = {"test",
			"-l",
			"0",
			"--no-huge",
			"-m",
			"256",
			"--no-shconf",
			"--no-pci",
			"--no-telemetry",
			"--log-level",
			"error",
			"-d",
			SLUICE_PMD_DIR "/librte_mempool_ring.so"};

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return -1;
	if (rte_eal_init(COUNT(argv), argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("frames", 8191, 250, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	loop_fd = epoll_create1(EPOLL_CLOEXEC);
	snprintf(dir, sizeof(dir), "/tmp/test_kind.XXXXXX");
	dp_log_sink(keep_log);
	return pool && loop_fd >= 0 && mkdtemp(dir) ? 0 : -1;
}

static inline int env_teardown(void **state)
{
	close(loop_fd);
	return rmdir(dir); /* fails if a socket file was left */
}

static inline unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static inline const char *sock_path(const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* --- frames -------------------------------------------------------------------------------------------------------- */

static inline uint8_t pattern(uint32_t seed, uint32_t i)
{
	return (uint8_t)((i * 131 + seed * 29) ^ (i >> 8));
}

/* A frame of len bytes in segments of seg bytes at most. */
static inline struct rte_mbuf *frame_new(uint32_t seed, uint32_t len, uint32_t seg)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *m = head;

	assert_non_null(m);
	for (uint32_t i = 0; i < len;) {
		uint32_t part = RTE_MIN(RTE_MIN(len - i, seg), (uint32_t)rte_pktmbuf_tailroom(m));
		uint8_t *at;

		if (part == 0 || m->data_len == seg) {
			m->next = rte_pktmbuf_alloc(pool);
			assert_non_null(m->next);
			m = m->next;
			head->nb_segs++;
			continue;
		}
		at = rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len);
		for (uint32_t k = 0; k < part; k++)
			at[k] = pattern(seed, i + k);
		m->data_len = (uint16_t)(m->data_len + part);
		head->pkt_len += part;
		i += part;
	}
	return head;
}

/* The frame is of that seed and length, byte for byte, and keeps the contract of kind.h. Frees it. */
static inline void frame_expect(struct rte_mbuf *m, uint32_t seed, uint32_t len)
{
	const uint32_t room = RTE_MBUF_DEFAULT_BUF_SIZE - RTE_PKTMBUF_HEADROOM;
	uint32_t i = 0;
	uint16_t segs = 0;

	if (!m) {
		fail_msg("no frame %u", seed);
		return;
	}
	assert_int_equal(m->pkt_len, len);
	assert_int_equal(m->ol_flags, 0);
	assert_int_equal(rte_mbuf_refcnt_read(m), 1);
	assert_int_equal(m->data_len, RTE_MIN(len, room));
	for (struct rte_mbuf *s = m; s; s = s->next, segs++) {
		const uint8_t *at = rte_pktmbuf_mtod(s, const uint8_t *);

		for (uint32_t k = 0; k < s->data_len; k++, i++) {
			if (at[k] != pattern(seed, i))
				fail_msg("byte %u of frame %u (%u bytes)", i, seed, len);
		}
	}
	assert_int_equal(i, len);
	assert_int_equal(segs, m->nb_segs);
	rte_pktmbuf_free(m);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/*
 * What fuzzers share whose input is a little program: bytes taken one after the other (zeros behind the end), EAL with a small pool, and
 * what has to be as it was when the program has ended.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                               \
	do {                                                           \
		if (!(condition)) {                                    \
			fprintf(stderr, "violated: %s\n", #condition); \
			abort();                                       \
		}                                                      \
	} while (0)

static const uint8_t *in, *in_end;

static inline uint8_t take8(void)
{
	return in < in_end ? *in++ : 0;
}

/* So many bytes as one number, the highest first. */
static inline uint64_t take(unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | take8();
	return v;
}

static inline struct rte_mempool *fuzz_eal(unsigned mbufs)
{
	static char driver[] = SLUICE_PMD_DIR "/librte_mempool_ring.so";
	char *eal[] = {"fuzz", "-l", "0", "--no-huge", "-m", "128", "--no-shconf", "--no-pci", "--no-telemetry", "-d", driver};
	struct rte_mempool *pool;

	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		abort();
	pool = rte_pktmbuf_pool_create("frames", mbufs, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	CHECK(pool);
	return pool;
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

#endif

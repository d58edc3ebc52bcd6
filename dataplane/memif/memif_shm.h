/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_MEMIF_SHM_H
#define DATAPLANE_MEMIF_SHM_H

/*
 * The memory that the two ends of a connection share: regions, and the rings in them.
 *
 * As client we make one region and everything in it:
 *
 *      +-------+-------+--- ---+-------+----------------- ---+----------------- ---+
 *      | C2S 0 | C2S 1 |  ...  | S2C 0 | buffers of C2S 0 .. | buffers of S2C 0 .. |
 *      +-------+-------+--- ---+-------+----------------- ---+----------------- ---+
 *
 * It is a memfd, sealed against any change of size, so that the server need not fear for its mapping either. Buffers stand an
 * odd number of cache lines apart: at a distance of 2048 bytes the first lines of all frames would fight for 2 of the 64 sets
 * of a level 1 cache.
 *
 * As server we map what the client brings, and believe none of it:
 *  - the file is a memfd, or on tmpfs or hugetlbfs. On any other file system (FUSE) the peer could hold up a page fault for
 *    ever, and our worker with it;
 *  - the file has the size claimed, now and later: region 0, where the clients that exist put their rings, must be sealed
 *    against shrinking (F_SEAL_SHRINK; DPDK, VPP and libmemif do so). Further regions are the packet memory of a zero-copy
 *    client, which DPDK does not seal; they are taken without a seal, but rings must lie in a sealed region. All are guarded
 *    (guard.h);
 *  - of a region, no more is mapped than a descriptor can reach (32-bit offset, 64 KiB of frame), and of all regions together
 *    MEMIF_MAX_SHARED. The pages of a sparse file come into being when they are first touched, also by our reading, and are
 *    then charged to us: that sum is also the limit of what a peer can make us pay.
 *
 * The region table is written while a connection is made and read-only once workers know of it. Control thread, but for reading.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guard.h"
#include "memif_proto.h"

#define MEMIF_MAX_REGIONS 16
#define MEMIF_MAX_SHARED  (8ull << 30)
#define MEMIF_MAX_FRAME	  65536 /* bytes: no kind carries more, and a chain of descriptors that claims more is a lie */

struct memif_region {
	uint8_t *base;
	uint64_t size; /* bytes that descriptors may address */
};

struct memif_shm {
	struct memif_region region[MEMIF_MAX_REGIONS];
	uint16_t n;
	bool sealed[MEMIF_MAX_REGIONS];
	size_t mapped[MEMIF_MAX_REGIONS];
	struct guard *guard[MEMIF_MAX_REGIONS];
	uint64_t total;
	int alarm_fd;
	int fd; /* the memfd that we made; -1 as server */

	/* As client: where things are. */
	uint16_t n_c2s, n_s2c;
	uint8_t log2_size;
	uint32_t buffer_size, buffer_stride;
	uint32_t buffers; /* offset of the first one */
};

/* Make *s empty. `alarm_fd`: see guard_add(). */
void memif_shm_init(struct memif_shm *s, int alarm_fd);
/* Unmap and close everything. */
void memif_shm_fini(struct memif_shm *s);

/*
 * As client: make the region, with that many rings of 1 << log2_size slots and a buffer for each slot. Rings are ready but for
 * the S2C rings' head: buffers are offered once the server has connected (it resets the indices). 0 or -errno.
 */
int memif_shm_create(struct memif_shm *s, uint16_t n_c2s, uint16_t n_s2c, uint8_t log2_size, uint32_t buffer_size);
/* As client: ring q of a direction, where it is in the region, and its buffers. */
struct memif_ring *memif_shm_own_ring(const struct memif_shm *s, bool c2s, uint16_t q);
uint32_t memif_shm_own_ring_offset(const struct memif_shm *s, bool c2s, uint16_t q);
uint32_t memif_shm_own_buffer_offset(const struct memif_shm *s, bool c2s, uint16_t q);

/* As server: map the client's region. The descriptor stays the caller's. 0, or -errno with *why for the log. */
int memif_shm_add(struct memif_shm *s, int fd, uint16_t index, uint64_t size, const char **why);
/* As server: the ring that the client describes, checked; NULL with *why. */
struct memif_ring *memif_shm_ring(const struct memif_shm *s, const struct memif_add_ring *ar, const char **why);

/* Has the peer taken away memory under us? */
bool memif_shm_lost(const struct memif_shm *s);

#endif

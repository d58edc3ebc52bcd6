/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_MEM_H
#define DATAPLANE_VHOST_MEM_H

/*
 * A guest's memory, as its front end describes it and as we have mapped it.
 *
 *      guest physical address --+                                +--> address here, for a length that is all there
 *                               +--> span[], sorted, no overlap --+
 *      front end's address   ---+    (rings are named by it)      +--> NULL
 *
 * A vhost_mem is immutable. A message that changes memory (a whole table, one region more, one less) makes a new one, which shares
 * the mappings of the regions that stay; rings are stopped, given the new one, and started again. So a worker translates without a
 * lock, and what it translated stays mapped until its next quiescent state.
 *
 * Trust. Every number of a region is the front end's: sums that overflow, regions of no size, larger than their file, on top of each
 * other or more than VHOST_MEM_MAX together are refused. So is a file that is not memory (tmpfs, memfd, hugetlbfs): a page of a file
 * on a file system of the tenant's own could keep the worker that touches it waiting for ever. A file that is cut off later raises
 * SIGBUS in the worker, which guard.h survives: the mapping then holds zero pages of our own, and vhost_mem_lost() says so.
 *
 * Making and freeing: control thread. Translation: any thread that may use the vhost_mem.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

#include "vhost_proto.h"

#define VHOST_MEM_SLOTS 64	     /* regions of a guest at most */
#define VHOST_MEM_MAX	(1ull << 40) /* bytes of a guest's memory at most: address space is shared by all guests of a node */

struct vhost_region; /* a mapping, counted by the vhost_mems that share it */

struct vhost_span {
	uint64_t gpa, size;
	uint8_t *base;
	uint64_t uva;
	struct vhost_region *region;
	unsigned
		told; /* times that it was added and not taken away: QEMU keeps a book for each queue pair, and tells from all of them */
};

struct vhost_mem {
	unsigned n;
	struct vhost_span span[VHOST_MEM_SLOTS]; /* sorted by gpa */
};

/* Memory without regions. NULL: out of memory. */
struct vhost_mem *vhost_mem_new(void);
/* Release it; regions that no other one shares are unmapped. NULL is fine. No worker uses it any more. */
void vhost_mem_free(struct vhost_mem *m);

/*
 * A copy of `m` with one region more (or told once more, if it is there already exactly so), mapped from `fd` (stays the caller's). `alarm_fd`: as in guard_add(). NULL with *why, one line.
 */
struct vhost_mem *vhost_mem_with(const struct vhost_mem *m, const struct vhost_mem_region *r, int fd, int alarm_fd,
				 const char **why);
/* A copy of `m` where the region that is described exactly so was told once less, and is gone if that was the last. NULL with *why. */
struct vhost_mem *vhost_mem_without(const struct vhost_mem *m, const struct vhost_mem_region *r, const char **why);

/* Bytes of a page of the file, and of the whole file; 0: it is not memory (tmpfs, memfd, hugetlbfs). */
uint64_t vhost_mem_file(int fd, uint64_t *bytes);

/* Was one of its mappings lost (its file cut off)? */
bool vhost_mem_lost(const struct vhost_mem *m);

/* Where the front end's address is here, with `len` bytes behind it in the same region; NULL if nowhere. */
void *vhost_mem_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len);

/* The span that holds the guest physical address, or NULL. */
const struct vhost_span *vhost_mem_span(const struct vhost_mem *m, uint64_t gpa);

/*
 * Where `len` bytes (1 at least) at a guest physical address are here; NULL if they do not all lie in one region. *hint is the
 * caller's: the span of the last hit (start with 0), which is nearly always the next one's too.
 */
static __rte_always_inline uint8_t *vhost_mem_gpa(const struct vhost_mem *m, unsigned *hint, uint64_t gpa, uint64_t len)
{
	const struct vhost_span *s = &m->span[*hint];
	uint64_t at = gpa - s->gpa;

	/* Unused spans have no size. `at` wraps below the span, and is then larger than any size. */
	if (unlikely(at >= s->size)) {
		s = vhost_mem_span(m, gpa);
		if (!s)
			return NULL;
		*hint = (unsigned)(s - m->span);
		at = gpa - s->gpa;
	}
	return likely(len <= s->size - at) ? s->base + at : NULL;
}

#endif

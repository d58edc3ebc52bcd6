/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_VHOST_GUEST_H
#define TESTS_UNIT_VHOST_GUEST_H

/*
 * A guest, small: a memfd of memory that is described in regions, and split rings in it that are written by hand. For the tests and
 * fuzzers of dataplane/vhost/, so it stands on no test library: what cannot be is the end of the program.
 *
 *      memfd, mapped here:   | ring | ring | ...           | buffers ...                   |
 *      as it is described:   region[0] (one of everything, until a test describes it otherwise)
 *
 * Places are offsets into the memfd everywhere; guest_gpa() and guest_uva() say what they are called on the outside.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost/vhost_dev.h"

#define MUST(condition)                                                                    \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "violated: %s (line %d)\n", #condition, __LINE__); \
			abort();                                                           \
		}                                                                          \
	} while (0)

#define GUEST_GPA     0x40000000ull
#define GUEST_UVA     0x7f0000000000ull
#define GUEST_REGIONS 8

struct guest {
	int memfd;
	uint64_t size;
	uint8_t *mem;
	struct vhost_mem_region region[GUEST_REGIONS];
	unsigned n_regions;
};

struct guest_ring {
	struct guest *g;
	unsigned size;
	uint64_t at, avail_at, used_at, end; /* places */
	union virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t seen; /* used entries taken */
};

static inline void guest_init(struct guest *g, uint64_t size)
{
	*g = (struct guest){.size = size, .n_regions = 1};
	g->memfd = memfd_create("guest", MFD_CLOEXEC);
	MUST(g->memfd >= 0 && ftruncate(g->memfd, (off_t)size) == 0);
	g->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
	MUST(g->mem != MAP_FAILED);
	g->region[0] = (struct vhost_mem_region){GUEST_GPA, size, GUEST_UVA, 0};
}

static inline void guest_fini(struct guest *g)
{
	munmap(g->mem, g->size);
	close(g->memfd);
}

/* Where a place is for the guest's driver; 0 if it is described to nobody. */
static inline uint64_t guest_gpa(const struct guest *g, uint64_t at)
{
	for (unsigned i = 0; i < g->n_regions; i++) {
		if (at - g->region[i].mmap_offset < g->region[i].size)
			return g->region[i].gpa + (at - g->region[i].mmap_offset);
	}
	return 0;
}

/* And for the front end. */
static inline uint64_t guest_uva(const struct guest *g, uint64_t at)
{
	for (unsigned i = 0; i < g->n_regions; i++) {
		if (at - g->region[i].mmap_offset < g->region[i].size)
			return g->region[i].uva + (at - g->region[i].mmap_offset);
	}
	return 0;
}

/* The memory as a back end has it. */
static inline struct vhost_mem *guest_share(const struct guest *g, int alarm_fd)
{
	struct vhost_mem *m = vhost_mem_new(), *next;
	const char *why = "";

	for (unsigned i = 0; i < g->n_regions; i++, m = next) {
		next = vhost_mem_with(m, &g->region[i], g->memfd, alarm_fd, &why);
		if (!next)
			fprintf(stderr, "region %u: %s\n", i, why);
		MUST(next);
		vhost_mem_free(m);
	}
	return m;
}

/* A ring at a place (on a boundary of 16), its indices at `base`. Descriptors are all zero. */
static inline void guest_ring_init(struct guest *g, struct guest_ring *r, unsigned size, uint64_t at, uint16_t base)
{
	*r = (struct guest_ring){.g = g, .size = size, .at = at, .seen = base};
	r->avail_at = at + VIRTQ_DESC_BYTES(size);
	r->used_at = (r->avail_at + VIRTQ_AVAIL_BYTES(size) + 3) / 4 * 4;
	r->end = (r->used_at + VIRTQ_USED_BYTES(size) + 15) / 16 * 16;
	MUST(r->end <= g->size);
	r->desc = (union virtq_desc *)(g->mem + at);
	r->avail = (struct virtq_avail *)(g->mem + r->avail_at);
	r->used = (struct virtq_used *)(g->mem + r->used_at);
	memset(r->desc, 0, r->end - at);
	r->avail->idx = r->used->idx = base;
}

static inline struct vhost_vq_conf guest_ring_conf(const struct guest_ring *r, const struct vhost_mem *mem, uint64_t features)
{
	return (struct vhost_vq_conf){
		.size = r->size,
		.desc = vhost_mem_uva(mem, guest_uva(r->g, r->at), VIRTQ_DESC_BYTES(r->size)),
		.avail = vhost_mem_uva(mem, guest_uva(r->g, r->avail_at), VIRTQ_AVAIL_BYTES(r->size)),
		.used = vhost_mem_uva(mem, guest_uva(r->g, r->used_at), VIRTQ_USED_BYTES(r->size)),
		.features = features,
		.mem = mem,
		.call_fd = -1,
		.kick_fd = -1,
		.alarm_fd = -1,
	};
}

/* Descriptor `i` names `len` bytes at a place. */
static inline void guest_desc(struct guest_ring *r, uint16_t i, uint64_t at, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[i].addr = guest_gpa(r->g, at);
	r->desc[i].len = len;
	r->desc[i].flags = flags;
	r->desc[i].next = next;
}

/* Write the next entry of the available ring, `ahead` places on. */
static inline void guest_entry(struct guest_ring *r, uint16_t ahead, uint16_t head)
{
	r->avail->ring[(uint16_t)(r->avail->idx + ahead) % r->size] = head;
}

/* Show it, and what is before it. */
static inline void guest_publish(struct guest_ring *r, uint16_t n)
{
	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + n), __ATOMIC_RELEASE);
}

static inline void guest_give(struct guest_ring *r, uint16_t head)
{
	guest_entry(r, 0, head);
	guest_publish(r, 1);
}

static inline uint16_t guest_used(const struct guest_ring *r)
{
	return (uint16_t)(__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) - r->seen);
}

/* The next used entry. */
static inline struct virtq_used_elem guest_take(struct guest_ring *r)
{
	MUST(guest_used(r) > 0);
	return r->used->ring[r->seen++ % r->size];
}

/* Behind the rings: where the event indices of both sides are. */
static inline uint16_t *guest_used_event(struct guest_ring *r)
{
	return &r->avail->ring[r->size];
}

static inline uint16_t *guest_avail_event(struct guest_ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

#endif

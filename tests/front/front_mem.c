/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front.h"

#define HUGE_PAGE (2ull << 20)
#define GPA_FIRST 0x100000000ull
#define GPA_STEP  0x4000000000ull   /* 256 GiB: no region is larger */
#define UVA_SHIFT 0x5ab000000000ull /* from a physical to a virtual address: not the identity, not the same in any bit group */
#define SLOTS	  FRONT_MAX_REGIONS

/* Neighbours in the table are far apart and in no order: 0, 27, 54, 17, ... of 64. */
static uint64_t gpa_of(unsigned r)
{
	return GPA_FIRST + GPA_STEP * (r * 27 % SLOTS);
}

int front_region_add(struct front *f, uint64_t size)
{
	uint64_t page = f->conf.huge ? HUGE_PAGE : (uint64_t)getpagesize();
	struct front_region *m = &f->region[f->n_regions];
	int rc;

	if (f->n_regions == FRONT_MAX_REGIONS)
		return -ENOSPC;
	*m = (struct front_region){.fd = -1, .gpa = gpa_of(f->n_regions), .size = (size + page - 1) / page * page};
	m->uva = m->gpa + UVA_SHIFT;
	/* Every other region begins somewhere in its file, as a guest's memory behind the hole below 4 GiB does. */
	m->mmap_offset = f->n_regions % 2 ? page : 0;
	m->fd = memfd_create("guest", MFD_CLOEXEC | (f->conf.huge ? MFD_HUGETLB : 0));
	if (m->fd < 0)
		return -errno;
	if (ftruncate(m->fd, (off_t)(m->mmap_offset + m->size)) < 0)
		goto fail;
	m->base = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, m->fd, (off_t)m->mmap_offset);
	if (m->base == MAP_FAILED)
		goto fail;
	return (int)f->n_regions++;
fail:
	rc = -errno;
	close(m->fd);
	return rc;
}

void *front_alloc(struct front *f, unsigned r, uint64_t size, uint64_t align)
{
	struct front_region *m = &f->region[r];
	uint64_t at = (m->used + align - 1) / align * align;

	if (r >= f->n_regions || at > m->size || size > m->size - at)
		return NULL;
	m->used = at + size;
	return memset(m->base + at, 0, size);
}

static const struct front_region *region_of(const struct front *f, const uint8_t *at)
{
	for (unsigned r = 0; r < f->n_regions; r++) {
		const struct front_region *m = &f->region[r];

		if (at >= m->base && at < m->base + m->size)
			return m;
	}
	return NULL;
}

uint64_t front_gpa(const struct front *f, const void *at)
{
	const struct front_region *m = region_of(f, at);

	return m ? m->gpa + (uint64_t)((const uint8_t *)at - m->base) : 0;
}

uint64_t front_uva(const struct front *f, const void *at)
{
	const struct front_region *m = region_of(f, at);

	return m ? m->uva + (uint64_t)((const uint8_t *)at - m->base) : 0;
}

struct front_wire_region front_wire_region(const struct front *f, unsigned r)
{
	const struct front_region *m = &f->region[r];

	return (struct front_wire_region){.gpa = m->gpa, .size = m->size, .uva = m->uva, .mmap_offset = m->mmap_offset};
}

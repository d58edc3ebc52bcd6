/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_mem.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "guard.h"

#define PAGE 4096u

struct vhost_region {
	void *map;
	size_t map_len;
	struct guard *guard;
	unsigned refs;
	uint64_t mmap_offset;
};

struct vhost_mem *vhost_mem_new(void)
{
	return calloc(1, sizeof(struct vhost_mem));
}

static void region_release(struct vhost_region *r)
{
	if (--r->refs > 0)
		return;
	guard_del(r->guard);
	munmap(r->map, r->map_len);
	free(r);
}

void vhost_mem_free(struct vhost_mem *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->n; i++)
		region_release(m->span[i].region);
	free(m);
}

bool vhost_mem_lost(const struct vhost_mem *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (guard_hit(m->span[i].region->guard))
			return true;
	}
	return false;
}

static void *refuse(const char **why, const char *text)
{
	*why = text;
	return NULL;
}

uint64_t vhost_mem_file(int fd, uint64_t *bytes)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) < 0 || st.st_size < 0)
		return 0;
	*bytes = (uint64_t)st.st_size;
	if (fs.f_type == HUGETLBFS_MAGIC)
		return fs.f_bsize > 0 ? (uint64_t)fs.f_bsize : 0;
	return fs.f_type == TMPFS_MAGIC ? PAGE : 0;
}

/* Map [offset, offset + size) of the file by whole pages. *base is where it begins. */
static struct vhost_region *region_map(const struct vhost_mem_region *r, int fd, int alarm_fd, uint8_t **base, const char **why)
{
	uint64_t bytes, page = vhost_mem_file(fd, &bytes), from, to;
	struct vhost_region *region;

	if (page == 0)
		return refuse(why, "region is not a memory file (tmpfs, memfd, hugetlbfs)");
	/* Huge pages are given out whole, also behind the end of what is used. */
	if (r->mmap_offset > bytes || r->size > bytes - r->mmap_offset)
		return refuse(why, "region larger than its file");
	from = r->mmap_offset / page * page;
	to = (r->mmap_offset + r->size + page - 1) / page * page;

	region = calloc(1, sizeof(*region));
	if (!region)
		return refuse(why, "out of memory");
	region->refs = 1;
	region->mmap_offset = r->mmap_offset;
	region->map_len = to - from;
	region->map = mmap(NULL, region->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)from);
	if (region->map == MAP_FAILED) {
		free(region);
		return refuse(why, "region cannot be mapped");
	}
	/* A dump of the daemon does not hold its guests' memory. */
	madvise(region->map, region->map_len, MADV_DONTDUMP);
	region->guard = guard_add(region->map, region->map_len, alarm_fd);
	if (!region->guard) {
		munmap(region->map, region->map_len);
		free(region);
		return refuse(why, "out of memory");
	}
	*base = (uint8_t *)region->map + (r->mmap_offset - from);
	return region;
}

static const char *region_fault(const struct vhost_mem *m, const struct vhost_mem_region *r)
{
	uint64_t total = 0;

	if (r->size == 0)
		return "region of no size";
	if (r->size > VHOST_MEM_MAX || r->gpa > UINT64_MAX - r->size || r->uva > UINT64_MAX - r->size ||
	    r->mmap_offset > UINT64_MAX / 2)
		return "region outside all address space";
	if (m->n == VHOST_MEM_SLOTS)
		return "too many regions";
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_span *s = &m->span[i];

		total += s->size;
		if (r->gpa < s->gpa + s->size && s->gpa < r->gpa + r->size)
			return "regions overlap";
		if (r->uva < s->uva + s->size && s->uva < r->uva + r->size)
			return "regions overlap in the front end's addresses";
	}
	return total + r->size > VHOST_MEM_MAX ? "more than 1 TiB of memory" : NULL;
}

/* The same spans, each mapping counted once more. */
static struct vhost_mem *mem_copy(const struct vhost_mem *m)
{
	struct vhost_mem *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *m;
	for (unsigned i = 0; i < copy->n; i++)
		copy->span[i].region->refs++;
	return copy;
}

/* The index of the region that is described so; m->n if there is none. */
static unsigned region_find(const struct vhost_mem *m, const struct vhost_mem_region *r)
{
	unsigned at;

	/* The offset is not compared: front ends leave it out when they take a region away. */
	for (at = 0; at < m->n; at++) {
		if (m->span[at].gpa == r->gpa && m->span[at].size == r->size && m->span[at].uva == r->uva)
			break;
	}
	return at;
}

struct vhost_mem *vhost_mem_with(const struct vhost_mem *m, const struct vhost_mem_region *r, int fd, int alarm_fd,
				 const char **why)
{
	struct vhost_span s = {.gpa = r->gpa, .size = r->size, .uva = r->uva, .told = 1};
	unsigned at = region_find(m, r);
	struct vhost_mem *copy;

	if (at < m->n) {
		copy = mem_copy(m);
		if (!copy)
			return refuse(why, "out of memory");
		copy->span[at].told++;
		return copy;
	}
	*why = region_fault(m, r);
	if (*why)
		return NULL;
	s.region = region_map(r, fd, alarm_fd, &s.base, why);
	if (!s.region)
		return NULL;
	copy = mem_copy(m);
	if (!copy) {
		region_release(s.region);
		return refuse(why, "out of memory");
	}
	for (at = copy->n; at > 0 && copy->span[at - 1].gpa > s.gpa; at--)
		copy->span[at] = copy->span[at - 1];
	copy->span[at] = s;
	copy->n++;
	return copy;
}

struct vhost_mem *vhost_mem_without(const struct vhost_mem *m, const struct vhost_mem_region *r, const char **why)
{
	unsigned at = region_find(m, r);
	struct vhost_mem *copy;

	if (at == m->n)
		return refuse(why, "no such region");
	copy = mem_copy(m);
	if (!copy)
		return refuse(why, "out of memory");
	if (--copy->span[at].told > 0)
		return copy;
	region_release(copy->span[at].region);
	copy->n--;
	memmove(&copy->span[at], &copy->span[at + 1], (copy->n - at) * sizeof(copy->span[0]));
	memset(&copy->span[copy->n], 0, sizeof(copy->span[0]));
	return copy;
}

void *vhost_mem_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_span *s = &m->span[i];
		uint64_t at = uva - s->uva;

		if (at < s->size)
			return len <= s->size - at ? s->base + at : NULL;
	}
	return NULL;
}

const struct vhost_span *vhost_mem_span(const struct vhost_mem *m, uint64_t gpa)
{
	unsigned low = 0, high = m->n;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct vhost_span *s = &m->span[mid];

		if (gpa < s->gpa)
			high = mid;
		else if (gpa - s->gpa >= s->size)
			low = mid + 1;
		else
			return s;
	}
	return NULL;
}

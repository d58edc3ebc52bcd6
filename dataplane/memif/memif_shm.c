/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINE	       64u
#define PAGE	       4096u
#define ALIGN_UP(x, a) (((x) + (a)-1) / (a) * (a))

void memif_shm_init(struct memif_shm *s, int alarm_fd)
{
	memset(s, 0, sizeof(*s));
	s->alarm_fd = alarm_fd;
	s->fd = -1;
}

void memif_shm_fini(struct memif_shm *s)
{
	while (s->n > 0) {
		s->n--;
		if (s->guard[s->n])
			guard_del(s->guard[s->n]);
		munmap(s->region[s->n].base, s->mapped[s->n]);
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* --- our own region ------------------------------------------------------------------------------------------------ */

static uint32_t ring_bytes(uint8_t log2_size)
{
	return ALIGN_UP(sizeof(struct memif_ring) + (sizeof(union memif_desc) << log2_size), 2 * LINE);
}

uint32_t memif_shm_own_ring_offset(const struct memif_shm *s, bool c2s, uint16_t q)
{
	return (c2s ? q : s->n_c2s + q) * ring_bytes(s->log2_size);
}

struct memif_ring *memif_shm_own_ring(const struct memif_shm *s, bool c2s, uint16_t q)
{
	return (struct memif_ring *)(s->region[0].base + memif_shm_own_ring_offset(s, c2s, q));
}

uint32_t memif_shm_own_buffer_offset(const struct memif_shm *s, bool c2s, uint16_t q)
{
	return s->buffers + ((uint32_t)(c2s ? q : s->n_c2s + q) << s->log2_size) * s->buffer_stride;
}

static void ring_init(struct memif_shm *s, bool c2s, uint16_t q)
{
	struct memif_ring *ring = memif_shm_own_ring(s, c2s, q);
	uint32_t offset = memif_shm_own_buffer_offset(s, c2s, q);

	ring->cookie = MEMIF_COOKIE;
	for (uint32_t i = 0; i < 1u << s->log2_size; i++, offset += s->buffer_stride) {
		ring->desc[i].length = s->buffer_size;
		ring->desc[i].offset = offset;
	}
}

int memif_shm_create(struct memif_shm *s, uint16_t n_c2s, uint16_t n_s2c, uint8_t log2_size, uint32_t buffer_size)
{
	uint32_t n_rings = n_c2s + n_s2c;
	uint64_t size;
	void *base;
	int rc;

	s->n_c2s = n_c2s;
	s->n_s2c = n_s2c;
	s->log2_size = log2_size;
	s->buffer_size = buffer_size;
	s->buffer_stride = ALIGN_UP(buffer_size, LINE) | LINE; /* an odd number of lines */
	s->buffers = ALIGN_UP(n_rings * ring_bytes(log2_size), PAGE);
	size = ALIGN_UP(s->buffers + ((uint64_t)n_rings << log2_size) * s->buffer_stride, PAGE);
	if (size > UINT32_MAX)
		return -E2BIG;

	s->fd = memfd_create("sluice-memif", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0)
		return -errno;
	if (ftruncate(s->fd, (off_t)size) < 0 || fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		goto fail;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (base == MAP_FAILED)
		goto fail;
	s->region[0] = (struct memif_region){.base = base, .size = size};
	s->mapped[0] = size;
	s->sealed[0] = true;
	s->n = 1;
	for (uint16_t q = 0; q < n_c2s; q++)
		ring_init(s, true, q);
	for (uint16_t q = 0; q < n_s2c; q++)
		ring_init(s, false, q);
	return 0;
fail:
	rc = -errno;
	close(s->fd);
	s->fd = -1;
	return rc;
}

/* --- the peer's regions -------------------------------------------------------------------------------------------- */

static int refuse(const char **why, int code, const char *text)
{
	*why = text;
	return code;
}

int memif_shm_add(struct memif_shm *s, int fd, uint16_t index, uint64_t size, const char **why)
{
	/* The last byte that a descriptor can reach: an offset of 32 bits and a whole frame. */
	const uint64_t reach = UINT32_MAX + (uint64_t)MEMIF_MAX_FRAME;
	uint64_t usable = size < reach ? size : reach, len;
	struct statfs fs;
	struct stat st;
	int seals;
	void *base;

	if (index >= MEMIF_MAX_REGIONS)
		return refuse(why, -E2BIG, "region index: 16 regions at most");
	if (index != s->n)
		return refuse(why, -EINVAL, "region index: out of order");
	if (size == 0)
		return refuse(why, -EINVAL, "region of no size");
	/* The seal first: a size that is read before the file is sealed may not be its size any more. */
	seals = fcntl(fd, F_GET_SEALS);
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || !S_ISREG(st.st_mode) ||
	    (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return refuse(why, -EINVAL, "region is not a memory file");
	if (st.st_size < 0 || size > (uint64_t)st.st_size)
		return refuse(why, -EINVAL, "region larger than its file");
	if (index == 0 && (seals < 0 || !(seals & F_SEAL_SHRINK)))
		return refuse(why, -EPERM, "region is not sealed against shrinking (F_SEAL_SHRINK)");
	/* Files of huge pages are mapped by whole pages, st_blksize of them. */
	len = ALIGN_UP(usable, st.st_blksize > (long)PAGE ? (uint64_t)st.st_blksize : PAGE);
	if (len > MEMIF_MAX_SHARED || s->total + len > MEMIF_MAX_SHARED)
		return refuse(why, -E2BIG, "regions of more than 8 GiB together");

	base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return refuse(why, -errno, "region cannot be mapped");
	s->guard[index] = guard_add(base, len, s->alarm_fd);
	if (!s->guard[index]) {
		munmap(base, len);
		return refuse(why, -ENOMEM, "out of memory");
	}
	s->region[index] = (struct memif_region){.base = base, .size = usable};
	s->mapped[index] = len;
	s->sealed[index] = seals >= 0 && (seals & F_SEAL_SHRINK);
	s->total += len;
	s->n++;
	return 0;
}

struct memif_ring *memif_shm_ring(const struct memif_shm *s, const struct memif_add_ring *ar, const char **why)
{
	const struct memif_region *r;
	struct memif_ring *ring;
	uint64_t bytes;

	*why = NULL;
	if (ar->region >= s->n)
		*why = "ring in a region that is not there";
	else if (!s->sealed[ar->region])
		*why = "ring in a region that is not sealed against shrinking (F_SEAL_SHRINK)";
	else if (ar->log2_size < 1 || ar->log2_size > MEMIF_MAX_LOG2_RING)
		*why = "ring size: 2 to 16384 slots";
	else if (ar->offset % sizeof(union memif_desc))
		*why = "ring offset: not a multiple of 16";
	if (*why)
		return NULL;

	r = &s->region[ar->region];
	bytes = sizeof(struct memif_ring) + (sizeof(union memif_desc) << ar->log2_size);
	if (bytes > r->size || ar->offset > r->size - bytes) {
		*why = "ring outside its region";
		return NULL;
	}
	ring = (struct memif_ring *)(r->base + ar->offset);
	if (__atomic_load_n(&ring->cookie, __ATOMIC_RELAXED) != MEMIF_COOKIE) {
		*why = "ring without its cookie";
		return NULL;
	}
	return ring;
}

bool memif_shm_lost(const struct memif_shm *s)
{
	for (uint16_t i = 0; i < s->n; i++) {
		if (s->guard[i] && guard_hit(s->guard[i]))
			return true;
	}
	return false;
}

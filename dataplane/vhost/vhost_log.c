/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_log.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "guard.h"
#include "vhost_mem.h"

struct vhost_log {
	uint8_t *bits;
	uint64_t size; /* bytes */
	void *map;
	size_t map_len;
	struct guard *guard;
};

static void *refuse(const char **why, const char *text)
{
	*why = text;
	return NULL;
}

struct vhost_log *vhost_log_open(int fd, uint64_t size, uint64_t offset, int alarm_fd, const char **why)
{
	uint64_t page, bytes, from, to;
	struct vhost_log *log;

	if (size == 0 || size > VHOST_LOG_MAX || offset > INT64_MAX - size)
		return refuse(why, "log of an impossible size");
	page = vhost_mem_file(fd, &bytes);
	if (page == 0)
		return refuse(why, "log is not a memory file (tmpfs, memfd, hugetlbfs)");
	if (offset + size > bytes)
		return refuse(why, "log larger than its file");
	/* By whole pages of the file: what is of huge pages can be neither unmapped nor replaced in parts. */
	from = offset / page * page;
	to = (offset + size + page - 1) / page * page;
	log = calloc(1, sizeof(*log));
	if (!log)
		return refuse(why, "out of memory");
	log->size = size;
	log->map_len = to - from;
	log->map = mmap(NULL, log->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)from);
	if (log->map == MAP_FAILED) {
		free(log);
		return refuse(why, "log cannot be mapped");
	}
	log->bits = (uint8_t *)log->map + (offset - from);
	log->guard = guard_add(log->map, log->map_len, alarm_fd);
	if (!log->guard) {
		munmap(log->map, log->map_len);
		free(log);
		return refuse(why, "out of memory");
	}
	return log;
}

void vhost_log_close(struct vhost_log *log)
{
	if (!log)
		return;
	guard_del(log->guard);
	munmap(log->map, log->map_len);
	free(log);
}

bool vhost_log_lost(const struct vhost_log *log)
{
	return guard_hit(log->guard);
}

void vhost_log_write(struct vhost_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t last;

	if (len == 0)
		return;
	last = (gpa + len - 1) / VHOST_LOG_PAGE;
	for (uint64_t page = gpa / VHOST_LOG_PAGE; page <= last && page / 8 < log->size; page++) {
		/*
		 * Locked also where the bit is set already: the front end clears it before it copies the page, so that our
		 * bytes must be out before we look, and that costs the same.
		 */
		__atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << (page % 8)), __ATOMIC_SEQ_CST);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STATE_RIG_H
#define TESTS_STATE_RIG_H

/*
 * A directory of the test's own with a state file in it, and what to do to it. Included once by a test program.
 */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/state.h"

static char rig_dir[64], rig_path[96], rig_why[256];

static inline int rig_make(void)
{
	/* Memory where there is some: what is tested here is what is written, and the sandbox's disk is shared. */
	snprintf(rig_dir, sizeof(rig_dir), "%s/sluice-state-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(rig_dir))
		return -1;
	snprintf(rig_path, sizeof(rig_path), "%s/state.db", rig_dir);
	return 0;
}

/* Names that match a pattern in the directory. Returns how many; the first one's path in `first`, if it is not NULL. */
static inline unsigned rig_count(const char *pattern, char *first, size_t size)
{
	char full[160];
	glob_t g = {0};
	unsigned n = 0;

	snprintf(full, sizeof(full), "%s/%s", rig_dir, pattern);
	if (glob(full, 0, NULL, &g) == 0)
		n = g.gl_pathc;
	if (n && first)
		snprintf(first, size, "%s", g.gl_pathv[0]);
	globfree(&g);
	return n;
}

static inline void rig_empty(void)
{
	char full[160];
	glob_t g = {0};

	snprintf(full, sizeof(full), "%s/*", rig_dir);
	if (glob(full, GLOB_PERIOD, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			unlink(g.gl_pathv[i]);
	globfree(&g);
}

static inline void rig_remove(void)
{
	rig_empty();
	rmdir(rig_dir);
}

/* The bytes of a file, for the caller to free(). NULL if there is none. */
static inline char *rig_read(const char *path, size_t *n)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *data;

	*n = 0;
	if (fd < 0)
		return NULL;
	fstat(fd, &st);
	data = malloc(st.st_size + 1);
	*n = data ? read(fd, data, st.st_size) : 0;
	close(fd);
	return data;
}

static inline void rig_write(const char *path, const char *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	close(fd);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "state_file.h"

#define ASIDE_TRIES 100

static int fail(char *why, size_t size, const char *path, int ret)
{
	snprintf(why, size, "%.200s: %s", path, strerror(-ret));
	return ret;
}

/* A rename is on disk when its directory is. */
static int sync_directory(const char *path)
{
	char copy[STATE_PATH_MAX + 80];
	int fd, ret;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int make_parents(const char *path)
{
	char dir[STATE_PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(dir, 0750) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

int state_file_touch(const char *path, char *why, size_t size)
{
	int ret = make_parents(path), fd;

	if (ret < 0)
		return fail(why, size, path, ret);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return fail(why, size, path, -errno);
	/* No locks of SQLite's are held yet: closing a descriptor of the file would drop them. */
	close(fd);
	return sync_directory(path) < 0 ? fail(why, size, path, -EIO) : 0;
}

int64_t state_file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* A name that nothing has, nor its log. */
static int free_name(const char *path, const char *word, char *aside, size_t size)
{
	char stamp[32], wal[STATE_PATH_MAX + 80];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	for (unsigned i = 0; i < ASIDE_TRIES; i++) {
		if (i)
			snprintf(aside, size, "%s.%s.%s.%u", path, stamp, word, i);
		else
			snprintf(aside, size, "%s.%s.%s", path, stamp, word);
		snprintf(wal, sizeof(wal), "%s-wal", aside);
		if (!exists(aside) && !exists(wal))
			return 0;
	}
	return -EEXIST;
}

/* Never over another file, whoever makes it meanwhile. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	/* Some file systems cannot say so in one step. */
	if (errno == EINVAL && !exists(to))
		return rename(from, to) < 0 ? -errno : 0;
	return -errno;
}

static int move_beside(const char *path, const char *aside, const char *suffix)
{
	char from[STATE_PATH_MAX + 80], to[STATE_PATH_MAX + 80];

	snprintf(from, sizeof(from), "%s%s", path, suffix);
	snprintf(to, sizeof(to), "%s%s", aside, suffix);
	return exists(from) ? rename_new(from, to) : 0;
}

int state_file_aside(const char *path, const char *word, char *aside, size_t aside_size, char *why, size_t size)
{
	int ret = free_name(path, word, aside, aside_size);

	if (ret == 0)
		ret = move_beside(path, aside, "");
	if (ret == 0)
		ret = sync_directory(path);
	if (ret == 0)
		ret = move_beside(path, aside, "-wal");
	/* Left by another journal mode or by another program; a new file must not find it. */
	if (ret == 0)
		ret = move_beside(path, aside, "-journal");
	if (ret == 0)
		ret = sync_directory(path);
	return ret < 0 ? fail(why, size, aside, ret) : 0;
}

static bool holds_bytes(const char *path, const char *suffix)
{
	char name[STATE_PATH_MAX + 16];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return lstat(name, &st) == 0 && st.st_size > 0;
}

int state_file_stray_wal(const char *path, char *aside, size_t aside_size, char *why, size_t size)
{
	int ret;

	if (holds_bytes(path, "") || (!holds_bytes(path, "-wal") && !holds_bytes(path, "-journal")))
		return 0;
	ret = state_file_aside(path, "damaged", aside, aside_size, why, size);
	return ret < 0 ? ret : 1;
}

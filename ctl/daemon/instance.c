/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "instance.h"

#define BACKLOG 1024 /* who connects while a thousand wait is refused by the kernel, at no cost of ours */

/* Make the directories that lead to `path`. What exists is left as it is. */
static int make_parents(const char *path)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		/* Whatever our umask: the stat socket is for everybody. */
		if (mkdir(dir, 0755) == 0 ? chmod(dir, 0755) < 0 : errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* The file that is locked is still the one at the path: its last holder may have removed it while we waited for the open. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int take_lock(struct instance_socket *s, char *why, size_t size)
{
	for (;;) {
		s->lock_fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->lock_fd < 0) {
			int ret = -errno;

			snprintf(why, size, "%s: %s", s->lock_path, strerror(-ret));
			return ret;
		}
		if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
			snprintf(why, size, "%s: another sluiced is running with this socket", s->path);
			close(s->lock_fd);
			s->lock_fd = -1;
			return -EADDRINUSE;
		}
		if (same_file(s->lock_fd, s->lock_path))
			return 0;
		close(s->lock_fd);
	}
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	return sun;
}

/* Somebody accepts connections there. */
static bool answers(const char *path)
{
	struct sockaddr_un sun = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return true;
	/* EAGAIN: its backlog is full, so there is one. */
	yes = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

static int remove_stale(const struct instance_socket *s, char *why, size_t size)
{
	struct stat st;
	int ret;

	if (lstat(s->path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, size, "%s: exists and is not a socket", s->path);
		return -EEXIST;
	}
	if (answers(s->path)) {
		snprintf(why, size, "%s: another program is listening there", s->path);
		return -EADDRINUSE;
	}
	if (unlink(s->path) == 0 || errno == ENOENT)
		return 0;
	ret = -errno;
	snprintf(why, size, "%s: %s", s->path, strerror(-ret));
	return ret;
}

static gid_t group_id(const char *name)
{
	struct group *g = name ? getgrnam(name) : NULL;

	return g ? g->gr_gid : (gid_t)-1;
}

static int bind_closed(const struct instance_socket *s)
{
	struct sockaddr_un sun = address(s->path);
	mode_t old = umask(0777);
	int ret = bind(s->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ? -errno : 0;

	umask(old);
	return ret;
}

static int bind_and_listen(struct instance_socket *s, const struct instance_access *access, char *why, size_t size)
{
	gid_t group = group_id(access->group);
	int ret;

	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0) {
		ret = -errno;
		goto fail;
	}
	ret = bind_closed(s);
	if (ret < 0)
		goto fail_fd;
	if ((group != (gid_t)-1 && chown(s->path, -1, group) < 0) || chmod(s->path, access->mode) < 0 ||
	    listen(s->fd, BACKLOG) < 0) {
		ret = -errno;
		goto fail_bound;
	}
	return 0;
fail_bound:
	unlink(s->path);
fail_fd:
	close(s->fd);
	s->fd = -1;
fail:
	snprintf(why, size, "%s: %s", s->path, strerror(-ret));
	return ret;
}

int instance_open(struct instance_socket *s, const char *path, const struct instance_access *access, char *why, size_t size)
{
	int ret;

	s->fd = s->lock_fd = -1;
	s->adopted = false;
	snprintf(s->path, sizeof(s->path), "%s", path);
	snprintf(s->lock_path, sizeof(s->lock_path), "%s.lock", s->path);
	ret = make_parents(path);
	if (ret < 0) {
		snprintf(why, size, "%s: cannot make its directory: %s", path, strerror(-ret));
		return ret;
	}
	ret = take_lock(s, why, size);
	if (ret < 0)
		return ret;
	ret = remove_stale(s, why, size);
	if (ret == 0)
		ret = bind_and_listen(s, access, why, size);
	if (ret < 0)
		instance_close(s);
	return ret;
}

static int adopt(struct instance_socket *s, int fd, char *why, size_t size)
{
	struct sockaddr_un sun = {0};
	socklen_t len = sizeof(sun);
	int flags = fcntl(fd, F_GETFL);

	if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		int ret = -errno;

		snprintf(why, size, "socket activation: %s", strerror(-ret));
		return ret;
	}
	/* An abstract or unnamed one: nobody would find the lock's place. */
	if (!sun.sun_path[0]) {
		snprintf(why, size, "socket activation: the socket has no path");
		return -EINVAL;
	}
	snprintf(s->path, sizeof(s->path), "%.*s", (int)sizeof(s->path) - 1, sun.sun_path);
	snprintf(s->lock_path, sizeof(s->lock_path), "%s.lock", s->path);
	return take_lock(s, why, size);
}

int instance_adopt(struct instance_socket *s, int fd, char *why, size_t size)
{
	int ret;

	*s = (struct instance_socket){.fd = fd, .lock_fd = -1, .adopted = true};
	ret = adopt(s, fd, why, size);
	if (ret < 0)
		instance_close(s);
	return ret;
}

void instance_close(struct instance_socket *s)
{
	if (s->fd >= 0) {
		if (!s->adopted)
			unlink(s->path);
		close(s->fd);
	}
	/* The file goes while it is still locked; who opened it meanwhile finds out by same_file(). */
	if (s->lock_fd >= 0) {
		unlink(s->lock_path);
		close(s->lock_fd);
	}
	s->fd = s->lock_fd = -1;
}

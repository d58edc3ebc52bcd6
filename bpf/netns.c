/* SPDX-License-Identifier: Apache-2.0 */
#include "netns.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

int netns_open(const char *ref)
{
	char path[PATH_MAX];
	int fd, n;

	if (ref[0] == '/')
		n = snprintf(path, sizeof(path), "%s", ref);
	else if (ref[strspn(ref, "0123456789")] == '\0')
		n = snprintf(path, sizeof(path), "/proc/%s/ns/net", ref);
	else
		n = snprintf(path, sizeof(path), "/run/netns/%s", ref);
	if (n >= (int)sizeof(path))
		return -ENAMETOOLONG;
	/* A name that `ip netns` made and whose mount is gone is a plain file; opening must not block on whatever else lies there. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

bool netns_is_own(int fd)
{
	struct stat there, here;

	return fstat(fd, &there) == 0 && stat("/proc/thread-self/ns/net", &here) == 0 && there.st_dev == here.st_dev &&
	       there.st_ino == here.st_ino;
}

int netns_enter(int fd, int *back)
{
	int r;

	*back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*back < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET) == 0)
		return 0;
	r = -errno;
	close(*back);
	return r;
}

void netns_leave(int back)
{
	/* To one's own namespace one can always return; in another, everything after this would be wrong. */
	if (setns(back, CLONE_NEWNET) < 0)
		abort();
	close(back);
}

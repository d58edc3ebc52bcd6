/* SPDX-License-Identifier: Apache-2.0 */
#include "unix_sock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static int unix_socket(const char *path, int type, struct sockaddr_un *addr)
{
	size_t len = strlen(path);
	int sock;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (len >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memcpy(addr->sun_path, path, len);
	sock = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return sock < 0 ? -errno : sock;
}

/* A socket file is stale when its listener is gone: connecting says so. Anything else at the path is not ours to remove. */
static bool path_is_stale(const char *path, int type)
{
	struct stat st;
	int sock;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	sock = unix_sock_connect(path, type);
	if (sock >= 0)
		close(sock);
	return sock == -ECONNREFUSED;
}

int unix_sock_listen(const char *path, int type)
{
	struct sockaddr_un addr;
	int sock = unix_socket(path, type, &addr);
	int rc;

	if (sock < 0)
		return sock;
	rc = bind(sock, (struct sockaddr *)&addr, sizeof(addr));
	if (rc < 0 && errno == EADDRINUSE && path_is_stale(path, type)) {
		unlink(path);
		rc = bind(sock, (struct sockaddr *)&addr, sizeof(addr));
	}
	if (rc < 0 || listen(sock, BACKLOG) < 0) {
		rc = -errno;
		close(sock);
		return rc;
	}
	return sock;
}

int unix_sock_connect(const char *path, int type)
{
	struct sockaddr_un addr;
	int sock = unix_socket(path, type, &addr);
	int rc;

	if (sock < 0)
		return sock;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		rc = -errno;
		close(sock);
		return rc;
	}
	return sock;
}

int unix_sock_send(int sock, const void *data, size_t len, int passed)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (passed >= 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &passed, sizeof(int));
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
	}
	do {
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EAGAIN;
}

/* Take the descriptors out of the control data. More than max_fds of them: all are closed, and so is what came before. */
static bool take_fds(struct msghdr *mh, int *fds, unsigned max_fds, unsigned *n_fds)
{
	bool surplus = mh->msg_flags & MSG_CTRUNC;
	int fd;

	*n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t off = 0; CMSG_LEN(off + sizeof(int)) <= c->cmsg_len; off += sizeof(int)) {
			memcpy(&fd, CMSG_DATA(c) + off, sizeof(int));
			if (*n_fds < max_fds) {
				fds[(*n_fds)++] = fd;
			} else {
				close(fd);
				surplus = true;
			}
		}
	}
	if (!surplus)
		return true;
	while (*n_fds > 0)
		close(fds[--*n_fds]);
	return false;
}

ssize_t unix_sock_recv(int sock, void *data, size_t len, int *fds, unsigned max_fds, unsigned *n_fds)
{
	/*
	 * Room for all that the kernel can deliver: what did not fit would be closed by the kernel, but then nobody could tell
	 * two from one.
	 */
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(UNIX_SOCK_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n;

	*n_fds = 0;
	do {
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	if (!take_fds(&mh, fds, max_fds, n_fds))
		return -E2BIG;
	return mh.msg_flags & MSG_TRUNC ? (ssize_t)len + 1 : n;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

#define DEFAULT_WAIT_S 10.0
#define RETRY_MS       10

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double patience(const struct front *f)
{
	return f->conf.wait_s > 0 ? f->conf.wait_s : DEFAULT_WAIT_S;
}

/* Wait for one of `events` until `end`. 0, -ETIMEDOUT or -errno; an error or hang-up of the socket counts as ready. */
static int ready(int fd, short events, double end)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		double left = end - now_s();
		int n = poll(&p, 1, left > 0 ? (int)(left * 1000) + 1 : 0);

		if (n == 1)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && now_s() >= end)
			return -ETIMEDOUT;
	}
}

static int address(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if ((size_t)snprintf(a->sun_path, sizeof(a->sun_path), "%s", path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

int front_listen(const char *path)
{
	struct sockaddr_un a;
	int rc = address(&a, path), fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int front_accept(int listener, double wait_s)
{
	double end = now_s() + wait_s;

	for (;;) {
		int rc = ready(listener, POLLIN, end), fd;

		if (rc)
			return rc;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			return fd;
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			return -errno;
	}
}

int front_connect(const char *path, double wait_s)
{
	double end = now_s() + wait_s;
	struct sockaddr_un a;
	int rc = address(&a, path);

	if (rc)
		return rc;
	for (;;) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		rc = -errno;
		close(fd);
		if (now_s() >= end)
			return rc;
		/* A listener that is not there yet tells nobody when it comes. */
		poll(NULL, 0, RETRY_MS);
	}
}

struct front_msg front_msg(uint32_t request, uint32_t size)
{
	struct front_msg msg;

	memset(&msg, 0, sizeof(msg));
	msg.request = request;
	msg.flags = FRONT_VERSION;
	msg.size = size;
	return msg;
}

int front_raw_send(struct front *f, const void *bytes, size_t n, const int *fds, unsigned n_fds)
{
	double end = now_s() + patience(f);
	const uint8_t *at = bytes;

	if (n_fds > FRONT_MAX_FDS)
		return -EINVAL;
	while (n) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(FRONT_MAX_FDS * sizeof(int))];
		struct iovec iov = {(void *)(uintptr_t)at, n};
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t sent;
		int rc;

		if (n_fds) {
			struct cmsghdr *c;

			memset(control, 0, sizeof(control));
			m.msg_control = control;
			m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
			c = CMSG_FIRSTHDR(&m);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
			memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
		}
		sent = sendmsg(f->sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
			n_fds = 0;
			continue;
		}
		if (sent < 0 && errno == EPIPE)
			return -ECONNRESET;
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = ready(f->sock, POLLOUT, end);
		if (rc)
			return rc;
	}
	return 0;
}

int front_msg_send(struct front *f, const struct front_msg *msg, const int *fds, unsigned n_fds)
{
	return front_raw_send(f, msg, FRONT_HEADER + msg->size, fds, n_fds);
}

static void close_received(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			close(fd);
		}
	}
}

static int receive_bytes(struct front *f, void *to, size_t n, double end)
{
	uint8_t *at = to;

	while (n) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(FRONT_MAX_FDS * sizeof(int))];
		struct iovec iov = {at, n};
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
		ssize_t got;
		int rc = ready(f->sock, POLLIN, end);

		if (rc)
			return rc;
		got = recvmsg(f->sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (got == 0)
			return -ECONNRESET;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got < 0)
			continue;
		close_received(&m);
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

int front_msg_recv(struct front *f, struct front_msg *msg)
{
	double end = now_s() + patience(f);
	int rc = receive_bytes(f, msg, FRONT_HEADER, end);

	if (rc)
		return rc;
	if (msg->size > FRONT_MAX_PAYLOAD)
		return -EPROTO;
	return receive_bytes(f, msg->raw, msg->size, end);
}

int front_ask(struct front *f, struct front_msg *msg)
{
	uint32_t request = msg->request;
	int rc = front_msg_send(f, msg, NULL, 0);

	if (!rc)
		rc = front_msg_recv(f, msg);
	if (rc)
		return rc;
	return msg->request == request && msg->flags & FRONT_REPLY ? 0 : -EPROTO;
}

int front_ask_u64(struct front *f, uint32_t request, uint64_t *value)
{
	struct front_msg msg = front_msg(request, 0);
	int rc = front_ask(f, &msg);

	if (!rc && msg.size != 8)
		rc = -EPROTO;
	if (!rc)
		*value = msg.u64;
	return rc;
}

int front_tell(struct front *f, struct front_msg *msg, const int *fds, unsigned n_fds)
{
	uint32_t request = msg->request;
	int rc;

	if (!(f->protocol & FRONT_BIT(FRONT_PF_REPLY_ACK)))
		return front_msg_send(f, msg, fds, n_fds);
	msg->flags |= FRONT_NEED_REPLY;
	rc = front_msg_send(f, msg, fds, n_fds);
	if (!rc)
		rc = front_msg_recv(f, msg);
	if (rc)
		return rc;
	if (msg->request != request || !(msg->flags & FRONT_REPLY) || msg->size != 8)
		return -EPROTO;
	return msg->u64 ? -EREMOTEIO : 0;
}

int front_tell_u64(struct front *f, uint32_t request, uint64_t value, int fd)
{
	struct front_msg msg = front_msg(request, 8);

	msg.u64 = value;
	return front_tell(f, &msg, &fd, fd >= 0);
}

int front_tell_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct front_msg msg = front_msg(request, 8);

	msg.state.index = index;
	msg.state.num = num;
	return front_tell(f, &msg, NULL, 0);
}

bool front_closed(struct front *f, double wait_s)
{
	double end = now_s() + wait_s;
	uint8_t byte;
	int rc;

	do {
		rc = receive_bytes(f, &byte, 1, end);
	} while (rc == 0);
	return rc != -ETIMEDOUT;
}

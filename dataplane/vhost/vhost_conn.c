/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a vhost-user port: how connections begin, what they say, how they end. */
#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unix_sock.h"
#include "vhost_kind.h"
#include "vhost_port.h"

/* Messages handled before others have their turn: some of them make the control thread wait for the workers. */
#define MESSAGES_A_TURN 16

static void on_retry(void *arg);
static void on_accept(void *arg, uint32_t events);

void vhost_say(struct vhost_port *p, int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dp_vsay(&p->base.log, priority, "vhost-user", p->base.name, fmt, ap);
	va_end(ap);
}

/* --- the end -------------------------------------------------------------------------------------------------------------- */

static void fds_close(struct vhost_port *p)
{
	while (p->n_fds > 0)
		close(p->fds[--p->n_fds]);
}

/* Look for the next front end, in a while. */
static void look_out(struct vhost_port *p)
{
	unsigned delay = p->punished ? VHOST_PENALTY_MS : VHOST_RETRY_MS;

	p->retry = kind_timer(p->base.dp, delay, on_retry, p);
	if (!p->retry)
		vhost_say(p, LOG_ERR, "out of memory: no front end will be looked for any more");
}

/* Every way to end a connection. */
static void hang_up(struct vhost_port *p)
{
	if (p->sock < 0)
		return;
	kind_unwatch(p->base.dp, p->sock);
	close(p->sock);
	p->sock = -1;
	fds_close(p);
	vhost_dev_fini(&p->dev);
	p->dev.features = 0;
	vhost_port_ops.changed(p);
}

static void fault(struct vhost_port *p, int code, const char *why)
{
	enum vhost_fault f = (enum vhost_fault)(code - 1);

	p->faults[f]++;
	p->punished = true;
	dp_say(&p->fault_log, LOG_WARNING, "vhost-user", p->base.name, "hung up: %s: %s", vhost_fault_name(f), why);
	hang_up(p);
	look_out(p);
}

static void gone(struct vhost_port *p)
{
	p->punished = false;
	vhost_say(p, LOG_INFO, "the front end is gone");
	hang_up(p);
	look_out(p);
}

/* --- messages ------------------------------------------------------------------------------------------------------------- */

/* Receive up to `want` bytes of the message in all. 1: they are there; 0: not yet; -1: the connection has ended. */
static int receive(struct vhost_port *p, unsigned want)
{
	unsigned got_fds;
	ssize_t n;

	if (p->have >= want)
		return 1;
	n = unix_sock_recv(p->sock, (uint8_t *)&p->msg.h + p->have, want - p->have, p->fds + p->n_fds,
			   (unsigned)(VHOST_TABLE_REGIONS - p->n_fds), &got_fds);
	p->n_fds += got_fds;
	if (n == -EAGAIN)
		return 0;
	if (n == -E2BIG) {
		fault(p, VHOST_FAULT_FDS + 1, "more file descriptors than any message has");
		return -1;
	}
	if (n <= 0) {
		gone(p);
		return -1;
	}
	p->have += (unsigned)n;
	return p->have >= want;
}

static int answer(struct vhost_port *p)
{
	if (unix_sock_send(p->sock, &p->msg.h, sizeof(p->msg.h) + p->msg.h.size, -1) == 0)
		return 0;
	fault(p, VHOST_FAULT_REPLY + 1, "its socket is full");
	return -1;
}

/* 1: one message was handled; 0: none is whole; -1: the connection has ended. */
static int one_message(struct vhost_port *p)
{
	bool reply;
	int ret, code;

	ret = receive(p, sizeof(p->msg.h));
	if (ret <= 0)
		return ret;
	code = vhost_dev_check(&p->dev, &p->msg.h);
	if (code) {
		fault(p, code, p->dev.why);
		return -1;
	}
	ret = receive(p, (unsigned)(sizeof(p->msg.h) + p->msg.h.size));
	if (ret <= 0)
		return ret;
	code = vhost_dev_message(&p->dev, &p->msg, p->fds, p->n_fds, &reply);
	p->n_fds = 0;
	p->have = 0;
	if (reply && answer(p) < 0)
		return -1;
	if (code) {
		fault(p, code, p->dev.why);
		return -1;
	}
	return 1;
}

static void on_message(void *arg, uint32_t events)
{
	struct vhost_port *p = arg;

	for (unsigned i = 0; i < MESSAGES_A_TURN; i++) {
		if (one_message(p) <= 0)
			return;
	}
}

/* A worker or the guard has found something. */
void vhost_conn_alarm(void *arg, uint32_t events)
{
	struct vhost_port *p = arg;
	uint64_t n;
	int code;

	if (read(p->base.alarm_fd, &n, sizeof(n)) < 0 || p->sock < 0)
		return;
	code = vhost_dev_fault(&p->dev);
	if (code == VHOST_FAULT_LOST + 1)
		fault(p, code, "it cut off memory that it had shared");
	else if (code)
		fault(p, code, "its index of a ring is impossible");
	/* else of a connection that is closed already */
}

/* --- the beginning -------------------------------------------------------------------------------------------------------- */

/* Takes over sock. */
static void begin(struct vhost_port *p, int sock)
{
	p->have = p->n_fds = 0;
	if (vhost_dev_init(&p->dev, &vhost_port_ops, p, p->base.n_queues, p->base.alarm_fd) < 0)
		goto fail;
	if (kind_watch(p->base.dp, sock, EPOLLIN, on_message, p) < 0) {
		vhost_dev_fini(&p->dev);
		goto fail;
	}
	p->sock = sock;
	p->connects++;
	vhost_say(p, LOG_INFO, "a front end is there: %s", p->base.path);
	return;
fail:
	close(sock);
	p->faults[VHOST_FAULT_NO_MEMORY]++;
	p->punished = true;
	look_out(p);
}

static void connect_to(struct vhost_port *p)
{
	struct stat st;
	/* A look at the path is a third of an attempt, and a node may have a thousand ports whose guests are not there. */
	int sock = stat(p->base.path, &st) < 0 ? -errno : unix_sock_connect(p->base.path, SOCK_STREAM);

	if (sock >= 0) {
		begin(p, sock);
		return;
	}
	if (sock != -ENOENT && sock != -ECONNREFUSED && sock != -EAGAIN)
		vhost_say(p, LOG_WARNING, "cannot connect to %s: %s", p->base.path, strerror(-sock));
	p->punished = false;
	look_out(p);
}

static void on_retry(void *arg)
{
	struct vhost_port *p = arg;

	p->retry = NULL;
	if (p->listener < 0) {
		connect_to(p);
	} else if (kind_watch(p->base.dp, p->listener, EPOLLIN, on_accept, p) < 0) {
		vhost_say(p, LOG_WARNING, "cannot watch %s: out of memory", p->base.path);
		look_out(p);
	}
}

/* One front end at a time: the listener is looked at again when this one has gone. */
static void on_accept(void *arg, uint32_t events)
{
	struct vhost_port *p = arg;
	int sock = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (sock < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return;
	kind_unwatch(p->base.dp, p->listener);
	if (sock >= 0) {
		begin(p, sock);
		return;
	}
	vhost_say(p, LOG_WARNING, "cannot accept: %s", strerror(errno));
	p->punished = true;
	look_out(p);
}

int vhost_conn_open(struct vhost_port *p)
{
	int rc = 0;

	p->sock = p->listener = -1;
	if (p->server) {
		p->listener = unix_sock_listen(p->base.path, SOCK_STREAM);
		rc = p->listener;
	}
	if (rc >= 0) {
		p->retry = kind_timer(p->base.dp, 0, on_retry, p);
		rc = p->retry ? 0 : -ENOMEM;
	}
	if (rc < 0 && p->listener >= 0)
		close(p->listener);
	return rc;
}

void vhost_conn_close(struct vhost_port *p)
{
	hang_up(p);
	if (p->retry)
		kind_timer_cancel(p->base.dp, p->retry);
	if (p->listener >= 0) {
		kind_unwatch(p->base.dp, p->listener);
		close(p->listener);
		unlink(p->base.path);
	}
}

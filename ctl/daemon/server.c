/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "line.h"
#include "log.h"
#include "outq.h"
#include "rpc.h"
#include "server.h"

#define LISTENERS    2
#define WORK_LINES   16
#define ACCEPT_BURST 16
#define USEC_PER_SEC UINT64_C(1000000)

struct client {
	struct client *next;
	struct listener *listener;
	int fd;
	uid_t uid;
	sd_event_source *io, *timer, *again;
	struct line_buf in;
	struct outq out;
	struct rpc_session session;
	bool eof;    /* nothing more will come */
	bool timing; /* the timer of a partial line runs */
	bool broken; /* a line for it was lost: to be closed */
};

struct listener {
	struct server *server;
	sd_event_source *io, *pause;
	bool read_only;
	struct client *clients;
};

struct server {
	sd_event *event;
	struct ctl *ctl;
	struct listener listeners[LISTENERS];
	unsigned n_listeners;
};

static int client_priority(const struct listener *l)
{
	return SD_EVENT_PRIORITY_NORMAL + l->read_only;
}

static void client_free(struct client *c)
{
	struct client **link = &c->listener->clients;

	while (*link && *link != c)
		link = &(*link)->next;
	if (*link)
		*link = c->next;
	rpc_session_fini(&c->session);
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	sd_event_source_disable_unref(c->again);
	line_fini(&c->in);
	outq_fini(&c->out);
	close(c->fd);
	free(c);
}

/* --- answering ------------------------------------------------------------------------------------------------------------ */

static int push_error(struct client *c, const char *name, const char *hint, const char *msg)
{
	struct rpc_error err;
	size_t len;
	char *text;

	rpc_fail(&err, RPC_PARSE_ERROR, name, "", hint, "%s", msg);
	text = rpc_error_line(&err, &len);
	return text ? outq_push(&c->out, text, len) : -ENOMEM;
}

static int answer(struct client *c, const char *line, size_t n)
{
	char *reply;
	size_t len;
	int ret = rpc_handle(&c->session, line, n, &reply, &len);

	return ret == 0 && reply ? outq_push(&c->out, reply, len) : ret;
}

/* A line that was made outside of a request. The caller may be walking over clients: this one goes on, or ends, on its next turn. */
static void send_later(struct rpc_session *session, char *line, size_t len)
{
	struct client *c = (struct client *)((char *)session - offsetof(struct client, session));

	if (!line || outq_push(&c->out, line, len) < 0)
		c->broken = true;
	sd_event_source_set_enabled(c->again, SD_EVENT_ONESHOT);
}

/* Answer lines that are there. 1: there may be more; 0: no complete line is left; -ENOMEM. */
static int answer_lines(struct client *c)
{
	const char *line;
	size_t n;
	int ret;

	for (unsigned i = 0; i < WORK_LINES; i++) {
		if (c->out.bytes >= OUTQ_HIGH)
			return 1;
		switch (line_next(&c->in, &line, &n)) {
		case LINE_NONE:
			return 0;
		case LINE_OK:
			c->timing = false;
			ret = answer(c, line, n);
			break;
		default:
			ret = push_error(c, "line-too-long", NULL, "a line of more than 1048576 bytes");
			break;
		}
		if (ret < 0)
			return ret;
	}
	return 1;
}

/* --- what to wait for ------------------------------------------------------------------------------------------------------- */

static int arm_partial_timer(struct client *c, bool reading)
{
	if (!reading || !line_partial(&c->in)) {
		c->timing = false;
		return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	}
	if (c->timing)
		return 0;
	c->timing = true;
	sd_event_source_set_time_relative(c->timer, RPC_PARTIAL_LINE_S * USEC_PER_SEC);
	return sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* `more`: complete lines may wait in the buffer; they come first. */
static void rearm(struct client *c, bool more)
{
	bool blocked = c->out.bytes >= OUTQ_HIGH, reading = !c->eof && !blocked && !more;

	sd_event_source_set_io_events(c->io, (reading ? EPOLLIN : 0) | (c->out.bytes ? EPOLLOUT : 0));
	sd_event_source_set_enabled(c->again, more && !blocked ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	arm_partial_timer(c, reading);
}

/* Go on with a client after something came or went. */
static void client_work(struct client *c)
{
	int more = answer_lines(c), ret;

	if (more == 0 && c->eof && line_partial(&c->in)) {
		more = push_error(c, "line-unterminated", "end each line with LF", "the connection ended inside a line");
		line_fini(&c->in);
	}
	ret = outq_flush(&c->out, c->fd);
	if (more < 0 || ret < 0 || c->broken || (!more && c->eof && !c->out.bytes && !rpc_session_busy(&c->session))) {
		client_free(c);
		return;
	}
	rearm(c, more);
}

/* --- events ------------------------------------------------------------------------------------------------------------------ */

/* 0, or -errno when the connection is over. */
static int client_read(struct client *c)
{
	size_t room;
	char *to = line_room(&c->in, &room);
	ssize_t n;

	if (!to)
		return -ENOMEM;
	n = recv(c->fd, to, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	line_filled(&c->in, n);
	c->eof = n == 0;
	return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct client *c = arg;
	uint32_t wanted = 0;
	int again = 0;

	/*
	 * A hang-up is reported even while neither reading nor writing is due. It is not acted on by itself: what the client sent before
	 * it went is still in our buffer, and the read or write that comes next will notice.
	 */
	sd_event_source_get_io_events(source, &wanted);
	sd_event_source_get_enabled(c->again, &again);
	/* All was read and done but for an answer that comes later, and nobody is there to take it. */
	if (!wanted && c->eof && !again && (events & (EPOLLHUP | EPOLLERR)))
		client_free(c);
	else if ((wanted & EPOLLIN) && (events & ~EPOLLOUT) && client_read(c) < 0)
		client_free(c);
	else
		client_work(c);
	return 0;
}

static int on_again(sd_event_source *source, void *arg)
{
	client_work(arg);
	return 0;
}

static int on_partial_timeout(sd_event_source *source, uint64_t usec, void *arg)
{
	struct client *c = arg;

	if (push_error(c, "line-timeout", NULL, "a line took longer than 10 s") == 0)
		outq_flush(&c->out, c->fd);
	client_free(c);
	return 0;
}

/* --- accepting ----------------------------------------------------------------------------------------------------------------- */

static const char *too_many(const struct listener *l, uid_t uid)
{
	unsigned all = 0, same = 0;

	for (const struct client *c = l->clients; c; c = c->next) {
		all++;
		same += c->uid == uid;
	}
	if (all >= RPC_CLIENTS)
		return "too many clients (at most 32)";
	return same >= RPC_CLIENTS_PER_UID ? "too many clients of one user (at most 8)" : NULL;
}

static void refuse(int fd, const char *msg)
{
	struct rpc_error err;
	size_t len;
	char *text;

	rpc_fail(&err, RPC_REFUSED, "too-many-clients", "", "close a connection, or send the requests over one", "%s", msg);
	text = rpc_error_line(&err, &len);
	/* A fresh socket has room for a line; if not, the end of the connection says as much. */
	if (text && send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_printf(LOG_INFO, "a refused client was not told why: %m");
	free(text);
	close(fd);
}

static int add_sources(struct client *c)
{
	sd_event *event = c->listener->server->event;
	int ret = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_client, c);

	if (ret >= 0)
		ret = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 10, on_partial_timeout, c);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	if (ret >= 0)
		ret = sd_event_add_defer(event, &c->again, on_again, c);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(c->again, SD_EVENT_OFF);
	if (ret >= 0)
		ret = sd_event_source_set_priority(c->io, client_priority(c->listener));
	if (ret >= 0)
		ret = sd_event_source_set_priority(c->again, client_priority(c->listener));
	return ret;
}

/* Takes over fd. */
static void client_new(struct listener *l, int fd, uid_t uid)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->listener = l;
	c->fd = fd;
	c->uid = uid;
	line_init(&c->in, RPC_LINE_MAX);
	outq_init(&c->out);
	rpc_session_init(&c->session, l->server->ctl, l->read_only);
	c->session.send = send_later;
	c->next = l->clients;
	l->clients = c;
	if (add_sources(c) < 0)
		client_free(c);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *arg)
{
	struct listener *l = arg;

	return sd_event_source_set_enabled(l->io, SD_EVENT_ON);
}

/* The waiting connection stays readable while we have no descriptor for it: look away for a while rather than spin. */
static void pause_accepting(struct listener *l)
{
	log_printf(LOG_ERR, "cannot accept clients: %m; trying again in a second");
	sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
	sd_event_source_set_time_relative(l->pause, USEC_PER_SEC);
	sd_event_source_set_enabled(l->pause, SD_EVENT_ONESHOT);
}

static int on_listener(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct listener *l = arg;

	for (unsigned i = 0; i < ACCEPT_BURST; i++) {
		struct ucred peer = {.uid = (uid_t)-1};
		socklen_t len = sizeof(peer);
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		const char *why;

		if (fd < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				pause_accepting(l);
			break;
		}
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
			close(fd);
			continue;
		}
		why = too_many(l, peer.uid);
		if (why)
			refuse(fd, why);
		else
			client_new(l, fd, peer.uid);
	}
	return 0;
}

/* --- the server ------------------------------------------------------------------------------------------------------------- */

int server_open(struct server **server, sd_event *event, struct ctl *ctl)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->ctl = ctl;
	*server = s;
	return 0;
}

int server_listen(struct server *server, int fd, bool read_only)
{
	struct listener *l;
	int ret;

	if (server->n_listeners == LISTENERS)
		return -ENOSPC;
	l = &server->listeners[server->n_listeners];
	*l = (struct listener){.server = server, .read_only = read_only};
	ret = sd_event_add_time_relative(server->event, &l->pause, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 10, on_pause_over, l);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(l->pause, SD_EVENT_OFF);
	if (ret >= 0)
		ret = sd_event_add_io(server->event, &l->io, fd, EPOLLIN, on_listener, l);
	if (ret < 0) {
		sd_event_source_disable_unref(l->pause);
		return ret;
	}
	server->n_listeners++;
	return 0;
}

void server_close(struct server *server)
{
	if (!server)
		return;
	for (unsigned i = 0; i < server->n_listeners; i++) {
		struct listener *l = &server->listeners[i];

		for (struct client *c = l->clients, *next; c; c = next) {
			next = c->next;
			client_free(c);
		}
		sd_event_source_disable_unref(l->io);
		sd_event_source_disable_unref(l->pause);
	}
	sd_event_unref(server->event);
	free(server);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"
#include "line.h"
#include "outq.h"

#define USEC_PER_SEC	   UINT64_C(1000000)
#define GUESS_NS_A_BYTE	   50 /* measured: the worst line costs twice that, a usual one half */
#define container(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))

struct conn {
	struct conn_env *env;
	struct conn_peer peer;
	int fd;
	sd_event_source *io, *timer;
	struct turn turn;
	uint64_t cost_ns; /* what a request of his is likely to take: the last one, or dearer ones not long before */
	struct line_buf in;
	struct outq out;
	struct rpc_session session;
	bool eof;    /* nothing more will come */
	bool timing; /* the timer of a partial line runs */
	bool broken; /* a line for it was lost: to be closed */
};

/* Of this thread on a CPU: who is served while somebody else has the CPU does not owe for that. */
static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct conn_peer *conn_peer(struct conn *c)
{
	return &c->peer;
}

struct rpc_session *conn_session(struct conn *c)
{
	return &c->session;
}

void conn_free(struct conn *c)
{
	struct conn_debt debt = {.owes_ns = turn_leave(&c->env->turns, &c->turn), .cost_ns = c->cost_ns};

	c->env->closed(c, &debt);
	rpc_session_fini(&c->session);
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	line_fini(&c->in);
	outq_fini(&c->out);
	close(c->fd);
	free(c);
}

static void want_turn(struct conn *c)
{
	struct conn_env *env = c->env;
	uint64_t one = 1, guess_ns = line_waiting(&c->in) * GUESS_NS_A_BYTE;

	/* An eventfd's write fails only when its counter is full, and then it is readable anyway. */
	if (!env->turns.first)
		(void)!write(env->serve_fd, &one, sizeof(one));
	turn_want(&env->turns, &c->turn, guess_ns > c->cost_ns ? guess_ns : c->cost_ns);
}

/* --- what to wait for ------------------------------------------------------------------------------------------------------- */

static bool blocked(const struct conn *c)
{
	return c->out.bytes >= OUTQ_HIGH;
}

static bool reading(const struct conn *c)
{
	return !c->eof && !blocked(c) && !c->turn.waiting;
}

static void arm_partial_timer(struct conn *c)
{
	/* While complete lines wait, what is behind them is not late: we are. */
	if (!reading(c) || !line_partial(&c->in)) {
		c->timing = false;
		sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	} else if (!c->timing) {
		c->timing = true;
		sd_event_source_set_time_relative(c->timer, RPC_PARTIAL_LINE_S * USEC_PER_SEC);
		sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
	}
}

static void rearm(struct conn *c)
{
	sd_event_source_set_io_events(c->io, (reading(c) ? EPOLLIN : 0) | (c->out.bytes ? EPOLLOUT : 0));
	arm_partial_timer(c);
}

/* --- writing ------------------------------------------------------------------------------------------------------------------ */

static int push_error(struct conn *c, const char *name, const char *hint, const char *msg)
{
	struct rpc_error err;
	size_t len;
	char *text;

	rpc_fail(&err, RPC_PARSE_ERROR, name, "", hint, "%s", msg);
	text = rpc_error_line(&err, &len);
	return text ? outq_push(&c->out, text, len) : -ENOMEM;
}

/* Write what can be written now. -errno: the connection is over. */
static int flush(struct conn *c)
{
	int ret = outq_flush(&c->out, c->fd);

	if (ret == 0 && !c->out.event_bytes && c->session.told) {
		c->session.told(&c->session);
		ret = outq_flush(&c->out, c->fd);
	}
	return c->broken ? -ENOMEM : ret;
}

/* Lines that are made outside of a request. The caller may be walking over sessions, so this one goes on, or ends, when the loop has it. */
static void send_later(struct rpc_session *session, char *line, size_t len)
{
	struct conn *c = container(session, struct conn, session);

	if (!line || outq_push(&c->out, line, len) < 0)
		c->broken = true;
	want_turn(c);
}

static bool tell_later(struct rpc_session *session, char *line, size_t len)
{
	struct conn *c = container(session, struct conn, session);

	/* A transaction of thousands of objects is told in one go, before the loop comes to write: what the socket takes need not wait. */
	if (c->out.event_bytes + len > RPC_EVENTS_MAX && outq_flush(&c->out, c->fd) < 0)
		c->broken = true;
	if (c->out.event_bytes + len > RPC_EVENTS_MAX || c->broken) {
		if (c->broken)
			want_turn(c);
		free(line);
		return false;
	}
	if (outq_push_event(&c->out, line, len) < 0) {
		c->broken = true;
		want_turn(c);
		return false;
	}
	/* Many events may come in one turn of the loop: they leave together. */
	sd_event_source_set_io_events(c->io, (reading(c) ? EPOLLIN : 0) | EPOLLOUT);
	return true;
}

/* --- answering ------------------------------------------------------------------------------------------------------------ */

static int answer(struct conn *c, const char *line, size_t n)
{
	char *reply;
	size_t len;
	int ret = rpc_handle(&c->session, line, n, &reply, &len);

	return ret == 0 && reply ? outq_push(&c->out, reply, len) : ret;
}

/* Answer lines that are there, *done of them. 1: there may be more; 0: no complete line is left; -ENOMEM. */
static int answer_lines(struct conn *c, uint64_t end_ns, unsigned *done)
{
	const char *line;
	size_t n;
	int ret;

	do {
		if (blocked(c))
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
		++*done;
	} while (now_ns() < end_ns);
	return 1;
}

/* Its turn took so long, for so many requests. */
static void charge(struct conn *c, uint64_t took_ns, unsigned done)
{
	uint64_t each_ns = done ? took_ns / done : 0;

	turn_charge(&c->turn, took_ns);
	if (done)
		c->cost_ns = each_ns > c->cost_ns ? each_ns : (c->cost_ns * 3 + each_ns) / 4;
}

/* Its turn. */
static void serve(struct conn *c)
{
	uint64_t start = now_ns();
	unsigned done = 0;
	int more = answer_lines(c, start + CONN_TURN_NS, &done), ret;

	if (more == 0 && c->eof && line_partial(&c->in)) {
		more = push_error(c, "line-unterminated", "end each line with LF", "the connection ended inside a line");
		line_fini(&c->in);
	}
	ret = flush(c);
	charge(c, now_ns() - start, done);
	if (more < 0 || ret < 0 || (!more && c->eof && !c->out.bytes && !rpc_session_busy(&c->session))) {
		conn_free(c);
		return;
	}
	/* While its answers are not read it has no turns: on_io() gives it one when they are. */
	if (more && !blocked(c))
		want_turn(c);
	rearm(c);
}

static int on_serve(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct conn_env *env = arg;
	struct turn *t = turn_next(&env->turns);
	uint64_t n;

	/* Before it is his turn, who may want another. */
	if (!env->turns.first)
		(void)!read(fd, &n, sizeof(n));
	if (t)
		serve(container(t, struct conn, turn));
	return 0;
}

/* --- events ------------------------------------------------------------------------------------------------------------------ */

/* 0, or -errno when the connection is over. */
static int read_some(struct conn *c)
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

static int on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;
	bool was_blocked = blocked(c), read_due = reading(c);
	int ret = 0;

	/*
	 * A hang-up is reported even while neither reading nor writing is due. What the client sent before it went is still in our buffer or
	 * its socket, so as long as a read, a write or a turn is to come, that one will notice. Otherwise what is due is an answer
	 * or an event that comes later, and nobody is there to take it.
	 */
	if (!read_due && !c->out.bytes && !c->turn.waiting && (events & (EPOLLHUP | EPOLLERR))) {
		conn_free(c);
		return 0;
	}
	if (events & ~EPOLLIN)
		ret = flush(c);
	if (ret == 0 && read_due && (events & ~EPOLLOUT))
		ret = read_some(c);
	if (ret < 0) {
		conn_free(c);
		return 0;
	}
	if (!c->turn.waiting && !blocked(c) && (was_blocked || c->eof || line_waiting(&c->in)))
		want_turn(c);
	rearm(c);
	return 0;
}

static int on_partial_timeout(sd_event_source *source, uint64_t usec, void *arg)
{
	struct conn *c = arg;

	if (push_error(c, "line-timeout", NULL, "a line took longer than 10 s") == 0)
		outq_flush(&c->out, c->fd);
	conn_free(c);
	return 0;
}

/* --- making ------------------------------------------------------------------------------------------------------------------- */

int conn_env_init(struct conn_env *env, sd_event *event, struct ctl *ctl,
		  void (*closed)(struct conn *c, const struct conn_debt *debt))
{
	int ret;

	*env = (struct conn_env){.event = event, .ctl = ctl, .closed = closed};
	env->serve_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (env->serve_fd < 0)
		return -errno;
	ret = sd_event_add_io(event, &env->serve, env->serve_fd, EPOLLIN, on_serve, env);
	if (ret < 0)
		close(env->serve_fd);
	return ret;
}

void conn_env_fini(struct conn_env *env)
{
	env->serve = sd_event_source_disable_unref(env->serve);
	close(env->serve_fd);
}

static int add_sources(struct conn *c)
{
	sd_event *event = c->env->event;
	int ret = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_io, c);

	if (ret >= 0)
		ret = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 10, on_partial_timeout, c);
	return ret < 0 ? ret : sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
}

struct conn *conn_new(struct conn_env *env, int fd, const struct conn_peer *peer, bool read_only, const struct conn_debt *debt)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->env = env;
	c->peer = *peer;
	c->fd = fd;
	turn_init(&env->turns, &c->turn, env->turns.now_ns + debt->owes_ns);
	c->cost_ns = debt->cost_ns > CONN_UNKNOWN_NS ? debt->cost_ns : CONN_UNKNOWN_NS;
	line_init(&c->in, RPC_LINE_MAX);
	outq_init(&c->out);
	rpc_session_init(&c->session, env->ctl, read_only);
	c->session.send = send_later;
	c->session.tell = tell_later;
	if (add_sources(c) >= 0)
		return c;
	conn_free(c);
	return NULL;
}

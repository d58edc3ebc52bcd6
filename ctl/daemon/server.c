/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "log.h"
#include "rpc.h"
#include "server.h"

#define LISTENERS    2
#define ACCEPT_BURST 16
#define ACCOUNTS     64
#define USEC_PER_SEC UINT64_C(1000000)
#define LOG_EVERY_US (60 * USEC_PER_SEC)

/* What a user's closed connections took: when his next one is due, on the turns' clock, and what its requests are likely to cost. */
struct account {
	uid_t uid;
	uint64_t due_ns, cost_ns;
};

struct listener {
	struct server *server;
	sd_event_source *io, *pause;
	bool read_only;
	struct conn *conns;
	struct account accounts[ACCOUNTS];
	uint64_t refused, logged_refused, logged_us;
};

struct server {
	sd_event *event;
	struct conn_env env;
	struct listener listeners[LISTENERS];
	unsigned n_listeners;
};

/* --- accounts ------------------------------------------------------------------------------------------------------------------ */

static struct conn_debt account_debt(const struct listener *l, uid_t uid)
{
	uint64_t now_ns = l->server->env.turns.now_ns;

	for (unsigned i = 0; i < ACCOUNTS; i++) {
		const struct account *a = &l->accounts[i];

		/* Whose time has come owes nothing, and is believed to be better. */
		if (a->uid == uid && a->due_ns > now_ns)
			return (struct conn_debt){.owes_ns = a->due_ns - now_ns, .cost_ns = a->cost_ns};
	}
	return (struct conn_debt){0};
}

/* In a full table the one who owes least is forgotten: whose time has come owes nothing. */
static void account_add(struct listener *l, uid_t uid, uint64_t now_ns, const struct conn_debt *debt)
{
	struct account *at = &l->accounts[0];

	for (unsigned i = 0; i < ACCOUNTS && at->uid != uid; i++) {
		struct account *a = &l->accounts[i];

		if (a->uid == uid || a->due_ns < at->due_ns)
			at = a;
	}
	if (at->uid != uid || at->due_ns < now_ns)
		*at = (struct account){.uid = uid, .due_ns = now_ns};
	at->due_ns += debt->owes_ns;
	if (debt->cost_ns > at->cost_ns)
		at->cost_ns = debt->cost_ns;
}

static void on_closed(struct conn *c, const struct conn_debt *debt)
{
	const struct conn_peer *peer = conn_peer(c);
	struct listener *l = peer->listener;
	struct conn **link = &l->conns;

	while (*link && *link != c)
		link = &conn_peer(*link)->next;
	if (*link)
		*link = peer->next;
	account_add(l, peer->uid, l->server->env.turns.now_ns, debt);
}

/* --- accepting ----------------------------------------------------------------------------------------------------------------- */

static unsigned places_of(const struct listener *l, uid_t uid)
{
	return uid == 0 && !l->read_only ? RPC_CLIENTS_ROOT : RPC_CLIENTS_PER_UID;
}

/* Whether there is a place; else `why` says why not. */
static bool has_place(const struct listener *l, uid_t uid, char *why, size_t size)
{
	unsigned all = 0, same = 0;

	for (struct conn *c = l->conns; c; c = conn_peer(c)->next) {
		all++;
		same += conn_peer(c)->uid == uid;
	}
	if (all >= RPC_CLIENTS)
		snprintf(why, size, "too many clients (at most %d)", RPC_CLIENTS);
	else if (same >= places_of(l, uid))
		snprintf(why, size, "too many clients of one user (at most %u)", places_of(l, uid));
	else
		return true;
	return false;
}

static void log_refused(struct listener *l, uid_t uid, const char *why)
{
	uint64_t now_us = 0;

	l->refused++;
	sd_event_now(l->server->event, CLOCK_MONOTONIC, &now_us);
	if (l->logged_us && now_us - l->logged_us < LOG_EVERY_US)
		return;
	log_printf(LOG_NOTICE, "%s socket: refused %llu connections, the last of uid %u: %s", l->read_only ? "stat" : "control",
		   (unsigned long long)(l->refused - l->logged_refused), uid, why);
	l->logged_refused = l->refused;
	l->logged_us = now_us;
}

static void refuse(int fd, const char *why)
{
	struct rpc_error err;
	size_t len;
	char *text;

	rpc_fail(&err, RPC_REFUSED, "too-many-clients", "", "close a connection, or send the requests over one", "%s", why);
	text = rpc_error_line(&err, &len);
	/* A fresh socket has room for a line; if not, the end of the connection says as much. */
	if (text)
		(void)!send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
	close(fd);
}

/* Takes over fd. */
static void welcome(struct listener *l, int fd)
{
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred);
	struct conn_peer peer = {.listener = l};
	struct conn_debt debt;
	struct conn *c;
	char why[64];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(fd);
		return;
	}
	if (!has_place(l, cred.uid, why, sizeof(why))) {
		log_refused(l, cred.uid, why);
		refuse(fd, why);
		return;
	}
	peer.uid = cred.uid;
	peer.next = l->conns;
	debt = account_debt(l, cred.uid);
	c = conn_new(&l->server->env, fd, &peer, l->read_only, &debt);
	if (!c)
		return;
	conn_session(c)->clients_per_uid = places_of(l, cred.uid);
	l->conns = c;
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
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			welcome(l, fd);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno != EAGAIN)
				pause_accepting(l);
			break;
		}
	}
	return 0;
}

/* --- the server ------------------------------------------------------------------------------------------------------------- */

int server_open(struct server **server, sd_event *event, struct ctl *ctl)
{
	struct server *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	ret = conn_env_init(&s->env, event, ctl, on_closed);
	if (ret < 0) {
		free(s);
		return ret;
	}
	s->event = sd_event_ref(event);
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
	for (unsigned i = 0; i < ACCOUNTS; i++)
		l->accounts[i].uid = (uid_t)-1;
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

		while (l->conns)
			conn_free(l->conns);
		sd_event_source_disable_unref(l->io);
		sd_event_source_disable_unref(l->pause);
	}
	conn_env_fini(&server->env);
	sd_event_unref(server->event);
	free(server);
}

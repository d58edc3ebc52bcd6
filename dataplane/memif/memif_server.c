/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "bell.h"
#include "memif_sock.h"

#define ACCEPT_BURST  16 /* connections taken in one go: the control thread has other work */
#define MAX_STRANGERS 32 /* connections without a port, for each listener: the oldest makes room */
#define PAUSE_MS      100

/* One path. Ports with the same path and different ids share it. */
struct memif_listener {
	struct dp *dp;
	int sock;
	char path[108];
	dev_t dev; /* of the socket file that we made */
	ino_t ino;
	struct memif_port *ports;
	struct memif_conn *strangers; /* newest first */
	unsigned n_strangers;
	struct kind_timer *pause; /* out of descriptors: not listening for a while */
	struct dp_log_limit log;
	struct memif_listener *next;
};

static struct memif_listener *listeners;

/* --- messages ------------------------------------------------------------------------------------------------------ */

static int answer(struct memif_conn *c, uint16_t type)
{
	struct memif_msg msg = {.type = type};

	if (type == MEMIF_MSG_CONNECTED)
		snprintf(msg.connect.if_name, sizeof(msg.connect.if_name), "%.31s", c->port->base.name);
	return memif_sock_send(c->sock, &msg, -1);
}

static int hello(struct memif_conn *c)
{
	struct memif_msg msg = {.type = MEMIF_MSG_HELLO};
	uint16_t rings = KIND_MAX_QUEUES;

	/* We do not know yet which port is meant: say what all of them can do. */
	for (struct memif_port *p = c->listener->ports; p; p = p->next)
		rings = RTE_MIN(rings, p->base.n_queues);
	msg.hello.min_version = msg.hello.max_version = MEMIF_VERSION;
	msg.hello.max_region = MEMIF_MAX_REGIONS - 1;
	msg.hello.max_s2c_ring = msg.hello.max_c2s_ring = (uint16_t)(rings - 1);
	msg.hello.max_log2_ring_size = MEMIF_MAX_LOG2_RING;
	snprintf(msg.hello.name, sizeof(msg.hello.name), "sluice");
	return memif_sock_send(c->sock, &msg, -1);
}

/* Secrets are compared in a time that does not tell how much of a guess was right. */
static bool secret_matches(const char want[24], const char given[24])
{
	unsigned char differs = 0;

	for (unsigned i = 0; i < 24; i++)
		differs |= (unsigned char)(want[i] ^ given[i]);
	return differs == 0;
}

/* The peer of this port is dead and its end of the socket closed, only that we have not been told yet. */
static bool peer_is_gone(const struct memif_conn *c)
{
	char byte;

	return recv(c->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static const char *on_init(struct memif_conn *c, const struct memif_init *init)
{
	struct memif_port *p;

	memif_conn_peer(c, init->name);
	if (init->version != MEMIF_VERSION)
		return "version: 2.0 is spoken here";
	if (init->mode != MEMIF_MODE_ETHERNET)
		return "mode: only Ethernet";
	for (p = c->listener->ports; p && p->id != init->id; p = p->next)
		;
	if (!p)
		return "id: no such interface";
	if (p->secret[0] && !secret_matches(p->secret, init->secret))
		return "secret: wrong or missing";
	if (p->conn && peer_is_gone(p->conn))
		memif_conn_close(p->conn, NULL);
	if (p->conn)
		return "id: already connected";

	memif_server_forget(c);
	c->port = p;
	p->conn = c;
	c->state = MEMIF_WAIT_MEMORY;
	if (memif_conn_link(c) < 0)
		return "out of memory";
	return answer(c, MEMIF_MSG_ACK) < 0 ? "peer does not read" : NULL;
}

static const char *on_add_region(struct memif_conn *c, const struct memif_add_region *ar, int fd)
{
	const char *why;

	if (fd < 0)
		return "region without a descriptor";
	if (memif_shm_add(&c->link->shm, fd, ar->index, ar->size, &why) < 0)
		return why;
	return answer(c, MEMIF_MSG_ACK) < 0 ? "peer does not read" : NULL;
}

/* *fd becomes the ring's, if it is taken. */
static const char *on_add_ring(struct memif_conn *c, const struct memif_add_ring *ar, int *fd)
{
	struct memif_link *l = c->link;
	bool rx = ar->flags & MEMIF_ADD_RING_C2S;
	struct memif_ring *ring;
	struct memif_end *e;
	const char *why;

	if (*fd < 0 || !bell_is(*fd))
		return "ring without an eventfd";
	if (ar->index >= c->port->base.n_queues)
		return "ring index: the port has fewer queues";
	if (rx ? l->has_rx[ar->index] : l->has_tx[ar->index])
		return "ring given twice";
	ring = memif_shm_ring(&l->shm, ar, &why);
	if (!ring)
		return why;

	e = rx ? &l->rx[ar->index] : &l->tx[ar->index];
	memif_end_init(e, &l->shm, ring, ar->log2_size, false, rx, ar->index);
	e->bell_fd = *fd;
	*fd = -1;
	if (rx) {
		l->has_rx[ar->index] = true;
		l->n_rx++;
	} else {
		l->has_tx[ar->index] = true;
		l->n_tx++;
	}
	return answer(c, MEMIF_MSG_ACK) < 0 ? "peer does not read" : NULL;
}

static const char *on_connect(struct memif_conn *c)
{
	struct memif_link *l = c->link;

	if (l->n_rx == 0 || l->n_tx == 0)
		return "no ring in one direction";
	/* No index was given twice, so n rings without a gap end in index n - 1. */
	for (uint16_t q = 0; q < KIND_MAX_QUEUES; q++) {
		if (l->has_rx[q] != (q < l->n_rx) || l->has_tx[q] != (q < l->n_tx))
			return "a ring is missing";
	}
	/* More regions may have come since the rings were made. */
	for (uint16_t q = 0; q < l->n_rx; q++)
		l->rx[q].n_regions = l->shm.n;
	for (uint16_t q = 0; q < l->n_tx; q++)
		l->tx[q].n_regions = l->shm.n;
	if (answer(c, MEMIF_MSG_CONNECTED) < 0)
		return "peer does not read";
	return memif_conn_up(c) < 0 ? "out of descriptors" : NULL;
}

static void server_received(void *arg, uint32_t events)
{
	struct memif_conn *c = arg;
	const char *why = "message out of turn";
	struct memif_msg msg;
	int fd, rc;

	rc = memif_sock_recv(c->sock, &msg, &fd);
	if (rc == -EAGAIN)
		return;
	if (rc == -ECONNRESET || (rc == 0 && msg.type == MEMIF_MSG_DISCONNECT)) {
		if (fd >= 0)
			close(fd);
		if (c->state == MEMIF_UP)
			memif_say(&c->port->base.log, LOG_INFO, c->port->base.name, "%s is gone", c->peer);
		memif_conn_close(c, NULL);
		return;
	}
	if (rc == -EMSGSIZE)
		why = "message of a wrong size";
	else if (rc == -E2BIG)
		why = "more than one descriptor with a message";
	else if (msg.type == MEMIF_MSG_INIT && c->state == MEMIF_WAIT_INIT)
		why = on_init(c, &msg.init);
	else if (msg.type == MEMIF_MSG_ADD_REGION && c->state == MEMIF_WAIT_MEMORY)
		why = on_add_region(c, &msg.add_region, fd);
	else if (msg.type == MEMIF_MSG_ADD_RING && c->state == MEMIF_WAIT_MEMORY)
		why = on_add_ring(c, &msg.add_ring, &fd);
	else if (msg.type == MEMIF_MSG_CONNECT && c->state == MEMIF_WAIT_MEMORY)
		why = on_connect(c);
	if (fd >= 0)
		close(fd);
	if (!why)
		return;
	if (c->port)
		memif_say(&c->port->base.log, LOG_NOTICE, c->port->base.name, "%s: hung up: %s", c->peer, why);
	else
		memif_say(&c->listener->log, LOG_NOTICE, c->listener->path, "%s: hung up: %s", c->peer[0] ? c->peer : "peer", why);
	memif_conn_close(c, why);
}

/* --- strangers ----------------------------------------------------------------------------------------------------- */

void memif_server_forget(struct memif_conn *c)
{
	for (struct memif_conn **at = &c->listener->strangers; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			c->listener->n_strangers--;
			return;
		}
	}
}

static void stranger_add(struct memif_listener *l, int sock)
{
	struct memif_conn *c;

	if (l->n_strangers == MAX_STRANGERS) {
		for (c = l->strangers; c->next; c = c->next)
			;
		memif_say(&l->log, LOG_NOTICE, l->path, "too many peers that say nothing: the oldest was hung up on");
		memif_conn_close(c, "too many connections");
	}
	c = memif_conn_new(l->dp, sock, MEMIF_WAIT_INIT, server_received);
	if (!c)
		return;
	c->listener = l;
	c->next = l->strangers;
	l->strangers = c;
	l->n_strangers++;
	if (hello(c) < 0)
		memif_conn_close(c, NULL);
}

/* --- listener ------------------------------------------------------------------------------------------------------ */

static void listener_ready(void *arg, uint32_t events);

static void listener_resume(void *arg)
{
	struct memif_listener *l = arg;

	l->pause = NULL;
	if (kind_watch(l->dp, l->sock, EPOLLIN, listener_ready, l) < 0)
		l->pause = kind_timer(l->dp, PAUSE_MS, listener_resume, l);
}

static void listener_ready(void *arg, uint32_t events)
{
	struct memif_listener *l = arg;

	for (unsigned i = 0; i < ACCEPT_BURST; i++) {
		int sock = accept4(l->sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (sock >= 0) {
			stranger_add(l, sock);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The connection stays in the queue and the socket readable: look away for a while rather than spin. */
			memif_say(&l->log, LOG_WARNING, l->path, "cannot accept: %s", strerror(errno));
			l->pause = kind_timer(l->dp, PAUSE_MS, listener_resume, l);
			if (l->pause)
				kind_unwatch(l->dp, l->sock);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static struct memif_listener *listener_new(struct dp *dp, const char *path, int *rc)
{
	struct memif_listener *l = calloc(1, sizeof(*l));
	struct stat st;

	if (!l) {
		*rc = -ENOMEM;
		return NULL;
	}
	l->dp = dp;
	snprintf(l->path, sizeof(l->path), "%s", path);
	l->sock = memif_sock_listen(path);
	if (l->sock < 0) {
		*rc = l->sock;
		goto fail_listener;
	}
	if (lstat(path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	*rc = kind_watch(dp, l->sock, EPOLLIN, listener_ready, l);
	if (*rc < 0)
		goto fail_sock;
	l->next = listeners;
	listeners = l;
	return l;

fail_sock:
	close(l->sock);
	unlink(path);
fail_listener:
	free(l);
	return NULL;
}

static void listener_free(struct memif_listener *l)
{
	struct memif_listener **at = &listeners;
	struct stat st;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	while (l->strangers)
		memif_conn_close(l->strangers, "closed");
	if (l->pause)
		kind_timer_cancel(l->dp, l->pause);
	else
		kind_unwatch(l->dp, l->sock);
	close(l->sock);
	/* Somebody may have put a socket of its own there since. */
	if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	free(l);
}

int memif_server_open(struct memif_port *p)
{
	struct memif_listener *l;
	int rc = 0;

	for (l = listeners; l && strcmp(l->path, p->base.path) != 0; l = l->next)
		;
	for (struct memif_port *other = l ? l->ports : NULL; other; other = other->next) {
		if (other->id == p->id)
			return -EEXIST;
	}
	if (!l)
		l = listener_new(p->base.dp, p->base.path, &rc);
	if (!l)
		return rc;
	p->listener = l;
	p->next = l->ports;
	l->ports = p;
	return 0;
}

void memif_server_close(struct memif_port *p)
{
	struct memif_listener *l = p->listener;
	struct memif_port **at = &l->ports;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->listener = NULL;
	if (!l->ports)
		listener_free(l);
}

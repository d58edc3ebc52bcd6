/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_conn.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "memif_sock.h"

void memif_say(struct dp_log_limit *limit, int priority, const char *who, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dp_vsay(limit, priority, "memif", who, fmt, ap);
	va_end(ap);
}

/* --- birth --------------------------------------------------------------------------------------------------------- */

static void handshake_late(void *arg)
{
	struct memif_conn *c = arg;

	c->deadline = NULL;
	memif_conn_close(c, "handshake not finished in time");
}

struct memif_conn *memif_conn_new(struct dp *dp, int sock, enum memif_state state, void (*received)(void *conn, uint32_t events))
{
	struct memif_conn *c = calloc(1, sizeof(*c));

	if (!c)
		goto fail_sock;
	c->dp = dp;
	c->sock = sock;
	c->state = state;
	if (state == MEMIF_WAIT_INIT) {
		c->deadline = kind_timer(dp, MEMIF_HANDSHAKE_MS, handshake_late, c);
		if (!c->deadline)
			goto fail_conn;
	}
	if (kind_watch(dp, sock, EPOLLIN, received, c) < 0)
		goto fail_timer;
	return c;

fail_timer:
	if (c->deadline)
		kind_timer_cancel(dp, c->deadline);
fail_conn:
	free(c);
fail_sock:
	close(sock);
	return NULL;
}

int memif_conn_link(struct memif_conn *c)
{
	if (posix_memalign((void **)&c->link, RTE_CACHE_LINE_SIZE, sizeof(*c->link)) != 0) {
		c->link = NULL;
		return -ENOMEM;
	}
	memset(c->link, 0, sizeof(*c->link));
	for (unsigned q = 0; q < KIND_MAX_QUEUES; q++)
		c->link->rx[q].bell_fd = c->link->tx[q].bell_fd = -1;
	memif_shm_init(&c->link->shm, c->port->base.alarm_fd);
	return 0;
}

void memif_conn_peer(struct memif_conn *c, const char name[32])
{
	unsigned i;

	for (i = 0; i < 32 && name[i]; i++)
		c->peer[i] = isprint((unsigned char)name[i]) ? name[i] : '?';
	c->peer[i] = '\0';
}

/* --- workers come to know, and are kept out ------------------------------------------------------------------------ */

int memif_conn_up(struct memif_conn *c)
{
	struct memif_port *p = c->port;
	struct memif_link *l = c->link;
	uint16_t q;

	if (l->n_rx == 0 || l->n_tx == 0)
		return -EINVAL;
	for (q = 0; q < l->n_rx; q++) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

		l->rx[q].alarm_fd = p->base.alarm_fd;
		if (epoll_ctl(p->rxq[q].wake_fd, EPOLL_CTL_ADD, l->rx[q].bell_fd, &ev) < 0)
			goto fail;
	}
	for (uint16_t t = 0; t < l->n_tx; t++) {
		l->tx[t].alarm_fd = p->base.alarm_fd;
		l->tx[t].shared = l->n_tx < p->base.n_queues;
	}
	if (c->deadline)
		kind_timer_cancel(c->dp, c->deadline);
	c->deadline = NULL;
	c->state = MEMIF_UP;
	p->base.up = true;

	/* Release: pairs with the workers' acquire of `live`. */
	for (uint16_t r = 0; r < l->n_rx; r++)
		__atomic_store_n(&p->rxq[r].live, &l->rx[r], __ATOMIC_RELEASE);
	for (uint16_t t = 0; t < p->base.n_queues; t++)
		__atomic_store_n(&p->txq[t].live, &l->tx[t % l->n_tx], __ATOMIC_RELEASE);
	memif_say(&p->base.log, LOG_INFO, p->base.name, "connected to %s: %u receive and %u send rings of %u slots", c->peer,
		  l->n_rx, l->n_tx, l->rx[0].size);
	kind_changed(p->base.kp);
	return 0;

fail:
	while (q > 0) {
		q--;
		epoll_ctl(p->rxq[q].wake_fd, EPOLL_CTL_DEL, l->rx[q].bell_fd, NULL);
	}
	return -ENOMEM;
}

static void conn_down(struct memif_conn *c)
{
	struct memif_port *p = c->port;
	struct memif_link *l = c->link;

	p->base.up = false;
	for (uint16_t q = 0; q < p->base.n_queues; q++) {
		__atomic_store_n(&p->rxq[q].live, NULL, __ATOMIC_RELEASE);
		__atomic_store_n(&p->txq[q].live, NULL, __ATOMIC_RELEASE);
	}
	if (!p->base.closing) { /* else no worker knows the port any more */
		kind_changed(p->base.kp);
		kind_quiesce(p->base.dp);
	}
	for (uint16_t q = 0; q < l->n_rx; q++)
		epoll_ctl(p->rxq[q].wake_fd, EPOLL_CTL_DEL, l->rx[q].bell_fd, NULL);
}

static void link_free(struct memif_link *l)
{
	for (unsigned q = 0; q < KIND_MAX_QUEUES; q++) {
		if (l->rx[q].bell_fd >= 0)
			close(l->rx[q].bell_fd);
		if (l->tx[q].bell_fd >= 0)
			close(l->tx[q].bell_fd);
	}
	memif_shm_fini(&l->shm);
	free(l);
}

void memif_conn_close(struct memif_conn *c, const char *why)
{
	struct memif_port *p = c->port;

	if (why) {
		struct memif_msg msg = {.type = MEMIF_MSG_DISCONNECT};

		snprintf(msg.disconnect.reason, sizeof(msg.disconnect.reason), "%s", why);
		memif_sock_send(c->sock, &msg, -1);
	}
	kind_unwatch(c->dp, c->sock);
	close(c->sock);
	if (c->deadline)
		kind_timer_cancel(c->dp, c->deadline);
	if (c->state == MEMIF_UP)
		conn_down(c);
	if (c->link)
		link_free(c->link);
	if (!p)
		memif_server_forget(c);
	else
		p->conn = NULL;
	free(c);
	if (p && p->client && !p->base.closing)
		memif_client_retry(p, MEMIF_RETRY_MS);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "memif_sock.h"

/*
 * The handshake as client: INIT, ADD_REGION, ADD_RING for each ring of C2S and then of S2C, CONNECT. One message at a time, the
 * next when the last was acknowledged, as the servers that exist expect it. `step` numbers them.
 */
static const char *send_step(struct memif_conn *c)
{
	struct memif_port *p = c->port;
	struct memif_link *l = c->link;
	unsigned ring = c->step - 2, n_rings = (unsigned)l->n_tx + l->n_rx;
	struct memif_msg msg = {.type = MEMIF_MSG_ADD_RING};
	int fd = -1;

	if (c->step == 0) {
		msg.type = MEMIF_MSG_INIT;
		msg.init.version = MEMIF_VERSION;
		msg.init.id = p->id;
		msg.init.mode = MEMIF_MODE_ETHERNET;
		memcpy(msg.init.secret, p->secret, sizeof(msg.init.secret));
		snprintf(msg.init.name, sizeof(msg.init.name), "sluice");
	} else if (c->step == 1) {
		msg.type = MEMIF_MSG_ADD_REGION;
		msg.add_region.size = l->shm.region[0].size;
		fd = l->shm.fd;
	} else if (ring < n_rings) {
		bool c2s = ring < l->n_tx;
		uint16_t q = (uint16_t)(c2s ? ring : ring - l->n_tx);

		msg.add_ring.flags = c2s ? MEMIF_ADD_RING_C2S : 0;
		msg.add_ring.index = q;
		msg.add_ring.offset = memif_shm_own_ring_offset(&l->shm, c2s, q);
		msg.add_ring.log2_size = l->shm.log2_size;
		fd = c2s ? l->tx[q].bell_fd : l->rx[q].bell_fd;
	} else {
		msg.type = MEMIF_MSG_CONNECT;
		snprintf(msg.connect.if_name, sizeof(msg.connect.if_name), "%.31s", p->base.name);
		c->state = MEMIF_WAIT_CONNECTED;
	}
	return memif_sock_send(c->sock, &msg, fd) < 0 ? "peer does not read" : NULL;
}

static int end_make(struct memif_conn *c, bool rx, uint16_t q)
{
	struct memif_link *l = c->link;
	struct memif_end *e = rx ? &l->rx[q] : &l->tx[q];

	memif_end_init(e, &l->shm, memif_shm_own_ring(&l->shm, !rx, q), l->shm.log2_size, true, rx, q);
	e->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return e->bell_fd < 0 ? -errno : 0;
}

static const char *on_hello(struct memif_conn *c, const struct memif_hello *h)
{
	struct memif_port *p = c->port;
	struct memif_link *l;

	memif_conn_peer(c, h->name);
	if (h->min_version > MEMIF_VERSION || h->max_version < MEMIF_VERSION)
		return "version: it does not speak 2.0";
	if (memif_conn_link(c) < 0)
		return "out of memory";
	l = c->link;
	l->n_tx = (uint16_t)RTE_MIN((uint32_t)p->base.n_queues, h->max_c2s_ring + 1u);
	l->n_rx = (uint16_t)RTE_MIN((uint32_t)p->base.n_queues, h->max_s2c_ring + 1u);
	if (h->max_log2_ring_size < 1)
		return "ring size: none";
	if (memif_shm_create(&l->shm, l->n_tx, l->n_rx, RTE_MIN(p->log2_ring, h->max_log2_ring_size), MEMIF_BUFFER) < 0)
		return "out of memory";
	for (uint16_t q = 0; q < l->n_tx; q++) {
		if (end_make(c, false, q) < 0)
			return "out of descriptors";
	}
	for (uint16_t q = 0; q < l->n_rx; q++) {
		if (end_make(c, true, q) < 0)
			return "out of descriptors";
	}
	c->state = MEMIF_WAIT_ACK;
	return send_step(c);
}

static const char *on_connected(struct memif_conn *c)
{
	struct memif_link *l = c->link;

	/* Only now: the server has reset the indices on its way here. */
	for (uint16_t q = 0; q < l->n_tx; q++)
		memif_end_offer(&l->tx[q], false);
	for (uint16_t q = 0; q < l->n_rx; q++)
		memif_end_offer(&l->rx[q], true);
	return memif_conn_up(c) < 0 ? "out of descriptors" : NULL;
}

static void client_received(void *arg, uint32_t events)
{
	struct memif_conn *c = arg;
	const char *why = "message out of turn";
	char said[sizeof(((struct memif_disconnect *)0)->reason) + 16];
	struct memif_msg msg;
	int fd, rc;

	rc = memif_sock_recv(c->sock, &msg, &fd);
	if (rc == -EAGAIN)
		return;
	if (rc == -ECONNRESET) {
		memif_say(&c->port->base.log, LOG_INFO, c->port->base.name, "%s is gone", c->peer[0] ? c->peer : "server");
		memif_conn_close(c, NULL);
		return;
	}
	if (fd >= 0)
		close(fd); /* a server has none to give */
	if (rc == -EMSGSIZE) {
		why = "message of a wrong size";
	} else if (rc == -E2BIG) {
		why = "descriptors from a server";
	} else if (msg.type == MEMIF_MSG_HELLO && c->state == MEMIF_WAIT_HELLO) {
		why = on_hello(c, &msg.hello);
	} else if (msg.type == MEMIF_MSG_ACK && c->state == MEMIF_WAIT_ACK) {
		c->step++;
		why = send_step(c);
	} else if (msg.type == MEMIF_MSG_CONNECTED && c->state == MEMIF_WAIT_CONNECTED) {
		why = on_connected(c);
	} else if (msg.type == MEMIF_MSG_DISCONNECT) {
		for (char *at = msg.disconnect.reason; at < msg.disconnect.reason + sizeof(msg.disconnect.reason) && *at; at++) {
			if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
				*at = '?';
		}
		snprintf(said, sizeof(said), "it says: %.*s", (int)sizeof(msg.disconnect.reason), msg.disconnect.reason);
		why = said;
	}
	if (!why)
		return;
	memif_say(&c->port->base.log, LOG_NOTICE, c->port->base.name, "%s: hung up: %s", c->peer[0] ? c->peer : "server", why);
	memif_conn_close(c, why);
}

static void client_try(void *arg)
{
	struct memif_port *p = arg;
	int sock = memif_sock_connect(p->base.path);

	p->retry = NULL;
	if (sock >= 0) {
		struct memif_conn *c = memif_conn_new(p->base.dp, sock, MEMIF_WAIT_HELLO, client_received);

		if (c) {
			c->port = p;
			p->conn = c;
			return;
		}
	} else if (sock != -ENOENT && sock != -ECONNREFUSED && sock != -EAGAIN) {
		memif_say(&p->base.log, LOG_WARNING, p->base.name, "cannot connect to %s: %s", p->base.path, strerror(-sock));
	}
	memif_client_retry(p, MEMIF_RETRY_MS);
}

int memif_client_retry(struct memif_port *p, unsigned delay_ms)
{
	p->retry = kind_timer(p->base.dp, delay_ms, client_try, p);
	if (!p->retry)
		memif_say(&p->base.log, LOG_ERR, p->base.name, "out of memory: it will not be connected again");
	return p->retry ? 0 : -ENOMEM;
}

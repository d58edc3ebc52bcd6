/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_kind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_common.h>

#include "log.h"
#include "memif_conn.h"

#define RING_MIN 64
#define RING_MAX (1 << MEMIF_MAX_LOG2_RING)

_Static_assert(offsetof(struct memif_port, base) == 0, "see peer_port.h");

static int memif_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	int rc = peer_port_validate(conf, err);

	if (rc < 0)
		return rc;
	if (!memchr(conf->secret, '\0', sizeof(conf->secret)))
		return dp_fail(err, -EINVAL, "too-long", "secret", NULL, "secret is longer than 24 bytes");
	if (conf->ring && (conf->ring < RING_MIN || conf->ring > RING_MAX || !rte_is_power_of_2(conf->ring)))
		return dp_fail(err, -EINVAL, "out-of-range", "ring", NULL, "ring %u: a power of two from 64 to 16384", conf->ring);
	if (conf->ifname[0])
		return dp_fail(err, -EINVAL, "not-here", "ifname", NULL, "memif has no ifname: it is a socket at a path");
	if (conf->devargs[0])
		return dp_fail(err, -EINVAL, "not-here", "devargs", NULL, "memif has no devargs: it is not a DPDK driver");
	return 0;
}

/* A worker cannot send any more, or memory was taken away. */
static void on_alarm(void *arg, uint32_t events)
{
	struct memif_port *p = arg;
	struct memif_conn *c = p->conn;
	const char *why = NULL;
	uint64_t n;

	if (read(p->base.alarm_fd, &n, sizeof(n)) < 0 || !c || c->state != MEMIF_UP)
		return;
	for (uint16_t q = 0; q < c->link->n_tx; q++) {
		if (__atomic_load_n(&c->link->tx[q].broken, __ATOMIC_ACQUIRE))
			why = "its index of a ring is impossible";
	}
	if (memif_shm_lost(&c->link->shm))
		why = "it took away memory that it had shared";
	if (!why)
		return; /* of a connection that is closed already */
	memif_say(&p->base.log, LOG_WARNING, p->base.name, "%s: hung up: %s", c->peer, why);
	memif_conn_close(c, why);
}

static void queues_free(struct memif_port *p)
{
	for (uint16_t q = 0; p->rxq && q < p->base.n_queues; q++) {
		if (p->rxq[q].wake_fd >= 0)
			close(p->rxq[q].wake_fd);
	}
	free(p->rxq);
	free(p->txq);
}

static int queues_make(struct memif_port *p, struct rte_mempool *pool)
{
	p->rxq = peer_queues_new(&p->base, sizeof(p->rxq[0]));
	p->txq = peer_queues_new(&p->base, sizeof(p->txq[0]));
	for (uint16_t q = 0; p->rxq && q < p->base.n_queues; q++)
		p->rxq[q].wake_fd = -1;
	if (!p->rxq || !p->txq)
		return -ENOMEM;
	for (uint16_t q = 0; q < p->base.n_queues; q++) {
		struct memif_queue *rx = &p->rxq[q];

		frame_source_init(&rx->source, pool);
		rx->wake_fd = epoll_create1(EPOLL_CLOEXEC);
		if (rx->wake_fd < 0)
			return -errno;
	}
	return 0;
}

static int memif_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		      struct dp_error *err)
{
	struct memif_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	snprintf(p->secret, sizeof(p->secret), "%s", conf->secret);
	p->id = conf->id;
	p->client = conf->client;
	p->log2_ring = (uint8_t)rte_log2_u32(conf->ring ? conf->ring : MEMIF_RING);
	rc = peer_port_open(&p->base, kp, env, conf, n_queues, on_alarm, err);
	if (rc < 0)
		goto fail_port;
	rc = queues_make(p, env->pool);
	if (rc < 0) {
		dp_fail(err, rc, "no-resources", NULL, NULL, "queues: %s", strerror(-rc));
		goto fail_queues;
	}
	peer_port_tell(&p->base, p->rxq, p->txq, sizeof(p->rxq[0]));
	kp->rx = p->client ? memif_rx_client : memif_rx_server;
	kp->tx = p->client ? memif_tx_client : memif_tx_server;

	rc = p->client ? memif_client_retry(p, 0) : memif_server_open(p);
	if (rc == -EEXIST)
		dp_fail(err, rc, "in-use", "id", "another id, or another path", "id %u is taken on %s", p->id, p->base.path);
	else if (rc < 0)
		peer_port_fail(&p->base, rc, err);
	if (rc < 0)
		goto fail_queues;
	return 0;

fail_queues:
	queues_free(p);
	peer_port_close(&p->base);
fail_port:
	free(p);
	return rc;
}

static void memif_close(struct kind_port *kp)
{
	struct memif_port *p = kp->priv;

	p->base.closing = true;
	if (p->conn)
		memif_conn_close(p->conn, "closed");
	if (p->retry)
		kind_timer_cancel(p->base.dp, p->retry);
	if (p->listener)
		memif_server_close(p);
	queues_free(p);
	peer_port_close(&p->base);
	free(p);
}

static int memif_rx_fd(struct kind_port *kp, uint16_t q)
{
	struct memif_port *p = kp->priv;

	return p->rxq[q].wake_fd;
}

static void memif_lost(struct kind_port *kp, struct kind_lost *out)
{
	peer_port_lost(kp, offsetof(struct memif_queue, lost), out);
}

const struct port_kind memif_kind = {
	.name = "memif",
	.validate = memif_validate,
	.open = memif_open,
	.close = memif_close,
	.link_up = peer_port_link_up,
	.rx_fd = memif_rx_fd,
	.rx_arm = memif_rx_arm,
	.rx_disarm = memif_rx_disarm,
	.lost = memif_lost,
};

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_MEMIF_ENV_H
#define TEST_MEMIF_ENV_H

/* memif ports on test_kind_env.h. */

#include "test_kind_env.h"

#include "memif/memif_kind.h"
#include "memif/memif_proto.h"
#include "memif/memif_sock.h"

static inline int port_try(struct kind_port *kp, struct dp_port_conf conf, uint16_t n_queues, struct dp_error *err)
{
	struct kind_env env = {.pool = pool};

	memset(kp, 0, sizeof(*kp));
	if (!conf.name[0])
		snprintf(conf.name, sizeof(conf.name), conf.client ? "client" : "server");
	if (!conf.path[0])
		snprintf(conf.path, sizeof(conf.path), "%s", sock_path("a.sock"));
	return memif_kind.open(kp, &env, &conf, n_queues, err);
}

static inline void port_open(struct kind_port *kp, struct dp_port_conf conf)
{
	struct dp_error err = {0};

	if (port_try(kp, conf, conf.queues ? conf.queues : 1, &err) < 0)
		fail_msg("open: %s", err.msg);
}

static inline bool is_up(struct kind_port *kp)
{
	return memif_kind.link_up(kp);
}

static inline struct kind_lost lost_of(struct kind_port *kp)
{
	struct kind_lost lost;

	memif_kind.lost(kp, &lost);
	return lost;
}

struct pair {
	struct kind_port server, client;
};

/* Both ends, connected. */
static inline void pair_open(struct pair *p, uint16_t ring, uint16_t queues)
{
	port_open(&p->server, (struct dp_port_conf){.queues = queues});
	port_open(&p->client, (struct dp_port_conf){.client = true, .ring = ring, .queues = queues});
	WAIT_FOR(is_up(&p->server) && is_up(&p->client));
}

static inline void pair_close(struct pair *p)
{
	memif_kind.close(&p->client);
	memif_kind.close(&p->server);
	loop_idle();
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static inline uint16_t port_rx(struct kind_port *kp, struct rte_mbuf **m, uint16_t n)
{
	return kp->rx(kp->rxq[0], m, n);
}

static inline uint16_t port_tx(struct kind_port *kp, struct rte_mbuf **m, uint16_t n)
{
	return kp->tx(kp->txq[0], m, n);
}

/* Send one frame and expect it at the other end. */
static inline void pass_frame(struct kind_port *from, struct kind_port *to, uint32_t seed, uint32_t len, uint32_t seg)
{
	struct rte_mbuf *m = frame_new(seed, len, seg);

	assert_int_equal(port_tx(from, &m, 1), 1);
	assert_int_equal(port_rx(to, &m, 1), 1);
	frame_expect(m, seed, len);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PEER_PORT_H
#define DATAPLANE_PEER_PORT_H

/*
 * What the ports have in common whose peer comes and goes at a Unix socket and shares memory (memif, vhost-user).
 *
 *      struct memif_port, vhost_port      the kind's own: connection, messages
 *        `-- base: struct peer_port       first, so that kind_port.priv is one, too: who and where we are, the alarm, the queues' numbers
 *              `-- kp->rxq[], kp->txq[]   places in two arrays of the kind's own queue type, which live as long as the port
 *
 * The alarm. A worker that finds a ring broken, and the guard (guard.h) that finds memory gone, may do nothing about it themselves: they add to
 * an eventfd, and the kind's callback on the control thread looks for what is wrong and hangs up.
 *
 * Control thread only.
 */

#include <stddef.h>

#include "kind.h"
#include "log.h"

struct peer_port {
	struct kind_port *kp;
	struct dp *dp;
	char name[DP_NAME_MAX], path[108];
	uint16_t n_queues;
	bool up;      /* a peer is there, and all that it needs */
	bool closing; /* no worker knows the port any more, and nobody is to be connected */
	int alarm_fd;
	struct dp_log_limit log;
};

/* Attributes that all such kinds have: path, queues. 0, or -errno with *err filled. */
int peer_port_validate(const struct dp_port_conf *conf, struct dp_error *err);

/*
 * Fill *p, which is all zero, and watch the alarm: on_alarm(p, events) is called when there was one, and reads alarm_fd. 0, or -errno with *err filled
 * and nothing left behind.
 */
int peer_port_open(struct peer_port *p, struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf,
		   uint16_t n_queues, void (*on_alarm)(void *arg, uint32_t events), struct dp_error *err);
/* Undo that. The port itself is the caller's. */
void peer_port_close(struct peer_port *p);

/* n_queues queues of `size` bytes each, all zero, each on cache lines of its own if its type asks for that. NULL: out of memory. free(). */
void *peer_queues_new(const struct peer_port *p, size_t size);
/* The socket cannot be listened on or looked for: rc, which is what the system said, with *err filled. */
int peer_port_fail(const struct peer_port *p, int rc, struct dp_error *err);
/* Tell the switch of the queues, of `size` bytes each, and what holds for all such kinds. The burst functions are the caller's. */
void peer_port_tell(struct peer_port *p, void *rxq, void *txq, size_t size);

/* For the kinds' rows. `at`: where a queue's struct kind_lost lies in it. */
bool peer_port_link_up(struct kind_port *kp);
void peer_port_lost(struct kind_port *kp, size_t at, struct kind_lost *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_PORT_H
#define DATAPLANE_VHOST_PORT_H

/*
 * A port of the kind vhost-user: the switch's queues, which live as long as it does, and the device behind the connection, if there is one.
 *
 *      rxq[n] <--- ring 2n + 1, which the guest transmits by       txq[t] ---> the (t mod running)th ring 2n that the guest receives by
 *
 * Control thread, but for the queues' own parts.
 */

#include "peer_port.h"
#include "vhost_dev.h"

struct vhost_port {
	struct peer_port base;
	bool server;
	uint16_t mtu;
	struct vhost_queue *rxq, *txq; /* [base.n_queues] */

	/* vhost_conn.c's */
	int listener; /* -1: client */
	int sock;     /* -1: nobody is connected, and `dev` is empty */
	struct kind_timer *retry;
	bool punished;	      /* the last connection ended by a fault */
	struct vhost_msg msg; /* that is arriving: `have` bytes of it */
	unsigned have, n_fds;
	int fds[VHOST_TABLE_REGIONS];

	struct vhost_dev dev;
	/* vhost_port.c's */
	struct vhost_vq *vq[VHOST_MAX_VRINGS]; /* that run */
	bool dirty;

	uint64_t connects, faults[VHOST_FAULT_N];
	struct dp_log_limit fault_log; /* why somebody was hung up on is not silenced by comings and goings */
};

extern const struct vhost_ops vhost_port_ops;

/* Queues with nothing behind them. 0 or -errno; what was made is vhost_port_queues_free()'s also then. */
int vhost_port_queues_new(struct vhost_port *p, struct rte_mempool *pool);
void vhost_port_queues_free(struct vhost_port *p);

/* vhost_conn.c: listen, or begin to connect. 0 or -errno. */
int vhost_conn_open(struct vhost_port *p);
/* End the connection and do not make another. */
void vhost_conn_close(struct vhost_port *p);
/* peer_port.h's alarm. */
void vhost_conn_alarm(void *arg, uint32_t events);

/* A line in the log about the port, under its limit. */
void vhost_say(struct vhost_port *p, int priority, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

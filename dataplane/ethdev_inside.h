/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_ETHDEV_INSIDE_H
#define DATAPLANE_ETHDEV_INSIDE_H

/*
 * What the rows that are ethdevs share (ethdev.h): a device's life from its arguments to its removal. A row of a file of its own
 * (vhost_net.c) makes a struct ethdev, says in it what is special, and opens it.
 *
 * Control thread, but for what a worker calls through the row.
 */

#include "ethdev.h"
#include "xsk.h"

/* af-xdp: a receive queue in front of the driver's. */
struct xsk_queue {
	kind_burst rx;
	void *queue;
	struct rte_mempool *pool;
	uint64_t no_buffer;
};

struct ethdev {
	uint16_t id;
	struct rte_device *device;
	struct rte_mempool *own_pool;
	struct xsk_set xsk;	      /* what the AF_XDP driver opened */
	int intr_fd[KIND_MAX_QUEUES]; /* what the driver tells, -1: nothing */
	bool intr[KIND_MAX_QUEUES];   /* the driver wants rte_eth_dev_rx_intr_enable() */
	bool bell[KIND_MAX_QUEUES];   /* the descriptor is an eventfd, which drivers leave to others to read */
	struct xsk_queue xq[KIND_MAX_QUEUES];
	struct kind_lost told; /* by the driver, when it was last asked */
	unsigned ifindex;      /* af-xdp: the netdev, for the driver says that its link is up whatever becomes of it */

	/* What a row may ask for before it opens the device. */
	bool requests;	    /* frames of 64 KB to be segmented and unfinished checksums cross in both directions */
	bool early_cleanup; /* sent buffers come back when 32 slots wait for it, not when the ring is full */
	void *row;	    /* its own, from the heap; freed with the device */
};

/* Put a new one into kp->priv. NULL with *err: no memory. */
struct ethdev *ethdev_new(struct kind_port *kp, struct dp_error *err);
/* A number that no other device of this process had: for its name. */
unsigned ethdev_unit(void);
/*
 * Load the driver (NULL: it is there), plug the device in, configure and start it, fill kp. 0, or -errno with *err and nothing left of it, kp->priv
 * neither.
 */
int ethdev_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		const char *driver, const char *devargs, struct dp_error *err);

/* The callbacks of kind.h. */
void ethdev_close(struct kind_port *kp);
int ethdev_set_mtu(struct kind_port *kp, uint16_t mtu);
int ethdev_rx_fd(struct kind_port *kp, uint16_t q);
int ethdev_rx_arm(struct kind_port *kp, uint16_t q);
void ethdev_rx_disarm(struct kind_port *kp, uint16_t q);
void ethdev_rx_woke(struct kind_port *kp, uint16_t q);
void ethdev_lost(struct kind_port *kp, struct kind_lost *out);

#endif

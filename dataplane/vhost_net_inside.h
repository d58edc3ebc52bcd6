/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_NET_INSIDE_H
#define DATAPLANE_VHOST_NET_INSIDE_H

/*
 * What stands between the switch and the virtio_user driver's burst functions: requests, see vhost_net.h. For its tests, too, which put
 * something else in the driver's place.
 */

#include "kind.h"

/* In front of one queue pair of the driver's. */
struct vhost_net_queue {
	kind_burst rx, tx;
	void *rxq, *txq;
	struct rte_mempool *pool;
	uint64_t malformed, tx_error;
};

/* As many queue pairs as the driver has for a port that wants so many: 1-8. */
uint16_t vhost_net_queues(uint16_t wanted);

/* kind.h's bursts on a struct vhost_net_queue. */
uint16_t vhost_net_rx(void *queue, struct rte_mbuf **frames, uint16_t n);
uint16_t vhost_net_tx(void *queue, struct rte_mbuf **frames, uint16_t n);

#endif

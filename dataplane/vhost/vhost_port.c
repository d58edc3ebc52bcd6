/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_port.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_arp.h>
#include <rte_ether.h>

int vhost_port_queues_new(struct vhost_port *p, struct rte_mempool *pool)
{
	p->rxq = peer_queues_new(&p->base, sizeof(p->rxq[0]));
	p->txq = peer_queues_new(&p->base, sizeof(p->txq[0]));
	for (uint16_t i = 0; p->rxq && i < p->base.n_queues; i++)
		p->rxq[i].wake_fd = -1;
	if (!p->rxq || !p->txq)
		return -ENOMEM;
	for (uint16_t i = 0; i < p->base.n_queues; i++) {
		frame_source_init(&p->rxq[i].source, pool);
		p->rxq[i].wake_fd = epoll_create1(EPOLL_CLOEXEC);
		if (p->rxq[i].wake_fd < 0)
			return -errno;
	}
	return 0;
}

void vhost_port_queues_free(struct vhost_port *p)
{
	for (uint16_t i = 0; p->rxq && i < p->base.n_queues; i++) {
		if (p->rxq[i].wake_fd >= 0)
			close(p->rxq[i].wake_fd);
		rte_pktmbuf_free(p->rxq[i].inject);
	}
	free(p->rxq);
	free(p->txq);
}

static void quiesce(void *arg)
{
	struct vhost_port *p = arg;

	/* A port that is closing is known to no worker. */
	if (!p->base.closing)
		kind_quiesce(p->base.dp);
}

/* --- the guest transmits by odd rings ------------------------------------------------------------------------------------- */

static void rx_up(struct vhost_port *p, struct vhost_queue *q, struct vhost_vq *vq)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

	if (vq->kick_fd >= 0 && epoll_ctl(q->wake_fd, EPOLL_CTL_ADD, vq->kick_fd, &ev) < 0) {
		vhost_say(p, LOG_WARNING, "cannot wait for kicks (%s): polled on a timer when idle", strerror(errno));
		vq->kick_fd = -1;
	}
	/* Release: pairs with the worker's acquire of `live`. */
	__atomic_store_n(&q->live, vq, __ATOMIC_RELEASE);
}

static void rx_down(struct vhost_queue *q, const struct vhost_vq *vq)
{
	__atomic_store_n(&q->live, NULL, __ATOMIC_RELEASE);
	if (vq->kick_fd >= 0)
		epoll_ctl(q->wake_fd, EPOLL_CTL_DEL, vq->kick_fd, NULL);
}

/* --- and receives by even ones, which our queues share as they are there ------------------------------------------------------ */

static void tx_down(struct vhost_port *p, const struct vhost_vq *vq)
{
	for (uint16_t t = 0; t < p->base.n_queues; t++) {
		if (p->txq[t].live == vq)
			__atomic_store_n(&p->txq[t].live, NULL, __ATOMIC_RELEASE);
	}
}

/* Do our queues stand as they would if they were spread anew? */
static bool tx_is_spread(const struct vhost_port *p, struct vhost_vq *const *running, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (running[i]->shared != (n < p->base.n_queues))
			return false;
	}
	for (uint16_t t = 0; t < p->base.n_queues; t++) {
		if (p->txq[t].live != (n ? running[t % n] : NULL))
			return false;
	}
	return true;
}

/* Whether a ring is shared may only change while nobody is in it. */
static void tx_spread(struct vhost_port *p)
{
	struct vhost_vq *running[KIND_MAX_QUEUES];
	unsigned n = 0;
	bool busy = false;

	for (unsigned i = 0; i < p->base.n_queues; i++) {
		if (p->vq[2 * i])
			running[n++] = p->vq[2 * i];
	}
	if (tx_is_spread(p, running, n))
		return;
	for (uint16_t t = 0; t < p->base.n_queues; t++) {
		busy |= p->txq[t].live != NULL;
		__atomic_store_n(&p->txq[t].live, NULL, __ATOMIC_RELEASE);
	}
	if (busy)
		quiesce(p);
	for (unsigned i = 0; i < n; i++)
		running[i]->shared = n < p->base.n_queues;
	for (uint16_t t = 0; n && t < p->base.n_queues; t++)
		__atomic_store_n(&p->txq[t].live, running[t % n], __ATOMIC_RELEASE);
}

/* --- vhost_dev.h's ops -------------------------------------------------------------------------------------------------------- */

static void ring_up(void *arg, unsigned ring, struct vhost_vq *vq)
{
	struct vhost_port *p = arg;

	p->vq[ring] = vq;
	p->dirty = true;
	if (ring & 1)
		rx_up(p, &p->rxq[ring / 2], vq);
}

static void ring_down(void *arg, unsigned ring)
{
	struct vhost_port *p = arg;

	if (ring & 1)
		rx_down(&p->rxq[ring / 2], p->vq[ring]);
	else
		tx_down(p, p->vq[ring]);
	p->vq[ring] = NULL;
	p->dirty = true;
}

/* By a ring that several of our queues share, one of them would begin anew while another is still in the old vq. */
static bool ring_swap(void *arg, unsigned ring, struct vhost_vq *vq)
{
	struct vhost_port *p = arg;

	if (p->vq[ring]->shared)
		return false;
	for (uint16_t t = 0; t < p->base.n_queues; t++) {
		if (p->txq[t].live == p->vq[ring])
			__atomic_store_n(&p->txq[t].live, vq, __ATOMIC_RELEASE);
	}
	p->vq[ring] = vq;
	p->dirty = true;
	return true;
}

static void changed(void *arg)
{
	struct vhost_port *p = arg;
	bool up = false;

	if (!p->dirty)
		return;
	p->dirty = false;
	tx_spread(p);
	for (unsigned i = 0; i < p->base.n_queues; i++)
		up |= p->vq[2 * i] && p->vq[2 * i + 1] && vhost_vq_enabled(p->vq[2 * i + 1]);
	p->base.up = up;
	p->base.kp->caps = vhost_caps(p->dev.features);
	if (!p->base.closing)
		kind_changed(p->base.kp);
}

/*
 * A reverse ARP request (RFC 903), as a machine sends that has just come up: everybody learns where the address is now. It is received by
 * the worker of the first queue like any frame of the guest's.
 */
_Static_assert(sizeof(struct rte_ether_hdr) + sizeof(struct rte_arp_hdr) + 18 == 60, "a frame of the shortest length");

static void announce(void *arg, const uint8_t mac[6])
{
	struct {
		struct rte_ether_hdr eth;
		struct rte_arp_hdr arp;
		uint8_t pad[18];
	} frame = {0};
	struct vhost_port *p = arg;
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->rxq[0].source.pool), *old;
	char *data = m ? rte_pktmbuf_append(m, sizeof(frame)) : NULL;

	if (!data) {
		rte_pktmbuf_free(m);
		vhost_say(p, LOG_WARNING, "no packet buffer to announce the guest with");
		return;
	}
	memset(&frame.eth.dst_addr, 0xff, RTE_ETHER_ADDR_LEN);
	memcpy(&frame.eth.src_addr, mac, RTE_ETHER_ADDR_LEN);
	frame.eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_RARP);
	frame.arp.arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
	frame.arp.arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	frame.arp.arp_hlen = RTE_ETHER_ADDR_LEN;
	frame.arp.arp_plen = 4;
	frame.arp.arp_opcode = RTE_BE16(RTE_ARP_OP_REVREQUEST);
	memcpy(&frame.arp.arp_data.arp_sha, mac, RTE_ETHER_ADDR_LEN);
	memcpy(&frame.arp.arp_data.arp_tha, mac, RTE_ETHER_ADDR_LEN);
	memcpy(data, &frame, sizeof(frame));
	old = __atomic_exchange_n(&p->rxq[0].inject, m, __ATOMIC_ACQ_REL);
	rte_pktmbuf_free(old);
	kind_changed(p->base.kp);
}

static bool mtu(void *arg, uint16_t mtu)
{
	struct vhost_port *p = arg;

	if (mtu < DP_MTU_MIN || mtu > DP_MTU_MAX)
		return false;
	if (mtu > p->mtu)
		vhost_say(p, LOG_WARNING, "the guest was given an MTU of %u, and the port has %u: longer frames to it are dropped",
			  mtu, p->mtu);
	return true;
}

const struct vhost_ops vhost_port_ops = {
	.ring_up = ring_up,
	.ring_down = ring_down,
	.quiesce = quiesce,
	.ring_swap = ring_swap,
	.changed = changed,
	.announce = announce,
	.mtu = mtu,
};

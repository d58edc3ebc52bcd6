/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <linux/if_packet.h>
#include <rte_ether.h>
#include <rte_memcpy.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "packet/packet.h"
#include "vnet.h"

#define MAX_SEGS   64 /* of the longest frame, with buffers of 1 KiB or more */
#define IDLE_WAKES 32

/* One writer; the control thread reads. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static struct tpacket2_hdr *slot(const struct packet_rxq *q, uint32_t i)
{
	return (struct tpacket2_hdr *)(q->ring + (size_t)(i & q->mask) * PACKET_SLOT);
}

/* Acquire: pairs with the kernel's write barrier between a slot's content and its status. */
static uint32_t status_of(const struct tpacket2_hdr *h)
{
	return __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
}

bool packet_rx_ready(const struct packet_rxq *q)
{
	return status_of(slot(q, __atomic_load_n(&q->head, __ATOMIC_RELAXED))) & TP_STATUS_USER;
}

void packet_rx_woken(struct packet_rxq *q)
{
	int error;
	socklen_t len = sizeof(error);

	/*
	 * A netdev that goes down or away leaves an error on the socket, which makes the descriptor ready until somebody
	 * fetches it. Fetching it here at every wake-up would be a system call for each idle port of the worker; nobody
	 * fetching it would be a loop. The control thread cannot: its notice of the event may come before the error is set.
	 */
	if (packet_rx_ready(q)) {
		q->idle_wakes = 0;
	} else if (++q->idle_wakes >= IDLE_WAKES) {
		q->idle_wakes = 0;
		getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	}
}

/* The error of a netdev that went down in between is not about this frame. It is cleared by being reported. */
static ssize_t receive(int fd, struct msghdr *msg)
{
	ssize_t got;
	int tries = 3;

	do {
		got = recvmsg(fd, msg, MSG_DONTWAIT | MSG_TRUNC);
	} while (got < 0 && (errno == ENETDOWN || errno == EINTR) && --tries);
	return got;
}

/* Take the next long frame off the socket and forget it: it must not stay before the one that the next slot speaks of. */
static void discard(struct packet_rxq *q)
{
	struct virtio_net_hdr vh;
	struct iovec iov = {&vh, sizeof(vh)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	receive(q->fd, &msg);
}

/* A frame that did not fit its slot and waits on the socket: into a chain, first segment filled first. */
static struct rte_mbuf *take_long(struct packet_rxq *q, uint32_t len, struct virtio_net_hdr *vh)
{
	uint32_t room = rte_pktmbuf_data_room_size(q->pool) - RTE_PKTMBUF_HEADROOM, left = len;
	uint32_t n = (len + room - 1) / room;
	struct rte_mbuf *segs[MAX_SEGS];
	struct iovec iov[1 + MAX_SEGS];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1 + n};

	if (len > PACKET_MAX_FRAME || n > MAX_SEGS) {
		count(&q->truncated);
		discard(q);
		return NULL;
	}
	if (rte_pktmbuf_alloc_bulk(q->pool, segs, n)) {
		count(&q->no_buffer);
		discard(q);
		return NULL;
	}
	iov[0] = (struct iovec){vh, sizeof(*vh)};
	for (uint32_t i = 0; i < n; i++) {
		segs[i]->data_len = RTE_MIN(left, room);
		segs[i]->next = i + 1 < n ? segs[i + 1] : NULL;
		left -= segs[i]->data_len;
		iov[1 + i] = (struct iovec){rte_pktmbuf_mtod(segs[i], void *), segs[i]->data_len};
	}
	segs[0]->nb_segs = n;
	segs[0]->pkt_len = len;
	if (receive(q->fd, &msg) != (ssize_t)(len + sizeof(*vh))) {
		count(&q->error);
		rte_pktmbuf_free(segs[0]);
		return NULL;
	}
	return segs[0];
}

static struct rte_mbuf *take_short(struct packet_rxq *q, const struct tpacket2_hdr *h, struct virtio_net_hdr *vh)
{
	const uint8_t *frame = (const uint8_t *)h + h->tp_mac;
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->pool);
	uint8_t *to;

	if (unlikely(!m)) {
		count(&q->no_buffer);
		return NULL;
	}
	to = (uint8_t *)rte_pktmbuf_append(m, h->tp_snaplen);
	if (unlikely(!to)) {
		count(&q->truncated);
		rte_pktmbuf_free(m);
		return NULL;
	}
	memcpy(vh, frame - sizeof(*vh), sizeof(*vh));
	rte_memcpy(to, frame, h->tp_snaplen);
	return m;
}

/* The tag that the kernel holds beside the frame. false: there is no Ethernet header to put it into. */
static bool give_tag(struct rte_mbuf *m, const struct tpacket2_hdr *h, uint32_t status)
{
	uint16_t tpid = status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : RTE_ETHER_TYPE_VLAN;
	uint8_t *p;

	if (likely(tpid == RTE_ETHER_TYPE_VLAN)) {
		m->vlan_tci = h->tp_vlan_tci;
		m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
		return true;
	}
	if (m->data_len < RTE_ETHER_HDR_LEN)
		return false;
	p = (uint8_t *)rte_pktmbuf_prepend(m, RTE_VLAN_HLEN);
	if (!p)
		return false;
	memmove(p, p + RTE_VLAN_HLEN, 2 * RTE_ETHER_ADDR_LEN);
	p[12] = tpid >> 8;
	p[13] = tpid;
	p[14] = h->tp_vlan_tci >> 8;
	p[15] = h->tp_vlan_tci;
	if (m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK)
		m->l2_len += RTE_VLAN_HLEN;
	return true;
}

/* The frame of a slot, or NULL with the loss counted. */
static struct rte_mbuf *take(struct packet_rxq *q, const struct tpacket2_hdr *h, uint32_t status)
{
	struct virtio_net_hdr vh;
	struct rte_mbuf *m;

	if (unlikely(status & TP_STATUS_COPY)) {
		m = take_long(q, h->tp_len, &vh);
	} else if (unlikely(h->tp_snaplen < h->tp_len)) {
		count(&q->truncated);
		return NULL;
	} else {
		m = take_short(q, h, &vh);
	}
	if (unlikely(!m))
		return NULL;
	if (unlikely(vnet_to_mbuf(&vh, m)) || (status & TP_STATUS_VLAN_VALID && !give_tag(m, h, status))) {
		count(&q->malformed);
		rte_pktmbuf_free(m);
		return NULL;
	}
	return m;
}

uint16_t packet_rx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct packet_rxq *q = queue;
	uint16_t got = 0;

	/* Slots looked at are bounded, not frames delivered: a sender of junk must not hold the worker here. */
	for (uint16_t i = 0; i < n; i++) {
		struct tpacket2_hdr *h = slot(q, q->head);
		uint32_t status = status_of(h);

		if (!(status & TP_STATUS_USER))
			break;
		rte_prefetch0(slot(q, q->head + 1));
		frames[got] = take(q, h, status);
		got += frames[got] != NULL;
		/* Release: the copy out of the slot is complete before the kernel may fill it again. */
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		__atomic_store_n(&q->head, q->head + 1, __ATOMIC_RELAXED); /* packet_queue_stuck() looks */
	}
	return got;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_net.h>

#include <urcu/system.h>

#include "vhost_net_inside.h"
#include "vnet.h"

/* --- receiving ---------------------------------------------------------------------------------------------------------- */

/* From the header that the kernel wrote, and in place of what the driver made of it. */
static int request(struct rte_mbuf *m, const struct virtio_net_hdr *vh)
{
	bool named = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_NONE;

	m->ol_flags = 0;
	m->packet_type = 0;
	m->tx_offload = 0;
	if (named || vh->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return vnet_to_mbuf(vh, m);
	if (vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && m->nb_segs > 1)
		return vnet_csum_rest(m, vh->csum_start, vh->csum_offset);
	return 0;
}

uint16_t vhost_net_rx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_net_queue *q = queue;
	uint16_t got = q->rx(q->rxq, frames, n), kept = 0;

	for (uint16_t i = 0; i < got; i++) {
		struct rte_mbuf *m = frames[i];
		const struct virtio_net_hdr *vh =
			rte_pktmbuf_mtod_offset(m, const struct virtio_net_hdr *, -(int)sizeof(struct virtio_net_hdr_mrg_rxbuf));

		if (likely(!vh->flags && vh->gso_type == VIRTIO_NET_HDR_GSO_NONE) || request(m, vh) == 0) {
			frames[kept++] = m;
		} else {
			CMM_STORE_SHARED(q->malformed, q->malformed + 1);
			rte_pktmbuf_free(m);
		}
	}
	return kept;
}

/* --- sending ------------------------------------------------------------------------------------------------------------ */

/* May the frame's byte be written? It may if nobody else has its buffer. */
static bool is_own(const struct rte_mbuf *m, uint32_t at)
{
	while (at >= m->data_len) {
		at -= m->data_len;
		m = m->next;
	}
	return rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m);
}

/* Give a frame that is to be segmented the checksum field that Linux expects; the frame may become another. false: it cannot be sent. */
static bool settle(struct vhost_net_queue *q, struct rte_mbuf **frame)
{
	struct virtio_net_hdr vh;
	struct rte_mbuf *copy;
	uint16_t value;
	uint32_t edit;

	if (likely(!((*frame)->ol_flags & RTE_MBUF_F_TX_TCP_SEG)))
		return true;
	if (vnet_from_mbuf(*frame, &vh, &edit, &value) < 0)
		return false;
	/* Two bytes, of which the second may lie in the next segment. */
	if (!is_own(*frame, edit) || !is_own(*frame, edit + 1)) {
		copy = rte_pktmbuf_copy(*frame, q->pool, 0, UINT32_MAX);
		if (!copy)
			return false;
		rte_pktmbuf_free(*frame);
		*frame = copy;
	}
	vnet_put(*frame, edit, value);
	return true;
}

uint16_t vhost_net_tx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_net_queue *q = queue;
	uint16_t done = 0;

	while (done < n) {
		uint16_t run = 0, sent;

		while (done + run < n && settle(q, &frames[done + run]))
			run++;
		sent = run ? q->tx(q->txq, frames + done, run) : 0;
		done += sent;
		if (sent < run || done == n)
			break;
		rte_pktmbuf_free(frames[done++]);
		CMM_STORE_SHARED(q->tx_error, q->tx_error + 1);
	}
	return done;
}

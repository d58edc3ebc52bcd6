/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "offload.h"
#include "vlan.h"

void vlan_port_init(struct vlan_port *vp, const struct dp_port_conf *conf)
{
	memset(vp, 0, sizeof(*vp));
	vp->mode = conf->vlan_mode;
	vp->vlan = conf->vlan;
	vp->qinq_tpid = conf->qinq_ethertype ? conf->qinq_ethertype : VLAN_TPID_S;
	vp->tci_keep = conf->has_pcp ? 0xffff & ~VLAN_PCP : 0xffff;
	vp->tci_set = conf->has_pcp ? conf->pcp << VLAN_PCP_AT : 0;
	vp->tci_untagged = vp->vlan | vp->tci_set;
	vp->all_cvlans = !conf->cvlans.given;
	memcpy(vp->cvlans, conf->cvlans.bits, sizeof(vp->cvlans));
	switch (conf->vlan_mode) {
	case DP_VLAN_ACCESS:
	case DP_VLAN_DOT1Q_TUNNEL:
		break;
	default:
		if (conf->trunks.given)
			memcpy(vp->trunks, conf->trunks.bits, sizeof(vp->trunks));
		else
			memset(vp->trunks, 0xff, sizeof(vp->trunks));
		break;
	}
	if (conf->vlan_mode != DP_VLAN_TRUNK) {
		/* A native VLAN is carried whether trunks names it or not. VLAN 0 never: leaving untagged, it would be in the native VLAN. */
		vp->trunks[0] &= ~1ull;
		vp->trunks[vp->vlan >> 6] |= 1ull << (vp->vlan & 63);
	}
	vp->refuses_untagged = (conf->vlan_mode == DP_VLAN_TRUNK && !vlan_bit(vp->trunks, 0)) ||
			       (conf->vlan_mode == DP_VLAN_DOT1Q_TUNNEL && conf->cvlans.given && !vlan_bit(conf->cvlans.bits, 0));
}

/* The switch's tag of a frame that came with `came` and is in VLAN `vid`. */
static uint16_t own_tci(const struct vlan_port *vp, uint16_t came, uint16_t vid)
{
	return (((came & VLAN_PRIO) | vid) & vp->tci_keep) | vp->tci_set;
}

enum slc_drop vlan_admit_tagged(const struct vlan_port *vp, const uint8_t *data, uint32_t len, struct vlan_frame *f)
{
	uint16_t tci[2] = {0}, tpid[2] = {0}, vid;

	if (!vlan_parse(data, len, tci, tpid, f))
		return SLC_DROP_RUNT;
	vid = tci[0] & VLAN_VID;
	f->as_is = f->empty = f->unused = 0;

	switch (vp->mode) {
	case DP_VLAN_ACCESS:
		/* A third tag would surface when the two that are looked at are taken off. */
		if (vid || vlan_is_tpid(f->ethertype))
			return SLC_DROP_VLAN_INGRESS;
		/* A priority tag. Whatever is inside it is not this port's to say: all tags go, as in Open vSwitch. */
		f->vid = vp->vlan;
		f->tci = own_tci(vp, tci[0], vp->vlan);
		f->tpid = tpid[0];
		f->own = f->n_tags;
		f->inner_vid = 0;
		return SLC_DROP_N;

	case DP_VLAN_DOT1Q_TUNNEL:
		if (!vp->all_cvlans && !vlan_bit(vp->cvlans, vid))
			return SLC_DROP_VLAN_INGRESS;
		f->vid = vp->vlan;
		f->tci = vp->tci_untagged;
		f->tpid = vp->qinq_tpid;
		f->own = 0;
		f->inner_vid = vid;
		return SLC_DROP_N;

	case DP_VLAN_NATIVE_TAGGED:
	case DP_VLAN_NATIVE_UNTAGGED:
		if (!vid) {
			f->vid = vp->vlan;
			f->tci = own_tci(vp, tci[0], vp->vlan);
			break;
		}
		/* fall through */
	default:
		if (!vlan_bit(vp->trunks, vid))
			return SLC_DROP_VLAN_INGRESS;
		f->vid = vid;
		f->tci = own_tci(vp, tci[0], vid);
		f->as_is = f->tci == tci[0] && f->tci != 0;
		/* An empty tag that stays in front of another must be as it is, and not the sender's. */
		f->empty = f->tci == 0 && (f->n_tags == 1 || tci[0] == 0);
		break;
	}
	f->tpid = tpid[0];
	f->own = 1;
	f->inner_vid = f->n_tags > 1 ? tci[1] & VLAN_VID : 0;
	return SLC_DROP_N;
}

static void put_tag(uint8_t *p, uint16_t tpid, uint16_t tci)
{
	p[0] = tpid >> 8;
	p[1] = tpid;
	p[2] = tci >> 8;
	p[3] = tci;
}

bool vlan_restore(struct rte_mbuf *m)
{
	uint8_t *data = (uint8_t *)rte_pktmbuf_prepend(m, 4);

	if (!data)
		return false;
	memmove(data, data + 4, 12);
	put_tag(data + 12, VLAN_TPID_C, m->vlan_tci);
	m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
	offload_l2_moved(m, 4);
	return true;
}

bool vlan_rewrite(struct rte_mbuf *m, const struct vlan_frame *f, struct vlan_form form)
{
	int shift = 4 * (form.strip - form.push); /* bytes that the front moves back by */
	uint8_t *old = rte_pktmbuf_mtod(m, uint8_t *), *data = old + shift;

	if (shift < 0 ? rte_pktmbuf_headroom(m) < -shift : m->data_len < 12 + 4 * form.strip)
		return false;
	if (shift) {
		memmove(data, old, 12);
		m->data_off += shift;
		m->data_len -= shift;
		m->pkt_len -= shift;
		offload_l2_moved(m, -shift);
	}
	if (form.push)
		put_tag(data + 12, f->tpid, f->tci);
	return true;
}

struct rte_mbuf *vlan_rewrite_shared(struct rte_mbuf *m, const struct vlan_frame *f, struct vlan_form form,
				     struct rte_mempool *pool)
{
	struct rte_mbuf *head, *rest;
	uint8_t *data;

	if (m->data_len < 12 + 4 * form.strip)
		return NULL;
	head = rte_pktmbuf_alloc(pool);
	if (!head)
		return NULL;
	rest = rte_pktmbuf_clone(m, pool);
	if (!rest) {
		rte_pktmbuf_free(head);
		return NULL;
	}
	data = rte_pktmbuf_mtod(head, uint8_t *);
	memcpy(data, rte_pktmbuf_mtod(m, uint8_t *), 12);
	if (form.push)
		put_tag(data + 12, f->tpid, f->tci);
	rte_pktmbuf_adj(rest, 12 + 4 * form.strip);

	head->data_len = 12 + 4 * form.push;
	head->pkt_len = head->data_len + rest->pkt_len;
	head->nb_segs = 1 + rest->nb_segs;
	head->next = rest;
	head->ol_flags = m->ol_flags & OFFLOAD_REQUEST;
	head->ol_flags |= m->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	head->tx_offload = m->tx_offload;
	offload_l2_moved(head, 4 * (form.push - form.strip));
	return head;
}

/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_VLAN_BPF_H
#define BPF_VLAN_BPF_H

/*
 * VLANs: which one a frame is in, who carries it, and which tags it leaves with. The meaning is dataplane/vlan.h's, line by line.
 *
 * The kernel holds the outermost tag beside the frame (skb->vlan_tci), those inside it in the bytes. bpf_skb_vlan_pop() takes the one beside and
 * lifts the next out of the bytes; bpf_skb_vlan_push() does the reverse. So a change of form is pops and a push here too.
 *
 * Whether a port carries a VLAN is not written in the port but in the VLAN (members), for ports of the modes that carry several.
 */

#include "maps.bpf.h"

#define VLAN_VID  0x0fffu
#define VLAN_PRIO 0xf000u
#define VLAN_PCP  0xe000u

/* What admission found out about a frame. */
struct frame {
	u16 vid;       /* VLAN of the switch */
	u16 inner_vid; /* VID of the first tag inside, 0 if there is none */
	u8 n_tags;     /* tags, beside the bytes and in them, 0-2 */
	u8 own;	       /* how many of them the switch's tag stands for */
	u8 as_is;      /* the first tag equals the switch's */
	u8 empty;      /* tci is 0: the switch's tag is none */
	u16 tci;
	u16 tpid;
	u16 ethertype; /* behind the tags looked at, host order */
	u16 l2;	       /* bytes before the network header: the tag beside is not among them */
};

struct form {
	u8 strip, push;
};

static __always_inline bool vlan_is_tpid(u16 type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD;
}

struct tag {
	__be16 tci, type;
};

/* Find the tags. `type`: the EtherType in the bytes. RUNT if one is cut off. */
static __always_inline u32 vlan_parse(struct __sk_buff *skb, u16 type, u16 tci[2], struct frame *f)
{
	struct tag tag;

	f->l2 = ETH_HLEN;
	f->n_tags = 0;
	if (skb->vlan_present) {
		tci[0] = skb->vlan_tci;
		f->tpid = bpf_ntohs(skb->vlan_proto);
		f->n_tags = 1;
	}
	for (int i = 0; i < 2 && f->n_tags < 2 && unlikely(vlan_is_tpid(type)); i++) {
		if (bpf_skb_load_bytes(skb, f->l2, &tag, sizeof(tag)))
			return SLC_DROP_RUNT;
		if (f->n_tags == 0) {
			tci[0] = bpf_ntohs(tag.tci);
			f->tpid = type;
		} else {
			tci[1] = bpf_ntohs(tag.tci);
		}
		type = bpf_ntohs(tag.type);
		f->l2 += 4;
		f->n_tags++;
	}
	f->ethertype = type;
	return PASS;
}

static __always_inline bool vlan_carries(const struct slc_k_conf *conf, u32 port, u16 vid)
{
	struct slc_k_vlan *v;

	if (conf->mode == SLC_K_ACCESS || conf->mode == SLC_K_TUNNEL)
		return conf->vlan == vid;
	v = get_vlan(vid);
	return v && bit(v->members, port);
}

static __always_inline bool vlan_cvlan_ok(const struct slc_k_conf *conf, u32 port, u16 vid)
{
	struct slc_k_cvlans *c;

	if (!(conf->flags & SLC_K_SOME_CVLANS))
		return true;
	c = bpf_map_lookup_elem(&slc_cvlans, &port);
	return c && bit(c->bits, vid);
}

/* The switch's tag of a frame that came with `came` and is in VLAN `vid`: a port's code point goes before the frame's own. */
static __always_inline u16 vlan_own_tci(const struct slc_k_conf *conf, u16 came, u16 vid)
{
	u16 tci = (came & VLAN_PRIO) | vid;

	return likely(!conf->pcp) ? tci : (tci & ~VLAN_PCP) | (u16)(conf->pcp - 1) << 13;
}

/* Which VLAN is the frame in? PASS, RUNT or VLAN_INGRESS. */
static __always_inline u32 vlan_admit(struct __sk_buff *skb, const struct slc_k_conf *conf, u32 port, u16 type, struct frame *f)
{
	u16 tci[2] = {0, 0}, vid;

	f->tpid = ETH_P_8021Q;
	f->inner_vid = f->own = f->as_is = f->empty = 0;
	if (vlan_parse(skb, type, tci, f) != PASS)
		return SLC_DROP_RUNT;
	if (likely(f->n_tags == 0)) {
		f->vid = conf->vlan;
		f->tci = vlan_own_tci(conf, 0, conf->vlan);
		f->empty = f->tci == 0;
		if (conf->mode == SLC_K_TUNNEL)
			f->tpid = conf->qinq_tpid;
		return conf->flags & SLC_K_REFUSES_UNTAGGED ? SLC_DROP_VLAN_INGRESS : PASS;
	}
	vid = tci[0] & VLAN_VID;
	if (conf->mode == SLC_K_ACCESS) {
		if (vid || vlan_is_tpid(f->ethertype))
			return SLC_DROP_VLAN_INGRESS;
		f->vid = conf->vlan;
		f->tci = vlan_own_tci(conf, tci[0], conf->vlan);
		f->own = f->n_tags;
		return PASS;
	}
	if (conf->mode == SLC_K_TUNNEL) {
		if (!vlan_cvlan_ok(conf, port, vid))
			return SLC_DROP_VLAN_INGRESS;
		f->vid = conf->vlan;
		f->tci = vlan_own_tci(conf, 0, conf->vlan);
		f->tpid = conf->qinq_tpid;
		f->inner_vid = vid;
		return PASS;
	}
	if (vid == 0 && conf->mode != SLC_K_TRUNK_MODE) {
		f->vid = conf->vlan;
		f->tci = vlan_own_tci(conf, tci[0], conf->vlan);
	} else {
		if (!vlan_carries(conf, port, vid))
			return SLC_DROP_VLAN_INGRESS;
		f->vid = vid;
		f->tci = vlan_own_tci(conf, tci[0], vid);
		f->as_is = f->tci == tci[0] && f->tci != 0;
		f->empty = f->tci == 0 && (f->n_tags == 1 || tci[0] == 0);
	}
	f->own = 1;
	f->inner_vid = f->n_tags > 1 ? tci[1] & VLAN_VID : 0;
	return PASS;
}

/* Does the port carry this frame? */
static __always_inline bool vlan_egress_ok(const struct slc_k_conf *conf, u32 port, const struct frame *f)
{
	if (!vlan_carries(conf, port, f->vid))
		return false;
	if (conf->mode == SLC_K_ACCESS)
		return f->n_tags == 0 || (f->inner_vid == 0 && !vlan_is_tpid(f->ethertype));
	return conf->mode != SLC_K_TUNNEL || vlan_cvlan_ok(conf, port, f->inner_vid);
}

/* How the frame must change to leave by this port. */
static __always_inline struct form vlan_egress_form(const struct slc_k_conf *conf, const struct frame *f)
{
	if (conf->mode == SLC_K_ACCESS)
		return (struct form){f->n_tags, 0};
	if (conf->mode == SLC_K_TUNNEL || (conf->mode == SLC_K_NATIVE_UNTAGGED && f->vid == conf->vlan &&
					   !(conf->flags & SLC_K_PRIORITY_TAGS && f->tci & VLAN_PRIO)))
		return (struct form){f->own, 0};
	if (f->as_is)
		return (struct form){0, 0};
	if (!f->empty)
		return (struct form){f->own, 1};
	/* VLAN 0 leaves untagged; but an empty tag stays in front of another, which would surface otherwise. */
	return (struct form){f->n_tags > f->own ? 0 : f->own, 0};
}

static __always_inline int vlan_rewrite(struct __sk_buff *skb, u16 tpid, u16 tci, struct form form)
{
	if (form.strip && bpf_skb_vlan_pop(skb))
		return -1;
	if (form.strip > 1 && bpf_skb_vlan_pop(skb))
		return -1;
	if (form.push && bpf_skb_vlan_push(skb, bpf_htons(tpid), tci))
		return -1;
	return 0;
}

#endif

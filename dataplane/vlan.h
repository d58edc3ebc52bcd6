/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VLAN_H
#define DATAPLANE_VLAN_H

/*
 * VLANs: which one a frame is in, who carries it, and which tags it leaves with.
 *
 * The meaning is that of Open vSwitch's Port table (columns vlan_mode, tag, trunks, cvlans). A frame's tags are looked at once, at admission:
 *
 *   bytes:     dst src [tag][tag] type ...          n_tags = how many there are, looking through two
 *   meaning:   VLAN of the switch + what is inside  vlan_admit() says which of the tags is the switch's
 *
 *   mode              untagged or VID 0           VID v                        leaves a port of this mode
 *   access            in `vlan`                   refused                      without any tag; only if nothing is inside
 *   trunk             in VLAN 0                   in v, if trunked             tagged (VLAN 0: untagged, but for a priority tag)
 *   native-tagged     in `vlan`                   in v, if trunked or native   tagged
 *   native-untagged   in `vlan`                   in v, if trunked or native   tagged, but for `vlan` untagged
 *   dot1q-tunnel      in `vlan`, all tags inside  in `vlan`, all tags inside   without the outer tag; only if cvlans admit the inner
 *
 * The bytes are not touched at admission. What leaves is described as a change to what came, so that trunk to trunk, access to access and a flood to
 * ports of one mode need none:
 *
 *   struct vlan_form { strip, push }:  take `strip` tags off the front, then put the switch's tag on if `push`.
 *
 * vlan_rewrite() makes the change in place when the frame is the worker's alone; vlan_rewrite_shared() makes a new first segment of 12 or 16
 * bytes in front of a reference to the same data, so that a flood copies no payload.
 *
 * A native-untagged port shows what is inside its native VLAN: a frame with the native VLAN's tag and another inside leaves with the other
 * in front, as from Open vSwitch. Where a switch behind such a port trusts tags, give the native VLAN to nobody.
 *
 * Priority. PCP and DEI of the outer tag travel with the frame: from a priority tag into the VLAN's tag, and unchanged from trunk to trunk;
 * a frame without a tag, and a service tag, start with PCP 0. So it is where a port has no code point of its own.
 *
 * A port with one (`pcp`: its class's) does not ask: every frame that enters by it takes the port's code point, whatever tag it came with,
 * for it is not the tenant's to say how urgent his frames are. From there on the frame is as one that came with that code point: it is in
 * every tag that stands for the switch's own, a tunnel's outer tag among them, and a frame of VLAN 0 that was given one leaves a trunk
 * with a priority tag. What is inside the switch's tag is cargo, code points and all. DEI stays as it came: a sender who sets it asks
 * for his own frames to go first when some must, and takes nothing from anybody.
 *
 *   tci = (tci & tci_keep) | tci_set       no class: keep all, set nothing.  class: keep VID and DEI, set the code point
 *
 * An untagged frame's tci is worked out when the port is configured, so the common case pays nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane.h"

#define VLAN_VID    0x0fffu
#define VLAN_PRIO   0xf000u /* PCP and DEI */
#define VLAN_PCP    0xe000u
#define VLAN_PCP_AT 13 /* its lowest bit */
#define VLAN_TPID_C 0x8100
#define VLAN_TPID_S 0x88a8

/* What the hot path reads of a port's VLAN configuration. Immutable once published. */
struct vlan_port {
	uint8_t mode;	       /* enum dp_vlan_mode */
	bool refuses_untagged; /* a trunk without VLAN 0, a tunnel without customer VLAN 0 */
	bool all_cvlans;
	uint16_t vlan;
	uint16_t qinq_tpid;
	uint16_t tci_untagged;		 /* the switch's tag of a frame without one, and a service tag */
	uint16_t tci_keep;		 /* of the tag that a frame came with */
	uint16_t tci_set;		 /* the port's code point, in its place */
	uint64_t trunks[DP_VLAN_N / 64]; /* trunk, native-*: with the native VLAN in it. access, dot1q-tunnel: just `vlan` */
	uint64_t cvlans[DP_VLAN_N / 64];
};

/*
 * What admission found out about a frame. 16 bytes: a burst of them stays in L1. The first 8 are its shape: what decides where it may
 * leave and how it must change for that. Frames of one shape are treated alike, so the decision for one is good for the next.
 */
struct vlan_frame {
	uint16_t vid;	    /* VLAN of the switch */
	uint16_t inner_vid; /* VID of the first tag inside, 0 if there is none */
	uint8_t n_tags;	    /* tags in the bytes, 0-2 */
	uint8_t own;	    /* how many of them the switch's tag stands for: 0, 1, or all of an access port's priority tags */
	uint8_t as_is;	    /* the bytes' first tag equals the switch's: a tagged port can take the frame unchanged */
	uint8_t empty;	    /* tci is 0: the switch's tag is none */
	uint16_t tci;	    /* the switch's tag, as it leaves on a trunk: PCP, DEI, VID */
	uint16_t tpid;
	uint16_t ethertype; /* behind the tags looked at, host order; a TPID if there are more than two */
	uint16_t unused;
} __attribute__((aligned(8)));

static inline uint64_t vlan_shape(const struct vlan_frame *f)
{
	uint64_t shape;

	__builtin_memcpy(&shape, f, sizeof(shape));
	return shape;
}

struct vlan_form {
	uint8_t strip, push;
};

/* Runtime form of a configuration that has been validated. Any thread, before it is published. */
void vlan_port_init(struct vlan_port *vp, const struct dp_port_conf *conf);

static inline bool vlan_bit(const uint64_t *bits, uint16_t vid)
{
	return bits[vid >> 6] >> (vid & 63) & 1;
}

static inline bool vlan_is_tpid(uint16_t type)
{
	return type == VLAN_TPID_C || type == VLAN_TPID_S;
}

/* Does the port carry this VLAN at all? Then it is in the VLAN's member list. Any thread. */
static inline bool vlan_carries(const struct vlan_port *vp, uint16_t vid)
{
	return vlan_bit(vp->trunks, vid);
}

static inline uint16_t vlan_rd16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Find the tags in `data`, of which at least min(len, 22) bytes can be read. false: a tag is cut off (RUNT). */
static inline bool vlan_parse(const uint8_t *data, uint32_t len, uint16_t tci[2], uint16_t tpid[2], struct vlan_frame *f)
{
	uint16_t type = vlan_rd16(data + 12);
	unsigned n = 0;

	while (unlikely(vlan_is_tpid(type)) && n < 2) {
		if (len < 14 + 4 * (n + 1))
			return false;
		tpid[n] = type;
		tci[n] = vlan_rd16(data + 14 + 4 * n);
		type = vlan_rd16(data + 16 + 4 * n);
		n++;
	}
	f->n_tags = n;
	f->ethertype = type;
	return true;
}

/*
 * Which VLAN is the frame in? Fills *f. `data` holds len >= 14 bytes, at least 22 of which lie there if the frame has them. Any worker.
 * SLC_DROP_N, or RUNT or VLAN_INGRESS.
 */
enum slc_drop vlan_admit_tagged(const struct vlan_port *vp, const uint8_t *data, uint32_t len, struct vlan_frame *f);

/* A frame without a tag, the common case: in the port's own VLAN, or in 0 on a trunk (whose `vlan` is 0). */
static inline struct vlan_frame vlan_untagged(const struct vlan_port *vp, uint16_t ethertype)
{
	return (struct vlan_frame){
		.vid = vp->vlan,
		.tci = vp->tci_untagged,
		.empty = vp->tci_untagged == 0,
		.tpid = vp->mode == DP_VLAN_DOT1Q_TUNNEL ? vp->qinq_tpid : VLAN_TPID_C,
		.ethertype = ethertype,
	};
}

static inline enum slc_drop vlan_admit(const struct vlan_port *vp, const uint8_t *data, uint32_t len, struct vlan_frame *f)
{
	uint16_t type = vlan_rd16(data + 12);

	if (unlikely(vlan_is_tpid(type)))
		return vlan_admit_tagged(vp, data, len, f);
	*f = vlan_untagged(vp, type);
	return unlikely(vp->refuses_untagged) ? SLC_DROP_VLAN_INGRESS : SLC_DROP_N;
}

/* Does the port carry this frame? Its VLAN, and for access and tunnel ports what is inside. Any worker. */
static inline bool vlan_egress_ok(const struct vlan_port *vp, const struct vlan_frame *f)
{
	if (unlikely(!vlan_bit(vp->trunks, f->vid)))
		return false;
	if (likely(f->n_tags == 0 && vp->mode != DP_VLAN_DOT1Q_TUNNEL))
		return true;
	/* Nothing inside, and no third tag behind an empty one. */
	if (vp->mode == DP_VLAN_ACCESS)
		return f->inner_vid == 0 && !vlan_is_tpid(f->ethertype);
	return vp->mode != DP_VLAN_DOT1Q_TUNNEL || vp->all_cvlans || vlan_bit(vp->cvlans, f->inner_vid);
}

/* How the frame must change to leave by this port. Any worker. */
static inline struct vlan_form vlan_egress_form(const struct vlan_port *vp, const struct vlan_frame *f)
{
	switch (vp->mode) {
	case DP_VLAN_ACCESS:
		return (struct vlan_form){f->n_tags, 0};
	case DP_VLAN_DOT1Q_TUNNEL:
		return (struct vlan_form){f->own, 0};
	case DP_VLAN_NATIVE_UNTAGGED:
		if (f->vid == vp->vlan)
			return (struct vlan_form){f->own, 0};
		break;
	}
	if (f->as_is)
		return (struct vlan_form){0, 0};
	if (!f->empty)
		return (struct vlan_form){f->own, 1};
	/* VLAN 0 leaves untagged; but taking an empty tag off a tagged frame would show the next switch the tag inside. */
	return (struct vlan_form){f->n_tags > f->own ? 0 : f->own, 0};
}

/* Bytes of Ethernet header and tags that the frame will have in this form. */
static inline uint16_t vlan_l2_len(const struct vlan_frame *f, struct vlan_form form)
{
	return 14 + 4 * (f->n_tags - form.strip + form.push);
}

/* Put the tag that the device delivered beside the frame (RTE_MBUF_F_RX_VLAN_STRIPPED) back into it. false: no headroom (MALFORMED). Worker; the mbuf is its alone. */
bool vlan_restore(struct rte_mbuf *m);

/* Change the bytes in place. The mbuf is the worker's alone (reference count 1, direct). false: no headroom; use vlan_rewrite_shared(). */
bool vlan_rewrite(struct rte_mbuf *m, const struct vlan_frame *f, struct vlan_form form);

/* A new frame in this form that refers to m's data; m keeps its reference. NULL: no buffer. Any worker. */
struct rte_mbuf *vlan_rewrite_shared(struct rte_mbuf *m, const struct vlan_frame *f, struct vlan_form form,
				     struct rte_mempool *pool);

#endif

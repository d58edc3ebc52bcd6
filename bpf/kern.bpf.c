// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel engine's programs: a frame's journey, from the netdev that it came by to the one that it leaves by.
 *
 *   container --> host end ---- slc_port_in ----+--> forward() --> another container, the trunk, the host's stack
 *                                    | in limit |
 *                                    v          |
 *                               shaper (HTB) -- slc_shaper_in
 *
 *   switch ----> trunk netdev - slc_trunk_in ------> forward()
 *   host's stack --> trunk netdev - slc_trunk_out -> forward(), or on to the switch
 *
 * Receive, admit, check, limit, learn, look up, replicate, send: as in dataplane/forward.c, and with its reasons. The programs decide
 * everything that a frame meets; the owner only writes maps. A frame for which there is no configuration goes nowhere.
 */
#include "fdb.bpf.h"
#include "known.bpf.h"
#include "meter.bpf.h"
#include "out.bpf.h"
#include "spoof.bpf.h"
#include "vlan.bpf.h"

#define FRAME_MAX (9216 + 14 + 8)

struct eth {
	u8 dst[6], src[6];
	u16 type; /* host order */
};

/* 01:80:c2:00:00:00 to 0f: never forwarded by a bridge. */
static __always_inline bool is_reserved(const u8 *m)
{
	return m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5] < 0x10;
}

/* Headers that no port may send, and the VLAN. */
static __always_inline u32 admit(struct __sk_buff *skb, const struct slc_k_conf *c, u32 port, struct eth *eth, struct frame *f)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + ETH_HLEN > end)
		return SLC_DROP_RUNT;
	__builtin_memcpy(eth, data, ETH_HLEN);
	eth->type = bpf_ntohs(eth->type);
	if (skb->len > FRAME_MAX && !skb->gso_size)
		return SLC_DROP_OVERSIZE;
	if (eth->src[0] & 1)
		return SLC_DROP_SRC_MULTICAST;
	if (is_reserved(eth->dst))
		return SLC_DROP_RESERVED_DST;
	return vlan_admit(skb, c, port, eth->type, f);
}

/* A question to all that the node can answer? What the program returns then, or NOT_KNOWN. */
static __always_inline int answer(struct __sk_buff *skb, const struct frame *f, const struct slc_k_conf *c, u32 src, u32 origin)
{
	if (f->n_tags > 1 || f->n_tags != f->own)
		return NOT_KNOWN;
	if (f->ethertype == ETH_P_ARP)
		return known_arp(skb, f, c, src, origin);
	if (f->ethertype == ETH_P_IPV6)
		return known_nd(skb, f, c, src, origin);
	return NOT_KNOWN;
}

/* Nobody knows the address. It may be behind the trunk, or behind a member that learns. */
static __always_inline int unknown(struct __sk_buff *skb, const struct frame *f, u32 src, u32 in_flags, u32 origin)
{
	struct slc_k_vlan *v = get_vlan(f->vid);
	u64 learners = 0;

	if (!v)
		return TC_ACT_SHOT;
	/* The usual case: every container's address is bound, so what is unknown is remote, and no flood. */
	for (u32 w = 0; w < SLC_K_WORDS; w++)
		learners |= READ_ONCE(v->learners[w]) & ~((w ? 0 : 1ull << SLC_K_TRUNK) | (w == src >> 6 ? 1ull << (src & 63) : 0));
	if (learners || origin == FROM_TRUNK)
		return out_flood(skb, f, src, in_flags, origin | TO_LEARNERS);
	if (!bit(v->members, SLC_K_TRUNK)) {
		count_drop(src, SLC_DROP_NO_MEMBER);
		return TC_ACT_SHOT;
	}
	return out_send(skb, f, SLC_K_TRUNK, in_flags, origin);
}

/* What a port may learn: its share, and no more than it was given. The trunk was given its own. */
static __always_inline u32 may_hold(const struct slc_k_conf *c, const struct slc_k_node *node, u32 port)
{
	u32 share = READ_ONCE(node->share);

	return port == SLC_K_TRUNK || (c->mac_limit && c->mac_limit < share) ? c->mac_limit : share;
}

/* The frame is admitted: learn, look up, send. */
__noinline int forward(struct __sk_buff *skb, const struct frame *f, const struct eth *eth, u32 src, u32 origin)
{
	struct slc_k_node *node = get_node();
	struct slc_k_port *p = get_port(src);
	const struct slc_k_conf *c;
	struct slc_k_mac key;
	u32 dst;
	int r;

	if (!p || !node || !f || !eth)
		return TC_ACT_SHOT;
	c = get_conf(p);
	key.vlan = f->vid;
	/* The address of a port with `mac` is bound to it, and is its only one: nothing to learn in its own VLAN. */
	if (!(c->flags & SLC_K_HAS_MAC && f->vid == c->vlan)) {
		__builtin_memcpy(key.mac, eth->src, 6);
		if (fdb_hear(&key, src, may_hold(c, node, src)) != PASS) {
			count_drop(src, SLC_DROP_SRC_BOUND);
			return TC_ACT_SHOT;
		}
	}
	if (unlikely(eth->dst[0] & 1)) {
		r = answer(skb, f, c, src, origin);
		return r != NOT_KNOWN ? r : out_flood(skb, f, src, c->flags, origin);
	}
	__builtin_memcpy(key.mac, eth->dst, 6);
	dst = fdb_lookup(&key, node);
	if (dst == src) {
		count_drop(src, SLC_DROP_SAME_PORT);
		return TC_ACT_SHOT;
	}
	if (dst == SLC_K_NOBODY)
		return unknown(skb, f, src, c->flags, origin);
	return out_send(skb, f, dst, c->flags, origin);
}

static __always_inline void count_received(struct __sk_buff *skb, u32 port)
{
	struct slc_k_count *n = get_count(port);

	if (n) {
		n->rx_frames++;
		n->rx_bytes += frame_bytes(skb);
	}
}

static __always_inline u32 port_of(u32 ifindex)
{
	u32 *found = bpf_map_lookup_elem(&slc_ifs, &ifindex);

	return found ? *found : SLC_K_NOBODY;
}

/* At the ingress of each container's host end. */
SEC("tc")
int slc_port_in(struct __sk_buff *skb)
{
	u32 port = port_of(skb->ifindex), why;
	struct slc_k_port *p = get_port(port);
	const struct slc_k_conf *c;
	struct slc_k_node *node;
	struct frame f = {};
	struct eth eth;

	if (!p)
		return TC_ACT_SHOT;
	c = get_conf(p);
	if (!(c->flags & SLC_K_USED))
		return TC_ACT_SHOT;
	count_received(skb, port);
	why = admit(skb, c, port, &eth, &f);
	if (why == PASS && c->flags & SLC_K_DOWN)
		why = SLC_DROP_RX_DOWN;
	if (why == PASS)
		why = spoof_check(skb, c, &f, eth.src);
	if (why == PASS && c->in_pps.per_s && !meter_take(SLC_K_BUCKET_IN(port), &c->in_pps, frame_segments(skb)))
		why = SLC_DROP_LIMIT_IN;
	if (unlikely(why != PASS)) {
		count_drop(port, why);
		return TC_ACT_SHOT;
	}
	if (c->flags & SLC_K_SHAPE_IN) {
		node = get_node();
		if (!node || !node->shaper_ifindex)
			return TC_ACT_SHOT;
		skb->priority = c->classid;
		skb->mark = SLC_K_MARK_IN | port;
		return bpf_redirect(node->shaper_ifindex, 0);
	}
	return forward(skb, &f, &eth, port, FROM_PORT);
}

/* At the ingress of the shaper's far end: frames of ports with an in limit, checked before, that have waited their time. */
SEC("tc")
int slc_shaper_in(struct __sk_buff *skb)
{
	u32 port = skb->mark & ~SLC_K_MARK_MASK;
	const struct slc_k_conf *c;
	struct slc_k_port *p;
	struct frame f = {};
	struct eth eth;
	u32 why;

	if ((skb->mark & SLC_K_MARK_MASK) != SLC_K_MARK_IN)
		return TC_ACT_SHOT;
	skb->mark = 0;
	p = get_port(port);
	if (!p)
		return TC_ACT_SHOT;
	c = get_conf(p);
	/* The port may have changed while the frame waited. */
	why = c->flags & SLC_K_USED ? admit(skb, c, port, &eth, &f) : SLC_DROP_RX_DOWN;
	if (why != PASS) {
		count_drop(port, why);
		return TC_ACT_SHOT;
	}
	return forward(skb, &f, &eth, port, FROM_PORT);
}

/* At the ingress of the trunk netdev: frames of the switch, and our own to the host's stack. */
SEC("tc")
int slc_trunk_in(struct __sk_buff *skb)
{
	struct slc_k_port *p = get_port(SLC_K_TRUNK);
	const struct slc_k_conf *c;
	struct frame f = {};
	struct eth eth;
	u32 why;

	if ((skb->mark & SLC_K_MARK_MASK) == SLC_K_MARK_HOST) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	if (!p)
		return TC_ACT_SHOT;
	c = get_conf(p);
	count_received(skb, SLC_K_TRUNK);
	why = admit(skb, c, SLC_K_TRUNK, &eth, &f);
	if (why == PASS && c->flags & SLC_K_DOWN)
		why = SLC_DROP_RX_DOWN;
	if (why != PASS) {
		count_drop(SLC_K_TRUNK, why);
		return TC_ACT_SHOT;
	}
	return forward(skb, &f, &eth, SLC_K_TRUNK, FROM_TRUNK);
}

/* At the egress of the trunk netdev: what the host's stack sends, and what we have sent there ourselves. */
SEC("tc")
int slc_trunk_out(struct __sk_buff *skb)
{
	struct slc_k_port *p = get_port(SLC_K_HOST);
	const struct slc_k_conf *c;
	struct frame f = {};
	struct eth eth;
	u32 why;

	if ((skb->mark & SLC_K_MARK_MASK) == SLC_K_MARK_OURS) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	if (skb->ingress_ifindex && bpf_map_lookup_elem(&slc_ifs, (u32[]){skb->ingress_ifindex}))
		return TC_ACT_OK;
	if (!p)
		return TC_ACT_SHOT;
	c = get_conf(p);
	count_received(skb, SLC_K_HOST);
	/* The host speaks in the trunk's own VLAN, if it has one, and without tags. */
	why = c->flags & SLC_K_USED ? admit(skb, c, SLC_K_HOST, &eth, &f) : SLC_DROP_VLAN_INGRESS;
	if (why != PASS) {
		count_drop(SLC_K_HOST, why);
		return TC_ACT_SHOT;
	}
	return forward(skb, &f, &eth, SLC_K_HOST, FROM_HOST);
}

char _license[] SEC("license") = "GPL";

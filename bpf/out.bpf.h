/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_OUT_BPF_H
#define BPF_OUT_BPF_H

/*
 * Out: from a decision (this frame leaves by that port) to the netdev.
 *
 *   container, no out limit     bpf_redirect_peer: into the container, in this very softirq, no queue on the way
 *   container, out limit        its host end's egress: the qdisc there shapes
 *   trunk                       its egress
 *   the host's own stack        the trunk netdev's ingress, marked, so that the program there lets it up
 *
 * A flood sends a clone to each member, sorted by the form that each needs: the frame is changed once for each form, not once for each member.
 * Clones leave by the host ends' egress, for a clone cannot be handed to a peer.
 */

#include "meter.bpf.h"
#include "vlan.bpf.h"

#define PACKET_HOST_ 0

/* Where a frame comes from: what its program may do with it. */
enum origin {
	FROM_PORT,  /* at tc ingress */
	FROM_TRUNK, /* at tc ingress of the trunk netdev, which leads to the host's stack */
	FROM_HOST,  /* at tc egress of the trunk netdev, which leads to the trunk */
};

/* Beside the origin, for out_flood(): only to members behind which an unknown address may be. */
#define TO_LEARNERS 0x100

/* The length of one segment, as it will be, is the kernel's to know; it holds it against the netdev's own MTU, which is the port's. */
static __noinline bool out_too_long(struct __sk_buff *skb, u32 ifindex)
{
	u32 len = 0;

	return !skb->gso_size || bpf_check_mtu(skb, ifindex, &len, 0, BPF_MTU_CHK_SEGS) != 0;
}

/* Is there anything but its limit that keeps the frame from leaving by this port? */
static __always_inline u32 out_check(struct __sk_buff *skb, const struct frame *f, const struct slc_k_port *p,
				     const struct slc_k_conf *c, u32 port, u32 in_flags)
{
	if (!vlan_egress_ok(c, port, f))
		return SLC_DROP_VLAN_EGRESS;
	if (in_flags & c->flags & SLC_K_ISOLATED)
		return SLC_DROP_ISOLATED;
	if (c->flags & SLC_K_DOWN || !c->ifindex || !READ_ONCE(p->link_up))
		return SLC_DROP_TX_DOWN;
	if (skb->len > c->mtu + f->l2 && out_too_long(skb, c->ifindex))
		return SLC_DROP_MTU;
	return PASS;
}

static __always_inline bool out_limit(struct __sk_buff *skb, const struct slc_k_conf *c, u32 port)
{
	return !c->out_pps.per_s || meter_take(SLC_K_BUCKET_OUT(port), &c->out_pps, frame_segments(skb));
}

static __always_inline void out_count(const struct __sk_buff *skb, u32 port)
{
	struct slc_k_count *n = get_count(port);

	if (n) {
		n->tx_frames++;
		n->tx_bytes += frame_bytes(skb);
	}
}

/* The frame has its form, and is counted. What the program returns. */
static __always_inline int out_go(struct __sk_buff *skb, const struct slc_k_conf *c, u32 port, u32 origin)
{
	if (port == SLC_K_HOST) {
		if (origin == FROM_TRUNK)
			return TC_ACT_OK;
		skb->mark = SLC_K_MARK_HOST;
		return bpf_redirect(c->ifindex, BPF_F_INGRESS);
	}
	if (port == SLC_K_TRUNK)
		return origin == FROM_HOST ? TC_ACT_OK : bpf_redirect(c->ifindex, 0);
	/* The container is not to see a mark of ours, nor the qdisc a class that the sender chose. */
	skb->mark = 0;
	if (origin != FROM_HOST && !(c->flags & SLC_K_SHAPE_OUT)) {
		/* The host end's address is not the frame's destination, so the kernel took it for somebody else's. */
		bpf_skb_change_type(skb, PACKET_HOST_);
		return bpf_redirect_peer(c->ifindex, 0);
	}
	skb->priority = 0;
	return bpf_redirect(c->ifindex, 0);
}

/* Unicast to a port. Drops are charged to it. */
static __always_inline int out_send(struct __sk_buff *skb, const struct frame *f, u32 port, u32 in_flags, u32 origin)
{
	struct slc_k_port *p = get_port(port);
	const struct slc_k_conf *c;
	u32 why;

	if (!p)
		return TC_ACT_SHOT;
	c = get_conf(p);
	why = out_check(skb, f, p, c, port, in_flags);
	if (why == PASS && vlan_rewrite(skb, f->tpid, f->tci, vlan_egress_form(c, f)))
		why = SLC_DROP_TX_NO_BUFFER;
	if (why == PASS && !out_limit(skb, c, port))
		why = SLC_DROP_LIMIT_OUT;
	if (unlikely(why != PASS)) {
		count_drop(port, why);
		return TC_ACT_SHOT;
	}
	out_count(skb, port);
	return out_go(skb, c, port, origin);
}

/* --- flood --------------------------------------------------------------------------------------------------------------- */

struct flood {
	struct frame f;
	u32 src, in_flags, origin;
	u32 learners;	  /* only to members behind which the address may be */
	u32 reached;	  /* a member was met, dropped for or not */
	struct form form; /* the form that the frame has now */
	u8 wanted[4];	  /* forms that members not yet served need: see flood_slot() */
};

struct flood_walk {
	struct __sk_buff *skb;
	u64 word; /* members left of the word at hand */
	u32 base; /* port of its lowest bit */
	struct flood fl;
};

/* Forms in the order in which the frame can take them, each from the one before by pops and a push. */
static __always_inline u32 flood_slot(const struct frame *f, struct form form)
{
	if (form.push)
		return 1;
	if (form.strip == 0)
		return 0;
	return form.strip == f->own ? 2 : 3;
}

static __always_inline int clone_to(struct __sk_buff *skb, const struct slc_k_conf *c, u32 port)
{
	int r;

	if (port == SLC_K_HOST) {
		skb->mark = SLC_K_MARK_HOST;
		r = bpf_clone_redirect(skb, c->ifindex, BPF_F_INGRESS);
		skb->mark = 0;
		return r;
	}
	return bpf_clone_redirect(skb, c->ifindex, 0);
}

/* Is the end of the program's own path a member that gets the frame itself rather than a clone? */
static __always_inline bool flood_own_way(const struct flood *fl, u32 port)
{
	return port == fl->src || (fl->origin == FROM_TRUNK && port == SLC_K_HOST) ||
	       (fl->origin == FROM_HOST && port == SLC_K_TRUNK);
}

/*
 * The number of the lowest bit set; v is not 0. Without a branch, for the verifier would follow each of the 64 ways through a search; and
 * hidden from clang 14, which does not come to an end with a trailing zero count for BPF.
 */
static __always_inline u32 lowest_bit(u64 v)
{
	u64 below = (v & -v) - 1;

	asm volatile("" : "+r"(below));
	below -= below >> 1 & 0x5555555555555555ull;
	asm volatile("" : "+r"(below));
	below = (below & 0x3333333333333333ull) + (below >> 2 & 0x3333333333333333ull);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return below * 0x0101010101010101ull >> 56;
}

/* A function of its own, checked once by the verifier: it is called in loops. */
__noinline int flood_to(struct __sk_buff *skb, struct flood *fl, u32 port)
{
	struct slc_k_port *p = get_port(port);
	const struct slc_k_conf *c;
	struct form form;
	u32 why;

	if (!fl || !p || flood_own_way(fl, port))
		return 0;
	c = get_conf(p);
	/* It is not meant for those, so it is not missed. */
	if (fl->in_flags & c->flags & SLC_K_ISOLATED || !vlan_egress_ok(c, port, &fl->f))
		return 0;
	form = vlan_egress_form(c, &fl->f);
	if (form.strip != fl->form.strip || form.push != fl->form.push) {
		fl->wanted[flood_slot(&fl->f, form) & 3] = 1;
		return 0;
	}
	fl->reached = 1;
	why = out_check(skb, &fl->f, p, c, port, fl->in_flags);
	if (why == PASS && !out_limit(skb, c, port))
		why = SLC_DROP_LIMIT_OUT;
	if (why == PASS && clone_to(skb, c, port))
		why = SLC_DROP_TX_FULL;
	if (why != PASS)
		count_drop(port, why);
	else
		out_count(skb, port);
	return 0;
}

static long flood_member(u32 i, struct flood_walk *walk)
{
	u64 word = walk->word;

	if (!word)
		return 1;
	walk->word = word & (word - 1);
	flood_to(walk->skb, &walk->fl, walk->base + lowest_bit(word));
	return 0;
}

static long flood_word(u32 w, struct flood_walk *walk)
{
	struct slc_k_vlan *v = get_vlan(walk->fl.f.vid);

	if (!v)
		return 1;
	w &= SLC_K_WORDS - 1;
	walk->word = walk->fl.learners ? READ_ONCE(v->learners[w]) : READ_ONCE(v->members[w]);
	walk->base = w * 64;
	if (walk->word)
		bpf_loop(64, flood_member, walk, 0);
	return 0;
}

/*
 * Give the frame another form. Forms come in flood_slot()'s order, so tags that were taken off are not wanted back. A function of its own: the
 * verifier would follow each of its ways through all members.
 */
__noinline int flood_reform(struct __sk_buff *skb, struct flood *fl, u32 strip, u32 push)
{
	struct form step = {.push = push};

	if (!fl)
		return -1;
	if (strip == fl->form.strip && push == fl->form.push)
		return 0;
	step.strip = strip - fl->form.strip + fl->form.push;
	fl->form = (struct form){strip, push};
	/* At most three come off: the switch's tag and two inside. */
	if (step.strip > 2) {
		if (bpf_skb_vlan_pop(skb))
			return -1;
		step.strip = 2;
	}
	return vlan_rewrite(skb, fl->f.tpid, fl->f.tci, step);
}

/* All members that need one form. The first pass takes those that need none changed, and notes what the others need. */
static long flood_form(u32 slot, struct flood_walk *walk)
{
	struct flood *fl = &walk->fl;

	if (slot > 0) {
		if (!fl->wanted[slot & 3])
			return 0;
		if (flood_reform(walk->skb, fl, slot == 3 ? fl->f.n_tags : fl->f.own, slot == 1))
			return 1;
	}
	bpf_loop(SLC_K_WORDS, flood_word, walk, 0);
	return 0;
}

/* The member that gets the frame itself: what the program returns. */
static __noinline int flood_rest(struct __sk_buff *skb, struct flood *fl, u32 port)
{
	struct slc_k_port *p = get_port(port);
	struct slc_k_vlan *v = get_vlan(fl->f.vid);
	const struct slc_k_conf *c;
	struct form form;

	if (!p || !v || !bit(v->members, port))
		return TC_ACT_SHOT;
	c = get_conf(p);
	if (!vlan_egress_ok(c, port, &fl->f))
		return TC_ACT_SHOT;
	fl->reached = 1;
	/* The host's stack sees its VLAN without a tag, the trunk too unless there is a priority to carry. */
	form = vlan_egress_form(c, &fl->f);
	if (flood_reform(skb, fl, form.strip, form.push))
		return TC_ACT_SHOT;
	out_count(skb, port);
	skb->mark = 0;
	return TC_ACT_OK;
}

/* To every other member of the VLAN, or every learner, once. STORM and NO_MEMBER are charged to the source. */
__noinline int out_flood(struct __sk_buff *skb, const struct frame *f, u32 src, u32 in_flags, u32 how)
{
	struct flood_walk walk = {
		.skb = skb,
		.fl = {.src = src, .in_flags = in_flags, .origin = how & ~TO_LEARNERS, .learners = how & TO_LEARNERS},
	};
	struct slc_k_count *n = get_count(src);
	struct slc_k_vlan *v;
	int r = TC_ACT_SHOT;

	if (!f || !n)
		return TC_ACT_SHOT;
	walk.fl.f = *f;
	/*
	 * Zeros that the verifier does not know for zeros. Before Linux 6.7 it follows a loop's body once, takes what holds then for what holds at every
	 * turn, and cuts out what it believes unreachable: the turns that give the frame another form.
	 */
	for (u32 i = 0; i < sizeof(walk.fl.wanted); i++)
		walk.fl.wanted[i] = skb->len >> 31;
	v = get_vlan(f->vid);
	if (!v)
		return TC_ACT_SHOT;
	if (v->storm.per_s && !meter_take(SLC_K_BUCKET_STORM(f->vid), &v->storm, frame_segments(skb))) {
		n->drops[SLC_DROP_STORM]++;
		return TC_ACT_SHOT;
	}
	n->flooded++;
	bpf_loop(4, flood_form, &walk, 0);
	if (walk.fl.origin == FROM_HOST)
		r = flood_rest(skb, &walk.fl, SLC_K_TRUNK);
	else if (walk.fl.origin == FROM_TRUNK && !walk.fl.learners)
		r = flood_rest(skb, &walk.fl, SLC_K_HOST);
	if (!walk.fl.reached)
		n->drops[SLC_DROP_NO_MEMBER]++;
	return r;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_KNOWN_BPF_H
#define BPF_KNOWN_BPF_H

/*
 * Questions that the node can answer itself: ARP requests and neighbour solicitations for addresses of its own containers.
 *
 * A question asked by broadcast would wake every container of the VLAN; the node knows the answer, because it gave the address. So the
 * question is turned into the answer that the container would have given, and goes back by the way it came. Questions put to one
 * host by unicast are a test whether it is alive, and go there. A container's own announcement (sender and target the same) is no
 * question. Nothing is answered for a port that is down, or that the asker is isolated from, and nothing that is asked inside another tag than
 * the switch's own: such a question is a customer's, and means an address of his.
 *
 * The answer is a frame of the container's, so it enters by the container's port, untagged: its class's code point is in it, or 0, and not the
 * question's, nor that of the asker's class, which is for frames that come from the asker. It leaves by the asker's port with the tag that the port's
 * mode gives a frame from the container, whatever tag the question had. So it cannot be told from the one that the container gives when it is asked
 * itself.
 */

#include "out.bpf.h"
#include "spoof.bpf.h"

#define NOT_KNOWN (-1)

static __always_inline bool known_reachable(const struct slc_k_known *k, u32 src, u32 in_flags)
{
	struct slc_k_port *p;
	const struct slc_k_conf *c;

	if (k->port == src)
		return false;
	p = get_port(k->port);
	if (!p)
		return false;
	c = get_conf(p);
	return c->ifindex && READ_ONCE(p->link_up) && !(c->flags & SLC_K_DOWN) && !(in_flags & c->flags & SLC_K_ISOLATED);
}

/* From the question's tag, which is the switch's or none, to the answer's. `c`: the asker's. `port`: the container's. */
static __always_inline int known_tag(struct __sk_buff *skb, const struct frame *f, const struct slc_k_conf *c, u32 port)
{
	struct slc_k_port *p = get_port(port);
	const struct slc_k_conf *from;
	struct frame a = {.vid = f->vid};
	struct form form;

	if (!p)
		return -1;
	from = get_conf(p);
	a.tpid = from->mode == SLC_K_TUNNEL ? from->qinq_tpid : ETH_P_8021Q;
	a.tci = vlan_own_tci(from, 0, f->vid);
	a.empty = a.tci == 0;
	form = vlan_egress_form(c, &a);
	if (form.push && f->as_is && f->tci == a.tci && f->tpid == a.tpid)
		return 0;
	form.strip = f->own;
	return vlan_rewrite(skb, a.tpid, a.tci, form);
}

/* Back to who asked. */
static __always_inline int known_answer(struct __sk_buff *skb, const struct frame *f, const struct slc_k_conf *c, u32 port, u32 src,
					u32 origin)
{
	struct slc_k_count *n = get_count(src);

	if (known_tag(skb, f, c, port))
		return TC_ACT_SHOT;
	if (n)
		n->answered++;
	out_count(skb, src);
	if (origin == FROM_TRUNK)
		return bpf_redirect(c->ifindex, 0);
	return out_go(skb, c, src, origin);
}

/* Both addresses, and the sender's address option or field, are one. */
static __always_inline int put_macs(struct __sk_buff *skb, const u8 *dst, const u8 *src)
{
	u8 macs[12];

	__builtin_memcpy(macs, dst, 6);
	__builtin_memcpy(macs + 6, src, 6);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), BPF_F_RECOMPUTE_CSUM);
}

__noinline int known_arp(struct __sk_buff *skb, const struct frame *f, const struct slc_k_conf *c, u32 src, u32 origin)
{
	struct slc_k_ip4 key = {};
	struct slc_k_known *k;
	struct arp_msg arp;

	if (!f || !c || bpf_skb_load_bytes(skb, f->l2, &arp, sizeof(arp)))
		return NOT_KNOWN;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) || arp.hlen != 6 || arp.plen != 4 ||
	    arp.op != bpf_htons(1) || ip4_word(arp.sip) == ip4_word(arp.tip))
		return NOT_KNOWN;
	key.addr = ip4_word(arp.tip);
	key.vlan = f->vid;
	k = bpf_map_lookup_elem(&slc_known4, &key);
	if (!k || !known_reachable(k, src, c->flags))
		return NOT_KNOWN;
	arp.op = bpf_htons(2);
	__builtin_memcpy(arp.tha, arp.sha, 6);
	__builtin_memcpy(arp.tip, arp.sip, 4);
	__builtin_memcpy(arp.sha, k->mac, 6);
	__builtin_memcpy(arp.sip, &key.addr, 4);
	if (put_macs(skb, arp.tha, arp.sha) || bpf_skb_store_bytes(skb, f->l2, &arp, sizeof(arp), BPF_F_RECOMPUTE_CSUM))
		return TC_ACT_SHOT;
	return known_answer(skb, f, c, k->port, src, origin);
}

/* A neighbour advertisement with its target's address option, from the IPv6 header on. */
struct nd_answer {
	struct ipv6hdr ip;
	u8 type, code;
	__sum16 sum;
	__be32 flags;
	struct ip6_addr target;
	u8 option, units;
	u8 mac[6];
};

struct nd_pseudo {
	struct ip6_addr src, dst;
	__be32 len, next;
};

static __always_inline __sum16 nd_sum(const struct nd_answer *a)
{
	struct nd_pseudo pseudo = {.len = bpf_htonl(32), .next = bpf_htonl(IPPROTO_ICMPV6)};
	s64 sum;

	__builtin_memcpy(&pseudo.src, &a->ip.saddr, 16);
	__builtin_memcpy(&pseudo.dst, &a->ip.daddr, 16);
	sum = bpf_csum_diff(0, 0, (void *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(0, 0, (void *)&a->type, 32, sum);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

__noinline int known_nd(struct __sk_buff *skb, const struct frame *f, const struct slc_k_conf *c, u32 src, u32 origin)
{
	struct slc_k_ip6 key = {};
	struct slc_k_known *k;
	struct nd_answer a;
	struct ip6_addr from;
	u8 macs[12];

	if (!f || !c || skb->gso_size)
		return NOT_KNOWN;
	/* The solicitation is as long as the advertisement without its option. */
	if (bpf_skb_load_bytes(skb, f->l2, &a, sizeof(a) - 8) || bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return NOT_KNOWN;
	if (a.ip.version != 6 || a.ip.nexthdr != IPPROTO_ICMPV6 || a.ip.hop_limit != 255 || a.type != ND_NS || a.code ||
	    bpf_ntohs(a.ip.payload_len) < 24)
		return NOT_KNOWN;
	key.addr[0] = a.target.w[0];
	key.addr[1] = a.target.w[1];
	key.vlan = f->vid;
	k = bpf_map_lookup_elem(&slc_known6, &key);
	if (!k || !known_reachable(k, src, c->flags))
		return NOT_KNOWN;
	__builtin_memcpy(&from, &a.ip.saddr, 16);
	a.flags = bpf_htonl(0x60000000); /* solicited, override */
	__builtin_memcpy(macs, macs + 6, 6);
	if (is_unspecified(&from)) {
		/* Somebody wants to take the address: all are told that it is taken (RFC 4861 7.2.4). */
		a.flags = bpf_htonl(0x20000000);
		from.w[0] = bpf_cpu_to_be64(0xff02000000000000ull);
		from.w[1] = bpf_cpu_to_be64(1);
		macs[0] = macs[1] = 0x33;
		macs[2] = macs[3] = macs[4] = 0;
		macs[5] = 1;
	}
	__builtin_memcpy(&a.ip.daddr, &from, 16);
	__builtin_memcpy(&a.ip.saddr, &a.target, 16);
	a.ip.payload_len = bpf_htons(32);
	a.type = ND_NA;
	a.sum = 0;
	a.option = ND_OPT_TLLA;
	a.units = 1;
	__builtin_memcpy(a.mac, k->mac, 6);
	a.sum = nd_sum(&a);
	__builtin_memcpy(macs + 6, a.mac, 6);
	if (bpf_skb_change_tail(skb, f->l2 + sizeof(a), 0) || put_macs(skb, macs, macs + 6) ||
	    bpf_skb_store_bytes(skb, f->l2, &a, sizeof(a), BPF_F_RECOMPUTE_CSUM))
		return TC_ACT_SHOT;
	return known_answer(skb, f, c, k->port, src, origin);
}

#endif

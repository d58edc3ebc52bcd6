/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_SPOOF_BPF_H
#define BPF_SPOOF_BPF_H

/*
 * Anti-spoofing: what dataplane/spoof.h promises, for frames in the kernel. The rules, and the reasons for each, are there; the same frames are put to both in
 * the tests, and the verdicts must be the same.
 */

#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "vlan.bpf.h"

#define SPOOF_MAX_EXT	6
#define MLD_QUERY	130
#define MLD_REPORT_V1	131
#define MLD_DONE	132
#define ND_RS		133
#define ND_RA		134
#define ND_NS		135
#define ND_NA		136
#define ND_REDIRECT	137
#define MLD_REPORT_V2	143
#define EXT_HOP_BY_HOP	0
#define EXT_ROUTING	43
#define EXT_FRAGMENT	44
#define EXT_AUTH	51
#define EXT_DESTINATION 60
#define ND_OPTION_UNIT	8
#define ND_OPTIONS_MAX	192
#define ND_OPT_SLLA	1
#define ND_OPT_TLLA	2
#define ETH_P_RARP_	0x8035
#define LENGTH_NOT_TYPE 1536

struct ip6_addr {
	u64 w[2];
};

struct arp_msg {
	__be16 hardware, protocol;
	u8 hlen, plen;
	__be16 op;
	u8 sha[6];
	u8 sip[4]; /* at an odd multiple of two: bytes */
	u8 tha[6];
	u8 tip[4];
};

static __always_inline u32 ip4_word(const u8 *p)
{
	u32 v;

	__builtin_memcpy(&v, p, 4);
	return v;
}

static __always_inline bool mac_equal(const u8 *a, const u8 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) | (a[5] ^ b[5]));
}

static __always_inline bool has_ip4(const struct slc_k_conf *c, __be32 addr)
{
	u32 n = c->n4;

	for (u32 i = 0; i < SLC_K_IPS; i++) {
		if (i >= n)
			break;
		if ((addr & c->net4[i].mask) == c->net4[i].net)
			return true;
	}
	return false;
}

static __always_inline bool lists_ip6(const struct slc_k_conf *c, const struct ip6_addr *a)
{
	u32 n = c->n6;

	for (u32 i = 0; i < SLC_K_IPS; i++) {
		if (i >= n)
			break;
		if ((a->w[0] & c->net6[i].mask[0]) == c->net6[i].net[0] && (a->w[1] & c->net6[i].mask[1]) == c->net6[i].net[1])
			return true;
	}
	return false;
}

static __always_inline bool is_link_local(const struct slc_k_conf *c, const struct ip6_addr *a)
{
	return c->flags & SLC_K_HAS_MAC && a->w[0] == c->link_local[0] && a->w[1] == c->link_local[1];
}

static __always_inline bool is_unspecified(const struct ip6_addr *a)
{
	return !(a->w[0] | a->w[1]);
}

static __always_inline bool is_dhcp_request(struct __sk_buff *skb, u32 l3, const struct iphdr *ip)
{
	struct udphdr udp;

	if (ip->saddr || ip->daddr != 0xffffffff || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(0x3fff))
		return false;
	return !bpf_skb_load_bytes(skb, l3 + ip->ihl * 4, &udp, sizeof(udp)) && udp.source == bpf_htons(68) &&
	       udp.dest == bpf_htons(67);
}

static __always_inline u32 check_ipv4(struct __sk_buff *skb, const struct slc_k_conf *c, u32 l3)
{
	struct iphdr ip;

	if (!(c->flags & SLC_K_CHECK_IPS))
		return PASS;
	if (bpf_skb_load_bytes(skb, l3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 || l3 + ip.ihl * 4 > skb->len)
		return SLC_DROP_SPOOF_IPV4;
	return has_ip4(c, ip.saddr) || is_dhcp_request(skb, l3, &ip) ? PASS : SLC_DROP_SPOOF_IPV4;
}

static __always_inline u32 check_arp(struct __sk_buff *skb, const struct slc_k_conf *c, u32 l3)
{
	struct arp_msg arp;

	if (bpf_skb_load_bytes(skb, l3, &arp, sizeof(arp)) || arp.hlen != 6 || arp.plen != 4 || arp.protocol != bpf_htons(ETH_P_IP))
		return SLC_DROP_SPOOF_ARP;
	if (c->flags & SLC_K_HAS_MAC && !mac_equal(arp.sha, c->mac))
		return SLC_DROP_SPOOF_ARP;
	if (!(c->flags & SLC_K_CHECK_IPS) || has_ip4(c, ip4_word(arp.sip)))
		return PASS;
	/* A probe asks; an answer from 0.0.0.0 is none. 1: ARP request, 3: RARP request. */
	return !ip4_word(arp.sip) && (arp.op == bpf_htons(1) || arp.op == bpf_htons(3)) ? PASS : SLC_DROP_SPOOF_ARP;
}

/* Where an IPv6 packet's upper layer is. */
struct upper {
	u32 off, end;
	u8 proto, fragment, hidden;
};

static __always_inline bool is_extension(u8 proto)
{
	return proto == EXT_HOP_BY_HOP || proto == EXT_ROUTING || proto == EXT_FRAGMENT || proto == EXT_AUTH ||
	       proto == EXT_DESTINATION;
}

static __always_inline void find_upper(struct __sk_buff *skb, u32 l3, const struct ipv6hdr *ip, struct upper *u)
{
	u8 ext[8];

	u->off = l3 + sizeof(*ip);
	u->end = u->off + bpf_ntohs(ip->payload_len);
	u->proto = ip->nexthdr;
	u->fragment = 0;
	u->hidden = 1;
	/* A jumbo of the kernel's own (BIG TCP) says 0 and means the frame's end: it is a segmentation request. */
	if (!ip->payload_len && skb->gso_size)
		u->end = skb->len;
	if (u->end > skb->len)
		return;
		/* Unrolled: clang lays the loop out in a way that Linux 6.1 takes for one without end ("back-edge"). */
#pragma clang loop unroll(full)
	for (u32 n = 0; n <= SPOOF_MAX_EXT; n++) {
		u32 len;

		if (!is_extension(u->proto)) {
			u->hidden = 0;
			return;
		}
		if (n == SPOOF_MAX_EXT || u->end - u->off < sizeof(ext) || bpf_skb_load_bytes(skb, u->off, ext, sizeof(ext)))
			return;
		len = u->proto == EXT_FRAGMENT ? 8 : u->proto == EXT_AUTH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
		if (len > u->end - u->off)
			return;
		if (u->proto == EXT_FRAGMENT) {
			u->fragment = 1;
			if ((ext[2] << 8 | ext[3]) & 0xfff8) {
				u->hidden = 0;
				return;
			}
		}
		u->proto = ext[0];
		u->off += len;
	}
}

static __noinline bool nd_options_ok(struct __sk_buff *skb, const struct slc_k_conf *c, u32 off, u32 end)
{
	u8 opt[8];

	if (!c)
		return false;
	for (u32 n = 0; n < ND_OPTIONS_MAX; n++) {
		if (off >= end)
			return true;
		if (bpf_skb_load_bytes(skb, off, opt, sizeof(opt)) || !opt[1] || opt[1] * ND_OPTION_UNIT > end - off)
			return false;
		if (c->flags & SLC_K_HAS_MAC && (opt[0] == ND_OPT_SLLA || opt[0] == ND_OPT_TLLA) &&
		    (opt[1] != 1 || !mac_equal(&opt[2], c->mac)))
			return false;
		off += opt[1] * ND_OPTION_UNIT;
	}
	return off >= end;
}

/* Bytes before the options of an ND message; 0 for another type. */
static __always_inline u32 nd_header_len(u8 type)
{
	return type == ND_RS ? 8 : type == ND_RA ? 16 : type == ND_NS || type == ND_NA ? 24 : type == ND_REDIRECT ? 40 : 0;
}

static __always_inline u32 check_nd(struct __sk_buff *skb, const struct slc_k_conf *c, const struct upper *u, u8 type,
				    const struct ip6_addr *src)
{
	u32 len = nd_header_len(type);
	struct ip6_addr target;

	if (len > u->end - u->off || !nd_options_ok(skb, c, u->off + len, u->end))
		return SLC_DROP_SPOOF_ND;
	if (!(c->flags & SLC_K_CHECK_IPS))
		return PASS;
	if (u->fragment || type == ND_RA || type == ND_REDIRECT)
		return SLC_DROP_SPOOF_ND;
	if (type == ND_RS || (type == ND_NS && !is_unspecified(src)))
		return PASS;
	if (type == ND_NA && is_unspecified(src))
		return SLC_DROP_SPOOF_ND;
	if (bpf_skb_load_bytes(skb, u->off + 8, &target, sizeof(target)))
		return SLC_DROP_SPOOF_ND;
	return lists_ip6(c, &target) || is_link_local(c, &target) ? PASS : SLC_DROP_SPOOF_ND;
}

static __always_inline bool may_say(const struct slc_k_conf *c, const struct ip6_addr *src, bool icmp, u8 type)
{
	bool report = icmp && (type == MLD_REPORT_V1 || type == MLD_DONE || type == MLD_REPORT_V2);

	if (is_unspecified(src))
		return report;
	return c->n6 > 0 || report || (icmp && type == MLD_QUERY);
}

__noinline u32 check_ipv6(struct __sk_buff *skb, const struct slc_k_conf *c, u32 l3)
{
	struct ip6_addr src;
	struct ipv6hdr ip;
	struct upper u;
	bool check, listed, icmp;
	u8 type = 0;

	if (!c)
		return SLC_DROP_SPOOF_IPV6;
	check = c->flags & SLC_K_CHECK_IPS;
	if (bpf_skb_load_bytes(skb, l3, &ip, sizeof(ip)) || ip.version != 6)
		return check ? SLC_DROP_SPOOF_IPV6 : PASS;
	__builtin_memcpy(&src, &ip.saddr, sizeof(src));
	listed = !check || lists_ip6(c, &src);
	if (!listed && !is_unspecified(&src) && !is_link_local(c, &src))
		return SLC_DROP_SPOOF_IPV6;
	find_upper(skb, l3, &ip, &u);
	icmp = !u.hidden && u.proto == IPPROTO_ICMPV6;
	if (icmp && (u.off >= u.end || bpf_skb_load_bytes(skb, u.off, &type, 1))) {
		u.hidden = 1;
		type = 0;
	}
	if (u.hidden)
		return check ? SLC_DROP_SPOOF_ND : PASS;
	if (icmp && nd_header_len(type))
		return check_nd(skb, c, &u, type, &src);
	return listed || may_say(c, &src, icmp, type) ? PASS : SLC_DROP_SPOOF_IPV6;
}

/* The reason to refuse the families and tags when they cannot be looked at. */
static __always_inline u32 hidden_family(u16 type)
{
	if (type == ETH_P_ARP || type == ETH_P_RARP_)
		return SLC_DROP_SPOOF_ARP;
	if (type == ETH_P_IPV6)
		return SLC_DROP_SPOOF_IPV6;
	if (type == ETH_P_IP || vlan_is_tpid(type) || type == 0x9100 || type == 0x9200 || type == 0x9300)
		return SLC_DROP_SPOOF_IPV4;
	return PASS;
}

static __always_inline u32 check_snap(struct __sk_buff *skb, u32 l3)
{
	u8 snap[8];

	if (bpf_skb_load_bytes(skb, l3, snap, sizeof(snap)) || (snap[0] & 0xfe) != 0xaa || (snap[1] & 0xfe) != 0xaa)
		return PASS;
	return hidden_family(snap[6] << 8 | snap[7]);
}

/* May the port send this frame? `src`: its Ethernet source. PASS, or SLC_DROP_SPOOF_*. */
static __always_inline u32 spoof_check(struct __sk_buff *skb, const struct slc_k_conf *c, const struct frame *f, const u8 *src)
{
	if (!(c->flags & (SLC_K_HAS_MAC | SLC_K_CHECK_IPS)))
		return PASS;
	if (c->flags & SLC_K_HAS_MAC && !mac_equal(src, c->mac))
		return SLC_DROP_SPOOF_MAC;
	if (likely(f->ethertype == ETH_P_IP))
		return check_ipv4(skb, c, f->l2);
	if (f->ethertype == ETH_P_IPV6)
		return check_ipv6(skb, c, f->l2);
	if (f->ethertype == ETH_P_ARP || f->ethertype == ETH_P_RARP_)
		return check_arp(skb, c, f->l2);
	if (!(c->flags & SLC_K_CHECK_IPS))
		return PASS;
	if (f->ethertype < LENGTH_NOT_TYPE)
		return check_snap(skb, f->l2);
	return hidden_family(f->ethertype);
}

#endif

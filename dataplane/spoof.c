/* SPDX-License-Identifier: Apache-2.0 */

#include "spoof.h"

#include <string.h>

#include <netinet/icmp6.h>
#include <sys/socket.h>

#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#define PASS SLC_DROP_N

#define MLD_QUERY	130
#define MLD_REPORT_V1	131
#define MLD_DONE	132
#define MLD_REPORT_V2	143
#define EXT_HOP_BY_HOP	0 /* next header values of RFC 8200 and RFC 4302 */
#define EXT_ROUTING	43
#define EXT_FRAGMENT	44
#define EXT_AUTH	51
#define EXT_DESTINATION 60
#define DHCP_SERVER	67
#define DHCP_CLIENT	68
#define LENGTH_NOT_TYPE 1536 /* smaller EtherTypes are an 802.3 frame's length */
#define ND_OPTION_UNIT	8
#define ND_OPTIONS_MAX	192 /* as many as 1500 bytes can hold */

/* --- the list ------------------------------------------------------------------------------------------------------------ */

static uint64_t mask64(unsigned bits)
{
	return rte_cpu_to_be_64(bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : ~(UINT64_MAX >> bits));
}

static void add_net6(struct spoof *s, const struct in6_addr *addr, unsigned prefix)
{
	struct spoof_net6 *net = &s->net6[s->n6++];

	memcpy(net->net, addr, sizeof(net->net));
	net->mask[0] = mask64(prefix);
	net->mask[1] = prefix > 64 ? mask64(prefix - 64) : 0;
	net->net[0] &= net->mask[0];
	net->net[1] &= net->mask[1];
}

static void add_net4(struct spoof *s, struct in_addr addr, unsigned prefix)
{
	struct spoof_net4 *net = &s->net4[s->n4++];

	net->mask = rte_cpu_to_be_32(prefix == 0 ? 0 : prefix >= 32 ? UINT32_MAX : ~(UINT32_MAX >> prefix));
	net->net = addr.s_addr & net->mask;
}

void spoof_init(struct spoof *s, const struct dp_port_conf *conf)
{
	memset(s, 0, sizeof(*s));
	s->has_mac = conf->has_mac;
	if (s->has_mac) {
		uint8_t *ll = s->link_local.s6_addr;

		memcpy(s->mac, conf->mac, sizeof(s->mac));
		ll[0] = 0xfe;
		ll[1] = 0x80;
		memcpy(&ll[8], &s->mac[0], 3);
		ll[8] ^= 2;
		ll[11] = 0xff;
		ll[12] = 0xfe;
		memcpy(&ll[13], &s->mac[3], 3);
	}
	for (unsigned i = 0; i < conf->n_ips && i < DP_MAX_IPS; i++) {
		if (conf->ips[i].family == AF_INET)
			add_net4(s, conf->ips[i].v4, conf->ips[i].prefix);
		else if (conf->ips[i].family == AF_INET6)
			add_net6(s, &conf->ips[i].v6, conf->ips[i].prefix);
	}
	s->n_ips = s->n4 + s->n6;
}

static bool has_ip4(const struct spoof *s, uint32_t addr)
{
	for (unsigned i = 0; i < s->n4; i++) {
		if ((addr & s->net4[i].mask) == s->net4[i].net)
			return true;
	}
	return false;
}

/* The list alone; the link-local address is another matter. */
static bool lists_ip6(const struct spoof *s, const struct in6_addr *addr)
{
	uint64_t a[2];

	memcpy(a, addr, sizeof(a));
	for (unsigned i = 0; i < s->n6; i++) {
		const struct spoof_net6 *net = &s->net6[i];

		if ((a[0] & net->mask[0]) == net->net[0] && (a[1] & net->mask[1]) == net->net[1])
			return true;
	}
	return false;
}

static bool is_link_local(const struct spoof *s, const struct in6_addr *addr)
{
	return s->has_mac && memcmp(addr, &s->link_local, sizeof(*addr)) == 0;
}

static bool is_mac(const struct spoof *s, const void *addr)
{
	return memcmp(addr, s->mac, sizeof(s->mac)) == 0;
}

/* --- IPv4 and ARP -------------------------------------------------------------------------------------------------------- */

static bool is_dhcp_request(const struct rte_mbuf *m, uint32_t l3, const struct rte_ipv4_hdr *ip)
{
	const struct rte_udp_hdr *udp;
	struct rte_udp_hdr buf;

	if (ip->src_addr != 0 || ip->dst_addr != UINT32_MAX || ip->next_proto_id != IPPROTO_UDP ||
	    ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	udp = rte_pktmbuf_read(m, l3 + rte_ipv4_hdr_len(ip), sizeof(*udp), &buf);
	return udp && udp->src_port == rte_cpu_to_be_16(DHCP_CLIENT) && udp->dst_port == rte_cpu_to_be_16(DHCP_SERVER);
}

static enum slc_drop check_ipv4(const struct spoof *s, const struct rte_mbuf *m, uint32_t l3)
{
	const struct rte_ipv4_hdr *ip;
	struct rte_ipv4_hdr buf;

	if (s->n_ips == 0)
		return PASS;
	ip = rte_pktmbuf_read(m, l3, sizeof(*ip), &buf);
	if (unlikely(!ip || ip->version_ihl >> 4 != 4 || rte_ipv4_hdr_len(ip) < sizeof(*ip) ||
		     l3 + rte_ipv4_hdr_len(ip) > m->pkt_len))
		return SLC_DROP_SPOOF_IPV4;
	if (likely(has_ip4(s, ip->src_addr)) || is_dhcp_request(m, l3, ip))
		return PASS;
	return SLC_DROP_SPOOF_IPV4;
}

/* ARP and RARP: the same message. What its hardware type says does not matter, only where it puts the addresses. */
static enum slc_drop check_arp(const struct spoof *s, const struct rte_mbuf *m, uint32_t l3)
{
	struct rte_arp_hdr arp;
	const void *p;

	/* Copied, for the structure wants an even address and a frame need not have one. */
	p = rte_pktmbuf_read(m, l3, sizeof(arp), &arp);
	if (!p)
		return SLC_DROP_SPOOF_ARP;
	memmove(&arp, p, sizeof(arp));
	if (arp.arp_hlen != RTE_ETHER_ADDR_LEN || arp.arp_plen != sizeof(uint32_t) ||
	    arp.arp_protocol != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		return SLC_DROP_SPOOF_ARP;
	if (s->has_mac && !is_mac(s, &arp.arp_data.arp_sha))
		return SLC_DROP_SPOOF_ARP;
	if (s->n_ips == 0 || has_ip4(s, arp.arp_data.arp_sip))
		return PASS;
	/* A probe asks; an answer from 0.0.0.0 is none. */
	if (arp.arp_data.arp_sip == 0 &&
	    (arp.arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REQUEST) || arp.arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REVREQUEST)))
		return PASS;
	return SLC_DROP_SPOOF_ARP;
}

/* --- IPv6 and neighbour discovery ---------------------------------------------------------------------------------------- */

/* Where an IPv6 packet's upper layer is. */
struct upper {
	uint32_t off;  /* in the frame */
	uint32_t end;  /* of the packet, in the frame */
	uint8_t proto; /* EXT_FRAGMENT: a fragment other than the first, which holds no header */
	bool fragment; /* behind a fragment header */
	bool hidden;   /* cannot be seen: truncated, too many headers */
};

static struct upper find_upper(const struct rte_mbuf *m, uint32_t l3, const struct rte_ipv6_hdr *ip)
{
	struct upper u = {
		.off = l3 + sizeof(*ip),
		.end = l3 + sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len),
		.proto = ip->proto,
	};

	/* A packet that claims more than the frame holds has no end that could be trusted; less is Ethernet's padding. */
	if (u.end > m->pkt_len) {
		u.hidden = true;
		return u;
	}
	for (unsigned n = 0;; n++) {
		const uint8_t *ext;
		uint8_t buf[8];
		uint32_t len;

		if (u.proto != EXT_HOP_BY_HOP && u.proto != EXT_ROUTING && u.proto != EXT_FRAGMENT && u.proto != EXT_AUTH &&
		    u.proto != EXT_DESTINATION)
			return u;
		if (n == SPOOF_MAX_EXT || u.end - u.off < sizeof(buf))
			break;
		ext = rte_pktmbuf_read(m, u.off, sizeof(buf), buf);
		if (!ext)
			break;
		len = u.proto == EXT_FRAGMENT ? 8 : u.proto == EXT_AUTH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
		if (len > u.end - u.off)
			break;
		if (u.proto == EXT_FRAGMENT) {
			u.fragment = true;
			if ((ext[2] << 8 | ext[3]) & 0xfff8)
				return u;
		}
		u.proto = ext[0];
		u.off += len;
	}
	u.hidden = true;
	return u;
}

/* Every link-layer address option must name the port's MAC, and all options must lie inside the packet. */
static bool nd_options_ok(const struct spoof *s, const struct rte_mbuf *m, uint32_t off, uint32_t end)
{
	for (unsigned n = 0; off < end; n++) {
		const uint8_t *opt;
		uint8_t buf[8];

		if (n == ND_OPTIONS_MAX)
			return false;
		opt = rte_pktmbuf_read(m, off, sizeof(buf), buf);
		if (!opt || opt[1] == 0 || (uint32_t)opt[1] * ND_OPTION_UNIT > end - off)
			return false;
		if (s->has_mac && (opt[0] == ND_OPT_SOURCE_LINKADDR || opt[0] == ND_OPT_TARGET_LINKADDR) &&
		    (opt[1] != 1 || !is_mac(s, &opt[2])))
			return false;
		off += (uint32_t)opt[1] * ND_OPTION_UNIT;
	}
	return true;
}

/* Bytes before the options of an ND message; 0 for another ICMPv6 type. */
static uint32_t nd_header_len(uint8_t type)
{
	switch (type) {
	case ND_ROUTER_SOLICIT:
		return sizeof(struct nd_router_solicit);
	case ND_ROUTER_ADVERT:
		return sizeof(struct nd_router_advert);
	case ND_NEIGHBOR_SOLICIT:
	case ND_NEIGHBOR_ADVERT:
		return sizeof(struct nd_neighbor_solicit);
	case ND_REDIRECT:
		return sizeof(struct nd_redirect);
	}
	return 0;
}

static enum slc_drop check_nd(const struct spoof *s, const struct rte_mbuf *m, const struct upper *u, uint8_t type,
			      const struct in6_addr *src)
{
	uint32_t len = nd_header_len(type);
	struct in6_addr target;
	const void *p;

	if (len > u->end - u->off || !nd_options_ok(s, m, u->off + len, u->end))
		return SLC_DROP_SPOOF_ND;
	if (s->n_ips == 0)
		return PASS;
	if (u->fragment || type == ND_ROUTER_ADVERT || type == ND_REDIRECT)
		return SLC_DROP_SPOOF_ND;
	/* A solicitation may ask for anybody; only from :: does it claim what it asks for. */
	if (type == ND_ROUTER_SOLICIT || (type == ND_NEIGHBOR_SOLICIT && !IN6_IS_ADDR_UNSPECIFIED(src)))
		return PASS;
	if (type == ND_NEIGHBOR_ADVERT && IN6_IS_ADDR_UNSPECIFIED(src))
		return SLC_DROP_SPOOF_ND;
	p = rte_pktmbuf_read(m, u->off + offsetof(struct nd_neighbor_solicit, nd_ns_target), sizeof(target), &target);
	if (!p)
		return SLC_DROP_SPOOF_ND;
	memmove(&target, p, sizeof(target));
	return lists_ip6(s, &target) || is_link_local(s, &target) ? PASS : SLC_DROP_SPOOF_ND;
}

/* A message other than ND, from an address that the list does not name but that has uses of its own. */
static bool may_say(const struct spoof *s, const struct in6_addr *src, bool icmp, uint8_t type)
{
	bool report = icmp && (type == MLD_REPORT_V1 || type == MLD_DONE || type == MLD_REPORT_V2);

	if (IN6_IS_ADDR_UNSPECIFIED(src))
		return report;
	return s->n6 > 0 || report || (icmp && type == MLD_QUERY);
}

static enum slc_drop check_ipv6(const struct spoof *s, const struct rte_mbuf *m, uint32_t l3)
{
	const struct rte_ipv6_hdr *ip;
	struct rte_ipv6_hdr buf;
	struct in6_addr src;
	struct upper u;
	bool listed, icmp;
	uint8_t type = 0;

	ip = rte_pktmbuf_read(m, l3, sizeof(*ip), &buf);
	if (!ip || rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6)
		return s->n_ips ? SLC_DROP_SPOOF_IPV6 : PASS;
	memcpy(&src, ip->src_addr, sizeof(src));
	listed = s->n_ips == 0 || lists_ip6(s, &src);
	/* Before the look into the packet, so that a foreign source has that reason whatever it carries. */
	if (!listed && !IN6_IS_ADDR_UNSPECIFIED(&src) && !is_link_local(s, &src))
		return SLC_DROP_SPOOF_IPV6;

	u = find_upper(m, l3, ip);
	icmp = !u.hidden && u.proto == IPPROTO_ICMPV6;
	if (icmp) {
		const uint8_t *p = u.off < u.end ? rte_pktmbuf_read(m, u.off, 1, &type) : NULL;

		u.hidden = !p;
		type = p ? *p : 0;
	}
	if (u.hidden)
		return s->n_ips ? SLC_DROP_SPOOF_ND : PASS;
	if (icmp && nd_header_len(type))
		return check_nd(s, m, &u, type, &src);
	return listed || may_say(s, &src, icmp, type) ? PASS : SLC_DROP_SPOOF_IPV6;
}

/* --- everything ---------------------------------------------------------------------------------------------------------- */

static bool is_tag(uint16_t ethertype)
{
	return ethertype == RTE_ETHER_TYPE_VLAN || ethertype == RTE_ETHER_TYPE_QINQ || ethertype == RTE_ETHER_TYPE_QINQ1 ||
	       ethertype == RTE_ETHER_TYPE_QINQ2 || ethertype == RTE_ETHER_TYPE_QINQ3;
}

/* The reason to refuse the families and tags when they cannot be looked at; PASS for anything else. */
static enum slc_drop hidden_family(uint16_t ethertype)
{
	if (ethertype == RTE_ETHER_TYPE_ARP || ethertype == RTE_ETHER_TYPE_RARP)
		return SLC_DROP_SPOOF_ARP;
	if (ethertype == RTE_ETHER_TYPE_IPV6)
		return SLC_DROP_SPOOF_IPV6;
	if (ethertype == RTE_ETHER_TYPE_IPV4 || is_tag(ethertype))
		return SLC_DROP_SPOOF_IPV4;
	return PASS;
}

/* RFC 1042: AA AA 03, an organisation that says "an EtherType follows", the EtherType. */
static enum slc_drop check_snap(const struct rte_mbuf *m, uint32_t l3)
{
	const uint8_t *snap;
	uint8_t buf[8];

	snap = rte_pktmbuf_read(m, l3, sizeof(buf), buf);
	if (!snap || (snap[0] & 0xfe) != 0xaa || (snap[1] & 0xfe) != 0xaa)
		return PASS;
	return hidden_family((uint16_t)(snap[6] << 8 | snap[7]));
}

enum slc_drop spoof_check(const struct spoof *s, const struct rte_mbuf *m, uint16_t l2_len, uint16_t ethertype)
{
	if (s->has_mac) {
		const uint8_t *src;
		uint8_t buf[6];

		src = rte_pktmbuf_read(m, offsetof(struct rte_ether_hdr, src_addr), sizeof(buf), buf);
		if (unlikely(!src || !is_mac(s, src)))
			return SLC_DROP_SPOOF_MAC;
	}
	if (likely(ethertype == RTE_ETHER_TYPE_IPV4))
		return check_ipv4(s, m, l2_len);
	if (ethertype == RTE_ETHER_TYPE_IPV6)
		return check_ipv6(s, m, l2_len);
	if (ethertype == RTE_ETHER_TYPE_ARP || ethertype == RTE_ETHER_TYPE_RARP)
		return check_arp(s, m, l2_len);
	if (s->n_ips == 0)
		return PASS;
	if (ethertype < LENGTH_NOT_TYPE)
		return check_snap(m, l2_len);
	return hidden_family(ethertype);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vnet.h"

#define TCP_CSUM_OFFSET	 offsetof(struct rte_tcp_hdr, cksum)
#define UDP_CSUM_OFFSET	 offsetof(struct rte_udp_hdr, dgram_cksum)
#define SCTP_CSUM_OFFSET 8   /* a CRC32c of four bytes; no Internet checksum has this offset */
#define MAX_L3		 511 /* width of l3_len */
#define TCP_FLAGS_OFFSET offsetof(struct rte_tcp_hdr, tcp_flags)
#define TCP_CWR		 0x80

/* What the frame's own headers say. Offsets from the frame's first byte; all of them inside the first segment. */
struct heads {
	uint32_t l2_len, l3_len;
	uint32_t l4;	   /* offset */
	uint32_t l4_bytes; /* header and payload, by the IP header's length; inside the frame */
	uint8_t proto;
	bool v6, fragment;
	bool padded; /* there is more behind the IP packet */
};

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static bool is_tag(uint16_t ethertype)
{
	return ethertype == RTE_ETHER_TYPE_VLAN || ethertype == RTE_ETHER_TYPE_QINQ;
}

/* Walk the IPv6 extension headers that stand before the transport header. `at` is the end of the fixed header. */
static bool parse_ipv6_extensions(const uint8_t *p, uint32_t len, uint32_t at, uint8_t proto, struct heads *h)
{
	uint32_t start = at - sizeof(struct rte_ipv6_hdr);
	uint32_t size;

	for (;;) {
		switch (proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (at + 8 > len)
				return false;
			size = 8 + p[at + 1] * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (at + 8 > len)
				return false;
			h->fragment = true;
			size = 8;
			break;
		default:
			h->proto = proto;
			h->l4 = at;
			h->l3_len = at - start;
			return true;
		}
		if (at + size > len || at + size - start > MAX_L3)
			return false;
		proto = p[at];
		at += size;
	}
}

/* false: not IP, not all there, or not to be named by an mbuf. */
static bool parse(const struct rte_mbuf *m, struct heads *h)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t len = m->data_len, at = RTE_ETHER_HDR_LEN, end;
	uint16_t type;

	if (len < at)
		return false;
	memset(h, 0, sizeof(*h));
	for (type = get16(p + 12); is_tag(type); at += RTE_VLAN_HLEN) {
		if (at + RTE_VLAN_HLEN > RTE_MIN(len, (uint32_t)VNET_MAX_L2))
			return false;
		type = get16(p + at + 2);
	}
	h->l2_len = at;
	if (type == RTE_ETHER_TYPE_IPV4) {
		if (at + sizeof(struct rte_ipv4_hdr) > len || p[at] >> 4 != 4)
			return false;
		h->l3_len = (p[at] & 0xf) * 4;
		h->l4 = at + h->l3_len;
		h->proto = p[at + 9];
		h->fragment = get16(p + at + 6) & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
		end = at + get16(p + at + 2);
		if (h->l3_len < sizeof(struct rte_ipv4_hdr))
			return false;
	} else if (type == RTE_ETHER_TYPE_IPV6) {
		if (at + sizeof(struct rte_ipv6_hdr) > len || p[at] >> 4 != 6)
			return false;
		h->v6 = true;
		end = at + sizeof(struct rte_ipv6_hdr) + get16(p + at + 4);
		if (!parse_ipv6_extensions(p, len, at + sizeof(struct rte_ipv6_hdr), p[at + 6], h))
			return false;
	} else {
		return false;
	}
	if (h->l4 > len || h->l4 > end || end > m->pkt_len)
		return false;
	h->l4_bytes = end - h->l4;
	h->padded = end < m->pkt_len;
	return true;
}

static uint16_t csum_add(uint16_t a, uint16_t b)
{
	uint32_t sum = (uint32_t)a + b;

	return (sum & 0xffff) + (sum >> 16);
}

static uint16_t csum_sub(uint16_t a, uint16_t b)
{
	return csum_add(a, ~b);
}

/* The field may lie across two segments. */
static void put_bytes(struct rte_mbuf *m, uint32_t at, const void *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++, at++) {
		while (at >= m->data_len) {
			at -= m->data_len;
			m = m->next;
		}
		*rte_pktmbuf_mtod_offset(m, uint8_t *, at) = ((const uint8_t *)bytes)[i];
	}
}

void vnet_put(struct rte_mbuf *m, uint32_t at, uint16_t value)
{
	put_bytes(m, at, &value, sizeof(value));
}

/*
 * The ones' complement sum of the bytes from `at` to the frame's end. Not rte_raw_cksum_mbuf(): where a segment starts at an odd
 * byte it swaps a sum before folding it, and loses the carry (DPDK 22.11).
 */
static uint16_t sum_from(const struct rte_mbuf *m, uint32_t at)
{
	uint16_t sum = 0, part;
	uint32_t done = 0, n;

	for (; m; m = m->next) {
		if (at >= m->data_len) {
			at -= m->data_len;
			continue;
		}
		n = m->data_len - at;
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const uint8_t *, at), n);
		sum = csum_add(sum, done & 1 ? rte_bswap16(part) : part);
		done += n;
		at = 0;
	}
	return sum;
}

/* The same for CRC32c. Not rte_hash_crc(), which reads words where they do not lie on their boundary. */
static uint32_t crc_from(const struct rte_mbuf *m, uint32_t at, uint32_t crc)
{
	const uint8_t *p, *end;
	uint64_t word;

	for (; m; m = m->next) {
		if (at >= m->data_len) {
			at -= m->data_len;
			continue;
		}
		p = rte_pktmbuf_mtod_offset(m, const uint8_t *, at);
		end = rte_pktmbuf_mtod_offset(m, const uint8_t *, m->data_len);
		for (; end - p >= (ptrdiff_t)sizeof(word); p += sizeof(word)) {
			memcpy(&word, p, sizeof(word));
			crc = rte_hash_crc_8byte(word, crc);
		}
		for (; p < end; p++)
			crc = rte_hash_crc_1byte(*p, crc);
		at = 0;
	}
	return crc;
}

/* The Linux meaning of the request, to the letter: everything from `start` to the frame's end, the field included. */
static int complete(struct rte_mbuf *m, uint32_t start, uint32_t offset)
{
	uint32_t crc = 0;
	uint16_t sum;

	if (offset != SCTP_CSUM_OFFSET) {
		sum = ~sum_from(m, start);
		if (!sum) /* the same number; to UDP zero means "none" */
			sum = 0xffff;
		put_bytes(m, start + offset, &sum, sizeof(sum));
		return 0;
	}
	if (start + offset + sizeof(crc) > m->pkt_len)
		return -EINVAL;
	put_bytes(m, start + offset, &crc, sizeof(crc));
	crc = rte_cpu_to_le_32(~crc_from(m, start, 0xffffffff));
	put_bytes(m, start + offset, &crc, sizeof(crc));
	return 0;
}

/*
 * The transport header can be named by an mbuf: TCP or UDP, whole, of the length that IP says, in the first segment. Fills
 * *l4_len, *offset.
 */
static bool nameable(const struct rte_mbuf *m, const struct heads *h, uint32_t *l4_len, uint32_t *offset)
{
	const uint8_t *l4 = rte_pktmbuf_mtod_offset(m, const uint8_t *, h->l4);

	if (h->fragment || h->padded)
		return false;
	switch (h->proto) {
	case IPPROTO_TCP:
		*offset = TCP_CSUM_OFFSET;
		if (h->l4_bytes < sizeof(struct rte_tcp_hdr) || h->l4 + sizeof(struct rte_tcp_hdr) > m->data_len)
			return false;
		*l4_len = (l4[12] >> 4) * 4;
		return *l4_len >= sizeof(struct rte_tcp_hdr) && *l4_len <= h->l4_bytes && h->l4 + *l4_len <= m->data_len;
	case IPPROTO_UDP:
		*offset = UDP_CSUM_OFFSET;
		*l4_len = sizeof(struct rte_udp_hdr);
		return h->l4_bytes >= *l4_len && h->l4 + *l4_len <= m->data_len && get16(l4 + 4) == h->l4_bytes;
	default:
		return false;
	}
}

static void request_csum(struct rte_mbuf *m, const struct heads *h, uint32_t l4_len)
{
	m->ol_flags |= (h->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
		       (h->proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	m->l2_len = h->l2_len;
	m->l3_len = h->l3_len;
	m->l4_len = l4_len;
}

/* The pseudo header's folded sum, length included, from the IP header's addresses. */
static uint16_t pseudo_sum(const uint8_t *l3, const struct heads *h)
{
	uint16_t sum = h->v6 ? rte_raw_cksum(l3 + 8, 32) : rte_raw_cksum(l3 + 12, 8);

	return csum_add(csum_add(sum, rte_cpu_to_be_16(h->proto)), rte_cpu_to_be_16(h->l4_bytes));
}

static int request_segments(const struct virtio_net_hdr *vh, struct rte_mbuf *m)
{
	uint8_t type = vh->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	bool udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;
	uint32_t l4_len, offset, payload;
	struct heads h;
	uint16_t *field;

	if (!udp && type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6)
		return -EINVAL; /* GSO_UDP, fragments, is no longer made by any kernel that we run on */
	if (udp && vh->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		return -EINVAL;
	if (!parse(m, &h) || !nameable(m, &h, &l4_len, &offset))
		return -EINVAL;
	if (h.proto != (udp ? IPPROTO_UDP : IPPROTO_TCP) || (!udp && h.v6 != (type == VIRTIO_NET_HDR_GSO_TCPV6)))
		return -EINVAL;
	field = rte_pktmbuf_mtod_offset(m, uint16_t *, h.l4 + offset);
	if (!(vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		*field = pseudo_sum(rte_pktmbuf_mtod_offset(m, const uint8_t *, h.l2_len),
				    &h); /* the whole frame's checksum was complete: worthless to its segments */
	else if (vh->csum_start != h.l4 || vh->csum_offset != offset)
		return -EINVAL;

	payload = h.l4_bytes - l4_len;
	if (!payload || !vh->gso_size)
		return -EINVAL;
	request_csum(m, &h, l4_len);
	if (payload <= vh->gso_size)
		return 0;
	if (udp ? payload > (uint32_t)vh->gso_size * VNET_MAX_UDP_SEGS : vh->gso_size < VNET_MIN_TCP_SEG)
		return -EINVAL;
	m->tso_segsz = vh->gso_size;
	m->ol_flags |= udp ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG;
	if (!udp)
		*field = csum_sub(*field, rte_cpu_to_be_16(h.l4_bytes));
	return 0;
}

int vnet_csum_rest(struct rte_mbuf *m, uint32_t start, uint32_t offset)
{
	uint16_t field, rest;

	if (start + offset + sizeof(field) > m->data_len)
		return -EINVAL;
	memcpy(&field, rte_pktmbuf_mtod_offset(m, const uint8_t *, start + offset), sizeof(field));
	rest = sum_from(m, m->data_len);
	if ((m->data_len - start) & 1)
		rest = rte_bswap16(rest);
	field = ~csum_add(~field, rest);
	vnet_put(m, start + offset, field ? field : 0xffff);
	return 0;
}

int vnet_to_mbuf(const struct virtio_net_hdr *vh, struct rte_mbuf *m)
{
	uint32_t start = vh->csum_start, l4_len, offset;
	struct heads h;

	if (likely(!(vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && vh->gso_type == VIRTIO_NET_HDR_GSO_NONE))
		return 0;
	if (vh->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return request_segments(vh, m);
	if (start < RTE_ETHER_HDR_LEN || start + vh->csum_offset + sizeof(uint16_t) > m->pkt_len)
		return -EINVAL;
	if (parse(m, &h) && nameable(m, &h, &l4_len, &offset) && start == h.l4 && vh->csum_offset == offset) {
		request_csum(m, &h, l4_len);
		return 0;
	}
	return complete(m, start, vh->csum_offset);
}

int vnet_from_mbuf(const struct rte_mbuf *m, struct virtio_net_hdr *vh, uint32_t *edit, uint16_t *value)
{
	bool tso = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG, uso = m->ol_flags & RTE_MBUF_F_TX_UDP_SEG;
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint32_t start = m->l2_len + m->l3_len, l3_min;
	uint8_t head[sizeof(struct rte_ipv6_hdr)];
	const uint8_t *p;
	struct heads h;

	memset(vh, 0, sizeof(*vh));
	*edit = 0;
	if (likely(!tso && !uso && !l4))
		return 0;
	if (tso)
		l4 = RTE_MBUF_F_TX_TCP_CKSUM; /* implied */
	else if (uso)
		l4 = RTE_MBUF_F_TX_UDP_CKSUM;
	if (l4 == RTE_MBUF_F_TX_SCTP_CKSUM || (tso && uso))
		return -EINVAL;
	vh->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vh->csum_start = start;
	vh->csum_offset = l4 == RTE_MBUF_F_TX_TCP_CKSUM ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET;
	vh->hdr_len = start + vh->csum_offset + sizeof(uint16_t);
	if (start < RTE_ETHER_HDR_LEN || vh->hdr_len > m->pkt_len)
		return -EINVAL;
	if (!tso && !uso)
		return 0;

	vh->hdr_len = start + m->l4_len;
	vh->gso_size = m->tso_segsz;
	if (m->l4_len < (tso ? sizeof(struct rte_tcp_hdr) : sizeof(struct rte_udp_hdr)) || !m->tso_segsz ||
	    vh->hdr_len > m->pkt_len || m->pkt_len - start > UINT16_MAX)
		return -EINVAL;
	vh->gso_type = uso				  ? VIRTIO_NET_HDR_GSO_UDP_L4
		       : m->ol_flags & RTE_MBUF_F_TX_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6
							  : VIRTIO_NET_HDR_GSO_TCPV4;
	p = rte_pktmbuf_read(m, start + TCP_FLAGS_OFFSET, 1, head);
	if (tso && *p & TCP_CWR)
		vh->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	/*
	 * The field is not read: DPDK leaves the length out of a segmentation request's pseudo sum, Linux does not, and senders of
	 * both schools are found behind other kinds of port.
	 */
	h = (struct heads){
		.l2_len = m->l2_len,
		.l4_bytes = m->pkt_len - start,
		.proto = tso ? IPPROTO_TCP : IPPROTO_UDP,
		.v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6,
	};
	l3_min = h.v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	if (m->l3_len < l3_min)
		return -EINVAL;
	*edit = start + vh->csum_offset;
	*value = pseudo_sum(rte_pktmbuf_read(m, m->l2_len, l3_min, head), &h);
	return 0;
}

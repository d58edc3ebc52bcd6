/* SPDX-License-Identifier: Apache-2.0 */

#include "offload.h"

#include <errno.h>
#include <string.h>

#include <netinet/in.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define MAX_EXT	   8   /* IPv6 extension headers */
#define MAX_L3_LEN 511 /* what m->l3_len holds */

/* --- bytes of a frame, wherever its segments end --------------------------------------------------------------------------- */

/* Copy out; false if the frame is shorter. */
static bool get(const struct rte_mbuf *m, uint32_t off, void *to, uint32_t len)
{
	const void *p = rte_pktmbuf_read(m, off, len, to);

	if (!p)
		return false;
	if (p != to)
		memcpy(to, p, len);
	return true;
}

/* Copy in. The range lies inside the frame, and the frame is writable there. */
static void set(struct rte_mbuf *m, uint32_t off, const void *from, uint32_t len)
{
	const uint8_t *p = from;

	for (; off >= m->data_len; m = m->next)
		off -= m->data_len;
	for (; len; m = m->next, off = 0) {
		uint32_t n = RTE_MIN(len, m->data_len - off);

		memcpy(rte_pktmbuf_mtod_offset(m, void *, off), p, n);
		p += n;
		len -= n;
	}
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + sum);
}

/* Ones' complement sum of one piece, in memory order. Eight bytes at a time: rte_raw_cksum() takes two. */
static uint16_t sum_piece(const uint8_t *p, uint32_t len)
{
	uint64_t even = 0, odd = 0, w;

	for (; len >= 16; p += 16, len -= 16) {
		memcpy(&w, p, 8);
		even += (w & UINT32_MAX) + (w >> 32);
		memcpy(&w, p + 8, 8);
		odd += (w & UINT32_MAX) + (w >> 32);
	}
	for (; len >= 2; p += 2, len -= 2) {
		uint16_t v;

		memcpy(&v, p, 2);
		even += v;
	}
	if (len) {
		uint16_t v = 0;

		memcpy(&v, p, 1);
		odd += v;
	}
	return fold(even + odd);
}

/*
 * The same over a range of a frame, which lies inside it. rte_raw_cksum_mbuf() would be it, but in 22.11 it loses the carries of a
 * piece that begins at an odd place.
 */
static uint16_t sum_range(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint64_t sum = 0;
	bool odd = false;

	for (; off >= m->data_len; m = m->next)
		off -= m->data_len;
	for (; len; m = m->next, off = 0) {
		uint32_t n = RTE_MIN(len, m->data_len - off);
		uint16_t v = sum_piece(rte_pktmbuf_mtod_offset(m, const uint8_t *, off), n);

		sum += odd ? rte_bswap16(v) : v;
		odd ^= n & 1;
		len -= n;
	}
	return fold(sum);
}

/* --- headers --------------------------------------------------------------------------------------------------------------- */

/* What the headers really say. */
struct headers {
	uint32_t l3, l4, end; /* offsets in the frame; end of the packet, before padding */
	uint8_t proto;
	bool v6;
	bool routed; /* a routing header: the destination in the IPv6 header is not the pseudo header's */
};

static int find_l4_ipv6(const struct rte_mbuf *m, struct headers *h)
{
	struct rte_ipv6_hdr ip;

	if (!get(m, h->l3, &ip, sizeof(ip)) || rte_be_to_cpu_32(ip.vtc_flow) >> 28 != 6)
		return -EINVAL;
	h->proto = ip.proto;
	h->l4 = h->l3 + sizeof(ip);
	h->end = h->l4 + rte_be_to_cpu_16(ip.payload_len);
	for (unsigned n = 0; n <= MAX_EXT; n++) {
		uint8_t ext[4];

		if (h->proto != IPPROTO_HOPOPTS && h->proto != IPPROTO_ROUTING && h->proto != IPPROTO_DSTOPTS)
			return h->l4 <= h->end && h->l4 - h->l3 <= MAX_L3_LEN ? 0 : -EINVAL;
		if (!get(m, h->l4, ext, sizeof(ext)))
			return -EINVAL;
		if (h->proto == IPPROTO_ROUTING && ext[3])
			h->routed = true;
		h->proto = ext[0];
		h->l4 += (ext[1] + 1u) * 8;
	}
	return -EINVAL;
}

/*
 * Find the layer 4 header of the packet at `l3`. -EINVAL for what has none that could be completed: a fragment (its checksum covers bytes
 * that are not here), an authentication header (it covers ours), headers that are cut off.
 */
static int find_l4(const struct rte_mbuf *m, uint32_t l3, bool v6, struct headers *h)
{
	struct rte_ipv4_hdr ip;

	*h = (struct headers){.l3 = l3, .v6 = v6};
	if (v6) {
		if (find_l4_ipv6(m, h))
			return -EINVAL;
	} else {
		if (!get(m, l3, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4 || rte_ipv4_hdr_len(&ip) < sizeof(ip) ||
		    ip.fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
			return -EINVAL;
		h->proto = ip.next_proto_id;
		h->l4 = l3 + rte_ipv4_hdr_len(&ip);
		h->end = l3 + rte_be_to_cpu_16(ip.total_length);
	}
	return h->l4 <= h->end && h->end <= m->pkt_len ? 0 : -EINVAL;
}

/* Length of the TCP or UDP header, whole and inside the packet; 0 if it is not. */
static uint32_t l4_header_len(const struct rte_mbuf *m, const struct headers *h)
{
	uint32_t len = 0;

	if (h->proto == IPPROTO_TCP) {
		struct rte_tcp_hdr tcp;

		if (get(m, h->l4, &tcp, sizeof(tcp)))
			len = (tcp.data_off >> 4) * 4u;
		if (len < sizeof(tcp))
			return 0;
	} else if (h->proto == IPPROTO_UDP) {
		len = sizeof(struct rte_udp_hdr);
	}
	return len <= h->end - h->l4 ? len : 0;
}

/* A datagram shorter than its packet would have its checksum cover less than we sum. */
static bool datagram_is_whole(const struct rte_mbuf *m, const struct headers *h)
{
	rte_be16_t len;

	return h->proto != IPPROTO_UDP || (get(m, h->l4 + offsetof(struct rte_udp_hdr, dgram_len), &len, sizeof(len)) &&
					   rte_be_to_cpu_16(len) == h->end - h->l4);
}

static uint32_t csum_offset(uint8_t proto)
{
	return proto == IPPROTO_TCP ? offsetof(struct rte_tcp_hdr, cksum) : offsetof(struct rte_udp_hdr, dgram_cksum);
}

/* Folded sum of the pseudo header of a layer 4 packet of `len` bytes, as CHECKSUM_PARTIAL leaves it in the field. */
static uint16_t pseudo_sum(const struct rte_mbuf *m, const struct headers *h, uint32_t len)
{
	uint32_t off = h->l3 + (h->v6 ? offsetof(struct rte_ipv6_hdr, src_addr) : offsetof(struct rte_ipv4_hdr, src_addr));
	uint64_t sum = sum_range(m, off, h->v6 ? 32 : 8);

	return fold(sum + rte_cpu_to_be_16((uint16_t)len) + rte_cpu_to_be_16(h->proto));
}

/* --- admission ------------------------------------------------------------------------------------------------------------- */

/* Do l2_len bytes of Ethernet header and tags lead to the network header that the flags name? */
static bool l2_agrees(const struct rte_mbuf *m)
{
	rte_be16_t want = rte_cpu_to_be_16(m->ol_flags & RTE_MBUF_F_TX_IPV6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4), type;
	uint32_t off = 2 * RTE_ETHER_ADDR_LEN;

	for (unsigned tags = 0; tags <= OFFLOAD_MAX_TAGS; tags++) {
		if (!get(m, off, &type, sizeof(type)))
			return false;
		off += sizeof(type);
		if (type == want)
			return off == m->l2_len;
		if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) && type != rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ) &&
		    type != rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ1))
			return false;
		off += sizeof(type);
	}
	return false;
}

/* An IPv4 header checksum alone: whatever the packet carries. */
static int check_ip_only(struct rte_mbuf *m)
{
	struct rte_ipv4_hdr ip;

	if (!get(m, m->l2_len, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4 || m->l3_len < sizeof(ip) ||
	    m->l3_len != rte_ipv4_hdr_len(&ip) || (uint32_t)m->l2_len + m->l3_len > m->pkt_len)
		return -EINVAL;
	m->l4_len = 0;
	m->tso_segsz = 0;
	return 0;
}

/* A request for one segment is a request for a checksum, of the form that all agree on. */
static void make_csum_request(struct rte_mbuf *m, const struct headers *h)
{
	uint32_t len = h->end - h->l4;
	uint16_t sum = pseudo_sum(m, h, len);
	rte_be16_t dgram_len = rte_cpu_to_be_16((uint16_t)len);

	if (h->proto == IPPROTO_UDP)
		set(m, h->l4 + offsetof(struct rte_udp_hdr, dgram_len), &dgram_len, sizeof(dgram_len));
	set(m, h->l4 + csum_offset(h->proto), &sum, sizeof(sum));
	m->ol_flags &= ~OFFLOAD_SEGMENT;
	m->tso_segsz = 0;
}

static int check_segments(struct rte_mbuf *m, const struct headers *h)
{
	uint32_t payload = h->end - h->l4 - m->l4_len;

	/* Padding would become payload, and a routing header hides the address that each segment's checksum covers. */
	if (m->tso_segsz == 0 || h->end != m->pkt_len || h->routed)
		return -EINVAL;
	if (payload <= m->tso_segsz)
		make_csum_request(m, h);
	else if (payload > (uint32_t)m->tso_segsz * OFFLOAD_MAX_SEGS)
		return -EINVAL;
	return 0;
}

int offload_check(struct rte_mbuf *m)
{
	const uint64_t ip_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6;
	uint64_t family = m->ol_flags & ip_flags, ask = m->ol_flags & OFFLOAD_REQUEST, l4 = ask & RTE_MBUF_F_TX_L4_MASK, want_l4;
	bool v6 = family == RTE_MBUF_F_TX_IPV6;
	struct headers h;
	uint32_t l4_len;

	m->ol_flags &= ~(RTE_MBUF_F_TX_OFFLOAD_MASK & ~(OFFLOAD_REQUEST | ip_flags));
	if (!ask) {
		m->ol_flags &= ~ip_flags;
		m->tx_offload = 0;
		return 0;
	}
	m->tx_offload = (uint64_t)rte_mbuf_tx_offload(m->l2_len, m->l3_len, m->l4_len, m->tso_segsz, 0, 0, 0);
	if ((family != RTE_MBUF_F_TX_IPV4 && !v6) || (v6 && ask & RTE_MBUF_F_TX_IP_CKSUM) || !l2_agrees(m))
		return -EINVAL;
	if (ask == RTE_MBUF_F_TX_IP_CKSUM)
		return check_ip_only(m);

	if (find_l4(m, m->l2_len, v6, &h) || h.l4 != (uint32_t)m->l2_len + m->l3_len)
		return -EINVAL;
	l4_len = l4_header_len(m, &h);
	if (l4_len == 0)
		return -EINVAL;
	/* A sender that asks for a checksum alone need not fill in l4_len. */
	if (m->l4_len != l4_len && (m->l4_len || ask & OFFLOAD_SEGMENT))
		return -EINVAL;
	m->l4_len = l4_len;
	want_l4 = h.proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	if (l4 != want_l4 && (l4 || !(ask & OFFLOAD_SEGMENT)))
		return -EINVAL;
	if (!(ask & OFFLOAD_SEGMENT)) {
		m->tso_segsz = 0;
		return datagram_is_whole(m, &h) ? 0 : -EINVAL;
	}
	if ((ask & OFFLOAD_SEGMENT) != (h.proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_UDP_SEG))
		return -EINVAL;
	m->ol_flags |= want_l4;
	return check_segments(m, &h);
}

void offload_detect_partial(struct rte_mbuf *m, uint16_t l2_len, uint16_t ethertype)
{
	bool v6 = ethertype == RTE_ETHER_TYPE_IPV6;
	uint32_t l4_len, len;
	struct headers h;
	uint16_t field;

	if (offload_asks(m) || (!v6 && ethertype != RTE_ETHER_TYPE_IPV4) || find_l4(m, l2_len, v6, &h) || h.routed)
		return;
	l4_len = l4_header_len(m, &h);
	len = h.end - h.l4;
	if (l4_len == 0 || !get(m, h.l4 + csum_offset(h.proto), &field, sizeof(field)) || field != pseudo_sum(m, &h, len) ||
	    !datagram_is_whole(m, &h))
		return;
	m->tx_offload = (uint64_t)rte_mbuf_tx_offload(l2_len, h.l4 - h.l3, l4_len, 0, 0, 0, 0);
	m->ol_flags |= (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
		       (h.proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
}

/* --- what it will be on the wire --------------------------------------------------------------------------------------------- */

static uint32_t headers_len(const struct rte_mbuf *m)
{
	return (uint32_t)m->l2_len + m->l3_len + m->l4_len;
}

static uint32_t segments(const struct rte_mbuf *m)
{
	return (m->pkt_len - headers_len(m) + m->tso_segsz - 1) / m->tso_segsz;
}

void offload_wire(const struct rte_mbuf *m, uint32_t *frames, uint32_t *bytes)
{
	*frames = 1;
	*bytes = m->pkt_len;
	if (unlikely(m->ol_flags & OFFLOAD_SEGMENT)) {
		*frames = segments(m);
		*bytes += (*frames - 1) * headers_len(m);
	}
}

uint32_t offload_l3_len(const struct rte_mbuf *m, uint16_t l2_len)
{
	if (unlikely(m->ol_flags & OFFLOAD_SEGMENT))
		return (uint32_t)m->l3_len + m->l4_len + m->tso_segsz;
	return m->pkt_len - l2_len;
}

/* --- completion ------------------------------------------------------------------------------------------------------------ */

/* Where a copy goes on reading. */
struct reader {
	const struct rte_mbuf *seg;
	uint32_t off;
};

/* Bytes that one buffer of the pool holds behind its headroom. */
static uint32_t room_of(struct rte_mempool *pool)
{
	return (uint32_t)rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
}

/* Append the next `len` bytes of a frame to another, taking buffers as it needs. 0 or -ENOMEM. */
static int append(struct rte_mbuf *head, struct reader *from, uint32_t len, struct rte_mempool *pool)
{
	struct rte_mbuf *tail = rte_pktmbuf_lastseg(head);

	while (len) {
		uint32_t n;

		if (from->off == from->seg->data_len) {
			from->seg = from->seg->next;
			from->off = 0;
			continue;
		}
		n = rte_pktmbuf_tailroom(tail);
		if (n == 0) {
			tail->next = rte_pktmbuf_alloc(pool);
			tail = tail->next;
			if (!tail)
				return -ENOMEM;
			tail->data_off = 0;
			head->nb_segs++;
			continue;
		}
		n = RTE_MIN(RTE_MIN(n, len), from->seg->data_len - from->off);
		memcpy(rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len),
		       rte_pktmbuf_mtod_offset(from->seg, const uint8_t *, from->off), n);
		tail->data_len += (uint16_t)n;
		head->pkt_len += n;
		from->off += n;
		len -= n;
	}
	return 0;
}

/* A frame of the first `header` bytes of m and the `len` that `from` stands at, without any request. 0, -ENOMEM or -EINVAL. */
static int copy_frame(const struct rte_mbuf *m, uint32_t header, struct reader *from, uint32_t len, uint32_t caps,
		      struct rte_mempool *pool, struct rte_mbuf **out)
{
	struct reader start = {m, 0};
	struct rte_mbuf *c;

	if (header + len > room_of(pool) && !(caps & KIND_CAP_MULTI_SEG))
		return -EINVAL;
	c = rte_pktmbuf_alloc(pool);
	if (!c)
		return -ENOMEM;
	c->port = m->port;
	c->packet_type = m->packet_type;
	c->hash = m->hash;
	rte_mbuf_dynfield_copy(c, m);
	if (append(c, &start, header, pool) || append(c, from, len, pool)) {
		rte_pktmbuf_free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

/* Are the first `len` bytes ours to change? */
static bool writable(const struct rte_mbuf *m, uint32_t len)
{
	for (uint32_t seen = 0; seen < len; m = m->next) {
		if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1)
			return false;
		seen += m->data_len;
	}
	return true;
}

/* The field holds the pseudo header's sum, so the sum over all of layer 4 is what is asked for. */
static void finish_l4(struct rte_mbuf *m, const struct headers *h)
{
	uint16_t sum = (uint16_t)~sum_range(m, h->l4, h->end - h->l4);

	if (sum == 0 && h->proto == IPPROTO_UDP)
		sum = 0xffff; /* 0 says "no checksum" (RFC 768) */
	set(m, h->l4 + csum_offset(h->proto), &sum, sizeof(sum));
}

static void finish_ip(struct rte_mbuf *m)
{
	const uint32_t field = m->l2_len + offsetof(struct rte_ipv4_hdr, hdr_checksum);
	uint16_t sum = 0;

	set(m, field, &sum, sizeof(sum));
	sum = (uint16_t)~sum_range(m, m->l2_len, m->l3_len);
	set(m, field, &sum, sizeof(sum));
}

/* Finish the checksums of `todo` in a frame that is writable up to them, and withdraw their requests. */
static int finish(struct rte_mbuf *m, uint64_t todo)
{
	struct headers h;

	if (todo & RTE_MBUF_F_TX_IP_CKSUM)
		finish_ip(m);
	if (todo & RTE_MBUF_F_TX_L4_MASK) {
		if (find_l4(m, m->l2_len, m->ol_flags & RTE_MBUF_F_TX_IPV6, &h) || l4_header_len(m, &h) == 0)
			return -EINVAL;
		finish_l4(m, &h);
	}
	m->ol_flags &= ~todo;
	if (!offload_asks(m)) {
		m->ol_flags &= ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
		m->tx_offload = 0;
	}
	return 0;
}

/* Checksums that the port leaves to us, when the frame goes out whole. */
static uint64_t csums_to_do(const struct rte_mbuf *m, uint32_t caps)
{
	uint64_t todo = m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM);

	/* Who segments makes the segments' checksums. */
	if (caps & KIND_CAP_CSUM_L4 || m->ol_flags & OFFLOAD_SEGMENT)
		todo &= ~RTE_MBUF_F_TX_L4_MASK;
	if (caps & KIND_CAP_CSUM_IP)
		todo &= ~RTE_MBUF_F_TX_IP_CKSUM;
	return todo;
}

static bool must_segment(const struct rte_mbuf *m, uint32_t caps)
{
	uint32_t need = KIND_CAP_USO;

	if (!(m->ol_flags & OFFLOAD_SEGMENT))
		return false;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		need = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? KIND_CAP_TSO6 : KIND_CAP_TSO4;
	/* A port that segments but takes no chains: a chain is too long to be made one piece, its segments are not. */
	return !(caps & need) || (m->nb_segs > 1 && !(caps & KIND_CAP_MULTI_SEG));
}

/* Make segment `i` of `of` from a copy of the big frame's headers in front of its payload, which begins `off` bytes into the whole. */
static void fix_segment(struct rte_mbuf *s, const struct rte_mbuf *m, const struct headers *big, uint32_t i, uint32_t of,
			uint32_t off)
{
	uint8_t *l3 = rte_pktmbuf_mtod_offset(s, uint8_t *, big->l3), *l4 = rte_pktmbuf_mtod_offset(s, uint8_t *, big->l4);
	struct headers h = *big;
	uint32_t l4_total;
	uint16_t sum;

	h.end = s->pkt_len;
	l4_total = h.end - h.l4;
	s->ol_flags = m->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_L4_MASK);
	s->tx_offload = (uint64_t)rte_mbuf_tx_offload(m->l2_len, m->l3_len, m->l4_len, 0, 0, 0, 0);
	if (h.v6) {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)l3;

		ip->payload_len = rte_cpu_to_be_16((uint16_t)(h.end - h.l3 - sizeof(*ip)));
	} else {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)l3;

		ip->total_length = rte_cpu_to_be_16((uint16_t)(h.end - h.l3));
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + i));
		/* Twenty bytes that are in the cache: not worth a request, though the port may take them. */
		finish_ip(s);
	}
	if (h.proto == IPPROTO_TCP) {
		struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)l4;

		tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + off);
		if (i > 0)
			tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG; /* one reduction is reported once (RFC 3168 6.1.2) */
		if (i < of - 1)
			tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	} else {
		struct rte_udp_hdr *udp = (struct rte_udp_hdr *)l4;

		udp->dgram_len = rte_cpu_to_be_16((uint16_t)l4_total);
	}
	sum = pseudo_sum(s, &h, l4_total);
	memcpy(l4 + csum_offset(h.proto), &sum, sizeof(sum));
}

/* Does not consume m. */
static int segment(const struct rte_mbuf *m, uint32_t caps, struct rte_mempool *pool, struct rte_mbuf **out, unsigned n,
		   struct offload_done *done)
{
	uint32_t header = headers_len(m), size = m->tso_segsz, count = segments(m), off = 0, i;
	struct reader from = {m, header};
	struct headers h;
	int ret;

	if (count > n || header > room_of(pool) || find_l4(m, m->l2_len, m->ol_flags & RTE_MBUF_F_TX_IPV6, &h) ||
	    h.l4 + l4_header_len(m, &h) != header)
		return -EINVAL;
	for (; from.off >= from.seg->data_len; from.seg = from.seg->next)
		from.off -= from.seg->data_len;
	for (i = 0; i < count; i++, off += size) {
		ret = copy_frame(m, header, &from, RTE_MIN(size, m->pkt_len - header - off), caps, pool, &out[i]);
		if (ret)
			goto undo;
		fix_segment(out[i], m, &h, i, count, off);
		if (!(caps & KIND_CAP_CSUM_L4)) {
			h.end = out[i]->pkt_len;
			finish_l4(out[i], &h);
			out[i]->ol_flags = 0;
			out[i]->tx_offload = 0;
			done->csums++;
		}
	}
	done->segments = count;
	return (int)count;

undo:
	rte_pktmbuf_free_bulk(out, i);
	done->csums = 0;
	return ret;
}

int offload_complete(struct rte_mbuf *m, uint32_t caps, struct rte_mempool *pool, struct rte_mbuf **out, unsigned n,
		     struct offload_done *done)
{
	struct rte_mbuf *c = m;
	uint64_t todo;
	int ret;

	*done = (struct offload_done){0};
	if (must_segment(m, caps)) {
		ret = segment(m, caps, pool, out, n, done);
		rte_pktmbuf_free(m);
		return ret;
	}
	todo = csums_to_do(m, caps);
	/* Both checksum fields lie before the end of the layer 4 header; flags and lengths in the first mbuf change with them. */
	if ((todo && !writable(m, headers_len(m))) || (m->nb_segs > 1 && !(caps & KIND_CAP_MULTI_SEG))) {
		struct reader from = {m, 0};

		ret = copy_frame(m, 0, &from, m->pkt_len, caps, pool, &c);
		if (ret == 0) {
			c->ol_flags = m->ol_flags & (OFFLOAD_REQUEST | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
			c->tx_offload = m->tx_offload;
		}
		rte_pktmbuf_free(m);
		if (ret)
			return ret;
	}
	if (todo) {
		ret = finish(c, todo);
		if (ret) {
			rte_pktmbuf_free(c);
			return ret;
		}
		done->csums = 1;
	}
	out[0] = c;
	return 1;
}

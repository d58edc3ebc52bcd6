/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VNET_H
#define DATAPLANE_VNET_H

/*
 * Offload requests: the kernel's vnet header on one side, DPDK's mbuf request on the other.
 *
 *      struct virtio_net_hdr            mbuf
 *      NEEDS_CSUM, start, offset  <-->  TX_TCP_CKSUM | TX_UDP_CKSUM, TX_IPV4 | TX_IPV6, l2_len, l3_len
 *      GSO_TCPV4, _TCPV6, size    <-->  TX_TCP_SEG, l4_len, tso_segsz
 *      GSO_UDP_L4, size           <-->  TX_UDP_SEG, l4_len, tso_segsz: each segment a datagram of its own (USO, not UFO)
 *      GSO_ECN                    <---  the CWR flag of the TCP header; ignored on the way in for the same reason
 *
 * Two differences are smoothed over here. The vnet header points anywhere; an mbuf names layers. And where Linux puts the
 * pseudo header's sum with the length into a TCP header to be segmented, DPDK leaves the length out: it is taken out on the way
 * in, and on the way out the sum is made anew, in a copy (frames being sent must not be written to).
 *
 * The header is the kernel's, but what it says was chosen by whoever sent the frame: a container's own packet socket can ask
 * for any offset and size. Each is checked against the frame's own headers. A checksum that an mbuf cannot name (SCTP, GRE,
 * inside a tunnel, a fragment, padding behind the packet) is finished here; what points outside the frame, or asks to segment
 * something that it is not, is malformed.
 */

#include <stdint.h>

#include <linux/virtio_net.h>
#include <rte_mbuf.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2; Debian 12's headers are 6.1's */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/*
 * Smallest TCP segment taken: Linux's smallest MSS, 48, with all 40 bytes of options in use. Smaller is a way to have us make
 * 65,536 frames of one; newer kernels raise it to the same number themselves.
 */
#define VNET_MIN_TCP_SEG 8
/* Datagrams made of one request, as in Linux (UDP_MAX_SEGMENTS). */
#define VNET_MAX_UDP_SEGS 128
/* Longest l2_len made: Ethernet and 26 tags. The field has 7 bits, and a tag may still be added. */
#define VNET_MAX_L2 118
/* Longest header in front of the payload that a request can name: the widths of l2_len, l3_len, l4_len. */
#define VNET_MAX_HEAD (127 + 511 + 255)

/*
 * Write the header's request into the mbuf, which is ours alone, complete, and without offload flags. The headers must lie in
 * the first segment; a request whose headers do not is treated as one that cannot be named. May write to the frame.
 *
 * Any worker. 0, or -EINVAL: malformed.
 */
int vnet_to_mbuf(const struct virtio_net_hdr *vh, struct rte_mbuf *m);

/*
 * The vnet header for a frame to send. *edit becomes 0, or the offset of the 16-bit checksum field whose value must be *value
 * (network order) in what the kernel gets. Does not write to the frame.
 *
 * Any worker. 0, or -EINVAL: a request that lies outside the frame or that the kernel cannot be given.
 */
int vnet_from_mbuf(const struct rte_mbuf *m, struct virtio_net_hdr *vh, uint32_t *edit, uint16_t *value);

/* Write such a value. The field lies inside the frame, whose bytes there are the caller's alone. Any worker. */
void vnet_put(struct rte_mbuf *m, uint32_t at, uint16_t value);

/*
 * A checksum that was finished over the first segment's bytes from `start` alone, and stands at start + offset: finish it over those of the
 * others too. Any worker. 0, or -EINVAL: the field is not in the first segment.
 */
int vnet_csum_rest(struct rte_mbuf *m, uint32_t start, uint32_t offset);

#endif

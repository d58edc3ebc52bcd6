/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_OFFLOAD_H
#define DATAPLANE_OFFLOAD_H

/*
 * What a frame still asks for: a checksum, segmentation. Never send a broken checksum.
 *
 * A frame inside the switch carries its request as a DPDK sender writes it: RTE_MBUF_F_TX_TCP_CKSUM, _UDP_CKSUM, _IP_CKSUM, _TCP_SEG, _UDP_SEG,
 * with l2_len (tags included), l3_len, l4_len, tso_segsz, and RTE_MBUF_F_TX_IPV4 or _IPV6; the checksum field holds the pseudo header's
 * folded sum. It is carried as it is to a port that can (KIND_CAP_*), and completed here towards one that cannot:
 *
 *      request from a guest, a vnet header, a veth --> [ switch ] --> port can: flags stay, the peer or NIC does it
 *                                                           |-------> port cannot: offload_complete(): checksums, segments
 *
 * A request comes from somebody untrusted (a guest's virtio header): offload_check() refuses one that points outside the frame or
 * disagrees with the headers that are really there, once, at admission; everything later relies on it. After it:
 *   - l2_len, l3_len and l4_len (UDP: 8) are what the headers say, for every request about TCP or UDP;
 *   - _TCP_SEG and _UDP_SEG come with their _CKSUM flag, and mean 2 to OFFLOAD_MAX_SEGS segments: a request that would make one is
 *     turned into one for a checksum;
 *   - the headers are TCP or UDP over IPv4 or IPv6, not a fragment; IPv6 extension headers may lie between.
 *
 * The pseudo header's sum. For a checksum request the field counts, as Linux's CHECKSUM_PARTIAL and DPDK agree. For a segmentation
 * request they do not (DPDK leaves the length out of the sum, Linux does not), so the field is not read here: each segment gets its own.
 * A kind whose peer reads it must write the form that its peer expects.
 *
 * Segments. A segment is a copy, headers and payload, in one buffer if it fits and in a chain of buffers if the port takes chains.
 * DPDK's rte_gso was not used: version 22.11 knows TCP over IPv4 only (no IPv6), makes IP fragments of a UDP request and not
 * datagrams, leaves checksums to the port, keeps CWR on every segment, and its result is always a chain of a header and references to the
 * payload, which ports without KIND_CAP_MULTI_SEG would have to copy once more. Summing reads the payload anyway, so the copy adds little
 * (60,000 bytes into 42 segments: 8.0 us, where rte_gso and the same sums took 9.9 us; the best of 300, data in the cache), takes half
 * as many mbufs, and lets go of the sender's buffers at once.
 *
 * Partial checksums that nobody tells us of. A netdev's frame that reached us by a path without a vnet header (AF_XDP) can
 * carry Linux's CHECKSUM_PARTIAL: the field holds the folded pseudo header sum and the kernel forgot to say so. offload_detect_partial()
 * recognises exactly that value and writes the request. If a finished checksum happens to have this value (one in 65,536), completing it
 * gives the same number again, so a wrong guess does no harm.
 *
 * A VLAN tag pushed or stripped moves the headers: call offload_l2_moved() then.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "kind.h"

#define OFFLOAD_REQUEST	 (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define OFFLOAD_SEGMENT	 (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define OFFLOAD_MAX_SEGS 128 /* segments made of one request; what needs more is refused (64 KB at an MSS of 512 fits) */
#define OFFLOAD_MAX_TAGS 4   /* VLAN tags before the network header of a frame that asks for anything */

/* true if the frame asks for anything. */
static inline bool offload_asks(const struct rte_mbuf *m)
{
	return m->ol_flags & OFFLOAD_REQUEST;
}

/*
 * At admission: is the request possible in this frame? Clears inert flags (transmit flags that the switch does not carry, and what is
 * left of a request that asks for nothing) and brings the rest to the form above. The mbuf is ours alone and its data may be written.
 * 0, or -EINVAL: malformed; the frame is to be dropped. Any worker.
 */
int offload_check(struct rte_mbuf *m);

/*
 * Write the request for a CHECKSUM_PARTIAL frame that came without one, in the form that offload_check() leaves. Frames that are not
 * that are left alone. `l2_len`, `ethertype` as in spoof_check(). The mbuf is ours alone. Any worker.
 */
void offload_detect_partial(struct rte_mbuf *m, uint16_t l2_len, uint16_t ethertype);

/* The frame gained (or lost, < 0) `bytes` of tags before its network header. */
static inline void offload_l2_moved(struct rte_mbuf *m, int bytes)
{
	if (offload_asks(m))
		m->l2_len += bytes;
}

/* Frames and layer 2 bytes that the frame will be on the wire: 1 and pkt_len unless it asks for segmentation. Any worker. */
void offload_wire(const struct rte_mbuf *m, uint32_t *frames, uint32_t *bytes);

/* Longest layer 3 packet that it will be on the wire, for the MTU check: headers and tso_segsz for a segmentation request. l2_len: without a request. */
uint32_t offload_l3_len(const struct rte_mbuf *m, uint16_t l2_len);

/* What offload_complete() did, for the counters. Set by it, also when it fails (then to nothing). */
struct offload_done {
	uint32_t csums;	   /* frames whose checksums were finished, segments included */
	uint32_t segments; /* segments made */
};

/*
 * Make the frame fit a port with `caps`: finish what it cannot do; a chain becomes one segment where the port takes none (KIND_CAP_MULTI_SEG).
 * Consumes `m`, which offload_check() has seen if it asks for anything; puts up to `n` frames into out (n >= OFFLOAD_MAX_SEGS). Data that is
 * shared (reference count over 1, indirect, external) is copied before it is changed. Copies and segments come from `pool`.
 *
 * Returns how many, or with `m` freed and nothing in out:
 *   -ENOMEM  no buffer (TX_NO_BUFFER)
 *   -EINVAL  (TX_OFFLOAD) a port that takes no chains, and a frame or segment longer than one buffer's data room (2048 bytes in the
 *            standard pool): such a port carries longer frames only if they come to us in one piece. Or a header that is no longer there.
 * Any worker.
 */
int offload_complete(struct rte_mbuf *m, uint32_t caps, struct rte_mempool *pool, struct rte_mbuf **out, unsigned n,
		     struct offload_done *done);

/* true if the port can take the frame as it is: the common case, inline. */
static inline bool offload_fits(const struct rte_mbuf *m, uint32_t caps)
{
	if (likely(!offload_asks(m)))
		return m->nb_segs == 1 || caps & KIND_CAP_MULTI_SEG;
	return false; /* offload_complete() looks closer */
}

#endif

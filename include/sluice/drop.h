/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_DROP_H
#define SLUICE_DROP_H

/*
 * Why a frame was dropped: the one list.
 *
 * Nothing is lost silently. A frame that does not leave is charged, once for each port it did not reach, to exactly one reason
 * of this table; the same line gives the reason its number, its name on the socket, its place in every counter array and its text
 * in the manual. The daemon, the command line tool and (later) the kernel programs all include this file, so a reason means the
 * same thing whichever engine dropped the frame. Adding a reason is adding a line.
 *
 * RX reasons are charged to the port that the frame came in by: nobody else saw it. TX reasons are charged to the port that it
 * should have left by, so a flood to twenty members of which one is full costs that one a drop and the others nothing. A member that a
 * flood is not meant for (it is isolated as the sender is, or does not take what is inside the tag) was not missed: no drop.
 *
 * New lines go at the end of their half: numbers are not stable between versions, names are.
 */

/* X(SYMBOL, "name", "what happened") */
#define SLC_DROP_RX(X)                                                                                                      \
	X(RUNT, "runt", "shorter than its Ethernet header or than a VLAN tag that it claims")                               \
	X(OVERSIZE, "oversize", "longer than 9216 bytes of payload and not a segmentation request")                         \
	X(MALFORMED, "malformed", "headers that contradict each other: an offload outside the frame, a header split oddly") \
	X(TRUNCATED, "truncated", "the device delivered only part of the frame")                                            \
	X(BAD_DESCRIPTOR, "bad-descriptor", "a descriptor of the peer's pointed outside what it shares, or looped")         \
	X(RX_MISSED, "rx-missed", "the device or kernel had no room: the worker came too late")                             \
	X(RX_NO_BUFFER, "rx-no-buffer", "no packet buffer was free")                                                        \
	X(RX_ERROR, "rx-error", "the device reported a receive error")                                                      \
	X(RX_DOWN, "rx-down", "the port is administratively down")                                                          \
	X(SRC_MULTICAST, "src-multicast", "the source address is a group address")                                          \
	X(RESERVED_DST, "reserved-dst", "link-local group address 01:80:c2:00:00:0x: never forwarded (802.1Q 8.6.3)")       \
	X(VLAN_INGRESS, "vlan-ingress", "the port's VLAN mode does not admit this tag")                                     \
	X(SPOOF_MAC, "spoof-mac", "the source MAC address is not the port's")                                               \
	X(SPOOF_IPV4, "spoof-ipv4", "the IPv4 source is not one of the port's")                                             \
	X(SPOOF_IPV6, "spoof-ipv6", "the IPv6 source is not one of the port's")                                             \
	X(SPOOF_ARP, "spoof-arp", "an ARP sender address is not the port's")                                                \
	X(SPOOF_ND, "spoof-nd", "a neighbour discovery message speaks for an address that is not the port's")               \
	X(SRC_BOUND, "src-bound", "the source MAC address is bound to another port by configuration")                       \
	X(LIMIT_IN, "limit-in", "over the port's in limit")                                                                 \
	X(STORM, "storm", "over the VLAN's limit for flooded frames")                                                       \
	X(NO_MEMBER, "no-member", "flooded, and the VLAN has no other member")                                              \
	X(SAME_PORT, "same-port", "the destination is behind the port that the frame came from")                            \
	X(RX_DISABLED, "rx-disabled", "the guest has disabled the queue that it sends by")

#define SLC_DROP_TX(X)                                                                                       \
	X(VLAN_EGRESS, "vlan-egress", "the destination's port does not carry this VLAN, or this inner VLAN") \
	X(ISOLATED, "isolated", "both ports are isolated")                                                   \
	X(TX_DOWN, "tx-down", "the port is administratively down, or its link is")                           \
	X(MTU, "mtu", "longer than the port's MTU")                                                          \
	X(LIMIT_OUT, "limit-out", "over the port's out limit")                                               \
	X(TX_FULL, "tx-full", "the peer or device took no more: its queue is full")                          \
	X(TX_ERROR, "tx-error", "the device reported a transmit error")                                      \
	X(TX_NO_BUFFER, "tx-no-buffer", "no packet buffer was free for a copy, a tag or a segment")          \
	X(TX_HANDOFF, "tx-handoff", "the worker that owns the port's queue was too far behind")              \
	X(TX_GONE, "tx-gone", "the port was removed while the frame was on its way")                         \
	X(TX_OFFLOAD, "tx-offload", "a checksum or segmentation request that could not be completed")

#define SLC_DROP_REASONS(X) SLC_DROP_RX(X) SLC_DROP_TX(X)

enum slc_drop {
#define X(sym, name, doc) SLC_DROP_##sym,
	SLC_DROP_REASONS(X)
#undef X
		SLC_DROP_N
};

#endif

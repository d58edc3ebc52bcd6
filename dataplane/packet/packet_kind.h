/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PACKET_KIND_H
#define DATAPLANE_PACKET_KIND_H

/*
 * Port kind "af-packet": any Ethernet netdev of the daemon's network namespace, through the kernel's packet sockets.
 *
 *    worker                           kernel                                   netdev (a veth's end, a NIC)
 *   +-----------+  ring of slots   +---------------------------------+
 *   | packet_rx | <--------------- | fits a slot: copied there       | <------- frames, VLAN tag beside them,
 *   |           |  recvmsg         |                                 |          checksum or segmentation still open
 *   |           | <--------------- | longer: queued whole, and its   |
 *   |           |                  | slot says so (TP_STATUS_COPY)   |
 *   | packet_tx | ---------------> | sendmmsg, one iovec a segment   | -------> frames, tags in the bytes, vnet header
 *   +-----------+                  +---------------------------------+
 *    control thread  <-------------- rtnetlink: link up, down, gone, back
 *
 * Files: packet_kind.c the row and the port's life, packet_link.c the netdev, packet_socket.c the sockets, packet_rx.c and
 * packet_tx.c the bursts, vnet.c the translation of offload requests, packet_probe.c what this kernel can do.
 *
 * Why not DPDK's af_packet driver. It ignores partial checksums and segmentation (TP_STATUS_CSUMNOTREADY, and 64 KB frames cut
 * to a slot and delivered as if whole), so UDP and TCP from a veth arrive broken; it never asks the kernel what it dropped; its
 * send path can wait in poll() without a timeout; it has no descriptor that a worker could sleep on; it wants single-segment
 * buffers as long as the longest frame; and each port counts against RTE_MAX_ETHPORTS, 32 in Debian's DPDK.
 *
 * Receiving. A TPACKET_V2 ring of 2 KiB slots (1024 unless the port says `ring`), with a vnet header before each frame. A frame
 * longer than a slot (jumbo, or 64 KB waiting for segmentation) is queued whole on the socket too (PACKET_COPY_THRESH) and its
 * slot says so; both are ordered under one lock of the kernel's, so the n-th such slot belongs to the n-th recvmsg(). What was
 * tried, kernel 6.18, one core, a veth pair, bursts of 32 (8 of the long ones), ns a frame; "kernel" is sending plus the
 * kernel's side of delivery in the same run:
 *
 *                               64 B             1514 B           9014 B           65226 B GSO      first frame visible after
 *                          kernel    us     kernel    us     kernel    us     kernel    us
 *      recvmmsg               2118   944       2209   963       3001  1769       5714  4822      at once
 *      V2, 2 KiB + recvmsg    2419    16       2332    46       4589  2961       6216  5190      at once      <- this one
 *      V2, 128 KiB slots      2176    17       2195    43       4644   307       9198  2135      at once, 128 MiB for 1024 slots
 *      V3 blocks              2140                                            11258              900 us
 *
 * The ring takes small frames for a fiftieth of recvmmsg's cost. Long ones cost the same either way, because a slot long enough
 * has the kernel copy 64 KB in the sender's context. V3 stores frames of any length back to back, but shows them only when a
 * block is full or its timer, of 1 ms at least, runs out: that is the round-trip time of a ping, lost.
 *
 * Sending. sendmmsg() straight from the mbuf's segments; never waits (MSG_DONTWAIT). A TX ring was tried: 2.0-2.1 us a frame
 * against 1.9-2.1, nearly all of it the kernel's way through the veth; it would add a copy, limit the length to a slot, and let
 * a receiver that does not read hold slots. The queueing discipline of the netdev is respected, so TC classes on it work. What
 * does not fit the socket's buffer or the qdisc is not taken (TX_FULL); a frame that the kernel refuses for itself is tx_error.
 *
 * VLAN tags. The kernel hands the outermost tag over beside the frame. 0x8100 goes on as RTE_MBUF_F_RX_VLAN_STRIPPED; another
 * TPID is put back into the bytes here. What we send has its tags in the bytes; the kernel takes that with checksum and
 * segmentation requests too, with one tag and with two (see caps in packet_kind.c).
 *
 * Offload requests: vnet.h.
 *
 * MTU. The port's MTU must be carried by the netdev with two VLAN tags on top: packet sockets refuse a frame longer than the
 * netdev's MTU, and forgive 4 bytes only if the outermost tag is 0x8100. So the netdev is raised to the port's MTU + 8 if it is
 * lower; where the kernel refuses that, MTU + 0 will do (double-tagged frames of full length are then tx_error); where it
 * refuses even that, so do we, with its error. A netdev's MTU is never lowered, and never put back: other users of the netdev
 * may have come to rely on it. The other end of a veth has an MTU of its own, and silently drops (its rx_dropped) what is
 * longer than that and one tag.
 *
 * The netdev. Brought up if it is down, put into promiscuous mode while the port exists, and left up. Its offloads are not
 * touched: frames that the kernel merged (GRO, LRO) come as one frame with a segmentation request, which is cheaper for
 * everybody. The host's own stack still sees what comes in through this netdev; leave it without addresses. When the netdev
 * vanishes the port stays, with its link down; when a netdev of that name appears the port takes it (new sockets; counters go
 * on). A rename does not matter until then: the port holds the device, not the name. The trunk takes none by itself: see device.h.
 *
 * Several queues: one socket each, in a fanout group by flow hash. The kernel chooses a group id that is free in the namespace, so
 * daemons beside each other do not collide.
 *
 * A stuck ring. Some kernels (6.18.44 does it, 6.1.192 does not) lose a slot for good when a frame wants a kind of segmentation
 * that the vnet header cannot name: SCTP, UDP fragmentation from a tap, LRO of some NICs. The slot is marked as being written, the
 * frame is dropped, and every frame after it, too. No filter can see such a frame coming, so it is noticed afterwards:
 * twice a second each ring is asked for its drops, and one that dropped although it was empty is replaced, with its socket. Whoever
 * sends such frames loses about a second each time, of his own port.
 *
 * Losses. rx_missed: the ring was full (PACKET_STATISTICS), or the kernel had a frame whose segmentation the vnet header cannot
 * name. truncated: the socket's buffer was full and only the slot's part came, or longer than 64 KB (BIG TCP). rx_error: the
 * kernel's answer did not match its announcement. malformed: the request contradicts the frame; that includes segmentation
 * inside a tunnel (VXLAN in a container), which neither the vnet header nor an mbuf request here can express. A veth's receiver
 * that drops is not visible to the sender: look at its own statistics.
 *
 * Threads: the callbacks' contract is kind.h's. Memory: per queue 2 MiB of the kernel's for the ring, 60 KiB of ours; up to 8
 * MiB of long frames while they wait.
 */

#include "kind.h"

extern const struct port_kind packet_kind;
/* The node's trunk: the same, on the switch's end of the pair that leads to the kernel engine and the host. */
extern const struct port_kind packet_trunk;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_TAP_KIND_H
#define DATAPLANE_TAP_KIND_H

/*
 * Port kind "tap": a netdev that the port makes, whose frames are read from and written to /dev/net/tun.
 *
 *    worker                          kernel                                  the netdev, here or in a container's namespace
 *   +--------+   readv    +------------------------------+    transmit
 *   | tap_rx | <--------- | a queue's ring, txqueuelen   | <----------- its stack, with the vnet header's requests for checksum
 *   |        |   writev   |                              |              and segmentation still open
 *   | tap_tx | ---------> | straight into the stack      | -----------> (the writer pays for the way up, as a veth's sender does)
 *   +--------+            +------------------------------+
 *
 * Files: tap_kind.c the rows and the port's life, tap_netdev.c the netdev, tap_io.c the bursts, tap_error.c what went wrong; vnet.c and
 * vnet_iov.c the offload requests.
 *
 * Two rows. "tap" makes its netdev (IFF_TUN_EXCL: one that is there is refused) and takes it away with the port or the daemon. The trunk's
 * attaches to one that bpf/tun.c made to stay (TUNSETPERSIST), so that addresses and routes on it outlive us; its MTU is the kernel side's to
 * set. Every queue must come to be on that one, which the kernel does not see to: it makes another where the name has just become free. Without a reader the netdev has no carrier; nothing queues up.
 *
 * Why not DPDK's tap driver. It drops frames over 1,500 bytes whatever MTU it is told (it sizes its check at configuration), computes every
 * checksum with the CPU and takes no segmentation request, polls a signal for arrival, and each port counts against RTE_MAX_ETHPORTS.
 *
 * Receiving. One readv() a frame into buffers that the queue holds ready: the vnet header, then as many mbufs as the longest frame takes (64 KB).
 * Those that the frame did not reach stay for the next; what it took is replaced in one allocation. So no frame is copied twice, and a small
 * one costs one mbuf. There is no call that reads several frames; a burst is bounded by the number of reads, junk included.
 *
 * Sending. One writev() a frame, from the mbuf's segments. It never waits.
 *
 * Several queues: a descriptor each (IFF_MULTI_QUEUE, always, so that a netdev that stays fits whatever number of queues the next daemon wants);
 * the kernel spreads flows and follows the queue on which a flow is answered.
 *
 * The netdev may be moved into another namespace or renamed at any time: the descriptor leads to it all the same, and through it its
 * state, its MTU and its counters are asked for where it is (TUNGETDEVNETNS). When it is deleted
 * there, the port's link is down for good: remove the port, and make it again.
 *
 * Losses. rx_missed: the ring was full (the netdev's tx_dropped). rx_no_buffer, truncated (over 64 KB, BIG TCP, or no buffers for all of
 * it), malformed: the request contradicts the frame. tx_error: a frame that the kernel refused for itself. What the kernel's own stack
 * drops later is in the netdev's rx_dropped.
 *
 * Threads: the callbacks' contract is kind.h's. Memory: per queue as many mbufs as 64 KB take, of the switch's own.
 */

#include "kind.h"

extern const struct port_kind tap_kind;
/* The node's trunk, on a netdev that is there and stays. */
extern const struct port_kind tap_trunk;

#endif

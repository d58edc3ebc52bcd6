/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_NET_H
#define DATAPLANE_VHOST_NET_H

/*
 * The trunk by vhost-net: a tap netdev whose other side is not read and written by us but served by a kernel thread, from rings in our memory.
 *
 *    worker                          our memory                     kernel                        netdev (the trunk, slc0)
 *   +--------------+   descriptors  +-----------+   kick: eventfd  +-------------------+
 *   | vhost_net.c  | -------------> | tx ring   | ---------------> | vhost thread      | ------> the host's stack, containers
 *   | DPDK's       |                | rx ring   | <--------------- | copies, a burst   | <------ frames with a tag
 *   | virtio_user  | <------------- | buffers   |   call: eventfd  | at a time         |
 *   +--------------+    bursts      +-----------+                  +-------------------+
 *    control thread <--- once a second: is the netdev up?
 *
 * The worker makes no system call but to wake the kernel's thread when that sleeps; the copying, and the netdev's whole way through the
 * kernel, is that thread's, on any CPU that is free. It costs that CPU, and a wake-up across CPUs for a lone frame.
 *
 * The netdev is not ours: bpf/ makes it, a persistent tap with IFF_VNET_HDR and IFF_MULTI_QUEUE, and removes it. With our descriptors closed,
 * by a stop or by SIGKILL, it stays, with its addresses and routes and without a carrier; who opens it next goes on. The driver gives it a MAC
 * when it starts, so it is told the one that it has. Whether it is up is the link's state here. When it is removed the
 * device is let go of, and opened on the next one that bpf/ makes (device.h).
 *
 * Requests (offload.h) cross in both directions, as vnet headers. The driver of DPDK 22.11 hides them behind mbuf flags of its own, which name
 * no layers; but it leaves the header where the kernel put it, before the frame's first byte, and there it is read (vnet_to_mbuf()). One
 * thing it does itself, and wrongly: a checksum that it cannot name (inside a tunnel) it finishes over the frame's first buffer only, which
 * is mended here when the frame has more. Towards the kernel the driver writes the header; the sum of the pseudo header that belongs
 * into a segment's checksum field is put there first, in a copy if the frame is shared. UDP segmentation it does not know: frames for the
 * kernel are segmented by us, the kernel segments those for us.
 *
 * Waiting. The driver tells an eventfd for each queue, which the kernel rings if armed. Nobody reads it but us.
 *
 * MTU. The netdev's is its maker's business; buffers are chained, so any frame fits.
 *
 * Losses. rx_missed: the netdev's queue (txqueuelen, 1,000 frames unless changed) was full; the netdev's tx_dropped since the port was opened.
 * tx_error: the kernel found a vnet header wrong (the netdev's rx_frame_errors), or there was no buffer for a copy. malformed: a request
 * that contradicts its frame. rx_error, rx_no_buffer: the driver's own. What the kernel itself drops after it took a frame, it counts on the netdev.
 *
 * Queues. The driver has 8 pairs at most; a port that asks for more has those, and the log says so.
 *
 * Full. The driver holds the buffers of up to 32 sent frames until it sends more, and `ring` (1,024) empty ones for each queue. It is one of the
 * 32 ethdevs (ethdev.h).
 *
 * Rights. /dev/vhost-net and /dev/net/tun readable and writable (root's by default; opening the first loads its module), and CAP_NET_ADMIN to
 * take the netdev, which has no owner. The kernel's thread has our cgroups and none of our capabilities.
 */

#include "kind.h"

extern const struct port_kind vhost_net_trunk;

#endif

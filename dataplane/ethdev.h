/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_ETHDEV_H
#define DATAPLANE_ETHDEV_H

/*
 * Port kinds that are DPDK ethdevs: af-xdp, nic; and the trunk by vhost-net, whose file is its own (vhost_net.h).
 *
 * They differ in the device arguments that they are made from, and in nothing else: the driver is loaded, the device is
 * hot-plugged, configured with what it and the switch both can, and started; its burst functions are taken out of rte_eth_fp_ops.
 * Removing the port stops, closes and unplugs it.
 *
 *   af-xdp   net_af_xdp,iface=IFNAME     a netdev of this namespace, through an XDP socket. Frames come without a vnet header, so a
 *                                        checksum may be unfinished (offload.h); MTU up to about 3,400 bytes (one page for each frame).
 *                                        Its buffers are an area that the kernel maps, so the port has a pool of its own.
 *   nic      DEVARGS                     whatever DPDK can open: a PCI address (its driver named by the daemon's `drivers`), or a
 *                                        virtual device such as net_virtio_user0,path=... or net_pcap0,iface=..., whose driver
 *                                        is found from its name.
 *
 * Debian's DPDK carries 32 ethdevs in a process (RTE_MAX_ETHPORTS); the 33rd such port is refused with that number. The other kinds
 * are not ethdevs and do not count.
 *
 * Descriptors to sleep on. Drivers with receive interrupts tell theirs. The AF_XDP driver hides its socket, so it is
 * found: the descriptor that appeared while the device was made and is an XDP socket. A driver with none is polled on a timer. Where it is an
 * eventfd (virtio_user, VFIO), drivers leave it to be read to whoever sleeps on it; a worker that did not read it would never sleep again.
 *
 * Multi-queue: a device gets one queue pair for each that was asked for, if it has them, and RSS over addresses and ports if it can.
 */

#include "kind.h"

extern const struct port_kind ethdev_af_xdp, ethdev_nic;
/* The node's trunk: af-xdp on the switch's end of its veth pair. */
extern const struct port_kind ethdev_xdp_trunk;

#endif

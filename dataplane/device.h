/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_DEVICE_H
#define DATAPLANE_DEVICE_H

/*
 * A port's device, where it may go away under the port, and another come in its place.
 *
 *      port --- configuration, addresses, counters, queues' workers        stay
 *        `----- kind, kp ----> the device's row and state                  device_lose(): let go of, after a grace period
 *                  |-------> a row of nothing: no frame comes, none goes   until
 *                  `-------> a new device's                                device_open(), device_take()
 *
 * Most kinds mend themselves: a peer connects again, a netdev of the name comes back. The trunk's do not. Their netdev is made by the kernel
 * engine, whose owner alone knows that it is gone for good, and whether the next of that name is ours or a stranger's. So he says both:
 * dp_port_lose(), and DP_PORT_ADD of the port when there is a new one, with its index (dp_port_conf.ifindex).
 *
 * A netdev that was just made has its link some time after it was opened, when the kernel's link watch comes to it. Kinds whose link is asked for once a second
 * are asked at each tick until then, or for two seconds.
 *
 * A port without its device has its link down: workers drop what is for it (tx-down) and are not woken for it. It holds nothing of the old
 * device, so the new one has its memory and its place among the ethdevs. What the old one lost is kept (port.past).
 *
 * Control thread only.
 */

#include "kind.h"

struct port;

/*
 * Open a device of the configuration's kind. A trunk's netdev must be the one with the index that is told: -ENODEV, "no-such-device". 0, or -errno
 * with *err and nothing left behind.
 */
int device_open(struct dp *dp, const struct dp_port_conf *conf, struct kind_port *kp, struct dp_error *err);
/* The port has none: it was lost. */
bool device_is_lost(const struct port *p);
/* Let go of a published port's device, and tell that its link is down. Waits for a grace period. Harmless if it has none. */
void device_lose(struct port *p);
/* Give a published port that has none the device that was opened for it, of as many queues. Waits for grace periods; its link is told. */
void device_take(struct port *p, const struct kind_port *fresh);

#endif

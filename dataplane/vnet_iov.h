/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VNET_IOV_H
#define DATAPLANE_VNET_IOV_H

/* A frame as the kernel's writev() and sendmsg() take it: a vnet header and the frame's bytes, where they lie. */

#include <stdint.h>

#include <sys/uio.h>

#include "vnet.h"

/*
 * Describe the frame in iov[0..]: *vh, then its segments. Headers that must be changed are copied into `head` first, for the frame may be
 * shared. Everything named must live until the call that reads it has returned.
 *
 * Returns how many iovecs; 0 if `room` may not do, or -EINVAL for a frame that cannot be sent at all. Any worker.
 */
int vnet_iov(const struct rte_mbuf *m, struct virtio_net_hdr *vh, uint8_t head[VNET_MAX_HEAD], struct iovec *iov, unsigned room);

#endif

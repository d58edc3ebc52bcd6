/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_KIND_H
#define DATAPLANE_VHOST_KIND_H

/*
 * The port kind `vhost-user`: a virtual machine, or a DPDK application with virtio_user.
 *
 *      kind.h's table
 *          |
 *      vhost_kind.c      the row: open, close, and what a port is
 *          |-- peer_port.c       of which what memif has, too
 *          |-- vhost_conn.c      the socket: connects or listens, messages in, replies out, what ends a connection
 *          |-- vhost_port.c      the switch's queues and the guest's rings: who serves whom
 *          |       |
 *          |   vhost_dev.c       what the messages mean         (these know no switch)
 *          |       |-- vhost_vring.c     rings start and stop
 *          |       |-- vhost_mem.c       the guest's memory, mapped and translated
 *          |       `-- vhost_log.c       dirty pages, while a guest is moved
 *          `-- vhost_ring.h      workers: frames in (vhost_rx.c) and out (vhost_tx.c), chains and sleep (vhost_ring.c)
 *      vhost_proto.h     the specifications' facts
 *
 * Why not librte_vhost, DPDK's library for the same: it owns threads and locks that a switch needs to own; one memory-table message
 * kills the process that uses it; each frame is copied and looked at behind its own interface, so admission comes after an mbuf and a
 * copy; and its devices are ethdevs for those who use its driver, of which Debian's DPDK has 32.
 *
 * Attributes of a port: `path` of the socket; `server` (false: the front end listens, as QEMU's chardev with server=on, and we connect,
 * so that either side may restart; true: we listen); `queues`, the queue pairs that the guest is offered.
 *
 * A connection is one front end's. As client we try every VHOST_RETRY_MS; as server one is accepted at a time. A front end that lies, in
 * its messages or in its rings, is hung up on: its fault is counted under a name (vhost_dev.h), a line goes to the log (a few a minute at
 * most), and it is not talked to again for VHOST_PENALTY_MS. Other ports do not notice.
 *
 * A guest that was moved here is heard at once: SEND_RARP makes the frame that it would have sent, and the switch receives it.
 */

#include "kind.h"

#define VHOST_RETRY_MS	 50
#define VHOST_PENALTY_MS 200

extern const struct port_kind vhost_kind;

#endif

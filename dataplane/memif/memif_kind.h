/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_MEMIF_KIND_H
#define DATAPLANE_MEMIF_KIND_H

/*
 * The port kind `memif`: frames shared with a DPDK, VPP or libmemif application in memory.
 *
 *      kind.h's table
 *          |
 *      memif_kind.c      the row: open, close, and what a port is
 *          |-- peer_port.c       of which what vhost-user has, too
 *          |-- memif_server.c    listens; several ports with one path and different ids share the listener
 *          |-- memif_client.c    connects, and goes on trying
 *          |-- memif_conn.c      what both share: a connection's life, and how workers learn of it and are kept out
 *          |       |-- memif_sock.c     messages and descriptors
 *          |       |-- memif_shm.c      the shared memory, made or mapped and checked
 *          |       `-- guard.c    when a mapped file is cut off
 *          `-- memif_ring.c      workers: frames in and out
 *                  `-- bell.c     waking the peer
 *      memif_proto.h     the protocol's facts
 *
 * Why not DPDK's driver, which speaks the same protocol:
 *  - it makes ethdevs, and Debian's DPDK has 32 of them (RTE_MAX_ETHPORTS). A node has hundreds of memif ports.
 *  - it follows region index and offset of each descriptor wherever they point, and the peer may write them at any time: an
 *    index that is out of range is a NULL dereference, an offset reads or writes anywhere in 4 GiB. One tenant kills or
 *    corrupts the switch.
 *  - a worker cannot sleep on its queues: it offers no descriptors for them, and masks the peer's notifications for good.
 *  - its control channel runs on EAL's interrupt thread and tears memory down there, while workers may be in it.
 *
 * Attributes of a port: `path` of the socket, `id` (0 by default), `client` (the role: false, we listen), `secret` (up to 24
 * characters; as server a peer without it is refused), `queues`, `ring` (slots, a power of two from 64 to 16384; 1024 by
 * default; as server it is the client's choice). As client we offer buffers of MEMIF_BUFFER bytes. Sockets are files: a DPDK
 * application, whose driver takes an abstract name by default, needs `socket-abstract=no`.
 *
 * Queues: as client as many rings in each direction as both sides have; as server the peer is told how many there are at most.
 * A peer with fewer is served by what it has (see memif_ring.h).
 *
 * A peer may come and go at any time, with or without saying so. As server we wait for the next one; as client we try again
 * every MEMIF_RETRY_MS. A peer that lies in its messages or its rings is hung up on, with a line in the log (a few a minute at
 * most, the rest counted); it may try again. As server, a handshake that is not finished in MEMIF_HANDSHAKE_MS is ended.
 */

#include "kind.h"

#define MEMIF_BUFFER	   2048 /* bytes of frame that a buffer holds, as client */
#define MEMIF_RING	   1024 /* slots, as client */
#define MEMIF_RETRY_MS	   50
#define MEMIF_HANDSHAKE_MS 5000

extern const struct port_kind memif_kind;

#endif

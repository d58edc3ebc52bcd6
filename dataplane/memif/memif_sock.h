/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_MEMIF_SOCK_H
#define DATAPLANE_MEMIF_SOCK_H

/*
 * Messages of memif's control channel, one at a time, with at most one descriptor beside each.
 *
 * Nothing here waits: sockets are non-blocking, and a peer that does not read its answers is a peer to hang up on (the socket's
 * buffer holds hundreds of messages, a whole handshake is a few dozen). Whatever descriptors a message brought are either
 * handed over or closed, however many there were: a peer cannot fill our table.
 *
 * Any thread.
 */

#include "memif_proto.h"

/* Non-blocking socket that listens on `path`; a socket file that nobody listens on any more is replaced. fd or -errno. */
int memif_sock_listen(const char *path);
/* Non-blocking socket connected to `path`. fd or -errno. */
int memif_sock_connect(const char *path);

/*
 * Send a message; `passed` is a descriptor to go with it, or -1, and stays the caller's. 0 or -errno (-EAGAIN: the peer does
 * not read).
 */
int memif_sock_send(int sock, const struct memif_msg *msg, int passed);

/*
 * Receive a message. *passed is the descriptor that came with it, now the caller's, or -1.
 *
 * 0; -EAGAIN: none there; -ECONNRESET: the peer is gone; -EMSGSIZE: not 128 bytes; -E2BIG: more than one descriptor, all closed.
 */
int memif_sock_recv(int sock, struct memif_msg *msg, int *passed);

#endif

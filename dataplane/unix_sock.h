/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_UNIX_SOCK_H
#define DATAPLANE_UNIX_SOCK_H

/*
 * Unix sockets at a path, with descriptors passed: what memif (SOCK_SEQPACKET) and vhost-user (SOCK_STREAM) stand on.
 *
 * Nothing here blocks. Every descriptor that arrives is either handed to the caller or closed. Control thread only.
 */

#include <stddef.h>

#include <sys/types.h>

/* The kernel passes no more descriptors with one message (SCM_MAX_FD). */
#define UNIX_SOCK_MAX_FDS 253

/*
 * Listen at `path`, a socket of `type`. A socket file that nobody listens on any more is replaced; anything else at the path is left
 * alone. A descriptor, or -errno: -EADDRINUSE, -ENAMETOOLONG, -ENOENT, ...
 */
int unix_sock_listen(const char *path, int type);
/* Connect to `path`. A descriptor, or -errno: -ENOENT, -ECONNREFUSED (nobody listens), -EAGAIN (its backlog is full), ... */
int unix_sock_connect(const char *path, int type);

/* Send `len` bytes, all or none, with the descriptor `passed` (-1: none). 0 or -errno: -EAGAIN when the peer does not read. */
int unix_sock_send(int sock, const void *data, size_t len, int passed);

/*
 * Receive up to `len` bytes and up to `max_fds` descriptors, which are the caller's then; *n_fds of them, whatever is returned.
 *
 * Bytes received (SOCK_STREAM: 0 is the end; SOCK_SEQPACKET: a message that was longer counts as len + 1); -EAGAIN: nothing there;
 * -ECONNRESET; -E2BIG: more descriptors than max_fds came (all are closed, *n_fds is 0).
 */
ssize_t unix_sock_recv(int sock, void *data, size_t len, int *fds, unsigned max_fds, unsigned *n_fds);

#endif

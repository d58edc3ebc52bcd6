/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_INSTANCE_H
#define CTL_INSTANCE_H

/*
 * One daemon for each set of paths.
 *
 *      /run/sluice/control.sock        the socket
 *      /run/sluice/control.sock.lock   flock()ed as long as its daemon lives, however it ends
 *
 * The lock says who lives; the socket file says nothing, since a killed daemon leaves its own behind. Who holds the lock may replace a
 * socket file that nobody listens on. A socket that answers without the lock belongs to another program and is left alone, as is
 * anything there that is not a socket.
 *
 * Sockets have their mode and group before anybody can connect: bound with no permissions, then chown, chmod, and only then listen.
 *
 * A socket that was handed over by the service manager (activation.h) is adopted: its file, mode and group are not ours, so it is neither
 * replaced nor removed; the lock is taken all the same, since a daemon started by hand would make its own sockets over the file.
 *
 * Control thread; messages go to `why` (one line, with the path).
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct instance_socket {
	char path[108], lock_path[128];
	int fd, lock_fd; /* -1: none */
	bool adopted;
};

/* The socket's mode, and its group if there is one of that name (NULL: root's). */
struct instance_access {
	mode_t mode;
	const char *group;
};

/* Take the lock, replace what a dead daemon left, bind and listen. 0, or -errno with `why`; then nothing is left behind. */
int instance_open(struct instance_socket *s, const char *path, const struct instance_access *access, char *why, size_t size);
/* The same around a listening socket that is there, which is closed by instance_close() and on failure. Its path is asked for. */
int instance_adopt(struct instance_socket *s, int fd, char *why, size_t size);
/* Remove socket and lock. Safe after a failed open. */
void instance_close(struct instance_socket *s);

#endif

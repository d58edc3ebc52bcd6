/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_sock.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unix_sock.h"

int memif_sock_listen(const char *path)
{
	return unix_sock_listen(path, SOCK_SEQPACKET);
}

int memif_sock_connect(const char *path)
{
	return unix_sock_connect(path, SOCK_SEQPACKET);
}

int memif_sock_send(int sock, const struct memif_msg *msg, int passed)
{
	return unix_sock_send(sock, msg, sizeof(*msg), passed);
}

int memif_sock_recv(int sock, struct memif_msg *msg, int *passed)
{
	unsigned n_fds;
	ssize_t n;

	*passed = -1;
	n = unix_sock_recv(sock, msg, sizeof(*msg), passed, 1, &n_fds);
	if (n == sizeof(*msg) || n == -EAGAIN || n == -ECONNRESET || n == -E2BIG)
		return n < 0 ? (int)n : 0;
	if (n_fds) {
		close(*passed);
		*passed = -1;
	}
	return n == 0 ? -ECONNRESET : -EMSGSIZE;
}

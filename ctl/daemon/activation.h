/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_ACTIVATION_H
#define CTL_ACTIVATION_H

/*
 * Sockets that were there before the daemon: systemd's, handed over at exec (sd_listen_fds(3)).
 *
 *      sluiced.socket       FileDescriptorName=control  --+
 *      sluiced-stat.socket  FileDescriptorName=stat     --+--> LISTEN_FDS --> activation_take() --> instance_adopt()
 *
 * They stay systemd's: their mode and group are its business, they outlive the daemon, and connections queue in them while it restarts.
 * One that is not handed over is made by the daemon itself.
 */

#include <stddef.h>

struct activation {
	int control, stat; /* -1: not handed over */
};

/*
 * Take what was handed over, out of the environment too. 0, or -EINVAL with one line in `why`: a socket of another name, of another kind
 * than a listening stream socket, or one name twice. The descriptors are open until exit in that case.
 */
int activation_take(struct activation *a, char *why, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

/*
 * Clients: who may connect, how many, and in what order they are served.
 *
 *      control.sock --+-- SO_PEERCRED --> places left? --> connection (conn.h) --+
 *      stat.sock  ----+                        |                                 +--> turns (turn.h): one request at a time
 *                                              +--> one line that says why, and closed
 *
 * Roles are the sockets': control.sock changes the node, and its mode (0660, root and group sluice) says who may; stat.sock is for
 * everybody, reads, and shows no secrets.
 *
 * Places. Each socket has RPC_CLIENTS (32), and each user RPC_CLIENTS_PER_UID (8) of them; the two sockets count apart, so whoever may
 * open stat.sock only cannot lock the owner out of control.sock. Root has RPC_CLIENTS_ROOT (24) on control.sock: two schedulers and the
 * operator's tools are all root on most nodes, and what is left is enough for one user of group sluice, whatever root does. The user is
 * who connected, as the kernel says; what else he is in does not count.
 *
 * Turns. Clients are served in an order that lets nobody feel how much another asks for: turn.h. What a user has been served stays
 * with him when he connects anew.
 *
 * Floods. At most ACCEPT_BURST connections are taken before others have their turn; who finds no place costs an accept, a line and a
 * close, and no memory. The log says so once a minute. When there is no descriptor or memory for a connection, the socket is left
 * alone for a second.
 *
 * Everything runs on the control thread, in sd-event's loop, and never waits for a client.
 */

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "ctl.h"

struct server;

/* 0 or -errno. */
int server_open(struct server **server, sd_event *event, struct ctl *ctl);
/* Accept clients on a listening socket (stays the caller's). At most two. 0 or -errno. */
int server_listen(struct server *server, int fd, bool read_only);
/* Close all connections. NULL is fine. */
void server_close(struct server *server);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

/*
 * Clients: connections to the listening sockets, lines in, answers out.
 *
 *      control.sock --+                 +-- line_buf --> rpc_handle() --> outq --+
 *                     +--> client ------+                                        +--> socket
 *      stat.sock  ----+   (uid, session)+-- timer: a partial line ends or the connection does
 *
 * Everything runs on the control thread, in sd-event's loop, and never waits for a client:
 *  - 32 connections to a socket, 8 of one uid. Each socket counts its own, so whoever may open stat.sock only (everybody) cannot lock
 *    the owner out of control.sock. One too many gets an error line and is closed.
 *  - at most WORK_LINES requests of a client are done before others have their turn; control clients go before stat clients.
 *  - a client that does not read its answers is not read from (outq.h).
 *  - a line must end within 10 s of its first byte, while the server is willing to read it.
 *  - a client may shut down its sending side: what it sent is answered, then the connection is closed.
 * What is wrong with a line is answered and the connection goes on; only the end of time or memory closes it.
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

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_MEMIF_CONN_H
#define DATAPLANE_MEMIF_CONN_H

/*
 * A port, its connection to a peer, and the moment at which workers come to know of it. Control thread only.
 *
 *      accept or connect --> conn, without memory --> messages --> conn with link --> memif_conn_up(): workers use the link
 *                              |                                                          |
 *                              +---------------- memif_conn_close() <---------------------+
 *
 * A connection as server has no port until INIT names one (`id`); it then belongs to the port, which has one connection at
 * most. What the messages describe is collected in the connection's `link`, which owns the shared memory, the rings' ends and
 * their eventfds. memif_conn_up() hands the ends to the port's queues; memif_conn_close() takes them back, waits until no
 * worker can be in them, and frees everything. Every way to end a connection is that one function.
 *
 * Logging is limited for each port and each listener by itself, so that a peer that makes noise does not silence the others' lines.
 */

#include "log.h"
#include "memif_kind.h"
#include "memif_ring.h"
#include "memif_shm.h"
#include "peer_port.h"

struct memif_conn;
struct memif_listener;

struct memif_port {
	struct peer_port base;
	char secret[25];
	uint32_t id;
	bool client;
	uint8_t log2_ring;
	struct memif_queue *rxq, *txq; /* [base.n_queues] */
	struct memif_conn *conn;       /* the peer, from INIT (server) or connect (client) on */
	struct memif_listener *listener;
	struct memif_port *next; /* of the listener's */
	struct kind_timer *retry;
};

/* What a connection shares with its peer. */
struct memif_link {
	struct memif_shm shm;
	uint16_t n_rx, n_tx; /* rings so far */
	bool has_rx[KIND_MAX_QUEUES], has_tx[KIND_MAX_QUEUES];
	struct memif_end rx[KIND_MAX_QUEUES], tx[KIND_MAX_QUEUES];
};

enum memif_state {
	MEMIF_WAIT_INIT,      /* server: nobody yet */
	MEMIF_WAIT_MEMORY,    /* server: regions and rings, until CONNECT */
	MEMIF_WAIT_HELLO,     /* client */
	MEMIF_WAIT_ACK,	      /* client: `step` was sent */
	MEMIF_WAIT_CONNECTED, /* client */
	MEMIF_UP,
};

struct memif_conn {
	struct dp *dp;
	int sock;
	enum memif_state state;
	struct memif_port *port;	 /* NULL until INIT */
	struct memif_listener *listener; /* server */
	struct memif_link *link;
	struct kind_timer *deadline;
	unsigned step;		 /* client: message of the handshake that was sent last */
	char peer[33];		 /* what it calls itself, printable */
	struct memif_conn *next; /* server: of the listener's that have no port yet */
};

/* Log about a port or, where it is NULL, a listener's path. */
void memif_say(struct dp_log_limit *limit, int priority, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Take over `sock` (also on failure) and watch it with `received`. NULL: out of memory or descriptors.
 *
 * As server the clock of the handshake starts. As client there is none: a server that accepts late is waited for, as it holds
 * nothing of ours, and DPDK's dies when a client that it has not yet greeted hangs up.
 */
struct memif_conn *memif_conn_new(struct dp *dp, int sock, enum memif_state state, void (*received)(void *conn, uint32_t events));

/* Make the connection's link, empty. 0 or -ENOMEM. */
int memif_conn_link(struct memif_conn *c);

/* Remember what the peer calls itself, with what is not printable replaced. */
void memif_conn_peer(struct memif_conn *c, const char name[32]);

/* All is there, a ring in each direction at least: hand the link to the workers. 0, or -errno and the connection is as before. */
int memif_conn_up(struct memif_conn *c);

/*
 * End the connection and free it: workers are kept out first, if they know of it. `why` goes to the log and, as DISCONNECT, to
 * the peer if it is still there (NULL: say nothing to either). A client's port starts over by its retry timer.
 */
void memif_conn_close(struct memif_conn *c, const char *why);

/* server.c: the port's listener, made or joined; and left. 0 or -errno: -EEXIST, the id is taken on this path. */
int memif_server_open(struct memif_port *p);
void memif_server_close(struct memif_port *p);
/* server.c: take a connection that has no port out of its listener's list. */
void memif_server_forget(struct memif_conn *c);

/* client.c: try to connect in delay_ms. 0 or -ENOMEM. */
int memif_client_retry(struct memif_port *p, unsigned delay_ms);

#endif

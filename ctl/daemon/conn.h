/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CONN_H
#define CTL_CONN_H

/*
 * One client's connection: lines in, answers and events out.
 *
 *      socket --> line_buf --> [waits for its turn] --> rpc_handle() --> outq --> socket
 *                    |                                    watch.c --> events --^
 *                    +-- timer: a line that began ends within 10 s, or the connection does
 *
 * What it may take from others and from memory:
 *  - a turn is one request, and further ones as long as they fit into CONN_TURN_NS together (turn.h says whose turn it is);
 *  - it is not read from while complete lines of it wait for their turn, so it has one buffer of lines at most (line.h);
 *  - it is not read from while OUTQ_HIGH bytes wait to be read by it, so its answers are bounded by that and the largest one;
 *  - RPC_EVENTS_MAX bytes of events wait for it at most: beyond that they are refused (session.tell), and session.told() says when all
 *    of them have left.
 * A client that stalls, sends a byte a second or does not read therefore holds its place and a bounded buffer, and nothing else.
 *
 * Control thread, in sd-event's loop; nothing here waits.
 */

#include <sys/types.h>

#include <systemd/sd-event.h>

#include "rpc.h"
#include "turn.h"

#define CONN_TURN_NS	UINT64_C(2000000)
#define CONN_UNKNOWN_NS UINT64_C(1000000) /* what a request of somebody unknown is taken to cost: more than a usual one */

struct conn;

/* What a connection leaves behind for the next one of its user. */
struct conn_debt {
	uint64_t owes_ns; /* see turn_leave() */
	uint64_t cost_ns; /* what a request of his is likely to take */
};

/* What connections share. Outlives them. */
struct conn_env {
	sd_event *event;
	struct ctl *ctl;
	struct turns turns;
	/*
	 * Readable while somebody waits for his turn. Not a deferred source: sd-event takes those for the oldest of what is pending, always,
	 * and would serve for ever without looking at anybody's input.
	 */
	int serve_fd;
	sd_event_source *serve;
	void (*closed)(struct conn *c, const struct conn_debt *debt); /* `c` is about to be freed */
};

/* 0 or -errno. */
int conn_env_init(struct conn_env *env, sd_event *event, struct ctl *ctl,
		  void (*closed)(struct conn *c, const struct conn_debt *debt));
void conn_env_fini(struct conn_env *env);

/* The server's side of a connection. */
struct conn_peer {
	struct conn *next;
	void *listener;
	uid_t uid;
};

/*
 * A connection on `fd`, a stream socket, which it takes over also if it fails (NULL: no memory). `debt`: of its user's earlier ones.
 */
struct conn *conn_new(struct conn_env *env, int fd, const struct conn_peer *peer, bool read_only, const struct conn_debt *debt);
/* Close it without a word. */
void conn_free(struct conn *c);
struct conn_peer *conn_peer(struct conn *c);
struct rpc_session *conn_session(struct conn *c);

#endif

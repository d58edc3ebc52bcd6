/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_OUTQ_H
#define CTL_OUTQ_H

/*
 * What waits to be written to a socket that does not take it now: whole answers, in order, without copying them.
 *
 * It has no limit of its own. The server stops taking a client's requests while OUTQ_HIGH bytes or more wait, so a client that does not
 * read costs at most that and the largest single answer. Events are counted apart, for they come unasked: who makes them looks at
 * `event_bytes` first.
 */

#include <stddef.h>

#define OUTQ_HIGH (256u << 10)

struct outq_item;

struct outq {
	struct outq_item *head, **tail;
	size_t bytes;	    /* not yet written */
	size_t event_bytes; /* of these, in events: an event counts in full until it is written in full */
};

void outq_init(struct outq *q);
void outq_fini(struct outq *q);
/* Append; takes over `data` (from malloc), also on failure. 0 or -ENOMEM. */
int outq_push(struct outq *q, char *data, size_t len);
/* The same for an event. */
int outq_push_event(struct outq *q, char *data, size_t len);
/* Write what the socket takes without waiting. 0: as much as it takes now (see q->bytes); -errno: the connection is over. */
int outq_flush(struct outq *q, int fd);

#endif

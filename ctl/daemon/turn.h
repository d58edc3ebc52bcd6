/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_TURN_H
#define CTL_TURN_H

/*
 * Whose turn it is: requests of many clients on one thread.
 *
 *      waiting:   A due 5.0 ms     B due 5.3 ms     C due 55 ms (a line of a megabyte)
 *                 |
 *      turn_next() --> A is served for 0.4 ms --> turn_charge(A, 0.4 ms): when A comes again it is due at 5.4 ms, behind B
 *
 * A clock of its own says how much service has been given; it goes to where the one stands who is served. Everybody carries the time at
 * which he is due. Who has been idle is due now, who has been served is due later by what he took, and who is due first is next, in
 * the order of coming if two are due together. So a client that floods, with however many requests, waits for itself: between two
 * of its turns everybody else has had one. Fifty that come at once with dear requests would still be a tenth of a second to whoever comes
 * next with a small one: so what a request will cost is guessed (by its length, and by what his last ones took) and the small one
 * goes first. Nobody starves: the clock goes on with every turn, and a guess is a few milliseconds of it.
 *
 * What is owed outlives a connection: turn_leave() says by how much he is ahead of the clock, and whoever keeps accounts (one for a user)
 * adds it up and lets his next connection start behind it. The account too goes with the clock: time is what pays.
 *
 * No clock and no socket in here. There are 64 clients at most, so the next one is found by looking at all. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct turn {
	struct turn *next;
	uint64_t due_ns; /* of the turns' own clock */
	uint64_t guess_ns;
	uint64_t seq; /* the order of coming */
	bool waiting;
};

struct turns {
	struct turn *first;
	uint64_t now_ns, seq;
};

/* A newcomer, due at `due_ns` or now, whichever is later. */
void turn_init(const struct turns *ts, struct turn *t, uint64_t due_ns);
/* Wait for a turn, whose cost is guessed. Does nothing but to guess anew if he waits already. */
void turn_want(struct turns *ts, struct turn *t, uint64_t guess_ns);
/* Who is next; he waits no longer. NULL: nobody waits. */
struct turn *turn_next(struct turns *ts);
/* He took so much. */
void turn_charge(struct turn *t, uint64_t took_ns);
/* He goes, waiting or not. Returns by how much he is ahead of the clock: what he took and the others had no time for yet. */
uint64_t turn_leave(struct turns *ts, struct turn *t);

#endif

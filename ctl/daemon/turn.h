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
 * of its turns everybody else has had one. What a request will cost is guessed from its length, so that short ones do not wait behind
 * ten long ones that came a moment earlier; nobody starves, for the clock goes on.
 *
 * What is owed outlives a connection: turn_leave() gives the time at which he would have been due, and whoever keeps accounts (one for a
 * user) lets his next connection start there.
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

/* A newcomer. `due_ns`: from turn_leave() of an earlier one, or 0. */
void turn_init(const struct turns *ts, struct turn *t, uint64_t due_ns);
/* Wait for a turn, whose cost is guessed. Does nothing but to guess anew if he waits already. */
void turn_want(struct turns *ts, struct turn *t, uint64_t guess_ns);
/* Who is next; he waits no longer. NULL: nobody waits. */
struct turn *turn_next(struct turns *ts);
/* He took so much. */
void turn_charge(struct turn *t, uint64_t took_ns);
/* He goes, waiting or not. Returns when he would have been due. */
uint64_t turn_leave(struct turns *ts, struct turn *t);

#endif

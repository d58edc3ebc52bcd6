/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_RECONCILE_H
#define CTL_RECONCILE_H

/*
 * Bringing into force what is desired and is not: after the state was loaded, and when what the node lacked may have come.
 *
 *      store.pending --due--> engines: ENGINE_ADD for what they do not have --> made: out of pending, CTL_APPLIED
 *                      ^                                                   \--> lacking: fault, CTL_ERROR if it is news
 *                      |                                                          |
 *                      +---- 100 ms, 200 ms, ... 5 s later, or at a hint ---------+
 *
 * Everything that is due goes to the engines at once, so a start with thousands of objects costs one change of the switch. An object that
 * an engine refuses (which its apply would not have been, had it been so then: another build, another machine) is set aside with the
 * engine's error, and the rest goes on without it. Nobody's object keeps another's from being made.
 *
 * Waiting doubles from RECONCILE_MIN_US to RECONCILE_MAX_US for each object by itself. A hint (a netdev came, or went and left its name free) makes all due
 * a moment later, whatever they waited: hints come in swarms, and one try answers many. But a try that made a netdev and had to take it away again is
 * heard as a hint itself, and would be followed by the next for ever: for a moment after one that may have, its object hears none.
 *
 * What several engines lack of an object is told as the last of them puts it: of a trunk the switch knows that its netdev is gone, the kernel engine why.
 *
 * Control thread only.
 */

#include "ctl.h"

#define RECONCILE_MIN_US  100000
#define RECONCILE_MAX_US  5000000
#define RECONCILE_HINT_US 10000
#define RECONCILE_DEAF_US 50000

/*
 * What an object was in force by is gone: no engine has it any more, and each is told to make it again, at once and then as of any that is pending. What
 * was applied stays applied; its generation is not held up.
 */
void reconcile_lost(struct ctl *ctl, struct object *o);
/* An object became pending: when to try it. `soon`: what it lacks is likely there already. */
void reconcile_schedule(struct ctl *ctl, struct object *o, bool soon);
/* Something changed outside that pending objects may have waited for. */
void reconcile_hint(struct ctl *ctl);
/* When the next object is due, UINT64_MAX: none is pending. Walks over what is pending. */
uint64_t reconcile_due(const struct ctl *ctl);
/* Try what is due at `now_us`. Out of memory is a reason to try again later. */
void reconcile_run(struct ctl *ctl, uint64_t now_us);

#endif

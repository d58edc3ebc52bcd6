/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_LOAD_H
#define CTL_LOAD_H

/*
 * The start: from the state file to the store, and from there into force.
 *
 *      state_open --> ctl_load: every row is an object that this build understands, and together they could have been applied
 *                        |         yes: all are desired, and pending
 *                        |         no:  the file goes aside whole (state.h), and the node starts empty
 *                        v
 *                     reconcile_run: what can be made is made before the daemon says that it is ready
 *
 * A row of an unknown object or attribute was written by a later version; the file is kept as such. Whatever else does not decode, or
 * contradicts another row, cannot have been written by us: the file is damaged.
 *
 * Control thread.
 */

#include "ctl.h"

/* Fill an empty store. Takes over `state`, also on failure. 0, or -errno: with state_why() when it is about the file, -ENOMEM. */
int ctl_load(struct ctl *ctl, struct state *state);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_SUPERVISE_H
#define CTL_SUPERVISE_H

/*
 * Is everybody still working? And systemd's watchdog, fed only if so.
 *
 *      every period:   worker 0's beat moved since the last time?  --+
 *                      worker 1's beat moved?                      --+-- all: WATCHDOG=1
 *                      (the control thread: it is running this)      +-- not all: a line in the log, an event, and no food
 *
 * A worker's beat is a number that changes in each of its rounds. One that sleeps is woken by being asked (dp_worker_beat()), makes its
 * round and sleeps on: so sleeping is healthy and hanging in a sleep is not, at the price of one wake-up a period.
 *
 * The period is a quarter of WatchdogSec, so that one that is missed on a busy machine does no harm, and SUPERVISE_PERIOD_US without a
 * watchdog: the log and `node.health` events say so then too. A worker that stops is noticed after one to two periods, and systemd ends
 * the daemon WatchdogSec after the last feeding: at most one and a quarter of it after the worker stopped.
 *
 * Control thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "ctl.h"

#define SUPERVISE_PERIOD_US UINT64_C(5000000)

/* What is known of the workers; zeroed at the start. No clock and no worker in here. */
struct supervision {
	unsigned n;
	struct {
		uint64_t beat;
		bool known; /* asked once already */
		bool stuck;
	} workers[DP_MAX_WORKERS];
};

/* Worker `i` shows this beat now. Returns true if it is other news than last time: *stuck says which. */
bool supervision_note(struct supervision *s, unsigned i, uint64_t beat, bool *stuck);
/* Nobody is stuck. */
bool supervision_well(const struct supervision *s);

struct supervise;

/* Begin. `watchdog_us`: the service manager's (sd_watchdog_enabled()), 0: it has none. 0 or -errno. */
int supervise_open(struct supervise **out, sd_event *event, struct ctl *ctl, uint64_t watchdog_us);
/* NULL is fine. */
void supervise_close(struct supervise *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "json_memory.h"
#include "reconcile.h"
#include "state.h"
#include "wait.h"

uint64_t ctl_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * UINT64_C(1000000) + ts.tv_nsec / 1000;
}

static void make_boot_id(char out[33])
{
	uint64_t r[2];

	/* Without random bytes (a jail without the system call) time and pid still differ between two starts. */
	if (getrandom(r, sizeof(r), GRND_NONBLOCK) != sizeof(r)) {
		r[0] = ctl_now_us();
		r[1] = getpid();
	}
	snprintf(out, 33, "%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1]);
}

void ctl_init(struct ctl *ctl, struct dp *dp)
{
	json_memory_watch();
	memset(ctl, 0, sizeof(*ctl));
	ctl->dp = dp;
	ctl->started_us = ctl_now_us();
	make_boot_id(ctl->boot_id);
	ctl_add_engine(ctl, &dataplane_engine, ctl);
}

int ctl_add_engine(struct ctl *ctl, const struct engine_type *type, void *self)
{
	if (ctl->engines.n == ENGINES_MAX)
		return -ENOSPC;
	ctl->engines.at[ctl->engines.n++] = (struct engine){type, self};
	return 0;
}

void ctl_fini(struct ctl *ctl)
{
	wait_fini(ctl);
	store_clear(&ctl->store);
	state_close(ctl->state);
	ctl->state = NULL;
}

uint64_t ctl_due(const struct ctl *ctl)
{
	uint64_t reconcile = reconcile_due(ctl), wait = wait_due(ctl);

	return reconcile < wait ? reconcile : wait;
}

void ctl_tick(struct ctl *ctl, uint64_t now_us)
{
	/* What comes into force now is not late. */
	reconcile_run(ctl, now_us);
	wait_run(ctl, now_us);
	ctl_rearm(ctl);
}

void ctl_rearm(struct ctl *ctl)
{
	if (ctl->arm)
		ctl->arm(ctl->arm_arg, ctl_due(ctl));
}

void ctl_note(struct ctl *ctl, const char *feature, const char *text)
{
	if (ctl->n_notes < CTL_NOTES_MAX)
		ctl->notes[ctl->n_notes++] = (struct ctl_note){feature, text};
}

void ctl_unnote(struct ctl *ctl, const char *feature)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ctl->n_notes; i++)
		if (strcmp(ctl->notes[i].feature, feature) != 0)
			ctl->notes[n++] = ctl->notes[i];
	ctl->n_notes = n;
}

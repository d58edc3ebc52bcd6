/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

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
	memset(ctl, 0, sizeof(*ctl));
	ctl->dp = dp;
	ctl->started_us = ctl_now_us();
	make_boot_id(ctl->boot_id);
}

void ctl_fini(struct ctl *ctl)
{
	table_clear(&ctl->store.objects);
}

void ctl_note(struct ctl *ctl, const char *feature, const char *text)
{
	if (ctl->n_notes < CTL_NOTES_MAX)
		ctl->notes[ctl->n_notes++] = (struct ctl_note){feature, text};
}

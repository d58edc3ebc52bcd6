/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

/*
 * What the methods work on: the switch, the desired state, and what is known about this daemon. Made by main.c, one per process (the
 * tests make their own around a switch that is not there). Control thread only.
 */

#include <stdint.h>

#include "dataplane.h"
#include "notify.h"
#include "store.h"

/* Something that this build or this machine lacks, for `node show`: design rule 8. */
struct ctl_note {
	const char *feature; /* "trunk" */
	const char *text;    /* "not in this build" */
};

#define CTL_NOTES_MAX 16

struct ctl {
	struct dp *dp;
	struct store store;
	char boot_id[33];    /* made anew at each start: generations of two boots do not compare */
	uint64_t started_us; /* CLOCK_BOOTTIME */
	struct ctl_note notes[CTL_NOTES_MAX];
	unsigned n_notes;
	struct ctl_listener *listeners, *next_listener; /* notify.h */
};

void ctl_init(struct ctl *ctl, struct dp *dp);
void ctl_fini(struct ctl *ctl);
/* Both strings must live as long as ctl. More than CTL_NOTES_MAX are left out. */
void ctl_note(struct ctl *ctl, const char *feature, const char *text);
/* Microseconds of CLOCK_BOOTTIME: suspend counts, setting the clock does not. */
uint64_t ctl_now_us(void);

#endif

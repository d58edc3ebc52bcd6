/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

/*
 * What the methods work on: the switch, the desired state, and what is known about this daemon. Made by main.c, one per process (the
 * tests make their own around a switch that is not there).
 *
 * Time. Some things are due later: a pending object's next try, the end of a wait. ctl_due() says when the first is, ctl_tick() does what
 * is due, and `arm` is told each time the answer may have changed. Whoever owns a clock connects the two (loop.h); tests call
 * ctl_tick() with the time that they want it to be.
 *
 * Control thread only.
 */

#include <stdint.h>

#include "dataplane.h"
#include "engine.h"
#include "kern.h"
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
	struct kern *kern;		       /* the kernel engine; NULL: this node has none */
	const char *trunk;		       /* name of the trunk's port; NULL: no kernel engine, or not wanted */
	enum kern_trunk_by trunk_by;	       /* as configured */
	struct kern_trunk_netdev trunk_netdev; /* that it is on. `by` NULL: there has been none; far_ifindex 0: there is none now */
	struct fault trunk_lack;	       /* why that is so: what the last try to make it met */
	struct store store;
	struct state *state; /* where the store is kept; NULL: nowhere (tests) */
	struct engines engines;
	char boot_id[33];    /* made anew at each start: counters of two boots do not compare, generations do */
	uint64_t started_us; /* CLOCK_BOOTTIME */
	struct ctl_note notes[CTL_NOTES_MAX];
	unsigned n_notes;
	struct ctl_listener *listeners, *next_listener; /* notify.h */
	struct {
		struct ctl_listener listener;
		struct wait *list;
	} waits; /* wait.c */
	void (*arm)(void *arg, uint64_t due_us);
	void *arm_arg;
	struct watch_hub *hub; /* watch.c; NULL: nobody watches */
};

/* An empty store in front of the switch, the first engine. */
void ctl_init(struct ctl *ctl, struct dp *dp);
/* After the last session ended. Closes the state; engines keep what they have. */
void ctl_fini(struct ctl *ctl);
/* A further engine, before ctl_load(). More than ENGINES_MAX are refused: -ENOSPC. */
int ctl_add_engine(struct ctl *ctl, const struct engine_type *type, void *self);
/* When something is due, CLOCK_BOOTTIME; UINT64_MAX: nothing is. */
uint64_t ctl_due(const struct ctl *ctl);
void ctl_tick(struct ctl *ctl, uint64_t now_us);
/* What is due may have changed: tell `arm`. */
void ctl_rearm(struct ctl *ctl);
/* Both strings must live as long as ctl. More than CTL_NOTES_MAX are left out. */
void ctl_note(struct ctl *ctl, const char *feature, const char *text);
/* What was lacking is there. */
void ctl_unnote(struct ctl *ctl, const char *feature);
/* Microseconds of CLOCK_BOOTTIME: suspend counts, setting the clock does not. */
uint64_t ctl_now_us(void);

#endif

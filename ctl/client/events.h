/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_EVENTS_H
#define CLIENT_EVENTS_H

/*
 * Events that came while their owner was waiting for an answer: a list of texts in order, with a limit in bytes. Private to libsluice.
 *
 *      put ---> [port.link][fdb.learn] ... [resync] ---> take
 *
 * What does not fit, or finds no memory, is lost, and one resync stands in its place; nothing is put behind that until the list is empty again,
 * so a reader that falls behind sees where the gap is.
 */

#include <stdbool.h>
#include <stddef.h>

#include "sluice/sluice.h"

struct event;

struct events {
	struct event *first, **end;
	size_t bytes;
	bool lost; /* something, behind the last of the list */
};

void slc_events_init(struct events *e);
void slc_events_clear(struct events *e);
/* Copies the text. */
void slc_events_put(struct events *e, const char *text, size_t len);
/* The oldest, for the caller to free(): 0. SLUICE_TIMEOUT: there is none. SLUICE_NO_MEMORY: there is, but no memory to hand it out. */
int slc_events_take(struct events *e, char **text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>

#include "events.h"

struct event {
	struct event *next;
	size_t bytes; /* of all of this */
	char *text;
};

void slc_events_init(struct events *e)
{
	*e = (struct events){.end = &e->first};
}

void slc_events_clear(struct events *e)
{
	while (e->first) {
		struct event *event = e->first;

		e->first = event->next;
		free(event->text);
		free(event);
	}
	slc_events_init(e);
}

void slc_events_put(struct events *e, const char *text, size_t len)
{
	size_t bytes = sizeof(struct event) + len + 1;
	struct event *event = NULL;

	if (!e->lost && e->bytes + bytes <= SLUICE_EVENTS_MAX)
		event = malloc(sizeof(*event));
	if (event) {
		event->text = malloc(len + 1);
		if (!event->text) {
			free(event);
			event = NULL;
		}
	}
	if (!event) {
		e->lost = true;
		return;
	}
	memcpy(event->text, text, len);
	event->text[len] = '\0';
	event->bytes = bytes;
	event->next = NULL;
	*e->end = event;
	e->end = &event->next;
	e->bytes += bytes;
}

int slc_events_take(struct events *e, char **text)
{
	static const char resync[] = "{\"type\":\"resync\"}";
	struct event *event = e->first;

	if (event) {
		e->first = event->next;
		if (!e->first)
			e->end = &e->first;
		e->bytes -= event->bytes;
		*text = event->text;
		free(event);
		return 0;
	}
	if (!e->lost)
		return SLUICE_TIMEOUT;
	*text = malloc(sizeof(resync));
	if (!*text)
		return SLUICE_NO_MEMORY;
	memcpy(*text, resync, sizeof(resync));
	e->lost = false;
	return 0;
}

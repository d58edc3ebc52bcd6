/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl.h"
#include "notify.h"

void ctl_listen(struct ctl *ctl, struct ctl_listener *l)
{
	struct ctl_listener **link = &ctl->listeners;

	while (*link)
		link = &(*link)->next;
	l->next = NULL;
	*link = l;
}

void ctl_unlisten(struct ctl *ctl, struct ctl_listener *l)
{
	for (struct ctl_listener **link = &ctl->listeners; *link; link = &(*link)->next) {
		if (*link != l)
			continue;
		*link = l->next;
		/* The one that would have been told next, if we are called from inside of ctl_notify(). */
		if (ctl->next_listener == l)
			ctl->next_listener = l->next;
		return;
	}
}

void ctl_notify(struct ctl *ctl, const struct ctl_event *ev)
{
	for (struct ctl_listener *l = ctl->listeners; l; l = ctl->next_listener) {
		ctl->next_listener = l->next;
		l->tell(l, ev);
	}
}

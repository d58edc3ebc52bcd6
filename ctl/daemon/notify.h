/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_NOTIFY_H
#define CTL_NOTIFY_H

/*
 * What happened to the configuration, told to whoever in this process wants to know: the watch method, requests that wait.
 *
 *      apply.c   -- committed -->  CTL_OBJECT for each object, then CTL_GENERATION  --+
 *      engines   -- in force  -->  CTL_APPLIED for each object, CTL_GENERATION      --+-->  listeners, in the order of ctl_listen()
 *      reconciler - cannot be -->  CTL_ERROR when an object's error comes or changes--+
 *
 * The order is that of the facts: an object's CTL_OBJECT comes after its transaction is on disk and in the engines, and before the answer
 * to the client who asked for it. All CTL_OBJECTs of a transaction carry its generation; the CTL_GENERATION behind them says that there
 * are no more. A replaced object (deleted and made again in one transaction) is told as a deletion and an addition.
 *
 * An event is borrowed: it and all it points to are valid until the listener returns. A listener must not change the configuration; it
 * may register and unregister listeners, itself too. With no listener nothing is done.
 *
 * Control thread only.
 */

#include <stdint.h>

#include "schema/schema.h"

struct ctl;
struct fault; /* store.h */

enum ctl_event_type {
	CTL_OBJECT,	/* an object was added, changed or deleted: see `change` */
	CTL_APPLIED,	/* an object that was not in force as configured now is */
	CTL_ERROR,	/* an object cannot be brought into force now: `fault` says why. Not repeated while it says the same */
	CTL_GENERATION, /* the committed or the applied generation, or both, moved; no object */
};

enum ctl_change { CTL_ADD, CTL_SET, CTL_DEL };

struct ctl_event {
	enum ctl_event_type type;
	enum ctl_change change;
	const struct schema_object *object;
	const char *name, *owner;
	const void *before, *after; /* CTL_OBJECT: configurations, of the object's type; NULL where there is none */
	const struct fault *fault;
	uint64_t generation, applied; /* of the node, as they are with this event */
};

struct ctl_listener {
	struct ctl_listener *next;
	void (*tell)(struct ctl_listener *l, const struct ctl_event *ev);
};

/* Append a listener, which stays its owner's memory. */
void ctl_listen(struct ctl *ctl, struct ctl_listener *l);
/* Take it out; one that is not in is left alone. */
void ctl_unlisten(struct ctl *ctl, struct ctl_listener *l);
void ctl_notify(struct ctl *ctl, const struct ctl_event *ev);

#endif

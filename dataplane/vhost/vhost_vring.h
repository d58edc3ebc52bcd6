/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_VRING_H
#define DATAPLANE_VHOST_VRING_H

/*
 * Starting and stopping a device's rings. Sets of rings are given as bits. Control thread; for vhost_dev.c.
 */

#include "vhost_dev.h"

#define VRINGS_ALL UINT32_MAX

/*
 * Start those of `rings` that do not run and have all that they need, and call their guest; the others are left alone. 0, or a fault + 1
 * with *why: a ring that has all cannot run; those before it do.
 */
int vrings_start(struct vhost_dev *d, uint32_t rings, const char **why);
/*
 * What rings are made from has changed: those of `rings` that run go on with that, and those that now can start do. When it returns no worker
 * uses what they were made from before. Rings that we send by lose no frame meanwhile, but for those that several queues share. As
 * vrings_start().
 */
int vrings_renew(struct vhost_dev *d, uint32_t rings, const char **why);
/* Stop those of `rings` that run; their `base` is where they ended. When it returns no worker is in them. */
void vrings_stop(struct vhost_dev *d, uint32_t rings);

/* Forget what was told about a stopped ring, and close its eventfds. */
void vring_forget(struct vhost_vring *v);

#endif

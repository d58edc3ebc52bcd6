/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_LOOP_H
#define CTL_LOOP_H

/*
 * What the control plane wants of the event loop: to be woken when something is due (ctl.h), and to hear of netdevs that come, which
 * ports may wait for (reconcile.h).
 *
 *      ctl->arm ----> timer (CLOCK_BOOTTIME) ----> ctl_tick()
 *      rtnetlink, RTM_NEWLINK ------------------> reconcile_hint()
 *
 * Without rtnetlink (a jail) ports are found at their next try, at most RECONCILE_MAX_US later: ctl_note() says so.
 *
 * Control thread. struct ctl_loop does not move while it is open.
 */

#include <systemd/sd-event.h>

#include "ctl.h"
#include "netlink.h"

struct ctl_loop {
	struct ctl *ctl;
	sd_event_source *timer, *links;
	struct netlink heard;
};

/* 0 or -errno. */
int ctl_loop_open(struct ctl_loop *loop, struct ctl *ctl, sd_event *event);
/* Before the event loop goes. Safe after a failed open. */
void ctl_loop_close(struct ctl_loop *loop);

#endif

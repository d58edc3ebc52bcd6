/* SPDX-License-Identifier: Apache-2.0 */

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>

#include "log.h"
#include "loop.h"
#include "reconcile.h"

#define ACCURACY_US 1000

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct ctl_loop *loop = arg;

	ctl_tick(loop->ctl, ctl_now_us());
	return 0;
}

static void arm(void *arg, uint64_t due_us)
{
	struct ctl_loop *loop = arg;

	if (due_us == UINT64_MAX) {
		sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(loop->timer, due_us);
	sd_event_source_set_enabled(loop->timer, SD_EVENT_ONESHOT);
}

/* --- netdevs ---------------------------------------------------------------------------------------------------------------- */

/* Which netdev it is does not matter: one try answers for all. One that goes leaves its name to others. */
static int hear(void *arg, struct nl_msg *msg)
{
	uint16_t type = nlmsg_hdr(msg)->nlmsg_type;

	*(bool *)arg |= type == RTM_NEWLINK || type == RTM_DELLINK;
	return 0;
}

static int on_links(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct ctl_loop *loop = arg;
	bool hint = false;

	/* What was lost is a hint too. */
	if (netlink_hear(&loop->heard, hear, &hint) < 0 || hint)
		reconcile_hint(loop->ctl);
	return 0;
}

static int open_links(struct ctl_loop *loop, sd_event *event)
{
	int ret = netlink_listen(&loop->heard, RTNLGRP_LINK);

	if (ret == 0)
		ret = sd_event_add_io(event, &loop->links, netlink_fd(&loop->heard), EPOLLIN, on_links, loop);
	if (ret < 0)
		netlink_close(&loop->heard);
	return ret;
}

/* --- together --------------------------------------------------------------------------------------------------------------- */

int ctl_loop_open(struct ctl_loop *loop, struct ctl *ctl, sd_event *event)
{
	int ret;

	*loop = (struct ctl_loop){.ctl = ctl};
	ret = sd_event_add_time(event, &loop->timer, CLOCK_BOOTTIME, 0, ACCURACY_US, on_timer, loop);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
	if (ret < 0)
		return ret;
	ret = open_links(loop, event);
	if (ret < 0) {
		log_printf(LOG_WARNING, "cannot listen for netdevs: %s; ports that lack one are tried every 5 s", strerror(-ret));
		ctl_note(ctl, "netdev events", "not available: ports that lack their netdev are tried every 5 s");
	}
	ctl->arm = arm;
	ctl->arm_arg = loop;
	ctl_rearm(ctl);
	return 0;
}

void ctl_loop_close(struct ctl_loop *loop)
{
	if (loop->ctl)
		loop->ctl->arm = NULL;
	sd_event_source_disable_unref(loop->timer);
	sd_event_source_disable_unref(loop->links);
	netlink_close(&loop->heard);
	*loop = (struct ctl_loop){0};
}

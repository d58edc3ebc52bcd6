/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "reconcile.h"

#define ACCURACY_US 1000
#define READ_BURST  64 /* messages at a time, so that a swarm of netdevs does not keep clients waiting */

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

/* Which netdev it is does not matter: one try answers for all. A lost message (ENOBUFS) is a hint too. */
static int on_links(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct ctl_loop *loop = arg;
	bool hint = false;
	struct nlmsghdr h;

	for (unsigned i = 0; i < READ_BURST; i++) {
		ssize_t n = recv(fd, &h, sizeof(h), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno != ENOBUFS)
			break;
		hint |= n < 0 || (n >= (ssize_t)sizeof(h) && h.nlmsg_type == RTM_NEWLINK);
	}
	if (hint)
		reconcile_hint(loop->ctl);
	return 0;
}

static int open_links(struct ctl_loop *loop, sd_event *event)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), ret;

	if (fd < 0)
		return -errno;
	ret = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (ret == 0)
		ret = sd_event_add_io(event, &loop->links, fd, EPOLLIN, on_links, loop);
	if (ret >= 0)
		ret = sd_event_source_set_io_fd_own(loop->links, true);
	if (ret >= 0)
		return 0;
	loop->links = sd_event_source_disable_unref(loop->links);
	close(fd);
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
	*loop = (struct ctl_loop){0};
}

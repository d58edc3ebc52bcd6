/* SPDX-License-Identifier: Apache-2.0 */
/* What happens by itself: links come and go, learned addresses age. */
#include "inside.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define TEND_S 10

static enum kern_event link_of(struct kern *e, const struct port *p)
{
	bool down = maps_conf(e, p->idx)->flags & SLC_K_DOWN;

	if (!p->ifindex)
		return KERN_LOST;
	return e->ports_map[p->idx].link_up && !down ? KERN_LINK_UP : KERN_LINK_DOWN;
}

/* Tell the owner of every link that is not as he knows it. One place, whatever made it so. */
static void tell_links(struct kern *e)
{
	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		struct port *p = e->ports[i];
		enum kern_event now = p && !p->orphan ? link_of(e, p) : KERN_LINK_DOWN;

		if (!p || p->orphan || p->told == now)
			continue;
		p->told = now;
		if (e->config.event)
			e->config.event(e->config.arg, p->rec.conf.name, now);
	}
}

static struct port *by_ifindex(struct kern *e, uint32_t ifindex)
{
	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (e->ports[i] && e->ports[i]->ifindex == ifindex)
			return e->ports[i];
	}
	return NULL;
}

/*
 * The trunk changed its state, its MTU or its address, or came back under its name. Not so if it was ours to make: then only its owner, who has it
 * made again, says that it is back.
 */
static void trunk_link(struct kern *e, const struct veth_link *link)
{
	struct kern_trunk_conf conf = e->trunk;

	if (link->ifindex != e->node->trunk_ifindex) {
		if (trunk_is_kept(e, link->ifname))
			return;
		if (maps_ifs_set(e, link->ifindex, SLC_K_TRUNK) < 0 || tc_attach(e, link->ifindex, PROG_TRUNK_IN) < 0 ||
		    tc_attach(e, link->ifindex, PROG_TRUNK_OUT) < 0)
			return;
		kern_log(e, LOG_NOTICE, "trunk %s is back", link->ifname);
	} else if (memcmp(link->mac, e->trunk_mac, 6) == 0 && link->mtu == e->trunk_mtu) {
		e->ports_map[SLC_K_TRUNK].link_up = link->lower_up && link->up;
		return;
	}
	trunk_publish(e, &conf, link);
}

void events_link(struct kern *e, const struct veth_link *link)
{
	struct port *p;
	uint32_t up = link->up && link->lower_up;

	if (e->trunk.ifname[0] && strcmp(link->ifname, e->trunk.ifname) == 0) {
		trunk_link(e, link);
		return;
	}
	p = by_ifindex(e, link->ifindex);
	if (!p)
		return;
	p->host_up = link->up;
	e->ports_map[p->idx].link_up = up;
}

/* A netdev is gone: if it was the trunk's, or was made to be it and is not in force yet. */
static void trunk_gone(struct kern *e, uint32_t ifindex)
{
	if (e->node->trunk_ifindex && ifindex == e->node->trunk_ifindex) {
		struct slc_k_conf k = *maps_conf(e, SLC_K_TRUNK);

		kern_log(e, LOG_WARNING, "trunk %s is gone", e->trunk.ifname);
		maps_ifs_del(e, ifindex);
		k.ifindex = 0;
		maps_conf_set(e, SLC_K_TRUNK, &k);
		e->node->trunk_ifindex = 0;
		e->ports_map[SLC_K_TRUNK].link_up = e->ports_map[SLC_K_HOST].link_up = 0;
	}
	if (e->trunk_index && ifindex == e->trunk_index) {
		e->trunk_index = 0;
		e->trunk_news = true;
	}
}

static void link_gone(struct kern *e, uint32_t ifindex)
{
	struct port *p = by_ifindex(e, ifindex);

	if (p) {
		kern_log(e, LOG_NOTICE, "port %s is lost: its netdev is gone", p->rec.conf.name);
		if (p->orphan)
			p->ifindex = 0;
		else
			port_lost(e, p);
	} else {
		trunk_gone(e, ifindex);
	}
}

static int hear_link(void *arg, struct nl_msg *msg)
{
	const struct nlmsghdr *head = nlmsg_hdr(msg);
	const struct ifinfomsg *ifi = nlmsg_data(head);
	struct kern *e = arg;
	struct veth_link link;
	int r;

	if (nlmsg_datalen(head) < (int)sizeof(*ifi))
		return 0;
	if (head->nlmsg_type == RTM_DELLINK && ifi->ifi_family == AF_UNSPEC)
		link_gone(e, ifi->ifi_index);
	if (head->nlmsg_type != RTM_NEWLINK)
		return 0;
	r = veth_parse(msg, &link);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	/* What is told is what was; a netdev that we have just brought up, or given its address, is told to be without. Ask how it is. */
	if ((by_ifindex(e, link.ifindex) || link.ifindex == e->node->trunk_ifindex) && veth_link(e, link.ifindex, &link) < 0)
		return 0;
	events_link(e, &link);
	return 0;
}

static void seen(void *arg, const struct veth_link *link)
{
	events_link(arg, link);
}

/* That it cannot be asked (no descriptor, no memory) says nothing. */
static bool is_gone(uint32_t ifindex)
{
	char name[IFNAMSIZ];

	return !if_indextoname(ifindex, name) && (errno == ENXIO || errno == ENODEV);
}

/* Messages were lost: ask for everything. */
static void look_again(struct kern *e)
{
	int r;

	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (e->ports[i] && e->ports[i]->ifindex && is_gone(e->ports[i]->ifindex))
			link_gone(e, e->ports[i]->ifindex);
	}
	if (e->node->trunk_ifindex && is_gone(e->node->trunk_ifindex))
		trunk_gone(e, e->node->trunk_ifindex);
	if (e->trunk_index && is_gone(e->trunk_index))
		trunk_gone(e, e->trunk_index);
	r = veth_each(&e->nl, seen, e);
	if (r < 0)
		kern_log(e, LOG_ERR, "links: %s; what changed is not known", strerror(-r));
}

/* --- ageing ----------------------------------------------------------------------------------------------------------------------- */

struct ageing {
	struct kern *e;
	uint32_t now;
};

static bool is_elsewhere(const struct kern *e, const struct slc_k_mac *key, uint64_t at, uint32_t age_s)
{
	return SLC_K_AT_PORT(at) >= SLC_K_FIRST && e->config.elsewhere &&
	       e->config.elsewhere(e->config.arg, key->vlan, key->mac, age_s);
}

static bool age_one(void *arg, const struct slc_k_mac *key, uint64_t at)
{
	struct ageing *a = arg;
	uint32_t aging = a->e->vlans_map[key->vlan % SLC_K_VLANS].aging_s;
	/* It may have been heard since the clock was read. */
	uint32_t age_s = SLC_K_AT_HEARD(at) > a->now ? 0 : a->now - SLC_K_AT_HEARD(at);

	if (!SLC_K_AT_STATIC(at) && (age_s > (aging ? aging : a->e->node->aging_s) || is_elsewhere(a->e, key, at, age_s)))
		maps_fdb_forget(a->e, key);
	return true;
}

static void tend(struct kern *e)
{
	uint64_t times;

	if (read(e->timer_fd, &times, sizeof(times)) == sizeof(times))
		kern_fdb_tend(e);
}

void kern_fdb_tend(struct kern *e)
{
	struct ageing a = {.e = e};
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	a.now = ts.tv_sec;
	maps_fdb_each(e, age_one, &a);
}

/* --- the descriptor ---------------------------------------------------------------------------------------------------------------- */

static int watch(struct kern *e, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int events_open(struct kern *e)
{
	struct itimerspec each = {{TEND_S, 0}, {TEND_S, 0}};
	int r = netlink_listen(&e->events, RTNLGRP_LINK);

	if (r < 0)
		return r;
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	e->look_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epoll_fd < 0 || e->timer_fd < 0 || e->look_fd < 0)
		return -errno;
	e->commit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->commit_fd < 0)
		return -errno;
	timerfd_settime(e->timer_fd, 0, &each, NULL);
	if ((r = watch(e, netlink_fd(&e->events))) < 0 || (r = watch(e, e->timer_fd)) < 0 || (r = watch(e, e->look_fd)) < 0)
		return r;
	return watch(e, e->commit_fd);
}

void events_committed(struct kern *e)
{
	/* Cannot fail: the counter is far from full. */
	eventfd_write(e->commit_fd, 1);
}

void events_look_soon(struct kern *e)
{
	struct itimerspec once = {.it_value = {.tv_nsec = SHAPE_LOOK_MS * 1000000l}};

	timerfd_settime(e->look_fd, 0, &once, NULL);
}

void events_close(struct kern *e)
{
	netlink_close(&e->events);
	if (e->timer_fd >= 0)
		close(e->timer_fd);
	if (e->look_fd >= 0)
		close(e->look_fd);
	if (e->commit_fd >= 0)
		close(e->commit_fd);
	if (e->epoll_fd >= 0)
		close(e->epoll_fd);
}

int kern_fd(struct kern *e)
{
	return e->epoll_fd;
}

void kern_dispatch(struct kern *e)
{
	eventfd_t commits;
	uint64_t looks;

	(void)!eventfd_read(e->commit_fd, &commits);
	if (netlink_hear(&e->events, hear_link, e) < 0)
		look_again(e);
	tell_links(e);
	if (e->trunk_news && e->config.trunk_lost)
		e->config.trunk_lost(e->config.arg);
	e->trunk_news = false;
	tend(e);
	if (read(e->look_fd, &looks, sizeof(looks)) == sizeof(looks))
		shape_tend(e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netdevs under the af-packet ports: asked by ioctl, watched by one rtnetlink socket that all ports share.
 *
 * A message says which netdev and what state; only ports with that index (or, without a netdev, with that name) are told. When
 * the socket overflows the messages are lost and every port is asked again. The socket is subscribed before a port's first
 * question, so what is in its queue may be older than the answer, but the last message never is.
 *
 * The messages are read by hand, and not by the engine's bpf/netlink.h: the switch stands without the engine and without libnl. What is read is
 * an index, flags and a name, out of one buffer of our own, so that no message is lost for want of memory.
 *
 * And twice a second every port is asked whether it needs tending (packet_port_tend), for what no message tells.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "log.h"
#include "packet/packet.h"

#define TEND_MS		 500
#define MESSAGES_AT_ONCE 64 /* the rest at the next call: the control thread has other work */

static LIST_HEAD(packet_ports, packet_port) ports = LIST_HEAD_INITIALIZER(ports);
static int watch_fd = -1;
static struct dp *watch_dp;
static struct kind_timer *tend_timer; /* NULL: no memory for it when it was due; the next port to be added starts it */

/* --- questions -------------------------------------------------------------------------------------------------------- */

static int netdev_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	strncpy(ifr->ifr_name, name, IFNAMSIZ - 1);
	ifr->ifr_name[IFNAMSIZ - 1] = '\0';
	rc = ioctl(fd, request, ifr) ? -errno : 0;
	close(fd);
	return rc;
}

/* By index, so that a netdev that was renamed while a port holds it is still found. */
static int index_ioctl(int ifindex, unsigned long request, struct ifreq *ifr)
{
	char name[IFNAMSIZ];

	if (!if_indextoname(ifindex, name))
		return -ENODEV;
	return netdev_ioctl(name, request, ifr);
}

int packet_netdev_index(const char *name)
{
	struct ifreq ifr = {0};
	int rc = netdev_ioctl(name, SIOCGIFINDEX, &ifr);

	return rc ? rc : ifr.ifr_ifindex;
}

int packet_netdev_is_ethernet(int ifindex)
{
	struct ifreq ifr = {0};
	int rc = index_ioctl(ifindex, SIOCGIFHWADDR, &ifr);

	return rc ? rc : ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER ? 0 : -EINVAL;
}

int packet_netdev_up(int ifindex)
{
	struct ifreq ifr = {0};
	int rc = index_ioctl(ifindex, SIOCGIFFLAGS, &ifr);

	if (rc || ifr.ifr_flags & IFF_UP)
		return rc;
	ifr.ifr_flags |= IFF_UP;
	return index_ioctl(ifindex, SIOCSIFFLAGS, &ifr);
}

static bool running(unsigned flags)
{
	return (flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

bool packet_netdev_running(int ifindex)
{
	struct ifreq ifr = {0};

	return index_ioctl(ifindex, SIOCGIFFLAGS, &ifr) == 0 && running((unsigned short)ifr.ifr_flags);
}

int packet_netdev_carry(int ifindex, uint16_t mtu)
{
	struct ifreq ifr = {0};
	int rc = index_ioctl(ifindex, SIOCGIFMTU, &ifr), has = ifr.ifr_mtu;

	if (rc || has >= mtu + PACKET_MTU_TAGS)
		return rc;
	ifr.ifr_mtu = mtu + PACKET_MTU_TAGS;
	rc = index_ioctl(ifindex, SIOCSIFMTU, &ifr);
	if (!rc || has >= mtu)
		return 0;
	ifr.ifr_mtu = mtu;
	return index_ioctl(ifindex, SIOCSIFMTU, &ifr);
}

/* --- events ----------------------------------------------------------------------------------------------------------- */

static void ask_again(struct packet_port *port)
{
	char name[IFNAMSIZ];
	int index;

	if (port->ifindex && !if_indextoname(port->ifindex, name))
		packet_port_gone(port);
	index = port->ifindex ? port->ifindex : packet_netdev_index(port->ifname);
	if (index < 0)
		return;
	if (!port->ifindex)
		packet_port_back(port, index);
	else
		packet_port_link(port, packet_netdev_running(index));
}

static void netdev_there(int ifindex, const char *name, unsigned flags)
{
	struct packet_port *port;

	LIST_FOREACH (port, &ports, next) {
		/* The trunk's netdev was made a moment before it was opened, and what it was like then is told now. */
		if (port->ifindex == ifindex)
			packet_port_link(port, port->trunk ? packet_netdev_running(ifindex) : running(flags));
		else if (!port->ifindex && !strcmp(port->ifname, name))
			packet_port_back(port, ifindex);
	}
}

static void netdev_gone(int ifindex)
{
	struct packet_port *port;

	LIST_FOREACH (port, &ports, next) {
		if (port->ifindex != ifindex)
			continue;
		packet_port_gone(port);
		/* One of the same name may be there already, its message read while we still held the old one. */
		ask_again(port);
	}
}

static void message(struct nlmsghdr *nh)
{
	struct ifinfomsg *ifi = NLMSG_DATA(nh);
	char name[IFNAMSIZ] = "";
	struct rtattr *rta;
	int len;

	if (nh->nlmsg_len < NLMSG_LENGTH(sizeof(*ifi)) || ifi->ifi_family != AF_UNSPEC)
		return; /* a bridge tells of its ports with the same types, and "deleted" means only "left the bridge" */
	if (nh->nlmsg_type == RTM_DELLINK) {
		netdev_gone(ifi->ifi_index);
	} else if (nh->nlmsg_type == RTM_NEWLINK) {
		len = IFLA_PAYLOAD(nh);
		for (rta = IFLA_RTA(ifi); RTA_OK(rta, len); rta = RTA_NEXT(rta, len))
			if (rta->rta_type == IFLA_IFNAME && RTA_PAYLOAD(rta) <= sizeof(name))
				memcpy(name, RTA_DATA(rta), RTA_PAYLOAD(rta));
		name[IFNAMSIZ - 1] = '\0';
		netdev_there(ifi->ifi_index, name, ifi->ifi_flags);
	}
}

static void on_event(void *arg, uint32_t events)
{
	static char buf[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct sockaddr_nl from = {0};
	struct packet_port *port;
	ssize_t got;

	for (int i = 0; i < MESSAGES_AT_ONCE && watch_fd >= 0; i++) {
		socklen_t from_len = sizeof(from);

		got = recvfrom(watch_fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		if (got < 0 && errno == ENOBUFS) {
			LIST_FOREACH (port, &ports, next)
				ask_again(port);
			continue;
		}
		if (got < 0)
			return;
		if (from.nl_pid)
			continue; /* only the kernel knows */
		for (struct nlmsghdr *nh = (struct nlmsghdr *)buf; NLMSG_OK(nh, (size_t)got); nh = NLMSG_NEXT(nh, got))
			message(nh);
	}
}

static int watch_start(struct dp *dp)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), size = 1 << 20, rc;

	if (fd < 0)
		return -errno;
	/* A node that starts a thousand containers at once is the normal case, not the overflow. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : kind_watch(dp, fd, EPOLLIN, on_event, NULL);
	if (rc) {
		close(fd);
		return rc;
	}
	watch_fd = fd;
	watch_dp = dp;
	return 0;
}

static void tend(void *arg)
{
	struct packet_port *port;

	LIST_FOREACH (port, &ports, next)
		packet_port_tend(port);
	tend_timer = kind_timer(watch_dp, TEND_MS, tend, NULL);
}

int packet_link_add(struct packet_port *port)
{
	if (watch_fd < 0) {
		int rc = watch_start(port->dp);

		if (rc)
			return rc;
	}
	if (!tend_timer)
		tend_timer = kind_timer(port->dp, TEND_MS, tend, NULL);
	LIST_INSERT_HEAD(&ports, port, next);
	return 0;
}

void packet_link_del(struct packet_port *port)
{
	LIST_REMOVE(port, next);
	if (!LIST_EMPTY(&ports))
		return;
	if (tend_timer)
		kind_timer_cancel(watch_dp, tend_timer);
	tend_timer = NULL;
	kind_unwatch(watch_dp, watch_fd);
	close(watch_fd);
	watch_fd = -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netdev behind a tap's descriptor: made or found, and asked about where it is.
 *
 * It may be in another namespace than ours by now, so it is asked by a socket that is in that one, and by the name that it has there. The
 * control thread visits the namespace to make it, and is back before anything else happens; where it may not, the netdev is one that cannot be
 * asked. Such a socket is closed after its one question: a namespace lives as long as a socket in it, and a container's is not ours to keep.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "netdev_stats.h"
#include "tap/tap.h"

#ifndef TUNGETDEVNETNS /* Linux 5.9 */
#define TUNGETDEVNETNS _IO('T', 227)
#endif
#ifndef TUN_F_USO4 /* Linux 6.2; Debian 12's headers are 6.1's */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TAP_FLAGS   (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
#define TAP_OFFLOAD (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

static int set_up_descriptor(int fd, struct ifreq *ifr, bool *uso)
{
	int size = sizeof(struct virtio_net_hdr);

	if (ioctl(fd, TUNSETIFF, ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size))
		return -errno;
	*uso = !ioctl(fd, TUNSETOFFLOAD, TAP_OFFLOAD | TUN_F_USO4 | TUN_F_USO6);
	return *uso || !ioctl(fd, TUNSETOFFLOAD, TAP_OFFLOAD) ? 0 : -errno;
}

int tap_device_open(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * TUNSETIFF attaches to the netdev of a name or, if there is none, makes one, and does not say which. Made here by mistake it goes with the descriptor,
 * for only its maker tells one to stay.
 */
int tap_netdev_take(int fd, const char *ifname, unsigned *ifindex, bool *uso)
{
	struct ifreq ifr = {.ifr_flags = (short)(TAP_FLAGS | (*ifindex ? 0 : IFF_TUN_EXCL))};
	unsigned is;
	int r;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	/* Looked at before, too, so that none is made but in a race. */
	if (*ifindex && if_nametoindex(ifname) != *ifindex)
		return -ESTALE;
	r = set_up_descriptor(fd, &ifr, uso);
	if (r < 0)
		return r;
	is = if_nametoindex(ifr.ifr_name);
	r = is && (!*ifindex || is == *ifindex) ? 0 : -ESTALE;
	*ifindex = is;
	return r;
}

bool tap_netdev_gone(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents & (POLLERR | POLLHUP | POLLNVAL);
}

/* --- where it is ------------------------------------------------------------------------------------------------------- */

static int socket_here(void)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return sock < 0 ? -errno : sock;
}

static int socket_in(int ns)
{
	int back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), sock;

	if (back < 0)
		return -errno;
	if (setns(ns, CLONE_NEWNET)) {
		sock = -errno;
		close(back);
		return sock;
	}
	sock = socket_here();
	/* To one's own namespace one can always return; in another, everything after this would be wrong. */
	if (setns(back, CLONE_NEWNET))
		abort();
	close(back);
	return sock;
}

static bool is_own(const struct stat *ns)
{
	struct stat own;

	return !stat("/proc/thread-self/ns/net", &own) && own.st_ino == ns->st_ino && own.st_dev == ns->st_dev;
}

static int own_sock(struct tap_place *place)
{
	if (place->sock < 0)
		place->sock = socket_here();
	return place->sock;
}

/* A socket where the netdev is; leave() it. */
static int place_sock(struct tap_place *place, int fd)
{
	int ns = ioctl(fd, TUNGETDEVNETNS), sock;
	struct stat st;

	/* A kernel that does not know the question: here, as far as we can tell. Any other failure says nothing. */
	if (ns < 0)
		return errno == EINVAL || errno == ENOTTY ? own_sock(place) : -errno;
	if (fstat(ns, &st))
		sock = -errno;
	else
		sock = is_own(&st) ? own_sock(place) : socket_in(ns);
	close(ns);
	return sock;
}

static void leave(const struct tap_place *place, int sock)
{
	if (sock != place->sock)
		close(sock);
}

void tap_place_close(struct tap_place *place)
{
	if (place->sock >= 0)
		close(place->sock);
	place->sock = -1;
}

/* A socket where the netdev is, and its name there. */
static int locate(struct tap_place *place, int fd, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	if (ioctl(fd, TUNGETIFF, ifr))
		return -ENODEV;
	return place_sock(place, fd);
}

/* --- questions --------------------------------------------------------------------------------------------------------- */

bool tap_netdev_running(struct tap_place *place, int fd)
{
	struct ifreq ifr;
	int sock = locate(place, fd, &ifr);

	/* Where it cannot be asked its frames tell: they come until it goes. */
	if (sock < 0)
		return sock != -ENODEV;
	if (ioctl(sock, SIOCGIFFLAGS, &ifr))
		ifr.ifr_flags = 0;
	leave(place, sock);
	return (ifr.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

int tap_netdev_up(struct tap_place *place, int fd)
{
	struct ifreq ifr;
	int sock = locate(place, fd, &ifr), r;

	if (sock < 0)
		return sock;
	r = ioctl(sock, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags |= IFF_UP;
	r = r || ioctl(sock, SIOCSIFFLAGS, &ifr) ? -errno : 0;
	leave(place, sock);
	return r;
}

static int set_number(struct tap_place *place, int fd, unsigned long request, int number)
{
	struct ifreq ifr;
	int sock = locate(place, fd, &ifr), r;

	if (sock < 0)
		return sock;
	ifr.ifr_ifru.ifru_ivalue = number;
	r = ioctl(sock, request, &ifr) ? -errno : 0;
	leave(place, sock);
	return r;
}

int tap_netdev_set_mtu(struct tap_place *place, int fd, uint16_t mtu)
{
	return set_number(place, fd, SIOCSIFMTU, mtu);
}

int tap_netdev_set_ring(struct tap_place *place, int fd, uint32_t slots)
{
	return set_number(place, fd, SIOCSIFTXQLEN, (int)slots);
}

uint64_t tap_netdev_missed(struct tap_place *place, int fd)
{
	struct rtnl_link_stats64 stats = {0};
	struct ifreq ifr;
	int sock = locate(place, fd, &ifr);

	if (sock < 0)
		return 0;
	if (!ioctl(sock, SIOCGIFINDEX, &ifr))
		netdev_stats(sock, ifr.ifr_ifindex, &stats);
	leave(place, sock);
	return stats.tx_dropped;
}

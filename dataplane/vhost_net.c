/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <rte_ether.h>

#include "dp.h"
#include "ethdev_inside.h"
#include "log.h"
#include "netdev_stats.h"
#include "vhost_net.h"
#include "vhost_net_inside.h"

#define RING_DEFAULT  1024u
#define DRIVER_QUEUES 8 /* virtio_user's VIRTIO_MAX_VIRTQUEUE_PAIRS: asked for more, it makes no port */

struct vhost_net {
	char ifname[IFNAMSIZ];
	unsigned ifindex;
	bool has_before;
	struct rtnl_link_stats64 before,
		last; /* the netdev's counters when first asked, with the port's opening; when last asked */
	struct vhost_net_queue q[KIND_MAX_QUEUES];
};

/* --- the netdev --------------------------------------------------------------------------------------------------------- */

static int netdev_ioctl(const char *name, unsigned long what, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	r = ioctl(fd, what, ifr) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Ask the netdev for its counters. Where it cannot be asked, or is gone, what it said last stands: no counter goes back. */
static void read_stats(struct vhost_net *v)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct rtnl_link_stats64 now;

	if (sock < 0)
		return;
	if (netdev_stats(sock, v->ifindex, &now) == 0) {
		v->last = now;
		if (!v->has_before)
			v->before = now;
		v->has_before = true;
	}
	close(sock);
}

static bool vhost_net_link_up(struct kind_port *kp)
{
	const struct vhost_net *v = ((struct ethdev *)kp->priv)->row;
	struct ifreq ifr = {0};

	return if_nametoindex(v->ifname) == v->ifindex && netdev_ioctl(v->ifname, SIOCGIFFLAGS, &ifr) == 0 &&
	       ifr.ifr_flags & IFF_UP;
}

static void vhost_net_lost(struct kind_port *kp, struct kind_lost *out)
{
	struct vhost_net *v = ((struct ethdev *)kp->priv)->row;

	ethdev_lost(kp, out);
	read_stats(v);
	out->rx_missed += v->last.tx_dropped - v->before.tx_dropped;
	out->tx_error += v->last.rx_frame_errors - v->before.rx_frame_errors;
	for (unsigned i = 0; i < KIND_MAX_QUEUES; i++) {
		out->malformed += CMM_LOAD_SHARED(v->q[i].malformed);
		out->tx_error += CMM_LOAD_SHARED(v->q[i].tx_error);
	}
}

/* --- the port's life ---------------------------------------------------------------------------------------------------- */

static int vhost_net_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	uint32_t ring = conf->ring;

	if (ring && (ring < 64 || ring > 32768 || ring & (ring - 1)))
		return dp_fail(err, -EINVAL, "out-of-range", "ring", NULL, "ring %u: not a power of two from 64 to 32768", ring);
	return 0;
}

uint16_t vhost_net_queues(uint16_t wanted)
{
	return RTE_MIN(RTE_MAX(wanted, 1), DRIVER_QUEUES);
}

static int vhost_net_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
			  struct dp_error *err)
{
	char mac[RTE_ETHER_ADDR_FMT_SIZE], devargs[256];
	struct vhost_net *v;
	struct ifreq ifr = {0};
	struct ethdev *e;
	int r = netdev_ioctl(conf->ifname, SIOCGIFHWADDR, &ifr);

	if (r < 0)
		return dp_fail(err, r, "no-such-device", "ifname", NULL, "netdev %s: %s", conf->ifname, strerror(-r));
	rte_ether_format_addr(mac, sizeof(mac), (const struct rte_ether_addr *)ifr.ifr_hwaddr.sa_data);
	v = calloc(1, sizeof(*v));
	e = v ? ethdev_new(kp, err) : NULL;
	if (!e) {
		free(v);
		return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	}
	snprintf(v->ifname, sizeof(v->ifname), "%s", conf->ifname);
	v->ifindex = conf->ifindex;
	read_stats(v);
	e->row = v;
	e->requests = e->early_cleanup = true;
	snprintf(devargs, sizeof(devargs), "net_virtio_user%u,path=/dev/vhost-net,iface=%s,mac=%s,queues=%u,queue_size=%u",
		 ethdev_unit(), conf->ifname, mac, vhost_net_queues(n_queues), conf->ring ? conf->ring : RING_DEFAULT);
	r = ethdev_open(kp, env, conf, vhost_net_queues(n_queues), "net_virtio", devargs, err);
	if (r < 0)
		return r;
	/* The driver opened a queue after the other by the name, and would have made another netdev if this one went meanwhile. */
	if (if_nametoindex(conf->ifname) != conf->ifindex) {
		ethdev_close(kp);
		return dp_fail(err, -ENODEV, "no-such-device", "ifname", NULL, "%s: the netdev is gone", conf->ifname);
	}
	if (kp->n_queues < n_queues)
		dp_log(LOG_NOTICE, "port %s: %u queue pairs, not %u: vhost-net has no more", conf->name, kp->n_queues, n_queues);
	for (uint16_t i = 0; i < kp->n_queues; i++) {
		v->q[i] = (struct vhost_net_queue){
			.rx = kp->rx, .tx = kp->tx, .rxq = kp->rxq[i], .txq = kp->txq[i], .pool = env->pool};
		kp->rxq[i] = kp->txq[i] = &v->q[i];
	}
	kp->rx = vhost_net_rx;
	kp->tx = vhost_net_tx;
	return 0;
}

const struct port_kind vhost_net_trunk = {
	.name = "trunk",
	.carrier = "vhost-net",
	.poll_link = true,
	.validate = vhost_net_validate,
	.open = vhost_net_open,
	.close = ethdev_close,
	.link_up = vhost_net_link_up,
	.set_mtu = ethdev_set_mtu,
	.rx_fd = ethdev_rx_fd,
	.rx_arm = ethdev_rx_arm,
	.rx_disarm = ethdev_rx_disarm,
	.rx_woke = ethdev_rx_woke,
	.lost = vhost_net_lost,
};

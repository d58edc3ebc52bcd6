/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "packet/packet.h"
#include "packet/packet_kind.h"

static int refuse_foreign(const struct dp_port_conf *conf, struct dp_error *err)
{
	const struct {
		const char *attr;
		bool given;
	} foreign[] = {
		{"path", conf->path[0]}, {"devargs", conf->devargs[0]}, {"secret", conf->secret[0]},
		{"id", conf->id != 0},	 {"client", conf->client},
	};

	for (size_t i = 0; i < RTE_DIM(foreign); i++)
		if (foreign[i].given)
			return dp_fail(err, -EINVAL, "not-an-attribute", foreign[i].attr,
				       "an af-packet port has ifname, queues and ring", "%s does not belong to kind af-packet",
				       foreign[i].attr);
	return 0;
}

/* The kernel's own rule for names (dev_valid_name). */
static bool name_valid(const char *name, size_t size)
{
	size_t len = strnlen(name, size);

	if (!len || len >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '/' || name[i] == ':' || name[i] <= ' ' || name[i] == 0x7f)
			return false;
	return true;
}

static int packet_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	uint32_t ring = conf->ring;

	if (!conf->ifname[0])
		return dp_fail(err, -EINVAL, "missing", "ifname", "ifname=NETDEV", "an af-packet port needs the name of a netdev");
	if (!name_valid(conf->ifname, sizeof(conf->ifname)))
		return dp_fail(err, -EINVAL, "out-of-range", "ifname",
			       "1-15 bytes, no space, / or :", "ifname is not a netdev's name");
	if (conf->queues > KIND_MAX_QUEUES)
		return dp_fail(err, -ERANGE, "out-of-range", "queues", NULL, "queues %u: out of range (1-%u)", conf->queues,
			       KIND_MAX_QUEUES);
	if (ring && (ring < PACKET_SLOTS_MIN || ring > PACKET_SLOTS_MAX || ring & (ring - 1)))
		return dp_fail(err, -ERANGE, "out-of-range", "ring", NULL, "ring %u: not a power of two from %u to %u", ring,
			       PACKET_SLOTS_MIN, PACKET_SLOTS_MAX);
	return refuse_foreign(conf, err);
}

/*
 * What the kernel completes for us. Checksum and TCP segmentation requests have been taken by packet sockets since long before
 * any kernel we run on, behind one VLAN tag in the bytes or two: what the netdev cannot do itself is done on the way to it.
 */
static uint32_t port_caps(void)
{
	return KIND_CAP_CSUM_L4 | KIND_CAP_TSO4 | KIND_CAP_TSO6 | KIND_CAP_MULTI_SEG | (packet_uso_supported() ? KIND_CAP_USO : 0);
}

/* Put the port's queues where workers find them. */
static void publish(struct packet_port *port)
{
	for (unsigned i = 0; i < port->n_queues; i++) {
		__atomic_store_n(&port->kp->rxq[i], &port->queues[i]->rx, __ATOMIC_RELEASE);
		__atomic_store_n(&port->kp->txq[i], &port->queues[i]->tx, __ATOMIC_RELEASE);
	}
}

static int fail_open(struct dp_error *err, int rc, const char *what, const char *ifname)
{
	if (rc == -ENODEV)
		return dp_fail(err, rc, "no-such-device", "ifname",
			       "it must be in the daemon's own network namespace: ip link show", "there is no netdev %s", ifname);
	if (rc == -EPERM || rc == -EACCES)
		return dp_fail(err, rc, "not-permitted", "ifname", "CAP_NET_RAW and CAP_NET_ADMIN are needed", "%s: %s: %s", ifname,
			       what, strerror(-rc));
	if (rc == -ENOMEM || rc == -ENOBUFS)
		return dp_fail(err, rc, "no-memory", "ring", "a smaller ring, or fewer queues", "%s: %s: %s", ifname, what,
			       strerror(-rc));
	return dp_fail(err, rc, "device-error", "ifname", NULL, "%s: %s: %s", ifname, what, strerror(-rc));
}

static int packet_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		       struct dp_error *err)
{
	uint16_t mtu = conf->mtu ? conf->mtu : DP_MTU_DEFAULT;
	struct packet_port *port;
	int rc, ifindex;

	ifindex = packet_netdev_index(conf->ifname);
	if (ifindex < 0)
		return fail_open(err, ifindex, "looking for it", conf->ifname);
	rc = packet_netdev_is_ethernet(ifindex);
	if (rc == -EINVAL)
		return dp_fail(err, rc, "unsupported", "ifname", "a switch's port carries Ethernet frames",
			       "%s is not an Ethernet netdev", conf->ifname);
	if (rc)
		return fail_open(err, rc, "asking its type", conf->ifname);
	rc = packet_netdev_carry(ifindex, mtu);
	if (rc)
		return dp_fail(err, rc, "out-of-range", "mtu", "a smaller mtu for the port", "%s: the netdev refuses MTU %u: %s",
			       conf->ifname, mtu, strerror(-rc));
	rc = packet_netdev_up(ifindex);
	if (rc)
		return fail_open(err, rc, "bringing it up", conf->ifname);

	port = calloc(1, sizeof(*port));
	if (!port)
		return fail_open(err, -ENOMEM, "making the port", conf->ifname);
	port->kp = kp;
	port->dp = env->dp;
	port->pool = env->pool;
	port->ifindex = ifindex;
	port->mtu = mtu;
	port->slots = conf->ring ? conf->ring : PACKET_SLOTS_DEFAULT;
	port->n_queues = RTE_MIN(RTE_MAX(n_queues, 1), KIND_MAX_QUEUES);
	port->trunk = conf->carrier[0];
	memcpy(port->ifname, conf->ifname, sizeof(port->ifname));
	rc = packet_link_add(port);
	if (rc) {
		fail_open(err, rc, "watching it", conf->ifname);
		goto free_port;
	}
	rc = packet_queues_open(port->queues, port->n_queues, ifindex, port->slots, port->pool);
	if (rc) {
		fail_open(err, rc, "opening packet sockets", conf->ifname);
		goto del_link;
	}
	port->up = packet_netdev_running(ifindex);
	kp->n_queues = port->n_queues;
	kp->rx = packet_rx;
	kp->tx = packet_tx;
	kp->caps = port_caps();
	kp->max_mtu = DP_MTU_MAX; /* the netdev's own maximum answers in set_mtu() */
	kp->partial_csum = false; /* the vnet header says */
	kp->priv = port;
	publish(port);
	return 0;

del_link:
	packet_link_del(port);
free_port:
	free(port);
	return rc;
}

static void packet_moved(struct kind_port *kp)
{
	((struct packet_port *)kp->priv)->kp = kp;
}

static void packet_close(struct kind_port *kp)
{
	struct packet_port *port = kp->priv;

	packet_queues_close(port->queues, port->n_queues);
	packet_link_del(port);
	free(port);
	kp->priv = NULL;
}

static bool packet_link_up(struct kind_port *kp)
{
	return ((struct packet_port *)kp->priv)->up;
}

static int packet_set_mtu(struct kind_port *kp, uint16_t mtu)
{
	struct packet_port *port = kp->priv;
	/* Without a netdev the next one must carry it. */
	int rc = port->ifindex ? packet_netdev_carry(port->ifindex, mtu) : 0;

	if (!rc)
		port->mtu = mtu;
	return rc;
}

static struct packet_rxq *rxq(struct kind_port *kp, uint16_t q)
{
	return __atomic_load_n(&kp->rxq[q], __ATOMIC_ACQUIRE);
}

/* Readable while frames wait, in the ring or on the socket. */
static int packet_rx_fd(struct kind_port *kp, uint16_t q)
{
	return rxq(kp, q)->fd;
}

static int packet_rx_arm(struct kind_port *kp, uint16_t q)
{
	return packet_rx_ready(rxq(kp, q));
}

static void packet_rx_disarm(struct kind_port *kp, uint16_t q)
{
	packet_rx_woken(rxq(kp, q));
}

static void packet_lost(struct kind_port *kp, struct kind_lost *out)
{
	struct packet_port *port = kp->priv;

	*out = port->past;
	packet_queues_lost(port->queues, port->n_queues, out);
}

/* --- the netdev's comings and goings, told by packet_link.c ----------------------------------------------------------- */

void packet_port_link(struct packet_port *port, bool up)
{
	if (port->up == up)
		return;
	port->up = up;
	kind_changed(port->kp);
}

/* The sockets stay: the kernel has unbound them, workers find nothing in them and can send nothing. */
void packet_port_gone(struct packet_port *port)
{
	if (!port->trunk)
		dp_log(LOG_WARNING, "af-packet: netdev %s is gone", port->ifname);
	port->ifindex = 0;
	port->failed = 0;
	packet_port_link(port, false);
}

/* New sockets and rings in place of the old ones, whose counters are kept. */
static int renew_queues(struct packet_port *port, int ifindex)
{
	struct packet_queue *old[KIND_MAX_QUEUES], *fresh[KIND_MAX_QUEUES];
	int rc = packet_queues_open(fresh, port->n_queues, ifindex, port->slots, port->pool);

	if (rc)
		return rc;
	memcpy(old, port->queues, sizeof(old));
	memcpy(port->queues, fresh, port->n_queues * sizeof(fresh[0]));
	port->ifindex = ifindex;
	port->up = packet_netdev_running(ifindex);
	publish(port);
	kind_changed(port->kp);
	kind_quiesce(port->dp);
	packet_queues_lost(old, port->n_queues, &port->past);
	packet_queues_close(old, port->n_queues);
	return 0;
}

static int take_netdev(struct packet_port *port, int ifindex)
{
	int rc = packet_netdev_is_ethernet(ifindex);

	if (!rc)
		rc = packet_netdev_carry(ifindex, port->mtu);
	if (!rc)
		rc = packet_netdev_up(ifindex);
	return rc ? rc : renew_queues(port, ifindex);
}

void packet_port_back(struct packet_port *port, int ifindex)
{
	int rc;

	if (port->trunk)
		return;
	rc = take_netdev(port, ifindex);
	if (!rc)
		dp_log(LOG_NOTICE, "af-packet: netdev %s is back", port->ifname);
	else if (rc != port->failed)
		dp_log(LOG_ERR, "af-packet: netdev %s is back, but the port cannot take it: %s", port->ifname, strerror(-rc));
	port->failed = rc;
}

void packet_port_tend(struct packet_port *port)
{
	bool stuck = false;
	int ifindex;

	if (port->failed) { /* to take the netdev that is back: perhaps it can be taken now */
		ifindex = packet_netdev_index(port->ifname);
		if (ifindex > 0)
			packet_port_back(port, ifindex);
		return;
	}
	for (unsigned i = 0; i < port->n_queues; i++)
		stuck |= packet_queue_stuck(port->queues[i]);
	if (!stuck || !port->ifindex || renew_queues(port, port->ifindex))
		return;
	if (!(port->stuck & (port->stuck + 1))) /* the 1st, 2nd, 4th... time: whoever causes it must not fill the log */
		dp_log(LOG_WARNING, "af-packet: %s: the kernel's ring was stuck and has been replaced (%u times)", port->ifname,
		       port->stuck + 1);
	port->stuck++;
}

#define PACKET_KIND(...)                                                                                                           \
	{                                                                                                                          \
		__VA_ARGS__, .validate = packet_validate, .open = packet_open, .moved = packet_moved, .close = packet_close,       \
			     .link_up = packet_link_up, .set_mtu = packet_set_mtu, .rx_fd = packet_rx_fd, .rx_arm = packet_rx_arm, \
			     .rx_disarm = packet_rx_disarm, .lost = packet_lost,                                                   \
	}

const struct port_kind packet_kind = PACKET_KIND(.name = "af-packet");
const struct port_kind packet_trunk = PACKET_KIND(.name = "trunk", .carrier = "af-packet");

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap/tap.h"
#include "tap/tap_kind.h"

static int tap_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (!conf->ifname[0])
		return dp_fail(err, -EINVAL, "missing-attribute", "ifname", "ifname=tap0", "a port of kind %s needs ifname",
			       conf->kind);
	return 0;
}

/* A descriptor and a queue on it, on the netdev of that index or, if it is 0, on one that is made; *ifindex is that one's then. */
static int open_queue(struct tap_port *port, const struct kind_env *env, const char *ifname, unsigned *ifindex,
		      struct dp_error *err)
{
	bool make = *ifindex == 0;
	struct tap_queue *q = NULL;
	int fd = tap_device_open(), r;

	if (fd < 0)
		return tap_fail(err, fd, TAP_OPENING, ifname);
	r = tap_netdev_take(fd, ifname, ifindex, &port->segments_udp);
	if (r < 0) {
		r = tap_fail(err, r, make ? TAP_MAKING : TAP_ATTACHING, ifname);
	} else {
		r = tap_queue_new(&q, fd, env->pool);
		if (r < 0)
			r = tap_fail(err, r, TAP_BUFFERS, ifname);
	}
	if (q)
		port->queues[port->n_queues++] = q;
	else
		close(fd);
	return r;
}

/* A number that the kernel refuses is what was wrong with it; all else is not about the number. */
static int fail_number(struct dp_error *err, int r, const char *attr, uint32_t number, const char *ifname)
{
	if (r != -EINVAL && r != -ERANGE)
		return tap_fail(err, r, TAP_SETTING_UP, ifname);
	return dp_fail(err, r, "out-of-range", attr, NULL, "%s %u on %s: %s", attr, number, ifname, strerror(-r));
}

static int first_fd(const struct tap_port *port)
{
	return port->queues[0]->rx.fd;
}

static int set_up_netdev(struct tap_port *port, const struct dp_port_conf *conf, struct dp_error *err)
{
	int fd = first_fd(port), r;

	r = port->stays ? 0 : tap_netdev_set_mtu(&port->place, fd, conf->mtu);
	if (r < 0)
		return fail_number(err, r, "mtu", conf->mtu, conf->ifname);
	r = conf->ring ? tap_netdev_set_ring(&port->place, fd, conf->ring) : 0;
	if (r < 0)
		return fail_number(err, r, "ring", conf->ring, conf->ifname);
	r = tap_netdev_up(&port->place, fd);
	return r < 0 ? tap_fail(err, r, TAP_SETTING_UP, conf->ifname) : 0;
}

static void free_port(struct tap_port *port)
{
	for (unsigned i = 0; i < port->n_queues; i++)
		tap_queue_free(port->queues[i]);
	tap_place_close(&port->place);
	free(port);
}

static int open_port(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		     bool stays, struct dp_error *err)
{
	struct tap_port *port = calloc(1, sizeof(*port));
	unsigned wanted = RTE_MIN(RTE_MAX(n_queues, 1), KIND_MAX_QUEUES), ifindex;
	int r = 0;

	if (!port)
		return tap_fail(err, -ENOMEM, TAP_BUFFERS, conf->ifname);
	port->stays = stays;
	port->place.sock = -1;
	ifindex = stays ? conf->ifindex : 0;
	while (r == 0 && port->n_queues < wanted)
		r = open_queue(port, env, conf->ifname, &ifindex, err);
	if (r == 0)
		r = set_up_netdev(port, conf, err);
	if (r != 0) {
		free_port(port);
		return r;
	}
	port->missed = tap_netdev_missed(&port->place, first_fd(port));
	for (unsigned i = 0; i < port->n_queues; i++) {
		kp->rxq[i] = &port->queues[i]->rx;
		kp->txq[i] = &port->queues[i]->tx;
	}
	kp->n_queues = port->n_queues;
	kp->rx = tap_rx;
	kp->tx = tap_tx;
	/* The netdev's own side of the kernel finishes what it must. */
	kp->caps = KIND_CAP_CSUM_L4 | KIND_CAP_TSO4 | KIND_CAP_TSO6 | KIND_CAP_MULTI_SEG | (port->segments_udp ? KIND_CAP_USO : 0);
	kp->max_mtu = DP_MTU_MAX;
	kp->partial_csum = false; /* the vnet header says */
	kp->priv = port;
	return 0;
}

static int tap_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		    struct dp_error *err)
{
	return open_port(kp, env, conf, n_queues, false, err);
}

static int trunk_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		      struct dp_error *err)
{
	return conf->ifindex ? open_port(kp, env, conf, n_queues, true, err) : tap_fail(err, -ESTALE, TAP_ATTACHING, conf->ifname);
}

static void tap_close(struct kind_port *kp)
{
	free_port(kp->priv);
	kp->priv = NULL;
}

static bool tap_link_up(struct kind_port *kp)
{
	struct tap_port *port = kp->priv;

	return tap_netdev_running(&port->place, first_fd(port));
}

static int tap_set_mtu(struct kind_port *kp, uint16_t mtu)
{
	struct tap_port *port = kp->priv;

	return port->stays ? 0 : tap_netdev_set_mtu(&port->place, first_fd(port), mtu);
}

/* Readable while frames wait. The error of a netdev that is gone would wake the worker for ever. */
static int tap_rx_fd(struct kind_port *kp, uint16_t q)
{
	int fd = ((struct tap_port *)kp->priv)->queues[q]->rx.fd;

	return tap_netdev_gone(fd) ? -1 : fd;
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void tap_lost(struct kind_port *kp, struct kind_lost *out)
{
	struct tap_port *port = kp->priv;
	uint64_t missed = tap_netdev_missed(&port->place, first_fd(port));

	/* Where the netdev cannot be asked any more, what was lost is what it last said. */
	if (missed > port->missed)
		port->last_missed = missed - port->missed;
	out->rx_missed = port->last_missed;
	for (unsigned i = 0; i < port->n_queues; i++) {
		const struct tap_queue *q = port->queues[i];

		out->rx_no_buffer += load(&q->rx.no_buffer);
		out->truncated += load(&q->rx.truncated);
		out->malformed += load(&q->rx.malformed);
		out->tx_error += load(&q->tx.error);
	}
}

#define TAP_KIND(...)                                                                                                 \
	{                                                                                                             \
		__VA_ARGS__, .poll_link = true, .validate = tap_validate, .close = tap_close, .link_up = tap_link_up, \
			     .set_mtu = tap_set_mtu, .rx_fd = tap_rx_fd, .lost = tap_lost,                            \
	}

const struct port_kind tap_kind = TAP_KIND(.name = "tap", .open = tap_open);
const struct port_kind tap_trunk = TAP_KIND(.name = "trunk", .carrier = "tap", .open = trunk_open);

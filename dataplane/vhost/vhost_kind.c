/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_port.h"

static int vhost_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (!conf->path[0])
		return dp_fail(err, -EINVAL, "missing", "path", "path=/run/vm1.sock", "vhost-user needs the path of its socket");
	if (!memchr(conf->path, '\0', sizeof(conf->path)))
		return dp_fail(err, -EINVAL, "too-long", "path", NULL, "path is longer than a socket's path may be (107 bytes)");
	if (conf->queues > KIND_MAX_QUEUES)
		return dp_fail(err, -EINVAL, "out-of-range", "queues", NULL, "queues %u: 1-16", conf->queues);
	if (conf->ring)
		return dp_fail(err, -EINVAL, "not-here", "ring", NULL, "vhost-user has no ring: the guest chooses its size");
	return 0;
}

static int vhost_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		      struct dp_error *err)
{
	struct vhost_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	p->kp = kp;
	p->dp = env->dp;
	snprintf(p->name, sizeof(p->name), "%s", conf->name);
	snprintf(p->path, sizeof(p->path), "%s", conf->path);
	p->server = conf->server;
	p->mtu = conf->mtu;
	p->n_queues = RTE_MAX((uint16_t)1, RTE_MIN(n_queues, (uint16_t)KIND_MAX_QUEUES));
	p->alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->alarm_fd < 0) {
		rc = dp_fail(err, -errno, "no-resources", NULL, NULL, "eventfd: %s", strerror(errno));
		goto fail_port;
	}
	rc = vhost_port_queues_new(p, env->pool);
	if (rc < 0) {
		dp_fail(err, rc, "no-resources", NULL, NULL, "queues: %s", strerror(-rc));
		goto fail_queues;
	}

	kp->n_queues = p->n_queues;
	kp->rx_gated = vhost_rx;
	kp->tx = vhost_tx;
	for (uint16_t q = 0; q < p->n_queues; q++) {
		kp->rxq[q] = &p->rxq[q];
		kp->txq[q] = &p->txq[q];
	}
	kp->caps = KIND_CAP_MULTI_SEG;
	kp->max_mtu = DP_MTU_MAX;
	kp->partial_csum = false;
	kp->priv = p;

	rc = vhost_conn_open(p);
	if (rc < 0) {
		dp_fail(err, rc, rc == -EADDRINUSE ? "in-use" : "no-such-path", "path", NULL, "%s: %s", p->path, strerror(-rc));
		goto fail_queues;
	}
	return 0;

fail_queues:
	vhost_port_queues_free(p);
	close(p->alarm_fd);
fail_port:
	free(p);
	return rc;
}

static void vhost_close(struct kind_port *kp)
{
	struct vhost_port *p = kp->priv;

	p->closing = true;
	vhost_conn_close(p);
	vhost_port_queues_free(p);
	close(p->alarm_fd);
	free(p);
	kp->priv = NULL;
}

static bool vhost_link_up(struct kind_port *kp)
{
	return ((struct vhost_port *)kp->priv)->up;
}

/* The guest was told its own at its start; what we know of ours is for the log. */
static int vhost_set_mtu(struct kind_port *kp, uint16_t mtu)
{
	((struct vhost_port *)kp->priv)->mtu = mtu;
	return 0;
}

static int vhost_rx_fd(struct kind_port *kp, uint16_t q)
{
	struct vhost_port *p = kp->priv;
	const struct vhost_vq *vq = p->vq[2 * q + 1];

	/* A ring without kicks is polled on a timer. */
	return vq && vq->kick_fd < 0 ? -1 : p->rxq[q].wake_fd;
}

static int vhost_kind_rx_arm(struct kind_port *kp, uint16_t q)
{
	return vhost_rx_arm(kp->rxq[q]);
}

static void vhost_kind_rx_disarm(struct kind_port *kp, uint16_t q)
{
	vhost_rx_disarm(kp->rxq[q]);
}

static void vhost_lost(struct kind_port *kp, struct kind_lost *out)
{
	struct vhost_port *p = kp->priv;

	memset(out, 0, sizeof(*out));
	for (uint16_t q = 0; q < p->n_queues; q++) {
		kind_lost_add(out, &p->rxq[q].lost);
		kind_lost_add(out, &p->txq[q].lost);
	}
}

static void vhost_peer(struct kind_port *kp, struct dp_port_peer *out)
{
	struct vhost_port *p = kp->priv;

	out->connects = p->connects;
	for (unsigned f = 0; f < VHOST_FAULT_N && out->n_faults < DP_MAX_FAULTS; f++)
		out->fault[out->n_faults++] = (struct dp_port_fault){vhost_fault_name(f), p->faults[f]};
}

const struct port_kind vhost_kind = {
	.name = "vhost-user",
	.validate = vhost_validate,
	.open = vhost_open,
	.close = vhost_close,
	.link_up = vhost_link_up,
	.set_mtu = vhost_set_mtu,
	.rx_fd = vhost_rx_fd,
	.rx_arm = vhost_kind_rx_arm,
	.rx_disarm = vhost_kind_rx_disarm,
	.lost = vhost_lost,
	.peer = vhost_peer,
};

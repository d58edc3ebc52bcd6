/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhost_port.h"

_Static_assert(offsetof(struct vhost_port, base) == 0, "see peer_port.h");

static int vhost_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (conf->ring)
		return dp_fail(err, -EINVAL, "not-here", "ring", NULL, "vhost-user has no ring: the guest chooses its size");
	return peer_port_validate(conf, err);
}

static int vhost_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		      struct dp_error *err)
{
	struct vhost_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	p->server = conf->server;
	p->mtu = conf->mtu;
	rc = peer_port_open(&p->base, kp, env, conf, n_queues, vhost_conn_alarm, err);
	if (rc < 0)
		goto fail_port;
	rc = vhost_port_queues_new(p, env->pool);
	if (rc < 0) {
		dp_fail(err, rc, "no-resources", NULL, NULL, "queues: %s", strerror(-rc));
		goto fail_queues;
	}
	peer_port_tell(&p->base, p->rxq, p->txq, sizeof(p->rxq[0]));
	kp->rx_gated = vhost_rx;
	kp->tx = vhost_tx;

	rc = vhost_conn_open(p);
	if (rc < 0) {
		peer_port_fail(&p->base, rc, err);
		goto fail_queues;
	}
	return 0;

fail_queues:
	vhost_port_queues_free(p);
	peer_port_close(&p->base);
fail_port:
	free(p);
	return rc;
}

static void vhost_close(struct kind_port *kp)
{
	struct vhost_port *p = kp->priv;

	p->base.closing = true;
	vhost_conn_close(p);
	vhost_port_queues_free(p);
	peer_port_close(&p->base);
	free(p);
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
	peer_port_lost(kp, offsetof(struct vhost_queue, lost), out);
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
	.link_up = peer_port_link_up,
	.set_mtu = vhost_set_mtu,
	.rx_fd = vhost_rx_fd,
	.rx_arm = vhost_kind_rx_arm,
	.rx_disarm = vhost_kind_rx_disarm,
	.lost = vhost_lost,
	.peer = vhost_peer,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <net/if.h>

#include "device.h"
#include "dp.h"
#include "log.h"

#define LOOK_TICKS 20 /* two seconds */

/* --- a row of nothing ------------------------------------------------------------------------------------------------------- */

static uint16_t no_frames(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	return 0;
}

static void no_close(struct kind_port *kp)
{
}

static bool no_link(struct kind_port *kp)
{
	return false;
}

static int no_fd(struct kind_port *kp, uint16_t q)
{
	return -1;
}

/* What a worker armed on the device that was there. It arms nothing here: the device that comes need not know how to be disarmed. */
static void no_disarm(struct kind_port *kp, uint16_t q)
{
}

static const struct port_kind no_device = {
	.name = "none", .close = no_close, .link_up = no_link, .rx_fd = no_fd, .rx_disarm = no_disarm};

/* --- opening ---------------------------------------------------------------------------------------------------------------- */

int device_open(struct dp *dp, const struct dp_port_conf *conf, struct kind_port *kp, struct dp_error *err)
{
	struct kind_env env = {.pool = dp->pool, .dp = dp};

	if (conf->carrier[0] && (!conf->ifindex || if_nametoindex(conf->ifname) != conf->ifindex))
		return dp_fail(err, -ENODEV, "no-such-device", "ifname", NULL, "trunk: the netdev %s is gone", conf->ifname);
	return kind_find(conf->kind, conf->carrier)->open(kp, &env, conf, RTE_MIN(conf->queues, KIND_MAX_QUEUES), err);
}

/* --- losing and taking ------------------------------------------------------------------------------------------------------ */

bool device_is_lost(const struct port *p)
{
	return p->kind == &no_device;
}

/* From the return on no worker uses what it found before. Some may sleep with it armed. */
static void everybody_looks(struct port *p)
{
	for (uint16_t q = 0; q < p->kp.n_queues; q++)
		worker_wake(p->dp->workers[p->rxq[q].worker]);
	dp_quiesce(p->dp);
}

void device_lose(struct port *p)
{
	const struct port_kind *kind = p->kind;
	struct kind_port old = p->kp;
	struct kind_lost lost = {0};

	if (device_is_lost(p))
		return;
	port_fds_del(p);
	CMM_STORE_SHARED(p->kind, &no_device);
	CMM_STORE_SHARED(p->kp.rx, no_frames);
	CMM_STORE_SHARED(p->kp.tx, no_frames);
	/* Its pool goes with it. */
	CMM_STORE_SHARED(p->kp.pool, NULL);
	everybody_looks(p);
	if (kind->lost)
		kind->lost(&old, &lost);
	kind_lost_add(&p->past, &lost);
	kind->close(&old);
	p->kp.priv = NULL;
	port_refresh(p);
}

void device_take(struct port *p, const struct kind_port *fresh)
{
	const struct port_kind *kind = kind_find(p->rt->conf.kind, p->rt->conf.carrier);
	kind_burst rx = fresh->rx, tx = fresh->tx;
	struct kind_port kp = *fresh;

	/* Workers go on finding nothing, with the device's queues at hand; then they all have those, and may use them. */
	kp.rx = kp.tx = no_frames;
	p->kp = kp;
	if (kind->moved)
		kind->moved(&p->kp);
	everybody_looks(p);
	CMM_STORE_SHARED(p->kp.rx, rx);
	CMM_STORE_SHARED(p->kp.tx, tx);
	CMM_STORE_SHARED(p->kind, kind);
	p->dp->look_ticks = LOOK_TICKS;
	port_refresh(p);
}

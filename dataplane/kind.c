/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "dp.h"
#include "ethdev.h"
#include "memif/memif_kind.h"
#include "packet/packet_kind.h"
#include "tap/tap_kind.h"
#include "vhost/vhost_kind.h"
#include "vhost_net.h"

#define TRUNK "trunk"

/* A trunk that was configured under a daemon that had one: it waits for its device. */
static int no_trunk_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
			 struct dp_error *err)
{
	return dp_fail(err, -ENODEV, "no-such-device", "kind", "`sluicectl node show` says why",
		       "port %s: the node has no such trunk", conf->name);
}

static const struct port_kind no_trunk = {.name = TRUNK, .carrier = "", .open = no_trunk_open};

static const struct port_kind *const rows[] = {
	&packet_kind, &ethdev_af_xdp, &tap_kind, &memif_kind, &ethdev_nic, &vhost_kind, &no_trunk,
};

/* Kind "trunk", by carrier. */
static const struct port_kind *const trunks[] = {&no_trunk, &packet_trunk, &ethdev_xdp_trunk, &tap_trunk, &vhost_net_trunk};

const struct port_kind *kind_at(unsigned i)
{
	return i < RTE_DIM(rows) ? rows[i] : NULL;
}

const struct port_kind *kind_find(const char *name, const char *carrier)
{
	for (unsigned i = 0; i < RTE_DIM(trunks) && !strcmp(name, TRUNK); i++) {
		if (!strcmp(trunks[i]->carrier, carrier))
			return trunks[i];
	}
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		if (!strcmp(rows[i]->name, name))
			return rows[i];
	}
	return NULL;
}

const char *dp_kind_name(unsigned i, bool *available)
{
	const struct port_kind *k = kind_at(i);

	if (available)
		*available = k && k->open;
	return k ? k->name : NULL;
}

int kind_watch(struct dp *dp, int fd, uint32_t events, void (*cb)(void *, uint32_t), void *arg)
{
	return events_watch(&dp->events, fd, events, cb, arg);
}

int kind_rewatch(struct dp *dp, int fd, uint32_t events)
{
	return events_rewatch(&dp->events, fd, events);
}

void kind_unwatch(struct dp *dp, int fd)
{
	events_unwatch(&dp->events, fd);
}

struct kind_timer *kind_timer(struct dp *dp, unsigned delay_ms, void (*cb)(void *), void *arg)
{
	return events_timer(&dp->events, delay_ms, cb, arg);
}

void kind_timer_cancel(struct dp *dp, struct kind_timer *t)
{
	events_timer_cancel(&dp->events, t);
}

void kind_quiesce(struct dp *dp)
{
	dp_quiesce(dp);
}

void kind_changed(struct kind_port *kp)
{
	struct port *p = container_of(kp, struct port, kp);

	port_refresh(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "dp.h"
#include "ethdev.h"
#include "memif/memif_kind.h"
#include "packet/packet_kind.h"
#include "vhost/vhost_kind.h"

static const struct port_kind *const rows[] = {
	&packet_kind, &ethdev_af_xdp, &ethdev_tap, &memif_kind, &ethdev_nic, &vhost_kind, &packet_trunk_kind,
};

const struct port_kind *kind_at(unsigned i)
{
	return i < RTE_DIM(rows) ? rows[i] : NULL;
}

const struct port_kind *kind_find(const char *name)
{
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

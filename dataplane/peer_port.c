/* SPDX-License-Identifier: Apache-2.0 */
#include "peer_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>

int peer_port_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (!conf->path[0])
		return dp_fail(err, -EINVAL, "missing", "path", "path=/run/vm1.sock", "%s needs the path of its socket",
			       conf->kind);
	if (!memchr(conf->path, '\0', sizeof(conf->path)))
		return dp_fail(err, -EINVAL, "too-long", "path", NULL, "path is longer than a socket's path may be (107 bytes)");
	if (conf->queues > KIND_MAX_QUEUES)
		return dp_fail(err, -EINVAL, "out-of-range", "queues", NULL, "queues %u: 1-16", conf->queues);
	return 0;
}

int peer_port_open(struct peer_port *p, struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf,
		   uint16_t n_queues, void (*on_alarm)(void *arg, uint32_t events), struct dp_error *err)
{
	int rc;

	p->kp = kp;
	p->dp = env->dp;
	snprintf(p->name, sizeof(p->name), "%s", conf->name);
	snprintf(p->path, sizeof(p->path), "%s", conf->path);
	p->n_queues = RTE_MAX((uint16_t)1, RTE_MIN(n_queues, (uint16_t)KIND_MAX_QUEUES));
	p->alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->alarm_fd < 0)
		return dp_fail(err, -errno, "no-resources", NULL, NULL, "eventfd: %s", strerror(errno));
	rc = kind_watch(p->dp, p->alarm_fd, EPOLLIN, on_alarm, p);
	if (rc < 0) {
		close(p->alarm_fd);
		return dp_fail(err, rc, "no-resources", NULL, NULL, "watch: %s", strerror(-rc));
	}
	return 0;
}

void peer_port_close(struct peer_port *p)
{
	kind_unwatch(p->dp, p->alarm_fd);
	close(p->alarm_fd);
	p->kp->priv = NULL;
}

void *peer_queues_new(const struct peer_port *p, size_t size)
{
	void *queues = aligned_alloc(RTE_CACHE_LINE_SIZE, p->n_queues * size);

	if (queues)
		memset(queues, 0, p->n_queues * size);
	return queues;
}

int peer_port_fail(const struct peer_port *p, int rc, struct dp_error *err)
{
	return dp_fail(err, rc, rc == -EADDRINUSE ? "in-use" : "no-such-path", "path", NULL, "%s: %s", p->path, strerror(-rc));
}

void peer_port_tell(struct peer_port *p, void *rxq, void *txq, size_t size)
{
	struct kind_port *kp = p->kp;

	kp->n_queues = p->n_queues;
	for (uint16_t q = 0; q < p->n_queues; q++) {
		kp->rxq[q] = RTE_PTR_ADD(rxq, q * size);
		kp->txq[q] = RTE_PTR_ADD(txq, q * size);
	}
	kp->caps = KIND_CAP_MULTI_SEG;
	kp->max_mtu = DP_MTU_MAX;
	kp->partial_csum = false;
	kp->priv = p;
}

bool peer_port_link_up(struct kind_port *kp)
{
	return ((struct peer_port *)kp->priv)->up;
}

void peer_port_lost(struct kind_port *kp, size_t at, struct kind_lost *out)
{
	memset(out, 0, sizeof(*out));
	for (uint16_t q = 0; q < kp->n_queues; q++) {
		kind_lost_add(out, RTE_PTR_ADD(kp->rxq[q], at));
		kind_lost_add(out, RTE_PTR_ADD(kp->txq[q], at));
	}
}

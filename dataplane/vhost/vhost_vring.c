/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_vring.h"

#include <unistd.h>

#include "bell.h"

static bool complete(const struct vhost_dev *d, unsigned ring)
{
	const struct vhost_vring *v = &d->ring[ring];
	bool discards = v->told && ring & 1;

	return v->num && v->has_addr && v->has_kick && (v->enabled || discards) && d->mem->n;
}

/* A part of a ring, whole and aligned as virtio asks. */
static void *part(const struct vhost_dev *d, uint64_t uva, uint64_t bytes, unsigned align)
{
	void *at = vhost_mem_uva(d->mem, uva, bytes);

	return (uintptr_t)at % align ? NULL : at;
}

/* A vq of what was told. NULL with *fault, a fault + 1, and *why. */
static struct vhost_vq *make(struct vhost_dev *d, unsigned ring, bool takes_over, int *fault, const char **why)
{
	struct vhost_vring *v = &d->ring[ring];
	bool logged = d->log && d->features & VHOST_BIT(VIRTIO_BIT_LOG_ALL);
	struct vhost_vq_conf c = {
		.size = v->num,
		.desc = part(d, v->addr.desc, VIRTQ_DESC_BYTES(v->num), 16),
		.avail = part(d, v->addr.avail, VIRTQ_AVAIL_BYTES(v->num), 2),
		.used = part(d, v->addr.used, VIRTQ_USED_BYTES(v->num), 4),
		.features = d->features,
		.mem = d->mem,
		.log = logged ? d->log : NULL,
		.log_used = v->addr.flags & VHOST_VRING_F_LOG ? v->addr.log : 0,
		.call_fd = v->call_fd,
		.kick_fd = v->kick_fd,
		.alarm_fd = d->alarm_fd,
		.disabled = !v->enabled,
		.takes_over = takes_over,
	};
	struct vhost_vq *vq;

	*fault = VHOST_FAULT_RING + 1;
	*why = "a ring's address is outside its memory, or not aligned";
	if (!c.desc || !c.avail || !c.used)
		return NULL;
	vq = vhost_vq_new(&c);
	*fault = vq ? 0 : VHOST_FAULT_NO_MEMORY + 1;
	*why = vq ? NULL : "out of memory";
	return vq;
}

/*
 * Who served the ring before may have been killed between its last used entries and the call for them, or had no eventfd to call by. With the
 * event index nobody would ever call for those again, so the guest is asked to look. A call for nothing costs it a look.
 */
static void call(const struct vhost_vring *v)
{
	if (v->call_fd >= 0)
		bell_ring(v->call_fd);
}

int vrings_start(struct vhost_dev *d, uint32_t rings, const char **why)
{
	int fault = 0;

	for (unsigned i = 0; fault == 0 && i < 2 * d->n_pairs; i++) {
		struct vhost_vring *v = &d->ring[i];

		if (!(rings >> i & 1) || v->vq || !complete(d, i))
			continue;
		v->vq = make(d, i, false, &fault, why);
		if (!v->vq)
			break;
		d->ops->ring_up(d->arg, i, v->vq);
		call(v);
	}
	return fault;
}

/* Put another vq in the place of the one that a ring runs by; false: it has to be stopped for that. */
static bool replace(struct vhost_dev *d, unsigned ring)
{
	struct vhost_vring *v = &d->ring[ring];
	struct vhost_vq *vq;
	const char *why;
	int fault;

	if (ring & 1 || !complete(d, ring))
		return false;
	vq = make(d, ring, true, &fault, &why);
	if (vq && d->ops->ring_swap(d->arg, ring, vq)) {
		v->vq = vq;
		return true;
	}
	if (vq)
		vhost_vq_free(vq);
	return false;
}

/* Take the vqs of rings away from the workers; where `stay` says so and it is possible, another takes its place. */
static void take_away(struct vhost_dev *d, uint32_t rings, bool stay)
{
	struct vhost_vq *old[VHOST_MAX_VRINGS] = {NULL};
	bool any = false;

	for (unsigned i = 0; i < 2 * d->n_pairs; i++) {
		if (!(rings >> i & 1) || !d->ring[i].vq)
			continue;
		old[i] = d->ring[i].vq;
		any = true;
		if (!stay || !replace(d, i)) {
			d->ops->ring_down(d->arg, i);
			d->ring[i].vq = NULL;
		}
	}
	if (!any)
		return;
	d->ops->quiesce(d->arg);
	for (unsigned i = 0; i < 2 * d->n_pairs; i++) {
		if (!old[i])
			continue;
		if (d->ring[i].vq)
			call(&d->ring[i]);
		else
			d->ring[i].base = vhost_vq_next(old[i]);
		vhost_vq_free(old[i]);
	}
}

int vrings_renew(struct vhost_dev *d, uint32_t rings, const char **why)
{
	take_away(d, rings, true);
	return vrings_start(d, rings, why);
}

void vrings_stop(struct vhost_dev *d, uint32_t rings)
{
	take_away(d, rings, false);
}

void vring_forget(struct vhost_vring *v)
{
	if (v->kick_fd >= 0)
		close(v->kick_fd);
	if (v->call_fd >= 0)
		close(v->call_fd);
	*v = (struct vhost_vring){.kick_fd = -1, .call_fd = -1};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_vring.h"

#include <unistd.h>

#include "bell.h"

static bool ready(const struct vhost_dev *d, unsigned ring)
{
	const struct vhost_vring *v = &d->ring[ring];
	bool discards = v->told && ring & 1;

	return !v->vq && v->num && v->has_addr && v->has_kick && (v->enabled || discards) && d->mem->n;
}

/* A part of a ring, whole and aligned as virtio asks. */
static void *part(const struct vhost_dev *d, uint64_t uva, uint64_t bytes, unsigned align)
{
	void *at = vhost_mem_uva(d->mem, uva, bytes);

	return (uintptr_t)at % align ? NULL : at;
}

static int start(struct vhost_dev *d, unsigned ring, const char **why)
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
	};

	if (!c.desc || !c.avail || !c.used) {
		*why = "a ring's address is outside its memory, or not aligned";
		return VHOST_FAULT_RING + 1;
	}
	v->vq = vhost_vq_new(&c);
	if (!v->vq) {
		*why = "out of memory";
		return VHOST_FAULT_NO_MEMORY + 1;
	}
	d->ops->ring_up(d->arg, ring, v->vq);
	/*
	 * Who served the ring before may have been killed between its last used entries and the call for them, or had no eventfd to call by. With
	 * the event index nobody would ever call for those again, so the guest is asked to look. A call for nothing costs it a look.
	 */
	if (v->call_fd >= 0)
		bell_ring(v->call_fd);
	return 0;
}

int vrings_start(struct vhost_dev *d, uint32_t rings, const char **why)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < 2 * d->n_pairs; i++) {
		if (rings >> i & 1 && ready(d, i))
			ret = start(d, i, why);
	}
	return ret;
}

uint32_t vrings_stop(struct vhost_dev *d, uint32_t rings)
{
	uint32_t stopped = 0;

	for (unsigned i = 0; i < 2 * d->n_pairs; i++) {
		if (!(rings >> i & 1) || !d->ring[i].vq)
			continue;
		d->ops->ring_down(d->arg, i);
		stopped |= 1u << i;
	}
	if (!stopped)
		return 0;
	d->ops->quiesce(d->arg);
	for (unsigned i = 0; i < 2 * d->n_pairs; i++) {
		if (!(stopped >> i & 1))
			continue;
		d->ring[i].base = d->ring[i].vq->next;
		vhost_vq_free(d->ring[i].vq);
		d->ring[i].vq = NULL;
	}
	return stopped;
}

void vring_forget(struct vhost_vring *v)
{
	if (v->kick_fd >= 0)
		close(v->kick_fd);
	if (v->call_fd >= 0)
		close(v->call_fd);
	*v = (struct vhost_vring){.kick_fd = -1, .call_fd = -1};
}

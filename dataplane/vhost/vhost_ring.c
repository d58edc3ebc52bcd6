/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_ring.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vhost_walk.h"

/* Wakes without a frame after which wake_fd is drained: a guest that kicks for nothing costs few calls, and idle queues fewer. */
#define IDLE_WAKES 8

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

static uint16_t *avail_event(const struct vhost_vq *v)
{
	return (uint16_t *)&v->used->ring[v->size];
}

/* With the event index, the guest kicks when it passes the entry that was named; it is not named again until somebody sleeps. */
void vhost_kicks_off(struct vhost_vq *v)
{
	v->kicks = false;
	if (!v->event_idx)
		__atomic_store_n(&v->used->flags, VIRTQ_USED_NO_NOTIFY, __ATOMIC_RELAXED);
	if (v->log)
		vhost_log_use(v, 0);
}

static void kicks_on(struct vhost_vq *v)
{
	v->kicks = true;
	v->wish = v->next;
	if (v->event_idx)
		__atomic_store_n(avail_event(v), v->next, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&v->used->flags, 0, __ATOMIC_RELAXED);
	if (v->log)
		vhost_log_use(v, 0);
}

void vhost_kicks_again(struct vhost_vq *v)
{
	kicks_on(v);
	/* As in vhost_rx_arm(). */
	rte_smp_mb();
	if (vhost_available(v) && v->kick_fd >= 0)
		bell_ring(v->kick_fd);
}

uint32_t vhost_caps(uint64_t features)
{
	uint32_t caps = KIND_CAP_MULTI_SEG;

	/* Segmentation stands on checksums: virtio 1.1, 5.1.3.1. */
	if (!has(features, VIRTIO_BIT_GUEST_CSUM))
		return caps;
	caps |= KIND_CAP_CSUM_L4;
	if (has(features, VIRTIO_BIT_GUEST_TSO4))
		caps |= KIND_CAP_TSO4;
	if (has(features, VIRTIO_BIT_GUEST_TSO6))
		caps |= KIND_CAP_TSO6;
	return caps;
}

struct vhost_vq *vhost_vq_new(const struct vhost_vq_conf *c)
{
	struct vhost_vq *v;

	if (posix_memalign((void **)&v, RTE_CACHE_LINE_SIZE, sizeof(*v)) != 0)
		return NULL;
	*v = (struct vhost_vq){
		.desc = c->desc,
		.avail = c->avail,
		.used = c->used,
		.mask = (uint16_t)(c->size - 1),
		.next = __atomic_load_n(&c->used->idx, __ATOMIC_RELAXED),
		.hdr_len = has(c->features, VIRTIO_BIT_VERSION_1) || has(c->features, VIRTIO_BIT_MRG_RXBUF) ? VIRTIO_HDR_LEN
													    : VIRTIO_HDR_LEN_LEGACY,
		.event_idx = has(c->features, VIRTIO_BIT_EVENT_IDX),
		.indirect = has(c->features, VIRTIO_BIT_INDIRECT_DESC),
		.mergeable = has(c->features, VIRTIO_BIT_MRG_RXBUF),
		.ecn = has(c->features, VIRTIO_BIT_GUEST_ECN),
		.caps = vhost_caps(c->features),
		.call_fd = c->call_fd,
		.kick_fd = c->kick_fd,
		.alarm_fd = c->alarm_fd,
		.aside = (uint8_t)((c->disabled ? VHOST_DISABLED : 0) | (c->takes_over ? VHOST_FRESH : 0)),
		.size = c->size,
		.mem = c->mem,
		.log = c->log,
		.log_used = c->log_used,
	};
	v->called = v->next;
	rte_spinlock_init(&v->lock);
	vhost_kicks_off(v);
	return v;
}

uint16_t vhost_vq_next(const struct vhost_vq *v)
{
	return v->aside & VHOST_FRESH ? __atomic_load_n(&v->used->idx, __ATOMIC_RELAXED) : v->next;
}

void vhost_vq_free(struct vhost_vq *v)
{
	free(v);
}

/* --- chains ----------------------------------------------------------------------------------------------------------- */

/* Append a descriptor's buffer, which may lie in several regions if they follow each other. */
static bool chain_add(struct vhost_vq *v, struct vhost_chain *c, uint64_t gpa, uint32_t len)
{
	while (len > 0) {
		const struct vhost_span *s;
		uint32_t part = len;
		uint8_t *at;

		if (c->n == VHOST_CHAIN)
			return false;
		at = vhost_mem_gpa(v->mem, &v->hint, gpa, len);
		if (unlikely(!at)) {
			s = vhost_mem_span(v->mem, gpa);
			if (!s)
				return false;
			at = s->base + (gpa - s->gpa);
			part = (uint32_t)RTE_MIN((uint64_t)len, s->size - (gpa - s->gpa));
		}
		c->piece[c->n++] = (struct vhost_piece){.at = at, .len = part, .gpa = gpa};
		c->bytes += part;
		gpa += part;
		len -= part;
	}
	return true;
}

/* One descriptor of a table, which may lie at any address. */
static union virtq_desc table_load(const uint8_t *table, uint32_t i)
{
	union virtq_desc d;

	memcpy(&d, table + (size_t)i * sizeof(d), sizeof(d));
	/* The copy is what is used: nothing may be loaded again behind this. */
	rte_compiler_barrier();
	return d;
}

static bool walk_table(struct vhost_vq *v, union virtq_desc t, bool write, struct vhost_chain *c)
{
	uint32_t n = t.len / sizeof(union virtq_desc), i = 0;
	const uint8_t *table;
	union virtq_desc d;

	if (!v->indirect || (t.flags & VIRTQ_DESC_NEXT) || n == 0 || t.len % sizeof(union virtq_desc))
		return false;
	table = vhost_mem_gpa(v->mem, &v->hint, t.addr, t.len);
	if (!table)
		return false;
	do {
		if (i >= n || c->descs == VHOST_CHAIN)
			return false;
		d = table_load(table, i);
		c->descs++;
		if ((d.flags & VIRTQ_DESC_INDIRECT) || !(d.flags & VIRTQ_DESC_WRITE) == write || !chain_add(v, c, d.addr, d.len))
			return false;
		i = d.next;
	} while (d.flags & VIRTQ_DESC_NEXT);
	return true;
}

bool vhost_walk(struct vhost_vq *v, uint16_t head, bool write, struct vhost_chain *c)
{
	union virtq_desc d;

	do {
		/* The bound on what is looked at is also what ends a loop. */
		if (head >= v->size || c->descs == VHOST_CHAIN)
			return false;
		d = vhost_desc_load(v, head);
		c->descs++;
		if (d.flags & VIRTQ_DESC_INDIRECT)
			return walk_table(v, d, write, c);
		if (!(d.flags & VIRTQ_DESC_WRITE) == write || !chain_add(v, c, d.addr, d.len))
			return false;
		head = d.next;
	} while (d.flags & VIRTQ_DESC_NEXT);
	return true;
}

/* --- the control thread's attention ------------------------------------------------------------------------------------- */

void vhost_break(struct vhost_queue *q, struct vhost_vq *v)
{
	if (v->aside & VHOST_BROKEN)
		return;
	__atomic_store_n(&v->aside, (uint8_t)(v->aside | VHOST_BROKEN), __ATOMIC_RELEASE);
	frames_count(&q->lost.bad_descriptor, 1);
	if (write(v->alarm_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0) {
		/* Full, so it is readable, which is all that is wanted. */
	}
}

void vhost_log_use(struct vhost_vq *v, uint16_t n)
{
	uint16_t first = (uint16_t)(v->next - n) & v->mask, run = (uint16_t)RTE_MIN((uint32_t)n, v->size - first);

	if (!v->log_used)
		return;
	vhost_log_write(v->log, v->log_used + offsetof(struct virtq_used, ring) + 8ull * first, 8ull * run);
	vhost_log_write(v->log, v->log_used + offsetof(struct virtq_used, ring), 8ull * (uint16_t)(n - run));
	/* Flags and index; and the event behind the ring. */
	vhost_log_write(v->log, v->log_used, sizeof(struct virtq_used));
	vhost_log_write(v->log, v->log_used + VIRTQ_USED_BYTES(v->size) - 2, 2);
}

/* --- sleep ------------------------------------------------------------------------------------------------------------ */

static void drain(struct vhost_queue *q)
{
	struct epoll_event ignored;

	epoll_wait(q->wake_fd, &ignored, 1, 0);
	q->rung = false;
	q->idle_wakes = 0;
}

int vhost_rx_arm(struct vhost_queue *q)
{
	struct vhost_vq *v = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);

	q->armed = true;
	if (q->rung)
		drain(q);
	if (__atomic_load_n(&q->inject, __ATOMIC_RELAXED))
		return 1;
	if (!v || v->aside & VHOST_BROKEN)
		return 0; /* what changes that wakes the worker */
	if (!v->kicks) {
		kicks_on(v);
		/* Our wish before the guest's index: pairs with its barrier between index and wish. */
		rte_smp_mb();
	}
	return vhost_available(v) != 0;
}

void vhost_rx_disarm(struct vhost_queue *q)
{
	struct vhost_vq *v = __atomic_load_n(&q->live, __ATOMIC_ACQUIRE);

	if (!q->armed)
		return;
	q->armed = false;
	/* A wish that was passed while we were awake is of no use any more: with the event index it is one for a single kick. */
	if (v && v->kicks && (vhost_available(v) || v->next != v->wish)) {
		vhost_kicks_off(v);
		q->rung = true;
	} else if (++q->idle_wakes == IDLE_WAKES) {
		drain(q); /* in case that it was kicked for nothing */
	}
}

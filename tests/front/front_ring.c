/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "front.h"

#define LINE 64u
#define GAP  64u /* between the parts of a buffer: one that is filled beyond its descriptor shows */

static uint16_t *used_event(struct front_ring *r)
{
	return &r->avail->ring[r->size];
}

static uint16_t *avail_event(struct front_ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

int front_ring_make(struct front *f, unsigned index, uint32_t size, unsigned r)
{
	struct front_ring *ring = &f->ring[index];

	if (index >= FRONT_MAX_RINGS || size == 0 || size > FRONT_MAX_RING || (size & (size - 1)))
		return -EINVAL;
	*ring = (struct front_ring){.size = size, .kick = -1, .call = -1};
	/* A cache line between them at least: avail is ours to write, used the back end's. */
	ring->desc = front_alloc(f, r, 16ull * size, LINE);
	ring->avail = front_alloc(f, r, 6 + 2ull * size, LINE);
	ring->used = front_alloc(f, r, 6 + 8ull * size, LINE);
	if (!ring->desc || !ring->avail || !ring->used)
		return -ENOMEM;
	ring->desc_uva = front_uva(f, ring->desc);
	ring->avail_uva = front_uva(f, ring->avail);
	ring->used_uva = front_uva(f, ring->used);
	if (index >= f->n_rings)
		f->n_rings = index + 1;
	ring->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ring->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return ring->kick < 0 || ring->call < 0 ? -errno : 0;
}

void front_desc(struct front_ring *r, uint16_t slot, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[slot & (r->size - 1)] = (struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

/* --- buffers and their parts ---------------------------------------------------------------------------------------------- */

/* Bytes of a part when the buffer's whole room is offered: header first, the rest in equal pieces. */
static uint32_t part_room(const struct front_ring *r)
{
	return r->parts == 1 ? r->room : (r->room - FRONT_HDR + r->parts - 2) / (r->parts - 1);
}

/* Where a part is in its buffer. */
static uint32_t part_at(const struct front_ring *r, unsigned part)
{
	return part == 0 ? 0 : LINE + (part - 1) * (part_room(r) + GAP);
}

static uint16_t head_of(const struct front_ring *r, uint32_t b)
{
	return (uint16_t)(r->shape == FRONT_CHAINED ? b * r->parts : b);
}

/* The buffer whose chain begins at `head`, or -1. */
static int64_t buffer_of(const struct front_ring *r, uint32_t head)
{
	uint32_t step = r->shape == FRONT_CHAINED ? r->parts : 1;

	return head % step == 0 && head / step < r->n_buffers ? (int64_t)(head / step) : -1;
}

/*
 * Write buffer b's descriptors for `bytes` of content, the header's included. In several parts the first holds the header and
 * the others `piece` bytes each.
 */
static void describe(const struct front *f, struct front_ring *r, uint32_t b, uint32_t bytes, uint32_t piece, bool device_writes)
{
	struct vring_desc *table = r->shape == FRONT_INDIRECT ? r->table[b] : &r->desc[head_of(r, b)];
	uint16_t base = r->shape == FRONT_CHAINED ? head_of(r, b) : 0, flags = device_writes ? VRING_DESC_F_WRITE : 0;
	unsigned n = 0;

	for (uint32_t at = 0; at < bytes && n < r->parts; n++) {
		uint32_t len = r->parts == 1 ? bytes : n == 0 ? FRONT_HDR : piece;

		len = len < bytes - at ? len : bytes - at;
		table[n] = (struct vring_desc){.addr = front_gpa(f, r->buffer[b] + part_at(r, n)), .len = len};
		table[n].flags = flags | VRING_DESC_F_NEXT;
		table[n].next = (uint16_t)(base + n + 1);
		at += len;
	}
	table[n - 1].flags = flags;
	if (r->shape == FRONT_INDIRECT)
		front_desc(r, (uint16_t)b, front_gpa(f, table), n * (uint32_t)sizeof(*table), VRING_DESC_F_INDIRECT, 0);
}

static int buffers_allocate(struct front *f, struct front_ring *r)
{
	uint32_t stride = (r->parts == 1 ? r->room : part_at(r, r->parts)) + GAP + LINE;

	stride = (stride / LINE) | 1; /* odd */
	for (uint32_t b = 0; b < r->n_buffers; b++) {
		unsigned region = f->n_regions == 1 ? 0 : 1 + b % (f->n_regions - 1);

		r->buffer[b] = front_alloc(f, region, (uint64_t)stride * LINE, LINE);
		if (!r->buffer[b])
			return -ENOMEM;
		if (r->shape == FRONT_INDIRECT) {
			r->table[b] = front_alloc(f, region, r->parts * sizeof(struct vring_desc), 16);
			if (!r->table[b])
				return -ENOMEM;
		}
	}
	return 0;
}

static void ring_rewind(const struct front *f, struct front_ring *r, bool receives)
{
	r->avail->flags = r->avail->idx = r->used->flags = r->used->idx = 0;
	*used_event(r) = *avail_event(r) = 0;
	r->next = r->taken = 0;
	r->n_idle = 0;
	for (uint32_t b = 0; b < r->n_buffers; b++) {
		r->held[b] = receives;
		if (receives) {
			describe(f, r, b, r->room, part_room(r), true);
			front_offer(r, head_of(r, b));
		} else {
			r->idle[r->n_idle++] = (uint16_t)b;
		}
	}
	r->avail->idx = r->next;
}

int front_buffers(struct front *f, unsigned index, enum front_shape shape, unsigned parts, uint32_t room)
{
	struct front_ring *r = &f->ring[index];
	int rc;

	if (shape == FRONT_DIRECT)
		parts = 1;
	if (parts < 1 || parts > FRONT_MAX_PARTS || parts > r->size || room <= FRONT_HDR || (shape != FRONT_DIRECT && parts < 2))
		return -EINVAL;
	r->shape = shape;
	r->parts = parts;
	r->room = room;
	r->n_buffers = shape == FRONT_CHAINED ? r->size / parts : r->size;
	r->buffer = calloc(r->n_buffers, sizeof(*r->buffer));
	r->table = calloc(r->n_buffers, sizeof(struct vring_desc *));
	r->idle = calloc(r->n_buffers, sizeof(*r->idle));
	r->held = calloc(r->n_buffers, sizeof(*r->held));
	if (!r->buffer || !r->table || !r->idle || !r->held)
		return -ENOMEM;
	rc = buffers_allocate(f, r);
	if (!rc)
		ring_rewind(f, r, index % 2 == 0);
	return rc;
}

void front_rewind(struct front *f)
{
	for (unsigned i = 0; i < f->n_rings; i++)
		ring_rewind(f, &f->ring[i], i % 2 == 0);
}

/* --- avail ---------------------------------------------------------------------------------------------------------------- */

void front_offer(struct front_ring *r, uint16_t head)
{
	r->avail->ring[r->next & (r->size - 1)] = head;
	r->next++;
}

void front_kick(struct front_ring *r)
{
	/* A full eventfd is a kick that is still to be heard. */
	(void)!eventfd_write(r->kick, 1);
}

void front_publish(struct front_ring *r, uint16_t old)
{
	bool wanted;

	/* Pairs with the back end's load of idx before it reads the entries. */
	__atomic_store_n(&r->avail->idx, r->next, __ATOMIC_RELEASE);
	/* Pairs with the fence of a back end that asks for kicks and then looks at idx once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->event_idx)
		wanted = vring_need_event(__atomic_load_n(avail_event(r), __ATOMIC_RELAXED), r->next, old);
	else
		wanted = !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
	if (wanted)
		front_kick(r);
}

void front_want_calls(struct front_ring *r, bool on)
{
	__atomic_store_n(&r->avail->flags, (uint16_t)(on ? 0 : VRING_AVAIL_F_NO_INTERRUPT), __ATOMIC_RELAXED);
	/* The farthest point of the index is behind us. */
	__atomic_store_n(used_event(r), (uint16_t)(on ? r->taken : r->taken + 0x8000), __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* --- a plain network card ------------------------------------------------------------------------------------------------- */

/* The next entry of the used ring, if there is one: its buffer and length. -EAGAIN, -EPROTO. */
static int64_t take_used(struct front *f, struct front_ring *r, uint32_t *len)
{
	struct vring_used_elem e;
	int64_t b;

	if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->taken)
		return -EAGAIN;
	e = r->used->ring[r->taken & (r->size - 1)];
	r->taken++;
	b = buffer_of(r, e.id);
	if (b < 0 || !r->held[b]) {
		f->lied++;
		return -EPROTO;
	}
	r->held[b] = false;
	*len = e.len;
	return b;
}

uint32_t front_reclaim(struct front *f, unsigned index)
{
	struct front_ring *r = &f->ring[index];
	uint32_t len;
	int64_t b;

	while ((b = take_used(f, r, &len)) != -EAGAIN) {
		if (b >= 0)
			r->idle[r->n_idle++] = (uint16_t)b;
	}
	return r->n_buffers - r->n_idle;
}

int front_send(struct front *f, unsigned index, const struct virtio_net_hdr_v1 *hdr, const void *frame, uint32_t len)
{
	static const struct virtio_net_hdr_v1 nothing_asked;
	struct front_ring *r = &f->ring[index];
	uint16_t old = r->next;
	uint32_t b, piece = len;
	uint8_t *buffer;

	if (len == 0 || len > r->room - FRONT_HDR)
		return -EMSGSIZE;
	front_reclaim(f, index);
	if (r->n_idle == 0)
		return -EAGAIN;
	b = r->idle[--r->n_idle];
	r->held[b] = true;
	buffer = r->buffer[b];
	memcpy(buffer, hdr ? hdr : &nothing_asked, FRONT_HDR);
	if (r->parts == 1) {
		memcpy(buffer + FRONT_HDR, frame, len);
	} else {
		piece = (len + r->parts - 2) / (r->parts - 1);
		for (uint32_t at = 0, part = 1; at < len; at += piece, part++)
			memcpy(buffer + part_at(r, part), (const uint8_t *)frame + at, piece < len - at ? piece : len - at);
	}
	describe(f, r, b, FRONT_HDR + len, piece, false);
	front_offer(r, head_of(r, b));
	front_publish(r, old);
	return 0;
}

/* `bytes` of buffer b's content from `from` on, in order over its parts. */
static void gather(const struct front_ring *r, uint32_t b, uint32_t from, uint8_t *to, uint32_t bytes)
{
	for (unsigned part = 0; part < r->parts && bytes; part++) {
		uint32_t room = r->parts > 1 && part == 0 ? FRONT_HDR : part_room(r), n;

		if (from >= room) {
			from -= room;
			continue;
		}
		n = room - from < bytes ? room - from : bytes;
		memcpy(to, r->buffer[b] + part_at(r, part) + from, n);
		to += n;
		bytes -= n;
		from = 0;
	}
}

static void offer_again(struct front_ring *r, uint32_t b)
{
	r->held[b] = true;
	front_offer(r, head_of(r, b));
}

ssize_t front_recv(struct front *f, unsigned index, struct virtio_net_hdr_v1 *hdr, void *frame, uint32_t cap)
{
	struct front_ring *r = &f->ring[index];
	struct virtio_net_hdr_v1 h = {0};
	uint32_t len, total = 0;
	uint16_t old = r->next;
	int64_t b = take_used(f, r, &len);
	ssize_t rc = 0;

	if (b < 0)
		return b;
	if (len < FRONT_HDR || len > r->room) {
		f->lied++;
		offer_again(r, (uint32_t)b);
		front_publish(r, old);
		return -EPROTO;
	}
	gather(r, (uint32_t)b, 0, (uint8_t *)&h, FRONT_HDR);
	for (unsigned n = 1, skip = FRONT_HDR;; n++, skip = 0) {
		uint32_t bytes = len - skip;

		if (bytes > cap - total)
			rc = -EMSGSIZE;
		else
			gather(r, (uint32_t)b, skip, (uint8_t *)frame + total, bytes);
		total += rc ? 0 : bytes;
		offer_again(r, (uint32_t)b);
		if (n >= h.num_buffers)
			break;
		/* The buffers of one frame are shown at once: another one must be there. */
		b = take_used(f, r, &len);
		if (b < 0 || len > r->room) {
			f->lied++;
			rc = -EPROTO;
			break;
		}
	}
	front_publish(r, old);
	if (hdr)
		*hdr = h;
	return rc ? rc : (ssize_t)total;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_VHOST_END_H
#define BENCH_VHOST_END_H

/*
 * One end of the traffic source: a vhost-user front end by hand (tests/front/front.h), and the frames that it sends. See
 * vhost_source.c, whose only part this is.
 *
 * Frames are written once, each behind its header of zeros, and stay in place. While there are no more flows than slots,
 * descriptor i points at frame i for ever, entry i of the avail ring at descriptor i, and sending is one store of the ring's
 * index; with more flows, sending writes descriptors and still no frame. Receive buffers stay where they are as well: each
 * holds a whole frame, so the back end gives them back in the order in which it was given them (of those looked at, one in SAMPLE
 * is held to that), and offering them again is a store of the index too.
 *
 * Buffers of both kinds stand an odd number of cache lines apart. Notifications are forbidden on both rings, and the back end
 * is kicked only if it asks for it.
 */
#include "front.h"

#define SOURCE_NAME "vhost_source"
#include "traffic.h"

#define LINE	 64u
#define MAX_SIZE 9216u
#define RX_ROOM	 1600u /* of a receive buffer at least: a guest offers room for any frame of 1500 bytes of payload */

/* One end: a front end, and its frames. */
struct end {
	char path[108];
	struct front front;
	struct front_ring *tx, *rx;

	uint8_t *frames; /* n_frames and one for announcements, each behind FRONT_HDR bytes */
	uint64_t frames_gpa;
	uint32_t n_frames, stride, next_frame;
	bool fixed; /* slot i has frame i for ever */
	uint8_t *rx_buffers;
	uint32_t rx_stride;

	uint16_t head, taken; /* our index of the tx avail ring; of the rx used ring: the next to receive */
	uint64_t sent, received;
	uint32_t sample_in;
	unsigned side, pair;
	bool sends;
};

static struct {
	bool connect, huge;
	int null_core; /* where the null switch of mode ceiling runs; -1: there is none */
	uint64_t features;
} vhost_opt = {.null_core = -1, .features = FRONT_BIT(VIRTIO_F_VERSION_1) | FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF)};

static uint32_t odd_lines(uint32_t bytes)
{
	return ((bytes + LINE - 1) / LINE | 1) * LINE;
}

/* --- memory, rings, frames ------------------------------------------------------------------------------------------- */

/* Behind its header. */
static inline uint8_t *frame_at(const struct end *e, uint32_t i)
{
	return e->frames + (uint64_t)i * e->stride + FRONT_HDR;
}

/* `silent`: it receives what is sent to it, and sends nothing. */
static void end_make(struct end *e, uint32_t ring, bool silent)
{
	uint32_t rx_room = FRONT_HDR + opt.size > RX_ROOM ? FRONT_HDR + opt.size : RX_ROOM;
	struct front_conf conf = {.path = e->path,
				  .connect = vhost_opt.connect,
				  .wait_s = opt.wait_s,
				  .ring = ring,
				  .features = vhost_opt.features,
				  .huge = vhost_opt.huge,
				  .protocol = FRONT_BIT(FRONT_PF_REPLY_ACK) | FRONT_BIT(FRONT_PF_MQ)};
	uint64_t bytes;
	int rc;

	e->stride = odd_lines(FRONT_HDR + opt.size);
	e->rx_stride = odd_lines(rx_room);
	e->n_frames = silent ? 0 : opt.flows > ring ? opt.flows : ring;
	e->fixed = e->n_frames == ring;
	bytes = ((uint64_t)e->n_frames + 1) * e->stride + (uint64_t)ring * (e->rx_stride + 2 * 26) + (1 << 16);
	conf.region_mib = (bytes >> 20) + 1;
	rc = front_open(&e->front, &conf);
	if (rc)
		die("%s: %s", e->path, strerror(-rc));
	e->rx = &e->front.ring[0];
	e->tx = &e->front.ring[1];
	e->frames = front_alloc(&e->front, 0, ((uint64_t)e->n_frames + 1) * e->stride, LINE);
	e->rx_buffers = front_alloc(&e->front, 0, (uint64_t)ring * e->rx_stride, LINE);
	if (!e->frames || !e->rx_buffers)
		die("%s: out of guest memory", e->path);
	e->frames_gpa = front_gpa(&e->front, e->frames);
	for (uint32_t i = 0; i < e->n_frames; i++)
		frame_write_nth(frame_at(e, i), e->pair, e->side, i);
	e->sample_in = SAMPLE;
}

static void rings_fill(struct end *e)
{
	for (uint32_t i = 0; i < e->rx->size; i++) {
		front_desc(e->rx, (uint16_t)i, front_gpa(&e->front, e->rx_buffers + (uint64_t)i * e->rx_stride), e->rx_stride,
			   VRING_DESC_F_WRITE, 0);
		e->rx->avail->ring[i] = e->tx->avail->ring[i] = (uint16_t)i;
	}
	front_want_calls(e->rx, false);
	front_want_calls(e->tx, false);
	e->rx->avail->idx = (uint16_t)e->rx->size;
}

static void end_connect(struct end *e)
{
	int rc = front_up(&e->front);

	if (rc)
		die("%s: %s", e->path, strerror(-rc));
	rings_fill(e);
	front_kick(e->rx);
}

/* --- sending and receiving ------------------------------------------------------------------------------------------- */

static inline uint32_t send_room(const struct end *e)
{
	return opt.ring - (uint16_t)(e->head - __atomic_load_n(&e->tx->used->idx, __ATOMIC_ACQUIRE));
}

static inline void slot_set(struct end *e, uint16_t slot, uint32_t frame)
{
	e->tx->desc[slot & (opt.ring - 1)] =
		(struct vring_desc){.addr = e->frames_gpa + (uint64_t)frame * e->stride, .len = FRONT_HDR + opt.size};
}

static inline void publish(struct end *e, uint32_t n)
{
	uint16_t old = e->head;

	e->head = (uint16_t)(e->head + n);
	e->sent += n;
	e->tx->next = e->head;
	front_publish(e->tx, old);
}

/* Is what the next entry of the used ring names a frame for this end, in the buffer whose turn it is? */
static void look_at(struct end *e, uint16_t at, bool stamped)
{
	uint16_t i = at & (opt.ring - 1);
	const uint8_t *buffer = e->rx_buffers + (uint64_t)i * e->rx_stride, *f = buffer + FRONT_HDR;
	struct vring_used_elem u = e->rx->used->ring[i];
	struct virtio_net_hdr_v1 hdr;

	if (u.id != i)
		die("%s: the back end gave back buffer %u when it was the turn of %u", e->path, u.id, i);
	memcpy(&hdr, buffer, sizeof(hdr));
	if (u.len != FRONT_HDR + opt.size || (hdr.num_buffers != 1 && vhost_opt.features & FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF)) ||
	    !frame_is_for(f, e->pair, e->side)) {
		wrong++;
		return;
	}
	if (stamped)
		frame_age(f);
}

/* Frames that have come and were not taken. */
static inline uint16_t arrived(const struct end *e)
{
	return (uint16_t)(__atomic_load_n(&e->rx->used->idx, __ATOMIC_ACQUIRE) - e->taken);
}

/* Offer again the buffers of all that was taken. */
static inline void give_back(struct end *e)
{
	__atomic_store_n(&e->rx->avail->idx, (uint16_t)(e->taken + opt.ring), __ATOMIC_RELEASE);
}

/* For the ceiling: nobody copies, so what is looked at is there from the start. */
static void received_already(struct end *e)
{
	const struct virtio_net_hdr_v1 hdr = {.num_buffers = 1};

	rings_fill(e);
	for (uint32_t i = 0; i < opt.ring; i++) {
		uint8_t *buffer = e->rx_buffers + (uint64_t)i * e->rx_stride;

		memcpy(buffer, &hdr, sizeof(hdr));
		frame_write(buffer + FRONT_HDR, e->pair, !e->side, e->side, 0, 0, 0);
		e->rx->used->ring[i] = (struct vring_used_elem){.id = i, .len = FRONT_HDR + opt.size};
	}
	e->tx->used->flags = VRING_USED_F_NO_NOTIFY;
}

/* Without a switch: what one end sends appears at the other, uncopied. */
static void hand_over(struct end *from, struct end *to)
{
	uint16_t done = from->tx->used->idx, filled = to->rx->used->idx;
	uint16_t waiting = (uint16_t)(__atomic_load_n(&from->tx->avail->idx, __ATOMIC_ACQUIRE) - done);
	uint16_t offered = (uint16_t)(__atomic_load_n(&to->rx->avail->idx, __ATOMIC_ACQUIRE) - filled);
	uint16_t n = waiting < offered ? waiting : offered;

	if (n == 0)
		return;
	__atomic_store_n(&to->rx->used->idx, (uint16_t)(filled + n), __ATOMIC_RELEASE);
	__atomic_store_n(&from->tx->used->idx, (uint16_t)(done + n), __ATOMIC_RELEASE);
}

/* Unless a null switch on another core does. */
static void short_circuit(struct end *from, struct end *to)
{
	if (vhost_opt.null_core < 0)
		hand_over(from, to);
}

#endif

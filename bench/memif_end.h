/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MEMIF_END_H
#define BENCH_MEMIF_END_H

/*
 * One end of the traffic source: a memif client by hand, and the frames that it sends. See memif_source.c, whose only part this is.
 *
 * Frames are written once, into a region of their own (1; the rings and the buffers to receive in are in region 0), and stay in
 * place: while there are no more flows than slots, each slot keeps its frame, and sending is one store of the ring's index;
 * with more flows, sending writes descriptors and still no frame. Received buffers are offered again as the switch left them,
 * since the next frame is as long as the last. What is in the frames: traffic.h.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <poll.h>
#include "memif/memif_proto.h"
#include "memif/memif_shm.h"
#include "memif/memif_sock.h"

#define SOURCE_NAME "memif_source"
#include "traffic.h"

/* One end: a memif client, and its frames. */
struct end {
	char path[108];
	uint32_t id;
	int sock, bell[2];
	struct memif_shm shm;
	struct memif_ring *c2s, *s2c;
	uint8_t *rx_buffers;

	uint8_t *frames; /* region 1 */
	int frames_fd;
	uint64_t frames_bytes;
	uint32_t n_frames, stride, next_frame;
	bool fixed; /* slot i has frame i for ever */

	uint16_t head, taken; /* our index of C2S; of S2C: the next to receive */
	uint64_t sent, received;
	uint32_t sample_in;
	unsigned side, pair;
	bool sends;
};

/* --- frames -------------------------------------------------------------------------------------------------------- */

static inline uint8_t *frame_at(const struct end *e, uint32_t i)
{
	return e->frames + (uint64_t)i * e->stride;
}

static void frames_make(struct end *e)
{
	e->n_frames = opt.flows > opt.ring ? opt.flows : opt.ring;
	e->fixed = e->n_frames == opt.ring;
	e->stride = (opt.size + 63) / 64 * 64;
	e->frames_bytes = ((uint64_t)e->n_frames + 1) * e->stride;
	e->frames_bytes = (e->frames_bytes + 4095) / 4096 * 4096;
	e->frames_fd = memfd_create("frames", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (e->frames_fd < 0 || ftruncate(e->frames_fd, (off_t)e->frames_bytes) < 0 ||
	    fcntl(e->frames_fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		die("memfd: %s", strerror(errno));
	e->frames = mmap(NULL, e->frames_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, e->frames_fd, 0);
	if (e->frames == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	for (uint32_t i = 0; i < e->n_frames; i++)
		frame_write_nth(frame_at(e, i), e->pair, e->side, i);
}

/* --- memif, as client ---------------------------------------------------------------------------------------------- */

static int hear(struct end *e, struct memif_msg *msg)
{
	struct pollfd p = {.fd = e->sock, .events = POLLIN};
	int fd, rc;

	if (poll(&p, 1, (int)(opt.wait_s * 1000)) != 1)
		die("%s:%u: no answer", e->path, e->id);
	rc = memif_sock_recv(e->sock, msg, &fd);
	if (rc < 0)
		return rc;
	if (fd >= 0)
		close(fd);
	if (msg->type == MEMIF_MSG_DISCONNECT)
		die("%s:%u: it says: %.*s", e->path, e->id, (int)sizeof(msg->disconnect.reason), msg->disconnect.reason);
	return msg->type;
}

static void tell(struct end *e, const struct memif_msg *msg, int fd, int answer)
{
	struct memif_msg heard;
	int rc;

	if (memif_sock_send(e->sock, msg, fd) < 0)
		die("%s:%u: gone", e->path, e->id);
	rc = hear(e, &heard);
	if (rc != answer)
		die("%s:%u: answered %d to message %u", e->path, e->id, rc, msg->type);
}

static void rings_make(struct end *e)
{
	memif_shm_init(&e->shm, -1);
	if (memif_shm_create(&e->shm, 1, 1, (uint8_t)__builtin_ctz(opt.ring), 2048) < 0)
		die("shared memory: %s", strerror(errno));
	e->c2s = memif_shm_own_ring(&e->shm, true, 0);
	e->s2c = memif_shm_own_ring(&e->shm, false, 0);
	e->rx_buffers = e->shm.region[0].base + memif_shm_own_buffer_offset(&e->shm, false, 0);
	e->s2c->flags = MEMIF_RING_MASK_INT; /* we poll */
	e->sample_in = SAMPLE;
}

static void end_handshake(struct end *e)
{
	struct memif_msg msg = {.type = MEMIF_MSG_INIT, .init = {.version = MEMIF_VERSION, .id = e->id, .name = "memif_source"}};

	tell(e, &msg, -1, MEMIF_MSG_ACK);
	msg = (struct memif_msg){.type = MEMIF_MSG_ADD_REGION, .add_region.size = e->shm.region[0].size};
	tell(e, &msg, e->shm.fd, MEMIF_MSG_ACK);
	if (e->frames) {
		msg.add_region.index = 1;
		msg.add_region.size = e->frames_bytes;
		tell(e, &msg, e->frames_fd, MEMIF_MSG_ACK);
	}
	for (unsigned c2s = 2; c2s-- > 0;) {
		e->bell[c2s] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		msg = (struct memif_msg){.type = MEMIF_MSG_ADD_RING};
		msg.add_ring.flags = c2s ? MEMIF_ADD_RING_C2S : 0;
		msg.add_ring.offset = memif_shm_own_ring_offset(&e->shm, c2s, 0);
		msg.add_ring.log2_size = e->shm.log2_size;
		tell(e, &msg, e->bell[c2s], MEMIF_MSG_ACK);
	}
	msg = (struct memif_msg){.type = MEMIF_MSG_CONNECT, .connect.if_name = "memif_source"};
	tell(e, &msg, -1, MEMIF_MSG_CONNECTED);
}

static void end_connect(struct end *e, uint64_t until)
{
	struct memif_msg hello;

	for (;;) {
		e->sock = memif_sock_connect(e->path);
		if (e->sock >= 0 && hear(e, &hello) == MEMIF_MSG_HELLO)
			break;
		if (e->sock >= 0)
			close(e->sock);
		if (tsc() > until)
			die("%s: %s", e->path, strerror(e->sock < 0 ? -e->sock : ECONNRESET));
		usleep(20000);
	}
	end_handshake(e);
	/* All buffers offered. */
	__atomic_store_n(&e->s2c->head, (uint16_t)opt.ring, __ATOMIC_RELEASE);
}

/* --- sending and receiving ----------------------------------------------------------------------------------------- */

static inline uint32_t send_room(const struct end *e)
{
	return opt.ring - (uint16_t)(e->head - __atomic_load_n(&e->c2s->tail, __ATOMIC_ACQUIRE));
}

static inline void slot_set(struct end *e, uint16_t slot, uint32_t frame)
{
	union memif_desc d = {.region = 1, .length = opt.size, .offset = frame * e->stride};

	e->c2s->desc[slot & (opt.ring - 1)] = d;
}

static inline void publish(struct end *e, uint32_t n)
{
	e->head = (uint16_t)(e->head + n);
	e->sent += n;
	__atomic_store_n(&e->c2s->head, e->head, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&e->c2s->flags, __ATOMIC_RELAXED) & MEMIF_RING_MASK_INT) && eventfd_write(e->bell[1], 1) < 0)
		die("eventfd: %s", strerror(errno));
}

/* Is what lies in this slot a frame for this end? Its descriptor is offered again whole, whatever it held. */
static void look_at(struct end *e, uint16_t slot, bool stamped)
{
	uint16_t i = slot & (opt.ring - 1);
	const uint8_t *f = e->rx_buffers + (uint64_t)i * e->shm.buffer_stride;
	union memif_desc d = e->s2c->desc[i];

	if (d.length != opt.size || d.flags || !frame_is_for(f, e->pair, e->side)) {
		wrong++;
		e->s2c->desc[i].flags = 0;
		e->s2c->desc[i].length = e->shm.buffer_size;
		return;
	}
	if (stamped)
		frame_age(f);
}

/* Frames that have come and were not taken. */
static inline uint16_t arrived(const struct end *e)
{
	return (uint16_t)(__atomic_load_n(&e->s2c->tail, __ATOMIC_ACQUIRE) - e->taken);
}

/* Offer again the buffers of all that was taken. */
static inline void give_back(struct end *e)
{
	__atomic_store_n(&e->s2c->head, (uint16_t)(e->taken + opt.ring), __ATOMIC_RELEASE);
}

/* For the ceiling: nobody copies, so what is looked at is there from the start. */
static void received_already(struct end *e)
{
	for (uint32_t i = 0; i < opt.ring; i++) {
		frame_write(e->rx_buffers + (uint64_t)i * e->shm.buffer_stride, e->pair, !e->side, e->side, 0, 0, 0);
		e->s2c->desc[i].length = opt.size;
	}
	e->c2s->flags = MEMIF_RING_MASK_INT;
	e->s2c->head = (uint16_t)opt.ring;
}

/* Without a switch: what one end sends appears at the other, uncopied. */
static void short_circuit(struct end *from, struct end *to)
{
	uint16_t waiting = (uint16_t)(from->head - from->c2s->tail), offered = (uint16_t)(to->s2c->head - to->s2c->tail);
	uint16_t n = waiting < offered ? waiting : offered;

	from->c2s->tail = (uint16_t)(from->c2s->tail + n);
	to->s2c->tail = (uint16_t)(to->s2c->tail + n);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MEMIF_END_H
#define BENCH_MEMIF_END_H

/*
 * One end of the traffic source: a memif client by hand, and the frames that it sends. See memif_source.c, whose only part this is.
 *
 * Frames are written once, into a region of their own (1; the rings and the buffers to receive in are in region 0), and stay in
 * place: while there are no more flows than slots, each slot keeps its frame, and sending is one store of the ring's index;
 * with more flows, sending writes descriptors and still no frame. Received buffers are offered again as the switch left them,
 * since the next frame is as long as the last.
 *
 * Each direction of a pair has `flows` flows between `macs` addresses on either side: flow i goes from address i % macs to one
 * of the other side's, in an order that visits all. Each frame is Ethernet, IPv4 and UDP with right checksums, untagged. Frames
 * that carry their time have no UDP checksum, which IPv4 allows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include "memif/memif_proto.h"
#include "memif/memif_shm.h"
#include "memif/memif_sock.h"

#define MAX_ENDS  4096
#define SAMPLE	  61 /* a prime, so that samples walk over all slots */
#define MIN_FRAME 60 /* Ethernet's, without FCS: room for headers, mark and time */
#define HEADERS	  42 /* Ethernet, IPv4, UDP */
#define MARK	  0x51ce51ceu

enum mode { MODE_MAX, MODE_RATE, MODE_PING, MODE_CEILING };

static struct {
	enum mode mode;
	double rate_pps, seconds, warmup, wait_s;
	uint32_t size, flows, macs, ring;
	int core;
	bool learn, one_way;
} opt = {.seconds = 5, .warmup = 1, .wait_s = 10, .size = 64, .flows = 1, .macs = 1, .ring = 1024, .core = -1, .learn = true};

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

static struct end *ends;
static unsigned n_ends, n_idle_ends;
static struct end *idle_ends;
static uint64_t wrong;
static double tsc_hz;

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "memif_source: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

static inline uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static void tsc_calibrate(void)
{
	struct timespec a, b;
	uint64_t start = tsc(), end;

	clock_gettime(CLOCK_MONOTONIC, &a);
	do {
		clock_gettime(CLOCK_MONOTONIC, &b);
		end = tsc();
	} while ((b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec) < 5e7);
	tsc_hz = (double)(end - start) / ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
}

/* Latencies: bins of 10 ns up to 100 us, of 1 us up to 100 ms, and the rest. */
#define FINE   10000
#define COARSE 100000

static struct {
	uint64_t bin[FINE + COARSE + 1], n;
	double max_us;
} latency;

static void latency_add(uint64_t ticks)
{
	double us = (double)ticks / tsc_hz * 1e6;

	latency.n++;
	if (us > latency.max_us)
		latency.max_us = us;
	if (us < FINE / 100.0)
		latency.bin[(unsigned)(us * 100)]++;
	else
		latency.bin[us < COARSE ? FINE + (unsigned)us : FINE + COARSE]++;
}

static double latency_quantile(double q)
{
	uint64_t upto = (uint64_t)(q * (double)latency.n), seen = 0;

	for (unsigned i = 0; i < FINE + COARSE; i++) {
		seen += latency.bin[i];
		if (seen > upto)
			return i < FINE ? i / 100.0 : i - FINE;
	}
	return latency.max_us;
}

/* --- frames -------------------------------------------------------------------------------------------------------- */

/* Address n of a side of a pair: locally administered, and telling by itself whose it is. */
static void mac_write(uint8_t mac[6], unsigned side, unsigned pair, uint32_t n)
{
	mac[0] = 0x02;
	mac[1] = (uint8_t)(0xa0 + side);
	mac[2] = (uint8_t)pair;
	mac[3] = (uint8_t)(n >> 16);
	mac[4] = (uint8_t)(n >> 8);
	mac[5] = (uint8_t)n;
}

static uint16_t checksum(const uint8_t *data, unsigned len, uint32_t sum)
{
	for (unsigned i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	if (len & 1)
		sum += (uint32_t)data[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* A frame of flow `flow` from address `src` of this side to `dst` of side `to`. */
static void frame_write(uint8_t *f, const struct end *e, unsigned to, uint32_t src, uint32_t dst, uint32_t flow)
{
	uint8_t *ip = f + 14, *udp = f + 34;
	uint16_t ip_len = (uint16_t)(opt.size - 14), udp_len = (uint16_t)(opt.size - 34), sum;

	memset(f, 0, opt.size);
	mac_write(f, to, e->pair, dst);
	mac_write(f + 6, e->side, e->pair, src);
	put16(f + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, ip_len);
	ip[8] = 64;
	ip[9] = 17;
	ip[12] = ip[16] = 10;
	ip[13] = (uint8_t)(0x40 * e->side + (src >> 16));
	put16(ip + 14, (uint16_t)src);
	ip[17] = (uint8_t)(0x40 * to + (dst >> 16));
	put16(ip + 18, (uint16_t)dst);
	put16(ip + 10, checksum(ip, 20, 0));
	put16(udp, (uint16_t)(1024 + flow % 60000));
	put16(udp + 2, (uint16_t)(5000 + flow / 60000));
	put16(udp + 4, udp_len);
	if (opt.mode == MODE_RATE || opt.mode == MODE_PING) {
		/* The time changes with each sending: no UDP checksum, which IPv4 allows. */
		memcpy(f + HEADERS, &(uint32_t){MARK}, 4);
		return;
	}
	sum = checksum(udp, udp_len, (uint32_t)checksum(ip + 12, 8, 17u + udp_len) ^ 0xffff);
	put16(udp + 6, sum ? sum : 0xffff);
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
	for (uint32_t i = 0; i < e->n_frames; i++) {
		uint32_t flow = i % opt.flows;

		frame_write(e->frames + (uint64_t)i * e->stride, e, !e->side, flow % opt.macs,
			    (flow * 7u + flow / opt.macs) % opt.macs, flow);
	}
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

/* Offer up to n frames, those that come next. */
static inline uint32_t send_frames(struct end *e, uint32_t n, bool stamp)
{
	uint32_t room = send_room(e);

	if (n > room)
		n = room;
	if (n == 0)
		return 0;
	if (!e->fixed || stamp) {
		uint64_t now = stamp ? tsc() : 0;

		for (uint32_t i = 0; i < n; i++) {
			if (stamp)
				memcpy(e->frames + (uint64_t)e->next_frame * e->stride + HEADERS + 4, &now, 8);
			if (!e->fixed)
				slot_set(e, (uint16_t)(e->head + i), e->next_frame);
			if (++e->next_frame == e->n_frames)
				e->next_frame = 0;
		}
	}
	publish(e, n);
	return n;
}

/* Is what lies in this slot a frame for this end? Its descriptor is offered again whole, whatever it held. */
static void look_at(struct end *e, uint16_t slot, bool stamped)
{
	uint16_t i = slot & (opt.ring - 1);
	const uint8_t *f = e->rx_buffers + (uint64_t)i * e->shm.buffer_stride;
	union memif_desc d = e->s2c->desc[i];
	uint32_t mark;

	if (d.length != opt.size || d.flags || f[0] != 0x02 || f[1] != 0xa0 + e->side || f[2] != (uint8_t)e->pair ||
	    f[7] != 0xa0 + !e->side) {
		wrong++;
		e->s2c->desc[i].flags = 0;
		e->s2c->desc[i].length = e->shm.buffer_size;
		return;
	}
	if (!stamped)
		return;
	memcpy(&mark, f + HEADERS, 4);
	if (mark == MARK) {
		uint64_t then;

		memcpy(&then, f + HEADERS + 4, 8);
		latency_add(tsc() - then);
	}
}

static inline uint32_t receive_frames(struct end *e, bool stamped)
{
	uint16_t n = (uint16_t)(__atomic_load_n(&e->s2c->tail, __ATOMIC_ACQUIRE) - e->taken);

	if (n == 0)
		return 0;
	if (stamped) {
		for (uint16_t i = 0; i < n; i++)
			look_at(e, (uint16_t)(e->taken + i), true);
	} else if (e->sample_in <= n) {
		look_at(e, (uint16_t)(e->taken + e->sample_in - 1), false);
		e->sample_in += SAMPLE;
		while (e->sample_in <= n) /* more than one in a big batch */
			e->sample_in += SAMPLE;
		e->sample_in -= n;
	} else {
		e->sample_in -= n;
	}
	e->taken = (uint16_t)(e->taken + n);
	e->received += n;
	__atomic_store_n(&e->s2c->head, (uint16_t)(e->taken + opt.ring), __ATOMIC_RELEASE);
	return n;
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

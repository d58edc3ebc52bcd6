/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

/*
 * What the traffic sources have in common, whatever they send by: options, time, latencies, and the frames themselves. The
 * program that includes it is one file and defines SOURCE_NAME. What is done with them, phase by phase: phases.h.
 *
 * Each direction of a pair has `flows` flows between `macs` addresses on either side: flow i goes from address i % macs to one
 * of the other side's, in an order that visits all. Each frame is Ethernet, IPv4 and UDP with right checksums, untagged. Frames
 * that carry their time have no UDP checksum, which IPv4 allows.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static uint64_t wrong;
static double tsc_hz;

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, SOURCE_NAME ": ");
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

/* A frame of flow `flow` of a pair, from address `src` of side `from` to `dst` of side `to`. */
static void frame_write(uint8_t *f, unsigned pair, unsigned from, unsigned to, uint32_t src, uint32_t dst, uint32_t flow)
{
	uint8_t *ip = f + 14, *udp = f + 34;
	uint16_t ip_len = (uint16_t)(opt.size - 14), udp_len = (uint16_t)(opt.size - 34), sum;

	memset(f, 0, opt.size);
	mac_write(f, to, pair, dst);
	mac_write(f + 6, from, pair, src);
	put16(f + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, ip_len);
	ip[8] = 64;
	ip[9] = 17;
	ip[12] = ip[16] = 10;
	ip[13] = (uint8_t)(0x40 * from + (src >> 16));
	put16(ip + 14, (uint16_t)src);
	ip[17] = (uint8_t)(0x40 * to + (dst >> 16));
	put16(ip + 18, (uint16_t)dst);
	put16(ip + 10, checksum(ip, 20, 0));
	put16(udp, (uint16_t)(1024 + flow % 60000));
	put16(udp + 2, (uint16_t)(5000 + flow / 60000));
	put16(udp + 4, udp_len);
	if (opt.mode == MODE_RATE) {
		/* The time changes with each sending: no UDP checksum, which IPv4 allows. */
		memcpy(f + HEADERS, &(uint32_t){MARK}, 4);
		return;
	}
	sum = checksum(udp, udp_len, (uint32_t)checksum(ip + 12, 8, 17u + udp_len) ^ 0xffff);
	put16(udp + 6, sum ? sum : 0xffff);
}

/* Frame i of a side, in the order in which flows are sent. */
static void frame_write_nth(uint8_t *f, unsigned pair, unsigned side, uint32_t i)
{
	uint32_t flow = i % opt.flows;

	frame_write(f, pair, side, !side, flow % opt.macs, (flow * 7u + flow / opt.macs) % opt.macs, flow);
}

/* Is this a frame for that side? */
static inline bool frame_is_for(const uint8_t *f, unsigned pair, unsigned side)
{
	return f[0] == 0x02 && f[1] == 0xa0 + side && f[2] == (uint8_t)pair && f[7] == 0xa0 + !side;
}

static inline void frame_stamp(uint8_t *f, uint64_t now)
{
	memcpy(f + HEADERS + 4, &now, 8);
}

/* Count the age of a frame that carries its time. */
static inline void frame_age(const uint8_t *f)
{
	uint64_t then;
	uint32_t mark;

	memcpy(&mark, f + HEADERS, 4);
	if (mark != MARK)
		return;
	memcpy(&then, f + HEADERS + 4, 8);
	latency_add(tsc() - then);
}

#endif

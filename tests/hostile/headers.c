/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies in the header before a frame: checksums and segments outside of it, types that do not exist, sizes that contradict the
 * packet. They go to another port, so that whoever completes what was asked for gets them. And thousands that are made by chance.
 */
#include <errno.h>
#include <string.h>

#include "hostile.h"

#define N_RANDOM   3000
#define CONSUME_MS 15000

enum packet { NOISE, IPV4_TCP, IPV4_UDP, IPV6_TCP, IPV4_CUT, IPV4_OPTIONS };

struct header_lie {
	struct virtio_net_hdr_v1 hdr;
	enum packet packet;
	uint32_t len;
};

static void packet_fill(uint8_t *f, uint32_t len, enum packet packet)
{
	uint8_t *ip = f + 14;

	frame_fill(f, len, true);
	if (packet == NOISE || len < 60)
		return;
	f[12] = packet == IPV6_TCP ? 0x86 : 0x08;
	f[13] = packet == IPV6_TCP ? 0xdd : 0x00;
	memset(ip, 0, 40);
	if (packet == IPV6_TCP) {
		ip[0] = 0x60;
		ip[4] = (uint8_t)((len - 54) >> 8);
		ip[5] = (uint8_t)(len - 54);
		ip[6] = 6;
		ip[7] = 64;
		if (len > 54 + 13)
			ip[40 + 12] = 0x50;
		return;
	}
	ip[0] = packet == IPV4_OPTIONS ? 0x4f : 0x45;
	/* IPV4_CUT claims more than there is. */
	ip[2] = (uint8_t)((len - 14) >> 8);
	ip[3] = (uint8_t)(len - 14);
	if (packet == IPV4_CUT)
		ip[2] = 0xff;
	ip[8] = 64;
	ip[9] = packet == IPV4_UDP ? 17 : 6;
	ip[20 + 12] = 0x50;
}

static int send_lie(struct hostile *h)
{
	const struct header_lie *lie = current_case->lie;
	uint8_t f[HOSTILE_BUFFER];
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	packet_fill(f, lie->len, lie->packet);
	for (unsigned i = 0; i < 20 && !rc; i++) {
		rc = front_send(&h->f, 1, &lie->hdr, f, lie->len);
		if (!rc && !consumed(h, 1, CONSUME_MS))
			rc = gone(h) ? -ECONNRESET : -ETIMEDOUT;
	}
	return rc ? rc : send_honest(h, 5);
}

/* Anything before anything, sent to ourselves: of these the switch looks at the header and sends nothing on, but for each 16th. */
static int by_chance(struct hostile *h)
{
	uint8_t f[HOSTILE_BUFFER];
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	for (unsigned i = 0; i < N_RANDOM && !rc; i++) {
		struct virtio_net_hdr_v1 hdr = {.flags = (uint8_t)(rnd() % 4),
						.gso_type = (uint8_t)(rnd() % 8),
						.hdr_len = (uint16_t)(rnd() % 128),
						.gso_size = (uint16_t)rnd(),
						.csum_start = (uint16_t)(rnd() % 80),
						.csum_offset = (uint16_t)(rnd() % 24),
						.num_buffers = (uint16_t)rnd()};
		uint32_t len = 14 + (uint32_t)(rnd() % (sizeof(f) - FRONT_HDR - 14));

		if (i % 5 == 0) {
			hdr.gso_type = (uint8_t)rnd();
			hdr.csum_start = (uint16_t)rnd();
			hdr.csum_offset = (uint16_t)rnd();
			hdr.hdr_len = (uint16_t)rnd();
		}
		packet_fill(f, len, (enum packet)(rnd() % (IPV4_OPTIONS + 1)));
		for (unsigned n = 0; n < 4; n++)
			f[14 + rnd() % (len - 13 > 60 ? 60 : len - 13)] = (uint8_t)rnd();
		if (i % 16)
			memcpy(f, f + 6, 6);
		rc = front_send(&h->f, 1, &hdr, f, len);
		if (rc == -EAGAIN)
			rc = consumed(h, 1, CONSUME_MS) ? front_send(&h->f, 1, &hdr, f, len) : -ETIMEDOUT;
	}
	if (!rc && !consumed(h, 1, CONSUME_MS))
		rc = gone(h) ? -ECONNRESET : -ETIMEDOUT;
	return rc ? rc : send_honest(h, 5);
}

#define LIE(name, drop, packet, len, ...)                                        \
	{                                                                        \
		"header-" name, STAY, drop, send_lie, &(const struct header_lie) \
		{                                                                \
			{__VA_ARGS__}, packet, len                               \
		}                                                                \
	}
#define CSUM	VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCP4	VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6	VIRTIO_NET_HDR_GSO_TCPV6
#define REFUSED "malformed|tx-offload"

const struct hostile_case header_cases[] = {
	LIE("csum-start-outside", REFUSED, IPV4_UDP, 100, .flags = CSUM, .csum_start = 100, .csum_offset = 6),
	LIE("csum-start-far-outside", REFUSED, IPV4_UDP, 100, .flags = CSUM, .csum_start = 0xffff, .csum_offset = 6),
	LIE("csum-field-outside", REFUSED, IPV4_UDP, 100, .flags = CSUM, .csum_start = 34, .csum_offset = 66),
	LIE("csum-sum-wraps", REFUSED, IPV4_UDP, 100, .flags = CSUM, .csum_start = 34, .csum_offset = 0xffff),
	LIE("csum-last-byte", REFUSED, IPV4_UDP, 100, .flags = CSUM, .csum_start = 34, .csum_offset = 65),
	LIE("gso-unknown", REFUSED, IPV4_TCP, 1500, .flags = CSUM, .gso_type = 0x42, .gso_size = 500, .hdr_len = 54,
	    .csum_start = 34, .csum_offset = 16),
	LIE("gso-of-0", REFUSED, IPV4_TCP, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 0, .hdr_len = 54, .csum_start = 34,
	    .csum_offset = 16),
	/* Linux takes it, too: the checksum of each segment is made anew. */
	LIE("gso-without-csum", NULL, IPV4_TCP, 1500, .gso_type = TCP4, .gso_size = 500, .hdr_len = 54),
	LIE("gso-of-noise", REFUSED, NOISE, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 500, .hdr_len = 54, .csum_start = 34,
	    .csum_offset = 16),
	LIE("gso-6-of-4", REFUSED, IPV4_TCP, 1500, .flags = CSUM, .gso_type = TCP6, .gso_size = 500, .hdr_len = 74,
	    .csum_start = 54, .csum_offset = 16),
	LIE("gso-4-of-6", REFUSED, IPV6_TCP, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 500, .hdr_len = 54,
	    .csum_start = 34, .csum_offset = 16),
	LIE("gso-tcp-of-udp", REFUSED, IPV4_UDP, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 500, .hdr_len = 54,
	    .csum_start = 34, .csum_offset = 16),
	LIE("gso-headers-end-outside", REFUSED, IPV4_TCP, 60, .flags = CSUM, .gso_type = TCP4, .gso_size = 500, .hdr_len = 2000,
	    .csum_start = 50, .csum_offset = 8),
	/* 1446 segments where 64 KiB of payload make 44: lawful, and no small frame may become thousands for it. */
	LIE("gso-of-1", NULL, IPV4_TCP, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 1, .hdr_len = 54, .csum_start = 34,
	    .csum_offset = 16),
	LIE("gso-ip-claims-more", NULL, IPV4_CUT, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 500, .hdr_len = 54,
	    .csum_start = 34, .csum_offset = 16),
	LIE("gso-options-into-tcp", NULL, IPV4_OPTIONS, 1500, .flags = CSUM, .gso_type = TCP4, .gso_size = 500, .hdr_len = 54,
	    .csum_start = 34, .csum_offset = 16),
	{"header-by-chance", STAY, NULL, by_chance, NULL},
	{.name = NULL},
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies in the ring that the guest receives by. The frames come from elsewhere: somebody must broadcast while these run. What the
 * back end cannot deliver it drops; it must neither wait, nor write anywhere but into the guest's own writable buffers.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "hostile.h"

#define RACE_S 1.0
#define GUARD  0xc3
#define BIG    8192

#define BYTES_RING 64 /* less than a header and a frame of 60 bytes */

struct rx {
	struct hostile *h;
	struct front_ring *r;
	uint8_t *memory; /* BIG bytes of guard */
	uint64_t gpa, region_end;
};

static int rx_open_of(struct hostile *h, struct rx *x, uint32_t ring)
{
	struct front_region *m;
	int rc = honest_negotiated(h, &(struct front_conf){.ring = ring});

	if (rc)
		return rc;
	m = &h->f.region[1];
	*x = (struct rx){.h = h, .r = &h->f.ring[0]};
	x->memory = front_alloc(&h->f, 1, BIG, 64);
	if (!x->memory)
		return -ENOMEM;
	memset(x->memory, GUARD, BIG);
	x->gpa = front_gpa(&h->f, x->memory);
	x->region_end = m->gpa + m->size;
	rc = front_send_memory(&h->f);
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_send_ring(&h->f, i);
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_enable(&h->f, i, true);
	return rc;
}

static int rx_open(struct hostile *h, struct rx *x)
{
	return rx_open_of(h, x, HOSTILE_RING);
}

/* Offer every slot, whose descriptors the caller has written. */
static void offer(struct rx *x)
{
	uint16_t old = x->r->next;

	for (uint32_t i = 0; i < x->r->size; i++)
		front_offer(x->r, (uint16_t)i);
	front_publish(x->r, old);
	front_kick(x->r);
}

/* And let frames come. */
static void offer_all(struct rx *x)
{
	offer(x);
	let_frames_come(x->h);
}

static int guard_whole(struct rx *x, uint32_t from)
{
	for (uint32_t i = from; i < BIG; i++) {
		if (x->memory[i] != GUARD) {
			snprintf(x->h->why, sizeof(x->h->why), "byte %u was written, which no descriptor offers", i);
			return -EPROTO;
		}
	}
	return 0;
}

/* --- one descriptor in every slot ------------------------------------------------------------------------------------------ */

static int one_descriptor(struct hostile *h)
{
	const struct descriptor_lie *lie = current_case->lie;
	struct rx x;
	int rc = rx_open(h, &x);

	if (rc)
		return rc;
	for (uint16_t i = 0; i < HOSTILE_RING; i++)
		lie_write(h, x.r, i, lie, x.gpa);
	offer_all(&x);
	return guard_whole(&x, lie->base == AT_BUFFER && lie->flags & VRING_DESC_F_WRITE ? lie->len : 0);
}

/* --- chains ---------------------------------------------------------------------------------------------------------------- */

static int loops(struct hostile *h)
{
	struct rx x;
	int rc = rx_open(h, &x);

	for (uint16_t i = 0; i < HOSTILE_RING && !rc; i++)
		front_desc(x.r, i, x.gpa, i % 2 ? 0 : 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i ^ 1);
	if (!rc)
		offer_all(&x);
	return rc;
}

static int table_outside(struct hostile *h)
{
	struct rx x;
	int rc = rx_open(h, &x);

	for (uint16_t i = 0; i < HOSTILE_RING && !rc; i++)
		front_desc(x.r, i, i % 2 ? x.region_end - 16 : 0x1000, 64, VRING_DESC_F_INDIRECT, 0);
	if (!rc)
		offer_all(&x);
	return rc;
}

/* Readable where the header goes, writable behind it. */
static int header_read_only(struct hostile *h)
{
	struct rx x;
	int rc = rx_open(h, &x);

	for (uint16_t i = 0; i < HOSTILE_RING && !rc; i += 2) {
		front_desc(x.r, i, x.gpa, FRONT_HDR, VRING_DESC_F_NEXT, i + 1);
		front_desc(x.r, i + 1, x.gpa + 64, 2048, VRING_DESC_F_WRITE, 0);
	}
	if (rc)
		return rc;
	offer_all(&x);
	for (uint32_t i = 0; i < FRONT_HDR; i++) {
		if (x.memory[i] != GUARD) {
			snprintf(h->why, sizeof(h->why), "a read-only descriptor was written to");
			return -EPROTO;
		}
	}
	return 0;
}

/*
 * Buffers of one byte, and fewer of them than the shortest frame needs: if one could be had, the rest of the ring would be too little for
 * the next for good, and that is tx-full.
 */
static int buffers_of_a_byte(struct hostile *h)
{
	struct rx x;
	int rc = rx_open_of(h, &x, BYTES_RING);

	for (uint16_t i = 0; i < BYTES_RING && !rc; i++)
		front_desc(x.r, i, x.gpa + i, 1, VRING_DESC_F_WRITE, 0);
	if (rc)
		return rc;
	offer_all(&x);
	return guard_whole(&x, BYTES_RING);
}

static int heads_outside(struct hostile *h)
{
	struct rx x;
	int rc = rx_open(h, &x);

	if (rc)
		return rc;
	for (unsigned i = 0; i < HOSTILE_RING; i++)
		front_offer(x.r, (uint16_t)(HOSTILE_RING + 1000 * i));
	front_publish(x.r, 0);
	front_kick(x.r);
	let_frames_come(h);
	return 0;
}

static int avail_jumps(struct hostile *h)
{
	struct rx x;
	int rc = rx_open(h, &x);

	for (uint16_t i = 0; i < HOSTILE_RING && !rc; i++)
		front_desc(x.r, i, x.gpa, 2048, VRING_DESC_F_WRITE, 0);
	if (rc)
		return rc;
	offer(&x);
	for (unsigned i = 0; i < 6; i++) {
		x.r->next = (uint16_t)(x.r->next + (i % 2 ? 20000 : -5000));
		front_publish(x.r, 0);
		front_kick(x.r);
		pause_ms(20);
	}
	return guard_whole(&x, 2048);
}

/* --- nobody takes anything ------------------------------------------------------------------------------------------------- */

/* All good, and then never again. */
static int stalled(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (!rc)
		let_frames_come(h);
	return rc ? rc : send_honest(h, 5); /* the other direction is no worse for it */
}

static int no_buffers(struct hostile *h)
{
	struct rx x;
	int rc = rx_open(h, &x);

	if (!rc)
		let_frames_come(h);
	return rc;
}

/* Calls are asked for, and nobody reads them. (An eventfd that is full: vrings.c.) */
static int calls_unread(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (rc)
		return rc;
	for (unsigned i = 0; i < 2; i++) {
		rc = front_tell_u64(&h->f, FRONT_SET_VRING_CALL, i, h->f.ring[i].call);
		front_want_calls(&h->f.ring[i], true);
	}
	return rc ? rc : send_honest(h, 100);
}

/* --- changed while they are filled ----------------------------------------------------------------------------------------- */

struct race {
	struct rx x;
	bool stop;
};

static void *scribble(void *arg)
{
	struct race *race = arg;
	volatile struct vring_desc *d = race->x.r->desc;
	static const uint32_t lens[] = {2048, 0, 0xffffffffu, 11, 4096, 1};
	static const uint16_t flags[] = {VRING_DESC_F_WRITE, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, VRING_DESC_F_INDIRECT};

	for (uint32_t i = 0; !__atomic_load_n(&race->stop, __ATOMIC_RELAXED); i++) {
		unsigned slot = i % HOSTILE_RING;

		d[slot].addr = i % 3 ? race->x.gpa : race->x.region_end - 100;
		d[slot].len = lens[i % 6];
		d[slot].flags = flags[i / 7 % 4];
		d[slot].next = (uint16_t)(i * 31);
		race->x.r->avail->ring[slot] = (uint16_t)(i % 11 ? slot : i);
	}
	return NULL;
}

static int race(struct hostile *h)
{
	struct race race = {0};
	pthread_t thread;
	double end;
	int rc = rx_open(h, &race.x);

	if (!rc)
		rc = -pthread_create(&thread, NULL, scribble, &race);
	if (rc)
		return rc;
	end = seconds_now() + RACE_S;
	while (seconds_now() < end && !gone(h)) {
		race.x.r->next = (uint16_t)(__atomic_load_n(&race.x.r->used->idx, __ATOMIC_RELAXED) + HOSTILE_RING);
		front_publish(race.x.r, 0);
		front_kick(race.x.r);
		pause_ms(1);
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return rc;
}

#define ONE(name, drop, ...)                                                           \
	{                                                                              \
		"rx-" name, STAY, drop, one_descriptor, &(const struct descriptor_lie) \
		{                                                                      \
			__VA_ARGS__                                                    \
		}                                                                      \
	}
#define W   VRING_DESC_F_WRITE
#define BAD "bad-descriptor"

const struct hostile_case receive_cases[] = {
	ONE("addr-zero", BAD, AT_ABSOLUTE, 0, 2048, W, 0),
	ONE("addr-max", BAD, AT_ABSOLUTE, ~0ull, 2048, W, 0),
	ONE("addr-wraps-to-zero", BAD, AT_ABSOLUTE, ~0ull - 7, 2048, W, 0),
	ONE("addr-over-the-end", BAD, AT_END, ~0ull - 20, 2048, W, 0),
	ONE("addr-behind-region", BAD, AT_END, 0, 2048, W, 0),
	ONE("addr-and-len-wrap-into-region", BAD, AT_START, 1ull << 63, 0xffffffffu, W, 0),
	ONE("len-0", "truncated", AT_BUFFER, 0, 0, W, 0),
	ONE("len-4-part-of-a-header", "truncated|tx-full", AT_BUFFER, 0, 4, W, 0),
	ONE("len-4g-less-1", BAD, AT_BUFFER, 0, 0xffffffffu, W, 0),
	ONE("read-only", BAD, AT_BUFFER, 0, 2048, 0, 0),
	{"rx-loops", STAY, BAD, loops, NULL},
	{"rx-table-outside", STAY, BAD, table_outside, NULL},
	{"rx-header-read-only", STAY, BAD, header_read_only, NULL},
	{"rx-buffers-of-a-byte", STAY, "truncated", buffers_of_a_byte, NULL},
	{"rx-heads-outside", STAY, BAD, heads_outside, NULL},
	{"rx-avail-jumps", CLOSE, "impossible-index", avail_jumps, NULL},
	{"rx-stalled", STAY, "tx-full", stalled, NULL},
	{"rx-no-buffers", STAY, "tx-full", no_buffers, NULL},
	{"rx-calls-unread", STAY, NULL, calls_unread, NULL},
	{"rx-race", MAY, NULL, race, NULL},
	{.name = NULL},
};

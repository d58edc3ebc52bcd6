/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies in the ring that the guest sends by. Most are one descriptor or chain, written by a function of its own and offered many
 * times, with honest frames before and after: what the lie costs is its own frame, and the ring goes on.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "hostile.h"

#define TIMES	    40
#define CONSUME_MS  15000
#define RACE_S	    1.0
#define HUGE_RING   32768
#define TABLE_SLOTS 64

/* A good buffer with a frame in it, and a table, to make lies around. */
struct bait {
	struct hostile *h;
	struct front_ring *r;
	uint8_t *buffer;
	uint64_t gpa, region_end;
	struct vring_desc *table;
	uint64_t table_gpa;
};

static int bait_make(struct hostile *h, struct bait *b)
{
	struct front_region *m = &h->f.region[1];

	*b = (struct bait){.h = h, .r = &h->f.ring[1]};
	b->buffer = front_alloc(&h->f, 1, 1 << 17, 64);
	b->table = front_alloc(&h->f, 1, TABLE_SLOTS * sizeof(*b->table), 16);
	if (!b->buffer || !b->table)
		return -ENOMEM;
	frame_fill(b->buffer + FRONT_HDR, 1024, false);
	b->gpa = front_gpa(&h->f, b->buffer);
	b->table_gpa = front_gpa(&h->f, b->table);
	b->region_end = m->gpa + m->size;
	return 0;
}

/* --- chains and tables ----------------------------------------------------------------------------------------------------- */

static void loop_of(struct bait *b, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		front_desc(b->r, i, b->gpa, 64, VRING_DESC_F_NEXT, (uint16_t)((i + 1) % n));
}

static void loop_self(struct bait *b)
{
	loop_of(b, 1);
}

static void loop_pair(struct bait *b)
{
	loop_of(b, 2);
}

static void loop_all(struct bait *b)
{
	loop_of(b, HOSTILE_RING);
}

static void loop_behind_header(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, FRONT_HDR, VRING_DESC_F_NEXT, 1);
	front_desc(b->r, 1, b->gpa + FRONT_HDR, 64, VRING_DESC_F_NEXT, 2);
	front_desc(b->r, 2, b->gpa + FRONT_HDR, 64, VRING_DESC_F_NEXT, 1);
}

static void loop_of_nothing(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, 0, VRING_DESC_F_NEXT, 1);
	front_desc(b->r, 1, b->gpa, 0, VRING_DESC_F_NEXT, 0);
}

static void next_outside(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, 64, VRING_DESC_F_NEXT, HOSTILE_RING);
}

static void next_far_outside(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, 64, VRING_DESC_F_NEXT, 0xffff);
}

static void second_outside(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, FRONT_HDR, VRING_DESC_F_NEXT, 1);
	front_desc(b->r, 1, b->region_end - 10, 64, 0, 0);
}

static void second_written(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, FRONT_HDR + 64, VRING_DESC_F_NEXT, 1);
	front_desc(b->r, 1, b->gpa + 1024, 64, VRING_DESC_F_WRITE, 0);
}

/* 100 descriptors of almost 4 GiB each: the sum overflows 32 bits many times. */
static void sum_overflows(struct bait *b)
{
	for (uint16_t i = 0; i < 100; i++)
		front_desc(b->r, i, b->gpa, 0xfffffff0u, i < 99 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
}

/* All in bounds, but no frame is that long. */
static void frame_too_long(struct bait *b)
{
	for (uint16_t i = 0; i < 100; i++)
		front_desc(b->r, i, b->gpa, 1 << 16, i < 99 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
}

static void indirect(struct bait *b, uint64_t gpa, uint32_t len, uint16_t more_flags)
{
	front_desc(b->r, 0, gpa, len, VRING_DESC_F_INDIRECT | more_flags, 1);
}

static void table_fill(struct bait *b, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		b->table[i] = (struct vring_desc){.addr = b->gpa + 16ull * i,
						  .len = 16,
						  .next = (uint16_t)(i + 1),
						  .flags = i + 1 < n ? VRING_DESC_F_NEXT : 0};
}

static void table_empty(struct bait *b)
{
	table_fill(b, 4);
	indirect(b, b->table_gpa, 0, 0);
}

static void table_of_a_half(struct bait *b)
{
	table_fill(b, 4);
	indirect(b, b->table_gpa, 4 * 16 + 8, 0);
}

static void table_outside(struct bait *b)
{
	indirect(b, 0x1000, 64, 0);
}

static void table_over_the_end(struct bait *b)
{
	indirect(b, b->region_end - 16, 64, 0);
}

static void table_wraps(struct bait *b)
{
	indirect(b, ~0ull - 15, 64, 0);
}

static void table_of_4_gib(struct bait *b)
{
	table_fill(b, 4);
	indirect(b, b->table_gpa, 0xfffffff0u, 0);
}

static void table_in_table(struct bait *b)
{
	b->table[0] = (struct vring_desc){.addr = b->table_gpa, .len = 64, .flags = VRING_DESC_F_INDIRECT};
	indirect(b, b->table_gpa, 64, 0);
}

static void table_and_next(struct bait *b)
{
	table_fill(b, 4);
	indirect(b, b->table_gpa, 64, VRING_DESC_F_NEXT);
	front_desc(b->r, 1, b->gpa, 64, 0, 0);
}

static void table_written(struct bait *b)
{
	for (uint16_t i = 0; i < 4; i++)
		b->table[i] = (struct vring_desc){.addr = b->gpa,
						  .len = 64,
						  .next = (uint16_t)(i + 1),
						  .flags = VRING_DESC_F_WRITE | (i < 3 ? VRING_DESC_F_NEXT : 0)};
	indirect(b, b->table_gpa, 64, 0);
}

static void table_loops(struct bait *b)
{
	table_fill(b, 4);
	b->table[3].flags = VRING_DESC_F_NEXT;
	b->table[3].next = 0;
	indirect(b, b->table_gpa, 64, 0);
}

static void table_next_outside(struct bait *b)
{
	table_fill(b, 4);
	b->table[1].next = 1000;
	indirect(b, b->table_gpa, 64, 0);
}

/* The table is its own payload: what is read as a frame are descriptors. Odd, and no lie: it may be forwarded. */
static void table_is_the_frame(struct bait *b)
{
	for (uint16_t i = 0; i < 4; i++)
		b->table[i] = (struct vring_desc){
			.addr = b->table_gpa, .len = 64, .next = (uint16_t)(i + 1), .flags = i < 3 ? VRING_DESC_F_NEXT : 0};
	indirect(b, b->table_gpa, 64, 0);
}

/* --- offering it ----------------------------------------------------------------------------------------------------------- */

static int offer_lie(struct hostile *h, void (*write)(struct bait *), const struct descriptor_lie *one, uint16_t head)
{
	struct bait b;
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (!rc)
		rc = bait_make(h, &b);
	if (!rc)
		rc = send_honest(h, 5);
	for (unsigned i = 0; i < TIMES && !rc; i++) {
		uint16_t old = b.r->next;

		if (one)
			lie_write(h, b.r, 0, one, b.gpa);
		else
			write(&b);
		front_offer(b.r, head);
		front_publish(b.r, old);
		/* A back end that has consumed it gives the descriptor back. One that has hung up is done with us. */
		if (!consumed(h, 1, CONSUME_MS)) {
			if (!gone(h)) {
				snprintf(h->why, sizeof(h->why), "chain %u was neither taken nor refused in %d ms", i, CONSUME_MS);
				rc = -ETIMEDOUT;
			}
			break;
		}
		b.r->taken = b.r->next; /* those used entries name a chain that is no buffer of front_send()'s */
	}
	if (!rc && current_case->fate == STAY)
		rc = send_honest(h, 5);
	return rc;
}

static int one_descriptor(struct hostile *h)
{
	return offer_lie(h, NULL, current_case->lie, 0);
}

/* ISO C has no function pointer in a `const void *`; a table has. */
struct chain_lie {
	void (*write)(struct bait *);
};

static int one_chain(struct hostile *h)
{
	return offer_lie(h, ((const struct chain_lie *)current_case->lie)->write, NULL, 0);
}

static void good(struct bait *b)
{
	front_desc(b->r, 0, b->gpa, FRONT_HDR + 64, 0, 0);
}

static int head_outside(struct hostile *h)
{
	return offer_lie(h, good, NULL, HOSTILE_RING);
}

static int head_far_outside(struct hostile *h)
{
	return offer_lie(h, good, NULL, 0xffff);
}

/* --- indices --------------------------------------------------------------------------------------------------------------- */

/* The avail index moves by `by` with one honest entry written. Then the ring is over, for one of us. */
static int avail_jumps(struct hostile *h, uint16_t by)
{
	struct bait b;
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (!rc)
		rc = bait_make(h, &b);
	if (!rc)
		rc = send_honest(h, 5);
	if (rc)
		return rc;
	good(&b);
	for (unsigned i = 0; i < HOSTILE_RING; i++)
		b.r->avail->ring[i] = 0;
	for (unsigned i = 0; i < 10 && !gone(h); i++) {
		b.r->next = (uint16_t)(b.r->next + by);
		front_publish(b.r, (uint16_t)(b.r->next - by));
		front_kick(b.r);
		pause_ms(10);
	}
	return 0;
}

static int avail_one_too_many(struct hostile *h)
{
	return avail_jumps(h, HOSTILE_RING + 1);
}

static int avail_far_ahead(struct hostile *h)
{
	return avail_jumps(h, 30000);
}

static int avail_back(struct hostile *h)
{
	return avail_jumps(h, (uint16_t)-3);
}

/* The used ring is the back end's to write. What we write there it must not believe. */
static int used_scribbled(struct hostile *h)
{
	struct bait b;
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (!rc)
		rc = bait_make(h, &b);
	for (unsigned i = 0; i < 200 && !rc; i++) {
		uint16_t old = b.r->next;

		good(&b);
		front_offer(b.r, 0);
		__atomic_store_n(&b.r->used->idx, (uint16_t)rnd(), __ATOMIC_RELAXED);
		front_publish(b.r, old);
		front_kick(b.r);
		if (i % 20 == 0)
			pause_ms(5);
	}
	return rc;
}

/* --- long chains ----------------------------------------------------------------------------------------------------------- */

/* A frame of 30,000 descriptors of one byte: bounded work, refused. */
static int chain_of_bytes(struct hostile *h)
{
	struct bait b;
	int rc = honest_open(h, &(struct front_conf){.ring = HUGE_RING, .region_mib = 32});

	if (!rc)
		rc = bait_make(h, &b);
	for (unsigned times = 0; times < 20 && !rc; times++) {
		uint16_t old = b.r->next;

		for (uint16_t i = 0; i < 30000; i++)
			front_desc(b.r, i, b.gpa + i, 1, i < 29999 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
		front_offer(b.r, 0);
		front_publish(b.r, old);
		if (!consumed(h, 1, CONSUME_MS)) {
			rc = gone(h) ? 0 : -ETIMEDOUT;
			break;
		}
	}
	return rc;
}

/* A whole ring of chains that loop: each may cost a bounded walk, and the walks of one burst are bounded too. */
static int ring_full_of_loops(struct hostile *h)
{
	struct bait b;
	int rc = honest_open(h, &(struct front_conf){.ring = HUGE_RING, .region_mib = 32});
	uint16_t old;

	if (!rc)
		rc = bait_make(h, &b);
	if (rc)
		return rc;
	old = b.r->next;
	for (uint32_t i = 0; i < HUGE_RING; i++) {
		front_desc(b.r, (uint16_t)i, b.gpa, 0, VRING_DESC_F_NEXT, (uint16_t)((i + 1) % HUGE_RING));
		front_offer(b.r, (uint16_t)i);
	}
	front_publish(b.r, old);
	if (!consumed(h, 1, CONSUME_MS) && !gone(h))
		rc = -ETIMEDOUT;
	return rc;
}

/* --- changed while they are read ------------------------------------------------------------------------------------------- */

struct race {
	struct bait b;
	bool stop;
};

/* Good and bad values in turn, as fast as memory takes them. */
static void *scribble(void *arg)
{
	struct race *race = arg;
	struct bait *b = &race->b;
	volatile struct vring_desc *d = b->r->desc;
	static const uint32_t lens[] = {FRONT_HDR + 64, 0, 0xffffffffu, 11, FRONT_HDR + 1500, 1 << 20};
	static const uint16_t flags[] = {0, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE, VRING_DESC_F_INDIRECT, 0, 0};

	for (uint32_t i = 0; !__atomic_load_n(&race->stop, __ATOMIC_RELAXED); i++) {
		unsigned slot = i % 16;

		d[slot].addr = i % 3 == 0 ? b->region_end - 20 : i % 7 == 0 ? ~0ull : b->gpa;
		d[slot].len = lens[i % 6];
		d[slot].flags = flags[i / 6 % 6];
		d[slot].next = (uint16_t)(i % 5 == 0 ? 0xfff0 : i % 16);
		d[slot].addr = b->gpa;
		d[slot].len = FRONT_HDR + 64;
		d[slot].flags = 0;
		b->table[slot].len = lens[i % 6];
		b->table[slot].next = (uint16_t)i;
		memset(b->buffer, (int)i, FRONT_HDR); /* the header */
	}
	return NULL;
}

static int race(struct hostile *h)
{
	struct race race = {0};
	pthread_t thread;
	double end;
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (!rc)
		rc = bait_make(h, &race.b);
	if (!rc)
		rc = -pthread_create(&thread, NULL, scribble, &race);
	if (rc)
		return rc;
	end = seconds_now() + RACE_S;
	while (seconds_now() < end && !gone(h)) {
		struct front_ring *r = race.b.r;
		uint16_t old = r->next;

		for (uint16_t i = 0; i < 16; i++)
			front_offer(r, i);
		front_publish(r, old);
		if (!consumed(h, 1, CONSUME_MS) && !gone(h)) {
			rc = -ETIMEDOUT;
			break;
		}
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return rc;
}

/* --- the table ------------------------------------------------------------------------------------------------------------- */

#define ONE(name, drop, ...)                                                           \
	{                                                                              \
		"tx-" name, STAY, drop, one_descriptor, &(const struct descriptor_lie) \
		{                                                                      \
			__VA_ARGS__                                                    \
		}                                                                      \
	}
#define CHAIN(name, drop, function)                                          \
	{                                                                    \
		"tx-" name, STAY, drop, one_chain, &(const struct chain_lie) \
		{                                                            \
			function                                             \
		}                                                            \
	}
#define BAD "bad-descriptor"

const struct hostile_case ring_cases[] = {
	ONE("addr-zero", BAD, AT_ABSOLUTE, 0, 64, 0, 0),
	ONE("addr-max", BAD, AT_ABSOLUTE, ~0ull, 64, 0, 0),
	ONE("addr-wraps-to-zero", BAD, AT_ABSOLUTE, ~0ull - 7, 64, 0, 0),
	ONE("addr-before-region", BAD, AT_START, ~0ull, 64, 0, 0),
	ONE("addr-over-the-end", BAD, AT_END, ~0ull - 62, 65, 0, 0),
	ONE("addr-behind-region", BAD, AT_END, 0, 64, 0, 0),
	ONE("addr-and-len-wrap-into-region", BAD, AT_START, 1ull << 63, 0xffffffffu, 0, 0),
	ONE("len-0", "malformed", AT_BUFFER, 0, 0, 0, 0),
	ONE("len-1", "malformed", AT_BUFFER, 0, 1, 0, 0),
	ONE("len-11-part-of-a-header", "malformed", AT_BUFFER, 0, 11, 0, 0),
	ONE("len-12-header-alone", "malformed", AT_BUFFER, 0, 12, 0, 0),
	ONE("len-13-one-byte", "runt", AT_BUFFER, 0, 13, 0, 0),
	ONE("len-25-short-of-ethernet", "runt", AT_BUFFER, 0, 25, 0, 0),
	ONE("len-70000", "malformed", AT_BUFFER, 0, 70000, 0, 0),
	ONE("len-2g", BAD, AT_BUFFER, 0, 0x80000000u, 0, 0),
	ONE("len-4g-less-1", BAD, AT_BUFFER, 0, 0xffffffffu, 0, 0),
	ONE("written-by-device", BAD, AT_BUFFER, 0, FRONT_HDR + 64, VRING_DESC_F_WRITE, 0),
	ONE("unknown-flags", NULL, AT_BUFFER, 0, FRONT_HDR + 64, 0xfff8, 0),
	CHAIN("loop-self", BAD, loop_self),
	CHAIN("loop-pair", BAD, loop_pair),
	CHAIN("loop-all", BAD, loop_all),
	CHAIN("loop-behind-header", BAD, loop_behind_header),
	CHAIN("loop-of-nothing", BAD, loop_of_nothing),
	CHAIN("next-outside", BAD, next_outside),
	CHAIN("next-far-outside", BAD, next_far_outside),
	CHAIN("second-outside", BAD, second_outside),
	CHAIN("second-written-by-device", BAD, second_written),
	CHAIN("sum-overflows", BAD, sum_overflows),
	CHAIN("frame-too-long", "malformed", frame_too_long),
	CHAIN("table-empty", BAD, table_empty),
	CHAIN("table-of-a-half", BAD, table_of_a_half),
	CHAIN("table-outside", BAD, table_outside),
	CHAIN("table-over-the-end", BAD, table_over_the_end),
	CHAIN("table-wraps", BAD, table_wraps),
	CHAIN("table-of-4-gib", BAD, table_of_4_gib),
	CHAIN("table-in-table", BAD, table_in_table),
	CHAIN("table-and-next", BAD, table_and_next),
	CHAIN("table-written-by-device", BAD, table_written),
	CHAIN("table-loops", BAD, table_loops),
	CHAIN("table-next-outside", BAD, table_next_outside),
	CHAIN("table-is-the-frame", NULL, table_is_the_frame),
	{"tx-head-outside", STAY, BAD, head_outside, NULL},
	{"tx-head-far-outside", STAY, BAD, head_far_outside, NULL},
	{"tx-avail-one-too-many", CLOSE, "impossible-index", avail_one_too_many, NULL},
	{"tx-avail-far-ahead", CLOSE, "impossible-index", avail_far_ahead, NULL},
	{"tx-avail-back", CLOSE, "impossible-index", avail_back, NULL},
	{"tx-used-scribbled", MAY, NULL, used_scribbled, NULL},
	{"tx-chain-of-bytes", STAY, BAD, chain_of_bytes, NULL},
	{"tx-ring-full-of-loops", STAY, BAD, ring_full_of_loops, NULL},
	{"tx-race", MAY, NULL, race, NULL},
	{.name = NULL},
};

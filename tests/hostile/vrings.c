/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies in the messages that describe rings: sizes, addresses, indices, and eventfds that are something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"

#define CONSUME_MS 15000

/* Negotiated and with memory; ring 1 is about to be described. */
static int ready(struct hostile *h)
{
	int rc = honest_negotiated(h, &(struct front_conf){0});

	return rc ? rc : front_send_memory(&h->f);
}

/* What follows if the lie was believed: the rings, started, and a kick. */
static int go_on(struct hostile *h, int rc)
{
	if (current_case->fate == CLOSE || rc)
		return rc == -ECONNRESET ? 0 : rc;
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_enable(&h->f, i, true);
	front_kick(&h->f.ring[0]);
	front_kick(&h->f.ring[1]);
	pause_ms(50);
	return rc == -ECONNRESET ? 0 : rc;
}

/* --- numbers --------------------------------------------------------------------------------------------------------------- */

struct state_lie {
	uint32_t request, index, num;
};

static int state(struct hostile *h)
{
	const struct state_lie *lie = current_case->lie;
	int rc = ready(h);

	if (!rc)
		rc = front_tell_state(&h->f, lie->request, lie->index, lie->num);
	return go_on(h, rc);
}

/* The size is told to a ring whose address, kick and all else are good. */
static int size_then_start(struct hostile *h)
{
	const struct state_lie *lie = current_case->lie;
	struct front_msg msg = front_msg(FRONT_SET_VRING_ADDR, sizeof(msg.addr));
	const struct front_ring *r = &h->f.ring[1];
	int rc = ready(h);

	if (!rc)
		rc = front_tell_state(&h->f, FRONT_SET_VRING_NUM, 1, lie->num);
	msg.addr.index = 1;
	msg.addr.desc = r->desc_uva;
	msg.addr.avail = r->avail_uva;
	msg.addr.used = r->used_uva;
	if (!rc)
		rc = front_msg_send(&h->f, &msg, NULL, 0);
	if (!rc)
		rc = front_tell_u64(&h->f, FRONT_SET_VRING_KICK, 1, r->kick);
	return go_on(h, rc);
}

/* --- addresses ------------------------------------------------------------------------------------------------------------- */

struct address_lie {
	enum { REAL, ABSOLUTE, REGION_END } base;
	uint64_t desc, avail, used; /* from there */
	uint32_t index;
};

static int address(struct hostile *h)
{
	const struct address_lie *lie = current_case->lie;
	struct front_msg msg = front_msg(FRONT_SET_VRING_ADDR, sizeof(msg.addr));
	const struct front_ring *r = &h->f.ring[1];
	const struct front_region *m = &h->f.region[0];
	int rc = ready(h);
	uint64_t end = m->uva + m->size;

	if (!rc)
		rc = front_tell_state(&h->f, FRONT_SET_VRING_NUM, 1, r->size);
	msg.addr.index = lie->index ? lie->index : 1;
	msg.addr.desc = lie->desc + (lie->base == REAL ? r->desc_uva : lie->base == REGION_END ? end : 0);
	msg.addr.avail = lie->avail + (lie->base == REAL ? r->avail_uva : lie->base == REGION_END ? end : 0);
	msg.addr.used = lie->used + (lie->base == REAL ? r->used_uva : lie->base == REGION_END ? end : 0);
	if (!rc)
		rc = front_msg_send(&h->f, &msg, NULL, 0);
	/* A back end may look at the addresses only when the ring starts. */
	if (!rc)
		rc = front_tell_u64(&h->f, FRONT_SET_VRING_KICK, 1, r->kick);
	if (!rc)
		rc = front_enable(&h->f, 1, true);
	front_kick(&h->f.ring[1]);
	return go_on(h, rc == -ECONNRESET ? 0 : rc);
}

/* --- eventfds -------------------------------------------------------------------------------------------------------------- */

enum what { NOTHING, NO_FD_FLAG, REGULAR, ZERO, FULL, THE_SOCKET, FULL_PIPE, BROKEN_PIPE, READ_END, FULL_EVENTFD, TWO, GOOD };

struct fd_lie {
	uint32_t request, index;
	enum what what;
};

static int something(struct hostile *h, enum what what)
{
	int ends[2], fd;

	switch (what) {
	case REGULAR:
		return dup(h->f.region[0].fd);
	case ZERO:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case FULL:
		return open("/dev/full", O_RDWR | O_CLOEXEC);
	case THE_SOCKET:
		return dup(h->f.sock);
	case FULL_PIPE:
		/* Its reader stays open, in this process, and never reads: a blocking write blocks for ever. */
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		fcntl(ends[1], F_SETFL, O_NONBLOCK);
		while (write(ends[1], "12345678", 8) > 0)
			;
		fcntl(ends[1], F_SETFL, 0);
		return ends[1];
	case BROKEN_PIPE:
	case READ_END:
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		close(ends[what == BROKEN_PIPE ? 0 : 1]);
		return ends[what == BROKEN_PIPE ? 1 : 0];
	case FULL_EVENTFD:
		/* One write more and its writer blocks. */
		fd = eventfd(0, EFD_CLOEXEC);
		eventfd_write(fd, ~0ull - 1);
		return fd;
	default:
		return eventfd(0, EFD_CLOEXEC);
	}
}

/* An honest ring in all but this descriptor, with calls asked for, and frames sent. */
static int wrong_fd(struct hostile *h)
{
	const struct fd_lie *lie = current_case->lie;
	struct front_msg msg = front_msg(lie->request, 8);
	int rc = honest_open(h, &(struct front_conf){0}), fds[2];
	unsigned n_fds = lie->what == NOTHING || lie->what == NO_FD_FLAG ? 0 : lie->what == TWO ? 2 : 1;

	msg.u64 = lie->index | (lie->what == NO_FD_FLAG ? FRONT_NO_FD : 0);
	if (rc)
		return rc;
	fds[0] = something(h, lie->what);
	fds[1] = h->f.ring[0].call;
	rc = front_msg_send(&h->f, &msg, fds, n_fds);
	close(fds[0]);
	front_want_calls(&h->f.ring[0], true);
	front_want_calls(&h->f.ring[1], true);
	if (!rc && current_case->fate == STAY)
		return send_honest(h, 50);
	for (unsigned i = 0; i < 20 && !rc && current_case->fate == MAY; i++) {
		uint8_t f[64];

		frame_fill(f, sizeof(f), false);
		rc = front_send(&h->f, 1, NULL, f, sizeof(f));
		front_kick(&h->f.ring[1]);
		pause_ms(5);
	}
	return rc == -ECONNRESET || rc == -EAGAIN ? 0 : rc;
}

/* --- changes under a running ring ------------------------------------------------------------------------------------------ */

static int running(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){0});

	return rc ? rc : send_honest(h, 5);
}

static int burst(struct hostile *h, int rc)
{
	uint8_t f[64];

	frame_fill(f, sizeof(f), false);
	for (unsigned i = 0; i < 20 && !rc; i++)
		rc = front_send(&h->f, 1, NULL, f, sizeof(f));
	front_kick(&h->f.ring[1]);
	pause_ms(50);
	return rc == -ECONNRESET || rc == -EAGAIN ? 0 : rc;
}

static int size_while_running(struct hostile *h)
{
	int rc = running(h);

	if (!rc)
		rc = front_tell_state(&h->f, FRONT_SET_VRING_NUM, 1, 32768);
	return burst(h, rc);
}

static int base_while_running(struct hostile *h)
{
	int rc = running(h);

	if (!rc)
		rc = front_tell_state(&h->f, FRONT_SET_VRING_BASE, 1, 0x8000);
	return burst(h, rc);
}

static int address_while_running(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_SET_VRING_ADDR, sizeof(msg.addr));
	int rc = running(h);

	msg.addr.index = 1;
	msg.addr.desc = msg.addr.avail = msg.addr.used = 0x1000;
	if (!rc)
		rc = front_msg_send(&h->f, &msg, NULL, 0);
	return burst(h, rc);
}

static int features_while_running(struct hostile *h)
{
	int rc = running(h);

	for (unsigned i = 0; i < 100 && !rc; i++) {
		rc = front_tell_u64(&h->f, FRONT_SET_FEATURES, i % 2 ? h->f.features : FRONT_BIT(FRONT_F_PROTOCOL), -1);
		if (!rc)
			rc = burst(h, 0);
		if (gone(h))
			break;
		front_reclaim(&h->f, 1);
	}
	return rc == -ECONNRESET ? 0 : rc;
}

static int features_not_offered(struct hostile *h)
{
	int rc = honest_negotiated(h, &(struct front_conf){0});

	return rc ? rc : front_tell_u64(&h->f, FRONT_SET_FEATURES, ~0ull, -1);
}

static int enabled_10000_times(struct hostile *h)
{
	int rc = running(h);

	for (unsigned i = 0; i < 10000 && !rc; i++)
		rc = front_enable(&h->f, i / 2 % 2, i % 2);
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_enable(&h->f, i, true);
	return rc ? rc : send_honest(h, 5);
}

/* Ring 1 disabled, and the back end has heard of it. */
static int disabled(struct hostile *h)
{
	uint64_t features;
	int rc = running(h);

	if (!rc)
		rc = front_enable(&h->f, 1, false);
	return rc ? rc : front_ask_u64(&h->f, FRONT_GET_FEATURES, &features);
}

/* All that is sent comes back, however it lies in memory that is there or not; then frames go again. */
static int disabled_and_full(struct hostile *h)
{
	struct front_ring *r = &h->f.ring[1];
	int rc = disabled(h);

	for (unsigned times = 0; times < 20 && !rc; times++) {
		uint16_t old = r->next;

		for (uint16_t i = 0; i < HOSTILE_RING; i++) {
			front_desc(r, i, ~0ull - 64 * i, ~0u, VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT, i);
			front_offer(r, i);
		}
		front_publish(r, old);
		if (!consumed(h, 1, CONSUME_MS)) {
			snprintf(h->why, sizeof(h->why), "what was sent by a disabled ring was not given back");
			rc = -EPROTO;
		}
	}
	front_hang_up(&h->f);
	if (!rc)
		rc = front_up(&h->f);
	return rc ? rc : send_honest(h, 5);
}

static int disabled_and_impossible(struct hostile *h)
{
	struct front_ring *r = &h->f.ring[1];
	int rc = disabled(h);

	r->next = (uint16_t)(r->next + HOSTILE_RING + 1);
	front_publish(r, 0);
	front_kick(r);
	return rc;
}

/* The ring that it receives by, while others broadcast. */
static int disabled_to_receive(struct hostile *h)
{
	const struct vring_used *used;
	uint64_t features;
	uint16_t before;
	int rc = running(h);

	if (!rc)
		rc = front_enable(&h->f, 0, false);
	if (!rc)
		rc = front_ask_u64(&h->f, FRONT_GET_FEATURES, &features);
	if (rc)
		return rc;
	used = h->f.ring[0].used;
	before = __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
	let_frames_come(h);
	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == before)
		return 0;
	snprintf(h->why, sizeof(h->why), "frames came by a disabled ring");
	return -EPROTO;
}

static int started_without_address(struct hostile *h)
{
	int rc = ready(h);

	if (!rc)
		rc = front_tell_u64(&h->f, FRONT_SET_VRING_KICK, 1, h->f.ring[1].kick);
	return go_on(h, rc);
}

static int stopped_twice(struct hostile *h)
{
	int rc = running(h);

	for (unsigned i = 0; i < 4 && rc >= 0; i++)
		rc = front_stop_ring(&h->f, i % 2);
	return rc < 0 && rc != -ECONNRESET ? rc : 0;
}

static int stopped_unknown(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_GET_VRING_BASE, 8);
	int rc = running(h);

	msg.state.index = 4000;
	return rc ? rc : front_msg_send(&h->f, &msg, NULL, 0);
}

static int reset_owner(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_RESET_OWNER, 0);
	int rc = running(h);

	if (!rc)
		rc = front_msg_send(&h->f, &msg, NULL, 0);
	return burst(h, rc);
}

static int reset_device(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_RESET_DEVICE, 0);
	int rc = running(h);

	if (!rc)
		rc = front_msg_send(&h->f, &msg, NULL, 0);
	return burst(h, rc);
}

#define STATE(name, fate, ...)                                                                                            \
	{                                                                                                                 \
		"ring-" name, fate, (fate) == CLOSE ? "bad-ring|bad-descriptors" : NULL, state, &(const struct state_lie) \
		{                                                                                                         \
			__VA_ARGS__                                                                                       \
		}                                                                                                         \
	}
#define SIZE(name, fate, num)                                                                             \
	{                                                                                                 \
		"ring-" name, fate, (fate) == CLOSE ? "bad-ring|bad-descriptors" : NULL, size_then_start, \
			&(const struct state_lie)                                                         \
		{                                                                                         \
			0, 1, num                                                                         \
		}                                                                                         \
	}
#define ADDRESS(name, fate, ...)                                                                                              \
	{                                                                                                                     \
		"ring-" name, fate, (fate) == CLOSE ? "bad-ring|bad-descriptors" : NULL, address, &(const struct address_lie) \
		{                                                                                                             \
			__VA_ARGS__                                                                                           \
		}                                                                                                             \
	}
#define WRONG_FD(name, fate, ...)                                                                                         \
	{                                                                                                                 \
		"ring-" name, fate, (fate) == CLOSE ? "bad-ring|bad-descriptors" : NULL, wrong_fd, &(const struct fd_lie) \
		{                                                                                                         \
			__VA_ARGS__                                                                                       \
		}                                                                                                         \
	}

const struct hostile_case vring_cases[] = {
	SIZE("size-0", CLOSE, 0),
	SIZE("size-3", CLOSE, 3),
	SIZE("size-65536", CLOSE, 65536),
	SIZE("size-2g", CLOSE, 1u << 31),
	SIZE("size-4g-less-1", CLOSE, ~0u),
	STATE("size-of-ring-255", CLOSE, FRONT_SET_VRING_NUM, 255, 256),
	STATE("size-of-ring-4g", CLOSE, FRONT_SET_VRING_NUM, ~0u, 256),
	STATE("base-of-ring-4g", CLOSE, FRONT_SET_VRING_BASE, ~0u, 0),
	STATE("base-70000", MAY, FRONT_SET_VRING_BASE, 1, 70000),
	STATE("enable-ring-4g", CLOSE, FRONT_SET_VRING_ENABLE, ~0u, 1),
	STATE("enable-with-2", MAY, FRONT_SET_VRING_ENABLE, 1, 2),
	ADDRESS("addr-zero", CLOSE, ABSOLUTE, .desc = 0),
	ADDRESS("addr-max", CLOSE, ABSOLUTE, .desc = ~0ull - 15, .avail = ~0ull - 15, .used = ~0ull - 15),
	ADDRESS("addr-over-the-end", CLOSE, REGION_END, .desc = 0 - 64ull, .avail = 0 - 64ull, .used = 0 - 64ull),
	ADDRESS("addr-desc-outside", CLOSE, REAL, .desc = 1ull << 40),
	ADDRESS("addr-avail-outside", CLOSE, REAL, .avail = 1ull << 40),
	ADDRESS("addr-used-outside", CLOSE, REAL, .used = 1ull << 40),
	ADDRESS("addr-odd", MAY, REAL, .desc = 1, .avail = 1, .used = 1),
	ADDRESS("addr-of-ring-4g", CLOSE, REAL, .index = ~0u),
	WRONG_FD("kick-without-file", MAY, FRONT_SET_VRING_KICK, 1, NOTHING),
	WRONG_FD("kick-by-polling", STAY, FRONT_SET_VRING_KICK, 1, NO_FD_FLAG),
	WRONG_FD("kick-of-ring-200", CLOSE, FRONT_SET_VRING_KICK, 200, GOOD),
	WRONG_FD("kick-with-two-files", CLOSE, FRONT_SET_VRING_KICK, 1, TWO),
	WRONG_FD("kick-is-a-file", MAY, FRONT_SET_VRING_KICK, 1, REGULAR),
	WRONG_FD("kick-is-always-ready", MAY, FRONT_SET_VRING_KICK, 1, ZERO),
	WRONG_FD("kick-is-the-socket", MAY, FRONT_SET_VRING_KICK, 1, THE_SOCKET),
	WRONG_FD("kick-is-a-broken-pipe", MAY, FRONT_SET_VRING_KICK, 1, READ_END),
	WRONG_FD("call-without-file", MAY, FRONT_SET_VRING_CALL, 1, NOTHING),
	WRONG_FD("call-not-wanted", STAY, FRONT_SET_VRING_CALL, 1, NO_FD_FLAG),
	WRONG_FD("call-is-a-full-eventfd", STAY, FRONT_SET_VRING_CALL, 1, FULL_EVENTFD),
	WRONG_FD("call-is-a-full-pipe", MAY, FRONT_SET_VRING_CALL, 1, FULL_PIPE),
	WRONG_FD("call-is-a-broken-pipe", MAY, FRONT_SET_VRING_CALL, 1, BROKEN_PIPE),
	WRONG_FD("call-is-read-only", MAY, FRONT_SET_VRING_CALL, 1, READ_END),
	WRONG_FD("call-is-dev-full", MAY, FRONT_SET_VRING_CALL, 1, FULL),
	WRONG_FD("call-is-the-socket", MAY, FRONT_SET_VRING_CALL, 1, THE_SOCKET),
	WRONG_FD("err-is-a-full-pipe", MAY, FRONT_SET_VRING_ERR, 1, FULL_PIPE),
	{"ring-size-while-running", MAY, NULL, size_while_running, NULL},
	{"ring-base-while-running", MAY, NULL, base_while_running, NULL},
	{"ring-address-while-running", MAY, NULL, address_while_running, NULL},
	{"ring-features-while-running", MAY, NULL, features_while_running, NULL},
	{"ring-features-not-offered", CLOSE, "bad-features", features_not_offered, NULL},
	{"ring-enabled-10000-times", STAY, NULL, enabled_10000_times, NULL},
	{"ring-disabled-and-full", STAY, "rx-disabled", disabled_and_full, NULL},
	{"ring-disabled-and-impossible", CLOSE, "impossible-index", disabled_and_impossible, NULL},
	{"ring-disabled-to-receive", STAY, "tx-down", disabled_to_receive, NULL},
	{"ring-started-without-address", MAY, NULL, started_without_address, NULL},
	{"ring-stopped-twice", MAY, NULL, stopped_twice, NULL},
	{"ring-stopped-unknown", CLOSE, "bad-ring", stopped_unknown, NULL},
	{"ring-reset-owner", MAY, NULL, reset_owner, NULL},
	{"ring-reset-device", MAY, NULL, reset_device, NULL},
	{.name = NULL},
};

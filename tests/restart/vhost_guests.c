/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many guests that outlive their switch: they find it again each time that it is started, and say when all of them are through.
 *
 *      guest 0 ==vhost-user==+--------+==vhost-user== guest 1        each sends a frame every 5 ms to its other half, whether or not
 *      guest 2 ==============| switch |============== guest 3        the switch is there, as guests do; a full ring makes it wait
 *      ...                   +--------+               ...
 *
 * As QEMU's guests do, they go on where their rings are: buffers that the switch which was killed had not given back are its successor's.
 * What the killed one had taken and not delivered is lost, but nothing may come twice, out of order, or changed.
 *
 * A guest is through when a frame has arrived at it that was sent after both halves had lost their switch for the last time. A line on
 * the standard input asks for a line of JSON (see `help`); the end of the file is the end.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

#define MAX_GUESTS 256
#define RING	   64
#define ROOM	   2048
#define FRAME	   128
#define PERIOD_NS  5000000u
#define ETHERTYPE  0x88b5

static const char help[] =
	"usage: vhost_guests PATH PATH ...\n"
	"\n"
	"An even number of sockets, made and listened on; the guests of the first two are one pair, and so on.\n"
	"\n"
	"For each line of input, and at its end, prints\n"
	"  {\"guests\", \"connected\", \"through\", \"last\": when the last guest was through, as CLOCK_MONOTONIC, or null,\n"
	"   \"connects\": times that one was connected, \"received\", \"wrong\": frames that came twice, out of order or "
	"changed}\n";

struct frame {
	uint8_t dst[6], src[6], type[2];
	uint8_t from[2]; /* the guest's number */
	uint64_t number;
	uint64_t sent_ns; /* CLOCK_MONOTONIC, as all times here */
	uint8_t fill[FRAME - 32];
};
_Static_assert(sizeof(struct frame) == FRAME, "no holes");

struct guest {
	struct front front;
	uint64_t cut_ns;     /* when it lost its switch */
	uint64_t through_ns; /* 0: not yet */
	uint64_t sent, due;
};

static struct guest guest[MAX_GUESTS];
static unsigned n_guests;
static uint64_t connects, received, wrong;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void mac(uint8_t *at, unsigned who)
{
	const uint8_t a[6] = {0x02, 0x5f, 0, 0, 0, (uint8_t)who};

	memcpy(at, a, sizeof(a));
}

/* --- frames ---------------------------------------------------------------------------------------------------------------- */

static void frame_make(struct frame *f, unsigned from, uint64_t number, uint64_t sent_ns)
{
	memset(f, 0, sizeof(*f));
	mac(f->dst, from ^ 1);
	mac(f->src, from);
	f->type[0] = ETHERTYPE >> 8;
	f->type[1] = ETHERTYPE & 0xff;
	f->from[0] = (uint8_t)from;
	f->number = number;
	f->sent_ns = sent_ns;
	memset(f->fill, (int)(number % 251), sizeof(f->fill));
}

static void take(unsigned to, const struct frame *f)
{
	const struct guest *other = &guest[to ^ 1];
	struct guest *g = &guest[to];
	struct frame want;

	frame_make(&want, to ^ 1, f->number, f->sent_ns);
	if (memcmp(f, &want, sizeof(want)) != 0 || f->number < g->due || f->number >= other->sent) {
		wrong++;
		return;
	}
	g->due = f->number + 1;
	received++;
	if (g->through_ns == 0 && f->sent_ns > g->cut_ns && f->sent_ns > other->cut_ns)
		g->through_ns = now_ns();
}

static void receive_all(void)
{
	union {
		struct frame frame;
		uint8_t room[ROOM];
	} u;

	for (unsigned i = 0; i < n_guests; i++) {
		ssize_t n;

		while ((n = front_recv(&guest[i].front, 0, NULL, &u, sizeof(u))) != -EAGAIN) {
			if (n == FRAME)
				take(i, &u.frame);
			else
				wrong++;
		}
	}
}

static void send_all(void)
{
	for (unsigned i = 0; i < n_guests; i++) {
		struct frame f;

		frame_make(&f, i, guest[i].sent, now_ns());
		if (front_send(&guest[i].front, 1, NULL, &f, sizeof(f)) == 0)
			guest[i].sent++;
	}
}

/* --- the switch comes and goes ----------------------------------------------------------------------------------------------- */

/* Its other half is not through any more either: what it receives has passed this one's port. */
static void lose(unsigned i)
{
	front_hang_up(&guest[i].front);
	guest[i].cut_ns = now_ns();
	guest[i].through_ns = guest[i ^ 1].through_ns = 0;
}

/* A connection is there to be accepted. One that ends in the middle of the handshake is a switch that was killed again. */
static void find(unsigned i)
{
	if (front_meet(&guest[i].front) == 0 && front_start(&guest[i].front) == 0)
		connects++;
	else
		lose(i);
}

static void open_all(char *const *paths)
{
	for (unsigned i = 0; i < n_guests; i++) {
		struct front_conf conf = {.path = paths[i],
					  .ring = RING,
					  .region_mib = 1,
					  .features = FRONT_BIT(VIRTIO_F_VERSION_1) | FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF),
					  /* Without REPLY_ACK: a handshake has four round trips, not forty. */
					  .protocol = FRONT_BIT(FRONT_PF_MQ)};
		struct front *f = &guest[i].front;
		int rc = front_open(f, &conf);

		if (!rc)
			rc = front_buffers(f, 0, FRONT_DIRECT, 1, ROOM);
		if (!rc)
			rc = front_buffers(f, 1, FRONT_DIRECT, 1, FRONT_HDR + FRAME);
		if (rc) {
			fprintf(stderr, "vhost_guests: %s: %s\n", paths[i], strerror(-rc));
			exit(2);
		}
		front_rewind(f);
		front_want_calls(&f->ring[0], false);
		front_want_calls(&f->ring[1], false);
	}
}

/* --- telling ------------------------------------------------------------------------------------------------------------------ */

static void report(void)
{
	unsigned connected = 0, through = 0;
	uint64_t last_ns = 0;

	for (unsigned i = 0; i < n_guests; i++) {
		connected += guest[i].front.sock >= 0;
		through += guest[i].through_ns > 0;
		last_ns = guest[i].through_ns > last_ns ? guest[i].through_ns : last_ns;
	}
	printf("{\"guests\": %u, \"connected\": %u, \"through\": %u, \"last\": ", n_guests, connected, through);
	if (through == n_guests)
		printf("%.6f", (double)last_ns / 1e9);
	else
		printf("null");
	printf(", \"connects\": %lu, \"received\": %lu, \"wrong\": %lu}\n", connects, received, wrong);
	fflush(stdout);
}

/* False: the input has ended. */
static bool answer(void)
{
	char line[256];
	ssize_t n = read(0, line, sizeof(line));

	for (ssize_t i = 0; i < n; i++) {
		if (line[i] == '\n')
			report();
	}
	return n > 0;
}

int main(int argc, char **argv)
{
	struct pollfd p[1 + MAX_GUESTS];
	uint64_t next = now_ns();

	n_guests = (unsigned)(argc - 1);
	if (argc < 3 || n_guests % 2 || n_guests > MAX_GUESTS) {
		fputs(help, stderr);
		return 2;
	}
	open_all(argv + 1);
	do {
		p[n_guests] = (struct pollfd){.fd = 0, .events = POLLIN};
		for (unsigned i = 0; i < n_guests; i++) {
			const struct front *f = &guest[i].front;

			/* Nothing is said to us unasked: a socket that can be read is one that was closed. */
			p[i] = (struct pollfd){.fd = f->sock >= 0 ? f->sock : f->listener, .events = POLLIN};
		}
		poll(p, n_guests + 1, 1);
		for (unsigned i = 0; i < n_guests; i++) {
			if (p[i].revents && p[i].fd == guest[i].front.sock)
				lose(i);
			else if (p[i].revents)
				find(i);
		}
		receive_all();
		if (now_ns() >= next) {
			send_all();
			next = now_ns() + PERIOD_NS;
		}
	} while (!(p[n_guests].revents) || answer());
	report();
	for (unsigned i = 0; i < n_guests; i++)
		front_close(&guest[i].front);
	return wrong > 0;
}

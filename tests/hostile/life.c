/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comings and goings: killed in the middle of a burst, a thousand connections one after another, silence.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

#define KILLS	     20
#define BURST_FRAMES 10000 /* a back end that is faster than we are never leaves the ring full */

/* In a process of its own: sends as fast as it can until it is killed. Says once that it is in the middle. */
static void burst_for_ever(struct hostile *h, int tell)
{
	uint8_t f[1500];
	bool told = false;

	frame_fill(f, sizeof(f), false);
	if (front_up(&h->f))
		_exit(1);
	for (uint64_t i = 0;; i++) {
		if ((front_send(&h->f, 1, NULL, f, 60 + i % 1400) == -EAGAIN || i == BURST_FRAMES) && !told) {
			told = true;
			(void)!write(tell, "x", 1);
		}
	}
}

static int killed_in_a_burst(struct hostile *h)
{
	struct front_conf conf = {.path = h->path,
				  .connect = h->connect,
				  .wait_s = h->wait_s,
				  .ring = HOSTILE_RING,
				  .regions = 2,
				  .region_mib = 4,
				  .protocol = FRONT_BIT(FRONT_PF_MQ),
				  .features = FRONT_BIT(VIRTIO_F_VERSION_1) | FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF)};
	int rc = front_open(&h->f, &conf);

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_buffers(&h->f, i, FRONT_DIRECT, 1, HOSTILE_BUFFER);
	for (unsigned i = 0; i < KILLS && !rc; i++) {
		int ends[2];
		pid_t child;
		char byte;

		if (pipe(ends) < 0)
			return -errno;
		child = fork();
		if (child < 0)
			return -errno;
		if (child == 0)
			burst_for_ever(h, ends[1]);
		close(ends[1]);
		if (read(ends[0], &byte, 1) != 1)
			rc = -EPROTO; /* it did not come up */
		close(ends[0]);
		pause_ms((unsigned)(rnd() % 5));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return rc;
}

/* Gone as soon as it is there. */
static int come_and_go(struct hostile *h, unsigned times, int (*meanwhile)(struct hostile *))
{
	int rc = front_open(&h->f,
			    &(struct front_conf){.path = h->path,
						 .connect = h->connect,
						 .wait_s = h->wait_s,
						 .regions = 2,
						 .region_mib = 4,
						 .protocol = FRONT_BIT(FRONT_PF_MQ),
						 .features = FRONT_BIT(VIRTIO_F_VERSION_1) | FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF)});

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_buffers(&h->f, i, FRONT_DIRECT, 1, HOSTILE_BUFFER);
	for (unsigned i = 0; i < times && !rc; i++)
		rc = meanwhile(h);
	front_hang_up(&h->f);
	return rc;
}

static int started(struct hostile *h)
{
	int rc = front_up(&h->f);

	return rc ? rc : send_honest(h, 3);
}

static int met(struct hostile *h)
{
	return front_meet(&h->f);
}

/* Cut in a different place of the handshake each time. */
static int half_started(struct hostile *h)
{
	static unsigned cut;
	int rc = front_meet(&h->f);

	front_rewind(&h->f);
	cut++;
	if (!rc && cut % 8 > 0)
		rc = front_negotiate(&h->f);
	if (!rc && cut % 8 > 1)
		rc = front_send_memory(&h->f);
	for (unsigned i = 0; i < 2 && !rc && cut % 8 > 2 + i; i++)
		rc = front_send_ring(&h->f, i);
	for (unsigned i = 0; i < 2 && !rc && cut % 8 > 4 + i; i++)
		rc = front_enable(&h->f, i, true);
	return rc;
}

static int reconnects_20(struct hostile *h)
{
	return come_and_go(h, 20, started);
}

static int reconnects_1000(struct hostile *h)
{
	return come_and_go(h, 1000, started);
}

static int meets_100(struct hostile *h)
{
	return come_and_go(h, 100, met);
}

static int half_starts_100(struct hostile *h)
{
	return come_and_go(h, 100, half_started);
}

/* There, and nothing more. */
static int silent(struct hostile *h)
{
	int rc = front_open(&h->f, &(struct front_conf){.path = h->path, .connect = h->connect, .wait_s = h->wait_s});

	if (!rc)
		rc = front_meet(&h->f);
	pause_ms(1000);
	return rc;
}

const struct hostile_case life_cases[] = {
	{"life-killed-in-a-burst", MAY, NULL, killed_in_a_burst, NULL},
	{"life-silent", STAY, NULL, silent, NULL},
	{"life-reconnects-20", MAY, NULL, reconnects_20, NULL},
	{"life-meets-100", MAY, NULL, meets_100, NULL},
	{"life-half-starts-100", MAY, NULL, half_starts_100, NULL},
	{"life-reconnects-1000", MAY, NULL, reconnects_1000, NULL},
	{.name = NULL},
};

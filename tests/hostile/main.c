/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

#define FATE_WAIT_S    15.0 /* a back end may take a second look before it hangs up, and the machine have other things to do */
#define SHOWN_MS       300
#define HONEST_FRAMES  10
#define REGION_MIB     4
#define CONSUME_POLL_S 15.0

static const char help[] =
	"usage: vhost_hostile --path SOCKET [--connect] [--wait S] CASE ...\n"
	"       vhost_hostile --list\n"
	"\n"
	"Be a front end that lies, and print for each case one line of JSON:\n"
	"  {\"case\", \"class\", \"fate\": may|stay|close, \"drop\", \"closed\", \"recovered\", \"ok\", \"why\"}\n"
	"`closed`: the back end hung up by itself. `recovered`: an honest front end on the same socket was served afterwards.\n"
	"`drop`: what the back end's port should have counted. Exit status 1 if any is not ok.\n"
	"\n"
	"  --path SOCKET   made and listened on\n"
	"  --connect       connect to it instead\n"
	"  --wait S        patience for the back end to come, and come back (default 10)\n"
	"  --hold          print {\"offered\": CASE} when frames should be sent to it, and go on at a line of input;\n"
	"                  without, go on after 300 ms\n"
	"  --no-recovery   end after the case\n";

static const struct {
	const char *name;
	const struct hostile_case *cases;
} classes[] = {
	{"rings", ring_cases},	 {"receive", receive_cases},  {"headers", header_cases}, {"memory", memory_cases},
	{"vrings", vring_cases}, {"messages", message_cases}, {"life", life_cases},
};

#define N_CLASSES (sizeof(classes) / sizeof(classes[0]))

static const char *const fates[] = {"may", "stay", "close"};

const struct hostile_case *current_case;

/* --- what cases are made of ------------------------------------------------------------------------------------------------ */

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void pause_ms(unsigned ms)
{
	poll(NULL, 0, (int)ms);
}

/* The same in every run: what was found can be found again. */
uint64_t rnd(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

void frame_fill(uint8_t *f, uint32_t len, bool to_victim)
{
	static const uint8_t me[6] = {0x02, 0xba, 0xd0, 0, 0, 1}, victim[6] = {0x02, 0x5e, 0, 0, 0, 1};

	memset(f, 0x5a, len);
	memcpy(f, to_victim ? victim : me, len < 6 ? len : 6);
	if (len >= 12)
		memcpy(f + 6, me, 6);
	if (len >= 14) {
		f[12] = 0x88;
		f[13] = 0xb6; /* local experimental 2: the stream's is 1 */
	}
}

void lie_write(const struct hostile *h, struct front_ring *r, uint16_t slot, const struct descriptor_lie *lie, uint64_t buffer)
{
	const struct front_region *m = &h->f.region[1];
	const uint64_t base[] = {[AT_BUFFER] = buffer, [AT_END] = m->gpa + m->size, [AT_ABSOLUTE] = 0, [AT_START] = m->gpa};

	front_desc(r, slot, base[lie->base] + lie->addr, lie->len, lie->flags, lie->next);
}

void let_frames_come(struct hostile *h)
{
	char line[16];

	if (!h->hold) {
		pause_ms(SHOWN_MS);
		return;
	}
	printf("{\"offered\": \"%s\"}\n", current_case->name);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		snprintf(h->why, sizeof(h->why), "nobody said when to go on");
}

static int open_common(struct hostile *h, const struct front_conf *more)
{
	struct front_conf conf = *more;

	conf.path = h->path;
	conf.connect = h->connect;
	conf.wait_s = h->wait_s;
	if (!conf.features)
		conf.features = FRONT_BIT(VIRTIO_F_VERSION_1) | FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF) |
				FRONT_BIT(VIRTIO_RING_F_INDIRECT_DESC) | FRONT_BIT(VIRTIO_NET_F_CSUM) |
				FRONT_BIT(VIRTIO_NET_F_HOST_TSO4) | FRONT_BIT(VIRTIO_NET_F_HOST_TSO6) |
				FRONT_BIT(VIRTIO_NET_F_GUEST_CSUM);
	if (!conf.protocol)
		conf.protocol = FRONT_BIT(FRONT_PF_MQ);
	if (!conf.regions)
		conf.regions = 2;
	if (!conf.region_mib)
		conf.region_mib = REGION_MIB;
	return front_open(&h->f, &conf);
}

int honest_negotiated(struct hostile *h, const struct front_conf *more)
{
	int rc = open_common(h, more);

	if (!rc)
		rc = front_meet(&h->f);
	return rc ? rc : front_negotiate(&h->f);
}

int honest_open(struct hostile *h, const struct front_conf *more)
{
	uint32_t room = more->ring > HOSTILE_LARGE ? 128 : HOSTILE_BUFFER;
	int rc = open_common(h, more);

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = front_buffers(&h->f, i, FRONT_DIRECT, 1, room);
	return rc ? rc : front_up(&h->f);
}

bool gone(struct hostile *h)
{
	uint8_t byte;
	ssize_t n = recv(h->f.sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

bool consumed(struct hostile *h, unsigned index, unsigned ms)
{
	const struct front_ring *r = &h->f.ring[index];
	double end = seconds_now() + ms / 1e3;

	while (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) != r->next) {
		if (gone(h) || seconds_now() > end)
			return false;
		pause_ms(1);
	}
	return true;
}

int send_honest(struct hostile *h, unsigned n)
{
	double end = seconds_now() + CONSUME_POLL_S;
	uint64_t features;
	uint8_t f[64];
	int rc;

	frame_fill(f, sizeof(f), false);
	for (unsigned i = 0; i < n; i++) {
		rc = front_send(&h->f, 1, NULL, f, sizeof(f));
		if (rc)
			return rc;
	}
	while (front_reclaim(&h->f, 1)) {
		if (gone(h))
			return -ECONNRESET;
		if (seconds_now() > end)
			return -ETIMEDOUT;
		pause_ms(1);
	}
	if (h->f.lied)
		return -EPROTO;
	/* Its answer comes after what it thought of all messages before. */
	return front_ask_u64(&h->f, FRONT_GET_FEATURES, &features);
}

/* --- running them ---------------------------------------------------------------------------------------------------------- */

static const struct hostile_case *find(const char *name, const char **class)
{
	for (unsigned c = 0; c < N_CLASSES; c++) {
		for (const struct hostile_case *k = classes[c].cases; k->name; k++) {
			if (!strcmp(k->name, name)) {
				*class = classes[c].name;
				return k;
			}
		}
	}
	return NULL;
}

/* An honest front end on the socket, after all that: is it served? */
static int recover(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){0});

	if (!rc)
		rc = send_honest(h, HONEST_FRAMES);
	if (rc)
		snprintf(h->why, sizeof(h->why), "an honest front end afterwards: %s", strerror(-rc));
	front_close(&h->f);
	return rc;
}

static bool run(struct hostile *h, const struct hostile_case *k, const char *class, bool recovery)
{
	bool closed, recovered = true, ok;
	int rc;

	current_case = k;
	h->why[0] = '\0';
	rc = k->run(h);
	closed = h->f.sock >= 0 && (k->fate == CLOSE ? front_closed(&h->f, FATE_WAIT_S) : gone(h));
	ok = rc == 0 && (k->fate == MAY || closed == (k->fate == CLOSE));
	if (rc && !h->why[0])
		snprintf(h->why, sizeof(h->why), "the case itself: %s", strerror(-rc));
	else if (!ok && !h->why[0])
		snprintf(h->why, sizeof(h->why), closed ? "the connection was closed" : "the connection was not closed");
	front_close(&h->f);
	if (recovery)
		recovered = recover(h) == 0;
	ok = ok && recovered;
	printf("{\"case\": \"%s\", \"class\": \"%s\", \"fate\": \"%s\", \"drop\": \"%s\", \"closed\": %s, \"recovered\": %s, "
	       "\"ok\": %s, \"why\": \"%s\"}\n",
	       k->name, class, fates[k->fate], k->drop ? k->drop : "", closed ? "true" : "false", recovered ? "true" : "false",
	       ok ? "true" : "false", h->why);
	fflush(stdout);
	return ok;
}

static int list(void)
{
	for (unsigned c = 0; c < N_CLASSES; c++) {
		for (const struct hostile_case *k = classes[c].cases; k->name; k++)
			printf("%s %s %s %s\n", classes[c].name, k->name, fates[k->fate], k->drop ? k->drop : "-");
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"path", 1, NULL, 'p'},	       {"connect", 0, NULL, 'c'}, {"wait", 1, NULL, 'w'}, {"list", 0, NULL, 'l'},
		{"no-recovery", 0, NULL, 'n'}, {"hold", 0, NULL, 'H'},	  {"help", 0, NULL, 'h'}, {0}};
	struct hostile h = {.wait_s = 10};
	bool recovery = true, ok = true;
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'p')
			h.path = optarg;
		else if (o == 'c')
			h.connect = true;
		else if (o == 'w')
			h.wait_s = strtod(optarg, NULL);
		else if (o == 'H')
			h.hold = true;
		else if (o == 'n')
			recovery = false;
		else if (o == 'l')
			return list();
		else {
			fputs(help, o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : 2;
		}
	}
	if (!h.path || optind == argc) {
		fputs(help, stderr);
		return 2;
	}
	for (int i = optind; i < argc; i++) {
		const char *class;
		const struct hostile_case *k = find(argv[i], &class);

		if (!k) {
			fprintf(stderr, "vhost_hostile: %s: no such case (--list)\n", argv[i]);
			return 2;
		}
		ok &= run(&h, k, class, recovery);
	}
	return !ok;
}

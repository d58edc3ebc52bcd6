/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two guests that exchange numbered frames through a switch, and hold it to every one of them.
 *
 *      A  02:5e:00:00:00:01  ==vhost-user==+--------+==vhost-user==  B  02:5e:00:00:00:02
 *         numbers 0, 1, 2 ...  ----------> | switch | ---------->       each once, in order, unchanged
 *         each once, in order  <---------- |        | <----------       numbers 0, 1, 2 ...
 *                                          +--------+
 *
 * No more than --window frames are under way in each direction, and no more than half of what a ring can hold, so nothing may be
 * lost for want of room: what does not arrive, the switch has lost. Order is kept within a queue pair, by unicast and broadcasts
 * each for itself: a switch may take them different ways. Each frame's length and content follow from its number. Every --flood'th
 * is a broadcast, so that third ports have something to receive. Other frames that arrive are counted and ignored.
 *
 * It is driven by its standard input: a line asks for a line of JSON about how it stands; the end of the file ends the stream.
 * Then what is under way is waited for, the last line of JSON printed, and the exit status is 1 if a frame is missing, came
 * twice, came late or came changed.
 *
 * It sleeps when there is nothing to do, woken by the back end's calls: it is meant to run beside a test and not to be one of load.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

#define MIN_FRAME 60
#define MAX_FRAME 9018 /* a payload of 9000 with its header and a tag */
#define HEAD	  (14 + 8 + 8)
#define ETHERTYPE 0x88b5
#define MAGIC	  0x6d61657274732d76ull
#define PATIENCE  10.0 /* seconds until a frame is lost: long, for a machine that has other things to do */
#define ANNOUNCE  ~0ull

static const char help[] =
	"usage: vhost_stream --path SOCKET --path SOCKET [options]\n"
	"\n"
	"  --path SOCKET    of A, then of B; made and listened on\n"
	"  --connect        connect to them instead\n"
	"  --pps N          frames a second in each direction (default 10000)\n"
	"  --window N       under way in each direction at most (default 64)\n"
	"  --flood N        every Nth frame is a broadcast (default 8; 0: none)\n"
	"  --max-frame N    longest frame (60-9018, default 1514)\n"
	"  --room N         bytes of a receive buffer (default 2048; smaller than frames needs mergeable buffers)\n"
	"  --shape SHAPE    direct, chained or indirect buffers (default direct)\n"
	"  --parts N        descriptors of a chain (2-16, default 3)\n"
	"  --ring N         slots (default 256)\n"
	"  --pairs N        queue pairs, sent by in turn (default 1)\n"
	"  --regions N      memory regions (default 2)\n"
	"  --plain          no mergeable receive buffers\n"
	"  --event-idx      event indices\n"
	"  --wait S         for the back end to come (default 10)\n"
	"\n"
	"Prints {\"ready\": true} when frames have passed both ways, and for each line of input, and at the end\n"
	"  {\"a\": {sent, received, lost, twice, late, changed, foreign, lied}, \"b\": {...}, \"ok\"}\n"
	"where `a` is what A sent and B received.\n";

static struct {
	const char *path[2];
	unsigned pps, window, flood, max_frame, room, parts, ring, pairs, regions;
	enum front_shape shape;
	bool connect, plain, event_idx;
	double wait_s;
} opt = {.pps = 10000,
	 .window = 64,
	 .flood = 8,
	 .max_frame = 1514,
	 .room = 2048,
	 .parts = 3,
	 .ring = 256,
	 .pairs = 1,
	 .regions = 2,
	 .wait_s = 10};

/* One direction: what `from` sends and the other receives. */
struct direction {
	struct front front; /* of the sender */
	uint64_t sent, received, twice, late, changed, foreign;
	uint64_t next[2][FRONT_MAX_RINGS / 2]; /* the number that is due next: unicast and broadcast, by a queue pair */
	uint8_t seen[1 << 13];
	bool announced; /* the other side has heard from us */
	double progress;
};

static struct direction side[2];

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, int rc)
{
	fprintf(stderr, "vhost_stream: %s: %s\n", what, strerror(-rc));
	exit(2);
}

/* --- frames ---------------------------------------------------------------------------------------------------------------- */

static void mac(uint8_t *at, unsigned who)
{
	static const uint8_t prefix[5] = {0x02, 0x5e, 0, 0, 0};

	memcpy(at, prefix, 5);
	at[5] = (uint8_t)(1 + who);
}

static uint32_t length_of(uint64_t number)
{
	uint64_t x = number * 0x9e3779b97f4a7c15ull;

	return number == ANNOUNCE ? MIN_FRAME : MIN_FRAME + (uint32_t)((x >> 33) % (opt.max_frame - MIN_FRAME + 1));
}

static bool is_flooded(uint64_t number)
{
	return number == ANNOUNCE || (opt.flood && number % opt.flood == 0);
}

static uint32_t frame_make(uint8_t *f, unsigned from, uint64_t number)
{
	const uint64_t magic = MAGIC;
	uint32_t len = length_of(number);
	uint8_t x = (uint8_t)(number * 37 + from);

	if (is_flooded(number))
		memset(f, 0xff, 6);
	else
		mac(f, !from);
	mac(f + 6, from);
	f[12] = ETHERTYPE >> 8;
	f[13] = ETHERTYPE & 0xff;
	memcpy(f + 14, &magic, 8);
	memcpy(f + 22, &number, 8);
	for (uint32_t i = HEAD; i < len; i++)
		f[i] = x = (uint8_t)(x * 5 + 13);
	return len;
}

/* --- counting -------------------------------------------------------------------------------------------------------------- */

static bool seen_before(struct direction *d, uint64_t number)
{
	uint8_t *byte = &d->seen[number / 8 % sizeof(d->seen)], bit = (uint8_t)(1 << number % 8);
	bool was = *byte & bit;

	*byte |= bit;
	/* Forget the far side of the circle, a byte ahead of where numbers come next. */
	d->seen[(number / 8 + sizeof(d->seen) / 2) % sizeof(d->seen)] = 0;
	return was;
}

static void take(unsigned from, const uint8_t *f, uint32_t len)
{
	struct direction *d = &side[from];
	uint8_t want[MAX_FRAME], sender[6];
	uint64_t magic, number, *next;

	mac(sender, from);
	if (len < HEAD || memcmp(f + 6, sender, 6) != 0) {
		d->foreign++;
		return;
	}
	memcpy(&magic, f + 14, 8);
	memcpy(&number, f + 22, 8);
	if (magic != MAGIC) {
		d->changed++;
		return;
	}
	if (number == ANNOUNCE) {
		d->announced = true;
		return;
	}
	if (frame_make(want, from, number) != len || memcmp(want, f, len) != 0) {
		d->changed++;
		return;
	}
	if (seen_before(d, number)) {
		d->twice++;
		return;
	}
	next = &d->next[is_flooded(number)][number % opt.pairs];
	d->received++;
	d->progress = now_s();
	if (number < *next)
		d->late++;
	else
		*next = number + 1;
}

/* --- moving ---------------------------------------------------------------------------------------------------------------- */

/* Receive all that has come to the receiver of direction `from`. */
static bool receive(unsigned from)
{
	static uint8_t f[1 << 16];
	struct front *receiver = &side[!from].front;
	bool any = false;

	for (unsigned q = 0; q < opt.pairs; q++) {
		ssize_t n;

		while ((n = front_recv(receiver, 2 * q, NULL, f, sizeof(f))) != -EAGAIN) {
			any = true;
			if (n >= 0)
				take(from, f, (uint32_t)n);
		}
	}
	return any;
}

/* The ring that it goes by. */
static unsigned ring_of(uint64_t number)
{
	return 2 * (unsigned)(number % opt.pairs) + 1;
}

static bool send_one(unsigned from, uint64_t number)
{
	uint8_t f[MAX_FRAME];
	uint32_t len = frame_make(f, from, number);
	int rc = front_send(&side[from].front, ring_of(number), NULL, f, len);

	if (rc && rc != -EAGAIN)
		die("send", rc);
	return rc == 0;
}

static bool send_due(unsigned from, uint64_t due)
{
	struct direction *d = &side[from];
	bool any = false;

	while (d->sent < due && d->sent - d->received < opt.window && send_one(from, d->sent)) {
		if (d->sent++ == d->received)
			d->progress = now_s();
		any = true;
	}
	return any;
}

static uint64_t lost(const struct direction *d)
{
	return d->sent - d->received;
}

static void want_calls(bool on)
{
	for (unsigned s = 0; s < 2; s++) {
		for (unsigned q = 0; q < opt.pairs; q++) {
			eventfd_t n;

			front_want_calls(&side[s].front.ring[2 * q], on);
			if (!on)
				(void)!eventfd_read(side[s].front.ring[2 * q].call, &n);
		}
	}
}

/* Sleep until a frame has come, a line, or a millisecond has passed. Returns whether there is input. */
static bool rest(bool input)
{
	struct pollfd p[1 + FRONT_MAX_RINGS];
	nfds_t n = 0;

	p[n++] = (struct pollfd){.fd = input ? 0 : -1, .events = POLLIN};
	for (unsigned s = 0; s < 2; s++)
		for (unsigned q = 0; q < opt.pairs; q++)
			p[n++] = (struct pollfd){.fd = side[s].front.ring[2 * q].call, .events = POLLIN};
	want_calls(true);
	if (receive(0) || receive(1)) {
		want_calls(false);
		return false;
	}
	poll(p, n, 1);
	want_calls(false);
	return p[0].revents & (POLLIN | POLLHUP);
}

/* --- telling --------------------------------------------------------------------------------------------------------------- */

static bool all_well(void)
{
	bool ok = true;

	for (unsigned s = 0; s < 2; s++)
		ok = ok && !side[s].twice && !side[s].late && !side[s].changed && !side[s].front.lied;
	return ok;
}

static void report(bool end)
{
	bool ok = all_well() && (!end || (!lost(&side[0]) && !lost(&side[1])));

	for (unsigned s = 0; s < 2; s++) {
		const struct direction *d = &side[s];

		printf("%s\"%c\": {\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"twice\": %lu, \"late\": %lu, \"changed\": "
		       "%lu, "
		       "\"foreign\": %lu, \"lied\": %lu}",
		       s ? ", " : "{", 'a' + (int)s, d->sent, d->received, end ? lost(d) : 0, d->twice, d->late, d->changed,
		       d->foreign, side[!s].front.lied);
	}
	printf(", \"ok\": %s}\n", ok ? "true" : "false");
	fflush(stdout);
}

/* --- phases ---------------------------------------------------------------------------------------------------------------- */

static void bring_up(void)
{
	struct front_conf conf = {.connect = opt.connect,
				  .wait_s = opt.wait_s,
				  .ring = opt.ring,
				  .pairs = opt.pairs,
				  .regions = opt.regions,
				  .region_mib = 64,
				  .features = FRONT_BIT(VIRTIO_F_VERSION_1),
				  .protocol = FRONT_BIT(FRONT_PF_REPLY_ACK) | FRONT_BIT(FRONT_PF_MQ)};

	conf.features |= opt.plain ? 0 : FRONT_BIT(VIRTIO_NET_F_MRG_RXBUF);
	conf.features |= opt.event_idx ? FRONT_BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
	conf.features |= opt.shape == FRONT_INDIRECT ? FRONT_BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	conf.features |= opt.pairs > 1 ? FRONT_BIT(VIRTIO_NET_F_MQ) : 0;
	for (unsigned s = 0; s < 2; s++) {
		int rc;

		conf.path = opt.path[s];
		rc = front_open(&side[s].front, &conf);
		for (unsigned q = 0; q < opt.pairs && !rc; q++) {
			rc = front_buffers(&side[s].front, 2 * q, opt.shape, opt.parts, opt.room);
			if (!rc)
				rc = front_buffers(&side[s].front, 2 * q + 1, opt.shape, opt.parts, FRONT_HDR + opt.max_frame);
		}
		if (rc)
			die(opt.path[s], rc);
	}
	for (unsigned s = 0; s < 2; s++) {
		int rc = front_up(&side[s].front);

		if (rc)
			die(opt.path[s], rc);
	}
}

/* So many of the longest frames have room in half a ring, sent or received. */
static unsigned window_fitting(void)
{
	unsigned chain = opt.shape == FRONT_CHAINED ? opt.parts : 1,
		 buffers = (FRONT_HDR + opt.max_frame + opt.room - 1) / opt.room;
	unsigned fits = opt.ring / chain / buffers / 2;

	if (fits == 0)
		die("the ring is too small for the frames", -EINVAL);
	return opt.window < fits ? opt.window : fits;
}

/*
 * Speak until the other has heard: the port may be up here before it is there. Once more only when the one before has been taken and what it
 * brought has been received: no more than two are then under way, which any ring has room for.
 */
static void announce(void)
{
	double end = now_s() + opt.wait_s, again[2] = {0, 0};

	while (!side[0].announced || !side[1].announced) {
		for (unsigned s = 0; s < 2; s++) {
			bool taken = front_reclaim(&side[s].front, ring_of(ANNOUNCE)) == 0;

			receive(s);
			if (taken && now_s() > again[s] && !side[s].announced && send_one(s, ANNOUNCE))
				again[s] = now_s() + 0.05;
		}
		rest(false);
		if (now_s() > end)
			die("no frame passes", -ETIMEDOUT);
	}
	printf("{\"ready\": true}\n");
	fflush(stdout);
}

/* False: the input has ended. */
static bool answer(void)
{
	char line[256];
	ssize_t n = read(0, line, sizeof(line));

	if (n <= 0)
		return false;
	for (ssize_t i = 0; i < n; i++) {
		if (line[i] == '\n')
			report(false);
	}
	return true;
}

static void stream(void)
{
	double start = now_s(), skipped = 0, last = start;

	for (;;) {
		double now = now_s();
		uint64_t due;
		bool busy = false;

		/* What could not be sent for a while is not made up for in a burst. */
		if (now - last > 0.01)
			skipped += now - last - 0.01;
		last = now;
		due = (uint64_t)((now - start - skipped) * opt.pps);
		for (unsigned s = 0; s < 2; s++) {
			busy |= receive(s);
			busy |= send_due(s, due);
			if (lost(&side[s]) && now - side[s].progress > PATIENCE)
				return; /* it will not come any more */
		}
		if (!busy && rest(true) && !answer())
			return;
	}
}

static void drain(void)
{
	while (lost(&side[0]) || lost(&side[1])) {
		double now = now_s();

		if ((!lost(&side[0]) || now - side[0].progress > PATIENCE) &&
		    (!lost(&side[1]) || now - side[1].progress > PATIENCE))
			return;
		if (!receive(0) && !receive(1))
			rest(false);
	}
}

static unsigned number(const char *name, unsigned min, unsigned max)
{
	char *end;
	unsigned long n = strtoul(optarg, &end, 10);

	if (*end || n < min || n > max) {
		fprintf(stderr, "vhost_stream: --%s %s: %u-%u\n", name, optarg, min, max);
		exit(2);
	}
	return (unsigned)n;
}

/* Options that are numbers, and their bounds. */
static const struct {
	const char *name;
	unsigned *at, least, most;
} numbers[] = {
	{"pps", &opt.pps, 1, 10000000},
	{"window", &opt.window, 1, 16384},
	{"flood", &opt.flood, 0, 1000000},
	{"max-frame", &opt.max_frame, MIN_FRAME, MAX_FRAME},
	{"room", &opt.room, 64, 1 << 16},
	{"parts", &opt.parts, 2, FRONT_MAX_PARTS},
	{"ring", &opt.ring, 2, FRONT_MAX_RING},
	{"pairs", &opt.pairs, 1, FRONT_MAX_RINGS / 2},
	{"regions", &opt.regions, 1, FRONT_MAX_REGIONS},
};

static void usage(FILE *to)
{
	fputs(help, to);
	exit(to == stdout ? 0 : 2);
}

static enum front_shape shape(const char *name)
{
	static const char *const shapes[] = {"direct", "chained", "indirect"};

	for (int i = 0; i < 3; i++) {
		if (!strcmp(name, shapes[i]))
			return (enum front_shape)i;
	}
	fprintf(stderr, "vhost_stream: --shape %s: direct, chained or indirect\n", name);
	exit(2);
}

static void option(const char *name)
{
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!strcmp(name, numbers[i].name))
			*numbers[i].at = number(name, numbers[i].least, numbers[i].most);
	}
	if (!strcmp(name, "shape"))
		opt.shape = shape(optarg);
	else if (!strcmp(name, "wait"))
		opt.wait_s = strtod(optarg, NULL);
	else if (!strcmp(name, "connect"))
		opt.connect = true;
	else if (!strcmp(name, "plain"))
		opt.plain = true;
	else if (!strcmp(name, "event-idx"))
		opt.event_idx = true;
	else if (!strcmp(name, "help"))
		usage(stdout);
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = {{"path", 1, NULL, 'p'},
					      {"connect", 0, NULL, 0},
					      {"pps", 1, NULL, 0},
					      {"window", 1, NULL, 0},
					      {"flood", 1, NULL, 0},
					      {"room", 1, NULL, 0},
					      {"shape", 1, NULL, 0},
					      {"parts", 1, NULL, 0},
					      {"max-frame", 1, NULL, 0},
					      {"ring", 1, NULL, 0},
					      {"pairs", 1, NULL, 0},
					      {"regions", 1, NULL, 0},
					      {"plain", 0, NULL, 0},
					      {"wait", 1, NULL, 0},
					      {"help", 0, NULL, 0},
					      {"event-idx", 0, NULL, 0},
					      {0}};
	unsigned n = 0;
	int o, at;

	while ((o = getopt_long(argc, argv, "", longs, &at)) != -1) {
		if (o == 0)
			option(longs[at].name);
		else if (o == 'p' && n < 2)
			opt.path[n++] = optarg;
		else
			usage(stderr);
	}
	if (n != 2)
		usage(stderr);
}

int main(int argc, char **argv)
{
	bool ok;

	options(argc, argv);
	opt.window = window_fitting();
	bring_up();
	announce();
	stream();
	drain();
	report(true);
	ok = all_well() && !lost(&side[0]) && !lost(&side[1]);
	front_close(&side[0].front);
	front_close(&side[1].front);
	return !ok;
}

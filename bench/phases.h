/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PHASES_H
#define BENCH_PHASES_H

/*
 * The measurement, phase by phase, for a source that has ends in pairs: announce, warm up, measure, drain, report. Included by
 * a source after it has defined (see memif_end.h for one):
 *
 *      struct end          path, side, pair, sends; frames: n_frames, next_frame, fixed; head, taken: indices of our own; sent,
 *                          received, sample_in
 *      frame_at            where frame i lies; frame n_frames is there for announcements
 *      send_room           how many frames the switch could take; the ring's size when it holds none
 *      slot_set, publish   let a slot hold a frame; show the switch n slots more
 *      arrived, give_back  frames that have come; their buffers, offered again once `taken` is behind them
 *      look_at             is what came a frame for this end, and how old is it
 *      short_circuit       for the ceiling: hand over what one end has sent to the other
 *
 * Before anything is measured each address speaks twice, to another one of its own side, so that a switch learns where it is
 * and floods nothing. What is lost is what was sent in the measured time and did not come out, after all was given time to. Of
 * the frames received one in SAMPLE is looked at: it must be one for this end. In mode `rate` every frame carries its
 * time and is looked at.
 */
#include <getopt.h>
#include <sched.h>

#define BATCH	 64 /* frames offered at once at most */
#define DRAIN_US 100000

static struct end *ends, *idle_ends;
static unsigned n_ends, n_idle_ends;

/* --- sending and receiving ------------------------------------------------------------------------------------------- */

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
				frame_stamp(frame_at(e, e->next_frame), now);
			if (!e->fixed)
				slot_set(e, (uint16_t)(e->head + i), e->next_frame);
			if (++e->next_frame == e->n_frames)
				e->next_frame = 0;
		}
	}
	publish(e, n);
	return n;
}

static inline uint32_t receive_frames(struct end *e, bool stamped)
{
	uint16_t n = arrived(e);

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
	give_back(e);
	return n;
}

/* Offer one frame out of its turn: from this side to this side's address 0. */
static void send_announcement(struct end *e, uint32_t mac)
{
	frame_write(frame_at(e, e->n_frames), e->pair, e->side, e->side, mac, 0, 0);
	slot_set(e, e->head, e->n_frames);
	publish(e, 1);
}

/* All announced: from now on the slots hold the frames to send. */
static void slots_fill(struct end *e)
{
	for (uint32_t s = 0; s < opt.ring; s++)
		slot_set(e, (uint16_t)s, s);
	/* Where slot and frame go together, the next frame is the next slot's. */
	e->next_frame = e->fixed ? e->head & (opt.ring - 1) : 0;
}

/* --- phases -------------------------------------------------------------------------------------------------------- */

static void receive_all(bool stamped)
{
	for (unsigned i = 0; i < n_ends; i++)
		receive_frames(&ends[i], stamped);
}

/* Until nothing has come for a while. */
static void drain(bool stamped)
{
	uint64_t quiet = (uint64_t)(tsc_hz * DRAIN_US / 1e6), last = tsc();

	if (opt.mode == MODE_CEILING)
		quiet /= 100; /* one who only moves indices needs no time to speak of */
	do {
		for (unsigned i = 0; i < n_ends; i++) {
			if (opt.mode == MODE_CEILING)
				short_circuit(&ends[i], &ends[i ^ 1]);
			if (receive_frames(&ends[i], stamped) || send_room(&ends[i]) != opt.ring)
				last = tsc();
		}
		if (tsc() - last > 50 * quiet)
			break;
	} while (tsc() - last <= quiet);
}

static void run_max(uint64_t until)
{
	while (tsc() < until) {
		for (unsigned round = 0; round < 16; round++) {
			for (unsigned i = 0; i < n_ends; i++) {
				struct end *e = &ends[i];

				receive_frames(e, false);
				if (e->sends)
					send_frames(e, BATCH, false);
				if (opt.mode == MODE_CEILING)
					short_circuit(e, &ends[i ^ 1]);
			}
		}
	}
}

/* Frames that were due and could not be offered, since the switch had not taken those before. */
static uint64_t not_taken;

static void run_rate(uint64_t until)
{
	unsigned senders = opt.one_way ? n_ends / 2 : n_ends;
	double per_tick = opt.rate_pps / tsc_hz / senders;
	uint64_t start = tsc(), now, due[MAX_ENDS] = {0};

	while ((now = tsc()) < until) {
		uint64_t target = (uint64_t)((double)(now - start) * per_tick);

		for (unsigned i = 0; i < n_ends; i++) {
			receive_frames(&ends[i], true);
			if (ends[i].sends && target > due[i]) {
				uint32_t want = (uint32_t)(target - due[i]);

				not_taken += want - send_frames(&ends[i], want, true);
				due[i] = target;
			}
		}
	}
}

/*
 * One frame, until it is out at the other end; then one from there. The time is kept here and not written into the frame: a
 * frame that changes costs the switch a cache miss, which is the writer's doing and not the switch's.
 */
static void run_ping(uint64_t until)
{
	const uint64_t patience = (uint64_t)(tsc_hz / 10);

	for (unsigned i = 0; tsc() < until; i = (i + 1) % n_ends) {
		struct end *from = &ends[i], *to = &ends[i ^ 1];
		uint64_t sent, now;
		bool came;

		if (!from->sends)
			continue;
		sent = tsc();
		send_frames(from, 1, false);
		do {
			came = receive_frames(to, false);
			now = tsc();
		} while (!came && now - sent < patience);
		if (came)
			latency_add(now - sent);
	}
}

/* Each address speaks twice, to address 0 of its own side, which the switch then knows and sends nowhere. */
static void announce(void)
{
	for (unsigned i = 0; i < n_ends; i++) {
		struct end *e = &ends[i];

		for (uint32_t m = 0; m < 2 * opt.macs; m++) {
			uint64_t start = tsc();

			send_announcement(e, m % opt.macs);
			while (send_room(e) != opt.ring) { /* one frame, written anew each time */
				receive_all(false);
				if ((double)(tsc() - start) > tsc_hz)
					die("%s: takes no frames", e->path);
			}
		}
	}
	drain(false);
}

static void run(double seconds)
{
	uint64_t until = tsc() + (uint64_t)(seconds * tsc_hz);

	if (opt.mode == MODE_RATE)
		run_rate(until);
	else if (opt.mode == MODE_PING)
		run_ping(until);
	else
		run_max(until);
}

static void totals(uint64_t *tx, uint64_t *rx)
{
	*tx = *rx = 0;
	for (unsigned i = 0; i < n_ends; i++) {
		*tx += ends[i].sent;
		*rx += ends[i].received;
	}
}

/* --- start --------------------------------------------------------------------------------------------------------- */

static void *grow(void *memory, size_t bytes)
{
	void *more = realloc(memory, bytes);

	if (!more)
		die("out of memory");
	return more;
}

/* The options that every source has, for its getopt_long(); option_common() takes them. */
#define OPTIONS_COMMON                                                                                                          \
	{"pair", 1, NULL, 'p'}, {"idle", 1, NULL, 'i'}, {"mode", 1, NULL, 'm'}, {"rate", 1, NULL, 'r'}, {"size", 1, NULL, 's'}, \
		{"flows", 1, NULL, 'f'}, {"macs", 1, NULL, 'M'}, {"seconds", 1, NULL, 't'}, {"warmup", 1, NULL, 'w'},           \
		{"ring", 1, NULL, 'g'}, {"core", 1, NULL, 'c'}, {"wait", 1, NULL, 'W'}, {"no-learn", 0, NULL, 'n'},             \
	{                                                                                                                       \
		"one-way", 0, NULL, 'o'                                                                                         \
	}

#define HELP_COMMON                                                                                              \
	"  --mode MODE        max: as fast as they are taken (default)\n"                                        \
	"                     rate: --rate frames a second, with latency\n"                                      \
	"                     ping: one frame in flight, with latency\n"                                         \
	"                     ceiling: no switch, no sockets: what the source itself can do (give any --pair)\n" \
	"  --rate PPS         frames a second, all ends together (mode rate)\n"                                  \
	"  --flows N          flows in each direction (default 1)\n"                                             \
	"  --macs M           addresses on each side (default 1)\n"                                              \
	"  --seconds T        measured time (default 5; fractions are fine)\n"                                   \
	"  --warmup T         before that (default 1)\n"                                                         \
	"  --ring N           slots, a power of two (default 1024)\n"                                            \
	"  --core N           CPU to run on\n"                                                                   \
	"  --wait T           seconds to wait for the other side (default 10)\n"                                 \
	"  --no-learn         do not announce the addresses (for a forwarder that looks at none)\n"              \
	"  --one-way          only the first end of a pair sends\n"

#define HELP_OUTPUT                                                                                          \
	"Output: {mode, pairs, idle, size, flows, macs, seconds, tx_frames, rx_frames, lost, wrong, mpps,\n" \
	"         latency_us: {samples, p50, p99, p999, max}}; mpps counts frames that came out in the measured time.\n"

static const char *const modes[] = {"max", "rate", "ping", "ceiling"};

static enum mode mode_parse(const char *text)
{
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(text, modes[i]))
			return (enum mode)i;
	}
	die("--mode %s: max, rate, ping or ceiling", text);
}

/* Take an option. False: it is not a common one. `help` is printed for 'h'. */
static bool option_common(int o, const char *help)
{
	switch (o) {
	case 'm':
		opt.mode = mode_parse(optarg);
		return true;
	case 'r':
		opt.rate_pps = strtod(optarg, NULL);
		return true;
	case 's':
		opt.size = (uint32_t)strtoul(optarg, NULL, 10);
		return true;
	case 'f':
		opt.flows = (uint32_t)strtoul(optarg, NULL, 10);
		return true;
	case 'M':
		opt.macs = (uint32_t)strtoul(optarg, NULL, 10);
		return true;
	case 't':
		opt.seconds = strtod(optarg, NULL);
		return true;
	case 'w':
		opt.warmup = strtod(optarg, NULL);
		return true;
	case 'g':
		opt.ring = (uint32_t)strtoul(optarg, NULL, 10);
		return true;
	case 'c':
		opt.core = atoi(optarg);
		return true;
	case 'W':
		opt.wait_s = strtod(optarg, NULL);
		return true;
	case 'n':
		opt.learn = false;
		return true;
	case 'o':
		opt.one_way = true;
		return true;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		return false;
	}
}

/* Hold them to each other, when all have been taken. */
static void options_check(uint32_t max_size, uint32_t max_ring)
{
	if (n_ends == 0)
		die("no --pair (see --help)");
	if (opt.size < MIN_FRAME || opt.size > max_size)
		die("--size %u: 60-%u", opt.size, max_size);
	if (opt.ring < 64 || opt.ring > max_ring || (opt.ring & (opt.ring - 1)))
		die("--ring %u: a power of two from 64 to %u", opt.ring, max_ring);
	if (opt.flows < 1 || opt.flows > 10000000 || opt.macs < 1 || opt.macs > 1 << 22)
		die("--flows 1-10000000, --macs 1-4194304");
	if (opt.mode == MODE_RATE && opt.rate_pps < 1)
		die("--mode rate needs --rate");
	if (opt.mode == MODE_CEILING)
		opt.learn = false;
}

/* Run this thread on that CPU; -1: on any. */
static void pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("CPU %d: %s", core, strerror(errno));
}

/* Who sends what: end i of the list is side i & 1 of pair i / 2. */
static void end_place(unsigned i)
{
	ends[i].side = i & 1;
	ends[i].pair = i / 2;
	ends[i].sends = !opt.one_way || ends[i].side == 0;
}

/* Everything from the first announcement to the line of JSON; all ends are connected. Returns the exit status. */
static int measure(void)
{
	bool stamped = opt.mode == MODE_RATE;
	uint64_t tx0, rx0, tx1, rx1, tx2, rx2, start;
	double seconds;

	if (opt.learn)
		announce();
	for (unsigned i = 0; i < n_ends; i++)
		slots_fill(&ends[i]);
	run(opt.warmup);
	drain(stamped);
	memset(&latency, 0, sizeof(latency));
	wrong = not_taken = 0;
	totals(&tx0, &rx0);
	start = tsc();
	run(opt.seconds);
	seconds = (double)(tsc() - start) / tsc_hz;
	totals(&tx1, &rx1);
	drain(stamped);
	totals(&tx2, &rx2);

	printf("{\"mode\": \"%s\", \"pairs\": %u, \"idle\": %u, \"size\": %u, \"flows\": %u, \"macs\": %u, \"seconds\": %.3f, "
	       "\"tx_frames\": %lu, \"rx_frames\": %lu, \"lost\": %ld, \"wrong\": %lu, \"mpps\": %.3f",
	       modes[opt.mode], n_ends / 2, n_idle_ends, opt.size, opt.flows, opt.macs, seconds, tx2 - tx0 + not_taken, rx2 - rx0,
	       (long)(tx2 - tx0 + not_taken - (rx2 - rx0)), wrong, (double)(rx1 - rx0) / seconds / 1e6);
	if (latency.n)
		printf(", \"latency_us\": {\"samples\": %lu, \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}",
		       latency.n, latency_quantile(0.5), latency_quantile(0.99), latency_quantile(0.999), latency.max_us);
	printf("}\n");
	return rx2 == rx0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source and sink of frames over memif, for benchmarks: as cheap as it can be, so that what it measures is the switch.
 *
 *        A1 ---- memif ----+--------+---- memif ---- B1
 *        A2 ---- memif ----| switch |---- memif ---- B2        one core, which plays all ends
 *                          +--------+
 *
 * How an end works, and what its frames are: memif_end.h. `--mode ceiling` says what the source itself can do.
 *
 * Before anything is measured each address speaks twice, to another one of its own side, so that a switch learns where it is
 * and floods nothing. What is lost is what was sent in the measured time and did not come out, after all was given time to. Of
 * the frames received one in SAMPLE is looked at: it must be one for this end. In the modes `rate` and `ping` every frame
 * carries its time and is looked at.
 */
#include <getopt.h>
#include <sched.h>

#include "memif_end.h"

#define BATCH	 64 /* frames offered at once at most */
#define DRAIN_US 100000

static const char help[] =
	"usage: memif_source --pair PATH[:ID],PATH[:ID] [--pair ...] [options]\n"
	"\n"
	"Send frames through a switch between memif servers (a switch's ports with role server, or testpmd's), count\n"
	"what comes out, and print one line of JSON. All ends are played by one core.\n"
	"\n"
	"  --pair A,B         two ends that send to each other; each is a socket path, with an interface id if not 0\n"
	"  --idle PATH[:ID[-LAST]]  connect these too and say nothing\n"
	"  --mode MODE        max: as fast as they are taken (default)\n"
	"                     rate: --rate frames a second, with latency\n"
	"                     ping: one frame in flight, with latency\n"
	"                     ceiling: no switch, no sockets: what the source itself can do (give any --pair)\n"
	"  --rate PPS         frames a second, all ends together (mode rate)\n"
	"  --size BYTES       of a frame, without FCS (60-2048, default 64)\n"
	"  --flows N          flows in each direction (default 1)\n"
	"  --macs M           addresses on each side (default 1)\n"
	"  --seconds T        measured time (default 5; fractions are fine)\n"
	"  --warmup T         before that (default 1)\n"
	"  --ring N           slots, a power of two (default 1024)\n"
	"  --core N           CPU to run on\n"
	"  --wait T           seconds to wait for the servers (default 10)\n"
	"  --no-learn         do not announce the addresses (for a forwarder that looks at none)\n"
	"  --one-way          only the first end of a pair sends\n"
	"\n"
	"For `dpdk-testpmd --forward-mode=io` give its ports as\n"
	"  --vdev=net_memif0,role=server,socket-abstract=no,socket=PATH --vdev=net_memif1,role=server,id=1,...\n"
	"Output: {mode, pairs, idle, size, flows, macs, seconds, tx_frames, rx_frames, lost, wrong, mpps,\n"
	"         latency_us: {samples, p50, p99, p999, max}}; mpps counts frames that came out in the measured time.\n";

/* --- phases -------------------------------------------------------------------------------------------------------- */

static void receive_all(bool stamped)
{
	for (unsigned i = 0; i < n_ends; i++)
		receive_frames(&ends[i], stamped);
}

/* For the ceiling: nobody copies, so what is looked at is there from the start. */
static void received_already(struct end *e)
{
	struct end other = *e;

	other.side = !e->side;
	for (uint32_t i = 0; i < opt.ring; i++) {
		frame_write(e->rx_buffers + (uint64_t)i * e->shm.buffer_stride, &other, e->side, 0, 0, 0);
		e->s2c->desc[i].length = opt.size;
	}
	e->c2s->flags = MEMIF_RING_MASK_INT;
	e->s2c->head = (uint16_t)opt.ring;
}

/* Until nothing has come for a while. */
static void drain(bool stamped)
{
	uint64_t quiet = (uint64_t)(tsc_hz * DRAIN_US / 1e6), last = tsc();

	if (opt.mode == MODE_CEILING)
		quiet = 0;
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

/* One frame, until it is out at the other end; then one from there. */
static void run_ping(uint64_t until)
{
	const uint64_t patience = (uint64_t)(tsc_hz / 10);

	for (unsigned i = 0; tsc() < until; i = (i + 1) % n_ends) {
		struct end *from = &ends[i], *to = &ends[i ^ 1];
		uint64_t sent;

		if (!from->sends)
			continue;
		sent = tsc();
		send_frames(from, 1, true);
		while (!receive_frames(to, true) && tsc() - sent < patience)
			__builtin_ia32_pause();
	}
}

/* Each address speaks twice, to address 0 of its own side, which the switch then knows and sends nowhere. */
static void announce(void)
{
	for (unsigned i = 0; i < n_ends; i++) {
		struct end *e = &ends[i];
		uint8_t *f = e->frames + (uint64_t)e->n_frames * e->stride;

		for (uint32_t m = 0; m < 2 * opt.macs; m++) {
			uint64_t start = tsc();

			frame_write(f, e, e->side, m % opt.macs, 0, 0);
			slot_set(e, e->head, e->n_frames);
			publish(e, 1);
			while (send_room(e) != opt.ring) { /* one frame, written anew each time */
				receive_all(false);
				if ((double)(tsc() - start) > tsc_hz)
					die("%s:%u: takes no frames", e->path, e->id);
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

static void end_parse(struct end *e, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);

	if (len == 0 || len >= sizeof(e->path))
		die("%s: not a socket path", text);
	memcpy(e->path, text, len);
	e->id = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
}

static void pair_parse(char *text)
{
	char *comma = strchr(text, ',');

	if (!comma || n_ends + 2 > MAX_ENDS)
		die("--pair %s: two ends, with a comma between them", text);
	*comma = '\0';
	ends = grow(ends, (n_ends + 2) * sizeof(*ends));
	memset(&ends[n_ends], 0, 2 * sizeof(*ends));
	end_parse(&ends[n_ends], text);
	end_parse(&ends[n_ends + 1], comma + 1);
	n_ends += 2;
}

static void idle_parse(const char *text)
{
	const char *colon = strrchr(text, ':'), *dash = colon ? strchr(colon, '-') : NULL;
	struct end e = {0};
	uint32_t last;

	end_parse(&e, text);
	last = dash ? (uint32_t)strtoul(dash + 1, NULL, 10) : e.id;
	for (; e.id <= last; e.id++) {
		idle_ends = grow(idle_ends, (n_idle_ends + 1) * sizeof(*idle_ends));
		idle_ends[n_idle_ends++] = e;
	}
}

static void options(int argc, char **argv)
{
	static const char *const modes[] = {"max", "rate", "ping", "ceiling"};
	static const struct option longs[] = {
		{"pair", 1, NULL, 'p'},	    {"idle", 1, NULL, 'i'},    {"mode", 1, NULL, 'm'}, {"rate", 1, NULL, 'r'},
		{"size", 1, NULL, 's'},	    {"flows", 1, NULL, 'f'},   {"macs", 1, NULL, 'M'}, {"seconds", 1, NULL, 't'},
		{"warmup", 1, NULL, 'w'},   {"ring", 1, NULL, 'g'},    {"core", 1, NULL, 'c'}, {"wait", 1, NULL, 'W'},
		{"no-learn", 0, NULL, 'n'}, {"one-way", 0, NULL, 'o'}, {"help", 0, NULL, 'h'}, {0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (o) {
		case 'p':
			pair_parse(optarg);
			break;
		case 'i':
			idle_parse(optarg);
			break;
		case 'm':
			for (o = 0; o < 4 && strcmp(optarg, modes[o]) != 0; o++)
				;
			if (o == 4)
				die("--mode %s: max, rate, ping or ceiling", optarg);
			opt.mode = (enum mode)o;
			break;
		case 'r':
			opt.rate_pps = strtod(optarg, NULL);
			break;
		case 's':
			opt.size = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			opt.flows = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'M':
			opt.macs = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 't':
			opt.seconds = strtod(optarg, NULL);
			break;
		case 'w':
			opt.warmup = strtod(optarg, NULL);
			break;
		case 'g':
			opt.ring = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			opt.core = atoi(optarg);
			break;
		case 'W':
			opt.wait_s = strtod(optarg, NULL);
			break;
		case 'n':
			opt.learn = false;
			break;
		case 'o':
			opt.one_way = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			exit(2);
		}
	}
	if (n_ends == 0)
		die("no --pair (see --help)");
	if (opt.size < MIN_FRAME || opt.size > 2048)
		die("--size %u: 60-2048", opt.size);
	if (opt.ring < 64 || opt.ring > 1 << MEMIF_MAX_LOG2_RING || (opt.ring & (opt.ring - 1)))
		die("--ring %u: a power of two from 64 to 16384", opt.ring);
	if (opt.flows < 1 || opt.flows > 10000000 || opt.macs < 1 || opt.macs > 1 << 22)
		die("--flows 1-10000000, --macs 1-4194304");
	if (opt.mode == MODE_RATE && opt.rate_pps < 1)
		die("--mode rate needs --rate");
	if (opt.mode == MODE_CEILING)
		opt.learn = false;
}

static void pin(void)
{
	cpu_set_t set;

	if (opt.core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)opt.core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("--core %d: %s", opt.core, strerror(errno));
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"max", "rate", "ping", "ceiling"};
	uint64_t tx0, rx0, tx1, rx1, tx2, rx2, start, until;
	double seconds;

	options(argc, argv);
	pin();
	tsc_calibrate();
	until = tsc() + (uint64_t)(opt.wait_s * tsc_hz);
	for (unsigned i = 0; i < n_ends; i++) {
		struct end *e = &ends[i];

		e->side = i & 1;
		e->pair = i / 2;
		e->sends = !opt.one_way || e->side == 0;
		rings_make(e);
		frames_make(e);
		if (opt.mode != MODE_CEILING) {
			end_connect(e, until);
		} else {
			received_already(e);
		}
	}
	for (unsigned i = 0; i < n_idle_ends; i++) {
		rings_make(&idle_ends[i]);
		end_connect(&idle_ends[i], until);
	}
	if (opt.learn)
		announce();
	for (unsigned i = 0; i < n_ends; i++) {
		for (uint32_t s = 0; s < opt.ring; s++)
			slot_set(&ends[i], (uint16_t)s, s);
		/* Where slot and frame go together, the next frame is the next slot's. */
		ends[i].next_frame = ends[i].fixed ? ends[i].head & (opt.ring - 1) : 0;
	}

	run(opt.warmup);
	drain(opt.mode == MODE_RATE || opt.mode == MODE_PING);
	memset(&latency, 0, sizeof(latency));
	wrong = not_taken = 0;
	totals(&tx0, &rx0);
	start = tsc();
	run(opt.seconds);
	seconds = (double)(tsc() - start) / tsc_hz;
	totals(&tx1, &rx1);
	drain(opt.mode == MODE_RATE || opt.mode == MODE_PING);
	totals(&tx2, &rx2);

	printf("{\"mode\": \"%s\", \"pairs\": %u, \"idle\": %u, \"size\": %u, \"flows\": %u, \"macs\": %u, \"seconds\": %.3f, "
	       "\"tx_frames\": %lu, \"rx_frames\": %lu, \"lost\": %ld, \"wrong\": %lu, \"mpps\": %.3f",
	       modes[opt.mode], n_ends / 2, n_idle_ends, opt.size, opt.flows, opt.macs, seconds, tx2 - tx0 + not_taken, rx2 - rx0,
	       (long)(tx2 - tx0 + not_taken - (rx2 - rx0)), wrong, (double)(rx1 - rx0) / seconds / 1e6);
	if (latency.n)
		printf(", \"latency_us\": {\"samples\": %lu, \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}",
		       latency.n, latency_quantile(0.5), latency_quantile(0.99), latency_quantile(0.999), latency.max_us);
	printf("}\n");

	for (unsigned i = 0; i < n_ends + n_idle_ends; i++) {
		struct memif_msg bye = {.type = MEMIF_MSG_DISCONNECT, .disconnect.reason = "done"};

		if (opt.mode != MODE_CEILING)
			memif_sock_send(i < n_ends ? ends[i].sock : idle_ends[i - n_ends].sock, &bye, -1);
	}
	return rx2 == rx0;
}

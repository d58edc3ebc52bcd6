/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source and sink of frames over memif, for benchmarks: as cheap as it can be, so that what it measures is the switch.
 *
 *        A1 ---- memif ----+--------+---- memif ---- B1
 *        A2 ---- memif ----| switch |---- memif ---- B2        one core, which plays all ends
 *                          +--------+
 *
 * How an end works: memif_end.h. What its frames are: traffic.h. What is done with them and how it is counted: phases.h.
 * `--mode ceiling` says what the source itself can do.
 */
#include "memif_end.h"
#include "phases.h"

static const char help[] =
	"usage: memif_source --pair PATH[:ID],PATH[:ID] [--pair ...] [options]\n"
	"\n"
	"Send frames through a switch between memif servers (a switch's ports with role server, or testpmd's), count\n"
	"what comes out, and print one line of JSON. All ends are played by one core.\n"
	"\n"
	"  --pair A,B         two ends that send to each other; each is a socket path, with an interface id if not 0\n"
	"  --idle PATH[:ID[-LAST]]  connect these too and say nothing\n"
	"  --size BYTES       of a frame, without FCS (60-2048, default 64)\n" HELP_COMMON "\n"
	"For `dpdk-testpmd --forward-mode=io` give its ports as\n"
	"  --vdev=net_memif0,role=server,socket-abstract=no,socket=PATH --vdev=net_memif1,role=server,id=1,...\n" HELP_OUTPUT;

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
	static const struct option longs[] = {OPTIONS_COMMON, {"help", 0, NULL, 'h'}, {0}};
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'p')
			pair_parse(optarg);
		else if (o == 'i')
			idle_parse(optarg);
		else if (!option_common(o, help))
			exit(2);
	}
	options_check(2048, 1 << MEMIF_MAX_LOG2_RING);
}

int main(int argc, char **argv)
{
	uint64_t until;
	int status;

	options(argc, argv);
	pin(opt.core);
	tsc_calibrate();
	until = tsc() + (uint64_t)(opt.wait_s * tsc_hz);
	for (unsigned i = 0; i < n_ends; i++) {
		end_place(i);
		rings_make(&ends[i]);
		frames_make(&ends[i]);
		if (opt.mode != MODE_CEILING)
			end_connect(&ends[i], until);
		else
			received_already(&ends[i]);
	}
	for (unsigned i = 0; i < n_idle_ends; i++) {
		rings_make(&idle_ends[i]);
		end_connect(&idle_ends[i], until);
	}
	status = measure();

	for (unsigned i = 0; i < n_ends + n_idle_ends; i++) {
		struct memif_msg bye = {.type = MEMIF_MSG_DISCONNECT, .disconnect.reason = "done"};

		if (opt.mode != MODE_CEILING)
			memif_sock_send(i < n_ends ? ends[i].sock : idle_ends[i - n_ends].sock, &bye, -1);
	}
	return status;
}

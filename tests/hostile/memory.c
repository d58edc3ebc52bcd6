/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies about memory: regions that wrap, overlap or are not there, files that are none, files cut off under a mapping, and the same
 * of the dirty log.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"

#define FRAMES	   200
#define CONSUME_MS 15000
#define FLICKER_S  15.0 /* what is cut must be hit while it is: who has no CPU meanwhile does not */

/* --- the table ------------------------------------------------------------------------------------------------------------- */

enum file { OWN, EVENTFD, PIPE, DIRECTORY, DEV_NULL, READ_ONLY, EMPTY_FILE, NO_FILE };

struct table_lie {
	struct front_wire_region delta; /* added to what region 1 really is, */
	bool of_the_first;		/* or region 0, which begins where its file does */
	bool running;			/* told to running rings, in place of a good table */
	uint32_t n;			/* regions claimed; 0: 2 */
	uint32_t n_sent;		/* in the payload; 0: 2 */
	unsigned n_fds;			/* 0: 2 */
	enum file file;			/* of region 1 */
};

static int file_open(struct hostile *h, enum file file)
{
	int ends[2], fd;
	char path[64];

	switch (file) {
	case EVENTFD:
		return eventfd(0, EFD_CLOEXEC);
	case PIPE:
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		close(ends[1]);
		return ends[0];
	case DIRECTORY:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case DEV_NULL:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case READ_ONLY:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", h->f.region[1].fd);
		return open(path, O_RDONLY | O_CLOEXEC);
	case EMPTY_FILE:
		fd = memfd_create("empty", MFD_CLOEXEC);
		return fd;
	default:
		return dup(h->f.region[1].fd);
	}
}

static int table(struct hostile *h)
{
	const struct table_lie *lie = current_case->lie;
	uint32_t sent = lie->n_sent ? lie->n_sent : 2;
	struct front_msg msg = front_msg(FRONT_SET_MEM_TABLE, 8 + sent * (uint32_t)sizeof(struct front_wire_region));
	unsigned n_fds = lie->file == NO_FILE ? 1 : lie->n_fds ? lie->n_fds : 2;
	struct front_wire_region r[64], *lied;
	int fds[FRONT_MAX_FDS], rc = (lie->running ? honest_open : honest_negotiated)(h, &(struct front_conf){0});

	if (rc)
		return rc;
	msg.memory.n = lie->n ? lie->n : 2;
	for (uint32_t i = 0; i < sent && i < 64; i++)
		r[i] = front_wire_region(&h->f, i % 2);
	lied = &r[!lie->of_the_first];
	lied->gpa += lie->delta.gpa;
	lied->size += lie->delta.size;
	lied->uva += lie->delta.uva;
	lied->mmap_offset += lie->delta.mmap_offset;
	/* More than two regions that are all good: distinct, at least. */
	for (uint32_t i = 2; i < sent && i < 64; i++) {
		r[i].gpa += (uint64_t)i << 44;
		r[i].uva += (uint64_t)i << 44;
	}
	memcpy(msg.memory.region, r, (sent < 64 ? sent : 64) * sizeof(r[0]));
	fds[0] = h->f.region[0].fd;
	fds[1] = file_open(h, lie->file);
	for (unsigned i = 2; i < n_fds; i++)
		fds[i] = h->f.region[i % 2].fd;
	rc = front_msg_send(&h->f, &msg, fds, n_fds);
	if (fds[1] >= 0)
		close(fds[1]);
	/* What was refused too late shows when the rings are there and frames come from it. */
	for (unsigned i = 0; i < 2 && !rc && current_case->fate != CLOSE; i++) {
		rc = front_send_ring(&h->f, i);
		if (!rc)
			rc = front_enable(&h->f, i, true);
	}
	if (rc == -ECONNRESET)
		rc = 0;
	if (current_case->fate != CLOSE)
		pause_ms(100);
	return rc;
}

/* A thousand tables, each good, each with its descriptors: nothing piles up. */
static int tables_1000(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){0});

	for (unsigned i = 0; i < 1000 && !rc; i++)
		rc = front_send_memory(&h->f);
	return rc ? rc : send_honest(h, 5);
}

/* The table under running rings is replaced by one without the frames' region. */
static int region_taken_away(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_SET_MEM_TABLE, 8 + sizeof(struct front_wire_region));
	int rc = honest_open(h, &(struct front_conf){0});
	uint64_t features;
	uint8_t f[64];

	msg.memory.n = 1;
	msg.memory.region[0] = front_wire_region(&h->f, 0);
	if (!rc)
		rc = send_honest(h, 5);
	if (!rc)
		rc = front_msg_send(&h->f, &msg, &h->f.region[0].fd, 1);
	if (rc)
		return rc;
	/* What is sent before the back end has read that is still good. */
	rc = front_ask_u64(&h->f, FRONT_GET_FEATURES, &features);
	if (rc == -ECONNRESET)
		return 0;
	frame_fill(f, sizeof(f), false);
	for (unsigned i = 0; i < 20 && !rc; i++)
		rc = front_send(&h->f, 1, NULL, f, sizeof(f));
	if (!rc && !consumed(h, 1, CONSUME_MS))
		rc = gone(h) ? 0 : -ETIMEDOUT;
	return rc;
}

/* --- memory slots ---------------------------------------------------------------------------------------------------------- */

static int slots_negotiated(struct hostile *h)
{
	int rc = honest_negotiated(h,
				   &(struct front_conf){.protocol = FRONT_BIT(FRONT_PF_CONFIG_MEM_SLOTS) | FRONT_BIT(FRONT_PF_MQ)});

	if (!rc && !(h->f.protocol & FRONT_BIT(FRONT_PF_CONFIG_MEM_SLOTS))) {
		snprintf(h->why, sizeof(h->why), "the back end does not offer CONFIGURE_MEM_SLOTS");
		rc = -EPROTONOSUPPORT;
	}
	return rc ? rc : front_send_memory(&h->f);
}

static int slot_message(struct hostile *h, uint32_t request, struct front_wire_region r, int fd)
{
	struct front_msg msg = front_msg(request, sizeof(msg.slot));

	msg.slot.region = r;
	return front_msg_send(&h->f, &msg, &fd, fd >= 0);
}

static int slot_twice(struct hostile *h)
{
	int rc = slots_negotiated(h);

	return rc ? rc : slot_message(h, FRONT_ADD_MEM_REG, front_wire_region(&h->f, 1), h->f.region[1].fd);
}

static int slot_without_file(struct hostile *h)
{
	struct front_wire_region r;
	int rc = slots_negotiated(h);

	r = front_wire_region(&h->f, 1);
	r.gpa += 1ull << 45;
	r.uva += 1ull << 45;
	return rc ? rc : slot_message(h, FRONT_ADD_MEM_REG, r, -1);
}

static int slot_wraps(struct hostile *h)
{
	struct front_wire_region r = {.gpa = 1ull << 45, .uva = 1ull << 45, .size = ~0ull};
	int rc = slots_negotiated(h);

	return rc ? rc : slot_message(h, FRONT_ADD_MEM_REG, r, h->f.region[1].fd);
}

static int slot_removed_unknown(struct hostile *h)
{
	struct front_wire_region r = {.gpa = 1ull << 45, .uva = 1ull << 45, .size = 4096};
	int rc = slots_negotiated(h);

	return rc ? rc : slot_message(h, FRONT_REM_MEM_REG, r, -1);
}

static int slots_600(struct hostile *h)
{
	int rc = slots_negotiated(h);

	for (uint64_t i = 1; i < 600 && !rc; i++) {
		struct front_wire_region r = front_wire_region(&h->f, 1);

		r.gpa += i << 46;
		r.uva += i << 46;
		r.gpa &= (1ull << 62) - 1;
		rc = slot_message(h, FRONT_ADD_MEM_REG, r, h->f.region[1].fd);
	}
	return rc == -ECONNRESET ? 0 : rc;
}

/* --- memory that goes away under the back end ------------------------------------------------------------------------------ */

/* Offer FRAMES frames without telling anybody yet. */
static int load(struct hostile *h)
{
	struct front_ring *r = &h->f.ring[1];
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});

	if (!rc)
		rc = send_honest(h, 5);
	for (uint16_t i = 0; i < FRAMES && !rc; i++) {
		front_desc(r, i, front_gpa(&h->f, r->buffer[i]), FRONT_HDR + 1000, 0, 0);
		front_offer(r, i);
	}
	return rc;
}

static int fire(struct hostile *h)
{
	front_publish(&h->f.ring[1], (uint16_t)(h->f.ring[1].next - FRAMES));
	front_kick(&h->f.ring[1]);
	return 0;
}

static int frames_cut_off(struct hostile *h)
{
	int rc = load(h);

	if (!rc && ftruncate(h->f.region[1].fd, 0) < 0)
		rc = -errno;
	return rc ? rc : fire(h);
}

/* The first half of the frames is still there. */
static int frames_cut_in_half(struct hostile *h)
{
	const struct front_region *m = &h->f.region[1];
	int rc = load(h);

	if (!rc && ftruncate(m->fd, (off_t)m->mmap_offset + (h->f.ring[1].buffer[FRAMES / 2] - m->base)) < 0)
		rc = -errno;
	return rc ? rc : fire(h);
}

/* A hole reads as zeros: runts and nonsense, no fault. */
static int hole_punched(struct hostile *h)
{
	const struct front_region *m = &h->f.region[1];
	int rc = load(h);

	if (!rc && fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)m->mmap_offset, (off_t)m->size) < 0)
		rc = -errno;
	if (!rc)
		rc = fire(h);
	if (!rc && !consumed(h, 1, CONSUME_MS))
		rc = gone(h) ? 0 : -ETIMEDOUT;
	return rc;
}

/* The rings themselves. Nothing of ours may touch them any more. */
static int rings_cut_off(struct hostile *h)
{
	int rc = load(h);

	if (rc)
		return rc;
	fire(h);
	if (ftruncate(h->f.region[0].fd, 0) < 0)
		return -errno;
	eventfd_write(h->f.ring[0].kick, 1);
	eventfd_write(h->f.ring[1].kick, 1);
	return 0;
}

/* The buffers that it receives in: somebody must send to it. */
static int receive_buffers_cut_off(struct hostile *h)
{
	struct front_ring *r;
	int rc = honest_open(h, &(struct front_conf){.ring = HOSTILE_RING});
	uint16_t old;

	if (!rc)
		rc = send_honest(h, 5);
	if (!rc && ftruncate(h->f.region[1].fd, 0) < 0)
		rc = -errno;
	if (rc)
		return rc;
	/* Those that were filled before the cut are offered again: all of them may have been. The ring is in the other region. */
	r = &h->f.ring[0];
	old = r->next;
	while (r->taken != __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE))
		front_offer(r, (uint16_t)r->used->ring[r->taken++ % HOSTILE_RING].id);
	front_publish(r, old);
	return 0;
}

struct cutter {
	int fd;
	off_t size;
	bool stop;
};

static void *cut_and_grow(void *arg)
{
	struct cutter *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		if (ftruncate(c->fd, 0) < 0 || ftruncate(c->fd, c->size) < 0)
			break;
	}
	return NULL;
}

/* Cut off and grown again all the time, while descriptors that need none of our own reads are offered. */
static int frames_flicker(struct hostile *h)
{
	const struct front_region *m = &h->f.region[1];
	struct cutter c = {.fd = m->fd};
	double end = seconds_now() + FLICKER_S;
	pthread_t thread;
	int rc = load(h);

	c.fd = m->fd;
	c.size = (off_t)(m->mmap_offset + m->size);
	if (!rc)
		rc = -pthread_create(&thread, NULL, cut_and_grow, &c);
	if (rc)
		return rc;
	fire(h);
	while (seconds_now() < end && !gone(h)) {
		if (!consumed(h, 1, 100))
			continue;
		for (uint16_t i = 0; i < FRAMES; i++)
			front_offer(&h->f.ring[1], i);
		fire(h);
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return 0;
}

/* --- the dirty log --------------------------------------------------------------------------------------------------------- */

struct log_lie {
	uint64_t size, offset, file;
	bool no_fd, cut_later;
};

static int log_negotiated(struct hostile *h)
{
	struct front_conf conf = {.protocol = FRONT_BIT(FRONT_PF_LOG_SHMFD) | FRONT_BIT(FRONT_PF_MQ)};
	int rc = honest_open(h, &conf);

	if (!rc && !(h->f.protocol & FRONT_BIT(FRONT_PF_LOG_SHMFD))) {
		snprintf(h->why, sizeof(h->why), "the back end does not offer LOG_SHMFD");
		rc = -EPROTONOSUPPORT;
	}
	return rc;
}

/*
 * Receive some frames, so that buffers are written to, but for those that are there: they were written before anybody asked for the log.
 * Returns how many came: fewer if the back end hangs up, or nobody sends.
 */
static unsigned receive_some(struct hostile *h)
{
	double end = seconds_now() + 10;
	uint8_t f[HOSTILE_BUFFER];
	unsigned n = 0;

	while (front_recv(&h->f, 0, NULL, f, sizeof(f)) != -EAGAIN)
		;
	while (n < 50 && seconds_now() < end && !gone(h)) {
		if (front_recv(&h->f, 0, NULL, f, sizeof(f)) > 0)
			n++;
		else
			pause_ms(1);
	}
	return n;
}

/* The log has a bit for a page of the receive buffers, if anything was received, and none behind all memory. */
static int log_check(struct hostile *h, int fd, uint64_t bytes, unsigned frames)
{
	const struct front_region *m = &h->f.region[1];
	uint64_t first = m->gpa / 4096 / 8, last = (m->gpa + m->size) / 4096 / 8, set = 0;
	uint8_t *log = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);

	if (log == MAP_FAILED)
		return -errno;
	for (uint64_t i = first; i < last; i++)
		set += (uint64_t)__builtin_popcount(log[i]);
	if (frames && set == 0)
		snprintf(h->why, sizeof(h->why), "%u frames were received, and no page was logged", frames);
	if (!frames)
		snprintf(h->why, sizeof(h->why), "nothing was received to be logged: somebody has to broadcast");
	munmap(log, bytes);
	return set ? 0 : -EPROTO;
}

static int log_base(struct hostile *h)
{
	const struct log_lie *lie = current_case->lie;
	struct front_msg msg = front_msg(FRONT_SET_LOG_BASE, sizeof(msg.log)), reply;
	bool believed = current_case->fate != CLOSE || lie->cut_later;
	int rc = log_negotiated(h), fd;
	uint64_t features;
	unsigned frames;

	if (rc)
		return rc;
	fd = memfd_create("log", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)lie->file) < 0)
		return -errno;
	msg.log.size = lie->size;
	msg.log.offset = lie->offset;
	rc = front_msg_send(&h->f, &msg, &fd, !lie->no_fd);
	if (!rc && believed)
		rc = front_msg_recv(&h->f, &reply);
	if (!rc && believed)
		rc = front_tell_u64(&h->f, FRONT_SET_FEATURES, h->f.features | FRONT_BIT(FRONT_F_LOG_ALL), -1);
	if (!rc && believed)
		rc = front_ask_u64(&h->f, FRONT_GET_FEATURES, &features); /* its answer comes when it logs */
	if (!rc && lie->cut_later && ftruncate(fd, 0) < 0)
		rc = -errno;
	if (!rc && believed) {
		frames = receive_some(h);
		if (current_case->fate == STAY)
			rc = log_check(h, fd, lie->file, frames);
	}
	close(fd);
	if (!rc && current_case->fate == STAY)
		rc = send_honest(h, 20);
	return rc == -ECONNRESET && current_case->fate != STAY ? 0 : rc;
}

/* --- the rows -------------------------------------------------------------------------------------------------------------- */

#define TABLE(name, fate, ...)                                                                            \
	{                                                                                                 \
		"mem-" name, fate, (fate) == CLOSE ? "bad-memory|bad-size|bad-descriptors" : NULL, table, \
			&(const struct table_lie)                                                         \
		{                                                                                         \
			__VA_ARGS__                                                                       \
		}                                                                                         \
	}
#define LOG(name, fate, ...)                                                                                 \
	{                                                                                                    \
		"log-" name, fate, (fate) == CLOSE ? "bad-log|bad-descriptors|memory-lost" : NULL, log_base, \
			&(const struct log_lie)                                                              \
		{                                                                                            \
			__VA_ARGS__                                                                          \
		}                                                                                            \
	}
#define MIB (1ull << 20)

const struct hostile_case memory_cases[] = {
	/* The deltas are to 4 MiB of size, and to where region 1 is (front_mem.c). */
	TABLE("size-max", CLOSE, .delta.size = ~0ull - 4 * MIB),
	TABLE("size-max-of-the-first", CLOSE, .of_the_first = true, .delta.size = ~0ull - 4 * MIB),
	TABLE("size-max-less-a-page", CLOSE, .of_the_first = true, .delta.size = ~0ull - 4 * MIB - 4096),
	TABLE("offset-max-of-the-first", CLOSE, .of_the_first = true, .delta.mmap_offset = ~0ull - 4095),
	TABLE("offset-and-size-are-one-page", CLOSE, .of_the_first = true, .delta.mmap_offset = 0 - 4 * MIB + 4096),
	TABLE("size-max-while-running", CLOSE, .running = true, .of_the_first = true, .delta.size = ~0ull - 4 * MIB),
	TABLE("offset-max-while-running", CLOSE, .running = true, .of_the_first = true, .delta.mmap_offset = ~0ull - 4095),
	TABLE("size-wraps-with-gpa", CLOSE, .delta.size = 1ull << 63, .delta.gpa = 1ull << 63),
	TABLE("size-0", CLOSE, .delta.size = 0 - 4 * MIB),
	TABLE("offset-max", CLOSE, .delta.mmap_offset = ~0ull - 8191),
	TABLE("offset-wraps-with-size", CLOSE, .delta.mmap_offset = 0 - 2 * MIB),
	TABLE("offset-negative", CLOSE, .delta.mmap_offset = 1ull << 63),
	TABLE("offset-odd", MAY, .delta.mmap_offset = 123),
	TABLE("gpa-wraps", CLOSE, .delta.gpa = 0 - 0x100000000ull - 27 * 0x4000000000ull - MIB),
	TABLE("uva-wraps", CLOSE, .delta.uva = 0 - 0x100000000ull - 27 * 0x4000000000ull - 0x5ab000000000ull - MIB),
	TABLE("overlap", CLOSE, .delta.gpa = 0 - 27 * 0x4000000000ull + MIB),
	TABLE("overlap-uva", CLOSE, .delta.uva = 0 - 27 * 0x4000000000ull + MIB),
	TABLE("beyond-the-file", MAY, .delta.size = 64 * MIB),
	TABLE("beyond-the-file-by-a-tib", MAY, .delta.size = 1ull << 40),
	TABLE("claims-more-than-sent", CLOSE, .n = 3),
	TABLE("claims-4g", CLOSE, .n = 0xffffffffu),
	TABLE("claims-less-than-sent", CLOSE, .n = 1),
	TABLE("nine-regions", MAY, .n = 9, .n_sent = 9, .n_fds = 9),
	TABLE("64-regions", CLOSE, .n = 64, .n_sent = 64, .n_fds = 64),
	TABLE("one-file-short", CLOSE, .file = NO_FILE),
	TABLE("one-file-too-many", CLOSE, .n_fds = 3),
	TABLE("200-files", CLOSE, .n_fds = 200),
	TABLE("file-is-eventfd", CLOSE, .file = EVENTFD),
	TABLE("file-is-pipe", CLOSE, .file = PIPE),
	TABLE("file-is-directory", CLOSE, .file = DIRECTORY),
	TABLE("file-is-dev-null", CLOSE, .file = DEV_NULL),
	TABLE("file-is-read-only", CLOSE, .file = READ_ONLY),
	TABLE("file-is-empty", MAY, .file = EMPTY_FILE),
	{"mem-tables-1000", STAY, NULL, tables_1000, NULL},
	{"mem-region-taken-away", MAY, "bad-descriptor", region_taken_away, NULL},
	{"mem-slot-twice", MAY, NULL, slot_twice, NULL},
	{"mem-slot-without-file", CLOSE, "bad-memory|bad-descriptors", slot_without_file, NULL},
	{"mem-slot-wraps", CLOSE, "bad-memory|bad-descriptors", slot_wraps, NULL},
	{"mem-slot-removed-unknown", MAY, NULL, slot_removed_unknown, NULL},
	{"mem-slots-600", CLOSE, "bad-memory|bad-descriptors", slots_600, NULL},
	{"mem-frames-cut-off", CLOSE, "memory-lost", frames_cut_off, NULL},
	{"mem-frames-cut-in-half", CLOSE, "memory-lost", frames_cut_in_half, NULL},
	{"mem-hole-punched", MAY, NULL, hole_punched, NULL},
	{"mem-rings-cut-off", CLOSE, "memory-lost|impossible-index", rings_cut_off, NULL},
	{"mem-receive-buffers-cut-off", CLOSE, "memory-lost", receive_buffers_cut_off, NULL},
	{"mem-frames-flicker", CLOSE, "memory-lost", frames_flicker, NULL},
	LOG("honest", STAY, .size = 256 * MIB, .file = 256 * MIB),
	LOG("size-max", CLOSE, .size = ~0ull, .file = MIB),
	LOG("offset-max", CLOSE, .size = MIB, .offset = ~0ull - 4095, .file = MIB),
	LOG("no-file", CLOSE, .size = MIB, .file = MIB, .no_fd = true),
	LOG("beyond-the-file", MAY, .size = 16 * MIB, .file = 4096),
	LOG("too-small", MAY, .size = 4096, .file = 4096),
	LOG("cut-off", CLOSE, .size = 256 * MIB, .file = 256 * MIB, .cut_later = true),
	{.name = NULL},
};

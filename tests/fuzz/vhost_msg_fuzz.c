/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz the messages of dataplane/vhost/: what a front end says, in any order, with descriptors of all kinds.
 *
 * The input is a little program. Each step says one message: the handshake's own at its place, or any, made right and then changed here and
 * there, with the descriptors that the input chooses (memory that is right, memory that is cut off, a file on a disk, an eventfd, a pipe,
 * a socket, none, many); or writes to the rings; or lets a worker receive and send by whatever rings run; or hangs up.
 *
 * Beside what the sanitizers find: rings go up and down in turn, none is freed that a worker may still be in, every descriptor that was
 * passed is gone when the device is, and so is every mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "kind.h"
#include "bell.h"
#include "../unit/vhost_guest.h"

#define PAIRS 2
#define RINGS (2 * PAIRS)
#define SIZE  (256u * 1024)

enum step { NEXT, MESSAGE, RING, WORK, CUT, HANG_UP, N_STEPS };

/* What may be passed. */
enum { MEMORY, OTHER_MEMORY, SOFT, DISK, EVENT, EVENT_TOO, PIPE, SOCKET, N_FDS };

static struct rte_mempool *pool;

static struct {
	struct guest g;
	struct guest_ring ring[RINGS];
	struct vhost_dev dev;
	int fd[N_FDS], pipe_end, socket_end, alarm_fd;
	/* What ops say. */
	struct vhost_vq *up[RINGS];
	struct vhost_vq *leaving[RINGS]; /* until quiesce() */
	struct vhost_queue q[RINGS];
	unsigned at; /* place in the handshake */
} f;

/* --- ops ----------------------------------------------------------------------------------------------------------------- */

static void ring_up(void *arg, unsigned ring, struct vhost_vq *vq)
{
	CHECK(ring < RINGS && !f.up[ring] && !f.leaving[ring]);
	f.up[ring] = f.q[ring].live = vq;
}

static void ring_down(void *arg, unsigned ring)
{
	CHECK(ring < RINGS && f.up[ring]);
	f.leaving[ring] = f.up[ring];
	f.up[ring] = f.q[ring].live = NULL;
}

static bool ring_swap(void *arg, unsigned ring, struct vhost_vq *vq)
{
	CHECK(ring < RINGS && ring % 2 == 0 && f.up[ring] && !f.leaving[ring]);
	f.leaving[ring] = f.up[ring];
	f.up[ring] = f.q[ring].live = vq;
	return true;
}

static void send_one(struct vhost_queue *q)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	rte_pktmbuf_append(m, 64);
	if (!vhost_tx(q, &m, 1))
		rte_pktmbuf_free(m);
}

/* A worker may still be in what is about to go, and in what has come in its place after that. */
static void quiesce(void *arg)
{
	for (unsigned i = 0; i < RINGS; i++) {
		if (!f.leaving[i])
			continue;
		CHECK(f.leaving[i]->mem->n <= VHOST_MEM_SLOTS);
		if (i % 2 == 0) {
			send_one(&(struct vhost_queue){.live = f.leaving[i]});
			send_one(&f.q[i]);
		}
		f.leaving[i] = NULL;
	}
}

static void changed(void *arg)
{
	for (unsigned i = 0; i < RINGS; i++)
		CHECK(f.up[i] == f.dev.ring[i].vq && !f.leaving[i]);
}

static void announce(void *arg, const uint8_t mac[6])
{
}

static bool mtu(void *arg, uint16_t mtu)
{
	return mtu >= 68;
}

static const struct vhost_ops ops = {ring_up, ring_down, quiesce, ring_swap, changed, announce, mtu};

/* --- descriptors ----------------------------------------------------------------------------------------------------------- */

static int memory(const char *name, uint64_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int pair[2];

	pool = fuzz_eal(255);
	guest_init(&f.g, SIZE);
	f.fd[MEMORY] = f.g.memfd;
	f.fd[OTHER_MEMORY] = memory("other", SIZE);
	f.fd[SOFT] = memory("soft", SIZE);
	f.fd[DISK] = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f.fd[DISK] < 0)
		f.fd[DISK] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	else
		CHECK(ftruncate(f.fd[DISK], SIZE) == 0);
	f.fd[EVENT] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f.fd[EVENT_TOO] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK(pipe2(pair, O_CLOEXEC) == 0);
	f.fd[PIPE] = pair[1];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	f.fd[SOCKET] = pair[0];
	f.alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < N_FDS; i++)
		CHECK(f.fd[i] >= 0);
	bell_ring(f.fd[EVENT]); /* opens at its first use what it keeps open */
	return 0;
}

/* --- messages ---------------------------------------------------------------------------------------------------------------- */

struct said {
	struct vhost_msg m;
	uint8_t fds[VHOST_TABLE_REGIONS];
	unsigned n_fds;
};

static void with_fd(struct said *s, uint8_t which)
{
	s->fds[s->n_fds++] = which;
}

static void say_ring_addr(struct said *s, unsigned ring)
{
	const struct guest_ring *r = &f.ring[ring % RINGS];

	s->m.p.addr = (struct vhost_vring_addr){
		.index = ring,
		.flags = VHOST_VRING_F_LOG,
		.desc = guest_uva(&f.g, r->at),
		.used = guest_uva(&f.g, r->used_at),
		.avail = guest_uva(&f.g, r->avail_at),
		.log = guest_gpa(&f.g, r->used_at),
	};
}

/* As an honest front end says it, about this ring where it is about one. */
static void honest(struct said *s, uint32_t request, unsigned ring)
{
	static const uint16_t sizes[VHOST_REQUEST_END] = {
#define X(number, name, size, fds) [number] = (size),
		VHOST_REQUESTS(X)
#undef X
	};

	memset(s, 0, sizeof(*s));
	s->m.h = (struct vhost_header){request, VHOST_FLAG_VERSION, request < VHOST_REQUEST_END ? sizes[request] : 0};
	switch (request) {
	case VHOST_SET_FEATURES:
		s->m.p.u64 = VHOST_FEATURES;
		break;
	case VHOST_SET_PROTOCOL_FEATURES:
		s->m.p.u64 = VHOST_PROTOCOL_FEATURES;
		break;
	case VHOST_SET_MEM_TABLE:
		s->m.h.size = 8 + sizeof(struct vhost_mem_region);
		s->m.p.table.n = 1;
		s->m.p.table.region[0] = f.g.region[0];
		with_fd(s, MEMORY);
		break;
	case VHOST_ADD_MEM_REG:
	case VHOST_REM_MEM_REG:
		s->m.p.single.region =
			(struct vhost_mem_region){GUEST_GPA + (1 + ring) * SIZE, SIZE, GUEST_UVA + (1 + ring) * SIZE, 0};
		with_fd(s, request == VHOST_ADD_MEM_REG ? OTHER_MEMORY : EVENT);
		break;
	case VHOST_SET_LOG_BASE:
		s->m.p.log.size = SIZE;
		with_fd(s, OTHER_MEMORY);
		break;
	case VHOST_SET_VRING_NUM:
		s->m.p.state = (struct vhost_vring_state){ring, f.ring[ring % RINGS].size};
		break;
	case VHOST_SET_VRING_ADDR:
		say_ring_addr(s, ring);
		break;
	case VHOST_SET_VRING_ENABLE:
		s->m.p.state = (struct vhost_vring_state){ring, 1};
		break;
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
		s->m.p.state.index = ring;
		break;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		s->m.p.u64 = ring;
		with_fd(s, EVENT);
		break;
	case VHOST_NET_SET_MTU:
		s->m.p.u64 = 1500;
		break;
	}
}

static int passed_fd(uint8_t which)
{
	int fd = fcntl(f.fd[which % N_FDS], F_DUPFD_CLOEXEC, 0);

	CHECK(fd >= 0);
	return fd;
}

static void hang_up(void)
{
	vhost_dev_fini(&f.dev);
	for (unsigned i = 0; i < RINGS; i++)
		CHECK(!f.up[i] && !f.leaving[i]);
	CHECK(vhost_dev_init(&f.dev, &ops, NULL, PAIRS, f.alarm_fd) == 0);
	f.at = 0;
}

static void say(struct said *s)
{
	int fds[VHOST_TABLE_REGIONS], ret = vhost_dev_check(&f.dev, &s->m.h);
	uint32_t request = s->m.h.request;
	bool wants = s->m.h.flags & VHOST_FLAG_NEED_REPLY && f.dev.protocol & VHOST_BIT(VHOST_PROTO_REPLY_ACK), reply = false;

	if (!ret) {
		for (unsigned i = 0; i < s->n_fds; i++)
			fds[i] = passed_fd(s->fds[i]);
		ret = vhost_dev_message(&f.dev, &s->m, fds, s->n_fds, &reply);
		CHECK(!reply ||
		      (s->m.h.request == request && s->m.h.size <= 8 && s->m.h.flags == (VHOST_FLAG_VERSION | VHOST_FLAG_REPLY)));
		CHECK(reply || !wants);
	}
	if (ret) {
		CHECK(ret > 0 && ret <= VHOST_FAULT_N && f.dev.why && *f.dev.why);
		hang_up();
	}
}

/* The handshake of a front end, a message at a time, and then again and again a stop and a start. */
static void say_next(void)
{
	static const uint8_t once[] = {VHOST_GET_FEATURES,  VHOST_GET_PROTOCOL_FEATURES, VHOST_SET_PROTOCOL_FEATURES,
				       VHOST_GET_QUEUE_NUM, VHOST_GET_MAX_MEM_SLOTS,	 VHOST_SET_OWNER,
				       VHOST_SET_FEATURES,  VHOST_SET_MEM_TABLE};
	static const uint8_t each[] = {VHOST_SET_VRING_NUM,  VHOST_SET_VRING_BASE, VHOST_SET_VRING_ADDR,
				       VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL, VHOST_SET_VRING_ENABLE};
	unsigned at = f.at++;
	struct said s;

	if (at < sizeof(once))
		honest(&s, once[at], 0);
	else if ((at -= sizeof(once)) < RINGS * sizeof(each))
		honest(&s, each[at % sizeof(each)], at / (unsigned)sizeof(each));
	else
		honest(&s, VHOST_GET_VRING_BASE, at % RINGS);
	if (at == RINGS * (sizeof(each) + 1))
		f.at = sizeof(once) - 2;
	say(&s);
}

static void say_any(void)
{
	struct said s;

	honest(&s, take8() % (VHOST_REQUEST_END + 1), take8() % (RINGS + 1));
	if (take8() & 1)
		s.m.h.flags |= VHOST_FLAG_NEED_REPLY;
	for (unsigned n = take8() % 8; n > 0; n--) {
		unsigned at = take8() % 72; /* header, count, and the first region */

		((uint8_t *)&s.m.h)[at] = take8();
	}
	if (s.m.h.size > sizeof(s.m.p))
		s.m.h.size = (uint32_t)sizeof(s.m.p);
	switch (take8() & 3) {
	case 0:
		s.n_fds = 0;
		break;
	case 1: /* another one, or many */
		s.n_fds = 0;
		for (unsigned n = 1 + take8() % VHOST_TABLE_REGIONS; n > 0; n--)
			with_fd(&s, take8());
	}
	say(&s);
}

/* A table of several regions, each some pages of the memory. */
static void say_table(void)
{
	struct said s;

	honest(&s, VHOST_SET_MEM_TABLE, 0);
	s.n_fds = 0;
	s.m.p.table.n = take8() % (VHOST_TABLE_REGIONS + 1);
	s.m.h.size = 8 + s.m.p.table.n * (uint32_t)sizeof(struct vhost_mem_region);
	for (unsigned i = 0; i < s.m.p.table.n; i++) {
		uint64_t at = take8() * 1024u;

		s.m.p.table.region[i] = (struct vhost_mem_region){GUEST_GPA + at, take8() * 1024u, GUEST_UVA + at, at};
		with_fd(&s, take8());
	}
	say(&s);
}

/* --- what goes on meanwhile ------------------------------------------------------------------------------------------------------ */

static void write_ring(void)
{
	uint8_t which = take8();
	struct guest_ring *r = &f.ring[which % RINGS];

	if (which & 64) {
		r->avail->idx = (uint16_t)take(2);
		r->used->idx = (uint16_t)take(2);
	} else if (which & 128) {
		f.g.mem[take(3) % SIZE] = take8();
	} else {
		uint8_t at = take8();

		guest_desc(r, at % r->size, 0x10000 + at * 512u, 12 + take8() * 4u,
			   (which & 1 ? 0 : VIRTQ_DESC_WRITE) | (take8() & 1), 0);
		guest_give(r, at % r->size);
	}
}

static uint64_t gate(void *ctx, const uint8_t (*heads)[KIND_HEAD], const uint32_t *len, uint64_t asks, uint16_t n)
{
	return 0x5555555555555555;
}

static void work(void)
{
	struct rte_mbuf *m[16];

	for (unsigned i = 0; i < RINGS; i++) {
		if (i & 1) {
			uint16_t n = vhost_rx(&f.q[i], m, 16, gate, NULL);

			for (uint16_t k = 0; k < n; k++)
				rte_pktmbuf_free(m[k]);
			vhost_rx_arm(&f.q[i]);
			vhost_rx_disarm(&f.q[i]);
		} else {
			send_one(&f.q[i]);
		}
	}
	if (vhost_dev_fault(&f.dev))
		hang_up();
}

static void run_step(void)
{
	uint8_t step = take8();

	switch (step % N_STEPS) {
	case NEXT:
		for (unsigned n = 1 + step / N_STEPS; n > 0; n--)
			say_next();
		break;
	case MESSAGE:
		if (step & 128)
			say_table();
		else
			say_any();
		break;
	case RING:
		write_ring();
		break;
	case WORK:
		work();
		break;
	case CUT:
		CHECK(ftruncate(f.fd[SOFT], take8() * 1024) == 0);
		break;
	case HANG_UP:
		hang_up();
		break;
	}
}

static unsigned count_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "/memfd:guest") || strstr(line, "/memfd:other") || strstr(line, "/memfd:soft");
	fclose(maps);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned fds_before = 0;
	bool count;

	in = data;
	in_end = data + size;
	/* Counting costs more than all the rest. */
	count = take8() % 4 == 0;
	if (count)
		fds_before = count_fds();
	memset(f.g.mem, 0, SIZE);
	CHECK(ftruncate(f.fd[SOFT], SIZE) == 0);
	for (unsigned i = 0; i < RINGS; i++) {
		guest_ring_init(&f.g, &f.ring[i], i & 2 ? 16 : 256, i * 0x4000, (uint16_t)(i * 0x3fff));
		f.q[i] = (struct vhost_queue){.wake_fd = f.fd[EVENT]};
		frame_source_init(&f.q[i].source, pool);
	}
	f.at = 0;
	CHECK(vhost_dev_init(&f.dev, &ops, NULL, PAIRS, f.alarm_fd) == 0);
	for (unsigned steps = 0; in < in_end && steps < 200; steps++)
		run_step();
	vhost_dev_fini(&f.dev);
	for (unsigned i = 0; i < RINGS; i++)
		CHECK(!f.up[i] && !f.leaving[i]);
	CHECK(rte_mempool_in_use_count(pool) == 0);
	CHECK(!count || (count_fds() == fds_before && count_maps() == 1));
	return 0;
}

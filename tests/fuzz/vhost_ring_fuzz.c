/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz the rings of dataplane/vhost/ from the guest's side: rings and memory as bytes.
 *
 * The input chooses features, sizes and the index to begin at, and is then a little program for guest and worker: each step is a byte that
 * says what to do and the bytes that it needs. The guest writes descriptors (from a choice of places and lengths that hurt, or any), tables,
 * entries, indices, headers, anything anywhere; the worker receives past a gate that refuses some, sends frames of several shapes, goes to
 * sleep and wakes; a ring is stopped and goes on with other features; buffers run out; memory is cut off.
 *
 * Beside what the sanitizers find, every input must leave no mbuf in use, all frames received must keep kind.h's contract and begin with what the gate was shown, no byte outside the memory that was shared may be written, and while there is a log,
 * every page that was written must be in it.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "fuzz.h"
#include "kind.h"
#include "bell.h"
#include "../unit/vhost_guest.h"

#define RX_RING	    0u
#define TX_RING	    0x8000u
#define TABLES	    0x10000u
#define RINGS	    0x18000u /* end of the region that holds these */
#define BUFFERS	    0x20000u
#define SECOND	    0x50010u
#define SIZE	    0x62000u
#define LOG	    0xd000u
#define SOFT	    0x4000u
#define FIRST_SIZE  0x1ff9cu
#define SECOND_SIZE 0x10025u
#define SOFT_GPA    0x90000000ull
#define CANARY	    0xa5
#define PAGE	    4096u

enum step { DESC, TABLE, ENTRY, INDEX, HEADER, WRITE, RECEIVE, SEND, SLEEP, RESTART, HOARD, INJECT, CUT, N_STEPS };

static struct rte_mempool *pool;

/* Descriptors and the guest's memory are made once; the memory is wiped for each input. */
static struct {
	struct guest g;
	struct guest_ring ring[2]; /* 0: the guest transmits */
	struct vhost_queue q[2];
	struct vhost_mem *mem;
	struct vhost_log *log;
	uint8_t *log_bits;
	int soft_fd, log_fd, alarm_fd, kick_fd, call_fd;
	bool cut;
	uint64_t features;
	struct rte_mbuf *hoard[4096];
	unsigned n_hoard;
} f;

/* --- memory -------------------------------------------------------------------------------------------------------------- */

/*
 * Two regions that end in the middle of a page, and follow each other for the guest but not in the file; one that will be cut off. What is
 * behind their ends belongs to nobody.
 */
static void memory_init(void)
{
	guest_init(&f.g, SIZE);
	f.g.region[0].size = RINGS;
	f.g.region[1] = (struct vhost_mem_region){GUEST_GPA + BUFFERS, FIRST_SIZE, GUEST_UVA + BUFFERS, BUFFERS};
	f.g.region[2] = (struct vhost_mem_region){GUEST_GPA + BUFFERS + FIRST_SIZE, SECOND_SIZE, GUEST_UVA + SECOND, SECOND};
	f.g.n_regions = 3;
	f.soft_fd = memfd_create("soft", MFD_CLOEXEC);
}

static void memory_share(void)
{
	const struct vhost_mem_region soft = {SOFT_GPA, SOFT, GUEST_UVA + SIZE, 0};
	const char *why = "";
	struct vhost_mem *some = guest_share(&f.g, f.alarm_fd);

	CHECK(ftruncate(f.soft_fd, SOFT) == 0);
	f.mem = vhost_mem_with(some, &soft, f.soft_fd, f.alarm_fd, &why);
	CHECK(f.mem);
	vhost_mem_free(some);
	f.cut = false;
}

static void memory_wipe(void)
{
	if (f.cut) {
		vhost_mem_free(f.mem);
		memory_share();
	}
	memset(f.g.mem, 0, RINGS);
	memset(f.g.mem + RINGS, CANARY, SIZE - RINGS);
}

static bool shared(uint64_t at)
{
	return guest_gpa(&f.g, at) != 0;
}

static void check_canaries(void)
{
	static const struct {
		uint32_t from, to;
	} nobodys[] = {{RINGS, BUFFERS}, {BUFFERS + FIRST_SIZE, SECOND}, {SECOND + SECOND_SIZE, SIZE}};

	for (unsigned i = 0; i < RTE_DIM(nobodys); i++) {
		const uint8_t *p = f.g.mem + nobodys[i].from;

		CHECK(*p == CANARY && memcmp(p, p + 1, nobodys[i].to - nobodys[i].from - 1) == 0);
	}
}

/* A bit for every page up to the end of the buffers. */
static void log_init(void)
{
	f.log_fd = memfd_create("log", MFD_CLOEXEC);
	CHECK(ftruncate(f.log_fd, LOG) == 0);
	f.log_bits = mmap(NULL, LOG, PROT_READ | PROT_WRITE, MAP_SHARED, f.log_fd, 0);
	CHECK(f.log_bits != MAP_FAILED);
}

static uint8_t before[SIZE];

/* Everything written since is in the log. */
static void check_logged(void)
{
	for (uint64_t at = 0; at < SIZE; at++) {
		uint64_t page;

		if (at % 64 == 0 && memcmp(before + at, f.g.mem + at, 64) == 0) {
			at += 63;
			continue;
		}
		if (before[at] == f.g.mem[at])
			continue;
		page = guest_gpa(&f.g, at) / PAGE;
		CHECK(f.log_bits[page / 8] >> (page % 8) & 1);
	}
}

static void work_begins(void)
{
	if (!f.log)
		return;
	memcpy(before, f.g.mem, SIZE);
	memset(f.log_bits, 0, LOG);
}

static void work_ends(void)
{
	if (f.log)
		check_logged();
}

/* --- the guest ------------------------------------------------------------------------------------------------------------ */

static uint64_t some_address(void)
{
	uint8_t which = take8();

	switch (which >> 4) {
	case 8:
		return GUEST_GPA + BUFFERS + FIRST_SIZE - (which & 15) * 8; /* over the border of two regions */
	case 9:
		return guest_gpa(&f.g, SECOND + SECOND_SIZE - 1) - (which & 15) * 100; /* at the end of the last */
	case 10:
		return GUEST_GPA + RINGS - (which & 15) * 40;
	case 11:
		return SOFT_GPA + (which & 15) * 0x3ff;
	case 12:
		return GUEST_GPA + (which & 15) * 64; /* the ring itself */
	case 13:
		return UINT64_MAX - (which & 15) * 16;
	case 14:
		return GUEST_GPA + TABLES + (which & 15) * 64;
	case 15:
		return take(8);
	default:
		return GUEST_GPA + BUFFERS + which * 1024;
	}
}

static uint32_t some_length(void)
{
	static const uint32_t lengths[] = {0,	 1,    10,	   11,	       12,	13,	    22,		26,
					   43,	 44,   45,	   76,	       1526,	2048,	    2060,	2061,
					   4096, 9030, 65562 + 12, 65563 + 12, 0x1ff9c, 0x7fffffff, 0x80000000, UINT32_MAX};
	uint8_t which = take8();

	return which < sizeof(lengths) / sizeof(lengths[0]) ? lengths[which] : which < 250 ? which * 8u : (uint32_t)take(4);
}

static union virtq_desc some_desc(void)
{
	union virtq_desc d;

	d.addr = some_address();
	d.len = some_length();
	d.flags = take8() & 7;
	d.next = take8();
	return d;
}

static void write_header(void)
{
	struct virtio_net_hdr {
		uint8_t flags, gso_type;
		uint16_t hdr_len, gso_size, csum_start, csum_offset;
	} h = {take8() & 3, take8() & 0x87, 0, (uint16_t)take(2), take8(), take8()};
	uint64_t at = BUFFERS + take8() % 120 * 1024;

	memcpy(f.g.mem + at, &h, 10);
	/* And perhaps a frame that the request could belong to. */
	if (take8() & 1) {
		uint8_t *p = f.g.mem + at + 12;

		memset(p, 2, 12);
		p[12] = 0x08;
		p[13] = 0;
		p[14] = 0x45;
		p[16] = 0x04;
		p[17] = 0x00;
		p[20] = p[21] = 0;
		p[23] = take8() & 1 ? 6 : 17;
		p[46] = 0x50;
	}
}

static void write_anywhere(void)
{
	uint64_t at = take(3) % SIZE;

	for (unsigned n = take8() % 64; n > 0 && at < SIZE; n--, at++) {
		uint8_t byte = take8();

		if (shared(at))
			f.g.mem[at] = byte;
	}
}

/* --- the worker ----------------------------------------------------------------------------------------------------------- */

static struct {
	uint64_t mask;
	unsigned asked, wanted;
	uint8_t head[64][KIND_HEAD];
	uint32_t len[64];
} gate_;

static uint64_t gate(void *ctx, const uint8_t (*heads)[KIND_HEAD], const uint32_t *len, uint64_t asks, uint16_t n)
{
	uint64_t wanted = 0;

	CHECK(n > 0 && n <= 64);
	for (uint16_t i = 0; i < n; i++, gate_.asked++) {
		CHECK(len[i] > 0 && len[i] <= VHOST_FRAME_MAX);
		if (!(gate_.mask >> (gate_.asked % 64) & 1))
			continue;
		CHECK(gate_.wanted < 64);
		memcpy(gate_.head[gate_.wanted], heads[i], KIND_HEAD);
		gate_.len[gate_.wanted++] = len[i];
		wanted |= 1ull << i;
	}
	return wanted;
}

static void check_frame(const struct rte_mbuf *m, unsigned i)
{
	uint32_t len = 0;
	uint16_t segs = 0;

	for (const struct rte_mbuf *s = m; s; s = s->next, segs++)
		len += s->data_len;
	CHECK(m->pkt_len == len && len == gate_.len[i] && segs == m->nb_segs);
	CHECK(m->data_len >= RTE_MIN(len, (uint32_t)KIND_MIN_HEAD));
	CHECK(rte_mbuf_refcnt_read(m) == 1);
	CHECK(memcmp(rte_pktmbuf_mtod(m, const void *), gate_.head[i], RTE_MIN(len, (uint32_t)KIND_HEAD)) == 0);
	CHECK(!(m->ol_flags & ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG |
				RTE_MBUF_F_TX_UDP_SEG)));
	CHECK(!m->ol_flags || (uint32_t)(m->l2_len + m->l3_len + m->l4_len) <= len);
}

static void worker_receives(void)
{
	uint16_t n = (uint16_t)(1 + take8() % 64), got;
	uint8_t refuse = take8();
	struct rte_mbuf *m[64];

	gate_.mask = ~(refuse * 0x0101010101010101ull);
	gate_.asked = gate_.wanted = 0;
	work_begins();
	got = vhost_rx(&f.q[0], m, n, gate, NULL);
	work_ends();
	CHECK(got <= n && got == gate_.wanted);
	for (uint16_t i = 0; i < got; i++) {
		if (!m[i])
			continue;
		check_frame(m[i], i);
		rte_pktmbuf_free(m[i]);
	}
}

/* TCP over IPv4 or IPv6 as far as a request looks. */
static struct rte_mbuf *frame_new(uint32_t len, uint32_t seg, uint8_t request)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *tail = head;
	uint8_t *p;

	if (!head)
		return NULL;
	for (uint32_t left = len; left > 0;) {
		uint32_t part = RTE_MIN(left, seg);

		if (tail->data_len) {
			tail->next = rte_pktmbuf_alloc(pool);
			if (!tail->next) {
				rte_pktmbuf_free(head);
				return NULL;
			}
			tail = tail->next;
			head->nb_segs++;
		}
		memset(rte_pktmbuf_mtod(tail, void *), (int)len, part);
		tail->data_len = (uint16_t)part;
		head->pkt_len += part;
		left -= part;
	}
	p = rte_pktmbuf_mtod(head, uint8_t *);
	if (head->data_len >= 74)
		p[12] = request & 1 ? 0x86 : 0x08;
	if (request & 2)
		head->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	if (request & 4)
		head->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	if (request & 6)
		head->ol_flags |= request & 1 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	head->l2_len = 14;
	head->l3_len = request & 1 ? 40 : 20;
	head->l4_len = 20;
	head->tso_segsz = 1400;
	return head;
}

static void worker_sends(void)
{
	static const uint32_t lengths[] = {14, 60, 64, 128, 1514, 2048, 2049, 9014, 65535, 65562};
	static const uint32_t segs[] = {2048, 1, 127, 1000};
	uint8_t shape = take8(), request = take8() & 7;
	unsigned n = 1 + take8() % 64, made = 0, sent;
	struct rte_mbuf *m[64];

	for (; made < n; made++) {
		uint32_t len = lengths[(shape + (made % 4 == 3 ? request : 0)) % 10], seg = segs[len < 1000 ? shape >> 6 : 0];

		m[made] = frame_new(len, seg, len >= 74 && seg >= 74 ? request : 0);
		if (!m[made])
			break;
		for (struct rte_mbuf *seg_at = m[made]; shape & 32 && seg_at; seg_at = seg_at->next)
			rte_mbuf_refcnt_update(seg_at, 1);
	}
	work_begins();
	sent = vhost_tx(&f.q[1], m, (uint16_t)made);
	work_ends();
	CHECK(sent <= made);
	for (unsigned i = 0; i < made; i++) {
		if (shape & 32)
			rte_pktmbuf_free(m[i]);
		if (i >= sent)
			rte_pktmbuf_free(m[i]);
	}
}

/* --- the control thread ----------------------------------------------------------------------------------------------------- */

static void queue_start(unsigned which)
{
	struct guest_ring *r = &f.ring[which];
	struct vhost_vq_conf c = guest_ring_conf(r, f.mem, f.features);

	c.log = f.log;
	c.log_used = f.log ? guest_gpa(&f.g, r->used_at) : 0;
	c.call_fd = f.call_fd;
	c.kick_fd = f.kick_fd;
	c.alarm_fd = f.alarm_fd;
	f.q[which].live = vhost_vq_new(&c);
	CHECK(f.q[which].live);
}

static void queue_stop(unsigned which)
{
	struct pollfd alarm = {.fd = f.alarm_fd, .events = POLLIN};
	struct vhost_vq *v = f.q[which].live;

	CHECK(!(v->aside & VHOST_BROKEN) || poll(&alarm, 1, 0) == 1);
	vhost_vq_free(v);
	f.q[which].live = NULL;
}

static void some_features(void)
{
	static const uint8_t bits[] = {VIRTIO_BIT_VERSION_1,  VIRTIO_BIT_MRG_RXBUF,  VIRTIO_BIT_INDIRECT_DESC,
				       VIRTIO_BIT_EVENT_IDX,  VIRTIO_BIT_GUEST_CSUM, VIRTIO_BIT_GUEST_TSO4,
				       VIRTIO_BIT_GUEST_TSO6, VIRTIO_BIT_GUEST_ECN};
	uint8_t chosen = take8();

	f.features = 0;
	for (unsigned i = 0; i < sizeof(bits); i++)
		f.features |= chosen >> i & 1 ? VHOST_BIT(bits[i]) : 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

	pool = fuzz_eal(1023);
	f.alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	memory_init();
	memory_share();
	log_init();
	for (unsigned i = 0; i < 2; i++) {
		f.q[i].wake_fd = epoll_create1(EPOLL_CLOEXEC);
		CHECK(epoll_ctl(f.q[i].wake_fd, EPOLL_CTL_ADD, f.kick_fd, &ev) == 0);
	}
	return 0;
}

static void eventfd_empty(int fd)
{
	uint64_t n;

	CHECK(read(fd, &n, sizeof(n)) == sizeof(n) || errno == EAGAIN);
}

static void start(void)
{
	uint8_t shape;

	eventfd_empty(f.alarm_fd);
	eventfd_empty(f.kick_fd);
	memory_wipe();
	some_features();
	shape = take8();
	guest_ring_init(&f.g, &f.ring[0], 1u << (shape & 7), RX_RING, (uint16_t)take(2));
	guest_ring_init(&f.g, &f.ring[1], 1u << (shape >> 3 & 7), TX_RING, (uint16_t)(take8() << 8));
	if (shape & 64) {
		const char *why;

		f.log = vhost_log_open(f.log_fd, LOG, 0, f.alarm_fd, &why);
		CHECK(f.log);
	}
	for (unsigned i = 0; i < 2; i++) {
		f.q[i] = (struct vhost_queue){.wake_fd = f.q[i].wake_fd};
		frame_source_init(&f.q[i].source, pool);
		queue_start(i);
	}
}

static void stop(void)
{
	for (unsigned i = 0; i < 2; i++) {
		queue_stop(i);
		rte_pktmbuf_free(f.q[i].inject);
	}
	rte_pktmbuf_free_bulk(f.hoard, f.n_hoard);
	f.n_hoard = 0;
	vhost_log_close(f.log);
	f.log = NULL;
	check_canaries();
	CHECK(rte_mempool_in_use_count(pool) == 0);
}

static void inject(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	rte_pktmbuf_free(f.q[0].inject);
	if (m)
		rte_pktmbuf_append(m, 60);
	f.q[0].inject = m;
}

static void run_step(void)
{
	uint8_t step = take8(), which = step >> 7;
	struct guest_ring *r = &f.ring[which];

	switch ((step & 0x7f) % N_STEPS) {
	case DESC:
		r->desc[take8() % r->size] = some_desc();
		break;
	case TABLE: {
		uint64_t at = TABLES + take8() % 64 * 8;

		for (unsigned n = 1 + take8() % 8; n > 0; n--, at += sizeof(union virtq_desc)) {
			union virtq_desc d = some_desc();

			memcpy(f.g.mem + at, &d, sizeof(d));
		}
		break;
	}
	case ENTRY:
		for (unsigned n = take8() % 64; n > 0; n--)
			guest_give(r, take8());
		break;
	case INDEX:
		r->avail->flags = take8() & 1;
		r->avail->idx = (uint16_t)take(2);
		*guest_used_event(r) = (uint16_t)take(2);
		break;
	case HEADER:
		write_header();
		break;
	case WRITE:
		write_anywhere();
		break;
	case RECEIVE:
		worker_receives();
		break;
	case SEND:
		worker_sends();
		break;
	case SLEEP:
		vhost_rx_arm(&f.q[0]);
		if (take8() & 1)
			bell_ring(f.kick_fd);
		if (take8() & 1)
			worker_receives();
		vhost_rx_disarm(&f.q[0]);
		break;
	case RESTART:
		queue_stop(which);
		some_features();
		queue_start(which);
		break;
	case HOARD:
		rte_pktmbuf_free_bulk(f.hoard, f.n_hoard);
		f.n_hoard = 0;
		for (unsigned n = take8() & 1 ? 1023 - take8() : 0; f.n_hoard < n; f.n_hoard++) {
			f.hoard[f.n_hoard] = rte_pktmbuf_alloc(pool);
			if (!f.hoard[f.n_hoard])
				break;
		}
		break;
	case INJECT:
		inject();
		break;
	case CUT:
		CHECK(ftruncate(f.soft_fd, take8() * 64) == 0);
		f.cut = true;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = data;
	in_end = data + size;
	start();
	for (unsigned steps = 0; in < in_end && steps < 300; steps++)
		run_step();
	stop();
	return 0;
}

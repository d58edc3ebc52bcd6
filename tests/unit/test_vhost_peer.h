/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_VHOST_PEER_H
#define TEST_VHOST_PEER_H

/*
 * A vhost-user port, and by hand the front end at the other end of its socket.
 *
 *      port: vhost_kind on test_kind_loop.h  === socket ===  peer: messages, memory and two rings (vhost_guest.h) for each queue pair
 *
 * Both are in one thread: after each message the loop runs until the port has done all that it can, so nothing is waited for.
 */

#include <fcntl.h>

#include "bell.h"
#include "test_vhost_env.h"
#include "unix_sock.h"
#include "vhost/vhost_kind.h"

#define PEER_RING  64u
#define PEER_PAIRS 2

#define PEER_FEATURES (MODERN | MERGE | TABLES | EVENTS | VHOST_BIT(VIRTIO_BIT_PROTOCOL_FEATURES))

struct peer {
	int sock; /* -1: not connected */
	int kick_fd, call_fd;
	struct guest g;
	struct guest_ring r[2 * PEER_PAIRS];
};

static struct kind_port port;

/* --- the port ------------------------------------------------------------------------------------------------------------- */

static inline int port_try(struct dp_port_conf conf, struct dp_error *err)
{
	struct kind_env env = {.pool = pool};

	memset(&port, 0, sizeof(port));
	snprintf(conf.name, sizeof(conf.name), "vm");
	snprintf(conf.path, sizeof(conf.path), "%s", sock_path("vm.sock"));
	return vhost_kind.open(&port, &env, &conf, conf.queues, err);
}

static inline void port_open(bool server, uint16_t queues)
{
	struct dp_error err = {0};

	if (port_try((struct dp_port_conf){.server = server, .queues = queues}, &err) < 0)
		fail_msg("open: %s", err.msg);
}

/* Nothing of it is left: no timer, no watch, no frame. */
static inline void port_close(void)
{
	vhost_kind.close(&port);
	assert_null(timers);
	for (unsigned i = 0; i < MAX_WATCH; i++)
		assert_null(watches[i].cb);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static inline bool port_is_up(void)
{
	return vhost_kind.link_up(&port);
}

static inline uint64_t port_connects(void)
{
	struct dp_port_peer p = {0};

	vhost_kind.peer(&port, &p);
	return p.connects;
}

/* Under that name, as everybody sees it; of all names if it is NULL. */
static inline uint64_t port_faults(const char *name)
{
	struct dp_port_peer p = {0};
	uint64_t sum = 0;

	vhost_kind.peer(&port, &p);
	assert_int_equal(p.n_faults, VHOST_FAULT_N);
	for (unsigned i = 0; i < p.n_faults; i++) {
		if (!name || strcmp(p.fault[i].name, name) == 0)
			sum += p.fault[i].count;
	}
	return sum;
}

/* --- the peer ------------------------------------------------------------------------------------------------------------- */

static inline void peer_init(struct peer *p)
{
	p->sock = -1;
	p->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	guest_init(&p->g, 1 << 20);
}

static inline void peer_rings_reset(struct peer *p)
{
	for (unsigned i = 0; i < COUNT(p->r); i++)
		guest_ring_init(&p->g, &p->r[i], PEER_RING, i * 0x1000, 0);
}

static inline void peer_leave(struct peer *p)
{
	if (p->sock >= 0)
		close(p->sock);
	p->sock = -1;
}

static inline void peer_fini(struct peer *p)
{
	peer_leave(p);
	close(p->kick_fd);
	close(p->call_fd);
	guest_fini(&p->g);
}

static inline int peer_listen(void)
{
	int listener = unix_sock_listen(sock_path("vm.sock"), SOCK_STREAM);

	assert_true(listener >= 0);
	return listener;
}

static inline void peer_unlisten(int listener)
{
	close(listener);
	unlink(sock_path("vm.sock"));
}

/* Has the port come? */
static inline bool peer_accept(struct peer *p, int listener)
{
	peer_leave(p);
	p->sock = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return p->sock >= 0;
}

/* Bytes with descriptors like `fd`, n_fds of them, without running the port. Bytes sent, or -errno. */
static inline ssize_t peer_send_raw(struct peer *p, const void *bytes, size_t len, int fd, unsigned n_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(UNIX_SOCK_MAX_FDS * sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (n_fds) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	n = sendmsg(p->sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static inline struct vhost_msg peer_msg(uint32_t request, const void *payload, uint32_t size)
{
	struct vhost_msg m = {.h = {request, VHOST_FLAG_VERSION, size}};

	memcpy(&m.p, payload, size);
	return m;
}

/* In pieces of `piece` bytes (0: whole), the port running after each. The descriptor, if any, comes with the last. */
static inline void peer_tell_in(struct peer *p, uint32_t piece, uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_msg m = peer_msg(request, payload, size);
	uint32_t len = (uint32_t)sizeof(m.h) + size;

	for (uint32_t at = 0, part; at < len; at += part) {
		part = piece ? RTE_MIN(piece, len - at) : len;
		assert_int_equal(peer_send_raw(p, (uint8_t *)&m.h + at, part, fd, fd >= 0 && at + part == len), part);
		loop_idle();
	}
}

static inline void peer_tell(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd)
{
	peer_tell_in(p, 0, request, payload, size, fd);
}

/* The next answer. False: there is none (yet). */
static inline bool peer_answer(struct peer *p, struct vhost_msg *m)
{
	ssize_t n = recv(p->sock, &m->h, sizeof(m->h), MSG_DONTWAIT);

	if (n <= 0)
		return false;
	assert_int_equal(n, sizeof(m->h));
	assert_true(m->h.size <= sizeof(m->p));
	assert_int_equal(recv(p->sock, &m->p, m->h.size, MSG_DONTWAIT), m->h.size);
	return true;
}

static inline uint64_t peer_ask(struct peer *p, uint32_t piece, uint32_t request)
{
	struct vhost_msg m;

	peer_tell_in(p, piece, request, "", 0, -1);
	assert_true(peer_answer(p, &m));
	assert_int_equal(m.h.request, request);
	assert_int_equal(m.h.flags, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY);
	assert_int_equal(m.h.size, 8);
	return m.p.u64;
}

/* Has the port closed the connection? */
static inline bool peer_is_cut(struct peer *p)
{
	uint8_t bytes[4096];
	ssize_t n;

	do {
		n = recv(p->sock, bytes, sizeof(bytes), MSG_DONTWAIT);
	} while (n > 0);
	return n == 0 || errno == ECONNRESET;
}

static inline void peer_ring(struct peer *p, uint32_t piece, uint32_t i)
{
	struct guest_ring *r = &p->r[i];
	struct vhost_vring_addr a = {.index = i,
				     .desc = guest_uva(&p->g, r->at),
				     .avail = guest_uva(&p->g, r->avail_at),
				     .used = guest_uva(&p->g, r->used_at)};

	peer_tell_in(p, piece, VHOST_SET_VRING_NUM, &(struct vhost_vring_state){i, PEER_RING}, 8, -1);
	peer_tell_in(p, piece, VHOST_SET_VRING_BASE, &(struct vhost_vring_state){i, 0}, 8, -1);
	peer_tell_in(p, piece, VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
	peer_tell_in(p, piece, VHOST_SET_VRING_CALL, &(uint64_t){i}, 8, p->call_fd);
	peer_tell_in(p, piece, VHOST_SET_VRING_KICK, &(uint64_t){i}, 8, p->kick_fd);
	peer_tell_in(p, piece, VHOST_SET_VRING_ENABLE, &(struct vhost_vring_state){i, 1}, 8, -1);
}

/* All that an honest front end says, its messages in pieces of so many bytes (0: whole). */
static inline void peer_start_in(struct peer *p, uint32_t piece, unsigned pairs)
{
	struct vhost_mem_table t = {.n = 1, .region[0] = p->g.region[0]};

	peer_rings_reset(p);
	assert_int_equal(peer_ask(p, piece, VHOST_GET_FEATURES), VHOST_FEATURES);
	assert_int_equal(peer_ask(p, piece, VHOST_GET_PROTOCOL_FEATURES), VHOST_PROTOCOL_FEATURES);
	peer_tell_in(p, piece, VHOST_SET_PROTOCOL_FEATURES, &(uint64_t){VHOST_PROTOCOL_FEATURES}, 8, -1);
	assert_int_equal(peer_ask(p, piece, VHOST_GET_QUEUE_NUM), port.n_queues);
	peer_tell_in(p, piece, VHOST_SET_OWNER, "", 0, -1);
	peer_tell_in(p, piece, VHOST_SET_FEATURES, &(uint64_t){PEER_FEATURES}, 8, -1);
	peer_tell_in(p, piece, VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), p->g.memfd);
	for (uint32_t i = 0; i < 2 * pairs; i++)
		peer_ring(p, piece, i);
}

static inline void peer_start(struct peer *p)
{
	peer_start_in(p, 0, 1);
	assert_true(port_is_up());
}

/* --- frames --------------------------------------------------------------------------------------------------------------- */

static inline uint64_t peer_buffer(unsigned ring, uint16_t slot)
{
	return 0x40000 + (ring * PEER_RING + slot) * 0x800ull;
}

/* One frame each way by a queue pair. */
static inline void pass_frames(struct peer *p, unsigned pair, uint32_t seed)
{
	struct guest_ring *rx = &p->r[2 * pair], *tx = &p->r[2 * pair + 1];
	uint16_t slot = tx->avail->idx % PEER_RING;
	uint64_t at = peer_buffer(2 * pair + 1, slot);
	struct rte_mbuf *m = NULL;

	memset(p->g.mem + at, 0, VIRTIO_HDR_LEN);
	for (uint32_t i = 0; i < 64; i++)
		p->g.mem[at + VIRTIO_HDR_LEN + i] = pattern(seed, i);
	guest_desc(tx, slot, at, VIRTIO_HDR_LEN + 64, 0, 0);
	guest_give(tx, slot);
	gate_reset(0);
	assert_int_equal(port.rx_gated(port.rxq[pair], &m, 1, gate, NULL), 1);
	frame_expect(m, seed, 64);
	guest_take(tx);

	slot = rx->avail->idx % PEER_RING;
	at = peer_buffer(2 * pair, slot);
	guest_desc(rx, slot, at, 0x800, VIRTQ_DESC_WRITE, 0);
	guest_give(rx, slot);
	m = frame_new(seed, 100, UINT32_MAX);
	assert_int_equal(port.tx(port.txq[pair], &m, 1), 1);
	assert_int_equal(guest_take(rx).len, VIRTIO_HDR_LEN + 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(p->g.mem[at + VIRTIO_HDR_LEN + i], pattern(seed, i));
}

/* --- what every test begins and ends with ------------------------------------------------------------------------------------ */

static struct peer peer;
static int listener;
static unsigned fds_before, maps_before;

static inline unsigned count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	char line[512];

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

/* Nothing is open yet, and the file of the socket is not there. */
static inline int setup(void **state)
{
	listener = -1;
	peer_init(&peer);
	bell_ring(peer.call_fd); /* the first ring of a thread opens what later ones need */
	rung(peer.call_fd);
	fds_before = count_fds();
	maps_before = count_maps();
	return 0;
}

static inline int teardown(void **state)
{
	peer_leave(&peer);
	if (listener >= 0)
		peer_unlisten(listener);
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(count_maps(), maps_before);
	peer_fini(&peer);
	return 0;
}

/* A port as client, and a front end that it has connected to. */
static inline void open_and_meet(void)
{
	listener = peer_listen();
	port_open(false, 1);
	loop_advance(0);
	assert_true(peer_accept(&peer, listener));
}

/* As long as a front end that did nothing wrong is left alone at most. */
static inline void meet_again(void)
{
	loop_advance(VHOST_RETRY_MS);
	assert_true(peer_accept(&peer, listener));
}

/* The front end lies, in one of many ways (test_vhost_faults.c). */
static inline void has_a_ring_of_63(struct peer *p)
{
	peer_tell(p, VHOST_SET_VRING_NUM, &(struct vhost_vring_state){0, 63}, 8, -1);
}

#endif

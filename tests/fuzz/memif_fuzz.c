/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz a memif port from its peer's side.
 *
 * The input is a little program for the peer: each step is a byte that says what to do and the bytes that it needs. A step
 * sends a control message (a right one with some of its bytes changed, or the descriptor beside it), writes into the shared
 * memory, lets the switch receive, send, arm or disarm, lets time pass, or hangs up and connects again. A first byte chooses
 * whether the port is the server or the client.
 *
 * Beside what the sanitizers find, every input must leave no mbuf in use and no descriptor open, and all frames received must
 * keep kind.h's contract.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "log.h"
#include "bell.h"
#include "memif/memif_kind.h"
#include "memif/memif_proto.h"
#include "memif/memif_sock.h"
#include "../unit/test_kind_loop.h"

#define REGION	(256 * 1024)
#define CONTROL 4096 /* bytes of the region that hold rings: those are worth writing */
#define S2C	1024
#define LOG2	4

enum step { HANDSHAKE, MESSAGE, WRITE, WRITE_WORD, RECEIVE, SEND, SLEEP, TIME, RECONNECT, CUT, N_STEPS };

static struct rte_mempool *pool;
static char path[64];

static struct {
	int sock, listener, memfd, soft, bell;
	uint8_t *mem;
} peer;

static void quiet(int priority, const char *text)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fd;

	pool = fuzz_eal(1023);
	loop_fd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(loop_fd >= 0);
	snprintf(path, sizeof(path), "/tmp/memif_fuzz.%d.sock", getpid());
	dp_log_sink(quiet);
	fd = eventfd(0, 0);
	bell_ring(fd); /* opens at its first use what it keeps open */
	close(fd);
	return 0;
}

/* --- the peer ------------------------------------------------------------------------------------------------------ */

static struct memif_msg template(unsigned which)
{
	struct memif_msg m = {0};

	switch (which % 9) {
	case 0:
		m.type = MEMIF_MSG_INIT;
		m.init.version = MEMIF_VERSION;
		break;
	case 1:
		m.type = MEMIF_MSG_ADD_REGION;
		m.add_region.size = REGION;
		break;
	case 2:
	case 3:
		m.type = MEMIF_MSG_ADD_RING;
		m.add_ring.flags = which % 9 == 2 ? MEMIF_ADD_RING_C2S : 0;
		m.add_ring.offset = which % 9 == 2 ? 0 : S2C;
		m.add_ring.log2_size = LOG2;
		break;
	case 4:
		m.type = MEMIF_MSG_CONNECT;
		break;
	case 5:
		m.type = MEMIF_MSG_HELLO;
		m.hello.min_version = m.hello.max_version = MEMIF_VERSION;
		m.hello.max_log2_ring_size = 10;
		break;
	case 6:
		m.type = MEMIF_MSG_ACK;
		break;
	case 7:
		m.type = MEMIF_MSG_CONNECTED;
		break;
	default:
		m.type = MEMIF_MSG_DISCONNECT;
	}
	return m;
}

static int descriptor(unsigned which)
{
	const int fds[] = {-1, peer.memfd, peer.bell, peer.soft, peer.sock};

	return fds[which % (sizeof(fds) / sizeof(fds[0]))];
}

/* Read what the other side says; as server, map what it brings. */
static void listen_to(void)
{
	struct memif_msg msg;
	int fd;

	loop_idle();
	while (peer.sock >= 0 && memif_sock_recv(peer.sock, &msg, &fd) == 0) {
		if (fd >= 0 && msg.type == MEMIF_MSG_ADD_REGION && peer.listener >= 0) {
			munmap(peer.mem, REGION);
			peer.mem = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			CHECK(peer.mem != MAP_FAILED);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void say(const struct memif_msg *msg, int fd, size_t len)
{
	if (peer.sock < 0)
		return;
	if (len == sizeof(*msg))
		memif_sock_send(peer.sock, msg, fd);
	else
		send(peer.sock, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	listen_to();
}

static void meet(void)
{
	if (peer.sock >= 0)
		close(peer.sock);
	loop_advance(MEMIF_RETRY_MS);
	peer.sock =
		peer.listener >= 0 ? accept4(peer.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : memif_sock_connect(path);
	listen_to();
}

static void handshake(void)
{
	static const uint8_t as_client[] = {0, 1, 2, 3, 4}, as_server[] = {5, 6, 6, 6, 6, 7};
	static const uint8_t beside[] = {0, 1, 2, 2, 0};

	for (unsigned i = 0; i < (peer.listener >= 0 ? sizeof(as_server) : sizeof(as_client)); i++) {
		struct memif_msg msg = template(peer.listener >= 0 ? as_server[i] : as_client[i]);

		say(&msg, peer.listener >= 0 ? -1 : descriptor(beside[i]), sizeof(msg));
	}
}

static void peer_init(bool as_server)
{
	peer.memfd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	peer.soft = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	peer.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK(ftruncate(peer.memfd, REGION) == 0 && ftruncate(peer.soft, REGION) == 0);
	CHECK(fcntl(peer.memfd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	peer.mem = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED, peer.memfd, 0);
	CHECK(peer.mem != MAP_FAILED);
	((struct memif_ring *)peer.mem)->cookie = ((struct memif_ring *)(peer.mem + S2C))->cookie = MEMIF_COOKIE;
	for (unsigned i = 0; i < 1 << LOG2; i++) {
		((struct memif_ring *)peer.mem)->desc[i] = (union memif_desc){.length = 64, .offset = CONTROL + i * 2048};
		((struct memif_ring *)(peer.mem + S2C))->desc[i] =
			(union memif_desc){.length = 2048, .offset = CONTROL + (16 + i) * 2048};
	}
	peer.sock = -1;
	peer.listener = as_server ? memif_sock_listen(path) : -1;
}

static void peer_fini(void)
{
	if (peer.sock >= 0)
		close(peer.sock);
	if (peer.listener >= 0) {
		close(peer.listener);
		unlink(path);
	}
	close(peer.memfd);
	close(peer.soft);
	close(peer.bell);
	munmap(peer.mem, REGION);
}

/* --- the switch ---------------------------------------------------------------------------------------------------- */

static void port_receive(struct kind_port *kp, unsigned n)
{
	struct rte_mbuf *m[64];
	uint16_t got = kp->rx(kp->rxq[0], m, (uint16_t)(n % 65));

	CHECK(got <= n % 65);
	for (uint16_t i = 0; i < got; i++) {
		uint32_t len = 0;
		uint16_t segs = 0;

		CHECK(m[i]);
		for (struct rte_mbuf *s = m[i]; s; s = s->next, segs++)
			len += s->data_len;
		CHECK(m[i]->pkt_len == len && len > 0 && len <= 65536 && segs == m[i]->nb_segs);
		CHECK(m[i]->data_len >= RTE_MIN(len, (uint32_t)KIND_MIN_HEAD));
		CHECK(rte_mbuf_refcnt_read(m[i]) == 1 && m[i]->ol_flags == 0);
		rte_pktmbuf_free(m[i]);
	}
}

static void port_send(struct kind_port *kp, unsigned n, uint32_t len)
{
	struct rte_mbuf *m[32];
	uint16_t made = 0, sent;

	while (made < n % 33) {
		struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *tail = head;

		for (uint32_t left = len % 12000; head && left > 0;) {
			uint32_t part = RTE_MIN(left, 2048u);

			if (tail->data_len) {
				tail->next = rte_pktmbuf_alloc(pool);
				if (!tail->next) {
					rte_pktmbuf_free(head);
					head = NULL;
					break;
				}
				tail = tail->next;
				head->nb_segs++;
			}
			tail->data_len = (uint16_t)part;
			head->pkt_len += part;
			left -= part;
		}
		if (!head)
			break;
		m[made++] = head;
	}
	sent = kp->tx(kp->txq[0], m, made);
	CHECK(sent <= made);
	for (uint16_t i = sent; i < made; i++)
		rte_pktmbuf_free(m[i]);
}

static void run_step(struct kind_port *kp)
{
	struct memif_msg msg;
	uint32_t at;
	int fd;

	switch (take8() % N_STEPS) {
	case HANDSHAKE:
		handshake();
		break;
	case MESSAGE:
		msg = template(take8());
		fd = descriptor(take8());
		for (unsigned changes = take8() % 8; changes > 0; changes--) {
			at = take8() % 24;
			((uint8_t *)&msg)[at] = take8();
		}
		at = take8();
		say(&msg, fd, at < 200 ? sizeof(msg) : at - 199);
		break;
	case WRITE:
		at = take(2) % CONTROL;
		for (unsigned n = take8() % 32; n > 0 && at < CONTROL; n--)
			peer.mem[at++] = take8();
		break;
	case WRITE_WORD: { /* where it hurts: indices, flags, descriptors */
		static const uint16_t places[] = {6, 64, S2C + 6, S2C + 64, 4, S2C + 4};

		at = take8();
		if (at < 128)
			*(uint16_t *)(peer.mem + places[at % 6]) = (uint16_t)take(2);
		else
			*(uint32_t *)(peer.mem + (at & 1 ? 128 : S2C + 128) + 4 * (take8() % 64)) = take(4);
		break;
	}
	case RECEIVE:
		port_receive(kp, take8());
		break;
	case SEND:
		at = take8();
		port_send(kp, at, take(2));
		break;
	case SLEEP:
		memif_kind.rx_arm(kp, 0);
		memif_kind.rx_disarm(kp, 0);
		break;
	case TIME:
		loop_advance(take8() * 100);
		break;
	case RECONNECT:
		meet();
		break;
	case CUT:
		CHECK(ftruncate(peer.soft, take8() * 1024) == 0);
		break;
	}
	listen_to();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kind_env env = {.pool = pool};
	struct dp_port_conf conf = {.name = "fuzzed", .kind = "memif"};
	unsigned fds_before = count_fds();
	struct kind_port kp = {0};

	in = data;
	in_end = data + size;
	conf.client = take8() & 1;
	snprintf(conf.path, sizeof(conf.path), "%s", path);
	peer_init(conf.client);
	CHECK(memif_kind.open(&kp, &env, &conf, 1, NULL) == 0);
	meet();
	for (unsigned steps = 0; in < in_end && steps < 200; steps++)
		run_step(&kp);
	memif_kind.close(&kp);
	loop_idle();
	peer_fini();
	CHECK(rte_mempool_in_use_count(pool) == 0);
	CHECK(!timers);
	CHECK(count_fds() == fds_before);
	return 0;
}

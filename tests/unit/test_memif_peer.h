/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_MEMIF_PEER_H
#define TEST_MEMIF_PEER_H

/*
 * A memif peer made by hand, which can say and do what no honest one would.
 *
 * Its messages go over a real socket; between sending and looking for the answer the control thread's loop is run, so
 * everything happens in one thread.
 */

#include "test_memif_env.h"

#define PEER_LOG2   4
#define PEER_SLOTS  (1 << PEER_LOG2)
#define PEER_BUFFER 2048
#define PEER_RING   (sizeof(struct memif_ring) + PEER_SLOTS * sizeof(union memif_desc))
#define PEER_SIZE   (1 << 20)

/* Region 0 of the peer: C2S ring at 0, S2C ring at PEER_S2C, buffers from PEER_BUFFERS on. */
#define PEER_S2C     1024
#define PEER_BUFFERS 8192

struct peer {
	int sock, memfd, bell[2];
	uint8_t *mem;
	struct memif_ring *c2s, *s2c;
};

static inline int sealed_memfd(uint64_t size, int seals)
{
	int fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline void peer_init(struct peer *p)
{
	p->sock = memif_sock_connect(sock_path("a.sock"));
	assert_true(p->sock >= 0);
	p->memfd = sealed_memfd(PEER_SIZE, F_SEAL_SHRINK);
	p->mem = mmap(NULL, PEER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->memfd, 0);
	assert_ptr_not_equal(p->mem, MAP_FAILED);
	p->c2s = (struct memif_ring *)p->mem;
	p->s2c = (struct memif_ring *)(p->mem + PEER_S2C);
	p->c2s->cookie = p->s2c->cookie = MEMIF_COOKIE;
	for (unsigned i = 0; i < PEER_SLOTS; i++) {
		p->c2s->desc[i] = (union memif_desc){.length = 64, .offset = PEER_BUFFERS + i * PEER_BUFFER};
		p->s2c->desc[i] =
			(union memif_desc){.length = PEER_BUFFER, .offset = PEER_BUFFERS + (PEER_SLOTS + i) * PEER_BUFFER};
	}
	p->bell[0] = eventfd(0, EFD_NONBLOCK);
	p->bell[1] = eventfd(0, EFD_NONBLOCK);
}

static inline void peer_fini(struct peer *p)
{
	close(p->sock);
	close(p->memfd);
	close(p->bell[0]);
	close(p->bell[1]);
	munmap(p->mem, PEER_SIZE);
	loop_idle();
}

/* What has come from the other side: a message type, -EAGAIN if nothing, -ECONNRESET if it hung up. */
static inline int peer_heard(struct peer *p)
{
	struct memif_msg msg;
	int fd, rc;

	loop_idle();
	rc = memif_sock_recv(p->sock, &msg, &fd);
	assert_int_equal(fd, -1);
	return rc < 0 ? rc : msg.type;
}

static inline int peer_say(struct peer *p, const struct memif_msg *msg, int fd)
{
	memif_sock_send(p->sock, msg, fd);
	return peer_heard(p);
}

/* It is over: perhaps with a reason, and then the end of the socket. */
static inline void peer_expect_hung_up(struct peer *p)
{
	int heard = peer_heard(p);

	if (heard == MEMIF_MSG_DISCONNECT)
		heard = peer_heard(p);
	assert_int_equal(heard, -ECONNRESET);
}

static inline struct memif_msg msg_init(uint32_t id)
{
	return (struct memif_msg){.type = MEMIF_MSG_INIT, .init = {.version = MEMIF_VERSION, .id = id, .name = "peer\n%s"}};
}

static inline struct memif_msg msg_region(uint16_t index, uint64_t size)
{
	return (struct memif_msg){.type = MEMIF_MSG_ADD_REGION, .add_region = {.index = index, .size = size}};
}

static inline struct memif_msg msg_ring(bool c2s, uint16_t index, uint32_t offset)
{
	return (struct memif_msg){
		.type = MEMIF_MSG_ADD_RING,
		.add_ring = {.flags = c2s ? MEMIF_ADD_RING_C2S : 0, .index = index, .offset = offset, .log2_size = PEER_LOG2},
	};
}

/*
 * The honest handshake, up to where a test goes on by itself: after so many messages of INIT, ADD_REGION, C2S ring, S2C ring,
 * CONNECT.
 */
static inline void peer_handshake(struct peer *p, unsigned messages)
{
	struct memif_msg msg[] = {msg_init(0),
				  msg_region(0, PEER_SIZE),
				  msg_ring(true, 0, 0),
				  msg_ring(false, 0, PEER_S2C),
				  {.type = MEMIF_MSG_CONNECT}};
	int fd[] = {-1, p->memfd, p->bell[0], p->bell[1], -1};

	assert_int_equal(peer_heard(p), MEMIF_MSG_HELLO);
	for (unsigned i = 0; i < messages; i++)
		assert_int_equal(peer_say(p, &msg[i], fd[i]), i < 4 ? MEMIF_MSG_ACK : MEMIF_MSG_CONNECTED);
}

/* A peer that is connected to a server port. */
static inline void peer_connect(struct peer *p)
{
	peer_init(p);
	peer_handshake(p, 5);
}

#endif

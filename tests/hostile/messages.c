/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies in the stream of messages: halves, junk, versions, sizes and descriptors that do not belong, thousands at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"

#define MANY 10000

static int met(struct hostile *h)
{
	int rc = front_open(
		&h->f,
		&(struct front_conf){.path = h->path, .connect = h->connect, .wait_s = h->wait_s, .regions = 2, .region_mib = 4});

	return rc ? rc : front_meet(&h->f);
}

/* --- one message, or less -------------------------------------------------------------------------------------------------- */

struct message_lie {
	uint32_t request, flags, size;
	uint32_t sent;	/* bytes that really go out, header included; 0: what the header says */
	unsigned n_fds; /* that do not belong */
	uint64_t u64;
};

static int message(struct hostile *h)
{
	const struct message_lie *lie = current_case->lie;
	struct front_msg msg;
	int fds[FRONT_MAX_FDS], rc = met(h);

	if (rc)
		return rc;
	memset(&msg, 0, sizeof(msg));
	msg.request = lie->request;
	msg.flags = lie->flags;
	msg.size = lie->size;
	msg.u64 = lie->u64;
	for (unsigned i = 0; i < lie->n_fds; i++)
		fds[i] = h->f.ring[0].call;
	rc = front_raw_send(&h->f, &msg, lie->sent ? lie->sent : FRONT_HEADER + lie->size, fds, lie->n_fds);
	if (current_case->fate != CLOSE)
		pause_ms(100);
	return rc == -ECONNRESET ? 0 : rc;
}

/* The same after an honest start, where there is a running port to harm. */
static int message_late(struct hostile *h)
{
	const struct message_lie *lie = current_case->lie;
	struct front_msg msg = front_msg(lie->request, lie->size);
	struct front_conf conf = {.protocol = ~FRONT_BIT(FRONT_PF_REPLY_ACK) & ~FRONT_BIT(FRONT_PF_STATUS) & 0xffff};
	int rc = honest_open(h, &conf);

	msg.flags |= lie->flags;
	msg.u64 = lie->u64;
	if (!rc)
		rc = front_raw_send(&h->f, &msg, lie->sent ? lie->sent : FRONT_HEADER + lie->size, NULL, 0);
	if (current_case->fate != CLOSE)
		pause_ms(100);
	return rc == -ECONNRESET ? 0 : rc;
}

static int byte_by_byte(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_GET_FEATURES, 0);
	int rc = met(h);

	for (unsigned i = 0; i < FRONT_HEADER && !rc; i++) {
		rc = front_raw_send(&h->f, (const uint8_t *)&msg + i, 1, NULL, 0);
		pause_ms(2);
	}
	return rc ? rc : front_msg_recv(&h->f, &msg);
}

static int three_in_one(struct hostile *h)
{
	struct front_msg ask = front_msg(FRONT_GET_FEATURES, 0), answer;
	uint8_t bytes[3 * FRONT_HEADER];
	int rc = met(h);

	for (unsigned i = 0; i < 3; i++)
		memcpy(bytes + i * FRONT_HEADER, &ask, FRONT_HEADER);
	if (!rc)
		rc = front_raw_send(&h->f, bytes, sizeof(bytes), NULL, 0);
	for (unsigned i = 0; i < 3 && !rc; i++)
		rc = front_msg_recv(&h->f, &answer);
	return rc;
}

static int junk(struct hostile *h)
{
	uint64_t bytes[8192];
	int rc = met(h);

	for (unsigned i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		bytes[i] = rnd();
	if (!rc)
		rc = front_raw_send(&h->f, bytes, sizeof(bytes), NULL, 0);
	return rc == -ECONNRESET ? 0 : rc;
}

/* Every request there is and some that are not, with a payload and descriptors by chance, each on a connection of its own. */
static int requests_by_chance(struct hostile *h)
{
	int rc = met(h);

	for (unsigned i = 0; i < 60 && !rc; i++) {
		struct front_msg msg = front_msg((uint32_t)(i % 45), (uint32_t)(rnd() % 300));
		int fds[4] = {h->f.ring[0].call, h->f.region[0].fd, h->f.ring[0].kick, h->f.region[1].fd};

		for (unsigned b = 0; b < msg.size; b++)
			msg.raw[b] = (uint8_t)(rnd() % 4 ? 0 : rnd());
		if (rnd() % 2)
			msg.flags |= FRONT_NEED_REPLY;
		front_msg_send(&h->f, &msg, fds, (unsigned)(rnd() % 5));
		rc = front_meet(&h->f);
	}
	return rc;
}

/* --- many ------------------------------------------------------------------------------------------------------------------ */

/* Questions whose answers nobody reads: the back end must not wait for us to. */
static int unread(struct hostile *h)
{
	struct front_msg msg = front_msg(FRONT_GET_FEATURES, 0);
	double end = seconds_now() + 2;
	unsigned sent = 0;
	int rc = met(h);

	while (!rc && sent < MANY && seconds_now() < end) {
		ssize_t n = send(h->f.sock, &msg, FRONT_HEADER, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == FRONT_HEADER)
			sent++;
		else if (n < 0 && errno != EAGAIN)
			break;
		else
			pause_ms(5);
	}
	return rc;
}

static int answered_10000(struct hostile *h)
{
	uint64_t features;
	int rc = met(h);

	for (unsigned i = 0; i < MANY && !rc; i++)
		rc = front_ask_u64(&h->f, FRONT_GET_FEATURES, &features);
	return rc;
}

/* Each replaces the one before. */
static int calls_10000(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){0});

	for (unsigned i = 0; i < MANY && !rc; i++)
		rc = front_tell_u64(&h->f, FRONT_SET_VRING_CALL, i % 2, h->f.ring[0].call);
	return rc ? rc : send_honest(h, 5);
}

static int kicks_10000(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){0});

	for (unsigned i = 0; i < MANY && !rc; i++)
		rc = front_tell_u64(&h->f, FRONT_SET_VRING_KICK, i % 2, h->f.ring[i % 2].kick);
	return rc ? rc : send_honest(h, 5);
}

/* --- ends ------------------------------------------------------------------------------------------------------------------ */

static int half_closed(struct hostile *h)
{
	int rc = honest_open(h, &(struct front_conf){0});

	if (!rc && shutdown(h->f.sock, SHUT_WR) < 0)
		rc = -errno;
	return rc;
}

static int out_of_band(struct hostile *h)
{
	int rc = met(h);

	if (!rc && send(h->f.sock, "x", 1, MSG_OOB | MSG_NOSIGNAL) < 0 && errno != EOPNOTSUPP)
		rc = -errno;
	pause_ms(50);
	return rc;
}

#define MSG(name, fate, ...)                                                                                \
	{                                                                                                   \
		"msg-" name, fate, (fate) == CLOSE ? "bad-header|bad-size|bad-descriptors" : NULL, message, \
			&(const struct message_lie)                                                         \
		{                                                                                           \
			__VA_ARGS__                                                                         \
		}                                                                                           \
	}
#define LATE(name, fate, ...)                                                                                            \
	{                                                                                                                \
		"msg-late-" name, fate, (fate) == CLOSE ? "bad-header" : NULL, message_late, &(const struct message_lie) \
		{                                                                                                        \
			__VA_ARGS__                                                                                      \
		}                                                                                                        \
	}

const struct hostile_case message_cases[] = {
	MSG("nothing", STAY, .sent = 0, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION),
	MSG("half-header", STAY, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION, .sent = 6),
	MSG("half-payload", STAY, .request = FRONT_SET_FEATURES, .flags = FRONT_VERSION, .size = 8, .sent = FRONT_HEADER + 3),
	MSG("version-0", CLOSE, .request = FRONT_GET_FEATURES, .flags = 0),
	MSG("version-2", CLOSE, .request = FRONT_GET_FEATURES, .flags = 2),
	MSG("is-a-reply", MAY, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION | FRONT_REPLY),
	MSG("size-4g-less-1", CLOSE, .request = FRONT_SET_FEATURES, .flags = FRONT_VERSION, .size = ~0u, .sent = 1000),
	MSG("size-5000", CLOSE, .request = FRONT_SET_MEM_TABLE, .flags = FRONT_VERSION, .size = 5000, .sent = 2000),
	MSG("too-short", CLOSE, .request = FRONT_SET_FEATURES, .flags = FRONT_VERSION, .size = 4),
	MSG("too-long", CLOSE, .request = FRONT_SET_FEATURES, .flags = FRONT_VERSION, .size = 16),
	MSG("question-with-payload", MAY, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION, .size = 8),
	MSG("empty-memory-table", CLOSE, .request = FRONT_SET_MEM_TABLE, .flags = FRONT_VERSION, .size = 0),
	MSG("request-0", MAY, .request = 0, .flags = FRONT_VERSION),
	MSG("request-1000", MAY, .request = 1000, .flags = FRONT_VERSION),
	MSG("request-4g-less-1", MAY, .request = ~0u, .flags = FRONT_VERSION),
	MSG("three-files-on-a-question", MAY, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION, .n_fds = 3),
	MSG("253-files-on-a-question", MAY, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION, .n_fds = 253),
	MSG("253-files-on-half-a-header", MAY, .request = FRONT_GET_FEATURES, .flags = FRONT_VERSION, .n_fds = 253, .sent = 5),
	LATE("iotlb", MAY, .request = FRONT_IOTLB_MSG, .size = 32),
	LATE("get-config", MAY, .request = FRONT_GET_CONFIG, .size = 12 + 256, .u64 = 0xffffffffull << 32),
	LATE("set-config", MAY, .request = FRONT_SET_CONFIG, .size = 12 + 256, .u64 = ~0ull),
	LATE("rarp-for-a-group", MAY, .request = FRONT_SEND_RARP, .size = 8, .u64 = 0xffffffffffffull),
	LATE("mtu-0", MAY, .request = FRONT_NET_SET_MTU, .size = 8, .u64 = 0),
	LATE("mtu-max", MAY, .request = FRONT_NET_SET_MTU, .size = 8, .u64 = ~0ull),
	LATE("inflight-without-file", MAY, .request = FRONT_SET_INFLIGHT_FD, .size = 20, .u64 = ~0ull),
	LATE("backend-channel-without-file", MAY, .request = FRONT_SET_BACKEND_REQ_FD, .size = 0),
	LATE("version-0", CLOSE, .request = FRONT_GET_FEATURES, .flags = 2),
	LATE("log-fd-without-file", MAY, .request = FRONT_SET_LOG_FD, .size = 0),
	{"msg-byte-by-byte", STAY, NULL, byte_by_byte, NULL},
	{"msg-three-in-one", STAY, NULL, three_in_one, NULL},
	{"msg-junk", CLOSE, "bad-header", junk, NULL},
	{"msg-requests-by-chance", MAY, NULL, requests_by_chance, NULL},
	{"msg-10000-unread", MAY, NULL, unread, NULL},
	{"msg-10000-answered", STAY, NULL, answered_10000, NULL},
	{"msg-10000-calls", STAY, NULL, calls_10000, NULL},
	{"msg-10000-kicks", STAY, NULL, kicks_10000, NULL},
	{"msg-half-closed", CLOSE, NULL, half_closed, NULL},
	{"msg-out-of-band", MAY, NULL, out_of_band, NULL},
	{.name = NULL},
};

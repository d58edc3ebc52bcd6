/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#define NL_ANSWER (64 << 10)

int nl_open(struct nl *nl, uint32_t groups)
{
	struct sockaddr_nl sa = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int on = 1, room = 4 << 20;

	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0), NETLINK_ROUTE);
	if (nl->fd < 0)
		return -errno;
	/* Without these the text is missing, or old kernels send the request back: no reason to do without. */
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (groups)
		setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(nl->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int r = -errno;

		nl_close(nl);
		return r;
	}
	return 0;
}

void nl_close(struct nl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

/* Room for `len` bytes at the end, aligned and cleared; NULL if the message is full. */
static void *room_for(struct nl *nl, size_t len)
{
	size_t at = NLMSG_ALIGN(nl->head.nlmsg_len);

	if (at + NLMSG_ALIGN(len) > sizeof(nl->buf)) {
		nl->overflow = true;
		return NULL;
	}
	memset(nl->buf + at, 0, NLMSG_ALIGN(len));
	nl->head.nlmsg_len = at + NLMSG_ALIGN(len);
	return nl->buf + at;
}

void nl_raw(struct nl *nl, const void *data, size_t len)
{
	void *p = room_for(nl, len);

	if (p)
		memcpy(p, data, len);
}

void nl_start(struct nl *nl, uint16_t type, uint16_t flags, const void *header, size_t len)
{
	nl->overflow = false;
	nl->why[0] = '\0';
	nl->head = (struct nlmsghdr){
		.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | flags,
		.nlmsg_seq = ++nl->seq,
	};
	nl_raw(nl, header, len);
}

void nl_put(struct nl *nl, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = room_for(nl, RTA_LENGTH(len));

	if (!a)
		return;
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
}

void nl_put_u32(struct nl *nl, uint16_t type, uint32_t value)
{
	nl_put(nl, type, &value, sizeof(value));
}

void nl_put_u64(struct nl *nl, uint16_t type, uint64_t value)
{
	nl_put(nl, type, &value, sizeof(value));
}

void nl_put_str(struct nl *nl, uint16_t type, const char *text)
{
	nl_put(nl, type, text, strlen(text) + 1);
}

size_t nl_nest(struct nl *nl, uint16_t type)
{
	size_t at = NLMSG_ALIGN(nl->head.nlmsg_len);

	nl_put(nl, type, NULL, 0);
	return at;
}

void nl_end(struct nl *nl, size_t at)
{
	if (!nl->overflow)
		((struct rtattr *)(void *)(nl->buf + at))->rta_len = nl->head.nlmsg_len - at;
}

static int send_request(struct nl *nl)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (nl->overflow)
		return -EMSGSIZE;
	if (sendto(nl->fd, nl->buf, nl->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static ssize_t receive(struct nl *nl, char *buf)
{
	ssize_t n;

	do {
		n = recv(nl->fd, buf, NL_ANSWER, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The verdict of an NLMSG_ERROR or NLMSG_DONE message, and its text. */
static int verdict(struct nl *nl, const struct nlmsghdr *msg)
{
	const struct nlmsgerr *e = NLMSG_DATA(msg);
	struct rtattr *at[NLMSGERR_ATTR_MAX + 1];

	if (msg->nlmsg_len < NLMSG_LENGTH(sizeof(int)))
		return -EPROTO;
	/* NETLINK_CAP_ACK: nothing of the request comes back but its header. */
	if (msg->nlmsg_type == NLMSG_ERROR && msg->nlmsg_flags & NLM_F_ACK_TLVS) {
		nl_attrs(msg, sizeof(*e), at, NLMSGERR_ATTR_MAX);
		if (at[NLMSGERR_ATTR_MSG])
			snprintf(nl->why, sizeof(nl->why), "%.*s", (int)RTA_PAYLOAD(at[NLMSGERR_ATTR_MSG]),
				 (const char *)RTA_DATA(at[NLMSGERR_ATTR_MSG]));
	}
	return e->error;
}

int nl_ask(struct nl *nl, int (*each)(void *arg, const struct nlmsghdr *msg), void *arg)
{
	char buf[NL_ANSWER] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool ack;
	int r;

	/* Two bits that mean something else in requests that change. */
	if ((nl->head.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		nl->head.nlmsg_flags |= NLM_F_ACK;
	ack = false;
	r = send_request(nl);
	if (r < 0)
		return r;
	while (!ack) {
		ssize_t n = receive(nl, buf);
		size_t left = n;

		if (n < 0)
			return n;
		for (const struct nlmsghdr *msg = (void *)buf; NLMSG_OK(msg, left); msg = NLMSG_NEXT(msg, left)) {
			if (msg->nlmsg_seq != nl->seq)
				continue;
			if (msg->nlmsg_type == NLMSG_ERROR || msg->nlmsg_type == NLMSG_DONE) {
				int v = verdict(nl, msg);

				ack = true;
				if (r == 0)
					r = v;
			} else if (each && r == 0) {
				r = each(arg, msg);
			}
		}
	}
	return r;
}

int nl_talk(struct nl *nl)
{
	return nl_ask(nl, NULL, NULL);
}

int nl_hear(struct nl *nl, void (*each)(void *arg, const struct nlmsghdr *msg), void *arg)
{
	char buf[NL_ANSWER] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (;;) {
		ssize_t n = receive(nl, buf);
		size_t left = n;

		if (n == -EAGAIN || n == 0)
			return 0;
		if (n < 0)
			return n;
		for (const struct nlmsghdr *msg = (void *)buf; NLMSG_OK(msg, left); msg = NLMSG_NEXT(msg, left))
			each(arg, msg);
	}
}

static void collect(const struct rtattr *a, int left, struct rtattr **at, unsigned max)
{
	memset(at, 0, (max + 1) * sizeof(at[0]));
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		unsigned type = a->rta_type & NLA_TYPE_MASK;

		if (type <= max)
			at[type] = (struct rtattr *)a;
	}
}

void nl_attrs(const struct nlmsghdr *msg, size_t len, struct rtattr **at, unsigned max)
{
	size_t head = NLMSG_SPACE(len);
	const char *start = (const char *)msg + head;

	collect((const struct rtattr *)(const void *)start, msg->nlmsg_len < head ? 0 : (int)(msg->nlmsg_len - head), at, max);
}

void nl_nested(const struct rtattr *nest, struct rtattr **at, unsigned max)
{
	collect(RTA_DATA(nest), (int)RTA_PAYLOAD(nest), at, max);
}

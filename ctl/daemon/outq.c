/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "outq.h"

#define IOV_BATCH 64

struct outq_item {
	struct outq_item *next;
	char *data;
	size_t done, len;
	bool event;
};

void outq_init(struct outq *q)
{
	q->head = NULL;
	q->tail = &q->head;
	q->bytes = q->event_bytes = 0;
}

static void drop_head(struct outq *q)
{
	struct outq_item *item = q->head;

	q->head = item->next;
	if (!q->head)
		q->tail = &q->head;
	if (item->event)
		q->event_bytes -= item->len;
	free(item->data);
	free(item);
}

void outq_fini(struct outq *q)
{
	while (q->head)
		drop_head(q);
	q->bytes = 0;
}

static int push(struct outq *q, char *data, size_t len, bool event)
{
	struct outq_item *item = malloc(sizeof(*item));

	if (!item) {
		free(data);
		return -ENOMEM;
	}
	*item = (struct outq_item){.data = data, .len = len, .event = event};
	*q->tail = item;
	q->tail = &item->next;
	q->bytes += len;
	if (event)
		q->event_bytes += len;
	return 0;
}

int outq_push(struct outq *q, char *data, size_t len)
{
	return push(q, data, len, false);
}

int outq_push_event(struct outq *q, char *data, size_t len)
{
	return push(q, data, len, true);
}

static void written(struct outq *q, size_t n)
{
	q->bytes -= n;
	while (n && q->head) {
		struct outq_item *item = q->head;
		size_t left = item->len - item->done;

		if (n < left) {
			item->done += n;
			return;
		}
		n -= left;
		drop_head(q);
	}
}

/* Many at a time: a thousand events are a thousand small items. */
int outq_flush(struct outq *q, int fd)
{
	while (q->head) {
		struct iovec parts[IOV_BATCH];
		struct msghdr msg = {.msg_iov = parts};
		ssize_t n;

		for (struct outq_item *item = q->head; item && msg.msg_iovlen < IOV_BATCH; item = item->next)
			parts[msg.msg_iovlen++] = (struct iovec){item->data + item->done, item->len - item->done};
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		written(q, n);
	}
	return 0;
}

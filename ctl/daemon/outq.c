/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "outq.h"

struct outq_item {
	struct outq_item *next;
	char *data;
	size_t done, len;
};

void outq_init(struct outq *q)
{
	q->head = NULL;
	q->tail = &q->head;
	q->bytes = 0;
}

static void drop_head(struct outq *q)
{
	struct outq_item *item = q->head;

	q->head = item->next;
	if (!q->head)
		q->tail = &q->head;
	free(item->data);
	free(item);
}

void outq_fini(struct outq *q)
{
	while (q->head)
		drop_head(q);
	q->bytes = 0;
}

int outq_push(struct outq *q, char *data, size_t len)
{
	struct outq_item *item = malloc(sizeof(*item));

	if (!item) {
		free(data);
		return -ENOMEM;
	}
	*item = (struct outq_item){.data = data, .len = len};
	*q->tail = item;
	q->tail = &item->next;
	q->bytes += len;
	return 0;
}

int outq_flush(struct outq *q, int fd)
{
	while (q->head) {
		struct outq_item *item = q->head;
		ssize_t n = send(fd, item->data + item->done, item->len - item->done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		item->done += n;
		q->bytes -= n;
		if (item->done == item->len)
			drop_head(q);
	}
	return 0;
}

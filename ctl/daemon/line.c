/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>

#include "line.h"

#define CHUNK 65536

void line_init(struct line_buf *b, size_t max)
{
	*b = (struct line_buf){.max = max};
}

void line_fini(struct line_buf *b)
{
	free(b->data);
	*b = (struct line_buf){0};
}

/* Move what is left to the front; give a big buffer back when nothing is. */
static void compact(struct line_buf *b)
{
	size_t left = b->len - b->start;

	if (left && b->start)
		memmove(b->data, b->data + b->start, left);
	b->scanned -= b->start;
	b->len = left;
	b->start = 0;
	if (!left && b->room > CHUNK) {
		free(b->data);
		b->data = NULL;
		b->room = 0;
	}
}

char *line_room(struct line_buf *b, size_t *n)
{
	compact(b);
	if (b->room - b->len < CHUNK / 2) {
		/* Doubling, so that a long line is not copied again for each chunk. It stays below 2 * (max + CHUNK): line_next() empties
		   the buffer of whatever is longer than max. */
		size_t room = b->room ? b->room * 2 : CHUNK;
		char *data = realloc(b->data, room);

		if (!data)
			return NULL;
		b->data = data;
		b->room = room;
	}
	*n = b->room - b->len;
	if (*n > CHUNK)
		*n = CHUNK;
	return b->data + b->len;
}

void line_filled(struct line_buf *b, size_t n)
{
	b->len += n;
}

/* Drop bytes of a line that was given up. True when its end was found. */
static bool discard(struct line_buf *b)
{
	char *lf = memchr(b->data + b->start, '\n', b->len - b->start);

	b->start = lf ? (size_t)(lf - b->data) + 1 : b->len;
	b->scanned = b->start;
	b->discarding = !lf;
	return lf;
}

enum line_result line_next(struct line_buf *b, const char **line, size_t *n)
{
	char *lf;

	if (!b->data || (b->discarding && !discard(b)))
		return LINE_NONE;
	lf = memchr(b->data + b->scanned, '\n', b->len - b->scanned);
	*n = (lf ? (size_t)(lf - b->data) : b->len) - b->start;
	if (*n > b->max) {
		b->discarding = true;
		discard(b);
		return LINE_TOO_LONG;
	}
	if (!lf) {
		b->scanned = b->len;
		return LINE_NONE;
	}
	*line = b->data + b->start;
	b->start = b->scanned = lf - b->data + 1;
	return LINE_OK;
}

size_t line_waiting(struct line_buf *b)
{
	char *lf;

	if (!b->data || (b->discarding && !discard(b)))
		return 0;
	lf = memchr(b->data + b->scanned, '\n', b->len - b->scanned);
	b->scanned = lf ? (size_t)(lf - b->data) : b->len;
	if (lf)
		return b->scanned + 1 - b->start;
	return b->len - b->start > b->max ? b->len - b->start : 0;
}

bool line_partial(const struct line_buf *b)
{
	return b->discarding || b->len > b->start;
}

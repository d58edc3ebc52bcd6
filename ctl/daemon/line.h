/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_LINE_H
#define CTL_LINE_H

/*
 * Lines out of a stream of bytes, each at most `max` bytes long.
 *
 *      line_room() -> [ .... done | complete line LF complete line LF begun...        ] <- read() appends, line_filled()
 *                             start                                  ^ scanned          len
 *
 * The buffer grows as far as one line of the greatest length needs and shrinks when it is empty. A line that is longer is given up:
 * its bytes are dropped up to its LF, and it is reported once, so the stream goes on with the line behind it.
 *
 * No socket here: the reader asks for room, fills it from wherever, and takes lines out. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>

struct line_buf {
	char *data;
	size_t start, scanned, len, room;
	size_t max;
	bool discarding; /* inside a line that was given up */
};

enum line_result {
	LINE_NONE,     /* no complete line: read more */
	LINE_OK,       /* *line, *n: without the LF; valid until the next call of line_room() */
	LINE_TOO_LONG, /* one was given up; reported when its max is passed, not at its end */
};

void line_init(struct line_buf *b, size_t max);
void line_fini(struct line_buf *b);
/* Where to read to: *n bytes, at least one. NULL when out of memory. */
char *line_room(struct line_buf *b, size_t *n);
/* `n` bytes have been put there. */
void line_filled(struct line_buf *b, size_t n);
enum line_result line_next(struct line_buf *b, const char **line, size_t *n);
/*
 * Bytes of the line that line_next() would give, or give up, without looking at more input; 0: it has nothing to say. Costs no more than
 * looking at each byte once.
 */
size_t line_waiting(struct line_buf *b);
/* A line has begun and not ended (also one that is being given up). Meaningful after line_next() gave LINE_NONE. */
bool line_partial(const struct line_buf *b);

#endif

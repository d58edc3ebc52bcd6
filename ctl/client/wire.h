/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_WIRE_H
#define CLIENT_WIRE_H

/*
 * Bytes: a Unix socket that sends whole lines and receives whole lines, each with an end in time. Private to libsluice.
 *
 *      recv --> | taken | line LF line LF half a li |  room  |
 *               0       head                        len      room
 *
 * Lines are handed out where they lie; they are valid until the next read. What is taken is closed up only when room is needed, so a
 * burst of small lines is moved once and not once a line. The buffer doubles up to SLUICE_REPLY_MAX; a longer line is an error.
 *
 * The other side is not trusted: a line dribbled byte by byte ends with the deadline, one that never ends with the maximum.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/sluice.h"

struct wire {
	int fd;
	char path[108]; /* for messages */
	char *in;
	size_t head, len, room;
	size_t scanned; /* no LF between head and here */
};

#define WIRE_FOREVER INT64_MAX

/* CLOCK_MONOTONIC, milliseconds. */
int64_t slc_wire_now_ms(void);
/* When a call that starts now must end; negative: never. */
int64_t slc_wire_deadline(int timeout_ms);

/* Fill *err. */
void slc_wire_set_error(struct sluice_error *err, int kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* And return `kind`: an expression, so that it is plain to compilers and checkers what comes back. */
#define wire_error(err, kind, ...) (slc_wire_set_error(err, kind, __VA_ARGS__), (kind))
#define wire_no_memory(err)	   wire_error(err, SLUICE_NO_MEMORY, "out of memory")
/* Text that came from elsewhere: cut to fit between two characters, control characters replaced. */
void slc_wire_copy_text(char *to, size_t size, const char *from);

/* 0, or SLUICE_GONE, SLUICE_TIMEOUT, with everything closed again. */
int slc_wire_open(struct wire *w, const char *path, int64_t deadline, struct sluice_error *err);
void slc_wire_close(struct wire *w);
/*
 * Send all of it. 0; also when the other side has closed: there may still be an answer to read that says why. *sent_any tells whether a
 * part has gone out.
 */
int slc_wire_send(struct wire *w, const char *data, size_t len, int64_t deadline, bool *sent_any, struct sluice_error *err);
/*
 * The next line, without its LF. A deadline that has passed takes what is there and does not wait. 0, SLUICE_TIMEOUT (nothing is lost),
 * SLUICE_GONE, SLUICE_BROKEN (too long), SLUICE_NO_MEMORY.
 */
int slc_wire_read(struct wire *w, char **line, size_t *len, int64_t deadline, struct sluice_error *err);

#endif

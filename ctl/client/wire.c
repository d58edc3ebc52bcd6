/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define READ_CHUNK   65536
#define POLL_MAX_MS  1000000 /* poll() takes an int; longer waits are several */
#define CONNECT_STEP 10	     /* ms */

int64_t slc_wire_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t slc_wire_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? WIRE_FOREVER : slc_wire_now_ms() + timeout_ms;
}

/* --- errors ------------------------------------------------------------------------------------------------------------------ */

/* A cut must not leave half a character: step back over continuation bytes and their head. */
static size_t whole_characters(const char *text, size_t n)
{
	size_t back = n;

	while (back > 0 && ((unsigned char)text[back - 1] & 0xc0) == 0x80)
		back--;
	if (back == 0 || (unsigned char)text[back - 1] < 0xc0)
		return n;
	return back - 1;
}

void slc_wire_copy_text(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size)
		n = whole_characters(from, size - 1);
	memcpy(to, from, n);
	to[n] = '\0';
	for (unsigned char *p = (unsigned char *)to; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* C1, as UTF-8 */
			p[0] = p[1] = '?';
	}
}

void slc_wire_set_error(struct sluice_error *err, int kind, const char *fmt, ...)
{
	char text[sizeof(err->message) + 64];
	va_list ap;

	memset(err, 0, sizeof(*err));
	err->kind = kind;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	slc_wire_copy_text(err->message, sizeof(err->message), text);
}

/* --- connecting -------------------------------------------------------------------------------------------------------------- */

static int connect_error(struct sluice_error *err, const char *path, int why)
{
	switch (why) {
	case ENOENT:
	case ECONNREFUSED:
		return wire_error(err, SLUICE_GONE, "%s: no daemon is running there", path);
	default:
		return wire_error(err, SLUICE_GONE, "%s: %s", path, strerror(why));
	}
}

/*
 * A Unix socket connects at once, or its backlog is full; that gives EAGAIN and no event to wait for, so it is tried again until the
 * deadline.
 */
static int connect_until(struct wire *w, int64_t deadline, struct sluice_error *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memcpy(sun.sun_path, w->path, sizeof(sun.sun_path));
	while (connect(w->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return connect_error(err, w->path, errno);
		if (slc_wire_now_ms() >= deadline)
			return wire_error(err, SLUICE_TIMEOUT, "%s: timed out", w->path);
		poll(NULL, 0, CONNECT_STEP);
	}
	return 0;
}

int slc_wire_open(struct wire *w, const char *path, int64_t deadline, struct sluice_error *err)
{
	int ret;

	memset(w, 0, sizeof(*w));
	w->fd = -1;
	if (strlen(path) >= sizeof(w->path))
		return wire_error(err, SLUICE_GONE, "%s: path too long (at most %zu bytes)", path, sizeof(w->path) - 1);
	memcpy(w->path, path, strlen(path) + 1);
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return wire_error(err, SLUICE_GONE, "socket: %s", strerror(errno));
	ret = connect_until(w, deadline, err);
	if (ret)
		slc_wire_close(w);
	return ret;
}

void slc_wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->in);
	w->fd = -1;
	w->in = NULL;
	w->head = w->len = w->room = w->scanned = 0;
}

/* --- bytes ------------------------------------------------------------------------------------------------------------------- */

/* Wait for `events` until the deadline. */
static int wait_for(struct wire *w, short events, int64_t deadline, struct sluice_error *err)
{
	struct pollfd p = {.fd = w->fd, .events = events};
	int64_t left = deadline == WIRE_FOREVER ? POLL_MAX_MS : deadline - slc_wire_now_ms();
	int n = left > 0 ? poll(&p, 1, left > POLL_MAX_MS ? POLL_MAX_MS : (int)left) : 0;

	if (n < 0 && errno != EINTR)
		return wire_error(err, SLUICE_GONE, "%s: poll: %s", w->path, strerror(errno));
	if (n != 0 || left >= POLL_MAX_MS)
		return 0;
	return wire_error(err, SLUICE_TIMEOUT, "timed out");
}

static int went_away(const struct wire *w, struct sluice_error *err)
{
	return wire_error(err, SLUICE_GONE, "%s: the daemon closed the connection", w->path);
}

int slc_wire_send(struct wire *w, const char *data, size_t len, int64_t deadline, bool *sent_any, struct sluice_error *err)
{
	*sent_any = false;
	while (len) {
		ssize_t n = send(w->fd, data, len, MSG_NOSIGNAL);
		int ret;

		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return went_away(w, err);
		if (n < 0) {
			ret = wait_for(w, POLLOUT, deadline, err);
			if (ret)
				return ret;
			continue;
		}
		*sent_any = true;
		data += n;
		len -= n;
	}
	return 0;
}

static void close_up(struct wire *w)
{
	if (!w->head)
		return;
	memmove(w->in, w->in + w->head, w->len - w->head);
	w->len -= w->head;
	w->scanned -= w->head;
	w->head = 0;
}

/* Room for a good piece more. A line already read may lie there: nobody holds one across a read. */
static int make_room(struct wire *w, struct sluice_error *err)
{
	size_t room = w->room ? w->room * 2 : READ_CHUNK;
	char *in;

	if (w->room - w->len >= READ_CHUNK / 2)
		return 0;
	close_up(w);
	if (w->room - w->len >= READ_CHUNK / 2)
		return 0;
	if (room > SLUICE_REPLY_MAX + READ_CHUNK)
		room = SLUICE_REPLY_MAX + READ_CHUNK;
	if (room == w->room)
		return wire_error(err, SLUICE_BROKEN, "the answer is too long (more than %u bytes)", SLUICE_REPLY_MAX);
	in = realloc(w->in, room);
	if (!in)
		return wire_no_memory(err);
	w->in = in;
	w->room = room;
	return 0;
}

static bool take_line(struct wire *w, char **line, size_t *len)
{
	char *lf = w->len > w->scanned ? memchr(w->in + w->scanned, '\n', w->len - w->scanned) : NULL;

	if (!lf) {
		w->scanned = w->len;
		return false;
	}
	*line = w->in + w->head;
	*len = lf - *line;
	w->head = w->scanned = lf + 1 - w->in;
	if (w->head == w->len)
		w->head = w->scanned = w->len = 0;
	return true;
}

/* What the socket has now: 0 when something came, SLUICE_TIMEOUT when nothing is there, without a word in *err. */
static int receive(struct wire *w, struct sluice_error *err)
{
	int ret = make_room(w, err);
	ssize_t n;

	if (ret)
		return ret;
	n = recv(w->fd, w->in + w->len, w->room - w->len, 0);
	if (n > 0) {
		w->len += n;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return SLUICE_TIMEOUT;
	return went_away(w, err);
}

int slc_wire_read(struct wire *w, char **line, size_t *len, int64_t deadline, struct sluice_error *err)
{
	while (!take_line(w, line, len)) {
		int ret = receive(w, err);

		if (ret == SLUICE_TIMEOUT)
			ret = wait_for(w, POLLIN, deadline, err);
		else if (ret == 0 && !memchr(w->in + w->scanned, '\n', w->len - w->scanned) && slc_wire_now_ms() >= deadline)
			/* It dribbles: bytes without an end are no reason to go on. */
			ret = wire_error(err, SLUICE_TIMEOUT, "timed out");
		if (ret)
			return ret;
	}
	return 0;
}

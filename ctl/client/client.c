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

#include "client.h"

#define READ_CHUNK 65536

struct client {
	int fd;
	int64_t deadline_ms; /* CLOCK_MONOTONIC */
	json_int_t next_id;
	char *in; /* what was received and not yet taken */
	size_t len, room;
	char path[108];
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 3, 4))) static int call_error(struct client_error *err, int result, const char *fmt, ...)
{
	va_list ap;

	memset(err, 0, sizeof(*err));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return result;
}

static int no_memory(struct client_error *err)
{
	return call_error(err, CLIENT_BROKEN, "out of memory");
}

/* --- connecting ------------------------------------------------------------------------------------------------------------ */

void client_deadline(struct client *client, unsigned timeout_ms)
{
	client->deadline_ms = now_ms() + timeout_ms;
}

static int connect_error(struct client_error *err, const char *path)
{
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
		return call_error(err, CLIENT_NO_DAEMON, "%s: no daemon is running there", path);
	default:
		return call_error(err, CLIENT_NO_DAEMON, "%s: %s", path, strerror(errno));
	}
}

/*
 * A Unix socket connects at once, or its backlog is full; that gives EAGAIN and no event to wait for, so it is tried again until the
 * deadline.
 */
static int connect_until(struct client *c, struct client_error *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (strlen(c->path) >= sizeof(sun.sun_path))
		return call_error(err, CLIENT_NO_DAEMON, "%s: path too long", c->path);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", c->path);
	while (connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return connect_error(err, c->path);
		if (now_ms() >= c->deadline_ms)
			return call_error(err, CLIENT_TIMEOUT, "%s: timed out", c->path);
		poll(NULL, 0, 10);
	}
	return 0;
}

int client_open(struct client **client, const char *path, unsigned timeout_ms, struct client_error *err)
{
	struct client *c = calloc(1, sizeof(*c));
	int ret;

	*client = NULL;
	if (!c)
		return no_memory(err);
	client_deadline(c, timeout_ms);
	if (strlen(path) >= sizeof(c->path)) {
		free(c);
		return call_error(err, CLIENT_NO_DAEMON, "%s: path too long", path);
	}
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ret = c->fd < 0 ? call_error(err, CLIENT_BROKEN, "socket: %s", strerror(errno)) : connect_until(c, err);
	if (ret) {
		client_close(c);
		return ret;
	}
	*client = c;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	free(client->in);
	free(client);
}

/* --- bytes ------------------------------------------------------------------------------------------------------------------ */

/* Wait for `events` until the deadline. */
static int wait_for(struct client *c, short events, struct client_error *err)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	int64_t left = c->deadline_ms - now_ms();
	int n = left > 0 ? poll(&p, 1, left > 1000000 ? 1000000 : (int)left) : 0;

	if (n > 0 || (n < 0 && errno == EINTR))
		return 0;
	return n < 0 ? call_error(err, CLIENT_BROKEN, "poll: %s", strerror(errno)) : call_error(err, CLIENT_TIMEOUT, "timed out");
}

static int went_away(struct client *c, struct client_error *err)
{
	return call_error(err, CLIENT_NO_DAEMON, "%s: the daemon closed the connection", c->path);
}

/* 1 when it is all sent; 0 when the other side has closed: there may still be an answer to read that says why. */
static int send_all(struct client *c, const char *data, size_t len, struct client_error *err)
{
	while (len) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
		int ret;

		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -went_away(c, err);
		if (n < 0) {
			ret = wait_for(c, POLLOUT, err);
			if (ret)
				return -ret;
			continue;
		}
		data += n;
		len -= n;
	}
	return 1;
}

static int grow(struct client *c, struct client_error *err)
{
	size_t room = c->room ? c->room * 2 : READ_CHUNK;
	char *in;

	if (c->room - c->len >= READ_CHUNK / 2)
		return 0;
	if (c->len > CLIENT_REPLY_MAX)
		return call_error(err, CLIENT_BROKEN, "the answer is too long");
	in = realloc(c->in, room);
	if (!in)
		return no_memory(err);
	c->in = in;
	c->room = room;
	return 0;
}

/* Read until there is a line; *line_len is without its LF. */
static int read_line(struct client *c, size_t *line_len, struct client_error *err)
{
	size_t scanned = 0;

	for (;;) {
		char *lf = c->len > scanned ? memchr(c->in + scanned, '\n', c->len - scanned) : NULL;
		ssize_t n;
		int ret;

		if (lf) {
			*line_len = lf - c->in;
			return 0;
		}
		scanned = c->len;
		ret = grow(c, err);
		if (ret)
			return ret;
		n = recv(c->fd, c->in + c->len, c->room - c->len, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return went_away(c, err);
		if (n > 0) {
			c->len += n;
			continue;
		}
		ret = wait_for(c, POLLIN, err);
		if (ret)
			return ret;
	}
}

static int read_json(struct client *c, json_t **json, struct client_error *err)
{
	json_error_t where;
	size_t len = 0;
	int ret = read_line(c, &len, err);

	if (ret)
		return ret;
	*json = json_loadb(c->in, len, 0, &where);
	c->len -= len + 1;
	memmove(c->in, c->in + len + 1, c->len);
	return *json ? 0 : call_error(err, CLIENT_BROKEN, "the daemon's answer is not JSON: %s", where.text);
}

/* --- calls ------------------------------------------------------------------------------------------------------------------ */

static void copy_string(char *to, size_t size, const json_t *from)
{
	snprintf(to, size, "%s", json_is_string(from) ? json_string_value(from) : "");
}

static int refused(const json_t *error, struct client_error *err)
{
	const json_t *data = json_object_get(error, "data");

	memset(err, 0, sizeof(*err));
	err->code = json_integer_value(json_object_get(error, "code"));
	copy_string(err->msg, sizeof(err->msg), json_object_get(error, "message"));
	copy_string(err->name, sizeof(err->name), json_object_get(data, "name"));
	copy_string(err->path, sizeof(err->path), json_object_get(data, "path"));
	copy_string(err->hint, sizeof(err->hint), json_object_get(data, "hint"));
	return CLIENT_REFUSED;
}

/* The answer to `id`. Errors without an id are about the connection, so they are ours too; notifications are not. */
static int read_answer(struct client *c, json_int_t id, json_t **result, struct client_error *err)
{
	for (;;) {
		json_t *json, *error, *got;
		bool ours;
		int ret = read_json(c, &json, err);

		if (ret)
			return ret;
		got = json_object_get(json, "id");
		error = json_object_get(json, "error");
		ours = json_is_integer(got) ? json_integer_value(got) == id : json_is_null(got) && error;
		if (ours) {
			*result = error ? NULL : json_incref(json_object_get(json, "result"));
			ret = error	? refused(error, err)
			      : *result ? 0
					: call_error(err, CLIENT_BROKEN, "the daemon's answer has no result");
		}
		json_decref(json);
		if (ours)
			return ret;
	}
}

static char *make_request(const char *method, json_t *params, json_int_t id)
{
	json_t *json = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", id, "method", method, "params",
				 params ? params : json_object());
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

int client_call(struct client *client, const char *method, json_t *params, json_t **result, struct client_error *err)
{
	json_int_t id = ++client->next_id;
	char *text = make_request(method, params, id);
	size_t len = text ? strlen(text) : 0;
	int ret;

	*result = NULL;
	if (!text)
		return call_error(err, CLIENT_BROKEN, "the request cannot be made: out of memory, or a method that is not UTF-8");
	if (len > CLIENT_LINE_MAX) {
		free(text);
		return call_error(err, CLIENT_BROKEN, "the request has %zu bytes (at most %u)", len, CLIENT_LINE_MAX);
	}
	text[len] = '\n'; /* in the place of the NUL */
	ret = send_all(client, text, len + 1, err);
	free(text);
	return ret < 0 ? -ret : read_answer(client, id, result, err);
}

int client_hello(struct client *client, const char *name, struct client_error *err)
{
	json_t *result;
	int ret = client_call(client, "hello", json_pack("{s:s, s:i}", "client", name, "api_major", 1), &result, err);

	json_decref(result);
	return ret;
}

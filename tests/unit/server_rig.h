/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

/*
 * The server on real sockets, in this process, on a switch that is not there: the test is its own client and turns the event loop until
 * an answer is there. Included once by a test program.
 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/instance.h"
#include "daemon/outq.h"
#include "daemon/rpc.h"
#include "daemon/server.h"
#include "fake_dp.h"

static char dir[32], why[256];
static struct instance_socket control, stat_sock;
static struct ctl ctl;
static struct server *server;
static sd_event *event;

static const struct instance_access control_access = {.mode = 0660, .group = "sluice"}, stat_access = {.mode = 0666};

static inline const char *in_dir(const char *name)
{
	static char path[2][64];
	static unsigned i;

	i ^= 1;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static inline int setup(void **state)
{
	memset(&fake_dp, 0, sizeof(fake_dp));
	snprintf(dir, sizeof(dir), "/tmp/sluice-server-XXXXXX");
	assert_non_null(mkdtemp(dir));
	ctl_init(&ctl, &fake_dp);
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(instance_open(&control, in_dir("c"), &control_access, why, sizeof(why)), 0);
	assert_int_equal(instance_open(&stat_sock, in_dir("s"), &stat_access, why, sizeof(why)), 0);
	assert_int_equal(server_open(&server, event, &ctl), 0);
	assert_int_equal(server_listen(server, control.fd, false), 0);
	assert_int_equal(server_listen(server, stat_sock.fd, true), 0);
	return 0;
}

static inline int teardown(void **state)
{
	server_close(server);
	instance_close(&stat_sock);
	instance_close(&control);
	sd_event_unref(event);
	ctl_fini(&ctl);
	/* Sockets and locks are gone: the directory is empty. */
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

/* --- a client ------------------------------------------------------------------------------------------------------------- */

static inline int connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

/* Let the server do what it can do now. */
static inline void turn(void)
{
	while (sd_event_run(event, 0) > 0)
		;
}

static inline void say_bytes(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t done = send(fd, data, n, MSG_NOSIGNAL);

		assert_true(done > 0 || errno == EAGAIN);
		if (done > 0) {
			data += done;
			n -= done;
		}
		turn();
	}
}

static inline void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* The next line, without its LF; "" when the connection is over. */
static inline char *hear(int fd)
{
	char *line = malloc(RPC_REPLY_MAX + 2);
	size_t n = 0;

	assert_non_null(line);
	for (;;) {
		ssize_t got = recv(fd, line + n, 1, 0);

		if (got == 0 || (got < 0 && errno == ECONNRESET))
			break;
		if (got < 0) {
			assert_int_equal(errno, EAGAIN);
			/* The server has something to do, or this waits for ever: cmocka's caller has the deadline. */
			assert_true(sd_event_run(event, 5000000) > 0);
			continue;
		}
		if (line[n] == '\n')
			break;
		assert_true(++n <= RPC_REPLY_MAX);
	}
	line[n] = '\0';
	return line;
}

static inline void assert_hears(int fd, const char *part)
{
	char *line = hear(fd);

	if (!strstr(line, part))
		fail_msg("\"%.300s\" does not hold \"%s\"", line, part);
	free(line);
}

static inline void assert_closed(int fd)
{
	char *line = hear(fd);

	assert_string_equal(line, "");
	free(line);
	close(fd);
}

#define HELLO	"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"hello\",\"params\":{\"client\":\"me\",\"api_major\":1}}\n"
#define GET(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"get\"}\n"

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif

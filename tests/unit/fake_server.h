/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_SERVER_H
#define TESTS_FAKE_SERVER_H

/*
 * A daemon that says what a test wrote down: a script, played to one client after another by a process of its own.
 *
 *      "<"         take a line
 *      "<apply"    take a line, which must hold this; else the server ends, and the client sees the connection close
 *      ">TEXT"     send TEXT and LF. @ID@ in it is the id of the last line taken
 *      ">>TEXT"    send TEXT as it is
 *      "|"         wait until the client has closed or shut down its side
 *      "x"         close the connection
 *      "-"         close it and accept the next
 *
 * At the end of the script the connection is closed. fake_stop() returns true if the whole script was played.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct fake_server {
	char path[64];
	pid_t pid;
};

static inline void fake_write(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			_exit(3);
		text += n;
		len -= n;
	}
}

/* A line, without LF; byte by byte, so that nothing of the next one is taken. */
static inline void fake_read(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n < size - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	if (n == size - 1 || line[n] != '\n')
		_exit(4);
	line[n] = '\0';
}

static inline void fake_say(int fd, const char *text, const char *last)
{
	const char *mark = strstr(text, "@ID@"), *id = strstr(last, "\"id\":");

	if (!mark) {
		fake_write(fd, text, strlen(text));
		return;
	}
	id = id ? id + 5 : "0";
	fake_write(fd, text, mark - text);
	fake_write(fd, id, strspn(id, "0123456789"));
	fake_say(fd, mark + 4, last);
}

static inline int fake_accept(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		_exit(2);
	return fd;
}

static inline void fake_play(int listener, const char *const *script)
{
	static char line[(1 << 20) + 16];
	char byte;
	int fd = fake_accept(listener);

	for (; *script; script++) {
		const char *step = *script;

		switch (step[0]) {
		case '<':
			fake_read(fd, line, sizeof(line));
			if (!strstr(line, step + 1))
				_exit(5);
			break;
		case '>':
			fake_say(fd, step + (step[1] == '>' ? 2 : 1), line);
			if (step[1] != '>')
				fake_write(fd, "\n", 1);
			break;
		case '|':
			while (recv(fd, &byte, 1, 0) > 0)
				;
			break;
		default:
			close(fd);
			fd = step[0] == '-' ? fake_accept(listener) : -1;
		}
	}
	close(fd);
	_exit(0);
}

static inline bool fake_start(struct fake_server *s, const char *path, const char *const *script)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(s->path, sizeof(s->path), "%s", path);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 4) < 0)
		return false;
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		fake_play(fd, script);
	}
	close(fd);
	return s->pid > 0;
}

static inline bool fake_stop(struct fake_server *s)
{
	int status = -1;

	waitpid(s->pid, &status, 0);
	unlink(s->path);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* In parentheses: in a list of strings, a joined one looks like a missing comma to checkers. */
#define FAKE_OK(result) (">{\"jsonrpc\":\"2.0\",\"id\":@ID@,\"result\":" result "}")
#define FAKE_HELLO	"<\"hello\"", FAKE_OK("{\"version\":\"9\",\"api_major\":1,\"boot_id\":\"b\",\"generation\":3}")
#define FAKE_ERROR(code, name, path, message, hint)                                                                               \
	(">{\"jsonrpc\":\"2.0\",\"id\":@ID@,\"error\":{\"code\":" #code ",\"message\":\"" message "\",\"data\":{\"name\":\"" name \
	 "\",\"path\":\"" path "\",\"hint\":\"" hint "\"}}}")
#define FAKE_EVENT(params) (">{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":" params "}")

#endif

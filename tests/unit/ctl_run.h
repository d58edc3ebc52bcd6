/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CTL_RUN_H
#define TESTS_CTL_RUN_H

/*
 * sluicectl as it is run: words in; text, JSON and exit code out. Each command is a process of its own, with this program's copy of the tool.
 * Included once by a test program, behind cmocka.h.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

static char out[1 << 17], err[8192];

static inline void slurp(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

/* Run it with these words; its output is in `out` and `err`. Returns the exit code. */
static inline int run_words(const char *const *words)
{
	int out_fd = memfd_create("out", 0), err_fd = memfd_create("err", 0), status;
	char *argv[32];
	int argc = 0;
	pid_t pid;

	argv[argc++] = (char *)"sluicectl";
	for (; *words; words++)
		argv[argc++] = (char *)*words;
	argv[argc] = NULL;
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out_fd, STDOUT_FILENO);
		dup2(err_fd, STDERR_FILENO);
		status = cli_main(argc, argv);
		fflush(stdout);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	slurp(out_fd, out, sizeof(out));
	slurp(err_fd, err, sizeof(err));
	return WEXITSTATUS(status);
}

static inline void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not hold \"%s\"", text, part);
}

static inline void assert_done(int status)
{
	if (status)
		fail_msg("exit %d: %s", status, err);
	assert_string_equal(err, "");
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "commands.h"

/*
 * Who starts us with stdin, stdout or stderr closed must not have the result written to the daemon's socket, which would get the number. In
 * its place there is something that refuses.
 */
static void hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(void)
{
	hold_standard_descriptors();
	/* A runtime that has gone away is a failed write, which takes everything back. */
	signal(SIGPIPE, SIG_IGN);
	return commands_run(stdin, stdout);
}

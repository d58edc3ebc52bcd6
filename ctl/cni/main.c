/* SPDX-License-Identifier: Apache-2.0 */

#include <signal.h>

#include "commands.h"

int main(void)
{
	/* A runtime that has gone away is a failed write, which takes everything back. */
	signal(SIGPIPE, SIG_IGN);
	return commands_run(stdin, stdout);
}

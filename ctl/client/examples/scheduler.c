/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A scheduler in its smallest form: say what a node must carry, wait until it does, and hear of every link that changes.
 *
 *      cc scheduler.c $(pkg-config --cflags --libs sluice) -o scheduler && ./scheduler SOCKET '[{"object":...}, ...]'
 */

#include <sluice/sluice.h>
#include <stdio.h>

static struct sluice_error err;

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s%s%s\n", what, err.path, err.path[0] ? ": " : "", err.message);
	return 1;
}

int main(int argc, char **argv)
{
	struct sluice_generation at;
	struct sluice *node;
	char *event;

	if (argc != 3)
		return fprintf(stderr, "usage: scheduler SOCKET OBJECTS\n"), 1;
	if (sluice_open(&node, argv[1], 10000, &err) || sluice_hello(node, "scheduler", NULL, &err))
		return failed("connect");
	/* What this client owns becomes exactly the list; when it is so already, nothing changes. */
	if (sluice_apply(node, argv[2], SLUICE_REPLACE, SLUICE_ANY_GENERATION, &at, &err))
		return failed("apply");
	if (at.applied < at.generation && sluice_wait(node, at.generation, 10000, &at, &err))
		return failed("wait");
	printf("generation %lld: %lld changes in force\n", (long long)at.generation, (long long)at.changes);
	fflush(stdout);
	if (sluice_watch(node, "{\"events\":[\"port.link\"],\"snapshot\":false}", NULL, &err))
		return failed("watch");
	while (sluice_next_event(node, -1, &event, &err) == SLUICE_OK) {
		puts(event);
		fflush(stdout);
		sluice_free(event);
	}
	sluice_close(node);
	return failed("watch"); /* the daemon has gone: connect again, and apply again */
}

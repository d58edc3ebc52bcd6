/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Options, each a row: from here getopt, help, completion and the manual have them.
 */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

const struct cli_option cli_options[] = {
	{"j", "json", "", "print the result as one JSON document, as the socket gave it"},
	{"p", "pretty", "", "the same, indented"},
	{"s", "socket", "PATH", "the daemon's socket (" SLUICE_CONTROL_SOCKET ")"},
	{"T", "timeout", "SECONDS", "give up after so many seconds (30)"},
	{"n", "dry-run", "", "have the daemon check, print what would change, and change nothing"},
	{"b", "batch", "FILE", "a command on each line, all of them one transaction; - is stdin"},
	{"c", "color", "WHEN", "auto, always or never"},
	{"", "no-atomic", "", "with -b: each line on its own; what fails is said, and the next line goes on"},
	{"", "force", "", "change objects that belong to another client, too"},
	{"", "owner", "NAME",
	 "act as this client: the owner of what is added, and whose objects `apply FILE` replaces (sluicectl)"},
	{"h", "help", "", "print what there is, and exit"},
	{"V", "version", "", "print the version, and exit"},
	{NULL, NULL, NULL, NULL},
};

#define N_OPTIONS (sizeof(cli_options) / sizeof(cli_options[0]) - 1)
#define LONG_ONLY 256 /* and the row's number: the value of an option without a letter */

static int set_timeout(struct cli *cli, const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (!*text || *end || !isfinite(s) || s <= 0 || s > CLI_TIMEOUT_MAX_S)
		return cli_usage(cli, "-T %s: not a number of seconds (above 0, at most %d)", text, CLI_TIMEOUT_MAX_S);
	cli->timeout_ms = s * 1000 < 1 ? 1 : (int)(s * 1000);
	cli->timeout_given = true;
	return CLI_DONE;
}

static int set_colour(struct cli *cli, const char *when)
{
	const char *term = getenv("TERM");

	if (!strcmp(when, "always"))
		cli->colour = true;
	else if (!strcmp(when, "never"))
		cli->colour = false;
	else if (!strcmp(when, "auto"))
		cli->colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
	else
		return cli_usage(cli, "-c %s: not one of auto, always, never", when);
	return CLI_DONE;
}

static int take_long(struct cli *cli, const char *name, const char *arg)
{
	if (!strcmp(name, "no-atomic"))
		cli->no_atomic = true;
	else if (!strcmp(name, "force"))
		cli->force = true;
	else if (!schema_name_valid(arg))
		return cli_usage(cli, "--owner %s: a name is 1-63 of a-z A-Z 0-9 . _ -", arg);
	else
		cli->owner = arg;
	return CLI_DONE;
}

static int take_option(struct cli *cli, int option, const char *arg)
{
	switch (option) {
	case 'j':
		cli->format = CLI_JSON;
		return CLI_DONE;
	case 'p':
		cli->format = CLI_PRETTY;
		return CLI_DONE;
	case 's':
		cli->socket = arg;
		return CLI_DONE;
	case 'T':
		return set_timeout(cli, arg);
	case 'n':
		cli->dry_run = true;
		return CLI_DONE;
	case 'b':
		cli->batch = arg;
		return CLI_DONE;
	case 'c':
		return set_colour(cli, arg);
	default:
		return option >= LONG_ONLY ? take_long(cli, cli_options[option - LONG_ONLY].name, arg) : CLI_USAGE;
	}
}

/* The table as getopt wants it. '+': words behind OBJECT are not options, so that NAME and values may begin with '-'. */
static void make_tables(char *letters, struct option *longs)
{
	*letters++ = '+';
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct cli_option *o = &cli_options[i];
		int arg = o->arg[0] ? required_argument : no_argument;

		longs[i] = (struct option){o->name, arg, NULL, o->letter[0] ? o->letter[0] : LONG_ONLY + (int)i};
		if (!o->letter[0])
			continue;
		*letters++ = o->letter[0];
		if (arg == required_argument)
			*letters++ = ':';
	}
	*letters = '\0';
	longs[N_OPTIONS] = (struct option){NULL, 0, NULL, 0};
}

/* A full disk or a closed pipe must not look like success. */
static int finish(const struct cli *cli, int ret)
{
	if ((fflush(cli->out) == 0 && !ferror(cli->out)) || ret != CLI_DONE)
		return ret;
	return cli_usage(cli, "cannot write the output: %s", strerror(errno));
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {.timeout_ms = CLI_TIMEOUT_DEFAULT_MS, .owner = "sluicectl", .out = stdout};
	struct option longs[N_OPTIONS + 1];
	char letters[2 * N_OPTIONS + 2];
	int option;

	/* For the shell, and not among the options: its words are somebody else's unfinished command. */
	if (argc > 1 && !strcmp(argv[1], "--complete"))
		return finish(&cli, complete_run(argc - 2, argv + 2, cli.out));
	set_colour(&cli, "auto");
	make_tables(letters, longs);
	optind = 1;
	while ((option = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
		if (option == 'h')
			return finish(&cli, help_print(&cli, NULL, cli.out));
		if (option == 'V')
			return printf("sluicectl %s\n", SLUICE_VERSION), finish(&cli, CLI_DONE);
		if (take_option(&cli, option, optarg) != CLI_DONE)
			return CLI_USAGE;
	}
	return finish(&cli, command_run(&cli, argc - optind, argv + optind));
}

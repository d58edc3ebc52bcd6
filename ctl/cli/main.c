/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define TIMEOUT_DEFAULT_MS 30000
#define TIMEOUT_MAX_S	   86400

/* --- what everything else uses -------------------------------------------------------------------------------------------- */

static void print_head(const struct cli *cli)
{
	fflush(stdout);
	fprintf(stderr, "sluicectl: %s%s", cli->context, cli->context[0] ? ": " : "");
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	print_head(cli);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CLI_USAGE;
}

int cli_failed(const struct cli *cli, int result, const struct client_error *err)
{
	print_head(cli);
	fprintf(stderr, "%s\n", err->msg);
	if (err->hint[0])
		fprintf(stderr, "sluicectl: hint: %s\n", err->hint);
	switch (result) {
	case CLIENT_REFUSED:
		return CLI_REFUSED;
	case CLIENT_NO_DAEMON:
		return CLI_NO_DAEMON;
	case CLIENT_TIMEOUT:
		return CLI_TIMEOUT;
	default:
		return CLI_USAGE;
	}
}

/* Who may not use the control socket can still look, through the one for everybody. */
static const char *socket_path(const struct cli *cli, bool writes)
{
	if (cli->socket)
		return cli->socket;
	return !writes && access(CLIENT_SOCKET, W_OK) < 0 && errno == EACCES ? CLIENT_STAT_SOCKET : CLIENT_SOCKET;
}

int cli_connect(const struct cli *cli, bool writes, struct client **client)
{
	struct client_error err;
	int ret = client_open(client, socket_path(cli, writes), cli->timeout_ms, &err);

	if (ret == 0) {
		ret = client_hello(*client, "sluicectl", &err);
		if (ret) {
			client_close(*client);
			*client = NULL;
		}
	}
	return ret ? cli_failed(cli, ret, &err) : CLI_DONE;
}

int cli_call(const struct cli *cli, bool writes, const char *method, json_t *params, json_t **result)
{
	struct client_error err;
	struct client *client;
	int ret = cli_connect(cli, writes, &client);

	*result = NULL;
	if (ret != CLI_DONE) {
		json_decref(params);
		return ret;
	}
	ret = client_call(client, method, params, result, &err);
	client_close(client);
	return ret ? cli_failed(cli, ret, &err) : CLI_DONE;
}

void cli_print_json(const struct cli *cli, const json_t *result)
{
	json_dumpf(result, cli->out,
		   (cli->format == CLI_PRETTY ? JSON_INDENT(2) : JSON_COMPACT) | JSON_REAL_PRECISION(6) | JSON_ENCODE_ANY);
	fputc('\n', cli->out);
}

/* --- options ---------------------------------------------------------------------------------------------------------------- */

static int set_timeout(struct cli *cli, const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (!*text || *end || !isfinite(s) || s <= 0 || s > TIMEOUT_MAX_S)
		return cli_usage(cli, "-T %s: not a number of seconds (above 0, at most %d)", text, TIMEOUT_MAX_S);
	cli->timeout_ms = s * 1000 < 1 ? 1 : (unsigned)(s * 1000);
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
		return CLI_USAGE;
	}
}

static const struct option long_options[] = {
	{"json", no_argument, NULL, 'j'},	  {"pretty", no_argument, NULL, 'p'},
	{"socket", required_argument, NULL, 's'}, {"timeout", required_argument, NULL, 'T'},
	{"dry-run", no_argument, NULL, 'n'},	  {"batch", required_argument, NULL, 'b'},
	{"color", required_argument, NULL, 'c'},  {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},	  {NULL, 0, NULL, 0},
};

/* A full disk or a closed pipe must not look like success. */
static int finish(const struct cli *cli, int ret)
{
	if ((fflush(cli->out) == 0 && !ferror(cli->out)) || ret != CLI_DONE)
		return ret;
	return cli_usage(cli, "cannot write the output: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct cli cli = {.timeout_ms = TIMEOUT_DEFAULT_MS, .out = stdout};
	int option;

	set_colour(&cli, "auto");
	/* '+': words behind OBJECT are not options, so that NAME and values may begin with '-'. */
	while ((option = getopt_long(argc, argv, "+jps:T:nb:c:hV", long_options, NULL)) >= 0) {
		if (option == 'h')
			return finish(&cli, help_print(&cli, NULL, cli.out));
		if (option == 'V')
			return printf("sluicectl %s\n", SLUICE_VERSION), finish(&cli, CLI_DONE);
		if (take_option(&cli, option, optarg) != CLI_DONE)
			return CLI_USAGE;
	}
	return finish(&cli, command_run(&cli, argc - optind, argv + optind));
}

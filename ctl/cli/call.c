/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Between the commands and libsluice: connecting, trees to text and back, and the one voice in which failures are told.
 */

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define GET_PAGE 1000

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

void cli_say(const char *fmt, ...)
{
	va_list ap;

	fputs("sluicectl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int cli_failed(const struct cli *cli, const struct sluice_error *err)
{
	cli_usage(cli, "%s", err->message);
	if (err->hint[0])
		cli_say("hint: %s", err->hint);
	switch (err->kind) {
	case SLUICE_REFUSED:
		return CLI_REFUSED;
	case SLUICE_GONE:
		return CLI_NO_DAEMON;
	case SLUICE_TIMEOUT:
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
	return !writes && access(SLUICE_CONTROL_SOCKET, W_OK) < 0 && errno == EACCES ? SLUICE_STAT_SOCKET : SLUICE_CONTROL_SOCKET;
}

int cli_connect(const struct cli *cli, bool writes, struct sluice **s)
{
	struct sluice_error err;
	int ret = sluice_open(s, socket_path(cli, writes), cli->timeout_ms, &err);

	if (ret == 0) {
		ret = sluice_hello(*s, cli->owner, NULL, &err);
		if (ret) {
			sluice_close(*s);
			*s = NULL;
		}
	}
	return ret ? cli_failed(cli, &err) : CLI_DONE;
}

static int no_memory(struct sluice_error *err)
{
	*err = (struct sluice_error){.kind = SLUICE_NO_MEMORY, .message = "out of memory"};
	return SLUICE_NO_MEMORY;
}

int cli_ask(struct sluice *s, const char *method, json_t *params, char **text, json_t **tree, struct sluice_error *err)
{
	char *request = params ? json_dumps(params, JSON_COMPACT) : NULL, *result = NULL;
	int ret = params && !request ? no_memory(err) : sluice_call(s, method, request, &result, err);

	json_decref(params);
	sluice_free(request);
	if (text)
		*text = NULL;
	if (tree)
		*tree = NULL;
	if (ret)
		return ret;
	if (tree) {
		*tree = json_loads(result, JSON_DECODE_ANY, NULL);
		if (!*tree)
			ret = no_memory(err);
	}
	if (text && ret == 0)
		*text = result;
	else
		sluice_free(result);
	return ret;
}

int cli_call(const struct cli *cli, bool writes, const char *method, json_t *params, char **text, json_t **tree)
{
	struct sluice_error err;
	struct sluice *s;
	int ret = cli_connect(cli, writes, &s);

	*text = NULL;
	*tree = NULL;
	if (ret != CLI_DONE) {
		json_decref(params);
		return ret;
	}
	ret = cli_ask(s, method, params, text, tree, &err);
	sluice_close(s);
	return ret ? cli_failed(cli, &err) : CLI_DONE;
}

void cli_print_json(const struct cli *cli, const json_t *tree)
{
	json_dumpf(tree, cli->out,
		   (cli->format == CLI_PRETTY ? JSON_INDENT(2) : JSON_COMPACT) | JSON_REAL_PRECISION(6) | JSON_ENCODE_ANY);
	fputc('\n', cli->out);
}

void cli_print_result(const struct cli *cli, const char *text, const json_t *tree)
{
	if (cli->format == CLI_PRETTY)
		cli_print_json(cli, tree);
	else
		fprintf(cli->out, "%s\n", text);
}

/* --- everything, page by page ------------------------------------------------------------------------------------------------- */

/* One page behind those in *objects. 1: there are more, 0: that was the last, -1: the configuration has changed on the way. */
static int get_page(struct sluice *s, json_t *params, json_t *objects, json_int_t *generation, struct sluice_error *err,
		    int *failed)
{
	json_t *result, *cursor;
	json_int_t now;
	int more;

	*failed = cli_ask(s, "get", json_copy(params), NULL, &result, err);
	if (*failed)
		return 0;
	now = json_integer_value(json_object_get(result, "generation"));
	cursor = json_object_get(result, "cursor");
	more = json_is_string(cursor);
	if (*generation >= 0 && now != *generation)
		more = -1;
	*generation = now;
	if (json_array_extend(objects, json_object_get(result, "objects")) < 0 ||
	    (more > 0 && json_object_set(params, "cursor", cursor) < 0))
		*failed = no_memory(err);
	json_decref(result);
	return more;
}

int cli_get_all(const struct cli *cli, struct sluice *s, json_t *params, json_t **objects)
{
	json_int_t generation = -1;
	struct sluice_error err;
	int failed = 0, more = 1;

	*objects = json_array();
	json_object_set_new(params, "limit", json_integer(GET_PAGE));
	while (more && !failed) {
		more = get_page(s, params, *objects, &generation, &err, &failed);
		if (more >= 0 || failed)
			continue;
		/* Half of one state and half of another is neither: from the start. */
		json_array_clear(*objects);
		json_object_del(params, "cursor");
		generation = -1;
	}
	json_decref(params);
	if (!failed)
		return CLI_DONE;
	json_decref(*objects);
	*objects = NULL;
	return cli_failed(cli, &err);
}

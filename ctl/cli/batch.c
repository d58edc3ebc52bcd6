/* SPDX-License-Identifier: Apache-2.0 */

/*
 * -b FILE: a command on each line (OBJECT add|set|del NAME key=value ...), all of them one transaction: all or nothing. `-` is stdin.
 * The daemon's error names an operation; here it becomes the line that it came from.
 */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define WORDS_MAX 128

int batch_split(char *line, char **words, int max)
{
	int n = 0;
	char *to;

	for (char *p = line;;) {
		char quote = 0;

		while (isspace((unsigned char)*p))
			p++;
		if (!*p || *p == '#')
			return n;
		if (n == max)
			return -1;
		words[n++] = to = p;
		for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
			if (quote ? *p == quote : *p == '\'' || *p == '"')
				quote = quote ? 0 : *p;
			else
				*to++ = *p;
		}
		if (quote)
			return -1;
		if (*p)
			p++;
		*to = '\0';
	}
}

struct batch {
	struct cli *cli;
	const char *name;
	json_t *ops;
	unsigned *lines; /* where each operation came from */
	size_t n, room;
};

static int line_error(struct batch *b, unsigned number, const char *what)
{
	snprintf(b->cli->context, sizeof(b->cli->context), "%.70s:%u", b->name, number);
	return cli_usage(b->cli, "%s", what);
}

/* Takes over op. */
static int append(struct batch *b, json_t *op, unsigned number)
{
	if (b->n == b->room) {
		size_t room = b->room ? b->room * 2 : 64;
		unsigned *lines = realloc(b->lines, room * sizeof(*lines));

		if (!lines) {
			json_decref(op);
			return line_error(b, number, "out of memory");
		}
		b->lines = lines;
		b->room = room;
	}
	b->lines[b->n++] = number;
	return json_array_append_new(b->ops, op) < 0 ? line_error(b, number, "out of memory") : CLI_DONE;
}

static int add_line(struct batch *b, char *line, unsigned number)
{
	char *words[WORDS_MAX], why[320], what[400];
	int n = batch_split(line, words, WORDS_MAX);
	const struct schema_object *o;
	json_t *op;

	if (n == 0)
		return CLI_DONE;
	if (n < 0)
		return line_error(b, number, "an open quote, or too many words");
	o = schema_object_find(words[0]);
	if (!o || o->read_only || n < 2 || !words_is_write(words[1])) {
		snprintf(what, sizeof(what), "%.64s: a batch takes OBJECT add|set|del NAME key=value ...", words[0]);
		return line_error(b, number, what);
	}
	op = words_op(o, words[1], n - 2, words + 2, why, sizeof(why));
	if (op)
		return append(b, op, number);
	snprintf(what, sizeof(what), "%s %s: %s", words[0], words[1], why);
	return line_error(b, number, what);
}

static int read_lines(struct batch *b, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int ret = CLI_DONE;

	for (unsigned number = 1; ret == CLI_DONE && (n = getline(&line, &room, f)) >= 0; number++)
		ret = memchr(line, '\0', n) ? line_error(b, number, "holds a NUL byte") : add_line(b, line, number);
	free(line);
	/* Half a file must not become a transaction. */
	return ret == CLI_DONE && ferror(f) ? cli_usage(b->cli, "cannot be read") : ret;
}

/* "ops[3].attrs.vlan" is about the fourth operation. */
static void blame_line(struct batch *b, const struct client_error *err)
{
	unsigned long i;
	char *end;

	if (strncmp(err->path, "ops[", 4) != 0)
		return;
	i = strtoul(err->path + 4, &end, 10);
	if (*end == ']' && i < b->n)
		snprintf(b->cli->context, sizeof(b->cli->context), "%.70s:%u", b->name, b->lines[i]);
}

static int send_batch(struct batch *b)
{
	struct cli *cli = b->cli;
	struct client_error err;
	struct client *client;
	json_t *result;
	int ret = cli_connect(cli, true, &client);

	if (ret != CLI_DONE)
		return ret;
	ret = client_call(client, "apply", json_pack("{s:O, s:b}", "ops", b->ops, "dry_run", cli->dry_run), &result, &err);
	if (ret) {
		blame_line(b, &err);
		ret = cli_failed(cli, ret, &err);
	} else if (cli->format != CLI_TEXT) {
		cli_print_json(cli, result);
	} else if (cli->dry_run) {
		fprintf(cli->out, "would change %lld\n", (long long)json_integer_value(json_object_get(result, "changes")));
	}
	json_decref(result);
	client_close(client);
	return ret;
}

int batch_run(struct cli *cli)
{
	bool from_stdin = !strcmp(cli->batch, "-");
	struct batch b = {.cli = cli, .name = from_stdin ? "stdin" : cli->batch, .ops = json_array()};
	FILE *f = from_stdin ? stdin : fopen(cli->batch, "re");
	int ret;

	snprintf(cli->context, sizeof(cli->context), "%.90s", b.name);
	ret = f ? read_lines(&b, f) : cli_usage(cli, "%s", strerror(errno));
	if (f && !from_stdin)
		fclose(f);
	if (ret == CLI_DONE)
		ret = send_batch(&b);
	json_decref(b.ops);
	free(b.lines);
	return ret;
}

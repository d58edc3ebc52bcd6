/* SPDX-License-Identifier: Apache-2.0 */

/*
 * -b FILE: a command on each line (OBJECT add|set|del NAME key=value ...), all of them one transaction: all or nothing. `-` is stdin.
 * The daemon's error names an operation; here it becomes the line that it came from.
 *
 * With --no-atomic each line is a transaction. What is wrong with one is said and the next goes on, as long as the daemon answers; the exit
 * code is that of the first line that failed. Being in force is waited for once, at the end.
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
	int failed; /* --no-atomic: a line was no command */
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

	for (unsigned number = 1; ret == CLI_DONE && (n = getline(&line, &room, f)) >= 0; number++) {
		ret = memchr(line, '\0', n) ? line_error(b, number, "holds a NUL byte") : add_line(b, line, number);
		if (ret != CLI_DONE && b->cli->no_atomic) {
			b->failed = ret;
			ret = CLI_DONE;
		}
	}
	free(line);
	/* Half a file must not become a transaction. */
	return ret == CLI_DONE && ferror(f) ? cli_usage(b->cli, "cannot be read") : ret;
}

/* "ops[3].attrs.vlan" is about the fourth operation. */
static void blame_line(struct batch *b, const struct sluice_error *err)
{
	unsigned i;

	if (sscanf(err->path, "ops[%u]", &i) == 1 && i < b->n)
		snprintf(b->cli->context, sizeof(b->cli->context), "%.70s:%u", b->name, b->lines[i]);
}

static int send_whole(struct batch *b, struct write *w)
{
	struct sluice_error err;

	if (write_send(b->cli, w, json_incref(b->ops), false, &err) == 0)
		return write_finish(b->cli, w);
	blame_line(b, &err);
	return cli_failed(b->cli, &err);
}

/* One line on its own. What came of it moves into *last, its changes added up. */
static int send_line(struct batch *b, size_t i, struct write *last)
{
	struct write w = {.s = last->s};
	struct sluice_error err;
	json_int_t changes;

	if (write_send(b->cli, &w, json_pack("[O]", json_array_get(b->ops, i)), false, &err)) {
		snprintf(b->cli->context, sizeof(b->cli->context), "%.70s:%u", b->name, b->lines[i]);
		return cli_failed(b->cli, &err);
	}
	changes = json_integer_value(json_object_get(last->result, "changes"));
	sluice_free(last->text);
	json_decref(last->result);
	last->result = w.result;
	changes += json_integer_value(json_object_get(w.result, "changes"));
	json_object_set_new(last->result, "changes", json_integer(changes));
	sluice_free(w.text);
	last->text = json_dumps(last->result, JSON_COMPACT);
	return last->text ? CLI_DONE : cli_usage(b->cli, "out of memory");
}

/* `w` ends up with the last answer, which is what is waited for. */
static int send_singly(struct batch *b, struct write *w)
{
	int first = b->failed, ret = CLI_DONE;

	for (size_t i = 0; i < b->n && (ret == CLI_DONE || ret == CLI_REFUSED); i++) {
		ret = send_line(b, i, w);
		first = first ? first : ret;
	}
	if (first != CLI_DONE || !w->result)
		return first;
	return write_finish(b->cli, w);
}

static int send_batch(struct batch *b)
{
	struct write w;
	int ret = write_open(b->cli, &w);

	if (ret != CLI_DONE)
		return ret;
	ret = b->cli->no_atomic ? send_singly(b, &w) : send_whole(b, &w);
	write_close(&w);
	return ret;
}

int batch_run(struct cli *cli)
{
	bool from_stdin = !strcmp(cli->batch, "-");
	struct batch b = {.cli = cli, .name = from_stdin ? "stdin" : cli->batch, .ops = json_array()};
	FILE *f = from_stdin ? stdin : fopen(cli->batch, "re");
	int ret;

	snprintf(cli->context, sizeof(cli->context), "%.90s", b.name);
	if (cli->no_atomic && cli->dry_run)
		ret = cli_usage(cli, "-n checks a transaction: without --no-atomic");
	else
		ret = f ? read_lines(&b, f) : cli_usage(cli, "%s", strerror(errno));
	if (f && !from_stdin)
		fclose(f);
	if (ret == CLI_DONE)
		ret = send_batch(&b);
	json_decref(b.ops);
	free(b.lines);
	return ret;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The plan of a dry run, as commands: what is printed can be put into a file, read, changed, and given to `sluicectl -b`.
 *
 *      vlan add 100 name='front end'
 *      port set vm1 in-bps=100mbit mac=
 *      port del old
 *      # would change 3
 */

#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define VALUE_MAX 65536 /* 4,096 VLANs as a list are 20 KB */

/* Text as batch_split() reads it back. */
static void print_quoted(FILE *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;/_-+=@%";

	if (strspn(text, plain) == strlen(text)) {
		fputs(text, out);
		return;
	}
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\"'\"'", out);
		else
			fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
	}
	fputc('\'', out);
}

static void print_attr(FILE *out, const struct schema_object *o, const char *name, const json_t *value, char *text)
{
	const struct schema_attr *a = o ? schema_attr_find(o, name) : NULL;
	char key[64];

	fprintf(out, " %s=", words_key(name, key, sizeof(key)));
	if (json_is_null(value))
		return;
	if (a) {
		schema_format_text(a, value, text, VALUE_MAX);
	} else {
		size_t n = json_dumpb(value, text, VALUE_MAX - 1, JSON_COMPACT | JSON_ENCODE_ANY);

		text[n < VALUE_MAX ? n : VALUE_MAX - 1] = '\0';
	}
	print_quoted(out, text);
}

static void print_op(const struct cli *cli, const json_t *op, char *text)
{
	const char *verb = json_string_value(json_object_get(op, "op")), *object = json_string_value(json_object_get(op, "object"));
	const char *name = json_string_value(json_object_get(op, "name")), *key, *code = "\033[33m";
	json_t *value;

	if (!verb || !object || !name)
		return;
	if (!strcmp(verb, "add"))
		code = "\033[32m";
	else if (!strcmp(verb, "del"))
		code = "\033[31m";
	fprintf(cli->out, "%s%s %s ", cli->colour ? code : "", object, verb);
	print_quoted(cli->out, name);
	json_object_foreach (json_object_get(op, "attrs"), key, value)
		print_attr(cli->out, schema_object_find(object), key, value, text);
	fputs(cli->colour ? "\033[0m\n" : "\n", cli->out);
}

void view_plan(const struct cli *cli, const json_t *plan, long long changes)
{
	char *text = malloc(VALUE_MAX);
	json_t *op;
	size_t i;

	if (!text) {
		cli_say("out of memory: the plan is not shown");
		return;
	}
	json_array_foreach ((json_t *)plan, i, op)
		print_op(cli, op, text);
	free(text);
	fprintf(cli->out, "# would change %lld\n", changes);
}

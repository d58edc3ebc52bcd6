/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Help, from the same tables as everything else.
 */

#include <inttypes.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
	"usage: sluicectl [-j|-p] [-s SOCKET] [-T SECONDS] [-n] [-b FILE] [-c WHEN] OBJECT VERB [NAME] [key=value ...]\n\n";

static const char exits[] =
	"\nexit: 0 done, 1 usage, 2 refused by the daemon, 3 no daemon, 65 accepted but not yet in force, 124 timed out\n";

static void print_options(FILE *out)
{
	for (const struct cli_option *o = cli_options; o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s--%s %s", o->letter[0] ? "-" : "  ", o->letter, o->letter[0] ? ", " : "  ",
			 o->name, o->arg);
		fprintf(out, "  %-24s %s\n", left, o->doc);
	}
}

static void print_range(const struct schema_attr *a, FILE *out)
{
	char text[32];

	switch (a->type) {
	case SCHEMA_U64:
		fprintf(out, "%" PRIu64 "-%" PRIu64 "%s%s", a->min, a->max, a->unit ? " " : "", schema_unit_name(a->unit));
		if (a->def && a->def >= a->min && a->def <= a->max) {
			snprintf(text, sizeof(text), "%" PRIu64, a->def);
			fprintf(out, ", default %s", text);
		}
		break;
	case SCHEMA_ENUM:
		for (const struct schema_choice *c = a->choices; c->name; c++)
			fprintf(out, "%s%s", c == a->choices ? "" : "|", c->name);
		break;
	default:
		fputs(schema_type_name(a->type), out);
	}
}

static void print_attr(const struct schema_attr *a, FILE *out)
{
	char key[64];

	fprintf(out, "  %-16s ", words_key(a->name, key, sizeof(key)));
	print_range(a, out);
	fprintf(out, "%s%s\n  %-16s   %s\n", a->flags & SCHEMA_REQUIRED ? " (required)" : "",
		a->flags & SCHEMA_FIXED ? " (fixed once it exists)" : "", "", a->doc);
}

static void print_object(const struct schema_object *o, FILE *out)
{
	fprintf(out, "%s: %s\n\n", o->name, o->doc);
	if (o->read_only) {
		fprintf(out, "  sluicectl %s show\n", o->name);
		return;
	}
	fprintf(out, "  sluicectl %s add|set NAME [key=value ...]\n  sluicectl %s del NAME\n  sluicectl %s show [NAME]\n\n",
		o->name, o->name, o->name);
	fprintf(out, "NAME: %s. An empty value (key=) restores the default. Lists are separated by commas.\n\n", o->name_doc);
	for (const struct schema_attr *a = o->attrs; a->name; a++)
		print_attr(a, out);
}

static void print_method(const struct schema_method *m, FILE *out)
{
	fprintf(out, "%s: %s\n\n", m->name, m->doc);
	for (const struct schema_param *p = m->params; p->name; p++)
		fprintf(out, "  %-18s %s%s: %s\n", p->name, p->type, p->required ? ", required" : "", p->doc);
}

static void print_line(FILE *out, const char *name, const char *words, const char *doc)
{
	fprintf(out, "  %-8s %-40s %s\n", name, words, doc);
}

static void print_tool(FILE *out)
{
	fputs(usage, out);
	print_options(out);
	fputc('\n', out);
	for (const struct schema_object *const *o = schema_objects; *o; o++)
		print_line(out, (*o)->name, (*o)->read_only ? "show" : "add|set|del|show [NAME] [key=value ...]", (*o)->doc);
	for (const struct command *c = commands; c->name; c++)
		print_line(out, c->name, c->words, c->doc);
	fputs(exits, out);
}

int help_print(const struct cli *cli, const char *object, FILE *out)
{
	const struct schema_object *o = object ? schema_object_find(object) : NULL;
	const struct schema_method *m = object ? schema_method_find(object) : NULL;

	if (!object)
		print_tool(out);
	else if (o)
		print_object(o, out);
	else if (m)
		print_method(m, out);
	else
		return cli_usage(cli, "%s: no such object or method", object);
	return CLI_DONE;
}

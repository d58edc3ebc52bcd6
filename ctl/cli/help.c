/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Help, from the same tables as everything else.
 */

#include <inttypes.h>
#include <string.h>

#include "cli.h"

static const char usage[] =
	"usage: sluicectl [-j|-p] [-s SOCKET] [-T SECONDS] [-n] [-b FILE] [-c WHEN] OBJECT VERB [NAME] [key=value ...]\n"
	"\n"
	"  -j, --json          print the result as one JSON document\n"
	"  -p, --pretty        the same, indented\n"
	"  -s, --socket PATH   the daemon's socket (" CLIENT_SOCKET ")\n"
	"  -T, --timeout S     give up after so many seconds (30)\n"
	"  -n, --dry-run       have the daemon check, and change nothing\n"
	"  -b, --batch FILE    a command on each line, all of them one transaction; - is stdin\n"
	"  -c, --color WHEN    auto, always or never\n"
	"\n";

static const char others[] = "  fdb   show [vlan=ID] [port=NAME] [mac=MAC]    addresses that the switch knows\n"
			     "  stats [node|worker|vlan|port] [NAME]          counters; every drop under its reason\n"
			     "  raw METHOD [JSON]                             any method of the socket\n"
			     "  help [OBJECT]                                 an object's attributes\n"
			     "\n"
			     "exit: 0 done, 1 usage, 2 refused by the daemon, 3 no daemon, 124 timed out\n";

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
	char key[32];

	snprintf(key, sizeof(key), "%s", a->name);
	for (char *p = key; *p; p++)
		*p = *p == '_' ? '-' : *p;
	fprintf(out, "  %-16s ", key);
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

static void print_tool(FILE *out)
{
	fputs(usage, out);
	for (const struct schema_object *const *o = schema_objects; *o; o++)
		fprintf(out, "  %-5s %-39s %s\n", (*o)->name, (*o)->read_only ? "show" : "add|set|del|show [NAME] [key=value ...]",
			(*o)->doc);
	fputs(others, out);
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

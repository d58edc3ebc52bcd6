/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The manual's part that is in tables: reads a page's source and replaces lines of the form @NAME@ by what the tables hold. Run by the
 * Makefile, for each X.scd.in beside this file; the result is scdoc's input.
 *
 *      sluicectl.8.scd.in --+
 *      schema, config,      +--> mangen --> sluicectl.8.scd --> scdoc --> sluicectl.8
 *      options, commands ---+
 *
 * So a page cannot forget an attribute, an option or a drop reason, and prose stays prose. An unknown @NAME@ is an error.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "daemon/config.h"
#include "sluice/drop.h"

/* Text with nothing in it that scdoc takes for markup. */
static void plain(const char *text)
{
	for (; *text; text++) {
		if (strchr("\\*_#~`<>[]|+-.", *text))
			putchar('\\');
		putchar(*text);
	}
}

static void bold(const char *text)
{
	putchar('*');
	plain(text);
	putchar('*');
}

static void underlined(const char *text)
{
	putchar('_');
	plain(text);
	putchar('_');
}

/* The paragraph below a term. */
static void paragraph(const char *text)
{
	fputs("\n\t", stdout);
	plain(text);
}

/* --- attributes ---------------------------------------------------------------------------------------------------------------- */

static void choices(const struct schema_attr *a)
{
	fputs("one of ", stdout);
	for (const struct schema_choice *c = a->choices; c->name; c++) {
		fputs(c == a->choices ? "" : ", ", stdout);
		bold(c->name);
	}
}

static const char *default_of(const struct schema_attr *a, char *text, size_t size)
{
	text[0] = '\0';
	if (a->type == SCHEMA_U64 && a->def && a->def >= a->min && a->def <= a->max)
		snprintf(text, size, "%" PRIu64, a->def);
	else if (a->type == SCHEMA_BOOL)
		snprintf(text, size, "%s", a->def ? "true" : "false");
	else if (a->type == SCHEMA_ENUM && !(a->flags & SCHEMA_IMPLIED))
		for (const struct schema_choice *c = a->choices; c->name; c++)
			if (c->value == a->def)
				snprintf(text, size, "%s", c->name);
	return text;
}

static void attr_facts(const struct schema_attr *a)
{
	char text[64];

	fputs("\n\t", stdout);
	if (a->type == SCHEMA_ENUM) {
		choices(a);
	} else {
		plain(schema_type_name(a->type));
		if (a->type == SCHEMA_U64) {
			snprintf(text, sizeof(text), ", %" PRIu64 "-%" PRIu64 " ", a->min, a->max);
			plain(text);
			plain(a->unit ? schema_unit_name(a->unit) : "");
		}
	}
	if (*default_of(a, text, sizeof(text))) {
		fputs("; default ", stdout);
		plain(text);
	}
	if (a->flags & SCHEMA_REQUIRED)
		fputs("; required", stdout);
	if (a->flags & SCHEMA_FIXED)
		fputs("; fixed once it exists", stdout);
	if (a->flags & SCHEMA_SECRET)
		fputs("; not shown on stat.sock", stdout);
	fputs("\n\n", stdout);
}

static void object(const struct schema_object *o, bool keys)
{
	char key[64];

	fputs("## ", stdout);
	plain(o->name);
	fputs("\n\n", stdout);
	plain(o->doc);
	fputs(". Its name: ", stdout);
	plain(o->name_doc);
	fputs(".\n\n", stdout);
	for (const struct schema_attr *a = o->attrs; a->name; a++) {
		bold(keys ? words_key(a->name, key, sizeof(key)) : a->name);
		paragraph(a->doc);
		fputs("\n", stdout);
		attr_facts(a);
	}
}

static void objects(bool keys)
{
	for (const struct schema_object *const *o = schema_objects; *o; o++)
		object(*o, keys);
}

static void objects_of_the_socket(void)
{
	objects(false);
}

static void objects_of_the_tool(void)
{
	objects(true);
}

/* --- the other tables ----------------------------------------------------------------------------------------------------------- */

static void methods(void)
{
	for (const struct schema_method *m = schema_methods; m->name; m++) {
		fputs("## ", stdout);
		plain(m->name);
		fputs("\n\n", stdout);
		plain(m->doc);
		fputs(m->writes ? ". Not on stat\\.sock.\n\n" : ".\n\n", stdout);
		for (const struct schema_param *p = m->params; p->name; p++) {
			bold(p->name);
			putchar(' ');
			underlined(p->type);
			fputs(p->required ? ", required" : "", stdout);
			paragraph(p->doc);
			fputs("\n\n", stdout);
		}
	}
}

static void events(void)
{
	for (const struct schema_event *e = schema_events; e->name; e++) {
		bold(e->name);
		paragraph(e->doc);
		if (e->fields[0]) {
			fputs(". With ", stdout);
			plain(e->fields);
		}
		fputs("\n\n", stdout);
	}
}

static void drops(void)
{
	static const char *const reasons[][2] = {
#define X(sym, name, doc) {name, doc},
		SLC_DROP_REASONS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		bold(reasons[i][0]);
		paragraph(reasons[i][1]);
		fputs("\n\n", stdout);
	}
}

static void daemon_option(const struct config_doc *d, const char *before, const char *between)
{
	putchar('*');
	fputs(before, stdout);
	plain(d->name);
	putchar('*');
	if (d->arg[0]) {
		fputs(between, stdout);
		underlined(d->arg);
	}
	paragraph(d->doc);
	if (d->def[0]) {
		fputs("; default ", stdout);
		plain(d->def);
	}
	if (d->unsupported) {
		fputs("; ", stdout);
		plain(d->unsupported);
	}
	fputs("\n\n", stdout);
}

static void daemon_options(void)
{
	struct config_doc d;

	for (size_t i = 0; config_doc(i, &d); i++)
		daemon_option(&d, "\\-\\-", " ");
}

static void daemon_keys(void)
{
	struct config_doc d;

	for (size_t i = 0; config_doc(i, &d); i++)
		if (!d.option_only)
			daemon_option(&d, "", " = ");
}

static void tool_options(void)
{
	for (const struct cli_option *o = cli_options; o->name; o++) {
		if (o->letter[0])
			printf("*\\-%s*, ", o->letter);
		fputs("*\\-\\-", stdout);
		plain(o->name);
		putchar('*');
		if (o->arg[0]) {
			putchar(' ');
			underlined(o->arg);
		}
		paragraph(o->doc);
		fputs("\n\n", stdout);
	}
}

static void tool_commands(void)
{
	for (const struct command *c = commands; c->name; c++) {
		bold(c->name);
		putchar(' ');
		plain(c->words);
		paragraph(c->doc);
		fputs("\n\n", stdout);
	}
}

static void version(void)
{
	plain(SLUICE_VERSION);
	putchar('\n');
}

static const struct {
	const char *name;
	void (*print)(void);
} parts[] = {
	{"@objects@", objects_of_the_socket},
	{"@keys@", objects_of_the_tool},
	{"@methods@", methods},
	{"@events@", events},
	{"@drops@", drops},
	{"@sluiced-options@", daemon_options},
	{"@sluiced-keys@", daemon_keys},
	{"@sluicectl-options@", tool_options},
	{"@sluicectl-commands@", tool_commands},
	{"@version@", version},
};

static int print_line(const char *line)
{
	size_t len = strcspn(line, "\n");

	if (line[0] != '@') {
		fputs(line, stdout);
		return 0;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (strlen(parts[i].name) != len || strncmp(parts[i].name, line, len) != 0)
			continue;
		parts[i].print();
		return 0;
	}
	fprintf(stderr, "mangen: %.*s: no such part\n", (int)len, line);
	return -1;
}

int main(void)
{
	char line[1024];

	while (fgets(line, sizeof(line), stdin))
		if (print_line(line) < 0)
			return EXIT_FAILURE;
	return ferror(stdin) || fflush(stdout) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

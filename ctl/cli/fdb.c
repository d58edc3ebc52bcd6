/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fdb show: a million addresses come in pages, and leave as one table or one document.
 */

#include <string.h>

#include "cli.h"

#define FDB_PAGE 10000

/* As a document: {"entries":[...],"cursor":null}, written as the pages come. */
static void print_entries(const struct cli *cli, const json_t *entries, bool first_page)
{
	const char *line = cli->format == CLI_PRETTY ? "\n    " : "";
	json_t *entry;
	size_t i;

	json_array_foreach ((json_t *)entries, i, entry) {
		fprintf(cli->out, "%s%s", first_page && i == 0 ? "" : ",", line);
		json_dumpf(entry, cli->out, JSON_COMPACT);
	}
}

/* A page; *cursor is replaced by where to go on, NULL at the end. */
static int fdb_page(struct cli *cli, struct sluice *s, const json_t *filter, json_t **cursor, bool first, bool *shown)
{
	json_t *params = json_copy((json_t *)filter), *result, *entries;
	struct sluice_error err;
	int ret;

	if (*cursor)
		json_object_set_new(params, "cursor", *cursor);
	*cursor = NULL;
	ret = cli_ask(s, "fdb", params, NULL, &result, &err);
	if (ret)
		return cli_failed(cli, &err);
	entries = json_object_get(result, "entries");
	/* The document begins only when the daemon has accepted the request: a refusal leaves the output empty. */
	if (first && cli->format != CLI_TEXT)
		fputs(cli->format == CLI_PRETTY ? "{\n  \"entries\": [" : "{\"entries\":[", cli->out);
	if (cli->format != CLI_TEXT)
		print_entries(cli, entries, !*shown);
	else if (first || json_array_size(entries))
		view_fdb_page(cli, entries, first);
	*shown |= json_array_size(entries) > 0;
	if (json_is_string(json_object_get(result, "cursor")))
		*cursor = json_incref(json_object_get(result, "cursor"));
	json_decref(result);
	return CLI_DONE;
}

static int fdb_show(struct cli *cli, const json_t *filter)
{
	json_t *cursor = NULL;
	struct sluice *s;
	bool first = true, shown = false;
	int ret = cli_connect(cli, false, &s);

	if (ret != CLI_DONE)
		return ret;
	do {
		ret = fdb_page(cli, s, filter, &cursor, first, &shown);
		first = false;
	} while (ret == CLI_DONE && cursor);
	if (ret == CLI_DONE && cli->format != CLI_TEXT)
		fputs(cli->format == CLI_PRETTY ? "\n  ],\n  \"cursor\": null\n}\n" : "],\"cursor\":null}\n", cli->out);
	sluice_close(s);
	return ret;
}

int fdb_run(struct cli *cli, int argc, char **argv)
{
	static const char *const keys[] = {"vlan", "port", "mac", NULL};
	char why[256];
	json_t *filter;
	int ret;

	if (argc && !strcmp(argv[0], "help"))
		return help_print(cli, "fdb", cli->out);
	if (argc && strcmp(argv[0], "show") != 0)
		return cli_usage(cli, "%s: unknown verb, not one of show", argv[0]);
	snprintf(cli->context, sizeof(cli->context), "fdb show");
	filter = words_params(schema_method_find("fdb"), keys, argc ? argc - 1 : 0, argv + 1, why, sizeof(why));
	if (!filter)
		return cli_usage(cli, "%s", why);
	json_object_set_new(filter, "limit", json_integer(FDB_PAGE));
	ret = fdb_show(cli, filter);
	json_decref(filter);
	return ret;
}

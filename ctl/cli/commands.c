/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which words are a command: a row each for what is not an object of the schema, and the same four verbs for every object that is.
 */

#include <string.h>

#include "cli.h"

#define FDB_PAGE 10000

/* Put a word into params. Words of a command line need not be UTF-8; then params are freed. */
static bool put_word(struct cli *cli, json_t *params, const char *key, const char *word)
{
	if (json_object_set_new(params, key, json_string(word)) == 0)
		return true;
	json_decref(params);
	cli_usage(cli, "%s: not valid UTF-8", key);
	return false;
}

/* --- apply ------------------------------------------------------------------------------------------------------------------ */

/* Takes over `op`. */
static int apply_op(struct cli *cli, json_t *op)
{
	json_t *result;
	int ret = cli_call(cli, true, "apply", json_pack("{s:[o], s:b}", "ops", op, "dry_run", cli->dry_run), &result);

	if (ret == CLI_DONE && cli->format != CLI_TEXT)
		cli_print_json(cli, result);
	else if (ret == CLI_DONE && cli->dry_run)
		fprintf(cli->out, "would change %lld\n", (long long)json_integer_value(json_object_get(result, "changes")));
	json_decref(result);
	return ret;
}

static int object_write(struct cli *cli, const struct schema_object *o, const char *verb, int argc, char **argv)
{
	char why[320];
	json_t *op = words_op(o, verb, argc, argv, why, sizeof(why));

	return op ? apply_op(cli, op) : cli_usage(cli, "%s", why);
}

/* --- get -------------------------------------------------------------------------------------------------------------------- */

static int object_show(struct cli *cli, const struct schema_object *o, int argc, char **argv)
{
	bool one = argc == 1, text = cli->format == CLI_TEXT;
	json_t *params, *result;
	int ret;

	if (argc > 1)
		return cli_usage(cli, "%s: takes at most a name", argv[1]);
	/* At length, what is at its default is left out; in a table and for programs every attribute is there. */
	params = json_pack("{s:s, s:b}", "object", o->name, "all", !(one && text));
	if (one && !put_word(cli, params, "name", argv[0]))
		return CLI_USAGE;
	ret = cli_call(cli, false, "get", params, &result);
	if (ret == CLI_DONE && !text)
		cli_print_json(cli, result);
	else if (ret == CLI_DONE && o->read_only)
		view_node(cli, json_array_get(json_object_get(result, "objects"), 0));
	else if (ret == CLI_DONE)
		view_objects(cli, o, json_object_get(result, "objects"), one);
	json_decref(result);
	return ret;
}

static int object_run(struct cli *cli, const struct schema_object *o, int argc, char **argv)
{
	const char *verbs = o->read_only ? "show" : "add, set, del, show";

	if (argc < 1)
		return cli_usage(cli, "needs a verb: %s", verbs);
	if (!strcmp(argv[0], "help"))
		return help_print(cli, o->name, cli->out);
	snprintf(cli->context, sizeof(cli->context), "%s %.60s", o->name, argv[0]);
	if (!strcmp(argv[0], "show")) {
		if (cli->dry_run)
			return cli_usage(cli, "-n goes with add, set and del");
		return object_show(cli, o, argc - 1, argv + 1);
	}
	if (!o->read_only && words_is_write(argv[0]))
		return object_write(cli, o, argv[0], argc - 1, argv + 1);
	return cli_usage(cli, "unknown verb, not one of %s", verbs);
}

/* --- fdb -------------------------------------------------------------------------------------------------------------------- */

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
static int fdb_page(struct cli *cli, struct client *client, const json_t *filter, json_t **cursor, bool first, bool *shown)
{
	json_t *params = json_copy((json_t *)filter), *result, *entries;
	struct client_error err;
	int ret;

	if (*cursor)
		json_object_set_new(params, "cursor", *cursor);
	*cursor = NULL;
	client_deadline(client, cli->timeout_ms);
	ret = client_call(client, "fdb", params, &result, &err);
	if (ret)
		return cli_failed(cli, ret, &err);
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
	struct client *client;
	bool first = true, shown = false;
	int ret = cli_connect(cli, false, &client);

	if (ret != CLI_DONE)
		return ret;
	do {
		ret = fdb_page(cli, client, filter, &cursor, first, &shown);
		first = false;
	} while (ret == CLI_DONE && cursor);
	if (ret == CLI_DONE && cli->format != CLI_TEXT)
		fputs(cli->format == CLI_PRETTY ? "\n  ],\n  \"cursor\": null\n}\n" : "],\"cursor\":null}\n", cli->out);
	client_close(client);
	return ret;
}

static int fdb_run(struct cli *cli, int argc, char **argv)
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

/* --- stats, raw --------------------------------------------------------------------------------------------------------------- */

static int stats_run(struct cli *cli, int argc, char **argv)
{
	json_t *params = json_object(), *result;
	int ret;

	if (argc && !strcmp(argv[0], "help")) {
		json_decref(params);
		return help_print(cli, "stats", cli->out);
	}
	/* `stats show port` reads as well as `stats port`. */
	if (argc && !strcmp(argv[0], "show")) {
		argc--;
		argv++;
	}
	if (argc > 2) {
		json_decref(params);
		return cli_usage(cli, "%s: takes at most an object and a name", argv[2]);
	}
	if (argc > 0 && !put_word(cli, params, "object", argv[0]))
		return CLI_USAGE;
	if (argc > 1 && !put_word(cli, params, "name", argv[1]))
		return CLI_USAGE;
	ret = cli_call(cli, false, "stats", params, &result);
	if (ret == CLI_DONE && cli->format != CLI_TEXT)
		cli_print_json(cli, result);
	else if (ret == CLI_DONE)
		view_stats(cli, json_object_get(result, "stats"), argc ? argv[0] : NULL, argc > 1);
	json_decref(result);
	return ret;
}

static int raw_run(struct cli *cli, int argc, char **argv)
{
	const struct schema_method *m;
	json_t *params = NULL, *result;
	json_error_t where;
	int ret;

	if (argc < 1 || argc > 2)
		return cli_usage(cli, "takes a method and its parameters: raw METHOD [JSON]");
	if (argc == 2) {
		params = json_loads(argv[1], JSON_REJECT_DUPLICATES, &where);
		if (!params)
			return cli_usage(cli, "%s: not JSON: %s", argv[1], where.text);
	}
	/* A method that only a newer daemon knows may write. */
	m = schema_method_find(argv[0]);
	ret = cli_call(cli, !m || m->writes, argv[0], params, &result);
	if (ret == CLI_DONE)
		cli_print_json(cli, result);
	json_decref(result);
	return ret;
}

static int help_run(struct cli *cli, int argc, char **argv)
{
	return help_print(cli, argc ? argv[0] : NULL, cli->out);
}

/* --- dispatch ------------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv);
} commands[] = {{"fdb", fdb_run}, {"stats", stats_run}, {"raw", raw_run}, {"help", help_run}};

int command_run(struct cli *cli, int argc, char **argv)
{
	const struct schema_object *o;

	if (cli->batch)
		return argc ? cli_usage(cli, "%s: with -b, commands are in the file", argv[0]) : batch_run(cli);
	if (!argc)
		return cli_usage(cli, "needs an object and a verb (`sluicectl help`)");
	snprintf(cli->context, sizeof(cli->context), "%.80s", argv[0]);
	o = schema_object_find(argv[0]);
	if (o)
		return object_run(cli, o, argc - 1, argv + 1);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, argv[0]) != 0)
			continue;
		if (cli->dry_run)
			return cli_usage(cli, "-n goes with add, set and del");
		return commands[i].run(cli, argc - 1, argv + 1);
	}
	return cli_usage(cli, "unknown object (`sluicectl help` lists them)");
}

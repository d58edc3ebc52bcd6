/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which words are a command: a row each for what is not an object of the schema, and the same verbs for every object that is.
 */

#include <string.h>

#include "cli.h"

/* Put a word into params. Words of a command line need not be UTF-8; then params are freed. */
static bool put_word(struct cli *cli, json_t *params, const char *key, const char *word)
{
	if (json_object_set_new(params, key, json_string(word)) == 0)
		return true;
	json_decref(params);
	cli_usage(cli, "%s: not valid UTF-8", key);
	return false;
}

/* --- objects ------------------------------------------------------------------------------------------------------------------ */

static int object_write(struct cli *cli, const struct schema_object *o, const char *verb, int argc, char **argv)
{
	struct sluice_error err;
	struct write w;
	char why[320];
	json_t *op = words_op(o, verb, argc, argv, why, sizeof(why));
	int ret;

	if (!op)
		return cli_usage(cli, "%s", why);
	ret = write_open(cli, &w);
	if (ret != CLI_DONE) {
		json_decref(op);
		return ret;
	}
	ret = write_send(cli, &w, json_pack("[o]", op), false, &err) ? cli_failed(cli, &err) : write_finish(cli, &w);
	write_close(&w);
	return ret;
}

static int object_show(struct cli *cli, const struct schema_object *o, int argc, char **argv)
{
	bool one = argc == 1, text_wanted = cli->format == CLI_TEXT;
	json_t *params, *result;
	char *text;
	int ret;

	if (argc > 1)
		return cli_usage(cli, "%s: takes at most a name", argv[1]);
	/* At length, what is at its default is left out; in a table and for programs every attribute is there. */
	params = json_pack("{s:s, s:b}", "object", o->name, "all", !(one && text_wanted));
	if (one && !put_word(cli, params, "name", argv[0]))
		return CLI_USAGE;
	ret = cli_call(cli, false, "get", params, &text, &result);
	if (ret == CLI_DONE && !text_wanted)
		cli_print_result(cli, text, result);
	else if (ret == CLI_DONE && o->read_only)
		view_node(cli, json_array_get(json_object_get(result, "objects"), 0));
	else if (ret == CLI_DONE)
		view_objects(cli, o, json_object_get(result, "objects"), one);
	sluice_free(text);
	json_decref(result);
	return ret;
}

static int refuse_dry_run(struct cli *cli)
{
	return cli_usage(cli, "-n goes with add, set, del, apply and -b");
}

static int object_run(struct cli *cli, const struct schema_object *o, int argc, char **argv)
{
	const char *verbs = o->read_only ? "show, help" : "add, set, del, show, help";

	if (argc < 1)
		return cli_usage(cli, "needs a verb: %s", verbs);
	if (!strcmp(argv[0], "help"))
		return help_print(cli, o->name, cli->out);
	snprintf(cli->context, sizeof(cli->context), "%s %.60s", o->name, argv[0]);
	if (!strcmp(argv[0], "show"))
		return cli->dry_run ? refuse_dry_run(cli) : object_show(cli, o, argc - 1, argv + 1);
	if (!o->read_only && words_is_write(argv[0]))
		return object_write(cli, o, argv[0], argc - 1, argv + 1);
	return cli_usage(cli, "unknown verb, not one of %s", verbs);
}

/* --- stats, raw, help --------------------------------------------------------------------------------------------------------- */

static int stats_run(struct cli *cli, int argc, char **argv)
{
	json_t *params, *result;
	char *text;
	int ret;

	if (argc && !strcmp(argv[0], "help"))
		return help_print(cli, "stats", cli->out);
	/* `stats show port` reads as well as `stats port`. */
	if (argc && !strcmp(argv[0], "show")) {
		argc--;
		argv++;
	}
	if (argc > 2)
		return cli_usage(cli, "%s: takes at most an object and a name", argv[2]);
	params = json_object();
	if (argc > 0 && !put_word(cli, params, "object", argv[0]))
		return CLI_USAGE;
	if (argc > 1 && !put_word(cli, params, "name", argv[1]))
		return CLI_USAGE;
	ret = cli_call(cli, false, "stats", params, &text, &result);
	if (ret == CLI_DONE && cli->format != CLI_TEXT)
		cli_print_result(cli, text, result);
	else if (ret == CLI_DONE)
		view_stats(cli, json_object_get(result, "stats"), argc ? argv[0] : NULL, argc > 1);
	sluice_free(text);
	json_decref(result);
	return ret;
}

static int raw_run(struct cli *cli, int argc, char **argv)
{
	const struct schema_method *m;
	json_t *params = NULL, *result;
	json_error_t where;
	char *text;
	int ret;

	if (argc < 1 || argc > 2)
		return cli_usage(cli, "takes a method and its parameters: raw METHOD [JSON]");
	if (argc == 2) {
		params = json_loads(argv[1], JSON_REJECT_DUPLICATES, &where);
		if (!json_is_object(params)) {
			ret = params ? cli_usage(cli, "%s: not a JSON object", argv[1])
				     : cli_usage(cli, "%s: not JSON: %s", argv[1], where.text);
			json_decref(params);
			return ret;
		}
	}
	/* A method that only a newer daemon knows may write. */
	m = schema_method_find(argv[0]);
	ret = cli_call(cli, !m || m->writes, argv[0], params, &text, &result);
	if (ret == CLI_DONE)
		cli_print_result(cli, text, result);
	sluice_free(text);
	json_decref(result);
	return ret;
}

static int help_run(struct cli *cli, int argc, char **argv)
{
	return help_print(cli, argc ? argv[0] : NULL, cli->out);
}

/* --- dispatch ----------------------------------------------------------------------------------------------------------------- */

const struct command commands[] = {
	{"fdb", "show [vlan=ID] [port=NAME] [mac=MAC]", "addresses that the switch knows", fdb_run, false},
	{"stats", "[node|worker|vlan|port] [NAME]", "counters; every drop under its reason", stats_run, false},
	{"monitor", "[-t] [--snapshot] [FILTER ...]", "events as they happen, a line of JSON each", monitor_run, false},
	{"export", "[owner=NAME]", "every object, as `apply` takes it", export_run, false},
	{"apply", "FILE", "make the node's objects exactly those of a file; - is stdin", apply_run, true},
	{"diff", "FILE", "what `apply FILE` would change", diff_run, true},
	{"raw", "METHOD [JSON]", "any method of the socket", raw_run, false},
	{"help", "[OBJECT|METHOD]", "an object's attributes, a method's parameters", help_run, false},
	{NULL, NULL, NULL, NULL, false},
};

int command_run(struct cli *cli, int argc, char **argv)
{
	const struct schema_object *o;

	if (cli->batch)
		return argc ? cli_usage(cli, "%s: with -b, commands are in the file", argv[0]) : batch_run(cli);
	if (cli->no_atomic)
		return cli_usage(cli, "--no-atomic goes with -b");
	if (!argc)
		return cli_usage(cli, "needs an object and a verb (`sluicectl help`)");
	snprintf(cli->context, sizeof(cli->context), "%.80s", argv[0]);
	o = schema_object_find(argv[0]);
	if (o)
		return object_run(cli, o, argc - 1, argv + 1);
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(c->name, argv[0]) != 0)
			continue;
		return cli->dry_run && !c->dry_run ? refuse_dry_run(cli) : c->run(cli, argc - 1, argv + 1);
	}
	return cli_usage(cli, "unknown object (`sluicectl help` lists them)");
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole configuration out and in: export, apply FILE, diff FILE.
 *
 *      {"objects": [
 *        {"object": "vlan", "name": "100", "attrs": {"name": "web"}},
 *        {"object": "port", "name": "vm1", "attrs": {"kind": "memif", ...}}
 *      ]}
 *
 * `apply` is a replace: what this client owns and the file does not name is deleted. What another client owns is left alone if it is as
 * the file has it, so that the export of a node that two clients program goes back without a change. Secrets are exported, and so an
 * export always asks the control socket. It has a line for each object, for diffs of files.
 */

#include <errno.h>
#include <string.h>

#include "cli.h"

/* --- out ------------------------------------------------------------------------------------------------------------------------ */

/* What `apply` takes of an object. New reference, NULL when out of memory. */
static json_t *essence(const json_t *object)
{
	return json_pack("{s:O, s:O, s:O}", "object", json_object_get(object, "object"), "name", json_object_get(object, "name"),
			 "attrs", json_object_get(object, "attrs"));
}

static json_t *select_objects(const json_t *objects, const char *owner)
{
	json_t *list = json_array(), *object;
	size_t i;

	json_array_foreach ((json_t *)objects, i, object) {
		const char *of = json_string_value(json_object_get(object, "owner"));

		if (owner && (!of || strcmp(of, owner) != 0))
			continue;
		if (json_array_append_new(list, essence(object)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static void print_export(const struct cli *cli, const json_t *objects)
{
	const char *line = cli->format == CLI_TEXT ? "\n" : "";
	json_t *object;
	size_t i;

	fputs("{\"objects\":[", cli->out);
	json_array_foreach ((json_t *)objects, i, object) {
		fprintf(cli->out, "%s%s", i ? "," : "", line);
		json_dumpf(object, cli->out, JSON_COMPACT);
	}
	fprintf(cli->out, "%s]}\n", line);
}

static int export_owner(struct cli *cli, const char *owner)
{
	json_t *objects, *list, *document;
	struct sluice *s;
	int ret = cli_connect(cli, true, &s);

	if (ret != CLI_DONE)
		return ret;
	ret = cli_get_all(cli, s, json_object(), &objects);
	sluice_close(s);
	if (ret != CLI_DONE)
		return ret;
	list = select_objects(objects, owner);
	json_decref(objects);
	if (!list)
		return cli_usage(cli, "out of memory, or an answer that is none");
	if (cli->format != CLI_PRETTY) {
		print_export(cli, list);
		json_decref(list);
		return CLI_DONE;
	}
	document = json_pack("{s:o}", "objects", list);
	cli_print_json(cli, document);
	json_decref(document);
	return CLI_DONE;
}

int export_run(struct cli *cli, int argc, char **argv)
{
	if (argc > 1 || (argc && strncmp(argv[0], "owner=", 6) != 0))
		return cli_usage(cli, "%s: takes at most owner=NAME", argv[argc - 1]);
	return export_owner(cli, argc ? argv[0] + 6 : NULL);
}

/* --- in ------------------------------------------------------------------------------------------------------------------------- */

/* The list of a file, a new reference; NULL with everything said. */
static json_t *read_objects(struct cli *cli, const char *name)
{
	bool from_stdin = !strcmp(name, "-");
	FILE *f = from_stdin ? stdin : fopen(name, "re");
	json_t *document, *list;
	json_error_t where;

	snprintf(cli->context, sizeof(cli->context), "%.100s", from_stdin ? "stdin" : name);
	if (!f) {
		cli_usage(cli, "%s", strerror(errno));
		return NULL;
	}
	document = json_loadf(f, JSON_REJECT_DUPLICATES, &where);
	if (!from_stdin)
		fclose(f);
	list = json_incref(json_object_get(document, "objects"));
	if (!document)
		cli_usage(cli, "not JSON: line %d column %d: %s", where.line, where.column, where.text);
	else if (!json_is_array(list) || json_object_size(document) != 1)
		cli_usage(cli, "must be {\"objects\": [...]}, as `sluicectl export` writes it");
	if (!json_is_array(list) || json_object_size(document) != 1) {
		json_decref(list);
		list = NULL;
	}
	json_decref(document);
	return list;
}

/* "replace.objects[3].attrs.vlan" is about the fourth object of the file. */
static void blame_object(struct cli *cli, const json_t *list, const struct sluice_error *err)
{
	size_t used = strlen(cli->context);
	const json_t *object;
	unsigned i;

	if (sscanf(err->path, "replace.objects[%u]", &i) != 1 || i >= json_array_size(list))
		return;
	object = json_array_get(list, i);
	if (json_is_string(json_object_get(object, "object")) && json_is_string(json_object_get(object, "name")))
		snprintf(cli->context + used, sizeof(cli->context) - used, ": %.20s %.63s",
			 json_string_value(json_object_get(object, "object")), json_string_value(json_object_get(object, "name")));
	else
		snprintf(cli->context + used, sizeof(cli->context) - used, ": objects[%u]", i);
}

static int replace(struct cli *cli, int argc, char **argv)
{
	struct sluice_error err;
	struct write w;
	json_t *list;
	int ret;

	if (argc != 1)
		return cli_usage(cli, "takes a file, or - for stdin");
	list = read_objects(cli, argv[0]);
	if (!list)
		return CLI_USAGE;
	ret = write_open(cli, &w);
	if (ret == CLI_DONE) {
		if (write_send(cli, &w, json_incref(list), true, &err)) {
			blame_object(cli, list, &err);
			ret = cli_failed(cli, &err);
		} else {
			ret = write_finish(cli, &w);
		}
		write_close(&w);
	}
	json_decref(list);
	return ret;
}

int apply_run(struct cli *cli, int argc, char **argv)
{
	return argc == 1 && !strcmp(argv[0], "help") ? help_print(cli, "apply", cli->out) : replace(cli, argc, argv);
}

int diff_run(struct cli *cli, int argc, char **argv)
{
	cli->dry_run = true;
	return replace(cli, argc, argv);
}

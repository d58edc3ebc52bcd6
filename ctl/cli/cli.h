/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CLI_H
#define CTL_CLI_H

/*
 * sluicectl: words on a command line to one method of the socket, and its result to text or JSON.
 *
 *      sluicectl port add vm1 kind=memif path=/run/m.sock vlan=100
 *         main.c      commands.c     words.c                     views.c + table.c
 *         options --> which verb --> {"op":"add",...} --> call --> columns of text, or the result as JSON
 *
 * Nothing here lists attributes: keys, types and units are the schema's rows (ctl/schema), so what the daemon learns the tool knows.
 * Ranges are not checked here: the daemon says what is valid.
 *
 * With -j or -p the output is the method's result exactly as the socket gave it, so everything that can be seen can be read by a
 * program. Text is for people and may change.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "client/client.h"
#include "schema/schema.h"

enum cli_exit {
	CLI_DONE = 0,
	CLI_USAGE = 1,
	CLI_REFUSED = 2,   /* by the daemon */
	CLI_NO_DAEMON = 3, /* or it went away */
	CLI_TIMEOUT = 124,
};

enum cli_format { CLI_TEXT, CLI_JSON, CLI_PRETTY };

struct cli {
	enum cli_format format;
	const char *socket; /* NULL: the default */
	unsigned timeout_ms;
	bool dry_run;
	const char *batch; /* file of -b, or NULL */
	bool colour;
	FILE *out;
	char context[96]; /* what error lines begin with: "port add" */
};

/* --- main.c -------------------------------------------------------------------------------------------------------------- */

/* "sluicectl: CONTEXT: ..." on stderr. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for a call that failed, with the exit code that belongs to it. */
int cli_failed(const struct cli *cli, int result, const struct client_error *err);
/*
 * Connect, say hello, call, disconnect. `writes`: needs the control socket. Takes over params. CLI_DONE with *result a new reference,
 * or another exit code with everything said.
 */
int cli_call(const struct cli *cli, bool writes, const char *method, json_t *params, json_t **result);
/* Print a result as JSON in the format asked for, with a newline. */
void cli_print_json(const struct cli *cli, const json_t *result);
/* For a command that makes several calls: connect and say hello. */
int cli_connect(const struct cli *cli, bool writes, struct client **client);

/* --- commands.c ------------------------------------------------------------------------------------------------------------- */

/* Run OBJECT VERB ...; returns the exit code. */
int command_run(struct cli *cli, int argc, char **argv);

/* --- words.c -------------------------------------------------------------------------------------------------------------- */

/* {"op", "object", "name", "attrs"} from VERB NAME key=value ... NULL with one line in `why`. */
json_t *words_op(const struct schema_object *o, const char *verb, int argc, char **argv, char *why, size_t size);
/* {"key": value, ...} from key=value words for a method's parameters, all but `not_key`. NULL with one line in `why`. */
json_t *words_params(const struct schema_method *m, const char *const *keys, int argc, char **argv, char *why, size_t size);
bool words_is_write(const char *verb);

/* --- batch.c -------------------------------------------------------------------------------------------------------------- */

/* Split a line into words at blanks; '...' and "..." keep them, # begins a comment. Returns how many, or -1: unbalanced or too many. */
int batch_split(char *line, char **words, int max);
int batch_run(struct cli *cli);

/* --- views.c, help.c ------------------------------------------------------------------------------------------------------- */

/* Text of what get gave for objects of a type: a table, or one object at length. */
void view_objects(const struct cli *cli, const struct schema_object *type, const json_t *objects, bool one);
void view_node(const struct cli *cli, const json_t *node);
void view_fdb_page(const struct cli *cli, const json_t *entries, bool first);
/* `object`: what was asked for, or NULL for everything. */
void view_stats(const struct cli *cli, const json_t *stats, const char *object, bool one);

/* Of the tool (NULL) or one object. CLI_DONE, or CLI_USAGE when there is no such object. */
int help_print(const struct cli *cli, const char *object, FILE *out);

#endif

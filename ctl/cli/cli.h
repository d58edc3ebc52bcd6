/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CLI_H
#define CTL_CLI_H

/*
 * sluicectl: words on a command line to one method of the socket, and its result to text or JSON.
 *
 *      sluicectl port add vm1 kind=memif path=/run/m.sock vlan=100
 *        options.c     commands.c     words.c           call.c    write.c              views.c, plan.c + table.c
 *         options --> which verb --> {"op":"add",...} --> call --> wait until applied --> columns of text, or the result as JSON
 *
 *      batch.c     -b FILE: lines to operations, one transaction
 *      transfer.c  export, apply FILE, diff FILE
 *      fdb.c       fdb show, page by page
 *      monitor.c   events, a line each
 *      complete.c  what may come next on a command line
 *
 * It stands on libsluice and on the schema's tables (ctl/schema). Nothing here lists attributes: keys, types and units are the schema's
 * rows, so what the daemon learns the tool knows. Ranges are not checked here: the daemon says what is valid.
 *
 * With -j or -p the output is the method's result as the socket gave it, so everything that can be seen can be read by a program. Text is
 * for people and may change. Nothing is written to stdout when a command fails, and nothing to stderr when it does not; exit code 65 is
 * between both: the result is printed, and stderr says what it waits for.
 *
 * One thread; one command a process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "schema/schema.h"
#include "sluice/sluice.h"

enum cli_exit {
	CLI_DONE = 0,
	CLI_USAGE = 1,
	CLI_REFUSED = 2,      /* by the daemon */
	CLI_NO_DAEMON = 3,    /* or it went away */
	CLI_NOT_APPLIED = 65, /* accepted, and not in force within -T */
	CLI_TIMEOUT = 124,
};

enum cli_format { CLI_TEXT, CLI_JSON, CLI_PRETTY };

#define CLI_TIMEOUT_DEFAULT_MS 30000
#define CLI_TIMEOUT_MAX_S      86400

struct cli {
	enum cli_format format;
	const char *socket; /* NULL: the default */
	const char *owner;  /* who we are to the daemon */
	int timeout_ms;	    /* for the whole of a write; for each page of what is read */
	bool timeout_given;
	bool dry_run, force, no_atomic;
	const char *batch; /* file of -b, or NULL */
	bool colour;
	FILE *out;
	char context[128]; /* what error lines begin with: "port add" */
};

/* --- options.c ---------------------------------------------------------------------------------------------------------------- */

/* What main() is. Returns the exit code. */
int cli_main(int argc, char **argv);

struct cli_option {
	const char *letter, *name, *arg, *doc; /* "T", "timeout", "SECONDS"; letter and arg may be "" */
};
/* For help, completion and the manual. Ends with a NULL name. */
extern const struct cli_option cli_options[];

/* --- call.c ------------------------------------------------------------------------------------------------------------------- */

/* "sluicectl: CONTEXT: ..." on stderr. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One more line on stderr, without the context. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* cli_usage() for a call that failed, with the exit code that belongs to it. */
int cli_failed(const struct cli *cli, const struct sluice_error *err);
/* Connect and say hello. `writes`: needs the control socket. */
int cli_connect(const struct cli *cli, bool writes, struct sluice **s);
/*
 * Call. Takes over params (NULL: none). *text is the result as it came, for sluice_free(), *tree the same to look into, a new reference; either
 * may be NULL. 0, or a sluice_kind with *err and nothing in either.
 */
int cli_ask(struct sluice *s, const char *method, json_t *params, char **text, json_t **tree, struct sluice_error *err);
/* Connect, call, disconnect. CLI_DONE with *text and *tree (both wanted), or another exit code with everything said. */
int cli_call(const struct cli *cli, bool writes, const char *method, json_t *params, char **text, json_t **tree);
/* Print a result in the JSON format asked for, with a newline: -j as it came. */
void cli_print_result(const struct cli *cli, const char *text, const json_t *tree);
void cli_print_json(const struct cli *cli, const json_t *tree);
/* All objects of the node, page by page, all of them at one generation: a list, new reference. `params` is taken over. */
int cli_get_all(const struct cli *cli, struct sluice *s, json_t *params, json_t **objects);

/* --- commands.c --------------------------------------------------------------------------------------------------------------- */

/* Run OBJECT VERB ...; returns the exit code. */
int command_run(struct cli *cli, int argc, char **argv);

struct command {
	const char *name, *words, *doc; /* "raw", "METHOD [JSON]", what it does */
	int (*run)(struct cli *cli, int argc, char **argv);
	bool dry_run; /* takes -n */
};
/* What is not an object. Ends with a NULL name. */
extern const struct command commands[];

int fdb_run(struct cli *cli, int argc, char **argv);
int monitor_run(struct cli *cli, int argc, char **argv);
int export_run(struct cli *cli, int argc, char **argv);
int apply_run(struct cli *cli, int argc, char **argv);
int diff_run(struct cli *cli, int argc, char **argv);

/* --- words.c ------------------------------------------------------------------------------------------------------------------ */

/* {"op", "object", "name", "attrs"} from VERB NAME key=value ... NULL with one line in `why`. */
json_t *words_op(const struct schema_object *o, const char *verb, int argc, char **argv, char *why, size_t size);
/* {"key": value, ...} from key=value words for a method's parameters, only those of `keys`. NULL with one line in `why`. */
json_t *words_params(const struct schema_method *m, const char *const *keys, int argc, char **argv, char *why, size_t size);
bool words_is_write(const char *verb);
/* An attribute's name as it is typed and shown: `-` for `_`. `out` may be `attr`. Returns out. */
char *words_key(const char *attr, char *out, size_t size);

/* --- write.c ------------------------------------------------------------------------------------------------------------------ */

/* An apply on its way: zero it, send it, finish it. */
struct write {
	struct sluice *s;
	int64_t end_ms; /* CLOCK_MONOTONIC: of -T */
	char *text;	/* the answer */
	json_t *result;
};

/* Connect; starts the time of -T. */
int write_open(struct cli *cli, struct write *w);
/*
 * Send a list (taken over) of operations, or of objects for a replace, with -n and --force as they were given. 0, or a sluice_kind with *err, nothing
 * said yet: the caller knows what the error's path is about.
 */
int write_send(struct cli *cli, struct write *w, json_t *list, bool replace, struct sluice_error *err);
/* Wait until it is in force and show it: the plan of a dry run, JSON if asked for, nothing if not. Returns the exit code. */
int write_finish(struct cli *cli, struct write *w);
void write_close(struct write *w);

/* --- batch.c ------------------------------------------------------------------------------------------------------------------ */

/* Split a line into words at blanks; '...' and "..." keep them, # begins a comment. Returns how many, or -1: unbalanced or too many. */
int batch_split(char *line, char **words, int max);
int batch_run(struct cli *cli);

/* --- views.c, plan.c, help.c -------------------------------------------------------------------------------------------------- */

/* Text of what get gave for objects of a type: a table, or one object at length. */
void view_objects(const struct cli *cli, const struct schema_object *type, const json_t *objects, bool one);
void view_node(const struct cli *cli, const json_t *node);
void view_fdb_page(const struct cli *cli, const json_t *entries, bool first);
/* `object`: what was asked for, or NULL for everything. */
void view_stats(const struct cli *cli, const json_t *stats, const char *object, bool one);
/* The plan of a dry run as commands that `-b` takes. */
void view_plan(const struct cli *cli, const json_t *plan, long long changes);

/* Of the tool (NULL), an object or a method. CLI_DONE, or CLI_USAGE when there is no such thing. */
int help_print(const struct cli *cli, const char *object, FILE *out);

/* --- complete.c --------------------------------------------------------------------------------------------------------------- */

/*
 * Print what the last of these words may become, one a line; the words before it are what was typed after `sluicectl`. Nothing is printed
 * where a file name is due. Always succeeds: a daemon that is away costs the names, not the completion.
 */
int complete_run(int argc, char **argv, FILE *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A write from the request to its being in force. Accepted is not yet applied: a guest or a namespace may not be there yet. So a write
 * waits, and when -T ends first the exit code is 65 and the objects that wait are named with what they wait for.
 */

#include <string.h>
#include <time.h>

#include "cli.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int write_open(struct cli *cli, struct write *w)
{
	*w = (struct write){.end_ms = now_ms() + cli->timeout_ms};
	return cli_connect(cli, true, &w->s);
}

static void forget_answer(struct write *w)
{
	sluice_free(w->text);
	json_decref(w->result);
	w->text = NULL;
	w->result = NULL;
}

void write_close(struct write *w)
{
	forget_answer(w);
	sluice_close(w->s);
}

int write_send(struct cli *cli, struct write *w, json_t *list, bool replace, struct sluice_error *err)
{
	json_t *params = replace ? json_pack("{s:{s:o}}", "replace", "objects", list) : json_pack("{s:o}", "ops", list);

	forget_answer(w);
	/* Left out when not asked for: a daemon that is older than the tool need not know them. */
	if (cli->dry_run)
		json_object_set_new(params, "dry_run", json_true());
	if (cli->force)
		json_object_set_new(params, "force", json_true());
	return cli_ask(w->s, "apply", params, &w->text, &w->result, err);
}

/* --- not yet applied ----------------------------------------------------------------------------------------------------------- */

static void say_why(const json_t *object)
{
	const json_t *error = json_object_get(object, "error");
	const char *hint = json_string_value(json_object_get(error, "hint"));

	if (!json_is_object(error))
		return;
	cli_say("%s %s: %s%s%s%s", json_string_value(json_object_get(object, "object")),
		json_string_value(json_object_get(object, "name")), json_string_value(json_object_get(error, "message")),
		hint && *hint ? " (" : "", hint && *hint ? hint : "", hint && *hint ? ")" : "");
}

static int not_applied(struct cli *cli, struct write *w, long long generation, long long applied)
{
	json_t *objects, *object;
	size_t i;

	cli_usage(cli, "accepted as generation %lld, and not yet in force (applied: %lld)", generation, applied);
	/* The time is up; what waits is asked for all the same, as long as the daemon answers. */
	if (cli_get_all(cli, w->s, json_object(), &objects) != CLI_DONE)
		return CLI_NOT_APPLIED;
	json_array_foreach (objects, i, object)
		say_why(object);
	json_decref(objects);
	return CLI_NOT_APPLIED;
}

/* CLI_DONE when it is in force. *applied is how far the node is. */
static int wait_applied(struct cli *cli, struct write *w, long long generation, int64_t *applied)
{
	struct sluice_generation at = {.applied = *applied};
	int64_t left = w->end_ms - now_ms();
	struct sluice_error err;
	int ret = sluice_wait(w->s, generation, left > 0 ? (int)left : 0, &at, &err);

	if (ret == 0) {
		*applied = at.applied;
		return CLI_DONE;
	}
	if (ret == SLUICE_TIMEOUT)
		return not_applied(cli, w, generation, *applied);
	cli_usage(cli, "accepted as generation %lld; whether it is in force is not known:", generation);
	return cli_failed(cli, &err);
}

int write_finish(struct cli *cli, struct write *w)
{
	const json_t *has_applied = json_object_get(w->result, "applied");
	long long generation = json_integer_value(json_object_get(w->result, "generation"));
	int64_t applied = has_applied ? json_integer_value(has_applied) : generation;
	int ret = CLI_DONE;

	if (!cli->dry_run && applied < generation) {
		ret = wait_applied(cli, w, generation, &applied);
		json_object_set_new(w->result, "applied", json_integer(applied));
	}
	/* Not yet in force is no failure: what was accepted has a generation, and a program wants it. */
	if (ret != CLI_DONE && ret != CLI_NOT_APPLIED)
		return ret;
	if (cli->format == CLI_JSON && (!has_applied || applied == json_integer_value(has_applied)))
		cli_print_result(cli, w->text, w->result);
	else if (cli->format != CLI_TEXT)
		cli_print_json(cli, w->result);
	else if (cli->dry_run)
		view_plan(cli, json_object_get(w->result, "plan"), json_integer_value(json_object_get(w->result, "changes")));
	return ret;
}

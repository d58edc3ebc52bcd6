/* SPDX-License-Identifier: Apache-2.0 */

/*
 * monitor: events as they happen, a line of JSON each, until the daemon goes (exit 3) or -T, if it was given, ends (exit 124).
 *
 *      monitor                         everything
 *      monitor port vlan               events about objects of these types
 *      monitor port/vm1                about one of them
 *      monitor port.link fdb.          events of a type, or of a group of types
 *
 * Each line is written out at once, so that what reads it sees it as it happens.
 */

#include <string.h>
#include <time.h>

#include "cli.h"

struct monitor {
	struct cli *cli;
	bool times, snapshot;
	json_t *objects, *events; /* of the request */
	json_t *names;		  /* {"port/vm1": null}: if not empty, only these of what has a name */
};

/* --- words ---------------------------------------------------------------------------------------------------------------------- */

static void append_once(json_t *list, const char *text, size_t len)
{
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (json_string_length(item) == len && !strncmp(json_string_value(item), text, len))
			return;
	json_array_append_new(list, json_stringn(text, len));
}

/* "port.link", or "port." and "port.*" for the group. */
static bool add_event(struct monitor *m, const char *word)
{
	size_t len = strlen(word);
	bool group;

	if (len > 2 && !strcmp(word + len - 2, ".*"))
		len--;
	group = len > 1 && word[len - 1] == '.';
	if (group)
		len--;
	for (const struct schema_event *e = schema_events; e->name; e++) {
		if (strncmp(e->name, word, len) != 0 || (e->name[len] && e->name[len] != '.') || (group && !e->name[len]))
			continue;
		append_once(m->events, word, len);
		return true;
	}
	return false;
}

/* "port", "port/vm1". */
static bool add_object(struct monitor *m, const char *word)
{
	size_t len = strcspn(word, "/");
	const struct schema_object *const *o = schema_objects;

	while (*o && (strlen((*o)->name) != len || strncmp((*o)->name, word, len) != 0))
		o++;
	if (!*o || (word[len] && !schema_name_valid(word + len + 1)))
		return false;
	append_once(m->objects, word, len);
	if (word[len])
		json_object_set_new(m->names, word, json_null());
	return true;
}

static int read_words(struct monitor *m, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "-t") || !strcmp(argv[i], "--time"))
			m->times = true;
		else if (!strcmp(argv[i], "--snapshot"))
			m->snapshot = true;
		else if (!add_object(m, argv[i]) && !add_event(m, argv[i]))
			return cli_usage(m->cli,
					 "%s: not -t, --snapshot, an object (port, port/NAME) or an event (port.link, fdb.)",
					 argv[i]);
	}
	return CLI_DONE;
}

/* --- lines ---------------------------------------------------------------------------------------------------------------------- */

/* "2026-11-24 18:45:01.123456 ": the event's own time, as the clock on the wall had it. */
static void print_time(FILE *out, const json_t *event)
{
	json_int_t us = json_integer_value(json_object_get(event, "time_us"));
	time_t s = us / 1000000;
	char text[40];
	struct tm tm;

	if (us <= 0 || !localtime_r(&s, &tm) || !strftime(text, sizeof(text), "%F %T", &tm))
		snprintf(text, sizeof(text), "-");
	fprintf(out, "%s.%06d ", text, (int)(us > 0 ? us % 1000000 : 0));
}

static bool wanted(const struct monitor *m, const json_t *event)
{
	const char *object = json_string_value(json_object_get(event, "object"));
	const char *name = json_string_value(json_object_get(event, "name"));
	const char *type = json_string_value(json_object_get(event, "type"));
	char key[128];

	/* A gap in what was told concerns everybody. */
	if (!json_object_size(m->names) || (type && !strcmp(type, "resync")))
		return true;
	if (!object || !name)
		return false;
	snprintf(key, sizeof(key), "%s/%s", object, name);
	return json_object_get(m->names, key);
}

/* False when there is nobody to read it any more. */
static bool print_event(const struct monitor *m, const char *text)
{
	FILE *out = m->cli->out;
	json_t *event = NULL;

	if (m->times || json_object_size(m->names))
		event = json_loads(text, 0, NULL);
	if (!event || wanted(m, event)) {
		if (m->times)
			print_time(out, event);
		fprintf(out, "%s\n", text);
	}
	json_decref(event);
	return fflush(out) == 0;
}

static int follow(const struct monitor *m, struct sluice *s)
{
	int timeout_ms = m->cli->timeout_given ? m->cli->timeout_ms : -1;
	struct timespec start, now;
	struct sluice_error err;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		int left = timeout_ms;
		char *event;
		bool written;

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (left >= 0) {
			int64_t gone = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;

			left = gone < left ? left - (int)gone : 0;
		}
		if (sluice_next_event(s, left, &event, &err))
			return cli_failed(m->cli, &err);
		written = print_event(m, event);
		sluice_free(event);
		if (!written)
			return CLI_DONE; /* told by whoever looks at the stream's state at the end */
	}
}

static int watch(const struct monitor *m, struct sluice *s)
{
	json_t *params = json_pack("{s:b}", "snapshot", m->snapshot);
	struct sluice_error err;
	char *request, *snapshot;
	int ret;

	if (json_array_size(m->objects))
		json_object_set(params, "objects", m->objects);
	if (json_array_size(m->events))
		json_object_set(params, "events", m->events);
	request = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	if (!request)
		return cli_usage(m->cli, "out of memory");
	ret = sluice_watch(s, request, &snapshot, &err);
	sluice_free(request);
	if (ret)
		return cli_failed(m->cli, &err);
	if (m->snapshot)
		fprintf(m->cli->out, "%s\n", snapshot);
	sluice_free(snapshot);
	return fflush(m->cli->out) == 0 ? follow(m, s) : CLI_DONE;
}

int monitor_run(struct cli *cli, int argc, char **argv)
{
	struct monitor m = {.cli = cli};
	struct sluice *s = NULL;
	int ret;

	if (argc == 1 && !strcmp(argv[0], "help"))
		return help_print(cli, "watch", cli->out);
	m.objects = json_array();
	m.events = json_array();
	m.names = json_object();
	ret = read_words(&m, argc, argv);
	if (ret == CLI_DONE)
		ret = cli_connect(cli, false, &s);
	if (ret == CLI_DONE)
		ret = watch(&m, s);
	sluice_close(s);
	json_decref(m.objects);
	json_decref(m.events);
	json_decref(m.names);
	return ret;
}

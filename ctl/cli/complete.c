/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Completion, from the tables and from the node: `sluicectl --complete WORD... LAST` prints what LAST may become, one a line.
 *
 *      sluicectl port set v|        -->  vm1, vm2               names that exist, asked of the daemon
 *      sluicectl port set vm1 |     -->  vlan=, mac=, ...       attributes that can be changed and are not given yet
 *      ... vlan-mode=|              -->  vlan-mode=access, ...  choices
 *
 * The shell's part (sluicectl.bash) only cuts words and hands candidates on, so that it need not change when the schema does.
 */

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define ASK_MS 500 /* a person waits at the keyboard */

struct completion {
	FILE *out;
	const char *last;	  /* what is being typed */
	const char *socket;	  /* of -s, or NULL */
	const char *const *words; /* behind the options, without `last` */
	int n;
};

/* Print a candidate if it begins as what was typed. */
__attribute__((format(printf, 2, 3))) static void offer(const struct completion *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!strncmp(text, c->last, strlen(c->last)))
		fprintf(c->out, "%s\n", text);
}

/* --- from the node ------------------------------------------------------------------------------------------------------------- */

/* A method's result, or NULL: whatever fails, fails in silence. Who may not use the control socket may use the other. */
static json_t *ask(const struct completion *c, const char *method, json_t *params)
{
	const char *paths[] = {c->socket ? c->socket : SLUICE_STAT_SOCKET, c->socket ? NULL : SLUICE_CONTROL_SOCKET};
	struct sluice *s = NULL;
	json_t *result = NULL;

	for (int i = 0; i < 2 && paths[i] && !s; i++)
		sluice_open(&s, paths[i], ASK_MS, NULL);
	if (s) {
		struct sluice_error err;

		cli_ask(s, method, params, NULL, &result, &err);
	} else {
		json_decref(params);
	}
	sluice_close(s);
	return result;
}

static void offer_names(const struct completion *c, const char *object, const char *before)
{
	json_t *result = ask(c, "get", json_pack("{s:s}", "object", object)), *item;
	size_t i;

	json_array_foreach (json_object_get(result, "objects"), i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));

		if (name && schema_name_valid(name))
			offer(c, "%s%s", before, name);
	}
	json_decref(result);
}

static void offer_kinds(const struct completion *c)
{
	json_t *result = ask(c, "get", json_pack("{s:s}", "object", "node")), *kind;
	const json_t *node = json_array_get(json_object_get(result, "objects"), 0);
	size_t i;

	json_array_foreach (json_object_get(json_object_get(node, "state"), "kinds"), i, kind)
		if (json_is_true(json_object_get(kind, "available")))
			offer(c, "kind=%s", json_string_value(json_object_get(kind, "kind")));
	json_decref(result);
}

static void offer_netdevs(const struct completion *c)
{
	DIR *d = opendir("/sys/class/net");
	const struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			offer(c, "ifname=%s", entry->d_name);
	if (d)
		closedir(d);
}

/* --- key=value ------------------------------------------------------------------------------------------------------------------ */

/* Whether "key=..." was typed already. `_` and `-` are the same. */
static bool given(const struct completion *c, const char *key)
{
	char typed[64];

	for (int i = 0; i < c->n; i++) {
		size_t len = strcspn(c->words[i], "=");

		if (!c->words[i][len] || len >= sizeof(typed))
			continue;
		snprintf(typed, sizeof(typed), "%.*s", (int)len, c->words[i]);
		if (!strcmp(words_key(typed, typed, sizeof(typed)), key))
			return true;
	}
	return false;
}

static void offer_values(const struct completion *c, const struct schema_attr *a, const char *key)
{
	switch (a->type) {
	case SCHEMA_ENUM:
		for (const struct schema_choice *choice = a->choices; choice->name; choice++)
			offer(c, "%s=%s", key, choice->name);
		break;
	case SCHEMA_BOOL:
		offer(c, "%s=true", key);
		offer(c, "%s=false", key);
		break;
	default:
		if (!strcmp(a->name, "kind"))
			offer_kinds(c);
		else if (!strcmp(a->name, "vlan"))
			offer_names(c, "vlan", "vlan=");
		else if (!strcmp(a->name, "class"))
			offer_names(c, "class", "class=");
		else if (!strcmp(a->name, "ifname"))
			offer_netdevs(c);
	}
}

static void offer_attrs(const struct completion *c, const struct schema_object *o, bool add)
{
	bool value = strchr(c->last, '=');
	char key[64], typed[64];

	snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(c->last, "="), c->last);
	words_key(typed, typed, sizeof(typed));
	for (const struct schema_attr *a = o->attrs; a->name; a++) {
		words_key(a->name, key, sizeof(key));
		if (value && !strcmp(key, typed))
			offer_values(c, a, key);
		else if (!value && !given(c, key) && (add || !(a->flags & SCHEMA_FIXED)))
			offer(c, "%s=", key);
	}
}

/* --- words ---------------------------------------------------------------------------------------------------------------------- */

static void complete_object(const struct completion *c, const struct schema_object *o)
{
	const char *verb = c->n > 1 ? c->words[1] : "";

	if (c->n == 1) {
		for (size_t i = 0; !o->read_only && i < 3; i++)
			offer(c, "%s", (const char *const[]){"add", "set", "del"}[i]);
		offer(c, "show");
		offer(c, "help");
	} else if (c->n == 2 && !o->read_only && (!strcmp(verb, "set") || !strcmp(verb, "del") || !strcmp(verb, "show"))) {
		offer_names(c, o->name, "");
	} else if (c->n == 2 && !strcmp(verb, "add") && !strcmp(o->name, "vlan")) {
		return; /* a new id is the user's to say */
	} else if (c->n > 2 && (!strcmp(verb, "add") || !strcmp(verb, "set"))) {
		offer_attrs(c, o, verb[0] == 'a');
	}
}

static void complete_fdb(const struct completion *c)
{
	if (c->n == 1) {
		offer(c, "show");
	} else if (!strncmp(c->last, "vlan=", 5)) {
		offer_names(c, "vlan", "vlan=");
	} else if (!strncmp(c->last, "port=", 5)) {
		offer_names(c, "port", "port=");
	} else {
		for (size_t i = 0; i < 3; i++) {
			const char *key = (const char *const[]){"vlan", "port", "mac"}[i];

			if (!given(c, key))
				offer(c, "%s=", key);
		}
	}
}

static void offer_objects(const struct completion *c)
{
	for (const struct schema_object *const *o = schema_objects; *o; o++)
		offer(c, "%s", (*o)->name);
}

static void complete_monitor(const struct completion *c)
{
	const char *slash = strchr(c->last, '/');
	char object[64];

	offer(c, "-t");
	offer(c, "--snapshot");
	offer_objects(c);
	for (const struct schema_event *e = schema_events; e->name; e++)
		offer(c, "%s", e->name);
	if (!slash)
		return;
	snprintf(object, sizeof(object), "%.*s/", (int)(slash - c->last), c->last);
	object[strlen(object) - 1] = '\0';
	if (schema_object_find(object)) {
		char before[80];

		snprintf(before, sizeof(before), "%s/", object);
		offer_names(c, object, before);
	}
}

static void complete_stats(const struct completion *c)
{
	int first = c->n > 1 && !strcmp(c->words[1], "show") ? 2 : 1;

	if (c->n == first) {
		offer(c, "worker");
		offer_objects(c);
	} else if (c->n == first + 1 && schema_object_find(c->words[first])) {
		offer_names(c, c->words[first], "");
	}
}

static void offer_methods(const struct completion *c)
{
	for (const struct schema_method *m = schema_methods; m->name; m++)
		offer(c, "%s", m->name);
}

static void complete_command(const struct completion *c)
{
	const char *command = c->words[0];

	if (!strcmp(command, "fdb"))
		complete_fdb(c);
	else if (!strcmp(command, "monitor"))
		complete_monitor(c);
	else if (!strcmp(command, "stats"))
		complete_stats(c);
	else if (!strcmp(command, "export") && c->n == 1)
		offer(c, "owner=");
	else if (!strcmp(command, "raw") && c->n == 1)
		offer_methods(c);
	else if (!strcmp(command, "help") && c->n == 1) {
		offer_objects(c);
		offer_methods(c);
	}
}

static void offer_options(const struct completion *c)
{
	for (const struct cli_option *o = cli_options; o->name; o++) {
		offer(c, "--%s", o->name);
		if (o->letter[0])
			offer(c, "-%s", o->letter);
	}
}

/* The option whose value is the next word, or NULL. `value`: the word holds the value itself. */
static const struct cli_option *option_of(const char *word, const char **value)
{
	*value = NULL;
	for (const struct cli_option *o = cli_options; o->name; o++) {
		size_t len = strlen(o->name);

		if (word[0] != '-' || !o->arg[0])
			continue;
		if (!strncmp(word, "--", 2) && !strncmp(word + 2, o->name, len) && (!word[2 + len] || word[2 + len] == '=')) {
			*value = word[2 + len] ? word + 3 + len : NULL;
			return o;
		}
		if (o->letter[0] && word[1] == o->letter[0]) {
			*value = word[2] ? word + 2 : NULL;
			return o;
		}
	}
	return NULL;
}

int complete_run(int argc, char **argv, FILE *out)
{
	struct completion c = {.out = out, .last = argc ? argv[argc - 1] : ""};
	const struct cli_option *pending = NULL;
	const char *value;
	bool batch = false;
	int i = 0;

	for (; i < argc - 1 && (pending || argv[i][0] == '-'); i++) {
		const struct cli_option *o = pending ? pending : option_of(argv[i], &value);

		if (pending)
			value = argv[i];
		if (o && value && !strcmp(o->name, "socket"))
			c.socket = value;
		batch |= o && !strcmp(o->name, "batch");
		pending = !pending && o && !value ? o : NULL;
	}
	c.words = (const char *const *)argv + i;
	c.n = argc ? argc - 1 - i : 0;
	if (pending && !strcmp(pending->name, "color"))
		for (size_t w = 0; w < 3; w++)
			offer(&c, "%s", (const char *const[]){"auto", "always", "never"}[w]);
	if (pending || (batch && c.n == 0 && c.last[0] != '-'))
		return CLI_DONE;
	if (c.n == 0 && c.last[0] == '-') {
		offer_options(&c);
	} else if (c.n == 0) {
		offer_objects(&c);
		for (const struct command *command = commands; command->name; command++)
			offer(&c, "%s", command->name);
	} else if (schema_object_find(c.words[0])) {
		complete_object(&c, schema_object_find(c.words[0]));
	} else {
		complete_command(&c);
	}
	return CLI_DONE;
}

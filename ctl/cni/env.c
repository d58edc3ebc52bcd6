/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <net/if.h>

#include "conf.h"

enum { CONTAINER = 1, NETNS = 2, IFNAME = 4 };

static const struct {
	const char *name;
	unsigned needs;
} commands[CNI_COMMANDS] = {
	[CNI_ADD] = {"ADD", CONTAINER | NETNS | IFNAME},
	[CNI_DEL] = {"DEL", CONTAINER | IFNAME},
	[CNI_CHECK] = {"CHECK", CONTAINER | NETNS | IFNAME},
	[CNI_GC] = {"GC", 0},
	[CNI_STATUS] = {"STATUS", 0},
	[CNI_VERSION] = {"VERSION", 0},
};

bool env_container_ok(const char *text)
{
	if (!isalnum((unsigned char)*text))
		return false;
	while (isalnum((unsigned char)*text) || *text == '_' || *text == '.' || *text == '-')
		text++;
	return !*text;
}

/* What is not UTF-8 does not go into a request. */
static bool utf8(const char *text)
{
	json_t *value = json_string(text);
	bool ok = value;

	json_decref(value);
	return ok;
}

/* The daemon is to find there what we do. */
static bool netns_ok(const char *text)
{
	return text[0] == '/' && strncmp(text, "/proc/self/", 11) != 0 && strncmp(text, "/proc/thread-self/", 18) != 0 &&
	       utf8(text);
}

bool env_ifname_ok(const char *text)
{
	if (strlen(text) >= IF_NAMESIZE || !strcmp(text, ".") || !strcmp(text, "..") || !utf8(text))
		return false;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f || *text == '/' || *text == ':')
			return false;
	return true;
}

static const struct {
	unsigned bit;
	const char *variable;
	size_t offset;
	bool (*ok)(const char *text);
	const char *wants;
} variables[] = {
	{CONTAINER, "CNI_CONTAINERID", offsetof(struct cni_env, container), env_container_ok,
	 "begins with a letter or digit, and goes on with those or _ . -"},
	{NETNS, "CNI_NETNS", offsetof(struct cni_env, netns), netns_ok,
	 "an absolute path, which leads every process to the same place"},
	{IFNAME, "CNI_IFNAME", offsetof(struct cni_env, ifname), env_ifname_ok, "1-15 characters, none of them / : or a space"},
	{0, "CNI_PATH", offsetof(struct cni_env, path), NULL, NULL},
	{0, "CNI_ARGS", offsetof(struct cni_env, args), NULL, NULL},
};

void env_export(const struct cni_env *env, enum cni_command command)
{
	setenv("CNI_COMMAND", commands[command].name, 1);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = *(const char *const *)((const char *)env + variables[i].offset);

		if (value)
			setenv(variables[i].variable, value, 1);
	}
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* All that is wrong goes into one message. */
static int judge(const struct cni_env *env, struct cni_error *err)
{
	char wrong[256] = "", why[384] = "";

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = *(const char *const *)((const char *)env + variables[i].offset);
		size_t n = strlen(wrong), m = strlen(why);

		/* What a command does not need is not looked at: some runtimes fill it with anything. */
		if (!(commands[env->command].needs & variables[i].bit) || (value && variables[i].ok(value)))
			continue;
		snprintf(wrong + n, sizeof(wrong) - n, "%s%s%s", n ? ", " : "", variables[i].variable, value ? "" : " (not set)");
		if (value)
			snprintf(why + m, sizeof(why) - m, "%s%s: %s", m ? "; " : "", variables[i].variable, variables[i].wants);
	}
	return *wrong ? cni_fail(err, CNI_BAD_ENVIRONMENT, why, "invalid environment: %s", wrong) : 0;
}

int env_read(struct cni_env *env, struct cni_error *err)
{
	const char *command = variable("CNI_COMMAND");
	int i = 0;

	if (!command)
		return cni_fail(err, CNI_BAD_ENVIRONMENT, "sluice-cni is run by container runtimes: see sluice-cni(8)",
				"invalid environment: CNI_COMMAND (not set)");
	while (i < CNI_COMMANDS && strcmp(commands[i].name, command) != 0)
		i++;
	if (i == CNI_COMMANDS)
		return cni_fail(err, CNI_BAD_ENVIRONMENT, "one of ADD, DEL, CHECK, GC, STATUS, VERSION",
				"invalid environment: CNI_COMMAND %.40s: unknown", command);
	memset(env, 0, sizeof(*env));
	env->command = i;
	for (size_t v = 0; v < sizeof(variables) / sizeof(variables[0]); v++)
		*(const char **)((char *)env + variables[v].offset) = variable(variables[v].variable);
	return judge(env, err);
}

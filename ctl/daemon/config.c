/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "config.h"
#include "kern.h"
#include "schema/schema.h"

#define AT(m)	    .offset = offsetof(struct config, m), .size = sizeof(((struct config *)0)->m)
#define BUFFERS_MIN 1024
#define BUFFERS_MAX 16777216

static const struct schema_choice memories[] = {
	{"auto", DP_MEMORY_AUTO}, {"huge", DP_MEMORY_HUGE}, {"plain", DP_MEMORY_PLAIN}, {NULL, 0}};
static const struct schema_choice polls[] = {{"adaptive", DP_POLL_ADAPTIVE}, {"busy", DP_POLL_BUSY}, {NULL, 0}};
/* Only the mechanisms that this build has: to take another and not to use it would mislead. */
static const struct schema_choice trunks[] = {{"auto", CONFIG_TRUNK_AUTO},
					      {"none", CONFIG_TRUNK_NONE},
					      {"veth", CONFIG_TRUNK_BY + KERN_TRUNK_VETH},
					      {"vhost-net", CONFIG_TRUNK_BY + KERN_TRUNK_VHOST_NET},
					      {"tap", CONFIG_TRUNK_BY + KERN_TRUNK_TAP},
					      {"veth-xdp", CONFIG_TRUNK_BY + KERN_TRUNK_VETH_XDP},
					      {NULL, 0}};

struct option {
	struct schema_attr attr;
	const char *arg, *def;
	const char *unsupported; /* what to say when it is given */
};

static const struct option options[] = {
	{{"socket", SCHEMA_STRING, AT(socket), .doc = "control socket, for root and group sluice"},
	 "PATH",
	 "/run/sluice/control.sock",
	 NULL},
	{{"stat-socket", SCHEMA_STRING, AT(stat_socket), .doc = "read-only socket, for everybody"},
	 "PATH",
	 "/run/sluice/stat.sock",
	 NULL},
	{{"cores", SCHEMA_STRING, AT(cores), .doc = "CPUs of the workers, as 1,3-5; without: one worker on the highest CPU"},
	 "LIST",
	 "",
	 NULL},
	{{"poll", SCHEMA_ENUM, AT(poll), .choices = polls, .doc = "sleep when there is no traffic, or never"},
	 "adaptive|busy",
	 "adaptive",
	 NULL},
	{{"memory", SCHEMA_ENUM, AT(memory), .choices = memories, .doc = "huge pages: if there are some, required, or not"},
	 "auto|huge|plain",
	 "auto",
	 NULL},
	{{"buffers", SCHEMA_U64, AT(buffers), .min = BUFFERS_MIN, .max = BUFFERS_MAX, .doc = "packet buffers shared by all ports"},
	 "N",
	 "16384",
	 NULL},
	{{"fdb-max", SCHEMA_U64, AT(fdb_max), .min = 1024, .max = DP_FDB_MAX, .doc = "addresses that the switch remembers at most"},
	 "N",
	 "1000000",
	 NULL},
	{{"drivers", SCHEMA_STRING, AT(drivers), .doc = "DPDK drivers to load for ports of kind nic, as net_virtio,net_null"},
	 "LIST",
	 "",
	 NULL},
	{{"state", SCHEMA_STRING, AT(state), .doc = "where the configuration is kept over a restart"},
	 "FILE",
	 "/var/lib/sluice/state.db",
	 NULL},
	{{"bpf-dir", SCHEMA_STRING, AT(bpf_dir), .doc = "where kernel programs are pinned"}, "DIR", "/sys/fs/bpf/sluice", NULL},
	{{"cgroup-root", SCHEMA_STRING, AT(cgroup_root), .doc = "cgroup hierarchy of thin containers"},
	 "PATH",
	 "/sys/fs/cgroup",
	 "no thin containers in this build"},
	{{"trunk", SCHEMA_ENUM, AT(trunk), .choices = trunks,
	  .doc = "how the kernel side is attached; auto: the best that there is; none: no containers (kind=veth)"},
	 "auto|veth|vhost-net|tap|veth-xdp|none",
	 "auto",
	 NULL},
	{{"trunk-name", SCHEMA_STRING, AT(trunk_name), .doc = "netdev of the trunk"}, "NAME", "slc0", NULL},
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static const struct {
	const char *name;
	enum config_action action;
	const char *doc;
} actions[] = {
	{"check", CONFIG_CHECK, "validate options and file, and exit"},
	{"cleanup", CONFIG_CLEANUP, "remove what outlives the daemon (pinned programs, trunk), and exit"},
	{"help", CONFIG_HELP, "print this and exit"},
	{"version", CONFIG_VERSION, "print the version and exit"},
};

#define N_ACTIONS (sizeof(actions) / sizeof(actions[0]))

__attribute__((format(printf, 3, 4))) static int fail(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int option_find(const char *name, size_t len)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strlen(options[i].attr.name) == len && !strncmp(options[i].attr.name, name, len))
			return i;
	return -1;
}

static int option_set(struct config *c, size_t i, const char *text, char *why, size_t size)
{
	const struct schema_attr *a = &options[i].attr;
	struct schema_error bad;
	json_t *value;
	int ret;

	if (!*text)
		return fail(why, size, "%s: no value", a->name);
	value = schema_parse_text(a, text, &bad);
	ret = value ? schema_decode_attr(a, value, c, &bad) : -EINVAL;
	json_decref(value);
	return ret < 0 ? fail(why, size, "%s", bad.msg) : 0;
}

void config_defaults(struct config *c)
{
	char why[128];

	memset(c, 0, sizeof(*c));
	snprintf(c->file, sizeof(c->file), "%s", CONFIG_FILE);
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (options[i].def[0])
			option_set(c, i, options[i].def, why, sizeof(why));
}

/* --- the file ------------------------------------------------------------------------------------------------------------- */

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static void cut_comment(char *s)
{
	for (char *p = s; *p; p++) {
		if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			return;
		}
	}
}

/* One line; `seen`: keys that the file gave so far. */
static int read_line(struct config *c, char *line, uint64_t *seen, char *why, size_t size)
{
	struct config scratch;
	char *value, *key;
	int i;

	cut_comment(line);
	key = trim(line);
	if (!*key)
		return 0;
	value = strchr(key, '=');
	if (!value)
		return fail(why, size, "%.64s: not of the form key = value", key);
	*value++ = '\0';
	key = trim(key);
	i = option_find(key, strlen(key));
	if (i < 0)
		return fail(why, size, "%.64s: unknown key", key);
	if (*seen >> i & 1)
		return fail(why, size, "%s: given twice", key);
	*seen |= UINT64_C(1) << i;
	/* An option wins, but what the file says must be right all the same. */
	if (c->given >> i & 1)
		return option_set(&scratch, i, trim(value), why, size);
	return option_set(c, i, trim(value), why, size);
}

int config_read(struct config *c, FILE *f, const char *name, char *why, size_t size)
{
	char *line = NULL, reason[256];
	size_t room = 0;
	uint64_t seen = 0;
	ssize_t n;
	int ret = 0;

	for (unsigned number = 1; ret == 0 && (n = getline(&line, &room, f)) >= 0; number++) {
		if (memchr(line, '\0', n))
			ret = fail(reason, sizeof(reason), "holds a NUL byte");
		else
			ret = read_line(c, line, &seen, reason, sizeof(reason));
		if (ret < 0)
			fail(why, size, "%s:%u: %s", name, number, reason);
	}
	free(line);
	if (ret == 0 && ferror(f))
		ret = fail(why, size, "%s: cannot be read", name);
	c->given |= seen;
	return ret;
}

static int read_file(struct config *c, bool named, char *why, size_t size)
{
	FILE *f = fopen(c->file, "re");
	int ret;

	if (!f)
		return errno == ENOENT && !named ? 0 : fail(why, size, "%s: %s", c->file, strerror(errno));
	ret = config_read(c, f, c->file, why, size);
	fclose(f);
	return ret;
}

/* --- the options ----------------------------------------------------------------------------------------------------------- */

static bool take_action(struct config *c, const char *name)
{
	for (size_t i = 0; i < N_ACTIONS; i++) {
		if (strcmp(actions[i].name, name) != 0)
			continue;
		c->action = actions[i].action;
		return true;
	}
	return false;
}

/* One option; *i moves on if its value is the next argument. */
static int take_option(struct config *c, int argc, char *const *argv, int *i, bool *named, char *why, size_t size)
{
	const char *arg = argv[*i] + 2, *value;
	size_t len = strcspn(arg, "=");
	bool file = len == 6 && !strncmp(arg, "config", 6);
	int row = option_find(arg, len);

	if (row < 0 && !file)
		return fail(why, size, "%s: unknown option (--help lists them)", argv[*i]);
	value = arg[len] ? arg + len + 1 : ++*i < argc ? argv[*i] : NULL;
	if (!value || !*value)
		return fail(why, size, "--%.*s: no value", (int)len, arg);
	if (!file) {
		c->given |= UINT64_C(1) << row;
		return option_set(c, row, value, why, size);
	}
	*named = true;
	if ((size_t)snprintf(c->file, sizeof(c->file), "%s", value) >= sizeof(c->file))
		return fail(why, size, "--config: path too long");
	return 0;
}

/* What this machine cannot do, however valid. */
static int check_machine(const struct config *c, char *why, size_t size)
{
	for (unsigned i = 0; i < c->n_cores; i++)
		if (c->core_list[i] >= get_nprocs_conf())
			return fail(why, size, "cores %s: this machine has no CPU %u (0-%d)", c->cores, c->core_list[i],
				    get_nprocs_conf() - 1);
	return 0;
}

int config_load(struct config *c, int argc, char *const *argv, char *why, size_t size)
{
	bool named = false;
	int ret = 0;

	config_defaults(c);
	for (int i = 1; ret == 0 && i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0 || !argv[i][2])
			ret = fail(why, size, "%s: not an option (--help lists them)", argv[i]);
		else if (!take_action(c, argv[i] + 2))
			ret = take_option(c, argc, argv, &i, &named, why, size);
	}
	if (ret < 0 || c->action == CONFIG_HELP || c->action == CONFIG_VERSION)
		return ret;
	ret = read_file(c, named, why, size);
	if (ret == 0)
		ret = config_settle(c, why, size);
	return ret < 0 ? ret : check_machine(c, why, size);
}

/* --- together -------------------------------------------------------------------------------------------------------------- */

static int add_cores(struct config *c, unsigned long first, unsigned long last)
{
	for (unsigned long core = first; core <= last; core++) {
		for (unsigned i = 0; i < c->n_cores; i++)
			if (c->core_list[i] == core)
				return -EEXIST;
		if (c->n_cores == DP_MAX_WORKERS)
			return -ENOSPC;
		c->core_list[c->n_cores++] = core;
	}
	return 0;
}

#define CORE_MAX 1023 /* the kernel's cpu_set_t */

/* "1,3-5". */
static int parse_cores(struct config *c)
{
	const char *p = c->cores;

	c->n_cores = 0;
	while (*p) {
		char *end;
		unsigned long first, last;
		int ret;

		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		first = last = strtoul(p, &end, 10);
		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		if (first > last || last > CORE_MAX || (*end && *end != ','))
			return -EINVAL;
		ret = add_cores(c, first, last);
		if (ret < 0)
			return ret;
		p = *end ? end + 1 : end;
		if (*end && !*p)
			return -EINVAL;
	}
	return 0;
}

int config_settle(struct config *c, char *why, size_t size)
{
	int ret = parse_cores(c);

	if (ret == -EEXIST)
		return fail(why, size, "cores %s: a CPU is there twice", c->cores);
	if (ret == -ENOSPC)
		return fail(why, size, "cores %s: too many (at most %u)", c->cores, DP_MAX_WORKERS);
	if (ret < 0)
		return fail(why, size, "cores %s: not a list of CPUs, as 1,3-5 (0-%u)", c->cores, CORE_MAX);
	if (!strcmp(c->socket, c->stat_socket))
		return fail(why, size, "socket and stat-socket must differ (%s)", c->socket);
	return 0;
}

const char *config_unsupported(const struct config *c, unsigned i, const char **text)
{
	for (size_t row = 0; row < N_OPTIONS; row++) {
		if (!options[row].unsupported || !(c->given >> row & 1) || i-- > 0)
			continue;
		*text = options[row].unsupported;
		return options[row].attr.name;
	}
	return NULL;
}

void config_help(FILE *out)
{
	char left[48];

	fprintf(out, "usage: sluiced [OPTION]...\nThe data plane of one node: a VLAN switch, programmed over a Unix socket.\n\n");
	fprintf(out, "  %-26s options from this file (%s)\n", "--config FILE", CONFIG_FILE);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];

		snprintf(left, sizeof(left), "--%s %s", o->attr.name, o->arg);
		fprintf(out, "  %-26s %s%s%s%s", left, o->attr.doc, o->def[0] ? " (" : "", o->def, o->def[0] ? ")" : "");
		fprintf(out, "%s%s\n", o->unsupported ? "; " : "", o->unsupported ? o->unsupported : "");
	}
	for (size_t i = 0; i < N_ACTIONS; i++)
		fprintf(out, "  --%-24s %s\n", actions[i].name, actions[i].doc);
	fprintf(out, "\nThe names are also the keys of the file: `key = value` lines, # comments. An option wins.\n");
}

/* --- the manual ------------------------------------------------------------------------------------------------------------ */

bool config_doc(size_t i, struct config_doc *out)
{
	if (i == 0) {
		*out = (struct config_doc){"config", "FILE", CONFIG_FILE, "options from this file", NULL, true};
		return true;
	}
	i--;
	if (i < N_OPTIONS) {
		const struct option *o = &options[i];

		*out = (struct config_doc){o->attr.name, o->arg, o->def, o->attr.doc, o->unsupported, false};
		return true;
	}
	i -= N_OPTIONS;
	if (i >= N_ACTIONS)
		return false;
	*out = (struct config_doc){actions[i].name, "", "", actions[i].doc, NULL, true};
	return true;
}

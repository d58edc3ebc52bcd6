/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is shown of each result as text: lists of columns for table.c, and nothing else.
 */

#include <string.h>

#include "cli.h"
#include "table.h"

#define COL(t, p, ...)                             \
	{                                          \
		.title = t, .path = p, __VA_ARGS__ \
	}

/* --- objects ---------------------------------------------------------------------------------------------------------------- */

/* {"TITLE", "path", attribute or NULL}: a column whose attribute is found in the schema when it is shown. */
struct view_column {
	struct column column;
	const char *attr;
};

static const struct view_column vlan_columns[] = {
	{COL("VLAN", "name", .right = true), NULL},
	{COL("NAME", "attrs.name"), NULL},
	{COL("PORTS", "state.members", .right = true), NULL},
	{COL("MACS", "state.macs", .right = true), NULL},
	{COL("MAC-LIMIT", "attrs.mac_limit", .cell = CELL_LIMIT, .right = true), "mac_limit"},
	{COL("AGING", "attrs.aging_s", .cell = CELL_ATTR, .right = true), "aging_s"},
	{COL("STORM", "attrs.storm_pps", .cell = CELL_LIMIT, .right = true), "storm_pps"},
	{COL("OWNER", "owner"), NULL},
	{COL(NULL, NULL), NULL},
};

static const struct view_column port_columns[] = {
	{COL("NAME", "name"), NULL},
	{COL("KIND", "attrs.kind"), NULL},
	{COL("LINK", "state.link", .cell = CELL_LINK), NULL},
	{COL("MODE", "attrs.vlan_mode"), NULL},
	{COL("VLAN", "attrs.vlan", .right = true), NULL},
	{COL("TRUNKS", "attrs.trunks", .cell = CELL_ATTR), "trunks"},
	{COL("MTU", "state.mtu", .right = true), NULL},
	{COL("MACS", "state.macs", .right = true), NULL},
	{COL("IN", "attrs.in_bps", .cell = CELL_LIMIT, .right = true), "in_bps"},
	{COL("OUT", "attrs.out_bps", .cell = CELL_LIMIT, .right = true), "out_bps"},
	{COL("OWNER", "owner"), NULL},
	{COL(NULL, NULL), NULL},
};

static const struct view_column class_columns[] = {
	{COL("NAME", "name"), NULL},
	{COL("PCP", "attrs.pcp", .cell = CELL_ATTR, .right = true), "pcp"},
	{COL("PORTS", "state.members", .right = true), NULL},
	{COL("OWNER", "owner"), NULL},
	{COL(NULL, NULL), NULL},
};

/* Of an object that has no table of its own here. */
static const struct view_column any_columns[] = {
	{COL("NAME", "name"), NULL},
	{COL("OWNER", "owner"), NULL},
	{COL(NULL, NULL), NULL},
};

/* What the state of an object holds, for showing it at length. */
static const struct column state_columns[] = {
	COL("link", "state.link", .cell = CELL_LINK),
	COL("queues in use", "state.queues"),
	COL("mtu in force", "state.mtu"),
	COL("ports", "state.members"),
	COL("macs", "state.macs"),
	COL("wakes by", "state.wake"),
	COL("error", "error.message"),
	COL("to mend it", "error.hint"),
	COL(NULL, NULL),
};

static const struct {
	const char *object;
	const struct view_column *columns;
} tables[] = {{"vlan", vlan_columns}, {"class", class_columns}, {"port", port_columns}};

#define COLUMNS_MAX 48

/* What is accepted and cannot be in force is said below the table: it is seldom, and longer than a column. */
static void show_errors(const struct cli *cli, const json_t *objects)
{
	static const struct column message = COL("", "error.message");
	char text[512];
	json_t *object;
	size_t i;

	json_array_foreach ((json_t *)objects, i, object) {
		table_cell(&message, object, text, sizeof(text));
		if (*text)
			fprintf(cli->out, "%s%s: %s%s\n", cli->colour ? "\033[31m" : "",
				json_string_value(json_object_get(object, "name")), text, cli->colour ? "\033[0m" : "");
	}
}

static void show_table(const struct cli *cli, const struct schema_object *type, const struct view_column *view,
		       const json_t *objects)
{
	struct column columns[COLUMNS_MAX] = {COL(NULL, NULL)};

	for (size_t i = 0; view[i].column.title; i++) {
		columns[i] = view[i].column;
		if (view[i].attr)
			columns[i].attr = schema_attr_find(type, view[i].attr);
	}
	table_across(cli->out, columns, objects, true, cli->colour);
	show_errors(cli, objects);
}

/* Every attribute that the object has, under the name that it is set by. */
static void show_at_length(const struct cli *cli, const struct schema_object *type, const json_t *object)
{
	struct column columns[COLUMNS_MAX] = {COL(NULL, NULL)};
	char titles[COLUMNS_MAX][64], paths[COLUMNS_MAX][64];
	size_t n = 0;

	fprintf(cli->out, "%s %s (owner %s)\n", type->name, json_string_value(json_object_get(object, "name")),
		json_string_value(json_object_get(object, "owner")));
	for (const struct schema_attr *a = type->attrs; a->name && n < COLUMNS_MAX - 1; a++, n++) {
		words_key(a->name, titles[n], sizeof(titles[n]));
		snprintf(paths[n], sizeof(paths[n]), "attrs.%s", a->name);
		columns[n] = (struct column){titles[n], paths[n], CELL_ATTR, .attr = a};
	}
	table_down(cli->out, columns, object, 2, cli->colour);
	fprintf(cli->out, " state\n");
	table_down(cli->out, state_columns, object, 2, cli->colour);
}

void view_objects(const struct cli *cli, const struct schema_object *type, const json_t *objects, bool one)
{
	if (one) {
		show_at_length(cli, type, json_array_get(objects, 0));
		return;
	}
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strcmp(tables[i].object, type->name) != 0)
			continue;
		show_table(cli, type, tables[i].columns, objects);
		return;
	}
	show_table(cli, type, any_columns, objects);
}

/* --- node ----------------------------------------------------------------------------------------------------------------------- */

void view_node(const struct cli *cli, const json_t *node)
{
	static const struct column facts[] = {
		COL("version", "version"),
		COL("dpdk", "dpdk"),
		COL("boot id", "boot_id"),
		COL("pid", "pid"),
		COL("up for", "uptime_s", .cell = CELL_SECONDS),
		COL("memory", "memory.kind"),
		COL("because", "memory.why"),
		COL("memory bytes", "memory.bytes", .cell = CELL_BYTES),
		COL("buffers", "memory.buffers"),
		COL("buffers free", "memory.buffers_free"),
		COL("polling", "poll"),
		COL("trunk", "trunk.name"),
		COL("by", "trunk.by"),
		COL("because", "trunk.why"),
		COL("vlans", "vlans"),
		COL("ports", "ports.used"),
		COL("ports at most", "ports.max"),
		COL("addresses", "fdb.used"),
		COL("addresses at most", "fdb.max"),
		COL(NULL, NULL),
	};
	static const struct column workers[] = {
		COL("WORKER", "worker", .right = true),
		COL("CORE", "core", .right = true),
		COL("QUEUES", "queues", .right = true),
		COL("BUSY", "busy_share", .cell = CELL_PERCENT, .right = true),
		COL("AWAKE", "awake_share", .cell = CELL_PERCENT, .right = true),
		COL("FRAMES/POLL", "frames_per_poll", .right = true),
		COL(NULL, NULL),
	};
	static const struct column kinds[] = {COL("PORT KIND", "kind", .width = 12), COL("AVAILABLE", "available"),
					      COL(NULL, NULL)};
	static const struct column notes[] = {COL("FEATURE", "feature", .width = 12), COL("STATE", "text"), COL(NULL, NULL)};
	const json_t *state = json_object_get(node, "state");

	table_down(cli->out, facts, state, 0, cli->colour);
	fputs("\n", cli->out);
	table_across(cli->out, workers, json_object_get(state, "workers"), true, cli->colour);
	fputs("\n", cli->out);
	table_across(cli->out, kinds, json_object_get(state, "kinds"), true, cli->colour);
	fputs("\n", cli->out);
	table_across(cli->out, notes, json_object_get(state, "notes"), true, cli->colour);
}

/* --- fdb ------------------------------------------------------------------------------------------------------------------------ */

void view_fdb_page(const struct cli *cli, const json_t *entries, bool first)
{
	static const struct column columns[] = {
		COL("VLAN", "vlan", .right = true, .width = 4),
		COL("MAC", "mac", .width = 17),
		COL("TYPE", "static", .cell = CELL_STATIC, .width = 7),
		COL("AGE", "age_s", .cell = CELL_SECONDS, .right = true, .width = 5),
		COL("PORT", "port", .width = 16),
		COL(NULL, NULL),
	};

	table_across(cli->out, columns, entries, first, cli->colour);
}

/* --- stats ---------------------------------------------------------------------------------------------------------------------- */

static const struct column port_stats[] = {
	COL("PORT", "name"),
	COL("RX-FRAMES", "rx_frames", .right = true),
	COL("RX-BYTES", "rx_bytes", .right = true),
	COL("TX-FRAMES", "tx_frames", .right = true),
	COL("TX-BYTES", "tx_bytes", .right = true),
	COL("FLOODED", "flooded", .right = true),
	COL("DROPS", "drops_total", .right = true),
	COL(NULL, NULL),
};

static const struct column frame_stats[] = {
	COL("rx frames", "rx_frames"),
	COL("rx bytes", "rx_bytes"),
	COL("tx frames", "tx_frames"),
	COL("tx bytes", "tx_bytes"),
	COL("flooded", "flooded"),
	COL("addresses moved", "moved"),
	COL("addresses refused", "learn_refused"),
	COL("segmented in software", "segmented"),
	COL("checksums in software", "csum_completed"),
	COL("drops", "drops_total"),
	COL(NULL, NULL),
};

static const struct column vlan_stats[] = {
	COL("VLAN", "name", .right = true),
	COL("PORTS", "members", .right = true),
	COL("MACS", "macs", .right = true),
	COL("STORM-DROPS", "storm_drops", .right = true),
	COL(NULL, NULL),
};

static const struct column worker_stats[] = {
	COL("WORKER", "name", .right = true),
	COL("CORE", "core", .right = true),
	COL("QUEUES", "queues", .right = true),
	COL("POLLS", "polls", .right = true),
	COL("WITH-FRAMES", "polls_busy", .right = true),
	COL("FRAMES", "frames", .right = true),
	COL("BUSY-US", "busy_us", .right = true),
	COL("IDLE-US", "idle_us", .right = true),
	COL("SLEEP-US", "sleep_us", .right = true),
	COL("SLEEPS", "sleeps", .right = true),
	COL(NULL, NULL),
};

static const struct {
	const char *object;
	const struct column *across;
} stats_tables[] = {{"worker", worker_stats}, {"vlan", vlan_stats}, {"port", port_stats}};

/* A new list of those elements that are about `object`. */
static json_t *only(const json_t *stats, const char *object)
{
	json_t *list = json_array(), *item;
	size_t i;

	json_array_foreach ((json_t *)stats, i, item) {
		const char *of = json_string_value(json_object_get(item, "object"));

		if (of && !strcmp(of, object))
			json_array_append(list, item);
	}
	return list;
}

/* Frames of a port or of the node, and each reason that dropped some. */
static void show_frames(const struct cli *cli, const json_t *item)
{
	const char *reason;
	json_t *count;

	fprintf(cli->out, "%s %s\n", json_string_value(json_object_get(item, "object")),
		json_string_value(json_object_get(item, "name")));
	table_down(cli->out, frame_stats, item, 2, cli->colour);
	json_object_foreach (json_object_get(item, "drops"), reason, count)
		fprintf(cli->out, "    %-20s %lld\n", reason, (long long)json_integer_value(count));
}

static void show_stats_of(const struct cli *cli, const json_t *stats, const char *object, bool one)
{
	json_t *list = only(stats, object);

	if (!strcmp(object, "node") || (one && !strcmp(object, "port")))
		show_frames(cli, json_array_get(list, 0));
	for (size_t i = 0; i < sizeof(stats_tables) / sizeof(stats_tables[0]); i++) {
		if (strcmp(stats_tables[i].object, object) != 0 || (one && !strcmp(object, "port")))
			continue;
		table_across(cli->out, stats_tables[i].across, list, true, cli->colour);
	}
	json_decref(list);
}

void view_stats(const struct cli *cli, const json_t *stats, const char *object, bool one)
{
	static const char *const all[] = {"worker", "vlan", "port", "node"};

	if (object) {
		show_stats_of(cli, stats, object, one);
		return;
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (i)
			fputs("\n", cli->out);
		show_stats_of(cli, stats, all[i], false);
	}
}

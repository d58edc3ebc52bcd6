/* SPDX-License-Identifier: Apache-2.0 */

/*
 * stats: counters of ports, VLANs, workers and the node.
 *
 * The answer is {generation, time_us, stats: [...]}, each element with `object` and `name` first. Counters never go back while the
 * daemon runs; time_us (CLOCK_BOOTTIME) is when they were read, so a rate is the difference of two answers over that of their times.
 *
 * `drops` holds the reasons that are not zero, by name, and `drops_total` their sum: most reasons are zero for most ports for ever, and
 * `describe` lists them all. Node counters include ports that are gone.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "kernel.h"
#include "methods.h"
#include "schema/objects.h"

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(c)                                    \
	{                                             \
#c, offsetof(struct dp_port_stats, c) \
	}
	COUNTER(rx_frames), COUNTER(rx_bytes),	    COUNTER(tx_frames), COUNTER(tx_bytes),	 COUNTER(flooded),
	COUNTER(moved),	    COUNTER(learn_refused), COUNTER(segmented), COUNTER(csum_completed),
#undef COUNTER
};

static json_t *frame_stats(const char *object, const char *name, const struct dp_port_stats *st)
{
	json_t *o = json_pack("{s:s, s:s}", "object", object, "name", name), *drops = json_object();
	uint64_t total = 0;
	bool failed = !o || !drops;

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t value = *(const uint64_t *)((const char *)st + counters[i].offset);

		failed |= json_object_set_new(o, counters[i].name, json_integer(value)) < 0;
	}
	for (unsigned i = 0; i < SLC_DROP_N; i++) {
		total += st->drops[i];
		if (st->drops[i])
			failed |= json_object_set_new(drops, dp_drop_name(i), json_integer(st->drops[i])) < 0;
	}
	failed |= json_object_set_new(o, "drops_total", json_integer(total)) < 0;
	failed |= json_object_set_new(o, "drops", drops) < 0;
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

/* --- one of each type: 1 if appended, 0 if there is no such thing, -1 out of memory ------------------------------------------ */

static int append(json_t *list, json_t *item)
{
	return json_array_append_new(list, item) < 0 ? -1 : 1;
}

static int node_one(struct ctl *ctl, const char *name, json_t *list)
{
	struct dp_port_stats st = {0};

	if (strcmp(name, "node") != 0)
		return 0;
	dp_node_stats(ctl->dp, &st);
	kernel_node_stats(ctl, &st);
	return append(list, frame_stats("node", "node", &st));
}

static int port_one(struct ctl *ctl, const char *name, json_t *list)
{
	struct dp_port_stats st = {0};

	if (dp_port_stats(ctl->dp, name, &st) < 0 && kernel_port_stats(ctl, name, &st) < 0)
		return 0;
	if (ctl->trunk && !strcmp(name, ctl->trunk))
		kernel_trunk_drops(ctl, &st);
	return append(list, frame_stats("port", name, &st));
}

static int vlan_one(struct ctl *ctl, const char *name, json_t *list)
{
	struct vlan_conf conf = {0};
	struct dp_vlan_state st = {0};

	if (schema_set_name(&schema_vlan, &conf, name, NULL) < 0 || dp_vlan_state(ctl->dp, conf.dp.id, &st) < 0)
		return 0;
	return append(list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "object", "vlan", "name", name, "macs", (json_int_t)st.macs,
				      "members", (json_int_t)st.members, "storm_drops", (json_int_t)st.storm_drops));
}

static int worker_one(struct ctl *ctl, const char *name, json_t *list)
{
	struct dp_worker_stats w = {0};
	char *end;
	unsigned long i = strtoul(name, &end, 10);

	if (name[0] < '0' || name[0] > '9' || *end || i > DP_MAX_WORKERS || dp_worker_stats(ctl->dp, i, &w) < 0)
		return 0;
	return append(list,
		      json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "object", "worker", "name", name, "core",
				w.core, "queues", w.queues, "polls", (json_int_t)w.polls, "polls_busy", (json_int_t)w.polls_busy,
				"frames", (json_int_t)w.frames, "busy_us", (json_int_t)w.busy_us, "idle_us", (json_int_t)w.idle_us,
				"sleep_us", (json_int_t)w.sleep_us, "sleeps", (json_int_t)w.sleeps));
}

/* --- all of a type --------------------------------------------------------------------------------------------------------------- */

struct source {
	const char *object;
	const struct schema_object *type; /* names come from the store; NULL: the source counts itself */
	int (*one)(struct ctl *ctl, const char *name, json_t *list);
};

static const struct source sources[] = {
	{"node", NULL, node_one},
	{"worker", NULL, worker_one},
	{"vlan", &schema_vlan, vlan_one},
	{"port", &schema_port, port_one},
};

static int all_of_store(struct ctl *ctl, const struct source *src, json_t *list)
{
	size_t n, i;
	struct object **objects = table_list(&ctl->store.objects, src->type, &n);
	int ret = objects ? 0 : -1;

	for (i = 0; ret >= 0 && i < n; i++)
		ret = src->one(ctl, objects[i]->name, list);
	free(objects);
	return ret;
}

static int all_of(struct ctl *ctl, const struct source *src, json_t *list)
{
	char number[4];
	int ret;

	if (src->type)
		return all_of_store(ctl, src, list);
	if (src->one != worker_one)
		return src->one(ctl, src->object, list);
	for (unsigned i = 0; i < DP_MAX_WORKERS; i++) {
		snprintf(number, sizeof(number), "%u", i);
		ret = worker_one(ctl, number, list);
		if (ret <= 0)
			return ret;
	}
	return 0;
}

static const struct source *source_find(const char *object)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (!strcmp(sources[i].object, object))
			return &sources[i];
	return NULL;
}

static int collect(struct ctl *ctl, const struct source *src, const char *name, json_t *list)
{
	int ret = 0;

	if (name)
		return src->one(ctl, name, list);
	if (src)
		return all_of(ctl, src, list);
	for (size_t i = 0; ret >= 0 && i < sizeof(sources) / sizeof(sources[0]); i++)
		ret = all_of(ctl, &sources[i], list);
	return ret;
}

json_t *stats_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	const char *object = param_string(params, "object"), *name = param_string(params, "name");
	const struct source *src = object ? source_find(object) : NULL;
	json_t *list;
	char quoted[80];
	int ret;

	if (object && !src)
		return rpc_fail(err, RPC_INVALID_PARAMS, "unknown-object", "object", "node, worker, vlan or port",
				"%s: has no counters", schema_quote(json_object_get(params, "object"), quoted, sizeof(quoted)));
	if (name && !src)
		return rpc_fail(err, RPC_INVALID_PARAMS, "missing-parameter", "object", NULL, "name: needs object");
	list = json_array();
	ret = list ? collect(s->ctl, src, name, list) : -1;
	if (ret > 0 || (ret == 0 && !name))
		return json_pack("{s:I, s:I, s:o}", "generation", (json_int_t)s->ctl->store.generation, "time_us",
				 (json_int_t)ctl_now_us(), "stats", list);
	json_decref(list);
	if (ret < 0)
		return NULL;
	return rpc_fail(err, RPC_REFUSED, "not-found", "name", NULL, "%s %s: not found", object,
			schema_quote(json_object_get(params, "name"), quoted, sizeof(quoted)));
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What `node show` prints: who runs, since when, on what memory, how busy, and what is not there and why.
 *
 * A worker's busy share is over its whole life: the counters it is made from are in `stats`, and whoever wants the share of the last
 * second subtracts two answers.
 */

#include <stdio.h>
#include <unistd.h>

#include "ctl.h"
#include "methods.h"
#include "schema/objects.h"
#include "state.h"

/* Three digits: a share is for people, the counters are for programs. */
static double ratio(uint64_t part, uint64_t whole)
{
	return whole ? (double)(uint64_t)(part * 1000.0 / whole + 0.5) / 1000 : 0;
}

static json_t *worker_json(unsigned i, const struct dp_worker_stats *w)
{
	uint64_t awake = w->busy_us + w->idle_us;

	return json_pack("{s:i, s:i, s:i, s:f, s:f, s:f}", "worker", (int)i, "core", w->core, "queues", w->queues, "busy_share",
			 ratio(w->busy_us, awake + w->sleep_us), "awake_share", ratio(awake, awake + w->sleep_us),
			 "frames_per_poll", ratio(w->frames, w->polls_busy));
}

static json_t *workers(struct ctl *ctl)
{
	struct dp_worker_stats w = {0};
	json_t *list = json_array();

	for (unsigned i = 0; list && dp_worker_stats(ctl->dp, i, &w) == 0; i++) {
		if (json_array_append_new(list, worker_json(i, &w)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* The switch's, and the kernel engine's one. */
static json_t *kinds(const struct ctl *ctl)
{
	json_t *list = json_array();
	bool available;
	const char *name;

	for (unsigned i = 0; list && (name = dp_kind_name(i, &available)); i++) {
		if (json_array_append_new(list, json_pack("{s:s, s:b}", "kind", name, "available", available)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	if (list && json_array_append_new(list, json_pack("{s:s, s:b}", "kind", "veth", "available", ctl->kern != NULL)) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *notes(const struct ctl *ctl)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < ctl->n_notes; i++) {
		if (json_array_append_new(
			    list, json_pack("{s:s, s:s}", "feature", ctl->notes[i].feature, "text", ctl->notes[i].text)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *memory(const struct dp_node_info *info)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I}", "kind", info->memory ? info->memory : "", "why",
			 info->memory_why ? info->memory_why : "", "bytes", (json_int_t)info->memory_bytes, "buffers",
			 (json_int_t)info->buffers, "buffers_free", (json_int_t)info->buffers_free);
}

/* The state file; `aside` is where a file that could not be used was put at this start. */
static json_t *state_file(const struct ctl *ctl)
{
	if (!ctl->state)
		return json_null();
	return json_pack("{s:s, s:s?}", "path", state_path(ctl->state), "aside", state_aside(ctl->state));
}

/* How the switch reaches the kernel engine and the host, and why so. */
static json_t *trunk(const struct ctl *ctl)
{
	if (!ctl->trunk || !ctl->trunk_netdev.by)
		return json_null();
	return json_pack("{s:s, s:s, s:s}", "name", ctl->trunk, "by", ctl->trunk_netdev.by, "why", ctl->trunk_netdev.why);
}

json_t *node_state(struct ctl *ctl)
{
	struct dp_node_info info = {0};
	uint64_t uptime_s = (ctl_now_us() - ctl->started_us) / 1000000;

	dp_node_info(ctl->dp, &info);
	return json_pack("{s:s, s:s, s:i, s:s, s:i, s:I, s:o, s:s, s:o, s:{s:I, s:I}, s:{s:I, s:I}, s:I, s:I, s:o, s:o, s:o, s:o}",
			 "version", SLUICE_VERSION, "dpdk", info.dpdk_version ? info.dpdk_version : "", "api_major",
			 SCHEMA_API_MAJOR, "boot_id", ctl->boot_id, "pid", (int)getpid(), "uptime_s", (json_int_t)uptime_s,
			 "memory", memory(&info), "poll", info.poll ? info.poll : "", "workers", workers(ctl), "fdb", "used",
			 (json_int_t)info.fdb_used, "max", (json_int_t)info.fdb_max, "ports", "used", (json_int_t)info.ports, "max",
			 (json_int_t)info.max_ports, "vlans", (json_int_t)table_count(&ctl->store.objects, &schema_vlan), "pending",
			 (json_int_t)ctl->store.n_pending, "state_file", state_file(ctl), "trunk", trunk(ctl), "kinds", kinds(ctl),
			 "notes", notes(ctl));
}

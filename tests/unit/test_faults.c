/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every failure that a set of applies can meet, one after the other: the Nth allocation, the Nth thing that SQLite does to its files, for
 * every N until nothing fails any more. After each,
 *
 *   store, switch and disk hold the state before or the state after, whole: never something between;
 *   what was answered with success is after, on disk too; what was answered with an error is before, for everybody who asks;
 *   the next apply works.
 *
 * One exception is SQLite's and any log's: a commit whose sync failed may be on disk all the same, so after a crash at that moment the
 * disk may say `after` though the client was told of an error. It is then overwritten by the next commit.
 */

#include "rpc_rig.h"
#include "daemon/load.h"
#include "fault_rig.h"
#include "state_rig.h"

#define COPY_DIR "copy"

/* There and back: the second undoes the first. */
static const struct scenario {
	const char *name, *forth, *back;
} scenarios[] = {
	{"add", OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"vlan\":5,\"mac\":\"02:00:00:00:00:01\",\"secret\":\"s\"")),
	 OPS(DEL("port", "p") "," DEL("vlan", "5"))},
	{"set", OPS(SET("port", "base", "\"in_bps\":5,\"vlan\":8") "," SET("vlan", "7", "\"name\":\"x\"")),
	 OPS(SET("port", "base", "\"in_bps\":0,\"vlan\":7") "," SET("vlan", "7", "\"name\":null"))},
	{"del", OPS(DEL("port", "base") "," DEL("vlan", "7")),
	 OPS(ADD_VLAN("7") "," ADD_PORT(
		 "base", ",\"vlan\":7,\"path\":\"/base\",\"static_macs\":[\"7/02:00:00:00:00:07\"],\"class\":\"online\""))},
	{"replace",
	 "{\"replace\":{\"objects\":[{\"object\":\"vlan\",\"name\":\"9\"},{\"object\":\"port\",\"name\":\"base\",\"attrs\":"
	 "{\"kind\":\"memif\",\"vlan\":9,\"path\":\"/other\"}}]}}",
	 "{\"replace\":{\"objects\":[{\"object\":\"vlan\",\"name\":\"7\"},{\"object\":\"vlan\",\"name\":\"8\"},{\"object\":"
	 "\"port\","
	 "\"name\":\"base\",\"attrs\":{\"kind\":\"memif\",\"vlan\":7,\"path\":\"/base\",\"static_macs\":[\"7/"
	 "02:00:00:00:00:07\"],\"class\":\"online\"}}]}}"},
	{"class", OPS(SET("class", "online", "\"pcp\":5")), OPS(SET("class", "online", "\"pcp\":null"))},
	{"class of a port",
	 OPS("{\"op\":\"add\",\"object\":\"class\",\"name\":\"gold\",\"attrs\":{\"pcp\":6}}," SET("port", "base",
												  "\"class\":\"gold\"")),
	 OPS(SET("port", "base", "\"class\":\"online\"") "," DEL("class", "gold"))},
	{"lacking", OPS(ADD_PORT("l", ",\"path\":\"/no/dir\"") "," ADD_PORT("p", "")), OPS(DEL("port", "l") "," DEL("port", "p"))},
};

#define BASE                                              \
	OPS(ADD_VLAN("7") "," ADD_VLAN("8") "," ADD_PORT( \
		"base", ",\"vlan\":7,\"path\":\"/base\",\"static_macs\":[\"7/02:00:00:00:00:07\"],\"class\":\"online\""))

static struct dp copy_dp;

/* --- snapshots ------------------------------------------------------------------------------------------------------------------ */

/* The objects of a store as text, without what moves by itself. */
static char *snapshot(struct ctl *c)
{
	size_t n;
	struct object **list = table_list(&c->store.objects, NULL, &n);
	json_t *all = json_array();
	char *text;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(all,
				      json_pack("{s:s, s:s, s:s, s:o, s:b}", "object", list[i]->type->name, "name", list[i]->name,
						"owner", list[i]->owner, "attrs", schema_encode_given(list[i]->type, list[i]->conf),
						"pending", list[i]->pending_link != NULL));
	free(list);
	text = json_dumps(all, JSON_SORT_KEYS);
	json_decref(all);
	return text;
}

/* Switch and store agree; what is pending is not in the switch. */
static void assert_agreement(void)
{
	size_t n, in_force = 0, held = fake_dp.n_ports;
	struct object **list = table_list(&ctl.store.objects, NULL, &n);

	for (size_t i = 0; i < n; i++) {
		const struct object *o = list[i];

		if (o->pending_link || o->type == &schema_class)
			continue;
		in_force++;
		if (o->type == &schema_port) {
			struct port_conf conf;
			int at = fake_port_index(&fake_dp, o->name);

			assert_true(at >= 0);
			memcpy(&conf, o->conf, sizeof(conf));
			conf.dp = fake_dp.ports[at];
			assert_true(schema_equal(o->type, o->conf, &conf));
			assert_int_equal(conf.dp.has_pcp, ((struct port_conf *)o->conf)->dp.has_pcp);
			assert_int_equal(conf.dp.pcp, ((struct port_conf *)o->conf)->dp.pcp);
		} else {
			assert_true(fake_dp.has_vlan[((struct vlan_conf *)o->conf)->dp.id]);
		}
	}
	for (unsigned id = 0; id < DP_VLAN_N; id++)
		held += fake_dp.has_vlan[id];
	assert_int_equal(in_force, held);
	free(list);
}

/* What a daemon would find that started on the files as they are now. */
static char *disk_snapshot(void)
{
	char from[128], dir[96], to[160], why[256];
	struct state *s;
	struct ctl c;
	char *text, *data;
	size_t n;

	snprintf(dir, sizeof(dir), "%s/" COPY_DIR, rig_dir);
	mkdir(dir, 0700);
	for (int i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s%s", rig_path, i ? "-wal" : "");
		snprintf(to, sizeof(to), "%s/state.db%s", dir, i ? "-wal" : "");
		data = rig_read(from, &n);
		if (data)
			rig_write(to, data, n);
		else
			unlink(to);
		free(data);
	}
	snprintf(to, sizeof(to), "%s/state.db", dir);
	assert_int_equal(state_open(&s, to, why, sizeof(why)), 0);
	memset(&copy_dp, 0, sizeof(copy_dp));
	copy_dp.lacking_path = fake_dp.lacking_path;
	ctl_init(&c, &copy_dp);
	assert_int_equal(ctl_load(&c, s), 0);
	assert_null(state_aside(s));
	text = snapshot(&c);
	ctl_fini(&c);
	return text;
}

/* --- the sweep ----------------------------------------------------------------------------------------------------------------- */

static void start(void)
{
	struct state *s;

	memset(&fake_dp, 0, sizeof(fake_dp));
	fake_dp.lacking_path = "/no/dir";
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	assert_int_equal(state_open(&s, rig_path, rig_why, sizeof(rig_why)), 0);
	assert_int_equal(ctl_load(&ctl, s), 0);
}

static int setup_base(void **state)
{
	if (rig_make() < 0)
		return -1;
	start();
	apply(BASE, 1);
	return 0;
}

static int teardown_base(void **state)
{
	char command[128];

	fault_disarm();
	ctl_fini(&ctl);
	snprintf(command, sizeof(command), "%s/" COPY_DIR "/state.db", rig_dir);
	unlink(command);
	snprintf(command, sizeof(command), "%s/" COPY_DIR "/state.db-wal", rig_dir);
	unlink(command);
	snprintf(command, sizeof(command), "%s/" COPY_DIR, rig_dir);
	rmdir(command);
	rig_remove();
	return 0;
}

enum outcome { SUCCEEDED, REFUSED, UNANSWERED };

/* One apply with the fault armed. */
static enum outcome try_apply(const char *params, enum fault_kind kind, unsigned long nth, bool sticky, bool *hit)
{
	enum outcome outcome = UNANSWERED;
	char *line, *reply;
	size_t len;
	json_t *json;
	int n = asprintf(&line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"apply\",\"params\":%s}", params), ret;

	fault_arm(kind, nth, sticky);
	ret = rpc_handle(&session, line, n, &reply, &len);
	*hit = fault_disarm();
	free(line);
	if (ret < 0)
		return UNANSWERED;
	json = json_loadb(reply, len, 0, NULL);
	free(reply);
	assert_non_null(json);
	outcome = json_object_get(json, "result") ? SUCCEEDED : REFUSED;
	if (outcome == REFUSED) {
		const char *name =
			json_string_value(json_object_get(json_object_get(json_object_get(json, "error"), "data"), "name"));

		/* The answer itself may be what memory was short for: then it says so, and is no answer about the change. */
		if (!strcmp(name, "no-memory"))
			outcome = kind == FAULT_MEMORY ? UNANSWERED : outcome;
		else
			assert_true(!strcmp(name, kind == FAULT_FULL ? "disk-full" : "disk"));
	}
	json_decref(json);
	return outcome;
}

static void assert_either(const char *is, const char *before, const char *after, bool may_be_before, bool may_be_after)
{
	if ((may_be_before && !strcmp(is, before)) || (may_be_after && !strcmp(is, after)))
		return;
	fail_msg("neither before nor after:\n%s\nbefore %d: %s\nafter %d: %s", is, may_be_before, before, may_be_after, after);
}

/* One scenario until nothing fails any more. Returns how many failures there were. */
static unsigned sweep(const struct scenario *sc, enum fault_kind kind, bool sticky)
{
	char *before = snapshot(&ctl), *after;
	unsigned failures = 0;
	bool hit = true;

	json_decref(result_as(&session, "apply", sc->forth));
	after = snapshot(&ctl);
	json_decref(result_as(&session, "apply", sc->back));
	for (unsigned long nth = 1; hit; nth++) {
		enum outcome outcome = try_apply(sc->forth, kind, nth, sticky, &hit);
		char *now = snapshot(&ctl), *disk;

		assert_either(now, before, after, outcome != SUCCEEDED, outcome != REFUSED);
		assert_agreement();
		disk = disk_snapshot();
		/* Memory does not fail between log and sync; there disk and store are one. */
		if (kind == FAULT_MEMORY || outcome == SUCCEEDED)
			assert_string_equal(disk, now);
		else
			assert_either(disk, before, after, true, true);
		free(disk);
		failures += outcome != SUCCEEDED;
		if (!strcmp(now, after))
			json_decref(result_as(&session, "apply", sc->back));
		free(now);
		/* And all goes on: there and back, on disk too. */
		if (nth % 16 == 1) {
			json_decref(result_as(&session, "apply", sc->forth));
			json_decref(result_as(&session, "apply", sc->back));
			disk = disk_snapshot();
			assert_string_equal(disk, before);
			free(disk);
		}
	}
	free(before);
	free(after);
	return failures;
}

static void sweep_all(enum fault_kind kind, bool sticky, unsigned at_least)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		unsigned failures = sweep(&scenarios[i], kind, sticky);

		print_message("     %s: %u failures\n", scenarios[i].name, failures);
		assert_true(failures >= at_least);
	}
}

static void nth_allocation_fails(void **state)
{
	sweep_all(FAULT_MEMORY, false, 100);
}

static void nth_allocation_and_all_after_it_fail(void **state)
{
	sweep_all(FAULT_MEMORY, true, 100);
}

static void nth_read_write_or_sync_fails(void **state)
{
	sweep_all(FAULT_IO, false, 2);
}

static void nth_and_all_after_it_fail(void **state)
{
	sweep_all(FAULT_IO, true, 2);
}

static void disk_is_full_from_the_nth_write_on(void **state)
{
	sweep_all(FAULT_FULL, true, 2);
}

/* --- a start in trouble --------------------------------------------------------------------------------------------------------- */

/* Opening and loading with the Nth failing: the daemon may refuse to start, and the next start finds everything. */
static void sweep_start(enum fault_kind kind)
{
	char *before = snapshot(&ctl), *now;
	unsigned failures = 0;
	bool hit = true;

	for (unsigned long nth = 1; hit; nth++) {
		struct state *s = NULL;
		int ret;

		ctl_fini(&ctl);
		memset(&fake_dp, 0, sizeof(fake_dp));
		ctl_init(&ctl, &fake_dp);
		fault_arm(kind, nth, false);
		ret = state_open(&s, rig_path, rig_why, sizeof(rig_why));
		if (ret == 0)
			ret = ctl_load(&ctl, s);
		hit = fault_disarm();
		failures += ret < 0;
		assert_int_equal(rig_count("state.db.*", NULL, 0), 0);
		if (ret == 0) {
			/* What memory was short for waits for its next try. */
			ctl_tick(&ctl, UINT64_MAX);
			now = snapshot(&ctl);
			assert_string_equal(now, before);
			free(now);
		}
		ctl_fini(&ctl);
		start();
		now = snapshot(&ctl);
		assert_string_equal(now, before);
		free(now);
	}
	print_message("     %u failures\n", failures);
	assert_true(failures > 5);
	free(before);
}

static void start_short_of_memory_loses_nothing(void **state)
{
	sweep_start(FAULT_MEMORY);
}

static void start_on_a_failing_disk_loses_nothing(void **state)
{
	sweep_start(FAULT_IO);
}

/* A file of version 1 becomes one of ours with the first change, or stays what it was. */
static void sweep_upgrade(enum fault_kind kind)
{
	char *before = snapshot(&ctl);
	unsigned failures = 0;
	bool hit = true;

	for (unsigned long nth = 1; hit; nth++) {
		enum outcome outcome;
		char *now, *disk;
		sqlite3 *db;

		ctl_fini(&ctl);
		assert_int_equal(sqlite3_open(rig_path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE;PRAGMA user_version=1", NULL, NULL, NULL),
				 SQLITE_OK);
		sqlite3_close(db);
		start();
		assert_int_equal(state_version(ctl.state), 1);
		outcome = try_apply(OPS(ADD_VLAN("9")), kind, nth, kind == FAULT_FULL, &hit);
		assert_true(state_version(ctl.state) == 2 || outcome != SUCCEEDED);
		now = snapshot(&ctl);
		disk = disk_snapshot();
		assert_agreement();
		if (outcome == SUCCEEDED || kind == FAULT_MEMORY)
			assert_string_equal(disk, now);
		failures += outcome != SUCCEEDED;
		if (outcome == REFUSED)
			assert_string_equal(now, before);
		free(disk);
		free(now);
		json_decref(result_as(&session, "apply", OPS(DEL("vlan", "9"))));
		now = snapshot(&ctl);
		assert_string_equal(now, before);
		free(now);
	}
	print_message("     %u failures\n", failures);
	assert_true(failures > 2);
	free(before);
}

static void upgrade_short_of_memory_or_disk_loses_nothing(void **state)
{
	sweep_upgrade(FAULT_MEMORY);
	sweep_upgrade(FAULT_IO);
	sweep_upgrade(FAULT_FULL);
}

static void device_that_fails_in_the_middle_leaves_nothing_on_disk(void **state)
{
	char *before = disk_snapshot(), *after;

	fake_dp.refuse_port = "bad";
	fake_dp.refuse_attr = "path";
	assert_error(call("apply", OPS(ADD_VLAN("5") "," ADD_PORT("p", "") "," ADD_PORT("bad", ",\"path\":\"/bad\""))), RPC_REFUSED,
		     "in-use", "ops[2].attrs.path");
	after = disk_snapshot();
	assert_string_equal(before, after);
	assert_agreement();
	free(before);
	free(after);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_base, teardown_base)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nth_allocation_fails),
		TEST(nth_allocation_and_all_after_it_fail),
		TEST(nth_read_write_or_sync_fails),
		TEST(nth_and_all_after_it_fail),
		TEST(disk_is_full_from_the_nth_write_on),
		TEST(start_short_of_memory_loses_nothing),
		TEST(start_on_a_failing_disk_loses_nothing),
		TEST(upgrade_short_of_memory_or_disk_loses_nothing),
		TEST(device_that_fails_in_the_middle_leaves_nothing_on_disk),
	};

	fault_rig_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

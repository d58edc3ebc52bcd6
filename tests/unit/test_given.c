/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What was given is kept, and what follows from others is not: after a restart it still follows. Files of version 1 held both alike.
 */

#include <sqlite3.h>

#include "restart_rig.h"

/* --- helpers --------------------------------------------------------------------------------------------------------------- */

static int copy_attrs(void *arg, const struct state_row *row)
{
	json_t *rows = arg;
	char name[160];

	snprintf(name, sizeof(name), "%s %s %s %llu", row->object, row->name, row->owner, (unsigned long long)row->generation);
	json_object_set_new(rows, name, json_loads(row->attrs, 0, NULL));
	return 0;
}

/* What the file says of an object, "port p me 1" with owner and generation; NULL: nothing. The daemon is down. */
static json_t *kept(const char *row)
{
	json_t *rows = json_object(), *attrs;
	struct state *s;

	assert_int_equal(state_open(&s, rig_path, rig_why, sizeof(rig_why)), 0);
	assert_int_equal(state_load(s, copy_attrs, rows), 0);
	state_close(s);
	attrs = json_incref(json_object_get(rows, row));
	json_decref(rows);
	return attrs;
}

static void assert_kept(const char *row, const char *attrs)
{
	json_t *is = kept(row), *shall = json_loads(attrs, 0, NULL);

	assert_non_null(shall);
	if (!json_equal(is, shall))
		fail_msg("%s: kept %s", row, json_dumps(is, JSON_COMPACT));
	json_decref(is);
	json_decref(shall);
}

static int file_version(void)
{
	struct state *s;
	int version;

	assert_int_equal(state_open(&s, rig_path, rig_why, sizeof(rig_why)), 0);
	version = (int)state_version(s);
	state_close(s);
	return version;
}

static void run_sql(const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(rig_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* A file as builds with version 1 left them. */
static void make_file(const struct state_row *rows, size_t n)
{
	struct state *s;

	stop_daemon();
	rig_empty();
	assert_int_equal(state_open(&s, rig_path, rig_why, sizeof(rig_why)), 0);
	assert_int_equal(state_load(s, NULL, NULL), 0);
	assert_int_equal(state_begin(s), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(state_put(s, &rows[i]), 0);
	assert_int_equal(state_commit(s, 9), 0);
	state_close(s);
	run_sql("PRAGMA user_version=1");
	start_daemon();
}

static const struct port_conf *port(const char *name)
{
	return table_find(&ctl.store.objects, &schema_port, name)->conf;
}

static const struct class_conf *class_of(const char *name)
{
	return table_find(&ctl.store.objects, &schema_class, name)->conf;
}

/* --- what is kept ------------------------------------------------------------------------------------------------------------- */

static void vlan_mode_that_followed_follows_after_a_restart(void **state)
{
	apply(OPS(ADD_VLAN("5") "," ADD_PORT("p", "") "," ADD_PORT("q", ",\"vlan\":5,\"path\":\"/q\"")), 1);
	restart();
	apply(OPS(SET("port", "p", "\"vlan\":5") "," SET("port", "q", "\"vlan\":null")), 2);
	assert_int_equal(port("p")->dp.vlan_mode, DP_VLAN_ACCESS);
	assert_int_equal(port("q")->dp.vlan_mode, DP_VLAN_TRUNK);
}

static void trunk_can_be_given_a_vlan_after_a_restart(void **state)
{
	make_trunk();
	restart();
	apply(OPS(ADD_VLAN("5") "," SET("port", "slc0", "\"vlan\":5")), 2);
	assert_int_equal(port("slc0")->dp.vlan_mode, DP_VLAN_NATIVE_TAGGED);
	restart();
	assert_int_equal(port("slc0")->dp.vlan_mode, DP_VLAN_NATIVE_TAGGED);
	assert_false(port("slc0")->vlan_mode_given);
}

static void what_was_given_is_kept_even_if_it_would_follow(void **state)
{
	apply(OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"vlan\":5,\"vlan_mode\":\"access\"") "," ADD_PORT("q", ",\"path\":\"/q\"")),
	      1);
	/* Said later it counts as well. */
	apply(OPS(SET("port", "q", "\"vlan_mode\":\"trunk\"") "," SET("class", "online", "\"pcp\":4")), 2);
	restart();
	assert_true(port("p")->vlan_mode_given && port("q")->vlan_mode_given && class_of("online")->pcp_given);
	apply(OPS(SET("class", "online", "\"pcp\":null")), 3);
	restart();
	assert_false(class_of("online")->pcp_given);
	assert_int_equal(class_of("online")->pcp, 4);
}

static void file_holds_only_what_was_given(void **state)
{
	apply(OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"vlan\":5,\"path\":\"/p\"") "," ADD_PORT(
		      "q", ",\"path\":\"/q\",\"secret\":\"s\",\"vlan_mode\":\"trunk\"")),
	      1);
	apply(OPS("{\"op\":\"add\",\"object\":\"class\",\"name\":\"gold\"}"), 2);
	stop_daemon();
	assert_kept("port p me 1", "{\"kind\":\"memif\",\"path\":\"/p\",\"vlan\":5}");
	assert_kept("port q me 1", "{\"kind\":\"memif\",\"path\":\"/q\",\"secret\":\"s\",\"vlan_mode\":\"trunk\"}");
	assert_kept("class gold me 2", "{}");
	start_daemon();
}

static void who_asks_is_told_what_follows(void **state)
{
	json_t *result, *attrs;

	apply(OPS(ADD_VLAN("5") "," ADD_PORT("p", ",\"vlan\":5")), 1);
	restart();
	result = result_as(&session, "get", "{\"object\":\"port\"}");
	attrs = json_object_get(json_array_get(json_object_get(result, "objects"), 0), "attrs");
	assert_string_equal(json_string_value(json_object_get(attrs, "vlan_mode")), "access");
	json_decref(result);
}

/* --- version 1 ----------------------------------------------------------------------------------------------------------------- */

static const struct state_row of_version_1[] = {
	{"vlan", "5", "me", 1, "{}"},
	{"port", "slc0", "", 2, "{\"kind\":\"trunk\",\"vlan_mode\":\"native-untagged\",\"vlan\":5}"},
	{"port", "access", "me", 3, "{\"kind\":\"memif\",\"path\":\"/a\",\"vlan_mode\":\"access\",\"vlan\":5}"},
	{"port", "all", "me", 4, "{\"kind\":\"memif\",\"path\":\"/b\",\"vlan_mode\":\"trunk\"}"},
	{"port", "native", "me", 5, "{\"kind\":\"memif\",\"path\":\"/c\",\"vlan_mode\":\"native-untagged\",\"vlan\":5}"},
	{"class", "online", "", 6, "{\"pcp\":4}"},
	{"class", "image", "", 7, "{\"pcp\":5}"},
};

static void make_version_1(void)
{
	make_file(of_version_1, sizeof(of_version_1) / sizeof(of_version_1[0]));
}

static void version_1_is_read_as_what_was_given(void **state)
{
	static const struct {
		const char *name;
		enum dp_vlan_mode mode;
		bool given;
	} ports[] = {
		/* What a build without classes implied; the later ones imply another. */
		{"slc0", DP_VLAN_NATIVE_TAGGED, false},
		{"access", DP_VLAN_ACCESS, false},
		{"all", DP_VLAN_TRUNK, false},
		{"native", DP_VLAN_NATIVE_UNTAGGED, true},
	};

	make_version_1();
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_int_equal(port(ports[i].name)->dp.vlan_mode, ports[i].mode);
		assert_int_equal(port(ports[i].name)->vlan_mode_given, ports[i].given);
		assert_int_equal(fake_dp.ports[fake_port_index(&fake_dp, ports[i].name)].vlan_mode, ports[i].mode);
	}
	assert_int_equal(class_of("online")->pcp, 4);
	assert_false(class_of("online")->pcp_given);
	assert_int_equal(class_of("image")->pcp, 5);
	assert_true(class_of("image")->pcp_given);
	assert_int_equal(ctl.store.generation, 9);
}

/* A trunk's other modes were never implied. */
static void trunk_of_version_1_keeps_a_mode_that_was_given(void **state)
{
	static const struct state_row rows[] = {
		{"vlan", "5", "me", 1, "{}"},
		{"port", "slc0", "", 2, "{\"kind\":\"trunk\",\"vlan_mode\":\"access\",\"vlan\":5}"},
	};

	make_file(rows, 2);
	assert_int_equal(port("slc0")->dp.vlan_mode, DP_VLAN_ACCESS);
	assert_true(port("slc0")->vlan_mode_given);
}

/* Whoever goes back to the old build before anything was changed finds its file; the first change makes a whole one of this version. */
static void version_1_stays_until_something_changes(void **state)
{
	make_version_1();
	stop_daemon();
	assert_int_equal(file_version(), 1);
	assert_kept("port all me 4", of_version_1[3].attrs);
	start_daemon();
	apply(OPS(ADD_VLAN("6")), 10);
	stop_daemon();
	assert_int_equal(file_version(), 2);
	assert_kept("port slc0  2", "{\"kind\":\"trunk\",\"vlan\":5}");
	assert_kept("port access me 3", "{\"kind\":\"memif\",\"path\":\"/a\",\"vlan\":5}");
	assert_kept("port all me 4", "{\"kind\":\"memif\",\"path\":\"/b\"}");
	assert_kept("port native me 5", of_version_1[4].attrs);
	assert_kept("class online  6", "{}");
	assert_kept("class image  7", "{\"pcp\":5}");
	assert_null(kept("class migration  0"));
	start_daemon();
	assert_int_equal(ctl.store.generation, 10);
	assert_true(port("native")->vlan_mode_given);
	assert_false(port("all")->vlan_mode_given);
	/* And it is of version 2 for good: what is given now is. */
	apply(OPS(SET("port", "all", "\"vlan_mode\":\"trunk\"") "," DEL("port", "access")), 11);
	restart();
	assert_true(port("all")->vlan_mode_given);
	assert_null(table_find(&ctl.store.objects, &schema_port, "access"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(vlan_mode_that_followed_follows_after_a_restart),
		TEST(trunk_can_be_given_a_vlan_after_a_restart),
		TEST(what_was_given_is_kept_even_if_it_would_follow),
		TEST(file_holds_only_what_was_given),
		TEST(who_asks_is_told_what_follows),
		TEST(version_1_is_read_as_what_was_given),
		TEST(trunk_of_version_1_keeps_a_mode_that_was_given),
		TEST(version_1_stays_until_something_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The state file: what is committed is there again, and what is not whole is put aside whole.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "state_rig.h"

static int setup(void **state)
{
	return rig_make();
}

static int teardown(void **state)
{
	rig_remove();
	return 0;
}

/* --- helpers --------------------------------------------------------------------------------------------------------------- */

static struct state *open_state(void)
{
	struct state *s = NULL;

	if (state_open(&s, rig_path, rig_why, sizeof(rig_why)) < 0)
		fail_msg("%s", rig_why);
	return s;
}

static void put(struct state *s, const char *name, const char *attrs, uint64_t generation)
{
	struct state_row row = {"vlan", name, "me", generation, attrs};

	assert_int_equal(state_begin(s), 0);
	assert_int_equal(state_put(s, &row), 0);
	assert_int_equal(state_commit(s, generation), 0);
}

/* Rows as text: "vlan 5 me 1 {};" for each, in the order of the file. */
static int append_row(void *arg, const struct state_row *row)
{
	char *text = arg;

	snprintf(text + strlen(text), 1024 - strlen(text), "%s %s %s %llu %s;", row->object, row->name, row->owner,
		 (unsigned long long)row->generation, row->attrs);
	return 0;
}

static void assert_rows(struct state *s, const char *expected, uint64_t generation)
{
	char text[1024] = "";

	assert_int_equal(state_load(s, append_row, text), 0);
	assert_string_equal(text, expected);
	assert_int_equal(state_generation(s), generation);
}

static int ignore_row(void *arg, const struct state_row *row)
{
	return 0;
}

/* A file with two rows, its log folded in. */
static void make_file(void)
{
	struct state *s = open_state();

	put(s, "5", "{\"name\":\"web\"}", 1);
	put(s, "6", "{}", 2);
	state_close(s);
}

static void run_sql(const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(rig_path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* The file at the path is found unfit, at the opening or at the loading, and is then aside, byte for byte, and a new one in its place. */
static void assert_put_aside(const char *word)
{
	char pattern[64], aside[256];
	size_t n_before, n_after;
	char *before = rig_read(rig_path, &n_before), *after;
	struct state *s = open_state();
	int ret;

	if (!state_aside(s)) {
		ret = state_load(s, ignore_row, NULL);
		assert_int_equal(ret, -EBADMSG);
		assert_int_equal(state_set_aside(s, false), 0);
	}
	assert_non_null(state_aside(s));
	snprintf(pattern, sizeof(pattern), "state.db.*.%s", word);
	assert_int_equal(rig_count(pattern, aside, sizeof(aside)), 1);
	assert_string_equal(aside, state_aside(s));
	after = rig_read(aside, &n_after);
	assert_int_equal(n_before, n_after);
	assert_memory_equal(before, after, n_after);
	free(before);
	free(after);
	/* And the new one works. */
	assert_rows(s, "", 0);
	put(s, "7", "{}", 1);
	state_close(s);
	s = open_state();
	assert_null(state_aside(s));
	assert_rows(s, "vlan 7 me 1 {};", 1);
	state_close(s);
}

/* --- what is kept ------------------------------------------------------------------------------------------------------------- */

static void committed_rows_are_there_again(void **state)
{
	struct state_row gone = {.object = "vlan", .name = "5"}, absent = {.object = "vlan", .name = "77"};
	struct state *s = open_state();

	assert_rows(s, "", 0);
	put(s, "5", "{\"name\":\"web\"}", 1);
	put(s, "6", "{}", 2);
	put(s, "5", "{\"name\":\"db\"}", 3);
	state_close(s);
	s = open_state();
	assert_rows(s, "vlan 5 me 3 {\"name\":\"db\"};vlan 6 me 2 {};", 3);
	assert_int_equal(state_begin(s), 0);
	assert_int_equal(state_del(s, &gone), 0);
	assert_int_equal(state_del(s, &absent), 0);
	assert_int_equal(state_commit(s, 4), 0);
	state_close(s);
	s = open_state();
	assert_rows(s, "vlan 6 me 2 {};", 4);
	state_close(s);
}

static void transaction_that_is_rolled_back_was_never_there(void **state)
{
	struct state_row row = {"vlan", "9", "me", 3, "{}"};
	struct state *s;

	make_file();
	s = open_state();
	assert_rows(s, "vlan 5 me 1 {\"name\":\"web\"};vlan 6 me 2 {};", 2);
	assert_int_equal(state_begin(s), 0);
	assert_int_equal(state_put(s, &row), 0);
	state_rollback(s);
	state_rollback(s);
	put(s, "7", "{}", 3);
	state_close(s);
	s = open_state();
	assert_rows(s, "vlan 5 me 1 {\"name\":\"web\"};vlan 6 me 2 {};vlan 7 me 3 {};", 3);
	state_close(s);
}

static void process_that_dies_leaves_what_it_committed(void **state)
{
	struct state *s;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		s = open_state();
		put(s, "5", "{}", 1);
		state_begin(s);
		state_put(s, &(struct state_row){"vlan", "6", "me", 2, "{}"});
		/* No close, no rollback. */
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	s = open_state();
	assert_rows(s, "vlan 5 me 1 {};", 1);
	state_close(s);
}

static void file_and_log_are_readable_by_their_owner_only(void **state)
{
	struct state *s = open_state();
	struct stat st;
	char wal[128];

	put(s, "5", "{}", 1);
	assert_int_equal(stat(rig_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(wal, sizeof(wal), "%s-wal", rig_path);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* No shared memory that could fault. */
	assert_int_equal(rig_count("*-shm", NULL, 0), 0);
	state_close(s);
}

static void directories_are_made(void **state)
{
	char deep[160], dir[128];
	struct state *s = NULL;

	snprintf(dir, sizeof(dir), "%s/a", rig_dir);
	snprintf(deep, sizeof(deep), "%s/state.db", dir);
	assert_int_equal(state_open(&s, deep, rig_why, sizeof(rig_why)), 0);
	state_close(s);
	assert_int_equal(unlink(deep), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* --- what is refused ------------------------------------------------------------------------------------------------------------ */

static void second_daemon_on_the_file_is_refused_and_harms_nothing(void **state)
{
	struct state *s = open_state(), *other = NULL;
	char why[256] = "";
	int status;
	pid_t pid;

	put(s, "5", "{}", 1);
	/* Another process: POSIX locks do not keep a process from itself. */
	pid = fork();
	if (pid == 0)
		_exit(state_open(&other, rig_path, why, sizeof(why)) == -EBUSY && strstr(why, "another sluiced") ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	put(s, "6", "{}", 2);
	state_close(s);
	s = open_state();
	assert_rows(s, "vlan 5 me 1 {};vlan 6 me 2 {};", 2);
	assert_int_equal(rig_count("*.damaged", NULL, 0), 0);
	state_close(s);
}

static void path_that_cannot_be_a_file_is_an_error_not_a_new_start(void **state)
{
	struct state *s = NULL;
	char path[400];

	assert_true(state_open(&s, rig_dir, rig_why, sizeof(rig_why)) < 0);
	assert_non_null(strstr(rig_why, rig_dir));
	assert_true(state_open(&s, "/proc/nobody/state.db", rig_why, sizeof(rig_why)) < 0);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(state_open(&s, path, rig_why, sizeof(rig_why)), -ENAMETOOLONG);
	assert_null(s);
}

/* --- what is put aside ---------------------------------------------------------------------------------------------------------- */

static void text_in_its_place_is_put_aside(void **state)
{
	rig_write(rig_path, "not a database, but longer than the sixteen bytes of its magic", 62);
	assert_put_aside("damaged");
}

static void cut_file_is_put_aside(void **state)
{
	size_t n;
	char *data;

	make_file();
	data = rig_read(rig_path, &n);
	rig_write(rig_path, data, n - 4096);
	free(data);
	assert_put_aside("damaged");
}

static void overwritten_page_is_put_aside(void **state)
{
	size_t n;
	char *data;

	make_file();
	data = rig_read(rig_path, &n);
	assert_true(n >= 3 * 4096);
	memset(data + 4096, 0xa5, 4096);
	rig_write(rig_path, data, n);
	free(data);
	assert_put_aside("damaged");
}

/* Every single byte of the rows' text, changed so that it is still text: SQLite finds nothing wrong with that. */
static void altered_byte_of_a_row_is_found(void **state)
{
	size_t n, at;
	char *data, *row;

	make_file();
	data = rig_read(rig_path, &n);
	row = memmem(data, n, "{\"name\":\"web\"}", 14);
	assert_non_null(row);
	for (at = 0; at < 14; at++) {
		row[at] ^= 1;
		rig_write(rig_path, data, n);
		row[at] ^= 1;
		assert_put_aside("damaged");
		rig_empty();
	}
	free(data);
}

static void lost_and_invented_rows_are_found(void **state)
{
	static const char *const harm[] = {
		"DELETE FROM object WHERE name='5'",
		"INSERT INTO object SELECT object,'8',owner,generation,attrs,sum FROM object WHERE name='5'",
		"UPDATE object SET generation=1 WHERE name='6'",
		"UPDATE object SET owner='you'",
		"UPDATE meta SET generation=1",
		"UPDATE meta SET rows=7",
		"DELETE FROM meta",
	};

	for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
		make_file();
		run_sql(harm[i]);
		assert_put_aside("damaged");
		rig_empty();
	}
}

static void other_tables_are_not_ours(void **state)
{
	static const char *const harm[] = {
		"CREATE TABLE more(x)",
		"CREATE INDEX i ON object(owner)",
		"CREATE TRIGGER t AFTER INSERT ON object BEGIN DELETE FROM object; END",
		"CREATE VIEW v AS SELECT 1",
		"DROP TABLE meta",
		"ALTER TABLE object ADD COLUMN more TEXT",
		"PRAGMA user_version=0",
	};

	for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
		make_file();
		run_sql(harm[i]);
		assert_put_aside("damaged");
		rig_empty();
	}
}

static void later_version_is_kept_for_its_daemon(void **state)
{
	make_file();
	run_sql("PRAGMA user_version=3");
	assert_put_aside("future");
}

static void other_programs_database_is_kept_for_it(void **state)
{
	run_sql("CREATE TABLE t(x);INSERT INTO t VALUES(1)");
	assert_put_aside("foreign");
}

static void log_goes_with_its_file(void **state)
{
	char aside[256], wal[300];
	size_t n;
	char *log;
	struct state *s;
	pid_t pid = fork();

	/* A log that holds rows, and a file that is not to be had any more. */
	if (pid == 0) {
		s = open_state();
		put(s, "5", "{}", 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(wal, sizeof(wal), "%s-wal", rig_path);
	log = rig_read(wal, &n);
	assert_non_null(log);
	assert_true(n > 4096);
	rig_write(rig_path, "", 0);
	s = open_state();
	assert_non_null(state_aside(s));
	assert_rows(s, "", 0);
	put(s, "6", "{}", 1);
	state_close(s);
	free(log);
	assert_int_equal(rig_count("*.damaged", NULL, 0), 1);
	assert_int_equal(rig_count("*.damaged-wal", aside, sizeof(aside)), 1);
	log = rig_read(aside, &n);
	assert_true(n > 4096);
	free(log);
	s = open_state();
	assert_rows(s, "vlan 6 me 1 {};", 1);
	state_close(s);
}

static void several_at_one_time_have_names_of_their_own(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		rig_write(rig_path, "nothing that SQLite would take for a database of its own", 56);
		state_close(open_state());
	}
	assert_int_equal(rig_count("*.damaged*", NULL, 0), 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(committed_rows_are_there_again),
		TEST(transaction_that_is_rolled_back_was_never_there),
		TEST(process_that_dies_leaves_what_it_committed),
		TEST(file_and_log_are_readable_by_their_owner_only),
		TEST(directories_are_made),
		TEST(second_daemon_on_the_file_is_refused_and_harms_nothing),
		TEST(path_that_cannot_be_a_file_is_an_error_not_a_new_start),
		TEST(text_in_its_place_is_put_aside),
		TEST(cut_file_is_put_aside),
		TEST(overwritten_page_is_put_aside),
		TEST(altered_byte_of_a_row_is_found),
		TEST(lost_and_invented_rows_are_found),
		TEST(other_tables_are_not_ours),
		TEST(later_version_is_kept_for_its_daemon),
		TEST(other_programs_database_is_kept_for_it),
		TEST(log_goes_with_its_file),
		TEST(several_at_one_time_have_names_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

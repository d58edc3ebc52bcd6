/* SPDX-License-Identifier: Apache-2.0 */

/* sluicectl against a daemon that says what the test wrote down: what the real one does only in bad times, or at no time that a test can choose. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl_run.h"
#include "fake_server.h"

static char dir[32], path[64], file[64];
static struct fake_server server;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sluice-fake-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	setenv("TZ", "UTC", 1);
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return rmdir(dir);
}

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

#define PLAY(...) assert_true(fake_start(&server, path, (const char *const[]){FAKE_HELLO, __VA_ARGS__, NULL}))
#define RUN(...)  run_words((const char *const[]){"-s", path, __VA_ARGS__, NULL})
#define ENDED()	  assert_true(fake_stop(&server))

/* --- waiting until it is in force ---------------------------------------------------------------------------------------------- */

static void a_write_waits_until_it_is_in_force(void **state)
{
	PLAY("<\"method\":\"apply\",\"params\":{\"ops\":[{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\",\"attrs\":{}}]}}",
	     FAKE_OK("{\"generation\":7,\"applied\":6,\"changes\":1}"),
	     "<\"method\":\"wait\",\"params\":{\"generation\":7,\"timeout_ms\":", FAKE_OK("{\"generation\":8,\"applied\":8}"), "|");
	assert_done(RUN("-j", "vlan", "add", "100"));
	assert_string_equal(out, "{\"generation\":7,\"applied\":8,\"changes\":1}\n");
	ENDED();
	PLAY("<apply", FAKE_OK("{\"generation\":7,\"applied\":7,\"changes\":0}"), "|");
	assert_done(RUN("vlan", "add", "100"));
	assert_string_equal(out, "");
	ENDED();
}

static void not_in_force_in_time_is_exit_65_and_says_why(void **state)
{
	PLAY("<apply", FAKE_OK("{\"generation\":7,\"applied\":6,\"changes\":1}"), "<wait",
	     FAKE_ERROR(-32000, "timeout", "", "generation 7: not applied yet", ""),
	     "<\"method\":\"get\",\"params\":{\"limit\":1000}",
	     FAKE_OK("{\"generation\":7,\"applied\":6,\"objects\":[{\"object\":\"port\",\"name\":\"ok\",\"error\":null},{"
		     "\"object\":\"port\","
		     "\"name\":\"vm1\",\"error\":{\"name\":\"no-device\",\"message\":\"ifname v9: no such netdev\",\"hint\":\"make "
		     "it\"}}],"
		     "\"cursor\":null}"),
	     "|");
	assert_int_equal(RUN("-T", "0.5", "-j", "port", "add", "vm1", "kind=af-packet", "ifname=v9"), CLI_NOT_APPLIED);
	assert_string_equal(out, "{\"generation\":7,\"applied\":6,\"changes\":1}\n");
	assert_string_equal(err, "sluicectl: port add: accepted as generation 7, and not yet in force (applied: 6)\n"
				 "sluicectl: port vm1: ifname v9: no such netdev (make it)\n");
	ENDED();
}

static void a_daemon_that_goes_during_the_wait_is_exit_3(void **state)
{
	PLAY("<apply", FAKE_OK("{\"generation\":7,\"applied\":6,\"changes\":1}"), "<wait");
	assert_int_equal(RUN("vlan", "add", "100"), CLI_NO_DAEMON);
	assert_has(err, "accepted as generation 7; whether it is in force is not known:\n");
	assert_has(err, "the daemon closed the connection\n");
	ENDED();
}

/* --- plans ----------------------------------------------------------------------------------------------------------------------- */

#define PLAN                                                                                                                    \
	"{\"generation\":3,\"applied\":3,\"changes\":4,\"plan\":["                                                              \
	"{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\",\"attrs\":{\"name\":\"it's a web\",\"aging_s\":90}},"             \
	"{\"op\":\"set\",\"object\":\"port\",\"name\":\"vm1\",\"attrs\":{\"in_bps\":1500000000,\"mac\":null,\"ips\":[\"10.0.0." \
	"1\","                                                                                                                  \
	"\"fd00::/64\"],\"trunks\":[1,\"5-9\"]}},"                                                                              \
	"{\"op\":\"set\",\"object\":\"robot\",\"name\":\"r\",\"attrs\":{\"arms\":[2,{\"left\":true}]}},"                        \
	"{\"op\":\"del\",\"object\":\"port\",\"name\":\"old\"}]}"

static void a_plan_is_commands(void **state)
{
	PLAY("<\"dry_run\":true", FAKE_OK(PLAN), "|");
	assert_done(RUN("-n", "vlan", "add", "100"));
	assert_string_equal(out, "vlan add 100 name='it'\"'\"'s a web' aging-s=90s\n"
				 "port set vm1 in-bps=1500mbit mac= ips=10.0.0.1,fd00::/64 trunks=1,5-9\n"
				 "robot set r arms='[2,{\"left\":true}]'\n"
				 "port del old\n"
				 "# would change 4\n");
	ENDED();
	PLAY("<\"dry_run\":true", FAKE_OK(PLAN), "|");
	assert_done(RUN("-j", "-n", "vlan", "add", "100"));
	assert_string_equal(out, PLAN "\n");
	ENDED();
	PLAY("<\"dry_run\":true", FAKE_OK(PLAN), "|");
	assert_done(RUN("-c", "always", "-n", "vlan", "add", "100"));
	assert_has(out, "\033[32mvlan add 100");
	assert_has(out, "\033[31mport del old\033[0m\n");
	ENDED();
}

static void a_plan_can_be_given_back_as_a_batch(void **state)
{
	char *mark;

	PLAY("<\"dry_run\":true", FAKE_OK(PLAN), "|");
	assert_done(RUN("-n", "vlan", "add", "100"));
	ENDED();
	/* All but the object that this tool does not know. */
	mark = strstr(out, "robot");
	memset(mark, '#', strchr(mark, '\n') - mark);
	write_file(out);
	PLAY(("<{\"ops\":[{\"op\":\"add\",\"object\":\"vlan\",\"name\":\"100\",\"attrs\":{\"name\":\"it's a "
	      "web\",\"aging_s\":90}},{\"op\":\"set\",\"object\":\"port\",\"name\":\"vm1\",\"attrs\":{\"in_bps\":1500000000,"
	      "\"mac\":"
	      "null,\"ips\":["
	      "\"10.0.0.1\",\"fd00::/64\"],\"trunks\":[1,\"5-9\"]}},{\"op\":\"del\",\"object\":\"port\",\"name\":\"old\"}]}"),
	     FAKE_OK("{\"generation\":4,\"applied\":4,\"changes\":3}"), "|");
	assert_done(RUN("-b", file));
	ENDED();
}

/* --- force, owner ---------------------------------------------------------------------------------------------------------------- */

static void force_and_owner_are_passed_on(void **state)
{
	assert_true(fake_start(&server, path,
			       (const char *const[]){"<\"client\":\"cap\"", FAKE_OK("{}"), "<\"force\":true",
						     FAKE_OK("{\"generation\":4,\"applied\":4,\"changes\":1}"), "|", NULL}));
	assert_done(RUN("--owner", "cap", "--force", "vlan", "del", "100"));
	ENDED();
	PLAY("<apply", FAKE_ERROR(-32000, "owned", "ops[0].name", "vlan 100: belongs to cap", "force takes it"), "|");
	assert_int_equal(RUN("vlan", "del", "100"), CLI_REFUSED);
	assert_string_equal(err, "sluicectl: vlan del: vlan 100: belongs to cap\nsluicectl: hint: force takes it\n");
	ENDED();
	assert_int_equal(RUN("--owner", "a/b", "vlan", "del", "1"), CLI_USAGE);
}

/* --- batches line by line --------------------------------------------------------------------------------------------------------- */

static void without_atomic_each_line_stands_for_itself(void **state)
{
	write_file("vlan add 1\n\nvlan add 5000\nnonsense\nvlan add 2\n");
	PLAY("<\"name\":\"1\"", FAKE_OK("{\"generation\":4,\"applied\":4,\"changes\":1}"), "<\"name\":\"5000\"",
	     FAKE_ERROR(-32602, "out-of-range", "ops[0].name", "vlan 5000: out of range (1-4094)", ""), "<\"name\":\"2\"",
	     FAKE_OK("{\"generation\":5,\"applied\":5,\"changes\":1}"), "|");
	assert_int_equal(RUN("--no-atomic", "-b", file), CLI_USAGE);
	assert_has(err, "f:4: nonsense: a batch takes");
	assert_has(err, "f:3: vlan 5000: out of range (1-4094)\n");
	ENDED();

	write_file("vlan add 1\nvlan add 2\n");
	PLAY("<\"name\":\"1\"", FAKE_OK("{\"generation\":4,\"applied\":3,\"changes\":1}"), "<\"name\":\"2\"",
	     FAKE_OK("{\"generation\":5,\"applied\":4,\"changes\":1}"), "<\"generation\":5",
	     FAKE_OK("{\"generation\":5,\"applied\":5}"), "|");
	assert_done(RUN("-j", "--no-atomic", "-b", file));
	assert_string_equal(out, "{\"generation\":5,\"applied\":5,\"changes\":2}\n");
	ENDED();

	/* A daemon that is gone is no line's fault: nothing more is tried. */
	PLAY("<\"name\":\"1\"");
	assert_int_equal(RUN("--no-atomic", "-b", file), CLI_NO_DAEMON);
	assert_has(err, "f:1: ");
	assert_null(strstr(err, "f:2: "));
	ENDED();
	assert_int_equal(RUN("--no-atomic", "vlan", "add", "1"), CLI_USAGE);
	assert_int_equal(RUN("-n", "--no-atomic", "-b", file), CLI_USAGE);
}

/* --- export, apply, diff ----------------------------------------------------------------------------------------------------------- */

#define PAGE_1                                                                                                             \
	"{\"generation\":3,\"applied\":3,\"objects\":[{\"object\":\"vlan\",\"name\":\"100\",\"owner\":\"a\",\"attrs\":{}," \
	"\"state\":{\"macs\":0},\"error\":null}],\"cursor\":\"vlan/100\"}"
#define PAGE_2(generation)                                                                                                         \
	"{\"generation\":" generation ",\"applied\":3,\"objects\":[{\"object\":\"port\",\"name\":\"p\",\"owner\":\"b\",\"attrs\":" \
	"{\"kind\":\"memif\",\"secret\":\"hush\"},\"state\":{},\"error\":null}],\"cursor\":null}"
#define EXPORT                                                                                                                  \
	"{\"objects\":[\n{\"object\":\"vlan\",\"name\":\"100\",\"attrs\":{}},\n{\"object\":\"port\",\"name\":\"p\",\"attrs\":{" \
	"\"kind\":\"memif\",\"secret\":\"hush\"}}\n]}\n"

static void an_export_is_of_one_generation(void **state)
{
	PLAY("<\"method\":\"get\",\"params\":{\"limit\":1000}", FAKE_OK(PAGE_1), "<\"cursor\":\"vlan/100\"", FAKE_OK(PAGE_2("4")),
	     "<\"params\":{\"limit\":1000}", FAKE_OK(PAGE_1), "<\"cursor\":\"vlan/100\"", FAKE_OK(PAGE_2("3")), "|");
	assert_done(RUN("export"));
	assert_string_equal(out, EXPORT);
	ENDED();
	PLAY("<get", FAKE_OK(PAGE_1), "<get", FAKE_OK(PAGE_2("3")), "|");
	assert_done(RUN("-j", "export", "owner=b"));
	assert_string_equal(
		out, "{\"objects\":[{\"object\":\"port\",\"name\":\"p\",\"attrs\":{\"kind\":\"memif\",\"secret\":\"hush\"}}]}\n");
	ENDED();
	PLAY("<get", FAKE_ERROR(-32000, "no-memory", "", "out of memory", ""), "|");
	assert_int_equal(RUN("export"), CLI_REFUSED);
	assert_string_equal(out, "");
	ENDED();
	assert_int_equal(RUN("export", "x=b"), CLI_USAGE);
}

static void apply_replaces_and_diff_only_looks(void **state)
{
	write_file(EXPORT);
	PLAY("<\"params\":{\"replace\":{\"objects\":[{\"object\":\"vlan\",\"name\":\"100\",\"attrs\":{}},{\"object\":\"port\"",
	     FAKE_OK("{\"generation\":4,\"applied\":4,\"changes\":0}"), "|");
	assert_done(RUN("apply", file));
	assert_string_equal(out, "");
	ENDED();
	PLAY("<\"secret\":\"hush\"}}]},\"dry_run\":true}", FAKE_OK("{\"generation\":4,\"applied\":4,\"changes\":0,\"plan\":[]}"),
	     "|");
	assert_done(RUN("diff", file));
	assert_string_equal(out, "# would change 0\n");
	ENDED();
	PLAY("<replace",
	     FAKE_ERROR(-32602, "out-of-range", "replace.objects[1].attrs.vlan", "vlan 4095: out of range (1-4094)", ""), "|");
	assert_int_equal(RUN("apply", file), CLI_REFUSED);
	assert_has(err, "f: port p: vlan 4095: out of range (1-4094)\n");
	ENDED();
}

static void a_file_that_is_no_export_is_not_sent(void **state)
{
	static const char *const bad[][2] = {
		{"", "not JSON: line 1"},
		{"{\"objects\":[}", "not JSON: line 1"},
		{"[]", "must be {\"objects\": [...]}"},
		{"{}", "must be"},
		{"{\"objects\":{}}", "must be"},
		{"{\"objects\":[],\"more\":1}", "must be"},
		{"{\"objects\":[],\"objects\":[]}", "duplicate"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i][0]);
		assert_int_equal(RUN("apply", file), CLI_USAGE);
		assert_has(err, bad[i][1]);
	}
	assert_int_equal(RUN("diff", "/none/such"), CLI_USAGE);
	assert_int_equal(RUN("apply"), CLI_USAGE);
}

/* --- monitor ---------------------------------------------------------------------------------------------------------------------- */

static void monitor_prints_a_line_an_event_until_the_daemon_goes(void **state)
{
	PLAY(("<\"method\":\"watch\",\"params\":{\"snapshot\":false,\"objects\":[\"port\",\"vlan\"],\"events\":[\"port.link\","
	      "\"fdb\"]}"),
	     FAKE_OK("{\"generation\":3}"), FAKE_EVENT("{\"type\":\"port.link\",\"state\":\"up\"}"),
	     FAKE_EVENT("{ \"type\":\"resync\"}"));
	assert_int_equal(RUN("monitor", "port", "port.link", "vlan", "fdb.", "fdb.*", "port"), CLI_NO_DAEMON);
	assert_string_equal(out, "{\"type\":\"port.link\",\"state\":\"up\"}\n{ \"type\":\"resync\"}\n");
	assert_has(err, "sluicectl: monitor: ");
	assert_has(err, "the daemon closed the connection\n");
	ENDED();
}

static void monitor_tells_the_time_and_the_state_at_the_start(void **state)
{
	PLAY("<\"snapshot\":true}", FAKE_OK("{\"generation\":3,\"objects\":[]}"),
	     FAKE_EVENT("{\"type\":\"generation\",\"time_us\":1764009901123456}"), FAKE_EVENT("{\"type\":\"generation\"}"), "|");
	assert_int_equal(RUN("-T", "0.3", "monitor", "-t", "--snapshot"), CLI_TIMEOUT);
	assert_string_equal(out, "{\"generation\":3,\"objects\":[]}\n"
				 "2025-11-24 18:45:01.123456 {\"type\":\"generation\",\"time_us\":1764009901123456}\n"
				 "-.000000 {\"type\":\"generation\"}\n");
	ENDED();
}

static void monitor_can_follow_one_object(void **state)
{
	PLAY("<\"objects\":[\"port\"]}", FAKE_OK("{}"), FAKE_EVENT("{\"object\":\"port\",\"name\":\"vm1\"}"),
	     FAKE_EVENT("{\"object\":\"port\",\"name\":\"vm2\"}"), FAKE_EVENT("{\"type\":\"generation\"}"),
	     FAKE_EVENT("{\"type\":\"resync\"}"));
	assert_int_equal(RUN("monitor", "port/vm1"), CLI_NO_DAEMON);
	assert_string_equal(out, "{\"object\":\"port\",\"name\":\"vm1\"}\n{\"type\":\"resync\"}\n");
	ENDED();
	assert_int_equal(RUN("monitor", "soup"), CLI_USAGE);
	assert_int_equal(RUN("monitor", "soup/vm1"), CLI_USAGE);
	assert_int_equal(RUN("monitor", "port/a/b"), CLI_USAGE);
	assert_int_equal(RUN("monitor", "port.soup"), CLI_USAGE);
	assert_has(err, "sluicectl: monitor: port.soup: not -t, --snapshot, an object");
}

static void a_daemon_that_talks_nonsense_is_not_believed(void **state)
{
	PLAY("<get", ">hello", "|");
	assert_int_equal(RUN("node", "show"), CLI_USAGE);
	assert_has(err, "sluicectl: node show: what the daemon sent is not JSON");
	assert_string_equal(out, "");
	ENDED();
	PLAY("<get", FAKE_OK("[]"), "|");
	assert_done(RUN("port", "show"));
	ENDED();
	PLAY("<get", FAKE_OK("{\"objects\":[{\"object\":7,\"name\":null,\"attrs\":5,\"error\":\"x\"}]}"), "|");
	assert_done(RUN("port", "show"));
	ENDED();
	PLAY("<apply", FAKE_OK("{\"plan\":{\"a\":[]},\"changes\":\"x\"}"), "|");
	assert_done(RUN("-n", "vlan", "add", "1"));
	ENDED();
	PLAY("<get", FAKE_OK("{\"objects\":[{\"object\":\"port\",\"name\":\"a\\u001b[2Jb\"}]}"), "|");
	assert_done(RUN("port", "show"));
	assert_null(strchr(out, '\033'));
	ENDED();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_waits_until_it_is_in_force),
		TEST(not_in_force_in_time_is_exit_65_and_says_why),
		TEST(a_daemon_that_goes_during_the_wait_is_exit_3),
		TEST(a_plan_is_commands),
		TEST(a_plan_can_be_given_back_as_a_batch),
		TEST(force_and_owner_are_passed_on),
		TEST(without_atomic_each_line_stands_for_itself),
		TEST(an_export_is_of_one_generation),
		TEST(apply_replaces_and_diff_only_looks),
		TEST(a_file_that_is_no_export_is_not_sent),
		TEST(monitor_prints_a_line_an_event_until_the_daemon_goes),
		TEST(monitor_tells_the_time_and_the_state_at_the_start),
		TEST(monitor_can_follow_one_object),
		TEST(a_daemon_that_talks_nonsense_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

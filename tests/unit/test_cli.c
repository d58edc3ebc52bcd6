/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sluicectl as it is run: words in, text, JSON and exit code out. The daemon is a child of this process, with a switch that is not
 * there; each command is another.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl_daemon.h"

#include "ctl_run.h" /* last: its `out` and `err` are short names */

static char batch_path[64];

static int setup(void **state)
{
	daemon_start();
	snprintf(batch_path, sizeof(batch_path), "%s/batch", dir);
	return 0;
}

static int teardown(void **state)
{
	daemon_stop();
	unlink(batch_path);
	return rmdir(dir);
}

#define RUN(...) run_words((const char *const[]){"-s", socket_path_c, __VA_ARGS__, NULL})

static json_t *out_json(void)
{
	json_error_t where;
	json_t *v = json_loads(out, JSON_REJECT_DUPLICATES, &where);

	if (!v)
		fail_msg("%s: %s", where.text, out);
	return v;
}

static void write_batch(const char *text)
{
	FILE *f = fopen(batch_path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* --- doing ---------------------------------------------------------------------------------------------------------------------- */

static void objects_are_added_changed_shown_and_deleted(void **state)
{
	assert_done(RUN("vlan", "add", "100", "name=web"));
	assert_done(RUN("port", "add", "vm1", "kind=memif", "path=/run/m", "vlan=100", "in-bps=100mbit", "ips=10.0.0.1,fd00::1"));
	assert_string_equal(out, "");
	assert_done(RUN("port", "set", "vm1", "in_bps=1.5gbit", "mac=02:00:00:00:00:01"));
	assert_done(RUN("port", "show"));
	assert_has(out, "NAME  KIND   LINK  MODE    VLAN  TRUNKS   MTU  MACS        IN  OUT  OWNER\n"
			"vm1   memif  up    access   100  -       1500     3  1500mbit    -  sluicectl\n");
	assert_done(RUN("port", "show", "vm1"));
	assert_has(out, "port vm1 (owner sluicectl)\n");
	assert_has(out, "ips              10.0.0.1,fd00::1\n");
	assert_null(strstr(out, "out-bps"));
	assert_done(RUN("port", "set", "vm1", "in-bps="));
	assert_done(RUN("port", "show", "vm1"));
	assert_null(strstr(out, "in-bps"));
	assert_done(RUN("port", "del", "vm1"));
	assert_done(RUN("port", "del", "vm1"));
	assert_done(RUN("-j", "port", "show"));
	assert_has(out, "\"objects\":[]");
}

static void json_is_the_result_of_the_socket(void **state)
{
	json_t *doc, *attrs;

	assert_done(RUN("-j", "port", "add", "vm1", "kind=memif", "trunks=100,200-210"));
	doc = out_json();
	assert_int_equal(json_integer_value(json_object_get(doc, "generation")), 1);
	assert_int_equal(json_integer_value(json_object_get(doc, "changes")), 1);
	json_decref(doc);
	assert_done(RUN("-p", "port", "show", "vm1"));
	doc = out_json();
	attrs = json_object_get(json_array_get(json_object_get(doc, "objects"), 0), "attrs");
	assert_int_equal(json_array_size(json_object_get(attrs, "trunks")), 2);
	/* Every attribute is there, so that a program need not know the defaults. */
	assert_non_null(json_object_get(attrs, "out_burst_bytes"));
	json_decref(doc);
	assert_done(RUN("-j", "raw", "get", "{\"object\":\"port\",\"name\":\"vm1\"}"));
	json_decref(out_json());
	assert_done(RUN("-j", "stats"));
	doc = out_json();
	assert_int_equal(json_array_size(json_object_get(doc, "stats")), 4);
	json_decref(doc);
}

static void the_fdb_comes_as_one_table_or_document(void **state)
{
	json_t *doc;
	size_t lines = 0;

	assert_done(RUN("-j", "fdb", "show"));
	assert_has(out, "{\"entries\":[{\"vlan\":100,");
	assert_done(RUN("-p", "fdb", "show", "mac=02:00:00:00:00:07"));
	doc = out_json();
	assert_int_equal(json_array_size(json_object_get(doc, "entries")), 1);
	json_decref(doc);
	assert_done(RUN("fdb", "show", "mac=02:00:00:00:00:07"));
	for (const char *p = out; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 2);
	assert_has(out, " 100  02:00:00:00:00:07  learned     1s  m1\n");
	assert_int_equal(RUN("fdb", "show", "port=none"), CLI_REFUSED);
	assert_string_equal(out, "");
	assert_int_equal(RUN("-j", "fdb", "show", "port=none"), CLI_REFUSED);
	assert_string_equal(out, "");
}

static void counters_are_shown_with_the_reasons_of_drops(void **state)
{
	assert_done(RUN("port", "add", "vm1", "kind=memif"));
	assert_done(RUN("stats", "port", "vm1"));
	assert_has(out, "rx frames              10\n");
	assert_has(out, "runt                 2\n");
	assert_done(RUN("stats", "port"));
	assert_has(out, "PORT  RX-FRAMES");
	assert_done(RUN("stats", "worker"));
	assert_has(out, "WORKER  CORE");
	assert_done(RUN("stats"));
	assert_has(out, "node node");
}

static void the_node_is_shown(void **state)
{
	assert_done(RUN("node", "show"));
	assert_has(out, "a test");
	assert_has(out, "vhost-user    no\n");
	assert_has(out, "    0     0       1  25.0%  100.0%         10.0\n");
}

static void a_dry_run_changes_nothing(void **state)
{
	assert_done(RUN("-n", "port", "add", "vm1", "kind=memif"));
	assert_has(out, "# would change 1\n");
	assert_int_equal(RUN("-n", "port", "add", "vm1", "kind=memif", "vlan=5", "vlan-mode=trunk"), CLI_REFUSED);
	assert_done(RUN("-j", "port", "show"));
	assert_has(out, "\"objects\":[]");
	assert_int_equal(RUN("-n", "port", "show"), CLI_USAGE);
	assert_int_equal(RUN("-n", "stats"), CLI_USAGE);
}

static void a_batch_is_one_transaction(void **state)
{
	write_batch("# a node\nvlan add 100 name='front end' # with a blank\n\n"
		    "port add a kind=memif path=\"/run/a b\" vlan=100\nport add b kind=memif vlan=4095\n");
	assert_int_equal(RUN("-b", batch_path), CLI_REFUSED);
	assert_has(err, "batch:5: vlan 4095: out of range (1-4094)\n");
	assert_done(RUN("-j", "raw", "get"));
	assert_has(out, "\"generation\":0");
	write_batch("vlan add 100 name='front end'\nport add a kind=memif path=\"/run/a b\" vlan=100\nport set a in-bps=5\n");
	assert_done(RUN("-b", batch_path));
	assert_done(RUN("-j", "port", "show"));
	assert_has(out, "\"generation\":1,");
	assert_has(out, "\"/run/a b\"");
	write_batch("port show\n");
	assert_int_equal(RUN("-b", batch_path), CLI_USAGE);
	write_batch("vlan add 5\nport add b path='/open\n");
	assert_int_equal(RUN("-b", batch_path), CLI_USAGE);
	assert_has(err, "batch:2: an open quote");
	assert_int_equal(RUN("-b", "/none/such"), CLI_USAGE);
	assert_int_equal(RUN("-b", batch_path, "port", "show"), CLI_USAGE);
}

/* --- failing -------------------------------------------------------------------------------------------------------------------- */

static void errors_say_what_which_value_and_what_is_valid(void **state)
{
	assert_int_equal(RUN("port", "add", "vm1", "kind=memif", "vlan=4095"), CLI_REFUSED);
	assert_string_equal(err, "sluicectl: port add: vlan 4095: out of range (1-4094)\n");
	assert_int_equal(RUN("vlan", "add", "5000"), CLI_REFUSED);
	assert_string_equal(err, "sluicectl: vlan add: vlan 5000: out of range (1-4094)\n");
	assert_int_equal(RUN("port", "show", "vm1"), CLI_REFUSED);
	assert_string_equal(err, "sluicectl: port show: port vm1: not found\n");
	assert_int_equal(RUN("port", "add", "vm1", "kind=memif", "vlan-mode=bridge"), CLI_REFUSED);
	assert_has(err, "vlan_mode bridge: not one of access, trunk, native-tagged, native-untagged, dot1q-tunnel\n");
}

static void what_cannot_be_sent_is_usage(void **state)
{
	static const struct {
		const char *words[6];
		const char *says;
	} bad[] = {
		{{NULL}, "needs an object"},
		{{"soup", "show"}, "sluicectl: soup: unknown object"},
		{{"port"}, "sluicectl: port: needs a verb: add, set, del, show"},
		{{"port", "mend"}, "sluicectl: port mend: unknown verb"},
		{{"node", "add", "x"}, "sluicectl: node add: unknown verb, not one of show"},
		{{"port", "add"}, "sluicectl: port add: needs a name"},
		{{"port", "add", "kind=memif"}, "needs a name"},
		{{"port", "add", "p", "memif"}, "sluicectl: port add: memif: not of the form key=value"},
		{{"port", "add", "p", "vlaan=5"}, "sluicectl: port add: vlaan: unknown attribute"},
		{{"port", "add", "p", "vlan=5", "vlan=6"}, "vlan=6: given twice"},
		{{"port", "add", "p", "vlan-mode=trunk", "vlan_mode=trunk"}, "given twice"},
		{{"port", "add", "p", "vlan=abc"}, "sluicectl: port add: vlan abc: not a number"},
		{{"port", "add", "p", "in-bps=100bps"}, "in_bps 100bps: not a number of bit/s"},
		{{"port", "add", "p", "isolated=maybe"}, "isolated maybe: not one of true, false"},
		{{"port", "add", "p", "path=\xff"}, "path: not valid UTF-8"},
		{{"port", "add", "\xff", "kind=memif"}, "not valid UTF-8"},
		{{"port", "show", "\xff"}, "not valid UTF-8"},
		{{"port", "del", "p", "vlan=5"}, "takes only a name"},
		{{"port", "show", "a", "b"}, "takes at most a name"},
		{{"fdb", "show", "colour=red"}, "colour=red: not one of the filters"},
		{{"fdb", "show", "vlan=x"}, "vlan x: must be of type integer"},
		{{"raw"}, "takes a method"},
		{{"raw", "get", "{"}, "not JSON"},
		{{"-T", "0", "node", "show"}, "-T 0: not a number of seconds"},
		{{"-T", "nan", "node", "show"}, "-T nan"},
		{{"-c", "sometimes", "node", "show"}, "-c sometimes: not one of"},
		{{"help", "soup"}, "no such object"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *words[9] = {"-s", socket_path_c};

		memcpy(words + 2, bad[i].words, sizeof(bad[i].words));
		if (run_words(words) != CLI_USAGE)
			fail_msg("\"%s\" is no usage error", bad[i].says);
		assert_has(err, bad[i].says);
		assert_string_equal(out, "");
	}
}

static void no_daemon_is_exit_3(void **state)
{
	assert_int_equal(run_words((const char *const[]){"-s", "/none/such.sock", "port", "show", NULL}), CLI_NO_DAEMON);
	assert_string_equal(err, "sluicectl: port show: /none/such.sock: no daemon is running there\n");
}

static void a_daemon_that_does_not_answer_is_exit_124(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* It listens and never accepts. */
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", batch_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(run_words((const char *const[]){"-s", batch_path, "-T", "0.05", "node", "show", NULL}), CLI_TIMEOUT);
	assert_string_equal(err, "sluicectl: node show: timed out\n");
	close(fd);
}

static void the_read_only_socket_shows_and_refuses(void **state)
{
	assert_done(run_words((const char *const[]){"-s", socket_path_s, "node", "show", NULL}));
	assert_int_equal(run_words((const char *const[]){"-s", socket_path_s, "vlan", "add", "5", NULL}), CLI_REFUSED);
	assert_has(err, "sluicectl: vlan add: apply: this socket is read-only\n");
}

/* --- looks ------------------------------------------------------------------------------------------------------------------------ */

static void colour_is_used_when_asked_for(void **state)
{
	assert_done(RUN("port", "add", "vm1", "kind=memif"));
	assert_done(RUN("port", "show"));
	assert_null(strchr(out, '\033'));
	assert_done(RUN("-c", "always", "port", "show"));
	assert_has(out, "\033[32mup\033[0m");
	assert_done(RUN("-c", "never", "port", "show"));
	assert_null(strchr(out, '\033'));
}

static void help_lists_every_attribute_of_the_schema(void **state)
{
	assert_done(RUN("help", "port"));
	for (const struct schema_attr *a = schema_port.attrs; a->name; a++) {
		char key[40];

		snprintf(key, sizeof(key), "  %s", a->name);
		for (char *p = key; *p; p++)
			*p = *p == '_' ? '-' : *p;
		assert_has(out, key);
		assert_has(out, a->doc);
	}
	assert_done(RUN("help"));
	assert_has(out, "exit: 0 done");
	assert_done(RUN("fdb", "help"));
}

static void lines_are_split_at_blanks_outside_of_quotes(void **state)
{
	char line[] = "a 'b c' d\"e f\"g '' # h", open_quote[] = "a 'b", many[] = "a b c", comment[] = "  # nothing",
	     hash[] = "a#b";
	char *words[8];

	assert_int_equal(batch_split(line, words, 8), 4);
	assert_string_equal(words[0], "a");
	assert_string_equal(words[1], "b c");
	assert_string_equal(words[2], "de fg");
	assert_string_equal(words[3], "");
	assert_int_equal(batch_split(open_quote, words, 8), -1);
	assert_int_equal(batch_split(many, words, 2), -1);
	assert_int_equal(batch_split(comment, words, 8), 0);
	assert_int_equal(batch_split(hash, words, 8), 1);
	assert_string_equal(words[0], "a#b");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(objects_are_added_changed_shown_and_deleted),
		TEST(json_is_the_result_of_the_socket),
		TEST(the_fdb_comes_as_one_table_or_document),
		TEST(counters_are_shown_with_the_reasons_of_drops),
		TEST(the_node_is_shown),
		TEST(a_dry_run_changes_nothing),
		TEST(a_batch_is_one_transaction),
		TEST(errors_say_what_which_value_and_what_is_valid),
		TEST(what_cannot_be_sent_is_usage),
		TEST(no_daemon_is_exit_3),
		TEST(a_daemon_that_does_not_answer_is_exit_124),
		TEST(the_read_only_socket_shows_and_refuses),
		TEST(colour_is_used_when_asked_for),
		TEST(help_lists_every_attribute_of_the_schema),
		cmocka_unit_test(lines_are_split_at_blanks_outside_of_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

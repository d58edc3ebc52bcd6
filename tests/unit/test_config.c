/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What sluiced takes from its options and its file, and what it refuses.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "kern.h"

static char why[512];

/* The file's text over the defaults. */
static int read_text(struct config *c, const char *text)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int ret;

	assert_non_null(f);
	ret = config_read(c, f, "x.conf", why, sizeof(why));
	fclose(f);
	return ret;
}

static int from_text(struct config *c, const char *text)
{
	int ret;

	config_defaults(c);
	ret = read_text(c, text);
	return ret < 0 ? ret : config_settle(c, why, sizeof(why));
}

static int from_options(struct config *c, const char *const *words)
{
	const char *argv[16] = {"sluiced", "--config", "/dev/null"};
	int argc = 3;

	for (; *words; words++)
		argv[argc++] = *words;
	return config_load(c, argc, (char *const *)argv, why, sizeof(why));
}

#define OPTIONS(c, ...) from_options(c, (const char *const[]){__VA_ARGS__, NULL})

static void assert_file_error(const char *text, const char *expected)
{
	struct config c;

	assert_true(from_text(&c, text) < 0);
	if (!strstr(why, expected))
		fail_msg("\"%s\" does not say \"%s\"", why, expected);
}

static void assert_option_error(const char *const *words, const char *expected)
{
	struct config c;

	assert_true(from_options(&c, words) < 0);
	if (!strstr(why, expected))
		fail_msg("\"%s\" does not say \"%s\"", why, expected);
}

#define OPTION_ERROR(expected, ...) assert_option_error((const char *const[]){__VA_ARGS__, NULL}, expected)

static void without_anything_the_defaults_hold(void **state)
{
	struct config c;

	assert_int_equal(from_text(&c, " "), 0);
	assert_string_equal(c.socket, "/run/sluice/control.sock");
	assert_int_equal(c.memory, DP_MEMORY_AUTO);
	assert_int_equal(c.poll, DP_POLL_ADAPTIVE);
	assert_int_equal(c.n_cores, 0);
	assert_int_equal(c.buffers, 16384);
	assert_int_equal(c.given, 0);
}

static void the_file_has_keys_comments_and_blanks(void **state)
{
	struct config c;

	assert_int_equal(from_text(&c,
				   "# a node\n\n  socket =  /tmp/a#b.sock  # not part of it\nstat-socket=/tmp/s\n\tpoll = busy\n"
				   "cores = 1,3-5\nmemory = plain\nbuffers = 2048"),
			 0);
	assert_string_equal(c.socket, "/tmp/a#b.sock");
	assert_string_equal(c.stat_socket, "/tmp/s");
	assert_int_equal(c.poll, DP_POLL_BUSY);
	assert_int_equal(c.memory, DP_MEMORY_PLAIN);
	assert_int_equal(c.buffers, 2048);
	assert_int_equal(c.n_cores, 4);
	assert_int_equal(c.core_list[0], 1);
	assert_int_equal(c.core_list[3], 5);
}

static void an_error_in_the_file_names_its_line(void **state)
{
	assert_file_error("poll = busy\npolls = busy\n", "x.conf:2: polls: unknown key");
	assert_file_error("poll = busy\n\npoll = busy\n", "x.conf:3: poll: given twice");
	assert_file_error("poll = lazy\n", "x.conf:1: poll lazy: not one of adaptive, busy");
	assert_file_error("poll\n", "x.conf:1: poll: not of the form key = value");
	assert_file_error("poll =\n", "x.conf:1: poll: no value");
	assert_file_error("= busy\n", "x.conf:1: : unknown key");
	assert_file_error("buffers = 5\n", "x.conf:1: buffers 5: out of range (1024-");
	assert_file_error("buffers = 5k\n", "x.conf:1: buffers 5k: not a number");
	assert_file_error("fdb_max = 5000\n", "fdb_max: unknown key");
	assert_file_error("config = /etc/x\n", "config: unknown key");
	assert_file_error("check = yes\n", "check: unknown key");
}

static void a_nul_in_the_file_is_refused(void **state)
{
	static const char text[] = "poll = busy\nmemory = plain\0\n";
	FILE *f = fmemopen((void *)text, sizeof(text) - 1, "r");
	struct config c;

	config_defaults(&c);
	assert_true(config_read(&c, f, "x.conf", why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "x.conf:2: holds a NUL"));
	fclose(f);
}

static void cores_are_a_list_of_cpus(void **state)
{
	struct config c;

	assert_int_equal(from_text(&c, "cores = 0-31"), 0);
	assert_int_equal(c.n_cores, 32);
	assert_file_error("cores = 0-32", "too many");
	assert_file_error("cores = 1,1", "twice");
	assert_file_error("cores = 1-3,2", "twice");
	assert_file_error("cores = 3-1", "not a list");
	assert_file_error("cores = 1,", "not a list");
	assert_file_error("cores = ,1", "not a list");
	assert_file_error("cores = 1-", "not a list");
	assert_file_error("cores = -1", "not a list");
	assert_file_error("cores = 1 2", "not a list");
	assert_file_error("cores = all", "not a list");
	assert_file_error("cores = 99999999999999999999", "not a list");
	assert_file_error("cores = 0-99999999999999999999", "not a list");
	OPTION_ERROR("has no CPU 1023", "--cores", "1023");
}

static void paths_must_fit_and_differ(void **state)
{
	char text[256] = "socket = /";

	assert_file_error("socket = /a\nstat-socket = /a\n", "must differ");
	memset(text + strlen(text), 'x', 110);
	assert_file_error(text, "at most 107");
}

static void an_option_wins_over_the_file(void **state)
{
	char path[] = "/tmp/sluice-config-XXXXXX";
	int fd = mkstemp(path);
	struct config c;

	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "poll = busy\nmemory = plain\n"), 27);
	assert_int_equal(OPTIONS(&c, "--poll", "adaptive", "--config", path), 0);
	assert_int_equal(c.poll, DP_POLL_ADAPTIVE);
	assert_int_equal(c.memory, DP_MEMORY_PLAIN);
	/* It wins over what is right; what is wrong in the file stays an error. */
	assert_int_equal(dprintf(fd, "fdb-max = many\n"), 15);
	OPTION_ERROR(":3: fdb-max many", "--fdb-max", "5000", "--config", path);
	unlink(path);
	close(fd);
}

static void options_take_their_value_as_the_next_word_or_behind_an_equals_sign(void **state)
{
	struct config c;

	assert_int_equal(OPTIONS(&c, "--socket=/a", "--stat-socket", "/b", "--poll=busy", "--check"), 0);
	assert_string_equal(c.socket, "/a");
	assert_string_equal(c.stat_socket, "/b");
	assert_int_equal(c.poll, DP_POLL_BUSY);
	assert_int_equal(c.action, CONFIG_CHECK);
	assert_int_equal(OPTIONS(&c, "--poll", "busy", "--poll", "adaptive"), 0);
	assert_int_equal(c.poll, DP_POLL_ADAPTIVE);
}

static void unknown_and_incomplete_options_are_refused(void **state)
{
	OPTION_ERROR("--sockets: unknown option", "--sockets", "/a");
	OPTION_ERROR("--sock: unknown option", "--sock", "/a");
	OPTION_ERROR("-s: not an option", "-s", "/a");
	OPTION_ERROR("extra: not an option", "extra");
	OPTION_ERROR("--: not an option", "--");
	OPTION_ERROR("--poll: no value", "--poll");
	OPTION_ERROR("--poll: no value", "--poll=");
	OPTION_ERROR("poll never: not one of", "--poll", "never");
	OPTION_ERROR("--check=yes: unknown option", "--check=yes");
	OPTION_ERROR("/none/such.conf: ", "--config", "/none/such.conf");
}

static void what_this_build_cannot_do_is_said_or_refused(void **state)
{
	const char *text;
	struct config c;

	assert_int_equal(OPTIONS(&c, "--cgroup-root", "/var/x", "--poll", "busy"), 0);
	assert_string_equal(config_unsupported(&c, 0, &text), "cgroup-root");
	assert_string_equal(text, "no thin containers in this build");
	assert_null(config_unsupported(&c, 1, &text));
	OPTION_ERROR("trunk kmod: not one of auto, none, veth, vhost-net, tap, veth-xdp", "--trunk", "kmod");
}

static void every_backend_of_the_trunk_can_be_asked_for(void **state)
{
	struct config c;

	for (unsigned i = 0; kern_trunk_by_name(i); i++) {
		assert_int_equal(OPTIONS(&c, "--trunk", kern_trunk_by_name(i)), 0);
		assert_int_equal(c.trunk, CONFIG_TRUNK_BY + i);
	}
	assert_int_equal(OPTIONS(&c, "--trunk", "none"), 0);
	assert_int_equal(c.trunk, CONFIG_TRUNK_NONE);
	assert_int_equal(OPTIONS(&c, "--poll", "busy"), 0);
	assert_int_equal(c.trunk, CONFIG_TRUNK_AUTO);
}

static void every_option_is_in_the_help(void **state)
{
	static const char *const names[] = {"--config",	     "--check",	  "--socket",  "--stat-socket", "--state", "--bpf-dir",
					    "--cgroup-root", "--cores",	  "--poll",    "--memory",	"--trunk", "--trunk-name",
					    "--cleanup",     "--buffers", "--fdb-max", "--drivers",	"--help",  "--version"};
	char *help = NULL;
	size_t size;
	FILE *f = open_memstream(&help, &size);

	config_help(f);
	fclose(f);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strstr(help, names[i]))
			fail_msg("%s is missing", names[i]);
	free(help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_anything_the_defaults_hold),
		cmocka_unit_test(the_file_has_keys_comments_and_blanks),
		cmocka_unit_test(an_error_in_the_file_names_its_line),
		cmocka_unit_test(a_nul_in_the_file_is_refused),
		cmocka_unit_test(cores_are_a_list_of_cpus),
		cmocka_unit_test(paths_must_fit_and_differ),
		cmocka_unit_test(an_option_wins_over_the_file),
		cmocka_unit_test(options_take_their_value_as_the_next_word_or_behind_an_equals_sign),
		cmocka_unit_test(unknown_and_incomplete_options_are_refused),
		cmocka_unit_test(what_this_build_cannot_do_is_said_or_refused),
		cmocka_unit_test(every_backend_of_the_trunk_can_be_asked_for),
		cmocka_unit_test(every_option_is_in_the_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

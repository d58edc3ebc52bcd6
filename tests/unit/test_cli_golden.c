/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What sluicectl prints, to the letter: sessions that are files.
 *
 * A golden file holds lines `$ sluicectl ...`, each followed by what it prints and, if it is not 0, `[exit N]`. A word `@FILE` is a file beside it. The test runs the commands and
 * compares the whole session; what changes from run to run (boot id, pid, times) is masked. To accept a change of the output, run this with
 * SLUICE_GOLDEN=write and read the difference before you commit it.
 */

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl_daemon.h"

#include "ctl_run.h"

#define SESSION_MAX (1 << 19)
#define GOLDEN	    SLUICE_SOURCE_DIR "/tests/unit/golden/"

static char expected[SESSION_MAX], session[SESSION_MAX];
static size_t used;

/* Replace each match of a pattern's first group by a star. */
static void mask(char *text, const char *pattern)
{
	regmatch_t m[2];
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE), 0);
	while (regexec(&re, text, 2, m, 0) == 0) {
		char *at = text + m[1].rm_so;
		size_t len = m[1].rm_eo - m[1].rm_so;

		*at = '*';
		memmove(at + 1, at + len, strlen(at + len) + 1);
		text = at + 1;
	}
	regfree(&re);
}

static void mask_all(char *text)
{
	static const char *const patterns[] = {
		"\"boot_id\":\\s?\"([^\"]+)\"", "\"version\":\\s?\"([^\"]+)\"", "\"pid\":\\s?([0-9]+)", "\"uptime_s\":\\s?([0-9]+)",
		"\"time_us\":\\s?([0-9]+)",	"^boot id +([^ \n]+)$",		"^pid +([0-9]+)$",	"^up for +([^\n]+)$",
		"^version +([^\n]+)$",		"^sluicectl ([^ \n]+)$",
	};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		mask(text, patterns[i]);
}

static void put(const char *text)
{
	size_t n = strlen(text);

	assert_true(used + n < sizeof(session));
	memcpy(session + used, text, n + 1);
	used += n;
}

/* A line `$ sluicectl ...`: run it and add what it says. */
static void run_line(const char *line)
{
	const char *words[28] = {"-s", socket_path_c};
	char copy[512], file[512], text[32];
	int n, status;

	snprintf(copy, sizeof(copy), "%s", line);
	n = batch_split(copy, (char **)words + 2, 24);
	assert_true(n >= 0);
	words[2 + n] = NULL;
	for (int i = 2; i < 2 + n; i++) {
		if (words[i][0] != '@')
			continue;
		snprintf(file, sizeof(file), GOLDEN "%s", words[i] + 1);
		words[i] = file;
	}
	status = run_words(words);
	mask_all(out);
	put("$ sluicectl ");
	put(line);
	put("\n");
	put(out);
	put(err);
	if (status) {
		snprintf(text, sizeof(text), "[exit %d]\n", status);
		put(text);
	}
}

static void read_golden(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		fail_msg("%s: cannot be read", path);
	n = fread(expected, 1, sizeof(expected) - 1, f);
	expected[n] = '\0';
	fclose(f);
}

static void write_golden(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(session, f);
	fclose(f);
}

/* Where both part, in the words of both. */
static void show_difference(const char *path)
{
	size_t line = 1, at = 0, start = 0;

	for (; expected[at] && expected[at] == session[at]; at++) {
		if (expected[at] != '\n')
			continue;
		line++;
		start = at + 1;
	}
	fail_msg("%s:%zu differs\nis:        %.300s\nshould be: %.300s", path, line, session + start, expected + start);
}

static void play(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), GOLDEN "%s", name);
	read_golden(path);
	used = 0;
	session[0] = '\0';
	for (const char *p = expected; *p; p += strcspn(p, "\n") + 1) {
		char line[512];

		/* Comments stay, commands are run, what they printed then is left out. */
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n"), p);
		if (!strncmp(line, "$ sluicectl ", 12)) {
			run_line(line + 12);
		} else if (!strncmp(line, "## ", 3)) {
			put(line);
			put("\n");
		}
		if (!p[strcspn(p, "\n")])
			break;
	}
	if (getenv("SLUICE_GOLDEN"))
		write_golden(path);
	else if (strcmp(session, expected) != 0)
		show_difference(path);
}

static void text_is_as_it_was(void **state)
{
	play("text");
}

static void json_is_as_it_was(void **state)
{
	play("json");
}

static void errors_are_as_they_were(void **state)
{
	play("errors");
}

static void help_is_as_it_was(void **state)
{
	play("help");
}

static void plans_are_as_they_were(void **state)
{
	play("plan");
}

static int setup(void **state)
{
	return daemon_start();
}

static int teardown(void **state)
{
	daemon_stop();
	return rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(text_is_as_it_was), TEST(json_is_as_it_was), TEST(errors_are_as_they_were),
					   TEST(help_is_as_it_was), TEST(plans_are_as_they_were)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

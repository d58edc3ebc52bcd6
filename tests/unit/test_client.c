/* SPDX-License-Identifier: Apache-2.0 */

/* libsluice, through its public header only, against a daemon that says what the test wrote down. */

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fake_server.h"
#include "sluice/sluice.h"

#define TIMEOUT_MS 20000

static char dir[32], path[64];
static struct fake_server server;
static struct sluice *s;
static struct sluice_error err;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sluice-client-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	s = NULL;
	return 0;
}

static int teardown(void **state)
{
	sluice_close(s);
	return rmdir(dir);
}

static void play(const char *const *script, int timeout_ms)
{
	assert_true(fake_start(&server, path, script));
	if (sluice_open(&s, path, timeout_ms, &err))
		fail_msg("open: %s", err.message);
}

#define PLAY(...) play((const char *const[]){__VA_ARGS__, NULL}, TIMEOUT_MS)

/* The client goes first, so that a server that waits for its end gets it. */
static void played_to_the_end(void)
{
	sluice_close(s);
	s = NULL;
	assert_true(fake_stop(&server));
}

static void assert_error(int ret, int kind, const char *says)
{
	assert_int_equal(ret, kind);
	assert_int_equal(err.kind, kind);
	if (!strstr(err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", err.message, says);
}

/* --- calls -------------------------------------------------------------------------------------------------------------------------- */

static void results_are_the_text_that_the_daemon_sent(void **state)
{
	char *result;

	PLAY(FAKE_HELLO, "<\"params\":{\"a\":[1,2]}",
	     ">{\"result\" : {\"x\":1.50,\"s\":\"}\\\"]\", \"r\":{\"result\":[]}} ,\"id\":@ID@}", "<",
	     ">{\"id\":@ID@,\"jsonrpc\":\"2.0\",\"result\":7}", "<", FAKE_OK("null"));
	assert_int_equal(sluice_hello(s, "cap", &result, &err), 0);
	assert_non_null(strstr(result, "\"boot_id\":\"b\""));
	sluice_free(result);
	assert_int_equal(sluice_call(s, "x", "{\n \"a\": [1,\n 2]\n}", &result, &err), 0);
	assert_string_equal(result, "{\"x\":1.50,\"s\":\"}\\\"]\", \"r\":{\"result\":[]}}");
	sluice_free(result);
	assert_int_equal(sluice_call(s, "x", NULL, &result, &err), 0);
	assert_string_equal(result, "7");
	sluice_free(result);
	assert_int_equal(sluice_call(s, "x", NULL, NULL, NULL), 0);
	played_to_the_end();
}

static void a_refusal_says_everything_and_the_connection_goes_on(void **state)
{
	char *result;

	PLAY("<", FAKE_ERROR(-32602, "out-of-range", "ops[3].attrs.vlan", "vlan 4095: out of range (1-4094)", "take less"), "<",
	     FAKE_OK("{}"));
	assert_error(sluice_call(s, "x", NULL, &result, &err), SLUICE_REFUSED, "vlan 4095: out of range (1-4094)");
	assert_null(result);
	assert_int_equal(err.code, -32602);
	assert_string_equal(err.name, "out-of-range");
	assert_string_equal(err.path, "ops[3].attrs.vlan");
	assert_string_equal(err.hint, "take less");
	assert_int_equal(sluice_call(s, "x", NULL, NULL, &err), 0);
	played_to_the_end();
}

static void what_the_caller_got_wrong_is_not_sent(void **state)
{
	char *long_text = malloc(SLUICE_LINE_MAX + 64);

	PLAY("<\"right\"", FAKE_OK("{}"));
	assert_error(sluice_call(s, "x", "{", NULL, &err), SLUICE_INVALID, "params: not JSON: line 1");
	assert_error(sluice_call(s, "x", "[]", NULL, &err), SLUICE_INVALID, "params: must be a JSON object");
	assert_error(sluice_call(s, "x", "{\"a\":1,\"a\":2}", NULL, &err), SLUICE_INVALID, "duplicate");
	assert_error(sluice_call(s, "\xff", NULL, NULL, &err), SLUICE_INVALID, "UTF-8");
	assert_error(sluice_hello(s, "\xff", NULL, &err), SLUICE_INVALID, "UTF-8");
	assert_error(sluice_apply(s, "{}", 0, -1, NULL, &err), SLUICE_INVALID, "must be a JSON list");
	assert_error(sluice_apply(s, "[]", 64, -1, NULL, &err), SLUICE_INVALID, "flags");
	assert_error(sluice_apply(s, "[]", 0, -2, NULL, &err), SLUICE_INVALID, "expect_generation");
	assert_error(sluice_wait(s, -1, 0, NULL, &err), SLUICE_INVALID, "generation");
	assert_error(sluice_wait(s, 1, -1, NULL, &err), SLUICE_INVALID, "timeout_ms");
	snprintf(long_text, SLUICE_LINE_MAX + 64, "{\"a\":\"%0*d\"}", SLUICE_LINE_MAX + 32, 0);
	assert_error(sluice_call(s, "x", long_text, NULL, &err), SLUICE_INVALID, "(the daemon takes 1048576)");
	free(long_text);
	assert_int_equal(sluice_call(s, "right", NULL, NULL, &err), 0);
	played_to_the_end();
}

static void an_apply_gives_the_generation(void **state)
{
	struct sluice_generation at;

	PLAY("<\"params\":{\"ops\":[{\"op\":\"del\"}]}", FAKE_OK("{\"generation\":7,\"applied\":6,\"changes\":2}"),
	     "<\"params\":{\"replace\":{\"objects\":[]},\"force\":true,\"dry_run\":true,\"expect_generation\":0}",
	     FAKE_OK("{\"generation\":8,\"changes\":0}"), "<", FAKE_OK("{\"gen\":8}"));
	assert_int_equal(sluice_apply(s, "[{\"op\":\"del\"}]", 0, SLUICE_ANY_GENERATION, &at, &err), 0);
	assert_true(at.generation == 7 && at.applied == 6 && at.changes == 2);
	assert_int_equal(sluice_apply(s, "[]", SLUICE_REPLACE | SLUICE_FORCE | SLUICE_DRY_RUN, 0, &at, &err), 0);
	/* A daemon that does not tell them apart applies before it answers. */
	assert_true(at.generation == 8 && at.applied == 8 && at.changes == 0);
	assert_error(sluice_apply(s, "[]", 0, -1, &at, &err), SLUICE_BROKEN, "no generation");
	played_to_the_end();
}

static void a_wait_ends_applied_or_timed_out(void **state)
{
	struct sluice_generation at;

	PLAY("<\"method\":\"wait\",\"params\":{\"generation\":7,\"timeout_ms\":500}", FAKE_OK("{\"generation\":9,\"applied\":7}"),
	     "<\"timeout_ms\":0}", FAKE_ERROR(-32000, "timeout", "", "generation 9: not applied yet", ""), "<",
	     FAKE_ERROR(-32601, "unknown-method", "", "wait: unknown method", ""), "<\"timeout_ms\":3600000}",
	     FAKE_ERROR(-32000, "timeout", "", "generation 9: not applied yet", ""), "<\"timeout_ms\":3600000}",
	     FAKE_OK("{\"generation\":9,\"applied\":9}"));
	assert_int_equal(sluice_wait(s, 7, 500, &at, &err), 0);
	assert_true(at.generation == 9 && at.applied == 7);
	assert_error(sluice_wait(s, 9, 0, NULL, &err), SLUICE_TIMEOUT, "not applied yet");
	assert_error(sluice_wait(s, 9, 500, NULL, &err), SLUICE_REFUSED, "unknown method");
	/* Longer than the daemon takes: several waits, here one that ends at once. */
	assert_int_equal(sluice_wait(s, 9, INT32_MAX, &at, &err), 0);
	assert_int_equal(at.applied, 9);
	played_to_the_end();
}

/* --- daemons that are away, slow or wrong ---------------------------------------------------------------------------------------- */

static void nobody_there_is_gone(void **state)
{
	char long_path[200];

	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_error(sluice_open(&s, path, TIMEOUT_MS, &err), SLUICE_GONE, "no daemon is running there");
	assert_null(s);
	assert_error(sluice_open(&s, long_path, TIMEOUT_MS, &err), SLUICE_GONE, "path too long");
	assert_int_equal(sluice_open(&s, path, TIMEOUT_MS, NULL), SLUICE_GONE);
}

static void a_daemon_that_goes_is_gone_for_good(void **state)
{
	PLAY("<");
	assert_error(sluice_call(s, "x", NULL, NULL, &err), SLUICE_GONE, "the daemon closed the connection");
	assert_true(fake_stop(&server));
	assert_error(sluice_call(s, "x", NULL, NULL, &err), SLUICE_GONE, "the daemon closed the connection");
}

static void a_refusal_before_the_door_closes_is_heard(void **state)
{
	PLAY(">{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"too many "
	     "clients\",\"data\":{\"name\":\"too-many\"}}}");
	assert_true(fake_stop(&server));
	assert_error(sluice_hello(s, "cap", NULL, &err), SLUICE_REFUSED, "too many clients");
}

static void a_late_answer_is_dropped(void **state)
{
	char *result;

	assert_true(fake_start(&server, path,
			       (const char *const[]){"<first", "<second", ">{\"id\":1,\"result\":\"late\"}", FAKE_OK("2"), NULL}));
	assert_int_equal(sluice_open(&s, path, TIMEOUT_MS, &err), 0);
	sluice_set_timeout(s, 20);
	assert_error(sluice_call(s, "first", NULL, NULL, &err), SLUICE_TIMEOUT, "timed out");
	sluice_set_timeout(s, -1);
	assert_int_equal(sluice_call(s, "second", NULL, &result, &err), 0);
	assert_string_equal(result, "2");
	sluice_free(result);
	played_to_the_end();
}

static void a_dribbling_daemon_does_not_move_the_deadline(void **state)
{
	const char *script[4002] = {"<"};
	struct timespec from, to;

	/* Lines that are nobody's: as long as some come, there is always something to read. */
	for (int i = 1; i < 4000; i++)
		script[i] = ">{\"method\":\"tick\"}";
	script[4000] = "|";
	play(script, TIMEOUT_MS);
	sluice_set_timeout(s, 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_error(sluice_call(s, "x", NULL, NULL, &err), SLUICE_TIMEOUT, "timed out");
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true(to.tv_sec - from.tv_sec < TIMEOUT_MS / 2000);
	sluice_close(s);
	s = NULL;
	fake_stop(&server);
}

static void nonsense_is_broken_and_stays_so(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{">hello", "not JSON"},
		{">", "not JSON"},
		{">[]", "not a JSON object"},
		{">{\"id\":@ID@,\"id\":@ID@,\"result\":1}", "not JSON: duplicate"},
		{">{\"id\":@ID@,\"result\":\"\\u0000\"}", "not JSON"},
		{">{\"id\":@ID@}", "has no result"},
		{">{\"id\":@ID@,\"r\\u0065sult\":1}", "has no result"},
		{">{\"id\":@ID@,\"error\":{}}", "says nothing"},
		{">{\"id\":@ID@,\"error\":5}", "says nothing"},
		{">{\"id\":@ID@0,\"result\":1}", "was not asked"},
		{">{\"id\":0,\"result\":1}", "was not asked"},
		{">{\"id\":-1,\"result\":1}", "was not asked"},
		{">{\"id\":\"1\",\"result\":1}", "was not asked"},
		{">{\"id\":1.0,\"result\":1}", "was not asked"},
		{">{\"id\":null,\"result\":1}", "was not asked"},
		{">{\"result\":1}", "was not asked"},
		{">{}", "was not asked"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		PLAY("<", bad[i].line, "|");
		if (sluice_call(s, "x", NULL, NULL, &err) != SLUICE_BROKEN || !strstr(err.message, bad[i].says))
			fail_msg("%s: %s", bad[i].line, err.message);
		assert_error(sluice_call(s, "x", NULL, NULL, &err), SLUICE_BROKEN, bad[i].says);
		played_to_the_end();
	}
}

static void an_answer_without_an_end_is_broken(void **state)
{
	const char *script[70] = {"<"};
	char *mib = malloc((1 << 20) + 3);

	mib[0] = mib[1] = '>';
	memset(mib + 2, 'a', 1 << 20);
	mib[(1 << 20) + 2] = '\0';
	for (int i = 1; i < 66; i++)
		script[i] = mib;
	script[66] = "|";
	play(script, TIMEOUT_MS);
	assert_error(sluice_call(s, "x", NULL, NULL, &err), SLUICE_BROKEN, "too long");
	sluice_close(s);
	s = NULL;
	fake_stop(&server);
	free(mib);
}

static void texts_of_errors_are_cut_and_clean(void **state)
{
	char line[4096], text[2048];
	size_t n = 0;

	/* Two-byte characters, so that a cut by bytes would leave half of one. */
	for (n = 0; n < 1200; n += 2)
		memcpy(text + n, "\xc3\xa9", 2);
	text[0] = text[1] = 'a';
	text[2] = 'b';
	text[3] = 'c';
	memmove(text + 3, text + 4, n - 4);
	text[n - 1] = '\0';
	snprintf(line, sizeof(line),
		 ">{\"id\":@ID@,\"error\":{\"code\":1,\"message\":\"%s\",\"data\":{\"hint\":\"a\\u001b[31m\\u009bb\"}}}", text);
	PLAY("<", line);
	assert_error(sluice_call(s, "x", NULL, NULL, &err), SLUICE_REFUSED, "aab");
	assert_true(strlen(err.message) < sizeof(err.message) && strlen(err.message) > sizeof(err.message) - 4);
	assert_int_equal((unsigned char)err.message[strlen(err.message) - 1], 0xa9);
	assert_string_equal(err.hint, "a?[31m??b");
	played_to_the_end();
}

/* --- events ----------------------------------------------------------------------------------------------------------------------- */

static void assert_event(int timeout_ms, const char *text)
{
	char *event;

	if (sluice_next_event(s, timeout_ms, &event, &err))
		fail_msg("no event: %s", err.message);
	assert_string_equal(event, text);
	sluice_free(event);
}

static void events_keep_their_order_around_calls(void **state)
{
	char *snapshot, *event;

	PLAY("<\"events\":[\"port.link\"]", FAKE_EVENT("{\"n\":0}"), FAKE_OK("{\"objects\":[]}"), FAKE_EVENT("{\"n\":1}"), "<get",
	     FAKE_EVENT("{\"n\":2}"), FAKE_OK("{}"), ">{\"method\":\"other\",\"params\":{}}", FAKE_EVENT("[]"),
	     FAKE_EVENT("{\"n\": 3}"), "<\"watch\",\"params\":{\"events\":[]}", FAKE_EVENT("{\"n\":4}"), FAKE_OK("{}"), "<watch",
	     FAKE_ERROR(-32602, "a", "", "no", ""));
	assert_error(sluice_next_event(s, 0, &event, &err), SLUICE_INVALID, "does not watch");
	assert_int_equal(sluice_watch(s, "{\"events\":[\"port.link\"]}", &snapshot, &err), 0);
	assert_string_equal(snapshot, "{\"objects\":[]}");
	sluice_free(snapshot);
	assert_int_equal(sluice_call(s, "get", NULL, NULL, &err), 0);
	assert_event(0, "{\"n\":0}");
	assert_event(0, "{\"n\":1}");
	assert_event(0, "{\"n\":2}");
	assert_event(TIMEOUT_MS, "{\"n\": 3}");
	assert_int_equal(sluice_watch(s, "{\"events\":[]}", NULL, &err), 0);
	assert_error(sluice_watch(s, NULL, NULL, &err), SLUICE_REFUSED, "no");
	assert_event(0, "{\"n\":4}");
	played_to_the_end();
}

static void no_event_is_a_timeout_and_the_descriptor_can_be_polled(void **state)
{
	struct pollfd p;
	char *event;

	PLAY("<watch", FAKE_OK("{}"), "<go", FAKE_OK("{}"), FAKE_EVENT("{\"n\":1}"), "|");
	assert_int_equal(sluice_watch(s, NULL, NULL, &err), 0);
	assert_error(sluice_next_event(s, 0, &event, &err), SLUICE_TIMEOUT, "timed out");
	assert_error(sluice_next_event(s, 5, &event, &err), SLUICE_TIMEOUT, "timed out");
	assert_null(event);
	assert_int_equal(sluice_call(s, "go", NULL, NULL, &err), 0);
	p = (struct pollfd){.fd = sluice_fd(s), .events = POLLIN};
	/* It is on its way, half here, or the call took it along. */
	while (sluice_next_event(s, 0, &event, &err) == SLUICE_TIMEOUT)
		assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
	assert_non_null(event);
	assert_string_equal(event, "{\"n\":1}");
	sluice_free(event);
	played_to_the_end();
}

static void events_before_the_end_are_told_before_it(void **state)
{
	char *event;

	PLAY("<watch", FAKE_OK("{}"), "<get", FAKE_EVENT("{\"n\":1}"));
	assert_int_equal(sluice_watch(s, NULL, NULL, &err), 0);
	assert_error(sluice_call(s, "get", NULL, NULL, &err), SLUICE_GONE, "closed");
	assert_event(0, "{\"n\":1}");
	assert_error(sluice_next_event(s, -1, &event, &err), SLUICE_GONE, "closed");
	assert_true(fake_stop(&server));
}

static void events_that_nobody_takes_are_bounded(void **state)
{
	static const char *script[20];
	char *big = malloc((1 << 20) + 128), *event;
	size_t n = 0, kept = 0;

	n = sprintf(big, ">{\"method\":\"event\",\"params\":{\"t\":\"");
	memset(big + n, 'a', 1 << 20);
	snprintf(big + n + (1 << 20), 4, "\"}}");
	n = 0;
	script[n++] = "<watch";
	script[n++] = FAKE_OK("{}");
	script[n++] = "<get";
	for (int i = 0; i < 10; i++)
		script[n++] = big;
	script[n++] = FAKE_EVENT("{\"small\":1}");
	script[n++] = FAKE_OK("{}");
	script[n++] = "<again";
	script[n++] = FAKE_EVENT("{\"small\":2}");
	script[n++] = FAKE_OK("{}");
	play(script, TIMEOUT_MS);
	assert_int_equal(sluice_watch(s, NULL, NULL, &err), 0);
	assert_int_equal(sluice_call(s, "get", NULL, NULL, &err), 0);
	for (;;) {
		assert_int_equal(sluice_next_event(s, 0, &event, &err), 0);
		if (strlen(event) < 1 << 20)
			break;
		kept++;
		sluice_free(event);
	}
	assert_string_equal(event, "{\"type\":\"resync\"}");
	sluice_free(event);
	assert_int_equal(kept, SLUICE_EVENTS_MAX / (1 << 20) - 1);
	assert_int_equal(sluice_call(s, "again", NULL, NULL, &err), 0);
	assert_event(0, "{\"small\":2}");
	played_to_the_end();
	free(big);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(results_are_the_text_that_the_daemon_sent),
		TEST(a_refusal_says_everything_and_the_connection_goes_on),
		TEST(what_the_caller_got_wrong_is_not_sent),
		TEST(an_apply_gives_the_generation),
		TEST(a_wait_ends_applied_or_timed_out),
		TEST(nobody_there_is_gone),
		TEST(a_daemon_that_goes_is_gone_for_good),
		TEST(a_refusal_before_the_door_closes_is_heard),
		TEST(a_late_answer_is_dropped),
		TEST(a_dribbling_daemon_does_not_move_the_deadline),
		TEST(nonsense_is_broken_and_stays_so),
		TEST(an_answer_without_an_end_is_broken),
		TEST(texts_of_errors_are_cut_and_clean),
		TEST(events_keep_their_order_around_calls),
		TEST(no_event_is_a_timeout_and_the_descriptor_can_be_polled),
		TEST(events_before_the_end_are_told_before_it),
		TEST(events_that_nobody_takes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

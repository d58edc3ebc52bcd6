/* SPDX-License-Identifier: Apache-2.0 */

/* When the watchdog is fed: see daemon/supervise.h. The service manager's socket is the test's. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/supervise.h"
#include "fake_dp.h"

#define WATCHDOG_US 40000

static struct ctl ctl;
static sd_event *event;
static int manager;
static char dir[64], path[96];

static int setup(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(&ctl, &fake_dp);
	assert_true(sd_event_new(&event) >= 0);
	snprintf(dir, sizeof(dir), "/tmp/sluice-supervise-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	return 0;
}

static int teardown(void **state)
{
	close(manager);
	unlink(path);
	rmdir(dir);
	unsetenv("NOTIFY_SOCKET");
	sd_event_unref(event);
	ctl_fini(&ctl);
	return 0;
}

/* Run the timer once, and say what the manager got: "" for nothing. */
static const char *period(void)
{
	static char said[512];
	ssize_t n, all = 0;

	assert_true(sd_event_run(event, 5000000) > 0);
	while ((n = recv(manager, said + all, sizeof(said) - 1 - all, 0)) > 0)
		all += n;
	said[all] = '\0';
	return said;
}

static void a_beat_that_moves_is_well_and_one_that_does_not_is_stuck(void **state)
{
	struct supervision s = {0};
	bool stuck;

	/* The first look says nothing, whatever the number. */
	assert_false(supervision_note(&s, 0, 0, &stuck));
	assert_false(supervision_note(&s, 1, 7, &stuck));
	assert_true(supervision_well(&s));
	assert_false(supervision_note(&s, 0, 1, &stuck));
	assert_true(supervision_note(&s, 1, 7, &stuck));
	assert_true(stuck);
	assert_false(supervision_well(&s));
	/* No news. */
	assert_false(supervision_note(&s, 1, 7, &stuck));
	assert_true(stuck);
	/* Any other number is progress, a smaller one too: it may have wrapped. */
	assert_true(supervision_note(&s, 1, 3, &stuck));
	assert_false(stuck);
	assert_true(supervision_well(&s));
}

static void food_comes_while_all_move_and_only_then(void **state)
{
	struct supervise *s;

	assert_int_equal(supervise_open(&s, event, &ctl, WATCHDOG_US), 0);
	assert_string_equal(period(), "WATCHDOG=1");
	for (unsigned i = 0; i < 3; i++) {
		fake_dp.beats[0]++;
		fake_dp.beats[1]++;
		assert_string_equal(period(), "WATCHDOG=1");
	}
	fake_dp.beats[0]++;
	assert_string_equal(period(), "STATUS=Worker 1 makes no progress");
	fake_dp.beats[0]++;
	assert_string_equal(period(), "");
	fake_dp.beats[0]++;
	fake_dp.beats[1]++;
	assert_string_equal(period(), "STATUS=Worker 1 makes progress againWATCHDOG=1");
	supervise_close(s);
}

static void it_feeds_four_times_in_the_time_it_has(void **state)
{
	uint64_t start, now;
	struct supervise *s;

	assert_int_equal(supervise_open(&s, event, &ctl, WATCHDOG_US), 0);
	period();
	sd_event_now(event, CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < 10; i++) {
		fake_dp.beats[0]++;
		fake_dp.beats[1]++;
		period();
	}
	sd_event_now(event, CLOCK_MONOTONIC, &now);
	/* Not sooner; later only by what the machine is late. */
	assert_true(now - start >= 10 * WATCHDOG_US / 4);
	supervise_close(s);
}

static void without_a_watchdog_nothing_is_fed(void **state)
{
	struct supervise *s;

	assert_int_equal(supervise_open(&s, event, &ctl, 0), 0);
	assert_string_equal(period(), "");
	supervise_close(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_beat_that_moves_is_well_and_one_that_does_not_is_stuck),
		TEST(food_comes_while_all_move_and_only_then),
		TEST(it_feeds_four_times_in_the_time_it_has),
		TEST(without_a_watchdog_nothing_is_fed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

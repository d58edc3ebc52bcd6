/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about a tap that could not be opened is true: of each errno at each step, and of those that this kernel really gives. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tap/tap.h"

/* Words of a cause; an error has those of its own, and none of another. */
static const char *const causes[] = {
	"there is no /dev/net/tun",
	"no driver",
	"may not be opened",
	"of that name is there already",
	"alternative name",
	"takes no tap",
	"has it open",
	"all taken",
	"no tap of several queues",
	"taking a tap",
	"up is not permitted",
	"any more",
	"no buffers",
	"out of memory",
	"the daemon has as many",
	"the system has as many",
	"Input/output",
};

static void assert_says(int r, enum tap_step step, int code, const char *name, const char *cause, const char *hint)
{
	struct dp_error err = {0};
	bool known = false;

	assert_int_equal(tap_fail(&err, r, step, "tap7"), code);
	assert_string_equal(err.name, name);
	assert_non_null(strstr(err.msg, "tap7: "));
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		bool own = !strcmp(causes[i], cause);

		known |= own;
		if (own != !!strstr(err.msg, causes[i]))
			fail_msg("%d at step %d: \"%s\" and \"%s\"", r, step, err.msg, causes[i]);
	}
	assert_true(known);
	if (hint ? !strstr(err.hint, hint) : err.hint[0] != '\0')
		fail_msg("%d at step %d: hint \"%s\"", r, step, err.hint);
}

static void each_errno_has_a_text_that_is_true_of_it(void **state)
{
	assert_says(-ENOENT, TAP_OPENING, -ENOENT, "no-such-device", "there is no /dev/net/tun", "modprobe");
	assert_says(-ENODEV, TAP_OPENING, -ENODEV, "no-such-device", "no driver", "modprobe");
	assert_says(-ENXIO, TAP_OPENING, -ENXIO, "no-such-device", "no driver", "modprobe");
	assert_says(-EACCES, TAP_OPENING, -EACCES, "not-permitted", "may not be opened", "permissions of the file");
	assert_says(-EPERM, TAP_OPENING, -EPERM, "not-permitted", "may not be opened", "device cgroup");
	assert_says(-EBUSY, TAP_MAKING, -EEXIST, "exists", "of that name is there already", "af-packet");
	assert_says(-EEXIST, TAP_MAKING, -EEXIST, "exists", "alternative name", "another ifname");
	assert_says(-EINVAL, TAP_MAKING, -EINVAL, "device-error", "takes no tap", NULL);
	assert_says(-EPERM, TAP_MAKING, -EPERM, "not-permitted", "taking a tap", "CAP_NET_ADMIN");
	/* The trunk's, which is there: another cause for the same errno. */
	assert_says(-ESTALE, TAP_ATTACHING, -ENODEV, "no-such-device", "any more", NULL);
	assert_says(-EBUSY, TAP_ATTACHING, -EBUSY, "in-use", "has it open", NULL);
	assert_says(-E2BIG, TAP_ATTACHING, -E2BIG, "in-use", "all taken", "fewer queues");
	assert_says(-EINVAL, TAP_ATTACHING, -EINVAL, "unsupported", "no tap of several queues", NULL);
	assert_says(-EPERM, TAP_ATTACHING, -EPERM, "not-permitted", "taking a tap", "CAP_NET_ADMIN");
	assert_says(-EPERM, TAP_SETTING_UP, -EPERM, "not-permitted", "up is not permitted", "CAP_SYS_ADMIN");
	assert_says(-ENODEV, TAP_SETTING_UP, -ENODEV, "no-such-device", "any more", NULL);
	assert_says(-ENOBUFS, TAP_BUFFERS, -ENOBUFS, "no-memory", "no buffers", "--buffers");
}

static void what_can_happen_anywhere_is_said_alike(void **state)
{
	for (enum tap_step step = TAP_OPENING; step <= TAP_SETTING_UP; step++) {
		/* Of the system's memory: more buffers would only take from it. */
		assert_says(-ENOMEM, step, -ENOMEM, "no-memory", "out of memory", NULL);
		assert_says(-EMFILE, step, -EMFILE, "too-many-files", "the daemon has as many", "LimitNOFILE");
		assert_says(-ENFILE, step, -ENFILE, "too-many-files", "the system has as many", "file-max");
		/* What nobody has thought of is in the kernel's own words. */
		assert_says(-EIO, step, -EIO, "device-error", "Input/output", NULL);
	}
}

/* --- this kernel's own ---------------------------------------------------------------------------------------------------------- */

static int namespace_of_our_own(void **state)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 ? 0 : -1;
}

static int open_tun(void)
{
	int fd = tap_device_open();

	assert_true(fd >= 0);
	return fd;
}

/* Make a netdev of that name, or attach to the one that is there. */
static int take(int fd, const char *ifname, bool make)
{
	unsigned ifindex = make ? 0 : if_nametoindex(ifname);
	bool uso;

	return tap_netdev_take(fd, ifname, &ifindex, &uso);
}

static void a_name_that_is_taken(void **state)
{
	int first = open_tun(), second = open_tun();

	assert_int_equal(take(first, "tap7", true), 0);
	assert_says(take(second, "tap7", true), TAP_MAKING, -EEXIST, "exists", "of that name is there already", "af-packet");
	assert_int_equal(take(second, "tap7", false), 0);
	close(first);
	close(second);
}

static void a_netdev_that_is_no_tap(void **state)
{
	int fd = open_tun();

	assert_says(take(fd, "lo", false), TAP_ATTACHING, -EINVAL, "unsupported", "no tap of several queues", NULL);
	assert_says(take(fd, "a/b", true), TAP_MAKING, -EINVAL, "device-error", "takes no tap", NULL);
	close(fd);
}

static void a_netdev_that_went_meanwhile(void **state)
{
	struct tap_place place = {-1};
	int fd = open_tun();

	assert_says(tap_netdev_up(&place, fd), TAP_SETTING_UP, -ENODEV, "no-such-device", "any more", NULL);
	close(fd);
	tap_place_close(&place);
}

static void no_more_files(void **state)
{
	struct rlimit before, none;
	int fd = open_tun();

	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = (rlim_t)fd, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fd = tap_device_open();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_says(fd, TAP_OPENING, -EMFILE, "too-many-files", "the daemon has as many", "LimitNOFILE");
}

static void without_the_capability(void **state)
{
	int fd = open_tun(), r;

	assert_int_equal(seteuid(65534), 0);
	r = take(fd, "tap7", true);
	assert_int_equal(seteuid(0), 0);
	assert_says(r, TAP_MAKING, -EPERM, "not-permitted", "taking a tap", "CAP_NET_ADMIN");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_errno_has_a_text_that_is_true_of_it),
		cmocka_unit_test(what_can_happen_anywhere_is_said_alike),
		cmocka_unit_test(a_name_that_is_taken),
		cmocka_unit_test(a_netdev_that_is_no_tap),
		cmocka_unit_test(a_netdev_that_went_meanwhile),
		cmocka_unit_test(no_more_files),
		cmocka_unit_test(without_the_capability),
	};

	return cmocka_run_group_tests(tests, namespace_of_our_own, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* What is said about a limit that could not be set is true: of each errno at each step, and of those that this kernel really gives. */

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "inside.h"

static struct kern kern;
static struct port port = {.rec.conf.name = "web1"};
static const struct kern_limit limit = {.bps = 1000000};

static int open_kern(void **state)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 ? netlink_open(&kern.nl) : -1;
}

static int close_kern(void **state)
{
	netlink_close(&kern.nl);
	return 0;
}

/* Words of a cause; an error has those of its own, and none of another. */
static const char *const causes[] = {
	"no HTB",
	"no clsact",
	"for it is not there any more",
	"netdev is not there",
	"Operation not permitted",
	"Permission denied",
	"Cannot allocate",
	"No buffer space",
	"Too many open files",
	"resource busy",
	"Invalid argument",
};

static void assert_error(const struct kern_error *err, const char *name, const char *cause, const char *hint)
{
	bool known = false;

	assert_string_equal(err->name, name);
	assert_string_equal(err->attr, "out_bps");
	assert_non_null(strstr(err->msg, "port web1: shaping: "));
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		bool own = !strcmp(causes[i], cause);

		known |= own;
		if (own != !!strstr(err->msg, causes[i]))
			fail_msg("\"%s\" and \"%s\"", err->msg, causes[i]);
	}
	assert_true(known);
	if (hint ? !strstr(err->hint, hint) : err->hint[0] != '\0')
		fail_msg("\"%s\": hint \"%s\"", err->msg, err->hint);
}

static void assert_says(int r, enum shape_step step, int code, const char *name, const char *cause, const char *hint)
{
	struct kern_error err = {0};

	assert_int_equal(shape_fail(&err, r, step, NULL, "out_bps", "port web1"), code);
	assert_error(&err, name, cause, hint);
	/* Without somebody to tell it is the same code. */
	assert_int_equal(shape_fail(NULL, r, step, NULL, "out_bps", "port web1"), code);
}

static void what_is_not_there_depends_on_the_step(void **state)
{
	assert_says(-ENOENT, SHAPE_QDISC, -EOPNOTSUPP, "not-supported", "no HTB", "limit pps");
	assert_says(-ENOENT, SHAPE_PROGRAM, -EOPNOTSUPP, "not-supported", "no clsact", "cls_bpf");
	assert_says(-ENOENT, SHAPE_CLASS, -ENOENT, "kernel-refused", "for it is not there any more", "tc qdisc");
	assert_says(-ENOENT, SHAPE_QUEUE, -ENOENT, "kernel-refused", "for it is not there any more", "tc qdisc");
}

static void each_errno_has_a_text_that_is_true_of_it(void **state)
{
	static const struct {
		int r;
		const char *name, *cause, *hint;
	} rows[] = {
		{-ENODEV, "no-such-device", "netdev is not there", NULL},
		{-EPERM, "not-permitted", "Operation not permitted", "CAP_NET_ADMIN"},
		{-EACCES, "not-permitted", "Permission denied", "CAP_NET_ADMIN"},
		{-ENOMEM, "no-memory", "Cannot allocate", NULL},
		{-ENOBUFS, "no-memory", "No buffer space", NULL},
		{-EMFILE, "too-many-files", "Too many open files", NULL},
		{-EBUSY, "in-use", "resource busy", NULL},
		{-EINVAL, "kernel-refused", "Invalid argument", NULL},
	};

	for (enum shape_step step = SHAPE_NETDEV; step <= SHAPE_QUEUE; step++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			assert_says(rows[i].r, step, rows[i].r, rows[i].name, rows[i].cause, rows[i].hint);
}

static void a_name_that_is_there(void **state)
{
	struct kern_error err = {0};

	assert_int_equal(kern_fail_nl(&err, -EEXIST, NULL, "ifname", "port web1"), -EEXIST);
	assert_string_equal(err.name, "in-use");
	assert_string_equal(err.msg, "port web1: File exists");
}

/* --- this kernel's own ---------------------------------------------------------------------------------------------------------- */

static void a_netdev_that_went(void **state)
{
	struct kern_error err = {0};

	port.ifindex = 4711;
	assert_int_equal(shape_out_set(&kern, &port, &limit, &err), -ENODEV);
	assert_error(&err, "no-such-device", "netdev is not there", NULL);
}

static void without_the_capability(void **state)
{
	struct kern_error err = {0};
	int r;

	port.ifindex = 1;
	assert_int_equal(seteuid(65534), 0);
	r = shape_out_set(&kern, &port, &limit, &err);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, -EPERM);
	assert_error(&err, "not-permitted", "Operation not permitted", "CAP_NET_ADMIN");
}

/* Somebody else has deleted the shaper's qdisc. */
static void a_qdisc_that_went(void **state)
{
	struct kern_error err = {0};

	kern.shaper.near = 1;
	assert_int_equal(shape_in_set(&kern, &port, &limit, &err), -ENOENT);
	assert_string_equal(err.name, "kernel-refused");
	assert_string_equal(err.attr, "in_bps");
	assert_non_null(strstr(err.msg, "the qdisc that was made for it is not there any more"));
	kern.shaper.near = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_there_depends_on_the_step),
		cmocka_unit_test(each_errno_has_a_text_that_is_true_of_it),
		cmocka_unit_test(a_name_that_is_there),
		cmocka_unit_test(a_netdev_that_went),
		cmocka_unit_test(a_qdisc_that_went),
		cmocka_unit_test(without_the_capability),
	};

	return cmocka_run_group_tests(tests, open_kern, close_kern);
}

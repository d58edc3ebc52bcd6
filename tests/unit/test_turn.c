/* SPDX-License-Identifier: Apache-2.0 */

/* Whose turn it is: see turn.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/turn.h"

#define MS 1000000

static struct turns ts;
static struct turn a, b, c;

static int setup(void **state)
{
	(void)state;
	ts = (struct turns){0};
	turn_init(&ts, &a, 0);
	turn_init(&ts, &b, 0);
	turn_init(&ts, &c, 0);
	return 0;
}

static void equals_come_in_the_order_of_asking(void **state)
{
	(void)state;
	assert_null(turn_next(&ts));
	turn_want(&ts, &b, 0);
	turn_want(&ts, &a, 0);
	turn_want(&ts, &c, 0);
	turn_want(&ts, &b, 0); /* waits already */
	assert_ptr_equal(turn_next(&ts), &b);
	assert_ptr_equal(turn_next(&ts), &a);
	assert_ptr_equal(turn_next(&ts), &c);
	assert_null(turn_next(&ts));
}

static void who_was_served_waits_for_who_was_not(void **state)
{
	(void)state;
	turn_want(&ts, &a, 0);
	assert_ptr_equal(turn_next(&ts), &a);
	turn_charge(&a, 2 * MS);
	turn_want(&ts, &a, 0);
	turn_want(&ts, &b, 0);
	assert_ptr_equal(turn_next(&ts), &b);
	turn_charge(&b, 5 * MS);
	turn_want(&ts, &b, 0);
	/* Two of a's before b has its next. */
	assert_ptr_equal(turn_next(&ts), &a);
	turn_charge(&a, 2 * MS);
	turn_want(&ts, &a, 0);
	assert_ptr_equal(turn_next(&ts), &a);
	turn_charge(&a, 2 * MS);
	turn_want(&ts, &a, 0);
	assert_ptr_equal(turn_next(&ts), &b);
}

static void idle_time_is_not_saved_up(void **state)
{
	unsigned b_turns = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		turn_want(&ts, &a, 0);
		assert_ptr_equal(turn_next(&ts), &a);
		turn_charge(&a, 2 * MS);
	}
	/* b comes after a long sleep: it is next, and then both take turns. */
	for (unsigned i = 0; i < 10; i++) {
		struct turn *t;

		turn_want(&ts, &a, 0);
		turn_want(&ts, &b, 0);
		t = turn_next(&ts);
		b_turns += t == &b;
		turn_charge(t, 2 * MS);
	}
	assert_in_range(b_turns, 5, 6);
}

static void a_short_one_goes_before_a_long_one_that_came_first(void **state)
{
	(void)state;
	turn_want(&ts, &a, 50 * MS);
	turn_want(&ts, &b, 1);
	assert_ptr_equal(turn_next(&ts), &b);
	assert_ptr_equal(turn_next(&ts), &a);
}

static void a_long_one_does_not_starve(void **state)
{
	unsigned before = 0;

	(void)state;
	turn_want(&ts, &a, 50 * MS);
	for (;;) {
		struct turn *t;

		turn_want(&ts, &b, 1);
		t = turn_next(&ts);
		if (t == &a)
			break;
		turn_charge(t, 1 * MS);
		before++;
		assert_true(before < 60);
	}
	assert_true(before >= 40);
}

static void connecting_anew_does_not_pay(void **state)
{
	uint64_t due;

	(void)state;
	turn_want(&ts, &a, 0);
	assert_ptr_equal(turn_next(&ts), &a);
	turn_charge(&a, 40 * MS);
	due = ts.now_ns + turn_leave(&ts, &a);
	turn_init(&ts, &a, due);
	turn_want(&ts, &a, 0);
	turn_want(&ts, &b, 0);
	assert_ptr_equal(turn_next(&ts), &b);
	turn_charge(&b, 30 * MS);
	turn_want(&ts, &b, 0);
	assert_ptr_equal(turn_next(&ts), &b);
}

static void who_leaves_is_not_next(void **state)
{
	(void)state;
	turn_want(&ts, &a, 0);
	turn_want(&ts, &b, 0);
	turn_want(&ts, &c, 0);
	turn_leave(&ts, &b);
	assert_ptr_equal(turn_next(&ts), &a);
	assert_ptr_equal(turn_next(&ts), &c);
	assert_null(turn_next(&ts));
	turn_leave(&ts, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(equals_come_in_the_order_of_asking, setup),
		cmocka_unit_test_setup(who_was_served_waits_for_who_was_not, setup),
		cmocka_unit_test_setup(idle_time_is_not_saved_up, setup),
		cmocka_unit_test_setup(a_short_one_goes_before_a_long_one_that_came_first, setup),
		cmocka_unit_test_setup(a_long_one_does_not_starve, setup),
		cmocka_unit_test_setup(connecting_anew_does_not_pay, setup),
		cmocka_unit_test_setup(who_leaves_is_not_next, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

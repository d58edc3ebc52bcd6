/* SPDX-License-Identifier: Apache-2.0 */
/* What an ethdev port lost, as its driver tells it; the driver is one of our own, by its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>
#include <rte_ethdev.h>

#include "ethdev_inside.h"

static struct rte_eth_stats answer;
static int answers; /* 0, or what it says instead of an answer */

/* In the place of DPDK's. */
int rte_eth_stats_get(uint16_t id, struct rte_eth_stats *stats)
{
	if (answers == 0)
		*stats = answer;
	return answers;
}

static void counters_of_a_device_that_cannot_be_asked_do_not_go_back(void **state)
{
	static struct ethdev e;
	struct kind_port kp = {.priv = &e};
	struct kind_lost lost = {0};

	e.xq[1].no_buffer = 5;
	answer = (struct rte_eth_stats){.imissed = 1, .ierrors = 2, .rx_nombuf = 3, .oerrors = 4};
	ethdev_lost(&kp, &lost);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(lost.rx_missed, 1);
		assert_int_equal(lost.rx_error, 2);
		assert_int_equal(lost.rx_no_buffer, 8);
		assert_int_equal(lost.tx_error, 4);
		/* As of an unplugged one. */
		answers = -EIO;
		lost = (struct kind_lost){0};
		ethdev_lost(&kp, &lost);
	}
	/* And it goes on from there. */
	answers = 0;
	answer.imissed = 10;
	e.xq[1].no_buffer = 6;
	ethdev_lost(&kp, &lost);
	assert_int_equal(lost.rx_missed, 10);
	assert_int_equal(lost.rx_no_buffer, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_of_a_device_that_cannot_be_asked_do_not_go_back),
	};

	return cmocka_run_group_tests_name("ethdev", tests, NULL, NULL);
}

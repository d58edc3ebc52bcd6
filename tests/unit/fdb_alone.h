/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FDB_ALONE_H
#define TESTS_UNIT_FDB_ALONE_H

/* A forwarding database that the test alone writes and reads: no thread has to be waited for, it is only counted how often one would be. */

#include "fdb_check.h"

#define PORTS 64

static unsigned grace_periods;

static inline void quiesce(void *arg)
{
	(void)arg;
	grace_periods++;
}

static inline struct fdb *make(uint32_t max)
{
	struct fdb *f = fdb_new(max, PORTS, quiesce, NULL);

	assert_non_null(f);
	return f;
}

static inline void done(struct fdb *f)
{
	fdb_check(f);
	fdb_free(f);
}

/* Learn, growing as the control thread would. */
static inline int learn_tended(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	int r = fdb_learn(f, key, port, now_s);

	if (fdb_wants_room(f))
		fdb_tend(f, now_s, 0);
	return r;
}

#endif

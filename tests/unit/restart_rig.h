/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RESTART_RIG_H
#define TESTS_RESTART_RIG_H

/*
 * A daemon on a switch that is not there and with a state file of its own, that ends and starts again. Its client is "me". Included once by a
 * test program.
 */

#include "rpc_rig.h"
#include "daemon/load.h"
#include "daemon/txn.h"
#include "state_rig.h"

static inline void load(void)
{
	struct state *s;

	if (state_open(&s, rig_path, rig_why, sizeof(rig_why)) < 0)
		fail_msg("%s", rig_why);
	assert_int_equal(ctl_load(&ctl, s), 0);
}

static inline void stop_daemon(void)
{
	rpc_session_fini(&session);
	ctl_fini(&ctl);
}

static inline void start_daemon(void)
{
	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, false);
	load();
	hello(&session, "me");
}

static inline void restart(void)
{
	stop_daemon();
	start_daemon();
}

static inline int start(void **state)
{
	if (rig_make() < 0)
		return -1;
	start_daemon();
	return 0;
}

static inline int stop(void **state)
{
	stop_daemon();
	rig_remove();
	return 0;
}

/* The trunk's port, as a start makes it: 0 or -errno with *err. */
static inline int try_trunk(struct txn_error *err)
{
	struct port_conf *conf = malloc(sizeof(*conf));
	struct txn t;
	int ret;

	schema_defaults(&schema_port, conf);
	schema_set_name(&schema_port, conf, "slc0", NULL);
	snprintf(conf->dp.kind, sizeof(conf->dp.kind), "trunk");
	txn_init(&t, &ctl);
	ret = txn_put(&t, &schema_port, "slc0", STORE_NOBODY, conf, TXN_NO_INDEX);
	if (ret == 0)
		ret = txn_run(&t, false, err);
	txn_free(&t);
	return ret;
}

static inline void make_trunk(void)
{
	struct txn_error err;

	assert_int_equal(try_trunk(&err), 0);
}

#endif

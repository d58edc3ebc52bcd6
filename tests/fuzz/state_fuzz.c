/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever lies at the state file's path when the daemon starts.
 *
 * The input is the file; with a first byte that is odd, its second half is the log beside it. Besides not crashing,
 *  - the daemon starts: with all of the file, or with nothing of it;
 *  - a file that is not used is put aside, byte for byte;
 *  - the next apply works, and the next start finds it.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/load.h"
#include "daemon/rpc.h"
#include "schema/objects.h"
#include "../unit/fake_dp.h"
#include "../unit/state_rig.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fake_must(rig_make() == 0);
	atexit(rig_remove);
	return 0;
}

static void start(struct ctl *ctl)
{
	struct state *s = NULL;

	memset(&fake_dp, 0, sizeof(fake_dp));
	ctl_init(ctl, &fake_dp);
	if (state_open(&s, rig_path, rig_why, sizeof(rig_why)) < 0) {
		fprintf(stderr, "%s\n", rig_why);
		abort();
	}
	fake_must(ctl_load(ctl, s) == 0);
}

/* What is in force and what is pending is the store. */
static void check_agreement(const struct ctl *ctl)
{
	size_t held = fake_dp.n_ports;

	for (unsigned id = 0; id < DP_VLAN_N; id++)
		held += fake_dp.has_vlan[id];
	fake_must(held + ctl->store.n_pending + table_count(&ctl->store.objects, &schema_class) == ctl->store.objects.n);
	fake_must(store_applied(&ctl->store) <= ctl->store.generation);
}

static void check_aside(const struct ctl *ctl, const uint8_t *file, size_t n)
{
	size_t aside_n;
	char *aside;

	if (!state_aside(ctl->state))
		return;
	fake_must(ctl->store.objects.n == SCHEMA_N_CLASSES && ctl->store.generation == 0);
	aside = rig_read(state_aside(ctl->state), &aside_n);
	fake_must(aside && aside_n == n && !memcmp(aside, file, n));
	free(aside);
}

static void apply_one(struct ctl *ctl)
{
	static const char line[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"apply\",\"params\":{\"force\":true,\"ops\":["
		"{\"op\":\"add\",\"object\":\"port\",\"name\":\"fresh\",\"attrs\":{\"kind\":\"memif\",\"path\":\"/f/r\"}},"
		"{\"op\":\"set\",\"object\":\"port\",\"name\":\"fresh\",\"attrs\":{\"out_bps\":12345}}]}}";
	struct rpc_session session;
	char *reply;
	size_t len;

	rpc_session_init(&session, ctl, false);
	fake_must(rpc_handle(&session, line, sizeof(line) - 1, &reply, &len) == 0);
	if (!memmem(reply, len, "\"result\"", 8)) {
		fprintf(stderr, "%.*s", (int)len, reply);
		abort();
	}
	free(reply);
}

static void check_restart(const struct ctl *ctl)
{
	uint64_t generation = ctl->store.generation;
	size_t n = ctl->store.objects.n;
	const struct object *fresh;
	struct ctl again;

	start(&again);
	fake_must(!state_aside(again.state));
	fake_must(again.store.generation == generation && again.store.objects.n == n);
	fresh = table_find(&again.store.objects, &schema_port, "fresh");
	fake_must(fresh && ((const struct port_conf *)fresh->conf)->dp.out.bps == 12345);
	ctl_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n;
	struct ctl ctl;
	char wal[128];

	if (!size)
		return 0;
	n = data[0] & 1 ? (size - 1) / 2 : size - 1;
	rig_write(rig_path, (const char *)data + 1, n);
	if (n < size - 1) {
		snprintf(wal, sizeof(wal), "%s-wal", rig_path);
		rig_write(wal, (const char *)data + 1 + n, size - 1 - n);
	}
	start(&ctl);
	check_agreement(&ctl);
	check_aside(&ctl, data + 1, n);
	apply_one(&ctl);
	check_agreement(&ctl);
	/* Its file is let go before another start opens it. */
	state_close(ctl.state);
	ctl.state = NULL;
	check_restart(&ctl);
	ctl_fini(&ctl);
	rig_empty();
	return 0;
}

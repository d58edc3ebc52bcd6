/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <cap-ng.h>

#include "caps.h"
#include "ctl.h"
#include "log.h"

/*
 * Each was found by taking it away and running the system tests. af-packet, tap and netlink need the first two, memif CAP_DAC_OVERRIDE only.
 * CAP_BPF and CAP_PERFMON instead of CAP_SYS_ADMIN would load the programs, but libxdp finds what is on a netdev already by
 * BPF_PROG_GET_FD_BY_ID, and a container's namespace is entered with setns(): both the kernel gives to CAP_SYS_ADMIN alone. And it shows a
 * process's namespace (/proc/PID/ns/net) to who has every capability that the process has, as a container's first one has more than we
 * keep, or CAP_SYS_PTRACE.
 */
static const struct {
	unsigned cap;
	const char *name;
	const char *without; /* what does not work */
} kept[] = {
	{CAP_NET_ADMIN, "capability net_admin", "missing: no tap devices; netdevs cannot be set up, nor an MTU changed"},
	{CAP_NET_RAW, "capability net_raw", "missing: no ports of kind af-packet and af-xdp"},
	{CAP_SYS_ADMIN, "capability sys_admin", "missing: no ports of kind af-xdp and veth, and no trunk"},
	{CAP_SYS_PTRACE, "capability sys_ptrace", "missing: no ports of kind veth in a namespace that is given by a pid"},
	{CAP_IPC_LOCK, "capability ipc_lock", "missing: af-xdp and vfio are bounded by the limit of locked memory"},
	{CAP_DAC_OVERRIDE, "capability dac_override", "missing: peers' sockets must be open to root by their mode"},
};

#define N_KEPT (sizeof(kept) / sizeof(kept[0]))

static bool have(unsigned cap)
{
	return capng_have_capability(CAPNG_PERMITTED, cap);
}

static int fail(char *why, size_t size, const char *what)
{
	int ret = errno ? -errno : -EPERM;

	snprintf(why, size, "cannot drop capabilities: %s: %s", what, strerror(-ret));
	return ret;
}

int caps_drop(char *why, size_t size)
{
	bool had[N_KEPT], bounding;

	errno = 0;
	if (capng_get_caps_process() < 0)
		return fail(why, size, "capget");
	/* Without it the bounding set stays; no_new_privs holds all the same. */
	bounding = have(CAP_SETPCAP);
	for (size_t i = 0; i < N_KEPT; i++)
		had[i] = have(kept[i].cap);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, size, "no_new_privs");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return fail(why, size, "ambient set");
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < N_KEPT; i++)
		if (had[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, kept[i].cap);
	errno = 0;
	if (capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0)
		return fail(why, size, "capset");
	return 0;
}

void caps_report(struct ctl *ctl)
{
	if (capng_get_caps_process() < 0)
		return;
	for (size_t i = 0; i < N_KEPT; i++) {
		if (have(kept[i].cap))
			continue;
		log_printf(LOG_WARNING, "%s: %s", kept[i].name, kept[i].without);
		ctl_note(ctl, kept[i].name, kept[i].without);
	}
}

void caps_drop_thread(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) == 0)
		return;
	/* A worker with privileges is not what was promised. */
	log_line(LOG_CRIT, "a worker cannot give up its capabilities");
	abort();
}

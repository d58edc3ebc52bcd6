/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_WAIT_H
#define CTL_WAIT_H

/*
 * wait: requests that are answered when a generation is in force, or when their time is up.
 *
 *      wait {generation 9} --applied >= 9--> {"generation", "applied"}
 *                |         --time is up----> error "timeout", naming what is not applied
 *                +---------client goes-----> forgotten
 *
 * A request is held in a list (rpc.h, Later); each CTL_GENERATION walks over it. The daemon never waits.
 *
 * Control thread only.
 */

#include "ctl.h"

/* When the first is due, UINT64_MAX: none waits. */
uint64_t wait_due(const struct ctl *ctl);
/* End those whose time is up. */
void wait_run(struct ctl *ctl, uint64_t now_us);
/* Before ctl goes, after its sessions went. */
void wait_fini(struct ctl *ctl);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_COMMANDS_H
#define CTL_CNI_COMMANDS_H

/*
 * The order of things, and the way back.
 *
 *      ADD     is the namespace there, and free of such a netdev? is the daemon there?      nothing to take back yet
 *              IPAM ADD                          else: IPAM DEL
 *              port added, in force              else: port deleted, IPAM DEL
 *              netdev found, other routes set    else: the same
 *              result printed                    else: the same
 *
 *              An IPAM plugin that asks through the netdev (dhcp) comes after a port without address, which its answer is then given to; and
 *              DEL asks it first, for it says there that the address is free.
 *
 *              Killed in the middle, it leaves an address, or that and a port, which may not be in force yet: DEL finds both.
 *
 *      DEL     port deleted, then IPAM DEL, whatever became of the first: as much as possible goes. A namespace that is gone, a port that
 *              is not known and an address that is not reserved are what DEL wants. The daemon not being there is an error, TRY_AGAIN:
 *              the port is in its state and would come back.
 *      CHECK   prevResult against the netdev, its addresses and routes; the daemon's port; IPAM CHECK
 *      GC      of each port of this network that is in no valid attachment: IPAM DEL, then the port (gc.h); then IPAM GC, whatever became of those
 *      STATUS  the daemon, then IPAM STATUS
 */

#include <stdio.h>

#include "conf.h"

/* Do what the environment and the text on `in` say, and print to `out`. The process's exit status. */
int commands_run(FILE *in, FILE *out);

#endif

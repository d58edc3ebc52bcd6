/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_KERNEL_H
#define CTL_KERNEL_H

/*
 * The kernel engine in the control plane: fat containers (kind=veth) and the trunk (kind=trunk).
 *
 *      object                 dataplane                                  kernel (bpf/kern.h)
 *      vlan 100               VLAN 100                                   VLAN 100
 *      port slc0 kind=trunk   a port on the netdev that leads to it,     the netdev slc0: the trunk
 *                             by what the backend says (bpf/backend.h)
 *      port web1 kind=veth    its addresses, bound behind the trunk      pair, programs, limits
 *
 * One table: an address of a container's is told to both engines from the one object, in the one transaction.
 * A learned one that the switch has heard elsewhere since is forgotten here: within about a second if the switch had it behind the trunk, within
 * ten if not.
 *
 * What is here is translation: the schema's structs to those of bpf/, and state, counters and addresses back to JSON. The kernel engine lives
 * as long as the daemon, and what it made outlives it.
 *
 * Control thread only.
 */

#include <stdbool.h>

#include "kern.h"
#include "schema/objects.h"
#include "ctl.h"

struct config;

/*
 * Open the kernel engine and the trunk, as far as this kernel and the configuration have them, and add it to ctl's engines in any case.
 * Before ctl_load(). What is missing is noted.
 */
void kernel_open(struct ctl *ctl, const struct config *config);
/* After ctl_load(): the trunk's port, if it was never made. 0 or -ENOMEM. */
int kernel_trunk_port(struct ctl *ctl);
void kernel_close(struct ctl *ctl);

/*
 * `self` is the struct ctl. One whose `kern` is NULL still carries what is the kernel's, and refuses containers: nobody else would make
 * them, and an object that nobody carries counts as in force.
 */
extern const struct engine_type kernel_engine;

/* A port that the kernel carries; NULL conf: none. */
bool kernel_is_veth(const struct port_conf *conf);
/* A port of kind trunk; NULL conf: none. */
bool kernel_is_trunk(const struct port_conf *conf);
/* Its configuration as the switch wants it: on which netdev, and how that is reached, is not the object's to say but this daemon's. */
void kernel_trunk_conf(const struct ctl *ctl, const struct port_conf *conf, struct dp_port_conf *out);

/*
 * An operation that makes the trunk's port, while its netdev is not there (it was removed; or its name was another's): make that first, as the one that was lost
 * if one was. Any other operation is none of this. The switch, which opens it, prepares first and calls this; what kept it from being made is told by
 * the kernel engine, as its own lack (ctl->trunk_lack), with no second try: what one engine has not found in a change the other must not.
 */
void kernel_trunk_make(struct ctl *ctl, const struct engine_op *op);

/* `state` of a port, as get shows it; NULL when out of memory or there is no such port. */
json_t *kernel_port_state(struct ctl *ctl, const char *name);
/* Counters of a port in the dataplane's form. -ENOENT: the kernel engine has no such port. */
int kernel_port_stats(struct ctl *ctl, const char *name, struct dp_port_stats *out);
/*
 * Add what was dropped at the kernel's end of the trunk, towards the switch, from it, and of the host's own stack. The frames themselves are the
 * switch's to count.
 */
void kernel_trunk_drops(struct ctl *ctl, struct dp_port_stats *sum);
/* Add those of every port of the kernel engine's, and the trunk's drops. */
void kernel_node_stats(struct ctl *ctl, struct dp_port_stats *sum);

#endif

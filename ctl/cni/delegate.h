/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_DELEGATE_H
#define CTL_CNI_DELEGATE_H

/*
 * Running the IPAM plugin: a program of the name in `ipam.type`, found in CNI_PATH, with our environment and our configuration
 * on its stdin. Where GC has it called for another attachment (gc.h), `env` says for which.
 *
 * It is another's program, so it is held to bounds: `ipamTimeoutMs` for its whole run, after which it and what it started in its
 * process group are killed; CONF_BYTES_MAX of output; a result that is a JSON object. Its stderr is ours, as the specification
 * wants.
 *
 * One plugin is not satisfied with a file: `dhcp` has its daemon ask a server, through the container's netdev. So the port is there before it,
 * and after it is told to give the address back (delegate_needs_link()).
 *
 * An older plugin than the configuration's version (Debian 12's speak 1.0.0) answers "incompatible". Then it is asked for its
 * versions and called again with the newest that both know; GC and STATUS, which came with 1.1.0, have nothing to do in a plugin
 * before that. What IPAM returns means the same in all of them.
 */

#include <jansson.h>

#include "conf.h"

/*
 * Run it with `command`, which may be another than our own: DEL takes an ADD back. Variables that are set in `env` are set for it,
 * others are as they are in our environment. *result (ADD only; NULL for others) is what
 * it printed. The plugin's own error, code and all, or BAD_CONFIG (none of that name), IO, TRY_AGAIN (too slow), DECODE (junk),
 * IPAM.
 */
int delegate(const struct cni_conf *c, const struct cni_env *env, enum cni_command command, json_t **result, struct cni_error *err);

/* Whether the plugin speaks through the netdev that the address is for. */
bool delegate_needs_link(const struct cni_conf *c);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_WANTS_H
#define CTL_CNI_WANTS_H

/*
 * Which MAC and which addresses a runtime asks for, from the three places where it may: runtimeConfig {mac, ips}, args.cni {mac,
 * ips}, CNI_ARGS "MAC=..;IP=..;GATEWAY=..;IgnoreUnknown=1".
 *
 * An IPAM plugin reads the same places itself; what is found here is then only the MAC, and addresses count where there is no
 * `ipam`.
 */

#include "conf.h"

/* Into c->mac, c->ips, c->gateway. BAD_CONFIG, or BAD_ENVIRONMENT for CNI_ARGS. */
int wants_read(struct cni_conf *c, const struct cni_env *env, struct cni_error *err);

#endif

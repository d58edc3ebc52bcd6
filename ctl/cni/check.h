/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_CHECK_H
#define CTL_CNI_CHECK_H

/*
 * CHECK: is the attachment as ADD left it?
 *
 * Plugins that came after this one in the chain may have changed more than they said, so what is compared is what the last
 * result claims, and not more: the netdev is there and up, with its MAC (and, in 1.1.0, MTU); each of its addresses is on it;
 * there is some route to each destination, by whatever gateway. The daemon must know the port, in its VLAN, in force.
 */

#include "conf.h"
#include "node.h"

/* DIFFERS, UNKNOWN_CONTAINER, BAD_CONFIG (no prevResult, or one without this interface), IO. */
int check_container(const struct cni_conf *c, const struct cni_env *env, struct cni_error *err);
int check_attached(struct node *node, const struct cni_conf *c, const char *port, struct cni_error *err);

#endif

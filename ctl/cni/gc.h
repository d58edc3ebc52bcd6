/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_GC_H
#define CTL_CNI_GC_H

/*
 * GC: what a network's attachments left behind that nobody said DEL for.
 *
 *      cni.dev/valid-attachments --> names of the ports that stay
 *      daemon's ports of client "cni" whose name is of this network, and not among those:
 *              label, ifname  --IPAM DEL--> the address is free
 *              port           --del-------> gone
 *
 * Why DEL, if there is IPAM GC. Plugins of before 1.1.0 (Debian 12's) do not have it. Those of after say that they do: host-local and dhcp of
 * containernetworking-plugins 1.5 to 1.9 take a GC, do nothing, and succeed, so their version says nothing. DEL of what is free already is
 * none the worse, so each attachment that is known gets one, and GC is passed on behind it (commands.h) for what is not known here.
 *
 * The daemon's state is all that remembers an attachment: the container's id is the port's label, which counts if it makes the port's name
 * again together with the network's name and the netdev's (anybody may change a label). Of a port without, only the port goes; a
 * line on stderr says so.
 *
 * The port goes after the address. Until then it is there to say whose the address is, so a plugin that fails has its chance at the next GC; and
 * dhcp says through it, to the server, that the address is free: its daemon is still in the namespace, which is gone for everybody else.
 *
 * CNI_NETNS is empty in that DEL. What is at the path now, if there is anything, is somebody else's.
 *
 * A plugin that fails keeps its port, and the others go on; a daemon that fails ends it: it would do so each time. The first error is told.
 */

#include "conf.h"
#include "node.h"

/* {"port's name":true} for every valid attachment: new, also if it fails. BAD_CONFIG: no list, or not of attachments. */
int gc_valid(const struct cni_conf *c, json_t **valid, struct cni_error *err);
/* Remove the network's ports that are not among them. */
int gc_ports(struct node *node, const struct cni_conf *c, const struct cni_env *env, const json_t *valid, struct cni_error *err);

#endif

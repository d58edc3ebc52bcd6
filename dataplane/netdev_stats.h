/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_NETDEV_STATS_H
#define DATAPLANE_NETDEV_STATS_H

/*
 * What the kernel counted on a netdev: a kind whose frames can be lost before it sees them finds it there. One rtnetlink question (RTM_GETSTATS, Linux 4.7),
 * whose answer is one struct.
 *
 * By hand: libnl-route (3.7) does not know the question, and what libnl-3 would do for it is to copy this struct into memory that may be short, and the
 * answer out of it. It is asked of every such port each time that counters are read. For all other talk with rtnetlink there is bpf/netlink.h.
 */

#include <linux/if_link.h>

/*
 * `sock`: an rtnetlink socket in the namespace where the netdev is; it is left without messages. 0, or -errno and *out is zero: -ENODEV the netdev is
 * gone. Control thread.
 */
int netdev_stats(int sock, unsigned ifindex, struct rtnl_link_stats64 *out);

#endif

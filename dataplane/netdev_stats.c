/* SPDX-License-Identifier: Apache-2.0 */
#include "netdev_stats.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/rtnetlink.h>
#include <sys/socket.h>

int netdev_stats(int sock, unsigned ifindex, struct rtnl_link_stats64 *out)
{
	const struct {
		struct nlmsghdr h;
		struct if_stats_msg m;
	} ask = {
		{.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETSTATS, .nlmsg_flags = NLM_F_REQUEST},
		{.family = AF_UNSPEC, .ifindex = ifindex, .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)},
	};
	union {
		struct {
			struct nlmsghdr h;
			struct if_stats_msg m;
			struct rtattr a;
			struct rtnl_link_stats64 stats;
		};
		struct {
			struct nlmsghdr head;
			struct nlmsgerr refused;
		};
		char room[1024]; /* a later kernel's counters */
	} answer = {0};
	struct sockaddr_nl from = {0};
	ssize_t n;

	memset(out, 0, sizeof(*out));
	if (send(sock, &ask, sizeof(ask), 0) < 0)
		return -errno;
	/* A question about one netdev is answered while it is sent. Who is root where the netdev is may write to us, too: only the kernel counts. */
	do {
		socklen_t len = sizeof(from);

		n = recvfrom(sock, &answer, sizeof(answer), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	} while (n >= 0 && from.nl_pid);
	if (n < 0)
		return -errno;
	if (n >= NLMSG_LENGTH((int)sizeof(answer.refused)) && answer.h.nlmsg_type == NLMSG_ERROR)
		return answer.refused.error < 0 ? answer.refused.error : -EPROTO;
	/* Counters that an older kernel does not have stay zero. */
	if (n < (ssize_t)offsetof(typeof(answer), stats) || answer.h.nlmsg_type != RTM_NEWSTATS ||
	    answer.a.rta_type != IFLA_STATS_LINK_64)
		return -EPROTO;
	*out = answer.stats;
	return 0;
}

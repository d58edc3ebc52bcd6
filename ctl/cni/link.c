/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/vfs.h>

#include "link.h"

#define REPLY_BYTES 65536 /* a part of a dump is at most half of it */
#define PATIENCE_S  5	  /* the kernel answers at once, or something is badly wrong */

/* --- the socket --------------------------------------------------------------------------------------------------------------- */

static int open_namespace(const char *path, struct cni_error *err)
{
	/* Not blocking: a path that turns out to be a FIFO must not hold us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct statfs fs;

	if (fd < 0) {
		cni_fail(err, errno == ENOENT || errno == ENOTDIR ? CNI_UNKNOWN_CONTAINER : CNI_IO, NULL,
			 "network namespace %.300s: %s", path, strerror(errno));
		return -1;
	}
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		close(fd);
		cni_fail(err, CNI_BAD_ENVIRONMENT, NULL, "invalid environment: CNI_NETNS %.300s: not a network namespace", path);
		return -1;
	}
	return fd;
}

static int make_socket(void)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (sock >= 0)
		setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return sock;
}

int link_open(const char *path, struct cni_error *err)
{
	int home, there, sock = -1, ret;

	if (!path) {
		sock = make_socket();
		return sock >= 0 ? sock : (cni_fail(err, CNI_IO, NULL, "netlink: %s", strerror(errno)), -1);
	}
	there = open_namespace(path, err);
	if (there < 0)
		return -1;
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ret = home < 0 ? -1 : setns(there, CLONE_NEWNET);
	if (ret == 0) {
		sock = make_socket();
		ret = errno;
		/* Everything after this would happen to the container. */
		if (setns(home, CLONE_NEWNET) < 0)
			abort();
		errno = ret;
	}
	if (sock < 0)
		cni_fail(err, CNI_IO, NULL, "network namespace %.300s: %s", path, strerror(errno));
	close(there);
	if (home >= 0)
		close(home);
	return sock;
}

/* --- questions ---------------------------------------------------------------------------------------------------------------- */

struct question {
	struct nlmsghdr head;
	char body[512];
};

static void begin(struct question *q, uint16_t type, uint16_t flags, const void *family, size_t size)
{
	memset(q, 0, sizeof(*q));
	q->head.nlmsg_len = NLMSG_LENGTH(size);
	q->head.nlmsg_type = type;
	q->head.nlmsg_flags = NLM_F_REQUEST | flags;
	q->head.nlmsg_seq = 1;
	memcpy(NLMSG_DATA(&q->head), family, size);
}

static struct rtattr *put(struct question *q, uint16_t type, const void *data, size_t size)
{
	struct rtattr *at = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));

	at->rta_type = type;
	at->rta_len = RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(at), data, size);
	q->head.nlmsg_len = NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(at->rta_len);
	return at;
}

static void put_u32(struct question *q, uint16_t type, uint32_t value)
{
	put(q, type, &value, sizeof(value));
}

/* Show a message to `take` until it has found what it looks for. True at the end of the answer, which *ret then is. */
static bool read_message(const struct nlmsghdr *msg, int (*take)(const struct nlmsghdr *msg, void *arg), void *arg, int *ret)
{
	int error = msg->nlmsg_type == NLMSG_ERROR ? ((const struct nlmsgerr *)NLMSG_DATA(msg))->error : 0;

	if (msg->nlmsg_type == NLMSG_ERROR || msg->nlmsg_type == NLMSG_DONE) {
		*ret = error ? error : *ret;
		return true;
	}
	if (take && !*ret)
		*ret = take(msg, arg);
	return !(msg->nlmsg_flags & NLM_F_MULTI);
}

/*
 * 1 if `take` said so of a message, 0 if of none, or a negative errno. Read to the end in any case: half a dump is in the next one's way.
 */
static int read_answers(int sock, int (*take)(const struct nlmsghdr *msg, void *arg), void *arg)
{
	static char reply[REPLY_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	int ret = 0;

	for (;;) {
		ssize_t n = recv(sock, reply, sizeof(reply), 0);
		size_t at = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		while (at + sizeof(struct nlmsghdr) <= (size_t)n) {
			const struct nlmsghdr *msg = (const struct nlmsghdr *)(reply + at);

			if (read_message(msg, take, arg, &ret))
				return ret;
			at += NLMSG_ALIGN(msg->nlmsg_len);
		}
	}
}

static int ask(int sock, struct question *q, int (*take)(const struct nlmsghdr *msg, void *arg), void *arg)
{
	if (send(sock, q, q->head.nlmsg_len, 0) < 0)
		return -errno;
	return read_answers(sock, take, arg);
}

/* Walk the attributes behind a message's fixed part. */
#define FOREACH_ATTR(at, msg, size)                                                                                        \
	for (int left_ = (msg)->nlmsg_len - NLMSG_SPACE(size), once_ = 1; once_; once_ = 0)                                \
		for (const struct rtattr *at = (const struct rtattr *)((const char *)NLMSG_DATA(msg) + NLMSG_ALIGN(size)); \
		     RTA_OK(at, left_); at = RTA_NEXT(at, left_))

/* --- links -------------------------------------------------------------------------------------------------------------------- */

static int take_link(const struct nlmsghdr *msg, void *arg)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(msg);
	struct link *link = arg;

	if (msg->nlmsg_type != RTM_NEWLINK)
		return 0;
	memset(link, 0, sizeof(*link));
	link->ifindex = ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	FOREACH_ATTR(at, msg, sizeof(*ifi))
	{
		const uint8_t *b = RTA_DATA(at);

		if (at->rta_type == IFLA_IFNAME)
			snprintf(link->name, sizeof(link->name), "%s", (const char *)b);
		else if (at->rta_type == IFLA_MTU)
			memcpy(&link->mtu, b, sizeof(link->mtu));
		else if (at->rta_type == IFLA_LINK)
			memcpy(&link->peer, b, sizeof(link->peer));
		else if (at->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(at) == 6)
			snprintf(link->mac, sizeof(link->mac), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	}
	return 1;
}

static int found(int ret)
{
	return ret == 1 ? 0 : ret == 0 ? -ENODEV : ret;
}

int link_find(int sock, const char *name, struct link *link)
{
	struct ifinfomsg ifi = {0};
	struct question q;

	begin(&q, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	put(&q, IFLA_IFNAME, name, strlen(name) + 1);
	return found(ask(sock, &q, take_link, link));
}

int link_by_index(int sock, int ifindex, struct link *link)
{
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct question q;

	begin(&q, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	return found(ask(sock, &q, take_link, link));
}

/* --- addresses ---------------------------------------------------------------------------------------------------------------- */

static size_t addr_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

bool link_addr_parse(const char *text, bool bare, struct link_addr *addr)
{
	const char *slash = strchr(text, '/');
	char ip[INET6_ADDRSTRLEN];
	unsigned long prefix;
	char *end;

	memset(addr, 0, sizeof(*addr));
	addr->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if ((!slash && !bare) || (size_t)snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text, "/"), text) >= sizeof(ip) ||
	    inet_pton(addr->family, ip, addr->bytes) != 1)
		return false;
	addr->prefix = addr_size(addr->family) * 8;
	if (!slash)
		return true;
	prefix = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end || prefix > addr->prefix)
		return false;
	addr->prefix = prefix;
	return true;
}

struct has_addr {
	int ifindex;
	const struct link_addr *addr;
};

static int take_addr(const struct nlmsghdr *msg, void *arg)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(msg);
	const struct has_addr *want = arg;
	const void *local = NULL, *address = NULL;

	if (msg->nlmsg_type != RTM_NEWADDR || (int)ifa->ifa_index != want->ifindex || ifa->ifa_family != want->addr->family ||
	    ifa->ifa_prefixlen != want->addr->prefix)
		return 0;
	FOREACH_ATTR(at, msg, sizeof(*ifa))
	{
		if (RTA_PAYLOAD(at) < addr_size(ifa->ifa_family))
			continue;
		if (at->rta_type == IFA_LOCAL)
			local = RTA_DATA(at);
		else if (at->rta_type == IFA_ADDRESS)
			address = RTA_DATA(at);
	}
	local = local ? local : address;
	return local && !memcmp(local, want->addr->bytes, addr_size(ifa->ifa_family));
}

int link_has_addr(int sock, int ifindex, const struct link_addr *addr)
{
	struct ifaddrmsg ifa = {.ifa_family = addr->family};
	struct has_addr want = {ifindex, addr};
	struct question q;

	begin(&q, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa));
	return ask(sock, &q, take_addr, &want);
}

/* --- routes ------------------------------------------------------------------------------------------------------------------- */

/* Its destination with the bits behind the prefix cleared, as the kernel keeps it. */
static struct link_addr network_of(struct link_addr dst)
{
	for (unsigned bit = dst.prefix; bit < 128; bit++)
		dst.bytes[bit / 8] &= ~(0x80 >> bit % 8);
	return dst;
}

static int take_route(const struct nlmsghdr *msg, void *arg)
{
	const struct rtmsg *rt = NLMSG_DATA(msg);
	const struct link_addr *want = arg;

	if (msg->nlmsg_type != RTM_NEWROUTE || rt->rtm_family != want->family || rt->rtm_dst_len != want->prefix)
		return 0;
	if (want->prefix == 0)
		return rt->rtm_type == RTN_UNICAST;
	FOREACH_ATTR(at, msg, sizeof(*rt))
	if (at->rta_type == RTA_DST && RTA_PAYLOAD(at) >= addr_size(want->family))
		return !memcmp(RTA_DATA(at), want->bytes, addr_size(want->family));
	return 0;
}

int link_has_route(int sock, const struct link_addr *dst)
{
	struct link_addr net = network_of(*dst);
	struct rtmsg rt = {.rtm_family = dst->family};
	struct question q;

	begin(&q, RTM_GETROUTE, NLM_F_DUMP, &rt, sizeof(rt));
	return ask(sock, &q, take_route, &net);
}

static void put_metrics(struct question *q, const struct link_route *r)
{
	struct rtattr *nest;

	if (!r->mtu && !r->advmss)
		return;
	nest = put(q, RTA_METRICS, NULL, 0);
	if (r->mtu)
		put_u32(q, RTAX_MTU, r->mtu);
	if (r->advmss)
		put_u32(q, RTAX_ADVMSS, r->advmss);
	nest->rta_len = (char *)q + q->head.nlmsg_len - (char *)nest;
}

int link_add_route(int sock, int ifindex, const struct link_route *r)
{
	struct link_addr net = network_of(r->dst);
	size_t size = addr_size(net.family);
	struct rtmsg rt = {
		.rtm_family = net.family,
		.rtm_dst_len = net.prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = r->has_scope			   ? r->scope
			     : r->has_gw || net.family == AF_INET6 ? RT_SCOPE_UNIVERSE
								   : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	struct question q;
	int ret;

	/* Appended: one of several ways to one place does not take the others' place. */
	begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, &rt, sizeof(rt));
	if (net.prefix)
		put(&q, RTA_DST, net.bytes, size);
	if (r->has_gw)
		put(&q, RTA_GATEWAY, r->gw, size);
	put_u32(&q, RTA_OIF, ifindex);
	if (r->priority)
		put_u32(&q, RTA_PRIORITY, r->priority);
	if (r->table)
		put_u32(&q, RTA_TABLE, r->table);
	put_metrics(&q, r);
	ret = ask(sock, &q, NULL, NULL);
	return ret == -EEXIST ? 0 : ret;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs at netdevs: clsact, by libbpf's bpf_tc_*(). (Links to tc, TCX, outlive their maker only if pinned one by one, need Linux 6.6 and
 * a newer libbpf; a filter stays with the netdev and goes with it.) Handle and priority are ours and fixed, so that the next version's program
 * replaces this one's in one step.
 */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/pkt_sched.h>

#define TC_HANDLE   0x51c
#define TC_PRIORITY 0x51c

static enum bpf_tc_attach_point point(enum prog prog)
{
	return prog == PROG_TRUNK_OUT ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

int tc_attach(struct kern *e, uint32_t ifindex, enum prog prog)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point(prog));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY, .prog_fd = maps_prog(e, prog),
		    .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	if (r < 0 && r != -EEXIST)
		return r;
	return bpf_tc_attach(&hook, &opts);
}

static int count_filter(void *arg, struct nl_msg *msg)
{
	unsigned *n = arg;

	*n += nlmsg_hdr(msg)->nlmsg_type == RTM_NEWTFILTER;
	return 0;
}

void tc_detach_all(struct netlink *nl, uint32_t ifindex)
{
	static const struct {
		enum bpf_tc_attach_point point;
		uint32_t parent;
	} hooks[] = {{BPF_TC_INGRESS, TC_H_MIN_INGRESS}, {BPF_TC_EGRESS, TC_H_MIN_EGRESS}};
	LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	unsigned others = 0;
	int r = 0;

	for (unsigned i = 0; i < 2; i++) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = hooks[i].point);
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);
		struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_MAKE(TC_H_CLSACT, hooks[i].parent)};

		bpf_tc_detach(&hook, &opts);
		if (r == 0)
			r = netlink_ask(nl, 0, netlink_request(RTM_GETTFILTER, NLM_F_DUMP, &tc, sizeof(tc)), count_filter, &others);
	}
	/* Not known is not none. */
	if (r == 0 && !others)
		bpf_tc_hook_destroy(&both);
}

void tc_silence(const char *ifname)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	/* A kernel without IPv6 has no such file, and nothing to say. */
	if (fd < 0 ? errno != ENOENT : write(fd, "1", 1) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel offers, found out by trying, in a network namespace that exists only for it. */
#include "inside.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "kern.skel.h"

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static bool programs_load(void)
{
	struct kern_bpf *skel = kern_bpf__open();
	struct bpf_map *map;
	bool ok;

	if (!skel)
		return false;
	/* On trial, nothing is pinned. */
	bpf_object__for_each_map(map, skel->obj) bpf_map__set_pin_path(map, NULL);
	ok = kern_bpf__load(skel) == 0;
	kern_bpf__destroy(skel);
	return ok;
}

static bool veth_and_htb(bool *htb)
{
	struct netlink nl;
	bool veth;

	if (netlink_open(&nl) < 0)
		return false;
	veth = veth_pair(&nl, &(struct veth_end){.ifname = "a"}, &(struct veth_end){0}) == 0;
	*htb = veth && shape_supported(&nl, if_nametoindex("a"));
	netlink_close(&nl);
	return veth;
}

void kern_probe(struct kern_features *out)
{
	static struct kern_features found;
	static bool probed;
	bool veth = false, htb = false, programs;
	int back;

	if (!probed) {
		libbpf_set_print(silent);
		programs = programs_load();
		back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (back >= 0 && unshare(CLONE_NEWNET) == 0) {
			veth = veth_and_htb(&htb);
			netns_leave(back);
		} else if (back >= 0) {
			close(back);
		}
		found.available = programs && veth;
		found.shaping = htb;
		snprintf(found.missing, sizeof(found.missing), "%s%s%s", programs ? "" : "BPF for tc as of Linux 5.17; ",
			 veth ? "" : "veth; ", htb ? "" : "HTB; ");
		if (found.missing[0])
			found.missing[strlen(found.missing) - 2] = '\0';
		probed = true;
	}
	*out = found;
}

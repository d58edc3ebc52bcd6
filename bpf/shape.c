/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shaping: HTB classes for bits/s.
 *
 *   out   host end's root qdisc: HTB 1:, one class 1:1, a byte fifo. Frames to the port leave by the host end rather than by redirect_peer.
 *   in    the shaper's root qdisc: HTB 1:, a class for each limited port. Frames from the port are sent there with their class in
 *         skb->priority, and come out of the shaper's far end, where they go on.
 *
 *             port ---> slc_port_in ---> near end [HTB 1:10][1:11]... ==veth== far end ---> slc_shaper_in ---> on
 *
 * An IFB was tried for `in` and cannot do it: what it reinjects skips the ingress programs. All limited ports share the shaper's qdisc lock; one
 * queue a port keeps their frames apart, and classes do not borrow.
 *
 * HTB charges a segmentation request what its segments are on the wire, and lets a class owe a frame that is longer than its burst; it waits
 * afterwards. So the rate is exact over any second at any frame size, and the burst can be small.
 */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <arpa/inet.h>
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/veth.h>

#define ROOT	     TC_H_MAKE(1u << 16, 0)
#define OUT_CLASS    TC_H_MAKE(1u << 16, 1)
#define OUT_LEAF     TC_H_MAKE(2u << 16, 0)
#define IN_MINOR     0x10 /* of port 0 */
#define BURST_MIN    15140
#define QUEUE_MIN    (256u << 10)
#define QUEUE_MAX    (1u << 30)
#define NS_PER_TICK  64 /* of the packet scheduler's clock */
#define HTB_VERSION_ 3

static int set_root(struct nl *nl, uint32_t ifindex, uint32_t default_minor)
{
	struct tc_htb_glob glob = {.version = HTB_VERSION_, .rate2quantum = 10, .defcls = default_minor};
	size_t at;

	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_ROOT, .tcm_handle = ROOT};
	int r;

	nl_start(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));
	nl_put_str(nl, TCA_KIND, "htb");
	at = nl_nest(nl, TCA_OPTIONS);
	nl_put(nl, TCA_HTB_INIT, &glob, sizeof(glob));
	nl_end(nl, at);
	r = nl_talk(nl);
	/* The netdev is ours, so is what is there: left by one who was killed on the way. */
	return r == -EEXIST ? 0 : r;
}

static void del_qdisc(struct nl *nl, uint32_t ifindex)
{
	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_ROOT};

	nl_start(nl, RTM_DELQDISC, 0, &tc, sizeof(tc));
	nl_talk(nl);
}

/* A burst as the time that it takes at the rate, in ticks. */
static uint32_t burst_ticks(uint64_t rate, uint64_t burst)
{
	uint64_t ticks = burst * 1000000000ull / rate / NS_PER_TICK;

	return ticks < 1 ? 1 : ticks > UINT32_MAX ? UINT32_MAX : ticks;
}

static int set_class(struct nl *nl, uint32_t ifindex, uint32_t classid, const struct kern_limit *limit)
{
	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = ROOT, .tcm_handle = classid};
	uint64_t rate = limit->bps / 8 ? limit->bps / 8 : 1, burst = limit->burst_bytes ? limit->burst_bytes : rate / 100;
	struct tc_htb_opt opt = {0};
	size_t at;

	if (!limit->burst_bytes && burst < BURST_MIN)
		burst = BURST_MIN;
	opt.rate.rate = opt.ceil.rate = rate > UINT32_MAX ? UINT32_MAX : rate;
	/* With a link layer named, the kernel computes times itself and wants no table of them. */
	opt.rate.linklayer = opt.ceil.linklayer = TC_LINKLAYER_ETHERNET;
	opt.buffer = opt.cbuffer = burst_ticks(rate, burst);
	/* Only siblings that borrow share by it; it must be given, or HTB warns. */
	opt.quantum = 65536;
	nl_start(nl, RTM_NEWTCLASS, NLM_F_CREATE, &tc, sizeof(tc));
	nl_put_str(nl, TCA_KIND, "htb");
	at = nl_nest(nl, TCA_OPTIONS);
	nl_put(nl, TCA_HTB_PARMS, &opt, sizeof(opt));
	if (rate > UINT32_MAX) {
		nl_put_u64(nl, TCA_HTB_RATE64, rate);
		nl_put_u64(nl, TCA_HTB_CEIL64, rate);
	}
	nl_end(nl, at);
	return nl_talk(nl);
}

/* 100 ms of the rate, and room for a few segmentation requests at any. */
static int set_leaf(struct nl *nl, uint32_t ifindex, uint32_t classid, uint32_t handle, const struct kern_limit *limit)
{
	uint64_t room = limit->bps / 80;
	struct tc_fifo_qopt opt = {.limit = room < QUEUE_MIN ? QUEUE_MIN : room > QUEUE_MAX ? QUEUE_MAX : room};

	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = classid, .tcm_handle = handle};

	nl_start(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc));
	nl_put_str(nl, TCA_KIND, "bfifo");
	nl_put(nl, TCA_OPTIONS, &opt, sizeof(opt));
	return nl_talk(nl);
}

static int failed(struct kern_error *err, int r, const struct nl *nl, const char *attr, const char *port)
{
	if (r == -ENOENT)
		return kern_fail(err, -EOPNOTSUPP, "not-supported", attr, "limit pps instead", "port %s: the kernel has no HTB",
				 port);
	return kern_fail_nl(err, r, nl, attr, "port %s: shaping", port);
}

/* --- what did not fit ----------------------------------------------------------------------------------------------------------- */

struct class_drops {
	uint32_t classid;
	uint64_t drops, waiting;
};

static int take_class(void *arg, const struct nlmsghdr *msg)
{
	const struct tcmsg *tc = NLMSG_DATA(msg);
	struct rtattr *at[TCA_MAX + 1], *stats[TCA_STATS_MAX + 1];
	struct class_drops *cd = arg;

	nl_attrs(msg, sizeof(*tc), at, TCA_MAX);
	if (tc->tcm_handle != cd->classid || !at[TCA_STATS2])
		return 0;
	nl_nested(at[TCA_STATS2], stats, TCA_STATS_MAX);
	if (stats[TCA_STATS_QUEUE]) {
		const struct gnet_stats_queue *q = RTA_DATA(stats[TCA_STATS_QUEUE]);

		cd->drops = q->drops;
		cd->waiting = q->qlen;
	}
	return 0;
}

static struct class_drops class_drops(struct kern *e, uint32_t ifindex, uint32_t classid)
{
	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_handle = classid};
	struct class_drops cd = {.classid = classid};

	nl_start(&e->nl, RTM_GETTCLASS, 0, &tc, sizeof(tc));
	nl_ask(&e->nl, take_class, &cd);
	return cd;
}

uint64_t shape_in_drops(struct kern *e, const struct port *p)
{
	return p->shaped_in ? class_drops(e, e->shaper.near, shape_classid(p->idx)).drops : 0;
}

uint64_t shape_out_drops(struct kern *e, const struct port *p)
{
	return p->shaped_out ? class_drops(e, p->ifindex, OUT_CLASS).drops : 0;
}

/* --- out ---------------------------------------------------------------------------------------------------------------------- */

int shape_out_set(struct kern *e, struct port *p, const struct kern_limit *limit, struct kern_error *err)
{
	int r = set_root(&e->nl, p->ifindex, TC_H_MIN(OUT_CLASS));

	if (r == 0)
		r = set_class(&e->nl, p->ifindex, OUT_CLASS, limit);
	if (r == 0)
		r = set_leaf(&e->nl, p->ifindex, OUT_CLASS, OUT_LEAF, limit);
	if (r < 0) {
		failed(err, r, &e->nl, "out_bps", p->rec.conf.name);
		if (!p->shaped_out)
			del_qdisc(&e->nl, p->ifindex);
		return r;
	}
	p->shaped_out = true;
	return 0;
}

void shape_out_del(struct kern *e, struct port *p)
{
	struct class_drops cd;

	if (!p->shaped_out)
		return;
	/* No frame comes here any more; those that wait go with the class. */
	cd = class_drops(e, p->ifindex, OUT_CLASS);
	p->rec.lost_out += cd.drops + cd.waiting;
	del_qdisc(&e->nl, p->ifindex);
	p->shaped_out = false;
}

/* --- in ----------------------------------------------------------------------------------------------------------------------- */

uint32_t shape_classid(uint32_t idx)
{
	return TC_H_MAKE(1u << 16, IN_MINOR + idx);
}

static int create_shaper(struct kern *e, const char *near, const char *far)
{
	struct ifinfomsg ifi = {0};
	struct nl *nl = &e->nl;
	size_t info, data, peer;

	nl_start(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	nl_put_str(nl, IFLA_IFNAME, near);
	nl_put_u32(nl, IFLA_MTU, SHAPER_MTU);
	info = nl_nest(nl, IFLA_LINKINFO);
	nl_put(nl, IFLA_INFO_KIND, "veth", 4);
	data = nl_nest(nl, IFLA_INFO_DATA);
	peer = nl_nest(nl, VETH_INFO_PEER);
	nl_raw(nl, &ifi, sizeof(ifi));
	nl_put_str(nl, IFLA_IFNAME, far);
	nl_put_u32(nl, IFLA_MTU, SHAPER_MTU);
	nl_end(nl, peer);
	nl_end(nl, data);
	nl_end(nl, info);
	return nl_talk(nl);
}

int shaper_make(struct kern *e, struct kern_error *err)
{
	char near[IFNAMSIZ], far[IFNAMSIZ], alias[128];
	uint32_t near_index, far_index;
	int r;

	if (e->shaper.near)
		return 0;
	snprintf(near, sizeof(near), "%s.q", e->stem);
	snprintf(far, sizeof(far), "%s.r", e->stem);
	near_index = if_nametoindex(near);
	if (!near_index) {
		r = create_shaper(e, near, far);
		if (r < 0)
			return kern_fail_nl(err, r, &e->nl, "in_bps", "the shaper %s", near);
		near_index = if_nametoindex(near);
	}
	far_index = if_nametoindex(far);
	tc_silence(near);
	tc_silence(far);
	port_alias(e, "", alias);
	if ((r = veth_set_alias(&e->nl, near_index, alias)) < 0 || (r = set_root(&e->nl, near_index, 0)) < 0 ||
	    (r = tc_attach(e, far_index, PROG_SHAPER_IN)) < 0 || (r = veth_set_up(&e->nl, far_index, true)) < 0 ||
	    (r = veth_set_up(&e->nl, near_index, true)) < 0 || (r = maps_ifs_set(e, far_index, SLC_K_NOBODY)) < 0) {
		veth_unmake(e, near_index);
		return failed(err, r, &e->nl, "in_bps", near);
	}
	e->shaper = (struct shaper){near_index, far_index};
	e->node->shaper_ifindex = near_index;
	return 0;
}

int shape_in_set(struct kern *e, struct port *p, const struct kern_limit *limit, struct kern_error *err)
{
	uint32_t classid = shape_classid(p->idx);
	int r = shaper_make(e, err);

	if (r < 0)
		return r;
	r = set_class(&e->nl, e->shaper.near, classid, limit);
	if (r == 0)
		r = set_leaf(&e->nl, e->shaper.near, classid, TC_H_MAKE(TC_H_MIN(classid) << 16, 0), limit);
	if (r < 0)
		return failed(err, r, &e->nl, "in_bps", p->rec.conf.name);
	p->shaped_in = true;
	return 0;
}

void shape_in_del(struct kern *e, struct port *p)
{
	struct tcmsg tc = {.tcm_ifindex = (int)e->shaper.near, .tcm_parent = ROOT, .tcm_handle = shape_classid(p->idx)};

	struct class_drops cd;

	if (!p->shaped_in)
		return;
	cd = class_drops(e, e->shaper.near, shape_classid(p->idx));
	p->rec.lost_in += cd.drops + cd.waiting;
	nl_start(&e->nl, RTM_DELTCLASS, 0, &tc, sizeof(tc));
	nl_talk(&e->nl);
	p->shaped_in = false;
}

bool shape_supported(struct nl *nl, uint32_t ifindex)
{
	return set_root(nl, ifindex, 0) == 0;
}

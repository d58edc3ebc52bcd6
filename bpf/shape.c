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
 * A limit that is lifted loses nothing: frames take the short way as soon as the port is published without it, and those that wait come out
 * at once, for their class is given all the speed there is. When it has been found empty twice it goes; with the last class of the shaper's the
 * shaper goes. (What waits after ten seconds, because the old rate put it off for so long, is limit-in or limit-out.)
 *
 * HTB charges a segmentation request what its segments are on the wire, and lets a class owe a frame that is longer than its burst; it waits
 * afterwards. So the rate is exact over any second at any frame size, and the burst can be small.
 */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <netlink/route/class.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/fifo.h>
#include <netlink/route/qdisc/htb.h>

#define ROOT	    TC_HANDLE(1, 0)
#define OUT_CLASS   TC_HANDLE(1, 1)
#define OUT_LEAF    TC_HANDLE(2, 0)
#define IN_MINOR    0x10 /* of port 0 */
#define BURST_MIN   15140
#define BURST_MAX_S 274 /* the packet scheduler counts time in 32 bits */
#define QUEUE_MIN   (256u << 10)
#define QUEUE_MAX   (1u << 30)
#define QUANTUM	    65536
#define EMPTY_LOOKS 2
#define LOOKS_MAX   (10000 / SHAPE_LOOK_MS)

static void place(void *object, uint32_t ifindex, uint32_t parent, uint32_t handle)
{
	rtnl_tc_set_ifindex(TC_CAST(object), (int)ifindex);
	rtnl_tc_set_parent(TC_CAST(object), parent);
	rtnl_tc_set_handle(TC_CAST(object), handle);
}

/* Takes the qdisc over, which is as `r` says. */
static int add_qdisc(struct netlink *nl, struct rtnl_qdisc *qdisc, int r, int flags)
{
	struct nl_msg *msg = NULL;

	if (r == 0)
		r = rtnl_qdisc_build_add_request(qdisc, NLM_F_CREATE | flags, &msg);
	rtnl_qdisc_put(qdisc);
	return netlink_talk(nl, r, msg);
}

static int set_root(struct netlink *nl, uint32_t ifindex, uint32_t default_minor)
{
	struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	int r = qdisc ? rtnl_tc_set_kind(TC_CAST(qdisc), "htb") : -NLE_NOMEM;

	if (r == 0)
		r = rtnl_htb_set_defcls(qdisc, default_minor);
	if (r == 0)
		place(qdisc, ifindex, TC_H_ROOT, ROOT);
	r = add_qdisc(nl, qdisc, r, NLM_F_EXCL);
	/* The netdev is ours, so is what is there: left by one who was killed on the way. */
	return r == -EEXIST ? 0 : r;
}

static void del_qdisc(struct netlink *nl, uint32_t ifindex)
{
	struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	struct nl_msg *msg = NULL;
	int r = -NLE_NOMEM;

	if (qdisc) {
		rtnl_tc_set_ifindex(TC_CAST(qdisc), (int)ifindex);
		rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_ROOT);
		r = rtnl_qdisc_build_delete_request(qdisc, &msg);
	}
	rtnl_qdisc_put(qdisc);
	netlink_talk(nl, r, msg);
}

/* In bytes. The kernel is told the time that they take at the rate. */
static uint32_t burst_of(uint64_t rate, const struct kern_limit *limit)
{
	uint64_t burst = limit->burst_bytes ? limit->burst_bytes : rate / 100;

	if (!limit->burst_bytes && burst < BURST_MIN)
		burst = BURST_MIN;
	if (burst / BURST_MAX_S > rate)
		burst = rate * BURST_MAX_S;
	return burst > INT32_MAX ? INT32_MAX : burst;
}

static int describe_class(struct rtnl_class *class, uint32_t ifindex, uint32_t classid, const struct kern_limit *limit)
{
	uint64_t rate = limit->bps / 8 ? limit->bps / 8 : 1;
	uint32_t burst = burst_of(rate, limit);
	int r;

	if ((r = rtnl_tc_set_kind(TC_CAST(class), "htb")) < 0 || (r = rtnl_htb_set_rate64(class, rate)) < 0 ||
	    (r = rtnl_htb_set_ceil64(class, rate)) < 0 || (r = rtnl_htb_set_rbuffer(class, burst)) < 0 ||
	    (r = rtnl_htb_set_cbuffer(class, burst)) < 0 ||
	    /* Only siblings that borrow share by it; it must be given, or HTB warns. */
	    (r = rtnl_htb_set_quantum(class, QUANTUM)) < 0)
		return r;
	place(class, ifindex, ROOT, classid);
	return 0;
}

static int set_class(struct netlink *nl, uint32_t ifindex, uint32_t classid, const struct kern_limit *limit)
{
	struct rtnl_class *class = rtnl_class_alloc();
	int r = class ? describe_class(class, ifindex, classid, limit) : -NLE_NOMEM;
	struct nl_msg *msg = NULL;

	if (r == 0)
		r = rtnl_class_build_add_request(class, NLM_F_CREATE, &msg);
	rtnl_class_put(class);
	return netlink_talk(nl, r, msg);
}

static void del_class(struct netlink *nl, uint32_t ifindex, uint32_t classid)
{
	struct rtnl_class *class = rtnl_class_alloc();
	struct nl_msg *msg = NULL;
	int r = -NLE_NOMEM;

	if (class) {
		place(class, ifindex, ROOT, classid);
		r = rtnl_class_build_delete_request(class, &msg);
	}
	rtnl_class_put(class);
	netlink_talk(nl, r, msg);
}

/* 100 ms of the rate, and room for a few segmentation requests at any. */
static int set_leaf(struct netlink *nl, uint32_t ifindex, uint32_t classid, uint32_t handle, const struct kern_limit *limit)
{
	uint64_t room = limit->bps / 80;
	struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	int r = qdisc ? rtnl_tc_set_kind(TC_CAST(qdisc), "bfifo") : -NLE_NOMEM;

	if (r == 0)
		r = rtnl_qdisc_fifo_set_limit(qdisc, room < QUEUE_MIN ? QUEUE_MIN : room > QUEUE_MAX ? QUEUE_MAX : room);
	if (r == 0)
		place(qdisc, ifindex, classid, handle);
	return add_qdisc(nl, qdisc, r, NLM_F_REPLACE);
}

/* One errno means another thing at each step; a cause is named where the kernel can mean nothing else by it. */
int shape_fail(struct kern_error *err, int r, enum shape_step step, const struct netlink *nl, const char *attr, const char *who)
{
	static const char *const steps[] = {
		[SHAPE_NETDEV] = "setting up its netdevs", [SHAPE_PROGRAM] = "attaching its program",
		[SHAPE_QDISC] = "making an HTB qdisc",	   [SHAPE_CLASS] = "making a class",
		[SHAPE_QUEUE] = "making a queue",
	};

	if (r == -ENOENT && step == SHAPE_QDISC)
		return kern_fail(err, -EOPNOTSUPP, "not-supported", attr, "modprobe sch_htb, or limit pps instead",
				 "%s: shaping: the kernel has no HTB", who);
	if (r == -ENOENT && step == SHAPE_PROGRAM)
		return kern_fail(err, -EOPNOTSUPP, "not-supported", attr, "modprobe sch_ingress and cls_bpf, or limit pps instead",
				 "%s: shaping: the kernel has no clsact or no cls_bpf", who);
	if (r == -ENOENT && (step == SHAPE_CLASS || step == SHAPE_QUEUE))
		return kern_fail(err, r, "kernel-refused", attr, "tc qdisc show; somebody else has changed it",
				 "%s: shaping: %s: the qdisc that was made for it is not there any more", who, steps[step]);
	if (r == -ENODEV || r == -ENXIO)
		return kern_fail(err, r, "no-such-device", attr, NULL, "%s: shaping: the netdev is not there any more", who);
	r = kern_fail_nl(err, r, nl, attr, "%s: shaping: %s", who, steps[step]);
	if (err && (r == -EPERM || r == -EACCES))
		snprintf(err->hint, sizeof(err->hint), "CAP_NET_ADMIN is needed");
	return r;
}

static int fail_port(struct kern *e, const struct port *p, int r, enum shape_step step, const char *attr, struct kern_error *err)
{
	char who[sizeof(p->rec.conf.name) + sizeof("port ")];

	snprintf(who, sizeof(who), "port %s", p->rec.conf.name);
	return shape_fail(err, r, step, &e->nl, attr, who);
}

/* A class and its queue, on a qdisc that is there. The step that failed is *step. */
static int set_class_and_leaf(struct netlink *nl, uint32_t ifindex, uint32_t classid, uint32_t leaf, const struct kern_limit *limit,
			      enum shape_step *step)
{
	int r;

	*step = SHAPE_CLASS;
	r = set_class(nl, ifindex, classid, limit);
	if (r < 0)
		return r;
	*step = SHAPE_QUEUE;
	return set_leaf(nl, ifindex, classid, leaf, limit);
}

/* --- what did not fit ----------------------------------------------------------------------------------------------------------- */

struct class_drops {
	uint32_t classid;
	bool there, failed; /* failed: it could not be asked */
	uint64_t drops, waiting;
};

static void take_class(struct nl_object *object, void *arg)
{
	struct rtnl_tc *tc = TC_CAST(object);
	struct class_drops *cd = arg;

	if (rtnl_tc_get_handle(tc) != cd->classid)
		return;
	cd->there = true;
	cd->drops = rtnl_tc_get_stat(tc, RTNL_TC_DROPS);
	cd->waiting = rtnl_tc_get_stat(tc, RTNL_TC_QLEN);
}

static int parse_class(void *arg, struct nl_msg *msg)
{
	return netlink_errno(nl_msg_parse(msg, take_class, arg));
}

static struct class_drops class_drops(struct kern *e, uint32_t ifindex, uint32_t classid)
{
	struct tcmsg tc = {.tcm_ifindex = (int)ifindex, .tcm_handle = classid};
	struct class_drops cd = {.classid = classid};
	int r = netlink_ask(&e->nl, 0, netlink_request(RTM_GETTCLASS, 0, &tc, sizeof(tc)), parse_class, &cd);

	/* Not there are, in this order: the class or its qdisc, a qdisc that has classes, the netdev. */
	cd.failed = r < 0 && r != -ENOENT && r != -EINVAL && r != -ENODEV;
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

/* Nobody is sent to the class any more. */
static void let_go(struct kern *e, struct port *p, uint32_t ifindex, uint32_t classid)
{
	static const struct kern_limit all_there_is = {.bps = 800ull * 1000 * 1000 * 1000};
	int r = set_class(&e->nl, ifindex, classid, &all_there_is);

	if (r < 0)
		kern_log(e, LOG_WARNING, "port %s: what waits for its limit comes at the old rate: %s", p->rec.conf.name,
			 strerror(-r));
	p->looks = p->empty_in = p->empty_out = 0;
	events_look_soon(e);
}

int shape_out_set(struct kern *e, struct port *p, const struct kern_limit *limit, struct kern_error *err)
{
	enum shape_step step = SHAPE_QDISC;
	int r = set_root(&e->nl, p->ifindex, TC_H_MIN(OUT_CLASS));

	if (r == 0)
		r = set_class_and_leaf(&e->nl, p->ifindex, OUT_CLASS, OUT_LEAF, limit, &step);
	if (r < 0) {
		r = fail_port(e, p, r, step, "out_bps", err);
		if (!p->shaped_out)
			del_qdisc(&e->nl, p->ifindex);
		return r;
	}
	p->shaped_out = true;
	return 0;
}

void shape_out_lift(struct kern *e, struct port *p)
{
	if (p->shaped_out)
		let_go(e, p, p->ifindex, OUT_CLASS);
}

void shape_out_del(struct kern *e, struct port *p)
{
	struct class_drops cd;

	if (!p->shaped_out)
		return;
	cd = class_drops(e, p->ifindex, OUT_CLASS);
	p->rec.lost_out += cd.drops + cd.waiting;
	del_qdisc(&e->nl, p->ifindex);
	p->shaped_out = false;
}

/* --- in ----------------------------------------------------------------------------------------------------------------------- */

uint32_t shape_classid(uint32_t idx)
{
	return TC_HANDLE(1, IN_MINOR + idx);
}

/* The pair is there. The step that failed is *step. */
static int settle_shaper(struct kern *e, uint32_t near, uint32_t far, enum shape_step *step)
{
	char alias[128];
	int r;

	port_alias(e, "", alias);
	*step = SHAPE_NETDEV;
	if ((r = veth_set_alias(&e->nl, near, alias)) < 0)
		return r;
	*step = SHAPE_QDISC;
	if ((r = set_root(&e->nl, near, 0)) < 0)
		return r;
	*step = SHAPE_PROGRAM;
	if ((r = tc_attach(e, far, PROG_SHAPER_IN)) < 0)
		return r;
	*step = SHAPE_NETDEV;
	if ((r = veth_set_up(&e->nl, far)) < 0)
		return r;
	return veth_set_up(&e->nl, near);
}

int shaper_make(struct kern *e, struct kern_error *err)
{
	char near[IFNAMSIZ], far[IFNAMSIZ], who[IFNAMSIZ + sizeof("the shaper ")];
	uint32_t near_index, far_index;
	enum shape_step step;
	int r;

	if (e->shaper.near)
		return 0;
	snprintf(near, sizeof(near), "%s.q", e->stem);
	snprintf(far, sizeof(far), "%s.r", e->stem);
	snprintf(who, sizeof(who), "the shaper %s", near);
	near_index = if_nametoindex(near);
	if (!near_index) {
		r = veth_pair_here(&e->nl, near, far, SHAPER_MTU, NULL);
		if (r < 0)
			return kern_fail_nl(err, r, &e->nl, "in_bps", "%s", who);
		near_index = if_nametoindex(near);
	}
	far_index = if_nametoindex(far);
	tc_silence(near);
	tc_silence(far);
	r = settle_shaper(e, near_index, far_index, &step);
	if (r < 0)
		/* libbpf asks on a socket of its own: what ours was last told is about something else. */
		r = shape_fail(err, r, step, step == SHAPE_PROGRAM ? NULL : &e->nl, "in_bps", who);
	else if ((r = maps_ifs_set(e, far_index, SLC_K_NOBODY)) < 0)
		r = kern_fail_nl(err, r, NULL, "in_bps", "%s: maps", who);
	if (r < 0) {
		veth_unmake(e, near_index);
		return r;
	}
	e->shaper = (struct shaper){near_index, far_index};
	e->node->shaper_ifindex = near_index;
	return 0;
}

int shape_in_set(struct kern *e, struct port *p, const struct kern_limit *limit, struct kern_error *err)
{
	uint32_t classid = shape_classid(p->idx);
	enum shape_step step;
	int r = shaper_make(e, err);

	if (r < 0)
		return r;
	r = set_class_and_leaf(&e->nl, e->shaper.near, classid, TC_HANDLE(TC_H_MIN(classid), 0), limit, &step);
	if (r < 0) {
		r = fail_port(e, p, r, step, "in_bps", err);
		if (!p->shaped_in)
			del_class(&e->nl, e->shaper.near, classid);
		return r;
	}
	p->shaped_in = true;
	return 0;
}

void shape_in_lift(struct kern *e, struct port *p)
{
	if (p->shaped_in)
		let_go(e, p, e->shaper.near, shape_classid(p->idx));
}

void shape_in_del(struct kern *e, struct port *p)
{
	struct class_drops cd;

	if (!p->shaped_in)
		return;
	cd = class_drops(e, e->shaper.near, shape_classid(p->idx));
	p->rec.lost_in += cd.drops + cd.waiting;
	del_class(&e->nl, e->shaper.near, shape_classid(p->idx));
	p->shaped_in = false;
}

bool shape_out_is_there(struct kern *e, const struct port *p)
{
	struct class_drops cd = class_drops(e, p->ifindex, OUT_CLASS);

	return cd.there || cd.failed;
}

bool shape_in_is_there(struct kern *e, const struct port *p)
{
	struct class_drops cd;

	if (!e->shaper.near)
		return false;
	cd = class_drops(e, e->shaper.near, shape_classid(p->idx));
	return cd.there || cd.failed;
}

uint32_t shaper_retire(struct kern *e)
{
	uint32_t near = e->shaper.near;

	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (e->ports[i] && e->ports[i]->shaped_in)
			return 0;
	}
	e->node->shaper_ifindex = 0;
	if (near)
		maps_ifs_del(e, e->shaper.far);
	e->shaper = (struct shaper){0};
	return near;
}

/* --- ending -------------------------------------------------------------------------------------------------------------------- */

/*
 * Has it a class that nobody is sent to any more? Of a port that was found without a configuration nothing is known; one whose limit was being
 * set when its owner was killed is sent there, though the record does not know it.
 */
static bool is_lifted(struct kern *e, const struct port *p, bool shaped, const struct kern_limit *limit, uint32_t flag)
{
	return shaped && !p->orphan && !limit->bps && !(maps_conf(e, p->idx)->flags & flag);
}

static bool is_over(const struct port *p, struct class_drops cd, uint8_t *empty)
{
	*empty = cd.waiting || cd.failed ? 0 : *empty + 1;
	return *empty >= EMPTY_LOOKS || p->looks >= LOOKS_MAX;
}

/* Whether there is more to come. */
static bool tend_port(struct kern *e, struct port *p)
{
	bool in = is_lifted(e, p, p->shaped_in, &p->rec.conf.in, SLC_K_SHAPE_IN);
	bool out = is_lifted(e, p, p->shaped_out, &p->rec.conf.out, SLC_K_SHAPE_OUT);
	uint64_t lost = p->rec.lost_in + p->rec.lost_out;

	if (!in && !out)
		return false;
	p->looks++;
	if (in && is_over(p, class_drops(e, e->shaper.near, shape_classid(p->idx)), &p->empty_in))
		shape_in_del(e, p);
	if (out && is_over(p, class_drops(e, p->ifindex, OUT_CLASS), &p->empty_out))
		shape_out_del(e, p);
	if (p->rec.lost_in + p->rec.lost_out != lost)
		maps_record_put(e, p->idx, &p->rec);
	return (in && p->shaped_in) || (out && p->shaped_out);
}

void shape_tend(struct kern *e)
{
	bool more = false;
	uint32_t near;

	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++)
		more |= e->ports[i] && tend_port(e, e->ports[i]);
	if (more)
		events_look_soon(e);
	near = shaper_retire(e);
	if (near)
		veth_unmake(e, near);
}

bool shape_supported(struct netlink *nl, uint32_t ifindex)
{
	return set_root(nl, ifindex, 0) == 0;
}

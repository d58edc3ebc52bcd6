/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_INSIDE_H
#define BPF_INSIDE_H

/*
 * The engine from the inside: what its files share.
 *
 *   kern.c    open, take over, close, clean up        netlink.c  rtnetlink: asked and heard
 *   apply.c   validate, allocate, publish             netns.c    namespaces by name, path, pid
 *   check.c   is a configuration good?                veth.c     a container's pair of netdevs
 *   port.c    from a configuration to the maps        shape.c    HTB classes
 *   maps.c    the maps, as memory and as tables       tc.c       programs to netdevs
 *   state.c   counters, FDB, walks                    backend.c  the trunk netdev: which, and how (backend.h)
 *   trunk.c   ... as a veth pair                      tun.c      ... as a tap
 *   events.c  links that change, ageing               announce.c gratuitous ARP
 *   probe.c   what the kernel offers                  error.c    messages
 *   link.c    netdevs, one by one and in pairs
 *
 * Control thread only.
 */

#include <stdarg.h>

#include <net/if.h>

#include "kern.h"
#include "netlink.h"
#include "netns.h"
#include "sluice/kernel.h"

#define HOST_NAME     "host"
#define TRUNK_NAME    "trunk"
#define AGING_S	      300
#define SHAPER_MTU    65535
#define SHAPE_LOOK_MS 50 /* how often a class that is to go is looked at */

/* One program of ours, where it is attached. */
enum prog { PROG_PORT_IN, PROG_SHAPER_IN, PROG_TRUNK_IN, PROG_TRUNK_OUT, PROG_N };

/* What is kept of a port in the map slc_records, for whoever comes after us. */
struct record {
	struct kern_port_conf conf;
	uint64_t lost_in, lost_out; /* drops of classes that are no more */
};

/* A container's port. */
struct port {
	uint32_t idx;
	struct record rec;
	uint32_t ifindex, peer; /* 0: lost */
	char host_ifname[IFNAMSIZ];
	bool orphan, adopted;
	bool host_up;		    /* the host end is administratively up */
	bool shaped_in, shaped_out; /* it has a class there: for its limit, or since a limit was lifted, for what waited */
	uint16_t looks;		    /* at the classes, since a limit was lifted */
	uint8_t empty_in, empty_out;
	enum kern_event told; /* what the owner knows of its link */
};

struct shaper {
	uint32_t near, far; /* netdevs; 0: not made yet */
};

struct kern_bpf;

struct kern {
	struct kern_config config;
	char dir[200];
	uint64_t id;  /* of this engine among others in the namespace: made from the directory's name */
	char stem[8]; /* what the names of its netdevs begin with */
	struct kern_bpf *skel;
	struct netlink nl;     /* asks */
	struct netlink events; /* listens */
	int epoll_fd, timer_fd, look_fd, commit_fd;

	/* The maps that are memory. */
	struct slc_k_node *node;
	struct slc_k_port *ports_map;
	struct slc_k_vlan *vlans_map;
	uint32_t *learned;
	int records_fd; /* slc_records */
	int grace_outer, grace_inner;
	uint64_t epoch;		       /* grace periods waited for */
	uint64_t written[SLC_K_PORTS]; /* epoch of the port's last flip, + 1 */

	struct port *ports[SLC_K_PORTS];
	struct kern_trunk_conf trunk;
	char trunk_kept[IFNAMSIZ];   /* the netdev that kern_trunk_netdev() was asked for: another of that name is none of ours */
	enum kern_trunk_by trunk_by; /* the backend that this is for */
	uint32_t trunk_index;	     /* of that netdev; 0: it is lost */
	bool trunk_news;	     /* it is lost, and the owner has not been told */
	uint8_t trunk_mac[6];	     /* bound to the host in trunk.vlan, if it has one */
	uint16_t trunk_mtu;
	struct shaper shaper;
	int announce_fd; /* -1: not opened yet */
};

/* --- error.c ---------------------------------------------------------------------------------------------------------------- */

/* Fill *err (may be NULL) and return code. `attr`, `hint` may be NULL. */
int kern_fail(struct kern_error *err, int code, const char *name, const char *attr, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* The same for a kernel call on a port that failed with code: name made from the errno, nl->why in the message. */
int kern_fail_nl(struct kern_error *err, int code, const struct netlink *nl, const char *attr, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void kern_log(struct kern *e, int priority, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* --- maps.c ----------------------------------------------------------------------------------------------------------------- */

/* Load the programs and open or make the maps. *fresh: they are new. */
int maps_open(struct kern *e, bool *fresh, struct kern_error *err);
void maps_close(struct kern *e);
int maps_prog(struct kern *e, enum prog prog);
/* Pin this version's programs in the place of those before. */
int maps_pin_progs(struct kern *e);
/* The copy in force. */
const struct slc_k_conf *maps_conf(struct kern *e, uint32_t idx);
/* Put *conf in force, in one moment. */
void maps_conf_set(struct kern *e, uint32_t idx, const struct slc_k_conf *conf);
void maps_member(struct kern *e, uint16_t vid, uint32_t idx, bool member, bool learner);
int maps_ifs_set(struct kern *e, uint32_t ifindex, uint32_t idx);
void maps_ifs_del(struct kern *e, uint32_t ifindex);
int maps_bind(struct kern *e, uint16_t vid, const uint8_t mac[6], uint32_t idx);
void maps_unbind(struct kern *e, uint16_t vid, const uint8_t mac[6], uint32_t idx);
void maps_known(struct kern *e, uint16_t vid, const struct kern_ip *ip, const uint8_t mac[6], uint32_t idx);
void maps_unknown(struct kern *e, uint16_t vid, const struct kern_ip *ip, uint32_t idx);
int maps_cvlans(struct kern *e, uint32_t idx, const struct kern_vlan_set *set);
int maps_record_put(struct kern *e, uint32_t idx, const struct record *rec);
void maps_record_del(struct kern *e, uint32_t idx);
int maps_record_get(struct kern *e, uint32_t idx, struct record *rec);
bool maps_record_next(struct kern *e, bool first, uint32_t *idx);
/* Counters of a port, all CPUs together; and set back to zero, for a port's new owner. */
int maps_count(struct kern *e, uint32_t idx, struct slc_k_count *sum);
void maps_count_clear(struct kern *e, uint32_t idx);
/* Every FDB entry, until `each` returns false. */
void maps_fdb_each(struct kern *e, bool (*each)(void *arg, const struct slc_k_mac *key, uint64_t at), void *arg);
/* Where the address is; of nobody's (SLC_K_NOBODY) when there is no entry. */
uint64_t maps_fdb_at(struct kern *e, uint16_t vid, const uint8_t mac[6]);
/* Remove a learned entry, and take it off its holder's account. */
void maps_fdb_forget(struct kern *e, const struct slc_k_mac *key);

/* --- tc.c ------------------------------------------------------------------------------------------------------------------- */

/* Put the program at the netdev's hook, in the place of what is there of ours: no frame passes between. 0 or -errno */
int tc_attach(struct kern *e, uint32_t ifindex, enum prog prog);
/* Take all of ours away, and the hook if there is nobody else's. */
void tc_detach_all(struct netlink *nl, uint32_t ifindex);
/* May the kernel's own address machinery speak on the netdev? */
void tc_silence(const char *ifname);

/* --- link.c ------------------------------------------------------------------------------------------------------------------ */

struct veth_link {
	uint32_t ifindex, peer;
	int peer_nsid; /* -1: the peer is in this namespace */
	bool up, lower_up;
	char ifname[IFNAMSIZ];
	char alias[128];
	uint8_t mac[6];
	uint16_t mtu;
};

/* One end of a pair that is to be made: as the kernel does it where nothing is said. */
struct veth_end {
	const char *ifname; /* NULL: the kernel names it, if it is the far end */
	uint16_t mtu;
	const uint8_t *mac;
	int ns_fd; /* the namespace that it is made in; 0: this one */
};

/* -EEXIST: one of the names is taken. */
int veth_pair(struct netlink *nl, const struct veth_end *near, const struct veth_end *far);
/* Both ends in this namespace. `mac`: the near one's; NULL: the kernel's choice. */
int veth_pair_here(struct netlink *nl, const char *near, const char *far, uint16_t mtu, const uint8_t *mac);
void veth_unmake(struct kern *e, uint32_t ifindex);
/* Many at once. */
void veth_unmake_all(struct kern *e, const uint32_t *ifindexes, unsigned n);
int veth_link(struct kern *e, uint32_t ifindex, struct veth_link *out);
/* In the namespace that the socket was opened in. */
int veth_link_in(struct netlink *nl, uint32_t ifindex, struct veth_link *out);
int veth_set_alias(struct netlink *nl, uint32_t ifindex, const char *alias);
int veth_set_mtu(struct netlink *nl, uint32_t ifindex, uint16_t mtu);
int veth_set_mac(struct netlink *nl, uint32_t ifindex, const uint8_t mac[6]);
int veth_set_up(struct netlink *nl, uint32_t ifindex);
/* Every link of this namespace. The socket is free to be asked from `each`. */
int veth_each(struct netlink *nl, void (*each)(void *arg, const struct veth_link *link), void *arg);
/* 0, or -errno if the message is not a link's. */
int veth_parse(struct nl_msg *msg, struct veth_link *out);

/* --- veth.c: see there ------------------------------------------------------------------------------------------------------- */

int veth_make(struct kern *e, struct port *p, struct kern_error *err);
int veth_change(struct kern *e, struct port *p, const struct kern_port_conf *from, const struct kern_port_conf *to,
		struct kern_error *err);
int veth_up(struct kern *e, struct port *p);
/* Is the far end where the port's configuration says? 1, 0, or -errno if the namespace cannot be looked into: its name may be gone before it. */
int veth_is_there(struct kern *e, const struct port *p);

/* --- shape.c: see there ------------------------------------------------------------------------------------------------------ */

/* What the kernel is asked for on the way to a limit. */
enum shape_step {
	SHAPE_NETDEV,  /* the shaper's */
	SHAPE_PROGRAM, /* at its far end */
	SHAPE_QDISC,   /* HTB */
	SHAPE_CLASS,   /* of it */
	SHAPE_QUEUE    /* of the class */
};

/* Fill *err with what `r` of a step means for `who`, a port or the shaper, and return the code that goes with it. */
int shape_fail(struct kern_error *err, int r, enum shape_step step, const struct netlink *nl, const char *attr, const char *who);
int shaper_make(struct kern *e, struct kern_error *err);
/* If no port has a class on it any more, forget it: what it was called, for the caller to delete. 0: it stays, or is not there. */
uint32_t shaper_retire(struct kern *e);
uint32_t shape_classid(uint32_t idx);
int shape_in_set(struct kern *e, struct port *p, const struct kern_limit *limit, struct kern_error *err);
/* The port has been published without the limit: its class goes when it is empty. */
void shape_in_lift(struct kern *e, struct port *p);
/* At once, and what waits with it. */
void shape_in_del(struct kern *e, struct port *p);
/* Has the port such a class, whatever we know of it? */
bool shape_in_is_there(struct kern *e, const struct port *p);
bool shape_out_is_there(struct kern *e, const struct port *p);
int shape_out_set(struct kern *e, struct port *p, const struct kern_limit *limit, struct kern_error *err);
void shape_out_lift(struct kern *e, struct port *p);
void shape_out_del(struct kern *e, struct port *p);
/* Look at the classes of limits that were lifted. */
void shape_tend(struct kern *e);
/* Frames that the port's classes had no room for. */
uint64_t shape_in_drops(struct kern *e, const struct port *p);
uint64_t shape_out_drops(struct kern *e, const struct port *p);
bool shape_supported(struct netlink *nl, uint32_t ifindex);

/* --- check.c ---------------------------------------------------------------------------------------------------------------- */

int check_port(const struct kern_port_conf *c, struct kern_error *err);
int check_vlan(const struct kern_vlan_conf *c, struct kern_error *err);
int check_trunk(const struct kern_trunk_conf *c, struct kern_error *err);

/* --- port.c ----------------------------------------------------------------------------------------------------------------- */

void port_defaults(struct kern_port_conf *c);
/* The runtime form of a configuration; ifindex and shaping are the caller's to fill. */
void port_compile(const struct kern_port_conf *c, struct slc_k_conf *out);
bool port_carries(const struct kern_port_conf *c, uint16_t vid);
/* Is this one of `ips` an address of a host? Not a subnet, and not 0.0.0.0, from which speaks who has none yet. */
bool port_ip_is_hosts(const struct kern_ip *ip);
/* Addresses that a port binds: call each for (vlan, mac). */
void port_each_mac(const struct kern_port_conf *c, void (*each)(void *arg, uint16_t vid, const uint8_t mac[6]), void *arg);
/* From `old` (NULL: nothing) to what p->rec.conf says: maps only, cannot fail. */
void port_publish(struct kern *e, struct port *p, const struct kern_port_conf *old);
/* Out of every map but the counters'. */
void port_retract(struct kern *e, struct port *p, const struct kern_port_conf *old);
/* The netdev is gone. */
void port_lost(struct kern *e, struct port *p);
struct port *port_find(struct kern *e, const char *name);
void port_alias(struct kern *e, const char *name, char out[128]);
/* The port's name in an alias of ours; NULL if it is another's. */
const char *port_of_alias(struct kern *e, const char *alias);
struct slc_k_rate port_rate(uint64_t per_s, uint64_t burst);
void trunk_publish(struct kern *e, const struct kern_trunk_conf *conf, const struct veth_link *link);
void vlan_publish(struct kern *e, const struct kern_vlan_conf *conf);
/* Deal out the shares of the FDB again. */
void port_share(struct kern *e);

/* --- announce.c ------------------------------------------------------------------------------------------------------------- */

/* Tell the network that the port's addresses are here now: gratuitous ARP, unsolicited advertisements, by the trunk. */
void announce(struct kern *e, const struct port *p);

/* --- backend.c -------------------------------------------------------------------------------------------------------------- */

/* Was the trunk netdev of that name made by us, so that only ours may have it? */
bool trunk_is_kept(const struct kern *e, const char *ifname);
/* Is this the one that we made? */
bool trunk_is_ours(struct kern *e, const struct veth_link *link);

/* --- events.c --------------------------------------------------------------------------------------------------------------- */

int events_open(struct kern *e);
/* Read a link's state again. */
void events_link(struct kern *e, const struct veth_link *link);
/* A commit is over: have the owner told of the links that it changed, at the next dispatch. */
void events_committed(struct kern *e);
/* Have shape_tend() called in a moment. */
void events_look_soon(struct kern *e);
void events_close(struct kern *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_KERN_H
#define BPF_KERN_H

/*
 * The kernel engine, as its owner sees it: fat containers, switched in the kernel.
 *
 *    netns web1          the node's namespace                                     netns web2
 *   +----------+                                                                 +----------+
 *   |   eth0 ====veth==== host end --[slc_port_in]--+     +-- host end ====veth==== eth0    |
 *   +----------+                                    |     |                      +----------+
 *                                          bpf_redirect_peer, or its qdisc
 *                                                   |
 *                 host's own stack -- trunk netdev (slc0) ====veth==== slc0-dp -- the DPDK switch
 *
 * (The trunk need not be a pair: backend.h.)
 *
 * Every container hangs on a veth pair, and at the pair's host end sits a program that does what a switch port does: VLAN, anti-spoofing, limits,
 * look-up. A frame to another container of the node goes into that container's namespace in the same softirq; everything else crosses the
 * trunk, tagged. The programs read maps (sluice/kernel.h); this library makes the netdevs, attaches the programs and writes the maps.
 * Names, semantics and drop reasons are those of the DPDK switch (dataplane/dataplane.h). The library knows no JSON, no socket, no DPDK.
 *
 * Unknown addresses. A port with `mac` has no other address behind it in its VLAN, so a frame to an unknown address goes to the trunk and to
 * those members that learn, not to every container.
 *
 * Limits. Frames/s are policed (limit-in, limit-out). Bits/s are shaped: a limited direction's frames wait in an HTB class, which charges what they take on
 * the wire, headers of every segment included; senders in other containers feel the queue (their sockets' memory stays charged), and lose
 * nothing. Out: the class is on the host end. In: the port's class is on one netdev that all ports share (the shaper), and frames go on from
 * its far end; the pair is there while any port has such a limit. What waits when a limit is lifted is not lost. A class's queue holds 100 ms of the rate, and 256 KB at least; what does not fit is limit-in or limit-out.
 *
 * Nobody needs us. Programs, maps and netdevs outlive the process: with the owner dead, forwarding, anti-spoofing and limits go on.
 * kern_open() finds what is there, by the maps under `bpf_dir` and the netdevs' aliases, and takes it over: it puts this version's programs in
 * the place of the old ones, one atomic exchange each, and resets no counter. Maps of another layout are left to the old programs; new
 * ones are begun, the netdevs found are reported as ports without a configuration (`orphan`), and the next ADD of each moves it over.
 * kern_cleanup() removes every trace.
 *
 * Threads. All functions belong to one control thread. Programs run on every CPU and never wait for it; what they read changes by one word.
 * The calling thread visits containers' namespaces (setns) while it makes a port, and is back before the function returns.
 *
 * Change. Validate, allocate, publish: kern_prepare() does all that can fail, netdevs included, and no frame sees any of it;
 * kern_commit() cannot fail; kern_abort() takes everything back. kern_apply() is prepare and commit. A changed port keeps its netdevs,
 * addresses learned and counters; one whose `netns` or `ifname` changes is a new one.
 *
 * Full. 4,094 containers. Learned addresses: 131,072, half for the trunk, the rest in equal shares for the ports that learn; a port at its share
 * learns no more until some age (counted, learn_refused; the frames are forwarded). Bound addresses: 65,536.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <netinet/in.h>

#include "sluice/kernel.h"

#define KERN_NAME_MAX	     64
#define KERN_MAX_IPS	     16
#define KERN_MAX_ADDRS	     16
#define KERN_MAX_STATIC_MACS 64
#define KERN_MTU_MIN	     68
#define KERN_MTU_MAX	     9216
#define KERN_MTU_DEFAULT     1500
#define KERN_BPF_DIR	     "/sys/fs/bpf/sluice"

struct kern;
struct kern_txn;

/* --- errors ------------------------------------------------------------------------------------------------------------- */

struct kern_error {
	size_t op;	  /* index of the operation that failed */
	const char *name; /* stable, for programs: "out-of-range", "no-such-namespace", "in-use", ... Static string */
	char attr[32];	  /* attribute at fault, as the socket spells it, or "" */
	char msg[256];	  /* one line for people: what and which value */
	char hint[192];	  /* how to mend it, or "" */
};

/* --- start and stop ----------------------------------------------------------------------------------------------------- */

/* What the kernel offers; found out by trying. */
struct kern_features {
	bool available;	   /* the engine can run at all */
	bool shaping;	   /* HTB: without it bps limits are refused */
	char missing[192]; /* what is lacking, for people; "" if nothing is */
};

/* What a port's link has come to. A new port's is down until its owner has been told otherwise. */
enum kern_event { KERN_LINK_DOWN, KERN_LINK_UP, KERN_LOST };

struct kern_config {
	const char *bpf_dir; /* NULL: KERN_BPF_DIR. On a bpffs, which is mounted at /sys/fs/bpf if nothing is */
	/* Where log lines go: priority as in <syslog.h>. NULL: stderr. */
	void (*log)(int priority, const char *text);
	/*
	 * A port's link changed, by itself or by a commit, or its namespace went away. From kern_dispatch() only, which kern_fd() asks for after a
	 * commit too, so an owner hears of a change after he has made it. What changed back in between is not told. May be NULL.
	 */
	void (*event)(void *arg, const char *port, enum kern_event event);
	/*
	 * Has an address that was heard behind a container `age_s` seconds ago been heard elsewhere since, where this engine does not listen? Asked
	 * of each learned one whenever ageing is due, and by kern_fdb_tend(); what has is forgotten, and frames to it go to whoever may know. May be NULL.
	 */
	bool (*elsewhere)(void *arg, uint16_t vlan, const uint8_t mac[6], uint32_t age_s);
	/*
	 * The trunk's netdev, one that kern_trunk_netdev() made, was removed by somebody. It stays so until that and KERN_TRUNK_SET are called again. From
	 * kern_dispatch() only. May be NULL.
	 */
	void (*trunk_lost)(void *arg);
	void *arg; /* of all three */
};

/* Costs a tenth of a second (a trial load), once a process. */
void kern_probe(struct kern_features *out);
/* Load the programs, and take over what is there. 0, or -errno with *err. */
int kern_open(struct kern **engine, const struct kern_config *config, struct kern_error *err);
/* Let go. Everything goes on running. */
void kern_close(struct kern *engine);
/* Remove netdevs, programs and maps of the engine that had this bpf_dir (NULL: the default), in this network namespace. No engine is open on it. 0 or -errno */
int kern_cleanup(const char *bpf_dir);
/* Becomes readable when kern_dispatch() has work. */
int kern_fd(struct kern *engine);
/* Handle what is due: links that changed, ageing. */
void kern_dispatch(struct kern *engine);

/* --- configuration: as dataplane.h's ------------------------------------------------------------------------------------- */

/* Limits of zero mean "none", everywhere. */
struct kern_vlan_conf {
	uint16_t id;	    /* 1-4094 */
	uint32_t mac_limit; /* learned entries at most */
	uint32_t aging_s;   /* 0: 300 */
	uint64_t storm_pps; /* flooded frames a second */
};

enum kern_vlan_mode {
	KERN_VLAN_ACCESS,
	KERN_VLAN_TRUNK,
	KERN_VLAN_NATIVE_TAGGED,
	KERN_VLAN_NATIVE_UNTAGGED,
	KERN_VLAN_DOT1Q_TUNNEL,
};

struct kern_vlan_set {
	uint64_t bits[4096 / 64];
	bool given; /* false: all VLANs */
};

struct kern_ip {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

struct kern_static_mac {
	uint16_t vlan;
	uint8_t mac[6];
};

struct kern_limit {
	uint64_t bps; /* of whole layer 2 frames without FCS, as Linux tc counts */
	uint64_t pps;
	uint64_t burst_bytes; /* 0: 10 ms of the rate, at least 15,140 */
};

/* Cleared before it is filled: configurations are compared as bytes. */
struct kern_port_conf {
	char name[KERN_NAME_MAX];

	/* The container's end. Another netns or ifname makes another port. */
	char netns[108]; /* /PATH, PID, or a name under /run/netns */
	char ifname[16]; /* inside */
	uint8_t n_addrs; /* given to the netdev inside */
	struct kern_ip addrs[KERN_MAX_ADDRS];
	bool has_gateway4, has_gateway6; /* default routes inside */
	struct in_addr gateway4;
	struct in6_addr gateway6;

	enum kern_vlan_mode vlan_mode;
	uint16_t vlan; /* 1-4094; 0 on a trunk */
	struct kern_vlan_set trunks;
	struct kern_vlan_set cvlans;
	uint16_t qinq_ethertype; /* 0x88a8 or 0x8100; 0: 0x88a8 */

	bool has_mac;
	uint8_t mac
		[6]; /* the netdev's address inside, the only source admitted, bound in `vlan`. Without it the kernel gives one, and the port learns */
	uint8_t n_ips;
	struct kern_ip ips[KERN_MAX_IPS];
	uint8_t n_static_macs;
	struct kern_static_mac static_macs[KERN_MAX_STATIC_MACS];
	uint32_t mac_limit;
	bool isolated;

	uint16_t mtu; /* 0: 1500 */
	bool down;
	bool has_pcp;		   /* every frame that enters by the port takes the code point `pcp`; else it keeps its own */
	uint8_t pcp;		   /* 802.1p, 0-7 */
	struct kern_limit in, out; /* in: received from the port. out: sent to it */
};

/*
 * The trunk: a netdev that leads to the DPDK switch. Frames cross it in native-untagged mode of `vlan`, in which the host's own stack
 * is; without a `vlan` the host's stack is in none, and what it sends there is dropped (vlan-ingress of the port "host"). A frame of `vlan`
 * that has a priority crosses with its tag nevertheless: only a tag can carry it. The code point here is the host's own stack's; containers' frames
 * have theirs.
 */
struct kern_trunk_conf {
	char ifname[16]; /* "": no trunk */
	uint16_t vlan;	 /* 1-4094, or 0 */
	uint16_t mtu;	 /* the netdev is set to it; 0: what the netdev has, which is then the operator's */
	bool down;
	bool has_pcp; /* of the host's own stack, as a port's */
	uint8_t pcp;
};

/* By which the trunk leads to the switch: rows of backend.h, where it is said what each is. */
enum kern_trunk_by {
	KERN_TRUNK_VETH,
	KERN_TRUNK_VHOST_NET,
	KERN_TRUNK_TAP,
	KERN_TRUNK_VETH_XDP,
	KERN_TRUNK_BY_N,
	KERN_TRUNK_AUTO = KERN_TRUNK_BY_N
};

/* A trunk netdev that is there. */
struct kern_trunk_netdev {
	const char *by;	     /* the backend's name, as `sluiced --trunk` has it */
	const char *carrier; /* what the switch opens it with: a row of its kind "trunk" (dp_port_conf.carrier) */
	char far[16];	     /* netdev that the switch opens */
	uint32_t far_ifindex;
	char why[192]; /* why this backend, for people: asked for, or what the better ones lack */
};

/* What the far end of the trunk netdev NAME is called if that is a pair. NAME has up to 12 characters. */
static inline void kern_trunk_far(const char *name, char far[16])
{
	snprintf(far, 16, "%.12s-dp", name);
}

/*
 * Make the trunk netdev NAME for a backend, or find it as it is: addresses and routes on NAME are an operator's, and stay. It stays until
 * kern_cleanup(). KERN_TRUNK_AUTO takes the best that the kernel offers; a netdev that is there already decides, of those that fit it.
 * `mtu` is a new netdev's; 0: 1500.
 *
 * A trunk in force whose netdev is lost, and that is made anew here, has the backend (with AUTO), the MAC and the MTU that it had; KERN_TRUNK_SET puts
 * the programs on it. What an operator put on the old one, addresses, routes, qdiscs, went with that and is his to put there again.
 *
 * -EEXIST: NAME is another's, or was made for a backend that the one asked for cannot take over. -ENOTSUP: the kernel lacks what the backend needs.
 */
int kern_trunk_netdev(struct kern *engine, const char *name, enum kern_trunk_by by, uint16_t mtu, struct kern_trunk_netdev *out,
		      struct kern_error *err);
/* The backend's name; NULL past the last. */
const char *kern_trunk_by_name(unsigned by);

enum kern_op_type {
	KERN_TRUNK_SET,
	KERN_VLAN_SET,
	KERN_VLAN_DEL,
	KERN_PORT_ADD,
	KERN_PORT_SET,
	KERN_PORT_DEL,
};

/* One change; SET carries the whole new configuration. ADD of a port that was found at the start (adopted or orphan) is a SET. */
struct kern_op {
	enum kern_op_type type;
	union {
		const struct kern_trunk_conf *trunk;
		const struct kern_vlan_conf *vlan; /* DEL reads id only */
		const struct kern_port_conf *port; /* DEL reads name only */
	};
};

/* All or none. 0, or -errno with *err, and nothing has changed. */
int kern_apply(struct kern *engine, const struct kern_op *ops, size_t n_ops, bool dry_run, struct kern_error *err);

/* The same in two steps, for an owner who has other engines to ask in between. Nothing else is called on the engine between them. */
int kern_prepare(struct kern *engine, const struct kern_op *ops, size_t n_ops, struct kern_txn **txn, struct kern_error *err);
void kern_commit(struct kern_txn *txn);
void kern_abort(struct kern_txn *txn);

/* --- state and counters ---------------------------------------------------------------------------------------------------- */

struct kern_port_state {
	bool link_up; /* both ends are up, and the port is not administratively down */
	bool lost;    /* the container's end is gone, with its namespace. SET makes it anew */
	bool orphan;  /* found at the start, without a configuration that could be read */
	char host_ifname[16];
	uint32_t ifindex, peer_ifindex; /* host end here; the end inside, there */
	uint16_t mtu;
	uint32_t macs; /* FDB entries, bound ones too */
};

/* `name`: a port's, or "trunk" or "host" (the host's own stack behind the trunk). -ENOENT when there is no such port. */
int kern_port_state(struct kern *engine, const char *name, struct kern_port_state *out);
/*
 * Counters, of all CPUs together: rx is from the container, before any drop; tx to it, after every drop. What a limit's class had no room for is
 * in drops and not in tx_frames.
 */
int kern_port_stats(struct kern *engine, const char *name, struct slc_k_count *out);
/* Names of the containers' ports, from *cursor (start with 0); NULL at the end. */
const char *kern_port_walk(struct kern *engine, unsigned *cursor);
/* The configuration in force; NULL for an orphan, or if there is no such port. Valid until the next change. */
const struct kern_port_conf *kern_port_conf(struct kern *engine, const char *name);

struct kern_fdb_entry {
	uint16_t vlan;
	uint8_t mac[6];
	bool is_static;
	uint32_t age_s;
	char port[KERN_NAME_MAX];
};

/* Does kern_fdb_walk() have the address behind a container? */
bool kern_fdb_is_local(struct kern *engine, uint16_t vlan, const uint8_t mac[6]);
/* Forget now what has aged, or is elsewhere; ageing comes by itself, every ten seconds. */
void kern_fdb_tend(struct kern *engine);
/* Walk the FDB: call `each` for every entry that matches (vlan -1, port NULL: any), until it returns false. -ENOENT: no such port */
int kern_fdb_walk(struct kern *engine, int vlan, const char *port, bool (*each)(void *arg, const struct kern_fdb_entry *entry),
		  void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_H
#define DATAPLANE_H

/*
 * The DPDK switch, as its owner sees it.
 *
 *                     dp_apply(ops)                     dp_port_stats(), dp_fdb_walk(), ...
 *   control thread  ---------------+------------------------------^-----------------
 *                                  | rcu_assign_pointer           | plain loads
 *                          +-------v--------+              +------+-------+
 *                          | ports, VLANs,  |              | counters,    |
 *                          | poll sets      |              | FDB          |
 *                          +-------+--------+              +------^-------+
 *                                  | rcu_dereference              | one writer each
 *   workers         ---------------v------------------------------+-----------------
 *                    receive, admit, learn, look up, replicate, meter, send
 *
 * It knows frames, ports, VLANs and rates. It knows no JSON, no socket and no BPF; the daemon translates.
 *
 * Threads. Every function here belongs to the control thread, the one that called dp_open(), unless its comment says otherwise.
 * Workers are made by dp_open() and never call back into the control thread: they wake it through dp_fd().
 *
 * Change. dp_apply() is the only way to change anything. It validates every operation against the state that the ones before it
 * would leave, then allocates all that the new state needs (devices are opened here), and only then publishes, which cannot fail:
 * each object is one pointer, swung under liburcu's QSBR flavour. What was replaced is freed after a grace period. Changing one
 * object touches that object, and the member lists of the VLANs that it enters or leaves; nothing else, so no frame of another port
 * is lost and the cost does not grow with the node.
 *
 * Errors are negative errno, with the name, value and cure in struct dp_error, made where they are known.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <netinet/in.h>

#include "sluice/drop.h"

#define DP_NAME_MAX	   64	/* bytes of an object's name, NUL included: 1-63 of a-z A-Z 0-9 . _ - */
#define DP_MAX_PORTS	   4096 /* ports of a node */
#define DP_MAX_WORKERS	   32	/* worker cores of a node */
#define DP_MAX_IPS	   16	/* addresses that a port may speak for */
#define DP_MAX_STATIC_MACS 64	/* static FDB entries of one port */
#define DP_MAX_FAULTS	   16	/* names of faults of a port's peer */
#define DP_MTU_MIN	   68	/* RFC 791 */
#define DP_MTU_MAX	   9216
#define DP_MTU_DEFAULT	   1500
#define DP_FDB_MAX	   1000000 /* entries */
#define DP_VLAN_N	   4096 /* 0 is "no tag" on a trunk; 4095 is carried by trunks as Open vSwitch does, and never configured */
#define DP_AGING_DEFAULT_S 300	/* 802.1Q table 8-6 */

struct dp;

/* --- errors ------------------------------------------------------------------------------------------------------------- */

struct dp_error {
	size_t op;	  /* index of the operation that failed */
	const char *name; /* stable, for programs: "out-of-range", "no-such-device", "in-use", "no-memory", ... Static string. */
	char attr[32];	  /* attribute at fault, as the socket spells it, or "" */
	char msg[256];	  /* one line for people: what and which value */
	char hint[192];	  /* how to mend it, or "" */
};

/* Fill *err (may be NULL) and return code, so that `return dp_fail(err, -EINVAL, ...)` reads well. `attr` and `hint` may be NULL. */
int dp_fail(struct dp_error *err, int code, const char *name, const char *attr, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* --- start and stop ----------------------------------------------------------------------------------------------------- */

enum dp_memory { DP_MEMORY_AUTO, DP_MEMORY_HUGE, DP_MEMORY_PLAIN };
enum dp_poll { DP_POLL_ADAPTIVE, DP_POLL_BUSY };

struct dp_config {
	uint16_t cores[DP_MAX_WORKERS]; /* CPU of each worker */
	uint16_t n_cores;		/* 0: one worker, on the highest CPU that the process may use */
	enum dp_memory memory;
	enum dp_poll poll;
	uint32_t buffers;    /* packet buffers shared by all ports; 0: 16384 */
	uint32_t fdb_max;    /* FDB entries at most; 0: DP_FDB_MAX */
	const char *drivers; /* comma-separated DPDK driver libraries to load at start for `nic` ports, or NULL */
	/* Where log lines go: priority as in <syslog.h>, text without a newline. Any thread. NULL: stderr. */
	void (*log)(int priority, const char *text);
	/* Called by each worker, on its thread, before anything else: to give up what a worker does not need. NULL: nothing. */
	void (*worker_init)(void);
};

/* Start EAL and workers. At most one switch per process (EAL's rule). 0 or -errno with *err. */
int dp_open(struct dp **dp, const struct dp_config *config, struct dp_error *err);
/* Stop workers, close ports, release everything. */
void dp_close(struct dp *dp);
/* Becomes readable when dp_dispatch() has work: watch it in the control thread's event loop. */
int dp_fd(struct dp *dp);
/* Handle what is due: peers that connect, links that change, ageing. Never blocks for long; call it when dp_fd() is readable. */
void dp_dispatch(struct dp *dp);

/* --- configuration ------------------------------------------------------------------------------------------------------ */

/* Limits of zero mean "none", everywhere. */
struct dp_vlan_conf {
	uint16_t id; /* 1-4094 */
	char name[DP_NAME_MAX];
	uint32_t mac_limit; /* learned entries at most */
	uint32_t aging_s;   /* 1-1000000 */
	uint64_t storm_pps; /* flooded frames a second: broadcast, multicast and unknown unicast together */
};

enum dp_vlan_mode {
	DP_VLAN_ACCESS,
	DP_VLAN_TRUNK,
	DP_VLAN_NATIVE_TAGGED,
	DP_VLAN_NATIVE_UNTAGGED,
	DP_VLAN_DOT1Q_TUNNEL,
};

struct dp_vlan_set {
	uint64_t bits[DP_VLAN_N / 64];
	bool given; /* false: all VLANs, as an empty column of Open vSwitch's */
};

struct dp_ip {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix; /* bits: 32 or 128 for one address */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

struct dp_static_mac {
	uint16_t vlan;
	uint8_t mac[6];
};

struct dp_limit {
	uint64_t bps;	      /* bits/s of whole layer 2 frames without FCS, as Linux tc counts */
	uint64_t pps;	      /* frames/s; a segmentation request counts the frames it will become */
	uint64_t burst_bytes; /* 0: made from the rate, see meter.h */
};

struct dp_port_conf {
	char name[DP_NAME_MAX];
	char kind[16];
	/*
	 * trunk: what carries it, a name of kind.h's trunk rows. The owner's to say, who made the netdev; fixed once the port exists. "": the node
	 * has no trunk now, and a port of this kind lacks its device.
	 */
	char carrier[16];
	uint32_t ifindex; /* trunk: of the netdev, which is no other of that name; 0: it is not there now */

	/* Attributes of kinds; a kind refuses those that are not its own. Fixed once the port exists. */
	char path[108];	   /* memif, vhost-user: socket path */
	char ifname[16];   /* af-packet, af-xdp, trunk: netdev in this namespace; tap: one that is made */
	char devargs[256]; /* nic: DPDK device arguments */
	uint32_t id;	   /* memif: interface id on the socket */
	bool client;	   /* memif: connect to the path rather than listen on it (role) */
	bool server;	   /* vhost-user: listen on the path rather than connect to it */
	char secret[25];   /* memif: shared secret, or "" */
	uint16_t queues;   /* queue pairs wanted, 1-16; 0: one */
	uint16_t ring;	   /* slots of a queue, power of two, 64-16384; 0: the kind's default */

	/* VLANs, with the meaning of the columns of Open vSwitch's Port table. */
	enum dp_vlan_mode vlan_mode;
	uint16_t vlan;		   /* 1-4094; 0 on a trunk */
	struct dp_vlan_set trunks; /* trunk, native-*: VLANs carried, 0-4095 */
	struct dp_vlan_set cvlans; /* dot1q-tunnel: customer VLANs admitted */
	uint16_t qinq_ethertype;   /* dot1q-tunnel: TPID of the service tag, 0x88a8 or 0x8100; 0: 0x88a8 */
	bool has_pcp;		   /* every frame that enters by the port takes the code point `pcp`; else it keeps its own */
	uint8_t pcp;		   /* 802.1p, 0-7 */

	/* Who may speak. */
	bool has_mac;
	uint8_t mac[6]; /* the only source address admitted; also a static FDB entry in `vlan` */
	uint8_t n_ips;
	struct dp_ip ips[DP_MAX_IPS]; /* the only IPv4, IPv6, ARP and ND addresses admitted */
	uint8_t n_static_macs;
	struct dp_static_mac static_macs[DP_MAX_STATIC_MACS]; /* addresses behind this port: never aged, never moved */
	uint32_t mac_limit;				      /* learned entries at most */
	bool isolated;					      /* no frames to or from other isolated ports */

	uint16_t mtu;		 /* bytes of payload, DP_MTU_MIN..DP_MTU_MAX; 0: DP_MTU_DEFAULT */
	bool down;		 /* administratively */
	struct dp_limit in, out; /* in: received from the port. out: sent to it. */
};

/*
 * A static FDB entry of a port, beside those of its configuration: an address that somebody else manages. The kernel engine's containers are
 * such, behind the trunk: one of them comes or goes without the trunk's configuration being told anew, however many there are.
 */
struct dp_mac {
	char port[DP_NAME_MAX];
	uint16_t vlan;
	uint8_t mac[6];
};

/*
 * Of a port that has lost its device (dp_port_lose()) DP_PORT_ADD is a SET that opens one anew: it goes on as it was, counters, addresses and all. Where the
 * device is lacking it is changed all the same, and goes on without.
 */
enum dp_op_type { DP_VLAN_SET, DP_VLAN_DEL, DP_PORT_ADD, DP_PORT_SET, DP_PORT_DEL, DP_MAC_ADD, DP_MAC_DEL };

/* One change. SET carries the whole new configuration of the object, not a difference; DP_VLAN_SET makes the VLAN if need be. */
struct dp_op {
	enum dp_op_type type;
	union {
		const struct dp_vlan_conf *vlan; /* SET; DEL reads id only */
		const struct dp_port_conf *port; /* ADD, SET; DEL reads name only */
		/*
		 * ADD: "in-use" if it is bound already, unless this change also says DEL. DEL: nothing if it is not bound. Deletions come
		 * first. A port goes only when its addresses have gone.
		 */
		const struct dp_mac *mac;
	};
	/*
	 * DP_PORT_ADD: where to say what the node lacks now. With NULL, a device that is not to be had fails the apply. With a place, the
	 * port is left out instead, why is written there (name is not NULL then), and all else goes on; a port that it replaces goes.
	 * Only what may come by itself is left out: a netdev, a directory, a device that somebody else holds. Whatever is wrong with the
	 * request, or with this machine's memory, fails the apply as always. The table of both is in make.c.
	 */
	struct dp_error *lack;
};

/*
 * Apply all operations, in order, or none. `dry_run` validates only (devices are not opened).
 * 0, or -errno with *err; then nothing has changed. Takes as long as opening the devices takes, and a grace period.
 */
int dp_apply(struct dp *dp, const struct dp_op *ops, size_t n_ops, bool dry_run, struct dp_error *err);

/*
 * dp_apply() in two halves, for an owner who must write down what will be before it is. dp_prepare() does all that can fail: 0 and
 * *change, or -errno with *err and nothing changed. Then dp_commit(), which cannot fail, makes it so; or dp_abort() takes it back.
 * No other call comes in between. `ops` need not outlive dp_prepare().
 */
struct dp_change;
int dp_prepare(struct dp *dp, const struct dp_op *ops, size_t n_ops, struct dp_change **change, struct dp_error *err);
void dp_commit(struct dp_change *change);
void dp_abort(struct dp_change *change);

/*
 * The port's device is gone for good, as its owner knows: let go of it. The port stays, with its link down, until DP_PORT_ADD mends it. For the trunk, whose
 * netdev is another's to make again; ports of other kinds find out themselves. Not between dp_prepare() and dp_commit(). -ENOENT if there is no such port,
 * -EINVAL if it is not the trunk's.
 */
int dp_port_lose(struct dp *dp, const char *name);

/* --- state and counters: read without stopping anybody -------------------------------------------------------------------- */

struct dp_port_state {
	bool link_up;	  /* peer or carrier there, and not administratively down */
	const char *wake; /* "fd": sleeps on a descriptor; "timer": polled every millisecond when idle */
	uint16_t queues;  /* queue pairs in use */
	uint16_t mtu;	  /* in force */
	uint32_t macs;	  /* FDB entries that it holds, static ones too */
	struct dp_port_peer {
		uint64_t connects; /* connections that were made or taken */
		unsigned n_faults; /* ways for a peer to be hung up on that this kind knows */
		struct dp_port_fault {
			const char *name; /* stable; static string */
			uint64_t count;
		} fault[DP_MAX_FAULTS];
	} peer; /* kinds with a peer that connects (vhost-user) */
};

struct dp_port_stats {
	uint64_t rx_frames, rx_bytes; /* received from outside, before any drop by the switch */
	uint64_t tx_frames, tx_bytes; /* handed to peer or device */
	uint64_t flooded;	      /* received frames that were flooded */
	uint64_t learn_refused;	 /* source addresses not learned: a limit or the table was full. Their frames were forwarded. */
	uint64_t moved;		 /* addresses that moved to this port from another */
	uint64_t csum_completed; /* checksums finished in software on the way out */
	uint64_t segmented;	 /* frames cut into segments in software on the way out */
	uint64_t drops[SLC_DROP_N];
};

/* -ENOENT when there is no such port. */
int dp_port_state(struct dp *dp, const char *name, struct dp_port_state *out);
int dp_port_stats(struct dp *dp, const char *name, struct dp_port_stats *out);
/* Sum over ports, those removed included: the node's counters never go back. */
void dp_node_stats(struct dp *dp, struct dp_port_stats *out);

struct dp_worker_stats {
	uint16_t core;
	uint16_t queues;		     /* receive queues assigned */
	uint64_t polls;			     /* queue polls */
	uint64_t polls_busy;		     /* of those, polls that brought frames */
	uint64_t frames;		     /* frames received */
	uint64_t busy_us, idle_us, sleep_us; /* time in rounds with frames, in rounds without, asleep */
	uint64_t sleeps;
};

int dp_worker_stats(struct dp *dp, unsigned worker, struct dp_worker_stats *out); /* -ENOENT past the last */

/*
 * *beat is a number that changes while the worker makes progress. A worker that sleeps is woken by the call, to make some: whose number
 * is the same when asked again a good while later is stuck. -ENOENT past the last.
 */
int dp_worker_beat(struct dp *dp, unsigned worker, uint64_t *beat);

struct dp_vlan_state {
	uint32_t macs;	  /* FDB entries, static ones too */
	uint32_t members; /* ports that carry it */
	uint64_t storm_drops;
};

int dp_vlan_state(struct dp *dp, uint16_t id, struct dp_vlan_state *out);

struct dp_node_info {
	const char *dpdk_version;
	const char *memory;	/* "huge" or "plain" */
	const char *memory_why; /* one line: why so */
	uint64_t memory_bytes;
	uint32_t buffers, buffers_free;
	uint32_t fdb_max, fdb_used;
	uint32_t ports, max_ports;
	uint16_t workers;
	const char *poll;
};

void dp_node_info(struct dp *dp, struct dp_node_info *out);

struct dp_fdb_entry {
	uint16_t vlan;
	uint8_t mac[6];
	bool is_static;
	uint32_t age_s; /* since last heard; 0 for static entries */
	char port[DP_NAME_MAX];
};

/*
 * Walk the FDB from *cursor (start with 0) and put up to `n` entries that match into out: `vlan` (-1: any), `port` (NULL: any), `mac`
 * (NULL: any). Returns how many; *cursor is where to go on, UINT64_MAX at the end. Entries that come or go meanwhile may be missed
 * or seen twice, never torn. -ENOENT if there is no such port.
 */
int dp_fdb_walk(struct dp *dp, uint64_t *cursor, int vlan, const char *port, const uint8_t mac[6], struct dp_fdb_entry *out,
		size_t n);

/*
 * Forget the addresses learned behind the port: what was behind it has gone elsewhere, and the port itself stays. Frames to them are flooded until
 * they are heard of again. Not between dp_prepare() and dp_commit(). -ENOENT if there is no such port.
 */
int dp_fdb_flush(struct dp *dp, const char *port);

/* Where the address is. false: unknown. */
bool dp_fdb_find(struct dp *dp, uint16_t vlan, const uint8_t mac[6], struct dp_fdb_entry *out);
/*
 * Have `cb` called from inside dp_dispatch(), once a second at most, when addresses that had been learned behind the port were heard behind another.
 * For one port, which need not be there yet; a later call replaces an earlier one. It is set and cleared while nobody dispatches.
 */
void dp_fdb_on_leave(struct dp *dp, const char *port, void (*cb)(void *arg), void *arg);

/* --- events ----------------------------------------------------------------------------------------------------------------- */

enum dp_event_type {
	DP_EVENT_LINK,	      /* the port's link is up or down (as in dp_port_state) */
	DP_EVENT_FDB_LEARN,   /* an address was learned */
	DP_EVENT_FDB_MOVE,    /* a learned address moved to `port`; `from`: where it was, "" if that port has gone */
	DP_EVENT_FDB_AGE,     /* a learned address was not heard of for its VLAN's time and was forgotten */
	DP_EVENT_FDB_OMITTED, /* `count` events of the three kinds above were left out; once a second at most */
	DP_EVENT_SPOOF, /* the port sent `count` frames under another's address since the last time; `reason`: the drop's name */
	DP_EVENT_LIMIT, /* `count` frames over a limit since then, or addresses not learned ("learn-refused") */
};

struct dp_event {
	enum dp_event_type type;
	uint64_t time_us; /* when it happened; of SPOOF and LIMIT: when it was noticed. CLOCK_REALTIME */
	char port[DP_NAME_MAX], from[DP_NAME_MAX];
	bool link_up;
	uint16_t vlan;
	uint8_t mac[6];
	const char *reason; /* static string */
	uint64_t count;
};

typedef void (*dp_event_cb)(const struct dp_event *e, void *arg);

/*
 * Call `cb` for what happens from now on, from inside dp_dispatch(), dp_events_poll(), and dp_commit() before it changes anything. It must
 * call nothing of this header but what reads state.
 * At most 1000 address events a second are told; SPOOF and LIMIT once a second at most for each port and reason. Links are told one by
 * one, in order; what a commit does to them after it. While nobody listens nothing is collected and nothing is paid for. (feed.h says how.)
 * 0, -EBUSY if somebody listens already, -ENOMEM.
 */
int dp_events_start(struct dp *dp, dp_event_cb cb, void *arg);
/* Waits for a grace period. Harmless if nobody listens. */
void dp_events_stop(struct dp *dp);
/* Tell now what has happened: nothing that is told later is older than this call. For whoever is about to read the state. */
void dp_events_poll(struct dp *dp);

/* Names of the kinds that ports can have: NULL past the last. *available is false for rows that this build leaves open. */
const char *dp_kind_name(unsigned i, bool *available);

/* Names and texts of the drop reasons, 0..SLC_DROP_N-1. Any thread. */
const char *dp_drop_name(unsigned reason);
const char *dp_drop_doc(unsigned reason);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_KERNEL_H
#define SLUICE_KERNEL_H

/*
 * What the kernel engine's programs (bpf/kern.bpf.c) and their owner (bpf/kern.h) share: the maps' keys and values.
 *
 *   slc_node    [1]               layout, the netdevs that the programs must know
 *   slc_ports   [SLC_K_PORTS]     what a port may do: two copies, one active                mapped by the owner
 *   slc_vlans   [4096]            who carries a VLAN: two bit maps of ports, storm limit    mapped by the owner
 *   slc_cvlans  port -> bits      customer VLANs of tunnels that name them
 *   slc_ifs     ifindex -> port
 *   slc_fdb     (vlan, mac) -> where and since when
 *   slc_known4, slc_known6        (vlan, address) -> MAC and port: answered on the spot
 *   slc_count   [SLC_K_PORTS]     counters, one copy a CPU
 *   slc_learned [ports + vlans]   learned addresses that each holds                         mapped by the owner
 *   slc_buckets [ports * 2 + vlans]   token buckets, under a spin lock
 *
 * A port is an index here, as in the DPDK switch. Index 0 is the trunk, 1 the host's own stack behind the trunk netdev; containers begin at 2.
 *
 * Two copies. A port's configuration is some hundred bytes that must change together, while frames pass. The owner writes the copy that is
 * not active and then the one word that says which is; a program reads that word once a frame. Before the owner writes a copy that was
 * active a moment ago it waits for an RCU grace period, so no program still reads it. A member bit is a word, and changes by itself.
 *
 * The maps are pinned and outlive the owner. `layout` in slc_node names their form: an owner with another layout does not touch them.
 */

#include <linux/types.h>

#include "sluice/drop.h"

#define SLC_K_PORTS  4096
#define SLC_K_TRUNK  0
#define SLC_K_HOST   1
#define SLC_K_FIRST  2
#define SLC_K_NOBODY 0xffff

#define SLC_K_VLANS	  4096
#define SLC_K_WORDS	  (SLC_K_PORTS / 64)
#define SLC_K_IPS	  16	 /* addresses that a port may speak for */
#define SLC_K_LEARNED_MAX 131072 /* learned addresses of the node; each port that learns has an equal share, the trunk half */
#define SLC_K_STATIC_MAX  65536	 /* bound addresses of the node */
#define SLC_K_KNOWN_MAX	  32768	 /* addresses of one family that are answered on the spot */

/* Marks of frames on their way from one of our programs to another, on netdevs of the node's own namespace; cleared by the second. */
#define SLC_K_MARK_MASK 0xffff0000u
#define SLC_K_MARK_HOST 0x51c00000u /* to the host's own stack */
#define SLC_K_MARK_OURS 0x51c10000u /* from the owner itself: to the wire as it is */
#define SLC_K_MARK_IN	0x51c20000u /* behind the shaper; the port's index is in the lower half */

enum slc_k_mode { SLC_K_ACCESS, SLC_K_TRUNK_MODE, SLC_K_NATIVE_TAGGED, SLC_K_NATIVE_UNTAGGED, SLC_K_TUNNEL };

#define SLC_K_HAS_MAC	       (1u << 0)
#define SLC_K_CHECK_IPS	       (1u << 1) /* the port has a list of addresses */
#define SLC_K_ISOLATED	       (1u << 2)
#define SLC_K_DOWN	       (1u << 3)
#define SLC_K_REFUSES_UNTAGGED (1u << 4)
#define SLC_K_SOME_CVLANS      (1u << 5) /* look into slc_cvlans */
#define SLC_K_SHAPE_IN	       (1u << 6) /* frames from the port go through its class of the shaper first */
#define SLC_K_SHAPE_OUT	       (1u << 7) /* frames to the port go through the qdisc of its host end */
#define SLC_K_USED	       (1u << 8)
#define SLC_K_PRIORITY_TAGS    (1u << 9) /* a native-untagged port's own VLAN leaves with its tag where that has a priority to carry */

/* A token bucket's rate. Level and cap are in units * 1e9, so that a nanosecond's share of any rate is a whole number. */
struct slc_k_rate {
	__u64 per_s;  /* units a second; 0: no limit */
	__u64 cap;    /* burst * 1e9 */
	__u64 max_ns; /* longest pause that is credited at once, so that the product fits */
};

struct slc_k_net4 {
	__be32 net, mask;
};

struct slc_k_net6 {
	__u64 net[2], mask[2]; /* network order */
};

struct slc_k_conf {
	__u32 flags;
	__u32 ifindex; /* netdev of the port in the node's namespace; 0: there is none */
	__u16 vlan;
	__u16 mtu;
	__u16 qinq_tpid;
	__u8 mode;
	__u8 n4;
	__u8 n6;
	__u8 pcp; /* the code point of every frame that enters by the port, + 1; 0: each keeps its own */
	__u8 mac[6];
	__u32 mac_limit;     /* learned addresses at most; 0: its share */
	__u32 classid;	     /* of the shaper */
	__u64 link_local[2]; /* network order; made from the MAC */
	struct slc_k_rate in_pps, out_pps;
	struct slc_k_net4 net4[SLC_K_IPS];
	struct slc_k_net6 net6[SLC_K_IPS];
};

struct slc_k_port {
	__u32 active;  /* which of conf[] counts */
	__u32 link_up; /* the far end is up */
	struct slc_k_conf conf[2];
};

struct slc_k_vlan {
	__u64 members[SLC_K_WORDS];
	__u64 learners[SLC_K_WORDS]; /* members behind which unknown addresses may be */
	struct slc_k_rate storm;
	__u32 mac_limit; /* learned addresses at most */
	__u32 aging_s;
};

struct slc_k_cvlans {
	__u64 bits[SLC_K_VLANS / 64];
};

struct slc_k_mac {
	__u8 mac[6];
	__u16 vlan;
};

/* Where an address is: one word, changed by compare-and-swap. */
#define SLC_K_AT(port, is_static, heard_s) ((__u64)(heard_s) << 32 | (__u64)(is_static) << 16 | (__u64)(port))
#define SLC_K_AT_PORT(at)		   ((__u16)(at))
#define SLC_K_AT_STATIC(at)		   ((at) >> 16 & 1)
#define SLC_K_AT_HEARD(at)		   ((__u32)((at) >> 32)) /* second of CLOCK_MONOTONIC */

struct slc_k_ip4 {
	__be32 addr;
	__u16 vlan, unused;
};

struct slc_k_ip6 {
	__u64 addr[2]; /* network order */
	__u16 vlan, unused[3];
};

struct slc_k_known {
	__u8 mac[6];
	__u16 port;
};

struct slc_k_count {
	__u64 rx_frames, rx_bytes; /* from the container, before any drop */
	__u64 tx_frames, tx_bytes; /* to the container, after every drop */
	__u64 flooded, learn_refused, moved;
	__u64 answered; /* ARP and ND questions of this port that the node answered itself */
	__u64 drops[SLC_DROP_N];
};

/* Places in slc_learned and slc_buckets. */
#define SLC_K_LEARNED_VLAN(vid) (SLC_K_PORTS + (vid))
#define SLC_K_LEARNED_N		(SLC_K_PORTS + SLC_K_VLANS)
#define SLC_K_BUCKET_IN(port)	((port)*2)
#define SLC_K_BUCKET_OUT(port)	((port)*2 + 1)
#define SLC_K_BUCKET_STORM(vid) (SLC_K_PORTS * 2 + (vid))
#define SLC_K_BUCKETS_N		(SLC_K_PORTS * 2 + SLC_K_VLANS)

struct slc_k_node {
	__u32 magic, layout; /* in this place in every layout */
	__u32 trunk_ifindex; /* 0: there is none */
	__u32 shaper_ifindex;
	__u32 aging_s;	/* of VLANs that say nothing */
	__u32 learners; /* ports that learn ... */
	__u32 share;	/* ... and what each may hold */
};

#define SLC_K_MAGIC 0x534c4345u /* "SLCE" */
/* Numbers of drop reasons are part of the form, and so is what the structures hold. Raise the first number when a meaning changes. */
#define SLC_K_LAYOUT \
	(1u << 24 | (__u32)((sizeof(struct slc_k_port) * 31 + sizeof(struct slc_k_vlan)) * 31 + SLC_DROP_N) % (1u << 24))

#endif

/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_MAPS_BPF_H
#define BPF_MAPS_BPF_H

/* The maps (sluice/kernel.h says what is in them) and the short ways to them. */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sluice/kernel.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#ifndef bool
#define bool _Bool
#define true 1
#define false 0
#endif

#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)
#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define array_len(a) (sizeof(a) / sizeof((a)[0]))
#define PASS	     SLC_DROP_N /* no reason to drop */

struct bucket {
	struct bpf_spin_lock lock;
	u32 unused;
	u64 last_ns;
	s64 level; /* units * 1e9; below zero: owed */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, struct slc_k_node);
} slc_node SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLC_K_PORTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, struct slc_k_port);
} slc_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLC_K_VLANS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, struct slc_k_vlan);
} slc_vlans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLC_K_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, struct slc_k_cvlans);
} slc_cvlans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLC_K_PORTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, u32);
} slc_ifs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLC_K_LEARNED_MAX + SLC_K_STATIC_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct slc_k_mac);
	__type(value, u64);
} slc_fdb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLC_K_KNOWN_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct slc_k_ip4);
	__type(value, struct slc_k_known);
} slc_known4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLC_K_KNOWN_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct slc_k_ip6);
	__type(value, struct slc_k_known);
} slc_known6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLC_K_PORTS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, struct slc_k_count);
} slc_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLC_K_LEARNED_N);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, u32);
} slc_learned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLC_K_BUCKETS_N);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, u32);
	__type(value, struct bucket);
} slc_buckets SEC(".maps");

static __always_inline struct slc_k_node *get_node(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&slc_node, &zero);
}

static __always_inline struct slc_k_port *get_port(u32 idx)
{
	return bpf_map_lookup_elem(&slc_ports, &idx);
}

/* The copy that counts, read once. */
static __always_inline const struct slc_k_conf *get_conf(struct slc_k_port *port)
{
	return READ_ONCE(port->active) & 1 ? &port->conf[1] : &port->conf[0];
}

static __always_inline struct slc_k_vlan *get_vlan(u32 vid)
{
	return bpf_map_lookup_elem(&slc_vlans, &vid);
}

static __always_inline struct slc_k_count *get_count(u32 idx)
{
	return bpf_map_lookup_elem(&slc_count, &idx);
}

static __always_inline bool bit(const u64 *bits, u32 n)
{
	return READ_ONCE(bits[n >> 6 & (SLC_K_WORDS - 1)]) >> (n & 63) & 1;
}

/* A program is not interrupted by another on its CPU but at another hook; those few lost counts would be ours, so adds are plain. */
static __always_inline void count_drop(u32 idx, u32 why)
{
	struct slc_k_count *c = get_count(idx);

	if (c && why < SLC_DROP_N)
		c->drops[why]++;
}

/* Bytes of the frame on the wire, the tag beside it included; a segmentation request counts as it came, as in the DPDK switch. */
static __always_inline u32 frame_bytes(const struct __sk_buff *skb)
{
	return skb->len + (skb->vlan_present ? 4 : 0);
}

/* Frames that it will become. */
static __always_inline u32 frame_segments(const struct __sk_buff *skb)
{
	u32 size = skb->gso_size;

	if (likely(!size))
		return 1;
	return skb->gso_segs ?: (skb->len + size - 1) / size;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_FDB_BPF_H
#define BPF_FDB_BPF_H

/*
 * Where (VLAN, MAC) is. Containers' addresses are bound by configuration; a port without `mac`, and the trunk, learn.
 *
 * No port's flood of addresses costs another anything: the table has room for what all shares add up to, a port takes no more than its own share
 * (conf->mac_limit, dealt out by the owner), and what is over it is forwarded and not learned. Aged entries count as unknown; the owner
 * removes them when it comes by, and frames do not wait for it.
 *
 * The number that a port holds goes up with the insertion that succeeded and down with the removal that did (the owner's, by
 * lookup-and-delete), each of which happens once.
 */

#include "maps.bpf.h"

static __always_inline u32 now_s(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000000;
}

static __always_inline u32 *fdb_held(u32 at)
{
	return bpf_map_lookup_elem(&slc_learned, &at);
}

static __always_inline void fdb_move_count(u32 from, u32 to)
{
	u32 *a = fdb_held(from), *b = fdb_held(to);

	if (a)
		__sync_fetch_and_add(a, -1);
	if (b)
		__sync_fetch_and_add(b, 1);
}

static __always_inline bool fdb_over(u32 at, u32 limit)
{
	u32 *held = fdb_held(at);

	/* Removals may overtake insertions by one or two: below zero is few. */
	return limit && held && (__s32)READ_ONCE(*held) >= (__s32)limit;
}

static __always_inline bool fdb_insert(const struct slc_k_mac *key, u32 port, u32 limit, u32 now)
{
	struct slc_k_vlan *v = get_vlan(key->vlan);
	u64 at = SLC_K_AT(port, 0, now);
	u32 *held, *held_vlan;

	if (fdb_over(port, limit) || (v && fdb_over(SLC_K_LEARNED_VLAN(key->vlan), v->mac_limit)))
		return false;
	if (bpf_map_update_elem(&slc_fdb, key, &at, BPF_NOEXIST))
		return false;
	held = fdb_held(port);
	held_vlan = fdb_held(SLC_K_LEARNED_VLAN(key->vlan));
	if (held)
		__sync_fetch_and_add(held, 1);
	if (held_vlan)
		__sync_fetch_and_add(held_vlan, 1);
	return true;
}

/* A frame with this source came in by the port. PASS, or SRC_BOUND. */
__noinline u32 fdb_hear(const struct slc_k_mac *where, u32 port, u32 limit)
{
	struct slc_k_mac key;
	struct slc_k_count *c = get_count(port);
	u32 now = now_s();
	u64 *at, old;

	if (!c || !where)
		return PASS;
	/* A copy: Linux 6.1 takes a key from the stack, and not by an argument. */
	key = *where;
	at = bpf_map_lookup_elem(&slc_fdb, &key);
	if (!at) {
		c->learn_refused += !fdb_insert(&key, port, limit, now);
		return PASS;
	}
	old = READ_ONCE(*at);
	if (SLC_K_AT_PORT(old) == port) {
		if (!SLC_K_AT_STATIC(old) && SLC_K_AT_HEARD(old) != now)
			__sync_val_compare_and_swap(at, old, SLC_K_AT(port, 0, now));
		return PASS;
	}
	if (SLC_K_AT_STATIC(old))
		return SLC_DROP_SRC_BOUND;
	if (fdb_over(port, limit)) {
		c->learn_refused++;
	} else if (__sync_val_compare_and_swap(at, old, SLC_K_AT(port, 0, now)) == old) {
		fdb_move_count(SLC_K_AT_PORT(old), port);
		c->moved++;
	}
	return PASS;
}

/* The port behind which the address is, or SLC_K_NOBODY. */
static __always_inline u32 fdb_lookup(const struct slc_k_mac *key, const struct slc_k_node *node)
{
	u64 *found = bpf_map_lookup_elem(&slc_fdb, key), at;
	struct slc_k_vlan *v;
	u32 aging;

	if (!found)
		return SLC_K_NOBODY;
	at = READ_ONCE(*found);
	if (likely(SLC_K_AT_STATIC(at)))
		return SLC_K_AT_PORT(at);
	v = get_vlan(key->vlan);
	aging = v && v->aging_s ? v->aging_s : node->aging_s;
	return now_s() - SLC_K_AT_HEARD(at) > aging ? SLC_K_NOBODY : SLC_K_AT_PORT(at);
}

#endif

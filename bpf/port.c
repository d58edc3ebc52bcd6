/* SPDX-License-Identifier: Apache-2.0 */
/* From configurations to what the programs read. Everything here writes memory, and cannot fail. */
#include "inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <arpa/inet.h>
#include <endian.h>

#define BURST_FRAMES	  32
#define NS		  1000000000ull
#define SHARE_MIN	  16
#define TRUNK_SHARE	  (SLC_K_LEARNED_MAX / 2)
#define ALIAS_FORM	  "sluice:%016" PRIx64 ":"
#define QINQ_TPID_DEFAULT 0x88a8

/* --- compile ------------------------------------------------------------------------------------------------------------------ */

void port_defaults(struct kern_port_conf *c)
{
	if (!c->mtu)
		c->mtu = KERN_MTU_DEFAULT;
	if (!c->qinq_ethertype)
		c->qinq_ethertype = QINQ_TPID_DEFAULT;
}

/* `burst` 0: 10 ms of the rate, at least BURST_FRAMES. */
struct slc_k_rate port_rate(uint64_t per_s, uint64_t burst)
{
	struct slc_k_rate r = {.per_s = per_s};

	if (!per_s)
		return r;
	if (!burst)
		burst = per_s / 100 < BURST_FRAMES ? BURST_FRAMES : per_s / 100;
	r.cap = burst > INT64_MAX / 2 / NS ? INT64_MAX / 2 : burst * NS;
	/* A pause longer than this would not fit when multiplied, and fills any bucket. */
	r.max_ns = INT64_MAX / 2 / per_s;
	return r;
}

static uint64_t mask64(unsigned bits)
{
	return htobe64(bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : ~(UINT64_MAX >> bits));
}

static void compile_ip(struct slc_k_conf *out, const struct kern_ip *ip)
{
	if (ip->family == AF_INET) {
		struct slc_k_net4 *n = &out->net4[out->n4++];

		n->mask = htonl(ip->prefix == 0 ? 0 : ip->prefix >= 32 ? UINT32_MAX : ~(UINT32_MAX >> ip->prefix));
		n->net = ip->v4.s_addr & n->mask;
	} else {
		struct slc_k_net6 *n = &out->net6[out->n6++];
		uint64_t a[2];

		memcpy(a, &ip->v6, sizeof(a));
		n->mask[0] = mask64(ip->prefix);
		n->mask[1] = ip->prefix > 64 ? mask64(ip->prefix - 64u) : 0;
		n->net[0] = a[0] & n->mask[0];
		n->net[1] = a[1] & n->mask[1];
	}
}

static void compile_link_local(struct slc_k_conf *out)
{
	uint8_t ll[16] = {0xfe,	       0x80,	    0,	  0,	0,	     0,		  0,	      0, out->mac[0] ^ 2,
			  out->mac[1], out->mac[2], 0xff, 0xfe, out->mac[3], out->mac[4], out->mac[5]};

	memcpy(out->link_local, ll, sizeof(ll));
}

static bool set_has(const struct kern_vlan_set *set, uint16_t vid)
{
	return !set->given || (set->bits[vid / 64] >> vid % 64 & 1);
}

void port_compile(const struct kern_port_conf *c, struct slc_k_conf *out)
{
	memset(out, 0, sizeof(*out));
	out->flags = SLC_K_USED | (c->has_mac ? SLC_K_HAS_MAC : 0) | (c->n_ips ? SLC_K_CHECK_IPS : 0) |
		     (c->isolated ? SLC_K_ISOLATED : 0) | (c->down ? SLC_K_DOWN : 0);
	out->vlan = c->vlan;
	out->mtu = c->mtu;
	out->qinq_tpid = c->qinq_ethertype;
	out->mode = c->vlan_mode;
	out->mac_limit = c->mac_limit;
	out->pcp = c->has_pcp ? c->pcp + 1 : 0;
	if (c->has_mac) {
		memcpy(out->mac, c->mac, 6);
		compile_link_local(out);
	}
	for (unsigned i = 0; i < c->n_ips; i++)
		compile_ip(out, &c->ips[i]);
	if (c->vlan_mode == KERN_VLAN_DOT1Q_TUNNEL && c->cvlans.given)
		out->flags |= SLC_K_SOME_CVLANS | (set_has(&c->cvlans, 0) ? 0 : SLC_K_REFUSES_UNTAGGED);
	if (c->vlan_mode == KERN_VLAN_TRUNK && !set_has(&c->trunks, 0))
		out->flags |= SLC_K_REFUSES_UNTAGGED;
	out->in_pps = port_rate(c->in.pps, 0);
	out->out_pps = port_rate(c->out.pps, 0);
}

bool port_carries(const struct kern_port_conf *c, uint16_t vid)
{
	switch (c->vlan_mode) {
	case KERN_VLAN_TRUNK:
		return set_has(&c->trunks, vid);
	case KERN_VLAN_NATIVE_TAGGED:
	case KERN_VLAN_NATIVE_UNTAGGED:
		/* VLAN 0 never: leaving untagged, it would be in the native VLAN. */
		return vid == c->vlan || (vid != 0 && set_has(&c->trunks, vid));
	default:
		return vid == c->vlan;
	}
}

/* A port with `mac` has nothing else behind it, in the VLAN where that is bound. */
static bool learns(const struct kern_port_conf *c, uint16_t vid)
{
	return !c->has_mac || vid != c->vlan;
}

void port_each_mac(const struct kern_port_conf *c, void (*each)(void *arg, uint16_t vid, const uint8_t mac[6]), void *arg)
{
	if (c->has_mac)
		each(arg, c->vlan, c->mac);
	for (unsigned i = 0; i < c->n_static_macs; i++)
		each(arg, c->static_macs[i].vlan, c->static_macs[i].mac);
}

/* --- names -------------------------------------------------------------------------------------------------------------------- */

struct port *port_find(struct kern *e, const char *name)
{
	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (e->ports[i] && strcmp(e->ports[i]->rec.conf.name, name) == 0)
			return e->ports[i];
	}
	return NULL;
}

void port_alias(struct kern *e, const char *name, char out[128])
{
	snprintf(out, 128, ALIAS_FORM "%s", e->id, name);
}

const char *port_of_alias(struct kern *e, const char *alias)
{
	char stem[128];

	port_alias(e, "", stem);
	return strncmp(alias, stem, strlen(stem)) == 0 ? alias + strlen(stem) : NULL;
}

/* --- publish ------------------------------------------------------------------------------------------------------------------ */

struct binder {
	struct kern *e;
	uint32_t idx;
	const struct kern_port_conf *keep; /* addresses of this configuration stay */
	bool kept;
	const uint8_t *mac;
	uint16_t vid;
};

static void bind_one(void *arg, uint16_t vid, const uint8_t mac[6])
{
	struct binder *b = arg;
	int r = maps_bind(b->e, vid, mac, b->idx);

	/* Room was counted before; what is left is memory. The address is flooded to, and heard. */
	if (r < 0)
		kern_log(b->e, LOG_ERR, "vlan %u: an address could not be bound: %s", vid, strerror(-r));
}

static void is_kept(void *arg, uint16_t vid, const uint8_t mac[6])
{
	struct binder *b = arg;

	b->kept |= vid == b->vid && memcmp(mac, b->mac, 6) == 0;
}

static void unbind_one(void *arg, uint16_t vid, const uint8_t mac[6])
{
	struct binder *b = arg;

	b->kept = false;
	b->vid = vid;
	b->mac = mac;
	if (b->keep)
		port_each_mac(b->keep, is_kept, b);
	if (!b->kept)
		maps_unbind(b->e, vid, mac, b->idx);
}

bool port_ip_is_hosts(const struct kern_ip *ip)
{
	return ip->family == AF_INET ? ip->prefix == 32 && ip->v4.s_addr : ip->prefix == 128;
}

/* Addresses that the node vouches for: one host's, of a port whose MAC is fixed. */
static void each_known(struct kern *e, const struct port *p, const struct kern_port_conf *c, bool known)
{
	if (!c->has_mac)
		return;
	for (unsigned k = 0; k < 2; k++) {
		const struct kern_ip *ips = k ? c->addrs : c->ips;

		for (unsigned i = 0; i < (k ? c->n_addrs : c->n_ips); i++) {
			/* `addr` has its subnet's prefix. */
			if (k == 0 && !port_ip_is_hosts(&ips[i]))
				continue;
			if (known)
				maps_known(e, c->vlan, &ips[i], c->mac, p->idx);
			else
				maps_unknown(e, c->vlan, &ips[i], p->idx);
		}
	}
}

void port_share(struct kern *e)
{
	uint32_t n = 0, share;

	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		const struct port *p = e->ports[i];

		/* On several VLANs, or without an address of its own: there may be others behind it. */
		n += p && !p->orphan &&
		     (!p->rec.conf.has_mac ||
		      (p->rec.conf.vlan_mode != KERN_VLAN_ACCESS && p->rec.conf.vlan_mode != KERN_VLAN_DOT1Q_TUNNEL));
	}
	share = (SLC_K_LEARNED_MAX - TRUNK_SHARE) / (n ? n : 1);
	e->node->learners = n;
	e->node->share = share < SHARE_MIN ? SHARE_MIN : share;
}

void port_publish(struct kern *e, struct port *p, const struct kern_port_conf *old)
{
	const struct kern_port_conf *c = &p->rec.conf;
	struct binder b = {.e = e, .idx = p->idx, .keep = c};
	struct slc_k_conf k;

	port_compile(c, &k);
	k.ifindex = p->ifindex;
	k.classid = shape_classid(p->idx);
	k.flags |= (p->shaped_in && c->in.bps ? SLC_K_SHAPE_IN : 0) | (p->shaped_out && c->out.bps ? SLC_K_SHAPE_OUT : 0);
	maps_cvlans(e, p->idx, c->vlan_mode == KERN_VLAN_DOT1Q_TUNNEL ? &c->cvlans : NULL);
	/* In before out: a member that moves to another VLAN is in both for a moment, and its own configuration decides. */
	for (unsigned vid = 0; vid < SLC_K_VLANS; vid++) {
		if (p->ifindex && port_carries(c, vid))
			maps_member(e, vid, p->idx, true, learns(c, vid));
	}
	maps_conf_set(e, p->idx, &k);
	for (unsigned vid = 0; old && vid < SLC_K_VLANS; vid++) {
		if (port_carries(old, vid) && !port_carries(c, vid))
			maps_member(e, vid, p->idx, false, false);
	}
	port_each_mac(c, bind_one, &b);
	if (old) {
		port_each_mac(old, unbind_one, &b);
		each_known(e, p, old, false);
	}
	each_known(e, p, c, true);
	e->ports_map[p->idx].link_up = p->ifindex != 0;
}

struct flush {
	struct kern *e;
	uint32_t idx;
};

static bool flush_one(void *arg, const struct slc_k_mac *key, uint64_t at)
{
	struct flush *f = arg;

	if (SLC_K_AT_PORT(at) == f->idx && !SLC_K_AT_STATIC(at))
		maps_fdb_forget(f->e, key);
	return true;
}

static void leave_vlans(struct kern *e, const struct port *p, const struct kern_port_conf *c)
{
	for (unsigned vid = 0; vid < SLC_K_VLANS; vid++) {
		if (port_carries(c, vid))
			maps_member(e, vid, p->idx, false, false);
	}
}

void port_retract(struct kern *e, struct port *p, const struct kern_port_conf *old)
{
	struct slc_k_conf none = {0};
	struct flush f = {e, p->idx};
	struct binder b = {.e = e, .idx = p->idx};

	each_known(e, p, old, false);
	port_each_mac(old, unbind_one, &b);
	leave_vlans(e, p, old);
	maps_conf_set(e, p->idx, &none);
	e->ports_map[p->idx].link_up = 0;
	if (p->ifindex)
		maps_ifs_del(e, p->ifindex);
	maps_cvlans(e, p->idx, NULL);
	if (e->learned[p->idx])
		maps_fdb_each(e, flush_one, &f);
	e->learned[p->idx] = 0;
}

/* Its addresses stay bound: frames to it are dropped and counted (tx-down), not flooded. */
void port_lost(struct kern *e, struct port *p)
{
	struct slc_k_conf k = *maps_conf(e, p->idx);

	maps_ifs_del(e, p->ifindex);
	e->ports_map[p->idx].link_up = 0;
	k.ifindex = 0;
	maps_conf_set(e, p->idx, &k);
	leave_vlans(e, p, &p->rec.conf);
	each_known(e, p, &p->rec.conf, false);
	p->ifindex = p->peer = 0;
	p->host_up = p->shaped_out = false;
}

/* --- trunk, VLANs ------------------------------------------------------------------------------------------------------------- */

void trunk_publish(struct kern *e, const struct kern_trunk_conf *conf, const struct veth_link *link)
{
	struct slc_k_conf trunk = {0}, host = {0};
	bool there = conf->ifname[0], in_vlan = there && conf->vlan;
	uint16_t old_vlan = e->trunk.vlan;
	uint8_t old_mac[6];

	memcpy(old_mac, e->trunk_mac, 6);
	if (there) {
		trunk.flags = SLC_K_USED | SLC_K_PRIORITY_TAGS | (conf->down ? SLC_K_DOWN : 0) |
			      (conf->vlan ? 0 : SLC_K_REFUSES_UNTAGGED);
		trunk.ifindex = host.ifindex = link->ifindex;
		trunk.vlan = host.vlan = conf->vlan;
		trunk.mtu = host.mtu = conf->mtu ? conf->mtu : link->mtu;
		trunk.mode = conf->vlan ? SLC_K_NATIVE_UNTAGGED : SLC_K_TRUNK_MODE;
		trunk.mac_limit = TRUNK_SHARE;
		host.mode = SLC_K_ACCESS;
		host.pcp = conf->has_pcp ? conf->pcp + 1 : 0;
		host.flags = conf->vlan ? SLC_K_USED | SLC_K_HAS_MAC : 0;
		memcpy(host.mac, link->mac, 6);
		memcpy(e->trunk_mac, link->mac, 6);
		e->trunk_mtu = link->mtu;
	}
	for (unsigned vid = 0; vid < SLC_K_VLANS; vid++) {
		/* VLAN 0 leaves untagged, which on the trunk means the host's VLAN, or nothing. */
		maps_member(e, vid, SLC_K_TRUNK, there && vid != 0, true);
		maps_member(e, vid, SLC_K_HOST, in_vlan && vid == conf->vlan, false);
	}
	e->node->trunk_ifindex = there ? link->ifindex : 0;
	maps_conf_set(e, SLC_K_TRUNK, &trunk);
	maps_conf_set(e, SLC_K_HOST, &host);
	if (in_vlan && maps_bind(e, conf->vlan, link->mac, SLC_K_HOST) < 0)
		kern_log(e, LOG_ERR, "vlan %u: the host's address could not be bound", conf->vlan);
	if (old_vlan && (!in_vlan || old_vlan != conf->vlan || memcmp(old_mac, link->mac, 6) != 0))
		maps_unbind(e, old_vlan, old_mac, SLC_K_HOST);
	e->ports_map[SLC_K_HOST].link_up = there;
	e->ports_map[SLC_K_TRUNK].link_up = there && link->lower_up;
	e->trunk = *conf;
}

void vlan_publish(struct kern *e, const struct kern_vlan_conf *conf)
{
	struct slc_k_vlan *v = &e->vlans_map[conf->id];
	struct slc_k_rate storm = port_rate(conf->storm_pps, 0);

	/* No limit while the three words change. */
	__atomic_store_n(&v->storm.per_s, 0, __ATOMIC_SEQ_CST);
	v->storm.cap = storm.cap;
	v->storm.max_ns = storm.max_ns;
	__atomic_store_n(&v->storm.per_s, storm.per_s, __ATOMIC_SEQ_CST);
	v->mac_limit = conf->mac_limit;
	v->aging_s = conf->aging_s;
}

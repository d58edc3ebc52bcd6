/* SPDX-License-Identifier: Apache-2.0 */
/* State and counters, read while frames pass. */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Index of a port by name, the two that are no container's too. */
static int index_by_name(struct kern *e, const char *name, struct port **p)
{
	*p = NULL;
	if (strcmp(name, TRUNK_NAME) == 0)
		return SLC_K_TRUNK;
	if (strcmp(name, HOST_NAME) == 0)
		return SLC_K_HOST;
	*p = port_find(e, name);
	return *p ? (int)(*p)->idx : -ENOENT;
}

struct count_macs {
	uint32_t idx, n;
};

static bool count_mac(void *arg, const struct slc_k_mac *key, uint64_t at)
{
	struct count_macs *c = arg;

	c->n += SLC_K_AT_PORT(at) == c->idx;
	return true;
}

int kern_port_state(struct kern *e, const char *name, struct kern_port_state *out)
{
	const struct slc_k_conf *k;
	struct port *p;
	int idx = index_by_name(e, name, &p);
	struct count_macs c = {.idx = idx};

	if (idx < 0)
		return idx;
	memset(out, 0, sizeof(*out));
	k = maps_conf(e, idx);
	out->link_up = e->ports_map[idx].link_up && !(k->flags & SLC_K_DOWN) && k->ifindex;
	out->mtu = k->mtu;
	out->ifindex = p ? p->ifindex : k->ifindex;
	if (p) {
		out->lost = !p->ifindex;
		out->orphan = p->orphan;
		out->peer_ifindex = p->peer;
		snprintf(out->host_ifname, sizeof(out->host_ifname), "%s", p->host_ifname);
	} else {
		snprintf(out->host_ifname, sizeof(out->host_ifname), "%s", e->trunk.ifname);
	}
	maps_fdb_each(e, count_mac, &c);
	out->macs = c.n;
	return 0;
}

int kern_port_stats(struct kern *e, const char *name, struct slc_k_count *out)
{
	uint64_t in, sent;
	struct port *p;
	int idx = index_by_name(e, name, &p), r;

	if (idx < 0)
		return idx;
	r = maps_count(e, idx, out);
	if (r < 0 || !p)
		return r;
	/* The programs count what they hand to a class; what it had no room for did not leave. */
	in = p->rec.lost_in + shape_in_drops(e, p);
	sent = p->rec.lost_out + shape_out_drops(e, p);
	out->drops[SLC_DROP_LIMIT_IN] += in;
	out->drops[SLC_DROP_LIMIT_OUT] += sent;
	out->tx_frames -= sent < out->tx_frames ? sent : out->tx_frames;
	return 0;
}

const char *kern_port_walk(struct kern *e, unsigned *cursor)
{
	for (unsigned i = *cursor < SLC_K_FIRST ? SLC_K_FIRST : *cursor; i < SLC_K_PORTS; i++) {
		if (e->ports[i]) {
			*cursor = i + 1;
			return e->ports[i]->rec.conf.name;
		}
	}
	*cursor = SLC_K_PORTS;
	return NULL;
}

const struct kern_port_conf *kern_port_conf(struct kern *e, const char *name)
{
	const struct port *p = port_find(e, name);

	return p && !p->orphan ? &p->rec.conf : NULL;
}

/* The name of the port that an entry leads to. NULL: an entry may outlive its port for a moment. */
static const char *name_at(struct kern *e, uint64_t at)
{
	uint32_t idx = SLC_K_AT_PORT(at);

	if (idx == SLC_K_TRUNK)
		return TRUNK_NAME;
	if (idx == SLC_K_HOST)
		return HOST_NAME;
	return idx < SLC_K_PORTS && e->ports[idx] ? e->ports[idx]->rec.conf.name : NULL;
}

bool kern_fdb_is_local(struct kern *e, uint16_t vlan, const uint8_t mac[6])
{
	uint64_t at = maps_fdb_at(e, vlan, mac);

	return SLC_K_AT_PORT(at) >= SLC_K_FIRST && name_at(e, at);
}

struct fdb_walk {
	struct kern *e;
	int vlan, idx;
	uint32_t now;
	bool (*each)(void *arg, const struct kern_fdb_entry *entry);
	void *arg;
};

static bool walk_one(void *arg, const struct slc_k_mac *key, uint64_t at)
{
	struct fdb_walk *w = arg;
	uint32_t idx = SLC_K_AT_PORT(at);
	struct kern_fdb_entry entry = {
		.vlan = key->vlan,
		.is_static = SLC_K_AT_STATIC(at),
		.age_s = SLC_K_AT_STATIC(at) ? 0 : w->now - SLC_K_AT_HEARD(at),
	};
	const char *name;

	if ((w->vlan >= 0 && key->vlan != w->vlan) || (w->idx >= 0 && idx != (uint32_t)w->idx))
		return true;
	name = name_at(w->e, at);
	if (!name)
		return true;
	memcpy(entry.mac, key->mac, 6);
	snprintf(entry.port, sizeof(entry.port), "%s", name);
	return w->each(w->arg, &entry);
}

int kern_fdb_walk(struct kern *e, int vlan, const char *port, bool (*each)(void *arg, const struct kern_fdb_entry *entry),
		  void *arg)
{
	struct fdb_walk w = {.e = e, .vlan = vlan, .idx = -1, .each = each, .arg = arg};
	struct timespec ts;
	struct port *p;

	if (port && (w.idx = index_by_name(e, port, &p)) < 0)
		return w.idx;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	w.now = ts.tv_sec;
	maps_fdb_each(e, walk_one, &w);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Open and take over, close, clean up. */
#include "inside.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <bpf/bpf.h>

/* --- who we are ----------------------------------------------------------------------------------------------------------------- */

/* FNV-1a: the same directory is the same engine, before and after a restart, even if somebody removed what was in it. */
static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	return h;
}

static int name_engine(struct kern *e, const char *dir)
{
	if (dir[0] != '/' || strlen(dir) >= sizeof(e->dir))
		return -EINVAL;
	snprintf(e->dir, sizeof(e->dir), "%s", dir);
	while (strlen(e->dir) > 1 && e->dir[strlen(e->dir) - 1] == '/')
		e->dir[strlen(e->dir) - 1] = '\0';
	e->id = hash(e->dir);
	snprintf(e->stem, sizeof(e->stem), "slc%04x", (unsigned)(e->id & 0xffff));
	return 0;
}

/* --- taking over ---------------------------------------------------------------------------------------------------------------- */

/* The index that a host end's name ends with; 0 if it has none that can be used. */
static uint32_t index_of(const struct kern *e, const char *ifname)
{
	size_t n = strlen(e->stem);
	unsigned long idx;

	if (strncmp(ifname, e->stem, n) != 0 || ifname[n] != '.')
		return 0;
	idx = strtoul(ifname + n + 1, NULL, 10);
	return idx >= SLC_K_FIRST && idx < SLC_K_PORTS ? idx : 0;
}

/* What a look around finds. */
struct found {
	struct kern *e;
	uint32_t half_made[64]; /* netdevs of ours without a name: whoever made them was killed there */
	unsigned n_half_made;
};

static void found_link(void *arg, const struct veth_link *link)
{
	struct found *found = arg;
	struct kern *e = found->e;
	const char *name = port_of_alias(e, link->alias);
	uint32_t idx = index_of(e, link->ifname);
	struct port *p;

	if (idx && !link->alias[0] && found->n_half_made < sizeof(found->half_made) / sizeof(found->half_made[0]))
		found->half_made[found->n_half_made++] = link->ifindex;
	if (!name || !name[0] || !idx)
		return;
	p = e->ports[idx];
	if (!p) {
		p = e->ports[idx] = calloc(1, sizeof(*p));
		if (!p)
			return;
		p->idx = idx;
		p->orphan = true;
		snprintf(p->rec.conf.name, sizeof(p->rec.conf.name), "%s", name);
	}
	p->ifindex = link->ifindex;
	p->peer = link->peer;
	p->host_up = link->up;
	snprintf(p->host_ifname, sizeof(p->host_ifname), "%s", link->ifname);
}

static int adopt_port(struct kern *e, struct port *p, struct kern_error *err)
{
	struct veth_link link;
	int r;

	if (p->orphan) {
		/* Whoever programs it replaces its classes, or takes them away. */
		p->shaped_out = shape_out_is_there(e, p);
		p->shaped_in = shape_in_is_there(e, p);
		return 0;
	}
	p->adopted = true;
	/* The record may say less than is: of a limit that was being set, or that was lifted and had frames waiting. */
	p->shaped_in = p->rec.conf.in.bps || maps_conf(e, p->idx)->flags & SLC_K_SHAPE_IN || shape_in_is_there(e, p);
	if (!p->ifindex) {
		kern_log(e, LOG_NOTICE, "port %s was lost while nobody looked", p->rec.conf.name);
		p->ifindex = maps_conf(e, p->idx)->ifindex;
		port_lost(e, p);
		return 0;
	}
	p->shaped_out = p->rec.conf.out.bps || maps_conf(e, p->idx)->flags & SLC_K_SHAPE_OUT || shape_out_is_there(e, p);
	r = tc_attach(e, p->ifindex, PROG_PORT_IN);
	if (r < 0)
		return kern_fail_nl(err, r, NULL, NULL, "port %s: program", p->rec.conf.name);
	/* The link may have changed unseen. */
	if (veth_link(e, p->ifindex, &link) == 0)
		e->ports_map[p->idx].link_up = link.up && link.lower_up;
	return 0;
}

static int adopt_trunk(struct kern *e, struct kern_error *err)
{
	const struct slc_k_conf *trunk = maps_conf(e, SLC_K_TRUNK), *host = maps_conf(e, SLC_K_HOST);
	struct veth_link link;
	int r;

	if (!e->node->trunk_ifindex)
		return 0;
	if (veth_link(e, e->node->trunk_ifindex, &link) < 0) {
		maps_ifs_del(e, e->node->trunk_ifindex);
		e->node->trunk_ifindex = 0;
		e->ports_map[SLC_K_TRUNK].link_up = e->ports_map[SLC_K_HOST].link_up = 0;
		return 0;
	}
	snprintf(e->trunk.ifname, sizeof(e->trunk.ifname), "%s", link.ifname);
	e->trunk.vlan = trunk->vlan;
	e->trunk.mtu = trunk->mtu == link.mtu ? 0 : trunk->mtu;
	e->trunk.down = trunk->flags & SLC_K_DOWN;
	e->trunk.has_pcp = host->pcp != 0;
	e->trunk.pcp = host->pcp ? host->pcp - 1 : 0;
	memcpy(e->trunk_mac, link.mac, 6);
	e->trunk_mtu = link.mtu;
	if ((r = tc_attach(e, link.ifindex, PROG_TRUNK_IN)) < 0 || (r = tc_attach(e, link.ifindex, PROG_TRUNK_OUT)) < 0)
		return kern_fail_nl(err, r, NULL, NULL, "trunk %s: program", link.ifname);
	return 0;
}

static int adopt_shaper(struct kern *e, struct kern_error *err)
{
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "%s.q", e->stem);
	/* Made again as far as it is there, for who made it may not have come to the end. */
	if (if_nametoindex(name))
		return shaper_make(e, err);
	e->node->shaper_ifindex = 0;
	return 0;
}

static int adopt(struct kern *e, struct kern_error *err)
{
	struct found found = {.e = e};
	uint32_t idx = 0;
	int r;

	for (bool more = maps_record_next(e, true, &idx); more; more = maps_record_next(e, false, &idx)) {
		struct port *p = calloc(1, sizeof(*p));

		if (!p)
			return kern_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
		if (idx < SLC_K_FIRST || idx >= SLC_K_PORTS || maps_record_get(e, idx, &p->rec) < 0) {
			free(p);
			continue;
		}
		p->idx = idx;
		e->ports[idx] = p;
	}
	r = veth_each(&e->nl, found_link, &found);
	if (r < 0)
		return kern_fail_nl(err, r, &e->nl, NULL, "links");
	veth_unmake_all(e, found.half_made, found.n_half_made);
	/* What is behind frames comes first: a frame that a new program sends must find new programs there. */
	if ((r = adopt_shaper(e, err)) < 0 || (r = adopt_trunk(e, err)) < 0)
		return r;
	for (unsigned i = SLC_K_FIRST; i < SLC_K_PORTS; i++) {
		if (e->ports[i] && (r = adopt_port(e, e->ports[i], err)) < 0)
			return r;
	}
	port_share(e);
	/* What was to go may have been left. */
	events_look_soon(e);
	return 0;
}

/* --- open, close ---------------------------------------------------------------------------------------------------------------- */

int kern_open(struct kern **engine, const struct kern_config *config, struct kern_error *err)
{
	struct kern *e = calloc(1, sizeof(*e));
	bool fresh;
	int r;

	if (err)
		memset(err, 0, sizeof(*err));
	if (!e)
		return kern_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
	e->config = *config;
	e->epoll_fd = e->timer_fd = e->look_fd = e->commit_fd = e->announce_fd = -1;
	r = name_engine(e, config->bpf_dir ? config->bpf_dir : KERN_BPF_DIR);
	if (r < 0) {
		free(e);
		return kern_fail(err, r, "invalid", "bpf_dir", "an absolute path under 200 bytes", "bpf_dir %s", config->bpf_dir);
	}
	if ((r = netlink_open(&e->nl)) < 0) {
		kern_fail_nl(err, r, NULL, NULL, "netlink");
		goto close;
	}
	r = maps_open(e, &fresh, err);
	if (r < 0)
		goto close;
	/* Listening begins before looking: what happens in between is heard. */
	r = events_open(e);
	if (r < 0) {
		kern_fail_nl(err, r, NULL, NULL, "netlink events");
		goto close;
	}
	r = adopt(e, err);
	if (r < 0)
		goto close;
	r = maps_pin_progs(e);
	if (r < 0) {
		kern_fail_nl(err, r, NULL, "bpf_dir", "pinning programs under %s", e->dir);
		goto close;
	}
	*engine = e;
	return 0;

close:
	kern_close(e);
	return r;
}

void kern_close(struct kern *e)
{
	if (!e)
		return;
	for (unsigned i = 0; i < SLC_K_PORTS; i++)
		free(e->ports[i]);
	events_close(e);
	maps_close(e);
	netlink_close(&e->nl);
	if (e->announce_fd >= 0)
		close(e->announce_fd);
	free(e);
}

/* --- clean up ------------------------------------------------------------------------------------------------------------------- */

struct cleanup {
	struct kern e; /* name and netlink alone */
	uint32_t *ifindexes;
	unsigned n, room;
};

static void ours(void *arg, const struct veth_link *link)
{
	struct cleanup *c = arg;

	if (!port_of_alias(&c->e, link->alias))
		return;
	if (c->n == c->room) {
		unsigned room = c->room ? c->room * 2 : 64;
		uint32_t *more = realloc(c->ifindexes, room * sizeof(more[0]));

		if (!more)
			return;
		c->ifindexes = more;
		c->room = room;
	}
	c->ifindexes[c->n++] = link->ifindex;
}

static void detach_trunk(struct cleanup *c)
{
	char path[256];
	uint32_t zero = 0, len = sizeof(struct bpf_map_info);
	struct bpf_map_info info = {0};
	struct slc_k_node *node;
	int fd;

	snprintf(path, sizeof(path), "%s/slc_node", c->e.dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	/* Of whatever layout it is: the trunk's place is the same in all. */
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.value_size >= 12) {
		node = calloc(1, info.value_size);
		if (node && bpf_map_lookup_elem(fd, &zero, node) == 0 && node->trunk_ifindex)
			tc_detach_all(&c->e.nl, node->trunk_ifindex);
		free(node);
	}
	close(fd);
}

static int remove_pins(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	int r;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((d = readdir(dir))) {
		if (strncmp(d->d_name, "slc_", 4) == 0)
			unlinkat(dirfd(dir), d->d_name, 0);
	}
	closedir(dir);
	r = rmdir(path) < 0 ? -errno : 0;
	return r == -ENOTEMPTY ? 0 : r;
}

int kern_cleanup(const char *bpf_dir)
{
	struct cleanup *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = name_engine(&c->e, bpf_dir ? bpf_dir : KERN_BPF_DIR);
	if (r == 0)
		r = netlink_open(&c->e.nl);
	if (r < 0)
		goto out;
	detach_trunk(c);
	r = veth_each(&c->e.nl, ours, c);
	if (c->n)
		veth_unmake_all(&c->e, c->ifindexes, c->n);
	netlink_close(&c->e.nl);
	if (r == 0)
		r = remove_pins(c->e.dir);
out:
	free(c->ifindexes);
	free(c);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which trunk backend, and its netdev: see backend.h. */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TRUNK_ALIAS "/trunk" /* no port's name has a slash */

/* Where veth is lacking the engine does not start. */
static const char *nothing(char *why, size_t size)
{
	return NULL;
}

static const char *lacks_xdp_sockets(char *why, size_t size)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		snprintf(why, size, "no XDP sockets: %s", strerror(errno));
		return why;
	}
	close(fd);
	return NULL;
}

static const struct trunk_backend rows[KERN_TRUNK_BY_N] = {
	[KERN_TRUNK_VETH] = {"veth", "af-packet", &trunk_pair, true, nothing},
	[KERN_TRUNK_VHOST_NET] = {"vhost-net", "vhost-net", &trunk_tun, true, vhost_net_lacks},
	[KERN_TRUNK_TAP] = {"tap", "tap", &trunk_tun, true, tun_lacks},
	[KERN_TRUNK_VETH_XDP] = {"veth-xdp", "af-xdp", &trunk_pair, false, lacks_xdp_sockets},
};

const char *kern_trunk_by_name(unsigned by)
{
	return by < KERN_TRUNK_BY_N ? rows[by].name : NULL;
}

void trunk_driver(const char *ifname, char *driver)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr = {.ifr_data = (void *)&info};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		info.driver[0] = '\0';
	if (fd >= 0)
		close(fd);
	snprintf(driver, 32, "%s", info.driver);
}

/* The family of a netdev that is there: NULL if it is of none. */
static const struct trunk_family *family_of(const char *ifname)
{
	char driver[32];

	trunk_driver(ifname, driver);
	for (unsigned i = 0; i < KERN_TRUNK_BY_N; i++)
		if (!strcmp(rows[i].family->driver, driver))
			return rows[i].family;
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void add_why(struct kern_trunk_netdev *out, const char *fmt, ...)
{
	size_t n = strlen(out->why);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out->why + n, sizeof(out->why) - n, fmt, ap);
	va_end(ap);
}

/* The best of those that fit what is there. `there` NULL: nothing is. */
static int choose(const char *name, const struct trunk_family *there, const struct trunk_backend **row,
		  struct kern_trunk_netdev *out, struct kern_error *err)
{
	char room[128];

	for (unsigned i = 0; i < KERN_TRUNK_BY_N; i++) {
		const char *lacks = rows[i].lacks(room, sizeof(room));
		bool fits = !there || rows[i].family == there;

		if (!lacks && fits) {
			add_why(out, "%s", out->why[0] ? "the best of the rest" : "the best there is");
			*row = &rows[i];
			return 0;
		}
		add_why(out, "%s: ", rows[i].name);
		if (lacks)
			add_why(out, "%s; ", lacks);
		else
			add_why(out, "%s is %s, which stays; ", name, there->what);
	}
	return kern_fail(err, -ENOTSUP, "unsupported", "trunk", NULL, "trunk: %s", out->why);
}

static int as_told(const char *name, const struct trunk_backend *row, const struct trunk_family *there,
		   struct kern_trunk_netdev *out, struct kern_error *err)
{
	char room[128];
	const char *lacks = row->lacks(room, sizeof(room));

	if (lacks)
		return kern_fail(err, -ENOTSUP, "unsupported", "trunk", "--trunk auto", "trunk %s: %s", row->name, lacks);
	if (there && there != row->family)
		return kern_fail(err, -EEXIST, "in-use", "trunk",
				 "--trunk auto keeps it; `sluiced --cleanup` removes it, with the addresses and routes on it",
				 "%s is there as %s, and --trunk %s needs %s", name, there->what, row->name, row->family->what);
	add_why(out, "as configured");
	return 0;
}

bool trunk_is_kept(const struct kern *e, const char *ifname)
{
	return ifname[0] && !strcmp(e->trunk_kept, ifname);
}

bool trunk_is_ours(struct kern *e, const struct veth_link *link)
{
	char alias[128];

	port_alias(e, TRUNK_ALIAS, alias);
	return !strcmp(link->alias, alias);
}

/* A netdev of the trunk's name: is it ours? */
static int recognise(struct kern *e, const char *name, const struct trunk_family *family, struct veth_link *link,
		     struct kern_error *err)
{
	char alias[128];
	int r = veth_link(e, if_nametoindex(name), link);

	if (r < 0)
		return kern_fail_nl(err, r, &e->nl, "trunk_name", "trunk %s", name);
	if (family && trunk_is_ours(e, link))
		return 0;
	if (!family || link->alias[0] || !family->is_half_made(link))
		return kern_fail(err, -EEXIST, "in-use", "trunk_name", "another trunk-name", "%s is somebody else's netdev", name);
	port_alias(e, TRUNK_ALIAS, alias);
	r = veth_set_alias(&e->nl, link->ifindex, alias);
	return r < 0 ? kern_fail_nl(err, r, &e->nl, "trunk_name", "trunk %s", name) : 0;
}

static int make(struct kern *e, const char *name, const struct trunk_backend *row, uint16_t mtu, struct veth_link *link)
{
	const uint8_t *mac = NULL;
	char alias[128];
	int r;

	port_alias(e, TRUNK_ALIAS, alias);
	/* In the place of one that was lost: neighbours know the host by its MAC, and an operator may have set both. */
	if (e->trunk_mtu && !strcmp(e->trunk.ifname, name)) {
		mtu = e->trunk_mtu;
		mac = e->trunk_mac;
	}
	r = row->family->make(e, name, alias, mtu ? mtu : KERN_MTU_DEFAULT, mac);
	if (r < 0)
		return r;
	link->ifindex = if_nametoindex(name);
	r = veth_link(e, link->ifindex, link);
	return r < 0 || link->alias[0] ? r : veth_set_alias(&e->nl, link->ifindex, alias);
}

int kern_trunk_netdev(struct kern *e, const char *name, enum kern_trunk_by by, uint16_t mtu, struct kern_trunk_netdev *out,
		      struct kern_error *err)
{
	const struct trunk_family *there = NULL;
	const struct trunk_backend *row = by == KERN_TRUNK_AUTO ? NULL : &rows[by];
	struct veth_link link = {0};
	bool made;
	int r;

	if (err)
		memset(err, 0, sizeof(*err));
	memset(out, 0, sizeof(*out));
	if (strlen(name) < 1 || strlen(name) > 12)
		return kern_fail(err, -EINVAL, "invalid", "trunk_name", "1-12 characters", "trunk netdev name %s", name);
	made = !if_nametoindex(name);
	if (!made) {
		there = family_of(name);
		r = recognise(e, name, there, &link, err);
		if (r < 0)
			return r;
	}
	/* It was chosen before, and the switch has begun with that. */
	if (!row && trunk_is_kept(e, name))
		row = &rows[e->trunk_by];
	r = row ? as_told(name, row, there, out, err) : choose(name, there, &row, out, err);
	if (r < 0)
		return r;
	e->nl.why[0] = '\0'; /* not every failure below is an answer of the kernel's */
	if (made)
		r = make(e, name, row, mtu, &link);
	if (r == 0)
		r = row->family->settle(e, &link, row->offload, out->far);
	if (r == 0 && (out->far_ifindex = if_nametoindex(out->far)) == 0)
		r = -errno;
	if (r < 0) {
		kern_fail_nl(err, r, &e->nl, "trunk_name", "trunk %s (%s)", name, row->name);
		if (r == -EEXIST && err)
			snprintf(err->hint, sizeof(err->hint), "`ip link` shows who has the name %s, or %s-dp", name, name);
		if (made && link.ifindex)
			veth_unmake(e, link.ifindex);
		return r;
	}
	out->by = row->name;
	out->carrier = row->carrier;
	snprintf(e->trunk_kept, sizeof(e->trunk_kept), "%s", name);
	e->trunk_by = row - rows;
	e->trunk_index = link.ifindex;
	return 0;
}

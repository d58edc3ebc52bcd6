/* SPDX-License-Identifier: Apache-2.0 */
/* Is a configuration good, by itself? */
#include "inside.h"

#include <errno.h>
#include <string.h>

#include <arpa/inet.h>

static bool good_name(const char *s)
{
	size_t n = strnlen(s, KERN_NAME_MAX);

	return n >= 1 && n < KERN_NAME_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* As the kernel's dev_valid_name(). */
static bool good_ifname(const char *s)
{
	size_t n = strnlen(s, 16);

	return n >= 1 && n < 16 && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 && strcspn(s, "/: \t\n\v\f\r") == n;
}

static bool good_mac(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, 6) != 0;
}

static bool in_subnet(const struct kern_ip *net, const void *addr)
{
	const uint8_t *a = (const uint8_t *)&net->v4, *b = addr;
	unsigned whole = net->prefix / 8, rest = net->prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest & 0xff)) == 0;
}

static int check_addr(const char *port, const struct kern_ip *ip, const char *attr, struct kern_error *err)
{
	unsigned bits = ip->family == AF_INET ? 32 : 128;

	if (ip->family != AF_INET && ip->family != AF_INET6)
		return kern_fail(err, -EINVAL, "invalid", attr, NULL, "port %s: an address of no family", port);
	if (ip->prefix > bits)
		return kern_fail(err, -EINVAL, "out-of-range", attr, NULL, "port %s: prefix length %u: out of range (0-%u)", port,
				 ip->prefix, bits);
	return 0;
}

static int check_host_addr(const char *port, const struct kern_ip *ip, struct kern_error *err)
{
	int r = check_addr(port, ip, "addr", err);
	char text[INET6_ADDRSTRLEN];
	bool bad;

	if (r < 0)
		return r;
	bad = ip->family == AF_INET ? ip->v4.s_addr == 0 || IN_MULTICAST(ntohl(ip->v4.s_addr)) || ip->v4.s_addr == INADDR_BROADCAST
				    : IN6_IS_ADDR_UNSPECIFIED(&ip->v6) || IN6_IS_ADDR_MULTICAST(&ip->v6);
	if (!bad)
		return 0;
	inet_ntop(ip->family, &ip->v4, text, sizeof(text));
	return kern_fail(err, -EINVAL, "invalid", "addr", "an address that one host can have",
			 "port %s: %s is not a host's address", port, text);
}

static int check_gateway(const struct kern_port_conf *c, uint8_t family, const void *gateway, struct kern_error *err)
{
	char text[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < c->n_addrs; i++) {
		if (c->addrs[i].family == family && in_subnet(&c->addrs[i], gateway))
			return 0;
	}
	/* A link-local gateway is on every link. */
	if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)gateway))
		return 0;
	inet_ntop(family, gateway, text, sizeof(text));
	return kern_fail(err, -EINVAL, "gateway-outside", "gateway", "one of the addr subnets must hold it",
			 "port %s: gateway %s is in none of its subnets", c->name, text);
}

static int check_limit(const char *port, const struct kern_limit *l, const char *attr, struct kern_error *err)
{
	/* Below a byte a second nothing would ever pass. */
	if (l->bps && l->bps < 8)
		return kern_fail(err, -EINVAL, "out-of-range", attr, "0 is no limit", "port %s: %llu bit/s: out of range (8-)",
				 port, (unsigned long long)l->bps);
	return 0;
}

static int check_vlans(const struct kern_port_conf *c, struct kern_error *err)
{
	if (c->vlan_mode > KERN_VLAN_DOT1Q_TUNNEL)
		return kern_fail(err, -EINVAL, "out-of-range", "vlan_mode", NULL, "port %s: vlan_mode %d", c->name, c->vlan_mode);
	if (c->vlan_mode == KERN_VLAN_TRUNK && c->vlan != 0)
		return kern_fail(err, -EINVAL, "conflict", "vlan", "use native-tagged or native-untagged",
				 "port %s: a trunk has no vlan of its own", c->name);
	if (c->vlan_mode != KERN_VLAN_TRUNK && (c->vlan < 1 || c->vlan > 4094))
		return kern_fail(err, -EINVAL, "out-of-range", "vlan", NULL, "port %s: vlan %u: out of range (1-4094)", c->name,
				 c->vlan);
	if (c->qinq_ethertype && c->qinq_ethertype != 0x88a8 && c->qinq_ethertype != 0x8100)
		return kern_fail(err, -EINVAL, "out-of-range", "qinq_ethertype", NULL, "port %s: qinq_ethertype %#x", c->name,
				 c->qinq_ethertype);
	return 0;
}

int check_port(const struct kern_port_conf *c, struct kern_error *err)
{
	int r;

	if (!good_name(c->name) || strcmp(c->name, HOST_NAME) == 0 || strcmp(c->name, TRUNK_NAME) == 0)
		return kern_fail(err, -EINVAL, "invalid", "name", "1-63 of a-z A-Z 0-9 . _ -; not host, not trunk",
				 "port name %.*s", KERN_NAME_MAX, c->name);
	if (!c->netns[0] || strnlen(c->netns, sizeof(c->netns)) == sizeof(c->netns))
		return kern_fail(err, -EINVAL, "missing", "netns", "a path, a pid, or a name that `ip netns` lists",
				 "port %s: which namespace?", c->name);
	if (!good_ifname(c->ifname))
		return kern_fail(err, -EINVAL, "invalid", "ifname", "1-15 characters, no / : or space", "port %s: ifname %.*s",
				 c->name, 16, c->ifname);
	if (c->n_addrs > KERN_MAX_ADDRS || c->n_ips > KERN_MAX_IPS || c->n_static_macs > KERN_MAX_STATIC_MACS)
		return kern_fail(err, -EINVAL, "too-many",
				 c->n_addrs > KERN_MAX_ADDRS ? "addr"
				 : c->n_ips > KERN_MAX_IPS   ? "ips"
							     : "static_macs",
				 NULL, "port %s: too many addresses", c->name);
	for (unsigned i = 0; i < c->n_addrs; i++) {
		if ((r = check_host_addr(c->name, &c->addrs[i], err)) < 0)
			return r;
	}
	for (unsigned i = 0; i < c->n_ips; i++) {
		if ((r = check_addr(c->name, &c->ips[i], "ips", err)) < 0)
			return r;
	}
	if ((c->has_gateway4 && (r = check_gateway(c, AF_INET, &c->gateway4, err)) < 0) ||
	    (c->has_gateway6 && (r = check_gateway(c, AF_INET6, &c->gateway6, err)) < 0))
		return r;
	if (c->has_mac && !good_mac(c->mac))
		return kern_fail(err, -EINVAL, "invalid", "mac", "a unicast address", "port %s: not a host's MAC", c->name);
	for (unsigned i = 0; i < c->n_static_macs; i++) {
		if (!good_mac(c->static_macs[i].mac) || c->static_macs[i].vlan > 4094)
			return kern_fail(err, -EINVAL, "invalid", "static_macs",
					 "a unicast address in a VLAN that the port carries", "port %s: static MAC %u", c->name, i);
	}
	if (c->mtu && (c->mtu < KERN_MTU_MIN || c->mtu > KERN_MTU_MAX))
		return kern_fail(err, -EINVAL, "out-of-range", "mtu", NULL, "port %s: mtu %u: out of range (%d-%d)", c->name,
				 c->mtu, KERN_MTU_MIN, KERN_MTU_MAX);
	if ((r = check_limit(c->name, &c->in, "in_bps", err)) < 0 || (r = check_limit(c->name, &c->out, "out_bps", err)) < 0)
		return r;
	if (c->has_pcp && c->pcp > 7)
		return kern_fail(err, -EINVAL, "out-of-range", "class", NULL, "port %s: code point %u: out of range (0-7)", c->name,
				 c->pcp);
	return check_vlans(c, err);
}

int check_vlan(const struct kern_vlan_conf *c, struct kern_error *err)
{
	if (c->id < 1 || c->id > 4094)
		return kern_fail(err, -EINVAL, "out-of-range", "id", NULL, "vlan %u: out of range (1-4094)", c->id);
	if (c->aging_s > 1000000)
		return kern_fail(err, -EINVAL, "out-of-range", "aging_s", NULL, "vlan %u: aging_s %u: out of range (1-1000000)",
				 c->id, c->aging_s);
	return 0;
}

int check_trunk(const struct kern_trunk_conf *c, struct kern_error *err)
{
	if (c->ifname[0] && !good_ifname(c->ifname))
		return kern_fail(err, -EINVAL, "invalid", "ifname", NULL, "trunk: ifname %.*s", 16, c->ifname);
	if (c->vlan > 4094)
		return kern_fail(err, -EINVAL, "out-of-range", "vlan", NULL, "trunk: vlan %u: out of range (1-4094)", c->vlan);
	if (c->mtu && (c->mtu < KERN_MTU_MIN || c->mtu > KERN_MTU_MAX))
		return kern_fail(err, -EINVAL, "out-of-range", "mtu", NULL, "trunk: mtu %u: out of range (%d-%d)", c->mtu,
				 KERN_MTU_MIN, KERN_MTU_MAX);
	if (c->has_pcp && c->pcp > 7)
		return kern_fail(err, -EINVAL, "out-of-range", "class", NULL, "trunk: code point %u: out of range (0-7)", c->pcp);
	return 0;
}

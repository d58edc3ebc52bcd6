/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Object "port": everything that struct dp_port_conf holds. Which attributes go together is the dataplane's to say, and its kinds'.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kern.h"
#include "objects.h"
#include "types.h"

#define MEMBER(m)  offsetof(struct port_conf, dp.m)
#define AT(m)	   .offset = MEMBER(m), .size = sizeof(((struct port_conf *)0)->dp.m)
#define OF(m)	   .offset = offsetof(struct port_conf, m), .size = sizeof(((struct port_conf *)0)->m)
#define RATE(m)	   UNIT_BPS, AT(m), .max = SCHEMA_RATE_MAX
#define FRAMES(m)  UNIT_PPS, AT(m), .max = SCHEMA_PPS_MAX
#define BURST(m)   UNIT_BYTES, AT(m), .max = SCHEMA_BURST_MAX
#define ID_MAX	   UINT32_MAX
#define MAC_LIMIT  DP_FDB_MAX
#define RING_MIN   64
#define RING_MAX   16384
#define QUEUES_MAX 16

static const struct schema_choice roles[] = {{"server", false}, {"client", true}, {NULL, 0}};
static const struct schema_choice admin[] = {{"up", false}, {"down", true}, {NULL, 0}};
static const struct schema_choice ethertypes[] = {{"802.1ad", 0x88a8}, {"802.1q", 0x8100}, {NULL, 0}};
static const struct schema_choice vlan_modes[] = {
	{"access", DP_VLAN_ACCESS},
	{"trunk", DP_VLAN_TRUNK},
	{"native-tagged", DP_VLAN_NATIVE_TAGGED},
	{"native-untagged", DP_VLAN_NATIVE_UNTAGGED},
	{"dot1q-tunnel", DP_VLAN_DOT1Q_TUNNEL},
	{NULL, 0},
};

static const struct schema_attr attrs[] = {
	{"kind", SCHEMA_STRING, .flags = SCHEMA_REQUIRED | SCHEMA_FIXED, AT(kind),
	 .doc = "how it attaches: veth, vhost-user, memif, af-packet, af-xdp, tap, nic; `node show` lists what this build has"},
	{"path", SCHEMA_STRING, .flags = SCHEMA_FIXED, AT(path), .doc = "memif, vhost-user: path of the Unix socket"},
	{"ifname", SCHEMA_STRING, .flags = SCHEMA_FIXED, AT(ifname),
	 .doc = "af-packet, af-xdp: netdev in the daemon's namespace; tap: one that is made there; veth: one that is made in the "
		"container's"},
	{"netns", SCHEMA_STRING, .flags = SCHEMA_FIXED, OF(netns),
	 .doc = "veth: the container's network namespace: a path, a name under /run/netns, or the number of a process in it"},
	{"addr", SCHEMA_IFADDRS, OF(addrs), .aux = offsetof(struct port_conf, n_addrs),
	 .doc = "veth: addresses of the netdev inside, with their networks: 10.0.0.11/24"},
	{"gateway", SCHEMA_IPS, OF(gateways), .aux = offsetof(struct port_conf, n_gateways),
	 .doc = "veth: default routes inside, one IPv4 and one IPv6 at most"},
	{"devargs", SCHEMA_STRING, .flags = SCHEMA_FIXED, AT(devargs),
	 .doc = "nic: DPDK device arguments, as 0000:01:00.0 or net_null0"},
	{"id", SCHEMA_U64, .flags = SCHEMA_FIXED, AT(id), .max = ID_MAX, .doc = "memif: interface id on the socket"},
	{"role", SCHEMA_ENUM, .flags = SCHEMA_FIXED, AT(client), .choices = roles,
	 .doc = "memif: listen on the path, or connect to it"},
	{"server", SCHEMA_BOOL, .flags = SCHEMA_FIXED, AT(server),
	 .doc = "vhost-user: listen on the path, rather than connect to the guest's socket"},
	{"secret", SCHEMA_STRING, .flags = SCHEMA_FIXED | SCHEMA_SECRET, AT(secret), .doc = "memif: shared secret"},
	{"queues", SCHEMA_U64, .flags = SCHEMA_FIXED, AT(queues), .min = 1, .max = QUEUES_MAX,
	 .doc = "queue pairs wanted; without: one"},
	{"ring", SCHEMA_U64, .flags = SCHEMA_FIXED, AT(ring), .min = RING_MIN, .max = RING_MAX,
	 .doc = "slots of a queue, a power of two; without: the kind's default"},

	{"vlan_mode", SCHEMA_ENUM, .flags = SCHEMA_IMPLIED, AT(vlan_mode), .aux = offsetof(struct port_conf, vlan_mode_given),
	 .def = DP_VLAN_TRUNK, .choices = vlan_modes,
	 .doc = "as Open vSwitch's column; without: access if `vlan` is given, else a trunk of all VLANs"},
	{"vlan", SCHEMA_U64, AT(vlan), .min = 1, .max = 4094,
	 .doc = "the port's own VLAN: of an access port, native or service VLAN"},
	{"trunks", SCHEMA_VLANS, AT(trunks), .doc = "trunk, native-tagged, native-untagged: VLANs carried; without: all"},
	{"cvlans", SCHEMA_VLANS, AT(cvlans), .doc = "dot1q-tunnel: customer VLANs admitted; without: all"},
	{"qinq_ethtype", SCHEMA_ENUM, AT(qinq_ethertype), .choices = ethertypes,
	 .doc = "dot1q-tunnel: ethertype of the service tag; without: 802.1ad"},
	{"class", SCHEMA_STRING, OF(class_name),
	 .doc = "class of the frames that come from it: they carry its code point, whatever tag they had; without: their own"},

	{"mac", SCHEMA_MAC, AT(mac), .aux = MEMBER(has_mac), .doc = "the only source MAC address admitted"},
	{"ips", SCHEMA_IPS, AT(ips), .aux = MEMBER(n_ips),
	 .doc = "the only IPv4, IPv6, ARP and ND addresses admitted: 10.0.0.1, fd00::/64"},
	{"static_macs", SCHEMA_VLAN_MACS, AT(static_macs), .aux = MEMBER(n_static_macs),
	 .doc = "addresses behind this port, VLAN/MAC: never aged, never moved"},
	{"mac_limit", SCHEMA_U64, AT(mac_limit), .max = MAC_LIMIT, .doc = "learned addresses at most; 0: no limit"},
	{"isolated", SCHEMA_BOOL, AT(isolated), .doc = "no frames to or from other isolated ports"},

	{"mtu", SCHEMA_U64, AT(mtu), .min = DP_MTU_MIN, .max = DP_MTU_MAX, .doc = "bytes of payload; without: 1500"},
	{"admin", SCHEMA_ENUM, AT(down), .choices = admin, .doc = "down: the port carries nothing"},
	{"in_bps", SCHEMA_U64, RATE(in.bps), .doc = "received from the port at most, whole frames; 0: no limit"},
	{"in_pps", SCHEMA_U64, FRAMES(in.pps), .doc = "received from the port at most; 0: no limit"},
	{"in_burst_bytes", SCHEMA_U64, BURST(in.burst_bytes), .doc = "burst of in_bps; 0: made from the rate"},
	{"out_bps", SCHEMA_U64, RATE(out.bps), .doc = "sent to the port at most, whole frames; 0: no limit"},
	{"out_pps", SCHEMA_U64, FRAMES(out.pps), .doc = "sent to the port at most; 0: no limit"},
	{"out_burst_bytes", SCHEMA_U64, BURST(out.burst_bytes), .doc = "burst of out_bps; 0: made from the rate"},

	{"label", SCHEMA_STRING, OF(label),
	 .doc = "whose port it is, for who made it: a container's id, a guest's name; nothing follows from it"},
	{.name = NULL},
};

static int set_name(void *conf, const char *name, struct schema_error *err)
{
	struct port_conf *port = conf;

	snprintf(port->dp.name, sizeof(port->dp.name), "%s", name);
	return 0;
}

static void settle(void *conf)
{
	struct port_conf *port = conf;

	bool trunk = !strcmp(port->dp.kind, "trunk");

	/* The node's trunk carries all VLANs, with their tags, which carry the code points; the host's own stack sees its VLAN's untagged. */
	if (!port->vlan_mode_given)
		port->dp.vlan_mode = !port->dp.vlan ? DP_VLAN_TRUNK : trunk ? DP_VLAN_NATIVE_TAGGED : DP_VLAN_ACCESS;
	port->dp.has_pcp = port->host_has_pcp = false;
	port->dp.pcp = port->host_pcp = 0;
}

/*
 * Builds that knew no classes implied native-untagged for a trunk with a VLAN. It reaches the host alike, but the switch forgot the code points
 * of his frames; nobody who had it was asked.
 */
static void unsay(void *conf)
{
	struct port_conf *port = conf;
	enum dp_vlan_mode kept = port->dp.vlan_mode;
	bool once = !strcmp(port->dp.kind, "trunk") && port->dp.vlan && kept == DP_VLAN_NATIVE_UNTAGGED;

	port->vlan_mode_given = false;
	settle(conf);
	if (port->dp.vlan_mode == kept || once)
		return;
	port->dp.vlan_mode = kept;
	port->vlan_mode_given = true;
}

static void derive(void *conf, const struct schema_object *type, const void *needed)
{
	const struct class_conf *class = needed;
	struct port_conf *port = conf;

	if (type != &schema_class)
		return;
	if (!strcmp(port->dp.kind, "trunk")) {
		port->host_has_pcp = true;
		port->host_pcp = class->pcp;
	} else {
		port->dp.has_pcp = true;
		port->dp.pcp = class->pcp;
	}
}

/* --- uses ------------------------------------------------------------------------------------------------------------------ */

struct teller {
	void (*tell)(void *arg, const struct schema_use *use);
	void *arg;
};

__attribute__((format(printf, 3, 4))) static void takes(const struct teller *t, const char *attr, const char *fmt, ...)
{
	struct schema_use use = {.kind = SCHEMA_TAKES, .attr = attr};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(use.key, sizeof(use.key), fmt, ap);
	va_end(ap);
	t->tell(t->arg, &use);
}

static void takes_mac(const struct teller *t, const char *attr, uint16_t vlan, const uint8_t mac[6])
{
	char text[MAC_TEXT_SIZE];

	mac_format(mac, text);
	takes(t, attr, "%s in VLAN %u", text, vlan);
}

/* Its netdev, and what the switch's end of that is called where it is a pair. By which backend is not known here, and may change. */
static void takes_trunk(const struct teller *t, const char *name)
{
	char far[16];

	kern_trunk_far(name, far);
	takes(t, "ifname", "ifname %s", name);
	takes(t, "ifname", "ifname %s", far);
}

/* An address that a port names twice, as its mac and in static_macs, is told once. */
static bool named_before(const struct dp_port_conf *c, unsigned i)
{
	const struct dp_static_mac *m = &c->static_macs[i];

	if (c->has_mac && c->vlan == m->vlan && !memcmp(c->mac, m->mac, 6))
		return true;
	for (unsigned k = 0; k < i; k++)
		if (c->static_macs[k].vlan == m->vlan && !memcmp(c->static_macs[k].mac, m->mac, 6))
			return true;
	return false;
}

/* A device or a place on a socket has one port, whatever its kind; an address of a VLAN is behind one. */
static void uses(const void *conf, void (*tell)(void *arg, const struct schema_use *use), void *arg)
{
	const struct dp_port_conf *c = &((const struct port_conf *)conf)->dp;
	struct teller t = {tell, arg};

	if (c->vlan) {
		struct schema_use use = {.kind = SCHEMA_NEEDS, .attr = "vlan", .object = &schema_vlan};

		snprintf(use.key, sizeof(use.key), "%u", c->vlan);
		tell(arg, &use);
	}
	if (((const struct port_conf *)conf)->class_name[0]) {
		struct schema_use use = {.kind = SCHEMA_NEEDS, .attr = "class", .object = &schema_class};

		snprintf(use.key, sizeof(use.key), "%s", ((const struct port_conf *)conf)->class_name);
		tell(arg, &use);
	}
	if (!strcmp(c->kind, "veth"))
		takes(&t, "ifname", "ifname %s in namespace %.107s", c->ifname, ((const struct port_conf *)conf)->netns);
	else if (!strcmp(c->kind, "trunk"))
		takes_trunk(&t, c->name);
	else if (c->ifname[0])
		takes(&t, "ifname", "ifname %s", c->ifname);
	if (c->devargs[0])
		takes(&t, "devargs", "device %.180s", c->devargs);
	/* A memif client is one of many that may connect there: the other side tells them apart. A guest's socket has one place. */
	if (c->path[0] && !(c->client && !strcmp(c->kind, "memif")))
		takes(&t, c->id ? "id" : "path", "id %u on %s", c->id, c->path);
	/* A trunk's mac is only a check: it is in no VLAN of the port's own. */
	if (c->has_mac && c->vlan)
		takes_mac(&t, "mac", c->vlan, c->mac);
	for (unsigned i = 0; i < c->n_static_macs; i++)
		if (!named_before(c, i))
			takes_mac(&t, "static_macs", c->static_macs[i].vlan, c->static_macs[i].mac);
}

const struct schema_object schema_port = {
	.name = "port",
	.doc = "a port of the switch",
	.name_doc = "1-63 of a-z A-Z 0-9 . _ -",
	.size = sizeof(struct port_conf),
	.attrs = attrs,
	.set_name = set_name,
	.settle = settle,
	.unsay = unsay,
	.uses = uses,
	.derive = derive,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Here I am": when a container arrives, the network is told at once, so that what went to its former node comes to this one with the next frame.
 *
 * The node's own containers need no telling, their map is written. So the frames go out by the trunk alone, marked as ours: the program
 * at its egress lets them pass as they are. A port whose MAC is not fixed speaks for itself.
 */
#include "inside.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#define ND_ADVERT 136

struct frame {
	uint8_t b[128];
	unsigned len;
};

static void put(struct frame *f, const void *data, unsigned n)
{
	memcpy(f->b + f->len, data, n);
	f->len += n;
}

static void put16(struct frame *f, uint16_t v)
{
	uint8_t b[2] = {v >> 8, v & 0xff};

	put(f, b, 2);
}

/* What the trunk wants to see: the VLAN's tag with the port's code point; in the host's own VLAN none, unless there is a code point to carry. */
static struct frame start(const struct kern *e, const struct kern_port_conf *c, const uint8_t dst[6], uint16_t type)
{
	uint16_t prio = c->has_pcp ? c->pcp << 13 : 0;
	struct frame f = {.len = 0};

	put(&f, dst, 6);
	put(&f, c->mac, 6);
	if (c->vlan != e->trunk.vlan || prio) {
		put16(&f, ETH_P_8021Q);
		put16(&f, c->vlan | prio);
	}
	put16(&f, type);
	return f;
}

static struct frame arp(const struct kern *e, const struct kern_port_conf *c, const struct kern_ip *ip)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, none[6];
	struct frame f = start(e, c, all, ETH_P_ARP);

	put16(&f, 1);
	put16(&f, ETH_P_IP);
	put16(&f, 0x0604);
	put16(&f, 1);
	put(&f, c->mac, 6);
	put(&f, &ip->v4, 4);
	put(&f, none, 6);
	put(&f, &ip->v4, 4);
	return f;
}

static uint16_t inet_sum(const uint8_t *p, unsigned n, uint32_t sum)
{
	for (unsigned i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static struct frame advert(const struct kern *e, const struct kern_port_conf *c, const struct kern_ip *ip)
{
	static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1}, head[8] = {0x60, 0, 0, 0, 0, 32, IPPROTO_ICMPV6, 255};
	static const uint8_t body[8] = {ND_ADVERT, 0, 0, 0, 0x20}; /* override */
	static const uint8_t option[2] = {2, 1};		   /* target link-layer address */
	struct frame f = start(e, c, group, ETH_P_IPV6);
	uint8_t *addrs = f.b + f.len + 8;
	uint16_t sum;

	put(&f, head, 8);
	put(&f, &ip->v6, 16);
	put(&f, all_nodes, 16);
	put(&f, body, 8);
	put(&f, &ip->v6, 16);
	put(&f, option, 2);
	put(&f, c->mac, 6);
	/* Addresses and message lie together; the pseudo header adds length and protocol. */
	sum = inet_sum(addrs, 32 + 32, 32 + IPPROTO_ICMPV6);
	addrs[32 + 2] = sum >> 8;
	addrs[32 + 3] = sum;
	return f;
}

static int open_socket(struct kern *e)
{
	uint32_t mark = SLC_K_MARK_OURS;

	if (e->announce_fd >= 0)
		return e->announce_fd;
	/* Protocol 0: it hears nothing. */
	e->announce_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (e->announce_fd >= 0)
		setsockopt(e->announce_fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	return e->announce_fd;
}

void announce(struct kern *e, const struct port *p)
{
	const struct kern_port_conf *c = &p->rec.conf;
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)e->node->trunk_ifindex};

	if (!c->has_mac || c->down || !e->node->trunk_ifindex || c->vlan == 0 || open_socket(e) < 0)
		return;
	for (unsigned k = 0; k < 2; k++) {
		const struct kern_ip *ips = k ? c->addrs : c->ips;

		for (unsigned i = 0; i < (k ? c->n_addrs : c->n_ips); i++) {
			struct frame f;

			if (k == 0 && !port_ip_is_hosts(&ips[i]))
				continue;
			f = ips[i].family == AF_INET ? arp(e, c, &ips[i]) : advert(e, c, &ips[i]);
			/* One that finds no room is said again by the container's own first frame. */
			if (sendto(e->announce_fd, f.b, f.len, 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ENOBUFS)
				return;
		}
	}
}

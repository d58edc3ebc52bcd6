/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_SPOOF_H
#define DATAPLANE_SPOOF_H

/*
 * Anti-spoofing: a port speaks only for the addresses that it was given.
 *
 *   mac set     the Ethernet source must be it; so must the sender hardware address of ARP, and the link-layer address options of ND
 *   ips set     IPv4 source, ARP sender protocol address, IPv6 source, and the target of a neighbour advertisement must be in the list
 *               (an entry with a prefix shorter than the address is a subnet: every address in it)
 *
 * What a host must be able to say before it has an address, or to get one, is let through:
 *   ARP probes (sender 0.0.0.0, RFC 5227 2.1.1), DHCPv4 requests (0.0.0.0 -> 255.255.255.255, UDP 68 -> 67), duplicate address detection
 *   (neighbour solicitation from :: for an address in the list, RFC 4862 5.4.2), router solicitations and MLD reports from ::.
 * The link-local address made from the port's MAC (RFC 4291 appendix A) is always the port's, so that IPv6 works on a port whose
 * list names global addresses only. A port whose list has no IPv6 address may speak IPv6 from that link-local address only for neighbour
 * discovery and MLD; one whose list has no IPv4 address speaks no IPv4 and no ARP but probes and DHCP.
 *
 * What cannot be seen cannot be vouched for, so with `ips` set it is refused: more than two VLAN tags before the network header
 * (as SPOOF_IPV4, whatever is behind them), the same protocols behind an 802.3 length and a SNAP header (which some hosts accept, and
 * by which filters like this one were passed: CVE-2021-27853), ND behind a fragment header (RFC 6980 forbids it), anything behind more
 * than SPOOF_MAX_EXT extension headers, a truncated header, and a first fragment that does not hold all its headers (RFC 7112): its
 * successors could complete it to ND. Later fragments carry nothing that could be read on its own and pass by their source.
 * Router advertisements and redirects from a port with `ips` are refused as well: a port that may be a router has no `ips`. RARP with
 * a foreign sender is refused as ARP is; its request (a host that announces its MAC after a move sends it) may leave the address 0.0.0.0.
 *
 * With `mac` alone the hidden passes, but what is visibly ARP or ND must be whole: an ARP message for other than 48-bit and IPv4
 * addresses, an ND message or option that the packet does not hold, an option of length 0 is refused. A redirect's target
 * option names another host's MAC by design; it is refused like any other, so a router with `mac` redirects without the option.
 *
 * Other EtherTypes carry no address of these families and pass.
 *
 * Works on the frame's first bytes, copied if they lie in several segments; every read is bounded by the frame. Costs one compare for
 * `mac`, and about 20 ns for an IPv4 frame with `ips`.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane.h"

#define SPOOF_MAX_EXT 6

/* An address or subnet as it is compared: (address & mask) == net. Network order. */
struct spoof_net4 {
	uint32_t net, mask;
};

struct spoof_net6 {
	uint64_t net[2], mask[2];
};

struct spoof {
	bool has_mac;
	uint8_t mac[6];
	uint8_t n_ips; /* n4 + n6; 0: IP is not checked */
	uint8_t n4, n6;
	struct spoof_net4 net4[DP_MAX_IPS];
	struct spoof_net6 net6[DP_MAX_IPS];
	struct in6_addr link_local; /* made from mac; valid if has_mac */
};

/* Make the check of a port's configuration. Prefixes past the address's end count as its end. Any thread, before it is published. */
void spoof_init(struct spoof *s, const struct dp_port_conf *conf);

/*
 * May the port send this frame? `l2_len`: bytes of Ethernet header and VLAN tags before the EtherType's payload; `ethertype`: behind
 * the tags, host order (a VLAN TPID there means more tags than the switch looks through). Any worker.
 * SLC_DROP_N: yes; otherwise the reason, SLC_DROP_SPOOF_*.
 */
enum slc_drop spoof_check(const struct spoof *s, const struct rte_mbuf *m, uint16_t l2_len, uint16_t ethertype);

#endif

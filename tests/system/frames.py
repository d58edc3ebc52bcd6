#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Frames as bytes: build them, take them apart, print their tags.

A VLAN tag is written the way the tests and vlan_matrix.json spell it: "TPID:VID:PCP:DEI", TPID in hex and the rest in decimal, so
"8100:100:5:0" is VLAN 100 with priority 5. A tag stack is a list of those, outermost first; [] is an untagged frame. Only 0x8100
and 0x88a8 count as tags, as in the switch.

Every layer here is a function from the layer above's bytes to bytes, and checksums are always right. A test that wants a wrong one
changes the bytes afterwards, where a reader sees it.
"""

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
TPIDS = (0x8100, 0x88A8)

ETH_IPV4 = 0x0800
ETH_ARP = 0x0806
ETH_IPV6 = 0x86DD
ETH_TEST = 0x88B5  # IEEE 802 local experimental: nobody interprets it on the way

PROTO_TCP = 6
PROTO_UDP = 17
PROTO_ICMPV6 = 58


def mac_bytes(text):
    raw = bytes.fromhex(text.replace(":", ""))
    if len(raw) != 6:
        raise ValueError(f"not a MAC address: {text}")
    return raw


def mac_text(raw):
    return ":".join(f"{b:02x}" for b in raw)


# --- tags -----------------------------------------------------------------------------------------------------------------


def tag_bytes(text):
    """"8100:100:5:0" as the four bytes on the wire."""
    tpid, vid, pcp, dei = text.split(":")
    vid, pcp, dei = int(vid), int(pcp), int(dei)
    if not (0 <= vid < 4096 and 0 <= pcp < 8 and dei in (0, 1)):
        raise ValueError(f"not a VLAN tag: {text}")
    return struct.pack("!HH", int(tpid, 16), pcp << 13 | dei << 12 | vid)


def tag_text(tpid, tci):
    return f"{tpid:04x}:{tci & 0xfff}:{tci >> 13}:{tci >> 12 & 1}"


def eth(dst, src, tags, ethertype, payload):
    """An Ethernet frame without FCS and without padding: short payloads stay short."""
    return mac_bytes(dst) + mac_bytes(src) + b"".join(tag_bytes(t) for t in tags) + struct.pack("!H", ethertype) + payload


class Frame:
    """A received frame, taken apart. `payload` is what follows the innermost ethertype."""

    __slots__ = ("raw", "dst", "src", "tags", "ethertype", "payload")

    def __init__(self, raw):
        self.raw = raw
        self.dst, self.src = mac_text(raw[0:6]), mac_text(raw[6:12])
        self.tags = []
        at = 12
        ethertype = int.from_bytes(raw[at : at + 2], "big")
        while ethertype in TPIDS and len(raw) >= at + 6:
            self.tags.append(tag_text(ethertype, int.from_bytes(raw[at + 2 : at + 4], "big")))
            at += 4
            ethertype = int.from_bytes(raw[at : at + 2], "big")
        self.ethertype = ethertype
        self.payload = raw[at + 2 :]

    def __repr__(self):
        tags = "+".join(self.tags) or "untagged"
        return f"<{self.src} > {self.dst} {tags} 0x{self.ethertype:04x} {len(self.raw)} bytes>"


# --- layer 3 and 4 --------------------------------------------------------------------------------------------------------


def inet_sum(data):
    """The Internet checksum (RFC 1071) of data, ready to be stored."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def _pseudo(src, dst, proto, length):
    family = _family(src)
    addrs = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    if family == socket.AF_INET:
        return addrs + struct.pack("!BBH", 0, proto, length)
    return addrs + struct.pack("!II", length, proto)


def ipv4(src, dst, proto, payload, ttl=64, ident=0, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, 4 * words + len(payload), ident, 0x4000, ttl, proto, 0)
    head += socket.inet_aton(src) + socket.inet_aton(dst) + options
    return head[:10] + struct.pack("!H", inet_sum(head)) + head[12:] + payload


def ipv6(src, dst, next_header, payload, hops=64):
    addrs = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, hops) + addrs + payload


def ip(src, dst, proto, payload):
    return (ipv6 if _family(src) == socket.AF_INET6 else ipv4)(src, dst, proto, payload)


def ip_type(src):
    return ETH_IPV6 if _family(src) == socket.AF_INET6 else ETH_IPV4


def udp(src, dst, sport, dport, payload):
    """A UDP datagram in its IP packet, v4 or v6 by the addresses."""
    length = 8 + len(payload)
    head = struct.pack("!HHH", sport, dport, length)
    csum = inet_sum(_pseudo(src, dst, PROTO_UDP, length) + head + b"\0\0" + payload)
    return ip(src, dst, PROTO_UDP, head + struct.pack("!H", csum or 0xFFFF) + payload)


def tcp(src, dst, sport, dport, payload, seq=0, ack=0, flags=0x10):
    """A TCP segment without options in its IP packet, v4 or v6 by the addresses."""
    head = struct.pack("!HHIIBBH", sport, dport, seq, ack, 5 << 4, flags, 0xFFFF)
    csum = inet_sum(_pseudo(src, dst, PROTO_TCP, 20 + len(payload)) + head + b"\0\0\0\0" + payload)
    return ip(src, dst, PROTO_TCP, head + struct.pack("!HH", csum, 0) + payload)


def arp(op, sender_mac, sender_ip, target_mac, target_ip):
    """An ARP payload. op 1 asks, 2 answers."""
    return (
        struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, op)
        + mac_bytes(sender_mac)
        + socket.inet_aton(sender_ip)
        + mac_bytes(target_mac)
        + socket.inet_aton(target_ip)
    )


def icmpv6(src, dst, kind, body, code=0):
    data = struct.pack("!BBH", kind, code, 0) + body
    csum = inet_sum(_pseudo(src, dst, PROTO_ICMPV6, len(data)) + data)
    return ipv6(src, dst, PROTO_ICMPV6, data[:2] + struct.pack("!H", csum) + data[4:], hops=255)


def _ll_option(kind, mac):
    return struct.pack("!BB", kind, 1) + mac_bytes(mac)


def solicited_node(addr):
    """The multicast group (address, MAC) that owns questions about addr (RFC 4291 2.7.1)."""
    tail = socket.inet_pton(socket.AF_INET6, addr)[13:]
    group = bytes.fromhex("ff0200000000000000000001ff") + tail
    return socket.inet_ntop(socket.AF_INET6, group), mac_text(b"\x33\x33" + group[12:])


def nd_solicit(src, target, mac):
    """Neighbour solicitation to the solicited-node group; src "::" makes it duplicate address detection, which carries no MAC."""
    body = bytes(4) + socket.inet_pton(socket.AF_INET6, target)
    if src != "::":
        body += _ll_option(1, mac)
    return icmpv6(src, solicited_node(target)[0], 135, body)


def nd_advert(src, dst, target, mac, flags=0x60000000):
    """Neighbour advertisement; flags default to solicited, override."""
    return icmpv6(src, dst, 136, struct.pack("!I", flags) + socket.inet_pton(socket.AF_INET6, target) + _ll_option(2, mac))


def nd_router_advert(src, mac):
    return icmpv6(src, "ff02::1", 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + _ll_option(1, mac))

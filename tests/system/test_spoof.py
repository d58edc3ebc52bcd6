#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A port with mac and ips speaks for those and nobody else; each forgery is counted under its own reason."""

import frames
from harness import before, test_frame, until

MAC, OTHER = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
PEER = "02:00:00:00:00:99"
LINK_LOCAL = "fe80::ff:fe00:a"  # made from MAC, RFC 4291 appendix A


def _ip(src, mac=MAC, dst=None):
    dst = dst or ("fd00::99" if ":" in src else "10.0.0.99")
    return frames.eth(PEER, mac, [], frames.ip_type(src), frames.udp(src, dst, 1000, 2000, b"x" * 30))


def _arp(sender_ip, sender_mac=MAC, op=2, mac=MAC):
    return frames.eth(PEER, mac, [], frames.ETH_ARP, frames.arp(op, sender_mac, sender_ip, PEER, "10.0.0.99") + bytes(18))


def _v6(packet, mac=MAC):
    return frames.eth(PEER, mac, [], frames.ETH_IPV6, packet)


def _dhcp():
    return frames.eth(frames.BROADCAST, MAC, [], frames.ETH_IPV4, frames.udp("0.0.0.0", "255.255.255.255", 68, 67, bytes(240)))


CASES = [
    # what, frame, reason or None where it passes
    ("own IPv4", _ip("10.0.0.10"), None),
    ("own prefix", _ip("10.1.0.77"), None),
    ("own IPv6", _ip("fd00::10"), None),
    ("link-local IPv6 of the MAC, solicitation", _v6(frames.nd_solicit(LINK_LOCAL, "fd00::99", MAC)), None),
    ("ARP for the own address", _arp("10.0.0.10"), None),
    ("ARP probe", _arp("0.0.0.0", op=1), None),
    ("DHCP request", _dhcp(), None),
    ("duplicate address detection of the own address", _v6(frames.nd_solicit("::", "fd00::10", MAC)), None),
    ("advertisement of the own address", _v6(frames.nd_advert("fd00::10", "fd00::99", "fd00::10", MAC)), None),
    ("no IP at all", test_frame(MAC, PEER, "other ethertype"), None),
    ("foreign MAC", _ip("10.0.0.10", mac=OTHER), "spoof-mac"),
    ("foreign MAC, no IP", test_frame(OTHER, PEER), "spoof-mac"),
    ("foreign IPv4", _ip("10.0.0.11"), "spoof-ipv4"),
    ("foreign IPv4, cut off", _ip("10.0.0.11")[:30], "spoof-ipv4"),
    ("own IPv4, cut off before the source is whole", _ip("10.0.0.10")[:28], "spoof-ipv4"),
    ("0.0.0.0, but not DHCP", _ip("0.0.0.0"), "spoof-ipv4"),
    ("foreign IPv6", _ip("fd00::11"), "spoof-ipv6"),
    ("foreign link-local IPv6", _ip("fe80::1"), "spoof-ipv6"),
    ("foreign IPv6 at the edge of an own v4 prefix", _ip("::ffff:10.0.0.10"), "spoof-ipv6"),
    ("ARP for a foreign address", _arp("10.0.0.11"), "spoof-arp"),
    ("ARP question from a foreign address", _arp("10.0.0.11", op=1), "spoof-arp"),
    ("ARP with a foreign hardware address", _arp("10.0.0.10", sender_mac=OTHER), "spoof-arp"),
    ("gratuitous ARP for the gateway", _arp("10.0.0.1"), "spoof-arp"),
    ("advertisement of a foreign address", _v6(frames.nd_advert("fd00::10", "fd00::99", "fd00::11", MAC)), "spoof-nd"),
    ("advertisement with a foreign MAC", _v6(frames.nd_advert("fd00::10", "fd00::99", "fd00::10", OTHER)), "spoof-nd"),
    ("solicitation with a foreign MAC", _v6(frames.nd_solicit("fd00::10", "fd00::99", OTHER)), "spoof-nd"),
    ("duplicate address detection of a foreign address", _v6(frames.nd_solicit("::", "fd00::11", MAC)), "spoof-nd"),
    ("router advertisement", _v6(frames.nd_router_advert(LINK_LOCAL, MAC)), "spoof-nd"),
]


def _tagged(frame, *tags):
    return frame[:12] + b"".join(frames.tag_bytes(tag) for tag in tags) + frame[12:]


def _hold(node, tx, rx, name, what, frame, reason):
    before = node.port_stats(name)["drops"]
    tx.send(frame)
    got = until(tx, test_frame(MAC, PEER, "marker " + what), rx)
    after = node.port_stats(name)["drops"]
    changed = {key: after.get(key, 0) - before.get(key, 0) for key in {*before, *after} if after.get(key, 0) != before.get(key, 0)}
    if reason is None:
        assert [f.raw for f in got] == [frame] and not changed, f"{what}: {got} {changed}"
    else:
        assert not got and changed == {reason: 1}, f"{what}: {got} {changed}, not {reason}"


def test_each_forgery_has_its_reason(t):
    """Every case of CASES on an access port: passed unchanged, or dropped and counted once."""
    guarded = {"vlan": 100, "mac": MAC, "ips": ["10.0.0.10", "10.1.0.0/24", "fd00::10"]}
    node, a, b = t.switch({"a": guarded, "b": {"vlan": 100}})
    tx, rx = a.wire(), b.wire()
    for what, frame, reason in CASES:
        _hold(node, tx, rx, "a", what, frame, reason)


def test_tags_do_not_hide_a_forgery(t):
    """On a trunk the same addresses are found behind one tag and behind two; behind three nothing can be vouched for."""
    guarded = {"vlan_mode": "trunk", "mac": MAC, "ips": ["10.0.0.10", "10.1.0.0/24", "fd00::10"]}
    node, a, b = t.switch({"a": guarded, "b": {"vlan_mode": "trunk"}})
    tx, rx = a.wire(), b.wire()
    for tags in (["8100:100:0:0"], ["88a8:100:0:0"], ["8100:100:0:0", "8100:10:0:0"]):
        for what, frame, reason in CASES:
            _hold(node, tx, rx, "a", f"{what}, {tags}", _tagged(frame, *tags), reason)
    tx.send(_tagged(_ip("10.0.0.11"), "8100:100:0:0", "8100:10:0:0", "8100:11:0:0"))
    tx.send(_tagged(_ip("10.0.0.10"), "8100:100:0:0", "8100:10:0:0", "8100:11:0:0"))
    assert not until(tx, test_frame(MAC, PEER, "marker"), rx)


def test_limits_to_speech_follow_the_configuration(t):
    """mac and ips can be set and lifted while frames flow; what is refused is never learned."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})
    tx, rx = a.wire(), b.wire()
    _hold(node, tx, rx, "a", "free", _ip("10.0.0.11", mac=OTHER), None)
    node.set_port("a", mac=MAC)
    _hold(node, tx, rx, "a", "bound to its MAC", _ip("10.0.0.11", mac="02:00:00:00:00:0c"), "spoof-mac")
    assert "02:00:00:00:00:0c" not in [e["mac"] for e in node.fdb()]
    node.set_port("a", mac=None)
    _hold(node, tx, rx, "a", "free again", _ip("10.0.0.11", mac=OTHER), None)


def test_a_bound_address_cannot_be_stolen(t):
    """A port's mac is in the FDB before it speaks; another port that uses it as its source is refused, and moves nothing."""
    node, a, b, c = t.switch({"a": {"vlan": 100, "mac": MAC}, "b": {"vlan": 100}, "c": {"vlan": 100}})
    thief, owner, witness = b.wire(), a.wire(), c.wire()
    thief.send(test_frame(MAC, text="I am a"))
    marker = test_frame(b.mac, text="marker")
    assert not until(thief, marker, owner)
    assert not before(marker, witness)
    assert node.drops("b", "src-bound") == 1
    witness.send(test_frame(c.mac, MAC, "to a"))
    got = until(witness, test_frame(c.mac, text="marker"), owner)
    assert [f.payload[:4] for f in got] == [b"to a"]

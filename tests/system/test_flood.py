#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One port's flood is nobody else's problem."""

import measure
from harness import Sender, Stream, alone, deadline, test_frame, until, wait_for

ADDRESSES = 30_000


def _mac(i):
    return f"02:66:{i >> 24 & 255:02x}:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"


@alone("offers load")
@deadline(120)
def test_a_mac_flood_leaves_the_others_alone(t):
    """A port sends from tens of thousands of addresses: those of the others stay known, and frames to them are not flooded."""
    node, a, b, c, d = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}, "witness": {"vlan": 100}, "flood": {"vlan": 100}})
    wa, wb, witness, flood = a.wire(), b.wire(), c.wire(), d.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    until(wa, test_frame(a.mac, text="here"), wb)
    until(wa, test_frame(a.mac, text="start"), witness)
    stream = Stream(wa, wb, b.mac, a.mac)

    def arrived(count):
        seen = node.port_stats("flood")
        return seen["rx_frames"] + seen["drops"].get("rx-missed", 0) >= count

    for i in range(ADDRESSES):
        flood.send(test_frame(_mac(i), a.mac))
        if i % 30 == 0:
            stream.send(1)
        # As fast as the daemon takes it, or the kernel would drop the flood instead.
        if i % 500 == 0:
            wait_for(lambda sent=i: arrived(sent - 500), "the flood is taken")
    wait_for(lambda: arrived(ADDRESSES), "every frame of the flood is accounted for")
    stream.check()
    assert not until(wa, test_frame(a.mac, text="marker"), witness), "a frame to a known address was flooded"
    assert {e["mac"] for e in node.fdb(port="a")} == {a.mac} and {e["mac"] for e in node.fdb(port="b")} == {b.mac}
    assert node.get("port", "flood")["state"]["macs"] > ADDRESSES // 2


def test_a_mac_limit_stops_a_flood(t):
    """With mac_limit the flood takes that many entries and no more."""
    node, a, b = t.switch({"a": {"vlan": 100, "mac_limit": 100}, "b": {"vlan": 100}})
    wa, wb = a.wire(), b.wire()
    wa.send(*(test_frame(_mac(i), b.mac) for i in range(1000)))
    until(wa, test_frame(_mac(0), text="marker"), wb)
    assert node.get("port", "a")["state"]["macs"] == 100
    assert node.port_stats("a")["learn_refused"] == 900


@alone("holds a rate")
@deadline(120)
def test_a_storm_is_limited_and_stays_in_its_vlan(t):
    """storm_pps holds for all flooded frames of the VLAN; known unicast passes beside it, and no other VLAN sees a frame."""
    limit = 1000
    vlans = {"a": 100, "b": 100, "storm": 100, "witness": 100, "other": 200}
    node, a, b, c, _, d = t.switch({name: {"vlan": vlan} for name, vlan in vlans.items()})
    node.set_vlan(100, storm_pps=limit)
    measure.own_the_cpu()
    wa, wb, other = a.wire(), b.wire(), d.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    until(wa, test_frame(a.mac, text="here"), wb)
    storm = [test_frame(c.mac), test_frame(c.mac, "01:00:5e:00:00:01"), test_frame(c.mac, "02:00:00:00:77:77")]
    sender = Sender(c.wire(), *storm, cpu=0)
    stream = Stream(wa, wb, b.mac, a.mac)
    try:
        wait_for(lambda: node.drops("storm", "storm"), "the storm is over its limit")
        # All that the witness gets was flooded.
        measure.hold(node, sender, "witness", limit, meanwhile=lambda: stream.send(10))
    finally:
        sender.stop()
    stream.check()
    assert node.port_stats("other")["tx_frames"] == 0 and not other.drain()


def test_a_flood_reaches_each_member_once(t):
    """A broadcast leaves by every other port of its VLAN, once, and by no port of another VLAN."""
    members = {f"m{i}": {"vlan": 100} for i in range(12)}
    others = {f"o{i}": {"vlan": 200} for i in range(4)}
    node, *ends = t.switch({**members, **others, "up": {"vlan_mode": "trunk", "trunks": [100]}})
    wires = [e.wire() for e in ends]
    tx = wires[0]
    for i in range(50):
        tx.send(test_frame(ends[0].mac, text=f"{i}"))
    for end, wire in list(zip(ends, wires))[1:12]:
        got = until(tx, test_frame(ends[0].mac, text=f"marker {end.name}"), wire)
        assert [f.payload.rstrip(b"\0") for f in got][:50] == [str(i).encode() for i in range(50)], end.name
    for wire in wires[12:16]:
        assert not wire.drain()
    assert [f.tags for f in wires[16].drain()][:50] == [["8100:100:0:0"]] * 50
    assert node.port_stats("m0")["tx_frames"] == 0

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Addresses: learned, moved, aged, bound, limited."""

import time

from frames import tag_bytes
from harness import alone, before, test_frame, until, wait_for


def _texts(got):
    return [f.payload.rstrip(b"\0").decode() for f in got]


def _three(t, **attrs):
    return t.switch({name: {"vlan": 100, **attrs.get(name, {})} for name in "abc"})


def test_a_learned_address_is_not_flooded(t):
    """The answer to the first frame already goes to its sender alone."""
    node, a, b, c = _three(t)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    assert not until(wa, test_frame(a.mac, text="who is there"), wb)
    wb.send(test_frame(b.mac, a.mac, "I am"))
    marker = test_frame(b.mac, text="marker")
    got = until(wb, marker, wc)
    assert _texts(got) == ["who is there"], got
    assert _texts(before(marker, wa)) == ["I am"]
    entries = {(e["vlan"], e["mac"], e["port"]) for e in node.fdb()}
    assert entries == {(100, a.mac, "a"), (100, b.mac, "b")}, entries


def test_an_address_is_known_per_vlan(t):
    """The same address in two VLANs is two stations."""
    node, a, b, c = t.switch({"a": {"vlan_mode": "trunk"}, "b": {"vlan": 100}, "c": {"vlan": 200}})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    mac = "02:00:00:00:00:55"
    for wire, vlan in ((wb, 100), (wc, 200)):
        here = test_frame(mac, text="here")
        until(wire, here, wa, arrives=here[:12] + tag_bytes(f"8100:{vlan}:0:0") + here[12:])
    assert {(e["vlan"], e["port"]) for e in node.fdb(mac=mac)} == {(100, "b"), (200, "c")}
    wa.send(test_frame(a.mac, mac, "to 100", ["8100:100:0:0"]), test_frame(a.mac, mac, "to 200", ["8100:200:0:0"]))
    marker = test_frame(a.mac, text="marker", tags=["8100:100:0:0"])
    assert _texts(until(wa, marker, wb, arrives=marker[:12] + marker[16:])) == ["to 100"]
    marker = test_frame(a.mac, text="marker", tags=["8100:200:0:0"])
    assert _texts(until(wa, marker, wc, arrives=marker[:12] + marker[16:])) == ["to 200"]


def test_an_address_moves_with_its_station(t):
    """A source heard at another port is behind that port from the next frame on."""
    node, a, b, c = _three(t)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    mac = "02:00:00:00:00:55"
    until(wb, test_frame(mac, text="at b"), wa)
    until(wc, test_frame(mac, text="at c"), wa)
    assert [e["port"] for e in node.fdb(mac=mac)] == ["c"]
    assert node.port_stats("c")["moved"] == 1
    wa.send(test_frame(a.mac, mac, "to it"))
    marker = test_frame(a.mac, text="marker")
    assert _texts(until(wa, marker, wc))[-1:] == ["to it"]
    assert _texts(before(marker, wb)) == ["at c"]


@alone("must be heard again within a second")
def test_a_silent_address_is_forgotten(t):
    """After aging_s without a frame the address is unknown again; one that speaks stays."""
    node, a, b, c = _three(t)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    silent = "02:00:00:00:00:55"
    until(wb, test_frame(silent, text="once"), wa)
    assert node.fdb(mac=silent)
    # From here on: until then a second may have passed.
    node.set_vlan(100, aging_s=1)

    def silent_gone():
        wa.send(test_frame(a.mac, b.mac, "still here"))
        return not node.fdb(mac=silent)

    wait_for(silent_gone, "the silent address aged")

    def stays():
        """None, if it was silent for too long: who asked had no CPU."""
        start = time.monotonic()
        until(wa, test_frame(a.mac, text="marker"), wc)
        known = [e["port"] for e in node.fdb(mac=a.mac)]
        return known or (None if time.monotonic() - start >= 1 else ["nobody"])

    assert wait_for(stays, "it is asked in time") == ["a"]
    wa.send(test_frame(a.mac, silent, "where are you"))
    assert _texts(until(wa, test_frame(a.mac, text="marker 2"), wc)) == ["where are you"]


def test_static_addresses_never_move_nor_age(t):
    """static_macs are there before the station speaks, and stay whatever others claim."""
    mac = "02:00:00:00:00:55"
    node, a, b, c = _three(t, b={"static_macs": [f"100/{mac}"]})
    node.set_vlan(100, aging_s=1)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    entry = node.fdb(mac=mac)[0]
    assert entry["port"] == "b" and entry["static"]
    wc.send(test_frame(mac, text="mine"))
    assert _texts(until(wc, test_frame(c.mac, text="marker"), wa)) == []
    assert node.drops("c", "src-bound") == 1
    wait_for(lambda: not node.fdb(mac=c.mac), "others aged")
    wa.send(test_frame(a.mac, mac, "to it"))
    marker = test_frame(a.mac, text="second marker")
    assert _texts(until(wa, marker, wb)) == ["marker", "to it"]
    assert _texts(before(marker, wc)) == []
    node.set_port("b", static_macs=[])
    assert not node.fdb(mac=mac)


def test_limits_refuse_to_learn_but_forward(t):
    """At a port's or VLAN's mac_limit new addresses are not learned; their frames are forwarded all the same, and counted."""
    node, a, b, c = _three(t, a={"mac_limit": 3})
    node.set_vlan(100, mac_limit=5)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    wa.send(*(test_frame(f"02:00:00:00:01:{i:02x}", text=f"{i}") for i in range(10)))
    got = until(wa, test_frame("02:00:00:00:01:00", text="marker"), wc)
    assert _texts(got) == [str(i) for i in range(10)]
    assert len(node.fdb(port="a")) == 3
    assert node.port_stats("a")["learn_refused"] == 7
    wb.send(*(test_frame(f"02:00:00:00:02:{i:02x}", text=f"{i}") for i in range(10)))
    until(wb, test_frame("02:00:00:00:02:00", text="marker"), wc)
    assert len(node.fdb(port="b")) == 2
    assert len(node.fdb(vlan=100)) == 5


def test_a_frame_to_its_own_port_stays_there(t):
    """Stations behind one port talk to each other without the switch."""
    node, a, b, c = _three(t)
    wa, wb = a.wire(), b.wire()
    until(wa, test_frame("02:00:00:00:00:55", text="here too"), wb)
    wa.send(test_frame(a.mac, "02:00:00:00:00:55", "neighbour"))
    assert not until(wa, test_frame(a.mac, text="marker"), wb)
    assert node.drops("a", "same-port") == 1


def test_addresses_go_with_their_port(t):
    """What was behind a port that is removed is unknown at once; nothing is sent into the void."""
    node, a, b, c = _three(t)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    node.del_port("b")
    assert not node.fdb(mac=b.mac)
    until(wa, test_frame(a.mac, text="marker"), wc)
    wa.send(test_frame(a.mac, b.mac, "where are you"))
    assert _texts(until(wa, test_frame(a.mac, text="marker 2"), wc)) == ["where are you"]


def test_isolated_ports_reach_only_the_others(t):
    """
    No frame between two isolated ports. One that is addressed is counted where it would have left; a flood is not meant for the
    isolated, and is counted at its origin if there is nobody else.
    """
    node, a, b, c = _three(t, a={"isolated": True}, b={"isolated": True})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    until(wb, test_frame(b.mac, text="b"), wc)
    wa.send(test_frame(a.mac, text="flooded"), test_frame(a.mac, b.mac, "known"))
    assert _texts(until(wa, test_frame(a.mac, c.mac, "marker"), wc)) == ["flooded"]
    marker = test_frame(c.mac, text="from c")
    assert not until(wc, marker, wb)
    assert not before(marker, wa)
    assert node.port_stats("b")["drops"] == {"isolated": 1}, node.port_stats("b")
    assert not node.port_stats("a")["drops"], node.port_stats("a")
    node.set_port("c", vlan=None, vlan_mode="trunk", trunks=[7])
    wa.send(test_frame(a.mac, text="nobody"))
    wait_for(lambda: node.port_stats("a")["drops"] == {"no-member": 1}, "a flood to nobody is counted")
    assert node.port_stats("b")["drops"] == {"isolated": 1}

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Frames that no switch may pass on: 802.1Q 8.6.3, and sources that are no station's address."""

from harness import ip_batch, test_frame, until
from wire import Wire


def test_link_local_groups_are_not_forwarded(t):
    """01:80:c2:00:00:00 to :0f stay on their link, tagged or not; the next address is a group like any other."""
    node, a, b = t.switch({"a": {"vlan_mode": "trunk"}, "b": {"vlan_mode": "trunk"}})
    tx, rx = a.wire(), b.wire()
    for last in range(0x11):
        for tags in ([], ["8100:100:0:0"]):
            tx.send(test_frame(a.mac, f"01:80:c2:00:00:{last:02x}", f"{last}", tags))
    got = until(tx, test_frame(a.mac, text="marker"), rx)
    assert [f.dst for f in got] == ["01:80:c2:00:00:10"] * 2, got
    assert node.drops("a", "reserved-dst") == 32


def test_group_sources_are_refused(t):
    """A source with the group bit is forged or broken; it is neither forwarded nor learned."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})
    tx, rx = a.wire(), b.wire()
    tx.send(test_frame("03:00:00:00:00:01"), test_frame("ff:ff:ff:ff:ff:ff"))
    assert not until(tx, test_frame(a.mac, text="marker"), rx)
    assert node.drops("a", "src-multicast") == 2
    assert [e["mac"] for e in node.fdb(port="a")] == [a.mac]


def test_cut_off_tags_are_runts(t):
    """A frame that ends inside a tag that it claims is dropped under its name."""
    node, a, b = t.switch({"a": {"vlan_mode": "trunk"}, "b": {"vlan_mode": "trunk"}})
    tx, rx = a.wire(), b.wire()
    whole = test_frame(a.mac, tags=["8100:100:0:0", "8100:200:0:0"])
    # Before a packet socket sees a frame, the kernel takes the first tag out, and drops what has no ethertype behind it.
    for length in (20, 21):
        tx.send(whole[:length])
    assert not until(tx, test_frame(a.mac, text="marker"), rx)
    assert node.drops("a", "runt") == 2
    # What a tap gets, its driver gets as it is.
    node.add_port("tap", kind="tap", ifname="tap-host")
    ip_batch("link set dev tap-host up")
    node.wait_link("tap")
    tx = Wire("tap-host")
    for length in range(14, 22):
        tx.send(whole[:length])
    assert not until(tx, test_frame(a.mac, text="marker of the tap"), rx)
    assert node.drops("tap", "runt") == 8, node.port_stats("tap")

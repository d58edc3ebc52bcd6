#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Large frames: to 9216 bytes of payload, unchanged, and never where the MTU is smaller."""

import frames
from harness import before, test_frame, until

MTU = 9216


def _large(src, payload, dst=frames.BROADCAST, tags=()):
    body = bytes(i * 7 & 0xFF for i in range(payload))
    return frames.eth(dst, src, list(tags), frames.ETH_TEST, body)


def test_9216_bytes_pass_unchanged(t):
    """A frame of several buffers is flooded and forwarded as it is, also when a tag is put on or taken off."""
    jumbo = {"mtu": MTU}
    node, a, b, c = t.switch({"a": {"vlan": 100, **jumbo}, "b": {"vlan": 100, **jumbo}, "c": {"vlan_mode": "trunk", **jumbo}})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    tag = ["8100:100:0:0"]
    for payload in (1500, 2000, 2049, 4096, MTU - 1, MTU):
        for tx, src, tags, receivers in ((wa, a.mac, [], ((wb, []), (wc, tag))), (wc, c.mac, tag, ((wa, []), (wb, [])))):
            tx.send(_large(src, payload, tags=tags), _large(src, 60, tags=tags))
            for rx, out_tags in receivers:
                got = before(_large(src, 60, tags=out_tags), rx)
                assert [f.raw for f in got] == [_large(src, payload, tags=out_tags)], f"{payload}: {got}"
    assert not any(node.port_stats(p)["drops"].get(r, 0) for p in "abc" for r in ("mtu", "oversize", "malformed", "tx-no-buffer"))


def test_what_exceeds_the_mtu_is_dropped_there(t):
    """A port's MTU counts payload, not tags; a flood reaches those that can take it."""
    large = {"vlan": 100, "mtu": MTU}
    node, a, b, c = t.switch({"a": large, "b": large, "c": {"vlan_mode": "trunk", "mtu": 1500}})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    wa.send(_large(a.mac, 1500), _large(a.mac, 1501), _large(a.mac, MTU))
    marker = test_frame(a.mac, text="marker")
    got = until(wa, marker, wc, arrives=marker[:12] + frames.tag_bytes("8100:100:0:0") + marker[12:])
    assert [len(f.payload) for f in got] == [1500]
    assert node.drops("c", "mtu") == 2
    assert [len(f.payload) for f in before(marker, wb)] == [1500, 1501, MTU]
    assert node.drops("b", "mtu") == 0


def test_the_mtu_can_be_changed_while_frames_flow(t):
    """After `set mtu` the new size is in force, up and down."""
    node, a, b = t.switch({"a": {"vlan": 100, "mtu": MTU}, "b": {"vlan": 100, "mtu": MTU}})
    wa, wb = a.wire(), b.wire()
    for mtu in (1500, MTU, 3000):
        node.set_port("b", mtu=mtu)
        wa.send(_large(a.mac, mtu), _large(a.mac, mtu + 1) if mtu < MTU else _large(a.mac, 100))
        got = until(wa, test_frame(a.mac, text="marker"), wb)
        assert [len(f.payload) for f in got] == ([mtu] if mtu < MTU else [mtu, 100])
    assert node.get("port", "b")["state"]["mtu"] == 3000

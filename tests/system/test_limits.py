#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Policers: what is set is what is got, within 2 %, at any frame size, from the first second on. How: measure.py."""

import time

import measure
from harness import Sender, alone, deadline, test_frame, wait_for


def _hold(t, limit, size, want_pps, reason, limited):
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})
    measure.own_the_cpu()
    # A unicast address that is known, so that nothing but this frame's journey is measured.
    node.set_port("b", mac=b.mac)
    node.set_port(limited, **limit)
    sender = Sender(a.wire(), test_frame(a.mac, b.mac, "load", size=size), cpu=0)
    try:
        wait_for(lambda: node.drops(limited, reason) > want_pps / 10, "the burst is used up")
        measure.hold(node, sender, "b", want_pps)
    finally:
        sender.stop()
    # What left by the daemon's account left by the kernel's.
    wait_for(lambda: node.port_stats("b")["tx_frames"] == measure.sent_frames("b"), "the accounts agree")


@alone("holds a rate")
@deadline(120)
def test_in_10_mbit_of_64_byte_frames(t):
    """The header of a small frame counts like its payload."""
    _hold(t, {"in_bps": 10_000_000}, 64, 10_000_000 / 8 / 64, "limit-in", "a")


@alone("holds a rate")
@deadline(120)
def test_in_100_mbit_of_1500_byte_frames(t):
    """Ten times the rate with frames of full size."""
    _hold(t, {"in_bps": 100_000_000}, 1500, 100_000_000 / 8 / 1500, "limit-in", "a")


@alone("holds a rate")
@deadline(120)
def test_out_10_mbit_of_64_byte_frames(t):
    """The same towards a port."""
    _hold(t, {"out_bps": 10_000_000}, 64, 10_000_000 / 8 / 64, "limit-out", "b")


@alone("holds a rate")
@deadline(120)
def test_out_10_mbit_of_1500_byte_frames(t):
    """Few frames: the burst must not add up."""
    _hold(t, {"out_bps": 10_000_000}, 1500, 10_000_000 / 8 / 1500, "limit-out", "b")


@alone("holds a rate")
@deadline(120)
def test_in_10000_frames_a_second(t):
    """in_pps counts frames, whatever their size."""
    _hold(t, {"in_pps": 10_000}, 200, 10_000, "limit-in", "a")


@alone("holds a rate")
@deadline(120)
def test_out_10000_frames_a_second(t):
    """out_pps likewise."""
    _hold(t, {"out_pps": 10_000}, 200, 10_000, "limit-out", "b")


@alone("holds a rate")
def test_first_second_is_not_a_burst(t):
    """From a standing start, the first second brings no more than the second one and a small burst."""
    node, a, b = t.switch({"a": {"vlan": 100, "in_bps": 10_000_000}, "b": {"vlan": 100}})
    looks = [time.monotonic()]
    sender = Sender(a.wire(), test_frame(a.mac, size=1000))
    try:
        wait_for(lambda: looks.append(time.monotonic()) or node.port_stats("a")["rx_frames"], "load comes in")
        # Before the last look but one nothing had. From the last on would be too late: on a busy machine much passes in between.
        start = looks[-2]
        passed = wait_for(lambda: time.monotonic() >= start + 1 and node.port_stats("b")["tx_bytes"], "a second of load")
        took = time.monotonic() - start
    finally:
        sender.stop()
    assert passed * 8 < 10_000_000 * took * 1.04, f"{passed * 8 / took:.0f} bit/s in the first {took:.2f} s"


@alone("offers load")
def test_a_limit_is_lifted_and_set_without_a_gap(t):
    """Changing a limit under load takes effect at once and drops nothing of a flow below it."""
    node, a, b = t.switch({"a": {"vlan": 100, "in_pps": 100}, "b": {"vlan": 100}})
    sender = Sender(a.wire(), test_frame(a.mac))
    try:
        wait_for(lambda: node.drops("a", "limit-in"), "limited")
        node.set_port("a", in_pps=None)
        limited = node.drops("a", "limit-in")
        passed = node.port_stats("b")["tx_frames"]
        wait_for(lambda: node.port_stats("b")["tx_frames"] > passed + 10_000, "unlimited")
        assert node.drops("a", "limit-in") == limited
        node.set_port("a", in_pps=100)
        wait_for(lambda: node.drops("a", "limit-in") > limited, "limited again")
    finally:
        sender.stop()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ports come, change and go while others talk: nothing of the others is lost. With a worker on each CPU, who hand frames over."""

import os

from harness import Refused, Sender, Stream, add, alone, deadline, delete, test_frame, until, wait_for

ROUNDS = 200
CORES = ",".join(map(str, sorted(os.sched_getaffinity(0))))


def _stream(node, a, b):
    """Frames from a to b, both known, so that what arrives was forwarded and not flooded."""
    wa, wb = a.wire(), b.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    until(wa, test_frame(a.mac, text="here"), wb)
    return Stream(wa, wb, b.mac, a.mac)


@deadline(120)
def test_nothing_is_lost_while_others_come_and_go(t):
    """200 rounds of add, change, remove of a third port of the VLAN, beside a numbered stream: zero loss, in the counters too."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}}, cores=CORES)
    node.add_vlan(101)
    c = t.endpoint("c")
    stream = _stream(node, a, b)
    for i in range(ROUNDS):
        stream.send(20)
        node.attach(c, vlan=100)
        stream.send(20)
        node.set_port("c", vlan=100 + i % 2, in_pps=1000 * (i % 3), mac_limit=i % 5)
        stream.send(20)
        node.set_port("c", vlan=None, vlan_mode="trunk", mtu=1500 + i)
        stream.send(20)
        node.del_port("c")
    stream.check()
    for name in "ab":
        drops = {reason: n for reason, n in node.port_stats(name)["drops"].items() if n and reason != "no-member"}
        assert not drops, f"{name}: {drops}"


@deadline(120)
def test_a_port_of_the_stream_changes_without_loss(t):
    """Limits, learning and addresses of the very ports of a stream change under it."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}}, cores=CORES)
    stream = _stream(node, a, b)
    for i in range(ROUNDS):
        stream.send(20)
        node.set_port("a", mac_limit=10 + i, in_pps=10_000_000 + i, mac=a.mac if i % 2 else None)
        stream.send(20)
        node.set_port("b", out_bps=10**11 + i, isolated=bool(i % 2), static_macs=[f"100/02:00:00:00:55:{i:02x}"])
    stream.check()


@alone("offers load")
@deadline(120)
def test_removing_a_port_that_is_receiving(t):
    """A port that is flooded from outside and floods others is removed and added again, 50 times; buffers and entries come back."""
    node, a, b, c = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}, "c": {"vlan": 100}}, cores=CORES)
    stream = _stream(node, a, b)
    free = node.get("node", "node")["state"]["memory"]["buffers_free"]
    noise = [test_frame(f"02:00:00:00:{i:02x}:01", text=f"noise {i}", size=60 + 5 * i) for i in range(100)]
    sender = Sender(c.wire(), *noise)
    try:
        for _ in range(50):
            seen = node.port_stats("c")["rx_frames"]
            wait_for(lambda n=seen: node.port_stats("c")["rx_frames"] > n + 100, "noise comes in")
            node.del_port("c")
            stream.send(10)
            node.attach(c, vlan=200)
    finally:
        sender.stop()
    stream.check()
    node.del_port("c")
    assert {e["port"] for e in node.fdb()} <= {"a", "b"}
    wait_for(lambda: node.get("node", "node")["state"]["memory"]["buffers_free"] >= free, f"{free} buffers free again")


def test_one_transaction_is_all_or_nothing(t):
    """An apply whose last operation fails leaves no port behind, and the ports there untouched."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}}, cores=CORES)
    c = t.endpoint("c")
    stream = _stream(node, a, b)
    for bad in (
        add("port", "d", kind="af-packet", ifname="lo", vlan=100),
        add("port", "d", kind="af-packet", ifname="c", vlan=4095),
        {"op": "set", "object": "port", "name": "none-such", "attrs": {"vlan": 1}},
    ):
        stream.send(20)
        try:
            node.apply(add("port", "c", kind="af-packet", ifname=c.name, vlan=100), delete("port", "a"), bad)
        except Refused as refusal:
            assert refusal.name, refusal
        else:
            raise AssertionError(f"accepted: {bad}")
        assert [o["name"] for o in node.call("get", {"object": "port"})["objects"]] == ["a", "b"]
    stream.check()


def test_every_kind_comes_and_goes_without_a_trace(t):
    """A port of each kind, on the same device, added and removed again and again: no descriptor, buffer or flag stays behind."""
    node = t.node()
    a = t.endpoint("a")
    kinds = {
        "af-packet": {"ifname": a.name},
        "tap": {"ifname": "tap-host"},
        "memif": {"path": os.path.join(node.dir, "memif.sock")},
        "nic": {"devargs": "net_null0"},
        "af-xdp": {"ifname": a.name},
    }

    def held():
        memory = node.get("node", "node")["state"]["memory"]
        with open(f"/sys/class/net/{a.name}/flags", encoding="ascii") as f:
            flags = f.read().strip()
        return len(os.listdir(f"/proc/{node.process.pid}/fd")), memory["buffers_free"], flags

    flags = held()[2]
    for kind, attrs in kinds.items():
        # What a driver keeps from its first use on is not this port's.
        node.add_port("p", kind=kind, **attrs)
        node.del_port("p")
        before = held()
        for _ in range(5):
            node.add_port("p", kind=kind, **attrs)
            node.del_port("p")
        wait_for(lambda want=before: held() == want, f"{kind}: descriptors, free buffers and the device's flags are {before} again")
        assert before[2] == flags, f"{kind} leaves the device with flags {before[2]}, not {flags}"

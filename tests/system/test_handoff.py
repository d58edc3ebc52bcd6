#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ports go while frames are on their way from one worker to another.

    flood ==> worker 0 --inbox, full--> worker 1 ==> victim, removed; its index is another port's, in another VLAN

What is in the inbox when a port goes must reach nobody, and its buffers must be there until then. To have the inbox full at that
moment, worker 1 shares its CPU with a process that comes first, the sender of the flood; and a port is removed only when worker 0
has found the inbox full (tx-handoff).
"""

import itertools
import os

from harness import Sender, Skip, Stream, add_ports, alone, deadline, test_frame, until, wait_for

ROUNDS = 30
XDP_ROUNDS = 10
LOOK = 5000  # frames
GREEDY = -10  # nice: ten times the share of a worker's


def _two_workers(t, ports):
    """A node with a worker on each of CPU 0 and 1, and endpoints on its ports, which fall to worker 0 and 1 in turn."""
    if not {0, 1} <= os.sched_getaffinity(0):
        raise Skip("two CPUs are needed, 0 and 1")
    node, *ends = t.switch(ports, cores="0,1")
    assert [w["queues"] for w in node.call("stats", {"object": "worker"})["stats"]] == [(len(ports) + 1) // 2, len(ports) // 2]
    return node, *ends


def _flood(wire, *what):
    """A sender that leaves worker 1 little time."""
    sender = Sender(wire, *what, cpu=1)
    os.setpriority(os.PRIO_PROCESS, sender.pid, GREEDY)
    return sender


def _wait_full(node, name):
    """Worker 0 has found no more room in the inbox of worker 1."""
    seen = node.drops(name, "tx-handoff")
    wait_for(lambda: node.drops(name, "tx-handoff") > seen, f"worker 1 is behind with frames for {name}")


def _before_one_passes(sender, marker, receiver):
    """
    Send markers until one arrives, and return what else did. They go through the same inbox, so the first that finds room there
    comes after all that was in it. It can be full until then: worker 1 may be asleep while a port goes.
    """
    others = []

    def passed():
        sender.send(marker)
        got = receiver.drain()
        others.extend(f for f in got if f.raw != marker)
        return any(f.raw == marker for f in got)

    wait_for(passed, "a marker has passed")
    return others


def _node_drops(node, reason):
    return node.call("stats", {"object": "node"})["stats"][0]["drops"].get(reason, 0)


@alone("offers load")
@deadline(180)
def test_frames_for_a_removed_port_do_not_reach_the_next(t):
    """A port of VLAN 200 that takes the place of one of VLAN 100 gets no frame of VLAN 100, 30 times."""
    node, flood, _, mark = _two_workers(t, {"flood": {"vlan": 100}, "idle": {"vlan": 300}, "mark": {"vlan": 200}})
    victim, heir = t.endpoint("victim"), t.endpoint("heir")
    wm, wh = mark.wire(), heir.wire()
    free = node.get("node", "node")["state"]["memory"]["buffers_free"]
    sender = _flood(flood.wire(), test_frame(flood.mac, text="of VLAN 100"))
    try:
        for i in range(ROUNDS):
            node.attach(victim, vlan=100)
            _wait_full(node, "victim")
            node.del_port("victim")
            node.attach(heir, vlan=200)
            strange = _before_one_passes(wm, test_frame(mark.mac, text="of VLAN 200"), wh)
            assert not strange, f"round {i}: {len(strange)} frames, first {strange[0]} {strange[0].payload[:20]}"
            node.del_port("heir")
    finally:
        sender.stop()
    assert _node_drops(node, "tx-gone"), "no frame was on its way when a port went"
    wait_for(lambda: node.get("node", "node")["state"]["memory"]["buffers_free"] >= free, f"{free} buffers free again")


@alone("offers load")
@deadline(180)
def test_frames_of_a_removed_af_xdp_port_are_whole(t):
    """What an af-xdp port received arrives unchanged while the port goes, 10 times; others on its worker lose nothing."""
    vlans = {"a": 200, "idle1": 300, "b": 200, "idle2": 300}
    node, a, _, b, _ = _two_workers(t, {name: {"vlan": vlan} for name, vlan in vlans.items()})
    x, witness = t.endpoint("x", offload=False), t.endpoint("witness")
    noise = [test_frame(x.mac, text=f"noise {i} " * 20, size=60 + 40 * i) for i in range(8)]
    wa, wb = a.wire(), b.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    stream = Stream(wa, wb, b.mac, a.mac)
    xdp = {"x": {"kind": "af-xdp", "ifname": x.name, "vlan": 100}}
    # Worker 0 has x, whenever it comes, and a and b; worker 1 the witness. What goes to worker 1 is dropped when its inbox is full.
    node.apply(*add_ports(xdp))
    node.attach(witness, vlan=100)
    node.wait_link("x", "witness")
    free = node.get("node", "node")["state"]["memory"]["buffers_free"]
    sender = Sender(x.wire(), *noise, cpu=1)
    came = 0
    try:
        for i in range(XDP_ROUNDS):
            seen = node.port_stats("x")["rx_frames"]
            wait_for(lambda n=seen: node.port_stats("x")["rx_frames"] > n + 100, "noise comes in")
            ww = witness.wire()
            node.del_port("x")
            stream.send(10)
            node.apply(*add_ports(xdp))
            # No more than the inbox held and then some: the flood goes on.
            got = list(itertools.islice(iter(ww.recv_now, None), LOOK))
            ww.close()
            came += len(got)
            strange = [f for f in got if f.raw not in noise]
            assert not strange, f"round {i}: {len(strange)} of {len(got)} frames changed, first {strange[0]}"
    finally:
        sender.stop()
    assert came, "nothing came"
    stream.check()
    node.del_port("x")
    wait_for(lambda: node.get("node", "node")["state"]["memory"]["buffers_free"] >= free, f"{free} buffers free again")


@alone("offers load")
@deadline(120)
def test_a_broadcast_flood_leaves_others_their_inbox(t):
    """While one port's broadcasts overrun the way from worker 0 to worker 1, unicast of another VLAN goes the same way without loss."""
    _node, flood, _victim, a, b = _two_workers(
        t, {"flood": {"vlan": 100}, "victim": {"vlan": 100}, "a": {"vlan": 200}, "b": {"vlan": 200}})
    wa, wb = a.wire(), b.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    sender = _flood(flood.wire(), test_frame(flood.mac, text="to everybody"))
    try:
        _wait_full(_node, "victim")
        stream = Stream(wa, wb, b.mac, a.mac)
        for _ in range(10):
            stream.send(10)
        stream.check()
    finally:
        sender.stop()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two nodes on one machine, joined by a cable that carries tags: containers reach across it, and move from one to the other.

       netns a, c, ...                                                                    netns b, d, ...
      containers === slc0 --- sluiced of n1 --- up ===== veth ===== up --- sluiced of n2 --- slc0 === containers
                                 netns n1                                   netns n2
"""

import re
import subprocess
import time

from containers import attrs_of, container, hears_once, links, ours, trunk_node, unreachable
from harness import DEADLINE_S, add, alone, deadline, delete, iperf3, run, test_frame, wait_for
from measure import own_the_cpu

LOST_MAX = 3  # of a stream of 10 a second, when a container moves
PINGS_PER_S, PINGS = 10, 50
COUNTED = 40  # the others come after them: ping waits only a tenth of a second for the answer to its last one


def pair(t):
    """Two daemons, each in a namespace of its own, with uplinks that are joined."""
    for name in ("n1", "n2"):
        run("ip", "netns", "add", name)
        run("ip", "link", "set", "lo", "up", netns=name)
    run("ip", "link", "add", "wan0", "netns", "n1", "type", "veth", "peer", "name", "wan0", "netns", "n2")
    nodes = []
    for name in ("n1", "n2"):
        run("ip", "link", "set", "wan0", "up", netns=name)
        node = trunk_node(t, name, netns=name)
        node.apply(add("vlan", "100"), add("vlan", "200"), add("port", "up", kind="af-packet", ifname="wan0", vlan_mode="trunk"))
        nodes.append(node)
    for node in nodes:
        node.wait_link("up", "slc0")
    return nodes


@alone("offers load")
@deadline(120)
def test_containers_reach_across_nodes(t):
    """Those of VLAN 100 reach each other on both nodes, those of 200 likewise, never one the other; broadcast reaches each once; TCP passes."""
    n1, n2 = pair(t)
    a, b = container(n1, "a", 1, vlan=100), container(n2, "b", 2, vlan=100)
    c, d = container(n1, "c", 3, vlan=200), container(n2, "d", 4, vlan=200)
    e = container(n2, "e", 5, vlan=100)
    a.ping(b.addr, count=10)
    b.ping(a.addr, count=10, size=1472)
    c.ping(d.addr, count=10)
    assert unreachable(a, d.addr) and unreachable(d, a.addr) and unreachable(c, b.addr)
    wires = {x.name: x.wire() for x in (a, b, c, d, e)}
    sent = [test_frame(a.mac, text=x) for x in ("once", "last")]
    wires["a"].send(*sent)
    for name in "be":
        hears_once(wires[name], sent, name)
    a.ping(b.addr)
    a.ping(e.addr)
    c.ping(d.addr)
    for name, wire in wires.items():
        assert not ours(wire), name
    for server, client in ((b, a), (a, b)):
        result = iperf3(server, client, server.addr, seconds=1)
        print(f"{client.name} to {server.name}: {result['end']['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")
        assert result["end"]["sum_received"]["bytes"] > 1_000_000


@alone("counts what a stream loses")
@deadline(120)
def test_a_container_moves_to_the_other_node(t):
    """
    During 10 pings a second, from either node, it is deleted here and added there with its MAC and address: each move loses at most 3. On a machine
    so loaded that the two applies take tenths of a second, during which there is no such container, those come on top.
    """
    n1, n2 = pair(t)
    own_the_cpu()
    near, far = container(n1, "near", 1, vlan=100), container(n2, "far", 2, vlan=100)
    m = container(n1, "m", 3, vlan=100, ips=["10.0.0.3"])
    near.ping(m.addr)
    far.ping(m.addr)
    for source, target in ((n1, n2), (n2, n1)):
        # Of each move its own, some of them before it.
        streams = {x.name: x.popen("ping", "-i", 1 / PINGS_PER_S, "-c", PINGS, m.addr, stdout=subprocess.PIPE) for x in (near, far)}
        heard = {name: "".join(stream.stdout.readline() for _ in range(8)) for name, stream in streams.items()}
        start = time.monotonic()
        source.apply(delete("port", "m"))
        assert "eth0" not in links("m")
        target.apply(add("port", "m", **attrs_of(m, 3, vlan=100, ips=["10.0.0.3"])))
        took = time.monotonic() - start
        assert all(stream.poll() is None for stream in streams.values()), "a stream was over before the move"
        for name, stream in streams.items():
            answered = {int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", heard[name] + stream.communicate(timeout=6 * DEADLINE_S)[0])}
            lost = [n for n in range(1, COUNTED + 1) if n not in answered]
            print(f"{name}: {len(lost)} of {COUNTED} lost by the move to {target.name}, which took {took * 1000:.0f} ms")
            assert len(lost) <= LOST_MAX + int(PINGS_PER_S * took), (name, target.name, lost)
    wait_for(lambda: {e["port"] for e in n1.fdb(mac=m.mac)} == {"m"}, "at home on the first")
    assert {e["port"] for e in n2.fdb(mac=m.mac)} == {"up"}

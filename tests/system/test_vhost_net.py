#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The trunk by vhost-net: on a kernel that has it, with and without a daemon; and what is said where there is none."""

import json
import os
import select
import time

from containers import cleanup, container, host, links, trunk_node
from harness import DEADLINE_S, Skip, deadline, run, wait_for
from lab_kernel import whole_kernel

BYTES = 4 << 20
MTU = 9000
# Longer than this on average, and what crosses the trunk while TCP runs is not single segments.
SEGMENT = 1518
# Of an emulated core, for a daemon that has nothing to do but its timers.
IDLE = 0.3
# What a trunk that carries all of it does not show.
LOSSES = {"rx-missed", "rx-no-buffer", "rx-error", "malformed", "tx-full", "tx-error", "tx-offload", "mtu"}


def trunk_of(node):
    return node.get("node", "node")["state"]["trunk"]


def send(sender, receiver, addr, port):
    """BYTES by TCP, every one of them checked."""
    flow = os.path.join(os.environ["SLUICE_LAB"], "flow")
    receiver.run(flow, "listen", port)
    print(f"{sender.name} to {receiver.name}:", sender.run(flow, "send", addr, port, BYTES, seconds=3 * DEADLINE_S).stdout.strip())


class Here:
    """The node's own stack, as an end like the others."""

    name = "host"
    run = staticmethod(run)


def with_the_host(node, vlan):
    """Its address behind the trunk, and a route to somewhere."""
    node.set_port("slc0", vlan=vlan)
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    run("ip", "route", "add", "10.9.0.0/16", "via", "10.0.0.60", "dev", "slc0")


def held(ifname="slc0"):
    """What an operator put on the trunk, and its address."""
    link = json.loads(run("ip", "-j", "addr", "show", ifname).stdout)[0]
    routes = {r["dst"] for r in json.loads(run("ip", "-j", "route", "show", "dev", ifname).stdout)}
    return link["ifindex"], link["address"], {a["local"] for a in link["addr_info"] if a["family"] == "inet"}, routes


def frame_length(node, what, before):
    """Average of the trunk's frames since then."""
    after = node.port_stats("slc0")
    length = (after[f"{what}_bytes"] - before[f"{what}_bytes"]) / (after[f"{what}_frames"] - before[f"{what}_frames"])
    print(f"{what}: {length:.0f} bytes a frame")
    return length


def widen(node, *ports):
    for port in ports:
        node.set_port(port, mtu=MTU)


def cpu_s(node):
    """CPU time of the daemon so far."""
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@deadline(600)
@whole_kernel("vhost_net")
def test_the_trunk_by_vhost_net(t):
    """
    A container, by a tag, and the host, without one, reach hosts beyond the trunk and they them, with segmentation left to do; a kill -9
    leaves the netdev with all that is on it, the next daemon goes on with it, and --cleanup removes it.
    """
    node = trunk_node(t, trunk="vhost-net")
    assert trunk_of(node)["by"] == "vhost-net", trunk_of(node)
    a, d = container(node, "a", 1, vlan=100), host(t, node, "d", 50, vlan=100)
    here, h = Here(), host(t, node, "h", 60, vlan=10)
    with_the_host(node, 10)
    node.wait_link("slc0")
    a.ping(d.addr, count=3)
    d.ping(a.addr, count=3, size=1472)
    h.ping("10.0.0.100", count=3)

    before = node.port_stats("slc0")
    send(a, d, d.addr, 7001)
    assert frame_length(node, "rx", before) > SEGMENT
    before = node.port_stats("slc0")
    send(d, a, a.addr, 7001)
    assert frame_length(node, "tx", before) > SEGMENT
    send(here, h, h.addr, 7002)
    send(h, here, "10.0.0.100", 7002)
    stats = node.port_stats("slc0")
    assert not stats["segmented"] and not stats["csum_completed"] and not LOSSES & set(stats["drops"]), stats
    assert "tx-checksumming: on" in a.run("ethtool", "-k", "eth0").stdout

    widen(node, "slc0", "a", "d")
    for netdev, netns in (("d", None), ("eth0", "d")):
        run("ip", "link", "set", "dev", netdev, "mtu", MTU, netns=netns)
    whole = ["ping", "-q", "-M", "do", "-c", "1", "-w", DEADLINE_S, "-s", MTU - 28]
    a.run(*whole, d.addr, seconds=2 * DEADLINE_S)
    d.run(*whole, a.addr, seconds=2 * DEADLINE_S)

    start, used = time.monotonic(), cpu_s(node)
    # Two seconds of nothing are what is measured here.
    select.select([], [], [], 2)
    share = (cpu_s(node) - used) / (time.monotonic() - start)
    assert share < IDLE, f"{share:.1%} of a core while nothing comes"

    run("ip", "link", "set", "slc0", "down")
    wait_for(lambda: node.get("port", "slc0")["state"]["link"] == "down", "the trunk's link is down")
    run("ip", "link", "set", "slc0", "up")
    node.wait_link("slc0")
    run("ip", "route", "add", "10.9.0.0/16", "via", "10.0.0.60", "dev", "slc0")

    was = held()
    assert was[2:] == ({"10.0.0.100"}, {"10.0.0.0/24", "10.9.0.0/16"}), was
    node.kill9()
    assert held() == was
    node.options["trunk"] = "auto"
    node.start()
    assert held() == was and trunk_of(node)["by"] == "vhost-net", trunk_of(node)
    node.wait_link("slc0", "d", "h")
    h.ping("10.0.0.100")
    d.run(*whole, a.addr, seconds=2 * DEADLINE_S)

    node.options["trunk"] = "veth"
    node.stop()
    node.start()
    assert not trunk_of(node) and "a tap" in notes(node), notes(node)
    node.stop()
    cleanup(node)
    assert links() == {"lo", "d", "h"}, links()


def notes(node):
    return "; ".join(note["text"] for note in node.get("node", "node")["state"]["notes"] if note["feature"] == "trunk")


def test_without_vhost_net(t):
    """Where the kernel has none, --trunk vhost-net says so, and all of the node that needs no trunk works."""
    try:
        os.close(os.open("/dev/vhost-net", os.O_RDWR))
    except OSError:
        pass
    else:
        raise Skip("this kernel has vhost-net")
    node = trunk_node(t, trunk="vhost-net")
    assert "/dev/vhost-net: No such file or directory" in notes(node), notes(node)
    assert not trunk_of(node) and "slc0" not in links()
    d, e = host(t, node, "d", 50, vlan=100), host(t, node, "e", 51, vlan=100)
    d.ping(e.addr)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    a.ping(b.addr)

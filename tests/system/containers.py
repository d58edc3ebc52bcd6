#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A whole node with containers: sluiced with its trunk, and namespaces whose netdevs it makes.

    node = trunk_node(t)                             a daemon with slc0 and a bpf-dir of its own
    a = container(node, "a", 1, vlan=100)            namespace a, port a in it with 10.0.0.1/24
    d = host(t, node, "d", 50, vlan=100)             a host behind an af-packet port: beyond the trunk

          netns a            the node's namespace                                             netns d
         +-------+      +-----------------------------------------------------------+        +-------+
         | eth0 === veth === slcXXXX.2 -- tc --- slc0 === slc0-dp -- sluiced -- d ======veth=== eth0  |
         +-------+      +-----------------------------------------------------------+        +-------+
"""

import json
import os
import time

import frames
from engine import Container
from harness import DEADLINE_S, run

SUBNET = "10.0.0."


def trunk_node(t, name="node", netns=None, **options):
    """
    `ip netns exec` mounts a fresh /sys over the one with our pins on it. So they are elsewhere, where both a daemon in a namespace and the
    test see them.
    """
    base = "/run/bpf"
    if not os.path.ismount(base):
        os.makedirs(base, exist_ok=True)
        run("mount", "-t", "bpf", "bpf", base)
    return t.node(name, netns, **{"trunk": "veth", "bpf_dir": f"{base}/{name}", **options})


def cleanup(node):
    """sluiced --cleanup, as an operator calls it."""
    program = os.path.join(node.test.build, "sluiced")
    return run(program, "--config", node.options["config"], "--bpf-dir", node.options["bpf_dir"], "--cleanup", netns=node.netns)


def attrs_of(c, number, **attrs):
    """The attributes of a container's port; those given win, and None leaves one out."""
    own = {"kind": "veth", "netns": c.name, "ifname": "eth0", "mac": c.mac, "addr": [f"{SUBNET}{number}/24"]}
    return {key: value for key, value in {**own, **attrs}.items() if value is not None}


def container(node, name, number, **attrs):
    """A namespace, and a port of the same name in it; the last byte of its address is `number`."""
    c = Container(name)
    c.addr = f"{SUBNET}{number}"
    node.add_port(name, **attrs_of(c, number, **attrs))
    return c


def host(t, node, name, number, **attrs):
    """A host on a cable, behind an af-packet port of the switch."""
    h = t.endpoint(name, addr=[f"{SUBNET}{number}/24"], node_netns=node.netns)
    h.addr = f"{SUBNET}{number}"
    node.attach(h, **attrs)
    node.wait_link(name)
    return h


def links(netns=None):
    """Names of the netdevs of a namespace."""
    return {link["ifname"] for link in json.loads(run("ip", "-j", "link", "show", netns=netns).stdout)}


def unreachable(c, addr):
    return c.run("ping", "-q", "-c", "1", "-W", "1", addr, check=False).returncode == 1


def ours(wire):
    """The test's own frames among those that are here."""
    return [f.raw for f in wire.drain() if f.ethertype == frames.ETH_TEST]


def hears_once(wire, sent, who):
    """The frames that come to a wire are those that were sent, in order, each once. What follows the last is not waited for: see ours()."""
    got, end = [], time.monotonic() + DEADLINE_S
    while not got or got[-1] != sent[-1]:
        frame = wire.recv(end, lambda f: f.ethertype == frames.ETH_TEST)
        assert frame, f"{who}: {got}"
        got.append(frame.raw)
    assert got == sent, f"{who}: {got}"

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs over the switch: ping and iperf3 between namespaces, dpdk-testpmd on memif."""

import os

from harness import DEADLINE_S, alone, deadline, ip_batch, iperf3, need, run, wait_for
from measure import own_the_cpu
from testpmd import Testpmd

SIZES = (0, 56, 1472)


def _socket_full(end):
    """UDP datagrams that arrived at a host and found their socket without room."""
    names, values = (line.split() for line in end.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("RcvbufErrors")])


def _talk(a, b, node=None, seconds=2):
    """Pings of several sizes over IPv4 and IPv6, TCP both ways, UDP. Checksums that were never completed show here."""
    for addr in (b.ip4, b.ip6):
        for size in SIZES:
            a.ping(addr, count=3, size=size - 20 if ":" in addr and size > 100 else size)
    need("iperf3")
    own_the_cpu()
    for args in ([], ["-R"], ["-6"]):
        result = iperf3(b, a, b.ip6 if "-6" in args else b.ip4, *args, seconds=seconds)
        received = result["end"]["sum_received"]["bits_per_second"]
        assert received > 10e6, f"TCP {args}: {received / 1e6:.1f} Mbit/s"
    full = _socket_full(b)
    udp = iperf3(b, a, b.ip4, "-u", "-b", "20M", "-l", "1200", seconds=seconds)["end"]["sum"]
    # What found the receiver's own socket full, who had no CPU, has come all the way.
    lost = udp["lost_packets"] - (_socket_full(b) - full)
    assert lost < udp["packets"] / 100, f"UDP at 20 Mbit/s: {lost} of {udp['packets']} lost on the way, {udp['lost_packets']} in all"
    if node:
        drops = node.port_stats(a.name)["drops"]
        assert not {"malformed", "tx-offload", "runt", "bad-descriptor"} & set(drops), drops


def _host(t, name, number, **kw):
    end = t.endpoint(name, addr=[f"10.0.0.{number}/24", f"fd00::{number}/64"], **kw)
    end.ip4, end.ip6 = f"10.0.0.{number}", f"fd00::{number}"
    return end


@alone("offers load")
@deadline(90)
def test_af_packet_access_ports(t):
    """Two containers on access ports, their offloads on, as containers are."""
    node = t.node()
    a, b = _host(t, "a", 1), _host(t, "b", 2)
    for end in (a, b):
        node.attach(end, vlan=100)
    _talk(a, b, node)


@alone("offers load")
@deadline(90)
def test_af_xdp_access_ports(t):
    """The same over AF_XDP sockets, and from AF_XDP to af-packet."""
    node = t.node()
    a, b, c = _host(t, "a", 1, offload=False), _host(t, "b", 2, offload=False), _host(t, "c", 3)
    for end in (a, b):
        node.add_port(end.name, kind="af-xdp", ifname=end.name, vlan=100)
    node.attach(c, vlan=100)
    _talk(a, b, node, seconds=1)
    _talk(a, c, node, seconds=1)


@deadline(90)
def test_tap_port(t):
    """The node's own stack on a tap port, with a container on the other side."""
    node = t.node()
    b = _host(t, "b", 2)
    node.add_port("tap", kind="tap", ifname="tap-host", vlan=100)
    node.attach(b, vlan=100)
    run("ip", "netns", "add", "host")
    ip_batch("link set dev tap-host netns host")
    ip_batch("link set lo up", "link set dev tap-host up", "addr add 10.0.0.1/24 dev tap-host", netns="host")
    run("ping", "-q", "-i", "0.01", "-c", 10, "-w", DEADLINE_S, "10.0.0.2", netns="host", seconds=2 * DEADLINE_S)
    b.ping("10.0.0.1", count=10)


def _chain(t, *nodes):
    """Nodes of these names in a row, with a cable A-B to B-A between neighbours."""
    running = [t.node(name=name, netns=None) for name in nodes]
    cables = [(f"{a}-{b}", f"{b}-{a}") for a, b in zip(nodes, nodes[1:])]
    for left, right in cables:
        ip_batch(
            f"link add name {left} type veth peer name {right}", f"link set dev {left} up", f"link set dev {right} up"
        )
    return running


@alone("offers load")
@deadline(120)
def test_between_two_nodes_over_a_trunk(t):
    """Access port, trunk, cable, trunk, access port: TCP, UDP and ping across two daemons."""
    n1, n2 = _chain(t, "n1", "n2")
    a, b = _host(t, "a", 1), _host(t, "b", 2)
    n1.add_port("trunk", kind="af-packet", ifname="n1-n2", vlan_mode="trunk", trunks=[100])
    n2.add_port("trunk", kind="af-packet", ifname="n2-n1", vlan_mode="trunk", trunks=[100])
    n1.attach(a, vlan=100)
    n2.attach(b, vlan=100)
    _talk(a, b, n1, seconds=1)


@alone("offers load")
@deadline(120)
def test_through_a_provider_tunnel(t):
    """Customer trunks meet over a provider's node, whose tunnel ports carry VLAN 10 of one customer inside VLAN 100."""
    c1, p, c2 = _chain(t, "c1", "p", "c2")
    a, b = _host(t, "a", 1), _host(t, "b", 2)
    for node, cable, end in ((c1, "c1-p", a), (c2, "c2-p", b)):
        node.add_port("up", kind="af-packet", ifname=cable, vlan_mode="trunk", trunks=[10], mtu=1504)
        node.attach(end, vlan=10)
    for cable in ("p-c1", "p-c2"):
        p.add_port(cable, kind="af-packet", ifname=cable, vlan_mode="dot1q-tunnel", vlan=100, cvlans=[10])
    _talk(a, b, c1, seconds=1)
    assert {(e["vlan"], e["mac"]) for e in p.fdb()} == {(100, a.mac), (100, b.mac)}


# --- dpdk-testpmd -------------------------------------------------------------------------------------------------------------


@alone("offers load")
@deadline(90)
def test_testpmd_generates_and_io_forwards_over_memif(t):
    """One testpmd generates on two memif ports and takes what comes, another forwards between two more: both ways at once."""
    need("dpdk-testpmd")
    node = t.node()
    path = {name: os.path.join(node.dir, f"{name}.memif") for name in ("gen", "io0", "io1", "sink")}
    # gen <-> io0 in VLAN 100, io forwards between io0 and io1, io1 <-> sink in VLAN 200; gen's testpmd has gen and sink.
    for name, vlan in (("gen", 100), ("io0", 100), ("io1", 200), ("sink", 200)):
        node.add_port(name, kind="memif", path=path[name], vlan=vlan)
    memif = "net_memif{},role=client,id=0,socket={},socket-abstract=no,mac={}"
    io = Testpmd(t, "io", [memif.format(0, path["io0"], "02:00:00:00:00:01"), memif.format(1, path["io1"], "02:00:00:00:00:02")])
    gen = Testpmd(t, "gen", [memif.format(0, path["gen"], "02:00:00:00:00:03"), memif.format(1, path["sink"], "02:00:00:00:00:04")],
                  "--eth-peer=0,02:00:00:00:00:01")
    node.wait_link(*path)
    io.command("set fwd io")
    io.command("start")
    gen.command("set fwd flowgen")
    gen.command("start")
    for end in ("gen", "sink"):
        wait_for(lambda port=end: node.port_stats(port)["tx_frames"] > 100_000, f"100000 frames at {end}", seconds=3 * DEADLINE_S)
    gen.command("stop")
    io.command("stop")
    for end in (0, 1):
        assert gen.counter(end, "RX-packets") > 90_000
        assert gen.counter(end, "RX-errors") == 0
    for peer in (gen, io):
        peer.kill()
    for name in path:
        wait_for(lambda port=name: node.get("port", port)["state"]["link"] == "down", f"{name} has lost its peer")


@alone("offers load")
@deadline(90)
def test_memif_peer_comes_and_goes(t):
    """A memif peer killed in full flow and started again is served again, three times, beside a quiet neighbour."""
    need("dpdk-testpmd")
    node = t.node()
    a, b = _host(t, "a", 1), _host(t, "b", 2)
    for end in (a, b):
        node.attach(end, vlan=100)
    path = os.path.join(node.dir, "m.memif")
    node.add_port("m", kind="memif", path=path, vlan=200)
    node.add_port("n", kind="memif", path=os.path.join(node.dir, "n.memif"), vlan=200)
    for i in range(3):
        peer = Testpmd(t, f"peer{i}", [f"net_memif0,role=client,id=0,socket={path},socket-abstract=no"], "--forward-mode=txonly")
        node.wait_link("m")
        seen = node.port_stats("m")["rx_frames"]
        peer.command("start")
        wait_for(lambda n=seen: node.port_stats("m")["rx_frames"] > n + 10_000, "frames come in")
        peer.kill()
        wait_for(lambda: node.get("port", "m")["state"]["link"] == "down", "its end is noticed")
    a.ping(b.ip4, count=5)

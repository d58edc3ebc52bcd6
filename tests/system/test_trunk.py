#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The trunk's backends: each carries the same, its netdev outlives the daemon with what an operator put on it, and one does not take another's."""

import json
import os
import subprocess

from containers import cleanup, container, host, links, trunk_node, unreachable
from harness import DEADLINE_S, Refused, alone, deadline, iperf3, run

WHOLE = 1_000_000  # bytes that TCP must carry in a second to be called whole
HOST = "10.0.0.100"


def shown(node):
    return node.get("node", "node")["state"]["trunk"]


def ifindex():
    return json.loads(run("ip", "-j", "link", "show", "slc0").stdout)[0]["ifindex"]


def feature(ifname, name):
    lines = run("ethtool", "-k", ifname).stdout.splitlines()
    return next(line for line in lines if line.strip().startswith(name + ":")).split(":")[1].split()[0] == "on"


def give_the_host_an_address(node):
    node.set_port("slc0", vlan=100)
    run("ip", "addr", "add", f"{HOST}/24", "dev", "slc0")
    run("ip", "route", "add", "10.9.0.0/16", "via", "10.0.0.1", "dev", "slc0")


def still_has_it():
    return f"{HOST}/24" in run("ip", "addr", "show", "slc0").stdout and "10.9.0.0/16" in run("ip", "route").stdout


def carries(node, a, d, b):
    """Pings of all sizes and TCP both ways between container a and host d beyond the trunk; b in another VLAN is not reached."""
    for size in (0, 56, 1472, 4000):
        a.ping(d.addr, count=3, size=size)
        d.ping(a.addr, count=3, size=size)
    assert unreachable(b, d.addr) and unreachable(d, b.addr)
    for server, client in ((d, a), (a, d)):
        result = iperf3(server, client, server.addr, seconds=1)
        print(f"{client.name} to {server.name}: {result['end']['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")
        assert result["end"]["sum_received"]["bytes"] > WHOLE, client.name
    result = iperf3(d, a, d.addr, "-u", "-b", "20M", "-l", "1200", seconds=1)
    assert result["end"]["sum"]["packets"] - result["end"]["sum"]["lost_packets"] > 1000, result["end"]["sum"]
    for port in ("slc0", "a", "d"):
        assert not {"malformed", "tx-offload", "tx-error", "rx-error"} & set(node.port_stats(port)["drops"]), node.port_stats(port)


def nobody_else_is_let_on(node):
    """The netdev and the far end that it has as a pair are the trunk's, whatever it is made as."""
    for kind in ("af-packet", "af-xdp", "tap"):
        for ifname in ("slc0", "slc0-dp"):
            try:
                node.add_port("p", kind=kind, ifname=ifname)
            except Refused as r:
                assert r.name == "in-use" and f"ifname {ifname} is taken by port slc0" in r.message, r
            else:
                raise AssertionError(f"{kind} was let onto {ifname}")


class _Here:
    """The node's own namespace, as a client of iperf3()."""

    run = staticmethod(run)


def backend(t, by, offload):
    """All that is asked of each."""
    before = links()
    node = trunk_node(t, trunk=by)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=200)
    d = host(t, node, "d", 50, vlan=100)
    assert shown(node) == {"name": "slc0", "by": by, "why": "as configured"}, shown(node)
    assert f"\nby                 {by}\n" in node.ctl("node", "show", json_output=False)
    assert feature("slc0", "tx-checksumming") == feature("slc0", "tcp-segmentation-offload") == offload
    assert a.run("ethtool", "-k", "eth0").stdout.count("segmentation-offload: on") >= 2, "containers keep theirs"
    nobody_else_is_let_on(node)
    carries(node, a, d, b)
    assert (node.port_stats("slc0")["segmented"] == 0) == offload, "requests cross where they can"
    give_the_host_an_address(node)
    for x in (a, d):
        x.ping(HOST, count=5)
        assert iperf3(x, _Here, x.addr, seconds=1)["end"]["sum_received"]["bytes"] > WHOLE
    assert unreachable(b, HOST)
    index = ifindex()
    node.kill9()
    a.ping(HOST, count=3)
    assert still_has_it()
    node.start()
    node.wait_link("d", "slc0")
    for x in (a, d):
        x.ping(HOST, count=3)
    a.ping(d.addr, count=3)
    node.stop()
    node.options["trunk"] = "auto"
    node.start()
    node.wait_link("d", "slc0")
    assert still_has_it() and ifindex() == index
    for x in (a, d):
        x.ping(HOST, count=3)
    a.ping(d.addr, count=3)
    node.stop()
    cleanup(node)
    assert links() - {"d"} == before, links()
    assert "slc" not in run("tc", "qdisc", "show").stdout


@alone("offers load")
@deadline(120)
def test_veth(t):
    """A veth pair and packet sockets."""
    backend(t, "veth", True)


@alone("offers load")
@deadline(120)
def test_veth_xdp(t):
    """The pair and XDP sockets: frames are finished on slc0, and their tags are in them."""
    backend(t, "veth-xdp", False)


@alone("offers load")
@deadline(120)
def test_tap(t):
    """A tap that stays."""
    backend(t, "tap", True)


@deadline(120)
def test_mtu(t):
    """`port set slc0 mtu=` widens each as far as it goes, in both directions and over a kill; what is beyond is refused and changes nothing."""
    for by, mtu in (("veth", 9000), ("tap", 9000), ("veth-xdp", 3300)):
        node = trunk_node(t, by, trunk=by)
        a = container(node, f"a-{by}", 1, vlan=100, mtu=mtu)
        d = t.endpoint(f"d-{by}", addr=["10.0.0.50/24"], mtu=mtu)
        node.attach(d, vlan=100, mtu=mtu)
        node.wait_link(d.name)
        whole = ["ping", "-q", "-M", "do", "-c", "1", "-w", DEADLINE_S, "-s", mtu - 28]
        assert a.run("ping", "-q", "-M", "do", "-c", "1", "-W", "1", "-s", mtu - 28, "10.0.0.50", check=False).returncode == 1
        node.set_port("slc0", mtu=mtu)
        assert node.get("port", "slc0")["state"]["mtu"] == mtu
        for _ in range(2):
            a.run(*whole, "10.0.0.50", seconds=2 * DEADLINE_S)
            d.run(*whole, "10.0.0.1", seconds=2 * DEADLINE_S)
            node.kill9()
            node.start()
            node.wait_link("slc0", d.name)
        a.run(*whole, "10.0.0.50", seconds=2 * DEADLINE_S)
        if by == "veth-xdp":
            try:
                node.set_port("slc0", mtu=9000)
            except Refused as refusal:
                assert refusal.data["path"].endswith("mtu"), refusal
            else:
                raise AssertionError("taken")
            a.run(*whole, "10.0.0.50", seconds=2 * DEADLINE_S)
        node.stop()
        cleanup(node)


@deadline(120)
def test_another_backend_is_refused_and_the_rest_runs(t):
    """A slc0 of another family keeps what an operator put on it: the log and `node show` say so, and what to do; auto keeps it; --cleanup ends it."""
    for number, (first, second) in enumerate((("veth", "tap"), ("tap", "veth"), ("tap", "veth-xdp"))):
        name = str(number)
        node = trunk_node(t, f"node{name}", trunk=first)
        a, b = (container(node, f"{x}{name}", i, vlan=100) for i, x in enumerate("ab", 1))
        e, f = (host(t, node, x + name, 50 + i, vlan=100) for i, x in enumerate("ef"))
        give_the_host_an_address(node)
        node.stop()
        node.options["trunk"] = second
        node.start()
        text = next(n["text"] for n in node.get("node", "node")["state"]["notes"] if n["feature"] == "trunk")
        assert second in text and "--cleanup" in text and "--trunk auto" in text, text
        assert text in node.log_text() and shown(node) is None
        assert text.split(";")[0] in node.ctl("node", "show", json_output=False)
        assert node.get("port", "slc0")["error"]["name"] == "in-use", node.get("port", "slc0")
        node.wait_link(e.name, f.name)
        e.ping(f.addr)
        a.ping(b.addr)
        assert still_has_it()
        node.stop()
        node.options["trunk"] = "auto"
        node.start()
        node.wait_link("slc0")
        assert still_has_it() and shown(node)["by"].startswith(first), shown(node)
        e.ping(a.addr)
        e.ping(HOST)
        node.stop()
        cleanup(node)
        node.options["trunk"] = second
        node.start()
        node.wait_link("slc0")
        assert shown(node)["by"] == second and not still_has_it()
        node.stop()
        cleanup(node)


@alone("offers load")
@deadline(120)
def test_backends_on_a_pair_take_each_others_over(t):
    """From packet sockets to XDP sockets and back, also from a killed daemon: addresses stay, and offloads are as the backend can."""
    node = trunk_node(t, trunk="veth")
    a, d = container(node, "a", 1, vlan=100), host(t, node, "d", 50, vlan=100)
    give_the_host_an_address(node)
    for by, end in (("veth-xdp", node.stop), ("veth", node.kill9), ("veth-xdp", node.kill9), ("veth-xdp", node.kill9), ("veth", node.stop)):
        end()
        node.options["trunk"] = by
        node.start()
        node.wait_link("d", "slc0")
        assert shown(node)["by"] == by and still_has_it()
        assert feature("slc0", "tx-checksumming") == feature("slc0", "tx-vlan-offload") == (by == "veth"), by
        for x in (a, d):
            x.ping(HOST, count=2)
        assert iperf3(d, a, d.addr, seconds=1)["end"]["sum_received"]["bytes"] > WHOLE


def test_automatic_choice(t):
    """Where nothing is there auto takes the first of the table that the kernel has, and says what those before it lack."""
    node = trunk_node(t, trunk="auto")
    found = shown(node)
    assert found["name"] == "slc0" and found["why"], found
    a, d = container(node, "a", 1, vlan=100), host(t, node, "d", 50, vlan=100)
    a.ping(d.addr)
    refused = subprocess.run([os.path.join(t.build, "sluiced"), "--trunk", "kmod", "--check"], capture_output=True, text=True, check=False)
    assert refused.returncode and "trunk kmod: not one of auto, none," in refused.stderr, refused


def test_a_client_cannot_make_a_second_trunk(t):
    """A port of kind trunk by another name lacks its device; the netdev of that name is not touched, and the trunk goes on being one."""
    node = trunk_node(t, trunk="auto")
    a, d = container(node, "a", 1, vlan=100), host(t, node, "d", 50, vlan=100)
    run("ip", "link", "add", "their0", "type", "veth", "peer", "name", "their1")
    node.add_port("their0", kind="trunk", ifname="their1")
    assert node.get("port", "their0")["error"]["name"] == "no-such-device", node.get("port", "their0")
    assert "clsact" not in run("tc", "qdisc", "show", "dev", "their0").stdout
    a.ping(d.addr)
    node.del_port("their0")
    a.ping(d.addr)
    assert "clsact" in run("tc", "qdisc", "show", "dev", "slc0").stdout


def test_anothers_netdev_is_left_alone(t):
    """A netdev of the trunk's name that is not ours, of either family: no trunk, with the reason, and nothing is changed on it."""
    run("ip", "tuntap", "add", "dev", "slc0", "mode", "tap", "multi_queue", "vnet_hdr")
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "slc0")
    for by in ("auto", "tap", "veth"):
        node = trunk_node(t, f"n-{by}", trunk=by)
        text = next(n["text"] for n in node.get("node", "node")["state"]["notes"] if n["feature"] == "trunk")
        assert "somebody else's" in text, text
        error = node.get("port", "slc0")["error"]
        assert (error["name"], error["message"]) == ("in-use", "slc0 is somebody else's netdev"), error
        node.stop()
        cleanup(node)
    assert "192.0.2.1/24" in run("ip", "addr", "show", "slc0").stdout
    assert not json.loads(run("ip", "-j", "link", "show", "slc0").stdout)[0].get("ifalias")

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""IPAM by DHCP: sluice-cni, the dhcp plugin and its daemon, and a DHCP server that is one of the node's own containers, or beyond the trunk.

    runtime -- sluice-cni -- /usr/lib/cni/dhcp -- its daemon --eth0 of box-- port in VLAN 100 -- dnsmasq
"""

import concurrent.futures
import json
import os
import re
import subprocess
import time

import frames
from containers import container, host, links, trunk_node
from harness import DEADLINE_S, deadline, need, run, until, wait_for
from test_cni import IPAM_DIR, Cni, only
from wire import Wire

LEASE_S = 120


class Dhcp(Cni):
    """A node with a trunk, the plugin, and its daemon with a socket of the test's own."""

    def __init__(self, t, *daemon_options):
        need("dnsmasq", f"{IPAM_DIR}/dhcp")
        super().__init__(t, real=False)
        self.sluiced = trunk_node(t)
        self.sluiced.add_vlan(100)
        self.socket = os.path.join(t.tmp, "dhcp.sock")
        self.daemon_log = os.path.join(t.tmp, "dhcp.log")
        with open(self.daemon_log, "wb") as log:
            argv = [f"{IPAM_DIR}/dhcp", "daemon", "-socketpath", self.socket, "-pidfile", os.path.join(t.tmp, "dhcp.pid"), *daemon_options]
            self.daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(self.socket), "the plugin's daemon")
        self.server = None

    def serve(self, netns):
        """A DHCP server in there, for 10.0.0.50 to 59: dnsmasq."""
        leases = os.path.join(self.t.tmp, f"leases-{netns}")
        self.log = os.path.join(self.t.tmp, f"dnsmasq-{netns}.log")
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping",
                f"--dhcp-range=10.0.0.50,10.0.0.59,255.255.255.0,{LEASE_S}", "--dhcp-option=3,10.0.0.1", "--dhcp-authoritative", "--log-dhcp",
                f"--dhcp-leasefile={leases}", "--pid-file=", f"--log-facility={self.log}"]
        self.server = subprocess.Popen(["ip", "netns", "exec", netns, *argv], stdin=subprocess.DEVNULL)
        self.wait_said("DHCP, IP range")

    def serve_short(self, netns, lease_s):
        """Another, whose leases may be short: busybox's."""
        conf, self.log = (os.path.join(self.t.tmp, f"{name}-{netns}") for name in ("udhcpd.conf", "udhcpd.log"))
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"start 10.0.0.50\nend 10.0.0.59\ninterface eth0\noption subnet 255.255.255.0\noption router 10.0.0.1\noption lease {lease_s}\n"
                    f"lease_file {self.t.tmp}/leases\npidfile {self.t.tmp}/udhcpd.pid\n")
        with open(self.log, "wb") as log:
            self.server = subprocess.Popen(["ip", "netns", "exec", netns, "busybox", "udhcpd", "-f", conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_said("started")

    def said(self, what):
        """How often the server has."""
        if not os.path.exists(self.log):
            return 0
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read().count(what)

    def wait_said(self, what, times=1):
        wait_for(lambda: self.said(what) >= times, f"the server says {what!r}", seconds=2 * DEADLINE_S)

    def conf(self, version="1.0.0", **kw):
        return super().conf(version, **{"socket": self.sluiced.socket, "ipam": {"type": "dhcp", "daemonSocketPath": self.socket}, **kw})

    def ports(self):
        return {o["name"]: o for o in self.sluiced.call("get", {"object": "port"})["objects"] if o["owner"] == "cni"}

    def clean(self):
        assert not self.ports() and not self.inner(), self.ports()


def leased(c, server):
    """The life of an attachment: ADD gets a lease and holds the container to it, CHECK agrees, DEL gives it back to the server."""
    conf = c.conf()
    result = c.call("ADD", conf)
    address = result["ips"][0]["address"]
    addr = address.split("/", maxsplit=1)[0]
    assert re.fullmatch(r"10\.0\.0\.5\d/24", address) and result["ips"][0]["gateway"] == "10.0.0.1", result
    name, port = only(c.ports())
    assert port["attrs"]["ips"] == [addr] and port["attrs"]["addr"] == [address] and port["error"] is None, port
    assert port["attrs"]["gateway"] == ["10.0.0.1"] and port["attrs"]["mac"] == c.inner()["address"] == result["interfaces"][1]["mac"]
    assert [a["local"] for a in c.inner()["addr_info"] if a["family"] == "inet"] == [addr]
    assert "default via 10.0.0.1 dev eth0" in run("ip", "route", netns="box").stdout
    run("ping", "-q", "-c", "3", "-i", "0.01", "-w", DEADLINE_S, server.addr, netns="box", seconds=2 * DEADLINE_S)
    assert (c.said("DHCPOFFER"), c.said("DHCPACK")) == (1, 1)
    held_to(c, name, port["attrs"]["mac"], addr, server)
    assert c.call("CHECK", {**conf, "prevResult": result}) is None
    assert c.call("DEL", {**conf, "prevResult": result}) is None
    c.wait_said("DHCPRELEASE")
    c.clean()
    assert c.call("DEL", conf) is None


def held_to(c, name, mac, addr, server):
    """With a lease: not another address, nor none, but a DHCP request as a client without one sends it."""
    box, far = Wire("eth0", netns="box"), server.wire()
    for source in ("10.0.0.99", "0.0.0.0"):
        before = c.sluiced.drops(name, "spoof-ipv4")
        box.send(frames.eth(server.mac, mac, [], frames.ETH_IPV4, frames.udp(source, server.addr, 1, 2, b"")))
        wait_for(lambda: c.sluiced.drops(name, "spoof-ipv4") == before + 1, f"{source} is refused")  # pylint: disable=cell-var-from-loop
    discover = frames.eth(frames.BROADCAST, mac, [], frames.ETH_IPV4, frames.udp("0.0.0.0", "255.255.255.255", 68, 67, b"not really"))
    box.send(discover)
    marker = frames.eth(frames.BROADCAST, mac, [], frames.ETH_TEST, b"marker" + bytes(60))
    assert discover in [f.raw for f in until(box, marker, far)], f"the request, from {addr}"


@deadline(120)
def test_a_lease_from_a_container(t):
    """The server is a container of the same node; the offer is unicast. And once more, after the first lease was given back."""
    c = Dhcp(t)
    server = container(c.sluiced, "server", 1, vlan=100, ips=["10.0.0.1"])
    c.serve("server")
    leased(c, server)
    assert c.call("ADD", c.conf())["ips"]
    c.call("DEL", c.conf())
    c.clean()


@deadline(120)
def test_a_lease_from_beyond_the_trunk(t):
    """The server is a host behind a port of the switch; the client asks for a broadcast offer."""
    c = Dhcp(t, "-broadcast")
    server = host(t, c.sluiced, "server", 1, vlan=100)
    c.serve("server")
    leased(c, server)


@deadline(120)
def test_unicast_offers_cross_the_trunk(t):
    """The same with an offer to the container's own address, which it does not have yet."""
    c = Dhcp(t)
    server = host(t, c.sluiced, "server", 1, vlan=100)
    c.serve("server")
    leased(c, server)


@deadline(120)
def test_a_lease_is_renewed(t):
    """The plugin's daemon asks again when half the time is over: anti-spoofing lets it, and the container keeps its address."""
    c = Dhcp(t)
    server = host(t, c.sluiced, "server", 1, vlan=100)
    c.serve_short("server", 4)
    addr = c.call("ADD", c.conf())["ips"][0]["address"].split("/", maxsplit=1)[0]
    c.wait_said(f"sending ACK to {addr}", 3)
    name, _ = only(c.ports())
    assert c.said("sending OFFER") == 1 and not c.sluiced.drops(name, "spoof-ipv4")
    run("ping", "-q", "-c", "3", "-i", "0.01", "-w", DEADLINE_S, server.addr, netns="box", seconds=2 * DEADLINE_S)
    c.call("DEL", c.conf())
    c.clean()


@deadline(120)
def test_gc_gives_leases_back(t):
    """
    Containers whose namespace is gone, and of which nobody said DEL: GC has the server told that their addresses are free, and takes their ports. A
    valid one keeps both.
    """
    c = Dhcp(t)
    host(t, c.sluiced, "server", 1, vlan=100)
    c.serve("server")
    before = links()
    boxes = {box: f"{box}-{'0123456789abcdef' * 3}" for box in ("dead1", "dead2", "alive")}
    for box, container_id in boxes.items():
        run("ip", "netns", "add", box)
        c.call("ADD", c.conf("1.1.0"), CNI_CONTAINERID=container_id, CNI_NETNS=f"/run/netns/{box}")
    for box in ("dead1", "dead2"):
        run("ip", "netns", "del", box)
    conf = c.conf("1.1.0", **{"cni.dev/valid-attachments": [{"containerID": boxes["alive"], "ifname": "eth0"}]})
    assert c.call("GC", conf, CNI_CONTAINERID=None, CNI_NETNS=None, CNI_IFNAME=None) is None
    c.wait_said("DHCPRELEASE", 2)
    assert only(c.ports())[1]["attrs"]["label"] == boxes["alive"]
    c.call("DEL", c.conf("1.1.0"), CNI_CONTAINERID=boxes["alive"], CNI_NETNS="/run/netns/alive")
    c.wait_said("DHCPRELEASE", 3)
    assert not c.ports()
    wait_for(lambda: links() == before, "no netdev is left")


@deadline(120)
def test_while_it_asks(t):
    """No server yet: the container is there, may ask, and may speak from no address; then the server comes, and ADD goes on to its end."""
    c = Dhcp(t)
    server = container(c.sluiced, "server", 1, vlan=100)
    far = server.wire()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        add = pool.submit(c.call, "ADD", c.conf())
        asked = far.recv(time.monotonic() + 2 * DEADLINE_S, lambda f: f.ethertype == frames.ETH_IPV4)
        assert asked and asked.raw[23] == 17 and asked.raw[26:30] == bytes(4), asked
        name, port = only(c.ports())
        assert port["attrs"]["ips"] == ["0.0.0.0"] and not port["attrs"].get("addr") and not add.done(), port
        box = Wire("eth0", netns="box")
        box.send(frames.eth(server.mac, port["attrs"]["mac"], [], frames.ETH_IPV4, frames.udp("10.0.0.99", server.addr, 1, 2, b"")))
        wait_for(lambda: c.sluiced.drops(name, "spoof-ipv4") == 1, "refused")
        c.serve("server")
        address = add.result()["ips"][0]["address"]
    assert c.ports()[name]["attrs"]["addr"] == [address]
    c.call("DEL", c.conf())
    c.clean()


def asking(c):
    """An ADD that asks; returns it, and the port."""
    add = c.start("ADD", c.conf())
    wait_for(lambda: c.ports() or add.poll() is not None, "the port")
    assert add.poll() is None
    return add, *only(c.ports())


@deadline(120)
def test_killed_while_it_asks(t):
    """DEL takes the port, and there is no lease."""
    c = Dhcp(t, "-timeout", "1s")
    add, _, port = asking(c)
    assert port["attrs"]["ips"] == ["0.0.0.0"], port
    add.kill()
    add.wait()
    assert c.call("DEL", c.conf()) is None
    c.clean()


@deadline(120)
def test_the_node_is_started_anew_while_it_asks(t):
    """A daemon that is killed and comes again is asked again: ADD ends as if nothing had been."""
    c = Dhcp(t)
    server = host(t, c.sluiced, "server", 1, vlan=100)
    add, name, _ = asking(c)
    c.sluiced.kill9()
    c.sluiced.start()
    c.sluiced.wait_link("server")
    c.serve("server")
    assert add.wait() == 0
    _, port = only(c.ports())
    assert port["name"] == name and port["attrs"]["addr"][0].startswith("10.0.0.5"), port
    run("ping", "-q", "-c", "3", "-i", "0.01", "-w", DEADLINE_S, server.addr, netns="box", seconds=2 * DEADLINE_S)
    c.call("DEL", c.conf())
    c.wait_said("DHCPRELEASE")
    c.clean()


@deadline(120)
def test_nobody_answers(t):
    """No lease in time, or no daemon: ADD fails with the reason, and neither port nor netdev stays."""
    c = Dhcp(t, "-timeout", "1s")
    before = links()
    c.fails("ADD", c.conf(ipamTimeoutMs=1500), 11, "dhcp: not done after 1500 ms")
    c.clean()
    c.daemon.kill()
    c.daemon.wait()
    error = c.fails("ADD", c.conf(), 999, "dhcp")
    assert "dhcp.sock" in json.dumps(error), error
    c.clean()
    assert links() == before


@deadline(120)
def test_without_spoofcheck(t):
    """The container speaks as it likes, before and after, and its lease is its address all the same."""
    c = Dhcp(t)
    container(c.sluiced, "server", 1, vlan=100)
    c.serve("server")
    conf = c.conf(spoofcheck=False)
    address = c.call("ADD", conf)["ips"][0]["address"]
    _, port = only(c.ports())
    assert not port["attrs"].get("ips") and port["attrs"]["addr"] == [address], port
    c.call("DEL", conf)
    c.clean()


@deadline(120)
def test_many_ask_at_once(t):
    """Containers of one VLAN that ask at the same time, all of them without an address: each gets its own, and the network is not told of 0.0.0.0."""
    c = Dhcp(t)
    server = host(t, c.sluiced, "server", 1, vlan=100)
    far = server.wire()
    c.serve("server")
    boxes = [f"many{i}" for i in range(6)]
    for box in boxes:
        run("ip", "netns", "add", box)

    def one(command, box):
        return c.call(command, c.conf(), CNI_CONTAINERID=box, CNI_NETNS=f"/run/netns/{box}")

    with concurrent.futures.ThreadPoolExecutor(len(boxes)) as pool:
        results = list(pool.map(lambda box: one("ADD", box), boxes))
        assert len({r["ips"][0]["address"] for r in results}) == len(boxes), results
        for box in boxes:
            run("ping", "-q", "-c", "1", "-w", DEADLINE_S, server.addr, netns=box, seconds=2 * DEADLINE_S)
        list(pool.map(lambda box: one("DEL", box), boxes))
    assert not [f for f in far.drain() if f.ethertype == frames.ETH_ARP and f.payload[24:28] == bytes(4)]
    assert not c.ports()

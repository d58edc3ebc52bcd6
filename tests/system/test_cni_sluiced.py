#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sluice-cni before the daemon that it is for: what it makes is really there, what is accepted is waited for, what is left is made anew."""

import concurrent.futures
import json
import re
import signal
import subprocess
import time

from frames import ETH_TEST
from harness import DEADLINE_S, added, run, test_frame, wait_for
from test_cni import IPAM_DIR, Cni, many, only
from wire import Wire

ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "192.168.7.0/24", "gw": "10.9.0.5"}]


class Real(Cni):
    """The plugin, and a sluiced of the test's own with a trunk and a kernel engine."""

    def __init__(self, t, start=True, **options):
        super().__init__(t, real=False)
        self.sluiced = t.node(start=start, **{"trunk": "auto", "bpf_dir": "/sys/fs/bpf/cni", **options})

    def conf(self, version="1.1.0", **kw):
        return super().conf(version, socket=self.sluiced.socket, **kw)

    def ports(self):
        return {o["name"]: o for o in self.sluiced.call("get", {"object": "port"})["objects"] if o["owner"] == "cni"}

    def veths(self):
        """Host ends of containers' pairs. The trunk and the shaper are pairs as well: those are the node's."""
        links = json.loads(run("ip", "-j", "link", "show", "type", "veth").stdout or "[]")
        return {link["ifname"] for link in links if link and re.fullmatch(r"slc[0-9a-f]{4}\.[0-9a-f]+", link["ifname"])}

    def clean(self):
        assert not self.ports() and not self.veths() and not self.inner() and not self.reserved(), (self.ports(), self.veths(), self.reserved())


def test_an_attachment(t):
    """ADD in both current versions: netdev, addresses and routes are in the container, the result names both ends, CHECK agrees, DEL leaves nothing."""
    c = Real(t)
    assert c.call("STATUS", c.conf()) is None
    for version in ("1.0.0", "1.1.0"):
        conf = c.conf(version, ipam=c.host_local(routes=ROUTES), mtu=1400, inBps=10**9)
        result = c.call("ADD", conf)
        host, inner = result["interfaces"]
        name, port = only(c.ports())
        there = c.inner()
        assert {host["name"]} == c.veths() and port["state"]["host_ifname"] == host["name"], (host, port)
        assert inner["mac"] == there["address"] == port["attrs"]["mac"] and there["mtu"] == 1400 and port["attrs"]["in_bps"] == 10**9
        assert port["error"] is None and port["state"]["link"] == "up"
        routes = {r["dst"]: r.get("gateway") for r in json.loads(run("ip", "-j", "route", netns="box").stdout)}
        assert routes["default"] == "10.9.0.1" and routes["192.168.7.0/24"] == "10.9.0.5", routes
        assert c.call("CHECK", {**conf, "prevResult": result}) is None
        # A label is for people and GC: to change it touches nothing.
        assert port["attrs"]["label"] == "c0ffee"
        relabelled = c.sluiced.connect("cni").call("apply", {"ops": [{"op": "set", "object": "port", "name": name, "attrs": {"label": "mine"}}]})
        assert relabelled["applied"] == relabelled["generation"] and only(c.ports())[1]["attrs"] == {**port["attrs"], "label": "mine"}
        assert c.inner() == there and c.call("CHECK", {**conf, "prevResult": result}) is None
        c.sluiced.connect("cni").call("apply", {"ops": [{"op": "del", "object": "port", "name": name}]})
        c.fails("CHECK", {**conf, "prevResult": result}, 102, "eth0")
        assert c.call("DEL", {**conf, "prevResult": result}) is None
        c.clean()


def test_a_node_without_the_kernel_engine(t):
    """STATUS says not available; an ADD fails at once, saying why, and leaves neither port nor VLAN nor address; DEL and GC find nothing to do."""
    c = Real(t, trunk="none")
    conf = c.conf(ipam=c.host_local(), timeoutMs=600000)
    assert "node show" in c.fails("STATUS", conf, 50, "no ports of kind veth")["details"]
    c.fails("ADD", conf, 101, "no kernel engine")
    assert added(c.sluiced.call("get")) == []
    assert c.call("DEL", conf) is None
    assert c.call("GC", {**conf, "cni.dev/valid-attachments": []}) is None
    c.clean()


def test_a_refused_add_leaves_nothing(t):
    """A value that the daemon does not take is the configuration's fault, and everything is taken back."""
    c = Real(t)
    c.fails("ADD", c.conf(ipam=c.host_local(), inBps=2**62), 7, "in_bps")
    c.clean()
    assert not c.sluiced.call("get", {"object": "vlan"})["objects"]


def test_a_class(t):
    """`class` of the conflist is the port's: what the container sends carries its code point. One that the node does not have fails and leaves nothing."""
    c = Real(t)
    c.fails("ADD", c.conf(ipam=c.host_local(), **{"class": "gold"}), 101, "class gold: there is none")
    c.clean()
    conf = c.conf(ipam=c.host_local(), **{"class": "online"})
    c.call("ADD", conf)
    assert only(c.ports())[1]["attrs"]["class"] == "online"
    assert c.sluiced.get("class", "online")["state"] == {"members": 1}
    trunk = Wire("slc0-dp")
    Wire("eth0", netns="box").send(test_frame(c.inner()["address"], tags=["8100:0:7:0"]))
    got = trunk.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == ETH_TEST)
    assert got and got.tags[0].split(":")[2] == "4", got
    assert c.call("DEL", conf) is None
    c.clean()


def queued(path):
    """What waits at a Unix socket: connections that are not accepted, bytes that are not read."""
    lines = [line.split() for line in run("ss", "-xaHn").stdout.splitlines() if f" {path} " in line]
    return sum(int(w[2]) for w in lines if w[1] == "LISTEN"), sum(int(w[2]) for w in lines if w[1] == "ESTAB")


def test_a_killed_add_does_not_come_after_its_del(t):
    """What an ADD has asked for when it is killed is still in the daemon's socket when DEL comes. Afterwards there is no port."""
    c = Real(t)
    daemon = c.sluiced.process
    stops = c.plugin("stops", f"#!/bin/sh\n[ $CNI_COMMAND = ADD ] && kill -STOP {daemon.pid}\nexec {IPAM_DIR}/host-local\n")
    conf = c.conf(ipam={**c.host_local(), **stops})
    add = c.start("ADD", conf)
    try:
        wait_for(lambda: queued(c.sluiced.socket)[1], "the request")
        add.kill()
        add.wait()
        delete = c.start("DEL", conf)
        wait_for(lambda: queued(c.sluiced.socket)[0], "DEL's connection")
    finally:
        daemon.send_signal(signal.SIGCONT)
    assert delete.wait() == 0
    c.clean()


def test_an_earlier_life_is_made_anew(t):
    """Nobody said DEL and the namespace went: an ADD that comes to the very same port makes it, before and after the daemon's kill and restart."""
    c = Real(t)
    conf = c.conf(spoofcheck=False)
    c.call("ADD", conf)
    name, first = only(c.ports())
    for restart in (False, True):
        run("ip", "netns", "del", "box")
        wait_for(lambda: c.ports()[name]["state"]["link"] != "up", "the port's loss")
        if restart:
            c.sluiced.kill9()
            c.sluiced.start()
        run("ip", "netns", "add", "box")
        c.call("ADD", conf)
        port = c.ports()[name]
        assert port["attrs"] == first["attrs"] and port["error"] is None and port["state"]["link"] == "up", port
        assert c.inner() and len(c.veths()) == 1, c.veths()
    c.call("DEL", conf)
    c.clean()


def test_accepted_is_waited_for(t):
    """
    The daemon lives in a mount namespace of its own and sees the container's namespace later than the runtime does. ADD waits; when the time is
    over it says what the daemon lacks, and takes back port and address.
    """
    c = Real(t, start=False)
    argv = c.sluiced.argv
    c.sluiced.argv = lambda: ["unshare", "--mount", "--propagation", "private", *argv()]
    run("ip", "netns", "del", "box")
    c.sluiced.start()
    run("ip", "netns", "add", "box")
    conf = c.conf(ipam=c.host_local())
    c.fails("ADD", {**conf, "timeoutMs": 3000}, 11, "/run/netns/box")
    c.clean()
    holder = subprocess.Popen(["ip", "netns", "exec", "box", "cat"], stdin=subprocess.PIPE)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        add = pool.submit(c.call, "ADD", {**conf, "timeoutMs": 2 * DEADLINE_S * 1000})
        wait_for(lambda: any(o["error"] for o in c.ports().values()), "a port that waits")
        assert not add.done() and not c.inner()
        wait_for(lambda: run("readlink", f"/proc/{holder.pid}/ns/net").stdout != run("readlink", "/proc/self/ns/net").stdout, "the holder")
        run("nsenter", "-t", c.sluiced.process.pid, "--mount", "mount", "--bind", f"/proc/{holder.pid}/ns/net", "/run/netns/box")
        assert add.result()["interfaces"][1]["mac"] == c.inner()["address"]
    holder.communicate()
    c.call("DEL", conf)
    c.clean()


def test_many_at_once(t):
    """Containers that start together, more than one user may have clients: each gets its own port and address, and all go again."""
    c = Real(t)
    conf = c.conf(ipam=c.host_local())
    boxes, one = many(c, conf)
    with concurrent.futures.ThreadPoolExecutor(len(boxes)) as pool:
        results = list(pool.map(lambda box: one("ADD", box), boxes))
        assert len({r["ips"][0]["address"] for r in results}) == len(c.ports()) == len(c.veths()) == len(boxes)
        assert all(p["error"] is None for p in c.ports().values())
        list(pool.map(lambda box: one("DEL", box), boxes))
    c.clean()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel engine's life: made, refused, killed, taken over, lost, and gone without a trace."""

import json
import os
import subprocess
import time

import frames
from engine import Container, Engine, Pings, Refused, programs, programs_of
from harness import alone, deadline, run, test_frame, wait_for
from measure import own_the_cpu, within

PORTS = 200


def links(netns=None):
    return {link["ifname"].split("@")[0]: link for link in json.loads(run("ip", "-j", "-d", "addr", "show", netns=netns).stdout)}


def refused(call, errno, name, attr):
    try:
        call()
    except Refused as e:
        assert (e.errno, e.name, e.attr) == (errno, name, attr), e
        assert e.message, e
        return e
    raise AssertionError("not refused")


def test_the_inner_end_is_as_configured(t):
    """Name, MAC, MTU, addresses of both families and default routes are there when the change has returned; and change when they are set anew."""
    e = Engine(t)
    c = Container("c1", ipv6=True)
    e.add_port(
        "c1",
        ifname="net0",
        vlan=100,
        mac="02:00:00:00:00:11",
        mtu=1400,
        addr="10.0.0.11/24,2001:db8::11/64",
        gateway="10.0.0.1,2001:db8::1",
    )
    link = links("c1")["net0"]
    assert link["address"] == "02:00:00:00:00:11" and link["mtu"] == 1400 and "UP" in link["flags"], link
    addrs = {(a["local"], a["prefixlen"]) for a in link["addr_info"]}
    assert {("10.0.0.11", 24), ("2001:db8::11", 64)} <= addrs
    assert not [a for a in link["addr_info"] if a.get("tentative")]
    assert "default via 10.0.0.1 dev net0" in c.run("ip", "route").stdout
    assert "default via 2001:db8::1 dev net0" in c.run("ip", "-6", "route").stdout
    e.add_port("c1", verb="set", ifname="net0", vlan=100, mac="02:00:00:00:00:12", mtu=1500, addr="10.0.1.11/24", gateway="10.0.1.1")
    link = links("c1")["net0"]
    assert link["address"] == "02:00:00:00:00:12" and link["mtu"] == 1500
    assert [a["local"] for a in link["addr_info"] if a["family"] == "inet"] == ["10.0.1.11"]
    assert c.run("ip", "route", "show", "default").stdout.split()[2] == "10.0.1.1"
    assert "default" not in c.run("ip", "-6", "route").stdout
    e.del_port("c1")
    assert "net0" not in links("c1")


def test_by_path_and_by_pid(t):
    """A namespace is found by its path, and by the pid of a process in it."""
    e = Engine(t)
    c = Container("c1")
    e.add_port("p1", netns="/run/netns/c1", ifname="eth0", vlan=100)
    sleeper = c.popen("sleep", "60", stdout=subprocess.DEVNULL)
    wait_for(lambda: os.readlink(f"/proc/{sleeper.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "the process is in there")
    e.add_port("p2", netns=sleeper.pid, ifname="eth1", vlan=100)
    assert {"eth0", "eth1"} <= set(links("c1"))
    sleeper.kill()
    sleeper.wait()
    # What does not concern the netdev can be changed without the process.
    e.add_port("p2", verb="set", netns=sleeper.pid, ifname="eth1", vlan=200)


def test_a_pid_that_has_ended_is_no_loss(t):
    """A port given by a pid is taken over after a restart though the process is gone, as long as its namespace is there."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = Container("b")
    sleeper = b.popen("sleep", "60", stdout=subprocess.DEVNULL)
    wait_for(lambda: os.readlink(f"/proc/{sleeper.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "the process is in there")
    port = {"netns": sleeper.pid, "vlan": 100, "mac": b.mac, "addr": "10.0.0.2/24"}
    e.add_port("b", **port)
    index = e.state("b")["ifindex"]
    sleeper.kill()
    sleeper.wait()
    e.kill9()
    e.start()
    e.add_port("b", **port)
    assert e.state("b")["ifindex"] == index
    a.ping("10.0.0.2")


@alone("counts what a stream loses")
def test_changes_cost_nobody_else_a_frame(t):
    """1,000 pings a second between two containers while others come, change and go, and while their own limits and flags change: none lost."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", ips="10.0.0.1")
    b = e.container("b", vlan=100, addr="10.0.0.2/24", ips="10.0.0.2")
    for i in range(8):
        Container(f"c{i}")
    a.ping("10.0.0.2")
    stream = Pings(t, a, "10.0.0.2", 2000)
    rounds = 0
    while not stream.over():
        e.batch([f"port add c{i} netns=c{i} ifname=eth0 vlan=100 addr=10.0.0.{i + 10}/24 in-bps=1000000 out-bps=1000000" for i in range(8)])
        e.batch([f"port set c{i} netns=c{i} ifname=eth0 vlan=200 addr=10.0.0.{i + 10}/24" for i in range(8)])
        e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24", ips="10.0.0.2", isolated=rounds % 2, in_pps=100_000 + rounds)
        e.batch([f"port del c{i}" for i in range(8)])
        rounds += 1
    stream.check()
    assert rounds >= 2, "the stream was over before much had changed"


def test_bad_input_is_refused_and_leaves_nothing(t):
    """Each mistake has its name, attribute and text, and the node is as it was."""
    e = Engine(t)
    c = Container("c1")
    before = set(links()), set(links("c1"))
    bad = [
        ({"netns": "nowhere"}, "ENOENT", "no-such-namespace", "netns"),
        ({"netns": "/etc/passwd"}, "EINVAL", "no-such-namespace", "netns"),
        ({"netns": os.getpid()}, "EINVAL", "own-namespace", "netns"),
        ({"ifname": "lo"}, "EEXIST", "in-use", "ifname"),
        ({"ifname": "a/b"}, "EINVAL", "invalid", "ifname"),
        ({"addr": "10.0.0.1/33"}, "EINVAL", "out-of-range", "addr"),
        ({"addr": "224.0.0.1/24"}, "EINVAL", "invalid", "addr"),
        ({"addr": "10.0.0.1/24", "gateway": "10.0.1.1"}, "EINVAL", "gateway-outside", "gateway"),
        ({"addr": "10.0.0.1/24", "gateway": "2001:db8::1"}, "EINVAL", "gateway-outside", "gateway"),
        ({"mac": "01:00:00:00:00:01"}, "EINVAL", "invalid", "mac"),
        ({"mtu": 67}, "EINVAL", "out-of-range", "mtu"),
        ({"mtu": 9217}, "EINVAL", "out-of-range", "mtu"),
        ({"vlan": 4095}, "EINVAL", "out-of-range", "vlan"),
        ({"vlan": None, "mode": "native-tagged"}, "EINVAL", "out-of-range", "vlan"),
        ({"mode": "trunk"}, "EINVAL", "conflict", "vlan"),
        ({"static": "02:00:00:00:00:99@200"}, "EINVAL", "conflict", "static_macs"),
        ({"out_bps": 7}, "EINVAL", "out-of-range", "out_bps"),
    ]
    for attrs, errno, name, attr in bad:
        refused(lambda: e.add_port("c1", **{"vlan": 100, **attrs}), errno, name, attr)  # pylint: disable=cell-var-from-loop
        assert (set(links()), set(links("c1"))) == before, attrs
    # The second of a transaction takes the first with it.
    refused(
        lambda: e.batch(["port add p1 netns=c1 ifname=eth0 vlan=100", "port add p2 netns=c1 ifname=eth0 vlan=100"]), "EEXIST", "in-use", "ifname"
    )
    assert (set(links()), set(links("c1"))) == before and not e.call("ports")
    e.add_port("c1", vlan=100, mac=c.mac)
    Container("c2")
    refused(lambda: e.add_port("c2", vlan=100, mac=c.mac), "EEXIST", "in-use", "mac")
    e.add_port("c2", vlan=200, mac=c.mac)
    # What is so already is no mistake; what differs is.
    e.add_port("c1", vlan=100, mac=c.mac)
    refused(lambda: e.add_port("c1", vlan=300, mac=c.mac), "EEXIST", "exists", "")
    refused(lambda: e.set_port("c3", vlan=100), "ENOENT", "no-such-object", "")
    e.del_port("c3")


@alone("measures times")
@deadline(120)
def test_many_containers_in_one_go(t):
    """200 ports in one transaction take under 3 s, one more under 30 ms; all reach each other, and all go at once."""
    e = Engine(t)
    own_the_cpu()
    lines = []
    for i in range(PORTS):
        Container(f"c{i}")
        lines.append(
            f"port add c{i} netns=c{i} ifname=eth0 vlan=100 mac=02:00:00:00:01:{i:02x} addr=10.0.0.{i + 1}/24 ips=10.0.0.{i + 1} gateway=10.0.0.1"
        )
    Container("one")

    def removed():
        print(f"{PORTS} removed in {e.batch([f'port del c{i}' for i in range(PORTS)]):.3f} s")

    def all_of_them():
        if e.call("ports"):
            removed()
        return e.batch(lines)

    def one_more():
        e.del_port("one")
        single = e.add_port("one", vlan=100, mac="02:00:00:00:02:00", addr="10.0.0.250/24", ips="10.0.0.250", in_bps=100_000_000)
        return int(single[-1].split()[1]) / 1e6

    within(3, f"{PORTS} ports in one transaction", all_of_them, tries=3)
    within(0.03, "one more", one_more)
    for i in range(0, PORTS, 10):
        run("ping", "-q", "-c", "1", "-W", "5", f"10.0.0.{(i + 7) % PORTS + 1}", netns=f"c{i}")
    # Nobody was asked by broadcast for an address.
    assert e.stats("c0")["answered"] >= 1 and e.stats("c0")["flooded"] == 0
    removed()
    assert e.call("ports") == ["port one"] and len([n for n in links() if n.startswith("slc")]) == 3


def test_a_namespace_that_goes_makes_a_lost_port(t):
    """The port is lost, told once, its frames are counted; SET makes it anew when the namespace is back."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    a.ping("10.0.0.2")
    run("ip", "netns", "del", "b")
    e.wait_event("b", "lost")
    assert e.state("b")["lost"] == 1 and e.state("b")["link_up"] == 0
    a.wire().send(test_frame(a.mac, dst=b.mac))
    wait_for(lambda: e.drops("b", "tx-down"), "frames to it are counted")
    refused(lambda: e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24"), "ENOENT", "no-such-namespace", "netns")
    Container("b")
    e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24")
    assert e.state("b")["lost"] == 0
    a.ping("10.0.0.2")


@alone("counts what a stream loses")
def test_killed_during_a_ping_stream_nothing_is_lost(t):
    """kill -9 and a new owner during 1,000 pings a second between two containers: none lost; counters go on; anti-spoofing holds meanwhile."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", ips="10.0.0.1")
    e.container("b", vlan=100, addr="10.0.0.2/24", ips="10.0.0.2")
    a.ping("10.0.0.2")
    before = e.stats("a")["tx_frames"]
    stream = Pings(t, a, "10.0.0.2", 3000)
    for _ in range(3):
        e.kill9()
        spoofed = frames.eth(frames.BROADCAST, a.mac, [], frames.ETH_IPV4, frames.udp("10.0.0.9", "10.0.0.2", 1, 2, b""))
        a.wire().send(spoofed)
        e.start()
        assert e.call("ports") == ["port a", "port b"]
    assert not stream.over()
    stream.check()
    stats = e.stats("a")
    assert stats["tx_frames"] >= before + 3000 and stats["drop.spoof-ipv4"] == 3, stats


@deadline(120)
def test_killed_anywhere_is_mended(t):
    """kill -9 at 25 places of a transaction, and the same transaction again: all ports are there and work, and nothing else is."""
    names = [f"c{i}" for i in range(8)]
    for name in names:
        Container(name)
    lines = [
        f"port add {n} netns={n} ifname=eth0 vlan=100 mac=02:00:00:00:01:{i:02x} addr=10.0.0.{i + 1}/24 ips=10.0.0.{i + 1} in-bps=100000000 out-bps=100000000"
        for i, n in enumerate(names)
    ]
    e = Engine(t)
    clean = set(links())
    took = e.batch(lines)
    shaper = next(n for n in links() if n.endswith(".q"))
    e.batch([f"port del {n}" for n in names])
    assert set(links()) == clean
    for step in range(25):
        for line in ["begin", *lines]:
            e.process.stdin.write(line + "\n")
        e.process.stdin.write("end\n")
        # A different place each time, spread over one and a half times what it takes; where exactly does not matter.
        time.sleep(took * 1.5 * step / 25)
        e.kill9()
        e.start()
        e.batch(lines)
        assert set(e.call("ports")) == {f"port {n}" for n in names}
        run("ping", "-q", "-c", "1", "-W", "5", "10.0.0.8", netns="c0")
        run("ping", "-q", "-c", "1", "-W", "5", "10.0.0.1", netns="c7")
        for n in names:
            assert "rate 100Mbit" in run("tc", "class", "show", "dev", e.state(n)["host_ifname"]).stdout, (step, n)
        assert run("tc", "class", "show", "dev", shaper).stdout.count("rate 100Mbit") == len(names), step
        e.batch([f"port del {n}" for n in names])
        assert set(links()) == clean, step
        assert not e.fdb()


def test_taken_over_ports_are_the_owners(t):
    """After a restart: what is unchanged stays, what differs is changed, what is unwanted goes, and limits hold their class."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", in_bps=50_000_000, out_bps=50_000_000)
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    e.container("c", vlan=100, addr="10.0.0.3/24")
    e.trunk(vlan=10)
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "slc0")
    index = e.state("a")["ifindex"]
    e.kill9()
    run("ip", "netns", "del", "c")
    e.start()
    assert e.state("a")["ifindex"] == index and e.state("c")["lost"] == 1
    e.add_port("a", vlan=100, mac=a.mac, addr="10.0.0.1/24", in_bps=50_000_000, out_bps=70_000_000)
    e.add_port("b", vlan=100, mac=b.mac, addr="10.0.0.22/24")
    e.del_port("c")
    e.trunk(vlan=10)
    assert e.state("a")["ifindex"] == index
    a.ping("10.0.0.22", count=3)
    assert [x["local"] for x in links()["slc0"]["addr_info"]] == ["192.0.2.1"]
    rate = run("tc", "class", "show", "dev", e.state("a")["host_ifname"]).stdout
    assert "rate 70Mbit" in rate, rate
    assert e.call("ports") == ["port a", "port b"]


def test_maps_of_another_layout_are_replaced(t):
    """Maps that are not ours to read: their ports go on, are shown as found, and each moves over when it is programmed."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    index = e.state("a")["ifindex"]
    e.kill9()
    pin = f"{e.dir}/slc_node"
    old = json.loads(run("bpftool", "-j", "map", "dump", "pinned", pin).stdout)[0]["value"]
    run("bpftool", "map", "update", "pinned", pin, "key", "0", "0", "0", "0", "value", *old[:4], "1", "2", "3", "4", *old[8:])
    e.start()
    assert "another layout" in e.log_text()
    assert e.state("a")["orphan"] == 1
    a.ping("10.0.0.2", count=3)
    for c, addr in ((a, "10.0.0.1/24"), (b, "10.0.0.2/24")):
        e.add_port(c.name, vlan=100, mac=c.mac, addr=addr)
    assert e.state("a")["ifindex"] == index and e.state("a")["orphan"] == 0
    a.ping("10.0.0.2", count=3)
    assert e.stats("a")["rx_frames"] >= 3


def test_cleanup_leaves_nothing(t):
    """After --cleanup: no netdev, no qdisc, no program, no pin; what is somebody else's stays."""
    before = set(links())
    e = Engine(t)
    e.container("a", vlan=100, addr="10.0.0.1/24", in_bps=1_000_000, out_bps=1_000_000)
    run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    run("tc", "qdisc", "add", "dev", "up0", "clsact")
    e.call("trunk set up0 vlan=10")
    made = programs_of(e.dir)
    assert made
    e.kill9()
    e.cleanup()
    assert set(links()) == before | {"up0", "up1"}
    assert "eth0" not in links("a")
    assert not os.path.exists(e.dir)
    assert "clsact" not in run("tc", "qdisc", "show", "dev", "up0").stdout
    wait_for(lambda: not made & programs(), "programs go")
    e.cleanup()


def test_two_engines_in_one_namespace(t):
    """Two bpf_dirs are two engines: neither sees the other's ports, and cleaning up one leaves the other."""
    e, f = Engine(t, "one"), Engine(t, "two")
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = f.container("b", vlan=100, addr="10.0.0.2/24")
    assert a.run("ping", "-c", "1", "-W", "1", "10.0.0.2", check=False).returncode == 1
    e.stop()
    e.cleanup()
    assert "eth0" not in links("a") and "eth0" in links("b")
    c = f.container("c", vlan=100, addr="10.0.0.3/24")
    b.ping("10.0.0.3")
    c.ping("10.0.0.2")

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Containers of a whole node: programmed through the control socket, forwarded by the kernel engine, and by the switch behind the trunk."""

import json
import os
import select
import socket
import time

import frames
from containers import attrs_of, cleanup, container, hears_once, host, links, ours, trunk_node, unreachable
from engine import Container, Pings, programs, programs_of
from harness import DEADLINE_S, Refused, add, add_ports, alone, deadline, delete, iperf3, run, test_frame, wait_for
from measure import own_the_cpu, within

PORTS = 200
STREAM = 4000 * (5 if os.environ.get("SLUICE_TEST_SLOW") else 1)
SLOW = 5 if os.environ.get("SLUICE_TEST_SLOW") else 1
# What is promised, but for sanitizers.
ALL_S, ONE_S, RESUME_S = 3 * SLOW, 0.03 * SLOW, 0.2 * SLOW


def test_containers_of_a_vlan_reach_each_other(t):
    """Two of one VLAN do, without the switch; one of another VLAN is reached by neither; `get`, `fdb` and sluicectl show what there is."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    c = container(node, "c", 3, vlan=200)
    a.ping(b.addr, count=20)
    b.ping(a.addr, count=5, size=1472)
    assert unreachable(a, c.addr) and unreachable(c, b.addr)
    state = node.get("port", "a")["state"]
    assert state["link"] == "up" and state["mtu"] == 1500 and state["host_ifname"] in links(), state
    assert {(e["vlan"], e["mac"], e["port"]) for e in node.fdb() if e["static"]} == {(100, a.mac, "a"), (100, b.mac, "b"), (200, c.mac, "c")}
    assert node.port_stats("b")["rx_frames"] >= 25
    shown = {o["name"]: o["attrs"]["kind"] for o in node.ctl("port", "show")["objects"]}
    assert shown == {"slc0": "trunk", "a": "veth", "b": "veth", "c": "veth"}


def test_spoofed_frames_are_counted_by_name(t):
    """A MAC, IPv4 or ARP address that is not the container's stops at its port, and `stats port` says why; the neighbour hears nothing."""
    node = trunk_node(t)
    a = container(node, "a", 1, vlan=100, ips=["10.0.0.1"])
    b = container(node, "b", 2, vlan=100, ips=["10.0.0.2"])
    other = "02:00:00:00:00:66"
    wa, wb = a.wire(), b.wire()
    bad = {
        "spoof-mac": test_frame(other),
        "spoof-ipv4": frames.eth(frames.BROADCAST, a.mac, [], frames.ETH_IPV4, frames.udp("10.0.0.9", b.addr, 1, 2, b"")),
        "spoof-arp": frames.eth(frames.BROADCAST, a.mac, [], frames.ETH_ARP, frames.arp(2, a.mac, "10.0.0.9", other, "10.0.0.1")),
    }
    for times, (reason, frame) in enumerate(bad.items(), 1):
        for _ in range(times):
            wa.send(frame)
        wait_for(lambda: node.drops("a", reason) == times, reason)  # pylint: disable=cell-var-from-loop
    marker = test_frame(a.mac, text="marker")
    wa.send(marker)
    heard = []
    while not heard or heard[-1] != marker:
        frame = wb.recv(time.monotonic() + DEADLINE_S)
        assert frame, heard
        heard.append(frame.raw)
    assert not set(heard) & set(bad.values())
    spoofed = {k: v for k, v in node.ctl("stats", "port", "a")["stats"][0]["drops"].items() if k.startswith("spoof")}
    assert spoofed == {"spoof-mac": 1, "spoof-ipv4": 2, "spoof-arp": 3}, spoofed


def test_broadcast_reaches_every_member_once(t):
    """From a container and from beyond the trunk: every member of the VLAN once, the sender and other VLANs not at all."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    c = container(node, "c", 3, vlan=200)
    d, e = host(t, node, "d", 50, vlan=100), host(t, node, "e", 51, vlan=200)
    wires = {x.name: x.wire() for x in (a, b, c, d, e)}
    for sender, others in ((a, "bd"), (d, "ab")):
        sent = [test_frame(sender.mac, text=f"{sender.name} {x}") for x in ("once", "last")]
        wires[sender.name].send(*sent)
        for name in others:
            hears_once(wires[name], sent, f"{sender.name} to {name}")
    # What followed a copy that came twice, or came back, is here as well once each member answers a ping.
    a.ping(b.addr)
    a.ping(d.addr)
    c.ping(e.addr)
    for name, wire in wires.items():
        assert not ours(wire), name


@alone("offers load")
@deadline(120)
def test_tcp_at_full_size(t):
    """Between containers a segmentation request stays one frame; through the trunk TCP passes both ways, also from a large MTU to a small one."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    small, large = container(node, "small", 3, vlan=100, mtu=1400), container(node, "large", 4, vlan=100, mtu=9000)
    d = host(t, node, "d", 50, vlan=100)
    before = node.port_stats("a")
    rates = {"a to b": iperf3(b, a, b.addr, seconds=1)}
    after = node.port_stats("a")
    size = (after["rx_bytes"] - before["rx_bytes"]) / (after["rx_frames"] - before["rx_frames"])
    rates["large to small"] = iperf3(small, large, small.addr, seconds=1)
    rates["a to d"] = iperf3(d, a, d.addr, seconds=1)
    rates["d to a"] = iperf3(a, d, a.addr, seconds=1)
    for name, result in rates.items():
        print(f"{name}: {result['end']['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")
        assert result["end"]["sum_received"]["bytes"] > 1_000_000, name
    assert size > 16000, size
    assert not node.drops("small", "mtu")
    large.wire().send(test_frame(large.mac, dst=small.mac, size=1415))
    wait_for(lambda: node.drops("small", "mtu") == 1, "a frame over the MTU is counted")


def test_isolated_containers(t):
    """Two isolated containers do not reach each other, both reach one that is not, and a host beyond the trunk."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100, isolated=True), container(node, "b", 2, vlan=100, isolated=True)
    c, d = container(node, "c", 3, vlan=100), host(t, node, "d", 50, vlan=100)
    for x in (a, b):
        x.ping(c.addr)
        x.ping(d.addr)
    assert unreachable(a, b.addr)
    before = node.drops("b", "isolated")
    a.wire().send(test_frame(a.mac, dst=b.mac))
    wait_for(lambda: node.drops("b", "isolated") > before, "counted")
    node.set_port("b", isolated=False)
    a.ping(b.addr)


def test_learned_addresses_are_told_once(t):
    """
    What is learned behind a container is told by the container's port, though the switch knows it too, behind the trunk; of the trunk's own there is
    nothing left out. Once the container has gone, nothing of it is known, and its address is found elsewhere before it has spoken there.
    """
    node = trunk_node(t)
    a = container(node, "a", 1, vlan=100, mac=None)
    b = container(node, "b", 2, vlan=100)
    d, e = host(t, node, "d", 50, vlan=100), host(t, node, "e", 51, vlan=100)
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    node.set_port("slc0", vlan=100)
    a.ping(d.addr)
    b.ping(e.addr)
    d.ping("10.0.0.100")
    behind = "02:00:00:00:00:77"
    wa, wd, we = a.wire(), d.wire(), e.wire()
    marker = test_frame(behind, text="it is behind a")
    wa.send(marker)
    want = lambda f: f.raw == marker
    assert wd.recv(time.monotonic() + DEADLINE_S, want) and we.recv(time.monotonic() + DEADLINE_S, want)
    macs = {"a": json.loads(a.run("ip", "-j", "link", "show", "eth0").stdout)[0]["address"], "slc0": ether_of("slc0")}
    known = {(100, macs["a"], "a"), (100, behind, "a"), (100, b.mac, "b"), (100, d.mac, "d"), (100, e.mac, "e"), (100, macs["slc0"], "slc0")}
    assert sorted((x["vlan"], x["mac"], x["port"]) for x in node.fdb()) == sorted(known)
    assert [x["port"] for x in node.fdb(mac=behind)] == ["a"]
    assert {x["mac"] for x in node.fdb(port="a")} == {macs["a"], behind}
    assert [x["mac"] for x in node.fdb(port="slc0")] == [macs["slc0"]]
    # Known behind the trunk only: nobody else hears of a frame to it.
    wd.send(test_frame(d.mac, dst=behind, text="to it"), test_frame(d.mac, text="marker"))
    heard = we.recv(time.monotonic() + DEADLINE_S, lambda f: f.src == d.mac and f.ethertype == frames.ETH_TEST)
    assert heard.raw == test_frame(d.mac, text="marker"), heard
    node.del_port("a")
    assert not node.fdb(mac=behind) and not node.fdb(mac=macs["a"])
    moved = test_frame(d.mac, dst=behind, text="to its new place")
    wd.send(moved)
    assert we.recv(time.monotonic() + DEADLINE_S, lambda f: f.raw == moved)


@deadline(120)
def test_addresses_that_move_and_speak_only_beyond_the_trunk(t):
    """
    An address behind a container moves to where only the switch hears it, and speaks to nobody on this side of the trunk. The kernel lets go of it,
    soon if the switch knew it behind the trunk, at its next look if not; one that has moved the other way it keeps.
    """
    node = trunk_node(t)
    a, c = container(node, "a", 1, vlan=100, mac=None), container(node, "c", 3, vlan=100)
    d, e = host(t, node, "d", 50, vlan=100), host(t, node, "e", 51, vlan=100)
    e.ping(d.addr)
    wa, wc, wd, we = a.wire(), c.wire(), d.wire(), e.wire()
    here = lambda mac: {x["port"] for x in node.fdb(mac=mac)}

    def say(wire, src, to, dst):
        frame = test_frame(src, dst=dst, text=f"{src} to {dst}")
        wire.send(frame)
        assert to.recv(time.monotonic() + DEADLINE_S, lambda f: f.raw == frame), (src, dst)

    one, two, unseen, back = (f"02:00:00:00:00:7{n}" for n in (6, 7, 8, 9))
    say(we, back, wd, d.mac)
    wait_for(lambda: node.fdb(mac=back)[0]["age_s"] > 2, "it has been silent out there")
    say(wa, back, wc, c.mac)
    say(wa, unseen, wc, c.mac)
    assert here(unseen) == {"a"} and here(back) == {"a", "e"}
    # Not by the look that comes every ten seconds: not twice in so short a time.
    for seen in (one, two):
        say(wa, seen, wd, d.mac)
        assert here(seen) == {"a"}
        say(we, seen, wd, d.mac)
        wait_for(lambda seen=seen: here(seen) == {"e"}, "it is not local any more", DEADLINE_S / 2)
        say(wc, c.mac, we, seen)
    say(we, unseen, wd, d.mac)
    wait_for(lambda: here(unseen) == {"e"}, "found at the next look", 2 * DEADLINE_S)
    say(wc, c.mac, we, unseen)
    assert "a" in here(back)
    say(wc, c.mac, wa, back)


def test_deleted_ports_leave_no_netdev(t):
    """After `port del` both ends are gone, and its addresses from the FDB; the port can be made again."""
    node = trunk_node(t)
    before = links()
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    assert len(links()) == len(before) + 2
    node.del_port("a")
    node.del_port("b")
    assert links() == before and "eth0" not in links("a") | links("b")
    assert not [e for e in node.fdb() if e["static"]]
    node.apply(add("port", "a", **attrs_of(a, 1, vlan=100)), add("port", "b", **attrs_of(b, 2, vlan=100)))
    a.ping(b.addr)


def test_a_namespace_that_goes(t):
    """`get` shows the port as lost, the log says so once and no more; the rest goes on; deleted and added in a new namespace it works."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    d = host(t, node, "d", 50, vlan=100)
    a.ping(b.addr)
    run("ip", "netns", "del", "b")
    wait_for(lambda: node.get("port", "b")["state"]["link"] == "lost", "link lost")
    a.ping(d.addr, count=20)
    node.set_port("a", mac_limit=5)
    assert node.get("port", "b")["state"]["link"] == "lost"
    lines = [line for line in node.log_text().splitlines() if "port b" in line and "lost" in line]
    assert len(lines) == 1, lines
    assert node.get("port", "b")["error"] is None or node.get("port", "b")["error"]["name"], node.get("port", "b")
    node.del_port("b")
    b = container(node, "b", 2, vlan=100)
    a.ping(b.addr)
    d.ping(b.addr)
    assert node.get("port", "b")["state"]["link"] == "up"


@alone("measures times")
@deadline(180)
def test_two_hundred_in_one_apply(t):
    """200 containers in one apply in under 3 s, one more in under 30 ms. They reach each other, and go in one apply."""
    node = trunk_node(t)
    own_the_cpu()
    before = links()
    made = [Container(f"c{i}") for i in range(PORTS)]
    ports = {c.name: attrs_of(c, i + 1, vlan=100, mac=f"02:00:00:00:01:{i:02x}", ips=[f"10.0.0.{i + 1}"]) for i, c in enumerate(made)}
    one = Container("one")

    def timed(*ops):
        start = time.monotonic()
        node.apply(*ops)
        return time.monotonic() - start

    def removed():
        print(f"all removed in {timed(*(delete('port', name) for name in ports)):.3f} s")
        assert links() == before

    def all_of_them():
        if links() != before:
            removed()
        return timed(*add_ports(ports))

    def one_more():
        node.apply(delete("port", "one"))
        return timed(add("port", "one", **attrs_of(one, 250, vlan=100)))

    within(ALL_S, f"{PORTS} ports in one apply", all_of_them, tries=3)
    within(ONE_S, "one more", one_more)
    for i in range(0, PORTS, 20):
        made[i].ping(f"10.0.0.{(i + 7) % PORTS + 1}")
    one.ping("10.0.0.1")
    node.apply(delete("port", "one"))
    removed()


def test_the_hosts_own_stack(t):
    """With `port set slc0 vlan=100` the host speaks with containers and hosts of that VLAN; its address outlives kill -9; --cleanup ends it."""
    node = trunk_node(t)
    a, c = container(node, "a", 1, vlan=100), container(node, "c", 3, vlan=200)
    d = host(t, node, "d", 50, vlan=100)
    node.set_port("slc0", vlan=100)
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    run("ip", "route", "add", "10.9.0.0/16", "via", "10.0.0.1", "dev", "slc0")
    a.ping("10.0.0.100", count=5)
    d.ping("10.0.0.100", count=5)
    assert unreachable(c, "10.0.0.100")
    node.kill9()
    a.ping("10.0.0.100", count=5)
    node.start()
    node.wait_link("d", "slc0")
    assert "10.0.0.100/24" in run("ip", "addr", "show", "slc0").stdout and "10.9.0.0/16" in run("ip", "route").stdout
    assert node.get("port", "slc0")["attrs"]["vlan"] == 100
    a.ping("10.0.0.100", count=5)
    d.ping("10.0.0.100", count=5)
    node.stop()
    assert "slc0" in links()
    cleanup(node)
    assert not {"slc0", "slc0-dp"} & links()


@alone("counts what a stream loses")
def test_killed_during_a_local_stream(t):
    """kill -9 and a restart during 1,000 pings a second between two containers: none lost, the link stays up, counters go on."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100, ips=["10.0.0.1"]), container(node, "b", 2, vlan=100)
    a.ping(b.addr, count=10)
    before = node.port_stats("a")
    index = node.get("port", "a")["state"]["host_ifname"]
    stream = Pings(t, a, b.addr, STREAM)
    wait_for(lambda: node.port_stats("a")["rx_frames"] >= before["rx_frames"] + 100, "the stream runs")
    node.kill9()
    a.wire().send(test_frame("02:00:00:00:00:66"))
    node.start()
    assert not stream.over(), "the stream was over before the restart"
    stream.check()
    after = node.port_stats("a")
    assert after["rx_frames"] >= before["rx_frames"] + STREAM and after["drops"]["spoof-mac"] == 1, after
    assert node.get("port", "a")["state"]["host_ifname"] == index


def restarted(node, ready, send, receiver):
    """kill -9, a start, and the seconds from READY=1 to the first frame that is through; the frames are sent all the time."""
    node.kill9()
    receiver.drain()
    node.process = node.spawn()
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    poll.register(receiver, select.POLLIN)
    arrived = up = None
    number, end = 0, time.monotonic() + 3 * DEADLINE_S
    while arrived is None or up is None:
        send(number)
        number += 1
        for fd, _ in poll.poll(1):
            if fd == ready.fileno():
                up = up or (time.monotonic() if "READY=1" in ready.recv(4096).decode().split("\n") else None)
            elif arrived is None and ours(receiver):
                arrived = time.monotonic()
            else:
                receiver.drain()
        assert time.monotonic() < end, f"{number} frames sent; arrived {arrived}, up {up}"
    node.control = node.connect()
    return arrived - up


def a_stream_resumes(t, by):
    node = trunk_node(t, trunk=by)
    own_the_cpu()
    a, d = container(node, "a", 1, vlan=100), host(t, node, "d", 50, vlan=100)
    a.ping(d.addr)
    wa, wd = a.wire(), d.wire()
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(os.path.join(t.tmp, "notify"))
    node.env = {"NOTIFY_SOCKET": os.path.join(t.tmp, "notify")}

    def send(number):
        wa.send(test_frame(a.mac, dst=d.mac, text=f"n{number}"))

    within(RESUME_S, "the first frame after READY=1", lambda: restarted(node, ready, send, wd), tries=5)
    d.ping(a.addr)


@alone("measures a time")
@deadline(120)
def test_a_stream_beyond_the_trunk_resumes(t):
    """kill -9 and a restart during a stream from a container to a host behind the switch: the first frame arrives within 200 ms of READY=1."""
    a_stream_resumes(t, "veth")


@alone("measures a time")
@deadline(120)
def test_a_stream_beyond_a_tap_resumes(t):
    """The same with the trunk a tap."""
    a_stream_resumes(t, "tap")


@alone("measures a time")
@deadline(120)
def test_a_stream_beyond_xdp_sockets_resumes(t):
    """The same with XDP sockets, whose netdev the killed daemon's program is still on."""
    a_stream_resumes(t, "veth-xdp")


@alone("counts what a stream loses")
def test_the_shaper_goes_with_the_last_limit(t):
    """The node's netdevs are the same before a container has in_bps and after, with the daemon restarted in either state; a stream loses nothing meanwhile."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    before = links()
    a.ping(b.addr)
    stream = Pings(t, a, b.addr, STREAM)
    for restart in (node.kill9, node.stop):
        node.set_port("a", in_bps=1_000_000_000)
        limited = links()
        assert len(limited) == len(before) + 2, limited
        restart()
        node.start()
        assert links() == limited
        node.set_port("a", in_bps=0)
        wait_for(lambda: links() == before, "the shaper goes")
        restart()
        node.start()
        assert links() == before
    stream.check()
    assert not node.drops("a", "limit-in")


def test_a_port_that_cannot_be_finished_is_tried_less_and_less(t):
    """A namespace without IPv6 for a port with such an address: what each try makes and takes away again is no reason for the next."""
    node = trunk_node(t)
    node.add_vlan(100)
    node.apply(add("port", "c", kind="veth", netns="c", ifname="eth0", vlan=100, addr=["fd00::1/64"]))
    run("ip", "netns", "add", "without")
    for which in ("all", "default"):
        run("sysctl", "-q", "-w", f"net.ipv6.conf.{which}.disable_ipv6=1", netns="without")

    def netdevs_so_far():
        run("ip", "link", "add", "count", "type", "veth", "peer", "name", "count1")
        index = json.loads(run("ip", "-j", "link", "show", "count").stdout)[0]["ifindex"]
        run("ip", "link", "del", "count")
        return index

    with open("/run/netns/c", "w", encoding="ascii"):
        pass
    run("mount", "--bind", "/run/netns/without", "/run/netns/c")
    wait_for(lambda: (node.get("port", "c")["error"] or {}).get("name") == "not-permitted", "it cannot be finished")
    before = netdevs_so_far()
    # For as long as it takes to see a loop; a few tries are due.
    select.select([], [], [], 2)
    assert netdevs_so_far() - before < 20, f"{netdevs_so_far() - before} netdevs were made"
    run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=0", netns="without")
    run("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=0", netns="without")
    wait_for(lambda: node.get("port", "c")["error"] is None, "it is made")


def test_cleanup_leaves_nothing(t):
    """After --cleanup there is no netdev, pin, program or filter; what is somebody else's stays; a second one finds nothing to do."""
    run("ip", "link", "add", "their0", "type", "veth", "peer", "name", "their1")
    before = links()
    node = trunk_node(t)
    container(node, "a", 1, vlan=100, in_bps=1_000_000, out_bps=1_000_000)
    container(node, "b", 2, vlan=100)
    made = programs_of(node.options["bpf_dir"])
    assert made
    node.kill9()
    cleanup(node)
    assert links() == before and "eth0" not in links("a") | links("b")
    assert not os.path.exists(node.options["bpf_dir"])
    assert "slc" not in run("tc", "qdisc", "show").stdout
    wait_for(lambda: not made & programs(), "programs go")
    cleanup(node)
    # The configuration is kept: a start makes it all again.
    node.start()
    node.wait_link("a", "b")
    run("ping", "-q", "-c", "3", "-i", "0.01", "-w", "10", "10.0.0.2", netns="a")


def test_without_a_trunk(t):
    """--trunk none refuses kind=veth by name and with what to do, and leaves nothing; the rest of the node works."""
    node = t.node(bpf_dir="/sys/fs/bpf/none")
    c, before = Container("a"), links()
    node.add_vlan(100)
    try:
        node.add_port("a", **attrs_of(c, 1, vlan=100))
    except Refused as e:
        assert "trunk" in e.message + e.data.get("hint", ""), (e.message, e.data)
        assert e.data["path"].endswith("kind"), e.data
    else:
        raise AssertionError("not refused")
    done = node.ctl("port", "add", "a", "kind=veth", "netns=a", "ifname=eth0", "vlan=100", check=False)
    assert done.returncode == 2 and "trunk" in done.stderr, done
    assert links() == before and not node.call("get", {"object": "port"})["objects"]
    d, e = (t.endpoint(name, addr=[addr]) for name, addr in (("d", "10.0.0.50/24"), ("e", "10.0.0.51/24")))
    for x in (d, e):
        node.attach(x, vlan=100)
    node.wait_link("d", "e")
    d.ping("10.0.0.51")


@deadline(120)
def test_a_restart_without_the_trunk(t):
    """Containers of the state wait with an error under --trunk none, and go on being connected; they can be deleted; with the trunk back all is as before."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    container(node, "c", 3, vlan=100)
    index = node.get("port", "a")["state"]["host_ifname"]
    node.stop()
    node.options["trunk"] = "none"
    node.start()
    assert node.get("port", "a")["error"]["name"] == "unsupported", node.get("port", "a")
    a.ping(b.addr)
    node.del_port("c")
    node.stop()
    node.options["trunk"] = "veth"
    node.start()
    assert node.get("port", "a")["error"] is None and node.get("port", "a")["state"]["host_ifname"] == index
    assert "port c: in the kernel, and not configured" in node.log_text()
    a.ping(b.addr)


def test_links_are_told_to_watchers(t):
    """A container's link as it is added, taken down from inside and by configuration, and lost: each once, after the object's own event."""
    node = trunk_node(t)
    watcher = node.connect()
    watcher.call("watch", {"events": ["port.link", "object"], "objects": ["port"], "snapshot": False})
    a = container(node, "a", 1, vlan=100)

    def told():
        event = watcher.event()
        return event["type"], event["name"], event.get("state")

    assert (told(), told()) == (("object.add", "a", None), ("port.link", "a", "up"))
    a.run("ip", "link", "set", "eth0", "down")
    assert told() == ("port.link", "a", "down")
    assert node.get("port", "a")["state"]["link"] == "down"
    a.run("ip", "link", "set", "eth0", "up")
    assert told() == ("port.link", "a", "up")
    node.set_port("a", admin="down")
    assert (told(), told()) == (("object.set", "a", None), ("port.link", "a", "down"))
    node.set_port("a", admin="up")
    assert (told(), told()) == (("object.set", "a", None), ("port.link", "a", "up"))
    # A watcher that comes now has the state in its snapshot, and hears nothing of what was before.
    late = node.connect()
    shown = {o["name"]: o["state"]["link"] for o in late.call("watch", {"objects": ["port"]})["objects"]}
    assert shown == {"slc0": "up", "a": "up"}
    run("ip", "netns", "del", "a")
    assert told() == ("port.link", "a", "lost")
    event = late.event()
    assert (event["type"], event["state"]) == ("port.link", "lost"), event
    node.del_port("a")
    assert told() == ("object.del", "a", None)


def test_a_namespace_that_went_meanwhile(t):
    """It goes while the daemon is down: the port waits and says what it lacks, others work; once the namespace is back, so is the port, by itself."""
    node = trunk_node(t)
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=100)
    a.ping(b.addr)
    node.kill9()
    run("ip", "netns", "del", "b")
    wait_for(lambda: len([x for x in links() if x.startswith("slc")]) == 3, "the pair has gone with it")
    node.start()
    shown = node.get("port", "b")
    assert shown["state"]["link"] == "lost" or shown["error"]["name"] == "no-such-namespace", shown
    node.set_port("a", mac_limit=5)
    c = container(node, "c", 3, vlan=100)
    a.ping(c.addr)
    b = Container("b")
    wait_for(lambda: node.get("port", "b")["error"] is None and "eth0" in links("b"), "it is made by itself", seconds=2 * DEADLINE_S)
    a.ping("10.0.0.2")


def ether_of(ifname):
    with open(f"/sys/class/net/{ifname}/address", encoding="ascii") as f:
        return f.read().strip()


def mtu_of(ifname):
    with open(f"/sys/class/net/{ifname}/mtu", encoding="ascii") as f:
        return int(f.read())


def test_the_trunks_mtu(t):
    """`port set slc0 mtu=9000` widens the trunk netdev: large frames pass to and from the switch. It outlives a restart, and can be undone."""
    node = trunk_node(t)
    a = container(node, "a", 1, vlan=100, mtu=9000)
    d = t.endpoint("d", addr=["10.0.0.50/24"], mtu=9000)
    node.attach(d, vlan=100, mtu=9000)
    node.wait_link("d")
    whole = ["ping", "-q", "-M", "do", "-c", "1", "-W", "1", "-s", 8972]
    before = node.drops("slc0", "mtu") + node.drops("a", "mtu") + node.drops("d", "mtu")
    assert a.run(*whole, "10.0.0.50", check=False).returncode == 1
    wait_for(lambda: sum(node.drops(x, "mtu") for x in ("slc0", "a", "d")) > before, "dropped, and counted")
    node.set_port("slc0", mtu=9000)
    assert mtu_of("slc0") == 9000 and mtu_of("slc0-dp") >= 9000
    assert node.get("port", "slc0")["state"]["mtu"] == 9000
    a.ping("10.0.0.50", size=8972, count=5)
    d.ping("10.0.0.1", size=8972, count=5)
    node.kill9()
    node.start()
    node.wait_link("d", "slc0")
    assert mtu_of("slc0") == 9000
    d.ping("10.0.0.1", size=8972, count=5)
    node.set_port("slc0", mtu=1500)
    assert mtu_of("slc0") == 1500
    assert a.run(*whole, "10.0.0.50", check=False).returncode == 1
    a.ping("10.0.0.50", size=1472)


@alone("counts what a stream loses")
def test_two_schedulers(t):
    """Each replaces its own containers and leaves the other's, and the trunk, alone; both's reach each other."""
    node = trunk_node(t)
    app, cache = node.connect("app"), node.connect("cache")
    a, b, c = Container("a"), Container("b"), Container("c")

    def replace(client, *ports):
        client.call("apply", {"replace": {"objects": [{"object": "port", "name": x.name, "attrs": attrs_of(x, n, vlan=100)} for x, n in ports]}})

    node.add_vlan(100)
    replace(app, (a, 1), (b, 2))
    replace(cache, (c, 3))
    a.ping("10.0.0.3")
    stream = Pings(t, a, "10.0.0.3", 500)
    replace(app, (a, 1))
    stream.check()
    owners = {o["name"]: o["owner"] for o in node.call("get", {"object": "port"})["objects"]}
    assert owners == {"slc0": "", "a": "app", "c": "cache"}, owners
    assert "eth0" not in links("b") and "eth0" in links("c")
    replace(cache)
    assert "eth0" not in links("c") and "eth0" in links("a")
    for client in (app, cache):
        client.close()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The trunk: what crosses it, the host's own stack behind it, and questions that the node answers itself."""

import time

import frames
from engine import Container, Engine, Refused
from harness import DEADLINE_S, alone, iperf3, run, test_frame, wait_for
from measure import own_the_cpu
from wire import Wire

# What TCP must carry in a second to be called whole: with a wrong checksum or a lost segmentation request it carries nothing.
WHOLE = 1_000_000

FAR = "02:00:00:00:00:77"


def is_arp(f):
    return f.ethertype == frames.ETH_ARP


def ask(wire, who, sender, target, tags=(), dst=frames.BROADCAST):
    wire.send(frames.eth(dst, who, list(tags), frames.ETH_ARP, frames.arp(1, who, sender, "00:00:00:00:00:00", target)))


def test_remote_frames_cross_tagged(t):
    """To and from the network: the tag of the container's VLAN outside, none inside; another VLAN's does not come in."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    trunk, wa = e.trunk(vlan=10), a.wire()
    wa.send(test_frame(a.mac, dst=FAR, text="out"))
    got = trunk.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_TEST)
    assert got.tags == ["8100:100:0:0"] and got.src == a.mac
    trunk.send(frames.eth(a.mac, FAR, ["8100:200:0:0"], frames.ETH_TEST, bytes(46)))
    trunk.send(frames.eth(a.mac, FAR, ["8100:100:0:0"], frames.ETH_TEST, b"\1" * 46))
    got = wa.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_TEST)
    assert got.tags == [] and got.payload[0] == 1, got
    assert e.stats("trunk")["drop.no-member"] == 1


def test_arrival_is_announced(t):
    """A container that comes is told to the network: gratuitous ARP and an unsolicited advertisement, tagged, checksum right."""
    e = Engine(t)
    trunk = e.trunk(vlan=10)
    a = e.container("a", netns_ipv6=True, vlan=100, addr="10.0.0.1/24,2001:db8::1/64")
    end = time.monotonic() + DEADLINE_S
    got = trunk.recv(end, is_arp)
    assert got.raw == frames.eth(frames.BROADCAST, a.mac, ["8100:100:0:0"], frames.ETH_ARP, frames.arp(1, a.mac, "10.0.0.1", "00:00:00:00:00:00", "10.0.0.1"))
    got = trunk.recv(end, lambda f: f.ethertype == frames.ETH_IPV6 and f.payload[40] == 136)
    want = frames.nd_advert("2001:db8::1", "ff02::1", "2001:db8::1", a.mac, flags=0x20000000)
    assert got.raw == frames.eth("33:33:00:00:00:01", a.mac, ["8100:100:0:0"], frames.ETH_IPV6, want), got.raw.hex()


def test_known_addresses_are_answered_on_the_spot(t):
    """An ARP question for a container, from another or from the network, is answered with its MAC and disturbs nobody."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    c = e.container("c", vlan=100, addr="10.0.0.3/24")
    trunk = e.trunk(vlan=10)
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    end = time.monotonic() + DEADLINE_S
    ask(wa, a.mac, "10.0.0.1", "10.0.0.2")
    answer = frames.arp(2, b.mac, "10.0.0.2", a.mac, "10.0.0.1")
    assert wa.recv(end, is_arp).raw == frames.eth(a.mac, b.mac, [], frames.ETH_ARP, answer)
    ask(trunk, FAR, "10.0.0.99", "10.0.0.2", tags=["8100:100:0:0"])
    answer = frames.arp(2, b.mac, "10.0.0.2", FAR, "10.0.0.99")
    assert trunk.recv(end, is_arp).raw == frames.eth(FAR, b.mac, ["8100:100:0:0"], frames.ETH_ARP, answer)
    # A probe for an address in use, in another VLAN, for one nobody has: of these only the first is answered.
    ask(wa, a.mac, "0.0.0.0", "10.0.0.2")
    assert wa.recv(end, is_arp).payload[6:8] == b"\0\2"
    assert not [f for w in (wb, wc) for f in w.drain() if is_arp(f)]
    ask(wa, a.mac, "10.0.0.1", "10.0.0.50")
    for wire in (wb, wc, trunk):
        assert wire.recv(end, is_arp).payload[6:8] == b"\0\1"
    ask(trunk, FAR, "10.0.0.99", "10.0.0.2", tags=["8100:200:0:0"])
    wait_for(lambda: e.drops("trunk", "no-member") == 1, "another VLAN")
    # A unicast question is a test of life: the container itself answers.
    ask(wa, a.mac, "10.0.0.1", "10.0.0.2", dst=b.mac)
    assert wb.recv(end, is_arp) and wa.recv(end, is_arp)
    stats = e.stats("a"), e.stats("trunk")
    assert (stats[0]["answered"], stats[1]["answered"]) == (2, 1)
    e.del_port("b")
    ask(wa, a.mac, "10.0.0.1", "10.0.0.2")
    assert wc.recv(end, is_arp), "the address is nobody's now"


def test_solicitations_are_answered_on_the_spot(t):
    """Neighbour discovery likewise, with a right checksum; duplicate address detection is told to all."""
    e = Engine(t)
    a = e.container("a", vlan=100)
    b = e.container("b", vlan=100, ips="2001:db8::2")
    wa, wb = a.wire(), b.wire()
    end = time.monotonic() + DEADLINE_S
    group, mac = frames.solicited_node("2001:db8::2")
    is_advert = lambda f: f.ethertype == frames.ETH_IPV6 and f.payload[40] == 136
    wa.send(frames.eth(mac, a.mac, [], frames.ETH_IPV6, frames.nd_solicit("2001:db8::1", "2001:db8::2", a.mac)))
    want = frames.nd_advert("2001:db8::2", "2001:db8::1", "2001:db8::2", b.mac)
    assert wa.recv(end, is_advert).raw == frames.eth(a.mac, b.mac, [], frames.ETH_IPV6, want)
    wa.send(frames.eth(mac, a.mac, [], frames.ETH_IPV6, frames.nd_solicit("::", "2001:db8::2", a.mac)))
    want = frames.nd_advert("2001:db8::2", "ff02::1", "2001:db8::2", b.mac, flags=0x20000000)
    assert wa.recv(end, is_advert).raw == frames.eth("33:33:00:00:00:01", b.mac, [], frames.ETH_IPV6, want)
    assert not wb.drain() and group


def test_the_host_speaks_in_the_trunks_vlan(t):
    """The host's stack, containers of its VLAN and the network reach each other; containers of other VLANs do not reach the host."""
    e = Engine(t)
    trunk = e.trunk(vlan=10)
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    a = e.container("a", vlan=10, addr="10.0.0.1/24")
    b = e.container("b", vlan=20, addr="10.0.0.2/24")
    mac = open("/sys/class/net/slc0/address", encoding="ascii").read().strip()
    a.ping("10.0.0.100", count=5)
    run("ping", "-q", "-c", "5", "-i", "0.01", "-s", "1472", "10.0.0.1")
    assert b.run("ping", "-c", "1", "-W", "1", "10.0.0.100", check=False).returncode == 1
    # The network asks the host, untagged in its VLAN, and hears it so.
    ask(trunk, FAR, "10.0.0.99", "10.0.0.100")
    got = trunk.recv(time.monotonic() + DEADLINE_S, lambda f: is_arp(f) and f.payload[6:8] == b"\0\2")
    assert got.tags == [] and got.src == mac and got.dst == FAR
    # A container's broadcast reaches the host and the network once each; the host's likewise.
    trunk.drain()
    before = e.stats("host")["tx_frames"]
    a.wire().send(test_frame(a.mac, text="all"))
    want = lambda f: f.ethertype == frames.ETH_TEST
    assert trunk.recv(time.monotonic() + DEADLINE_S, want).tags == []
    assert e.stats("host")["tx_frames"] == before + 1
    wa = a.wire()
    Wire("slc0").send(test_frame(mac, text="host"))
    assert wa.recv(time.monotonic() + DEADLINE_S, want) and trunk.recv(time.monotonic() + DEADLINE_S, want).tags == []
    assert not [f for w in (wa, trunk) for f in w.drain() if want(f)]


@alone("offers load")
def test_tcp_to_the_host_and_to_the_network(t):
    """Partial checksums and segmentation requests: whole TCP between container and host, and across the trunk to another stack."""
    e = Engine(t)
    e.trunk(vlan=10).close()
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    a = e.container("a", vlan=10, addr="10.0.0.1/24")
    host = Container("far")
    # The network: a bridge between the trunk's far end and another namespace's netdev, as a switch would be.
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "add", "far0", "type", "veth", "peer", "name", "eth0", "netns", "far")
    for netdev in ("slc0-dp", "far0"):
        run("ip", "link", "set", netdev, "master", "br0", "up")
    run("ip", "link", "set", "br0", "up")
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "addr", "add", "10.0.0.50/24", "dev", "eth0")
    for server, client, addr in ((host, a, "10.0.0.50"), (a, host, "10.0.0.1")):
        result = iperf3(server, client, addr, seconds=1)
        assert result["end"]["sum_received"]["bytes"] > WHOLE, addr
    # What comes to a raw socket at the trunk's far end is as long as a frame may be.
    wire = Wire("slc0-dp")
    iperf3(host, a, "10.0.0.50", seconds=1)
    longest = max(len(f.raw) for f in wire.drain())
    assert longest <= 1518, longest


def meet_the_switch(t, by):
    # The switch's worker, the kernel's softirqs and both ends of TCP share what the machine has left.
    own_the_cpu()
    e = Engine(t)
    e.trunk(vlan=10, by=by).close()
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    node = t.node()
    vm, other = t.endpoint("vm", addr=["10.0.0.50/24"]), t.endpoint("other", addr=["10.0.0.51/24"])
    node.add_port("trunk", kind="af-packet", ifname="slc0-dp", vlan_mode="native-untagged", vlan=10)
    node.attach(vm, vlan=100)
    node.attach(other, vlan=10)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", ips="10.0.0.1")
    b = e.container("b", vlan=200, addr="10.0.0.2/24")
    node.wait_link("trunk", "vm", "other")
    wait_for(lambda: e.state("trunk")["link_up"], "the trunk's far end is up")
    a.ping("10.0.0.50", count=10)
    vm.ping("10.0.0.1", count=10, size=1472)
    other.ping("10.0.0.100", count=3)
    assert b.run("ping", "-c", "1", "-W", "1", "10.0.0.50", check=False).returncode == 1
    assert other.run("ping", "-c", "1", "-W", "1", "10.0.0.1", check=False).returncode == 1
    for server, client, addr in ((vm, a, "10.0.0.50"), (a, vm, "10.0.0.1")):
        result = iperf3(server, client, addr, seconds=1)
        print(f"{result['end']['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")
        assert result["end"]["sum_received"]["bytes"] > WHOLE, addr


@alone("offers load")
def test_containers_meet_the_switch(t):
    """Engine and DPDK switch, joined by the trunk: one VLAN is one VLAN, for pings, full-size frames and TCP; another is another."""
    meet_the_switch(t, "veth-xdp")


@alone("offers load")
def test_containers_meet_the_switch_with_offloads(t):
    """The same when checksums and segmentation cross the trunk as requests."""
    meet_the_switch(t, "veth")


def test_a_trunk_that_is_half_made_is_finished_and_anothers_is_refused(t):
    """A pair of the trunk's names without an alias is taken; any other netdev of its name is not."""
    e = Engine(t)
    run("ip", "link", "add", "slc0", "type", "veth", "peer", "name", "slc0-dp")
    e.trunk(vlan=10)
    assert "sluice:" in run("ip", "link", "show", "slc0").stdout
    run("ip", "link", "add", "slc1", "type", "veth", "peer", "name", "other")
    try:
        e.trunk(vlan=10, name="slc1")
    except Refused as refused:
        assert (refused.name, refused.attr) == ("in-use", "trunk_name")
    else:
        raise AssertionError("taken")


def test_the_trunk_may_go_and_come_back(t):
    """A trunk netdev that is removed is missed and counted; made again under its name, it is used again."""
    e = Engine(t)
    a = e.container("a", vlan=100)
    run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    run("ip", "link", "set", "up1", "up")
    run("ip", "link", "set", "up0", "up")
    e.call("trunk set up0 vlan=10")
    wa = a.wire()
    run("ip", "link", "del", "up0")
    wait_for(lambda: e.state("trunk")["link_up"] == 0, "it is gone")
    wa.send(test_frame(a.mac, dst=FAR))
    wait_for(lambda: e.drops("trunk", "tx-down") == 1, "counted")
    run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    run("ip", "link", "set", "up1", "up")
    run("ip", "link", "set", "up0", "up")
    wait_for(lambda: e.state("trunk")["link_up"] == 1, "it is back")
    wire = Wire("up1")
    wa.send(test_frame(a.mac, dst=FAR))
    assert wire.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_TEST).tags == ["8100:100:0:0"]


def test_spoofed_frames_stop_at_the_port(t):
    """MAC, IPv4, IPv6, ARP and ND that are not the container's reach nobody, each under its reason; what it may say passes."""
    e = Engine(t)
    a = e.container("a", vlan=100, ips="10.0.0.1,2001:db8::1")
    e.container("b", vlan=100)
    trunk, wa = e.trunk(), a.wire()
    other = "02:00:00:00:00:66"
    v4, v6, arp = frames.ETH_IPV4, frames.ETH_IPV6, frames.ETH_ARP

    def eth(ethertype, payload, src=a.mac):
        return frames.eth(frames.BROADCAST, src, [], ethertype, payload)

    bad = {
        "spoof-mac": eth(v4, frames.udp("10.0.0.1", "10.0.0.9", 1, 2, b""), src=other),
        "spoof-ipv4": eth(v4, frames.udp("10.0.0.2", "10.0.0.9", 1, 2, b"")),
        "spoof-ipv6": eth(v6, frames.udp("2001:db8::2", "2001:db8::9", 1, 2, b"")),
        "spoof-arp": eth(arp, frames.arp(2, a.mac, "10.0.0.2", other, "10.0.0.9")),
        "spoof-nd": eth(v6, frames.nd_advert("2001:db8::1", "ff02::1", "2001:db8::2", a.mac)),
    }
    good = [
        eth(v4, frames.udp("10.0.0.1", "10.0.0.9", 1, 2, b"")),
        eth(v6, frames.udp("2001:db8::1", "2001:db8::9", 1, 2, b"")),
        eth(arp, frames.arp(2, a.mac, "10.0.0.1", other, "10.0.0.9")),
        eth(v6, frames.nd_advert("2001:db8::1", "ff02::1", "2001:db8::1", a.mac)),
    ]
    for reason, frame in bad.items():
        wa.send(frame)
        wait_for(lambda: e.drops("a", reason) == 1, reason)  # pylint: disable=cell-var-from-loop
    for frame in good:
        wa.send(frame)
    end, got = time.monotonic() + DEADLINE_S, []
    while len(got) < len(good):
        frame = trunk.recv(end, lambda f: f.src in (a.mac, other) and f.dst == frames.BROADCAST)
        assert frame is not None, got
        got.append(frame.raw[:12] + frame.raw[16:])
    assert got == good

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel engine's part of a class: the code point of a container's frames in the tags that they leave with."""

import time

import frames
from engine import Container, Engine
from harness import DEADLINE_S, run, test_frame, wait_for
from wire import Wire

FAR = "02:00:00:00:00:77"
STREAM = 2000


def is_test(f):
    return f.ethertype == frames.ETH_TEST


def is_answer(f):
    return f.ethertype == frames.ETH_ARP and f.payload[6:8] == b"\0\2"


def answers(wire, who, target, target_mac, tags):
    """The tags of the answers to one question: of the node, which it is put to by broadcast, and of the container, which is asked itself."""
    got = []
    for dst in (frames.BROADCAST, target_mac):
        wire.send(frames.eth(dst, who, tags, frames.ETH_ARP, frames.arp(1, who, "10.0.0.9", "00:00:00:00:00:00", target)))
        f = wire.recv(time.monotonic() + DEADLINE_S, is_answer)
        assert f is not None, (dst, target, tags)
        assert (f.dst, f.src, f.payload[:28]) == (who, target_mac, frames.arp(2, target_mac, target, who, "10.0.0.9")), f
        got.append(f.tags)
    return got


def next_tags(wire):
    """The tags of the next frame of the test's."""
    got = wire.recv(time.monotonic() + DEADLINE_S, is_test)
    assert got is not None, "nothing came"
    return got.tags


def test_to_the_trunk(t):
    """Unicast and broadcast cross the trunk with the container's code point, whatever tag they came with; of a container without a class with their own."""
    e = Engine(t)
    a = e.container("a", vlan=100, pcp=4)
    b = e.container("b", vlan=100)
    trunk, wa, wb = e.trunk(vlan=10), a.wire(), b.wire()
    for dst in (FAR, frames.BROADCAST):
        for tags in ([], ["8100:0:7:0"], ["8100:0:0:0"]):
            wa.send(test_frame(a.mac, dst=dst, tags=tags))
            assert next_tags(trunk) == ["8100:100:4:0"], (dst, tags)
        wb.send(test_frame(b.mac, dst=dst, tags=["8100:0:7:0"]))
        assert next_tags(trunk) == ["8100:100:7:0"], dst
        wb.send(test_frame(b.mac, dst=dst))
        assert next_tags(trunk) == ["8100:100:0:0"], dst
    # Drop eligibility is the sender's to ask for.
    wa.send(test_frame(a.mac, dst=FAR, tags=["8100:0:7:1"]))
    assert next_tags(trunk) == ["8100:100:4:1"]


def test_in_the_hosts_own_vlan(t):
    """In the VLAN that is untagged on the trunk a frame with a code point has its tag all the same, and one without has none."""
    e = Engine(t)
    a = e.container("a", vlan=10, pcp=4)
    b = e.container("b", vlan=10, pcp=0)
    trunk, wa, wb = e.trunk(vlan=10), a.wire(), b.wire()
    for dst in (FAR, frames.BROADCAST):
        wa.send(test_frame(a.mac, dst=dst))
        assert next_tags(trunk) == ["8100:10:4:0"]
        wb.send(test_frame(b.mac, dst=dst, tags=["8100:0:7:0"]))
        assert next_tags(trunk) == []
    # Between containers, who see no tags, nothing is seen of it.
    wb.drain()
    wa.send(test_frame(a.mac, dst=b.mac))
    assert next_tags(wb) == []


def test_between_containers_that_tag_themselves(t):
    """One that sees tags sees the sender's code point, not the one that the sender wrote; from beyond the trunk it sees the network's."""
    e = Engine(t)
    a = e.container("a", mode="trunk", trunks="100,200", pcp=4, mac=None)
    b = e.container("b", mode="trunk", trunks="100,200", mac=None)
    c = e.container("c", vlan=200, pcp=6)
    trunk, wa, wb, wc = e.trunk(vlan=200), a.wire(), b.wire(), c.wire()
    wa.send(test_frame(a.mac, tags=["8100:100:7:0"]))
    assert next_tags(wb) == ["8100:100:4:0"] == next_tags(trunk)
    wa.send(test_frame(a.mac, tags=["8100:100:7:0", "8100:5:7:0"]))
    assert next_tags(wb) == ["8100:100:4:0", "8100:5:7:0"] == next_tags(trunk)
    wc.send(test_frame(c.mac))
    assert next_tags(wb) == ["8100:200:6:0"] == next_tags(trunk)
    wa.drain()
    trunk.send(test_frame(FAR, dst=a.mac, tags=["8100:100:3:0"]))
    assert next_tags(wa) == ["8100:100:3:0"]
    trunk.send(test_frame(FAR, tags=["8100:200:5:0"]))
    assert next_tags(wa) == ["8100:200:5:0"] and next_tags(wc) == []


def test_with_limits(t):
    """Frames that wait in a class of the shaper's, or before the container, keep the code point."""
    e = Engine(t)
    a = e.container("a", vlan=100, pcp=4, in_bps=10_000_000, in_pps=10_000)
    b = e.container("b", mode="trunk", trunks="100", out_bps=10_000_000)
    trunk, wa, wb = e.trunk(vlan=10), a.wire(), b.wire()
    wa.send(test_frame(a.mac, tags=["8100:0:7:0"]))
    assert next_tags(trunk) == ["8100:100:4:0"] == next_tags(wb)


def test_the_hosts_own_stack(t):
    """What the host sends has the trunk port's code point; what containers send, and what comes from the network, is not touched by it."""
    e = Engine(t)
    trunk = e.trunk(vlan=10)
    mac = open("/sys/class/net/slc0/address", encoding="ascii").read().strip()
    host, far = Wire("slc0"), test_frame(mac, dst=FAR)
    a = e.container("a", mode="trunk", trunks="10")
    wa = a.wire()
    host.send(far)
    assert next_tags(trunk) == [] and next_tags(wa) == ["8100:10:0:0"]
    e.call("trunk set slc0 vlan=10 pcp=4")
    host.send(far, test_frame(mac))
    for _ in range(2):
        assert next_tags(trunk) == ["8100:10:4:0"] == next_tags(wa)
    wa.send(test_frame(a.mac, tags=["8100:10:1:0"]))
    assert next_tags(trunk) == ["8100:10:1:0"]
    trunk.send(test_frame(FAR, dst=a.mac, tags=["8100:10:3:0"]))
    assert next_tags(wa) == ["8100:10:3:0"]
    run("ip", "addr", "add", "10.0.0.100/24", "dev", "slc0")
    trunk.send(frames.eth(mac, FAR, ["8100:10:6:0"], frames.ETH_ARP, frames.arp(1, FAR, "10.0.0.99", "00:00:00:00:00:00", "10.0.0.100")))
    got = trunk.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_ARP and f.payload[6:8] == b"\0\2")
    assert got and got.tags == ["8100:10:4:0"], got
    e.call("trunk set slc0 vlan=10")
    host.send(far)
    assert next_tags(trunk) == []


def test_what_the_node_says_for_a_container(t):
    """The announcement of a container, and the answer to a question about it, carry its code point."""
    e = Engine(t)
    trunk = e.trunk(vlan=10)
    is_arp = lambda f: f.ethertype == frames.ETH_ARP
    for name, vlan in (("a", 100), ("b", 10)):
        c = e.container(name, vlan=vlan, pcp=4, addr="10.0.0.1/24")
        tag, end = f"8100:{vlan}:4:0", time.monotonic() + DEADLINE_S
        assert trunk.recv(end, is_arp).tags == [tag]
        trunk.send(frames.eth(frames.BROADCAST, FAR, [f"8100:{vlan}:7:0"], frames.ETH_ARP, frames.arp(1, FAR, "10.0.0.9", "00:00:00:00:00:00", "10.0.0.1")))
        want = frames.eth(FAR, c.mac, [tag], frames.ETH_ARP, frames.arp(2, c.mac, "10.0.0.1", FAR, "10.0.0.9"))
        assert trunk.recv(end, is_arp).raw == want
    assert e.stats("trunk")["answered"] == 2


def test_answers_are_as_the_containers_own(t):
    """
    What the node answers for a container has the tag that the container's own answer has: its class's code point or 0, in whatever form the asker's
    mode shows, and never the question's, nor that of the asker's class.
    """
    e = Engine(t)
    b = e.container("b", vlan=100, pcp=4, addr="10.0.0.2/24")
    n = e.container("n", vlan=100, addr="10.0.0.3/24")
    tagged = {b: ["8100:100:4:0"], n: ["8100:100:0:0"]}
    untagged = {b: [], n: []}
    both_ways = ([], ["8100:100:7:0"], ["8100:0:7:0"])
    for name, attrs, questions, want in (
        ("t", {"mode": "trunk", "trunks": "100", "pcp": 1}, (["8100:100:7:0"], ["8100:100:4:0"], ["8100:100:1:0"], ["8100:100:7:1"]), tagged),
        ("o", {"mode": "trunk", "trunks": "100"}, (["8100:100:7:0"], ["8100:100:0:0"]), tagged),
        ("g", {"mode": "native-tagged", "vlan": 100, "pcp": 1}, both_ways, tagged),
        ("u", {"mode": "native-untagged", "vlan": 100, "pcp": 1}, both_ways, untagged),
        ("x", {"vlan": 100, "pcp": 1}, ([], ["8100:0:7:0"]), untagged),
        ("q", {"mode": "dot1q-tunnel", "vlan": 100, "pcp": 1}, ([],), untagged),
    ):
        c = e.container(name, **{"mac": None, **attrs})
        wire = c.wire()
        for tags in questions:
            for target, ip in ((b, "10.0.0.2"), (n, "10.0.0.3")):
                assert answers(wire, c.mac, ip, target.mac, tags) == [want[target]] * 2, (name, target.name, tags)
        assert e.stats(name)["answered"] == 2 * len(questions), name


def test_advertisements_carry_the_class(t):
    """Neighbour discovery likewise."""
    e = Engine(t)
    b = e.container("b", vlan=100, pcp=4, ips="2001:db8::2")
    a = e.container("a", mode="trunk", trunks="100", pcp=1, mac=None)
    wire, mac = a.wire(), frames.solicited_node("2001:db8::2")[1]
    wire.send(frames.eth(mac, a.mac, ["8100:100:7:0"], frames.ETH_IPV6, frames.nd_solicit("2001:db8::1", "2001:db8::2", a.mac)))
    want = frames.nd_advert("2001:db8::2", "2001:db8::1", "2001:db8::2", b.mac)
    got = wire.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_IPV6 and f.payload[40] == 136)
    assert got.raw == frames.eth(a.mac, b.mac, ["8100:100:4:0"], frames.ETH_IPV6, want), got


def test_a_customers_question_is_not_answered(t):
    """Asked inside a tag that is not the switch's, the address is a customer's: the question goes where such frames go."""
    e = Engine(t)
    e.container("b", vlan=100, addr="10.0.0.2/24")
    a = e.container("a", mode="trunk", trunks="100", mac=None)
    q = e.container("q", mode="dot1q-tunnel", vlan=100, qinq="8100", mac=None)
    trunk = e.trunk(vlan=10)
    for c, tags, want in ((a, ["8100:100:0:0", "8100:5:0:0"], ["8100:100:0:0", "8100:5:0:0"]), (q, ["8100:5:0:0"], ["8100:100:0:0", "8100:5:0:0"])):
        wire = c.wire()
        ask = frames.arp(1, c.mac, "10.0.0.9", "00:00:00:00:00:00", "10.0.0.2")
        wire.send(frames.eth(frames.BROADCAST, c.mac, tags, frames.ETH_ARP, ask))
        got = trunk.recv(time.monotonic() + DEADLINE_S, lambda f, c=c: f.ethertype == frames.ETH_ARP and f.src == c.mac)
        assert got and got.tags == want and got.payload[:28] == ask, got
        assert e.stats(c.name)["answered"] == 0


def test_survives_the_owner(t):
    """With the owner killed frames keep the code point; who comes after him takes it over, counters too, and changes it."""
    e = Engine(t)
    a = e.container("a", vlan=100, pcp=4)
    b = e.container("b", vlan=100)
    trunk, wa, wb = e.trunk(vlan=10), a.wire(), b.wire()
    mac = open("/sys/class/net/slc0/address", encoding="ascii").read().strip()
    e.call("trunk set slc0 vlan=10 pcp=5")

    def seen():
        wa.send(test_frame(a.mac, dst=FAR))
        wb.send(test_frame(b.mac, dst=FAR))
        Wire("slc0").send(test_frame(mac, dst=FAR))
        return [next_tags(trunk) for _ in range(3)]

    want = [["8100:100:4:0"], ["8100:100:0:0"], ["8100:10:5:0"]]
    assert seen() == want
    e.kill9()
    assert seen() == want
    e.start()
    assert seen() == want and e.stats("a")["rx_frames"] == 3, e.stats("a")
    # A trunk that is found again after the restart is published anew from what was taken over.
    run("ip", "link", "set", "slc0", "mtu", "1400")
    wait_for(lambda: e.state("trunk")["mtu"] == 1400, "the new MTU is known")
    assert seen() == want
    e.set_port("a", vlan=100, mac=a.mac, pcp=1)
    assert seen()[0] == ["8100:100:1:0"]
    e.set_port("a", vlan=100, mac=a.mac)
    assert seen()[0] == ["8100:100:0:0"]


def test_changed_under_a_stream(t):
    """Set again and again while frames pass: each frame has one of the code points, none is lost, and the last set is the one in force."""
    e = Engine(t)
    a = e.container("a", vlan=100, pcp=0)
    trunk, wa = e.trunk(vlan=10), a.wire()
    frame, codes = test_frame(a.mac, dst=FAR), set()
    for i in range(STREAM):
        if i % 100 == 0:
            e.set_port("a", vlan=100, mac=a.mac, pcp=i // 100 % 8)
        wa.send(frame)
    for _ in range(STREAM):
        (tag,) = next_tags(trunk)
        codes.add(int(tag.split(":")[2]))
    assert codes == set(range(8)), codes
    assert not trunk.recv_now() and e.stats("a")["rx_frames"] == STREAM
    wa.send(frame)
    assert next_tags(trunk) == [f"8100:100:{(STREAM - 1) // 100 % 8}:0"]


def test_a_code_point_is_in_three_bits(t):
    """8 is refused, of a port and of the trunk."""
    e = Engine(t)
    e.trunk(vlan=10)
    c = Container("a")
    for line in (f"port add a netns={c.name} ifname=eth0 vlan=100 pcp=8", "trunk set slc0 vlan=10 pcp=8"):
        try:
            e.call(line)
        except Exception as refused:  # pylint: disable=broad-except
            assert (refused.name, refused.attr) == ("out-of-range", "class"), refused
        else:
            raise AssertionError("not refused")

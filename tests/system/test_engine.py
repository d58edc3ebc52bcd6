#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel engine: containers of one node reach each other, and nobody else."""

import time

import frames
from engine import Engine
from harness import DEADLINE_S, alone, iperf3, test_frame, wait_for

HOSTS = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3", "d": "10.0.0.4"}


def node(t, ports, **kw):
    """An engine and a container for each port: {name: attributes}; `vlan` 100 and an address unless they say otherwise."""
    e = Engine(t)
    made = [e.container(n, **{**({} if "mode" in attrs else {"vlan": 100}), "addr": f"{HOSTS[n]}/24", **attrs}, **kw) for n, attrs in ports.items()]
    return e, *made


def no_drops(e, *names):
    """But of what a container said before there was anybody to hear it."""
    for name in names:
        drops = {k: v for k, v in e.stats(name).items() if k.startswith("drop.") and k != "drop.no-member"}
        assert not drops, f"{name}: {drops}"


def test_two_containers_talk(t):
    """Two containers of one VLAN reach each other, with large and small frames, and nothing is dropped or flooded but what must be."""
    e, a, b = node(t, {"a": {}, "b": {}})
    a.ping("10.0.0.2", count=20)
    b.ping("10.0.0.1", count=20, size=1472)
    assert e.stats("a")["tx_frames"] >= 40
    no_drops(e, "a", "b")


def test_other_vlan_is_out_of_reach(t):
    """A container of another VLAN hears nothing, whether it is sent to by broadcast, by its address, or by IP."""
    e, a, b, c = node(t, {"a": {}, "b": {}, "c": {"vlan": 200}})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    wa.send(test_frame(a.mac, dst=c.mac, text="unicast"))
    broadcast = test_frame(a.mac, text="all")
    wa.send(broadcast)
    end = time.monotonic() + DEADLINE_S
    got = wb.recv(end, lambda f: f.raw == broadcast)
    assert got is not None
    # What c can hear by then is what it sends to itself through another port of its VLAN: nothing, so ask the counters.
    assert e.stats("c")["tx_frames"] == 0 and not wc.drain()
    assert e.drops("a", "no-member") == 1
    assert a.run("ping", "-c", "1", "-W", "1", "10.0.0.3", check=False).returncode == 1


def test_broadcast_reaches_every_member_exactly_once(t):
    """Access, tagged and native ports of the VLAN, in the form of each; the sender and other VLANs not."""
    e, a, b, c, d = node(
        t,
        {
            "a": {},
            "b": {},
            "c": {"mode": "trunk", "trunks": "100,200", "mac": "none"},
            "d": {"mode": "native-untagged", "vlan": 100, "trunks": "300", "mac": "none"},
        },
    )
    trunk = e.trunk(vlan=0)
    wires = {w.name: w.wire() for w in (a, b, c, d)}
    sent = test_frame(a.mac, text="once")
    wires["a"].send(sent)
    # A second one behind the first: when it has come, a copy of the first would have.
    last = test_frame(a.mac, text="last")
    wires["a"].send(last)
    tagged = {x: frames.eth(frames.BROADCAST, a.mac, ["8100:100:0:0"], frames.ETH_TEST, x[14:]) for x in (sent, last)}
    for name, wire in (("b", wires["b"]), ("c", wires["c"]), ("d", wires["d"]), ("trunk", trunk)):
        want = [sent, last] if name in ("b", "d") else [tagged[sent], tagged[last]]
        end, got = time.monotonic() + DEADLINE_S, []
        while not got or got[-1] != want[-1]:
            frame = wire.recv(end, lambda f: f.ethertype == frames.ETH_TEST)
            assert frame is not None, f"{name}: {got}"
            got.append(frame.raw)
        assert got == want, f"{name}: {got}"
        assert not [f for f in wire.drain() if f.ethertype == frames.ETH_TEST], name
    assert not [f for f in wires["a"].drain() if f.ethertype == frames.ETH_TEST]
    assert e.stats("a")["flooded"] == 2


def test_a_container_that_tags_itself(t):
    """A trunk port reaches the access ports of its VLANs with the tag of each, and no other VLAN."""
    e, a, b, c = node(t, {"a": {}, "b": {"vlan": 200}, "c": {"mode": "trunk", "trunks": "100,200", "mac": "none"}})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    other = "02:00:00:00:00:99"
    for vid, wire, peer in ((100, wa, a), (200, wb, b)):
        wc.send(frames.eth(peer.mac, other, [f"8100:{vid}:3:0"], frames.ETH_TEST, bytes(50)))
        got = wire.recv(time.monotonic() + DEADLINE_S)
        assert got and got.tags == [] and got.src == other, got and got.raw.hex()
        wire.send(frames.eth(other, peer.mac, [], frames.ETH_TEST, bytes(50)))
        got = wc.recv(time.monotonic() + DEADLINE_S)
        assert got and got.tags == [f"8100:{vid}:0:0"], got
    wc.send(frames.eth(a.mac, other, ["8100:300:0:0"], frames.ETH_TEST, bytes(50)))
    wc.send(frames.eth(a.mac, other, [], frames.ETH_TEST, bytes(50)))
    wait_for(lambda: e.drops("c", "vlan-ingress") == 2, "foreign and untagged frames are refused")
    assert e.fdb()[(100, other)] == ("c", False) and e.fdb()[(200, other)] == ("c", False)
    wa.send(frames.eth(b.mac, a.mac, ["8100:200:0:0"], frames.ETH_TEST, bytes(50)))
    wait_for(lambda: e.drops("a", "vlan-ingress") == 1, "an access port sends no tags")


def test_tunnel_carries_tags_inside(t):
    """A dot1q-tunnel port's tags travel inside the service tag, and come out of another tunnel port as they were."""
    e, a, b = node(t, {n: {"mode": "dot1q-tunnel", "vlan": 100, "mac": "none", "cvlans": "5,6"} for n in ("a", "b")})
    trunk = e.trunk(vlan=0)
    wa, wb = a.wire(), b.wire()
    inner = frames.eth(frames.BROADCAST, a.mac, ["8100:5:1:0"], frames.ETH_TEST, bytes(50))
    wa.send(inner)
    assert wb.recv(time.monotonic() + DEADLINE_S).raw == inner
    got = trunk.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_TEST)
    assert got.tags == ["88a8:100:0:0", "8100:5:1:0"], got
    wa.send(frames.eth(frames.BROADCAST, a.mac, ["8100:7:0:0"], frames.ETH_TEST, bytes(50)))
    wait_for(lambda: e.drops("a", "vlan-ingress") == 1, "a customer VLAN that is not named")


def test_isolated_containers_reach_only_others(t):
    """Isolated ports do not reach each other, by unicast or broadcast; both reach one that is not."""
    e, a, b, c = node(t, {"a": {"isolated": 1}, "b": {"isolated": 1}, "c": {}})
    a.ping("10.0.0.3")
    b.ping("10.0.0.3")
    wa, wb = a.wire(), b.wire()
    wa.send(test_frame(a.mac, dst=b.mac))
    wait_for(lambda: e.drops("b", "isolated") == 1, "counted")
    before = e.stats("b")["tx_frames"]
    wc = c.wire()
    marker = test_frame(a.mac, text="all")
    wa.send(marker)
    assert wc.recv(time.monotonic() + DEADLINE_S, lambda f: f.raw == marker)
    assert e.stats("b")["tx_frames"] == before and not [f for f in wb.drain() if f.ethertype == frames.ETH_TEST]


def test_down_and_mtu_are_counted(t):
    """A port that is down neither sends nor receives; a frame longer than the target's MTU is dropped. Each under its reason."""
    e, a, b = node(t, {"a": {"mtu": 9000}, "b": {}})
    a.ping("10.0.0.2")
    a.run("ip", "route", "flush", "cache")
    wa, wb = a.wire(), b.wire()
    wa.send(test_frame(a.mac, dst=b.mac, size=1515))
    wait_for(lambda: e.drops("b", "mtu") == 1, "longer than the MTU")
    wa.send(test_frame(a.mac, dst=b.mac, size=1514))
    assert wb.recv(time.monotonic() + DEADLINE_S, lambda f: f.ethertype == frames.ETH_TEST and len(f.raw) == 1514)
    e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24", down=1)
    wa.send(test_frame(a.mac, dst=b.mac))
    wb.send(test_frame(b.mac, dst=a.mac))
    wait_for(lambda: e.drops("b", "tx-down") == 1 and e.drops("b", "rx-down") == 1, "down both ways")
    e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24")
    a.ping("10.0.0.2")


@alone("offers load")
def test_mtu_mismatch_does_not_break_tcp(t):
    """TCP from a container with a large MTU to one with a small: segments fit."""
    e, a, b = node(t, {"a": {"mtu": 9000}, "b": {"mtu": 1400}})
    result = iperf3(b, a, "10.0.0.2", seconds=1)
    assert result["end"]["sum_received"]["bytes"] > 10_000_000
    assert e.drops("b", "mtu") == 0


@alone("offers load")
def test_tcp_crosses_at_full_gso_size(t):
    """A segmentation request stays one frame from end to end."""
    e, a, b = node(t, {"a": {}, "b": {}})
    result = iperf3(b, a, "10.0.0.2", seconds=1)
    stats = e.stats("a")
    size = stats["rx_bytes"] / stats["rx_frames"]
    print(f"{result['end']['sum_received']['bits_per_second'] / 1e9:.1f} Gbit/s, {size:.0f} bytes a frame")
    assert size > 16000, size
    no_drops(e, "a", "b")


def test_ipv6(t):
    """IPv6 works, addresses usable at once, with anti-spoofing on; solicitations for known addresses are answered by the node."""
    e = Engine(t)
    a = e.container("a", netns_ipv6=True, vlan=100, addr="2001:db8::1/64", ips="2001:db8::1")
    b = e.container("b", netns_ipv6=True, vlan=100, addr="2001:db8::2/64", ips="2001:db8::2")
    a.ping("2001:db8::2", count=5)
    b.ping("2001:db8::1", count=5, size=1452)
    assert e.stats("a")["answered"] >= 1
    no_drops(e, "a", "b")


def test_unknown_unicast_goes_to_those_who_learn(t):
    """A frame to an unknown address reaches the trunk and a port without `mac`, not one whose address is bound; then it is known."""
    e, a, b, c = node(t, {"a": {}, "b": {}, "c": {"mac": "none"}})
    trunk = e.trunk()
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    far, behind = "02:00:00:00:00:77", "02:00:00:00:00:78"

    def test_frames(wire):
        return [f for f in wire.drain() if f.ethertype == frames.ETH_TEST]

    sent = test_frame(a.mac, dst=far, text="who")
    wa.send(sent)
    want = lambda f: f.ethertype == frames.ETH_TEST
    assert wc.recv(time.monotonic() + DEADLINE_S, want).raw == sent
    assert trunk.recv(time.monotonic() + DEADLINE_S, want).tags == ["8100:100:0:0"]
    assert not test_frames(wb)
    # It answers from the trunk: from now on only the trunk hears it.
    trunk.send(frames.eth(a.mac, far, ["8100:100:0:0"], frames.ETH_TEST, bytes(46)))
    assert wa.recv(time.monotonic() + DEADLINE_S, want).src == far
    wa.send(sent)
    assert trunk.recv(time.monotonic() + DEADLINE_S, want)
    assert not test_frames(wc)
    # The learning port has another host behind it.
    wc.send(test_frame(behind, dst=a.mac))
    assert wa.recv(time.monotonic() + DEADLINE_S, want).src == behind
    assert e.fdb()[(100, behind)] == ("c", False) and e.fdb()[(100, far)] == ("trunk", False)
    # It moves to the trunk's side: the first frame from there does it.
    trunk.send(frames.eth(a.mac, behind, ["8100:100:0:0"], frames.ETH_TEST, bytes(46)))
    assert wa.recv(time.monotonic() + DEADLINE_S, want)
    assert e.fdb()[(100, behind)] == ("trunk", False) and e.stats("trunk")["moved"] == 1
    # But a bound address does not.
    trunk.send(frames.eth(a.mac, b.mac, ["8100:100:0:0"], frames.ETH_TEST, bytes(46)))
    wait_for(lambda: e.drops("trunk", "src-bound") == 1, "a bound address elsewhere")


def test_a_flood_of_addresses_costs_nobody_else(t):
    """A port that learns is held to its mac_limit, and another learns on."""
    e, a, b, c = node(t, {"a": {"mac": "none", "mac_limit": 100}, "b": {"mac": "none"}, "c": {}})
    wa, wb = a.wire(), b.wire()
    for i in range(300):
        wa.send(test_frame(f"02:11:00:00:{i >> 8:02x}:{i & 255:02x}", dst=c.mac))
    wait_for(lambda: e.stats("a")["rx_frames"] >= 300, "the flood")
    wb.send(test_frame("02:22:00:00:00:01", dst=c.mac))
    wait_for(lambda: (100, "02:22:00:00:00:01") in e.fdb(), "b learns")
    held = [k for k, v in e.fdb().items() if v == ("a", False)]
    assert len(held) == 100 and e.stats("a")["learn_refused"] >= 200
    assert e.stats("c")["tx_frames"] >= 301
    e.del_port("a")
    assert not [v for v in e.fdb().values() if v[0] == "a"]


def test_storm_limit(t):
    """Flooded frames over the VLAN's limit are dropped and counted, unicast is not."""
    e, a, b = node(t, {"a": {}, "b": {}})
    e.set_vlan(100, storm=10)
    wa = a.wire()
    for _ in range(200):
        wa.send(test_frame(a.mac))
    wait_for(lambda: e.stats("a")["rx_frames"] >= 200, "the storm")
    dropped = e.drops("a", "storm")
    # The burst is 32 frames; what the machine took for sending brought some more.
    assert 100 <= dropped <= 168, dropped
    a.ping("10.0.0.2", count=5)


def test_learned_addresses_age(t):
    """An address that has been silent for the VLAN's aging_s is unknown at once, and forgotten by the owner soon."""
    e, a, b, c = node(t, {"a": {"mac": "none"}, "b": {}, "c": {"mac": "none"}})
    wa, wb, wc = a.wire(), b.wire(), c.wire()
    other = "02:00:00:00:00:99"
    wa.send(test_frame(other, dst=b.mac))
    end = time.monotonic() + DEADLINE_S
    assert wb.recv(end, lambda f: f.src == other)
    sent = test_frame(b.mac, dst=other)
    wb.send(sent)
    assert wa.recv(end, lambda f: f.raw == sent) and not [f for f in wc.drain() if f.raw == sent]
    # From here on: until then a second may have passed.
    e.set_vlan(100, aging=1)

    def flooded():
        wb.send(sent)
        return wc.recv(time.monotonic() + 0.1, lambda f: f.raw == sent)

    wait_for(flooded, "it is unknown again")
    wait_for(lambda: (100, other) not in e.fdb(), "it is forgotten", seconds=3 * DEADLINE_S)


def test_link_inside_is_followed(t):
    """A container that takes its netdev down is told as down, frames to it are counted; up again, it is reached again."""
    e, a, b = node(t, {"a": {}, "b": {}})
    a.ping("10.0.0.2")
    b.run("ip", "link", "set", "eth0", "down")
    e.wait_event("b", "down")
    a.wire().send(test_frame(a.mac, dst=b.mac))
    wait_for(lambda: e.drops("b", "tx-down") == 1, "counted")
    b.run("ip", "link", "set", "eth0", "up")
    e.wait_event("b", "up")
    a.ping("10.0.0.2")

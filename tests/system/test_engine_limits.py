#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Limits of containers: rate set is rate got.

TCP is shaped, so that it finds its rate by itself and loses nothing: iperf3's account at the receiver, in layer 2 bytes, is held to the
limit over the whole time; its first second is held to the rate and the burst.
"""

import json
import time

from engine import Engine, Refused
from harness import DEADLINE_S, alone, iperf3, run, test_frame, wait_for
from measure import own_the_cpu

RATE = 100_000_000
BURST = RATE / 8 / 100  # bytes: 10 ms
WITHIN = 0.02
SECONDS = 6
TRIES = 4


def wire_share(segment=1448, headers=66):
    """Layer 2 bytes for each byte of TCP payload: Ethernet, IPv4, TCP with time stamps."""
    return (segment + headers) / segment


def hold(t, attrs, congestion, to_a):
    own_the_cpu()
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", **attrs)
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    told = ""
    for _ in range(TRIES):
        # The receiver is iperf3's client (-R), whose account has intervals.
        sender, receiver, addr = (b, a, "10.0.0.2") if to_a else (a, b, "10.0.0.1")
        result = iperf3(sender, receiver, addr, "-C", congestion, "-i", "1", "-R", seconds=SECONDS)
        first = result["intervals"][0]["sum"]
        total = result["end"]["sum_received"]
        rate = total["bytes"] * 8 * wire_share() / total["seconds"]
        retransmits = result["end"]["sum_sent"]["retransmits"]
        told = f"{congestion} {attrs}: {rate / RATE - 1:+.2%}, first second {first['bits_per_second'] * wire_share() / 1e6:.1f} Mbit/s, {retransmits} retransmissions"
        print(told)
        # Too little is the machine's doing, when it had others to serve; too much never is.
        if rate / RATE - 1 > -WITHIN:
            break
    assert abs(rate / RATE - 1) < WITHIN, told
    # A second, its burst, and one segmentation request that is owed at its end.
    assert first["bytes"] * wire_share() < (RATE / 8 * first["seconds"] + BURST + 65536) * (1 + WITHIN), told
    assert retransmits <= 5, told


@alone("holds a rate")
def test_in_limit_is_held_by_bbr(t):
    """in_bps shapes what the container sends."""
    hold(t, {"in_bps": RATE}, "bbr", False)


@alone("holds a rate")
def test_in_limit_is_held_by_cubic(t):
    """The same with cubic, which fills the queue."""
    hold(t, {"in_bps": RATE}, "cubic", False)


@alone("holds a rate")
def test_out_limit_is_held_by_bbr(t):
    """out_bps shapes what is sent to the container."""
    hold(t, {"out_bps": RATE}, "bbr", True)


@alone("holds a rate")
def test_out_limit_is_held_by_cubic(t):
    """The same with cubic."""
    hold(t, {"out_bps": RATE}, "cubic", True)


@alone("holds a rate")
def test_both_ends_limited(t):
    """A frame from a limited container to a limited one waits twice, and the lower rate is what comes out."""
    own_the_cpu()
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", in_bps=2 * RATE)
    b = e.container("b", vlan=100, addr="10.0.0.2/24", out_bps=RATE)
    result = iperf3(b, a, "10.0.0.2", "-C", "cubic", seconds=3)["end"]["sum_received"]
    rate = result["bytes"] * 8 * wire_share() / result["seconds"]
    assert 0.9 < rate / RATE < 1 + WITHIN, rate


@alone("holds a rate")
def test_a_low_rate_passes_large_frames(t):
    """10 Mbit/s, whose burst is shorter than one segmentation request: it is late, not refused."""
    own_the_cpu()
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", in_bps=10_000_000)
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    result = iperf3(b, a, "10.0.0.2", seconds=5)["end"]["sum_received"]
    rate = result["bytes"] * 8 * wire_share() / result["seconds"]
    assert 0.9 < rate / 10_000_000 < 1 + WITHIN, rate


def police(t, attrs, limited, reason):
    """Offer more than 1,000 frames a second to a limit of that; what passes is the rate and a burst."""
    own_the_cpu()
    e = Engine(t)
    a, b = (e.container(n, vlan=100, **(attrs if n == limited else {})) for n in ("a", "b"))
    wire, frame = a.wire(), test_frame(a.mac, dst=b.mac)
    for _ in range(TRIES):
        before, start = e.stats("b")["tx_frames"], time.monotonic()
        while time.monotonic() < start + 2:
            wire.send(frame)
        # What was sent has been counted: all is done in the sender's own system call, or right after it.
        passed, took = e.stats("b")["tx_frames"] - before, time.monotonic() - start
        print(f"{passed} frames in {took:.3f} s")
        # Too few, if the sender was kept waiting longer than the bucket (32 ms) lasts. Too many never.
        if passed >= took * 1000 * (1 - WITHIN):
            break
    assert e.drops(limited, reason) > 0
    assert took * 1000 * (1 - WITHIN) <= passed <= took * 1000 * (1 + WITHIN) + 32, (passed, took)


@alone("holds a rate")
def test_in_pps_is_policed(t):
    """in_pps: the rest is dropped, under its reason."""
    police(t, {"in_pps": 1000}, "a", "limit-in")


@alone("holds a rate")
def test_out_pps_is_policed(t):
    """out_pps likewise."""
    police(t, {"out_pps": 1000}, "b", "limit-out")


@alone("holds a rate")
def test_limits_are_set_and_lifted_under_load(t):
    """A limit set, changed and lifted during a stream takes effect, and the connection lives on."""
    own_the_cpu()
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    keys = {"vlan": 100, "mac": a.mac, "addr": "10.0.0.1/24"}
    server = b.popen("iperf3", "-s", "-1", stdout=-3, stderr=-3)
    wait_for(lambda: "LISTEN" in b.run("ss", "-ltn", "sport", "=", ":5201").stdout, "iperf3 listens")
    client = a.popen("iperf3", "-c", "10.0.0.2", "-t", "30", stdout=-3, stderr=-3)

    def rate():
        before, start = e.stats("b")["tx_bytes"], time.monotonic()
        wait_for(lambda: time.monotonic() >= start + 0.5, "half a second")
        return (e.stats("b")["tx_bytes"] - before) * 8 / (time.monotonic() - start)

    wait_for(lambda: rate() > 2 * RATE, "full speed")
    for limit in (RATE, RATE / 2):
        e.set_port("a", **keys, in_bps=int(limit))
        wait_for(lambda: 0.8 < rate() / limit < 1.1, f"{limit} bit/s")  # pylint: disable=cell-var-from-loop
    e.set_port("a", **keys)
    wait_for(lambda: rate() > 2 * RATE, "full speed again")
    assert client.poll() is None
    client.kill()
    server.kill()
    client.wait()
    server.wait()


def links():
    """Names and numbers of the node's netdevs."""
    return {(link["ifname"], link["ifindex"]) for link in json.loads(run("ip", "-j", "link", "show").stdout)}


def shaper(e):
    return {name for name, _ in links() if name.endswith((".q", ".r"))}


def lift_under_load(t, attr):
    """Frames wait for a limit that is lifted: all of them arrive, at once, none is counted as dropped, and what they waited in goes."""
    e = Engine(t)
    a, b = (e.container(n, vlan=100) for n in ("a", "b"))
    limited = a if attr == "in_bps" else b
    before = links()
    e.set_port(limited.name, vlan=100, mac=limited.mac, **{attr: 1_000_000})
    wa, wb = a.wire(), b.wire()
    # 80 KB at 125 KB/s, of which the burst lets through 15.
    sent = [test_frame(a.mac, dst=b.mac, size=1000, text=f"n{i}") for i in range(80)]
    wa.send(*sent)
    waited = time.monotonic()
    e.set_port(limited.name, vlan=100, mac=limited.mac)
    got = set()
    end = time.monotonic() + DEADLINE_S
    while len(got) < len(sent):
        frame = wb.recv(end, lambda f: f.raw in sent)
        assert frame, f"{len(got)} of {len(sent)}"
        got.add(frame.raw)
    print(f"all there after {time.monotonic() - waited:.3f} s")
    wait_for(lambda: links() == before, "the netdevs are as before")
    host = e.state(limited.name)["host_ifname"]
    wait_for(lambda: "htb" not in run("tc", "qdisc", "show", "dev", host).stdout, "the classes go")
    assert not e.drops("a", "limit-in") and not e.drops("b", "limit-out")
    assert e.stats("b")["tx_frames"] == len(sent)


def test_a_lifted_in_limit_loses_nothing(t):
    """in_bps lifted while frames wait: they come out, then the shaper goes."""
    lift_under_load(t, "in_bps")


def test_a_lifted_out_limit_loses_nothing(t):
    """out_bps lifted while frames wait: they come out, then the qdisc goes."""
    lift_under_load(t, "out_bps")


def test_the_shaper_is_there_while_it_is_needed(t):
    """It comes with the first in_bps and goes with the last, by a change as by a deletion; a refused change leaves none; it comes again."""
    e = Engine(t)
    a, b, c = (e.container(n, vlan=100, addr=f"10.0.0.{i}/24") for i, n in enumerate("abc", 1))
    before = links()
    for _ in range(3):
        e.set_port("a", vlan=100, mac=a.mac, addr="10.0.0.1/24", in_bps=RATE)
        e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24", in_bps=RATE)
        assert len(shaper(e)) == 2
        a.ping("10.0.0.2", count=3)
        e.set_port("a", vlan=100, mac=a.mac, addr="10.0.0.1/24")
        wait_for(lambda: run("tc", "class", "show", "dev", min(shaper(e))).stdout.count("class htb") == 1, "a's class goes")
        assert len(shaper(e)) == 2
        b.ping("10.0.0.1", count=3)
        e.set_port("b", vlan=100, mac=b.mac, addr="10.0.0.2/24")
        wait_for(lambda: links() == before, "the netdevs are as before")
        a.ping("10.0.0.2", count=3)
    e.set_port("c", vlan=100, mac=c.mac, in_bps=RATE)
    assert len(shaper(e)) == 2
    e.del_port("c")
    assert links() < before and not shaper(e)
    try:
        e.batch([f"port set a netns=a ifname=eth0 vlan=100 mac={a.mac} addr=10.0.0.1/24 in-bps={RATE}", "port add d netns=nowhere ifname=eth0 vlan=100"])
    except Refused as refused:
        assert refused.name == "no-such-namespace", refused
    assert not shaper(e)
    a.ping("10.0.0.2", count=3)


def test_the_shaper_is_taken_over(t):
    """A restart finds it in use and keeps it, without a lost frame; finds it unused and removes it; finds frames waiting for a lifted limit and lets them out."""
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24")
    b = e.container("b", vlan=100, addr="10.0.0.2/24")
    before = links()
    attrs = {"vlan": 100, "mac": a.mac, "addr": "10.0.0.1/24"}
    e.set_port("a", **attrs, in_bps=RATE)
    limited, near = links(), min(shaper(e))
    e.kill9()
    e.start()
    e.add_port("a", **attrs, in_bps=RATE)
    a.ping("10.0.0.2", count=3)
    assert links() == limited
    # As if the owner had been killed before it was as far as to remove it: he is killed as soon as the limit is lifted.
    wa, wb = a.wire(), b.wire()
    e.set_port("a", **attrs, in_bps=1_000_000)
    sent = [test_frame(a.mac, dst=b.mac, size=1000, text=f"n{i}") for i in range(80)]
    wa.send(*sent)
    e.process.stdin.write(f"port set a netns=a ifname=eth0 {e._words(attrs)}\n")  # pylint: disable=protected-access
    wait_for(lambda: "rate 1Mbit" not in run("tc", "class", "show", "dev", near, check=False).stdout, "lifted")
    e.kill9()
    e.start()
    wait_for(lambda: e.call("ports") and links() == before, "the netdevs are as before")
    got, end = set(), time.monotonic() + DEADLINE_S
    while len(got) < len(sent):
        frame = wb.recv(end, lambda f: f.raw in sent)
        assert frame, f"{len(got)} of {len(sent)}"
        got.add(frame.raw)
    e.add_port("a", **attrs)
    a.ping("10.0.0.2", count=3)
    e.set_port("a", **attrs, in_bps=RATE)
    assert len(shaper(e)) == 2
    a.ping("10.0.0.2", count=3)

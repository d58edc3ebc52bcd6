#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Limits of containers: rate set is rate got.

TCP is shaped, so that it finds its rate by itself and loses nothing: iperf3's account at the receiver, in layer 2 bytes, is held to the
limit over the whole time; its first second is held to the rate and the burst.
"""

import time

from engine import Engine
from harness import iperf3, test_frame, wait_for
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


def test_in_limit_is_held_by_bbr(t):
    """in_bps shapes what the container sends."""
    hold(t, {"in_bps": RATE}, "bbr", False)


def test_in_limit_is_held_by_cubic(t):
    """The same with cubic, which fills the queue."""
    hold(t, {"in_bps": RATE}, "cubic", False)


def test_out_limit_is_held_by_bbr(t):
    """out_bps shapes what is sent to the container."""
    hold(t, {"out_bps": RATE}, "bbr", True)


def test_out_limit_is_held_by_cubic(t):
    """The same with cubic."""
    hold(t, {"out_bps": RATE}, "cubic", True)


def test_both_ends_limited(t):
    """A frame from a limited container to a limited one waits twice, and the lower rate is what comes out."""
    own_the_cpu()
    e = Engine(t)
    a = e.container("a", vlan=100, addr="10.0.0.1/24", in_bps=2 * RATE)
    b = e.container("b", vlan=100, addr="10.0.0.2/24", out_bps=RATE)
    result = iperf3(b, a, "10.0.0.2", "-C", "cubic", seconds=3)["end"]["sum_received"]
    rate = result["bytes"] * 8 * wire_share() / result["seconds"]
    assert 0.9 < rate / RATE < 1 + WITHIN, rate


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


def test_in_pps_is_policed(t):
    """in_pps: the rest is dropped, under its reason."""
    police(t, {"in_pps": 1000}, "a", "limit-in")


def test_out_pps_is_policed(t):
    """out_pps likewise."""
    police(t, {"out_pps": 1000}, "b", "limit-out")


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

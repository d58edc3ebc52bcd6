#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""DPDK's drivers, and tap: which are loaded, and what they cannot do is refused or noticed, not lost."""

import glob
import os
import re
import select
import time

from harness import Refused, Skip, add_ports, alone, ip_batch, run, test_frame, until, wait_for

GONE_S = 3  # until a deleted netdev is noticed


def _refused(call, *args, **kw):
    try:
        call(*args, **kw)
    except Refused as refusal:
        return refusal
    raise AssertionError(f"accepted: {args} {kw}")


def _mapped(node):
    """Names of DPDK's libraries in the daemon's memory: librte_NAME.so."""
    with open(f"/proc/{node.process.pid}/maps", encoding="ascii") as f:
        return set(re.findall(r"/librte_(\w+)\.so", f.read()))


def test_only_the_needed_drivers_are_loaded(t):
    """Of 150 a fresh daemon has two, and a port kind's own comes with its first port."""
    all_drivers = {re.search(r"librte_(\w+)\.so", path).group(1) for path in glob.glob("/usr/lib/*/dpdk/pmds-*/librte_*.so*")}
    if len(all_drivers) < 10:
        raise Skip("DPDK's drivers are not where Debian has them")
    node = t.node()
    assert "eal" in _mapped(node)
    assert _mapped(node) & all_drivers == {"bus_vdev", "mempool_ring"}, sorted(_mapped(node) & all_drivers)
    node.add_port("null", kind="nic", devargs="net_null0", vlan=100)
    after = {name for name in _mapped(node) if name.startswith("net_")}
    assert after == {"net_null"}, after


def test_what_a_driver_cannot_carry_is_refused(t):
    """An MTU beyond what an af-xdp port's buffers hold is refused by name, and the port stays as it was."""
    node = t.node()
    a, b = t.endpoint("a", mtu=3000, offload=False), t.endpoint("b", mtu=3000)
    node.apply(*add_ports({"a": {"kind": "af-xdp", "ifname": "a", "vlan": 100, "mtu": 1500}}))
    node.attach(b, vlan=100, mtu=3000)
    node.wait_link("a", "b")
    refusal = _refused(node.set_port, "a", mtu=3000)
    assert refusal.data["path"].endswith("mtu"), refusal
    assert node.get("port", "a")["state"]["mtu"] == 1500
    wa, wb = a.wire(), b.wire()
    wb.send(test_frame(b.mac, size=14 + 3000))
    assert not until(wb, test_frame(b.mac, text="marker"), wa)
    assert node.drops("a", "mtu") == 1


def _cpu_s(node):
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@alone("measures CPU time")
def test_a_tap_that_went_with_its_namespace(t):
    """Its link goes down, the worker sleeps on, and the port can be removed and made again."""
    node = t.node()
    node.add_port("tap", kind="tap", ifname="tap-host", vlan=100)
    run("ip", "netns", "add", "host")
    ip_batch("link set dev tap-host netns host")
    ip_batch("link set dev tap-host up", netns="host")
    node.wait_link("tap")
    # To be set there it is visited; the visitor must not keep the namespace alive.
    node.set_port("tap", mtu=1400)
    assert "mtu 1400" in run("ip", "link", "show", "tap-host", netns="host").stdout
    run("ip", "netns", "del", "host")
    wait_for(lambda: node.get("port", "tap")["state"]["link"] == "down", "the tap is known to be gone", seconds=GONE_S)
    start, used = time.monotonic(), _cpu_s(node)
    # Two seconds of nothing are what is measured here.
    select.select([], [], [], 2)
    share = (_cpu_s(node) - used) / (time.monotonic() - start)
    assert share < 0.1, f"{share:.1%} of a core for a netdev that is gone"
    node.del_port("tap")
    node.add_port("tap", kind="tap", ifname="tap-host", vlan=100)
    node.wait_link("tap")


def _worker_reads(node):
    """read() and its like that the worker has made so far, whether they found anything or not."""
    for task in glob.glob(f"/proc/{node.process.pid}/task/*"):
        with open(f"{task}/comm", encoding="ascii") as f:
            if "worker" not in f.read():
                continue
        with open(f"{task}/io", encoding="ascii") as f:
            return int(re.search(r"syscr: (\d+)", f.read()).group(1))
    raise AssertionError("no worker")


@alone("measures CPU time")
def test_a_worker_reads_what_woke_it(t):
    """A driver's eventfd wakes a worker that sleeps on many; only that one is read, and the worker sleeps again."""
    pairs, rounds = 8, 4
    outside, node = t.node("outside"), t.node("node")
    a, b = t.endpoint("a"), t.endpoint("b")
    for n in range(pairs):
        path = os.path.join(outside.dir, f"{n}.vhost")
        outside.add_port(f"p{n}", kind="vhost-user", path=path, server=True, vlan=100 + n)
        node.add_port(f"p{n}", kind="nic", devargs=f"net_virtio_user{n},path={path},queue_size=256", vlan=100 + n)
    outside.add_port("a", kind="af-packet", ifname="a", vlan_mode="trunk")
    node.add_port("b", kind="af-packet", ifname="b", vlan_mode="trunk")
    outside.wait_link("a", *(f"p{n}" for n in range(pairs)))
    node.wait_link("b", *(f"p{n}" for n in range(pairs)))
    assert all(node.get("port", f"p{n}")["state"]["wake"] == "fd" for n in range(pairs))
    wa, wb = a.wire(), b.wire()

    def cross(text):
        for n in range(pairs):
            # Two milliseconds of nothing: the worker lies down after 200 us.
            select.select([], [], [], 0.002)
            until(wa, test_frame(a.mac, tags=[f"8100:{100 + n}:0:0"], text=f"{text} {n}"), wb)

    cross("first")
    before = _worker_reads(node)
    for i in range(rounds):
        cross(f"round {i}")
    reads = (_worker_reads(node) - before) / (rounds * pairs)
    print(f"{reads:.1f} reads for each frame that woke it")
    assert reads < 4, f"{reads:.1f} reads for each frame that woke it, with {pairs} drivers"
    start, used = time.monotonic(), _cpu_s(node)
    # Two seconds of nothing are what is measured here.
    select.select([], [], [], 2)
    share = (_cpu_s(node) - used) / (time.monotonic() - start)
    assert share < 0.1, f"{share:.1%} of a core for eventfds that nobody rings"

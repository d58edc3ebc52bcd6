#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""DPDK's drivers, and tap: which are loaded, and what they cannot do is refused or noticed, not lost."""

import glob
import os
import re
import select
import time

from harness import Refused, Skip, add_ports, ip_batch, run, test_frame, until, wait_for

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

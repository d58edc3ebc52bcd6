#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Port kind tap: a netdev that the daemon makes, in its own namespace or a container's: large frames, offload requests, several queues, losses."""

import json
import re
import subprocess
import time

import frames
from harness import DEADLINE_S, alone, ip_batch, iperf3, run, test_frame, until, wait_for
from wire import Wire

MTU = 9216
WHOLE = 1_000_000  # bytes that TCP must carry in a second to be called whole


class Host:
    """A namespace that a tap port's netdev was moved into. As a harness.Endpoint to those who use it."""

    def __init__(self, node, name, number, **attrs):
        self.name, self.addr = name, f"10.0.0.{number}"
        node.add_port(name, kind="tap", ifname=name, **attrs)
        run("ip", "netns", "add", name)
        ip_batch(f"link set dev {name} netns {name}")
        ip_batch("link set lo up", f"link set dev {name} up", f"addr add {self.addr}/24 dev {name}", netns=name)
        self.mac = json.loads(run("ip", "-j", "link", "show", name, netns=name).stdout)[0]["address"]
        node.wait_link(name)

    def run(self, *argv, **kw):
        return run(*argv, netns=self.name, **kw)

    def popen(self, *argv, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, argv)], text=True, **kw)

    def wire(self):
        return Wire(self.name, netns=self.name)

    def ping(self, addr, count=1, size=56):
        self.run("ping", "-q", "-i", "0.01", "-c", count, "-s", size, "-w", DEADLINE_S, addr, seconds=2 * DEADLINE_S)

    def feature(self, name):
        shown = re.search(rf"^{name}: (\w+)", self.run("ethtool", "-k", self.name).stdout, re.MULTILINE)
        return shown.group(1) == "on"


def _body(src, payload, tags=()):
    return frames.eth(frames.BROADCAST, src, list(tags), frames.ETH_TEST, bytes(i * 7 & 0xFF for i in range(payload)))


def test_frames_to_9216_bytes(t):
    """Up and down, unchanged, with a tag put on and taken off; what exceeds the port's MTU is dropped there; the MTU can be changed."""
    node = t.node()
    a, b = Host(node, "a", 1, vlan=100, mtu=MTU), t.endpoint("b", mtu=MTU)
    node.attach(b, vlan_mode="trunk", mtu=MTU)
    node.wait_link("b")
    wa, wb, tag = a.wire(), b.wire(), ["8100:100:0:0"]
    for payload in (60, 1500, 1501, 2048, 4096, MTU - 1, MTU):
        wa.send(_body(a.mac, payload))
        got = until(wa, test_frame(a.mac, text="last"), wb, arrives=test_frame(a.mac, text="last", tags=tag, size=64))
        assert [f.raw for f in got if f.ethertype == frames.ETH_TEST] == [_body(a.mac, payload, tag)], payload
        wb.send(_body(b.mac, payload, tag))
        got = until(wb, test_frame(b.mac, text="last", tags=tag, size=64), wa, arrives=test_frame(b.mac, text="last"))
        assert [f.raw for f in got if f.ethertype == frames.ETH_TEST] == [_body(b.mac, payload)], payload
    assert not {"mtu", "oversize", "malformed", "rx-error", "tx-error"} & set(node.port_stats("a")["drops"]), node.port_stats("a")
    node.set_port("a", mtu=2000)
    assert json.loads(a.run("ip", "-j", "link", "show", "a").stdout)[0]["mtu"] == 2000, "set where the netdev is"
    wb.send(_body(b.mac, 2001, tag))
    assert not [f for f in until(wb, test_frame(b.mac, text="last", tags=tag, size=64), wa, arrives=test_frame(b.mac, text="last")) if len(f.raw) > 100]
    assert node.drops("a", "mtu") == 1


@alone("offers load")
def test_tcp_with_default_offloads(t):
    """Checksums and segmentation cross as requests: tap to tap nothing is summed or cut by the switch, to an af-packet port neither; UDP is whole."""
    node = t.node()
    a, b = Host(node, "a", 1, vlan=100), Host(node, "b", 2, vlan=100)
    c = t.endpoint("c", addr=["10.0.0.3/24"])
    c.addr = "10.0.0.3"
    node.attach(c, vlan=100)
    node.wait_link("c")
    for name in ("tx-checksumming", "tcp-segmentation-offload"):
        assert a.feature(name), name
    for server, client in ((b, a), (c, a), (a, c)):
        before = node.port_stats(client.name)
        result = iperf3(server, client, server.addr, seconds=1)
        after = node.port_stats(client.name)
        print(f"{client.name} to {server.name}: {result['end']['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")
        assert result["end"]["sum_received"]["bytes"] > WHOLE
        assert (after["rx_bytes"] - before["rx_bytes"]) / (after["rx_frames"] - before["rx_frames"]) > 3000, "requests came uncut"
    result = iperf3(c, a, c.addr, "-u", "-b", "50M", "-l", "1400", seconds=1)
    assert result["end"]["sum"]["packets"] - result["end"]["sum"]["lost_packets"] > 1000, result["end"]["sum"]
    for name in "abc":
        stats = node.port_stats(name)
        assert stats["segmented"] == stats["csum_completed"] == 0, stats
        assert not {"malformed", "tx-offload", "tx-error"} & set(stats["drops"]), stats


@alone("offers load")
def test_several_queues(t):
    """A tap of four queues has four in the kernel; flows use several of them, and TCP is whole."""
    node = t.node()
    a, b = Host(node, "a", 1, vlan=100, queues=4), Host(node, "b", 2, vlan=100)
    assert node.get("port", "a")["state"]["queues"] == 4
    assert len([q for q in a.run("ls", "/sys/class/net/a/queues").stdout.split() if q.startswith("rx-")]) >= 4
    result = iperf3(b, a, b.addr, "-P", "8", seconds=1)
    assert result["end"]["sum_received"]["bytes"] > WHOLE
    result = iperf3(a, b, a.addr, "-P", "8", seconds=1)
    assert result["end"]["sum_received"]["bytes"] > WHOLE


@alone("offers load")
def test_what_finds_the_ring_full_is_counted(t):
    """With the worker too slow for a flood, the kernel drops, and the port's counters say how much; nothing is lost silently."""
    node = t.node()
    a, b = Host(node, "a", 1, vlan=100, ring=64), t.endpoint("b")
    node.attach(b, vlan=100)
    node.wait_link("b")
    assert json.loads(a.run("ip", "-j", "link", "show", "a").stdout)[0]["txqlen"] == 64
    wa = a.wire()
    before = node.port_stats("a")
    sent, end = 0, time.monotonic() + 3 * DEADLINE_S
    while "rx-missed" not in node.port_stats("a")["drops"]:
        assert time.monotonic() < end, f"{sent} frames sent, and none was lost"
        for _ in range(2000):
            wa.sock.send(test_frame(a.mac, dst=b.mac))
        sent += 2000

    def accounted():
        now = node.port_stats("a")
        return sent <= now["rx_frames"] - before["rx_frames"] + now["drops"]["rx-missed"] <= sent + 20

    wait_for(accounted, "received and missed are all that were sent, and what the host said by itself")


def test_a_netdev_that_is_there_is_refused(t):
    """A tap port makes its netdev: another's of that name is left alone, and the error says what to do."""
    node = t.node()
    run("ip", "link", "add", "t0", "type", "veth", "peer", "name", "t1")
    run("ip", "tuntap", "add", "dev", "t2", "mode", "tap", "multi_queue", "vnet_hdr")
    for name in ("t0", "t2"):
        node.add_port(name, kind="tap", ifname=name, vlan=100)
        error = node.get("port", name)["error"]
        assert error["name"] == "exists" and name in error["message"] and "af-packet" in error["hint"], error
    run("ip", "link", "del", "t0")
    wait_for(lambda: node.get("port", "t0")["error"] is None, "made, now that the name is free")
    node.add_port("t3", kind="tap", ifname="t3", vlan=100)
    node.kill9()
    assert "t3" not in run("ip", "link").stdout, "it goes with the daemon"

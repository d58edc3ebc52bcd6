#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two containers of one node: Sluice's kernel engine beside a plain veth pair and a Linux bridge.

    local.py [--build DIR] [--rounds N] [--seconds T] [--json FILE]

  ping   14 bytes of UDP there and back (sockperf), both ends pinned to one core, so that wake-ups across cores do not drown the path
  bulk   one TCP connection (iperf3), its ends on two cores

The plain veth pair joins the two namespaces directly: it switches nothing and is the limit. The engine's containers have `mac`, `ips` and a VLAN, so
that every frame is checked. `limited` is the same with a limit in each direction that is never reached: what shaping costs.

All four stand side by side in one sandbox, and take turns, ROUNDS times each, in an order that changes with the round. Printed are the
median, the lowest and the highest of the rounds, and the median of the ratios of turns of one round.
"""

import argparse
import json
import os
import re
import subprocess
import sys

import report
from report import Paired, spread, turns

CORE, OTHER_CORE = 1, 0
SETUPS = ("sluice", "veth", "bridge", "limited")
LIMIT_BPS = 100_000_000_000


def sh(*argv, netns=None, **kw):
    argv = [*(["ip", "netns", "exec", netns] if netns else []), *map(str, argv)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kw).stdout


def plain(subnet, ends):
    """Addresses on netdevs that are there; `ends` are two (namespace, netdev)."""
    for i, (netns, netdev) in enumerate(ends):
        sh("ip", "link", "set", netdev, "up", netns=netns)
        sh("ip", "addr", "add", f"{subnet}.{i + 1}/24", "dev", netdev, netns=netns)


def setup_veth(names, subnet):
    sh("ip", "link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1])
    plain(subnet, [(n, "eth0") for n in names])


def setup_bridge(names, subnet):
    sh("ip", "link", "add", "br0", "type", "bridge")
    for n in names:
        sh("ip", "link", "add", n, "type", "veth", "peer", "name", "eth0", "netns", n)
        sh("ip", "link", "set", n, "master", "br0", "up")
    sh("ip", "link", "set", "br0", "up")
    plain(subnet, [(n, "eth0") for n in names])


class Engine:
    """engine_ctl, for as long as the bench runs."""

    def __init__(self, build):
        self.process = subprocess.Popen(
            [os.path.join(build, "tests", "tools", "engine_ctl"), "/sys/fs/bpf/bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.process.stdout.readline() == "ready\n", "engine_ctl does not start"

    def add(self, names, subnet, vlan, extra=""):
        for i, n in enumerate(names):
            mac, addr = f"02:00:00:00:{vlan:02x}:{i + 1:02x}", f"{subnet}.{i + 1}"
            self.process.stdin.write(f"port add {n} netns={n} ifname=eth0 vlan={vlan} mac={mac} addr={addr}/24 ips={addr} {extra}\n")
            while (line := self.process.stdout.readline().strip()) != "ok":
                assert not line.startswith("error"), line


def started(process, word):
    while (line := process.stdout.readline()) and word not in line:
        pass
    assert line, f"the server ended before it said {word!r}"


def ping(names, addr, seconds):
    """Median and 99th percentile of the round trip, in us."""
    server = subprocess.Popen(
        ["ip", "netns", "exec", names[1], "taskset", "-c", str(CORE), "sockperf", "server", "-i", addr, "-p", "11111"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )
    try:
        started(server, "to block on")
        out = sh("taskset", "-c", CORE, "sockperf", "ping-pong", "-i", addr, "-p", "11111", "-m", "14", "-t", seconds, "--full-rtt", netns=names[0])
    finally:
        server.terminate()
        server.wait()
    found = {p: float(re.search(rf"percentile {p}\.000\s*=\s*([0-9.]+)", out).group(1)) for p in ("50", "99")}
    return found["50"], found["99"]


def bulk(names, addr, seconds):
    """Gbit/s of one connection."""
    server = subprocess.Popen(
        ["ip", "netns", "exec", names[1], "taskset", "-c", str(CORE), "iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        started(server, "listening")
        out = json.loads(sh("taskset", "-c", OTHER_CORE, "iperf3", "-c", addr, "-J", "-t", seconds, netns=names[0]))
    finally:
        server.wait(10)
    return out["end"]["sum_received"]["bits_per_second"] / 1e9


def measure(options, _tmp):
    places = {}
    for i, setup in enumerate(SETUPS):
        names = [f"{setup}{k}" for k in (1, 2)]
        for n in names:
            sh("ip", "netns", "add", n)
            sh("ip", "link", "set", "lo", "up", netns=n)
        places[setup] = (names, f"10.{i}.0")
    engine = Engine(options.build)
    engine.add(*places["sluice"], vlan=100)
    engine.add(*places["limited"], vlan=101, extra=f"in-bps={LIMIT_BPS} out-bps={LIMIT_BPS}")
    setup_veth(*places["veth"])
    setup_bridge(*places["bridge"])

    results = {s: {"p50_us": [], "p99_us": [], "gbps": []} for s in SETUPS}
    for r, setup in turns(SETUPS, options.rounds):
        names, subnet = places[setup]
        p50, p99 = ping(names, f"{subnet}.2", int(options.seconds))
        gbps = bulk(names, f"{subnet}.2", int(options.seconds))
        for key, value in (("p50_us", p50), ("p99_us", p99), ("gbps", gbps)):
            results[setup][key].append(value)
        print(f"  round {r + 1}  {setup:8} p50 {p50:7.2f} us  p99 {p99:7.2f} us  {gbps:6.1f} Gbit/s", flush=True)
    tell(results)
    return results


def tell(results):
    print(f"\n{'':10}{'p50, us':>24}{'p99, us':>24}{'TCP, Gbit/s':>24}")
    for setup in SETUPS:
        r = results[setup]
        print(f"{setup:10}{spread(r['p50_us']):>24}{spread(r['p99_us']):>24}{spread(r['gbps'], 1):>24}")
    for peer in ("veth", "bridge"):
        for key in ("p50_us", "gbps"):
            print(f"sluice / {peer:6} {key:6} {Paired(results['sluice'][key], results[peer][key])}")


def main():
    parser = argparse.ArgumentParser(description="Measure two containers of one node beside a veth pair and a bridge.")
    parser.set_defaults(rounds=5)
    return report.main(parser, "local", measure)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two containers of one node: Sluice's kernel engine beside what else can join two namespaces.

    local.py [--build DIR] [--rounds N] [--seconds T] [--only SETUP,...] [--json FILE]

  ping   14 bytes of UDP there and back (sockperf), both ends pinned to one core, so that wake-ups across cores do not drown the path
  bulk   one TCP connection (iperf3) at MTU 1500, the netdevs' default offloads and the kernel's default congestion control, the sender on one
         core, the receiver on another
  bulk1  the same with both ends on one core, and cubic: nobody waits for another core or for bbr's timers, so that what is counted is what
         a byte costs

  sluice   the kernel engine: `mac`, `ips` and a VLAN, every frame is checked
  limited  the same with a limit in each direction that is never reached: what shaping costs
  veth     a plain veth pair joins the two namespaces. It switches nothing and is the limit. (A program that does nothing but
           `bpf_redirect_peer` takes 1.04 times its round trip)
  bridge   a Linux bridge
  ovs-xdp  Open vSwitch's userspace datapath (Debian's build with DPDK), its ports the host ends of veth pairs as `afxdp`, its polling thread on the core
           of the two ends. Of all arrangements tried here this has the shortest round trip: 24 us where `afxdp` polled on the other
           core took 36-44, `afxdp-nonpmd` 52, and `system` ports (AF_PACKET, by the main thread) 60 on the ends' core, 90 on the other
  ovs-tso  the same datapath with `system` ports and userspace-tso-enable, its threads on the receiver's core: the most bytes, for
           segmentation requests pass whole (5-9 Gbit/s; `afxdp` 2-4, `system` without 0.7). The others need checksums completed in the containers

All stand side by side in one sandbox and take turns (report.py); what polls is stopped while it is not its turn. Printed are the median, the lowest
and the highest of the rounds, and of the paired ratios the median, its confidence interval, and how many rounds were above the limit that
is set: 1.1 times the plain pair's round trip, and the bridge's; the bridge's bytes.
"""

import argparse
import fnmatch
import json
import os
import re
import signal
import subprocess
import sys

import report  # before what it has the path of
import peers
from report import Paired, spread, turns

CORE, OTHER_CORE = 1, 0
LIMIT_BPS = 100_000_000_000
# What is held against what, and the ratio that it is to stay under (a time) or over (a rate).
LIMITS = [("p50_us", "veth", 1.1), ("p50_us", "bridge", 1.0), ("p50_us", "ovs-xdp", 1.0), ("gbps", "veth", 1.0), ("gbps", "bridge", 1.0),
          ("gbps", "ovs-tso", 1.0), ("gbps_one_core", "veth", 1.0), ("gbps_one_core", "bridge", 1.0), ("gbps_one_core", "ovs-tso", 1.0)]


def sh(*argv, netns=None, **kw):
    argv = [*(["ip", "netns", "exec", netns] if netns else []), *map(str, argv)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, **kw)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(argv)}:\n{done.stdout}{done.stderr}")
    return done.stdout


# --- what joins the two ---------------------------------------------------------------------------------------------------------


class Pair:
    """Two namespaces, each with an eth0. Made by join(), in force between wake() and rest()."""

    def __init__(self, name, number, options, tmp):
        self.name, self.number, self.options, self.tmp = name, number, options, tmp
        self.ends = [f"{name}{k}" for k in (1, 2)]
        self.addrs = [f"10.{number}.0.{k}" for k in (1, 2)]

    @classmethod
    def missing(cls):
        return None

    def make(self):
        for n in self.ends:
            sh("ip", "netns", "add", n)
            sh("ip", "link", "set", "lo", "up", netns=n)
        self.join()

    def join(self):
        sh("ip", "link", "add", "eth0", "netns", self.ends[0], "type", "veth", "peer", "name", "eth0", "netns", self.ends[1])
        self.address()

    def address(self):
        for n, addr in zip(self.ends, self.addrs):
            sh("ip", "link", "set", "eth0", "up", netns=n)
            sh("ip", "addr", "add", f"{addr}/24", "dev", "eth0", netns=n)

    def wake(self):
        """Frames pass when it returns, and each end knows the other's address."""
        sh("ping", "-q", "-c", "1", "-w", "10", self.addrs[1], netns=self.ends[0])

    def rest(self):
        pass

    def remove(self):
        pass


class Bridge(Pair):
    def join(self):
        bridge = f"br{self.number}"
        sh("ip", "link", "add", bridge, "type", "bridge")
        for n in self.ends:
            sh("ip", "link", "add", n, "type", "veth", "peer", "name", "eth0", "netns", n)
            sh("ip", "link", "set", n, "master", bridge, "up")
        sh("ip", "link", "set", bridge, "up")
        self.address()


class Engine(Pair):
    """One engine_ctl, and so one engine, for all of them."""

    limit = ""
    process = None

    def command(self, line):
        if not Engine.process:
            Engine.process = subprocess.Popen(
                [os.path.join(self.options.build, "tests", "tools", "engine_ctl"), "/sys/fs/bpf/bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, bufsize=1
            )
            if Engine.process.stdout.readline() != "ready\n":
                raise SystemExit("bench: engine_ctl does not start")
        Engine.process.stdin.write(line + "\n")
        while (got := Engine.process.stdout.readline().strip()) != "ok":
            if not got or got.startswith("error"):
                raise SystemExit(f"bench: {line}: {got}")

    def join(self):
        vlan = 100 + self.number
        for i, (n, addr) in enumerate(zip(self.ends, self.addrs)):
            mac = f"02:00:00:00:{vlan:02x}:{i + 1:02x}"
            self.command(f"port add {n} netns={n} ifname=eth0 vlan={vlan} mac={mac} addr={addr}/24 ips={addr} {self.limit}")


class Limited(Engine):
    limit = f"in-bps={LIMIT_BPS} out-bps={LIMIT_BPS}"


class OpenVSwitch(Pair):
    """
    In a namespace of its own, for each has a netdev of the same name. The processes are stopped between turns: a thread that polls would
    have a core in everybody's.
    """

    kind, offload, config = "system", True, ["other_config:userspace-tso-enable=true"]

    @classmethod
    def missing(cls):
        return peers.OpenVSwitch.missing("vhost-user", True)

    def join(self):
        node = f"{self.name}.node"
        sh("ip", "netns", "add", node)
        hosts = [f"port{k}" for k in (1, 2)]
        bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        for n, host in zip(self.ends, hosts):
            sh("ip", "link", "add", host, "netns", node, "type", "veth", "peer", "name", "eth0", "netns", n)
            sh("ip", "link", "set", host, "up", netns=node)
            if not self.offload:
                sh("ethtool", "-K", "eth0", "tx", "off", netns=n)
            bridge += ["--", "add-port", "br0", host, "--", "set", "interface", host, f"type={self.kind}"]
        self.address()
        self.switch = peers.OpenVSwitch(peers.Setup(self.options.build, self.tmp, "veth"))
        self.switch.database(*self.config)
        self.switch.vsctl(*bridge)
        argv = ["taskset", "-c", str(CORE), self.switch.program(), self.switch.db]
        self.switch.process = self.switch.launch(["ip", "netns", "exec", node, *argv], env=self.switch.env)
        self.switch.until(self.switch.configured)
        self.rest()

    def wake(self):
        self.switch.process.send_signal(signal.SIGCONT)
        super().wake()

    def rest(self):
        self.switch.process.send_signal(signal.SIGSTOP)

    def remove(self):
        self.switch.process.send_signal(signal.SIGCONT)
        self.switch.stop()


class OpenVSwitchXdp(OpenVSwitch):
    kind, offload, config = "afxdp", False, [f"other_config:pmd-cpu-mask={1 << CORE:#x}"]


SETUPS = {"sluice": Engine, "veth": Pair, "bridge": Bridge, "limited": Limited, "ovs-xdp": OpenVSwitchXdp, "ovs-tso": OpenVSwitch}


# --- what is measured -----------------------------------------------------------------------------------------------------------


def serve(pair, word, *argv):
    """The server of a measurement, on its core, once it says that it listens."""
    server = subprocess.Popen(["ip", "netns", "exec", pair.ends[1], "taskset", "-c", str(CORE), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while (line := server.stdout.readline()) and word not in line:
        pass
    if not line:
        raise SystemExit(f"bench: {argv[0]} ended before it said {word!r}")
    return server


def ping(pair, seconds):
    """Median and 99th percentile of the round trip, in us."""
    addr = pair.addrs[1]
    server = serve(pair, "to block on", "sockperf", "server", "-i", addr, "-p", "11111")
    try:
        out = sh("taskset", "-c", CORE, "sockperf", "ping-pong", "-i", addr, "-p", "11111", "-m", "14", "-t", seconds, "--full-rtt", netns=pair.ends[0])
    finally:
        server.terminate()
        server.wait()
    return {f"p{p}_us": float(re.search(rf"percentile {p}\.000\s*=\s*([0-9.]+)", out).group(1)) for p in ("50", "99")}


def tcp(pair, seconds, core, *more):
    """Gbit/s of one connection."""
    server = serve(pair, "listening", "iperf3", "-s", "-1", "--forceflush")
    try:
        out = json.loads(sh("taskset", "-c", core, "iperf3", "-c", pair.addrs[1], "-J", "-t", seconds, *more, netns=pair.ends[0]))
    finally:
        server.terminate()
        server.wait()
    return out["end"]["sum_received"]["bits_per_second"] / 1e9


WORK = [
    ("ping", ping),
    ("bulk", lambda pair, seconds: {"gbps": tcp(pair, seconds, OTHER_CORE)}),
    ("bulk1", lambda pair, seconds: {"gbps_one_core": tcp(pair, seconds, CORE, "-C", "cubic")}),
]
KEYS = {"p50_us": "p50, us", "p99_us": "p99, us", "gbps": "TCP, Gbit/s", "gbps_one_core": "one core, Gbit/s"}


def turn(pair, work, seconds):
    pair.wake()
    try:
        return work(pair, seconds)
    finally:
        pair.rest()


def select(only):
    wanted = only.split(",") if only else ["*"]
    names = [n for n in SETUPS if any(fnmatch.fnmatch(n, w) for w in wanted)]
    for n in list(names):
        if missing := SETUPS[n].missing():
            print(f"{n}: SKIPPED, {missing}")
            names.remove(n)
    if not names:
        raise SystemExit("bench: none of these: " + ", ".join(SETUPS))
    return names


def measure(options, tmp):
    seconds = max(1, round(options.seconds))  # iperf3 knows whole ones only
    pairs = {name: SETUPS[name](name, i, options, tmp) for i, name in enumerate(select(options.only))}
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
        control = f.read().strip()
    print(f"local: {options.rounds} rounds of {seconds} s each, alternating; ping on CPU {CORE}; "
          f"bulk ({control}) from CPU {OTHER_CORE} to CPU {CORE}; bulk1 (cubic) on CPU {CORE}")
    results = {name: {key: [] for key in KEYS} for name in pairs}
    try:
        for pair in pairs.values():
            pair.make()
        # Each kind of work makes its own rounds, so that the turns that are compared are neighbours.
        for work, what in WORK:
            for r, name in turns(pairs, options.rounds):
                got = turn(pairs[name], what, seconds)
                for key, value in got.items():
                    results[name][key].append(value)
                print(f"  {work:5} round {r + 1:2} {name:8} " + "  ".join(f"{KEYS[k]} {v:.2f}" for k, v in got.items()), flush=True)
    finally:
        for pair in pairs.values():
            pair.remove()
    return {"rounds": options.rounds, "seconds": seconds, "congestion_control": control, "results": results, "ratio": tell(results)}


def tell(results):
    print("\n" + " " * 10 + "".join(f"{title:>24}" for title in KEYS.values()))
    for name, r in results.items():
        print(f"{name:10}" + "".join(f"{spread(r[key]):>24}" for key in KEYS))
    compared = {}
    for key, peer, limit in LIMITS:
        if peer in results and "sluice" in results:
            paired = Paired(results["sluice"][key], results[peer][key], limit)
            compared.setdefault(peer, {})[key] = paired.record()
            print(f"sluice / {peer:8} {KEYS[key]:16} {paired}")
    return compared


def main():
    parser = argparse.ArgumentParser(description="Measure two containers of one node beside a veth pair, a bridge and Open vSwitch.")
    parser.add_argument("--only", default="", metavar="SETUP,...", help="names of setups, or globs")
    parser.set_defaults(rounds=12, seconds=1)
    return report.main(parser, "local", measure)


if __name__ == "__main__":
    sys.exit(main())

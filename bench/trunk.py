#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The trunk's backends beside each other: what `--trunk auto` should take.

    trunk.py [--build DIR] [--rounds N] [--seconds T] [--backends LIST] [--poll busy|adaptive] [--json FILE] [--lab]

          netns a            the node                                                                   netns d
         +-------+     +------------------------------------------------------------------+           +-------+
         | eth0 === veth === tc --- slc0 === the backend === sluiced, worker on core 1 --- af-packet === eth0   |
         +-------+     +---------------------------------------------------- null sink ---+           +-------+

  ping   14 bytes of UDP from a container to a host beyond the switch and back (sockperf), both ends on core 0
  out    64-byte UDP from the container to a port that swallows all: what the switch received by the trunk, a second
  in     64-byte UDP from the host beyond to the container: what came up in it, a second
  ns     what a frame of those costs the worker, who has guests to serve as well; in, that includes the way up into the container, which the
         kernel goes on the worker's time whatever the backend
  TCP    one connection (iperf3) each way, both ends on core 0

Each backend has a node of its own, and one runs at a time: a turn starts it, measures, and stops it. Turns alternate, ROUNDS times each, in an
order that changes with the round. Printed are the median, the lowest and the highest of the rounds, and the ratio to the first backend, the
median of the ratios of turns of one round. A backend that the kernel lacks is left out, and said so. With --lab all of it runs on Debian's kernel
under QEMU, which has them all: emulated, so ratios are what it is good for, and slow: a minute for a turn.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

import report
from containers import container, host, trunk_node
from harness import Test, add_ports
from lab_kernel import Machine
from measure import own_the_cpu
from report import Paired, spread, turns

CORE, WORKER_CORE, VLAN = 0, 1, 100
BACKENDS = ("veth", "vhost-net", "tap", "veth-xdp")
LAB_DEADLINE_S = 3600
SINK, SINK_MAC = "10.0.0.99", "02:00:00:00:99:99"
COLUMNS = (("p50_us", "p50, us", 1), ("p99_us", "p99, us", 1), ("out_kpps", "out, kpps", 0), ("in_kpps", "in, kpps", 0),
           ("out_ns", "out, worker's ns", 0), ("in_ns", "in, worker's ns", 0),
           ("tcp_out_gbps", "TCP out, Gbit/s", 2), ("tcp_in_gbps", "TCP in, Gbit/s", 2))


class Place:
    """A node with one backend, its container and the host beyond; stopped between its turns."""

    def __init__(self, test, by, number, options):
        self.by, self.build, self.seconds = by, options.build, options.seconds
        netns = f"n{number}"
        subprocess.run(["ip", "netns", "add", netns], check=True)
        subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
        self.node = trunk_node(test, by, netns, start=False, trunk=by, cores=str(WORKER_CORE), poll=options.poll)
        self.missing = self._lacks()
        if self.missing:
            return
        self.a = container(self.node, f"a{number}", 1, vlan=VLAN)
        self.d = host(test, self.node, f"d{number}", 50, vlan=VLAN)
        self.node.apply(*add_ports({"sink": {"kind": "nic", "devargs": "net_null0,no-rx=1", "vlan": VLAN, "static_macs": [f"{VLAN}/{SINK_MAC}"]}})[1:])
        self.a.run("ip", "neigh", "add", SINK, "lladdr", SINK_MAC, "dev", "eth0")
        self.a.ping(self.d.addr, count=3)
        self.node.stop()

    def _lacks(self):
        """Why this backend cannot be measured here, or None. The node runs then."""
        try:
            self.node.start()
        except AssertionError:
            return self.node.log_text().strip().splitlines()[-1]
        state = self.node.get("node", "node")["state"]
        if state["trunk"]:
            return None
        self.node.stop()
        return "; ".join(n["text"] for n in state["notes"])

    def turn(self):
        self.node.start()
        own_the_cpu()
        try:
            self.node.wait_link("slc0", self.d.name)
            self.a.ping(self.d.addr, count=5)
            p50, p99 = self.ping()
            out, out_ns = self.out()
            come_in, in_ns = self.come_in()
            return {"p50_us": p50, "p99_us": p99, "out_kpps": out, "in_kpps": come_in, "out_ns": out_ns, "in_ns": in_ns,
                    "tcp_out_gbps": self.bulk(self.a, self.d), "tcp_in_gbps": self.bulk(self.d, self.a)}
        finally:
            self.node.stop()

    def _pinned(self, end, *argv):
        return ["ip", "netns", "exec", end.name, "taskset", "-c", str(CORE), *map(str, argv)]

    def _serve(self, end, word, *argv):
        server = subprocess.Popen(self._pinned(end, *argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while (line := server.stdout.readline()) and word not in line:
            pass
        assert line, f"{argv[0]} ended before it said {word!r}"
        return server

    def ping(self):
        server = self._serve(self.d, "to block on", "sockperf", "server", "-i", self.d.addr, "-p", "11111")
        try:
            argv = self._pinned(self.a, "sockperf", "ping-pong", "-i", self.d.addr, "-p", "11111", "-m", "14", "-t", self.seconds, "--full-rtt")
            out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        finally:
            server.terminate()
            server.communicate()
        return tuple(float(re.search(rf"percentile {p}\.000\s*=\s*([0-9.]+)", out).group(1)) for p in ("50", "99"))

    def datagrams(self, source, target, addr):
        argv = ["taskset", "-c", str(CORE), os.path.join(self.build, "bench", "udp_pps"), source, target, addr, "9999", str(self.seconds)]
        return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)

    def worker(self):
        found = self.node.call("stats", {"object": "worker"})["stats"][0]
        return found["frames"], found["busy_us"]

    def out(self):
        """Thousands a second that came to the switch, and what one cost its worker."""
        before, (frames, busy_us) = self.node.port_stats("slc0")["rx_frames"], self.worker()
        seconds = self.datagrams(self.a.name, "-", SINK)["seconds"]
        after = self.worker()
        return (self.node.port_stats("slc0")["rx_frames"] - before) / seconds / 1000, (after[1] - busy_us) / (after[0] - frames) * 1000

    def come_in(self):
        frames, busy_us = self.worker()
        result = self.datagrams(self.d.name, self.a.name, self.a.addr)
        after = self.worker()
        return result["received"] / result["seconds"] / 1000, (after[1] - busy_us) / (after[0] - frames) * 1000

    def bulk(self, source, target):
        server = self._serve(target, "listening", "iperf3", "-s", "-1", "--forceflush")
        try:
            argv = self._pinned(source, "iperf3", "-c", target.addr, "-J", "-t", self.seconds)
            out = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        finally:
            server.communicate(timeout=20)
        return out["end"]["sum_received"]["bits_per_second"] / 1e9


def measure(options, tmp):
    options.seconds = max(1, round(options.seconds))  # sockperf and iperf3 know whole ones only
    test = Test(tmp, options.build)
    places = {}
    for number, by in enumerate(options.backends.split(",")):
        place = Place(test, by, number, options)
        if place.missing:
            print(f"{by}: SKIPPED, {place.missing}", flush=True)
        else:
            places[by] = place
    assert places, "none of the backends is to be had"
    results = {by: {key: [] for key, _, _ in COLUMNS} for by in places}
    for r, by in turns(places, options.rounds):
        found = places[by].turn()
        for key, value in found.items():
            results[by][key].append(value)
        print(f"  round {r + 1}  {by:10}" + "  ".join(f"{label} {found[key]:.{digits}f}" for key, label, digits in COLUMNS), flush=True)
    table(results)
    return {"rounds": options.rounds, "seconds": options.seconds, "poll": options.poll, "backends": results}


def table(results):
    first, *others = results
    print("\n" + " " * 18 + "".join(f"{by:>26}" for by in results) + "".join(f"{by + ' / ' + first:>30}" for by in others))
    for key, label, digits in COLUMNS:
        ratios = [Paired(results[by][key], results[first][key]) for by in others]
        print(f"{label:18}" + "".join(f"{spread(results[by][key], digits):>26}" for by in results) +
              "".join(f"{f'{r.median:.2f} [{r.low:.2f}..{r.high:.2f}]':>30}" for r in ratios))


def in_lab(arguments):
    """The same on another kernel, whose output is shown."""
    build = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build")
    if "--build" in arguments:
        build = arguments[arguments.index("--build") + 1]
    with tempfile.TemporaryDirectory(prefix="sluice-bench.") as tmp:
        machine = Machine(Test(tmp, os.path.abspath(build)), modules=["vhost_net"], memory_mib=2048).start()
        try:
            print(machine.run(shlex.join(["/usr/bin/python3", "-uB", os.path.abspath(__file__), *arguments]), seconds=LAB_DEADLINE_S), end="")
        finally:
            machine.kill9()
    return 0


def main():
    if "--lab" in sys.argv:
        if "--json" in sys.argv:
            raise SystemExit("trunk.py: --json writes here, and --lab runs elsewhere")
        return in_lab([a for a in sys.argv[1:] if a != "--lab"])
    parser = argparse.ArgumentParser(description="Measure the trunk's backends beside each other.")
    parser.add_argument("--backends", default=",".join(BACKENDS), metavar="LIST", help="which, the first is what the others are compared to (default: %(default)s)")
    parser.add_argument("--poll", choices=("busy", "adaptive"), default="busy", help="the worker's (default: %(default)s)")
    parser.add_argument("--lab", action="store_true", help="on Debian's kernel under QEMU")
    parser.set_defaults(rounds=5, seconds=2)
    return report.main(parser, "trunk", measure)


if __name__ == "__main__":
    sys.exit(main())

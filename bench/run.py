#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: measure Sluice beside its peers, in one run.

    run.py [--build DIR] [--rounds N] [--seconds T] [--only CASE,...] [--memory auto|huge|plain] [--json FILE] [--list]

How it is measured. A forwarder (Sluice, or a peer) runs one worker on one core; the traffic source plays both ends on another core. For
each case the forwarders take turns, ROUNDS times each, so that a machine whose speed drifts drifts for all; every turn starts a
fresh forwarder. Printed are the median, the lowest and the highest of the rounds, and the ratio of Sluice to each peer: the median of
the ratios of rounds that followed each other. Numbers are printed as they come, also when they disappoint.

  memif: two memif ports, in ordinary memory. The peer is `dpdk-testpmd --forward-mode=io` on two ports of DPDK's memif driver: it looks
  at nothing, learns nothing, and sends what came by one port out by the other.
  vhost-user: two guests that are no guests, a front end of our own each, to which the forwarder connects. Peers are `dpdk-testpmd io` on
  DPDK's vhost driver, and Open vSwitch with DPDK (NORMAL, its worker on the same core). Packet buffers and guests are in huge pages,
  as operators run these, for all of them; where the machine gives none, or with --memory plain, in ordinary ones for all.

  Offered at a rate: what falls due while a ring is full counts as lost, whoever was late. Beside the loss stands how long the worker was
  ready to run while the kernel ran others on its CPU: on a node whose cores are not isolated that, and not the switch, fills a ring.

The source keeps its frames in place and costs a few nanoseconds a frame; what it does alone is printed first.

A case is a line of CASES; CASE in --only may be a glob. A forwarder is a class in peers.py; one that is not installed, or that cannot
do a case, is left out, and said so.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import subprocess
import sys

import report  # before what it has the path of
from report import ratio, spread
from peers import SOURCE_CORE, WORKER_CORE, OpenVSwitch, Setup, Sluice, Testpmd

PEERS = {"testpmd": Testpmd, "ovs": OpenVSwitch}
SOURCES = {"memif": "memif_source", "vhost-user": "vhost_source"}
HUGE_PAGES, HUGE_FILE = 640, "/proc/sys/vm/nr_hugepages"  # of 2 MiB: the largest forwarder's and the guests'

_10K, _100K = ["--flows", "10000", "--macs", "1000"], ["--flows", "100000", "--macs", "50000"]
# Open vSwitch translates each flow once, in seconds: what is measured begins after that.
_V10K, _V100K = [*_10K, "--warmup", "4"], [*_100K, "--warmup", "8"]
_PING, _RATE = ["--mode", "ping"], ["--mode", "rate", "--rate", "1000000"]
# 500,000 frames a second and direction: a ring of 1,024 lasts 2 ms, one of 4,096 lasts 8 ms. A kernel with a tick of 4 ms (HZ=250) lets
# whoever it puts in the worker's place stay for that long.
_DEEP = [*_RATE, "--ring", "4096"]
_IDLE = "64 more idle ports"

# name, transport, what it shows, the source's arguments, silent ports beside the two, MTU, peers, unit.
# "itself" is Sluice without the silent ports. testpmd would need 66 of the 32 devices that Debian's DPDK carries.
CASES = [
    ("1-flow", "memif", "64 bytes both ways, 1 flow", [], 0, 1500, ("testpmd",), "Mpps"),
    ("10k-flows", "memif", "10,000 flows over 1,000 + 1,000 MACs", _10K, 0, 1500, ("testpmd",), "Mpps"),
    ("100k-flows", "memif", "100,000 flows over 50,000 + 50,000 MACs", _100K, 0, 1500, ("testpmd",), "Mpps"),
    ("idle-ports", "memif", f"1 flow, {_IDLE}", [], 64, 1500, ("itself",), "Mpps"),
    ("1514-bytes", "memif", "1,514 bytes both ways (1,518 with FCS), 1 flow", ["--size", "1514"], 0, 1500, ("testpmd",), "Mpps"),
    ("ping", "memif", "one frame in flight", _PING, 0, 1500, ("testpmd",), "us"),
    ("ping-idle", "memif", f"one frame in flight, {_IDLE}", _PING, 64, 1500, ("itself",), "us"),
    ("1-mpps", "memif", "1 Mpps offered", _RATE, 0, 1500, ("testpmd",), "us"),
    ("vhost-1-flow", "vhost-user", "64 bytes both ways, 1 flow", [], 0, 1500, ("testpmd", "ovs"), "Mpps"),
    ("vhost-10k-flows", "vhost-user", "10,000 flows over 1,000 + 1,000 MACs", _V10K, 0, 1500, ("testpmd", "ovs"), "Mpps"),
    ("vhost-100k-flows", "vhost-user", "100,000 flows over 50,000 + 50,000 MACs", _V100K, 0, 1500, ("testpmd", "ovs"), "Mpps"),
    ("vhost-idle-ports", "vhost-user", f"1 flow, {_IDLE}", [], 64, 1500, ("itself", "ovs"), "Mpps"),
    ("vhost-1514-bytes", "vhost-user", "1,514 bytes both ways (1,518 with FCS), 1 flow", ["--size", "1514"], 0, 1500, ("testpmd", "ovs"),
     "Mpps"),
    ("vhost-9000-bytes", "vhost-user", "9,000 bytes both ways, 1 flow", ["--size", "9000"], 0, 9000, ("testpmd", "ovs"), "Mpps"),
    ("vhost-ping", "vhost-user", "one frame in flight", _PING, 0, 1500, ("testpmd", "ovs"), "us"),
    ("vhost-ping-idle", "vhost-user", f"one frame in flight, {_IDLE}", _PING, 64, 1500, ("itself", "ovs"), "us"),
    ("vhost-1-mpps", "vhost-user", "1 Mpps offered, rings of 1,024 (2 ms)", _RATE, 0, 1500, ("testpmd", "ovs"), "us"),
    ("vhost-1-mpps-deep", "vhost-user", "1 Mpps offered, rings of 4,096 (8 ms)", _DEEP, 0, 1500, ("testpmd", "ovs"), "us"),
]


def source(build, transport, pair, idle, arguments, options):
    argv = [os.path.join(build, "bench", SOURCES[transport]), "--core", str(SOURCE_CORE), "--seconds", str(options.seconds), "--warmup", "0.5",
            "--pair", ",".join(pair), *arguments]
    for path in idle:
        argv += ["--idle", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(argv)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def turn(kind, case, idle, options, build, tmp):
    """Start a forwarder, measure it, stop it."""
    _, transport, _, arguments, _, mtu, _, _ = case
    huge = options.huge and transport == "vhost-user"
    forwarder = kind(Setup(build, tmp, transport, idle, mtu, huge))
    arguments = [*arguments, *([] if forwarder.learns else ["--no-learn"]), *(["--huge"] if huge else [])]
    try:
        pair, silent = forwarder.start()
        before = forwarder.cpu_ns()
        result = source(build, transport, pair, silent, arguments, options)
        return {**result, "worker_waited_ms": forwarder.worker_waited_ms(before)}
    finally:
        forwarder.stop()


def told(case, rounds):
    """A case's lines, and its record. `rounds` has each forwarder's results, Sluice's first."""
    name, transport, title, _, _, _, _, unit = case
    record = {"case": name, "transport": transport, "title": title, "unit": unit, "rounds": rounds, "ratio": {}}
    if unit == "Mpps":
        columns = [("Mpps", lambda r: r["mpps"])]
    else:
        columns = [(p, lambda r, p=p: r["latency_us"][p]) for p in ("p50", "p99", "p999")]
    ours = rounds["sluice"]
    for label, value in columns:
        line = f"  {label + (' us' if unit == 'us' else ''):8} sluice {spread([value(r) for r in ours]):22}"
        for peer, theirs in rounds.items():
            if peer == "sluice":
                continue
            r = ratio([value(x) for x in ours], [value(x) for x in theirs])
            record["ratio"].setdefault(peer, {})[label] = r
            line += f" {peer} {spread([value(x) for x in theirs]):22} ratio {'-' if r is None else f'{r:.2f}':6}"
        print(line, flush=True)
    if "rate" in case[3]:
        record["loss_percent"] = {who: [100 * r["lost"] / max(r["tx_frames"], 1) for r in results] for who, results in rounds.items()}
        print("  loss %   " + " ".join(f"{who} {spread(lost, 4):22}" for who, lost in record["loss_percent"].items()), flush=True)
        print("  worker without its CPU, ms: " +
              " ".join(f"{who} {spread([r['worker_waited_ms'] for r in results], 1):20}" for who, results in rounds.items()), flush=True)
    return record


def measure(case, options, build, tmp):
    _, transport, title, _, idle, _, peers, _ = case
    print(f"\n{transport}: {title}")
    takers = {"sluice": (Sluice, idle)}
    for peer in peers:
        missing = None if peer == "itself" else PEERS[peer].missing(transport, options.huge)
        if missing:
            print(f"  beside {peer}: SKIPPED, {missing}")
        else:
            takers["without them" if peer == "itself" else peer] = (Sluice, 0) if peer == "itself" else (PEERS[peer], idle)
    rounds = {who: [] for who in takers}
    for _ in range(options.rounds):
        for who, (kind, silent) in takers.items():
            rounds[who].append(turn(kind, case, silent, options, build, tmp))
    return told(case, rounds)


def select(only):
    wanted = only.split(",") if only else ["*"]
    cases = [c for c in CASES if any(fnmatch.fnmatch(c[0], w) for w in wanted)]
    if not cases:
        raise SystemExit("bench: no such case; --list prints them")
    return cases


def run(options, tmp):
    build, cases = options.build, select(options.only)
    print(f"{options.rounds} rounds of {options.seconds} s each, alternating; worker on CPU {WORKER_CORE}, source on CPU {SOURCE_CORE}")
    ceilings = {}
    for transport in dict.fromkeys(c[1] for c in cases):
        alone = [("1 flow", []), ("100,000 flows", _100K)]
        if transport == "vhost-user":
            null = ["--null-core", str(WORKER_CORE)]
            alone += [("1 flow, a null switch on the worker's core", null), ("100,000 flows, the same", [*_100K, *null])]
        for name, arguments in alone:
            mpps = source(build, transport, ["a", "b"], [], ["--mode", "ceiling", *arguments], options)["mpps"]
            ceilings[f"{transport}, {name}"] = mpps
            print(f"the source alone, {transport}, {name}: {mpps:.0f} Mpps, {1000 / mpps:.1f} ns a frame", flush=True)
    if any(c[1] == "vhost-user" for c in cases):
        print(f"vhost-user: packet buffers and guests in {'huge' if options.huge else 'ordinary'} pages")
    records = [measure(case, options, build, tmp) for case in cases]
    return {"rounds": options.rounds, "seconds": options.seconds, "cpus": os.cpu_count(), "huge_pages": options.huge, "source_mpps": ceilings,
            "cases": records}


def reserve(pages):
    """Have at least that many huge pages reserved. Returns how many there were, or None when the machine does not give them."""
    try:
        with open(HUGE_FILE, encoding="ascii") as f:
            before = int(f.read())
        if before < pages:
            set_reserved(pages)
        with open("/proc/meminfo", encoding="ascii") as f:
            free = int(next(line for line in f if line.startswith("HugePages_Free")).split()[1])
    except (OSError, StopIteration):
        return None
    if free < pages:
        set_reserved(before)
        return None
    return before


def set_reserved(pages):
    with open(HUGE_FILE, "w", encoding="ascii") as f:
        f.write(str(pages))


@contextlib.contextmanager
def huge_pages(options):
    """Reserved while it lasts; the argument that says that they are."""
    wanted = options.memory != "plain" and any(c[1] == "vhost-user" for c in select(options.only))
    reserved = reserve(HUGE_PAGES) if wanted else None
    if options.memory == "huge" and reserved is None:
        raise SystemExit(f"bench: {HUGE_PAGES} huge pages are not to be had")
    try:
        yield ["--huge"] if reserved is not None else []
    finally:
        if reserved is not None:
            set_reserved(reserved)


class List(argparse.Action):
    """--list"""

    def __call__(self, parser, *_):
        print("\n".join(f"{c[0]:18} {c[1]:12} {c[2]}" for c in CASES))
        parser.exit()


def main():
    parser = argparse.ArgumentParser(description="Measure Sluice beside its peers.")
    parser.add_argument("--only", default="", metavar="CASE,...", help="names of cases, or globs")
    parser.add_argument("--memory", choices=("auto", "huge", "plain"), default="auto", help="of vhost-user's forwarders and guests")
    parser.add_argument("--list", action=List, nargs=0, help="print the cases")
    parser.add_argument("--huge", action="store_true", help=argparse.SUPPRESS)
    return report.main(parser, "switch", run, huge_pages)


if __name__ == "__main__":
    sys.exit(main())

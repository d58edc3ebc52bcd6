#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: measure Sluice beside its peers, in one run.

    run.py [--build DIR] [--rounds N] [--seconds T] [--only CASE,...] [--json FILE] [--list]

How it is measured. A forwarder (Sluice, or a peer) runs one worker on one core; the traffic source plays both ends on another core. For
each case the forwarders take turns, ROUNDS times each, so that a machine whose speed drifts drifts for all; every turn starts a
fresh forwarder. Printed are the median, the lowest and the highest of the rounds, and the ratio of Sluice to the peer: the median of the
ratios of rounds that followed each other. Numbers are printed as they come, also when they disappoint.

  memif: frames of 64 bytes both ways between two memif ports, in ordinary memory. The peer is `dpdk-testpmd --forward-mode=io` on two memif
  ports of DPDK's driver: it looks at nothing, learns nothing, and sends what came by one port out by the other. The source keeps its
  frames in place and costs a few nanoseconds a frame; `ceiling` is what it does alone.

A peer that is not installed is left out, and said so. A case is a line of CASES; a forwarder is a class with start() and stop().
"""

import argparse
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "system"))
# pylint: disable=wrong-import-position
import sandbox  # noqa: E402
from harness import Control  # noqa: E402

SOURCE_CORE, WORKER_CORE = 0, 1
START_S = 20

# name, what it shows, the source's arguments, silent ports beside the two, peers that can do it, unit
CASES = [
    ("1-flow", "64 bytes both ways, 1 flow", [], 0, ("testpmd",), "Mpps"),
    ("10k-flows", "10,000 flows over 1,000 + 1,000 MACs", ["--flows", "10000", "--macs", "1000"], 0, ("testpmd",), "Mpps"),
    ("100k-flows", "100,000 flows over 50,000 + 50,000 MACs", ["--flows", "100000", "--macs", "50000"], 0, ("testpmd",), "Mpps"),
    # Against itself without them: testpmd would need 66 of the 32 devices that Debian's DPDK carries.
    ("idle-ports", "1 flow, 64 more idle ports (beside Sluice without them)", [], 64, ("itself",), "Mpps"),
    ("1514-bytes", "1,514 bytes both ways (1,518 with FCS), 1 flow", ["--size", "1514"], 0, ("testpmd",), "Mpps"),
    ("ping", "one frame in flight", ["--mode", "ping"], 0, ("testpmd",), "us"),
    ("ping-idle", "one frame in flight, 64 more idle ports (beside Sluice without them)", ["--mode", "ping"], 64, ("itself",), "us"),
    ("1-mpps", "1 Mpps offered", ["--mode", "rate", "--rate", "1000000"], 0, ("testpmd",), "us"),
]


class Sluice:
    """sluiced with a busy worker and two access ports of VLAN 100; the silent ones are in it too."""

    name = "sluice"

    def __init__(self, build, tmp, idle):
        self.dir, self.idle = tempfile.mkdtemp(dir=tmp), idle
        self.build = build
        self.process = None
        self.learns = True

    def socket(self, port):
        return os.path.join(self.dir, f"m{port}.sock")

    def start(self):
        control, config = os.path.join(self.dir, "control"), os.path.join(self.dir, "conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write("# the bench sets everything on the command line\n")
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.build, "sluiced"), "--config", config, "--socket", control, "--stat-socket", control + ".stat",
                 "--state", os.path.join(self.dir, "state.db"), "--trunk", "none", "--memory", "plain", "--poll", "busy",
                 "--cores", str(WORKER_CORE)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(lambda: connects(control), self)
        session = Control(control, "bench")
        ports = [0, 1] + [2 + i for i in range(self.idle)]
        session.call("apply", {"ops": [{"op": "add", "object": "vlan", "name": "100", "attrs": {}}] + [
            {"op": "add", "object": "port", "name": f"m{i}", "attrs": {"kind": "memif", "path": self.socket(i), "vlan": 100}} for i in ports]})
        session.close()
        return [self.socket(0), self.socket(1)], [self.socket(i) for i in ports[2:]]

    def stop(self):
        end(self.process)


class Testpmd:
    """dpdk-testpmd forwarding between two memif ports without looking at the frames."""

    name = "testpmd"

    def __init__(self, _build, tmp, idle):
        assert idle == 0
        self.dir = tempfile.mkdtemp(dir=tmp)
        self.process = None
        self.learns = False

    @staticmethod
    def driver():
        found = sorted(glob.glob("/usr/lib/*/dpdk/pmds-*/librte_net_memif.so"))
        return found[-1] if found else None

    @classmethod
    def missing(cls):
        if not shutil.which("dpdk-testpmd"):
            return "dpdk-testpmd is not installed (package dpdk-dev or dpdk)"
        return None if cls.driver() else "DPDK's memif driver is not installed"

    def start(self):
        sockets = [os.path.join(self.dir, f"m{i}.sock") for i in range(2)]
        vdevs = [f"--vdev=net_memif{i},role=server,id={i},socket-abstract=no,socket={s}" for i, s in enumerate(sockets)]
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["dpdk-testpmd", f"--lcores=0@{SOURCE_CORE},1@{WORKER_CORE}", "--no-huge", "-m", "256", "--no-shconf", "--no-pci", "--no-telemetry",
                 "-d", self.driver(), *vdevs, "--", "--forward-mode=io", "--auto-start", "--nb-cores=1", "--total-num-mbufs=16384",
                ], stdout=log, stderr=log, stdin=subprocess.PIPE)
        # Its sockets are there before its interfaces are.
        until(lambda: self.said("Checking link"), self)
        return [f"{s}:{i}" for i, s in enumerate(sockets)], []

    def said(self, text):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
            return text in f.read()

    def stop(self):
        end(self.process, signal.SIGINT)


def connects(path):
    try:
        Control(path, "bench").close()
        return True
    except (OSError, ConnectionError):
        return False


def until(ready, forwarder):
    """Poll: a process that starts tells nobody. The deadline is generous, the step short beside a round."""
    deadline = time.monotonic() + START_S
    while not ready():
        if forwarder.process.poll() is not None or time.monotonic() > deadline:
            with open(os.path.join(forwarder.dir, "log"), encoding="utf-8", errors="replace") as f:
                raise SystemExit(f"bench: {forwarder.name} did not start:\n{f.read()[-3000:]}")
        time.sleep(0.02)


def end(process, signum=signal.SIGTERM):
    if process is None:
        return
    process.send_signal(signum)
    try:
        process.wait(START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def source(build, pair, idle, learns, arguments, options):
    argv = [os.path.join(build, "bench", "memif_source"), "--core", str(SOURCE_CORE), "--seconds", str(options.seconds), "--warmup", "0.5",
            "--pair", ",".join(pair), *arguments]
    for path in idle:
        argv += ["--idle", path]
    if not learns:
        argv.append("--no-learn")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(argv)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def turn(kind, idle, arguments, build, tmp, options):
    forwarder = kind(build, tmp, idle)
    try:
        pair, silent = forwarder.start()
        return source(build, pair, silent, forwarder.learns, arguments, options)
    finally:
        forwarder.stop()


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}..{max(values):.{digits}f}]"


def ratio(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs))


def report(case, ours, theirs, peer):
    """A case's lines, and its record."""
    name, title, _, _, _, unit = case
    record = {"case": name, "title": title, "unit": unit, "sluice": ours, "peer": peer, "peer_rounds": theirs}
    if unit == "Mpps":
        columns = [("Mpps", lambda r: r["mpps"])]
    else:
        columns = [(p, lambda r, p=p: r["latency_us"][p]) for p in ("p50", "p99", "p999")]
    print(f"\n{title}")
    for label, value in columns:
        a, b = [value(r) for r in ours], [value(r) for r in theirs]
        record[f"ratio_{label}"] = ratio(a, b) if min(b) else None
        shown = f"{record[f'ratio_{label}']:.2f}" if min(b) else "-"
        print(f"  {label + (' us' if unit == 'us' else ''):8} sluice {spread(a):24} {peer} {spread(b):24} ratio {shown}", flush=True)
    if name == "1-mpps":
        lost = [100 * r["lost"] / max(r["tx_frames"], 1) for r in ours], [100 * r["lost"] / max(r["tx_frames"], 1) for r in theirs]
        print(f"  {'loss %':8} sluice {spread(lost[0], 4):24} {peer} {spread(lost[1], 4)}", flush=True)
        record["loss_percent"], record["peer_loss_percent"] = lost
    return record


def run(options, build, tmp):
    cases = [c for c in CASES if not options.only or c[0] in options.only.split(",")]
    if not cases:
        raise SystemExit("bench: no such case; --list prints them")
    missing = Testpmd.missing()
    ceiling = source(build, ["a", "b"], [], True, ["--mode", "ceiling"], options)["mpps"]
    print(f"{options.rounds} rounds of {options.seconds} s each, alternating; worker on CPU {WORKER_CORE}, source on CPU {SOURCE_CORE}")
    print(f"the source alone: {ceiling:.0f} Mpps", flush=True)
    records = []
    for case in cases:
        peer = case[4][0]
        if peer == "testpmd" and missing:
            print(f"\n{case[1]}\n  beside testpmd: SKIPPED, {missing}")
            continue
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(turn(Sluice, case[3], case[2], build, tmp, options))
            theirs.append(turn(Testpmd, 0, case[2], build, tmp, options) if peer == "testpmd" else turn(Sluice, 0, case[2], build, tmp, options))
        records.append(report(case, ours, theirs, peer))
    return {"rounds": options.rounds, "seconds": options.seconds, "cpus": os.cpu_count(), "source_mpps": ceiling, "cases": records}


def main():
    parser = argparse.ArgumentParser(description="Measure Sluice beside its peers.")
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="", metavar="CASE,...")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{c[0]:12} {c[1]}" for c in CASES))
        return 0
    build = os.path.abspath(options.build)
    if options.inside:
        sandbox.settle(options.inside)
        # What else runs on the machine should matter as little as it can.
        os.nice(-20)
        result = run(options, build, options.inside)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as f:
                json.dump(result, f, indent=1)
        return 0
    if os.geteuid() != 0:
        parser.error("namespaces need root")
    if os.cpu_count() < 2:
        parser.error("a forwarder and its source need a CPU each")
    if options.json:
        options.json = os.path.abspath(options.json)
    tmp = tempfile.mkdtemp(prefix="sluice-bench.")
    argv = [sys.executable, os.path.abspath(__file__), "--build", build, "--rounds", str(options.rounds), "--seconds", str(options.seconds), "--only",
            options.only, "--inside", tmp, *(["--json", options.json] if options.json else [])]
    try:
        return subprocess.run(sandbox.command(argv), check=False).returncode
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

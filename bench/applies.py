#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A checked stream at millions of frames a second while the configuration changes: is one lost, or does one come twice?

    applies.py [--build DIR] [--rounds N] [--seconds T] [--pps N] [--json FILE]

Two vhost-user ports exchange numbered 64-byte frames both ways (tests/stream/vhost_stream.c), PPS in each direction are offered, from one core to a busy
worker on another. The guests hold the switch to every frame: each once, in order, unchanged. Meanwhile a client adds 500 VLANs and 50
ports in one apply, changes a port and a VLAN of those in the next, takes all of them away in the third, and begins again; each apply is on
disk when it is answered. The same stream without applies takes turns with it. On two cores the control thread, which carries applies out, has to
share the stream's: the stream offers less then, which is not the worker's doing.

Prints the rate that was reached, how many applies there were and how long one took. A frame that is lost, twice, late or changed ends the
report with an error.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import report  # before what it has the path of
from harness import Control
from report import Paired, spread, turns
from peers import SOURCE_CORE, WORKER_CORE, Setup, Sluice

VLANS, PORTS = range(1000, 1500), 50
WRONG = ("lost", "twice", "late", "changed")


class Stream:
    """vhost_stream on its core; the bench hears the account at the end."""

    def __init__(self, build, pair, pps):
        argv = ["taskset", "-c", str(SOURCE_CORE), os.path.join(build, "tests", "vhost_stream"), "--pps", str(pps), "--flood", "0", "--max-frame", "64",
                "--window", "512", "--ring", "1024", "--event-idx"]
        for path in pair:
            argv += ["--path", path]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line()
        self.began = time.monotonic()

    def line(self):
        got = self.process.stdout.readline()
        if not got:
            raise SystemExit(f"bench: vhost_stream ended with {self.process.wait()}")
        return json.loads(got)

    def end(self):
        """Frames a second of both directions, in millions; what went wrong ends the bench."""
        self.process.stdin.close()
        account = self.line()
        took = time.monotonic() - self.began
        self.process.wait()
        wrong = {f"{d}: {what}": account[d][what] for d in "ab" for what in WRONG if account[d][what]}
        if wrong or not account["ok"]:
            raise SystemExit(f"bench: the stream is not whole: {wrong or account}")
        return sum(account[d]["received"] for d in "ab") / took / 1e6


def changes(directory):
    """Three applies whose end is their beginning."""
    ports = [{"op": "add", "object": "port", "name": f"q{i}", "attrs": {"kind": "vhost-user", "path": f"{directory}/q{i}.sock", "vlan": VLANS[i]}}
             for i in range(PORTS)]
    vlans = [{"op": "add", "object": "vlan", "name": str(vid)} for vid in VLANS]
    return [
        vlans + ports,
        [{"op": "set", "object": "port", "name": "q1", "attrs": {"mtu": 2000}}, {"op": "set", "object": "vlan", "name": str(VLANS[1]), "attrs": {"storm_pps": 5}}],
        [{"op": "del", "object": o["object"], "name": o["name"]} for o in ports + vlans],
    ]


def turn(options, tmp, apply):
    """(Mpps, seconds that each apply took)."""
    sluice = Sluice(Setup(options.build, tmp, "vhost-user"))
    took = []
    try:
        pair, _ = sluice.start()
        session, ops = Control(sluice.control, "bench"), changes(sluice.dir)
        stream = Stream(options.build, pair, options.pps)
        end = time.monotonic() + options.seconds
        while apply and time.monotonic() < end:
            for batch in ops:
                before = time.monotonic()
                session.call("apply", {"ops": batch})
                took.append(time.monotonic() - before)
        # Nobody but the clock ends the other's turn.
        time.sleep(max(0, end - time.monotonic()))
        mpps = stream.end()
        session.close()
        return mpps, took
    finally:
        sluice.stop()


def measure(options, tmp):
    print(f"applies: {options.rounds} rounds of {options.seconds} s, {options.pps / 1e6:g} Mpps offered in each direction; worker on CPU {WORKER_CORE}, "
          f"stream on CPU {SOURCE_CORE}")
    mpps, took = {"applies": [], "quiet": []}, []
    for r, who in turns(mpps, options.rounds):
        reached, times = turn(options, tmp, who == "applies")
        mpps[who].append(reached)
        took += times
        print(f"  round {r + 1}  {who:8} {reached:.2f} Mpps, whole" + (f", {len(times)} applies" if times else ""), flush=True)
    compared = Paired(mpps["applies"], mpps["quiet"])
    frames = sum(sum(v) for v in mpps.values()) * options.seconds
    print(f"\n{len(took)} applies, none cost a frame of {frames:.0f} million; {statistics.median(took) * 1e3:.1f} ms each, {max(took) * 1e3:.1f} at most")
    print(f"Mpps with them {spread(mpps['applies'])}, without {spread(mpps['quiet'])}, ratio {compared}")
    return {"rounds": options.rounds, "seconds": options.seconds, "offered_pps": options.pps, "mpps": mpps, "applies": len(took),
            "apply_ms": [1e3 * t for t in took], "ratio": compared.record()}


def main():
    parser = argparse.ArgumentParser(description="Hold a stream to every frame while the configuration changes.")
    parser.add_argument("--pps", type=int, default=1_500_000, help="frames a second offered in each direction (default: %(default)s)")
    parser.set_defaults(rounds=3, seconds=5)
    return report.main(parser, "applies", measure)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the bench's reports are made with: numbers that are known, and two namespaces really measured."""

import json
import os
import subprocess
import sys

from harness import alone, deadline, need

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
sys.path.append(BENCH)
# pylint: disable=wrong-import-position
import report  # noqa: E402


def test_paired_ratios(_t):
    """Median, interval and sign test of pairs whose answers are in any table of the binomial distribution."""
    p = report.Paired([float(n) for n in range(12, 0, -1)], [1.0] * 12, limit=2.5)
    # 1 - 2 * (1 + 12 + 66) / 4096: the third lowest and the third highest.
    assert (p.low, p.median, p.high) == (3, 6.5, 10) and abs(p.confidence - 0.9614) < 1e-4
    # Two of twelve below: 2 * (1 + 12 + 66) / 4096.
    assert p.above() == 10 and abs(p.p - 0.0386) < 1e-4
    few = report.Paired([1.0, 3.0, 2.0], [1.0] * 3)
    assert (few.low, few.median, few.high, few.confidence) == (1, 2, 3, 0.75) and few.p == 0.5
    assert report.Paired([2.0, 2.0], [2.0, 2.0]).p == 1 and report.ratio([1.0], [0.0]) is None and str(report.Paired([], [])) == "-"


def test_turns(_t):
    """In each round each has one turn; over many everyone is first, and nobody always follows the same."""
    takers = ("a", "b", "c")
    order = list(report.turns(takers, 6))
    rounds = [[who for r, who in order if r == n] for n in range(6)]
    assert all(sorted(r) == list(takers) for r in rounds) and {r[0] for r in rounds} == set(takers)
    assert all({r[r.index(who) - 1] for r in rounds if r[0] != who} == set(takers) - {who} for who in takers)


def test_each_report_has_its_part_of_the_file(t):
    """A report that is measured anew takes the place of its own, and leaves the others'."""
    path = os.path.join(t.tmp, "bench.json")
    for name, record in (("one", {"x": 1}), ("two", {"x": 2}), ("one", {"x": 3})):
        report.save(path, name, record)
    with open(path, encoding="utf-8") as f:
        assert json.load(f) == {"one": {"x": 3}, "two": {"x": 2}}


@alone("a benchmark")
@deadline(180)
def test_a_report_runs(t):
    """bench/local.py, one round: the kernel engine and a bridge, in a sandbox of its own; the file has what was printed."""
    need("sockperf", "iperf3")
    path = os.path.join(t.tmp, "bench.json")
    argv = [sys.executable, os.path.join(BENCH, "local.py"), "--build", t.build, "--rounds", "1", "--only", "sluice,bridge", "--json", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    with open(path, encoding="utf-8") as f:
        record = json.load(f)["local"]
    assert set(record["results"]) == {"sluice", "bridge"} and all(len(v) == 1 and v[0] > 0 for r in record["results"].values() for v in r.values())
    assert set(record["ratio"]) == {"bridge"} and "sluice / bridge" in done.stdout

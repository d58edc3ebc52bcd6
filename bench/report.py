# SPDX-License-Identifier: Apache-2.0
"""What the reports of `make bench` share: turns, numbers, the sandbox, the file.

    def measure(options, tmp):                 inside the sandbox, with a share of the CPU of its own
        for r, who in turns(takers, options.rounds):
            results[who].append(...)           one number a round, in the order of the rounds
        print(spread(results["ours"]), Paired(results["ours"], results["theirs"]))
        return {...}                           what goes into the file, as JSON

    sys.exit(main(parser, "local", measure))   --build, --rounds, --seconds, --json come from here

The machine is shared and its speed drifts. So nobody is measured alone: all takers have their turn in every round, in an order that changes
with the round, and what is compared are the two numbers of one round (Paired). A ratio of medians would compare moments.

The file (--json) holds one document: {REPORT: what its measure() returned, ...}. A report writes its own and leaves the others'.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "system"))
# pylint: disable=wrong-import-position
import sandbox  # noqa: E402
from measure import own_the_cpu  # noqa: E402

CONFIDENCE = 0.95


# --- turns --------------------------------------------------------------------------------------------------------------------


def turns(takers, rounds):
    """(round, taker), every taker once a round. Who is first changes, and so does the direction, so that nobody always follows the same."""
    takers = list(takers)
    for r in range(rounds):
        first = r // 2 % len(takers)
        order = takers[first:] + takers[:first]
        for taker in order if r % 2 == 0 else reversed(order):
            yield r, taker


# --- numbers ------------------------------------------------------------------------------------------------------------------


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}..{max(values):.{digits}f}]"


def _tail(k, n):
    """The probability of at most k heads of n coins."""
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n if k >= 0 else 0.0


class Paired:
    """
    The ratios ours/theirs of the rounds. `median` is their median. The true one lies in [low, high] with at least `confidence`: the k-th
    lowest and k-th highest ratio, k by the binomial distribution, which asks nothing of how the ratios are distributed. With fewer than
    six rounds that is all of them, with less confidence. `p` is the sign test's: how probable so lopsided a count of rounds above and below
    `limit` is if the true ratio is `limit`. `median` is None where a round of theirs is zero.
    """

    def __init__(self, ours, theirs, limit=1.0):
        self.ratios = [a / b for a, b in zip(ours, theirs)] if len(theirs) and min(theirs) > 0 else []
        self.limit = limit
        self.median = statistics.median(self.ratios) if self.ratios else None
        n, ranked = len(self.ratios), sorted(self.ratios)
        if not n:
            self.low = self.high = self.confidence = self.p = None
            return
        k = 0
        while 1 - 2 * _tail(k + 1, n) >= CONFIDENCE and k + 1 < n - 1 - k:
            k += 1
        self.low, self.high, self.confidence = ranked[k], ranked[n - 1 - k], 1 - 2 * _tail(k, n)
        above, below = self.above(), sum(r < limit for r in self.ratios)
        self.p = min(1.0, 2 * _tail(min(above, below), above + below)) if above + below else 1.0

    def above(self):
        """Rounds in which ours was the larger, by more than the limit."""
        return sum(r > self.limit for r in self.ratios)

    def __str__(self):
        if self.median is None:
            return "-"
        more = f", above {self.limit:g} in {self.above()} of {len(self.ratios)}, p={self.p:.2g}" if len(self.ratios) > 2 else ""
        return f"{self.median:.3f} [{self.low:.3f}..{self.high:.3f}]{more}"

    def record(self):
        return {name: getattr(self, name) for name in ("median", "low", "high", "confidence", "limit", "p", "ratios")}


def ratio(ours, theirs):
    """The median of the rounds' ratios, or None."""
    return Paired(ours, theirs).median


# --- the file -----------------------------------------------------------------------------------------------------------------


def save(path, report, record):
    """Put the record into the file, in the place of an earlier one of the same report."""
    try:
        with open(path, encoding="utf-8") as f:
            document = json.load(f)
    except FileNotFoundError:
        document = {}
    document[report] = record
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(document, f, indent=1)
    os.rename(path + ".new", path)


# --- the sandbox --------------------------------------------------------------------------------------------------------------


def main(parser, report, measure, around=None):
    """
    Run measure(options, tmp) in a sandbox and save what it returns. `around(options)`, if given, is a context outside of the sandbox: what must be
    undone even if the sandbox is killed; it yields further arguments for the run inside. Returns the exit status.
    """
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), help="where the binaries are (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=parser.get_default("rounds") or 3, help="turns of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=parser.get_default("seconds") or 2, help="length of a turn (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all rounds there, beside what other reports wrote")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.inside:
        sandbox.settle(options.inside)
        # What else runs on the machine should matter as little as it can. Shares are a session's: this is one of its own.
        os.setsid()
        own_the_cpu()
        record = measure(options, options.inside)
        if options.json:
            save(options.json, report, record)
        return 0
    if os.geteuid() != 0:
        parser.error("namespaces need root")
    if os.cpu_count() < 2:
        parser.error("what is measured and what measures it need a CPU each")
    tmp = tempfile.mkdtemp(prefix="sluice-bench.")
    try:
        with around(options) if around else contextlib.nullcontext([]) as more:
            argv = [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:], "--inside", tmp, *more]
            return subprocess.run(sandbox.command(argv), check=False).returncode
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run every test: the unit tests (cmocka programs in BUILD/tests), then the system tests (tests/system/run.py).

    run.py [--build DIR] [--only unit|system] [-j JOBS]

A line for each test: `ok`, `FAIL` or `SKIP reason`. What a failing program wrote is shown. The last line is
`N passed, N failed, N skipped`, over both kinds; the exit status is 1 if anything failed. A program that crashes, hangs or says nothing
is a failure of its own.
"""

import argparse
import glob
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
UNIT_DEADLINE_S = 240


def run_unit(path):
    """Run one cmocka program. Returns (passed, failed, skipped), having printed a line for each test."""
    name = os.path.basename(path)
    started = time.monotonic()
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    try:
        done = subprocess.run([path], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              timeout=UNIT_DEADLINE_S, check=False)
        out, err, status = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        out, err, status = (late.stdout or b"").decode(errors="replace"), (late.stderr or b"").decode(errors="replace"), "deadline"

    counts = {"ok": 0, "FAIL": 0, "SKIP": 0}
    for line in out.splitlines():
        match = re.match(r"(not )?ok \d+ - (.*?)(?:\s+#\s*(skip|SKIP)\b.*)?$", line)
        if not match:
            continue
        verdict = "FAIL" if match[1] else "SKIP" if match[3] else "ok"
        counts[verdict] += 1
        print(f"{verdict:4} {name}: {match[2]}")
    ran = sum(counts.values())
    if status != 0 and not counts["FAIL"]:
        counts["FAIL"] += 1
        print(f"FAIL {name}: the program ended with status {status} after {ran} tests")
    if not ran and status == 0:
        counts["FAIL"] += 1
        print(f"FAIL {name}: no test ran")
    if counts["FAIL"]:
        print("\n".join(f"     | {line}" for line in (out + err).splitlines()[-60:]))
    elif counts["SKIP"]:
        # A skip says why on the program's own output.
        print("\n".join(f"     | {line}" for line in (out + err).splitlines() if "skip" in line.lower() and " ok " not in line))
    print(f"     {name}: {ran} tests, {time.monotonic() - started:.1f} s", flush=True)
    return counts["ok"], counts["FAIL"], counts["SKIP"]


def run_system(build, jobs):
    """Run the system tests, their lines passed through. Returns their counts."""
    argv = [os.path.join(HERE, "system", "run.py"), "--build", build, *(["-j", str(jobs)] if jobs is not None else [])]
    proc = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    counts = None
    for line in proc.stdout:
        match = re.match(r"(\d+) passed, (\d+) failed, (\d+) skipped$", line)
        if match:
            counts = tuple(int(n) for n in match.groups())
        else:
            print(line, end="", flush=True)
    if proc.wait() != 0 and (counts is None or counts[1] == 0):
        print(f"FAIL the system tests' runner ended with status {proc.returncode}")
        return (counts or (0, 0, 0))[0], 1, (counts or (0, 0, 0))[2]
    return counts or (0, 1, 0)


def main():
    parser = argparse.ArgumentParser(description="Run the unit and system tests.")
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), help="build tree (default: %(default)s)")
    parser.add_argument("--only", choices=("unit", "system"), help="one kind only")
    parser.add_argument("-j", "--jobs", type=int, help="system tests at a time, of those that may have company (default: tests/system/run.py's)")
    options = parser.parse_args()
    build = os.path.abspath(options.build)

    total = [0, 0, 0]
    started = time.monotonic()
    programs = []
    if options.only != "system":
        programs = sorted(p for p in glob.glob(os.path.join(build, "tests", "test_*")) if os.access(p, os.X_OK))
        if not programs:
            print(f"no unit tests in {build}/tests", file=sys.stderr)
            return 1
    for path in programs:
        total = [a + b for a, b in zip(total, run_unit(path))]
    if options.only != "unit":
        total = [a + b for a, b in zip(total, run_system(build, options.jobs))]
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())

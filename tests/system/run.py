#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the system tests, each in a sandbox of its own.

    run.py [-v] [--build DIR] [--keep] [-j JOBS] [--list] [PATTERN ...]

A PATTERN selects tests whose name (module.function, as --list prints it) matches it as a glob or begins with it; none selects all.
For each test a line is printed: `ok`, `FAIL` or `SKIP reason`, with its seconds; a failure is followed by what the test and its
daemons wrote last. The last line is `N passed, N failed, N skipped`; the exit status is 1 if any failed.

The runner starts itself again as pid 1 of the sandbox (--inside), and that process imports the module and calls the function. So
the runner stays small, survives whatever a test does, and ends it by killing one pid when its time is up.
"""

import argparse
import ast
import fnmatch
import glob
import importlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import sandbox

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.normpath(os.path.join(HERE, "..", "..", "build"))
TEST_DEADLINE_S = 60
DEADLINE_S = 10
EXIT_SKIP = 77


def find_tests():
    """
    (name, deadline) of every test, in file order. Modules are read, not imported, so that a broken one cannot break the runner: it
    is one test, `module.import`, which fails.
    """
    tests = []
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        module = os.path.basename(path)[:-3]
        try:
            with open(path, encoding="utf-8") as f:
                body = ast.parse(f.read(), path).body
        except SyntaxError:
            tests.append((f"{module}.import", TEST_DEADLINE_S))
            continue
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                limit = TEST_DEADLINE_S
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and getattr(mark.func, "id", None) == "deadline":
                        limit = ast.literal_eval(mark.args[0])
                tests.append((f"{module}.{node.name}", limit))
    return tests


def inside(name, tmp, build):
    """Be the test. Returns the exit status."""
    from harness import Skip, Test  # pylint: disable=import-outside-toplevel

    sandbox.settle(tmp)
    module, function = name.split(".")
    try:
        test = Test(tmp, build)
        getattr(importlib.import_module(module), function)(test)
        test.finish()
    except Skip as reason:
        with open(os.path.join(tmp, "skip"), "w", encoding="utf-8") as f:
            f.write(str(reason))
        return EXIT_SKIP
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        return 1
    return 0


class Running:
    """A test that has been started."""

    def __init__(self, name, limit, options):
        self.name, self.limit = name, limit
        self.tmp = tempfile.mkdtemp(prefix="sluice-test.")
        self.output = os.path.join(self.tmp, "test.log")
        me = [sys.executable, "-uB", os.path.abspath(__file__), "--inside", name, "--tmp", self.tmp, "--build", options.build]
        with open(self.output, "w", encoding="utf-8") as out:
            # A session of its own: an interrupt at the terminal is the runner's to handle.
            self.process = subprocess.Popen(
                sandbox.command(me), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=HERE, start_new_session=True
            )
        self.ended = os.pidfd_open(self.process.pid)
        self.start = time.monotonic()
        self.killed = False

    def seconds(self):
        return time.monotonic() - self.start

    def kill(self):
        self.killed = True
        self.process.kill()

    def report(self, options):
        """Reap it, print its line, return "passed", "failed" or "skipped"."""
        status = self.process.wait()
        os.close(self.ended)
        took = f"{self.name} ({self.seconds():.1f} s)"
        if status == 0 and not self.killed:
            result = "passed"
            print(f"ok    {took}")
        elif status == EXIT_SKIP and not self.killed:
            result = "skipped"
            with open(os.path.join(self.tmp, "skip"), encoding="utf-8") as f:
                print(f"SKIP  {took}: {f.read()}")
        else:
            result = "failed"
            print(f"FAIL  {took}" + (f": not done after {self.limit} s" if self.killed else ""))
        if result == "failed" or options.verbose:
            self.print_logs()
        if options.keep:
            print(f"      kept in {self.tmp}")
        else:
            shutil.rmtree(self.tmp, ignore_errors=True)
        sys.stdout.flush()
        return result

    def print_logs(self):
        for path in [self.output, *sorted(glob.glob(os.path.join(self.tmp, "*", "*.log")))]:
            with open(path, encoding="utf-8", errors="replace") as f:
                lines = f.read().splitlines()[-60:]
            if lines:
                print(f"      --- {os.path.relpath(path, self.tmp)}")
                print("\n".join("      " + line for line in lines))


def run_all(tests, options):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    waiting, running = list(tests), []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                running.append(Running(*waiting.pop(0), options))
            # What has been killed is about to end: wait for that alone.
            left = min(t.start + t.limit + (DEADLINE_S if t.killed else 0) for t in running) - time.monotonic()
            ended = select.select([t.ended for t in running], [], [], max(left, 0))[0]
            for t in running[:]:
                if t.ended in ended:
                    running.remove(t)
                    counts[t.report(options)] += 1
                elif t.seconds() > t.limit:
                    t.kill()
    finally:
        for t in running:
            t.kill()
            t.process.wait()
            shutil.rmtree(t.tmp, ignore_errors=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description="Run the system tests.")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="run the tests whose name matches (default: all)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what tests and daemons wrote, also when they pass")
    parser.add_argument("--build", default=BUILD, help="where sluiced and sluicectl are (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the tests' directories")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="tests at a time (default: 1)")
    parser.add_argument("--list", action="store_true", help="print the names of the tests")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--tmp", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.inside:
        return inside(options.inside, options.tmp, options.build)

    tests = find_tests()
    if options.patterns:
        tests = [t for t in tests if any(fnmatch.fnmatch(t[0], p) or t[0].startswith(p) for p in options.patterns)]
        if not tests:
            parser.error("no test matches " + " ".join(options.patterns))
    if options.list:
        print("\n".join(name for name, _ in tests))
        return 0
    if os.geteuid() != 0:
        parser.error("namespaces need root")
    counts = run_all(tests, options)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

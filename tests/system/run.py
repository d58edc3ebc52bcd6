#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the system tests, each in a sandbox of its own.

    run.py [-v] [--build DIR] [--keep] [-j JOBS] [--list] [PATTERN ...]

A PATTERN selects tests whose name (module.function, as --list prints it) matches it as a glob or begins with it; none selects all.
For each test a line is printed when it has ended: `ok`, `FAIL` with the exception, or `SKIP reason`, with its seconds; a failure is
followed by what the daemons and, last, the test wrote last, and all failures are named again at the end. The last line is
`N passed, N failed, N skipped`; the exit status is 1 if any failed.

First those run that may have company, JOBS at a time, then those that may not (harness.alone), one after another. The longest begin, lest
one of them be left running by itself when the others have ended: how long a test is taken to be is what its @deadline allows it.
JOBS is by default two for each CPU: most of a test's time it waits, for the kernel to make or remove namespaces, for daemons, for timers.
Under a sanitizer (SLUICE_TEST_SLOW) it computes, and JOBS is one for each.

The runner starts itself again as pid 1 of the sandbox (--inside), and that process imports the module and calls the function. So
the runner stays small, survives whatever a test does, and ends it by killing one pid when its time is up.
"""

import argparse
import ast
import collections
import faulthandler
import fnmatch
import glob
import importlib
import os
import select
import shutil
import signal
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
JOBS = len(os.sched_getaffinity(0)) * (1 if os.environ.get("SLUICE_TEST_SLOW") else 2)
# What is shown of a failure: characters of its reason, the last lines of each log, characters of a line.
REASON, LINES, WIDTH = 500, 60, 2000
# As modules are read and not imported, @alone and what implies it are known here by name.
ALONE = ("alone", "whole_kernel")

Case = collections.namedtuple("Case", "name limit alone")


def find_tests():
    """
    Every test, in file order, as its marks say. Modules are read, not imported, so that a broken one cannot break the runner: it
    is one test, `module.import`, which fails.
    """
    tests = []
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        module = os.path.basename(path)[:-3]
        try:
            with open(path, encoding="utf-8") as f:
                body = ast.parse(f.read(), path).body
        except SyntaxError:
            tests.append(Case(f"{module}.import", TEST_DEADLINE_S, False))
            continue
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = {getattr(m.func, "id", None): m for m in node.decorator_list if isinstance(m, ast.Call)}
                limit = ast.literal_eval(marks["deadline"].args[0]) if "deadline" in marks else TEST_DEADLINE_S
                tests.append(Case(f"{module}.{node.name}", limit, any(mark in marks for mark in ALONE)))
    return tests


def cut(text, width):
    """The text, without its middle if it is longer than that: the end is often what matters."""
    return text if len(text) <= width else f"{text[: width // 2]} [...] {text[-width // 2 :]}"


def inside(name, tmp, build, until):
    """Be the test. Returns the exit status; why it was skipped or failed is in the file `reason`."""
    import harness  # pylint: disable=import-outside-toplevel

    def because(reason):
        with open(os.path.join(tmp, "reason"), "w", encoding="utf-8") as f:
            f.write(cut(" ".join(reason.split()), REASON))

    if until:
        # Where it is when its time is up: the last that it says.
        faulthandler.dump_traceback_later(max(until - time.monotonic() - 1, 0.1))
    sandbox.settle(tmp)
    module, function_name = name.split(".")
    try:
        function = getattr(importlib.import_module(module), function_name)
        harness.company = not hasattr(function, "alone")
        test = harness.Test(tmp, build)
        function(test)
        test.finish()
    except harness.Skip as reason:
        because(str(reason))
        return EXIT_SKIP
    except Exception as failure:  # pylint: disable=broad-except
        lines = [f.lineno for f in traceback.extract_tb(failure.__traceback__) if os.path.basename(f.filename) == f"{module}.py"]
        because("".join(traceback.format_exception_only(failure)) + (f"({module}.py, line {lines[-1]})" if lines else ""))
        traceback.print_exc()
        return 1
    return 0


class Running:
    """A test that has been started."""

    def __init__(self, case, options):
        self.name, self.limit = case.name, case.limit
        self.tmp = tempfile.mkdtemp(prefix="sluice-test.")
        self.output = os.path.join(self.tmp, "test.log")
        me = [sys.executable, "-uB", os.path.abspath(__file__), "--inside", self.name, "--tmp", self.tmp, "--build", options.build]
        self.start = time.monotonic()
        me += ["--until", str(self.start + self.limit)]
        with open(self.output, "w", encoding="utf-8") as out:
            # A session of its own: an interrupt at the terminal is the runner's to handle.
            self.process = subprocess.Popen(
                sandbox.command(me), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=HERE, start_new_session=True
            )
        self.ended = os.pidfd_open(self.process.pid)
        self.killed = False

    def seconds(self):
        return time.monotonic() - self.start

    def end(self):
        """When it is to be killed or, that done, to have gone."""
        return self.start + self.limit + (DEADLINE_S if self.killed else 0)

    def discard(self):
        """It has been killed and nobody wants to know how it was."""
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            print(f"      {self.name} cannot be killed", flush=True)
        shutil.rmtree(self.tmp, ignore_errors=True)

    def kill(self):
        """Kill the sandbox's pid 1: the process that we have started ends when everything in there has. If there is no pid 1 yet, that one."""
        self.killed = True
        pid = self.process.pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                first = [int(child) for child in f.read().split()]
            for child in first or [pid]:
                os.kill(child, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            self.process.kill()

    def reason(self, status):
        if self.killed:
            return f"not done after {self.limit} s"
        try:
            with open(os.path.join(self.tmp, "reason"), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return f"ended with status {status}"

    def report(self, options):
        """Reap it, print its line and, if it failed, its logs. Returns "passed", "failed" or "skipped", and why it failed."""
        status = self.process.wait()
        os.close(self.ended)
        took = f"{self.name} ({self.seconds():.1f} s)"
        result, why = "failed", None
        if status == 0 and not self.killed:
            result = "passed"
            print(f"ok    {took}")
        elif status == EXIT_SKIP and not self.killed:
            result = "skipped"
            print(f"SKIP  {took}: {self.reason(status)}")
        else:
            why = self.reason(status)
            print(f"FAIL  {took}: {why}")
        if result == "failed" or options.verbose:
            self.print_logs()
        if options.keep:
            print(f"      kept in {self.tmp}")
        else:
            shutil.rmtree(self.tmp, ignore_errors=True)
        sys.stdout.flush()
        return result, why

    def print_logs(self):
        """The test's own is the last: whoever sees only the end of all that is printed sees its end."""
        for path in [*sorted(glob.glob(os.path.join(self.tmp, "*", "*.log"))), self.output]:
            with open(path, encoding="utf-8", errors="replace") as f:
                lines = f.read().splitlines()
            if lines:
                print(f"      --- {os.path.relpath(path, self.tmp)}" + (f", the last {LINES} of {len(lines)} lines" if len(lines) > LINES else ""))
                print("\n".join("      " + cut(line, WIDTH) for line in lines[-LINES:]))


class Runner:
    """Runs tests, and keeps the account."""

    def __init__(self, options):
        self.options = options
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.failures = []

    def run(self, tests, jobs):
        """Run them in this order, so many at a time. Whatever ends this ends those that run, and removes what they have made."""
        waiting, running = collections.deque(tests), []
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(Running(waiting.popleft(), self.options))
                # What has been killed is about to end: wait for that alone.
                left = min(t.end() for t in running) - time.monotonic()
                ended = select.select([t.ended for t in running], [], [], max(left, 0))[0]
                for t in running[:]:
                    if t.ended in ended:
                        running.remove(t)
                        self.account(t)
                    elif time.monotonic() > t.end():
                        assert not t.killed, f"{t.name} cannot be killed: see /proc/{t.process.pid}/stack"
                        t.kill()
        finally:
            for t in running:
                t.kill()
            for t in running:
                t.discard()

    def account(self, test):
        result, why = test.report(self.options)
        self.counts[result] += 1
        if result == "failed":
            self.failures.append(f"{test.name}: {why}")

    def run_all(self, tests):
        """Those that may have company, the longest first, and then the others."""
        together = sorted((t for t in tests if not t.alone), key=lambda t: -t.limit)
        alone = [t for t in tests if t.alone]
        start = time.monotonic()
        self.run(together, self.options.jobs)
        between = time.monotonic()
        self.run(alone, 1)
        print(f"      {len(together)} tests, {self.options.jobs} at a time: {between - start:.0f} s; {len(alone)} alone: {time.monotonic() - between:.0f} s")
        for failure in self.failures:
            print(f"      failed: {failure}")
        print(", ".join(f"{count} {what}" for what, count in self.counts.items()))


def main():
    parser = argparse.ArgumentParser(description="Run the system tests.")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="run the tests whose name matches (default: all)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what tests and daemons wrote, also when they pass")
    parser.add_argument("--build", default=BUILD, help="where sluiced and sluicectl are (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the tests' directories")
    parser.add_argument("-j", "--jobs", type=int, default=JOBS, help="tests at a time, of those that may have company (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the names of the tests")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--tmp", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.inside:
        return inside(options.inside, options.tmp, options.build, options.until)
    if options.jobs < 1:
        parser.error("at least one test at a time")

    tests = find_tests()
    if options.patterns:
        tests = [t for t in tests if any(fnmatch.fnmatch(t.name, p) or t.name.startswith(p) for p in options.patterns)]
        if not tests:
            parser.error("no test matches " + " ".join(options.patterns))
    if options.list:
        print("\n".join(t.name for t in tests))
        return 0
    if os.geteuid() != 0:
        parser.error("namespaces need root")
    # As an interrupt does: nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    runner = Runner(options)
    runner.run_all(tests)
    return 1 if runner.failures else 0


if __name__ == "__main__":
    sys.exit(main())

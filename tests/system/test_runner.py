#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The runner itself: who has company and who has none, what is said of a failure, and that nothing outlives it. It runs tests written here."""

import os
import re
import shutil
import signal
import subprocess
import sys

from harness import DEADLINE_S, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ("run.py", "sandbox.py", "harness.py", "measure.py", "wire.py", "frames.py")
CHILD = "7777"  # seconds that a child of an inner test sleeps: none is left behind

COMPANY = """
import os
from harness import alone, deadline, wait_for
from measure import own_the_cpu

def said(name):
    return os.path.exists(os.path.join(os.environ["NOTES"], name))

def say(name):
    os.close(os.open(os.path.join(os.environ["NOTES"], name), os.O_CREAT | os.O_EXCL))

def one_at_a_time():
    say("alone")
    assert said("done-a") and said("done-b"), "others are not done"
    own_the_cpu()
    os.unlink(os.path.join(os.environ["NOTES"], "alone"))

@alone("says so")
@deadline(100)
def test_alone(_t):
    one_at_a_time()

@deadline(100)
@alone("says so")
def test_alone_too(_t):
    one_at_a_time()

def test_a(_t):
    say("a")
    wait_for(lambda: said("b"), "b is here")
    say("done-a")

def test_b(_t):
    say("b")
    wait_for(lambda: said("a"), "a is here")
    say("done-b")
"""

ORDER = """
from harness import alone, deadline

def test_short(_t): pass

@deadline(70)
def test_longer(_t): pass

@deadline(300)
@alone("says so")
def test_alone(_t): pass

@deadline(200)
def test_longest(_t): pass
"""

FAILURES = f"""
import os, select, subprocess
from harness import Skip, deadline, run, wait_for
from measure import own_the_cpu

def test_fails(t):
    os.mkdir(os.path.join(t.tmp, "node"))
    with open(os.path.join(t.tmp, "node", "daemon.log"), "w") as f:
        f.write("of the daemon\\n")
    for i in range(100):
        print(f"line {{i}}")
    run("sh", "-c", "seq 1000; echo the last word; exit 3")

def test_waits_in_vain(_t):
    wait_for(lambda: None, "what never comes", seconds=0.1)

def test_forgot_to_say_that_it_is_alone(_t):
    own_the_cpu()

@deadline(5)
def test_hangs(_t):
    subprocess.Popen(["sleep", "{CHILD}"])
    select.select([], [], [])

def test_dies(_t):
    os._exit(5)

def test_is_skipped(_t):
    raise Skip("it lacks\\na thing")

def test_passes(_t):
    pass
"""

ENDLESS = f"""
import os, select, subprocess

def endless(name):
    subprocess.Popen(["sleep", "{CHILD}"])
    os.close(os.open(os.path.join(os.environ["NOTES"], name), os.O_CREAT | os.O_EXCL))
    select.select([], [], [])

def test_a(_t): endless("a")
def test_b(_t): endless("b")
"""


class Inner:
    """A runner and a module of tests, in a directory of its own. `left` is where the tests' directories are."""

    def __init__(self, t, name, source):
        self.dir, self.left, self.notes = (os.path.join(t.tmp, name, part) for part in ("tests", "tmp", "notes"))
        for path in (self.dir, self.left, self.notes):
            os.makedirs(path)
        for path in FILES:
            shutil.copy(os.path.join(HERE, path), self.dir)
        with open(os.path.join(self.dir, f"test_{name}.py"), "w", encoding="ascii") as f:
            f.write(source)
        argv = [sys.executable, "-B", os.path.join(self.dir, "run.py"), "--build", t.build]
        env = dict(os.environ, TMPDIR=self.left, NOTES=self.notes)
        self.start = lambda jobs: subprocess.Popen([*argv, "-j", str(jobs)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def run(self, jobs):
        """Exit status and output, from beginning to end."""
        process = self.start(jobs)
        output = process.communicate(timeout=5 * DEADLINE_S)[0]
        print(output)
        assert not os.listdir(self.left) and not children(), (os.listdir(self.left), children())
        return process.returncode, output


def children():
    """Processes of inner tests. One that has ended and that nobody has reaped has no command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                found += [pid] if f.read() == f"sleep\0{CHILD}\0".encode() else []
        except OSError:
            pass
    return found


def test_company_and_none(t):
    """Two that wait for each other pass, so they ran at the same time; who is alone runs after them and one after another, and may measure."""
    status, output = Inner(t, "company", COMPANY).run(2)
    assert status == 0 and output.endswith("\n4 passed, 0 failed, 0 skipped\n"), output


def test_the_longest_begins(t):
    """By what their deadlines allow them; alone comes after the others whatever it is allowed."""
    status, output = Inner(t, "order", ORDER).run(1)
    assert status == 0 and re.findall(r"^ok +test_order\.test_(\w+)", output, flags=re.M) == ["longest", "longer", "short", "alone"], output


def test_what_is_said_of_failures(t):
    """The exception, or where it hung, in the line and again at the end; the end of each log, the test's own last; what it started is gone."""
    status, output = Inner(t, "failures", FAILURES).run(3)
    assert status == 1 and output.endswith("\n1 passed, 5 failed, 1 skipped\n"), output
    why = {
        "fails": r"AssertionError: sh -c seq 1000; .*: exit 3 1 2 3 .* \[\.\.\.\] .* 1000 the last word \(test_failures\.py, line \d+\)",
        "waits_in_vain": r"AssertionError: waited 0\.1 s in vain for: what never comes; last value None \(test_failures\.py, line \d+\)",
        "forgot_to_say_that_it_is_alone": r"AssertionError: own_the_cpu: only for tests that are marked @alone \(.*\)",
        "hangs": "not done after 5 s",
        "dies": "ended with status 5",
    }
    for name, reason in why.items():
        assert re.search(rf"^FAIL +test_failures\.test_{name} \([\d.]+ s\): {reason}$", output, flags=re.M), name
        assert re.search(rf"^ +failed: test_failures\.test_{name}: {reason}$", output.split(" at a time: ")[1], flags=re.M), name
    assert re.search(r"^SKIP +test_failures\.test_is_skipped \([\d.]+ s\): it lacks a thing$", output, flags=re.M)
    log = re.search(r"^FAIL +test_failures\.test_fails .*\n((?: +.*\n)*)", output, flags=re.M)[1]
    ends = r"--- node/daemon\.log\n +of the daemon\n +--- test\.log, the last 60 of \d+ lines\n(.*\n)* +the last word\n"
    assert re.search(ends, log) and "line 99" not in log, log
    log = re.search(r"^FAIL +test_failures\.test_hangs .*\n((?: +.*\n)*)", output, flags=re.M)[1]
    assert re.search(r"most recent call first.*\n +File .*test_failures\.py., line \d+ in test_hangs\n", log), log


def test_nothing_outlives_the_runner(t):
    """Interrupted, terminated or killed: the tests that ran are gone with all that they had started; directories too, but for kill -9."""
    for name in ("SIGINT", "SIGTERM", "SIGKILL"):
        inner = Inner(t, name.lower(), ENDLESS)
        runner = inner.start(2)
        wait_for(lambda notes=inner.notes: len(os.listdir(notes)) == 2, "two tests run")
        wait_for(lambda: len(children()) == 2, "their children run")
        runner.send_signal(getattr(signal, name))
        runner.communicate(timeout=DEADLINE_S)
        assert runner.returncode == {"SIGINT": -signal.SIGINT, "SIGTERM": 128 + signal.SIGTERM, "SIGKILL": -signal.SIGKILL}[name]
        wait_for(lambda: not children(), f"after {name} nothing is left")
        assert name == "SIGKILL" or not os.listdir(inner.left), os.listdir(inner.left)

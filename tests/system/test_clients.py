#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that stall, flood, drip, crowd and connect anew, beside one that behaves: it is never kept waiting, and the daemon does not grow.

The one that behaves measures the time from its request to its answer, every few milliseconds, all the while. What must hold is the
longest of them. The others are processes of their own at the lowest priority: how the kernel shares a CPU is not what is measured here,
and they still ask for all that the daemon can give. Nor is how long a disk stalls: state and log are in memory. What else the machine does
makes a wait longer, and none shorter (measure.py), so a round that has one too long is made again; one must be right from its beginning to its end.
"""

import json
import os
import resource
import select
import signal
import socket
import stat
import time

from harness import DEADLINE_S, Control, add, alone, count_memory, deadline, run, wait_for

LIMIT_MS = 50 if not os.environ.get("SLUICE_TEST_SLOW") else 1000
ROUNDS = 3
SMALL = b'{"jsonrpc":"2.0","id":7,"method":"get","params":{"object":"port"}}\n'
DESCRIBE = b'{"jsonrpc":"2.0","id":7,"method":"describe"}\n'
EVERYTHING = b'{"jsonrpc":"2.0","id":7,"method":"get","params":{"all":true}}\n'
WATCH = b'{"jsonrpc":"2.0","id":7,"method":"watch"}\n'
BRACKETS = b'{"jsonrpc":"2.0","id":7,"method":"get","params":{"x":[' + b"[[[[[[[[[]]]]]]]]]," * 54_000 + b"1]}}\n"
LISTS = b'{"jsonrpc":"2.0","id":7,"method":"get","params":{"x":[' + b"[]," * 65_000 + b"1]}}\n"


# --- who means no good: each runs in a process of its own, for ever ------------------------------------------------------------


def plug(path, tries=1):
    """A connection, or None where there is no place."""
    for _ in range(tries):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(path)
        s.sendall(SMALL)
        if b"too-many-clients" not in s.recv(4096):
            return s
        s.close()
    return None


def plugs(path, n):
    return [s for s in (plug(path) for _ in range(n)) if s]


def stall(path, request, n):
    """Ask for as much as is taken, and read nothing."""
    held = plugs(path, n)
    for s in held:
        s.setblocking(False)
    while True:
        for s in held:
            try:
                s.send(request * 20)
            except OSError:
                pass
        time.sleep(0.01)


def flood(path, request, n):
    """Keep requests waiting at all times, and read what comes."""
    held = plugs(path, n)
    for s in held:
        s.setblocking(False)
    rest = {s: b"" for s in held}
    while True:
        readable, writable, _ = select.select(held, held, [])
        for s in readable:
            s.recv(1 << 20)
        for s in writable:
            rest[s] = rest[s] or request * 50
            try:
                rest[s] = rest[s][s.send(rest[s]) :]
            except BlockingIOError:
                pass


def drip(path, n, pause):
    """A byte at a time of a line that does not end; connects again when it is thrown out."""
    held = plugs(path, n)
    while True:
        for i, s in enumerate(held):
            try:
                s.send(b" ")
            except OSError:
                held[i] = plug(path) or s
        time.sleep(pause)


def anew(path, request):
    """Connect, ask for much, go; again."""
    while True:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(path)
        try:
            s.sendall(request)
        except OSError:
            pass
        s.close()


class Attack:
    """Attackers until the end of a with statement. Each is (uid, function, arguments...)."""

    def __init__(self, *attackers):
        self.pids = []
        for uid, function, *args in attackers:
            pid = os.fork()
            if pid == 0:
                try:
                    os.nice(19)
                    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
                    os.setuid(uid)
                    function(*args)
                except BaseException as e:  # pylint: disable=broad-except
                    print(f"{function.__name__}: {e!r}", flush=True)
                finally:
                    os._exit(0)
            self.pids.append(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids:
            os.waitpid(pid, 0)


# --- who behaves ------------------------------------------------------------------------------------------------------------------


class Behaved:
    """A client of each socket, and how long they waited for their answers."""

    def __init__(self, node):
        self.controls = [node.connect("behaved"), node.connect("behaved", stat=True)]
        self.waits_ms = []
        self.walls_ms = []
        self.queues = [open(f"/proc/{pid}/task/{pid}/schedstat", "rb", 0) for pid in (node.process.pid, os.getpid())]

    def kept_from_cpu_ms(self):
        """How long the kernel has made the daemon's control thread and us wait for a CPU, ready to run."""
        return sum(int(os.pread(f.fileno(), 100, 0).split()[1]) for f in self.queues) / 1e6

    def ask(self):
        for control in self.controls:
            start, kept = time.monotonic(), self.kept_from_cpu_ms()
            control.call("get", {"object": "port", "limit": 1})
            wall = (time.monotonic() - start) * 1000
            self.walls_ms.append(wall)
            self.waits_ms.append(wall - (self.kept_from_cpu_ms() - kept))

    def go_on(self, seconds, at_least=1):
        """For so long, and for so many requests: a busy machine may need longer for them."""
        end, enough = time.monotonic() + seconds, len(self.waits_ms) + at_least
        while time.monotonic() < end or len(self.waits_ms) < enough:
            self.ask()
            select.select([], [], [], 0.002)

    def forget(self):
        self.waits_ms, self.walls_ms = [], []

    def held(self):
        return max(self.waits_ms) < LIMIT_MS

    def check(self, what):
        waits = sorted(self.waits_ms)
        line = f"{what}: {len(waits)} requests, p50 {waits[len(waits) // 2]:.2f} ms, p99 {waits[-len(waits) // 100]:.2f} ms, max {waits[-1]:.2f} ms; by the clock on the wall max {max(self.walls_ms):.2f} ms"
        print(line, flush=True)
        assert self.held(), line


def rss_kib(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as f:
        return next(int(row.split()[1]) for row in f if row.startswith("RssAnon"))


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def open_to_others(t, node):
    for path in (t.tmp, node.dir):
        os.chmod(path, stat.S_IRWXU | stat.S_IXOTH | stat.S_IXGRP)


def attacked(t, *attackers, objects=0, seconds=4, grows_kib=16 * 1024):
    """A node under attack: nobody who behaves waits, it does not grow, and afterwards everything is free again."""
    grows_kib *= count_memory()
    os.mkdir(os.path.join(t.tmp, "node"))
    run("mount", "-t", "tmpfs", "tmpfs", os.path.join(t.tmp, "node"))
    node = t.node()
    open_to_others(t, node)
    if objects:
        node.apply(*(add("vlan", str(i + 1), name="some-name-of-a-vlan") for i in range(objects)))
    behaved = Behaved(node)
    behaved.go_on(0.2)
    before, fds = rss_kib(node), descriptors(node)
    names = ", ".join(f"{uid}:{what.__name__}" for uid, what, *_ in attackers)
    for left in reversed(range(ROUNDS)):
        behaved.forget()
        with Attack(*((uid, what, node.socket if uid == 0 else node.stat_socket, *args) for uid, what, *args in attackers)):
            behaved.go_on(seconds, 300)
            during = rss_kib(node)
        wait_for(lambda: descriptors(node) == fds, "the attackers' connections are closed")
        assert during - before < grows_kib, f"{before} kB before, {during} kB during"
        if left == 0 or behaved.held():
            break
        print(f"{names}: {max(behaved.waits_ms):.2f} ms, once more")
    behaved.check(names)
    return node


@alone("measures how long a client waits")
@deadline(180)
def test_who_stalls(t):
    """Sixteen that ask and do not read, some of them watchers."""
    attacked(t, (0, stall, DESCRIBE, 8), (0, stall, WATCH, 4), (1001, stall, DESCRIBE, 8), (1002, stall, WATCH, 8))


@alone("measures how long a client waits")
@deadline(180)
def test_who_floods(t):
    """Twenty that ask without end and read, for small things and for all there is on a node of 500 objects."""
    attacked(
        t, (0, flood, SMALL, 4), (0, flood, DESCRIBE, 4), (0, flood, EVERYTHING, 4), (1001, flood, EVERYTHING, 8), objects=500
    )


@alone("measures how long a client waits")
@deadline(180)
def test_who_sends_lines_that_are_dear_to_read(t):
    """A megabyte of brackets, and as many lists as are taken, over and over."""
    attacked(
        t, (0, flood, BRACKETS, 2), (0, flood, LISTS, 4), (1001, flood, LISTS, 4), (1002, flood, BRACKETS, 4), grows_kib=64 * 1024
    )


@alone("measures how long a client waits")
@deadline(180)
def test_who_drips(t):
    """A byte a second, and bytes one by one as fast as they go."""
    attacked(t, (0, drip, 8, 1), (1001, drip, 8, 0), (1002, drip, 8, 0))


@alone("measures how long a client waits")
@deadline(180)
def test_who_connects_anew(t):
    """Connections that come and go, each with a request for everything."""
    attacked(t, (0, anew, EVERYTHING), (1001, anew, EVERYTHING), (1002, anew, DESCRIBE), objects=500)


@alone("measures how long a client waits")
@deadline(240)
def test_everything_at_once(t):
    """All of it, on both sockets."""
    attacked(
        t,
        (0, stall, DESCRIBE, 6),
        (0, flood, EVERYTHING, 4),
        (0, flood, LISTS, 2),
        (0, drip, 4, 0),
        (0, anew, DESCRIBE),
        (1001, stall, WATCH, 8),
        (1002, flood, EVERYTHING, 8),
        (1003, drip, 8, 0),
        (1004, anew, EVERYTHING),
        objects=500,
        seconds=6,
        grows_kib=64 * 1024,
    )


@alone("measures how long a client waits")
@deadline(240)
def test_ten_thousand_connections(t):
    """10,000 connections of one user: eight get a place, each other one a line that says why, and nobody else notices."""
    grows_kib = 2048 * count_memory()
    node = t.node()
    open_to_others(t, node)
    behaved = Behaved(node)
    before, fds = rss_kib(node), descriptors(node)
    result_read, result_write = os.pipe()

    def crowd(path):
        held, told, served = [], 0, 0
        for _ in range(10_000):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.connect(path)
            held.append(s)
        for s in held:
            s.settimeout(DEADLINE_S)
            line = b""
            try:
                s.sendall(SMALL)
            except OSError:
                pass  # closed already: what it was told is still there to be read
            try:
                while not line.endswith(b"\n") and (data := s.recv(4096)):
                    line += data
            except ConnectionResetError:
                pass
            reply = json.loads(line)
            if "error" in reply:
                assert reply["error"]["data"]["name"] == "too-many-clients", reply
                told += 1
            else:
                served += 1
        os.write(result_write, json.dumps([served, told]).encode())
        signal.pause()

    with Attack((1001, crowd, node.stat_socket)):
        end = time.monotonic() + 6 * DEADLINE_S
        while not select.select([result_read], [], [], 0)[0]:
            behaved.ask()
            assert time.monotonic() < end, "10,000 connections are not done"
        during = rss_kib(node)
        assert json.loads(os.read(result_read, 100)) == [8, 9_992]
        # Full for that user, not for others.
        Control(node.stat_socket).close()
    wait_for(lambda: descriptors(node) == fds, "the connections are closed")
    behaved.check("10,000 connections")
    assert during - before < grows_kib, f"{before} kB before, {during} kB during"
    assert node.log_text().count("refused") < 5, "the log is flooded too"

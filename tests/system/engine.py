#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel engine by itself, driven by tests/tools/engine_ctl: containers, and the far end of the trunk.

    e = Engine(t)                          an engine of this test's, with bpf_dir /sys/fs/bpf/NAME
    a = e.container("a", vlan=100, mac=...)   a namespace, and a port in it
    e.trunk(vlan=10)                       slc0, whose far end a test opens as a Wire: it is the network

          netns a                 the test's own namespace                 netns b
         +-------+          +------------------------------+              +-------+
         | eth0 ===== veth === slcXXXX.2       slcXXXX.3 === veth ======== eth0   |
         +-------+          |            slc0 === slc0-dp --- Wire         +-------+
                            +------------------------------+
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

from harness import DEADLINE_S, Host, run, wait_for
from wire import Wire, inside


class Refused(Exception):
    """The engine refused. errno's name, the error's stable name, the attribute, and the texts."""

    def __init__(self, line):
        super().__init__(line)
        head, self.attr, self.message, self.hint = line[len("error ") :].split("|")[:4]
        self.errno, self.name = head.split(" ", 1)


class Engine:
    def __init__(self, test, name="engine", start=True):
        self.program = os.path.join(test.build, "tests", "tools", "engine_ctl")
        self.dir = f"/sys/fs/bpf/{name}"
        self.log = os.path.join(test.tmp, f"{name}.log")
        self.process = None
        self.events = []
        # Ended with the test, and held to a clean end.
        test.nodes.append(self)
        if start:
            self.start()

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([self.program, self.dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"engine_ctl ended: {self.log_text()}"
        return self

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        if not self.process:
            return
        self.process.stdin.close()
        assert self.process.wait(DEADLINE_S) == 0, self.log_text()
        self.process = None

    def cleanup(self):
        run(self.program, "--cleanup", self.dir)

    def call(self, line):
        """The lines of the answer to a command, without the last."""
        self.process.stdin.write(line + "\n")
        answer = []
        while True:
            got = self.process.stdout.readline()
            assert got, f"{line}: engine_ctl ended: {self.log_text()}"
            got = got.rstrip("\n")
            if got.startswith("event "):
                self.events.append(tuple(got.split()[1:]))
            elif got == "ok":
                return answer
            elif got.startswith("error "):
                raise Refused(got)
            else:
                answer.append(got)

    def values(self, line):
        return {key: int(value) if value.lstrip("-").isdigit() else value for key, value in (x.split(" ", 1) for x in self.call(line))}

    # --- changes ---

    @staticmethod
    def _words(attrs):
        return " ".join(f"{key.replace('_', '-')}={value}" for key, value in attrs.items() if value is not None)

    def add_port(self, name, verb="add", **attrs):
        return self.call(f"port {verb} {name} {self._words({'netns': name, 'ifname': 'eth0', **attrs})}")

    def set_port(self, name, **attrs):
        return self.add_port(name, verb="set", **attrs)

    def del_port(self, name):
        return self.call(f"port del {name}")

    def set_vlan(self, vid, **attrs):
        return self.call(f"vlan set {vid} {self._words(attrs)}")

    def batch(self, lines):
        """Many changes as one transaction; its time in seconds."""
        self.call("begin")
        for line in lines:
            self.call(line)
        return int(self.call("end")[-1].split()[1]) / 1e6

    def trunk(self, vlan=0, name="slc0", by="veth-xdp", **attrs):
        """Make the trunk and return a Wire on its far end. A wire knows no offload requests: by default the kernel finishes frames."""
        peer = self.call(f"trunk make {name} {self._words({'mtu': attrs.get('mtu'), 'by': by})}")[0].split()[1]
        self.call(f"trunk set {name} {self._words({'vlan': vlan, **attrs})}")
        return Wire(peer)

    def container(self, name, netns_ipv6=False, **attrs):
        """A namespace with a port of the same name."""
        c = Container(name, netns_ipv6)
        attrs.setdefault("mac", c.mac)
        self.add_port(name, **{k: v for k, v in attrs.items() if v != "none"})
        return c

    # --- state ---

    def stats(self, name):
        return self.values(f"stats {name}")

    def drops(self, name, reason):
        return self.stats(name).get(f"drop.{reason}", 0)

    def state(self, name):
        return self.values(f"state {name}")

    def wait_event(self, *event):
        def come():
            self.call("events")
            return event in self.events

        wait_for(come, f"event {event}")

    def fdb(self):
        """{(vlan, mac): (port, static)}"""
        entries = (line.split() for line in self.call("fdb"))
        return {(int(e[1]), e[2]): (e[3], e[4] == "static") for e in entries}


class Pings:
    """
    A ping a millisecond to `addr`, `count` of them, each of which must be answered; under way until check().

    ping does not wait for the answers to its last ones, but for twice the longest round trip that it has seen. So others follow those that
    count, for as long as an answer may be late; they hold nothing up if there is a loss to be found.
    """

    AFTER = 500

    def __init__(self, test, host, addr, count):
        self.count = count
        self.out = os.path.join(test.tmp, f"pings-{host.name}-{addr}-{time.monotonic_ns()}.out")
        with open(self.out, "w", encoding="ascii") as out:
            self.process = host.popen("ping", "-n", "-i", "0.001", "-c", count + self.AFTER, addr, stdout=out, stderr=out)

    def _answered(self):
        with open(self.out, encoding="ascii") as f:
            return {int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", f.read())}

    def over(self):
        """Have all that count been sent?"""
        return self.process.poll() is not None or max(self._answered(), default=0) >= self.count

    def check(self):
        assert self.process.wait(6 * DEADLINE_S) in (0, 1)
        answered = self._answered()
        lost = [n for n in range(1, self.count + 1) if n not in answered]
        assert not lost, f"{len(lost)} of {self.count} pings lost, first {lost[:10]}"


def programs_of(bpf_dir):
    """The kernel's numbers of the programs that use maps pinned in a directory. Of all there are others', of this machine, may come and go."""
    pins = [run("bpftool", "-j", "map", "show", "pinned", os.path.join(bpf_dir, name), check=False) for name in os.listdir(bpf_dir)]
    maps = {json.loads(pin.stdout)["id"] for pin in pins if pin.returncode == 0}
    return {p["id"] for p in json.loads(run("bpftool", "-j", "prog", "show").stdout) if maps & set(p.get("map_ids", ()))}


def programs():
    """Those of all the programs of the machine."""
    return {p["id"] for p in json.loads(run("bpftool", "-j", "prog", "show").stdout)}


class Container(Host):
    """A container's namespace. Its netdev is the engine's to make."""

    @contextlib.contextmanager
    def inside(self):
        with inside(self.name):
            yield

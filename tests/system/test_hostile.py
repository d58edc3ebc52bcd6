#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A vhost-user front end that lies, dies or stalls, beside two whose checked stream must not notice.

    A ==+---------+== B        numbered frames both ways, none lost (tests/stream)
        | sluiced |
    H ==+---------+            one case after another (tests/hostile), in the VLAN of A and B; every eighth frame of theirs
                               is a broadcast, so H has something to receive

After each case an honest front end on H's socket is served, what the lie cost is counted under its name: frames under a drop reason, a
connection under a fault. After all of them the daemon has as many descriptors open as before, and as much memory.
"""

import json
import os
import subprocess

from harness import DEADLINE_S, deadline, wait_for
from vhost import VhostStream, program

GROWTH_KIB = 2048  # what malloc keeps
SANITIZED = "SLUICE_TEST_SLOW" in os.environ  # freed memory is kept, and everything takes longer


def cases(t, kind):
    """(name, fate, what must be counted) of a class, in order."""
    listed = subprocess.run([program(t, "vhost_hostile"), "--list"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    chosen = [(name, fate, [] if counted == "-" else counted.split("|")) for of, name, fate, counted in rows if of == kind]
    assert chosen, kind
    return chosen


def _resources(node):
    fds = sorted(os.readlink(f"/proc/{node.process.pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{node.process.pid}/fd"))
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as f:
        rss = int(next(line for line in f if line.startswith("VmRSS")).split()[1])
    return fds, rss


def run_case(t, node, path, name, offered=lambda: None):
    """Run a case on a socket; returns its account. `offered` returns when enough has become of the frames that it should be sent."""
    argv = [program(t, "vhost_hostile"), "--path", path, "--wait", str(2 * DEADLINE_S), "--hold", name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        account = {}
        for line in process.stdout:
            account = json.loads(line)
            if "offered" in account:
                offered()
                process.stdin.write("\n")
                process.stdin.flush()
    assert node.running(), f"{name}: the daemon is dead; {account}"
    assert "ok" in account, f"{name}: ended with {process.returncode}"
    return account


class Rig:
    """A node with A, B and H, and the stream under way."""

    def __init__(self, t, **options):
        self.t = t
        self.faults = set()
        self.node = t.node(**options)
        self.path = os.path.join(self.node.dir, "h.vhost")
        self.stream = VhostStream(t, self.node.dir, "a", "b")
        self.stream.plug(self.node, vlan=100)
        self.node.add_port("h", kind="vhost-user", path=self.path, vlan=100)
        # What the first guest makes grow (tables, a page here and there) is no leak.
        run_case(t, self.node, self.path, "life-reconnects-20")
        self.before = self.at_rest()

    def at_rest(self, fds=None):
        """Descriptors and memory while H has no guest; when they are `fds` again, if that is given."""
        wait_for(lambda: self.node.get("port", "h")["state"]["link"] == "down", "H has lost its guest")
        if fds:
            # Once in a while there is one more, with which a connection is tried.
            wait_for(lambda: _resources(self.node)[0] == fds, f"the descriptors are {fds} again")
        return min((_resources(self.node) for _ in range(20)), key=lambda r: len(r[0]))

    def counted(self):
        """Everything that an operator finds counted at H: {name: number}."""
        faults = self.node.ctl("port", "show", "h")["objects"][0]["state"]["peer"]["faults"]
        return {**self.node.ctl("stats", "port", "h")["stats"][0]["drops"], **{f"fault {name}": n for name, n in faults.items()}}

    def case(self, name, fate, names):
        """Run a case and hold it and the daemon to what it says. Returns what is wrong, or None."""
        before = self.counted()

        def offered():
            # A port without a guest counts that as well: what came before this one was there is not this one's.
            since = self.counted() if names == ["tx-down"] else before

            def seen():
                after = self.counted()
                return not names or any(after.get(n, 0) > since.get(n, 0) for n in names)

            wait_for(seen, f"{name}: one of {names} is counted")

        account = run_case(self.t, self.node, self.path, name, offered)
        after = self.counted()
        new = {key for key, n in after.items() if n > before.get(key, 0)}
        faults = {key.removeprefix("fault ") for key in new if key.startswith("fault ")}
        print(f"{name}: {fate}, {'closed' if account['closed'] else 'open'}, counted {sorted(new)}", flush=True)
        stream = self.stream.ask()
        assert stream["ok"], f"{name}: {stream}"
        if not account["ok"]:
            return f"{name}: {account['why']}"
        if names and not (set(names) & (new | faults)) and not (fate == "may" and faults):
            return f"{name}: none of {names} was counted, but {sorted(new)}"
        if faults and fate == "stay":
            return f"{name}: {faults}"
        self.faults |= faults
        return None

    def all(self, kind, leave_out=()):
        wrong = [w for name, fate, names in cases(self.t, kind) if name not in leave_out if (w := self.case(name, fate, names))]
        self.end(wrong)

    def end(self, wrong=()):
        """Nothing has stayed behind, and the stream has lost nothing."""
        _, rss = self.at_rest(self.before[0])
        if not SANITIZED:
            assert rss <= self.before[1] + GROWTH_KIB, f"grown from {self.before[1]} to {rss} KiB"
        self.stream.end()
        assert not wrong, "\n".join(wrong)
        # A line tells why a front end was hung up on: the first of them at least, the log's limit takes others.
        log = self.node.log_text()
        assert not self.faults or any(f"vhost-user h: hung up: {fault}" in log for fault in self.faults), f"{self.faults} are not in the log"


@deadline(300)
def test_descriptors_that_lie(t):
    """What a guest sends by: addresses, lengths, chains, tables, indices, changed while they are read."""
    Rig(t).all("rings")


@deadline(300)
def test_receive_buffers_that_lie(t):
    """What a guest receives by, the same; and a guest that takes nothing costs itself its frames, and nobody a wait."""
    Rig(t).all("receive")


@deadline(180)
def test_headers_that_lie(t):
    """Checksums and segments outside of the frame, sizes that contradict the packet, 3,000 headers by chance."""
    Rig(t).all("headers")


@deadline(300)
def test_memory_that_lies_and_goes_away(t):
    """Impossible regions; files that are none; memory cut off, punched, or flickering with frames in it; the dirty log."""
    Rig(t).all("memory")


@deadline(300)
def test_ring_messages_that_lie(t):
    """Sizes, addresses and indices of rings; eventfds that are something else; changes under a running ring."""
    Rig(t).all("vrings")


@deadline(300)
def test_messages_that_lie(t):
    """Halves, junk, versions, sizes, descriptors that do not belong, thousands of messages."""
    Rig(t).all("messages")


@deadline(180)
def test_comings_and_goings(t):
    """Killed in the middle of a burst 20 times; connected and gone in every state of the handshake."""
    Rig(t).all("life", leave_out=("life-reconnects-1000",))


@deadline(300)
def test_a_thousand_reconnects(t):
    """A guest that comes up, sends and goes, 1,000 times: no descriptor and no memory stays behind."""
    rig = Rig(t)
    connects = rig.node.get("port", "h")["state"]["peer"]["connects"]
    wrong = rig.case("life-reconnects-1000", "stay", [])
    assert rig.node.get("port", "h")["state"]["peer"]["connects"] >= connects + 1000
    rig.end([wrong] if wrong else [])


@deadline(300)
def test_with_a_worker_on_each_cpu(t):
    """The lies that race, and the deaths, where the ports are different workers'."""
    rig = Rig(t, cores=",".join(map(str, sorted(os.sched_getaffinity(0)))))
    chosen = ("tx-race", "rx-race", "rx-stalled", "mem-frames-cut-off", "mem-rings-cut-off", "mem-receive-buffers-cut-off", "mem-frames-flicker",
              "life-killed-in-a-burst", "life-half-starts-100")
    rows = [row for kind in ("rings", "receive", "memory", "life") for row in cases(t, kind) if row[0] in chosen]
    assert len(rows) == len(chosen)
    rig.end([w for row in rows if (w := rig.case(*row))])

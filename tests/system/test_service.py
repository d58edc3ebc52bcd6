#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon as a service: sockets handed over, readiness and watchdog told, privileges dropped. The test is the service manager."""

import configparser
import contextlib
import ctypes
import glob
import os
import re
import select
import socket
import stat
import subprocess
import threading
import time

from containers import trunk_node
from harness import DEADLINE_S, Control, Refused, add_ports, added, alone, run, wait_for
from measure import own_the_cpu

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = os.path.join(HERE, "..", "..", "ctl", "daemon")
KEPT = {"cap_net_admin": 12, "cap_net_raw": 13, "cap_ipc_lock": 14, "cap_sys_admin": 21, "cap_dac_override": 1, "cap_sys_ptrace": 19}

_libc = ctypes.CDLL(None, use_errno=True)
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000


def threads(pid):
    """{thread id: name}"""
    names = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
            names[int(task)] = f.read().strip()
    return names


def workers(pid):
    return [tid for tid, name in threads(pid).items() if "worker" in name]


class Frozen:
    """One thread of another process, stopped."""

    def __init__(self, tid):
        self.tid = tid
        self._ptrace(PTRACE_SEIZE)
        self._ptrace(PTRACE_INTERRUPT)
        os.waitpid(tid, WALL)

    def _ptrace(self, request):
        if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(self.tid), None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def thaw(self):
        self._ptrace(PTRACE_DETACH)


class Notified:
    """What the daemon says to its service manager, with the time at which it came."""

    def __init__(self, t):
        self.path = os.path.join(t.tmp, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(DEADLINE_S)

    def next(self, part):
        """The next message that holds this line, and when it came."""
        while True:
            text = self.sock.recv(4096).decode()
            if part in text.split("\n") or (part.endswith("*") and any(x.startswith(part[:-1]) for x in text.split("\n"))):
                return text, time.monotonic()

    def within(self, seconds):
        """Everything that comes in this time."""
        got, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.sock], [], [], left)[0]:
                got.append(self.sock.recv(4096).decode())
        return got


def listening(path, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    s.listen(64)
    return s


@alone("measures times")
def test_it_tells_the_service_manager(t):
    """READY=1 once it can be spoken to, WATCHDOG=1 at half of the time it is given or sooner, STOPPING=1 at its end."""
    notified = Notified(t)
    node = t.node(start=False)
    node.env = {"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "1000000"}
    node.process = node.spawn()
    text, _ = notified.next("READY=1")
    assert f"STATUS=Forwards, and listens on {node.socket}" in text, text
    # Ready means that connecting works, now.
    node.control = Control(node.socket)
    own_the_cpu()
    times = [notified.next("WATCHDOG=1")[1] for _ in range(6)]
    assert max(b - a for a, b in zip(times, times[1:])) < 0.75, times
    node.stop()
    notified.next("STOPPING=1")


@alone("measures times")
def test_no_food_for_the_watchdog_while_a_worker_hangs(t):
    """A worker that makes no progress is told of in the log, in the status and by an event, and the watchdog is not fed until it does."""
    notified = Notified(t)
    node = t.node(start=False, cores="0,1" if len(os.sched_getaffinity(0)) > 1 else "0")
    node.env = {"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "1000000"}
    node.start()
    watcher = node.connect()
    watcher.call("watch", {"events": ["node"]})
    tids = workers(node.process.pid)
    assert len(tids) == len(node.options["cores"].split(",")), threads(node.process.pid)
    notified.next("WATCHDOG=1")
    # Both asleep, without a port: healthy, and one is stopped in its sleep.
    frozen = Frozen(tids[-1])
    try:
        event = watcher.event("node.health")
        assert event["state"] == "stuck", event
        notified.next("STATUS=Worker*")
        told = notified.within(2)
        assert "WATCHDOG=1" not in told, told
        # The rest works on.
        assert added(node.call("get")) == []
    finally:
        frozen.thaw()
    again = watcher.event("node.health")
    assert (again["worker"], again["state"]) == (event["worker"], "ok") and again["time_us"] > event["time_us"], (event, again)
    notified.next("WATCHDOG=1")
    assert "makes no progress" in node.log_text() and "makes progress again" in node.log_text()


@alone("measures times")
def test_no_food_for_the_watchdog_while_the_control_thread_hangs(t):
    """The same for the thread that would feed it."""
    notified = Notified(t)
    node = t.node(start=False)
    node.env = {"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "1000000"}
    node.start()
    notified.next("WATCHDOG=1")
    frozen = Frozen(node.process.pid)
    try:
        notified.within(0.1)
        assert notified.within(2) == []
    finally:
        frozen.thaw()
    notified.next("WATCHDOG=1")


def test_connections_wait_in_the_service_manager_s_sockets(t):
    """Sockets that are handed over are used and left: who connects while the daemon is down is answered by the next one."""
    node = t.node(start=False)
    node.listening = {"stat": listening(node.stat_socket), "control": listening(node.socket)}
    inodes = {path: os.stat(path).st_ino for path in (node.socket, node.stat_socket)}
    node.start()
    assert added(node.connect(client="reader", stat=True).call("get")) == []
    for kill in (node.kill9, node.stop):
        kill()
        waiting = [Control(node.socket, client=None) for _ in range(5)]
        for i, control in enumerate(waiting):
            control.send(b'{"jsonrpc":"2.0","id":%d,"method":"get"}\n' % i)
        node.start()
        for i, control in enumerate(waiting):
            assert control.line()["id"] == i
            control.close()
    node.stop()
    assert inodes == {path: os.stat(path).st_ino for path in inodes}, "the sockets are not the ones that were handed over"


def test_one_socket_handed_over_and_one_made(t):
    """The one that is not handed over is made and removed as ever, and the lock holds for both."""
    node = t.node(start=False)
    node.listening = {"control": listening(node.socket)}
    node.start()
    node.connect(client="reader", stat=True)
    second = t.node(name="second", start=False, socket=node.socket)
    process = second.spawn()
    assert process.wait(3 * DEADLINE_S) == 1, "a second one ran"
    assert "another sluiced is running" in second.log_text(), second.log_text()
    node.stop()
    assert os.path.exists(node.socket) and not os.path.exists(node.stat_socket)


def test_what_is_handed_over_must_be_understood(t):
    """A socket of another name, a name twice, and what is no listening stream socket end the start with a word why."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    for name, handed, why in (
        ("name", {"kontrol": listening(os.path.join(t.tmp, "a"))}, "kontrol"),
        ("kind", {"control": plain}, "not a listening"),
    ):
        node = t.node(name=name, start=False)
        node.listening = handed
        assert node.spawn().wait(3 * DEADLINE_S) == 1
        assert why in node.log_text(), node.log_text()


def test_the_control_socket_is_never_open_to_others(t):
    """Whatever the umask, from its birth its mode is none or 0660; the stat socket ends with 0666; their directory lets all through."""
    os.umask(0)
    node = t.node(start=False)
    folder = os.path.join(t.tmp, "run", "sluice")
    node.options["socket"] = node.socket = os.path.join(folder, "control.sock")
    node.options["stat_socket"] = node.stat_socket = os.path.join(folder, "stat.sock")
    seen, over = set(), threading.Event()

    def look():
        while True:
            last = over.is_set()
            try:
                seen.add(stat.S_IMODE(os.stat(node.socket).st_mode))
            except FileNotFoundError:
                pass
            if last:
                break

    looker = threading.Thread(target=look)
    looker.start()
    try:
        node.start()
    finally:
        over.set()
        looker.join()
    assert seen <= {0, 0o660} and 0o660 in seen, [oct(m) for m in seen]
    assert stat.S_IMODE(os.stat(node.stat_socket).st_mode) == 0o666
    node.stop()
    os.umask(0o077)
    for path in (os.path.join(t.tmp, "run", "sluice"), os.path.join(t.tmp, "run")):
        os.rmdir(path)
    node.start()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(node.socket).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(node.stat_socket).st_mode) == 0o666


def capabilities(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii") as f:
        rows = dict(row.split(":\t") for row in f.read().splitlines() if ":\t" in row)
    return {key: int(rows[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")}


def test_every_thread_has_what_it_needs_and_no_more(t):
    """Workers have no capability at all, the others those of the table; nothing can bring more back; ports can be added all the same."""
    node = t.node(cores="0,1" if len(os.sched_getaffinity(0)) > 1 else "0")
    kept = sum(1 << bit for bit in KEPT.values())
    pid = node.process.pid
    for tid, name in threads(pid).items():
        want = 0 if "worker" in name else kept
        got = capabilities(pid, tid)
        assert got == {"CapInh": 0, "CapPrm": want, "CapEff": want, "CapBnd": kept, "CapAmb": 0, "NoNewPrivs": 1}, (name, got)
    assert len(workers(pid)) == len(node.options["cores"].split(","))
    t.endpoint("a")
    t.endpoint("x")
    node.apply(
        *add_ports(
            {
                "a": {"kind": "af-packet", "ifname": "a", "vlan": 100},
                "x": {"kind": "af-xdp", "ifname": "x", "vlan": 100, "mtu": 1500},
                "t": {"kind": "tap", "ifname": "t0", "vlan": 100},
                "m": {"kind": "memif", "path": os.path.join(node.dir, "m.sock"), "vlan": 100},
            }
        )
    )
    node.wait_link("a", "x")
    node.apply({"op": "set", "object": "port", "name": "a", "attrs": {"mtu": 1400}})
    notes = [n for n in node.get("node", "node")["state"]["notes"] if "capability" in n["feature"]]
    assert notes == [], notes


def test_a_peer_s_socket_that_root_has_no_mode_for(t):
    """A guest's socket is its user's alone (0700): the daemon connects to it, which is what it keeps CAP_DAC_OVERRIDE for."""
    node = t.node()
    folder = os.path.join(t.tmp, "guest")
    os.mkdir(folder)
    os.chmod(t.tmp, 0o711)
    path = os.path.join(folder, "m.sock")
    guest = listening(path, socket.SOCK_SEQPACKET)
    for what in (path, folder):
        os.chown(what, 1234, 1234)
        os.chmod(what, 0o700)
    node.add_port("m", kind="memif", role="client", path=path, vlan=100)
    guest.settimeout(DEADLINE_S)
    guest.accept()[0].close()


@contextlib.contextmanager
def first_process():
    """A container's first process in a network namespace of its own, known by its pid alone, with every capability."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "it has its namespace")
        yield process.pid
        process.stdin.close()


def test_a_container_known_by_its_pid(t):
    """The kernel shows its namespace to who has all of its capabilities, which the daemon has not: CAP_SYS_PTRACE. Without, it is told why."""
    node = trunk_node(t)
    with first_process() as pid:
        node.add_port("c", kind="veth", netns=str(pid), ifname="eth0", vlan=100)
        node.wait_link("c")
        assert "eth0" in run("nsenter", "-t", str(pid), "-n", "ip", "-br", "link").stdout
        node.stop()
        argv = node.argv
        node.argv = lambda: ["setpriv", "--no-new-privs", "--bounding-set", "-all," + ",".join(f"+{c[4:]}" for c in KEPT if "ptrace" not in c), *argv()]
        node.start()
        notes = {n["feature"]: n["text"] for n in node.get("node", "node")["state"]["notes"]}
        assert "pid" in notes["capability sys_ptrace"], notes
        try:
            node.set_port("c", mac="02:00:00:00:00:09")
            raise AssertionError("a namespace was entered that cannot be")
        except Refused as error:
            assert f"namespace {pid}: Permission denied" in str(error), error


# --- the units ------------------------------------------------------------------------------------------------------------------


def unit(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str
    parser.read(os.path.join(UNITS, name))
    return parser


def test_the_units_give_what_the_daemon_takes(t):
    """The service's bounding set is what the daemon keeps and what it needs to start; with just that it starts and drops to the same."""
    service, control, public = unit("sluiced.service"), unit("sluiced.socket"), unit("sluiced-stat.socket")
    bounding = service["Service"]["CapabilityBoundingSet"].lower().split()
    assert set(bounding) == {*KEPT, "cap_setpcap", "cap_chown"}, bounding
    assert control["Socket"]["FileDescriptorName"] == "control" and public["Socket"]["FileDescriptorName"] == "stat"
    assert control["Socket"]["SocketMode"] == "0660" and control["Socket"]["SocketGroup"] == "sluice"
    assert public["Socket"]["SocketMode"] == "0666" and public["Socket"]["Service"] == "sluiced.service"
    node = t.node(start=False)
    argv = node.argv
    node.argv = lambda: ["setpriv", "--no-new-privs", "--bounding-set", "-all," + ",".join("+" + c[4:] for c in bounding), *argv()]
    node.start()
    assert capabilities(node.process.pid, node.process.pid)["CapEff"] == sum(1 << bit for bit in KEPT.values())
    t.endpoint("x")
    node.add_port("x", kind="af-xdp", ifname="x", vlan=100, mtu=1500)


def test_missing_capabilities_are_reported(t):
    """What the daemon was not given is in `node show`, with what will not work, and the rest works."""
    node = t.node(start=False)
    argv = node.argv
    node.argv = lambda: ["setpriv", "--no-new-privs", "--bounding-set", "-all,+net_admin,+net_raw,+ipc_lock,+dac_override", *argv()]
    node.start()
    notes = {n["feature"]: n["text"] for n in node.get("node", "node")["state"]["notes"]}
    assert "af-xdp" in notes["capability sys_admin"] and "capability net_raw" not in notes, notes
    t.endpoint("a")
    node.add_port("a", kind="af-packet", ifname="a", vlan=100)
    node.wait_link("a")


def test_install_puts_the_units_where_systemd_looks(t):
    """Units, sysusers and binaries land under DESTDIR; the service runs the binary that was installed."""
    root = os.path.join(t.tmp, "root")
    top = os.path.join(HERE, "..", "..")
    # What is installed has been built: nothing is made anew here, with flags that are not the build's.
    run("make", "-s", "-o", "all", "-C", top, "install", f"BUILD={t.build}", f"DESTDIR={root}", "PREFIX=/usr", seconds=60)
    found = {os.path.basename(p) for p in glob.glob(f"{root}/usr/lib/systemd/system/*")}
    assert found == {"sluiced.service", "sluiced.socket", "sluiced-stat.socket"}, found
    with open(f"{root}/usr/lib/systemd/system/sluiced.service", encoding="utf-8") as f:
        started = re.search(r"^ExecStart=(\S+)", f.read(), re.M)[1]
    assert os.access(root + started, os.X_OK), started
    with open(f"{root}/usr/lib/sysusers.d/sluice.conf", encoding="utf-8") as f:
        assert re.search(r"^g sluice ", f.read(), re.M)

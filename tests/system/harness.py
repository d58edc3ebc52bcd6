#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a system test is made of: nodes, endpoints, and ways to wait.

A test is a function `test_...(t)` in a module test_*.py; its docstring says what is promised. It runs as pid 1 of a sandbox of its
own (sandbox.py), started by run.py, and fails by raising. `t`, a Test, makes the rest:

    def test_two_endpoints_talk(t):
        "Two access ports of one VLAN reach each other."
        node = t.node()
        a, b = t.endpoint("a"), t.endpoint("b")
        node.add_port("a", kind="af-packet", ifname="a", vlan=100)
        node.add_port("b", kind="af-packet", ifname="b", vlan=100)
        a.wire().send(...)

      netns a                  the test's own namespace                  netns b
     +-------+            +--------------------------------+            +-------+
     | eth0 ======veth====== a --af-packet-- sluiced -- b ======veth====== eth0 |
     +-------+            +--------------------------------+            +-------+

When the test returns, every node is stopped by SIGTERM and must exit with 0 and without a sanitizer's report; that is part of every
test. When it raises, or its time is up, nothing is undone: the sandbox goes, and everything in it.

Waiting. A test never sleeps to be right. It waits for a frame (Wire.recv), for a process, or for a counter (wait_for), always with
a deadline, and the deadline is long: reaching it is a failure, so it may cost time only then.

Company. Tests run several at a time, each in its own sandbox, on CPUs that they share. A test that says nothing may have company: it
does not mind when it waits longer for things, and it does not keep the CPUs busy. One that does is marked, with its reason:

    @alone("holds a rate to 2 %")
    def test_a_limit(t): ...

Alone must be who measures (times, rates, latency, CPU time, what is lost of a stream that waits for nobody: ping's does not, Stream does), who
offers load as fast as it can (iperf3, Sender, testpmd, guests of QEMU: CPUs and the kernel's queues of frames are everybody's), and who needs
more of what no namespace is for than a name of its own in it (cgroups, BPF programs). What serves the first two here calls no_company(),
which fails a test that forgot to say so.
"""

import collections
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import frames
import sandbox
from wire import Wire, inside

DEADLINE_S = 10 if not os.environ.get("SLUICE_TEST_SLOW") else 60

company = False  # run.py: others may run beside this test

class Skip(Exception):
    """This machine cannot run the test; the text says what it lacks."""


def deadline(seconds):
    """Decorator: the test may take this long before run.py kills it (default: run.py's TEST_DEADLINE_S)."""

    def mark(function):
        function.deadline_s = seconds
        return function

    return mark


def alone(why):
    """Decorator: no other test runs while this one does (see above: Company)."""

    def mark(function):
        function.alone = why
        return function

    return mark


def no_company(what):
    """Call where something is done that only a test may do that is alone."""
    assert not company, f"{what}: only for tests that are marked @alone"


def need(*programs):
    """Skip the test where a program is missing."""
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"no {program} here")


def wait_for(predicate, what, seconds=DEADLINE_S):
    """
    Return predicate()'s first true value, asking every 10 ms.

    The daemon has no stream of events that covers counters, so a counter can only be asked for. That is the one place where the
    tests poll; a test that is waiting for a frame waits for the frame.
    """
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"waited {seconds} s in vain for: {what}; last value {value!r}")
        select.select([], [], [], 0.01)


def count_memory():
    """
    Call before a node is made whose memory is to be looked at: AddressSanitizer keeps what was freed, by default 256 MB of it. Returns by how
    much more a sanitizer may need.
    """
    options = ["quarantine_size_mb=1", "thread_local_quarantine_size_kb=64"]
    os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), *options]))
    return 4 if os.environ.get("SLUICE_TEST_SLOW") else 1


def run(*argv, check=True, netns=None, seconds=DEADLINE_S, **kw):
    """Run a command to its end, in a named namespace or here; returns CompletedProcess with text output."""
    argv = [*(["ip", "netns", "exec", netns] if netns else []), *map(str, argv)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False, **kw)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def ip_batch(*lines, netns=None):
    """Several `ip` commands in one process."""
    run("ip", "-batch", "-", netns=netns, input="\n".join(lines) + "\n")


# --- the control socket -----------------------------------------------------------------------------------------------------


class Refused(Exception):
    """The daemon answered with an error. `name` is the stable one of its data, "" if there is none."""

    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data") or {}
        self.name = self.data.get("name", "")


def added(answer):
    """The objects of an answer, without those that every node has by itself (the classes): they belong to nobody."""
    return [o for o in answer["objects"] if o["owner"]]


class Control:
    """One connection to a control socket. `hello` is said unless client is None."""

    def __init__(self, path, client="test"):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE_S)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.rest = b""
        self.ids = 0
        self.events = collections.deque()
        self.hello = self.call("hello", {"client": client, "api_major": 1}) if client else None

    def close(self):
        self.sock.close()

    def send(self, raw):
        """Bytes as they are: for tests of the framing."""
        self.sock.sendall(raw)

    def line(self):
        """The next line, decoded; None when the daemon has closed the connection."""
        while b"\n" not in self.rest:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self.rest, f"closed in the middle of a line: {self.rest[:200]!r}"
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def call(self, method, params=None):
        self.ids += 1
        request = {"jsonrpc": "2.0", "id": self.ids, "method": method}
        if params is not None:
            request["params"] = params
        self.send(json.dumps(request).encode() + b"\n")
        reply = self.line()
        while reply is not None and "method" in reply:
            self.events.append(reply["params"])
            reply = self.line()
        assert reply is not None, f"{method}: connection closed instead of an answer"
        assert reply.get("jsonrpc") == "2.0" and reply.get("id") == self.ids, f"{method}: not its answer: {reply}"
        if "error" in reply:
            raise Refused(reply["error"])
        return reply["result"]


    def event(self, *types):
        """The next event, of one of these types if any are given: others are passed over."""
        while True:
            if self.events:
                event = self.events.popleft()
            else:
                line = self.line()
                assert line is not None, "connection closed instead of an event"
                assert line.get("method") == "event" and "id" not in line, f"not an event: {line}"
                event = line["params"]
            if not types or event["type"] in types:
                return event


# --- a node -----------------------------------------------------------------------------------------------------------------


# Becomes the daemon with the descriptors of argv[1] as 3, 4, ... in the order and with the variables of sd_listen_fds(3).
HAND_OVER = """
import os, sys
fds = [os.dup(int(fd)) for fd in sys.argv[1].split(",")]
high = [__import__("fcntl").fcntl(fd, 0, 100) for fd in fds]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(high), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)))
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Node:
    """A sluiced with paths of its own. In the test's own network namespace, or in a named one."""

    def __init__(self, test, name="node", netns=None, **options):
        self.test, self.name, self.netns = test, name, netns
        self.dir = os.path.join(test.tmp, name)
        os.makedirs(self.dir, exist_ok=True)
        self.socket = os.path.join(self.dir, "control.sock")
        self.stat_socket = os.path.join(self.dir, "stat.sock")
        self.log = os.path.join(self.dir, "sluiced.log")
        # The machine's own configuration must not matter.
        config = os.path.join(self.dir, "sluiced.conf")
        with open(config, "w", encoding="ascii"):
            pass
        self.options = {
            "config": config,
            "socket": self.socket,
            "stat_socket": self.stat_socket,
            "state": os.path.join(self.dir, "state.db"),
            "trunk": "none",
            "memory": "plain",
            **options,
        }
        self.process = self.control = None
        self.env = {}
        self.listening = {}  # {name: socket}: handed over as systemd would

    def argv(self):
        argv = ["ip", "netns", "exec", self.netns] if self.netns else []
        argv.append(os.path.join(self.test.build, "sluiced"))
        for key, value in self.options.items():
            argv += ["--" + key.replace("_", "-"), str(value)] if value is not None else []
        return argv

    def spawn(self):
        """Start the program and return at once."""
        env = dict(os.environ)
        # Reports go to files that stop() looks for: a daemon's exit status alone can lose one.
        for tool in ("ASAN", "UBSAN", "LSAN", "TSAN"):
            env[tool + "_OPTIONS"] = ":".join(filter(None, [env.get(tool + "_OPTIONS"), f"log_path={self.dir}/sanitizer"]))
        env.update(self.env)
        argv, fds = self.argv(), [s.fileno() for s in self.listening.values()]
        if fds:
            env["LISTEN_FDNAMES"] = ":".join(self.listening)
            argv = [sys.executable, "-c", HAND_OVER, ",".join(map(str, fds)), *argv]
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, pass_fds=fds)

    def start(self):
        self.process = self.spawn()
        exited = os.pidfd_open(self.process.pid)
        end = time.monotonic() + 3 * DEADLINE_S
        try:
            while True:
                try:
                    self.control = Control(self.socket)
                    return self
                except (FileNotFoundError, ConnectionRefusedError):
                    pass
                # Either the daemon has ended or 5 ms have passed; a socket cannot be waited for before it is there.
                if select.select([exited], [], [], 0.005)[0]:
                    raise AssertionError(f"{self.name}: ended with {self.process.wait()} instead of starting")
                assert time.monotonic() < end, f"{self.name}: no socket after {3 * DEADLINE_S} s"
        finally:
            os.close(exited)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, signum=signal.SIGTERM):
        """End it by a signal, and hold it to a clean end."""
        if self.process is None:
            return
        self.process.send_signal(signum)
        try:
            status = self.process.wait(3 * DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name}: still there {3 * DEADLINE_S} s after the signal") from None
        self._gone()
        self.check_reports()
        assert status == 0, f"{self.name}: exit status {status}"

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self._gone()

    def _gone(self):
        self.process = None
        if self.control:
            self.control.close()
            self.control = None

    def check_reports(self):
        reports = [f for f in os.listdir(self.dir) if f.startswith("sanitizer")]
        for name in reports:
            with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as f:
                raise AssertionError(f"{self.name}: {f.read(8000)}")

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    # --- programming it ---

    def call(self, method, params=None):
        return self.control.call(method, params)

    def connect(self, client="test", stat=False):
        """A further connection."""
        return Control(self.stat_socket if stat else self.socket, client)

    def apply(self, *ops, **kw):
        return self.call("apply", {"ops": list(ops), **kw})

    def add_vlan(self, vid, **attrs):
        return self.apply(add("vlan", str(vid), **attrs))

    def set_vlan(self, vid, **attrs):
        return self.apply(change("vlan", str(vid), **attrs))

    def add_port(self, name, **attrs):
        """A port, and the VLAN that it names. One that has attributes already is given them by set_vlan(), after its first port."""
        return self.apply(*add_ports({name: attrs}))

    def attach(self, endpoint, **attrs):
        """An af-packet port on an endpoint's cable, of the same name."""
        return self.add_port(endpoint.name, kind="af-packet", ifname=endpoint.name, **attrs)

    def set_port(self, name, **attrs):
        return self.apply(change("port", name, **attrs))

    def del_port(self, name):
        return self.apply(delete("port", name))

    def get(self, kind, name):
        objects = self.call("get", {"object": kind, "name": name})["objects"]
        assert len(objects) == 1, f"get {kind} {name}: {objects}"
        return objects[0]

    def port_stats(self, name):
        """The port's counters. "drops" holds the reasons that are not zero."""
        return self.call("stats", {"object": "port", "name": name})["stats"][0]

    def fdb(self, **which):
        """All FDB entries that match (vlan, port, mac)."""
        entries, cursor = [], {}
        while True:
            answer = self.call("fdb", {**which, **cursor})
            entries += answer["entries"]
            if not answer.get("cursor"):
                return entries
            cursor = {"cursor": answer["cursor"]}

    def drops(self, name, reason):
        return self.port_stats(name)["drops"].get(reason, 0)

    def wait_link(self, *names):
        for name in names:
            wait_for(lambda port=name: self.get("port", port)["state"]["link"] == "up", f"link of port {name} up")

    def ctl(self, *args, check=True, json_output=True):
        """Run sluicectl. With check, returns its JSON document; without, the CompletedProcess."""
        argv = [os.path.join(self.test.build, "sluicectl"), *(["-j"] if json_output else []), "-s", self.socket, *map(str, args)]
        done = run(*argv, check=check)
        if not check:
            return done
        return json.loads(done.stdout) if json_output and done.stdout.strip() else done.stdout


def add_ports(ports):
    """Operations that add {name: attributes}, and before them the VLANs that those are in: a port's `vlan` must be declared."""
    vlans = sorted({attrs["vlan"] for attrs in ports.values() if attrs.get("vlan")})
    return [*(add("vlan", str(vid)) for vid in vlans), *(add("port", name, **attrs) for name, attrs in ports.items())]


def add(object_type, name, /, **attrs):
    return {"op": "add", "object": object_type, "name": name, "attrs": attrs}


def change(object_type, name, /, **attrs):
    return {"op": "set", "object": object_type, "name": name, "attrs": attrs}


def delete(object_type, name):
    return {"op": "del", "object": object_type, "name": name}


# --- hosts --------------------------------------------------------------------------------------------------------------------


class Host:
    """A small host: namespace NAME, its loopback up, IPv6 silent unless asked for, and never anything by itself but answers."""

    def __init__(self, name, ipv6=False, mac=None):
        assert len(name) < 16, name
        self.name = name
        self.mac = mac or f"02:{':'.join(f'{b:02x}' for b in name.encode()[:5].rjust(5, bytes(1)))}"
        run("ip", "netns", "add", name)
        with inside(name):
            for where in ("all", "default"):
                sandbox.sysctl(f"net.ipv6.conf.{where}.disable_ipv6", int(not ipv6))
                sandbox.sysctl(f"net.ipv6.conf.{where}.accept_dad", 0)
                sandbox.sysctl(f"net.ipv6.conf.{where}.accept_ra", 0)
                sandbox.sysctl(f"net.ipv6.conf.{where}.router_solicitations", 0)
        run("ip", "link", "set", "lo", "up", netns=name)

    def run(self, *argv, **kw):
        return run(*argv, netns=self.name, **kw)

    def popen(self, *argv, **kw):
        """A process in the background; the sandbox's end is its end too."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, argv)], text=True, **kw)

    def wire(self, ifname="eth0"):
        return Wire(ifname, netns=self.name)

    def ping(self, addr, count=1, size=56, seconds=DEADLINE_S):
        """Ping until `count` answers have come; AssertionError if they do not."""
        self.run("ping", "-q", "-i", "0.01", "-c", count, "-s", size, "-w", seconds, addr, seconds=2 * seconds)


class Endpoint(Host):
    """
    A host at the end of a cable: eth0, whose other end is netdev NAME in the node's namespace.

    `addr` is a list of addresses with prefix; without a v6 one, IPv6 stays off and the endpoint says nothing by itself but answers
    to ARP. `offload` False turns checksum and segmentation offload off inside, so that frames are whole when they leave.
    """

    def __init__(self, name, node_netns=None, mac=None, addr=(), mtu=1500, offload=True):
        super().__init__(name, ipv6=any(":" in a for a in addr), mac=mac)
        where = f"netns {node_netns}" if node_netns else ""
        ip_batch(f"link add name {name} {where} mtu {mtu} type veth peer name eth0 netns {name} address {self.mac} mtu {mtu}")
        ip_batch(f"link set dev {name} up", netns=node_netns)
        ip_batch("link set eth0 up", *(f"addr add {a} dev eth0{' nodad' if ':' in a else ''}" for a in addr), netns=name)
        if not offload:
            run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", netns=name)


# --- the test -----------------------------------------------------------------------------------------------------------------


class Test:
    """What a test function gets. `tmp` is its directory, `build` where the binaries are."""

    def __init__(self, tmp, build):
        self.tmp, self.build = tmp, build
        self.nodes = []

    def node(self, name="node", netns=None, start=True, **options):
        """A node, running unless start is False. Options are sluiced's, with _ for -; None leaves one out."""
        node = Node(self, name, netns, **options)
        self.nodes.append(node)
        return node.start() if start else node

    def endpoint(self, name, **kw):
        return Endpoint(name, **kw)

    def switch(self, ports, **options):
        """A node with an endpoint on each port: {name: the port's attributes}. Returns the node, and the endpoints in order."""
        node = self.node(**options)
        endpoints = [self.endpoint(name, mtu=attrs.get("mtu", 1500)) for name, attrs in ports.items()]
        node.apply(*add_ports({name: {"kind": "af-packet", "ifname": name, **attrs} for name, attrs in ports.items()}))
        node.wait_link(*ports)
        return node, *endpoints

    def finish(self):
        """The end of a test that did not raise."""
        for node in self.nodes:
            node.stop()


# --- things that several tests want ---------------------------------------------------------------------------------------------


class Stream:
    """
    Numbered frames from one wire to another, to find out which did not arrive, came twice, or came changed.

    send() may run ahead of the receiver as far as socket buffers go, so `window` frames at most are left unacknowledged: the sender
    stops and drains the receiver. What is in flight then is bounded and nothing is lost to the test's own buffers.
    """

    HEAD = b"stream"

    def __init__(self, sender, receiver, dst, src, tags=(), size=200, window=64):
        self.sender, self.receiver = sender, receiver
        self.args = (dst, src, list(tags), frames.ETH_TEST)
        self.fill = bytes(i & 0xFF for i in range(size - 14 - 4 * len(self.args[2]) - len(self.HEAD) - 8))
        self.window = window
        self.sent = 0
        self.received = collections.Counter()
        self.strange = []

    def _payload(self, number):
        return self.HEAD + number.to_bytes(8, "big") + self.fill

    def send(self, count=1):
        for _ in range(count):
            if self.sent - len(self.received) >= self.window:
                self.collect(self.sent - self.window // 2)
            self.sender.send(frames.eth(*self.args, self._payload(self.sent)))
            self.sent += 1

    def collect(self, want=None, seconds=DEADLINE_S):
        """Receive until `want` different frames have arrived (default: all that were sent)."""
        want = self.sent if want is None else want
        end = time.monotonic() + seconds
        while len(self.received) < want:
            got = self.receiver.recv(end)
            if got is None:
                missing = [n for n in range(self.sent) if n not in self.received]
                raise AssertionError(f"{len(missing)} of {self.sent} frames did not arrive, first {missing[:10]}")
            self._take(got)

    def _take(self, got):
        if got.ethertype != frames.ETH_TEST or got.payload[:6] != self.HEAD:
            return
        number = int.from_bytes(got.payload[6:14], "big")
        if got.payload != self._payload(number):
            self.strange.append(got)
        self.received[number] += 1

    def check(self):
        """All arrived, once each, unchanged."""
        self.collect()
        for got in self.receiver.drain():
            self._take(got)
        twice = [n for n, times in self.received.items() if times > 1]
        assert not twice, f"{len(twice)} frames came more than once, first {twice[:10]}"
        assert not self.strange, f"{len(self.strange)} frames came changed, first {self.strange[0]}"


def test_frame(src, dst=frames.BROADCAST, text="", tags=(), size=60):
    """A frame that says which one it is."""
    payload = text.encode()
    return frames.eth(dst, src, tags, frames.ETH_TEST, payload + bytes(max(0, size - 14 - 4 * len(tags) - len(payload))))


def before(marker, receiver):
    """
    Wait for a marker that has been sent, and return the frames that came before it. Frames of one port keep their order, so what
    was sent before by the marker's sender and has not come by then has not been forwarded. A flooded marker reaches one receiver
    sooner than the other: each is asked.
    """
    end = time.monotonic() + DEADLINE_S
    earlier = []
    while True:
        got = receiver.recv(end)
        assert got is not None, f"the marker did not arrive; before it: {earlier[:20]}"
        if got.raw == marker:
            return earlier
        earlier.append(got)


def until(sender, marker, receiver, arrives=None):
    """Send a marker, and return what came before it. `arrives`: the marker as it arrives, if not as it was sent."""
    sender.send(marker)
    return before(arrives or marker, receiver)


class Sender:
    """A process that sends the given frames in turn, as fast as it can, until stop(). For load: who knows which arrived."""

    def __init__(self, wire, *what, cpu=None):
        no_company("Sender")
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if cpu is not None:
                    os.sched_setaffinity(0, {cpu})
                while True:
                    for frame in what:
                        try:
                            wire.sock.send(frame)
                        except OSError as e:
                            if e.errno != errno.ENOBUFS:
                                raise
            except BaseException:  # pylint: disable=broad-except
                pass
            finally:
                os._exit(0)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def iperf3(server, client, addr, *args, port=5201, seconds=2):
    """Run one iperf3 test between two endpoints; returns its JSON."""
    no_company("iperf3")
    listener = server.popen("iperf3", "-s", "-1", "-p", port, "--forceflush", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    line = ""
    while "listening" not in line:
        line = listener.stdout.readline()
        assert line, "iperf3 -s ended before it listened"
    done = client.run("iperf3", "-c", addr, "-p", port, "-J", "-t", seconds, *args, seconds=seconds + 3 * DEADLINE_S)
    listener.communicate(timeout=DEADLINE_S)
    return json.loads(done.stdout)

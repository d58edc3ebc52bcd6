#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The forwarders that are measured: Sluice and its peers, each a class.

    forwarder = Class(setup)        Setup: where, over which transport, with how many silent ports ...
    pair, idle = forwarder.start()  the two sockets that talk, and the silent ones, as the source's arguments want them
    forwarder.stop()
    Class.missing(transport, huge)  why this machine or the transport cannot have it, or None

Each runs one worker on WORKER_CORE and keeps its files in a directory of its own. `learns` says whether it wants the addresses
announced. Over memif the forwarder has the sockets, over vhost-user the source has (the forwarder connects to it and retries), so
that every forwarder is attached in the way in which it is attached to virtual machines.
"""

import dataclasses
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from harness import Control

SOURCE_CORE, WORKER_CORE = 0, 1
START_S = 20
HUGE_MIB = 512
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


@dataclasses.dataclass
class Setup:
    build: str
    tmp: str
    transport: str  # memif, vhost-user
    idle: int = 0  # silent ports beside the two
    mtu: int = 1500
    huge: bool = False  # packet buffers in huge pages


class Forwarder:
    name, learns = "", True

    def __init__(self, setup):
        self.setup = setup
        self.dir = tempfile.mkdtemp(dir=setup.tmp)
        self.process = None
        self.sockets = [os.path.join(self.dir, f"{i}.sock") for i in range(2 + setup.idle)]

    @classmethod
    def missing(cls, _transport, _huge):
        return None

    def launch(self, argv, **kw):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log, **{"stdin": subprocess.DEVNULL, **kw})

    def said(self, text):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
            return text in f.read()

    def until(self, ready):
        """Poll: a process that starts tells nobody. The deadline is generous, the step short beside a round."""
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
                    raise SystemExit(f"bench: {self.name} did not start:\n{f.read()[-3000:]}")
            time.sleep(0.02)

    def cpu_ns(self):
        """Of each thread: how long it has run, and how long it could have run while somebody else had its CPU; nanoseconds."""
        threads = {}
        for task in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(task, encoding="ascii") as f:
                ran, waited, _ = map(int, f.read().split())
            threads[task] = ran, waited
        return threads

    def worker_waited_ms(self, before):
        """Since cpu_ns() returned `before`, how long the worker waited for its CPU. It is the thread that has run most since."""
        since = [(ran - before.get(task, (0, 0))[0], waited - before.get(task, (0, 0))[1]) for task, (ran, waited) in self.cpu_ns().items()]
        return max(since)[1] / 1e6

    def stop(self):
        end(self.process)


def end(process, signum=signal.SIGTERM):
    if process is None:
        return
    process.send_signal(signum)
    try:
        process.wait(START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Sluice(Forwarder):
    """sluiced with a busy worker and two access ports of VLAN 100; the silent ones are in it too."""

    name = "sluice"

    def start(self):
        self.control, config = os.path.join(self.dir, "control"), os.path.join(self.dir, "conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write("# the bench sets everything on the command line\n")
        self.process = self.launch(
            [os.path.join(self.setup.build, "sluiced"), "--config", config, "--socket", self.control, "--stat-socket", self.control + ".stat",
             "--state", os.path.join(self.dir, "state.db"), "--trunk", "none", "--memory", "huge" if self.setup.huge else "plain",
             "--poll", "busy", "--cores", str(WORKER_CORE)])
        self.until(lambda: connects(self.control))
        session = Control(self.control, "bench")
        session.call("apply", {"ops": [{"op": "add", "object": "vlan", "name": "100", "attrs": {}}] + [
            {"op": "add", "object": "port", "name": f"p{i}",
             "attrs": {"kind": self.setup.transport, "path": path, "vlan": 100, "mtu": self.setup.mtu}} for i, path in enumerate(self.sockets)]})
        session.close()
        return self.sockets[:2], self.sockets[2:]


def connects(path):
    try:
        Control(path, "bench").close()
        return True
    except (OSError, ConnectionError):
        return False


class Testpmd(Forwarder):
    """dpdk-testpmd, forwarding between two ports without looking at the frames."""

    name, learns = "testpmd", False
    DRIVERS = {"memif": "memif", "vhost-user": "vhost"}

    @classmethod
    def driver(cls, transport):
        found = sorted(glob.glob(f"/usr/lib/*/dpdk/pmds-*/librte_net_{cls.DRIVERS[transport]}.so"))
        return found[-1] if found else None

    @classmethod
    def missing(cls, transport, _huge):
        if not shutil.which("dpdk-testpmd"):
            return "dpdk-testpmd is not installed (package dpdk-dev)"
        return None if cls.driver(transport) else f"DPDK's {cls.DRIVERS[transport]} driver is not installed"

    def start(self):
        assert self.setup.idle == 0
        if self.setup.transport == "memif":
            vdevs = [f"--vdev=net_memif{i},role=server,id={i},socket-abstract=no,socket={s}" for i, s in enumerate(self.sockets)]
            pair = [f"{s}:{i}" for i, s in enumerate(self.sockets)]
        else:
            vdevs = [f"--vdev=net_vhost{i},iface={s},client=1" for i, s in enumerate(self.sockets)]
            pair = self.sockets
        memory = ["--in-memory"] if self.setup.huge else ["--no-huge", "--no-shconf"]
        self.process = self.launch(
            ["dpdk-testpmd", f"--lcores=0@{SOURCE_CORE},1@{WORKER_CORE}", *memory, "-m", str(HUGE_MIB), "--no-pci", "--no-telemetry",
             "-d", self.driver(self.setup.transport), *vdevs, "--", "--forward-mode=io", "--auto-start", "--nb-cores=1",
             "--total-num-mbufs=16384"], stdin=subprocess.PIPE)
        # Its sockets are there before its interfaces are.
        self.until(lambda: self.said("Checking link"))
        return pair, []

    def stop(self):
        end(self.process, signal.SIGINT)


class OpenVSwitch(Forwarder):
    """
    ovs-vswitchd with DPDK, a bridge whose only rule is NORMAL, and dpdkvhostuserclient ports. All its files are in our directory,
    so the machine's own Open vSwitch, if it runs, does not notice. The MAC table has room for all addresses: at its default of 8192
    it would flood.
    """

    name = "ovs"

    @staticmethod
    def program():
        """Debian has the build with DPDK as an alternative, which need not be the one in force."""
        found = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
        return found if os.path.exists(found) else None

    @classmethod
    def missing(cls, transport, huge):
        if transport != "vhost-user":
            return "Open vSwitch has no memif"
        if not cls.program() or not shutil.which("ovs-vsctl") or not os.path.exists(SCHEMA):
            return "Open vSwitch with DPDK is not installed (packages openvswitch-switch, openvswitch-switch-dpdk)"
        return None if huge else "Open vSwitch needs huge pages"

    def __init__(self, setup):
        super().__init__(setup)
        self.server = None
        self.db = f"unix:{self.dir}/db.sock"
        self.env = {**os.environ, **{"OVS_" + name: self.dir for name in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")}}

    def vsctl(self, *argv):
        argv = ["ovs-vsctl", f"--db={self.db}", "--no-wait", *argv]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False, timeout=START_S)
        if done.returncode:
            raise SystemExit(f"bench: {' '.join(argv)}:\n{done.stderr}")
        return done.stdout

    def database(self, *config):
        """A database with this configuration, and its server."""
        conf = os.path.join(self.dir, "conf.db")
        subprocess.run(["ovsdb-tool", "create", conf, SCHEMA], env=self.env, check=True)
        self.server = self.process = self.launch(["ovsdb-server", conf, f"--remote=p{self.db}"], env=self.env)
        self.until(lambda: os.path.exists(f"{self.dir}/db.sock"))
        self.vsctl("init")
        self.vsctl("set", "Open_vSwitch", ".", *config)

    def start(self):
        self.database(f"other_config:pmd-cpu-mask={1 << WORKER_CORE:#x}", f"other_config:dpdk-lcore-mask={1 << SOURCE_CORE:#x}",
                      f"other_config:dpdk-socket-mem={HUGE_MIB}", "other_config:dpdk-extra=--no-pci", "other_config:dpdk-init=true")
        bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "other_config:mac-table-size=200000"]
        for i, path in enumerate(self.sockets):
            bridge += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={path}", f"mtu_request={self.setup.mtu}"]
        self.vsctl(*bridge)
        self.process = self.launch([self.program(), self.db], env=self.env)
        self.until(lambda: self.said("vhost-user client: socket created") and self.configured())
        return self.sockets[:2], self.sockets[2:]

    def configured(self):
        """Every interface has been opened. One that failed is named."""
        rows = self.vsctl("--format=csv", "--no-headings", "--columns=name,ofport,error", "list", "interface").split()
        wrong = [r for r in rows if not r.endswith("[]") or ",-1," in r]
        if wrong and not all(r.endswith(",[],[]") for r in wrong):
            raise SystemExit(f"bench: ovs: {wrong}")
        return len(rows) == len(self.sockets) + 1 and not any(",[]," in r for r in rows)

    def stop(self):
        if self.process is not self.server:
            end(self.process)
        end(self.server)

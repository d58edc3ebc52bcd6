#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Guests: whole Linux systems under QEMU, as tenants of a node.

    vm = Guest(t, "vm", [Nic("vm", path, mac)])   nothing runs yet
    vm.start()                                    QEMU runs, the kernel has booted, the agent in it has said `ready`
    print(vm.run("ip link show eth0"))            a shell script, its output
    stream = vm.begin("ping -c 100 10.0.0.2")     one that runs while the test does something else
    stream.wait()
    vm.kill9()

             the test's sandbox
     +---------------------------------------------------------------------+
     |  test ---- socket pair: QMP ------+                                  |
     |   |                               |                                  |
     |   +------- socket pair: ttyS1 -- qemu-system-x86_64 (one process)    |
     |                                   |  kernel, initramfs of BUILD/lab  |
     |              console.log <- ttyS0 |  agent: tests/lab/agent.c        |
     |                                   |                                  |
     |  sluiced -- vhost-user socket ----+  virtio-net cards                |
     +---------------------------------------------------------------------+

What boots is made by tests/lab/image.py: Debian's kernel, busybox, `flow` (TCP with every byte checked), `nic` and the agent. Where it is
missing, Guest() raises Skip with the reason. The CPU is emulated (tcg): a boot takes about 2 s of one core, TCP runs at some hundred
Mbit/s, and a busy machine stretches all of it; deadlines here are long, and reaching one is a failure.

QEMU owns a card's vhost-user socket and listens there; a switch connects, again and again (Nic(listen=False) is the other way
round). QEMU creates a card only when its back end has connected and answered, so a Guest is started with the other end in place.
When the other end goes, the guest sees a card whose link is down, and up again when it is back.

Waiting. run() returns when the script has ended, wait_carrier() when the card is as asked, start() when the guest is ready; QMP
events are waited for with Qmp.event(). A script that waits inside the guest does so by commands that end by the event.

Migration. A second Guest with the same hardware, started with incoming=True, waits; Migration(source, it).end() moves the running
system, with the scripts that run in it: their Jobs go on, their answers arrive over the new QEMU. QEMU 7.2 loses track of what an emulated
CPU writes meanwhile when it can look at its books in steps of 64 pages, and the guest arrives with old pages in its memory and dies
of them, with or without a network card (9.0 has it right). It does not take these steps where the memory's size is no multiple of
256 KiB: hence the odd size of a guest.

Other systems. `append`, `initramfs` and `args` are there for guests that need more than a network card (a root from the host over
9p, more modules, more disks): the agent's protocol is the same wherever its binary runs as the first process.
"""

import collections
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time

from harness import DEADLINE_S, Skip, no_company, wait_for

# An emulated CPU, beside other work, on a machine whose speed nobody knows.
GUEST_DEADLINE_S = 6 * DEADLINE_S
QEMU = "qemu-system-x86_64"
# Less to emulate at boot: no address space randomisation, no tests of ciphers, no calibration, no mitigations.
APPEND = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check cryptomgr.notests"


def need_guests(build):
    """The directory with the kernel and the initramfs, or Skip."""
    lab = os.environ.get("SLUICE_LAB", os.path.join(build, "lab"))
    if not shutil.which(QEMU):
        raise Skip(f"no {QEMU} here")
    for name in ("vmlinux", "initramfs"):
        if not os.path.exists(os.path.join(lab, name)):
            raise Skip(f"no {lab}/{name}: `make lab` makes it, and needs Debian's package linux-image-amd64")
    return lab


class Lines:
    """A socket read in lines and counted bytes, with a deadline: what QMP and the agent have in common."""

    def __init__(self, sock, who):
        self.sock, self.who, self.data = sock, who, b""

    def send(self, data):
        self.sock.sendall(data)

    def _more(self, end):
        left = end - time.monotonic()
        if not select.select([self.sock], [], [], max(left, 0))[0]:
            raise AssertionError(f"{self.who}: no answer")
        data = self.sock.recv(1 << 16)
        if not data:
            raise AssertionError(f"{self.who}: closed")
        self.data += data

    def take_what_is_there(self):
        while select.select([self.sock], [], [], 0)[0] and (data := self.sock.recv(1 << 16)):
            self.data += data

    def line(self, end):
        while b"\n" not in self.data:
            self._more(end)
        line, self.data = self.data.split(b"\n", 1)
        return line.decode()

    def exactly(self, length, end):
        while len(self.data) < length:
            self._more(end)
        taken, self.data = self.data[:length], self.data[length:]
        return taken


class Qmp:
    """QEMU's control connection: commands, and the events that come between their answers."""

    def __init__(self, sock, who):
        self.lines = Lines(sock, f"{who}'s QMP")
        self.events = collections.deque()
        self.greeted = False

    def _greet(self, end):
        greeting = json.loads(self.lines.line(end))
        assert "QMP" in greeting, greeting
        self.greeted = True
        self.call("qmp_capabilities")

    def call(self, command, seconds=GUEST_DEADLINE_S, **arguments):
        """Run a command, return its answer. Argument names have _ for -."""
        end = time.monotonic() + seconds
        if not self.greeted:
            self._greet(end)
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.lines.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            message = json.loads(self.lines.line(end))
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise AssertionError(f"{self.lines.who}: {command}: {message['error']['desc']}")
            else:
                return message["return"]

    def event(self, name, seconds=GUEST_DEADLINE_S, **having):
        """The next event of that name whose data have these values; others before it are forgotten."""
        end = time.monotonic() + seconds
        while True:
            while self.events:
                event = self.events.popleft()
                data = event.get("data", {})
                if event["event"] == name and all(data.get(key) == value for key, value in having.items()):
                    return data
            message = json.loads(self.lines.line(end))
            assert "event" in message, message
            self.events.append(message)


class Nic:
    """
    A virtio network card on a vhost-user socket. `properties` are virtio-net-pci's (host_mtu=9000, guest_announce="off").

    Interrupts are by wire (vectors=0): QEMU 7.2 without KVM looks for KVM's interrupt descriptors when a vhost-user card with MSI-X
    starts, and crashes. Nothing of that reaches the back end.
    """

    def __init__(self, name, path, mac, queues=1, listen=True, **properties):
        self.name, self.path, self.mac, self.queues, self.listen = name, path, mac, queues, listen
        self.properties = properties

    def argv(self):
        chardev = f"socket,id=char-{self.name},path={self.path},{'server=on,wait=off' if self.listen else 'reconnect=1'}"
        netdev = f"vhost-user,id=net-{self.name},chardev=char-{self.name},queues={self.queues}"
        # romfile: a boot ROM would be shown to a firmware that is not asked to boot from it.
        device = {"netdev": f"net-{self.name}", "id": self.name, "mac": self.mac, "romfile": "", "vectors": 0, **self.properties}
        if self.queues > 1:
            device["mq"] = "on"
        device = ",".join(["virtio-net-pci", *(f"{key}={value}" for key, value in device.items())])
        return ["-chardev", chardev, "-netdev", netdev, "-device", device]


class Job:
    """A script that runs in a guest. wait() gives its output, once."""

    def __init__(self, guest, number, script):
        self.guest, self.number, self.script = guest, number, script
        self.status = self.output = None

    def wait(self, check=True, seconds=GUEST_DEADLINE_S):
        end = time.monotonic() + seconds
        while self.status is None:
            self.guest.hear(end)
        if check and self.status:
            raise AssertionError(f"{self.guest.name}: {self.script!r}: exit {self.status}\n{self.output}")
        return self.output


class Guest:
    """A virtual machine, or the place of one."""

    def __init__(self, t, name, nics=(), memory_mib=128, slots=0, cpus=1, append="", initramfs=None, args=()):
        no_company("a guest")
        self.lab = need_guests(t.build)
        self.name, self.nics, self.args = name, list(nics), list(args)
        self.memory_mib, self.slots, self.cpus, self.append = memory_mib, slots, cpus, append
        self.initramfs = initramfs or os.path.join(self.lab, "initramfs")
        self.dir = os.path.join(t.tmp, f"guest-{name}")
        os.makedirs(self.dir)
        self.process = self.agent = self.qmp = None
        self.jobs, self.number = {}, 0

    # --- the machine ---

    def _argv(self, agent_fd, qmp_fd):
        argv = [QEMU, "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-cpu", "max"]
        # What no guest here uses is left out, because its driver would look for it.
        argv += ["-machine", "q35,memory-backend=mem,i8042=off,vmport=off,hpet=off,smbus=off,sata=off"]
        # 8 KiB more: see Migration above.
        memory = f"{self.memory_mib * 1024 + 8}K"
        slots = f",slots={self.slots},maxmem=2G" if self.slots else ""
        argv += ["-m", memory + slots, "-object", f"memory-backend-memfd,id=mem,size={memory},share=on"]
        argv += ["-smp", str(self.cpus), "-kernel", os.path.join(self.lab, "vmlinux"), "-initrd", self.initramfs]
        argv += ["-append", f"{APPEND} {self.append}".strip()]
        argv += ["-chardev", f"file,id=console,path={self.dir}/console.log,append=on", "-serial", "chardev:console"]
        argv += ["-chardev", f"socket,id=agent,fd={agent_fd}", "-serial", "chardev:agent"]
        argv += ["-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]
        for nic in self.nics:
            argv += nic.argv()
        return argv + self.args

    def start(self, incoming=False):
        """Power it on and wait for its agent. With `incoming`, it waits for a migration instead."""
        self.power_on(incoming)
        if not incoming:
            self.wait_ready()
        return self

    def power_on(self, incoming=False):
        """The beginning of start(): several guests boot at once when all are powered on before any is waited for."""
        assert self.process is None
        agent, agent_end = socket.socketpair()
        qmp, qmp_end = socket.socketpair()
        for nic in self.nics:
            if nic.listen and os.path.exists(nic.path):
                os.unlink(nic.path)
        argv = self._argv(agent_end.fileno(), qmp_end.fileno()) + (["-incoming", "defer"] if incoming else [])
        with open(os.path.join(self.dir, "qemu.log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(agent_end.fileno(), qmp_end.fileno())
            )
        agent_end.close()
        qmp_end.close()
        self.agent, self.qmp = Lines(agent, f"{self.name}'s agent"), Qmp(qmp, self.name)

    def wait_ready(self, seconds=GUEST_DEADLINE_S):
        """Wait for the word that the agent says once, at the end of a boot."""
        line = self.agent.line(time.monotonic() + seconds)
        assert line == "ready", f"{self.name}: {line!r} instead of ready"

    def kill9(self):
        """As if the host had lost it: no farewell to anybody."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._gone()

    def _gone(self):
        self.agent.sock.close()
        self.qmp.lines.sock.close()
        self.process = self.agent = self.qmp = None
        self.jobs = {}

    def reboot(self, script="reboot -f"):
        """Restart the system from within. Whatever ran in it is lost."""
        self._request(script)
        self.jobs = {}
        self.wait_ready()

    def plug_memory(self, name, mib=128):
        """Put memory into one of `slots`, and wait until the system knows it. It has yet to take it into use (online_memory())."""
        self.qmp.call("object-add", qom_type="memory-backend-memfd", id=f"mem-{name}", size=mib << 20, share=True)
        self.qmp.call("device_add", driver="pc-dimm", id=f"dimm-{name}", memdev=f"mem-{name}")
        wait_for(self._offline_memory, f"{self.name}: new memory", GUEST_DEADLINE_S)

    def unplug_memory(self, name):
        """Take memory out that the system does not use; it is asked to let go of it."""
        self.qmp.call("device_del", id=f"dimm-{name}")
        self.qmp.event("DEVICE_DELETED", device=f"dimm-{name}")
        self.qmp.call("object-del", id=f"mem-{name}")

    # --- the system in it ---

    def _request(self, script):
        self.number += 1
        job = self.jobs[self.number] = Job(self, self.number, script)
        data = script.encode()
        self.agent.send(b"run %d %d\n" % (self.number, len(data)) + data)
        return job

    def begin(self, script):
        """Start a shell script."""
        return self._request(script)

    def run(self, script, check=True, seconds=GUEST_DEADLINE_S):
        """Run a shell script to its end; its output. With check, AssertionError unless it ends with 0."""
        return self._request(script).wait(check, seconds)

    def hear(self, end):
        """Take one answer from the agent, whosever it is."""
        word, *fields = self.agent.line(end).split()
        assert word == "done", f"{self.name}: it has started again ({word}): see console.log"
        number, status, length = map(int, fields)
        output = self.agent.exactly(length, end).decode(errors="replace")
        job = self.jobs.pop(number)
        job.status, job.output = status, output

    def read(self, path):
        return self.run(f"cat {path}").strip()

    def counter(self, name, ifname="eth0"):
        """A netdev's counter in the guest (rx_packets ...)."""
        return int(self.read(f"/sys/class/net/{ifname}/statistics/{name}"))

    def _offline_memory(self):
        return self.run("grep -lx offline /sys/devices/system/memory/memory*/state", check=False).split()

    def online_memory(self):
        """Take plugged memory into use."""
        self.run(" && ".join(f"echo online > {block}" for block in self._offline_memory()))

    def driver_stats(self, ifname="eth0"):
        """The card's counters as its driver keeps them, {name: value}."""
        return {name: int(value) for name, value in (line.split() for line in self.run(f"nic stats {ifname}").splitlines())}

    def features(self, ifname="eth0"):
        """The virtio features that the card's driver and its device have agreed on, as a set of bit numbers."""
        bits = self.read(f"/sys/class/net/{ifname}/device/features")
        return {number for number, bit in enumerate(bits) if bit == "1"}

    def wait_carrier(self, up=True, ifname="eth0"):
        """Wait until the guest sees its card's link go up or down."""
        want = "1" if up else "0"
        self.run(f"ip link set {ifname} up")
        wait_for(lambda: self.read(f"/sys/class/net/{ifname}/carrier") == want, f"{self.name}: carrier {want}", GUEST_DEADLINE_S)


class Migration:
    """
    A guest on its way from one QEMU to another. The stream passes through here, and no faster than it is let: so there is time to do
    something with a system that has been copied and runs on, and QEMU cannot come to an end before it.
    """

    PIECE = 1 << 17
    DOWNTIME_MS = 300  # QEMU's default

    def __init__(self, source, target):
        self.source, self.target = source, target
        paths = [os.path.join(guest.dir, "migration.sock") for guest in (source, target)]
        target.qmp.call("migrate-incoming", uri=f"unix:{paths[1]}")
        source.qmp.call("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        # QEMU stops the system when it believes that the rest can be copied in that time: for now, next to never.
        source.qmp.call("migrate-set-parameters", downtime_limit=1)
        with socket.socket(socket.AF_UNIX) as listener:
            if os.path.exists(paths[0]):
                os.unlink(paths[0])
            listener.bind(paths[0])
            listener.listen(1)
            source.qmp.call("migrate", uri=f"unix:{paths[0]}")
            listener.settimeout(GUEST_DEADLINE_S)
            self.stream, _ = listener.accept()
        self.onward = socket.socket(socket.AF_UNIX)
        self.onward.connect(paths[1])

    def info(self):
        return self.source.qmp.call("query-migrate")

    def pass_on(self):
        """Let a piece pass; False at the stream's end."""
        piece = self.stream.recv(self.PIECE)
        if not piece:
            # A target that has all closes its end, perhaps before the source does: even sending nothing would fail.
            return False
        try:
            self.onward.sendall(piece)
        except BrokenPipeError:
            raise AssertionError(f"{self.target.name}: does not take what comes from {self.source.name}: see qemu.log") from None
        return True

    def copy_once(self):
        """
        Let all of the memory pass, and hold the stream when QEMU has begun with what was written meanwhile. The system must be busy:
        with nothing left to copy QEMU would be done.
        """
        while self.info().get("ram", {}).get("dirty-sync-count", 0) < 2:
            assert self.pass_on(), f"{self.source.name}: the migration has ended: {self.info()}"

    def fail(self):
        """End it before its time, as a target that dies does: the system goes on where it is."""
        self.stream.close()
        self.onward.close()
        self.source.qmp.event("MIGRATION", status="failed")

    def end(self, seconds=GUEST_DEADLINE_S):
        """
        Let all pass, until the system runs on the target. The source's QEMU, with its stopped system, stays until kill9(). Returns
        query-migrate's answer.
        """
        end = time.monotonic() + seconds
        self.source.qmp.call("migrate-set-parameters", downtime_limit=self.DOWNTIME_MS)
        while self.pass_on():
            assert time.monotonic() < end, f"{self.source.name}: migration without an end: {self.info()}"
        self.stream.close()
        self.onward.close()
        while (status := self.source.qmp.event("MIGRATION", end - time.monotonic())["status"]) != "completed":
            assert status not in ("failed", "cancelled"), f"{self.source.name}: migration {status}: {self.info()}"
        target = self.target
        wait_for(lambda: target.qmp.call("query-status")["status"] == "running", f"{target.name} runs", seconds)
        self._hand_over()
        return self.info()

    def _hand_over(self):
        """What was asked of the system on the source is answered from the target."""
        source, target = self.source, self.target
        target.jobs, target.number, source.jobs = source.jobs, source.number, {}
        for job in target.jobs.values():
            job.guest = target
        # What the source has said by now, and nobody has read yet: it says nothing more. Half an answer is the beginning of what comes from
        # the target.
        source.agent.take_what_is_there()
        target.agent.data = source.agent.data + target.agent.data


def boot(*guests):
    """Start several guests side by side."""
    for guest in guests:
        guest.power_on()
    for guest in guests:
        guest.wait_ready()

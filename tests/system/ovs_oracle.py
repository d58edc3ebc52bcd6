#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ask Open vSwitch what the VLAN modes mean, and keep its answers in vlan_matrix.json.

    ovs_oracle.py            record: write the file
    ovs_oracle.py --check    record again and compare; prints the difference and exits 1 if there is one

The contract says that a port's VLAN columns have the exact meaning that they have in Open vSwitch. So Open vSwitch itself is asked,
once, with the userspace datapath and no limit on tags (vlan-limit=0), and the tests compare with what it answered. They need no
Open vSwitch to run.

    our socket --tap-- port in0   +-----+   port out0 --tap-- our socket
    our socket --tap-- port in1   | br0 |   port out1 --tap-- our socket
    (one for every mode)  ...     +-----+   ...

All modes are ports of one bridge, twice: once to enter by and once to leave by, so that a mode can be crossed with itself. The
ports are taps (type internal) because Open vSwitch reads those as they are; from a veth it has the kernel's stripped tag, and puts
it back without its DEI.

Two things in Open vSwitch would blur the answer, and are switched off:
 - It keeps one translation for all headers that differ only in bits which it believes not to matter, and it is wrong about priority
   tags: what becomes of one depends on which frame came before. disable-megaflows translates each header for itself.
 - It floods as one list of changes to one frame: pop the tag for an access port, push it again for the trunk after it. The tag that
   was pushed has lost its DEI, so what a trunk gets depends on who else is in the VLAN. Here only one port is open to floods at a
   time.

When has everything arrived? A marker frame follows the frames under test by the same ingress port, and an OpenFlow rule sends it
out of every port as it is. One marker is not enough: the datapath takes up to 32 frames from a port as a batch, sorts the batch by
flow, and so the marker may overtake its own batch. A second marker, sent when the first has been seen everywhere, is in a later
batch: behind it, nothing of the frames under test is left. No time is waited for.
"""

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
import time

import frames
import sandbox
import vlan_cases
from wire import Wire

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MARKER_MAC = "02:00:00:00:ff:ff"
DEADLINE_S = 10


def available():
    return bool(shutil.which("ovs-vswitchd")) and os.path.exists(SCHEMA)


def run(*argv, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **kw)
    if done.returncode:
        raise SystemExit(f"ovs_oracle: {' '.join(argv[:6])} ...: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class OpenVSwitch:
    """ovsdb-server and ovs-vswitchd with every path in `directory`, and one bridge with all ports of the matrix."""

    def __init__(self, directory):
        for name in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR"):
            os.environ["OVS_" + name] = directory
        self.pids = [os.path.join(directory, name + ".pid") for name in ("ovs-vswitchd", "ovsdb-server")]
        db = os.path.join(directory, "conf.db")
        run("ovsdb-tool", "create", db, SCHEMA)
        # --detach returns when the daemon is ready to serve.
        sock = f"unix:{directory}/db.sock"
        run("ovsdb-server", db, f"--remote=p{sock}", "--detach", "--no-chdir", "--pidfile", f"--log-file={directory}/ovsdb.log")
        os.environ["OVS_DB"] = sock
        run("ovs-vsctl", "--no-wait", f"--db={sock}", "init")
        run("ovs-vsctl", "--no-wait", f"--db={sock}", "set", "Open_vSwitch", ".", "other_config:vlan-limit=0")
        run("ovs-vswitchd", sock, "--detach", "--no-chdir", "--pidfile", f"--log-file={directory}/vswitchd.log")
        self.db = sock

    def version(self):
        return "Open vSwitch " + run("ovs-vswitchd", "--version").split()[3]

    def bridge(self, ports):
        """Make br0 with ports = {ifname: attributes}. Returns when the daemon has taken it over (ovs-vsctl waits for that)."""
        argv = ["ovs-vsctl", f"--db={self.db}", "--timeout=30"]
        argv += ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        for ifname, attrs in ports.items():
            argv += ["--", "add-port", "br0", ifname, "vlan_mode=" + attrs["vlan_mode"]]
            argv += [f"tag={attrs['vlan']}"] if "vlan" in attrs else []
            for column in ("trunks", "cvlans"):
                argv += [f"{column}={','.join(map(str, attrs[column]))}"] if column in attrs else []
            argv += [f"other_config:qinq-ethtype={attrs['qinq_ethtype']}"] if "qinq_ethtype" in attrs else []
            argv += ["--", "set", "interface", ifname, "type=internal"]
        run(*argv)
        if errors := run("ovs-vsctl", f"--db={self.db}", "--bare", "--columns=name,error", "find", "Interface",
        "error!=[]").strip():
            raise SystemExit(f"ovs_oracle: a port failed: {errors}")
        # ALL leaves out the port that the frame came from, and knows nothing of VLANs.
        run("ovs-ofctl", "add-flow", "br0", f"priority=9,dl_dst={MARKER_MAC},actions=ALL")
        run("ovs-appctl", "upcall/disable-megaflows")
        for ifname in ports:
            self.set_flood(ifname, False)

    def set_flood(self, ifname, on):
        """Whether floods leave by this port. In force when two markers have passed (see open_only())."""
        run("ovs-ofctl", "mod-port", "br0", ifname, "flood" if on else "no-flood")

    def stop(self):
        for path in self.pids:
            with open(path, encoding="ascii") as f:
                os.kill(int(f.read()), 15)


class Recorder:
    def __init__(self):
        self.modes = list(vlan_cases.MODES)
        index = {mode: i for i, mode in enumerate(self.modes)}
        self.in_name = {mode: f"in{i}" for mode, i in index.items()}
        self.out_name = {mode: f"out{i}" for mode, i in index.items()}
        self.inside = self.outside = None
        self.number = 0

    def ports(self):
        names = {**{v: k for k, v in self.in_name.items()}, **{v: k for k, v in self.out_name.items()}}
        return {ifname: vlan_cases.MODES[mode] for ifname, mode in names.items()}

    def plug_in(self):
        """Once the ports are there."""
        names = [*self.in_name.values(), *self.out_name.values()]
        run("ip", "-batch", "-", input="\n".join(f"link set {name} up" for name in names))
        self.inside = {mode: Wire(name) for mode, name in self.in_name.items()}
        self.outside = {mode: Wire(name) for mode, name in self.out_name.items()}

    def pass_markers(self, sender, receivers):
        """Returns {key: frames received}: all that what was sent by `sender` before has caused."""
        seen = {key: [] for key in receivers}
        for _ in range(2):
            self.number += 1
            sender.send(frames.eth(MARKER_MAC, "02:00:00:00:ff:fe", [], frames.ETH_TEST, vlan_cases.payload(self.number)))
            deadline = time.monotonic() + DEADLINE_S
            for key, wire in receivers.items():
                while True:
                    got = wire.recv(deadline)
                    if got is None:
                        raise SystemExit(f"ovs_oracle: the marker did not reach {key}")
                    if got.dst == MARKER_MAC and vlan_cases.number_of(got) == self.number:
                        break
                    seen[key].append(got)
        return seen

    def teach(self):
        """Make each station behind an egress port known, in each VLAN in which its port can speak."""
        for mode, wire in self.outside.items():
            for stack in vlan_cases.TEACHING:
                wire.send(frames.eth(frames.BROADCAST, vlan_cases.known_mac(mode), stack, frames.ETH_TEST, bytes(46)))
            others = {key: w for key, w in self.outside.items() if key != mode}
            self.pass_markers(wire, others)

    def open_only(self, ovs, egress, before):
        """
        Let floods out by `egress` and no longer by `before`. The daemon's loop handles frames, then the pending configuration, then
        requests: the second marker that passes after a request finds its configuration in force. Translations made before are
        revised by other threads, when they get to it; that is why each pair of modes has a source address, and so translations, of
        its own.
        """
        if before:
            ovs.set_flood(self.out_name[before], False)
        ovs.set_flood(self.out_name[egress], True)
        self.pass_markers(self.inside[egress], self.outside)

    def send_all(self, mode, egress, dst):
        """Every stack of the cases from the port of `mode` to dst: what left by `egress`, a list in the order of STACKS."""
        first = self.number + 1
        for stack in vlan_cases.STACKS:
            self.number += 1
            self.inside[mode].send(vlan_cases.frame(mode, egress, dst, stack, self.number))
        result = [None] * len(vlan_cases.STACKS)
        for key, received in self.pass_markers(self.inside[mode], self.outside).items():
            for got in received:
                number = vlan_cases.number_of(got)
                if key != egress or number is None or number < first or result[number - first] is not None:
                    raise SystemExit(f"ovs_oracle: {key} got {got} from {mode}, unexpected or twice")
                result[number - first] = vlan_cases.outcome(got, mode, egress, dst, number)
        return result

    def record(self, ovs):
        self.teach()
        # (ingress, stack's index) -> {egress: outcome}
        flood = {(mode, i): {} for mode in self.modes for i in range(len(vlan_cases.STACKS))}
        known = {key: {} for key in flood}
        before = None
        for egress in self.modes:
            self.open_only(ovs, egress, before)
            before = egress
            for mode in self.modes:
                for cases, dst in ((flood, frames.BROADCAST), (known, vlan_cases.known_mac(egress))):
                    for i, outcome in enumerate(self.send_all(mode, egress, dst)):
                        cases[mode, i][egress] = outcome
        return [vlan_cases.case(mode, i, flood[mode, i], known[mode, i]) for mode, i in flood]


def in_sandbox(tmp):
    """Record, as pid 1 of a sandbox. Returns the file's text."""
    sandbox.settle(tmp)
    ovs = OpenVSwitch(tmp)
    try:
        recorder = Recorder()
        ovs.bridge(recorder.ports())
        recorder.plug_in()
        cases = recorder.record(ovs)
        return vlan_cases.dump({"recorded_from": ovs.version(), "modes": vlan_cases.MODES, "cases": cases})
    finally:
        ovs.stop()


def record():
    """Re-execute ourselves in a sandbox and return what it recorded."""
    with tempfile.TemporaryDirectory(prefix="ovs-oracle.") as tmp:
        out = os.path.join(tmp, "matrix.json")
        me = [sys.executable, "-B", os.path.abspath(__file__), "--in-sandbox", tmp, "--output", out]
        subprocess.run(sandbox.command(me), check=True)
        with open(out, encoding="ascii") as f:
            return f.read()


def difference(recorded, kept):
    """Unified diff of two files' texts, but for where they were recorded from."""
    a, b = kept.split("\n")[1:], recorded.split("\n")[1:]
    return "\n".join(difflib.unified_diff(a, b, "vlan_matrix.json", "recorded now", lineterm="", n=0))


def main():
    parser = argparse.ArgumentParser(description="Record the VLAN matrix from Open vSwitch.")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    parser.add_argument("--output", default=vlan_cases.MATRIX, help="the file to write (default: %(default)s)")
    parser.add_argument("--in-sandbox", metavar="TMP", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_sandbox:
        text = in_sandbox(args.in_sandbox)
    elif not available():
        raise SystemExit("ovs_oracle: no Open vSwitch here (Debian: openvswitch-switch)")
    else:
        text = record()
    if args.check:
        with open(vlan_cases.MATRIX, encoding="ascii") as f:
            if diff := difference(text, f.read()):
                raise SystemExit(diff)
        return
    with open(args.output, "w", encoding="ascii") as f:
        f.write(text)


if __name__ == "__main__":
    main()

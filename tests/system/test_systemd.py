#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The installed units under a real systemd: everything that the daemon does, within what they leave it.

     this machine           a guest with this machine's files (lab_kernel.py)
    +------------+         +-------------------------------------------------------------------+
    | the test --|--agent--|- agent, pid 1                                                     |
    +------------+         |    '- systemd, pid 1 of a pid and a cgroup namespace of its own   |
                           |          '- sluiced.service, with /usr/sbin/sluiced as installed  |
                           +-------------------------------------------------------------------+

What else is here starts the daemon by hand, with more rights, more system calls and another view of /proc and /sys than the units give it.
"""

import json
import os
import re
import shlex

from harness import alone, deadline, run, wait_for
from lab_kernel import Machine
from test_service import KEPT

HERE = os.path.dirname(os.path.abspath(__file__))
# Emulated, and the watchdog has 15 s before it looks.
SETTLES_S = 90
TARGET = "[Unit]\nDescription=What the test asks for, and nothing of the machine's\n"
BOOT = """
mkdir /sys/fs/cgroup/node
echo $$ > /sys/fs/cgroup/node/cgroup.procs
exec unshare --cgroup --pid --mount --fork --mount-proc sh -c '
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # As systemd does on a machine of its own: what is mounted later is seen by services, too.
    mount --make-rshared /
    exec env container=lab /lib/systemd/systemd --unit=test.target' > /tmp/systemd.log 2>&1
"""


class Booted:
    """The guest, when its systemd runs and the units are installed."""

    def __init__(self, t):
        root = os.path.join(t.tmp, "root")
        top = os.path.join(HERE, "..", "..")
        run("make", "-s", "-o", "all", "-C", top, "install", f"BUILD={t.build}", f"DESTDIR={root}", "PREFIX=/usr", seconds=60)
        self.machine = Machine(t).start()
        self.machine.bare(f"cp -a /lower{root}/. /host/")
        self.machine.run(f"mkdir -p /etc/systemd/system && printf {shlex.quote(TARGET)} > /etc/systemd/system/test.target")
        self.init = self.machine.begin(BOOT)
        wait_for(self.boots, "systemd is through with its boot", SETTLES_S)

    def boots(self):
        assert self.init.status is None, self.machine.run("cat /tmp/systemd.log")
        self.pid = self.machine.run("pgrep -x systemd | head -n 1", check=False).strip()
        return self.pid and self.run("systemctl is-active test.target", check=False).strip() == "active"

    def _beside(self, script):
        inner = f"export PATH={os.environ['PATH']}; cd /tmp; {script}"
        return f"exec nsenter -t {self.pid} -m -p -C chroot /host /bin/sh -c {shlex.quote(inner)}"

    def run(self, script, check=True):
        """A script beside systemd: in its namespaces, and not in the service's."""
        return self.machine.run(self._beside(script), check)

    def begin(self, script):
        """The same, under way: a lab.Job."""
        return self.machine.begin(self._beside(script))

    def ctl(self, *words):
        return json.loads(self.run(shlex.join(["sluicectl", "--json", *words])))

    def link(self, port):
        return self.ctl("port", "show", port)["objects"][0]["state"]["link"]

    def shown(self, *properties):
        lines = self.run(f"systemctl show sluiced.service -p {','.join(properties)}").splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[p] for p in properties]

    def said(self, priority):
        """What the daemon has logged, of this priority and above."""
        return self.run(f"journalctl -q -t sluiced -p {priority} -o cat", check=False)


    def restarts(self):
        return int(self.shown("NRestarts")[0])


PORTS = """
ip netns add a
ip netns add b
ip netns add d
ip link add d0 type veth peer name eth0 netns d
ip -n d addr add 10.0.0.4/24 dev eth0
ip -n d link set eth0 up
ip link add x0 type veth peer name x1
ip link set x0 up
ip link set x1 up
# A container's first process, as a runtime starts it: with every capability, in the node's mount namespace, known by its pid alone.
unshare --net sleep 10000 < /dev/null > /dev/null 2>&1 &
while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
sluicectl -b - <<EOF
vlan add 100
port add a kind=veth netns=a ifname=eth0 addr=10.0.0.1/24 vlan=100
port add b kind=veth netns=/run/netns/b ifname=eth0 addr=10.0.0.2/24 vlan=100 out-bps=100mbit
port add c kind=veth netns=$! ifname=eth0 addr=10.0.0.3/24 vlan=100
port add d kind=af-packet ifname=d0 vlan=100
port add x kind=af-xdp ifname=x0 vlan=100 mtu=1500
port add t kind=tap ifname=t0 vlan=100
port add m kind=memif path=/run/m.sock vlan=100
port add v kind=vhost-user path=/run/v.sock vlan=100
EOF
"""
CONTAINERS = {"b": "10.0.0.2", "c": "10.0.0.3"}


def capabilities_of_the_daemon(node):
    """Of every thread: (effective, no new privileges, seccomp)."""
    rows = node.run("grep -hE '^(CapEff|NoNewPrivs|Seccomp):' /proc/$(pgrep -x sluiced)/task/*/status").split()
    values = rows[1::2]
    return {(int(values[i], 16), *values[i + 1 : i + 3]) for i in range(0, len(values), 3)}


def pings(node, addr, count=3):
    """How many of them were answered."""
    out = node.run(f"ip netns exec a ping -q -c {count} -i 0.2 -W 5 {addr}", check=False)
    return int(re.search(r"(\d+) received", out)[1])


def starts(node):
    node.run("systemd-sysusers && systemctl enable --now sluiced.service 2> /dev/null")
    assert node.shown("ActiveState", "SubState") == ["active", "running"]
    assert node.run("stat -c '%U:%G:%a' /run/sluice/control.sock /run/sluice/stat.sock").split() == ["root:sluice:660", "root:root:666"]
    assert node.ctl("node", "show")["objects"][0]["state"]["trunk"]["by"] == "veth"


def carries_ports_of_every_kind(node):
    node.run(PORTS)
    wait_for(lambda: all(node.link(name) == "up" for name in "abcdxt"), "netdevs' ports are up", SETTLES_S)
    for addr in (*CONTAINERS.values(), "10.0.0.4"):
        wait_for(lambda addr=addr: pings(node, addr, 1) == 1, f"{addr} answers", SETTLES_S)
    kept = sum(1 << bit for bit in KEPT.values())
    assert capabilities_of_the_daemon(node) == {(0, "1", "2"), (kept, "1", "2")}
    # The host's end of a container's pair is to say nothing of its own.
    quiet = node.run("for f in /proc/sys/net/ipv6/conf/slc*.*/disable_ipv6; do cat $f; done").split()
    assert quiet == ["1"] * 3, quiet


def comes_back_from_kill9(node):
    stream = node.begin("ip netns exec a ping -q -i 0.05 -c 400 10.0.0.2")
    # Who asks before the next one listens waits at the socket.
    node.run("kill -9 $(pgrep -x sluiced); sluicectl node show > /dev/null")
    assert node.restarts() == 1
    assert "400 packets transmitted, 400 received" in stream.wait()
    assert pings(node, "10.0.0.4") == 3
    wait_for(lambda: all(node.link(name) == "up" for name in "abcdxt"), "all is as it was", SETTLES_S)


def is_restarted_by_the_watchdog(node):
    node.run("kill -STOP $(pgrep -x sluiced)")
    wait_for(lambda: node.restarts() == 2, "the watchdog has noticed", SETTLES_S)
    assert "watchdog" in node.run("journalctl -q -u sluiced.service -o cat | grep -i watchdog")
    node.ctl("node", "show")
    assert pings(node, CONTAINERS["b"]) == 3


def is_started_by_who_asks(node):
    """Stopped, containers go on; the socket starts it."""
    node.run("systemctl stop sluiced.service 2> /dev/null")
    assert node.shown("ActiveState", "Result") == ["inactive", "success"]
    assert pings(node, CONTAINERS["c"]) == 3
    assert len(node.ctl("port", "show")["objects"]) == 9
    assert node.shown("ActiveState") == ["active"]
    assert pings(node, "10.0.0.4") == 3


def is_not_tried_again_with_a_wrong_configuration(node):
    node.run("cp /etc/sluice/sluiced.conf /tmp && echo nonsense=1 >> /etc/sluice/sluiced.conf; systemctl restart sluiced.service 2> /dev/null", check=False)
    assert node.shown("ActiveState", "ExecMainStatus", "NRestarts") == ["failed", "78", "0"]
    assert pings(node, CONTAINERS["b"]) == 3
    node.run("cp /tmp/sluiced.conf /etc/sluice && systemctl reset-failed sluiced.service sluiced.socket sluiced-stat.socket")
    node.run("systemctl start sluiced.service && sluicectl port show > /dev/null")


def leaves_nothing(node):
    node.run("systemctl disable --now sluiced.service sluiced.socket sluiced-stat.socket 2> /dev/null; sluiced --cleanup")
    assert node.run("ls /sys/fs/bpf; ip -o link | grep -o 'slc[^:@]*'", check=False).split() == ["xdp"]


@alone("emulates a machine")
@deadline(600)
def test_the_service(t):
    node = Booted(t)
    starts(node)
    carries_ports_of_every_kind(node)
    comes_back_from_kill9(node)
    is_restarted_by_the_watchdog(node)
    is_started_by_who_asks(node)
    is_not_tried_again_with_a_wrong_configuration(node)
    # Nothing was refused to it that it wanted; what it says is found there.
    assert node.said("warning") == "" and "ready: " in node.said("info")
    leaves_nothing(node)

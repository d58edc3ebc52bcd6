#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole kernel that tests can run on (lab_kernel.py)."""

import os

from harness import alone, deadline, run
from lab_kernel import IN_LAB, Machine, whole_kernel


@alone("emulates a machine")
@deadline(600)
def test_a_machine_has_the_hosts_files_and_a_kernel_of_its_own(t):
    """Debian's kernel, modules as asked for, cgroup v2 alone; our files to read, and what is written there does not come here."""
    machine = Machine(t, modules=["sch_netem"]).start()
    assert machine.run("uname -r") != run("uname", "-r").stdout
    assert "sch_netem" in machine.run("cat /proc/modules")
    assert machine.run("stat -f -c %T /sys/fs/cgroup") == "cgroup2fs\n"
    assert machine.run("cat /etc/machine-id /etc/hostname") == run("cat", "/etc/machine-id", "/etc/hostname").stdout
    here = os.path.abspath(__file__)
    machine.run(f"echo changed > {here} && touch {here}.new && grep -qx changed {here}")
    with open(here, encoding="utf-8") as f:
        assert "changed\n" not in f.read().splitlines(keepends=True)
    assert not os.path.exists(here + ".new")


@alone("emulates a machine")
@deadline(600)
def test_a_machine_tells_how_a_script_ended(t):
    """Output of both streams and the exit status come back; several scripts run side by side."""
    machine = Machine(t).start()
    assert machine.run("echo out; echo err >&2; exit 3", check=False) == "out\nerr\n"
    machine.run("mkfifo /tmp/fifo")
    long = machine.begin("cat /tmp/fifo; exit 4")
    machine.run("echo through > /tmp/fifo")
    assert long.wait(check=False) == "through\n" and long.status == 4


@deadline(600)
@whole_kernel("vhost_net")
def test_a_marked_test_runs_in_there(t):
    """The harness works on the other kernel: a node, namespaces, a ping through the switch."""
    assert os.environ[IN_LAB] and os.path.exists("/dev/vhost-net") and os.getpid() == 1
    _, a, _ = t.switch({"a": {"vlan": 10}, "b": {"vlan": 10}})
    a.run("ip", "addr", "add", "10.0.0.1/24", "dev", "eth0")
    run("ip", "addr", "add", "10.0.0.2/24", "dev", "eth0", netns="b")
    a.ping("10.0.0.2")

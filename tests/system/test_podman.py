#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
A real runtime: podman starts containers over the unmodified CNI path, and sluice-cni is one of its plugins.

What podman 4.3 with runc 1.1 (Debian 12) needs to run in a sandbox (sandbox.py), found by trying:
  - `[network] network_backend = "cni"`, plugin and configuration directories of the test's own; storage driver vfs, for an overlay needs a file system
    that takes one; `cgroup_manager = "cgroupfs"` and `events_logger = "file"`, for there is no systemd and no journal in here;
    `cgroupns = "host"`, which hybrid cgroups need. All in files that CONTAINERS_CONF and CONTAINERS_STORAGE_CONF name.
  - `lock_type = "file"`: the other kind is one segment in /dev/shm for all podmans of the machine. /run/netns, where it keeps its namespaces,
    is the sandbox's own.
  - a cgroup parent of the test's own, since cgroups are the machine's: Podman.close() removes it.
  - somebody who reaps conmon. It lives on behind podman as an orphan, and podman waits for its pid to vanish: 20 s for each container in a
    sandbox whose pid 1 reaps nobody's orphans. Hence reap_conmon().
  - No image, no registry: `--rootfs` of a directory with a static busybox. podman makes /etc, /proc and so on in it, so each container
    gets its own.
"""

import errno
import glob
import json
import os
import shutil
import signal

from fake_node import FakeNode
from harness import DEADLINE_S, deadline, need, run, wait_for

CONTAINERS_CONF = """\
[containers]
cgroupns = "host"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{build}", "/usr/lib/cni"]
network_config_dir = "{dir}/net.d"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
lock_type = "file"
static_dir = "{dir}/static"
tmp_dir = "{dir}/tmp"
volume_path = "{dir}/volumes"
"""
STORAGE_CONF = """\
[storage]
driver = "vfs"
runroot = "{dir}/runroot"
graphroot = "{dir}/graphroot"
"""
NETNS_DIR = "/run/netns"


def reap_conmon(_signal, _frame):
    """SIGCHLD: take the orphans that are conmons, and leave our own children to who started them."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        # One that still has a parent is that one's: podman waits for the half of conmon that forks.
        if name == "conmon" and rest.split()[:2] == ["Z", "1"]:
            os.waitpid(int(pid), os.WNOHANG)


def removed(cgroup):
    """A cgroup can be removed as soon as nobody is in it."""
    try:
        os.rmdir(cgroup)
    except OSError as refused:
        if refused.errno != errno.EBUSY:
            raise
        return False
    return True


class Podman:
    def __init__(self, t):
        need("podman", "runc", "conmon", "busybox", "/usr/lib/cni/host-local")
        signal.signal(signal.SIGCHLD, reap_conmon)
        self.t, self.dir = t, os.path.join(t.tmp, "podman")
        self.cgroup = "/" + os.path.basename(t.tmp)
        os.makedirs(os.path.join(self.dir, "net.d"))
        # Results of ADD are kept here whatever the configuration says; a test that fails would leave them to the machine.
        os.makedirs("/var/lib/cni", exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", "/var/lib/cni")
        for name, text in (("containers.conf", CONTAINERS_CONF), ("storage.conf", STORAGE_CONF)):
            with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
                f.write(text.format(dir=self.dir, build=t.build))
        self.env = dict(os.environ, CONTAINERS_CONF=f"{self.dir}/containers.conf", CONTAINERS_STORAGE_CONF=f"{self.dir}/storage.conf", HOME=self.dir,
                        XDG_RUNTIME_DIR=self.dir)

    def __call__(self, *argv, check=True):
        return run("podman", *argv, check=check, seconds=60, env=self.env)

    def close(self):
        self("rm", "-f", "-a", "-t", "0")
        for hierarchy in ["/sys/fs/cgroup", *glob.glob("/sys/fs/cgroup/*/")]:
            for where, _, _ in os.walk(hierarchy + self.cgroup, topdown=False):
                # A conmon ends after its container is gone.
                wait_for(lambda: removed(where), f"{where} is empty")  # pylint: disable=cell-var-from-loop

    def network(self, name, **plugin):
        conf = {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "sluice-cni", **plugin}]}
        with open(os.path.join(self.dir, "net.d", f"{name}.conflist"), "w", encoding="ascii") as f:
            json.dump(conf, f)

    def start(self, name, network, *options):
        """A container that waits; returns its address."""
        root = os.path.join(self.dir, "root-" + name)
        os.makedirs(os.path.join(root, "bin"))
        shutil.copy(shutil.which("busybox"), os.path.join(root, "bin", "busybox"))
        self("run", "-d", "--cgroup-parent", self.cgroup, "--name", name, "--network", network, *options, "--rootfs", root, "/bin/busybox", "sleep", "1000")
        status = json.loads(self("inspect", name).stdout)[0]["NetworkSettings"]["Networks"][network]
        return status["IPAddress"], status["MacAddress"]

    def reaches(self, name, address, seconds=DEADLINE_S):
        """An answer comes, in so long."""
        return self("exec", name, "/bin/busybox", "ping", "-c", "1", "-w", str(seconds), address, check=False).returncode == 0


def left():
    """What containers may leave behind: namespaces, veth pairs, pins."""
    links = {link["ifname"] for link in json.loads(run("ip", "-j", "link", "show", "type", "veth").stdout or "[]") if link}
    pins = {os.path.join(where, name) for where, dirs, names in os.walk("/sys/fs/bpf") for name in dirs + names}
    return set(os.listdir(NETNS_DIR)), links, pins


def three_containers(t, socket, ports):
    """Two on VLAN 100, one on 200, all in one subnet: only the VLAN tells them apart. `ports` returns the names of the daemon's ports."""
    podman = Podman(t)
    try:
        run_three_containers(t, podman, socket, ports)
    finally:
        podman.close()


def run_three_containers(t, podman, socket, ports):
    ipam = {"type": "host-local", "dataDir": f"{t.tmp}/ipam", "routes": [{"dst": "0.0.0.0/0"}]}
    podman.network("red", vlan=100, socket=socket, capabilities={"ips": True, "mac": True},
                   ipam={**ipam, "ranges": [[{"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.10", "rangeEnd": "10.9.0.99"}]]})
    podman.network("blue", vlan=200, socket=socket,
                   ipam={**ipam, "ranges": [[{"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.200", "rangeEnd": "10.9.0.250"}]]})
    before = left()
    red1, _ = podman.start("red1", "red")
    red2, mac = podman.start("red2", "red", "--ip", "10.9.0.77", "--mac-address", "02:00:00:00:00:77")
    blue1, _ = podman.start("blue1", "blue")
    assert (red2, mac) == ("10.9.0.77", "02:00:00:00:00:77") and len(ports()) == 3 and len({red1, red2, blue1}) == 3
    assert podman.reaches("red1", red2) and podman.reaches("red2", red1)
    assert not podman.reaches("blue1", red1, seconds=1) and not podman.reaches("red1", blue1, seconds=1)
    # Stopped and started again: another namespace, the same attachment.
    podman("stop", "-t", "0", "red2")
    assert len(ports()) == 2
    podman("start", "red2")
    assert len(ports()) == 3 and podman.reaches("red1", "10.9.0.77")
    podman("rm", "-f", "-t", "0", "red1", "red2", "blue1")
    assert not ports() and left() == before, (ports(), left(), before)


@deadline(180)
def test_podman_with_a_daemon_that_only_makes_the_veth(t):
    """The plugin's half: podman's own CNI calls, with fake_node.py in the place of sluiced, each VLAN a Linux bridge."""
    node = FakeNode(os.path.join(t.tmp, "cni.sock"), real=True)
    three_containers(t, node.socket, lambda: node.ports("cni"))


@deadline(180)
def test_podman_with_sluiced(t):
    """Two containers of one VLAN reach each other, one of another does not; stopping them leaves no port, namespace, netdev or pin."""
    node = t.node(trunk="auto", bpf_dir="/sys/fs/bpf/podman")
    three_containers(t, node.socket, lambda: [o for o in node.call("get", {"object": "port"})["objects"] if o["owner"] == "cni"])

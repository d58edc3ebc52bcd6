#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A machine of one's own: the namespaces that every system test runs in.

    host                     sandbox (unshare: net, mount, pid, ipc)
    runner ----- unshare --- pid 1: the test
                               |- daemons, clients, iperf3 ...
                               |- netdevs, named namespaces (/run/netns is private)

Whatever a test makes lives in these namespaces and goes with them: when pid 1 ends, for whatever reason, the kernel kills the rest,
and with the last process the netdevs and mounts go. --kill-child ties pid 1 to the runner's child, so killing that one pid, as the
deadline does, cleans up everything; --pdeathsig ties that child to the runner, which may itself be killed by kill -9. No test needs to undo
anything, and none can leave something behind but a directory under /tmp.
"""

import ctypes
import os
import subprocess

MS_REC, MS_PRIVATE, MS_MOVE, MS_BIND = 16384, 1 << 18, 8192, 4096

_libc = ctypes.CDLL(None, use_errno=True)


def command(argv):
    """argv, to be run as pid 1 of a fresh sandbox, which ends with the thread that starts it. It calls settle() before anything else."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", *argv]


def _mount(source, target, fstype, flags=0):
    args = [s.encode() if s else None for s in (source, target, fstype)]
    if _libc.mount(*args, ctypes.c_ulong(flags), None):
        err = ctypes.get_errno()
        raise OSError(err, f"mount {fstype or source} on {target}: {os.strerror(err)}")


def settle(tmp):
    """Furnish the sandbox that we are pid 1 of. `tmp` is a directory of ours to work in."""
    if os.getpid() != 1:
        raise SystemExit("sandbox.settle() outside a sandbox")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    # sysfs shows the netdevs of the namespace that mounted it: the host's until now. What is mounted below it moves along.
    cgroup = os.path.join(tmp, "cgroup")
    os.mkdir(cgroup)
    _mount("/sys/fs/cgroup", cgroup, None, MS_BIND | MS_REC)
    _mount("sysfs", "/sys", "sysfs")
    _mount(cgroup, "/sys/fs/cgroup", None, MS_MOVE)
    os.rmdir(cgroup)
    _mount("bpf", "/sys/fs/bpf", "bpf")
    # `ip netns` keeps its names here, and the daemon, DPDK and Open vSwitch their run-time files.
    _mount("tmpfs", "/run", "tmpfs")
    os.mkdir("/run/netns")
    # No neighbour discovery, no router solicitation, no MLD from netdevs that a test did not ask to speak: frames are counted.
    for where in ("all", "default"):
        sysctl(f"net.ipv6.conf.{where}.disable_ipv6", 1)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def sysctl(name, value):
    """In this namespace only."""
    with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as f:
        f.write(str(value))

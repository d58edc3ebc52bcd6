#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A whole kernel for a test: Debian's own, under QEMU, with this machine's files around it.

    @deadline(600)
    @whole_kernel("vhost_net", "tun")
    def test_something(t):                        runs in there, as pid 1 of a sandbox like any other
        node = t.node(trunk="vhost-net")
        ...

    machine = Machine(t, modules=["openvswitch"])     or by hand
    machine.start()
    print(machine.run("uname -r; ls /sys/fs/cgroup"))     as root, among the host's files

The kernel that the tests run on may lack what a node's kernel has: vhost-net, queueing disciplines, pure cgroup v2, loadable modules at all. A
guest's kernel has all of it, and sees the files of the machine that it runs on, so that nothing has to be installed in it:

       this machine, read only               the guest
     /                                      /host = overlay --- what is written: a tmpfs
     |- usr, etc, work, BUILD  ===9p===>      |- usr, etc, work, BUILD   as they are here
     '- tmp, proc, sys, dev, run              '- tmp, proc, sys, dev, run    its own; cgroup v2 and bpf in sys, hugetlbfs in dev

What a script there writes is gone with the guest. These sources and BUILD are at their places even if that is under /tmp. Modules are loaded from
BUILD/lab/kernel, in an order found here (image.py): nothing in the guest knows dependencies, so the kernel cannot load one by itself, and a
test names all that it needs; MODULES, what a node needs in any case, are there already.

A marked test is @alone, and started twice. Outside it boots a guest, has run.py's own inner half run it there, and takes over how it ended: passed, skipped
or failed, with all that it and its daemons wrote. Inside it finds IN_LAB in its environment and is called. Everything of harness.py works
in it, namespaces included; deadlines are those of SLUICE_TEST_SLOW.

The CPU is emulated: 10 to 30 times slower than this one, a boot takes 5 s and a start of the daemon as much. What is measured in there is to be
compared only with what is measured beside it.
"""

import functools
import importlib.util
import os
import shlex

import sandbox
from harness import Skip, alone
from lab import Guest

HERE = os.path.dirname(os.path.abspath(__file__))
IN_LAB = "SLUICE_IN_LAB"
# The daemon's own: a trunk of any kind, the kernel engine, shaping.
MODULES = ("veth", "tun", "sch_ingress", "cls_bpf", "act_mirred", "sch_htb", "ifb")
MACHINE_DEADLINE_S = 500
EXIT_SKIP = 77

FURNISH = """
set -e
mkdir /lower /upper /host
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro root /lower
mount -t tmpfs tmpfs /upper
over() { mkdir -p /upper/$1 /upper/$1-work $3; mount -t overlay -o lowerdir=$2,upperdir=/upper/$1,workdir=/upper/$1-work overlay $3; }
over root /lower /host
for dir in tmp run; do mount -t tmpfs tmpfs /host/$dir; done
n=0
for dir in $needed; do n=$((n + 1)); [ -e /host$dir ] || over $n /lower$dir /host$dir; done
for dir in proc sys dev; do mount -o bind /$dir /host/$dir; done
mount -t cgroup2 cgroup2 /host/sys/fs/cgroup
mount -t bpf bpf /host/sys/fs/bpf
mkdir -p /host/dev/shm /host/dev/pts /host/dev/hugepages
mount -t tmpfs tmpfs /host/dev/shm
mount -t devpts devpts /host/dev/pts
mount -t hugetlbfs hugetlbfs /host/dev/hugepages
for fd in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -sf ${fd#*:} /dev/${fd%%:*}; done
ip link set lo up
"""


def _image():
    """tests/lab/image.py, which knows modules and what they need."""
    spec = importlib.util.spec_from_file_location("image", os.path.join(HERE, "..", "lab", "image.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine(Guest):
    """A guest whose root is the host's."""

    def __init__(self, t, name="machine", modules=(), memory_mib=1536, cpus=2, **kw):
        root = ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=root,mount_tag=root"]
        super().__init__(t, name, memory_mib=memory_mib, cpus=cpus, args=root, **kw)
        self.test = t
        self.initramfs = os.path.join(self.lab, "initramfs.host")
        if not os.path.exists(self.initramfs):
            raise Skip(f"no {self.initramfs}: `make lab` makes it")
        self.modules = [*MODULES, *modules]

    def start(self, incoming=False):
        """Boot, arrange the files, load the modules."""
        super().start(incoming)
        needed = [os.path.abspath(path) for path in (os.path.join(HERE, "..", ".."), self.test.build, self.lab)]
        self.bare(f"needed={shlex.quote(' '.join(needed))}\n{FURNISH}")
        order = _image().in_order(self.modules, os.path.abspath(os.path.join(self.lab, "kernel")))
        # One that came in with the initramfs is there already.
        loaded = {line.split()[0] for line in self.bare("cat /proc/modules").splitlines()}
        missing = [path for path in order if os.path.basename(path)[:-3].replace("-", "_") not in loaded]
        self.bare("".join(f"insmod /lower{shlex.quote(path)} || exit 1\n" for path in missing))
        return self

    def bare(self, script, **kw):
        """A script in the initramfs: busybox, and the host's files under /host."""
        return super().run(script, **kw)

    def inside(self, script):
        """The same script, to be run among the host's files."""
        env = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", IN_LAB: "1", "SLUICE_TEST_SLOW": "1", "SLUICE_LAB": self.lab}
        env.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
        words = ["chroot", "/host", "/usr/bin/env", "-i", *(f"{key}={value}" for key, value in env.items()), "/bin/sh", "-c", script]
        return shlex.join(words)

    def run(self, script, check=True, seconds=MACHINE_DEADLINE_S):
        """A script among the host's files, as root; its output."""
        return super().run(self.inside(script), check, seconds)

    def begin(self, script):
        return super().begin(self.inside(script))

    def run_test(self, name):
        """Run one of the tests in a sandbox in there, and end as it ends."""
        tmp = f"/tmp/{name}"
        me = ["/usr/bin/python3", "-uB", os.path.join(HERE, "run.py"), "--inside", name, "--tmp", tmp, "--build", self.test.build]
        job = self.begin(f"mkdir {tmp} && cd {HERE} && exec {shlex.join(sandbox.command(me))}")
        output = job.wait(check=False, seconds=MACHINE_DEADLINE_S)
        if job.status == EXIT_SKIP:
            raise Skip("in the guest: " + self.run(f"cat {tmp}/reason"))
        if job.status:
            logs = self.run(f"cd {tmp} && for log in */*.log; do echo \"--- $log\"; tail -n 60 $log; done; dmesg | tail -n 20", check=False)
            print(logs, output, sep="\n")
            raise AssertionError(f"in the guest: {self.run(f'cat {tmp}/reason', check=False) or f'exit {job.status}'}")
        print(output)


def whole_kernel(*modules, **machine):
    """Decorator: the test runs on a whole kernel with these modules, MODULES besides. Give it a @deadline of 600 s."""

    def mark(function):
        @alone("emulates a machine")
        @functools.wraps(function)
        def out_and_in(t):
            if os.environ.get(IN_LAB):
                function(t)
            else:
                Machine(t, modules=modules, **machine).start().run_test(f"{function.__module__}.{function.__name__}")

        return out_and_in

    return mark

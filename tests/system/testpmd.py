#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dpdk-testpmd, driven by its prompt: somebody else's memif client, and somebody else's guest."""

import os
import re
import subprocess

from harness import need, no_company


class Testpmd:
    """A dpdk-testpmd with the given vdevs; ready for commands unless `wait` is False, when ready() says so later."""

    def __init__(self, t, name, vdevs, *args, mbufs=4096, wait=True):
        no_company("testpmd")
        need("dpdk-testpmd")
        # It echoes with write() and answers with printf(): a pipe would have the answers late.
        argv = ["stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "-l", "0,1"]
        argv += [f"--file-prefix={name}", *(f"--vdev={v}" for v in vdevs)]
        argv += ["--", "-i", f"--total-num-mbufs={mbufs}", "--nb-cores=1", *args]
        self.log = os.path.join(t.tmp, name, "testpmd.log")
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, bufsize=1)
        if wait:
            self.ready()

    def ready(self):
        self.read("testpmd> ")
        return self

    def read(self, prompt):
        text = ""
        while not text.endswith(prompt):
            char = self.process.stdout.read(1)
            assert char, f"dpdk-testpmd ended: {text[-2000:]}"
            text += char
        with open(self.log, "a", encoding="utf-8") as f:
            f.write(text)
        return text

    def command(self, line):
        self.process.stdin.write(line + "\n")
        return self.read("testpmd> ")

    def counter(self, port, name):
        return int(re.search(rf"{name}: *(\d+)", self.command(f"show port stats {port}")).group(1))

    def kill(self):
        self.process.kill()
        self.process.wait()


def guest(t, name, ports, *args):
    """
    A testpmd whose ports are guests: virtio_user, which is the front end, with split rings. `ports` is a list of (path, options); it listens
    on the paths, and waits for the back ends of its ports before it is ready.
    """
    vdevs = [f"net_virtio_user{i},path={path},server=1,packed_vq=0{',' if options else ''}{options}" for i, (path, options) in enumerate(ports)]
    return Testpmd(t, name, vdevs, *args, mbufs=8192, wait=False)

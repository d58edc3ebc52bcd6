#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Front ends of our own for vhost-user ports: two guests that exchange a checked stream.

    stream = VhostStream(t, node.dir, "a", "b")       tests/stream/vhost_stream.c, listening on a.vhost and b.vhost
    stream.plug(node, vlan=100)                        the ports are made, and frames pass both ways
    ...
    stream.end()                                       not one frame was lost, or it raises

And many guests that find their switch again after it was killed (tests/restart/vhost_guests.c): VhostGuests.
"""

import json
import os
import subprocess

from harness import DEADLINE_S, add_ports, wait_for


def program(t, name):
    path = os.path.join(t.build, "tests", name)
    assert os.access(path, os.X_OK), f"{path} is not built (make build)"
    return path


class VhostStream:
    """Numbered frames both ways between two vhost-user ports, by a process of its own, until end()."""

    def __init__(self, t, directory, *names, options=()):
        self.names = names
        self.path = {name: os.path.join(directory, f"{name}.vhost") for name in names}
        argv = [program(t, "vhost_stream"), "--wait", str(3 * DEADLINE_S)]
        for name in names:
            argv += ["--path", self.path[name]]
        self.log = os.path.join(directory, "stream.log")
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([*argv, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def ports(self, **attrs):
        return {name: {"kind": "vhost-user", "path": self.path[name], **attrs} for name in self.names}

    def _line(self):
        line = self.process.stdout.readline()
        assert line, f"the stream ended with {self.process.wait()}"
        return json.loads(line)

    def ready(self):
        assert self._line() == {"ready": True}

    def plug(self, node, **attrs):
        """Make the ports, with these attributes, and wait until it is under way. Returns itself."""
        node.apply(*add_ports(self.ports(**attrs)))
        self.ready()
        return self

    def unplug(self, node):
        node.apply(*({"op": "del", "object": "port", "name": name} for name in self.names))

    def ask(self):
        """How it stands: {"a": what the first sent and the second received, "b": ..., "ok"}."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def end(self):
        """End it, and hold it to what it has seen. Returns the account."""
        self.process.stdin.close()
        account = self._line()
        self.process.wait()
        assert account["ok"], account
        for direction in "ab":
            assert account[direction]["sent"] > 0, account
        return account


class VhostGuests:
    """Guests on the sockets `paths`, the first and the second a pair, and so on; by a process of its own, until end()."""

    def __init__(self, t, directory, paths):
        self.paths = paths
        with open(os.path.join(directory, "guests.log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([program(t, "vhost_guests"), *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            text=True)

    def _line(self):
        line = self.process.stdout.readline()
        assert line, f"the guests ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self):
        """How they are: see the program's own help."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self._line()
        assert answer["wrong"] == 0, answer
        return answer

    def through(self, connects):
        """When the last of them heard from its other half, each having been connected so many times; time.monotonic()'s."""
        wait_for(lambda: (a := self.ask())["last"] and a["connects"] >= connects * len(self.paths), "all guests are through",
                 seconds=3 * DEADLINE_S)
        return self.ask()["last"]

    def end(self):
        self.process.stdin.close()
        account = self._line()
        assert self.process.wait() == 0 and account["wrong"] == 0 and account["through"] == len(self.paths), account
        return account

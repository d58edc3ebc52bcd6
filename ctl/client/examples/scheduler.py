#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A scheduler in its smallest form: say what a node must carry, wait until it does, and hear of every link that changes.

    scheduler.py SOCKET SPEC.json       SPEC: {"objects": [{"object", "name", "attrs"}, ...]}
"""

import json
import socket
import sys


class Node:
    """One connection. Answers come in order; events may come between them."""

    def __init__(self, path, client):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.lines, self.ids = self.sock.makefile("r", encoding="utf-8"), 0
        self.call("hello", client=client, api_major=1)

    def read(self):
        line = self.lines.readline()
        if not line:
            raise ConnectionError("the daemon has gone")  # connect again, and apply again: that is idempotent
        return json.loads(line)

    def call(self, method, **params):
        self.ids += 1
        self.sock.sendall(json.dumps({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params}).encode() + b"\n")
        while (reply := self.read()).get("id") != self.ids:
            pass  # an event: whoever needs them all keeps them here
        if "error" in reply:
            sys.exit(f"{reply['error']['data']['path']}: {reply['error']['message']}")
        return reply["result"]


node = Node(sys.argv[1], "scheduler")
with open(sys.argv[2], encoding="utf-8") as spec:
    done = node.call("apply", replace=json.load(spec))
if done.get("applied", done["generation"]) < done["generation"]:
    node.call("wait", generation=done["generation"], timeout_ms=10_000)
print(f"generation {done['generation']}: {done['changes']} changes in force", flush=True)
node.call("watch", events=["port.link"])
while True:
    event = node.read()["params"]
    print(event["name"], "is", event["state"], flush=True)

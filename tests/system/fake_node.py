#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A daemon that keeps objects and nothing else, for tests of the clients that sluiced has: hello, get, apply, watch.

What a test needs it to do badly, it does: `mute` answers nothing, `full` turns so many clients away, `lag` accepts and does not bring into
force (until settle()), `refuse` answers applies with an error. With `real`, a port of kind veth is really made, each VLAN being a
Linux bridge in the namespace of the test.
"""

import json
import os
import socket
import subprocess
import threading


def ip(*argv, netns=None, check=True):
    argv = [*(["nsenter", f"--net={netns}"] if netns else []), "ip", *map(str, argv)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr}")
    return done


class Fault(Exception):
    """An error to be answered."""

    def __init__(self, name, message, path="", code=-32000, hint=""):
        super().__init__(message)
        self.reply = {"code": code, "message": message, "data": {"name": name, "path": path, "hint": hint}}


class FakeNode:
    def __init__(self, path, real=False, veth=True):
        self.socket, self.real, self.veth = path, real, veth
        self.objects, self.generation, self.links = {}, 0, 0
        self.mute, self.full, self.lag, self.refuse, self.fault = False, 0, False, None, None
        self.calls, self.watchers, self.lock = [], [], threading.RLock()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.socket)

    # --- for the test

    def ports(self, owner=None):
        with self.lock:
            return {n: o for (kind, n), o in self.objects.items() if kind == "port" and owner in (None, o["owner"])}

    def add(self, what, name, owner, /, **attrs):
        with self.lock:
            self.objects[what, name] = {"object": what, "name": name, "owner": owner, "attrs": attrs, "error": None}

    def settle(self):
        """What was accepted is in force from now on; watchers hear of it."""
        with self.lock:
            for (kind, name), o in self.objects.items():
                o["error"] = None
                self.tell({"type": "object.applied", "object": kind, "name": name})

    # --- the socket

    def tell(self, event):
        for sock in self.watchers:
            sock.sendall(json.dumps({"jsonrpc": "2.0", "method": "event", "params": event}).encode() + b"\n")

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, sock.makefile("r", encoding="utf-8") as lines:
            with self.lock:
                turned_away = self.full > 0
                self.full -= turned_away
            if turned_away:
                error = Fault("too-many-clients", "32 clients are connected").reply
                sock.sendall(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode() + b"\n")
                return
            session = {"client": "anonymous", "sock": sock}
            try:
                for line in lines:
                    if not self.mute:
                        self.answer(session, json.loads(line))
            except OSError:
                pass
            with self.lock:
                if sock in self.watchers:
                    self.watchers.remove(sock)

    def answer(self, session, request):
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        with self.lock:
            self.calls.append((request["method"], request.get("params", {})))
            try:
                reply["result"] = getattr(self, "do_" + request["method"])(session, **request.get("params", {}))
            except Fault as fault:
                reply["error"] = fault.reply
            session["sock"].sendall(json.dumps(reply).encode() + b"\n")

    # --- methods

    def do_hello(self, session, client, api_major):
        assert api_major == 1
        session["client"] = client
        return {"version": "0", "api_major": 1, "boot_id": "fake", "generation": self.generation, "features": [], "limits": {}}

    def do_get(self, _, object, name=None):  # pylint: disable=redefined-builtin
        if object == "node":
            state = {"kinds": [{"kind": "memif", "available": True}, {"kind": "veth", "available": self.veth}]}
            return {"generation": self.generation, "applied": self.applied(), "objects": [{"object": "node", "name": "node", "state": state}]}
        if name and (object, name) not in self.objects:
            raise Fault("not-found", f"{object} {name}: not found")
        found = [o for (kind, n), o in self.objects.items() if kind == object and name in (None, n)]
        return {"generation": self.generation, "applied": self.applied(), "objects": found}

    def do_watch(self, session, objects, events, snapshot):
        assert objects == ["port"] and events == ["object"] and snapshot is False
        self.watchers.append(session["sock"])
        return {"generation": self.generation, "applied": self.applied(), "objects": []}

    def applied(self):
        return self.generation - any(o["error"] for o in self.objects.values())

    def do_apply(self, session, ops):
        if self.refuse:
            raise self.refuse
        after = dict(self.objects)
        for i, op in enumerate(ops):
            key, mine = (op["object"], op["name"]), session["client"]
            old, attrs = after.get(key), op.get("attrs", {})
            if op["op"] == "del":
                if old and old["owner"] != mine:
                    raise Fault("owned", f"{key[0]} {key[1]}: belongs to {old['owner']}", f"ops[{i}].name")
                after.pop(key, None)
            elif not old:
                waits = {"name": "pending", "message": f"{key[1]}: not brought into force yet", "hint": ""} if self.lag else None
                if key[0] == "port":
                    assert ("vlan", str(attrs["vlan"])) in after, attrs
                after[key] = {"object": key[0], "name": key[1], "owner": mine, "attrs": attrs,
                              "error": (self.fault or waits) if key[0] == "port" else None}
            elif old["attrs"] != attrs:
                name, says = ("exists", "is there") if old["owner"] == mine else ("owned", "belongs to " + old["owner"])
                raise Fault(name, f"{key[0]} {key[1]}: {says}", f"ops[{i}].name")
        self.change(after)
        return {"generation": self.generation, "applied": self.applied(), "changes": len(ops)}

    # --- what is really made

    def change(self, after):
        before, self.objects = self.objects, after
        self.generation += before != after
        for key in [k for k in before if k[0] == "port" and after.get(k) is not before[k]]:
            if self.real and before[key].get("link"):
                ip("link", "del", before[key]["link"], check=False)
        for key in [k for k in after if k[0] == "port" and before.get(k) is not after[k]]:
            if self.real and after[key]["attrs"]["kind"] == "veth":
                try:
                    after[key]["link"] = self.make(after[key]["attrs"])
                except OSError as e:
                    after[key]["error"] = {"name": "failed", "message": str(e), "hint": ""}

    def make(self, a):
        self.links += 1
        link, bridge = f"slc{self.links}", f"vlan{a['vlan']}"
        mac = ["address", a["mac"]] if "mac" in a else []
        ns = os.open(a["netns"], os.O_RDONLY)
        os.close(ns)
        ip("link", "add", bridge, "type", "bridge", check=False)
        ip("link", "set", bridge, "up")
        peer = f"p{self.links}"
        ip("link", "add", link, "mtu", a.get("mtu", 1500), "type", "veth", "peer", "name", peer, "mtu", a.get("mtu", 1500), *mac)
        holder = subprocess.Popen(["nsenter", f"--net={a['netns']}", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.read(1)  # it is in there now
        ip("link", "set", peer, "netns", holder.pid)
        holder.communicate()
        ip("link", "set", peer, "name", a["ifname"], netns=a["netns"])
        ip("link", "set", a["ifname"], "up", netns=a["netns"])
        for addr in a.get("addr", []):
            ip("addr", "add", addr, "dev", a["ifname"], *(["nodad"] if ":" in addr else []), netns=a["netns"])
        ip("link", "set", link, "master", bridge, "up")
        for gateway in a.get("gateway", []):
            ip("route", "add", "default", "via", gateway, netns=a["netns"])
        return link

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The configuration outlives the daemon, what is lacking comes by itself, and two schedulers share a node."""

import glob
import itertools
import os
import random
import select
import socket
import threading
import time

from harness import DEADLINE_S, Refused, Stream, add, add_ports, added, alone, change, deadline, delete, run, test_frame, until, wait_for
from measure import own_the_cpu, within
from vhost import VhostGuests

# A real daemon takes its time to start; the five hundred kills are in tests/unit/test_kill.c, without the switch.
KILLS = int(os.environ.get("SLUICE_KILLS", "10"))
SLOW = bool(os.environ.get("SLUICE_TEST_SLOW"))


def _configuration(node):
    """All objects as they are configured, and the generation."""
    answer = node.call("get", {"all": True})
    return answer["generation"], [{k: o[k] for k in ("object", "name", "owner", "attrs")} for o in answer["objects"]]


def _refused(name, call, *args, **kw):
    try:
        call(*args, **kw)
    except Refused as refusal:
        assert refusal.name == name, refusal
        return refusal
    raise AssertionError(f"accepted: {args} {kw}")


def _restart(node, kill=True):
    if kill:
        node.kill9()
    else:
        node.stop()
    node.start()


# --- what is kept ---------------------------------------------------------------------------------------------------------------


def test_configuration_outlives_the_daemon(t):
    """After an end and after kill -9 all is there again and in force: objects, owners, secrets, generation."""
    node = t.node()
    run("ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
    node.apply(add("vlan", "100", name="web", mac_limit=10, storm_pps=1000))
    node.connect("other").call("apply", {"ops": [add("port", "theirs", kind="memif", path=os.path.join(node.dir, "t"), secret="hush")]})
    node.apply(add("port", "p", kind="af-packet", ifname="v0", vlan=100, mac="02:00:00:00:00:01", ips=["10.0.0.1"], in_bps=10**9))
    node.set_port("p", in_pps=5)
    before = _configuration(node)
    for kill in (False, True):
        _restart(node, kill)
        assert _configuration(node) == before
        answer = node.call("get")
        assert answer["applied"] == answer["generation"] and all(o["error"] is None for o in answer["objects"]), answer
        assert [e["port"] for e in node.fdb(vlan=100) if e["static"]] == ["p"]
    assert node.get("port", "theirs")["attrs"]["secret"] == "hush"
    assert os.stat(node.options["state"]).st_mode & 0o777 == 0o600


@deadline(300)
def test_killed_during_applies(t):
    """kill -9 in a stream of applies: what was answered is there, what was not is there whole or not at all."""
    node = t.node()
    node.apply(add("vlan", "1"), add("vlan", "2"))
    answered = 0
    for _ in range(KILLS):
        control, seen = node.connect(), [answered]

        def stream(control=control, seen=seen):
            try:
                while True:
                    n = str(seen[0] + 1)
                    control.call("apply", {"ops": [change("vlan", "1", name=n), change("vlan", "2", name=n)]})
                    seen[0] += 1
            except (OSError, AssertionError):
                pass  # it was killed

        thread = threading.Thread(target=stream)
        thread.start()
        wait_for(lambda start=answered, now=seen: now[0] > start + random.randrange(1, 100), "some answers")
        node.kill9()
        thread.join()
        node.start()
        names = {o["attrs"].get("name") for o in node.call("get", {"object": "vlan"})["objects"]}
        assert len(names) == 1, names
        now = int(names.pop())
        assert now in (seen[0], seen[0] + 1), f"{now}, answered {seen[0]}"
        answered = now


def test_damaged_state_is_kept_aside(t):
    """A state file that is none is renamed, reported by log and `get node`, and the daemon starts empty, with a new one."""
    node = t.node(start=False)
    with open(node.options["state"], "wb") as f:
        f.write(b"this is not it" * 1000)
    node.start()
    state = node.get("node", "node")["state"]["state_file"]
    assert state["path"] == node.options["state"] and state["aside"].endswith(".damaged"), state
    with open(state["aside"], "rb") as f:
        assert f.read() == b"this is not it" * 1000
    assert state["aside"] in node.log_text()
    assert added(node.call("get")) == []
    node.add_vlan(100)
    _restart(node)
    assert node.get("node", "node")["state"]["state_file"]["aside"] is None
    assert [o["name"] for o in added(node.call("get"))] == ["100"]


def test_one_state_has_one_daemon(t):
    """A second daemon with sockets of its own and the same state file is refused, and the first goes on."""
    node = t.node()
    node.add_vlan(100)
    other = t.node("other", start=False, state=node.options["state"])
    process = other.spawn()
    assert process.wait(3 * DEADLINE_S) == 1
    assert "another sluiced is running with this state" in other.log_text()
    node.add_vlan(101)
    _restart(node)
    assert [o["name"] for o in added(node.call("get"))] == ["100", "101"]
    assert not glob.glob(node.options["state"] + ".*")


def test_full_disk_is_an_error(t):
    """On a full file system an apply is refused and changes nothing; with room again the next one works."""
    node = t.node(start=False)
    small = os.path.join(node.dir, "small")
    os.mkdir(small)
    run("mount", "-t", "tmpfs", "-o", "size=256k", "none", small)
    node.options["state"] = os.path.join(small, "state.db")
    node.start()
    node.add_vlan(1)
    with open(os.path.join(small, "ballast"), "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass
    last = 0
    for i in range(1000):
        try:
            last = node.apply(change("vlan", "1", name=f"n{i}"), add("vlan", str(2 + i % 4000), name="x" * 60))["generation"]
        except Refused as refusal:
            assert refusal.name == "disk-full" and refusal.data["hint"], refusal
            break
    else:
        raise AssertionError("a thousand applies fitted")
    before = _configuration(node)
    assert before[0] in (last, last or 1)
    _refused("disk-full", node.apply, add("vlan", "4094", name="y" * 60))
    assert _configuration(node) == before
    os.truncate(os.path.join(small, "ballast"), 0)
    node.apply(add("vlan", "4094"))
    after = _configuration(node)
    _restart(node)
    assert _configuration(node) == after
    node.stop()
    run("umount", small)


# --- what is lacking ------------------------------------------------------------------------------------------------------------


def test_lacking_netdev_comes(t):
    """A port whose netdev is not there is accepted, says so, and is in force soon after the netdev came; wait tells both."""
    node = t.node()
    node.add_vlan(100)
    answer = node.add_port("p", kind="af-packet", ifname="later", vlan=100)
    assert answer["applied"] < answer["generation"], answer
    shown = node.get("port", "p")
    assert shown["error"]["name"] == "no-such-device" and "later" in shown["error"]["message"] and shown["error"]["hint"], shown
    assert shown["state"]["link"] == "down"
    refusal = _refused("timeout", node.call, "wait", {"timeout_ms": 200})
    assert "port p" in refusal.message and "no-such-device" in refusal.message, refusal
    # Others are not kept waiting.
    run("ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
    assert node.apply(add("port", "q", kind="af-packet", ifname="v0", vlan=100))["applied"] < answer["generation"]
    assert node.get("port", "q")["error"] is None
    run("ip", "link", "add", "name", "later", "type", "veth", "peer", "name", "other")
    done = node.call("wait", {"timeout_ms": DEADLINE_S * 1000 // 2})
    assert done["applied"] == done["generation"], done
    assert node.get("port", "p")["error"] is None


def test_lacking_directory_comes_after_a_restart(t):
    """What was accepted and not in force is so still after a restart, keeps no other from being made, and comes when it can."""
    node = t.node()
    where = os.path.join(node.dir, "later")
    node.add_vlan(100)
    node.apply(*(add("port", f"m{i}", kind="memif", path=os.path.join(where if i == 3 else node.dir, f"m{i}"), vlan=100)
                 for i in range(6)))
    for _ in range(2):
        errors = {o["name"]: o["error"] and o["error"]["name"] for o in node.call("get", {"object": "port"})["objects"]}
        assert errors == {f"m{i}": "no-such-path" if i == 3 else None for i in range(6)}, errors
        _restart(node)
    os.mkdir(where)
    done = node.call("wait", {"timeout_ms": 2 * DEADLINE_S * 1000})
    assert done["applied"] == done["generation"] and os.path.exists(os.path.join(where, "m3"))


def test_device_moves_from_one_port_to_another(t):
    """A port that takes the netdev which the same apply takes from another comes at once after it."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})
    node.apply(delete("port", "a"), add("port", "again", kind="af-packet", ifname="a", vlan=100, ring=256))
    done = node.call("wait", {})
    assert done["applied"] == done["generation"], done
    node.wait_link("again")
    until(a.wire(), test_frame(a.mac, text="through"), b.wire())


def test_waiting_holds_up_nobody(t):
    """While a client waits, it and others are served; who waits and goes away is forgotten."""
    node = t.node()
    node.add_port("p", kind="af-packet", ifname="never")
    waiting = node.connect()
    waiting.send(b'{"jsonrpc":"2.0","id":"w","method":"wait","params":{"timeout_ms":500}}\n{"jsonrpc":"2.0","id":"g","method":"get"}\n')
    assert waiting.line()["id"] == "g"
    for _ in range(20):
        gone = node.connect(client=None)
        gone.send(b'{"jsonrpc":"2.0","id":1,"method":"wait","params":{"timeout_ms":3600000}}\n')
        gone.close()
        assert added(node.call("get"))
    # One that sends no more is answered all the same.
    half = node.connect()
    half.send(b'{"jsonrpc":"2.0","id":2,"method":"wait","params":{"timeout_ms":300}}\n')
    half.sock.shutdown(socket.SHUT_WR)
    assert half.line()["error"]["data"]["name"] == "timeout" and half.line() is None
    reply = waiting.line()
    assert reply["id"] == "w" and reply["error"]["data"]["name"] == "timeout", reply


# --- two schedulers ---------------------------------------------------------------------------------------------------------------


def test_two_owners_at_once(t):
    """Two clients replace their own sets at the same time: each has exactly its own at the end, and neither saw the other's go."""
    node = t.node()
    rounds = 60
    failures = []

    def scheduler(name, first):
        try:
            control = node.connect(name)
            for i in range(rounds):
                mine = [{"object": "vlan", "name": str(first + k), "attrs": {"name": f"{name}{i}"}} for k in range(1 + i % 7)]
                mine.append({"object": "port", "name": f"{name}-{i % 3}",
                             "attrs": {"kind": "memif", "path": os.path.join(node.dir, f"{name}{i % 3}"), "vlan": first}})
                control.call("apply", {"replace": {"objects": mine}})
                have = [o for o in added(control.call("get")) if o["owner"] == name]
                assert {(o["object"], o["name"]) for o in have} == {(o["object"], o["name"]) for o in mine}, have
        except (AssertionError, OSError, Refused) as failure:
            failures.append(f"{name}: {failure!r}")

    threads = [threading.Thread(target=scheduler, args=a) for a in (("alpha", 100), ("beta", 200))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert node.call("get")["generation"] == 2 * rounds
    # And what is another's is refused, unless forced.
    alpha, beta = node.connect("alpha"), node.connect("beta")
    for op in (change("vlan", "100", mac_limit=5), delete("vlan", "100"), add("vlan", "100", mac_limit=5)):
        refusal = _refused("owned", beta.call, "apply", {"ops": [op]})
        assert refusal.data["path"] == "ops[0].name" and "force" in refusal.data["hint"] and "alpha" in refusal.message, refusal
    beta.call("apply", {"ops": [change("vlan", "100", mac_limit=5)], "force": True})
    shown = node.get("vlan", "100")
    assert shown["owner"] == "alpha" and shown["attrs"]["mac_limit"] == 5, shown
    _refused("in-use", alpha.call, "apply", {"ops": [delete("vlan", "100")]})


def test_plan_is_what_happens(t):
    """dry_run answers with operations that, applied, lead there: the plan of the same request is empty then."""
    node = t.node()
    node.apply(add("vlan", "100"), add("vlan", "200", name="old"),
               add("port", "p", kind="memif", path=os.path.join(node.dir, "p"), vlan=100))
    want = {"replace": {"objects": [
        {"object": "port", "name": "p", "attrs": {"kind": "memif", "path": os.path.join(node.dir, "p"), "vlan": 300}},
        {"object": "port", "name": "q", "attrs": {"kind": "memif", "path": os.path.join(node.dir, "q"), "vlan": 300, "in_bps": 5}},
        {"object": "vlan", "name": "300", "attrs": {"name": "new"}},
    ]}}
    before = _configuration(node)
    plan = node.call("apply", {**want, "dry_run": True})["plan"]
    assert _configuration(node) == before
    assert [(p["op"], p["object"], p["name"]) for p in plan] == [
        ("del", "vlan", "200"), ("del", "vlan", "100"), ("add", "vlan", "300"), ("set", "port", "p"), ("add", "port", "q")], plan
    assert plan[3]["attrs"] == {"vlan": 300}, plan
    node.apply(*plan)
    assert node.call("apply", {**want, "dry_run": True})["plan"] == []
    generation = node.call("get")["generation"]
    assert node.call("apply", want) == {"generation": generation, "applied": generation, "changes": 0}


# --- size and time ----------------------------------------------------------------------------------------------------------------


def _cpu_s(pid):
    """CPU seconds of the daemon's main thread, which is its control thread."""
    with open(f"/proc/{pid}/task/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _whole_node(node, ports, vlans):
    return [*(add("vlan", str(vid)) for vid in range(1, vlans + 1)),
            *(add("port", f"m{i}", kind="memif", path=os.path.join(node.dir, "m", str(i)), vlan=1 + i % vlans) for i in range(ports))]


@alone("measures CPU time")
@deadline(180)
def test_whole_node_in_one_apply(t):
    """1,000 ports and 4,094 VLANs in one apply take the control thread under a second, and are back before a restart is ready."""
    node = t.node()
    os.mkdir(os.path.join(node.dir, "m"))
    ops = _whole_node(node, 1000, 4094)
    node.control.sock.settimeout(60)
    cpu, start = _cpu_s(node.process.pid), time.monotonic()
    answer = node.apply(*ops)
    cpu, took = _cpu_s(node.process.pid) - cpu, time.monotonic() - start
    print(f"1,000 ports and 4,094 VLANs: {took:.3f} s, {cpu:.3f} s of the control thread")
    assert answer["applied"] == 1 and answer["changes"] == 5094, answer
    assert SLOW or cpu < 1, f"{cpu} s"
    start = time.monotonic()
    _restart(node)
    print(f"restart: {time.monotonic() - start:.3f} s until it answers")
    answer = node.call("get", {"limit": 1})
    assert (answer["generation"], answer["applied"]) == (1, 1), answer


@deadline(120)
def test_apply_loses_no_frame_of_others(t):
    """While a thousand VLANs and a hundred ports come and go in applies of their own, a numbered stream loses nothing."""
    node, a, b = t.switch({"a": {"vlan": 4001}, "b": {"vlan": 4001}})
    os.mkdir(os.path.join(node.dir, "m"))
    wa, wb = a.wire(), b.wire()
    until(wb, test_frame(b.mac, text="here"), wa)
    until(wa, test_frame(a.mac, text="here"), wb)
    stream = Stream(wa, wb, b.mac, a.mac)
    ops = _whole_node(node, 100, 1000)
    back = [delete(op["object"], op["name"]) for op in reversed(ops)]
    control, failures, done = node.connect(), [], threading.Event()

    def reconfigure():
        try:
            for _ in range(5):
                control.call("apply", {"ops": ops})
                control.call("apply", {"ops": back})
        except (AssertionError, OSError, Refused) as failure:
            failures.append(repr(failure))
        done.set()

    thread = threading.Thread(target=reconfigure)
    thread.start()
    while not done.is_set():
        stream.send(50)
    thread.join()
    assert not failures, failures
    stream.check()
    print(f"{stream.sent} frames meanwhile")


# --- restart without harm -----------------------------------------------------------------------------------------------------------

RESUME_S = 0.2 if not SLOW else DEADLINE_S
PORTS = 64


class Ready:
    """Where the daemon says READY=1 (sd_notify), and when it did."""

    def __init__(self, t):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = os.path.join(t.tmp, "notify")
        self.sock.bind(self.path)
        self.sock.settimeout(3 * DEADLINE_S)

    def wait(self):
        while b"READY=1" not in self.sock.recv(4096):
            pass
        return time.monotonic()


# What the node's ports and the peer's are, for port number i. The peer is a switch of its own: its ports connect, and connect again.
KINDS = {
    "memif": (lambda path: {"kind": "memif", "path": path}, lambda path: {"kind": "memif", "path": path, "role": "client"}),
}


def _resume(t, kind):
    """
        a === peer: c0 ---\\             /--- m0 \\
                          | 64 sockets |         > node, VLAN 100: static MAC addresses
        b === peer: c1 ---/             \\--- m1 /

    A frame each millisecond goes from a to b, in by port 0 and out by port 1 of the node, which is killed and started again. What is
    measured is the time from READY=1 until the first frame that was sent after the kill arrives.
    """
    ours, theirs = KINDS[kind]
    own_the_cpu()
    node = t.node("node")
    peer = t.node("peer")
    a, b = t.endpoint("a"), t.endpoint("b")
    paths = [os.path.join(node.dir, f"p{i}") for i in range(PORTS)]
    macs = {0: a.mac, 1: b.mac}
    node.apply(*add_ports({f"m{i}": {**ours(path), "vlan": 100, **({"mac": macs[i]} if i in macs else {})} for i, path in enumerate(paths)}))
    peer.apply(*add_ports({f"c{i}": {**theirs(path), "vlan": 101 + i} for i, path in enumerate(paths)}))
    peer.attach(a, vlan=101)
    peer.attach(b, vlan=102)
    node.wait_link(*(f"m{i}" for i in range(PORTS)))
    wa, wb = a.wire(), b.wire()
    until(wb, test_frame(b.mac, dst=a.mac, text="here"), wa)
    until(wa, test_frame(a.mac, dst=b.mac, text="here"), wb)

    ready = Ready(t)
    node.env = {"NOTIFY_SOCKET": ready.path}
    restarts = itertools.count(1)

    def once():
        restart = next(restarts)
        node.kill9()
        wb.drain()
        node.process = node.spawn()
        # Frames are sent all the while, from before the daemon is up until one arrives.
        arrived, number, up = None, 0, None
        poll = select.poll()
        poll.register(ready.sock, select.POLLIN)
        poll.register(wb, select.POLLIN)
        end = time.monotonic() + 6 * DEADLINE_S
        while arrived is None:
            wa.send(test_frame(a.mac, dst=b.mac, text=f"{restart} n{number}"))
            number += 1
            for fd, _ in poll.poll(1):
                if fd == ready.sock.fileno():
                    up = ready.wait()
                elif (got := wb.recv_now()) is not None and got.payload.startswith(f"{restart} ".encode()):
                    arrived = time.monotonic()
            assert time.monotonic() < end, f"nothing arrived of {number} frames; up: {up}"
        if up is None:
            up = ready.wait()
        node.control = node.connect()
        statics = {(e["mac"], e["port"]) for e in node.fdb(vlan=100) if e["static"]}
        assert statics == {(a.mac, "m0"), (b.mac, "m1")}, statics
        node.wait_link(*(f"m{i}" for i in range(PORTS)))
        return arrived - up

    within(RESUME_S, f"{kind}, {PORTS} ports: the first frame after READY=1", once, tries=5)


@alone("measures a time")
@deadline(180)
def test_memif_forwarding_resumes_after_a_restart(t):
    """With 64 ports, a peer's stream goes on within 200 ms of the daemon's being up; static addresses are there and not relearned."""
    _resume(t, "memif")


@alone("measures a time")
@deadline(180)
def test_vhost_user_forwarding_resumes_after_a_restart(t):
    """64 guests, in pairs, all hear from each other again within 200 ms of the daemon's being up; nothing comes twice or out of order."""
    own_the_cpu()
    node = t.node("node")
    guests = VhostGuests(t, node.dir, [os.path.join(node.dir, f"g{i}") for i in range(PORTS)])
    node.apply(*add_ports({f"g{i}": {"kind": "vhost-user", "path": path, "vlan": 100 + i // 2} for i, path in enumerate(guests.paths)}))
    guests.through(connects=1)
    ready = Ready(t)
    node.env = {"NOTIFY_SOCKET": ready.path}
    restarts = itertools.count(1)

    def once():
        node.kill9()
        wait_for(lambda: guests.ask()["connected"] == 0, "no guest has its switch")
        node.process = node.spawn()
        up = ready.wait()
        return guests.through(connects=1 + next(restarts)) - up

    for _ in range(3):
        within(RESUME_S, f"vhost-user, {PORTS} ports: all forwarding after READY=1", once, tries=5)
    node.control = node.connect()
    node.wait_link(*(f"g{i}" for i in range(PORTS)))
    print(guests.end())

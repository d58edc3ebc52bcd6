#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sluicectl against a running daemon: what it programs, what it prints, and how it ends."""

import json
import os
import socket

from harness import added, run, test_frame, until

DONE, USAGE, REFUSED, NO_DAEMON, NOT_APPLIED, TIMED_OUT = 0, 1, 2, 3, 65, 124


def _ends(node, status, *args, says=""):
    """Run it and hold it to an exit status. It prints to stdout if it succeeds, and complains on stderr, in one voice, if not."""
    done = node.ctl(*args, check=False, json_output=False)
    assert done.returncode == status, f"{args}: {done}"
    if status == DONE:
        assert not done.stderr, f"{args}: {done}"
    else:
        assert done.stderr.startswith("sluicectl: ") and says in done.stderr and not done.stdout, f"{args}: {done}"
    return done.stdout


def test_a_session_at_the_keyboard(t):
    """VLANs, ports, limits with units, a look, a change, an end: frames follow what was typed."""
    node = t.node()
    a, up = t.endpoint("a"), t.endpoint("up")
    _ends(node, DONE, "vlan", "add", "100", "name=web")
    _ends(node, DONE, "vlan", "add", "200")
    _ends(node, DONE, "port", "add", "up0", "kind=af-packet", "ifname=up", "vlan-mode=trunk", "trunks=100,200-210")
    _ends(node, DONE, "port", "add", "web1", "kind=af-packet", "ifname=a", "vlan=100", f"mac={a.mac}", "ips=10.0.0.1,fd00::/64",
          "in-bps=100mbit", "in-burst-bytes=64KiB", "out-pps=10k")
    node.wait_link("up0", "web1")
    attrs = node.get("port", "web1")["attrs"]
    assert attrs["in_bps"] == 100_000_000 and attrs["in_burst_bytes"] == 65536 and attrs["out_pps"] == 10_000, attrs
    assert attrs["mac"] == a.mac and len(attrs["ips"]) == 2, attrs
    wa, wu = a.wire(), up.wire()
    frame = test_frame(a.mac, text="hello")
    until(wa, frame, wu, arrives=test_frame(a.mac, text="hello", tags=["8100:100:0:0"], size=64))

    shown = _ends(node, DONE, "port", "show")
    assert all(word in shown for word in ("up0", "web1", "af-packet", "trunk", "access")), shown
    assert a.mac in _ends(node, DONE, "fdb", "show", "vlan=100")
    assert "web1" in _ends(node, DONE, "stats", "port", "web1")
    assert "100mbit" in _ends(node, DONE, "port", "show", "web1").replace(" ", "").lower()
    assert "trunks" in _ends(node, DONE, "help", "port")

    _ends(node, DONE, "port", "set", "web1", "vlan=200", "mac=")
    assert node.get("port", "web1")["attrs"]["vlan"] == 200 and "mac" not in node.get("port", "web1")["attrs"]
    until(wa, frame, wu, arrives=test_frame(a.mac, text="hello", tags=["8100:200:0:0"], size=64))
    _ends(node, DONE, "port", "del", "web1")
    _ends(node, DONE, "port", "del", "web1")
    assert [o["name"] for o in node.call("get", {"object": "port"})["objects"]] == ["up0"]


def test_json_is_the_socket_s_answer(t):
    """-j is one document on one line, -p the same indented; both say what the socket says."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})
    until(a.wire(), test_frame(a.mac), b.wire())
    for args, method, params in (
        (("port", "show", "a"), "get", {"object": "port", "name": "a", "all": True}),
        (("vlan", "show"), "get", {"object": "vlan", "all": True}),
        (("fdb", "show", "port=a"), "fdb", {"port": "a"}),
        (("stats", "port", "a"), "stats", {"object": "port", "name": "a"}),
    ):
        line, pretty = (node.ctl(option, *args, json_output=False, check=False).stdout for option in ("-j", "-p"))
        assert line.count("\n") == 1 and pretty.count("\n") > 1, (line, pretty)
        answer = node.call(method, params)
        for document in (answer, json.loads(line), json.loads(pretty)):
            # What moves by itself between two looks.
            document.pop("time_us", None)
            for entry in document.get("entries", []):
                del entry["age_s"]
            assert document == answer, f"{args}: {document} is not {answer}"
    assert json.loads(node.ctl("raw", "hello", '{"client":"me","api_major":1}', json_output=False))["api_major"] == 1


def test_it_ends_as_the_contract_says(t):
    """Exit status and text of each way to fail."""
    node = t.node()
    run("ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
    port = ("port", "add", "p", "kind=af-packet", "ifname=v0")
    # Units are read by the tool; ranges and forms are the daemon's to judge.
    _ends(node, REFUSED, *port, "vlan=4095")
    _ends(node, REFUSED, *port, "mac=02:00", says="02:00")
    done = node.ctl(*port, "vlan=4095", check=False, json_output=False)
    assert done.stderr.splitlines()[0] == "sluicectl: port add: vlan 4095: out of range (1-4094)", done.stderr
    for args, says in (
        (("toaster", "add", "x"), "toaster"),
        (("port", "explode", "x"), "add, set, del, show"),
        (("port", "add"), "port add"),
        ((*port, "colour=red"), "colour"),
        ((*port, "vlan"), "vlan"),
        ((*port, "vlan=1", "vlan=2"), "vlan"),
        ((*port, "in-bps=fast"), "fast"),
        (("-T", "soon", "port", "show"), "soon"),
        (("-b", "/none/such", ), "/none/such"),
    ):
        _ends(node, USAGE, *args, says=says)
    _ends(node, REFUSED, *port, "vlan=100", says="100")
    _ends(node, REFUSED, "port", "add", "p", "kind=af-packet", "ifname=lo", says="lo is not an Ethernet netdev")
    _ends(node, REFUSED, "port", "add", "p", "kind=vhost", "path=/run/vm1.sock", says="vhost")
    _ends(node, REFUSED, "port", "set", "none-such", "mtu=1500", says="none-such")
    _ends(node, REFUSED, "port", "show", "none-such", says="none-such")
    assert added(node.call("get")) == []
    # What is only not there yet is waited for, by a daemon that can.
    waits = any(m["name"] == "wait" for m in node.call("describe")["methods"])
    _ends(node, NOT_APPLIED if waits else REFUSED, "-T", "2", "port", "add", "p", "kind=af-packet", "ifname=none-such", says="none-such")
    _ends(node, DONE, "port", "del", "p")

    away = os.path.join(t.tmp, "nobody.sock")
    done = run(os.path.join(t.build, "sluicectl"), "-s", away, "port", "show", check=False)
    assert done.returncode == NO_DAEMON and away in done.stderr, done
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(away)
    done = run(os.path.join(t.build, "sluicectl"), "-s", away, "port", "show", check=False)
    assert done.returncode == NO_DAEMON, done
    deaf.listen()
    done = run(os.path.join(t.build, "sluicectl"), "-T", "0.2", "-s", away, "port", "show", check=False)
    assert done.returncode == TIMED_OUT, done
    with open("/dev/full", "w", encoding="ascii") as full:
        program = [os.path.join(t.build, "sluicectl"), "-s", node.socket, "node", "show"]
        pid = os.posix_spawn(program[0], program, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, full.fileno(), 1)])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == USAGE, "a full disk looks like success"


def test_a_batch_is_one_transaction(t):
    """-b applies all lines or none, -n none; a line that is wrong is named."""
    node = t.node()
    run("ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
    path = os.path.join(t.tmp, "batch")

    def write(*lines):
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")

    good = ["# a node", "", "vlan add 100 name=web", "port add p kind=af-packet ifname=v0 vlan=100", "vlan add 200"]
    write(*good, "port add q kind=carrier-pigeon")
    _ends(node, REFUSED, "-b", path, says=":6: kind carrier-pigeon")
    write(*good, "port add q kind=af-packet ifname=v1 vlan=4095")
    _ends(node, REFUSED, "-b", path, says=":6: vlan 4095: out of range (1-4094)")
    write(*good)
    _ends(node, DONE, "-n", "-b", path)
    assert added(node.call("get")) == []
    generation = node.control.call("get")["generation"]
    _ends(node, DONE, "-b", path)
    answer = node.call("get")
    assert sorted(o["name"] for o in added(answer)) == ["100", "200", "p"], answer
    assert answer["generation"] == generation + 1, answer
    _ends(node, DONE, "-b", path)
    assert node.call("get")["generation"] == generation + 1


def test_who_may_only_look_can_look(t):
    """On stat.sock everything can be shown and nothing changed."""
    node, _ = t.switch({"a": {"vlan": 100}})
    node.socket, control = node.stat_socket, node.socket
    assert "a" in _ends(node, DONE, "port", "show")
    _ends(node, DONE, "node", "show")
    _ends(node, DONE, "stats")
    _ends(node, REFUSED, "vlan", "add", "200", says="read-only")
    node.socket = control
    assert [o["name"] for o in node.call("get", {"object": "vlan"})["objects"]] == ["100"]

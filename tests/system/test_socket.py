#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The control socket under clients that mean no good: every line is answered, the daemon serves the next one."""

import json
import os
import socket
import stat

from harness import Refused, add, added, change, deadline, delete, run, wait_for

PARSE, INVALID, NO_METHOD, PARAMS, REFUSED = -32700, -32600, -32601, -32602, -32000
LINE_MAX = 1 << 20


def _request(method="get", params=None, **more):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params if params is not None else {}, **more}


def _ops(*ops):
    return _request("apply", {"ops": list(ops)})


def _port(**attrs):
    return _ops(add("vlan", "100"), add("port", "p", **{"kind": "af-packet", "ifname": "lo", "vlan": 100, **attrs}))


def _nested(depth):
    return b"[" * depth + b"]" * depth


# (what, line without LF, code)
HOSTILE = [
    ("empty", b"", PARSE),
    ("blanks", b"   ", PARSE),
    ("not JSON", b"hello", PARSE),
    ("half an object", b'{"jsonrpc":"2.0","id":1', PARSE),
    ("two values", b"{} {}", PARSE),
    ("a duplicate key", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"get","params":{}}', PARSE),
    ("a NUL byte", b'{"jsonrpc":"2.0","id":1,"method":"g\0et"}', PARSE),
    ("an escaped NUL", b'{"jsonrpc":"2.0","id":1,"method":"get","params":{"name":"a\\u0000b"}}', PARSE),
    ("broken UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}', PARSE),
    ("a lone surrogate", b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', PARSE),
    ("depth 17", b'{"jsonrpc":"2.0","id":1,"method":"get","params":' + _nested(17) + b"}", PARSE),
    ("depth 100000", _nested(100_000), PARSE),
    ("a number out of range", b'{"jsonrpc":"2.0","id":99999999999999999999999,"method":"get"}', PARSE),
    ("a batch", json.dumps([_request(), _request()]).encode(), INVALID),
    ("a string", b'"get"', None),
    ("no version", b'{"id":1,"method":"get"}', INVALID),
    ("version 1", b'{"jsonrpc":"1.0","id":1,"method":"get"}', INVALID),
    ("an unknown member", json.dumps(_request(extra=1)).encode(), INVALID),
    ("an id that is a list", b'{"jsonrpc":"2.0","id":[],"method":"get"}', INVALID),
    ("a method that is a number", b'{"jsonrpc":"2.0","id":1,"method":7}', INVALID),
    ("no such method", json.dumps(_request("explode")).encode(), NO_METHOD),
    ("params by position", json.dumps(_request(params=[1])).encode(), None),
    ("an unknown parameter", json.dumps(_request(params={"wat": 1})).encode(), PARAMS),
    ("a parameter of the wrong type", json.dumps(_request(params={"object": 5})).encode(), PARAMS),
    ("an unknown object", json.dumps(_request(params={"object": "toaster"})).encode(), None),
    ("a real for an integer", json.dumps(_port(vlan=100.0)).encode(), PARAMS),
    ("an exponent for an integer", json.dumps(_port()).replace('"vlan": 100', '"vlan": 1e2').encode(), PARAMS),
    ("a string for an integer", json.dumps(_port(vlan="100")).encode(), PARAMS),
    ("vlan 4095", json.dumps(_port(vlan=4095)).encode(), PARAMS),
    ("vlan -1", json.dumps(_port(vlan=-1)).encode(), PARAMS),
    ("vlan 2^63-1", json.dumps(_port(vlan=2**63 - 1)).encode(), PARAMS),
    ("an unknown attribute", json.dumps(_port(colour="red")).encode(), PARAMS),
    ("a name too long", json.dumps(_ops(add("port", "x" * 64, kind="tap", vlan=1))).encode(), PARAMS),
    ("a name with a slash", json.dumps(_ops(add("port", "a/b", kind="tap", vlan=1))).encode(), PARAMS),
    ("a MAC too short", json.dumps(_port(mac="02:00:00")).encode(), PARAMS),
    ("an address with host bits", json.dumps(_port(ips=["10.0.0.1/24"])).encode(), PARAMS),
    ("an op without an object", json.dumps(_ops({"op": "add"})).encode(), PARAMS),
    ("an unknown op", json.dumps(_ops({"op": "frobnicate", "object": "port", "name": "p"})).encode(), PARAMS),
    ("a kind that is none", json.dumps(_ops(add("port", "p", kind="carrier-pigeon"))).encode(), None),
    ("a device that is not Ethernet", json.dumps(_port()).encode(), REFUSED),
]


def test_hostile_lines_are_answered(t):
    """Each gets an error with a code, a stable name and a text, on a connection that stays; nothing of it is applied."""
    node = t.node()
    control = node.connect()
    generation = control.hello["generation"]
    for what, line, code in HOSTILE:
        control.send(line + b"\n")
        reply = control.line()
        assert reply is not None, f"{what}: connection closed"
        error = reply.get("error")
        assert error and error["message"] and error["data"]["name"], f"{what}: {reply}"
        assert code is None or error["code"] == code, f"{what}: {error}, not {code}"
    answer = control.call("get")
    assert added(answer) == [] and answer["generation"] == generation, answer


def test_errors_name_value_and_range(t):
    """An error says which value, where it stood, and what is valid."""
    node = t.node()
    try:
        node.apply(add("vlan", "100"), add("port", "p", kind="af-packet", ifname="lo", vlan=4095))
    except Refused as refusal:
        assert refusal.name == "out-of-range" and refusal.data["path"] == "ops[1].attrs.vlan", refusal
        assert "4095" in refusal.message and "1-4094" in refusal.message, refusal
    else:
        raise AssertionError("vlan 4095 was accepted")


def test_a_line_of_one_mib_and_one_more_byte(t):
    """The longest line is a line; a longer one is refused with an answer, before memory is spent on it."""
    node = t.node()
    control = node.connect()
    body = json.dumps(_request("get", {"object": "port"})).encode()
    control.send(body[:-1] + b" " * (LINE_MAX - len(body)) + b"}\n")
    assert control.line()["result"]["objects"] == []
    control.send(b" " * (LINE_MAX + 1) + b"\n")
    assert control.line()["error"]["data"]["name"]
    assert added(node.call("get")) == []


def test_lines_in_pieces_and_many_at_once(t):
    """A line may come byte by byte, and a hundred in one piece; answers keep their order."""
    node = t.node()
    control = node.connect()
    line = json.dumps(_request("get", {"object": "port"})).encode() + b"\n"
    for i in range(len(line)):
        control.send(line[i : i + 1])
    assert control.line()["result"]["objects"] == []
    control.send(b"".join(json.dumps({**_request(), "id": i}).encode() + b"\n" for i in range(100)))
    assert [control.line()["id"] for _ in range(100)] == list(range(100))
    control.send(line.rstrip(b"\n"))
    control.sock.shutdown(socket.SHUT_WR)
    control.line()
    assert added(node.call("get")) == []


def test_notifications_are_not_answered(t):
    """Without an id nothing comes back, not even an error."""
    node = t.node()
    control = node.connect()
    for method in ("get", "explode"):
        control.send(json.dumps({"jsonrpc": "2.0", "method": method}).encode() + b"\n")
    assert added(control.call("get")) == []


@deadline(90)
def test_a_partial_line_has_its_time(t):
    """A line that began must end within 10 s: then the connection is closed, and the slow client's place is free."""
    node = t.node()
    control = node.connect()
    control.sock.settimeout(30)
    control.send(b'{"jsonrpc":')
    reply = control.line()
    assert reply is None or ("error" in reply and control.line() is None), reply
    assert added(node.call("get")) == []


def test_too_many_clients_are_refused(t):
    """Eight connections of one user; the ninth is told so, and the places are free again when they go."""
    node = t.node()
    limit = node.control.hello["limits"]["clients_per_uid"]
    held = [node.connect() for _ in range(limit - 1)]
    extra = node.connect(client=None)
    reply = extra.line()
    assert reply is not None and reply["error"]["data"]["name"], reply
    assert extra.line() is None
    for control in held:
        control.close()

    def again():
        control = node.connect(client=None)
        try:
            return control.call("get")
        except (Refused, AssertionError, OSError):
            return None
        finally:
            control.close()

    wait_for(again, "a place is free")


def test_a_reader_that_does_not_read(t):
    """A client that asks and never reads is bounded, and costs the others nothing."""
    node = t.node()
    deaf = node.connect()
    line = json.dumps(_request("describe")).encode() + b"\n"
    deaf.sock.setblocking(False)
    try:
        for _ in range(100_000):
            deaf.sock.send(line)
    except OSError:
        pass  # the daemon reads no more, or has closed: both are bounds
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as f:
        rss = next(int(row.split()[1]) for row in f if row.startswith("RssAnon"))
    assert added(node.call("get")) == []
    deaf.close()
    assert rss < 1 << 20, f"{rss} kB"


def test_stat_socket_reads_and_never_writes(t):
    """stat.sock is open to all and read-only; control.sock is not open to all; secrets do not leave by stat.sock."""
    node = t.node()
    node.add_port("m", kind="memif", path=os.path.join(node.dir, "m.sock"), secret="hush", vlan=100)
    assert stat.S_IMODE(os.stat(node.stat_socket).st_mode) & 0o666 == 0o666
    assert stat.S_IMODE(os.stat(node.socket).st_mode) & 0o007 == 0
    reader = node.connect(stat=True)
    shown = reader.call("get", {"object": "port", "name": "m", "all": True})
    assert "hush" not in json.dumps(shown)
    reader.call("stats")
    try:
        reader.call("apply", {"ops": []})
    except Refused as refusal:
        assert refusal.name == "read-only", refusal
    else:
        raise AssertionError("stat.sock took an apply")


def test_apply_is_idempotent(t):
    """Adding what is already so and deleting what is not there succeed; adding what is there and differs does not."""
    node = t.node()
    run("ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
    port = {"kind": "af-packet", "ifname": "v0", "vlan": 100, "trunks": None}
    first = node.add_port("p", **port)["generation"]
    assert node.add_port("p", **port)["generation"] >= first
    try:
        node.add_port("p", **{**port, "vlan": 101})
    except Refused as refusal:
        assert refusal.code == REFUSED, refusal
    else:
        raise AssertionError("a different port took the name")
    node.del_port("p")
    node.del_port("p")
    assert node.call("get", {"object": "port"})["objects"] == []


def test_references_are_checked(t):
    """A port's VLAN must be there, or come in the same apply, in whatever order; a VLAN in use stays until its last port leaves."""
    node = t.node()
    run("ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
    port = {"kind": "af-packet", "ifname": "v0"}

    def refused(name, path, *ops):
        before = node.call("get")
        try:
            node.apply(*ops)
        except Refused as refusal:
            assert refusal.code == REFUSED and (refusal.name, refusal.data["path"]) == (name, path), refusal
            assert "100" in refusal.message, refusal
        else:
            raise AssertionError(f"accepted: {ops}")
        assert node.call("get") == before

    for mode in ("access", "native-tagged", "native-untagged", "dot1q-tunnel"):
        refused("not-found", "ops[0].attrs.vlan", add("port", "p", **port, vlan=100, vlan_mode=mode))
    # A trunk names none: what its trunks are is carried, not referred to.
    node.apply(add("port", "p", **port, vlan_mode="trunk", trunks=[100]))
    refused("not-found", "ops[0].attrs.vlan", change("port", "p", vlan_mode="access", vlan=100, trunks=None))
    node.apply(change("port", "p", vlan_mode="access", vlan=100, trunks=None), add("vlan", "100"))
    refused("in-use", "ops[1]", add("vlan", "200"), delete("vlan", "100"))
    refused("not-found", "ops[1].attrs.vlan", delete("vlan", "100"), change("port", "p", admin="down"))
    node.apply(delete("vlan", "100"), add("vlan", "200"), change("port", "p", vlan=200))
    node.apply(delete("vlan", "200"), delete("port", "p"))
    assert added(node.call("get")) == []


def test_dry_run_and_expected_generation(t):
    """dry_run validates and changes nothing; expect_generation refuses what was written for another state."""
    node = t.node()
    generation = node.apply(add("vlan", "100", name="web"))["generation"]
    node.apply(add("vlan", "200"), dry_run=True)
    assert [o["name"] for o in node.call("get", {"object": "vlan"})["objects"]] == ["100"]
    node.apply(add("vlan", "200"), expect_generation=generation)
    try:
        node.apply(add("vlan", "300"), expect_generation=generation)
    except Refused as refusal:
        assert refusal.code == REFUSED, refusal
    else:
        raise AssertionError("an outdated apply was taken")

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sluicectl and the whole of a node: export, apply and diff, two owners, what waits, batches line by line, events."""

import json
import os
import re
import subprocess

from harness import Skip, added, run, wait_for

DONE, USAGE, REFUSED, NO_DAEMON, NOT_APPLIED, TIMED_OUT = 0, 1, 2, 3, 65, 124


def _ctl(node, status, *args, stdin=None):
    """Run it and hold it to an exit status; returns what it printed and what it complained about."""
    argv = [os.path.join(node.test.build, "sluicectl"), "-s", node.socket, *args]
    done = run(*argv, check=False, input=stdin)
    assert done.returncode == status, f"{args}: {done}"
    assert (status in (DONE, NOT_APPLIED)) or not done.stdout, f"{args}: {done}"
    return done.stdout, done.stderr


def _needs(node, method, param=None):
    """Skip, out loud, where the daemon does not have it."""
    for m in node.call("describe")["methods"]:
        if m["name"] == method and (not param or any(p["name"] == param for p in m["params"])):
            return
    raise Skip(f"this daemon's {method} has no {param}" if param else f"this daemon has no method {method}")


def _needs_plan(node):
    if "plan" not in node.apply({"op": "add", "object": "vlan", "name": "4000"}, dry_run=True):
        raise Skip("this daemon's dry run has no plan")


def _program(node):
    """Something of everything."""
    _ctl(node, DONE, "vlan", "add", "100", "name=it's a 'web'", "aging-s=90s")
    _ctl(node, DONE, "vlan", "add", "200", "storm-pps=10k")
    _ctl(node, DONE, "port", "add", "m1", "kind=memif", f"path={node.dir}/m1.sock", "secret=hush", "vlan=100", "mac=02:00:00:00:00:01",
         "ips=10.0.0.1,fd00::/64", "in-bps=1.5gbit")
    _ctl(node, DONE, "port", "add", "m2", "kind=memif", f"path={node.dir}/m2.sock", "vlan-mode=native-tagged", "vlan=200", "trunks=100,200-210",
         "isolated=true", "admin=down", "static-macs=200/02:00:00:00:00:09")


def test_an_export_goes_back_without_a_change(t):
    """export | apply and export | diff change nothing; on an empty node the export makes the same node again, secrets too."""
    node = t.node()
    _program(node)
    path = os.path.join(t.tmp, "node.json")
    exported, _ = _ctl(node, DONE, "export")
    with open(path, "w", encoding="utf-8") as f:
        f.write(exported)
    assert "hush" in exported and exported.count("\n") == 4 + 4 + 2, exported
    generation = node.call("get")["generation"]
    _ctl(node, DONE, "apply", path)
    _ctl(node, DONE, "apply", "-", stdin=exported)
    assert _ctl(node, DONE, "diff", path) == ("# would change 0\n", "")
    assert node.call("get")["generation"] == generation
    for form in ("-j", "-p"):
        assert json.loads(_ctl(node, DONE, form, "export")[0]) == json.loads(exported), form

    other = t.node("other")
    for old, new in ((f"{node.dir}/", f"{other.dir}/"),):
        exported = exported.replace(old, new)
    _ctl(other, DONE, "apply", "-", stdin=exported)
    assert _ctl(other, DONE, "export")[0] == exported


def test_a_diff_is_what_apply_does(t):
    """diff prints the plan as commands, changes nothing, and apply or the plan itself bring it about; both ways give one node."""
    node = t.node()
    _needs_plan(node)
    _program(node)
    before, _ = _ctl(node, DONE, "export")
    wanted = json.loads(before)
    wanted["objects"] = [o for o in wanted["objects"] if o["name"] != "m2"]
    port = next(o for o in wanted["objects"] if o["name"] == "m1")
    port["attrs"]["in_bps"], port["attrs"]["mtu"] = 2_000_000, 9000
    del port["attrs"]["mac"]
    wanted["objects"].append({"object": "vlan", "name": "300", "attrs": {"name": "new one"}})
    document = json.dumps(wanted)
    plan, _ = _ctl(node, DONE, "diff", "-", stdin=document)
    lines = plan.splitlines()
    assert "port del m2" in lines and "vlan add 300 name='new one'" in lines and lines[-1] == "# would change 3", plan
    change = next(line for line in lines if line.startswith("port set m1 "))
    assert set(change.split()[3:]) == {"mac=", "mtu=9000", "in-bps=2mbit"}, plan
    assert _ctl(node, DONE, "export")[0] == before
    assert _ctl(node, DONE, "-n", "apply", "-", stdin=document)[0] == plan

    _ctl(node, DONE, "-b", "-", stdin=plan)
    by_plan, _ = _ctl(node, DONE, "export")
    _ctl(node, DONE, "apply", "-", stdin=before)
    _ctl(node, DONE, "apply", "-", stdin=document)
    assert _ctl(node, DONE, "export")[0] == by_plan
    assert _ctl(node, DONE, "diff", "-", stdin=document)[0] == "# would change 0\n"


def test_an_error_in_a_file_names_its_object(t):
    """What is wrong in a file is told by the object it is about; nothing of the file is applied."""
    node = t.node()
    objects = [{"object": "vlan", "name": "100", "attrs": {}}, {"object": "port", "name": "p", "attrs": {"kind": "memif", "vlan": 4095}}]
    _, said = _ctl(node, REFUSED, "apply", "-", stdin=json.dumps({"objects": objects}))
    assert said.startswith("sluicectl: stdin: port p: vlan 4095: out of range (1-4094)\n"), said
    assert not added(node.call("get"))
    _ctl(node, USAGE, "apply", "-", stdin=json.dumps(objects))
    _ctl(node, USAGE, "diff", "-", stdin="{")


def test_two_owners_and_force(t):
    """What belongs to another client is refused without --force; a replace leaves it alone; export can be of one owner."""
    node = t.node()
    _needs(node, "apply", "force")
    _ctl(node, DONE, "--owner", "cap", "vlan", "add", "100", "name=cap")
    _ctl(node, DONE, "--owner", "cache", "vlan", "add", "200")
    _, said = _ctl(node, REFUSED, "vlan", "set", "100", "name=mine")
    assert "cap" in said, said
    _ctl(node, REFUSED, "--owner", "cache", "vlan", "del", "100")
    mine = json.dumps({"objects": [{"object": "vlan", "name": "300", "attrs": {}}]})
    _ctl(node, DONE, "--owner", "cache", "apply", "-", stdin=mine)
    owners = {o["name"]: o["owner"] for o in added(node.call("get"))}
    assert owners == {"100": "cap", "300": "cache"}, owners
    assert json.loads(_ctl(node, DONE, "export", "owner=cache")[0]) == json.loads(mine)
    _ctl(node, DONE, "--force", "vlan", "set", "100", "name=mine")
    assert node.get("vlan", "100")["attrs"]["name"] == "mine"
    _ctl(node, DONE, "--force", "vlan", "del", "100")
    assert {o["name"] for o in added(node.call("get"))} == {"300"}


def test_what_has_to_wait_is_exit_65(t):
    """A port whose netdev is not there is accepted, named with its reason, and in force once it is there: then the same command is done."""
    node = t.node()
    _needs(node, "wait")
    _ctl(node, DONE, "vlan", "add", "100")
    words = ("port", "add", "late", "kind=af-packet", "ifname=late", "vlan=100")
    said, complaint = _ctl(node, NOT_APPLIED, "-T", "2", "-j", *words)
    answer = json.loads(said)
    assert answer["applied"] < answer["generation"], answer
    first, why = complaint.splitlines()[:2]
    assert re.fullmatch(r"sluicectl: port add: accepted as generation \d+, and not yet in force \(applied: \d+\)", first), complaint
    assert why.startswith("sluicectl: port late: ") and "late" in why, complaint
    assert "late: " in _ctl(node, DONE, "port", "show")[0].splitlines()[-1]
    assert re.search(r"error +\S", _ctl(node, DONE, "port", "show", "late")[0])
    run("ip", "link", "add", "name", "late", "type", "veth", "peer", "name", "far")
    _ctl(node, DONE, "-T", "20", *words)
    assert node.get("port", "late")["error"] is None
    answer = node.call("get")
    assert answer["applied"] == answer["generation"], answer


def test_a_batch_line_by_line(t):
    """--no-atomic: lines that fail are named and cost the others nothing; without it one of them is all of them."""
    node = t.node()
    lines = "vlan add 100\nport add p kind=memif vlan=4095\nvlan ad 5\nvlan add 200 name=last\n"
    _, said = _ctl(node, USAGE, "-b", "-", stdin=lines)
    assert said.startswith("sluicectl: stdin:3: "), said
    assert not added(node.call("get"))
    _, said = _ctl(node, USAGE, "--no-atomic", "-b", "-", stdin=lines)
    assert "sluicectl: stdin:2: vlan 4095: out of range (1-4094)\n" in said and "sluicectl: stdin:3: vlan: a batch takes" in said, said
    assert {o["name"] for o in added(node.call("get"))} == {"100", "200"}
    said, _ = _ctl(node, DONE, "-j", "--no-atomic", "-b", "-", stdin="vlan add 1\nvlan add 2\nvlan add 100\n")
    assert json.loads(said)["changes"] == 2 and json.loads(said)["generation"] == node.call("get")["generation"], said


class Monitor:
    """sluicectl monitor in the background, its lines read as they come."""

    def __init__(self, node, *args):
        argv = [os.path.join(node.test.build, "sluicectl"), "-s", node.socket, "monitor", *args]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline()

    def until(self, **members):
        """The next event that has these members."""
        while True:
            line = self.line()
            assert line, f"the monitor ended: {self.process.stderr.read()}"
            event = json.loads(line)
            if all(event.get(k) == v for k, v in members.items()):
                return event


def test_monitor_tells_what_happens(t):
    """A snapshot if asked for, then a line an event; filters by object, name and event; 3 when the daemon goes."""
    node = t.node()
    _needs(node, "watch")
    run("ip", "link", "add", "name", "cable", "type", "veth", "peer", "name", "far")
    node.add_vlan(100)
    everything = Monitor(node, "--snapshot")
    snapshot = json.loads(everything.line())
    assert [o["name"] for o in added(snapshot)] == ["100"], snapshot
    links, one, times = Monitor(node, "--snapshot", "port.link"), Monitor(node, "--snapshot", "port/other"), Monitor(node, "-t", "--snapshot", "vlan", "object.set")
    for monitor in (links, one, times):
        assert monitor.line()

    node.add_port("cable", kind="af-packet", ifname="cable", vlan=100)
    node.add_port("other", kind="memif", path=os.path.join(node.dir, "m"), vlan=100)
    run("ip", "link", "set", "cable", "up")
    run("ip", "link", "set", "far", "up")
    assert everything.until(type="object.add", name="cable")["owner"] == "test"
    assert everything.until(type="port.link", name="cable")["state"] == "up"
    event = links.until()
    assert (event["type"], event["object"], event["name"]) == ("port.link", "port", "cable"), event
    assert one.until()["name"] == "other"
    node.set_vlan(100, name="other")
    stamp, event = times.line().split(" {", 1)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", stamp), stamp
    event = json.loads("{" + event)
    assert (event["type"], event["name"]) == ("object.set", "100") and stamp.endswith(f"{event['time_us'] % 1_000_000:06d}"), event

    node.stop()
    for monitor in (everything, links, one, times):
        _, said = monitor.process.communicate(timeout=10)
        assert monitor.process.returncode == NO_DAEMON and said.startswith("sluicectl: monitor: "), said


def test_monitor_ends_with_its_time(t):
    """With -T it ends by itself, with 124; a reader that goes away ends it too."""
    node = t.node()
    _needs(node, "watch")
    done = run(os.path.join(t.build, "sluicectl"), "-s", node.stat_socket, "-T", "2", "monitor", "--snapshot", check=False)
    assert done.returncode == TIMED_OUT and added(json.loads(done.stdout)) == [], done
    monitor = Monitor(node, "--snapshot")
    assert monitor.line()
    monitor.process.stdout.close()
    numbers = iter(range(1, 4000))
    wait_for(lambda: node.add_vlan(next(numbers)) and monitor.process.poll() is not None, "the monitor ends when nobody reads it")

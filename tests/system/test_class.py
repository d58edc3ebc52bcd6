#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Classes on a whole node: the same code point on the wire whichever engine carries the frame, set, changed, refused, kept."""

import json
import os
import time

import frames
from containers import attrs_of, container, trunk_node
from engine import Container
from harness import DEADLINE_S, Refused, add, added, change, deadline, delete, ip_batch, run, test_frame, wait_for
from test_engine_class import answers
from test_two_nodes import pair
from vhost import VhostGuests
from wire import Wire

FAR = "02:00:00:00:00:77"
FAR_IP = "10.0.0.77"
ROUNDS = 40


def tags_of(wire, want=lambda f: f.ethertype == frames.ETH_TEST):
    got = wire.recv(time.monotonic() + DEADLINE_S, want)
    assert got is not None, "nothing came"
    return got.tags


def cable(name):
    """Two ends of a cable: a netdev for a port, and a Wire on the other."""
    ip_batch(f"link add name {name} type veth peer name {name}-w", f"link set dev {name} up", f"link set dev {name}-w up")
    return Wire(f"{name}-w")


def uplink(node, name="up", **attrs):
    """An af-packet port that carries all VLANs with their tags, and the wire beyond it."""
    wire = cable(name)
    node.add_port(name, kind="af-packet", ifname=name, **{"vlan_mode": "trunk", **attrs})
    node.wait_link(name)
    return wire


def refused(call, name, path):
    try:
        call()
    except Refused as e:
        assert e.name == name and e.data["path"] == path, (e.name, e.data)
        return e
    raise AssertionError("not refused")


def test_what_leaves_the_node(t):
    """A container, a host on a cable and the host's own stack, each in a class: the uplink shows their code points, and none that they made up."""
    node = trunk_node(t)
    up, wd = uplink(node), cable("d")
    a = container(node, "a", 1, vlan=100, **{"class": "online"})
    b = container(node, "b", 2, vlan=100)
    node.add_port("d", kind="af-packet", ifname="d", vlan=100, **{"class": "image"})
    node.wait_link("d", "slc0")
    wa, wb, d_mac = a.wire(), b.wire(), "02:00:00:00:00:0d"
    for dst in (FAR, frames.BROADCAST):
        for tags in ([], ["8100:0:7:0"]):
            wa.send(test_frame(a.mac, dst=dst, tags=tags))
            assert tags_of(up) == ["8100:100:4:0"], (dst, tags)
            wd.send(test_frame(d_mac, dst=dst, tags=tags))
            assert tags_of(up) == ["8100:100:1:0"], (dst, tags)
        wb.send(test_frame(b.mac, dst=dst, tags=["8100:0:7:0"]))
        assert tags_of(up) == ["8100:100:7:0"]
    # The host's own stack, in the VLAN that its side of the trunk shows without a tag; and a container in that one.
    node.set_port("slc0", vlan=100, **{"class": "migration"})
    mac = open("/sys/class/net/slc0/address", encoding="ascii").read().strip()
    host = Wire("slc0")
    for dst in (FAR, frames.BROADCAST):
        host.send(test_frame(mac, dst=dst))
        assert tags_of(up) == ["8100:100:2:0"]
        wa.send(test_frame(a.mac, dst=dst))
        assert tags_of(up) == ["8100:100:4:0"]
    node.set_port("slc0", **{"class": None})
    host.send(test_frame(mac, dst=FAR))
    assert tags_of(up) == ["8100:100:0:0"]


def test_what_comes_to_a_container(t):
    """A container that sees tags sees the code point that a frame was given where it entered, in any VLAN; one that sees none sees none."""
    node = trunk_node(t)
    up = uplink(node, **{"class": "migration"})
    wd = cable("d")
    node.add_port("d", kind="af-packet", ifname="d", vlan_mode="trunk")
    b = container(node, "b", 2, vlan=100)
    c = container(node, "c", 3, vlan_mode="trunk", trunks=[100, 200], mac=None)
    node.wait_link("d", "slc0")
    for vlan in (None, 100):
        # The second time VLAN 100 is the one of the host's own stack.
        node.set_port("slc0", vlan=vlan)
        wb, wc = b.wire(), c.wire()
        up.send(test_frame(FAR, tags=["8100:100:7:0"]))
        assert tags_of(wc) == ["8100:100:2:0"] and tags_of(wb) == [], vlan
        wd.send(test_frame("02:00:00:00:00:0d", tags=["8100:100:6:0"]))
        assert tags_of(wc) == ["8100:100:6:0"] and tags_of(wb) == [], vlan
        up.send(test_frame(FAR, tags=["8100:200:7:1"]))
        assert tags_of(wc) == ["8100:200:2:1"], vlan


def test_answers_carry_the_class_of_whom_they_are_about(t):
    """A host beyond the switch, in a class of its own, asks for a container by broadcast, which the node answers, and itself: one tag, the container's."""
    node = trunk_node(t)
    up, wd = uplink(node), cable("d")
    node.add_port("d", kind="af-packet", ifname="d", vlan_mode="trunk", **{"class": "image"})
    a = container(node, "a", 1, vlan=100, **{"class": "online"})
    b = container(node, "b", 2, vlan=100)
    node.wait_link("d", "slc0")
    for vlan in (None, 100):
        # The second time VLAN 100 is the one of the host's own stack.
        node.set_port("slc0", vlan=vlan)
        for wire, who in ((up, FAR), (wd, "02:00:00:00:00:0d")):
            for c, pcp in ((a, 4), (b, 0)):
                assert answers(wire, who, c.addr, c.mac, ["8100:100:7:0"]) == [[f"8100:100:{pcp}:0"]] * 2, (vlan, who, c.name)
    assert node.port_stats("slc0")["drops"] == {}, node.port_stats("slc0")


def test_guests(t):
    """Guests over vhost-user, and a peer over memif: what they send has the class of their port."""
    node, other = t.node(), t.node("other")
    up, inlet = uplink(node), cable("in")
    # In two VLANs, they never hear of each other: all that they send is flooded to the uplink.
    guests = VhostGuests(t, node.dir, [os.path.join(node.dir, x) for x in "gh"])
    path = os.path.join(node.dir, "memif")
    node.apply(
        *(add("vlan", x) for x in ("100", "200", "300")),
        add("port", "g", kind="vhost-user", path=guests.paths[0], vlan=100, **{"class": "online"}),
        add("port", "h", kind="vhost-user", path=guests.paths[1], vlan=200, **{"class": "image"}),
        add("port", "m", kind="memif", path=path, vlan_mode="trunk", **{"class": "online"}),
    )
    other.apply(
        add("port", "m", kind="memif", path=path, role="client", vlan_mode="trunk"),
        add("port", "in", kind="af-packet", ifname="in", vlan_mode="trunk"),
    )
    node.wait_link("g", "h", "m")
    other.wait_link("m", "in")
    for vlan, pcp in ((100, 4), (200, 1)):
        for _ in range(3):
            assert tags_of(up, lambda f, v=vlan: f.tags and f.tags[0].startswith(f"8100:{v}:")) == [f"8100:{vlan}:{pcp}:0"]
    for came, leaves in (("8100:300:7:0", "8100:300:4:0"), ("8100:300:4:1", "8100:300:4:1"), ("8100:0:0:0", "8100:0:4:0")):
        inlet.send(test_frame(FAR, tags=[came], text="memif"))
        assert tags_of(up, lambda f: f.src == FAR) == [leaves], came


@deadline(120)
def test_changed_under_streams(t):
    """A class is set again and again while a container of it and a host on a cable send: none lost, both change at once, nobody else's do."""
    node = trunk_node(t)
    up, wd, we = uplink(node), cable("d"), cable("e")
    a = container(node, "a", 1, vlan=100, **{"class": "online"})
    node.apply(
        add("port", "d", kind="af-packet", ifname="d", vlan=100, **{"class": "online"}),
        add("port", "e", kind="af-packet", ifname="e", vlan=100, **{"class": "image"}),
    )
    node.wait_link("d", "e", "slc0")
    wa = a.wire()
    senders = {a.mac: wa, "02:00:00:00:00:0d": wd, "02:00:00:00:00:0e": we}
    sent, got = dict.fromkeys(senders, 0), {mac: [] for mac in senders}

    def send(n):
        for _ in range(n):
            for mac, wire in senders.items():
                wire.send(test_frame(mac, dst=FAR, text=str(sent[mac])))
                sent[mac] += 1

    def collect():
        end = time.monotonic() + DEADLINE_S
        while any(len(got[mac]) < sent[mac] for mac in senders):
            f = up.recv(end, lambda f: f.ethertype == frames.ETH_TEST)
            assert f is not None, {mac: (sent[mac], len(got[mac])) for mac in senders}
            got[f.src].append((int(f.payload.rstrip(b"\0")), int(f.tags[0].split(":")[2])))

    before = node.call("get")["generation"]
    for i in range(ROUNDS):
        send(20)
        node.apply(change("class", "online", pcp=i % 8))
        send(20)
        # Before the next change: a frame has what is in force when the port takes it in, however long it waited for that.
        collect()
    for mac, seen in got.items():
        assert [n for n, _ in seen] == list(range(sent[mac])), mac
    # What is sent after the answer has the new code point; those before have the old or the new.
    for mac in (a.mac, "02:00:00:00:00:0d"):
        pcps = [pcp for _, pcp in got[mac]]
        for i in range(ROUNDS):
            old, new = 4 if i == 0 else (i - 1) % 8, i % 8
            assert set(pcps[40 * i + 20 : 40 * i + 40]) == {new}, (mac, i, pcps[40 * i : 40 * i + 40])
            assert set(pcps[40 * i : 40 * i + 20]) <= {old, new}, (mac, i, pcps[40 * i : 40 * i + 40])
    assert {pcp for _, pcp in got["02:00:00:00:00:0e"]} == {1}
    answer = node.call("get")
    assert answer["generation"] == answer["applied"] == before + ROUNDS
    assert not any(node.port_stats(name)["drops"] for name in ("a", "d", "e", "up"))


@deadline(120)
def test_across_two_nodes(t):
    """The code point that a container's class gives on one node is what a container on the other sees; each node means its own class."""
    n1, n2 = pair(t)
    a = container(n1, "a", 1, vlan=100, **{"class": "online"})
    b = container(n2, "b", 2, vlan_mode="trunk", trunks=[100], mac=None)
    wa, wb = a.wire(), b.wire()
    for dst in (frames.BROADCAST, FAR):
        wa.send(test_frame(a.mac, dst=dst, tags=["8100:0:7:0"]))
        assert tags_of(wb) == ["8100:100:4:0"]
    n1.apply(change("class", "online", pcp=5))
    wa.send(test_frame(a.mac))
    assert tags_of(wb) == ["8100:100:5:0"]
    # The second node does not take the first one's word for it, if its uplink has a class.
    n2.set_port("up", **{"class": "image"})
    wa.send(test_frame(a.mac))
    assert tags_of(wb) == ["8100:100:1:0"]


def test_added_set_and_deleted(t):
    """By sluicectl: the four that are there, one that is added; what is refused, by name and with what to do."""
    node = t.node()
    cable("d")

    def fails(*words):
        done = node.ctl(*words, check=False, json_output=False)
        assert done.returncode == 2 and not done.stdout, done
        return done.stderr

    shown = {o["name"]: (o["attrs"]["pcp"], o["owner"]) for o in node.ctl("class", "show")["objects"]}
    assert shown == {"online": (4, ""), "default": (0, ""), "migration": (2, ""), "image": (1, "")}
    node.ctl("class", "add", "gold", "pcp=6")
    node.ctl("port", "add", "d", "kind=af-packet", "ifname=d", "vlan-mode=trunk", "class=gold")
    table = node.ctl("class", "show", json_output=False)
    assert [line.split() for line in table.splitlines()][:3] == [["NAME", "PCP", "PORTS", "OWNER"], ["default", "0", "0", "-"], ["gold", "6", "1", "sluicectl"]], table
    assert "gold: in use by 1 others" in fails("class", "del", "gold")
    assert "class online: is the node's own" in fails("class", "del", "online") and "every node has it" in fails("--force", "class", "del", "online")
    said = fails("port", "set", "d", "class=silver")
    assert "class silver: there is none" in said and "add it first" in said, said
    assert "pcp 8: out of range (0-7)" in fails("class", "set", "gold", "pcp=8")
    plan = node.ctl("-n", "class", "set", "gold", "pcp=3", json_output=False)
    assert plan == "class set gold pcp=3\n# would change 1\n", plan
    for value, pcp in (("0", 0), ("", 4)):  # without a value it is what it began with, and 0 is a value
        node.ctl("class", "set", "online", f"pcp={value}")
        node.kill9()
        node.start()
        assert node.get("class", "online")["attrs"]["pcp"] == pcp
    node.ctl("port", "set", "d", "class=")
    node.ctl("class", "del", "gold")
    node.ctl("class", "del", "gold")
    assert "gold" not in node.ctl("class", "show", json_output=False)


def test_export_and_apply(t):
    """An export names all classes and goes back without a change; on an empty node it makes them the same, and the node's own stay so."""
    node, other = t.node(), t.node("other")
    cable("d")
    node.ctl("class", "set", "online", "pcp=5")
    node.ctl("class", "add", "gold", "pcp=6")
    node.ctl("port", "add", "d", "kind=af-packet", "ifname=d", "vlan-mode=trunk", "class=gold")
    path = os.path.join(t.tmp, "node.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write(node.ctl("export", json_output=False))
    names = [o["name"] for o in json.load(open(path, encoding="utf-8"))["objects"] if o["object"] == "class"]
    assert names == ["default", "gold", "image", "migration", "online"]
    assert node.ctl("diff", path, json_output=False) == "# would change 0\n"
    node.ctl("port", "del", "d")
    plan = other.ctl("diff", path, json_output=False)
    assert "class set online pcp=5\n" in plan and "class add gold pcp=6\n" in plan and plan.endswith("# would change 3\n"), plan
    other.ctl("apply", path)
    assert {o["name"]: o["owner"] for o in other.ctl("class", "show")["objects"]} == {
        "default": "", "gold": "sluicectl", "image": "", "migration": "", "online": ""}
    assert other.get("class", "online")["attrs"] == {"pcp": 5} and other.get("port", "d")["attrs"]["class"] == "gold"
    assert other.ctl("diff", path, json_output=False) == "# would change 0\n"


def test_kept(t):
    """Killed and started again, every frame has the code point that it had before; also while nobody is there, in the kernel."""
    node = trunk_node(t)
    up, wd = uplink(node), cable("d")
    node.apply(change("class", "online", pcp=6), add("class", "gold", pcp=3), add("vlan", "200"))
    a = container(node, "a", 1, vlan=100, **{"class": "online"})
    b = container(node, "b", 2, vlan_mode="trunk", trunks=[100], mac=None)
    node.add_port("d", kind="af-packet", ifname="d", vlan=100, **{"class": "gold"})
    node.set_port("slc0", vlan=200, **{"class": "image"})
    node.wait_link("d", "slc0")
    wa, wb, host = a.wire(), b.wire(), Wire("slc0")
    mac = open("/sys/class/net/slc0/address", encoding="ascii").read().strip()

    def check():
        wa.send(test_frame(a.mac))
        assert tags_of(wb) == ["8100:100:6:0"] == tags_of(up)
        wd.send(test_frame("02:00:00:00:00:0d"))
        assert tags_of(wb) == ["8100:100:3:0"] == tags_of(up)
        host.send(test_frame(mac))
        assert tags_of(up) == ["8100:200:1:0"]

    check()
    frames_in = node.port_stats("a")["rx_frames"]
    for kill in (True, False):
        if kill:
            node.kill9()
            wa.send(test_frame(a.mac))
            assert tags_of(wb) == ["8100:100:6:0"]
        else:
            node.stop()
        node.start()
        node.wait_link("up", "d", "slc0")
        wait_for(lambda: node.call("get")["applied"] == node.call("get")["generation"], "all is in force")
        for wire in (up, wb):
            wire.drain()
        check()
    # The counters of the container's port went on.
    assert node.port_stats("a")["rx_frames"] > frames_in
    node.apply(change("class", "online", pcp=5))
    wa.send(test_frame(a.mac))
    assert tags_of(wb) == ["8100:100:5:0"] == tags_of(up)


def test_refusals_name_the_attribute(t):
    """Over the socket: an unknown class, a class that goes under a port, a class for a port that is refused, and nothing of it is done."""
    node = trunk_node(t)
    c = Container("a")
    e = refused(lambda: node.add_port("a", **attrs_of(c, 1, vlan=100, **{"class": "gold"})), "not-found", "ops[1].attrs.class")
    assert "add it first" in e.data["hint"]
    node.apply(add("class", "gold", pcp=6), add("vlan", "100"), add("port", "a", **attrs_of(c, 1, vlan=100, **{"class": "gold"})))
    refused(lambda: node.apply(delete("class", "gold")), "in-use", "ops[0]")
    refused(lambda: node.apply(delete("class", "image")), "in-use", "ops[0].name")
    refused(lambda: node.apply(change("class", "gold", pcp=7), delete("vlan", "100")), "in-use", "ops[1]")
    assert node.get("class", "gold")["attrs"] == {"pcp": 6} and node.get("class", "gold")["state"] == {"members": 1}
    node.apply(delete("port", "a"), delete("class", "gold"))
    assert {o["name"] for o in added(node.call("get"))} == {"100"}
    assert "eth0" not in run("ip", "link", netns="a").stdout

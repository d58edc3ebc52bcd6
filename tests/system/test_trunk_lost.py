#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A trunk netdev that is removed under the daemon (an operator's `ip link del slc0`): it is made again, and what crossed it goes on, without a restart."""

import json
import os
import re
import select
import signal
import subprocess

from containers import cleanup, container, host, links, trunk_node, unreachable
from harness import DEADLINE_S, alone, deadline, iperf3, run, test_frame, wait_for
from lab_kernel import whole_kernel
from test_vhost_net import send

MAC = "02:00:00:00:77:01"
MTU = 1400
HOST = "10.0.0.100"
PER_S = 50  # of the stream
HEALS_S = 1  # from the removal on no more than this is lost
LAB_HEALS_S = 5  # where machine and kernel are emulated
STREAM_S = 4
WHOLE = 1_000_000  # bytes that TCP must carry in a second to be called whole


def link(ifname="slc0"):
    return json.loads(run("ip", "-j", "link", "show", ifname).stdout)[0]


def stream(c, addr, per_s, lasts_s):
    return c.popen("ping", "-q", "-i", 1 / per_s, "-c", lasts_s * per_s, addr, stdout=subprocess.PIPE)


def lines(node, text):
    return [line for line in node.log_text().splitlines() if text in line]


def counters(node):
    """Of both ends of the trunk, flat."""
    stats = node.port_stats("slc0")
    return {**stats.pop("drops"), **{key: value for key, value in stats.items() if isinstance(value, int)}}


def not_less(after, before):
    less = {key: (value, after.get(key, 0)) for key, value in before.items() if after.get(key, 0) < value}
    assert not less, f"counters went back: {less}"


def with_the_host():
    run("ip", "addr", "add", f"{HOST}/24", "dev", "slc0")


def tcp(sender, receiver):
    assert iperf3(receiver, sender, receiver.addr, seconds=1)["end"]["sum_received"]["bytes"] > WHOLE, sender.name


def pings(going):
    """(sent, received) of a ping -q that has come to its end."""
    out = going.communicate(timeout=6 * DEADLINE_S)[0]
    return tuple(int(x) for x in re.search(r"(\d+) packets transmitted, (\d+) received", out).groups())


def heals(t, by, times=3, per_s=PER_S, heals_s=HEALS_S, bulk=tcp):
    """All that is asked of each backend."""
    node = trunk_node(t, trunk=by)
    pid = node.process.pid
    a, b = container(node, "a", 1, vlan=100), container(node, "b", 2, vlan=200)
    d = host(t, node, "d", 50, vlan=100)
    node.set_port("slc0", vlan=100, mtu=MTU)
    run("ip", "link", "set", "slc0", "address", MAC)
    with_the_host()
    d.ping(HOST)
    a.ping(d.addr)
    watcher = node.connect("watcher")
    watcher.call("watch", {"events": ["port.link", "object.error", "object.applied"], "snapshot": False})
    for number in range(1, times + 1):
        index, before = link()["ifindex"], counters(node)
        going = stream(a, d.addr, per_s, STREAM_S * heals_s)
        # Before the stream's end and with some of it behind.
        wait_for(lambda n=before: counters(node)["rx_frames"] > n["rx_frames"] + per_s // 5, "the stream runs")
        run("ip", "link", "del", "slc0")
        events = [watcher.event("port.link", "object.error", "object.applied") for _ in range(3)]
        told = [e.get("state", e["type"]) for e in events if e["name"] == "slc0"]
        assert sorted(told) == ["down", "object.applied", "up"] and told[0] == "down", events
        sent, received = pings(going)
        print(f"{by}: {sent - received} of {sent} lost")
        assert sent - received <= heals_s * per_s, f"{by}: {sent - received} of {sent} lost"
        now = link()
        assert now["ifindex"] != index and (now["address"], now["mtu"]) == (MAC, MTU), now
        assert run("tc", "filter", "show", "dev", "slc0", "ingress").stdout and run("tc", "filter", "show", "dev", "slc0", "egress").stdout
        assert node.get("port", "slc0")["error"] is None and node.get("port", "slc0")["state"]["link"] == "up"
        not_less(counters(node), before)
        # One line for each thing that happened.
        for text in ("trunk slc0 is gone", "port slc0: link down", "trunk slc0: made anew"):
            assert len(lines(node, text)) == number, (text, node.log_text())
        assert len(lines(node, "port slc0: link up")) == number + 1 and not lines(node, "port slc0: not in force"), node.log_text()
    assert unreachable(b, d.addr)
    with_the_host()
    for x in (a, d):
        x.ping(HOST)
    # What was mended is as what was made: it is changed, outlives a kill, and goes.
    node.set_port("slc0", vlan=100, mtu=1500)
    assert link()["mtu"] == 1500
    bulk(a, d)
    bulk(d, a)
    assert node.process.pid == pid and node.running()
    node.kill9()
    index = link()["ifindex"]
    node.start()
    node.wait_link("slc0", "d")
    a.ping(d.addr)
    d.ping(HOST)
    assert link()["ifindex"] == index
    node.stop()
    cleanup(node)
    assert "slc0" not in links()


@alone("counts what is lost in a second, and runs iperf3")
@deadline(120)
def test_veth(t):
    """A veth pair: within a second, three times over, with its MAC and MTU, and counters that do not go back."""
    heals(t, "veth")


@alone("counts what is lost in a second, and runs iperf3")
@deadline(120)
def test_tap(t):
    """A tap that stays: as the pair."""
    heals(t, "tap")


@alone("counts what is lost in a second, and runs iperf3")
@deadline(120)
def test_veth_xdp(t):
    """The pair and XDP sockets: as the pair."""
    heals(t, "veth-xdp")


@deadline(600)
@whole_kernel("vhost_net")
def test_vhost_net(t):
    """A tap that the kernel's vhost thread serves, on a kernel that has it: as the pair, within what an emulated machine takes."""
    heals(t, "vhost-net", times=1, per_s=5, heals_s=LAB_HEALS_S, bulk=lambda sender, receiver: send(sender, receiver, receiver.addr, 7001))


def cpu_s(node):
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def strangers_netdev(by):
    """Of the trunk's name, and of the family that the backend would take."""
    if by == "tap":
        run("ip", "tuntap", "add", "dev", "slc0", "mode", "tap", "multi_queue", "vnet_hdr")
    else:
        run("ip", "link", "add", "slc0", "type", "veth", "peer", "name", "their1")
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "slc0")


def untouched(before):
    """A stranger's netdev is as he made it."""
    assert link() == before, (link(), before)
    assert "clsact" not in run("tc", "qdisc", "show", "dev", "slc0").stdout
    assert "192.0.2.1/24" in run("ip", "addr", "show", "slc0").stdout


def replaced(t, by):
    """slc0 goes, and its name is another's before the daemon, which is stopped meanwhile, can take it."""
    node = trunk_node(t, f"n-{by}", trunk=by)
    a, b = container(node, f"a-{by}", 1, vlan=100), container(node, f"b-{by}", 2, vlan=100)
    d = host(t, node, f"d-{by}", 50, vlan=100)
    a.ping(d.addr)
    before = counters(node)
    node.process.send_signal(signal.SIGSTOP)
    run("ip", "link", "del", "slc0")
    strangers_netdev(by)
    was = link()
    node.process.send_signal(signal.SIGCONT)
    wait_for(lambda: node.get("port", "slc0")["error"], "it is refused")
    wait_for(lambda: node.get("port", "slc0")["error"]["name"] == "in-use", "it is refused")
    error = node.get("port", "slc0")["error"]
    assert error["message"] == "slc0 is somebody else's netdev", error
    assert node.get("port", "slc0")["state"]["link"] == "down"
    a.ping(b.addr)
    # A change of the trunk is kept, and not made on the stranger's. One of containers is in force, though the trunk is not.
    node.set_port("slc0", vlan=100)
    c = container(node, f"c-{by}", 3, vlan=100)
    a.ping(c.addr)
    used = cpu_s(node)
    # Two seconds of nothing are what is measured here.
    select.select([], [], [], 2)
    assert cpu_s(node) - used < 0.4, f"{by}: {cpu_s(node) - used:.2f} s of CPU in 2 s"
    untouched(was)
    assert len(lines(node, "port slc0: not in force: in-use: slc0 is somebody else's netdev")) == 1, node.log_text()
    assert unreachable(a, d.addr)
    run("ip", "link", "del", "slc0")
    node.wait_link("slc0")
    a.ping(d.addr)
    c.ping(d.addr)
    d.ping(a.addr)
    with_the_host()
    d.ping(HOST)
    assert node.get("port", "slc0")["error"] is None
    for text in ("port slc0: not in force", "port slc0: in force", "trunk slc0 is gone", "trunk slc0: made anew"):
        assert len(lines(node, text)) == 1, (text, node.log_text())
    not_less(counters(node), before)
    node.stop()
    cleanup(node)


@alone("measures CPU time")
@deadline(120)
def test_veth_replaced(t):
    """Another's netdev in its place is refused with the reason, and left alone; when that one goes ours is made."""
    replaced(t, "veth")


@alone("measures CPU time")
@deadline(120)
def test_tap_replaced(t):
    """The same with a tap, which one could open by mistake."""
    replaced(t, "tap")


@alone("measures CPU time")
@deadline(120)
def test_veth_xdp_replaced(t):
    """The same with XDP sockets."""
    replaced(t, "veth-xdp")


def taken_at_the_start(t, by):
    """The daemon starts where its trunk's name is another's."""
    strangers_netdev(by)
    was = link()
    node = trunk_node(t, f"s-{by}", trunk=by)
    a, b = container(node, f"a-{by}", 1, vlan=100), container(node, f"b-{by}", 2, vlan=100)
    d = host(t, node, f"d-{by}", 50, vlan=100)
    assert node.call("wait")["applied"] == node.call("get")["generation"], "who waits does not wait for the trunk"
    state = node.get("node", "node")["state"]
    assert state["trunk"] is None and "slc0 is somebody else's netdev" in str(state["notes"]), state
    error = node.get("port", "slc0")["error"]
    assert (error["name"], error["message"]) == ("in-use", "slc0 is somebody else's netdev"), error
    a.ping(b.addr)
    untouched(was)
    run("ip", "link", "del", "slc0")
    node.wait_link("slc0")
    wait_for(lambda: node.get("port", "slc0")["error"] is None, "the trunk is in force")
    # The switch knows the containers that were there before their trunk was: nothing for one is flooded, though it has not been heard of.
    wire, flooded, heard = d.wire(), node.port_stats(d.name)["flooded"], node.port_stats(a.name)["tx_frames"]
    wire.send(test_frame(d.mac, dst=a.mac))
    wait_for(lambda: node.port_stats(a.name)["tx_frames"] > heard, "the container has it")
    assert node.port_stats(d.name)["flooded"] == flooded
    a.ping(d.addr)
    d.ping(b.addr)
    state = node.get("node", "node")["state"]
    assert state["trunk"]["by"] == by and not [n for n in state["notes"] if n["feature"] == "trunk"], state
    node.stop()
    cleanup(node)


@deadline(120)
def test_the_name_is_taken_at_the_start(t):
    """No trunk, with the reason, and the rest runs; when the stranger goes it is made, and containers that were there before it are reached by it."""
    taken_at_the_start(t, "veth")
    taken_at_the_start(t, "tap")

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Daemons beside each other, in each other's way, and at their end."""

import os
import select
import signal
import time

from harness import DEADLINE_S, Sender, added, alone, deadline, ip_batch, run, test_frame, wait_for


@deadline(120)
def test_three_side_by_side(t):
    """Three nodes, each in its network namespace with its own paths: same names inside, nothing shared, one's end is its own."""
    nodes = []
    for i in range(3):
        netns = f"host{i}"
        run("ip", "netns", "add", netns)
        ip_batch("link set lo up", netns=netns)
        node = t.node(name=f"node{i}", netns=netns)
        ends = [t.endpoint(f"h{i}{side}", node_netns=netns, addr=[f"10.0.0.{n}/24"]) for n, side in ((1, "a"), (2, "b"))]
        for end in ends:
            node.attach(end, vlan=100)
        node.wait_link(*(end.name for end in ends))
        nodes.append((node, ends))
    for _, (a, _) in nodes:
        a.ping("10.0.0.2", count=5)
    nodes[0][0].kill9()
    nodes[1][0].stop()
    nodes[2][1][0].ping("10.0.0.2", count=5)
    assert all(e["port"].startswith("h2") for e in nodes[2][0].fdb())


def test_a_second_one_on_the_same_paths_is_refused(t):
    """It says so and ends with an error; the first one does not notice."""
    node = t.node()
    second = t.node(name="second", start=False, socket=node.socket, stat_socket=node.stat_socket, state=node.options["state"])
    process = second.spawn()
    assert process.wait(3 * DEADLINE_S) not in (0, -signal.SIGSEGV, -signal.SIGABRT), "the second one ran"
    assert second.log_text().strip(), "not a word why"
    assert added(node.call("get")) == []
    node.connect().close()


@alone("offers load")
def test_kill_9_and_again(t):
    """A killed daemon leaves nothing that is in the way of the next: sockets, netdevs, memory."""
    node, a, b = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})
    sender = Sender(a.wire(), test_frame(a.mac))
    try:
        for _ in range(3):
            wait_for(lambda: node.port_stats("b")["tx_frames"], "frames pass")
            node.kill9()
            node.start()
            # What was acknowledged is there again, or is not, as the state file says; this test brings its own.
            node.attach(a, vlan=100)
            node.attach(b, vlan=100)
    finally:
        sender.stop()
    files = [f for f in os.listdir(node.dir) if f.endswith(".sock")]
    assert sorted(files) == ["control.sock", "stat.sock"], files


@alone("offers load")
def test_sigterm_under_load(t):
    """SIGTERM and SIGINT end it with 0 while frames come in, and its sockets go."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        name = signum.name.lower()
        node = t.node(name=name)
        a, b = t.endpoint(f"{name}-a"), t.endpoint(f"{name}-b")
        for end in (a, b):
            node.attach(end, vlan=100)
        sender = Sender(a.wire(), test_frame(a.mac))
        try:
            wait_for(lambda n=node, end=b: n.port_stats(end.name)["tx_frames"] > 1000, "frames pass")
            node.stop(signum)
        finally:
            sender.stop()
        assert not os.path.exists(node.socket) and not os.path.exists(node.stat_socket)


def test_check_and_bad_options(t):
    """--check validates and exits; unknown options and keys are errors with a word why, before anything is touched."""
    program = os.path.join(t.build, "sluiced")
    good, bad = os.path.join(t.tmp, "good.conf"), os.path.join(t.tmp, "bad.conf")
    with open(good, "w", encoding="ascii") as f:
        f.write("# nothing but a comment\nmemory = plain\n")
    with open(bad, "w", encoding="ascii") as f:
        f.write("memory = plain\nmemmory = huge\n")
    assert run(program, "--check", "--config", good, check=False).returncode == 0
    refused = run(program, "--check", "--config", bad, check=False)
    assert refused.returncode != 0 and "memmory" in refused.stderr and "2" in refused.stderr, refused.stderr
    for wrong in (["--memory", "lots"], ["--cores", "999"], ["--cores", "x"], ["--poll", "never"], ["--no-such-option"]):
        refused = run(program, "--check", "--config", good, *wrong, check=False)
        assert refused.returncode != 0 and wrong[-1].lstrip("-") in refused.stderr, f"{wrong}: {refused}"


@alone("measures CPU time")
def test_an_idle_node_costs_little(t):
    """Without traffic the workers sleep: under 3 % of a core over three seconds, with ports that could speak."""
    node, _, _ = t.switch({"a": {"vlan": 100}, "b": {"vlan": 100}})

    def cpu_s():
        with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    start, used = time.monotonic(), cpu_s()
    # Three seconds of nothing are what is measured here.
    select.select([], [], [], 3)
    share = (cpu_s() - used) / (time.monotonic() - start)
    assert share < 0.03, f"{share:.1%} of a core"

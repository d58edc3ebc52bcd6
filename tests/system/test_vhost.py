#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vhost-user ports and those who use them: front ends of our own in every shape, and guests of dpdk-testpmd's.

A guest that forwards is the strictest one: what goes in by one of its ports comes out by the other, so a checked stream can go through.

    A --VLAN 100-- port g0 ==virtio_user==+---------+
                                          | testpmd |   io: port 0 to port 1 and back
    B --VLAN 200-- port g1 ==virtio_user==+---------+

A and B are the two ends of a VhostStream, or af-packet ports with a numbered stream of the harness's.
"""

import os
import signal
import socket
import statistics
import time

from harness import DEADLINE_S, Stream, add, add_ports, alone, deadline, need, test_frame, wait_for
from testpmd import Testpmd, guest
from vhost import VhostStream

JUMBO = 9000
ENOUGH = 3000  # frames each way: every shape and size has been there many times


def _flows(stream, frames=ENOUGH):
    """Wait until so many frames have gone each way since now; then what has been seen so far must be right."""
    before = stream.ask()
    wait_for(lambda: all(stream.ask()[d]["received"] >= before[d]["received"] + frames for d in "ab"), f"{frames} frames each way",
             seconds=3 * DEADLINE_S)
    now = stream.ask()
    assert now["ok"], now


def _no_drops(node, *names, but=("tx-down", "no-member")):
    """What is sent to a port before its guest is there is dropped, and said so; nothing else is."""
    for name in names:
        drops = {reason: n for reason, n in node.port_stats(name)["drops"].items() if reason not in but}
        assert not drops, f"{name}: {drops}"


# --- front ends of our own ----------------------------------------------------------------------------------------------------

SHAPES = {
    "direct": (),
    "chained": ("--shape", "chained", "--parts", 4),
    "indirect": ("--shape", "indirect", "--parts", 16),
    "event-idx": ("--event-idx",),
    "indirect-event-idx": ("--shape", "indirect", "--parts", 3, "--event-idx"),
    "not-mergeable": ("--plain",),
    "mergeable-small": ("--room", 200, "--ring", 1024, "--max-frame", JUMBO + 14),
    "jumbo-one-buffer": ("--room", 12000, "--ring", 256, "--max-frame", JUMBO + 14),
    "jumbo-chained": ("--shape", "chained", "--parts", 8, "--room", 9100, "--max-frame", JUMBO + 14),
    "smallest-ring": ("--ring", 2, "--window", 1),
    "largest-ring": ("--ring", 32768, "--max-frame", 500, "--room", 512),
    "many-regions": ("--regions", 8),
}


@deadline(180)
def test_buffers_of_every_shape(t):
    """Descriptors direct, chained and indirect, buffers mergeable or not, rings from 2 to 32,768: every frame, once, in order, unchanged."""
    node = t.node()
    for shape, options in SHAPES.items():
        stream = VhostStream(t, node.dir, f"{shape}-a", f"{shape}-b", options=options).plug(node, vlan=100, mtu=JUMBO)
        _flows(stream)
        account = stream.end()
        _no_drops(node, *stream.names)
        print(shape, account)
        stream.unplug(node)


@deadline(120)
def test_queue_pairs(t):
    """A guest that sends by all its queue pairs, with one worker and with a worker on each CPU; and one with fewer than the port has."""
    for name, cores in (("one-worker", None), ("more-workers", ",".join(map(str, sorted(os.sched_getaffinity(0)))))):
        node = t.node(name=name, cores=cores)
        for pairs, queues in ((4, 4), (2, 4), (1, 3)):
            stream = VhostStream(t, node.dir, f"a{pairs}", f"b{pairs}", options=("--pairs", pairs, "--flood", 0))
            stream.plug(node, vlan=100, queues=queues)
            _flows(stream)
            stream.end()
            stream.unplug(node)
        node.stop()


@deadline(90)
def test_listening_ports(t):
    """server=yes: the switch listens, and front ends come to it, one after another."""
    node = t.node()
    for i in range(3):
        names = ("a", "b")
        if i == 0:
            node.apply(add("vlan", "100"), *(
                add("port", n, kind="vhost-user", path=os.path.join(node.dir, f"{n}.vhost"), vlan=100, server=True) for n in names))
        stream = VhostStream(t, node.dir, *names, options=("--connect",))
        stream.ready()
        _flows(stream, frames=500)
        stream.end()
        for name in names:
            wait_for(lambda port=name: node.get("port", port)["state"]["link"] == "down", f"{name} has lost its front end")


@alone("measures times")
def test_a_socket_that_appears_is_connected_to_at_once(t):
    """A front end that begins to listen is found within 100 ms."""
    node = t.node()
    path = os.path.join(node.dir, "late.vhost")
    node.add_port("late", kind="vhost-user", path=path, vlan=100)
    took = []
    for _ in range(9):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(1)
            start = time.monotonic()
            listener.settimeout(DEADLINE_S)
            conn, _ = listener.accept()
            took.append(time.monotonic() - start)
            conn.close()
        os.unlink(path)
    assert statistics.median(took) < 0.1, took


# --- guests of dpdk-testpmd's -------------------------------------------------------------------------------------------------


class Forwarder:
    """Ports g0 in VLAN 100 and g1 in VLAN 200 of a node, and a testpmd guest that forwards between them."""

    def __init__(self, t, node, options="", args=(), vlans=(100, 200), name="guest", **attrs):
        need("dpdk-testpmd")
        self.t, self.node, self.options, self.args, self.name = t, node, options, args, name
        self.paths = [os.path.join(node.dir, f"{name}{i}.vhost") for i in range(2)]
        self.ports = {f"g{i}": {"kind": "vhost-user", "path": path, "vlan": vlan, **attrs} for i, (path, vlan) in enumerate(zip(self.paths, vlans))}
        self.guest = None
        self.starts = 0
        self.plug()

    def plug(self):
        self.node.apply(*add_ports(self.ports))

    def start(self):
        self.starts += 1
        for path in self.paths:
            # A guest that was killed left its sockets, and DPDK does not listen where something is.
            if os.path.exists(path):
                os.unlink(path)
        self.guest = guest(self.t, f"{self.name}-{self.starts}", [(path, self.options) for path in self.paths], "--forward-mode=io", *self.args)
        self.guest.ready()
        self.guest.command("start")
        self.node.wait_link(*self.ports)
        return self


def _stream_through(t, node, options="", args=(), stream_options=(), **attrs):
    """The picture above, with a VhostStream at its ends. Returns the stream, under way."""
    Forwarder(t, node, options, args, **attrs).start()
    stream = VhostStream(t, node.dir, "a", "b", options=stream_options)
    ports = stream.ports(**attrs)
    node.apply(add("port", "a", vlan=100, **ports["a"]), add("port", "b", vlan=200, **ports["b"]))
    stream.ready()
    return stream


def _guest_forwards(t, *how, quiet=("a", "b", "g0", "g1"), **attrs):
    """A guest that is started so carries the stream, and nobody has to drop anything at the ports `quiet`."""
    node = t.node()
    stream = _stream_through(t, node, *how, **attrs)
    _flows(stream)
    stream.end()
    _no_drops(node, *quiet)


@alone("has a guest that polls")
@deadline(120)
def test_virtio_user_mergeable(t):
    """A virtio_user guest with mergeable buffers forwards a checked stream, both ways, and loses nothing."""
    _guest_forwards(t, "mrg_rxbuf=1,in_order=0")


@alone("has a guest that polls")
@deadline(120)
def test_virtio_user_plain(t):
    """The same without mergeable buffers."""
    _guest_forwards(t, "mrg_rxbuf=0,in_order=0")


@alone("has a guest that polls")
@deadline(120)
def test_virtio_user_multi_queue(t):
    """Two queue pairs in the guest, in the port, and at the ends."""
    _guest_forwards(t, "mrg_rxbuf=1,in_order=0,queues=2,cq=1", ("--rxq=2", "--txq=2"), ("--pairs", 2, "--flood", 0), quiet=(), queues=2)


@alone("has a guest that polls")
@deadline(120)
def test_virtio_user_jumbo(t):
    """Frames of 9,000 bytes of payload through a guest: whole buffers there, many small ones at the ends."""
    args = ("--mbuf-size=10240", f"--max-pkt-len={JUMBO + 18}")
    _guest_forwards(t, "mrg_rxbuf=1,in_order=0", args, ("--max-frame", JUMBO + 14, "--room", 1024, "--ring", 1024), mtu=JUMBO)


@alone("has a guest that polls")
@deadline(120)
def test_virtio_user_to_memif(t):
    """A guest in front of a memif application: the stream goes through both, in and out of each kind."""
    node = t.node()
    forwarder = Forwarder(t, node, "mrg_rxbuf=1,in_order=0")
    sockets = [os.path.join(node.dir, f"m{i}.memif") for i in range(2)]
    # VLAN 200 is between the guest and the application, VLAN 300 behind it.
    node.apply(*add_ports({f"m{i}": {"kind": "memif", "path": path, "vlan": 200 + 100 * i} for i, path in enumerate(sockets)}))
    memif = Testpmd(t, "memif", [f"net_memif{i},role=client,socket={path},socket-abstract=no" for i, path in enumerate(sockets)])
    memif.command("set fwd io")
    memif.command("start")
    forwarder.start()
    node.wait_link("m0", "m1")
    stream = VhostStream(t, node.dir, "a", "b")
    ports = stream.ports()
    node.apply(add("port", "a", vlan=100, **ports["a"]), add("port", "b", vlan=300, **ports["b"]))
    stream.ready()
    _flows(stream)
    stream.end()


def _through_wires(t, node):
    """af-packet ports a in VLAN 100 and b in VLAN 200: their wires, and a function that makes a stream from a to b through the guest."""
    ends = {"a": t.endpoint("a"), "b": t.endpoint("b")}
    wires = {name: end.wire() for name, end in ends.items()}

    def attach():
        node.attach(ends["a"], vlan=100)
        node.attach(ends["b"], vlan=200)
        node.wait_link("a", "b")

    def stream():
        a, b = ends["a"], ends["b"]

        def heard(sender, src, receiver):
            """A frame from src gets through: the guest takes what comes as soon as it is up, but says so to nobody."""
            wires[sender].send(test_frame(src.mac, text="here"))
            return any(f.raw == test_frame(src.mac, text="here") for f in wires[receiver].drain())

        wait_for(lambda: heard("b", b, "a"), "b is heard at a", seconds=3 * DEADLINE_S)
        wait_for(lambda: heard("a", a, "b"), "a is heard at b", seconds=3 * DEADLINE_S)
        return Stream(wires["a"], wires["b"], b.mac, a.mac, size=1000)

    attach()
    return attach, stream


def _all_arrive(stream, frames=500):
    stream.send(frames)
    stream.check()


@alone("has a guest that polls")
@deadline(120)
def test_guest_restarts(t):
    """A guest killed and started again, four times, is served again each time; its port says down in between."""
    node = t.node()
    _, stream = _through_wires(t, node)
    forwarder = Forwarder(t, node, "mrg_rxbuf=1,in_order=0")
    for _ in range(4):
        forwarder.start()
        _all_arrive(stream())
        forwarder.guest.kill()
        for name in forwarder.ports:
            wait_for(lambda port=name: node.get("port", port)["state"]["link"] == "down", f"{name} has lost its guest")


@alone("has a guest that polls")
@deadline(180)
def test_daemon_restarts_under_a_guest(t):
    """The daemon stops, or is killed, and starts again: the guest stays, and is served again without being told."""
    node = t.node()
    attach, stream = _through_wires(t, node)
    forwarder = Forwarder(t, node, "mrg_rxbuf=1,in_order=0").start()
    _all_arrive(stream())
    for stop in (node.stop, node.kill9, node.stop):
        stop()
        node.start()
        _plug_again(node, attach, forwarder)
        _all_arrive(stream())


def _plug_again(node, attach, forwarder):
    """What a restart of the daemon leaves to be programmed: nothing, where it keeps its state; all, where it does not."""
    if not node.call("get", {"object": "port"})["objects"]:
        attach()
        forwarder.plug()
    node.wait_link("a", "b", *forwarder.ports)


@alone("has a guest that polls")
@deadline(120)
def test_ports_restart_under_a_guest(t):
    """A port that is removed and added again finds its guest again, four times, while another guest's stream loses nothing."""
    node = t.node()
    beside = VhostStream(t, node.dir, "x", "y").plug(node, vlan=300)
    _, stream = _through_wires(t, node)
    forwarder = Forwarder(t, node, "mrg_rxbuf=1,in_order=0").start()
    for _ in range(4):
        _all_arrive(stream())
        node.apply(*({"op": "del", "object": "port", "name": name} for name in forwarder.ports))
        forwarder.plug()
        node.wait_link(*forwarder.ports)
    _all_arrive(stream())
    beside.end()


@alone("has a guest that polls")
@deadline(120)
def test_guest_stopped_for_a_while(t):
    """A guest that does not run (SIGSTOP) costs itself its frames and nobody else any, and goes on where it was."""
    node = t.node()
    beside = VhostStream(t, node.dir, "x", "y").plug(node, vlan=300)
    _, stream = _through_wires(t, node)
    forwarder = Forwarder(t, node, "mrg_rxbuf=1,in_order=0").start()
    going = stream()
    _all_arrive(going)
    forwarder.guest.process.send_signal(signal.SIGSTOP)
    full = node.drops("g0", "tx-full")
    for _ in range(20):
        going.sender.send(*[test_frame(f"02:00:00:00:77:{i:02x}", text="nobody takes these") for i in range(100)])
        _flows(beside, frames=50)
    wait_for(lambda: node.drops("g0", "tx-full") > full, "the stopped guest's queue is full")
    forwarder.guest.process.send_signal(signal.SIGCONT)
    _all_arrive(stream())
    beside.end()

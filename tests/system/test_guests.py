#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Linux guests under QEMU on vhost-user ports, at the offloads that a guest has by default.

A boot costs two seconds of a core, so a test here is several checks with the same guests; each says its name when it has passed.
"""

import os
import re
import signal
import subprocess
import threading

from harness import alone, deadline, ip_batch, run, wait_for
from lab import GUEST_DEADLINE_S, Guest, Migration, Nic, boot, need_guests

VLAN = 100
# Bits of virtio's feature words.
CSUM, GUEST_CSUM, MTU, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6 = 0, 1, 3, 7, 8, 11, 12
MRG_RXBUF, GUEST_ANNOUNCE, MQ, INDIRECT_DESC, EVENT_IDX, VERSION_1 = 15, 21, 22, 28, 29, 32
BY_DEFAULT = {CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6, MRG_RXBUF, GUEST_ANNOUNCE, INDIRECT_DESC, EVENT_IDX,
              VERSION_1}
FLOW_PORT = 5000
TCP_BYTES = 40_000_000


class Host:
    """What guests and namespaces have in common here: a name, an address and a shell. Number n is 10.0.0.n and fd00::n."""

    def __init__(self, number, shell, counter):
        self.ip4, self.ip6 = f"10.0.0.{number}", f"fd00::{number}"
        self.shell, self.counter = shell, counter

    def listen(self, *gate):
        self.shell(f"flow listen {FLOW_PORT} {' '.join(gate)}")

    def ping(self, other, size=56, count=3):
        """Busybox's ping, wherever it runs."""
        for address in (other.ip4, other.ip6):
            out = self.shell(f"ping -q -A -c {count} -s {size} -w {GUEST_DEADLINE_S} {address}")
            # On a busy machine an answer may come after the next question was sent: that is late, not lost.
            assert f" {count} packets received" in out, out

    def echo(self, other, size=20000):
        """UDP datagrams of up to that size there and back, over both protocols, every byte compared."""
        for address in (other.ip4, other.ip6):
            self.shell(f"flow echo {address} {FLOW_PORT} {size}")

    def send(self, other, what, megabytes=TCP_BYTES // 10**6, address=None):
        """
        TCP from here to there, every byte checked. Returns the mean size of the frames as they arrived. Both must not be touched by
        anybody else meanwhile.
        """
        before = [other.counter(name) for name in ("rx_bytes", "rx_packets")]
        out = self.shell(f"flow send {address or other.ip4} {FLOW_PORT} {megabytes * 10**6 + 3}")
        size, packets = (other.counter(name) - old for name, old in zip(("rx_bytes", "rx_packets"), before))
        print(f"  {what}: {out.strip()}, {size / packets:.0f} bytes a frame at the receiver")
        return size / packets


def passed(what):
    print("ok:", what)


def _address(number):
    return (f"sysctl -qw net.ipv6.conf.eth0.accept_dad=0 && ip link set eth0 up && ip addr add 10.0.0.{number}/24 dev eth0 && "
            f"ip addr add fd00::{number}/64 dev eth0")


def guest_host(guest, number):
    """A booted guest, with the addresses of that number."""
    guest.run(_address(number))
    return Host(number, guest.run, guest.counter)


def netns_host(t, netns, number, ifname="eth0"):
    """A namespace's end, with addresses already."""
    lab = need_guests(t.build)

    def shell(script, check=True):
        path = {"PATH": f"{lab}:{os.environ['PATH']}"}
        script = script.replace("ping ", "busybox ping ")
        return run("sh", "-c", script, netns=netns, check=check, seconds=2 * GUEST_DEADLINE_S, env={**os.environ, **path}).stdout

    return Host(number, shell, lambda name: int(shell(f"cat /sys/class/net/{ifname}/statistics/{name}")))


def container(t, node, name, number, **attrs):
    """A namespace on an af-packet port, and what it is as a host."""
    end = t.endpoint(name, addr=[f"10.0.0.{number}/24", f"fd00::{number}/64"], mtu=attrs.get("mtu", 1500))
    node.attach(end, **{"vlan": VLAN, **attrs})
    return end, netns_host(t, name, number)


def tap_host(t, node, name, number):
    """A namespace on a tap port."""
    node.add_port(name, kind="tap", ifname=name, vlan=VLAN)
    run("ip", "netns", "add", f"ns-{name}")
    ip_batch(f"link set dev {name} netns ns-{name}")
    run("sysctl", "-q", f"net.ipv6.conf.{name}.disable_ipv6=0", netns=f"ns-{name}")
    up = ["link set lo up", f"link set dev {name} up"]
    ip_batch(*up, f"addr add 10.0.0.{number}/24 dev {name}", f"addr add fd00::{number}/64 dev {name} nodad", netns=f"ns-{name}")
    return netns_host(t, f"ns-{name}", number, name)


def mac(number):
    return f"02:00:00:00:01:{number:02x}"


def virtual_machine(t, node, name, number, port=None, listen=True, nic=None, mtu=1500, **machine):
    """A guest that is not started yet, and its port."""
    path = os.path.join(node.dir, f"{name}.sock")
    node.add_port(name, kind="vhost-user", path=path, vlan=VLAN, mtu=mtu, server=not listen, **(port or {}))
    return Guest(t, name, [Nic("nic", path, mac(number), listen=listen, **(nic or {}))], **machine)


def untouched(node, *ports):
    """What goes from guest to guest is neither summed nor cut by the switch."""
    for port in ports:
        stats = node.port_stats(port)
        assert stats["csum_completed"] == 0 and stats["segmented"] == 0, stats


def nothing_lost(node, *ports):
    """No frame was refused that a guest or the switch had made wrong."""
    for port in ports:
        wrong = {"malformed", "tx-offload", "runt", "bad-descriptor", "bad-chain"} & set(node.port_stats(port)["drops"])
        assert not wrong, node.port_stats(port)


def link(node, port, state):
    wait_for(lambda: node.get("port", port)["state"]["link"] == state, f"link of {port} {state}", GUEST_DEADLINE_S)


@alone("emulates machines")
@deadline(240)
def test_guests_talk_at_default_offloads(t):
    """Guest to guest without a sum or a cut in between; guest to namespace over af-packet and tap; nobody in another VLAN."""
    node = t.node()
    # One QEMU listens, as is usual; the other connects to a port that listens.
    vm_a, vm_b = virtual_machine(t, node, "a", 1), virtual_machine(t, node, "b", 2, listen=False)
    boot(vm_a, vm_b)
    node.wait_link("a", "b")
    a, b = guest_host(vm_a, 1), guest_host(vm_b, 2)
    for guest in (vm_a, vm_b):
        missing = BY_DEFAULT - guest.features()
        assert not missing, f"features that were not agreed upon: {missing}"
    passed("features")

    for size in (0, 56, 1472, 20000):
        a.ping(b, size)
    passed("guests ping each other")
    a.listen()
    b.listen()
    a.echo(b)
    passed("UDP between guests")
    for sender, receiver, what in ((a, b, "a to b"), (b, a, "b to a")):
        for address in (receiver.ip4, receiver.ip6):
            frame = sender.send(receiver, f"TCP {what}, {address}", address=address)
            assert frame > 3000, f"frames of {frame} bytes: segmentation was not left to the receiver"
    untouched(node, "a", "b")
    passed("TCP between guests in large frames, not summed, not cut")

    _, c = container(t, node, "c", 3)
    d = tap_host(t, node, "d", 4)
    for other, what in ((c, "af-packet"), (d, "tap")):
        for size in (56, 1472, 20000):
            a.ping(other, size)
        other.listen()
        a.echo(other)
        other.echo(a)
        a.send(other, f"TCP to a namespace over {what}")
        other.send(a, f"TCP from a namespace over {what}")
        passed(f"guest and namespace over {what}")
    nothing_lost(node, "a", "b", "c", "d")

    end, e = container(t, node, "e", 5, vlan=200)
    wire = end.wire()
    vm_a.run("arp -d 10.0.0.5; ping -c 2 -W 1 10.0.0.5 && exit 1; true")
    heard = [f for f in wire.drain() if f.src == mac(1)]
    assert not heard, f"heard in another VLAN: {heard}"
    node.set_port("e", vlan=VLAN)
    a.ping(e)
    passed("another VLAN hears nothing")


@alone("emulates machines")
@deadline(180)
def test_guests_with_large_mtu(t):
    """MTU 9000, told to the guest by its card: whole frames of that size, and TCP in both directions."""
    node = t.node()
    vm_a = virtual_machine(t, node, "a", 1, mtu=9000, nic={"host_mtu": 9000})
    # b leaves nothing to others: its frames are 9000 bytes when they leave it, and no larger when they come.
    whole = {name: "off" for name in ("host_tso4", "host_tso6", "guest_tso4", "guest_tso6")}
    vm_b = virtual_machine(t, node, "b", 2, mtu=9000, nic={"host_mtu": 9000, **whole})
    boot(vm_a, vm_b)
    a, b = guest_host(vm_a, 1), guest_host(vm_b, 2)
    assert vm_a.read("/sys/class/net/eth0/mtu") == vm_b.read("/sys/class/net/eth0/mtu") == "9000"
    assert MTU in vm_a.features() and not vm_b.features() & {HOST_TSO4, HOST_TSO6, GUEST_TSO4, GUEST_TSO6}
    a.ping(b)
    before = vm_b.counter("rx_packets")
    out = vm_a.run(f"ping -q -A -c 10 -s 8972 -w {GUEST_DEADLINE_S} {b.ip4}")
    assert " 10 packets received" in out and vm_b.counter("rx_packets") - before < 15, f"in pieces? {out}"
    passed("ping of 8972 bytes in one frame")
    b.listen()
    a.listen()
    frame = b.send(a, "TCP from a guest without segmentation offload")
    assert 5000 < frame <= 9014, frame
    frame = a.send(b, "TCP to it")
    assert 5000 < frame <= 9014, frame
    assert node.port_stats("b")["segmented"], "nobody cut what a has sent in large pieces"
    _, c = container(t, node, "c", 3, mtu=9000)
    c.ping(a, 8952)
    c.listen()
    c.echo(a)
    a.echo(c)
    a.send(c, "TCP to a namespace")
    c.send(a, "TCP from a namespace")
    nothing_lost(node, "a", "b", "c")
    passed("TCP")


@alone("emulates machines")
@deadline(240)
def test_guests_and_daemon_come_and_go(t):
    """A guest is killed, rebooted, its driver taken away and given back; the daemon is killed: traffic resumes, nobody is touched."""
    node = t.node()
    config = {}

    def program(name, **attrs):
        config[name] = {"vlan": VLAN, **attrs}
        node.add_port(name, **config[name])

    paths = {name: os.path.join(node.dir, f"{name}.sock") for name in "ab"}
    program("a", kind="vhost-user", path=paths["a"])
    program("b", kind="vhost-user", path=paths["b"], server=True)
    end = t.endpoint("c", addr=["10.0.0.3/24", "fd00::3/64"])
    program("c", kind="af-packet", ifname="c")
    vm_a = Guest(t, "a", [Nic("nic", paths["a"], mac(1))])
    vm_b = Guest(t, "b", [Nic("nic", paths["b"], mac(2), listen=False)])
    boot(vm_a, vm_b)
    a, b, c = guest_host(vm_a, 1), guest_host(vm_b, 2), netns_host(t, end.name, 3)
    a.listen()
    b.listen()
    a.ping(b)

    flow = vm_b.begin(f"flow send {a.ip4} {FLOW_PORT} 20000000000")
    wait_for(lambda: node.port_stats("a")["tx_frames"] > 2000, "a flow runs", GUEST_DEADLINE_S)
    vm_a.kill9()
    link(node, "a", "down")
    c.ping(b)
    vm_a.start()
    link(node, "a", "up")
    a = guest_host(vm_a, 1)
    a.listen()
    a.ping(b)
    # The system that b's flow spoke with is gone, and the new one says so.
    flow.wait(check=False)
    a.send(b, "after a guest was killed in full flow")
    passed("a guest is killed and started again")

    vm_a.reboot()
    a = guest_host(vm_a, 1)
    a.ping(b)
    a.send(b, "after a reboot")
    passed("a guest is rebooted")

    vm_a.run("cd /sys/bus/virtio/drivers/virtio_net; device=$(basename $(readlink /sys/class/net/eth0/device)); "
             "for i in 1 2 3; do echo $device > unbind && echo $device > bind || exit 1; done")
    a = guest_host(vm_a, 1)
    assert BY_DEFAULT <= vm_a.features()
    a.listen()
    a.ping(b)
    b.send(a, "after the driver was bound again")
    passed("a driver is unbound and bound, three times")

    node.kill9()
    vm_a.wait_carrier(False)
    vm_b.wait_carrier(False)
    node.start()
    for name, attrs in config.items():
        node.add_port(name, **attrs)
    vm_a.wait_carrier(True)
    vm_b.wait_carrier(True)
    # wait_carrier() has set nothing that the guests had not set: their addresses and listeners are as they were.
    for x, y in ((a, b), (b, a), (a, c), (c, b)):
        x.ping(y)
    a.send(b, "after the daemon was killed")
    b.send(a, "after the daemon was killed")
    untouched(node, "a", "b")
    passed("the daemon is killed and started again")

    node.del_port("a")
    vm_a.wait_carrier(False)
    program("a", kind="vhost-user", path=paths["a"])
    vm_a.wait_carrier(True)
    a.ping(b)
    passed("a port is removed and added")


@alone("emulates machines")
@deadline(180)
def test_guest_with_several_queues(t):
    """Two queue pairs carry flows, then one, then two again, as the guest asks."""
    node = t.node(cores="0,1")
    vm_a = virtual_machine(t, node, "a", 1, cpus=2, nic={"queues": 2}, port={"queues": 2})
    vm_a.start()
    a = guest_host(vm_a, 1)
    # The guest's CPUs choose the queue that it sends by, and the switch's workers, each with a container here, that which it receives by.
    peers = [container(t, node, f"c{n}", n)[1] for n in (3, 4)]
    assert MQ in vm_a.features()
    for host in (a, *peers):
        host.listen()

    def queues_used():
        before = vm_a.driver_stats()
        for cpu, peer in zip((1, 2), peers):
            vm_a.run(f"taskset {cpu} flow send {peer.ip4} {FLOW_PORT} 10000000")
            peer.send(a, f"TCP from container {peer.ip4}", megabytes=10)
        vm_a.run("".join(f"flow send {peer.ip4} {FLOW_PORT} 5000000 & " for peer in 2 * peers) + "wait")
        used = {name: value - before[name] for name, value in vm_a.driver_stats().items()}
        return {kind: sum(used.get(f"{kind}_queue_{n}_packets", 0) > 20 for n in (0, 1)) for kind in ("rx", "tx")}

    for channels, what in ((2, "two queues"), (1, "one of them turned off"), (2, "and on again")):
        assert vm_a.run(f"nic channels eth0 {channels}").split() == [str(channels), "2"]
        for peer in peers:
            a.ping(peer)
        used = queues_used()
        assert used == {"rx": channels, "tx": channels}, f"{channels} queues: {used}"
        passed(what)
    nothing_lost(node, "a", "c3", "c4")


@alone("emulates machines")
@deadline(120)
def test_guest_memory_comes_and_goes(t):
    """Memory is plugged into a guest and pulled out of it in full flow; frames lie in the new memory."""
    node = t.node()
    vm_a = virtual_machine(t, node, "a", 1, slots=4)
    vm_a.start()
    a = guest_host(vm_a, 1)
    end, c = container(t, node, "c", 3)
    a.listen()
    c.listen()
    flows = [vm_a.begin(f"flow send {c.ip4} {FLOW_PORT} 200000000"),
             end.popen(os.path.join(vm_a.lab, "flow"), "send", a.ip4, str(FLOW_PORT), "200000000", stdout=subprocess.PIPE)]
    vm_a.plug_memory("used")
    vm_a.online_memory()
    for _ in range(3):
        vm_a.plug_memory("idle")
        vm_a.unplug_memory("idle")
    flows[0].wait()
    out, _ = flows[1].communicate(timeout=GUEST_DEADLINE_S)
    assert flows[1].returncode == 0, out
    passed("in full flow")
    # The kernel prefers what it has got last; with so much in use, the old memory is no choice any more.
    vm_a.run("mount -o remount,size=90% /tmp && dd if=/dev/zero of=/tmp/fill bs=1M count=80 2> /dev/null")
    a.send(c, "out of new memory")
    c.send(a, "into new memory")
    a.ping(c)
    nothing_lost(node, "a", "c")
    passed("in use")


# --- live migration --------------------------------------------------------------------------------------------------------------


PINGS_LOST_AT_MOST = 5  # half a second: QEMU stops the guest for at most 300 ms, by its default
HELD_BYTES = 3_000_000


def _migrate(t, node, number, announce):
    """
    One guest moves while it is pinged, and while frames come in that it does not look at before it has moved: they lie in its memory
    where the switch has put them, some of it in pages that had been copied already. Only the switch's log of dirty pages tells QEMU.
    It sets out twice, because the first target dies.
    """
    name = f"m{number}"
    nic = {"guest_announce": "on" if announce else "off"}
    source, target = (virtual_machine(t, node, f"{name}-{end}", number, nic=nic, memory_mib=192) for end in ("src", "dst"))
    source.start()
    vm = guest_host(source, number)
    assert (GUEST_ANNOUNCE in source.features()) == announce
    end, peer = container(t, node, f"p{number}", 100 + number)
    # TCP may hold what the small system would not grant it by itself (a sixteenth of its memory, in all).
    source.run("mkfifo /tmp/gate && sysctl -qw net.ipv4.tcp_rmem='4096 131072 33554432' net.ipv4.tcp_mem='16384 16384 16384'")
    vm.listen("/tmp/gate")
    peer.ping(vm)
    target.start(incoming=True)
    fdb = {"vlan": VLAN, "mac": mac(number)}
    assert [e["port"] for e in node.fdb(**fdb)] == [source.name]

    source.run("while [ ! -e /tmp/calm ]; do dd if=/dev/zero of=/tmp/busy bs=64k count=64; done > /dev/null 2>&1 &")
    pings = end.popen("ping", "-n", "-i", "0.1", vm.ip4, stdout=subprocess.PIPE)
    heard = set()
    listener = threading.Thread(target=lambda: heard.update(int(n) for line in pings.stdout for n in re.findall(r"icmp_seq=(\d+) ttl", line)))
    listener.start()
    migration = Migration(source, target)
    migration.copy_once()
    target.kill9()
    migration.fail()
    peer.ping(vm)
    target.start(incoming=True)

    own_pings = source.begin(f"ping -q -i 0.1 -c 30 {peer.ip4}")
    migration = Migration(source, target)
    migration.copy_once()
    before = source.counter("rx_bytes")
    held = end.popen(os.path.join(source.lab, "flow"), "send", vm.ip4, str(FLOW_PORT), str(HELD_BYTES), stdout=subprocess.PIPE)
    wait_for(lambda: source.counter("rx_bytes") - before > HELD_BYTES, "what is held has arrived", GUEST_DEADLINE_S)
    source.run("touch /tmp/calm")
    information = migration.end()
    wait_for(lambda: [e["port"] for e in node.fdb(**fdb)] == [target.name], "the address has moved", GUEST_DEADLINE_S)

    target.run(": > /tmp/gate")
    out, _ = held.communicate(timeout=2 * GUEST_DEADLINE_S)
    assert held.returncode == 0, f"frames received before the move are not what they were: {out}"
    peer.ping(vm)
    last = max(heard)
    wait_for(lambda: max(heard) > last + PINGS_LOST_AT_MOST, "the pings go on", GUEST_DEADLINE_S)
    pings.send_signal(signal.SIGINT)
    pings.wait(GUEST_DEADLINE_S)
    listener.join()
    print(f"  {information['downtime']} ms stopped, {information['total-time']} ms in all, {information['ram']['dirty-sync-count']} passes")
    # What was under way at the end, which a busy machine has more of, is not lost.
    lost = [n for n in range(1, max(heard) + 1) if n not in heard]
    print(f"  {len(lost)} of {max(heard)} pings to the guest lost")
    assert len(lost) <= PINGS_LOST_AT_MOST, lost
    # What the guest itself was doing goes on. How it shares its one emulated CPU with the writer decides what it hears in time.
    out = own_pings.wait(check=False)
    answered = int(re.search(r"(\d+) packets received", out)[1])
    print(f"  {30 - answered} of 30 pings by the guest lost")
    assert answered > 0, out
    source.kill9()
    link(node, source.name, "down")
    vm = Host(number, target.run, target.counter)
    peer.listen()
    vm.send(peer, "TCP after the move")
    peer.ping(vm)
    nothing_lost(node, source.name, target.name)
    target.kill9()


@alone("emulates machines")
@deadline(240)
def test_guest_moves_to_another_qemu(t):
    """Live migration: memory intact, next to no ping lost, the address at its new port; announced by the guest, or by QEMU's RARP."""
    node = t.node()
    _migrate(t, node, 1, announce=True)
    passed("announced by the guest")
    _migrate(t, node, 2, announce=False)
    passed("announced by QEMU")

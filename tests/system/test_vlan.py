#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""All VLAN modes against each other, held to what Open vSwitch does (vlan_matrix.json), byte by byte.

Where the switch means to differ, DEVIATIONS says how and why. A rule there does not excuse a case, it states the one outcome that
is right instead; whatever no rule covers is Open vSwitch's.
"""

import subprocess
import sys
import time

import frames
import ovs_oracle
import vlan_cases
from harness import DEADLINE_S, Skip, add, change, deadline, ip_batch, wait_for
from wire import Wire

MARK_VLAN = 4000  # of no case
MARK_MAC = "02:00:00:00:ff:ff"

# --- where we differ --------------------------------------------------------------------------------------------------------


def _is_tunnel(mode):
    return vlan_cases.MODES[mode]["vlan_mode"] == "dot1q-tunnel"


def _is_access(mode):
    return vlan_cases.MODES[mode]["vlan_mode"] == "access"


def _vid(tag):
    return int(tag.split(":")[1])


def _known_as_flooded(ovs, ingress, stack, dst, egress):
    """
    Open vSwitch asks whether an access port may carry a frame with a customer's tag inside, or a tunnel port a customer's VLAN,
    only when it floods. To a known address it delivers both, and takes the customer's tag off with its own at the access port. Here
    a port carries the same frames whatever their destination.
    """
    if dst == "known" and (_is_access(egress) or "cvlans" in vlan_cases.MODES[egress]):
        return rules(ovs, ingress, stack, "flood", egress)
    return NotImplemented


def _cargo(ovs, ingress, stack, dst, egress):
    """
    Open vSwitch remembers two tags of a frame and rebuilds the frame from those: what a tunnel takes in with two tags leaves with
    one of them gone, and a tag of all zeros counts as no tag wherever it stands. Here the tags inside the switch's own are cargo,
    and leave as they came. Only an access port, which delivers no tags, takes them all off.
    """
    if _is_access(egress) or not stack:
        return NotImplemented
    if _is_tunnel(ingress):
        own, inside = ([], stack) if _vid(stack[0]) == 0 else (stack[:1], stack[1:])
    else:
        own, inside = stack[:1], stack[1:]
    if not inside or _vid(inside[0]) != 0 and not _is_tunnel(ingress):
        return NotImplemented
    if not _is_tunnel(ingress) and _vid(own[0]) == 0:
        return NotImplemented
    alone = rules(ovs, ingress, own, dst, egress)
    return None if alone is None else alone + inside


def _dei(ovs, ingress, stack, dst, egress):
    """
    Open vSwitch has no place for the drop eligible bit: it survives where the tag is not touched, and is lost where a priority tag
    becomes a VLAN's. Here it travels with the priority.
    """
    if _is_tunnel(ingress) or len(stack) != 1 or _vid(stack[0]) != 0 or not stack[0].endswith(":1"):
        return NotImplemented
    with_priority = rules(ovs, ingress, ["8100:0:5:0"], dst, egress)
    if not with_priority:
        return with_priority
    tpid, vid, _, _ = with_priority[0].split(":")
    return [":".join([tpid, vid, *stack[0].split(":")[2:]])]


def _empty_tag(ovs, ingress, stack, dst, egress):
    """
    On a trunk a tag of all zeros says nothing, and Open vSwitch takes it off on the way to other trunks, and with it the tag
    inside. Here both leave as they came. The frame is in VLAN 0; with the empty tag gone the next switch would find the tag
    inside in front, and so could any station that may speak in VLAN 0 send into every other VLAN there.
    """
    if vlan_cases.MODES[ingress]["vlan_mode"] != "trunk" or len(stack) < 2 or stack[0] != "8100:0:0:0":
        return NotImplemented
    return None if ovs(ingress, stack, dst, egress) is None else stack


DEVIATIONS = [_known_as_flooded, _cargo, _dei, _empty_tag]


def rules(ovs, ingress, stack, dst, egress):
    """What must leave here: as the first deviation that applies says, or as Open vSwitch does."""
    for rule in DEVIATIONS:
        outcome = rule(ovs, ingress, stack, dst, egress)
        if outcome is not NotImplemented:
            return outcome
    return ovs(ingress, stack, dst, egress)


def expectations():
    """{(ingress, index of the stack, "flood" or "known", egress): tag stack or None}"""
    table = vlan_cases.expected(vlan_cases.load())

    def ovs(ingress, stack, dst, egress):
        return table[ingress, "+".join(stack), dst, egress]

    modes = list(vlan_cases.MODES)
    return {
        (ingress, i, dst, egress): rules(ovs, ingress, stack, dst, egress)
        for ingress in modes
        for i, stack in enumerate(vlan_cases.STACKS)
        for dst in ("flood", "known")
        for egress in modes
    }


def expectations_in_class(pcp):
    """
    The same where the frame enters by a port whose class has this code point: what leaves is what leaves of a frame that came with it. A
    tunnel's outer tag is not one that the frame came with. Left out: frames that were not recorded with this code point.
    """
    expected, found = expectations(), {}

    def marked(stack):
        tpid, vid, _, dei = stack[0].split(":")
        return [f"{tpid}:{vid}:{pcp}:{dei}", *stack[1:]]

    for (ingress, i, dst, egress), out in expected.items():
        stack = vlan_cases.STACKS[i]
        if _is_tunnel(ingress):
            found[ingress, i, dst, egress] = marked(out) if out and len(out) > len(stack) else out
        elif (same := marked(stack or ["8100:0:0:0"])) in vlan_cases.STACKS:
            found[ingress, i, dst, egress] = expected[ingress, vlan_cases.STACKS.index(same), dst, egress]
    return found


# --- the test ---------------------------------------------------------------------------------------------------------------


class Matrix:
    """
    A node with a port of every mode to enter by (in0, in1, ...) and another to leave by (out0, ...), and a pair of access ports of
    a VLAN of their own for markers.

    When has everything left? One worker handles what it received from one port before it polls the next. So when the daemon has
    counted all frames as received, the second marker that passes afterwards finds them all delivered (the first may have been
    polled in the same round).
    """

    def __init__(self, t):
        self.node = t.node()
        self.modes = list(vlan_cases.MODES)
        names = [f"{side}{i}" for i in range(len(self.modes)) for side in ("in", "out")] + ["mark-in", "mark-out"]
        ip_batch(*(f"link add name {n} type veth peer name c-{n}" for n in names))
        ip_batch(*(f"link set dev {end} up" for n in names for end in (n, "c-" + n)))
        self.inside = {mode: Wire(f"c-in{i}", rcvbuf=4096) for i, mode in enumerate(self.modes)}
        self.outside = {mode: Wire(f"c-out{i}") for i, mode in enumerate(self.modes)}
        self.mark = Wire("c-mark-in", rcvbuf=4096), Wire("c-mark-out")
        vlans = (10, 100, 200, 300, MARK_VLAN)
        self.node.apply(
            *(add("vlan", str(vid)) for vid in vlans),
            *(
                add("port", f"{side}{i}", kind="af-packet", ifname=f"{side}{i}", **vlan_cases.MODES[mode])
                for i, mode in enumerate(self.modes)
                for side in ("in", "out")
            ),
            # The address of mark-out is known, or the markers would be flooded to trunks that carry all VLANs.
            add("port", "mark-in", kind="af-packet", ifname="mark-in", vlan=MARK_VLAN),
            add("port", "mark-out", kind="af-packet", ifname="mark-out", vlan=MARK_VLAN, mac=MARK_MAC),
        )
        self.node.wait_link(*names)
        self.node.apply(add("class", "mine", pcp=7))
        self.number = self.sent_markers = 0
        self.sent = dict.fromkeys(names, 0)

    def set_class(self, pcp):
        """The ports to enter by are in a class of this code point."""
        self.node.apply(change("class", "mine", pcp=pcp), *(change("port", f"in{i}", **{"class": "mine"}) for i in range(len(self.modes))))

    def settle(self, name):
        """Everything that was sent into the port of this name has been dealt with."""
        sent = self.sent[name]
        wait_for(lambda: self.node.port_stats(name)["rx_frames"] >= sent, f"{name} has counted {sent} frames in")
        for _ in range(2):
            self.sent_markers += 1
            number = self.sent_markers.to_bytes(46, "big")
            self.mark[0].send(frames.eth(MARK_MAC, "02:00:00:00:00:01", [], frames.ETH_TEST, number))
            got = self.mark[1].recv(time.monotonic() + DEADLINE_S, lambda f, n=number: f.payload == n)
            assert got is not None, "the marker did not arrive"

    def teach(self):
        for i, mode in enumerate(self.modes):
            for stack in vlan_cases.TEACHING:
                self.outside[mode].send(frames.eth(frames.BROADCAST, vlan_cases.known_mac(mode), stack, frames.ETH_TEST, bytes(46)))
                self.sent[f"out{i}"] += 1
            self.settle(f"out{i}")
        for wire in self.outside.values():
            wire.drain()

    def ask(self, mode, asked, dst):
        """Every stack from the port of `mode` to dst. {(index of stack, egress): outcome} of what left anywhere."""
        first = self.number + 1
        name = f"in{self.modes.index(mode)}"
        for stack in vlan_cases.STACKS:
            self.number += 1
            self.inside[mode].send(vlan_cases.frame(mode, asked, dst, stack, self.number))
        self.sent[name] += len(vlan_cases.STACKS)
        self.settle(name)
        seen = {}
        for egress, wire in self.outside.items():
            for got in wire.drain():
                number = vlan_cases.number_of(got)
                assert number is not None and number >= first, f"{egress} got a stranger: {got}"
                key = number - first, egress
                assert key not in seen, f"{egress} got {got} twice"
                seen[key] = vlan_cases.outcome(got, mode, asked, dst, number)
        return seen


def hold(matrix, expected):
    """Hold a matrix of ports to what is expected."""
    matrix.teach()
    wrong = []

    def compare(mode, i, dst, egress, outcome):
        want = expected.get((mode, i, dst, egress), outcome)
        if outcome != want:
            stack = "+".join(vlan_cases.STACKS[i]) or "untagged"
            wrong.append(f"{mode} <- {stack}, {dst}: {egress} sent {outcome}, not {want}")

    for mode in matrix.modes:
        seen = matrix.ask(mode, mode, frames.BROADCAST)
        for i in range(len(vlan_cases.STACKS)):
            for egress in matrix.modes:
                compare(mode, i, "flood", egress, seen.get((i, egress)))
        for egress in matrix.modes:
            seen = matrix.ask(mode, egress, vlan_cases.known_mac(egress))
            for i in range(len(vlan_cases.STACKS)):
                compare(mode, i, "known", egress, seen.get((i, egress)))
    assert not wrong, f"{len(wrong)} of {len(expected)} cases differ:\n" + "\n".join(wrong[:100])


@deadline(120)
def test_matrix(t):
    """Every (ingress mode, frame) x (egress mode), flooded and to a known address: the exact bytes that leave."""
    hold(Matrix(t), expectations())


def hold_in_class(matrix):
    """With a code point, with another, and with the one that means no priority; changed in between."""
    for pcp, at_least in ((5, 14000), (3, 5000), (0, 17000)):
        matrix.set_class(pcp)
        expected = expectations_in_class(pcp)
        print(f"code point {pcp}: {len(expected)} cases")
        assert len(expected) > at_least, len(expected)
        hold(matrix, expected)


@deadline(180)
def test_matrix_in_a_class(t):
    """The same from ports that have a class: whatever tag a frame comes with, it leaves as one that came with the class's code point."""
    hold_in_class(Matrix(t))


@deadline(120)
def test_matrix_is_what_open_vswitch_does(t):
    """vlan_matrix.json is what Open vSwitch answers on this machine."""
    if not ovs_oracle.available():
        raise Skip("no Open vSwitch here (Debian: openvswitch-switch): vlan_matrix.json is taken on trust")
    subprocess.run([sys.executable, "-B", ovs_oracle.__file__, "--check"], check=True)

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel engine's VLAN modes, held to the same recorded answers of Open vSwitch as the DPDK switch's (test_vlan.py)."""

import os
import time

import frames
import test_vlan
import vlan_cases
from engine import Container, Engine
from harness import DEADLINE_S, deadline, wait_for


class Matrix(test_vlan.Matrix):
    """
    Containers in the place of cables. When has everything left? All is done on one CPU, whose backlog is a queue: when the program
    has counted a frame, what it sent is in that queue before a marker that is sent afterwards.
    """

    def __init__(self, t):  # pylint: disable=super-init-not-called
        os.sched_setaffinity(0, {0})
        self.engine = Engine(t)
        self.modes = list(vlan_cases.MODES)
        ports = {f"{side}{i}": vlan_cases.MODES[mode] for i, mode in enumerate(self.modes) for side in ("in", "out")}
        ports |= {"mark-in": {"vlan": test_vlan.MARK_VLAN}, "mark-out": {"vlan": test_vlan.MARK_VLAN, "mac": test_vlan.MARK_MAC}}
        self.words, wires = {}, {}
        for name, attrs in ports.items():
            inside = Container(name)
            words = {"mode": attrs.get("vlan_mode"), "vlan": attrs.get("vlan"), "mac": attrs.get("mac")}
            for key in ("trunks", "cvlans"):
                words[key] = ",".join(map(str, attrs[key])) if key in attrs else None
            words["qinq"] = {"802.1ad": "88a8", "802.1q": "8100", None: None}[attrs.get("qinq_ethtype")]
            self.engine.add_port(name, **words)
            self.words[name] = words
            wires[name] = inside.wire()
        self.inside = {mode: wires[f"in{i}"] for i, mode in enumerate(self.modes)}
        self.outside = {mode: wires[f"out{i}"] for i, mode in enumerate(self.modes)}
        self.mark = wires["mark-in"], wires["mark-out"]
        self.number = self.sent_markers = 0
        self.sent = dict.fromkeys(ports, 0)

    def set_class(self, pcp):
        for i in range(len(self.modes)):
            self.engine.set_port(f"in{i}", **self.words[f"in{i}"], pcp=pcp)

    def settle(self, name):
        sent = self.sent[name]
        wait_for(lambda: self.engine.stats(name)["rx_frames"] >= sent, f"{name} has counted {sent} frames in")
        for _ in range(2):
            self.sent_markers += 1
            number = self.sent_markers.to_bytes(46, "big")
            self.mark[0].send(frames.eth(test_vlan.MARK_MAC, "02:00:00:00:00:01", [], frames.ETH_TEST, number))
            got = self.mark[1].recv(time.monotonic() + DEADLINE_S, lambda f, n=number: f.payload == n)
            assert got is not None, "the marker did not arrive"


@deadline(120)
def test_matrix(t):
    """Every (ingress mode, frame) x (egress mode), flooded and to a known address: the exact bytes that leave."""
    test_vlan.hold(Matrix(t), test_vlan.expectations())


@deadline(120)
def test_matrix_in_a_class(t):
    """The same from ports that have a class: whatever tag a frame comes with, it leaves as one that came with the class's code point."""
    test_vlan.hold_in_class(Matrix(t))

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The VLAN matrix: which port modes and which frames it crosses, and the file in which the outcome is kept.

Each case is a frame (a tag stack) that enters by a port of one mode; its outcome is, for a port of every mode, the tag stack of the
frame that leaves there, or null for no frame. It is asked twice: with a broadcast destination ("flood"), and with one that was
learned behind the very port asked about ("known"), where that port can learn it in the frame's VLAN; where it cannot, the address
is unknown there and floods.

Everything but the tags must leave as it came, so a tag stack says all about the bytes: addresses and payload are compared by
whoever records or checks. vlan_matrix.json keeps a case a line, so that a difference between two recordings reads as a diff. To
keep it small, "flood" leaves out the modes that get nothing, and "known" the modes at which a known destination fares as a
broadcast does.

ovs_oracle.py records the file from Open vSwitch, test_vlan.py holds the switch to it.
"""

import json
import os
import struct

import frames

MATRIX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vlan_matrix.json")

# Name -> the port's attributes as the control socket spells them. Lists are lists of VLAN ids; no key is an empty column.
MODES = {
    "access-100": {"vlan_mode": "access", "vlan": 100},
    "access-200": {"vlan_mode": "access", "vlan": 200},
    "trunk": {"vlan_mode": "trunk"},
    "trunk-100,200": {"vlan_mode": "trunk", "trunks": [100, 200]},
    "trunk-0,100": {"vlan_mode": "trunk", "trunks": [0, 100]},
    "tagged-100": {"vlan_mode": "native-tagged", "vlan": 100},
    "tagged-100-100,200": {"vlan_mode": "native-tagged", "vlan": 100, "trunks": [100, 200]},
    "tagged-100-200": {"vlan_mode": "native-tagged", "vlan": 100, "trunks": [200]},
    "untagged-100": {"vlan_mode": "native-untagged", "vlan": 100},
    "untagged-100-100,200": {"vlan_mode": "native-untagged", "vlan": 100, "trunks": [100, 200]},
    "untagged-100-200": {"vlan_mode": "native-untagged", "vlan": 100, "trunks": [200]},
    "untagged-100-0,200": {"vlan_mode": "native-untagged", "vlan": 100, "trunks": [0, 200]},
    "tunnel-ad": {"vlan_mode": "dot1q-tunnel", "vlan": 100, "qinq_ethtype": "802.1ad"},
    "tunnel-q": {"vlan_mode": "dot1q-tunnel", "vlan": 100, "qinq_ethtype": "802.1q"},
    "tunnel-ad-10": {"vlan_mode": "dot1q-tunnel", "vlan": 100, "qinq_ethtype": "802.1ad", "cvlans": [10]},
    "tunnel-q-10": {"vlan_mode": "dot1q-tunnel", "vlan": 100, "qinq_ethtype": "802.1q", "cvlans": [10]},
}

STACKS = [
    [],
    ["8100:0:0:0"],  # priority tags: VLAN 0 is "no VLAN, but a priority"
    ["8100:0:5:0"],
    ["8100:0:0:1"],
    ["8100:0:5:1"],
    ["8100:10:0:0"],
    ["8100:10:5:0"],
    ["8100:10:5:1"],
    ["8100:100:0:0"],
    ["8100:100:5:0"],
    ["8100:100:0:1"],
    ["8100:100:5:1"],
    ["8100:200:0:0"],
    ["8100:200:5:0"],
    ["8100:300:0:0"],
    ["8100:4095:0:0"],
    ["88a8:0:5:0"],
    ["88a8:10:5:0"],
    ["88a8:100:0:0"],
    ["88a8:100:5:0"],
    ["88a8:100:5:1"],
    ["88a8:200:0:0"],
    ["88a8:100:0:0", "8100:10:0:0"],
    ["88a8:100:5:1", "8100:10:3:1"],
    ["88a8:100:0:0", "8100:20:0:0"],
    ["88a8:100:0:0", "8100:0:0:0"],
    ["88a8:100:0:0", "8100:0:3:0"],
    ["88a8:100:0:0", "88a8:10:0:0"],
    ["8100:100:0:0", "8100:10:0:0"],
    ["8100:100:5:1", "8100:10:3:1"],
    ["8100:100:0:0", "8100:20:0:0"],
    ["8100:100:0:0", "8100:0:0:0"],
    ["8100:100:5:0", "8100:0:3:0"],
    ["8100:200:0:0", "8100:10:0:0"],
    ["8100:0:0:0", "8100:100:0:0"],
    ["8100:0:5:0", "8100:100:3:0"],
    ["8100:10:0:0", "8100:100:0:0"],
    ["8100:10:5:0", "8100:100:3:0"],
    ["88a8:100:0:0", "8100:10:0:0", "8100:30:0:0"],
    ["88a8:100:5:0", "8100:10:3:0", "8100:30:2:0"],
    ["8100:10:0:0", "8100:30:0:0", "8100:40:0:0"],
]

# A port sends these to make itself known in every VLAN that it can speak in: untagged, and each VLAN of the cases under each TPID.
TEACHING = [[]] + [[f"{tpid}:{vid}:0:0"] for tpid in ("8100", "88a8") for vid in (10, 100, 200, 300, 4095)]


def source_mac(mode, egress):
    """The station behind the ingress port of `mode` that asks about `egress`."""
    modes = list(MODES)
    return f"02:00:00:01:{modes.index(mode):02x}:{modes.index(egress):02x}"


def known_mac(mode):
    """The station behind the egress port of this mode."""
    return f"02:00:00:02:00:{list(MODES).index(mode):02x}"


def payload(number):
    """Unlike any other case's: a number, then bytes that depend on it, to the size of a minimal frame and a bit."""
    return b"case" + struct.pack("!I", number) + bytes((number * 31 + i * 7) & 0xFF for i in range(56))


def frame(mode, egress, dst, stack, number):
    return frames.eth(dst, source_mac(mode, egress), stack, frames.ETH_TEST, payload(number))


def number_of(received):
    """The case number that a received frame carries, or None if it is not one of ours."""
    if received.ethertype != frames.ETH_TEST or received.payload[:4] != b"case":
        return None
    return struct.unpack("!I", received.payload[4:8])[0]


def outcome(received, mode, egress, dst, number):
    """What to write down for a frame that left: its tag stack. AssertionError if anything else changed on the way."""
    expected = frames.eth(dst, source_mac(mode, egress), received.tags, frames.ETH_TEST, payload(number))
    assert received.raw == expected, f"changed on the way: {received.raw.hex()} is not {expected.hex()}"
    return received.tags


# --- the file -------------------------------------------------------------------------------------------------------------


def load(path=MATRIX):
    with open(path, encoding="ascii") as f:
        return json.load(f)


def dump(matrix):
    """The file's text: stable, a mode a line and a case a line."""

    def line(value):
        return json.dumps(value, separators=(",", ":"))

    modes = ",\n".join(f"{line(name)}:{line(attrs)}" for name, attrs in matrix["modes"].items())
    cases = ",\n".join(line(case) for case in matrix["cases"])
    return f'{{"recorded_from":{line(matrix["recorded_from"])},\n"modes":{{\n{modes}}},\n"cases":[\n{cases}]}}\n'


def case(mode, stack_index, flood, known):
    """A case of the file from {egress: outcome} for each destination."""
    return {
        "in": mode,
        "frame": STACKS[stack_index],
        "flood": {egress: out for egress, out in flood.items() if out is not None},
        "known": {egress: out for egress, out in known.items() if out != flood[egress]},
    }


def expected(matrix):
    """{(ingress mode, "+".join(stack), "flood" or "known", egress mode): outcome} for all that the file says."""
    result = {}
    for kept in matrix["cases"]:
        for egress in matrix["modes"]:
            flood = kept["flood"].get(egress)
            stack = "+".join(kept["frame"])
            result[kept["in"], stack, "flood", egress] = flood
            result[kept["in"], stack, "known", egress] = kept["known"].get(egress, flood)
    return result

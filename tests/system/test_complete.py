#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bash completion: what bash itself makes of a line and a TAB, and that the candidates are all there is."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from harness import DEADLINE_S, need, run

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "ctl", "cli", "sluicectl.bash")


def candidates(t, node, line):
    """COMPREPLY for `sluicectl -s SOCKET LINE`, with the cursor at its end."""
    need("bash")
    line = f"{os.path.join(t.build, 'sluicectl')} -s {node.socket} {line}"
    shell = f'source {SCRIPT}; COMP_LINE=$1; COMP_POINT=${{#1}}; _sluicectl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return set(run("bash", "--norc", "-c", shell, "bash", line).stdout.split())


def test_objects_verbs_keys_and_values(t):
    """Every object, verb, attribute and choice of the schema is offered, where it belongs."""
    node = t.node()
    schema = node.call("describe")
    names = {o["name"] for o in schema["objects"]}
    first = candidates(t, node, "")
    assert names <= first and {"fdb", "stats", "monitor", "export", "apply", "diff", "raw", "help"} <= first, first
    assert candidates(t, node, "vl") == {"vlan"}
    assert candidates(t, node, "port ") == {"add", "set", "del", "show", "help"}
    assert candidates(t, node, "node ") == {"show", "help"}
    for thing in schema["objects"]:
        if thing["read_only"]:
            continue
        keys = {a["name"].replace("_", "-") + "=" for a in thing["attrs"]}
        assert candidates(t, node, f"{thing['name']} add x ") == keys, thing["name"]
        loose = {a["name"].replace("_", "-") + "=" for a in thing["attrs"] if not a["fixed"]}
        assert candidates(t, node, f"{thing['name']} set x ") == loose, thing["name"]
        for attr in thing["attrs"]:
            if attr.get("choices"):
                assert candidates(t, node, f"{thing['name']} add x {attr['name'].replace('_', '-')}=") == set(attr["choices"]), attr
    assert candidates(t, node, "port add x vlan-mode=native-") == {"native-tagged", "native-untagged"}
    assert candidates(t, node, "port add x isolated=") == {"true", "false"}
    assert "vlan=" not in candidates(t, node, "port add x vlan=5 ")
    assert candidates(t, node, "raw ") == {m["name"] for m in schema["methods"]}
    assert {e["name"] for e in schema["events"]} <= candidates(t, node, "monitor ")
    assert {"--json", "-j", "--force", "--no-atomic", "--owner"} <= candidates(t, node, "-")
    assert candidates(t, node, "-c ") == {"auto", "always", "never"}
    # File names are the shell's.
    assert not candidates(t, node, "apply ") and not candidates(t, node, "-b ")


def test_names_are_asked_of_the_node(t):
    """Names of what exists, kinds that this node has, on whichever socket; a node that is away costs names and nothing else."""
    node = t.node()
    node.add_port("vm1", kind="memif", path=os.path.join(node.dir, "m"), vlan=100)
    node.add_vlan(200)
    assert candidates(t, node, "port set ") == {"vm1"}
    assert candidates(t, node, "vlan del ") == {"100", "200"}
    assert candidates(t, node, "vlan show 2") == {"200"}
    assert candidates(t, node, "port add x vlan=") == {"100", "200"}
    assert candidates(t, node, "port set vm1 class=") == {"online", "default", "migration", "image"}
    assert candidates(t, node, "class set o") == {"online"}
    assert candidates(t, node, "fdb show port=") == {"vm1"}
    assert candidates(t, node, "stats port ") == {"vm1"}
    assert "vm1" in {c.split("/")[-1] for c in candidates(t, node, "monitor port/")}
    assert {"memif", "af-packet"} <= candidates(t, node, "port add x kind=")
    assert "lo" in candidates(t, node, "port add x ifname=")
    node.socket, control = node.stat_socket, node.socket
    assert candidates(t, node, "port set ") == {"vm1"}
    node.socket = "/none/such"
    assert candidates(t, node, "port set ") == set()
    assert "mtu=" in candidates(t, node, "port set x ")
    node.socket = control


def test_a_tab_in_a_real_bash(t):
    """In an interactive bash: TAB ends a word, and a key is left open for its value."""
    need("bash")
    node = t.node()
    node.ctl("vlan", "add", "1234")
    pid, fd = pty.fork()
    if pid == 0:
        env = dict(os.environ, PATH=f"{os.path.abspath(t.build)}:{os.environ['PATH']}", PS1="READY> ", TERM="dumb", HISTFILE="/dev/null")
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
    # Wide, so that no line is wrapped.
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 500, 0, 0))
    seen = ""

    def until(pattern):
        nonlocal seen
        end = time.monotonic() + DEADLINE_S
        while not re.search(pattern, seen):
            assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], f"no {pattern} in {seen!r}"
            seen += os.read(fd, 4096).decode(errors="replace")
        seen = ""

    until("READY> $")
    os.write(fd, f"source {SCRIPT}; bind 'set enable-bracketed-paste off'; echo status=$?\n".encode())
    until(r"status=0\r\n(.*\n)*READY> $")
    os.write(fd, f"sluicectl -s {node.socket} vl\t".encode())
    until(r"vlan $")
    os.write(fd, b"se\t")
    until(r"set $")
    os.write(fd, b"\t")
    until(r"1234 $")
    os.write(fd, b"ag\t")
    until(r"aging-s=$")
    os.write(fd, b"77; echo status=$?\n")
    until(r"status=0\r\n")
    assert node.get("vlan", "1234")["attrs"]["aging_s"] == 77
    os.write(fd, b"exit\n")
    os.waitpid(pid, 0)
    os.close(fd)

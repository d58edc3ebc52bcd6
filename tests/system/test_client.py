#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What others build on: the installed library, its header, and the two examples, run as a scheduler would run them."""

import json
import os
import re
import subprocess

from harness import Skip, added, need, run, wait_for

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
EXAMPLES = os.path.join(ROOT, "ctl", "client", "examples")


def install(t):
    """`make install` into a directory of the test's own; returns it."""
    need("make", "pkg-config", "cc")
    where = os.path.join(t.tmp, "root")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    # What is installed has been built: nothing is made anew here, least of all by several tests at once.
    run("make", "-s", "-o", "all", "-C", ROOT, "install", f"BUILD={os.path.relpath(t.build, ROOT)}", "PREFIX=/usr", f"DESTDIR={where}", env=env,
        seconds=60)
    return where


def pkg_config(root, *what):
    env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=root, PKG_CONFIG_LIBDIR=os.path.join(root, "usr/lib/pkgconfig"))
    return run("pkg-config", *what, "sluice", env=env).stdout.split()


def sanitizers(t):
    """A library built for a sanitizer needs a program that is, too."""
    names = run("nm", "-D", os.path.join(t.build, "libsluice.so.1")).stdout
    return ["-fsanitize=address,undefined"] if "__asan" in names else []


def has_method(node, name):
    return any(m["name"] == name for m in node.call("describe")["methods"])


def spec(ifname):
    return [
        {"object": "vlan", "name": "100", "attrs": {"name": "web"}},
        {"object": "port", "name": "web1", "attrs": {"kind": "af-packet", "ifname": ifname, "vlan": 100}},
    ]


class Program:
    """A program in the background, whose lines are read as they come."""

    def __init__(self, *argv, **kw):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)

    def line(self):
        return self.process.stdout.readline().rstrip("\n")


def hears_of_links(t, node, program):
    """An example that has applied the spec: its first line, and a link that goes."""
    first = program.line()
    match = re.fullmatch(r"generation (\d+): (\d+) changes in force", first)
    assert match and int(match[2]) == 2, first + program.process.stdout.read()
    assert {(o["object"], o["name"], o["owner"]) for o in added(node.call("get"))} == {
        ("vlan", "100", "scheduler"), ("port", "web1", "scheduler")}
    if not has_method(node, "watch"):
        program.process.wait(10)
        raise Skip("this daemon has no method watch: the example's events were not looked at")
    run("ip", "link", "set", "cable", "down")
    wait_for(lambda: "web1" in (line := program.line()) and "down" in line, "the example tells that web1 is down")
    node.stop()
    rest = program.process.communicate(timeout=10)[0]
    return rest


def cable():
    run("ip", "link", "add", "name", "cable", "type", "veth", "peer", "name", "far")
    run("ip", "link", "set", "cable", "up")
    run("ip", "link", "set", "far", "up")


def test_the_c_example_builds_against_what_is_installed(t):
    """Header, pkg-config file, library: what is installed is enough to build the example and to run it."""
    root = install(t)
    program = os.path.join(t.tmp, "scheduler")
    run("cc", "-Wall", "-Wextra", "-Werror", *sanitizers(t), os.path.join(EXAMPLES, "scheduler.c"), *pkg_config(root, "--cflags", "--libs"), "-o", program,
        seconds=60)
    needed = run("readelf", "-d", program).stdout
    assert "libsluice.so.1" in needed and "jansson" not in needed, needed
    node = t.node()
    cable()
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(root, "usr/lib"))
    done = run(program, node.socket, json.dumps([{"object": "vlan", "name": "5000"}]), check=False, env=env)
    assert done.returncode == 1 and "replace.objects[0]" in done.stderr and "vlan 5000: out of range" in done.stderr, done
    rest = hears_of_links(t, node, Program(program, node.socket, json.dumps(spec("cable")), env=env))
    assert "the daemon closed the connection" in rest, rest


def test_the_python_example_needs_nothing(t):
    """A socket and a JSON library are all that a scheduler needs."""
    node = t.node()
    cable()
    path = os.path.join(t.tmp, "spec.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"objects": [{"object": "vlan", "name": "5000"}]}, f)
    done = run(os.path.join(EXAMPLES, "scheduler.py"), node.socket, path, check=False)
    assert done.returncode == 1 and done.stderr.startswith("replace.objects[0].name: vlan 5000: out of range"), done
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"objects": spec("cable")}, f)
    rest = hears_of_links(t, node, Program(os.path.join(EXAMPLES, "scheduler.py"), node.socket, path))
    assert "the daemon has gone" in rest, rest


def test_the_library_exports_its_header_and_nothing_else(t):
    """Every function of the header is exported under SLUICE_1, and no other name; C++ takes the header; the archive links too."""
    header = os.path.join(ROOT, "include", "sluice", "sluice.h")
    with open(header, encoding="utf-8") as f:
        declared = set(re.findall(r"^[a-z].*?\b(sluice_[a-z_]+)\(", re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S), flags=re.M))
    lines = run("nm", "-D", "--defined-only", os.path.join(t.build, "libsluice.so.1")).stdout.split("\n")
    exported = {line.split()[2] for line in lines if " T " in line}
    assert len(declared) > 10 and exported == {f"{name}@@SLUICE_1" for name in declared}, (declared, exported)
    assert "Library soname: [libsluice.so.1]" in run("readelf", "-d", os.path.join(t.build, "libsluice.so.1")).stdout
    empty = os.path.join(t.tmp, "empty.cc")
    with open(empty, "w", encoding="ascii") as f:
        f.write("#include <sluice/sluice.h>\nint main() { sluice_close(nullptr); return sluice_version()[0] == 0; }\n")
    root = install(t)
    run("c++", "-Wall", "-Wextra", "-Werror", "-pedantic", *sanitizers(t), empty, *pkg_config(root, "--cflags"),
        os.path.join(root, "usr/lib/libsluice.a"), "-ljansson", "-o", os.path.join(t.tmp, "empty"), seconds=60)
    run(os.path.join(t.tmp, "empty"))


def test_what_install_installs(t):
    """Programs, library, header, pkg-config file, completion and manual are all there; pkg-config knows the version."""
    root = install(t)
    for path in ("sbin/sluiced", "bin/sluicectl", "include/sluice/sluice.h", "include/sluice/drop.h", "lib/libsluice.so", "lib/libsluice.so.1",
                 "lib/libsluice.a", "lib/pkgconfig/sluice.pc", "share/bash-completion/completions/sluicectl",
                 "lib/cni/sluice-cni", "share/doc/sluice/examples/10-sluice.conflist", "share/man/man8/sluice-cni.8", "share/man/man8/sluiced.8", "share/man/man8/sluicectl.8", "share/man/man5/sluiced.conf.5", "share/man/man7/sluice-protocol.7"):
        assert os.path.exists(os.path.join(root, "usr", path)), path
    assert pkg_config(root, "--modversion")
    assert pkg_config(root, "--libs")[-1] == "-lsluice"
    assert "-ljansson" in pkg_config(root, "--static", "--libs")

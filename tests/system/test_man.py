#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The manual is complete: whatever the daemon describes and the programs take is in it, and man takes the pages without a word."""

import json
import os
import re

from harness import need, run

PAGES = ("sluiced.8", "sluicectl.8", "sluiced.conf.5", "sluice-protocol.7", "sluice-cni.8")


def page(t, name):
    """A page as a reader sees it, in lines that are not broken."""
    need("man", "groff")
    env = dict(os.environ, MANWIDTH="2000", MANROFFOPT="", LC_ALL="C.UTF-8", MAN_KEEP_FORMATTING="")
    text = run("man", "-l", "-E", "ascii", os.path.join(t.build, "man", name), env=env, seconds=60).stdout
    return re.sub(r".\x08", "", text)


def entries(text):
    """What stands at the beginning of an entry of a list: {term: the paragraph below}."""
    return {m[1].split(" ")[0].rstrip(","): m[2] for m in re.finditer(r"^ {7}(\S.*)\n {11}(\S.*(?:\n+ {11}\S.*)*)", text, flags=re.M)}


def squeeze(text):
    return re.sub(r"\s+", " ", text)


def test_pages_format_without_a_warning(t):
    """man --warnings has nothing to say, and each page has the sections that readers look for."""
    for name in PAGES:
        need("man", "groff")
        path = os.path.join(t.build, "man", name)
        done = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", path, env=dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8"), seconds=60)
        assert not done.stderr, f"{name}: {done.stderr}"
        text = page(t, name)
        for section in ("NAME", "DESCRIPTION", "SEE ALSO"):
            assert re.search(rf"^{section}$", text, flags=re.M), f"{name}: no {section}"


def test_everything_that_describe_tells_is_in_the_protocol_page(t):
    """Objects, attributes, methods, parameters, events and drop reasons, each with its text; attributes also in sluicectl(8), as typed."""
    schema = t.node().call("describe")
    protocol, tool = page(t, "sluice-protocol.7"), page(t, "sluicectl.8")
    terms, keys = entries(protocol), entries(tool)
    for thing in schema["objects"] + schema["methods"]:
        assert re.search(rf"^ {{3}}{thing['name']}$", protocol, flags=re.M), f"{thing['name']}: no section"
        assert thing["doc"] in squeeze(protocol), f"{thing['name']}: {thing['doc']}"
    for thing in schema["objects"]:
        for attr in thing["attrs"]:
            key = attr["name"].replace("_", "-")
            assert attr["name"] in terms and attr["doc"] in squeeze(protocol), f"{thing['name']} {attr['name']}"
            assert key in keys and attr["doc"] in squeeze(tool), f"{thing['name']} {key}"
            for choice in attr.get("choices", []):
                assert choice in squeeze(tool), f"{key}={choice}"
    for method in schema["methods"]:
        for param in method["params"]:
            assert param["name"] in terms and param["doc"] in squeeze(protocol), f"{method['name']} {param['name']}"
    for event in schema["events"]:
        assert event["doc"] in terms[event["name"]] and event["doc"] in keys[event["name"]], event
    reasons = entries(page(t, "sluiced.8"))
    for drop in schema["drops"]:
        assert drop["doc"] in squeeze(terms[drop["name"]]) and drop["doc"] in squeeze(reasons[drop["name"]]), drop
    assert len(schema["drops"]) > 20 and len(schema["events"]) > 10 and len(schema["methods"]) >= 6


def test_every_option_is_in_its_page(t):
    """What --help lists, the manual explains, with the same words."""
    listed = dict(re.findall(r"^  --([a-z-]+)[^\n]*?  +(\S[^\n]*)$", run(os.path.join(t.build, "sluiced"), "--help").stdout, flags=re.M))
    options, keys = entries(page(t, "sluiced.8")), entries(page(t, "sluiced.conf.5"))
    assert {"config", "socket", "cores", "check", "help"} <= set(listed), listed
    for name, doc in listed.items():
        words = doc.split(" (")[0]
        assert words in squeeze(options["--" + name]), f"--{name}: {words}"
        if name not in ("config", "check", "cleanup", "help", "version"):
            assert words in squeeze(keys[name]), f"{name}: {words}"

    usage = run(os.path.join(t.build, "sluicectl"), "help").stdout
    tool = squeeze(page(t, "sluicectl.8"))
    listed = re.findall(r"^  (?:-(\w), |    )--([a-z-]+)(?: [A-Z]+)? +(\S.*)$", usage, flags=re.M)
    assert len(listed) >= 10, usage
    for letter, name, doc in listed:
        assert (f"-{letter}, --{name}" if letter else f"--{name}") in tool and doc in tool, name
    commands = re.findall(r"^  ([a-z]+) +\S.*?  +(\S.*)$", usage.split("\n\n", 2)[2], flags=re.M)
    assert {"port", "vlan", "fdb", "monitor", "apply"} <= {name for name, _ in commands}, commands
    for name, doc in commands:
        assert name in tool and doc in tool, f"{name}: {doc}"
    for code in ("0", "1", "2", "3", "65", "124"):
        assert re.search(rf"^ {{7}}{code}$", page(t, "sluicectl.8"), flags=re.M), f"exit status {code}"


def test_every_key_of_a_cni_configuration_is_in_its_page(t):
    """What sluice-cni takes, sluice-cni(8) explains; its example, the README's and the installed one are one and the same."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

    def read(*path):
        with open(os.path.join(root, *path), encoding="utf-8") as f:
            return f.read()

    text = page(t, "sluice-cni.8")
    known = re.search(r"known\[\] = \{(.*?)NULL", read("ctl", "cni", "conf.c"), flags=re.S)[1]
    keys = re.findall(r'"(\w+)"', known)
    described = set(re.findall(r"\w+", " ".join(re.findall(r"^ {7}(\w+(?:, \w+)*)$", text, flags=re.M))))
    assert len(keys) > 20 and set(keys) <= described, set(keys) - described
    for code in re.findall(r"^\tCNI_\w+ = (\d+),", read("ctl", "cni", "cni.h"), flags=re.M):
        assert code == "0" or re.search(rf"^ {{7}}{code}$", text, flags=re.M), f"error {code}"
    example = json.loads(read("ctl", "cni", "10-sluice.conflist"))
    assert example == json.loads(re.search(r"^```\n(\{.*?\n\})\n```", read("README.md"), flags=re.M | re.S)[1])
    shown = re.search(r"^ +(\{\n.*?)\n\n +A key that is not known", text, flags=re.M | re.S)[1]
    assert example == json.loads(shown), shown

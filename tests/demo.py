#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make demo: the main job on a small node, from nothing to nothing.

    demo.py [--build DIR]

           node "demo" (sluiced)                     rack (a second sluiced, as the top-of-rack switch)
   web1 --- VLAN 100 --+                            +--- VLAN 100 --- rack100
   web2 --- VLAN 100 --+== uplink: tags 100, 200 ===+
   db1  --- VLAN 200 --+                            +--- VLAN 200 --- rack200
   guest -- VLAN 100, may speak only as 10.0.0.13

Everything lives in namespaces of a sandbox (tests/system/sandbox.py), which goes with this process, whatever happens.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "system"))
# pylint: disable=wrong-import-position
import frames  # noqa: E402
import sandbox  # noqa: E402
from harness import Test, wait_for  # noqa: E402

COLOUR = sys.stdout.isatty()


def style(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text=""):
    print(text, flush=True)


def head(text):
    say()
    say(style("1", text))


class Shell:
    """Runs sluicectl against the node as a person would, and shows it."""

    def __init__(self, build, node):
        self.tool, self.node = os.path.join(build, "sluicectl"), node

    def __call__(self, *words, show=True, refused=False):
        say(style("36", "$ sluicectl " + " ".join(words)))
        done = subprocess.run([self.tool, "-s", self.node.socket, *words], capture_output=True, text=True, check=False)
        if (done.returncode != 0) != refused:
            raise SystemExit(f"demo: exit status {done.returncode}: {done.stdout}{done.stderr}")
        if show or refused:
            for line in (done.stdout + done.stderr).rstrip().splitlines():
                say("  " + line)


def round_trip(endpoint, address):
    """Median of ten pings in milliseconds, or None if nothing answers."""
    done = endpoint.run("ping", "-n", "-c", "10", "-i", "0.02", "-W", "1", address, check=False)
    times = sorted(float(t) for t in re.findall(r"time=([\d.]+) ms", done.stdout))
    return times[len(times) // 2] if times else None


def table(hosts):
    addresses = {h.name: a for h, a in hosts}
    say("  " + " " * 9 + "".join(f"{name:>10}" for name in addresses))
    for host, _ in hosts:
        row = []
        for name, address in addresses.items():
            if name == host.name:
                row.append(f"{'-':>10}")
                continue
            # Where no answer is expected, one question is enough.
            ms = round_trip(host, address) if SAME[host.name] == SAME[name] else silence(host, address)
            row.append(f"{ms:>7.2f} ms" if ms is not None else style("33", f"{'no':>10}"))
        say(f"  {host.name:>9}" + "".join(row))


SAME = {"web1": 100, "web2": 100, "guest": 100, "rack100": 100, "db1": 200, "rack200": 200}


def silence(host, address):
    done = host.run("ping", "-n", "-c", "1", "-W", "0.2", address, check=False)
    match = re.search(r"time=([\d.]+) ms", done.stdout)
    return float(match[1]) if match else None


def demo(t, build):
    """All hosts have addresses in one subnet, so that only the VLANs keep them apart."""
    say(style("1", "Sluice: a VLAN switch on DPDK, programmed over a Unix socket."))
    say(__doc__.split("\n\n")[2].rstrip())

    hosts = [(t.endpoint(name, addr=[f"{a}/24"]), a) for name, a in
             (("web1", "10.0.0.11"), ("web2", "10.0.0.12"), ("guest", "10.0.0.13"), ("db1", "10.0.0.21"))]
    subprocess.run(["ip", "netns", "add", "tor"], check=True)
    rack = [(t.endpoint(name, node_netns="tor", addr=[f"{a}/24"]), a) for name, a in (("rack100", "10.0.0.101"), ("rack200", "10.0.0.201"))]
    subprocess.run(["ip", "link", "add", "uplink", "type", "veth", "peer", "name", "down", "netns", "tor"], check=True)
    subprocess.run(["ip", "link", "set", "dev", "uplink", "up"], check=True)
    subprocess.run(["ip", "-n", "tor", "link", "set", "dev", "down", "up"], check=True)

    tor = t.node("tor", netns="tor", cores="0", memory=None)
    tor.add_port("down", kind="af-packet", ifname="down", vlan_mode="trunk", trunks=[100, 200])
    tor.add_port("rack100", kind="af-packet", ifname="rack100", vlan=100)
    tor.add_port("rack200", kind="af-packet", ifname="rack200", vlan=200)

    head("1. A node: no huge pages, no NIC")
    node = t.node("demo", memory=None)
    ctl = Shell(build, node)
    ctl("node", "show")

    head("2. Program it")
    ctl("vlan", "add", "100", "name=web", show=False)
    ctl("vlan", "add", "200", "name=db", show=False)
    ctl("port", "add", "uplink", "kind=af-packet", "ifname=uplink", "vlan-mode=trunk", "trunks=100,200", show=False)
    ctl("port", "add", "web1", "kind=af-packet", "ifname=web1", "vlan=100", show=False)
    ctl("port", "add", "web2", "kind=af-packet", "ifname=web2", "vlan=100", show=False)
    ctl("port", "add", "db1", "kind=af-packet", "ifname=db1", "vlan=200", show=False)
    ctl("port", "add", "guest", "kind=af-packet", "ifname=guest", "vlan=100", f"mac={hosts[2][0].mac}", "ips=10.0.0.13", show=False)
    ctl("port", "add", "oops", "kind=af-packet", "ifname=web1", "vlan=4095", refused=True)
    ctl("port", "add", "oops", "kind=af-packet", "ifname=web1", "vlan=100", refused=True)
    node.wait_link("uplink", "web1", "web2", "db1", "guest")
    ctl("port", "show")

    head("3. Who reaches whom: median round-trip time (one VLAN a group, one subnet for all)")
    table(hosts + rack)

    head("4. What was refused, and counted under its reason")
    guest, web1 = hosts[2][0], hosts[0][0]
    wire = guest.wire()
    say("  guest sends 5 frames from a stolen MAC address, 5 from web1's IP address, 5 tagged for VLAN 200:")

    def lie(src, ip, tags=()):
        return frames.eth(web1.mac, src, tags, frames.ETH_IPV4, frames.udp(ip, "10.0.0.11", 7, 7, b"lie"))

    for _ in range(5):
        wire.send(lie("02:00:00:00:00:99", "10.0.0.13"), lie(guest.mac, "10.0.0.11"), lie(guest.mac, "10.0.0.13", ["8100:200:0:0"]))
    for reason in ("spoof-mac", "spoof-ipv4", "vlan-ingress"):
        wait_for(lambda why=reason: node.drops("guest", why) >= 5, f"5 drops as {reason}")
    ctl("stats", "port", "guest")

    head("5. A limit: 10 Mbit/s set is 10 Mbit/s got")
    ctl("port", "set", "web1", "out-bps=10mbit", show=False)
    got = measure(hosts[1][0], hosts[0][0], "10.0.0.11")
    say(f"  UDP from web2 to web1, 100 Mbit/s offered for 3 s: {got:.2f} Mbit/s of layer 2 arrived")
    ctl("port", "set", "web1", "out-bps=0", show=False)

    head("6. Addresses learned")
    ctl("fdb", "show", "vlan=100")


def measure(source, sink, address):
    """Layer 2 Mbit/s that arrived: UDP payload of 1,000 bytes is a frame of 1,042."""
    server = sink.popen("iperf3", "-s", "-1", "-J", stdout=subprocess.PIPE)
    wait_for(lambda: ":5201" in sink.run("ss", "-Hltn").stdout, "iperf3's port")
    source.run("iperf3", "-c", address, "-u", "-b", "100M", "-l", "1000", "-t", "3", seconds=30)
    out, _ = server.communicate(timeout=30)

    total = json.loads(out)["end"]["sum"]
    return (total["packets"] - total["lost_packets"]) * 1042 * 8 / total["seconds"] / 1e6


def by_hand():
    head("Go on by hand")
    say("  make demo has removed everything that it made. To keep a node of your own:")
    for line in ("ip netns add box && ip link add box0 type veth peer name eth0 netns box && ip link set box0 up",
                 "build/sluiced --socket /tmp/s.sock --stat-socket /tmp/t.sock &",
                 "build/sluicectl -s /tmp/s.sock vlan add 100",
                 "build/sluicectl -s /tmp/s.sock port add box kind=af-packet ifname=box0 vlan=100",
                 "build/sluicectl -s /tmp/s.sock port help     # every attribute, with its range and unit"):
        say("  " + style("36", line))
    say("  README.md, A first session, goes on from there.")


def main():
    parser = argparse.ArgumentParser(description="Run the main job on a small node made of namespaces, and show it.")
    parser.add_argument("--build", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    if options.inside:
        sandbox.settle(options.inside)
        t = Test(options.inside, build)
        demo(t, build)
        t.finish()
        return 0
    if os.geteuid() != 0:
        parser.error("namespaces need root")
    tmp = tempfile.mkdtemp(prefix="sluice-demo.")
    try:
        status = subprocess.run(sandbox.command([sys.executable, os.path.abspath(__file__), "--build", build, "--inside", tmp]), check=False)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    if status.returncode == 0:
        by_hand()
    return status.returncode


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sluice-cni as runtimes run it: environment, stdin, stdout. The daemon is fake_node.py's, which really makes the veth."""

import concurrent.futures
import json
import os
import re
import stat
import subprocess
import time

from fake_node import FakeNode, Fault, ip
from harness import need, run, wait_for

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
IPAM_DIR = "/usr/lib/cni"


class Cni:
    """The plugin with its environment, a fake node and a container."""

    def __init__(self, t, **kw):
        self.t, self.program = t, os.path.join(t.build, "sluice-cni")
        self.node = FakeNode(os.path.join(t.tmp, "cni.sock"), **{"real": True, **kw})
        self.path = os.path.join(t.tmp, "plugins")
        os.mkdir(self.path)
        run("ip", "netns", "add", "box")
        self.env = {"CNI_CONTAINERID": "c0ffee", "CNI_NETNS": "/run/netns/box", "CNI_IFNAME": "eth0", "CNI_PATH": f"/nowhere:{self.path}:{IPAM_DIR}"}

    def conf(self, version="1.1.0", **kw):
        conf = {"cniVersion": version, "name": "red", "type": "sluice-cni", "vlan": 100, "socket": self.node.socket, **kw}
        return {k: v for k, v in conf.items() if v is not None}

    def host_local(self, **kw):
        need(f"{IPAM_DIR}/host-local")
        return {"type": "host-local", "dataDir": os.path.join(self.t.tmp, "ipam"), "subnet": "10.9.0.0/24", **kw}

    def reserved(self, network="red"):
        where = os.path.join(self.t.tmp, "ipam", network)
        return sorted(n for n in os.listdir(where) if n[0].isdigit()) if os.path.isdir(where) else []

    def plugin(self, name, text):
        """An IPAM plugin of the test's own."""
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, stat.S_IRWXU)
        return {"type": name}

    def raw(self, command, stdin, seconds=20, **env):
        full = {"PATH": os.environ["PATH"], **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, "CNI_COMMAND": command,
                **self.env, **env}
        return subprocess.run([self.program], input=stdin, capture_output=True, env={k: v for k, v in full.items() if v is not None},
                              timeout=seconds, check=False)

    def start(self, command, conf):
        """The plugin, running; what it prints is lost."""
        full = {"PATH": os.environ["PATH"], **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, "CNI_COMMAND": command, **self.env}
        running = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=full)
        running.stdin.write(json.dumps(conf).encode())
        running.stdin.close()
        return running

    def call(self, command, conf, **env):
        """Returns what it printed, decoded; None for nothing."""
        done = self.raw(command, json.dumps(conf).encode(), **env)
        assert done.returncode == 0, (command, done.stdout.decode(), done.stderr.decode())
        return json.loads(done.stdout) if done.stdout else None

    def fails(self, command, conf, code, says, **env):
        """It must fail with this code; returns the error."""
        done = self.raw(command, conf if isinstance(conf, bytes) else json.dumps(conf).encode(), **env)
        assert done.returncode == 1, (done.returncode, done.stdout.decode(), done.stderr.decode())
        error = json.loads(done.stdout)
        assert set(error) <= {"cniVersion", "code", "msg", "details"} and error["cniVersion"] in VERSIONS, error
        assert error["code"] == code and re.search(says, error["msg"]), error
        return error

    def inner(self, ifname="eth0", netns="box"):
        done = run("ip", "-j", "-d", "addr", "show", "dev", ifname, netns=netns, check=False)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def clean(self):
        """Nothing is left: no port, no netdev, no reservation."""
        assert not self.node.ports() and not self.inner() and not self.reserved(), (self.node.ports(), self.reserved())


def only(mapping):
    assert len(mapping) == 1, mapping
    return next(iter(mapping.items()))


# --- ADD, in every version ------------------------------------------------------------------------------------------------------------


def test_add_in_every_version(t):
    """Each version gets its own form of result; addresses, routes and MTU are really in the container; CHECK agrees; DEL leaves nothing."""
    c = Cni(t)
    ipam = c.host_local(routes=[{"dst": "0.0.0.0/0"}, {"dst": "192.168.7.0/24", "gw": "10.9.0.5"}, {"dst": "192.168.8.0/24"}],
                        ranges=[[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]])
    del ipam["subnet"]
    for version in VERSIONS:
        conf = c.conf(version, ipam=ipam, mtu=1400, dns={"nameservers": ["10.9.0.53"], "search": ["red.test"]})
        result = c.call("ADD", conf)
        assert result["cniVersion"] == version and set(result) == {"cniVersion", "interfaces", "ips", "routes", "dns"}
        host, inner = result["interfaces"]
        assert host["name"].startswith("slc") and "sandbox" not in host, result
        assert inner["name"] == "eth0" and inner["sandbox"] == "/run/netns/box" and inner["mac"] == c.inner()["address"]
        assert ("mtu" in inner) == (version == "1.1.0") and c.inner()["mtu"] == 1400
        assert [i["interface"] for i in result["ips"]] == [1, 1]
        assert [i.get("version") for i in result["ips"]] == (["4", "6"] if version < "1.0.0" else [None, None])
        there = {f"{a['local']}/{a['prefixlen']}" for a in c.inner()["addr_info"]}
        assert {i["address"] for i in result["ips"]} <= there and result["ips"][0]["gateway"] == "10.9.0.1"
        assert result["dns"] == {"nameservers": ["10.9.0.53"], "search": ["red.test"]}
        assert {"dst": "192.168.7.0/24", "gw": "10.9.0.5"} in result["routes"]
        routes = {r["dst"]: r.get("gateway") for r in json.loads(run("ip", "-j", "route", netns="box").stdout)}
        assert routes["default"] == "10.9.0.1" and routes["192.168.7.0/24"] == "10.9.0.5" and routes["192.168.8.0/24"] == "10.9.0.1", routes

        name, port = only(c.node.ports("cni"))
        assert name.startswith("c0ffee-eth0-") and len(name) <= 63
        attrs = port["attrs"]
        assert attrs["kind"] == "veth" and attrs["vlan"] == 100 and attrs["gateway"] == ["10.9.0.1"] and attrs["mac"] == inner["mac"]
        assert attrs["addr"] == [i["address"] for i in result["ips"]] and attrs["ips"] == [i["address"].split("/")[0] for i in result["ips"]]
        if version >= "0.4.0":
            assert c.call("CHECK", {**conf, "prevResult": result}) is None
        assert c.call("DEL", {**conf, "prevResult": result}) is None
        assert c.call("DEL", conf) is None
        c.clean()
    assert c.node.objects["vlan", "100"]["owner"] == "cni"


def test_route_attributes_of_1_1_0(t):
    """priority, table, mtu and advmss of a route are set and reported in 1.1.0; older versions do not show what they do not know."""
    c = Cni(t)
    route = {"dst": "192.168.7.0/24", "gw": "10.9.0.5", "priority": 77, "mtu": 1300, "advmss": 1200}
    aside = {"dst": "0.0.0.0/0", "gw": "10.9.0.6", "table": 1000}
    ipam = c.plugin("fixed", "#!/bin/sh\ncat > /dev/null\necho '%s'\n" % json.dumps({"ips": [{"address": "10.9.0.2/24"}], "routes": [route, aside]}))
    assert c.call("ADD", c.conf(ipam=ipam))["routes"] == [route, aside]
    there = json.loads(run("ip", "-j", "route", "show", "192.168.7.0/24", netns="box").stdout)[0]
    assert there["metric"] == 77 and there["metrics"] == [{"mtu": 1300, "advmss": 1200}], there
    assert "10.9.0.6" in run("ip", "route", "show", "table", "1000", netns="box").stdout
    assert "gateway" not in only(c.node.ports())[1]["attrs"]
    c.call("DEL", c.conf(ipam=ipam))
    assert c.call("ADD", c.conf("1.0.0", ipam=ipam))["routes"] == [{"dst": r["dst"], "gw": r["gw"]} for r in (route, aside)]


def test_mac_and_addresses_by_name(t):
    """runtimeConfig before args.cni before CNI_ARGS; without IPAM the addresses asked for are the addresses."""
    c = Cni(t)
    args = "IgnoreUnknown=1;K8S_POD_NAME=web;MAC=02:00:00:00:00:AA;IP=10.9.0.30/24;GATEWAY=10.9.0.1"
    meant = {"args": {"cni": {"mac": "02:00:00:00:00:bb", "ips": ["10.9.0.20/24"], "labels": [{"key": "a"}]}},
             "runtimeConfig": {"mac": "02:00:00:00:00:cc", "ips": ["10.9.0.10/24", "fd00:9::10/64"]}}
    for drop, mac, ips in (((), "02:00:00:00:00:cc", ["10.9.0.10/24", "fd00:9::10/64"]),
                           (("runtimeConfig",), "02:00:00:00:00:bb", ["10.9.0.20/24"]),
                           (("runtimeConfig", "args"), "02:00:00:00:00:aa", ["10.9.0.30/24"])):
        conf = c.conf(**{k: v for k, v in meant.items() if k not in drop})
        result = c.call("ADD", conf, CNI_ARGS=args)
        assert result["interfaces"][1]["mac"] == mac == c.inner()["address"] and [i["address"] for i in result["ips"]] == ips, result
        assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.9.0.1"}] and only(c.node.ports())[1]["attrs"]["gateway"] == ["10.9.0.1"]
        c.call("DEL", conf)
    c.clean()


def test_a_reserved_address_by_ipam(t):
    """IPAM sees the same environment and configuration: what is asked for by CNI_ARGS or capability is what is reserved. static works too."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local())
    assert c.call("ADD", conf, CNI_ARGS="IgnoreUnknown=1;MAC=02:00:00:00:00:01;IP=10.9.0.77")["ips"][0]["address"] == "10.9.0.77/24"
    c.call("DEL", conf)
    conf = c.conf(ipam=c.host_local(), runtimeConfig={"ips": ["10.9.0.78"]})
    assert c.call("ADD", conf)["ips"][0]["address"] == "10.9.0.78/24"
    c.call("DEL", conf)
    need(f"{IPAM_DIR}/static")
    static = {"type": "static", "addresses": [{"address": "10.9.0.79/24", "gateway": "10.9.0.1"}], "dns": {"nameservers": ["9.9.9.9"]}}
    result = c.call("ADD", c.conf(ipam=static))
    assert result["ips"][0]["address"] == "10.9.0.79/24" and result["dns"] == {"nameservers": ["9.9.9.9"]}
    c.call("DEL", c.conf(ipam=static))
    c.clean()


def test_rates_and_their_directions(t):
    """The container's egress is the port's in; bits become bytes; the runtime's rate stands in the place of the configuration's."""
    c = Cni(t, real=False)
    c.node.refuse = Fault("seen", "seen enough")

    def attrs(**kw):
        c.node.calls.clear()
        c.fails("ADD", c.conf(**kw), 101, "seen enough")
        return next(p["ops"][-1]["attrs"] for m, p in c.node.calls if m == "apply")

    limits = {"inBps": 1, "inPps": 2, "inBurstBytes": 3, "outBps": 4, "outPps": 5, "outBurstBytes": 6}
    got = attrs(**limits, isolated=True, **{"class": "online"})
    assert got == {"kind": "veth", "netns": "/run/netns/box", "ifname": "eth0", "label": "c0ffee", "vlan": 100, "in_bps": 1, "in_pps": 2, "in_burst_bytes": 3,
                   "out_bps": 4, "out_pps": 5, "out_burst_bytes": 6, "isolated": True, "class": "online"}, got
    got = attrs(**limits, runtimeConfig={"bandwidth": {"egressRate": 10**10, "egressBurst": 1601, "ingressRate": 2048}})
    assert (got["in_bps"], got["in_burst_bytes"], got["out_bps"], got["out_pps"]) == (10**10, 201, 2048, 5) and "out_burst_bytes" not in got, got
    got = attrs(runtimeConfig={"bandwidth": {"ingressRate": 8000, "ingressBurst": 2**31 - 1, "egressRate": 0, "egressBurst": 0}})
    assert got["out_bps"] == 8000 and not {"out_burst_bytes", "in_bps", "in_burst_bytes"} & set(got), got
    c.fails("ADD", c.conf(runtimeConfig={"bandwidth": {"ingressBurst": 1}}), 7, "ingressBurst without ingressRate")


def test_spoofcheck(t):
    """On where addresses are known; off on request, or where there are none. The MAC then is the kernel's unless asked for."""
    c = Cni(t)
    for kw, has in (({"runtimeConfig": {"ips": ["10.9.0.2/24"]}}, {"mac", "ips"}), ({"runtimeConfig": {"ips": ["10.9.0.2/24"]}, "spoofcheck": False}, set()),
                    ({}, set()), ({"spoofcheck": True}, {"mac"}), ({"runtimeConfig": {"mac": "02:00:00:00:00:07"}}, {"mac"})):
        result = c.call("ADD", c.conf(**kw))
        attrs = only(c.node.ports())[1]["attrs"]
        assert {"mac", "ips"} & set(attrs) == has, (kw, attrs)
        assert result["interfaces"][1]["mac"] == c.inner()["address"]
        assert int(result["interfaces"][1]["mac"][:2], 16) & 3 == 2
        c.call("DEL", c.conf(**kw))


def test_a_chain(t):
    """The next plugin of a chain gets the result, and a prevResult that the first one has is passed on, indices and all."""
    need(f"{IPAM_DIR}/tuning")
    c = Cni(t)
    prev = {"cniVersion": "0.4.0", "interfaces": [{"name": "lo", "sandbox": "/run/netns/box"}],
            "ips": [{"version": "4", "address": "127.0.0.1/8", "interface": 0}], "dns": {"nameservers": ["9.9.9.9"]}, "routes": []}
    conf = c.conf("0.4.0", ipam=c.host_local(), prevResult=prev)
    result = c.call("ADD", conf)
    assert [i["name"] for i in result["interfaces"]][::2] == ["lo", "eth0"] and [i["interface"] for i in result["ips"]] == [0, 2]
    assert result["dns"] == {"nameservers": ["9.9.9.9"]}
    tuning = {"cniVersion": "0.4.0", "name": "red", "type": "tuning", "mac": "02:00:00:00:00:99", "prevResult": result}
    done = subprocess.run([f"{IPAM_DIR}/tuning"], input=json.dumps(tuning).encode(), capture_output=True, env={**c.env, "CNI_COMMAND": "ADD"},
                          check=True)
    last = json.loads(done.stdout)
    assert last["interfaces"][2]["mac"] == "02:00:00:00:00:99" == c.inner()["address"]
    assert c.call("CHECK", {**conf, "prevResult": last}) is None
    c.fails("CHECK", {**conf, "prevResult": result}, 102, "MAC address is 02:00:00:00:00:99")


# --- the node -------------------------------------------------------------------------------------------------------------------------


def test_somebody_elses_vlan(t):
    """A VLAN that is there, with limits of its owner's, is used as it is; a port of our name that is another's is not touched."""
    c = Cni(t)
    c.node.add("vlan", "100", "scheduler", storm_pps=100)
    result = c.call("ADD", c.conf())
    name = only(c.node.ports("cni"))[0]
    assert c.node.objects["vlan", "100"]["attrs"] == {"storm_pps": 100} and result["ips" if "ips" in result else "interfaces"]
    c.call("DEL", c.conf())
    c.node.add("port", name, "scheduler", kind="memif", vlan=100)
    c.fails("ADD", c.conf(), 101, "belongs to scheduler")
    done = c.raw("DEL", json.dumps(c.conf()).encode())
    assert done.returncode == 0 and not done.stdout and b"left alone" in done.stderr, done
    assert name in c.node.ports("scheduler")


def test_a_port_left_by_an_earlier_life_is_replaced(t):
    """After a loss of power the state knows the port, and nobody said DEL: the next ADD of the same attachment takes its place."""
    c = Cni(t)
    c.call("ADD", c.conf())
    name = only(c.node.ports("cni"))[0]
    run("ip", "netns", "del", "box")
    run("ip", "netns", "add", "box")
    c.node.add("port", name, "cni", kind="veth", vlan=100, netns="/run/netns/old", ifname="eth0")
    c.call("ADD", c.conf())
    assert only(c.node.ports("cni"))[1]["attrs"]["netns"] == "/run/netns/box" and c.inner()
    c.fails("ADD", c.conf(), 4, "CNI_IFNAME eth0: is in the container already")


def test_accepted_is_not_yet_in_force(t):
    """ADD waits until its port is; in vain, it says why and takes the port and the address away."""
    c = Cni(t)
    c.node.lag = True
    with concurrent.futures.ThreadPoolExecutor() as pool:
        add = pool.submit(c.call, "ADD", c.conf())
        wait_for(lambda: c.node.watchers or add.done(), "it watches")
        assert not add.done(), add.result()
        c.node.settle()
        assert add.result()["interfaces"]
    c.call("DEL", c.conf())
    c.node.real = False
    c.node.fault = {"name": "no-trunk", "message": "there is no trunk", "hint": "make one"}
    error = c.fails("ADD", c.conf(ipam=c.host_local(), timeoutMs=3000), 11, "there is no trunk")
    assert error["details"] == "make one"
    c.clean()


def test_a_port_that_cannot_be_made(t):
    """Whatever fails after IPAM has answered, its address is given back and the port is gone."""
    c = Cni(t)
    ipam = c.host_local(routes=[{"dst": "192.168.7.0/24", "gw": "172.16.0.1"}])
    c.fails("ADD", c.conf(ipam=ipam), 7, "route 1")
    c.clean()
    c.node.refuse = Fault("out-of-range", "mtu 99999: out of range", "ops[1].attrs.mtu", -32602, "take less")
    assert c.fails("ADD", c.conf(ipam=ipam, mtu=99999), 7, "mtu 99999: out of range")["details"] == "take less"
    c.clean()
    with open("/dev/full", "w", encoding="ascii") as full:
        c.node.refuse = None
        done = subprocess.run([c.program], input=json.dumps(c.conf(ipam=c.host_local())).encode(), stdout=full, stderr=subprocess.PIPE,
                              env={**c.env, "CNI_COMMAND": "ADD"}, check=False)
    assert done.returncode == 1
    c.clean()


def test_no_daemon(t):
    """ADD, CHECK, DEL and GC say try again; STATUS says not available; DEL gives the address back all the same, and is complete later."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local())
    result = c.call("ADD", conf)
    gone = {**conf, "socket": os.path.join(t.tmp, "nobody")}
    c.fails("ADD", {**gone, "name": "other"}, 11, "no daemon is running there", CNI_IFNAME="eth1")
    c.fails("CHECK", {**gone, "prevResult": result}, 11, "no daemon")
    c.fails("STATUS", gone, 50, "no daemon")
    c.fails("GC", {**gone, "cni.dev/valid-attachments": []}, 11, "no daemon")
    assert c.reserved()
    c.fails("DEL", gone, 11, "no daemon")
    assert not c.reserved() and c.node.ports()
    c.call("DEL", conf)
    c.clean()
    c.node.mute = True
    start = time.monotonic()
    c.fails("ADD", c.conf(timeoutMs=200), 11, "timed out")
    assert time.monotonic() - start < 10


def test_status(t):
    """A daemon that has ports of kind veth is ready; one that has none is not; IPAM is asked as far as it knows the question."""
    c = Cni(t)
    assert c.call("STATUS", c.conf(ipam=c.host_local()), CNI_CONTAINERID=None, CNI_NETNS=None, CNI_IFNAME=None) is None
    says = '#!/bin/sh\ncat > /dev/null\n[ $CNI_COMMAND = VERSION ] && echo \'{"supportedVersions":["1.1.0"]}\' && exit\n'
    ipam = c.plugin("drained", says + 'echo \'{"code":51,"msg":"no addresses left"}\'\nexit 1\n')
    c.fails("STATUS", c.conf(ipam=ipam), 51, "drained: no addresses left")
    c.node.veth = False
    c.fails("STATUS", c.conf(), 50, "no ports of kind veth")


def test_a_full_daemon_is_asked_again(t):
    """32 clients are all that a daemon takes: more containers at once wait for their turn."""
    c = Cni(t, real=False)
    c.node.full = 5
    assert c.call("STATUS", c.conf()) is None and c.node.full == 0
    c.node.full = 10**6
    c.fails("STATUS", c.conf(timeoutMs=3000), 50, "32 clients are connected")


def many(c, conf):
    """24 namespaces, and what calls the plugin for one of them, from any thread."""
    boxes = [f"many{i}" for i in range(24)]
    for box in boxes:
        run("ip", "netns", "add", box)
    return boxes, lambda command, box: c.call(command, conf, CNI_CONTAINERID=f"0123456789abcdef-{box}", CNI_NETNS=f"/run/netns/{box}")


def test_many_at_once(t):
    """Containers start in parallel: no two get one address, one name or one MAC, and all go again."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local())
    boxes, one = many(c, conf)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda box: one("ADD", box), boxes))
        assert len({r["ips"][0]["address"] for r in results}) == len({r["interfaces"][1]["mac"] for r in results}) == len(boxes)
        assert len(c.node.ports("cni")) == len(boxes) == len(c.reserved())
        list(pool.map(lambda box: one("DEL", box), boxes))
    c.clean()


def test_killed_in_the_middle(t):
    """An ADD that is killed once its address is reserved, and one that is while its port is not in force yet: DEL takes away what they left."""
    c = Cni(t)
    script = f"#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exec {IPAM_DIR}/host-local\n{IPAM_DIR}/host-local > /dev/null\nkill -KILL $PPID\n"
    conf = c.conf("1.0.0", ipam={**c.host_local(), **c.plugin("kills", script)})
    assert c.raw("ADD", json.dumps(conf).encode()).returncode == -9
    assert len(c.reserved()) == 1 and not c.node.ports()
    assert c.call("DEL", conf) is None
    c.clean()
    c.node.lag = True
    conf = c.conf(ipam=c.host_local())
    add = c.start("ADD", conf)
    wait_for(lambda: c.node.watchers or add.poll() is not None, "it watches")
    assert add.poll() is None
    add.kill()
    add.wait()
    assert len(c.reserved()) == len(c.node.ports()) == 1
    assert c.call("DEL", conf) is None
    c.clean()


# --- CHECK, DEL, GC ---------------------------------------------------------------------------------------------------------------------


def test_check_finds_what_is_missing(t):
    """MAC, address, route, link, MTU, port, VLAN, fault, reservation: each is missed by name."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local(routes=[{"dst": "0.0.0.0/0"}]))
    result = c.call("ADD", conf)
    conf["prevResult"] = result
    name, port = only(c.node.ports("cni"))
    assert c.call("CHECK", conf) is None
    address = result["ips"][0]["address"]

    def breaks(says, undo, *argv, code=102):
        ip(*argv, netns="/run/netns/box")
        c.fails("CHECK", conf, code, says)
        for line in undo:
            ip(*line.split(), netns="/run/netns/box")
        assert c.call("CHECK", conf) is None, says

    route = "route add default via 10.9.0.1"
    breaks("is down", ["link set eth0 up", route], "link", "set", "eth0", "down")
    breaks("MAC address is 02:00:00:00:00:99", [f"link set eth0 address {result['interfaces'][1]['mac']}"], "link", "set", "eth0", "address",
           "02:00:00:00:00:99")
    breaks("MTU is 1400, not 1500", ["link set eth0 mtu 1500"], "link", "set", "eth0", "mtu", 1400)
    breaks("no route to 0.0.0.0/0", [route], "route", "del", "default")
    breaks(f"no address {address}", [f"addr add {address} dev eth0", route], "addr", "del", address, "dev", "eth0")
    port["error"] = {"name": "x", "message": "lost its way", "hint": ""}
    c.fails("CHECK", conf, 102, "not in force: lost its way")
    port["error"] = None
    c.fails("CHECK", {**conf, "vlan": 200}, 102, "is in VLAN 100, not 200")
    del c.node.objects["port", name]
    c.fails("CHECK", conf, 102, "not there")
    c.node.objects["port", name] = port
    reservation = os.path.join(t.tmp, "ipam", "red", c.reserved()[0])
    os.unlink(reservation)
    c.fails("CHECK", conf, 999, "host-local")
    c.fails("CHECK", {**conf, "prevResult": None}, 7, "prevResult: missing")
    c.fails("CHECK", conf, 7, "no interface eth7", CNI_IFNAME="eth7")
    ip("link", "del", port["link"])
    c.fails("CHECK", conf, 102, "eth0: not in the container")


def test_del_is_silent_whatever_is_missing(t):
    """No namespace, no port, no prevResult, no CNI_NETNS, a configuration with keys that nobody knows: nothing to say, exit 0."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local())
    c.call("ADD", conf)
    run("ip", "netns", "del", "box")
    for env in ({}, {"CNI_NETNS": None}, {"CNI_NETNS": "/run/netns/box"}):
        done = c.raw("DEL", json.dumps({**conf, "vlna": 1, "vlan": "x", "prevResult": None}).encode(), **env)
        assert done.returncode == 0 and not done.stdout and not done.stderr, done
    assert not c.node.ports() and not c.reserved()
    c.fails("DEL", {**conf, "ipam": {"type": "nosuch"}}, 7, "nosuch: not found")


def test_gc_removes_what_is_not_valid(t):
    """Ports of this network in no valid attachment go; those of other networks, of other owners, and the valid ones stay; IPAM is told of each, and of GC."""
    c = Cni(t)
    log = os.path.join(t.tmp, "ipam.log")
    says = '#!/bin/sh\ncat > /dev/null\n[ $CNI_COMMAND = VERSION ] && echo \'{"supportedVersions":["1.0.0","1.1.0"]}\' && exit\n'
    ipam = c.plugin("noting", says + f"echo $CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME [$CNI_NETNS] [$CNI_ARGS] >> {log}\n[ $CNI_COMMAND = ADD ] && echo '{{\"ips\":[{{\"address\":\"10.9.0.2/24\"}}]}}'\nexit 0\n")
    for network, container, ifname in (("red", "a", "eth0"), ("red", "a", "eth1"), ("red", "b", "eth0"), ("blue", "a", "eth2")):
        c.call("ADD", c.conf(name=network, ipam=ipam), CNI_CONTAINERID=container, CNI_IFNAME=ifname if container == "a" else "eth9")
    c.node.add("port", "a-eth0-" + "0" * 32, "cni", kind="veth", vlan=100)
    c.node.add("port", "web1", "scheduler", kind="veth", vlan=100)
    os.unlink(log)
    before = set(c.node.ports())
    valid = {"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth1"}]}
    c.fails("GC", c.conf(ipam=ipam), 7, "valid-attachments: missing", **NOBODY)
    assert set(c.node.ports()) == before
    assert c.call("GC", {**c.conf(ipam=ipam), **valid}, **NOBODY) is None
    assert {n[:7] for n in before - set(c.node.ports())} == {"a-eth0-", "b-eth9-"}, c.node.ports()
    assert len(c.node.ports()) == 4
    with open(log, encoding="ascii") as f:
        assert f.read().splitlines() == ["DEL a eth0 [] []", "DEL b eth9 [] []", "GC [] []"]
    # Variables that a runtime leaves in the environment of a GC are passed on as they are.
    assert c.call("GC", {**c.conf(ipam=ipam), **valid}, CNI_ARGS="IgnoreUnknown=1") is None
    with open(log, encoding="ascii") as f:
        assert f.read().splitlines()[3:] == ["GC c0ffee eth0 [/run/netns/box] [IgnoreUnknown=1]"]


NOBODY = {"CNI_CONTAINERID": None, "CNI_NETNS": None, "CNI_IFNAME": None}


def test_gc_gives_addresses_back(t):
    """host-local of before 1.1.0 has no GC: each stale attachment gets its DEL, whatever is left of its namespace; valid ones keep their addresses."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local())
    long = "f" * 64
    for container, ifname in ((long, "eth0"), (long, "eth1"), ("b", "eth2")):
        c.call("ADD", conf, CNI_CONTAINERID=container, CNI_IFNAME=ifname)
    assert len(c.reserved()) == 3
    assert c.call("GC", {**conf, "cni.dev/valid-attachments": [{"containerID": long, "ifname": "eth1"}]}, **NOBODY) is None
    assert c.reserved() == ["10.9.0.3"] and only(c.node.ports("cni"))[1]["attrs"]["label"] == long
    run("ip", "netns", "del", "box")
    # libcni writes a list of none as null.
    assert c.call("GC", {**conf, "cni.dev/valid-attachments": None}, **NOBODY) is None
    c.clean()


def test_gc_goes_on(t):
    """A plugin that fails for one attachment keeps its port for the next GC; the others go, IPAM GC is called, and the error is told."""
    c = Cni(t)
    log = os.path.join(t.tmp, "ipam.log")
    ipam = c.plugin("fails", f"""#!/bin/sh
cat > /dev/null
[ $CNI_COMMAND = VERSION ] && echo '{{"supportedVersions":["1.1.0"]}}' && exit
[ $CNI_COMMAND = ADD ] && echo '{{"ips":[{{"address":"10.9.0.2/24"}}]}}' && exit
echo $CNI_COMMAND >> {log}
[ $CNI_COMMAND$CNI_CONTAINERID = DELb -a ! -e {t.tmp}/mended ] && echo '{{"code":11,"msg":"pool is locked"}}' && exit 1
exit 0
""")
    conf = {**c.conf(ipam=ipam), "cni.dev/valid-attachments": []}
    for i, container in enumerate("abc"):
        c.call("ADD", c.conf(ipam=ipam), CNI_CONTAINERID=container, CNI_IFNAME=f"eth{i}")
    c.fails("GC", conf, 11, "fails: pool is locked", **NOBODY)
    assert only(c.node.ports("cni"))[1]["attrs"]["label"] == "b"
    with open(log, encoding="ascii") as f:
        assert f.read().split() == ["DEL"] * 3 + ["GC"]
    with open(os.path.join(t.tmp, "mended"), "wb"):
        pass
    assert c.call("GC", conf, **NOBODY) is None
    c.clean()


def port_name(network, container, ifname):
    """As ctl/cni/name.c makes it: anybody can."""

    def fnv(h, text):
        for byte in text.encode() + b"\0":
            h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        return h

    net = fnv(0xCBF29CE484222325, network)
    name = f"{container[:12]}-{ifname[:15]}-{net:016x}{fnv(fnv(net, container), ifname):016x}"
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def test_gc_believes_a_label_that_makes_the_name(t):
    """A container id that is too long for a label, and a label that somebody has changed: the port goes, IPAM is not told, and stderr says so."""
    c = Cni(t)
    conf = {**c.conf(ipam=c.host_local()), "cni.dev/valid-attachments": []}
    c.call("ADD", c.conf(ipam=c.host_local()), CNI_CONTAINERID="x" * 256)
    assert "label" not in only(c.node.ports())[1]["attrs"]
    c.call("ADD", c.conf(ipam=c.host_local()), CNI_IFNAME="eth1")
    assert port_name(conf["name"], "c0ffee", "eth1") in c.node.ports()
    next(p for p in c.node.ports().values() if "label" in p["attrs"])["attrs"]["label"] = "cafe"
    # And one that somebody has made, name and all, for a plugin that makes a path of it.
    c.node.add("port", port_name(conf["name"], "../../x", "eth0"), "cni", label="../../x", ifname="eth0")
    done = c.raw("GC", json.dumps(conf).encode(), **NOBODY)
    assert done.returncode == 0 and not done.stdout and done.stderr.count(b"is not told") == 3, done
    assert not c.node.ports() and len(c.reserved()) == 2


# --- hostile input ------------------------------------------------------------------------------------------------------------------------


def test_version_command_and_old_versions(t):
    """VERSION answers anybody; versions that are not spoken, and commands that a version does not have, are incompatible."""
    c = Cni(t, real=False)
    for stdin, version in ((b'{"cniVersion":"0.4.0"}', "0.4.0"), (b"", "1.1.0"), (b"junk", "1.1.0"), (b'{"cniVersion":"9.9.9"}', "9.9.9")):
        done = c.raw("VERSION", stdin, CNI_CONTAINERID=None, CNI_NETNS=None, CNI_IFNAME=None, CNI_PATH=None)
        assert done.returncode == 0 and json.loads(done.stdout) == {"cniVersion": version, "supportedVersions": list(VERSIONS)}, done
    # libcni's way to ask.
    dummy = {name: "dummy" for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH")}
    assert c.call("VERSION", {"cniVersion": "1.0.0"}, **dummy)["supportedVersions"] == list(VERSIONS)
    for version in ("0.1.0", "0.2.0", "1.2.0", "1.1", "", None):
        c.fails("ADD", c.conf(version), 1, "not supported")
    c.fails("ADD", c.conf(5), 7, "cniVersion: must be a string")
    c.fails("CHECK", c.conf("0.3.1"), 1, "no such command; 0.4.0 has")
    c.fails("GC", c.conf("1.0.0"), 1, "no such command; 1.1.0 has")
    c.fails("STATUS", c.conf("1.0.0"), 1, "no such command")


def test_environment_that_is_not_one(t):
    """Every wrong variable is named, in one error with code 4; a namespace that is not there is an unknown container."""
    c = Cni(t)
    conf = c.conf()
    error = c.fails("ADD", conf, 4, "CNI_CONTAINERID .not set., CNI_NETNS .not set., CNI_IFNAME .not set.", CNI_CONTAINERID=None, CNI_NETNS="", CNI_IFNAME=None)
    assert error["code"] == 4
    c.fails(None, conf, 4, "CNI_COMMAND .not set.")
    c.fails("ATTACH", conf, 4, "CNI_COMMAND ATTACH")
    for container in ("-x", "a/b", "a b", "../../etc", ".", "a\n"):
        c.fails("ADD", conf, 4, "CNI_CONTAINERID", CNI_CONTAINERID=container)
    for ifname in (".", "..", "a/b", "a:b", "a b", "sixteenletters00", b"\xff"):
        c.fails("ADD", conf, 4, "CNI_IFNAME", CNI_IFNAME=ifname)
    c.fails("ADD", conf, 4, "CNI_NETNS", CNI_NETNS="box")
    c.fails("ADD", conf, 4, "CNI_NETNS", CNI_NETNS=b"/run/netns/\xff")
    for netns in ("/proc/self/ns/net", "/proc/thread-self/ns/net", "/proc/self/fd/3"):
        c.fails("ADD", conf, 4, "CNI_NETNS", CNI_NETNS=netns)
    c.fails("ADD", conf, 3, "No such file", CNI_NETNS="/run/netns/nosuch")
    c.fails("ADD", conf, 4, "not a network namespace", CNI_NETNS="/etc/passwd")
    c.fails("ADD", conf, 4, "not a network namespace", CNI_NETNS="/proc/1/ns/pid")
    os.mkfifo(os.path.join(t.tmp, "fifo"))
    c.fails("ADD", conf, 4, "not a network namespace", CNI_NETNS=os.path.join(t.tmp, "fifo"))
    for args, says in (("MAC", "KEY=VALUE"), ("FOO=BAR", "FOO: unknown key"), ("IgnoreUnknown=0;FOO=BAR", "FOO"), ("MAC=zz", "not a unicast MAC"),
                       ("MAC=01:00:00:00:00:01", "not a unicast MAC"), ("MAC=" + "0" * 200, "MAC: too long"), ("IP=" + "1" * 5000, "IP: too long"),
                       ("GATEWAY=x", "GATEWAY x")):
        c.fails("ADD", conf, 4, says, CNI_ARGS=args)
    c.call("ADD", conf, CNI_CONTAINERID="x" * 5000)
    name = only(c.node.ports())[0]
    assert name.startswith("xxxxxxxxxxxx-eth0-") and len(name) == 50, name
    c.call("DEL", conf, CNI_CONTAINERID="x" * 5000)
    c.clean()


def test_configuration_that_is_not_one(t):
    """Not JSON, too long, cut off, of the wrong shape: an error in JSON, code 6, 7 or 2, and no call to the daemon."""
    c = Cni(t)
    os.symlink(c.program, os.path.join(c.path, "self"))
    for stdin in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"\0", b'{"a":1,"a":2}', b"[" * 100000, b" " * (1 << 20) + b"{}", b"x" * (64 << 20)):
        c.fails("ADD", stdin, 6, "the configuration")
    for kw in ({"name": None}, {"name": ""}, {"name": "../x"}, {"name": 5}, {"vlan": None}, {"vlan": 0}, {"vlan": 4095}, {"vlan": 2**32 + 100}, {"vlan": "100"},
               {"vlan": 100.0}, {"vlan": -1}, {"inBps": -1}, {"mtu": "big"}, {"socket": 1}, {"socket": "/" + "x" * 107}, {"timeoutMs": 0}, {"timeoutMs": 10**9},
               {"ipam": "host-local"}, {"ipam": {"type": "/bin/sh"}}, {"ipam": {"type": "sluice-cni"}}, {"ipam": {"type": ".."}}, {"ipam": {"type": 1}},
               {"ipam": {"type": "nosuch"}}, {"ipam": {"type": "self"}}, {"isolated": "yes"}, {"spoofcheck": 1}, {"dns": []}, {"prevResult": "x"}, {"class": 1},
               {"runtimeConfig": []}, {"runtimeConfig": {"mac": 5}}, {"runtimeConfig": {"mac": "x"}}, {"runtimeConfig": {"ips": "10.0.0.1"}},
               {"runtimeConfig": {"ips": [5]}}, {"runtimeConfig": {"ips": ["10.0.0.1"]}}, {"runtimeConfig": {"ips": ["10.0.0.1/33"]}},
               {"runtimeConfig": {"ips": ["10.0.0.1/24"] * 17}}, {"runtimeConfig": {"ips": ["1" * 100]}}, {"runtimeConfig": {"bandwidth": 5}},
               {"runtimeConfig": {"bandwidth": {"ingressRate": -5}}}, {"args": {"cni": {"ips": ["x/1"]}}}, {"args": 5}, {"args": {"cni": "x"}}):
        c.fails("ADD", c.conf(**kw), 7, ".")
    assert "vlna: 100" in c.fails("ADD", c.conf(vlna=100), 2, "vlna")["msg"]
    c.fails("ADD", c.conf(ipMasq=True), 2, "ipMasq: true")
    assert not any(method == "apply" for method, _ in c.node.calls)
    c.call("ADD", c.conf(ipMasq=False, ipam={}, **{"cni.dev/x": 1}))


def test_closed_descriptors(t):
    """Started without stdin, stdout or stderr: what is opened meanwhile does not come into their place. A result that nobody can get is a failure."""
    c = Cni(t)
    conf = c.conf(ipam=c.host_local())

    def without(fd):
        argv = ["sh", "-c", f"exec {c.program} {fd}>&-" if fd else f"exec {c.program} <&-"]
        return subprocess.run(argv, input=json.dumps(conf).encode(), capture_output=True, env={**os.environ, **c.env, "CNI_COMMAND": "ADD"}, check=False)

    done = without(0)
    assert done.returncode == 1 and json.loads(done.stdout)["code"] == 5, done
    c.clean()
    assert without(1).returncode == 1
    c.clean()
    done = without(2)
    assert done.returncode == 0 and json.loads(done.stdout)["ips"], done
    c.call("DEL", conf)
    c.clean()


def test_ipam_plugins_that_misbehave(t):
    """One that fails, hangs, floods, crashes, prints junk or nothing, or does not read: bounded, told apart, and its DEL is called."""
    c = Cni(t)
    log = os.path.join(t.tmp, "ipam.log")
    first = f"#!/bin/sh\necho $CNI_COMMAND >> {log}\n[ $CNI_COMMAND = ADD ] || exit 0\n"
    wrong = ('{"ips":[]}', '{"ips":{}}', '{"ips":[{"address":"10.0.0.1"}]}', '{"ips":[{"address":"10.0.0.1/24","gateway":"fd00::1"}]}',
             '{"ips":[{"address":"10.0.0.1/24"}],"routes":[{"dst":"x"}]}', '{"ips":[{"address":"10.0.0.1/24"}],"routes":[{"dst":"1.0.0.0/8","mtu":-1}]}',
             '{"ips":[{"address":"10.0.0.1/24"}],"dns":[]}')
    cases = [
        ('echo \'{"code":11,"msg":"pool is locked","details":"by another"}\'; exit 1', 11, "locked"),
        ("echo broken >&2; exit 3", 103, "exit status 3, and no error"),
        ("echo '{\"code\":\"x\"}'; exit 1", 103, "exit status 1"),
        ("kill -SEGV $$", 103, "killed by signal 11"),
        ("sleep 1000", 11, "not done after 3000 ms"),
        ("exec >&-; sleep 1000", 11, "not done after 3000 ms"),
        ("sleep 1000 & exit 0", 11, "not done after 3000 ms"),
        ("yes", 6, "printed more than"),
        ("echo junk", 6, "not a result"),
        ("", 6, "not a result"),
        ("echo '[]'", 6, "not a result"),
        *((f"echo '{text}'", 103 if text == '{"ips":[]}' else 6, "gave no address|is not one") for text in wrong),
    ]
    for script, code, says in cases:
        ipam = c.plugin("bad", first + script + "\n")
        start = time.monotonic()
        c.fails("ADD", c.conf(ipam=ipam, ipamTimeoutMs=3000 if "sleep" in script else 20000), code, says)
        assert time.monotonic() - start < 15, script
        with open(log, encoding="ascii") as f:
            assert f.read() == "ADD\nDEL\n", script
        os.unlink(log)
        c.clean()
    # A large configuration, and a plugin that does not read it.
    ipam = c.plugin("deaf", "#!/bin/sh\necho '{\"ips\":[{\"address\":\"10.9.0.2/24\"}]}'\n")
    big = c.conf(ipam={**ipam, "pad": "x" * 900000})
    assert c.call("ADD", big)["ips"] == [{"address": "10.9.0.2/24", "interface": 1}]
    c.fails("DEL", big, 4, "CNI_PATH", CNI_PATH=None)
    c.call("DEL", big)
    # Zombies are ours: pid 1 of a sandbox reaps nobody's orphans.
    assert "sleep" not in re.sub(r"^.* Z .*$", "", run("ps", "-eo", "pid,stat,comm").stdout.replace("Z+", "Z "), flags=re.M), "a plugin's child is left"

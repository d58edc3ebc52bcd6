#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is the kernel engine's alone is never accepted and then made by nobody, and what is a container's is no other port's."""

from harness import Refused, add, added, run

CONTAINER = {"kind": "veth", "netns": "box", "ifname": "eth0", "vlan": 100}


def _refused(name, says, node, *ops):
    generation = node.call("get")["generation"]
    try:
        node.apply(*ops)
    except Refused as refusal:
        assert refusal.name == name and says in str(refusal), refusal
        assert node.call("get")["generation"] == generation
        return
    raise AssertionError(f"accepted: {ops}")


def _veth_available(node):
    return {k["kind"]: k["available"] for k in node.get("node", "node")["state"]["kinds"]}["veth"]


def test_a_node_without_the_kernel_engine_refuses_containers(t):
    """Without a trunk nobody could make the pair: `node show` says so, an apply is refused, and nothing of it is kept."""
    run("ip", "netns", "add", "box")
    node = t.node(trunk="none")
    assert not _veth_available(node)
    _refused("unsupported", "no kernel engine", node, add("vlan", "100"), add("port", "web1", **CONTAINER))
    assert added(node.call("get")) == []


def test_containers_of_a_node_that_lost_the_kernel_engine_wait(t):
    """Started without a trunk, the daemon keeps its containers, says what each lacks, lets them be deleted, and makes them when it has one again."""
    for box in ("box", "box2"):
        run("ip", "netns", "add", box)
    node = t.node(trunk="auto", bpf_dir="/sys/fs/bpf/kernel")
    assert _veth_available(node)
    node.add_port("web1", **CONTAINER)
    node.add_port("web2", **{**CONTAINER, "netns": "box2"})
    node.stop()
    node.options["trunk"] = "none"
    node.start()
    web1 = node.get("port", "web1")
    assert web1["error"]["name"] == "unsupported" and web1["attrs"]["netns"] == "box", web1
    node.del_port("web2")
    node.stop()
    node.options["trunk"] = "auto"
    node.start()
    answer = node.call("get", {"object": "port", "name": "web1"})
    assert answer["objects"][0]["error"] is None and answer["applied"] == answer["generation"], answer
    assert run("ip", "link", "show", "dev", "eth0", netns="box", check=False).returncode == 0


def test_a_containers_attributes_belong_to_containers(t):
    """A namespace, addresses or a gateway on another kind of port are refused, by applies and dry runs; no pair is made for it."""
    run("ip", "netns", "add", "box")
    for trunk in ("none", "auto"):
        node = t.node(name=trunk, trunk=trunk, bpf_dir=f"/sys/fs/bpf/{trunk}")
        node.add_vlan(100)
        for key, value in {"netns": "box", "addr": ["10.0.0.1/24"], "gateway": ["10.0.0.254"]}.items():
            op = add("port", "t1", kind="tap", ifname="tap1", vlan=100, **{key: value})
            _refused("conflict", f"{key}: an attribute of kind veth", node, op)
            try:
                node.apply(op, dry_run=True)
            except Refused as refusal:
                assert refusal.name == "conflict", refusal
            else:
                raise AssertionError(f"a dry run accepts {op}")
        node.stop()
        assert run("ip", "-o", "link", netns="box").stdout.count("\n") == 1

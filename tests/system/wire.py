#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The end of a cable: raw frames in and out of a network device, tags included.

    w = Wire("eth0", netns="vm1")
    w.send(frame)
    frame = w.recv(deadline)

The kernel takes the outermost VLAN tag out of every frame that it receives, 0x8100 and 0x88a8 alike, and hands it over beside the
frame in PACKET_AUXDATA. Wire puts it back, so that what recv() returns is what was on the wire. Frames that leave by the device are
not shown (PACKET_IGNORE_OUTGOING): otherwise every sender would hear itself.

A netdev whose carrier has just come drops what is sent by it until the kernel's link watch has given it its queue, which on a loaded
machine takes as long as a work queue waits for a CPU. A Wire opened on one that has its carrier waits for that.

A socket lives in the namespace in which it was opened, whatever its owner does later. So a Wire enters the namespace for the
length of open() and the test process itself stays where it is. That works on the calling thread only, which is all we need.
"""

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import time

from frames import Frame

SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
ETH_P_ALL = 3
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
SO_SNDBUFFORCE = 32
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
AUXDATA = struct.Struct("IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(netns):
    """Run the block in the named network namespace; None is here."""
    if netns is None:
        yield
        return
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(back)
    finally:
        os.close(there)
        os.close(back)


def await_queue(ifname, netns=None):
    """Until the netdev, if it is up and has its carrier, sends what is given to it. Both change under the lock that the question takes."""
    while True:
        argv = ["ip", *(["-n", netns] if netns else []), "-j", "link", "show", "dev", ifname]
        link = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)[0]
        if not {"UP", "LOWER_UP"} <= set(link["flags"]) or link["operstate"] in ("UP", "UNKNOWN"):
            return


class Wire:
    def __init__(self, ifname, netns=None, rcvbuf=64 << 20):
        with inside(netns):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf)
            self.sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
            # The protocol is given here and not to socket(): before bind() a socket would hear every device of the namespace.
            self.sock.bind((ifname, ETH_P_ALL))
        await_queue(ifname, netns)
        self.ifname = ifname
        self.poll = select.poll()
        self.poll.register(self.sock, select.POLLIN)

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def send(self, *frames):
        for frame in frames:
            self.sock.send(frame)

    def recv_now(self):
        """The next frame that is already here, or None."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65536, 64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        for level, kind, value in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = AUXDATA.unpack(value[: AUXDATA.size])
                if status & TP_STATUS_VLAN_VALID:
                    tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                    data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
        return Frame(data)

    def recv(self, deadline, want=None):
        """The next frame (that `want` accepts; others are dropped), or None when time.monotonic() has reached deadline."""
        while True:
            frame = self.recv_now()
            if frame is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.poll.poll(int(left * 1000) + 1)
            elif want is None or want(frame):
                return frame

    def drain(self):
        """All frames that are here now."""
        return list(iter(self.recv_now, None))

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make what guests boot: a kernel and an initramfs.

    image.py [--out DIR]         (Makefile: BUILD/lab; the programs agent, flow and nic are there already, built static)

The kernel is Debian's own, of the package that linux-image-amd64 depends on. It is fetched with apt-get and unpacked in DIR, never
installed: the machine's own kernel and boot loader are not touched. It is made once, and again when linux-image-amd64 moves on.

    DIR/kernel/           the unpacked package         DIR/vmlinux     the kernel itself, out of its compressed wrapping
    DIR/initramfs         what guests find as /        DIR/version     the package that all that came from
    DIR/initramfs.host    what they find who then look at the host's files (lab_kernel.py)

Two things keep a boot under two seconds on an emulated CPU: vmlinux is booted as it is (PVH), because unpacking it would take three
seconds more, emulated; and the initramfs holds busybox, our programs and the modules of a virtio network card, nothing else.

An initramfs is a list of (module names, files); dependencies of modules are found here and their order is written to /etc/modules,
because in the guest nothing knows them: `initramfs()` makes any other for whoever needs more.

Exit status: 0 done, 1 with a message when the kernel cannot be had (no network). Tests that need it are then skipped.
"""

import argparse
import glob
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ("virtio_pci", "virtio_net")
# To see the host's files and to write over them; whatever else such a guest loads, it finds there.
HOST_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
BUSYBOX = "/bin/busybox"
PROGRAMS = ("flow", "nic")


def kernel_package():
    """linux-image-6.1.0-N-amd64=VERSION: what linux-image-amd64 stands for today."""
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", "linux-image-amd64"], capture_output=True, text=True, check=False)
    depends = re.search(r"^Depends: (linux-image-[0-9][^ ]*-amd64) \(= ([^)]+)\)", shown.stdout, re.M)
    return f"{depends[1]}={depends[2]}" if depends else None


def fetch(package, out):
    """Unpack a package into out/kernel."""
    # Debian's apt gives its downloads to a user of its own, who may not write here: it says so, and goes on as root.
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=out, check=True)
    archive = glob.glob(os.path.join(out, "linux-image-*.deb"))
    assert len(archive) == 1, archive
    shutil.rmtree(os.path.join(out, "kernel"), ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", archive[0], os.path.join(out, "kernel")], check=True)
    os.unlink(archive[0])


def unwrap(bzimage):
    """The ELF file in a bzImage that is compressed with xz, as Debian's is (the boot protocol's header says where it lies)."""
    with open(bzimage, "rb") as f:
        image = f.read()
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    elf = lzma.LZMADecompressor().decompress(image[start : start + length])
    assert elf[:4] == b"\x7fELF", "not a kernel"
    return elf


def depends(path):
    """The names of the modules that a module needs, out of its .modinfo."""
    with open(path, "rb") as f:
        found = re.search(rb"\0depends=([^\0]*)\0", f.read())
    return found[1].decode().split(",") if found and found[1] else []


def in_order(names, kernel):
    """Paths of modules and of all that they need, each after what it needs."""
    where = {}
    for path in glob.glob(os.path.join(kernel, "lib/modules/*/kernel/**/*.ko"), recursive=True):
        where[os.path.basename(path)[:-3].replace("-", "_")] = path
    order = []

    def visit(name):
        path = where[name.replace("-", "_")]
        if path not in order:
            for needed in depends(path):
                visit(needed)
            order.append(path)

    for name in names:
        visit(name)
    return order


def cpio(entries):
    """An archive in the format that the kernel unpacks (newc). entries: (path, mode, content), directories before what is in them."""
    out = bytearray()
    for number, (path, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(-len(out) % 4)
        out += content
        out += bytes(-len(out) % 4)
    return bytes(out)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def initramfs(out, modules=MODULES, files=()):
    """
    The archive's bytes: busybox under all of its names, the agent as /init, our programs, these modules, and `files` as (path, mode, content).
    """
    directory, program, link = 0o040755, 0o100755, 0o120777
    entries = [(name, directory, b"") for name in ("bin", "dev", "etc", "lib", "proc", "sys", "tmp")]
    entries.append(("init", program, read(os.path.join(out, "agent"))))
    entries += [(f"bin/{name}", program, read(os.path.join(out, name))) for name in PROGRAMS]
    entries.append(("bin/busybox", program, read(BUSYBOX)))
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    entries += [(f"bin/{name}", link, b"busybox") for name in applets if name != "busybox"]
    paths = in_order(modules, os.path.join(out, "kernel"))
    entries += [(f"lib/{os.path.basename(path)}", 0o100644, read(path)) for path in paths]
    listed = "".join(f"/lib/{os.path.basename(path)}\n" for path in paths)
    entries.append(("etc/modules", 0o100644, listed.encode()))
    return cpio([*entries, *files])


def write(path, data):
    """Under its name only when it is whole."""
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


def make(out):
    package = kernel_package()
    have = os.path.join(out, "version")
    known = read(have).decode() if os.path.exists(have) else None
    if not package and not known:
        raise RuntimeError("apt knows no package linux-image-amd64")
    if package and package != known:
        fetch(package, out)
        (bzimage,) = glob.glob(os.path.join(out, "kernel/boot/vmlinuz-*"))
        write(os.path.join(out, "vmlinux"), unwrap(bzimage))
        write(have, package.encode())
    write(os.path.join(out, "initramfs"), initramfs(out))
    write(os.path.join(out, "initramfs.host"), initramfs(out, HOST_MODULES))


def main():
    parser = argparse.ArgumentParser(description="Make the kernel and the initramfs of the tests' guests.")
    parser.add_argument("--out", default=os.path.join(HERE, "../../build/lab"), help="directory (default: %(default)s)")
    out = os.path.abspath(parser.parse_args().out)
    try:
        make(out)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as e:
        print(f"image.py: no guests: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

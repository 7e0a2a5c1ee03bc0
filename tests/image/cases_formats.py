"""The disk as the clouds take it: the same disk in each format. Nothing is booted."""
import json
import os
import shutil
import struct
import subprocess

from suite import partition

FOOTER = 512  # of a VHD, behind the disk
MIB, GIB = 1 << 20, 1 << 30


def qemu_img(*words):
    return subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout


def info(path, kind):
    return json.loads(qemu_img("info", "--output=json", "-f", kind, path))


def same(raw, kind, path):
    qemu_img("compare", "-f", "raw", "-F", kind, raw, path)


def vhd(path, size):
    """Azure: fixed, whole MiB, and the footer says so. Source: Virtual Hard Disk Image Format Specification 1.0."""
    with open(path, "rb") as f:
        f.seek(-FOOTER, os.SEEK_END)
        footer = f.read()
    cookie, kind = footer[:8], struct.unpack_from(">I", footer, 60)[0]
    original, current = struct.unpack_from(">QQ", footer, 40)
    assert (cookie, kind, original, current) == (b"conectix", 2, size, size), (cookie, kind, original, current)
    assert size % MIB == 0 and os.path.getsize(path) == size + FOOTER, os.path.getsize(path)


def google(s, raw, path):
    """disk.raw of whole GiB in a tar of the old GNU format, with a table that is whole."""
    folder = f"{s.work}/google"
    os.mkdir(folder)
    with open(path, "rb") as f:
        head = subprocess.run(["gzip", "-dc"], stdin=f, stdout=subprocess.PIPE, check=True).stdout[:512]
    assert head[257:265] == b"ustar  \0", head[257:265]
    subprocess.run(["tar", "-xSzf", path, "-C", folder], check=True)
    assert os.listdir(folder) == ["disk.raw"], os.listdir(folder)
    disk = f"{folder}/disk.raw"
    assert os.path.getsize(disk) % GIB == 0 and info(disk, "raw")["virtual-size"] == os.path.getsize(disk)
    done = subprocess.run(["/usr/sbin/sgdisk", "--verify", disk], check=True, stdout=subprocess.PIPE, text=True)
    assert "No problems found" in done.stdout, done.stdout
    for number in (1, 2, 3, 4):
        start, end = partition(raw, number)
        assert partition(disk, number) == (start, end)
        subprocess.run(["cmp", "--bytes", str(end - start), f"--ignore-initial={start}", raw, disk], check=True)
    assert s.run("verify-image", disk).returncode == 0
    shutil.rmtree(folder)


def case_formats(s):
    """qcow2, VHD, VMDK and Google's archive hold the disk that was built"""
    raw = s.make("formats", "--format", "raw,qcow2,azure,gcp,aws")
    base, size = raw.removesuffix(".raw"), os.path.getsize(raw)
    for kind, path in (("qcow2", f"{base}.qcow2"), ("vpc", f"{base}.vhd"), ("vmdk", f"{base}.vmdk")):
        found = info(path, kind)
        assert found["format"] == kind and found["virtual-size"] == size, found
        same(raw, kind, path)
        print(f"  {os.path.basename(path)}: {os.path.getsize(path) / MIB:.0f} MiB", flush=True)
    qemu_img("check", "-q", f"{base}.qcow2")
    assert info(f"{base}.vmdk", "vmdk")["format-specific"]["data"]["create-type"] == "streamOptimized"
    vhd(f"{base}.vhd", size)
    google(s, raw, f"{base}.tar.gz")
    # The comparison can fail: one byte of the disk changed.
    with open(raw, "r+b") as f:
        f.seek(partition(raw, 2)[0] + 5000)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    done = subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", raw, f"{base}.qcow2"])
    assert done.returncode == 1, done.returncode
    for suffix in ("raw", "qcow2", "vhd", "tar.gz", "vmdk"):
        os.unlink(f"{base}.{suffix}")

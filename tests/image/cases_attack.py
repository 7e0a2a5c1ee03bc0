"""What a hostile host tries does not work."""
import json
import os
import subprocess
import time

import nvram
from suite import BOOT_SECONDS, PREDICTED, collaterals, compare, flip, partition, quoted, read, reader, stops, token_of


def case_root_start(s):
    """one flipped byte at the start of the root stops the boot"""
    disk = s.copy()
    flip(disk, partition(disk, 2)[0] + 1024 + 5)
    assert s.run("verify-image", disk).returncode == 1
    stops(s, disk, "dm-verity device corrupted")


def case_root_middle(s):
    """a flipped byte in each hundredth block of the root stops the machine when one of them is read"""
    disk = s.copy()
    start, end = partition(disk, 2)
    for at in range(start + 100 * 4096, end - 4096, 100 * 4096):
        flip(disk, at + 77)
    stops(s, disk, "dm-verity device corrupted")


def case_hash_tree(s):
    """one flipped byte in the hash tree stops the boot"""
    disk = s.copy()
    flip(disk, partition(disk, 3)[0] + 4096 + 3)
    assert s.run("verify-image", disk).returncode == 1
    stops(s, disk, "dm-verity device corrupted")


def case_cmdline(s):
    """another command line by a boot entry in NVRAM: the machine refuses to boot"""
    with open(f"{s.work}/test.json") as f:
        cmdline = json.load(f)["cmdline"]
    swapped = nvram.swap_cmdline(s.disk, cmdline.replace("systemd.import_credentials=no", "systemd.import_credentials=yes"))
    stops(s, s.disk, "REFUSED: the kernel's command line is not the image's: \"systemd.import_credentials=yes\"", nvram=swapped,
          boot_index=False)


def attacked(s, disk, mark, **options):
    """Boots under attack to the end; whether the mark was seen, and what was quoted. The agent's clock is believable in any case."""
    with s.machine(disk, **options) as m:
        document = collaterals(m)
        time.sleep(3)
        assert document["journal_log"][0]["time"] >= "2023", "the clock is older than systemd"
        return mark in m.said(), quoted(document)


CREDENTIAL = ["-smbios", "type=11,value=io.systemd.credential:tmpfiles.extra=w /dev/kmsg - - - - CREDENTIAL-TOOK-EFFECT"]


def weak(s):
    """An image without the two defences: shows that the attacks are real, and that these tests can fail."""
    path = f"{s.work}/weak.raw"
    if not os.path.exists(path):
        s.make("weak", env={"CVM_TEST_DROP_WORD": "systemd.import_credentials=no", "CVM_TEST_ADD_MODULE": "efivarfs qemu_fw_cfg"})
    return path


def case_credential(s):
    """a credential by SMBIOS is not taken, though no register shows it"""
    took, pcrs = attacked(s, weak(s), "CREDENTIAL-TOOK-EFFECT", extra=CREDENTIAL)
    assert took, "the attack has no effect on an image without the defence: this test shows nothing"
    took, pcrs = attacked(s, s.disk, "CREDENTIAL-TOOK-EFFECT", extra=CREDENTIAL)
    assert not took
    predicted = s.predict(s.disk)
    assert all(predicted[p]["value"] == pcrs[p] for p in PREDICTED)


def hostile_devices(s):
    """What a host can plug in or hand over that no register of the image's own shows."""
    return ["-fw_cfg", "name=opt/io.systemd.credentials/tmpfiles.extra,string=w /dev/kmsg - - - - FWCFG-TOOK-EFFECT",
            "-chardev", f"file,id=hvc,path={s.work}/hvc.log", "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=hvc",
            "-device", "virtio-rng-pci", "-device", "qemu-xhci", "-device", "usb-kbd", "-rtc", "base=2001-01-01T00:00:00"]


def case_devices(s):
    """credentials by fw_cfg, a console, a keyboard, a random device, the year 2001: nothing is taken from them"""
    took, _ = attacked(s, weak(s), "FWCFG-TOOK-EFFECT", extra=hostile_devices(s))
    assert took, "the attack has no effect on an image without the defence: this test shows nothing"
    took, pcrs = attacked(s, s.disk, "FWCFG-TOOK-EFFECT", extra=hostile_devices(s))
    assert not took
    predicted = s.predict(s.disk)
    assert all(predicted[p]["value"] == pcrs[p] for p in PREDICTED)
    with open(f"{s.work}/hvc.log", "rb") as f:
        assert f.read() == b"", "something talks to the host's virtio console"


# OperationRegion (RAMX, SystemMemory, 0x5000, 8), Field of 32 bits; a word is stored there and, if it reads back, a name is
# made twice, of which the kernel complains. Source: ACPI 6.5, chapter 20.
WRITES_MEMORY = (b"\x5b\x80RAMX\x00\x0b\x00\x50\x0a\x08" b"\x5b\x81\x0bRAMX\x03FLDX\x20" b"\x70\x0c\xbe\xba\xfe\xcaFLDX"
                 b"\xa0\x19\x93FLDX\x0c\xbe\xba\xfe\xca\x08\\CVMW\x01\x08\\CVMW\x01")


def case_acpi_table(s):
    """what docs/threat-model.md says of ACPI tables is still so: one of the host's writes the guest's memory, unseen in 2 to 23"""
    table = f"{s.work}/ssdt.aml"
    with open(table, "wb") as f:
        f.write(WRITES_MEMORY)
    wrote, pcrs = attacked(s, s.disk, "Failure creating named object [\\CVMW]", extra=["-acpitable", f"sig=SSDT,rev=2,data={table}"])
    predicted = s.predict(s.disk)
    assert wrote, "the kernel no longer does it: say so in docs/threat-model.md"
    assert all(predicted[p]["value"] == pcrs[p] for p in PREDICTED)


def case_esp_files(s):
    """credentials and an extension beside the kernel image: the machine is the same, and PCR 12 and 13 show them"""
    disk = s.copy()
    esp = f"{disk}@@{partition(disk, 1)[0]}"
    with open(f"{s.work}/extra", "w") as f:
        f.write("w /dev/kmsg - - - - ESP-TOOK-EFFECT\n")
    folders = ["::/EFI/BOOT/BOOTX64.EFI.extra.d", "::/loader", "::/loader/credentials"]
    subprocess.run(["mmd", "-i", esp, *folders], check=True)
    for name in f"{folders[0]}/tmpfiles.extra.cred", f"{folders[2]}/tmpfiles.extra.cred", f"{folders[0]}/host.raw":
        subprocess.run(["mcopy", "-i", esp, f"{s.work}/extra", name], check=True)
    took, pcrs = attacked(s, disk, "ESP-TOOK-EFFECT")
    predicted = s.predict(s.disk)
    assert not took
    # 9: the stub hands them to the kernel behind the initrd.
    assert {p for p in PREDICTED if predicted[p]["value"] != pcrs[p]} == {"9", "12", "13"}, pcrs


def case_dhcp(s):
    """the network's addresses are taken, its host name and domains are not"""
    script = "while :; do $$b hostname; $$b cat /etc/resolv.conf; $$b sleep 2; done"
    disk = s.make("dhcp", "--workload", reader(s, "network", script, "    network_mode: host\n"))
    with s.machine(disk, network=",hostname=attacker,domainname=evil.example,dnssearch=evil.example") as m:
        collaterals(m)
        token = token_of(m)
        said = set()

        def complete():
            said.update(line for line in read(m, token, 40).splitlines() if not line.startswith("#"))
            return any(line.startswith("nameserver") for line in said) and "cvm" in said
        m.wait(complete, BOOT_SECONDS, "a service shows the host name and the resolver's configuration")
    print(f"  {' | '.join(sorted(said))}", flush=True)
    assert not any("attacker" in line or "evil.example" in line for line in said), said


def decoy(s, name, kept):
    """A disk with partitions of the image's names and other contents, but for those of kept."""
    path, types = f"{s.work}/{name}.raw", {1: "8300", 2: "8304", 3: "8300"}
    with open(path, "wb") as f:
        f.truncate(400 << 20)
    subprocess.run(["sgdisk", "--clear", "-n", "1:1M:+160M", "-c", "1:cvm-root", "-n", "2:0:+16M", "-c", "2:cvm-verity", "-n", "3:0:+16M",
                    "-c", "3:cvm-data", *[word for n, t in types.items() for word in ("-t", f"{n}:{t}")], path], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    with open(path, "r+b") as out, open(s.disk, "rb") as image:
        for n, start in ((2, 1 << 20), (3, 161 << 20)):
            first, end = partition(s.disk, n)
            image.seek(first)
            data = image.read(end - first)
            out.seek(start)
            out.write(data if n in kept else os.urandom(1 << 20))
    return path


def case_second_disk(s):
    """disks whose partitions have the image's names, found before it, are not its root; without the image's there is none"""
    first = [decoy(s, "random", ()), decoy(s, "half", (3,))]
    with s.machine(first=first) as m:
        document = collaterals(m)
        assert "verified root opened on vdc" in m.said(), m.said()[-2000:]
        compare(s.predict(s.disk), document)
    disk = s.copy()
    flip(disk, partition(disk, 2)[0] + 1024 + 5)
    stops(s, disk, "REFUSED: find the root: 3 disks have a partition cvm-root, and none is the image's", first=first)


def case_systemd_options(s):
    """the EFI variable SystemdOptions is not read, though no register shows it"""
    options = nvram.systemd_options("systemd.hostname=attacker")
    took, _ = attacked(s, weak(s), "Using system hostname 'attacker'", nvram=options)
    assert took, "the attack has no effect on an image without the defence: this test shows nothing"
    took, _ = attacked(s, s.disk, "Using system hostname 'attacker'", nvram=options)
    assert not took

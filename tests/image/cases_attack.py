"""What a hostile host tries does not work."""
import json
import os
import time

import nvram
from suite import PREDICTED, collaterals, flip, partition, quoted, stops


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
    """Boots under attack to the end; whether the mark was seen, and what was quoted."""
    with s.machine(disk, **options) as m:
        document = collaterals(m)
        time.sleep(3)
        return mark in m.said(), quoted(document)


CREDENTIAL = ["-smbios", "type=11,value=io.systemd.credential:tmpfiles.extra=w /dev/kmsg - - - - CREDENTIAL-TOOK-EFFECT"]


def weak(s):
    """An image without the two defences: shows that the attacks are real, and that these tests can fail."""
    path = f"{s.work}/weak.raw"
    if not os.path.exists(path):
        s.make("weak", env={"CVM_TEST_DROP_WORD": "systemd.import_credentials=no", "CVM_TEST_ADD_MODULE": "efivarfs"})
    return path


def case_credential(s):
    """a credential by SMBIOS is not taken, though no register shows it"""
    took, pcrs = attacked(s, weak(s), "CREDENTIAL-TOOK-EFFECT", extra=CREDENTIAL)
    assert took, "the attack has no effect on an image without the defence: this test shows nothing"
    took, pcrs = attacked(s, s.disk, "CREDENTIAL-TOOK-EFFECT", extra=CREDENTIAL)
    assert not took
    predicted = s.predict(s.disk)
    assert all(predicted[p]["value"] == pcrs[p] for p in PREDICTED)


def case_systemd_options(s):
    """the EFI variable SystemdOptions is not read, though no register shows it"""
    options = nvram.systemd_options("systemd.hostname=attacker")
    took, _ = attacked(s, weak(s), "Using system hostname 'attacker'", nvram=options)
    assert took, "the attack has no effect on an image without the defence: this test shows nothing"
    took, _ = attacked(s, s.disk, "Using system hostname 'attacker'", nvram=options)
    assert not took

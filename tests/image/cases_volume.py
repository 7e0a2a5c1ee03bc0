"""The sealed volume: made once, opened by the same boot on the same TPM, and by nothing else."""
import base64
import json
import os
import subprocess

import vm
from suite import BOOT_SECONDS, NONCE, ROOT, ask, collaterals, compare, get, partition

VOLUME = 5       # partition
HEADER = 2 << 20
OPTIONS = ("--volume", "32", "--accept-host-vtpm")


def line(m, says):
    """The console's line with these words, once it is there."""
    def there():
        if m.off():
            raise AssertionError(f"the machine went off. The console says:\n{m.said()[-3000:]}")
        return any(says in text and text.endswith("\r") for text in m.said().split("\n"))
    m.wait(there, BOOT_SECONDS, says)
    found = next(text for text in m.said().splitlines() if says in text)
    print(f"  {found.strip()[:160]}", flush=True)
    return found


def opened(m):
    """UUID and count of boots of the volume."""
    words = line(m, "is open, boot").split("volume ", 1)[1].split()
    return words[0], int(words[4])


def read_volume(disk, n=None):
    start, end = partition(disk, VOLUME)
    with open(disk, "rb") as f:
        f.seek(start)
        return f.read(n or end - start)


def write_volume(disk, data):
    with open(disk, "r+b") as f:
        f.seek(partition(disk, VOLUME)[0])
        f.write(data)


def refused(s, name, disk, *says):
    """The machine of that name refuses the disk's volume, leaves it as it is, and its agent does not start."""
    before = read_volume(disk)
    with s.boot_again(name, disk) as m:
        found = line(m, "cvm-volume: REFUSED")
        for words in says:
            assert words in found, f"not \"{words}\": {found}"
        line(m, "Dependency failed for cvm-agent.service")
    assert read_volume(disk) == before, "the partition was written"


def owner_key(s):
    key, public = f"{s.work}/owner.pem", f"{s.work}/owner.pub"
    if not os.path.exists(key):
        subprocess.run(["openssl", "genrsa", "-out", key, "3072"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", public], check=True, stderr=subprocess.DEVNULL)
    return key, public


def first_boot(s):
    """A disk whose volume the machine "sealed" has made; made once for all cases. Cases boot copies of it."""
    disk = f"{s.work}/sealed.raw"
    if not os.path.exists(disk):
        made = s.make("volume", *OPTIONS, "--recovery", owner_key(s)[1])
        os.rename(made, disk)
        predicted = s.predict(disk)
        with s.boot_again("sealed", disk) as m:
            line(m, "is marked empty: formatting it, sealed to profile standard")
            s.volume, boots = opened(m)
            assert boots == 1, boots
            compare(predicted, collaterals(m))
    return disk


def copy_of(s, disk):
    path = f"{s.work}/volume-copy.raw"
    subprocess.run(["cp", "--sparse=always", disk, path], check=True)
    return path


def recover(s, disk, status):
    """What the owner does with the encrypted key and the disk, on a machine of his own."""
    header = read_volume(disk, HEADER)
    file, key = f"{s.work}/header.bin", f"{s.work}/recovered"
    with open(file, "wb") as f:
        f.write(header)
    digest = subprocess.run(["sha256sum", file], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    assert digest == status["header_sha256"]
    subprocess.run(["openssl", "pkeyutl", "-decrypt", "-inkey", owner_key(s)[0], "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt",
                    "rsa_oaep_md:sha256", "-out", key], input=base64.b64decode(status["recovery"]["encrypted_key"]), check=True)
    test = ["/usr/sbin/cryptsetup", "open", "--test-passphrase", "--type", "luks2", "--key-file", key]
    subprocess.run([*test, "--key-slot", "1", file], check=True)
    with open(key, "r+b") as f:
        byte = f.read(1)[0]
        f.seek(0)
        f.write(bytes([byte ^ 1]))
    assert subprocess.run([*test, file], stderr=subprocess.DEVNULL).returncode == 2


def case_volume(s):
    """the first boot makes the sealed volume, the second opens it; its owner can recover it"""
    disk = copy_of(s, first_boot(s))
    with s.boot_again("sealed", disk) as m:
        uuid, boots = opened(m)
        assert (uuid, boots) == (s.volume, 2), (uuid, boots)
        assert "formatting" not in m.said()
        collaterals(m)
        assert ask(m, "GET", "/volume")[0] == 401
        token = ask(m, "GET", "/api-token")[1]
        status = json.loads(ask(m, "GET", "/volume", token=token)[1])
        assert (status["uuid"], status["boots"], status["seal"]) == (uuid, 2, "standard"), status
        assert status["recovery"]["encrypted_key"] not in m.said()
    recover(s, disk, status)
    # An old copy put back by the host opens too: what tells it is the count.
    with s.boot_again("sealed", copy_of(s, first_boot(s))) as m:
        assert opened(m) == (s.volume, 2)


def case_volume_other_image(s):
    """another image on the same TPM does not open the volume, and neither does the same image on another TPM"""
    data = read_volume(first_boot(s))
    other = s.make("other", *OPTIONS, env={"CVM_TEST_DROP_WORD": "oops=panic"})
    write_volume(other, data)
    refused(s, "sealed", other, "sealed while the PCRs had other values", "PCRs that are not as they were: 4, 9, 11")
    refused(s, "other-tpm", copy_of(s, first_boot(s)), "this TPM did not seal the key")


def case_volume_foreign(s):
    """what is neither marked empty nor made by this image is not formatted and not opened"""
    disk = copy_of(s, first_boot(s))
    good = read_volume(disk, HEADER)
    write_volume(disk, bytes(HEADER))
    refused(s, "sealed", disk, "neither a volume nor marked empty")
    # The host's own LUKS2, with a key that it knows; then with the token of the real one.
    file, key = f"{s.work}/evil.bin", f"{s.work}/evil.key"
    with open(file, "wb") as f:
        f.truncate(32 << 20)
    with open(key, "wb") as f:
        f.write(bytes(32))
    luks = ["/usr/sbin/cryptsetup", "-q", "--key-file", key, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    subprocess.run([*luks, "luksFormat", "--type", "luks2", "--offset", "4096", file], check=True)
    with open(file, "rb") as f:
        write_volume(disk, f.read(HEADER))
    refused(s, "sealed", disk, "has no key that a TPM sealed")
    text = good[4096:16384].rstrip(b"\0").decode()
    token = json.loads(text)["tokens"]["0"]
    subprocess.run(["/usr/sbin/cryptsetup", "token", "import", "--token-id", "0", file], input=json.dumps(token).encode(), check=True)
    with open(file, "rb") as f:
        write_volume(disk, f.read(HEADER - 4096) + good[HEADER - 4096:])
    refused(s, "sealed", disk, "the header is not the one that was made with the sealed key")


def case_volume_host_tpm(s):
    """a TPM that the host runs is refused where the image does not accept it"""
    disk = s.make("strict", "--volume", "32", "--seal", "strong")
    refused(s, "strict", disk, "is not inside its TEE, so the host would know the key")
    assert read_volume(disk, 9) == b"cvm-agent"


def case_volume_strong(s):
    """sealed to the firmware and its settings too: another boot of the same machine opens it, another firmware does not"""
    disk = s.make("strong", "--volume", "32", "--seal", "strong", "--accept-host-vtpm")
    with s.boot_again("strong", disk) as m:
        line(m, "is marked empty: formatting it, sealed to profile strong")
        made, boots = opened(m)
        assert boots == 1, boots
    with s.boot_again("strong", disk) as m:
        assert opened(m) == (made, 2)
        assert "formatting" not in m.said()
    before = read_volume(disk)
    with s.boot_again("strong", disk, secure=True) as m:
        found = line(m, "cvm-volume: REFUSED")
        assert found.rstrip().endswith("PCRs that are not as they were: 0"), found
    assert read_volume(disk) == before, "the partition was written"
    with s.boot_again("strong", disk) as m:
        assert opened(m) == (made, 3)


def case_volume_workload(s):
    """containers run from the part of the volume that has a key of the boot, and PCR 23 and 15 are as predicted"""
    subprocess.run([f"{ROOT}/scripts/example-workload", f"{s.work}/kept"], check=True, stdout=subprocess.DEVNULL)
    folder = f"{s.work}/kept/workload"
    disk = s.make("kept", "--workload", folder, "--volume", "192", "--accept-host-vtpm", "--workload-on-volume")
    done = s.run("predict", disk, "--firmware", vm.CODE, "--workload", folder, "--json", "--all", "-o", f"{s.work}/kept.json")
    assert done.returncode == 0, done.stderr
    predicted = {str(row["pcr"]): row for row in json.loads(done.stdout)["pcrs"]}
    with s.boot_again("kept", disk) as m:
        line(m, "boot 1 on it; the workload lies on it")
        collaterals(m)
        m.wait(lambda: '"state":"running"' in m.said() or "state=running" in m.said(), BOOT_SECONDS * 2, "the workload runs")
        compare(predicted, get(m, f"/collaterals/{NONCE}"))
    assert b"/bin/busybox" not in read_volume(disk), "a container's settings lie on the disk as they are"

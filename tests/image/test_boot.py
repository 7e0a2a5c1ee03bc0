"""Boots disk images: the agent answers, what was predicted is what is quoted, and what a hostile host tries does not work.

usage: test_boot.py BUILD-FOLDER [--full] [CASE...]
Builds the image with scripts/build-image, flavour test, from the programs in BUILD-FOLDER/bin. Ends with 77 (skipped) where the
tools, the packages or the network for that are not there."""
import base64
import json
import os
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nvram  # noqa: E402
import vm  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED, ENVIRONMENT = 77, 4
BOOT_SECONDS = 240
NONCE = "image-boot-test"
PREDICTED = ("2", "3", "4", "5", "6", "7", "8", "9", "11", "12", "13", "15", "16", "23")


def skip(why):
    print(f"SKIPPED: {why}", flush=True)
    sys.exit(SKIPPED)


class Suite:
    def __init__(self, build, work):
        self.build, self.work, self.n = os.path.abspath(build), work, 0
        self.cli = f"{self.build}/bin/cvm-cli"
        self.disk = f"{work}/test.raw"

    def make(self, name, *options, env=None):
        """Builds an image; the agent of this build, so that nothing is compiled."""
        agent = [] if "--debug" in options or "production" in name else ["--test", "--agent", self.build]
        done = subprocess.run(["nice", f"{ROOT}/scripts/build-image", "--no-install", "-o", f"{self.work}/{name}", *agent, *options],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})}, timeout=900)
        if done.returncode == ENVIRONMENT:
            skip(done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout[-3000:]
        return f"{self.work}/{name}.raw"

    def machine(self, disk=None, **options):
        self.n += 1
        return vm.Machine(f"{self.work}/vm{self.n}", disk or self.disk, **options)

    def copy(self):
        path = f"{self.work}/changed.raw"
        subprocess.run(["cp", "--sparse=always", self.disk, path], check=True)
        return path

    def run(self, *command):
        return subprocess.run([self.cli, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)

    def predict(self, disk):
        done = self.run("predict", disk, "--firmware", vm.CODE, "--no-workload", "--json", "--all", "-o", f"{self.work}/golden.json")
        assert done.returncode == 0, done.stderr
        return {str(row["pcr"]): row for row in json.loads(done.stdout)["pcrs"]}


def get(m, path):
    context = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://127.0.0.1:{m.port}{path}", timeout=10, context=context) as answer:
        return json.load(answer)


def answers(m):
    if m.off():
        raise AssertionError(f"the machine went off. The console says:\n{m.said()[-3000:]}")
    try:
        return get(m, "/healthz")["status"] == "ok"
    except (OSError, ValueError, KeyError):
        return False


def collaterals(m):
    m.wait(lambda: answers(m), BOOT_SECONDS, "the agent answers")
    return get(m, f"/collaterals/{NONCE}")


def quoted(document):
    return {k: base64.b64decode(v).hex() for k, v in document["tpm"]["pcrs"]["pcrs"].items()}


def compare(predicted, document):
    have = quoted(document)
    for pcr in PREDICTED:
        row = predicted[pcr]
        assert row["state"] == "predicted", row
        assert row["value"] == have[pcr], f"PCR {pcr}: predicted {row['value']}, quoted {have[pcr]}"
    print(f"  {len(PREDICTED)} registers are as predicted: {', '.join(PREDICTED)}", flush=True)


# ---- Cases: a name, what it shows. The first is the one of every test run. ----

def case_boot(s):
    """the agent answers; its document verifies against the predicted golden measurement"""
    predicted = s.predict(s.disk)
    with s.machine() as m:
        start = time.monotonic()
        document = collaterals(m)
        print(f"  answered {time.monotonic() - start:.1f} s after the start of QEMU", flush=True)
        assert document["platform"] == {"tee": "sev_snp", "cloud": "none", "emulated": True}, document["platform"]
        compare(predicted, document)
        with open(f"{s.work}/document.json", "w") as f:
            json.dump(document, f)
        # The emulated processor's root is in the document: this test asks whether all else fits together.
        ark = ssl.DER_cert_to_PEM_cert(base64.b64decode(document["sev_snp"]["cert_chain"][-1]))
        with open(f"{s.work}/roots.pem", "w") as f:
            f.write(ark)
        judge = ["verify", f"{s.work}/document.json", "--nonce", NONCE, "--offline", "--trust-emulator", f"{s.work}/roots.pem",
                 "--accept-self-asserted-ak", "--json", "--golden"]
        done = s.run(*judge, f"{s.work}/golden.json")
        answer = json.loads(done.stdout)
        checks = {c["check"]: c for c in answer["checks"]}
        assert done.returncode == 0 and answer["success"], [c for c in answer["checks"] if c["ok"] is False]
        for name in ("tpm.eventlog_replay", "golden.pcrs", "binding.nonce", "journal.log_replay"):
            assert checks[name]["ok"] is True, checks[name]
        # Another register, and the answer names it.
        with open(f"{s.work}/golden.json") as f:
            other = json.load(f)
        other["golden_measurement"]["tpm"]["pcrs"]["9"] = "00" * 32
        with open(f"{s.work}/other.json", "w") as f:
            json.dump(other, f)
        done = s.run(*judge, f"{s.work}/other.json")
        failed = [c for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
        assert done.returncode == 1 and [c["check"] for c in failed] == ["golden.pcrs"] and "PCR 9" in failed[0]["detail"], failed
        said = m.said()
        assert "verified root opened" in said, said[-2000:]


def stops(s, disk, says, **options):
    with s.machine(disk, **options) as m:
        m.wait(m.off, BOOT_SECONDS, "the machine stops")
        said = m.said()
        assert says in said, f"the console does not say \"{says}\":\n{said[-2000:]}"
        assert "cvm-agent" not in said.split("cvm-init")[-1] or "REFUSED" in said, said[-2000:]
        print("  " + next(line for line in said.splitlines() if says in line).strip()[:140], flush=True)


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1]))


def partition(disk, number):
    with open(disk, "rb") as f:
        f.seek(1024 + 128 * (number - 1))
        first, last = struct.unpack_from("<32xQQ", f.read(128))
    return first * 512, (last + 1) * 512


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


def case_workload(s):
    """a workload on the disk runs, and PCR 23 and 15 are as predicted"""
    subprocess.run([f"{ROOT}/scripts/example-workload", f"{s.work}/example"], check=True, stdout=subprocess.DEVNULL)
    folder = f"{s.work}/example/workload"
    disk = s.make("workload", "--workload", folder)
    done = s.run("predict", disk, "--firmware", vm.CODE, "--workload", folder, "--json", "--all", "-o", f"{s.work}/workload.json")
    assert done.returncode == 0, done.stderr
    predicted = {str(row["pcr"]): row for row in json.loads(done.stdout)["pcrs"]}
    with s.machine(disk) as m:
        collaterals(m)
        m.wait(lambda: any(e["type"] == "ready" for e in get(m, f"/collaterals/{NONCE}")["workload_log"]), BOOT_SECONDS,
               "the workload is measured")
        m.wait(lambda: '"state":"running"' in m.said() or "state=running" in m.said(), BOOT_SECONDS, "the workload runs")
        compare(predicted, get(m, f"/collaterals/{NONCE}"))


def case_production(s):
    """the production image boots, has no shell, and its agent attests by the TPM alone"""
    disk = s.make("production")
    predicted = s.predict(disk)
    with s.machine(disk) as m:
        document = collaterals(m)
        compare(predicted, document)
        assert document["platform"]["emulated"] is False and document["platform"]["tee"] == "none", document["platform"]
        said = m.said()
        assert "login:" not in said and "# " not in said.splitlines()[-1], said[-500:]


def case_reproducible(s):
    """two builds give the same disk"""
    again = s.make("again")
    with open(f"{s.work}/test.json") as a, open(f"{s.work}/again.json") as b:
        first, second = json.load(a), json.load(b)
    assert first == second, {k: (first[k], second[k]) for k in first if first[k] != second[k]}
    os.unlink(again)


CASES = [case_boot, case_root_start, case_root_middle, case_hash_tree, case_cmdline, case_credential, case_systemd_options,
         case_production, case_reproducible, case_workload]


def main():
    arguments = [a for a in sys.argv[1:] if a != "--full"]
    if not arguments:
        sys.exit(__doc__)
    names = arguments[1:] or [c.__name__[5:] for c in (CASES if "--full" in sys.argv else CASES[:1])]
    chosen = [c for c in CASES if c.__name__[5:] in names]
    assert len(chosen) == len(names), f"cases: {', '.join(c.__name__[5:] for c in CASES)}"
    why = vm.missing()
    if why:
        skip(why)
    work = tempfile.mkdtemp(prefix="cvm-image-test.")
    try:
        suite = Suite(arguments[0], work)
        print("building the image", flush=True)
        suite.make("test")
        for case in chosen:
            print(f"{case.__name__[5:]}: {case.__doc__}", flush=True)
            case(suite)
        print(f"{len(chosen)} cases passed", flush=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

"""What the boot cases share: building images, predicting, booting, asking the agent."""
import base64
import json
import os
import re
import ssl
import struct
import subprocess
import sys
import urllib.error
import urllib.request

import vm

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
import images  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED, ENVIRONMENT = 77, 4
# What build scripts say of a machine without the tools, the space or the network; their other failures have the same status.
OFFLINE = r"the mirror \S+ does not answer"
LACKING = rf"needs \S+: install the package|MiB free|{OFFLINE}"
BOOT_SECONDS = 240
NONCE = "image-boot-test"
PREDICTED = ("2", "3", "4", "5", "6", "7", "8", "9", "11", "12", "13", "15", "16", "23")


def skip(why):
    """Where CVM_BOOT is "required" (scripts/test) a machine without a network may skip, and no other."""
    if os.environ.get("CVM_BOOT") == "required" and not re.search(OFFLINE, why):
        print(f"FAILED: {why}. This run wants a disk image booted: scripts/test --boot-optional does without", flush=True)
        sys.exit(1)
    print(f"SKIPPED: {why}", flush=True)
    sys.exit(SKIPPED)


class CaseSkipped(Exception):
    """One case cannot run here; the others can."""


SIZE_MAX, ROOT_MAX = 350 << 20, 150 << 20


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
        said = done.stdout.strip().splitlines()[-1:] or [""]
        if done.returncode == ENVIRONMENT and re.search(LACKING, said[0]):
            skip(said[0])
        assert done.returncode == 0, done.stdout[-3000:]
        return f"{self.work}/{name}.raw"

    def machine(self, disk=None, **options):
        self.n += 1
        return vm.Machine(f"{self.work}/vm{self.n}", disk or self.disk, **options)

    def boot_again(self, name, disk, **options):
        """The machine of that name boots the disk, and what it writes stays."""
        return vm.Machine(f"{self.work}/{name}", disk, keep=True, **options)

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


def judge(s, document, golden):
    """(status, {check: row}) of a booted image's document held against a golden measurement (a value or a file), whatever signed it: the
    emulated processor's root is taken from the document itself."""
    paths = [f"{s.work}/document.json", f"{s.work}/roots.pem", golden if isinstance(golden, str) else f"{s.work}/held.json"]
    for path, text in zip(paths, (json.dumps(document), ssl.DER_cert_to_PEM_cert(base64.b64decode(document["sev_snp"]["cert_chain"][-1])),
                                  None if isinstance(golden, str) else json.dumps(golden))):
        if text is not None:
            with open(path, "w") as f:
                f.write(text)
    done = s.run("verify", paths[0], "--nonce", NONCE, "--offline", "--trust-emulator", paths[1], "--accept-self-asserted-ak", "--json", "--golden",
                 paths[2])
    return done.returncode, {c["check"]: c for c in json.loads(done.stdout)["checks"]}


def failures(checks):
    return {name: row["detail"] for name, row in checks.items() if row["ok"] is False}


def get(m, path):
    context = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://127.0.0.1:{m.port}{path}", timeout=10, context=context) as answer:
        return json.load(answer)


def ask(m, method, path, body=None, token=None):
    """(status, text) of any answer."""
    headers = {"Content-Type": "application/octet-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"https://127.0.0.1:{m.port}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120, context=ssl._create_unverified_context()) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def reader(s, name, script, more="", policy=None):
    """A workload of one service, reader, that runs a script of busybox ($$b) and says what it sees; its folder."""
    folder = f"{s.work}/{name}/workload"
    os.makedirs(f"{folder}/config/cvm_agent")
    with open(f"{folder}/docker-compose.yml", "w") as f:
        f.write(f'services:\n  reader:\n    image: localhost/reader:1\n{more}    command: ["/bin/busybox", "sh", "-c", "b=/bin/busybox; {script}"]\n')
    with open(f"{folder}/config/cvm_agent/cvm_agent_policy.json", "w") as f:
        json.dump({**(policy or {}), "workload_config": {"image_signature_verification": {"enable": False}}}, f)
    images.write_archive(f"{folder}/reader.tar", "localhost/reader:1", ["/bin/busybox", "sleep", "1000000"])
    return folder


def token_of(m):
    status, text = ask(m, "GET", "/api-token")
    assert status == 200, (status, text)
    return text.strip()


def read(m, token, lines):
    """The last lines that the reader said; nothing while it does not run."""
    status, text = ask(m, "GET", f"/container-logs?name=reader&tail={lines}", token=token)
    return "".join(found["log"] for found in json.loads(text)) if status == 200 else ""


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


def sizes(disk):
    """A disk without a workload, and its root, are as small as promised."""
    size, (start, end) = os.path.getsize(disk), partition(disk, 2)
    print(f"  disk {size / (1 << 20):.0f} of at most {SIZE_MAX >> 20} MiB, root {(end - start) / (1 << 20):.0f} of at most {ROOT_MAX >> 20} MiB",
          flush=True)
    assert size <= SIZE_MAX and end - start <= ROOT_MAX, (size, end - start)


def partition(disk, number):
    with open(disk, "rb") as f:
        f.seek(1024 + 128 * (number - 1))
        first, last = struct.unpack_from("<32xQQ", f.read(128))
    return first * 512, (last + 1) * 512

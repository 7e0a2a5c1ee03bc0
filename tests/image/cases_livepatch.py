"""Livepatches on a booted disk image: a kernel that takes modules by their signature only."""
import hashlib
import json
import os
import re
import struct
import subprocess
import sys

import nvram
from suite import BOOT_SECONDS, ENVIRONMENT, LACKING, NONCE, ROOT, CaseSkipped, ask, collaterals, get, quoted

sys.path.insert(0, f"{ROOT}/tests/integration")
import images  # noqa: E402

NAME, OTHER_NAME = "cvm_livepatch", "cvm_another"
COMPOSE = """services:
  reader:
    image: localhost/reader:1
    command: ["/bin/busybox", "sh", "-c", "while :; do /bin/busybox cat /proc/cmdline; /bin/busybox sleep 1; done"]
"""


def workload(s):
    """A service that shows what the kernel says, and a policy that allows livepatches."""
    folder = f"{s.work}/patchable/workload"
    os.makedirs(f"{folder}/config/cvm_agent")
    with open(f"{folder}/docker-compose.yml", "w") as f:
        f.write(COMPOSE)
    with open(f"{folder}/config/cvm_agent/cvm_agent_policy.json", "w") as f:
        json.dump({"cvm_config": {"enable_livepatch": True}, "workload_config": {"image_signature_verification": {"enable": False}}}, f)
    images.write_archive(f"{folder}/reader.tar", "localhost/reader:1", ["/bin/busybox", "sleep", "1000000"])
    return folder


def key(folder, name):
    """A certificate that signs modules: key and certificate in PEM, certificate in DER."""
    paths = [f"{folder}/{name}.{kind}" for kind in ("key", "pem", "der")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650", "-subj", f"/CN={name}",
                    "-addext", "keyUsage=digitalSignature", "-keyout", paths[0], "-out", paths[1]], check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-in", paths[1], "-outform", "DER", "-out", paths[2]], check=True)
    return paths


def sign(module, signer):
    """As scripts/sign-file of Linux does: PKCS #7 behind the module, then struct module_signature and a magic."""
    done = subprocess.run(["openssl", "cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-md", "sha256", "-outform", "DER",
                           "-signer", signer[1], "-inkey", signer[0]], input=module, check=True, capture_output=True)
    return module + done.stdout + struct.pack(">8BI", 0, 0, 2, 0, 0, 0, 0, 0, len(done.stdout)) + b"~Module signature appended~\n"


def of_debian(name):
    """A module of the image's kernel, signed by Debian, as it lies in the kernel's package."""
    with open(f"{ROOT}/rootfs/packages.lock") as f:
        package, _, digest = next(line.split()[:3] for line in f if line.startswith("linux-image-6") or line.startswith("linux-image-7"))
    kernel = package.removeprefix("linux-image-")
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", f"{cache}/cvm-agent/debs/{digest}.deb"], check=True, capture_output=True).stdout
    packed = subprocess.run(["tar", "-xO", f"./lib/modules/{kernel}/kernel/{name}.ko.xz"], input=tar, check=True, capture_output=True).stdout
    return subprocess.run(["xz", "-dc"], input=packed, check=True, capture_output=True).stdout


def modules(s):
    """Two versions of one livepatch and one of another name, not signed."""
    wanted = [f"{NAME}=patched-one", f"{NAME}=patched-two", f"{OTHER_NAME}=patched-three"]
    done = subprocess.run([f"{ROOT}/tests/image/livepatch/build", s.work, *wanted], capture_output=True, text=True)
    said = done.stderr.strip().splitlines()[-1:] or [""]
    if done.returncode == ENVIRONMENT and re.search(LACKING, said[0]):
        raise CaseSkipped(said[0])
    assert done.returncode == 0, done.stderr
    found = []
    for module in wanted:
        with open(f"{s.work}/{module.split('=')[1]}.ko", "rb") as f:
            found.append(f.read())
    return found


def extended(value, loaded):
    """The register after these livepatches (name, file), by the rule of docs/measurement.md and nobody's code."""
    for name, file in loaded:
        preimage = b"cvm-agent-v1\0livepatch\0" + name.encode() + b"\0" + hashlib.sha384(file).digest()
        value = hashlib.sha256(value + hashlib.sha256(preimage).digest()).digest()
    return value


def case_livepatch(s):
    """a signed livepatch takes effect and is replaced; what is not signed well is refused; PCR 16 and 15 have each of them"""
    ours, stranger = key(s.work, "ours"), key(s.work, "stranger")
    with open(ours[2], "rb") as f:
        trusted = nvram.signature_database(f.read())
    first, second, third = modules(s)
    good, newer, another = sign(first, ours), sign(second, ours), sign(third, ours)
    tampered = good.replace(b"patched-one\n", b"patched-own\n", 1)
    assert tampered != good
    disk = s.make("livepatch", "--workload", workload(s))
    predicted = s.predict(disk)
    with s.machine(disk, nvram=trusted) as m:
        collaterals(m)
        m.wait(lambda: any(e["type"] == "ready" for e in get(m, f"/collaterals/{NONCE}")["workload_log"]), BOOT_SECONDS, "measured")
        token = ask(m, "GET", "/api-token")[1].strip()
        token = json.loads(token)["token"] if token.startswith("{") else token

        def shows(text):
            status, body = ask(m, "GET", "/container-logs?name=reader&tail=1", token=token)
            return status == 200 and text in body

        m.wait(lambda: shows("cvm.root="), BOOT_SECONDS, "the service shows the command line")
        before = quoted(get(m, f"/collaterals/{NONCE}"))
        assert before["16"] == "00" * 32, before["16"]
        refusals = [("not signed", first), ("by a stranger", sign(first, stranger)), ("changed", tampered)]
        for what, module in refusals[:1]:
            status, text = ask(m, "POST", "/livepatch", module, token)
            print(f"  {what}: {status} {text.strip()}", flush=True)
            assert status == 403 and "signature" in text, (what, status, text)
        status, text = ask(m, "POST", "/livepatch", of_debian("drivers/net/dummy"), token)
        assert status == 403 and "no livepatch" in text, (status, text)
        status, text = ask(m, "POST", "/livepatch", good, token)
        assert status == 200 and "PCR 16" in text, (status, text)
        m.wait(lambda: shows("patched-one"), 60, "the first livepatch takes effect")
        for what, module in refusals[1:]:
            status, text = ask(m, "POST", "/livepatch", module, token)
            print(f"  {what}: {status} {text.strip()}", flush=True)
            assert status == 403 and "signature" in text, (what, status, text)
        assert shows("patched-one"), "a livepatch that was refused took the running one away"
        for module, text in (newer, "patched-two"), (another, "patched-three"):
            status, answer = ask(m, "POST", "/livepatch", module, token)
            assert status == 200, (status, answer)
            m.wait(lambda: shows(text), 60, f"{text} takes the place of what was loaded before")
        said = [line for line in m.said().splitlines() if "kernel:" not in line]  # the journal says it again
        for text, count in [(f"livepatch: enabling patch '{NAME}'", 2), (f"livepatch: '{NAME}': unpatching complete", 2),
                            (f"livepatch: enabling patch '{OTHER_NAME}'", 1), (f"livepatch: '{OTHER_NAME}': unpatching", 0)]:
            assert sum(text in line for line in said) == count, (text, [line for line in said if "livepatch:" in line])
        judge(s, m, token, before, [(NAME, first), (NAME, good), *[(NAME, module) for _, module in refusals[1:]], (NAME, newer),
                                    (OTHER_NAME, another)], predicted)


def judge(s, m, token, before, loaded, predicted):
    """Registers, logs and the verifier agree on what was sent to the kernel."""
    document = get(m, f"/collaterals/{NONCE}")
    after = quoted(document)
    for pcr in "16", "15":
        assert after[pcr] == extended(bytes.fromhex(before[pcr]), loaded).hex(), f"PCR {pcr}"
    logged = [e for e in document["workload_log"] if e["type"] == "livepatch"]
    assert [e["content_sha384"] for e in logged] == [hashlib.sha384(file).hexdigest() for _, file in loaded]
    acts = [a for a in json.loads(ask(m, "GET", "/journal", token=token)[1])["acts"].values() if a["verb"] == "livepatch"]
    outcomes = sorted(a["outcome"] for a in acts)
    print(f"  {len(logged)} livepatches measured; acts in the journal: {outcomes}", flush=True)
    assert outcomes == ["done"] * 3 + ["refused"] * (len(loaded) - 2), acts  # the module of Debian was refused and not measured
    with open(f"{s.work}/patched.json", "w") as f:
        json.dump(document, f)
    done = s.run("verify", f"{s.work}/patched.json", "--nonce", NONCE, "--offline", "--accept-self-asserted-ak", "--json", "--golden",
                 f"{s.work}/golden.json")
    checks = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
    for name in "workload.log_replay", "journal.log_replay", "tpm.eventlog_replay":
        assert checks[name]["ok"] is True, checks[name]
    # A golden measurement of the image alone refuses: the patches show in PCR 16, the key that the host added in PCR 7.
    assert checks["golden.pcrs"]["ok"] is False and "PCR 7" in checks["golden.pcrs"]["detail"], checks["golden.pcrs"]
    assert predicted["7"]["value"] != after["7"]

#!/usr/bin/python3
"""One emulated shape, end to end, judged by tests/interop/check_collaterals.py: inside, outside and on the Unix socket,
after a restart, and fresh where the shape has fresh reports.

usage: test_shapes.py PROGRAM SHAPE
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

JUDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop", "check_collaterals.py")
TEE = {"snp": (2, "sev_snp"), "tdx": (1, "tdx")}
CLOUD = {"gcp": 1, "azure": 2, "aws": 3}


def expect(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAIL {what} {detail}")
    print(f"ok   {what}")


def judge(folder, doc, magic, nonce, extra=(), good=True):
    path = os.path.join(folder, "document.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f)
    run = subprocess.run([JUDGE, path, "--roots", os.path.join(folder, "state/emulator/roots.pem"), "--magic", magic,
                          "--nonce", nonce, *extra], capture_output=True, text=True)
    if good:
        print(run.stdout, run.stderr)
    expect(f"{magic} {nonce}: judged {'good' if good else 'bad'}", (run.returncode == 0) == good)


def judge_damaged(folder, doc, magic, nonce):
    """The judge itself must be able to say no: one bit of each signed thing."""
    tee = "sev_snp" if "sev_snp" in doc else "tdx"
    places = [(tee, "attestation_report", 0x60)] + ([("tpm", "quote", 50), ("tpm", "raw_sig", 20)] if "tpm" in doc else [])
    for section, member, at in places:
        damaged = json.loads(json.dumps(doc))
        raw = bytearray(base64.b64decode(damaged[section][member]))
        raw[at] ^= 1
        damaged[section][member] = base64.b64encode(raw).decode()
        judge(folder, damaged, magic, nonce, good=False)


def check_platform(agent, shape):
    tee, cloud = TEE["tdx" if "tdx" in shape else "snp"], shape.split("-")[0]
    platform = agent.get("/platform")
    expect("/platform", platform["tee_type"] == tee[0] and platform["tee_name"] == tee[1]
           and platform["cloud_type"] == CLOUD.get(cloud, 0) and platform["emulated"] is True
           and platform["cloud_name"] == (cloud if cloud in CLOUD else "none"), platform)
    return platform


def check_golden(agent, shape, doc):
    golden = agent.get("/golden-measurement")["golden_measurement"]
    expect("/golden-measurement: alias", golden == agent.get("/offchain/golden-measurement")["golden_measurement"])
    expect("/golden-measurement: platform and workload", golden["platform"]["tee"] == doc["platform"]["tee"]
           and golden["workload"] is None and golden["version"] == 1)
    if "tpm" in doc:
        pinned = sorted(int(i) for i in golden["tpm"]["pcrs"])
        expect("/golden-measurement: PCRs", pinned == [0, 2, 3, 4, 7, 8, 9, 11, 12, 13, 16, 23], pinned)
    else:
        expect("/golden-measurement: no TPM", "tpm" not in golden)


def main():
    program, shape = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="cvm-shape-") as folder:
        state, key_file = os.path.join(folder, "state"), os.path.join(folder, "spki.der")
        for start in ("first", "second"):
            with Agent(program, state, ["--emulate", shape]) as agent:
                platform = check_platform(agent, shape)
                with open(key_file, "wb") as f:
                    f.write(agent.tls_spki())
                tls = ["--tls-spki-der", key_file]
                inside = agent.get("/collaterals/1234")
                judge(folder, inside, "Internal/collaterals", "1234", tls)
                expect("tls key in /platform", platform["tls_spki_sha256"] == inside["tls_spki_sha256"])
                judge_damaged(folder, inside, "Internal/collaterals", "1234")
                judge(folder, agent.get(f"/offchain/collaterals/{start}", "external"), "External/collaterals", start, tls)
                judge(folder, agent.get("/collaterals/a%2Fb%20c", "socket"), "Internal/collaterals", "a/b c", tls)
                if "tpm" in inside:
                    doc = agent.get("/collaterals/x?pcr_bank=sha384")
                    expect("SHA-384 bank", doc["tpm"]["pcrs"]["hash"] == 12)
                if shape.startswith("azure"):
                    judge(folder, agent.get("/collaterals/fresh-one?fresh=1"), "Internal/collaterals", "fresh-one",
                          tls + ["--fresh"])
                    status, headers, _ = agent.request("internal", "GET", "/collaterals/again?fresh=1")
                    expect("a second fresh report at once is refused", status == 429 and headers["Retry-After"] == "5",
                           (status, headers))
                else:
                    status, _, _ = agent.request("internal", "GET", "/collaterals/x?fresh=1")
                    expect("fresh=1 is for Azure", status == 400, status)
                check_golden(agent, shape, inside)
                status, seconds = agent.stop()
                expect(f"SIGTERM: exit 0 within 2 s ({seconds:.2f} s)", status == 0 and seconds < 2, status)
    print("passed")


if __name__ == "__main__":
    main()

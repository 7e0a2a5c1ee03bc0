#!/usr/bin/python3
"""The README's walk with two machines: attester and verifier, a signed golden measurement, and a refusal.

usage: test_walk.py BIN_DIR
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402


def expect(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAIL {what} {detail}")
    print(f"ok   {what}")


def main():
    bin_dir = sys.argv[1]
    agent, cli = os.path.join(bin_dir, "cvm-agent"), os.path.join(bin_dir, "cvm-cli")

    def run(*args):
        return subprocess.run(args, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory(prefix="cvm-walk-") as folder:
        def at(name):
            return os.path.join(folder, name)

        with Agent(agent, at("attester"), ["--emulate", "gcp-snp"]) as attester, \
                Agent(agent, at("verifier"), ["--emulate", "azure-snp"]) as verifier:
            roots = at("attester/emulator/roots.pem")
            golden = attester.get("/golden-measurement")
            with open(at("golden.json"), "w", encoding="utf-8") as f:
                json.dump(golden, f)
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at("key.pem"))
            run("openssl", "ec", "-in", at("key.pem"), "-pubout", "-out", at("key.pub"))
            done = run(cli, "sign", at("golden.json"), at("key.pem"), "-o", at("signed.json"))
            expect("sign", done.returncode == 0, done.stderr)
            nonce = run("openssl", "rand", "-hex", "15").stdout.strip()
            document = attester.get("/collaterals/" + nonce, "external")
            with open(at("collaterals.json"), "w", encoding="utf-8") as f:
                json.dump(document, f)
            verify = [cli, "verify", at("collaterals.json"), "--nonce", nonce, "--golden", at("signed.json"),
                      "--golden-key", at("key.pub")]
            done = run(*verify, "--trust-emulator", roots)
            expect("verify", done.returncode == 0 and done.stdout.rstrip().endswith("\nverified"), done.stdout)
            done = run(*verify)
            expect("without the root: no", done.returncode == 1 and "platform.hardware_root" in done.stdout)
            with open(at("signed.json"), encoding="utf-8") as f:
                signed = json.load(f)
            with open(roots, encoding="utf-8") as f:
                trust = f.read()
            body = {"collaterals": json.dumps(document), "golden_measurement": json.dumps(signed["golden_measurement"]),
                    "trust_roots": trust, "nonce": nonce}

            def judge(body):
                status, _, answer = verifier.request("internal", "POST", "/offchain-verify", body=json.dumps(body))
                expect("POST /offchain-verify", status == 200, (status, answer))
                return json.loads(answer)
            answer = judge(body)
            expect("the other machine says yes", answer["success"] is True, answer)
            del body["trust_roots"]
            expect("without the root: no", judge(body)["success"] is False)
            body["trust_roots"] = trust
            signed["golden_measurement"]["tpm"]["pcrs"]["11"] = "00" * 32
            body["golden_measurement"] = json.dumps(signed["golden_measurement"])
            answer = judge(body)
            failed = [c for c in answer["checks"] if c["ok"] is False]
            expect("another PCR 11: no, and the register is named",
                   answer["success"] is False and [c["check"] for c in failed] == ["golden.pcrs"]
                   and "PCR 11" in failed[0]["detail"], failed)
    print("passed")


if __name__ == "__main__":
    main()

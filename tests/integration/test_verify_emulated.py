"""Evidence of emulated machines through the raw verify commands: the TPM's part holds to whom names its key; the
hardware's signature holds, but ends at a root that no verifier trusts.

usage: test_verify_emulated.py PROGRAM SHAPE...
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

CLI = os.path.join(os.environ["CVM_BIN"], "cvm-cli")
HASHES = {11: "sha256", 12: "sha384"}


def run(status, want, *args):
    done = subprocess.run([CLI, *args, "--json"], capture_output=True, text=True, timeout=30)
    checks = {c["check"]: c["ok"] for c in json.loads(done.stdout)["checks"]}
    wrong = {k: checks.get(k, "absent") for k, v in want.items() if checks.get(k, "absent") != v}
    if done.returncode != status or wrong:
        sys.exit(f"FAIL {args}: exit {done.returncode}, want {status}; {wrong}\n{done.stdout}{done.stderr}")


class Folder:
    def __init__(self, path):
        self.path = path

    def put(self, name, data):
        path = os.path.join(self.path, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def put_b64(self, name, text):
        return self.put(name, base64.b64decode(text))


def check_tpm(out, doc):
    tpm = doc["tpm"]
    values = {i: base64.b64decode(v).hex() for i, v in tpm["pcrs"]["pcrs"].items()}
    pcrs = out.put("pcrs.json", json.dumps({"alg": HASHES[tpm["pcrs"]["hash"]], "pcrs": values}).encode())
    nonce = (base64.b64decode(doc["magic"]) + base64.b64decode(doc["nonce"])).hex()
    args = ["verify-tpm", "--quote", out.put_b64("quote", tpm["quote"]), "--signature",
            out.put_b64("signature", tpm["raw_sig"]), "--pcrs", pcrs, "--extra-data", nonce, "--eventlog",
            out.put_b64("log", doc["boot_log_tpm"])]
    good = {c: True for c in ("tpm.quote_format", "tpm.quote_signature", "tpm.extra_data", "tpm.pcr_digest",
                              "tpm.eventlog_replay")}
    named = {"tpm.ak_chain": None, "tpm.ak_anchor": None}
    run(0, good | named | {"tpm.ak_attributes": True}, *args, "--ak", out.put_b64("ak.tpmt", tpm["ak_public"]))
    run(0, good | named | {"tpm.ak_attributes": None}, *args, "--ak", out.put_b64("ak.der", tpm["ak_pub"]))
    if "ak_cert" in tpm:  # Google's names, another root
        chain = [a for i, c in enumerate(tpm["ak_cert_chain"])
                 for a in ("--ak-chain", out.put_b64(f"chain{i}", c))]
        run(1, good | {"tpm.ak_chain": False, "tpm.ak_anchor": False}, *args, "--ak-cert",
            out.put_b64("ak.crt", tpm["ak_cert"]), *chain)
    values["4"] = "00" * 32
    out.put("pcrs.json", json.dumps({"alg": "sha256", "pcrs": values}).encode())
    run(1, {"tpm.quote_signature": True, "tpm.pcr_digest": False, "tpm.eventlog_replay": False}, *args, "--ak",
        os.path.join(out.path, "ak.tpmt"))


def check_snp(out, doc):
    snp = doc["sev_snp"]
    args = ["verify-snp", out.put_b64("report", snp["attestation_report"]), "--vek", out.put_b64("vek", snp["vek_cert"])]
    for i, c in enumerate(snp["cert_chain"]):
        args += ["--chain", out.put_b64(f"snp{i}", c)]
    run(1, {"snp.format": True, "snp.report_signature": True, "snp.vek_chain": False, "snp.vek_tcb": False,
            "snp.debug": False, "snp.crl": None}, *args)


def main():
    for shape in sys.argv[2:]:
        with tempfile.TemporaryDirectory(prefix="cvm-verify-") as folder:
            with Agent(sys.argv[1], os.path.join(folder, "state"), ["--emulate", shape]) as agent:
                doc = agent.get("/collaterals/1234")
                agent.stop()
            if "tpm" in doc:
                check_tpm(Folder(folder), doc)
            check_snp(Folder(folder), doc)
            print(f"ok   {shape}")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""cvm-cli verify over documents put together from recorded evidence of real machines: the vendors' built-in roots are
reached without any being given. Their quotes answer other questions than ours, which is the one thing refused.

usage: test_verify_recorded.py CVM-CLI EVIDENCE
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import serialization

CLI, EVIDENCE = sys.argv[1:3]
AZURE = [os.path.join(EVIDENCE, "azure-snp", name) for name in ("milan-v2-report-vtpm", "milan-v3-report-vtpm",
                                                                  "genoa-v3-report-vtpm")]


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def b64(data):
    return base64.b64encode(data).decode()


def der(pem):
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def azure_document(folder):
    pcrs = json.loads(read(folder, "pcrs.json"))
    key = serialization.load_pem_public_key(read(folder, "ak_pub.pem"))
    return {
        "sev_snp": {"attestation_report": b64(read(folder, "snp_report.bin")), "vek_cert": b64(read(folder, "vcek.der")),
                    "cert_chain": [b64(der(read(folder, name))) for name in ("ask.pem", "ark.pem")]},
        "tpm": {"quote": b64(read(folder, "tpm_quote.msg")), "raw_sig": b64(read(folder, "tpm_quote.sig")),
                "pcrs": {"hash": 11, "pcrs": {i: b64(bytes.fromhex(v)) for i, v in pcrs["pcrs"].items()}},
                "ak_pub": b64(key.public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)),
                "var_data": b64(read(folder, "runtime_data.json"))},
        "magic": b64(b"External/collaterals"), "nonce": b64(b"1234"),
    }


def verify(doc, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(doc, f)
        f.flush()
        done = subprocess.run([CLI, "verify", f.name, "--json", *options], capture_output=True, timeout=30, check=False)
    return done.returncode, json.loads(done.stdout) if done.returncode < 2 else done.stderr.decode()


@unittest.skipUnless(os.path.exists(EVIDENCE), "no recorded evidence on this machine")
class Recorded(unittest.TestCase):
    def test_azure(self):
        for folder in AZURE:
            with self.subTest(folder=folder):
                rc, answer = verify(azure_document(folder), "--at", "2025-12-01T00:00:00Z")
                self.assertEqual(rc, 1, answer)
                failed = {c["check"] for c in answer["checks"] if c["ok"] is False}
                self.assertLessEqual(failed, {"binding.nonce", "tpm.extra_data"})
                good = {c["check"] for c in answer["checks"] if c["ok"]}
                self.assertLessEqual({"platform.hardware_root", "snp.report_signature", "snp.vek_chain", "snp.vek_tcb",
                                      "azure.runtime_data_binding", "azure.ak_binding", "binding.ak", "tpm.ak_anchor",
                                      "tpm.quote_signature", "tpm.pcr_digest"}, good)
                self.assertEqual(answer["binding"], "azure")
                claims = answer["claims"]["sevsnp"]
                self.assertEqual(claims["sevsnp_launchmeasurement"],
                                 read(folder, "snp_report.bin")[0x90:0xC0].hex())
                self.assertIn("vm-configuration", claims["sevsnp_runtime_data"])

    def test_azure_without_certificates(self):
        """They come from a folder of all evidence, which holds public keys and the like beside them."""
        for folder in AZURE:
            doc = azure_document(folder)
            del doc["sev_snp"]["vek_cert"], doc["sev_snp"]["cert_chain"]
            with self.subTest(folder=folder):
                self.assertIn("ak_pub.pem", os.listdir(folder))
                rc, answer = verify(doc, "--offline", "--certs", folder, "--at", "2025-12-01T00:00:00Z")
                self.assertEqual(rc, 1, answer)
                self.assertLessEqual({c["check"] for c in answer["checks"] if c["ok"] is False}, {"binding.nonce", "tpm.extra_data"})
                self.assertTrue(all(c["ok"] for c in answer["checks"] if c["check"] == "snp.vek_chain"))

    def test_azure_changed(self):
        doc = azure_document(AZURE[1])
        runtime = bytearray(base64.b64decode(doc["tpm"]["var_data"]))
        runtime[-2] ^= 1
        doc["tpm"]["var_data"] = b64(bytes(runtime))
        _, answer = verify(doc)
        failed = {c["check"] for c in answer["checks"] if c["ok"] is False}
        self.assertIn("azure.runtime_data_binding", failed)
        self.assertIn("tpm.ak_anchor", failed)
        self.assertNotIn("tpm", answer["claims"])

    def test_tdx_with_collateral(self):
        folder = os.path.join(EVIDENCE, "gcp-tdx/automata-sdk-v4")
        doc = {"tdx": {"attestation_report": b64(read(folder, "quote.bin"))}, "magic": b64(b"External/collaterals"),
               "nonce": b64(b"1234")}
        rc, answer = verify(doc)
        self.assertEqual((rc, answer["tcb_status"]), (1, None))
        failed = {c["check"] for c in answer["checks"] if c["ok"] is False}
        self.assertLessEqual({"tdx.tcb_info_signature", "tdx.qe_identity_signature", "tdx.crl", "tdx.tcb_status"}, failed)
        info = json.loads(read(folder, "tcb_info.json"))["tcbInfo"]
        rc, answer = verify(doc, "--certs", folder, "--at", info["issueDate"])
        good = {c["check"] for c in answer["checks"] if c["ok"]}
        self.assertLessEqual({"platform.hardware_root", "tdx.quote_signature", "tdx.tcb_info_signature"}, good)
        self.assertEqual(answer["claims"]["tdx"]["attester_tcb_status"], answer["tcb_status"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

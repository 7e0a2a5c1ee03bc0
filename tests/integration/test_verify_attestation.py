#!/usr/bin/python3
"""cvm-cli verify-attestation over a recorded attest.Attestation of go-tpm-tools and over made ones with a TEE inside.

usage: test_verify_attestation.py CVM-CLI EVIDENCE
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

CLI, EVIDENCE = sys.argv[1:3]
REAL = os.path.join(EVIDENCE, "gcp-vtpm/gce-cos-85-nonce9009/attestation.pb")
MADE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/attestation")


def run(*args, data=None):
    done = subprocess.run([CLI, "verify-attestation", *args, "--json"], input=data, capture_output=True, timeout=30,
                          check=False)
    return done.returncode, json.loads(done.stdout) if done.returncode < 2 else done.stderr.decode()


def checks(answer):
    return {c["check"]: c["ok"] for c in answer["checks"]}


@unittest.skipUnless(os.path.exists(REAL), "no recorded evidence on this machine")
class Recorded(unittest.TestCase):
    def test_nonce(self):
        rc, answer = run(REAL, "--nonce", "9009")
        self.assertEqual((rc, answer["success"], answer["freshness"]), (0, True, "fresh"))
        for name in ("tpm.quote_signature", "tpm.extra_data", "tpm.pcr_digest", "tpm.ak_attributes", "tpm.eventlog_replay"):
            self.assertIs(checks(answer)[name], True, name)
        rc, answer = run(REAL)
        self.assertEqual((rc, answer["freshness"]), (0, "unchecked"))
        rc, answer = run(REAL, "--nonce", "9008")
        self.assertEqual((rc, checks(answer)["tpm.extra_data"], answer["freshness"]), (1, False, "stale"))

    def test_one_bit(self):
        with open(REAL, "rb") as f:
            whole = f.read()
        judged = 0
        for at in range(0, len(whole), 997):
            rc, answer = run("-", "--nonce", "9009", data=whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
            self.assertIn(rc, (0, 1, 3))
            judged += rc != 0
        self.assertGreater(judged, 5)  # event data are not covered by digests of every type
        with open(os.path.join(os.path.dirname(REAL), "quote_sha256.sig"), "rb") as f:
            signature = f.read()
        at = whole.index(signature) + 40
        self.assertEqual(run("-", data=whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])[0], 1)

    def test_cut(self):
        with open(REAL, "rb") as f:
            whole = f.read()
        for n in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            self.assertEqual(run("-", data=whole[:n])[0], 3, n)


class Made(unittest.TestCase):
    def test_forms_agree(self):
        for name in ("snp", "tdx"):
            answers = [run(os.path.join(MADE, f"{name}.{form}")) for form in ("pb", "json")]
            self.assertEqual(answers[0], answers[1])
            rc, answer = answers[0]
            self.assertEqual(rc, 1)
            self.assertIn(f"{name}.format", checks(answer))

    def test_usage(self):
        with tempfile.NamedTemporaryFile() as f:
            self.assertEqual(run(f.name)[0], 3)
            self.assertEqual(run(f.name, "--nonce", "xyz")[0], 2)
            for empty in ("--nonce", "--report-data"):  # a variable of the caller's that came to nothing
                self.assertEqual(run(f.name, empty, "")[0], 2)
            self.assertEqual(run(f.name, "--at", "now")[0], 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

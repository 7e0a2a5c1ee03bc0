#!/usr/bin/python3
"""One emulated shape judged by cvm-cli verify and by POST /offchain-verify: the honest document; the document with any
one member changed; parts of two documents mixed; and a genuine hardware report that names a software key, which signs
the golden PCR values. What attackers sign is signed here with python3-cryptography and the emulator's own hardware
keys.

usage: test_verify.py CVM-CLI CVM-AGENT SHAPE
"""
import base64
import copy
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, AgentCase  # noqa: E402

CLI, AGENT, SHAPE = sys.argv[1:4]
SNP, BARE, AZURE = "snp" in SHAPE, SHAPE in ("snp", "tdx"), SHAPE.startswith("azure")
SELF_ASSERTED = SHAPE in ("snp-vtpm", "tdx-vtpm", "aws-snp")
MAGIC = b"Internal/collaterals"
SEPARATOR = hashlib.sha256(bytes(4)).digest()


def b64(data):
    return base64.b64encode(data).decode()


def raw(text):
    return base64.b64decode(text, validate=True)


def sized(data):
    return struct.pack(">H", len(data)) + data


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def self_signed(der):
    cert = x509.load_der_x509_certificate(der)
    return cert.issuer == cert.subject


class SoftwareKey:
    """A key outside any TPM, that says of itself that it is inside."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = self.key.public_key()
        self.spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        n = public.public_numbers()
        self.area = (struct.pack(">HHI", 0x23, 0x0B, 0x00050072) + sized(b"")
                     + struct.pack(">HHHHH", 0x10, 0x18, 0x0B, 3, 0x10)
                     + sized(n.x.to_bytes(32, "big")) + sized(n.y.to_bytes(32, "big")))

    def quote(self, extra, pcrs):
        digest = hashlib.sha256(b"".join(pcrs)).digest()
        quote = (b"\xffTCG\x80\x18" + sized(b"\0\x0b" + bytes(32)) + sized(extra) + struct.pack(">QIIBQ", 5, 1, 0, 1, 9)
                 + struct.pack(">IHB", 1, 0x0B, 3) + b"\xff\xff\xff" + sized(digest))
        r, s = decode_dss_signature(self.key.sign(quote, ec.ECDSA(hashes.SHA256())))
        return quote, struct.pack(">HH", 0x18, 0x0B) + sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))


def load_key(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


def find(folder, words):
    """The file below folder whose name has one of the words."""
    for root, _, names in os.walk(folder):
        for name in names:
            if any(word in name for word in words):
                return os.path.join(root, name)
    raise RuntimeError(f"no {words} below {folder}")


class Verify(AgentCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.state = os.path.join(cls.folder.name, "state")
        cls.shelf = os.path.join(cls.folder.name, "shelf")
        os.makedirs(cls.shelf)
        cls.agent = Agent(AGENT, cls.state, ["--emulate", SHAPE], {"verify_directory": cls.shelf})
        cls.doc, cls.other = cls.agent.get("/collaterals/nonce-one"), cls.agent.get("/collaterals/nonce-two")
        cls.golden = cls.agent.get("/golden-measurement")
        emulator = os.path.join(cls.state, "emulator")
        cls.roots = os.path.join(emulator, "roots.pem")

    def run_cli(self, doc, *options, roots=True):
        args = [CLI, "verify", self.file("doc.json", doc), "--json", "--offline", *options]
        if roots:
            args += ["--trust-emulator", self.roots]
        done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        self.assertIn(done.returncode, (0, 1, 2, 3), done.stderr)
        return done.returncode, json.loads(done.stdout) if done.returncode < 2 else {"error": done.stderr.decode()}

    def accept(self):
        return ["--accept-self-asserted-ak"] if SELF_ASSERTED else []

    def checks(self, answer):
        return {c["check"]: c for c in answer["checks"]}

    def verified(self, doc, *options):
        rc, answer = self.run_cli(doc, *options)
        self.assertEqual(rc, 0, answer.get("error"))
        self.assertTrue(answer["success"])
        self.assertFalse([c for c in answer["checks"] if c["ok"] is False])
        return answer

    def refused(self, doc, *options, **more):
        rc, answer = self.run_cli(doc, *options, **more)
        self.assertIn(rc, (1, 3), "verified: " + json.dumps(answer)[:400])
        if rc == 1:
            self.assertFalse(answer["success"])
            self.assertTrue(answer["error"])
        return answer

    # ---- the honest document ----

    def test_honest(self):
        golden = ["--golden", self.file("golden.json", self.golden)]
        answer = self.verified(self.doc, "--nonce", "nonce-one", *golden, *self.accept())
        checks = self.checks(answer)
        self.assertEqual(answer["freshness"], "fresh")
        for name in ("document.format", "binding.nonce", "platform.hardware_root", "workload.log_replay", "golden.tee"):
            self.assertIs(checks[name]["ok"], True, name)
        for name in ("binding.ak", "tpm.quote_signature", "tpm.pcr_digest", "journal.log_replay", "golden.pcrs"):
            self.assertIs(checks[name]["ok"], None if BARE else True, name)
        self.assertEqual(self.verified(self.doc, *self.accept())["freshness"], "unchecked")
        claims = answer["claims"]["sevsnp" if SNP else "tdx"]
        report = raw(self.doc["sev_snp" if SNP else "tdx"]["attestation_report"])
        if SNP:
            self.assertEqual(claims["sevsnp_launchmeasurement"], report[0x90:0xC0].hex())
        else:
            self.assertEqual(claims["tdx_mrtd"], report[48 + 0x88:][:48].hex() if report[0] == 4
                             else report[54 + 0x88:][:48].hex())
            self.assertEqual(claims["attester_tcb_status"], "UpToDate")
        if not BARE:
            pcrs = {p["index"]: p["digest"] for p in answer["claims"]["tpm"]["pcrs"]}
            self.assertEqual(pcrs, {int(i): raw(v).hex() for i, v in self.doc["tpm"]["pcrs"]["pcrs"].items()})
        self.assertTrue(answer["coverage"])

    def test_every_name(self):
        """Each check of the contract has a result: null where it is another platform's, never absent, never true for a
        document that reaches no root."""
        names = {"snp": ("format", "report_signature", "vek_chain", "vek_validity", "vek_tcb", "vek_chip_id", "crl", "debug"),
                 "tdx": ("format", "quote_signature", "qe_report_signature", "qe_binding", "pck_chain", "crl",
                         "tcb_info_signature", "qe_identity_signature", "collateral_dates", "fmspc", "module_identity",
                         "qe_identity", "tcb_status", "debug"),
                 "azure": ("format", "runtime_data_binding", "ak_binding", "td_quote_binding"),
                 "tpm": ("quote_format", "quote_signature", "extra_data", "pcr_digest", "ak_attributes", "ak_chain",
                         "ak_anchor", "eventlog_replay"),
                 "document": ("format", "clock"), "binding": ("nonce", "ak"), "platform": ("hardware_root",),
                 "workload": ("log_replay",), "journal": ("log_replay",), "ccel": ("replay",), "tls": ("key",),
                 "golden": ("signature", "tee", "pcrs", "workload")}
        others = {"tdx" if SNP else "snp"} | (set() if AZURE else {"azure"}) | ({"tpm"} if BARE else set())
        for roots in (True, False):
            checks = self.checks(self.run_cli(self.doc, *self.accept(), roots=roots)[1])
            for kind, tails in names.items():
                for tail in tails:
                    self.assertIn(f"{kind}.{tail}", checks)
                    if kind in others:
                        self.assertIsNone(checks[f"{kind}.{tail}"]["ok"], tail)
        self.assertIs(checks["platform.hardware_root"]["ok"], False)

    def test_empty_golden(self):
        """A golden measurement that came to nothing on the way is not one that nobody asked for."""
        rc, answer = self.run_cli(self.doc, "--golden", self.file("empty.json", b""), *self.accept())
        self.assertEqual(rc, 3)
        self.assertIn("empty", answer["error"])
        golden = self.file("golden.json", self.golden)  # nor is an empty key no key: this document is not signed
        rc, answer = self.run_cli(self.doc, "--golden", golden, "--golden-key", self.file("empty.pem", b""), *self.accept())
        self.assertEqual(rc, 3)
        self.assertIn("not a public key", answer["error"])

    def test_anchor(self):
        if BARE:
            self.skipTest("no TPM")
        golden = copy.deepcopy(self.golden)
        golden["golden_measurement"].pop("tdx", None)
        rc, answer = self.run_cli(self.doc, "--golden", self.file("golden.json", golden))
        self.assertEqual(rc, 1 if SELF_ASSERTED else 0, answer.get("error"))
        anchor = self.checks(answer)["tpm.ak_anchor"]
        self.assertIs(anchor["ok"], not SELF_ASSERTED)
        if SELF_ASSERTED:
            self.assertIn("key named by the guest only", anchor["detail"])
            self.assertNotIn("tpm", answer["claims"])
            self.verified(self.doc, "--golden", self.file("golden.json", golden), "--accept-self-asserted-ak")

    def test_roots(self):
        answer = self.refused(self.doc, *self.accept(), roots=False)
        self.assertIs(self.checks(answer)["platform.hardware_root"]["ok"], False)
        self.assertEqual(answer["claims"].keys() - {"workload"}, set())

    def test_question(self):
        answer = self.refused(self.doc, "--nonce", "nonce-two", *self.accept())
        self.assertIs(self.checks(answer)["binding.nonce"]["ok"], False)
        self.assertEqual(answer["freshness"], "stale")

    # ---- one change ----

    def unprovable(self, path):
        """What nothing signs: words for people, and copies of roots that verifiers have themselves."""
        if path[0] in ("missing", "tls_spki_sha256") or path[-1] in ("time", "boot_id", "report_time"):
            return True
        if BARE and path[0] == "journal_log":
            return True
        return path == ("platform", "cloud") and SHAPE in ("snp-vtpm", "tdx-vtpm", "snp", "tdx")

    def leaves(self, value, path=()):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if items is None:
            yield path, value
            return
        for key, inner in items:
            yield from self.leaves(inner, path + (key,))

    def spoiled(self, path, value):
        if isinstance(value, bool):
            return [not value]
        if isinstance(value, int):
            return [value + 1]
        if path[-1] in ("tee", "cloud"):
            return ["none" if value != "none" else "gcp"]
        if path[0].startswith("boot_log"):
            log = raw(value)
            at = log.find(SEPARATOR) if path[0] == "boot_log_tpm" else log.find(hashlib.sha384(bytes(4)).digest())
            return [b64(flip(log, at)), b64(log[:-1])]
        if path[0] in ("journal_log", "platform") or path[-1] == "report":
            return [value[:-1] + ("0" if value[-1:] != "0" else "1"), value + "0"]
        if path[:2] == ("tdx", "collateral"):  # texts; of a chain, the signing certificate
            at = 200 if path[2].endswith("chain") else len(value) // 2
            return [value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1:]]
        data = raw(value)
        if isinstance(path[-1], int) and self_signed(data):  # a copy of a root in a chain
            return []
        if path[0] == "tdx":
            return [b64(flip(data, at)) for at in (0x30, 0x100, 0x240, 0x290, 700, 1000)]
        return [b64(flip(data, at)) for at in {0, len(data) // 2, len(data) - 1}] + [b64(data[:-1])]

    def test_every_member(self):
        tried = 0
        for path, value in self.leaves(self.doc):
            if self.unprovable(path):
                continue
            if len(path) > 3 and path[1] == "pcrs" and path[3] not in ("0", "7", "14", "23"):
                continue
            for new in self.spoiled(path, value):
                doc = copy.deepcopy(self.doc)
                holder = doc
                for key in path[:-1]:
                    holder = holder[key]
                holder[path[-1]] = new
                with self.subTest(path=path, new=str(new)[:40]):
                    tried += 1
                    self.refused(doc, "--nonce", "nonce-one", *self.accept())
        self.assertGreater(tried, 15)

    def test_missing_members(self):
        due = [("sev_snp" if SNP else "tdx",), ("magic",), ("nonce",), ("workload_log",)]
        if SNP:
            due.append(("sev_snp", "vek_cert"))
        if not BARE:
            due += [("tpm",), ("tpm", "quote"), ("tpm", "raw_sig"), ("tpm", "pcrs"), ("tpm", "ak_public"), ("journal_log",)]
        if SHAPE.startswith("gcp"):
            due.append(("tpm", "ak_cert"))
        if AZURE:
            due.append(("tpm", "var_data"))
        for path in due:
            doc = copy.deepcopy(self.doc)
            holder = doc
            for key in path[:-1]:
                holder = holder[key]
            del holder[path[-1]]
            with self.subTest(path=path):
                self.refused(doc)

    def test_mixed(self):
        for member in ("tpm", "sev_snp", "tdx", "nonce"):
            if member not in self.doc or (AZURE and member in ("sev_snp", "tdx")):
                continue
            doc = copy.deepcopy(self.doc)
            doc[member] = self.other[member]
            with self.subTest(member=member):
                self.refused(doc, *self.accept())

    # ---- a genuine report that names a software key ----

    def resign(self, doc, report_data, rtmrs=None):
        keys = os.path.join(self.state, "emulator", SHAPE)
        if SNP:
            report = bytearray(raw(doc["sev_snp"]["attestation_report"]))
            key = load_key(find(keys, ("vcek.key", "vlek.key", "vek.key")))
            report[0x50:0x90] = report_data
            r, s = decode_dss_signature(key.sign(bytes(report[:0x2A0]), ec.ECDSA(hashes.SHA384())))
            report[0x2A0:0x2E8], report[0x2E8:0x330] = r.to_bytes(72, "little"), s.to_bytes(72, "little")
            doc["sev_snp"]["attestation_report"] = b64(bytes(report))
            return
        quote = bytearray(raw(doc["tdx"]["attestation_report"]))
        body = 48 if quote[0] == 4 else 54
        end = body + (584 if quote[0] == 4 else struct.unpack("<I", quote[50:54])[0])
        quote[body + 0x208:body + 0x248] = report_data
        for i, value in (rtmrs or {}).items():
            quote[body + 0x148 + 48 * i:body + 0x178 + 48 * i] = value
        key = load_key(find(keys, ("attestation.key",)))
        r, s = decode_dss_signature(key.sign(bytes(quote[:end]), ec.ECDSA(hashes.SHA256())))
        quote[end + 4:end + 68] = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        doc["tdx"]["attestation_report"] = b64(bytes(quote))

    def attack(self, keep_certificate):
        key, doc = SoftwareKey(), copy.deepcopy(self.doc)
        extra = MAGIC + b"nonce-one"
        pcrs = [raw(doc["tpm"]["pcrs"]["pcrs"][str(i)]) for i in range(24)]
        quote, signature = key.quote(extra, pcrs)
        doc["tpm"].update(quote=b64(quote), raw_sig=b64(signature), ak_pub=b64(key.spki), ak_public=b64(key.area))
        if not keep_certificate:
            doc["tpm"].pop("ak_cert", None)
            doc["tpm"].pop("ak_cert_chain", None)
        if not AZURE:  # the host boots a system of its own under the golden firmware: it asks for this report
            self.resign(doc, hashlib.sha256(key.spki).digest() + hashlib.sha256(extra).digest(),
                        None if SNP else {2: b"\x5a" * 48})
        return doc

    def test_software_key(self):
        if BARE:
            self.skipTest("no TPM")
        golden = copy.deepcopy(self.golden)
        if not SNP:
            golden["golden_measurement"]["tdx"].pop("rtmr2", None)
        for keep in (False, True):
            answer = self.refused(self.attack(keep), "--nonce", "nonce-one", "--golden", self.file("golden.json", golden))
            checks = self.checks(answer)
            self.assertIs(checks["tpm.ak_anchor"]["ok"], False)
            self.assertIn("key named by the guest only", checks["tpm.ak_anchor"]["detail"])
            self.assertIs(checks["tpm.quote_signature"]["ok"], True)
            self.assertIs(checks["golden.pcrs"]["ok"], True)
            self.assertIs(checks["platform.hardware_root"]["ok"], True)
            self.assertIs(checks["binding.ak"]["ok"], not AZURE)
            self.assertNotIn("tpm", answer["claims"])

    # ---- older rules ----

    def test_older_rules(self):
        if BARE or AZURE:
            self.skipTest("their rule has not changed")
        question = hashlib.sha256(MAGIC + b"nonce-one").digest()
        for rule, report_data, bound in (("automata-early", bytes(32) + question, True),
                                         ("automata-late", bytes(64), False)):
            doc = copy.deepcopy(self.doc)
            self.resign(doc, report_data)
            answer = self.refused(doc, *self.accept())
            checks = self.checks(answer)
            self.assertEqual(answer["binding"], rule)
            self.assertIs(checks["binding.ak"]["ok"], False)
            self.assertIs(checks["binding.nonce"]["ok"], bound)
            answer = self.verified(doc, "--accept-binding", rule, *self.accept())
            self.assertIs(self.checks(answer)["binding.ak"]["ok"], None)
        doc = copy.deepcopy(self.doc)
        self.resign(doc, b"\x42" * 64)
        self.refused(doc, "--accept-binding", "automata-early,automata-late,go-tpm-tools,automata-uuid", *self.accept())

    def tied(self, pcr, value, report_data, rtmr3=None, uuid=None):
        """An older agent's document whose PCR was extended once, from zero."""
        key, doc = SoftwareKey(), copy.deepcopy(self.doc)
        for member in ("platform", "workload_log", "journal_log", "tls_spki_sha256", "missing", "boot_log_tpm",
                       "boot_log_ccel"):
            doc.pop(member, None)
        for member in ("ak_cert", "ak_cert_chain"):
            doc["tpm"].pop(member, None)
        doc["tpm"]["pcrs"]["pcrs"][str(pcr)] = b64(hashlib.sha256(bytes(32) + value).digest())
        pcrs = [raw(doc["tpm"]["pcrs"]["pcrs"][str(i)]) for i in range(24)]
        quote, signature = key.quote(MAGIC + b"nonce-one", pcrs)
        doc["tpm"].update(quote=b64(quote), raw_sig=b64(signature), ak_pub=b64(key.spki), ak_public=b64(key.area))
        if uuid:
            doc["uuid"] = b64(uuid)
        self.resign(doc, report_data, {3: hashlib.sha384(bytes(48) + rtmr3).digest()} if rtmr3 else None)
        return doc

    def test_older_ties(self):
        if BARE or AZURE:
            self.skipTest("theirs is another tie")
        if SNP:
            report_id = raw(self.doc["sev_snp"]["attestation_report"])[0x140:0x160]
            docs = {"automata-v1": self.tied(16, report_id, bytes(64)), "automata-v2": self.tied(15, report_id, bytes(64)),
                    "automata-late": self.tied(16, bytes(32), bytes(64))}
        else:
            u = bytes(range(16))
            first = hashlib.sha256(u).digest(), hashlib.sha384(u).digest()
            second = bytes(16) + u, bytes(32) + u
            docs = {"automata-v1": self.tied(16, first[0], bytes(64), first[1], u),
                    "automata-v2": self.tied(15, second[0], u + bytes(48), second[1], u),
                    "automata-uuid": self.tied(15, second[0], u + bytes(48), first[1], u),
                    "automata-late": self.tied(16, first[0], bytes(64), first[1], bytes(16))}
        for rule, doc in docs.items():
            with self.subTest(rule=rule):
                answer = self.refused(doc, "--accept-self-asserted-ak", *self.accept())
                checks = self.checks(answer)
                self.assertEqual(answer["binding"], rule)
                self.assertIs(checks["binding.ak"]["ok"], False)
                self.assertIs(checks["binding.nonce"]["ok"], False)
                self.assertIs(checks["tpm.quote_signature"]["ok"], True)
                self.verified(doc, "--accept-self-asserted-ak", "--accept-binding", rule, *self.accept())
                others = ",".join(r for r in ("automata-early", "automata-v1", "automata-v2", "automata-late", "automata-uuid",
                                              "go-tpm-tools") if r != rule)
                self.refused(doc, "--accept-self-asserted-ak", "--accept-binding", others, *self.accept())

    def test_older_key(self):
        """Documents of older agents name the key without its public area."""
        if BARE or AZURE:
            self.skipTest("another key")
        doc = self.tied(16, bytes(32), bytes(64))
        del doc["tpm"]["ak_public"]
        accept = "--accept-binding", "automata-late", *self.accept()
        without = [o for o in accept if o != "--accept-self-asserted-ak"]
        self.assertIs(self.checks(self.refused(doc, *without))["tpm.ak_attributes"]["ok"], False)
        answer = self.verified(doc, "--accept-self-asserted-ak", *without)
        self.assertIs(self.checks(answer)["tpm.ak_attributes"]["ok"], None)
        doc["platform"] = self.doc["platform"]
        self.assertIs(self.checks(self.refused(doc, "--accept-self-asserted-ak", *without))["tpm.ak_attributes"]["ok"], False)

    def test_older_lists(self):
        """The first agents had leaf and chain in one list."""
        doc, moved = copy.deepcopy(self.doc), 0
        for holder, both, leaf, chain in (("sev_snp", "vek_certs", "vek_cert", "cert_chain"),
                                          ("tpm", "tpm_certs", "ak_cert", "ak_cert_chain")):
            if leaf in doc.get(holder, {}):
                doc[holder][both] = [doc[holder].pop(leaf), *doc[holder].pop(chain, [])]
                moved += 1
        if not moved:
            self.skipTest("no certificates here")
        self.assertEqual([], [w for w in self.verified(doc, *self.accept())["warnings"] if "nobody" in w])
        if "vek_certs" in doc.get("sev_snp", {}):
            doc["sev_snp"]["vek_certs"].reverse()
            self.assertIs(self.checks(self.refused(doc, *self.accept()))["snp.report_signature"]["ok"], False)

    # ---- malformed ----

    def test_malformed(self):
        whole = json.dumps(self.doc).encode()
        bad = [b"[" * (4 << 20), b"", b"\0" * 64, whole[:-1], whole[:len(whole) // 2], whole + b"x", b"{}", b"[]",
               whole[:-1] + b',"magic":"AAAA"}', b'{"version":' + b"9" * 4000 + b"}",
               whole.replace(b'"nonce": "', b'"nonce": "!')]
        bad.append(json.dumps({**self.doc, "sev_snp": {"attestation_report": "AA=="},
                               "tdx": {"attestation_report": "AA=="}}).encode())
        for text in bad:
            rc, answer = self.run_cli(text)
            self.assertEqual(rc, 3, (text[:60], answer))
            self.assertTrue(answer["error"].startswith("cvm-cli: "))

    def test_usage(self):
        self.assertEqual(self.run_cli(self.doc, "--accept-binding", "nonsense")[0], 2)
        self.assertEqual(self.run_cli(self.doc, "--at", "yesterday")[0], 2)

    # ---- the route ----

    def post(self, body, path="/offchain-verify", side="internal"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.agent.request(side, "POST", path, body=data)
        return status, json.loads(answer)

    def test_route(self):
        with open(self.roots, encoding="utf-8") as f:
            roots = f.read()
        doc = self.doc
        body = {"collaterals": json.dumps(doc), "golden_measurement": json.dumps(self.golden["golden_measurement"]),
                "trust_roots": roots, "nonce": "nonce-one", **self.accept_route()}
        for path, side in (("/offchain-verify", "internal"), ("/offchain/verify", "socket"), ("/offchain-verify", "internal")):
            status, answer = self.post(body, path, side)
            self.assertEqual(status, 200, answer)
            self.assertTrue(answer["success"], answer.get("error"))
            self.assertNotIn("error", answer)
        status, answer = self.post({**body, "collaterals": doc, "golden_measurement": self.golden})
        self.assertTrue(answer["success"], answer.get("error"))
        nulls = dict.fromkeys(("collaterals_path", "golden_measurement_path", "policy", "at"))  # what is left out
        for documents in ({}, {"collaterals": doc, "golden_measurement": self.golden}):
            status, answer = self.post({**body, **documents, **nulls})
            self.assertEqual((status, answer.get("success")), (200, True), answer.get("error"))
            self.assertIs(self.checks(answer)["golden.tee"]["ok"], True)
        status, answer = self.post({**body, "nonce": "another"})
        self.assertEqual((status, answer["success"]), (200, False))
        body.pop("trust_roots")
        status, answer = self.post(body)
        self.assertEqual((status, answer["success"]), (200, False))
        self.assertIs(self.checks(answer)["platform.hardware_root"]["ok"], False)
        self.assertEqual(self.agent.request("external", "POST", "/offchain-verify", body=b"{}")[0], 404)

    def accept_route(self):
        return {"accept_ak": "self-asserted"} if SELF_ASSERTED else {}

    def test_route_supplies(self):
        """What a document does not bring along the agent gets from the vendors (here the emulated ones)."""
        with open(self.roots, encoding="utf-8") as f:
            body = {"trust_roots": f.read(), "nonce": "nonce-one", **self.accept_route()}
        doc = copy.deepcopy(self.doc)
        for holder, member in (("sev_snp", "vek_cert"), ("sev_snp", "cert_chain"), ("tdx", "collateral"),
                               ("tpm", "ak_cert_chain")):
            doc.get(holder, {}).pop(member, None)
        threads, answers = [], []
        for form in (json.dumps(doc), doc) * 4:
            threads.append(threading.Thread(target=lambda: answers.append(self.post({**body, "collaterals": form}))))
            threads[-1].start()
        for t in threads:
            t.join(30)
        self.assertEqual(len(answers), 8)
        for status, answer in answers:
            self.assertEqual(status, 200, answer)
            self.assertTrue(answer["success"], answer.get("error"))  # aws-snp: its VLEK is in the agent's cache
        body.pop("trust_roots")
        status, answer = self.post({**body, "collaterals": doc})
        self.assertEqual((status, answer["success"]), (200, False))
        status, headers, text = self.agent.request("internal", "GET", "/metrics")
        self.assertEqual(status, 200, headers)
        if not SNP:
            self.assertIn(b'cvm_agent_collateral_next_update_seconds{item="tcb_info-', text)
        self.assertIn(b"cvm_agent_collateral_requests_total ", text)

    def test_route_warns_again(self):
        """What the agent remembers of a chain does not swallow what is wrong with it."""
        with open(self.roots, encoding="utf-8") as f:
            body = {"trust_roots": f.read(), "nonce": "nonce-one", **self.accept_route()}
        for holder, member in ("sev_snp", "cert_chain"), ("tpm", "ak_cert_chain"):
            if member not in self.doc.get(holder, {}):
                continue
            doc = copy.deepcopy(self.doc)
            chain = doc[holder][member]
            chain.append(base64.b64encode(b"no certificate").decode())
            word = f"{holder}.{member}[{len(chain) - 1}] is no certificate"
            for _ in range(3):
                answer = self.post({**body, "collaterals": doc})[1]
                self.assertTrue(answer["success"], answer.get("error"))
                self.assertTrue([w for w in answer["warnings"] if w.startswith(word)], (word, answer["warnings"]))

    def test_another_machine(self):
        """An agent that is not emulated and has no network, started to take given roots."""
        with open(self.roots, encoding="utf-8") as f:
            body = {"trust_roots": f.read(), "nonce": "nonce-one", "golden_measurement": self.golden,
                    **self.accept_route()}
        with tempfile.TemporaryDirectory() as folder:
            over_fake = os.path.join(os.path.dirname(AGENT), "agent_over_fake")
            with Agent(over_fake, folder, ["--allow-emulated-roots"], {"collateral": {"offline": True}}) as other:
                def ask(**more):
                    text = json.dumps({**body, "collaterals": self.doc, **more}).encode()
                    status, _, answer = other.request("internal", "POST", "/offchain-verify", body=text)
                    self.assertEqual(status, 200, answer)
                    return json.loads(answer)
                self.assertTrue(ask()["success"], ask().get("error"))
                self.assertFalse(ask(trust_roots=None)["success"])
                doc = copy.deepcopy(self.doc)
                doc["sev_snp" if SNP else "tdx"].pop("vek_cert" if SNP else "collateral")
                answer = ask(collaterals=doc)
                self.assertFalse(answer["success"])
                self.assertTrue([w for w in answer["warnings"] if w.startswith("missing: ")], answer["warnings"])

    def test_route_refusals(self):
        with open(os.path.join(self.shelf, "empty.json"), "wb"):
            pass
        doc = json.dumps(self.doc)
        for body, status in ((b"[" * (4 << 20), 400), (b"", 400), (b"{", 400), ({}, 400), ({"collaterals": "{"}, 400),
                             ({"collaterals": doc, "pollcy": 1}, 400), ({"collaterals": 5}, 400),
                             ({"collaterals": doc, "golden_measurement": "{}"}, 400),
                             ({"collaterals": doc, "golden_measurement": ""}, 400), ({"collaterals": ""}, 400),
                             ({"collaterals": doc, "golden_measurement_path": "empty.json"}, 400),
                             ({"collaterals": doc, "at": "soon"}, 400), ({"collaterals": doc, "accept_ak": "yes"}, 400),
                             ({"collaterals": doc, "accept_binding": "x"}, 400),
                             ({"collaterals": doc, "nonce": "n" * 31}, 400)):
            got, answer = self.post(body)
            self.assertEqual(got, status, (str(body)[:80], answer))
            self.assertGreater(len(answer["error"]), 10)

    def test_route_too_long(self):
        c = self.agent.connection("internal")
        c.putrequest("POST", "/offchain-verify")
        c.putheader("Content-Length", str((4 << 20) + 1))
        c.endheaders()
        self.assertEqual(c.getresponse().status, 413)
        c.close()

    def test_route_files(self):
        path = os.path.join(self.shelf, "doc.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.doc, f)
        os.symlink("/etc/passwd", os.path.join(self.shelf, "out"))
        os.symlink("doc.json", os.path.join(self.shelf, "in.json"))
        for name, status in ((path, 200), ("doc.json", 200), ("in.json", 200), ("out", 403), ("/etc/passwd", 400),
                             ("../etc/agent.json", 403), ("none.json", 400), ("", 400)):
            got, answer = self.post({"collaterals_path": name})
            self.assertEqual(got, status, (name, answer))
        self.assertEqual(self.post({"collaterals_path": path, "collaterals": "{}"})[0], 400)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

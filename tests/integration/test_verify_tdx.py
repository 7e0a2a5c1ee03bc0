"""cvm-cli verify-tdx over recorded quotes and what can be done to them. Outcomes come from the manifest; forgeries are
made with python3-cryptography. usage: test_verify_tdx.py CVM-CLI EVIDENCE"""
import base64
import datetime
import json
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

CLI, EVIDENCE = sys.argv[1:3]
GOOD = "tdx/v4-20a06f-uptodate"
GOOD_AT = "2025-09-17T07:22:55Z"
SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
NAMES = ["tdx.format", "tdx.quote_signature", "tdx.qe_report_signature", "tdx.qe_binding", "tdx.pck_chain", "tdx.crl",
         "tdx.tcb_info_signature", "tdx.qe_identity_signature", "tdx.collateral_dates", "tdx.fmspc",
         "tdx.module_identity", "tdx.qe_identity", "tdx.tcb_status", "tdx.debug", "tdx.service_td", "document.clock"]
PARTS = ["tcb_info.json", "tcb_signing_chain.pem", "qe_identity.json", "pck_crl.der", "pck_crl_issuer_chain.pem",
         "root_ca_crl.der"]


def load(*path):
    with open(os.path.join(EVIDENCE, *path), "rb") as f:
        return f.read()


def run(*args):
    done = subprocess.run([CLI, "verify-tdx", *args], capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def judge(*args):
    status, out, _ = run(*args, "--json")
    return status, json.loads(out)


def results(answer):
    return {c["check"]: c["ok"] for c in answer["checks"]}


def inner(text, key):
    """The bytes of the signed object in a PCS answer, found without a parser."""
    start = text.index(b'"' + key + b'":') + len(key) + 3
    return text[start:text.index(b',"signature"')]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, data):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def collateral(self, case=GOOD, **changed):
        """A folder as recorded, with some files changed, or left out (None)."""
        folder = tempfile.mkdtemp(dir=self.folder.name)
        for name in PARTS:
            data = changed.get(name.split(".")[0], load(case, name))
            if data is not None:
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(data)
        return folder

    def good(self, collateral=None, quote=None, at=GOOD_AT, *more):
        return judge(quote or os.path.join(EVIDENCE, GOOD, "quote.bin"), "--collateral", collateral or self.collateral(),
                     "--at", at, *more)

    def false_checks(self, answer):
        return {name for name, ok in results(answer).items() if ok is False}


class Manifest(Case):
    """Every recorded quote with collateral comes out as the manifest says."""

    def status_of(self, text):
        return {"NOT_SUPPORTED": "NoMatchingTcbLevel", "n/a (module major version 0)": None}.get(text, text)

    def check(self, case):
        expected, facts = case["expected"], case["facts"].get("quote", case["facts"])
        folder = os.path.join(EVIDENCE, case["dir"])
        status, answer = judge(os.path.join(folder, "quote.bin"), "--collateral", folder, "--at", case["verify_at"])
        got = results(answer)
        self.assertEqual(NAMES, [c["check"] for c in answer["checks"]])
        for key, name in (("quote_signature", "tdx.quote_signature"), ("ak_binding", "tdx.qe_binding"),
                          ("qe_report_signature", "tdx.qe_report_signature"), ("pck_chain", "tdx.pck_chain"),
                          ("tcb_info_signature", "tdx.tcb_info_signature"),
                          ("qe_identity_signature", "tdx.qe_identity_signature")):
            if expected.get(key) is not None:
                self.assertEqual(expected[key], got[name], name)
        if "pck_revoked" in expected:
            self.assertEqual(expected["pck_revoked"], not got["tdx.crl"])
        for key, member in (("tcb_status", "tcb_status"), ("platform_tcb_status", "platform_tcb_status"),
                            ("tdx_module_status", "tdx_module_status"), ("qe_status", "qe_status"),
                            ("tcb_date", "tcb_date"), ("advisories", "advisory_ids")):
            if key in expected:
                self.assertEqual(self.status_of(expected[key]) if key != "advisories" else expected[key],
                                 answer[member], key)
        service_td = (facts.get("mrservicetd") or "0").strip("0") != ""
        debug = bool(facts.get("td_debug"))
        good = expected["outcome"] == "valid" and expected["tcb_status"] in ("UpToDate", "SWHardeningNeeded")
        if expected["outcome"] == "valid":
            self.assertEqual(not debug, got["tdx.debug"])
            self.assertEqual(service_td, any("MRSERVICETD" in w for w in answer["warnings"]))
        self.assertEqual(good and not debug, answer["success"])
        self.assertEqual(0 if answer["success"] else 1, status)

    def test_all(self):
        cases = [c for c in json.loads(load("manifest.json"))["cases"]
                 if {"quote.bin", "tcb_info.json"} <= c["files"].keys()]
        self.assertGreater(len(cases), 20)
        for case in cases:
            with self.subTest(case["id"]):
                self.check(case)

    def test_accepting(self):
        folder = os.path.join(EVIDENCE, "tdx/v4-c0806f-outofdate")
        args = [os.path.join(folder, "quote.bin"), "--collateral", folder, "--at", "2026-04-01T04:32:04Z"]
        for accept, want in (("OutOfDate", 0), ("UpToDate,outofdate", 0), ("SWHardeningNeeded", 1), ("none", 1)):
            self.assertEqual(want, judge(*args, "--accept-tcb", accept)[0], accept)
        for refused in ("Revoked", "NoMatchingTcbLevel", "", "UpToDate,", "Fine"):
            self.assertEqual(2, run(*args, "--accept-tcb", refused)[0], refused)

    def test_service_td_refused(self):
        folder = os.path.join(EVIDENCE, "tdx/v5-90c06f-alibaba-uptodate")
        status, answer = judge(os.path.join(folder, "quote.bin"), "--collateral", folder, "--at",
                               "2025-06-24T12:41:58Z", "--refuse-service-td")
        self.assertEqual((1, False), (status, results(answer)["tdx.service_td"]))


class Forms(Case):
    """The same collateral in every form that tools write."""

    def document(self, **changed):
        info, identity = load(GOOD, "tcb_info.json"), load(GOOD, "qe_identity.json")
        signing = load(GOOD, "tcb_signing_chain.pem").decode()
        values = {
            "tcb_info_issuer_chain": signing, "tcb_info": inner(info, b"tcbInfo").decode(),
            "tcb_info_signature": json.loads(info)["signature"], "qe_identity_issuer_chain": signing,
            "qe_identity": inner(identity, b"enclaveIdentity").decode(),
            "qe_identity_signature": json.loads(identity)["signature"],
            "pck_crl_issuer_chain": load(GOOD, "pck_crl_issuer_chain.pem").decode(),
            "pck_crl": load(GOOD, "pck_crl.der").hex(), "root_ca_crl": load(GOOD, "root_ca_crl.der").hex()}
        values.update(changed)
        return {k: v for k, v in values.items() if v is not None}

    def accepts(self, document):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        status, answer = self.good(self.write("collateral.json", text))
        self.assertEqual((0, "UpToDate"), (status, answer["tcb_status"]), answer)

    def test_text(self):
        self.accepts(self.document())

    def test_objects(self):
        text = json.dumps(self.document(tcb_info="@1", qe_identity="@2", version=1, more={"tcb_info": 1})).encode()
        text = text.replace(b'"@1"', b"\n " + inner(load(GOOD, "tcb_info.json"), b"tcbInfo") + b" \n")
        self.accepts(text.replace(b'"@2"', inner(load(GOOD, "qe_identity.json"), b"enclaveIdentity")))

    def test_whole_answers(self):
        info, identity = load(GOOD, "tcb_info.json").decode(), load(GOOD, "qe_identity.json").decode()
        self.accepts(self.document(tcb_info=info, qe_identity=identity, tcb_info_signature=None,
                                   qe_identity_signature=None))
        self.accepts(self.document(tcb_info=info, qe_identity=identity))

    def test_chain_of_a_header(self):
        chain = urllib.parse.quote(load(GOOD, "tcb_signing_chain.pem").decode())
        self.accepts(self.document(tcb_info_issuer_chain=chain))
        self.assertEqual(0, self.good(self.collateral(tcb_signing_chain=chain.encode() + b"\r\n"))[0])

    def test_crl_forms(self):
        der = load(GOOD, "pck_crl.der")
        pem = x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)
        for form in (base64.b64encode(der).decode(), pem.decode(), der.hex().upper() + "\n", "0x" + der.hex(), list(der)):
            self.accepts(self.document(pck_crl=form))
        for form in (pem, der.hex().encode()):
            self.assertEqual(0, self.good(self.collateral(pck_crl=form))[0])

    def test_signature_forms(self):
        signature = bytes.fromhex(json.loads(load(GOOD, "tcb_info.json"))["signature"])
        for form in (list(signature), base64.b64encode(signature).decode(), "0x" + signature.hex().upper(),
                     base64.urlsafe_b64encode(signature).decode().rstrip("=")):
            self.accepts(self.document(tcb_info_signature=form))
        for form in (list(signature[:-1]), [256, *signature[1:]], [], base64.b64encode(signature[1:]).decode()):
            path = self.write("c.json", json.dumps(self.document(tcb_info_signature=form)).encode())
            self.assertEqual(3, run(os.path.join(EVIDENCE, GOOD, "quote.bin"), "--collateral", path)[0], form)

    def test_chains_the_other_way_round(self):
        turned = {}
        for member, name in (("tcb_info_issuer_chain", "tcb_signing_chain.pem"), ("qe_identity_issuer_chain", "tcb_signing_chain.pem"),
                             ("pck_crl_issuer_chain", "pck_crl_issuer_chain.pem")):
            end = "-----END CERTIFICATE-----\n"
            chain = [c + end for c in load(GOOD, name).decode().split(end) if c.strip()]
            self.assertEqual(2, len(chain))
            turned[member] = "".join(reversed(chain))
        self.accepts(self.document(**turned))

    def test_missing(self):
        for member, check in (("tcb_info", "tdx.tcb_info_signature"), ("tcb_info_signature", "tdx.tcb_info_signature"),
                              ("tcb_info_issuer_chain", "tdx.tcb_info_signature"),
                              ("qe_identity", "tdx.qe_identity_signature"), ("pck_crl", "tdx.crl"),
                              ("pck_crl_issuer_chain", "tdx.crl"), ("root_ca_crl", "tdx.crl")):
            status, answer = self.good(self.write("c.json", json.dumps(self.document(**{member: None})).encode()))
            self.assertEqual((1, False), (status, results(answer)[check]), member)

    def test_malformed(self):
        text = json.dumps(self.document()).encode()
        quote = os.path.join(EVIDENCE, GOOD, "quote.bin")
        spoiled = [b"", b"{}", b"[]", text[:-1], text + b"x", text.replace(b'"pck_crl":', b'"pck_crl":1,"pck_crl":')]
        spoiled += [json.dumps(self.document(**change)).encode() for change in (
            {"pck_crl": "00"}, {"root_ca_crl": "zz"}, {"tcb_info_signature": "00"}, {"tcb_info": "{"},
            {"tcb_info": 7}, {"qe_identity": "[]"}, {"tcb_info_issuer_chain": "no PEM"},
            {"tcb_info": '{"tcbInfo":7}'}, {"tcb_info_signature": "00" * 64, "tcb_info": load(GOOD, "tcb_info.json").decode()})]
        for text in spoiled:
            status, out, error = run(quote, "--collateral", self.write("c.json", text), "--at", GOOD_AT)
            self.assertEqual((3, b""), (status, out), text[:60])
            self.assertEqual(1, error.count("\n"))
        self.assertEqual(3, run(quote, "--collateral", os.path.join(self.folder.name, "none"))[0])
        self.assertEqual(3, run(quote, "--collateral", tempfile.mkdtemp(dir=self.folder.name))[0])


class Forgeries(Case):
    def refuses(self, want, status_answer, also=()):
        status, answer = status_answer
        self.assertEqual((1, False), (status, answer["success"]))
        self.assertLessEqual(set(want) | set(also), self.false_checks(answer))
        return answer

    def test_no_collateral(self):
        quote = os.path.join(EVIDENCE, GOOD, "quote.bin")
        answer = self.refuses(["tdx.tcb_info_signature", "tdx.qe_identity_signature", "tdx.crl", "tdx.tcb_status"],
                              judge(quote, "--at", GOOD_AT))
        self.assertIsNone(answer["tcb_status"])
        self.assertTrue(results(answer)["tdx.pck_chain"])
        status, answer = judge(quote, "--at", GOOD_AT, "--accept-tcb", "none")
        self.assertEqual((0, None, None), (status, answer["tcb_status"], results(answer)["tdx.tcb_status"]))

    def test_serialised_again(self):
        text = json.loads(load(GOOD, "tcb_info.json"))
        answer = self.refuses(["tdx.tcb_info_signature", "tdx.fmspc", "tdx.module_identity", "tdx.tcb_status"],
                              self.good(self.collateral(tcb_info=json.dumps(text).encode())))
        self.assertIsNone(answer["tcb_status"])

    def test_changed_documents(self):
        for name, old, new in (("tcb_info", b'"OutOfDate"', b'"UpToDate"'), ("tcb_info", b'"TDX"', b'"SGX"'),
                               ("qe_identity", b'"TD_QE"', b'"QE"'), ("qe_identity", b'"isvsvn":4', b'"isvsvn":3')):
            text = load(GOOD, name + ".json")
            self.assertIn(old, text)
            self.refuses([f"tdx.{name}_signature", "tdx.tcb_status"],
                         self.good(self.collateral(**{name: text.replace(old, new)})))

    def test_other_platform(self):
        other = "tdx/v5-90c06f-alibaba-uptodate"
        answer = self.refuses(["tdx.fmspc", "tdx.tcb_status"],
                              self.good(self.collateral(tcb_info=load(other, "tcb_info.json")), at="2025-06-24T12:41:58Z"))
        self.assertTrue(results(answer)["tdx.tcb_info_signature"])
        self.assertIsNone(answer["tcb_status"])

    def test_swapped(self):
        pck, root = load(GOOD, "pck_crl.der"), load(GOOD, "root_ca_crl.der")
        signing, issuer = load(GOOD, "tcb_signing_chain.pem"), load(GOOD, "pck_crl_issuer_chain.pem")
        self.refuses(["tdx.crl"], self.good(self.collateral(pck_crl=root, root_ca_crl=pck)))
        self.refuses(["tdx.crl"], self.good(self.collateral(pck_crl=root)))
        self.refuses(["tdx.tcb_info_signature", "tdx.qe_identity_signature", "tdx.crl"],
                     self.good(self.collateral(tcb_signing_chain=issuer, pck_crl_issuer_chain=signing)))
        info, identity = load(GOOD, "tcb_info.json"), load(GOOD, "qe_identity.json")
        a, b = json.loads(info)["signature"].encode(), json.loads(identity)["signature"].encode()
        self.refuses(["tdx.tcb_info_signature", "tdx.qe_identity_signature"],
                     self.good(self.collateral(tcb_info=info.replace(a, b), qe_identity=identity.replace(b, a))))

    def test_other_intel_certificate_signs(self):
        """A key below Intel's root that is no TCB signer: the chain of the quote's own PCK."""
        quote = load(GOOD, "quote.bin")
        start = quote.index(b"-----BEGIN CERT")
        chain = quote[start:quote.rindex(b"-----END CERTIFICATE-----") + 26]
        self.refuses(["tdx.tcb_info_signature"], self.good(self.collateral(tcb_signing_chain=chain)))

    def test_clock(self):
        """Before anything was signed, after it has expired, after the certificates have."""
        answer = self.refuses(["document.clock", "tdx.collateral_dates"], self.good(at="2025-09-01T00:00:00Z"))
        self.assertTrue(results(answer)["tdx.tcb_info_signature"])
        answer = self.refuses(["tdx.collateral_dates"], self.good(at="2025-10-20T00:00:00Z"))
        self.assertTrue(results(answer)["document.clock"])
        self.assertTrue(results(answer)["tdx.pck_chain"])
        self.refuses(["tdx.pck_chain", "tdx.tcb_info_signature", "tdx.tcb_status"],
                     self.good(at="2050-01-01T00:00:00Z"))
        self.assertEqual(2, run(os.path.join(EVIDENCE, GOOD, "quote.bin"), "--at", "tomorrow")[0])

    def own_chain(self, leaf):
        """Root, CA and leaf in Intel's names, with our keys; the leaf repeats the genuine SGX extension."""
        def issue(name, key, issuer, issuer_key, extensions):
            builder = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
                       .serial_number(7).not_valid_before(datetime.datetime(2020, 1, 1))
                       .not_valid_after(datetime.datetime(2040, 1, 1)))
            for extension, critical in extensions:
                builder = builder.add_extension(extension, critical)
            return builder.sign(issuer_key, hashes.SHA256())

        def named(cn):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])

        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
        ca = [(x509.BasicConstraints(True, None), True)]
        sgx = leaf.extensions.get_extension_for_oid(SGX_EXTENSION).value
        root, middle = named("Intel SGX Root CA"), named("Intel SGX PCK Platform CA")
        certs = [issue(named("Intel SGX PCK Certificate"), keys[2], middle, keys[1], [(sgx, False)]),
                 issue(middle, keys[1], root, keys[0], ca), issue(root, keys[0], root, keys[0], ca)]
        return keys[2], b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certs)

    def test_own_root(self):
        """Everything signed again by ourselves, below a root that only looks like Intel's."""
        quote = load(GOOD, "quote.bin")
        length = int.from_bytes(quote[632:636], "little")
        data = quote[636:636 + length]
        report, auth = data[134:134 + 384], data[582:584 + int.from_bytes(data[582:584], "little")]
        leaf = x509.load_pem_x509_certificate(data[data.index(b"-----BEGIN"):])
        key, chain = self.own_chain(leaf)
        r, s = utils.decode_dss_signature(key.sign(report, ec.ECDSA(hashes.SHA256())))
        certified = report + r.to_bytes(32, "big") + s.to_bytes(32, "big") + auth
        certified += (5).to_bytes(2, "little") + len(chain).to_bytes(4, "little") + chain
        data = data[:128] + (6).to_bytes(2, "little") + len(certified).to_bytes(4, "little") + certified
        forged = self.write("quote.bin", quote[:632] + len(data).to_bytes(4, "little") + data)
        answer = self.refuses(["tdx.pck_chain", "tdx.crl", "tdx.fmspc", "tdx.tcb_status", "tdx.debug"],
                              self.good(quote=forged))
        for name in ("tdx.quote_signature", "tdx.qe_report_signature", "tdx.qe_binding"):
            self.assertTrue(results(answer)[name], name)

    def test_no_quote(self):
        for data in (b"", load(GOOD, "quote.bin")[:600], load(GOOD, "pck_crl.der")):
            status, answer = self.good(quote=self.write("q", data))
            self.assertEqual((3, False), (status, answer["success"]))
            self.assertEqual({name: False for name in NAMES[:-1]}, {n: results(answer)[n] for n in NAMES[:-1]})


if __name__ == "__main__":
    if not os.path.isdir(EVIDENCE):
        print("SKIPPED: no recorded evidence")
        sys.exit(0)
    unittest.main(argv=sys.argv[:1])

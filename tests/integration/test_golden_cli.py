"""cvm-cli sign, verify-signature and diff. Signatures are made and judged with python3-cryptography the way tools of
the automata project do. usage: test_golden_cli.py CVM-CLI CVM-AGENT EVIDENCE [TESTS]"""
import base64
import json
import os
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from agent_under_test import Agent

CLI, AGENT, EVIDENCE = sys.argv[1:4]
ZERO = "00" * 32
QUESTION = {"magic": base64.b64encode(b"Internal/collaterals").decode(), "nonce": "AAAA"}
QUOTE = {"quote": "AAAA", "raw_sig": "AAAA", "ak_pub": "AAAA"}
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)

GOLDEN = {
    "version": 1,
    "platform": {"tee": "sev_snp", "cloud": "azure"},
    "sev_snp": {"measurement": "ab" * 48, "policy": "0x30000", "vmpl": 0, "minimum_tcb": {"snp": 8, "microcode": 115}},
    "tpm": {"bank": "sha256", "pcrs": {"0": "11" * 32, "11": "22" * 32, "23": ZERO}, "events": {}},
    "workload": None,
}

# What a serialiser can get wrong. It is no golden measurement: sign says so and signs it.
ODD = {
    "zeta": "plain", "é": "naïve", "\U0001f600": "\U00010000 and \U0010ffff", "￿": "bmp's last", "a b": " / <>&'",
    "": "empty", "esc": "\"\\\b\f\n\r\t\x01\x1f\x7f\x80\u2028",
    "numbers": [0, -1, 9223372036854775807, -9223372036854775808],
    "nested": {"b": [True, False, None, {}, []], "B": {"é": {"z": 1, "a": 2}}},
}


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sign(key, inner):
    if isinstance(key, rsa.RSAPrivateKey):
        raw = key.sign(canonical(inner), padding.PKCS1v15(), hashes.SHA256())
    else:
        raw = key.sign(canonical(inner), ec.ECDSA(hashes.SHA256()))
    return base64.b64encode(raw).decode()


def check(key, document):
    raw, text = base64.b64decode(document["signature"]), canonical(document["golden_measurement"])
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(raw, text, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.public_key().verify(raw, text, ec.ECDSA(hashes.SHA256()))


def private(key, how=serialization.PrivateFormat.PKCS8, password=None):
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, how, lock)


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, data):
        if isinstance(data, (dict, list)):
            data = json.dumps(data)
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
        return self.path(name)

    def run_cli(self, *args, stdin=b""):
        done = subprocess.run([CLI, *args], input=stdin, capture_output=True, check=False, timeout=20)
        return done.returncode, done.stdout, done.stderr.decode()

    def expect(self, status, *args, says=""):
        got, out, err = self.run_cli(*args)
        self.assertEqual(got, status, err)
        self.assertIn(says, err + out.decode())
        if status:
            self.assertEqual(err.count("\n"), 1, err)
            self.assertTrue(err.startswith("cvm-cli: "), err)
        return out


class Sign(Case):
    def signed(self, key, document, out="out.json"):
        got, _, err = self.run_cli("sign", self.write("in.json", document), self.write("key.pem", private(key)), "-o",
                                   self.path(out))
        self.assertEqual(got, 0, err)
        with open(self.path(out), encoding="utf-8") as f:
            return json.load(f), err

    def test_what_we_sign_python_verifies(self):
        for key in (P256, RSA):
            for inner in (GOLDEN, ODD):
                signed, _ = self.signed(key, {"golden_measurement": inner})
                self.assertEqual(signed["golden_measurement"], inner)
                check(key, signed)
                signed["golden_measurement"]["version"] = 2
                with self.assertRaises(InvalidSignature):
                    check(key, signed)

    def test_what_python_signs_we_verify(self):
        for key in (P256, RSA):
            for inner in (GOLDEN, ODD):
                document = {"golden_measurement": inner, "signature": sign(key, inner)}
                pub = self.write("pub.pem", public(key))
                self.expect(0, "verify-signature", self.write("s.json", document), pub, says="valid")
                for indent, ascii_only in ((2, False), (None, True)):
                    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
                    self.expect(0, "verify-signature", self.write("s.json", text), pub)

    def test_key_files_of_other_spellings(self):
        for key in (P256, RSA):
            pem = self.write("old.pem", private(key, serialization.PrivateFormat.TraditionalOpenSSL))
            out = self.expect(0, "sign", self.write("in.json", {"golden_measurement": GOLDEN}), pem)
            check(key, json.loads(out))

    def test_not_valid_is_1(self):
        good = {"golden_measurement": GOLDEN, "signature": sign(P256, GOLDEN)}
        pub, other = self.write("pub.pem", public(P256)), ec.generate_private_key(ec.SECP256R1())
        changed = json.loads(json.dumps(good))
        changed["golden_measurement"]["tpm"]["pcrs"]["11"] = ZERO
        dropped = json.loads(json.dumps(good))
        del dropped["golden_measurement"]["workload"]
        flipped = bytearray(base64.b64decode(good["signature"]))
        flipped[-1] ^= 1
        bad = [changed, dropped, {**good, "signature": base64.b64encode(flipped).decode()},
               {**good, "signature": sign(other, GOLDEN)}, {**good, "signature": sign(RSA, GOLDEN)},
               {**good, "signature": ""}, {**good, "signature": "AAAA"}]
        for document in bad:
            self.expect(1, "verify-signature", self.write("s.json", document), pub, says="not this key's")
        self.expect(1, "verify-signature", self.write("s.json", {"golden_measurement": GOLDEN}), pub, says="not signed")
        self.expect(1, "verify-signature", self.write("s.json", good), self.write("o.pem", public(other)))
        self.expect(1, "verify-signature", self.write("s.json", good), self.write("o.pem", public(RSA)))

    def test_malformed_is_3(self):
        good = {"golden_measurement": GOLDEN, "signature": sign(P256, GOLDEN)}
        pub = self.write("pub.pem", public(P256))
        text = json.dumps(good)
        for bad in ("", "{", "[]", text[:-1], text + "x", text.replace('"version": 1', '"version": 1, "version": 1'),
                    json.dumps({"signature": good["signature"]}), json.dumps({**good, "signature": 7}),
                    json.dumps({**good, "signature": "no base64!"}), "[" * 5000 + "]" * 5000,
                    text.replace('"version": 1', '"version": 1.0'),
                    text.replace('"version": 1', '"version": 1' + "0" * 400),
                    text.replace('"azure"', '"az\\u0000ure"'), text.replace('"azure"', '"\\ud800"')):
            self.expect(3, "verify-signature", self.write("s.json", bad), pub)
        self.expect(3, "verify-signature", self.path("none.json"), pub)
        self.expect(3, "verify-signature", self.write("s.json", good), self.path("none.pem"))
        p384 = ec.generate_private_key(ec.SECP384R1())
        small = rsa.generate_private_key(65537, 1024)
        for key, says in ((p384, "P-256 or RSA"), (small, "1024 bits"), (ed25519.Ed25519PrivateKey.generate(), "P-256")):
            self.expect(3, "verify-signature", self.write("s.json", good), self.write("k.pem", public(key)), says=says)
            self.expect(3, "sign", self.write("in.json", good["golden_measurement"]), self.write("k.pem", private(key)),
                        "-o", self.path("out.json"), says=says)
            self.assertFalse(os.path.exists(self.path("out.json")))
        self.expect(3, "verify-signature", self.write("s.json", good), self.write("k.pem", b"-----BEGIN PUBLIC KEY-----\n"))

    def test_sign_refuses_bad_keys_and_files(self):
        good = self.write("in.json", {"golden_measurement": GOLDEN})
        key = self.write("key.pem", private(P256))
        locked = self.write("locked.pem", private(P256, password=b"secret"))
        for bad in (self.path("none.pem"), locked, self.write("pub.pem", public(P256)), self.write("e.pem", b""),
                    self.write("big.pem", b"x" * 70000), self.folder.name):
            self.expect(3, "sign", good, bad, "-o", self.path("out.json"))
        self.expect(3, "sign", self.path("none.json"), key, "-o", self.path("out.json"))
        self.expect(3, "sign", self.write("b.json", {"signature": "x"}), key, "-o", self.path("out.json"))
        self.assertFalse(os.path.exists(self.path("out.json")))
        self.expect(4, "sign", good, key, "-o", self.path("no/such/folder.json"))
        self.expect(2, "sign", good)
        self.expect(2, "sign", "-", "-")

    def test_numbers_with_many_spellings_are_not_signed(self):
        key = self.write("key.pem", private(P256))
        for number in ("1.5", "1e3", "-0.0"):
            got, out, err = self.run_cli("sign", self.write("b.json", '{"golden_measurement":{"a":%s}}' % number), key)
            self.assertEqual((got, out), (3, b""), err)
            self.assertIn("many spellings", err)

    def test_inputs_are_never_overwritten(self):
        text = json.dumps({"golden_measurement": GOLDEN})
        good, key = self.write("in.json", text), self.write("key.pem", private(P256))
        os.symlink("in.json", self.path("link.json"))
        for out in (good, self.path("./in.json"), self.path("link.json"), key):
            self.expect(2, "sign", good, key, "-o", out, says="is an input")
        with open(good, encoding="utf-8") as f:
            self.assertEqual(f.read(), text)

    def test_older_signature_is_replaced_with_a_note(self):
        document = {"golden_measurement": GOLDEN, "signature": sign(RSA, GOLDEN)}
        signed, err = self.signed(P256, document)
        self.assertIn("older signature is replaced", err)
        check(P256, signed)
        signed, err = self.signed(P256, {"golden_measurement": GOLDEN})
        self.assertEqual(err, "")

    def test_what_no_verifier_accepts_is_signed_with_a_note(self):
        _, err = self.signed(P256, {"golden_measurement": ODD})
        self.assertIn("note: no verifier", err)

    def test_the_inner_object_alone_is_wrapped(self):
        signed, _ = self.signed(P256, GOLDEN)
        self.assertEqual(signed["golden_measurement"], GOLDEN)
        check(P256, signed)

    def test_output_file_is_readable_and_whole(self):
        self.signed(P256, {"golden_measurement": GOLDEN}, "new.json")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("new.json")).st_mode), 0o644)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["in.json", "key.pem", "new.json"])


def load(*path):
    with open(os.path.join(EVIDENCE, *path), "rb") as f:
        return f.read()


def log_digests(log, pcr, alg=11):
    """Digests extended into a PCR, from a crypto-agile log; a reader of its own (TCG PFP 1.05, section 10.2)."""
    sizes, out, at = {}, [], 28
    size = struct.unpack_from("<I", log, at)[0]
    spec = log[at + 4:at + 4 + size]
    for i in range(struct.unpack_from("<I", spec, 24)[0]):
        sizes.update([struct.unpack_from("<HH", spec, 28 + 4 * i)])
    at += 4 + size
    while at + 12 <= len(log):
        index, kind, count = struct.unpack_from("<III", log, at)
        if index > 23:
            break
        at += 12
        for _ in range(count):
            one = struct.unpack_from("<H", log, at)[0]
            if (index, one) == (pcr, alg) and kind != 3:
                out.append(log[at + 2:at + 2 + sizes[one]].hex())
            at += 2 + sizes[one]
        at += 4 + struct.unpack_from("<I", log, at)[0]
    return out


def b64(data):
    return base64.b64encode(data).decode()


@unittest.skipUnless(os.path.isdir(EVIDENCE), "no recorded evidence")
class Diff(Case):
    LOGS = ("gcp-ubuntu-2104-no-dbx", "gcp-ubuntu-2104-no-secure-boot")

    def collaterals(self, log="gcp-ubuntu-2104-no-dbx", report="milan-v3-oak", with_log=True, **pcrs):
        values = {**{str(i): "00" * 32 for i in range(24)},
                  **json.loads(load("eventlog-tpm", log, "replayed_pcrs.json"))["sha256"], **pcrs}
        document = {
            "version": 1, "platform": {"tee": "sev_snp", "cloud": "gcp", "emulated": False},
            "sev_snp": {"attestation_report": b64(load("snp", report, "report.bin"))},
            "tpm": {**QUOTE,
                    "pcrs": {"hash": 11, "pcrs": {k: b64(bytes.fromhex(v)) for k, v in values.items()}}},
            **QUESTION, "workload_log": [], "missing": {}}
        if with_log:
            document["boot_log_tpm"] = b64(load("eventlog-tpm", log, "eventlog.bin"))
        return document

    def diff(self, a, b):
        """The answer as JSON, after the plain one agreed on the status and the first register."""
        a, b = self.write("a.json", a), self.write("b.json", b)
        plain, text, err = self.run_cli("diff", a, b)
        status, out, err2 = self.run_cli("diff", a, b, "--json")
        self.assertIn(status, (0, 1), err2)
        self.assertEqual(plain, status, err + err2)
        answer = json.loads(out)
        self.assertEqual(status, 0 if answer["same"] else 1)
        begins = f"{answer['first']['register']} differs\n" if status else "no difference in"
        self.assertTrue(text.decode().startswith(begins), text)
        return answer

    def test_a_document_equals_itself(self):
        for document in (self.collaterals(), GOLDEN, {"golden_measurement": GOLDEN}):
            answer = self.diff(document, document)
            self.assertGreater(answer["compared"], 5)
            self.assertEqual((answer["first"], answer["event"], answer["differing"]), (None, None, []))
        self.assertTrue(self.diff(GOLDEN, {"golden_measurement": GOLDEN, "signature": "AAAA"})["same"])

    def test_two_boots_and_the_event_between_them(self):
        answer = self.diff(self.collaterals(self.LOGS[0]), self.collaterals(self.LOGS[1]))
        banks = [json.loads(load("eventlog-tpm", log, "replayed_pcrs.json"))["sha256"] for log in self.LOGS]
        different = [i for i in range(24) if banks[0].get(str(i)) != banks[1].get(str(i))]
        first = different[0]
        self.assertEqual(answer["first"], {"register": f"PCR {first} (sha256)", "a": banks[0][str(first)],
                                           "b": banks[1][str(first)]})
        self.assertEqual([d["register"] for d in answer["differing"]],
                         [f"PCR {i} (sha256)" for i in different if i != 14] + ["PCR 14 (sha256)"] * (14 in different))
        lists = [log_digests(load("eventlog-tpm", log, "eventlog.bin"), first) for log in self.LOGS]
        number = next(i for i, (x, y) in enumerate(zip(*lists)) if x != y)
        self.assertEqual((answer["event"]["register"], answer["event"]["number"]), (f"PCR {first} (sha256)", number))
        self.assertEqual((answer["event"]["a"]["digest"], answer["event"]["b"]["digest"]),
                         (lists[0][number], lists[1][number]))
        self.assertTrue(answer["event"]["a"]["type_name"].startswith("EV_"))
        _, text, _ = self.run_cli("diff", self.path("a.json"), self.path("b.json"))
        self.assertIn(f"event {number} of PCR {first} (sha256) differs", text.decode())
        self.assertIn(answer["event"]["b"]["type_name"], text.decode())

    def test_tee_registers_come_first(self):
        answer = self.diff(self.collaterals(), self.collaterals(report="milan-v3-oak-cb", **{"4": "99" * 32}))
        names = [d["register"] for d in answer["differing"]]
        reports = [load("snp", r, "report.bin") for r in ("milan-v3-oak", "milan-v3-oak-cb")]
        self.assertEqual("sev_snp.measurement" in names, reports[0][0x90:0xC0] != reports[1][0x90:0xC0])
        self.assertEqual("sev_snp.host_data" in names, reports[0][0xC0:0xE0] != reports[1][0xC0:0xE0])
        self.assertEqual(names[-1], "PCR 4 (sha256)")

    def test_golden_beside_collaterals_is_what_it_pins(self):
        bank = json.loads(load("eventlog-tpm", self.LOGS[0], "replayed_pcrs.json"))["sha256"]
        report = load("snp", "milan-v3-oak", "report.bin")
        golden = {"version": 1, "sev_snp": {"measurement": report[0x90:0xC0].hex(), "minimum_tcb": {"snp": 0}},
                  "tpm": {"bank": "sha256", "pcrs": {"7": bank["7"], "8": bank["8"]}}, "workload": None}
        self.assertTrue(self.diff(golden, self.collaterals())["same"])
        self.assertTrue(self.diff(self.collaterals(), golden)["same"])
        golden["sev_snp"]["minimum_tcb"]["snp"] = 255
        golden["tpm"]["pcrs"]["8"] = "00" * 32
        for a, b in ((golden, self.collaterals()), (self.collaterals(), golden)):
            self.assertEqual([d["register"] for d in self.diff(a, b)["differing"]], ["sev_snp.tcb.snp", "PCR 8 (sha256)"])

    def test_listed_digests_explain_too(self):
        log = load("eventlog-tpm", self.LOGS[0], "eventlog.bin")
        wanted = log_digests(log, 7)
        golden = {"tpm": {"events": {"7": {"match": "exact", "digests": list(wanted)}}}}
        self.assertTrue(self.diff(golden, self.collaterals())["same"])
        golden["tpm"]["events"]["7"]["digests"][2] = "ee" * 32
        answer = self.diff(golden, self.collaterals())
        self.assertEqual(answer["first"]["register"], "events of PCR 7")
        self.assertEqual((answer["event"]["number"], answer["event"]["a"]["digest"], answer["event"]["b"]["digest"]),
                         (2, "ee" * 32, wanted[2]))
        other = json.loads(json.dumps(golden))
        other["tpm"]["events"]["7"]["digests"].pop()
        answer = self.diff(golden, other)
        self.assertEqual((answer["first"]["register"], answer["event"]["number"], answer["event"]["b"]),
                         ("events of PCR 7", len(wanted) - 1, None))
        answer = self.diff(golden, self.collaterals(with_log=False))
        self.assertIsNone(answer["event"])
        self.assertIn("no log", answer["first"]["b"])

    def test_golden_documents(self):
        def changed(**parts):
            return {**json.loads(json.dumps(GOLDEN)), **parts}
        tpm = {"bank": "sha256", "pcrs": {"0": "11" * 32, "11": "33" * 32}}
        answer = self.diff(GOLDEN, changed(tpm=tpm))
        self.assertEqual([d["register"] for d in answer["differing"]], ["PCR 11 (sha256)", "PCR 23 (sha256)"])
        self.assertIsNone(answer["differing"][1]["b"])
        self.assertEqual(self.diff(GOLDEN, changed(platform={"tee": "sev_snp", "cloud": "gcp"}))["first"],
                         {"register": "platform.cloud", "a": "azure", "b": "gcp"})
        record = {"type": "image", "name": "web", "content_sha384": "ab" * 48}
        workload = {"scheme": "cvm-agent-v1", "events": [record]}
        answer = self.diff(GOLDEN, changed(workload=workload))
        self.assertEqual(answer["first"]["register"], "workload event 0")
        self.assertIn('image "web"', answer["first"]["b"])
        sha384 = {"bank": "sha384", "pcrs": {"0": "11" * 48}}
        self.assertEqual(self.diff(GOLDEN, changed(tpm=sha384))["first"], {"register": "PCR bank", "a": "sha256", "b": "sha384"})
        self.assertEqual(self.diff(GOLDEN, changed(sev_snp={**GOLDEN["sev_snp"], "minimum_tcb": {"snp": 9}}))["first"],
                         {"register": "sev_snp.tcb.snp", "a": "8", "b": "9"})
        sample = load("golden", "automata-azure-snp", "golden_measurement.json")
        self.assertTrue(self.diff(sample, sample)["same"])
        self.assertFalse(self.diff(sample, GOLDEN)["same"])

    def test_rtmrs_and_their_log(self):
        quote = load("gcp-tdx", "cos-113-quote-ccel", "quote.bin")
        ccel = bytearray(load("gcp-tdx", "cos-113-quote-ccel", "ccel.bin"))

        def document(quote, ccel):
            return {"platform": {"tee": "tdx", "cloud": "gcp"}, "tdx": {"attestation_report": b64(bytes(quote))},
                    **QUESTION, "boot_log_ccel": b64(bytes(ccel))}
        self.assertTrue(self.diff(document(quote, ccel), document(quote, ccel))["same"])
        other_quote, other_log, digests = bytearray(quote), bytearray(ccel), log_digests(ccel, 2, 12)
        other_quote[48 + 0x148 + 48 + 5] ^= 1  # RTMR1
        at = ccel.find(bytes.fromhex(digests[3]))
        other_log[at] ^= 1
        answer = self.diff(document(quote, ccel), document(other_quote, other_log))
        self.assertEqual([d["register"] for d in answer["differing"]], ["tdx.rtmr1"])
        self.assertEqual(answer["event"]["number"], next(i for i, d in enumerate(digests) if d == digests[3]))

    def test_bad_documents_are_3(self):
        good = self.write("good.json", GOLDEN)
        collaterals = self.collaterals()
        broken = [b"", b"{", b"[]", b"7", b'{"pins":"nothing"}', b"[" * 3000, json.dumps(GOLDEN).encode()[:-1],
                  {**collaterals, "sev_snp": {"attestation_report": "AAAA"}},
                  {**collaterals, "sev_snp": {"attestation_report": "!"}},
                  {**collaterals, "tpm": {**QUOTE, "pcrs": {"hash": 99, "pcrs": {}}}},
                  {**collaterals, "tpm": {**QUOTE, "pcrs": {"hash": 11, "pcrs": {"3": "AAAA"}}}},
                  {**collaterals, "boot_log_tpm": "AAAA"}, {**collaterals, "boot_log_tpm": 7},
                  {**collaterals, "workload_log": {}}, {**collaterals, "workload_log": [7]}]
        for document in broken:
            for args in ((good, self.write("bad.json", document)), (self.path("bad.json"), good)):
                self.expect(3, "diff", *args, says="bad.json")
        self.expect(3, "diff", good, self.path("none.json"))
        self.expect(2, "diff", good)
        self.expect(2, "diff", "-", "-")
        status, _, err = self.run_cli("diff", good, "-", stdin=json.dumps(GOLDEN).encode())
        self.assertEqual(status, 0, err)


@unittest.skipUnless(os.access(AGENT, os.X_OK), "no agent was built")
class WithAgent(Case):
    def test_what_the_agent_writes_is_read(self):
        for shape in ("snp-vtpm", "tdx-vtpm"):
            with tempfile.TemporaryDirectory() as state, Agent(AGENT, state, ["--emulate", shape]) as agent:
                golden = self.write("golden.json", agent.get("/golden-measurement"))
                everything = self.write("all.json", agent.get("/golden-measurement?all=1"))
                first = self.write("1.json", agent.get("/collaterals/first"))
                second = self.write("2.json", agent.get("/collaterals/second"))
                self.expect(0, "diff", golden, first)
                self.expect(0, "diff", first, everything)
                self.expect(0, "diff", first, second)
                self.assertEqual(self.run_cli("diff", golden, everything)[0], 1)
                key, pub = self.write("k.pem", private(P256)), self.write("p.pem", public(P256))
                got, _, err = self.run_cli("sign", golden, key, "-o", self.path("signed.json"))
                self.assertEqual((got, err), (0, ""))
                self.expect(0, "verify-signature", self.path("signed.json"), pub)
                self.expect(0, "diff", self.path("signed.json"), second)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=1)

"""cvm-cli sign, verify-signature and diff. Signatures are made and judged with python3-cryptography the way tools of
the automata project do. usage: test_golden_cli.py CVM-CLI CVM-AGENT EVIDENCE [TESTS]"""
import base64
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

CLI, AGENT, EVIDENCE = sys.argv[1:4]
ZERO = "00" * 32
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
    "": "empty", "esc": "\"\\\b\f\n\r\t\x01\x1f\x7f\x80\u2028", "numbers": [0, -1, 9223372036854775807, -9223372036854775808],
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
                    text.replace('"version": 1', '"version": 1.0'), text.replace('"version": 1', '"version": 1' + "0" * 400),
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


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=1)

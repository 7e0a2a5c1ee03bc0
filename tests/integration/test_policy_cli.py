#!/usr/bin/python3
"""cvm-cli policy: policies made from tokens, endorsements, reports and quotes, and edited. Tokens and endorsements are
made here with python3-cryptography; reports and quotes were recorded on real machines.

usage: test_policy_cli.py CVM-CLI EVIDENCE
"""
import base64
import copy
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
import datetime

CLI, EVIDENCE = sys.argv[1:3]
MANIFEST = b'{"id":"1","name":"demo"}\n'
PREFIX = "x-ms-sevsnpvm-"
HAVE = os.path.exists(EVIDENCE)


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def certificate(name, key, issuer=None, issuer_key=None, ca=True):
    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
               .add_extension(x509.BasicConstraints(ca, None), True))
    if ca:
        builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
    return builder.sign(issuer_key or key, hashes.SHA256())


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


class Server:
    """Answers GET of fixed paths."""

    def __init__(self, files):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Base(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = self.folder.name

    def tearDown(self):
        self.folder.cleanup()

    def file(self, name, value):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(value if isinstance(value, bytes) else json.dumps(value).encode())
        return path

    def run_cli(self, *args):
        return subprocess.run([CLI, *args], cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              check=False)

    def policy(self, *args):
        done = self.run_cli("policy", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refused(self, status, *args):
        """The exit status, one line of error, and no file touched."""
        before = self.snapshot()
        done = self.run_cli("policy", *args)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertTrue(done.stderr.startswith(b"cvm-cli: "), done.stderr)
        self.assertEqual(before, self.snapshot())
        return done.stderr.decode()

    def snapshot(self):
        return {name: self.read(name) for name in sorted(os.listdir(self.dir))}

    def read(self, name):
        with open(os.path.join(self.dir, name), "rb") as f:
            return f.read()

    def made(self, name="attestation_policy.json"):
        self.assertEqual(os.stat(os.path.join(self.dir, name)).st_mode & 0o777, 0o644)
        return json.loads(self.read(name))


class Edit(Base):
    VALUE = b64(bytes(range(48)))

    def test_usage(self):
        self.assertEqual(self.run_cli("policy").returncode, 0)
        for action in ("azure", "download", "extend", "gcp", "hostdata", "measurement", "sev-snp", "tdx"):
            self.assertIn(f"policy {action}".encode(), self.run_cli("policy").stdout)
            self.assertIn(b"usage: cvm-cli policy " + action.encode(), self.run_cli("policy", action, "--help").stdout)
            self.refused(2, action)
        self.refused(2, "nothing")

    def test_measurement_and_hostdata(self):
        path = self.file("p.json", {"policy": {"policy": 196608}, "pcr_values": {"sha256": {"0": "00" * 32}}})
        self.policy("measurement", self.VALUE, path)
        self.policy("hostdata", b64(bytes(32)), path)
        self.assertEqual(self.made("p.json"), {
            "policy": {"policy": 196608, "measurement": self.VALUE, "host_data": b64(bytes(32))},
            "pcr_values": {"sha256": {"0": "00" * 32}}})

    def test_one_spelling(self):
        """camelCase, decimal text and names are rewritten; exact to 64 bits; unknown keys stay."""
        text = (b'{"policy":{"policy":"196608","minimumTcb":"15352208179752599555","minimumLaunchTcb":18446744073709551615,'
                b'"permitProvisionalFirmware":true,"product":{"name":"SEV_PRODUCT_GENOA"},"someNewKey":{"a":[1,"x"]}},'
                b'"rootOfTrust":{"checkCrl":true,"productLine":"Genoa"},"more":15352208179752599555}')
        self.file("p.json", text)
        self.policy("measurement", self.VALUE, "p.json")
        text = self.read("p.json").decode()
        self.assertIn('"minimum_tcb": 15352208179752599555', text)
        self.assertIn('"minimum_launch_tcb": 18446744073709551615', text)
        self.assertIn('"more": 15352208179752599555', text)
        made = self.made("p.json")
        self.assertEqual(made["policy"]["policy"], 196608)
        self.assertEqual(made["policy"]["product"], {"name": 2})
        self.assertEqual(made["policy"]["someNewKey"], {"a": [1, "x"]})
        self.assertEqual(made["root_of_trust"], {"check_crl": True, "product_line": "Genoa"})
        self.assertTrue(text.startswith('{\n  "policy": {\n    "policy"'))

    def test_errors(self):
        self.file("p.json", {"policy": {"policy": 196608}})
        self.file("bad.json", b"{")
        self.file("list.json", [])
        self.file("both.json", {"policy": {"hostData": "", "host_data": ""}})
        self.file("tdx.json", {"policy": {"tdQuoteBodyPolicy": {}}})
        for args in (("!!!", "p.json"), (b64(bytes(47)), "p.json"), (self.VALUE, "bad.json"), (self.VALUE, "list.json"),
                     (self.VALUE, "both.json"), (self.VALUE, "tdx.json"), (self.VALUE, "absent.json")):
            self.refused(3, "measurement", *args)
        self.refused(3, "hostdata", self.VALUE, "p.json")
        self.refused(2, "measurement", self.VALUE)
        self.refused(2, "measurement", self.VALUE, "p.json", "p.json")

    def extended(self, policy, *args):
        self.file("p.json", policy)
        self.file("m.json", MANIFEST)
        self.policy("extend", "p.json", *args)
        values = self.made("p.json")["pcr_values"]
        return values["sha256"]["16"], values["sha384"]["16"]

    def test_extend(self):
        once = ("3d3241499deae687eafd803dd21e8029cbfcec55c61955160212e54590ebc997",
                "f00b4b74716a6141403b891ca92e94fedf1bad3b7f7aafeb83c0ee157f1408593c6020a60b67bb4fb4ea02f614290e37")
        twice = ("10d7dd43385f5e17125c70930776f5535a22fa1460f07bdc55623c9ac424f754",
                 "447f055b83a60464312b2e5524e7e6d4bfeec395f98c301cab1119609cb1f8cc054072069e4d7120d7d7d8c8a2b45254")
        for empty in ({}, {"pcr_values": None}, {"pcr_values": {"sha256": None, "sha1": None}},
                      {"pcr_values": {"sha256": {}, "sha384": {"16": "00" * 48}}}):
            self.assertEqual(self.extended(empty, "m.json"), once)
        self.assertEqual(self.extended({}, "m.json", "m.json"), twice)
        self.assertEqual(self.extended({"pcr_values": {"sha256": {"16": once[0].upper()}, "sha384": {"16": once[1]}}},
                                       "m.json"), twice)
        self.assertEqual(self.extended({}, "m.json", "--rule", "cocos-cli")[0],
                         "7e198d2e30492fd00db8bbca1dd9140b195f21b2559ac24392ee82d9b626a4a3")
        self.assertEqual(self.extended({}, "m.json", "m.json", "--rule", "cocos-cli")[0],
                         "d807a67756fc464f47d343783f3619ff059607cee3e25075224c62c7282a21c0")
        self.assertEqual(self.extended({}, "m.json", "--rule", "cocos-agent"), (
            "785d8ca4e8dfdcf0d5eede43e4569076918cfdb21bb9c294cbcf59a09e0effc8",
            "4cd128ac6a3d9b0a324c74b88439db99059f50573f29de4299ed481f84c20ba7e98db6fd451d09a07d2214800a6208cc"))

    def test_extend_errors(self):
        self.file("m.json", MANIFEST)
        for policy in ({"pcr_values": {"sha256": {"16": "zz" * 32}}}, {"pcr_values": {"sha384": {"16": "00" * 32}}},
                       {"pcr_values": 7}, {"pcr_values": {"sha256": []}}):
            self.file("p.json", policy)
            self.refused(3, "extend", "p.json", "m.json")
        self.file("p.json", {})
        self.refused(3, "extend", "p.json", "absent.json")
        self.refused(2, "extend", "p.json")
        self.refused(2, "extend", "p.json", "m.json", "--rule", "md5")


def tee_claims():
    return {PREFIX + "familyId": "01" * 16, PREFIX + "imageId": "02" * 16, PREFIX + "launchmeasurement": "03" * 48,
            PREFIX + "guestsvn": 8, PREFIX + "idkeydigest": "04" * 48, PREFIX + "reportid": "05" * 32,
            PREFIX + "bootloader-svn": 4, PREFIX + "tee-svn": 0, PREFIX + "snpfw-svn": 22, PREFIX + "microcode-svn": 213}


class Azure(Base):
    URL = "https://sharedeus2.eus2.attest.azure.net"

    @classmethod
    def setUpClass(cls):
        cls.keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
        cls.certs = [certificate(f"signer {i}", key) for i, key in enumerate(cls.keys)]

    def jwks(self, entries=None):
        return {"keys": entries or [{"kty": "RSA", "kid": f"k{i}", "x5c": [b64(der(cert))]}
                                    for i, cert in enumerate(self.certs)]}

    def claims(self):
        now = int(time.time())
        return {"exp": now + 300, "nbf": now - 5, "iat": now - 5, "iss": self.URL, "x-ms-isolation-tee": tee_claims()}

    def token(self, claims=None, header=None, key=0):
        head = {"alg": "RS256", "kid": "k0", "jku": self.URL + "/certs", "typ": "JWT", **(header or {})}
        text = b64url(json.dumps(head).encode()) + "." + b64url(json.dumps(claims or self.claims()).encode())
        if head["alg"] == "none":
            return text + "."
        if head["alg"].startswith("HS"):
            secret = self.keys[0].public_key().public_bytes(serialization.Encoding.PEM,
                                                            serialization.PublicFormat.SubjectPublicKeyInfo)
            return text + "." + b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())
        scheme = padding.PKCS1v15() if head["alg"].startswith("R") else padding.PSS(padding.MGF1(hashes.SHA384()), 48)
        digest = hashes.SHA384() if head["alg"].endswith("384") else hashes.SHA256()
        return text + "." + b64url(self.keys[key].sign(text.encode(), scheme, digest))

    def test_made(self):
        self.file("jwks.json", self.jwks())
        self.file("token", self.token().encode() + b"\n")
        self.policy("azure", "token", "Milan", "--jwks", "jwks.json")
        self.assertEqual(self.made(), {
            "policy": {"policy": 196639, "product": {"name": 1}, "family_id": b64(b"\1" * 16), "image_id": b64(b"\2" * 16),
                       "measurement": b64(b"\3" * 48), "report_id": b64(b"\5" * 32), "minimum_guest_svn": 8,
                       "trusted_id_key_hashes": [b64(b"\4" * 48)]},
            "root_of_trust": {"check_crl": True}})
        self.policy("azure", "token", "Genoa", "--policy", "0x30000", "--jwks", "jwks.json", "--maa", self.URL + "/")
        self.assertEqual((self.made()["policy"]["policy"], self.made()["policy"]["product"]), (196608, {"name": 2}))
        self.file("token", self.token(header={"alg": "PS384"}).encode())
        self.policy("azure", "token", "Milan", "--jwks", "jwks.json", "-o", "other.json")
        self.made("other.json")

    def test_fetched(self):
        server = Server({"/certs": json.dumps(self.jwks()).encode()})
        self.addCleanup(server.stop)
        self.file("token", self.token({**self.claims(), "iss": server.url}).encode())
        self.policy("azure", "token", "Milan", "--maa", server.url, "--insecure")
        self.assertEqual(self.made()["policy"]["minimum_guest_svn"], 8)
        self.file("token", self.token().encode())  # issued elsewhere
        self.assertIn("not issued by", self.refused(1, "azure", "token", "Milan", "--maa", server.url, "--insecure"))
        self.refused(2, "azure", "token", "Milan", "--maa", server.url)  # plain http
        empty = Server({})
        self.addCleanup(empty.stop)
        self.refused(4, "azure", "token", "Milan", "--maa", empty.url, "--insecure")

    def test_tokens_that_do_not_hold(self):
        now = int(time.time())
        self.file("jwks.json", self.jwks())
        for token in (self.token(header={"alg": "none"}), self.token(header={"alg": "HS256"}),
                      self.token(header={"kid": "k9"}), self.token(key=1), self.token(header={"kid": "k1"}),
                      self.token({**self.claims(), "exp": now - 61}), self.token({**self.claims(), "nbf": now + 90}),
                      self.token({**self.claims(), "iat": now + 90}), self.token()[:-4] + "AAAA",
                      self.token(header={"crit": ["x"]})):
            self.file("token", token.encode())
            self.refused(1, "azure", "token", "Milan", "--jwks", "jwks.json")
        self.file("token", self.token({**self.claims(), "iss": "https://evil.example"}).encode())
        self.refused(1, "azure", "token", "Milan", "--jwks", "jwks.json", "--maa", self.URL)

    def test_malformed(self):
        self.file("jwks.json", self.jwks())
        for name in tee_claims():
            claims = self.claims()
            del claims["x-ms-isolation-tee"][name]
            self.file("token", self.token(claims).encode())
            self.assertIn(name, self.refused(3, "azure", "token", "Milan", "--jwks", "jwks.json"))
        for name, value in ((PREFIX + "reportid", "05" * 31), (PREFIX + "snpfw-svn", 128), (PREFIX + "guestsvn", "8"),
                            (PREFIX + "guestsvn", -1), (PREFIX + "familyId", 7), (PREFIX + "microcode-svn", 256)):
            claims = self.claims()
            claims["x-ms-isolation-tee"][name] = value
            self.file("token", self.token(claims).encode())
            self.assertIn(name, self.refused(3, "azure", "token", "Milan", "--jwks", "jwks.json"))
        for text in (b"", b"a.b", b"a.b.c", b"{}", self.token().encode() + b".x"):
            self.file("token", text)
            self.refused(3, "azure", "token", "Milan", "--jwks", "jwks.json")
        self.file("token", self.token(header={"jku": None}).encode())
        self.assertIn("jku", self.refused(3, "azure", "token", "Milan", "--jwks", "jwks.json"))
        self.file("token", self.token().encode())
        self.refused(2, "azure", "token", "Rome", "--jwks", "jwks.json")
        self.refused(2, "azure", "token", "Milan", "--jwks", "jwks.json", "--policy", "much")
        self.refused(2, "azure", "token", "Milan", "--jwks", "jwks.json", "--policy", "18446744073709551616")
        self.refused(3, "azure", "token", "Milan", "--jwks", "token")
        self.refused(3, "azure", "absent", "Milan", "--jwks", "jwks.json")

    @unittest.skipUnless(HAVE, "no recorded evidence on this machine")
    def test_recorded_token(self):
        """Its signer's keys are not public any more: another key does not do."""
        token = os.path.join(EVIDENCE, "token/azure-maa-jwt/token.jwt")
        with open(os.path.join(EVIDENCE, "token/azure-maa-jwt/header.json"), encoding="utf-8") as f:
            kid = json.load(f)["kid"]
        self.file("jwks.json", self.jwks([{"kty": "RSA", "kid": kid, "x5c": [b64(der(self.certs[0]))]}]))
        self.assertIn("not signed by", self.refused(1, "azure", token, "Milan", "--jwks", "jwks.json"))


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@unittest.skipUnless(HAVE, "no recorded evidence on this machine")
class Gcp(Base):
    REPORT = os.path.join(EVIDENCE, "snp/milan-v3-oak/report.bin")

    @classmethod
    def setUpClass(cls):
        cls.root_key, cls.key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        cls.root = certificate("firmware root", cls.root_key)
        cls.cert = certificate("firmware signer", cls.key, cls.root, cls.root_key, ca=False)
        with open(cls.REPORT, "rb") as f:
            cls.measurement = f.read()[0x90:0xC0]
        cls.image = b"firmware" * 1000

    def endorsement(self, measurements=None, image=None, sign=True):
        measurements = measurements or {2: b"\2" * 48, 4: self.measurement}
        snp = field(1, 7) + field(5, 0x30000) + b"".join(
            field(2, field(1, count) + field(2, value)) for count, value in measurements.items())
        golden = (field(1, field(1, 1700000000)) + field(2, 99) + field(4, der(self.cert))
                  + field(5, hashlib.sha384(image or self.image).digest()) + field(6, pem(self.root)) + field(7, snp))
        signature = self.key.sign(golden, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        return field(1, golden) + (field(2, signature) if sign else b"")

    def test_made(self):
        self.file("root.pem", pem(self.root))
        self.file("e.binarypb", self.endorsement())
        done = self.policy("gcp", self.REPORT, "4", "--endorsement", "e.binarypb", "--root", "root.pem")
        self.assertEqual(done.stderr, b"")
        self.assertEqual(self.made(), {
            "policy": {"policy": 196608, "measurement": b64(self.measurement)},
            "root_of_trust": {"check_crl": True, "disallow_network": False, "product": "Milan", "product_line": "Milan"},
            "pcr_values": {"sha1": None, "sha256": None, "sha384": None}})
        done = self.policy("gcp", self.REPORT, "4", "--endorsement", "e.binarypb")
        self.assertIn(b"origin not checked", done.stderr)
        done = self.policy("gcp", self.REPORT, "2", "--endorsement", "e.binarypb", "--root", "root.pem")
        self.assertIn(b"will not satisfy", done.stderr)

    def test_fetched(self):
        base = "/gce_tcb_integrity/ovmf_x64_csm/"
        server = Server({f"{base}sevsnp/{self.measurement.hex()}.binarypb": self.endorsement(),
                         f"{base}{hashlib.sha384(self.image).hexdigest()}.fd": self.image})
        self.addCleanup(server.stop)
        self.policy("gcp", self.REPORT, "4", "--url", server.url)
        done = self.policy("download", self.REPORT, "--url", server.url)
        self.assertIn(b"endorsed digest", done.stdout)
        self.assertEqual(self.read("ovmf.fd"), self.image)
        os.unlink(os.path.join(self.dir, "ovmf.fd"))
        other = Server({f"{base}sevsnp/{self.measurement.hex()}.binarypb": self.endorsement(),
                        f"{base}{hashlib.sha384(self.image).hexdigest()}.fd": self.image + b"x"})
        self.addCleanup(other.stop)
        self.assertIn("not the endorsed digest", self.refused(1, "download", self.REPORT, "--url", other.url))
        empty = Server({})
        self.addCleanup(empty.stop)
        self.assertIn("404", self.refused(4, "gcp", self.REPORT, "4", "--url", empty.url))

    def test_endorsements_that_do_not_hold(self):
        other = certificate("firmware root", self.key)
        self.file("root.pem", pem(self.root))
        self.file("other.pem", pem(other))
        good = self.endorsement()
        self.file("e", good)
        self.refused(1, "gcp", self.REPORT, "4", "--endorsement", "e", "--root", "other.pem")
        self.refused(1, "gcp", self.REPORT, "4", "--endorsement", "e", "--root", "root.pem", "--at", "2040-01-01T00:00:00Z")
        self.assertIn("no measurement for 3", self.refused(1, "gcp", self.REPORT, "3", "--endorsement", "e"))
        at = good.index(self.measurement)
        self.file("e", good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        self.refused(1, "gcp", self.REPORT, "4", "--endorsement", "e", "--root", "root.pem")
        self.refused(1, "gcp", self.REPORT, "4", "--endorsement", "e")
        self.file("e", self.endorsement(sign=False))
        self.refused(1, "gcp", self.REPORT, "4", "--endorsement", "e", "--root", "root.pem")

    def test_malformed(self):
        self.file("root.pem", pem(self.root))
        good = self.endorsement()
        for bad in (b"", good[:-1], b"{}", self.endorsement({4: b"\2" * 47}), field(1, b"\xff")):
            self.file("e", bad)
            self.refused(3, "gcp", self.REPORT, "4", "--endorsement", "e")
        self.file("e", good)
        self.refused(2, "gcp", "absent", "four", "--endorsement", "e")  # the count is read first
        self.refused(3, "gcp", "absent", "4", "--endorsement", "e")
        self.refused(3, "gcp", "e", "4", "--endorsement", "e")
        self.refused(3, "gcp", self.REPORT, "4", "--json", "--endorsement", "e")
        self.refused(3, "gcp", os.path.join(EVIDENCE, "gcp-vtpm/gce-cos-85-nonce9009/attestation.pb"), "4",
                     "--endorsement", "e")


@unittest.skipUnless(HAVE, "no recorded evidence on this machine")
class Tdx(Base):
    QUOTE = os.path.join(EVIDENCE, "gcp-tdx/automata-sdk-v4/quote.bin")
    HEX = {"qe_vendor_id": ("qeVendorId", 16), "minimum_tee_tcb_svn": ("minimumTeeTcbSvn", 16), "mr_seam": ("mrSeam", 48),
           "td_attributes": ("tdAttributes", 8), "xfam": ("xfam", 8), "mr_td": ("mrTd", 48),
           "mr_config_id": ("mrConfigId", 48), "mr_owner": ("mrOwner", 48), "mr_config_owner": ("mrOwnerConfig", 48)}

    def test_flags(self):
        for option, (member, size) in self.HEX.items():
            value = bytes(range(size))
            self.policy("tdx", self.QUOTE, f"--{option}", value.hex())
            made = self.made()
            part = "headerPolicy" if option == "qe_vendor_id" else "tdQuoteBodyPolicy"
            self.assertEqual(made["policy"].pop(part), {member: b64(value)})
            self.assertEqual(list(made["policy"].values()), [{}])  # a flag left out stays unchecked
            for bad in (value[:-1].hex(), value.hex() + "00", "zz" * size, "0x" + value.hex(), ""):
                self.refused(2, "tdx", self.QUOTE, f"--{option}", bad)
        self.policy("tdx", self.QUOTE, "--minimum_qe_svn", "1", "--minimum_pce_svn", "65535", "--get_collateral")
        self.assertEqual(self.made(), {
            "policy": {"headerPolicy": {"minimumPceSvn": 65535, "minimumQeSvn": 1}, "tdQuoteBodyPolicy": {}},
            "rootOfTrust": {"checkCrl": False, "getCollateral": True}})
        self.refused(2, "tdx", self.QUOTE, "--minimum_qe_svn", "65536")

    def test_rtmrs(self):
        parts = ["11" * 48, " ", "", " " + "22" * 48]
        self.policy("tdx", self.QUOTE, "--rtmrs", ",".join(parts))
        self.assertEqual(self.made()["policy"]["tdQuoteBodyPolicy"]["rtmrs"], [b64(b"\x11" * 48), "", "", b64(b"\x22" * 48)])
        for bad in ("", ",,", ",,,,", "11,,,", "zz" * 48 + ",,,"):
            self.refused(2, "tdx", self.QUOTE, "--rtmrs", bad)

    def test_roots_and_config(self):
        self.file("root.pem", pem(certificate("root", rsa.generate_private_key(65537, 2048))))
        self.policy("tdx", self.QUOTE, "--trusted_root", "root.pem")
        self.assertEqual(self.made()["rootOfTrust"]["cabundlePaths"], ["root.pem"])
        self.refused(3, "tdx", self.QUOTE, "--trusted_root", "root.pem,absent.pem")
        self.refused(3, "tdx", self.QUOTE, "--trusted_root", ".")
        config = {"policy": {"td_quote_body_policy": {"mr_td": b64(bytes(48))}}}
        self.file("c.json", config)
        self.policy("tdx", self.QUOTE, "--config", "c.json")
        self.assertEqual(self.made(), config)
        self.file("c.json", {"policy": {"td_quote_body_policy": {"mr_td": b64(bytes(47))}}})
        self.assertIn("mr_td", self.refused(3, "tdx", self.QUOTE, "--config", "c.json"))

    def test_reports(self):
        snp = os.path.join(EVIDENCE, "snp/milan-v3-oak/report.bin")
        self.assertIn("no TDX quote", self.refused(3, "tdx", snp))
        self.file("empty", b"")
        self.refused(3, "tdx", "empty")
        with open(self.QUOTE, "rb") as f:
            quote = f.read()
        self.file("cut", quote[:700])
        self.refused(3, "tdx", "cut")


def der_of(path):
    with open(path, "rb") as f:
        return der(x509.load_pem_x509_certificate(f.read()))


@unittest.skipUnless(HAVE, "no recorded evidence on this machine")
class Recorded(Base):
    """A policy made from evidence accepts it; with any one value changed it does not."""

    def verdict(self, doc, policy, *options):
        self.file("doc.json", doc)
        self.file("p.json", policy)
        done = self.run_cli("verify", "doc.json", "--offline", "--json", "--policy", "p.json", *options)
        self.assertEqual(done.returncode, 1, done.stderr)  # the recorded quotes answer other questions
        answer = json.loads(done.stdout)
        check = [c for c in answer["checks"] if c["check"] == "policy.p"][0]
        self.assertEqual(check["ok"], answer["policies"][0]["ok"])
        return answer["policies"][0]["failures"]

    def changes(self, value, path=()):
        """(path, changed value) of every leaf that pins something."""
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self.changes(inner, path + (key,))
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                yield from self.changes(inner, path + (i,))
        elif isinstance(value, str) and len(value) >= 8:
            raw = bytearray(base64.b64decode(value))
            if path[-1] == "minimumTeeTcbSvn":
                raw = bytearray(b"\xff" * 16)
            raw[0] ^= 1 if path[-1] != "minimumTeeTcbSvn" else 0
            yield path, b64(bytes(raw))
        elif path[-1] in ("minimum_tcb", "minimum_launch_tcb"):
            yield path, 2 ** 64 - 1
        elif path[-1] in ("minimum_guest_svn", "minimum_build"):
            yield path, value + 1
        elif path[-1] == "vmpl":
            yield path, (value + 1) % 4
        elif path[-1] == "policy":
            yield path, 0x300FF
            yield path, 0x20000 | 0x100000
        elif path[-1] == "minimum_version":
            yield path, "255.0"

    def try_all(self, doc, policy, *options):
        self.assertEqual(self.verdict(doc, policy, *options), [])
        n = 0
        for path, value in self.changes(policy):
            changed = copy.deepcopy(policy)
            at = changed
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            if path[0] == "policy" and path[-1] != "name":
                failures = self.verdict(doc, changed, *options)
                self.assertTrue(failures, path)
                self.assertTrue(all(f["field"] and f["expected"] and f["found"] for f in failures))
                n += 1
        self.assertGreater(n, 8)

    def snp_document(self, report, vek, ask, ark):
        with open(report, "rb") as f:
            raw = f.read()
        with open(vek, "rb") as f:
            cert = f.read()
        return {"sev_snp": {"attestation_report": b64(raw[:1184]), "vek_cert": b64(cert),
                            "cert_chain": [b64(der_of(ask)), b64(der_of(ark))]},
                "magic": b64(b"External/collaterals"), "nonce": b64(b"1234")}

    def test_snp(self):
        for name in ("milan-v2-report-vtpm", "milan-v3-report-vtpm", "genoa-v3-report-vtpm"):
            folder = os.path.join(EVIDENCE, "azure-snp", name)
            doc = self.snp_document(*(os.path.join(folder, f) for f in ("snp_report.bin", "vcek.der", "ask.pem", "ark.pem")))
            product = "Genoa" if "genoa" in name else "Milan"
            self.policy("sev-snp", os.path.join(folder, "snp_report.bin"), "--policy", "0x3001f", "--product", product)
            policy = self.made()
            self.assertEqual(policy["root_of_trust"]["check_crl"], True)
            self.assertEqual([f["field"] for f in self.verdict(doc, policy)], ["root_of_trust.check_crl"])
            policy["root_of_trust"]["check_crl"] = False
            self.try_all(doc, policy)
            policy["policy"]["product"]["name"] = 3 - policy["policy"]["product"]["name"]
            policy["root_of_trust"].pop("product")
            policy["root_of_trust"].pop("product_line")
            self.assertEqual([f["field"] for f in self.verdict(doc, policy)], ["policy.product.name"])

    def test_sev_snp_prints_what_it_writes(self):
        folder = os.path.join(EVIDENCE, "azure-snp/milan-v3-report-vtpm")
        report = os.path.join(folder, "snp_report.bin")
        pcrs = {"pcr_values": {"sha256": {"0": "11" * 32}}}
        self.file("pcr.json", pcrs)
        done = self.policy("sev-snp", report, "--policy", "196639", "--pcr", "pcr.json")
        self.assertEqual(done.stdout, self.read("attestation_policy.json"))
        made = self.made()
        self.assertEqual(made["pcr_values"], pcrs["pcr_values"])
        self.assertEqual(made["policy"]["policy"], 196639)
        self.file("pcr.json", {"sha256": {}})
        self.refused(3, "sev-snp", report, "--pcr", "pcr.json")
        self.file("pcr.json", {"pcr_values": {"sha256": {"0": "11"}}})
        self.refused(3, "sev-snp", report, "--pcr", "pcr.json")
        self.refused(3, "sev-snp", os.path.join(EVIDENCE, "gcp-tdx/automata-sdk-v4/quote.bin"))
        self.refused(2, "sev-snp", report, "--product", "Rome")

    def test_tdx(self):
        folder = os.path.join(EVIDENCE, "gcp-tdx/automata-sdk-v4")
        with open(os.path.join(folder, "quote.bin"), "rb") as f:
            quote = f.read()
        with open(os.path.join(folder, "tcb_info.json"), encoding="utf-8") as f:
            at = json.load(f)["tcbInfo"]["issueDate"]
        doc = {"tdx": {"attestation_report": b64(quote)}, "magic": b64(b"External/collaterals"), "nonce": b64(b"1234")}
        self.policy("tdx", os.path.join(folder, "quote.bin"), "--from-quote")
        policy = self.made()
        body = policy["policy"]["tdQuoteBodyPolicy"]
        self.assertEqual(body["mrTd"], b64(quote[48 + 136:48 + 184]))
        self.assertEqual(len(body["rtmrs"]), 4)
        self.try_all(doc, policy, "--certs", folder, "--at", at)
        self.policy("tdx", os.path.join(folder, "quote.bin"), "--from-quote", "--mr_td", "00" * 48)
        fields = [f["field"] for f in self.verdict(doc, self.made(), "--certs", folder, "--at", at)]
        self.assertEqual(fields, ["policy.tdQuoteBodyPolicy.mrTd"])

    def test_files_named_by_a_policy(self):
        folder = os.path.join(EVIDENCE, "azure-snp/milan-v3-report-vtpm")
        doc = self.snp_document(*(os.path.join(folder, f) for f in ("snp_report.bin", "vcek.der", "ask.pem", "ark.pem")))
        genoa = os.path.join(EVIDENCE, "azure-snp/genoa-v3-report-vtpm/ark.pem")
        policy = {"policy": {"policy": 0x3001f, "permit_provisional_firmware": True},
                  "root_of_trust": {"cabundle_paths": [os.path.join(folder, "ark.pem")]}}
        self.assertEqual(self.verdict(doc, policy), [])
        policy["root_of_trust"]["cabundle_paths"] = [genoa]
        self.assertEqual([f["field"] for f in self.verdict(doc, policy)], ["root_of_trust.cabundles"])
        policy["root_of_trust"]["cabundle_paths"] = ["absent.pem"]
        self.file("doc.json", doc)
        self.file("p.json", policy)
        self.assertEqual(self.run_cli("verify", "doc.json", "--offline", "--policy", "p.json").returncode, 3)

    def test_malformed_is_found_first(self):
        self.file("doc.json", b"no document")
        for text in (b"{", b"", b"{}", b'{"policy":{"policy":0}}', b'{"policy":{"policy":1e400}}', b"\xff\xfe", b"[1]",
                     b'{"policy":' * 9999, b'{"policy":{"policy":196608,"measurement":"AAAA"}}'):
            self.file("p.json", text)
            done = self.run_cli("verify", "doc.json", "--policy", "p.json")
            self.assertEqual(done.returncode, 3)
            self.assertIn(b"p.json: not a policy", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

"""cvm-cli collateral preload against a server of made and recorded collateral, and verify over the folder it fills.
usage: test_collateral_cli.py CVM-CLI EVIDENCE"""
import base64
import datetime
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

CLI, EVIDENCE = sys.argv[1:3]
TDX = "tdx/v4-b0c06f-uptodate"
TDX_AT = "2025-07-01T00:00:00Z"
SNP = "snp/milan-v3-oak"
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def load(*path):
    with open(os.path.join(EVIDENCE, *path), "rb") as f:
        return f.read()


def run(*args):
    done = subprocess.run([CLI, *args], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Server:
    """Answers by path and query; a list of answers is given one by one, the last for ever."""

    def __init__(self):
        self.answers, self.asked = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                found = outer.answers.get(self.path, (404, {}, b"no such thing"))
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                status, headers, body = found
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def put(self, path, body, **headers):
        self.answers[path] = (200, {k.replace("_", "-"): v for k, v in headers.items()}, body)

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


class Authority:
    def __init__(self, name, issuer=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.issuer = issuer or self
        self.cert = (x509.CertificateBuilder().subject_name(self.name).issuer_name(self.issuer.name)
                     .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                     .not_valid_before(NOW - datetime.timedelta(days=1))
                     .not_valid_after(NOW + datetime.timedelta(days=1))
                     .add_extension(x509.BasicConstraints(True, None), True)
                     .sign(self.issuer.key, hashes.SHA256()))

    def chain(self):
        top = b"" if self.issuer is self else self.issuer.chain()
        return self.cert.public_bytes(PEM) + top

    def header(self):
        return urllib.parse.quote(self.chain().decode())

    def crl(self, hours=12):
        return (x509.CertificateRevocationListBuilder().issuer_name(self.name)
                .last_update(NOW - datetime.timedelta(days=1)).next_update(NOW + datetime.timedelta(hours=hours))
                .sign(self.key, hashes.SHA256()).public_bytes(DER))

    def sign(self, outer, text):
        r, s = utils.decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
        return b'{"' + outer + b'":' + text + b',"signature":"' + f"{r:064x}{s:064x}".encode() + b'"}'


def redated(name, outer):
    """The inner object of a recorded answer, with today's dates."""
    text = load(TDX, name)
    text = text[len(outer) + 4:text.index(b',"signature"')]
    times = {b"issueDate": NOW - datetime.timedelta(hours=1), b"nextUpdate": NOW + datetime.timedelta(hours=9)}
    for member, time in times.items():
        value = time.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        text = re.sub(b'"' + member + b'":"[^"]*"', b'"' + member + b'":"' + value + b'"', text)
    return text


class Case(unittest.TestCase):
    def setUp(self):
        if not os.path.isdir(EVIDENCE):
            self.skipTest("no recorded evidence")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.dir = folder.name, os.path.join(folder.name, "kept")
        self.server = Server()
        self.addCleanup(self.server.stop)

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def preload(self, *args):
        return run("collateral", "preload", self.dir, "--kds", self.server.url, "--pcs", self.server.url, *args)

    def document(self, tee, report):
        member = {"attestation_report": base64.b64encode(report).decode()}
        return self.write("document.json", json.dumps({
            "version": 1, "platform": {"tee": tee, "cloud": "none", "emulated": False},
            "sev_snp" if tee == "sev_snp" else "tdx": member,
            "magic": base64.b64encode(b"Internal/collaterals").decode(), "nonce": "MTIz"}).encode())

    def checks(self, document, *args):
        _, out, err = run("verify", document, "--json", *args)
        self.assertTrue(out, err)
        return {c["check"]: c["ok"] for c in json.loads(out)["checks"]}


class Made(Case):
    """Everything there is to fetch, below roots of the test."""

    def setUp(self):
        super().setUp()
        roots = []
        for product in ("Milan", "Genoa", "Turin"):
            ark = Authority("ARK-" + product)
            roots.append(ark)
            for key, signer in (("vcek", "SEV-"), ("vlek", "SEV-VLEK-")):
                path = f"/{key}/v1/{product}/"
                self.server.put(path + "cert_chain", Authority(signer + product, ark).chain())
                self.server.put(path + "crl", ark.crl())
        root = Authority("Intel SGX Root CA")
        roots.append(root)
        for ca in ("Platform", "Processor"):
            authority = Authority(f"Intel SGX PCK {ca} CA", root)
            self.server.put(f"/sgx/certification/v4/pckcrl?ca={ca.lower()}&encoding=der", authority.crl(),
                            SGX_PCK_CRL_Issuer_Chain=authority.header())
        self.server.put("/sgx/certification/v4/rootcacrl", root.crl().hex().encode())
        signing = Authority("Intel SGX TCB Signing", root)
        self.server.put("/tdx/certification/v4/qe/identity",
                        signing.sign(b"enclaveIdentity", redated("qe_identity.json", b"enclaveIdentity")),
                        SGX_Enclave_Identity_Issuer_Chain=signing.header())
        self.server.put("/tdx/certification/v4/tcb?fmspc=B0C06F000000",
                        signing.sign(b"tcbInfo", redated("tcb_info.json", b"tcbInfo")),
                        TCB_Info_Issuer_Chain=signing.header())
        self.roots = self.write("roots.pem", b"".join(r.cert.public_bytes(PEM) for r in roots))

    def made(self, *args):
        return self.preload("--trust-emulator", self.roots, "--fmspc", "b0c06f000000", *args)

    def test_everything(self):
        status, out, err = self.made()
        self.assertEqual((status, err), (0, ""), out)
        self.assertTrue(out.endswith(f"{self.dir}: complete, 17 items\n"), out)
        self.assertEqual(len(out.splitlines()), 18)
        self.assertEqual(len(self.server.asked), 17)
        self.assertIn("fetched  crl-vlek-Turin.der  until ", out)
        names = {f"{kind}-{key}-{product}.der" for kind in ("chain", "crl") for key in ("vcek", "vlek")
                 for product in ("Milan", "Genoa", "Turin")}
        names |= {"root_ca_crl.der", "qe_identity.json", "qe_identity-chain.pem", "tcb_info-B0C06F000000.json",
                  "tcb_info-B0C06F000000-chain.pem"}
        names |= {f"pck_crl-{ca}{tail}" for ca in ("platform", "processor") for tail in (".der", "-chain.pem")}
        self.assertEqual(set(os.listdir(self.dir)), names)
        with open(os.path.join(self.dir, "root_ca_crl.der"), "rb") as f:
            crl = x509.load_der_x509_crl(f.read())
        self.assertEqual(crl.issuer.rfc4514_string(), "CN=Intel SGX Root CA")

    def test_roots_that_nobody_trusts(self):
        status, out, err = self.preload("--only", "intel", "--wait", "0")
        self.assertEqual(status, 4)
        self.assertIn("built-in root", err)
        self.assertNotIn("fetched", out)
        self.assertEqual(os.listdir(self.dir), [])

    def test_one_is_missing_then_not(self):
        good = self.server.answers["/vlek/v1/Genoa/crl"]
        self.server.answers["/vlek/v1/Genoa/crl"] = (500, {}, b"oops")
        status, out, err = self.made("--wait", "0")
        self.assertEqual(status, 4)
        lines = err.splitlines()
        self.assertEqual(len(lines), 2, err)
        self.assertIn("crl-vlek-Genoa.der: cannot fetch", lines[0])
        self.assertEqual(lines[1], f"cvm-cli: {self.dir}: incomplete: missing crl-vlek-Genoa.der")
        self.assertEqual(len(os.listdir(self.dir)), 20)
        self.server.answers["/vlek/v1/Genoa/crl"] = good
        self.assertEqual(self.made("--wait", "0")[0], 0)
        self.server.answers["/vlek/v1/Genoa/crl"] = (500, {}, b"oops")
        status, out, _ = self.made("--wait", "0")  # it stays
        self.assertEqual(status, 0)
        self.assertIn("kept     crl-vlek-Genoa.der", out)

    def test_too_many_requests(self):
        path = "/vcek/v1/Milan/cert_chain"
        self.server.answers[path] = [(429, {"Retry-After": "1"}, b""), self.server.answers[path]]
        status, _, err = self.made("--only", "amd", "--product", "milan")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(self.server.asked.count(path), 2)

    def test_expired(self):
        status, _, err = self.made("--at", (NOW + datetime.timedelta(days=3)).isoformat().replace("+00:00", "Z"))
        self.assertEqual(status, 4)
        self.assertIn("it expired on", err)
        self.assertIn("missing", err)

    def test_a_wrong_folder(self):
        path = self.write("file", b"")
        status, _, err = run("collateral", "preload", path + "/kept", "--kds", self.server.url, "--pcs", self.server.url)
        self.assertEqual(status, 4)
        self.assertEqual(self.server.asked, [])
        self.assertEqual(len(err.splitlines()), 1)


class Recorded(Case):
    """Real collateral for real evidence, then judged without a network."""

    def serve_intel(self):
        chain = urllib.parse.quote(load(TDX, "tcb_signing_chain.pem").decode())
        self.server.put("/tdx/certification/v4/tcb?fmspc=B0C06F000000", load(TDX, "tcb_info.json"),
                        TCB_Info_Issuer_Chain=chain)
        self.server.put("/tdx/certification/v4/qe/identity", load(TDX, "qe_identity.json"),
                        SGX_Enclave_Identity_Issuer_Chain=chain)
        self.server.put("/sgx/certification/v4/pckcrl?ca=platform&encoding=der", load(TDX, "pck_crl.der"),
                        SGX_PCK_CRL_Issuer_Chain=urllib.parse.quote(load(TDX, "pck_crl_issuer_chain.pem").decode()))
        self.server.put("/sgx/certification/v4/rootcacrl", load(TDX, "root_ca_crl.der"))

    def assert_current(self, checks):
        for name in ("crl", "tcb_info_signature", "qe_identity_signature", "collateral_dates", "fmspc", "tcb_status"):
            self.assertIs(checks["tdx." + name], True, name)

    def test_a_quotes_platform(self):
        self.serve_intel()
        document = self.document("tdx", load(TDX, "quote.bin"))
        for evidence in (os.path.join(EVIDENCE, TDX, "quote.bin"), document):
            status, out, err = self.preload("--only", "intel", "--at", TDX_AT, "--wait", "0", "--report", evidence)
            self.assertEqual(status, 4)  # the list of the other CA is not served
            self.assertTrue(err.endswith("incomplete: missing pck_crl-processor.der\n"), err)
            self.assertIn("tcb_info-B0C06F000000.json  until 2025-07-19", out)
        asked = len(self.server.asked)
        self.assertIs(self.checks(document, "--at", TDX_AT, "--offline")["tdx.tcb_info_signature"], False)
        self.assert_current(self.checks(document, "--at", TDX_AT, "--certs", self.dir, "--offline"))
        late = self.checks(document, "--at", "2025-09-01T00:00:00Z", "--certs", self.dir, "--offline")
        self.assertIs(late["tdx.tcb_info_signature"], True)
        self.assertIs(late["tdx.collateral_dates"], False)
        late = ("--at", "2025-09-01T00:00:00Z", "--certs", self.dir, "--offline", "--accept-expired", "--json")
        answer = json.loads(run("verify", document, *late)[1])
        dates = [c for c in answer["checks"] if c["check"] == "tdx.collateral_dates"]
        self.assertIs(dates[0]["ok"], True)
        self.assertIn("expired", dates[0]["detail"])
        self.assertTrue([w for w in answer["warnings"] if "TCB info expired on 2025-07-19" in w], answer["warnings"])
        early = self.checks(document, "--at", "2025-01-01T00:00:00Z", *late[2:-1])
        self.assertIs(early["tdx.collateral_dates"], False)  # not expired: not valid yet
        status, out, _ = run("verify-tdx", os.path.join(EVIDENCE, TDX, "quote.bin"), "--collateral", self.dir, "--at",
                             TDX_AT, "--json")
        self.assertEqual((status, json.loads(out)["tcb_status"]), (0, "UpToDate"))
        self.assertEqual(len(self.server.asked), asked)

    def test_verify_fetches_by_default(self):
        self.serve_intel()
        document = self.document("tdx", load(TDX, "quote.bin"))
        args = ["--at", TDX_AT, "--pcs", self.server.url, "--kds", self.server.url]
        self.assertIs(self.checks(document, *args, "--offline")["tdx.crl"], False)
        self.assertEqual(self.server.asked, [])
        self.assert_current(self.checks(document, *args))
        self.assertEqual(len(self.server.asked), 4)
        status, _, err = self.preload("--only", "intel", "--at", TDX_AT, "--wait", "0", "--report", document)
        asked = len(self.server.asked)
        self.assert_current(self.checks(document, *args, "--certs", self.dir))  # all that is due is in the folder
        self.assertEqual(len(self.server.asked), asked, err)
        os.unlink(os.path.join(self.dir, "qe_identity.json"))
        os.unlink(os.path.join(self.dir, "qe_identity-chain.pem"))
        self.assert_current(self.checks(document, *args, "--certs", self.dir))
        self.assertGreater(len(self.server.asked), asked)
        self.assertNotIn("qe_identity.json", os.listdir(self.dir))  # the folder is written to with --fetch only

    def test_the_users_cache(self):
        """What Intel said before is used again without a network, and made anew where it is damaged."""
        self.serve_intel()
        document = self.document("tdx", load(TDX, "quote.bin"))
        cache = os.path.join(self.folder, "home")
        kept = os.path.join(cache, "cvm-agent", "collateral")
        self.preload("--only", "intel", "--at", TDX_AT, "--wait", "0", "--report", document)
        os.makedirs(os.path.dirname(kept))
        os.rename(self.dir, kept)
        for env in ({"XDG_CACHE_HOME": cache}, {"XDG_CACHE_HOME": "", "HOME": self.folder}):
            if "HOME" in env:
                os.rename(cache, os.path.join(self.folder, ".cache"))
            done = subprocess.run([CLI, "verify", document, "--at", TDX_AT, "--offline", "--json"], check=False,
                                  capture_output=True, text=True, timeout=60, env={**os.environ, **env})
            self.assert_current({c["check"]: c["ok"] for c in json.loads(done.stdout)["checks"]})

    def test_a_service_that_does_not_answer(self):
        with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:  # connects, and says nothing
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            for tee, report, what in (("tdx", load(TDX, "quote.bin"), "Intel's collateral"),
                                      ("sev_snp", load(SNP, "report.bin"), "the VEK certificate")):
                document, begun = self.document(tee, report), time.monotonic()
                status, out, _ = run("verify", document, "--json", "--kds", url, "--pcs", url)
                self.assertLess(time.monotonic() - begun, 7)
                self.assertEqual(status, 1)
                self.assertTrue([w for w in json.loads(out)["warnings"] if w.startswith(f"missing: {what}: {url}")],
                                out)

    def test_verify_fetches_when_told(self):
        self.serve_intel()
        document = self.document("tdx", load(TDX, "quote.bin"))
        args = ["--at", TDX_AT, "--fetch", "--pcs", self.server.url]
        self.assert_current(self.checks(document, *args, "--certs", self.dir))
        self.assertEqual(len(self.server.asked), 4)
        self.assert_current(self.checks(document, *args, "--certs", self.dir))
        self.assertEqual(len(self.server.asked), 4)
        self.assert_current(self.checks(document, *args))
        self.assertEqual(run("verify", document, "--fetch", "--offline")[0], 2)

    def test_a_reports_certificate(self):
        report = load(SNP, "report.bin")
        tcb = report[0x180:0x188]
        path = (f"/vcek/v1/Milan/{report[0x1A0:0x1E0].hex()}?blSPL={tcb[0]:02d}&teeSPL={tcb[1]:02d}"
                f"&snpSPL={tcb[6]:02d}&ucodeSPL={tcb[7]:02d}")
        self.server.put(path, load(SNP, "vcek.der"))
        document = self.document("sev_snp", report)
        before = self.checks(document, "--certs", self.folder, "--offline")
        status, out, err = self.preload("--only", "amd", "--product", "Milan", "--wait", "0", "--report",
                                        os.path.join(EVIDENCE, SNP, "report.bin"))
        self.assertEqual(status, 4)  # AMD's lists are not served
        self.assertNotIn("VEK", err.splitlines()[-1])
        self.assertIn("VEK certificate of", out)
        after = self.checks(document, "--certs", self.dir, "--offline")
        for name in ("snp.report_signature", "snp.vek_chain", "snp.vek_tcb", "snp.vek_chip_id"):
            self.assertIs(before[name], False, name)
            self.assertIs(after[name], True, name)
        loose = os.path.join(self.folder, "loose")
        os.mkdir(loose)
        with open(os.path.join(loose, "mine.crt"), "wb") as f:
            f.write(load(SNP, "vcek.der"))
        self.assertIs(self.checks(document, "--certs", loose)["snp.vek_chain"], True)


class Usage(Case):
    def test_words(self):
        for args, says in ((["preload"], "missing"), (["fetch", "x"], "no such action"),
                           (["preload", "x", "--fmspc", "12"], "no FMSPC"),
                           (["preload", "x", "--product", "Rome"], "no such product"),
                           (["preload", "x", "--only", "arm"], "no such vendor"),
                           (["preload", "x", "--wait", "-1"], "no time"),
                           (["preload", os.path.join(self.folder, "x"), "--pcs", "ftp://h"], "http or https")):
            status, _, err = run("collateral", *args)
            self.assertEqual(status, 2, args)
            self.assertIn(says, err)
        for name, data in (("text", b"hello"), ("empty", b"")):
            status, _, err = self.preload("--report", self.write(name, data))
            self.assertEqual(status, 3)
            self.assertIn("nothing can be fetched", err)
        self.assertEqual(self.preload("--report", "/nonexistent")[0], 3)
        self.assertEqual(self.server.asked, [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

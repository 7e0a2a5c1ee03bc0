"""cvm-cli collaterals and golden against a server whose documents this program makes (and spoils): TPM quotes signed
with python3-cryptography, not with our own code; and against cvm-agent on an emulated machine.

usage: test_cli_http.py CVM-CLI [CVM-AGENT]
"""
import base64
import datetime
import hashlib
import http.server
import json
import os
import re
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from agent_under_test import Agent

CLI, AGENT = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
HASHES = {"sha1": (4, hashes.SHA1), "sha256": (11, hashes.SHA256), "sha384": (12, hashes.SHA384)}


def run(*args):
    return subprocess.run([CLI, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)


def b64(data):
    return base64.b64encode(data).decode()


def sized(data):
    return struct.pack(">H", len(data)) + data


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def make_tls():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256()))
    pem = cert.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, pem


class Tpm:
    """What a TPM would sign, with a key of this program."""

    def __init__(self):
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.rsa = rsa.generate_private_key(65537, 2048)

    def public_area(self, attributes=0x00050072):
        n = self.ec.public_key().public_numbers()
        return (struct.pack(">HHI", 0x23, 0x0B, attributes) + sized(b"") + struct.pack(">HHHHH", 0x10, 0x18, 0x0B, 3, 0x10)
                + sized(n.x.to_bytes(32, "big")) + sized(n.y.to_bytes(32, "big")))

    def attest(self, extra, bank, pcrs, digest_hash):
        digest = hashlib.new(digest_hash, b"".join(pcrs)).digest()
        return (b"\xffTCG\x80\x18" + sized(b"\0\x0b" + bytes(32)) + sized(extra) + struct.pack(">QIIBQ", 5, 1, 0, 1, 9)
                + struct.pack(">IHB", 1, HASHES[bank][0], 3) + b"\xff\xff\xff" + sized(digest))

    def sign(self, message, scheme, name):
        alg, algorithm = HASHES[name]
        if scheme == "ecdsa":
            r, s = utils.decode_dss_signature(self.ec.sign(message, ec.ECDSA(algorithm())))
            return struct.pack(">HH", 0x18, alg) + sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))
        if scheme == "rsassa":
            return struct.pack(">HH", 0x14, alg) + sized(self.rsa.sign(message, padding.PKCS1v15(), algorithm()))
        pss = padding.PSS(padding.MGF1(algorithm()), algorithm.digest_size)
        return struct.pack(">HH", 0x16, alg) + sized(self.rsa.sign(message, pss, algorithm()))


TPM = Tpm()
TLS_KEY, TLS_PEM = make_tls()
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def event(kind, name, content):
    return {"seq": 0, "boot_id": "b", "type": kind, "name": name, "content_sha384": hashlib.sha384(content).hexdigest(),
            "registers": [14], "time": "2026-01-01T00:00:00Z"}


def replay(journal, bank, start=None):
    h = lambda d: hashlib.new(bank, d).digest()
    pcr = start or bytes(hashlib.new(bank).digest_size)
    for e in journal:
        pcr = h(pcr + h(b"cvm-agent-v1\0" + e["type"].encode() + b"\0" + e["name"].encode() + b"\0"
                        + bytes.fromhex(e["content_sha384"])))
    return pcr


def document(nonce, magic=b"External/collaterals", bank="sha256", scheme="ecdsa", sign_hash="sha256", journal=None,
             extra=None, pcr14=None, change=None, service=None):
    journal = journal if journal is not None else [event("tls-key", "", spki(TLS_KEY)), event("token", "t1", b"")]
    pcrs = [bytes([i]) * hashlib.new(bank).digest_size for i in range(24)]
    pcrs[14] = pcr14 or replay(journal, bank)
    bound = nonce if service is None else hashlib.sha256(b"cvm-agent/service\0" + service.encode() + b"\0"
                                                         + nonce).digest()[:30]
    attest = TPM.attest(extra if extra is not None else magic + bound, bank, pcrs, sign_hash)
    key = TPM.ec if scheme == "ecdsa" else TPM.rsa
    doc = {"version": 1, "platform": {"tee": "sev_snp", "cloud": "none", "emulated": False},
           "tpm": {"quote": b64(attest), "raw_sig": b64(TPM.sign(attest, scheme, sign_hash)), "ak_pub": b64(spki(key)),
                   "pcrs": {"hash": HASHES[bank][0], "pcrs": {str(i): b64(v) for i, v in enumerate(pcrs)}}},
           "magic": b64(magic), "nonce": b64(nonce), "journal_log": journal,
           "tls_spki_sha256": hashlib.sha256(spki(TLS_KEY)).hexdigest()}
    if scheme == "ecdsa":
        doc["tpm"]["ak_public"] = b64(TPM.public_area())
    if service:
        doc["service"] = service
    if change:
        change(doc)
    return doc


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, body = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "-"


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Served:
    """A server over TLS, plain HTTP or a Unix socket; answer(path) gives status and body."""

    def __init__(self, answer, tls=True, path=None):
        self.server = UnixServer(path, Handler) if path else http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.answer, self.server.asked = answer, []
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with tempfile.NamedTemporaryFile() as f:
                f.write(TLS_PEM)
                f.flush()
                context.load_cert_chain(f.name)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "unix:" + path if path else \
            f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def answering(**how):
    def answer(path):
        if path.startswith("/golden-measurement"):
            return 200, b'{"golden_measurement":{"version":1}}'
        nonce = urllib.parse.unquote_to_bytes(urllib.parse.urlsplit(path).path.split("/")[2])
        return 200, json.dumps(document(nonce, **how)).encode()
    return answer


def set_member(*keys, value):
    def change(doc):
        for key in keys[:-1]:
            doc = doc[key]
        if value is None:
            del doc[keys[-1]]
        else:
            doc[keys[-1]] = value
    return change


class Checks(unittest.TestCase):
    def ask(self, *args, tls=True, command="collaterals", **how):
        with Served(answering(**how), tls=tls) as served:
            done = run(command, served.url, *args)
            self.asked = served.server.asked
        return done

    PIN = ("--pin", hashlib.sha256(spki(TLS_KEY)).hexdigest())

    def good(self, *args, **how):
        """Over https with the key pinned: made documents have no hardware behind them."""
        pin = self.PIN if how.get("tls", True) and "--pin" not in args else ()
        done = self.ask(*args, *pin, **how)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr.decode(), "not checked: .*hardware signature")
        return json.loads(done.stdout)

    def refused(self, why, *args, status=1, **how):
        done = self.ask(*args, **how)
        self.assertEqual((done.returncode, done.stdout), (status, b""), done.stderr)
        line = done.stderr.decode().strip()
        self.assertRegex(line, r"\Acvm-cli: [^\n]*\Z")
        self.assertIn(why, line)

    def test_good_documents(self):
        self.good()
        self.good(bank="sha384")
        self.good(scheme="rsassa")
        self.good(scheme="rsapss", sign_hash="sha384")
        self.good(tls=False, magic=b"Internal/collaterals")
        self.good(tls=False, magic=b"Workload/collaterals", service="web")
        for word in ("TPM quote", "AK attributes", "nonce"):
            self.assertIn(word, self.ask(*self.PIN).stderr.decode())

    def test_the_key_is_of_the_last_start(self):
        """Each start of the agent in a boot makes a key: one that an earlier start had is refused below."""
        self.good(journal=[event("tls-key", "", spki(OTHER_KEY)), event("tls-key", "", spki(TLS_KEY))])

    def test_a_key_that_no_hardware_vouches_for(self):
        done = self.ask()
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("does not vouch for this connection", done.stderr.decode())
        self.assertIn("platform.hardware_root", done.stderr.decode())

    def test_the_nonce(self):
        self.assertEqual(self.good("--nonce", "1234")["nonce"], b64(b"1234"))
        self.good("--nonce", "a b/\u00fc%?#&")
        self.assertRegex(self.asked[0], r"^/collaterals/a%20b%2F%C3%BC%25%3F%23%26$")
        self.good("--nonce", "x" * 30, "--bank", "SHA-384", "--fresh", bank="sha384")
        self.assertTrue(self.asked[0].endswith("?pcr_bank=sha384&fresh=1"))
        seen = {self.good("--nonce", "auto")["nonce"], self.good()["nonce"]}
        self.assertEqual(len(seen), 2)
        for nonce in seen:
            self.assertTrue(re.fullmatch(rb"[0-9a-f]{30}", base64.b64decode(nonce)))

    def test_what_is_refused(self):
        other = [event("tls-key", "", spki(OTHER_KEY))]
        self.refused("nonce is not the one", change=set_member("nonce", value=b64(b"old")))
        self.refused("magic is not External", magic=b"Internal/collaterals")
        self.refused("magic is none", tls=False, magic=b"Whatever/collaterals")
        self.refused("magic and nonce asked for", extra=b"External/collateralsold")
        self.refused("magic and nonce asked for", tls=False, magic=b"Workload/collaterals", service="web",
                     change=set_member("service", value="other"))
        self.refused("not signed by the document's AK", change=set_member("tpm", "ak_pub", value=b64(spki(OTHER_KEY))))
        self.refused("SHA-1", sign_hash="sha1")
        self.refused("not the quoted ones", change=set_member("tpm", "pcrs", "pcrs", "4", value=b64(bytes(32))))
        self.refused("tls_spki_sha256", change=set_member("tls_spki_sha256", value="00" * 32))
        self.refused("tls_spki_sha256", change=set_member("tls_spki_sha256", value=None))
        self.refused("tls-key is not the key", journal=other)
        self.refused("tls-key is not the key", journal=[event("tls-key", "", spki(TLS_KEY))] + other)
        self.refused("no tls-key", journal=[event("token", "", b"")])
        self.refused("no tls-key", change=set_member("journal_log", value=None))
        self.refused("does not replay", pcr14=bytes(31) + b"\1")
        self.refused("no TPM quote", change=set_member("tpm", value=None))
        self.refused("ak_public", change=set_member("tpm", "ak_public", value=b64(TPM.public_area(0x00060072))))
        self.refused("ak_public", scheme="rsassa",
                     change=set_member("tpm", "ak_public", value=b64(TPM.public_area())))

    def test_what_is_malformed(self):
        self.refused("quote", status=3, change=set_member("tpm", "quote", value=b64(b"\xffTCG\x80\x18")))
        self.refused("raw_sig", status=3, change=set_member("tpm", "raw_sig", value="?"))
        self.refused("pcrs", status=3, change=set_member("tpm", "pcrs", value=None))
        self.refused("content_sha384", status=3, change=lambda d: d["journal_log"][0].update(content_sha384="12"))
        for body in (b"", b"[]", b"null", b'{"a":', b"\xff" * 100):
            with Served(lambda _: (200, body)) as served:
                self.assertEqual(run("collaterals", served.url).returncode, 3, body)

    def test_pin_and_insecure(self):
        pin = hashlib.sha256(spki(TLS_KEY)).hexdigest()
        spoiled = set_member("tls_spki_sha256", value="00" * 32)
        self.good("--pin", pin, change=spoiled)
        self.refused("not the pinned one", "--pin", "00" * 32)
        self.refused("not signed", "--pin", pin, change=set_member("tpm", "ak_pub", value=b64(spki(OTHER_KEY))))
        done = self.ask("--insecure", change=set_member("nonce", value="?"))
        self.assertEqual(done.returncode, 0)
        self.assertIn("not checked: --insecure", done.stderr.decode())

    def test_golden(self):
        done = self.ask(*self.PIN, command="golden")
        self.assertEqual(json.loads(done.stdout), {"golden_measurement": {"version": 1}})
        done = self.ask("--all", "--pcrs", "0,4", command="golden", tls=False)
        self.assertEqual(self.asked, ["/golden-measurement?all=1&pcrs=0,4"])
        self.refused("does not replay", command="golden", pcr14=bytes(32))
        self.refused("pinned", "--pin", "00" * 32, command="golden")

    def test_answers_that_are_errors(self):
        for status, body in ((429, b'{"error":"too many"}'), (503, b"oops"), (302, b"")):
            with Served(lambda _: (status, body)) as served:
                done = run("collaterals", served.url)
                self.assertEqual(done.returncode, 4)
                self.assertIn(f"answers {status}", done.stderr.decode())
        self.assertEqual(run("collaterals", "127.0.0.1:1").returncode, 4)

    def test_files_and_sockets(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "doc.json")
            self.assertEqual(self.ask("-o", out, *self.PIN).stdout, b"")
            with open(out, encoding="utf-8") as f:
                before = f.read()
            self.assertEqual(self.ask("-o", out, pcr14=bytes(32)).returncode, 1)
            with open(out, encoding="utf-8") as f:
                self.assertEqual(f.read(), before)
            self.assertEqual(self.ask("-o", folder + "/none/x", *self.PIN).returncode, 4)
            self.assertEqual(os.listdir(folder), ["doc.json"])
            path = os.path.join(folder, "agent.sock")
            with Served(answering(magic=b"Internal/collaterals"), tls=False, path=path) as served:
                self.assertEqual(run("collaterals", served.url).returncode, 0)


@unittest.skipUnless(AGENT and os.path.exists(AGENT), "no emulating agent was built")
class WithAgent(unittest.TestCase):
    def test_against_the_agent(self):
        with tempfile.TemporaryDirectory() as state, Agent(AGENT, state, ["--emulate", "snp-vtpm"]) as agent:
            outside = f"https://127.0.0.1:{agent.external}"
            inside = f"127.0.0.1:{agent.internal}"
            roots = ("--trust-emulator", os.path.join(state, "emulator", "roots.pem"), "--accept-self-asserted-ak")
            for url in (outside, inside, "unix:" + agent.socket):
                done = run("collaterals", url, "--nonce", "4711", *roots)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(b"verified" in done.stderr, url == outside)
                shown = subprocess.run([CLI, "inspect", "-"], input=done.stdout, capture_output=True, check=True)
                self.assertEqual(json.loads(shown.stdout)["nonce_text"], "4711")
                self.assertIn("golden_measurement", json.loads(run("golden", url, *roots).stdout))
            done = run("collaterals", outside)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(b"does not vouch for this connection", done.stderr)
            self.assertEqual(run("golden", outside).returncode, 1)
            self.assertEqual(run("golden", outside, "--insecure").returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

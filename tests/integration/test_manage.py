"""Tokens, acts and the management routes over real sockets: usage: test_manage.py AGENT_OVER_FAKE [unittest arguments]"""
import base64
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_process import Agent  # noqa: E402

BINARY = sys.argv.pop(1)


def error_of(answer):
    body = json.loads(answer[2])
    assert list(body) == ["error"] and len(body["error"]) > 10, body
    return body["error"]


def bearer(token):
    return f"Authorization: Bearer {token}\r\n"


def token_of(agent, **kw):
    status, headers, body = agent.get("/api-token", outside=True, **kw)
    assert status == 200, body
    assert headers["content-type"].startswith("text/plain")
    return body.decode()


def journal_log(agent):
    return json.loads(agent.get("/collaterals/1")[2])["journal_log"]


def spki_digest(agent):
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", agent.external)))
    from cryptography import x509
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


class Token(unittest.TestCase):
    def test_once_a_boot_and_rotated(self):
        with Agent(BINARY) as agent:
            self.assertEqual(agent.get("/api-token")[0], 404)  # never over plain HTTP
            answer = agent.get("/api-token", outside=True, method="HEAD")
            self.assertEqual((answer[0], answer[1]["allow"]), (405, "GET"))  # which would lose it
            token = token_of(agent)
            self.assertRegex(token, "^[A-Za-z0-9]{32}$")
            self.assertEqual(agent.get("/api-token", outside=True)[0], 403)
            ident = hashlib.sha256(token.encode()).hexdigest()[:32]
            self.assertEqual([(e["type"], e["name"]) for e in journal_log(agent)], [("tls-key", ""), ("token", ident)])
            self.assertEqual(journal_log(agent)[1]["content_sha384"], hashlib.sha384(b"").hexdigest())

            answer = agent.get("/api-token/rotate", outside=True, method="POST")
            self.assertEqual((answer[0], answer[1]["www-authenticate"]), (401, "Bearer"))
            error_of(answer)
            status, _, body = agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer(token))
            self.assertEqual(status, 200)
            second = body.decode()
            self.assertNotEqual(second, token)
            self.assertEqual(agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer(token))[0], 401)
            types = [(e["type"], e["name"]) for e in journal_log(agent)]
            self.assertEqual(types[2:], [("token", hashlib.sha256(second.encode()).hexdigest()[:32]), ("act", "token-rotate")])
            with open(os.path.join(agent.dir, "state", "auth.json")) as f:
                state = f.read()
            self.assertNotIn(second, state)
            self.assertIn(hashlib.sha256(second.encode()).hexdigest(), state)
            self.assertEqual(os.stat(os.path.join(agent.dir, "state", "auth.json")).st_mode & 0o777, 0o600)
            with open(agent.log_path) as f:
                self.assertNotIn(second, f.read())

    def test_two_at_once(self):
        with Agent(BINARY) as agent:
            answers = []
            threads = [threading.Thread(target=lambda: answers.append(agent.get("/api-token", outside=True)[0])) for _ in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(answers), [200] + [403] * 11)

    def test_wrong_ones_are_counted_by_address(self):
        with Agent(BINARY) as agent:
            token = token_of(agent)
            for _ in range(5):
                answer = agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer("x" * 32), source="127.0.0.2")
                self.assertEqual(answer[0], 401)
            answer = agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer("x" * 32), source="127.0.0.2")
            self.assertEqual(answer[0], 429)
            self.assertGreater(int(answer[1]["retry-after"]), 50)
            self.assertEqual(agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer(token), source="127.0.0.3")[0], 200)

    def test_preset(self):
        with tempfile.TemporaryDirectory() as data:
            with open(os.path.join(data, "token_hash"), "w") as f:
                f.write(hashlib.sha256(b"0123456789abcdef0123456789abcdef").hexdigest() + "\n")
            workload = ["--workload", os.path.join(data, "workload")]
            with Agent(BINARY, args=workload) as agent:
                self.assertEqual(agent.get("/api-token", outside=True)[0], 403)
                self.assertEqual(journal_log(agent)[1]["type"], "token")
                self.assertEqual(journal_log(agent)[1]["name"], hashlib.sha256(b"0123456789abcdef0123456789abcdef").hexdigest()[:32])
                answer = agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer("0123456789abcdef0123456789abcdef"))
                self.assertEqual(answer[0], 200)
            with Agent(BINARY, env={"CVM_FAKE_TPM_DEAD": "1"}, args=workload) as agent:
                answer = agent.get("/api-token/rotate", outside=True, method="POST", extra=bearer("0123456789abcdef0123456789abcdef"))
                self.assertIn(answer[0], (200, 401))  # 401 until the journal is open

    def test_restart_in_the_same_boot(self):
        with tempfile.TemporaryDirectory() as state, Agent(BINARY, args=["--state", state]) as agent:
            token = token_of(agent)
            agent.stop()
            with Agent(BINARY, args=["--state", state]) as again:
                self.assertEqual(again.get("/api-token", outside=True)[0], 403)
                self.assertEqual(again.get("/api-token/rotate", outside=True, method="POST", extra=bearer(token))[0], 200)

    def test_no_journal_no_token(self):
        with Agent(BINARY, env={"CVM_FAKE_TPM_DEAD": "1000000"}) as agent:
            answer = agent.get("/api-token", outside=True)
            self.assertEqual(answer[0], 503)
            self.assertIn("journal", error_of(answer))

    def test_owner(self):
        for key in ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate():
            with tempfile.TemporaryDirectory() as workload:
                os.makedirs(os.path.join(workload, "config/cvm_agent"))
                pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
                with open(os.path.join(workload, "config/cvm_agent/owner.pub"), "wb") as f:
                    f.write(pem)
                with Agent(BINARY, args=["--workload", workload]) as agent:
                    digest = hashlib.sha256(b"cvm-agent/api-token\0" + spki_digest(agent)).digest()
                    sign = lambda m: key.sign(m, ec.ECDSA(hashes.SHA256())) if isinstance(key, ec.EllipticCurvePrivateKey) else key.sign(m)
                    for wrong in None, "", "AAAA", base64.b64encode(sign(b"other")).decode():
                        extra = "" if wrong is None else f"X-Owner-Signature: {wrong}\r\n"
                        answer = agent.get("/api-token", outside=True, extra=extra)
                        self.assertEqual(answer[0], 403)
                        self.assertIn("X-Owner-Signature", error_of(answer))
                    extra = f"X-Owner-Signature: {base64.b64encode(sign(digest)).decode()}\r\n"
                    token_of(agent, extra=extra)


if __name__ == "__main__":
    unittest.main(verbosity=1)

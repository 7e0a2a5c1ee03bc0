"""Tokens, acts and the management routes over real sockets: usage: test_manage.py AGENT_OVER_FAKE [unittest arguments]"""
import base64
import hashlib
import json
import os
import struct
import sys
import tempfile
import threading
import unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, error_of, read_response  # noqa: E402

BINARY = sys.argv.pop(1)


def bearer(token):
    return f"Authorization: Bearer {token}\r\n"


def token_of(agent, **kw):
    status, headers, body = agent.ask("/api-token", outside=True, **kw)
    assert status == 200, body
    assert headers["content-type"].startswith("text/plain")
    return body.decode()


def journal_log(agent):
    return json.loads(agent.ask("/collaterals/1")[2])["journal_log"]


class Token(unittest.TestCase):
    def test_once_a_boot_and_rotated(self):
        with Agent(BINARY) as agent:
            self.assertEqual(agent.ask("/api-token")[0], 404)  # never over plain HTTP
            answer = agent.ask("/api-token", outside=True, method="HEAD")
            self.assertEqual((answer[0], answer[1]["allow"]), (405, "GET"))  # which would lose it
            token = token_of(agent)
            self.assertRegex(token, "^[A-Za-z0-9]{32}$")
            self.assertEqual(agent.ask("/api-token", outside=True)[0], 403)
            ident = hashlib.sha256(token.encode()).hexdigest()[:32]
            self.assertEqual([(e["type"], e["name"]) for e in journal_log(agent)], [("tls-key", ""), ("token", ident)])
            self.assertEqual(journal_log(agent)[1]["content_sha384"], hashlib.sha384(b"").hexdigest())

            answer = agent.ask("/api-token/rotate", outside=True, method="POST")
            self.assertEqual((answer[0], answer[1]["www-authenticate"]), (401, "Bearer"))
            error_of(answer)
            status, _, body = agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer(token))
            self.assertEqual(status, 200)
            second = body.decode()
            self.assertNotEqual(second, token)
            self.assertEqual(agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer(token))[0], 401)
            types = [(e["type"], e["name"]) for e in journal_log(agent)]
            self.assertEqual(types[2:], [("token", hashlib.sha256(second.encode()).hexdigest()[:32]), ("act", "token-rotate")])
            with open(os.path.join(agent.state, "auth.json")) as f:
                state = f.read()
            self.assertNotIn(second, state)
            self.assertIn(hashlib.sha256(second.encode()).hexdigest(), state)
            self.assertEqual(os.stat(os.path.join(agent.state, "auth.json")).st_mode & 0o777, 0o600)
            with open(agent.log_path) as f:
                self.assertNotIn(second, f.read())

    def test_two_at_once(self):
        with Agent(BINARY) as agent:
            answers = []
            threads = [threading.Thread(target=lambda: answers.append(agent.ask("/api-token", outside=True)[0])) for _ in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(answers), [200] + [403] * 11)

    def test_wrong_ones_are_counted_by_address(self):
        with Agent(BINARY) as agent:
            token = token_of(agent)
            for _ in range(5):
                answer = agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer("x" * 32), source="127.0.0.2")
                self.assertEqual(answer[0], 401)
            answer = agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer("x" * 32), source="127.0.0.2")
            self.assertEqual(answer[0], 429)
            self.assertGreater(int(answer[1]["retry-after"]), 50)
            self.assertEqual(agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer(token), source="127.0.0.3")[0], 200)

    def test_preset(self):
        with tempfile.TemporaryDirectory() as data:
            with open(os.path.join(data, "token_hash"), "w") as f:
                f.write(hashlib.sha256(b"0123456789abcdef0123456789abcdef").hexdigest() + "\n")
            workload = ["--workload", os.path.join(data, "workload")]
            with Agent(BINARY, options=workload) as agent:
                self.assertEqual(agent.ask("/api-token", outside=True)[0], 403)
                self.assertEqual(journal_log(agent)[1]["type"], "token")
                self.assertEqual(journal_log(agent)[1]["name"], hashlib.sha256(b"0123456789abcdef0123456789abcdef").hexdigest()[:32])
                answer = agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer("0123456789abcdef0123456789abcdef"))
                self.assertEqual(answer[0], 200)
            with Agent(BINARY, env={"CVM_FAKE_TPM_DEAD": "1"}, options=workload) as agent:
                answer = agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer("0123456789abcdef0123456789abcdef"))
                self.assertIn(answer[0], (200, 401))  # 401 until the journal is open

    def test_restart_in_the_same_boot(self):
        with tempfile.TemporaryDirectory() as state, Agent(BINARY, state) as agent:
            token = token_of(agent)
            agent.stop()
            with Agent(BINARY, state) as again:
                self.assertEqual(again.ask("/api-token", outside=True)[0], 403)
                self.assertEqual(again.ask("/api-token/rotate", outside=True, method="POST", extra=bearer(token))[0], 200)

    def test_no_journal_no_token(self):
        with Agent(BINARY, env={"CVM_FAKE_TPM_DEAD": "1000000"}) as agent:
            answer = agent.ask("/api-token", outside=True)
            self.assertEqual(answer[0], 503)
            self.assertIn("journal", error_of(answer))

    def test_owner(self):
        for key in ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate():
            with tempfile.TemporaryDirectory() as workload:
                os.makedirs(os.path.join(workload, "config/cvm_agent"))
                pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
                with open(os.path.join(workload, "config/cvm_agent/owner.pub"), "wb") as f:
                    f.write(pem)
                with Agent(BINARY, options=["--workload", workload]) as agent:
                    digest = hashlib.sha256(b"cvm-agent/api-token\0" + hashlib.sha256(agent.tls_spki()).digest()).digest()
                    sign = lambda m: key.sign(m, ec.ECDSA(hashes.SHA256())) if isinstance(key, ec.EllipticCurvePrivateKey) else key.sign(m)
                    for wrong in None, "", "AAAA", base64.b64encode(sign(b"other")).decode():
                        extra = "" if wrong is None else f"X-Owner-Signature: {wrong}\r\n"
                        answer = agent.ask("/api-token", outside=True, extra=extra)
                        self.assertEqual(answer[0], 403)
                        self.assertIn("X-Owner-Signature", error_of(answer))
                    extra = f"X-Owner-Signature: {base64.b64encode(sign(digest)).decode()}\r\n"
                    token_of(agent, extra=extra)

    def test_an_owner_before_a_preset(self):
        """Whoever writes the disk could write token_hash; the owner's key is in PCR 23."""
        key = ed25519.Ed25519PrivateKey.generate()
        with tempfile.TemporaryDirectory() as data:
            workload = os.path.join(data, "workload")
            os.makedirs(os.path.join(workload, "config/cvm_agent"))
            with open(os.path.join(workload, "config/cvm_agent/owner.pub"), "wb") as f:
                f.write(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
            with open(os.path.join(data, "token_hash"), "w") as f:
                f.write(hashlib.sha256(b"of whoever wrote the disk").hexdigest())
            with Agent(BINARY, options=["--workload", workload]) as agent:
                extra = bearer("of whoever wrote the disk")
                self.assertEqual(agent.ask("/api-token/rotate", outside=True, method="POST", extra=extra)[0], 401)
                self.assertIn("X-Owner-Signature", error_of(agent.ask("/api-token", outside=True)))
                signed = key.sign(hashlib.sha256(b"cvm-agent/api-token\0" + hashlib.sha256(agent.tls_spki()).digest()).digest())
                token = token_of(agent, extra=f"X-Owner-Signature: {base64.b64encode(signed).decode()}\r\n")
                self.assertEqual(agent.ask("/api-token/rotate", outside=True, method="POST", extra=extra)[0], 401)
                self.assertEqual(agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer(token))[0], 200)


def workload_with(policy):
    """A folder with that policy, and nothing that runs."""
    folder = tempfile.TemporaryDirectory()
    os.makedirs(os.path.join(folder.name, "config/cvm_agent"))
    with open(os.path.join(folder.name, "config/cvm_agent/cvm_agent_policy.json"), "w") as f:
        json.dump(policy, f)
    return folder


def form(content, field="file", boundary="----b"):
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="a.ko"\r\n\r\n'.encode()
    return head + content + f"\r\n--{boundary}--\r\n".encode()


def kernel_module(name=b"patch", livepatch=True, size=0):
    """A relocatable ELF object with a .modinfo section, and nothing in it that a kernel would load."""
    info = b"license=GPL\0name=" + name + b"\0" + (b"livepatch=Y\0" if livepatch else b"") + b"\0" * size
    names = b"\0.shstrtab\0.modinfo\0"
    start = 64
    headers = start + len(names) + len(info)
    def section(name_at, offset, n):
        return struct.pack("<IIQQQQIIQQ", name_at, 1, 0, 0, offset, n, 0, 0, 1, 0)
    elf = b"\x7fELF\2\1\1" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, headers, 0, 64, 0, 0, 64, 3, 1)
    return elf + names + info + section(0, 0, 0) + section(1, start, len(names)) + section(11, start + len(names), len(info))


class Upload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = workload_with({"cvm_config": {"enable_livepatch": True}})
        cls.agent = Agent(BINARY, settings={"limits": {"upload_mib": 64}}, options=["--workload", cls.folder.name])
        cls.token = token_of(cls.agent)

    @classmethod
    def tearDownClass(cls):
        cls.agent.__exit__()
        cls.folder.cleanup()

    def post(self, body, kind="multipart/form-data; boundary=----b", length=None, token=None, chunked=False):
        head = f"POST /livepatch HTTP/1.1\r\nContent-Type: {kind}\r\n{bearer(token or self.token)}"
        head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
        with self.agent.tls() as sock:
            sock.sendall(head.encode())
            if chunked:
                for at in range(0, len(body), 70000):
                    piece = body[at:at + 70000]
                    sock.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
                sock.sendall(b"0\r\n\r\n")
            else:
                sock.sendall(body)
            return read_response(sock)

    def journal(self):
        status, _, body = self.agent.ask("/journal", outside=True, extra=bearer(self.token))
        self.assertEqual(status, 200)
        return json.loads(body)

    def test_what_is_no_upload(self):
        for body, kind, word in [(b"", "multipart/form-data; boundary=----b", "cut short|no file"), (b"x" * 100, "multipart/form-data; boundary=----b", "multipart|no file|cut"),
                                 (form(b"x", field="other"), "multipart/form-data; boundary=----b", '"other"'),
                                 (form(b"x")[:-8], "multipart/form-data; boundary=----b", "cut short"),
                                 (form(b"x").replace(b"------b--\r\n", b"") + form(b"y"), "multipart/form-data; boundary=----b", "twice"),
                                 (form(b"x"), "multipart/form-data", "boundary")]:
            answer = self.post(body, kind)
            self.assertEqual(answer[0], 400, answer)
            self.assertRegex(error_of(answer), word)

    def test_files_in_any_shape_arrive(self):
        module = kernel_module(size=700000)
        for kind, body in [("multipart/form-data; boundary=----b", form(module)), ("application/octet-stream", module)]:
            for chunked in False, True:
                answer = self.post(body, kind, chunked=chunked)
                self.assertEqual(answer[0], 503, answer)  # a module, on a kernel that would load any
                self.assertIn("module signatures", error_of(answer))

    def test_limits(self):
        answer = self.post(b"", length=(64 << 20) + (65 << 10))
        self.assertEqual(answer[0], 413)
        for n, status in [(64 << 20, 503), ((64 << 20) + 1, 413)]:
            answer = self.post(b"x" * n, "application/octet-stream", chunked=True)
            self.assertEqual(answer[0], status, answer)

    def test_memory_stays_small(self):
        body = form(b"\0" * (63 << 20))
        peak = []
        done = threading.Event()

        def watch():
            while not done.wait(0.005):
                with open(f"/proc/{self.agent.process.pid}/status") as f:
                    peak.append(int(next(line for line in f if line.startswith("RssAnon:")).split()[1]))
        thread = threading.Thread(target=watch)
        thread.start()
        answers = []
        posts = [threading.Thread(target=lambda: answers.append(self.post(body)[0])) for _ in range(4)]
        for t in posts:
            t.start()
        for t in posts:
            t.join()
        done.set()
        thread.join()
        self.assertEqual(answers, [503] * 4)
        if not os.environ.get("CVM_SANITIZED"):
            self.assertLess(max(peak), 16 << 10)

    def test_no_token_no_upload(self):
        answer = self.post(b"", length=1 << 30, token="x" * 32)
        self.assertEqual(answer[0], 401)
        # a client that reads no answer before it has sent everything gets it all the same
        self.assertEqual(self.post(b"x" * (8 << 20), token="x" * 32)[0], 401)
        c = self.agent.connection("external")
        for _ in range(2):
            c.request("POST", "/livepatch", body=b"x" * (1 << 20), headers={"Authorization": "Bearer " + "x" * 32})
            answer = c.getresponse()
            self.assertEqual((answer.status, len(answer.read()) > 10), (401, True))

    def test_volume(self):
        path, token = os.path.join(self.agent.state, "volume.json"), bearer(self.token)
        self.assertEqual(self.agent.ask("/volume", outside=True)[0], 401)
        self.assertEqual(self.agent.ask("/volume")[0], 404)  # never over plain HTTP
        self.assertIn("no sealed volume", error_of(self.agent.ask("/volume", outside=True, extra=token)))
        known = {"uuid": "0", "boots": 2, "recovery": {"encrypted_key": "AAAA"}}
        with open(path, "w") as f:
            json.dump(known, f)
        status, _, body = self.agent.ask("/volume", outside=True, extra=token)
        self.assertEqual((status, json.loads(body)), (200, known))
        with open(path, "w") as f:
            f.write('{"uuid":')
        self.assertEqual(self.agent.ask("/volume", outside=True, extra=token)[0], 500)
        os.unlink(path)

    def test_journal(self):
        self.assertEqual(self.agent.ask("/journal", outside=True)[0], 401)
        inside = json.loads(self.agent.ask("/journal")[2])
        self.assertEqual(inside["events"][0]["type"], "tls-key")
        status, _, body = self.agent.ask("/api-token/rotate", outside=True, method="POST", extra=bearer(self.token))
        type(self).token = body.decode()
        journal = self.journal()
        event = next(e for e in journal["events"] if e["type"] == "act" and e["name"] == "token-rotate")
        act = journal["acts"][event["content_sha384"]]
        self.assertEqual((event["name"], act["verb"], act["outcome"], act["from"]), ("token-rotate", "token-rotate", "done", "127.0.0.1"))
        self.assertEqual(act["what"]["token"], hashlib.sha256(body).hexdigest()[:32])
        text = json.dumps(act, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.assertEqual(hashlib.sha384(text).hexdigest(), event["content_sha384"])


class Off(unittest.TestCase):
    def test_what_the_policy_has_not(self):
        with Agent(BINARY) as agent:
            token = token_of(agent)
            answer = agent.ask("/livepatch", outside=True, method="POST", extra=bearer(token) + "Content-Length: 99999999\r\nExpect: 100-continue\r\n")
            self.assertEqual(answer[0], 403)
            self.assertIn("enable_livepatch", error_of(answer))
            answer = agent.ask("/update-workload", outside=True, method="POST", extra=bearer(token) + "Content-Length: 9999999\r\nExpect: 100-continue\r\n")
            self.assertEqual(answer[0], 404)
            self.assertIn("no workload", error_of(answer))
            self.assertEqual(agent.ask("/update-workload?dry_run=x", outside=True, method="POST", extra=bearer(token))[0], 400)
            answer = agent.ask("/container-logs?name=a&name=b&tail=5&since=2026-01-31T12:00:00Z", outside=True, extra=bearer(token))
            self.assertEqual(answer[0], 404)
            for query in "tail=x", "tail=-1", "since=yesterday", "follow=yes", "tail=1&tail=2":
                self.assertEqual(agent.ask("/container-logs?" + query, outside=True, extra=bearer(token))[0], 400, query)
            self.assertEqual(agent.ask("/container-logs", outside=True)[0], 401)
            answer = agent.ask("/maintenance-mode", outside=True, method="POST", extra=bearer(token))
            self.assertEqual(answer[0], 403)
            self.assertIn("maintenance_mode.allow", error_of(answer))
            answer = agent.ask("/sign-message", method="POST")
            self.assertEqual(answer[0], 403)
            self.assertIn("enable_sign_message", error_of(answer))
            self.assertEqual(agent.ask("/sign-message", method="POST", outside=True)[0], 404)

    def test_no_auth(self):
        with workload_with({"cvm_config": {"https_server": {"enable_auth": False}}}) as folder, \
                Agent(BINARY, options=["--workload", folder]) as agent:
            self.assertEqual(agent.ask("/api-token", outside=True)[0], 403)
            self.assertEqual(agent.ask("/journal", outside=True)[0], 200)
            self.assertEqual(agent.ask("/api-token/rotate", outside=True, method="POST")[0], 403)


if __name__ == "__main__":
    unittest.main(verbosity=1)

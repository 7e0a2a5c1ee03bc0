"""The agent's servers over real sockets: usage: test_server.py AGENT_OVER_FAKE [unittest arguments]"""
import base64
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, error_of, give_to_agent, read_response  # noqa: E402

BINARY = sys.argv.pop(1)


class LateJournal(unittest.TestCase):
    def test_a_tpm_that_answers_late(self):
        with Agent(BINARY, env={"CVM_FAKE_TPM_DEAD": "1"}) as agent:
            self.assertIsNone(json.loads(agent.ask("/collaterals/1")[2])["journal_log"])
            for _ in range(80):
                log = json.loads(agent.ask("/collaterals/1")[2])["journal_log"]
                if log:
                    break
                time.sleep(0.1)
            self.assertEqual(log[0]["type"], "tls-key")
        with Agent(BINARY, env={"CVM_FAKE_TPM_DEAD": "1000000"}):
            pass  # stops while it waits


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(BINARY)

    @classmethod
    def tearDownClass(cls):
        cls.agent.__exit__()

    def nonce(self, path, **kw):
        status, headers, body = self.agent.ask(path, **kw)
        self.assertEqual(status, 200, body)
        self.assertEqual(headers["content-type"], "application/json")
        return base64.b64decode(json.loads(body)["nonce"], validate=True)

    def refused(self, path, status, word, **kw):
        answer = self.agent.ask(path, **kw)
        self.assertEqual(answer[0], status, answer)
        self.assertIn(word, error_of(answer))
        return answer

    def test_nonce_bytes(self):
        for segment, want in [("1234", b"1234"), ("a%2Fb", b"a/b"), ("%2f", b"/"), ("a%3Fb", b"a?b"), ("a+b", b"a+b"),
                              ("%FF%fe", b"\xff\xfe"), ("%2500", b"%00"), ("x" * 30, b"x" * 30),
                              ("%41" * 30, b"A" * 30), ("a:b;c=d&e", b"a:b;c=d&e"), ("..", b".."), ("%20", b" ")]:
            for prefix in "/collaterals/", "/offchain/collaterals/":
                self.assertEqual(self.nonce(prefix + segment), want)

    def test_nonce_refused(self):
        for segment, word in [("", "empty"), ("%00", "NUL"), ("a%00b", "NUL"), ("%", "escape"), ("%4", "escape"),
                              ("%zz", "escape"), ("a%", "escape"), ("x" * 31, "31 bytes"), ("%41" * 31, "31 bytes")]:
            for prefix in "/collaterals/", "/offchain/collaterals/":
                self.refused(prefix + segment, 400, word)

    def test_raw_nul_in_the_target(self):
        for head in b"GET /collaterals/a\0b HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /healthz\0 HTTP/1.1\r\n\r\n":
            try:
                status = self.agent.raw(head)[0]
            except OSError:
                status = 400
            self.assertEqual(status, 400)

    def test_all_bytes_escaped(self):
        for byte in range(1, 256):
            self.assertEqual(self.nonce("/collaterals/%%%02x" % byte), bytes([byte]))

    def test_magic_follows_the_port(self):
        inside = json.loads(self.agent.ask("/collaterals/1")[2])
        outside = json.loads(self.agent.ask("/collaterals/1", outside=True)[2])
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.agent.socket)
            unix = json.loads(self.agent.raw(b"GET /collaterals/1 HTTP/1.1\r\n\r\n", sock)[2])
        self.assertEqual(base64.b64decode(inside["magic"]), b"Internal/collaterals")
        self.assertEqual(base64.b64decode(unix["magic"]), b"Internal/collaterals")
        self.assertEqual(base64.b64decode(outside["magic"]), b"External/collaterals")
        self.assertEqual([inside["outside"], unix["outside"], outside["outside"]], [False, False, True])

    def test_query(self):
        self.assertEqual(json.loads(self.agent.ask("/collaterals/1?pcr_bank=sha384")[2])["bank"], 12)
        self.assertEqual(json.loads(self.agent.ask("/collaterals/1?pcr_bank=sha256")[2])["bank"], 11)
        self.assertEqual(json.loads(self.agent.ask("/collaterals/1?")[2])["bank"], 11)
        self.assertEqual(json.loads(self.agent.ask("/golden-measurement?pcrs=0,4,23")[2])["golden_measurement"]["mask"],
                         1 | 1 << 4 | 1 << 23)
        self.assertTrue(json.loads(self.agent.ask("/offchain/golden-measurement?all=1")[2])["golden_measurement"]["all"])
        for path, word in [("/collaterals/1?pcr_bank=sha1", "pcr_bank"), ("/collaterals/1?pcr_bank=", "pcr_bank"),
                           ("/collaterals/1?fresh=1", "Azure"), ("/collaterals/1?fresh=yes", "fresh"),
                           ("/collaterals/1?color=red", '"color"'), ("/collaterals/1?pcr_bank=sha256&pcr_bank=sha384", "twice"),
                           ("/golden-measurement?pcrs=", "pcrs"), ("/golden-measurement?pcrs=24", "pcrs"),
                           ("/golden-measurement?pcrs=1,,2", "pcrs"), ("/golden-measurement?pcrs=1,", "pcrs"),
                           ("/golden-measurement?pcrs=-1", "pcrs"), ("/golden-measurement?pcrs=1&all=1", "exclude"),
                           ("/platform?x=1", '"x"'), ("/healthz?x", '"x"'), ("/platform?%zz", "escape"),
                           ("/platform?a%00=1", "NUL"), ("/platform?" + "a" * 300, "longer"),
                           ("/platform?a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8&i=9", "more than 8")]:
            self.refused(path, 400, word)

    def test_platform(self):
        status, headers, body = self.agent.ask("/platform")
        self.assertEqual(status, 200)
        spki = hashlib.sha256(self.agent.tls_spki()).hexdigest()
        self.assertEqual(json.loads(body), {"tee_type": 2, "tee_name": "sev_snp", "cloud_type": 1, "cloud_name": "gcp",
                                            "emulated": False, "tpm": "device", "tls_spki_sha256": spki})

    def test_tls_key_is_the_first_journal_event(self):
        want = hashlib.sha384(self.agent.tls_spki()).hexdigest()
        document = json.loads(self.agent.ask("/collaterals/1")[2])
        event = document["journal_log"][0]
        self.assertEqual((event["type"], event["name"], event["content_sha384"]), ("tls-key", "", want))

    def test_not_found(self):
        for path in ["/", "/nope", "/platform/", "//platform", "/collaterals", "/collaterals/a/b", "/collaterals/a/",
                     "/offchain", "/%70latform", "/Platform", "/onchain/golden-measurement"]:
            self.refused(path, 404, "/openapi.json")

    def test_inside_only_routes(self):
        for path in "/platform", "/metrics":
            self.assertEqual(self.agent.ask(path)[0], 200)
            self.refused(path, 404, "this port", outside=True)
        for path in "/healthz", "/openapi.json", "/golden-measurement":
            self.assertEqual(self.agent.ask(path, outside=True)[0], 200)

    def test_host(self):
        for host in ["localhost", "127.0.0.1", "127.0.0.1:7999", "127.9.8.7", "[::1]", "[::1]:7999", "localhost:1",
                     "LOCALHOST", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:80", " 127.0.0.1 \t", None]:
            self.assertEqual(self.agent.ask("/healthz", host=host)[0], 200, host)
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0", "::1",
                     "[::2]", "127.1", "localhost:x", "127.0.0.1:123456", "evil.example:7999", "2130706433", "[::1", "[::1]x", "[]",
                     "[127.0.0.1]", "[::ffff:10.0.0.1]", "[::1%lo]", "127.0.0.1 evil.example", " "]:
            self.refused("/healthz", 403, "loopback", host=host)
        self.refused("/healthz", 403, "loopback", extra="Host: evil.example\r\n")
        self.assertEqual(self.agent.ask("/healthz", host="evil.example", outside=True)[0], 200)

    def test_absolute_target(self):
        self.assertEqual(self.agent.ask("http://127.0.0.1:7999/healthz")[0], 200)
        self.refused("http://evil.example/healthz", 403, "loopback")
        self.refused("ftp://x/healthz", 400, "slash")

    def test_methods(self):
        for method in "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW":
            answer = self.refused("/healthz", 405, "method", method=method)
            self.assertEqual(answer[1]["allow"], "GET, HEAD")
            self.assertEqual(self.agent.ask("/nope", method=method)[0], 404)
        status, headers, body = self.agent.ask("/platform", method="HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(int(headers["content-length"]), len(self.agent.ask("/platform")[2]))
        self.assertEqual(self.agent.ask("/collaterals/1", method="HEAD")[0], 200)

    def test_bodies(self):
        head = b"GET /platform HTTP/1.1\r\nHost: localhost\r\n"
        for more in b"Content-Length: 1\r\n\r\nx", b"Content-Length: 99999999999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n":
            answer = self.agent.raw(head + more)
            self.assertEqual(answer[0], 413)
            error_of(answer)
        self.assertEqual(self.agent.raw(head + b"Content-Length: 0\r\n\r\n")[0], 200)
        # an unread body ends the connection at once
        with self.agent.connect() as sock:
            answer = self.agent.raw(b"POST /nope HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", sock)
            self.assertEqual((answer[0], sock.recv(1)), (404, b""))

    def test_pipelining(self):
        with self.agent.connect() as sock:
            count = 20
            sock.sendall(b"".join(b"GET /collaterals/n%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i for i in range(count)))
            stream = sock.makefile("rb")
            for i in range(count):
                self.assertEqual(stream.readline(), b"HTTP/1.1 200 OK\r\n")
                length = 0
                while (line := stream.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.assertEqual(base64.b64decode(json.loads(stream.read(length))["nonce"]), b"n%d" % i)

    def test_tls_versions(self):
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            with self.agent.tls(version=version) as sock:
                self.assertEqual(self.agent.raw(b"GET /healthz HTTP/1.1\r\n\r\n", sock)[0], 200)
        for flag in "-tls1_1", "-tls1":
            old = subprocess.run(["openssl", "s_client", flag, "-cipher", "DEFAULT@SECLEVEL=0", "-connect",
                                  f"127.0.0.1:{self.agent.external}"], stdin=subprocess.DEVNULL, capture_output=True)
            self.assertNotEqual(old.returncode, 0)

    def test_metrics(self):
        self.agent.ask("/nope")
        status, headers, body = self.agent.ask("/metrics")
        self.assertTrue(headers["content-type"].startswith("text/plain; version=0.0.4"))
        types, samples = {}, {}
        for line in body.decode().splitlines():
            if line.startswith("# TYPE "):
                types[line.split()[2]] = line.split()[3]
            elif not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
                family = name.split("{")[0]
                family = family if family in types else family.rsplit("_", 1)[0]
                self.assertIn(family, types)
        self.assertGreater(samples['cvm_agent_requests_total{route="none",method="any",status="404"}'], 0)
        self.assertGreater(samples["cvm_agent_anonymous_memory_bytes"], 0)
        self.assertIn('cvm_agent_build_info{version="0.1.0"}', samples)
        bucket = 'cvm_agent_request_seconds_%s{route="/healthz",method="GET"%s}'
        self.assertEqual(samples[bucket % ("bucket", ',le="+Inf"')], samples[bucket % ("count", "")])

    def test_openapi(self):
        document = json.loads(self.agent.ask("/openapi.json")[2])
        self.assertTrue(document["openapi"].startswith("3.1."))
        with open(os.path.join(os.path.dirname(__file__), "../../agent/openapi.json")) as f:
            self.assertEqual(document, json.load(f))
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method == "get" and "internal" not in operation["x-ports"]:
                    self.assertEqual(self.agent.ask(path)[0], 404, path)
                elif method == "get":
                    # the identity wants a TPM; no attestation policy was sent yet
                    want = 503 if "identity" in path else 404 if path in ("/attestation/policy", "/policies/{id}") else 200
                    self.assertEqual(self.agent.ask(path.replace("{nonce}", "1"))[0], want, path)
                    outside = self.agent.ask(path.replace("{nonce}", "1"), outside=True)[0] != 404
                    self.assertEqual(outside, "external" in operation["x-ports"], path)


class Limits(unittest.TestCase):
    def test_garbage(self):
        with Agent(BINARY, settings={"limits": {"head_seconds": 1}}) as agent:
            for data in [b"\r\n\r\n", b"\0" * 100, b"GET\r\n\r\n", b"GET /" + b"a" * 100000, b"\x16\x03\x01\x02\x00",
                         b"GET /healthz HTTP/9.9\r\n\r\n",
                         b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"y" * 50000 + b"\r\n\r\n"]:
                for port in agent.internal, agent.external:
                    self.send_and_drain(agent.connect(port), data)
            self.assertEqual(agent.ask("/healthz")[0], 200)

    @staticmethod
    def send_and_drain(sock, data):
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        except OSError:
            pass
        sock.close()

    def test_slow_head(self):
        with Agent(BINARY, settings={"limits": {"head_seconds": 2}}) as agent:
            sock = agent.connect()
            start = time.monotonic()
            sock.sendall(b"GET /healthz HTTP/1.1\r\n")
            try:
                while time.monotonic() - start < 8:
                    sock.sendall(b"X: y\r\n")
                    time.sleep(0.1)
            except OSError:
                pass
            self.assertTrue(1.5 < time.monotonic() - start < 4)
            tls = agent.connect(agent.external)  # never says hello
            tls.settimeout(5)
            self.assertEqual(tls.recv(1), b"")

    def test_slow_body(self):
        """A byte now and then does not keep a connection: a body has a least rate."""
        with Agent(BINARY, settings={"limits": {"head_seconds": 2}}) as agent:
            sock = agent.connect()
            start = time.monotonic()
            sock.sendall(b"POST /offchain-verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
            try:
                while time.monotonic() - start < 8:
                    sock.sendall(b" ")
                    time.sleep(0.1)
            except OSError:
                pass
            self.assertTrue(1.5 < time.monotonic() - start < 5)
            body = b'{"collaterals":"' + b" " * 600000 + b'"}'
            head = b"POST /offchain-verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.assertEqual(agent.raw(head + body)[0], 400)  # read, and no document

    def test_many_connections(self):
        with Agent(BINARY) as agent:
            socks = []
            for _ in range(600):
                sock = agent.connect()
                sock.sendall(b"GET /healthz HTTP/1.1\r\n")
                socks.append(sock)
            for _ in range(20):
                start = time.monotonic()
                self.assertEqual(agent.ask("/healthz")[0], 200)
                self.assertLess(time.monotonic() - start, 0.1)
            self.assertLessEqual(self.alive(socks), 512)
            metrics = agent.ask("/metrics")[2].decode()
            self.assertRegex(metrics, r"cvm_agent_inside_connections_evicted_total [1-9]")

    def test_connections_of_one_outside_address(self):
        with Agent(BINARY) as agent:
            socks = [agent.connect(agent.external, "127.0.0.2") for _ in range(100)]
            time.sleep(0.3)
            self.assertLessEqual(self.alive(socks), 64)
            self.assertGreater(self.alive(socks), 32)
            self.assertEqual(agent.ask("/healthz", outside=True, source="127.0.0.3")[0], 200)

    @staticmethod
    def alive(socks):
        n = 0
        for sock in socks:
            sock.setblocking(False)
            try:
                n += sock.recv(1) != b""
            except BlockingIOError:
                n += 1
            except OSError:
                pass
        return n


class StartStop(unittest.TestCase):
    def run_agent(self, *args, env=None):
        give_to_agent(arg for arg in args if os.path.isabs(arg))
        return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=10, env={**os.environ, **(env or {})})

    def test_usage(self):
        for flag in "--help", "--version":
            done = self.run_agent(flag)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("cvm-agent", done.stdout)
        for args in [["--nope"], ["--internal", "0.0.0.0:1"], ["--internal", "x"], ["--external", "1.2.3.4"],
                     ["--external", "1.2.3.4:65536"], ["--log-level", "loud"], ["extra"], ["--config"]]:
            done = self.run_agent(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertRegex(done.stderr, r"^cvm-agent: .*: .*\n$")

    def test_configuration_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "policy.json")
            self.assertEqual(self.run_agent("--config", path).returncode, 3)
            for text, word in [("{", "line 1"), ('{"cvm_config":{"firewal":{}}}', "cvm_config.firewal"),
                               ('{"cvm_config":{"emulation_mode":{"enable":1}}}', "cvm_config.emulation_mode.enable")]:
                with open(path, "w") as f:
                    f.write(text)
                done = self.run_agent("--config", path)
                self.assertEqual(done.returncode, 3)
                self.assertIn(word, done.stderr)
            with open(os.path.join(folder, "agent.json"), "w") as f:
                f.write('{"limits":{"head_seconds":0}}')
            done = self.run_agent("--etc", folder)
            self.assertEqual(done.returncode, 3)
            self.assertIn("head_seconds", done.stderr)

    def test_taken_ports(self):
        with Agent(BINARY) as agent, tempfile.TemporaryDirectory() as folder:
            free = os.path.join(folder, "s")
            for args, word in [
                (["--internal", f"127.0.0.1:{agent.internal}", "--external", "127.0.0.1:0", "--socket", free],
                 f"127.0.0.1:{agent.internal}"),
                (["--internal", "127.0.0.1:0", "--external", f"127.0.0.1:{agent.external}", "--socket", free],
                 f"127.0.0.1:{agent.external}"),
                (["--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--socket", agent.socket], agent.socket)]:
                done = self.run_agent("--state", folder, *args)
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertIn(word, done.stderr)
            self.assertEqual(agent.ask("/healthz")[0], 200)

    def test_no_tee_and_no_tpm(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_agent("--state", folder, "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--socket",
                                  folder + "/s", env={"CVM_FAKE_SHAPE": "nothing"})
            self.assertEqual(done.returncode, 4)
            self.assertIn("looked for", done.stderr)
            self.assertFalse(os.path.exists(folder + "/s"))

    def test_stop_under_load(self):
        for how in signal.SIGTERM, signal.SIGINT:
            with Agent(BINARY, env={"CVM_FAKE_DELAY_MS": "100"}) as agent:
                socks = [agent.connect() for _ in range(60)]
                for sock in socks:
                    sock.sendall(b"GET /collaterals/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                time.sleep(0.2)
                status, seconds = agent.stop(how)
                self.assertEqual(status, 0)
                self.assertLess(seconds, 3.5)
                statuses = [self.status_or_closed(sock) for sock in socks]
                self.assertIn(200, statuses)
                self.assertTrue(set(statuses) <= {200, 503, None}, statuses)
                self.assertFalse(os.path.exists(agent.socket))

    @staticmethod
    def status_or_closed(sock):
        try:
            return read_response(sock)[0]
        except Exception:
            return None

    def test_reload(self):
        with Agent(BINARY, settings={"limits": {"evidence_burst": 1, "evidence_per_second": 1}}) as agent:
            self.assertEqual([agent.ask("/collaterals/1", outside=True)[0] for _ in range(2)], [200, 429])
            agent.write_settings({"log_level": "warning", "limits": {"evidence_burst": 50, "evidence_per_second": 1000}})
            agent.process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            self.assertEqual([agent.ask("/collaterals/1", outside=True)[0] for _ in range(5)], [200] * 5)
            agent.write_settings({"limits": 5})
            agent.process.send_signal(signal.SIGHUP)
            self.assertIn("limits", agent.wait_event("reload")["error"])
            self.assertEqual(agent.ask("/healthz")[0], 200)

    def test_core_dumps_off(self):
        with Agent(BINARY) as agent:
            with open(f"/proc/{agent.process.pid}/limits") as f:
                core = next(line for line in f if line.startswith("Max core file size"))
            self.assertEqual(core.split()[4:6], ["0", "0"])

    def test_ready_and_watchdog(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(folder + "/n")
            notify.settimeout(5)
            with Agent(BINARY, env={"NOTIFY_SOCKET": folder + "/n", "WATCHDOG_USEC": "400000"}) as agent:
                self.assertIn(b"READY=1", notify.recv(4096))
                self.assertEqual(notify.recv(4096), b"WATCHDOG=1")
                agent.stop()
                while b"STOPPING=1" not in notify.recv(4096):
                    pass

    def test_stale_socket_is_replaced(self):
        with Agent(BINARY) as agent:
            agent.process.kill()
            agent.process.wait()
            self.assertTrue(os.path.exists(agent.socket))
            again = subprocess.Popen([BINARY, "--state", agent.state, "--internal", "127.0.0.1:0", "--external",
                                      "127.0.0.1:0", "--socket", agent.socket], stderr=subprocess.PIPE, text=True)
            self.addCleanup(again.kill)
            for line in again.stderr:
                if '"listening"' in line:
                    break
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(agent.socket)
                sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
                self.assertEqual(read_response(sock)[0], 200)
            again.terminate()
            self.assertEqual(again.wait(10), 0)
            again.stderr.close()

    def test_other_files_are_not_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "notes.txt")
            with open(path, "w") as f:
                f.write("not a socket")
            done = self.run_agent("--state", folder, "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--socket",
                                  path)
            self.assertEqual(done.returncode, 4)
            self.assertIn("notes.txt", done.stderr)
            with open(path) as f:
                self.assertEqual(f.read(), "not a socket")


if __name__ == "__main__":
    unittest.main(warnings="ignore")

"""What is no good HTTP is answered with JSON too, on every port: usage: test_http_errors.py AGENT_OVER_FAKE [...]"""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, error_of, read_response  # noqa: E402

BINARY = sys.argv.pop(1)
POST = b"POST /offchain-verify HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def get(headers):
    return b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent(BINARY)

    @classmethod
    def tearDownClass(cls):
        cls.agent.__exit__()

    def send(self, data, outside=False, ends=False):
        """Sends it all, and then reads one answer, and the end of the connection."""
        with self.agent.tls() if outside else self.agent.connect() as sock:
            sock.sendall(data)
            answer = read_response(sock)
            self.assertEqual(answer[1]["content-type"], "application/json")
            if ends:
                self.assertEqual(sock.recv(1), b"", answer)
            return answer

    def refused(self, data, status, word, ports=(False, True)):
        for outside in ports:
            answer = self.send(data, outside, ends=True)
            self.assertEqual(answer[0], status, (data[:80], answer))
            self.assertIn(word, error_of(answer))

    def test_no_http(self):
        self.refused(b"GET /healthz HTTP/9.9\r\n\r\n", 505, "HTTP/1.1")
        self.refused(get(b"no colon\r\n"), 400, "malformed")

    def test_lengths(self):
        for length in b"abc", b"-1", b"1 2", b"0x10", b"":
            self.refused(POST + b"Content-Length: " + length + b"\r\n\r\n", 400, "malformed")
        self.refused(POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 413, "too long")

    def test_chunks(self):
        for chunk, status, word in (b"zz\r\n", 400, "malformed"), (b"1\r\nxyz\r\n", 400, "malformed"), (b"f" * 20 + b"\r\n", 413, "too long"):
            self.refused(CHUNKED + chunk, status, word, ports=[False])  # outside takes no body there

    def test_framing_that_can_be_read_in_two_ways(self):
        for headers in (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"Content-Length: 3\r\nContent-Length: 4\r\n",
                        b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
                        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"):
            self.assertEqual(self.send(POST + headers + b"\r\n0\r\n\r\n")[0], 400, headers)

    def test_after_a_good_request(self):
        with self.agent.connect() as sock:
            sock.sendall(get(b"") + get(b"no colon\r\n"))
            stream = sock.makefile("rb")
            text = stream.read()
        first, second = text.split(b'{"status":"ok"}\n')
        self.assertTrue(first.startswith(b"HTTP/1.1 200 ") and second.startswith(b"HTTP/1.1 400 "), text)
        self.assertIn("malformed", json.loads(second.split(b"\r\n\r\n")[1])["error"])

    def test_heads_of_any_size(self):
        """Below the limit there is room for any answer, above it for the refusal."""
        kinds = [lambda n: get(b"X: " + b"y" * n + b"\r\n"), lambda n: get(b"X: y\r\n" * (n // 100)),
                 lambda n: get(b"Cookie: " + b"a=b;" * (n // 100) + b"\r\n"), lambda n: get(b"Cookie: a=" + b"b" * n + b"\r\n"),
                 lambda n: b"GET /" + b"y" * n + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 lambda n: b"GET /healthz?" + b"a=b&" * (n // 100) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 lambda n: POST + b"X: " + b"y" * n + b"\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000]
        for kind in kinds:
            statuses = []
            for n in range(5000, 22000, 419):
                answer = self.send(kind(n))
                if answer[0] != 200:
                    error_of(answer)
                statuses.append(answer[0])
            large = [s in (414, 431) for s in statuses]
            self.assertEqual(large, sorted(large), statuses)  # from one length on, all
            self.assertTrue(large[-1] and not large[0], statuses)
        for n in 16000, 20000, 100000:
            self.assertIn(self.send(kinds[0](n), outside=True)[0], (200, 431))
        self.assertEqual(self.agent.ask("/healthz")[0], 200)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

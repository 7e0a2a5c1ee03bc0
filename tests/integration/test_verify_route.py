#!/usr/bin/python3
"""POST /offchain-verify under load and on an agent that is not emulated: roots in a request are refused unless the agent
was started for it; more verifications than the queues hold are told to come back; clients that go away leave nothing.

usage: test_verify_route.py AGENT-OVER-FAKE DOCUMENTS
"""
import json
import os
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

AGENT, DOCUMENTS = sys.argv[1:3]


def load(name):
    with open(os.path.join(DOCUMENTS, name), encoding="utf-8") as f:
        return f.read()


def post(agent, body, side="internal"):
    status, headers, answer = agent.request(side, "POST", "/offchain-verify", body=json.dumps(body).encode())
    return status, headers, json.loads(answer)


class Route(unittest.TestCase):
    def run_agent(self, *options, settings=None):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        agent = Agent(AGENT, folder.name, options, settings or {"collateral": {"offline": True}})
        self.addCleanup(agent.__exit__)
        return agent

    def test_roots(self):
        body = {"collaterals": load("gcp-snp.json"), "trust_roots": load("roots.pem"), "nonce": "1234",
                "at": "2026-11-23T00:00:00Z"}
        agent = self.run_agent()
        status, _, answer = post(agent, body)
        self.assertEqual(status, 403)
        self.assertIn("--allow-emulated-roots", answer["error"])
        status, _, answer = post(agent, {k: v for k, v in body.items() if k != "trust_roots"})
        self.assertEqual((status, answer["success"]), (200, False))
        agent.stop()
        agent = self.run_agent("--allow-emulated-roots")
        status, _, answer = post(agent, body)
        self.assertEqual((status, answer["success"]), (200, True), answer.get("error"))
        for roots in ("", "x", load("roots.pem")[:200]):
            self.assertEqual(post(agent, {**body, "trust_roots": roots})[0], 400)

    def test_a_service_that_does_not_answer(self):
        """Who lacks nothing does not wait for it, who lacks something for a bounded time, and then not again."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            agent = self.run_agent("--allow-emulated-roots", settings={"collateral": {"pcs_url": url, "kds_url": url}})
            lacks, lacks_not = {"collaterals": load("tdx-vtpm.json")}, {"collaterals": load("gcp-snp.json")}
            took = []

            def ask():
                begun = time.monotonic()
                status, _, answer = post(agent, lacks)
                took.append((time.monotonic() - begun, status, answer))
            threads = [threading.Thread(target=ask) for _ in range(12)]
            for t in threads:
                t.start()
            time.sleep(0.5)
            for _ in range(10):
                begun = time.monotonic()
                self.assertEqual(post(agent, lacks_not)[0], 200)
                self.assertEqual(agent.get("/healthz")["status"], "ok")
                self.assertLess(time.monotonic() - begun, 1)
            self.assertEqual(took, [])
            for t in threads:
                t.join(30)
            for seconds, status, answer in took:
                self.assertLess(seconds, 20)
                self.assertEqual((status, answer["success"]), (200, False))
                self.assertTrue([w for w in answer["warnings"] if w.startswith("missing: Intel's collateral: ")])
            begun = time.monotonic()
            self.assertFalse(post(agent, lacks)[2]["success"])
            self.assertLess(time.monotonic() - begun, 1)
            metrics = agent.request("internal", "GET", "/metrics")[2].decode()
            asked = int(metrics.split("\ncvm_agent_collateral_requests_total ")[1].split()[0])
            self.assertLessEqual(asked, 4)  # one request for all, and none while the service is left alone
            threads = [threading.Thread(target=ask)]
            threads[0].start()
            begun = time.monotonic()
            self.assertEqual(agent.stop()[0], 0)
            self.assertLess(time.monotonic() - begun, 3)
            threads[0].join(10)

    def test_settings(self):
        for collateral in ({"offlin": True}, {"offline": 1}, {"pcs_url": "ftp://x"}, {"kds_url": "http://" + "x" * 300}, []):
            with self.assertRaisesRegex(AssertionError, "agent.json: .*collateral"):
                self.run_agent(settings={"collateral": collateral})

    def test_load(self):
        agent = self.run_agent()
        body = json.dumps({"collaterals": load("tdx-vtpm.json")}).encode()
        head = (b"POST /offchain-verify HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: "
                + str(len(body)).encode() + b"\r\n\r\n")
        sockets = [socket.create_connection(("127.0.0.1", agent.internal), timeout=30) for _ in range(300)]
        for s in sockets:
            s.sendall(head + body[:-1])
        for s in sockets:
            s.sendall(body[-1:])
        for s in sockets[:20]:
            s.close()  # nobody waits for these any more
        self.assertEqual(agent.get("/healthz")["status"], "ok")
        statuses = []
        for s in sockets[20:]:
            answer = b""
            while piece := s.recv(65536):
                answer += piece
            statuses.append(int(answer.split()[1]))
            if statuses[-1] == 429:
                self.assertIn(b"\r\nretry-after:", answer.lower())
            s.close()
        self.assertEqual(set(statuses), {200, 429})
        self.assertEqual(post(agent, json.loads(body))[0], 200)
        self.assertEqual(agent.stop()[0], 0)

    def test_stop_while_busy(self):
        agent = self.run_agent()
        body = {"collaterals": load("tdx-vtpm.json")}
        statuses = []

        def ask():
            try:
                while True:
                    statuses.append(post(agent, body)[0])
            except OSError:
                pass
            except Exception:  # an answer cut off by the end
                pass
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        while len(statuses) < 20:
            pass
        self.assertEqual(agent.stop()[0], 0)
        for t in threads:
            t.join(10)
            self.assertFalse(t.is_alive())
        self.assertLessEqual(set(statuses), {200, 429, 503})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

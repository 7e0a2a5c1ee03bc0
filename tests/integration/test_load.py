"""More requests than there is room for: usage: test_load.py AGENT_OVER_FAKE [unittest arguments]"""
import multiprocessing
import os
import selectors
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, error_of, read_response  # noqa: E402

BINARY = sys.argv.pop(1)
COLLATERALS = b"GET /collaterals/load HTTP/1.1\r\nHost: localhost\r\n\r\n"


def flood(port, connections, request, seconds, out):
    """A process of its own: asks on many connections, again as soon as each is answered. Puts into out how many
    answers had which status, and whether each 429 said when to come again."""
    selector, buffers, counts, polite = selectors.DefaultSelector(), {}, {}, True
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        buffers[sock] = b""
        selector.register(sock, selectors.EVENT_READ)
        sock.sendall(request)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            sock = key.fileobj
            buffers[sock] += sock.recv(65536)
            head, found, body = buffers[sock].partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) if found else 1
            if len(body) < length:
                continue
            status = int(head.split(b" ")[1])
            counts[status] = counts.get(status, 0) + 1
            polite = polite and (status != 429 or b"\r\nretry-after: " in head.lower())
            buffers[sock] = b""
            sock.sendall(request)
    out.put((counts, polite))


def echo(listener):
    """A process that has nothing else to do: how long it takes is what this machine itself costs."""
    sock = listener.accept()[0]
    while data := sock.recv(100):
        sock.sendall(data)


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            cls.idle = multiprocessing.Process(target=echo, args=(listener,), daemon=True)
            cls.idle.start()
            cls.echo = socket.create_connection(listener.getsockname())

    @classmethod
    def tearDownClass(cls):
        cls.echo.close()
        cls.idle.join()

    def slowest_health(self, agent, seconds, outside):
        """On new connections and on one that is kept, beyond the slowest echo of a process without load."""
        slowest, slowest_echo, end = 0, 0, time.monotonic() + seconds
        with agent.connect() as kept:
            while time.monotonic() < end:
                for sock in kept, agent.tls("127.0.0.9") if outside else agent.connect():
                    start = time.monotonic()
                    self.assertEqual(agent.raw(b"GET /healthz HTTP/1.1\r\n\r\n", sock)[0], 200)
                    slowest = max(slowest, time.monotonic() - start)
                    if sock is not kept:
                        sock.close()
                start = time.monotonic()
                self.echo.sendall(b"x")
                self.echo.recv(1)
                slowest_echo = max(slowest_echo, time.monotonic() - start)
                time.sleep(0.02)
        return slowest - slowest_echo

    def flooded(self, agent, request, outside=False):
        """Counts of a flood's answers, and the slowest health check meanwhile."""
        out = multiprocessing.Queue()
        child = multiprocessing.Process(target=flood, args=(agent.internal, 200, request, 2.5, out))
        child.start()
        time.sleep(0.5)
        slowest = self.slowest_health(agent, 1.5, outside)
        counts, polite = out.get(timeout=20)
        child.join()
        self.assertTrue(polite, counts)
        self.assertEqual(set(counts), {200, 429}, counts)
        return slowest

    def flooded_at_most(self, seconds, *args, **more):
        """Other programs may hold this one up; what the agent itself does to a health check it does every time."""
        taken = []
        for _ in range(4):
            taken.append(self.flooded(*args, **more))
            if taken[-1] <= seconds:
                return
        self.fail(f"the slowest health checks took {taken} s")

    def test_health_in_a_flood(self):
        limit = 1 if os.environ.get("CVM_SANITIZED") else 0.1
        with Agent(BINARY, env={"CVM_FAKE_DELAY_MS": "20", "CVM_FAKE_DEPTH": "8"}) as agent:
            self.flooded_at_most(limit, agent, COLLATERALS)
            self.flooded_at_most(limit, agent, COLLATERALS, outside=True)

    def test_full_queue(self):
        with Agent(BINARY, env={"CVM_FAKE_DELAY_MS": "300", "CVM_FAKE_DEPTH": "4"}) as agent:
            socks = [agent.connect() for _ in range(12)]
            for sock in socks:
                sock.sendall(COLLATERALS)
            answers = [read_response(sock) for sock in socks]
            statuses = [a[0] for a in answers]
            self.assertEqual(set(statuses), {200, 429})
            self.assertTrue(4 <= statuses.count(200) <= 6)
            for answer in answers:
                if answer[0] == 429:
                    self.assertGreaterEqual(int(answer[1]["retry-after"]), 1)
                    error_of(answer)
            for sock in socks:
                sock.close()

    def test_rate_of_outside_addresses(self):
        with Agent(BINARY) as agent:
            with agent.tls("127.0.0.2") as sock:
                statuses = [agent.raw(b"GET /collaterals/1 HTTP/1.1\r\n\r\n", sock) for _ in range(40)]
                ok = sum(s[0] == 200 for s in statuses)
                limited = [s for s in statuses if s[0] == 429]
                self.assertEqual(ok + len(limited), 40)
                self.assertTrue(20 <= ok <= 24, ok)
                self.assertEqual(limited[0][1]["retry-after"], "1")
                self.assertIn("try again", error_of(limited[0]))
                self.assertEqual(agent.raw(b"GET /healthz HTTP/1.1\r\n\r\n", sock)[0], 200)
            self.assertEqual(agent.ask("/golden-measurement", outside=True, source="127.0.0.2")[0], 429)
            self.assertEqual(agent.ask("/golden-measurement", outside=True, source="127.0.0.3")[0], 200)
            for _ in range(40):
                self.assertEqual(agent.ask("/collaterals/1")[0], 200)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

"""The verbs of cvm-agent-priv with real nft and real podman: usage: test_priv_verbs.py BIN_DIR"""
import http.client
import json
import os
import socket
import struct
import shutil
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_machine  # noqa: E402

private_machine.enter("nft", "podman", "iptables", "runc")

import images  # noqa: E402
from priv_process import (CONNECT, ENGINE, FAILED, FIREWALL, LIVEPATCH, MAINTENANCE, MALFORMED, OK, REFUSED, START,  # noqa: E402
                          STOP, Priv, sealed)

PRIV = os.path.join(sys.argv.pop(1), "cvm-agent-priv")
DIRECTORY = "/run/cvm-agent/workload/engine"


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def ports(*records):
    return b"".join(struct.pack("<BBHHH", protocol, 0, first, last, 0) for protocol, first, last in records)


class Outside(unittest.TestCase):
    """Seen from a second network namespace behind a veth pair."""
    directory = DIRECTORY

    @classmethod
    def setUpClass(cls):
        cls.outside = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        time.sleep(0.3)
        peer = str(cls.outside.pid)
        run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", peer)
        run("ip", "addr", "add", "192.0.2.1/24", "dev", "veth0")
        run("ip", "link", "set", "veth0", "up")
        inside = ["nsenter", "-t", peer, "-n", "ip"]
        run(*inside, "addr", "add", "192.0.2.2/24", "dev", "veth1")
        run(*inside, "link", "set", "veth1", "up")
        cls.priv = Priv(PRIV, cls.directory)

    @classmethod
    def tearDownClass(cls):
        cls.priv.__exit__()
        cls.outside.kill()
        cls.outside.wait()
        subprocess.run(["ip", "link", "delete", "veth0"], capture_output=True)

    def setUp(self):
        subprocess.run(["nft", "delete", "table", "inet", "cvm_agent"], capture_output=True)

    def reaches(self, port):
        ask = f"import socket; print(socket.create_connection(('192.0.2.1', {port}), 1).recv(5))"
        done = subprocess.run(["nsenter", "-t", str(self.outside.pid), "-n", sys.executable, "-c", ask],
                              capture_output=True, timeout=10)
        return b"hello" in done.stdout


class Firewall(Outside):
    def listen(self, port):
        server = socket.create_server(("0.0.0.0", port))
        self.addCleanup(server.close)

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                peer.sendall(b"hello")
                peer.close()
        threading.Thread(target=serve, daemon=True).start()

    def test_only_what_was_asked_for(self):
        self.listen(8000)
        self.listen(8443)
        self.listen(7999)
        self.assertTrue(self.reaches(8443))
        reply = self.priv.ask(FIREWALL, payload=ports((6, 8000, 8000), (17, 5000, 5010)))
        self.assertEqual(reply.status, OK, reply.text)
        self.assertTrue(self.reaches(8000))
        self.assertFalse(self.reaches(8443))
        self.assertFalse(self.reaches(7999))
        with socket.create_connection(("127.0.0.1", 7999), 2) as local:
            self.assertEqual(local.recv(5), b"hello")
        self.assertEqual(self.priv.ask(FIREWALL, payload=ports((6, 8400, 8500))).status, OK)
        self.assertFalse(self.reaches(8000))
        self.assertTrue(self.reaches(8443))
        self.assertEqual(self.priv.ask(FIREWALL).status, OK)
        self.assertFalse(self.reaches(8443))

    def test_many_ports_in_one_transaction(self):
        many = [(6 if i % 2 else 17, 1000 + 3 * i, 1001 + 3 * i) for i in range(500)]
        reply = self.priv.ask(FIREWALL, payload=ports(*many))
        self.assertEqual(reply.status, OK, reply.text)
        listed = json.loads(run("nft", "-j", "list", "table", "inet", "cvm_agent"))["nftables"]
        self.assertEqual(sum("rule" in one for one in listed), 2 * 500 + 13)

    def test_other_tables_are_left_alone(self):
        run("nft", "add table ip theirs; add chain ip theirs x; add rule ip theirs x tcp dport 1 accept")
        before = run("nft", "list", "table", "ip", "theirs")
        self.assertEqual(self.priv.ask(FIREWALL, payload=ports((6, 1, 65535))).status, OK)
        self.assertEqual(run("nft", "list", "table", "ip", "theirs"), before)
        self.assertEqual(run("nft", "list", "tables").count("cvm_agent"), 1)

    def test_malformed_records_change_nothing(self):
        self.assertEqual(self.priv.ask(FIREWALL, payload=ports((6, 77, 78))).status, OK)
        before = run("nft", "-j", "list", "table", "inet", "cvm_agent")
        good = ports((6, 80, 80))
        for bad in [good[:-1], good + b"\0", ports((1, 80, 80)), ports((6, 0, 80)), ports((6, 81, 80)),
                    b"\x06\x01\x50\0\x50\0\0\0", b"\x06\0\x50\0\x50\0\x01\0", good * 501]:
            self.assertEqual(self.priv.ask(FIREWALL, payload=bad).status, MALFORMED, bad)
        self.assertEqual(run("nft", "-j", "list", "table", "inet", "cvm_agent"), before)


class Livepatch(unittest.TestCase):
    def test_a_kernel_that_takes_anything(self):
        with Priv(PRIV) as priv:
            reply = priv.ask(LIVEPATCH)
            self.assertEqual(reply.status, REFUSED)
            self.assertIn("signatures", reply.text)
            self.assertEqual(priv.ask(LIVEPATCH, 1, fd=sealed(b"\x7fELF")).status, REFUSED)
            for fd in [None, sealed(b"\x7fELF", 0), sealed(b"", 15), os.open("/etc/passwd", os.O_RDONLY)]:
                self.assertEqual(priv.ask(LIVEPATCH, 1, fd=fd).status, MALFORMED)
            self.assertEqual(priv.ask(LIVEPATCH, 2).status, MALFORMED)


class Engine(unittest.TestCase):
    def connect(self, priv):
        reply = priv.ask(ENGINE, CONNECT)
        self.assertEqual(reply.status, OK, reply.text)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(fileno=reply.fds[0])
        connection.sock.settimeout(60)
        return connection

    def api(self, priv, method, path, body=None):
        connection = self.connect(priv)
        connection.request(method, "/v4.0.0/libpod" + path, json.dumps(body) if body else None,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def test_life(self):
        with Priv(PRIV) as priv:
            reply = priv.ask(ENGINE, CONNECT)
            self.assertEqual((reply.status, reply.fds), (FAILED, []))
            priv.start_engine()
            self.assertEqual(oct(os.stat(DIRECTORY).st_mode & 0o777), "0o700")
            status, data = self.api(priv, "GET", "/info")
            self.assertEqual(status, 200)
            store = json.loads(data)["store"]
            self.assertEqual(store["graphRoot"], DIRECTORY + "/storage")
            with images.archive("localhost/quiet:1", ["/bin/busybox", "sleep", "1000"]) as path:
                run("curl", "-sf", "--unix-socket", DIRECTORY + "/engine.sock", "-H", "Content-Type: application/x-tar",
                    "--data-binary", "@" + path, "http://d/v4.0.0/libpod/images/load")
            trap = 'trap "echo got > /tmp/got; exit 3" USR2; while :; do /bin/busybox sleep 0.1; done'
            status, data = self.api(priv, "POST", "/containers/create", {
                "name": "trap", "image": "localhost/quiet:1", "command": ["/bin/busybox", "sh", "-c", trap],
                "netns": {"nsmode": "none"}})
            self.assertEqual(status, 201, data)
            container = json.loads(data)["Id"]
            status, data = self.api(priv, "POST", "/containers/trap/start")
            self.assertEqual(status, 204, data)
            time.sleep(0.5)
            # another engine process: the container stays
            priv.start_engine()
            state = json.loads(self.api(priv, "GET", "/containers/trap/json")[1])["State"]
            self.assertTrue(state["Running"])
            reply = priv.ask(MAINTENANCE, payload=bytes.fromhex(container) + struct.pack("<H", 12))
            self.assertEqual(reply.status, OK, reply.text)
            for _ in range(100):
                state = json.loads(self.api(priv, "GET", "/containers/trap/json")[1])["State"]
                if not state["Running"]:
                    break
                time.sleep(0.05)
            self.assertEqual(state["ExitCode"], 3)
            for payload in [b"", bytes(32), bytes(32) + b"\0\0", bytes(32) + b"\x09\0", bytes(32) + b"\xff\xff"]:
                self.assertEqual(priv.ask(MAINTENANCE, payload=payload).status, MALFORMED)
            self.assertEqual(priv.ask(MAINTENANCE, payload=bytes(32) + b"\x0c\0").status, FAILED)
            self.assertEqual(priv.ask(ENGINE, STOP).status, OK)
            self.assertEqual(priv.ask(ENGINE, CONNECT).status, FAILED)

    def test_an_engine_that_was_killed_comes_back(self):
        with Priv(PRIV, "/run/killed/engine") as priv:
            priv.start_engine()
            pid = run("pgrep", "-f", "podman.*/run/killed/engine/engine.sock").split()[0]
            os.kill(int(pid), 9)
            time.sleep(0.5)
            self.assertEqual(self.api(priv, "GET", "/info")[0], 200)
            self.assertEqual(priv.ask(ENGINE, STOP).status, OK)
            self.assertEqual(priv.ask(ENGINE, CONNECT).status, FAILED)

    def test_malformed(self):
        with Priv(PRIV) as priv:
            policy = b"{}"
            for payload, fd in [(b"", sealed(policy)), (b"\1", sealed(policy)), (b"\3\0", sealed(policy)),
                                (b"\1\1", sealed(policy)), (b"\1\0automata", sealed(policy)),
                                (b"\2\0", sealed(policy)), (b"\2\0" + b"x" * 33, sealed(policy)),
                                (b"\2\0-x", sealed(policy)), (b"\2\0x\"", sealed(policy)), (b"\2\0x\0", sealed(policy)),
                                (b"\1\0", None), (b"\1\0", sealed(policy, 0)),
                                (b"\1\0", sealed(b"x" * ((256 << 10) + 1)))]:
                self.assertEqual(priv.ask(ENGINE, START, payload, fd).status, MALFORMED)
            self.assertEqual(priv.ask(ENGINE, 3).status, MALFORMED)

    def test_a_folder_that_is_not_ours(self):
        os.makedirs("/run/elsewhere/workload")
        os.symlink("/etc", "/run/elsewhere/workload/engine")
        with Priv(PRIV, "/run/elsewhere/workload/engine") as priv:
            reply = priv.ask(ENGINE, START, b"\1\0", sealed(b"{}"))
            self.assertEqual(reply.status, FAILED)
            self.assertIn("not a folder of ours", reply.text)

    def test_a_path_that_is_too_long(self):
        with Priv(PRIV, "/run/" + "x" * 40) as priv:
            reply = priv.ask(ENGINE, START, b"\1\0", sealed(b"{}"))
            self.assertEqual(reply.status, FAILED)
            self.assertIn("longer than 44", reply.text)

    def test_ends_with_its_parent(self):
        with Priv(PRIV, "/run/third/engine") as priv:
            priv.start_engine()
            found = subprocess.run(["pgrep", "-f", "podman.*/run/third/engine/engine.sock"], capture_output=True)
            self.assertEqual(found.returncode, 0)
        for _ in range(100):
            if subprocess.run(["pgrep", "-f", "podman.*/run/third/engine/engine.sock"],
                              capture_output=True).returncode != 0:
                return
            time.sleep(0.05)
        self.fail("podman outlives cvm-agent-priv")


@unittest.skipUnless(shutil.which("dockerd"), "there is no dockerd: scripts/install-deps --docker")
class Docker(Outside):
    directory = "/run/docker/engine"

    @classmethod
    def setUpClass(cls):
        private_machine.make_owner_a_user()
        os.makedirs(os.path.dirname(cls.directory))
        super().setUpClass()
        cls.priv.start_engine(docker_for=private_machine.OWNER)

    @classmethod
    def tearDownClass(cls):
        cls.priv.ask(ENGINE, STOP)
        super().tearDownClass()

    def api(self, method, path, body=None, raw=None):
        reply = self.priv.ask(ENGINE, CONNECT)
        self.assertEqual(reply.status, OK, reply.text)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(fileno=reply.fds[0])
        connection.sock.settimeout(60)
        connection.request(method, "/v1.41" + path, raw or (json.dumps(body) if body else None),
                           {"Content-Type": "application/x-tar" if raw else "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.assertLess(answer.status, 400, data)
        return json.loads(data) if data.startswith(b"{") and b"\n{" not in data else data

    def test_a_published_port_is_open_only_if_asked_for(self):
        with images.archive("localhost/hello:1", ["/bin/busybox", "nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "hello"]) as path:
            with open(path, "rb") as f:
                self.api("POST", "/images/load?quiet=1", raw=f.read())
        self.api("POST", "/networks/create", {"Name": "n", "Options": {"com.docker.network.bridge.name": "docker-00000001"}})
        made = self.api("POST", "/containers/create?name=hello", {
            "Image": "localhost/hello:1", "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": "n", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}})
        self.addCleanup(self.api, "DELETE", "/containers/hello?force=true")
        self.api("POST", "/containers/hello/start")
        self.assertEqual(self.priv.ask(FIREWALL, payload=ports((6, 80, 80))).status, OK)
        self.assertFalse(self.reaches(8080))
        self.assertEqual(self.priv.ask(FIREWALL, payload=ports((6, 8080, 8080))).status, OK)
        self.assertTrue(self.reaches(8080))
        with socket.create_connection(("127.0.0.1", 8080), 2) as local:
            self.assertEqual(local.recv(5), b"hello")
        # the main process dies of the signal that maintenance sends
        reply = self.priv.ask(MAINTENANCE, payload=bytes.fromhex(made["Id"]) + struct.pack("<H", 15))
        self.assertEqual(reply.status, OK, reply.text)

    def test_the_folder_lets_containers_pass_and_nobody_look(self):
        self.assertEqual(oct(os.stat(self.directory).st_mode & 0o777), "0o711")
        for name in set(os.listdir(self.directory)) - {"docker.pid"}:
            mode = os.stat(os.path.join(self.directory, name)).st_mode
            self.assertEqual(mode & 0o006, 0, f"{name} {oct(mode)}")
        for name, flags in ("files", {"ro", "nosuid", "nodev"}), ("secrets", {"ro", "nosuid", "nodev", "noexec"}):
            with open("/proc/self/mounts") as f:
                mine = [line.split()[3].split(",") for line in f if line.split()[1] == f"{self.directory}/views/{name}"]
            self.assertEqual(len(mine), 1)
            self.assertLessEqual(flags, set(mine[0]))

    def test_killed_and_no_user(self):
        pid = int(open(self.directory + "/docker.pid").read())
        os.kill(pid, 9)
        time.sleep(0.5)
        self.assertEqual(self.api("GET", "/info")["Driver"], "overlay2")
        with Priv(PRIV, "/run/second/engine") as priv:
            reply = priv.ask(ENGINE, START, b"\2\0nobody-here", sealed(b"{}"))
            self.assertEqual(reply.status, FAILED)
            self.assertIn("useradd --system --user-group nobody-here", reply.text)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

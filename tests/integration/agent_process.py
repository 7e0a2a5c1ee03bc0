"""Starts and stops an agent for tests, and talks to it over raw sockets."""
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time


class Agent:
    """One process on free ports. Use as a context manager."""

    def __init__(self, binary, settings=None, env=None, args=()):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = self.folder.name
        self.socket = os.path.join(self.dir, "agent.sock")
        self.log_path = os.path.join(self.dir, "log")
        self.write_settings(settings or {})
        command = [binary, "--state", os.path.join(self.dir, "state"), "--workload", os.path.join(self.dir, "none"),
                   "--etc", self.dir, "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0",
                   "--socket", self.socket, "--priv", os.path.join(self.dir, "priv.sock"), *args]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env={**os.environ, **(env or {})})
        event = self.wait_event("listening")
        self.internal = self.port_of(event["internal"])
        self.external = self.port_of(event["external"])

    @staticmethod
    def port_of(text):
        return int(text.rsplit(":", 1)[1])

    def write_settings(self, settings):
        with open(os.path.join(self.dir, "agent.json"), "w") as f:
            json.dump({"firewall": False, **settings}, f)  # this machine's own rules stay as they are

    def events(self):
        with open(self.log_path) as f:
            return [json.loads(line) for line in f if line.startswith("{") and line.endswith("}\n")]

    def wait_event(self, name, seconds=15):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in self.events():
                if event["event"] == name:
                    return event
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        with open(self.log_path) as f:
            raise AssertionError(f"no event {name}: {f.read()}")

    def connect(self, port=None, source=None):
        sock = socket.socket()
        sock.settimeout(15)
        if source:
            sock.bind((source, 0))
        sock.connect(("127.0.0.1", port or self.internal))
        return sock

    def tls(self, source=None, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if version:
            context.minimum_version = version
            context.maximum_version = version
        return context.wrap_socket(self.connect(self.external, source))

    def raw(self, data, sock=None):
        """Sends bytes, reads one response: (status, headers, body)."""
        own = sock is None
        sock = sock or self.connect()
        sock.sendall(data)
        answer = read_response(sock, head=data.startswith(b"HEAD"))
        if own:
            sock.close()
        return answer

    def get(self, path, host="localhost", method="GET", outside=False, source=None, extra=""):
        head = f"{method} {path} HTTP/1.1\r\n" + (f"Host: {host}\r\n" if host else "") + extra + "\r\n"
        if not outside:
            return self.raw(head.encode("latin-1"))
        with self.tls(source) as sock:
            return self.raw(head.encode("latin-1"), sock)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(15)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(15)
        self.folder.cleanup()


def read_response(sock, head=False):
    response = http.client.HTTPResponse(sock, method="HEAD" if head else "GET")
    response.begin()
    body = response.read()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body

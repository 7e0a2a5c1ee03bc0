"""A cvm-agent as a child on free ports, for the integration tests."""
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Agent:
    """with Agent(program, state, ["--emulate", "gcp-snp"]) as agent: agent.get("/platform")"""

    def __init__(self, program, state, options, wait=60):
        self.program, self.state, self.options, self.wait = program, state, options, wait
        self.lines, self.listening, self.process = [], None, None
        self.socket_path = os.path.join(state, "agent.sock")

    def __enter__(self):
        os.makedirs(self.state, exist_ok=True)
        command = [self.program, "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--state", self.state,
                   "--socket", self.socket_path] + self.options
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        ready = threading.Event()
        threading.Thread(target=self.read_log, args=(ready,), daemon=True).start()
        if not ready.wait(self.wait) or not self.listening:
            self.stop()
            raise RuntimeError("the agent did not start:\n" + "\n".join(self.lines[-20:]))
        return self

    def read_log(self, ready):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "listening":
                self.listening = event
                ready.set()
        ready.set()

    def port(self, side):
        return int(self.listening[side].rsplit(":", 1)[1])

    def request(self, side, method, path, headers=None, body=None):
        """side: internal, external, socket. Returns status, headers, body."""
        if side == "internal":
            c = http.client.HTTPConnection("127.0.0.1", self.port("internal"), timeout=30)
        elif side == "external":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            c = http.client.HTTPSConnection("127.0.0.1", self.port("external"), timeout=30, context=context)
        else:
            c = UnixConnection(self.socket_path)
        try:
            c.request(method, path, body=body, headers=headers or {})
            answer = c.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            c.close()

    def get(self, path, side="internal"):
        status, _, body = self.request(side, "GET", path)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {body[:300]}")
        return json.loads(body)

    def server_certificate(self):
        pem = ssl.get_server_certificate(("127.0.0.1", self.port("external")))
        return ssl.PEM_cert_to_DER_cert(pem)

    def stop(self, sig=signal.SIGTERM):
        """Returns the exit status and how many seconds the stop took."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        begun = time.monotonic()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, time.monotonic() - begun

    def __exit__(self, *_):
        self.stop()

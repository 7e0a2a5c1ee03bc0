"""A cvm-agent as a child on free ports, for the integration tests."""
import http.client
import json
import os
import pwd
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import serialization


USER = "cvm-agent"


def private_folder(path):
    """The outermost folder on the way to path that only root may enter, as tempfile makes them; None: there is none."""
    found = None
    while path != "/":
        if os.path.isdir(path) and not os.stat(path).st_mode & 0o077:
            found = path
        path = os.path.dirname(path)
    return found


def give_to_agent(paths, state=None):
    """Root's agent becomes its own user where the machine has one: it must get at what a test has made for it. Whole
    private folders are given, and the state folder."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return
    for folder in {state, *(private_folder(os.path.abspath(path)) for path in paths)} - {None} if os.geteuid() == 0 else ():
        for place, folders, files in os.walk(folder):
            if "engine" in folders:
                folders.remove("engine")  # cvm-agent-priv's own, of a start before
            for name in ["", *folders, *files]:
                os.chown(os.path.join(place, name), user.pw_uid, user.pw_gid, follow_symlinks=False)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Agent:
    """with Agent(program, state, ["--emulate", "gcp-snp"]) as agent: agent.get("/platform")

    Without a state folder of the test's it has one of its own, `state` below `dir`, which goes with it. Options come
    last: they may name another --etc, --workload or --priv than those below `dir`."""

    def __init__(self, program, state=None, options=(), settings=None, env=None, wait=60):
        self.folder = tempfile.TemporaryDirectory(prefix="cvm-agent-")
        self.dir = self.folder.name
        self.state = state or os.path.join(self.dir, "state")
        self.socket = os.path.join(self.state, "agent.sock")
        self.log_path = os.path.join(self.dir, "log")
        os.makedirs(self.state, exist_ok=True)
        self.write_settings(settings or {})
        command = [program, "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--state", self.state,
                   "--socket", self.socket, "--etc", self.dir, "--workload", os.path.join(self.dir, "none"),
                   "--priv", os.path.join(self.dir, "priv.sock"), *options]
        give_to_agent([self.dir, *(text for text in [*options, *(env or {}).values()] if os.path.isabs(text))], self.state)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env={**os.environ, **(env or {})})
        try:
            listening = self.wait_event("listening", wait)
        except AssertionError:
            self.__exit__()
            raise
        self.internal, self.external = (int(listening[side].rsplit(":", 1)[1]) for side in ("internal", "external"))

    def write_settings(self, settings):
        with open(os.path.join(self.dir, "agent.json"), "w", encoding="utf-8") as f:
            json.dump({"firewall": False, **settings}, f)  # this machine's own rules stay as they are

    @property
    def lines(self):
        """The whole lines that the agent has logged so far."""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return [line[:-1] for line in f if line.endswith("\n")]

    def events(self, name):
        events = [json.loads(line) for line in self.lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event["event"] == name]

    def wait_event(self, name, seconds=15):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            ended = self.process.poll() is not None
            found = self.events(name)
            if found:
                return found[0]
            if ended:
                break
            time.sleep(0.01)
        raise AssertionError(f"no event {name}:\n" + "\n".join(self.lines[-20:]))

    def connect(self, port=None, source=None):
        sock = socket.socket()
        sock.settimeout(15)
        if source:
            sock.bind((source, 0))
        sock.connect(("127.0.0.1", port or self.internal))
        return sock

    @staticmethod
    def context():
        """Of a client that trusts any certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def tls(self, source=None, version=None):
        context = self.context()
        if version:
            context.minimum_version = context.maximum_version = version
        return context.wrap_socket(self.connect(self.external, source))

    def raw(self, data, sock=None):
        """Sends bytes, reads one response: status, headers with names in lower case, body."""
        own = sock is None
        sock = sock or self.connect()
        sock.sendall(data)
        answer = read_response(sock, head=data.startswith(b"HEAD"))
        if own:
            sock.close()
        return answer

    def ask(self, path, host="localhost", method="GET", outside=False, source=None, extra=""):
        """The path goes out byte for byte, and without a Host header if there is none. As raw() answers."""
        head = f"{method} {path} HTTP/1.1\r\n" + (f"Host: {host}\r\n" if host else "") + extra + "\r\n"
        if not outside:
            return self.raw(head.encode("latin-1"))
        with self.tls(source) as sock:
            return self.raw(head.encode("latin-1"), sock)

    def connection(self, side, timeout=30):
        """side: internal, external, socket. For http.client, not connected yet."""
        if side == "internal":
            return http.client.HTTPConnection("127.0.0.1", self.internal, timeout=timeout)
        if side == "external":
            return http.client.HTTPSConnection("127.0.0.1", self.external, timeout=timeout, context=self.context())
        return UnixConnection(self.socket, timeout)

    def request(self, side, method, path, headers=None, body=None):
        """Returns status, headers as the agent wrote them, body."""
        c = self.connection(side)
        try:
            c.request(method, path, body=body, headers=headers or {})
            answer = c.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            c.close()

    def get(self, path, side="internal"):
        """The JSON of an answer that must be 200."""
        status, _, body = self.request(side, "GET", path)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {body[:300]}")
        return json.loads(body)

    def tls_spki(self):
        """The public key of the external port, DER."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.external))
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def stop(self, sig=signal.SIGTERM):
        """Returns the exit status and how many seconds the stop took."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        begun = time.monotonic()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, time.monotonic() - begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()


def read_response(sock, head=False):
    response = http.client.HTTPResponse(sock, method="HEAD" if head else "GET")
    response.begin()
    body = response.read()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body


def error_of(answer):
    """The sentence of an answer that is an error: status, headers, body."""
    body = json.loads(answer[2])
    assert list(body) == ["error"] and len(body["error"]) > 10, body
    return body["error"]


class AgentCase(unittest.TestCase):
    """With an `agent` and a temporary `folder` of the whole class, which its setUpClass() makes."""

    @classmethod
    def tearDownClass(cls):
        cls.agent.__exit__()
        cls.folder.cleanup()

    def file(self, name, value):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as f:
            f.write(value if isinstance(value, bytes) else json.dumps(value).encode())
        return path

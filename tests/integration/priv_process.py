"""Talks to a cvm-agent-priv of its own."""
import fcntl
import os
import socket
import struct
import subprocess

SIZE = 4096
HEAD = "<IHHHHIII"
PING, FIREWALL, LIVEPATCH, ENGINE, MAINTENANCE = range(5)
OK, MALFORMED, UNKNOWN_VERB, NOT_SUPPORTED, FAILED, REFUSED, BUSY = range(7)
CONNECT, START, STOP, STAGE, EXCHANGE, DISCARD, STORED = range(7)
ACCEPT_ALL = b'{"default":[{"type":"insecureAcceptAnything"}]}'


def sealed(data, seals=15):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, 1033, seals)  # F_ADD_SEALS
    return fd


class Reply:
    def __init__(self, data, fds):
        magic, version, self.verb, self.status, _, self.sequence, self.flags, size = struct.unpack(HEAD, data[:24])
        assert (magic, version, len(data)) == (0x5650434D, 1, SIZE)
        self.payload, self.fds = data[24:24 + size], fds
        self.text = self.payload.decode(errors="replace")


class Priv:
    """One process; a context manager."""

    def __init__(self, program, directory="/run/cvm-agent/workload/engine", workload="/data/workload", env=None):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.settimeout(90)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$0" --child --engine-dir "$1" --workload "$2" 3<&{theirs.fileno()}', program,
             directory, workload], pass_fds=[theirs.fileno()], env={**os.environ, **(env or {})})
        theirs.close()
        self.sequence = 0

    def ask(self, verb, flags=0, payload=b"", fd=None):
        self.sequence += 1
        head = struct.pack(HEAD, 0x5650434D, 1, verb, 0, 0, self.sequence, flags, len(payload))
        message = (head + payload).ljust(SIZE, b"\0")
        if fd is None:
            self.socket.send(message)
        else:
            socket.send_fds(self.socket, [message], [fd])
            os.close(fd)
        data, fds, _, _ = socket.recv_fds(self.socket, 2 * SIZE, 4)
        return Reply(data, fds)

    def start_engine(self, policy=ACCEPT_ALL, docker_for=None):
        kind = struct.pack("<H", 2) + docker_for.encode() if docker_for else struct.pack("<H", 1)
        reply = self.ask(ENGINE, START, kind, sealed(policy))
        assert reply.status == OK, reply.text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.wait(20)

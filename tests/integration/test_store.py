"""cvm-agent-priv stores a workload on a partition that is mounted read-only: usage: test_store.py BIN_DIR"""
import contextlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_machine  # noqa: E402

private_machine.enter()

from priv_process import (BUSY, DISCARD, ENGINE, EXCHANGE, FAILED, MALFORMED, OK, REFUSED, STAGE, STORED, Priv)  # noqa: E402

PRIV = os.path.join(sys.argv.pop(1), "cvm-agent-priv")
AGENT_UID = 4242
LAST = 0
MARKS = "/run/cvm-agent-priv"
OLD = {"docker-compose.yml": b"old\n", "config/a": b"old a\n", "config/only-old/b": b"b\n", "web.tar": b"o" * 3000000}
NEW = {"docker-compose.yml": b"new\n", "config/a": b"new a\n", "config/deeper/still/c": b"c\n", "web.tar": b"n" * 3000000, "empty": b""}


def write(folder, files):
    for path, data in files.items():
        path = os.path.join(folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)


def read(folder):
    out = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as f:
                out[os.path.relpath(os.path.join(path, name), folder)] = f.read()
    return out


def as_agent(function):
    """Runs it in a child that is the agent's user; what it prints is the result."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(AGENT_UID, AGENT_UID, AGENT_UID)
            os.setresuid(AGENT_UID, AGENT_UID, AGENT_UID)
            os.write(w, repr(function()).encode())
        finally:
            os._exit(0)
    os.close(w)
    os.waitpid(pid, 0)
    with os.fdopen(r) as f:
        return eval(f.read())  # noqa: S307  our own repr()


class Store(unittest.TestCase):
    size = "64m"
    orders = 0

    def setUp(self):
        self.data = tempfile.mkdtemp(dir="/run")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=755", "data", self.data], check=True)
        self.addCleanup(os.rmdir, self.data)
        self.addCleanup(subprocess.run, ["umount", "-l", self.data], check=True)
        self.workload = os.path.join(self.data, "workload")
        self.beside = os.path.join(self.data, ".workload.next")
        write(self.workload, OLD)
        self.private = tempfile.mkdtemp(dir="/run")
        self.addCleanup(shutil.rmtree, self.private)
        write(self.private, NEW)
        self.remount("ro,nosuid,nodev,noexec")

    def remount(self, options):
        subprocess.run(["mount", "-o", "remount," + options, self.data], check=True)

    def flags(self):
        """Of the mount, and of the file system below it."""
        with open("/proc/self/mountinfo") as f:
            line = next(line for line in f if line.split()[4] == self.data)
        left, right = line.split(" - ")
        return left.split()[5].split(","), right.split()[2].split(",")

    def sealed(self):
        mount, system = self.flags()
        self.assertEqual(set(mount) & {"ro", "nosuid", "nodev", "noexec"}, {"ro", "nosuid", "nodev", "noexec"})
        self.assertEqual(system[0], "ro")
        self.assertFalse(os.path.isdir(MARKS) and os.listdir(MARKS))

    def priv(self, env=None):
        p = Priv(PRIV, workload=self.workload, env=env)
        self.addCleanup(p.__exit__)
        self.assertEqual(self.end(p, LAST).status, OK)  # it has mended what the one before left
        return p

    def begin(self, p, what, payload=b"", fd=None):
        """With an id of its own."""
        Store.orders += 1
        return p.ask(ENGINE, what, struct.pack("<Q", Store.orders) + payload, fd)

    def now(self):
        st = os.stat(self.workload)
        return struct.pack("<QQ", st.st_dev, st.st_ino)

    def end(self, p, order=None):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            reply = p.ask(ENGINE, STORED, struct.pack("<Q", Store.orders if order is None else order))
            if reply.status != BUSY:
                return reply
            time.sleep(0.01)
        self.fail("it does not end")

    def store(self, p, what=STAGE, payload=None, folder=None):
        """Begins, and waits for the end."""
        fd = os.open(folder or self.private, os.O_RDONLY | os.O_DIRECTORY) if what == STAGE else None
        reply = self.begin(p, what, self.now() if payload is None and what != DISCARD else payload or b"", fd)
        return self.end(p) if reply.status == OK else reply

    def test_stage_and_exchange(self):
        p = self.priv()
        for old, new in (OLD, NEW), (NEW, {**NEW, "config/a": b"newer\n"}):
            write(self.private, new)
            reply = self.store(p)
            self.assertEqual(reply.status, OK, reply.text)
            self.sealed()
            self.assertEqual((read(self.workload), read(self.beside)), (old, new))
            reply = self.store(p, EXCHANGE)
            self.assertEqual(reply.status, OK, reply.text)
            self.sealed()
            self.assertEqual(read(self.workload), new)
            self.assertEqual(os.listdir(self.data), ["workload"])
        self.assertEqual(oct(os.stat(self.workload).st_mode & 0o7777), "0o755")
        self.assertEqual(oct(os.stat(self.workload + "/config/a").st_mode & 0o7777), "0o644")

    def test_discard(self):
        p = self.priv()
        self.assertEqual(self.store(p).status, OK)
        self.assertEqual(self.store(p, DISCARD).status, OK)
        self.assertEqual(os.listdir(self.data), ["workload"])
        self.assertEqual(self.store(p, DISCARD).status, OK)  # nothing there is fine
        self.assertEqual(self.store(p, EXCHANGE).status, FAILED)
        self.assertEqual(read(self.workload), OLD)
        self.sealed()

    def test_nobody_else_can_write_meanwhile(self):
        p = self.priv()
        with open(os.path.join(self.private, "large.tar"), "wb") as f:
            f.truncate(40 << 20)
        seen = []
        fd = os.open(self.private, os.O_RDONLY | os.O_DIRECTORY)
        self.assertEqual(self.begin(p, STAGE, self.now(), fd).status, OK)
        while p.ask(ENGINE, STORED, struct.pack("<Q", Store.orders)).status == BUSY:
            seen.append((self.flags()[0][0], self.flags()[1][0]))
            with self.assertRaisesRegex(OSError, "Read-only"):
                os.mkdir(os.path.join(self.data, "mine"))
        self.assertEqual({mount for mount, _ in seen}, {"ro"})
        self.assertIn("rw", {system for _, system in seen})
        self.sealed()

    def test_one_at_a_time(self):
        p = self.priv()
        with open(os.path.join(self.private, "large.tar"), "wb") as f:
            f.truncate(40 << 20)
        fd = os.open(self.private, os.O_RDONLY | os.O_DIRECTORY)
        self.assertEqual(self.begin(p, STAGE, self.now(), fd).status, OK)
        order = Store.orders
        self.assertEqual(self.begin(p, EXCHANGE, self.now()).status, BUSY)
        self.assertEqual(self.begin(p, DISCARD).status, BUSY)
        self.assertEqual(p.ask(0).status, OK)  # others are answered
        self.assertEqual(self.end(p).status, REFUSED)  # the last one was not taken
        self.assertEqual(self.end(p, order).status, OK)
        self.assertEqual(self.end(p, order).status, OK)
        self.assertEqual(self.store(p, EXCHANGE, struct.pack("<QQ", 1, 1)).status, REFUSED)
        self.assertIn("is not the agent's workload folder", self.end(p).text)  # said as often as it is asked

    def test_a_full_partition(self):
        self.remount("rw")
        with open(os.path.join(self.data, "fill"), "wb") as f:
            f.write(b"x" * (59 << 20))
        self.remount("ro")
        p = self.priv()
        reply = self.store(p)
        self.assertEqual(reply.status, REFUSED, reply.text)
        self.assertRegex(reply.text, "cannot write web.tar: No space left")
        self.assertEqual(read(self.workload), OLD)
        self.assertEqual(sorted(os.listdir(self.data)), ["fill", "workload"])
        self.sealed()

    def test_with_the_rights_of_who_asks(self):
        secret = tempfile.mkdtemp(dir="/run")
        self.addCleanup(shutil.rmtree, secret)
        os.chmod(secret, 0o711)
        write(secret, {"shadow": b"root's\n"})
        os.chmod(os.path.join(secret, "shadow"), 0o600)
        for path, _, names in os.walk(self.private):
            for name in [path] + [os.path.join(path, name) for name in names]:
                os.chown(name, AGENT_UID, AGENT_UID)
        p = self.priv()
        now = self.now()
        for folder, want in (self.private, OK), (secret, REFUSED):
            def ask():
                fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
                reply = self.begin(p, STAGE, now, fd)
                if reply.status == OK:
                    reply = self.end(p)
                return reply.status, reply.text
            status, text = as_agent(ask)
            p.sequence += 1000
            self.assertEqual(status, want, text)
            self.sealed()
        self.assertIn("Permission denied", text)
        self.assertEqual(os.listdir(self.data), ["workload"])

    def test_what_is_no_workload(self):
        outside = os.path.join(self.private, "config/bad")
        makers = {"neither a file nor a folder": lambda: os.symlink("/etc/passwd", outside),
                  "hard links": lambda: os.link(os.path.join(self.private, "config/a"), outside),
                  "neither a file": lambda: os.mkfifo(outside),
                  "more than 64 folders": lambda: os.makedirs(outside + "/d" * 70)}
        for sentence, make in makers.items():
            make()
            p = self.priv()
            reply = self.store(p)
            self.assertEqual(reply.status, FAILED, sentence)
            self.assertIn(sentence, reply.text)
            self.assertEqual(read(self.workload), OLD)
            self.assertEqual(os.listdir(self.data), ["workload"])
            self.sealed()
            shutil.rmtree(outside) if os.path.isdir(outside) and not os.path.islink(outside) else os.unlink(outside)

    def test_too_many_files(self):
        os.makedirs(os.path.join(self.private, "config/many"))
        for i in range(16384):
            os.mknod(os.path.join(self.private, f"config/many/{i}"))
        reply = self.store(self.priv())
        self.assertEqual((reply.status, reply.text), (FAILED, "more files and folders than allowed"))
        self.assertEqual(os.listdir(self.data), ["workload"])

    def test_another_folder_than_the_agents(self):
        p = self.priv()
        st = os.stat(self.workload)
        for payload in struct.pack("<QQ", st.st_dev, st.st_ino + 1), struct.pack("<QQ", st.st_dev + 1, st.st_ino):
            for what in STAGE, EXCHANGE:
                reply = self.store(p, what, payload)
                self.assertEqual(reply.status, REFUSED)
                self.assertIn("is not the agent's workload folder", reply.text)
        # an exchange that was asked for twice is made once
        self.assertEqual(self.store(p).status, OK)
        before = self.now()
        self.assertEqual(self.store(p, EXCHANGE, before).status, OK)
        self.assertEqual(self.store(p).status, OK)
        self.assertEqual(self.store(p, EXCHANGE, before).status, REFUSED)
        self.assertEqual(read(self.workload), NEW)
        self.sealed()

    def test_what_the_host_put_there(self):
        """Links in the partition lead nowhere."""
        victim = tempfile.mkdtemp(dir="/run")
        self.addCleanup(shutil.rmtree, victim)
        write(victim, {"kept": b"kept\n"})
        self.remount("rw")
        os.symlink(victim, self.beside)
        self.remount("ro")
        p = self.priv()
        self.assertEqual(self.store(p).status, FAILED)
        self.remount("rw")
        os.unlink(self.beside)
        write(self.beside, {"old/rest": b"x"})
        os.symlink(victim, os.path.join(self.beside, "old/link"))
        self.remount("ro")
        self.assertEqual(self.store(p).status, OK)
        self.assertEqual(read(self.beside), NEW)
        self.remount("rw")
        shutil.move(self.workload, os.path.join(self.data, "elsewhere"))
        os.symlink("elsewhere", self.workload)
        self.remount("ro")
        self.assertEqual(self.store(p, EXCHANGE).status, REFUSED)
        self.assertEqual(read(victim), {"kept": b"kept\n"})
        self.sealed()

    def test_malformed(self):
        p = self.priv()
        folder = lambda: os.open(self.private, os.O_RDONLY)
        one, now = struct.pack("<Q", 1), struct.pack("<Q", 1) + self.now()
        for what, payload, fd in [(STAGE, now, None), (STAGE, b"", folder()), (STAGE, now[:-1], folder()), (STAGE, self.now(), folder()),
                                  (STAGE, now + b"\0", folder()), (STAGE, now, os.open("/etc/passwd", os.O_RDONLY)),
                                  (STAGE, bytes(8) + self.now(), folder()), (EXCHANGE, bytes(8) + self.now(), None), (DISCARD, bytes(8), None),
                                  (EXCHANGE, one, None), (EXCHANGE, now * 2, None), (EXCHANGE, now, folder()), (DISCARD, b"", None),
                                  (DISCARD, now, None), (DISCARD, one, folder()), (STORED, b"", None), (STORED, now, None),
                                  (STORED, one, folder()), (7, one, None)]:
            self.assertEqual(p.ask(ENGINE, what, payload, fd).status, MALFORMED, (what, payload))
        self.assertEqual(self.end(p, LAST).status, OK)
        self.sealed()

    def test_a_file_system_that_is_writable_stays_so(self):
        self.remount("rw")
        p = self.priv()
        self.assertEqual(self.store(p).status, OK)
        self.assertEqual(self.store(p, EXCHANGE).status, OK)
        self.assertEqual((self.flags()[1][0], read(self.workload)), ("rw", NEW))

    def test_read_only_and_no_mount_of_its_own(self):
        self.remount("rw")
        shutil.copytree(self.workload, os.path.join(self.data, "below/workload"))
        self.remount("ro")
        self.workload = os.path.join(self.data, "below/workload")
        reply = self.store(self.priv())
        self.assertEqual(reply.status, REFUSED)
        self.assertIn("no mount of its own", reply.text)
        self.sealed()

    def test_killed_at_each_step(self):
        """Old or new whole; what was left writable is read-only with the next start; and it can be stored still."""
        staging = ["store-marked", "store-writable", "store-made", "store-copied", "store-read-only"]
        for what, points in (STAGE, staging), (EXCHANGE, ["store-marked", "store-writable", "store-exchanged", "store-synced", "store-read-only"]):
            for point in points:
                with self.subTest(what=what, point=point):
                    if what == EXCHANGE:
                        helper = self.priv()
                        self.assertEqual(self.store(helper).status, OK)
                        helper.__exit__()
                    before = read(self.workload)
                    p = self.priv({"CVM_FAULT": point})
                    reply = self.store(p, what)
                    self.assertIn(reply.status, (FAILED, REFUSED))
                    late = what == EXCHANGE and point in ("store-exchanged", "store-synced", "store-read-only")
                    self.assertEqual(read(self.workload), NEW if late else before)
                    if point == "store-copied":  # the child's end is seen by who waits for it
                        self.sealed()
                        self.assertIn("cut short", reply.text)
                        self.assertEqual(os.listdir(self.data), ["workload"])
                    else:
                        self.assertIn("restart cvm-agent-priv", reply.text)
                        self.assertEqual(self.end(p).status, REFUSED)
                    p.__exit__()
                    p = self.priv()
                    self.sealed()
                    self.assertEqual(self.store(p, DISCARD).status, OK)
                    self.sealed()
                    self.assertEqual(os.listdir(self.data), ["workload"])
                    if late:
                        write(self.private, OLD)
                        shutil.rmtree(os.path.join(self.private, "config"))
                        os.unlink(os.path.join(self.private, "empty"))
                        write(self.private, OLD)
                    self.assertEqual(self.store(p).status, OK)
                    self.assertEqual(self.store(p, EXCHANGE).status, OK)
                    self.assertEqual(read(self.workload), OLD if late else NEW)
                    self.sealed()
                    p.__exit__()
                    self.tearDown()
                    self.doCleanups()
                    self.setUp()

    def test_killed_while_files_are_open(self):
        """The process that stores dies in the middle of a file: the next start makes the partition read-only."""
        with open(os.path.join(self.private, "large.tar"), "wb") as f:
            f.truncate(40 << 20)
        p = self.priv()
        fd = os.open(self.private, os.O_RDONLY | os.O_DIRECTORY)
        self.assertEqual(self.begin(p, STAGE, self.now(), fd).status, OK)
        while self.flags()[1][0] == "ro" or not os.path.exists(self.beside):
            pass
        children = subprocess.run(["pgrep", "-f", "--", "--workload " + self.workload], capture_output=True, text=True).stdout.split()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):  # some end when the first has
                os.kill(int(pid), 9)
        p.process.wait(20)
        self.assertEqual(self.flags()[1][0], "rw")
        self.assertEqual(read(self.workload), OLD)
        p = self.priv()  # that it has mended does not mean that the order was carried out
        reply = self.end(p)
        self.assertEqual((reply.status, reply.text), (REFUSED, "cvm-agent-priv ended before it was done: try again"))
        self.sealed()
        self.assertEqual(self.store(p).status, OK)
        self.assertEqual(self.store(p, EXCHANGE).status, OK)
        self.assertEqual(os.listdir(self.data), ["workload"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")

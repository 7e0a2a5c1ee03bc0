"""The privileged helper, the setup step, dropping root, socket activation: usage: test_privileges.py BIN_DIR"""
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, give_to_agent, read_response  # noqa: E402

BIN = sys.argv.pop(1)
PRIV, SETUP, AGENT = (os.path.join(BIN, name) for name in ("cvm-agent-priv", "cvm-agent-setup", "agent_over_fake"))
SIZE = 4096
ROOT = os.geteuid() == 0


def message(verb, sequence=1, magic=0x5650434D, version=1, payload=b"", size=None):
    head = struct.pack("<IHHHHIII", magic, version, verb, 0, 0, sequence, 0, len(payload) if size is None else size)
    return (head + payload).ljust(SIZE, b"\0")


def ask(sock, data):
    """(verb, status, sequence) of the reply."""
    sock.send(data)
    reply = sock.recv(2 * SIZE)
    assert len(reply) == SIZE, len(reply)
    magic, version, verb, status, _, sequence, _, _ = struct.unpack("<IHHHHIII", reply[:24])
    assert (magic, version) == (0x5650434D, 1)
    return verb, status, sequence


def status_field(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split(":", 1)[1].strip() for line in f if line.startswith(name + ":"))


def comes(pid, name, value, seconds=5):
    """Whether the field has this value, now or soon."""
    until = time.monotonic() + seconds
    while status_field(pid, name) != value and time.monotonic() < until:
        time.sleep(0.02)
    return status_field(pid, name) == value


def gone(pid, seconds=5):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if status_field(pid, "State").startswith("Z"):
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


class Helper(unittest.TestCase):
    def start_child(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(5)
        process = subprocess.Popen(["/bin/sh", "-c", f'exec "$0" --child 3<&{theirs.fileno()}', PRIV],
                                   pass_fds=[theirs.fileno()])
        theirs.close()
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(ours.close)
        return ours, process

    def test_verbs(self):
        sock, process = self.start_child()
        self.assertEqual(ask(sock, message(0, 7)), (0, 0, 7))
        for verb in 2, 3, 4:  # without what they need; test_priv_verbs has the rest
            self.assertIn(ask(sock, message(verb, 8)), [(verb, 1, 8), (verb, 4, 8), (verb, 5, 8)])
        for verb in 5, 255, 65535:
            self.assertEqual(ask(sock, message(verb, 9)), (verb, 2, 9))
        sock.close()
        self.assertEqual(process.wait(5), 0)

    def test_malformed_messages(self):
        sock, process = self.start_child()
        for data in [b"x", message(0)[:-1], message(0) + b"x", b"\0" * SIZE, b"\xff" * SIZE, message(0, magic=1),
                     message(0, version=2), message(0, size=SIZE - 23), message(0, size=0xFFFFFFFF)]:
            self.assertEqual(ask(sock, data), (0, 1, 0))
        self.assertEqual(ask(sock, message(0, payload=b"p" * (SIZE - 24))), (0, 0, 1))

    def test_keeps_two_capabilities(self):
        sock, process = self.start_child()
        ask(sock, message(0))
        two = (1 << 12 | 1 << 16) if ROOT else 0  # CAP_NET_ADMIN, CAP_SYS_MODULE
        for field, most in [("CapInh", 0), ("CapPrm", two), ("CapEff", two), ("CapAmb", 0)]:
            self.assertEqual(int(status_field(process.pid, field), 16) & ~most, 0)
        if ROOT:
            self.assertEqual(int(status_field(process.pid, "CapBnd"), 16) & ~two, 0)
        self.assertEqual(status_field(process.pid, "NoNewPrivs"), "1")

    @staticmethod
    def children(process):
        """name -> pid, once they have their names."""
        until = time.monotonic() + 5
        while ROOT:
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
                found = {status_field(pid, "Name"): pid for pid in f.read().split()}
            if sorted(found) == ["priv-launcher", "priv-store"]:
                return found
            assert time.monotonic() < until, found
            time.sleep(0.02)
        return {}

    @unittest.skipIf("CVM_SANITIZED" in os.environ, "sanitizers need more system calls")
    def test_filters_system_calls(self):
        """Each part by its list; but not the launcher, which starts the engine."""
        sock, process = self.start_child()
        ask(sock, message(0))
        self.assertEqual(status_field(process.pid, "Seccomp"), "2")
        for name, pid in self.children(process).items():
            self.assertTrue(comes(pid, "Seccomp", "0" if name == "priv-launcher" else "2"), name)

    @unittest.skipUnless(ROOT, "there is no store without root")
    def test_rights_of_the_store(self):
        sock, process = self.start_child()
        ask(sock, message(0))
        store = self.children(process)["priv-store"]
        self.assertTrue(comes(store, "NoNewPrivs", "1"))  # the last that it gives up
        few = sum(1 << cap for cap in (0, 1, 3, 5, 6, 7, 21))  # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SYS_ADMIN
        for field in "CapPrm", "CapEff", "CapBnd":
            self.assertEqual(int(status_field(store, field), 16) & ~few, 0)
        sock.close()
        self.assertTrue(gone(store))

    def test_usage(self):
        for args in [["--nope"], ["--child", "x"], []]:
            self.assertEqual(subprocess.run([PRIV, *args], capture_output=True).returncode, 2)
        self.assertEqual(subprocess.run([PRIV, "--version"], capture_output=True).returncode, 0)

    def activated(self, folder):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(folder + "/p")
        os.chmod(folder, 0o755)
        os.chmod(folder + "/p", 0o666)
        listener.listen()
        process = subprocess.Popen(["/bin/sh", "-c", f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" 3<&{listener.fileno()}', PRIV],
                                   pass_fds=[listener.fileno()])
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        listener.close()
        return process

    def test_activated_by_a_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            self.activated(folder)
            for _ in range(3):  # one caller after the other
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                    sock.settimeout(5)
                    sock.connect(folder + "/p")
                    self.assertEqual(ask(sock, message(0)), (0, 0, 1))

    @unittest.skipUnless(ROOT, "becoming another user takes root")
    def test_other_users_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            self.activated(folder)
            code = ("import os,socket;os.setuid(54321);s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET);"
                    f"s.settimeout(5);s.connect({folder + '/p'!r})\n"
                    "try: print(len(s.recv(1)))\nexcept ConnectionResetError: print(0)")
            done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=10)
            self.assertEqual(done.stdout, "0\n", done.stderr)


class ChildOfTheAgent(unittest.TestCase):
    @staticmethod
    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(word) for word in f.read().split()]

    @unittest.skipUnless(ROOT, "an ordinary user starts no helper")
    def test_lives_and_dies_with_it(self):
        for how, status in (signal.SIGKILL, -9), (signal.SIGTERM, 0):
            with Agent(AGENT) as agent:
                children = self.children(agent.process.pid)
                self.assertEqual(len(children), 1)
                with open(f"/proc/{children[0]}/cmdline") as f:
                    self.assertIn("cvm-agent-priv", f.read())
                self.assertEqual(agent.stop(how)[0], status)
                self.assertTrue(gone(children[0]))

    @unittest.skipUnless(ROOT, "an ordinary user starts no helper")
    def test_its_end_is_noticed(self):
        with Agent(AGENT) as agent:
            os.kill(self.children(agent.process.pid)[0], signal.SIGKILL)
            self.assertIn("restart", agent.wait_event("priv")["error"])
            self.assertEqual(agent.ask("/healthz")[0], 200)

    @unittest.skipUnless(ROOT, "becoming another user takes root")
    def test_ordinary_user(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            process = subprocess.Popen([AGENT, "--state", folder + "/s", "--internal", "127.0.0.1:0", "--external",
                                        "127.0.0.1:0", "--socket", folder + "/a", "--priv", folder + "/p"],
                                       stderr=subprocess.PIPE, text=True, user=54321, group=54321, extra_groups=[])
            self.addCleanup(process.kill)
            lines = []
            for line in process.stderr:
                lines.append(line)
                if '"listening"' in line:
                    break
            self.assertTrue(any("ordinary user" in line for line in lines), lines)
            self.assertEqual(self.children(process.pid), [])
            process.terminate()
            self.assertEqual(process.wait(5), 0)
            process.stderr.close()

    @unittest.skipUnless(ROOT, "becoming another user takes root")
    def test_drops_root(self):
        """In a mount namespace of its own, /etc/passwd gets the agent's user."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            os.mkdir(folder + "/state")
            os.chown(folder + "/state", 54321, 54321)
            with open("/etc/passwd") as old, open(folder + "/passwd", "w") as new:
                lines = [line for line in old if not line.startswith("cvm-agent:")]
                new.write("".join(lines) + "cvm-agent:x:54321:54321::/:/bin/false\n")
            script = 'mount --bind "$1/passwd" /etc/passwd || exit 77; shift; exec "$@"'
            process = subprocess.Popen(["unshare", "-m", "/bin/sh", "-c", script, "sh", folder, AGENT, "--state",
                                        folder + "/state", "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0",
                                        "--socket", folder + "/a", "--priv", folder + "/p"],
                                       stderr=subprocess.PIPE, text=True)
            self.addCleanup(process.kill)
            text = ""
            for line in process.stderr:
                text += line
                if '"listening"' in line:
                    break
            else:
                process.wait()
                self.skipTest("no mount namespaces here: " + text)
            for task in os.listdir(f"/proc/{process.pid}/task"):
                path = f"{process.pid}/task/{task}"
                self.assertEqual(status_field(path, "Uid").split(), ["54321"] * 4)
                for field in "CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd":
                    self.assertEqual(int(status_field(path, field), 16), 0, field)
                self.assertEqual(status_field(path, "NoNewPrivs"), "1")
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(folder + "/a")
                sock.sendall(b"GET /collaterals/1 HTTP/1.1\r\n\r\n")
                self.assertEqual(read_response(sock)[0], 200)
            process.terminate()
            self.assertEqual(process.wait(5), 0)
            process.stderr.close()


class Activation(unittest.TestCase):
    def test_sockets_of_the_service_manager(self):
        with tempfile.TemporaryDirectory() as folder:
            inside, outside, unix = socket.socket(), socket.socket(), socket.socket(socket.AF_UNIX)
            inside.bind(("127.0.0.1", 0))
            outside.bind(("127.0.0.1", 0))
            unix.bind(folder + "/u")
            for sock in inside, outside, unix:
                sock.listen()
            give_to_agent([folder])
            fds = [outside.fileno(), unix.fileno(), inside.fileno()]
            script = ('exec 13<&%d 14<&%d 15<&%d; exec 3<&13 4<&14 5<&15 13<&- 14<&- 15<&-; '
                      'LISTEN_FDS=3 LISTEN_FDNAMES=external:agent.sock:internal LISTEN_PID=$$ exec "$@"' % tuple(fds))
            process = subprocess.Popen(["/bin/bash", "-c", script, "sh", AGENT, "--state", folder, "--internal",
                                        "127.0.0.1:1", "--external", "127.0.0.1:1", "--socket", folder + "/other",
                                        "--priv", folder + "/p"], stderr=subprocess.PIPE, text=True, pass_fds=fds)
            self.addCleanup(process.kill)
            for line in process.stderr:
                if '"listening"' in line:
                    break
            self.assertIn(f'"internal":"127.0.0.1:{inside.getsockname()[1]}"', line)
            self.assertIn(f'"external":"127.0.0.1:{outside.getsockname()[1]}"', line)
            self.assertIn(folder + "/u", line)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(folder + "/u")
                sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
                self.assertEqual(read_response(sock)[0], 200)
            process.terminate()
            self.assertEqual(process.wait(5), 0)
            self.assertTrue(os.path.exists(folder + "/u"))  # not ours to remove
            process.stderr.close()
            for sock in inside, outside, unix:
                sock.close()


@unittest.skipUnless(ROOT, "handing files over takes root")
class Setup(unittest.TestCase):
    LOG = bytes(range(256)) * 40

    def tree(self, folder):
        for path in ["etc", "run", "var/lib", "sys/kernel/security/tpm0", "sys/firmware/acpi/tables/data",
                     "sys/kernel/config/tsm/report", "sys/class/misc/tdx_guest/measurements", "dev"]:
            os.makedirs(os.path.join(folder, path))
        for path, data in [("etc/passwd", b"root:x:0:0::/:/bin/sh\ncvm-agent:x:54321:54322::/:/bin/false\n"),
                           ("sys/kernel/security/tpm0/binary_bios_measurements", self.LOG),
                           ("sys/class/misc/tdx_guest/measurements/rtmr3:sha384", b""),
                           ("sys/class/misc/tdx_guest/measurements/mrconfigid", b""), ("dev/sev-guest", b"")]:
            with open(os.path.join(folder, path), "wb") as f:
                f.write(data)

    def run_setup(self, folder):
        return subprocess.run([SETUP, "--root", folder], capture_output=True, text=True)

    def facts(self, folder, path):
        st = os.stat(os.path.join(folder, path))
        return st.st_uid, st.st_gid, oct(st.st_mode & 0o7777)

    def test_hands_over_and_copies_twice(self):
        with tempfile.TemporaryDirectory() as folder:
            self.tree(folder)
            for _ in range(2):
                done = self.run_setup(folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                for path, mode in [("run/cvm-agent", "0o755"), ("run/cvm-agent/boot", "0o755"),
                                   ("run/cvm-agent/workload", "0o755"),
                                   ("var/lib/cvm-agent", "0o700"), ("sys/kernel/config/tsm/report", "0o755"),
                                   ("sys/kernel/config/tsm/report/cvm-agent", "0o755"),
                                   ("sys/class/misc/tdx_guest/measurements/rtmr3:sha384", "0o600"),
                                   ("dev/sev-guest", "0o600"),
                                   ("run/cvm-agent/boot/binary_bios_measurements", "0o400")]:
                    self.assertEqual(self.facts(folder, path), (54321, 54322, mode), path)
                self.assertEqual(self.facts(folder, "run/cvm-agent/workload/engine"), (0, 0, "0o755"))
                self.assertEqual(self.facts(folder, "sys/class/misc/tdx_guest/measurements/mrconfigid")[0], 0)
                with open(folder + "/run/cvm-agent/boot/binary_bios_measurements", "rb") as f:
                    self.assertEqual(f.read(), self.LOG)
                self.assertFalse(os.path.exists(folder + "/run/cvm-agent/boot/CCEL"))

    def test_links_are_not_followed(self):
        with tempfile.TemporaryDirectory() as folder:
            self.tree(folder)
            os.remove(folder + "/dev/sev-guest")
            os.symlink(folder + "/etc/passwd", folder + "/dev/sev-guest")
            done = self.run_setup(folder)
            self.assertEqual(done.returncode, 0)
            self.assertIn("sev-guest", done.stderr)
            self.assertEqual(self.facts(folder, "etc/passwd")[0], 0)

    def test_no_user(self):
        with tempfile.TemporaryDirectory() as folder:
            self.tree(folder)
            with open(folder + "/etc/passwd", "w") as f:
                f.write("root:x:0:0::/:/bin/sh\n")
            done = self.run_setup(folder)
            self.assertEqual(done.returncode, 4)
            self.assertIn("cvm-agent", done.stderr)
        self.assertEqual(subprocess.run([SETUP, "--nope"], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

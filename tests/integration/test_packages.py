"""scripts/build-image fetches what rootfs/packages.lock names: from the mirror, or as it was from a snapshot service; what nobody has is
no reason to skip a test, a network that is not there is.

usage: test_packages.py BUILD-FOLDER"""
import datetime
import hashlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

BUILD = os.path.abspath(sys.argv.pop(1))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/tests/image")
import suite  # noqa: E402

EPOCH = 1700000000
PATH = "pool/main/a/a/a_1_all.deb"
DEB = b"what the lock names"
os.environ["PATH"] += ":/usr/sbin:/sbin"


def stamp(hours=0):
    return datetime.datetime.fromtimestamp(EPOCH + hours * 3600, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, body = self.server.files.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked, self.server.files = [], {}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def build(self, files, mirror=None, snapshot=None):
        """What build-image ends with. The fetched file is no package, so the build ends when it is to be unpacked."""
        self.server.asked.clear()
        self.server.files = {path: value if isinstance(value, tuple) else (200, value) for path, value in files.items()}
        digest = hashlib.sha256(DEB).hexdigest()
        with open(f"{self.folder}/lock", "w") as f:
            f.write(f"# epoch {EPOCH}\na 1 {digest} {len(DEB)} {PATH}\n")
        shutil.rmtree(f"{self.folder}/cache", ignore_errors=True)
        os.makedirs(f"{self.folder}/out", exist_ok=True)
        environment = {**os.environ, "no_proxy": "127.0.0.1", "CVM_MIRROR": mirror or f"{self.url}/mirror",
                       "CVM_SNAPSHOT": snapshot or f"{self.url}/archive"}
        done = subprocess.run([f"{ROOT}/scripts/build-image", "--no-install", "--test", "--agent", BUILD, "--lock", f"{self.folder}/lock",
                               "--cache", f"{self.folder}/cache", "-o", f"{self.folder}/out/x"], capture_output=True, text=True, timeout=120,
                              env=environment)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertEqual(os.listdir(f"{self.folder}/out"), [])
        kept = f"{self.folder}/cache/debs/{digest}.deb"
        self.assertEqual(os.listdir(os.path.dirname(kept)), [os.path.basename(kept)] if os.path.exists(kept) else [])
        return os.path.exists(kept), done.stderr.strip().splitlines()[-1]

    def fetched(self, files):
        got, said = self.build(files)
        self.assertTrue(got, said)
        self.assertIn("package a cannot be unpacked", said)

    def test_mirror(self):
        self.fetched({f"/mirror/debian/{PATH}": DEB})
        self.fetched({f"/mirror/debian-security/{PATH}": DEB})
        self.assertFalse([path for path in self.server.asked if path.startswith("/archive")])

    def test_snapshot(self):
        for archive in "debian", "debian-security":
            for hours in 0, 24:
                self.fetched({f"/archive/{archive}/{stamp(hours)}/{PATH}": DEB})

    def test_other_content(self):
        got, said = self.build({f"/archive/debian/{stamp()}/{PATH}": b"x" * len(DEB)})
        self.assertFalse(got)
        self.assertIn("another content than rootfs/packages.lock says", said)

    def test_gone(self):
        """A package that nobody has makes the boot test fail: it is no lack of this machine."""
        closed = socket.socket()
        self.addCleanup(closed.close)
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for files, snapshot, says in (({}, None, "has none either"), ({}, nobody, "nothing of it comes from"),
                                      ({f"/archive/debian/{stamp()}/{PATH}": (403, b"")}, None, "the answer is 403"),
                                      ({f"/mirror/debian/{PATH}": (403, b"")}, None, "the answer is 403")):
            got, said = self.build(files, snapshot=snapshot)
            self.assertFalse(got)
            self.assertIn(says, said)
            self.assertIsNone(re.search(suite.LACKING, said), said)
        got, said = self.build({}, mirror=nobody)
        self.assertFalse(got)
        self.assertRegex(said, suite.OFFLINE)
        self.assertRegex(said, suite.LACKING)

    def skip(self, why, **environment):
        done = subprocess.run([sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import suite; suite.skip(sys.argv[2])",
                               f"{ROOT}/tests/image", why], capture_output=True, text=True, timeout=30, env={**os.environ, **environment})
        return done.returncode

    def test_required(self):
        """scripts/test wants the boot; a machine without a network may skip it."""
        offline = "build-image: the mirror http://m does not answer: check the network, or set CVM_MIRROR"
        for why, required in (("swtpm is not installed", 1), ("/x has 3 MiB free, 900 are needed", 1), (offline, 77)):
            self.assertEqual(self.skip(why, CVM_BOOT="required"), required, why)
            self.assertEqual(self.skip(why, CVM_BOOT="optional"), 77, why)


if __name__ == "__main__":
    for tool in ("sgdisk", "mkfs.vfat", "mcopy", "veritysetup", "mkfs.erofs", "jq", "curl", "objcopy", "depmod", "cpio"):
        if not shutil.which(tool):
            print(f"SKIPPED: {tool} is not installed")
            sys.exit(77)
    unittest.main()

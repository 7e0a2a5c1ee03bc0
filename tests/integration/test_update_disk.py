"""cvm-cli update-disk on a disk of our layout: the new workload is there, all else is as it was, an error changes nothing; and
what verify-image and predict say of files that are no image.

usage: test_update_disk.py CVM-CLI"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

CLI = os.path.abspath(sys.argv.pop(1))
MIB = 1 << 20
os.environ["PATH"] += ":/usr/sbin:/sbin"


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class UpdateDisk(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.disk = f"{self.folder}/disk.raw"
        with open(self.disk, "wb") as f:
            f.write(os.urandom(8 * MIB))
            f.truncate(40 * MIB)
        subprocess.run(["sgdisk", "--clear", "-n", "1:1M:+3M", "-c", "1:cvm-esp", "-n", "4:8M:+24M", "-c", "4:cvm-data", self.disk],
                       check=True, stdout=subprocess.DEVNULL)
        self.workload = f"{self.folder}/workload"
        os.makedirs(f"{self.workload}/config/deep")
        for name, text in (("docker-compose.yml", "services:\n  a: {image: r.io/a:1}\n"), ("config/deep/a b.txt", "text\n"), (".env", "A=1\n")):
            with open(f"{self.workload}/{name}", "w") as f:
                f.write(text)

    def cli(self, *arguments):
        return subprocess.run([CLI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, cwd=self.folder)

    def content(self, path):
        with open(self.disk, "rb") as f, open(f"{self.folder}/data", "wb") as out:
            f.seek(8 * MIB)
            out.write(f.read(24 * MIB))
        return subprocess.run(["debugfs", "-R", f'cat "workload/{path}"', f"{self.folder}/data"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True).stdout

    def outside(self):
        with open(self.disk, "rb") as f:
            raw = f.read()
        return hashlib.sha256(raw[:8 * MIB] + raw[32 * MIB:]).hexdigest()

    def test_new_workload(self):
        before = self.outside()
        done = self.cli("update-disk", "disk.raw", "workload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.content("config/deep/a b.txt"), "text\n")
        self.assertEqual(self.content(".env"), "A=1\n")
        self.assertEqual(self.outside(), before)
        first = digest(self.disk)
        self.assertEqual(self.cli("update-disk", "disk.raw", "workload").returncode, 0)
        self.assertEqual(digest(self.disk), first, "the same workload gives other bytes")
        self.assertEqual(self.cli("update-disk", "disk.raw").returncode, 0)
        self.assertEqual(self.content(".env"), "")
        os.unlink(f"{self.workload}/docker-compose.yml")  # settings without services are a workload too
        self.assertEqual(self.cli("update-disk", "disk.raw", "workload").returncode, 0)
        self.assertEqual(self.content(".env"), "A=1\n")
        self.assertEqual(sorted(os.listdir(self.folder)), ["data", "disk.raw", "workload"])

    def refused(self, *arguments, says):
        before = digest(self.disk)
        done = self.cli("update-disk", *arguments)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr.splitlines()[-1], "^cvm-cli: update-disk: .+: .+")
        self.assertIn(says, done.stderr)
        self.assertEqual(digest(self.disk), before)
        self.assertEqual([n for n in os.listdir(self.folder) if n.startswith(".")], [])

    def test_too_large(self):
        with open(f"{self.workload}/config/large", "wb") as f:
            f.write(os.urandom(30 * MIB))
        self.refused("disk.raw", "workload", says="does not fit")

    def test_link(self):
        os.symlink("/etc/passwd", f"{self.workload}/config/passwd")
        self.refused("disk.raw", "workload", says="neither a file nor a folder")

    def test_refused_by_the_agent(self):
        """What policy-lint refuses is put on no disk, by neither command."""
        good = {"docker-compose.yml": "services:\n  a: {image: r.io/a:1}\n"}
        policy = "config/cvm_agent/cvm_agent_policy.json"
        for files, says in (({"docker-compose.yml": "services:\n  a: {image: r.io/a:1, privileged: true}\n"}, "privileged: refused"),
                            ({**good, "stray.txt": "x"}, "stray.txt"), ({**good, "a.tar": "no archive"}, "a.tar"),
                            ({**good, policy: '{"cvm_config":{"nope":1}}'}, "cvm_config.nope"), ({**good, policy: "{"}, "not a policy"),
                            ({}, "docker-compose.yml")):
            shutil.rmtree(self.workload)
            os.mkdir(self.workload)
            for name, text in files.items():
                os.makedirs(os.path.dirname(f"{self.workload}/{name}"), exist_ok=True)
                with open(f"{self.workload}/{name}", "w") as f:
                    f.write(text)
            self.refused("disk.raw", "workload", says=says)
            for name in "x.raw", "x.json", "x.intoto.jsonl":
                with open(f"{self.folder}/{name}", "w") as f:
                    f.write("older\n")
            done = self.cli("build-image", "--no-install", "--test", "--agent", os.path.dirname(os.path.dirname(CLI)), "--workload",
                            "workload", "-o", "x", "--cache", f"{self.folder}/cache")
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertIn(says, done.stderr)
            self.assertRegex(done.stderr.splitlines()[-1], "^cvm-cli: build-image: the agent would refuse the workload .+")
            self.assertEqual(sorted(os.listdir(self.folder)), ["cache", "disk.raw", "workload", "x.intoto.jsonl", "x.json", "x.raw"])
            for name in "x.raw", "x.json", "x.intoto.jsonl":
                with open(f"{self.folder}/{name}") as f:
                    self.assertEqual(f.read(), "older\n")

    def test_link_to_the_disk(self):
        """A link stays one, and the file that it names is the new disk."""
        os.mkdir(f"{self.folder}/store")
        os.rename(self.disk, f"{self.folder}/store/real.raw")
        os.symlink("store/real.raw", self.disk)
        before = digest(self.disk)
        done = self.cli("update-disk", "disk.raw", "workload")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.readlink(self.disk), "store/real.raw")
        self.assertNotEqual(digest(f"{self.folder}/store/real.raw"), before)
        self.assertEqual(self.content(".env"), "A=1\n")
        self.assertEqual(os.listdir(f"{self.folder}/store"), ["real.raw"])

    def test_formats(self):
        """A list that names no disk, or one twice, is refused before anything is made or removed."""
        for name in "x.raw", "x.intoto.jsonl":
            with open(f"{self.folder}/{name}", "w") as f:
                f.write("older\n")
        for formats in (",", "raw,", ",raw", "raw,,qcow2", " ", "raw,raw", "raw qcow2"):
            done = self.cli("build-image", "-o", "x", "--cache", f"{self.folder}/cache", "--format", formats)
            self.assertEqual(done.returncode, 2, (formats, done.stdout + done.stderr))
            self.assertRegex(done.stderr, "^cvm-cli: build-image: --format .+: .+\n$")
        self.assertEqual(sorted(os.listdir(self.folder)), ["disk.raw", "workload", "x.intoto.jsonl", "x.raw"])

    def test_other_layout(self):
        subprocess.run(["sgdisk", "-c", "4:other", self.disk], check=True, stdout=subprocess.DEVNULL)
        self.refused("disk.raw", "workload", says="another layout")

    def test_no_disk(self):
        self.refused("absent.raw", "workload", says="there is no file")
        with open(f"{self.folder}/text", "w") as f:
            f.write("no disk\n")
        self.refused("text", "workload", says="not a raw disk")

    def test_usage(self):
        for arguments in (["update-disk"], ["update-disk", "--nope"], ["update-disk", "a", "b", "c"], ["build-image", "--nope"],
                          ["build-image", "-o"], ["build-image", "x"], ["build-image", "--format", "floppy"]):
            done = self.cli(*arguments)
            self.assertEqual(done.returncode, 2, (arguments, done.stderr))
            self.assertRegex(done.stderr, f"^cvm-cli: {arguments[0]}: .+: .+\n$")
            self.assertEqual(done.stdout, "")
        done = self.cli("build-image", "--workload", "absent")
        self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)

    def test_no_image(self):
        with open(f"{self.folder}/q", "wb") as f:
            f.write(b"QFI\xfb" + bytes(MIB))
        for command in ("verify-image", "predict"):
            for path, says in (("disk.raw", "FAT"), ("q", "qcow2"), ("absent", "cannot open"), ("workload", "not a regular file")):
                done = self.cli(command, path)
                self.assertEqual(done.returncode, 3, (command, path, done.stderr))
                self.assertIn(says, done.stderr)


if __name__ == "__main__":
    for tool in ("sgdisk", "mke2fs", "debugfs", "fallocate"):
        if not shutil.which(tool):
            print(f"SKIPPED: {tool} is not installed")
            sys.exit(77)
    unittest.main()

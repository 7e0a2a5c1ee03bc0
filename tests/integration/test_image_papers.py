"""cvm-cli verify-image, sign-kernel and sign on a small disk of our layout: signatures for Secure Boot and over the papers, good, missing,
damaged, a stranger's; what other tools say of what we sign; and build-image and update-disk from an installed prefix.

usage: test_image_papers.py BUILD-FOLDER TEST-DATA"""
import base64
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD, DATA = (os.path.abspath(p) for p in sys.argv[1:3])
del sys.argv[1:3]
CLI = f"{BUILD}/bin/cvm-cli"
MIB = 1 << 20
TOOLS = ("sgdisk", "mkfs.vfat", "mmd", "mcopy", "veritysetup", "openssl", "sbverify", "debugfs", "mke2fs", "mkfs.erofs", "jq")
os.environ["PATH"] += ":/usr/sbin:/sbin"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tool(*words, **options):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


class Folder(unittest.TestCase):
    """A folder with keys, made once."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name, extra in (("image", ()), ("other", ())):
            tool("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{cls.folder}/{name}.key", "-out",
                 f"{cls.folder}/{name}.pem", "-days", "30", "-subj", f"/CN={name}", *extra)
        tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{cls.folder}/ec.key",
             "-out", f"{cls.folder}/ec.pem", "-days", "30", "-subj", "/CN=ec")
        # a certificate of yesterday, over the image's key
        tool("openssl", "req", "-new", "-key", f"{cls.folder}/image.key", "-subj", "/CN=old", "-out", f"{cls.folder}/old.csr")
        tool("openssl", "x509", "-req", "-in", f"{cls.folder}/old.csr", "-signkey", f"{cls.folder}/image.key", "-days", "-1", "-out",
             f"{cls.folder}/old.pem")
        tool("openssl", "genpkey", "-algorithm", "ED25519", "-out", f"{cls.folder}/ed.key")
        for name in ("ed", "ec", "other"):
            tool("openssl", "pkey", "-in", f"{cls.folder}/{name}.key", "-pubout", "-out", f"{cls.folder}/{name}.pub")

    def cli(self, *words):
        return subprocess.run([CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, cwd=self.folder)

    def checks(self, status, *words):
        done = self.cli("verify-image", "disk.raw", "--json", *words)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["verified"], status == 0)
        return {c["check"]: c for c in answer["checks"]}

    def bad(self, status, *words):
        return {name for name, c in self.checks(status, *words).items() if c["ok"] is False}


def section(program, name):
    """What a section of a PE program holds."""
    header = struct.unpack_from("<I", program, 60)[0]
    count, optional = struct.unpack_from("<6xH12xH", program, header)
    for at in range(header + 24 + optional, header + 24 + optional + 40 * count, 40):
        if program[at:at + 8].rstrip(b"\0") == name:
            size, _, _, offset = struct.unpack_from("<IIII", program, at + 8)
            return program[offset:offset + size]
    raise KeyError(name)


def make_root(folder):
    """A root of eight blocks and its hash tree."""
    write(f"{folder}/root", os.urandom(8 * 4096))
    out = tool("veritysetup", "format", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096", f"--salt={'ab' * 32}",
               f"{folder}/root", f"{folder}/verity", text=True)
    return next(line.split()[-1] for line in out.splitlines() if line.startswith("Root hash:"))


def make_disk(folder, kernel):
    """The layout of build-image, small: data at 39 MiB, a volume at 55."""
    write(f"{folder}/kernel", kernel)
    esp = f"{folder}/esp"
    if os.path.exists(esp):
        os.unlink(esp)
    tool("mkfs.vfat", "-F", "32", "-s", "1", "-C", esp, str(36 * 1024))
    tool("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT")
    tool("mcopy", "-i", esp, f"{folder}/kernel", "::/EFI/BOOT/BOOTX64.EFI")
    disk = f"{folder}/disk.raw"
    write(disk, b"")
    os.truncate(disk, 60 * MIB)
    tool("sgdisk", "--clear", "-n", "1:1M:+36M", "-c", "1:cvm-esp", "-n", "2:0:+1M", "-c", "2:cvm-root", "-n", "3:0:+1M", "-c",
         "3:cvm-verity", "-n", "4:0:+16M", "-c", "4:cvm-data", "-n", "5:0:+2M", "-c", "5:cvm-volume", disk)
    with open(disk, "r+b") as f:
        for at, part in ((1, "esp"), (37, "root"), (38, "verity")):
            f.seek(at * MIB)
            f.write(read(f"{folder}/{part}"))
    return disk


class Papers(Folder):
    def setUp(self):
        root = make_root(self.folder)
        plain = read(f"{DATA}/image/uki.efi")
        at = plain.index(b"cvm.root=") + 9
        write(f"{self.folder}/plain.efi", plain[:at] + root.encode() + plain[at + 64:])
        done = self.cli("sign-kernel", "plain.efi", "image.key", "image.pem", "-o", "signed.efi")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.root = root
        self.publish(read(f"{self.folder}/signed.efi"))

    def tearDown(self):
        for name in os.listdir(self.folder):
            if name.startswith("disk."):
                os.unlink(f"{self.folder}/{name}")

    def publish(self, kernel, key="ed"):
        """A disk with the papers that build-image would write."""
        raw = read(make_disk(self.folder, kernel))
        line = kernel[kernel.index(b"cvm.root="):]
        image = {"cmdline": line[:line.index(b"\0")].decode(), "uki_sha256": sha256(kernel), "initrd_sha256": sha256(section(kernel, b".initrd")),
                 "root": {"hash": self.root}}
        sbom = {"documentNamespace": f"https://spdx.org/spdxdocs/test-{self.root}", "packages": [{"name": "a"}]}
        files = {"json": json.dumps(image).encode(), "spdx.json": json.dumps(sbom).encode()}
        outside = raw[:39 * MIB] + raw[57 * MIB:]
        subjects = {"disk.raw": sha256(raw), "disk.raw without data": sha256(outside), "BOOTX64.EFI": sha256(kernel),
                    "disk.json": sha256(files["json"]), "disk.spdx.json": sha256(files["spdx.json"])}
        self.statement = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1", "predicate": {},
                          "subject": [{"name": n, "digest": {"sha256": h}} for n, h in subjects.items()]}
        files["provenance.json"] = json.dumps(self.statement).encode()
        for suffix, data in files.items():
            write(f"{self.folder}/disk.{suffix}", data)
        self.sign(key)

    def sign(self, key):
        done = self.cli("sign", "disk.provenance.json", f"{key}.key", "-o", "disk.intoto.jsonl")
        self.assertEqual(done.returncode, 0, done.stderr)

    # ---- papers ----

    def test_good(self):
        checks = self.checks(0, "--key", "ed.pub", "--secure-boot-cert", "image.pem")
        self.assertTrue(all(c["ok"] for c in checks.values()), checks)
        done = self.cli("verify-image", "disk.raw")
        self.assertEqual(done.returncode, 0)
        self.assertEqual({line.split()[0] for line in done.stdout.splitlines()}, {"ok", "-"})
        self.assertEqual(len(done.stdout.splitlines()), len(self.checks(0)))

    def test_p256(self):
        self.sign("ec")
        self.assertEqual(self.bad(0, "--key", "ec.pub"), set())
        self.assertIn("papers.signature", self.bad(1, "--key", "ed.pub"))

    def test_missing_paper(self):
        for suffix, check in (("intoto.jsonl", "papers.signature"), ("json", "image.json"), ("spdx.json", "sbom")):
            os.rename(f"{self.folder}/disk.{suffix}", f"{self.folder}/away")
            self.assertEqual(self.bad(0), set())
            self.assertIn(check, self.bad(1, "--key", "ed.pub"))
            os.rename(f"{self.folder}/away", f"{self.folder}/disk.{suffix}")
        self.assertEqual(self.bad(0, "--key", "ed.pub"), set())

    def test_changed_paper(self):
        for suffix, check in (("spdx.json", "provenance.sbom"), ("json", "provenance.image")):
            was = read(f"{self.folder}/disk.{suffix}")
            write(f"{self.folder}/disk.{suffix}", was.replace(b"{", b"{ ", 1))
            self.assertEqual(self.bad(1), {check})
            self.assertEqual(self.bad(1, "--key", "ed.pub"), {check})
            write(f"{self.folder}/disk.{suffix}", was)
        # a provenance that nobody signed, true in itself
        write(f"{self.folder}/disk.provenance.json", json.dumps({**self.statement, "predicate": {"forged": 1}}).encode())
        self.assertEqual(self.bad(0), set())
        self.assertEqual(self.bad(1, "--key", "ed.pub"), {"provenance"})

    def test_changed_signature(self):
        envelope = json.loads(read(f"{self.folder}/disk.intoto.jsonl"))
        forged = {**self.statement, "predicate": {"forged": 1}}
        damaged = [
            {**envelope, "payload": base64.b64encode(json.dumps(forged).encode()).decode()}, {**envelope, "payloadType": "text/plain"},
            {**envelope, "signatures": []}, {**envelope, "signatures": [{"sig": "AAAA"}]}, {}, []]
        for value in damaged:
            write(f"{self.folder}/disk.intoto.jsonl", json.dumps(value).encode())
            self.assertIn("papers.signature", self.bad(1, "--key", "ed.pub"), value)
        for text in (b"", b"\n\n", b"no JSON", read(f"{self.folder}/disk.provenance.json")[:-1]):
            write(f"{self.folder}/disk.intoto.jsonl", text)
            self.assertIn("papers.signature", self.bad(1, "--key", "ed.pub"), text)
        # a stranger's line in front of ours
        write(f"{self.folder}/disk.intoto.jsonl", (json.dumps({**envelope, "signatures": [{"sig": "AAAA"}]}) + "\n").encode()
              + json.dumps(envelope).encode())
        self.assertEqual(self.bad(0, "--key", "ed.pub"), set())

    def test_keys(self):
        for key in ("other.pub", "ed.key", "disk.json"):
            self.assertIn("papers.signature", self.bad(1, "--key", key), key)
        self.assertEqual(self.cli("verify-image", "disk.raw", "--key", "absent").returncode, 3)
        self.assertEqual(self.cli("sign", "disk.provenance.json", "other.key").returncode, 3)
        self.assertEqual(self.cli("verify-signature", "disk.intoto.jsonl", "ed.pub").returncode, 0)
        self.assertEqual(self.cli("verify-signature", "disk.intoto.jsonl", "ec.pub").returncode, 1)

    def test_other_disk(self):
        def change(at):
            with open(f"{self.folder}/disk.raw", "r+b") as f:
                f.seek(at)
                f.write(b"changed")
        for at in (40 * MIB, 56 * MIB):  # the data partition, the volume
            change(at)
            self.assertEqual(self.bad(0), set())
            self.assertEqual(self.bad(1, "--key", "ed.pub"), {"provenance.disk"})
            self.assertEqual(self.bad(0, "--key", "ed.pub", "--other-data"), set())
        change(58 * MIB)  # behind it, in no partition
        self.assertEqual(self.bad(1), {"provenance.disk"})
        self.assertEqual(self.bad(1, "--key", "ed.pub", "--other-data"), {"provenance.disk"})
        change(37 * MIB)
        self.assertIn("disk.root", self.bad(1, "--key", "ed.pub"))

    # ---- what others say of it ----

    def test_others_verify(self):
        envelope = json.loads(read(f"{self.folder}/disk.intoto.jsonl"))
        payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
        self.assertEqual(payload, read(f"{self.folder}/disk.provenance.json"))
        for key, words in (("ed", ("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "ed.pub", "-in", "pae", "-sigfile", "sig")),
                           ("ec", ("dgst", "-sha256", "-verify", "ec.pub", "-signature", "sig", "pae"))):
            self.sign(key)
            envelope = json.loads(read(f"{self.folder}/disk.intoto.jsonl"))
            write(f"{self.folder}/sig", base64.b64decode(envelope["signatures"][0]["sig"]))
            write(f"{self.folder}/pae", b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
            tool("openssl", *words, cwd=self.folder)
            spki = tool("openssl", "pkey", "-pubin", "-in", f"{self.folder}/{key}.pub", "-outform", "DER")
            self.assertEqual(envelope["signatures"][0]["keyid"], sha256(spki))

    def test_sbverify(self):
        done = subprocess.run(["sbverify", "--cert", f"{self.folder}/image.pem", f"{self.folder}/signed.efi"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertIn("Signature verification OK", done.stdout)
        done = subprocess.run(["sbverify", "--cert", f"{self.folder}/other.pem", f"{self.folder}/signed.efi"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertIn("verification failed", done.stdout)

    # ---- Secure Boot ----

    def secure(self, status, cert="image.pem"):
        check = self.checks(status, "--secure-boot-cert", cert)["secure_boot.signature"]
        self.assertEqual(check["ok"], status == 0)
        return check["detail"]

    def test_other_certificate(self):
        self.assertIn("not by this certificate", self.secure(1, "other.pem"))
        self.assertIn("not by this certificate", self.secure(1, "ec.pem"))
        self.assertEqual(self.cli("verify-image", "disk.raw", "--secure-boot-cert", "image.key").returncode, 3)
        self.publish(read(f"{self.folder}/plain.efi"))
        self.assertIn("not signed", self.secure(1))

    def test_expired(self):
        self.assertEqual(self.cli("sign-kernel", "plain.efi", "image.key", "old.pem", "-o", "old.efi").returncode, 0)
        self.publish(read(f"{self.folder}/old.efi"))
        checks = self.checks(0, "--secure-boot-cert", "old.pem")
        self.assertTrue(checks["secure_boot.signature"]["ok"])
        self.assertIsNone(checks["secure_boot.dates"]["ok"])
        self.assertIn("expired", checks["secure_boot.dates"]["detail"])

    def test_two_signatures(self):
        self.assertEqual(self.cli("sign-kernel", "signed.efi", "other.key", "other.pem", "-o", "both.efi").returncode, 0)
        self.publish(read(f"{self.folder}/both.efi"))
        for cert in ("image.pem", "other.pem"):
            self.assertIn("1 of 2", self.secure(0, cert))
        self.assertIn("not by this certificate", self.secure(1, "ec.pem"))

    def test_damaged_table(self):
        kernel = read(f"{self.folder}/signed.efi")
        directory = struct.unpack_from("<I", kernel, 60)[0] + 24 + 144
        at, size = struct.unpack_from("<II", kernel, directory)

        def changed(where, value, data=kernel):
            return data[:where] + struct.pack("<I", value) + data[where + 4:]
        # an entry that is longer than the table, one without room for its header, and a table cut short in itself
        for damaged in (changed(at, size + 8), changed(at, 4), changed(directory + 4, size - 16, kernel[:-16])):
            self.publish(damaged)
            self.secure(1)
            self.assertEqual(self.bad(1), {"secure_boot.signature"})
        # a table past the end of the file: no program at all
        for damaged in (changed(directory + 4, size + 8), changed(directory, at + 8), kernel[:-8]):
            make_disk(self.folder, damaged)
            done = self.cli("verify-image", "disk.raw", "--secure-boot-cert", "image.pem")
            self.assertEqual(done.returncode, 3, done.stdout)
            self.assertIn("not the end of the file", done.stderr)

    def test_sign_kernel_refuses(self):
        for key, cert, says in (("ec.key", "ec.pem", "RSA"), ("image.key", "other.pem", "not the certificate's"),
                                ("image.pem", "image.pem", "private key"), ("image.key", "image.key", "certificate")):
            done = self.cli("sign-kernel", "plain.efi", key, cert, "-o", "never.efi")
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(says, done.stderr)
        self.assertEqual(self.cli("sign-kernel", "disk.json", "image.key", "image.pem", "-o", "never.efi").returncode, 3)
        self.assertEqual(self.cli("sign-kernel", "plain.efi", "image.key", "image.pem").returncode, 2)
        self.assertFalse(os.path.exists(f"{self.folder}/never.efi"))

    # ---- predict ----

    def test_predict_usage(self):
        for words, status in ((("--vars", "disk.json"), 3), (("--pk", "disk.json", "--kek", "disk.json", "--db", "disk.json"), 3),
                              (("--db", "disk.json"), 2), (("--vars", "disk.json", "--db", "disk.json"), 2), (("--vars", "absent"), 3)):
            done = self.cli("predict", "disk.raw", "--no-workload", *words)
            self.assertEqual(done.returncode, status, (words, done.stderr))
        done = self.cli("predict", "--vars", "disk.json", "--shape", "snp", "--firmware", "disk.json")
        self.assertEqual(done.returncode, 2, done.stderr)

    def test_predict_refused(self):
        done = self.cli("predict", "disk.raw", "--no-workload", "--vars", f"{DATA}/image/vars.fd")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("Secure Boot refuses the image", done.stderr)


class Installed(Folder):
    def test_scripts(self):
        prefix = f"{self.folder}/prefix"
        tool("cmake", "--install", BUILD, "--prefix", prefix, "--component", "cli")
        run = [f"{prefix}/bin/cvm-cli"]
        help_text = tool(*run, "build-image", "--help", cwd=self.folder, text=True)
        self.assertIn("--secure-boot-key", help_text)
        os.makedirs(f"{self.folder}/workload")
        write(f"{self.folder}/workload/docker-compose.yml", b"services:\n  a: {image: r.io/a:1}\n")
        make_root(self.folder)
        make_disk(self.folder, read(f"{DATA}/image/uki.efi"))
        before = read(f"{self.folder}/disk.raw")
        tool(*run, "update-disk", "disk.raw", "workload", cwd=self.folder)
        after = read(f"{self.folder}/disk.raw")
        self.assertEqual(before[:39 * MIB], after[:39 * MIB])
        self.assertNotEqual(before[39 * MIB:55 * MIB], after[39 * MIB:55 * MIB])
        # what it says when the agent is not installed, and of wrong usage
        done = subprocess.run([*run, "build-image", "-o", "out/x"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "install the package cvm-agent|no program|needs ")
        for words in (("--secure-boot-key", "image.key"), ("--update-lock",), ("--lock",)):
            done = subprocess.run([*run, "build-image", *words], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 2, (words, done.stderr))

    def test_key_is_tried_first(self):
        for key, says in (("other.key", "P-256 or Ed25519"), ("ed.pub", "private key")):
            done = self.cli("build-image", "--no-install", "--test", "--agent", BUILD, "--sign-key", key, "-o", "built/x")
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertIn(says, done.stderr)
            self.assertEqual(os.listdir(f"{self.folder}/built"), [])


if __name__ == "__main__":
    for name in TOOLS:
        if not shutil.which(name):
            print(f"SKIPPED: {name} is not installed")
            sys.exit(77)
    unittest.main()

"""cvm-cli predict of the launch itself: SEV-SNP's digest and TDX's MRTD, over firmware that the test builds and over
the distribution's OVMF, compared with tests/interop/launch_digest.py. usage: test_launch.py CVM-CLI INTEROP [TESTS]"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

CLI, INTEROP = sys.argv[1:3]
sys.path.insert(0, INTEROP)
import launch_digest  # noqa: E402

OVMF = "/usr/share/ovmf/OVMF.fd"  # of Debian's package ovmf: has both tables
CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"  # has neither
MILAN = 0x00A00F11


class Launch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name, data=None):
        path = os.path.join(self.folder.name, name)
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
        return path

    def run_cli(self, *args, status=0):
        done = subprocess.run([CLI, "predict", *map(str, args)], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def snp(self, firmware, *args, shape="snp"):
        done = self.run_cli("--firmware", firmware, "--shape", shape, "--json", *args)
        return json.loads(done.stdout)["sev_snp"]["measurement"]

    def same(self, image, shape, host, vcpus, kind, signature, features=1):
        row = self.snp(self.path("fw.fd", image), "--vcpus", vcpus, "--vcpu-type", kind, "--guest-features",
                       hex(features), shape=shape)
        self.assertEqual(row["state"], "predicted", row)
        self.assertEqual(row["value"], launch_digest.snp(image, host, vcpus, signature, features), (shape, vcpus))

    def test_the_sample_is_reproducible(self):
        with open(os.path.join(INTEROP, "../data/image/launch.fd"), "rb") as f:
            self.assertEqual(f.read(), launch_digest.make())

    def test_hosts_processors_features(self):
        image = launch_digest.make(pages=5)
        for shape, host in (("snp", "qemu"), ("snp-vtpm", "qemu"), ("aws-snp", "ec2"), ("gcp-snp", "gce")):
            for vcpus in (1, 2, 192):
                self.same(image, shape, host, vcpus, "EPYC-Milan", MILAN)
        self.same(image, "snp", "qemu", 2, "EPYC-Genoa-v1", 0x00A10F10)
        self.same(image, "snp", "qemu", 2, "0x00B00F21", 0x00B00F21)
        self.same(image, "snp", "qemu", 2, "EPYC-v4", 0x00800F12, 0x21)

    def test_direct_boot(self):
        image = launch_digest.make()
        kernel, initrd = self.path("kernel", b"kernel"), self.path("initrd", b"initrd")
        firmware = self.path("fw.fd", image)
        common = ("--vcpus", 1, "--vcpu-type", "EPYC-Milan", "--kernel", kernel)
        for extra, boot in (((), (b"kernel", b"", b"")),
                            (("--initrd", initrd, "--append", "console=ttyS0"), (b"kernel", b"initrd", b"console=ttyS0"))):
            self.assertEqual(self.snp(firmware, *common, *extra)["value"],
                             launch_digest.snp(image, "qemu", 1, MILAN, 1, boot))
        no_room = launch_digest.make(sev=[s for s in launch_digest.SEV_SECTIONS if s[2] != 0x10])
        done = self.run_cli("--firmware", self.path("plain.fd", no_room), *common, status=3)
        self.assertIn("no place for a kernel's hashes", done.stderr)
        self.run_cli("--firmware", firmware, "--vcpus", 1, "--initrd", initrd, status=2)
        self.run_cli("--firmware", firmware, "--shape", "aws-snp", *common, status=2)

    def test_distribution_firmware(self):
        with open(OVMF, "rb") as f:
            image = f.read()
        self.same(image, "snp", "qemu", 4, "EPYC-Milan", MILAN)
        done = self.run_cli("--firmware", OVMF, "--shape", "tdx", "--json")
        row = json.loads(done.stdout)["tdx"]["mr_td"]
        self.assertEqual((row["state"], row["value"]), ("predicted", launch_digest.tdx(image)))

    def test_what_is_not_known_is_said_so(self):
        firmware = self.path("fw.fd", launch_digest.make())
        for args, shape, why in (
                (("--firmware", firmware), "snp", "--vcpus"),
                (("--firmware", firmware, "--vcpus", 1), "snp", "--vcpu-type"),
                (("--firmware", firmware, "--vcpus", 1), "azure-snp", "paravisor"),
                (("--firmware", CODE, "--vcpus", 1, "--vcpu-type", "EPYC"), "snp", "no SEV-SNP metadata"),
                (("--firmware", self.path("odd.fd", launch_digest.make(sev=[(0x800000, 0x1000, 7)]))), "snp", "kind 0x7"),
        ):
            with self.subTest(why=why):
                row = json.loads(self.run_cli(*args, "--shape", shape, "--json").stdout)["sev_snp"]["measurement"]
                self.assertEqual(row["state"], "unknown")
                self.assertNotIn("value", row)
                self.assertIn(why, row["why"])
                out = self.path("not.json")
                self.run_cli(*args, "--shape", shape, "-o", out, status=3)
                self.assertFalse(os.path.exists(out))
        for shape, why in (("gcp-tdx", "endorsement"), ("azure-tdx", "paravisor")):
            done = self.run_cli("--firmware", firmware, "--shape", shape, "--json")
            row = json.loads(done.stdout)["tdx"]["mr_td"]
            self.assertEqual(row["state"], "unknown")
            self.assertIn(why, row["why"])

    def test_golden_measurement(self):
        image = launch_digest.make()
        out, key, signed = self.path("golden.json"), self.path("key.pem"), self.path("signed.json")
        done = self.run_cli("--firmware", self.path("fw.fd", image), "--shape", "aws-snp", "--vcpus", 2, "-o", out)
        self.assertRegex(done.stdout, r"^LAUNCH +predicted +[0-9a-f]{96}  the firmware with 2 processors, as EC2 starts it\n$")
        with open(out, encoding="utf-8") as f:
            inner = json.load(f)["golden_measurement"]
        self.assertEqual(inner, {"version": 1, "platform": {"tee": "sev_snp", "cloud": "aws"},
                                 "sev_snp": {"measurement": launch_digest.snp(image, "ec2", 2, 0, 1)}})
        self.run_cli("--firmware", self.path("fw.fd"), "--shape", "tdx", "-o", out)
        with open(out, encoding="utf-8") as f:
            self.assertEqual(json.load(f)["golden_measurement"]["tdx"], {"mr_td": launch_digest.tdx(image)})
        # Strict reading: sign warns of a golden measurement that no verifier would take.
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True, timeout=60)
        done = subprocess.run([CLI, "sign", out, key, "-o", signed], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stderr, "")

    def test_wrong_usage(self):
        firmware = self.path("fw.fd", launch_digest.make())
        for args in (("--vcpus", "0"), ("--vcpus", "4097"), ("--vcpus", "x"), ("--vcpus", "-1"), ("--vcpu-type", "EPYC-Cologne"),
                     ("--guest-features", "0x20"), ("--guest-features", ""), ("--shape", "none-vtpm"), ("--shape", "snq"),
                     ("--workload", ".")):
            self.run_cli("--firmware", firmware, *args, status=2)
        self.run_cli(status=2)
        self.run_cli("--firmware", self.path("missing.fd"), "--vcpus", 1, status=3)
        damaged = bytearray(launch_digest.make())
        damaged[-0x554] ^= 1
        done = self.run_cli("--firmware", self.path("damaged.fd", damaged), status=3)
        self.assertIn("SEV metadata is damaged", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

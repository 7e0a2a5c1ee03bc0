"""The provenance of a disk says everything that was asked for: each option that the disk follows changes it, and the files and programs that
went in are there by digest. The script's own function is called, over a small disk.

usage: test_provenance.py BUILD-FOLDER"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv.pop(1))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ("cvm-agent", "cvm-agent-priv", "cvm-agent-setup", "cvm-init")
# As scripts/build-image leaves its variables when nothing but the output was named.
DEFAULTS = {"FLAVOUR": "production", "FORMATS": "raw", "DATA_MIB": "64", "VOLUME_MIB": "", "SEAL": "", "ACCEPT_HOST_VTPM": "false",
            "WORKLOAD_ON_VOLUME": "false", "RECOVERY": "", "BOOT_CERT": "", "SIGN_KEY": "", "SOURCE_DATE_EPOCH": "1"}
os.environ["PATH"] += ":/usr/sbin:/sbin"


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Provenance(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("data", "spdx.json", "lock", "recovery.pub", "cert.pem"):
            with open(f"{self.folder}/{name}", "w") as f:
                f.write(name)
        with open(f"{self.folder}/image.json", "w") as f:
            json.dump({"flavour": "production", "disk_sha256": "00" * 32, "uki_sha256": "11" * 32}, f)
        with open(f"{self.folder}/disk.raw", "wb") as f:
            f.truncate(80 << 20)

    def made(self, **options):
        values = {**DEFAULTS, **options, "AGENT": BUILD, "INIT": f"{BUILD}/bin/cvm-init", "VOLUME_PROGRAM": f"{BUILD}/bin/cvm-volume",
                  "LOCK": f"{self.folder}/lock"}
        text = f". scripts/lib.sh; . rootfs/build/common.sh; . rootfs/build/papers.sh; provenance {self.folder}"
        done = subprocess.run(["bash", "-c", text, f"{ROOT}/scripts/build-image"], cwd=ROOT, capture_output=True, text=True, timeout=60,
                              env={**os.environ, **values})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        definition = json.loads(done.stdout)["predicate"]["buildDefinition"]
        used = {d["name"]: d["digest"]["sha256"] for d in definition["resolvedDependencies"] if "name" in d}
        return definition["externalParameters"], used, definition["internalParameters"]["tools"]

    def test_nothing_asked_for(self):
        asked, used, tools = self.made()
        self.assertEqual({k: v for k, v in asked.items() if k != "data_partition_sha256"},
                         {"flavour": "production", "formats": ["raw"], "data_mib": 64, "papers_signed": False, "secure_boot": None,
                          "volume": None, "source_date_epoch": "1"})
        self.assertEqual(asked["data_partition_sha256"], sha256(f"{self.folder}/data"))
        self.assertEqual(used, {"rootfs/packages.lock": sha256(f"{self.folder}/lock"), **{p: sha256(f"{BUILD}/bin/{p}") for p in PROGRAMS}})
        self.assertRegex(tools["compiler"], "GCC|clang")
        self.assertIn("erofs-utils", tools)

    def test_each_option_is_told(self):
        volume = {"VOLUME_MIB": "64", "SEAL": "standard"}
        certificate, recovery = f"{self.folder}/cert.pem", f"{self.folder}/recovery.pub"
        seen = [json.dumps(self.made()[0], sort_keys=True)]
        for options in ({"FLAVOUR": "debug"}, {"FORMATS": "raw,gcp"}, {"DATA_MIB": "65"}, {"SIGN_KEY": "k.pem"}, {"BOOT_CERT": certificate},
                        volume, {**volume, "SEAL": "strong"}, {**volume, "ACCEPT_HOST_VTPM": "true"},
                        {**volume, "WORKLOAD_ON_VOLUME": "true"}, {**volume, "RECOVERY": recovery}, {**volume, "VOLUME_MIB": "65"}):
            asked = json.dumps(self.made(**options)[0], sort_keys=True)
            self.assertNotIn(asked, seen, options)
            self.assertNotIn(self.folder, asked)
            seen.append(asked)
        asked, used, _ = self.made(**volume, RECOVERY=recovery, BOOT_CERT=certificate)
        self.assertEqual(asked["volume"], {"mib": 64, "seal": "standard", "accept_host_vtpm": False, "workload_on_volume": False,
                                           "recovery_sha256": sha256(recovery)})
        self.assertEqual(asked["secure_boot"], {"certificate_sha256": sha256(certificate)})
        self.assertEqual((used["recovery.pub"], used["secure-boot-certificate"], used["cvm-volume"]),
                         (sha256(recovery), sha256(certificate), sha256(f"{BUILD}/bin/cvm-volume")))


if __name__ == "__main__":
    for tool in ("jq", "mkfs.erofs", "veritysetup", "objcopy", "readelf", "sgdisk", "mcopy", "zstd"):
        if not shutil.which(tool):
            print(f"SKIPPED: {tool} is not installed")
            sys.exit(77)
    unittest.main()

"""cvm-cli predict against recorded machines: a register whose value is the firmware's own is predicted for a cloud only if every
recorded machine of that cloud had this value, and PCR 4 only where its events are the ones that are predicted.

usage: test_predict.py BUILD-FOLDER TEST-DATA EVIDENCE"""
import glob
import json
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
EVIDENCE = os.path.abspath(sys.argv.pop(3))
import test_image_papers as papers  # noqa: E402

CLI, DATA = papers.CLI, papers.DATA
OF_FIRMWARE = ("2", "3", "6")  # what no part of the image has a say in
HERE = os.path.isdir(EVIDENCE)


def recorded(*patterns):
    """[(name, {pcr: hex})] of the SHA-256 bank."""
    found = []
    for pattern in patterns:
        for path in sorted(glob.glob(f"{EVIDENCE}/{pattern}")):
            with open(path, encoding="utf-8") as f:
                d = json.load(f)
            pcrs = d["pcrs"] if d.get("alg") == "sha256" else d.get("sha256", {})
            found += [(os.path.relpath(path, EVIDENCE), pcrs)] if pcrs else []
    return found


class Predict(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        root = papers.make_root(cls.folder)
        plain = papers.read(f"{DATA}/image/uki.efi")
        at = plain.index(b"cvm.root=") + 9
        cls.disk = papers.make_disk(cls.folder, plain[:at] + root.encode() + plain[at + 64:])

    def predict(self, shape, *words):
        done = papers.subprocess.run([CLI, "predict", self.disk, "--shape", shape, "--no-workload", "--json", "--all", "-o", f"{self.folder}/golden",
                                      *words], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {str(row["pcr"]): row for row in json.loads(done.stdout)["pcrs"]}
        with open(f"{self.folder}/golden", encoding="utf-8") as f:
            pinned = json.load(f)["golden_measurement"]["tpm"]["pcrs"]
        self.assertEqual(set(pinned), {k for k, row in rows.items() if row["state"] == "predicted"} - {"14", "15"})
        self.assertEqual("PCR 4 is not pinned" in done.stderr, "4" not in pinned, done.stderr)
        return {k: row["value"] for k, row in rows.items() if row["state"] == "predicted"}

    def test_what_is_left_of_unknown_firmware(self):
        for shape in ("snp-vtpm", "tdx-vtpm", "azure-snp", "azure-tdx", "gcp-tdx", "aws-snp"):
            self.assertEqual(set(self.predict(shape)) & set("234567"), set(), shape)
            self.assertLessEqual({"8", "9", "11", "12", "13", "16", "23"}, set(self.predict(shape)), shape)
        self.assertEqual(set(self.predict("gcp-snp")) & set("234567"), set("2346"))

    def compare(self, shape, machines):
        self.assertNotEqual(machines, [], f"{shape}: no recorded machine")
        predicted = self.predict(shape)
        for name, pcrs in machines:
            for pcr in OF_FIRMWARE:
                if pcr in predicted and pcr in pcrs:
                    self.assertEqual(predicted[pcr], pcrs[pcr], f"{name}: PCR {pcr}")
        return predicted

    @unittest.skipUnless(HERE, "no recorded evidence on this machine")
    def test_recorded_azure(self):
        machines = recorded("azure-*/*/pcrs.json")
        predicted = self.compare("azure-snp", machines)
        self.compare("azure-tdx", machines)
        # why they cannot be: the separator, Google's value, is not the one of these machines
        separator = self.predict("gcp-snp")
        self.assertTrue(all(pcrs["6"] != separator["6"] for _, pcrs in machines), "Azure's PCR 6 is predictable now: predict it")
        self.assertTrue(any(pcrs["2"] != separator["2"] for _, pcrs in machines), "Azure's PCR 2 is predictable now: predict it")
        # the one that boots an image like ours, a stub with a kernel and its command line, has the zeros that are predicted
        like_ours = [pcrs for _, pcrs in machines if int(pcrs["11"], 16)]
        self.assertTrue(like_ours and all(pcrs[k] == predicted[k] for pcrs in like_ours for k in ("8", "12", "13")))

    @unittest.skipUnless(HERE, "no recorded evidence on this machine")
    def test_recorded_google(self):
        self.compare("gcp-snp", recorded("eventlog-tpm/gcp-*/expected_pcrs.json", "gcp-snp/*/pcrs.json", "gcp-vtpm/*/pcrs_sha256.json"))

    def events(self, path):
        done = papers.subprocess.run([CLI, "eventlog", path, "--json"], capture_output=True, text=True, timeout=60, check=True)
        return [(e["pcr"], e["type_name"]) for e in json.loads(done.stdout)["events"]]

    @unittest.skipUnless(HERE, "no recorded evidence on this machine")
    def test_recorded_logs_of_google(self):
        logs = [path for folder in ("eventlog-tpm/gcp-*", "gcp-vtpm/*") for path in sorted(glob.glob(f"{EVIDENCE}/{folder}/eventlog.bin"))]
        self.assertNotEqual(logs, [])
        for path in logs:
            of = [kind for pcr, kind in self.events(path) if pcr == 4]
            self.assertEqual(of[:2], ["EV_EFI_ACTION", "EV_SEPARATOR"], path)
            self.assertEqual(set(of[2:]), {"EV_EFI_BOOT_SERVICES_APPLICATION"}, path)
        # TDX: programs and partitions are in PCR 2, and PCR 4 says nothing of them
        tdx = self.events(f"{EVIDENCE}/eventlog-tpm/dstack-vtpm/eventlog.bin")
        self.assertIn((2, "EV_EFI_BOOT_SERVICES_APPLICATION"), tdx)
        self.assertNotIn((4, "EV_EFI_BOOT_SERVICES_APPLICATION"), tdx)


if __name__ == "__main__":
    for tool in papers.TOOLS:
        if not shutil.which(tool):
            print(f"SKIPPED: {tool} is not installed")
            sys.exit(77)
    if not HERE:
        print(f"no recorded evidence in {EVIDENCE}: its tests are skipped")
    unittest.main()

"""Evidence of every type that `inspect` knows, cut and damaged: the message says what is wrong, and where.

usage: test_inspect_damage.py CLI EVIDENCE DATA
"""
import glob
import json
import os
import re
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

CLI, EVIDENCE, DATA = (sys.argv.pop(1) for _ in range(3))
# An offset; a line of JSON; how much there is, where that alone is wrong; which extension of a certificate.
WHERE = re.compile(r"offset \d+|line \d+|\b\d+ bytes|not \d+$|entry \d+ at \d+|extension 1\.3\.6\.1\.[\d.]+")


def inspect(data, kind=None):
    done = subprocess.run([CLI, "inspect", "-", *(["--type", kind] if kind else [])], input=data, capture_output=True, timeout=20)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def find_samples():
    """The smallest file of each type."""
    found = {}
    paths = [p for folder in (EVIDENCE, DATA) for p in glob.glob(folder + "/**/*", recursive=True)]
    paths = sorted((os.path.getsize(p), p) for p in paths if os.path.isfile(p) and 0 < os.path.getsize(p) < 200000)
    for _, path in paths:
        with open(path, "rb") as f:
            data = f.read()
        status, out, _ = inspect(data)
        if status == 0:
            found.setdefault(json.loads(out)["type"], data)
    return found


class Damage(unittest.TestCase):
    def test_every_type(self):
        samples = find_samples()
        text = subprocess.run([CLI, "help", "inspect"], capture_output=True, text=True, check=True).stdout
        types = set(re.search(r"Types: ([\w,\s]*)\.", text)[1].replace(",", " ").split())
        self.assertEqual(types, set(samples))
        with ThreadPoolExecutor(3) as pool:
            for kind, data in sorted(samples.items()):
                n = len(data)
                bad = [data[:n * i // 24] for i in range(24)] + [data[:-1], data + b"Z" * 3]
                bad += [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:] for at in {0, 1, 2, 4, 5, 8, n // 3, n // 2, n - 1}]
                refused = 0
                for status, _, why in pool.map(lambda b, k=kind: inspect(b, k), bad):
                    if status == 0:
                        continue
                    refused += 1
                    self.assertEqual(status, 3, (kind, why))
                    self.assertRegex(why, rf"^cvm-cli: -: {kind}: [^\n]+\n$")
                    self.assertRegex(why, WHERE, kind)
                self.assertGreater(refused, 0, kind)


if __name__ == "__main__":
    if not os.path.isdir(EVIDENCE):
        print("SKIPPED: no recorded evidence in " + EVIDENCE)
        sys.exit(77)
    unittest.main()

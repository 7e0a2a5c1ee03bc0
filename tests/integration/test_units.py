"""How exposed the units are, as systemd itself judges them: usage: test_units.py UNITS_DIR"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

UNITS = sys.argv[1]
# Tenths. The helper cannot be confined as a unit: the container engine descends from it.
MOST = {"cvm-agent.service": 20, "cvm-agent-setup.service": 20}


def judge(path, most):
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={most}", path],
                          capture_output=True, text=True)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return done.returncode, float(found.group(1))


def main():
    if not shutil.which("systemd-analyze") or "--offline" not in subprocess.run(
            ["systemd-analyze", "--help"], capture_output=True, text=True).stdout:
        print("SKIPPED: there is no systemd-analyze with --offline (systemd 250)")
        sys.exit(77)
    for name, most in MOST.items():
        status, exposure = judge(os.path.join(UNITS, name), most)
        assert status == 0 and exposure <= most / 10, f"{name}: exposure {exposure}, at most {most / 10} is wanted"
        print(f"{name}: exposure {exposure} of at most {most / 10}")
    # A unit without its filter is over the limit: the limit means something.
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(UNITS, "cvm-agent.service")) as f:
        path = os.path.join(folder, "cvm-agent.service")
        with open(path, "w") as out:
            out.write("".join(line for line in f if not line.startswith(("SystemCall", "User="))))
        assert judge(path, 20)[0] != 0


main()

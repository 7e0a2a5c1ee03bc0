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
    workload_target()


def workload_target():
    """systemd reads it, and the file that the agent makes is the one that it is started by."""
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(UNITS):
            if name.endswith((".service", ".socket", ".path", ".target")):
                with open(os.path.join(UNITS, name)) as f, open(os.path.join(folder, name), "w") as out:
                    out.write(re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", f.read()))
        done = subprocess.run(["systemd-analyze", "--man=no", "verify", *(os.path.join(folder, f"cvm-workload.{kind}") for kind in ("path", "target"))],
                              capture_output=True, text=True, env={**os.environ, "SYSTEMD_UNIT_PATH": folder + ":"})
        assert done.returncode == 0 and "cvm-" not in done.stderr, done.stderr
    with open(os.path.join(UNITS, "cvm-workload.path")) as f:
        path = re.search(r"(?m)^PathExists=/run/(\S+)/(\S+)$", f.read())
    with open(os.path.join(UNITS, "cvm-agent.service")) as f:
        assert f"\nRuntimeDirectory={path.group(1)}\n" in f.read()
    with open(os.path.join(UNITS, "../agent/workload_told.h")) as f:
        assert f'"{path.group(2)}"' in f.read()


main()

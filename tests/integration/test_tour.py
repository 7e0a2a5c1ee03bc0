"""The README's tour of a workload, as it is printed there: every command behind "$ " below <!-- tour --> is run in one
shell, and its output compared. usage: test_tour.py BIN_DIR"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_machine  # noqa: E402

private_machine.enter("nft", "podman", "iptables", "runc", "jq", "curl")

BIN = os.path.abspath(sys.argv[1])
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIGEST = re.compile(r"[0-9a-f]{64}")


def steps():
    """Pairs of a command and the lines that the README shows after it."""
    with open(os.path.join(ROOT, "README.md")) as f:
        blocks = re.findall(r"<!-- tour -->\n```\n(.*?)```", f.read(), re.S)
    found = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def same(shown, got):
    """Digests may differ (they depend on this machine's busybox), but equal ones stay equal; "…" ends the comparison."""
    names = {}
    for want, have in zip(shown + [None] * len(got), got + [None] * len(shown)):
        if want == "…":
            return True
        if want is None and have is None:
            return True
        if want is None or have is None or DIGEST.sub("#", want) != DIGEST.sub("#", have):
            return False
        for a, b in zip(DIGEST.findall(want), DIGEST.findall(have)):
            if names.setdefault(a, b) != b:
                return False
    return True


class Shell:
    """One bash for all commands; its standard error is for people."""

    def __init__(self, folder):
        self.process = subprocess.Popen(["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, command):
        self.process.stdin.write(command + "\necho; echo end-of-step\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "end-of-step\n":
                break
            lines.append(line.rstrip("\n"))
        while lines and not lines[-1]:
            lines.pop()
        return lines


def start(folder, log):
    agent = subprocess.Popen([os.path.join(BIN, "cvm-agent"), "--emulate", "gcp-snp", "--state", "build/run/gcp-snp",
                              "--workload", "build/example/workload"], cwd=folder, stderr=open(log, "w"))
    until = time.monotonic() + 60
    while time.monotonic() < until and agent.poll() is None:
        with open(log) as f:
            text = f.read()
        if '"state":"running"' in text or '"event":"workload","error"' in text:
            return agent, text
        time.sleep(0.1)
    agent.terminate()
    with open(log) as f:
        raise SystemExit("the workload does not run:\n" + f.read())


def main():
    folder = tempfile.mkdtemp(dir="/run")
    for name in "build/release", "build/run/gcp-snp":
        os.makedirs(os.path.join(folder, name))
    os.symlink(BIN, os.path.join(folder, "build/release/bin"))
    subprocess.run([os.path.join(ROOT, "scripts/example-workload"), os.path.join(folder, "build/example")], check=True)
    agent, text = start(folder, os.path.join(folder, "log"))
    bad = 0
    try:
        assert '"state":"measured"' in text, text
        shell = Shell(folder)
        seen = {}
        for command, shown in steps():
            got = shell.run(command)
            # a digest of the README stands for one of this machine, throughout
            pairs = list(zip(DIGEST.findall("\n".join(shown)), DIGEST.findall("\n".join(got))))
            fine = same(shown, got) and all(seen.setdefault(a, b) == b for a, b in pairs)
            print(("ok   " if fine else "FAIL ") + command)
            if not fine:
                bad += 1
                print("  shown: " + "\n         ".join(shown) + "\n  got:   " + "\n         ".join(got))
        agent.terminate()
        agent.wait(10)
        with open(os.path.join(folder, "build/example/workload/config/greeting"), "w") as f:
            f.write("evil\n")
        agent, text = start(folder, os.path.join(folder, "log2"))
        fine = "measured in this boot already" in text and '"kept":"2"' in text
        got = shell.run("curl -s http://127.0.0.1:7999/measurements | jq -r '.verdict, .registers[\"23\"].sha256.value'")
        fine = fine and got[0] == "agrees" and got[1] in seen.values()
        print(("ok   " if fine else "FAIL ") + "started again")
        bad += not fine
    finally:
        for found in os.listdir("/run"):
            socket = f"/run/{found}/workload/engine/engine.sock"
            if os.path.exists(socket):
                ids = subprocess.run(f"curl -s --unix-socket {socket} 'http://d/v4.0.0/libpod/containers/json?all=true' | jq -r '.[].Id'",
                                     shell=True, capture_output=True, text=True).stdout.split()
                for one in ids:
                    subprocess.run(["curl", "-s", "-o", "/dev/null", "-X", "DELETE", "--unix-socket", socket,
                                    f"http://d/v4.0.0/libpod/containers/{one}?force=true&timeout=0"])
        agent.terminate()
        agent.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bad else 0)


main()

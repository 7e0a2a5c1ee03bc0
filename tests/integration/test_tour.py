"""The README's tour of a workload, as it is printed there: every command behind "$ " below <!-- tour --> is run in one
shell, and its output compared. usage: test_tour.py BIN_DIR"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_machine  # noqa: E402
from agent_under_test import give_to_agent  # noqa: E402
from printed_steps import Comparison, Shell, steps  # noqa: E402

private_machine.enter("nft", "podman", "iptables", "runc", "jq", "curl")

BIN = os.path.abspath(sys.argv[1])
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
    give_to_agent([folder])
    agent, text = start(folder, os.path.join(folder, "log"))
    bad = 0
    try:
        assert '"state":"measured"' in text, text
        shell = Shell(folder)
        comparison = Comparison()
        for command, shown in steps(os.path.join(ROOT, "README.md"), "tour"):
            got = shell.run(command)
            fine = comparison.same(shown, got)
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
        fine = fine and got[0] == "agrees" and got[1] in comparison.names.values()
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

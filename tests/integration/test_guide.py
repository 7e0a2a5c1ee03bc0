"""A page of docs/guide, as it is printed: its commands are run on an emulated machine, and what they answer is
compared. usage: test_guide.py BIN_DIR PAGE [--print]   (--print shows what a page would have to say)"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402
from printed_steps import Comparison, Shell, steps  # noqa: E402

BIN, PAGE = os.path.abspath(sys.argv[1]), sys.argv[2]


def main():
    listed = steps(PAGE, "run")
    if len(listed) < 8:
        sys.exit(f"FAIL {PAGE} has {len(listed)} commands")
    for tool in "jq", "curl", "openssl":
        if subprocess.run(["which", tool], capture_output=True).returncode:
            print(f"SKIPPED: there is no {tool}")
            sys.exit(77)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="cvm-guide-") as folder, \
            Agent(os.path.join(BIN, "cvm-agent"), os.path.join(folder, "state"), ["--emulate", "gcp-snp"]) as agent:
        work = os.path.join(folder, "work")
        os.mkdir(work)
        roots = os.path.join(folder, "state/emulator/roots.pem")
        env = dict(os.environ, PATH=BIN + ":" + os.environ["PATH"], ROOTS=roots, HOME=folder,
                   AGENT=f"http://127.0.0.1:{agent.internal}",
                   OUTSIDE=f"https://127.0.0.1:{agent.external}")
        shell, comparison = Shell(work, env), Comparison()
        for command, shown in listed:
            got = shell.run(command)
            if "--print" in sys.argv:
                print("\n".join(["$ " + command] + got))
                continue
            fine = comparison.same(shown, got)
            print(("ok   " if fine else "FAIL ") + command)
            if not fine:
                bad += 1
                print("  shown: " + "\n         ".join(shown) + "\n  got:   " + "\n         ".join(got))
        shell.close()
    sys.exit(1 if bad else 0)


main()

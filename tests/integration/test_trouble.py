#!/usr/bin/python3
"""The real agent against a real TPM that misbehaves: a swtpm that dies, comes back, and hangs.

usage: test_trouble.py PROGRAM
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, give_to_agent  # noqa: E402


def expect(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAIL {what} {detail}")
    print(f"ok   {what}")


class Swtpm:
    def __init__(self, folder):
        self.folder, self.path, self.process = folder, os.path.join(folder, "tpm.sock"), None

    def start(self):
        for name in ("tpm.sock", "tpm.sock.ctrl"):
            if os.path.exists(os.path.join(self.folder, name)):
                os.unlink(os.path.join(self.folder, name))
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--server", f"type=unixio,path={self.path}",
             "--ctrl", f"type=unixio,path={self.path}.ctrl", "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.path + ".ctrl")
                give_to_agent([self.path])
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("FAIL swtpm did not start")

    def signal(self, sig):
        self.process.send_signal(sig)
        if sig == signal.SIGKILL:
            self.process.wait()


def ask_in_vain(agent):
    try:
        agent.request("internal", "GET", "/collaterals/4")
    except OSError:
        pass


def check_starts(program, folder):
    """A start that fails says why and whose fault it is: 2 a shape that there is not, 4 a place that cannot be written."""
    free = ["--internal", "127.0.0.1:0", "--external", "127.0.0.1:0", "--socket", os.path.join(folder, "s")]
    for args, want, word in ((["--emulate", "vax", "--state", folder], 2, "vax"),
                             (["--emulate", "snp", "--state", "/proc/x"], 4, "/proc/x/emulator"),
                             (["--emulate", "snp-vtpm", "--state", "/proc/x"], 4, "/proc/x/emulator")):
        done = subprocess.run([program, *free, *args], capture_output=True, text=True, timeout=20)
        last = (done.stderr.splitlines() or [""])[-1]
        expect(f"start {args}: exit {want}", done.returncode == want and last.startswith("cvm-agent: start: ") and word in last,
               (done.returncode, done.stderr))


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="cvm-trouble-") as folder:
        check_starts(program, folder)
    if not shutil.which("swtpm"):
        print("SKIPPED: swtpm is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="cvm-trouble-") as folder:
        tpm = Swtpm(folder)
        tpm.start()
        try:
            with Agent(program, os.path.join(folder, "state"), ["--tcti", f"swtpm:path={tpm.path}"]) as agent:
                platform = agent.get("/platform")
                expect("a TPM without TEE", platform["tee_type"] == 0 and platform["tpm"] == "external", platform)
                doc = agent.get("/collaterals/1")
                expect("evidence of the TPM alone", "tpm" in doc and "sev_snp" not in doc and "tee" in doc["missing"])
                tpm.signal(signal.SIGKILL)
                begun = time.monotonic()
                status, _, body = agent.request("internal", "GET", "/collaterals/2")
                expect("TPM gone: 503 soon", status == 503 and time.monotonic() - begun < 5, (status, body))
                expect("the sentence says so", "error" in json.loads(body), body)
                status, _, _ = agent.request("internal", "GET", "/healthz")
                expect("the daemon lives on", status == 200)
                tpm.start()
                for _ in range(20):
                    status, _, body = agent.request("internal", "GET", "/collaterals/3")
                    if status == 200:
                        break
                    time.sleep(0.1)
                expect("TPM back: evidence again", status == 200, body)
                tpm.signal(signal.SIGSTOP)
                threading.Thread(target=ask_in_vain, args=(agent,), daemon=True).start()
                time.sleep(0.3)
                begun = time.monotonic()
                status, _, _ = agent.request("internal", "GET", "/healthz")
                expect("healthz while the TPM hangs", status == 200 and time.monotonic() - begun < 0.1)
                status, seconds = agent.stop()
                expect(f"SIGTERM while the TPM hangs: exit 0 within 2 s ({seconds:.2f} s)", status == 0 and seconds < 2.1)
        finally:
            tpm.signal(signal.SIGCONT)
            tpm.signal(signal.SIGKILL)
    print("passed")


if __name__ == "__main__":
    main()

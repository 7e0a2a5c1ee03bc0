"""A workload on the disk."""
import json
import subprocess

import vm
from suite import BOOT_SECONDS, NONCE, ROOT, collaterals, compare, get


def case_workload(s):
    """a workload on the disk runs, and PCR 23 and 15 are as predicted"""
    subprocess.run([f"{ROOT}/scripts/example-workload", f"{s.work}/example"], check=True, stdout=subprocess.DEVNULL)
    folder = f"{s.work}/example/workload"
    disk = s.make("workload", "--workload", folder)
    done = s.run("predict", disk, "--firmware", vm.CODE, "--workload", folder, "--json", "--all", "-o", f"{s.work}/workload.json")
    assert done.returncode == 0, done.stderr
    predicted = {str(row["pcr"]): row for row in json.loads(done.stdout)["pcrs"]}
    with s.machine(disk) as m:
        collaterals(m)
        m.wait(lambda: any(e["type"] == "ready" for e in get(m, f"/collaterals/{NONCE}")["workload_log"]), BOOT_SECONDS,
               "the workload is measured")
        m.wait(lambda: '"state":"running"' in m.said() or "state=running" in m.said(), BOOT_SECONDS, "the workload runs")
        m.wait(lambda: "Reached target cvm-workload.target" in m.said(), BOOT_SECONDS, "systemd reaches cvm-workload.target")
        compare(predicted, get(m, f"/collaterals/{NONCE}"))

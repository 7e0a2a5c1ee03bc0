"""Other contents than those that a golden measurement was made of: they boot, and verification names the register that tells."""
import json
import os

import vm
from cases_attack import weak
from suite import BOOT_SECONDS, NONCE, collaterals, failures, get, judge, partition, quoted, read, reader, token_of


def load(path):
    with open(path) as f:
        return json.load(f)


def named(s, document, golden, registers):
    """Exactly these PCRs differ; a golden measurement that pins one of them alone fails and names it."""
    pinned = golden["golden_measurement"]["tpm"]["pcrs"]
    have = quoted(document)
    assert {k for k, value in pinned.items() if have[k] != value} == set(registers), (pinned, have)
    status, checks = judge(s, document, golden)
    assert status == 1 and "golden.pcrs" in failures(checks), failures(checks)
    for pcr in registers:
        inner = {**golden["golden_measurement"], "tpm": {**golden["golden_measurement"]["tpm"], "pcrs": {pcr: pinned[pcr]}}}
        status, checks = judge(s, document, {"golden_measurement": inner})
        detail = failures(checks).get("golden.pcrs", "")
        assert status == 1 and f"PCR {pcr} " in detail, (pcr, failures(checks))
        print(f"  {detail[:150]}", flush=True)


def case_other_root(s):
    """another root, with its hash on the command line: PCR 4, 5 (identifiers of partitions), 9 and 11 are named"""
    s.predict(s.disk)
    golden, disk = load(f"{s.work}/golden.json"), weak(s)
    assert load(f"{s.work}/weak.json")["root"]["hash"] != load(f"{s.work}/test.json")["root"]["hash"]
    with s.machine(disk) as m:
        named(s, collaterals(m), golden, ("4", "5", "9", "11"))


def change_kernel(disk):
    """One letter of the version text in the kernel, which nothing reads at boot."""
    start, end = partition(disk, 1)
    with open(disk, "r+b") as f:
        f.seek(start)
        esp = f.read(end - start)
        at = esp.index(b"debian-kernel@")
        f.seek(start + at)
        f.write(b"D")


def with_workload(s, name, greeting):
    """A disk whose service says what is in its file; the golden measurement of that."""
    folder = reader(s, name, "while :; do $$b cat /srv/greeting; $$b sleep 1; done", '    volumes: ["./config/greeting:/srv/greeting:ro"]\n')
    with open(f"{folder}/config/greeting", "w") as f:
        f.write(greeting)
    disk = s.make(name, "--workload", folder)
    done = s.run("predict", disk, "--firmware", vm.CODE, "--workload", folder, "-o", f"{s.work}/{name}-golden.json")
    assert done.returncode == 0, done.stderr
    return folder, disk, load(f"{s.work}/{name}-golden.json")


def measured(m):
    collaterals(m)
    m.wait(lambda: any(e["type"] == "ready" for e in get(m, f"/collaterals/{NONCE}")["workload_log"]), BOOT_SECONDS, "the workload is measured")
    return get(m, f"/collaterals/{NONCE}")


def case_other_kernel(s):
    """another kernel under the same command line and another workload: PCR 4, 11 and 23 are named"""
    folder, disk, golden = with_workload(s, "kernel", "as it was measured\n")
    change_kernel(disk)
    with open(f"{folder}/config/greeting", "w") as f:
        f.write("as it was changed\n")
    done = s.run("update-disk", disk, folder)
    assert done.returncode == 0, done.stderr
    with s.machine(disk) as m:
        document = measured(m)
        named(s, document, golden, ("4", "11", "23"))
        assert "golden.workload" in failures(judge(s, document, golden)[1])


def case_changed_on_disk(s):
    """a file that the host changes on the disk of a running machine: the service sees what was measured; the next boot measures the change"""
    before, after = "words-that-were-measured\n", "words-from-the-host-now!\n"
    _, disk, golden = with_workload(s, "late", before)
    assert len(before) == len(after)
    with s.boot_again("late-machine", disk) as m:
        document = measured(m)
        assert judge(s, document, golden)[0] == 0, failures(judge(s, document, golden)[1])
        token = token_of(m)
        m.wait(lambda: before in read(m, token, 5), BOOT_SECONDS, "the service shows its file")
        start, end = partition(disk, 4)
        with open(disk, "r+b") as f:
            f.seek(start)
            data = f.read(end - start)
            assert data.count(before.encode()) == 1
            f.seek(start + data.index(before.encode()))
            f.write(after.encode())
            os.fsync(f.fileno())
        seen = set()

        def enough():
            seen.update(read(m, token, 3).splitlines())
            return len(enough.calls) > 4 or enough.calls.append(1)
        enough.calls = []
        m.wait(enough, 60, "the service goes on")
        assert seen == {before.strip()}, seen
        assert quoted(get(m, f"/collaterals/{NONCE}"))["23"] == quoted(document)["23"]
    with s.boot_again("late-machine", disk) as m:
        named(s, measured(m), golden, ("23",))
        token = token_of(m)
        m.wait(lambda: after.strip() in read(m, token, 5), BOOT_SECONDS, "the service shows the changed file")

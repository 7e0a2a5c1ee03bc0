"""An update inside a booted image, whose data partition is mounted read-only: it survives a reboot and power cuts."""
import http.client
import io
import json
import os
import random
import shutil
import ssl
import subprocess
import threading
import time
import urllib.request
import zipfile

import power_cut
from suite import BOOT_SECONDS, NONCE, ROOT, collaterals, get, partition, quoted

BOUNDARY = "----update"
FILL = 6 << 20  # so that storing it takes a while
CUTS = {"while the new tree is written": 1, "when it is written, and measured": 2, "when it takes the old one's place": 3}


class Update:
    """A workload in the form that a publisher has, and the machine that runs it."""

    def __init__(self, s, name):
        subprocess.run([f"{ROOT}/scripts/example-workload", f"{s.work}/{name}"], check=True, stdout=subprocess.DEVNULL)
        self.s, self.name, self.folder, self.token = s, name, f"{s.work}/{name}/workload", None
        self.change("hello\n")
        self.disk = s.make(name, "--workload", self.folder)

    def change(self, greeting):
        """The next version: one service is another one, and there is much to be written."""
        with open(f"{self.folder}/config/greeting", "w") as f:
            f.write(greeting)
        with open(f"{self.folder}/config/fill", "wb") as f:
            f.write(random.Random(greeting).randbytes(FILL))
        self.measured = self.measure()

    def measure(self):
        return json.loads(self.s.run("measure", "--json", self.folder).stdout)["banks"]["sha256"]["23"]

    def boot(self, **options):
        """A machine with the workload running, and its PCR 23."""
        m = self.s.boot_again(f"{self.name}-machine", self.disk, **options)
        try:
            collaterals(m)
            m.wait(lambda: '"state":"running"' in m.said() or "state=running" in m.said(), BOOT_SECONDS, "the workload runs")
            context = ssl._create_unverified_context()
            with urllib.request.urlopen(f"https://127.0.0.1:{m.port}/api-token", timeout=10, context=context) as answer:
                self.token = answer.read().decode()
            return m, self.runs(m)
        except BaseException:
            m.close()
            raise

    def runs(self, m):
        document = get(m, f"/collaterals/{NONCE}")
        return quoted(document)["23"]

    def post(self, m):
        """status, answer"""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
            for path, _, names in os.walk(self.folder):
                for name in sorted(names):
                    whole = os.path.join(path, name)
                    z.write(whole, "workload/" + os.path.relpath(whole, self.folder))
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="w.zip"\r\n\r\n'
        c = http.client.HTTPSConnection("127.0.0.1", m.port, timeout=300, context=ssl._create_unverified_context())
        c.request("POST", "/update-workload", head.encode() + out.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode(),
                  {"Authorization": f"Bearer {self.token}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        answer = c.getresponse()
        return answer.status, json.loads(answer.read())


def tree(folder):
    out = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as f:
                out[os.path.relpath(os.path.join(path, name), folder)] = f.read()
    return out


def case_update(s):
    """an update inside is stored on the read-only partition, runs, and is measured anew after a reboot"""
    u = Update(s, "update")
    before = u.measured
    m, runs = u.boot()
    with m:
        assert runs == before, (runs, before)
        u.change("good day\n")
        start = time.monotonic()
        status, body = u.post(m)
        print(f"  updated in {time.monotonic() - start:.1f} s: {status}", flush=True)
        assert status == 200, (body, m.said()[-3000:])
        assert body["services"]["changed"] == ["greeter"] and body["services"]["unchanged"] == ["clock"], body["services"]
        assert body["pcrs"]["sha256"]["23"] == u.measured == u.runs(m), body
    m, runs = u.boot()
    with m:
        assert runs == u.measured != before, (runs, u.measured)
        log = get(m, f"/collaterals/{NONCE}")["workload_log"]
        assert [e["type"] for e in log].count("ready") == 1 and "update" not in [e["type"] for e in log], log
        print("  after a reboot PCR 23 is that of the new workload, measured once", flush=True)
        u.change("once more\n")
        status, body = u.post(m)
        assert status == 200, body


class Cut(threading.Thread):
    """Cuts the power when the disk is written to, at the beginning of one of the phases of an update. A phase begins with a
    write after a time without any: the tree is written, then measured and started, then it takes the old one's place."""
    QUIET = 1.0

    def __init__(self, m, disk, when, delay):
        super().__init__()
        self.m, self.disk, self.when, self.delay, self.at = m, disk, when, delay, None

    def changed(self):
        return os.stat(self.disk).st_mtime_ns

    def run(self):
        seen, last, phase = self.changed(), 0.0, 0
        end = time.monotonic() + 300
        while time.monotonic() < end and not self.m.off():
            now = self.changed()
            if now != seen:
                phase += time.monotonic() - last > self.QUIET
                seen, last = now, time.monotonic()
            between = self.when == 2 and phase == 1 and time.monotonic() - last > self.QUIET
            if between or (self.when != 2 and phase == (self.when + 1) // 2):
                break
            time.sleep(0.002)
        time.sleep(self.delay)
        self.at = phase
        self.m.cut_power()


def case_power_cut(s):
    """the power is cut in the middle of an update, three times: the old workload or the new one is there, whole"""
    u = Update(s, "cut")
    m, runs = u.boot()
    old = u.measured
    assert runs == old
    for n, (what, when) in enumerate(CUTS.items()):
        u.change(f"version {n}\n")
        cut = Cut(m, u.disk, when, 0.3 if when == 1 else 0)
        cut.start()
        try:
            answer = u.post(m)
        except (OSError, http.client.HTTPException):
            answer = None
        cut.join()
        m, runs = u.boot()
        said = "new" if runs == u.measured else "old"
        print(f"  cut {what}: {'answered ' + str(answer[0]) if answer else 'no answer'}; after the boot the {said} workload", flush=True)
        assert runs in (old, u.measured), (runs, old, u.measured)
        assert answer is None or answer[0] != 200 or runs == u.measured, answer
        old = runs
    u.change("the last one\n")
    with m:
        status, body = u.post(m)
        assert status == 200 and body["pcrs"]["sha256"]["23"] == u.measured, body


def case_every_power_cut(s):
    """every state that a power cut may leave during an update, with writes lost, torn and reordered, holds the old or the new tree"""
    u = Update(s, "every")
    old, base, log = tree(u.folder), f"{s.work}/every-base.raw", f"{s.work}/every.log"
    m, runs = u.boot()
    m.close()
    shutil.copyfile(u.disk, base)
    m, runs = u.boot(writes=log)
    with m:
        u.change("every cut\n")
        status, body = u.post(m)
        assert status == 200, body
        time.sleep(2)
        m.cut_power()
    new = tree(u.folder)
    counts, batches, chance = {"old": 0, "new": 0}, power_cut.read(log), random.Random(1)
    start, end = partition(base, 4)
    folder = f"{s.work}/every-check"
    os.makedirs(folder)
    seen = []
    with open(base, "r+b") as f:
        for number, batch in enumerate(batches):
            assert all(start <= w.offset and w.offset + len(w.data) <= end for w in batch), "a write outside of the data partition"
            for part in power_cut.survivors(batch, chance, 3):
                seen.append(judge(f, part, start, end, folder, old, new, number))
                counts[seen[-1]] += 1
            power_cut.apply(f, batch)
            f.flush()
    assert seen[0] == "old" and seen[-1] == "new" and min(counts.values()) > 0, counts
    writes = sum(len(b) for b in batches)
    print(f"  {len(batches)} flushes, {writes} writes: {counts['old']} states hold the old tree, {counts['new']} the new one", flush=True)


def judge(f, part, start, end, folder, old, new, number):
    """"old" or "new": what is there after the journal was replayed."""
    data, out = f"{folder}/data", f"{folder}/out"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    with open(data, "wb") as image:
        f.seek(start)
        image.write(f.read(end - start))
        power_cut.apply(image, [power_cut.Write(w.offset - start, w.data) for w in part])
    done = subprocess.run(["e2fsck", "-fy", data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
    assert done.returncode < 4, done.stdout
    subprocess.run(["/sbin/debugfs", "-R", f"rdump /workload {out}", data], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = tree(f"{out}/workload")
    assert found in (old, new), f"after flush {number}: neither the old tree nor the new one, but {sorted(found)}"
    return "old" if found == old else "new"

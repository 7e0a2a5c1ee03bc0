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
TRIES = 3       # a container engine in software emulation may be too slow for the agent's patience
COMPOSE = """services:
  greeter:
    image: localhost/greeter:1
    command: ["/bin/busybox", "sh", "-c", "/bin/busybox cat /srv/greeting; exec /bin/busybox sleep 1000000"]
    stop_grace_period: 0s
    volumes: ["./config/greeting:/srv/greeting:ro"]
"""


class Publisher:
    """A workload of one service, a disk with it, and the machine of that disk."""

    def __init__(self, s, name):
        subprocess.run([f"{ROOT}/scripts/example-workload", f"{s.work}/{name}"], check=True, stdout=subprocess.DEVNULL)
        self.s, self.name, self.folder, self.token = s, name, f"{s.work}/{name}/workload", None
        os.unlink(f"{self.folder}/clock.tar")
        with open(f"{self.folder}/docker-compose.yml", "w") as f:
            f.write(COMPOSE)
        with open(f"{self.folder}/config/cvm_agent/cvm_agent_policy.json", "w") as f:
            json.dump({"workload_config": {"services": {"allow_update": ["greeter"]}}}, f)
        self.change("hello\n")
        self.disk = s.make(name, "--workload", self.folder)

    def change(self, greeting):
        """The next version: another greeting, and much to be written."""
        with open(f"{self.folder}/config/greeting", "w") as f:
            f.write(greeting)
        with open(f"{self.folder}/config/fill", "wb") as f:
            f.write(random.Random(greeting).randbytes(FILL))
        self.measured = json.loads(self.s.run("measure", "--json", self.folder).stdout)["banks"]["sha256"]["23"]

    def boot(self, **options):
        """The machine, once its workload runs, and its PCR 23."""
        for _ in range(TRIES):
            m = self.start(**options)
            if "workload error=" not in m.said():
                break
            error = m.said().split("workload error=")[1].splitlines()[0]
            m.close()
            assert "answer" in error, error
            print(f"  booting again: {error}", flush=True)
        return m, self.runs(m)

    def start(self, **options):
        m = self.s.boot_again(f"{self.name}-machine", self.disk, **options)
        try:
            collaterals(m)
            m.wait(lambda: "workload state=running" in m.said() or "workload error=" in m.said(), BOOT_SECONDS, "the workload was started")
            context = ssl._create_unverified_context()
            with urllib.request.urlopen(f"https://127.0.0.1:{m.port}/api-token", timeout=30, context=context) as answer:
                self.token = answer.read().decode()
            return m
        except BaseException:
            m.close()
            raise

    @staticmethod
    def runs(m):
        return quoted(get(m, f"/collaterals/{NONCE}"))["23"]

    def post(self, m):
        """One try: status, answer."""
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

    def update(self, m):
        """Until it is taken; in between the old one runs."""
        before = self.runs(m)
        for _ in range(TRIES):
            start = time.monotonic()
            status, body = self.post(m)
            print(f"  update: {status} after {time.monotonic() - start:.1f} s" + (f": {body['error']}" if status != 200 else ""), flush=True)
            if status == 200 or "no answer within" not in body["error"]:
                break
            assert self.runs(m) == before
        assert status == 200, (body, m.said()[-3000:])
        assert body["pcrs"]["sha256"]["23"] == self.measured == self.runs(m), (body, self.measured)


def tree(folder):
    out = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as f:
                out[os.path.relpath(os.path.join(path, name), folder)] = f.read()
    return out


def case_update(s):
    """an update inside is stored on the read-only partition, whole after every power cut there might have been, and measured anew after a reboot"""
    p = Publisher(s, "update")
    before, old, base, log = p.measured, tree(p.folder), f"{s.work}/update-base.raw", f"{s.work}/update.log"
    shutil.copyfile(p.disk, base)
    m, runs = p.boot(writes=log)
    with m:
        assert runs == before, (runs, before)
        p.change("good day\n")
        p.update(m)
        m.cut_power()
    judge_all(s, base, log, old, tree(p.folder))
    m, runs = p.boot()
    with m:
        assert runs == p.measured != before, (runs, p.measured)
        events = [e["type"] for e in get(m, f"/collaterals/{NONCE}")["workload_log"]]
        assert events.count("ready") == 1 and "update" not in events, events
        print("  after a reboot PCR 23 is that of the new workload, measured once", flush=True)


class Cut(threading.Thread):
    """Cuts the power in an update. The disk is written to in two phases: the new tree is written; and when it was measured and runs,
    it takes the old one's place."""
    QUIET = 1.0

    def __init__(self, m, disk, phase, quiet, delay):
        super().__init__()
        self.m, self.disk, self.phase, self.quiet, self.delay = m, disk, phase, quiet, delay

    def changed(self):
        return os.stat(self.disk).st_mtime_ns

    def run(self):
        seen, last, phase = self.changed(), 0.0, 0
        end = time.monotonic() + 600
        while time.monotonic() < end and not self.m.off():
            now = self.changed()
            if now != seen:
                phase += time.monotonic() - last > self.QUIET
                seen, last = now, time.monotonic()
            if phase == self.phase and (not self.quiet or time.monotonic() - last > self.QUIET):
                break
            time.sleep(0.002)
        time.sleep(self.delay)
        self.m.cut_power()


CUTS = [("while the new tree is written", (1, False, 0.2)), ("when it is written, before it takes the old one's place", (1, True, 0)),
        ("when it takes the old one's place", (2, False, 0))]


def case_power_cut(s):
    """QEMU is killed in the middle of an update, three times: the next boot has the old workload or the new one, whole"""
    p = Publisher(s, "cut")
    m, runs = p.boot()
    old = p.measured
    assert runs == old
    for n, (what, when) in enumerate(CUTS):
        p.change(f"version {n}\n")
        cut = Cut(m, p.disk, *when)
        cut.start()
        try:
            answer = p.post(m)
        except (OSError, http.client.HTTPException):
            answer = None
        cut.join()
        m, runs = p.boot()
        said = "new" if runs == p.measured else "old"
        print(f"  killed {what}: {'answered ' + str(answer[0]) if answer else 'no answer'}; the next boot has the {said} workload", flush=True)
        assert runs in (old, p.measured), (runs, old, p.measured)
        assert not answer or answer[0] != 200 or runs == p.measured, answer
        old = runs
    with m:
        p.change("the last one\n")
        p.update(m)


def judge_all(s, base, log, old, new):
    """Each state that the disk may have been left in: writes since the last flush lost, torn, in another order."""
    counts, batches, chance = {"old": 0, "new": 0}, power_cut.read(log), random.Random(1)
    start, end = partition(base, 4)
    folder = f"{s.work}/judged"
    seen = []
    with open(base, "r+b") as f:
        for number, batch in enumerate(batches):
            assert all(start <= w.offset and w.offset + len(w.data) <= end for w in batch), "a write outside of the data partition"
            for part in power_cut.survivors(batch, chance, 2):
                seen.append(judge(f, part, start, end, folder, old, new, number))
                counts[seen[-1]] += 1
            power_cut.apply(f, batch)
        seen.append(judge(f, [], start, end, folder, old, new, "the last"))
    assert seen[0] == "old" and seen[-1] == "new" and min(counts.values()) > 0, counts
    print(f"  {len(batches)} flushes, {sum(len(b) for b in batches)} writes: of the states that a power cut may leave {counts['old']} hold the "
          f"old workload, {counts['new']} the new one, none another", flush=True)


def judge(f, part, start, end, folder, old, new, number):
    """"old" or "new": what is there after the journal was replayed."""
    data, out = f"{folder}/data", f"{folder}/out"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(out)
    with open(data, "wb") as image:
        f.seek(start)
        image.write(f.read(end - start))
        power_cut.apply(image, [power_cut.Write(w.offset - start, w.data) for w in part])
    path = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    done = subprocess.run(["e2fsck", "-fy", data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=path)
    assert done.returncode < 4, done.stdout
    subprocess.run(["debugfs", "-R", f"rdump /workload {out}", data], check=True, env=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = tree(f"{out}/workload")
    assert found in (old, new), f"after flush {number}: neither the old tree nor the new one, but {sorted(found)}"
    return "old" if found == old else "new"

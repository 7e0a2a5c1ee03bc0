"""Updates, logs and maintenance of a workload that runs: real podman, an emulated machine, the real verifier.
usage: test_update.py BIN_DIR [TESTS]"""
import base64
import glob
import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipfile

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_workload as rig  # noqa: E402  enters namespaces of its own, takes BIN_DIR from the arguments
import images  # noqa: E402

ALL = {"workload_config": {"services": {"allow_update": True, "allow_remove": True, "allow_add_new_service": True}}}
BOUNDARY = "----update"
# The services' main process ignores SIGTERM: waiting for it would be most of the test.
COMPOSE = rig.COMPOSE.replace("    image: ", "    stop_grace_period: 0s\n    image: ")


def zip_of(folder, leave_out=(), extra=()):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for path, _, names in os.walk(folder):
            for name in sorted(names):
                inside = os.path.relpath(os.path.join(path, name), folder)
                if inside not in leave_out:
                    z.write(os.path.join(path, name), "workload/" + inside)
        for name, text in extra:
            z.writestr(name, text)
    return out.getvalue()


class Machine(rig.Machine):
    token = None

    def start(self):
        super().start()
        if not self.token:
            self.wait()
            status, _, body = self.agent.request("external", "GET", "/api-token")
            assert status == 200, body
            self.token = body.decode()

    def manage(self, method, path, body=None, headers=None):
        """Like Agent.request(), with the token and time for containers to start."""
        c = self.agent.connection("external", 120)
        c.request(method, path, body=body, headers={"Authorization": f"Bearer {self.token}", **(headers or {})})
        answer = c.getresponse()
        text = answer.read()
        c.close()
        return answer.status, json.loads(text)

    def update(self, data, query="", headers=None):
        body = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="w.zip"\r\n\r\n'.encode() + data
                + f"\r\n--{BOUNDARY}--\r\n".encode())
        return self.manage("POST", "/update-workload" + query, body,
                           {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **(headers or {})})

    def ids(self):
        return {k: v["Id"] for k, v in self.containers().items()}

    def images(self):
        for _ in range(50):
            status, found = self.engine("GET", "/images/json?all=true")
            if status != 500:  # so podman answers where one goes while it lists them
                break
            time.sleep(0.1)
        assert status == 200, found
        return {i["Id"].removeprefix("sha256:") for i in found}

    def log_types(self):
        return [e["type"] for e in self.agent.get("/collaterals/x")["workload_log"]]


class Case(unittest.TestCase):
    def machine(self, policy=ALL, **more):
        workload = rig.Workload(policy=policy, **{"compose": COMPOSE, **more})
        self.addCleanup(workload.drop)
        machine = Machine(workload)
        self.addCleanup(machine.__exit__)
        machine.start()
        return machine

    def next_of(self, machine, **texts):
        """A copy of the workload, to change: what a publisher has."""
        following = object.__new__(rig.Workload)
        following.folder = tempfile.mkdtemp(dir="/run")
        following.path = os.path.join(following.folder, "workload")
        shutil.copytree(machine.workload.path, following.path)
        self.addCleanup(following.drop)
        return following

    def runs(self, machine, workload):
        """That is what is measured, what is on the disk, and what a verifier accepts."""
        document = machine.agent.get("/collaterals/n")
        self.assertEqual(machine.pcrs(document)[23], workload.measure()["banks"]["sha256"]["23"])
        done = machine.verify(document, "--nonce", "n")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual({k: v["State"] for k, v in machine.containers().items()}, {"web": "running", "db": "running"})
        with open(os.path.join(workload.path, "config/page")) as f:
            page = f.read()
        self.assertEqual(machine.inside("web", "/bin/busybox", "cat", "/srv/page").stdout, page)
        with open(os.path.join(machine.workload.path, "config/page")) as f:
            self.assertEqual(f.read(), page)
        self.assertEqual(os.listdir(machine.workload.folder), ["workload"])
        measurements = machine.agent.get("/measurements")
        self.assertEqual(measurements["verdict"], "agrees", measurements)

    def while_it_starts(self, m, update, act):
        """An update, and what happens once it is measured."""
        answers = []
        before = m.log_types().count("update")
        updating = threading.Thread(target=lambda: answers.append(update()))
        updating.start()
        while updating.is_alive() and m.log_types().count("update") == before:
            time.sleep(0.01)
        act()
        updating.join()
        return answers[0]


class Updates(Case):
    def test_what_changed_is_replaced_and_nothing_else(self):
        m = self.machine()
        before, golden = m.ids(), m.agent.get("/golden-measurement")
        golden_path = os.path.join(m.state, "golden.json")
        with open(golden_path, "w") as f:
            json.dump(golden, f)
        self.assertEqual(m.verify(m.agent.get("/collaterals/a"), "--golden", golden_path).returncode, 0)
        new = self.next_of(m)
        new.write("config/page", "two\n")
        data = zip_of(new.path)
        status, dry = m.update(data, "?dry_run=1")
        self.assertEqual(status, 200, dry)
        self.assertEqual(dry["policy"], {"allowed": True, "refused": []})
        self.assertEqual(dry["services"], {"added": [], "removed": [], "changed": ["web"], "unchanged": ["db"]})
        self.assertEqual(dry["banks"]["sha256"]["23"], new.measure()["banks"]["sha256"]["23"])
        self.assertEqual(m.ids(), before)
        self.runs(m, m.workload)
        status, done = m.update(data)
        self.assertEqual(status, 200, done)
        self.assertEqual((done["status"], done["services"]["changed"]), ("updated", ["web"]))
        self.assertEqual(done["pcrs"]["sha256"]["23"], new.measure()["banks"]["sha256"]["23"])
        after = m.ids()
        self.assertEqual(after["db"], before["db"])
        self.assertNotEqual(after["web"], before["web"])
        self.runs(m, new)
        self.assertIn("update", m.log_types())
        refused = m.verify(m.agent.get("/collaterals/a"), "--golden", golden_path)
        self.assertEqual(refused.returncode, 1, refused.stdout)
        journal = m.agent.get("/journal")
        act = [a for a in journal["acts"].values() if a["verb"] == "update-workload"]
        self.assertEqual([(a["outcome"], a["what"]["zip_sha384"]) for a in act], [("done", hashlib.sha384(data).hexdigest())])
        self.assertEqual(journal["verdict"], "agrees")
        # an image
        new.image("db", "2")
        status, done = m.update(zip_of(new.path))
        self.assertEqual((status, done.get("services", {}).get("changed")), (200, ["db"]), done)
        self.runs(m, new)
        # a restart of the agent: the new one, measured once
        events = len(m.log_types())
        ids = m.ids()
        m.agent.stop()
        m.start()
        m.wait()
        self.assertEqual((len(m.log_types()), m.ids()), (events, ids))
        self.runs(m, new)

    def test_without_policy_file_and_back(self):
        m = self.machine()
        new = self.next_of(m)
        new.write("config/page", "two\n")
        status, done = m.update(zip_of(new.path, leave_out=["config/cvm_agent/cvm_agent_policy.json"]))
        self.assertEqual(status, 200, done)
        self.runs(m, new)  # the policy file was carried over

    def test_what_the_policy_refuses(self):
        m = self.machine(policy={"workload_config": {"services": {"allow_update": ["db"]}}})
        before = m.ids()

        def refuse(status, pattern, data, query=""):
            got, body = m.update(data, query)
            self.assertEqual(got, status, body)
            self.assertRegex(body["error"], pattern)
        new = self.next_of(m)
        new.write("config/page", "two\n")
        refuse(403, "service web is changed: .*allow_update", zip_of(new.path))
        got, dry = m.update(zip_of(new.path), "?dry_run=1")
        self.assertEqual((got, dry["policy"]["allowed"], len(dry["policy"]["refused"])), (200, False, 1), dry)
        new = self.next_of(m)
        new.write("config/cvm_agent/cvm_agent_policy.json", json.dumps(ALL))
        refuse(403, "cvm_agent_policy.json is another one", zip_of(new.path))
        new = self.next_of(m)
        new.write("config/cvm_agent/owner.pub", ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode())
        refuse(403, "owner.pub is another one", zip_of(new.path))
        for change, pattern in [((" state:\n", " state:\n  more:\n"), "volumes"), (("volumes:\n  state", "networks:\n  n: {}\nvolumes:\n  state"), "networks"),
                                (("  db:\n", "  more: {image: localhost/db:1}\n  db:\n"), "service more is new"),
                                (("image: localhost/web:1", "image: localhost/web:1\n    privileged: true"), "privileged: refused: gives the container the host"),
                                (("    depends_on: {db: {condition: service_healthy}}\n", ""), "service web is changed")]:
            new = self.next_of(m)
            self.assertIn(change[0], COMPOSE)
            new.write("docker-compose.yml", COMPOSE.replace(*change))
            refuse(403, pattern, zip_of(new.path))
        refuse(400, "docker-compose.yml", zip_of(new.path, leave_out=["docker-compose.yml"]))
        refuse(400, r"\.\.", zip_of(m.workload.path, extra=[("workload/../../etc/x", "x")]))
        refuse(400, "below workload", zip_of(m.workload.path, extra=[("etc/x", "x")]))
        refuse(400, "not one|is not|only|unknown|refused|no place|belong", zip_of(m.workload.path, extra=[("workload/other.txt", "x")]))
        refuse(400, "zip", b"PK nothing")
        self.assertEqual(m.ids(), before)
        self.runs(m, m.workload)
        self.assertNotIn("update", m.log_types())

    def test_images_that_nobody_uses_go(self):
        m = self.machine()
        web, = m.images() - {m.workload.image("db")}
        new, db = self.next_of(m), None
        for marker in "2", "3", "4":
            db = new.image("db", marker)
            status, done = m.update(zip_of(new.path))
            self.assertEqual((status, done.get("services", {}).get("changed")), (200, ["db"]), done)
            self.assertEqual(m.images(), {web, db})
        self.runs(m, new)
        # tried, refused, rolled back: the old ones stay, and no other does
        other = self.next_of(m)
        other.image("db", "5")
        status, dry = m.update(zip_of(other.path), "?dry_run=1")
        self.assertEqual((status, dry["services"]["changed"]), (200, ["db"]), dry)
        self.assertEqual(m.images(), {web, db})
        self.assertEqual(m.update(zip_of(other.path, extra=[("workload/more.tar", "no archive")]))[0], 400)
        other.write("docker-compose.yml", COMPOSE.replace("image: localhost/web:1", "image: 127.0.0.1:1/none:1"))
        self.assertEqual(m.update(zip_of(other.path))[0], 503)
        self.assertEqual(m.images(), {web, db})
        other.write("docker-compose.yml", COMPOSE.replace("image: localhost/db:1", "image: localhost/db:1\n    command: [/bin/busybox, 'false']"))
        status, body = m.update(zip_of(other.path))
        self.assertEqual(status, 503, body)
        self.assertIn("the old workload runs", body["error"])
        self.assertEqual(m.images(), {web, db})
        self.runs(m, new)
        # a killed update's go with the next start, also one with several names
        m.agent.stop()
        os.environ["CVM_FAULT"] = "update-measured"
        try:
            m.start()
            m.wait()
        finally:
            del os.environ["CVM_FAULT"]
        other = self.next_of(m)
        killed = images.write_archive(os.path.join(other.path, "db.tar"), ["localhost/db:1", "localhost/other:1", "localhost/other:2"],
                                      ["/bin/busybox", "sleep", "999"])
        with self.assertRaises((http.client.HTTPException, OSError)):
            m.update(zip_of(other.path))
        m.agent.process.wait(20)
        if not rig.DOCKER:  # whose storage has another form
            stored = glob.glob(m.state + "/**/engine/storage/*-images/*", recursive=True)
            self.assertEqual({os.path.basename(f) for f in stored if os.path.isdir(f)}, {web, db, killed})
        m.start()
        m.wait()
        until = time.monotonic() + 20
        while killed in m.images() and time.monotonic() < until:
            time.sleep(0.1)
        self.assertEqual(m.images(), {web, db})
        self.runs(m, new)

    @unittest.skipUnless(shutil.which("docker-registry") and shutil.which("skopeo"), "there is no docker-registry, or no skopeo")

    def test_an_image_that_nobody_judges(self):
        """skip_measurement: another tag may come, an image from elsewhere may not; others' signatures are wanted as before."""
        rig.Skipped.setUpClass()
        self.addCleanup(rig.Skipped.tearDownClass)
        rig.Skipped.registry.push("/run/signed.tar", "unsigned:2")
        rig.Skipped.registry.push("/run/signed.tar", "elsewhere:1")
        case = rig.Skipped("workload")
        self.addCleanup(case.doCleanups)
        workload = case.workload({"agent": "127.0.0.1:5103/unsigned:1", "app": "127.0.0.1:5103/signed:1"}, ["agent"])
        path = os.path.join(workload.path, "config/cvm_agent/cvm_agent_policy.json")
        with open(path) as f:
            policy = json.load(f)
        policy["workload_config"]["services"]["allow_update"] = True
        with open(path, "w") as f:
            json.dump(policy, f)
        m = Machine(workload)
        self.addCleanup(m.__exit__)
        m.start()
        with open(os.path.join(workload.path, "docker-compose.yml")) as f:
            compose = f.read()
        for change, status, says in ((("/unsigned:1", "/unsigned:2"), 200, "^$"),
                                     (("/unsigned:1", "/elsewhere:1"), 403, "signature policy of images is another one"),
                                     (("/signed:1", "/unsigned:1"), 403, "image of service app: .*signature")):
            new = self.next_of(m)
            self.assertIn(change[0], compose)
            new.write("docker-compose.yml", compose.replace(*change))
            got, body = m.update(zip_of(new.path))
            self.assertEqual(got, status, body)
            self.assertRegex(body.get("error", ""), says)
        self.assertEqual(m.images(), {rig.Skipped.ids["signed"]})

    def test_one_at_a_time(self):
        m = self.machine()
        new = self.next_of(m)
        new.write("docker-compose.yml", COMPOSE.replace("interval: 1s", "interval: 2s"))
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(m.update(zip_of(new.path))[0])) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), [200, 409, 409])

    def test_a_service_that_does_not_come_up(self):
        m = self.machine()
        for change in [("echo $$GREETING; exec /bin/busybox sleep 1000", "exit 3"), ('"/bin/busybox", "true"', '"/bin/busybox", "false"')]:
            new = self.next_of(m)
            new.write("config/page", "two\n")
            self.assertIn(change[0], COMPOSE)
            new.write("docker-compose.yml", COMPOSE.replace(*change).replace("interval: 1s", "interval: 1s, retries: 1"))
            status, body = m.update(zip_of(new.path))
            self.assertEqual(status, 503, body)
            self.assertIn("the old workload runs", body["error"])
            self.runs(m, m.workload)
        types = m.log_types()
        self.assertEqual((types.count("update"), types.count("rollback")), (2, 2))

    def test_what_the_engine_says_of_a_container_is_no_refusal(self):
        """The update was accepted, and failed: whatever words or status the runtime has for it."""
        m = self.machine()
        for program in "/etc/marker", "/no/such":  # not executable; not there
            new = self.next_of(m)
            new.write("docker-compose.yml", COMPOSE.replace('command: ["/bin/busybox", "sh"', f'entrypoint: ["{program}"]\n    command: ["sh"'))
            status, body = m.update(zip_of(new.path))
            self.assertEqual(status, 503, body)
            self.assertRegex(body["error"], "the update failed and the old workload runs: .*container engine")
            self.runs(m, m.workload)
        acts = [a for a in m.agent.get("/journal")["acts"].values() if a["verb"] == "update-workload"]
        self.assertEqual([a["outcome"] for a in acts], ["failed", "failed"])

    def test_an_update_repairs_what_did_not_start(self):
        workload = rig.Workload(policy=ALL, compose=COMPOSE.replace('command: ["/bin/busybox", "sh"', 'entrypoint: ["/no/such"]\n    command: ["sh"'))
        self.addCleanup(workload.drop)
        m = Machine(workload)
        self.addCleanup(m.__exit__)
        m.token = "-"
        m.start()
        m.wait("failed")
        m.token = m.agent.request("external", "GET", "/api-token")[2].decode()

        def states():
            text = m.agent.request("internal", "GET", "/metrics")[2].decode()
            return [line for line in text.splitlines() if line.startswith("cvm_agent_workload{") and line.endswith(" 1")]
        self.assertEqual(states(), ['cvm_agent_workload{state="failed"} 1'])
        new = self.next_of(m)
        new.write("docker-compose.yml", COMPOSE.replace("echo $$GREETING; exec /bin/busybox sleep 1000", "exit 3"))
        status, body = m.update(zip_of(new.path))
        self.assertEqual(status, 500, body)
        self.assertIn("and going back did too", body["error"])
        self.assertEqual(states(), ['cvm_agent_workload{state="failed"} 1'])
        new.write("docker-compose.yml", COMPOSE)
        status, body = m.update(zip_of(new.path))
        self.assertEqual(status, 200, body)
        self.assertEqual(states(), ['cvm_agent_workload{state="running"} 1'])
        self.runs(m, new)

    def test_a_journal_that_cannot_be_written(self):
        """The new workload runs: an error would say that it does not."""
        m = self.machine()
        new, acts = self.next_of(m), os.path.join(m.state, "acts.jsonl")
        new.write("config/page", "two\n")
        status, body = self.while_it_starts(m, lambda: m.update(zip_of(new.path)), lambda: os.rename(acts, acts + ".away"))
        self.assertEqual((status, body.get("status")), (200, "updated"), body)
        self.assertEqual(len(body["warnings"]), 1)
        self.assertIn("acts.jsonl", body["warnings"][0])
        os.rename(acts + ".away", acts)
        self.runs(m, new)
        # of an update that failed the answer says why
        bad = self.next_of(m)
        bad.write("docker-compose.yml", COMPOSE.replace("echo $$GREETING; exec /bin/busybox sleep 1000", "exit 3"))
        status, body = self.while_it_starts(m, lambda: m.update(zip_of(bad.path)), lambda: os.rename(acts, acts + ".away"))
        self.assertEqual(status, 503, body)
        self.assertIn("the old workload runs", body["error"])
        os.rename(acts + ".away", acts)
        self.runs(m, new)

    def test_a_full_partition(self):
        m = self.machine()
        size = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(m.workload.path) for name in names)
        aside = tempfile.mkdtemp(dir="/run")
        m.agent.stop()
        shutil.move(m.workload.path, aside)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size + (1 << 20)}", "none", m.workload.folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", m.workload.folder])
        shutil.copytree(os.path.join(aside, "workload"), m.workload.path)
        m.start()
        m.wait()
        new = self.next_of(m)
        new.write("config/page", "two\n")
        status, body = m.update(zip_of(new.path))
        self.assertEqual(status, 503, body)
        self.assertIn("No space", body["error"])
        self.runs(m, m.workload)
        self.assertNotIn("update", m.log_types())

    def test_logs(self):
        m = self.machine()
        status, logs = m.manage("GET", "/container-logs")
        self.assertEqual(status, 200, logs)
        self.assertEqual(len(logs), 2)
        self.assertIn("hello\n", "".join(one["log"] for one in logs))
        status, logs = m.manage("GET", "/container-logs?name=web&name=db&tail=1")
        self.assertEqual([one["name"] for one in logs], ["web", "db"])
        self.assertEqual(logs[0]["log"], "hello\n")
        self.assertEqual(m.manage("GET", "/container-logs?name=nobody")[0], 404)
        self.assertEqual(m.manage("GET", "/container-logs?name=web&since=2099-01-01T00:00:00Z")[1][0]["log"], "")
        for since in ("1h", "1d2h3m4s", "1700000000", "1700000000.5", "2020-01-01T00:00:00%2B02:00"):
            self.assertIn("hello", m.manage("GET", "/container-logs?name=web&since=" + since)[1][0]["log"], since)
        for since in ("", "zzz", "1x", "h", "1m1h", "1.5.5", "2020-01-01", "1h%20", "9999999999h"):
            status, answer = m.manage("GET", "/container-logs?since=" + since)
            self.assertEqual(status, 400, (since, answer))
            self.assertIn("since takes", answer["error"])
        # a stream goes on, and neither side holds the other up
        c = m.agent.connection("external")
        c.request("GET", "/container-logs?name=web&follow=1", headers={"Authorization": f"Bearer {m.token}"})
        answer = c.getresponse()
        self.assertEqual((answer.status, answer.getheader("content-type")), (200, "application/x-ndjson"))
        line = json.loads(answer.readline())
        self.assertEqual((line["name"].split("_")[-2] if "_" in line["name"] else line["name"], line["log"].strip()), ("web", "hello"))
        m.inside("web", "/bin/busybox", "sh", "-c", "echo later > /proc/1/fd/1")
        self.assertEqual(json.loads(answer.readline())["log"].strip(), "later")
        c.close()
        open_ones = []
        for _ in range(3):  # streams that are left open do not keep the agent from stopping
            c = m.agent.connection("external")
            c.request("GET", "/container-logs?follow=1", headers={"Authorization": f"Bearer {m.token}"})
            c.getresponse().readline()
            open_ones.append(c)
        status, took = m.agent.stop()
        self.assertEqual(status, 0)
        self.assertLess(took, 2.5)

    def test_maintenance(self):
        compose = COMPOSE.replace("echo $$GREETING; exec /bin/busybox sleep 1000",
                                      "trap 'echo signalled' USR2; while true; do /bin/busybox sleep 0.1; done")
        m = self.machine(policy={"cvm_config": {"maintenance_mode": {"allow": True, "signal": "SIGUSR2"},
                                                "firewall": {"maintenance_mode_host_port": "2222"}}}, compose=compose)
        for body in b"", b"{}", b'{"action":"open"}', b'{"action":"enable","delay_seconds":-1}', b'{"action":"enable","x":1}':
            self.assertEqual(m.manage("POST", "/maintenance-mode", body)[0], 400, body)
        status, answer = m.manage("POST", "/maintenance-mode", b'{"action":"enable"}')
        self.assertEqual(status, 200, answer)
        self.assertEqual((answer["status"], answer["maintenance_action"], answer["port"], answer["delay_seconds"]),
                         ("maintenance mode triggered", "enable", "2222", 0))
        self.assertEqual(set(answer["results"].values()), {name + "\n" for name in answer["results"]})
        self.assertEqual(len(answer["results"]), 2)
        self.assertRegex(answer["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

        def signals():
            return m.manage("GET", "/container-logs?name=web")[1][0]["log"].count("signalled")

        def until(n):
            end = time.monotonic() + 10
            while signals() < n and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(signals(), n)
        until(1)
        m.manage("POST", "/maintenance-mode", b'{"action":"disable","delay_seconds":600}')
        status, answer = m.manage("POST", "/maintenance-mode", b'{"action":"disable","delay_seconds":1}')
        self.assertEqual((answer["delay_seconds"], answer["results"]), (1, {}))
        until(2)
        acts = [a for a in m.agent.get("/journal")["acts"].values() if a["verb"] == "maintenance-mode"]
        self.assertEqual(sorted(a["outcome"] for a in acts), ["done", "done", "refused"])


class Killed(Case):
    """Old or new, whole, and in the log."""

    def test_killed_at_each_step(self):
        points = ["update-staged", "update-measured", "update-exchanged", "update-applied", "update-healthy", "update-stored", "update-settled"]
        m = self.machine()
        old = self.next_of(m)
        for number, point in enumerate(points):
            m.agent.stop()
            os.environ["CVM_FAULT"] = point
            try:
                m.start()
                m.wait()
            finally:
                del os.environ["CVM_FAULT"]
            new = self.next_of(m)
            new.write("config/page", f"page {number}\n")
            with self.assertRaises((http.client.HTTPException, OSError)):
                m.update(zip_of(new.path))
            m.agent.process.wait(20)
            m.start()
            m.wait()
            with open(os.path.join(m.workload.path, "config/page")) as f:
                stored = f.read()
            late = points.index("update-healthy") <= number
            self.assertEqual(stored == f"page {number}\n", late, point)
            self.runs(m, new if late else old)
            old = new if late else old
            # and it can be updated still
            new.write("config/page", f"again {number}\n")
            status, body = m.update(zip_of(new.path))
            self.assertEqual(status, 200, (point, body))
            self.runs(m, new)
            old = new

    def test_killed_with_a_change_that_is_not_measured(self):
        """secrets/ are in no register: the old sequence and the new one are the same, and only the note tells which it is."""
        m = self.machine()
        for point, undone in [("update-staged", 0), ("update-measured", 1), ("update-exchanged", 1), ("update-applied", 1), ("update-healthy", 0)]:
            m.agent.stop()
            os.environ["CVM_FAULT"] = point
            try:
                m.start()
                m.wait()
            finally:
                del os.environ["CVM_FAULT"]
            new, before = self.next_of(m), m.log_types()
            new.write("secrets/key", point)
            with self.assertRaises((http.client.HTTPException, OSError)):
                m.update(zip_of(new.path))
            m.agent.process.wait(20)
            m.start()
            m.wait()
            types = m.log_types()
            sequence = types[len(types) - 1 - types[::-1].index("image") - 1:]  # two services
            self.assertEqual(types, before + (["update", *sequence] if point != "update-staged" else []) + ["rollback", *sequence] * undone, point)
            self.runs(m, new if point == "update-healthy" else m.workload)
            self.assertEqual(os.path.exists(os.path.join(m.workload.path, "secrets/key")), point == "update-healthy")

    def test_killed_in_a_rollback(self):
        m = self.machine()
        m.agent.stop()
        os.environ["CVM_FAULT"] = "update-rolling-back"
        try:
            m.start()
            m.wait()
        finally:
            del os.environ["CVM_FAULT"]
        new = self.next_of(m)
        new.write("docker-compose.yml", COMPOSE.replace("echo $$GREETING; exec /bin/busybox sleep 1000", "exit 3"))
        with self.assertRaises((http.client.HTTPException, OSError)):
            m.update(zip_of(new.path))
        m.agent.process.wait(20)
        m.start()
        m.wait()
        self.runs(m, m.workload)

    def test_what_was_stored_is_what_was_measured(self):
        """What lies beside the workload is the host's until it is put in its place: changed, it is not."""
        m = self.machine()
        new = self.next_of(m)
        new.write("config/page", "two\n")
        answers = []
        updating = threading.Thread(target=lambda: answers.append(m.update(zip_of(new.path))))
        updating.start()
        while updating.is_alive() and "update" not in m.log_types():
            pass
        with open(os.path.join(m.workload.folder, ".workload.next/config/page"), "w") as f:
            f.write("torn\n")
        updating.join()
        status, body = answers[0]
        self.assertEqual(status, 500, body)
        self.assertIn("not the update any more", body["error"])
        self.runs(m, m.workload)
        self.assertEqual((m.log_types().count("update"), m.log_types().count("rollback")), (1, 1))

    def test_a_log_that_is_full(self):
        """An update is refused while the one before could still have been undone; PCR 23 stays whole."""
        m = self.machine(config={f"config/many/{i}": "" for i in range(16000)})
        new = self.next_of(m)
        for number in range(3):
            new.write("config/page", f"page {number}\n")
            status, body = m.update(zip_of(new.path))
            if status != 200:
                break
            self.assertEqual(body["pcrs"]["sha256"]["23"], new.measure()["banks"]["sha256"]["23"])
        self.assertEqual((status, number), (503, 2))
        self.assertRegex(body["error"], r"room for \d+ more events, and \d+ are needed: reboot")
        self.assertEqual(m.update(zip_of(new.path), "?dry_run=1")[0], 503)
        types = [e["type"] for e in m.agent.get("/measurements")["events"]]
        self.assertEqual((types.count("update"), types.count("rollback")), (2, 0))
        new.write("config/page", "page 1\n")
        self.assertEqual(m.pcrs()[23], new.measure()["banks"]["sha256"]["23"])
        shutil.rmtree(os.path.join(new.path, "config/many"))
        status, body = m.update(zip_of(new.path))  # a smaller one fits
        self.assertEqual(status, 200, body)
        self.assertEqual(m.pcrs()[23], new.measure()["banks"]["sha256"]["23"])
        self.assertEqual(m.agent.get("/measurements")["verdict"], "agrees")


class Owner(Case):
    def owned(self):
        """A machine with an owner, and what signs an update for him."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        workload = rig.Workload(compose=COMPOSE, policy=ALL, config={"config/cvm_agent/owner.pub": pem})
        self.addCleanup(workload.drop)
        m = Machine(workload)
        self.addCleanup(m.__exit__)
        m.token = "-"
        m.start()
        m.wait()
        sign = lambda text: base64.b64encode(key.sign(hashlib.sha256(text).digest(), ec.ECDSA(hashes.SHA256()))).decode()
        status, _, body = m.agent.request("external", "GET", "/api-token", {"X-Owner-Signature": sign(
            b"cvm-agent/api-token\0" + hashlib.sha256(m.agent.tls_spki()).digest())})
        self.assertEqual(status, 200, body)
        m.token = body.decode()

        def update(new, n):
            data = zip_of(new.path)
            return m.update(data, headers={"X-Owner-Version": str(n), "X-Owner-Signature": sign(
                b"cvm-agent/update\0" + n.to_bytes(8, "big") + hashlib.sha384(data).digest())})
        return m, update

    def test_the_owner(self):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        workload = rig.Workload(compose=COMPOSE, policy=ALL, config={"config/cvm_agent/owner.pub": pem})
        self.addCleanup(workload.drop)
        m = Machine(workload)
        self.addCleanup(m.__exit__)
        m.token = "-"
        m.start()
        m.wait()
        spki = m.agent.tls_spki()
        sign = lambda text: base64.b64encode(key.sign(hashlib.sha256(text).digest(), ec.ECDSA(hashes.SHA256()))).decode()
        self.assertEqual(m.agent.request("external", "GET", "/api-token")[0], 403)
        status, _, body = m.agent.request("external", "GET", "/api-token",
                                          {"X-Owner-Signature": sign(b"cvm-agent/api-token\0" + hashlib.sha256(spki).digest())})
        self.assertEqual(status, 200, body)
        m.token = body.decode()
        new = self.next_of(m)
        new.write("config/page", "two\n")
        data = zip_of(new.path)

        def headers(n, data=data):
            return {"X-Owner-Version": str(n), "X-Owner-Signature": sign(b"cvm-agent/update\0" + n.to_bytes(8, "big") + hashlib.sha384(data).digest())}
        self.assertEqual(m.update(data)[0], 403)
        self.assertEqual(m.update(data, headers={**headers(7), "X-Owner-Version": "8"})[0], 403)
        self.assertEqual(m.update(data, headers=headers(7, data + b"x"))[0], 403)
        self.runs(m, m.workload)
        self.assertEqual(m.update(data, "?dry_run=1", headers=headers(7))[0], 200)
        status, body = m.update(data, headers=headers(7))
        self.assertEqual(status, 200, body)
        self.runs(m, new)
        for n in 7, 6:
            status, body = m.update(data, headers=headers(n))
            self.assertEqual(status, 403)
            self.assertIn("not above 7", body["error"])
        self.assertEqual(m.update(data, headers=headers(8))[0], 200)

    def test_a_version_is_taken_once_whenever_it_is_killed(self):
        m, update = self.owned()
        points = ["update-applied", "update-healthy", "update-accepted", "update-stored", "update-settled"]
        for number, point in enumerate(points, 1):
            m.agent.stop()
            os.environ["CVM_FAULT"] = point
            try:
                m.start()
                m.wait()
            finally:
                del os.environ["CVM_FAULT"]
            new, other = self.next_of(m), self.next_of(m)
            new.write("config/page", f"page {number}\n")
            other.write("config/page", f"other {number}\n")
            with self.assertRaises((http.client.HTTPException, OSError)):
                update(new, number)
            m.agent.process.wait(20)
            m.start()
            m.wait()
            status, body = update(other, number)
            self.assertEqual(status, 200 if point == "update-applied" else 403, (point, body))
            if status == 403:
                self.assertIn(f"not above {number}", body["error"])
            self.runs(m, other if status == 200 else new)

    def test_a_version_that_cannot_be_kept(self):
        m, update = self.owned()
        new, kept = self.next_of(m), os.path.join(m.state, "owner_version.json")
        new.write("config/page", "two\n")
        status, body = self.while_it_starts(m, lambda: update(new, 1), lambda: os.mkdir(kept))
        self.assertEqual(status, 500, body)
        self.assertRegex(body["error"], "the old workload runs: .*owner_version.json")
        self.runs(m, m.workload)
        self.assertEqual(m.log_types().count("rollback"), 1)
        os.rmdir(kept)
        status, body = update(new, 1)
        self.assertEqual(status, 200, body)
        self.runs(m, new)

    def test_an_old_version_beyond_the_boot(self):
        """On Azure the TPM is inside the TEE and remembers."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        workload = rig.Workload(compose=COMPOSE, policy=ALL, config={"config/cvm_agent/owner.pub": pem})
        self.addCleanup(workload.drop)
        m = Machine(workload, shape="azure-snp")
        self.addCleanup(m.__exit__)
        m.token = "-"
        sign = lambda text: base64.b64encode(key.sign(hashlib.sha256(text).digest(), ec.ECDSA(hashes.SHA256()))).decode()

        def boot():
            m.start()
            m.wait()
            spki = m.agent.tls_spki()
            status, _, body = m.agent.request("external", "GET", "/api-token",
                                              {"X-Owner-Signature": sign(b"cvm-agent/api-token\0" + hashlib.sha256(spki).digest())})
            self.assertEqual(status, 200, body)
            m.token = body.decode()

        def update(n):
            data = zip_of(workload.path)
            return m.update(data, headers={"X-Owner-Version": str(n), "X-Owner-Signature":
                                           sign(b"cvm-agent/update\0" + n.to_bytes(8, "big") + hashlib.sha384(data).digest())})
        boot()
        status, body = update(5)
        self.assertEqual(status, 200, body)
        m.kill_containers()
        m.agent.stop()
        os.unlink(os.path.join(m.state, "emulator/azure-snp/tpm/tpm2-boot"))  # the machine's next boot
        os.unlink(os.path.join(m.state, "owner_version.json"))
        boot()
        status, body = update(5)
        self.assertEqual(status, 403, body)
        self.assertIn("not above 5", body["error"])
        self.assertEqual(update(6)[0], 200)


class ReadOnly(Case):
    def read_only(self, m, size="64m"):
        """The workload's folder as in a disk image: on a partition of its own, mounted read-only."""
        aside = tempfile.mkdtemp(dir="/run")
        m.agent.stop()
        shutil.move(m.workload.path, aside)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "data", m.workload.folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", m.workload.folder])
        shutil.copytree(os.path.join(aside, "workload"), m.workload.path)
        subprocess.run(["mount", "-o", "remount,ro,nosuid,nodev,noexec", m.workload.folder], check=True)

    def sealed(self, m):
        with open("/proc/self/mountinfo") as f:
            line = next(line for line in f if line.split()[4] == m.workload.folder)
        left, right = line.split(" - ")
        self.assertEqual(left.split()[5], "ro,nosuid,nodev,noexec,relatime")
        self.assertTrue(right.split()[2].startswith("ro,"), line)

    def test_a_partition_that_is_read_only(self):
        m = self.machine()
        self.read_only(m)
        m.start()
        m.wait()
        before = m.ids()
        new = self.next_of(m)
        for page in "two\n", "three\n":
            new.write("config/page", page)
            status, body = m.update(zip_of(new.path))
            self.assertEqual(status, 200, body)
            self.assertEqual(body["pcrs"]["sha256"]["23"], new.measure()["banks"]["sha256"]["23"])
            self.runs(m, new)
            self.sealed(m)
        self.assertEqual(m.ids()["db"], before["db"])
        # a service that does not come up: the old one is on the disk, and nothing beside it
        bad = self.next_of(m)
        bad.write("docker-compose.yml", COMPOSE.replace("echo $$GREETING; exec /bin/busybox sleep 1000", "exit 3"))
        status, body = m.update(zip_of(bad.path))
        self.assertEqual(status, 503, body)
        self.runs(m, new)
        self.sealed(m)

    def test_a_full_partition_that_is_read_only(self):
        m = self.machine()
        size = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(m.workload.path) for name in names)
        self.read_only(m, size + (1 << 20))
        m.start()
        m.wait()
        new = self.next_of(m)
        new.write("config/page", "two\n")
        status, body = m.update(zip_of(new.path))
        self.assertEqual(status, 503, body)
        self.assertIn("No space", body["error"])
        self.runs(m, m.workload)
        self.sealed(m)
        self.assertNotIn("update", m.log_types())

    def test_killed_at_each_step_on_a_read_only_partition(self):
        """The agent with its helper at the agent's steps; the process that stores alone at its own."""
        late = ["update-healthy", "update-stored", "update-settled"]
        stages = ["store-marked", "store-writable", "store-made", "store-copied", "store-read-only"]
        exchanges = ["store-writable:2", "store-exchanged", "store-synced", "store-read-only:2"]
        points = stages + ["update-staged", "update-measured", "update-exchanged", "update-applied"] + exchanges + late
        stored = exchanges[1:]
        m = self.machine()
        self.read_only(m)
        m.start()
        m.wait()
        old = self.next_of(m)
        for number, point in enumerate(points):
            m.agent.stop()
            os.environ["CVM_FAULT"] = point
            try:
                m.start()
                m.wait()
            finally:
                del os.environ["CVM_FAULT"]
            new = self.next_of(m)
            new.write("config/page", f"page {number}\n")
            if point.startswith("update"):
                with self.assertRaises((http.client.HTTPException, OSError)):
                    m.update(zip_of(new.path))
                m.agent.process.wait(20)
            else:
                status, body = m.update(zip_of(new.path))
                self.assertIn(status, (200,) if point in stored else (500, 503), (point, body))
                m.agent.stop()
            m.start()
            m.wait()
            is_new = point in late or point in stored
            self.runs(m, new if is_new else old)
            self.sealed(m)
            old = new if is_new else old

    def test_helper_killed_with_all_its_processes_while_it_copies(self):
        """The helper that comes after it has mended, and says so: that is no word on what was being stored."""
        folder = tempfile.mkdtemp(dir="/run")
        workload = rig.Workload(policy=ALL, compose=COMPOSE)
        self.addCleanup(workload.drop)
        os.chmod(folder, 0o711)
        helper = rig.Helper(folder, workload.path)
        self.addCleanup(helper.stop)
        m = Machine(workload, options=["--priv", helper.path], state=folder)
        self.addCleanup(m.__exit__)
        m.start()
        m.wait()
        self.read_only(m)
        helper.kill()
        helper.start()
        m.start()
        m.wait()
        new = self.next_of(m)
        with open(os.path.join(new.path, "config/large"), "wb") as f:
            f.write(os.urandom(20 << 20))
        beside = os.path.join(m.workload.folder, ".workload.next/config/large")
        with open(f"/proc/{helper.process.pid}/task/{helper.process.pid}/children") as f:
            children = [int(pid) for pid in f.read().split()]
        data, answers = zip_of(new.path), []
        for pid in children:  # its copying shall not be over before we have seen it
            os.sched_setaffinity(pid, {0})
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        cpus = os.sched_getaffinity(0)
        uploading = threading.Thread(target=lambda: answers.append(m.update(data)))
        uploading.start()
        os.sched_setaffinity(0, {0})
        while uploading.is_alive() and not os.path.exists(beside):
            pass
        helper.process.send_signal(signal.SIGSTOP)  # it must not see the other's end
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        helper.kill()
        os.sched_setaffinity(0, cpus)
        self.assertLess(os.path.getsize(beside), 20 << 20)
        helper.start()
        uploading.join()
        status, body = answers[0]
        self.assertEqual(status, 503, body)
        self.assertIn("cvm-agent-priv", body["error"])
        self.assertNotIn("update", m.log_types())
        self.runs(m, m.workload)
        self.sealed(m)
        status, body = m.update(data)
        self.assertEqual(status, 200, body)
        self.runs(m, new)
        self.sealed(m)


if __name__ == "__main__":
    unittest.main(verbosity=1)

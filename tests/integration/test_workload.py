"""A workload from its folder to running containers: real podman or docker, an emulated machine, the real verifier.
usage: test_workload.py BIN_DIR [--docker] [TESTS]"""
import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_machine  # noqa: E402

DOCKER = "--docker" in sys.argv
private_machine.enter("nft", "dockerd" if DOCKER else "podman", "iptables", "runc")
if DOCKER:
    sys.argv.remove("--docker")
    private_machine.make_owner_a_user()

import images  # noqa: E402
from agent_under_test import Agent, UnixConnection  # noqa: E402
from registry import Registry, TokenServer, make_key  # noqa: E402

BIN = sys.argv.pop(1)
CLI, AGENT = os.path.join(BIN, "cvm-cli"), os.path.join(BIN, "cvm-agent")
ZERO = "00" * 32

COMPOSE = """\
services:
  web:
    image: localhost/web:1
    depends_on: {db: {condition: service_healthy}}
    x-cvm-agent: {socket: true}
    environment: {GREETING: "${GREETING:-hello}"}
    volumes: ["./config/page:/srv/page:ro", "state:/var/state"]
    command: ["/bin/busybox", "sh", "-c", "echo $$GREETING; exec /bin/busybox sleep 1000"]
  db:
    image: localhost/db:1
    healthcheck: {test: ["CMD", "/bin/busybox", "true"], interval: 1s}
volumes:
  state:
"""


class Workload:
    """A folder on the data partition."""

    def __init__(self, compose=COMPOSE, policy=None, config=None):
        self.folder = tempfile.mkdtemp(dir="/run")
        self.path = os.path.join(self.folder, "workload")
        os.makedirs(os.path.join(self.path, "config/cvm_agent"))
        self.write("docker-compose.yml", compose)
        self.write("config/page", "one\n")
        if DOCKER:
            policy = {**(policy or {}), "cvm_config": {"container_api": {"container_engine": "docker"},
                                                       **(policy or {}).get("cvm_config", {})}}
        if policy is not None:
            self.write("config/cvm_agent/cvm_agent_policy.json", json.dumps(policy))
        for path, text in (config or {}).items():
            self.write(path, text)
        self.image("web")
        self.image("db")

    def image(self, name, marker="1"):
        return images.write_archive(os.path.join(self.path, name + ".tar"), f"localhost/{name}:1",
                                    ["/bin/busybox", "sleep", "1000"], files={"etc/marker": (name + marker).encode()})

    def write(self, path, text):
        path = os.path.join(self.path, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def measure(self):
        done = subprocess.run([CLI, "measure", "--json", self.path], capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    def drop(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Machine:
    """An agent with a workload, on an emulated shape; the engine stops with the test."""
    API = "/v1.41" if DOCKER else "/v4.0.0/libpod"

    def __init__(self, workload, shape="gcp-snp", options=(), state=None):
        self.workload, self.shape, self.options = workload, shape, list(options)
        self.state = state or tempfile.mkdtemp(dir="/run")
        os.chmod(self.state, 0o711)  # docker's containers pass through
        self.agent = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.agent = Agent(AGENT, self.state, ["--emulate", self.shape, "--workload", self.workload.path, *self.options],
                           env={"RUNTIME_DIRECTORY": self.state})

    def told(self):
        """Whether the service manager is told that the workload runs."""
        return os.path.exists(os.path.join(self.state, "workload-runs"))

    def events(self, name):
        return self.agent.events(name)

    def wait(self, state="running", seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in self.events("workload"):
                if event.get("state") == state:
                    return event
                if "error" in event:
                    if state == "failed":
                        return event
                    raise AssertionError(event["error"])
            time.sleep(0.05)
        raise AssertionError("\n".join(self.agent.lines[-20:]))

    def pcrs(self, document=None):
        document = document or self.agent.get("/collaterals/pcrs")
        return {int(k): base64.b64decode(v).hex() for k, v in document["tpm"]["pcrs"]["pcrs"].items()}

    def engine(self, method, path):
        """Through the engine's own socket, as nobody but root can."""
        sock = os.path.join(self.state, "run" if not os.path.isdir(os.path.join(self.state, "workload")) else ".",
                            "workload/engine/engine.sock")
        connection = UnixConnection(os.path.realpath(sock))
        connection.request(method, self.API + path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, json.loads(body) if body else None

    def containers(self):
        status, found = self.engine("GET", "/containers/json?all=true")
        assert status == 200, found
        return {c["Labels"]["org.cvm-agent.service"]: c for c in found if "org.cvm-agent.service" in (c["Labels"] or {})}

    def exits(self):
        """The services that the agent saw end, once it has seen one."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = [e["service"] for e in self.events("service") if e["change"] == "exited"]
            if found:
                return found
            time.sleep(0.1)
        return []

    def inspect(self, service):
        status, found = self.engine("GET", f"/containers/{self.containers()[service]['Id']}/json")
        assert status == 200, found
        return found["State"]

    def pid(self, service):
        return self.inspect(service)["Pid"]

    def inside(self, service, *command):
        return subprocess.run(["nsenter", "-t", str(self.pid(service)), "-m", "--", *command], capture_output=True,
                              text=True, timeout=20)

    def cli(self, *args):
        return subprocess.run([CLI, *args], capture_output=True, text=True, timeout=60)

    def verify(self, document, *args):
        path = os.path.join(self.state, "document.json")
        with open(path, "w") as f:
            json.dump(document, f)
        roots = os.path.join(self.state, "emulator/roots.pem")
        return self.cli("verify", path, "--trust-emulator", roots, *args)

    def kill_containers(self):
        for container in self.containers().values():
            self.engine("DELETE", f"/containers/{container['Id']}?force=true&timeout=0")

    def __exit__(self, *_):
        try:
            self.kill_containers()
        except (OSError, AssertionError, ValueError):
            pass
        if self.agent:
            self.agent.__exit__()


class Start(unittest.TestCase):
    def machine(self, *args, workload=None, **more):
        workload = workload or Workload(*args, **more)
        self.addCleanup(workload.drop)
        machine = Machine(workload)
        self.addCleanup(machine.__exit__)
        machine.start()
        return machine

    def test_measured_as_predicted(self):
        m = self.machine(policy={"workload_config": {"services": {"allow_update": ["web"]}}})
        m.wait()
        self.assertEqual([e["state"] for e in m.events("workload") if "state" in e], ["measured", "running"])
        plan = m.workload.measure()
        document = m.agent.get("/collaterals/abc")
        pcrs = m.pcrs(document)
        for pcr in "23", "15", "16":
            self.assertEqual(pcrs[int(pcr)], plan["banks"]["sha256"][pcr])
        self.assertEqual([(e["type"], e["name"]) for e in document["workload_log"]],
                         [("image", "db"), ("image", "web"), ("compose", "docker-compose.yml"),
                          ("config", "config/cvm_agent/cvm_agent_policy.json"), ("config", "config/page"), ("ready", "")])
        done = m.verify(document, "--nonce", "abc")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, "ok +workload.log_replay")

    def test_services_run_as_written(self):
        m = self.machine(config={".env": "GREETING=good day\n"})
        m.wait()
        found = m.containers()
        self.assertEqual({k: v["State"] for k, v in found.items()}, {"web": "running", "db": "running"})
        self.assertLess(m.inspect("db")["StartedAt"], m.inspect("web")["StartedAt"])
        self.assertEqual(m.inside("web", "/bin/busybox", "cat", "/srv/page").stdout, "one\n")
        self.assertNotEqual(m.inside("web", "/bin/busybox", "sh", "-c", "echo x > /srv/page").returncode, 0)
        self.assertNotRegex(m.inside("web", "/bin/busybox", "ls", "/dev").stdout, "tpm|sev|tdx|sd|vd")
        with open(f"/proc/{m.pid('web')}/uid_map") as f:
            self.assertEqual(f.read().split(), ["0", str(private_machine.OWNER_BASE), "65536"])
        metrics = m.agent.request("internal", "GET", "/metrics")[2].decode()
        self.assertIn('cvm_agent_workload{state="running"} 1', metrics)
        self.assertIn('cvm_agent_service_running{service="web"} 1', metrics)
        self.assertTrue(m.told())
        m.agent.process.terminate()
        m.agent.process.wait(20)
        self.assertFalse(m.told())

    def test_a_service_has_evidence_of_its_own(self):
        m = self.machine()
        m.wait()
        self.assertEqual(m.inside("db", "/bin/busybox", "test", "-e", "/run/cvm-agent").returncode, 1)
        self.assertEqual(m.inside("web", "/bin/busybox", "test", "-S", "/run/cvm-agent/agent.sock").returncode, 0)
        self.assertNotEqual(m.inside("web", "/bin/busybox", "rm", "/run/cvm-agent/agent.sock").returncode, 0)
        # busybox has no client for such sockets: the host's end of the same folder is asked
        connection = UnixConnection(os.path.join(m.state, "services/web/agent.sock"))
        connection.request("GET", "/collaterals/mine")
        document = json.loads(connection.getresponse().read())
        self.assertEqual(document["service"], "web")
        self.assertEqual(base64.b64decode(document["magic"]), b"Workload/collaterals")
        done = m.verify(document, "--nonce", "mine")
        self.assertEqual(done.returncode, 0, done.stdout)
        document["service"] = "db"
        self.assertEqual(m.verify(document, "--nonce", "mine").returncode, 1)
        del document["service"]
        self.assertEqual(m.verify(document, "--nonce", "mine").returncode, 1)

    def test_a_restart_measures_nothing_and_keeps_containers(self):
        m = self.machine()
        m.wait()
        before, ids = m.agent.get("/collaterals/x"), {k: v["Id"] for k, v in m.containers().items()}
        m.agent.__exit__()
        # behind its back: neither the restart nor anything else looks at the disk again
        m.workload.write("config/page", "two\n")
        m.workload.write("docker-compose.yml", "services: {evil: {image: localhost/web:1, privileged: true}}\n")
        m.workload.write("config/cvm_agent/cvm_agent_policy.json", "no policy at all")
        m.start()
        event = m.wait()
        self.assertEqual(event["kept"], "2")
        self.assertIn("measured in this boot already", [e.get("state") for e in m.events("workload")])
        after = m.agent.get("/collaterals/x")
        self.assertEqual(m.pcrs(before)[23], m.pcrs(after)[23])
        self.assertEqual(m.pcrs(before)[15], m.pcrs(after)[15])
        self.assertEqual(before["workload_log"], after["workload_log"])
        self.assertEqual({k: v["Id"] for k, v in m.containers().items()}, ids)
        self.assertEqual(m.inside("web", "/bin/busybox", "cat", "/srv/page").stdout, "one\n")
        # the socket that the container has mounted is the new agent's
        self.assertEqual(m.inside("web", "/bin/busybox", "test", "-S", "/run/cvm-agent/agent.sock").returncode, 0)
        self.assertEqual(m.verify(after).returncode, 0)

    def test_a_crash_is_seen(self):
        m = self.machine()
        m.wait()
        os.kill(m.pid("db"), 9)
        self.assertEqual(m.exits(), ["db"])
        self.assertEqual([e["exit_code"] for e in m.events("service") if e["change"] == "exited"], ["137"])
        metrics = m.agent.request("internal", "GET", "/metrics")[2].decode()
        self.assertIn('cvm_agent_service_exits_total{service="db"} 1', metrics)
        self.assertIn('cvm_agent_service_running{service="db"} 0', metrics)


class Helper:
    """A cvm-agent-priv as systemd starts it, and again on the same socket when it has ended."""

    def __init__(self, folder, workload="/data/workload"):
        self.path, self.engine, self.process = os.path.join(folder, "priv.sock"), os.path.join(folder, "workload/engine"), None
        self.workload = workload
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(8)
        self.start()

    def start(self):
        script = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" --engine-dir "$1" --workload "$2" 3<&{self.listener.fileno()}'
        self.process = subprocess.Popen(["/bin/sh", "-c", script, os.path.join(BIN, "cvm-agent-priv"), self.engine, self.workload],
                                        pass_fds=[self.listener.fileno()])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.kill()
        self.listener.close()


class AnotherHelper(unittest.TestCase):
    def test_what_was_killed_comes_back(self):
        folder = tempfile.mkdtemp(dir="/run")
        os.chmod(folder, 0o711)
        helper = Helper(folder)
        self.addCleanup(helper.stop)
        workload = Workload()
        self.addCleanup(workload.drop)
        machine = Machine(workload, options=["--priv", helper.path], state=folder)
        self.addCleanup(machine.__exit__)
        machine.start()
        machine.wait()
        ids = {k: v["Id"] for k, v in machine.containers().items()}
        helper.kill()
        status, _, body = machine.agent.request("internal", "GET", "/platform")
        self.assertEqual(status, 200, body)
        helper.start()
        # the agent looks at its services from time to time: it finds the new helper, which starts the engine again
        self.assertEqual(machine.agent.wait_event("priv", 60)["state"], "connected again")
        until = time.monotonic() + 30
        while not os.path.exists(os.path.join(helper.engine, "engine.sock")) and time.monotonic() < until:
            time.sleep(0.1)
        found = machine.containers()
        self.assertEqual({k: v["Id"] for k, v in found.items()}, ids)
        self.assertEqual({v["State"] for v in found.values()}, {"running"})
        os.kill(machine.pid("db"), 9)
        self.assertEqual(machine.exits(), ["db"])


@unittest.skipUnless(shutil.which("docker-registry") and shutil.which("skopeo"), "there is no docker-registry, or no skopeo")
class FromARegistry(unittest.TestCase):
    """auth_info_file_path, in each form that is written, with a registry that wants a password and one that wants a token."""
    LOGIN = ("somebody", "s3cret: with a colon")

    @classmethod
    def setUpClass(cls):
        cls.tokens = TokenServer("/run/tokens", cls.LOGIN)
        cls.registries = [Registry("/run/basic", 5101, cls.LOGIN), Registry("/run/bearer", 5102, tokens=cls.tokens)]
        cls.id = images.write_archive("/run/web.tar", "localhost/web:1", ["/bin/busybox", "sleep", "1000"])
        for registry in cls.registries:
            registry.push("/run/web.tar", "web:1")

    @classmethod
    def tearDownClass(cls):
        for one in [*cls.registries, cls.tokens]:
            one.stop()

    def workload(self, port, auth):
        policy = {"workload_config": {"image_signature_verification": {"auth_info_file_path": "secrets/auth.json"}}}
        workload = Workload(f"services: {{web: {{image: '127.0.0.1:{port}/web:1'}}}}\n", policy, {"secrets/auth.json": json.dumps(auth)})
        self.addCleanup(workload.drop)
        for name in "web", "db":
            os.remove(os.path.join(workload.path, name + ".tar"))
        return workload

    @staticmethod
    def encoded(user, password):
        return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}

    def test_let_in(self):
        by_host = {"auths": {"127.0.0.1:5102": self.encoded(*self.LOGIN), "127.0.0.1:5101": self.encoded("other", "x")}}
        for port, auth in (5102, by_host), (5101, {"user_name": self.LOGIN[0], "password": self.LOGIN[1]}):
            with Machine(self.workload(port, auth)) as m:
                m.wait()
                event = m.agent.get("/collaterals/x")["workload_log"][0]
                self.assertEqual((event["type"], event["name"], event["content_sha384"]),
                                 ("image", "web", hashlib.sha384(bytes.fromhex(self.id)).hexdigest()))
                self.assertNotIn(self.LOGIN[1], "\n".join(m.agent.lines))

    def test_kept_out(self):
        for port in 5101, 5102:
            for auth in {"auths": {}}, {"auths": {f"127.0.0.1:{port}": self.encoded(self.LOGIN[0], "wrong-word")}}:
                with Machine(self.workload(port, auth)) as m:
                    error = m.wait("failed")["error"]
                    self.assertIn("image of service web", error)
                    self.assertNotIn("wrong-word", "\n".join(m.agent.lines))
                    self.assertEqual(m.agent.get("/collaterals/abc")["workload_log"], [])


@unittest.skipUnless(shutil.which("docker-registry") and shutil.which("skopeo"), "there is no docker-registry, or no skopeo")
class Skipped(unittest.TestCase):
    """skip_measurement: the image is recorded by its name only, and nobody looks at its signature."""

    @classmethod
    def setUpClass(cls):
        cls.registry = Registry("/run/signed", 5103)
        os.makedirs("/run/keys")
        key = make_key("/run/keys/ours.pub")
        cls.ids = {}
        for name in "signed", "unsigned":
            cls.ids[name] = images.write_archive(f"/run/{name}.tar", f"localhost/{name}:1", ["/bin/busybox", "sleep", "1000"],
                                                 files={"etc/name": name.encode()})
            cls.registry.push(f"/run/{name}.tar", name + ":1")
        cls.registry.sign("signed", "1", key)

    @classmethod
    def tearDownClass(cls):
        cls.registry.stop()

    def workload(self, services, skip, archives=()):
        with open("/run/keys/ours.pub") as f:
            key = f.read()
        signed = [{"type": "sigstoreSigned", "keyPath": "config/key.pub", "signedIdentity": {"type": "matchRepository"}}]
        policy = {"workload_config": {"services": {"skip_measurement": skip},
                                      "image_signature_verification": {"enable": True,
                                                                       "signature_verification_policy_path": "config/images.json"}}}
        workload = Workload("services:\n" + "".join(f"  {name}: {{image: '{image}', stop_grace_period: 0s}}\n"
                                                    for name, image in services.items()), policy,
                            {"config/key.pub": key,
                             "config/images.json": json.dumps({"default": [{"type": "reject"}],
                                                               "transports": {"docker": {"127.0.0.1:5103": signed}}})})
        self.addCleanup(workload.drop)
        for name in {"web", "db"} - set(archives):
            os.remove(os.path.join(workload.path, name + ".tar"))
        return workload

    def test_an_unsigned_image_runs(self):
        services = {"agent": "127.0.0.1:5103/unsigned:1", "app": "127.0.0.1:5103/signed:1", "web": "localhost/web:1"}
        workload = self.workload(services, ["agent", "web"], archives=["web"])
        with Machine(workload) as m:
            m.wait()
            log = m.agent.get("/collaterals/x")["workload_log"]
            self.assertEqual({c["State"] for c in m.containers().values()}, {"running"})
            notes = [e["note"] for e in m.events("workload") if "note" in e]
        sha384 = {"agent": services["agent"].encode(), "app": bytes.fromhex(self.ids["signed"]), "web": services["web"].encode()}
        self.assertEqual([(e["type"], e["name"], e["content_sha384"]) for e in log[:3]],
                         [(kind, name, hashlib.sha384(sha384[name]).hexdigest())
                          for kind, name in (("image", "app"), ("skip", "agent"), ("skip", "web"))])
        for name in "agent", "web":
            self.assertTrue([n for n in notes if f'of "{name}", and its signature is not checked: an unsigned image may run' in n], notes)

    def test_others_are_judged_as_ever(self):
        for services, archives, says in (
                ({"agent": "127.0.0.1:5103/unsigned:1", "app": "127.0.0.1:5103/unsigned:1"}, [], "image of service app: .*signature"),
                ({"agent": "localhost/web:1", "app": "localhost/web:1"}, ["web"], "image of service app: an archive carries no signature"),
                ({"agent": "localhost/web:1"}, ["web", "db"], "db.tar carries no signature")):
            with Machine(self.workload(services, ["agent"], archives)) as m:
                self.assertRegex(m.wait("failed")["error"], says)
                self.assertEqual(m.agent.get("/collaterals/abc")["workload_log"], [])


class Refused(unittest.TestCase):
    """The machine attests, nothing is measured, nothing runs, and the log says why."""

    def refuse(self, pattern, *args, **more):
        workload = more.pop("workload", None) or Workload(*args, **more)
        self.addCleanup(workload.drop)
        machine = Machine(workload)
        with open(os.path.join(machine.state, "workload-runs"), "w"):
            pass  # as an agent leaves it that was killed
        with machine as m:
            self.assertRegex(m.wait("failed")["error"], pattern)
            self.assertFalse(m.told())
            document = m.agent.get("/collaterals/abc")
            self.assertEqual((m.pcrs(document)[23], m.pcrs(document)[15]), (ZERO, ZERO))
            self.assertEqual(document["workload_log"], [])
            self.assertIn('cvm_agent_workload{state="failed"} 1', m.agent.request("internal", "GET", "/metrics")[2].decode())

    def test_settings_that_hand_out_the_machine(self):
        self.refuse(r"docker-compose.yml, line 3, column 17: services.a: privileged: refused: gives the container the host",
                    "services:\n  a: {image: localhost/web:1,\n    privileged: true}\n")

    def test_malformed(self):
        self.refuse(r"line 1, column 16: services.a.build", "services: {a: {build: .}}\n")

    def test_a_malformed_env_file(self):
        self.refuse(r"config/web.env, line 2: want NAME=value",
                    "services: {a: {image: localhost/web:1, env_file: config/web.env}}\n", config={"config/web.env": "A=1\n=x\n"})

    def test_unknown_owner(self):
        self.refuse(r'container_owner: "nobody-here" has no range of ids .* add the line',
                    policy={"cvm_config": {"container_api": {"container_owner": "nobody-here"}}})

    def test_a_link_out(self):
        workload = Workload()
        os.symlink("/etc/passwd", os.path.join(workload.path, "config/link"))
        self.refuse("config/link", workload=workload)

    def test_an_image_that_is_not_there(self):
        self.refuse("services?.*a|a: ", "services: {a: {image: localhost:1/none:1}}\n")

    def test_unsigned(self):
        self.refuse("docker-archive", policy={"workload_config": {"image_signature_verification": {"enable": True}}})


if __name__ == "__main__":
    unittest.main(verbosity=1)

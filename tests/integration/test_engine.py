"""Compose files run by real podman, or docker, reached as the agent reaches it:
usage: test_engine.py BIN_DIR [--docker] [TESTS]"""
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_machine  # noqa: E402

DOCKER = "--docker" in sys.argv
private_machine.enter("dockerd" if DOCKER else "podman", "iptables", "runc", "docker-registry", "skopeo")
if DOCKER:
    sys.argv.remove("--docker")
    private_machine.make_owner_a_user()

import images  # noqa: E402
from registry import Registry, TokenServer, make_key  # noqa: E402

TOOL = os.path.join(sys.argv.pop(1), "engine_tool")
ENGINE = ["--docker"] if DOCKER else []
ATTACH = [*ENGINE, "--attach"] if DOCKER else []
DOCKERS = "/run/docker/engine"  # one for all tests, beside their folders
SHELL = ["/bin/busybox", "sh", "-c"]
ID = re.compile(r"^[0-9a-f]{64}$")


def tool(directory, *args, ok=True, timeout=100):
    done = subprocess.run([TOOL, directory, *args, *ATTACH], capture_output=True, text=True, timeout=timeout)
    if ok:
        assert done.returncode == 0, f"{args}: {done.stderr}{done.stdout}"
        return done.stdout
    assert done.returncode == 1, f"{args}: {done.stdout}"
    return done.stderr


class Held:
    """docker runs on, as it does under the agent. podman's containers need nobody: each call starts it anew."""
    process = None

    @classmethod
    def start(cls):
        cls.process = subprocess.Popen([TOOL, DOCKERS, "hold", *ENGINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert cls.process.stdout.readline() == "ready\n"

    @classmethod
    def stop(cls):
        cls.process.stdin.close()
        cls.process.wait(30)
        cls.process.stdout.close()


def setUpModule():
    if DOCKER:
        os.makedirs(os.path.dirname(DOCKERS))
        Held.start()


def tearDownModule():
    if DOCKER:
        Held.stop()


class Workload:
    """A folder and the engine that runs it."""
    count = 0

    def __init__(self):
        Workload.count += 1
        name = f"w{Workload.count}"
        self.tree = f"/run/{name}/tree" if not DOCKER else f"/run/docker/{name}"
        self.engine = f"/run/{name}/engine" if not DOCKER else DOCKERS
        for folder in "config", "secrets":
            os.makedirs(f"{self.tree}/{folder}")
        os.chmod(self.tree, 0o700)  # as workload_tree_take() makes it

    def write(self, path, text):
        with open(f"{self.tree}/{path}", "w") as f:
            f.write(text)

    def image(self, name, **more):
        return images.write_archive(f"{self.tree}/{name}.tar", f"localhost/{name}:1",
                                    more.pop("command", ["/bin/busybox", "sleep", "1000"]), **more)

    def apply(self, compose, *args, **more):
        self.write("docker-compose.yml", compose)
        return tool(self.engine, "apply", "--tree", self.tree, *args, **more)

    def list(self):
        keys = "name", "service", "status", "up", "code", "restarts", "health", "id", "pid"
        rows = [dict(zip(keys, line.split())) for line in tool(self.engine, "list", "workload").splitlines()]
        return {row["service"]: row for row in rows}

    def log(self, name, *args):
        return tool(self.engine, "logs", name, *args)

    def stop(self):
        tool(self.engine, "stop", "workload", "now")


class Running(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.w = Workload()
        self.w.image("bb")
        self.addCleanup(self.w.stop)

    def until_healthy(self, service):
        """docker's own word comes after one interval; the start waits for the check alone."""
        for _ in range(100 if DOCKER else 1):
            state = self.w.list()
            if state[service]["health"] == "healthy":
                break
            time.sleep(0.1)
        return state

    def changes(self, text):
        return dict(line.split() for line in text.splitlines() if not line.startswith(("image", "time")))

    def test_what_a_container_gets(self):
        self.w.write("config/app.conf", "setting\n")
        self.w.write("secrets/key", "s3cret\n")
        self.w.write("config/app.env", "FROM_FILE=file\nBOTH=file\n")
        self.w.write(".env", "WHO=world\n")
        script = "; ".join([
            "echo uid $(/bin/busybox cat /proc/self/uid_map)", "/bin/busybox cat /cfg/app.conf /run/secrets/key",
            "echo env $FROM_FILE $BOTH $HELLO", "/bin/busybox mount", "echo host $(/bin/busybox hostname) in $(/bin/busybox pwd)", "echo first $(/bin/busybox cat /proc/1/comm)",
            "/bin/busybox touch /cfg/x || echo cannot write", "/bin/busybox cp /bin/busybox /scratch/bb; /scratch/bb true && echo ran",
            "echo to stderr >&2", "ulimit -n", "/bin/busybox cat /proc/self/limits", "/bin/busybox ls -l /dev", "/bin/busybox sleep 1000"])
        self.w.apply(f"""
services:
  app:
    image: localhost/bb:1
    hostname: myhost
    command: {json.dumps([*SHELL, script.replace("$", "$$")])}
    env_file: [config/app.env]
    environment: {{BOTH: own, HELLO: "hello $WHO"}}
    volumes: ["./config:/cfg", "data:/data", "./secrets:/all"]
    tmpfs: ["/scratch:size=8m", "/tmp:rw,noexec,nosuid,size=64m,mode=1777"]
    secrets: [key]
    read_only: true
    working_dir: /not/in/the/image
    init: true
    ulimits: {{nofile: {{soft: 77, hard: 99}}, nproc: 500, fsize: -1}}
volumes: {{data: {{}}}}
secrets: {{key: {{file: ./secrets/key}}}}
""")
        time.sleep(0.5)
        log = self.w.log("workload_app_1")
        self.assertIn("uid 0 700000 65536", log)
        self.assertIn("setting", log)
        self.assertIn("s3cret", log)
        self.assertIn("env file own hello world", log)
        self.assertIn("host myhost in /not/in/the/image", log)
        self.assertRegex(log, "first (catatonit|podman-init|docker-init|tini)")
        self.assertIn("cannot write", log)
        self.assertIn("E:to stderr", log)
        self.assertIn("77", log)
        self.assertRegex(log, r" on /tmp type tmpfs \(rw,nosuid,nodev,noexec,.*size=65536k")
        self.assertRegex(log, r"Max file size +unlimited +unlimited")
        for target, wanted in [("/run/secrets/key", "ro,nosuid,nodev,noexec"), ("/all", "ro,nosuid,nodev,noexec"),
                               ("/cfg", "ro,nosuid,nodev")]:
            options = re.search(rf" on {target} type \w+ \(([^)]*)\)", log).group(1)
            self.assertTrue(options.startswith(wanted), f"{target}: {options}")
        self.assertNotIn("noexec", re.search(r" on /cfg type \w+ \(([^)]*)\)", log).group(1))
        for device in "tpm", "sev", "tdx":
            self.assertNotIn(device, log[log.index("E:to stderr"):])

    def test_files_with_an_owner(self):
        self.w.write("secrets/key", "s3cret\n")
        self.w.write("config/empty", "")
        name = "a-rather-long-name-" * 5  # with its folder more than a header of tar has room for
        read_only = "false" if DOCKER else "true"
        script = (f"/bin/busybox ls -ln /run/secrets /etc/app.conf /opt/deep; /bin/busybox cat /run/secrets/key /etc/app.conf /opt/deep/{name}; "
                  "exec /bin/busybox sleep 1000")

        def compose(mode):
            return f"""
services:
  owner: &s
    image: localhost/bb:1
    stop_grace_period: 0s
    user: "1000:1001"
    read_only: {read_only}
    command: {json.dumps([*SHELL, script])}
    secrets: [{{source: key, uid: "1000", gid: "50", mode: {mode}}}]
    configs: [{{source: app, target: /etc/app.conf, uid: "7", mode: 0644}}, {{source: empty, target: /opt/deep/{name}, gid: "1001"}}]
  other: {{<<: *s, user: "2000"}}
secrets: {{key: {{file: ./secrets/key}}}}
configs: {{app: {{content: "written here\\n"}}, empty: {{file: ./config/empty}}}}
"""
        self.w.apply(compose("0400"))
        time.sleep(0.5)
        log = self.w.log("workload_owner_1")
        self.assertRegex(log, r"-r-------- +1 1000 +50 +7 .*key")
        self.assertRegex(log, r"-rw-r--r-- +1 7 +0 +13 .*app.conf")
        self.assertRegex(log, r"-r--r--r-- +1 0 +1001 +0 .*" + name)
        self.assertIn("s3cret\nO:written here" if "\nO:written" in log else "s3cret\nwritten here", log)
        log = self.w.log("workload_other_1")
        self.assertIn("Permission denied", log)
        self.assertNotIn("s3cret", log)
        before = self.w.list()
        self.assertEqual(self.changes(self.w.apply(compose("0400"))), {"owner": "kept", "other": "kept"})
        self.assertEqual(self.changes(self.w.apply(compose("0444"))), {"owner": "replaced", "other": "replaced"})
        self.assertNotEqual(self.w.list()["owner"]["id"], before["owner"]["id"])
        time.sleep(0.5)
        self.assertIn("s3cret", self.w.log("workload_other_1"))
        self.w.write("config/empty", "x" * ((1 << 20) + 1))
        self.assertIn("service o", self.w.apply(compose("0400"), ok=False))
        self.assertEqual(self.w.list(), {})

    def test_order_names_and_networks(self):
        self.w.image("site", files={"www/index.html": b"from web"},
                     command=["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"])
        self.w.apply("""
services:
  a-client:
    image: localhost/bb:1
    command: ["/bin/busybox", "sh", "-c", "/bin/busybox wget -qO- http://web/ && /bin/busybox wget -qO- http://alias/; /bin/busybox wget -T 2 -qO- http://other/ || echo no other; exec /bin/busybox sleep 1000"]
    depends_on: {web: {condition: service_healthy}, prepare: {condition: service_completed_successfully}}
  prepare:
    image: localhost/bb:1
    command: ["/bin/busybox", "sleep", "0.3"]
    restart: "no"
  web:
    image: localhost/site:1
    ports: ["127.0.0.1:18080:80"]
    networks: {default: {aliases: [alias]}}
    healthcheck: {test: "/bin/busybox wget -qO- http://localhost/", interval: 1s, timeout: 2s}
  other:
    image: localhost/site:1
    networks: [apart]
networks: {apart: {ipam: {config: [{subnet: 10.77.0.0/24, gateway: 10.77.0.1, ip_range: 10.77.0.192/26}]}}}
""")
        state = self.until_healthy("web")
        self.assertEqual((state["web"]["health"], state["web"]["up"]), ("healthy", "up"))
        address = subprocess.run(["nsenter", "-t", state["other"]["pid"], "-n", "--", "/bin/busybox", "ip", "-o", "-4", "addr"],
                                 capture_output=True, text=True).stdout
        last = int(re.search(r"inet 10\.77\.0\.(\d+)/24", address).group(1))
        self.assertGreaterEqual(last, 192)
        self.assertEqual((state["prepare"]["status"], state["prepare"]["code"]), ("exited", "0"))
        time.sleep(4)
        log = self.w.log("workload_a-client_1").replace("\nO:", "").replace("O:", "")
        self.assertEqual(log.count("from web"), 2, log)
        self.assertIn("no other", log)
        page = subprocess.run(["curl", "-s", "http://127.0.0.1:18080/"], capture_output=True, text=True).stdout
        self.assertEqual(page, "from web")

    def test_only_what_changed_is_replaced(self):
        def compose(more=""):
            return f"""
services:
  one: {{image: localhost/bb:1, volumes: ["./config/one:/one"], stop_grace_period: 0s}}
  two: {{image: localhost/bb:1, configs: [two], stop_grace_period: 0s}}
  three: {{image: localhost/bb:1, stop_grace_period: 0s, depends_on: {{two: {{condition: service_started, restart: true}}}}}}
{more}
configs: {{two: {{file: ./config/two}}}}
"""
        self.w.write("config/one", "1")
        self.w.write("config/two", "2")
        self.w.apply(compose())
        before = self.w.list()
        self.assertEqual(self.changes(self.w.apply(compose())), dict.fromkeys(("one", "two", "three"), "kept"))
        self.w.write("config/two", "changed")
        self.assertEqual(self.changes(self.w.apply(compose(), "--plan")),
                         {"one": "kept", "two": "replaced", "three": "replaced"})
        self.assertEqual({s: r["id"] for s, r in self.w.list().items()}, {s: r["id"] for s, r in before.items()})
        self.w.apply(compose())
        after = self.w.list()
        self.assertEqual(after["one"]["id"], before["one"]["id"])
        self.assertNotEqual(after["two"]["id"], before["two"]["id"])
        self.assertNotEqual(after["three"]["id"], before["three"]["id"])
        # another image under the same name
        self.w.image("bb", files={"etc/version": b"2"})
        done = self.changes(self.w.apply(compose("  four: {image: localhost/bb:1, stop_grace_period: 0s}")))
        self.assertEqual(done, {"one": "replaced", "two": "replaced", "three": "replaced", "four": "created"})
        done = self.changes(self.w.apply(compose()))
        self.assertEqual(done, {"one": "kept", "two": "kept", "three": "kept", "four": "removed"})
        self.assertEqual(sorted(self.w.list()), ["one", "three", "two"])

    def test_failures_name_the_service(self):
        dies = """
services:
  fine: {image: localhost/bb:1}
  broken: {image: localhost/bb:1, command: [/bin/busybox, sh, -c, exit 7]}
"""
        error = self.w.apply(dies, "--settle-ms", "500", ok=False)
        self.assertRegex(error, r"^unavailable: .*service broken ended with status 7")
        sick = """
services:
  sick:
    image: localhost/bb:1
    healthcheck: {test: [CMD, /bin/busybox, "false"], interval: 1s}
"""
        begin = time.monotonic()
        self.assertIn("service sick did not become healthy", self.w.apply(sick, "--health-ms", "1500", ok=False))
        self.assertLess(time.monotonic() - begin, 20)
        absent = "services: {gone: {image: 'localhost/bb:1', command: [/no/such/program]}}"
        self.assertIn("service gone", self.w.apply(absent, ok=False))
        waits = """
services:
  first: {image: localhost/bb:1, command: [/bin/busybox, "false"]}
  second: {image: localhost/bb:1, depends_on: {first: {condition: service_completed_successfully}}}
"""
        self.assertIn("first ended with status 1", self.w.apply(waits, ok=False))
        self.assertNotIn("second", self.w.list())
        self.assertIn("no file or folder", self.w.apply(
            "services: {x: {image: 'localhost/bb:1', volumes: ['./config/absent:/x']}}", ok=False))

    def test_tries_and_slow_starts(self):
        self.w.apply("""
services:
  migrate: {image: localhost/bb:1, restart: on-failure, volumes: ["state:/s"],
    command: [/bin/busybox, sh, -c, "echo x >>/s/tries; test $$(/bin/busybox wc -l </s/tries) -ge 3"]}
  after: {image: localhost/bb:1, depends_on: {migrate: {condition: service_completed_successfully}}}
volumes: {state: {}}
""", "--settle-ms", "500")
        state = self.w.list()
        self.assertEqual((state["migrate"]["code"], state["migrate"]["restarts"], state["after"]["up"]), ("0", "2", "up"))
        error = self.w.apply("""
services:
  migrate: {image: localhost/bb:1, restart: "on-failure:2", command: [/bin/busybox, "false"]}
  never: {image: localhost/bb:1, depends_on: {migrate: {condition: service_completed_successfully}}}
""", ok=False)
        self.assertIn("service migrate ended with status 1", error)
        self.assertEqual(self.w.list()["migrate"]["restarts"], "2")
        begin = time.monotonic()
        self.w.apply("""
services:
  flaky: {image: localhost/bb:1, restart: always, stop_grace_period: 0s,
    command: [/bin/busybox, sh, -c, "/bin/busybox rm -f /tmp/x; /bin/busybox test -e /s/up || { echo >/s/up; /bin/busybox sleep 0.4; exit 1; }; exec /bin/busybox sleep 1000"],
    volumes: ["once:/s"]}
volumes: {once: {}}
""", "--settle-ms", "300")
        error = self.w.apply("""
services:
  loop: {image: localhost/bb:1, restart: always, command: [/bin/busybox, "false"], stop_grace_period: 0s}
""", "--settle-ms", "800", "--health-ms", "3000", ok=False)
        self.assertRegex(error, r"service loop does not stay up \(started again [1-9]")
        self.assertLess(time.monotonic() - begin, 40)

    def test_logs(self):
        self.w.apply("""
services:
  talk:
    image: localhost/bb:1
    command: ["/bin/busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo line $$i; done; /bin/busybox sleep 1.5; echo late"]
""")
        time.sleep(0.3)
        self.assertEqual(self.w.log("workload_talk_1", "tail=2"), "O:line 4\nO:line 5\n")
        now = str(int(time.time()) + 1)
        follow = self.w.log("workload_talk_1", "follow")
        self.assertTrue(follow.startswith("O:line 1\n") and follow.endswith("O:late\n"), follow)
        self.assertEqual(self.w.log("workload_talk_1", "since=" + now), "O:late\n")
        self.assertEqual(self.w.log("workload_talk_1", "follow", "frames=1"), "O:line 1\n")
        self.assertIn("not-found:", tool(self.w.engine, "logs", "workload_none_1", ok=False))

    def test_watch_sees_ends_restarts_and_health(self):
        self.w.apply("""
services:
  again: {image: localhost/bb:1, restart: always}
  sick:
    image: localhost/bb:1
    command: ["/bin/busybox", "sh", "-c", "/bin/busybox touch /tmp/ok; /bin/busybox sleep 3; /bin/busybox rm /tmp/ok; exec /bin/busybox sleep 1000"]
    healthcheck: {test: [CMD, /bin/busybox, test, -e, /tmp/ok], interval: 1s, retries: 1}
  once: {image: localhost/bb:1, command: [/bin/busybox, sh, -c, "/bin/busybox sleep 4; exit 3"]}
""")
        pid = int(self.w.list()["again"]["pid"])
        with subprocess.Popen([TOOL, self.w.engine, "watch", "14", "--tree", self.w.tree, *ATTACH], stdout=subprocess.PIPE,
                              text=True) as watch:
            time.sleep(3)
            os.kill(pid, signal.SIGKILL)
            out = watch.communicate(timeout=60)[0]
        self.assertIn("again restarted", out)
        self.assertIn("once exited exited 3", out)
        self.assertRegex(out, r"sick healthy[^$]*sick unhealthy")

    @unittest.skipIf(DOCKER, "docker checks by itself, and knows no start_interval")
    def test_a_restarted_service_is_checked_at_its_start_interval(self):
        self.w.apply("""
services:
  slow:
    image: localhost/bb:1
    restart: always
    command: ["/bin/busybox", "sh", "-c", "/bin/busybox rm -f /tmp/ok; /bin/busybox sleep 3; /bin/busybox touch /tmp/ok; exec /bin/busybox sleep 1000"]
    healthcheck: {test: [CMD, /bin/busybox, test, -e, /tmp/ok], interval: 10m, start_period: 1m, start_interval: 1s}
""")
        pid = int(self.w.list()["slow"]["pid"])
        with subprocess.Popen([TOOL, self.w.engine, "watch", "14", "--tree", self.w.tree, *ATTACH], stdout=subprocess.PIPE,
                              text=True) as watch:
            time.sleep(3)
            os.kill(pid, signal.SIGKILL)
            out = watch.communicate(timeout=60)[0]
        self.assertEqual(re.findall(r"slow (\w+)", out), ["healthy", "restarted", "healthy"])

    def test_signals(self):
        self.w.apply("""
services:
  trap: {image: localhost/bb:1, command: ["/bin/busybox", "sh", "-c", "trap 'echo got' USR2; while :; do /bin/busybox sleep 0.1; done"]}
""")
        time.sleep(0.3)
        row = self.w.list()["trap"]
        tool(self.w.engine, "kill", row["name"], "SIGUSR2")
        time.sleep(0.5)
        self.assertEqual(self.w.log(row["name"]).count("got"), 1)

    def test_stop_goes_by_dependencies_and_at_once(self):
        leave = ("stamp() { while read a b; do echo $$a > /v/$$1; done < /proc/uptime; }; "
                 "trap 'stamp begun.%s; /bin/busybox sleep 1; stamp ended.%s; exit 0' TERM; while :; do /bin/busybox sleep 0.1; done")

        def service(name, more=""):
            command = json.dumps([*SHELL, leave % (name, name)])
            return f"  {name}: {{image: localhost/bb:1, restart: always, volumes: ['v:/v'], command: {command}{more}}}\n"
        deaf = "".join(f"  deaf{i}: {{image: localhost/bb:1, stop_grace_period: 2s, command: [/bin/busybox, sleep, '1000']}}\n"
                       for i in range(5))  # the first process of a PID namespace heeds no signal that it has no handler for
        self.w.apply("services:\n" + service("base") + service("middle", ", depends_on: [base]")
                     + service("top", ", depends_on: [middle]") + service("beside", ", depends_on: [base]") + deaf + "volumes: {v: }\n")
        time.sleep(0.5)
        begin = time.monotonic()
        tool(self.w.engine, "stop", "workload", "--tree", self.w.tree, timeout=60)
        took = time.monotonic() - begin
        self.assertEqual(self.w.list(), {})
        at = {}
        volume = [f for f in (self.w.engine + "/storage/volumes/workload_v/_data",
                              self.w.engine + "/docker/700000.700000/volumes/workload_v/_data") if os.path.isdir(f)][0]
        for name in os.listdir(volume):
            with open(os.path.join(volume, name)) as f:
                at[name] = float(f.read())
        self.assertEqual(len(at), 8, at)
        self.assertGreaterEqual(at["begun.middle"], at["ended.top"])
        self.assertGreaterEqual(at["begun.base"], at["ended.middle"])
        self.assertGreaterEqual(at["begun.base"], at["ended.beside"])
        self.assertLess(at["begun.beside"], at["ended.top"])  # neither waits for the other
        self.assertLess(took, 12, "one after the other the nine take 14 seconds, and what the engine needs besides")
        print(f"stopped in {took:.1f} s", file=sys.stderr)

    def test_shared_network_and_host_network(self):
        self.w.image("bb", files={"etc/shared": b"shared\n"})
        self.w.apply("""
services:
  base: {image: localhost/bb:1, command: [/bin/busybox, httpd, -f, -p, "81", -h, /etc]}
  beside:
    image: localhost/bb:1
    network_mode: service:base
    depends_on: [base]
    command: [/bin/busybox, sh, -c, "/bin/busybox wget -qO- http://127.0.0.1:81/shared; exec /bin/busybox sleep 1000"]
  alone: {image: localhost/bb:1, network_mode: none, command: [/bin/busybox, sh, -c, "/bin/busybox ip -o link; exec /bin/busybox sleep 1000"]}
""" + ("" if DOCKER else "  host: {image: localhost/bb:1, network_mode: host}\n"))
        time.sleep(0.5)
        self.assertIn("shared", self.w.log("workload_beside_1"))
        self.assertEqual(self.w.log("workload_alone_1").count("\n"), 1)
        self.assertEqual({row["up"] for row in self.w.list().values()}, {"up"})

    @unittest.skipUnless(DOCKER, "docker's own limits")
    def test_what_docker_has_not(self):
        error = self.w.apply("services: {host: {image: 'localhost/bb:1', network_mode: host}}", ok=False)
        self.assertRegex(error, "service host: docker has no network_mode .* host: leave it out, or use podman")

    @unittest.skipUnless(DOCKER, "podman's are its own defaults")
    def test_capabilities_and_limits_are_podmans(self):
        self.w.apply("""
services:
  usual: {image: localhost/bb:1, mem_limit: 64m, pids_limit: 77, restart: "on-failure:3", shm_size: 1m, init: true}
  raw: {image: localhost/bb:1, cap_add: [NET_RAW], cap_drop: [ALL], tty: true, command: [/bin/busybox, sh, -c, "echo on a terminal; exec /bin/busybox sleep 1000"]}
""")
        caps = {}
        for service in "usual", "raw":
            with open(f"/proc/{self.w.list()[service]['pid']}/status") as f:
                caps[service] = re.search(r"CapBnd:\s+(\w+)", f.read()).group(1)
        self.assertEqual(caps, {"usual": "00000000800405fb", "raw": "0000000000002000"})
        self.assertEqual(self.w.log("workload_raw_1"), "O:on a terminal\n")

    @unittest.skipUnless(DOCKER, "podman needs no daemon")
    def test_the_daemon_is_started_again(self):
        self.w.apply("""
services:
  one: {image: localhost/bb:1, restart: always, networks: [a, b], command: [/bin/busybox, sh, -c, "while :; do echo x; /bin/busybox sleep 0.2; done"]}
  two: {image: localhost/bb:1, networks: [b]}
networks: {a: {}, b: {}}
""")
        before = self.w.list()
        Held.stop()
        self.addCleanup(lambda: Held.process.stdin.closed and Held.start())
        os.kill(int(before["one"]["pid"]), 0)
        Held.start()
        self.assertEqual({s: (r["id"], r["pid"], r["up"]) for s, r in self.w.list().items()},
                         {s: (r["id"], r["pid"], "up") for s, r in before.items()})
        seen = self.w.log("workload_one_1").count("x")
        time.sleep(1)
        self.assertGreater(self.w.log("workload_one_1").count("x"), seen)
        done = subprocess.run(["nsenter", "-t", before["one"]["pid"], "-n", "--", "/bin/busybox", "ip", "-o", "-4", "addr"],
                              capture_output=True, text=True).stdout
        self.assertEqual(done.count("inet"), 3, done)  # lo and two networks

    def test_agent_socket(self):
        import socket
        os.makedirs("/run/agent-sockets/asks")
        server = socket.socket(socket.AF_UNIX)
        server.bind("/run/agent-sockets/asks/agent.sock")
        os.chmod("/run/agent-sockets/asks/agent.sock", 0o666)
        server.listen()
        server.settimeout(20)
        self.w.write("docker-compose.yml", """
services:
  asks:
    image: localhost/bb:1
    x-cvm-agent: {socket: true}
    command: ["/bin/busybox", "sh", "-c", "/bin/busybox ls -l /run/cvm-agent; /bin/busybox touch /run/cvm-agent/x || echo read-only; exec /bin/busybox sleep 1000"]
  quiet: {image: localhost/bb:1, command: [/bin/busybox, sh, -c, "/bin/busybox ls /run/cvm-agent || true"]}
""")
        tool(self.w.engine, "apply", "--tree", self.w.tree, "--sockets", "/run/agent-sockets")
        time.sleep(0.3)
        self.assertIn("agent.sock", self.w.log("workload_asks_1"))
        self.assertIn("read-only", self.w.log("workload_asks_1"))
        self.assertNotIn("agent.sock", self.w.log("workload_quiet_1"))
        pid = self.w.list()["asks"]["pid"]
        script = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/cvm-agent/agent.sock'); s.sendall(b'hi')"
        client = subprocess.run(["nsenter", "-t", pid, "-U", sys.executable, "-c",
                                 script.replace("/run/cvm-agent", "/run/agent-sockets/asks")], capture_output=True, text=True)
        self.assertEqual(client.returncode, 0, client.stderr)
        self.assertEqual(server.accept()[0].recv(2), b"hi")


class FromRegistry(unittest.TestCase):
    LOGIN = ("user", "pass word")
    PULLS = DOCKERS if DOCKER else "/run/pull/engine"

    @classmethod
    def setUpClass(cls):
        cls.open, cls.closed = Registry("/run/open", 5001), Registry("/run/closed", 5002, cls.LOGIN)
        os.makedirs("/run/keys")
        cls.public = "/run/keys/ours.pub"
        key, other = make_key(cls.public), make_key("/run/keys/other.pub")
        cls.ids = {}
        for name in "signed", "unsigned", "foreign":
            cls.ids[name] = images.write_archive(f"/run/{name}.tar", f"localhost/{name}:1", [*SHELL, "exec /bin/busybox sleep 1000"],
                                                 files={"etc/name": name.encode()})
        for name in "signed", "unsigned", "foreign", "moved":
            cls.open.push(f"/run/{name if name != 'moved' else 'signed'}.tar", name + ":1")
        cls.open.sign("signed", "1", key)
        cls.open.sign("foreign", "1", other)
        cls.open.sign("moved", "1", key, identity="127.0.0.1:5001/signed:1")
        cls.closed.push("/run/unsigned.tar", "private:1")
        cls.tokens = TokenServer("/run/tokens", ("user", "pass word"))
        cls.token = Registry("/run/token", 5003, tokens=cls.tokens)
        for name in "signed", "unsigned":
            cls.token.push(f"/run/{name}.tar", name + ":1")
        cls.token.sign("signed", "1", key)

    @classmethod
    def tearDownClass(cls):
        cls.open.stop()
        cls.closed.stop()
        cls.token.stop()
        cls.tokens.stop()

    def pull(self, reference, *args, **more):
        return tool(self.PULLS, "pull", reference, *args, **more)

    def policy(self, value):
        with open("/run/policy.json", "w") as f:
            json.dump(value, f)
        return "--policy", "/run/policy.json"

    def test_the_id_is_the_hash_of_the_config(self):
        self.assertEqual(self.pull("127.0.0.1:5001/signed:1").strip(), self.ids["signed"])
        digest = self.open.digest("signed", "1")
        self.assertEqual(self.pull("127.0.0.1:5001/signed@" + digest).strip(), self.ids["signed"])
        self.assertIn("not-found:", self.pull("127.0.0.1:5001/signed:absent", ok=False))
        self.assertIn("unavailable:", self.pull("127.0.0.1:5999/nobody:1", ok=False))

    def test_login(self):
        self.assertIn("denied:", self.pull("127.0.0.1:5002/private:1", ok=False))
        self.assertIn("denied:", self.pull("127.0.0.1:5002/private:1", "--user", "user", "--password", "wrong", ok=False))
        got = self.pull("127.0.0.1:5002/private:1", "--user", self.LOGIN[0], "--password", self.LOGIN[1])
        self.assertEqual(got.strip(), self.ids["unsigned"])

    def test_login_for_a_token(self):
        """The registry wants a bearer token, which another server gives: it judges what the engine and we bring."""
        login = "--user", self.LOGIN[0], "--password", self.LOGIN[1]
        self.assertIn("denied:", self.pull("127.0.0.1:5003/unsigned:1", ok=False))
        self.assertIn("denied:", self.pull("127.0.0.1:5003/unsigned:1", "--user", "user", "--password", "wrong", ok=False))
        self.assertEqual(self.pull("127.0.0.1:5003/unsigned:1", *login).strip(), self.ids["unsigned"])
        policy = self.policy({"transports": {"docker": {"127.0.0.1:5003": [
            {"type": "sigstoreSigned", "keyPath": self.public, "signedIdentity": {"type": "matchRepository"}}]}}})
        self.tokens.asked.clear()
        self.assertEqual(self.pull("127.0.0.1:5003/signed:1", *policy, *login).strip(), self.ids["signed"])
        ours = self.tokens.asked[0]  # the signature is read before anything is pulled
        self.assertEqual(ours, ({"scope": ["repository:signed:pull"], "service": ["registry.test"]}, True))
        for args in [], ["--user", "user", "--password", "wrong"]:
            error = self.pull("127.0.0.1:5003/signed:1", *policy, *args, ok=False)
            self.assertTrue(error.startswith("denied:"), error)
            self.assertNotIn("wrong", error)
        self.assertIn("signature", self.pull("127.0.0.1:5003/unsigned:1", *policy, *login, ok=False))

    def test_signatures(self):
        policy = self.policy({"transports": {"docker": {"127.0.0.1:5001": [
            {"type": "sigstoreSigned", "keyPath": self.public, "signedIdentity": {"type": "matchRepository"}}]}}})
        self.assertEqual(self.pull("127.0.0.1:5001/signed:1", *policy).strip(), self.ids["signed"])
        for name in "unsigned:1", "foreign:1", "moved:1":
            error = self.pull("127.0.0.1:5001/" + name, *policy, ok=False)
            self.assertTrue(error.startswith("denied:"), error)
            self.assertIn("signature", error)
        error = self.pull("127.0.0.1:5002/private:1", *policy, "--user", self.LOGIN[0], "--password", self.LOGIN[1], ok=False)
        self.assertTrue(error.startswith("denied:"), error)  # no scope: the default rejects
        w = Workload()
        w.image("bb")
        for name in "unsigned", "foreign":
            error = w.apply(f"services: {{x: {{image: '127.0.0.1:5001/{name}:1'}}}}", *policy, "--images-only", ok=False)
            self.assertRegex(error, "^denied: .*image of service x")
        w.apply("services: {x: {image: '127.0.0.1:5001/signed:1'}}", *policy, "--images-only")
        self.assertIn("denied:", w.apply("services: {x: {image: 'localhost/bb:1'}}", *policy, "--images-only", ok=False))
        policy = self.policy({"transports": {"docker-archive": {"": [{"type": "insecureAcceptAnything"}]}}})
        w.apply("services: {x: {image: 'localhost/bb:1'}}", *policy, "--images-only")

    def test_a_signature_wanted_of_one_tag(self):
        """What is pulled is a digest, which no scope of a tag fits."""
        signed = [{"type": "sigstoreSigned", "keyPath": self.public}]
        policy = self.policy({"transports": {"docker": {"127.0.0.1:5001/signed:1": signed,
                                                        "127.0.0.1:5001/unsigned": [{"type": "reject"}, *signed]}}})
        self.assertEqual(self.pull("127.0.0.1:5001/signed:1", *policy).strip(), self.ids["signed"])
        for name in "signed@" + self.open.digest("signed", "1"), "unsigned:1":
            self.assertIn("the signature policy rejects", self.pull("127.0.0.1:5001/" + name, *policy, ok=False))

    def test_archives_carry_no_signature(self):
        w = Workload()
        w.image("bb")
        signed, anything = {"type": "sigstoreSigned", "keyPath": self.public}, {"type": "insecureAcceptAnything"}

        def load(policy):
            return w.apply("services: {x: {image: 'localhost/bb:1'}}", *self.policy(policy), "--images-only",
                           ok=policy.get("transports") == {"docker-archive": {"": [anything]}})
        for requirements in [signed], [anything, signed]:
            error = load({"default": [{"type": "reject"}], "transports": {"docker-archive": {"": requirements}}})
            self.assertRegex(error, r'^input: .*transports.docker-archive."": sigstoreSigned: only images of a registry')
        for policy in ({"default": [signed]}, {"transports": {"docker-archive": {"": [anything, {"type": "reject"}]}}},
                       {"transports": {"oci-archive": {"": [anything]}}}):
            self.assertRegex(load(policy), "^denied: .*image of service x: .*no scope docker-archive that accepts it")
        load({"default": [signed], "transports": {"docker-archive": {"": [anything]}}})

    def test_registry_in_a_workload(self):
        w = Workload()
        out = w.apply("services: {x: {image: '127.0.0.1:5001/signed:1'}, y: {image: '127.0.0.1:5002/private:1'}}",
                      "--user", self.LOGIN[0], "--password", self.LOGIN[1])
        self.addCleanup(w.stop)
        self.assertIn(f"image x {self.ids['signed']}", out)
        error = w.apply("services: {x: {image: '127.0.0.1:5001/absent:1'}}", ok=False)
        self.assertIn("image of service x", error)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

"""cvm-cli policy-lint: settings in effect, problems with their place, exit status. usage: test_policy_lint.py CVM-CLI DATA
[TESTS]"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images  # noqa: E402

CLI, DATA = sys.argv[1:3]


def lint(*args, text=None):
    done = subprocess.run([CLI, "policy-lint", *args], input=text, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


class PolicyLint(unittest.TestCase):
    def test_current_file(self):
        status, out, err = lint(os.path.join(DATA, "policy/current.json"))
        self.assertEqual((status, err), (0, ""))
        lines = out.splitlines()
        self.assertIn('cvm_config.firewall.allowed_ports[1] = udp 8000-8010 in "media"  (written)', lines)
        self.assertIn('workload_config.services.allow_update = ["web", "db"]  (written)', lines)
        self.assertIn("cvm_config.disk_config.accept_host_vtpm = false  (default)", lines)
        self.assertEqual([x for x in lines if x.startswith("error")], [])

    def test_older_file(self):
        status, out, _ = lint(os.path.join(DATA, "policy/older.json"))
        self.assertEqual(status, 0)
        self.assertIn("older name: write workload_config.services.skip_measurement", out)
        self.assertIn('skip_measurement = ["x"]  (written, under an older name)', out)
        self.assertNotIn("secret-word", out)

    def test_every_problem_at_once(self):
        policy = {"cvm_config": {"foo": 1, "https_server": {"enable_auth": "no"}, "enable_livepatch": True,
                                 "firewall": {"allowed_ports": [{"protocol": "tcp", "port": "80"}, {"port": "81"}]},
                                 "maintenance_mode": {"signal": "X"}},
                  "workload_config": {"services": {"allow_update": ["a", 1]}}}
        status, out, _ = lint("-", text=json.dumps(policy))
        self.assertEqual(status, 3)
        errors = [x for x in out.splitlines() if x.startswith("error: ")]
        self.assertEqual([x.split(": ")[1] for x in errors],
                         ["cvm_config.foo", "cvm_config.https_server.enable_auth",
                          "workload_config.services.allow_update[]", "cvm_config.firewall.allowed_ports[1]",
                          "cvm_config.maintenance_mode.signal"])
        self.assertIn("enable_livepatch = true  (written)", out)
        self.assertIn("enable_auth = true  (default)", out)

    def test_not_json(self):
        for text in ("", "{", "[]", '{"a":1,"a":1}'):
            status, out, err = lint("-", text=text)
            self.assertEqual((status, out), (3, ""))
            self.assertRegex(err, r"^cvm-cli: -: not a policy: ")
        self.assertEqual(lint("/nonexistent/policy.json")[0], 3)
        self.assertEqual(lint()[0], 2)

    def workload(self, compose, policy=None):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.makedirs(os.path.join(folder.name, "config/cvm_agent"))
        with open(os.path.join(folder.name, "docker-compose.yml"), "w") as f:
            f.write(compose)
        if policy is not None:
            with open(os.path.join(folder.name, "config/cvm_agent/cvm_agent_policy.json"), "w") as f:
                json.dump(policy, f)
        return folder.name

    def test_a_workload(self):
        status, out, _ = lint(self.workload("services:\n  a: {image: r.io/a:1}\n"))
        self.assertEqual(status, 0, out)
        status, out, _ = lint(self.workload(
            "services:\n  a:\n    image: nginx\n    privileged: true\n    volumes: ['./config/x:/x:ro']\n",
            {"workload_config": {"services": {"allow_update": ["b"]}}}))
        self.assertEqual(status, 1)
        self.assertIn("docker-compose.yml:4:17: error: services.a: privileged: refused: gives the container the host", out)
        self.assertIn("docker-compose.yml:3:12: error: services.a.image: \"nginx\" is a short name", out)
        self.assertIn("docker-compose.yml:5:15: error: services.a.volumes: config/x is not in the workload", out)
        self.assertIn("cvm_agent_policy.json: error: workload_config.services.allow_update: missing service", out)
        status, out, _ = lint(self.workload("services:\n  a:\n    build: .\n"))
        self.assertEqual(status, 1)
        self.assertIn("docker-compose.yml: error: line 3, column 5: services.a.build: refused", out)

    def test_disks_that_nobody_mounts(self):
        config = {"enable": True, "disk_mount_point": "/data/secret", "disk_encryption": {"enable": True}, "accept_host_vtpm": True}
        compose = "services:\n  a: {image: r.io/a:1}\n"
        for disks in config, {"disks": [{"serial": "s", "disk_mount_point": "/data/secret"}]}:
            policy = {"cvm_config": {"disk_config": disks}}
            status, out, _ = lint("-", text=json.dumps(policy))
            self.assertEqual(status, 0)
            self.assertIn("warning: cvm_config.disk_config: this agent mounts no data disks", out)
            self.assertEqual("accept_host_vtpm: has no effect" in out, "enable" in disks)
            status, out, _ = lint(self.workload(compose, policy))
            self.assertEqual(status, 1)
            self.assertIn("cvm_agent_policy.json: error: cvm_config.disk_config: nothing would be mounted at /data/secret", out)
        self.assertEqual(lint(self.workload(compose, {"cvm_config": {"disk_config": {**config, "enable": False}}}))[0], 0)

    def test_files(self):
        compose = "services:\n  a: {image: r.io/a:1}\n"
        for path in ("notes.txt", "config/link", "broken.tar"):
            folder = self.workload(compose)
            if path == "config/link":
                os.symlink("/etc/passwd", os.path.join(folder, path))
            else:
                with open(os.path.join(folder, path), "w") as f:
                    f.write("no archive\n")
            status, out, err = lint(folder)
            self.assertEqual((status, err), (1, ""), out)
            self.assertRegex(out, f"(?m)^error: .*{path}")

    def test_signatures(self):
        compose = "services:\n  a: {image: r.io/a:1}\n"
        verify = {"enable": True, "signature_verification_policy_path": "config/images.json"}
        key = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
        signed = [{"type": "sigstoreSigned", "keyPath": "config/cosign.pub"}]
        for rules, archive, says in (
                ({"default": signed}, False, None),
                ({"default": signed}, True, "a.tar carries no signature"),
                ({"transports": {"docker-archive": {"": signed}}}, False, 'transports.docker-archive."": sigstoreSigned: only images'),
                ({"default": [{"type": "sigstoreSigned", "keyPath": "config/none.pub"}]}, False, "config/none.pub"),
                ({"defaults": signed}, False, "unknown member defaults")):
            for skip in False, True:
                folder = self.workload(compose, {"workload_config": {"image_signature_verification": verify,
                                                                     "services": {"skip_measurement": ["a"] if skip else []}}})
                for path, text in ("images.json", json.dumps(rules)), ("cosign.pub", key):
                    with open(os.path.join(folder, "config", path), "w") as f:
                        f.write(text)
                if archive:
                    images.write_archive(os.path.join(folder, "a.tar"), "r.io/a:1", ["/bin/busybox"])
                status, out, err = lint(folder)
                fine = says is None or (archive and skip)
                self.assertEqual((status, err), (0 if fine else 1, ""), out)
                if not fine:
                    self.assertRegex(out, "(?m)^config/images.json: error: .*" + re.escape(says))
                self.assertEqual("an unsigned image may run" in out, skip)

    def test_env_files(self):
        folder = self.workload("services:\n  a: {image: r.io/a:1, env_file: [config/good, config/none]}\n"
                               "  b: {image: r.io/a:1, env_file: config/bad}\n")
        for name, text in ("good", "A=$NONE\n"), ("bad", "A=1\nno equals sign\n"):
            with open(os.path.join(folder, "config", name), "w") as f:
                f.write(text)
        status, out, _ = lint(folder)
        self.assertEqual(status, 1)
        self.assertIn("docker-compose.yml: error: services.b.env_file: config/bad, line 2: want = after no\n", out)
        self.assertIn("docker-compose.yml: warning: config/good, line 1: ${NONE} is not set in .env", out)
        self.assertIn("services.a.env_file: config/none is not in the workload directory", out)


unittest.main(argv=sys.argv[:1] + sys.argv[3:])

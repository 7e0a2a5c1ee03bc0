"""cvm-cli token, livepatch, logs, maintenance, update-workload against an agent: usage: test_manage_cli.py CLI AGENT [...]"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

CLI, AGENT = sys.argv.pop(1), sys.argv.pop(1)


def pin_of(agent):
    return hashlib.sha256(agent.tls_spki()).hexdigest()


def cli(*args, token=None, stdin=""):
    env = {k: v for k, v in os.environ.items() if k != "CVM_API_TOKEN"}
    if token:
        env["CVM_API_TOKEN"] = token
    done = subprocess.run([CLI, *args], capture_output=True, text=True, env=env, input=stdin, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Manage(unittest.TestCase):
    def machine(self, policy=None, owner=None):
        folder = tempfile.TemporaryDirectory()
        config = os.path.join(folder.name, "workload/config/cvm_agent")
        os.makedirs(config)
        with open(os.path.join(config, "cvm_agent_policy.json"), "w") as f:
            json.dump(policy or {}, f)
        if owner:
            with open(os.path.join(config, "owner.pub"), "wb") as f:
                f.write(owner.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        self.addCleanup(folder.cleanup)
        agent = Agent(AGENT, options=["--emulate", "snp-vtpm", "--workload", os.path.join(folder.name, "workload")])
        self.addCleanup(agent.__exit__)
        roots = ["--trust-emulator", os.path.join(agent.dir, "state/emulator/roots.pem"), "--accept-self-asserted-ak"]
        return agent, f"https://127.0.0.1:{agent.external}", roots

    def test_a_token_by_evidence(self):
        agent, url, roots = self.machine()
        code, out, err = cli("token", url)
        self.assertEqual((code, out), (1, ""), err)  # nobody vouches for an emulated machine
        code, out, err = cli("token", url, *roots)
        self.assertEqual(code, 0, err)
        token = out.strip()
        self.assertRegex(token, "^[A-Za-z0-9]{32}$")
        code, out, err = cli("token", url, *roots)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("403", err)
        code, out, err = cli("token", url, "--rotate", "--pin", pin_of(agent), token=token)
        self.assertEqual(code, 0, err)
        second = out.strip()
        self.assertEqual(cli("token", url, "--rotate", "--pin", pin_of(agent), token=token)[0], 1)
        code, out, err = cli("token", url, "--rotate", "-", "--insecure", stdin=second + "\n")
        self.assertEqual(code, 0, err)
        code, out, err = cli("token", url, "--rotate", out.strip(), "--insecure")
        self.assertEqual(code, 0, err)
        self.assertIn("argument", err)
        self.assertEqual(cli("token", url, "--pin", "00" * 32)[0], 1)
        self.assertEqual(cli("token", f"http://127.0.0.1:{agent.internal}")[0], 2)
        self.assertEqual(cli("logs", url, "--insecure")[0], 2)  # no token

    def test_after_a_restart(self):
        """Each start has a TLS key of its own: the journal's last one counts, and what was given out before is still so."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        roots = ["--trust-emulator", os.path.join(folder.name, "emulator/roots.pem"), "--accept-self-asserted-ak"]
        for start in 1, 2, 3:
            with Agent(AGENT, folder.name, ["--emulate", "snp-vtpm"]) as agent:
                code, _, err = cli("collaterals", f"https://127.0.0.1:{agent.external}", *roots)
                self.assertEqual(code, 0, f"start {start}: {err}")
                self.assertIn("this connection's TLS key", err)

    def test_a_bare_address(self):
        agent, url, roots = self.machine()
        bare = url[len("https://"):]
        code, out, err = cli("token", bare, "--pin", pin_of(agent))
        self.assertEqual(code, 0, err)
        code, out, err = cli("token", "localhost:" + bare.split(":")[1], "--rotate", *roots, token=out.strip())
        self.assertEqual(code, 0, err)
        self.assertRegex(out, "^[A-Za-z0-9]{32}\n$")
        code, out, err = cli("collaterals", bare, "--pin", pin_of(agent))
        self.assertEqual(code, 0, err)
        self.assertEqual(cli("collaterals", f"127.0.0.1:{agent.internal}", "--pin", pin_of(agent))[0], 4)

    def test_the_owner(self):
        key = ec.generate_private_key(ec.SECP256R1())
        agent, url, roots = self.machine(owner=key)
        path = os.path.join(agent.dir, "owner.pem")
        with open(path, "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        self.assertEqual(cli("token", url, "--pin", pin_of(agent))[0], 1)
        code, out, err = cli("token", url, *roots, "--owner-key", path)
        self.assertEqual(code, 0, err)
        self.assertRegex(out, "^[A-Za-z0-9]{32}\n$")

    def test_what_the_policy_has_not(self):
        agent, url, _ = self.machine({"cvm_config": {"maintenance_mode": {"allow": False}}})
        pin = ["--pin", pin_of(agent)]
        token = cli("token", url, *pin)[1].strip()
        module = os.path.join(agent.dir, "x.ko")
        with open(module, "wb") as f:
            f.write(b"no module")
        for command, word in [(["maintenance", url, "enable"], "maintenance_mode"), (["livepatch", url, module], "enable_livepatch")]:
            code, out, err = cli(*command, *pin, token=token)
            self.assertEqual((code, out), (1, ""), err)
            self.assertIn(word, err)
        code, out, err = cli("logs", url, "--since", "zzz", *pin, token=token)
        self.assertEqual((code, out), (3, ""), err)  # 400: what was sent is malformed
        self.assertIn("since takes", err)
        self.assertEqual(cli("maintenance", url, "maybe", *pin, token=token)[0], 2)
        self.assertEqual(cli("maintenance", url, "enable", "--delay", "soon", *pin, token=token)[0], 2)
        self.assertEqual(cli("livepatch", url, module + "x", *pin, token=token)[0], 3)
        self.assertNotEqual(cli("update-workload", url, os.path.join(agent.dir, "absent"), *pin, token=token)[0], 0)


if __name__ == "__main__":
    unittest.main(verbosity=1)

"""A security policy counts once it is in PCR 23: usage: test_measured_policy.py AGENT CVM_CLI [unittest arguments]"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

AGENT, CLI = sys.argv.pop(1), sys.argv.pop(1)
OPEN = {"cvm_config": {"enable_sign_message": True, "https_server": {"enable_auth": False},
                       "attestation_api": {"raw_report_data": True}}}


class MeasuredPolicy(unittest.TestCase):
    def workload(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder.name, path)), exist_ok=True)
            with open(os.path.join(folder.name, path), "w") as f:
                f.write(text)
        return folder.name

    def agent(self, workload, state=None):
        return Agent(AGENT, state, ["--emulate", "gcp-snp", "--workload", workload])

    def settled(self, agent):
        """The state of the workload in /metrics, once it is not starting any more."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            lines = agent.ask("/metrics")[2].decode().splitlines()
            state = next(line for line in lines if line.startswith("cvm_agent_workload{") and line.endswith(" 1"))
            if "starting" not in state:
                return state.split('"')[1]
            time.sleep(0.05)
        self.fail("the workload is starting for ever")

    def opened(self, agent):
        """What an open policy lets callers do."""
        post = lambda path, body: agent.raw(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        asked = base64.b64encode(bytes(range(64))).decode()
        status, _, evidence = post("/attestation", json.dumps({"report_data": asked, "nonce": "AAAA", "to_json": True}))
        self.assertEqual(status, 200, evidence)
        return {"sign": post("/sign-message", '{"message":"m"}')[0] == 200, "journal": agent.ask("/journal", outside=True)[0] == 200,
                "raw": json.loads(evidence)["sevSnpAttestation"]["report"]["reportData"] == asked}

    def log(self, agent):
        return json.loads(agent.ask("/measurements")[2])

    def test_settings_without_services_are_measured(self):
        workload = self.workload({"config/cvm_agent/cvm_agent_policy.json": json.dumps(OPEN), "config/app.ini": "x=1\n", ".env": "A=1\n"})
        predicted = subprocess.run([CLI, "measure", workload, "--json"], capture_output=True, check=True)
        self.assertIn(b"settings without services", predicted.stderr)
        predicted = json.loads(predicted.stdout)
        self.assertEqual([(e["type"], e["name"]) for e in predicted["events"]],
                         [("env", ".env"), ("config", "config/app.ini"), ("config", "config/cvm_agent/cvm_agent_policy.json"), ("ready", "")])
        with tempfile.TemporaryDirectory() as state:
            for start in "first", "again":  # and a restart in the same boot measures nothing twice
                with self.agent(workload, state) as agent:
                    self.assertEqual(self.settled(agent), "none")
                    self.assertEqual(self.opened(agent), {"sign": True, "journal": True, "raw": True}, start)
                    self.assertEqual(len(self.log(agent)["events"]), 4)
                    pcrs = json.loads(agent.ask("/collaterals/1")[2])["tpm"]["pcrs"]["pcrs"]
                    self.assertEqual(base64.b64decode(pcrs["23"]).hex(), predicted["banks"]["sha256"]["23"])
                    agent.stop()

    def test_a_workload_that_is_refused_opens_nothing(self):
        for compose in "services:\n  a: {image: r.io/a:1, privileged: true}\n", "services: [\n":
            workload = self.workload({"docker-compose.yml": compose, "config/cvm_agent/cvm_agent_policy.json": json.dumps(OPEN)})
            with self.agent(workload) as agent:
                self.assertEqual(self.settled(agent), "failed")
                self.assertEqual(self.opened(agent), {"sign": False, "journal": False, "raw": False}, compose)
                self.assertEqual(self.log(agent)["events"], [])
                self.assertEqual(agent.ask("/api-token", outside=True)[0], 200)  # it can be looked at all the same

    def test_nothing_to_measure(self):
        for files in {}, {"secrets/key": "k"}:
            with self.agent(self.workload(files)) as agent:
                self.assertEqual(self.settled(agent), "none")
                self.assertEqual(self.opened(agent), {"sign": False, "journal": False, "raw": False})
                self.assertEqual(self.log(agent)["events"], [])
            done = subprocess.run([CLI, "measure", self.workload(files)], capture_output=True)
            self.assertEqual((done.returncode, done.stdout), (3, b""))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""POST /attestation and the attestation policies of one emulated shape. The protobuf answers are read by Google's own
library over messages written from the field tables, never by ours alone; what is bound is computed here again.

usage: test_attestation_route.py CVM-CLI CVM-AGENT SHAPE
"""
import base64
import copy
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

from google.protobuf import json_format

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent, AgentCase  # noqa: E402

CLI, AGENT, SHAPE = sys.argv[1:4]
SNP, BARE, AZURE = "snp" in SHAPE, SHAPE in ("snp", "tdx"), SHAPE.startswith("azure")
SELF_ASSERTED = SHAPE in ("snp-vtpm", "tdx-vtpm", "aws-snp")
HERE = os.path.dirname(os.path.abspath(__file__))
POLICY = "config/cvm_agent/cvm_agent_policy.json"
TAG = b"cvm-agent/attestation-v1\0"
ASKED = bytes(range(1, 41))
NONCE = b"0123456789abcdef"


def b64(data):
    return base64.b64encode(data).decode()


def messages(folder):
    """The module that protoc makes. The library has the wrappers; protoc wants to see the one that is used."""
    wrappers = os.path.join(folder, "google/protobuf")
    os.makedirs(wrappers)
    with open(os.path.join(wrappers, "wrappers.proto"), "w", encoding="utf-8") as f:
        f.write('syntax = "proto3"; package google.protobuf; message UInt32Value { uint32 value = 1; }')
    subprocess.run(["protoc", f"--proto_path={HERE}/../interop", f"--proto_path={folder}", f"--python_out={folder}",
                    "attestation.proto"], check=True)
    sys.path.insert(0, folder)
    import attestation_pb2
    return attestation_pb2


class Route(AgentCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.pb = messages(cls.folder.name)
        cls.state = os.path.join(cls.folder.name, "state")
        cls.agent = Agent(AGENT, cls.state, ["--emulate", SHAPE])
        cls.roots = os.path.join(cls.state, "emulator/roots.pem")
        cls.collateral = os.path.join(cls.state, "emulator/collateral")

    def post(self, body, path="/attestation", side="internal", headers=None, agent=None):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, head, answer = (agent or self.agent).request(side, "POST", path, headers=headers, body=text)
        return status, {k.lower(): v for k, v in head.items()}, answer

    def ask(self, report_data=ASKED, nonce=NONCE, to_json=False, agent=None):
        status, head, answer = self.post({"report_data": b64(report_data), "nonce": b64(nonce), "to_json": to_json},
                                         agent=agent)
        self.assertEqual(status, 200, answer)
        self.assertEqual(head["content-type"], "application/json" if to_json else "application/octet-stream")
        return answer

    def cli(self, *args):
        return subprocess.run([CLI, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
                              cwd=self.folder.name)

    def verify(self, answer, *options):
        done = self.cli("verify-attestation", self.file("answer", answer), "--trust-emulator", self.roots, "--json",
                        *([] if SNP else ["--certs", self.collateral]), *options)
        self.assertIn(done.returncode, (0, 1, 3), done.stderr)
        return done.returncode, json.loads(done.stdout) if done.returncode < 2 else done.stderr.decode()

    def too_long(self, path, n):
        """The status for a head that announces so many bytes: they are not read."""
        c = self.agent.connection("internal")
        c.putrequest("POST", path)
        c.putheader("Content-Length", str(n))
        c.endheaders()
        try:
            return c.getresponse().status
        finally:
            c.close()

    # ---- what is bound, computed here ----

    def expected(self, report_data, nonce, ak_pub, raw=False):
        asked, nonce = report_data.ljust(64, b"\0"), nonce.ljust(32, b"\0")
        if raw:
            return asked
        if SNP and not BARE:
            return hashlib.sha3_512(asked + ak_pub).digest()
        return hashlib.sha512(TAG + asked + nonce).digest()

    def check_message(self, message, report_data, nonce, raw=False):
        """An attest.Attestation, read by Google's library."""
        self.assertIn(message.ak_pub[:2], (b"\0\1", b"\0\x23"))
        tee = message.sev_snp_attestation.report if SNP else message.tdx_attestation.td_quote_body
        if not AZURE:
            self.assertEqual(tee.report_data, self.expected(report_data, nonce, message.ak_pub, raw))
        self.assertEqual([q.pcrs.hash for q in message.quotes], [11, 12])
        for quote in message.quotes:
            digest = hashlib.sha256(b"".join(quote.pcrs.pcrs[i] for i in range(24))).digest()
            self.assertEqual(quote.quote[:4], b"\xffTCG")
            signer = 8 + struct.unpack(">H", quote.quote[6:8])[0]
            size = struct.unpack(">H", quote.quote[signer:signer + 2])[0]
            self.assertEqual(quote.quote[signer + 2:signer + 2 + size], nonce.ljust(32, b"\0"))
            self.assertIn(digest, quote.quote)
        self.assertGreater(len(message.event_log), 1000)
        self.assertEqual(bool(message.ak_cert), SHAPE in ("gcp-snp", "gcp-tdx", "azure-snp", "azure-tdx"))
        self.assertEqual(bool(message.instance_info.instance_id), SHAPE.startswith("gcp"))
        if SNP:
            chain = message.sev_snp_attestation.certificate_chain
            self.assertEqual(bool(chain.vlek_cert), SHAPE == "aws-snp")
            self.assertTrue(chain.ask_cert and chain.ark_cert and (chain.vcek_cert or chain.vlek_cert))

    def read(self, answer, to_json):
        message = self.pb.Attestation()
        if to_json:
            self.assertTrue(answer.startswith(b'{\n\t"akPub": "'), answer[:40])
            json_format.Parse(answer, message)
        else:
            message.ParseFromString(answer)
            self.assertFalse(any(True for _ in message.UnknownFields()) if hasattr(message, "UnknownFields") else False)
        return message

    @unittest.skipIf(BARE, "no TPM")
    def test_attestation(self):
        for report_data, nonce in ((b"", b""), (ASKED, NONCE), (bytes(range(64)), bytes(range(32)))):
            for to_json in (False, True):
                with self.subTest(n=len(report_data), json=to_json):
                    answer = self.ask(report_data, nonce, to_json)
                    self.check_message(self.read(answer, to_json), report_data, nonce)
                    rc, judged = self.verify(answer, *(["--nonce", nonce.hex()] if nonce else []))
                    self.assertEqual(rc, 0, judged)
                    self.assertEqual(judged["freshness"], "fresh" if nonce else "unchecked")
                    self.assertEqual(judged["binding"], "azure" if AZURE else "cocos" if SNP
                                     else "cvm-agent-attestation-v1")
                    if report_data:
                        self.assertEqual(self.verify(answer, "--report-data", report_data.hex())[0], 0)

    @unittest.skipIf(BARE, "no TPM")
    def test_changed_answers_are_refused(self):
        answer = self.ask()
        self.assertEqual(self.verify(answer, "--nonce", NONCE[:-1].hex() + "00")[0], 1)
        if not AZURE:
            self.assertEqual(self.verify(answer, "--report-data", ASKED[:-1].hex())[0], 1)
        message = self.read(answer, False)
        changes = []
        for change in ("ak", "pcr", "quote", "report", "asked"):
            m = self.pb.Attestation()
            m.CopyFrom(message)
            if change == "ak":
                m.ak_pub = m.ak_pub[:-1] + bytes([m.ak_pub[-1] ^ 1])
            elif change == "pcr":
                m.quotes[1].pcrs.pcrs[0] = bytes(48)
            elif change == "quote":
                m.quotes[0].quote = m.quotes[0].quote[:-1] + bytes([m.quotes[0].quote[-1] ^ 1])
            elif change == "report" and SNP:
                m.sev_snp_attestation.report.policy ^= 1 << 19
            elif change == "report":
                m.tdx_attestation.td_quote_body.mr_td = bytes(48)
            elif AZURE:
                continue
            elif SNP:
                for key, value in list(m.sev_snp_attestation.certificate_chain.extras.items()):
                    m.sev_snp_attestation.certificate_chain.extras[key] = value[:-1] + b"\1"
            else:
                m.tdx_attestation.extra_bytes = m.tdx_attestation.extra_bytes[:-1] + b"\1"
            changes.append((change, m.SerializeToString()))
        for change, changed in changes:
            if change == "asked" and SHAPE == "tdx-vtpm":
                continue  # the last bytes there are the body's
            self.assertNotEqual(self.verify(changed)[0], 0, change)

    @unittest.skipUnless(BARE, "there is a TPM")
    def test_bare(self):
        raw = self.ask()
        place = slice(0x50, 0x90) if SNP else slice(48 + 520, 48 + 584)
        self.assertEqual(raw[place], self.expected(ASKED, NONCE, b""))
        self.assertEqual(len(raw), 1184) if SNP else self.assertEqual(raw[4:8], b"\x81\0\0\0")
        message = (self.pb.SnpAttestation if SNP else self.pb.QuoteV4)()
        answer = self.ask(to_json=True)
        json_format.Parse(answer, message)
        self.assertTrue(answer.startswith(b"{\n\t"))
        got = message.report.report_data if SNP else message.td_quote_body.report_data
        self.assertEqual(got, self.expected(ASKED, NONCE, b""))
        if SNP:
            self.assertTrue(message.certificate_chain.ark_cert)
            vek, chain = self.file("vek.der", message.certificate_chain.vcek_cert), self.roots
            ask = self.file("ask.der", message.certificate_chain.ask_cert)
            done = self.cli("verify-snp", self.file("report.bin", raw), "--vek", vek, "--chain", ask, "--json")
            failed = [c["check"] for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
            self.assertNotIn("snp.report_signature", failed)
            self.assertTrue(os.path.exists(chain))
        else:
            self.assertEqual(message.SerializeToString() != b"", True)
            self.assertEqual(message.header.qe_vendor_id.hex(), "939a7233f79c4ca9940a0db3957f0607")

    # ---- the forging attempt ----

    def test_no_container_makes_the_agents_statements(self):
        """Report data and extraData of a collaterals document, asked for here: the quote is refused, and the report
        has a hash in the place of what was asked for."""
        doc = self.agent.get("/collaterals/honest")
        for magic in (b"Internal/collaterals", b"External/collaterals", b"Workload/collaterals"):
            status, _, answer = self.post({"report_data": b64(ASKED), "nonce": b64(magic + b"twelve bytes")})
            self.assertEqual(status, 400, answer)
            self.assertIn(b"keeps for its own documents", answer)
        if AZURE:
            return
        spki = base64.b64decode(doc["tpm"]["ak_pub"]) if not BARE else b""
        first = hashlib.sha256(spki).digest() if not BARE else bytes(32)
        wanted = first + hashlib.sha256(b"Internal/collaterals" + b"forged").digest()
        raw = self.ask(wanted, b"forged")
        forged = copy.deepcopy(doc)
        if BARE:
            report = raw
        elif SNP:
            message = self.read(raw, False)
            self.assertNotEqual(message.sev_snp_attestation.report.report_data, wanted)
            return
        else:
            message = self.read(raw, False)
            self.assertNotEqual(message.tdx_attestation.td_quote_body.report_data, wanted)
            return
        forged["sev_snp" if SNP else "tdx"]["attestation_report"] = b64(report)
        forged["nonce"] = b64(b"forged")
        done = self.cli("verify", self.file("forged.json", forged), "--trust-emulator", self.roots, "--json",
                        *([] if SNP else ["--certs", self.collateral]))
        failed = [c["check"] for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
        self.assertEqual(done.returncode, 1)
        self.assertIn("binding.nonce", failed)

    @unittest.skipUnless(SHAPE in ("gcp-snp", "tdx-vtpm", "snp"), "three shapes are enough")
    def test_raw_where_the_measured_policy_says_so(self):
        config = self.file("policy.json", {"cvm_config": {"attestation_api": {"raw_report_data": True}}})
        state = os.path.join(self.folder.name, "raw-state")
        with Agent(AGENT, state, ["--emulate", SHAPE, "--config", config]) as agent:
            raw = self.ask(agent=agent)
            if BARE:
                self.assertEqual(raw[0x50:0x90], ASKED.ljust(64, b"\0"))
            else:
                self.check_message(self.read(raw, False), ASKED, NONCE, raw=True)
            status, _, _ = self.post({"nonce": b64(b"Internal/collateralsx")}, agent=agent)
            self.assertEqual(status, 400)

    # ---- bad requests ----

    def test_bad_requests(self):
        texts = set()
        for name, size in (("report_data", 64), ("nonce", 32)):
            for value in ("!!!!", "AAA\n", b64(bytes(size + 1)), 7, [], {}):
                status, _, answer = self.post({name: value})
                self.assertEqual(status, 400, (name, value))
                texts.add(json.loads(answer)["error"])
        self.assertEqual(len(texts), 2, texts)  # one for each name
        for body in (b"", b"{", b"[]", b"7", b'{"to_json":1}', b'{"nonce":"","nonce":""}', b"\xff", b'{"a":' * 100):
            self.assertEqual(self.post(body)[0], 400, body)
        self.assertEqual(self.too_long("/attestation", 5000), 413)
        self.assertEqual(self.post({"attestation_type": 1, "report_data": None})[0], 200)
        self.assertEqual(self.agent.request("internal", "GET", "/attestation")[0], 405)
        self.assertEqual(self.post({}, side="external")[0], 404)
        self.assertEqual(self.post({}, side="socket")[0], 200)

    # ---- /attestation/policy ----

    @unittest.skipUnless(SHAPE == "snp-vtpm", "one shape is enough")
    def test_policy_store(self):
        path = "/attestation/policy"
        self.assertEqual(self.agent.request("internal", "GET", path)[0], 404)
        first, second = b'{ "policy":{"minimum_tcb":15352208179752599555} }\n', b'"any JSON"'
        for n, text in enumerate((first, second), 1):
            status, _, answer = self.post(text, path)
            self.assertEqual((status, json.loads(answer)), (201, {"version": n, "sha256": hashlib.sha256(text).hexdigest()}))
            self.assertEqual(self.agent.request("internal", "GET", path)[2], text)
        self.assertEqual(self.agent.request("internal", "GET", path + "?version=1")[2], first)
        self.assertEqual(self.agent.request("internal", "GET", path + "?version=3")[0], 404)
        for query in ("0", "x", "-1", "01", "9999999999"):
            self.assertEqual(self.agent.request("internal", "GET", f"{path}?version={query}")[0], 400, query)
        for text in (b"", b"{", b"{}x", b"\xff", b'{"a":1,"a":2}', b"[" * 2000):
            self.assertEqual(self.post(text, path)[0], 400, text[:20])
        self.assertEqual(self.too_long(path, (1 << 20) + 1), 413)
        most = b'"' + b"a" * ((1 << 20) - 2) + b'"'
        self.assertEqual(self.post(most, path)[0], 201)
        self.assertEqual(self.agent.request("external", "GET", path)[0], 401)
        self.assertEqual(self.post(b"{}", path, side="external")[0], 401)
        status, _, token = self.agent.request("external", "GET", "/api-token")
        if status == 200:
            auth = {"Authorization": "Bearer " + token.decode().strip()}
            self.assertEqual(self.agent.request("external", "GET", path, headers=auth)[2], most)
            self.assertEqual(self.post(b"{}", path, side="external", headers=auth)[0], 201)
            auth["Authorization"] = "Bearer " + "A" * 32
            self.assertEqual(self.post(b"{}", path, side="external", headers=auth)[0], 401)
        acts = [a for a in self.agent.get("/journal")["acts"].values() if a["verb"] == "attestation-policy-put"]
        self.assertIn(({"version": 2, "sha256": hashlib.sha256(second).hexdigest()}, "done", "internal"),
                      [(a["what"], a["outcome"], a["from"]) for a in acts])
        for _ in range(100):
            status, _, answer = self.post(b"{}", path)
            self.assertEqual(status, 201)
        self.assertEqual(self.agent.request("internal", "GET", path + "?version=1")[0], 404)
        kept = os.listdir(os.path.join(self.state, "attestation-policy"))
        self.assertEqual(len(kept), 100)

    # ---- policies over this shape's evidence ----

    def make_policy(self):
        out = os.path.join(self.folder.name, "made.json")
        if SNP:
            done = self.cli("policy", "sev-snp", self.file("doc.json", self.doc), "--policy", "0x30000", "-o", out)
        else:
            done = self.cli("policy", "tdx", self.file("doc.json", self.doc), "--from-quote", "--check_crl", "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, encoding="utf-8") as f:
            policy = json.load(f)
        if not BARE and SNP:
            pcrs = self.doc["tpm"]["pcrs"]["pcrs"]
            policy["pcr_values"] = {"sha256": {i: base64.b64decode(pcrs[i]).hex() for i in ("0", "4", "7", "9")}}
        return policy

    def judge(self, policies, *options):
        args = []
        for i, policy in enumerate(policies):
            args += ["--policy", self.file(f"p{i}.json", policy)]
        done = self.cli("verify", self.file("doc.json", self.doc), "--trust-emulator", self.roots, "--certs",
                        self.collateral, "--offline", "--json", *args, *options)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode, json.loads(done.stdout)

    def leaves(self, value, path=()):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            yield from self.leaves(inner, path + (key,))
        if not isinstance(value, (dict, list)):
            yield path, value

    def changed(self, path, value):
        """Another value of this leaf that the evidence must not satisfy; None: there is none."""
        name = path[-2] if isinstance(path[-1], int) else path[-1]
        if path[0] == "pcr_values":
            return ("0" if value[0] != "0" else "1") + value[1:]
        if name == "minimumTeeTcbSvn":
            return b64(b"\xff" * 16)
        if isinstance(value, str) and name not in ("minimum_version", "product", "product_line"):
            raw = bytearray(base64.b64decode(value))
            raw[-1] ^= 1
            return b64(bytes(raw))
        return {"minimum_tcb": 2 ** 64 - 1, "minimum_launch_tcb": 2 ** 64 - 1, "minimum_version": "255.255",
                "minimum_build": 255, "minimum_guest_svn": 2 ** 32 - 1, "vmpl": 3, "policy": 0x20000 | 0x100000}.get(name)

    def test_a_made_policy_accepts_and_each_change_refuses(self):
        type(self).doc = self.agent.get("/collaterals/for-policies")
        accept = ["--accept-self-asserted-ak"] if SELF_ASSERTED and SNP else []
        policy = self.make_policy()
        rc, answer = self.judge([policy], *accept)
        self.assertEqual(rc, 0, answer.get("error"))
        self.assertEqual([p["failures"] for p in answer["policies"]], [[]])
        if SHAPE == "tdx-vtpm":  # nobody vouches for the key but RTMR1 and RTMR2, pinned by the policy
            self.assertEqual([c["ok"] for c in answer["checks"] if c["check"] == "tpm.ak_anchor"], [True])
            loose = copy.deepcopy(policy)
            loose["policy"]["tdQuoteBodyPolicy"]["rtmrs"][2] = ""
            rc, answer = self.judge([loose])
            self.assertEqual([c["check"] for c in answer["checks"] if c["ok"] is False], ["tpm.ak_anchor"])
        if SELF_ASSERTED and SNP:
            rc, answer = self.judge([policy])  # PCRs count for nothing: contract, section 3
            self.assertEqual(rc, 1)
            self.assertIn("tpm.ak_anchor", [c["check"] for c in answer["checks"] if c["ok"] is False])
            self.assertTrue(all(f["field"].startswith("pcr_values") for f in answer["policies"][0]["failures"]))
        tried = 0
        for path, value in self.leaves(policy):
            other = self.changed(path, value)
            if other is None:
                continue
            bad = copy.deepcopy(policy)
            at = bad
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = other
            rc, answer = self.judge([bad], *accept)
            self.assertEqual(rc, 1, path)
            self.assertFalse(answer["policies"][0]["ok"], path)
            tried += 1
        self.assertGreater(tried, 10)
        self.several(policy, accept)

    def several(self, policy, accept):
        bad = copy.deepcopy(policy)
        if SNP:
            bad["policy"]["measurement"] = b64(bytes(48))
        else:
            bad["policy"]["tdQuoteBodyPolicy"]["mrTd"] = b64(bytes(48))
        rc, answer = self.judge([policy, bad, policy], *accept)
        self.assertEqual(rc, 1)
        self.assertEqual([(c["check"], c["ok"]) for c in answer["checks"] if c["check"].startswith("policy.")],
                         [("policy.p0", True), ("policy.p1", False), ("policy.p2", True)])
        other = {"policy": {"tdQuoteBodyPolicy": {}}} if SNP else {"policy": {"policy": 196608}}
        rc, answer = self.judge([other], *accept)
        self.assertEqual((rc, answer["policies"][0]["failures"][0]["field"]), (1, "policy"))
        self.rego(policy, accept)
        self.over_http(policy, bad)

    def rego(self, policy, accept):
        """Rego beside JSON: told by content, each with its verdict."""
        tee = "sevsnp" if SNP else "tdx"
        name = "sevsnp_launchmeasurement" if SNP else "tdx_mrtd"
        claims = self.judge([policy], *accept)[1]["claims"]
        good = f'import rego.v1\nmatch if input.{tee}.{name} == "{claims[tee][name]}"\nexport := {{"m": input.{tee}.{name}}}\n'
        for text, kind in ((good, True), (good.replace(claims[tee][name][:8], "00000000"), False),
                           ("import rego.v1\nmatch if input.none.such\n", False),
                           ('import rego.v1\nmatch if true\nexport := {"a": 1}\nexport := {"a": 2}\n', None)):
            rc, answer = self.judge([text.encode(), policy], *accept)
            self.assertEqual(rc, 0 if kind else 1, text)
            first, second = answer["policies"]
            self.assertEqual((first["kind"], first["ok"], second["ok"]), ("rego", bool(kind), True))
            self.assertEqual("error" in first, kind is None)
            if kind:
                self.assertEqual(first["policy_defined_claims"], {"m": claims[tee][name]})
            elif kind is False:
                self.assertTrue(first["explain"])
        self.file("p.rego", b"import rego.v1\nmatch if {\n  input..x\n}\n")
        done = self.cli("verify", self.file("doc.json", self.doc), "--policy", "p.rego")
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr.decode(), r"p\.rego: not a policy: .*3:9")

    def over_http(self, policy, bad):
        """The member policy of POST /offchain-verify."""
        with open(self.roots, encoding="utf-8") as f:
            roots = f.read()
        body = {"collaterals": self.doc, "trust_roots": roots}
        if SELF_ASSERTED:
            body["accept_ak"] = "self-asserted"
        if SNP:
            name = [n for n in os.listdir(self.collateral) if n.endswith(".crl")][0]
            with open(os.path.join(self.collateral, name), "rb") as f:
                body["snp_crl"] = b64(f.read())

        def ask(value):
            status, _, answer = self.post({**body, "policy": value}, "/offchain-verify")
            return status, json.loads(answer)

        for value in (policy, json.dumps(policy), [policy, json.dumps(policy)]):
            status, answer = ask(value)
            self.assertEqual((status, [p["ok"] for p in answer["policies"]]),
                             (200, [True] * (len(value) if isinstance(value, list) else 1)), answer.get("error"))
        status, answer = ask(["import rego.v1\nmatch if true\n", policy])
        self.assertEqual([p["kind"] for p in answer["policies"]], ["rego", "cocos-snp" if SNP else "cocos-tdx"])
        status, answer = ask("import rego.v1\nmatch if {\n")
        self.assertEqual(status, 400)
        self.assertRegex(answer["error"], r"policy\[0\].*\d+:\d+")
        status, answer = ask([policy, bad])
        self.assertEqual((status, answer["success"]), (200, False))
        self.assertEqual([(c["check"], c["ok"]) for c in answer["checks"] if c["check"].startswith("policy.")],
                         [("policy.0", True), ("policy.1", False)])
        for value in (7, [], [7], "{", "", {}, {"policy": {"policy": 0}}, [policy, {"policy": 1}], [policy] * 17,
                      {"policy": {"policy": 196608}, "root_of_trust": {"cabundle_paths": ["/etc/hostname"]}}):
            status, answer = ask(value)
            self.assertEqual((status, list(answer)), (400 if value != [policy] * 17 else 413, ["error"]), value)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])

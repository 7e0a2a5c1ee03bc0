"""cvm-cli as a user runs it: exit statuses, every recorded file of evidence against the manifest's facts, truncated
files, boot logs against recorded registers.

usage: test_cli.py CVM-CLI EVIDENCE-FOLDER
"""
import base64
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

CLI, EVIDENCE = sys.argv[1], os.environ.get("CVM_EVIDENCE") or sys.argv[2]
HAVE = os.path.isdir(EVIDENCE)


def run(*args, data=None):
    return subprocess.run([CLI, *args], input=data, stdin=subprocess.DEVNULL if data is None else None,
                          capture_output=True, timeout=20, check=False)


def path(relative):
    return os.path.join(EVIDENCE, relative)


def read(relative):
    with open(path(relative), "rb") as f:
        return f.read()


@functools.lru_cache(maxsize=None)
def inspect(relative):
    done = run("inspect", path(relative))
    assert done.returncode == 0, (relative, done.stderr)
    return json.loads(done.stdout)


def manifest():
    return json.loads(read("manifest.json"))["cases"]


TYPE_OF = {
    "hcl_report.bin": "hcl_report", "report.bin": "snp_report", "snp_report.bin": "snp_report", "quote.bin": "tdx_quote",
    "tdreport.bin": "tdreport", "auxblob.bin": "cert_table", "tpm_quote.msg": "tpm_attest", "ak_pub.tpmt": "tpm_public",
    "ak_pub.pem": "public_key", "eventlog.bin": "eventlog", "ccel.bin": "eventlog", "ccel_table.bin": "ccel_table",
    "attestation.pb": "attestation", "tcb_info.json": "tcb_info", "qe_identity.json": "qe_identity",
    "tcb_eval_numbers.json": "tcb_evaluation_numbers", "golden_measurement.json": "golden_measurement",
    "runtime_data.json": "runtime_data", "token.jwt": "jwt", "event_log.json": "eventlog_json",
    "ak_cert_nv_padded.bin": "certificate",
}
# Helper files of the collection that are no evidence.
NO_EVIDENCE = {"manifest.json", "nonce.bin", "upstream_parse.json", "header.json", "claims.json"}


def type_of(relative):
    folder, name = relative.split("/")[0], os.path.basename(relative)
    if folder == "nvidia-gpu" and name == "report.bin":
        return "nvidia_report"
    if name in TYPE_OF:
        return TYPE_OF[name]
    if "crl" in name and not name.startswith("pck_crl_issuer"):
        return "crl"
    if "pcrs" in name or name == "replayed.json":
        return "pcrs"
    if name.startswith("quote_sha"):
        return "tpm_attest" if name.endswith(".msg") else "tpm_signature"
    if name == "tpm_quote.sig":
        return "tpm_signature"
    return "certificate"


def files():
    for folder, _, names in sorted(os.walk(EVIDENCE)):
        for name in sorted(names):
            if name not in NO_EVIDENCE:
                yield os.path.relpath(os.path.join(folder, name), EVIDENCE)


class Usage(unittest.TestCase):
    def error(self, status, *args, data=None):
        done = run(*args, data=data)
        self.assertEqual(done.returncode, status, (args, done.stderr))
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], r"^cvm-cli: [^:]+.*: ")
        self.assertEqual(done.stdout, b"")
        return lines[0]

    def test_wrong_usage(self):
        self.assertIn('did you mean "inspect"', self.error(2, "inspec"))
        self.assertNotIn("did you mean", self.error(2, "xyzzyxyzzy"))
        self.error(2, "inspect")
        self.error(2, "inspect", "a", "b")
        self.error(2, "inspect", "a", "--nonsense")
        self.error(2, "inspect", "a", "--type")
        self.error(2, "inspect", "a", "--type", "nonsense")
        self.error(2, "eventlog", "a", "--bank", "md5")
        self.error(2, "eventlog", "a", "--json=yes")
        self.error(2, "help", "nonsense")
        self.error(2, "collaterals", "ftp://host")
        self.error(2, "collaterals", "host", "--nonce", "x" * 31)
        self.error(2, "collaterals", "host", "--nonce", "")
        self.error(2, "collaterals", "host", "--pin", "12")
        self.error(2, "collaterals", "http://127.0.0.1", "--pin", "00" * 32)
        self.error(2, "golden", "host", "--pcrs", "a")
        self.error(2, "collaterals", "")
        self.error(2)

    def test_inputs_that_cannot_be_read(self):
        self.assertIn("/nonexistent", self.error(3, "inspect", "/nonexistent"))
        self.error(3, "inspect", "/")
        line = self.error(3, "inspect", "-", data=b"nothing that we know")
        for word in ("snp_report", "tdx_quote", "eventlog", "attestation", "--type"):
            self.assertIn(word, line)
        self.error(3, "inspect", "-", data=b"")
        self.error(3, "eventlog", "-", data=b"")
        self.error(3, "inspect", "-", "--type", "snp_report", data=b"{}")
        self.assertNotIn("\x1b", self.error(3, "inspect", "/no\x1b[2J\nfile"))

    def test_environment(self):
        self.error(4, "collaterals", "unix:/nonexistent/socket")

    def test_help_and_version(self):
        self.assertTrue(run("--version").stdout.startswith(b"cvm-cli "))
        everything = run("help")
        self.assertEqual(everything.returncode, 0)
        for command in ("collaterals", "doctor", "eventlog", "golden", "help", "inspect"):
            self.assertIn(command.encode(), everything.stdout)
            done = run("help", command)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertTrue(done.stdout.startswith(b"usage: cvm-cli " + command.encode()))
            self.assertEqual(run(command, "--help").stdout, done.stdout)

    def test_help_of_actions(self):
        """What an error points to is there."""
        line = self.error(2, "policy", "measurement")
        self.assertIn("see cvm-cli help policy measurement", line)
        done = run("help", "policy", "measurement")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith(b"usage: cvm-cli policy measurement B64 FILE"))
        self.error(2, "help", "policy", "nonsense")
        self.error(2, "help", "verify", "measurement")

    def test_help_names_every_type(self):
        text = run("help", "inspect").stdout.decode()
        for name in run("inspect", "-", data=b"?").stderr.decode().split("none of ")[1].split(";")[0].split(", "):
            self.assertIn(name, text)

    def test_doctor(self):
        done = run("doctor", "--json")
        self.assertIn(done.returncode, (0, 4))
        answer = json.loads(done.stdout)
        self.assertEqual(answer["can_attest"], done.returncode == 0)
        self.assertIn("trust roots", [f["what"] for f in answer["findings"]])
        self.assertEqual(run("doctor").returncode, done.returncode)


@unittest.skipUnless(HAVE, "no recorded evidence")
class Inspect(unittest.TestCase):
    def test_every_file_has_its_type(self):
        seen = 0
        for relative in files():
            want = type_of(relative)
            answer = inspect(relative)
            self.assertEqual(next(iter(answer)), "type")
            self.assertEqual(answer["type"], want, relative)
            seen += 1
        self.assertGreater(seen, 300)

    def test_a_type_is_not_another(self):
        names = run("inspect", "-", data=b"?").stderr.decode().split("none of ")[1].split(";")[0].split(", ")
        samples = ["snp/milan-v3-oak/report.bin", "tdx/v4-b0c06f-uptodate/quote.bin",
                   "gcp-vtpm/gce-cos-85-nonce9009/attestation.pb"]
        for relative in samples:
            for name in names:
                status = run("inspect", path(relative), "--type", name).returncode
                self.assertEqual(status, 0 if name == type_of(relative) else 3, (relative, name))

    def facts(self, answer, facts, where):
        for key, want in facts.items():
            if key in answer and key != "product" and not isinstance(want, dict):
                self.assertEqual(answer[key], want, (where, key))

    def check_snp(self, relative, facts):
        answer = inspect(relative)
        self.facts(answer, facts, relative)
        for key in ("guest_svn", "policy", "vmpl", "report_data", "measurement", "host_data", "report_id", "chip_id",
                    "id_key_digest", "author_key_digest", "report_id_ma", "platform_info"):
            self.assertEqual(answer[key], facts[key], (relative, key))
        self.assertEqual(answer["version"], facts["report_version"])
        if answer["version"] > 2:  # version 2 does not say the product
            self.assertEqual(answer["product"].lower(), facts["product"])
        for name in ("current", "reported", "committed", "launch"):
            want, have = facts[name + "_tcb"], answer[name + "_tcb"]
            self.assertEqual((have["bootloader"], have["tee"], have["snp"], have["microcode"]),
                             (want["bl"], want["tee"], want["snp"], want["ucode"]), relative)
        self.assertEqual(answer["policy_decoded"]["debug"], facts["policy_debug"])
        self.assertEqual(answer["policy_decoded"]["smt"], facts["policy_smt"])

    def test_snp_facts(self):
        checked = 0
        for case in manifest():
            facts = case["facts"].get("snp") or case["facts"]
            for name in ("report.bin", "snp_report.bin"):
                if name in case["files"] and "measurement" in facts:
                    self.check_snp(f"{case['dir']}/{name}", facts)
                    checked += 1
        self.assertGreater(checked, 12)

    def test_vek_facts(self):
        for case in manifest():
            facts = case["facts"]
            if "vek_ext" not in facts:
                continue
            name = "vcek.der" if "vcek.der" in case["files"] else "vlek.der"
            answer = inspect(f"{case['dir']}/{name}")
            for key, want in facts["vek_ext"].items():
                if key in answer["amd"]:
                    self.assertEqual(answer["amd"][key], want, (case["id"], key))
            self.assertIn("hwid" if name == "vcek.der" else "csp_id", answer["amd"])
            self.assertEqual([answer["not_before"], answer["not_after"]], facts["vek_validity"])

    def test_tdx_facts(self):
        checked = 0
        for case in manifest():
            facts = case["facts"].get("quote") or case["facts"]
            if "quote.bin" not in case["files"] or "mrtd" not in facts:
                continue
            answer = inspect(case["dir"] + "/quote.bin")
            if facts["quote_len"] + facts["trailing_bytes"] == os.path.getsize(path(case["dir"] + "/quote.bin")):
                self.assertEqual(answer["trailing_bytes"], facts["trailing_bytes"])
            self.facts(answer, {k: v for k, v in facts.items() if k != "trailing_bytes"}, case["id"])
            for key in ("mrtd", "rtmr", "report_data", "td_attributes", "xfam", "tee_tcb_svn", "mrseam"):
                self.assertEqual(answer[key], facts[key], (case["id"], key))
            for key, want in facts["pck"].items():
                have = answer["pck"][key]
                if key == "serial":  # the manifest has it as a number
                    have, want = int(have, 16), int(want, 16)
                self.assertEqual(have, want, (case["id"], key))
            checked += 1
        self.assertGreater(checked, 15)

    def test_azure_and_quote_facts(self):
        for case in manifest():
            facts = case["facts"]
            if "hcl" in facts:
                answer = inspect(case["dir"] + "/hcl_report.bin")
                for key, want in facts["hcl"].items():
                    self.assertEqual(answer[key], want, (case["id"], key))
                self.assertEqual(answer["vm_configuration"], facts["vm_configuration"])
                self.assertEqual((answer.get("user_data") or "").lower(), (facts["user_data"] or "").lower())
            quote = facts if "qualified_signer" in facts else facts.get("tpm_quote")
            if quote and "tpm_quote.msg" in case["files"]:
                answer = inspect(case["dir"] + "/tpm_quote.msg")
                for key in ("magic", "qualified_signer", "extra_data", "clock", "reset_count", "restart_count",
                            "firmware_version", "pcr_digest"):
                    self.assertEqual(answer[key], quote[key], (case["id"], key))
                self.assertEqual([(s["alg"], s["pcrs"]) for s in answer["pcr_select"]],
                                 [(s["alg"], s["pcrs"]) for s in quote["pcr_select"]])

    def test_runtime_data(self):
        raw = json.loads(read("azure-snp/milan-v3-report-vtpm/runtime_data.json"))
        answer = inspect("azure-snp/milan-v3-report-vtpm/runtime_data.json")
        self.assertEqual(answer["keys"], raw["keys"])
        self.assertEqual(answer["user_data"], raw["user-data"].lower())
        self.assertEqual(answer["vm_configuration"]["vm_unique_id"], raw["vm-configuration"]["vmUniqueId"])

    def test_nvidia_facts(self):
        for case in manifest():
            if case["platform"] != "nvidia-gpu":
                continue
            answer, raw = inspect(case["dir"] + "/report.bin"), read(case["dir"] + "/report.bin")
            facts = case["facts"]
            self.assertEqual(answer["nonce"], facts["nonce"])
            self.assertEqual(answer["trailing_bytes"], facts.get("trailing_nul", 0))
            end = len(raw) - answer["trailing_bytes"]
            self.assertEqual(answer["signature"], raw[end - 96:end].hex())
            self.assertEqual(len(answer["measurements"]), raw[37 + 4])
            self.assertEqual({len(m["value"]) for m in answer["measurements"]}, {96})
            names = {f.get("name"): f for f in answer["opaque_data"]}
            self.assertTrue(names["driver_version"]["text"][0].isdigit())
            chain = inspect(case["dir"] + "/cert_chain.pem")
            self.assertEqual(len(chain["chain"]) + 1, len(facts["chain"]))
            for name, cert in zip(facts["chain"], [chain] + chain["chain"]):
                self.assertIn(name, cert["subject"])

    def test_cert_table_facts(self):
        case = next(c for c in manifest() if c["id"] == "snp/genoa-v3-tsm-certtable")
        entries = inspect(case["dir"] + "/auxblob.bin")["entries"]
        self.assertEqual([{k: e[k] for k in ("guid", "name", "offset", "length")} for e in entries],
                         case["facts"]["cert_table"])
        vcek = inspect(case["dir"] + "/vcek.der")
        self.assertEqual(entries[2]["certificate"]["sha256"], vcek["sha256"])

    def test_certificates_and_lists(self):
        crl = inspect("x509-crl/revoked-leaf-prem-test-ca/ca_crl.pem")
        facts = next(c["facts"] for c in manifest() if c["platform"] == "x509-crl")
        self.assertEqual([r["serial"] for r in crl["revoked"]], [facts["leaf_serial"]])
        self.assertEqual([crl["this_update"], crl["next_update"]], facts["crl_validity"])
        leaf = inspect("x509-crl/revoked-leaf-prem-test-ca/revoked_cert.pem")
        self.assertEqual(leaf["serial"], facts["leaf_serial"])
        padded, plain = (inspect("azure-tdx/v4-90c06f-akcert/" + n) for n in ("ak_cert_nv_padded.bin", "ak_cert.der"))
        self.assertEqual(padded, plain)
        instance = inspect("gcp-snp/vtpm-33-byte-nonce/ak_cert.der")["google"]
        self.assertEqual(instance["instance_name"], "onchain-snp-test")

    def test_json_collateral(self):
        raw = json.loads(read("tdx/v4-b0c06f-uptodate/tcb_info.json"))
        answer = inspect("tdx/v4-b0c06f-uptodate/tcb_info.json")
        self.assertEqual(answer["fmspc"], raw["tcbInfo"]["fmspc"].lower())
        self.assertEqual(len(answer["tcb_levels"]), len(raw["tcbInfo"]["tcbLevels"]))
        self.assertEqual(answer["signature"], raw["signature"].lower())
        answer = inspect("tdx/v4-b0c06f-uptodate/qe_identity.json")
        self.assertEqual((answer["id"], answer["isvprodid"]), ("TD_QE", 2))

    def test_token(self):
        answer = inspect("token/azure-maa-jwt/token.jwt")
        self.assertIs(answer["verified"], False)
        self.assertEqual(answer["header"], json.loads(read("token/azure-maa-jwt/header.json")))
        self.assertEqual(answer["claims"], json.loads(read("token/azure-maa-jwt/claims.json")))

    def test_attestation(self):
        folder = "gcp-vtpm/gce-cos-85-nonce9009/"
        answer = inspect(folder + "attestation.pb")
        facts = next(c["facts"] for c in manifest() if c["dir"] + "/" == folder)
        self.assertEqual(answer["ak_pub"], inspect(folder + "ak_pub.tpmt"))
        self.assertEqual(answer["event_log"], inspect(folder + "eventlog.bin"))
        self.assertEqual(len(answer["quotes"]), len(facts["quotes"]))
        for quote in answer["quotes"]:
            bank = quote["pcrs"]["alg"]
            self.assertEqual(quote["quote"], inspect(folder + f"quote_{bank}.msg"))
            self.assertEqual(quote["raw_sig"], inspect(folder + f"quote_{bank}.sig"))
            self.assertEqual(quote["quote"]["extra_data"], facts["nonce_hex"])
            self.assertEqual(quote["pcrs"]["pcrs"], json.loads(read(folder + f"pcrs_{bank}.json"))["pcrs"])

    def test_collaterals(self):
        b64 = lambda name: base64.b64encode(read(name)).decode()
        folder, azure = "gcp-vtpm/gce-cos-85-nonce9009/", "azure-snp/milan-v3-report-vtpm/"
        pcrs = json.loads(read(folder + "pcrs_sha256.json"))["pcrs"]
        document = {
            "version": 1, "platform": {"tee": "sev_snp", "cloud": "gcp", "emulated": False},
            "sev_snp": {"attestation_report": b64(azure + "snp_report.bin"), "vek_cert": b64(azure + "vcek.der"),
                        "cert_chain": [b64("snp/milan-v3-oak/ask.pem"), b64("snp/milan-v3-oak/ark.pem")]},
            "tpm": {"quote": b64(folder + "quote_sha256.msg"), "raw_sig": b64(folder + "quote_sha256.sig"),
                    "ak_public": b64(folder + "ak_pub.tpmt"), "var_data": b64(azure + "runtime_data.json"),
                    "pcrs": {"hash": 11, "pcrs": {k: base64.b64encode(bytes.fromhex(v)).decode()
                                                  for k, v in pcrs.items()}}},
            "magic": base64.b64encode(b"Internal/collaterals").decode(), "nonce": "kAk=",
            "boot_log_tpm": b64(folder + "eventlog.bin"), "workload_log": [], "missing": {"vek_cert": "why"},
        }
        done = run("inspect", "-", data=json.dumps(document).encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["type"], "collaterals")
        self.assertEqual(answer["sev_snp"]["attestation_report"], inspect(azure + "snp_report.bin"))
        self.assertEqual(answer["sev_snp"]["cert_chain"][1]["type"], "certificate")
        self.assertEqual(answer["tpm"]["quote"], inspect(folder + "quote_sha256.msg"))
        self.assertEqual(answer["tpm"]["pcrs"]["pcrs"], pcrs)
        self.assertEqual(answer["tpm"]["var_data"], inspect(azure + "runtime_data.json"))
        self.assertEqual(answer["boot_log_tpm"], inspect(folder + "eventlog.bin"))
        self.assertEqual((answer["magic_text"], answer["nonce"]), ("Internal/collaterals", "9009"))
        self.assertEqual(answer["missing"], document["missing"])
        document["tpm"]["quote"] = document["tpm"]["quote"][:40]
        done = run("inspect", "-", data=json.dumps(document).encode())
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr.decode(), "quote: .*offset")

    def test_cut_and_damaged_files_never_crash(self):
        """A cut file is refused, unless the format itself allows it to end there."""
        open_ended = {"eventlog", "attestation", "certificate", "pcrs"}
        rng = random.Random(1)
        samples = {type_of(f): f for f in files() if os.path.getsize(path(f)) < 70000}
        for name, relative in samples.items():
            raw = read(relative)
            for n in sorted({0, 3, 33, len(raw) // 2, len(raw) - 1}):
                done = run("inspect", "-", "--type", name, data=raw[:n])
                allowed = (0, 3) if name in open_ended or raw[n:].strip(b"\0\xff\n\r") == b"" else (3,)
                if (name, n) == ("cert_table", 0):  # hosts give an empty table when they have none
                    allowed = (0,)
                self.assertIn(done.returncode, allowed, (relative, n, done.stderr))
            for _ in range(2):
                damaged = bytearray(raw)
                damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
                self.assertIn(run("inspect", "-", data=bytes(damaged)).returncode, (0, 3), relative)


@unittest.skipUnless(HAVE, "no recorded evidence")
class Eventlog(unittest.TestCase):
    def log(self, relative, *args, status=0):
        done = run("eventlog", path(relative), "--json", *args)
        self.assertEqual(done.returncode, status, (relative, done.stderr))
        return json.loads(done.stdout)

    def test_replays(self):
        checked = 0
        for case in manifest():
            for name in ("replayed_pcrs.json", "replayed.json"):
                if name not in case["files"]:
                    continue
                tpm = "tpm" in case["platform"]
                answer = self.log(f"{case['dir']}/{'eventlog.bin' if tpm else 'ccel.bin'}", *[] if tpm else ["--ccel"])
                for bank, registers in json.loads(read(f"{case['dir']}/{name}")).items():
                    for index, value in registers.items():
                        self.assertEqual(answer["banks"][bank][index], value, (case["id"], bank, index))
                self.assertEqual(len(answer["events"]), case["facts"]["events"])
                checked += 1
        self.assertGreater(checked, 12)

    def test_every_log_prints(self):
        for relative in files():
            if type_of(relative) in ("eventlog", "eventlog_json"):
                done = run("eventlog", path(relative))
                self.assertEqual((done.returncode, done.stderr), (0, b""), relative)
                self.assertIn(b"replayed registers", done.stdout)

    def test_comparison(self):
        folder = "gcp-vtpm/gce-cos-85-nonce9009/"
        for bank in ("sha1", "sha256", "sha384"):
            answer = self.log(folder + "eventlog.bin", "--pcrs", path(folder + f"pcrs_{bank}.json"))
            self.assertEqual(list(answer["banks"]), [bank])
            self.assertEqual(answer["compared"]["7"], "agrees")
            self.assertEqual(answer["compared"]["10"], "unexplained")
        pcrs = json.loads(read(folder + "pcrs_sha256.json"))
        pcrs["pcrs"]["9"] = "00" * 32
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(pcrs, f)
            f.flush()
            for extra in ([], ["--json"]):
                done = run("eventlog", path(folder + "eventlog.bin"), "--pcrs", f.name, *extra)
                self.assertEqual(done.returncode, 1)
                self.assertIn("9 (differs)", done.stderr.decode())
                self.assertNotIn("7 (", done.stderr.decode())
            done = run("eventlog", path(folder + "eventlog.bin"), "--pcrs", f.name, "--bank", "sha1")
            self.assertEqual(done.returncode, 2)

    def test_expected_registers(self):
        for case in manifest():
            if "expected_pcrs.json" not in case["files"]:
                continue
            for bank, registers in json.loads(read(case["dir"] + "/expected_pcrs.json")).items():
                with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
                    json.dump({"alg": bank, "pcrs": registers}, f)
                    f.flush()
                    self.log(case["dir"] + "/eventlog.bin", "--pcrs", f.name)
                whole = path(case["dir"] + "/expected_pcrs.json")
                answer = self.log(case["dir"] + "/eventlog.bin", "--pcrs", whole, "--bank", bank)
                self.assertEqual((list(answer["banks"]), set(answer["compared"])), ([bank], set(registers)))


if __name__ == "__main__":
    if not HAVE:
        print("SKIPPED: no recorded evidence (set CVM_EVIDENCE to its folder)", file=sys.stderr)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

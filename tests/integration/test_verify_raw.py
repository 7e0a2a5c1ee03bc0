"""Every recorded case of the manifest through verify-snp, verify-tpm and verify-azure: the exit status and the
checks that the manifest has an opinion on."""
import json
import os
import subprocess
import sys
import tempfile

CLI = os.path.join(os.environ["CVM_BIN"], "cvm-cli")
EVIDENCE = os.environ.get("CVM_EVIDENCE") or sys.argv[1]
failures = []
counts = {}


def run(*args):
    done = subprocess.run([CLI, *args, "--json"], capture_output=True, text=True, timeout=30)
    answer = json.loads(done.stdout) if done.stdout else {}
    checks = {c["check"]: c["ok"] for c in answer.get("checks", [])}
    return done.returncode, checks, answer, done.stderr


def expect(what, result, status, **want):
    rc, checks, answer, errors = result
    counts[what.split("/")[0]] = counts.get(what.split("/")[0], 0) + 1
    wrong = [f"{k.replace('__', '.')} is {checks.get(k.replace('__', '.'), 'absent')}, want {v}"
             for k, v in want.items() if checks.get(k.replace("__", "."), "absent") != v]
    if rc != status or answer.get("success", False) != (status == 0) or wrong:
        failures.append(f"{what}: exit {rc}, want {status}; {'; '.join(wrong)}\n  {answer.get('error')} {errors}")
    if status and not errors.startswith("cvm-cli: "):
        failures.append(f"{what}: no message on standard error")


class Case:
    def __init__(self, case):
        self.id, self.expected, self.facts = case["id"], case["expected"], case["facts"]
        self.dir, self.at = os.path.join(EVIDENCE, case["dir"]), case["verify_at"]
        self.files = case["files"]

    def path(self, name):
        return os.path.join(self.dir, name)

    def has(self, name):
        return name in self.files

    def options(self, *pairs):
        """--option FILE for each file that the case has, and the clock."""
        out = ["--at", self.at] if self.at else []
        for option, name in pairs:
            if self.has(name):
                out += [option, self.path(name)]
        return out


SNP_CERTIFICATES = [("--vek", "vcek.der"), ("--vek", "vlek.der"), ("--chain", "ask.pem"), ("--chain", "asvk.pem"),
                    ("--chain", "ark.pem")]


def snp(case):
    e, f = case.expected, case.facts
    if not case.has("report.bin"):
        return
    if e["outcome"] == "parse-ok":
        expect(case.id, run("verify-snp", case.path("report.bin")), 1, snp__format=True,
               snp__report_signature=False, snp__vek_chain=False, snp__debug=False, snp__crl=None)
        return
    debug = f.get("policy_debug", False)
    good = e["outcome"] == "valid" and not debug
    want = {"snp__report_signature": e["signature"], "snp__vek_chain": e["chain"], "snp__crl": None,
            "snp__format": True}
    if e["outcome"] == "valid":
        vlek = f["signing_key"] == "vlek"
        want |= {"snp__vek_tcb": True, "snp__vek_validity": True, "snp__debug": not debug,
                 "snp__vek_chip_id": None if vlek else True}
    report = case.path("report.bin")
    expect(case.id, run("verify-snp", report, *case.options(*SNP_CERTIFICATES)), 0 if good else 1, **want)
    if good:  # what is built in is enough beside the VEK
        expect(case.id + " (built-in chain)",
               run("verify-snp", report, *case.options(("--vek", "vcek.der"), ("--vek", "vlek.der"))), 0)
        expect(case.id + " (no certificate)", run("verify-snp", report, "--at", case.at), 1,
               snp__report_signature=False, snp__vek_tcb=False)
        late = run("verify-snp", report, "--at", "2061-01-01T00:00:00Z",
                   *case.options(*SNP_CERTIFICATES)[2:])
        expect(case.id + " (expired)", late, 1, snp__report_signature=True, snp__vek_chain=True,
               snp__vek_validity=False)
    if case.has("auxblob.bin"):
        expect(case.id + " (table)", run("verify-snp", report, "--certtable", case.path("auxblob.bin"), "--at",
                                         case.at), 0, **want)


def snp_inputs(case):
    """One report in other wrappings, and spoiled inputs."""
    report = open(case.path("report.bin"), "rb").read()
    certificates = case.options(*SNP_CERTIFICATES)
    with tempfile.TemporaryDirectory() as folder:
        def write(name, data):
            with open(os.path.join(folder, name), "wb") as out:
                out.write(data)
            return os.path.join(folder, name)
        response = bytes(4) + len(report).to_bytes(4, "little") + bytes(24) + report
        whole = write("response.bin", response + bytes(4000 - len(response)))
        expect("snp/response", run("verify-snp", whole, *certificates), 0)
        expect("snp/cut", run("verify-snp", write("cut.bin", report[:-1]), *certificates), 3, snp__format=False,
               snp__report_signature=False)
        expect("snp/version 9", run("verify-snp", write("v9.bin", b"\x09" + report[1:]), *certificates), 3)
        expect("snp/empty", run("verify-snp", write("empty.bin", b""), *certificates), 3)
        garbage = write("garbage.pem", b"no certificate at all")
        rc = run("verify-snp", case.path("report.bin"), "--vek", garbage)[0]
        if rc != 3:
            failures.append(f"a VEK that is no certificate: exit {rc}, want 3")
    for args, want in ((["--at", "yesterday"], 2), (["--nonsense"], 2)):
        rc = run("verify-snp", case.path("report.bin"), *args)[0]
        if rc != want:
            failures.append(f"{args}: exit {rc}, want {want}")
    if run("verify-snp", case.path("absent.bin"))[0] != 3:
        failures.append("an absent file must give 3")


def crl(case, report_case):
    """Somebody else's CRL proves nothing about AMD's certificates."""
    expect(case.id, run("verify-snp", report_case.path("report.bin"),
                        *report_case.options(*SNP_CERTIFICATES), "--crl", case.path("ca_crl.pem")), 1,
           snp__crl=False, snp__vek_chain=True)


def main():
    if not os.path.isdir(EVIDENCE):
        print("skipped: no evidence folder")
        return 77
    with open(os.path.join(EVIDENCE, "manifest.json"), encoding="utf-8") as f:
        cases = {c["id"]: Case(c) for c in json.load(f)["cases"]}
    for name, case in cases.items():
        if name.startswith(("snp/", "snp-negative/")):
            snp(case)
    snp_inputs(cases["snp/milan-v3-oak"])
    crl(cases["x509-crl/revoked-leaf-prem-test-ca"], cases["snp/milan-v3-oak"])
    print("\n".join(failures) or f"all as the manifest says: {counts}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

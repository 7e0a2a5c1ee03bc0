"""Every recorded case of the manifest through verify-snp, verify-tpm and verify-azure: the exit status and the
checks that the manifest has an opinion on."""
import base64
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
    bundles(case)
    for args, want in ((["--at", "yesterday"], 2), (["--nonsense"], 2)):
        rc = run("verify-snp", case.path("report.bin"), *args)[0]
        if rc != want:
            failures.append(f"{args}: exit {rc}, want {want}")
    if run("verify-snp", case.path("absent.bin"))[0] != 3:
        failures.append("an absent file must give 3")


def bundles(case):
    """Certificates in one file, in any order; a root that is another product's is no part of the chain."""
    def read(path):
        with open(path, "rb") as f:
            return f.read()
    vek = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(read(case.path("vcek.der"))) + b"-----END CERTIFICATE-----\n"
    ask, ark = read(case.path("ask.pem")), read(case.path("ark.pem"))
    other = read(os.path.join(EVIDENCE, "snp/genoa-v3-azure-aci/ark.pem"))
    for what, bundle, status in (("leaf first", vek + ask + ark, 0), ("root first", ark + ask + vek, 0), ("no root", ask + vek, 0), ("no intermediate", vek + ark, 0),
                                 ("no intermediate, another root", vek + other, 1),
                                 ("two roots", vek + ask + other + ark, 0), ("another root", vek + ask + other, 1)):
        with tempfile.NamedTemporaryFile() as f:
            f.write(bundle)
            f.flush()
            expect(f"{case.id} (bundle, {what})", run("verify-snp", case.path("report.bin"), "--vek", f.name, "--at", case.at), status,
                   snp__report_signature=True, snp__vek_chain=status == 0)


def crl(case, report_case):
    """Somebody else's CRL proves nothing about AMD's certificates."""
    expect(case.id, run("verify-snp", report_case.path("report.bin"),
                        *report_case.options(*SNP_CERTIFICATES), "--crl", case.path("ca_crl.pem")), 1,
           snp__crl=False, snp__vek_chain=True)


def gcp(case):
    """Quotes with an AK certificate: google's intermediates and roots are built in, or given beside it."""
    e = case.expected
    good = e["outcome"] == "valid"
    if not case.has("tpm_quote.msg"):
        return
    quote = ["--quote", case.path("tpm_quote.msg"), "--signature", case.path("tpm_quote.sig"), "--pcrs",
             case.path("pcrs.json"), "--ak-cert", case.path("ak_cert.der")]
    chain = case.options(("--ak-chain", "ak_intermediate.der"), ("--ak-chain", "ak_root.der"))
    want = {"tpm__quote_format": True, "tpm__quote_signature": e["quote_signature"],
            "tpm__pcr_digest": e["pcr_digest_matches"], "tpm__ak_chain": e["ak_chain"], "tpm__ak_anchor": e["ak_chain"],
            "tpm__ak_attributes": None, "tpm__extra_data": None, "tpm__eventlog_replay": None}
    result = run("verify-tpm", *quote, *chain)
    expect(case.id, result, 0 if good else 1, **want)
    if not good:
        return
    if result[2].get("instance", {}).get("instance_name") != "onchain-snp-test":
        failures.append(f"{case.id}: instance {result[2].get('instance')}")
    nonce = case.facts["extra_data"]
    expect(case.id + " (nonce)", run("verify-tpm", *quote, *chain, "--extra-data", nonce), 0, tpm__extra_data=True)
    expect(case.id + " (other nonce)", run("verify-tpm", *quote, *chain, "--extra-data", nonce[:-2] + "00"), 1,
           tpm__extra_data=False, tpm__quote_signature=True)
    expect(case.id + " (expired)", run("verify-tpm", *quote, *chain, "--at", "2061-01-01T00:00:00Z"), 1,
           tpm__ak_chain=False, tpm__ak_anchor=False, tpm__quote_signature=True)
    expect(case.id + " (root as AK)", run("verify-tpm", *quote[:-1], case.path("ak_root.der"), "--at", case.at), 1,
           tpm__quote_signature=False, tpm__ak_chain=False)


def gcp_cos(case):
    """Quotes over three banks by one key, with their log."""
    log = ["--eventlog", case.path("eventlog.bin")]
    for bank in ("sha1", "sha256", "sha384"):
        quote = ["--quote", case.path(f"quote_{bank}.msg"), "--signature", case.path(f"quote_{bank}.sig"),
                 "--pcrs", case.path(f"pcrs_{bank}.json"), "--extra-data", case.facts["nonce_hex"]]
        want = {"tpm__quote_signature": True, "tpm__pcr_digest": True, "tpm__extra_data": True,
                "tpm__ak_chain": None, "tpm__ak_anchor": None, "tpm__eventlog_replay": True}
        result = run("verify-tpm", *quote, *log, "--ak", case.path("ak_pub.tpmt"))
        expect(f"{case.id} {bank}", result, 0, tpm__ak_attributes=True, **want)
        if any("SHA-1" in w for w in result[2]["warnings"]) != (bank == "sha1"):
            failures.append(f"{case.id} {bank}: warnings {result[2]['warnings']}")
        expect(f"{case.id} {bank} (PEM)", run("verify-tpm", *quote, *log, "--ak", case.path("ak_pub.pem")), 0,
               tpm__ak_attributes=None, **want)
    quote = ["--quote", case.path("quote_sha256.msg"), "--signature", case.path("quote_sha256.sig"), "--ak",
             case.path("ak_pub.tpmt")]
    expect(case.id + " (no PCRs)", run("verify-tpm", *quote), 0, tpm__pcr_digest=None)
    expect(case.id + " (log without PCRs)", run("verify-tpm", *quote, *log), 1, tpm__eventlog_replay=False)
    expect(case.id + " (other bank)", run("verify-tpm", *quote, "--pcrs", case.path("pcrs_sha384.json")), 1,
           tpm__pcr_digest=False)
    with open(case.path("quote_sha256.sig"), "rb") as f:
        signature = f.read()
    for what, data, status in (("cut", signature[:-1], 3), ("empty", b"", 3), ("of no scheme", b"\0\1" + signature[2:], 3),
                               ("changed", signature[:-1] + bytes([signature[-1] ^ 1]), 1)):
        with tempfile.NamedTemporaryFile() as f:
            f.write(data)
            f.flush()
            spoiled = ["verify-tpm", *quote[:3], f.name, *quote[4:]]
            expect(f"{case.id} (signature {what})", run(*spoiled), status, tpm__quote_signature=False)
    quote[3] = case.path("quote_sha384.sig")
    expect(case.id + " (other signature)", run("verify-tpm", *quote, "--pcrs", case.path("pcrs_sha256.json")), 1,
           tpm__quote_signature=False, tpm__pcr_digest=False)


def azure(case):
    e, tcb = case.expected, case.expected.get("tcb_status")
    files = case.options(*SNP_CERTIFICATES, ("--tdx-quote", "quote.bin"), ("--quote", "tpm_quote.msg"),
                         ("--signature", "tpm_quote.sig"), ("--pcrs", "pcrs.json"), ("--ak-cert", "ak_cert.der"))
    if case.has("tcb_info.json"):
        files += ["--collateral", case.dir]
    snp = "azure-snp" in case.id or "azure-negative" in case.id
    good = e["outcome"] == "valid" and tcb in (None, "UpToDate") and (snp or case.has("quote.bin"))
    names = {"report_data_binds_runtime_data": "azure__runtime_data_binding",
             "tpm_quote_signature": "tpm__quote_signature", "pcr_digest_matches": "tpm__pcr_digest",
             "snp_signature": "snp__report_signature", "snp_chain": "snp__vek_chain",
             "vek_tcb_matches_reported": "snp__vek_tcb", "vek_hwid_matches_chip_id": "snp__vek_chip_id",
             "quote_signature": "tdx__quote_signature", "pck_chain": "tdx__pck_chain",
             "quote_report_data_equals_tdreport": "azure__td_quote_binding",
             "ak_cert_key_equals_HCLAkPub": "azure__ak_binding"}
    want = {names[k]: bool(v) for k, v in e.items() if k in names}
    want["tpm__ak_anchor"] = good
    if case.has("tpm_quote.msg"):
        want["azure__ak_binding"] = True
    result = run("verify-azure", "--hcl", case.path("hcl_report.bin"), *files)
    expect(case.id, result, 0 if good else 1, **want)
    if tcb and result[2].get("tcb_status") != tcb:
        failures.append(f"{case.id}: TCB status {result[2].get('tcb_status')}, want {tcb}")
    if good and case.has("tpm_quote.msg"):
        nonce = case.facts["tpm_quote"]["extra_data"]
        base = ["verify-azure", "--hcl", case.path("hcl_report.bin"), *files]
        expect(case.id + " (nonce)", run(*base, "--extra-data", nonce), 0, tpm__extra_data=True)
        expect(case.id + " (other nonce)", run(*base, "--extra-data", "00"), 1, tpm__extra_data=False)
    if case.has("ak_cert_nv_padded.bin"):
        padded = [a.replace("ak_cert.der", "ak_cert_nv_padded.bin") for a in files]
        expect(case.id + " (padded)", run("verify-azure", "--hcl", case.path("hcl_report.bin"), *padded), 0,
               azure__ak_binding=True)


def azure_mixed(one, other):
    """The quote, and the certificate, of another machine."""
    mixed = one.options(*SNP_CERTIFICATES) + ["--quote", other.path("tpm_quote.msg"), "--signature",
                                              other.path("tpm_quote.sig"), "--pcrs", other.path("pcrs.json")]
    hcl = ["--hcl", one.path("hcl_report.bin")]
    expect(one.id + " (other's quote)", run("verify-azure", *hcl, *mixed), 1, tpm__quote_signature=False,
           azure__ak_binding=False, snp__report_signature=True)
    expect(one.id + " (other's VCEK)", run("verify-azure", *hcl, *other.options(*SNP_CERTIFICATES)), 1,
           snp__report_signature=False, tpm__ak_anchor=False)
    with tempfile.NamedTemporaryFile() as cut:
        cut.write(open(one.path("hcl_report.bin"), "rb").read()[:1500])
        cut.flush()
        expect(one.id + " (cut)", run("verify-azure", "--hcl", cut.name), 3, azure__format=False)
        expect(one.id + " (no quote)", run("verify-azure", *hcl, "--quote", cut.name, "--signature", one.path("tpm_quote.sig")), 3,
               azure__format=True, tpm__quote_format=False)


def main():
    if not os.path.isdir(EVIDENCE):
        print("skipped: no evidence folder")
        return 77
    with open(os.path.join(EVIDENCE, "manifest.json"), encoding="utf-8") as f:
        cases = {c["id"]: Case(c) for c in json.load(f)["cases"]}
    for name, case in cases.items():
        if name.startswith(("snp/", "snp-negative/")):
            snp(case)
        if name.startswith(("gcp-snp/", "gcp-negative/")):
            gcp(case)
        if name.startswith(("azure-snp/", "azure-tdx/", "azure-negative/")):
            azure(case)
    gcp_cos(cases["gcp-vtpm/gce-cos-85-nonce9009"])
    azure_mixed(cases["azure-snp/milan-v3-report-vtpm"], cases["azure-snp/milan-v2-report-vtpm"])
    snp_inputs(cases["snp/milan-v3-oak"])
    crl(cases["x509-crl/revoked-leaf-prem-test-ca"], cases["snp/milan-v3-oak"])
    print("\n".join(failures) or f"all as the manifest says: {counts}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

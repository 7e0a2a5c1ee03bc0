"""The agent as the image has it, without an emulator in it, over /dev/sev-guest."""
import base64
import json
import ssl
import time

from suite import NONCE, collaterals, get

GET_REPORT, GET_EXT_REPORT = "0xc0205300", "0xc0205302"


def case_sev_guest(s):
    """the production agent asks /dev/sev-guest by ioctl, as its own user; its document verifies but for saying that the machine is real"""
    disk = s.make("sev-guest", env={"CVM_TEST_SEV_GUEST": f"{s.build}/bin/sev_guest_over_cuse", "CVM_TEST_ADD_MODULE": "cuse"})
    with s.machine(disk) as m:
        collaterals(m)
        start = time.monotonic()
        document = get(m, f"/collaterals/{NONCE}")
        print(f"  a document took {time.monotonic() - start:.2f} s", flush=True)
        said = m.said()
        asked = [line.split("sev-guest: ioctl ", 1)[1].strip() for line in said.splitlines() if "sev-guest: ioctl " in line]
        print("  " + "\n  ".join(asked[:4]), flush=True)
    assert document["platform"] == {"tee": "sev_snp", "cloud": "none", "emulated": False}, document["platform"]
    # The first call learns how large the certificates are; the agent's user is 995 (rootfs/tree/etc/passwd).
    assert any(line.startswith(f"{GET_EXT_REPORT} of uid 995: -5, 4096 ") for line in asked), asked
    assert any(line.startswith(f"{GET_EXT_REPORT} of uid 995: 0, ") for line in asked), asked
    assert not any(line.startswith(GET_REPORT) for line in asked), asked
    assert "vek_cert" in document["sev_snp"] and "vek_cert" not in document["missing"], document["missing"]
    with open(f"{s.work}/sev-guest.json", "w") as f:
        json.dump(document, f)
    with open(f"{s.work}/sev-guest.pem", "w") as f:
        f.write(ssl.DER_cert_to_PEM_cert(base64.b64decode(document["sev_snp"]["cert_chain"][-1])))
    s.predict(disk)
    judge = ["verify", f"{s.work}/sev-guest.json", "--nonce", NONCE, "--offline", "--accept-self-asserted-ak", "--json", "--golden",
             f"{s.work}/golden.json"]
    done = s.run(*judge, "--trust-emulator", f"{s.work}/sev-guest.pem")
    checks = {c["check"]: c["ok"] for c in json.loads(done.stdout)["checks"]}
    for name in "snp.report_signature", "snp.vek_chain", "snp.vek_tcb", "binding.ak", "binding.nonce", "golden.pcrs", "tpm.eventlog_replay":
        assert checks[name] is True, (name, checks[name])
    # The agent cannot know what answers behind the device; the verifier does.
    assert [name for name, ok in checks.items() if ok is False] == ["platform.claims"], checks
    # Without being told to, nobody trusts the root of that processor.
    done = s.run(*judge)
    failed = [c["check"] for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
    assert done.returncode == 1 and "snp.vek_chain" in failed, failed

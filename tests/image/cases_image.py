"""The image as it is: what was predicted is what is quoted."""
import json
import os
import subprocess
import time

from suite import collaterals, compare, failures, judge, sizes


def case_boot(s):
    """the agent answers; its document verifies against the predicted golden measurement"""
    sizes(s.disk)
    predicted = s.predict(s.disk)
    with s.machine() as m:
        start = time.monotonic()
        document = collaterals(m)
        print(f"  answered {time.monotonic() - start:.1f} s after the start of QEMU", flush=True)
        assert document["platform"] == {"tee": "sev_snp", "cloud": "none", "emulated": True}, document["platform"]
        compare(predicted, document)
        status, checks = judge(s, document, f"{s.work}/golden.json")
        assert status == 0, failures(checks)
        for name in ("tpm.eventlog_replay", "golden.pcrs", "binding.nonce", "journal.log_replay"):
            assert checks[name]["ok"] is True, checks[name]
        # Another register, and the answer names it.
        with open(f"{s.work}/golden.json") as f:
            other = json.load(f)
        other["golden_measurement"]["tpm"]["pcrs"]["9"] = "00" * 32
        status, checks = judge(s, document, other)
        failed = failures(checks)
        assert status == 1 and list(failed) == ["golden.pcrs"] and "PCR 9" in failed["golden.pcrs"], failed
        said = m.said()
        assert "verified root opened" in said, said[-2000:]
        assert "Reached target cvm-workload.target" not in said, "there is no workload"
        failed = [line for line in said.splitlines() if "Failed to start" in line or "Failed with result" in line]
        assert not failed, failed


def case_production(s):
    """the production image boots, has no shell, and its agent attests by the TPM alone"""
    disk = s.make("production")
    sizes(disk)
    predicted = s.predict(disk)
    with s.machine(disk) as m:
        document = collaterals(m)
        compare(predicted, document)
        assert document["platform"]["emulated"] is False and document["platform"]["tee"] == "none", document["platform"]
        said = m.said()
        assert "login:" not in said and "# " not in said.splitlines()[-1], said[-500:]


def case_debug(s):
    """the debug image is another one: PCR 4, 9 and 11 tell it from the production image of the same agent"""
    images = [f"{s.work}/production.raw", f"{s.work}/debug.raw"]
    made = [path if os.path.exists(path) else s.make(name, *options) for path, name, options in zip(
        images, ("production", "debug"), ((), ("--debug",)))]
    production, debug = (s.predict(path) for path in made)
    assert {k for k in production if production[k].get("value") != debug[k].get("value")} >= {"4", "9", "11"}
    assert all(debug[k]["value"] == production[k]["value"] for k in ("2", "3", "6", "7", "8", "12", "13"))
    with open(f"{s.work}/debug.json") as f:
        assert json.load(f)["flavour"] == "debug"


def case_reproducible(s):
    """two builds give the same disk; so does an installed cvm-cli, far from any source tree"""
    again = s.make("again")
    with open(f"{s.work}/test.json") as a, open(f"{s.work}/again.json") as b:
        first, second = json.load(a), json.load(b)
    assert first == second, {k: (first[k], second[k]) for k in first if first[k] != second[k]}
    os.unlink(again)
    prefix = f"{s.work}/prefix"
    for part in ("cli", "emulator"):
        subprocess.run(["cmake", "--install", s.build, "--prefix", prefix, "--component", part], check=True, stdout=subprocess.DEVNULL)
    os.mkdir(f"{s.work}/elsewhere")
    done = subprocess.run(["nice", f"{prefix}/bin/cvm-cli", "build-image", "--test", "-o", "third"], cwd=f"{s.work}/elsewhere",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:]
    with open(f"{s.work}/elsewhere/third.json") as f:
        third = json.load(f)
    assert first == third, {k: (first[k], third[k]) for k in first if first[k] != third[k]}
    done = subprocess.run([f"{prefix}/bin/cvm-cli", "build-image", "-o", "fourth"], cwd=f"{s.work}/elsewhere",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 2 and "can emulate a TEE" in done.stdout, done.stdout[-2000:]
    assert sorted(os.listdir(f"{s.work}/elsewhere")) == ["third.json", "third.provenance.json", "third.raw", "third.spdx.json"]

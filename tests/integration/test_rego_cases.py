#!/usr/bin/python3
"""Every policy printed in the policy V2 article, with inputs and outcomes: cvm-cli eval agrees with cases.json.

usage: test_rego_cases.py CVM_CLI DEFAULT_FOLDER    ($CVM_REGO_EXAMPLES goes before the default)
"""
import json
import os
import subprocess
import sys
import tempfile


def run(cli, policy, claims, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(claims, file)
        file.flush()
        return subprocess.run([cli, "eval", policy, "--input", file.name, *options], capture_output=True, text=True,
                              timeout=60)


def check(cli, folder, policy, case):
    expect = case["expect"]
    done = run(cli, os.path.join(folder, policy["policy"]), case["input"])
    if "error" in expect:
        place = f'{expect["line"]}:{expect["col"]}:'
        first = done.stderr.splitlines()[0] if done.stderr else ""
        ok = done.returncode == 3 and f" {place} " in first and first.startswith("cvm-cli: ") and not done.stdout
        ok = ok and done.stderr.splitlines()[2] == " " * (expect["col"] - 1) + "^"
    else:
        ok = done.returncode == (0 if expect["matched"] else 1)
        ok = ok and json.loads(done.stdout) == {"matched": expect["matched"], "policy_defined_claims": expect["claims"]}
        strict = run(cli, os.path.join(folder, policy["policy"]), case["input"], "--strict")
        ok = ok and strict.stdout == done.stdout and strict.returncode == done.returncode
    if not ok:
        print(f'{policy["policy"]}: {case["name"]}: exit {done.returncode}, want {expect}\n{done.stdout}{done.stderr}')
    return ok


def main():
    cli, folder = sys.argv[1], os.environ.get("CVM_REGO_EXAMPLES", sys.argv[2])
    path = os.path.join(folder, "cases.json")
    if not os.path.exists(path):
        print(f"SKIPPED: no {path}; set CVM_REGO_EXAMPLES")
        return 77
    with open(path, encoding="utf-8") as file:
        policies = json.load(file)["policies"]
    results = [check(cli, folder, policy, case) for policy in policies for case in policy["cases"]]
    print(f"{sum(results)} of {len(results)} cases")
    return 0 if len(results) >= 40 and all(results) else 1


sys.exit(main())

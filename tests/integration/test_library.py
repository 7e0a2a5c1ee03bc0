"""libcvm as another program sees it: installed into a folder, its symbols, and the example compiled with pkg-config
and run on recorded documents. usage: test_library.py BUILD_DIR SOURCE_DIR"""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE = sys.argv[1:3]
DATA = os.path.join(SOURCE, "tests/data/collaterals")


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100, **more)


def expect(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAIL {what}: {detail}")
    print("ok   " + what)


def symbols(library):
    with open(os.path.join(SOURCE, "lib/cvm.h"), encoding="utf-8") as f:
        declared = set(re.findall(r"\b(cvm_\w+)\(", re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)))
    rows = [line.split() for line in run("nm", "-D", "--defined-only", library).stdout.splitlines()]
    seen = {row[-1] for row in rows if row[1] != "A"}
    expect("exactly the header's functions are seen, with a version", seen == {n + "@@CVM_0.1" for n in declared},
           seen ^ {n + "@@CVM_0.1" for n in declared})


def main():
    with tempfile.TemporaryDirectory(prefix="cvm-library-") as folder:
        done = run("cmake", "--install", BUILD, "--prefix", folder, "--component", "dev")
        expect("install", done.returncode == 0, done.stderr)
        found = [os.path.join(top, "libcvm.pc") for top, _, names in os.walk(folder) if "libcvm.pc" in names]
        environment = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(found[0]))
        library = os.path.dirname(os.path.dirname(found[0]))
        symbols(os.path.join(library, "libcvm.so"))
        flags = run("pkg-config", "--cflags", "--libs", "libcvm", env=environment).stdout.split()
        judge = os.path.join(folder, "judge")
        for compiler in "gcc", "clang", "g++":
            if shutil.which(compiler):
                language = ["-x", "c++"] if compiler == "g++" else ["-x", "c", "-std=c11"]
                header = run(compiler, *language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-include",
                             os.path.join(folder, "include/cvm/cvm.h"), "/dev/null")
                expect(f"the header suits {compiler}", header.returncode == 0, header.stderr)
        done = run("gcc", "-Wall", "-Wextra", "-Werror", os.path.join(SOURCE, "lib/examples/judge.c"), *flags, "-o", judge)
        expect("the example compiles", done.returncode == 0, done.stderr)
        environment["LD_LIBRARY_PATH"] = library
        roots = os.path.join(DATA, "roots.pem")
        golden = os.path.join(folder, "golden.json")
        document = os.path.join(DATA, "gcp-snp.json")
        with open(document, encoding="utf-8") as f:
            content = json.load(f)
        nonce = base64.b64decode(content["nonce"]).decode()
        pcrs = content["tpm"]["pcrs"]["pcrs"]
        pin = {"version": 1, "platform": content["platform"], "tpm": {"bank": "sha256", "pcrs": {
            "11": base64.b64decode(pcrs["11"]).hex()}}}
        pin["platform"] = {k: pin["platform"][k] for k in ("tee", "cloud")}
        with open(golden, "w", encoding="utf-8") as f:
            json.dump({"golden_measurement": pin}, f)
        done = run(judge, document, nonce, golden, roots, env=environment)
        answer = json.loads(done.stdout)
        expect("verified", done.returncode == 0 and answer["success"] is True and not done.stderr,
               [c for c in answer["checks"] if c["ok"] is False])
        done = run(judge, document, nonce, golden, env=environment)
        expect("without the root refused, and why", done.returncode == 1 and "not verified: " in done.stderr
               and json.loads(done.stdout)["success"] is False, done.stderr)
        done = run(judge, document, "another", golden, roots, env=environment)
        failed = [c["check"] for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
        expect("another nonce", done.returncode == 1 and "binding.nonce" in failed, failed)
        pin["tpm"]["pcrs"]["11"] = "00" * 32
        with open(golden, "w", encoding="utf-8") as f:
            json.dump({"golden_measurement": pin}, f)
        done = run(judge, document, nonce, golden, roots, env=environment)
        failed = [c["check"] for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
        expect("another PCR 11", done.returncode == 1 and failed == ["golden.pcrs"], failed)
        done = run(judge, golden, "nonce", env=environment)
        expect("what is no document", done.returncode == 3 and done.stdout == "", (done.returncode, done.stderr))
    print("passed")


main()

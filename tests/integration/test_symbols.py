"""No function of ours has the name of one in a library that we link with: the program's own would take its place
everywhere, silently.

usage: test_symbols.py PROGRAM...
"""
import subprocess
import sys


def names(*command):
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [line.split() for line in text.splitlines()]
    return {r[-1].split("@")[0] for r in rows if len(r) >= 3 and r[-2] in "TWi"}


def libraries(program):
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=60).stdout
    return [w for w in text.split() if w.startswith("/")]


def main():
    clashes = []
    # what the linker itself puts into a program
    ours_by_right = {"_start", "_init", "_fini", "main"}
    # agent/refusal.h: this one is meant to
    ours_by_right.add("MHD_queue_response")
    for program in sys.argv[1:]:
        own = names("nm", "--defined-only", "--extern-only", program) - ours_by_right
        own = {n for n in own if not n.startswith("__")}
        for library in libraries(program):
            clashes += [f"{program}: {n} is also in {library}"
                        for n in own & names("nm", "-D", "--defined-only", library)]
    if clashes:
        sys.exit("FAIL\n" + "\n".join(sorted(clashes)[:40]))
    print("ok")


main()

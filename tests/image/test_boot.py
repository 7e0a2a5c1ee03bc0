"""Boots disk images: the agent answers, what was predicted is what is quoted, and what a hostile host tries does not work.

usage: test_boot.py BUILD-FOLDER [--full] [CASE...]
Builds the image with scripts/build-image, flavour test, from the programs in BUILD-FOLDER/bin. Ends with 77 (skipped) where the
tools, the packages or the network for that are not there."""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases_attack  # noqa: E402
import cases_changed  # noqa: E402
import cases_formats  # noqa: E402
import cases_image  # noqa: E402
import cases_livepatch  # noqa: E402
import cases_secure_boot  # noqa: E402
import cases_sev_guest  # noqa: E402
import cases_update  # noqa: E402
import cases_volume  # noqa: E402
import cases_workload  # noqa: E402
import vm  # noqa: E402
from suite import CaseSkipped, Suite, skip  # noqa: E402

# The first case of the first file is the one of every test run.
FILES = [cases_image, cases_formats, cases_attack, cases_workload, cases_changed, cases_secure_boot, cases_livepatch, cases_sev_guest, cases_update, cases_volume]
CASES = [f for file in FILES for name, f in vars(file).items() if name.startswith("case_")]


def main():
    arguments = [a for a in sys.argv[1:] if a != "--full"]
    if not arguments:
        sys.exit(__doc__)
    names = arguments[1:] or [c.__name__[5:] for c in (CASES if "--full" in sys.argv else CASES[:1])]
    chosen = [c for c in CASES if c.__name__[5:] in names]
    assert len(chosen) == len(names), f"cases: {', '.join(c.__name__[5:] for c in CASES)}"
    why = vm.missing()
    if why:
        skip(why)
    skipped = 0
    work = tempfile.mkdtemp(prefix="cvm-image-test.")
    try:
        suite = Suite(arguments[0], work)
        print("building the image", flush=True)
        suite.make("test")
        for case in chosen:
            print(f"{case.__name__[5:]}: {case.__doc__}", flush=True)
            try:
                case(suite)
            except CaseSkipped as why:
                print(f"  SKIPPED: {why}", flush=True)
                skipped += 1
        print(f"{len(chosen) - skipped} cases passed, {skipped} skipped", flush=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

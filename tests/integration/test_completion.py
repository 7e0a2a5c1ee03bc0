"""Bash completion of cvm-cli: every command of `cvm-cli help`, and of each command every option that its help names, as the
program knows it. usage: test_completion.py CVM_CLI COMPLETION_FILE"""
import os
import re
import subprocess
import sys
import tempfile

CLI, COMPLETION = map(os.path.abspath, sys.argv[1:3])
NOWHERE = tempfile.TemporaryDirectory(prefix="cvm-completion-")


def complete(*words):
    """What a shell that has read the file offers for the last word."""
    script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cvm_cli; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "bash", COMPLETION, CLI, *words], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0 and not done.stderr, done
    return set(done.stdout.split())


def help_of(*command):
    return subprocess.run([CLI, "help", *command], capture_output=True, text=True, check=True).stdout


def expect(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAIL {what}: {detail}")


commands = {line.split()[0] for line in help_of().splitlines() if re.match("  [a-z]", line)}
expect("commands", len(commands) > 25, commands)
expect("every command is completed", complete("") == commands | {"--version", "--help"}, complete("") ^ commands)
expect("by its beginning", complete("verify-t") == {"verify-tdx", "verify-tpm"}, complete("verify-t"))
expect("help takes commands", complete("help", "") == commands)
# Options that a help names in passing: another command's, or what every command has.
PROSE = {("collateral",): {"--certs"}, ("sign-kernel",): {"--secure-boot-key"}, ("policy",): {"--policy"}}


def check_options(*command):
    named = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", help_of(*command))) - {"--help"} - PROSE.get(command, set())
    dashed = {o for o in named if o.startswith("--")}
    offered = complete(*command, "-")
    expect(f"options of {command}", offered >= dashed and offered <= named, (offered ^ dashed, named))
    expect(f"options of {command}, later", complete(*command, "FILE", "--") == dashed, complete(*command, "FILE", "--"))
    for option in offered:
        done = subprocess.run([CLI, *command, option], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
                              env={"PATH": "/nowhere"}, cwd=NOWHERE.name)
        expect(f"{command} has {option}", "unknown option" not in done.stderr, done.stderr)


for command in sorted(commands):
    check_options(command)
for action in re.findall(r"(?m)^  ([a-z][a-z-]*) ", help_of("policy")):
    check_options("policy", action)
expect("whole names", {"--vm_name", "--additional_ports"} <= complete("deploy-aws", "--"), complete("deploy-aws", "--"))
expect("verify has options", "--golden" in complete("verify", "file", "--go"), complete("verify", "file", "--go"))
expect("words of policy", {"gcp", "azure", "tdx", "extend"} <= complete("policy", ""), complete("policy", ""))
expect("no file is a word of ours", complete("inspect", "some") == set())
expect("nor is an unknown command", complete("nothing", "") == set())
print("ok")

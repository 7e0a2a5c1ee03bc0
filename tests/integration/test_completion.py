"""Bash completion of cvm-cli: every command of `cvm-cli help`, and of each command every option that its help's usage
names, is completed. usage: test_completion.py CVM_CLI COMPLETION_FILE"""
import re
import subprocess
import sys

CLI, COMPLETION = sys.argv[1:3]


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
for command in sorted(commands):
    usage = help_of(command).split("\n\n")[0].replace("usage: cvm-cli " + command, "", 1)
    options = set(re.findall(r"(?:^|[ \[(|])(--[a-z][a-z-]*)", usage))
    offered = complete(command, "--")
    expect(f"options of {command}", offered == options, offered ^ options)
    expect(f"options of {command}, later", complete(command, "FILE", "--") == options)
expect("verify has options", "--golden" in complete("verify", "file", "--go"), complete("verify", "file", "--go"))
expect("words of policy", {"gcp", "azure", "tdx", "extend"} <= complete("policy", ""), complete("policy", ""))
expect("no file is a word of ours", complete("inspect", "some") == set())
expect("nor is an unknown command", complete("nothing", "") == set())
print("ok")

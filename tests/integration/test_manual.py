"""The manual pages name what the programs have, and nothing else: every command of cvm-cli's help, in its section the options
of its help, and no others; every option of cvm-agent's, and every setting of the security policy.
usage: test_manual.py BIN_DIR MAN_DIR"""
import os
import re
import subprocess
import sys
import tempfile

BIN, MAN = sys.argv[1:3]


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def page(name):
    with open(os.path.join(MAN, name), encoding="utf-8") as f:
        return f.read()


bad = []
cli, agent, policy = page("cvm-cli.1"), page("cvm-agent.8"), page("cvm_agent_policy.json.5")
tool = os.path.join(BIN, "cvm-cli")
commands = re.findall(r"(?m)^  ([a-z][a-z-]*) ", output(tool, "help"))
assert len(commands) > 25
sections = re.findall(r"(?m)^\.Ss (.*)$", cli)
named = set(re.findall(r"[a-z][a-z-]*", " ".join(sections)))
bad += [f"cvm-cli.1: no section of {c}" for c in commands if c not in named]


def options_of(*command):
    """Of the usage, and of the left side of the table below it: not those that a sentence names in passing."""
    usage, _, rest = output(tool, "help", *command).partition("\n\n")
    lines = [usage] + [line[2:].split("  ")[0] for line in rest.splitlines() if line.startswith("  -")]
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", "\n".join(lines)))


for section in re.split(r"(?m)^\.Ss ", cli)[1:]:
    title, _, body = section.partition("\n")
    body = re.sub(r"(?m)^\.Cm [a-z-]+ Fl .*$", "", re.split(r"(?m)^\.Sh ", body)[0])  # .Cm verify Fl -policy: another's
    shown = {"-" + name for name in re.findall(r"\bFl (-?[a-z][\w-]*)", body)}
    known = {c: options_of(c) for c in re.findall(r"[a-z][a-z-]*", title) if c in commands}
    if "policy" in known:
        for action in re.findall(r"(?m)^  ([a-z][a-z-]*) ", output(tool, "help", "policy")):
            known["policy"] |= options_of("policy", action)
    for command, options in known.items():
        bad += [f"cvm-cli.1: {command} has {o}, its section has not" for o in sorted(options - shown)]
    bad += [f"cvm-cli.1: the section of {title} has {o}, the help has not" for o in sorted(shown - set().union(*known.values()))]

for option in re.findall(r"(?m)^  --([a-z-]+)", output(os.path.join(BIN, "cvm-agent"), "--help")):
    if f"Fl -{option}" not in agent:
        bad.append(f"cvm-agent.8: no --{option}")
with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
    f.write("{}")
    f.flush()
    settings = re.findall(r"(?m)^(\S+) = ", output(tool, "policy-lint", f.name))
assert len(settings) > 20, settings
for setting in settings:
    group, name = setting.split(".", 1)
    if not re.search(r"\.Ss " + group + r"\n(?:(?!\.Ss ).*\n)*?(\.It )?.*" + re.escape(name) + r"\b", policy):
        bad.append(f"cvm_agent_policy.json.5: no {setting}")
print("\n".join(bad) or "ok")
sys.exit(1 if bad else 0)

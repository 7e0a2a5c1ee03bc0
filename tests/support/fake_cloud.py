"""A stand-in for az, gcloud and aws: checks each command's options against those that the tools document
(tests/data/clouds/options.json), keeps what is made in a file, and answers as they do.

usage: as az, gcloud or aws; CVM_FAKE_CLOUD names the file, CVM_FAKE_FAIL a command ("vm create") that fails
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.environ["CVM_FAKE_CLOUD"]
SHOWS = {"show", "describe", "head-bucket", "describe-images", "describe-security-groups", "describe-volumes",
         "describe-instances"}
MAKES = {"create", "register-image", "create-security-group", "run-instances", "create-volume", "mb", "import-snapshot",
         "upload", "cp"}
ENDS = {"delete", "rm", "rb", "deregister-image", "delete-security-group", "delete-snapshot", "terminate-instances"}


def split(argv):
    """Words of the command, positional arguments, options."""
    words, options, rest = [], {}, []
    documented = json.load(open(os.path.join(HERE, "../data/clouds/options.json")))
    while argv and not argv[0].startswith("-") and " ".join(words + argv[:1]) in prefixes(documented):
        words.append(argv.pop(0))
    command = " ".join(words)
    if command not in documented:
        sys.exit(f"fake: no such command: {command}")
    name = None
    for word in argv:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            if name not in documented[command]:
                sys.exit(f"fake: {command} has no option {name}")
            if name in options:
                sys.exit(f"fake: {name} twice")
            options[name] = [value] if "=" in word else []
        elif name and words[0] != "gcloud":
            options[name].append(word)
        else:
            rest.append(word)
    return words, rest, options


def prefixes(documented):
    return {" ".join(c.split()[:i + 1]) for c in documented for i in range(len(c.split()))}


def name_of(words, rest, options):
    """What a thing is called, whoever asks for it."""
    group = " ".join(words[1:-1])
    keys = {"sig": "--gallery-name", "sig image-definition": "--gallery-image-definition",
            "sig image-version": "--gallery-image-definition"}
    flat = {k: " ".join(v) for k, v in options.items()}
    verb = words[-1]
    if words[0] == "az":
        name = flat.get(keys.get(group, "--name"), flat.get("--container-name", ""))
        return group, f"{name}@{flat.get('--resource-group', flat.get('--account-name', name))}"
    if words[0] == "gcloud":
        return group.replace(" buckets", ""), (rest[-1] if verb == "cp" else rest[0]) if rest else ""
    kinds = {"images": "image", "image": "image", "security-group": "group", "security-groups": "group",
             "instances": "vm", "volumes": "volume", "volume": "volume", "snapshot": "snapshot", "bucket": "s3",
             "mb": "s3", "rb": "s3", "cp": "object", "rm": "object"}
    kind = next((v for k, v in kinds.items() if verb.endswith(k)), verb)
    text = flat.get("--filters", "") + flat.get("--tag-specifications", "")
    found = re.search(r"(?:Name=name,Values=|Name=group-name,Values=|Name=tag:Name,Values=|Key=Name,Value=)([\w-]+)", text)
    name = found.group(1) if found else flat.get("--name", flat.get("--group-name", flat.get("--bucket", "")))
    for option in ("--image-id", "--group-id", "--instance-ids", "--snapshot-id"):
        if verb in ENDS and option in flat:
            name = flat[option].split("/", 1)[1]
    if rest and rest[-1].startswith("s3://"):
        name = rest[-1][5:]
    return kind, name


def main():
    tool = os.path.basename(sys.argv[0])
    state = json.load(open(STATE)) if os.path.exists(STATE) else {"things": [], "calls": []}
    words, rest, options = split([tool] + sys.argv[1:])
    state["calls"].append(" ".join([tool] + sys.argv[1:]))
    kind, name = name_of(words, rest, options)
    thing, verb, status = f"{kind}/{name}", words[-1], 0
    if " ".join(words[1:]) == os.environ.get("CVM_FAKE_FAIL"):
        print("fake: this one fails", file=sys.stderr)
        status = 1
    elif words[1:] in (["account", "show"], ["auth", "list"], ["sts", "get-caller-identity"]):
        print("someone")
    elif words[1:3] == ["config", "get-value"]:
        print("project-1")
    elif words[1:3] == ["ec2", "wait"]:
        pass
    elif verb == "describe-import-snapshot-tasks":
        state["polls"] = state.get("polls", 0) + 1
        snapshot = "snapshot/" + options["--import-task-ids"][0]
        if "SnapshotId" in options["--query"][0]:
            state["things"].append(snapshot)
            print(snapshot)
        else:
            print("active" if state["polls"] == 1 else "completed")
    elif verb == "import-snapshot":
        state["imports"] = state.get("imports", 0) + 1
        print(f"task-{state['imports']}")
    elif verb in SHOWS and "--instance-ids" in options:
        print("203.0.113.7" if "Address" in options["--query"][0] else "zone-a")
    elif verb in SHOWS:
        if thing in state["things"]:
            print("203.0.113.7" if "publicIps" in str(options) or "natIP" in str(options) else thing)
        elif tool == "aws" and verb != "head-bucket":
            print("None")
        else:
            status = 3
    elif verb == "delete-snapshot" and any(t.startswith("image/") for t in state["things"]):
        sys.exit("fake: an image holds this snapshot")
    elif verb in ENDS:
        if thing not in state["things"]:
            sys.exit(f"fake: {thing} is not there to be removed")
        state["things"].remove(thing)
        if kind == "group" and tool == "az":  # with all that is in it
            state["things"] = [t for t in state["things"] if not t.endswith("@" + name.split("@")[1])]
        if kind == "storage account":
            state["things"] = [t for t in state["things"] if not t.endswith("@" + name.split("@")[0])]
    elif verb in MAKES and "rule" not in words:
        if thing in state["things"] and kind != "object" and verb not in ("upload", "cp", "import-snapshot"):
            sys.exit(f"fake: {thing} is there already")
        if verb != "import-snapshot" and thing not in state["things"]:
            state["things"].append(thing)
        if "--query" in options:
            print(thing)
    with open(STATE, "w") as f:
        json.dump(state, f)
    sys.exit(status)


main()

"""A stand-in for az, gcloud and aws: checks each command's options against those that the tools document
(tests/data/clouds/options.json), keeps what is made in a file, and answers as they do, errors included.

usage: as az, gcloud or aws; CVM_FAKE_CLOUD names the file. A command ("vm create") fails without effect if CVM_FAKE_FAIL
names it (half a machine of az with CVM_FAKE_PARTLY), after its effect with CVM_FAKE_FAIL_AFTER, for want of a network with CVM_FAKE_OFFLINE; with CVM_FAKE_KILL who
called it is killed after its effect, and before it with CVM_FAKE_KILL_BEFORE.
"""
import json
import os
import re
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.environ["CVM_FAKE_CLOUD"]


class Refused(Exception):
    """What the tool says, and its exit status."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


def split(argv):
    """Words of the command, positional arguments, options."""
    words, options, rest = [], {}, []
    documented = json.load(open(os.path.join(HERE, "../data/clouds/options.json")))
    beginnings = {" ".join(c.split()[:i + 1]) for c in documented for i in range(len(c.split()))}
    while argv and not argv[0].startswith("-") and " ".join(words + argv[:1]) in beginnings:
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


# ---- az ----

IN_USE = {"network nsg": "nsg", "network public-ip": "ip", "network vnet": "vnet"}


def az(state, words, rest, options):
    things = state["things"]
    flat = {k: " ".join(v) for k, v in options.items()}
    kind, verb = " ".join(words[1:-1]), words[-1]
    if words[1:] == ["account", "show"]:
        return "someone"
    if kind == "network nsg rule":
        return rule(things, flat)
    if words[1:] == ["resource", "list"]:
        return foreign(things, flat)
    name = flat.get({"sig": "--gallery-name", "sig image-definition": "--gallery-image-definition",
                     "sig image-version": "--gallery-image-definition"}.get(kind, "--name"), "")
    if kind.startswith("storage") and kind != "storage account":
        if flat["--auth-mode"] != "key":
            raise Refused("You do not have the required permissions: role Storage Blob Data Contributor")
        group = f"{flat['--account-name']}"
        if not any(t.startswith(f"storage account/{group}@") for t in things):
            raise Refused("(unknown host) Failed to resolve the account's name")
    else:
        group = name if kind == "group" else flat["--resource-group"]
    thing = f"{kind}/{name}@{group}"
    if kind != "group" and not kind.startswith("storage b") and kind != "storage container" \
            and f"group/{group}@{group}" not in things:
        raise Refused(f"(ResourceGroupNotFound) Resource group '{group}' could not be found.", 3)
    if verb == "show":
        if thing not in things:
            raise Refused(f"(ResourceNotFound) The Resource '{thing}' was not found.", 3)
        return "203.0.113.7" if "publicIps" in str(options) else thing
    if verb == "start":
        things[thing]["state"] = "running"
        return ""
    if verb == "delete":
        az_delete(things, kind, thing, group)
        return ""
    made = {"location": flat.get("--location")}
    if verb == "upload":
        shutil.copy(flat["--file"], STATE + ".upload")
    if kind == "network nic":
        for option, what in (("--network-security-group", "network nsg"), ("--public-ip-address", "network public-ip"),
                             ("--vnet-name", "network vnet")):
            if f"{what}/{flat[option]}@{group}" not in things:
                raise Refused(f"(ResourceNotFound) {flat[option]}")
        made |= {"nsg": flat["--network-security-group"], "ip": flat["--public-ip-address"], "vnet": flat["--vnet-name"]}
    if kind == "vm":
        if f"network nic/{flat['--nics']}@{group}" not in things:
            raise Refused("(ResourceNotFound) the network interface")
        made |= {"nic": flat["--nics"], "state": "running", "delete": flat.get("--nic-delete-option", "Detach")}
        if os.environ.get("CVM_FAKE_PARTLY"):
            things[f"disk/{flat['--os-disk-name']}@{group}"] = {}
            raise Refused("(AllocationFailed) no room for the machine")
        things[f"disk/{flat['--os-disk-name']}@{group}"] = {"of": flat.get("--os-disk-delete-option", "Detach")}
    things[thing] = made
    return thing if "--query" in options else ""


def az_delete(things, kind, thing, group):
    if thing not in things:
        raise Refused(f"(ResourceNotFound) {thing}", 3)
    name = thing.split("/")[1].split("@")[0]
    if kind in IN_USE and any(t.startswith("network nic/") and v.get(IN_USE[kind]) == name for t, v in things.items()):
        raise Refused(f"(InUse) {thing} is used by a network interface")
    if kind == "network nic" and any(v.get("nic") == name for v in things.values()):
        raise Refused("(NicInUse) a machine has it")
    was = things.pop(thing)
    if kind == "group":
        accounts = [t.split("/")[1].split("@")[0] for t in things if t.startswith("storage account/") and t.endswith("@" + name)]
        for t in [t for t in things if t.split("@")[1] in (name, *accounts)]:
            del things[t]
    if kind == "vm":
        if was["delete"] == "Delete":
            del things[f"network nic/{was['nic']}@{group}"]
        for t in [t for t, v in things.items() if v.get("of") == "Delete" and t.endswith("@" + group)]:
            del things[t]
    if kind == "storage account":
        for t in [t for t in things if t.endswith("@" + name)]:
            del things[t]


def rule(things, flat):
    nsg = things.get(f"network nsg/{flat['--nsg-name']}@{flat['--resource-group']}")
    if nsg is None:
        raise Refused("(ResourceNotFound) the network security group")
    rules = nsg.setdefault("rules", {})
    if any(p == flat["--priority"] and n != flat["--name"] for n, (p, _) in rules.items()):
        raise Refused("(SecurityRuleConflict) this priority is taken")
    rules[flat["--name"]] = [flat["--priority"], flat["--destination-port-ranges"]]
    return ""


def foreign(things, flat):
    ours = re.findall(r"'([^']*)'", flat["--query"])
    paths = {"sig image-definition": "{gallery}/{name}", "sig image-version": "{gallery}/{name}/1.0.0"}
    gallery = next((t.split("/")[1].split("@")[0] for t in things if t.startswith("sig/")), "")
    for t in things:
        kind, name = t.split("@")[0].split("/", 1)
        if t.endswith("@" + flat["--resource-group"]) and kind != "group":
            name = paths.get(kind, "{name}").format(gallery=gallery, name=name)
            if name not in ours:
                return name
    return ""


# ---- gcloud ----

PLACES = {"compute images": "global/images/{}", "compute firewall-rules": "global/firewalls/{}",
          "compute disks": "zones/z/disks/{}", "compute instances": "zones/z/instances/{}"}


def gcloud(state, words, rest, options):
    things = state["things"]
    kind, verb = " ".join(words[1:-1]), words[-1]
    if words[1:] == ["auth", "list"]:
        return "someone"
    if words[1:3] == ["config", "get-value"]:
        return "project-1"
    name = rest[-1] if verb == "cp" else rest[0]
    thing = f"{'storage' if kind.startswith('storage') else kind}/{name}"
    if verb == "describe":
        if thing not in things:
            where = f"The resource 'projects/p/{PLACES[kind].format(name)}' was not found" if kind in PLACES else \
                f"{name} not found: 404."
            raise Refused(f"ERROR: (gcloud.{'.'.join(words[1:])}) {where}")
        return "203.0.113.7" if "natIP" in str(options) else name
    if verb in ("delete", "rm"):
        if thing not in things:
            raise Refused(f"ERROR: {name} not found")
        for t in [t for t in things if t == thing or "--recursive" in options and t.startswith(thing + "/")]:
            del things[t]
        return ""
    if verb == "update":
        things[thing]["allow"] = options["--allow"][0]
    elif verb == "start":
        things[thing]["state"] = "running"
    else:
        if verb == "cp":
            shutil.copy(rest[0], STATE + ".upload")
        if thing in things and verb == "create":
            raise Refused(f"ERROR: The resource '{name}' already exists")
        if name.split("/")[-1] != name.split("/")[-1].lower():
            raise Refused("ERROR: Invalid value for field 'resource.name'")
        things[thing] = {"state": "running", "allow": options.get("--allow", [""])[0], "cpu": options.get("--min-cpu-platform", [""])[0]}
    return ""


# ---- aws ----

def tags_of(flat):
    text = " ".join(flat.get("--tag-specifications", "").split())
    return dict(re.findall(r"\{Key=([^,]*),Value=([^}]*)\}", text))


def filtered(things, kind, options):
    for id_, thing in things.items():
        if thing["kind"] == kind and all(holds(id_, thing, f) for f in options.get("--filters", [])):
            yield id_


def holds(id_, thing, text):
    name, values = re.fullmatch(r"Name=([^,]*),Values=(.*)", text).groups()
    values = values.split(",")
    if name.startswith("tag:"):
        return thing["tags"].get(name[4:]) in values
    if name.endswith("-id") and not name.startswith("attachment") and name != "group-id":
        return id_ in values
    known = {"group-id": thing.get("group", id_), "name": thing.get("name"), "instance-state-name": thing.get("state"),
             "status": thing.get("state"), "attachment.instance-id": thing.get("instance"), "group-name": thing.get("name")}
    return known[name] in values


LISTS = {"describe-images": "image", "describe-security-groups": "group", "describe-instances": "vm",
         "describe-volumes": "volume", "describe-snapshots": "snapshot", "describe-security-group-rules": "rule"}


def aws_describe(state, verb, flat, options):
    things, kind = state["things"], LISTS[verb]
    asked = flat.get("--instance-ids") or flat.get("--volume-ids")
    if asked:
        if asked not in things:
            raise Refused(f"An error occurred (InvalidID.NotFound) when calling {verb}", 254)
        query = flat["--query"]
        return things[asked]["address"] if "PublicIp" in query else things[asked]["zone"]
    found = list(filtered(things, kind, options))
    if "[0]" in flat["--query"]:
        return found[0] if found else "None"
    return "\t".join(found)


def aws_import(state, verb, flat):
    things = state["things"]
    query = flat["--query"]
    tasks = {i: t for i, t in things.items() if t["kind"] == "task"}
    if "--import-task-ids" in flat:
        tasks = {i: t for i, t in tasks.items() if i == flat["--import-task-ids"]}
        if not tasks:
            raise Refused("An error occurred (InvalidParameter): no such task", 254)
    described = re.search(r"Description=='([^']*)'", query)
    if described:
        tasks = {i: t for i, t in tasks.items() if t["description"] == described[1]}
    asked = re.search(r"ImportTaskId=='([^']*)'", query)
    if asked:
        tasks = {i: t for i, t in tasks.items() if i == asked[1]}
    if "Status=='active'" in query:
        tasks = {i: t for i, t in tasks.items() if t["state"] == "active"}
    if not tasks:
        return "None" if "[0]" in query else ""
    id_, task = next(iter(tasks.items()))
    if query.endswith(".Status"):
        now = task["state"]
        if now == "active":
            aws_make(state, "snap", "snapshot", {}, id_)
            task["state"], task["snapshot"] = "completed", state["last"]
        return now
    return task.get("snapshot", "None" if "[0]" in query else "") if "SnapshotId" in query else id_


def aws_make(world, prefix, kind, tags, name=None, **more):
    world["count"] = world.get("count", 0) + 1
    world["last"] = f"{prefix}-{world['count']:04}"
    world["things"][world["last"]] = {"kind": kind, "tags": tags, "name": name} | more
    return world["last"]


def aws_s3(state, words, rest, flat):
    things, verb = state["things"], words[-1]
    name = rest[-1] if rest else "s3://" + "/".join(filter(None, [flat.get("--bucket"), flat.get("--key")]))
    if verb.startswith("head"):
        if name not in things:
            raise Refused(f"An error occurred (404) when calling {verb}: Not Found", 254)
    elif verb in ("rb", "rm"):
        for t in [t for t in things if t == name or verb == "rb" and t.startswith(name + "/")]:
            del things[t]
    else:
        if verb == "cp":
            shutil.copy(rest[0], STATE + ".upload")
        things[name] = {"kind": "s3", "tags": {}}
    return ""


def aws(state, words, rest, options):
    things, verb = state["things"], words[-1]
    flat = {k: " ".join(v) for k, v in options.items()}
    if words[1:] == ["sts", "get-caller-identity"]:
        return "someone"
    if words[1:] == ["iam", "get-role"]:
        if os.environ.get("CVM_FAKE_NO_ROLE"):
            raise Refused("An error occurred (NoSuchEntity) when calling the GetRole operation", 254)
        return "arn"
    if words[1].startswith("s3"):
        return aws_s3(state, words, rest, flat)
    if verb == "describe-import-snapshot-tasks":
        return aws_import(state, verb, flat)
    if verb == "describe-instance-type-offerings":
        return "us-east-2a"
    if words[2] == "wait":
        return aws_wait(things, verb, flat)
    if verb in LISTS:
        return aws_describe(state, verb, flat, options)
    return AWS[verb](state, flat)


def aws_wait(things, verb, flat):
    id_ = flat.get("--instance-ids") or flat["--volume-ids"]
    want = verb.rsplit("-", 1)[1]
    if things[id_]["state"] != want:
        raise Refused(f"Waiter {verb} failed: Max attempts exceeded ({things[id_]['state']})", 255)
    if want == "terminated":
        del things[id_]
    return ""


def run_instances(state, flat):
    for id_, thing in state["things"].items():
        if thing.get("token") == flat["--client-token"]:
            return id_
    zone = flat.get("--placement", "AvailabilityZone=us-east-2c").split("=")[1]
    id_ = aws_make(state, "i", "vm", tags_of(flat), image=flat["--image-id"], state="running", zone=zone,
                   token=flat["--client-token"])
    state["things"][id_]["address"] = f"203.0.113.{state['count']}"
    return id_


def terminate(state, flat):
    thing = state["things"][flat["--instance-ids"]]
    thing["state"] = "terminated"
    for other in state["things"].values():
        if other.get("instance") == flat["--instance-ids"]:
            other |= {"instance": None, "state": "available"}
    return ""


def attach(state, flat):
    volume, vm = state["things"][flat["--volume-id"]], state["things"][flat["--instance-id"]]
    if volume["state"] != "available" or volume["zone"] != vm["zone"]:
        raise Refused(f"An error occurred (InvalidVolume): {volume} {vm}", 254)
    volume |= {"instance": flat["--instance-id"], "state": "in-use"}
    return ""


def create_group(state, flat):
    if any(t["kind"] == "group" and t["name"] == flat["--group-name"] for t in state["things"].values()):
        raise Refused("An error occurred (InvalidGroup.Duplicate)", 254)
    return aws_make(state, "sg", "group", tags_of(flat), flat["--group-name"])


def authorize(state, flat):
    if any(t["kind"] == "rule" and t["group"] == flat["--group-id"] and t["name"] == flat["--port"]
           for t in state["things"].values()):
        raise Refused("An error occurred (InvalidPermission.Duplicate)", 254)
    return aws_make(state, "sgr", "rule", tags_of(flat), flat["--port"], group=flat["--group-id"])


def import_snapshot(state, flat):
    for id_, thing in state["things"].items():
        if thing.get("token") == flat["--client-token"]:
            return id_
    return aws_make(state, "task", "task", {}, description=flat["--description"], state="active", token=flat["--client-token"])


def create_volume(state, flat):
    return aws_make(state, "vol", "volume", tags_of(flat), state="available", zone=flat["--availability-zone"])


def remove(kind, option):
    def end(state, flat):
        things, id_ = state["things"], flat[option]
        if id_ not in things:
            raise Refused(f"An error occurred (InvalidID.NotFound): {id_}", 254)
        if kind == "snapshot" and any(t.get("snapshot_id") == id_ and t["kind"] == "image" for t in things.values()):
            raise Refused("An error occurred (InvalidSnapshot.InUse)", 254)
        if kind == "task" and things[id_]["state"] != "active":
            raise Refused("An error occurred (IncorrectState)", 254)
        del things[id_]
        for t in [t for t, v in things.items() if v.get("group") == id_]:
            del things[t]
        return ""
    return end


def register(state, flat):
    if any(t["kind"] == "image" and t["name"] == flat["--name"] for t in state["things"].values()):
        raise Refused("An error occurred (InvalidAMIName.Duplicate)", 254)
    snapshot = re.search("SnapshotId=([^,]*)", flat["--block-device-mappings"])[1]
    if snapshot not in state["things"]:
        raise Refused("An error occurred (InvalidSnapshot.NotFound)", 254)
    return aws_make(state, "ami", "image", {}, flat["--name"], snapshot_id=snapshot, uefi=flat.get("--uefi-data"))


def start(state, flat):
    state["things"][flat["--instance-ids"]]["state"] = "running"
    return ""


AWS = {"run-instances": run_instances, "terminate-instances": terminate, "attach-volume": attach,
       "create-security-group": create_group, "authorize-security-group-ingress": authorize,
       "import-snapshot": import_snapshot, "create-volume": create_volume, "register-image": register,
       "start-instances": start, "deregister-image": remove("image", "--image-id"),
       "delete-security-group": remove("group", "--group-id"), "delete-snapshot": remove("snapshot", "--snapshot-id"),
       "cancel-import-task": remove("task", "--import-task-id")}


def save(state):
    with open(STATE, "w") as f:
        json.dump(state, f)


def main():
    tool = os.path.basename(sys.argv[0])
    state = json.load(open(STATE)) if os.path.exists(STATE) else {"things": {}, "calls": []}
    words, rest, options = split([tool] + sys.argv[1:])
    command = " ".join(words[1:])
    state["calls"].append(" ".join([tool] + sys.argv[1:]))

    def asked(what):
        return command == os.environ.get("CVM_FAKE_" + what)
    if asked("FAIL") or asked("OFFLINE") or asked("KILL_BEFORE"):
        save(state)
        if asked("KILL_BEFORE"):
            os.kill(os.getppid(), signal.SIGKILL)
        sys.exit("Could not connect to the endpoint: Connection aborted" if asked("OFFLINE") else "fake: this one fails")
    try:
        text = {"az": az, "gcloud": gcloud, "aws": aws}[tool](state, words, rest, options)
    except Refused as e:
        save(state)
        print(e, file=sys.stderr)
        sys.exit(e.status)
    save(state)
    if asked("KILL"):
        os.kill(os.getppid(), signal.SIGKILL)
    if asked("KILL") or asked("FAIL_AFTER"):
        sys.exit("fake: this one fails, after what it has done")
    if text:
        print(text)


main()

"""deploy-azure, -gcp, -aws and cleanup against stand-ins of the clouds' tools that know their documented options.

usage: test_clouds.py CVM-CLI [CLOUD]
"""
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support/fake_cloud.py")
CLOUDS = {"azure": ("az", "azure_disk.vhd", "vm create", "vm show"),
          "gcp": ("gcloud", "gcp_disk.tar.gz", "compute instances create", "compute instances describe"),
          "aws": ("aws", "aws_disk.vmdk", "ec2 run-instances", "ec2 describe-instances")}
KILLED = -9


class Bench:
    def __init__(self, cli, folder, cloud):
        self.cli, self.folder, self.cloud = os.path.abspath(cli), folder, cloud
        self.tool, self.disk, self.last, self.look = CLOUDS[cloud]
        self.state = os.path.join(folder, "cloud.json")
        bin_ = os.path.join(folder, "bin")
        os.makedirs(bin_)
        path = os.path.join(bin_, self.tool)
        with open(path, "w") as f:
            f.write(f'#!/bin/sh\nexec /usr/bin/python3 -SE -c \'import sys; sys.argv[0] = "{self.tool}"; '
                    f'__file__ = "{FAKE}"; exec(open(__file__).read())\' "$@"\n')
        os.chmod(path, 0o755)
        self.env = {"PATH": bin_ + ":/usr/bin:/bin", "CVM_FAKE_CLOUD": self.state}
        self.write_disk("disk")

    def write_disk(self, text):
        with open(os.path.join(self.folder, self.disk), "w") as f:
            f.write(text)

    def run(self, want, *args, why="", **env):
        done = subprocess.run([self.cli, *args], capture_output=True, text=True, cwd=self.folder, timeout=100,
                              env=self.env | env, stdin=subprocess.DEVNULL)
        if done.returncode != want or why not in done.stdout + done.stderr:
            sys.exit(f"FAIL {args} {env}: exit {done.returncode}, want {want} {why!r}\n{done.stdout}{done.stderr}")
        return done.stdout

    def deploy(self, want, *args, **kw):
        return self.run(want, "deploy-" + self.cloud, "--poll", "0", *args, **kw)

    def cleanup(self, want=0, *args, **kw):
        return self.run(want, "cleanup-" + self.cloud, *args, **kw)

    def read(self):
        if not os.path.exists(self.state):
            return {"things": {}, "calls": []}
        with open(self.state) as f:
            return json.load(f)

    def things(self):
        return self.read()["things"]

    def write(self, change):
        state = self.read()
        change(state["things"])
        with open(self.state, "w") as f:
            json.dump(state, f)

    def calls_of(self, action):
        """What the tool was called with meanwhile."""
        before = len(self.read()["calls"])
        action()
        return self.read()["calls"][before:]

    def record(self, name="cvm-test"):
        return os.path.join(self.folder, "_artifacts", f"{self.cloud}_{name}.json")

    def kinds(self, *without):
        things = self.things()
        kinds = (v["kind"] if self.cloud == "aws" else k.split("/")[0] for k, v in things.items())
        return sorted(k for k in kinds if k not in ("task", *without))

    def machine(self):
        """The name, or id, of the machine that runs."""
        found = [k for k, v in self.things().items() if k.startswith(("vm/", "compute instances/"))
                 or v.get("kind") == "vm" and v["state"] != "terminated" and k != "i-9999"]
        assert len(found) == 1, found
        return found[0]

    def nothing_left(self, *but):
        """All is gone but what is named: costs are what people find out too late."""
        left = [k for k, v in self.things().items() if v.get("kind") != "task" and not any(b in k for b in but)]
        if left:
            sys.exit(f"FAIL {self.cloud}: left behind: {left}")


def expect(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAIL {what}: {detail}")


def check_life(b):
    """Made, there already, of another disk, removed."""
    plan = b.deploy(0, "--dry-run", "--additional_ports", "80,443")
    assert plan.count("\n# ") > 4 and not os.path.exists(b.state) and not os.path.exists(b.record())

    options = ["--additional_ports", "80,443", "--attach-disk", "data"]
    b.deploy(0, *options, why="203.0.113.")
    calls, things = b.read()["calls"], b.things()
    assert any("80" in c and "443" in c or "443" in c for c in calls)
    assert stat.S_IMODE(os.stat(b.record()).st_mode) == 0o600
    again = b.calls_of(lambda: b.deploy(0))  # everything is there
    assert b.things() == things
    changed = [c for c in again if re.search(r" (create|upload|cp|import-snapshot|run-instances|attach-volume) ", c)]
    assert not changed, changed
    first, kinds = b.machine(), b.kinds()

    b.write_disk("another disk")
    shown = b.deploy(0, "--dry-run")
    calls = b.calls_of(lambda: b.deploy(0, why="replaced"))
    assert b.kinds() == kinds, (kinds, b.kinds())
    expect("the plan names the removal and the new machine", b.last in shown and "# remove: machine" in shown, shown)
    if b.cloud == "aws":
        machine = b.things()[b.machine()]
        with open(b.record()) as f:
            expect("the new address", json.load(f)["vars"]["address"] == machine["address"] != things[first]["address"])
        volume = next(v for v in b.things().values() if v["kind"] == "volume")
        expect("the data disk is in the new machine", volume["instance"] == b.machine(), volume)

    b.cleanup(0, "--dry-run", why=b.tool)
    if b.cloud == "aws":  # which forgets import tasks after a while
        b.write(lambda things: [things.pop(t) for t in [t for t in things if t.startswith("task-")]])
    b.cleanup()
    b.nothing_left("/data@", "disks/data", "vol-", "group/cvm-test_Rg")  # a data disk outlives its machine, and its group
    assert any("data" in t or "vol-" in t for t in b.things()) and not os.path.exists(b.record())
    b.cleanup(3, why="no record")
    left = b.things()

    # the last step fails: what this run has made goes, what was there stays
    b.deploy(4, "--vm_name", "second", why="taking back", CVM_FAKE_FAIL=b.last)
    expect("all is taken back", [k for k in b.things() if k not in left and not k.startswith("task")] == [], b.things())
    assert not os.path.exists(b.record("second"))
    b.deploy(4, "--vm_name", "third", "--keep", CVM_FAKE_FAIL=b.last)
    kept = b.things()
    assert len(kept) > 2
    b.deploy(0, "--vm_name", "third", why="is there")  # goes on where it stopped
    assert set(kept) < set(b.things())
    b.cleanup(0, "--vm_name", "third")

    # a machine of that name that is not of a record is nobody's to replace
    b.deploy(0, "--vm_name", "fourth")
    os.rename(b.record("fourth"), b.record("fourth") + ".lost")
    things = b.things()
    b.deploy(4, "--vm_name", "fourth", "--keep", why="not of this record")
    assert set(things) <= set(b.things())


def check_nonsense(b):
    """Refused before anything is run."""
    before = len(b.read()["calls"])
    for args in (["--vm_name", "a;b"], ["--vm_name", "-x"], ["--vm_type", "t2.micro"], ["--additional_ports", "80,x"],
                 ["--additional_ports", "0"], ["--additional_ports", "70000"], ["--disk-size", "0"], ["--nonsense"],
                 ["--additional_ports", "080"]):
        b.deploy(2, *args)
    if b.cloud == "gcp":
        b.deploy(2, "--vm_name", "MyMachine", why="small letters")
        b.deploy(2, "--vm_name", "1machine", why="a letter first")
    if b.cloud != "azure":
        b.deploy(2, "--bucket", "Bucket", why="small letters")
    b.deploy(3, "--disk", "absent.img", why="no such disk")
    assert len(b.read()["calls"]) - before <= 1  # gcloud's default project may be asked for
    b.env["PATH"] = "/nowhere"
    b.deploy(4 if b.cloud != "gcp" else 2)


def check_unknown(b):
    """A tool that cannot answer has not said that a thing is gone."""
    b.deploy(0)
    things = b.things()
    with open(b.record()) as f:
        record = f.read()
    # Azure's group goes whole: that is what is looked for there.
    for look in ("group show", "resource list") if b.cloud == "azure" else (b.look,):
        b.cleanup(4, why="cannot tell", CVM_FAKE_OFFLINE=look)
        with open(b.record()) as f:
            expect("the record is kept", b.machine().split("@")[0].split("/")[-1] in f.read())
    calls = b.calls_of(lambda: b.deploy(4, why="cannot tell", CVM_FAKE_OFFLINE=b.look))
    expect("nothing is made for what may be there", not any(b.last in c for c in calls), calls)
    expect("and nothing was removed", b.things() == things)
    with open(b.record()) as f:
        assert json.load(f)["made"] == json.loads(record)["made"]
    b.cleanup()
    b.nothing_left()


def check_killed(b):
    """Whatever step a run is killed at, before its effect or after it: the next one goes on, or cleanup takes it."""
    plan = b.deploy(0, "--dry-run", "--attach-disk", "data", "--additional_ports", "80")
    steps = {" ".join(words_of(b.tool, line)) for line in plan.splitlines() if b.tool + " " in line}
    steps = {s for s in steps if not re.search(r"\b(show|describe|wait|config|start)", s)}  # what changes something
    expect("steps", len(steps) >= 6, steps)
    options = ["--attach-disk", "data", "--additional_ports", "80"]
    before = None
    for step in [b.last] + sorted(steps)[::2 if b.cloud == "azure" else 1]:  # Azure's group goes whole, mostly
        for when in ("KILL", "KILL_BEFORE") if b.last == step else ("KILL",):
            b.deploy(KILLED, *options, **{"CVM_FAKE_" + when: step})
            b.deploy(0, *options, why="203.0.113.")
            kinds = b.kinds()
            expect(f"{step}: as much is there as without {when}", before in (None, kinds), (before, kinds))
            before = kinds
            b.cleanup()
            b.nothing_left("data", "vol-", "_Rg@")
            b.write(lambda things: things.clear())
            b.deploy(KILLED, *options, **{"CVM_FAKE_" + when: step})
            if os.path.exists(b.record()):
                b.cleanup()
            b.nothing_left("data", "vol-", "_Rg@")
            b.write(lambda things: things.clear())
    # A step that fails after its effect, in a run that takes back what it has made.
    for step in [b.last] + sorted(steps)[::4]:
        b.deploy(4, *options, why="taking back", CVM_FAKE_FAIL_AFTER=step)
        b.nothing_left("data", "vol-", "_Rg@")
        b.write(lambda things: things.clear())
        if os.path.exists(b.record()):
            b.cleanup()


def words_of(tool, line):
    """The words of a command that a printed line runs."""
    words = line.split(tool + " ", 1)[1].rstrip(")").split()
    for i, word in enumerate(words):
        if word.startswith(("-", "gs://", "s3://")) or i == 3 or not re.fullmatch("[a-z0-9-]+", word):
            break
    else:
        i = len(words)
    with open(os.path.join(os.path.dirname(FAKE), "../data/clouds/options.json")) as f:
        commands = json.load(f)
    while " ".join([tool] + words[:i]) not in commands:
        i -= 1
    return words[:i]


def check_strangers(b):
    """Things of somebody else that are called the same are neither taken nor removed."""
    if b.cloud != "aws":
        return

    def add(things):
        things["i-9999"] = {"kind": "vm", "tags": {"Name": "cvm-test"}, "state": "running", "name": None}
        things["sg-9999"] = {"kind": "group", "tags": {"Name": "cvm-test"}, "name": "other-secgrp"}
    b.write(add)
    b.deploy(0)
    with open(b.record()) as f:
        own = json.load(f)["vars"]["instance_id"]
    expect("a machine of its own", own != "i-9999" and own in b.things())
    b.deploy(0)
    b.cleanup()
    b.nothing_left("-9999")
    expect("the stranger's runs", b.things()["i-9999"]["state"] == "running")
    # Two data disks of one name: which is meant cannot be known.
    for i in 1, 2:
        b.write(lambda things: things.update({f"vol-900{i}": {"kind": "volume", "tags": {"Name": "data"}, "name": None,
                                                              "state": "available", "zone": "us-east-2b"}}))
    b.deploy(4, "--attach-disk", "data", why="several of this name")
    b.write(lambda things: things.pop("vol-9002"))
    b.deploy(0, "--attach-disk", "data")
    expect("the machine goes where its data disk is", b.things()[b.machine()]["zone"] == "us-east-2b", b.things())
    # A stopped machine is there: not made a second time, but started, and removed in the end.
    machine = b.machine()
    b.write(lambda things: things[machine].update(state="stopped"))
    b.deploy(0)
    assert b.machine() == machine and b.things()[machine]["state"] == "running"
    b.write(lambda things: things[machine].update(state="stopped"))
    b.cleanup()
    b.nothing_left("-9999", "vol-")


def check_again(b):
    """Another run for the same machine: more ports, a machine that is gone, options that say otherwise."""
    b.deploy(0, "--additional_ports", "80")
    b.deploy(0, "--additional_ports", "443,80,8080")
    text = json.dumps(b.things())
    calls = " ".join(b.read()["calls"])
    for port in "80", "443", "8080":
        expect(f"port {port} is open", port in text or "Workload_" + port in calls, text)
    if b.cloud == "azure":
        rules = b.things()["network nsg/cvm-test@cvm-test_Rg"]["rules"]
        expect("each has its priority", sorted(p for p, _ in rules.values()) == ["100", "200", "201", "202"], rules)
    if b.cloud == "gcp":
        expect("each is allowed", all(f"tcp:{p}" in text for p in ("8000", "80", "443", "8080")), text)
    b.deploy(2, "--additional_ports", "443", why="has more")
    other = {"azure": "West Europe", "gcp": "us-central1-a", "aws": "eu-west-1"}[b.cloud]
    b.deploy(2, "--region", other, why="this machine's record has")
    b.deploy(2, "--attach-disk", "data", why="has none")
    things = b.things()
    b.deploy(2, "--dry-run", "--region", other, why="run cleanup first")
    assert b.things() == things
    machine = b.machine()
    b.write(lambda things: things.pop(machine))  # removed by hand
    b.deploy(0, why="203.0.113.")
    if b.cloud == "aws":
        expect("the new machine's address", b.things()[b.machine()]["address"] in b.deploy(0))
    b.cleanup()
    b.nothing_left()


def check_plan(b):
    """--dry-run prints what the run then does, word for word: the stand-in's calls are the printed ones."""
    shown = b.deploy(0, "--dry-run", "--additional_ports", "80")
    assert shown == b.deploy(0, "--dry-run", "--additional_ports", "80")
    calls = b.calls_of(lambda: b.deploy(0, "--additional_ports", "80"))
    script = "set -e\n" + shown
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=b.folder,
                          env=b.env | {"CVM_FAKE_CLOUD": b.state + ".plan", "HOME": b.folder})
    expect("the plan runs", done.returncode == 0, done.stderr)
    with open(b.state + ".plan") as f:
        planned = json.load(f)["calls"]
    made = [c for c in calls if c in planned or not re.search(" (show|describe[a-z-]*|head-[a-z]*|get-[a-z-]*|list) ", c + " ")]
    variable = r"[0-9a-f]{32}|(task|snap|ami|sg|i|sgr)-[0-9]{4}"
    want = [re.sub(variable, "ID", c) for c in made if "get-role" not in c]
    have = [re.sub(variable, "ID", c) for c in planned]
    for call in have:
        expect("a printed command is one that was run", call in want or "describe" in call or "show" in call, (call, want))
    for call in want:
        if not re.search("get-caller|auth list|account show", call):
            expect("what was run was printed", call in have, (call, have))
    later = b.deploy(0, "--dry-run")
    expect("what the record has is not made again", b.last not in later and "in the record" in later, later)
    b.cleanup()
    b.nothing_left()


def check_own_cloud(b):
    """What only one of the clouds needs."""
    if b.cloud == "aws":
        b.deploy(4, why="vmimport", CVM_FAKE_NO_ROLE="1")
        assert not b.things(), b.things()
        os.makedirs(os.path.join(b.folder, "keys"))
        b.deploy(3, "--secure-boot-certs", "keys", why="uefi-data.b64")
        with open(os.path.join(b.folder, "keys/uefi-data.b64"), "w") as f:
            f.write("QU1aTlVFRkk=\n")
        b.deploy(0, "--secure-boot-certs", "keys")
        image = next(v for v in b.things().values() if v["kind"] == "image")
        expect("the image has the keys", image["uefi"] == "file://keys/uefi-data.b64", image)
    if b.cloud == "gcp":
        plan = b.deploy(0, "--dry-run", "--vm_type", "n2d-standard-2")
        expect("a machine with SEV-SNP is a Milan", "--min-cpu-platform=AMD Milan" in plan and "SEV_SNP" in plan, plan)
        expect("one with TDX is not", "--min-cpu-platform" not in b.deploy(0, "--dry-run"))
        os.makedirs(os.path.join(b.folder, "keys"))
        b.deploy(3, "--secure-boot-certs", "keys", why="PK.der")
        for name in "PK.der", "KEK.der", "db.der":
            with open(os.path.join(b.folder, "keys", name), "w") as f:
                f.write("x")
        calls = " ".join(b.calls_of(lambda: b.deploy(0, "--secure-boot-certs", "keys")))
        for part in ("--platform-key-file=keys/PK.der", "--key-exchange-key-file=keys/KEK.der",
                     "--signature-database-file=keys/db.der", " --shielded-secure-boot"):
            expect("Secure Boot", part in calls, calls)
        expect("not both", "--no-shielded-secure-boot" not in calls)
    if b.cloud == "azure":
        b.deploy(4, "--attach-disk", "data", why="taking back", CVM_FAKE_PARTLY="1")
        b.nothing_left("disk/data", "group/cvm-test_Rg")
        b.write(lambda things: things.clear())
        b.deploy(0)
        calls = b.calls_of(b.cleanup)
        ends = [c for c in calls if " delete " in c]
        expect("the group alone is removed", len(ends) == 1 and "group delete" in ends[0], ends)
        b.deploy(0)
        b.write(lambda things: things.update({"storage account/theirs@cvm-test_Rg": {}}))
        out = b.cleanup()
        expect("what is somebody's stays, and the group that it is in", "theirs is in it" in out, out)
        b.nothing_left("theirs", "group/cvm-test_Rg")
        b.write(lambda things: things.clear())
        b.deploy(0)
    b.cleanup()
    b.nothing_left()


MIB = 1 << 20
PACK = {"azure": "qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on disk.raw azure_disk.vhd",
        "gcp": "tar --format=oldgnu --sparse -czf gcp_disk.tar.gz disk.raw",
        "aws": "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw aws_disk.vmdk"}
UNPACK = {"azure": "qemu-img convert -f vpc -O raw cloud.json.upload out.raw",
          "gcp": "tar -xzf cloud.json.upload -O disk.raw > out.raw",
          "aws": "qemu-img convert -f vmdk -O raw cloud.json.upload out.raw"}


def check_workload(b):
    """--add-workload on a disk in the cloud's format: what is uploaded has it, the disk that was given stays as it is."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [t for t in ("sgdisk", "mke2fs", "debugfs", "qemu-img") if not shutil.which(t)]
    if missing:
        print(f"SKIPPED {b.cloud} check_workload: there is no {missing[0]}")
        return

    def shell(command):
        return subprocess.run(command, shell=True, check=True, capture_output=True, text=True, cwd=b.folder).stdout

    def digest():
        return shell("sha256sum " + b.disk)

    def brought():
        shell(UNPACK[b.cloud] + f"; dd if=out.raw of=data bs={MIB} skip=8 count=24")
        return shell("debugfs -R 'cat workload/.env' data")
    with open(f"{b.folder}/disk.raw", "wb") as f:
        f.truncate(40 * MIB)
    shell("sgdisk --clear -n 1:1M:+3M -c 1:cvm-esp -n 4:8M:+24M -c 4:cvm-data disk.raw && " + PACK[b.cloud])
    os.unlink(f"{b.folder}/disk.raw")
    os.makedirs(f"{b.folder}/load")
    for name, text in (("docker-compose.yml", "services:\n  a: {image: r.io/a:1}\n"), (".env", "A=1\n")):
        with open(f"{b.folder}/load/{name}", "w") as f:
            f.write(text)
    before, options = digest(), ["--add-workload", "--workload", "load"]
    plan = b.deploy(0, "--dry-run", *options)
    expect("the plan has it", "cvm-cli update-disk _artifacts/" in plan and "disk." in plan, plan)
    b.deploy(0, *options)
    expect("the workload is on it", brought() == "A=1\n", brought())
    machine = b.machine()
    calls = " ".join(b.calls_of(lambda: b.deploy(0, *options)))
    expect("the same again brings nothing", not re.search("blob upload| cp ", calls) and b.machine() == machine, calls)
    b.deploy(0, "--additional_ports", "80")
    expect("a run for something else leaves it", b.machine() == machine, b.things())
    expect("and its plan says so", "# remove" not in b.deploy(0, "--dry-run"))
    b.deploy(2, "--workload", "load", "--disk", b.disk, why="--add-workload")
    with open(f"{b.folder}/load/.env", "w") as f:
        f.write("A=2\n")
    b.deploy(0, *options, why="replaced")
    expect("another workload is another disk", brought() == "A=2\n", brought())
    os.symlink("/etc/passwd", f"{b.folder}/load/link")
    things = b.things()
    b.deploy(3, *options, why="update-disk")
    expect("nothing was touched", things == b.things() and digest() == before)
    b.write_disk("no disk")
    b.deploy(3, *options, why="cannot be unpacked" if b.cloud != "azure" else b.disk)
    expect("no folder stays", sorted(os.listdir(f"{b.folder}/_artifacts")) == [f"{b.cloud}_cvm-test.json", "names.seed"])
    b.cleanup()
    b.nothing_left()


CASES = (check_life, check_unknown, check_killed, check_strangers, check_again, check_plan, check_own_cloud, check_workload,
         check_nonsense)


def main():
    for cloud in sys.argv[2:] or CLOUDS:
        for case in CASES:
            with tempfile.TemporaryDirectory(prefix="cvm-cloud-") as folder:
                case(Bench(sys.argv[1], folder, cloud))
            print(f"{cloud} {case.__name__}", flush=True)
    print("ok")


main()

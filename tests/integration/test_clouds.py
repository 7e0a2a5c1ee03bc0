"""deploy-azure, -gcp, -aws and cleanup against stand-ins of the clouds' tools that know their documented options.

usage: test_clouds.py CVM-CLI
"""
import json
import os
import re
import stat
import subprocess
import sys
import tempfile

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support/fake_cloud.py")
CLOUDS = {"azure": ("az", "azure_disk.vhd", "vm create"), "gcp": ("gcloud", "gcp_disk.tar.gz", "compute instances create"),
          "aws": ("aws", "aws_disk.vmdk", "ec2 run-instances")}


class Bench:
    def __init__(self, cli, folder, cloud):
        self.cli, self.folder, self.cloud = os.path.abspath(cli), folder, cloud
        self.tool, self.disk, self.last = CLOUDS[cloud]
        self.state = os.path.join(folder, "cloud.json")
        bin_ = os.path.join(folder, "bin")
        os.makedirs(bin_)
        path = os.path.join(bin_, self.tool)
        with open(path, "w") as f:
            f.write(f'#!/bin/sh\nexec /usr/bin/python3 -c \'import sys; sys.argv[0] = "{self.tool}"; '
                    f'__file__ = "{FAKE}"; exec(open(__file__).read())\' "$@"\n')
        os.chmod(path, 0o755)
        self.env = {"PATH": bin_ + ":/usr/bin:/bin", "CVM_FAKE_CLOUD": self.state}
        with open(os.path.join(folder, self.disk), "w") as f:
            f.write("disk")

    def run(self, want, *args, why="", **env):
        done = subprocess.run([self.cli, *args], capture_output=True, text=True, cwd=self.folder, timeout=100,
                              env=self.env | env, stdin=subprocess.DEVNULL)
        if done.returncode != want or why not in done.stdout + done.stderr:
            sys.exit(f"FAIL {args}: exit {done.returncode}, want {want} {why!r}\n{done.stdout}{done.stderr}")
        return done.stdout

    def deploy(self, want, *args, **kw):
        return self.run(want, "deploy-" + self.cloud, "--poll", "0", *args, **kw)

    def read(self):
        with open(self.state) as f:
            return json.load(f)

    def record(self, name="cvm-test"):
        return os.path.join(self.folder, "_artifacts", f"{self.cloud}_{name}.json")


def check(cli, cloud, folder):
    b = Bench(cli, folder, cloud)
    plan = b.deploy(0, "--dry-run", "--additional_ports", "80,443")
    assert plan.count("\n# ") > 4 and not os.path.exists(b.state) and not os.path.exists(b.record())

    b.deploy(0, "--additional_ports", "80,443", "--attach-disk", "data", why="203.0.113.7")
    calls, things = b.read()["calls"], b.read()["things"]
    assert any("80" in c and "443" in c or "443" in c for c in calls)
    assert stat.S_IMODE(os.stat(b.record()).st_mode) == 0o600
    b.deploy(0)  # everything is there
    assert b.read()["things"] == things
    again = [c for c in b.read()["calls"][len(calls):] if b.last in c or "upload" in c or " cp " in c]
    assert not again, again

    with open(os.path.join(folder, b.disk), "w") as f:
        f.write("another disk")
    b.deploy(0, why="replaced")
    kinds = [sorted(re.sub("task-[0-9]", "", t) for t in ts) for ts in (things, b.read()["things"])]
    assert kinds[0] == kinds[1], kinds

    b.run(0, "cleanup-" + cloud, "--dry-run", why=b.tool)
    b.run(0, "cleanup-" + cloud)
    left = b.read()["things"]  # a data disk outlives its machine, and the group that it is in
    assert any("/data" in t for t in left), left
    assert len(left) == (2 if cloud == "azure" else 1) and not os.path.exists(b.record()), left
    b.run(3, "cleanup-" + cloud, why="no record")

    # the last step fails: what this run has made goes, what was there stays
    b.deploy(4, "--vm_name", "second", why="taking back", CVM_FAKE_FAIL=b.last)
    assert b.read()["things"] == left and not os.path.exists(b.record("second"))
    b.deploy(4, "--vm_name", "third", "--keep", CVM_FAKE_FAIL=b.last)
    kept = b.read()["things"]
    assert len(kept) > 2
    b.deploy(0, "--vm_name", "third", why="is there")  # goes on where it stopped
    assert set(kept) < set(b.read()["things"])
    b.run(0, "cleanup-" + cloud, "--vm_name", "third")

    # a machine of that name that is not of a record is nobody's to replace
    b.deploy(0, "--vm_name", "fourth")
    os.rename(b.record("fourth"), b.record("fourth") + ".lost")
    things = b.read()["things"]
    names = {"azure": ["--storage_account", "x1y2z3", "--gallery_name", "other"]}.get(cloud, [])
    b.deploy(4, "--vm_name", "fourth", "--keep", *names, why="not of this record")
    assert set(things) <= set(b.read()["things"])

    # what is nonsense is refused before anything is run
    before = len(b.read()["calls"])
    for args in (["--vm_name", "a;b"], ["--vm_name", "-x"], ["--vm_type", "t2.micro"], ["--additional_ports", "80,x"],
                 ["--additional_ports", "0"], ["--additional_ports", "70000"], ["--disk-size", "0"], ["--nonsense"]):
        b.deploy(2, *args)
    b.deploy(3, "--disk", "absent.img", why="no such disk")
    assert len(b.read()["calls"]) - before <= 1  # gcloud's default project may be asked for
    b.env["PATH"] = "/nowhere"
    b.deploy(4 if cloud != "gcp" else 2)


def main():
    for cloud in CLOUDS:
        with tempfile.TemporaryDirectory(prefix="cvm-cloud-") as folder:
            check(sys.argv[1], cloud, folder)
    print("ok")


main()

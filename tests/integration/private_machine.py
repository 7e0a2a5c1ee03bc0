"""Runs a test on a machine of its own, as far as namespaces go: no network but loopback, /run and shared memory empty,
subordinate ids for the owner of containers. Call enter() first; it starts the script again inside."""
import os
import shutil
import subprocess
import sys

INSIDE = "CVM_PRIVATE_MACHINE"
OWNER = "automata"
OWNER_BASE = 700000
SKIP = 77


def skip(why):
    print(f"skipped: {why}", file=sys.stderr)
    sys.exit(SKIP)


def need(*programs):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program in programs:
        if not shutil.which(program, path=path):
            skip(f"there is no {program}" + (": scripts/install-deps --docker" if program == "dockerd" else ""))


def enter(*programs):
    """Leaves with SKIP where this cannot be done."""
    if os.environ.get(INSIDE):
        arrange()
        return
    need("unshare", "ip", "mount", *programs)
    if os.geteuid() != 0:
        skip("namespaces take root")
    # a PID namespace too: what a test leaves running ends with it. The shell reaps what has lost its parent.
    command = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
               "--mount-proc"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        skip("namespaces are not allowed here")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*command, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv])


def make_owner_a_user():
    """docker takes the ids of containers from a user that the machine has."""
    for name, line in ("passwd", f"{OWNER}:x:990:990::/nonexistent:/usr/sbin/nologin"), ("group", f"{OWNER}:x:990:"):
        with open(f"/etc/{name}") as have, open(f"/run/{name}", "w") as f:
            f.write(have.read() + line + "\n")
        subprocess.run(["mount", "--bind", f"/run/{name}", f"/etc/{name}"], check=True)
    mount_empty("/etc/docker")  # where it keeps a key of its own


def mount_empty(path, options="mode=755"):
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)


def arrange():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for path in "/run", "/dev/shm", "/var/lib/containers", "/etc/containers":
        mount_empty(path)
    for name in "subuid", "subgid":
        with open(f"/run/{name}", "w") as f:
            f.write(f"other:100000:65536\n{OWNER}:{OWNER_BASE}:65536\n")
        if not os.path.exists(f"/etc/{name}"):
            open(f"/etc/{name}", "w").close()
        subprocess.run(["mount", "--bind", f"/run/{name}", f"/etc/{name}"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

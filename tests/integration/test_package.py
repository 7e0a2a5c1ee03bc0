"""The Debian packages in a chroot: installed, upgraded, purged; the library's example compiled and run there.

The chroot is made once by mmdebstrap, which takes root and a network, and is kept in the cache directory.
usage: test_package.py SOURCE_DIR
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.path.abspath(sys.argv[1])
CACHE = os.path.join(os.environ.get("CVM_PACKAGE_CACHE") or os.path.expanduser("~/.cache"), "cvm-agent")
OLD = "0.0.9"
ADDED = ["gcc", "libc6-dev", "pkg-config", "systemd", "bash-completion"]
# What installing a package leaves behind by design: the user, and what dpkg, ldconfig and systemd-sysusers keep.
LEFT = re.compile(r"^(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/\.pwd\.lock|etc/ld\.so\.cache"
                  r"|var/(log|cache)/.*|var/lib/dpkg/.*|var/lib/systemd/.*|root/.*)$")
failures = 0


def skip(why):
    print("SKIPPED: " + why)
    sys.exit(77)


def expect(what, holds, detail=""):
    global failures
    print(("ok   " if holds else "FAIL ") + what + ("" if holds else f": {detail}"), flush=True)
    failures += not holds


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def build(folder, *options):
    done = run("scripts/package", "--no-install", "--out", folder, *options, cwd=SOURCE)
    if done.returncode:
        sys.exit("FAIL scripts/package:\n" + done.stdout[-4000:] + done.stderr[-4000:])
    return {os.path.basename(f).split("_")[0]: f for f in glob.glob(os.path.join(folder, "*.deb"))}


def depends(debs):
    """The first alternative of each dependency; not those among ourselves."""
    names = set(ADDED)
    for deb in debs.values():
        for item in run("dpkg-deb", "-f", deb, "Depends").stdout.split(","):
            names.add(item.split("|")[0].split("(")[0].strip())
    return sorted(n for n in names if n and n not in debs)


def chroot_archive(names):
    tag = hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    archive = os.path.join(CACHE, f"chroot-bookworm-{tag}.tar")
    if os.path.exists(archive):
        return archive
    if not shutil.which("mmdebstrap"):
        skip("no mmdebstrap")
    os.makedirs(CACHE, exist_ok=True)
    part = archive + ".part"
    done = run("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "--include=" + ",".join(names), "bookworm",
               part, timeout=1500)
    if done.returncode:
        skip("mmdebstrap cannot make a chroot (no network?): " + done.stderr.strip()[-300:])
    os.rename(part, archive)
    return archive


class Chroot:
    def __init__(self, folder, archive):
        self.root = folder
        subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)

    def at(self, path):
        return os.path.join(self.root, path.lstrip("/"))

    def run(self, script, timeout=120):
        """In mount and process namespaces of its own: nothing outlives it."""
        inside = ("mount -t proc proc $0/proc && mount -t tmpfs -o mode=755 tmpfs $0/run && mount -t tmpfs tmpfs $0/tmp"
                  " && exec chroot $0 /bin/bash -c \"$1\"")
        return run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside, self.root, script,
                   timeout=timeout, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
                                         "DEBIAN_FRONTEND": "noninteractive"})

    def put(self, path, name):
        shutil.copy(path, self.at("/root/" + name))

    def install(self, deb):
        self.put(deb, os.path.basename(deb))
        return self.run("dpkg -i /root/" + os.path.basename(deb))

    def files(self):
        found = set()
        for folder, folders, names in os.walk(self.root):
            inside = os.path.relpath(folder, self.root)
            if inside.split("/")[0] in ("proc", "sys", "dev", "run", "tmp"):
                folders[:] = []
                continue
            found |= {os.path.normpath(os.path.join(inside, n)) for n in names + folders}
        return {f for f in found if not LEFT.match(f)}

    def owner(self, path):
        return self.run(f"stat -c '%U:%G %a' {path}").stdout.strip()


def agent_installed(chroot, version):
    expect("the user is there, with the TPM's group", "tss" in chroot.run("id -nG cvm-agent").stdout.split())
    for path, want in ("/var/lib/cvm-agent", "cvm-agent:cvm-agent 700"), ("/etc/cvm-agent", "root:root 755"):
        expect(f"{path} is {want}", chroot.owner(path) == want, chroot.owner(path))
    for unit, target in ("cvm-agent.service", "multi-user.target"), ("cvm-agent-priv.socket", "sockets.target"), ("cvm-workload.path", "paths.target"):
        expect(f"{unit} is enabled", os.path.islink(chroot.at(f"/etc/systemd/system/{target}.wants/{unit}")))
    done = chroot.run("systemd-analyze --man=no verify cvm-agent.service cvm-agent-priv.socket cvm-agent-setup.service"
                      " cvm-workload.path cvm-workload.target")
    expect("systemd reads the units", done.returncode == 0, done.stderr)
    done = chroot.run("dpkg-query -W -f '${Status} ${Version}' cvm-agent; cvm-agent --version; cvm-agent --emulate snp")
    expect("installed in this version, without the emulator",
           f"install ok installed {version}-1" in done.stdout and "no emulator" in done.stderr, done)


def life_of_the_agent(chroot, old, new, version):
    done = chroot.install(old["cvm-agent"])
    expect("install", done.returncode == 0, done.stderr)
    agent_installed(chroot, OLD)
    chroot.run("echo kept >/var/lib/cvm-agent/auth.json; systemctl disable cvm-agent.service")
    done = chroot.install(new["cvm-agent"])
    expect("upgrade", done.returncode == 0, done.stderr)
    expect("what was disabled stays so",
           not os.path.lexists(chroot.at("/etc/systemd/system/multi-user.target.wants/cvm-agent.service")))
    expect("the state is kept", chroot.run("cat /var/lib/cvm-agent/auth.json").stdout == "kept\n")
    chroot.run("systemctl enable cvm-agent.service")
    agent_installed(chroot, version)
    done = chroot.run("dpkg -r cvm-agent")
    expect("remove", done.returncode == 0 and os.path.exists(chroot.at("/var/lib/cvm-agent/auth.json")), done.stderr)
    done = chroot.install(new["cvm-agent"])
    expect("installed again", done.returncode == 0, done.stderr)
    agent_installed(chroot, version)


def purge(chroot, before, names):
    done = chroot.run(f"dpkg -P {names}")
    expect(f"purge {names}", done.returncode == 0 and "not empty" not in done.stderr, done.stderr)
    left, gone = chroot.files() - before, before - chroot.files()
    expect("nothing is left", not left, sorted(left)[:10])
    expect("nothing else is gone", not gone, sorted(gone)[:10])


def library(chroot, debs):
    done = chroot.install(debs["libcvm-dev"])
    expect("libcvm-dev", done.returncode == 0, done.stderr)
    chroot.put(os.path.join(SOURCE, "lib/examples/judge.c"), "judge.c")
    done = chroot.run("cd /root && gcc -Wall -Wextra -Werror judge.c $(pkg-config --cflags --libs libcvm) -o judge")
    expect("the example compiles", done.returncode == 0, done.stderr)
    done = chroot.run("ldd /root/judge")
    expect("and finds the library", "libcvm.so.0 => /lib/" in done.stdout, done.stdout)


EMULATED = r"""
cd /tmp && mkdir -m 700 state
cvm-agent --emulate gcp-snp --state state --internal 127.0.0.1:0 --external 127.0.0.1:0 2>log &
for i in $(seq 200); do grep -q '"event":"listening"' log && break; sleep 0.1; done
at=$(sed -n 's/.*"internal":"\([0-9.:]*\)".*/\1/p' log)
cvm-cli golden http://$at >golden.json && cvm-cli collaterals http://$at --nonce packages -o evidence.json || cat log >&2
kill %1; wait %1
roots=state/emulator/roots.pem
cvm-cli verify evidence.json --nonce packages --golden golden.json --trust-emulator $roots | tail -1
/usr/local/judge evidence.json packages golden.json $roots | grep '^  "success"'; echo "judge ${PIPESTATUS[0]}"
/usr/local/judge evidence.json packages golden.json >refused.json; echo "judge $?"
/usr/local/judge evidence.json another golden.json $roots >refused.json; echo "judge $?"
"""


def emulator(chroot, debs):
    done = chroot.install(debs["cvm-agent"])
    expect("cvm-agent again", done.returncode == 0, done.stderr)
    done = chroot.run("dpkg -P cvm-agent")
    done = chroot.install(debs["cvm-agent-emulator"])
    expect("cvm-agent-emulator", done.returncode == 0, done.stderr)
    done = chroot.run("dpkg -i /root/" + os.path.basename(debs["cvm-agent"]))
    expect("beside it there is no cvm-agent", done.returncode != 0 and "conflict" in done.stderr, done.stderr)
    expect("it has no service", not os.path.exists(chroot.at("/usr/lib/systemd/system/cvm-agent.service")))
    shutil.copy(chroot.at("/root/judge"), chroot.at("/usr/local/judge"))
    with open(chroot.at("/usr/local/emulated"), "w") as f:
        f.write(EMULATED)
    done = chroot.run("chmod 1777 /tmp; exec runuser -u nobody -- bash -m /usr/local/emulated")
    expect("evidence, verified by the tool and by the library; without the root, and with another nonce, refused",
           done.stdout.split("\n")[:5] == ["verified", '  "success": true,', "judge 0", "judge 1", "judge 1"],
           done.stdout + done.stderr)
    os.unlink(chroot.at("/usr/local/judge"))
    os.unlink(chroot.at("/usr/local/emulated"))


def main():
    if os.geteuid() != 0:
        skip("a chroot takes root")
    if run("unshare", "--mount", "true").returncode:
        skip("no namespaces here")
    with tempfile.TemporaryDirectory(prefix="cvm-package-") as folder:
        new = build(os.path.join(folder, "new"))
        old = build(os.path.join(folder, "old"), "--version", OLD)
        again = build(os.path.join(folder, "again"))
        expect("four packages", sorted(new) == ["cvm-agent", "cvm-agent-emulator", "cvm-cli", "libcvm-dev"], new)
        same = [n for n in new if read(new[n]) == read(again[n])]
        expect("the same packages a second time", sorted(same) == sorted(new), same)
        version = run("dpkg-deb", "-f", new["cvm-agent"], "Version").stdout.strip().split("-")[0]
        if shutil.which("lintian"):
            done = run("lintian", "--fail-on", "error,warning", *new.values())
            expect("lintian", done.returncode == 0, done.stdout)
        else:
            print("SKIPPED: lintian is not installed")
        archive = chroot_archive(depends(new))
        root = os.path.join(folder, "root")
        os.mkdir(root)
        chroot = Chroot(root, archive)
        before = chroot.files()
        life_of_the_agent(chroot, old, new, version)
        purge(chroot, before, "cvm-agent")
        done = chroot.install(new["cvm-cli"])
        expect("cvm-cli", done.returncode == 0 and "Decodes" in chroot.run("cvm-cli help").stdout, done.stderr)
        library(chroot, new)
        emulator(chroot, new)
        purge(chroot, before, "cvm-agent-emulator cvm-cli libcvm-dev")
    sys.exit(1 if failures else 0)


main()

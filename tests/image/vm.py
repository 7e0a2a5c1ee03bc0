"""A virtual machine for boot tests: QEMU in software emulation, OVMF, a software TPM. Everything it needs lies in one folder;
its processes are stopped by their own ids."""
import os
import shutil
import signal
import socket
import subprocess
import time

OVMF = "/usr/share/OVMF"
CODE = f"{OVMF}/OVMF_CODE_4M.fd"
SECURE_CODE = f"{OVMF}/OVMF_CODE_4M.secboot.fd"  # wants SMM, which keeps the guest's hands off the variables
VARS = f"{OVMF}/OVMF_VARS_4M.fd"
TOOLS = ("qemu-system-x86_64", "swtpm", "swtpm_setup")


def missing():
    """What this machine lacks for a boot test, or None."""
    for tool in TOOLS:
        if not shutil.which(tool):
            return f"{tool} is not installed"
    for path in (CODE, SECURE_CODE, VARS):
        if not os.path.exists(path):
            return f"{path} is not there: install the package ovmf"
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Machine:
    """Begins to boot a disk. nvram: changes the EFI variables, see nvram.py; first: disks that the guest finds before it. The disk is
    not changed, unless it is kept: then the folder is that of one machine, whose TPM and EFI variables are the same in its next boot.
    writes: the file that gets a log of all that is written, see power_cut.py. secure: a firmware with Secure Boot. network: what else its DHCP
    server says, as options of QEMU."""

    def __init__(self, folder, disk, nvram=None, extra=(), boot_index=True, first=(), keep=False, writes=None, secure=False,
                 network=""):
        self.folder, self.console, self.port = folder, os.path.join(folder, "console.log"), free_port()
        self.processes = []
        if not os.path.exists(f"{folder}/vars.fd"):
            self.make(nvram)
        for left in (self.console, f"{folder}/tpm.sock"):
            if os.path.exists(left):
                os.unlink(left)
        self.start(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}/tpm", "--ctrl", f"type=unixio,path={folder}/tpm.sock"])
        self.wait(lambda: os.path.exists(f"{folder}/tpm.sock"), 10, "swtpm")
        index = ",bootindex=1" if boot_index else ""
        others = [word for i, path in enumerate(first) for word in (
            "-drive", f"if=none,id=first{i},format=raw,snapshot=on,file={path}", "-device", f"virtio-blk-pci,drive=first{i}")]
        smm = ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"] if secure else ["-machine", "smm=off"]
        self.qemu = self.start([
            "qemu-system-x86_64", "-machine", "q35,sata=off", *smm, "-accel", "tcg,thread=multi",
            # QEMU 7.2 breaks kernel 6.12 at cmpxchg16b.
            "-cpu", "Nehalem,-cx16", "-m", "768", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={SECURE_CODE if secure else CODE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={folder}/vars.fd",
            "-chardev", f"socket,id=tpm,path={folder}/tpm.sock", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0",
            *others, *self.drive(disk, keep, writes), "-device", f"virtio-blk-pci,drive=disk{index}",
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:8000{network}", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-serial", f"file:{self.console}", *extra])

    def make(self, nvram):
        """A TPM and EFI variables that were never used."""
        os.makedirs(f"{self.folder}/tpm")
        with open(VARS, "rb") as f:
            store = f.read()
        with open(f"{self.folder}/vars.fd", "wb") as f:
            f.write(nvram(store) if nvram else store)
        subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", f"{self.folder}/tpm", "--pcr-banks", "sha256", "--create-ek-cert",
                        "--create-platform-cert", "--lock-nvram"], check=True, stdout=subprocess.DEVNULL, timeout=60)

    @staticmethod
    def drive(disk, keep, writes):
        """The guest sees a disk with a cache of its own: what it wants to last it has to flush."""
        if not writes:
            return ["-drive", f"if=none,id=disk,format=raw,snapshot={'off' if keep else 'on'},cache=writeback,file={disk}"]
        with open(writes, "wb"):
            pass
        return ["-blockdev", f"driver=file,node-name=file,filename={disk}", "-blockdev", "driver=raw,node-name=raw,file=file",
                "-blockdev", f"driver=file,node-name=log,filename={writes}",
                "-blockdev", "driver=blklogwrites,node-name=disk,file=raw,log=log,log-sector-size=512"]

    def cut_power(self):
        """Nothing in the machine hears of it."""
        self.qemu.kill()
        self.qemu.wait()
        self.close()

    def start(self, command):
        log = open(os.path.join(self.folder, f"{command[0]}.log"), "wb")
        p = subprocess.Popen(["nice", *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        self.processes.append(p)
        return p

    def wait(self, done, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if done():
                return True
            time.sleep(0.1)
        raise AssertionError(f"{what}: not after {seconds} s. The console says:\n{self.said()[-3000:]}")

    def said(self):
        try:
            with open(self.console, "rb") as f:
                return f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def off(self):
        return self.qemu.poll() is not None

    def close(self):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

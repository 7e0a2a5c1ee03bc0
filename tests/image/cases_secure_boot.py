"""Secure Boot with keys of our own, and signed papers."""
import json
import os
import shutil
import subprocess
import time

import nvram
import vm
from suite import collaterals, compare, partition


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def keys(s):
    """A platform key, one that signs images, and a stranger's; certificates as signature lists."""
    folder = f"{s.work}/keys"
    if not os.path.exists(folder):
        os.mkdir(folder)
        for name in ("platform", "image", "stranger"):
            openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem",
                    "-days", "30", "-subj", f"/CN={name}")
            openssl("x509", "-in", f"{folder}/{name}.pem", "-outform", "DER", "-out", f"{folder}/{name}.der")
            with open(f"{folder}/{name}.der", "rb") as f, open(f"{folder}/{name}.esl", "wb") as out:
                out.write(nvram.signature_list(f.read()))
        openssl("genpkey", "-algorithm", "ED25519", "-out", f"{folder}/papers.key")
        openssl("pkey", "-in", f"{folder}/papers.key", "-pubout", "-out", f"{folder}/papers.pub")
    return folder


def enrolled(folder, dbx=b""):
    lists = []
    for name in ("platform", "platform", "image"):
        with open(f"{folder}/{name}.esl", "rb") as f:
            lists.append(f.read())
    return nvram.enroll(*lists, dbx)


def signed(s):
    """An image signed with the image key, its papers too."""
    folder, path = keys(s), f"{s.work}/signed.raw"
    if not os.path.exists(path):
        s.make("signed", "--secure-boot-key", f"{folder}/image.key", "--secure-boot-cert", f"{folder}/image.pem",
               "--sign-key", f"{folder}/papers.key", env={"CVM_CLI": s.cli})
    return path


def predicted(s, disk, *options):
    done = s.run("predict", disk, "--firmware", vm.SECURE_CODE, "--no-workload", "--json", "--all", *options)
    assert done.returncode == 0, done.stderr
    return {str(row["pcr"]): row for row in json.loads(done.stdout)["pcrs"]}


def case_secure_boot(s):
    """a signed image boots under Secure Boot; PCR 4 and 7 are as predicted from the machine's variables"""
    disk, folder = signed(s), keys(s)
    with open(vm.VARS, "rb") as f, open(f"{s.work}/vars.fd", "wb") as out:
        out.write(enrolled(folder)(f.read()))
    rows = predicted(s, disk, "--vars", f"{s.work}/vars.fd")
    lists = [w for name, key in (("pk", "platform"), ("kek", "platform"), ("db", "image")) for w in (f"--{name}", f"{folder}/{key}.esl")]
    assert rows == predicted(s, disk, *lists)
    assert rows["7"]["value"] != predicted(s, disk)["7"]["value"] and rows["4"]["value"] != predicted(s, disk)["4"]["value"]
    with s.machine(disk, nvram=enrolled(folder), secure=True) as m:
        compare(rows, collaterals(m))
        # What the firmware has written since changes nothing of it.
        assert rows == predicted(s, disk, "--vars", f"{m.folder}/vars.fd")


def refused(s, disk, nvram_change):
    with s.machine(disk, nvram=nvram_change, secure=True) as m:
        m.wait(lambda: "Access Denied" in m.said(), 120, "the firmware refuses the image")
        time.sleep(5)
        assert "cvm-init" not in m.said() and "Linux version" not in m.said(), m.said()[-2000:]
        print("  " + next(line for line in m.said().splitlines() if "Access Denied" in line).strip()[:140], flush=True)


def case_secure_boot_refuses(s):
    """an image without a signature, and one with a stranger's, does not boot; predict says so before"""
    folder = keys(s)
    with open(vm.VARS, "rb") as f, open(f"{s.work}/vars.fd", "wb") as out:
        out.write(enrolled(folder)(f.read()))
    strange = s.make("strange", "--secure-boot-key", f"{folder}/stranger.key", "--secure-boot-cert", f"{folder}/stranger.pem",
                     env={"CVM_CLI": s.cli})
    for disk in (s.disk, strange):
        done = s.run("predict", disk, "--firmware", vm.SECURE_CODE, "--vars", f"{s.work}/vars.fd", "--no-workload")
        assert done.returncode == 1 and "Secure Boot refuses the image" in done.stderr, done.stderr
        refused(s, disk, enrolled(folder))


def case_secure_boot_dbx(s):
    """a signed image that dbx forbids does not boot; predict says so before"""
    folder, disk = keys(s), signed(s)
    with open(f"{folder}/image.esl", "rb") as f:
        change = enrolled(folder, f.read())
    with open(vm.VARS, "rb") as f, open(f"{s.work}/vars.fd", "wb") as out:
        out.write(change(f.read()))
    done = s.run("predict", disk, "--firmware", vm.SECURE_CODE, "--vars", f"{s.work}/vars.fd", "--no-workload")
    assert done.returncode == 1 and "dbx forbids" in done.stderr, done.stderr
    refused(s, disk, change)


def case_papers(s):
    """signed papers: the disk as built verifies; another data partition only if it may be one; two builds are the same"""
    folder, disk = keys(s), signed(s)
    judge = ["verify-image", disk, "--key", f"{folder}/papers.pub", "--secure-boot-cert", f"{folder}/image.pem"]
    done = s.run(*judge, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer["verified"] and all(c["ok"] for c in answer["checks"]), answer
    if shutil.which("sbverify"):
        with open(f"{s.work}/esp", "wb") as out, open(disk, "rb") as f:
            start, end = partition(disk, 1)
            f.seek(start)
            out.write(f.read(end - start))
        subprocess.run(["mcopy", "-i", f"{s.work}/esp", "::/EFI/BOOT/BOOTX64.EFI", f"{s.work}/uki.efi"], check=True)
        done = subprocess.run(["sbverify", "--cert", f"{folder}/image.pem", f"{s.work}/uki.efi"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        assert "Signature verification OK" in done.stdout, done.stdout
    with open(f"{s.work}/signed.intoto.jsonl") as f:
        first = f.read()
    os.mkdir(f"{s.work}/twice")
    s.make("twice/signed", "--secure-boot-key", f"{folder}/image.key", "--secure-boot-cert", f"{folder}/image.pem",
           "--sign-key", f"{folder}/papers.key", env={"CVM_CLI": s.cli})
    with open(f"{s.work}/twice/signed.intoto.jsonl") as f:
        assert f.read() == first, "two builds have other papers"
    shutil.rmtree(f"{s.work}/twice")
    os.makedirs(f"{s.work}/load")
    with open(f"{s.work}/load/docker-compose.yml", "w") as f:
        f.write("services:\n  a: {image: registry.example/a:1}\n")
    assert s.run("update-disk", disk, f"{s.work}/load").returncode == 0
    done = s.run(*judge)
    assert done.returncode == 1 and "--other-data" in done.stdout, done.stdout
    assert s.run(*judge, "--other-data").returncode == 0

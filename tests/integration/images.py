"""Small container images made of busybox-static, as docker-archive files: no registry, no engine is needed."""
import contextlib
import hashlib
import io
import json
import os
import tarfile
import tempfile


def _member(tar, name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def layer(files=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        with open("/bin/busybox", "rb") as f:
            _member(tar, "bin/busybox", f.read(), 0o755)
        for folder in "tmp", "run", "etc", "proc", "sys", "dev":
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
        for name, data in (files or {}).items():
            _member(tar, name, data)
    return out.getvalue()


def write_archive(path, name, command, files=None, **config):
    """Writes a docker-archive of one image with a name, several or none; returns the image id."""
    blob = layer(files)
    diff = hashlib.sha256(blob).hexdigest()
    settings = {"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
                "config": {"Cmd": command, "Env": ["PATH=/bin"], **config},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + diff]},
                "history": [{"created": "2024-01-01T00:00:00Z"}]}
    text = json.dumps(settings).encode()
    image = hashlib.sha256(text).hexdigest()
    manifest = [{"Config": image + ".json", "RepoTags": [name] if isinstance(name, str) else list(name or []), "Layers": [diff + "/layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        _member(tar, image + ".json", text)
        _member(tar, diff + "/layer.tar", blob)
        _member(tar, "manifest.json", json.dumps(manifest).encode())
    return image


@contextlib.contextmanager
def archive(name, command, **more):
    handle, path = tempfile.mkstemp(suffix=".tar")
    os.close(handle)
    try:
        write_archive(path, name, command, **more)
        yield path
    finally:
        os.remove(path)

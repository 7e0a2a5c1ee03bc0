"""A real registry on loopback, in the network namespace of the test; images and their signatures are put into it."""
import base64
import crypt
import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.request
import warnings

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

warnings.simplefilter("ignore", DeprecationWarning)


def make_key(path):
    """A P-256 key; its public half is written to path in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    with open(path, "wb") as f:
        f.write(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return key


class Registry:
    def __init__(self, folder, port, login=None):
        os.makedirs(folder)
        self.port, self.folder, self.login = port, folder, login
        auth = ""
        if login:
            with open(folder + "/users", "w") as f:
                f.write(f"{login[0]}:{crypt.crypt(login[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
            auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {folder}/users\n"
        with open(folder + "/config.yml", "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
                    f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}")
        with open(folder + "/log", "w") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", folder + "/config.yml"], stdout=log, stderr=log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("no registry: " + open(folder + "/log").read())

    def push(self, archive, name):
        """Copies a docker-archive into the registry as NAME:TAG."""
        command = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
        if self.login:
            command += ["--dest-creds", ":".join(self.login)]
        subprocess.run([*command, "docker-archive:" + archive, f"docker://127.0.0.1:{self.port}/{name}"], check=True)

    def ask(self, method, path, data=None, kind="application/octet-stream"):
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.port}/v2/{path}"
        headers = {"Content-Type": kind, "Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers, answer.read()

    def digest(self, repository, tag):
        return self.ask("GET", f"{repository}/manifests/{tag}")[0]["Docker-Content-Digest"]

    def put_blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        where = self.ask("POST", f"{repository}/blobs/uploads/", b"")[0]["Location"]
        self.ask("PUT", f"{where}&digest={digest}", data)
        return {"digest": digest, "size": len(data)}

    def sign(self, repository, tag, key, identity=None):
        """Adds a signature in the form of cosign: an image beside the image, whose layer is the signed statement.
        Source: the documentation of cosign, "Signature specification"."""
        digest = self.digest(repository, tag)
        statement = json.dumps({
            "critical": {"identity": {"docker-reference": identity or f"127.0.0.1:{self.port}/{repository}:{tag}"},
                         "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"},
            "optional": None}).encode()
        layer = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", **self.put_blob(repository, statement),
                 "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(
                     key.sign(statement, ec.ECDSA(hashes.SHA256()))).decode()}}
        settings = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
        config = {"mediaType": "application/vnd.oci.image.config.v1+json",
                  **self.put_blob(repository, json.dumps(settings).encode())}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                    "layers": [layer]}
        self.ask("PUT", f"{repository}/manifests/{digest.replace(':', '-')}.sig", json.dumps(manifest).encode(),
                 manifest["mediaType"])

    def stop(self):
        self.process.terminate()
        self.process.wait()

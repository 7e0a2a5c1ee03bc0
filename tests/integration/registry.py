"""A real registry on loopback, in the network namespace of the test; images and their signatures are put into it."""
import base64
import crypt
import datetime
import hashlib
import http.server
import json
import os
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

warnings.simplefilter("ignore", DeprecationWarning)


def make_key(path):
    """A P-256 key; its public half is written to path in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    with open(path, "wb") as f:
        f.write(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return key


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Gives tokens that a registry accepts, for one login: it decides who may pull what, the registry checks that it did.
    Source: the documentation of distribution, "Token Authentication Specification" and "Implementation"."""
    ISSUER, SERVICE = "tokens.test", "registry.test"

    def __init__(self, folder, login):
        os.makedirs(folder)
        self.login, self.asked = login, []
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.ISSUER)])
        now = datetime.datetime.utcnow()
        self.certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
                            .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
                            .not_valid_after(now + datetime.timedelta(days=1)).sign(self.key, hashes.SHA256()))
        self.roots = folder + "/roots.pem"
        with open(self.roots, "wb") as f:
            f.write(self.certificate.public_bytes(serialization.Encoding.PEM))
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, scopes):
        """A JWT with the certificate of the key that signs it."""
        now = int(time.time())
        access = [dict(zip(("type", "name", "actions"), (*scope.split(":")[:2], scope.split(":")[2].split(","))))
                  for scope in scopes]
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(
            self.certificate.public_bytes(serialization.Encoding.DER)).decode()]}
        claims = {"iss": self.ISSUER, "sub": self.login[0], "aud": self.SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
                  "jti": os.urandom(8).hex(), "access": access}
        text = ".".join(b64url(json.dumps(part).encode()) for part in (head, claims))
        r, s = utils.decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return text + "." + b64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def answer(self, request):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        given = request.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        self.asked.append((query, given == wanted))
        scopes = query.get("scope", []) if given == wanted else []  # others get a token that lets them do nothing
        wrong = given and given != wanted
        body = b"" if wrong else json.dumps({"token": self.token(scopes)}).encode()
        request.send_response(401 if wrong else 200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Registry:
    def __init__(self, folder, port, login=None, tokens=None):
        os.makedirs(folder)
        self.tokens = tokens
        self.port, self.folder, self.login = port, folder, login
        auth = ""
        if tokens:
            self.login = tokens.login
            auth = (f"auth:\n  token:\n    realm: {tokens.realm}\n    service: {tokens.SERVICE}\n    issuer: {tokens.ISSUER}\n"
                    f"    rootcertbundle: {tokens.roots}\n")
        elif login:
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
        if self.tokens:
            repository = urllib.parse.urlsplit(url).path[len("/v2/"):].split("/")[0]
            headers["Authorization"] = "Bearer " + self.tokens.token([f"repository:{repository}:pull,push"])
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

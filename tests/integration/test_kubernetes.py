"""deploy/kubernetes: manifests against the API's types, what they refer to, how confined the verifier's pods are; and
the verifier as they start it, behind the nginx of its pods, judging real requests.

usage: test_kubernetes.py BIN_DIR SOURCE_DIR"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

try:
    import yaml
except ImportError:
    print("SKIPPED: python3-yaml is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

BIN, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FOLDER = os.path.join(SOURCE, "deploy/kubernetes")
PLAIN = {"str": str, "int": int, "bool": bool}
failures = 0


def expect(what, holds, detail=""):
    global failures
    print(("ok   " if holds else "FAIL ") + what + ("" if holds else f": {detail}"), flush=True)
    failures += not holds


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as f:
        return f.read()


# ---- types ----

SCHEMA = json.loads(read("tests/data/kubernetes/schema.json"))


def check(value, want, path):
    """The problems of a value that has to be of a type."""
    listed, mapped = re.fullmatch(r"list\[(.*)\]", want), re.fullmatch(r"dict\(str, (.*)\)", want)
    if listed:
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [p for i, v in enumerate(value) for p in check(v, listed[1], f"{path}[{i}]")]
    if mapped:
        if not isinstance(value, dict):
            return [f"{path}: not a mapping"]
        return [p for k, v in value.items() for p in check(v, mapped[1], f"{path}.{k}")]
    if want == "object":  # an integer or a name
        return [] if type(value) in (int, str) else [f"{path}: neither a number nor text"]
    if want in PLAIN:
        return [] if type(value) is PLAIN[want] else [f"{path}: {value!r} is no {want}"]
    known = SCHEMA["types"].get(want)
    if not known:
        return [f"{path}: a {want}, which the recorded types do not have"]
    if not isinstance(value, dict):
        return [f"{path}: not a mapping"]
    bad = [f"{path}: no {n}" for n in known["required"] if n not in value]
    for name, member in value.items():
        field = known["fields"].get(name)
        bad += check(member, field, f"{path}.{name}") if field else [f"{path}.{name}: no such field of {want}"]
    return bad


def manifest(name):
    found = list(yaml.safe_load_all(read("deploy/kubernetes", name)))
    for one in found:
        kind = SCHEMA["kinds"].get(f"{one.get('apiVersion')} {one.get('kind')}")
        bad = check(one, kind, one["kind"]) if kind else [f"unknown kind {one.get('kind')}"]
        expect(f"{name}: {one['kind']} has the API's types", not bad, bad)
    return {one["kind"]: one for one in found}


# ---- references ----

def references(name, objects, kind):
    top = objects[kind]["spec"]
    pod = top["template"]["spec"]
    labels = top["template"]["metadata"]["labels"]
    volumes = {v["name"] for v in pod["volumes"]}
    mounts = [m["name"] for c in pod["containers"] for m in c["volumeMounts"]]
    ports = {p["name"] for c in pod["containers"] for p in c.get("ports", [])}
    probes = {c[p]["httpGet"]["port"] for c in pod["containers"] for p in ("readinessProbe", "livenessProbe") if p in c}
    expect(f"{name}: the selector takes its own pods", top["selector"]["matchLabels"].items() <= labels.items())
    expect(f"{name}: volumes are mounted, mounts have volumes", set(mounts) == volumes, set(mounts) ^ volumes)
    expect(f"{name}: probes ask ports that are there", probes <= ports, probes)
    expect(f"{name}: its own account without a token", pod["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"]
           and pod["automountServiceAccountToken"] is False)
    images = {c["image"] for c in pod["containers"]}
    expect(f"{name}: one image, by version", len(images) == 1 and re.search(r":\d+\.\d+\.\d+$", images.pop()))
    for container in pod["containers"]:
        expect(f"{name}: {container['name']} has requests and a limit of memory",
               {"cpu", "memory"} <= set(container["resources"]["requests"]) and "memory" in container["resources"]["limits"])
    return pod, labels, ports


def verifier_manifest():
    objects = manifest("verifier.yaml")
    pod, labels, ports = references("verifier", objects, "Deployment")
    service, scaler = objects["Service"]["spec"], objects["HorizontalPodAutoscaler"]["spec"]
    policy = objects["NetworkPolicy"]["spec"]
    expect("verifier: the service finds pods and port", service["selector"].items() <= labels.items()
           and service["ports"][0]["targetPort"] in ports)
    expect("verifier: the scaler scales the deployment, which names no number itself",
           scaler["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"]
           and "replicas" not in objects["Deployment"]["spec"] and 2 <= scaler["minReplicas"] < scaler["maxReplicas"])
    expect("verifier: the network policy takes both ways", sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
           and policy["podSelector"]["matchLabels"].items() <= labels.items() and policy["ingress"][0]["from"])
    expect("verifier: the pod is nobody", pod["securityContext"]["runAsNonRoot"] is True
           and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault")
    for container in pod["containers"]:
        context = container["securityContext"]
        expect(f"verifier: {container['name']} is confined", context["allowPrivilegeEscalation"] is False
               and context["readOnlyRootFilesystem"] is True and context["capabilities"] == {"drop": ["ALL"]})
    expect("verifier: nothing of the node", not any("hostPath" in v for v in pod["volumes"]) and "hostNetwork" not in pod)
    text = read("docs/kubernetes.md")
    for volume in pod["volumes"]:
        made = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        if made:
            expect(f"docs/kubernetes.md makes {made}", f" {made} " in text)
    return pod


def agent_manifest():
    pod, _, _ = references("agent", manifest("agent.yaml"), "DaemonSet")
    expect("agent: only on confidential nodes", pod["nodeSelector"] == {"cvm-agent/confidential": "true"})


# ---- the verifier's pod, on this machine ----

def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def certificates(folder):
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out",
            "ca.crt", "-subj", "/CN=test ca", "-days", "2")
    for name in "tls", "client":
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out",
                name + ".csr", "-subj", "/CN=" + name)
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                name + ".crt", "-days", "2")
    openssl("genrsa", "-out", "token.pem", "3072")


class Nginx:
    """The pod's configuration with this test's paths and ports."""

    def __init__(self, folder, run, ports):
        text = read("deploy/kubernetes/nginx.conf")
        for old, new in (("/tmp/", folder + "/"), ("/run/cvm-agent", run), ("/etc/cvm-verifier/tls", folder),
                         ("listen 8443 ssl", f"listen 127.0.0.1:{ports[0]} ssl"), ("listen 8081", f"listen 127.0.0.1:{ports[1]}")):
            assert old in text, old
            text = text.replace(old, new)
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        self.process = subprocess.Popen([shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-c", path, "-g",
                                         "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"])
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", ports[0]), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        sys.exit("FAIL nginx does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def curl(folder, url, *more, client=True):
    command = ["curl", "-s", "-m", "30", "-w", "\n%{http_code}", "--cacert", os.path.join(folder, "ca.crt"), "--connect-to",
               "tls:443:127.0.0.1:" + url.split("@")[1]]
    if client:
        command += ["--cert", os.path.join(folder, "client.crt"), "--key", os.path.join(folder, "client.key")]
    done = subprocess.run([*command, *more, "https://tls" + url.split("@")[0]], capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def refused_starts(program, folder, options):
    """What a verifier does not start with."""
    with open(os.path.join(folder, "etc/agent.json"), encoding="utf-8") as f:
        settings = json.load(f)
    bad = os.path.join(folder, "bad")
    os.mkdir(bad)
    for key in "client.key", "ca.crt", "none.pem":  # P-256, no key, no file
        settings["token_key"] = os.path.join(folder, key)
        with open(os.path.join(bad, "agent.json"), "w", encoding="utf-8") as f:
            json.dump(settings, f)
        done = subprocess.run([program, *options, "--etc", bad, "--state", os.path.join(folder, "no"), "--internal",
                               "127.0.0.1:0", "--external", "127.0.0.1:0", "--socket", os.path.join(folder, "no.sock")],
                              capture_output=True, text=True, timeout=60)
        expect(f"{key} is no token key", done.returncode in (3, 4) and "token_key" in done.stderr, done)
    done = subprocess.run([program, *options, "--emulate", "snp"], capture_output=True, text=True, timeout=60)
    expect("a verifier emulates nothing", done.returncode == 2 and "--verifier" in done.stderr, done)


def start_options(pod, etc):
    """What the manifest starts the agent with, but for paths and ports of this test."""
    args = next(c for c in pod["containers"] if c["name"] == "agent")["args"]
    taken = [a for a in args if not a.startswith(("--external=", "--etc="))]
    expect("the manifest keeps the agent's outside port inside", "--external=127.0.0.1:8000" in args)
    return taken + ["--etc", etc]


def behind_nginx(pod, folder):
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    certificates(folder)
    settings = json.loads(read("deploy/kubernetes/agent.json"))
    settings["token_key"] = os.path.join(folder, "token.pem")
    settings["collateral"]["offline"] = True
    with open(os.path.join(etc, "agent.json"), "w", encoding="utf-8") as f:
        json.dump(settings, f)
    os.chmod(folder, 0o755)
    os.chmod(os.path.join(folder, "token.pem"), 0o644)
    document = json.loads(read("tests/data/collaterals/gcp-snp.json"))
    options = start_options(pod, etc)
    program = os.path.join(BIN, "cvm-agent")
    ports = free_ports(2)
    refused_starts(program, folder, options[:-2])
    with Agent(program, os.path.join(folder, "one"), options) as one, \
            Agent(program, os.path.join(folder, "two"), options) as two:
        nginx = Nginx(folder, os.path.join(folder, "one"), ports)
        try:
            verifier_routes(folder, document, ports[0])
            status, body = curl(folder, f"/certs@{ports[0]}")
            _, _, other = two.request("internal", "GET", "/certs")
            expect("all replicas have one token key", status == 200 and json.loads(body) == json.loads(other), body)
            done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{ports[1]}/healthz"], capture_output=True, text=True)
            expect("the kubelet's question", done.stdout == '{"status":"ok"}\n', done.stdout)
            status, _, body = one.request("internal", "GET", "/collaterals/1234")
            expect("a verifier has no evidence, and says so", status == 503 and b"--verifier" in body, (status, body))
            status, _, body = one.request("external", "GET", "/api-token")
            expect("nor a token", status in (403, 503), (status, body))
            platform = one.get("/platform")
            expect("nor a platform", platform["tee_name"] == "none" and platform["tpm"] == "none", platform)
        finally:
            nginx.stop()
    # As above, but that this test's evidence may be true: no manifest has this option.
    with Agent(program, os.path.join(folder, "three"), options + ["--allow-emulated-roots"]):
        nginx = Nginx(folder, os.path.join(folder, "three"), ports)
        try:
            body = {"collaterals": document, "nonce": "1234", "trust_roots": read("tests/data/collaterals/roots.pem")}
            status, body = post(folder, ports[0], body)
            expect("good evidence is verified", status == 200 and json.loads(body)["success"] is True, (status, body[:400]))
        finally:
            nginx.stop()
    expect("no manifest lets callers bring roots", "--allow-emulated-roots" not in options)


def post(folder, port, body, **more):
    request = os.path.join(folder, "request.json")
    with open(request, "w", encoding="utf-8") as f:
        json.dump(body, f)
    return curl(folder, f"/offchain-verify@{port}", "--data-binary", "@" + request, **more)


def verifier_routes(folder, document, port):
    status, body = post(folder, port, {"collaterals": document, "nonce": "1234"})
    answer = json.loads(body)
    failed = [c["check"] for c in answer["checks"] if c["ok"] is False]
    expect("emulated evidence is judged, and refused for its root", status == 200 and answer["success"] is False
           and "platform.hardware_root" in failed, failed)
    status, body = post(folder, port, {"collaterals": document, "trust_roots": read("tests/data/collaterals/roots.pem")})
    expect("a caller brings no roots", status == 403, (status, body))
    status, body = post(folder, port, {"collaterals": document}, client=False)
    expect("nobody without a certificate", status == 400 and "checks" not in body, (status, body))
    for path in "/policies", "/metrics", "/platform", "/sign-message", "/collaterals/1234", "/offchain-verify/", "//policies":
        status, body = curl(folder, f"{path}@{port}")
        expect(f"{path} is not reached", status == 404, (status, body))
    status, body = post(folder, port, {"collaterals": "x" * (5 << 20)})
    expect("a body of 5 MiB", status == 413, status)


def main():
    pod = verifier_manifest()
    agent_manifest()
    bad = check({"name": "x", "image": "y", "imagePullPolicey": "Always", "ports": [{"containerPort": "80"}]},
                "V1Container", "container")
    expect("the check finds what is wrong", len(bad) == 2, bad)
    if not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
        print("SKIPPED: nginx is not installed: the verifier's pod is not tried")
    else:
        with tempfile.TemporaryDirectory(prefix="cvm-kubernetes-") as folder:
            behind_nginx(pod, folder)
    sys.exit(1 if failures else 0)


main()

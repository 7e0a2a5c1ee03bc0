"""cvm-cli measure against an independent computation of scheme cvm-agent-v1: events, PCRs, image archives, and what is
refused.   test_measure.py CVM_CLI"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest

CLI = None

COMPOSE = """\
services:
  web:
    image: docker.io/library/busybox:1.36
    environment:
      LEVEL: ${LEVEL:-info}
  db:
    image: quay.io/example/db:2
    depends_on: [web]
  # sorts before every lower-case name
  Zed:
    image: localhost/zed:latest
"""
IMAGES = {"web": hashlib.sha256(b"web").hexdigest(), "db": hashlib.sha256(b"db").hexdigest(),
          "Zed": hashlib.sha256(b"zed").hexdigest()}


def digest(alg, type_, name, content):
    h = hashlib.new(alg)
    h.update(b"cvm-agent-v1\0" + type_.encode() + b"\0" + name.encode() + b"\0" + hashlib.sha384(content).digest())
    return h.digest()


def expect(files, images, skip=()):
    """files: path -> bytes of the whole directory; skip: service -> reference."""
    events = [("image", s, bytes.fromhex(images[s])) for s in sorted(images, key=str.encode) if s not in skip]
    events += [("skip", s, skip[s].encode()) for s in sorted(skip, key=str.encode)]
    events.append(("compose", "docker-compose.yml", files["docker-compose.yml"]))
    if ".env" in files:
        events.append(("env", ".env", files[".env"]))
    events += [("config", p, files[p]) for p in sorted(files, key=str.encode) if p.startswith("config/")]
    events.append(("ready", "", b""))
    banks = {}
    for alg in ("sha256", "sha384"):
        size = hashlib.new(alg).digest_size
        value = bytes(size)
        for event in events:
            value = hashlib.new(alg, value + digest(alg, *event)).digest()
        banks[alg] = {"23": value.hex(), "16": bytes(size).hex(), "15": value.hex()}
    return events, banks


def tar_of(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def docker_archive(images):
    """images: [(config bytes, tags)]"""
    members, manifest = [], []
    for config, tags in images:
        name = hashlib.sha256(config).hexdigest() + ".json"
        members += [(name, config), ("layer/layer.tar", b"x" * 3000)]
        manifest.append({"Config": name, "RepoTags": tags, "Layers": ["layer/layer.tar"]})
    return tar_of(members + [("manifest.json", json.dumps(manifest).encode())])


def oci_archive(config, name, extra=(), platform=None, key="org.opencontainers.image.ref.name"):
    def blob(data):
        return "sha256:" + hashlib.sha256(data).hexdigest()
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": blob(config), "size": len(config)},
                           "layers": []}).encode()
    descriptor = {"digest": blob(manifest), "size": len(manifest), "annotations": {key: name}}
    if platform:
        descriptor["platform"] = platform
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor, *extra]}).encode()
    members = [("blobs/sha256/" + blob(d)[7:], d) for d in (config, manifest)]
    return tar_of([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *members, ("index.json", index)]), blob(manifest)


class Measure(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = os.path.join(self.folder.name, "workload")
        self.images = os.path.join(self.folder.name, "images.json")
        os.mkdir(self.root)
        self.files = {}
        self.put("docker-compose.yml", COMPOSE)
        self.list({s: "sha256:" + i for s, i in IMAGES.items()})

    def tearDown(self):
        self.folder.cleanup()

    def put(self, path, content):
        data = content.encode() if isinstance(content, str) else content
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(data)
        self.files[path] = data

    def list(self, images):
        with open(self.images, "w") as f:
            json.dump(images, f)

    def run_cli(self, *args):
        return subprocess.run([CLI, "measure", self.root, *args], capture_output=True, text=True, timeout=60)

    def answer(self, *args):
        done = self.run_cli("--json", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, says, *args, status=3):
        done = self.run_cli(*(args or ("--images", self.images)))
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertIn(says, done.stderr)
        self.assertRegex(done.stderr, r"(?m)^cvm-cli: .*\n\Z")

    def agrees(self, answer, skip=()):
        events, banks = expect(self.files, IMAGES, skip)
        self.assertEqual([(e["type"], e["name"], e["content_sha384"]) for e in answer["events"]],
                         [(t, n, hashlib.sha384(c).hexdigest()) for t, n, c in events])
        for event, (type_, name, content) in zip(answer["events"], events):
            self.assertEqual(event["digests"], {a: digest(a, type_, name, content).hex() for a in ("sha256", "sha384")})
            self.assertEqual(event["registers"], [23, 15])
        self.assertEqual(answer["banks"], banks)

    def test_whole_workload(self):
        self.put(".env", "LEVEL=debug\n")
        for path in ("config/b", "config/a/z", "config/a-z", "config/a.z", "config/Ä", "config/~", "config/empty",
                     "config/deep/" + "x/" * 20 + "f"):
            self.put(path, "content of " + path if "empty" not in path else "")
        self.put("config/large", os.urandom(3 << 20))
        self.put("secrets/key", "never measured")
        answer = self.answer("--images", self.images)
        self.agrees(answer)
        self.put("secrets/key", "another")
        self.assertEqual(self.answer("--images", self.images), answer)
        os.chmod(os.path.join(self.root, "config/b"), 0o755)
        self.assertEqual(self.answer("--images", self.images), answer)

    def test_least_workload(self):
        self.agrees(self.answer("--images", self.images))
        self.agrees(self.answer("--images=" + self.images, "--scheme", "cvm-agent-v1"))
        text = self.run_cli("--images", self.images).stdout
        self.assertIn(expect(self.files, IMAGES)[1]["sha384"]["23"], text)

    def test_every_byte_counts(self):
        self.put("config/a", "1")
        before = self.answer("--images", self.images)["banks"]["sha256"]["23"]
        for path, content in (("config/a", "2"), ("config/b", "1"), (".env", ""), ("docker-compose.yml", COMPOSE + "\n")):
            self.put(path, content)
            now = self.answer("--images", self.images)
            self.agrees(now)
            self.assertNotEqual(now["banks"]["sha256"]["23"], before)
            before = now["banks"]["sha256"]["23"]

    def test_skipped_services(self):
        self.put("config/cvm_agent/cvm_agent_policy.json",
                 json.dumps({"workload_config": {"services": {"skip_measurement": ["web", "Zed"]}}}))
        self.list({"db": IMAGES["db"]})  # without "sha256:", and nothing for the others
        self.agrees(self.answer("--images", self.images),
                    {"web": "docker.io/library/busybox:1.36", "Zed": "localhost/zed:latest"})

    def test_images_from_archives(self):
        os.unlink(self.images)
        zed, manifest = oci_archive(b"zed", "localhost/zed:latest", platform={"os": "linux", "architecture": "amd64"})
        self.put("docker.tar", docker_archive([(b"web", ["busybox:1.36"]), (b"db", ["quay.io/example/db:2", "x:1"])]))
        self.put("zed.tar", zed)
        self.agrees(self.answer())
        self.put("docker-compose.yml", COMPOSE.replace("localhost/zed:latest", "localhost/zed@" + manifest))
        self.agrees(self.answer())
        self.list({"web": "sha256:" + IMAGES["db"]})
        self.refused("web", "--images", self.images)

    def test_other_platforms_and_attestations_are_passed_over(self):
        nothing = {"digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}}
        arm = {"digest": "sha256:" + "1" * 64, "size": 1, "platform": {"os": "linux", "architecture": "arm64"}}
        zed, _ = oci_archive(b"zed", "localhost/zed:latest", [nothing, arm], key="io.containerd.image.name")
        self.put("zed.tar", zed)
        self.list({s: IMAGES[s] for s in ("web", "db")})
        self.agrees(self.answer("--images", self.images))

    def test_long_names_in_archives(self):
        config, long_name = b"web", "d/" * 70 + "config.json"
        manifest = json.dumps([{"Config": long_name, "RepoTags": ["busybox:1.36"], "Layers": []}]).encode()
        self.list({s: IMAGES[s] for s in ("Zed", "db")})
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w", format=form) as tar:
                for name, content in ((long_name, config), ("./manifest.json", manifest)):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            self.put("web.tar", out.getvalue())
            self.agrees(self.answer("--images", self.images))

    def test_archives_that_are_refused(self):
        good = docker_archive([(b"web", ["busybox:1.36"])])
        zed, _ = oci_archive(b"web", "busybox:1.36")
        name = hashlib.sha256(b"web").hexdigest() + ".json"
        manifest = json.dumps([{"Config": name, "RepoTags": ["busybox:1.36"], "Layers": []}]).encode()
        self.list({s: IMAGES[s] for s in ("Zed", "db")})
        both = tar_of([(name, b"web"), ("manifest.json", manifest),
                       ("index.json", json.dumps({"manifests": []}).encode())])
        for says, data in (("not a tar archive", b"\x1f\x8b" + os.urandom(2000)), ("", b""),
                           ("leads out", good[:2000]), ("no image archive", tar_of([("a", b"b")])),
                           ("twice", tar_of([(name, b"web"), (name, b"other"), ("manifest.json", manifest)])),
                           ("twice", tar_of([(name, b"web"), ("manifest.json", manifest), ("./manifest.json", manifest)])),
                           ("damaged", tar_of([(name, b"other"), ("manifest.json", manifest)])),
                           ("has no", tar_of([("manifest.json", manifest)])),
                           ("checksum", good[:1025] + b"\1" + good[1026:]),
                           ("another digest", zed.replace(b'"layers"', b'"layerz"', 1)),
                           ("lists no image", both)):
            self.put("web.tar", data)
            self.refused(says)

    def test_same_name_in_two_archives(self):
        self.put("a.tar", docker_archive([(b"web", ["busybox:1.36"])]))
        self.put("b.tar", docker_archive([(b"web", ["docker.io/library/busybox:1.36"])]))
        self.list({s: IMAGES[s] for s in ("Zed", "db")})
        self.agrees(self.answer("--images", self.images))
        self.put("b.tar", docker_archive([(b"other", ["docker.io/library/busybox:1.36"])]))
        self.refused("web")

    def test_unread_archive_that_nobody_needs(self):
        self.put("x.tar", b"junk" * 1000)
        done = self.run_cli("--json", "--images", self.images)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning", done.stderr)
        self.agrees(json.loads(done.stdout))

    def test_missing_images(self):
        self.list({"web": "sha256:" + IMAGES["web"]})
        self.refused("--images FILE with")
        for bad in ("sha256:" + "0" * 63, "sha512:" + "0" * 64, 7, None, "sha256:" + "g" * 64):
            self.list({**{s: "sha256:" + i for s, i in IMAGES.items()}, "db": bad})
            self.refused("db")
        with open(self.images, "w") as f:
            f.write("[]")
        self.refused("not a list of images")

    def test_odd_trees(self):
        def place(path):
            os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
            return os.path.join(self.root, path)
        oddities = {
            "symbolic link": lambda: os.symlink("/etc/passwd", place("config/link")),
            "config: a symbolic link": lambda: os.symlink("/etc", place("config")),
            "hard links": lambda: os.link(place("docker-compose.yml"), place("config/hard")),
            "pipe": lambda: os.mkfifo(place("config/pipe")),
            "does not belong here": lambda: self.put("README", "x"),
            "other: does not belong here": lambda: os.mkdir(place("other")),
            "a.tar: does not belong here": lambda: os.mkdir(place("a.tar")),
            ".tar: does not belong here": lambda: self.put(".tar", "x"),
            "not UTF-8": lambda: open(os.path.join(self.root.encode(), b"config\xff"), "w").close(),
            "folders deep": lambda: self.put("config/" + "d/" * 40 + "f", "x"),
        }
        for says, make in oddities.items():
            make()
            self.refused(says)
            self.tearDown()
            self.setUp()
        if os.geteuid() == 0:
            os.mknod(os.path.join(self.root, "zero.tar"), 0o600 | 0o020000, os.makedev(1, 5))
            self.refused("device")

    def test_what_is_not_there(self):
        os.unlink(os.path.join(self.root, "docker-compose.yml"))
        self.refused("docker-compose.yml")
        self.root += "-absent"
        self.refused("workload-absent")
        self.refused("no such scheme", "--scheme", "x", status=2)
        self.refused("", "--images", self.images, "--nonsense", status=2)

    def test_errors_in_the_files(self):
        self.put("docker-compose.yml", COMPOSE + "  bad:\n    privileged: [\n")
        self.refused("docker-compose.yml")
        self.put("docker-compose.yml", COMPOSE)
        self.put("config/cvm_agent/cvm_agent_policy.json", '{"cvm_config":{"nonsense":1}}')
        self.refused("nonsense")


def keccak256(data):
    """FIPS 202's permutation with the padding of before it was a standard."""
    def rol(v, n):
        n %= 64
        return ((v << n) | (v >> (64 - n))) & (1 << 64) - 1
    state, rate = [[0] * 5 for _ in range(5)], 136
    data += b"\1" + bytes(-(len(data) + 1) % rate)
    data = data[:-1] + bytes([data[-1] | 0x80])
    for at in range(0, len(data), rate):
        for i in range(rate // 8):
            state[i % 5][i // 5] ^= int.from_bytes(data[at + 8 * i:at + 8 * i + 8], "little")
        constant = 1
        for _ in range(24):
            c = [a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] for a in state]
            d = [c[(x + 4) % 5] ^ rol(c[(x + 1) % 5], 1) for x in range(5)]
            state = [[lane ^ d[x] for lane in state[x]] for x in range(5)]
            x, y, current = 1, 0, state[1][0]
            for t in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                current, state[x][y] = state[x][y], rol(current, (t + 1) * (t + 2) // 2)
            rows = [[state[x][y] for x in range(5)] for y in range(5)]
            state = [[rows[y][x] ^ (~rows[y][(x + 1) % 5] & rows[y][(x + 2) % 5]) for y in range(5)] for x in range(5)]
            for j in range(7):
                if constant & 1:
                    state[0][0] ^= 1 << ((1 << j) - 1)
                constant = (constant << 1) ^ (0x171 if constant & 0x80 else 0)
    return b"".join(state[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


WEB = """\
  web:
    image: docker.io/library/nginx:latest
    command:
    - nginx
    - daemon off;
    environment:
    - A=1
    - 'B=a "quoted" value'
    - |-
      C=two

      lines
    env_file:
    - ./web.env
    ports:
    - 8080:80
    volumes:
    - ./conf:/etc/nginx:ro
    - web-data:/data
    - ./one.txt:/one.txt
    - web-data:/again
    - ./made/later:/later
    restart: always
"""
API = """\
  api:
    image: ghcr.io/x/api:2
    command: run --fast
    volumes:
    - web-data:/shared
    - api-data:/data
"""
PACKAGE = "services:\n" + WEB + API + "volumes:\n  web-data: null\n  api-data: null\n"
MANIFEST = """{ "name": "t",
  "docker_images": [{"service": "web", "image_tag": "x", "image_tar": "web.tar"}],
  "additional_data_files": ["extra/data"] }
"""


class Atakit(Measure):
    """The published recipe: automata-network/atakit, crates/workload-compose."""

    def setUp(self):
        super().setUp()
        os.unlink(os.path.join(self.root, "docker-compose.yml"))
        for path, text in {"docker-compose.yml": PACKAGE, "manifest.json": MANIFEST, "conf/sub/b": "b", "conf/a": "a",
                           "one.txt": "1", "web.env": "E=1", "extra/data": "x",
                           "config/cvm_agent/cvm_agent_policy.json": "{}"}.items():
            self.put(path, text)
        archive, self.web = oci_archive(b"web", "nginx:latest")
        self.put("web.tar", archive)
        self.list({"api": "sha256:" + "b" * 64})

    def measured(self, name, yaml, image, files, volumes):
        value = {"serviceName": name, "dockerCompose": yaml, "imageDigest": image,
                 "mountFiles": [{"path": p, "hash": "0x" + keccak256(self.files[p]).hex()} for p in files],
                 "volumes": volumes}
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

    def expected(self):
        texts = [self.files["manifest.json"],
                 self.measured("web", "services:\n" + WEB + "volumes:\n  web-data: null\n", self.web[7:],
                               ["conf/a", "conf/sub/b", "one.txt", "web.env"], ["web-data", "web-data"]),
                 self.measured("api", "services:\n" + API + "volumes:\n  web-data: null\n  api-data: null\n", "b" * 64,
                               [], ["web-data", "api-data"])]
        value = bytes(32)
        for text in texts:
            value = hashlib.sha256(value + hashlib.sha256(text).digest()).digest()
        return [hashlib.sha256(t).hexdigest() for t in texts], value.hex()

    def measure_package(self):
        return self.answer("--scheme", "atakit", "--images", self.images)

    def refused(self, says, *args, status=3):
        super().refused(says, *(args or ("--scheme", "atakit", "--images", self.images)), status=status)

    def test_keccak(self):
        self.assertEqual(keccak256(b"hello world").hex(),
                         "47173285a8d7341e5e972fc677286384f802f8ef42a5ec5f03bbfa254cb01fad")

    def test_package(self):
        answer = self.measure_package()
        events, value = self.expected()
        self.assertEqual([e["digests"]["sha256"] for e in answer["events"]], events)
        self.assertEqual([e["name"] for e in answer["events"]], ["manifest.json", "web", "api"])
        self.assertEqual(answer["banks"], {"sha256": {"23": value}})
        self.put("config/cvm_agent/cvm_agent_policy.json", '{"cvm_config":{}}')
        self.put("extra/data", "y")
        self.assertEqual(self.measure_package(), answer)
        self.put("conf/a", "changed")
        self.assertNotEqual(self.measure_package(), answer)
        self.assertEqual(self.measure_package()["banks"]["sha256"]["23"], self.expected()[1])

    def test_what_is_refused(self):
        self.put("unused", "x")
        self.refused("unused: nothing of the package refers to it")
        os.unlink(os.path.join(self.root, "unused"))
        for says, change in (("normal form", PACKAGE.replace("services:", "# c\nservices:", 1)),
                             ("normal form", PACKAGE.replace("    - ./web.env", "    - ./web.env\n", 1)),
                             ("normal form", PACKAGE.replace("  api-data: null", "  api-data:")),
                             ("full image name", PACKAGE.replace("docker.io/library/nginx", "nginx")),
                             ("in this order", PACKAGE.replace("    command: run --fast\n", "").replace(
                                 "    - api-data:/data\n", "    - api-data:/data\n    command: run\n")),
                             ("in this order", PACKAGE.replace("    restart: always", "    restart: always\n    user: a"))):
            self.put("docker-compose.yml", change)
            self.refused(says)
        self.put("docker-compose.yml", PACKAGE)
        self.list({})
        self.refused("api")
        self.put("manifest.json", "[]")
        self.refused("manifest.json")


# Those of the own scheme are not those of the package's folder.
for inherited in [n for n in dir(Measure) if n.startswith("test_") and n not in vars(Atakit)]:
    setattr(Atakit, inherited, None)


if __name__ == "__main__":
    CLI = os.path.abspath(sys.argv.pop(1))
    unittest.main()

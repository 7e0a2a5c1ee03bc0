"""Start of a workload of three services beside podman's own: usage: bench_start.py BIN_DIR [ROUNDS]

bare: three times create and start over the REST socket of a running podman, with the same settings and nothing else
      (no list, no look at the result).
cli:  three times `podman run --detach` with the same settings.
ours: what the agent does between measured and running (runner_apply): list, networks, create, start, wait.
Rounds alternate; networks and images are there already; containers are removed between."""
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
import private_machine  # noqa: E402

private_machine.enter("podman", "iptables", "runc")

import images  # noqa: E402
from priv_process import Priv  # noqa: E402

BIN, ROUNDS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9
TREE, ENGINE, NETWORK = "/run/bench/tree", "/run/bench/engine", "workload_default"
IDS = [{"container_id": 0, "host_id": private_machine.OWNER_BASE, "size": 65536}]
COMPOSE = "services:\n" + "".join(f"  s{i}: {{image: 'localhost/bb:1'}}\n" for i in range(3))


def tool(*args):
    return subprocess.run([BIN + "/engine_tool", ENGINE, *args], capture_output=True, text=True, check=True).stdout


def ours():
    line = [x for x in tool("apply", "--tree", TREE).splitlines() if x.startswith("time")][0]
    tool("stop", "workload", "now")
    return float(line.split()[2])


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(ENGINE + "/engine.sock")


def api(method, path, body=None):
    connection = Unix("localhost")
    connection.request(method, "/v4.0.0/libpod" + path, json.dumps(body) if body else None,
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    assert answer.status < 300, data
    return data


def bare():
    begin = time.monotonic()
    for i in range(3):
        api("POST", "/containers/create", {
            "name": f"bare{i}", "image": "localhost/bb:1", "netns": {"nsmode": "bridge"},
            "Networks": {NETWORK: {"aliases": [f"s{i}"]}}, "userns": {"nsmode": "private"},
            "idmappings": {"UIDMap": IDS, "GIDMap": IDS}})
        api("POST", f"/containers/bare{i}/start")
    took = time.monotonic() - begin
    for i in range(3):
        api("DELETE", f"/containers/bare{i}?force=true&timeout=0")
    return took


def cli():
    env = {"PATH": os.environ["PATH"], "HOME": ENGINE + "/home", "CONTAINERS_CONF": ENGINE + "/containers.conf",
           "CONTAINERS_STORAGE_CONF": ENGINE + "/storage.conf", "TMPDIR": ENGINE + "/tmp"}
    mapping = f"0:{private_machine.OWNER_BASE}:65536"
    begin = time.monotonic()
    for i in range(3):
        subprocess.run(["podman", "run", "--detach", "--name", f"cli{i}", "--network", NETWORK, "--uidmap", mapping, "--gidmap",
                        mapping, "localhost/bb:1"], env=env, capture_output=True, check=True)
    took = time.monotonic() - begin
    for i in range(3):
        api("DELETE", f"/containers/cli{i}?force=true&timeout=0")
    return took


def main():
    os.makedirs(TREE)
    images.write_archive(TREE + "/bb.tar", "localhost/bb:1", ["/bin/busybox", "sleep", "1000"])
    with open(TREE + "/docker-compose.yml", "w") as f:
        f.write(COMPOSE)
    ours()
    times = {"bare": [], "cli": [], "ours": []}
    for _ in range(ROUNDS):
        times["ours"].append(ours())
        with Priv(BIN + "/cvm-agent-priv", ENGINE) as priv:
            priv.start_engine()
            times["bare"].append(bare())
            times["cli"].append(cli())
    for name, values in times.items():
        print(f"start of 3 services, {name:5} median {1000 * statistics.median(values):6.0f} ms"
              f"   ({1000 * min(values):.0f} to {1000 * max(values):.0f}, {ROUNDS} rounds)")
    more = statistics.median(times["ours"]) - statistics.median(times["bare"])
    print(f"ours beyond bare {1000 * more:.0f} ms (budget 150)")
    return 0 if more <= 0.150 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Signing with the TPM's key of this boot: usage: test_identity.py AGENT [unittest arguments]"""
import base64
import json
import os
import sys
import tempfile
import unittest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

BINARY = sys.argv.pop(1)
P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff
B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b
N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551


def keccak256(data):
    rotations, rc, lfsr = {}, [], 1
    x, y = 1, 0
    for t in range(24):
        rotations[x, y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    for _ in range(24):
        value = 0
        for j in range(7):
            if lfsr & 1:
                value ^= 1 << ((1 << j) - 1)
            lfsr = (lfsr << 1) ^ (0x171 if lfsr & 0x80 else 0)
        rc.append(value)
    rot = lambda v, n: (v << n | v >> (64 - n)) & (1 << 64) - 1 if n else v
    data = bytearray(data) + b"\1" + b"\0" * (135 - len(data) % 136)
    data[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for at in range(0, len(data), 136):
        for i in range(17):
            a[i % 5][i // 5] ^= int.from_bytes(data[at + 8 * i:at + 8 * i + 8], "little")
        for k in range(24):
            c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
            d = [c[(x - 1) % 5] ^ rot(c[(x + 1) % 5], 1) for x in range(5)]
            a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
            b = [[0] * 5 for _ in range(5)]
            for x in range(5):
                for y in range(5):
                    b[y][(2 * x + 3 * y) % 5] = rot(a[x][y], rotations.get((x, y), 0))
            a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
            a[0][0] ^= rc[k]
    return b"".join(a[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def recovered(message, rs):
    """The two public keys that this signature can be of (SEC 1, section 4.1.6)."""
    r, s = int.from_bytes(rs[:32], "big"), int.from_bytes(rs[32:], "big")
    h = hashes.Hash(hashes.SHA256())
    h.update(message)
    e = int.from_bytes(h.finalize(), "big")
    y = pow((r ** 3 - 3 * r + B) % P, (P + 1) // 4, P)

    def add(p, q):
        if p is None or q is None:
            return p or q
        if p[0] == q[0] and (p[1] + q[1]) % P == 0:
            return None
        slope = ((3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, P) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, P)) % P
        x = (slope ** 2 - p[0] - q[0]) % P
        return x, (slope * (p[0] - x) - p[1]) % P

    def times(k, p):
        out = None
        while k:
            out = add(out, p) if k & 1 else out
            p, k = add(p, p), k >> 1
        return out
    g = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    inverse = pow(r, -1, N)
    for point in (r, y), (r, P - y):
        q = add(times(s * inverse % N, point), times(-e * inverse % N, (g.x, g.y)))
        yield q[0].to_bytes(32, "big") + q[1].to_bytes(32, "big")


class Identity(unittest.TestCase):
    def agent(self, state, shape="gcp-snp", sign=True):
        folder = os.path.join(state, "workload/config/cvm_agent")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "cvm_agent_policy.json"), "w") as f:
            json.dump({"cvm_config": {"enable_sign_message": sign}}, f)
        return Agent(BINARY, os.path.join(state, "state"), ["--emulate", shape, "--workload", os.path.join(state, "workload")])

    def sign(self, agent, body, status=200):
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        answer = agent.raw(b"POST /sign-message HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        self.assertEqual(answer[0], status, answer)
        return json.loads(answer[2])

    def verify(self, message, answer):
        """The signature is by a key with that hash, and libcrypto agrees."""
        digest, rs = base64.b64decode(answer["cvm_identity_hash"]), base64.b64decode(answer["signature"])
        self.assertEqual((len(digest), len(rs)), (32, 64))
        key = next(k for k in recovered(message, rs) if keccak256(k) == digest)
        public = ec.EllipticCurvePublicNumbers(int.from_bytes(key[:32], "big"), int.from_bytes(key[32:], "big"), ec.SECP256R1()).public_key()
        der = utils.encode_dss_signature(int.from_bytes(rs[:32], "big"), int.from_bytes(rs[32:], "big"))
        public.verify(der, message, ec.ECDSA(hashes.SHA256()))
        with self.assertRaises(InvalidSignature):
            public.verify(der, message + b"x", ec.ECDSA(hashes.SHA256()))

    def test_a_key_of_this_boot(self):
        self.assertEqual(keccak256(b"").hex(), "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
        with tempfile.TemporaryDirectory() as state:
            with self.agent(state) as agent:
                first = self.sign(agent, {"message": "hello"})
                self.verify(b"hello", first)
                self.verify("gr\u00fc\u00dfe \U0001f600".encode(), self.sign(agent, {"message": "gr\u00fc\u00dfe \U0001f600", "purge_old_keys": False}))
                self.assertEqual(json.loads(agent.ask("/current-cvm-identity-hash")[2]), {"cvm_identity_hash": first["cvm_identity_hash"]})
                journal = json.loads(agent.ask("/journal")[2])
                import hashlib
                named = hashlib.sha384(base64.b64decode(first["cvm_identity_hash"])).hexdigest()
                self.assertEqual([e["content_sha384"] for e in journal["events"] if e["type"] == "identity"], [named])
                self.assertEqual(journal["verdict"], "agrees")
                for body in "", "{}", "[]", '{"message":1}', '{"message":"x","purge_old_keys":1}', '{"message":"x","other":1}':
                    self.assertGreater(len(self.sign(agent, body, 400)["error"]), 10)
                agent.stop()
            with self.agent(state) as agent:  # the same boot: the same key, no second event
                again = self.sign(agent, {"message": "hello"})
                self.verify(b"hello", again)
                self.assertEqual(again["cvm_identity_hash"], first["cvm_identity_hash"])
                journal = json.loads(agent.ask("/journal")[2])
                self.assertEqual(len([e for e in journal["events"] if e["type"] == "identity"]), 1)
                for word in "purge_old_keys", "purge-old-keys":
                    new = self.sign(agent, {"message": "hello", word: True})
                    self.verify(b"hello", new)
                    self.assertNotEqual(new["cvm_identity_hash"], again["cvm_identity_hash"])
                    again = new
                agent.stop()
            with open(os.path.join(state, "state/identity.json")) as f:
                kept = json.load(f)
            kept["salt"] = "00" * 32  # whoever writes the state folder names no key of his own
            with open(os.path.join(state, "state/identity.json"), "w") as f:
                json.dump(kept, f)
            with self.agent(state) as agent:
                other = self.sign(agent, {"message": "hello"})
                self.assertNotEqual(other["cvm_identity_hash"], again["cvm_identity_hash"])
                journal = json.loads(agent.ask("/journal")[2])
                self.assertEqual(len([e for e in journal["events"] if e["type"] == "identity"]), 4)

    def test_no_tpm_no_key(self):
        with tempfile.TemporaryDirectory() as state, self.agent(state, "snp") as agent:
            self.assertIn("TPM", self.sign(agent, {"message": "x"}, 503)["error"])
            self.assertEqual(agent.ask("/current-cvm-identity-hash")[0], 503)


if __name__ == "__main__":
    unittest.main(verbosity=1)

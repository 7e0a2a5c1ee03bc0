"""cvm-cli token-verify against tokens that python3-cryptography makes: yes, no, and malformed.

usage: test_token_verify.py CVM-CLI
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NOW = "2026-11-22T12:00:00Z"
EPOCH = 1795348800


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n, size=None):
    return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


def rsa_jwk(key, kid):
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(public.n), "e": number(public.e), "alg": "PS384", "use": "sig"}


def ec_jwk(key, kid):
    public = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-384", "kid": kid, "x": number(public.x, 48), "y": number(public.y, 48)}


def token(key, alg, kid, claims):
    signed = b64(json.dumps({"alg": alg, "kid": kid, "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
    if alg == "PS384":
        raw = key.sign(signed.encode(), padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
    elif alg == "ES384":
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA384())))
        raw = r.to_bytes(48, "big") + s.to_bytes(48, "big")
    else:
        raw = b""
    return signed + "." + b64(raw)


def main():
    cli = sys.argv[1]
    rsa_key, other, ec_key = rsa.generate_private_key(65537, 3072), rsa.generate_private_key(65537, 3072), \
        ec.generate_private_key(ec.SECP384R1())
    claims = {"iss": "here", "exp": EPOCH + 60, "nbf": EPOCH - 60, "n": 1}
    with tempfile.TemporaryDirectory(prefix="cvm-token-") as folder:
        keys = os.path.join(folder, "keys.json")
        with open(keys, "w") as f:
            json.dump({"keys": [rsa_jwk(rsa_key, "r"), ec_jwk(ec_key, "e")]}, f)

        def run(want, jwt, *args, why=""):
            done = subprocess.run([cli, "token-verify", jwt, "--jwks", keys, "--at", NOW, "--json", *args],
                                  capture_output=True, text=True, timeout=30)
            if done.returncode != want or why not in done.stdout + done.stderr:
                sys.exit(f"FAIL {args}: exit {done.returncode}, want {want} {why}\n{done.stdout}{done.stderr}")
            return done.stdout

        good = token(rsa_key, "PS384", "r", claims)
        answer = json.loads(run(0, good))
        assert answer["success"] and answer["claims"] == claims and answer["alg"] == "PS384" and answer["kid"] == "r"
        path = os.path.join(folder, "token.jwt")
        with open(path, "w") as f:
            f.write(token(ec_key, "ES384", "e", claims) + "\n")
        run(0, path)
        run(0, good, "--issuer", "here")
        run(1, good, "--issuer", "there")
        run(1, token(rsa_key, "PS384", "r", claims | {"exp": EPOCH - 1}))
        run(1, token(rsa_key, "PS384", "r", claims | {"nbf": EPOCH + 1000}))
        run(1, token(other, "PS384", "r", claims))
        run(1, token(rsa_key, "PS384", "unknown", claims))
        run(1, token(None, "none", "r", claims))
        run(1, token(None, "HS256", "r", claims))
        head, body, signature = good.split(".")
        run(1, ".".join([head, b64(json.dumps(claims | {"n": 2}).encode()), signature]))
        run(3, head + "." + body)
        run(3, "not.a.token")
        run(3, os.path.join(folder, "absent"))
        with open(keys, "w") as f:
            f.write("{}")
        run(3, good)
    usage = subprocess.run([cli, "token-verify", "a.b.c"], capture_output=True, text=True, timeout=30)
    assert usage.returncode == 2 and "--jwks" in usage.stderr
    print("ok")


main()

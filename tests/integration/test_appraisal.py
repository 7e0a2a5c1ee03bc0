"""Appraisal as Intel Trust Authority answers it, on emulated machines: tokens that python3-cryptography and
cvm-cli token-verify accept, policies that match and do not, and evidence that must get no token.

usage: test_appraisal.py CVM-AGENT
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_under_test import Agent  # noqa: E402

CLI = os.path.join(os.environ["CVM_BIN"], "cvm-cli")
SHAPES = ("snp", "tdx", "azure-snp", "azure-tdx", "gcp-snp", "gcp-tdx")


def raw(text):
    return base64.b64decode(text)


def b64(data):
    return base64.b64encode(data).decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def request_of(doc, roots):
    """The document's evidence in the shape that clients of the service send."""
    nonce = {"val": b64(raw(doc["magic"]) + raw(doc["nonce"]))}
    tpm = doc.get("tpm", {})
    if "sev_snp" in doc:
        name, tee = "sevsnp", {"report": doc["sev_snp"]["attestation_report"], "vek_cert": doc["sev_snp"]["vek_cert"],
                               "cert_chain": doc["sev_snp"]["cert_chain"]}
    else:
        name, tee = "tdx", {"quote": doc["tdx"]["attestation_report"], "collateral": doc["tdx"]["collateral"]}
    if "var_data" in tpm:
        tee["runtime_data"] = tpm["var_data"]
    else:
        tee["verifier_nonce"] = nonce
    out = {name: tee, "trust_roots": roots}
    if tpm:
        values = b"".join(raw(tpm["pcrs"]["pcrs"][str(i)]) for i in range(24))
        out["tpm"] = {"quote": tpm["quote"], "signature": tpm["raw_sig"], "pcrs": b64(values), "verifier_nonce": nonce}
        if "var_data" not in tpm:
            out["tpm"] |= {"ak_cert": tpm["ak_cert"], "ak_cert_chain": tpm["ak_cert_chain"]}
    return out


class Machine:
    def __init__(self, agent):
        self.agent = agent
        with open(os.path.join(agent.state, "emulator", "roots.pem")) as f:
            self.roots = f.read()
        self.doc = agent.get("/collaterals/1234")
        self.azure = "var_data" in self.doc.get("tpm", {})
        self.path = "/appraisal/v2/attest" + ("/azure" if self.azure else "")

    def post(self, body, path=None):
        status, _, answer = self.agent.request("internal", "POST", path or self.path, body=json.dumps(body).encode())
        return status, json.loads(answer)

    def token(self, body, path=None):
        status, answer = self.post(body, path)
        assert status == 200, (status, answer)
        return answer["token"]

    def no(self, want, body, why, path=None):
        status, answer = self.post(body, path)
        assert status == want and why in answer["error"], (want, why, status, answer)

    def put(self, name, text, want=200):
        status, _, answer = self.agent.request("internal", "PUT", "/policies?name=" + name, body=text.encode())
        assert status == want, (status, answer)
        return json.loads(answer)


def check_token(token, keys):
    """Independent of our code: RFC 7515 with python3-cryptography."""
    head, body, signature = token.split(".")
    header = json.loads(unb64url(head))
    key = next(k for k in keys["keys"] if k["kid"] == header["kid"])
    public = rsa.RSAPublicNumbers(int.from_bytes(unb64url(key["e"]), "big"),
                                  int.from_bytes(unb64url(key["n"]), "big")).public_key()
    assert public.key_size == 3072 and header["alg"] == key["alg"]
    if header["alg"] == "PS384":
        scheme, digest = padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384()
    else:
        scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    public.verify(unb64url(signature), f"{head}.{body}".encode(), scheme, digest)
    try:
        public.verify(unb64url(signature), f"{head}.{body}x".encode(), scheme, digest)
    except InvalidSignature:
        return json.loads(unb64url(body))
    sys.exit("FAIL: the signature covers nothing")


def check_cli(token, keys, folder):
    path = os.path.join(folder, "keys.json")
    with open(path, "w") as f:
        json.dump(keys, f)
    done = subprocess.run([CLI, "token-verify", token, "--jwks", path, "--issuer", "cvm-agent", "--json"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def check_shape(m, folder):
    body = request_of(m.doc, m.roots)
    keys = m.agent.get("/certs")
    token = m.token(body)
    claims = check_token(token, keys)
    check_cli(token, keys, folder)
    tee = "sevsnp" if "sevsnp" in body else "tdx"
    assert claims["ver"] == "2.0.0" and claims["exp"] - claims["iat"] == 300 and claims["dbgstat"] == "disabled"
    assert claims[tee]["attester_type"] == ("TDX" if tee == "tdx" else "AMD SEV-SNP")
    assert ("tpm" in claims) == ("tpm" in body)
    if tee == "tdx":
        assert claims["tdx"]["attester_tcb_status"] == "UpToDate", claims["tdx"]
    m.no(403, body | {"trust_roots": None}, "does not verify")
    if "tpm" in body:  # the registers as the document has them
        m.token(body | {"tpm": body["tpm"] | {"pcrs": m.doc["tpm"]["pcrs"]}})
        other = json.loads(json.dumps(m.doc["tpm"]["pcrs"]))
        other["pcrs"]["4"] = b64(bytes(32))
        m.no(403, body | {"tpm": body["tpm"] | {"pcrs": other}}, "tpm.pcr_digest")
    for part in (p for p in (tee, "tpm") if p in body):
        for name in ("report", "quote", "signature", "pcrs", "runtime_data"):
            if name in body[part]:
                changed = bytearray(raw(body[part][name]))
                changed[len(changed) // 3] ^= 1
                status, answer = m.post(body | {part: body[part] | {name: b64(bytes(changed))}})
                assert status in (400, 403), (part, name, status, answer)
    if not m.azure:
        m.no(403, body | {tee: body[tee] | {"verifier_nonce": {"val": "AAAA"}}}, "binding.nonce")
    return body, tee, keys


def check_policies(m, body, tee):
    claim = {"sevsnp": "sevsnp_launchmeasurement", "tdx": "tdx_mrtd"}[tee]
    value = check_token(m.token(body), m.agent.get("/certs"))[tee][claim]
    yes = m.put("yes", f'match {{\n input.{tee}.{claim} == "{value}"\n}}\nexport := {{"seen": input.{tee}.{claim}}}\n')
    no = m.put("no", f'default match := false\nmatch {{ input.{tee}.{claim} == "00" }}\n')
    assert yes["version"] == "v1" and len(raw(yes["hash"])) == 48
    claims = check_token(m.token(body | {"policy_ids": [yes["id"], no["id"]]}), m.agent.get("/certs"))
    assert claims["policy_ids_matched"] == [yes] and claims["policy_ids_unmatched"] == [no], claims
    assert claims["policy_defined_claims"] == {"seen": value}
    m.no(403, body | {"policy_ids": [yes["id"], no["id"]], "policy_must_match": True}, "does not match")
    m.token(body | {"policy_ids": [yes["id"]], "policy_must_match": True})
    again = m.put("yes", "match { input.nothing }\n")
    assert again["id"] == yes["id"] and again["version"] == "v2" and again["hash"] != yes["hash"]
    assert {p["name"]: p["version"] for p in m.agent.get("/policies")} == {"yes": "v2", "no": "v1"}
    status, _, text = m.agent.request("internal", "GET", "/policies/" + again["id"])
    assert status == 200 and text == b"match { input.nothing }\n"
    assert "1:" in m.put("bad", "match { input.x == }\n", 400)["error"]
    assert m.put("bad", "match { unknown.f(1) }\n", 400)
    assert m.put("a*b", "match { true }\n", 400)
    assert m.put("big", "match { true }\n" + " " * 65536, 413)
    m.no(400, body | {"policy_ids": ["6e1a6b0e-0000-4000-8000-000000000001"]}, "no policy")
    m.no(400, body | {"policy_ids": [str(i) for i in range(11)]}, "11 policies")
    conflict = m.put("conflict", "match { x == 1 }\nx := 1\nx := 2\n")
    m.no(400, body | {"policy_ids": [conflict["id"]]}, "conflict")


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def gpu_token(key, claims, alg="ES384"):
    signed = b64url(json.dumps({"alg": alg, "kid": "nv", "typ": "JWT"}).encode()) + "." + \
        b64url(json.dumps(claims).encode())
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA384())))
    return signed + "." + b64url(r.to_bytes(48, "big") + s.to_bytes(48, "big"))


def check_gpu(program, folder):
    """A GPU's token beside a TEE's evidence: NVIDIA's keys come from /etc/cvm-agent, here those of a stand-in."""
    key, other = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    public = key.public_key().public_numbers()
    etc = os.path.join(folder, "etc")
    os.makedirs(os.path.join(etc, "policies"))
    with open(os.path.join(etc, "nv.json"), "w") as f:
        json.dump({"keys": [{"kty": "EC", "crv": "P-384", "kid": "nv", "x": b64url(public.x.to_bytes(48, "big")),
                             "y": b64url(public.y.to_bytes(48, "big"))}]}, f)
    with open(os.path.join(etc, "policies", "gpu and cpu.rego"), "w") as f:
        f.write('match {\n input.nvgpu.measres == "comparison-success"\n input.sevsnp.sevsnp_is_debuggable == false\n}\n')
    with open(os.path.join(etc, "agent.json"), "w") as f:
        json.dump({"nvgpu_jwks": os.path.join(etc, "nv.json"), "policy_directory": os.path.join(etc, "policies")}, f)
    now = int(time.time())
    claims = {"measres": "comparison-success", "eat_nonce": "AB" * 32, "exp": now + 600, "iat": now, "secboot": True}
    with Agent(program, os.path.join(folder, "gpu"), ["--emulate", "snp", "--etc", etc]) as agent:
        m = Machine(agent)
        body = request_of(m.doc, m.roots) | {"policy_ids": ["gpu and cpu"], "policy_must_match": True}
        good = body | {"nvgpu": {"token": gpu_token(key, claims), "nonce": "ab" * 32}}
        token = check_token(m.token(good), agent.get("/certs"))
        assert token["nvgpu"]["secboot"] is True and token["policy_ids_matched"][0]["version"] == "v1"
        m.no(403, body, "does not match")
        m.no(403, body | {"nvgpu": gpu_token(other, claims)}, "nvgpu.token")
        m.no(403, body | {"nvgpu": gpu_token(key, claims | {"exp": now - 1})}, "nvgpu.token")
        m.no(403, body | {"nvgpu": gpu_token(key, {k: v for k, v in claims.items() if k != "exp"})}, "nvgpu.token")
        m.no(403, body | {"nvgpu": gpu_token(key, claims, "none")}, "nvgpu.token")
        m.no(403, body | {"nvgpu": {"token": gpu_token(key, claims), "nonce": "00" * 32}}, "nvgpu.nonce")
        m.no(403, body | {"nvgpu": gpu_token(key, claims | {"measres": "comparison-fail"})}, "does not match")
        m.put("gpu and cpu".replace(" ", "%20"), "match { true }\n", 403)


def check_mixed(a, b):
    """The hardware of one machine with the TPM of another, both trusted."""
    one, two = request_of(a.doc, a.roots + b.roots), request_of(b.doc, "")
    a.token(one)
    a.no(403, one | {"tpm": two["tpm"]}, "binding.ak")


def check_opened(program, folder):
    """The measured security policy can open appraisal outside; then it wants the token."""
    config = os.path.join(folder, "opened/workload/config/cvm_agent")
    os.makedirs(config)
    with open(os.path.join(config, "cvm_agent_policy.json"), "w") as f:
        json.dump({"cvm_config": {"appraisal_api": {"external": True}}}, f)
    options = ["--emulate", "snp", "--workload", os.path.join(folder, "opened/workload")]
    with Agent(program, os.path.join(folder, "opened/state"), options) as agent:
        until = time.monotonic() + 20
        while (status := agent.request("external", "POST", "/appraisal/v2/attest", body=b"{}")[0]) == 404:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert status == 401, status
        token = agent.request("external", "GET", "/api-token")[2].decode()
        status, _, body = agent.request("external", "POST", "/appraisal/v2/attest", {"Authorization": f"Bearer {token}"}, b"{}")
        assert status == 400 and b"evidence" in body, (status, body)


def main():
    with tempfile.TemporaryDirectory(prefix="cvm-appraisal-") as folder:
        for shape in SHAPES:
            with Agent(sys.argv[1], os.path.join(folder, shape), ["--emulate", shape]) as agent:
                m = Machine(agent)
                body, tee, keys = check_shape(m, folder)
                if shape in ("snp", "azure-tdx"):
                    check_policies(m, body, tee)
                if shape == "snp":
                    flat = body["sevsnp"] | {"trust_roots": m.roots, "token_signing_alg": "RS256"}
                    claims = check_token(m.token(flat, "/appraisal/sevsnp/v1/attest"), keys)
                    assert claims["ver"] == "1.0.0" and "sevsnp_launchmeasurement" in claims
                    m.no(400, {}, "evidence")
                    assert m.agent.request("external", "POST", m.path, body=b"{}")[0] == 404  # not opened by the policy
                    assert m.agent.request("external", "GET", m.path)[0] == 404
                    assert m.agent.request("external", "PUT", "/policies?name=x", body=b"match { true }")[0] == 401
                    assert m.agent.request("external", "GET", "/certs")[0] == 404
                    id_ = m.agent.get("/policies")[0]["id"]
                    m.agent.stop()
                    with Agent(sys.argv[1], os.path.join(folder, shape), ["--emulate", shape]) as again:
                        assert id_ in [p["id"] for p in again.get("/policies")]
                if shape == "gcp-snp":
                    with Agent(sys.argv[1], os.path.join(folder, "other"), ["--emulate", shape]) as second:
                        check_mixed(m, Machine(second))
        check_gpu(sys.argv[1], folder)
        check_opened(sys.argv[1], folder)
    print("ok")


main()

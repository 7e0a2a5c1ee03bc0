#!/usr/bin/python3
"""Judges a collaterals document without any code of this project: python3-cryptography and tpm2_checkquote.

usage: check_collaterals.py DOCUMENT.json --roots ROOTS.pem --magic TEXT --nonce TEXT [--tls-spki-der FILE]
Prints one line a check; exit 0 when all hold. Formats: AMD 56860 and 57230, Intel DCAP quote format, TCG TPM 2.0
Part 2, TCG PC Client Platform Firmware Profile.
"""
import argparse
import base64
import hashlib
import json
import struct
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

failed = []


def check(name, holds, detail=""):
    print(f"{'ok  ' if holds else 'FAIL'} {name} {detail}")
    if not holds:
        failed.append(name)


def b64(text):
    return base64.b64decode(text, validate=True)


def sha256(data):
    return hashlib.sha256(data).digest()


def load_der(data):
    return x509.load_der_x509_certificate(data)


def pem_list(data):
    end = b"-----END CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(part + end) for part in data.split(end) if b"BEGIN CERTIFICATE" in part]


def signed_by(cert, issuer):
    key = issuer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if cert.signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.10":
                key.verify(cert.signature, cert.tbs_certificate_bytes,
                           padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
            else:
                key.verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(),
                           cert.signature_hash_algorithm)
        else:
            key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
        return cert.issuer == issuer.subject
    except Exception:
        return False


def check_chain(name, chain, roots):
    for cert, issuer in zip(chain, chain[1:]):
        check(f"{name}: {cert.subject.rfc4514_string()[:40]} is signed by the next", signed_by(cert, issuer))
    last = chain[-1]
    check(f"{name}: ends at a given root", any(last == root or signed_by(last, root) for root in roots))


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


# ---- SEV-SNP ----

def der_int(raw):
    assert raw[0] == 2
    return int.from_bytes(raw[2:2 + raw[1]], "big")


def extension(cert, suffix):
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.3704.1." + suffix)
    try:
        return cert.extensions.get_extension_for_oid(oid).value.value
    except x509.ExtensionNotFound:
        return None


def check_snp(doc, roots):
    report, vek = b64(doc["attestation_report"]), load_der(b64(doc["vek_cert"]))
    check("snp: 1184 bytes", len(report) == 1184)
    r = int.from_bytes(report[0x2A0:0x2A0 + 72], "little")
    s = int.from_bytes(report[0x2E8:0x2E8 + 72], "little")
    try:
        vek.public_key().verify(encode_dss_signature(r, s), report[:0x2A0], ec.ECDSA(hashes.SHA384()))
        good = True
    except Exception:
        good = False
    check("snp: report signature by the VEK", good)
    chain = [vek] + [load_der(b64(c)) for c in doc["cert_chain"]]
    check("snp: ASK or ASVK, and ARK", len(chain) == 3)
    check_chain("snp", chain, roots)
    tcb, signing = report[0x180:0x188], struct.unpack("<I", report[0x48:0x4C])[0] >> 2 & 7
    turin = report[0x188] == 0x1A
    spl = {"3.1": tcb[1], "3.2": tcb[2], "3.3": tcb[3], "3.8": tcb[7], "3.9": tcb[0]} if turin else {
        "3.1": tcb[0], "3.2": tcb[1], "3.3": tcb[6], "3.8": tcb[7]}
    for suffix, value in spl.items():
        check(f"snp: SPL {suffix} equals reported_tcb", der_int(extension(vek, suffix)) == value)
    hwid, csp = extension(vek, "4"), extension(vek, "5")
    if signing == 0:
        check("snp: hardware id equals chip_id", hwid == report[0x1A0:0x1A0 + len(hwid)] and csp is None)
    else:
        check("snp: VLEK with a CSP id and no hardware id", signing == 1 and hwid is None and csp is not None)
        check("snp: chip_id is zero", not any(report[0x1A0:0x1E0]))
    check("snp: not debuggable", not struct.unpack("<Q", report[8:16])[0] >> 19 & 1)
    return report[0x50:0x90]


# ---- TDX ----

def p256_key(raw):
    return ec.EllipticCurvePublicNumbers(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"),
                                         ec.SECP256R1()).public_key()


def p256_verify(key, raw, data):
    try:
        key.verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")), data,
                   ec.ECDSA(hashes.SHA256()))
        return True
    except Exception:
        return False


def check_tdx(doc, roots):
    quote = b64(doc["attestation_report"])
    version, = struct.unpack("<H", quote[:2])
    check("tdx: version 4 or 5, TEE 0x81", version in (4, 5) and quote[4:8] == b"\x81\0\0\0")
    if version == 4:
        body_at, size = 48, 584
    else:
        kind, size = struct.unpack("<HI", quote[48:54])
        body_at = 54
        check("tdx: body type and size", {2: 584, 3: 648}.get(kind) == size)
    body, end = quote[body_at:body_at + size], body_at + size
    n, = struct.unpack("<I", quote[end:end + 4])
    sig = quote[end + 4:end + 4 + n]
    check("tdx: signature data is whole, the tail is padding", len(sig) == n and not any(quote[end + 4 + n:]))
    check("tdx: quote signature", p256_verify(p256_key(sig[64:128]), sig[:64], quote[:end]))
    qe, qe_sig = sig[134:518], sig[518:582]
    auth_n, = struct.unpack("<H", sig[582:584])
    auth = sig[584:584 + auth_n]
    kind, pem_n = struct.unpack("<HI", sig[584 + auth_n:590 + auth_n])
    chain = pem_list(sig[590 + auth_n:590 + auth_n + pem_n])
    check("tdx: PCK chain inside", kind == 5 and len(chain) == 3)
    check_chain("tdx", chain, roots)
    check("tdx: QE report signature by the PCK", p256_verify(chain[0].public_key(), qe_sig, qe))
    check("tdx: QE binds the attestation key", qe[320:384] == sha256(sig[64:128] + auth) + bytes(32))
    check("tdx: not debuggable", not body[0x78] & 1)
    return body[0x208:0x248], body


# ---- TPM ----

def tpm2b(data, at):
    n, = struct.unpack(">H", data[at:at + 2])
    return data[at + 2:at + 2 + n], at + 2 + n


def parse_quote(quote):
    magic, kind = struct.unpack(">IH", quote[:6])
    check("tpm: TPM generated, quote", magic == 0xFF544347 and kind == 0x8018)
    _, at = tpm2b(quote, 6)
    extra, at = tpm2b(quote, at)
    at += 17 + 8
    count, = struct.unpack(">I", quote[at:at + 4])
    at += 4
    selections = []
    for _ in range(count):
        alg, size = struct.unpack(">HB", quote[at:at + 3])
        bits = int.from_bytes(quote[at + 3:at + 3 + size], "little")
        selections.append((alg, [i for i in range(size * 8) if bits >> i & 1]))
        at += 3 + size
    digest, at = tpm2b(quote, at)
    check("tpm: nothing after the quote", at == len(quote))
    return extra, selections, digest


def check_tpm(doc, magic, nonce):
    quote, sig = b64(doc["quote"]), b64(doc["raw_sig"])
    ak_der = b64(doc["ak_pub"])
    ak = serialization.load_der_public_key(ak_der)
    extra, selections, digest = parse_quote(quote)
    check("tpm: extraData is magic and nonce", extra == magic + nonce)
    pcrs = {int(i): b64(v) for i, v in doc["pcrs"]["pcrs"].items()}
    check("tpm: all 24 PCRs of one bank", selections == [(doc["pcrs"]["hash"], list(range(24)))] and len(pcrs) == 24)
    scheme, hash_alg = struct.unpack(">HH", sig[:4])
    check("tpm: SHA-256 signature", hash_alg == 0x000B)
    check("tpm: PCR digest", digest == sha256(b"".join(pcrs[i] for i in range(24))))
    try:
        if scheme == 0x0014:
            ak.verify(tpm2b(sig, 4)[0], quote, padding.PKCS1v15(), hashes.SHA256())
        else:
            r, at = tpm2b(sig, 4)
            s, _ = tpm2b(sig, at)
            ak.verify(encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")), quote,
                      ec.ECDSA(hashes.SHA256()))
        good = True
    except Exception:
        good = False
    check("tpm: quote signature by the AK", good)
    public = b64(doc["ak_public"])
    attributes, = struct.unpack(">I", public[4:8])
    check("tpm: AK restricted, signing, not decrypting, fixedTPM",
          attributes & 0x50002 == 0x50002 and not attributes & 0x20000)
    if isinstance(ak, rsa.RSAPublicKey):
        unique = ak.public_numbers().n.to_bytes(256, "big")
    else:
        unique = ak.public_numbers().x.to_bytes(32, "big")
    check("tpm: ak_public is the key of ak_pub", unique in public)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("quote", quote), ("sig", sig), ("ak.pem", ak.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))):
            with open(f"{folder}/{name}", "wb") as f:
                f.write(data)
        run = subprocess.run(["tpm2_checkquote", "-u", f"{folder}/ak.pem", "-m", f"{folder}/quote", "-s",
                              f"{folder}/sig", "-q", (magic + nonce).hex()], capture_output=True, text=True)
    check("tpm: tpm2_checkquote agrees", run.returncode == 0, run.stderr.strip()[:100])
    return ak_der, pcrs


def check_ak_cert(doc, roots):
    leaf = load_der(b64(doc["ak_cert"]))
    check("tpm: AK certificate is for the AK", spki(leaf.public_key()) == b64(doc["ak_pub"]))
    if "ak_cert_chain" in doc:
        check_chain("tpm", [leaf] + [load_der(b64(c)) for c in doc["ak_cert_chain"]], roots)


# ---- logs ----

SIZES = {4: ("sha1", 20), 11: ("sha256", 32), 12: ("sha384", 48), 13: ("sha512", 64), 18: ("sm3", 32)}


def replay_log(log, alg):
    """Registers of one bank, by TCG PFP 10.2.2 and 10.4.5."""
    index, kind = struct.unpack("<II", log[:8])
    size, = struct.unpack("<I", log[28:32])
    at, registers = 32 + size, {}
    name, length = SIZES[alg]
    while at + 8 <= len(log):
        index, kind = struct.unpack("<II", log[at:at + 8])
        if index == 0xFFFFFFFF or (index, kind) == (0, 0):
            break
        count, = struct.unpack("<I", log[at + 8:at + 12])
        at, digests = at + 12, {}
        for _ in range(count):
            a, = struct.unpack("<H", log[at:at + 2])
            digests[a] = log[at + 2:at + 2 + SIZES[a][1]]
            at += 2 + SIZES[a][1]
        size, = struct.unpack("<I", log[at:at + 4])
        data, at = log[at + 4:at + 4 + size], at + 4 + size
        if kind == 3:
            if data.startswith(b"StartupLocality\0"):
                registers[0] = bytes(length - 1) + data[16:17]
            continue
        old = registers.get(index, bytes(length))
        registers[index] = hashlib.new(name, old + digests[alg]).digest()
    return registers


def check_logs(doc, pcrs, body):
    if "boot_log_tpm" in doc:
        bank = doc["tpm"]["pcrs"]["hash"]
        name, length = SIZES[bank]
        registers = replay_log(b64(doc["boot_log_tpm"]), bank)
        for event in doc.get("journal_log", []):
            preimage = (b"cvm-agent-v1\0" + event["type"].encode() + b"\0" + event["name"].encode() + b"\0"
                        + bytes.fromhex(event["content_sha384"]))
            digest = hashlib.new(name, preimage).digest()
            check(f"journal: digest of event {event['seq']}", digest.hex() == event["digests"][name])
            for pcr in event["registers"]:
                registers[pcr] = hashlib.new(name, registers.get(pcr, bytes(length)) + digest).digest()
        for i in range(16):
            check(f"logs replay to PCR {i}", registers.get(i, bytes(length)) == pcrs[i])
        check("the boot log says something", len(registers) >= 8)
    if "boot_log_ccel" in doc:
        registers = replay_log(b64(doc["boot_log_ccel"]), 12)
        for i in range(4):
            check(f"CCEL replays to RTMR{i}",
                  registers.get(i + 1, bytes(48)) == body[0x148 + 48 * i:0x148 + 48 * (i + 1)])


def check_azure(doc, report_data):
    var_data = b64(doc["tpm"]["var_data"])
    check("azure: report_data is the hash of var_data", report_data == sha256(var_data) + bytes(32))
    keys = {k["kid"]: k for k in json.loads(var_data)["keys"]}

    def number(text):
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    key = rsa.RSAPublicNumbers(number(keys["HCLAkPub"]["e"]), number(keys["HCLAkPub"]["n"])).public_key()
    check("azure: HCLAkPub is the AK", spki(key) == b64(doc["tpm"]["ak_pub"]))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("document")
    args.add_argument("--roots", required=True)
    args.add_argument("--magic", required=True)
    args.add_argument("--nonce", required=True)
    args.add_argument("--fresh", action="store_true")
    args.add_argument("--tls-spki-der")
    args = args.parse_args()
    with open(args.document, encoding="utf-8") as f:
        doc = json.load(f)
    with open(args.roots, "rb") as f:
        roots = pem_list(f.read())
    magic, nonce = args.magic.encode(), args.nonce.encode()
    check("document: version 1, emulated", doc["version"] == 1 and doc["platform"]["emulated"] is True)
    check("document: magic and nonce", b64(doc["magic"]) == magic and b64(doc["nonce"]) == nonce)
    check("document: one TEE", ("sev_snp" in doc) != ("tdx" in doc))
    body, ak, pcrs = None, None, None
    if "sev_snp" in doc:
        report_data = check_snp(doc["sev_snp"], roots)
    else:
        report_data, body = check_tdx(doc["tdx"], roots)
    if "tpm" in doc:
        ak, pcrs = check_tpm(doc["tpm"], magic, nonce)
        if "ak_cert" in doc["tpm"]:
            check_ak_cert(doc["tpm"], roots)
    if doc["platform"]["cloud"] == "azure":
        check_azure(doc, report_data)
        if args.fresh:
            user_data = json.loads(b64(doc["tpm"]["var_data"]))["user-data"]
            check("azure: fresh report is bound to the nonce",
                  bytes.fromhex(user_data) == sha256(magic + nonce) + bytes(32) and doc["tpm"]["report"] == "fresh")
    else:
        first = sha256(ak) if ak else bytes(32)
        check("binding: report_data is SHA-256(ak_pub) and SHA-256(magic, nonce)",
              report_data == first + sha256(magic + nonce))
    check_logs(doc, pcrs, body)
    journal = doc["journal_log"]
    check("journal: begins with a TLS key", bool(journal) and journal[0]["type"] == "tls-key")
    if args.tls_spki_der:
        with open(args.tls_spki_der, "rb") as f:
            key = f.read()
        check("tls: key of the server is the one in the document", doc["tls_spki_sha256"] == sha256(key).hex())
        keys = [e for e in journal if e["type"] == "tls-key"]
        check("tls: key is the journal's last", keys[-1]["content_sha384"] == hashlib.sha384(key).hexdigest())
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'all checks hold'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

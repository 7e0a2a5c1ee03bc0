#!/usr/bin/python3
"""Judges what an emulated platform produced, with python3-cryptography and none of this project's code.

usage: check_emulator.py FOLDER   (files as tests/integration/test_emulator.c writes them)
Prints one line a check; exit 0 when all hold. Formats: AMD 56860, 56421 and 57230; Intel DCAP quote formats 4 and 5,
PCS API 4; recorded Azure HCL reports; TCG PC Client Platform Firmware Profile 1.05.
"""
import base64
import hashlib
import json
import pathlib
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

folder = pathlib.Path(sys.argv[1])
failed = []


def check(name, holds, detail=""):
    print(f"{'ok  ' if holds else 'FAIL'} {name} {detail}")
    if not holds:
        failed.append(name)


def has(name):
    return (folder / name).exists()


def load(name):
    return (folder / name).read_bytes()


def pem_list(data):
    end = b"-----END CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(p + end) for p in data.split(end) if b"BEGIN CERTIFICATE" in p]


def holds(fn):
    try:
        fn()
        return True
    except Exception as e:  # noqa: BLE001 - any failure is the answer
        print("     ", type(e).__name__, e)
        return False


def verify_tbs(key, signature, tbs, oid, algorithm):
    if isinstance(key, rsa.RSAPublicKey):
        if oid == "1.2.840.113549.1.1.10":
            key.verify(signature, tbs, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
        else:
            key.verify(signature, tbs, padding.PKCS1v15(), algorithm)
    else:
        key.verify(signature, tbs, ec.ECDSA(algorithm))


def signed_by(thing, issuer):
    tbs = thing.tbs_certificate_bytes if isinstance(thing, x509.Certificate) else thing.tbs_certlist_bytes
    oid = thing.signature_algorithm_oid.dotted_string
    pss = oid == "1.2.840.113549.1.1.10"
    algorithm = None if pss else thing.signature_hash_algorithm
    return thing.issuer == issuer.subject and holds(
        lambda: verify_tbs(issuer.public_key(), thing.signature, tbs, oid, algorithm))


def p256_raw(key, raw, data):
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"))
    return holds(lambda: key.verify(der, data, ec.ECDSA(hashes.SHA256())))


def p256_key(xy):
    return ec.EllipticCurvePublicNumbers(int.from_bytes(xy[:32], "big"), int.from_bytes(xy[32:], "big"),
                                         ec.SECP256R1()).public_key()


def extension(cert, oid):
    try:
        return cert.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value.value
    except x509.ExtensionNotFound:
        return None


def organisation(cert):
    return cert.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value


ROOTS = pem_list(load("roots.pem"))
SHAPE = load("shape").decode()
REPORT_DATA = load("report_data") if has("report_data") else None
check("roots carry the emulator's name", all(organisation(c) == "cvm-agent emulator" for c in ROOTS))
check("roots sign themselves", all(signed_by(c, c) for c in ROOTS))


# ---- SEV-SNP ----

def tlv_int(raw):
    assert raw[0] == 2 and raw[1] == len(raw) - 2
    return int.from_bytes(raw[2:], "big", signed=True)


def table_entries(table):
    guids = {"63da758de6644564adc5f4b93be8accd": "vcek", "a8074bc2a25a483eaae639c045a0b8a1": "vlek",
             "4ab7b379bbac4fe4a02f05aef327c782": "ask", "c0b406a4a80349529743 3fb6014cd0ae".replace(" ", ""): "ark"}
    out, at = {}, 0
    while table[at:at + 24] != bytes(24):
        offset, size = struct.unpack_from("<II", table, at + 16)
        out[guids[table[at:at + 16].hex()]] = x509.load_der_x509_certificate(table[offset:offset + size])
        at += 24
    return out


PRODUCTS = {(0x19, 0x01): "Milan", (0x19, 0x11): "Genoa", (0x1A, 0x02): "Turin"}


def check_snp_report(name, report, chain, report_data, vmpl):
    leaf, signer, ark = chain
    u = lambda off, n: int.from_bytes(report[off:off + n], "little")  # noqa: E731
    product = PRODUCTS[(report[0x188], report[0x189])]
    turin = product == "Turin"
    check(f"{name}: size and version", len(report) == 1184 and u(0, 4) in (3, 4, 5), f"v{u(0, 4)} {product}")
    check(f"{name}: algorithm, policy bit 17, no debug", u(0x34, 4) == 1 and u(8, 8) >> 17 & 1 and not u(8, 8) >> 19 & 1)
    check(f"{name}: vmpl", u(0x30, 4) == vmpl)
    check(f"{name}: report data", report_data is None or report[0x50:0x90] == report_data)
    der = encode_dss_signature(u(0x2A0, 72), u(0x2E8, 72))
    check(f"{name}: signature", holds(lambda: leaf.public_key().verify(der, report[:0x2A0], ec.ECDSA(hashes.SHA384()))))
    check(f"{name}: rest of the signature is zero", report[0x330:] == bytes(368) and report[0x2A0 + 48:0x2E8] == bytes(24))
    check(f"{name}: chain", signed_by(leaf, signer) and signed_by(signer, ark) and ark in ROOTS)
    vlek = u(0x48, 4) >> 2 & 7 == 1
    cn = lambda c: c.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value  # noqa: E731
    check(f"{name}: names", cn(ark) == f"ARK-{product}" and cn(signer) == f"SEV-{'VLEK-' if vlek else ''}{product}"
          and cn(leaf) == ("SEV-VLEK" if vlek else "SEV-VCEK"))
    amd = "1.3.6.1.4.1.3704.1."
    tcb = report[0x180:0x188]
    spl = {"3.9": 0, "3.1": 1, "3.2": 2, "3.3": 3, "3.8": 7} if turin else {"3.1": 0, "3.2": 1, "3.3": 6, "3.8": 7}
    check(f"{name}: SPLs equal the reported TCB", all(tlv_int(extension(leaf, amd + k)) == tcb[i] for k, i in spl.items()))
    ia5 = bytes([0x16, len(product)]) + product.encode()
    check(f"{name}: product name and struct version", extension(leaf, amd + "2") == ia5
          and extension(leaf, amd + "1") == bytes([2, 1, 1 if turin else 0]))
    hwid, csp = extension(leaf, amd + "4"), extension(leaf, amd + "5")
    chip = report[0x1A0:0x1E0]
    if vlek:
        check(f"{name}: VLEK", hwid is None and chip == bytes(64) and csp[0] == 0x16 and csp[2:].startswith(b"CN=cc-"))
    else:
        check(f"{name}: hardware id", csp is None and chip == hwid.ljust(64, b"\0") and len(hwid) == (8 if turin else 64))
    check(f"{name}: leaf is P-384, CAs are RSA-4096", leaf.public_key().curve.name == "secp384r1"
          and signer.public_key().key_size == ark.public_key().key_size == 4096)


if has("report.bin"):
    chain = pem_list(load("kds_chain.pem"))
    certs = [x509.load_der_x509_certificate(load("vcek.der"))] if has("vcek.der") else []
    table = table_entries(load("auxblob.bin")) if has("auxblob.bin") and load("auxblob.bin") else {}
    if not certs:
        certs = [table["vlek"]]
    if "ask" in table:
        check("certificate table equals the KDS", [table["vcek"], table["ask"], table["ark"]] == certs + chain)
    check_snp_report("snp", load("report.bin"), certs + chain, REPORT_DATA, 0)
    crl = x509.load_der_x509_crl(load("kds_crl.der"))
    check("snp: CRL by the ARK, revokes nothing", signed_by(crl, chain[1]) and len(crl) == 0)


# ---- TDX ----

def check_quote(name, quote, report_data):
    version = struct.unpack_from("<H", quote, 0)[0]
    check(f"{name}: header", version in (4, 5) and quote[2:8] == bytes([2, 0, 0x81, 0, 0, 0]), f"v{version}")
    at, body_size = 48, 584
    if version == 5:
        kind, body_size = struct.unpack_from("<HI", quote, 48)
        at = 54
        check(f"{name}: TD 1.5 body", (kind, body_size) == (3, 648))
    body, signed = quote[at:at + body_size], quote[:at + body_size]
    n = struct.unpack_from("<I", quote, at + body_size)[0]
    data = quote[at + body_size + 4:at + body_size + 4 + n]
    check(f"{name}: only zeros follow", len(data) == n and not any(quote[at + body_size + 4 + n:]))
    check(f"{name}: report data", report_data is None or body[0x208:0x248] == report_data)
    check(f"{name}: not debug", body[0x78] == 0)
    check(f"{name}: quote signature", p256_raw(p256_key(data[64:128]), data[:64], signed))
    kind, size = struct.unpack_from("<HI", data, 128)
    inner = data[134:]
    check(f"{name}: certification data 6 fills the rest", kind == 6 and size == len(inner))
    qe, qe_sig = inner[:384], inner[384:448]
    auth_n = struct.unpack_from("<H", inner, 448)[0]
    auth = inner[450:450 + auth_n]
    kind, size = struct.unpack_from("<HI", inner, 450 + auth_n)
    pem = inner[456 + auth_n:]
    check(f"{name}: PCK chain 5 fills the rest", kind == 5 and size == len(pem))
    pck, ca, root = pem_list(pem)
    check(f"{name}: QE report signature", p256_raw(pck.public_key(), qe_sig, qe))
    bound = hashlib.sha256(data[64:128] + auth).digest() + bytes(32)
    check(f"{name}: QE binds the attestation key", qe[0x140:0x180] == bound)
    check(f"{name}: PCK chain", signed_by(pck, ca) and signed_by(ca, root) and root in ROOTS)
    return body, qe, pck, ca, root


def der_items(raw):
    """The elements of a DER SEQUENCE's content: (tag, content)."""
    at = 0
    while at < len(raw):
        tag, n, at = raw[at], raw[at + 1], at + 2
        if n & 0x80:
            width = n & 0x7F
            n, at = int.from_bytes(raw[at:at + width], "big"), at + width
        yield tag, raw[at:at + n]
        at += n


def sgx_values(pck):
    (_, content), = der_items(extension(pck, "1.2.840.113741.1.13.1"))
    out = {}
    for _, pair in der_items(content):
        (_, oid), value = der_items(pair)
        if oid[-1] == 2:
            for i, (_, inner) in enumerate(der_items(value[1])):
                out[f"2.{i + 1}"] = list(der_items(inner))[1][1]
        else:
            out[str(oid[-1])] = value[1]
    return out


def signed_json(raw, key_name, key):
    head = b'{"%s":' % key_name
    inner, tail = raw[len(head):-len(b',"signature":""}') - 128], raw[-len(b',"signature":""}') - 128:]
    ok = raw.startswith(head) and tail.startswith(b',"signature":"') and tail.endswith(b'"}')
    signature = bytes.fromhex(json.loads(raw)["signature"])
    return ok and p256_raw(key, signature, inner) and json.loads(inner) == json.loads(raw)[key_name.decode()]


def check_collateral(body, qe, pck, ca, root):
    signing, signing_root = pem_list(load("tcb_signing_chain.pem"))
    check("tdx: TCB signing chain", signed_by(signing, root) and signing_root == root)
    check("tdx: PCK CRL issuer chain", pem_list(load("pck_crl_issuer_chain.pem")) == [ca, root])
    pck_crl, root_crl = (x509.load_der_x509_crl(load(f)) for f in ("pck_crl.der", "root_ca_crl.der"))
    check("tdx: CRLs", signed_by(pck_crl, ca) and signed_by(root_crl, root)
          and not pck_crl.get_revoked_certificate_by_serial_number(pck.serial_number))
    check("tdx: TCB info signature over its bytes", signed_json(load("tcb_info.json"), b"tcbInfo", signing.public_key()))
    check("tdx: QE identity signature", signed_json(load("qe_identity.json"), b"enclaveIdentity", signing.public_key()))
    info, identity = json.loads(load("tcb_info.json"))["tcbInfo"], json.loads(load("qe_identity.json"))["enclaveIdentity"]
    sgx = sgx_values(pck)
    check("tdx: FMSPC, PCE id", bytes.fromhex(info["fmspc"]) == sgx["4"] and bytes.fromhex(info["pceId"]) == sgx["3"])
    svns = [int.from_bytes(sgx[f"2.{i}"], "big") for i in range(1, 17)]
    check("tdx: CPUSVN is the components", sgx["2.18"] == bytes(svns))
    pce, tee = int.from_bytes(sgx["2.17"], "big"), body[:16]
    level = next(lv for lv in info["tcbLevels"]
                 if all(a >= b["svn"] for a, b in zip(svns, lv["tcb"]["sgxtcbcomponents"])) and pce >= lv["tcb"]["pcesvn"]
                 and all(tee[i] >= lv["tcb"]["tdxtcbcomponents"][i]["svn"] for i in range(2, 16)))
    module = next(m for m in info["tdxModuleIdentities"] if m["id"] == f"TDX_{tee[1]:02X}")
    status = next(lv["tcbStatus"] for lv in module["tcbLevels"] if tee[0] >= lv["tcb"]["isvsvn"])
    check("tdx: by Intel's rules UpToDate", level["tcbStatus"] == status == "UpToDate")
    check("tdx: module signer", bytes.fromhex(module["mrsigner"]) == body[0x40:0x70])
    mask, want = (bytes.fromhex(identity[k]) for k in ("attributesMask", "attributes"))
    svn, prod = struct.unpack_from("<H", qe, 0x102)[0], struct.unpack_from("<H", qe, 0x100)[0]
    check("tdx: QE identity", bytes(a & m for a, m in zip(qe[0x30:0x40], mask)) == want and prod == identity["isvprodid"]
          and bytes.fromhex(identity["mrsigner"]) == qe[0x80:0xA0] and svn >= identity["tcbLevels"][0]["tcb"]["isvsvn"])


QUOTE_BODY = None
if has("quote.bin"):
    parts = check_quote("tdx", load("quote.bin"), REPORT_DATA)
    QUOTE_BODY = parts[0]
    check_collateral(*parts)
    if SHAPE == "gcp-tdx":
        check("tdx: 8000-byte buffer", len(load("quote.bin")) == 8000)


# ---- Azure ----

def jwk_modulus(key):
    return base64.urlsafe_b64decode(key["n"] + "=" * (-len(key["n"]) % 4))


def check_hcl(name, user_data):
    nv = load(f"{name}.bin")
    version, used, request = struct.unpack_from("<III", nv, 4)
    size, data_version, kind, hash_kind, json_size = struct.unpack_from("<IIIII", nv, 0x4C0)
    text = nv[0x4D4:0x4D4 + json_size]
    check(f"{name}: header", nv[:4] == b"HCLA" and version == 2 and request == 2 and used == 0x20 + 0x4A0 + size
          and size == 20 + json_size and data_version == 1 and hash_kind == 1 and len(nv) == 2600)
    check(f"{name}: zeros after the JSON", not any(nv[0x4D4 + json_size:]))
    report, doc = nv[0x20:0x4C0], json.loads(text)
    bound = hashlib.sha256(text).digest() + bytes(32)
    check(f"{name}: user data", doc["user-data"] == user_data.hex().upper())
    ak, ek = doc["keys"]
    check(f"{name}: keys", (ak["kid"], ek["kid"]) == ("HCLAkPub", "HCLEkPub") and ak["e"] == "AQAB"
          and jwk_modulus(ak) in load("ak_public.bin") and len(jwk_modulus(ek)) == 256)
    if kind == 2:
        thim = json.loads(load("thim.json"))
        chain = pem_list(thim["vcekCert"].encode()) + pem_list(thim["certificateChain"].encode())
        check(f"{name}: tcbm", bytes.fromhex(thim["tcbm"])[::-1] == report[0x180:0x188])
        check_snp_report(name, report, chain, bound, 0)
    else:
        check(f"{name}: TDREPORT", kind == 4 and report[:4] == b"\x81\0\0\0" and report[0x80:0xC0] == bound
              and report[0x20:0x50] == hashlib.sha384(report[0x100:0x100 + 239]).digest()
              and report[0x50:0x80] == hashlib.sha384(report[0x200:0x400]).digest() and not any(report[1024:]))
        body, *_ = check_quote(f"{name} quote", load(f"{name}_quote.bin"), bound)
        check(f"{name}: quote of the same TD, RTMRs zero", body[0x88:0xB8] == report[0x210:0x240]
              and body[0x148:0x208] == bytes(192) and body[0x78:0x88] == report[0x200:0x210])
    return jwk_modulus(ak)


if has("hcl.bin"):
    modulus = check_hcl("hcl", bytes(64))
    check("hcl: the same AK after a refresh", check_hcl("hcl_fresh", load("user_data")) == modulus)
    padded = load("nv_01c101d0.bin")
    size = 4 + struct.unpack_from(">H", padded, 2)[0]
    check("azure: only zeros follow", not any(padded[size:]) and len(padded) == 2048)
    ak_cert = x509.load_der_x509_certificate(padded[:size])
    check("azure: AK certificate is over HCLAkPub, by the emulated CA",
          ak_cert.public_key().public_numbers().n == int.from_bytes(modulus, "big")
          and any(signed_by(ak_cert, r) for r in ROOTS))


# ---- Google ----

if has("nv_01c10000.bin"):
    middle = x509.load_der_x509_certificate(load("google_intermediate.der"))
    check("gcp: intermediate under the root", any(signed_by(middle, r) for r in ROOTS))
    for index, key_file in (("01c10000", "ak_rsa_public.bin"), ("01c10002", "ak_ecc_public.bin")):
        cert = x509.load_der_x509_certificate(load(f"nv_{index}.bin"))
        numbers, area = cert.public_key().public_numbers(), load(key_file)
        mine = numbers.n.to_bytes(256, "big") if hasattr(numbers, "n") else numbers.x.to_bytes(32, "big")
        check(f"gcp: {index} is over the key of its template", mine in area and signed_by(cert, middle))
        (_, info), = der_items(extension(cert, "1.3.6.1.4.1.11129.2.1.21"))
        zone, number, project, instance, vm, (tag, security) = der_items(info)
        check(f"gcp: {index} instance info", (zone[0], number[0], project[0], instance[0], vm[0], tag)
              == (0x0C, 2, 0x0C, 2, 0x0C, 0xA0) and vm[1].decode() == SHAPE)
        (_, properties), = der_items(security)
        check(f"gcp: {index} is marked as production", list(der_items(properties))[1] == (0xA1, b"\x01\x01\xff"))


# ---- Boot logs ----

HASHES = {4: ("sha1", 20), 0x0B: ("sha256", 32), 0x0C: ("sha384", 48), 0x0D: ("sha512", 64), 0x12: ("sm3", 32)}
SELF_DESCRIBING = {4, 8, 0x11, 0x80000001, 0x80000002, 0x80000006, 0x80000007, 0x800000E0}


def replay(log):
    index, kind, size = struct.unpack_from("<II20xI", log, 0)
    spec = log[32:32 + size]
    assert kind == 3 and spec[:16] == b"Spec ID Event03\0"
    count = struct.unpack_from("<I", spec, 24)[0]
    algs = [struct.unpack_from("<HH", spec, 28 + 4 * i) for i in range(count)]
    assert 28 + 4 * count + 1 == size and all(HASHES[a][1] == n for a, n in algs)
    at, values, honest = 32 + size, {}, True
    while at < len(log) and log[at:at + 8] != b"\xff" * 8:
        index, kind, n = struct.unpack_from("<III", log, at)
        at += 12
        assert n == count
        digests = []
        for a, width in algs:
            assert struct.unpack_from("<H", log, at)[0] == a
            digests.append((a, log[at + 2:at + 2 + width]))
            at += 2 + width
        size = struct.unpack_from("<I", log, at)[0]
        data = log[at + 4:at + 4 + size]
        at += 4 + size
        for a, digest in digests:
            h = HASHES[a][0]
            old = values.get((a, index), bytes(HASHES[a][1]))
            values[(a, index)] = hashlib.new(h, old + digest).digest()
            if kind in SELF_DESCRIBING:
                honest = honest and hashlib.new(h, data).digest() == digest
    return values, honest, algs, log[at:]


if has("eventlog.bin"):
    values, honest, algs, rest = replay(load("eventlog.bin"))
    pcrs = {}
    for line in load("pcrs.txt").decode().split("\n"):
        if line:
            alg, index, value = line.split()
            pcrs[(int(alg), int(index))] = bytes.fromhex(value)
    banks = {a for a, _ in pcrs}
    check("log: the TPM's active banks", {a for a, _ in algs} == banks and rest == b"", str(sorted(banks)))
    check("log: digests cover what they must", honest)
    for bank in sorted(banks):
        start = {i: b"\xff" * HASHES[bank][1] if 17 <= i <= 22 else bytes(HASHES[bank][1]) for i in range(24)}
        check(f"log: replay equals the PCRs of bank {HASHES[bank][0]}",
              all(pcrs[(bank, i)] == values.get((bank, i), start[i]) for i in range(24)))
    check("log: measured registers", {i for _, i in values} == {0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12})

if has("ccel.bin"):
    values, honest, algs, rest = replay(load("ccel.bin"))
    check("ccel: one SHA-384 bank, 0xFF to the end", algs == [(0x0C, 48)] and set(rest) == {0xFF} and honest)
    check("ccel: replay equals RTMR0 to 2, RTMR3 is zero",
          QUOTE_BODY[0x148:0x208] == b"".join(values[(0x0C, i)] for i in (1, 2, 3)) + bytes(48))
    acpi = load("ccel_table.bin")
    check("ccel: ACPI table", acpi[:8] == b"CCEL\x38\0\0\0" and sum(acpi) % 256 == 0 and acpi[0x24] == 2
          and struct.unpack_from("<Q", acpi, 0x28)[0] == len(load("ccel.bin")))

print(f"{SHAPE}: {len(failed)} of the checks failed" if failed else f"{SHAPE}: all checks hold")
sys.exit(1 if failed else 0)

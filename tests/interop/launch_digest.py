#!/usr/bin/python3
"""What the hardware measures of a firmware before the first instruction, computed with hashlib and none of this
project's code: the launch digest of SEV-SNP and MRTD of TDX. Sources: AMD 56860 (PAGE_INFO), AMD64 APM volume 2
(table B-4), EDK II (OvmfSevMetadata.asm, IntelTdxMetadata.asm), Intel 348551 (TDH.MEM.PAGE.ADD, TDH.MR.EXTEND).

usage: launch_digest.py make FILE                     writes a small firmware with all the tables
       launch_digest.py snp FILE HOST VCPUS SIGNATURE FEATURES [KERNEL INITRD CMDLINE]
       launch_digest.py tdx FILE
"""
import hashlib
import struct
import sys
import uuid

PAGE = 4096
FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
RESET = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
HASHES = "7255371f-3a3b-4b04-927b-1da6efa8d454"
SEV = "dc886566-984a-4798-a75e-5585a7bf67cc"
TDX = "e47a6535-984a-4798-865e-4685a7bf8ec2"

# The addresses of EDK II's AmdSev build, which is the one that takes kernel hashes.
SEV_SECTIONS = [
    (0x800000, 0x9000, 1), (0x80A000, 0x3000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3),
    (0x80F000, 0x1000, 4), (0x810000, 0x1000, 0x10), (0x811000, 0xF000, 1),
]
TDX_SECTIONS = [
    (0x1000, 0x1000, 0xFFFFF000, 0x1000, 0, 1), (0, 0x1000, 0xFFFFE000, 0x1000, 1, 0),
    (0, 0, 0x810000, 0x10000, 3, 0), (0, 0, 0x80B000, 0x2000, 3, 0), (0, 0, 0x809000, 0x2000, 2, 0),
]


def make(sev=SEV_SECTIONS, tdx=TDX_SECTIONS, hashes=(0x810C00, 0x400), reset=0x80B004, pages=2):
    """A firmware of noise with the tables of OVMF at its end; None leaves a table out."""
    image = bytearray(b"".join(hashlib.sha512(struct.pack("<I", i)).digest() for i in range(pages * PAGE // 64)))
    blocks = []
    if tdx is not None:
        at = len(image) - 0x9D0
        image[at:at + 16 + 32 * len(tdx)] = struct.pack("<4sIII", b"TDVF", 16 + 32 * len(tdx), 1, len(tdx)) + b"".join(
            struct.pack("<IIQQII", *s) for s in tdx)
        blocks.append((TDX, struct.pack("<I", 0x9D0)))
    if sev is not None:
        at = len(image) - 0x554
        image[at:at + 16 + 12 * len(sev)] = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sev), 1, len(sev)) + b"".join(
            struct.pack("<III", *s) for s in sev)
        blocks.append((SEV, struct.pack("<I", 0x554)))
    if hashes is not None:
        blocks.append((HASHES, struct.pack("<II", *hashes)))
    if reset is not None:
        blocks.append((RESET, struct.pack("<I", reset)))
    table = b"".join(body + struct.pack("<H", len(body) + 18) + uuid.UUID(name).bytes_le for name, body in blocks)
    table += struct.pack("<H", len(table) + 18) + uuid.UUID(FOOTER).bytes_le
    image[len(image) - 32 - len(table):len(image) - 32] = table
    return bytes(image)


def blocks_of(image):
    end = len(image) - 32
    if image[end - 16:end] != uuid.UUID(FOOTER).bytes_le:
        return {}
    start = end - int.from_bytes(image[end - 18:end - 16], "little")
    found, end = {}, end - 18
    while end > start:
        length = int.from_bytes(image[end - 18:end - 16], "little")
        found[str(uuid.UUID(bytes_le=image[end - 16:end]))] = image[end - length:end - 18]
        end -= length
    return found


# Offsets in the save area: size and what QEMU, EC2 and GCE put there.
def save_area(host, eip, signature, features):
    first = eip == 0xFFFFFFF0
    rights = {"es": 0x93, "cs": 0x9B, "ss": 0x93, "ds": 0x93, "fs": 0x93, "gs": 0x93, "gdtr": 0, "ldtr": 0x82,
              "idtr": 0, "tr": 0x8B}
    if host == "ec2":
        rights |= {"ss": 0x92, "tr": 0x83} | ({"cs": 0x9A} if first else {})
    area = b""
    for name, right in rights.items():
        area += struct.pack("<HHIQ", 0xF000 if name == "cs" else 0, right, 0xFFFF,
                            eip & 0xFFFF0000 if name == "cs" else 0)
    area = bytearray(area.ljust(PAGE, b"\0"))
    fields = {0xD0: 0x1000, 0x148: 0x40, 0x158: 0x10, 0x160: 0x400, 0x168: 0xFFFF0FF0, 0x170: 2, 0x178: eip & 0xFFFF,
              0x268: 0x70106 if host == "gce" else 0x7040600070406, 0x310: signature if host == "qemu" else 0x600,
              0x3B0: features, 0x3E8: 1, 0x408: 0x1F80 if host == "qemu" else 0, 0x410: 0x37F if host == "qemu" else 0}
    for at, value in fields.items():
        struct.pack_into("<Q", area, at, value)
    return bytes(area)


def hash_table(kernel, initrd, cmdline):
    entries = (("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline + b"\0"),
               ("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd), ("4de79437-abd2-427f-b835-d5b172d2045b", kernel))
    return uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168) + b"".join(
        uuid.UUID(name).bytes_le + struct.pack("<H", 50) + hashlib.sha256(data).digest() for name, data in entries)


def snp_pages(image, host, vcpus, signature, features, boot=None):
    """(type, address, bytes or None) of every page, in the order of measuring."""
    blocks = blocks_of(image)
    base = 2 ** 32 - len(image)
    for at in range(0, len(image), PAGE):
        yield 1, base + at, image[at:at + PAGE]
    start = len(image) - struct.unpack("<I", blocks[SEV])[0]
    count = struct.unpack_from("<I", image, start + 12)[0]
    sections = [struct.unpack_from("<III", image, start + 16 + 12 * i) for i in range(count)]
    if host == "ec2":
        sections.sort(key=lambda s: s[2] == 3)
    for gpa, size, kind in sections:
        for at in range(0, size, PAGE):
            if kind == 0x10 and boot:
                offset = struct.unpack("<II", blocks[HASHES])[0] - gpa
                yield 1, gpa, (bytes(offset) + hash_table(*boot)).ljust(PAGE, b"\0")
            else:
                yield {1: 4 if host == "gce" else 3, 2: 5, 3: 6, 4: 3, 0x10: 3}[kind], gpa + at, None
    for i in range(vcpus):
        eip = struct.unpack("<I", blocks[RESET])[0] if i else 0xFFFFFFF0
        yield 2, 0xFFFFFFFFF000, save_area(host, eip, signature, features)


def snp(*args, **named):
    digest = bytes(48)
    for kind, gpa, data in snp_pages(*args, **named):
        contents = bytes(48) if data is None else hashlib.sha384(data).digest()
        digest = hashlib.sha384(digest + contents + struct.pack("<HBBIQ", 0x70, kind, 0, 0, gpa)).digest()
    return digest.hex()


def tdx(image):
    start = len(image) - struct.unpack("<I", blocks_of(image)[TDX])[0]
    mrtd = hashlib.sha384()
    for i in range(struct.unpack_from("<I", image, start + 12)[0]):
        offset, _, gpa, size, _, attributes = struct.unpack_from("<IIQQII", image, start + 16 + 32 * i)
        for page in range(0, size, PAGE):
            mrtd.update(struct.pack("<16sQ104x", b"MEM.PAGE.ADD", gpa + page))
            for chunk in range(page, page + PAGE if attributes & 1 else page, 256):
                mrtd.update(struct.pack("<16sQ104x", b"MR.EXTEND", gpa + chunk))
                mrtd.update(image[offset + chunk:offset + chunk + 256])
    return mrtd.hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def main(args):
    if args[0] == "make":
        with open(args[1], "wb") as f:
            f.write(make())
    elif args[0] == "tdx":
        print(tdx(read(args[1])))
    else:
        boot = (read(args[6]), read(args[7]), args[8].encode()) if len(args) > 6 else None
        print(snp(read(args[1]), args[2], int(args[3]), int(args[4], 0), int(args[5], 0), boot))


if __name__ == "__main__":
    main(sys.argv[1:])

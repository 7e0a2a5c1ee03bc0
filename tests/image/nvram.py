"""EFI variables written into a variable store from outside, as a hostile host can.
Source: EDK II MdeModulePkg/Include/Guid/VariableFormat.h; UEFI 2.10, sections 3.1.3 and 10.3."""
import struct
import uuid

STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
SYSTEMD = uuid.UUID("8cf2644b-4b0b-428f-9387-6d876050dc67").bytes_le
HEADER = struct.Struct("<HBBIQ16sIII16s")
KEPT = 7  # non-volatile, in the firmware and afterwards
SIGNED = 0x20  # written with a signature and a time only
IMAGE_SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
OWNER = uuid.UUID("5c1ab4c5-08ae-4b5b-9f4c-5b2bd2a5a0a1").bytes_le


def wide(text):
    return text.encode("utf-16-le") + b"\0\0"


def add(store, guid, name, data, attributes=KEPT):
    """Appends one variable behind the last one."""
    at = store.index(STORE)
    end = at + struct.unpack_from("<I", store, at + 16)[0]
    at += 28
    while struct.unpack_from("<H", store, at)[0] == 0x55AA:
        fields = HEADER.unpack_from(store, at)
        at += HEADER.size + fields[7] + fields[8]
        at += -at % 4
    text = wide(name)
    entry = HEADER.pack(0x55AA, 0x3F, 0, attributes, 0, bytes(16), 0, len(text), len(data), guid) + text + data
    assert at + len(entry) <= end, "the variable store is full"
    return store[:at] + entry + store[at + len(entry):]


def boot_entry(partition, path, optional):
    """An active boot option for a file on a partition (GPT: guid, number, first and count of sectors) with optional data."""
    guid, number, first, count = partition
    disk = struct.pack("<BBHIQQ16sBB", 4, 1, 42, number, first, count, guid, 2, 2)
    file = wide(path)
    file = struct.pack("<BBH", 4, 4, 4 + len(file)) + file
    paths = disk + file + struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<IH", 1, len(paths)) + wide("swapped") + paths + optional


def esp(disk):
    """guid, number, first sector, sectors of the first partition."""
    with open(disk, "rb") as f:
        f.seek(1024)
        entry = f.read(128)
    first, last = struct.unpack_from("<QQ", entry, 32)
    return entry[16:32], 1, first, last - first + 1


def swap_cmdline(disk, cmdline):
    """The store with a first boot entry that gives the image another command line."""
    entry = boot_entry(esp(disk), "\\EFI\\BOOT\\BOOTX64.EFI", wide(cmdline))

    def change(store):
        store = add(store, GLOBAL, "Boot00AA", entry)
        return add(store, GLOBAL, "BootOrder", struct.pack("<H", 0xAA))
    return change


def systemd_options(text):
    return lambda store: add(store, SYSTEMD, "SystemdOptions", wide(text))


def signature_database(certificate):
    """The variable db with one X.509 certificate (DER), whose owner is nobody: an EFI_SIGNATURE_LIST."""
    data = bytes(16) + certificate
    listed = X509 + struct.pack("<III", 28 + len(data), 0, len(data)) + data
    return lambda store: add(store, SECURITY, "db", listed)


def signature_list(certificate):
    """An EFI_SIGNATURE_LIST with one certificate in DER."""
    return X509 + struct.pack("<III", 28 + 16 + len(certificate), 0, 16 + len(certificate)) + OWNER + certificate


def enroll(pk, kek, db, dbx=b""):
    """Secure Boot with these keys, lists each; an empty one is not written."""
    def change(store):
        for guid, name, data in ((GLOBAL, "PK", pk), (GLOBAL, "KEK", kek), (IMAGE_SECURITY, "db", db), (IMAGE_SECURITY, "dbx", dbx)):
            if data:
                store = add(store, guid, name, data, KEPT | SIGNED)
        return store
    return change

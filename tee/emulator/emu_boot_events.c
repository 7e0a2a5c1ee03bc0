#include "tee/emulator/emu_boot_events.h"

#include "base/auto.h"
#include "tee/emulator/pki.h"

#include <string.h>

#define EVENT_MAX 8192

/* Event types, PC Client Platform Firmware Profile, table 27. */
enum {
    TYPE_SEPARATOR = 0x04,
    TYPE_EVENT_TAG = 0x06,
    TYPE_S_CRTM_VERSION = 0x08,
    TYPE_PLATFORM_CONFIG_FLAGS = 0x0A,
    TYPE_IPL = 0x0D,
    TYPE_NONHOST_INFO = 0x11
};
#define TYPE_VARIABLE_DRIVER_CONFIG 0x80000001u
#define TYPE_VARIABLE_BOOT          0x80000002u
#define TYPE_BOOT_APPLICATION       0x80000003u
#define TYPE_GPT                    0x80000006u
#define TYPE_ACTION                 0x80000007u
#define TYPE_FIRMWARE_BLOB2         0x8000000Au
#define TYPE_VARIABLE_AUTHORITY     0x800000E0u

#define CMDLINE "console=ttyS0 ro root=/dev/mapper/root roothash=emulated panic=0"

struct list {
    boot_visit_fn *visit;
    void *arg;
    struct err *err;
    int rc;
    struct buf scratch;
};

static void event(struct list *l, unsigned pcr, uint32_t type, struct bytes data, struct bytes hashed)
{
    const struct boot_event e = { pcr, type, data, hashed };
    if (l->rc == 0)
        l->rc =
            l->scratch.failed ? buf_check(&l->scratch, "a boot event", l->err) : l->visit(l->arg, &e, l->err);
    l->scratch.n = 0;
}

/* The scratch buffer as an event whose digest covers its data. */
static void scratch_event(struct list *l, unsigned pcr, uint32_t type)
{
    struct bytes data = buf_bytes(&l->scratch);
    event(l, pcr, type, data, data);
}

static void text_event(struct list *l, unsigned pcr, uint32_t type, const char *text)
{
    event(l, pcr, type, bytes_str(text), bytes_str(text));
}

static void separator(struct list *l, unsigned pcr)
{
    event(l, pcr, TYPE_SEPARATOR, bytes_of("\0\0\0\0", 4), bytes_of("\0\0\0\0", 4));
}

static void put_utf16(struct buf *out, const char *ascii, bool end)
{
    for (; *ascii; ascii++)
        buf_u16le(out, (uint8_t)*ascii);
    if (end)
        buf_u16le(out, 0);
}

/* Bytes that stand for a file that the emulated machine does not really have. */
static struct bytes stand_in(const char *what, uint8_t out[static 48])
{
    char text[96];
    snprintf(text, sizeof(text), EMULATOR_ORGANISATION ": %s", what);
    sha384(bytes_str(text), out);
    return bytes_of(out, 48);
}

/* ---- UEFI variables ---- */

static const uint8_t global_guid[16] = { 0x61, 0xDF, 0xE4, 0x8B, 0xCA, 0x93, 0xD2, 0x11,
                                         0xAA, 0x0D, 0x00, 0xE0, 0x98, 0x03, 0x2B, 0x8C };
static const uint8_t security_guid[16] = { 0xCB, 0xB2, 0x19, 0xD7, 0x3A, 0x3D, 0x96, 0x45,
                                           0xA3, 0xBC, 0xDA, 0xD0, 0x0E, 0x67, 0x65, 0x6F };
/* EFI_CERT_RSA2048_GUID, EFI_CERT_SHA256_GUID and an owner of our own */
static const uint8_t rsa_guid[16] = { 0xE8, 0x66, 0x57, 0x3C, 0x9C, 0x26, 0x34, 0x4E,
                                      0xAA, 0x14, 0xED, 0x77, 0x6E, 0x85, 0xB3, 0xB6 };
static const uint8_t sha_guid[16] = { 0x26, 0x16, 0xC4, 0xC1, 0x4C, 0x50, 0x92, 0x40,
                                      0xAC, 0xA9, 0x41, 0xF9, 0x36, 0x93, 0x43, 0x28 };
static const uint8_t owner_guid[16] = { 0x63, 0x76, 0x6D, 0x2D, 0x65, 0x6D, 0x75, 0x4C,
                                        0x61, 0x74, 0x6F, 0x72, 0x6B, 0x65, 0x79, 0x73 };

static void put_variable(struct buf *out, const uint8_t guid[static 16], const char *name, struct bytes data)
{
    buf_put(out, bytes_of(guid, 16));
    buf_u64le(out, strlen(name));
    buf_u64le(out, data.n);
    put_utf16(out, name, false);
    buf_put(out, data);
}

/* One EFI_SIGNATURE_DATA: owner and key or hash. */
static void put_signature(struct buf *out, const char *name, size_t size)
{
    char text[64];
    uint8_t block[48];
    buf_put(out, bytes_of(owner_guid, sizeof(owner_guid)));
    for (size_t left = size, i = 0; left; i++) {
        size_t n = left < 32 ? left : 32;
        snprintf(text, sizeof(text), "signature list %s, block %zu", name, i);
        buf_put(out, bytes_of(stand_in(text, block).p, n));
        left -= n;
    }
}

/* EFI_SIGNATURE_LIST with one entry. */
static void put_signature_list(struct buf *out, const char *name, bool key)
{
    size_t size = key ? 256 : 32;
    buf_put(out, bytes_of(key ? rsa_guid : sha_guid, 16));
    buf_u32le(out, (uint32_t)(28 + 16 + size));
    buf_u32le(out, 0);
    buf_u32le(out, (uint32_t)(16 + size));
    put_signature(out, name, size);
}

static void secure_boot(struct list *l)
{
    static const struct {
        const uint8_t *guid;
        const char *name;
        bool key;
    } lists[] = { { global_guid, "PK", true },
                  { global_guid, "KEK", true },
                  { security_guid, "db", true },
                  { security_guid, "dbx", false } };
    put_variable(&l->scratch, global_guid, "SecureBoot", bytes_of("\1", 1));
    scratch_event(l, 7, TYPE_VARIABLE_DRIVER_CONFIG);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        AUTO(buf_done) struct buf data = buf_new(EVENT_MAX);
        put_signature_list(&data, lists[i].name, lists[i].key);
        put_variable(&l->scratch, lists[i].guid, lists[i].name, buf_bytes(&data));
        scratch_event(l, 7, TYPE_VARIABLE_DRIVER_CONFIG);
    }
    separator(l, 7);
}

static void authority(struct list *l)
{
    AUTO(buf_done) struct buf data = buf_new(EVENT_MAX);
    put_signature(&data, "db", 256);
    put_variable(&l->scratch, security_guid, "db", buf_bytes(&data));
    scratch_event(l, 7, TYPE_VARIABLE_AUTHORITY);
}

/* ---- The parts of a boot ---- */

static void firmware(struct list *l, const struct boot_facts *f)
{
    uint8_t blob[48];
    put_utf16(&l->scratch, f->firmware, true);
    scratch_event(l, 0, TYPE_S_CRTM_VERSION);
    if (f->gce_technology >= 0) {
        buf_put(&l->scratch, bytes_of("GCE NonHostInfo", 16));
        buf_u8(&l->scratch, (uint8_t)f->gce_technology);
        buf_fill(&l->scratch, 0, 15);
        scratch_event(l, 0, TYPE_NONHOST_INFO);
    } else { /* UEFI_PLATFORM_FIRMWARE_BLOB2: description, base, length */
        buf_u8(&l->scratch, 8);
        buf_str(&l->scratch, "EmuFv(0)");
        buf_u64le(&l->scratch, 0xFFC00000);
        buf_u64le(&l->scratch, 0x400000);
        event(l, 0, TYPE_FIRMWARE_BLOB2, buf_bytes(&l->scratch), stand_in(f->firmware, blob));
    }
}

static void configuration(struct list *l)
{
    uint8_t acpi[48];
    static const uint8_t order[2] = { 1, 0 };
    event(l, 1, TYPE_PLATFORM_CONFIG_FLAGS, bytes_str("ACPI DATA"), stand_in("ACPI tables", acpi));
    put_variable(&l->scratch, global_guid, "BootOrder", bytes_of(order, sizeof(order)));
    scratch_event(l, 1, TYPE_VARIABLE_BOOT);
    AUTO(buf_done) struct buf option = buf_new(EVENT_MAX);
    buf_u32le(&option, 1); /* EFI_LOAD_OPTION: active, path of 4 bytes: its end node */
    buf_u16le(&option, 4);
    put_utf16(&option, "Linux Boot Manager", true);
    buf_put(&option, bytes_of("\x7f\xff\x04\x00", 4));
    put_variable(&l->scratch, global_guid, "Boot0001", buf_bytes(&option));
    scratch_event(l, 1, TYPE_VARIABLE_BOOT);
    text_event(l, 4, TYPE_ACTION, "Calling EFI Application from Boot Option");
    for (unsigned pcr = 0; pcr < 7; pcr++)
        separator(l, pcr);
}

static void partition_table(struct list *l)
{
    struct buf *s = &l->scratch;
    uint8_t id[48];
    buf_put(s, bytes_of("EFI PART\0\0\1\0\x5C\0\0\0", 16));
    buf_fill(s, 0, 8);      /* CRC, reserved */
    buf_u64le(s, 1);        /* this header, */
    buf_u64le(s, 0x3FFFFF); /* its copy, */
    buf_u64le(s, 34);       /* first and last usable block */
    buf_u64le(s, 0x3FFFDE);
    buf_put(s, bytes_of(stand_in("disk", id).p, 16));
    buf_u64le(s, 2);
    buf_u32le(s, 128);
    buf_u32le(s, 128);
    buf_u32le(s, 0);
    buf_u64le(s, 1); /* one partition in use: the EFI system partition */
    static const uint8_t esp[16] = { 0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11,
                                     0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B };
    buf_put(s, bytes_of(esp, sizeof(esp)));
    buf_put(s, bytes_of(stand_in("EFI system partition", id).p, 16));
    buf_u64le(s, 2048);
    buf_u64le(s, 0x7FFFF);
    buf_u64le(s, 0);
    put_utf16(s, "esp", false);
    buf_fill(s, 0, 72 - 6);
    scratch_event(l, 5, TYPE_GPT);
}

static void boot_image(struct list *l)
{
    uint8_t image[48];
    struct buf *s = &l->scratch;
    buf_u64le(s, 0xBC800018); /* UEFI_IMAGE_LOAD_EVENT: address, length, link address, path */
    buf_u64le(s, 0x4000000);
    buf_u64le(s, 0);
    AUTO(buf_done) struct buf path = buf_new(EVENT_MAX);
    put_utf16(&path, "\\EFI\\BOOT\\BOOTX64.EFI", true);
    buf_u64le(s, path.n + 8);
    buf_put(s, bytes_of("\4\4", 2)); /* file path node */
    buf_u16le(s, (uint16_t)(path.n + 4));
    buf_put(s, buf_bytes(&path));
    buf_put(s, bytes_of("\x7f\xff\x04\x00", 4));
    event(l, 4, TYPE_BOOT_APPLICATION, buf_bytes(s), stand_in("unified kernel image", image));
}

/* systemd-stub: for each section its name with the NUL, then its content. */
static void image_sections(struct list *l)
{
    static const char *const sections[] = { ".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat" };
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        uint8_t content[48];
        put_utf16(&l->scratch, sections[i], true);
        event(l, 11, TYPE_IPL, buf_bytes(&l->scratch), bytes_of(sections[i], strlen(sections[i]) + 1));
        put_utf16(&l->scratch, sections[i], true);
        event(l, 11, TYPE_IPL, buf_bytes(&l->scratch), stand_in(sections[i], content));
    }
}

static void put_tagged(struct buf *out, uint32_t id, const char *text)
{
    buf_u32le(out, id);
    buf_u32le(out, (uint32_t)strlen(text) + 1);
    buf_put(out, bytes_of(text, strlen(text) + 1));
}

static void kernel(struct list *l)
{
    AUTO(buf_done) struct buf cmdline = buf_new(EVENT_MAX);
    uint8_t initrd[48];
    put_utf16(&cmdline, CMDLINE, true);
    event(l, 12, TYPE_IPL, buf_bytes(&cmdline), buf_bytes(&cmdline));
    put_tagged(&l->scratch, 0x8F3B22ED, "LOADED_IMAGE::LoadOptions");
    event(l, 9, TYPE_EVENT_TAG, buf_bytes(&l->scratch), buf_bytes(&cmdline));
    put_tagged(&l->scratch, 0x8F3B22EC, "Linux initrd");
    event(l, 9, TYPE_EVENT_TAG, buf_bytes(&l->scratch), stand_in(".initrd", initrd));
    text_event(l, 5, TYPE_ACTION, "Exit Boot Services Invocation");
    text_event(l, 5, TYPE_ACTION, "Exit Boot Services Returned with Success");
}

int boot_events(const struct boot_facts *facts, boot_visit_fn *visit, void *arg, struct err *err)
{
    struct list l = { visit, arg, err, 0, buf_new(EVENT_MAX) };
    firmware(&l, facts);
    secure_boot(&l);
    configuration(&l);
    partition_table(&l);
    boot_image(&l);
    authority(&l);
    image_sections(&l);
    kernel(&l);
    buf_done(&l.scratch);
    return l.rc;
}

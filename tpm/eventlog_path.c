/* UEFI device paths, GUIDs and UTF-16 as text (UEFI 2.10, chapter 10; text forms of section 10.6 where a node
 * has one here, else "Path(type,subtype,hex)"). */
#include "tpm/eventlog_formats.h"

#include "base/auto.h"
#include "base/enc.h"

/* Nodes of one path; real ones have some ten. */
#define NODES_MAX 64

static void put_code_point(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_u8(out, (uint8_t)c);
    } else if (c < 0x800) {
        buf_u8(out, (uint8_t)(0xC0 | c >> 6));
        buf_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
    } else if (c < 0x10000) {
        buf_u8(out, (uint8_t)(0xE0 | c >> 12));
        buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
        buf_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
    } else {
        buf_u8(out, (uint8_t)(0xF0 | c >> 18));
        buf_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3F)));
        buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
        buf_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
    }
}

void eventlog_put_utf16(struct buf *out, struct bytes text)
{
    struct reader r = reader_of(text);
    uint16_t unit, low;
    while (rd_u16le(&r, &unit) && unit) {
        struct reader next = r;
        if (unit < 0xD800 || unit > 0xDFFF) {
            put_code_point(out, unit);
        } else if (unit < 0xDC00 && rd_u16le(&next, &low) && low >= 0xDC00 && low <= 0xDFFF) {
            put_code_point(out, 0x10000 + ((unit - 0xD800u) << 10) + (low - 0xDC00u));
            r = next;
        } else {
            put_code_point(out, 0xFFFD);
        }
    }
}

void eventlog_put_guid(struct buf *out, struct bytes guid)
{
    const uint8_t *p = guid.p;
    buf_printf(out, "%08x-%04x-%04x-", (unsigned)le_uint(p, 4), (unsigned)le_uint(p + 4, 2),
               (unsigned)le_uint(p + 6, 2));
    hex_put(out, bytes_of(p + 8, 2));
    buf_u8(out, '-');
    hex_put(out, bytes_of(p + 10, 6));
}

static bool put_pci(struct buf *out, struct reader r)
{
    uint8_t function, device;
    if (!rd_u8(&r, &function) || !rd_u8(&r, &device) || r.rest.n)
        return false;
    buf_printf(out, "Pci(0x%x,0x%x)", device, function);
    return true;
}

/* EISA ids: PNP0A03 is the root bridge. */
static bool put_acpi(struct buf *out, struct reader r)
{
    uint32_t hid, uid;
    if (!rd_u32le(&r, &hid) || !rd_u32le(&r, &uid) || r.rest.n)
        return false;
    if (hid == 0x0A0341D0)
        buf_printf(out, "PciRoot(0x%" PRIx32 ")", uid);
    else
        buf_printf(out, "Acpi(0x%08" PRIx32 ",0x%" PRIx32 ")", hid, uid);
    return true;
}

static bool put_hard_drive(struct buf *out, struct reader r)
{
    uint32_t number;
    uint64_t start, size;
    struct bytes signature;
    uint8_t format, kind;
    if (!rd_u32le(&r, &number) || !rd_u64le(&r, &start) || !rd_u64le(&r, &size)
        || !rd_take(&r, 16, &signature) || !rd_u8(&r, &format) || !rd_u8(&r, &kind) || r.rest.n)
        return false;
    buf_printf(out, "HD(%" PRIu32 ",", number);
    if (kind == 2) {
        buf_str(out, "GPT,");
        eventlog_put_guid(out, signature);
    } else {
        buf_str(out, "MBR,0x");
        hex_put(out, bytes_of(signature.p, 4));
    }
    buf_printf(out, ",0x%" PRIx64 ",0x%" PRIx64 ")", start, size);
    return true;
}

static bool put_file(struct buf *out, struct reader r)
{
    eventlog_put_utf16(out, r.rest);
    return r.rest.n % 2 == 0;
}

/* A node that is a GUID, and for vendors whatever they add. */
static bool put_guid_node(struct buf *out, struct reader r, const char *name)
{
    struct bytes guid;
    if (!rd_take(&r, 16, &guid))
        return false;
    buf_printf(out, "%s(", name);
    eventlog_put_guid(out, guid);
    if (r.rest.n)
        buf_u8(out, ',');
    hex_put(out, r.rest);
    buf_u8(out, ')');
    return true;
}

static bool put_fv(struct buf *out, struct reader r)
{
    return put_guid_node(out, r, "Fv");
}

static bool put_fv_file(struct buf *out, struct reader r)
{
    return put_guid_node(out, r, "FvFile");
}

static bool put_vendor_media(struct buf *out, struct reader r)
{
    return put_guid_node(out, r, "VenMedia");
}

static bool put_scsi(struct buf *out, struct reader r)
{
    uint16_t target, lun;
    if (!rd_u16le(&r, &target) || !rd_u16le(&r, &lun) || r.rest.n)
        return false;
    buf_printf(out, "Scsi(0x%x,0x%x)", target, lun);
    return true;
}

static bool put_nvme(struct buf *out, struct reader r)
{
    uint32_t name_space;
    struct bytes eui;
    if (!rd_u32le(&r, &name_space) || !rd_take(&r, 8, &eui) || r.rest.n)
        return false;
    buf_printf(out, "NVMe(0x%" PRIx32 ",", name_space);
    hex_put(out, eui);
    buf_u8(out, ')');
    return true;
}

static const struct {
    uint8_t type, subtype;
    bool (*put)(struct buf *out, struct reader body);
} nodes[] = {
    { 1, 1, put_pci },   { 2, 1, put_acpi },       { 3, 2, put_scsi },
    { 3, 23, put_nvme }, { 4, 1, put_hard_drive }, { 4, 3, put_vendor_media },
    { 4, 4, put_file },  { 4, 6, put_fv_file },    { 4, 7, put_fv },
};

static bool put_node(struct buf *out, uint8_t type, uint8_t subtype, struct bytes body)
{
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
        if (nodes[i].type == type && nodes[i].subtype == subtype)
            return nodes[i].put(out, reader_of(body));
    buf_printf(out, "Path(%u,%u", type, subtype);
    if (body.n)
        buf_u8(out, ',');
    hex_put(out, body);
    buf_u8(out, ')');
    return true;
}

bool eventlog_put_path(struct buf *out, struct bytes path)
{
    struct reader r = reader_of(path);
    uint8_t type, subtype;
    uint16_t size;
    struct bytes body;
    for (int i = 0; i < NODES_MAX && r.rest.n; i++) {
        if (!rd_u8(&r, &type) || !rd_u8(&r, &subtype) || !rd_u16le(&r, &size) || size < 4
            || !rd_take(&r, size - 4u, &body))
            return false;
        if (type == 0x7F && subtype == 0xFF) /* the end of the entire path */
            return r.rest.n == 0;
        if (i)
            buf_u8(out, '/');
        if (!put_node(out, type, subtype, body))
            return false;
    }
    return path.n == 0;
}

#include "image/firmware.h"

#include "base/auto.h"
#include "base/buf.h"

#include <lzma.h>

#define VOLUME_SIGNATURE_AT 40u
#define VOLUME_HEADER       56u
#define FILE_HEADER         24u
#define FILE_LARGE          0x01u
#define SECTION_GUIDED      0x02u
#define SECTION_VOLUME      0x17u
#define DEPTH_MAX           4

static const uint8_t guid_lzma[16] = { 0x98, 0x58, 0x4E, 0xEE, 0x14, 0x39, 0x59, 0x42,
                                       0x9D, 0x6E, 0xDC, 0x7B, 0xD7, 0x94, 0x03, 0xCF };
/* SecureBootConfigDxe */
static const uint8_t guid_secure_boot[16] = { 0x4F, 0xA4, 0xE6, 0xF0, 0x95, 0x71, 0xC3, 0x41,
                                              0xAC, 0x64, 0x54, 0xF2, 0x02, 0xCD, 0x0A, 0x21 };

struct search {
    struct buf unpacked; /* what the packed section holds */
    struct bytes dxe;    /* view into it */
};

static bool is_volume(struct bytes b, size_t *size, size_t *header)
{
    if (b.n < VOLUME_HEADER || memcmp(b.p + VOLUME_SIGNATURE_AT, "_FVH", 4) != 0)
        return false;
    uint64_t length = le_uint(b.p + 32, 8);
    *header = (size_t)le_uint(b.p + 48, 2);
    *size = (size_t)length;
    return length <= b.n && *header >= VOLUME_HEADER && *header <= length;
}

static int unpack(struct bytes packed, struct buf *out, struct err *err)
{
    lzma_stream s = LZMA_STREAM_INIT;
    if (lzma_alone_decoder(&s, UINT64_C(128) << 20) != LZMA_OK)
        return err_set(err, ERR_IO, 0, "liblzma does not start");
    lzma_ret rc = LZMA_OK;
    s.next_in = packed.p;
    s.avail_in = packed.n;
    while (rc == LZMA_OK) {
        const size_t step = 1u << 20;
        uint8_t *room = buf_room(out, step);
        if (!room)
            break;
        s.next_out = room;
        s.avail_out = step;
        rc = lzma_code(&s, LZMA_FINISH);
        out->n -= s.avail_out;
        if (s.avail_out == step && rc == LZMA_OK)
            rc = LZMA_DATA_ERROR;
    }
    lzma_end(&s);
    if (out->failed)
        return buf_check(out, "the unpacked firmware", err);
    return rc == LZMA_STREAM_END ? 0 : err_set(err, ERR_INPUT, 0, "the firmware's packed section is damaged");
}

/* Walks sections: finds the packed one outside, the volumes inside. */
static int walk_sections(struct search *s, struct bytes b, bool inside, struct err *err)
{
    for (size_t at = 0; at + 4 <= b.n;) {
        size_t size = (size_t)le_uint(b.p + at, 3);
        uint8_t type = b.p[at + 3];
        if (size < 4 || size > b.n - at)
            return 0;
        struct bytes body = bytes_of(b.p + at + 4, size - 4);
        if (!inside && type == SECTION_GUIDED && body.n >= 20 && memcmp(body.p, guid_lzma, 16) == 0) {
            size_t data = (size_t)le_uint(body.p + 16, 2);
            if (data < 24 || data > size)
                return err_set(err, ERR_INPUT, 0, "the firmware's packed section is malformed");
            return unpack(bytes_of(b.p + at + data, size - data), &s->unpacked, err);
        }
        if (inside && type == SECTION_VOLUME && body.n > s->dxe.n)
            s->dxe = body;
        at += (size + 3) & ~(size_t)3;
    }
    return 0;
}

static int walk_files(struct search *s, struct bytes volume, size_t header, struct err *err)
{
    for (size_t at = (header + 7) & ~(size_t)7; at + FILE_HEADER <= volume.n && s->unpacked.n == 0;) {
        const uint8_t *f = volume.p + at;
        size_t size = (size_t)le_uint(f + 20, 3), head = FILE_HEADER;
        if ((f[19] & FILE_LARGE) && volume.n - at >= 32) {
            size = (size_t)le_uint(f + 24, 8);
            head = 32;
        }
        if (size < head || size > volume.n - at)
            return 0; /* free space: all ones */
        if (walk_sections(s, bytes_of(f + head, size - head), false, err) < 0)
            return -1;
        at = (at + size + 7) & ~(size_t)7;
    }
    return 0;
}

static bool contains(struct bytes b, const uint8_t guid[static 16])
{
    return memmem(b.p, b.n, guid, 16) != NULL;
}

static bool digits(const uint8_t *wide, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (wide[2 * i] < '0' || wide[2 * i] > '9' || wide[2 * i + 1] != 0)
            return false;
    return true;
}

static bool is_wide(const uint8_t *wide, char c)
{
    return wide[0] == (uint8_t)c && wide[1] == 0;
}

/* A release as packagers write it into PcdFirmwareVersionString: "2025.02-8", "edk2-20250221-5",
 * "edk2-stable202502". It lies in the drivers as UTF-16. */
static bool is_version(const uint8_t *wide, size_t n)
{
    static const char *const marks[] = { "edk2-stable20", "edk2-20" };
    if (n >= 7 && is_wide(wide, '2') && is_wide(wide + 2, '0') && digits(wide, 4) && is_wide(wide + 8, '.')
        && digits(wide + 10, 2))
        return n == 7 || is_wide(wide + 14, '-') || is_wide(wide + 14, '+') || is_wide(wide + 14, 0);
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
        size_t k = 0;
        while (k < n && marks[i][k] && is_wide(wide + 2 * k, marks[i][k]))
            k++;
        if (!marks[i][k] && n - k >= 4 && digits(wide + 2 * k, 4))
            return true;
    }
    return false;
}

static void take_version(const uint8_t *wide, size_t n, char out[static FIRMWARE_VERSION_MAX])
{
    size_t k = 0;
    for (; k < n && k + 1 < FIRMWARE_VERSION_MAX && wide[2 * k + 1] == 0 && wide[2 * k] > 0x20
           && wide[2 * k] < 0x7F;
         k++)
        out[k] = (char)wide[2 * k];
    out[k] = '\0';
}

/* Year and month, 202502; 0: it names none. */
static unsigned month_of(const char *version)
{
    const char *at = strncmp(version, "edk2-", 5) == 0 ? version + 5 : version;
    unsigned value = 0;
    if (strncmp(at, "stable", 6) == 0)
        at += 6;
    for (unsigned n = 0; n < 6 && *at; at++)
        if (*at >= '0' && *at <= '9') {
            value = 10 * value + (unsigned)(*at - '0');
            n++;
        }
    return value;
}

static enum firmware_release release_of(const char *version)
{
    unsigned month = month_of(version);
    if (month == 0)
        return FIRMWARE_CHECKED;
    if (month < FIRMWARE_FIRST || month > FIRMWARE_LAST)
        return FIRMWARE_UNCHECKED;
    return month <= FIRMWARE_EXITS_ONCE ? FIRMWARE_CHECKED : FIRMWARE_RETRIES_EXIT;
}

static void find_version(struct bytes dxe, struct firmware *out)
{
    out->version[0] = '\0';
    for (size_t at = 0; at + 14 <= dxe.n && !*out->version; at++)
        if ((dxe.p[at] == '2' || dxe.p[at] == 'e') && is_version(dxe.p + at, (dxe.n - at) / 2))
            take_version(dxe.p + at, (dxe.n - at) / 2, out->version);
    out->release = release_of(out->version);
}

static int look(struct search *s, struct bytes file, uint16_t alg, struct firmware *out, struct err *err)
{
    size_t size, header;
    for (size_t at = 0; at + VOLUME_HEADER <= file.n && s->unpacked.n == 0; at += 4096) {
        struct bytes rest = bytes_of(file.p + at, file.n - at);
        if (is_volume(rest, &size, &header) && walk_files(s, bytes_of(rest.p, size), header, err) < 0)
            return -1;
    }
    if (walk_sections(s, buf_bytes(&s->unpacked), true, err) < 0)
        return -1;
    if (!is_volume(s->dxe, &size, &header))
        return err_set(err, ERR_INPUT, 0, "not an OVMF image: no volume of drivers in it");
    out->secure_boot = contains(s->dxe, guid_secure_boot);
    find_version(s->dxe, out);
    return digest_of(alg, bytes_of(s->dxe.p, size), &out->dxe, err);
}

int firmware_parse(struct bytes file, uint16_t alg, struct firmware *out, struct err *err)
{
    struct search s = { .unpacked = buf_new(FIRMWARE_UNPACKED_MAX), .dxe = bytes_of(NULL, 0) };
    int rc = look(&s, file, alg, out, err);
    buf_done(&s.unpacked);
    return rc;
}

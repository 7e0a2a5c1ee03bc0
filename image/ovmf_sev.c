#include "image/ovmf_sev.h"

#include "image/ovmf_table.h"

#define HEADER  16u
#define SECTION 12u
#define VERSION 1u

static const uint8_t guid_metadata[16] = { 0x66, 0x65, 0x88, 0xDC, 0x4A, 0x98, 0x98, 0x47,
                                           0xA7, 0x5E, 0x55, 0x85, 0xA7, 0xBF, 0x67, 0xCC };
static const uint8_t guid_reset[16] = { 0xDE, 0x71, 0xF7, 0x00, 0x7E, 0x1A, 0xCB, 0x4F,
                                        0x89, 0x0E, 0x68, 0xC7, 0x7E, 0x2F, 0xB4, 0x4E };
static const uint8_t guid_hashes[16] = { 0x1F, 0x37, 0x55, 0x72, 0x3B, 0x3A, 0x04, 0x4B,
                                         0x92, 0x7B, 0x1D, 0xA6, 0xEF, 0xA8, 0xD4, 0x54 };

static bool type_is_known(uint32_t type)
{
    return (type >= SEV_SECTION_MEMORY && type <= SEV_SECTION_SVSM_CAA) || type == SEV_SECTION_KERNEL_HASHES;
}

static bool overlaps(const struct sev_section *a, const struct sev_section *b)
{
    return a->gpa < (uint64_t)b->gpa + b->size && b->gpa < (uint64_t)a->gpa + a->size;
}

/* Adds a section. The hardware takes whole pages, and each of them once. */
static int add(struct ovmf_sev *s, struct sev_section new, struct err *err)
{
    bool one_page = new.type == SEV_SECTION_SECRETS || new.type == SEV_SECTION_CPUID;
    uint64_t total = new.size;
    if (new.size == 0 || new.size % SEV_PAGE || new.gpa % SEV_PAGE || (one_page && new.size != SEV_PAGE))
        return err_set(err, ERR_INPUT, 0,
                       "section %zu of the SEV metadata is not of whole pages: %#x, size %#x", s->n, new.gpa,
                       new.size);
    if ((uint64_t) new.gpa + new.size + s->file.n > UINT64_C(1) << 32)
        return err_set(err, ERR_INPUT, 0, "section %zu of the SEV metadata lies in the firmware itself",
                       s->n);
    for (size_t i = 0; i < s->n; i++) {
        if (overlaps(&s->section[i], &new))
            return err_set(err, ERR_INPUT, 0, "sections %zu and %zu of the SEV metadata overlap", i, s->n);
        total += s->section[i].size;
    }
    if (total > SEV_MEMORY_MAX)
        return err_set(err, ERR_INPUT, 0, "the SEV metadata has more than %u bytes measured", SEV_MEMORY_MAX);
    s->section[s->n++] = new;
    return 0;
}

static int sections(struct ovmf_sev *s, struct bytes metadata, struct err *err)
{
    struct reader r = reader_of(metadata);
    struct bytes magic;
    uint32_t size, version, n;
    if (!rd_take(&r, 4, &magic) || memcmp(magic.p, "ASEV", 4) != 0 || !rd_u32le(&r, &size)
        || !rd_u32le(&r, &version) || !rd_u32le(&r, &n))
        return err_set(err, ERR_INPUT, 0, "the firmware's SEV metadata is damaged: no header");
    if (version != VERSION)
        return err_set(err, ERR_UNAVAILABLE, 0, "SEV metadata of version %u is not known", version);
    if (n > SEV_SECTIONS_MAX || size != HEADER + n * SECTION)
        return err_set(err, ERR_INPUT, 0, "the firmware's SEV metadata has %u sections in %u bytes", n, size);
    for (uint32_t i = 0; i < n; i++) {
        struct sev_section new;
        uint32_t type;
        if (!rd_u32le(&r, &new.gpa) || !rd_u32le(&r, &new.size) || !rd_u32le(&r, &type))
            return err_set(err, ERR_INPUT, 0, "the firmware's SEV metadata ends in section %u", i);
        if (!type_is_known(type))
            return err_set(err, ERR_UNAVAILABLE, 0,
                           "section %u of the SEV metadata is of the unknown kind %#x", i, type);
        new.type = (enum sev_section_type)type;
        if (add(s, new, err) < 0)
            return -1;
    }
    return 0;
}

/* A block that need not be there, of at least n bytes. */
static int optional(struct bytes file, const uint8_t guid[static 16], size_t n, struct bytes *out,
                    struct err *err)
{
    struct err why = { 0 };
    *out = bytes_of(NULL, 0);
    if (ovmf_table_find(file, guid, out, &why) < 0 && why.kind != ERR_NOT_FOUND) {
        *err = why;
        return -1;
    }
    return out->n == 0 || out->n >= n ? 0
                                      : err_set(err, ERR_INPUT, 0, "a block of the firmware's table is cut");
}

int ovmf_sev_parse(struct bytes file, struct ovmf_sev *out, struct err *err)
{
    struct bytes metadata, reset, hashes;
    *out = (struct ovmf_sev){ .file = file };
    if (ovmf_table_follow(file, guid_metadata, &metadata, err) < 0)
        return err->kind == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND, 0, "the firmware has no SEV-SNP metadata")
                   : err_while(err, "read the SEV metadata");
    if (file.n % SEV_PAGE || file.n > UINT64_C(1) << 31)
        return err_set(err, ERR_INPUT, 0, "a firmware of %zu bytes: not whole pages", file.n);
    if (sections(out, metadata, err) < 0 || optional(file, guid_reset, 4, &reset, err) < 0
        || optional(file, guid_hashes, 8, &hashes, err) < 0)
        return -1;
    if (reset.n)
        out->reset_eip = (uint32_t)le_uint(reset.p, 4);
    if (hashes.n) {
        out->hashes_gpa = (uint32_t)le_uint(hashes.p, 4);
        out->hashes_size = (uint32_t)le_uint(hashes.p + 4, 4);
    }
    return 0;
}

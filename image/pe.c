#include "image/pe.h"

#define MACHINE_X64       0x8664u
#define MAGIC_PE32_PLUS   0x020Bu
#define COFF_SIZE         24u /* signature and file header */
#define OPTIONAL_CHECKSUM 64u
#define OPTIONAL_HEADERS  60u  /* SizeOfHeaders */
#define OPTIONAL_COUNT    108u /* NumberOfRvaAndSizes */
#define OPTIONAL_SECURITY 144u /* the fifth directory */
#define SECTION_SIZE      40u

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "not a UEFI program: %s", what);
}

static int take_sections(struct pe *pe, struct bytes table, struct err *err)
{
    for (size_t i = 0; i < table.n; i += SECTION_SIZE) {
        const uint8_t *s = table.p + i;
        struct pe_section *out = &pe->section[pe->n];
        size_t size = (size_t)le_uint(s + 16, 4), at = (size_t)le_uint(s + 20, 4);
        memcpy(out->name, s, 8);
        out->name[8] = '\0';
        out->virtual_size = (uint32_t)le_uint(s + 8, 4);
        if (size > 0 && (at < pe->header_size || at > pe->file.n || size > pe->file.n - at))
            return bad(err, "a section lies outside the file");
        out->raw = size > 0 ? bytes_of(pe->file.p + at, size) : bytes_of(NULL, 0);
        for (size_t k = 0; size > 0 && k < pe->n; k++)
            if (pe->section[k].raw.n > 0 && out->raw.p < pe->section[k].raw.p + pe->section[k].raw.n
                && pe->section[k].raw.p < out->raw.p + size)
                return bad(err, "sections overlap");
        pe->n++;
    }
    return 0;
}

/* Signatures are the last thing in the file, or there are none. */
static int take_certificates(struct pe *pe, const uint8_t *directory, struct err *err)
{
    size_t at = (size_t)le_uint(directory, 4), size = (size_t)le_uint(directory + 4, 4);
    pe->certificates = bytes_of(NULL, 0);
    if (size == 0)
        return 0;
    if (at < pe->header_size || at > pe->file.n || size != pe->file.n - at)
        return bad(err, "its signatures are not the end of the file");
    pe->certificates = bytes_of(pe->file.p + at, size);
    return 0;
}

int pe_parse(struct bytes file, struct pe *out, struct err *err)
{
    struct reader r = reader_of(file);
    struct bytes dos, coff, optional, sections;
    memset(out, 0, sizeof(*out));
    out->file = file;
    if (!rd_take(&r, 64, &dos) || dos.p[0] != 'M' || dos.p[1] != 'Z')
        return bad(err, "no MZ header");
    size_t start = (size_t)le_uint(dos.p + 60, 4);
    if (start < 64 || !rd_skip(&r, start - 64) || !rd_take(&r, COFF_SIZE, &coff)
        || memcmp(coff.p, "PE\0\0", 4) != 0)
        return bad(err, "no PE header");
    size_t count = (size_t)le_uint(coff.p + 6, 2), optional_size = (size_t)le_uint(coff.p + 20, 2);
    if (le_uint(coff.p + 4, 2) != MACHINE_X64 || count > PE_SECTIONS_MAX)
        return bad(err, "not for x86-64, or too many sections");
    if (optional_size < OPTIONAL_SECURITY + 8 || !rd_take(&r, optional_size, &optional)
        || le_uint(optional.p, 2) != MAGIC_PE32_PLUS || le_uint(optional.p + OPTIONAL_COUNT, 4) < 5)
        return bad(err, "no PE32+ header with directories");
    out->checksum_at = start + COFF_SIZE + OPTIONAL_CHECKSUM;
    out->certificates_at = start + COFF_SIZE + OPTIONAL_SECURITY;
    out->header_size = (size_t)le_uint(optional.p + OPTIONAL_HEADERS, 4);
    if (!rd_take(&r, count * SECTION_SIZE, &sections) || out->header_size < r.off
        || out->header_size > file.n)
        return bad(err, "its headers are cut short");
    if (take_certificates(out, optional.p + OPTIONAL_SECURITY, err) < 0)
        return -1;
    return take_sections(out, sections, err);
}

int pe_content(const struct pe *pe, const char *name, struct bytes *out, struct err *err)
{
    const struct pe_section *found = NULL;
    for (size_t i = 0; i < pe->n; i++) {
        if (strcmp(pe->section[i].name, name) != 0)
            continue;
        if (found)
            return err_set(err, ERR_INPUT, 0, "the program has two sections %s", name);
        found = &pe->section[i];
    }
    if (!found)
        return err_set(err, ERR_NOT_FOUND, 0, "the program has no section %s", name);
    if (found->virtual_size > found->raw.n)
        return err_set(err, ERR_INPUT, 0, "section %s is longer in memory than in the file", name);
    *out = bytes_of(found->raw.p, found->virtual_size);
    return 0;
}

/* Sections by their place in the file: a handful, so the simplest sort. */
static size_t sorted(const struct pe *pe, struct bytes out[static PE_SECTIONS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < pe->n; i++) {
        if (pe->section[i].raw.n == 0)
            continue;
        size_t at = n++;
        for (; at > 0 && out[at - 1].p > pe->section[i].raw.p; at--)
            out[at] = out[at - 1];
        out[at] = pe->section[i].raw;
    }
    return n;
}

int pe_authenticode(const struct pe *pe, uint16_t alg, struct digest *out, struct err *err)
{
    struct bytes parts[PE_SECTIONS_MAX + 4];
    const uint8_t *p = pe->file.p;
    size_t n = 3, hashed = pe->header_size, end = pe->file.n - pe->certificates.n;
    parts[0] = bytes_of(p, pe->checksum_at);
    parts[1] = bytes_of(p + pe->checksum_at + 4, pe->certificates_at - pe->checksum_at - 4);
    parts[2] = bytes_of(p + pe->certificates_at + 8, pe->header_size - pe->certificates_at - 8);
    n += sorted(pe, parts + n);
    for (size_t i = 3; i < n; i++)
        hashed += parts[i].n;
    /* What lies behind the sections; gaps between them count as hashed nowhere, as firmware has it. */
    if (hashed < end)
        parts[n++] = bytes_of(p + hashed, end - hashed);
    return digest_parts(alg, parts, n, out, err);
}

#include "agent/kmodule.h"

#define SECTIONS_MAX 65535
#define SHDR_SIZE    64
#define ET_REL       1

struct section {
    uint32_t name;
    uint64_t offset, size;
};

static int malformed(struct err *err, const char *why)
{
    return err_set(err, ERR_INPUT, 0, "the file is no kernel module: %s", why);
}

static bool take_at(struct bytes file, uint64_t offset, uint64_t n, struct bytes *out)
{
    struct reader r = reader_of(file);
    return offset <= file.n && n <= file.n && rd_skip(&r, (size_t)offset) && rd_take(&r, (size_t)n, out);
}

/* An Elf64_Shdr. */
static bool read_section(struct bytes headers, unsigned index, struct section *out)
{
    struct reader r = reader_of(headers);
    uint32_t type;
    uint64_t flags, address;
    return rd_skip(&r, (size_t)index * SHDR_SIZE) && rd_u32le(&r, &out->name) && rd_u32le(&r, &type)
           && rd_u64le(&r, &flags) && rd_u64le(&r, &address) && rd_u64le(&r, &out->offset)
           && rd_u64le(&r, &out->size);
}

/* An Elf64_Ehdr. */
static int read_header(struct bytes file, struct bytes *headers, uint16_t *count, uint16_t *names,
                       struct err *err)
{
    static const uint8_t ident[] = { 0x7F, 'E', 'L', 'F', 2, 1, 1 }; /* 64 bits, little-endian, version 1 */
    struct reader r = reader_of(file);
    struct bytes id;
    uint16_t type, size;
    uint64_t offset;
    if (!rd_take(&r, 16, &id) || memcmp(id.p, ident, sizeof(ident)) != 0 || !rd_u16le(&r, &type)
        || type != ET_REL || !rd_skip(&r, 2 + 4 + 8 + 8) || !rd_u64le(&r, &offset)
        || !rd_skip(&r, 4 + 2 + 2 + 2) || !rd_u16le(&r, &size) || !rd_u16le(&r, count)
        || !rd_u16le(&r, names))
        return malformed(err, "want a relocatable ELF object of 64 bits");
    if (size != SHDR_SIZE || *names >= *count
        || !take_at(file, offset, (uint64_t)*count * SHDR_SIZE, headers))
        return malformed(err, "its section headers are cut short");
    return 0;
}

static bool is_named(struct bytes names, uint32_t at, const char *name)
{
    size_t n = strlen(name) + 1;
    return at <= names.n && n <= names.n - at && !memcmp(names.p + at, name, n);
}

static int find_modinfo(struct bytes file, struct bytes *out, struct err *err)
{
    struct bytes headers, names;
    struct section s;
    uint16_t count = 0, index = 0;
    if (read_header(file, &headers, &count, &index, err) < 0)
        return -1;
    if (!read_section(headers, index, &s) || !take_at(file, s.offset, s.size, &names))
        return malformed(err, "its section names are cut short");
    for (unsigned i = 0; i < count; i++) {
        if (read_section(headers, i, &s) && is_named(names, s.name, ".modinfo"))
            return take_at(file, s.offset, s.size, out) ? 0 : malformed(err, "its .modinfo is cut short");
    }
    return malformed(err, "it has no .modinfo");
}

/* The value of a "key=value" string. */
static bool value_of(struct bytes one, const char *key, struct bytes *out)
{
    size_t n = strlen(key);
    if (one.n <= n || memcmp(one.p, key, n) != 0 || one.p[n] != '=')
        return false;
    *out = bytes_of(one.p + n + 1, one.n - n - 1);
    return true;
}

static bool take_name(struct bytes value, char out[static KMODULE_NAME_MAX + 1])
{
    if (!value.n || value.n > KMODULE_NAME_MAX)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        char c = (char)value.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '_' && c != '-')
            return false;
        out[i] = c;
    }
    out[value.n] = '\0';
    return true;
}

int kmodule_parse(struct bytes file, struct kmodule *out, struct err *err)
{
    struct kmodule m = { "", false };
    struct bytes info, value;
    if (find_modinfo(file, &info, err) < 0)
        return -1;
    while (info.n) {
        const uint8_t *end = memchr(info.p, 0, info.n);
        struct bytes one = bytes_of(info.p, end ? (size_t)(end - info.p) : info.n);
        if (value_of(one, "name", &value) && (*m.name || !take_name(value, m.name)))
            return malformed(err, "its name is none, or is there twice");
        if (value_of(one, "livepatch", &value))
            m.livepatch = value.n == 1 && value.p[0] == 'Y';
        info = bytes_of(info.p + one.n + (end != NULL), info.n - one.n - (end != NULL));
    }
    if (!*m.name)
        return malformed(err, "its .modinfo has no name");
    *out = m;
    return 0;
}

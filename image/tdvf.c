#include "image/tdvf.h"

#include "base/auto.h"
#include "base/digest.h"
#include "image/ovmf_table.h"

#define HEADER       16u
#define SECTION      32u
#define VERSION      1u
#define CHUNK        256u
#define BUFFER       128u
#define ATTR_MEASURE 1u

enum { TYPE_BFV = 0, TYPE_CFV = 1, TYPE_TD_HOB = 2, TYPE_TEMP_MEM = 3 };

static const uint8_t guid_metadata[16] = { 0x35, 0x65, 0x7A, 0xE4, 0x4A, 0x98, 0x98, 0x47,
                                           0x86, 0x5E, 0x46, 0x85, 0xA7, 0xBF, 0x8E, 0xC2 };

struct raw {
    uint32_t offset, size, type, attributes;
    uint64_t gpa, memory;
};

static bool overlaps(const struct tdvf_section *a, const struct raw *b)
{
    return a->gpa < b->gpa + b->memory && b->gpa < a->gpa + a->size;
}

/* Memory of whole pages, below 4 GiB, each page once, and not more than there is time to hash. */
static int check_memory(const struct tdvf *t, const struct raw *s, struct err *err)
{
    const uint64_t top = UINT64_C(1) << 32;
    uint64_t total = s->memory;
    if (s->memory == 0 || s->memory % TDVF_PAGE || s->gpa % TDVF_PAGE || s->memory > top
        || s->gpa > top - s->memory)
        return err_set(err, ERR_INPUT, 0,
                       "section %zu of the TDX metadata is not of whole pages below 4 GiB: %#" PRIx64
                       ", size %#" PRIx64,
                       t->n, s->gpa, s->memory);
    for (size_t i = 0; i < t->n; i++) {
        if (overlaps(&t->section[i], s))
            return err_set(err, ERR_INPUT, 0, "sections %zu and %zu of the TDX metadata overlap", i, t->n);
        total += t->section[i].size;
    }
    if (total > TDVF_MEMORY_MAX)
        return err_set(err, ERR_INPUT, 0, "the TDX metadata has more than %u bytes added", TDVF_MEMORY_MAX);
    return 0;
}

static int add(struct tdvf *t, struct bytes file, const struct raw *s, struct err *err)
{
    bool from_file = s->type == TYPE_BFV || s->type == TYPE_CFV;
    struct bytes data = bytes_of(NULL, 0);
    if (s->type > TYPE_TEMP_MEM)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "section %zu of the TDX metadata is of kind %u, which QEMU does not load", t->n,
                       s->type);
    /* What the host writes into the hand-off block follows the machine. */
    if (s->attributes & ~(from_file ? ATTR_MEASURE : 0))
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "section %zu of the TDX metadata has attributes %#x: how it is measured is not known",
                       t->n, s->attributes);
    if (check_memory(t, s, err) < 0)
        return -1;
    if (from_file ? s->size != s->memory : s->size != 0)
        return err_set(err, ERR_INPUT, 0, "section %zu of the TDX metadata has %u bytes of data", t->n,
                       s->size);
    if (from_file && (s->offset > file.n || s->size > file.n - s->offset))
        return err_set(err, ERR_INPUT, 0, "section %zu of the TDX metadata lies outside the file", t->n);
    if (from_file)
        data = bytes_of(file.p + s->offset, s->size);
    t->section[t->n++] = (struct tdvf_section){ data, s->gpa, s->memory, s->attributes & ATTR_MEASURE };
    return 0;
}

int tdvf_parse(struct bytes file, struct tdvf *out, struct err *err)
{
    struct bytes metadata, magic;
    uint32_t size, version, n;
    *out = (struct tdvf){ 0 };
    if (ovmf_table_follow(file, guid_metadata, &metadata, err) < 0)
        return err->kind == ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, 0, "the firmware has no TDX metadata")
                                          : err_while(err, "read the TDX metadata");
    struct reader r = reader_of(metadata);
    if (!rd_take(&r, 4, &magic) || memcmp(magic.p, "TDVF", 4) != 0 || !rd_u32le(&r, &size)
        || !rd_u32le(&r, &version) || !rd_u32le(&r, &n))
        return err_set(err, ERR_INPUT, 0, "the firmware's TDX metadata is damaged: no header");
    if (version != VERSION)
        return err_set(err, ERR_UNAVAILABLE, 0, "TDX metadata of version %u is not known", version);
    if (n == 0 || n > TDVF_SECTIONS_MAX || size != HEADER + n * SECTION)
        return err_set(err, ERR_INPUT, 0, "the firmware's TDX metadata has %u sections in %u bytes", n, size);
    for (uint32_t i = 0; i < n; i++) {
        struct raw s;
        if (!rd_u32le(&r, &s.offset) || !rd_u32le(&r, &s.size) || !rd_u64le(&r, &s.gpa)
            || !rd_u64le(&r, &s.memory) || !rd_u32le(&r, &s.type) || !rd_u32le(&r, &s.attributes))
            return err_set(err, ERR_INPUT, 0, "the firmware's TDX metadata ends in section %u", i);
        if (add(out, file, &s, err) < 0)
            return -1;
    }
    return 0;
}

/* Every operation puts a buffer with its name and the address; TDH.MR.EXTEND the bytes after it. */
static int put(struct hasher *h, const char *operation, uint64_t gpa, struct bytes data, struct err *err)
{
    uint8_t buffer[BUFFER] = { 0 };
    memcpy(buffer, operation, strlen(operation));
    for (size_t i = 0; i < 8; i++)
        buffer[16 + i] = (uint8_t)(gpa >> 8 * i);
    if (hasher_put(h, bytes_of(buffer, sizeof(buffer)), err) < 0)
        return -1;
    return data.n ? hasher_put(h, data, err) : 0;
}

static int add_page(struct hasher *h, const struct tdvf_section *s, uint64_t at, struct err *err)
{
    if (put(h, "MEM.PAGE.ADD", s->gpa + at, bytes_of(NULL, 0), err) < 0)
        return -1;
    for (uint64_t i = at; s->measured && i < at + TDVF_PAGE; i += CHUNK)
        if (put(h, "MR.EXTEND", s->gpa + i, bytes_of(s->data.p + i, CHUNK), err) < 0)
            return -1;
    return 0;
}

int tdvf_mrtd(const struct tdvf *tdvf, uint8_t out[static 48], struct err *err)
{
    AUTO(hasher_drop) struct hasher *h = NULL;
    struct digest d;
    if (hasher_new(ALG_SHA384, &h, err) < 0 || hasher_begin(h, err) < 0)
        return -1;
    for (size_t i = 0; i < tdvf->n; i++)
        for (uint64_t at = 0; at < tdvf->section[i].size; at += TDVF_PAGE)
            if (add_page(h, &tdvf->section[i], at, err) < 0)
                return -1;
    if (hasher_end(h, &d, err) < 0)
        return -1;
    memcpy(out, d.b, 48);
    return 0;
}

#include "workload/zip_internal.h"

#include "base/auto.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOCAL_SIGNATURE      0x04034b50u
#define CENTRAL_SIGNATURE    0x02014b50u
#define END_SIGNATURE        0x06054b50u
#define DESCRIPTOR_SIGNATURE 0x08074b50u
#define END_SIZE             22
#define ZIP64                0xFFFFFFFFu
#define METHOD_STORED        0
#define METHOD_DEFLATED      8

/* General purpose bits that are known: 1 and 2 tell how it was deflated, 3 that sizes follow the data, 11
 * that the name is UTF-8. Others are encryption, patches, masked headers. */
#define FLAG_DESCRIPTOR 0x0008u
#define FLAGS_KNOWN     (0x0006u | FLAG_DESCRIPTOR | 0x0800u)

/* Extra fields that give an entry another name, a link target or another meaning. */
enum { EXTRA_ZIP64 = 0x0001, EXTRA_PKWARE_UNIX = 0x000d, EXTRA_UNICODE_PATH = 0x7075, EXTRA_AES = 0x9901 };
#define PKWARE_UNIX_PLAIN 12 /* times and ids; more is the target of a link */

/* What local header and central directory both have. */
struct header {
    uint16_t flags, method;
    uint32_t crc32, packed, size;
    struct bytes name, extra;
};

struct central {
    struct header h;
    uint16_t made_by, internal;
    uint32_t attributes, offset;
};

struct end {
    uint16_t entries;
    uint32_t size, offset;
};

static int malformed(struct err *err, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "the zip is malformed: %s", what);
}

/* Section 4.3.16; it must be the last thing in the file. */
static int read_end(struct bytes file, struct end *out, struct err *err)
{
    struct reader r = reader_of(file);
    uint32_t signature;
    uint16_t disk, start, here, comment;
    if (file.n < END_SIZE || !rd_skip(&r, file.n - END_SIZE) || !rd_u32le(&r, &signature)
        || signature != END_SIGNATURE || !rd_u16le(&r, &disk) || !rd_u16le(&r, &start) || !rd_u16le(&r, &here)
        || !rd_u16le(&r, &out->entries) || !rd_u32le(&r, &out->size) || !rd_u32le(&r, &out->offset)
        || !rd_u16le(&r, &comment))
        return malformed(err,
                         "no end of central directory at its end (cut short, with a comment, or no zip)");
    if (disk || start || here != out->entries || comment)
        return malformed(err, "several disks, or a comment");
    if (out->entries == 0xFFFF) /* ZIP64 says how many elsewhere */
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the zip has 65,535 entries or more: a workload has at most %d files and folders",
                       TREE_FILES_MAX);
    if (out->offset == ZIP64 || out->size == ZIP64)
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the zip is a ZIP64 one: too large, or written for larger files");
    if (out->offset > file.n - END_SIZE || out->size != file.n - END_SIZE - out->offset)
        return malformed(err, "the central directory does not end where the end record begins");
    return 0;
}

/* Section 4.3.12. */
static int read_central(struct reader *r, struct central *out, struct err *err)
{
    uint32_t signature, times;
    uint16_t needed, name, extra, comment, disk;
    if (!rd_u32le(r, &signature) || signature != CENTRAL_SIGNATURE || !rd_u16le(r, &out->made_by)
        || !rd_u16le(r, &needed) || !rd_u16le(r, &out->h.flags) || !rd_u16le(r, &out->h.method)
        || !rd_u32le(r, &times) || !rd_u32le(r, &out->h.crc32) || !rd_u32le(r, &out->h.packed)
        || !rd_u32le(r, &out->h.size) || !rd_u16le(r, &name) || !rd_u16le(r, &extra) || !rd_u16le(r, &comment)
        || !rd_u16le(r, &disk) || !rd_u16le(r, &out->internal) || !rd_u32le(r, &out->attributes)
        || !rd_u32le(r, &out->offset) || !rd_take(r, name, &out->h.name) || !rd_take(r, extra, &out->h.extra)
        || !rd_skip(r, comment))
        return malformed(err, "the central directory is cut short, or another record stands in it");
    return 0;
}

/* Section 4.3.7. */
static int read_local(struct reader *r, struct header *out, struct err *err)
{
    uint32_t signature, times;
    uint16_t needed, name, extra;
    if (!rd_u32le(r, &signature) || signature != LOCAL_SIGNATURE || !rd_u16le(r, &needed)
        || !rd_u16le(r, &out->flags) || !rd_u16le(r, &out->method) || !rd_u32le(r, &times)
        || !rd_u32le(r, &out->crc32) || !rd_u32le(r, &out->packed) || !rd_u32le(r, &out->size)
        || !rd_u16le(r, &name) || !rd_u16le(r, &extra) || !rd_take(r, name, &out->name)
        || !rd_take(r, extra, &out->extra))
        return malformed(err, "an entry's local header is missing or cut short");
    return 0;
}

static int check_extra(struct bytes extra, struct err *err)
{
    struct reader r = reader_of(extra);
    while (r.rest.n) {
        uint16_t id, n;
        struct bytes data;
        if (!rd_u16le(&r, &id) || !rd_u16le(&r, &n) || !rd_take(&r, n, &data))
            return err_set(err, ERR_INPUT, 0, "its extra field is malformed");
        if (id == EXTRA_UNICODE_PATH)
            return err_set(err, ERR_INPUT, 0, "it has a second name in an extra field");
        if (id == EXTRA_PKWARE_UNIX && n > PKWARE_UNIX_PLAIN)
            return err_set(err, ERR_INPUT, 0, "it is a link");
        if (id == EXTRA_AES)
            return err_set(err, ERR_INPUT, 0, "it is encrypted");
    }
    return 0;
}

/* The upper half of the attributes is a Unix mode, whoever made it; zero: none. */
static int check_mode(const struct central *c, bool folder, struct err *err)
{
    unsigned type = (c->attributes >> 16) & S_IFMT;
    if (type == S_IFLNK)
        return err_set(err, ERR_INPUT, 0, "it is a symbolic link");
    if (type && type != S_IFREG && type != S_IFDIR)
        return err_set(err, ERR_INPUT, 0, "it is a device, a pipe or a socket");
    if (type && (type == S_IFDIR) != folder)
        return err_set(err, ERR_INPUT, 0, "its name and its type disagree: folders end with a slash");
    if (c->attributes & 0x08)
        return err_set(err, ERR_INPUT, 0, "it is a volume label");
    return 0;
}

static bool agrees(uint32_t local, uint32_t central, bool later)
{
    return local == central || (later && !local);
}

static int check_same(const struct header *local, const struct header *central, struct err *err)
{
    bool later = central->flags & FLAG_DESCRIPTOR; /* what was not known in front is zero there */
    if (!bytes_equal(local->name, central->name))
        return err_set(err, ERR_INPUT, 0, "its local header has another name than the central directory");
    if (local->flags != central->flags || local->method != central->method)
        return err_set(err, ERR_INPUT, 0, "its local header has another method than the central directory");
    if (!agrees(local->crc32, central->crc32, later) || !agrees(local->packed, central->packed, later)
        || !agrees(local->size, central->size, later))
        return err_set(err, ERR_INPUT, 0, "its local header has other sizes than the central directory");
    return 0;
}

/* Section 4.3.9: the signature in front is optional. */
static int skip_descriptor(struct reader *r, const struct header *h, struct err *err)
{
    struct reader at = *r;
    uint32_t word, crc32, packed, size;
    if (!rd_u32le(&at, &word))
        return err_set(err, ERR_INPUT, 0, "its data descriptor is cut short");
    if (word == DESCRIPTOR_SIGNATURE && rd_u32le(&at, &crc32) && rd_u32le(&at, &packed)
        && rd_u32le(&at, &size) && crc32 == h->crc32 && packed == h->packed && size == h->size) {
        *r = at;
        return 0;
    }
    at = *r;
    if (!rd_u32le(&at, &crc32) || !rd_u32le(&at, &packed) || !rd_u32le(&at, &size) || crc32 != h->crc32
        || packed != h->packed || size != h->size)
        return err_set(err, ERR_INPUT, 0, "its data descriptor is not what the central directory says");
    *r = at;
    return 0;
}

static int check_header(const struct central *c, const struct zip_limits *limits, struct err *err)
{
    const struct header *h = &c->h;
    if (h->flags & ~FLAGS_KNOWN)
        return err_set(err, ERR_INPUT, 0, "it is encrypted, or uses a feature that is not known");
    if (h->method != METHOD_STORED && h->method != METHOD_DEFLATED)
        return err_set(err, ERR_INPUT, 0, "it is packed by method %u: only stored and deflate are known",
                       h->method);
    if (h->packed == ZIP64 || h->size == ZIP64 || c->offset == ZIP64)
        return err_set(err, ERR_TOO_LARGE, 0, "it is 4 GiB or longer");
    if (h->method == METHOD_STORED && h->packed != h->size)
        return err_set(err, ERR_INPUT, 0, "it is stored, and has two lengths");
    if (h->size > ZIP_RATIO_FREE && h->size / limits->ratio > h->packed)
        return err_set(err, ERR_TOO_LARGE, 0, "it unpacks to more than %u times its size", limits->ratio);
    return 0;
}

/* An entry, with where its bytes lie in *offset and *end. */
static int judge(struct bytes file, const struct central *c, size_t directory,
                 const struct zip_limits *limits, struct zip_entry *out, size_t *end, struct err *err)
{
    struct reader r = reader_of(bytes_of(file.p, directory)); /* data ends before the directory */
    struct header local = { 0 };
    struct zip_entry e = { .size = c->h.size,
                           .crc32 = c->h.crc32,
                           .deflated = c->h.method == METHOD_DEFLATED };
    if (zip_name_check(c->h.name, &e.folder, &e.path, err) < 0 || check_header(c, limits, err) < 0
        || check_mode(c, e.folder, err) < 0 || check_extra(c->h.extra, err) < 0)
        return -1;
    if (e.folder && (c->h.size || c->h.crc32))
        return err_set(err, ERR_INPUT, 0, "it is a folder with a content");
    if (!rd_skip(&r, c->offset) || read_local(&r, &local, err) < 0)
        return malformed(err, "an entry lies behind its end");
    if (check_same(&local, &c->h, err) < 0 || check_extra(local.extra, err) < 0)
        return -1;
    if (!rd_take(&r, c->h.packed, &e.data))
        return err_set(err, ERR_INPUT, 0, "its data is cut short");
    if ((c->h.flags & FLAG_DESCRIPTOR) && skip_descriptor(&r, &c->h, err) < 0)
        return -1;
    e.executable = !e.folder && (c->attributes >> 16) & S_IXUSR;
    *end = r.off;
    *out = e;
    return 0;
}

struct extent {
    size_t from, to;
};

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* No byte belongs to two entries, and none to nobody: what one reader skips another may find. */
static int check_extents(struct extent *x, size_t n, size_t directory, struct err *err)
{
    size_t at = 0;
    qsort(x, n, sizeof(*x), compare_extents);
    for (size_t i = 0; i < n; i++) {
        if (x[i].from != at)
            return malformed(err, "there are bytes between its entries, or entries overlap");
        at = x[i].to;
    }
    return at == directory ? 0 : malformed(err, "there are bytes between its entries and the directory");
}

static void free_extents(struct extent **x)
{
    free(*x);
}

static int parse_entries(struct bytes file, const struct end *end, const struct zip_limits *limits,
                         struct zip *z, struct err *err)
{
    struct reader r = reader_of(bytes_of(file.p + end->offset, end->size));
    AUTO(free_extents) struct extent *extent = calloc(end->entries ? end->entries : 1, sizeof(*extent));
    char shown[ZIP_SHOWN], why[sizeof(err->cause)];
    struct err ignored;
    if (!err)
        err = &ignored;
    z->entry = calloc(end->entries ? end->entries : 1, sizeof(*z->entry));
    if (!z->entry || !extent)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the zip's directory");
    for (; z->n < end->entries; z->n++) {
        struct central c;
        struct zip_entry *e = &z->entry[z->n];
        if (read_central(&r, &c, err) < 0)
            return -1;
        if (judge(file, &c, end->offset, limits, e, &extent[z->n].to, err) < 0) {
            memcpy(why, err->cause, sizeof(why));
            return err_set(err, err->kind, 0, "the zip's entry \"%s\" is refused: %.150s",
                           zip_shown(c.h.name, shown), why);
        }
        extent[z->n].from = c.offset;
        z->bytes += e->size;
    }
    if (r.rest.n)
        return malformed(err, "its central directory holds more than its entries");
    return check_extents(extent, z->n, end->offset, err);
}

int zip_parse(struct bytes file, const struct zip_limits *limits, struct zip *out, struct err *err)
{
    struct zip_limits l = limits ? *limits : (struct zip_limits){ 0 };
    AUTO(zip_done) struct zip z = { NULL, 0, 0 };
    struct end end;
    l.entries = l.entries ? l.entries : ZIP_ENTRIES_MAX;
    l.bytes = l.bytes ? l.bytes : ZIP_BYTES_MAX;
    l.ratio = l.ratio ? l.ratio : ZIP_RATIO_MAX;
    if (read_end(file, &end, err) < 0)
        return -1;
    if (end.entries > l.entries)
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the zip has %u entries, at most %zu: a workload has at most %d files and folders",
                       end.entries, l.entries, TREE_FILES_MAX);
    if (parse_entries(file, &end, &l, &z, err) < 0)
        return -1;
    if (z.bytes > l.bytes)
        return err_set(err, ERR_TOO_LARGE, 0, "the zip unpacks to %" PRIu64 " bytes, at most %" PRIu64,
                       z.bytes, l.bytes);
    if (z.bytes > ZIP_RATIO_FREE && z.bytes / l.ratio > file.n)
        return err_set(err, ERR_TOO_LARGE, 0, "the zip unpacks to more than %u times its size", l.ratio);
    if (zip_names_check(&z, err) < 0)
        return -1;
    *out = z;
    z = (struct zip){ NULL, 0, 0 };
    return 0;
}

void zip_done(struct zip *z)
{
    free(z->entry);
    *z = (struct zip){ NULL, 0, 0 };
}

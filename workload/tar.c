#include "workload/tar.h"

#include "base/auto.h"

#include <errno.h>
#include <sys/stat.h>

/* Fields of a header block. */
#define OFF_SIZE     124
#define LEN_SIZE     12
#define OFF_CHECKSUM 148
#define LEN_CHECKSUM 8
#define OFF_TYPE     156
#define OFF_MAGIC    257
#define OFF_PREFIX   345
#define LEN_PREFIX   155
#define LEN_NAME     100

struct reading {
    int fd;
    uint64_t size, at; /* of the file; offset of the next header */
    size_t max, cap, names;
    char *long_name; /* of the next entry: pax or GNU; NULL */
    bool has_size;
    uint64_t pax_size;
    struct tar_index index;
};

/* ---- reading ---- */

static int read_at(int fd, uint64_t offset, uint8_t *out, size_t n, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, out + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot read the archive: %s", strerror(errno));
        if (got == 0)
            return err_set(err, ERR_INPUT, 0, "the archive ends at offset %" PRIu64, offset + done);
        done += (size_t)got;
    }
    return 0;
}

static int damaged(const struct reading *r, const char *what, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "header at offset %" PRIu64 ": %s", r->at, what);
}

/* Octal digits with spaces and NULs around them, or GNU's base-256. */
static bool number(const uint8_t *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    if (p[0] & 0x80) {
        if (p[0] != 0x80) /* negative, or far too large */
            return false;
        for (i = 1; i < n; i++) {
            if (v >> 55)
                return false;
            v = v << 8 | p[i];
        }
        *out = v;
        return true;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
        if (v >> 60)
            return false;
        v = v << 3 | (uint64_t)(p[i] - '0');
    }
    while (i < n && (p[i] == ' ' || p[i] == '\0'))
        i++;
    *out = v;
    return i == n;
}

static bool checksum_holds(const uint8_t *h)
{
    uint64_t want;
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= OFF_CHECKSUM && i < OFF_CHECKSUM + LEN_CHECKSUM ? ' ' : h[i];
    return number(h + OFF_CHECKSUM, LEN_CHECKSUM, &want) && want == sum;
}

/* ---- names ---- */

static int set_long_name(struct reading *r, struct bytes name, struct err *err)
{
    if (name.n == 0 || name.n > TAR_NAME_MAX || memchr(name.p, '\0', name.n))
        return damaged(r, "a name that is empty, too long, or has a NUL", err);
    free(r->long_name);
    r->long_name = strndup((const char *)name.p, name.n);
    return r->long_name ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for a name");
}

static char *header_name(const uint8_t *h)
{
    size_t n = strnlen((const char *)h, LEN_NAME);
    size_t prefix = memcmp(h + OFF_MAGIC, "ustar", 6) == 0 /* with its NUL: not GNU's */
                        ? strnlen((const char *)h + OFF_PREFIX, LEN_PREFIX)
                        : 0;
    char *name = malloc(prefix + 1 + n + 1);
    if (!name)
        return NULL;
    memcpy(name, h + OFF_PREFIX, prefix);
    if (prefix)
        name[prefix++] = '/';
    memcpy(name + prefix, h, n);
    name[prefix + n] = '\0';
    return name;
}

static void strip_dot_slash(char *name)
{
    size_t skip = 0;
    while (name[skip] == '.' && name[skip + 1] == '/')
        for (skip += 2; name[skip] == '/';)
            skip++;
    memmove(name, name + skip, strlen(name + skip) + 1);
}

/* ---- extended headers ---- */

/* "LENGTH KEY=VALUE\n" */
static int pax_record(struct reading *r, struct bytes *rest, struct err *err)
{
    size_t length = 0, i = 0;
    for (; i < rest->n && i < 7 && rest->p[i] >= '0' && rest->p[i] <= '9'; i++)
        length = length * 10 + (size_t)(rest->p[i] - '0');
    if (i == 0 || i >= rest->n || rest->p[i] != ' ' || length < i + 4 || length > rest->n
        || rest->p[length - 1] != '\n')
        return damaged(r, "a pax record that is none", err);
    struct bytes record = bytes_of(rest->p + i + 1, length - i - 2);
    *rest = bytes_of(rest->p + length, rest->n - length);
    const uint8_t *equal = memchr(record.p, '=', record.n);
    if (!equal)
        return damaged(r, "a pax record without \"=\"", err);
    struct bytes key = bytes_of(record.p, (size_t)(equal - record.p));
    struct bytes value = bytes_of(equal + 1, record.n - key.n - 1);
    if (bytes_equal(key, bytes_str("path")))
        return set_long_name(r, value, err);
    if (key.n >= 10 && !memcmp(key.p, "GNU.sparse", 10))
        return damaged(r, "a sparse file: write the archive without --sparse", err);
    if (!bytes_equal(key, bytes_str("size")))
        return 0;
    uint64_t size = 0;
    if (value.n == 0 || value.n > 18)
        return damaged(r, "a size that is none", err);
    for (size_t k = 0; k < value.n; k++) {
        if (value.p[k] < '0' || value.p[k] > '9')
            return damaged(r, "a size that is none", err);
        size = size * 10 + (uint64_t)(value.p[k] - '0');
    }
    r->has_size = true;
    r->pax_size = size;
    return 0;
}

static int extended(struct reading *r, char type, uint64_t size, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(TAR_PAX_MAX);
    uint8_t *p = size <= TAR_PAX_MAX ? buf_room(&text, (size_t)size) : NULL;
    if (!p)
        return damaged(r, "an extended header that is too long", err);
    if (read_at(r->fd, r->at + TAR_BLOCK, p, (size_t)size, err) < 0)
        return -1;
    if (type == 'L')
        return set_long_name(r, bytes_of(p, strnlen((const char *)p, (size_t)size)), err);
    for (struct bytes rest = buf_bytes(&text); rest.n;)
        if (pax_record(r, &rest, err) < 0)
            return -1;
    return 0;
}

/* ---- entries ---- */

static int add_entry(struct reading *r, char *name, bool regular, uint64_t size, struct err *err)
{
    struct tar_index *t = &r->index;
    strip_dot_slash(name);
    r->names += strlen(name);
    if (t->n >= r->max || r->names > TAR_NAMES_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %zu files, or their names are too long", r->max);
    if (t->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        struct tar_entry *bigger = realloc(t->entries, cap * sizeof(*bigger));
        if (!bigger)
            return err_set(err, ERR_IO, ENOMEM, "no memory for the archive's index");
        t->entries = bigger;
        r->cap = cap;
    }
    t->entries[t->n++] = (struct tar_entry){ name, regular, r->at + TAR_BLOCK, size };
    return 0;
}

static int plain(struct reading *r, const uint8_t *h, char type, uint64_t size, struct err *err)
{
    AUTO(free_str) char *name = r->long_name ? MOVE(r->long_name) : header_name(h);
    bool regular = type == '0' || type == '\0' || type == '7';
    if (!name)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a name");
    if (add_entry(r, name, regular, regular ? size : 0, err) < 0)
        return -1;
    name = NULL; /* the index has it */
    r->has_size = false;
    return 0;
}

/* One header and what belongs to it. @return 1 at the end of the archive */
static int next(struct reading *r, struct err *err)
{
    uint8_t h[TAR_BLOCK];
    uint64_t size;
    if (r->at == r->size)
        return 1; /* some writers leave the two empty blocks out */
    if (r->size - r->at < TAR_BLOCK)
        return damaged(r, "cut short", err);
    if (read_at(r->fd, r->at, h, sizeof(h), err) < 0)
        return -1;
    if (bytes_zero(bytes_of(h, sizeof(h))))
        return 1;
    if (!checksum_holds(h))
        return damaged(r, r->at ? "a wrong checksum" : "not a tar archive (compressed? unpack it to .tar)",
                       err);
    char type = (char)h[OFF_TYPE];
    bool header = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    if (type == 'S')
        return damaged(r, "a sparse file: write the archive without --sparse", err);
    if (!number(h + OFF_SIZE, LEN_SIZE, &size))
        return damaged(r, "a size that is none", err);
    if (!header && r->has_size)
        size = r->pax_size;
    if (type >= '1' && type <= '6') /* links, devices, folders, pipes: nothing follows */
        size = 0;
    uint64_t left = r->size - r->at - TAR_BLOCK;
    if (size > left)
        return damaged(r, "a size that leads out of the archive", err);
    int rc = type == 'x' || type == 'L' ? extended(r, type, size, err) : 0;
    if (rc == 0 && !header)
        rc = plain(r, h, type, size, err);
    uint64_t padded = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    r->at += TAR_BLOCK + (padded < left ? padded : left);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tar_entry *)a)->name, ((const struct tar_entry *)b)->name);
}

int tar_index_read(int fd, size_t max, struct tar_index *out, struct err *err)
{
    struct reading r = { .fd = fd, .max = max, .index = { .fd = fd } };
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "the archive is not a regular file");
    r.size = (uint64_t)st.st_size;
    int rc;
    do
        rc = next(&r, err);
    while (rc == 0);
    free(r.long_name);
    if (rc < 0 || r.index.n == 0) {
        tar_index_done(&r.index);
        return rc < 0 ? -1 : err_set(err, ERR_INPUT, 0, "an archive without any file");
    }
    qsort(r.index.entries, r.index.n, sizeof(*r.index.entries), by_name);
    *out = r.index;
    return 0;
}

void tar_index_done(struct tar_index *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->entries[i].name);
    free(t->entries);
    *t = (struct tar_index){ .fd = -1 };
}

/* ---- using it ---- */

int tar_find(const struct tar_index *t, const char *name, const struct tar_entry **out, struct err *err)
{
    size_t low = 0, high = t->n;
    while (low < high) { /* the first that is not smaller */
        size_t mid = low + (high - low) / 2;
        if (strcmp(t->entries[mid].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == t->n || strcmp(t->entries[low].name, name) != 0)
        return err_set(err, ERR_NOT_FOUND, 0, "the archive has no %.200s", name);
    if (low + 1 < t->n && !strcmp(t->entries[low + 1].name, name))
        return err_set(err, ERR_INPUT, 0, "the archive has %.200s twice", name);
    if (!t->entries[low].regular)
        return err_set(err, ERR_INPUT, 0, "%.200s in the archive is not a regular file", name);
    *out = &t->entries[low];
    return 0;
}

int tar_load(const struct tar_index *t, const struct tar_entry *e, size_t max, struct buf *out,
             struct err *err)
{
    if (e->size > max)
        return err_set(err, ERR_TOO_LARGE, 0, "%.120s in the archive: more than %zu bytes", e->name, max);
    size_t start = out->n;
    uint8_t *p = buf_room(out, (size_t)e->size);
    if (!p)
        return buf_check(out, "file of the archive", err);
    if (read_at(t->fd, e->offset, p, (size_t)e->size, err) == 0)
        return 0;
    out->n = start;
    return -1;
}

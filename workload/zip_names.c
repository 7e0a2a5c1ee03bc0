#include "workload/zip_internal.h"

#include "base/auto.h"

#include <errno.h>
#include <stdlib.h>

#define COMPONENT_MAX 255

const char *zip_shown(struct bytes name, char out[static ZIP_SHOWN])
{
    size_t n = name.n < ZIP_SHOWN - 4 ? name.n : ZIP_SHOWN - 4;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(name.p[i] >= 0x20 && name.p[i] < 0x7F ? name.p[i] : '?');
    memcpy(out + n, n < name.n ? "..." : "", n < name.n ? 4 : 1);
    return out;
}

/* One character of strict UTF-8 (RFC 3629). @return false: there is none */
static bool next_character(struct reader *r, uint32_t *out)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint8_t b;
    if (!rd_u8(r, &b))
        return false;
    unsigned more = b < 0x80                ? 0
                    : b >= 0xC2 && b < 0xE0 ? 1
                    : b >= 0xE0 && b < 0xF0 ? 2
                    : b >= 0xF0 && b < 0xF5 ? 3
                                            : 4;
    if (more > 3)
        return false;
    uint32_t c = more ? b & (0x3Fu >> more) : b;
    for (unsigned i = 0; i < more; i++) {
        if (!rd_u8(r, &b) || (b & 0xC0) != 0x80)
            return false;
        c = c << 6 | (b & 0x3F);
    }
    if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return false;
    *out = c;
    return true;
}

static int check_characters(struct bytes name, struct err *err)
{
    struct reader r = reader_of(name);
    uint32_t c;
    while (r.rest.n) {
        if (!next_character(&r, &c))
            return err_set(err, ERR_INPUT, 0, "its name is not UTF-8");
        if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == '\\')
            return err_set(err, ERR_INPUT, 0, "its name has a backslash or a control character");
    }
    return 0;
}

static int check_component(struct bytes part, struct err *err)
{
    if (!part.n)
        return err_set(err, ERR_INPUT, 0, "its path has two slashes in a row");
    if (bytes_equal(part, bytes_str(".")) || bytes_equal(part, bytes_str("..")))
        return err_set(err, ERR_INPUT, 0, "its path has a component \".\" or \"..\"");
    if (part.n > COMPONENT_MAX)
        return err_set(err, ERR_INPUT, 0, "a component of its path is longer than %d bytes", COMPONENT_MAX);
    return 0;
}

static int check_components(struct bytes path, struct err *err)
{
    size_t depth = 1;
    for (struct bytes rest = path;; depth++) {
        const uint8_t *slash = memchr(rest.p, '/', rest.n);
        struct bytes part = bytes_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.n);
        if (check_component(part, err) < 0)
            return -1;
        if (!slash)
            break;
        rest = bytes_of(slash + 1, rest.n - part.n - 1);
    }
    if (depth > ZIP_DEPTH_MAX)
        return err_set(err, ERR_INPUT, 0, "it lies deeper than %d folders", ZIP_DEPTH_MAX);
    return 0;
}

int zip_name_check(struct bytes name, bool *folder, struct bytes *path, struct err *err)
{
    static const size_t top = sizeof(ZIP_TOP) - 1;
    struct bytes whole = name;
    if (!name.n || name.n > ZIP_PATH_MAX)
        return err_set(err, ERR_INPUT, 0, "its name has %zu bytes: want 1 to %d", name.n, ZIP_PATH_MAX);
    if (name.p[0] == '/')
        return err_set(err, ERR_INPUT, 0, "its path is absolute");
    *folder = name.p[name.n - 1] == '/';
    whole.n -= *folder;
    if (check_characters(whole, err) < 0 || check_components(whole, err) < 0)
        return -1;
    bool is_top = whole.n == top && !memcmp(whole.p, ZIP_TOP, top) && *folder;
    if (!is_top && (whole.n <= top || memcmp(whole.p, ZIP_TOP "/", top + 1) != 0))
        return err_set(err, ERR_INPUT, 0, "it does not lie below " ZIP_TOP "/");
    *path = is_top ? bytes_of(whole.p + top, 0) : bytes_of(whole.p + top + 1, whole.n - top - 1);
    return 0;
}

/* ---- names against each other ---- */

/* Letters of the usual scripts in one case; enough to refuse names that a file system without case would take
 * for one. */
static uint32_t fold(uint32_t c)
{
    bool upper = (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3AB)
                 || (c >= 0x410 && c <= 0x42F);
    if (upper)
        return c + 32;
    if (c >= 0x400 && c <= 0x40F)
        return c + 80;
    return c >= 0x100 && c <= 0x177 && !(c & 1) ? c + 1 : c;
}

/* Order of folded names in which a folder stands right before all that lies below it: the slash comes first.
 */
static int compare_folded(struct bytes a, struct bytes b)
{
    struct reader x = reader_of(a), y = reader_of(b);
    while (x.rest.n && y.rest.n) {
        uint32_t c = 0, d = 0;
        if (!next_character(&x, &c) || !next_character(&y, &d)) /* cannot be: names are checked */
            break;
        c = c == '/' ? 0 : fold(c);
        d = d == '/' ? 0 : fold(d);
        if (c != d)
            return c < d ? -1 : 1;
    }
    return (x.rest.n > 0) - (y.rest.n > 0);
}

static int compare_entries(const void *a, const void *b)
{
    const struct zip_entry *const *x = a, *const *y = b;
    return compare_folded((*x)->path, (*y)->path);
}

static int refused(const struct zip_entry *e, const char *why, struct err *err)
{
    char shown[ZIP_SHOWN];
    return err_set(err, ERR_INPUT, 0, "the zip's entry \"" ZIP_TOP "/%s\" is refused: %s",
                   zip_shown(e->path, shown), why);
}

/* The next component of a path, cut off its front. */
static struct bytes cut_component(struct bytes *path)
{
    const uint8_t *slash = memchr(path->p, '/', path->n);
    struct bytes part = bytes_of(path->p, slash ? (size_t)(slash - path->p) : path->n);
    *path = bytes_of(path->p + part.n + (slash != NULL), path->n - part.n - (slash != NULL));
    return part;
}

/* Neighbours in the order: whatever collides with a name stands beside it. */
static int check_pair(const struct zip_entry *before, const struct zip_entry *e, struct err *err)
{
    struct bytes p = before->path, q = e->path;
    if (bytes_equal(p, q))
        return refused(e, "it is there twice", err);
    while (p.n && q.n) {
        struct bytes x = cut_component(&p), y = cut_component(&q);
        if (compare_folded(x, y) != 0)
            return 0;
        if (!bytes_equal(x, y))
            return refused(e, "it differs from another one in case only", err);
    }
    if (before->path.n && !before->folder && q.n)
        return refused(before, "it is a file, and others lie below it", err);
    return 0;
}

static void free_list(const struct zip_entry ***list)
{
    free((void *)*list);
}

int zip_names_check(const struct zip *z, struct err *err)
{
    AUTO(free_list) const struct zip_entry **list = calloc(z->n ? z->n : 1, sizeof(*list));
    if (!list)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the zip's names");
    for (size_t i = 0; i < z->n; i++)
        list[i] = &z->entry[i];
    qsort((void *)list, z->n, sizeof(*list), compare_entries);
    for (size_t i = 1; i < z->n; i++) {
        if (check_pair(list[i - 1], list[i], err) < 0)
            return -1;
    }
    return 0;
}

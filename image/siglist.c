#include "image/siglist.h"

#define LIST_HEADER 28u /* type, size of the list, of a header, of an entry */
#define OWNER       16u

static const uint8_t guid_x509[16] = { 0xA1, 0x59, 0xC0, 0xA5, 0xE4, 0x94, 0xA7, 0x4A,
                                       0x87, 0xB5, 0xAB, 0x15, 0x5C, 0x2B, 0xF0, 0x72 };
static const uint8_t guid_sha256[16] = { 0x26, 0x16, 0xC4, 0xC1, 0x4C, 0x50, 0x92, 0x40,
                                         0xAC, 0xA9, 0x41, 0xF9, 0x36, 0x93, 0x43, 0x28 };

static int bad(struct err *err, const struct siglist_walk *w, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "signature list at offset %zu: %s", w->rest.off, what);
}

static enum siglist_kind kind_of(const uint8_t guid[static 16])
{
    if (memcmp(guid, guid_x509, 16) == 0)
        return SIGLIST_X509;
    return memcmp(guid, guid_sha256, 16) == 0 ? SIGLIST_SHA256 : SIGLIST_OTHER;
}

static int begin_list(struct siglist_walk *w, struct err *err)
{
    struct bytes head, body;
    if (!rd_take(&w->rest, LIST_HEADER, &head))
        return bad(err, w, "cut short");
    uint32_t size = (uint32_t)le_uint(head.p + 16, 4), header = (uint32_t)le_uint(head.p + 20, 4);
    w->kind = kind_of(head.p);
    w->entry_size = (size_t)le_uint(head.p + 24, 4);
    if (size < LIST_HEADER || !rd_take(&w->rest, size - LIST_HEADER, &body))
        return bad(err, w, "longer than the variable");
    w->list = reader_of(body);
    if (!rd_skip(&w->list, header) || w->entry_size <= OWNER || w->list.rest.n == 0
        || w->list.rest.n % w->entry_size != 0)
        return bad(err, w, "not a whole number of entries");
    if (w->kind == SIGLIST_SHA256 && w->entry_size != OWNER + 32)
        return bad(err, w, "SHA-256 hashes of another size");
    return 0;
}

int siglist_next(struct siglist_walk *w, struct siglist_entry *out, struct err *err)
{
    struct bytes whole;
    if (w->list.rest.n == 0) {
        if (w->rest.rest.n == 0)
            return 0;
        if (begin_list(w, err) < 0)
            return -1;
    }
    if (++w->entries > SIGLIST_ENTRIES_MAX || !rd_take(&w->list, w->entry_size, &whole))
        return bad(err, w, "too many entries");
    *out = (struct siglist_entry){ w->kind, whole, bytes_of(whole.p + OWNER, whole.n - OWNER) };
    return 1;
}

int siglist_check(struct bytes variable, struct err *err)
{
    struct siglist_walk w = { .rest = reader_of(variable) };
    struct siglist_entry entry;
    int rc;
    do
        rc = siglist_next(&w, &entry, err);
    while (rc > 0);
    return rc;
}

#include "tee/cert_table.h"

#include "base/auto.h"
#include "tee/json_fields.h"

static const struct {
    const char *name;
    uint8_t guid[16];
} kinds[CERT_KINDS] = {
    [CERT_UNKNOWN] = { "", { 0 } },
    [CERT_VCEK] = { "VCEK",
                    { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8,
                      0xac, 0xcd } },
    [CERT_VLEK] = { "VLEK",
                    { 0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0,
                      0xb8, 0xa1 } },
    [CERT_ASK] = { "ASK",
                   { 0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7,
                     0x82 } },
    [CERT_ARK] = { "ARK",
                   { 0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0,
                     0xae } },
    [CERT_CRL] = { "CRL",
                   { 0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67,
                     0xea } },
    [CERT_PLATFORM_INFO] = { "PLATFORM_INFO",
                             { 0xec, 0xae, 0x0c, 0x0f, 0x95, 0x02, 0x43, 0xb1, 0xaf, 0xa2, 0x0a, 0xe2, 0xe0,
                               0xd5, 0x65, 0xb6 } },
    [CERT_GCE_ENDORSEMENT] = { "GCE_ENDORSEMENT",
                               { 0x9f, 0x41, 0x16, 0xcd, 0xc5, 0x03, 0x4f, 0x5a, 0x8f, 0x6f, 0xfb, 0x68, 0x88,
                                 0x2f, 0x4c, 0xe2 } },
};

const char *cert_kind_name(enum cert_kind kind)
{
    return kinds[kind].name;
}

const uint8_t *cert_kind_guid(enum cert_kind kind)
{
    return kind == CERT_UNKNOWN ? NULL : kinds[kind].guid;
}

/* Mixed-endian GUIDs (Microsoft) have the first three fields of 4, 2 and 2 bytes turned round. */
static void turn_guid(const uint8_t in[static 16], uint8_t out[static 16])
{
    static const uint8_t from[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (size_t i = 0; i < 16; i++)
        out[i] = in[from[i]];
}

static void name_entry(struct cert_entry *e)
{
    uint8_t turned[16];
    turn_guid(e->guid, turned);
    for (enum cert_kind k = CERT_VCEK; k < CERT_KINDS; k++) {
        if (memcmp(kinds[k].guid, e->guid, 16) != 0 && memcmp(kinds[k].guid, turned, 16) != 0)
            continue;
        e->kind = k;
        memcpy(e->guid, kinds[k].guid, 16);
        return;
    }
    e->kind = CERT_UNKNOWN;
}

/* The entries up to the zero one: offset and length as announced, bounds not looked at yet. */
static int take_entries(struct reader *r, struct cert_table *t, struct err *err)
{
    for (t->n = 0;;) {
        struct bytes entry;
        if (!rd_take(r, CERT_TABLE_ENTRY, &entry))
            return err_set(err, ERR_INPUT, 0, "certificate table has no end: %zu bytes, %zu entries",
                           r->off + r->rest.n, t->n);
        if (bytes_zero(entry))
            return 0;
        if (t->n == CERT_TABLE_ENTRIES_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "certificate table has more than %d entries",
                           CERT_TABLE_ENTRIES_MAX);
        struct cert_entry *e = &t->entry[t->n++];
        memcpy(e->guid, entry.p, sizeof(e->guid));
        e->offset = (uint32_t)le_uint(entry.p + 16, 4);
        e->data = bytes_of(NULL, (size_t)le_uint(entry.p + 20, 4));
        name_entry(e);
    }
}

int cert_table_parse(struct bytes raw, struct cert_table *out, struct err *err)
{
    struct reader r = reader_of(raw);
    struct cert_table t = { .n = 0 };
    if (bytes_zero(raw)) {
        *out = t;
        return 0;
    }
    if (take_entries(&r, &t, err) < 0)
        return -1;
    for (size_t i = 0; i < t.n; i++) {
        struct cert_entry *e = &t.entry[i];
        if (e->offset < r.off || e->offset > raw.n || e->data.n > raw.n - e->offset)
            return err_set(err, ERR_INPUT, 0,
                           "certificate table entry %zu at %" PRIu32 " of %zu bytes is outside %zu to %zu", i,
                           e->offset, e->data.n, r.off, raw.n);
        e->data.p = raw.p + e->offset;
    }
    *out = t;
    return 0;
}

bool cert_table_find(const struct cert_table *table, enum cert_kind kind, struct bytes *out)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->entry[i].kind == kind) {
            *out = table->entry[i].data;
            return true;
        }
    }
    return false;
}

static json_t *entry_json(const struct cert_entry *e)
{
    AUTO(json_drop) json_t *o = json_object();
    if (!json_set(o, "guid", json_hex(bytes_of(e->guid, sizeof(e->guid))))
        || !json_set(o, "name", json_string(cert_kind_name(e->kind)))
        || !json_set(o, "offset", json_integer(e->offset))
        || !json_set(o, "length", json_integer((json_int_t)e->data.n)))
        return NULL;
    return MOVE(o);
}

int cert_table_json(const struct cert_table *table, json_t **out, struct err *err)
{
    json_t *o = json_object();
    AUTO(json_drop) json_t *entries = json_array();
    bool done = json_set(o, "type", json_string("cert_table"));
    for (size_t i = 0; done && i < table->n; i++)
        done = json_array_append_new(entries, entry_json(&table->entry[i])) == 0;
    done = done && json_set(o, "entries", MOVE(entries));
    return json_finish(o, done, out, err);
}

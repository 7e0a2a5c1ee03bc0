#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/cert_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cert_table t;
    struct bytes found;
    struct err err = { 0 };
    AUTO(json_drop) json_t *json = NULL;
    if (cert_table_parse(bytes_of(data, size), &t, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        return 0;
    }
    CHECK(t.n <= CERT_TABLE_ENTRIES_MAX);
    for (size_t i = 0; i < t.n; i++) {
        const struct cert_entry *e = &t.entry[i];
        CHECK(e->offset >= (t.n + 1) * CERT_TABLE_ENTRY && e->offset <= size
              && e->data.n <= size - e->offset);
        CHECK(e->kind == CERT_UNKNOWN || cert_table_find(&t, e->kind, &found));
    }
    CHECK(cert_table_json(&t, &json, &err) == 0);
    CHECK(json_array_size(json_object_get(json, "entries")) == t.n);
    return 0;
}

#include "fuzz.h"

#include "image/secure_boot.h"
#include "image/siglist.h"

static bool inside(struct bytes part, const uint8_t *data, size_t size)
{
    return part.n == 0 || (part.p >= data && part.n <= size && (size_t)(part.p - data) <= size - part.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct siglist_walk walk = { .rest = reader_of(bytes_of(data, size)) };
    struct siglist_entry entry;
    struct varstore store;
    struct secure_boot keys;
    struct err err = { 0 };
    int rc;
    while ((rc = siglist_next(&walk, &entry, &err)) > 0)
        CHECK(inside(entry.whole, data, size) && entry.whole.n > 16 && entry.data.n == entry.whole.n - 16);
    CHECK(rc == 0 || err.kind == ERR_INPUT);
    if (varstore_parse(bytes_of(data, size), &store, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return 0;
    }
    if (secure_boot_read(&store, &keys, &err) < 0)
        CHECK(err.kind == ERR_INPUT);
    else
        CHECK(inside(keys.pk, data, size) && inside(keys.db, data, size) && (!keys.on || keys.pk.n > 0));
    return 0;
}

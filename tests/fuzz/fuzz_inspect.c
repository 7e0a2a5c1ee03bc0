/* evidence/inspect.h: whatever the bytes are, inspect decodes them or names an input error, as the type that
 * they look like and as one that the last byte chooses. */
#include "evidence/inspect.h"

#include "fuzz.h"

#include <string.h>

static void decode(const struct inspect_type *type, struct bytes data)
{
    struct err err = { 0 };
    json_t *out = NULL;
    if (inspect_decode(type, data, &out, &err) == 0) {
        void *first = json_object_iter(out);
        CHECK(first && strcmp(json_object_iter_key(first), "type") == 0);
        CHECK(strcmp(json_string_value(json_object_iter_value(first)), type->name) == 0);
        json_decref(out);
    } else {
        CHECK(!out && err.cause[0]);
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size);
    size_t n;
    const struct inspect_type *types = inspect_types(&n), *type = inspect_recognise(input);
    const struct inspect_type *forced = &types[size ? data[size - 1] % n : 0];
    if (type)
        decode(type, input);
    if (forced != type)
        decode(forced, input);
    return 0;
}

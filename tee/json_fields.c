#include "tee/json_fields.h"

static json_t *field_value(enum json_kind kind, const void *at)
{
    const struct bytes *view = at;
    switch (kind) {
    case JSON_FIELD_BYTES:
        return view->n ? json_hex(*view) : json_null();
    case JSON_FIELD_U8:
        return json_integer(*(const uint8_t *)at);
    case JSON_FIELD_U16:
        return json_integer(*(const uint16_t *)at);
    case JSON_FIELD_U32:
        return json_integer(*(const uint32_t *)at);
    case JSON_FIELD_U64_HEX:
        return json_hex_u64(*(const uint64_t *)at);
    case JSON_FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case JSON_FIELD_TEXT:
        return json_text(bytes_str(at));
    }
    return NULL;
}

bool json_set_fields(json_t *object, const struct json_field *fields, size_t n, const void *base)
{
    for (size_t i = 0; i < n; i++)
        if (!json_set(object, fields[i].name, field_value(fields[i].kind, (const char *)base + fields[i].at)))
            return false;
    return true;
}

bool json_set_bits(json_t *object, const struct json_bit *bits, size_t n, uint64_t word)
{
    for (size_t i = 0; i < n; i++)
        if (!json_set(object, bits[i].name, json_boolean(word >> bits[i].bit & 1)))
            return false;
    return true;
}

int json_finish(json_t *object, bool complete, json_t **out, struct err *err)
{
    if (!object || !complete) {
        json_decref(object);
        return err_set(err, ERR_IO, 0, "out of memory while building JSON");
    }
    *out = object;
    return 0;
}

/** tee/json_fields.h: a parsed struct as a JSON object, walked from a table of names, kinds and offsets. */
#ifndef CVM_TEE_JSON_FIELDS_H
#define CVM_TEE_JSON_FIELDS_H

#include "base/json.h"

#include <stddef.h>

enum json_kind {
    JSON_FIELD_BYTES, /* struct bytes: lower-case hex, null when empty */
    JSON_FIELD_U8,
    JSON_FIELD_U16,
    JSON_FIELD_U32,
    JSON_FIELD_U64_HEX, /* "0x..." */
    JSON_FIELD_BOOL,
    JSON_FIELD_TEXT /* char array, terminated */
};

struct json_field {
    const char *name;
    enum json_kind kind;
    size_t at; /* offsetof in the struct */
};

/** One bit of a flag word, by name. */
struct json_bit {
    const char *name;
    unsigned bit;
};

/** Sets the fields of the struct at base in object, in the order of the table.
 *  @return false when memory is short (object may then hold some of them) */
MUST_USE bool json_set_fields(json_t *object, const struct json_field *fields, size_t n, const void *base);

/** Sets one boolean a bit. */
MUST_USE bool json_set_bits(json_t *object, const struct json_bit *bits, size_t n, uint64_t word);

/** Sets one member and takes the reference. NULL values (memory short) give false. */
static inline MUST_USE bool json_set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/** Ends a builder: hands object out when all went well, else drops it and sets ERR_IO. */
MUST_USE int json_finish(json_t *object, bool complete, json_t **out, struct err *err);

#endif

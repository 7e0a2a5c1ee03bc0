/** base/pb_json.h: protobuf messages described by const tables: checked, and turned into JSON and back.
 *  Source: protobuf.dev "Encoding" and "ProtoJSON Format". */
#ifndef CVM_BASE_PB_JSON_H
#define CVM_BASE_PB_JSON_H

#include "base/json.h"
#include "base/pb.h"

enum pb_kind {
    PB_KIND_BYTES,
    PB_KIND_STRING,
    PB_KIND_U32,
    PB_KIND_U64,
    PB_KIND_ENUM,
    PB_KIND_MESSAGE,
    PB_KIND_WRAPPED_U32, /* google.protobuf.UInt32Value: a bare number in JSON */
    PB_KIND_MAP_U32,     /* map<uint32, bytes> */
    PB_KIND_MAP_STRING   /* map<string, bytes> */
};

struct pb_enum_name {
    uint32_t value;
    const char *name;
};

struct pb_member {
    uint32_t number;
    enum pb_kind kind;
    const char *name; /* snake_case, as in the .proto file */
    bool repeated;
    const struct pb_message *message;  /* PB_KIND_MESSAGE */
    const struct pb_enum_name *values; /* PB_KIND_ENUM; ends with a NULL name */
};

/** A message type; the tables must not be recursive. */
struct pb_message {
    const char *name;
    const struct pb_member *members;
    size_t count;
};

/** How pb_to_json() spells: ProtoJSON (lowerCamelCase, base64, 64-bit numbers as strings, enums by name), or
 * for reading by people (snake_case, lower-case hex). */
enum pb_spelling { PB_PROTOJSON, PB_READABLE };

/** Checks a whole message against its table: wire types, numbers that fit, no member twice unless it is
 * repeated. Unknown fields are allowed. */
MUST_USE int pb_check(const struct pb_message *type, struct reader r, struct err *err);

/** Finds a member of a message that pb_check() passed. @return false if it is absent */
bool pb_find(struct bytes message, uint32_t number, struct pb_field *out);

/** The bytes, or the number, of a member of a checked message; empty, or 0, if it is absent. */
struct bytes pb_get_bytes(struct bytes message, uint32_t number);
uint64_t pb_get_uint(struct bytes message, uint32_t number);

/** A message as JSON. @return 0 with a new reference, or -1 with ERR_INPUT (pb_check) */
MUST_USE int pb_to_json(const struct pb_message *type, struct bytes message, enum pb_spelling spelling,
                        json_t **out, struct err *err);

/** Appends the binary form of a JSON message. Keys in either spelling, but not both; numbers bare or as
 * decimal text; null is absent; unknown keys are passed over. */
MUST_USE int pb_from_json(const struct pb_message *type, const json_t *json, struct buf *out,
                          struct err *err);

#endif

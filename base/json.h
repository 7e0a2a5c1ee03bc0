/** base/json.h: strict reading of untrusted JSON over jansson, and small helpers to build values. */
#ifndef CVM_BASE_JSON_H
#define CVM_BASE_JSON_H

#include "base/buf.h"

#include <jansson.h>

/** Nesting that json_parse() accepts: deeper documents are refused before jansson recurses. */
#define JSON_DEPTH_MAX 64

/** Parses one JSON value that fills text. Refused: more than max bytes, deeper than JSON_DEPTH_MAX, duplicate
 * keys, NUL in strings, invalid UTF-8, trailing bytes. The message has line and column.
 *  @param out  a new reference; written only on success
 *  @return 0, or -1 with ERR_INPUT or ERR_TOO_LARGE */
MUST_USE int json_parse(struct bytes text, size_t max, json_t **out, struct err *err);

/** A bound on the memory that json_parse() takes: refuses a text with more than max values, counted without
 * reading it (1, and one for each comma and opening bracket outside strings).
 *  @return 0, or -1 with ERR_INPUT and the offset */
MUST_USE int json_count_check(struct bytes text, size_t max, struct err *err);

/** For AUTO(json_drop) json_t *v. */
static inline void json_drop(json_t **v)
{
    json_decref(*v);
}

/** New string value in lower-case hex. */
json_t *json_hex(struct bytes data);

/** New string value in standard base64 with padding. */
json_t *json_b64(struct bytes data);

/** New string value "0x..." without leading zeros: for 64-bit fields, which JSON numbers do not carry safely.
 */
json_t *json_hex_u64(uint64_t v);

/** New string value from bytes that may not be UTF-8: other bytes become U+FFFD, NULs too. */
json_t *json_text(struct bytes data);

/** Decodes the base64 string member key of object into out; ERR_INPUT names the key. */
MUST_USE int json_get_b64(const json_t *object, const char *key, struct buf *out, struct err *err);

/** Appends the serialised value: compact, or indented by two spaces; keys in insertion order. */
void json_put(struct buf *out, const json_t *value, bool indent);

/** Appends a quoted, escaped JSON string; the bytes are taken as UTF-8, invalid ones become U+FFFD. */
void json_put_string(struct buf *out, struct bytes text);

/** Appends "key": (with the comma before it unless the last byte is an opening bracket). */
void json_put_key(struct buf *out, const char *key);

/** Appends "key":"base64". */
void json_put_b64(struct buf *out, const char *key, struct bytes data);

#endif

/** base/json_wide.h: JSON with unsigned numbers of 64 bits. jansson's integers are signed: what lies between
 * 2^63 and 2^64 - 1 is carried through it as marked text, and comes out as the number again. */
#ifndef CVM_BASE_JSON_WIDE_H
#define CVM_BASE_JSON_WIDE_H

#include "base/json.h"

/** A text in which such numbers are marked: text itself where it has none, else a copy in storage.
 *  @return 0, or -1 with ERR_TOO_LARGE: storage is full */
MUST_USE int json_wide_mark(struct bytes text, struct buf *storage, struct bytes *out, struct err *err);

/** As json_parse(), with such numbers. */
MUST_USE int json_wide_parse(struct bytes text, size_t max, json_t **out, struct err *err);

/** True if v is a number that is whole and in 0..2^64-1. */
bool json_wide_u64(const json_t *v, uint64_t *out);

/** A new number. */
json_t *json_wide_number(uint64_t v);

/** True if v is such a number, which others would take for text. */
bool json_wide_is(const json_t *v);

/** Appends the value indented by two spaces, with the numbers as numbers; members in their order. */
void json_wide_put(struct buf *out, const json_t *value);

#endif

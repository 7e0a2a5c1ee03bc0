/** tee/json_range.h: where a member's value stands in a JSON text. Vendors sign the bytes of an inner object
 * as they were sent; a parser that builds values loses them. */
#ifndef CVM_TEE_JSON_RANGE_H
#define CVM_TEE_JSON_RANGE_H

#include "base/bytes.h"

/** Finds the value of a member of the object that text is: its first to its last byte, no white space around.
 *  @param text  one JSON object that json_parse() has accepted; anything else gives false or some range of it
 *  @param key   plain ASCII; a member whose name is spelled with escapes is not found
 *  @return true and a view into text */
MUST_USE bool json_member_range(struct bytes text, const char *key, struct bytes *out);

#endif

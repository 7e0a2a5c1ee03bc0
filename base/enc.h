/** base/enc.h: hexadecimal, base64 (RFC 4648), base64url and percent encoding (RFC 3986). */
#ifndef CVM_BASE_ENC_H
#define CVM_BASE_ENC_H

#include "base/buf.h"

/** Appends lower-case hex. */
void hex_put(struct buf *out, struct bytes data);

/** Writes lower-case hex and a terminator: 2 * data.n + 1 bytes into out. Returns out. */
char *hex_to(char *out, struct bytes data);

/** Lower-case hex on the heap, or NULL when memory is short; the caller frees. */
char *hex_str(struct bytes data);

/** Decodes exactly n bytes from 2 * n hex digits of either case; an optional 0x in front is skipped.
 *  @return 0, or -1 with ERR_INPUT: another length, or not a hex digit, with its offset */
MUST_USE int hex_decode_fixed(struct bytes text, uint8_t *out, size_t n, struct err *err);

/** Decodes any even number of hex digits and appends the bytes. */
MUST_USE int hex_decode(struct bytes text, struct buf *out, struct err *err);

/** Appends standard base64 with padding. */
void b64_put(struct buf *out, struct bytes data);

/** Appends base64url without padding (JWK, IMDS). */
void b64url_put(struct buf *out, struct bytes data);

/** Base64 with padding on the heap, or NULL when memory is short; the caller frees. */
char *b64_str(struct bytes data);

/** Decodes standard or URL-safe base64, padded or not; no white space. Non-zero trailing bits are refused, so
 * that one byte string has one spelling per alphabet.
 *  @return 0 with the bytes appended, or -1 with ERR_INPUT and the offset */
MUST_USE int b64_decode(struct bytes text, struct buf *out, struct err *err);

/** Decodes %XX once. @return 0, or -1 with ERR_INPUT: a bad escape, with its offset */
MUST_USE int percent_decode(struct bytes text, struct buf *out, struct err *err);

#endif
